/* behind.c - the dims that a value is computed from, for messages.
 *
 * Where an importer needs to know a value and does not, the remedy hangs on why: a value that only sizes decide becomes
 * known when the user fixes or bounds their dims; one that data decides never does.
 */
#include "frontend/onnx/import.h"
#include "ir/defined.h"

enum { MAX_VALUES = 512, MAX_NAMES = 4 };

typedef struct {
    const xfc_node *n;
    xfc_map seen; /* values */
    const char *name[MAX_NAMES];
    uint32_t n_names;
    bool more, data;
} behind;

static void add_symbol(void *user, xfc_int symbol) {
    behind *b = user;
    const xfc_int_info *i = xfc_int_look(b->n->ctx, symbol);
    if (i->sym != XFC_SYM_DIM) return;
    for (uint32_t k = 0; k < b->n_names; k++)
        if (b->name[k] == i->name) return;
    if (b->n_names < MAX_NAMES)
        b->name[b->n_names++] = i->name;
    else
        b->more = true;
}

static void add_int(behind *b, xfc_int e) {
    if (xfc_int_known(e)) xfc_int_symbols(b->n->ctx, e, add_symbol, b);
}

/* All elements known; their dims are added. */
static bool add_content(behind *b, const xfc_value *v) {
    int64_t count;
    if (!v->content || !xfc_type_static(b->n->ctx, &v->type, NULL, &count)) return false;
    for (int64_t i = 0; i < count; i++)
        if (!xfc_int_known(v->content[i])) return false;
    for (int64_t i = 0; i < count; i++) add_int(b, v->content[i]);
    return true;
}

static void walk(behind *b, const xfc_value *v, uint32_t depth) {
    if (b->data || xfc_map_get_ptr(&b->seen, v) || xfc_value_is_const(v, NULL) || add_content(b, v)) return;
    b->data = !v->def || b->seen.n == MAX_VALUES || depth == MAX_VALUES;
    if (b->data) return;
    xfc_map_set_ptr(&b->seen, v, v);
    for (uint32_t i = 0; i < v->def->n_attr; i++)
        for (uint32_t k = 0; xfc_key_kind(v->def->attr[i].key) == XFC_ATTR_DIMS && k < v->def->attr[i].n; k++)
            add_int(b, v->def->attr[i].u.dims[k]);
    for (uint32_t i = 0; i < v->def->n_in; i++)
        if (v->def->in[i].value) walk(b, v->def->in[i].value, depth + 1);
}

const char *xfc_remedy(const xfc_node *n, const xfc_value *v, const char *otherwise) {
    behind b = {.n = n, .seen = {.arena = n->im->arena}};
    walk(&b, v, 0);
    if (b.data || !b.n_names) return otherwise;
    xfc_buf text = {.arena = n->im->arena};
    for (uint32_t i = 0; i < b.n_names; i++)
        xfc_buf_printf(&text, "%s'%.80s'", !i ? "" : i + 1 < b.n_names || b.more ? ", " : " and ", b.name[i]);
    const char *which = b.more ? " and others" : "", *first = b.name[0], *bound = "";
    if (v->type.dtype == XFC_BOOL)
        bound = xfc_sprintf(n->im->arena, " or --dim %.80s=2..512", first); /* may decide it */
    return xfc_sprintf(n->im->arena, "not the same for all sizes of %s%s; fix %s, for instance with --dim %.80s=8%s",
                       text.text, which, b.n_names > 1 ? "them" : "it", first, bound);
}

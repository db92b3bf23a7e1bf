/* unify.c - dims of the inputs that the model needs to be equal become one.
 *
 * Exporters name the same dim differently, or not at all. While a graph is imported, an op that needs two sizes to be
 * equal records a constraint. Where one says that a dim symbol is another symbol, a number, or a sum of others, keeping
 * both apart would only hide from later passes what every valid call fulfils. The younger one is then made the older
 * one, and the model is imported once more, so that inference, shape arithmetic and branches see one symbol. The
 * inputs' dims are checked against their types at each call, as those of any dim that occurs twice.
 *
 * Some constraints cannot hold where a dim is small: what is cut off at one end and padded at the other is as long as
 * before only if there was something to cut off. Then the dim's range begins where they can, which lets the sizes that
 * were written with min and max be what they are for every valid call.
 *
 * Broadcasting forces nothing: sizes that may differ by one of them being 1 stay apart, and a note says which, as the
 * user may know better (--dim A=B, or --dim same for all of them, which then become one here).
 */
#include "frontend/onnx/import.h"
#include "ir/defined.h"
#include "ir/ops/ops.h"

xfc_int xfc_unified(const xfc_importer *im, xfc_int symbol) {
    uint64_t id = xfc_map_get(&im->alias, symbol.id);
    return id ? (xfc_int){(uint32_t)id} : symbol;
}

static bool is_dim(const xfc_ctx *c, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(c, e);
    return i->kind == XFC_INT_SYMBOL && i->sym == XFC_SYM_DIM;
}

/* A number, a dim, or a sum of multiples of dims. */
static bool is_plain(const xfc_ctx *c, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(c, e);
    for (uint32_t t = 0; i->kind == XFC_INT_SUM && t < i->n_terms; t++)
        if (i->term[t].n > 1 || (i->term[t].n && !is_dim(c, i->term[t].atom[0]))) return false;
    return i->kind == XFC_INT_CONST || i->kind == XFC_INT_SUM || is_dim(c, e);
}

/* Does e in the place of the symbol keep the range that the symbol was declared with? A sum of dims may exceed the
 * range of a dim that has none of its own. */
static bool fits(xfc_ctx *c, xfc_int symbol, xfc_int e) {
    int64_t lo, hi, least, most;
    xfc_int_range(c, symbol, &lo, &hi);
    xfc_int_range(c, e, &least, &most);
    bool open = hi == XFC_DIM_MAX && xfc_int_look(c, e)->kind == XFC_INT_SUM;
    return least >= lo && (most <= hi || open);
}

/* --- what stands for a dim: as written first, looked up through what has been replaced since --- */

typedef struct {
    xfc_importer *im;
    xfc_int *from, *to;
    uint32_t n, cap, cap_to;
} renaming;

/* What a dim stands for now, found in one step the next time. */
static xfc_int root_of(xfc_importer *im, xfc_int symbol) {
    xfc_int root = symbol;
    uint64_t id;
    while ((id = xfc_map_get(&im->alias, root.id))) root = (xfc_int){(uint32_t)id};
    while ((id = xfc_map_get(&im->alias, symbol.id)) && id != root.id) {
        xfc_map_set(&im->alias, symbol.id, root.id);
        symbol = (xfc_int){(uint32_t)id};
    }
    return root;
}

static void note_replaced(void *user, xfc_int symbol) {
    renaming *r = user;
    if (!xfc_map_get(&r->im->alias, symbol.id)) return;
    uint32_t n = r->n;
    xfc_push(r->im->arena, r->from, n, r->cap) = symbol;
    xfc_push(r->im->arena, r->to, r->n, r->cap_to) = root_of(r->im, symbol);
}

/* e without dims that were replaced. Ends: what replaces a dim uses neither it nor one replaced before. */
static xfc_int settled(xfc_importer *im, xfc_int e) {
    for (;;) {
        renaming r = {.im = im};
        xfc_int_symbols(im->ctx, e, note_replaced, &r);
        if (r.n == 0) return e;
        e = xfc_int_substitute(im->ctx, e, r.from, r.to, r.n);
    }
}

static bool try_replace(xfc_importer *im, xfc_int symbol, xfc_int e) {
    xfc_ctx *c = im->ctx;
    if (!is_dim(c, symbol) || !is_plain(c, e) || xfc_int_uses(c, e, symbol) || !fits(c, symbol, e)) return false;
    xfc_map_set(&im->alias, symbol.id, e.id);
    return true;
}

/* One of their dims is what the other side and the rest of its own leave for it. */
static bool try_solve(xfc_importer *im, xfc_int a, xfc_int b) {
    xfc_ctx *c = im->ctx;
    const xfc_int d = xfc_int_sub(c, a, b);
    const xfc_int_info *i = xfc_int_look(c, d);
    for (uint32_t t = 0; i->kind == XFC_INT_SUM && t < i->n_terms; t++) {
        const xfc_int_term *term = &i->term[t];
        if (term->n != 1 || (term->coeff != 1 && term->coeff != -1)) continue;
        const xfc_int dim = term->atom[0], rest = xfc_int_sub(c, d, xfc_int_mulc(c, dim, term->coeff));
        if (try_replace(im, dim, xfc_int_mulc(c, rest, -term->coeff))) return true;
    }
    return false;
}

/* --- least values --- */

enum { MAX_LEAST = 64 }; /* values tried for each dim of a constraint */

/* A dim of the constraint a == b that cannot have its least value is made one that begins where it can. */

typedef struct {
    xfc_importer *im;
    xfc_int a, b;
    bool found;
} raiser;

static bool can_be(const raiser *r, xfc_int dim, int64_t value) {
    xfc_ctx *c = r->im->ctx;
    xfc_int v = xfc_int_const(c, value);
    return xfc_int_eq(c, xfc_int_substitute(c, r->a, &dim, &v, 1), xfc_int_substitute(c, r->b, &dim, &v, 1)) != 0;
}

static void raise_least(void *user, xfc_int dim) {
    raiser *r = user;
    xfc_ctx *c = r->im->ctx;
    int64_t lo, hi, least;
    if (!is_dim(c, dim) || xfc_map_get(&r->im->alias, dim.id)) return; /* settled in this round */
    xfc_int_range(c, dim, &lo, &hi);
    for (least = lo; least < hi && least - lo < MAX_LEAST && !can_be(r, dim, least);) least++;
    if (least == lo || !can_be(r, dim, least)) return;
    xfc_map_set(&r->im->alias, dim.id, xfc_int_symbol_from(c, dim, least).id);
    r->found = true;
}

static bool raise_ranges(xfc_importer *im) {
    bool found = false;
    for (uint32_t i = 0; i < im->graph->n_constraints; i++) {
        if (im->graph->constraint[i].ones) continue;
        raiser r = {.im = im, .a = im->graph->constraint[i].a, .b = im->graph->constraint[i].b};
        xfc_int_symbols(im->ctx, r.a, raise_least, &r);
        xfc_int_symbols(im->ctx, r.b, raise_least, &r);
        found |= r.found;
    }
    return found;
}

static bool unify_constraints(xfc_importer *im) {
    bool found = false;
    for (uint32_t i = 0; i < im->graph->n_constraints; i++) {
        if (im->graph->constraint[i].ones) continue;
        xfc_int side[2] = {settled(im, im->graph->constraint[i].a), settled(im, im->graph->constraint[i].b)};
        if (!xfc_int_known(side[0]) || !xfc_int_known(side[1]) || xfc_int_same(side[0], side[1])) continue;
        bool younger = side[0].id > side[1].id; /* the first to be replaced, if both are dims */
        found =
            try_replace(im, side[!younger], side[younger]) || try_replace(im, side[younger], side[!younger]) || found;
    }
    return found || raise_ranges(im);
}

/* --- what broadcasting leaves undecided --- */

enum { MAX_NOTES = 8 };

/* What must agree for the two sides to: of x and min(x, y), x and y. A mask that is cut to the keys there are, and dims of
 * caches that are named for each layer, leave such. False: these are no sums of dims. */
static bool meeting(const xfc_importer *im, xfc_int *a, xfc_int *b) {
    xfc_int *side[2] = {a, b};
    for (uint32_t i = 0; i < 2; i++) {
        const xfc_int_info *least = xfc_int_look(im->ctx, *side[i]);
        const xfc_int other = *side[1 - i];
        if (least->kind != XFC_INT_MIN) continue;
        if (xfc_int_same(least->a, other) || xfc_int_same(least->b, other))
            *side[i] = xfc_int_same(least->a, other) ? least->b : least->a;
    }
    return is_plain(im->ctx, *a) && is_plain(im->ctx, *b);
}

static void note_pair(xfc_importer *im, xfc_int a, xfc_int b, xfc_loc loc) {
    if (!is_dim(im->ctx, a) || !is_dim(im->ctx, b)) {
        xfc_graph_note(im->graph, "import", loc,
                       "sizes %s and %s meet in broadcasting and may differ; if they never do, --dim same makes better "
                       "code",
                       xfc_dim_text(im->ctx, a), xfc_dim_text(im->ctx, b));
        return;
    }
    const char *name = xfc_int_look(im->ctx, a.id < b.id ? a : b)->name;
    const char *other = xfc_int_look(im->ctx, a.id < b.id ? b : a)->name;
    xfc_graph_note(im->graph, "import", loc,
                   "dims '%s' and '%s' meet in broadcasting and may differ, one of them being 1; if they never do, "
                   "--dim '%s=%s' makes better code, or --dim same, which says so of all dims",
                   name, other, other, name);
}

/* The dims of what is required with exceptions: unified, or noted. */
static bool meet_pairs(xfc_importer *im, bool unify) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < im->graph->n_constraints; i++) {
        const xfc_constraint *k = &im->graph->constraint[i];
        if (!k->ones || k->ones == XFC_UNEQUAL) continue;
        xfc_int a = unify ? settled(im, k->a) : k->a, b = unify ? settled(im, k->b) : k->b;
        if (!meeting(im, &a, &b) || xfc_int_same(a, b)) continue;
        xfc_int old = a.id < b.id ? a : b, young = a.id < b.id ? b : a;
        if (unify)
            n += try_replace(im, young, old) || try_replace(im, old, young) || try_solve(im, a, b);
        else if (n++ < MAX_NOTES)
            note_pair(im, a, b, k->loc);
    }
    return n > 0;
}

bool xfc_unify_dims(xfc_importer *im) {
    bool found = unify_constraints(im);
    found = (im->same_dims && meet_pairs(im, true)) || found;
    for (uint32_t i = 0; i < im->alias.n; i++) {
        xfc_int old = {(uint32_t)im->alias.entry[i].value};
        xfc_map_set(&im->alias, im->alias.entry[i].key, settled(im, old).id);
    }
    return found;
}

void xfc_note_undecided(xfc_importer *im) { meet_pairs(im, false); }

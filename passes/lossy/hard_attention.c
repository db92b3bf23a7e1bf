/* hard_attention.c - of each row of attention only the largest scores count; the others have no weight.
 *
 * After the selective hard attention of AxFormer (arXiv 2010.03688): a model may answer better where attention cannot
 * spread over what matters little. A site is an attention; its levels keep a half, a quarter and so on of the keys of a
 * typical run, or the one level what the words say. It is a number in the end, so that neither padding nor the rest of a
 * batch changes what a row keeps; a row that is no longer keeps all. The op says it by its attribute `keep`, which means
 * something in ir/ops/composite.c alone. All products are still computed: nothing is saved.
 */
#include "ir/build.h"
#include "passes/lossy/lossy.h"

#include <math.h>
#include <stdlib.h>

enum { LEVELS = 5, USUAL = 2, MOST = 1 << 30 };

typedef struct {
    xfc_op *op;
    int64_t keep[LEVELS + 1]; /* by level */
} hardening;

/* Of n keys; answers how many levels there are. */
static uint32_t list_levels(const xfc_lossy *l, double n, int64_t *keep) {
    const char *word = xfc_lossy_word_of(l, "keep");
    double x = word ? strtod(word, NULL) : 1;
    uint32_t k = 0;
    keep[0] = (int64_t)n;
    if (word) return keep[1] = (int64_t)(x < 1 ? ceil(n * x) : x), 1;
    for (; k < LEVELS && keep[k] > 1; k++) keep[k + 1] = (keep[k] + 1) / 2;
    return k;
}

static void add_site(xfc_lossy *l, xfc_op *op) {
    hardening *h = xfc_new(l->arena, hardening);
    xfc_lossy_site *s = xfc_lossy_add(l, op);
    xfc_int keys = op->in[1].value->type.dim[2];
    uint32_t levels = list_levels(l, xfc_lossy_size(l, keys), h->keep);
    int64_t n;
    bool known = xfc_int_value(l->graph->ctx, keys, &n);
    h->op = op;
    s->data = h;
    s->what = known ? xfc_sprintf(l->arena, "attention over %lld keys", (long long)n) : "attention";
    if (!xfc_attention_is_plain(op)) {
        s->why = "its scores are capped, or stand beside a sink";
        return;
    }
    if (levels == 0 || (known && h->keep[1] >= n)) {
        s->why = "a row has no more scores than would count";
        return;
    }
    const char **says = xfc_new_array(l->arena, const char *, levels + 1);
    says[0] = "all scores count";
    for (uint32_t k = 1; k <= levels; k++)
        says[k] = xfc_sprintf(l->arena, "the %lld largest scores of a row count", (long long)h->keep[k]);
    s->levels = levels;
    s->asked = levels < USUAL ? levels : USUAL;
    s->says = says;
    s->saves = xfc_new_array(l->arena, double, levels + 1);
}

xfc_status xfc_hard_attention_sites(xfc_lossy *l) {
    const char *word = xfc_lossy_word_of(l, "keep");
    double x = word ? strtod(word, NULL) : 1;
    if (!(x > 0 && x <= (double)MOST && (x < 1 || x == floor(x))))
        return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                        "--lossy=hard-attention: keep=%s: how many scores of a row count is a whole number, or below 1 "
                        "their share",
                        word);
    xfc_foreach_op(op, l->graph)
        if (op->code == XFC_OP_ATTENTION) add_site(l, op);
    return XFC_OK;
}

static xfc_status harden(xfc_op *op, int64_t keep) {
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    xfc_value *in[4] = {NULL};
    const xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1)),
                              xfc_attr_int(XFC_K_NAN_TO_ZERO, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)),
                              xfc_attr_int(XFC_K_KEEP, keep)};
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value;
    xfc_value *hard = xfc_build_opt(&b, XFC_OP_ATTENTION, in, op->n_in, attr, XFC_COUNT(attr));
    if (!hard) return XFC_ERR_UNSUPPORTED;
    xfc_value_replace(&op->out[0], hard);
    xfc_op_remove(op);
    return XFC_OK;
}

xfc_status xfc_hard_attention_apply(xfc_lossy *l, const uint32_t *level) {
    for (uint32_t i = 0; i < l->n_sites; i++) {
        const hardening *h = l->site[i].data;
        if (level[i]) XFC_TRY(harden(h->op, h->keep[level[i]]));
    }
    return XFC_OK;
}

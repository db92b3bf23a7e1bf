/* join_attention.c - the results of attention whose keys were split in parts.
 *
 * Of each part there are, for each row, the product of exponents and values, the largest score and the sum of the exponents
 * (make_attention.c). With m the largest of all scores, a sink's too, a part counts exp(its largest - m):
 *
 *   out = sum over parts of weight * product / sum over parts of weight * sum
 *
 * which is softmax over all keys (Dao et al., FlashAttention, 2022, section 3.1; Sanovar et al., Lean Attention, 2024). Sums go
 * over the parts in order. A single part has the weight 1, and the result is that of attention that was not split.
 * A part whose scores are all -inf counts nothing, unless all parts are so: then the row is NaN, as softmax has it.
 */
#include "ir/contract.h"
#include "passes/lower/make_kernels.h"
#include <math.h>

enum { ROWS = XFC_QUERIES };

typedef struct {
    xfc_draft d;
    xfc_ctx *ctx;
    xfc_op *op;
    xfc_value *mix, *top, *sum, *sink;
    xfc_int b, h, first, rows, parts;
    uint32_t most, weight, total; /* temporaries: m, of each part its weight or -1, the sum */
} join;

static void set_up(join *t) {
    xfc_ctx *ctx = t->ctx;
    const xfc_int *q = t->op->in[0].value->type.dim, block = xfc_int_const(ctx, ROWS);
    t->b = xfc_draft_outer(&t->d, "b", q[0]);
    t->h = xfc_draft_outer(&t->d, "h", q[1]);
    t->first = xfc_int_mul(ctx, xfc_draft_outer(&t->d, "block", xfc_int_ceildiv(ctx, q[2], block)), block);
    t->rows = xfc_int_min(ctx, block, xfc_int_sub(ctx, q[2], t->first));
    t->parts = t->mix->type.dim[1];
    const xfc_type of_rows = xfc_type_make(XFC_F32, 1, &block),
                   of_parts = xfc_type_make(XFC_F32, 2, (xfc_int[]){block, t->parts});
    t->most = xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, of_rows);
    t->total = xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, of_rows);
    t->weight = xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, of_parts);
}

/* What part p left for row i: element e of mix, or its top or sum. */
static uint32_t load(join *t, xfc_nestb *nb, xfc_value *v, xfc_int p, xfc_int i, xfc_int e) {
    const xfc_int index[5] = {t->b, p, t->h, xfc_int_add(t->ctx, t->first, i), e};
    return xfc_nb_load(nb, XFC_F32, xfc_draft_buffer_of(&t->d, XFC_BUF_IN, v, v->type), index, v->type.rank);
}

uint32_t xfc_attention_beside(xfc_draft *d, xfc_nestb *nb, const xfc_op *op, xfc_value *v, const xfc_int *at,
                              xfc_int columns) {
    const xfc_int *q = op->in[0].value->type.dim, out[4] = {q[0], q[1], q[2], columns};
    xfc_int index[XFC_MAX_RANK];
    uint32_t skip = 4 - v->type.rank;
    for (uint32_t k = 0; k < v->type.rank; k++)
        index[k] = xfc_broadcast_index(d->e.ctx, at[k + skip], v->type.dim[k], out[k + skip]);
    return xfc_nb_load(nb, XFC_F32, xfc_draft_buffer_of(d, XFC_BUF_IN, v, v->type), index, v->type.rank);
}

static uint32_t load_sink(join *t, xfc_nestb *nb, xfc_int i) {
    const xfc_int at[4] = {t->b, t->h, xfc_int_add(t->ctx, t->first, i), xfc_int_const(t->ctx, 0)};
    return xfc_attention_beside(&t->d, nb, t->op, t->sink, at, xfc_int_const(t->ctx, 1));
}

static void add_most(join *t) {
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), p = xfc_nb_axis(&nb, "p", t->parts, XFC_AXIS_REDUCE);
    xfc_nb_store(&nb, load(t, &nb, t->top, p, i, XFC_INT_NONE), t->most, &i, 1, XFC_S_MAX);
    xfc_draft_nest(&t->d, nb.nest);
}

static uint32_t exp_of_difference(xfc_nestb *nb, uint32_t a, uint32_t b) {
    uint32_t v = xfc_nb_op(nb, XFC_S_SUB, XFC_F32, a, b, XFC_NO_ARG);
    return xfc_nb_op(nb, XFC_S_EXP, XFC_F32, v, XFC_NO_ARG, XFC_NO_ARG);
}

/* last: its exponent joins the sum; else it joins the largest scores. */
static void add_sink(join *t, bool last) {
    if (!t->sink) return;
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL);
    uint32_t sink = load_sink(t, &nb, i), most = xfc_nb_load(&nb, XFC_F32, t->most, &i, 1), v;
    if (last)
        v = xfc_nb_op(&nb, XFC_S_ADD, XFC_F32, xfc_nb_load(&nb, XFC_F32, t->total, &i, 1),
                      exp_of_difference(&nb, sink, most), XFC_NO_ARG);
    else
        v = xfc_nb_op(&nb, XFC_S_MAX, XFC_F32, most, sink, XFC_NO_ARG);
    xfc_nb_store(&nb, v, last ? t->total : t->most, &i, 1, XFC_S_COUNT);
    xfc_draft_nest(&t->d, nb.nest);
}

/* weight * v, 0 of a part that counts nothing, whatever it left */
static uint32_t weighted(xfc_nestb *nb, uint32_t weight, uint32_t v) {
    uint32_t zero = xfc_nb_const_f(nb, XFC_F32, 0);
    uint32_t none = xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, weight, zero, XFC_NO_ARG);
    return xfc_nb_op(nb, XFC_S_SELECT, XFC_F32, none, zero, xfc_nb_op(nb, XFC_S_MUL, XFC_F32, weight, v, XFC_NO_ARG));
}

/* weight = 1 where the part has the largest score, -1 where it has none, else exp(top - most); and the sum of all. */
static void add_weights(join *t) {
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), p = xfc_nb_axis(&nb, "p", t->parts, XFC_AXIS_REDUCE);
    uint32_t top = load(t, &nb, t->top, p, i, XFC_INT_NONE), most = xfc_nb_load(&nb, XFC_F32, t->most, &i, 1);
    uint32_t none = xfc_nb_op(&nb, XFC_S_EQ, XFC_BOOL, top, xfc_nb_const_f(&nb, XFC_F32, -HUGE_VAL), XFC_NO_ARG);
    uint32_t best = xfc_nb_op(&nb, XFC_S_EQ, XFC_BOOL, top, most, XFC_NO_ARG);
    uint32_t v = xfc_nb_op(&nb, XFC_S_SELECT, XFC_F32, none, xfc_nb_const_f(&nb, XFC_F32, -1),
                           exp_of_difference(&nb, top, most));
    v = xfc_nb_op(&nb, XFC_S_SELECT, XFC_F32, best, xfc_nb_const_f(&nb, XFC_F32, 1), v);
    uint32_t sum = weighted(&nb, v, load(t, &nb, t->sum, p, i, XFC_INT_NONE));
    xfc_nb_store(&nb, v, t->weight, (xfc_int[]){i, p}, 2, XFC_S_COUNT);
    xfc_nb_store(&nb, sum, t->total, &i, 1, XFC_S_ADD);
    xfc_draft_nest(&t->d, nb.nest);
}

/* mixed = the sum of the parts; then the result. */
static void add_store(join *t) {
    xfc_ctx *ctx = t->ctx;
    const xfc_int values = t->mix->type.dim[4], block = xfc_int_const(ctx, ROWS);
    uint32_t mixed =
        xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, xfc_type_make(XFC_F32, 2, (xfc_int[]){block, values}));
    for (int store = 0; store < 2; store++) {
        xfc_nestb nb = xfc_nestb_new(ctx, t->d.e.arena);
        xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL),
                e = xfc_nb_axis(&nb, "e", values, XFC_AXIS_PARALLEL), at[2] = {i, e};
        if (!store) {
            xfc_int p = xfc_nb_axis(&nb, "p", t->parts, XFC_AXIS_REDUCE);
            uint32_t weight = xfc_nb_load(&nb, XFC_F32, t->weight, (xfc_int[]){i, p}, 2);
            xfc_nb_store(&nb, weighted(&nb, weight, load(t, &nb, t->mix, p, i, e)), mixed, at, 2, XFC_S_ADD);
        } else {
            xfc_int index[XFC_MAX_RANK] = {t->b, t->h, xfc_int_add(ctx, t->first, i), e};
            xfc_value *out = xfc_absorb_views(ctx, &t->op->out[0], index);
            uint32_t m = xfc_nb_load(&nb, XFC_F32, mixed, at, 2), sum = xfc_nb_load(&nb, XFC_F32, t->total, &i, 1);
            uint32_t to = xfc_draft_buffer_of(&t->d, XFC_BUF_OUT, out, out->type);
            xfc_nb_store(&nb, xfc_attention_result(&nb, t->op, m, sum), to, index, out->type.rank, XFC_S_COUNT);
        }
        xfc_draft_nest(&t->d, nb.nest);
    }
}

/* One division a row. The sum is 0 only without keys (the product is then 0), NaN only if every probability is. */
uint32_t xfc_attention_result(xfc_nestb *nb, const xfc_op *op, uint32_t mix, uint32_t sum) {
    uint32_t zero = xfc_nb_const_f(nb, XFC_F32, 0), one = xfc_nb_const_f(nb, XFC_F32, 1);
    uint32_t none = xfc_nb_op(nb, XFC_S_EQ, XFC_BOOL, sum, zero, XFC_NO_ARG);
    uint32_t part = xfc_nb_op(nb, XFC_S_DIV, XFC_F32, one, sum, XFC_NO_ARG);
    part = xfc_nb_op(nb, XFC_S_SELECT, XFC_F32, none, zero, part);
    uint32_t v = xfc_nb_op(nb, XFC_S_MUL, XFC_F32, mix, part, XFC_NO_ARG);
    if (!xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)) return v;
    uint32_t nan = xfc_nb_op(nb, XFC_S_ISNAN, XFC_BOOL, sum, XFC_NO_ARG, XFC_NO_ARG);
    return xfc_nb_op(nb, XFC_S_SELECT, XFC_F32, nan, zero, v);
}

xfc_op *xfc_kernel_attention_join(xfc_pass *p, xfc_op *op, xfc_op *parts, xfc_value *sink) {
    join t = {.d = xfc_draft_new(p->graph, "attention"),
              .ctx = p->graph->ctx,
              .op = op,
              .mix = &parts->out[0],
              .top = &parts->out[1],
              .sum = &parts->out[2],
              .sink = sink};
    set_up(&t);
    add_most(&t);
    add_sink(&t, false);
    add_weights(&t);
    add_sink(&t, true);
    add_store(&t);
    xfc_draft_loc(&t.d, &op->loc, 1);
    return xfc_draft_commit(&t.d, op, op->loc);
}

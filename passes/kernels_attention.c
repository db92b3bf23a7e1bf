/* kernels_attention.c - the fused attention kernel.
 *
 * Tasks are (batch, head, block of RB query rows). A task holds the scores of its rows in a temporary (RB x keys
 * floats), takes a full softmax of each row there, and multiplies by v; neither scores nor probabilities ever reach
 * memory that another task sees. k^T and v were packed once per (batch, head) by kernels of their own. Division by the
 * row's sum is applied to the RB x e result. softmax((q k^T) * scale + bias): the exponent is taken of score - row
 * maximum, as in softmax's own decomposition.
 */
#include "passes/kernels.h"

enum { RB = 64 };

typedef struct {
    xfc_draft d;
    xfc_ctx *ctx;
    xfc_op *op;
    xfc_int b, h, r0, rows, keys, values, key_row, value_row; /* *_row: row distance of the temporaries */
    uint32_t scores, top, sum, mix;                           /* temporaries */
} attention;

static xfc_int rounded(xfc_ctx *ctx, const xfc_type *packed) {
    return xfc_int_mul(ctx, packed->dim[2], packed->dim[4]);
}

static void set_up(attention *t) {
    xfc_ctx *ctx = t->ctx;
    const xfc_type *q = &t->op->in[0].value->type;
    const xfc_attr *size = xfc_op_attr(t->op, XFC_K_SIZE);
    xfc_int block = xfc_int_const(ctx, RB), blocks = xfc_int_ceildiv(ctx, q->dim[2], block);
    t->keys = size->u.dims[0];
    t->values = size->u.dims[1];
    t->b = xfc_int_axis(ctx, "b", q->dim[0]);
    t->h = xfc_int_axis(ctx, "h", q->dim[1]);
    xfc_int rb = xfc_int_axis(ctx, "block", blocks);
    xfc_draft_axis(&t->d, "b", t->b, q->dim[0]);
    xfc_draft_axis(&t->d, "h", t->h, q->dim[1]);
    xfc_draft_axis(&t->d, "block", rb, blocks);
    t->r0 = xfc_int_mul(ctx, rb, block);
    t->rows = xfc_int_min(ctx, block, xfc_int_sub(ctx, q->dim[2], t->r0));
    t->key_row = rounded(ctx, &t->op->in[1].value->type);
    t->value_row = rounded(ctx, &t->op->in[2].value->type);
    t->scores =
        xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, xfc_type_make(XFC_F32, 2, (xfc_int[]){block, t->key_row}));
    t->top = xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, xfc_type_make(XFC_F32, 1, &block));
    t->sum = xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, xfc_type_make(XFC_F32, 1, &block));
    t->mix =
        xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, xfc_type_make(XFC_F32, 2, (xfc_int[]){block, t->value_row}));
}

static xfc_access packed_access(attention *t, xfc_value *v) {
    xfc_int zero = xfc_int_const(t->ctx, 0);
    return (xfc_access){.buffer = xfc_draft_buffer_of(&t->d, XFC_BUF_IN, v, v->type),
                        .rank = 5,
                        .index = {t->b, t->h, zero, zero, zero}};
}

static void add_scores(attention *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *q = t->op->in[0].value, *k = t->op->in[1].value;
    xfc_int row = xfc_int_axis(ctx, "row", q->type.dim[2]), depth = q->type.dim[3], kk = xfc_int_axis(ctx, "k", depth);
    xfc_int zero = xfc_int_const(ctx, 0), index[XFC_MAX_RANK] = {t->b, t->h, row, kk};
    xfc_rows r = xfc_tile_rows(ctx, q, index, row, kk, t->r0);
    int64_t panel;
    xfc_assert(xfc_int_value(ctx, k->type.dim[4], &panel));
    xfc_tile s = {.a_row = r.stride,
                  .c_row = t->key_row,
                  .rows = t->rows,
                  .depth = depth,
                  .columns = t->keys,
                  .panel = (uint32_t)panel};
    s.a = (xfc_access){.buffer = xfc_draft_buffer_of(&t->d, XFC_BUF_IN, r.source, r.source->type),
                       .rank = r.source->type.rank};
    for (uint32_t d = 0; d < s.a.rank; d++) s.a.index[d] = r.index[d];
    s.b = packed_access(t, k);
    s.c = (xfc_access){.buffer = t->scores, .rank = 2, .index = {zero, zero}};
    xfc_draft_tile(&t->d, s);
}

/* scores = scores * scale + bias; top = their maximum. */
static void add_maximum(attention *t) {
    xfc_ctx *ctx = t->ctx;
    const xfc_op *op = t->op;
    xfc_nestb nb = xfc_nestb_new(ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), j = xfc_nb_axis(&nb, "j", t->keys, XFC_AXIS_REDUCE);
    uint32_t v = xfc_nb_load(&nb, XFC_F32, t->scores, (xfc_int[]){i, j}, 2);
    uint32_t scale = xfc_nb_const_f(&nb, XFC_F32, xfc_op_float(op, XFC_K_SCALE, 1));
    v = xfc_nb_op(&nb, XFC_S_MUL, XFC_F32, v, scale, XFC_NO_ARG);
    if (op->n_in > 3 && op->in[3].value) {
        xfc_value *bias = op->in[3].value;
        const xfc_int full[4] = {t->b, t->h, xfc_int_add(ctx, t->r0, i), j};
        const xfc_type *q = &op->in[0].value->type;
        const xfc_int out[4] = {q->dim[0], q->dim[1], q->dim[2], t->keys};
        xfc_int index[XFC_MAX_RANK];
        uint32_t skip = 4 - bias->type.rank;
        for (uint32_t d = 0; d < bias->type.rank; d++)
            index[d] = xfc_broadcast_index(ctx, full[d + skip], bias->type.dim[d], out[d + skip]);
        uint32_t buffer = xfc_draft_buffer_of(&t->d, XFC_BUF_IN, bias, bias->type);
        v = xfc_nb_op(&nb, XFC_S_ADD, XFC_F32, v, xfc_nb_load(&nb, XFC_F32, buffer, index, bias->type.rank),
                      XFC_NO_ARG);
    }
    xfc_nb_store(&nb, v, t->scores, (xfc_int[]){i, j}, 2, XFC_S_COUNT);
    xfc_nb_store(&nb, v, t->top, &i, 1, XFC_S_MAX);
    xfc_draft_nest(&t->d, nb.nest);
}

/* scores = exp(scores - top); sum = their sum. */
static void add_exponent(attention *t) {
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), j = xfc_nb_axis(&nb, "j", t->keys, XFC_AXIS_REDUCE);
    uint32_t s = xfc_nb_load(&nb, XFC_F32, t->scores, (xfc_int[]){i, j}, 2),
             top = xfc_nb_load(&nb, XFC_F32, t->top, &i, 1);
    uint32_t e = xfc_nb_op(&nb, XFC_S_EXP, XFC_F32, xfc_nb_op(&nb, XFC_S_SUB, XFC_F32, s, top, XFC_NO_ARG), XFC_NO_ARG,
                           XFC_NO_ARG);
    xfc_nb_store(&nb, e, t->scores, (xfc_int[]){i, j}, 2, XFC_S_COUNT);
    xfc_nb_store(&nb, e, t->sum, &i, 1, XFC_S_ADD);
    xfc_draft_nest(&t->d, nb.nest);
}

static void add_mix(attention *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *v = t->op->in[2].value;
    int64_t panel;
    xfc_assert(xfc_int_value(ctx, v->type.dim[4], &panel));
    xfc_int zero = xfc_int_const(ctx, 0);
    xfc_tile s = {.a = {.buffer = t->scores, .rank = 2, .index = {zero, zero}},
                  .b = packed_access(t, v),
                  .c = {.buffer = t->mix, .rank = 2, .index = {zero, zero}},
                  .a_row = t->key_row,
                  .c_row = t->value_row,
                  .rows = t->rows,
                  .depth = t->keys,
                  .columns = t->values,
                  .panel = (uint32_t)panel};
    xfc_draft_tile(&t->d, s);
}

/* out = mix / sum. The sum is 0 only without keys (the product is then 0), NaN only if every probability is. */
static xfc_value *add_store(attention *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_nestb nb = xfc_nestb_new(ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL),
            j = xfc_nb_axis(&nb, "j", t->values, XFC_AXIS_PARALLEL);
    xfc_int index[XFC_MAX_RANK] = {t->b, t->h, xfc_int_add(ctx, t->r0, i), j};
    xfc_value *out = xfc_absorb_views(ctx, &t->op->out[0], index);
    uint32_t m = xfc_nb_load(&nb, XFC_F32, t->mix, (xfc_int[]){i, j}, 2),
             sum = xfc_nb_load(&nb, XFC_F32, t->sum, &i, 1);
    uint32_t zero = xfc_nb_const_f(&nb, XFC_F32, 0), v = xfc_nb_op(&nb, XFC_S_DIV, XFC_F32, m, sum, XFC_NO_ARG);
    uint32_t none = xfc_nb_op(&nb, XFC_S_EQ, XFC_BOOL, sum, zero, XFC_NO_ARG);
    if (xfc_op_int(t->op, XFC_K_NAN_TO_ZERO, 0))
        none = xfc_nb_op(&nb, XFC_S_OR, XFC_BOOL, none,
                         xfc_nb_op(&nb, XFC_S_ISNAN, XFC_BOOL, sum, XFC_NO_ARG, XFC_NO_ARG), XFC_NO_ARG);
    v = xfc_nb_op(&nb, XFC_S_SELECT, XFC_F32, none, zero, v);
    xfc_nb_store(&nb, v, xfc_draft_buffer_of(&t->d, XFC_BUF_OUT, out, out->type), index, out->type.rank, XFC_S_COUNT);
    xfc_draft_nest(&t->d, nb.nest);
    return out;
}

xfc_op *xfc_kernel_attention(xfc_pass *p, xfc_op *op) {
    attention t = {.d = xfc_draft_new(p->graph, "attention"), .ctx = p->graph->ctx, .op = op};
    set_up(&t);
    add_scores(&t);
    add_maximum(&t);
    add_exponent(&t);
    add_mix(&t);
    add_store(&t);
    xfc_draft_loc(&t.d, &op->loc, 1);
    xfc_op *made = xfc_draft_commit(&t.d, op, op->loc);
    xfc_absorbed_remove(op);
    return made;
}

/* packed.c - what onnxruntime makes of an encoder whose batch has no padding: RemovePadding, PackedAttention,
 * PackedMultiHeadAttention and RestorePadding (com.microsoft).
 *
 * All tokens are one sequence [1, tokens, ..], of which a mask hides what belongs to another; where that leaves runs of keys, the
 * run looks at no others (reach). How many tokens are kept is a symbol that the run defines.
 */
#include "frontend/onnx/attention/attention.h"
#include <math.h>

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *reshape(xfc_node *n, xfc_value *v, const xfc_int *dim, uint32_t rank) {
    return v ? xfc_b_reshape(n->b, v, dim, rank) : NULL;
}
static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

static xfc_value *running_sum(xfc_node *n, xfc_value *v, bool exclusive) {
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 0), xfc_attr_int(XFC_K_EXCLUSIVE, exclusive)};
    return v ? xfc_build(n->b, XFC_OP_CUMSUM, &v, 1, attr, XFC_COUNT(attr)) : NULL;
}

static bool has_rank(xfc_node *n, uint32_t i, uint32_t rank) {
    if (xfc_node_has(n, i) && n->in[i]->type.rank == rank) return true;
    return xfc_node_fail(n, XFC_ERR_INPUT, "operand %u must have rank %u; export the model again", i, rank), false;
}

/* --- padding --- */

static xfc_value *sum_of(xfc_node *n, xfc_value *v) {
    static const int64_t axis[1] = {0};
    return v ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, v, axis, 1, true) : NULL;
}

/* The places of tokens, i32[all], in front those of tokens that are kept. */
static xfc_value *kept_first(xfc_node *n, xfc_value *kept, xfc_int all) {
    xfc_value *one = xfc_b_cast(n->b, kept, XFC_I64), *other = xfc_b_cast(n->b, xfc_n1(n, XFC_OP_NOT, kept), XFC_I64),
              *count = sum_of(n, one);
    xfc_value *behind = op(n, XFC_OP_ADD, count, running_sum(n, other, true));
    xfc_value *to = xfc_n_select(n, kept, running_sum(n, one, true), behind);
    xfc_value *at = xfc_n_iota(n, all, constant(n, 0), 1, XFC_I64);
    xfc_attr along = xfc_attr_int(XFC_K_AXIS, 0);
    return to ? xfc_b_cast(n->b, xfc_build(n->b, XFC_OP_SCATTER_ELEMENTS, (xfc_value *[]){at, to, at}, 3, &along, 1),
                           XFC_I32)
              : NULL;
}

/* x [b, s, w] and how many tokens of each row are kept, [b]: the tokens [T, w], the places of all tokens, where rows begin, and
 * the longest row. */
void xfc_import_remove_padding(xfc_node *n) {
    static const int64_t first[1] = {0};
    if (!has_rank(n, 0, 3) || !has_rank(n, 1, 1)) return;
    const xfc_int *d = n->in[0]->type.dim, all = xfc_int_mul(n->ctx, d[0], d[1]), zero = constant(n, 0);
    if (!xfc_n_equal(n, n->in[1]->type.dim[0], d[0], "the batch and the counts of tokens")) return;
    xfc_value *count = xfc_b_cast(n->b, n->in[1], XFC_I64),
              *at = xfc_n_along(n, xfc_n_iota(n, d[1], zero, 1, XFC_I64), 1, 2);
    xfc_value *kept = reshape(n, op(n, XFC_OP_LT, at, xfc_n_along(n, count, 0, 2)), &all, 1);
    n->out[0] =
        xfc_n_gather(n, reshape(n, n->in[0], (xfc_int[]){all, d[2]}, 2), kept ? xfc_n_places(n, kept, all) : NULL, 0);
    if (xfc_node_wants(n, 1)) n->out[1] = reshape(n, kept_first(n, kept, all), d, 2);
    if (xfc_node_wants(n, 2)) {
        const xfc_int before[1] = {constant(n, 1)}, after[1] = {zero};
        xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, 1), xfc_attr_dims(XFC_K_AFTER, after, 1)};
        xfc_value *ends = running_sum(n, count, false);
        n->out[2] = ends ? xfc_b_cast(n->b, xfc_build(n->b, XFC_OP_PAD, &ends, 1, attr, 2), XFC_I32) : NULL;
    }
    if (xfc_node_wants(n, 3) && count)
        n->out[3] = xfc_b_cast(n->b, xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, count, first, 1, true), XFC_I32);
}

/* Tokens [T, w] at the first T of the places [b, s], zeros elsewhere: [b, s, w]. */
void xfc_import_restore_padding(xfc_node *n) {
    if (!has_rank(n, 0, 2) || !has_rank(n, 1, 2)) return;
    const xfc_type t = n->in[0]->type;
    const xfc_int *d = n->in[1]->type.dim, all = xfc_int_mul(n->ctx, d[0], d[1]);
    const uint64_t nothing = 0;
    if (!xfc_n_at_most(n, t.dim[0], all, "the tokens and the places for them")) return;
    xfc_value *place = xfc_n_first(n, reshape(n, xfc_b_cast(n->b, n->in[1], XFC_I64), &all, 1), t.dim[0]);
    place = reshape(n, place, (xfc_int[]){t.dim[0], constant(n, 1)}, 2);
    xfc_value *y =
        xfc_n_splat(n, xfc_tensor_copy(n->ctx, t.dtype, 0, NULL, &nothing, NULL), (xfc_int[]){all, t.dim[1]}, 2);
    y = y && place ? xfc_build(n->b, XFC_OP_SCATTER_ND, (xfc_value *[]){y, place, n->in[0]}, 3, NULL, 0) : NULL;
    n->out[0] = reshape(n, y, (xfc_int[]){d[0], d[1], t.dim[1]}, 3);
}

/* --- attention over tokens --- */

typedef struct {
    xfc_node *n;
    xfc_int tokens;
    xfc_value *row, *at; /* i64[tokens]: the sequence of each, and where it stands in that */
} packed;

/* Operand i: where sequences begin, [b + 1]. */
static bool read_rows(packed *p, uint32_t i) {
    static const int64_t last[1] = {1};
    xfc_node *n = p->n;
    if (!has_rank(n, i, 1)) return false;
    xfc_value *begin = xfc_b_cast(n->b, n->in[i], XFC_I64),
              *token = xfc_n_iota(n, p->tokens, constant(n, 0), 1, XFC_I64);
    const xfc_int batch = xfc_int_addc(n->ctx, n->in[i]->type.dim[0], -1);
    if (!begin || !xfc_n_at_most(n, constant(n, 0), batch, "1 and the entries of cumulative_sequence_length"))
        return false;
    xfc_value *end = xfc_b_slice_axis(n->b, begin, 0, constant(n, 1), batch, 1);
    xfc_value *over = xfc_b_cast(
        n->b, op(n, XFC_OP_GE, xfc_n_along(n, token, 0, 2), end ? xfc_n_along(n, end, 1, 2) : NULL), XFC_I64);
    p->row = over ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, over, last, 1, false) : NULL;
    p->at = op(n, XFC_OP_SUB, token, xfc_n_gather(n, begin, p->row, 0));
    return p->at != NULL;
}

/* The bias [1 or b, 1 or heads, s, s] of pairs of places as one of pairs of tokens. */
static xfc_value *bias_of_tokens(const packed *p, xfc_value *bias) {
    static const int64_t heads_last[] = {0, 2, 3, 1}, heads_first[] = {0, 3, 1, 2};
    xfc_node *n = p->n;
    if (!bias || bias->type.rank != 4)
        return xfc_node_fail(n, XFC_ERR_INPUT, "the bias of the scores must have rank 4; export the model again"), NULL;
    const xfc_type t = bias->type;
    const xfc_int cells = xfc_int_mul(n->ctx, t.dim[0], xfc_int_mul(n->ctx, t.dim[2], t.dim[3]));
    xfc_value *row = op(n, XFC_OP_MIN, p->row, xfc_b_dims(n->b, (xfc_int[]){xfc_int_addc(n->ctx, t.dim[0], -1)}, 1));
    row = op(n, XFC_OP_ADD, op(n, XFC_OP_MUL, row, xfc_b_dims(n->b, &t.dim[2], 1)), p->at);
    row = op(n, XFC_OP_MUL, row, xfc_b_dims(n->b, &t.dim[3], 1));
    /* a pair of two sequences may be none of the table: it is masked, and looks at the last cell */
    xfc_value *cell = row ? op(n, XFC_OP_ADD, xfc_n_along(n, row, 0, 2), xfc_n_along(n, p->at, 1, 2)) : NULL;
    cell = op(n, XFC_OP_MIN, cell, xfc_b_dims(n->b, (xfc_int[]){xfc_int_addc(n->ctx, cells, -1)}, -1));
    xfc_value *table = xfc_b_transpose(n->b, bias, heads_last);
    table = xfc_n_gather(n, reshape(n, table, (xfc_int[]){cells, t.dim[1]}, 2), cell, 0);
    table = reshape(n, table, (xfc_int[]){constant(n, 1), p->tokens, p->tokens, t.dim[1]}, 4);
    return table ? xfc_b_transpose(n->b, table, heads_first) : NULL;
}

/* q, k, v [1, heads, tokens, width]; operands: where sequences begin, and the bias. */
static void attend(xfc_node *n, xfc_value *part[3], uint32_t begins, uint32_t bias) {
    xfc_heads a = {.q = part[0], .k = part[1], .v = part[2]};
    if (!a.q || !a.k || !a.v) return;
    packed p = {.n = n, .tokens = a.q->type.dim[2]};
    if (!read_rows(&p, begins)) return;
    xfc_n_only_if(n, &a, op(n, XFC_OP_EQ, xfc_n_along(n, p.row, 2, 4), xfc_n_along(n, p.row, 3, 4)));
    if (xfc_node_has(n, bias)) a.add = bias_of_tokens(&p, n->in[bias]);
    const double scale = xfc_node_float(n, "scale", 0);
    a.products = a.softmax = xfc_dtype_wide(a.q->type.dtype);
    xfc_n_set_scale(n, &a, scale != 0 ? scale : (double)NAN);
    xfc_value *y = xfc_n_join_heads(n, xfc_n_attend(n, &a, NULL));
    if (y) n->out[0] = reshape(n, y, y->type.dim + 1, 2);
}

/* input, weights of q, k and v side by side, their bias, places of tokens, where sequences begin, bias of the scores */
void xfc_import_packed_attention(xfc_node *n) {
    xfc_value *part[3];
    if (!has_rank(n, 0, 2) || !has_rank(n, 1, 2)) return;
    xfc_value *all = xfc_b_matmul(n->b, n->in[0], n->in[1]);
    all = all ? reshape(n, all, (xfc_int[]){constant(n, 1), all->type.dim[0], all->type.dim[1]}, 3) : NULL;
    if (xfc_n_parts_of(n, all, part)) attend(n, part, 4, 5);
}

/* query, key, value [tokens, width], or all as [tokens, heads, 3, width], their bias, places, where sequences begin, bias */
void xfc_import_packed_multi_head(xfc_node *n) {
    static const int64_t to_front[] = {2, 1, 0, 3};
    const int64_t heads = xfc_node_int(n, "num_heads", 0);
    const xfc_int one = constant(n, 1), count = constant(n, heads);
    const bool joined = !xfc_node_has(n, 1) && !xfc_node_has(n, 2);
    xfc_value *part[3] = {n->in[0], xfc_node_in(n, 1), xfc_node_in(n, 2)}, *all = NULL;
    xfc_int from = constant(n, 0);
    if (heads <= 0 && n->status == XFC_OK) xfc_node_fail(n, XFC_ERR_INPUT, "needs num_heads; export the model again");
    if (n->status != XFC_OK || !has_rank(n, 0, joined ? 4 : 2) ||
        (!joined && (!has_rank(n, 1, 2) || !has_rank(n, 2, 2))))
        return;
    if (xfc_node_has(n, 3) && !has_rank(n, 3, 1)) return;
    if (joined) all = xfc_b_transpose(n->b, n->in[0], to_front); /* [3, heads, tokens, width] */
    for (uint32_t i = 0; i < 3; i++) {
        if (joined) {
            part[i] = all ? xfc_b_slice_axis(n->b, all, 0, constant(n, i), one, 1) : NULL;
        } else {
            const xfc_int *d = part[i]->type.dim;
            part[i] = xfc_n_split_heads(n, reshape(n, part[i], (xfc_int[]){one, d[0], d[1]}, 3), heads);
        }
        if (!part[i]) return;
        const xfc_int width = part[i]->type.dim[3], size = xfc_int_mul(n->ctx, part[i]->type.dim[1], width);
        if (xfc_node_has(n, 3)) {
            xfc_value *bias = xfc_b_slice_axis(n->b, n->in[3], 0, from, size, 1);
            part[i] = op(n, XFC_OP_ADD, part[i], reshape(n, bias, (xfc_int[]){one, count, one, width}, 4));
        }
        from = xfc_int_add(n->ctx, from, size);
    }
    if (xfc_node_has(n, 3) && !xfc_n_equal(n, from, n->in[3]->type.dim[0], "the bias and the widths of q, k and v"))
        return;
    attend(n, part, 5, 6);
}

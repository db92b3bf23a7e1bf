/* tokens.c - fewer tokens: which of them are so alike that they become one (match_tokens), and their means
 * (merge_tokens).
 *
 * Token merging as ToMe does it: a token at an even position may join the token at an odd position whose key is the
 * most alike. match_tokens is what that means, in smaller ops: the mean over heads of the keys, divided by its length,
 * and a product of those at even positions with those at odd ones; match_scores chooses from the scores. match_ragged
 * does so for sequences of different lengths. Back to all tokens needs no op of its own: gather_nd with where each token
 * went.
 *
 *   %to = match_tokens %k {size = [13], protect = 1} : i32[b, 197]           where each of 197 tokens goes among 184
 *   %y, %mass1 = merge_tokens %x, %to, %mass {size = [184]} : f32[b, 184, 384], f32[b, 184]
 *   %z = gather_nd %y, (reshape %to to [b, 197, 1]) {batch_dims = 1} : f32[b, 197, 384]
 *
 * A key that is 0 is like no other: its scores are 0, where ToMe divides 0 by 0.
 */
#include "ir/ops/ops.h"

static xfc_status refuse(xfc_infer *inf, const char *what) {
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "%s %s", xfc_ops[inf->op->code].name, what);
}

/* size = [r] of n tokens, `protect` of which stay as they are: every other one at an even position may go, as long as
 * one at an odd position may stay. */
static xfc_status check_counts(xfc_infer *inf, xfc_int n) {
    xfc_ctx *c = inf->ctx;
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    int64_t protect = xfc_op_int(inf->op, XFC_K_PROTECT, 0);
    const xfc_int none = xfc_int_const(c, 0), two = xfc_int_const(c, 2);
    if (size->n != 1) return refuse(inf, "takes one size, how many tokens go: give one number");
    if (protect < 0 || protect > INT32_MAX) return refuse(inf, "protects so many tokens at the front: give 0 or more");
    xfc_int free = xfc_int_max(c, xfc_int_addc(c, n, -protect), none);
    XFC_TRY(xfc_infer_at_most(inf, none, size->u.dims[0], "0 and the tokens that go"));
    return xfc_infer_at_most(inf, size->u.dims[0], xfc_int_floordiv(c, free, two),
                             "the tokens that go and half of those that are not protected");
}

xfc_status infer_match_tokens(xfc_infer *inf) {
    const xfc_type *k = xfc_op_in(inf->op, 0);
    if (!xfc_dtype_is_float(k->dtype) || k->rank != 4)
        return refuse(inf, "takes keys [batch, heads, tokens, width] of floats: correct its operand");
    XFC_TRY(check_counts(inf, k->dim[2]));
    inf->out[0] = xfc_type_make(XFC_I32, 2, (xfc_int[]){k->dim[0], k->dim[2]});
    return XFC_OK;
}

/* Every second row of x [b, n, d], from row `first` on. */
static xfc_value *every_second(xfc_builder *b, xfc_value *x, int64_t first) {
    static const int64_t step[3] = {1, 2, 1};
    if (!x) return NULL;
    xfc_ctx *c = b->graph->ctx;
    xfc_int none = xfc_int_const(c, 0), n = xfc_int_addc(c, x->type.dim[1], 1 - first);
    const xfc_int start[3] = {none, xfc_int_const(c, first), none},
                  size[3] = {x->type.dim[0], xfc_int_floordiv(c, n, xfc_int_const(c, 2)), x->type.dim[2]};
    return xfc_b_slice(b, x, start, size, step);
}

xfc_status decompose_match_tokens(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    static const int64_t heads = 1, width = 2, swap[] = {0, 2, 1};
    const double shortest = 1.17549435082228750797e-38; /* of a length that is not 0 */
    xfc_value *k = xfc_b_cast(b, op->in[0].value, XFC_F32);
    xfc_value *mean = xfc_b_reduce(b, XFC_OP_REDUCE_MEAN, k, &heads, 1, false);
    xfc_value *square = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, xfc_b_binary(b, XFC_OP_MUL, mean, mean), &width, 1, true);
    xfc_value *length = xfc_b_unary(b, XFC_OP_SQRT, square);
    length = xfc_b_binary(b, XFC_OP_MAX, length, xfc_b_scalar_f(b, XFC_F32, shortest));
    xfc_value *unit = xfc_b_binary(b, XFC_OP_DIV, mean, length);
    xfc_value *odd = xfc_b_transpose(b, every_second(b, unit, 1), swap);
    xfc_value *scores = xfc_b_matmul(b, every_second(b, unit, 0), odd);
    result[0] = xfc_build(b, XFC_OP_MATCH_SCORES, &scores, 1, op->attr, op->n_attr);
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

xfc_status infer_match_scores(xfc_infer *inf) {
    const xfc_type *scores = xfc_op_in(inf->op, 0);
    if (scores->dtype != XFC_F32 || scores->rank != 3)
        return refuse(inf, "takes scores f32[batch, tokens at even positions, at odd ones]: correct its operand");
    xfc_int even = scores->dim[1], odd = scores->dim[2], n = xfc_int_add(inf->ctx, even, odd);
    if (!xfc_int_known(n)) return xfc_fail(inf->ctx, XFC_ERR_LIMIT, inf->op->loc, XFC_INT_UNKNOWN, "the tokens");
    XFC_TRY(xfc_infer_at_most(inf, odd, even, "the tokens at odd positions and those at even ones"));
    XFC_TRY(xfc_infer_at_most(inf, even, xfc_int_addc(inf->ctx, odd, 1),
                              "the tokens at even positions and one more than those at odd ones"));
    XFC_TRY(check_counts(inf, n));
    inf->out[0] = xfc_type_make(XFC_I32, 2, (xfc_int[]){scores->dim[0], n});
    return XFC_OK;
}

xfc_status infer_match_ragged(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0), *cu = xfc_op_in(inf->op, 1);
    int64_t ratio = xfc_op_int(inf->op, XFC_K_RATIO, 0), front = xfc_op_int(inf->op, XFC_K_PROTECT, 0),
            back = xfc_op_int(inf->op, XFC_K_PROTECT_END, 0);
    if (x->dtype != XFC_F32 || x->rank != 2 || cu->dtype != XFC_I32 || cu->rank != 1 ||
        xfc_int_is(inf->ctx, cu->dim[0], 0))
        return refuse(inf, "takes directions f32[tokens, width] and cu i32[sequences + 1]: correct its operands");
    if (ratio < 0 || ratio > 500) return refuse(inf, "merges at most half of the tokens: give a ratio from 0 to 500");
    if (front < 0 || front > INT32_MAX || back < 0 || back > INT32_MAX)
        return refuse(inf, "protects so many tokens at the front and at the end: give 0 or more");
    xfc_int n = xfc_int_addc(inf->ctx, cu->dim[0], -1);
    if (!xfc_int_known(n)) return xfc_fail(inf->ctx, XFC_ERR_LIMIT, inf->op->loc, XFC_INT_UNKNOWN, "the sequences");
    inf->out[0] = xfc_type_make(XFC_I32, 1, x->dim);
    inf->out[1] = xfc_type_make(XFC_I32, 1, &n);
    return XFC_OK;
}

xfc_status infer_merge_tokens(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0), *to = xfc_op_in(inf->op, 1), *mass = xfc_op_in(inf->op, 2);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    const xfc_int none = xfc_int_const(inf->ctx, 0);
    if (x->dtype != XFC_F32 || x->rank != 3 || to->dtype != XFC_I32 || to->rank != 2 || mass->dtype != XFC_F32 ||
        mass->rank != 2)
        return refuse(inf, "takes f32[batch, tokens, width], i32[batch, tokens] and f32[batch, tokens]: cast or "
                           "reshape its operands");
    if (size->n != 1) return refuse(inf, "takes one size, how many tokens there will be: give one number");
    XFC_TRY(xfc_infer_at_most(inf, none, size->u.dims[0], "0 and the tokens that there will be"));
    for (uint32_t d = 0; d < 2; d++) {
        XFC_TRY(xfc_infer_equal(inf, x->dim[d], to->dim[d], "batch and tokens, and where they go"));
        XFC_TRY(xfc_infer_equal(inf, x->dim[d], mass->dim[d], "batch and tokens, and their masses"));
    }
    inf->out[0] = *x;
    inf->out[0].dim[1] = size->u.dims[0];
    inf->out[1] = xfc_type_make(XFC_F32, 2, inf->out[0].dim);
    return XFC_OK;
}

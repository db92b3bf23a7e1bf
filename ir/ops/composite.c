/* composite.c - ops whose meaning is a graph of smaller ops, in the order that is numerically right.
 *
 * Rounding: softmax, layernorm, rmsnorm, gelu and attention compute in f32 for f16 and bf16 operands and round once at
 * the end (ONNX stash_type 1, for all of them); attention of bf16 may round its exponents to bf16, where layout makes
 * both of its products such of pairs. Softmax subtracts the maximum; a row of -inf only therefore gives NaN,
 * as in ONNX. Variance is the mean of squares of x - mean (two passes, no cancellation). Norms divide by sqrt(variance
 * + eps), as ONNX's function bodies do: exact where a reciprocal square root would not be; backends may fold the
 * division into one multiplication a row. linear is matmul and add, each rounded, as the two ONNX nodes it stands for.
 */
#include "ir/contract.h"
#include "ir/ops/ops.h"

#include <math.h>

bool xfc_op_is_narrow(const xfc_op *op) { return xfc_dtype_wide(op->out[0].type.dtype) != op->out[0].type.dtype; }

static xfc_status need_float(xfc_infer *inf) {
    xfc_dtype t = xfc_op_in(inf->op, 0)->dtype;
    if (xfc_dtype_is_float(t)) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_UNSUPPORTED, inf->op->loc, "%s is not defined for %s: cast its operand",
                    xfc_ops[inf->op->code].name, xfc_dtype_name(t));
}

/* Of the first n operands those that are there have the type of the first. */
static xfc_status need_type_of_first(xfc_infer *inf, uint32_t n) {
    const xfc_op *op = inf->op;
    for (uint32_t i = 1; i < op->n_in && i < n; i++) {
        if (!xfc_op_has_in(op, i) || xfc_op_in(op, i)->dtype == xfc_op_in(op, 0)->dtype) continue;
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "operands of %s are %s and %s but must have one type: cast one of them", xfc_ops[op->code].name,
                        xfc_dtype_name(xfc_op_in(op, 0)->dtype), xfc_dtype_name(xfc_op_in(op, i)->dtype));
    }
    return XFC_OK;
}

static xfc_status need_one_type(xfc_infer *inf) { return need_type_of_first(inf, inf->op->n_in); }

/* Operand i, if it is there, broadcasts to `out` without changing it. */
static xfc_status need_broadcast(xfc_infer *inf, uint32_t i, const xfc_type *out, const char *what) {
    return xfc_op_has_in(inf->op, i) ? xfc_infer_fits(inf, xfc_op_in(inf->op, i), out, what) : XFC_OK;
}

/* Ends a decomposition: the result in the type that the op promised, or the failure that the builder recorded. */
static xfc_status finish(xfc_builder *b, const xfc_op *op, xfc_value *value, xfc_value **result) {
    result[0] = xfc_b_cast(b, value, op->out[0].type.dtype);
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

/* An operand that is there, in the type that the op computes in. */
static xfc_value *operand(xfc_builder *b, const xfc_op *op, uint32_t i) {
    xfc_value *value = op->in[i].value;
    return xfc_b_cast(b, value, xfc_dtype_wide(value->type.dtype));
}

xfc_status xfc_decompose_wide(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_value *in[9] = {NULL};
    xfc_assert(op->n_out == 1 && op->n_in <= XFC_COUNT(in));
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value) continue;
        in[i] = operand(b, op, i);
        if (!in[i]) return XFC_ERR_INPUT;
    }
    return finish(b, op, xfc_build_opt(b, op->code, in, op->n_in, op->attr, op->n_attr), result);
}

/* NULL after a failure, like every builder function. */
static xfc_value *scalar_like(xfc_builder *b, xfc_value *v, double x) {
    return v ? xfc_b_scalar_f(b, v->type.dtype, x) : NULL;
}

/* --- mean --- */

/* Sum of elements divided by their number; integers add in i64 and truncate toward zero. Not rounded to the type of x.
 */
static xfc_value *mean_of(xfc_builder *b, xfc_value *x, const int64_t *axes, uint32_t n, bool keepdims) {
    if (!x) return NULL;
    xfc_ctx *ctx = b->graph->ctx;
    xfc_dtype t = xfc_dtype_is_int(x->type.dtype) ? XFC_I64 : xfc_dtype_wide(x->type.dtype);
    xfc_int count = xfc_int_const(ctx, 1);
    for (uint32_t i = 0; i < n; i++) count = xfc_int_mul(ctx, count, x->type.dim[axes[i]]);
    xfc_value *sum = xfc_b_cast(b, x, t), *divisor = xfc_b_dims(b, &count, -1);
    sum = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, sum, axes, n, keepdims);
    return xfc_b_binary(b, XFC_OP_DIV, sum, xfc_b_cast(b, divisor, t));
}

xfc_status decompose_mean(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    const xfc_attr *axes = xfc_op_attr(op, XFC_K_AXES);
    bool keepdims = xfc_op_int(op, XFC_K_KEEPDIMS, 0) != 0;
    return finish(b, op, mean_of(b, op->in[0].value, axes->u.ints, axes->n, keepdims), result);
}

/* --- linear --- */

xfc_status infer_linear(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0), *w = xfc_op_in(inf->op, 1);
    if (!xfc_widens(x->dtype, w->dtype)) XFC_TRY(need_one_type(inf));
    if (x->rank < 2 || w->rank != 2 || x->dtype == XFC_BOOL) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "linear of %s and %s: needs numbers, x with at least 2 dims and w with 2",
                        xfc_type_text(inf->ctx, x), xfc_type_text(inf->ctx, w));
    }
    XFC_TRY(xfc_infer_equal(inf, x->dim[x->rank - 1], w->dim[0], "the inner dims of linear"));
    inf->out[0] = *x;
    inf->out[0].dim[x->rank - 1] = w->dim[1];
    if (!xfc_op_has_in(inf->op, 2)) return XFC_OK;
    const xfc_type *bias = xfc_op_in(inf->op, 2);
    if (bias->rank != 1) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "the bias of linear has %u dims but must have 1: reshape it", (unsigned)bias->rank);
    }
    return xfc_infer_equal(inf, bias->dim[0], w->dim[1], "the bias and the columns of linear");
}

xfc_status decompose_linear(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_value *y = xfc_b_matmul(b, op->in[0].value, op->in[1].value);
    if (xfc_op_has_in(op, 2)) y = xfc_b_binary(b, XFC_OP_ADD, y, op->in[2].value);
    return finish(b, op, y, result);
}

/* --- softmax --- */

xfc_status infer_softmax(xfc_infer *inf) {
    uint32_t axis;
    XFC_TRY(need_float(inf));
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), xfc_op_in(inf->op, 0)->rank, &axis));
    return infer_same(inf);
}

static xfc_value *softmax_of(xfc_builder *b, xfc_value *x, int64_t axis) {
    xfc_value *max = xfc_b_reduce(b, XFC_OP_REDUCE_MAX, x, &axis, 1, true);
    xfc_value *e = xfc_b_unary(b, XFC_OP_EXP, xfc_b_binary(b, XFC_OP_SUB, x, max));
    xfc_value *sum = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, e, &axis, 1, true);
    return xfc_b_binary(b, XFC_OP_DIV, e, sum);
}

xfc_status decompose_softmax(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    return finish(b, op, softmax_of(b, operand(b, op, 0), xfc_op_int(op, XFC_K_AXIS, 0)), result);
}

/* --- norms --- */

xfc_status infer_norm(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    uint32_t axis;
    XFC_TRY(need_float(inf));
    XFC_TRY(need_one_type(inf));
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), x->rank, &axis));
    XFC_TRY(need_broadcast(inf, 1, x, "the scale"));
    XFC_TRY(need_broadcast(inf, 2, x, "the bias"));
    return infer_same(inf);
}

xfc_status infer_crmsnorm(xfc_infer *inf) {
    XFC_TRY(infer_norm(inf));
    if (xfc_op_int(inf->op, XFC_K_AXIS, 0) + 1 == (int64_t)xfc_op_in(inf->op, 0)->rank) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "crmsnorm is over the last dim: correct its axis");
}

static xfc_value *mean_from(xfc_builder *b, xfc_value *x, int64_t axis) {
    int64_t axes[XFC_MAX_RANK];
    uint32_t n = 0;
    if (!x) return NULL;
    for (int64_t d = axis; d < (int64_t)x->type.rank; d++) axes[n++] = d;
    return mean_of(b, x, axes, n, true);
}

/* x / sqrt(mean(x * x) + eps) * scale + bias, the last two if there. */
static xfc_value *normalized(xfc_builder *b, const xfc_op *op, xfc_value *x) {
    double eps = xfc_op_float(op, XFC_K_EPS, 0);
    xfc_value *square = mean_from(b, xfc_b_binary(b, XFC_OP_MUL, x, x), xfc_op_int(op, XFC_K_AXIS, 0));
    xfc_value *y = xfc_b_binary(
        b, XFC_OP_DIV, x, xfc_b_unary(b, XFC_OP_SQRT, xfc_b_binary(b, XFC_OP_ADD, square, scalar_like(b, x, eps))));
    if (xfc_op_has_in(op, 1)) y = xfc_b_binary(b, XFC_OP_MUL, y, operand(b, op, 1));
    if (xfc_op_has_in(op, 2)) y = xfc_b_binary(b, XFC_OP_ADD, y, operand(b, op, 2));
    return y;
}

xfc_status decompose_layernorm(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_value *x = operand(b, op, 0);
    xfc_value *centred = xfc_b_binary(b, XFC_OP_SUB, x, mean_from(b, x, xfc_op_int(op, XFC_K_AXIS, 0)));
    return finish(b, op, normalized(b, op, centred), result);
}

xfc_status decompose_rmsnorm(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    return finish(b, op, normalized(b, op, operand(b, op, 0)), result);
}

/* The channel that is left out is minus the sum of the others. */
xfc_status decompose_crmsnorm(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_value *x = operand(b, op, 0);
    int64_t last = xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_int d = xfc_int_addc(b->graph->ctx, op->in[0].value->type.dim[last], 1);
    xfc_value *sum = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, x, &last, 1, true);
    xfc_value *square = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, xfc_b_binary(b, XFC_OP_MUL, x, x), &last, 1, true);
    square = xfc_b_binary(b, XFC_OP_ADD, square, xfc_b_binary(b, XFC_OP_MUL, sum, sum));
    if (!square) return XFC_ERR_INPUT;
    square = xfc_b_binary(b, XFC_OP_DIV, square, xfc_b_cast(b, xfc_b_dims(b, &d, -1), square->type.dtype));
    square = xfc_b_binary(b, XFC_OP_ADD, square, scalar_like(b, square, xfc_op_float(op, XFC_K_EPS, 0)));
    return finish(b, op, xfc_b_binary(b, XFC_OP_DIV, x, xfc_b_unary(b, XFC_OP_SQRT, square)), result);
}

/* --- gelu --- */

xfc_status infer_gelu(xfc_infer *inf) {
    XFC_TRY(need_float(inf));
    return infer_same(inf);
}

/* erf form: 0.5 x (1 + erf(x / sqrt 2)); tanh form: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). */
xfc_status decompose_gelu(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_value *x = operand(b, op, 0), *f;
    if (xfc_op_int(op, XFC_K_APPROXIMATE, 0)) {
        xfc_value *cube = xfc_b_binary(b, XFC_OP_MUL, xfc_b_binary(b, XFC_OP_MUL, x, x), x);
        xfc_value *inner =
            xfc_b_binary(b, XFC_OP_ADD, x, xfc_b_binary(b, XFC_OP_MUL, cube, scalar_like(b, x, 0.044715)));
        f = xfc_b_unary(b, XFC_OP_TANH, xfc_b_binary(b, XFC_OP_MUL, inner, scalar_like(b, x, 0.79788456080286535588)));
    } else {
        f = xfc_b_unary(b, XFC_OP_ERF, xfc_b_binary(b, XFC_OP_MUL, x, scalar_like(b, x, 0.70710678118654752440)));
    }
    xfc_value *half = xfc_b_binary(b, XFC_OP_MUL, x, scalar_like(b, x, 0.5));
    return finish(b, op, xfc_b_binary(b, XFC_OP_MUL, half, xfc_b_binary(b, XFC_OP_ADD, f, scalar_like(b, x, 1))),
                  result);
}

/* --- attention --- */

xfc_status infer_attention(xfc_infer *inf) {
    const xfc_type *q = xfc_op_in(inf->op, 0), *k = xfc_op_in(inf->op, 1), *v = xfc_op_in(inf->op, 2);
    XFC_TRY(need_float(inf));
    XFC_TRY(need_type_of_first(inf, 4));
    if (xfc_op_int(inf->op, XFC_K_KEEP, 1) < 1)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "attention keeps %lld scores of a row but must keep at least 1",
                        (long long)xfc_op_int(inf->op, XFC_K_KEEP, 1));
    if (q->rank != 4 || k->rank != 4 || v->rank != 4) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "attention of %s, %s and %s: each needs 4 dims [batch, heads, rows, width]",
                        xfc_type_text(inf->ctx, q), xfc_type_text(inf->ctx, k), xfc_type_text(inf->ctx, v));
    }
    for (uint32_t d = 0; d < 2; d++) {
        XFC_TRY(xfc_infer_equal(inf, q->dim[d], k->dim[d], "batch and heads of q and k"));
        XFC_TRY(xfc_infer_equal(inf, q->dim[d], v->dim[d], "batch and heads of q and v"));
    }
    XFC_TRY(xfc_infer_equal(inf, q->dim[3], k->dim[3], "the widths of q and k"));
    XFC_TRY(xfc_infer_equal(inf, k->dim[2], v->dim[2], "the rows of k and v"));
    xfc_type scores = *q;
    scores.dim[3] = k->dim[2];
    XFC_TRY(need_broadcast(inf, 3, &scores, "the bias"));
    XFC_TRY(xfc_infer_reach_and_sink(inf, 4));
    inf->out[0] = *q;
    inf->out[0].dim[3] = v->dim[3];
    return XFC_OK;
}

static xfc_status check_reach(xfc_infer *inf, uint32_t i) {
    const xfc_type *t = xfc_op_in(inf->op, i), *q = xfc_op_in(inf->op, 0);
    xfc_type all = xfc_type_make(XFC_I32, 4, q->dim);
    all.dim[2] = xfc_int_ceildiv(inf->ctx, q->dim[2], xfc_int_const(inf->ctx, XFC_QUERIES));
    all.dim[3] = xfc_int_const(inf->ctx, 2);
    if (t->dtype != XFC_I32 || t->rank != 4 || !xfc_op_has_in(inf->op, 3))
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "the reach of attention is %s: it is what `reach` makes of its bias",
                        xfc_type_text(inf->ctx, t));
    XFC_TRY(xfc_infer_equal(inf, t->dim[3], all.dim[3], "the numbers of a reach and 2"));
    return xfc_infer_fits(inf, t, &all, "the reach");
}

xfc_status xfc_infer_reach_and_sink(xfc_infer *inf, uint32_t i) {
    const xfc_attr *cap = xfc_op_attr(inf->op, XFC_K_SOFTCAP);
    if (cap && !(cap->u.f > 0 && isfinite(cap->u.f)))
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "softcap of attention is %g but must be above 0",
                        cap->u.f);
    if (xfc_op_has_in(inf->op, i)) XFC_TRY(check_reach(inf, i));
    if (!xfc_op_has_in(inf->op, i + 1)) return XFC_OK;
    const xfc_type *q = xfc_op_in(inf->op, 0), *sink = xfc_op_in(inf->op, i + 1);
    xfc_type row = *q;
    row.dim[3] = xfc_int_const(inf->ctx, 1);
    if (sink->dtype != q->dtype && sink->dtype != xfc_dtype_wide(q->dtype))
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "the sink of attention of %s is %s: cast it",
                        xfc_dtype_name(q->dtype), xfc_dtype_name(sink->dtype));
    return xfc_infer_fits(inf, sink, &row, "the sink");
}

bool xfc_attention_is_plain(const xfc_op *op) {
    return !xfc_op_attr(op, XFC_K_KEEP) && !xfc_op_attr(op, XFC_K_SOFTCAP) && !xfc_op_has_in(op, 5);
}

/* c * tanh(s / c) */
static xfc_value *capped(xfc_builder *b, xfc_value *s, double cap) {
    s = xfc_b_binary(b, XFC_OP_DIV, s, scalar_like(b, s, cap));
    return s ? xfc_b_binary(b, XFC_OP_MUL, xfc_b_unary(b, XFC_OP_TANH, s), scalar_like(b, s, cap)) : NULL;
}

/* Softmax over the keys and one score more, which gets no weight of the result. */
static xfc_value *softmax_beside(xfc_builder *b, xfc_value *s, xfc_value *sink) {
    static const int64_t axis = 3;
    if (!sink) return softmax_of(b, s, axis);
    xfc_value *max = xfc_b_binary(b, XFC_OP_MAX, xfc_b_reduce(b, XFC_OP_REDUCE_MAX, s, &axis, 1, true), sink);
    xfc_value *e = xfc_b_unary(b, XFC_OP_EXP, xfc_b_binary(b, XFC_OP_SUB, s, max));
    xfc_value *sum = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, e, &axis, 1, true);
    sum = xfc_b_binary(b, XFC_OP_ADD, sum, xfc_b_unary(b, XFC_OP_EXP, xfc_b_binary(b, XFC_OP_SUB, sink, max)));
    return xfc_b_binary(b, XFC_OP_DIV, e, sum);
}

xfc_value *xfc_attention_weights(xfc_builder *b, const xfc_op *op, xfc_value *s, xfc_value *bias, xfc_value *sink) {
    const double cap = xfc_op_float(op, XFC_K_SOFTCAP, 0);
    const xfc_attr *keep = xfc_op_attr(op, XFC_K_KEEP);
    s = xfc_b_binary(b, XFC_OP_MUL, s, scalar_like(b, s, xfc_op_float(op, XFC_K_SCALE, 1)));
    if (cap > 0) s = capped(b, s, cap);
    if (bias) s = xfc_b_binary(b, XFC_OP_ADD, s, bias);
    if (keep && s) s = xfc_build(b, XFC_OP_KEEP_LARGEST, &s, 1, keep, 1);
    xfc_value *p = softmax_beside(b, s, sink);
    if (xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0))
        p = xfc_b_select(b, xfc_b_unary(b, XFC_OP_ISNAN, p), scalar_like(b, p, 0), p);
    return p;
}

/* Without the reach: what lies outside has no weight. */
xfc_status decompose_attention(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    static const int64_t swap[] = {0, 1, 3, 2};
    if (xfc_op_is_narrow(op)) return xfc_decompose_wide(b, op, result);
    xfc_value *q = operand(b, op, 0), *k = operand(b, op, 1), *v = operand(b, op, 2);
    xfc_value *bias = xfc_op_has_in(op, 3) ? operand(b, op, 3) : NULL,
              *sink = xfc_op_has_in(op, 5) ? operand(b, op, 5) : NULL;
    xfc_value *p = xfc_attention_weights(b, op, xfc_b_matmul(b, q, xfc_b_transpose(b, k, swap)), bias, sink);
    return finish(b, op, xfc_b_matmul(b, p, v), result);
}

/* heads.c - what the attention operators of both domains share (attention.h).
 *
 * It is the IR's attention, with its cap and sink. Scores that are outputs spell it out: in the type of the
 * operands, where q and k are scaled by the root of the scale each, so that f16 does not overflow.
 */
#include "frontend/onnx/attention/attention.h"
#include <math.h>

static const int64_t swap_rows_heads[4] = {0, 2, 1, 3};

xfc_value *xfc_n_split_heads(xfc_node *n, xfc_value *v, int64_t heads) {
    if (!v || v->type.rank == 4) return v;
    xfc_int h = xfc_int_const(n->ctx, heads);
    xfc_int dim[4] = {v->type.dim[0], v->type.dim[1], h, xfc_dims_divide(n->ctx, v->type.dim + 2, 1, &h, 1)};
    return xfc_b_transpose(n->b, xfc_b_reshape(n->b, v, dim, 4), swap_rows_heads);
}

xfc_value *xfc_n_join_heads(xfc_node *n, xfc_value *v) {
    if (!v) return NULL;
    const xfc_int *d = v->type.dim;
    xfc_int joined[3] = {d[0], d[2], xfc_int_mul(n->ctx, d[1], d[3])};
    return xfc_b_reshape(n->b, xfc_b_transpose(n->b, v, swap_rows_heads), joined, 3);
}

xfc_value *xfc_n_repeat_heads(xfc_node *n, xfc_value *v, xfc_int heads) {
    if (!v || xfc_int_same(v->type.dim[1], heads)) return v;
    const xfc_int *d = v->type.dim;
    xfc_int one = xfc_int_const(n->ctx, 1), times = xfc_dims_divide(n->ctx, &heads, 1, d + 1, 1);
    xfc_int split[5] = {d[0], d[1], one, d[2], d[3]}, grown[5] = {d[0], d[1], times, d[2], d[3]};
    xfc_int joined[4] = {d[0], heads, d[2], d[3]};
    return xfc_b_reshape(n->b, xfc_b_expand(n->b, xfc_b_reshape(n->b, v, split, 5), grown, 5), joined, 4);
}

xfc_value *xfc_n_numbers(xfc_node *n, xfc_int size, xfc_int start, uint32_t axis) {
    return xfc_n_along(n, xfc_n_iota(n, size, start, 1, XFC_I64), axis, 4);
}

xfc_value *xfc_n_pad_keys(xfc_node *n, xfc_value *v, xfc_int keys, double fill) {
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK], zero = xfc_int_const(n->ctx, 0);
    if (!v || !v->type.rank) return v;
    uint32_t rank = v->type.rank, last = rank - 1;
    for (uint32_t i = 0; i < rank; i++) before[i] = after[i] = zero;
    after[last] = xfc_int_sub(n->ctx, keys, v->type.dim[last]);
    if (xfc_int_is(n->ctx, after[last], 0)) return v;
    if (!xfc_n_at_most(n, v->type.dim[last], keys, "the columns of a mask and the keys")) return NULL;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, rank), xfc_attr_dims(XFC_K_AFTER, after, rank),
                       xfc_attr_float(XFC_K_FILL, fill)};
    return xfc_build(n->b, XFC_OP_PAD, &v, 1, attr, XFC_COUNT(attr));
}

xfc_value *xfc_n_append(xfc_node *n, xfc_value *past, xfc_value *rows, xfc_value *first, uint32_t axis, xfc_int keys,
                        const xfc_int *used) {
    const xfc_int zero = xfc_int_const(n->ctx, 0), size[3] = {keys, used ? keys : zero, used ? *used : zero};
    const xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_dims(XFC_K_SIZE, size, 3)};
    return past && rows && first ? xfc_build(n->b, XFC_OP_APPEND, (xfc_value *[]){past, rows, first}, 3, attr, 2)
                                 : NULL;
}

void xfc_n_only_if(xfc_node *n, xfc_heads *a, xfc_value *condition) {
    a->keep = a->keep ? xfc_n2(n, XFC_OP_AND, a->keep, condition) : condition;
}

void xfc_n_set_scale(xfc_node *n, xfc_heads *a, double given) {
    int64_t width;
    xfc_int depth = a->q->type.dim[3];
    a->scale = given;
    if (!isnan(given)) return;
    bool known = xfc_int_value(n->ctx, depth, &width);
    a->scale = known && width > 0 ? 1 / sqrt((double)width) : 1;
    if (known) return;
    xfc_dtype type = a->q->type.dtype, wide = xfc_dtype_wide(type);
    xfc_value *root = xfc_n1(n, XFC_OP_SQRT, xfc_b_cast(n->b, xfc_b_dims(n->b, &depth, -1), wide));
    a->q = xfc_b_cast(n->b, xfc_n2(n, XFC_OP_DIV, xfc_b_cast(n->b, a->q, wide), root), type);
}

static xfc_value *bias_of(xfc_node *n, const xfc_heads *a) {
    if (!a->keep) return a->add;
    xfc_value *add = a->add ? a->add : xfc_nf(n, a->q, 0);
    return xfc_n_select(n, a->keep, add, xfc_nf(n, a->q, (double)-INFINITY));
}

/* Softmax over the keys and one score more, which is left out of the result. */
static xfc_value *softmax(xfc_node *n, xfc_value *x, xfc_value *sink) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 3);
    const int64_t last[1] = {3};
    if (!x) return NULL;
    if (!sink) return xfc_build(n->b, XFC_OP_SOFTMAX, &x, 1, &axis, 1);
    sink = xfc_b_cast(n->b, sink, x->type.dtype);
    xfc_value *top = xfc_n2(n, XFC_OP_MAX, xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, x, last, 1, true), sink);
    xfc_value *e = xfc_n1(n, XFC_OP_EXP, xfc_n2(n, XFC_OP_SUB, x, top));
    xfc_value *sum = e ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, e, last, 1, true) : NULL;
    sum = xfc_n2(n, XFC_OP_ADD, sum, xfc_n1(n, XFC_OP_EXP, xfc_n2(n, XFC_OP_SUB, sink, top)));
    return xfc_n2(n, XFC_OP_DIV, e, sum);
}

static xfc_value *spelled_out(xfc_node *n, const xfc_heads *a, xfc_value *bias, xfc_stages *stages) {
    xfc_dtype type = a->q->type.dtype;
    xfc_value *q = xfc_b_cast(n->b, a->q, a->products), *k = xfc_b_cast(n->b, a->k, a->products);
    xfc_value **stage = stages->score;
    double root = sqrt(fabs(a->scale));
    q = xfc_n2(n, XFC_OP_MUL, q, xfc_nf(n, q, copysign(root, a->scale)));
    k = xfc_n2(n, XFC_OP_MUL, k, xfc_nf(n, k, root));
    xfc_value *score = xfc_b_matmul(n->b, q, xfc_b_swap_last(n->b, k));
    stage[0] = score;
    if (a->softcap > 0) {
        xfc_value *cap = xfc_nf(n, score, a->softcap);
        score = xfc_n2(n, XFC_OP_MUL, xfc_n1(n, XFC_OP_TANH, xfc_n2(n, XFC_OP_DIV, score, cap)), cap);
    }
    stage[1] = score;
    if (bias && score) bias = xfc_n_fitting(n, xfc_b_cast(n->b, bias, a->products), score, "the mask");
    stage[2] = score = bias ? xfc_n2(n, XFC_OP_ADD, score, bias) : score;
    if (!score) return NULL;
    score = xfc_b_cast(n->b, score, a->softmax);
    xfc_value *p = softmax(n, a->modified ? a->modified(n, "score_mod", score) : score, a->sink);
    if (p && a->may_be_empty) p = xfc_b_select(n->b, xfc_n1(n, XFC_OP_ISNAN, p), xfc_nf(n, p, 0), p);
    if (a->modified) p = a->modified(n, "prob_mod", p);
    stage[3] = p = p ? xfc_b_cast(n->b, p, a->products) : NULL;
    for (uint32_t i = 0; i < XFC_COUNT(stages->score) && p; i++) stage[i] = xfc_b_cast(n->b, stage[i], type);
    xfc_value *y = xfc_b_matmul(n->b, p, xfc_b_cast(n->b, a->v, a->products));
    return y ? xfc_b_cast(n->b, y, type) : NULL;
}

xfc_value *xfc_n_attend(xfc_node *n, xfc_heads *a, xfc_stages *stages) {
    xfc_value *bias = bias_of(n, a);
    if (n->status != XFC_OK || !a->q || !a->k || !a->v || ((a->keep || a->add) && !bias)) return NULL;
    if (stages) return spelled_out(n, a, bias, stages);
    xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, a->scale)};
    xfc_value *in[6] = {a->q, a->k, a->v, bias, NULL, a->sink ? xfc_b_cast(n->b, a->sink, a->q->type.dtype) : NULL};
    uint32_t n_attr = 1, n_in = XFC_COUNT(in);
    if (a->may_be_empty) attr[n_attr++] = xfc_attr_int(XFC_K_NAN_TO_ZERO, 1);
    if (a->softcap > 0) attr[n_attr++] = xfc_attr_float(XFC_K_SOFTCAP, a->softcap);
    while (!in[n_in - 1]) n_in--;
    return xfc_build_opt(n->b, XFC_OP_ATTENTION, in, n_in, attr, n_attr);
}

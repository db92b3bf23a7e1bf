/* contrib_quant.c - onnxruntime's quantized operators (domain com.microsoft).
 *
 * Products are matmul_integer and what follows it, as in quant.c. The others are what their definition says: numbers
 * are dequantized, the operator of floats is applied, its result quantized; so a pass sees the form that models with
 * QuantizeLinear and DequantizeLinear have. onnxruntime computes some of them with other factors, and may differ by one
 * step where a result lies between two.
 */
#include "frontend/onnx/quant/quant.h"

/* --- products --- */

static xfc_value *plus_bias(xfc_node *n, xfc_value *y, uint32_t at) {
    if (!y || !xfc_node_has(n, at)) return y;
    xfc_value *bias = xfc_n_fitting(n, n->in[at], y, "the bias");
    return bias ? xfc_n2(n, XFC_OP_ADD, y, bias) : NULL;
}

/* a @ b in floats, a's scale and zero point as values, those of b at operands. */
static xfc_value *product(xfc_node *n, xfc_value *a, xfc_value *b, xfc_value *a_scale, xfc_value *a_zero,
                          uint32_t b_scale, uint32_t b_zero) {
    xfc_quant q;
    int64_t columns = (int64_t)b->type.rank - 1;
    if (b->type.rank < 2 || !a || !xfc_quant_read(n, &b->type, b->type.dtype, b_scale, b_zero, columns, 0, false, &q))
        return NULL;
    return xfc_n_rescale(n, xfc_n_matmul_integer(n, a, b, a_zero, q.zero), a_scale, q.scale);
}

/* a (f32), b, its scale and zero point, bias */
void xfc_import_dynamic_quantize_matmul(xfc_node *n) {
    xfc_dynamic a;
    if (!xfc_n_dynamic_quantize(n, n->in[0], &a)) return;
    n->out[0] = plus_bias(n, product(n, a.y, n->in[1], a.scale, a.zero, 2, 3), 4);
}

/* a, b, their scales, their zero points, bias */
void xfc_import_matmul_integer_to_float(xfc_node *n) {
    xfc_value *a = n->in[0];
    xfc_quant q;
    if (xfc_quant_read(n, &a->type, a->type.dtype, 2, 4, (int64_t)a->type.rank - 2, 0, false, &q))
        n->out[0] = plus_bias(n, product(n, a, n->in[1], q.scale, q.zero, 3, 5), 6);
}

/* a, its scale and zero point; b, its scale and zero point; c (i32); the scale and zero point of y, without which it is
 * of floats */
void xfc_import_qgemm(xfc_node *n) {
    static const int64_t swap[] = {1, 0};
    xfc_value *a = n->in[0], *b = n->in[3];
    xfc_quant qa, qb;
    if (a->type.rank != 2 || b->type.rank != 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "multiplies tensors of rank %u and %u; both must be matrices", a->type.rank,
                      b->type.rank);
        return;
    }
    if (xfc_node_flag(n, "transA", false)) a = xfc_b_transpose(n->b, a, swap);
    if (xfc_node_flag(n, "transB", false)) b = xfc_b_transpose(n->b, b, swap);
    if (!a || !b || !xfc_quant_read(n, &a->type, a->type.dtype, 1, 2, 0, 0, false, &qa) ||
        !xfc_quant_read(n, &b->type, b->type.dtype, 4, 5, 1, 0, false, &qb))
        return;
    xfc_value *acc = plus_bias(n, xfc_n_matmul_integer(n, a, b, qa.zero, qb.zero), 6);
    double alpha = xfc_node_float(n, "alpha", 1);
    if (alpha != 1) qa.scale = xfc_n2(n, XFC_OP_MUL, qa.scale, xfc_nf(n, qa.scale, alpha));
    n->out[0] = xfc_node_has(n, 7) ? xfc_n_requantize(n, acc, qa.scale, qb.scale, 7, a->type.dtype)
                                   : xfc_n_rescale(n, acc, qa.scale, qb.scale);
}

/* --- elements --- */

/* Operand `at` as floats, its scale and zero point behind it: one number each. */
static xfc_value *number(xfc_node *n, uint32_t at) {
    xfc_value *x = xfc_node_in(n, at);
    xfc_quant q;
    if (!x) return xfc_node_fail(n, XFC_ERR_INPUT, "has too few operands; quantize the model again"), NULL;
    if (!xfc_quant_read(n, &x->type, x->type.dtype, at + 1, at + 2, 0, 0, false, &q)) return NULL;
    return xfc_n_dequantize(n, x, &q, XFC_F32);
}

/* y in few bits, by the scale at operand `at` and the zero point behind it. */
static xfc_value *in_few_bits(xfc_node *n, xfc_value *y, uint32_t at, const xfc_value *like) {
    xfc_value *zero = xfc_node_in(n, at + 1);
    xfc_dtype to = zero ? zero->type.dtype : like->type.dtype;
    xfc_quant q;
    return y && xfc_quant_read(n, &y->type, to, at, at + 1, 0, 0, true, &q) ? xfc_n_quantize(n, y, &q, to) : NULL;
}

/* An operand of qlinear_binary: its numbers, as f32, and theirs of 0 and 1. */
typedef struct {
    xfc_value *x, *zero, *scale;
} plain;

static bool read_plain(xfc_node *n, uint32_t at, plain *out) {
    xfc_value *x = xfc_node_in(n, at);
    xfc_quant q;
    if (!x) return xfc_node_fail(n, XFC_ERR_INPUT, "has too few operands; quantize the model again"), false;
    if (!xfc_quant_read(n, &x->type, x->type.dtype, at + 1, at + 2, 0, 0, false, &q)) return false;
    *out = (plain){xfc_b_cast(n->b, x, XFC_F32), NULL, q.scale};
    out->zero = q.zero ? xfc_b_cast(n->b, q.zero, XFC_F32) : xfc_nf(n, out->x, 0);
    return out->x && out->zero;
}

/* a * ra + (b * rb + rest), with rest = y_zero - (a_zero * ra + b_zero * rb) and r the scale over that of y. */
static xfc_value *sum_of(xfc_node *n, const plain *a, const plain *b, xfc_value *scale, xfc_value *zero) {
    xfc_value *ra = xfc_n2(n, XFC_OP_DIV, a->scale, scale), *rb = xfc_n2(n, XFC_OP_DIV, b->scale, scale);
    xfc_value *rest = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, a->zero, ra), xfc_n2(n, XFC_OP_MUL, b->zero, rb));
    rest = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, b->x, rb), xfc_n2(n, XFC_OP_SUB, zero, rest));
    return xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, a->x, ra), rest);
}

/* (a - a_zero) * (b - b_zero) * (a_scale * b_scale / y_scale) + y_zero */
static xfc_value *product_of(xfc_node *n, const plain *a, const plain *b, xfc_value *scale, xfc_value *zero) {
    xfc_value *r = xfc_n2(n, XFC_OP_DIV, xfc_n2(n, XFC_OP_MUL, a->scale, b->scale), scale);
    xfc_value *y = xfc_n2(n, XFC_OP_MUL, xfc_n2(n, XFC_OP_SUB, a->x, a->zero), xfc_n2(n, XFC_OP_SUB, b->x, b->zero));
    return xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, y, r), zero);
}

/* With scales of few digits many results lie between two numbers, and f32 decides which. So they are computed in onnxruntime's
 * order, to which the operators belong: ratios of scales first, and what is rounded has the zero point in it. */
void xfc_import_qlinear_binary(xfc_node *n) {
    plain a, b;
    xfc_quant q;
    xfc_value *given = xfc_node_in(n, 7);
    xfc_dtype to = given ? given->type.dtype : n->in[0]->type.dtype;
    if (!read_plain(n, 0, &a) || !read_plain(n, 3, &b) || !xfc_quant_read(n, &n->in[0]->type, to, 6, 7, 0, 0, true, &q))
        return;
    xfc_value *zero = q.zero ? xfc_b_cast(n->b, q.zero, XFC_F32) : xfc_nf(n, a.x, 0);
    xfc_value *y = (n->row->code == XFC_OP_ADD ? sum_of : product_of)(n, &a, &b, q.scale, zero);
    const xfc_quant rounds = {.scale = y ? xfc_nf(n, y, 1) : NULL};
    n->out[0] = rounds.scale ? xfc_n_quantize(n, y, &rounds, to) : NULL;
}

void xfc_import_qlinear_sigmoid(xfc_node *n) {
    n->out[0] = in_few_bits(n, xfc_n1(n, XFC_OP_SIGMOID, number(n, 0)), 3, n->in[0]);
}

void xfc_import_qlinear_leaky_relu(xfc_node *n) {
    xfc_value *x = number(n, 0), *zero = xfc_nf(n, x, 0);
    xfc_value *less = xfc_n2(n, XFC_OP_MUL, x, xfc_nf(n, x, xfc_node_float(n, "alpha", (double)0.01f)));
    xfc_value *below = xfc_n2(n, XFC_OP_LT, x, zero);
    n->out[0] = below && less ? in_few_bits(n, xfc_b_select(n->b, below, less, x), 3, n->in[0]) : NULL;
}

/* Below opset 13 of the default domain, which the node names, over all dims from the axis on. */
void xfc_import_qlinear_softmax(xfc_node *n) {
    xfc_value *x = number(n, 0);
    if (!x) return;
    const xfc_type t = x->type;
    int64_t opset = xfc_node_int(n, "opset", 13);
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", -1), t.rank);
    if (n->status != XFC_OK) return;
    if (opset < 13) {
        xfc_int dim[2] = {xfc_dims_product(n->ctx, t.dim, axis), xfc_dims_product(n->ctx, t.dim + axis, t.rank - axis)};
        x = xfc_b_reshape(n->b, x, dim, 2);
        axis = 1;
    }
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    x = x ? xfc_build(n->b, XFC_OP_SOFTMAX, &x, 1, &attr, 1) : NULL;
    n->out[0] = in_few_bits(n, x ? xfc_b_reshape(n->b, x, t.dim, t.rank) : NULL, 3, n->in[0]);
}

void xfc_import_qlinear_global_average_pool(xfc_node *n) {
    xfc_value *x = number(n, 0);
    bool last = xfc_node_flag(n, "channels_last", false);
    int64_t axes[XFC_MAX_RANK];
    if (!x || n->status != XFC_OK) return;
    if (x->type.rank < 3) {
        xfc_node_fail(n, XFC_ERR_INPUT, "pools a tensor of rank %u; it must have batch, channels and more",
                      x->type.rank);
        return;
    }
    for (uint32_t d = 0; d + 2 < x->type.rank; d++) axes[d] = d + (last ? 1 : 2);
    n->out[0] = in_few_bits(n, xfc_b_reduce(n->b, XFC_OP_REDUCE_MEAN, x, axes, x->type.rank - 2, true), 3, n->in[0]);
}

/* What the importer of floats makes of operand 0 as floats, in few bits by the scale at operand 3. */
static void in_floats(xfc_node *n, xfc_node_import *import, const int64_t *perm, const int64_t *back) {
    xfc_value *x = number(n, 0), **own = n->in;
    const uint32_t n_own = n->n_in;
    const xfc_value *like = n->in[0];
    if (x && perm) x = xfc_b_transpose(n->b, x, perm);
    if (!x) return;
    n->in = &x, n->n_in = 1;
    import(n);
    n->in = own, n->n_in = n_own;
    xfc_value *y = n->status == XFC_OK ? n->out[0] : NULL;
    if (y && back) y = xfc_b_transpose(n->b, y, back);
    n->out[0] = in_few_bits(n, y, 3, like);
}

void xfc_import_qlinear_average_pool(xfc_node *n) {
    const uint32_t rank = n->in[0]->type.rank;
    int64_t perm[XFC_MAX_RANK] = {0}, back[XFC_MAX_RANK] = {0};
    bool last = xfc_node_flag(n, "channels_last", false) && rank > 2;
    for (uint32_t d = 1; d < rank; d++) perm[d] = d == 1 ? rank - 1 : d - 1, back[d] = d == rank - 1 ? 1 : d + 1;
    in_floats(n, xfc_import_average_pool, last ? perm : NULL, last ? back : NULL);
}

void xfc_import_qlinear_reduce_mean(xfc_node *n) { in_floats(n, xfc_import_reduce, NULL, NULL); }

/* The condition; x and y, each with its scale and zero point; those of the result. */
void xfc_import_qlinear_where(xfc_node *n) {
    xfc_value *x = number(n, 1), *y = number(n, 4);
    if (x && y) n->out[0] = in_few_bits(n, xfc_b_select(n->b, n->in[0], x, y), 7, n->in[1]);
}

/* The scale and zero point of y; then each part with its own. */
void xfc_import_qlinear_concat(xfc_node *n) {
    uint32_t parts = (n->n_in - 2) / 3;
    if (n->n_in != 2 + 3 * parts || !xfc_node_has(n, 2)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a scale and a zero point with each tensor; quantize the model again");
        return;
    }
    xfc_value **part = xfc_new_array(n->im->arena, xfc_value *, parts + 1u);
    for (uint32_t i = 0; i < parts; i++)
        if (!(part[i] = number(n, 2 + 3 * i))) return;
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, xfc_node_axis(n, xfc_node_int(n, "axis", 0), part[0]->type.rank));
    if (n->status == XFC_OK)
        n->out[0] = in_few_bits(n, xfc_build(n->b, XFC_OP_CONCAT, part, parts, &attr, 1), 0, n->in[2]);
}

/* As EmbedLayerNormalization, whose tables, gamma and beta are in few bits: their scales are operands 8 to 12, their zero
 * points 13 to 17. */
void xfc_import_qembed_layer_norm(xfc_node *n) {
    enum { FIRST = 2, TABLES = 5, OPERANDS = 8 };
    xfc_value *in[OPERANDS], **own = n->in;
    const uint32_t n_own = n->n_in;
    for (uint32_t i = 0; i < OPERANDS; i++) in[i] = xfc_node_in(n, i);
    for (uint32_t i = 0; i < TABLES; i++) {
        xfc_value *v = in[FIRST + i];
        xfc_quant q;
        if (!v) continue; /* there are no segments */
        if (!xfc_quant_read(n, &v->type, v->type.dtype, OPERANDS + i, OPERANDS + TABLES + i, 0, 0, false, &q)) return;
        if (!(in[FIRST + i] = xfc_n_dequantize(n, v, &q, XFC_F32))) return;
    }
    n->in = in, n->n_in = OPERANDS;
    xfc_import_embed_layer_norm(n);
    n->in = own, n->n_in = n_own;
}

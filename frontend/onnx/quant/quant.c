/* quant.c - the quantized operators of the default domain.
 *
 * Each keeps its scales and zero points as operands of the IR's quantize, dequantize and matmul_integer (ir/ops/
 * quantize.c), for a pass that has kernels for them. DynamicQuantizeLinear is such a quantize, whose scale is computed
 * from the least and the largest element in plain ops. A product's result in few bits is the quantize, with scale 1, of
 * the sum times (a_scale * b_scale / y_scale): the one factor that onnxruntime and the reference multiply by.
 */
#include "frontend/onnx/quant/quant.h"
#include <math.h>

/* --- scales and zero points --- */

static bool refuse(xfc_node *n, uint32_t operand, const char *what) {
    xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' %s; quantize the model again", xfc_node_in_name(n, operand), what);
    return false;
}

/* A number a block, of a weight, may be 0 or negative; of one for all elements 0 would leave nothing of them. */
static bool check_scale(xfc_node *n, uint32_t at, bool divides) {
    const xfc_tensor *t;
    xfc_dtype type = n->in[at]->type.dtype;
    if (!xfc_dtype_is_float(type) && !xfc_dtype_is_code(type)) return refuse(n, at, "is a scale, but no float");
    if (!xfc_value_is_const(n->in[at], &t)) return true;
    for (int64_t i = 0; i < t->count; i++) {
        double v = xfc_tensor_get_f(t, i);
        if (!isfinite(v)) return refuse(n, at, "holds a scale that is NaN or infinite");
        if (divides && v <= 0) return refuse(n, at, "holds a scale that is 0 or negative");
        if (v == 0 && t->count == 1) return refuse(n, at, "is a scale of 0");
    }
    return true;
}

/* A scale or zero point as one number; NULL: failed, it is none. */
static xfc_value *single(xfc_node *n, uint32_t at) {
    xfc_value *v = n->in[at];
    const xfc_tensor *t;
    const xfc_int one = xfc_int_const(n->ctx, 1);
    if (xfc_value_is_const(v, &t) && t->count == 1)
        return xfc_b_const(n->b, xfc_tensor_copy(n->ctx, t->dtype, 0, NULL, t->data, NULL));
    if (v->type.rank > 1 || (v->type.rank && !xfc_graph_require(n->im->graph, v->type.dim[0], one, 0, n->loc)))
        return refuse(n, at, "must be one number"), NULL;
    if (v->type.rank) v = xfc_n_pick(n, v, 0); /* also of an open dim */
    return v ? xfc_b_reshape(n->b, v, NULL, 0) : NULL;
}

/* A list along dim `axis` of x, which it may also be one number for. */
static xfc_value *list_along(xfc_node *n, uint32_t at, const xfc_type *x, uint32_t axis) {
    xfc_value *v = n->in[at];
    if (xfc_graph_require(n->im->graph, v->type.dim[0], x->dim[axis], XFC_A_MAY_BE_1, n->loc))
        return xfc_n_along(n, v, axis, x->rank);
    return refuse(n, at, "does not have one number for each index of its axis"), NULL;
}

static bool is_single(const xfc_node *n, uint32_t at) {
    const xfc_type *t = &n->in[at]->type;
    return t->rank == 0 || (t->rank == 1 && xfc_int_is(n->ctx, t->dim[0], 1));
}

/* The value so that it stands for its elements of x; NULL: failed. */
static xfc_value *stand(xfc_node *n, uint32_t at, const xfc_type *x, int64_t axis, int64_t block) {
    if (block) return n->in[at]; /* the op checks it */
    if (is_single(n, at)) return single(n, at);
    if (n->in[at]->type.rank != 1)
        return refuse(n, at, "must be one number or a list of one for each index of an axis"), NULL;
    uint32_t along = xfc_node_axis(n, axis, x->rank);
    return n->status == XFC_OK ? list_along(n, at, x, along) : NULL;
}

static bool is_zero(xfc_node *n, uint32_t at) {
    const xfc_tensor *t;
    if (!xfc_value_is_const(n->in[at], &t)) return true;
    for (int64_t i = 0; i < t->count; i++)
        if (xfc_tensor_get_f(t, i) != 0) return refuse(n, at, "is a zero point of floats other than 0");
    return true;
}

bool xfc_quant_read(xfc_node *n, const xfc_type *x, xfc_dtype stored, uint32_t scale, uint32_t zero, int64_t axis,
                    int64_t block, bool divides, xfc_quant *out) {
    *out = (xfc_quant){.block = block};
    if (!xfc_node_has(n, scale))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has no scale; quantize the model again"), false;
    if (block < 0 || block > XFC_DIM_MAX)
        return xfc_node_fail(n, XFC_ERR_INPUT, "block size %lld is no size; quantize the model again",
                             (long long)block),
               false;
    if (!check_scale(n, scale, divides)) return false;
    if (block) out->axis = xfc_node_axis(n, axis, x->rank);
    if (n->status != XFC_OK || !(out->scale = stand(n, scale, x, axis, block))) return false;
    if (xfc_dtype_is_code(out->scale->type.dtype)) out->scale = xfc_b_cast(n->b, out->scale, XFC_F32);
    if (!xfc_node_has(n, zero)) return true;
    if (n->in[zero]->type.dtype != stored)
        return xfc_node_fail(n, XFC_ERR_INPUT, "zero point '%s' is %s, but belongs to %s; quantize the model again",
                             xfc_node_in_name(n, zero), xfc_dtype_name(n->in[zero]->type.dtype),
                             xfc_dtype_name(stored)),
               false;
    if (xfc_dtype_is_code(stored)) return is_zero(n, zero); /* it says which type, no more */
    return (out->zero = stand(n, zero, x, axis, block)) != NULL;
}

static xfc_value *convert(xfc_node *n, xfc_opcode code, xfc_value *x, const xfc_quant *q, xfc_dtype to) {
    if (!x || !q->scale) return NULL;
    xfc_value *in[3] = {x, q->scale, q->zero};
    xfc_attr attr[3] = {xfc_attr_dtype(XFC_K_TO, to), xfc_attr_int(XFC_K_AXIS, q->axis),
                        xfc_attr_int(XFC_K_BLOCK, q->block)};
    return xfc_build_opt(n->b, code, in, q->zero ? 3 : 2, attr, q->block ? 3 : 1);
}

xfc_value *xfc_n_dequantize(xfc_node *n, xfc_value *x, const xfc_quant *q, xfc_dtype to) {
    return convert(n, XFC_OP_DEQUANTIZE, x, q, to);
}

xfc_value *xfc_n_quantize(xfc_node *n, xfc_value *x, const xfc_quant *q, xfc_dtype to) {
    return convert(n, XFC_OP_QUANTIZE, x, q, to);
}

/* An attribute that names an element type, 0: absent. */
static bool read_type(xfc_node *n, const char *name, xfc_dtype absent, xfc_dtype *out) {
    int64_t number = xfc_node_int(n, name, 0);
    *out = absent;
    if (number == 0 || n->status != XFC_OK) return n->status == XFC_OK;
    if (xfc_dtype_from_onnx(number, out)) return true;
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "attribute '%s' is element type %lld, which is not supported", name,
                  (long long)number);
    return false;
}

/* Scales of blocks as a scale of each element: of a one, dequantized, that is what is left. */
static xfc_value *scale_of_each(xfc_node *n, const xfc_quant *q, const xfc_type *x) {
    xfc_value *one = xfc_b_scalar_i(n->b, XFC_I8, 1);
    one = one ? xfc_b_expand(n->b, one, x->dim, x->rank) : NULL;
    return q->scale ? xfc_n_dequantize(n, one, q, q->scale->type.dtype) : NULL;
}

void xfc_import_quantize(xfc_node *n) {
    xfc_value *x = n->in[0], *zero = xfc_node_in(n, 2);
    xfc_dtype to, precision;
    xfc_quant q;
    if (!read_type(n, "output_dtype", zero ? zero->type.dtype : XFC_U8, &to) ||
        !read_type(n, "precision", xfc_dtype_is_code(n->in[1]->type.dtype) ? XFC_F32 : n->in[1]->type.dtype,
                   &precision))
        return;
    bool beyond = xfc_dtype_is_code(to) && !xfc_minifloat_of(to)->finite && !xfc_node_flag(n, "saturate", true);
    if (!xfc_quant_read(n, &x->type, to, 1, 2, xfc_node_int(n, "axis", 1), xfc_node_int(n, "block_size", 0), true, &q))
        return;
    q.scale = xfc_b_cast(n->b, q.scale, precision);
    if (beyond) {
        xfc_value *scale = q.block ? scale_of_each(n, &q, &x->type) : q.scale;
        xfc_value *v = xfc_n2(n, XFC_OP_DIV, xfc_b_cast(n->b, x, precision), scale);
        n->out[0] = v ? xfc_n_cast_beyond(n, v, to) : NULL;
        return;
    }
    n->out[0] = xfc_n_quantize(n, xfc_b_cast(n->b, x, precision), &q, to);
}

void xfc_import_dequantize(xfc_node *n) {
    xfc_value *x = n->in[0];
    xfc_dtype to;
    xfc_quant q;
    xfc_dtype scale = n->in[1]->type.dtype;
    if (!read_type(n, "output_dtype", xfc_dtype_is_code(scale) ? XFC_F32 : scale, &to)) return;
    if (xfc_quant_read(n, &x->type, x->type.dtype, 1, 2, xfc_node_int(n, "axis", 1), xfc_node_int(n, "block_size", 0),
                       false, &q))
        n->out[0] = xfc_n_dequantize(n, x, &q, to);
}

/* --- dynamic --- */

static xfc_value *extreme(xfc_node *n, xfc_opcode reduce, xfc_opcode join, xfc_value *x) {
    int64_t axes[XFC_MAX_RANK];
    for (uint32_t d = 0; d < x->type.rank; d++) axes[d] = d;
    xfc_value *v = xfc_b_reduce(n->b, reduce, x, axes, x->type.rank, false);
    return xfc_n2(n, join, v, xfc_nf(n, v, 0)); /* 0 is a number of the type in any case */
}

/* A range of nothing but 0 has scale 1 / 255, as in onnxruntime. */
bool xfc_n_dynamic_quantize(xfc_node *n, xfc_value *x, xfc_dynamic *out) {
    *out = (xfc_dynamic){0};
    if (x->type.dtype != XFC_F32)
        return xfc_node_fail(n, XFC_ERR_INPUT, "quantizes %s, but only f32 can be; cast it",
                             xfc_dtype_name(x->type.dtype)),
               false;
    xfc_value *most = extreme(n, XFC_OP_REDUCE_MAX, XFC_OP_MAX, x),
              *least = extreme(n, XFC_OP_REDUCE_MIN, XFC_OP_MIN, x);
    xfc_value *range = xfc_n2(n, XFC_OP_SUB, most, least), *zero = xfc_nf(n, range, 0), *one = xfc_nf(n, range, 1);
    xfc_value *is_empty = xfc_n2(n, XFC_OP_EQ, range, zero);
    range = is_empty && zero && one ? xfc_b_select(n->b, is_empty, one, range) : NULL;
    out->scale = xfc_n2(n, XFC_OP_DIV, range, xfc_nf(n, range, 255));
    xfc_value *at = xfc_n2(n, XFC_OP_DIV, xfc_n2(n, XFC_OP_SUB, zero, least), out->scale);
    at = xfc_n1(n, XFC_OP_ROUND, at);
    out->zero = at ? xfc_b_cast(n->b, at, XFC_U8) : NULL; /* saturates */
    if (!out->zero) return false;
    xfc_quant q = {.scale = out->scale, .zero = out->zero};
    return (out->y = xfc_n_quantize(n, x, &q, XFC_U8)) != NULL;
}

void xfc_import_dynamic_quantize(xfc_node *n) {
    xfc_dynamic d;
    if (!xfc_n_dynamic_quantize(n, n->in[0], &d)) return;
    xfc_value *made[3] = {d.y, d.scale, d.zero};
    for (uint32_t i = 0; i < n->n_out; i++) n->out[i] = made[i];
}

/* --- products --- */

/* Operand `at`, a scale or zero point, as it broadcasts to an operand of a product: along dim `along` from the end, if
 * it is a list. */
static xfc_value *of_operand(xfc_node *n, uint32_t at, const xfc_type *t, uint32_t along) {
    if (is_single(n, at)) return single(n, at);
    if (n->in[at]->type.rank != 1) return n->in[at]; /* the op checks it */
    return t->rank < 2 ? single(n, at) : list_along(n, at, t, t->rank - along);
}

static xfc_value *plain_product(xfc_node *n, xfc_value *a, xfc_value *b, void *zeros) {
    xfc_value *const *zero = zeros, *in[4] = {a, b, zero[0], zero[1]};
    return a && b ? xfc_build_opt(n->b, XFC_OP_MATMUL_INTEGER, in, 4, NULL, 0) : NULL;
}

xfc_value *xfc_n_matmul_integer(xfc_node *n, xfc_value *a, xfc_value *b, xfc_value *a_zero, xfc_value *b_zero) {
    xfc_value *zero[2] = {a_zero, b_zero};
    return xfc_n_product(n, a, b, plain_product, zero);
}

/* Operands a and b, zero points at a_zero and b_zero. False: failed. */
static bool read_zeros(xfc_node *n, uint32_t b, uint32_t a_zero, uint32_t b_zero, xfc_value **out) {
    uint32_t of[2] = {0, b}, at[2] = {a_zero, b_zero};
    for (uint32_t i = 0; i < 2; i++) {
        out[i] = NULL;
        if (!xfc_node_has(n, at[i])) continue;
        const xfc_type *t = &n->in[of[i]]->type;
        if (n->in[at[i]]->type.dtype != t->dtype)
            return refuse(n, at[i], "is a zero point of another type than its tensor");
        out[i] = of_operand(n, at[i], t, 2 - i);
        if (!out[i]) return false;
    }
    return true;
}

void xfc_import_matmul_integer(xfc_node *n) {
    xfc_value *zero[2];
    if (read_zeros(n, 1, 2, 3, zero)) n->out[0] = xfc_n_matmul_integer(n, n->in[0], n->in[1], zero[0], zero[1]);
}

xfc_value *xfc_n_rescale(xfc_node *n, xfc_value *acc, xfc_value *a_scale, xfc_value *b_scale) {
    if (!acc || !a_scale || !b_scale) return NULL;
    xfc_value *factor = xfc_n2(n, XFC_OP_MUL, xfc_b_cast(n->b, a_scale, XFC_F32), xfc_b_cast(n->b, b_scale, XFC_F32));
    return xfc_n2(n, XFC_OP_MUL, xfc_b_cast(n->b, acc, XFC_F32), factor);
}

xfc_value *xfc_n_requantize(xfc_node *n, xfc_value *acc, xfc_value *a_scale, xfc_value *b_scale, uint32_t scale,
                            xfc_dtype absent) {
    xfc_value *zero = xfc_node_in(n, scale + 1);
    if (!acc || !a_scale || !b_scale || !check_scale(n, scale, true)) return NULL;
    xfc_quant y = {.scale = xfc_b_scalar_f(n->b, XFC_F32, 1), .zero = zero ? single(n, scale + 1) : NULL};
    xfc_value *factor = xfc_n2(n, XFC_OP_MUL, xfc_b_cast(n->b, a_scale, XFC_F32), xfc_b_cast(n->b, b_scale, XFC_F32));
    xfc_value *y_scale = single(n, scale);
    if (!y_scale || (zero && !y.zero)) return NULL;
    factor = xfc_n2(n, XFC_OP_DIV, factor, xfc_b_cast(n->b, y_scale, XFC_F32));
    return xfc_n_quantize(n, xfc_n2(n, XFC_OP_MUL, xfc_b_cast(n->b, acc, XFC_F32), factor), &y,
                          zero ? zero->type.dtype : absent);
}

/* a, its scale and zero point; b, its scale and zero point; the scale and zero point of y */
void xfc_import_qlinear_matmul(xfc_node *n) {
    xfc_value *a = n->in[0], *b = n->in[3], *zero[2];
    if (!check_scale(n, 1, false) || !check_scale(n, 4, false) || !read_zeros(n, 3, 2, 5, zero)) return;
    xfc_value *a_scale = of_operand(n, 1, &a->type, 2), *b_scale = of_operand(n, 4, &b->type, 1);
    xfc_value *acc = xfc_n_matmul_integer(n, a, b, zero[0], zero[1]);
    n->out[0] = xfc_n_requantize(n, acc, a_scale, b_scale, 6, a->type.dtype);
}

/* --- convolutions --- */

/* Operand w with its zero point and that of x. False: failed. */
static bool read_conv_zeros(xfc_node *n, uint32_t w, uint32_t x_zero, uint32_t w_zero, xfc_value **out) {
    uint32_t of[2] = {0, w}, at[2] = {x_zero, w_zero};
    for (uint32_t i = 0; i < 2; i++) {
        out[i] = NULL;
        if (!xfc_node_has(n, at[i])) continue;
        if (n->in[at[i]]->type.dtype != n->in[of[i]]->type.dtype)
            return refuse(n, at[i], "is a zero point of another type than its tensor");
        out[i] = i == 0 || is_single(n, at[i]) ? single(n, at[i]) : stand(n, at[i], &n->in[w]->type, 0, 0);
        if (!out[i]) return false;
        if (out[i]->type.rank) out[i] = n->in[at[i]]; /* as a list */
    }
    return true;
}

/* x, w, their zero points */
void xfc_import_conv_integer(xfc_node *n) {
    xfc_value *zero[2];
    if (read_conv_zeros(n, 1, 2, 3, zero))
        n->out[0] = xfc_n_conv_integer(n, n->in[0], n->in[1], zero[0], zero[1], NULL);
}

/* x, its scale and zero point; w, its scale and zero point; the scale and zero point of y; bias */
void xfc_import_qlinear_conv(xfc_node *n) {
    xfc_value *x = n->in[0], *w = n->in[3], *bias = xfc_node_in(n, 8), *zero[2];
    if (!check_scale(n, 1, false) || !check_scale(n, 4, false) || !read_conv_zeros(n, 3, 2, 5, zero)) return;
    if (bias && bias->type.dtype != XFC_I32) {
        xfc_node_fail(n, XFC_ERR_INPUT, "the bias must be of int32; quantize the model again");
        return;
    }
    xfc_value *acc = xfc_n_conv_integer(n, x, w, zero[0], zero[1], bias), *w_scale = stand(n, 4, &w->type, 0, 0);
    if (!acc || !w_scale) return;
    if (w_scale->type.rank) w_scale = xfc_n_along(n, n->in[4], 1, acc->type.rank);
    n->out[0] = xfc_n_requantize(n, acc, single(n, 1), w_scale, 6, x->type.dtype);
}

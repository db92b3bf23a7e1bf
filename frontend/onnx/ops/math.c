/* math.c - element-wise arithmetic and activations.
 *
 * One op where a scalar row exists; else the defining formula in a form that neither overflows nor loses NaN: selects
 * on a comparison pass NaN through the branch that keeps it.
 */
#include "frontend/onnx/import.h"
#include <float.h>
#include <math.h>

void xfc_import_unary(xfc_node *n) { n->out[0] = xfc_n1(n, n->row->code, n->in[0]); }
void xfc_import_binary(xfc_node *n) { n->out[0] = xfc_n2(n, n->row->code, n->in[0], n->in[1]); }

void xfc_import_variadic(xfc_node *n) {
    xfc_value *v = n->in[0];
    for (uint32_t i = 1; i < n->n_in; i++) v = xfc_n2(n, n->row->code, v, n->in[i]);
    n->out[0] = v;
}

void xfc_import_mean(xfc_node *n) {
    xfc_value *v = n->in[0];
    for (uint32_t i = 1; i < n->n_in; i++) v = xfc_n2(n, XFC_OP_ADD, v, n->in[i]);
    n->out[0] = xfc_n2(n, XFC_OP_DIV, v, xfc_nf(n, v, n->n_in));
}

void xfc_import_mod(xfc_node *n) {
    n->out[0] = xfc_n2(n, xfc_node_flag(n, "fmod", false) ? XFC_OP_FMOD : XFC_OP_MOD, n->in[0], n->in[1]);
}

/* The result has the base's type. An integer base with a float exponent is computed in f64, wide enough for 53-bit
 * integers. */
void xfc_import_pow(xfc_node *n) {
    xfc_dtype base = n->in[0]->type.dtype, exponent = n->in[1]->type.dtype;
    bool mixed = !xfc_dtype_is_float(base) && xfc_dtype_is_float(exponent);
    xfc_dtype compute = mixed ? XFC_F64 : base;
    xfc_value *p = xfc_n2(n, XFC_OP_POW, xfc_b_cast(n->b, n->in[0], compute), xfc_b_cast(n->b, n->in[1], compute));
    n->out[0] = p ? xfc_b_cast(n->b, p, base) : NULL;
}

void xfc_import_reciprocal(xfc_node *n) { n->out[0] = xfc_n2(n, XFC_OP_DIV, xfc_nf(n, n->in[0], 1), n->in[0]); }

static xfc_value *clamp(xfc_node *n, xfc_value *x, xfc_value *lo, xfc_value *hi) {
    if (lo) x = xfc_n2(n, XFC_OP_MAX, x, lo);
    return hi ? xfc_n2(n, XFC_OP_MIN, x, hi) : x; /* last, so that min > max gives max */
}

void xfc_import_clip(xfc_node *n) { n->out[0] = clamp(n, n->in[0], xfc_node_in(n, 1), xfc_node_in(n, 2)); }

/* From opset 6 on an absent limit is that of f32. */
void xfc_import_clip_attrs(xfc_node *n) {
    xfc_value *x = n->in[0], *lo = NULL, *hi = NULL;
    bool both = n->opset >= 6;
    if (both || xfc_node_attr(n, "min")) lo = xfc_nf(n, x, xfc_node_float(n, "min", -(double)FLT_MAX));
    if (both || xfc_node_attr(n, "max")) hi = xfc_nf(n, x, xfc_node_float(n, "max", (double)FLT_MAX));
    n->out[0] = clamp(n, x, lo, hi);
}

void xfc_import_relu(xfc_node *n) { n->out[0] = xfc_n2(n, XFC_OP_MAX, n->in[0], xfc_nf(n, n->in[0], 0)); }

static xfc_value *compare(xfc_node *n, xfc_opcode code, xfc_value *x, double with) {
    return xfc_n2(n, code, x, xfc_nf(n, x, with));
}
static xfc_value *times(xfc_node *n, xfc_value *x, double factor) {
    return xfc_n2(n, XFC_OP_MUL, x, xfc_nf(n, x, factor));
}
static xfc_value *plus(xfc_node *n, xfc_value *x, double term) { return xfc_n2(n, XFC_OP_ADD, x, xfc_nf(n, x, term)); }
static xfc_value *select_value(xfc_node *n, xfc_value *cond, xfc_value *yes, xfc_value *no) {
    return cond && yes && no ? xfc_b_select(n->b, cond, yes, no) : NULL;
}

void xfc_import_leaky_relu(xfc_node *n) {
    xfc_value *x = n->in[0];
    n->out[0] = select_value(n, compare(n, XFC_OP_LT, x, 0), times(n, x, xfc_node_float(n, "alpha", (double)0.01f)), x);
}

void xfc_import_prelu(xfc_node *n) {
    xfc_value *x = n->in[0];
    n->out[0] = select_value(n, compare(n, XFC_OP_LT, x, 0),
                             xfc_n2(n, XFC_OP_MUL, x, xfc_n_fitting(n, n->in[1], x, "the slope")), x);
}

void xfc_import_thresholded_relu(xfc_node *n) {
    xfc_value *x = n->in[0];
    n->out[0] = select_value(n, compare(n, XFC_OP_GT, x, xfc_node_float(n, "alpha", 1)), x, xfc_nf(n, x, 0));
}

/* Towards 0 by bias, and 0 between -lambd and lambd. */
/* Limit and bias are floats, also where x is not: 3 - 0.5 is 2. */
void xfc_import_shrink(xfc_node *n) {
    xfc_dtype type = n->in[0]->type.dtype;
    xfc_value *x = xfc_b_cast(n->b, n->in[0], xfc_dtype_is_float(type) ? type : XFC_F64);
    xfc_value *bias = xfc_nf(n, x, xfc_node_float(n, "bias", 0));
    double lambd = xfc_node_float(n, "lambd", 0.5);
    xfc_value *low = xfc_n2(n, XFC_OP_ADD, x, bias), *high = xfc_n2(n, XFC_OP_SUB, x, bias);
    xfc_value *inner = select_value(n, compare(n, XFC_OP_GT, x, lambd), high, xfc_nf(n, x, 0));
    xfc_value *v = select_value(n, compare(n, XFC_OP_LT, x, -lambd), low, inner);
    n->out[0] = v ? xfc_b_cast(n->b, v, type) : NULL;
}

static xfc_value *expm1_times(xfc_node *n, xfc_value *x, double alpha) {
    return times(n, plus(n, xfc_n1(n, XFC_OP_EXP, x), -1), alpha);
}

void xfc_import_elu(xfc_node *n) {
    xfc_value *x = n->in[0];
    n->out[0] = select_value(n, compare(n, XFC_OP_LT, x, 0), expm1_times(n, x, xfc_node_float(n, "alpha", 1)), x);
}

void xfc_import_selu(xfc_node *n) {
    xfc_value *x = n->in[0];
    double alpha = xfc_node_float(n, "alpha", n->opset < 6 ? (double)1.6732f : (double)1.67326319217681884765625f);
    double gamma = xfc_node_float(n, "gamma", n->opset < 6 ? (double)1.0507f : (double)1.05070102214813232421875f);
    n->out[0] = times(n, select_value(n, compare(n, XFC_OP_LE, x, 0), expm1_times(n, x, alpha), x), gamma);
}

void xfc_import_celu(xfc_node *n) {
    xfc_value *x = n->in[0];
    double alpha = xfc_node_float(n, "alpha", 1);
    xfc_value *scaled = xfc_n2(n, XFC_OP_DIV, x, xfc_nf(n, x, alpha));
    n->out[0] = select_value(n, compare(n, XFC_OP_LT, x, 0), expm1_times(n, scaled, alpha), x);
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)): never overflows. */
xfc_value *xfc_n_softplus(xfc_node *n, xfc_value *x) {
    xfc_value *e = xfc_n1(n, XFC_OP_EXP, xfc_n1(n, XFC_OP_NEG, xfc_n1(n, XFC_OP_ABS, x)));
    return xfc_n2(n, XFC_OP_ADD, compare(n, XFC_OP_MAX, x, 0), xfc_n1(n, XFC_OP_LOG, plus(n, e, 1)));
}

void xfc_import_softplus(xfc_node *n) { n->out[0] = xfc_n_softplus(n, n->in[0]); }
void xfc_import_mish(xfc_node *n) {
    n->out[0] = xfc_n2(n, XFC_OP_MUL, n->in[0], xfc_n1(n, XFC_OP_TANH, xfc_n_softplus(n, n->in[0])));
}

void xfc_import_softsign(xfc_node *n) {
    n->out[0] = xfc_n2(n, XFC_OP_DIV, n->in[0], plus(n, xfc_n1(n, XFC_OP_ABS, n->in[0]), 1));
}

void xfc_import_swish(xfc_node *n) {
    double alpha = xfc_node_float(n, "alpha", 1);
    xfc_value *x = n->in[0], *scaled = alpha == 1 ? x : times(n, x, alpha);
    n->out[0] = xfc_n2(n, XFC_OP_MUL, x, xfc_n1(n, XFC_OP_SIGMOID, scaled));
}

static xfc_value *hard_sigmoid(xfc_node *n, xfc_value *x, double alpha, double beta) {
    return compare(n, XFC_OP_MIN, compare(n, XFC_OP_MAX, plus(n, times(n, x, alpha), beta), 0), 1);
}

void xfc_import_hard_sigmoid(xfc_node *n) {
    n->out[0] = hard_sigmoid(n, n->in[0], xfc_node_float(n, "alpha", (double)0.2f), xfc_node_float(n, "beta", 0.5));
}

void xfc_import_hard_swish(xfc_node *n) {
    n->out[0] = xfc_n2(n, XFC_OP_MUL, n->in[0], hard_sigmoid(n, n->in[0], 1.0 / 6, 0.5));
}

void xfc_import_gelu(xfc_node *n) {
    const char *mode = xfc_node_str(n, "approximate", "none");
    bool by_tanh = mode == xfc_str(n->ctx, "tanh");
    if (!by_tanh && mode[0] != 'n') {
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'approximate' must be none or tanh");
        return;
    }
    xfc_attr attr = xfc_attr_int(XFC_K_APPROXIMATE, by_tanh);
    n->out[0] = xfc_build(n->b, XFC_OP_GELU, n->in, 1, &attr, 1);
}

void xfc_import_tan(xfc_node *n) {
    n->out[0] = xfc_n2(n, XFC_OP_DIV, xfc_n1(n, XFC_OP_SIN, n->in[0]), xfc_n1(n, XFC_OP_COS, n->in[0]));
}

/* (exp(x) +- exp(-x)) / 2 */
static xfc_value *hyperbolic(xfc_node *n, xfc_opcode join) {
    xfc_value *x = n->in[0];
    return times(n, xfc_n2(n, join, xfc_n1(n, XFC_OP_EXP, x), xfc_n1(n, XFC_OP_EXP, xfc_n1(n, XFC_OP_NEG, x))), 0.5);
}

void xfc_import_sinh(xfc_node *n) { n->out[0] = hyperbolic(n, XFC_OP_SUB); }
void xfc_import_cosh(xfc_node *n) { n->out[0] = hyperbolic(n, XFC_OP_ADD); }

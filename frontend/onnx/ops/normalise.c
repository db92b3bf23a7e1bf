/* normalise.c - divisions by what elements around them amount to: LRN, LpNormalization, MeanVarianceNormalization.
 * 16-bit floats pass through f32. */
#include "frontend/onnx/import.h"

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }

/* Operand 0, wide; NULL: it is not floating. */
static xfc_value *wide(xfc_node *n) {
    xfc_dtype t = n->in[0]->type.dtype;
    if (xfc_dtype_is_float(t)) return xfc_b_cast(n->b, n->in[0], t == XFC_F64 ? t : XFC_F32);
    return xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must be floating; cast it", xfc_node_in_name(n, 0)), NULL;
}
static void finish(xfc_node *n, xfc_value *y) {
    if (y) n->out[0] = xfc_b_cast(n->b, y, n->in[0]->type.dtype);
}

/* x / (bias + alpha / size * the sum of squares of `size` channels around it) ^ beta */
void xfc_import_lrn(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    xfc_value *x = wide(n);
    int64_t size = xfc_node_int(n, "size", 0);
    double alpha = xfc_node_float(n, "alpha", (double)1e-4f), beta = xfc_node_float(n, "beta", 0.75),
           bias = xfc_node_float(n, "bias", 1);
    if (n->status == XFC_OK && (size < 1 || size > XFC_DIM_MAX || n->in[0]->type.rank < 3))
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a positive size and a tensor of rank 3 or more; export the model again");
    if (n->status != XFC_OK || !x) return;
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK], window = xfc_int_const(c, size);
    uint32_t rank = x->type.rank;
    for (uint32_t d = 0; d < rank; d++) {
        before[d] = xfc_int_const(c, d == 1 ? (size - 1) / 2 : 0);
        after[d] = xfc_int_const(c, d == 1 ? size / 2 : 0);
    }
    const int64_t channels[1] = {1}, one[1] = {1}, last[1] = {rank};
    xfc_attr pad[] = {xfc_attr_dims(XFC_K_BEFORE, before, rank), xfc_attr_dims(XFC_K_AFTER, after, rank)};
    xfc_attr view[] = {xfc_attr_ints(XFC_K_AXES, channels, 1), xfc_attr_dims(XFC_K_SIZE, &window, 1),
                       xfc_attr_ints(XFC_K_STEP, one, 1), xfc_attr_ints(XFC_K_DILATION, one, 1)};
    xfc_value *squares = op(n, XFC_OP_MUL, x, x);
    squares = squares ? xfc_build(n->b, XFC_OP_PAD, &squares, 1, pad, 2) : NULL;
    squares = squares ? xfc_build(n->b, XFC_OP_WINDOWS, &squares, 1, view, 4) : NULL;
    xfc_value *sum = squares ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, squares, last, 1, false) : NULL;
    sum = with(n, XFC_OP_ADD, with(n, XFC_OP_MUL, sum, alpha / (double)size), bias);
    finish(n, op(n, XFC_OP_DIV, x, with(n, XFC_OP_POW, sum, beta)));
}

/* x / (sum of |x|^p)^(1/p) along an axis; 0 where that is 0. */
void xfc_import_lp_normalization(xfc_node *n) {
    xfc_value *x = wide(n);
    int64_t p = xfc_node_int(n, "p", 2), axes[1] = {0};
    axes[0] = xfc_node_axis(n, xfc_node_int(n, "axis", -1), n->in[0]->type.rank);
    if (n->status == XFC_OK && p != 1 && p != 2)
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'p' is %lld and must be 1 or 2; correct the model", (long long)p);
    if (n->status != XFC_OK || !x) return;
    xfc_value *norm = p == 1 ? xfc_n1(n, XFC_OP_ABS, x) : op(n, XFC_OP_MUL, x, x);
    norm = norm ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, norm, axes, 1, true) : NULL;
    if (p == 2) norm = xfc_n1(n, XFC_OP_SQRT, norm);
    xfc_value *none = with(n, XFC_OP_EQ, norm, 0), *part = op(n, XFC_OP_DIV, x, norm), *zero = xfc_nf(n, x, 0);
    finish(n, none && part && zero ? xfc_b_select(n->b, none, zero, part) : NULL);
}

/* (x - mean) / (deviation + 1e-9) */
void xfc_import_mean_variance(xfc_node *n) {
    static const int64_t usual[] = {0, 2, 3};
    const int64_t *given;
    int64_t axes[XFC_MAX_RANK];
    uint32_t count;
    xfc_value *x = wide(n);
    if (!xfc_node_ints(n, "axes", &given, &count)) given = usual, count = XFC_COUNT(usual);
    count = xfc_node_axes(n, given, count, n->in[0]->type.rank, axes);
    if (n->status != XFC_OK || !x) return;
    xfc_value *away = op(n, XFC_OP_SUB, x, xfc_b_reduce(n->b, XFC_OP_REDUCE_MEAN, x, axes, count, true));
    xfc_value *square = op(n, XFC_OP_MUL, away, away);
    xfc_value *variance = square ? xfc_b_reduce(n->b, XFC_OP_REDUCE_MEAN, square, axes, count, true) : NULL;
    finish(n, op(n, XFC_OP_DIV, away, with(n, XFC_OP_ADD, xfc_n1(n, XFC_OP_SQRT, variance), 1e-9)));
}

/* moe.c - MoE and QMoE of com.microsoft: mixtures of experts, of which each token uses k.
 *
 * All experts are computed for all tokens, as products with a dim of experts; those that a token does not use get the
 * weight 0. So the work grows with the number of experts, not with k. Weights of QMoE are dequantized, which fold does
 * where they are constants. What is refused onnxruntime has no CPU kernel for.
 */
#include "frontend/onnx/quant/quant.h"
#include <math.h>
#include <string.h>

typedef struct {
    xfc_node *n;
    xfc_value *x; /* [1, tokens, width] */
    xfc_int experts, tokens;
    int64_t block; /* QMoE: inputs that share a scale, or 0 */
} moe;

typedef struct { /* numbers of operands of a layer; absent ones are beyond all */
    uint32_t weights, scales, bias, zeros;
    const char *bits; /* attribute, for which expert_weight_bits may stand */
} layer;

/* Packed zero points: one a row [experts, ..], or a row of them for each row of the weights. */
static xfc_value *zero_points(moe *m, const layer *l, int64_t bits, const xfc_value *w, const xfc_value *scale) {
    xfc_node *n = m->n;
    xfc_value *zero = xfc_node_in(n, l->zeros);
    if (!zero) return xfc_b_scalar_i(n->b, w->type.dtype, INT64_C(1) << (bits - 1));
    if (zero->type.dtype != XFC_U8 || zero->type.rank != (m->block ? 3u : 2u))
        return xfc_node_fail(n, XFC_ERR_INPUT, "zero points '%s' must be u8 with %u dims",
                             xfc_node_in_name(n, l->zeros), m->block ? 3 : 2),
               NULL;
    const xfc_int *d = scale->type.dim; /* [experts, rows, blocks or 1] */
    zero = xfc_n_first_columns(n, xfc_n_split_bits(n, zero, bits), m->block ? d[2] : d[1]);
    return zero ? xfc_b_reshape(n->b, zero, d, 3) : NULL;
}

static xfc_value *dequantized(moe *m, const layer *l) {
    xfc_node *n = m->n;
    xfc_value *w = n->in[l->weights], *scale = xfc_node_in(n, l->scales);
    int64_t bits = xfc_node_int(n, l->bits, xfc_node_int(n, "expert_weight_bits", 4));
    if (w->type.dtype != XFC_U8 || (bits != 2 && bits != 4 && bits != 8) || !scale ||
        scale->type.rank != (m->block ? 3u : 2u) || !xfc_dtype_is_float(scale->type.dtype))
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "weights '%s' must be u8 holding numbers of 2, 4 or 8 bits (here %lld), with scales of "
                             "floats that have %u dims",
                             xfc_node_in_name(n, l->weights), (long long)bits, m->block ? 3 : 2),
               NULL;
    xfc_int one = xfc_int_const(n->ctx, 1), each[3] = {scale->type.dim[0], scale->type.dim[1], one};
    if (!m->block) scale = xfc_b_reshape(n->b, scale, each, 3);
    w = xfc_n_split_bits(n, w, bits);
    if (!w || !scale) return NULL;
    xfc_quant q = {.scale = scale, .zero = zero_points(m, l, bits, w, scale), .axis = 2, .block = m->block};
    return q.zero ? xfc_n_dequantize(n, w, &q, m->x->type.dtype) : NULL;
}

/* x [1 or experts, tokens, k] by the layer's weights [experts, n, k], and its bias. */
static xfc_value *apply(moe *m, const layer *l, xfc_value *x) {
    xfc_node *n = m->n;
    xfc_value *w = xfc_node_in(n, l->weights), *bias = xfc_node_in(n, l->bias);
    if (!x) return NULL;
    if (!w || w->type.rank != 3)
        return xfc_node_fail(n, XFC_ERR_INPUT, "weights at operand %u must have 3 dims: [experts, rows, columns]",
                             l->weights),
               NULL;
    if (l->bits) w = dequantized(m, l);
    if (!w || !xfc_n_equal(n, w->type.dim[0], m->experts, "the experts of the router and of weights")) return NULL;
    xfc_int one = xfc_int_const(n->ctx, 1), each[3] = {m->experts, one, w->type.dim[1]};
    xfc_value *y = xfc_b_matmul(n->b, x, xfc_b_swap_last(n->b, w));
    if (!bias || !y) return y;
    if (bias->type.rank != 2)
        return xfc_node_fail(n, XFC_ERR_INPUT, "bias '%s' must have 2 dims: [experts, rows]",
                             xfc_node_in_name(n, l->bias)),
               NULL;
    return xfc_n2(n, XFC_OP_ADD, y, xfc_b_reshape(n->b, bias, each, 3));
}

/* --- activations --- */

static xfc_value *swiglu(xfc_node *n, xfc_value *gate, xfc_value *linear) {
    double alpha = xfc_node_float(n, "activation_alpha", 1), beta = xfc_node_float(n, "activation_beta", 0),
           limit = xfc_node_float(n, "swiglu_limit", (double)INFINITY);
    if (isfinite(limit)) {
        gate = xfc_n2(n, XFC_OP_MIN, gate, xfc_nf(n, gate, limit));
        linear = xfc_n2(n, XFC_OP_MIN, linear, xfc_nf(n, linear, limit));
        linear = xfc_n2(n, XFC_OP_MAX, linear, xfc_nf(n, linear, -limit));
    }
    xfc_value *s = xfc_n1(n, XFC_OP_SIGMOID, xfc_n2(n, XFC_OP_MUL, gate, xfc_nf(n, gate, alpha)));
    return xfc_n2(n, XFC_OP_MUL, xfc_n2(n, XFC_OP_MUL, gate, s),
                  xfc_n2(n, XFC_OP_ADD, linear, xfc_nf(n, linear, beta)));
}

/* Gate and linear part stand side by side along the last dim, as neighbours (1) or halves (2). */
static xfc_value *fused_swiglu(xfc_node *n, xfc_value *v, int64_t fusion) {
    if (!v) return NULL;
    xfc_int two = xfc_int_const(n->ctx, 2), half = xfc_dims_divide(n->ctx, v->type.dim + 2, 1, &two, 1);
    xfc_int zero = xfc_int_const(n->ctx, 0), second = fusion == 1 ? xfc_int_const(n->ctx, 1) : half;
    int64_t by = fusion == 1 ? 2 : 1;
    return swiglu(n, xfc_b_slice_axis(n->b, v, 2, zero, half, by), xfc_b_slice_axis(n->b, v, 2, second, half, by));
}

/* third: what is multiplied, or the linear part; NULL: none. */
static xfc_value *activated(xfc_node *n, xfc_value *v, xfc_value *third) {
    const char *name = xfc_node_str(n, "activation_type", "relu");
    int64_t fusion = xfc_node_int(n, "swiglu_fusion", 0);
    xfc_attr by_tanh = xfc_attr_int(XFC_K_APPROXIMATE, 1);
    if (!v || n->status != XFC_OK) return NULL;
    if (!strcmp(name, "swiglu")) {
        if (fusion == 1 || fusion == 2) return fused_swiglu(n, v, fusion);
        if (fusion == 0 && third) return swiglu(n, v, third);
        return xfc_node_fail(n, XFC_ERR_INPUT, "swiglu with swiglu_fusion %lld needs weights of a third layer",
                             (long long)fusion),
               NULL;
    }
    if (!strcmp(name, "relu"))
        v = xfc_n2(n, XFC_OP_MAX, v, xfc_nf(n, v, 0));
    else if (!strcmp(name, "gelu"))
        v = xfc_build(n->b, XFC_OP_GELU, &v, 1, &by_tanh, 1);
    else if (!strcmp(name, "silu"))
        v = xfc_n2(n, XFC_OP_MUL, v, xfc_n1(n, XFC_OP_SIGMOID, v));
    else if (strcmp(name, "identity") != 0)
        return xfc_node_fail(n, XFC_ERR_INPUT, "activation '%.80s' is none of relu, gelu, silu, swiglu and identity",
                             name),
               NULL;
    return third ? xfc_n2(n, XFC_OP_MUL, v, third) : v;
}

/* --- routing --- */

/* [tokens, experts]: softmax over the k largest scores, or over all, and 0 for the other experts. */
static xfc_value *routed(moe *m, xfc_value *scores) {
    xfc_node *n = m->n;
    int64_t count = xfc_node_int(n, "k", 1);
    xfc_int k = xfc_int_const(n->ctx, count > 0 ? count : 1), one = xfc_int_const(n->ctx, 1);
    bool normalize = xfc_node_flag(n, "normalize_routing_weights", false);
    static const int64_t chosen[1] = {1};
    xfc_attr top[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_dims(XFC_K_SIZE, &k, 1), xfc_attr_int(XFC_K_LARGEST, 1)};
    xfc_attr along = xfc_attr_int(XFC_K_AXIS, 1);
    if (n->status == XFC_OK && count < 1)
        xfc_node_fail(n, XFC_ERR_INPUT, "k is %lld but must be at least 1", (long long)count);
    if (n->status != XFC_OK || !xfc_n_at_most(n, k, m->experts, "k and the number of experts")) return NULL;
    scores = xfc_b_cast(n->b, scores, xfc_dtype_wide(scores->type.dtype));
    xfc_value *best = xfc_build(n->b, XFC_OP_TOP_K, &scores, 1, top, XFC_COUNT(top));
    if (!best) return NULL;
    xfc_int each[3] = {m->tokens, k, one};
    xfc_value *which = xfc_b_reshape(n->b, &best->def->out[1], each, 3);
    which = xfc_n2(n, XFC_OP_EQ, which, xfc_n_iota(n, m->experts, xfc_int_const(n->ctx, 0), 1, XFC_I64));
    xfc_value *of = normalize ? best : scores, *p = xfc_build(n->b, XFC_OP_SOFTMAX, &of, 1, &along, 1);
    xfc_value *w = normalize && p ? xfc_b_reshape(n->b, p, each, 3) : xfc_nf(n, scores, 1);
    w = xfc_n_select(n, which, w, xfc_nf(n, scores, 0)); /* [tokens, k, experts] */
    w = w ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, w, chosen, 1, false) : NULL;
    return normalize ? w : xfc_n2(n, XFC_OP_MUL, w, p);
}

static void import(xfc_node *n, const layer *first, const layer *second, const layer *third) {
    moe m = {.n = n, .block = first->bits ? xfc_node_int(n, "block_size", 0) : 0};
    xfc_value *x = n->in[0], *scores = n->in[1];
    const xfc_type type = x->type;
    if (n->status == XFC_OK && ((type.rank != 2 && type.rank != 3) || scores->type.rank != 2 || m.block < 0))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "input and router_probs have %u and %u dims, and block_size is %lld; 2 or 3, 2, and "
                      "no negative number are allowed",
                      type.rank, scores->type.rank, (long long)m.block);
    if (n->status == XFC_OK && xfc_node_flag(n, "use_sparse_mixer", false))
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "use_sparse_mixer is not supported; export without");
    if (n->status != XFC_OK) return;
    m.experts = scores->type.dim[1], m.tokens = scores->type.dim[0];
    xfc_int all = xfc_dims_product(n->ctx, type.dim, type.rank - 1), one = xfc_int_const(n->ctx, 1);
    if (!xfc_n_equal(n, m.tokens, all, "the tokens of input and of router_probs")) return;
    xfc_int flat[3] = {one, m.tokens, type.dim[type.rank - 1]}, each[3] = {m.experts, m.tokens, one};
    m.x = xfc_b_reshape(n->b, x, flat, 3);
    if (!m.x) return;
    xfc_value *gate = xfc_node_has(n, third->weights) ? apply(&m, third, m.x) : NULL;
    xfc_value *y = n->status == XFC_OK ? apply(&m, second, activated(n, apply(&m, first, m.x), gate)) : NULL;
    xfc_value *w = routed(&m, scores);
    if (!y || !w) return;
    static const int64_t swap[] = {1, 0}, experts[1] = {0};
    w = xfc_b_reshape(n->b, xfc_b_transpose(n->b, xfc_b_cast(n->b, w, type.dtype), swap), each, 3);
    y = xfc_n_select(n, xfc_n2(n, XFC_OP_GT, w, xfc_nf(n, w, 0)), xfc_n2(n, XFC_OP_MUL, y, w), xfc_nf(n, w, 0));
    y = y ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, y, experts, 1, false) : NULL;
    n->out[0] = y ? xfc_b_reshape(n->b, y, type.dim, type.rank) : NULL;
}

/* input, router, then weights and bias of each of three layers */
void xfc_import_moe(xfc_node *n) {
    static const layer first = {.weights = 2, .bias = 3}, second = {.weights = 4, .bias = 5},
                       third = {.weights = 6, .bias = 7};
    import(n, &first, &second, &third);
}

/* input, router, weights, scales and bias of each of three layers, their zero points, more of the router, of GPUs */
void xfc_import_qmoe(xfc_node *n) {
    static const layer first = {2, 3, 4, 11, "fc1_expert_weight_bits"},
                       second = {5, 6, 7, 12, "fc2_expert_weight_bits"},
                       third = {8, 9, 10, 13, "fc3_expert_weight_bits"};
    const char *type = xfc_node_str(n, "quant_type", "int");
    bool prepacked = xfc_node_int(n, "weights_prepacked", -1) == 1;
    if (n->status == XFC_OK && (prepacked || strcmp(type, "int") != 0))
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "weights of quant_type '%.80s'%s are not supported; quantize to integers",
                      type, prepacked ? " in the order of a GPU" : "");
    for (uint32_t i = 14; i < n->n_in && n->status == XFC_OK; i++)
        if (n->in[i])
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand %u, '%s', is not supported; export without", i,
                          xfc_node_in_name(n, i));
    if (n->status == XFC_OK) import(n, &first, &second, &third);
}

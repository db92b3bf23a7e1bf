/* contrib.c - what onnxruntime's optimiser makes of transformers (domain com.microsoft), taken apart again.
 *
 * Each is the sequence of standard operators that it was fused from, so every pass sees the same graph as in the model
 * before its optimisation. Outputs that only exist for training are refused.
 */
#include "frontend/onnx/import.h"
#include <string.h>

/* a + b, where b broadcasts to a. */
static xfc_value *add(xfc_node *n, xfc_value *a, xfc_value *b) {
    return xfc_n2(n, XFC_OP_ADD, a, xfc_n_fitting(n, b, a, "an operand"));
}

static xfc_value *gelu(xfc_node *n, xfc_value *x, bool by_tanh) {
    xfc_attr attr = xfc_attr_int(XFC_K_APPROXIMATE, by_tanh);
    return x ? xfc_build(n->b, XFC_OP_GELU, &x, 1, &attr, 1) : NULL;
}

void xfc_import_bias_gelu(xfc_node *n) { n->out[0] = gelu(n, add(n, n->in[0], n->in[1]), false); }

void xfc_import_fast_gelu(xfc_node *n) {
    n->out[0] = gelu(n, xfc_node_has(n, 1) ? add(n, n->in[0], n->in[1]) : n->in[0], true);
}

void xfc_import_quick_gelu(xfc_node *n) {
    xfc_value *x = n->in[0];
    xfc_value *inner = xfc_n2(n, XFC_OP_MUL, x, xfc_nf(n, x, xfc_node_float(n, "alpha", (double)1.702f)));
    n->out[0] = xfc_n2(n, XFC_OP_MUL, x, xfc_n1(n, XFC_OP_SIGMOID, inner));
}

/* code over the last dim; scale and bias may be NULL. */
static xfc_value *norm(xfc_node *n, xfc_opcode code, xfc_value *x, xfc_value *scale, xfc_value *bias, double eps) {
    if (!x || !x->type.rank) return NULL;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, x->type.rank - 1), xfc_attr_float(XFC_K_EPS, eps)};
    xfc_value *in[] = {x, scale, bias};
    return xfc_build_opt(n->b, code, in, bias ? 3 : scale ? 2 : 1, attr, XFC_COUNT(attr));
}

static bool only_for_inference(xfc_node *n) {
    if (!xfc_node_wants(n, 1) && !xfc_node_wants(n, 2)) return true;
    return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "its mean and inverse deviation as outputs are not supported"), false;
}

/* norm(input + skip + bias) * gamma + beta, and the sum itself as output 3. */
static void skip_norm(xfc_node *n, xfc_opcode code, uint32_t gamma, uint32_t bias) {
    if (!only_for_inference(n)) return;
    xfc_value *sum = add(n, n->in[0], n->in[1]), *beta = code == XFC_OP_LAYERNORM ? xfc_node_in(n, gamma + 1) : NULL;
    if (xfc_node_has(n, bias)) sum = add(n, sum, n->in[bias]);
    double absent = code == XFC_OP_LAYERNORM ? (double)1e-12f : (double)1e-5f;
    n->out[0] = norm(n, code, sum, n->in[gamma], beta, xfc_node_float(n, "epsilon", absent));
    if (xfc_node_wants(n, 3)) n->out[3] = sum;
}

void xfc_import_skip_layer_norm(xfc_node *n) { skip_norm(n, XFC_OP_LAYERNORM, 2, 4); }
void xfc_import_skip_rms_norm(xfc_node *n) { skip_norm(n, XFC_OP_RMSNORM, 2, 3); }

/* input_ids, segment_ids, word, position and segment tables, gamma, beta, mask, position_ids. Output 1 counts the
 * ones of the mask in each row, output 2 is the sum of the embeddings. */
void xfc_import_embed_layer_norm(xfc_node *n) {
    xfc_value *ids = n->in[0], *word = xfc_node_in(n, 2), *table = xfc_node_in(n, 3), *gamma = xfc_node_in(n, 5);
    const xfc_int zero = xfc_int_const(n->ctx, 0);
    if (!word || !table || !gamma || ids->type.rank != 2 || table->type.rank != 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs ids [batch, sequence] and tables of two dims; export the model again");
        return;
    }
    xfc_value *position = xfc_node_in(n, 8);
    if (!position) position = xfc_n_iota(n, ids->type.dim[1], zero, 1, XFC_I64);
    xfc_value *sum = add(n, xfc_n_gather(n, word, ids, 0), xfc_n_gather(n, table, position, 0));
    if (xfc_node_has(n, 1)) sum = add(n, sum, xfc_n_gather(n, xfc_node_in(n, 4), n->in[1], 0));
    n->out[0] = norm(n, XFC_OP_LAYERNORM, sum, gamma, xfc_node_in(n, 6), xfc_node_float(n, "epsilon", (double)1e-12f));
    if (xfc_node_wants(n, 2)) n->out[2] = sum;
    if (!xfc_node_wants(n, 1)) return;
    const int64_t axes[1] = {1};
    xfc_value *mask = xfc_node_in(n, 7);
    if (mask) {
        n->out[1] = xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, mask, axes, 1, false);
    } else {
        const int32_t none = 0;
        n->out[1] = xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_I32, 0, NULL, &none, NULL), ids->type.dim, 1);
    }
}

/* An operand of FusedMatMul as MatMul takes it: its first dim moved behind the others of the batch, the last two swapped. */
static xfc_value *turned(xfc_node *n, uint32_t i, const char *batch, const char *last) {
    xfc_value *v = n->in[i];
    int64_t order[XFC_MAX_RANK];
    uint32_t rank = v->type.rank;
    if (xfc_node_flag(n, batch, false)) {
        for (uint32_t d = 0; d + 2 < rank; d++) order[d] = d + 1;
        order[rank - 2] = 0;
        order[rank - 1] = rank - 1;
        v = xfc_b_transpose(n->b, v, order);
    }
    return v && xfc_node_flag(n, last, false) ? xfc_b_swap_last(n->b, v) : v;
}

void xfc_import_fused_matmul(xfc_node *n) {
    if (n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "takes vectors, which is not supported");
        return;
    }
    xfc_value *a = turned(n, 0, "transBatchA", "transA"), *b = turned(n, 1, "transBatchB", "transB");
    double alpha = xfc_node_float(n, "alpha", 1);
    xfc_value *v = a && b ? xfc_b_matmul(n->b, a, b) : NULL;
    n->out[0] = v && alpha != 1 ? xfc_n2(n, XFC_OP_MUL, v, xfc_nf(n, v, alpha)) : v;
}

/* The activation that a fused operator ends with. Its numbers: the list "activation_params", or "activation_alpha" and so on;
 * the operator has none of its own. */
static void activate(xfc_node *n, bool by_list) {
    const char *name = xfc_node_str(n, "activation", ""), *const * number;
    const Onnx__AttributeProto *list = xfc_node_attr(n, "activation_params");
    double given[3] = {0};
    uint32_t count;
    if (!n->out[0] || !*name) return;
    if (!xfc_activation_numbers(name, &number, &count)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "activation '%.80s' is not supported; fuse the model without it", name);
        return;
    }
    bool all = !by_list || (list ? list->n_floats : 0) >= count;
    for (uint32_t i = 0; i < count && i < XFC_COUNT(given) && all; i++) {
        static const char *const own[] = {"activation_alpha", "activation_beta", "activation_gamma"};
        const char *attr = own[strcmp(number[i], "gamma") != 0 ? i : 2];
        all = by_list || xfc_node_attr(n, attr);
        if (all) given[i] = by_list ? (double)list->floats[i] : xfc_node_float(n, attr, 0);
    }
    if (all)
        n->out[0] = xfc_n_activation(n, name, given, count, n->out[0]);
    else
        xfc_node_fail(n, XFC_ERR_INPUT, "has not the %u numbers of activation '%.80s'; export the model again", count,
                      name);
}

void xfc_import_fused_matmul_activation(xfc_node *n) {
    xfc_import_fused_matmul(n);
    activate(n, false);
}

/* Gemm with an activation behind it. */
void xfc_import_fused_gemm(xfc_node *n) {
    xfc_import_gemm(n);
    activate(n, false);
}

/* Conv, plus operand 3, with an activation behind it. */
void xfc_import_fused_conv(xfc_node *n) {
    xfc_import_conv(n);
    if (xfc_node_has(n, 3)) n->out[0] = add(n, n->out[0], n->in[3]);
    activate(n, true);
}

void xfc_import_gemm_fast_gelu(xfc_node *n) {
    xfc_import_matmul(n);
    if (n->out[0] && xfc_node_has(n, 2)) n->out[0] = add(n, n->out[0], n->in[2]);
    n->out[0] = gelu(n, n->out[0], true);
}

/* x + bias, a residual that is added, and the ratio and training mode of Dropout, whose operands 1 and 2 they become. */
void xfc_import_bias_dropout(xfc_node *n) {
    xfc_value *residual = xfc_node_in(n, 2), *ratio = xfc_node_in(n, 3), *training = xfc_node_in(n, 4);
    xfc_node_set_in(n, 0, add(n, n->in[0], n->in[1]));
    n->n_in = 1;
    if (ratio) xfc_node_set_in(n, 1, ratio);
    if (training) xfc_node_set_in(n, 2, training);
    if (training && !ratio) n->in[1] = NULL;
    xfc_node_hand_on(n, 13, xfc_import_dropout);
    if (residual) n->out[0] = add(n, n->out[0], residual);
}

void xfc_import_bias_add(xfc_node *n) { n->out[0] = add(n, add(n, n->in[0], n->in[1]), n->in[2]); }

/* Of x + bias the first half, times gelu of the second. */
void xfc_import_bias_split_gelu(xfc_node *n) {
    xfc_value *x = add(n, n->in[0], n->in[1]);
    if (!x || !x->type.rank) return;
    const uint32_t last = x->type.rank - 1;
    const xfc_int two = xfc_int_const(n->ctx, 2), half = xfc_dims_divide(n->ctx, &x->type.dim[last], 1, &two, 1);
    if (!xfc_n_equal(n, xfc_int_mulc(n->ctx, half, 2), x->type.dim[last], "a row and its two halves")) return;
    xfc_value *value = xfc_b_slice_axis(n->b, x, last, xfc_int_const(n->ctx, 0), half, 1);
    n->out[0] = xfc_n2(n, XFC_OP_MUL, value, gelu(n, xfc_b_slice_axis(n->b, x, last, half, half, 1), false));
}

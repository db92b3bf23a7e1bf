/* channels_last.c - operators of com.microsoft whose images are [batch, space.., channels]: what onnxruntime's optimisers make
 * of convolutions, pools and group norms.
 *
 * Each is the operator on [batch, channels, space..] between two transposes, so nothing is said twice.
 */
#include "frontend/onnx/import.h"

enum { MOST_OPERANDS = 9 };

static xfc_value *channels_second(xfc_node *n, xfc_value *v) {
    int64_t perm[XFC_MAX_RANK] = {0};
    const uint32_t rank = v ? v->type.rank : 0;
    for (uint32_t d = 1; d < rank; d++) perm[d] = d == 1 ? rank - 1 : d - 1;
    return rank > 2 ? xfc_b_transpose(n->b, v, perm) : v;
}

static xfc_value *channels_last(xfc_node *n, xfc_value *v) {
    int64_t perm[XFC_MAX_RANK] = {0};
    const uint32_t rank = v ? v->type.rank : 0;
    for (uint32_t d = 1; d < rank; d++) perm[d] = d == rank - 1 ? 1 : d + 1;
    return rank > 2 ? xfc_b_transpose(n->b, v, perm) : v;
}

/* What an importer makes of the operands, of which those in `images` have their channels behind. */
static void between(xfc_node *n, xfc_node_import *import, uint32_t images) {
    xfc_value *in[MOST_OPERANDS] = {NULL}, **own = n->in;
    for (uint32_t i = 0; i < n->n_in; i++) in[i] = images >> i & 1 ? channels_second(n, own[i]) : own[i];
    n->in = in;
    if (in[0] && in[1 % n->n_in]) import(n);
    n->in = own;
    for (uint32_t i = 0; i < n->n_out; i++) n->out[i] = channels_last(n, n->out[i]);
}

void xfc_import_nhwc_conv(xfc_node *n) { between(n, xfc_import_conv, 3); } /* its weights lie like the image */
void xfc_import_nhwc_fused_conv(xfc_node *n) { between(n, xfc_import_fused_conv, 9); }
void xfc_import_nhwc_max_pool(xfc_node *n) { between(n, xfc_import_max_pool, 1); }
void xfc_import_ms_qlinear_conv(xfc_node *n) {
    if (xfc_node_flag(n, "channels_last", false))
        between(n, xfc_import_qlinear_conv, 1);
    else
        xfc_import_qlinear_conv(n);
}

/* --- group norms --- */

/* x, [batch, channels, space..], normalised by groups of channels, with scale, bias and SiLU; in f32. */
static xfc_value *group_norm(xfc_node *n, xfc_value *x, xfc_value *scale, xfc_value *bias) {
    const int64_t groups = xfc_node_int(n, "groups", 0), activation = xfc_node_int(n, "activation", 0);
    if (n->status != XFC_OK || !x || !scale || !bias) return NULL;
    if (groups < 1 || (activation != 0 && activation != 1) || x->type.rank < 3)
        return xfc_node_fail(n, XFC_ERR_INPUT, "needs a tensor of rank 3 or more, groups, and activation 0 or 1"), NULL;
    const xfc_type t = x->type;
    const xfc_int g = xfc_int_const(n->ctx, groups),
                  row[3] = {t.dim[0], g, xfc_dims_divide(n->ctx, t.dim + 1, t.rank - 1, &g, 1)};
    if (!xfc_n_equal(n, xfc_int_mul(n->ctx, xfc_dims_divide(n->ctx, t.dim + 1, 1, &g, 1), g), t.dim[1],
                     "channels and the groups that divide them"))
        return NULL;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 2),
                       xfc_attr_float(XFC_K_EPS, xfc_node_float(n, "epsilon", (double)1e-5f))};
    xfc_value *v = xfc_b_reshape(n->b, x, row, 3);
    v = v ? xfc_build_opt(n->b, XFC_OP_LAYERNORM, &v, 1, attr, XFC_COUNT(attr)) : NULL;
    v = v ? xfc_b_reshape(n->b, v, t.dim, t.rank) : NULL;
    scale = xfc_n_per_channel(n, xfc_b_cast(n->b, scale, XFC_F32), t.dim[1], t.rank, "the channels and the scale");
    bias = xfc_n_per_channel(n, xfc_b_cast(n->b, bias, XFC_F32), t.dim[1], t.rank, "the channels and the bias");
    v = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, v, scale), bias);
    return activation ? xfc_n2(n, XFC_OP_MUL, v, xfc_n1(n, XFC_OP_SIGMOID, v)) : v;
}

/* From x as it lies to [batch, channels, space..] in f32, and back. */
static xfc_value *inner(xfc_node *n, xfc_value *x) {
    if (x && xfc_node_flag(n, "channels_last", true)) x = channels_second(n, x);
    return x ? xfc_b_cast(n->b, x, XFC_F32) : NULL;
}
static xfc_value *outer(xfc_node *n, xfc_value *v) {
    if (v) v = xfc_b_cast(n->b, v, n->in[0]->type.dtype);
    return v && xfc_node_flag(n, "channels_last", true) ? channels_last(n, v) : v;
}

void xfc_import_ms_group_norm(xfc_node *n) {
    n->out[0] = outer(n, group_norm(n, inner(n, n->in[0]), n->in[1], n->in[2]));
}

/* Operands: x, scale, bias of the norm, skip and a bias added to x. The skip may be one number a channel, [batch, channels]. */
void xfc_import_skip_group_norm(xfc_node *n) {
    xfc_value *x = n->in[0], *skip = n->in[3], *bias = xfc_node_in(n, 4);
    if (skip->type.rank == 2 && x->type.rank == 4) {
        const bool last = xfc_node_flag(n, "channels_last", true);
        const xfc_int one = xfc_int_const(n->ctx, 1), *d = skip->type.dim,
                      dim[4] = {d[0], last ? one : d[1], one, last ? d[1] : one};
        skip = xfc_b_reshape(n->b, skip, dim, 4);
    }
    xfc_value *sum = xfc_n2(n, XFC_OP_ADD, x, xfc_n_fitting(n, skip, x, "the skip"));
    xfc_value *v = inner(n, sum);
    if (v && bias)
        v = xfc_n2(
            n, XFC_OP_ADD, v,
            xfc_n_per_channel(n, xfc_b_cast(n->b, bias, XFC_F32), v->type.dim[1], v->type.rank, "channels and bias"));
    if (xfc_node_wants(n, 1)) n->out[1] = outer(n, v);
    n->out[0] = outer(n, group_norm(n, v, n->in[1], n->in[2]));
}

/* experimental.c - operators that opsets below 10 had as experiments, which onnxruntime still runs: Affine, Scale, ImageScaler,
 * ScaledTanh, ParametricSoftplus, Crop and DynamicSlice. */
#include "frontend/onnx/import.h"

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *times(xfc_node *n, xfc_value *v, const char *attr, double absent) {
    return op(n, XFC_OP_MUL, v, xfc_nf(n, v, xfc_node_float(n, attr, absent)));
}

/* The function of that name, with alpha, 1 if it is absent, and beta. */
static void apply(xfc_node *n, const char *name, double beta) {
    const double given[2] = {xfc_node_float(n, "alpha", 1), xfc_node_float(n, "beta", beta)};
    n->out[0] = xfc_n_activation(n, name, given, 2, n->in[0]);
}

void xfc_import_affine(xfc_node *n) { apply(n, "Affine", 0); }
void xfc_import_scaled_tanh(xfc_node *n) { apply(n, "ScaledTanh", 1); }
void xfc_import_parametric_softplus(xfc_node *n) { apply(n, "ParametricSoftplus", 1); }

void xfc_import_scale(xfc_node *n) { n->out[0] = times(n, n->in[0], "scale", 1); }

/* [batch, channels, rows, columns], as the two that know images need it. */
static bool is_image(xfc_node *n) {
    if (n->in[0]->type.rank == 4) return n->status == XFC_OK;
    return xfc_node_fail(n, XFC_ERR_INPUT, "has rank %u but must have 4; export the model again", n->in[0]->type.rank),
           false;
}

/* scale * x, and a bias for each channel. */
void xfc_import_image_scaler(xfc_node *n) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, "bias");
    const int64_t count = a ? (int64_t)a->n_floats : 0;
    xfc_value *v = times(n, n->in[0], "scale", 1);
    if (!is_image(n) || !v) return;
    if (!count || count > XFC_DIM_MAX) {
        n->out[0] = v;
        return;
    }
    xfc_value *bias = xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_F32, 1, &count, a->floats, NULL));
    bias = bias ? xfc_b_cast(n->b, bias, v->type.dtype) : NULL;
    n->out[0] = op(n, XFC_OP_ADD, v, xfc_n_per_channel(n, bias, v->type.dim[1], 4, "the channels and the bias"));
}

/* Without `border` = left, top, right and bottom; of what is left of the first two, `scale` = rows and columns. */
void xfc_import_crop(xfc_node *n) {
    const int64_t *border, *scale;
    uint32_t n_border = 0, n_scale = 0;
    bool has = xfc_node_ints(n, "border", &border, &n_border), sized = xfc_node_ints(n, "scale", &scale, &n_scale);
    if (!is_image(n)) return;
    bool fine = has && n_border == 4 && (!sized || n_scale == 2);
    for (uint32_t i = 0; fine && i < 4; i++) fine = border[i] >= 0 && border[i] <= XFC_DIM_MAX;
    for (uint32_t i = 0; fine && sized && i < 2; i++) fine = scale[i] >= 0 && scale[i] <= XFC_DIM_MAX;
    if (!fine) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs four borders, and two sizes or none, that are not negative; export again");
        return;
    }
    xfc_value *v = n->in[0];
    for (uint32_t d = 0; d < 2 && v; d++) { /* rows, then columns */
        const int64_t front = border[1 - d];
        const xfc_int all = v->type.dim[2 + d], start = xfc_int_const(n->ctx, front);
        xfc_int size = sized ? xfc_int_const(n->ctx, scale[d]) : xfc_int_addc(n->ctx, all, -front - border[3 - d]);
        if (!xfc_n_at_most(n, xfc_int_add(n->ctx, start, size), all, "what is cropped and the image") ||
            !xfc_n_at_most(n, xfc_int_const(n->ctx, 0), size, "0 and what is left of the image"))
            return;
        v = xfc_b_slice_axis(n->b, v, 2 + d, start, size, 1);
    }
    n->out[0] = v;
}

void xfc_import_dynamic_slice(xfc_node *n) { xfc_node_hand_on(n, 10, xfc_import_slice); }

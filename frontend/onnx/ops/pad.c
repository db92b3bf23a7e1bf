/* pad.c - Pad: a constant border is an op; edge, reflect and wrap are gathers by an index computed along each
 * axis. */
#include "frontend/onnx/import.h"
#include <string.h>

typedef struct {
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK];
} borders;

static bool read_borders(xfc_node *n, borders *out) {
    uint32_t rank = n->in[0]->type.rank, n_pads = 0, n_axes = rank;
    const int64_t *fixed = NULL, *axes = NULL;
    const xfc_int *pads = NULL;
    for (uint32_t i = 0; i < rank; i++) out->before[i] = out->after[i] = xfc_int_const(n->ctx, 0);
    if (n->opset >= 11)
        pads = xfc_node_dims(n, 1, &n_pads);
    else
        xfc_node_ints(n, "pads", &fixed, &n_pads);
    if (xfc_node_has(n, 3)) axes = xfc_node_const_ints(n, 3, &n_axes);
    if (n->status != XFC_OK) return false;
    if (n_pads != 2 * n_axes || (!pads && !fixed && n_pads))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has %u pads for %u axes; export the model again", n_pads, n_axes),
               false;
    bool seen[XFC_MAX_RANK] = {false};
    for (uint32_t i = 0; i < n_axes; i++) {
        uint32_t axis = xfc_node_axis(n, axes ? axes[i] : (int64_t)i, rank);
        if (n->status != XFC_OK) return false;
        if (seen[axis])
            return xfc_node_fail(n, XFC_ERR_INPUT, "pads axis %u twice; export the model again", axis), false;
        seen[axis] = true;
        out->before[axis] = pads ? pads[i] : xfc_int_const(n->ctx, fixed[i]);
        out->after[axis] = pads ? pads[n_axes + i] : xfc_int_const(n->ctx, fixed[n_axes + i]);
    }
    return true;
}

static bool read_fill(xfc_node *n, double *out) {
    *out = n->opset < 11 ? xfc_node_float(n, "value", 0) : 0;
    const xfc_tensor *t;
    if (n->opset < 11 || !xfc_node_has(n, 2)) return true;
    if (!xfc_value_is_const(n->in[2], &t) || t->count != 1)
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "the border value '%s' must be constant; export with it fixed",
                             xfc_node_in_name(n, 2)),
               false;
    *out = xfc_tensor_get_f(t, 0);
    if (xfc_dtype_is_int(t->dtype) && (*out >= 9007199254740992.0 || *out <= -9007199254740992.0))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "the border value '%s' has more than 53 bits",
                             xfc_node_in_name(n, 2)),
               false;
    return true;
}

/* Which element of the axis an output position takes. */
static xfc_value *source_index(xfc_node *n, const char *mode, xfc_int dim, xfc_int before, xfc_int after) {
    xfc_ctx *c = n->ctx;
    xfc_int last = xfc_int_addc(c, dim, -1), total = xfc_int_add(c, dim, xfc_int_add(c, before, after));
    xfc_value *at = xfc_n_iota(n, total, xfc_int_sub(c, xfc_int_const(c, 0), before), 1, XFC_I64);
    xfc_value *end = xfc_b_dims(n->b, &last, -1), *zero = xfc_b_scalar_i(n->b, XFC_I64, 0);
    if (mode[0] == 'e') return xfc_n2(n, XFC_OP_MAX, xfc_n2(n, XFC_OP_MIN, at, end), zero);
    if (mode[0] == 'w') return xfc_n2(n, XFC_OP_MOD, at, xfc_b_dims(n->b, &dim, -1));
    xfc_int period = xfc_int_mulc(c, last, 2); /* reflect: 0 1 .. last .. 1, again; mod 0 gives 0 */
    xfc_value *m = xfc_n2(n, XFC_OP_MOD, at, xfc_b_dims(n->b, &period, -1));
    return xfc_n2(n, XFC_OP_MIN, m, xfc_n2(n, XFC_OP_SUB, xfc_b_dims(n->b, &period, -1), m));
}

static xfc_value *pad_by_index(xfc_node *n, const char *mode, const borders *b) {
    xfc_value *v = n->in[0];
    for (uint32_t i = 0; i < n->in[0]->type.rank && v; i++) {
        if (xfc_int_is(n->ctx, b->before[i], 0) && xfc_int_is(n->ctx, b->after[i], 0)) continue;
        xfc_attr axis = xfc_attr_int(XFC_K_AXIS, i);
        xfc_value *in[2] = {v, source_index(n, mode, v->type.dim[i], b->before[i], b->after[i])};
        v = xfc_build(n->b, XFC_OP_GATHER, in, 2, &axis, 1);
    }
    return v;
}

void xfc_import_pad(xfc_node *n) {
    const char *mode = xfc_node_str(n, "mode", "constant");
    borders b;
    double fill;
    if (!read_borders(n, &b)) return;
    if (!strcmp(mode, "edge") || !strcmp(mode, "reflect") || !strcmp(mode, "wrap")) {
        n->out[0] = pad_by_index(n, mode, &b);
        return;
    }
    if (strcmp(mode, "constant") != 0) {
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'mode' must be constant, edge, reflect or wrap");
        return;
    }
    if (!read_fill(n, &fill)) return;
    uint32_t rank = n->in[0]->type.rank;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, b.before, rank), xfc_attr_dims(XFC_K_AFTER, b.after, rank),
                       xfc_attr_float(XFC_K_FILL, fill)};
    n->out[0] = xfc_build(n->b, XFC_OP_PAD, n->in, 1, attr, XFC_COUNT(attr));
}

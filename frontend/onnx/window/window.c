/* window.c - see window.h: strides, dilations and borders, read and checked once for all operators that slide.
 *
 * Numbers come from the file: strides and dilations are at least 1, pads at least 0, and none exceeds the largest dim,
 * so that products with dims stay within 64 bits.
 */
#include "frontend/onnx/window/window.h"
#include <string.h>

/* `count` numbers in lo..XFC_DIM_MAX, or `absent` everywhere. */
static bool read_list(xfc_node *n, const char *name, uint32_t count, int64_t lo, int64_t absent, int64_t *out) {
    const int64_t *given;
    uint32_t n_given;
    bool has = xfc_node_ints(n, name, &given, &n_given);
    if (n->status != XFC_OK) return false;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = has && i < n_given ? given[i] : absent;
        if ((!has || n_given == count) && out[i] >= lo && out[i] <= XFC_DIM_MAX) continue;
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "attribute '%s' must hold %u numbers, none below %lld; correct the model", name, count,
                             (long long)lo),
               false;
    }
    return true;
}

static bool read_mode(xfc_node *n, xfc_window *w) {
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const char *mode = xfc_node_str(n, "auto_pad", "NOTSET");
    uint32_t i = 0;
    while (i < XFC_COUNT(names) && strcmp(mode, names[i]) != 0) i++;
    if (i == XFC_COUNT(names))
        return xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'auto_pad' must be NOTSET, SAME_UPPER, SAME_LOWER or VALID"),
               false;
    w->mode = i == 1 ? XFC_PAD_SAME_UPPER : i == 2 ? XFC_PAD_SAME_LOWER : XFC_PAD_GIVEN;
    int64_t pads[2 * XFC_MAX_SPATIAL] = {0};
    if (i == 0 && !read_list(n, "pads", 2 * w->n, 0, 0, pads)) return false;
    for (uint32_t d = 0; d < w->n; d++) {
        w->before[d] = xfc_int_const(n->ctx, pads[d]);
        w->after[d] = xfc_int_const(n->ctx, pads[w->n + d]);
    }
    return true;
}

static bool read_size(xfc_node *n, const xfc_int *kernel, xfc_window *w) {
    int64_t size[XFC_MAX_SPATIAL];
    bool given = xfc_node_attr(n, "kernel_shape") != NULL;
    if (!given && !kernel)
        return xfc_node_fail(n, XFC_ERR_INPUT, "has no attribute 'kernel_shape'; export the model again"), false;
    if (given && !read_list(n, "kernel_shape", w->n, 1, 1, size)) return false;
    for (uint32_t d = 0; d < w->n; d++) {
        w->size[d] = kernel ? kernel[d] : xfc_int_const(n->ctx, size[d]);
        if (!given || !kernel) continue;
        if (!xfc_n_equal(n, kernel[d], xfc_int_const(n->ctx, size[d]), "'kernel_shape' and the shape of the weights"))
            return false;
    }
    return true;
}

bool xfc_window_read(xfc_node *n, const xfc_int *kernel, xfc_window *w) {
    uint32_t rank = n->in[0]->type.rank;
    if (rank < 3 || rank > 2 + XFC_MAX_SPATIAL)
        return xfc_node_fail(n, rank < 3 ? XFC_ERR_INPUT : XFC_ERR_LIMIT,
                             "operand '%s' has rank %u; batch, channels and 1 to %d spatial dims are supported",
                             xfc_node_in_name(n, 0), rank, XFC_MAX_SPATIAL),
               false;
    *w = (xfc_window){.n = rank - 2};
    return read_list(n, "strides", w->n, 1, 1, w->step) && read_list(n, "dilations", w->n, 1, 1, w->dilation) &&
           read_mode(n, w) && read_size(n, kernel, w);
}

xfc_int xfc_window_reach(const xfc_node *n, const xfc_window *w, uint32_t i) {
    return xfc_int_addc(n->ctx, xfc_int_mulc(n->ctx, xfc_int_addc(n->ctx, w->size[i], -1), w->dilation[i]), 1);
}

void xfc_window_same(xfc_node *n, const xfc_int *extent, xfc_window *w) {
    xfc_ctx *c = n->ctx;
    xfc_int zero = xfc_int_const(c, 0), two = xfc_int_const(c, 2);
    for (uint32_t d = 0; d < w->n && w->mode != XFC_PAD_GIVEN; d++) {
        xfc_int count = xfc_int_ceildiv(c, extent[d], xfc_int_const(c, w->step[d]));
        xfc_int end =
            xfc_int_add(c, xfc_int_mulc(c, xfc_int_addc(c, count, -1), w->step[d]), xfc_window_reach(n, w, d));
        xfc_int total = xfc_int_max(c, xfc_int_sub(c, end, extent[d]), zero), half = xfc_int_floordiv(c, total, two);
        w->before[d] = w->mode == XFC_PAD_SAME_UPPER ? half : xfc_int_sub(c, total, half);
        w->after[d] = xfc_int_sub(c, total, w->before[d]);
    }
}

xfc_value *xfc_window_border(xfc_node *n, xfc_value *x, const xfc_window *w, double fill) {
    if (!x) return NULL;
    xfc_ctx *c = n->ctx;
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK], zero = xfc_int_const(c, 0);
    bool any = false;
    for (uint32_t d = 0; d < x->type.rank; d++) {
        bool spatial = d >= 2 && d < 2 + w->n;
        before[d] = spatial ? w->before[d - 2] : zero;
        after[d] = spatial ? w->after[d - 2] : zero;
        any = any || !xfc_int_is(c, before[d], 0) || !xfc_int_is(c, after[d], 0);
        xfc_int extent = xfc_int_add(c, x->type.dim[d], xfc_int_add(c, before[d], after[d]));
        if (xfc_int_le(c, zero, extent) < 0)
            xfc_graph_require_equal(n->im->graph, xfc_int_max(c, extent, zero), extent, n->loc);
    }
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, x->type.rank),
                       xfc_attr_dims(XFC_K_AFTER, after, x->type.rank), xfc_attr_float(XFC_K_FILL, fill)};
    return any ? xfc_build(n->b, XFC_OP_PAD, &x, 1, attr, XFC_COUNT(attr)) : x;
}

xfc_value *xfc_window_view(xfc_node *n, xfc_value *x, const xfc_window *w) {
    int64_t axes[XFC_MAX_SPATIAL];
    for (uint32_t d = 0; d < w->n; d++) axes[d] = 2 + d;
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, axes, w->n), xfc_attr_dims(XFC_K_SIZE, w->size, w->n),
                       xfc_attr_ints(XFC_K_STEP, w->step, w->n), xfc_attr_ints(XFC_K_DILATION, w->dilation, w->n)};
    return xfc_build(n->b, XFC_OP_WINDOWS, &x, 1, attr, XFC_COUNT(attr));
}

xfc_value *xfc_window_reduce(xfc_node *n, xfc_opcode code, xfc_value *v, uint32_t n_axes) {
    int64_t axes[XFC_MAX_SPATIAL];
    for (uint32_t d = 0; v && d < n_axes; d++) axes[d] = v->type.rank - n_axes + d;
    return xfc_b_reduce(n->b, code, v, axes, n_axes, false);
}

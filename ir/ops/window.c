/* window.c - sliding windows: the view that convolutions and pools are made of.
 *
 * windows of x [n, c, h, w] along axes h and w is [n, c, oh, ow, kh, kw]: the place of a window stands where its axis
 * stood, the place inside the window behind all dims, in the order of axes. Elements are repeated, never computed, so a
 * contraction over the window's dims is a convolution and a reduction is a pool; borders are pad's business. Only whole
 * windows count: floor((extent - (size - 1) * dilation - 1) / step) + 1 of them. That number may be 0; where it may be
 * negative, that it is not becomes a condition of the graph.
 */
#include "ir/ops/ops.h"

typedef struct {
    const int64_t *axis, *step, *dilation;
    const xfc_int *size;
    uint32_t n;
} windows;

static windows windows_of(const xfc_op *op) {
    return (windows){.axis = xfc_op_attr(op, XFC_K_AXES)->u.ints,
                     .step = xfc_op_attr(op, XFC_K_STEP)->u.ints,
                     .dilation = xfc_op_attr(op, XFC_K_DILATION)->u.ints,
                     .size = xfc_op_attr(op, XFC_K_SIZE)->u.dims,
                     .n = xfc_op_attr(op, XFC_K_AXES)->n};
}

/* Windows along one axis. */
static xfc_status count_windows(xfc_infer *inf, xfc_int extent, const windows *w, uint32_t i, xfc_int *out) {
    xfc_ctx *ctx = inf->ctx;
    xfc_int zero = xfc_int_const(ctx, 0), last = xfc_int_mulc(ctx, xfc_int_addc(ctx, w->size[i], -1), w->dilation[i]);
    xfc_int room = xfc_int_addc(ctx, xfc_int_sub(ctx, extent, last), -1);
    *out = xfc_int_addc(ctx, xfc_int_floordiv(ctx, room, xfc_int_const(ctx, w->step[i])), 1);
    if (!xfc_int_known(*out) || xfc_int_lt(ctx, *out, zero) == 1) {
        return xfc_fail(ctx, XFC_ERR_INPUT, inf->op->loc,
                        "a window of %s elements, %lld apart, does not fit into dim %lld of %s: correct its size",
                        xfc_dim_text(ctx, w->size[i]), (long long)w->dilation[i], (long long)w->axis[i],
                        xfc_type_text(ctx, xfc_op_in(inf->op, 0)));
    }
    if (xfc_int_le(ctx, zero, *out) != 1)
        xfc_graph_require_equal(inf->graph, xfc_int_max(ctx, *out, zero), *out, inf->op->loc);
    return XFC_OK;
}

xfc_status infer_windows(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *in = xfc_op_in(op, 0);
    windows w = windows_of(op);
    if (xfc_op_attr(op, XFC_K_STEP)->n != w.n || xfc_op_attr(op, XFC_K_DILATION)->n != w.n ||
        xfc_op_attr(op, XFC_K_SIZE)->n != w.n || w.n > in->rank)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "windows needs a size, a step and a dilation for each of its axes: correct their number");
    if (in->rank + w.n > XFC_MAX_RANK)
        return xfc_fail(inf->ctx, XFC_ERR_LIMIT, op->loc, "windows gives a tensor of %u dims: at most %d are supported",
                        (unsigned)(in->rank + w.n), (int)XFC_MAX_RANK);
    xfc_type out = *in;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < w.n; i++) {
        uint32_t axis;
        XFC_TRY(xfc_infer_axis(inf, w.axis[i], in->rank, &axis));
        if (seen >> axis & 1 || w.step[i] < 1 || w.dilation[i] < 1 || w.step[i] > XFC_DIM_MAX ||
            w.dilation[i] > XFC_DIM_MAX || xfc_int_lt(inf->ctx, w.size[i], xfc_int_const(inf->ctx, 1)) == 1)
            return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                            "windows along dim %u: it may be named once, and size, step and dilation are at least 1: "
                            "correct them",
                            (unsigned)axis);
        seen |= 1u << axis;
        XFC_TRY(count_windows(inf, in->dim[axis], &w, i, &out.dim[axis]));
        out.dim[out.rank++] = w.size[i];
    }
    inf->out[0] = out;
    return XFC_OK;
}

xfc_status nest_windows(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *in = xfc_op_in(op, 0), *out = &op->out[0].type;
    windows w = windows_of(op);
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    for (uint32_t d = 0; d < in->rank; d++) at[d] = index[d];
    for (uint32_t i = 0; i < w.n; i++) {
        xfc_int begin = xfc_int_mulc(nb->ctx, index[w.axis[i]], w.step[i]);
        at[w.axis[i]] = xfc_int_add(nb->ctx, begin, xfc_int_mulc(nb->ctx, index[in->rank + i], w.dilation[i]));
    }
    uint32_t value = xfc_nb_load(nb, in->dtype, 0, at, in->rank);
    xfc_nb_store(nb, value, 1, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

/* gather.c - reads by index whose indices are known to be an arithmetic progression.
 *
 * gather by one known index, by constants c, c + d, c + 2 d ..., or by an iota is a slice: no index is loaded, and none
 * can be out of range. Only when every index surely lies inside: else the gather keeps its run-time check. An expanded
 * index reads the same rows many times, so the gather is done once and its result expanded. Position tables of text
 * encoders are all of these.
 *
 *   %p = slice %positions {start = [0, 0], size = [1, s], step = [1, 1]}   |  (%positions: the constant 0, 1, 2, ...)
 *   %e = gather %table, (expand %p {shape = [b, s]}) {axis = 0}            |  %e = slice %table ..0..s, expanded
 */
#include "passes/views/views.h"

static void from_iota(xfc_ctx *c, const xfc_op *iota, xfc_progression *out) {
    const xfc_attr *start = xfc_op_attr(iota, XFC_K_START), *step = xfc_op_attr(iota, XFC_K_STEP);
    out->start = start ? start->u.dims[0] : xfc_int_const(c, 0);
    out->size = xfc_op_attr(iota, XFC_K_SIZE)->u.dims[0];
    out->step = step ? step->u.ints[0] : 1;
}

/* The elements of v in row-major order. A reshape does not change it. */
bool xfc_views_progression_of(xfc_ctx *c, const xfc_value *v, xfc_progression *out) {
    while (xfc_op_is(v, XFC_OP_RESHAPE) && !v->content) v = v->def->in[0].value;
    if (xfc_progression_of(c, v, out)) return true;
    if (!xfc_op_is(v, XFC_OP_IOTA)) return false;
    from_iota(c, v->def, out);
    return true;
}

/* The graph requires end <= extent at entry: min(end, extent) == end. Slicing a table of positions by the sequence's
 * length does. */
static bool required_inside(const xfc_graph *g, xfc_int end, xfc_int extent) {
    return xfc_graph_requires_equal(g, xfc_int_min(g->ctx, end, extent), end);
}

/* Every index surely lies in [0, extent); negative ones are moved up by the extent first (ONNX). */
static bool surely_inside(const xfc_graph *g, xfc_progression *p, xfc_int extent) {
    xfc_ctx *c = g->ctx;
    xfc_int zero = xfc_int_const(c, 0);
    if (xfc_int_lt(c, p->start, zero) == 1) p->start = xfc_int_add(c, p->start, extent);
    xfc_int last = xfc_int_add(c, p->start, xfc_int_mulc(c, xfc_int_addc(c, p->size, -1), p->step));
    xfc_int low = p->step > 0 ? p->start : last, high = p->step > 0 ? last : p->start;
    if (xfc_int_le(c, zero, low) != 1) return false;
    return xfc_int_lt(c, high, extent) == 1 || required_inside(g, xfc_int_addc(c, high, 1), extent);
}

static xfc_value *gather_as_slice(xfc_builder *b, const xfc_op *op, uint32_t axis) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *data = op->in[0].value;
    const xfc_type *out = &op->out[0].type;
    xfc_progression p;
    if (!xfc_views_progression_of(c, op->in[1].value, &p) || !surely_inside(b->graph, &p, data->type.dim[axis]))
        return NULL;
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t d = 0; d < data->type.rank; d++) {
        start[d] = d == axis ? p.start : xfc_int_const(c, 0);
        size[d] = d == axis ? p.size : data->type.dim[d];
        step[d] = d == axis ? p.step : 1;
    }
    return xfc_b_reshape(b, xfc_b_slice(b, data, start, size, step), out->dim, out->rank);
}

/* Aligned on the right, the dims of the smaller index and of what it gathers keep their places only along axis 0, or at
 * equal rank. */
static xfc_value *gather_expanded(xfc_builder *b, const xfc_op *op, uint32_t axis) {
    xfc_value *index = op->in[1].value;
    const xfc_type *out = &op->out[0].type;
    if (!xfc_op_is(index, XFC_OP_EXPAND)) return NULL;
    xfc_value *small = index->def->in[0].value;
    if (axis != 0 && small->type.rank != index->type.rank) return NULL;
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    xfc_value *rows = xfc_build(b, XFC_OP_GATHER, (xfc_value *[]){op->in[0].value, small}, 2, &attr, 1);
    return xfc_b_expand(b, rows, out->dim, out->rank);
}

xfc_value *xfc_views_gather(xfc_builder *b, const xfc_op *op) {
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_value *v = gather_as_slice(b, op, axis);
    if (!v) v = xfc_views_gather_formula(b, op);
    return v ? v : gather_expanded(b, op, axis);
}

xfc_value *xfc_views_slice_progression(xfc_builder *b, const xfc_op *op) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *x = op->in[0].value;
    const xfc_type *in = &x->type, *out = &op->out[0].type;
    xfc_progression p;
    uint32_t axis = 0;
    while (axis < in->rank && xfc_int_is(c, in->dim[axis], 1)) axis++;
    for (uint32_t d = 0; d < in->rank; d++) {
        if (d != axis && !(xfc_int_is(c, in->dim[d], 1) && xfc_int_is(c, out->dim[d], 1))) return NULL;
    }
    bool source = xfc_value_is_const(x, NULL) || xfc_op_is(x, XFC_OP_IOTA) || xfc_op_is(x, XFC_OP_RESHAPE);
    if (axis == in->rank || !source || !xfc_dtype_is_int(in->dtype) || !xfc_views_progression_of(c, x, &p)) return NULL;
    int64_t step;
    if (!xfc_mul_ok(p.step, xfc_op_attr(op, XFC_K_STEP)->u.ints[axis], &step)) return NULL;
    xfc_int start = xfc_int_add(c, p.start, xfc_int_mulc(c, xfc_op_attr(op, XFC_K_START)->u.dims[axis], p.step));
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &out->dim[axis], 1), xfc_attr_dims(XFC_K_START, &start, 1),
                       xfc_attr_ints(XFC_K_STEP, &step, 1), xfc_attr_dtype(XFC_K_TO, in->dtype)};
    return xfc_b_reshape(b, xfc_build(b, XFC_OP_IOTA, NULL, 0, attr, XFC_COUNT(attr)), out->dim, out->rank);
}

/* index.c - index tensors that are formulas: reads through them become views, comparisons of them may be decided.
 *
 * Exporters build masks by gathering at a grid: mask[b * s + t] or mask[(b, t)] with b and t from Range, Expand, Mul,
 * Add, Concat. Each element of such a tensor is a formula over the index of the element, so the gather reads x[formula
 * of the output index], and where that is one output axis or one number a dim, the gather is a transpose, a slice and
 * an expand. The mask then is what it was before the exporter spelled it out: one value a key. A condition that always
 * has the same outcome (row >= 0) is a constant.
 *
 * Formulas are those of ir/probe.h at fresh axis symbols, one a dim of the output, whose ranges are the index's.
 * Nothing is assumed to be in range: reads must be proved so.
 */
#include "passes/views/views.h"

/* --- reads --- */

/* from[d]: the output axis that dim d of x is read at, or rank of the output for one fixed place, start[d]. */
static bool recognize(xfc_ctx *c, const xfc_type *x, const xfc_type *out, const xfc_int *at, const xfc_int *axis,
                      uint32_t *from, xfc_int *start) {
    uint32_t taken = 0;
    for (uint32_t d = 0; d < x->rank; d++) {
        int64_t fixed, extent;
        uint32_t k = 0;
        from[d] = out->rank;
        start[d] = xfc_int_const(c, 0);
        if (xfc_int_is(c, x->dim[d], 1) && xfc_int_eq(c, at[d], start[d]) == 1) continue;
        if (xfc_int_value(c, at[d], &fixed)) {
            if (fixed < 0 && xfc_int_value(c, x->dim[d], &extent)) fixed += extent;
            start[d] = xfc_int_const(c, fixed);
            if (fixed < 0 || xfc_int_lt(c, start[d], x->dim[d]) != 1) return false;
            continue;
        }
        while (k < out->rank && !xfc_int_same(at[d], axis[k])) k++;
        if (k == out->rank || (taken >> k & 1) || !xfc_int_same(x->dim[d], out->dim[k])) return false;
        taken |= 1u << k;
        from[d] = k;
    }
    return true;
}

/* Fixed dims are cut to one place and go first, the others in the order of the output's axes, then one where no dim is
 * read. */
static xfc_value *build_read(xfc_builder *b, xfc_value *x, const xfc_type *out, const uint32_t *from,
                             const xfc_int *start) {
    xfc_ctx *c = b->graph->ctx;
    xfc_int size[XFC_MAX_RANK], dim[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK], perm[XFC_MAX_RANK];
    uint32_t n = 0, rank = x->type.rank;
    for (uint32_t d = 0; d < rank; d++) {
        size[d] = from[d] == out->rank ? xfc_int_const(c, 1) : x->type.dim[d];
        step[d] = 1;
        if (from[d] == out->rank) perm[n++] = d;
    }
    for (uint32_t k = 0; k < out->rank; k++) {
        dim[k] = xfc_int_const(c, 1);
        for (uint32_t d = 0; d < rank; d++) {
            if (from[d] != k) continue;
            perm[n++] = d;
            dim[k] = x->type.dim[d];
        }
    }
    x = xfc_b_transpose(b, xfc_b_slice(b, x, start, size, step), perm);
    return xfc_b_expand(b, xfc_b_reshape(b, x, dim, out->rank), out->dim, out->rank);
}

static xfc_value *read_as_view(xfc_builder *b, xfc_value *x, const xfc_type *out, xfc_int *at, const xfc_int *axis) {
    xfc_ctx *c = b->graph->ctx;
    uint32_t from[XFC_MAX_RANK];
    xfc_int start[XFC_MAX_RANK], below[XFC_MAX_RANK];
    for (uint32_t d = 0; d < x->type.rank; d++) {
        if (!xfc_int_known(at[d])) return NULL;
    }
    while (!recognize(c, &x->type, out, at, axis, from, start)) {
        if (!xfc_op_is(x, XFC_OP_RESHAPE)) return NULL;
        for (uint32_t d = 0; d < x->type.rank; d++) { /* what lies outside here may lie inside elsewhere */
            if (xfc_int_le(c, xfc_int_const(c, 0), at[d]) != 1 || xfc_int_lt(c, at[d], x->type.dim[d]) != 1)
                return NULL;
        }
        const xfc_type *in = &x->def->in[0].value->type;
        xfc_type_delinear(c, in, xfc_type_linear(c, &x->type, at), below);
        for (uint32_t d = 0; d < in->rank; d++) at[d] = below[d];
        x = x->def->in[0].value;
    }
    return build_read(b, x, out, from, start);
}

xfc_value *xfc_views_gather_formula(xfc_builder *b, const xfc_op *op) {
    xfc_value *x = op->in[0].value;
    const xfc_value *index = op->in[1].value;
    const xfc_type *out = &op->out[0].type;
    xfc_int axis[XFC_MAX_RANK], at[XFC_MAX_RANK];
    uint32_t along = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    if (!xfc_probe_is_closed(index)) return NULL;
    xfc_type_index(b->graph->ctx, out, axis);
    xfc_arena *scratch = xfc_arena_new();
    xfc_probe p = xfc_probe_new(b->graph, scratch);
    for (uint32_t d = 0; d < along; d++) at[d] = axis[d];
    for (uint32_t d = along + 1; d < x->type.rank; d++) at[d] = axis[d + index->type.rank - 1];
    at[along] = xfc_fact_formula(xfc_probe_at(&p, index, axis + along));
    xfc_arena_free(scratch);
    return read_as_view(b, x, out, at, axis);
}

xfc_value *xfc_views_gather_nd(xfc_builder *b, const xfc_op *op) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *x = op->in[0].value;
    const xfc_value *index = op->in[1].value;
    const xfc_type *out = &op->out[0].type;
    xfc_int axis[XFC_MAX_RANK], at[XFC_MAX_RANK], place[XFC_MAX_RANK];
    uint32_t batch = (uint32_t)xfc_op_int(op, XFC_K_BATCH_DIMS, 0), last = index->type.rank - 1;
    int64_t depth;
    if (!xfc_probe_is_closed(index) || !xfc_int_value(c, index->type.dim[last], &depth)) return NULL;
    xfc_type_index(c, out, axis);
    xfc_arena *scratch = xfc_arena_new();
    xfc_probe p = xfc_probe_new(b->graph, scratch);
    for (uint32_t i = 0; i < last; i++) place[i] = axis[i];
    for (uint32_t d = 0; d < x->type.rank; d++) {
        place[last] = xfc_int_const(c, (int64_t)d - batch);
        at[d] = d < batch           ? axis[d]
                : d < batch + depth ? xfc_fact_formula(xfc_probe_at(&p, index, place))
                                    : axis[last + d - batch - (uint32_t)depth];
    }
    xfc_arena_free(scratch);
    return read_as_view(b, x, out, at, axis);
}

xfc_value *xfc_views_decided(xfc_builder *b, const xfc_op *op) {
    xfc_ctx *c = b->graph->ctx;
    const xfc_type *out = &op->out[0].type;
    xfc_int axis[XFC_MAX_RANK];
    int64_t always;
    if (out->dtype != XFC_BOOL || op->n_in == 0 || !xfc_probe_is_closed(&op->out[0])) return NULL;
    xfc_type_index(c, out, axis);
    xfc_arena *scratch = xfc_arena_new();
    xfc_probe p = xfc_probe_new(b->graph, scratch);
    bool decided = xfc_int_value(c, xfc_fact_formula(xfc_probe_at(&p, &op->out[0], axis)), &always);
    xfc_arena_free(scratch);
    if (!decided) return NULL;
    uint8_t value = (uint8_t)always;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SHAPE, out->dim, out->rank),
                       xfc_attr_tensor(XFC_K_VALUE, xfc_tensor_copy(c, XFC_BOOL, 0, NULL, &value, NULL))};
    return xfc_build(b, XFC_OP_SPLAT, NULL, 0, attr, XFC_COUNT(attr));
}

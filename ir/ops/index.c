/* index.c - gathers: indices that come from data.
 *
 * Idea: an index read from a tensor becomes a let, an integer symbol with the range of the dim it indexes; so the rest
 * of the nest treats it as any other index. A let wraps (ONNX: "negative value means counting dimensions from the
 * back"); outside of its range compiled code clamps and sets the run's error word, and the interpreter fails.
 */
#include "ir/ops/ops.h"

static xfc_status check_indices(xfc_infer *inf) {
    xfc_dtype t = xfc_op_in(inf->op, 1)->dtype;
    if (t == XFC_I32 || t == XFC_I64) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "indices of %s are %s but must be i32 or i64: cast them",
                    xfc_ops[inf->op->code].name, xfc_dtype_name(t));
}

static xfc_status check_rank(xfc_infer *inf, uint32_t rank) {
    if (rank <= XFC_MAX_RANK) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_LIMIT, inf->op->loc, "%s gives a tensor of %u dims: at most %d are supported",
                    xfc_ops[inf->op->code].name, (unsigned)rank, (int)XFC_MAX_RANK);
}

static xfc_int let_index(xfc_nestb *nb, uint32_t value, xfc_int extent) {
    return xfc_nb_let(nb, "at", value, xfc_int_const(nb->ctx, 0), xfc_int_addc(nb->ctx, extent, -1), true);
}

xfc_status infer_gather(xfc_infer *inf) {
    const xfc_type *data = xfc_op_in(inf->op, 0), *where = xfc_op_in(inf->op, 1);
    uint32_t axis, rank = 0;
    XFC_TRY(check_indices(inf));
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), data->rank, &axis));
    XFC_TRY(check_rank(inf, data->rank - 1 + where->rank));
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d < axis; d++) dim[rank++] = data->dim[d];
    for (uint32_t d = 0; d < where->rank; d++) dim[rank++] = where->dim[d];
    for (uint32_t d = axis + 1; d < data->rank; d++) dim[rank++] = data->dim[d];
    inf->out[0] = xfc_type_make(data->dtype, rank, dim);
    return XFC_OK;
}

xfc_status nest_gather(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *data = xfc_op_in(op, 0), *where = xfc_op_in(op, 1), *out = &op->out[0].type;
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    uint32_t loaded = xfc_nb_load(nb, where->dtype, 1, index + axis, where->rank);
    for (uint32_t d = 0; d < axis; d++) at[d] = index[d];
    at[axis] = let_index(nb, loaded, data->dim[axis]);
    for (uint32_t d = axis + 1; d < data->rank; d++) at[d] = index[d - 1 + where->rank];
    xfc_nb_store(nb, xfc_nb_load(nb, data->dtype, 0, at, data->rank), 2, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

xfc_status infer_gather_elements(xfc_infer *inf) {
    const xfc_type *data = xfc_op_in(inf->op, 0), *where = xfc_op_in(inf->op, 1);
    uint32_t axis;
    XFC_TRY(check_indices(inf));
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), data->rank, &axis));
    if (where->rank != data->rank) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "indices have %u dims and data has %u: gather_elements needs one rank", (unsigned)where->rank,
                        (unsigned)data->rank);
    }
    for (uint32_t d = 0; d < data->rank; d++)
        if (d != axis) XFC_TRY(xfc_infer_at_most(inf, where->dim[d], data->dim[d], "dims of the indices and of data"));
    inf->out[0] = xfc_type_make(data->dtype, where->rank, where->dim);
    return XFC_OK;
}

xfc_status nest_gather_elements(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *data = xfc_op_in(op, 0), *where = xfc_op_in(op, 1), *out = &op->out[0].type;
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    uint32_t loaded = xfc_nb_load(nb, where->dtype, 1, index, where->rank);
    for (uint32_t d = 0; d < data->rank; d++) at[d] = index[d];
    at[axis] = let_index(nb, loaded, data->dim[axis]);
    xfc_nb_store(nb, xfc_nb_load(nb, data->dtype, 0, at, data->rank), 2, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

xfc_status infer_gather_nd(xfc_infer *inf) {
    const xfc_type *data = xfc_op_in(inf->op, 0), *where = xfc_op_in(inf->op, 1);
    int64_t batch = xfc_op_int(inf->op, XFC_K_BATCH_DIMS, 0), tuple = 0;
    XFC_TRY(check_indices(inf));
    if (where->rank == 0 || batch < 0 || batch >= (int64_t)where->rank || batch >= (int64_t)data->rank) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "batch_dims %lld is not below the ranks of data (%u) and indices (%u): correct it",
                        (long long)batch, (unsigned)data->rank, (unsigned)where->rank);
    }
    bool fixed = xfc_int_value(inf->ctx, where->dim[where->rank - 1], &tuple);
    if (!fixed || tuple < 1 || tuple > (int64_t)data->rank - batch) {
        return xfc_fail(
            inf->ctx, fixed ? XFC_ERR_INPUT : XFC_ERR_UNSUPPORTED, inf->op->loc,
            "index tuples have length %s but must have a fixed one of 1 to %lld: correct the last dim of the indices",
            xfc_dim_text(inf->ctx, where->dim[where->rank - 1]), (long long)data->rank - (long long)batch);
    }
    uint32_t first = (uint32_t)(batch + tuple), rank = 0;
    XFC_TRY(check_rank(inf, where->rank - 1 + data->rank - first));
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d + 1 < where->rank; d++) dim[rank++] = where->dim[d];
    for (uint32_t d = first; d < data->rank; d++) dim[rank++] = data->dim[d];
    for (uint32_t d = 0; d < (uint32_t)batch; d++)
        XFC_TRY(xfc_infer_equal(inf, data->dim[d], where->dim[d], "batch dims of gather_nd"));
    inf->out[0] = xfc_type_make(data->dtype, rank, dim);
    return XFC_OK;
}

xfc_status nest_gather_nd(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *data = xfc_op_in(op, 0), *where = xfc_op_in(op, 1), *out = &op->out[0].type;
    uint32_t batch = (uint32_t)xfc_op_int(op, XFC_K_BATCH_DIMS, 0), prefix = where->rank - 1;
    uint32_t tuple = data->rank - (out->rank - prefix) - batch;
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK], from[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    for (uint32_t d = 0; d < prefix; d++) from[d] = index[d];
    for (uint32_t d = 0; d < batch; d++) at[d] = index[d];
    for (uint32_t i = 0; i < tuple; i++) {
        from[prefix] = xfc_int_const(nb->ctx, i);
        at[batch + i] = let_index(nb, xfc_nb_load(nb, where->dtype, 1, from, where->rank), data->dim[batch + i]);
    }
    for (uint32_t d = prefix; d < out->rank; d++) at[batch + tuple + d - prefix] = index[d];
    xfc_nb_store(nb, xfc_nb_load(nb, data->dtype, 0, at, data->rank), 2, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

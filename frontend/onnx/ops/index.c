/* index.c - gathers, and what comparing with an index range gives: one-hot, arg-max, hardmax. */
#include "frontend/onnx/import.h"

static xfc_value *gather_like(xfc_node *n, xfc_opcode code, xfc_attr attr) {
    return n->status == XFC_OK ? xfc_build(n->b, code, n->in, 2, &attr, 1) : NULL;
}

void xfc_import_gather(xfc_node *n) {
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), n->in[0]->type.rank);
    n->out[0] = gather_like(n, XFC_OP_GATHER, xfc_attr_int(XFC_K_AXIS, axis));
}

void xfc_import_gather_elements(xfc_node *n) {
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), n->in[0]->type.rank);
    n->out[0] = gather_like(n, XFC_OP_GATHER_ELEMENTS, xfc_attr_int(XFC_K_AXIS, axis));
}

void xfc_import_gather_nd(xfc_node *n) {
    int64_t batch = xfc_node_int(n, "batch_dims", 0), rank = xfc_node_declared_rank(n),
            most = n->in[0]->type.rank - batch;
    if (rank >= 0) xfc_node_tuples(n, (int64_t)n->in[1]->type.rank - 1 + most - rank, most);
    n->out[0] = gather_like(n, XFC_OP_GATHER_ND, xfc_attr_int(XFC_K_BATCH_DIMS, batch));
}

xfc_value *xfc_n_within(xfc_node *n, xfc_value *v, xfc_int most) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_int zero = xfc_int_const(n->ctx, 0), size = xfc_int_max(n->ctx, zero, xfc_int_addc(n->ctx, most, 1));
    xfc_value *table = xfc_n_iota(n, size, zero, 1, XFC_I64), *outside = xfc_b_dims(n->b, &size, -1);
    v = xfc_n_select(n, xfc_n2(n, XFC_OP_LT, v, xfc_ni(n, 0)), outside, v); /* else it would count from the end */
    return table && v ? xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){table, v}, 2, &axis, 1) : NULL;
}

/* index[axis], as i64 broadcastable along `axis` of a tensor of this rank. */
static xfc_value *index_along(xfc_node *n, xfc_int size, uint32_t axis, uint32_t rank) {
    return xfc_n_along(n, xfc_n_iota(n, size, xfc_int_const(n->ctx, 0), 1, XFC_I64), axis, rank);
}

/* out[.., j, ..] = values[1] where j is the index (counted from the end if negative), values[0] elsewhere. */
void xfc_import_one_hot(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type, *values = &n->in[2]->type;
    uint32_t n_depth, axis = xfc_node_axis(n, xfc_node_int(n, "axis", -1), t->rank + 1);
    xfc_value *depth_value = n->in[1];
    if (!xfc_dtype_is_int(depth_value->type.dtype)) n->in[1] = xfc_b_cast(n->b, depth_value, XFC_I64);
    const xfc_int *depth = n->in[1] ? xfc_node_sizes(n, 1, &n_depth) : NULL;
    if (!depth || n->status != XFC_OK) return;
    if (n_depth != 1 || t->rank + 1 > XFC_MAX_RANK || values->rank != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs one depth, two values and indices below rank %d", XFC_MAX_RANK);
        return;
    }
    if (!xfc_n_equal(n, values->dim[0], xfc_int_const(n->ctx, 2), "the values and their number, 2,")) return;
    xfc_int dim[XFC_MAX_RANK], one = xfc_int_const(n->ctx, 1);
    for (uint32_t i = 0, k = 0; i <= t->rank; i++) dim[i] = i == axis ? one : t->dim[k++];
    xfc_value *index = xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[0], XFC_I64), dim, t->rank + 1);
    xfc_value *size = xfc_b_dims(n->b, depth, -1), *zero = xfc_b_scalar_i(n->b, XFC_I64, 0);
    index = xfc_b_select(n->b, xfc_n2(n, XFC_OP_LT, index, zero), xfc_n2(n, XFC_OP_ADD, index, size), index);
    xfc_value *hit = xfc_n2(n, XFC_OP_EQ, index, index_along(n, depth[0], axis, t->rank + 1));
    xfc_value *off = xfc_b_reshape(n->b, xfc_n_pick(n, n->in[2], 0), NULL, 0);
    xfc_value *on = xfc_b_reshape(n->b, xfc_n_pick(n, n->in[2], 1), NULL, 0);
    n->out[0] = xfc_b_select(n->b, hit, on, off);
}

/* Along the time axis, the first `length` elements of each batch the other way round. */
void xfc_import_reverse_sequence(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type, *lengths = &n->in[1]->type;
    uint32_t batch = xfc_node_axis(n, xfc_node_int(n, "batch_axis", 1), t->rank),
             time = xfc_node_axis(n, xfc_node_int(n, "time_axis", 0), t->rank);
    if (n->status == XFC_OK && (lengths->rank != 1 || batch == time || !xfc_dtype_is_int(lengths->dtype)))
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a length a batch and two axes that differ; export the model again");
    if (n->status != XFC_OK || !xfc_n_equal(n, lengths->dim[0], t->dim[batch], "the lengths and the batch")) return;
    xfc_value *length = xfc_n_within(n, xfc_b_cast(n->b, n->in[1], XFC_I64), t->dim[time]),
              *at = index_along(n, t->dim[time], time, t->rank);
    length = xfc_n_along(n, length, batch, t->rank);
    xfc_value *back = xfc_n2(n, XFC_OP_SUB, xfc_n2(n, XFC_OP_SUB, length, xfc_b_scalar_i(n->b, XFC_I64, 1)), at);
    xfc_value *inside = xfc_n2(n, XFC_OP_LT, at, length);
    at = inside && back ? xfc_b_select(n->b, inside, back, at) : NULL;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, time);
    at = at ? xfc_b_expand(n->b, at, t->dim, t->rank) : NULL;
    if (at) n->out[0] = xfc_build(n->b, XFC_OP_GATHER_ELEMENTS, (xfc_value *[]){n->in[0], at}, 2, &axis, 1);
}

/* The first (or last) index whose element equals the extreme one; the extreme of a row with a NaN is NaN, whose
 * first index counts, as in numpy. A row of no elements gives its extent, which is 0. */
xfc_value *xfc_n_arg_extreme(xfc_node *n, xfc_value *x, xfc_opcode extreme, uint32_t axis, bool last, bool keepdims) {
    xfc_type t = x->type;
    int64_t axes[1] = {axis};
    xfc_value *best = xfc_b_reduce(n->b, extreme, x, axes, 1, true), *hit = xfc_n2(n, XFC_OP_EQ, x, best);
    if (xfc_dtype_is_float(t.dtype)) hit = xfc_n2(n, XFC_OP_OR, hit, xfc_n1(n, XFC_OP_ISNAN, x));
    xfc_value *miss = last ? xfc_b_scalar_i(n->b, XFC_I64, 0) : xfc_b_dims(n->b, &t.dim[axis], -1);
    xfc_value *index = xfc_b_select(n->b, hit, index_along(n, t.dim[axis], axis, t.rank), miss);
    return xfc_b_reduce(n->b, last ? XFC_OP_REDUCE_MAX : XFC_OP_REDUCE_MIN, index, axes, 1, keepdims);
}

void xfc_import_arg_extreme(xfc_node *n) {
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), n->in[0]->type.rank);
    bool last = xfc_node_flag(n, "select_last_index", false), keepdims = xfc_node_flag(n, "keepdims", true);
    if (n->status == XFC_OK) n->out[0] = xfc_n_arg_extreme(n, n->in[0], n->row->code, axis, last, keepdims);
}

/* Below opset 13 the axes from `axis` on are one. */
void xfc_import_hardmax(xfc_node *n) {
    xfc_type t = n->in[0]->type;
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", n->opset < 13 ? 1 : -1), t.rank), at = axis, rank = t.rank;
    xfc_value *x = n->in[0];
    if (n->status != XFC_OK) return;
    if (n->opset < 13) {
        xfc_int flat[2] = {xfc_dims_product(n->ctx, t.dim, axis),
                           xfc_dims_product(n->ctx, t.dim + axis, t.rank - axis)};
        x = xfc_b_reshape(n->b, x, flat, rank = 2);
        at = 1;
    }
    if (!x) return;
    xfc_value *index = xfc_n_arg_extreme(n, x, XFC_OP_REDUCE_MAX, at, false, true);
    xfc_value *hit = xfc_n2(n, XFC_OP_EQ, index, index_along(n, x->type.dim[at], at, rank));
    n->out[0] = xfc_b_reshape(n->b, hit ? xfc_b_cast(n->b, hit, t.dtype) : NULL, t.dim, t.rank);
}

/* Elements of the last dim by number; of a single row a row. */
void xfc_import_array_feature_extractor(xfc_node *n) {
    const xfc_type t = n->in[0]->type;
    xfc_int dim[XFC_MAX_RANK], count = xfc_type_count(n->ctx, &n->in[1]->type), one = xfc_int_const(n->ctx, 1);
    uint32_t rank = t.rank < 2 ? 2 : t.rank;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, (int64_t)t.rank - 1);
    if (t.rank == 0) {
        xfc_node_fail(n, XFC_ERR_INPUT, "takes elements of a scalar; export the model again");
        return;
    }
    dim[0] = one;
    for (uint32_t d = 0; d + 1 < t.rank; d++) dim[d] = t.dim[d];
    dim[rank - 1] = count;
    xfc_value *in[2] = {n->in[0], xfc_b_reshape(n->b, n->in[1], &count, 1)};
    xfc_value *v = in[1] ? xfc_build(n->b, XFC_OP_GATHER, in, 2, &axis, 1) : NULL;
    n->out[0] = v ? xfc_b_reshape(n->b, v, dim, rank) : NULL;
}

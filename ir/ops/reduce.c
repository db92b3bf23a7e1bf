/* reduce.c - reductions and running sums.
 *
 * Idea: a reduction is a load stored with a combine over reduce axes. Rounding: a combined store's accumulator has the
 * type of the stored value, and the store converts to the buffer's type once at the end; so sums and products of f16
 * and bf16 cast to f32 first and round once. Integers wrap. An empty reduction gives the identity (sum 0, max -inf or
 * the least integer). Over bool, max is `or` and min is `and`.
 */
#include "ir/ops/ops.h"

/* Bit d of out: dim d is reduced. */
static xfc_status reduced_dims(xfc_infer *inf, uint32_t rank, uint32_t *out) {
    const xfc_attr *axes = xfc_op_attr(inf->op, XFC_K_AXES);
    *out = 0;
    for (uint32_t i = 0; i < axes->n; i++) {
        uint32_t axis;
        XFC_TRY(xfc_infer_axis(inf, axes->u.ints[i], rank, &axis));
        if (*out >> axis & 1)
            return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "axis %u stands twice in axes: name it once",
                            (unsigned)axis);
        *out |= 1u << axis;
    }
    return XFC_OK;
}

xfc_status infer_reduce(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *in = xfc_op_in(op, 0);
    bool extremum = op->code == XFC_OP_REDUCE_MAX || op->code == XFC_OP_REDUCE_MIN;
    uint32_t reduced, rank = 0;
    if (in->dtype == XFC_BOOL && !extremum) {
        return xfc_fail(inf->ctx, XFC_ERR_UNSUPPORTED, op->loc, "%s is not defined for bool: cast its operand",
                        xfc_ops[op->code].name);
    }
    XFC_TRY(reduced_dims(inf, in->rank, &reduced));
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d < in->rank; d++) {
        if (!(reduced >> d & 1))
            dim[rank++] = in->dim[d];
        else if (xfc_op_int(op, XFC_K_KEEPDIMS, 0))
            dim[rank++] = xfc_int_const(inf->ctx, 1);
    }
    inf->out[0] = xfc_type_make(in->dtype, rank, dim);
    return XFC_OK;
}

static xfc_scalar_op combine_of(const xfc_op *op, xfc_dtype t) {
    if (op->code == XFC_OP_REDUCE_SUM) return XFC_S_ADD;
    if (op->code == XFC_OP_REDUCE_PROD) return XFC_S_MUL;
    if (op->code == XFC_OP_REDUCE_MAX) return t == XFC_BOOL ? XFC_S_OR : XFC_S_MAX;
    return t == XFC_BOOL ? XFC_S_AND : XFC_S_MIN;
}

xfc_status nest_reduce(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *in = xfc_op_in(op, 0), *out = &op->out[0].type;
    const xfc_attr *axes = xfc_op_attr(op, XFC_K_AXES);
    xfc_int at[XFC_MAX_RANK], index[XFC_MAX_RANK];
    uint32_t rank = 0, reduced = 0;
    for (uint32_t i = 0; i < axes->n; i++) reduced |= 1u << axes->u.ints[i];
    for (uint32_t d = 0; d < in->rank; d++) {
        if (!(reduced >> d & 1))
            index[rank++] = at[d] = xfc_nb_axis(nb, "i", in->dim[d], XFC_AXIS_PARALLEL);
        else if (xfc_op_int(op, XFC_K_KEEPDIMS, 0))
            index[rank++] = xfc_int_const(nb->ctx, 0);
    }
    for (uint32_t d = 0; d < in->rank; d++) {
        if (reduced >> d & 1) at[d] = xfc_nb_axis(nb, "r", in->dim[d], XFC_AXIS_REDUCE);
    }
    xfc_scalar_op combine = reduced ? combine_of(op, in->dtype) : XFC_S_COUNT;
    bool rounds = combine == XFC_S_ADD || combine == XFC_S_MUL;
    xfc_dtype sum = rounds ? xfc_dtype_wide(in->dtype) : in->dtype;
    uint32_t value = xfc_nb_cast(nb, sum, in->dtype, xfc_nb_load(nb, in->dtype, 0, at, in->rank));
    xfc_nb_store(nb, value, 1, index, out->rank, combine);
    return XFC_OK;
}

xfc_status infer_cumsum(xfc_infer *inf) {
    const xfc_type *in = xfc_op_in(inf->op, 0);
    uint32_t axis;
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), in->rank, &axis));
    if (in->dtype == XFC_BOOL)
        return xfc_fail(inf->ctx, XFC_ERR_UNSUPPORTED, inf->op->loc, "%s is not defined for bool: cast its operand",
                        xfc_ops[inf->op->code].name);
    inf->out[0] = *in;
    return XFC_OK;
}

/* What a first step, whose loads give 0, starts from: the 1 of a product. */
static uint32_t started(xfc_nestb *nb, bool product, uint32_t later, uint32_t loaded, xfc_dtype t) {
    if (!product) return loaded;
    uint32_t one = xfc_dtype_is_float(t) ? xfc_nb_const_f(nb, t, 1) : xfc_nb_const_i(nb, t, 1);
    return xfc_nb_op(nb, XFC_S_SELECT, t, later, loaded, one);
}

/* The scan axis counts steps; element = step, or extent - 1 - step when reversed. Each step adds to (or multiplies) the
 * element of the step before, which the nest itself has stored. */
xfc_status nest_cumsum(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *in = xfc_op_in(op, 0);
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    bool exclusive = xfc_op_int(op, XFC_K_EXCLUSIVE, 0) != 0, reverse = xfc_op_int(op, XFC_K_REVERSE, 0) != 0;
    xfc_int index[XFC_MAX_RANK], before[XFC_MAX_RANK], step = XFC_INT_NONE;
    for (uint32_t d = 0; d < in->rank; d++) {
        index[d] = xfc_nb_axis(nb, d == axis ? "s" : "i", in->dim[d], d == axis ? XFC_AXIS_SCAN : XFC_AXIS_PARALLEL);
        if (d == axis) step = index[d];
        if (d == axis && reverse) index[d] = xfc_int_sub(nb->ctx, xfc_int_addc(nb->ctx, in->dim[d], -1), index[d]);
        before[d] = d == axis ? xfc_int_addc(nb->ctx, index[d], reverse ? 1 : -1) : index[d];
    }
    bool product = op->code == XFC_OP_CUMPROD;
    uint32_t later =
        xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, xfc_nb_const_i(nb, XFC_I64, 0), xfc_nb_index(nb, step), XFC_NO_ARG);
    uint32_t before_it =
        started(nb, product, later, xfc_nb_load_if(nb, later, in->dtype, 1, before, in->rank), in->dtype);
    uint32_t next =
        exclusive ? started(nb, product, later, xfc_nb_load_if(nb, later, in->dtype, 0, before, in->rank), in->dtype)
                  : xfc_nb_load(nb, in->dtype, 0, index, in->rank);
    uint32_t value = xfc_nb_op(nb, product ? XFC_S_MUL : XFC_S_ADD, in->dtype, before_it, next, XFC_NO_ARG);
    xfc_nb_store(nb, value, 1, index, in->rank, XFC_S_COUNT);
    return XFC_OK;
}

/* top_k.c - the types of what top_k finds, the shape of x with k of its elements along the axis, and of keep_largest. */
#include "ir/ops/ops.h"

xfc_status infer_top_k(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    uint32_t axis;
    const xfc_int none = xfc_int_const(inf->ctx, 0);
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), x->rank, &axis));
    if (size->n != 1 || xfc_int_lt(inf->ctx, size->u.dims[0], none) == 1)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "top_k takes one size, how many elements to find: give a number that is not negative");
    XFC_TRY(xfc_infer_at_most(inf, none, size->u.dims[0], "0 and the elements that top_k finds"));
    XFC_TRY(xfc_infer_at_most(inf, size->u.dims[0], x->dim[axis], "the elements that top_k finds and their number"));
    inf->out[0] = *x;
    inf->out[0].dim[axis] = size->u.dims[0];
    inf->out[1] = xfc_type_make(XFC_I64, x->rank, inf->out[0].dim);
    return XFC_OK;
}

xfc_status infer_keep_largest(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    if (x->rank < 1 || (x->dtype != XFC_F32 && x->dtype != XFC_F64) || xfc_op_int(inf->op, XFC_K_KEEP, 0) < 1)
        return xfc_fail(
            inf->ctx, XFC_ERR_INPUT, inf->op->loc,
            "keep_largest of %s, %lld of a row: it takes f32 or f64 with a dim or more, and keeps at least 1",
            xfc_type_text(inf->ctx, x), (long long)xfc_op_int(inf->op, XFC_K_KEEP, 0));
    return infer_same(inf);
}

/* sparse.c - products whose right operand has the same number of nonzeros in every column.
 *
 * matmul_sparse: x [.., k] times a matrix [k, n] that is stored by its nonzeros: operand 1 says in which row each stands
 * (u8 or u16), operand 2 what it is. Both are [ceil(n / group), s, group]: `group` columns stand side by side, entry e
 * of column j at [j floordiv group, e, j mod group]. A column with fewer than s is filled up with zeros, which may stand
 * in any row. Only what is stored is multiplied: an infinity of x meets no zero that is not there.
 *
 * Rounding: multiplied and added in f32 (f64 for f64), entries in order, rounded once at the end.
 */
#include "ir/ops/ops.h"

xfc_status infer_matmul_sparse(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0), *at = xfc_op_in(inf->op, 1), *val = xfc_op_in(inf->op, 2);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    bool types = xfc_dtype_is_float(x->dtype) && (val->dtype == x->dtype || xfc_widens(x->dtype, val->dtype));
    types = types && (at->dtype == XFC_U8 || at->dtype == XFC_U16);
    if (x->rank < 1 || at->rank != 3 || val->rank != 3 || !types || size->n != 1)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "matmul_sparse of %s, %s and %s: needs x [.., k] of a float type, rows u8 or u16 [panels, s, "
                        "group], values of its type, or narrower ones for f32, of the same shape, and one size",
                        xfc_type_text(inf->ctx, x), xfc_type_text(inf->ctx, at), xfc_type_text(inf->ctx, val));
    for (uint32_t d = 0; d < 3; d++)
        XFC_TRY(xfc_infer_equal(inf, at->dim[d], val->dim[d], "the rows and the values of matmul_sparse"));
    XFC_TRY(xfc_infer_equal(inf, at->dim[0], xfc_int_ceildiv(inf->ctx, size->u.dims[0], at->dim[2]),
                            "the panels and the columns of matmul_sparse"));
    *inf->out = *x;
    inf->out->dim[x->rank - 1] = size->u.dims[0];
    return XFC_OK;
}

xfc_status nest_matmul_sparse(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *x = xfc_op_in(op, 0), *at = xfc_op_in(op, 1), *val = xfc_op_in(op, 2), *out = &op->out[0].type;
    xfc_dtype sum = xfc_dtype_wide(out->dtype);
    xfc_int index[XFC_MAX_RANK], from[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    xfc_int column = index[out->rank - 1], e = xfc_nb_axis(nb, "e", at->dim[1], XFC_AXIS_REDUCE);
    const xfc_int entry[3] = {xfc_int_floordiv(nb->ctx, column, at->dim[2]), e,
                              xfc_int_mod(nb->ctx, column, at->dim[2])};
    for (uint32_t d = 0; d + 1 < x->rank; d++) from[d] = index[d];
    from[x->rank - 1] = xfc_nb_let(nb, "row", xfc_nb_load(nb, at->dtype, 1, entry, 3), xfc_int_const(nb->ctx, 0),
                                   xfc_int_addc(nb->ctx, x->dim[x->rank - 1], -1), false);
    uint32_t a = xfc_nb_cast(nb, sum, x->dtype, xfc_nb_load(nb, x->dtype, 0, from, x->rank));
    uint32_t b = xfc_nb_cast(nb, sum, val->dtype, xfc_nb_load(nb, val->dtype, 2, entry, 3));
    xfc_nb_store(nb, xfc_nb_op(nb, XFC_S_MUL, sum, a, b, XFC_NO_ARG), 3, index, out->rank, XFC_S_ADD);
    return XFC_OK;
}

/* contract.c - products of two operands summed over a shared axis.
 *
 * matmul is numpy's for ranks >= 2 (importers lift vectors): batch dims broadcast, one reduce axis k, innermost.
 * Rounding: f16 and bf16 are cast to f32, multiplied and added in f32, and the store rounds once at the end (a combined
 * store's accumulator has the type of its value). Integers wrap in their own type.
 */
#include "ir/ops/ops.h"

xfc_status infer_matmul(xfc_infer *inf) {
    const xfc_type *a = xfc_op_in(inf->op, 0), *b = xfc_op_in(inf->op, 1);
    bool types = a->dtype == b->dtype || xfc_widens(a->dtype, b->dtype);
    if (types && a->dtype != XFC_BOOL) return xfc_infer_product(inf, a, b, a->dtype);
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "matmul of %s and %s: operands need one numeric type",
                    xfc_type_text(inf->ctx, a), xfc_type_text(inf->ctx, b));
}

xfc_status xfc_infer_product(xfc_infer *inf, const xfc_type *a, const xfc_type *b, xfc_dtype type) {
    if (a->rank < 2 || b->rank < 2) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "%s of %s and %s: operands need at least 2 dims",
                        xfc_ops[inf->op->code].name, xfc_type_text(inf->ctx, a), xfc_type_text(inf->ctx, b));
    }
    XFC_TRY(xfc_infer_equal(inf, a->dim[a->rank - 1], b->dim[b->rank - 2], "the inner dims of matmul"));
    uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d + 2 < rank; d++) dim[d] = xfc_int_const(inf->ctx, 1);
    XFC_TRY(xfc_infer_broadcast(inf, a->dim, a->rank - 2, dim, rank - 2));
    XFC_TRY(xfc_infer_broadcast(inf, b->dim, b->rank - 2, dim, rank - 2));
    dim[rank - 2] = a->dim[a->rank - 2];
    dim[rank - 1] = b->dim[b->rank - 1];
    inf->out[0] = xfc_type_make(type, rank, dim);
    return XFC_OK;
}

/* A load of a matrix operand at batch `index`, row r, column c. */
static uint32_t load_at(xfc_nestb *nb, const xfc_op *op, uint32_t operand, const xfc_int *index, xfc_int r, xfc_int c) {
    const xfc_type *in = xfc_op_in(op, operand), *out = &op->out[0].type;
    xfc_int at[XFC_MAX_RANK];
    uint32_t shift = out->rank - in->rank;
    for (uint32_t d = 0; d + 2 < in->rank; d++)
        at[d] = xfc_broadcast_index(nb->ctx, index[d + shift], in->dim[d], out->dim[d + shift]);
    at[in->rank - 2] = r;
    at[in->rank - 1] = c;
    return xfc_nb_load(nb, in->dtype, operand, at, in->rank);
}

xfc_status nest_matmul(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *a = xfc_op_in(op, 0), *out = &op->out[0].type;
    xfc_dtype sum = xfc_dtype_wide(out->dtype);
    xfc_int index[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    xfc_int k = xfc_nb_axis(nb, "k", a->dim[a->rank - 1], XFC_AXIS_REDUCE);
    xfc_dtype type = xfc_op_in(op, 1)->dtype;
    uint32_t left = xfc_nb_cast(nb, sum, out->dtype, load_at(nb, op, 0, index, index[out->rank - 2], k));
    uint32_t right = xfc_nb_cast(nb, sum, type, load_at(nb, op, 1, index, k, index[out->rank - 1]));
    xfc_nb_store(nb, xfc_nb_op(nb, XFC_S_MUL, sum, left, right, XFC_NO_ARG), 2, index, out->rank, XFC_S_ADD);
    return XFC_OK;
}

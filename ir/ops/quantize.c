/* quantize.c - numbers in few bits with a scale and a zero point, and the product of such numbers.
 *
 *   quantize        saturate(round(x / scale) + zero)      divided and rounded in the type of x and scale, half to even
 *   dequantize      (x - zero) * scale                     in f32 (f64 for a scale of f64), then rounded to `to`;
 *                                                          a zero point may be of floats
 *   matmul_integer  (a - a_zero) @ (b - b_zero)            exact in i32, which wraps
 *
 * One scale serves the elements that it broadcasts to: all, or those of an index of an axis. With `block` it serves so
 * many, one behind the other along `axis`, and the scales have the rank of x; the last block may be shorter. Zero
 * points stand like scales; floats of 8 bits have none, and to them the quotient is cast. A scale that does not divide
 * is any number: exporters write negative ones for weights.
 *
 * They stay whole until legalize, or until fold finds nothing but constants: a pass that has kernels for few bits finds
 * numbers, scale and zero point side by side, as dequantize of a weight, as matmul_integer, or as a product between
 * dequantize and quantize.
 */
#include "ir/ops/ops.h"

enum { FEW_BYTES = 2 }; /* at most, of what is quantized to: sums with its zero point are exact in f32 */

static xfc_status refuse(xfc_infer *inf, const char *what) {
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "%s: %s", xfc_ops[inf->op->code].name, what);
}

/* Operand i, a scale or a zero point of operand 0. */
static xfc_status check_stands(xfc_infer *inf, uint32_t i, const char *what) {
    if (!xfc_op_has_in(inf->op, i)) return XFC_OK;
    const xfc_type *x = xfc_op_in(inf->op, 0), *v = xfc_op_in(inf->op, i);
    int64_t block = xfc_op_int(inf->op, XFC_K_BLOCK, 0);
    uint32_t axis;
    xfc_type blocks = *x;
    if (!block || v->rank == 0) return xfc_infer_fits(inf, v, x, what);
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), x->rank, &axis));
    if (block < 1 || v->rank != x->rank || x->rank == XFC_MAX_RANK)
        return refuse(
            inf, "blocks have a positive size, and their scales and zero points the rank of the tensor, at most 7");
    blocks.dim[axis] = xfc_int_ceildiv(inf->ctx, x->dim[axis], xfc_int_const(inf->ctx, block));
    XFC_TRY(xfc_infer_equal(inf, v->dim[axis], blocks.dim[axis], "the blocks of a tensor and of its scales"));
    return xfc_infer_fits(inf, v, &blocks, what);
}

static xfc_dtype result_type(const xfc_op *op) { return xfc_op_attr(op, XFC_K_TO)->u.dtype; }

xfc_status infer_quantize(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    xfc_dtype to = result_type(inf->op);
    if (!xfc_dtype_is_float(x->dtype) || xfc_op_in(inf->op, 1)->dtype != x->dtype)
        return refuse(inf, "tensor and scale need one floating type: cast one of them");
    if ((!xfc_dtype_is_int(to) && !xfc_dtype_is_code(to)) || xfc_dtype_bytes(to) > FEW_BYTES)
        return refuse(inf, "the result must be of integers of 16 bits or fewer, or of floats of 8: correct its type");
    if (xfc_dtype_is_code(to) && xfc_op_has_in(inf->op, 2)) return refuse(inf, "floats have no zero point: remove it");
    if (xfc_op_has_in(inf->op, 2) && xfc_op_in(inf->op, 2)->dtype != to)
        return refuse(inf, "the zero point must have the type of the result: cast it");
    XFC_TRY(check_stands(inf, 1, "the scale"));
    XFC_TRY(check_stands(inf, 2, "the zero point"));
    inf->out[0] = *x;
    inf->out[0].dtype = to;
    return XFC_OK;
}

static bool has_float_zero(const xfc_op *op) {
    return xfc_op_has_in(op, 2) && xfc_op_in(op, 2)->dtype == xfc_op_in(op, 1)->dtype;
}

xfc_status infer_dequantize(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    xfc_dtype to = result_type(inf->op);
    if ((!xfc_dtype_is_int(x->dtype) && !xfc_dtype_is_code(x->dtype)) || xfc_dtype_bytes(x->dtype) > 4)
        return refuse(inf, "the tensor must be of integers of 32 bits or fewer, or of floats of 8: cast it");
    if (xfc_dtype_is_code(x->dtype) && xfc_op_has_in(inf->op, 2))
        return refuse(inf, "floats have no zero point: remove it");
    if (!xfc_dtype_is_float(xfc_op_in(inf->op, 1)->dtype) || !xfc_dtype_is_float(to))
        return refuse(inf, "scale and result must be floats: correct their types");
    if (xfc_op_has_in(inf->op, 2) && xfc_op_in(inf->op, 2)->dtype != x->dtype && !has_float_zero(inf->op))
        return refuse(inf, "the zero point must have the type of the tensor or of the scale: cast it");
    XFC_TRY(check_stands(inf, 1, "the scale"));
    XFC_TRY(check_stands(inf, 2, "the zero point"));
    inf->out[0] = *x;
    inf->out[0].dtype = to;
    return XFC_OK;
}

/* Each of v's elements for the block of operand 0 that it stands for. */
static xfc_value *spread(xfc_builder *b, const xfc_op *op, xfc_value *v) {
    int64_t block = xfc_op_int(op, XFC_K_BLOCK, 0), axis = xfc_op_int(op, XFC_K_AXIS, 0), step[XFC_MAX_RANK];
    xfc_ctx *c = b->graph->ctx;
    if (!v || !block || v->type.rank == 0 || xfc_int_is(c, v->type.dim[axis], 1)) return v;
    uint32_t rank = v->type.rank;
    xfc_int split[XFC_MAX_RANK], wide[XFC_MAX_RANK], joined[XFC_MAX_RANK], size[XFC_MAX_RANK], start[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) {
        uint32_t at = d > axis ? d + 1 : d;
        split[at] = wide[at] = joined[d] = size[d] = v->type.dim[d];
        start[d] = xfc_int_const(c, 0);
        step[d] = 1;
    }
    split[axis + 1] = xfc_int_const(c, 1);
    wide[axis + 1] = xfc_int_const(c, block);
    joined[axis] = xfc_int_mulc(c, v->type.dim[axis], block);
    size[axis] = xfc_op_in(op, 0)->dim[axis];
    v = xfc_b_reshape(b, v, split, rank + 1);
    v = xfc_b_reshape(b, v ? xfc_b_expand(b, v, wide, rank + 1) : NULL, joined, rank);
    return xfc_int_same(size[axis], joined[axis]) ? v : xfc_b_slice(b, v, start, size, step);
}

/* v, which broadcasts to `onto`, in a shape that says so: then what is computed of both has that shape. */
static xfc_value *fit(xfc_builder *b, xfc_value *v, const xfc_type *onto) {
    bool decided = v != NULL;
    for (uint32_t d = 0; decided && d < v->type.rank; d++) {
        xfc_int dim = v->type.dim[d];
        decided = xfc_int_is(b->graph->ctx, dim, 1) || xfc_int_same(dim, onto->dim[onto->rank - v->type.rank + d]);
    }
    return decided || !v ? v : xfc_b_expand(b, v, onto->dim, onto->rank);
}

static xfc_value *operand(xfc_builder *b, const xfc_op *op, uint32_t i, xfc_dtype t) {
    xfc_value *v = xfc_b_cast(b, op->in[i].value, t);
    return i == 0 ? v : fit(b, spread(b, op, v), xfc_op_in(op, 0));
}

xfc_status decompose_quantize(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_dtype t = xfc_op_in(op, 0)->dtype, wide = xfc_dtype_wide(t);
    xfc_value *y = xfc_b_binary(b, XFC_OP_DIV, op->in[0].value, operand(b, op, 1, t));
    if (!xfc_dtype_is_code(result_type(op))) y = xfc_b_unary(b, XFC_OP_ROUND, y);
    y = y ? xfc_b_cast(b, y, wide) : NULL;
    if (xfc_op_has_in(op, 2)) y = xfc_b_binary(b, XFC_OP_ADD, y, operand(b, op, 2, wide));
    result[0] = y ? xfc_b_cast(b, y, result_type(op)) : NULL; /* saturates */
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

xfc_status decompose_dequantize(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_dtype wide = xfc_dtype_wide(xfc_op_in(op, 1)->dtype);
    xfc_dtype less = has_float_zero(op) || xfc_dtype_is_code(xfc_op_in(op, 0)->dtype) ? wide : XFC_I32;
    xfc_value *x = operand(b, op, 0, less);
    if (xfc_op_has_in(op, 2)) x = xfc_b_binary(b, XFC_OP_SUB, x, operand(b, op, 2, less));
    x = x ? xfc_b_binary(b, XFC_OP_MUL, xfc_b_cast(b, x, wide), operand(b, op, 1, wide)) : NULL;
    result[0] = x ? xfc_b_cast(b, x, result_type(op)) : NULL;
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

/* --- numbers of fewer bits than a byte, out of bytes --- */

xfc_status infer_split_bits(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    xfc_dtype to = result_type(inf->op);
    if (x->dtype != XFC_U8 || x->rank == 0 || !xfc_dtype_is_stored(to))
        return refuse(inf, "splits u8 along the last dim into numbers of fewer bits: correct its types");
    inf->out[0] = *x;
    inf->out[0].dtype = to;
    inf->out[0].dim[x->rank - 1] = xfc_int_mulc(inf->ctx, x->dim[x->rank - 1], 8 / xfc_dtype_bits(to));
    return XFC_OK;
}

/* The first number is in the lowest bits. */
xfc_status nest_split_bits(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *out = &op->out[0].type;
    uint32_t bits = xfc_dtype_bits(out->dtype), each = 8 / bits;
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK], n = xfc_int_const(nb->ctx, each);
    xfc_assert(out->rank > 0);
    xfc_nb_axes_of(nb, out, index);
    for (uint32_t d = 0; d < out->rank; d++) at[d] = index[d];
    xfc_int *last = &at[out->rank - 1], part = xfc_int_mod(nb->ctx, *last, n);
    *last = xfc_int_floordiv(nb->ctx, *last, n);
    uint32_t byte = xfc_nb_load(nb, XFC_U8, 0, at, out->rank), value = byte;
    for (uint32_t i = 1; i < each; i++) {
        uint32_t shifted =
            xfc_nb_op(nb, XFC_S_DIV, XFC_U8, byte, xfc_nb_const_i(nb, XFC_U8, INT64_C(1) << bits * i), XFC_NO_ARG);
        uint32_t is_it =
            xfc_nb_op(nb, XFC_S_EQ, XFC_BOOL, xfc_nb_index(nb, part), xfc_nb_const_i(nb, XFC_I64, i), XFC_NO_ARG);
        value = xfc_nb_op(nb, XFC_S_SELECT, XFC_U8, is_it, shifted, value);
    }
    xfc_nb_store(nb, xfc_nb_cast(nb, out->dtype, XFC_U8, value), 1, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

/* --- products --- */

xfc_status infer_matmul_integer(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *a = xfc_op_in(op, 0), *b = xfc_op_in(op, 1);
    if (!xfc_dtype_is_int(a->dtype) || !xfc_dtype_is_int(b->dtype) || xfc_dtype_bytes(a->dtype) > FEW_BYTES ||
        xfc_dtype_bytes(b->dtype) > FEW_BYTES)
        return refuse(inf, "both operands must be of integers of 16 bits or fewer: cast them");
    for (uint32_t i = 2; i < op->n_in; i++) {
        if (!xfc_op_has_in(op, i)) continue;
        if (xfc_op_in(op, i)->dtype != xfc_op_in(op, i - 2)->dtype)
            return refuse(inf, "a zero point must have the type of its operand: cast it");
        XFC_TRY(xfc_infer_fits(inf, xfc_op_in(op, i), xfc_op_in(op, i - 2), "a zero point"));
    }
    return xfc_infer_product(inf, a, b, XFC_I32);
}

xfc_status decompose_matmul_integer(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_value *side[2];
    for (uint32_t i = 0; i < 2; i++) {
        side[i] = xfc_b_cast(b, op->in[i].value, XFC_I32);
        if (xfc_op_has_in(op, i + 2))
            side[i] = xfc_b_binary(b, XFC_OP_SUB, side[i],
                                   fit(b, xfc_b_cast(b, op->in[i + 2].value, XFC_I32), xfc_op_in(op, i)));
    }
    result[0] = xfc_b_matmul(b, side[0], side[1]);
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

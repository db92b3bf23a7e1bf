/* make_quantize.c - makers of quantize, dequantize and products of integers. */
#include "tests/diff/make.h"

static const xfc_dtype few[] = {XFC_U8, XFC_I8, XFC_U16, XFC_I16};

/* Shapes of scales and zero points of x: one number, one an index of an axis, one a block. Returns the attributes. */
static uint32_t grain(maker *m, const xfc_value *x, xfc_dtype to, uint32_t *rank, xfc_int *dim, xfc_attr *attr) {
    uint32_t r = x->type.rank, kind = r ? maker_below(m, 3) : 0, axis = r ? maker_below(m, r) : 0;
    int64_t block = 1 + maker_below(m, 5);
    *rank = kind ? r : 0;
    for (uint32_t d = 0; d < *rank; d++)
        dim[d] = kind == 1   ? (d == axis ? x->type.dim[d] : maker_constant(m, 1))
                 : d == axis ? xfc_int_ceildiv(m->ctx, x->type.dim[d], maker_constant(m, block))
                             : x->type.dim[d];
    attr[0] = xfc_attr_dtype(XFC_K_TO, to);
    attr[1] = xfc_attr_int(XFC_K_AXIS, axis);
    attr[2] = xfc_attr_int(XFC_K_BLOCK, block);
    return kind == 2 ? 3 : 1;
}

xfc_value *make_quantize(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_dtype to = few[maker_below(m, 4)];
    xfc_value *in[3] = {maker_pick(m, t, 0, 4)};
    xfc_int dim[XFC_MAX_RANK];
    xfc_attr attr[3];
    uint32_t rank;
    if (!in[0] || !xfc_dtype_is_float(t)) return NULL;
    uint32_t n = grain(m, in[0], to, &rank, dim, attr);
    in[1] = maker_fresh(m, t, rank, dim, DIFF_NEAR_ONE, XFC_INT_NONE);
    in[2] = maker_pick_exact(m, to, rank, dim);
    return maker_build(m, code, in, maker_chance(m, 60) ? 3 : 2, attr, n);
}

xfc_value *make_dequantize(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_dtype from = maker_chance(m, 20) ? XFC_I32 : few[maker_below(m, 4)];
    xfc_value *in[3] = {maker_pick(m, from, 0, 4)};
    xfc_int dim[XFC_MAX_RANK];
    xfc_attr attr[3];
    uint32_t rank;
    if (!in[0] || !xfc_dtype_is_float(t)) return NULL;
    uint32_t n = grain(m, in[0], t, &rank, dim, attr);
    in[1] = maker_pick_exact(m, maker_chance(m, 70) ? t : XFC_F32, rank, dim);
    in[2] = maker_pick_exact(m, from, rank, dim);
    return maker_build(m, code, in, maker_chance(m, 60) ? 3 : 2, attr, n);
}

xfc_value *make_matmul_integer(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_dtype type[2] = {few[maker_below(m, 4)], few[maker_below(m, 4)]};
    xfc_value *in[4] = {maker_pick(m, type[0], 2, 4)};
    (void)t;
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank;
    const xfc_int *a = in[0]->type.dim;
    xfc_int matrix[2] = {a[r - 1], maker_dim(m, r, a, MACS)}, row[2] = {a[r - 2], maker_constant(m, 1)};
    in[1] = maker_pick_exact(m, type[1], 2, matrix);
    in[2] = maker_pick_exact(m, type[0], maker_chance(m, 50) ? 2 : 0, row);
    in[3] = maker_pick_exact(m, type[1], maker_chance(m, 50) ? 1 : 0, matrix + 1);
    return maker_build(m, code, in, maker_chance(m, 60) ? 4 : 2, NULL, 0);
}

/* Compared as numbers of a byte: what is only stored is no output. */
xfc_value *make_split_bits(maker *m, xfc_opcode code, xfc_dtype t) {
    const xfc_dtype to = (xfc_dtype)(XFC_I4 + maker_below(m, 4));
    xfc_value *x = maker_pick(m, XFC_U8, 1, 4);
    const xfc_attr attr = xfc_attr_dtype(XFC_K_TO, to);
    (void)t;
    x = maker_build(m, code, &x, 1, &attr, 1);
    return x ? xfc_b_cast(&m->b, x, xfc_dtype_class(to) == XFC_CLASS_SINT ? XFC_I8 : XFC_U8) : NULL;
}

/* There and back. */
xfc_value *make_bits(maker *m, xfc_opcode code, xfc_dtype t) {
    static const xfc_dtype types[] = {XFC_I4, XFC_I2, XFC_U4, XFC_U2, XFC_E2M1};
    const xfc_dtype small = types[maker_below(m, XFC_COUNT(types))];
    xfc_value *x = maker_pick(m, t, 0, 4);
    (void)code;
    x = x ? xfc_b_unary(&m->b, XFC_OP_PACK_BITS, xfc_b_cast(&m->b, x, small)) : NULL;
    x = x ? xfc_b_unary(&m->b, XFC_OP_UNPACK_BITS, x) : NULL;
    return x ? xfc_b_cast(&m->b, x,
                          small == XFC_I4 || small == XFC_I2 ? XFC_I8
                          : small == XFC_E2M1                ? XFC_F32
                                                             : XFC_U8)
             : NULL;
}

/* make_ragged.c - random ops on padded batches. What `define` does is in ragged.c: its symbols have no extent here. */
#include "tests/diff/make.h"

/* Random elements are rarely a mask; a comparison is one. */
static xfc_value *mask(maker *m, xfc_dtype t) {
    xfc_int dim[2];
    maker_dims(m, 2, dim, 200);
    xfc_value *x = maker_pick_exact(m, t, 2, dim);
    if (!x || maker_chance(m, 20)) return x;
    if (t != XFC_BOOL) x = xfc_b_binary(&m->b, XFC_OP_LE, x, xfc_b_scalar_i(&m->b, t, 1));
    return xfc_b_cast(&m->b, x, t);
}

xfc_value *make_seq_offsets(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int block = maker_constant(m, 1 + maker_below(m, 9));
    xfc_attr attr[] = {xfc_attr_int(XFC_K_FIRST, maker_chance(m, 30)), xfc_attr_dims(XFC_K_SIZE, &block, 1)};
    xfc_value *x = mask(m, t), *v = maker_build(m, code, &x, 1, attr, XFC_COUNT(attr));
    return v ? &v->def->out[maker_below(m, 5)] : NULL;
}

xfc_value *make_pad_ragged(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[3] = {maker_pick(m, t, 1, 3)};
    if (!in[0]) return NULL;
    xfc_int dim[XFC_MAX_RANK];
    uint32_t rank = in[0]->type.rank;
    maker_dims(m, 2, dim, 60);
    in[1] = maker_fresh(m, XFC_I32, 2, dim, DIFF_INDEX, in[0]->type.dim[0]);
    for (uint32_t d = 1; d < rank; d++) dim[d + 1] = in[0]->type.dim[d];
    dim[0] = maker_dim(m, 0, NULL, 9); /* of other: fewer sequences, or more */
    bool has_other = maker_chance(m, 60);
    if (has_other) in[2] = maker_pick_exact(m, t, rank + 1, dim);
    xfc_attr attr = xfc_attr_float(XFC_K_FILL, maker_below(m, 2));
    return maker_build(m, code, in, has_other ? 3 : 2, &attr, 1);
}

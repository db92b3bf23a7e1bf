/* make_tokens.c - random ops that make tokens fewer. */
#include "tests/diff/make.h"

static xfc_value *choose(maker *m, xfc_opcode code, xfc_value *x, int64_t n) {
    int64_t protect = maker_below(m, 4) == 0 ? maker_below(m, 4) : 0, most = n > protect ? (n - protect) / 2 : 0;
    xfc_int r = maker_constant(m, diff_between(&m->seed, 0, most));
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &r, 1), xfc_attr_int(XFC_K_PROTECT, protect)};
    return maker_build(m, code, &x, 1, attr, 2);
}

/* Keys of width 1 have scores of -1, 0 or 1; those of wide ones would leave the choice to their last bits. */
xfc_value *make_match_tokens(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t n = 1 + maker_below(m, 40);
    if (!xfc_dtype_is_float(t)) return NULL;
    xfc_int dim[4] = {maker_dim(m, 0, NULL, 9), maker_constant(m, 1 + maker_below(m, 3)), maker_constant(m, n),
                      maker_constant(m, 1)};
    return choose(m, code, maker_pick_exact(m, t, 4, dim), n);
}

xfc_value *make_match_scores(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t n = 1 + maker_below(m, 40);
    xfc_int dim[3] = {maker_dim(m, 0, NULL, 9), maker_constant(m, (n + 1) / 2), maker_constant(m, n / 2)};
    return t == XFC_F32 ? choose(m, code, maker_pick_exact(m, t, 3, dim), n) : NULL;
}

/* Directions of width 1; starts that are none now and then. */
xfc_value *make_match_ragged(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t rows = maker_below(m, 90), starts = 1 + maker_below(m, 5);
    int32_t cu[6] = {0};
    for (int64_t i = 1; i < starts; i++)
        cu[i] = cu[i - 1] + (int32_t)maker_below(m, (uint32_t)rows - (uint32_t)cu[i - 1] + 1);
    if (maker_chance(m, 10)) cu[maker_below(m, (uint32_t)starts)] = (int32_t)maker_below(m, 200) - 100;
    const xfc_int dim[2] = {maker_constant(m, rows), maker_constant(m, 1)};
    xfc_value *in[2] = {t == XFC_F32 ? maker_pick_exact(m, t, 2, dim) : NULL,
                        xfc_b_const(&m->b, xfc_tensor_copy(m->ctx, XFC_I32, 1, &starts, cu, NULL))};
    const xfc_attr attr[] = {
        xfc_attr_int(XFC_K_RATIO, maker_below(m, 501)), xfc_attr_float(XFC_K_THRESHOLD, (double)maker_below(m, 3) - 1),
        xfc_attr_int(XFC_K_PROTECT, maker_below(m, 3)), xfc_attr_int(XFC_K_PROTECT_END, maker_below(m, 3))};
    xfc_value *v = in[0] ? maker_build(m, code, in, 2, attr, 4) : NULL;
    return v ? &v->def->out[maker_below(m, 2)] : NULL;
}

/* Places beyond both ends, and places that nothing goes to. */
xfc_value *make_merge_tokens(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[3] = {t == XFC_F32 ? maker_pick(m, t, 3, 3) : NULL};
    if (!in[0]) return NULL;
    xfc_int size = maker_dim(m, 0, NULL, 20);
    in[1] = maker_fresh(m, XFC_I32, 2, in[0]->type.dim, DIFF_INDEX, maker_constant(m, 12));
    in[2] = xfc_b_cast(&m->b, maker_fresh(m, XFC_U8, 2, in[0]->type.dim, DIFF_ANY, XFC_INT_NONE), t);
    xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, &size, 1);
    xfc_value *v = maker_build(m, code, in, 3, &attr, 1);
    return v ? &v->def->out[maker_below(m, 2)] : NULL;
}

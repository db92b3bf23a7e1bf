/* make_texts.c - makers of ops on tables of texts: bytes of few kinds, so that texts are equal now and then; starts and
 * lengths that also point outside. */
#include "tests/diff/make.h"

enum { FEW = 24 };

/* bytes, starts, lengths. */
static void table(maker *m, xfc_value **out) {
    xfc_int size = maker_dim(m, 0, NULL, FEW), n = maker_dim(m, 0, NULL, FEW);
    xfc_value *few = maker_fresh(m, XFC_I64, 1, &size, DIFF_INDEX, maker_constant(m, 3));
    out[0] = few ? xfc_b_cast(&m->b, few, XFC_U8) : NULL;
    out[1] = maker_fresh(m, XFC_I64, 1, &n, DIFF_INDEX, maker_constant(m, FEW));
    out[2] = maker_fresh(m, XFC_I64, 1, &n, DIFF_INDEX, maker_constant(m, 5));
}

xfc_value *make_find_texts(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[6];
    if (t != XFC_I64) return NULL;
    table(m, in);
    table(m, in + 3);
    for (int i = 0; i < 6; i++)
        if (!in[i]) return NULL;
    return maker_build(m, code, in, 6, NULL, 0);
}

xfc_value *make_split_texts(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[4];
    xfc_int d = maker_constant(m, maker_below(m, 3));
    if (t != XFC_I64) return NULL;
    table(m, in);
    in[3] = maker_fresh(m, XFC_U8, 1, &d, DIFF_ANY, XFC_INT_NONE);
    for (int i = 0; i < 4; i++)
        if (!in[i]) return NULL;
    xfc_attr cuts = xfc_attr_int(XFC_K_KEEP, maker_below(m, 3));
    xfc_value *v = maker_build(m, code, in, 4, &cuts, 1);
    return v ? &v->def->out[maker_below(m, 4)] : NULL;
}

/* An automaton of few states, of which some are not there. */
xfc_value *make_match_texts(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[5];
    xfc_int all = maker_constant(m, 256), states[2] = {maker_constant(m, 5), maker_constant(m, 4)};
    if (t != XFC_BOOL) return NULL;
    table(m, in);
    xfc_value *class = maker_fresh(m, XFC_I64, 1, &all, DIFF_INDEX, maker_constant(m, 4));
    in[3] = class ? xfc_b_cast(&m->b, class, XFC_U8) : NULL;
    in[4] = maker_fresh(m, XFC_I32, 2, states, DIFF_INDEX, maker_constant(m, 6));
    for (int i = 0; i < 5; i++)
        if (!in[i]) return NULL;
    return maker_build(m, code, in, 5, NULL, 0);
}

/* Any bytes: some are letters of one byte or two. */
xfc_value *make_change_case(maker *m, xfc_opcode code, xfc_dtype t) {
    if (t != XFC_U8 && t != XFC_I64) return NULL;
    const xfc_int size = maker_dim(m, 0, NULL, FEW);
    xfc_value *bytes = maker_fresh(m, XFC_U8, 1, &size, DIFF_ANY, XFC_INT_NONE);
    const xfc_attr upper = xfc_attr_int(XFC_K_UPPER, maker_below(m, 2));
    xfc_value *v = bytes ? maker_build(m, code, &bytes, 1, &upper, 1) : NULL;
    return v ? &v->def->out[t == XFC_I64] : NULL;
}

/* Digits, points, signs: some are numbers. */
xfc_value *make_read_numbers(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[3];
    table(m, in);
    xfc_int size = maker_dim(m, 0, NULL, FEW);
    xfc_value *few = maker_fresh(m, XFC_I64, 1, &size, DIFF_INDEX, maker_constant(m, '9' - '-'));
    few =
        few ? xfc_b_binary(&m->b, XFC_OP_ADD, xfc_b_unary(&m->b, XFC_OP_ABS, few), xfc_b_scalar_i(&m->b, XFC_I64, '-'))
            : NULL;
    in[0] = few ? xfc_b_cast(&m->b, few, XFC_U8) : NULL;
    for (int i = 0; i < 3; i++)
        if (!in[i]) return NULL;
    xfc_attr to = xfc_attr_dtype(XFC_K_TO, t);
    return maker_build(m, code, in, 3, &to, 1);
}

xfc_value *make_write_numbers(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int n = maker_dim(m, 0, NULL, FEW);
    xfc_dtype of = (xfc_dtype)maker_below(m, XFC_COMPUTED_COUNT);
    if ((t != XFC_U8 && t != XFC_I64) || (!xfc_dtype_is_float(of) && of != XFC_I64 && of != XFC_U64)) return NULL;
    xfc_value *x = maker_pick_exact(m, of, 1, &n);
    xfc_value *v = maker_build(m, code, &x, 1, NULL, 0);
    return v ? &v->def->out[t == XFC_I64 ? 1 + maker_below(m, 2) : 0] : NULL;
}

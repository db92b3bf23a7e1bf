/* make_sparse.c - the maker of products with a sparse right operand. */
#include "tests/diff/make.h"

xfc_value *make_sparse(maker *m, xfc_opcode code, xfc_dtype t) {
    static const int64_t groups[] = {1, 3, 4, 4, 4, 8};
    static const int64_t columns[] = {1, 3, 4, 31, 64, 130, 260};
    const int64_t group = groups[maker_below(m, XFC_COUNT(groups))], s = maker_below(m, 9);
    xfc_dtype type = t == XFC_F32 && maker_chance(m, 40) ? maker_chance(m, 50) ? XFC_F16 : XFC_BF16 : t;
    xfc_value *x = maker_pick(m, t, 1, 4);
    if (!x || maker_most(m, x->type.rank, x->type.dim) > LIMIT / 10) return NULL;
    xfc_int k = x->type.dim[x->type.rank - 1];
    bool symbol = m->dynamic && maker_chance(m, 20);
    xfc_int n = symbol ? maker_dim(m, 0, NULL, 100) : maker_constant(m, columns[maker_below(m, XFC_COUNT(columns))]);
    const xfc_int dim[3] = {xfc_int_ceildiv(m->ctx, n, maker_constant(m, group)), maker_constant(m, s),
                            maker_constant(m, group)};
    xfc_value *in[3] = {x, maker_fresh(m, maker_chance(m, 50) ? XFC_U8 : XFC_U16, 3, dim, DIFF_INDEX, k),
                        maker_fresh(m, type, 3, dim, DIFF_ANY, XFC_INT_NONE)};
    xfc_attr size = xfc_attr_dims(XFC_K_SIZE, &n, 1);
    return maker_build(m, code, in, 3, &size, 1);
}

/* make_scatter.c - makers of scatters: indices that repeat, from either end, of every reduction. */
#include "tests/diff/make.h"

enum { REDUCTIONS = 5 };

static xfc_value *indices(maker *m, uint32_t rank, const xfc_int *dim, xfc_int bound) {
    return maker_fresh(m, maker_chance(m, 50) ? XFC_I64 : XFC_I32, rank, dim, DIFF_INDEX, bound);
}

/* One bound serves all indices of a tuple: data has equal dims where they point. */
xfc_value *make_scatter_nd(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int data[XFC_MAX_RANK], where[XFC_MAX_RANK], update[XFC_MAX_RANK], bound = maker_dim(m, 0, NULL, 12);
    uint32_t tuple = 1 + maker_below(m, 2), rest = maker_below(m, 3), prefix = maker_below(m, 3), n = 0, u = 0;
    for (uint32_t d = 0; d < tuple; d++) data[n++] = bound;
    for (uint32_t d = 0; d < rest; d++, n++) data[n] = maker_dim(m, n, data, LIMIT / 4);
    for (uint32_t d = 0; d < prefix; d++, u++) where[u] = update[u] = maker_dim(m, u, where, 40);
    where[prefix] = maker_constant(m, tuple);
    for (uint32_t d = 0; d < rest; d++) update[u++] = maker_twin(m, data[tuple + d]);
    if (maker_most(m, u, update) > LIMIT) return NULL;
    xfc_value *in[3] = {maker_pick_exact(m, t, n, data), indices(m, prefix + 1, where, bound),
                        maker_pick_exact(m, t, u, update)};
    xfc_attr attr = xfc_attr_int(XFC_K_REDUCTION, maker_below(m, REDUCTIONS));
    return maker_build(m, code, in, 3, &attr, maker_chance(m, 80) ? 1 : 0);
}

/* Fewer updates than places along other dims, where it is known that there are so many. */
xfc_value *make_scatter_elements(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *in[3] = {maker_pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank, axis = maker_below(m, r);
    for (uint32_t d = 0; d < r; d++) {
        int64_t lo, hi;
        xfc_int_range(m->ctx, in[0]->type.dim[d], &lo, &hi);
        dim[d] = lo > 0 && maker_chance(m, 30) ? maker_constant(m, diff_between(&m->seed, 0, lo)) : in[0]->type.dim[d];
    }
    dim[axis] = maker_constant(m, maker_below(m, 10));
    if (maker_most(m, r, dim) > LIMIT) return NULL;
    in[1] = indices(m, r, dim, in[0]->type.dim[axis]);
    in[2] = maker_pick_exact(m, t, r, dim);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_int(XFC_K_REDUCTION, maker_below(m, REDUCTIONS))};
    return maker_build(m, code, in, 3, attr, 2);
}

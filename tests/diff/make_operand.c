/* make_operand.c - operands of random ops: new inputs, constants, views of inputs, or values that are there. */
#include "tests/diff/make.h"
#include <math.h>

xfc_value *maker_new_input(maker *m, xfc_dtype t, uint32_t rank, const xfc_int *dim, diff_fill fill, xfc_int bound) {
    char name[24];
    uint32_t i = m->graph->n_in;
    if (i >= DIFF_MAX_INPUTS - DIFF_MAX_SYMBOLS) return NULL;
    snprintf(name, sizeof name, "x%u", (unsigned)i);
    m->input[i].fill = fill;
    m->input[i].bound = bound;
    m->input[i].special = !m->finite && maker_chance(m, 25);
    return xfc_graph_add_input(m->graph, xfc_str(m->ctx, name), xfc_type_make(t, rank, dim));
}

/* Random elements of any type. NEAR_ONE: so that products of many stay finite; INDEX: from either end. */
void maker_fill(uint64_t *seed, xfc_dtype t, void *data, int64_t n, diff_fill fill, int64_t bound, bool special) {
    static const double specials[] = {
        0.0, -0.0, (double)INFINITY, -(double)INFINITY, (double)NAN, 65504.0, 1e-7, 0.5, 2.5, -1e-40, 1e30, -1.5};
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = diff_random(seed);
        double f = (double)(int64_t)(r >> 11) * 0x1p-50 - 4;
        int64_t v = r % 3 == 0 ? (int64_t)(r >> 8) % 7 - 3 : (int64_t)r;
        if (r % 64 == 5) v = (r >> 8) % 2 ? INT64_MIN >> (64 - 8 * xfc_dtype_bytes(t)) : -1;
        if (special && r % 7 == 0) f = specials[(r >> 8) % XFC_COUNT(specials)];
        if (fill == DIFF_NEAR_ONE) f = 1 + (double)((int64_t)(r >> 11) % 1000) / 20000;
        if (fill == DIFF_INDEX)
            v = bound > 0 ? diff_between(seed, t == XFC_U8 || t == XFC_U16 ? 0 : -bound, bound - 1) : 0;
        if (xfc_dtype_is_float(t))
            xfc_element_set_f(t, data, i, f);
        else
            xfc_element_set_i(t, data, i, t == XFC_BOOL ? v & 1 : v);
    }
}

/* A new operand: input or constant. */
xfc_value *maker_fresh(maker *m, xfc_dtype t, uint32_t rank, const xfc_int *dim, diff_fill fill, xfc_int bound) {
    int64_t extent[XFC_MAX_RANK], count, limit = 0;
    xfc_type type = xfc_type_make(t, rank, dim);
    bool known = fill != DIFF_INDEX || xfc_int_value(m->ctx, bound, &limit);
    bool is_constant = maker_chance(m, 20) && known && xfc_type_static(m->ctx, &type, extent, &count) &&
                       (fill != DIFF_INDEX || limit > 0 || !count);
    if (!is_constant) return maker_new_input(m, t, rank, dim, fill, bound);
    void *data = xfc_tensor_alloc(m->ctx, t, rank, extent);
    maker_fill(&m->seed, t, data, count, fill, limit, false);
    return xfc_b_const(&m->b, xfc_tensor_new(m->ctx, t, rank, extent, data, NULL));
}

typedef struct {
    xfc_value *item[512];
    uint32_t n;
} choice;
static void consider(choice *c, xfc_value *v, xfc_dtype t, uint32_t lo, uint32_t hi) {
    if (v->type.dtype == t && v->type.rank >= lo && v->type.rank <= hi && c->n < XFC_COUNT(c->item))
        c->item[c->n++] = v;
}

static void all_values(maker *m, choice *c, xfc_dtype t, uint32_t lo, uint32_t hi) {
    c->n = 0;
    for (uint32_t i = 0; i < m->graph->n_in; i++) consider(c, m->graph->in[i], t, lo, hi);
    xfc_foreach_op(op, m->graph) consider(c, &op->out[0], t, lo, hi);
}

/* An operand of any shape with lo..hi dims. */
xfc_value *maker_pick(maker *m, xfc_dtype t, uint32_t lo, uint32_t hi) {
    choice c;
    xfc_int dim[XFC_MAX_RANK];
    all_values(m, &c, t, lo, hi);
    if (c.n && maker_chance(m, m->reuse)) {
        xfc_value *late = c.item[c.n - 1], *any = c.item[maker_below(m, c.n)];
        return maker_chance(m, 40) ? late : any;
    }
    uint32_t top = hi > 4 && maker_chance(m, 90) ? (lo > 4 ? lo : 4) : hi,
             rank = (uint32_t)diff_between(&m->seed, lo, top);
    maker_dims(m, rank, dim, LIMIT);
    return maker_fresh(m, t, rank, dim, DIFF_ANY, XFC_INT_NONE);
}

/* An operand of exactly this shape: there already, new, or a new one transposed. */
xfc_value *maker_pick_exact(maker *m, xfc_dtype t, uint32_t rank, const xfc_int *dim) {
    choice c;
    all_values(m, &c, t, rank, rank);
    for (uint32_t i = c.n; i-- > 0;) {
        bool same = true;
        for (uint32_t d = 0; d < rank; d++) same = same && xfc_int_same(c.item[i]->type.dim[d], dim[d]);
        if (same && maker_chance(m, m->reuse)) return c.item[i];
    }
    if (rank < 2 || maker_chance(m, 75)) return maker_fresh(m, t, rank, dim, DIFF_ANY, XFC_INT_NONE);
    int64_t perm[XFC_MAX_RANK];
    xfc_int moved[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) perm[d] = d;
    perm[rank - 1] = rank - 2, perm[rank - 2] = rank - 1;
    for (uint32_t d = 0; d < rank; d++) moved[perm[d]] = dim[d];
    return xfc_b_transpose(&m->b, maker_fresh(m, t, rank, moved, DIFF_ANY, XFC_INT_NONE), perm);
}

xfc_value *maker_pick_broadcast(maker *m, xfc_dtype t, const xfc_value *with) {
    xfc_int dim[XFC_MAX_RANK];
    uint32_t rank = with->type.rank, drop = maker_chance(m, 30) ? maker_below(m, rank + 1) : 0;
    if (maker_chance(m, 10) && xfc_dtype_is_float(t))
        return xfc_b_scalar_f(&m->b, t, (double)maker_below(m, 9) / 2 - 2);
    if (maker_chance(m, 10) && !xfc_dtype_is_float(t))
        return xfc_b_scalar_i(&m->b, t, maker_below(m, t == XFC_BOOL ? 2 : 4));
    for (uint32_t d = drop; d < rank; d++)
        dim[d - drop] = maker_chance(m, 60) ? maker_twin(m, with->type.dim[d]) : maker_partner(m, with->type.dim[d]);
    return maker_pick_exact(m, t, rank - drop, dim);
}

xfc_value *maker_build(maker *m, xfc_opcode code, xfc_value *const *in, uint32_t n_in, const xfc_attr *attr,
                       uint32_t n_attr) {
    for (uint32_t i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    return xfc_build(&m->b, code, in, n_in, attr, n_attr);
}

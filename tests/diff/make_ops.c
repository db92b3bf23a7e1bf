/* make_ops.c - one maker for each class of primitive ops: maps, tensors from nothing, views, indexing, reductions. */
#include "tests/diff/make.h"
#include <math.h>

/* --- maps and tensors from nothing --- */

xfc_value *make_scalar(maker *m, xfc_opcode code, xfc_dtype t) {
    uint32_t n = (uint32_t)xfc_ops[code].n_in, first = code == XFC_OP_SELECT ? 1 : 0;
    xfc_value *in[3] = {NULL}, *x = maker_pick(m, t, 0, 5);
    if (!x) return NULL;
    uint32_t at = first + maker_below(m, n - first); /* which operand the others are made to fit */
    for (uint32_t i = 0; i < n; i++) in[i] = i == at ? x : maker_pick_broadcast(m, i < first ? XFC_BOOL : t, x);
    if (maker_chance(m, 5) && n == 2) in[1 - at] = x;
    return maker_build(m, code, in, n, NULL, 0);
}

xfc_value *make_cast(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = maker_pick(m, t, 0, 4);
    xfc_attr to = xfc_attr_dtype(XFC_K_TO, (xfc_dtype)maker_below(m, XFC_COMPUTED_COUNT));
    return maker_build(m, code, &x, 1, &to, 1);
}

xfc_value *make_copy(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = maker_pick(m, t, 0, 4);
    return maker_build(m, code, &x, 1, NULL, 0);
}

xfc_value *make_dims(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int value[5], n = maker_constant(m, 5);
    for (uint32_t i = 0; i < 5; i++)
        value[i] = xfc_int_addc(m->ctx, xfc_int_mulc(m->ctx, maker_dim(m, 0, NULL, LIMIT), 1 + maker_below(m, 3)),
                                (int64_t)maker_below(m, 9) - 4);
    bool one = maker_chance(m, 20);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_VALUES, value, one ? 1 : 5), xfc_attr_dims(XFC_K_SHAPE, &n, one ? 0 : 1),
                       xfc_attr_dtype(XFC_K_TO, t)};
    return maker_build(m, code, NULL, 0, attr, 3);
}

xfc_value *make_iota(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int size = maker_dim(m, 0, NULL, LIMIT), start = xfc_int_addc(m->ctx, maker_dim(m, 0, NULL, LIMIT), -3);
    int64_t step = diff_between(&m->seed, -3, 3);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &size, 1), xfc_attr_dtype(XFC_K_TO, t),
                       xfc_attr_dims(XFC_K_START, &start, 1), xfc_attr_ints(XFC_K_STEP, &step, 1)};
    return maker_build(m, code, NULL, 0, attr, maker_chance(m, 70) ? 4 : 2);
}

xfc_value *make_splat(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[3];
    uint32_t rank = maker_below(m, 4);
    int64_t none = 0;
    maker_dims(m, rank, dim, LIMIT);
    void *data = xfc_tensor_alloc(m->ctx, t, 0, &none);
    maker_fill(&m->seed, t, data, 1, DIFF_ANY, 0, true);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SHAPE, dim, rank),
                       xfc_attr_tensor(XFC_K_VALUE, xfc_tensor_new(m->ctx, t, 0, &none, data, NULL))};
    return maker_build(m, code, NULL, 0, attr, 2);
}

/* --- views --- */

/* Joins two dims, splits one that a constant divides, adds or drops a 1. */
static uint32_t other_shape(maker *m, const xfc_type *t, xfc_int *dim) {
    uint32_t r = t->rank, at = r ? maker_below(m, r) : 0, n = 0;
    bool join = r > 1 && maker_chance(m, 40);
    if (maker_chance(m, 15)) return dim[0] = xfc_type_count(m->ctx, t), 1;
    for (uint32_t d = 0; d < r; d++) {
        int64_t k = xfc_int_divisor(m->ctx, t->dim[d]);
        if (join && d == at && d + 1 < r) {
            dim[n++] = xfc_int_mul(m->ctx, t->dim[d], t->dim[d + 1]);
            d++;
        } else if (!join && d == at && r < XFC_MAX_RANK && k > 1) {
            int64_t part = k % 2 == 0 ? 2 : k % 3 == 0 ? 3 : k;
            xfc_int rest = xfc_int_floordiv(m->ctx, t->dim[d], maker_constant(m, part));
            bool first = maker_chance(m, 50);
            dim[n++] = first ? maker_constant(m, part) : rest;
            dim[n++] = first ? rest : maker_constant(m, part);
        } else {
            dim[n++] = t->dim[d];
        }
    }
    if (n < XFC_MAX_RANK && maker_chance(m, 30)) dim[n++] = maker_constant(m, 1);
    return n;
}

xfc_value *make_reshape(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK + 2];
    xfc_value *x = maker_pick(m, t, 0, 6);
    if (!x) return NULL;
    xfc_attr shape = xfc_attr_dims(XFC_K_SHAPE, dim, other_shape(m, &x->type, dim));
    return maker_build(m, code, &x, 1, &shape, 1);
}

xfc_value *make_transpose(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t perm[XFC_MAX_RANK];
    xfc_value *x = maker_pick(m, t, 1, XFC_MAX_RANK);
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++) perm[d] = d;
    for (uint32_t d = x->type.rank; d-- > 1;) {
        uint32_t other = maker_below(m, d + 1);
        int64_t p = perm[d];
        perm[d] = perm[other], perm[other] = p;
    }
    xfc_attr attr = xfc_attr_ints(XFC_K_PERM, perm, x->type.rank);
    return maker_build(m, code, &x, 1, &attr, 1);
}

xfc_value *make_expand(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK], from[XFC_MAX_RANK];
    uint32_t rank = 1 + maker_below(m, 4), drop = maker_chance(m, 50) ? maker_below(m, rank) : 0;
    maker_dims(m, rank, dim, LIMIT);
    for (uint32_t d = drop; d < rank; d++) from[d - drop] = maker_chance(m, 40) ? dim[d] : maker_partner(m, dim[d]);
    xfc_value *x = maker_pick_exact(m, t, rank - drop, from);
    xfc_attr shape = xfc_attr_dims(XFC_K_SHAPE, dim, rank);
    return maker_build(m, code, &x, 1, &shape, 1);
}

static void slice_dim(maker *m, xfc_int dim, xfc_int *start, xfc_int *size, int64_t *step) {
    int64_t n, lo, hi;
    xfc_int two = maker_constant(m, 2);
    *start = maker_constant(m, 0), *size = dim, *step = 1;
    xfc_int_range(m->ctx, dim, &lo, &hi);
    if (maker_chance(m, 30)) return;
    if (xfc_int_value(m->ctx, dim, &n) && n > 0) {
        int64_t first = diff_between(&m->seed, 0, n - 1);
        *step = maker_chance(m, 50) ? diff_between(&m->seed, 1, 3) : -diff_between(&m->seed, 1, 3);
        int64_t most_ = *step > 0 ? (n - 1 - first) / *step + 1 : first / -*step + 1;
        *start = maker_constant(m, first), *size = maker_constant(m, diff_between(&m->seed, 0, most_));
    } else if (maker_chance(m, 25)) {
        *start = xfc_int_addc(m->ctx, dim, -1), *step = -1;
    } else if (maker_chance(m, 33)) {
        *size = xfc_int_ceildiv(m->ctx, dim, two), *step = 2;
    } else if (maker_chance(m, 50)) {
        *size = xfc_int_min(m->ctx, dim, maker_constant(m, 3));
    } else if (lo >= 1) {
        *start = maker_constant(m, 1), *size = xfc_int_addc(m->ctx, dim, -1);
    }
}

xfc_value *make_slice(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    xfc_value *x = maker_pick(m, t, 1, 5);
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++) slice_dim(m, x->type.dim[d], &start[d], &size[d], &step[d]);
    uint32_t r = x->type.rank;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_START, start, r), xfc_attr_dims(XFC_K_SIZE, size, r),
                       xfc_attr_ints(XFC_K_STEP, step, r)};
    return maker_build(m, code, &x, 1, attr, 3);
}

xfc_value *make_concat(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *in[5] = {maker_pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank, axis = maker_below(m, r), n = 1 + maker_below(m, 4);
    for (uint32_t i = 1; i < n; i++) {
        for (uint32_t d = 0; d < r; d++) dim[d] = maker_twin(m, in[0]->type.dim[d]);
        if (maker_chance(m, 60)) {
            dim[axis] = maker_constant(m, 1);
            xfc_int last = dim[r - 1];
            dim[r - 1] = dim[axis], dim[axis] = last;
            last = maker_dim(m, r - 1, dim, LIMIT);
            dim[r - 1] = dim[axis], dim[axis] = last;
        }
        in[i] = maker_chance(m, 10) ? in[0] : maker_pick_exact(m, t, r, dim);
    }
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return maker_build(m, code, in, n, &attr, 1);
}

xfc_value *make_pad(maker *m, xfc_opcode code, xfc_dtype t) {
    static const double fills[] = {0, 1.5, -2, 7, (double)INFINITY, (double)NAN};
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK];
    xfc_value *x = maker_pick(m, t, 1, 4);
    if (!x) return NULL;
    uint32_t r = x->type.rank;
    for (uint32_t d = 0; d < r; d++) {
        int64_t lo, hi;
        xfc_int_range(m->ctx, x->type.dim[d], &lo, &hi);
        before[d] = maker_constant(m, diff_between(&m->seed, lo > 2 ? -1 : 0, maker_chance(m, 50) ? 3 : 0));
        after[d] = maker_chance(m, 10)
                       ? maker_dim(m, 0, NULL, 20)
                       : maker_constant(m, diff_between(&m->seed, lo > 3 ? -2 : 0, maker_chance(m, 50) ? 3 : 0));
    }
    double fill = fills[maker_below(m, xfc_dtype_is_float(t) ? 6 : t == XFC_BOOL ? 2 : 4)];
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, r), xfc_attr_dims(XFC_K_AFTER, after, r),
                       xfc_attr_float(XFC_K_FILL, fill)};
    return maker_build(m, code, &x, 1, attr, 3);
}

xfc_value *make_pack(maker *m, xfc_opcode code, xfc_dtype t) {
    static const int64_t panels[] = {1, 3, 8, 16, 48};
    xfc_value *x = maker_pick(m, t, 2, 4);
    const xfc_attr attr[2] = {xfc_attr_int(XFC_K_PANEL, panels[maker_below(m, 5)]),
                              xfc_attr_int(XFC_K_GROUP, 1 + maker_below(m, 3))};
    return maker_build(m, code, &x, 1, attr, 2);
}

/* --- indices from data --- */

static xfc_value *indices(maker *m, uint32_t rank, const xfc_int *dim, xfc_int bound) {
    return maker_fresh(m, maker_chance(m, 50) ? XFC_I64 : XFC_I32, rank, dim, DIFF_INDEX, bound);
}

xfc_value *make_gather(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[3];
    xfc_value *in[2] = {maker_pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t axis = maker_below(m, in[0]->type.rank), rank = maker_below(m, 3);
    maker_dims(m, rank, dim, 20);
    in[1] = indices(m, rank, dim, in[0]->type.dim[axis]);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return maker_build(m, code, in, 2, &attr, 1);
}

xfc_value *make_gather_elements(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *in[2] = {maker_pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank, axis = maker_below(m, r);
    for (uint32_t d = 0; d < r; d++) dim[d] = in[0]->type.dim[d];
    dim[axis] = maker_constant(m, 1 + maker_below(m, 9));
    in[1] = indices(m, r, dim, in[0]->type.dim[axis]);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return maker_build(m, code, in, 2, &attr, 1);
}

/* One bound serves all indices of a tuple: data has equal dims where they point. */
xfc_value *make_gather_nd(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK], where[XFC_MAX_RANK], bound = maker_dim(m, 0, NULL, 12);
    uint32_t batch = maker_below(m, 3), tuple = 1 + maker_below(m, 2), rest = maker_below(m, 2), n = 0;
    for (uint32_t d = 0; d < batch; d++, n++) dim[n] = where[n] = maker_dim(m, n, dim, 20);
    for (uint32_t d = 0; d < tuple; d++) dim[n++] = bound;
    for (uint32_t d = 0; d < rest; d++, n++) dim[n] = maker_dim(m, n, dim, LIMIT);
    uint32_t w = batch;
    if (maker_chance(m, 60)) where[w] = maker_dim(m, w, where, 100), w++;
    where[w++] = maker_constant(m, tuple);
    xfc_value *in[2] = {maker_pick_exact(m, t, n, dim), indices(m, w, where, bound)};
    xfc_attr attr = xfc_attr_int(XFC_K_BATCH_DIMS, batch);
    return maker_build(m, code, in, 2, &attr, 1);
}

/* --- reductions --- */

xfc_value *make_reduce(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t axes[XFC_MAX_RANK];
    uint32_t n = 0;
    xfc_value *x = maker_pick(m, t, 0, 4);
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++)
        if (maker_chance(m, 45)) axes[n++] = d;
    if (!n && x->type.rank && maker_chance(m, 80)) axes[n++] = x->type.rank - 1;
    if (code == XFC_OP_REDUCE_PROD && xfc_dtype_is_float(t))
        x = maker_new_input(m, t, x->type.rank, x->type.dim, DIFF_NEAR_ONE, XFC_INT_NONE);
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, axes, n), xfc_attr_int(XFC_K_KEEPDIMS, maker_chance(m, 50))};
    return maker_build(m, code, &x, 1, attr, 2);
}

xfc_value *make_cumsum(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = maker_pick(m, t, 1, 4);
    if (!x) return NULL;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, maker_below(m, x->type.rank)),
                       xfc_attr_int(XFC_K_EXCLUSIVE, maker_chance(m, 50)),
                       xfc_attr_int(XFC_K_REVERSE, maker_chance(m, 50))};
    return maker_build(m, code, &x, 1, attr, 3);
}

/* --- the first in order --- */

/* A few, or as many as there are; either output. */
xfc_value *make_top_k(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = maker_pick(m, t, 1, 4);
    if (!x) return NULL;
    uint32_t axis = maker_below(m, x->type.rank);
    int64_t lo, hi;
    xfc_int_range(m->ctx, x->type.dim[axis], &lo, &hi);
    bool all = maker_chance(m, 30);
    xfc_int k = all ? x->type.dim[axis] : maker_constant(m, diff_between(&m->seed, 0, lo < 6 ? lo : 6));
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_dims(XFC_K_SIZE, &k, 1),
                       xfc_attr_int(XFC_K_LARGEST, maker_chance(m, 50))};
    xfc_value *v = maker_build(m, code, &x, 1, attr, XFC_COUNT(attr));
    return v ? &v->def->out[maker_below(m, 2)] : NULL;
}

xfc_value *make_reach(maker *m, xfc_opcode code, xfc_dtype t) {
    if (t != XFC_F32) return NULL;
    xfc_value *x = maker_pick(m, t, 2, 4);
    const xfc_int size[2] = {maker_constant(m, 1 + maker_below(m, 70)), maker_constant(m, 1 + maker_below(m, 50))};
    const xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, size, 2);
    return x ? maker_build(m, code, &x, 1, &attr, 1) : NULL;
}

xfc_value *make_keep_largest(maker *m, xfc_opcode code, xfc_dtype t) {
    if (t != XFC_F32 && t != XFC_F64) return NULL;
    xfc_value *x = maker_pick(m, t, 1, 4);
    xfc_attr attr = xfc_attr_int(XFC_K_KEEP, diff_between(&m->seed, 1, 12));
    return x ? maker_build(m, code, &x, 1, &attr, 1) : NULL;
}

/* views.c - ops that move elements: views, gathers, and tensors from nothing, bit by bit against index arithmetic. */
#include "tests/table/table.h"

static xfc_dtype any_dtype(table *t) { return (xfc_dtype)test_between(&t->seed, 0, XFC_UNPACKED_COUNT - 1); }

static uint32_t random_shape(table *t, uint32_t least, uint32_t most, int64_t *dim) {
    uint32_t rank = (uint32_t)test_between(&t->seed, least, most);
    for (uint32_t d = 0; d < rank; d++) dim[d] = table_extent(t);
    for (uint32_t d = 0; d + 1 < rank; d++) dim[d] = dim[d] > 7 ? dim[d] % 7 : dim[d]; /* at most one is large */
    return rank;
}

static void dims_of(table *t, const int64_t *dim, uint32_t rank, xfc_int *out) {
    for (uint32_t d = 0; d < rank; d++) out[d] = table_dim(t, dim[d]);
}

/* The symbolic index under axes := values. */
static int64_t index_value(table *t, xfc_int e, const xfc_int *axis, const int64_t *index, uint32_t rank) {
    xfc_int to[XFC_MAX_RANK];
    int64_t v = -1;
    for (uint32_t d = 0; d < rank; d++) to[d] = xfc_int_const(t->ctx, index[d]);
    CHECK(xfc_int_value(t->ctx, xfc_int_substitute(t->ctx, e, axis, to, rank), &v));
    return v;
}

/* .push of a bijection sends every input element to where the nest put it. Static shapes only: the graph is made anew
 * here. */
static void check_push(table *t, xfc_opcode code, xfc_attr attr) {
    if (t->dynamic || t->in[0].count > 400) return;
    xfc_graph *g = xfc_graph_new(t->ctx, "push");
    xfc_int dim[XFC_MAX_RANK], axis[XFC_MAX_RANK], to[XFC_MAX_RANK];
    int64_t index[XFC_MAX_RANK], moved[XFC_MAX_RANK];
    dims_of(t, t->in[0].dim, t->in[0].rank, dim);
    xfc_value *x = xfc_graph_add_input(g, NULL, xfc_type_make(t->in[0].dtype, t->in[0].rank, dim));
    xfc_builder b = {.graph = g};
    xfc_value *v = xfc_build(&b, code, &x, 1, &attr, 1);
    for (uint32_t d = 0; d < t->in[0].rank; d++) axis[d] = xfc_int_axis(t->ctx, "i", dim[d]);
    xfc_ops[code].push(t->ctx, v->def, axis, to);
    for (bool more = table_first(&t->in[0], index); more; more = table_step(&t->in[0], index)) {
        for (uint32_t d = 0; d < t->out.rank; d++) moved[d] = index_value(t, to[d], axis, index, t->in[0].rank);
        table_same_bits(t, table_at(&t->out, moved), &t->in[0], table_at(&t->in[0], index));
    }
    xfc_graph_free(g);
}

static void reshape(table *t) {
    int64_t dim[4], to[4] = {1, 1, 1, 1}, count = 1;
    uint32_t rank = random_shape(t, 0, 4, dim), n = 0;
    xfc_int shape[4];
    table_next(t, "reshape");
    for (uint32_t d = 0; d < rank; d++) count *= dim[d];
    for (int64_t f = 2; n < 2 && count > 1 && f < 8; f++) {
        if (count % f == 0) to[n++] = f, count /= f;
    }
    to[n++] = count;
    if (test_between(&t->seed, 0, 1)) to[n++] = 1;
    dims_of(t, to, n, shape);
    for (uint32_t d = 0; d + 1 < n; d++) shape[d] = xfc_int_const(t->ctx, to[d]);
    xfc_attr attr = xfc_attr_dims(XFC_K_SHAPE, shape, n);
    table_operand(t, any_dtype(t), rank, dim, true);
    if (!CHECK(table_run(t, XFC_OP_RESHAPE, &attr, 1)) || !table_shape(t, n, to)) return;
    for (int64_t i = 0; i < t->out.count; i++) table_same_bits(t, i, &t->in[0], i);
    check_push(t, XFC_OP_RESHAPE, attr);
}

static void transpose(table *t) {
    int64_t dim[4], perm[4] = {0, 1, 2, 3}, want[4], index[8], from[8];
    uint32_t rank = random_shape(t, 0, 4, dim);
    table_next(t, "transpose");
    for (uint32_t d = 0; d + 1 < rank; d++) {
        int64_t k = test_between(&t->seed, d, rank - 1), swap = perm[d];
        perm[d] = perm[k], perm[k] = swap;
    }
    for (uint32_t d = 0; d < rank; d++) want[d] = dim[perm[d]];
    xfc_attr attr = xfc_attr_ints(XFC_K_PERM, perm, rank);
    table_operand(t, any_dtype(t), rank, dim, true);
    if (!CHECK(table_run(t, XFC_OP_TRANSPOSE, &attr, 1)) || !table_shape(t, rank, want)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        for (uint32_t d = 0; d < rank; d++) from[perm[d]] = index[d];
        table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
    }
    check_push(t, XFC_OP_TRANSPOSE, attr);
}

static void expand(table *t) {
    int64_t dim[4], from_dim[4], index[8], from[8];
    uint32_t rank = random_shape(t, 0, 4, dim), less = (uint32_t)test_between(&t->seed, 0, rank);
    xfc_int shape[4];
    table_next(t, "expand");
    for (uint32_t d = less; d < rank; d++) from_dim[d - less] = test_between(&t->seed, 0, 1) ? 1 : dim[d];
    dims_of(t, dim, rank, shape);
    table_operand(t, any_dtype(t), rank - less, from_dim, true);
    if (!CHECK(table_run(t, XFC_OP_EXPAND, &(xfc_attr){.key = XFC_K_SHAPE, .n = rank, .u.dims = shape}, 1)) ||
        !table_shape(t, rank, dim))
        return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        for (uint32_t d = less; d < rank; d++) from[d - less] = from_dim[d - less] == 1 ? 0 : index[d];
        table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
    }
}

static void slice(table *t) {
    int64_t dim[4], begin[4], step[4], size[4], index[8], from[8];
    uint32_t rank = random_shape(t, 0, 4, dim);
    xfc_int first[4], sizes[4];
    table_next(t, "slice");
    for (uint32_t d = 0; d < rank; d++) {
        step[d] = test_between(&t->seed, 1, 3) * (test_between(&t->seed, 0, 1) ? 1 : -1);
        begin[d] = dim[d] ? test_between(&t->seed, 0, dim[d] - 1) : 0;
        int64_t room = dim[d] == 0 ? 0 : 1 + (step[d] > 0 ? (dim[d] - 1 - begin[d]) / step[d] : begin[d] / -step[d]);
        size[d] = test_between(&t->seed, 0, room);
        first[d] = xfc_int_const(t->ctx, begin[d]);
        if (t->dynamic && size[d] == dim[d])
            sizes[d] = table_dim(t, dim[d]);
        else
            sizes[d] = xfc_int_const(t->ctx, size[d]);
    }
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_START, first, rank), xfc_attr_dims(XFC_K_SIZE, sizes, rank),
                       xfc_attr_ints(XFC_K_STEP, step, rank)};
    table_operand(t, any_dtype(t), rank, dim, true);
    if (!CHECK(table_run(t, XFC_OP_SLICE, attr, 3)) || !table_shape(t, rank, size)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        for (uint32_t d = 0; d < rank; d++) from[d] = begin[d] + index[d] * step[d];
        table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
    }
}

static void concat(table *t) {
    int64_t dim[4], index[8];
    uint32_t rank = random_shape(t, 1, 4, dim), n = (uint32_t)test_between(&t->seed, 1, 5);
    int64_t axis = test_between(&t->seed, 0, rank - 1), total = 0;
    xfc_dtype dtype = any_dtype(t);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    table_next(t, "concat");
    for (uint32_t i = 0; i < n; i++) {
        dim[axis] = table_extent(t);
        total += dim[axis];
        table_operand(t, dtype, rank, dim, true);
    }
    dim[axis] = total;
    if (!CHECK(table_run(t, XFC_OP_CONCAT, &attr, 1)) || !table_shape(t, rank, dim)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        int64_t at = table_at(&t->out, index), whole = index[axis];
        uint32_t i = 0;
        while (index[axis] >= t->in[i].dim[axis]) index[axis] -= t->in[i++].dim[axis];
        table_same_bits(t, at, &t->in[i], table_at(&t->in[i], index));
        index[axis] = whole;
    }
}

static void pad(table *t) {
    int64_t dim[4], before[4], want[4], index[8];
    uint32_t rank = random_shape(t, 0, 4, dim);
    xfc_int lead[4], trail[4];
    double fill = (double)test_between(&t->seed, -2, 2);
    table_next(t, "pad");
    for (uint32_t d = 0; d < rank; d++) {
        before[d] = test_between(&t->seed, dim[d] ? -1 : 0, 2);
        int64_t after = test_between(&t->seed, dim[d] > 1 ? -1 : 0, 2);
        want[d] = dim[d] + before[d] + after;
        lead[d] = xfc_int_const(t->ctx, before[d]);
        trail[d] = xfc_int_const(t->ctx, after);
        if (!t->dynamic || want[d] >= 0) continue;
        return;
    }
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, lead, rank), xfc_attr_dims(XFC_K_AFTER, trail, rank),
                       xfc_attr_float(XFC_K_FILL, fill)};
    table_operand(t, any_dtype(t), rank, dim, true);
    if (!CHECK(table_run(t, XFC_OP_PAD, attr, 3)) || !table_shape(t, rank, want)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        bool inside = true;
        int64_t from[8];
        for (uint32_t d = 0; d < rank; d++) {
            from[d] = index[d] - before[d];
            inside = inside && from[d] >= 0 && from[d] < dim[d];
        }
        if (inside)
            table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
        else if (xfc_dtype_is_float(t->out.dtype))
            table_same(t, table_at(&t->out, index), fill, 0, 0);
        else if (xfc_dtype_is_code(t->out.dtype))
            table_same_int(t, table_at(&t->out, index), xfc_float_to_code(t->out.dtype, (float)fill, true));
        else
            table_same_int(t, table_at(&t->out, index),
                           t->out.dtype == XFC_BOOL ? fill < 0 || fill > 0 : (int64_t)fill);
    }
}

static void pack(table *t) {
    int64_t dim[4], want[5], index[8], from[8];
    uint32_t rank = random_shape(t, 2, 4, dim);
    int64_t panel = test_between(&t->seed, 1, 9), group = test_between(&t->seed, 1, 3), k = dim[rank - 2],
            n = dim[rank - 1];
    const xfc_attr attr[2] = {xfc_attr_int(XFC_K_PANEL, panel), xfc_attr_int(XFC_K_GROUP, group)};
    table_next(t, "pack");
    for (uint32_t d = 0; d + 2 < rank; d++) want[d] = from[d] = dim[d];
    want[rank - 2] = (n + panel - 1) / panel;
    want[rank - 1] = (k + group - 1) / group;
    want[rank] = panel * group;
    table_operand(t, any_dtype(t), rank, dim, true);
    if (!CHECK(table_run(t, XFC_OP_PACK, attr, 2)) || !table_shape(t, rank + 1, want)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        for (uint32_t d = 0; d + 2 < rank; d++) from[d] = index[d];
        from[rank - 2] = index[rank - 1] * group + index[rank] % group;
        from[rank - 1] = index[rank - 2] * panel + index[rank] / group;
        if (from[rank - 2] < k && from[rank - 1] < n)
            table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
        else
            CHECK(t->out.dtype == XFC_E8M0 || table_f(&t->out, table_at(&t->out, index)) == 0);
    }
}

/* --- gathers --- */

static int64_t wrap(int64_t i, int64_t extent) { return i < 0 ? i + extent : i; }

static void gather(table *t) {
    int64_t dim[3], shape[2], index[8], from[8], at[8];
    uint32_t rank = random_shape(t, 1, 3, dim), r = random_shape(t, 0, 2, shape);
    uint32_t axis = (uint32_t)test_between(&t->seed, 0, rank - 1);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    table_next(t, "gather");
    if (dim[axis] == 0) dim[axis] = 3;
    table_operand(t, any_dtype(t), rank, dim, true);
    table_ints(t, test_between(&t->seed, 0, 1) ? XFC_I64 : XFC_I32, r, shape, -dim[axis], dim[axis] - 1);
    if (!CHECK(table_run(t, XFC_OP_GATHER, &attr, 1))) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        for (uint32_t d = 0; d < r; d++) at[d] = index[axis + d];
        for (uint32_t d = 0; d < rank; d++) from[d] = d < axis ? index[d] : index[d + r - (d > axis)];
        from[axis] = wrap(table_i(&t->in[1], table_at(&t->in[1], at)), dim[axis]);
        table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
    }
}

static void gather_elements(table *t) {
    int64_t dim[3], shape[3], index[8], from[8];
    uint32_t rank = random_shape(t, 1, 3, dim), axis = (uint32_t)test_between(&t->seed, 0, rank - 1);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    table_next(t, "gather_elements");
    for (uint32_t d = 0; d < rank; d++) shape[d] = test_between(&t->seed, 0, dim[d]);
    if (dim[axis] == 0) dim[axis] = 2;
    shape[axis] = table_extent(t) % 40;
    table_operand(t, any_dtype(t), rank, dim, true);
    table_ints(t, XFC_I64, rank, shape, -dim[axis], dim[axis] - 1);
    if (!CHECK(table_run(t, XFC_OP_GATHER_ELEMENTS, &attr, 1)) || !table_shape(t, rank, shape)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        for (uint32_t d = 0; d < rank; d++) from[d] = index[d];
        from[axis] = wrap(table_i(&t->in[1], table_at(&t->in[1], index)), dim[axis]);
        table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
    }
}

static void gather_nd(table *t) {
    int64_t dim[4] = {3, 5, 2, 7}, shape[3] = {3, 4, 0}, index[8], at[8], from[8];
    uint32_t batch = (uint32_t)test_between(&t->seed, 0, 1), tuple = (uint32_t)test_between(&t->seed, 1, 4 - batch);
    xfc_attr attr = xfc_attr_int(XFC_K_BATCH_DIMS, batch);
    table_next(t, "gather_nd");
    shape[2] = tuple;
    table_operand(t, any_dtype(t), 4, dim, true);
    xfc_array *where = table_ints(t, XFC_I64, 3, shape, 0, 0);
    for (int64_t i = 0; i < where->count; i++) {
        int64_t extent = dim[batch + i % tuple];
        table_set(where, i, 0, test_between(&t->seed, -extent, extent - 1));
    }
    bool dynamic = t->dynamic;
    t->dynamic = false; /* the tuple's length must be a constant */
    if (CHECK(table_run(t, XFC_OP_GATHER_ND, &attr, 1))) {
        for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
            at[0] = index[0], at[1] = index[1], from[0] = index[0];
            for (uint32_t i = 0; i < tuple; i++) {
                at[2] = i;
                from[batch + i] = wrap(table_i(where, table_at(where, at)), dim[batch + i]);
            }
            for (uint32_t d = batch + tuple; d < 4; d++) from[d] = index[2 + d - batch - tuple];
            table_same_bits(t, table_at(&t->out, index), &t->in[0], table_at(&t->in[0], from));
        }
    }
    t->dynamic = dynamic;
}

/* An index outside of its range is an error that says so, never an access. */
static void bad_index(table *t) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, 0);
    for (int64_t bad = -1; bad <= 1; bad += 2) {
        table_next(t, "index out of range");
        table_operand(t, XFC_F32, 2, (int64_t[]){5, 3}, false);
        xfc_array *where = table_ints(t, XFC_I64, 1, (int64_t[]){4}, 0, 4);
        table_set(where, 2, 0, bad < 0 ? -6 : 5);
        CHECK(!table_run(t, XFC_OP_GATHER, &attr, 1));
        CHECK_CONTAINS(t->ctx->diags[t->ctx->n_diags - 1].text, "index out of range");
    }
}

/* --- from nothing --- */

static void sources(table *t) {
    xfc_int values[5];
    for (int i = 0; i < 5; i++) values[i] = xfc_int_const(t->ctx, 10 * i - 3);
    xfc_int five = xfc_int_const(t->ctx, 5), start = xfc_int_const(t->ctx, -4);
    int64_t step = 3;
    xfc_attr dims[] = {xfc_attr_dims(XFC_K_VALUES, values, 5), xfc_attr_dims(XFC_K_SHAPE, &five, 1),
                       xfc_attr_dtype(XFC_K_TO, XFC_I32)};
    table_next(t, "dims");
    if (CHECK(table_run(t, XFC_OP_DIMS, dims, 3))) {
        for (int64_t i = 0; i < 5; i++) table_same_int(t, i, 10 * i - 3);
    }
    dims[0].n = 1, dims[1].n = 0;
    table_next(t, "dims, a scalar");
    if (CHECK(table_run(t, XFC_OP_DIMS, dims, 2)) && table_shape(t, 0, NULL)) table_same_int(t, 0, -3);
    table_next(t, "iota");
    xfc_attr iota[] = {xfc_attr_dims(XFC_K_SIZE, &five, 1), xfc_attr_dims(XFC_K_START, &start, 1),
                       xfc_attr_ints(XFC_K_STEP, &step, 1), xfc_attr_dtype(XFC_K_TO, XFC_F16)};
    if (CHECK(table_run(t, XFC_OP_IOTA, iota, 4))) {
        for (int64_t i = 0; i < 5; i++) table_same(t, i, (double)(3 * i - 4), 0, 0);
    }
    float two = 2.5f;
    const xfc_tensor *value = xfc_tensor_copy(t->ctx, XFC_F32, 0, NULL, &two, NULL);
    xfc_attr splat[] = {xfc_attr_dims(XFC_K_SHAPE, (xfc_int[]){five, xfc_int_const(t->ctx, 0)}, 1),
                        xfc_attr_tensor(XFC_K_VALUE, value)};
    table_next(t, "splat");
    if (CHECK(table_run(t, XFC_OP_SPLAT, splat, 2))) {
        for (int64_t i = 0; i < 5; i++) table_same(t, i, 2.5, 0, 0);
    }
    xfc_attr constant = xfc_attr_tensor(XFC_K_VALUE, value);
    table_next(t, "const");
    if (CHECK(table_run(t, XFC_OP_CONST, &constant, 1))) table_same(t, 0, 2.5, 0, 0);
    table_next(t, "copy");
    table_operand(t, XFC_BF16, 2, (int64_t[]){3, 300}, true);
    if (CHECK(table_run(t, XFC_OP_COPY, NULL, 0))) {
        for (int64_t i = 0; i < t->out.count; i++) table_same_bits(t, i, &t->in[0], i);
    }
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (int i = 0; i < 60; i++) {
            reshape(&t);
            transpose(&t);
            expand(&t);
            slice(&t);
            concat(&t);
            pad(&t);
            pack(&t);
            gather(&t);
            gather_elements(&t);
            gather_nd(&t);
        }
        bad_index(&t);
        sources(&t);
        xfc_diags_print(t.ctx, stderr, false);
        table_free(&t);
    }
    return test_end();
}

/* sums.c - reductions, running sums and matrix products against plain loops in double and int64. */
#include "tests/table/table.h"

static const xfc_dtype numeric[] = {XFC_F32, XFC_F64, XFC_F16, XFC_BF16, XFC_I8,  XFC_I16,
                                    XFC_I32, XFC_I64, XFC_U8,  XFC_U16,  XFC_U32, XFC_U64};

typedef enum { SUM, MAX, MIN, PROD, MEAN } kind;
static const xfc_opcode codes[] = {XFC_OP_REDUCE_SUM, XFC_OP_REDUCE_MAX, XFC_OP_REDUCE_MIN, XFC_OP_REDUCE_PROD,
                                   XFC_OP_REDUCE_MEAN};

static bool is_unsigned(xfc_dtype t) { return xfc_dtype_class(t) == XFC_CLASS_UINT; }
static bool less(xfc_dtype t, int64_t a, int64_t b) { return is_unsigned(t) ? (uint64_t)a < (uint64_t)b : a < b; }

/* One output element: over all operand elements whose kept dims are at `index`. */
typedef struct {
    double f;
    int64_t i, n;
    bool nan;
} total;

static total start(kind k, xfc_dtype t) {
    total r = {.f = k == PROD ? 1 : k == MAX ? -(double)INFINITY : k == MIN ? (double)INFINITY : 0, .i = k == PROD};
    int bits = (int)xfc_dtype_bytes(t) * 8;
    if (t == XFC_BOOL)
        r.i = k == MIN;
    else if (k == MAX)
        r.i = is_unsigned(t) ? 0 : -(INT64_C(1) << (bits - 2)) * 2;
    else if (k == MIN)
        r.i = is_unsigned(t) ? -1 : (INT64_C(1) << (bits - 2)) - 1 + (INT64_C(1) << (bits - 2));
    return r;
}

static void add(total *r, kind k, xfc_dtype t, double f, int64_t i) {
    r->n++;
    r->nan = r->nan || isnan(f);
    if (k == PROD)
        r->f *= f, r->i = (int64_t)((uint64_t)r->i * (uint64_t)i);
    else if (k == MAX)
        r->f = fmax(r->f, f), r->i = less(t, r->i, i) ? i : r->i;
    else if (k == MIN)
        r->f = fmin(r->f, f), r->i = less(t, i, r->i) ? i : r->i;
    else
        r->f += f, r->i = (int64_t)((uint64_t)r->i + (uint64_t)i);
}

static void check_total(table *t, int64_t at, kind k, total r, double magnitude) {
    xfc_dtype dtype = t->out.dtype;
    if (!xfc_dtype_is_float(dtype)) {
        int64_t mean = r.n == 0 ? 0 : r.i / r.n;
        table_same_int(t, at, k == MEAN ? mean : r.i);
        return;
    }
    double want = r.nan ? (double)NAN : k == MEAN ? r.f / (double)r.n : r.f;
    double unit = dtype == XFC_F64 ? 0x1p-52 : dtype == XFC_F32 ? 0x1p-23 : 0;
    table_same(t, at, want, 2, k == PROD ? fabs(want) * (double)r.n * unit : magnitude * unit);
}

static void reduce(table *t, kind k, xfc_dtype dtype) {
    int64_t dim[4], axes[4], index[8], kept[8];
    uint32_t rank = (uint32_t)test_between(&t->seed, 0, 4), n = 0, mask = 0;
    bool keepdims = test_between(&t->seed, 0, 1);
    table_next(t, xfc_ops[codes[k]].name);
    for (uint32_t d = 0; d < rank; d++) {
        dim[d] = d == 0 ? table_extent(t) : table_extent(t) % 9;
        if (test_between(&t->seed, 0, 1)) axes[n++] = d, mask |= 1u << d;
    }
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, axes, n), xfc_attr_int(XFC_K_KEEPDIMS, keepdims)};
    xfc_array *in = k == MEAN ? table_ints(t, dtype, rank, dim, xfc_dtype_class(dtype) == XFC_CLASS_UINT ? 0 : -90, 90)
                              : table_operand(t, dtype, rank, dim, k == MAX || k == MIN);
    if (!CHECK(table_run(t, codes[k], attr, 2))) return;
    total *sum = xfc_new_array(t->arena, total, t->out.count);
    double *magnitude = xfc_new_array(t->arena, double, t->out.count);
    for (int64_t i = 0; i < t->out.count; i++) sum[i] = start(k, dtype);
    for (bool more = table_first(in, index); more; more = table_step(in, index)) {
        uint32_t r = 0;
        int64_t from = table_at(in, index);
        for (uint32_t d = 0; d < rank; d++) {
            if (!(mask >> d & 1))
                kept[r++] = index[d];
            else if (keepdims)
                kept[r++] = 0;
        }
        int64_t to = table_at(&t->out, kept);
        double f = xfc_dtype_is_float(dtype) ? table_f(in, from) : 0;
        add(&sum[to], k, dtype, f, xfc_dtype_is_float(dtype) ? 0 : table_i(in, from));
        magnitude[to] += fabs(f);
    }
    for (int64_t i = 0; i < t->out.count; i++) check_total(t, i, k, sum[i], magnitude[i]);
}

static void reductions(table *t) {
    for (size_t i = 0; i < XFC_COUNT(numeric); i++) {
        for (int k = SUM; k <= MEAN; k++) {
            for (int times = 0; times < 8; times++) reduce(t, (kind)k, numeric[i]);
        }
    }
    for (int times = 0; times < 8; times++) {
        reduce(t, MAX, XFC_BOOL);
        reduce(t, MIN, XFC_BOOL);
    }
}

static void running(table *t, xfc_dtype dtype, bool product) {
    int64_t dim[3], index[8];
    uint32_t rank = (uint32_t)test_between(&t->seed, 1, 3), axis = (uint32_t)test_between(&t->seed, 0, rank - 1);
    bool exclusive = test_between(&t->seed, 0, 1), reverse = test_between(&t->seed, 0, 1);
    table_next(t, product ? "cumprod" : "cumsum");
    for (uint32_t d = 0; d < rank; d++) dim[d] = table_extent(t) % (product ? 12 : 40);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_int(XFC_K_EXCLUSIVE, exclusive),
                       xfc_attr_int(XFC_K_REVERSE, reverse)};
    xfc_array *in = table_ints(t, dtype, rank, dim, product, product ? 2 : 3);
    if (!CHECK(table_run(t, product ? XFC_OP_CUMPROD : XFC_OP_CUMSUM, attr, 3)) || !table_shape(t, rank, dim)) return;
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        int64_t sum = product, here = index[axis], at = table_at(&t->out, index);
        for (int64_t i = 0; i < dim[axis]; i++) {
            bool inside = reverse ? i > here : i < here;
            index[axis] = i;
            if (!inside && (i != here || exclusive)) continue;
            int64_t v = table_i(in, table_at(in, index));
            sum = product ? sum * v : sum + v;
        }
        index[axis] = here;
        if (xfc_dtype_is_float(dtype))
            table_same(t, at, (double)sum, 0, 0); /* small integers add and multiply exactly */
        else
            table_same_int(t, at, sum);
    }
}

/* Element [.., r, c] of an operand at the batch index of the output. */
static int64_t matrix_at(const xfc_array *a, const xfc_array *out, const int64_t *index, int64_t r, int64_t c) {
    int64_t at[8];
    for (uint32_t d = 0; d + 2 < a->rank; d++) at[d] = a->dim[d] == 1 ? 0 : index[d + out->rank - a->rank];
    at[a->rank - 2] = r;
    at[a->rank - 1] = c;
    return table_at(a, at);
}

static void check_product(table *t, const xfc_array *a, const xfc_array *b) {
    int64_t index[8], depth = a->dim[a->rank - 1];
    bool is_float = xfc_dtype_is_float(t->out.dtype);
    for (bool more = table_first(&t->out, index); more; more = table_step(&t->out, index)) {
        double f = 0, magnitude = 0;
        uint64_t v = 0;
        for (int64_t k = 0; k < depth; k++) {
            int64_t x = matrix_at(a, &t->out, index, index[t->out.rank - 2], k),
                    y = matrix_at(b, &t->out, index, k, index[t->out.rank - 1]);
            if (is_float)
                f += table_f(a, x) * table_f(b, y), magnitude += fabs(table_f(a, x) * table_f(b, y));
            else
                v += (uint64_t)table_i(a, x) * (uint64_t)table_i(b, y);
        }
        double unit = t->out.dtype == XFC_F64 ? 0x1p-52 : 0x1p-22; /* f16 and bf16 add in f32 as well */
        if (is_float)
            table_same(t, table_at(&t->out, index), f, 1, magnitude * unit);
        else
            table_same_int(t, table_at(&t->out, index), (int64_t)v);
    }
}

static void matmul(table *t, xfc_dtype dtype) {
    int64_t batch[2] = {table_extent(t) % 4, table_extent(t) % 4}, a[4], b[4];
    int64_t m = table_extent(t) % 12, k = table_extent(t), n = table_extent(t) % 70;
    uint32_t ra = (uint32_t)test_between(&t->seed, 0, 2), rb = (uint32_t)test_between(&t->seed, 0, 2);
    table_next(t, "matmul");
    for (uint32_t d = 0; d < ra; d++) a[d] = test_between(&t->seed, 0, 3) ? batch[2 - ra + d] : 1;
    for (uint32_t d = 0; d < rb; d++) b[d] = test_between(&t->seed, 0, 3) ? batch[2 - rb + d] : 1;
    a[ra] = m, a[ra + 1] = k, b[rb] = k, b[rb + 1] = n;
    table_operand(t, dtype, ra + 2, a, false);
    table_operand(t, dtype, rb + 2, b, false);
    if (!CHECK(table_run(t, XFC_OP_MATMUL, NULL, 0))) return;
    CHECK(t->out.dim[t->out.rank - 2] == m && t->out.dim[t->out.rank - 1] == n);
    check_product(t, &t->in[0], &t->in[1]);
}

/* matmul_packed over pack(b) is matmul over b. */
static void packed(table *t, xfc_dtype dtype) {
    int64_t m = table_extent(t) % 12, k = table_extent(t), n = table_extent(t) % 70;
    table_next(t, "pack");
    table_operand(t, dtype, 2, (int64_t[]){k, n}, false);
    xfc_attr panel = xfc_attr_int(XFC_K_PANEL, test_between(&t->seed, 1, 48));
    if (!CHECK(table_run(t, XFC_OP_PACK, &panel, 1))) return;
    xfc_array b = t->in[0], columns = t->out;
    t->n_in = 0;
    t->what = "matmul_packed";
    table_operand(t, dtype, 2, (int64_t[]){m, k}, false);
    t->in[t->n_in++] = columns;
    xfc_int size = table_dim(t, n);
    xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, &size, 1);
    if (CHECK(table_run(t, XFC_OP_MATMUL_PACKED, &attr, 1)) && table_shape(t, 2, (int64_t[]){m, n}))
        check_product(t, &t->in[0], &b);
}

static void refusals(table *t) {
    table_next(t, "inner dims that differ");
    bool dynamic = t->dynamic;
    t->dynamic = false;
    table_operand(t, XFC_F32, 2, (int64_t[]){2, 3}, false);
    table_operand(t, XFC_F32, 2, (int64_t[]){4, 2}, false);
    CHECK(!table_run(t, XFC_OP_MATMUL, NULL, 0));
    CHECK_CONTAINS(t->ctx->diags[t->ctx->n_diags - 1].text, "inner dims of matmul");
    xfc_attr twice = xfc_attr_ints(XFC_K_AXES, (int64_t[]){1, 1}, 2);
    t->n_in = 1;
    CHECK(!table_run(t, XFC_OP_REDUCE_SUM, &twice, 1));
    xfc_attr outside = xfc_attr_ints(XFC_K_AXES, (int64_t[]){2}, 1);
    CHECK(!table_run(t, XFC_OP_REDUCE_SUM, &outside, 1));
    t->dynamic = dynamic;
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        reductions(&t);
        for (size_t i = 0; i < XFC_COUNT(numeric); i++) {
            for (int times = 0; times < 6; times++) {
                running(&t, numeric[i], false);
                running(&t, numeric[i], true);
                matmul(&t, numeric[i]);
            }
        }
        for (int times = 0; times < 12; times++) packed(&t, times % 2 ? XFC_F32 : XFC_I32);
        xfc_diags_print(t.ctx, stderr, false);
        refusals(&t);
        table_free(&t);
    }
    return test_end();
}

/* top_k.c - top_k and keep_largest against plain C that compares every element with every other: all types and axes, rows
 * short and long, random, full of ties and NaN, and ordered. */
#include "tests/table/table.h"

typedef enum { RANDOM, TIES, RISING, FALLING, ORGAN, N_KINDS } kind;

/* Whole numbers that every type holds apart, if there are few of them. */
static int64_t number(table *t, kind what, int64_t i, int64_t n) {
    switch (what) {
    case TIES: return test_between(&t->seed, -2, 2);
    case RISING: return i;
    case FALLING: return n - i;
    case ORGAN: return i < n / 2 ? i : n - i;
    case RANDOM:
    case N_KINDS: break;
    }
    return test_between(&t->seed, -n, n);
}

static void fill(table *t, xfc_array *a, kind what, int64_t n) {
    static const double special[] = {(double)NAN, -(double)NAN, (double)INFINITY, -(double)INFINITY, -0.0, 0.0};
    bool is_float = xfc_dtype_is_float(a->dtype);
    for (int64_t i = 0; i < a->count; i++) {
        int64_t v = number(t, what, n ? i % n : 0, n);
        bool odd = is_float && what == TIES && test_between(&t->seed, 0, 2) == 0;
        table_set(a, i, odd ? special[test_between(&t->seed, 0, 5)] : (double)v, v);
    }
}

/* Does element i come before element k, both of the type of a? */
static bool comes_before(const xfc_array *a, int64_t i, int64_t k, bool largest) {
    int order; /* of i and k: -1, 0, 1 */
    if (xfc_dtype_is_float(a->dtype)) {
        double x = table_f(a, i), y = table_f(a, k);
        order = isnan(x) || isnan(y) ? isnan(x) - isnan(y) : (x > y) - (x < y);
    } else if (a->dtype == XFC_U64) {
        uint64_t x = (uint64_t)table_i(a, i), y = (uint64_t)table_i(a, k);
        order = (x > y) - (x < y);
    } else {
        order = (table_i(a, i) > table_i(a, k)) - (table_i(a, i) < table_i(a, k));
    }
    return order ? (order > 0) == largest : i < k;
}

static bool check(const xfc_array *x, const xfc_array *out, uint32_t axis, int64_t k, bool largest) {
    int64_t inner = 1, n = x->dim[axis];
    for (uint32_t d = axis + 1; d < x->rank; d++) inner *= x->dim[d];
    size_t bytes = xfc_dtype_bytes(x->dtype);
    for (int64_t i = 0; i < x->count; i++) { /* each element where the number of those before it says */
        int64_t row = i / (n * inner) * n * inner + i % inner, place = 0;
        for (int64_t j = 0; j < n; j++) place += comes_before(x, row + j * inner, i, largest);
        if (place >= k) continue;
        int64_t to = i / (n * inner) * k * inner + i % inner + place * inner;
        const char *have = (const char *)out[0].data + (size_t)to * bytes,
                   *want = (const char *)x->data + (size_t)i * bytes;
        if (memcmp(have, want, bytes) != 0 || table_i(&out[1], to) != i / inner % n) return false;
    }
    return true;
}

static void top_k(table *t, xfc_dtype dtype, uint32_t rank, const int64_t *size, uint32_t axis, int64_t k, kind what) {
    bool largest = test_between(&t->seed, 0, 1), of_symbol = t->dynamic && test_between(&t->seed, 0, 1);
    table_next(t, "top_k");
    xfc_graph *g = xfc_graph_new(t->ctx, "g");
    xfc_int dim[XFC_MAX_RANK],
        count = of_symbol ? xfc_int_symbol(t->ctx, "k", 0, XFC_DIM_MAX) : xfc_int_const(t->ctx, k);
    for (uint32_t d = 0; d < rank; d++) dim[d] = table_dim(t, size[d]);
    xfc_value *in[] = {xfc_graph_add_input(g, "x", xfc_type_make(dtype, rank, dim)),
                       xfc_graph_add_input(g, "k", xfc_type_make(XFC_U8, 1, &count))};
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_dims(XFC_K_SIZE, &count, 1),
                       xfc_attr_int(XFC_K_LARGEST, largest)};
    xfc_builder b = {.graph = g};
    xfc_value *v = xfc_build(&b, XFC_OP_TOP_K, in, 1, attr, XFC_COUNT(attr));
    if (!CHECK(v)) return;
    xfc_graph_set_outputs(g, (xfc_value *[]){v, &v->def->out[1]}, NULL, 2);
    xfc_array out[2], given[2] = {*append(t, dtype, rank, size), *append(t, XFC_U8, 1, &k)};
    fill(t, &given[0], what, size[axis]);
    if (CHECK(xfc_eval_graph(g, given, 2, out, &(xfc_eval_opts){.arena = t->arena}) == XFC_OK)) {
        if (!CHECK(out[0].dim[axis] == k && out[1].count == out[0].count && check(given, out, axis, k, largest)))
            fprintf(stderr, "    %s, kind %d, axis %u of %lld, k = %lld, largest = %d\n", xfc_dtype_name(dtype),
                    (int)what, (unsigned)axis, (long long)size[axis], (long long)k, (int)largest);
    } else {
        xfc_diags_print(t->ctx, stderr, false);
    }
    xfc_graph_free(g);
}

/* How many elements of its row are larger. */
static int64_t larger(const xfc_array *x, int64_t i, int64_t n) {
    int64_t row = i - i % n, count = 0;
    for (int64_t j = row; j < row + n; j++) {
        double a = table_f(x, j), b = table_f(x, i);
        count += isnan(a) || isnan(b) ? isnan(a) > isnan(b) : a > b;
    }
    return count;
}

static void keep_largest(table *t, xfc_dtype dtype, uint32_t rank, const int64_t *size, int64_t keep, kind what) {
    const xfc_attr attr = xfc_attr_int(XFC_K_KEEP, keep);
    int64_t n = size[rank - 1];
    table_next(t, "keep_largest");
    fill(t, table_operand(t, dtype, rank, size, false), what, n);
    if (!CHECK(table_run(t, XFC_OP_KEEP_LARGEST, &attr, 1)) || !table_shape(t, rank, size)) return;
    const xfc_array *x = &t->in[0];
    const size_t bytes = xfc_dtype_bytes(dtype);
    bool same = true;
    for (int64_t i = 0; i < x->count; i++) {
        const size_t at = (size_t)i * bytes;
        same &= larger(x, i, n) < keep ? !memcmp((char *)t->out.data + at, (char *)x->data + at, bytes)
                                       : table_f(&t->out, i) == -(double)INFINITY;
    }
    if (!CHECK(same))
        fprintf(stderr, "    %s, kind %d, %lld of %lld\n", xfc_dtype_name(dtype), (int)what, (long long)keep,
                (long long)n);
}

static void keep_all_kinds(table *t) {
    static const int64_t rows[] = {1, 2, 7, 8, 65, 700, 1100};
    for (int i = 0; i < 60; i++) {
        xfc_dtype type = i % 2 ? XFC_F32 : XFC_F64;
        int64_t size[3] = {table_extent(t) % 4, table_extent(t) % 4, table_extent(t) % 40};
        keep_largest(t, type, 3, size, test_between(&t->seed, 1, 50), (kind)(i / 2 % N_KINDS));
        size[0] = rows[i % 7];
        keep_largest(t, type, 1, size, test_between(&t->seed, 1, size[0] + 1), (kind)(i / 2 % N_KINDS));
    }
}

int main(void) {
    static const int64_t long_rows[] = {31, 32, 33, 64, 100, 127, 500, 700};
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (int type = 0; type < XFC_COMPUTED_COUNT; type++) {
            for (int i = 0; i < 60; i++) {
                int64_t size[3] = {table_extent(&t) % 8, table_extent(&t) % 40, table_extent(&t) % 8};
                uint32_t axis = (uint32_t)test_between(&t.seed, 0, 2);
                top_k(&t, (xfc_dtype)type, 3, size, axis, test_between(&t.seed, 0, size[axis]), (kind)(i % N_KINDS));
            }
            for (int what = 0; what < N_KINDS; what++) {
                int64_t n = long_rows[test_between(&t.seed, 0, 7)], most = test_between(&t.seed, 0, 2) ? 20 : n;
                top_k(&t, (xfc_dtype)type, 1, &n, 0, test_between(&t.seed, 0, most), (kind)what);
            }
        }
        keep_all_kinds(&t);
        table_free(&t);
    }
    return test_end();
}

/* ragged.c - seq_offsets and pad_ragged against plain C: random masks of every type and kind, blocks of every size. */
#include "tests/table/table.h"

enum { MOST = 600 };

typedef struct {
    int64_t b, s, block, counts[3];
    bool first, prefix, is_mask;
    int keep[MOST]; /* 0, 1, or -1: neither */
    int32_t cu[MOST], tok[MOST], inv[MOST], tasks[2 * MOST];
} expected;

/* Straight from the words of the op's row; sorts by taking the longest remaining sequence. */
static void expect(expected *e) {
    e->is_mask = true;
    for (int64_t i = 0; i < e->b; i++) {
        for (int64_t j = 0; j < e->s; j++) e->is_mask = e->is_mask && e->keep[i * e->s + j] >= 0;
        for (int64_t j = 1; j < e->s && e->prefix; j++)
            e->is_mask = e->is_mask && e->keep[i * e->s + j] <= e->keep[i * e->s + j - 1];
        if (e->first) e->is_mask = e->is_mask && e->s > 0 && e->keep[i * e->s] == 1;
    }
    memset(e->counts, 0, sizeof e->counts);
    if (!e->is_mask) e->counts[2] = e->b;
    for (int64_t i = 0; i <= e->b; i++) {
        e->cu[i] = (int32_t)e->counts[0];
        for (int64_t j = 0; i < e->b && j < e->s; j++) {
            bool on = e->is_mask && e->keep[i * e->s + j];
            e->inv[i * e->s + j] = on ? (int32_t)e->counts[0] : -1;
            if (on) e->tok[e->counts[0]++] = (int32_t)(i * e->s + j);
        }
    }
    for (int64_t length = e->s; length > 0; length--)
        for (int64_t i = 0; i < e->b; i++)
            for (int64_t row = 0; e->cu[i + 1] - e->cu[i] == length && row < length; row += e->block) {
                e->tasks[2 * e->counts[1]] = (int32_t)i;
                e->tasks[2 * e->counts[1]++ + 1] = (int32_t)row;
            }
}

/* kind 0: any bits; 1: prefixes; 2: first tokens always; 3: one element may be no bit. */
static void random_keep(table *t, expected *e, int kind) {
    for (int64_t i = 0; i < e->b; i++) {
        int64_t length = test_between(&t->seed, 0, e->s);
        for (int64_t j = 0; j < e->s; j++) {
            int64_t bit = kind == 1 ? j < length : test_between(&t->seed, 0, 1);
            e->keep[i * e->s + j] = kind == 2 && j == 0 ? 1 : (int)bit;
        }
    }
    if (kind == 3 && e->b * e->s > 0) e->keep[test_between(&t->seed, 0, e->b * e->s - 1)] = -1;
}

/* 0 and 1 as the type writes them; what is neither: 2, -1, 255, halves, the nearest numbers to 1, NaN, infinity. */
static void set_mask(table *t, xfc_array *a, const expected *e) {
    const double odd[] = {2, -1, 0.5, 1 + 0x1p-7, 1 - 0x1p-8, (double)NAN, (double)INFINITY, 1e-7, -0.5};
    bool is_float = xfc_dtype_is_float(a->dtype);
    for (int64_t i = 0; i < e->b * e->s; i++) {
        double bad = odd[test_between(&t->seed, 0, is_float ? 8 : 1)];
        bool minus_zero = is_float && test_between(&t->seed, 0, 3) == 0;
        if (is_float)
            xfc_element_set_f(a->dtype, a->data, i, e->keep[i] < 0 ? bad : e->keep[i] ? 1 : minus_zero ? -0.0 : 0);
        else
            xfc_element_set_i(a->dtype, a->data, i, e->keep[i] < 0 ? (int64_t)bad : e->keep[i]);
    }
}

static xfc_array array_of(xfc_arena *arena, xfc_dtype t, uint32_t rank, const int64_t *dim) {
    xfc_array a = {.dtype = t, .rank = rank, .count = 1};
    for (uint32_t d = 0; d < rank; d++) a.count *= a.dim[d] = dim[d];
    a.data = xfc_alloc(arena, (size_t)a.count * xfc_dtype_bytes(t), 64);
    return a;
}

/* The first n of `rest` elements are these, the others 0. */
static bool same(const xfc_array *a, const int32_t *want, int64_t n) {
    const int32_t *have = a->data;
    bool ok = a->dtype == XFC_I32;
    for (int64_t i = 0; i < a->count; i++) ok = ok && have[i] == (i < n ? want[i] : 0);
    return ok;
}

static void seq_offsets(table *t, xfc_dtype dtype, int kind) {
    static expected e;
    static const int64_t sizes[][2] = {{0, 0}, {0, 7}, {5, 0}, {1, 1}, {3, 4}, {8, 33}, {1, 300}, {60, 1}, {20, 20}};
    const int64_t *size = sizes[test_between(&t->seed, 0, (int64_t)XFC_COUNT(sizes) - 1)];
    e.b = size[0], e.s = size[1], e.block = test_between(&t->seed, 0, 2) ? test_between(&t->seed, 1, 9) : 64;
    e.first = test_between(&t->seed, 0, 2) == 0;
    e.prefix = test_between(&t->seed, 0, 2) == 0;
    random_keep(t, &e, dtype == XFC_BOOL && kind == 3 ? 0 : kind);
    expect(&e);
    table_next(t, "seq_offsets");
    xfc_graph *g = xfc_graph_new(t->ctx, "g");
    xfc_int dim[2] = {t->dynamic ? xfc_int_symbol(t->ctx, "b", 0, 64) : xfc_int_const(t->ctx, e.b),
                      t->dynamic ? xfc_int_symbol(t->ctx, "s", 0, 512) : xfc_int_const(t->ctx, e.s)};
    xfc_value *mask = xfc_graph_add_input(g, "mask", xfc_type_make(dtype, 2, dim));
    xfc_builder b = {.graph = g};
    xfc_ragged r;
    if (!CHECK(xfc_b_seq_offsets(&b, mask, e.first, e.prefix, e.block, &r))) return;
    xfc_value *all[] = {r.counts, r.cu, r.tok, r.inv, r.tasks};
    xfc_graph_set_outputs(g, all, NULL, 5);
    xfc_array in = array_of(t->arena, dtype, 2, (int64_t[]){e.b, e.s}), out[5];
    set_mask(t, &in, &e);
    if (CHECK(xfc_eval_graph(g, &in, 1, out, &(xfc_eval_opts){.arena = t->arena}) == XFC_OK)) {
        CHECK(out[0].count == 3 && memcmp(out[0].data, e.counts, sizeof e.counts) == 0);
        CHECK(same(&out[1], e.cu, e.b + 1));
        CHECK(same(&out[2], e.tok, e.counts[0]));
        CHECK(same(&out[3], e.inv, e.b * e.s));
        CHECK(out[4].count == 2 * e.b * ((e.s + e.block - 1) / e.block));
        CHECK(same(&out[4], e.tasks, 2 * e.counts[1]));
    } else {
        xfc_diags_print(t->ctx, stderr, false);
    }
    xfc_graph_free(g);
}

static double element(const xfc_array *a, int64_t i) {
    xfc_tensor v = view(a);
    return xfc_dtype_is_float(a->dtype) ? xfc_tensor_get_f(&v, i) : (double)xfc_tensor_get_i(&v, i);
}

static void pad_ragged(table *t, xfc_dtype dtype) {
    int64_t b = test_between(&t->seed, 0, 5), s = test_between(&t->seed, 0, 9), n = test_between(&t->seed, 0, 20),
            r = test_between(&t->seed, 0, 4), b2 = test_between(&t->seed, 0, 7);
    bool has_other = test_between(&t->seed, 0, 1), wide = test_between(&t->seed, 0, 1);
    if (!wide) r = 1;
    double fill = (double)test_between(&t->seed, 0, 1);
    xfc_attr attr = xfc_attr_float(XFC_K_FILL, fill);
    table_next(t, "pad_ragged");
    xfc_array *packed = table_operand(t, dtype, wide ? 2 : 1, (int64_t[]){n, r}, false),
              *inv = table_operand(t, XFC_I32, 2, (int64_t[]){b, s}, false), *other = NULL;
    for (int64_t i = 0; i < b * s; i++) table_set(inv, i, 0, n ? test_between(&t->seed, -n, n - 1) : i % 3 - 1);
    if (has_other) other = table_operand(t, dtype, wide ? 3 : 2, (int64_t[]){b2, s, r}, false);
    if (!CHECK(table_run(t, XFC_OP_PAD_RAGGED, &attr, 1)) || !table_shape(t, wide ? 3 : 2, (int64_t[]){b, s, r}))
        return;
    for (int64_t i = 0; i < b * s * r; i++) {
        int64_t place = i / r, row = (int64_t)element(inv, place);
        double want = row >= 0 && n > 0 ? element(packed, row * r + i % r) : fill;
        if ((row < 0 || n == 0) && other && place / s < b2) want = element(other, i);
        double have = element(&t->out, i);
        CHECK(have == want || (isnan(have) && isnan(want)));
    }
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (int type = 0; type < XFC_COMPUTED_COUNT; type++) {
            for (int i = 0; i < 120; i++) seq_offsets(&t, (xfc_dtype)type, i % 4);
            for (int i = 0; i < 60; i++) pad_ragged(&t, (xfc_dtype)type);
        }
        table_free(&t);
    }
    return test_end();
}

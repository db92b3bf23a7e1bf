/* table.h - what the tests of the op table share: one op in a graph of its own, run by the interpreter on random
 * operands.
 *
 * A case is static (every dim a constant) or dynamic (every dim a symbol; extents that are equal share one, so that
 * what must agree can be proved, while 1 stays undecided against everything: broadcasting at run time).
 */
#ifndef XFC_TABLE_H
#define XFC_TABLE_H
#include "ir/build.h"
#include "ir/eval/eval.h"
#include "tests/unit/test.h"
#include <math.h>

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena; /* of one case */
    uint64_t seed;
    bool dynamic;
    xfc_array in[32], out; /* after n_in: one operand that is not used for every symbol, so that it has a value */
    uint32_t n_in, n_named;
    int64_t named[24];
    const char *what; /* for messages */
} table;

static inline table table_new(bool dynamic) {
    return (table){.ctx = xfc_ctx_new(), .arena = xfc_arena_new(), .seed = dynamic ? 77777 : 12345, .dynamic = dynamic};
}

static inline void table_free(table *t) {
    xfc_arena_free(t->arena);
    xfc_ctx_free(t->ctx);
}

/* A new case: no operands. */
static inline void table_next(table *t, const char *what) {
    xfc_arena_reset(t->arena);
    t->n_in = t->n_named = 0;
    t->what = what;
}

static inline xfc_int table_dim(table *t, int64_t extent) {
    if (!t->dynamic) return xfc_int_const(t->ctx, extent);
    char name[32];
    bool known = false;
    for (uint32_t i = 0; i < t->n_named; i++) known = known || t->named[i] == extent;
    if (!known && t->n_named < XFC_COUNT(t->named)) t->named[t->n_named++] = extent;
    snprintf(name, sizeof name, "n%lld", (long long)extent);
    return xfc_int_symbol(t->ctx, name, 0, XFC_DIM_MAX);
}

/* 0, 1, odd, large. */
static inline int64_t table_extent(table *t) {
    static const int64_t extents[] = {0, 1, 1, 2, 3, 5, 7, 8, 33, 300};
    return extents[test_between(&t->seed, 0, 9)];
}

static inline xfc_tensor view(const xfc_array *a) {
    return (xfc_tensor){.dtype = a->dtype, .count = a->count, .data = a->data};
}

static inline double table_f(const xfc_array *a, int64_t i) {
    xfc_tensor v = view(a);
    return xfc_tensor_get_f(&v, i);
}

static inline int64_t table_i(const xfc_array *a, int64_t i) {
    xfc_tensor v = view(a);
    return xfc_tensor_get_i(&v, i);
}

/* To the nearest value of the type. */
static inline double table_round(xfc_dtype dtype, double f) {
    if (dtype == XFC_F32) return (double)(float)f;
    if (dtype == XFC_F16) return (double)xfc_half_to_float(xfc_float_to_half((float)f));
    if (dtype == XFC_BF16) return (double)xfc_bfloat_to_float(xfc_float_to_bfloat((float)f));
    return f;
}

static inline void table_set(xfc_array *a, int64_t i, double f, int64_t v) {
    switch (a->dtype) {
    case XFC_F32: ((float *)a->data)[i] = (float)f; break;
    case XFC_F64: ((double *)a->data)[i] = f; break;
    case XFC_F16: ((uint16_t *)a->data)[i] = xfc_float_to_half((float)f); break;
    case XFC_BF16: ((uint16_t *)a->data)[i] = xfc_float_to_bfloat((float)f); break;
    case XFC_I8:
    case XFC_U8:
    case XFC_CASES_I4:
    case XFC_CASES_U4:
    case XFC_CASES_PACKED: xfc_element_set_i(a->dtype, a->data, i, v); break;
    case XFC_CASES_CODE: xfc_element_set_f(a->dtype, a->data, i, f); break;
    case XFC_I16:
    case XFC_U16: ((uint16_t *)a->data)[i] = (uint16_t)v; break;
    case XFC_I32:
    case XFC_U32: ((uint32_t *)a->data)[i] = (uint32_t)v; break;
    case XFC_I64:
    case XFC_U64: ((uint64_t *)a->data)[i] = (uint64_t)v; break;
    case XFC_BOOL: ((uint8_t *)a->data)[i] = v & 1; break;
    case XFC_DTYPE_COUNT: break;
    }
}

static inline xfc_array *append(table *t, xfc_dtype dtype, uint32_t rank, const int64_t *dim) {
    xfc_array *a = &t->in[t->n_in++];
    *a = (xfc_array){.dtype = dtype, .rank = rank};
    for (uint32_t d = 0; d < rank; d++) a->dim[d] = dim[d];
    size_t bytes;
    if (!xfc_tensor_count(dtype, rank, dim, &a->count, &bytes)) abort();
    a->data = xfc_alloc(t->arena, bytes, 64);
    return a;
}

/* Appends an operand with random elements: floats in [-4, 4], a fifth of them special values if asked; any integers. */
static inline xfc_array *table_operand(table *t, xfc_dtype dtype, uint32_t rank, const int64_t *dim, bool special) {
    static const double specials[] = {
        0.0, -0.0, (double)INFINITY, -(double)INFINITY, (double)NAN, 1.0, -1.0, 65504.0, 1e-7, 0.5, 2.5, -1.5};
    xfc_array *a = append(t, dtype, rank, dim);
    for (int64_t i = 0; i < a->count; i++) {
        uint64_t r = test_random(&t->seed);
        double f = (double)(int64_t)(r >> 11) * 0x1p-50 - 4;
        int64_t v = (int64_t)r;
        if (r % 3 == 0) v = (int64_t)(r >> 8) % 7 - 3;
        if (special && r % 5 == 0) f = specials[(r >> 8) % 12];
        table_set(a, i, f, v);
    }
    return a;
}

/* Appends an operand with integer values in lo..hi. */
static inline xfc_array *table_ints(table *t, xfc_dtype dtype, uint32_t rank, const int64_t *dim, int64_t lo,
                                    int64_t hi) {
    xfc_array *a = append(t, dtype, rank, dim);
    for (int64_t i = 0; i < a->count; i++) {
        int64_t v = test_between(&t->seed, lo, hi);
        table_set(a, i, (double)v, v);
    }
    return a;
}

/* Builds the op over the operands and runs it into t->out; false: failed, recorded. */
static inline bool table_run(table *t, xfc_opcode code, const xfc_attr *attr, uint32_t n_attr) {
    xfc_graph *g = xfc_graph_new(t->ctx, "case");
    xfc_value *in[8];
    for (uint32_t i = 0; i < t->n_in; i++) {
        xfc_int dim[XFC_MAX_RANK];
        for (uint32_t d = 0; d < t->in[i].rank; d++) dim[d] = table_dim(t, t->in[i].dim[d]);
        in[i] = xfc_graph_add_input(g, NULL, xfc_type_make(t->in[i].dtype, t->in[i].rank, dim));
    }
    uint32_t n_in = t->n_in;
    for (uint32_t i = 0; i < t->n_named; i++) {
        xfc_int dim = table_dim(t, t->named[i]);
        append(t, XFC_U8, 1, &t->named[i]);
        xfc_graph_add_input(g, NULL, xfc_type_make(XFC_U8, 1, &dim));
    }
    xfc_builder b = {.graph = g};
    xfc_value *v = xfc_build(&b, code, in, n_in, attr, n_attr);
    bool ok = v != NULL;
    if (v) {
        xfc_graph_set_outputs(g, &v, (const char *[]){"y"}, 1);
        ok = xfc_eval_graph(g, t->in, t->n_in, &t->out, &(xfc_eval_opts){.arena = t->arena}) == XFC_OK;
    }
    t->n_in = n_in;
    xfc_graph_free(g);
    if (!ok) t->out = (xfc_array){0};
    return ok;
}

/* Row-major number of an index. */
static inline int64_t table_at(const xfc_array *a, const int64_t *index) {
    int64_t at = 0;
    for (uint32_t d = 0; d < a->rank; d++) at = at * a->dim[d] + index[d];
    return at;
}

/* The first index; false for an empty tensor. */
static inline bool table_first(const xfc_array *a, int64_t *index) {
    for (uint32_t d = 0; d < a->rank; d++) index[d] = 0;
    return a->count > 0;
}

static inline bool table_step(const xfc_array *a, int64_t *index) {
    for (uint32_t d = a->rank; d-- > 0;) {
        if (++index[d] < a->dim[d]) return true;
        index[d] = 0;
    }
    return false;
}

static inline double ulp_of(xfc_dtype dtype, double x) {
    int e, bits = dtype == XFC_F32 ? 24 : dtype == XFC_F64 ? 53 : dtype == XFC_F16 ? 11 : 8;
    int least = dtype == XFC_F16 ? -13 : dtype == XFC_F64 ? -1021 : -125;
    frexp(x, &e);
    return ldexp(1, (e < least ? least : e) - bits);
}

/* One element of out against the reference: equal, or within so many ulps of its type plus `absolute`. */
static inline bool table_same(table *t, int64_t at, double want, double ulps, double absolute) {
    double got = table_f(&t->out, at), rounded = table_round(t->out.dtype, want);
    bool ok = isnan(want) ? isnan(got) : got == rounded || got == want;
    if (!ok && isfinite(got) && isfinite(want)) ok = fabs(got - want) <= ulps * ulp_of(t->out.dtype, want) + absolute;
    if (!test_check(ok, __FILE__, __LINE__, t->what)) {
        fprintf(stderr, "    %s, %s: element %lld is %.9g, not %.9g\n", t->dynamic ? "dynamic" : "static",
                xfc_dtype_name(t->out.dtype), (long long)at, got, want);
    }
    return ok;
}

static inline bool table_same_int(table *t, int64_t at, int64_t want) {
    xfc_array one = {.dtype = t->out.dtype, .count = 1, .data = &(int64_t){0}};
    table_set(&one, 0, 0, want);
    int64_t got = table_i(&t->out, at), expected = xfc_dtype_is_code(t->out.dtype) ? want : table_i(&one, 0);
    if (test_check(got == expected, __FILE__, __LINE__, t->what)) return true;
    fprintf(stderr, "    %s, %s: element %lld is %lld, not %lld\n", t->dynamic ? "dynamic" : "static",
            xfc_dtype_name(t->out.dtype), (long long)at, (long long)got, (long long)expected);
    return false;
}

static inline bool table_shape(table *t, uint32_t rank, const int64_t *dim) {
    bool ok = t->out.rank == rank;
    for (uint32_t d = 0; ok && d < rank; d++) ok = t->out.dim[d] == dim[d];
    return test_check(ok, __FILE__, __LINE__, t->what);
}

static inline bool table_same_bits(table *t, int64_t at, const xfc_array *from, int64_t from_at) {
    size_t n = xfc_dtype_bytes(t->out.dtype);
    const char *a = (const char *)t->out.data + (size_t)at * n, *b = (const char *)from->data + (size_t)from_at * n;
    if (test_check(from->dtype == t->out.dtype && memcmp(a, b, n) == 0, __FILE__, __LINE__, t->what)) return true;
    fprintf(stderr, "    %s: element %lld is not element %lld of the operand\n", t->dynamic ? "dynamic" : "static",
            (long long)at, (long long)from_at);
    return false;
}

#endif

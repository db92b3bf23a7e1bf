/* wrong.c - values in the data that a model cannot be run on, and corners with one right answer.
 *
 * Each case is a graph in text with the inputs in the code; it is compiled at -O0 and -O2 and run on every ISA. An
 * index outside its range must end the run with XF_E_RANGE and name the node, and leave the context able to run;
 * integers divide by zero and overflow as scalar.def says; sums and products over nothing have their neutral
 * element; NaN and infinity go through.
 */
#include "passes/pass.h"
#include "tests/diff/diff.h"
#include "tests/unit/test.h"
#include <dlfcn.h>
#include <math.h>

typedef struct {
    const xf_api *xf;
    xf_model *model;
    xf_ctx *ctx;
    void *so;
} loaded;

static xfc_ctx *ctx;

static bool load(loaded *l, const compiled *c, const char *isa) {
    *l = (loaded){0};
    l->xf = compiled_load(c, &l->so);
    if (!CHECK(l->xf != NULL)) return false;
    xf_open_opts open = {.struct_size = sizeof open, .isa = isa};
    return CHECK(l->xf->open(&open, &l->model) == XF_OK) && CHECK(l->xf->ctx_create(l->model, NULL, &l->ctx) == XF_OK);
}

static void unload(loaded *l) {
    l->xf->ctx_destroy(l->ctx);
    l->xf->release(l->model);
    dlclose(l->so);
}

typedef struct {
    xfc_dtype dtype;
    int64_t dim[4];
    uint32_t rank;
    const void *data;
} operand;

static void fill(xf_tensor *t, operand *o) {
    uint32_t d = xfc_dtype_dlpack(o->dtype);
    *t = (xf_tensor){.data = (void *)(uintptr_t)o->data,
                     .ndim = (int32_t)o->rank,
                     .dtype = {d & 255, d >> 8 & 255, (uint16_t)(d >> 16)},
                     .shape = o->dim};
}

/* Runs once; the bytes of output 0 are compared when the run should succeed, else the message must hold `node`. */
static void run(loaded *l, operand *in, uint32_t n_in, const void *want, size_t bytes, const char *node,
                const char *what) {
    xf_tensor tensors[4], out[1] = {{0}};
    for (uint32_t i = 0; i < n_in; i++) fill(&tensors[i], &in[i]);
    xf_status status = l->xf->run(l->ctx, tensors, n_in, out, 1);
    bool ok = want ? status == XF_OK && memcmp(out[0].data, want, bytes) == 0
                   : status == XF_E_RANGE && strstr(l->xf->last_error(l->ctx), node) != NULL;
    if (!test_check(ok, __FILE__, __LINE__, what))
        fprintf(stderr, "    status %d: %s\n", status, l->xf->last_error(l->ctx));
}

typedef void each_fn(loaded *, const char *what);
static void compile_and(const char *text, each_fn *check, const char *what) {
    static const char *const isas[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    xfc_graph *g = xfc_parse_graph(ctx, text, strlen(text), what);
    if (!CHECK(g != NULL)) xfc_diags_print(ctx, stderr, false);
    for (int level = 0; g && level < 3; level += 2) {
        compiled c;
        if (!CHECK(compiled_make(&c, g, (diff_how){.level = level, .isas = 7}))) continue;
        for (int i = 0; i < 3; i++) {
            loaded l;
            if (!(diff_cpu_isas() >> i & 1) || !load(&l, &c, isas[i])) continue;
            check(&l, what);
            unload(&l);
        }
        compiled_free(&c);
    }
    xfc_graph_free(g);
}

/* --- indices --- */

static void check_gather(loaded *l, const char *what) {
    static const float data[] = {0, 1, 2, 3, 4, 5}, first_last[] = {0, 1, 4, 5, 4, 5};
    static const int64_t good[] = {0, -1, 2}, above[] = {0, 3, 1}, below[] = {-4, 0, 0}, far[] = {0, 0, INT64_MAX};
    const int64_t *const bad[] = {above, below, far};
    operand in[2] = {{XFC_F32, {3, 2}, 2, data}, {XFC_I64, {3}, 1, good}};
    run(l, in, 2, first_last, sizeof first_last, NULL, what);
    for (int i = 0; i < 3; i++) {
        in[1].data = bad[i];
        run(l, in, 2, NULL, 0, "embed/Gather", what);
        in[1].data = good;
        run(l, in, 2, first_last, sizeof first_last, NULL, "the context works after an error");
    }
    in[0].dim[0] = 0; /* every index is outside of nothing */
    run(l, in, 2, NULL, 0, "embed/Gather", what);
    in[1].dim[0] = 0;
    run(l, in, 2, first_last, 0, NULL, "no index at all");
}

static void check_gather_nd(loaded *l, const char *what) {
    static const int32_t data[] = {10, 11, 12, 20, 21, 22}, want[] = {22, 10};
    static const int32_t good[] = {1, -1, -2, 0}, bad[] = {1, 3, 0, 0};
    operand in[2] = {{XFC_I32, {2, 3}, 2, data}, {XFC_I32, {2, 2}, 2, good}};
    run(l, in, 2, want, sizeof want, NULL, what);
    in[1].data = bad;
    run(l, in, 2, NULL, 0, "pick", what);
}

/* The index reaches a gather through arithmetic, in a kernel of several ops. */
static void check_fused(loaded *l, const char *what) {
    static const float data[] = {1, 2, 3, 4}, want[] = {-8, -2};
    static const int64_t good[] = {3, 0}, bad[] = {3, 4};
    operand in[2] = {{XFC_F32, {4}, 1, data}, {XFC_I64, {2}, 1, good}};
    run(l, in, 2, want, sizeof want, NULL, what);
    in[1].data = bad;
    run(l, in, 2, NULL, 0, "lookup", what);
}

/* Stores through an index: nothing may be written outside, and the last of equal ones stays. */
static void check_scatter_nd(loaded *l, const char *what) {
    static const float data[] = {0, 1, 2, 3, 4, 5}, updates[] = {10, 11, 20, 21, 30, 31};
    static const float want[] = {0, 1, 30, 31, 20, 21};
    static const int64_t good[] = {1, -1, 1}, above[] = {1, 3, 1}, below[] = {1, -4, 1}, far[] = {1, 1, INT64_MIN};
    const int64_t *const bad[] = {above, below, far};
    operand in[3] = {{XFC_F32, {3, 2}, 2, data}, {XFC_I64, {3, 1}, 2, good}, {XFC_F32, {3, 2}, 2, updates}};
    run(l, in, 3, want, sizeof want, NULL, what);
    for (int i = 0; i < 3; i++) {
        in[1].data = bad[i];
        run(l, in, 3, NULL, 0, "cache/ScatterND", what);
        in[1].data = good;
        run(l, in, 3, want, sizeof want, NULL, "the context works after an error");
    }
    in[0].dim[0] = 0; /* nothing to store to */
    run(l, in, 3, NULL, 0, "cache/ScatterND", what);
    in[1].dim[0] = in[2].dim[0] = 0;
    run(l, in, 3, want, 0, NULL, "nothing to store");
    in[0].dim[0] = 3;
    run(l, in, 3, data, sizeof data, NULL, "no update at all");
}

static void check_scatter_elements(loaded *l, const char *what) {
    static const int16_t data[] = {1, 2, 3, 4, 5, 6}, updates[] = {100, 10, 1000}, want[] = {1, 112, 3, 4, 5, 6};
    static const int32_t good[] = {1, -2, 0}, bad[] = {1, 1, 3};
    operand in[3] = {{XFC_I16, {2, 3}, 2, data}, {XFC_I32, {1, 2}, 2, good}, {XFC_I16, {1, 2}, 2, updates}};
    run(l, in, 3, want, sizeof want, NULL, what);
    in[1].data = bad + 1;
    run(l, in, 3, NULL, 0, "add/ScatterElements", what);
    in[1].dim[0] = in[2].dim[0] = 3; /* more rows than data has: the shapes do not fit */
    in[1].dim[1] = in[2].dim[1] = 1;
    xf_tensor t[3], out[1] = {{0}};
    for (int i = 0; i < 3; i++) fill(&t[i], &in[i]);
    CHECK(l->xf->run(l->ctx, t, 3, out, 1) == XF_E_SHAPE);
}

static void indices(void) {
    compile_and("graph @g[n, k](%x: f32[n, 2], %i: i64[k, 1], %u: f32[k, 2]) -> (f32[n, 2] \"y\") stage imported {\n"
                "  %y = scatter_nd %x, %i, %u : f32[n, 2] @ \"cache/ScatterND\" \"ScatterND\" 18\n  return %y\n}\n",
                check_scatter_nd, "scatter_nd");
    compile_and(
        "graph @g[n, m, k, l](%x: i16[n, m], %i: i32[k, l], %u: i16[k, l]) -> (i16[n, m] \"y\") stage imported {\n"
        "  %y = scatter_elements %x, %i, %u {axis = 1, reduction = 1} : i16[n, m] @ \"add/ScatterElements\" "
        "\"ScatterElements\" 18\n  return %y\n}\n",
        check_scatter_elements, "scatter_elements");
    compile_and("graph @g[n, k](%x: f32[n, 2], %i: i64[k]) -> (f32[k, 2] \"y\") stage imported {\n"
                "  %y = gather %x, %i {axis = 0} : f32[k, 2] @ \"embed/Gather\" \"Gather\" 17\n  return %y\n}\n",
                check_gather, "gather");
    compile_and("graph @g[n, m, k](%x: i32[n, m], %i: i32[k, 2]) -> (i32[k] \"y\") stage imported {\n"
                "  %y = gather_nd %x, %i {batch_dims = 0} : i32[k] @ \"pick\" \"GatherND\" 17\n  return %y\n}\n",
                check_gather_nd, "gather_nd");
    compile_and("graph @g[n, k](%x: f32[n], %i: i64[k]) -> (f32[k] \"y\") stage imported {\n"
                "  %d = add %x, %x : f32[n]\n  %e = neg %d : f32[n]\n"
                "  %y = gather %e, %i {axis = 0} : f32[k] @ \"lookup\" \"Gather\" 17\n  return %y\n}\n",
                check_fused, "gather of a fused value");
}

/* --- sizes that come from data --- */

/* The first c of x plus y, summed: c and the size of y meet. */
static void check_found(loaded *l, const char *what) {
    static const float x[] = {1, 2, 3, 4, 5}, y[] = {10, 20, 30};
    static const int64_t counts[] = {3, 1, 2, 0};
    static const struct {
        int64_t m;
        float want;
    } cases[] = {{3, 66}, {3, 63}, {3, -1}, {1, 0}, {1, 23}};
    static const int count_of[] = {0, 1, 2, 3, 2};
    for (int i = 0; i < 5; i++) {
        operand in[3] = {{XFC_F32, {5}, 1, x}, {XFC_F32, {cases[i].m}, 1, y}, {XFC_I64, {1}, 1, &counts[count_of[i]]}};
        xf_tensor t[3], out[1] = {{0}};
        if (cases[i].want >= 0) {
            run(l, in, 3, &cases[i].want, sizeof(float), NULL, what);
            continue;
        }
        for (int k = 0; k < 3; k++) fill(&t[k], &in[k]);
        CHECK(l->xf->run(l->ctx, t, 3, out, 1) == XF_E_SHAPE);
        CHECK_CONTAINS(l->xf->last_error(l->ctx), "kept/Add Add: 2 against 3, and neither is 1");
    }
}

static void found(void) {
    compile_and("graph @g[n, m](%x: f32[n], %y: f32[m], %c: i64[1]) -> (f32[] \"z\") stage imported {\n"
                "  define T in 0..n = %c\n  require T == m or T == 1 or m == 1 @ \"kept/Add\" \"Add\" 17\n"
                "  %t = slice %x {start = [0], size = [T], step = [1]}\n"
                "  %s = add %t, %y\n  %z = reduce_sum %s {axes = [0]}\n  return %z\n}\n",
                check_found, "sizes that come from data");
}

/* --- integers --- */

static void check_div(loaded *l, const char *what) {
    static const int8_t a[] = {7, -7, -128, 5, -128, 0}, b[] = {2, 2, -1, 0, 0, 0}, want[] = {3, -3, -128, 0, 0, 0};
    operand in[2] = {{XFC_I8, {6}, 1, a}, {XFC_I8, {6}, 1, b}};
    run(l, in, 2, want, sizeof want, NULL, what);
}

static void check_mod(loaded *l, const char *what) {
    static const int64_t a[] = {7, -7, 7, -7, INT64_MIN, 5}, b[] = {3, 3, -3, -3, -1, 0}, want[] = {1, 2, -2, -1, 0, 0};
    operand in[2] = {{XFC_I64, {6}, 1, a}, {XFC_I64, {6}, 1, b}};
    run(l, in, 2, want, sizeof want, NULL, what);
}

static void check_u64(loaded *l, const char *what) {
    static const uint64_t a[] = {UINT64_MAX, 1, UINT64_C(1) << 63}, b[] = {1, UINT64_MAX, 5};
    static const uint8_t want[] = {0, 1, 0};
    operand in[2] = {{XFC_U64, {3}, 1, a}, {XFC_U64, {3}, 1, b}};
    run(l, in, 2, want, sizeof want, NULL, what);
}

static void integers(void) {
    compile_and("graph @g[n](%a: i8[n], %b: i8[n]) -> (i8[n] \"y\") stage imported {\n"
                "  %y = div %a, %b : i8[n]\n  return %y\n}\n",
                check_div, "i8 division by zero, and -128 / -1");
    compile_and("graph @g[n](%a: i64[n], %b: i64[n]) -> (i64[n] \"y\") stage imported {\n"
                "  %y = mod %a, %b : i64[n]\n  return %y\n}\n",
                check_mod, "i64 modulus");
    compile_and("graph @g[n](%a: u64[n], %b: u64[n]) -> (bool[n] \"y\") stage imported {\n"
                "  %y = lt %a, %b : bool[n]\n  return %y\n}\n",
                check_u64, "u64 comparison");
}

/* --- nothing, NaN, rounding once --- */

static void check_empty_product(loaded *l, const char *what) {
    static const float none[1] = {0}, zeros[6] = {0};
    operand in[2] = {{XFC_F32, {2, 0}, 2, none}, {XFC_F32, {0, 3}, 2, none}};
    run(l, in, 2, zeros, sizeof zeros, NULL, what);
}

static void check_empty_max(loaded *l, const char *what) {
    static const float none[1] = {0};
    const float want[2] = {-INFINITY, -INFINITY};
    operand in[1] = {{XFC_F32, {2, 0}, 2, none}};
    run(l, in, 1, want, sizeof want, NULL, what);
}

static void check_nan_max(loaded *l, const char *what) {
    static float x[40], out[1];
    for (int i = 0; i < 40; i++) x[i] = (float)i;
    for (int at = 0; at < 40; at += 13) {
        xf_tensor t, y[1] = {{0}};
        operand in = {XFC_F32, {1, 40}, 2, x};
        x[at] = NAN;
        fill(&t, &in);
        CHECK(l->xf->run(l->ctx, &t, 1, y, 1) == XF_OK);
        memcpy(out, y[0].data, sizeof out);
        test_check(isnan(out[0]), __FILE__, __LINE__, what);
        x[at] = (float)at;
    }
}

/* 4096 ones in f16: sums of f16 would stop at 2048. */
static void check_half_sum(loaded *l, const char *what) {
    static uint16_t x[4096];
    for (int i = 0; i < 4096; i++) x[i] = xfc_float_to_half(1);
    const uint16_t want = xfc_float_to_half(4096);
    operand in[1] = {{XFC_F16, {1, 4096}, 2, x}};
    run(l, in, 1, &want, sizeof want, NULL, what);
}

static void corners(void) {
    compile_and("graph @g[m, k, n](%a: f32[m, k], %b: f32[k, n]) -> (f32[m, n] \"y\") stage imported {\n"
                "  %y = matmul %a, %b : f32[m, n]\n  return %y\n}\n",
                check_empty_product, "matmul over nothing");
    compile_and("graph @g[m, k](%a: f32[m, k]) -> (f32[m] \"y\") stage imported {\n"
                "  %y = reduce_max %a {axes = [1], keepdims = 0} : f32[m]\n  return %y\n}\n",
                check_empty_max, "maximum of nothing");
    compile_and("graph @g[m, k](%a: f32[m, k]) -> (f32[m] \"y\") stage imported {\n"
                "  %y = reduce_max %a {axes = [1], keepdims = 0} : f32[m]\n  return %y\n}\n",
                check_nan_max, "maximum with a NaN");
    compile_and("graph @g[m, k](%a: f16[m, k]) -> (f16[m] \"y\") stage imported {\n"
                "  %y = reduce_sum %a {axes = [1], keepdims = 0} : f16[m]\n  return %y\n}\n",
                check_half_sum, "sum of many f16");
}

int main(void) {
    ctx = xfc_ctx_new();
    indices();
    found();
    integers();
    corners();
    xfc_ctx_free(ctx);
    return test_end();
}

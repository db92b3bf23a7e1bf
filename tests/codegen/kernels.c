/* kernels.c - whole kernels as text, compiled for every CPU level, against the interpreter.
 *
 * What random single nests (diff.c) do not reach: several steps sharing temporaries in registers and in scratch,
 * kernel lets, scan axes, a nest that updates a buffer in place, indices out of range, tables without rows, and sizes
 * 0, 1, odd and larger.
 */
#include "backends/llvm/llvm.h"
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "runtime/include/xfc/abi.h"
#include "tests/codegen/load.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name, *text;
    bool out_of_range;
} test_case;

static const test_case cases[] = {
    {"rows",
     "graph @rows[b in 0..64, s in 0..512](%x: f32[b, s], %g: f32[s], %h: f32[s]) -> (f32[b, s] \"o1\") stage "
     "scheduled {\n"
     "  %y = kernel \"rows\" %x, %g, %h : f32[b, s] {\n"
     "    axis t in b threads\n"
     "    temp $0: f32[s]\n    temp $1: f32[]\n    temp $2: f32[]\n"
     "    nest c in s reduce vector { a = load f32 %x[t, c]\n store $0[c] = a\n store add $1[] = a\n }\n"
     "    nest c in s reduce vector { a = load f32 $0[c]\n m = load f32 $1[]\n n = index s\n f = cast f32 n\n u = div "
     "f32 m, f\n"
     "      d = sub f32 a, u\n q = mul f32 d, d\n store $0[c] = d\n store add $2[] = q\n }\n"
     "    nest c in s vector { d = load f32 $0[c]\n v = load f32 $2[]\n n = index s\n f = cast f32 n\n u = div f32 v, "
     "f\n"
     "      e = const f32 1.0e-5\n w = add f32 u, e\n r = sqrt f32 w\n z = div f32 d, r\n g = load f32 %g[c]\n h = "
     "load f32 %h[c]\n"
     "      o = fma f32 z, g, h\n store %y[t, c] = o\n }\n"
     "  }\n  return %y\n}\n",
     false},
    {"softmax",
     "graph @softmax[b in 0..64, s in 1..512](%x: f16[b, s]) -> (f16[b, s] \"o1\") stage scheduled {\n"
     "  %y = kernel \"rows\" %x : f16[b, s] {\n"
     "    axis t in b threads\n"
     "    temp $0: f32[]\n    temp $1: f32[]\n    temp $2: f32[s + 3]\n"
     "    nest c in s reduce vector { a = load f16 %x[t, c]\n f = cast f32 a\n store max $0[] = f\n }\n"
     "    nest c in s reduce vector { a = load f16 %x[t, c]\n f = cast f32 a\n m = load f32 $0[]\n d = sub f32 f, m\n "
     "e = exp f32 d\n"
     "      store $2[c + 3] = e\n store add $1[] = e\n }\n"
     "    nest c in s vector { e = load f32 $2[c + 3]\n n = load f32 $1[]\n q = div f32 e, n\n h = cast f16 q\n store "
     "%y[t, c] = h\n }\n"
     "  }\n  return %y\n}\n",
     false},
    {"scan",
     "graph @scan[b in 0..64, s in 0..512](%x: i32[b, s], %p: bool[b, s]) -> (i32[b, s] \"o1\", i32[b] \"o2\", bool[b] "
     "\"o3\") stage scheduled {\n"
     "  %y = kernel \"scan\" %x : i32[b, s] {\n"
     "    nest i in b vector, j in s scan { z = const i64 0\n at = index j\n some = gt bool at, z\n p = load i32 %y[i, "
     "j - 1] if some\n"
     "      a = load i32 %x[i, j]\n r = add i32 a, p\n store %y[i, j] = r\n }\n"
     "  }\n"
     "  %m, %all = kernel \"reduce\" %x, %p : i32[b], bool[b] {\n"
     "    axis t in b threads\n"
     "    nest j in s reduce vector { a = load i32 %x[t, j]\n p = load bool %p[t, j]\n store max %m[t] = a\n store and "
     "%all[t] = p\n }\n"
     "  }\n  return %y, %m, %all\n}\n",
     false},
    {"columns",
     "graph @columns[b in 0..64, s in 0..512](%x: f32[b, s], %w: f32[s, 37]) -> (f32[b, 37] \"o1\", f64[s] \"o2\") "
     "stage scheduled {\n"
     "  %y = kernel \"reduce\" %x, %w : f32[b, 37] {\n"
     "    axis t in b threads\n"
     "    nest c in 37 vector, k in s reduce { a = load f32 %x[t, k]\n w = load f32 %w[k, c]\n p = mul f32 a, w\n "
     "store add %y[t, c] = p\n }\n"
     "  }\n"
     "  %z = kernel \"reduce\" %x : f64[s] {\n"
     "    nest c in s vector, k in b reduce { a = load f32 %x[k, c]\n d = cast f64 a\n store min %z[c] = d\n }\n"
     "  }\n  return %y, %z\n}\n",
     false},
    {"heads",
     "graph @heads[b in 0..64, s in 0..512](%x: f32[b, s, 96]) -> (f32[b, 6, s, 16] \"o1\") stage scheduled {\n"
     "  %y = kernel \"map\" %x : f32[b, 6, s, 16] {\n"
     "    axis t in b * s threads\n"
     "    let i = t floordiv s in 0..b - 1\n    let j = t mod s in 0..s - 1\n"
     "    nest c in 96 vector { a = load f32 %x[i, j, c]\n store %y[i, c floordiv 16, j, c mod 16] = a\n }\n"
     "  }\n  return %y\n}\n",
     false},
    {"range",
     "graph @range[b in 0..64, s in 0..512](%ids: i32[b], %w: f32[7, s]) -> (f32[b, s] \"o1\") stage scheduled {\n"
     "  %y = kernel \"map\" %ids, %w : f32[b, s] {\n"
     "    nest i in b, c in s vector { n = load i32 %ids[i]\n o = const i32 9\n p = add i32 n, o\n m = let k = p in "
     "0..6 wrap\n a = load f32 %w[k, c]\n store %y[i, c] = a\n }\n"
     "  }\n  return %y\n}\n",
     true},
    {"empty",
     "graph @empty[b in 0..64, s in 0..512](%ids: i64[b], %w: f32[s, 5]) -> (f32[b, 5] \"o1\") stage scheduled {\n"
     "  %y = kernel \"map\" %ids, %w : f32[b, 5] {\n"
     "    nest i in b vector, c in 5 { n = load i64 %ids[i]\n z = const i64 0\n o = mul i64 n, z\n m = let k = o in "
     "0..s - 1 wrap\n a = load f32 %w[k, c]\n store %y[i, c] = a\n }\n"
     "  }\n  return %y\n}\n",
     false},
};

static const int64_t sizes[][2] = {{3, 1}, {0, 9}, {1, 16}, {5, 33}, {17, 131}, {40, 100}};

typedef struct {
    const xfc_int *symbol;
    uint32_t n;
    const int64_t *value;
} binding;
static bool lookup(void *user, uint32_t id, int64_t *out) {
    const binding *b = user;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->symbol[i].id == id) return *out = b->value[i], true;
    return false;
}

static int64_t evaluate(xfc_ctx *ctx, xfc_int x, binding *b) {
    int64_t v;
    if (!xfc_int_evaluate(ctx, x, lookup, b, &v)) abort();
    return v;
}

static xfc_array make_array(xfc_ctx *ctx, const xfc_type *t, binding *b, xfc_arena *arena) {
    xfc_array a = {.dtype = t->dtype, .rank = t->rank, .count = 1};
    for (uint32_t d = 0; d < t->rank; d++) a.count *= a.dim[d] = evaluate(ctx, t->dim[d], b);
    a.data = xfc_alloc(arena, (size_t)a.count * xfc_dtype_bytes(t->dtype), 64);
    return a;
}

static void fill(xfc_array *a) {
    for (int64_t i = 0; i < a->count; i++) {
        int32_t v = (int32_t)((uint64_t)i * 2654435761u >> 7 & 63) - 31;
        if (a->dtype == XFC_F32)
            ((float *)a->data)[i] = (float)v / 8;
        else if (a->dtype == XFC_F16)
            ((uint16_t *)a->data)[i] = xfc_float_to_half((float)v / 8);
        else if (a->dtype == XFC_I32)
            ((int32_t *)a->data)[i] = v % 3;
        else if (a->dtype == XFC_I64)
            ((int64_t *)a->data)[i] = v % 3;
        else
            ((uint8_t *)a->data)[i] = v > -31;
    }
}

static double element(const xfc_array *a, int64_t i) {
    if (a->dtype == XFC_F32) return (double)((const float *)a->data)[i];
    if (a->dtype == XFC_F64) return ((const double *)a->data)[i];
    if (a->dtype == XFC_F16) return (double)xfc_half_to_float(((const uint16_t *)a->data)[i]);
    return a->dtype == XFC_I32 ? ((const int32_t *)a->data)[i] : ((const uint8_t *)a->data)[i];
}

static bool same(const xfc_array *got, const xfc_array *want) {
    double eps = got->dtype == XFC_F16 ? 2e-3 : xfc_dtype_is_float(got->dtype) ? 2e-5 : 0;
    for (int64_t i = 0; i < want->count; i++) {
        double a = element(got, i), b = element(want, i);
        if (a == b || fabs(a - b) <= eps * (1 + fabs(b)) || (isnan(a) && isnan(b))) continue;
        printf("element %lld: %.9g, interpreter %.9g\n", (long long)i, a, b);
        return false;
    }
    return true;
}

typedef struct {
    xfc_ctx *ctx;
    xfc_graph *graph;
    xfc_int symbol[2];
    void *library;
    xfc_array *array;
} program;

/* Every kernel of the graph in order, each task in a call of its own, from the last to the first, on one of two
 * workers. */
static int32_t run_program(program *p, binding *b, xfc_arena *arena) {
    int32_t error = 0, number = 0;
    xfc_foreach_op(op, p->graph) {
        if (op->code != XFC_OP_KERNEL) continue;
        char name[32];
        void *buffers[16];
        int64_t tasks = 1;
        uint32_t n = 0;
        snprintf(name, sizeof name, "kernel_%d", number);
        for (uint32_t i = 0; i < op->n_in; i++) buffers[n++] = p->array[op->in[i].value->id].data;
        for (uint32_t i = 0; i < op->n_out; i++) {
            p->array[op->out[i].id] = make_array(p->ctx, &op->out[i].type, b, arena);
            buffers[n++] = p->array[op->out[i].id].data;
        }
        int64_t bytes = evaluate(p->ctx, xfc_kernel_scratch_bytes(p->ctx, op->kernel), b);
        xf_frame frame = {
            .values = b->value, .buffers = buffers, .error = &error, .step = number, .scratch_stride = bytes};
        frame.scratch = xfc_alloc(arena, (size_t)bytes * 2, 64);
        for (uint32_t i = 0; i < op->kernel->n_axes; i++) tasks *= evaluate(p->ctx, op->kernel->axes[i].extent, b);
        xf_kernel_fn fn = test_function(p->library, name);
        for (int64_t i = tasks; i-- > 0;)
            if (fn(&frame, i, i + 1, (int32_t)(i & 1)) != 0) return -1;
        number++;
    }
    return error;
}

static int check_sizes(program *p, const test_case *t, const char *isa, const int64_t *size) {
    xfc_ctx *ctx = p->ctx;
    binding b = {p->symbol, 2, size};
    xfc_arena *arena = xfc_arena_new();
    xfc_array in[4], want[4];
    p->array = xfc_new_array(arena, xfc_array, p->graph->next_value_id);
    for (uint32_t i = 0; i < p->graph->n_in; i++) {
        in[i] = make_array(ctx, &p->graph->in[i]->type, &b, arena);
        fill(&in[i]);
        p->array[p->graph->in[i]->id] = in[i];
    }
    int32_t error = run_program(p, &b, arena);
    bool expect_error = t->out_of_range && size[0] > 0 && size[1] > 0, bad = false;
    uint32_t errors = ctx->n_errors;
    xfc_status s = xfc_eval_graph(p->graph, in, p->graph->n_in, want, &(xfc_eval_opts){.arena = arena});
    if ((error != 0) != (s != XFC_OK) || (error && error != 8) || (expect_error && !error)) {
        printf("error word %d, interpreter %d\n", error, (int)s);
        bad = true;
    }
    if (s != XFC_OK) ctx->n_errors = errors;
    for (uint32_t i = 0; s == XFC_OK && !bad && i < p->graph->n_out; i++)
        bad = !same(&p->array[p->graph->last->in[i].value->id], &want[i]);
    if (bad) printf("FAIL %s, %s, b = %lld, s = %lld\n", t->name, isa, (long long)size[0], (long long)size[1]);
    xfc_arena_free(arena);
    return bad;
}

static xfc_status compile(program *p, const char *isa, xfc_blob *object) {
    xfc_emit e;
    xfc_target target;
    char name[32];
    int number = 0;
    XFC_TRY(xfc_backend_find("cpu")->configure(p->ctx, &target, isa));
    XFC_TRY(xfc_emit_begin(&e, p->ctx, &target, 2, "test"));
    xfc_emit_symbols(&e, p->symbol, 2);
    xfc_foreach_op(op, p->graph) {
        LLVMValueRef fn;
        if (op->code != XFC_OP_KERNEL) continue;
        snprintf(name, sizeof name, "kernel_%d", number++);
        XFC_TRY(xfc_emit_kernel(&e, op->kernel, name, &fn));
        LLVMSetLinkage(fn, LLVMExternalLinkage);
    }
    xfc_status s = xfc_emit_finish(&e, "obj", object);
    xfc_emit_end(&e);
    return s;
}

static int run_case(const test_case *t, const char *isa) {
    program p = {.ctx = xfc_ctx_new()};
    xfc_blob object;
    int failed = 0;
    p.graph = xfc_parse_graph(p.ctx, t->text, strlen(t->text), t->name);
    if (!p.graph) {
        xfc_diags_print(p.ctx, stdout, false);
        return 1;
    }
    p.symbol[0] = xfc_int_symbol(p.ctx, "b", 0, 0);
    p.symbol[1] = xfc_int_symbol(p.ctx, "s", 0, 0);
    if (compile(&p, isa, &object) != XFC_OK) return 1;
    p.library = test_load(&object);
    free(object.data);
    for (size_t i = 0; i < XFC_COUNT(sizes); i++) failed += check_sizes(&p, t, isa, sizes[i]);
    xfc_graph_free(p.graph);
    xfc_ctx_free(p.ctx);
    return failed;
}

/* A table without rows has no element to answer with: an error, and nothing read. */
static int run_empty_table(const char *isa) {
    const test_case *t = &cases[XFC_COUNT(cases) - 1];
    program p = {.ctx = xfc_ctx_new()};
    xfc_blob object;
    p.graph = xfc_parse_graph(p.ctx, t->text, strlen(t->text), t->name);
    if (!p.graph) return 1;
    p.symbol[0] = xfc_int_symbol(p.ctx, "b", 0, 0);
    p.symbol[1] = xfc_int_symbol(p.ctx, "s", 0, 0);
    if (compile(&p, isa, &object) != XFC_OK) return 1;
    p.library = test_load(&object);
    free(object.data);
    int64_t size[2] = {19, 0}, ids[19] = {0};
    float y[19 * 5];
    int32_t error = 0;
    void *buffers[3] = {ids, NULL, y}; /* reading the table would be a crash */
    xf_frame frame = {.values = size, .buffers = buffers, .error = &error, .step = 3};
    test_function(p.library, "kernel_0")(&frame, 0, 1, 0);
    xfc_graph_free(p.graph);
    xfc_ctx_free(p.ctx);
    if (error == (8 | 3 << 8)) return 0;
    printf("FAIL empty table, %s: error word %d\n", isa, error);
    return 1;
}

int main(void) {
    static const char *const isas[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    int failed = 0;
    for (size_t k = 0; k < XFC_COUNT(isas); k++) {
        if (!test_cpu_has(isas[k])) {
            printf("SKIP %s: this CPU lacks it\n", isas[k]);
            continue;
        }
        for (size_t i = 0; i < XFC_COUNT(cases); i++) failed += run_case(&cases[i], isas[k]);
        failed += run_empty_table(isas[k]);
    }
    printf("kernels: %s\n", failed ? "FAIL" : "ok");
    return failed != 0;
}

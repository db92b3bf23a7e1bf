/* diff.c - random kernels, compiled for every CPU level, against the interpreter.
 *
 * diff SEED COUNT [ISA [NUMBER]]: makes COUNT kernels (NUMBER: prints the code of that one instead), compiles them
 * into one shared object an ISA, and runs each on several sizes (0, 1, odd, around the vector width, larger), with its
 * tasks split over calls and workers. All results must agree to the bit but two kinds that must lie within a
 * tolerance: reductions of floats, whose order differs, and math functions on an ISA without FMA, which round twice.
 * Memory around every output must stay as it was.
 */
#include "backends/llvm/llvm.h"
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "runtime/include/xfc/abi.h"
#include "tests/codegen/load.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_AXES = 4, N_SIZES = 6, GUARD = 64 };

static uint64_t state;
static int opt_level; /* SEED mod 4: every level is tested */
static uint32_t below(uint32_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 11) % n);
}
static bool chance(uint32_t percent) { return below(100) < percent; }

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_graph *graph;
    xfc_int size[2]; /* the symbols n and m */
    xfc_value *in[8];
    uint32_t n_in;
    xfc_nestb nest;
    xfc_int axis[MAX_AXES], extent[MAX_AXES];
    xfc_axis_kind kind[MAX_AXES];
    uint32_t n_axes;
    bool math, sums; /* has math functions; reduces floats */
} maker;

typedef struct {
    xfc_op *op;
    bool math, sums;
} test_kernel;

static xfc_int random_extent(maker *m) {
    static const int64_t fixed[] = {1, 2, 3, 7, 8, 16, 33, 48};
    if (chance(60)) return m->size[below(2)];
    return xfc_int_const(m->ctx, fixed[below(XFC_COUNT(fixed))]);
}

/* An index over the axes and the extent of the dim that holds every value of it. */
static xfc_int random_index(maker *m, uint32_t axis, xfc_int *dim) {
    xfc_ctx *c = m->ctx;
    xfc_int a = m->axis[axis], n = m->extent[axis], one = xfc_int_const(c, 1);
    int64_t k = 2 + below(40);
    *dim = xfc_int_max(c, n, one);
    switch (below(8)) {
    case 0: *dim = one; return xfc_int_const(c, 0);
    case 1: return xfc_int_sub(c, xfc_int_addc(c, n, -1), a);
    case 2: *dim = xfc_int_mulc(c, xfc_int_max(c, n, one), 3); return xfc_int_addc(c, xfc_int_mulc(c, a, 3), 1);
    case 3: return xfc_int_floordiv(c, a, xfc_int_const(c, chance(50) ? 32 : k));
    case 4: *dim = xfc_int_const(c, 32 + k); return xfc_int_mod(c, a, xfc_int_const(c, chance(50) ? 32 : k));
    default: return a;
    }
}

static xfc_dtype random_dtype(void) { return (xfc_dtype)below(XFC_COMPUTED_COUNT); }

static uint32_t add_input(maker *m, xfc_dtype t, uint32_t rank, const xfc_int *dim) {
    char name[16];
    snprintf(name, sizeof name, "x%u", m->n_in);
    m->in[m->n_in] = xfc_graph_add_input(m->graph, xfc_str(m->ctx, name), xfc_type_make(t, rank, dim));
    return m->n_in++;
}

static uint32_t random_load(maker *m, xfc_dtype t, uint32_t pred) {
    xfc_int index[MAX_AXES], dim[MAX_AXES];
    uint32_t rank = 0, first = below(m->n_axes);
    for (uint32_t i = 0; i < m->n_axes; i++) {
        if (chance(20)) continue;
        index[rank] = random_index(m, chance(80) ? i : (first + i) % m->n_axes, &dim[rank]);
        rank++;
    }
    uint32_t buffer = add_input(m, t, rank, dim);
    return xfc_nb_load_if(&m->nest, pred, t, buffer, index, rank);
}

/* table[clamped index], the index read from data that is in range. */
static uint32_t random_gather(maker *m, xfc_dtype t) {
    xfc_dtype it = chance(50) ? XFC_I64 : XFC_I32;
    uint32_t index = random_load(m, it, XFC_NO_ARG);
    xfc_int rows = xfc_int_const(m->ctx, 3), k;
    k = xfc_nb_let(&m->nest, "k", index, xfc_int_const(m->ctx, 0), xfc_int_addc(m->ctx, rows, -1), true);
    uint32_t axis = below(m->n_axes);
    xfc_int dim[2] = {rows, xfc_int_max(m->ctx, m->extent[axis], xfc_int_const(m->ctx, 1))}, at[2] = {k, m->axis[axis]};
    return xfc_nb_load(&m->nest, t, add_input(m, t, 2, dim), at, 2);
}

static uint32_t random_source(maker *m, xfc_dtype t) {
    if (m->n_in < 3 && chance(60)) return random_load(m, t, XFC_NO_ARG);
    if (m->n_in < 3 && chance(30)) return random_gather(m, t);
    if (m->n_in < 3 && chance(50)) {
        xfc_dtype other = random_dtype();
        return xfc_nb_cast(&m->nest, t, other, random_load(m, other, XFC_NO_ARG));
    }
    if (chance(30)) {
        uint32_t i = xfc_nb_index(&m->nest, m->axis[below(m->n_axes)]);
        return xfc_nb_cast(&m->nest, t, XFC_I64, i);
    }
    if (xfc_dtype_is_float(t)) return xfc_nb_const_f(&m->nest, t, (double)below(64) / 8 - 3);
    return xfc_nb_const_i(&m->nest, t, t == XFC_BOOL ? chance(50) : (int64_t)below(7));
}

static uint32_t random_condition(maker *m, xfc_dtype t, uint32_t a, uint32_t b) {
    static const xfc_scalar_op tests[] = {XFC_S_LT, XFC_S_LE, XFC_S_GT, XFC_S_GE, XFC_S_EQ, XFC_S_NE};
    if (t == XFC_BOOL) return xfc_nb_op(&m->nest, chance(50) ? XFC_S_EQ : XFC_S_NE, XFC_BOOL, a, b, XFC_NO_ARG);
    return xfc_nb_op(&m->nest, tests[below(6)], XFC_BOOL, a, b, XFC_NO_ARG);
}

static uint32_t random_op(maker *m, xfc_dtype t, uint32_t a, uint32_t b) {
    static const xfc_scalar_op ints[] = {XFC_S_ADD, XFC_S_SUB, XFC_S_MUL, XFC_S_DIV, XFC_S_MOD,  XFC_S_FMOD,
                                         XFC_S_MIN, XFC_S_MAX, XFC_S_NEG, XFC_S_ABS, XFC_S_SIGN, XFC_S_POW,
                                         XFC_S_AND, XFC_S_OR,  XFC_S_XOR, XFC_S_NOT, XFC_S_SHL,  XFC_S_SHR};
    static const xfc_scalar_op bools[] = {XFC_S_AND, XFC_S_OR, XFC_S_XOR, XFC_S_NOT};
    static const xfc_scalar_op floats[] = {XFC_S_ADD,  XFC_S_SUB,  XFC_S_MUL,   XFC_S_DIV,  XFC_S_MOD,
                                           XFC_S_FMOD, XFC_S_MIN,  XFC_S_MAX,   XFC_S_NEG,  XFC_S_ABS,
                                           XFC_S_SIGN, XFC_S_SQRT, XFC_S_FLOOR, XFC_S_CEIL, XFC_S_ROUND};
    static const xfc_scalar_op maths[] = {XFC_S_EXP,     XFC_S_LOG, XFC_S_ERF, XFC_S_TANH,
                                          XFC_S_SIGMOID, XFC_S_SIN, XFC_S_COS, XFC_S_ATAN};
    xfc_scalar_op op;
    if (chance(20)) return xfc_nb_op(&m->nest, XFC_S_SELECT, t, random_condition(m, t, a, b), a, b);
    if (chance(10) && m->n_in < 3) return random_load(m, t, random_condition(m, t, a, b));
    if (t == XFC_BOOL)
        op = bools[below(4)];
    else if (!xfc_dtype_is_float(t))
        op = ints[below(XFC_COUNT(ints))];
    else if (chance(15))
        op = maths[below(XFC_COUNT(maths))], m->math = true;
    else
        op = floats[below(XFC_COUNT(floats))];
    return xfc_nb_op(&m->nest, op, t, a, b, XFC_NO_ARG);
}

static xfc_scalar_op random_combine(xfc_dtype t) {
    static const xfc_scalar_op ops[] = {XFC_S_ADD, XFC_S_MAX, XFC_S_MIN, XFC_S_ADD};
    return t == XFC_BOOL ? (chance(50) ? XFC_S_AND : XFC_S_OR) : ops[below(4)];
}

static void random_axes(maker *m) {
    m->n_axes = 1 + below(3);
    uint32_t n_reduce = chance(50) ? 1 + below(m->n_axes) : 0;
    for (uint32_t i = 0; i < m->n_axes; i++) {
        char name[2] = {(char)('i' + i), 0};
        m->extent[i] = random_extent(m);
        m->kind[i] = i >= m->n_axes - n_reduce ? XFC_AXIS_REDUCE : XFC_AXIS_PARALLEL;
        m->axis[i] = xfc_nb_axis(&m->nest, name, m->extent[i], m->kind[i]);
    }
    uint32_t v = below(m->n_axes + 1);
    if (v < m->n_axes) m->nest.nest->axes[v].how = XFC_HOW_VECTOR;
}

static void random_body(maker *m, xfc_dtype t, uint32_t *value) {
    uint32_t v[8], n = 0;
    v[n++] = random_source(m, t);
    v[n++] = random_source(m, t);
    for (uint32_t steps = below(5); steps > 0; steps--) {
        v[n] = random_op(m, t, v[below(n)], chance(60) ? v[below(n)] : v[n - 1]);
        n++;
    }
    *value = v[n - 1];
}

/* The outermost parallel axes move from the nest to the kernel; then the nest may not vectorise them. */
static void share_axes(xfc_kernel *k, xfc_arena *arena, xfc_nest *nest) {
    while (nest->n_axes > 0 && nest->axes[0].kind == XFC_AXIS_PARALLEL && chance(60)) {
        nest->axes[0].how = XFC_HOW_THREADS;
        xfc_push(arena, k->axes, k->n_axes, k->cap_axes) = nest->axes[0];
        nest->n_axes--;
        nest->axes++;
    }
}

static void add_buffer(xfc_kernel *k, xfc_arena *arena, xfc_type t, xfc_buffer_kind kind) {
    xfc_push(arena, k->buffers, k->n_buffers, k->cap_buffers) = (xfc_buffer){t, kind};
}

static test_kernel make_kernel(xfc_ctx *ctx, const xfc_int *size, uint32_t number) {
    char name[32];
    snprintf(name, sizeof name, "k%u", number);
    maker m = {.ctx = ctx, .size = {size[0], size[1]}};
    m.graph = xfc_graph_new(ctx, xfc_str(ctx, name));
    m.arena = m.graph->arena;
    m.nest = xfc_nestb_new(ctx, m.arena);
    random_axes(&m);
    xfc_dtype t = random_dtype();
    uint32_t value, rank = 0;
    random_body(&m, t, &value);
    xfc_int index[MAX_AXES], dim[MAX_AXES];
    bool reduces = m.kind[m.n_axes - 1] == XFC_AXIS_REDUCE, swap = chance(30);
    for (uint32_t i = 0; i < m.n_axes; i++)
        if (m.kind[i] == XFC_AXIS_PARALLEL) index[rank] = m.axis[i], dim[rank] = m.extent[i], rank++;
    if (swap && rank == 2) {
        xfc_int a = index[0], d = dim[0];
        index[0] = index[1], dim[0] = dim[1], index[1] = a, dim[1] = d;
    }
    xfc_type type = xfc_type_make(t, rank, dim);
    xfc_nb_store(&m.nest, value, m.n_in, index, rank, reduces ? random_combine(t) : XFC_S_COUNT);
    m.sums = reduces && xfc_dtype_is_float(t);
    xfc_kernel *k = xfc_new(m.arena, xfc_kernel);
    *k = (xfc_kernel){.form = "map", .n_in = m.n_in, .n_out = 1, .grain = xfc_int_const(ctx, 1)};
    for (uint32_t i = 0; i < m.n_in; i++) add_buffer(k, m.arena, m.in[i]->type, XFC_BUF_IN);
    add_buffer(k, m.arena, type, XFC_BUF_OUT);
    share_axes(k, m.arena, m.nest.nest);
    xfc_push(m.arena, k->steps, k->n_steps, k->cap_steps) = (xfc_step){.kind = XFC_STEP_NEST, .u.nest = m.nest.nest};
    xfc_op *op = xfc_op_new(m.graph, NULL, XFC_OP_KERNEL, m.in, m.n_in, 1, NULL, 0, (xfc_loc){0});
    op->out[0].type = type;
    op->kernel = k;
    return (test_kernel){op, m.math, m.sums};
}

/* --- running --- */

typedef struct {
    xfc_int symbol[2];
    int64_t value[2];
} binding;
static bool lookup(void *user, uint32_t id, int64_t *out) {
    const binding *b = user;
    for (int i = 0; i < 2; i++)
        if (b->symbol[i].id == id) return *out = b->value[i], true;
    return false;
}

static void fill(xfc_array *a, bool specials) {
    for (int64_t i = 0; i < a->count; i++) {
        float f = (float)(int32_t)below(2001) / 250 - 4;
        if (specials && chance(3)) f = chance(50) ? (float)NAN : chance(50) ? (float)-INFINITY : -0.0f;
        switch (a->dtype) {
        case XFC_F32: ((float *)a->data)[i] = f; break;
        case XFC_F64: ((double *)a->data)[i] = (double)f; break;
        case XFC_F16: ((uint16_t *)a->data)[i] = xfc_float_to_half(f); break;
        case XFC_BF16: ((uint16_t *)a->data)[i] = xfc_float_to_bfloat(f); break;
        case XFC_BOOL: ((uint8_t *)a->data)[i] = (uint8_t)below(2); break;
        case XFC_I8:
        case XFC_U8: ((uint8_t *)a->data)[i] = (uint8_t)(below(12) - 3u); break;
        case XFC_CASES_I4:
        case XFC_CASES_U4:
        case XFC_CASES_PACKED:
        case XFC_CASES_CODE: xfc_element_set_i(a->dtype, a->data, i, below(16)); break;
        case XFC_I16:
        case XFC_U16: ((uint16_t *)a->data)[i] = (uint16_t)(below(12) - 3u); break;
        case XFC_I32:
        case XFC_U32: ((uint32_t *)a->data)[i] = below(6) - 3u; break;
        case XFC_I64:
        case XFC_U64: ((uint64_t *)a->data)[i] = (uint64_t)below(6) - 3u; break;
        case XFC_DTYPE_COUNT: break;
        }
    }
}

static xfc_array make_array(xfc_ctx *ctx, const xfc_type *t, binding *b) {
    xfc_array a = {.dtype = t->dtype, .rank = t->rank, .count = 1};
    for (uint32_t d = 0; d < t->rank; d++) {
        if (!xfc_int_evaluate(ctx, t->dim[d], lookup, b, &a.dim[d])) abort();
        a.count *= a.dim[d];
    }
    size_t bytes = (size_t)a.count * xfc_dtype_bytes(t->dtype);
    char *p = aligned_alloc(64, (bytes + 2 * GUARD + 63) / 64 * 64);
    memset(p, 0xa5, bytes + 2 * GUARD);
    a.data = p + GUARD;
    return a;
}

static double element(const xfc_array *a, int64_t i) {
    if (a->dtype == XFC_F32) return (double)((const float *)a->data)[i];
    if (a->dtype == XFC_F64) return ((const double *)a->data)[i];
    if (a->dtype == XFC_F16) return (double)xfc_half_to_float(((const uint16_t *)a->data)[i]);
    return (double)xfc_bfloat_to_float(((const uint16_t *)a->data)[i]);
}

static bool close_enough(const xfc_array *got, const xfc_array *want, int64_t i, bool tolerant) {
    uint32_t bytes = xfc_dtype_bytes(got->dtype);
    if (memcmp((char *)got->data + i * bytes, (char *)want->data + i * bytes, bytes) == 0) return true;
    if (!xfc_dtype_is_float(got->dtype)) return false;
    double a = element(got, i), b = element(want, i);
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    double eps = got->dtype == XFC_F64 ? 1e-12 : got->dtype == XFC_F32 ? 2e-4 : got->dtype == XFC_F16 ? 0.01 : 0.05;
    return tolerant && (a == b || fabs(a - b) <= eps * (1 + fabs(b)));
}

static bool guards_hold(const xfc_array *a) {
    const unsigned char *p = (const unsigned char *)a->data, *end = p + (size_t)a->count * xfc_dtype_bytes(a->dtype);
    for (int i = 1; i <= GUARD; i++)
        if (p[-i] != 0xa5 || end[i - 1] != 0xa5) return false;
    return true;
}

/* Calls of random ranges, in any order, on two workers. */
static void run_tasks(xf_kernel_fn fn, xf_frame *frame, int64_t tasks) {
    int64_t middle = tasks ? (int64_t)below((uint32_t)tasks + 1) : 0;
    fn(frame, middle, tasks, 1);
    fn(frame, 0, middle, 0);
}

static int64_t count_tasks(const xfc_kernel *k, xfc_ctx *ctx, binding *b) {
    int64_t n = 1, e;
    for (uint32_t i = 0; i < k->n_axes; i++) {
        if (!xfc_int_evaluate(ctx, k->axes[i].extent, lookup, b, &e)) abort();
        n *= e;
    }
    return n;
}

static int run_one(xfc_ctx *ctx, const test_kernel *t, xf_kernel_fn fn, binding *b, const char *isa, uint32_t number) {
    const xfc_kernel *k = t->op->kernel;
    xfc_array in[8], out, want;
    void *buffers[9];
    for (uint32_t i = 0; i < k->n_in; i++) {
        in[i] = make_array(ctx, &k->buffers[i].type, b);
        fill(&in[i], !t->sums); /* of sums, NaN and infinity leave nothing to compare */
        buffers[i] = in[i].data;
    }
    out = make_array(ctx, &k->buffers[k->n_in].type, b);
    buffers[k->n_in] = out.data;
    xfc_arena *arena = xfc_arena_new();
    int32_t error = 0;
    xf_frame frame = {.values = b->value, .buffers = buffers, .error = &error, .step = 5};
    bool tolerant = t->sums || (t->math && strcmp(isa, "x86-64-v2") == 0);
    int bad = 0;
    run_tasks(fn, &frame, count_tasks(k, ctx, b));
    uint32_t errors = ctx->n_errors;
    if (xfc_eval_op(t->op, in, &want, arena, lookup, b) != XFC_OK) {
        bad = error != (8 | 5 << 8) ? 1 : 0; /* both saw the same index out of range */
        if (bad) xfc_diags_print(ctx, stdout, false);
        ctx->n_errors = errors;
    } else {
        if (error) printf("error word %d\n", error), bad = 1;
        for (int64_t i = 0; i < out.count && !bad; i++) {
            if (close_enough(&out, &want, i, tolerant)) continue;
            if (xfc_dtype_is_float(out.dtype))
                printf("element %lld: %.9g, interpreter %.9g\n", (long long)i, element(&out, i), element(&want, i));
            bad = 1;
        }
    }
    if (!guards_hold(&out)) printf("wrote outside of the output\n"), bad = 1;
    for (uint32_t i = 0; i < k->n_in; i++) free((char *)in[i].data - GUARD);
    free((char *)out.data - GUARD);
    xfc_arena_free(arena);
    if (!bad) return 0;
    xfc_buf text = {.arena = t->op->graph->arena};
    xfc_print_kernel(ctx, &text, k, b->symbol, 2);
    printf("FAIL kernel %u, %s, n = %lld, m = %lld\n%s\n", number, isa, (long long)b->value[0], (long long)b->value[1],
           text.text);
    return 1;
}

static int print_one(xfc_ctx *ctx, const test_kernel *t, const xfc_int *size, const char *isa) {
    xfc_emit e;
    xfc_target target;
    for (int i = 0; i < 2; i++) {
        xfc_blob text;
        LLVMValueRef fn;
        if (xfc_backend_find("cpu")->configure(ctx, &target, isa) != XFC_OK) return 1;
        if (xfc_emit_begin(&e, ctx, &target, opt_level, "diff") != XFC_OK) return 1;
        xfc_emit_symbols(&e, size, 2);
        if (xfc_emit_kernel(&e, t->op->kernel, "kernel", &fn) != XFC_OK) return 1;
        LLVMSetLinkage(fn, LLVMExternalLinkage);
        if (xfc_emit_finish(&e, i ? "asm" : "llvm", &text) != XFC_OK) return 1;
        fwrite(text.data, 1, text.n, stdout);
        free(text.data);
        xfc_emit_end(&e);
    }
    return 0;
}

static int run_isa(xfc_ctx *ctx, const test_kernel *t, uint32_t n, const xfc_int *size, const char *isa) {
    static const int64_t sizes[N_SIZES][2] = {{0, 5}, {1, 1}, {7, 0}, {33, 3}, {64, 17}, {5, 131}};
    xfc_emit e;
    xfc_target target;
    xfc_blob object;
    char name[32];
    if (xfc_backend_find("cpu")->configure(ctx, &target, isa) != XFC_OK) return 1;
    if (xfc_emit_begin(&e, ctx, &target, opt_level, "diff") != XFC_OK) return 1;
    xfc_emit_symbols(&e, size, 2);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef fn;
        snprintf(name, sizeof name, "kernel_%u", i);
        if (xfc_emit_kernel(&e, t[i].op->kernel, name, &fn) != XFC_OK) return 1;
        LLVMSetLinkage(fn, LLVMExternalLinkage);
    }
    if (xfc_emit_finish(&e, "obj", &object) != XFC_OK) return 1;
    xfc_emit_end(&e);
    if (!test_cpu_has(isa)) {
        printf("SKIP running %s: this CPU lacks it\n", isa);
        free(object.data);
        return 0;
    }
    void *library = test_load(&object);
    free(object.data);
    int failed = 0;
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "kernel_%u", i);
        xf_kernel_fn fn = test_function(library, name);
        for (int s = 0; s < N_SIZES && !failed; s++) {
            binding b = {{size[0], size[1]}, {sizes[s][0], sizes[s][1]}};
            failed += run_one(ctx, &t[i], fn, &b, isa, i);
        }
    }
    return failed;
}

int main(int argc, char **argv) {
    static const char *const isas[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    uint32_t count = argc > 2 ? (uint32_t)atoi(argv[2]) : 50;
    opt_level = argc > 1 ? atoi(argv[1]) % 4 : 2;
    state = 0x9e3779b97f4a7c15ull * (argc > 1 ? strtoull(argv[1], NULL, 10) + 1 : 1);
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_int size[2] = {xfc_int_symbol(ctx, "n", 0, 4096), xfc_int_symbol(ctx, "m", 0, 4096)};
    test_kernel *t = calloc(count, sizeof *t);
    for (uint32_t i = 0; i < count; i++) t[i] = make_kernel(ctx, size, i);
    if (argc > 4) return print_one(ctx, &t[(uint32_t)atoi(argv[4]) % count], size, argv[3]);
    int failed = 0;
    for (size_t i = 0; i < XFC_COUNT(isas); i++)
        if (argc < 4 || strcmp(argv[3], isas[i]) == 0) failed += run_isa(ctx, t, count, size, isas[i]);
    xfc_diags_print(ctx, stdout, false);
    printf("%u kernels: %s\n", count, failed ? "FAIL" : "ok");
    for (uint32_t i = 0; i < count; i++) xfc_graph_free(t[i].op->graph);
    free(t);
    xfc_ctx_free(ctx);
    return failed != 0;
}

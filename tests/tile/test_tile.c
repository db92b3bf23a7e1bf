/* test_tile.c - the contraction generator: exact results at any size and of every type on every ISA of this machine,
 * and no spills in its loops.
 *
 * The reference is a scalar chain over ascending k with the ISA's own multiply-add, so results are compared bit for
 * bit: that also proves that an element does not depend on the rows and columns around it. Buffers end at a page that
 * cannot be touched.
 */
#define _DEFAULT_SOURCE
#include "backends/llvm/llvm.h"
#include "tests/codegen/load.h"
#include "tests/unit/test.h"
#include <math.h>
#include <sys/mman.h>

enum { PANEL = 48, PAGE = 4096, UNTOUCHED = 0x7f0ddba1 };
typedef void gemm(const void *a, int64_t a_row, const void *b, float *c, int64_t c_row, int64_t rows, int64_t depth,
                  int64_t columns, void *room);

/* A function `gemm` of this signature around one tile step. */
static xfc_status emit_gemm(xfc_ctx *ctx, const xfc_target *t, xfc_contract type, const char *what, xfc_blob *out) {
    xfc_emit e;
    XFC_TRY(xfc_emit_begin(&e, ctx, t, 2, "tile"));
    LLVMTypeRef in[9] = {e.ptr, e.i64, e.ptr, e.ptr, e.i64, e.i64, e.i64, e.i64, e.ptr};
    LLVMValueRef fn = e.fn = xfc_emit_function(&e, "gemm", LLVMFunctionType(e.none, in, 9, false));
    LLVMSetLinkage(fn, LLVMExternalLinkage);
    LLVMPositionBuilderAtEnd(e.b, xfc_emit_block(&e, "entry"));
    xfc_tile_values v = {.a = LLVMGetParam(fn, 0),
                         .a_row = LLVMGetParam(fn, 1),
                         .b = LLVMGetParam(fn, 2),
                         .c = LLVMGetParam(fn, 3),
                         .c_row = LLVMGetParam(fn, 4),
                         .rows = LLVMGetParam(fn, 5),
                         .depth = LLVMGetParam(fn, 6),
                         .columns = LLVMGetParam(fn, 7),
                         .room = LLVMGetParam(fn, 8),
                         .type = type};
    xfc_status s = xfc_emit_tile(&e, &v, NULL);
    LLVMBuildRetVoid(e.b);
    if (s == XFC_OK) s = xfc_emit_finish(&e, what, out);
    xfc_emit_end(&e);
    return s;
}

/* --- results --- */

typedef struct {
    char *map;
    size_t bytes;
    float *data;
} fenced; /* data ends where a forbidden page begins, 64-byte aligned */

static fenced fence(size_t floats) {
    fenced f;
    size_t need = (floats * 4 + 63) / 64 * 64, body = (need + PAGE - 1) / PAGE * PAGE;
    f.bytes = body + PAGE;
    f.map = mmap(NULL, f.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f.map == MAP_FAILED || mprotect(f.map + body, PAGE, PROT_NONE) != 0) abort();
    f.data = (float *)(void *)(f.map + body - need);
    return f;
}

static float random_float(uint64_t *seed) { return (float)test_between(seed, -1000, 1000) / 512.0f; }

/* One multiply-add of the ISA; without FMA the product is rounded first. */
static float chain_step(bool fma, float a, float b, float sum) {
    if (fma) return fmaf(a, b, sum);
    volatile float product = a * b;
    return product + sum;
}

/* v in the type of an operand, at element i of it; answers what was stored. */
static float store(xfc_dtype t, void *data, int64_t i, float v) {
    uint16_t narrow = t == XFC_F16 ? xfc_float_to_half(v) : xfc_float_to_bfloat(v);
    if (t == XFC_F32) return ((float *)data)[i] = v;
    ((uint16_t *)data)[i] = narrow;
    return t == XFC_F16 ? xfc_half_to_float(narrow) : xfc_bfloat_to_float(narrow);
}

typedef struct {
    const xfc_target *t;
    xfc_contract type;
    gemm *fn;
    uint64_t seed;
} suite;
typedef struct {
    int64_t rows, depth, columns, a_row, c_row;
} sizes;

/* The instruction for pairs adds the second step of one first. */
static bool dots(const suite *s) { return s->type.a == XFC_BF16 && (s->t->features & XFC_HAS_BF16); }

static bool row_is_right(const suite *s, const sizes *z, const float *a, const float *b, const float *c,
                         int64_t written) {
    bool ok = true;
    for (int64_t j = 0; j < z->c_row && ok; j++) {
        float want = 0;
        double exact = 0, magnitude = 0;
        uint32_t got;
        memcpy(&got, &c[j], 4);
        if (j >= z->columns) {
            ok = j < written || got == UNTOUCHED;
            continue;
        }
        const float *column = b + j / PANEL * PANEL * z->depth + j % PANEL;
        for (int64_t i = 0; i < z->depth; i++) {
            int64_t k = dots(s) ? i ^ 1 : i;
            want = chain_step((s->t->features & XFC_HAS_FMA) != 0, a[k], column[k * PANEL], want);
            exact += (double)a[k] * (double)column[k * PANEL];
            magnitude += fabs((double)a[k] * (double)column[k * PANEL]);
        }
        uint32_t bits;
        memcpy(&bits, &want, 4);
        ok = got == bits && fabs((double)c[j] - exact) <= magnitude * 6e-8 * (double)(z->depth + 1);
    }
    return ok;
}

/* Number of the element that stands for step k and a column of the panel that begins with step `first`. */
static int64_t place(int64_t group, int64_t first, int64_t k, int64_t column) {
    return first * PANEL + (k / group * PANEL + column) * group + k % group;
}

static void check_sizes(suite *s, sizes z) {
    z.depth = (z.depth + s->type.group - 1) / s->type.group * s->type.group;
    int64_t panels = (z.columns + PANEL - 1) / PANEL, lanes = s->t->vector_bytes / 4,
            written = (z.columns + lanes - 1) / lanes * lanes;
    if (z.a_row < z.depth) z.a_row = z.depth;
    if (z.c_row < written) z.c_row = written;
    int64_t in_b = panels * z.depth * PANEL;
    fenced a = fence((size_t)(z.rows * z.a_row * xfc_dtype_bytes(s->type.a) + 3) / 4),
           b = fence((size_t)(in_b * xfc_dtype_bytes(s->type.b) + 3) / 4),
           room = fence((size_t)(z.rows * (z.depth + XFC_TILE_ROOM))), c = fence((size_t)((z.rows + 1) * z.c_row));
    float *left = calloc((size_t)(z.rows * z.a_row) + 1, sizeof *left);
    float *right = calloc((size_t)in_b + 1, sizeof *right); /* [panel][k][column] */
    if (!left || !right) abort();
    for (int64_t i = 0; i < z.rows * z.a_row; i++) left[i] = store(s->type.a, a.data, i, random_float(&s->seed));
    for (int64_t i = 0; i < in_b; i++) {
        int64_t k = i / PANEL % z.depth, at = place(s->type.group, i / PANEL / z.depth * z.depth, k, i % PANEL);
        right[i] = store(s->type.b, b.data, at, random_float(&s->seed));
    }
    const uint32_t untouched = UNTOUCHED;
    for (int64_t i = 0; i < (z.rows + 1) * z.c_row; i++) memcpy(&c.data[i], &untouched, 4);
    s->fn(a.data, z.a_row, b.data, c.data, z.c_row, z.rows, z.depth, z.columns, room.data);
    bool ok = true;
    int64_t step = z.rows * z.columns * z.depth > 4000000 ? 7 : 1; /* large ones: some rows, always the last */
    for (int64_t r = 0; r < z.rows && ok; r += r + step < z.rows ? step : z.rows - 1 - r > 0 ? z.rows - 1 - r : 1)
        ok = row_is_right(s, &z, left + r * z.a_row, right, c.data + r * z.c_row, written);
    for (int64_t j = 0; j < z.c_row && ok; j++) ok = memcmp(&c.data[z.rows * z.c_row + j], &untouched, 4) == 0;
    if (!CHECK(ok))
        fprintf(stderr,
                "    %s %s rows %" PRId64 " depth %" PRId64 " columns %" PRId64 " a_row %" PRId64 " c_row %" PRId64
                "\n",
                s->t->isa, xfc_dtype_name(s->type.b), z.rows, z.depth, z.columns, z.a_row, z.c_row);
    free(left);
    free(right);
    munmap(room.map, room.bytes);
    munmap(a.map, a.bytes);
    munmap(b.map, b.bytes);
    munmap(c.map, c.bytes);
}

static void check_results(xfc_ctx *ctx, const xfc_target *t, xfc_contract type) {
    xfc_blob object;
    if (!CHECK(emit_gemm(ctx, t, type, "obj", &object) == XFC_OK)) return;
    CHECK(object.n < 64 << 10); /* the whole generator of one ISA */
    suite s = {.t = t, .type = type, .seed = 88172645463325252u};
    xf_kernel_fn found = test_function(test_load(&object), "gemm");
    memcpy(&s.fn, &found, sizeof found);
    free(object.data);
    static const sizes fixed[] = {{0, 5, 7, 5, 16},         {3, 0, 50, 4, 64},         {4, 9, 0, 9, 16},
                                  {1, 1, 1, 1, 16},         {128, 384, 192, 384, 192}, {128, 64, 100, 64, 112},
                                  {1, 768, 200, 768, 208},  {17, 1024, 48, 1024, 48},  {9, 1025, 96, 1030, 96},
                                  {40, 2051, 60, 2067, 64}, {25, 3, 144, 3, 144},      {2, 2100, 49, 2100, 64}};
    for (size_t i = 0; i < XFC_COUNT(fixed); i++) check_sizes(&s, fixed[i]);
    for (int64_t rows = 1; rows <= 40; rows++)
        for (int i = 0; i < 5; i++) {
            sizes z = {.rows = rows, .depth = test_between(&s.seed, 1, 70), .columns = test_between(&s.seed, 1, 200)};
            z.a_row = z.depth + test_between(&s.seed, 0, 20);
            z.c_row = (z.columns + 15) / 16 * 16 + test_between(&s.seed, 0, 20);
            check_sizes(&s, z);
        }
    for (int64_t rows = 89; rows <= 128; rows += 13)
        check_sizes(&s, (sizes){.rows = rows, .depth = 33, .columns = 130, .a_row = 40});
}

/* --- the loops --- */

typedef struct {
    const char *begin, *end;
} span; /* of assembly text */

static bool has(span s, const char *word) {
    size_t n = strlen(word);
    for (const char *p = s.begin; p + n <= s.end; p++)
        if (memcmp(p, word, n) == 0) return true;
    return false;
}

static uint32_t count(span s, const char *word) {
    uint32_t n = 0;
    size_t length = strlen(word);
    for (const char *p = s.begin; p + length <= s.end; p++) n += memcmp(p, word, length) == 0;
    return n;
}

/* The loop that the jump at `line` closes: from its label, if that stands earlier in the function. */
static bool loop_of(span fn, span line, span *loop) {
    char label[64];
    const char *target = memchr(line.begin, '.', (size_t)(line.end - line.begin));
    if (line.begin[0] != '\t' || line.begin[1] != 'j' || !target) return false;
    int n = snprintf(label, sizeof label, "\n%.*s:", (int)(line.end - target), target);
    for (const char *p = fn.begin; p + n < line.begin; p++)
        if (memcmp(p, label, (size_t)n) == 0) return *loop = (span){p + n, line.begin}, true;
    return false;
}

/* Counts the loops that compute, and in them the accesses to the stack. Halves are converted by integer code where
 * there is no instruction: that needs more registers than there are, and multiplies. */
static void check_function(const xfc_target *t, const xfc_contract *c, const char *name, int length, span fn,
                           uint32_t *loops) {
    for (const char *at = fn.begin; at < fn.end;) {
        const char *stop = memchr(at, '\n', (size_t)(fn.end - at));
        span line = {at, stop ? stop : fn.end}, loop;
        at = line.end + 1;
        if (!loop_of(fn, line, &loop) || has(loop, "\n.L")) continue; /* innermost only */
        bool dots = c->a == XFC_BF16 && (t->features & XFC_HAS_BF16), fma = (t->features & XFC_HAS_FMA) != 0;
        uint32_t work = count(loop, dots ? "\tvdpbf16ps" : fma ? "\tvfmadd" : "\tmulps"), spills = count(loop, "(%rsp");
        if (!work) continue;
        ++*loops;
        if (c->b == XFC_F16 && !(t->features & XFC_HAS_FMA)) continue;
        if (!CHECK_INT(spills, 0))
            fprintf(stderr, "    %s: %.*s: a loop of %u multiply-adds\n", t->isa, length, name, work);
        unsigned rows, vectors, strips;
        if (sscanf(name, "xf_tile_%ux%ux%u", &rows, &vectors, &strips) == 3)
            CHECK_INT(work % (rows * vectors * strips), 0);
    }
}

static void check_loops(xfc_ctx *ctx, const xfc_target *t, xfc_contract type) {
    xfc_blob blob;
    if (!CHECK(emit_gemm(ctx, t, type, "asm", &blob) == XFC_OK)) return;
    const char *text = xfc_sprintf(ctx->arena, "%.*s", (int)blob.n, (const char *)blob.data);
    free(blob.data);
    uint32_t functions = 0, loops = 0;
    for (const char *p = text; (p = strstr(p, "\nxf_tile_")) != NULL; functions++) {
        const char *name = ++p, *colon = strchr(p, ':'), *stop = colon ? strstr(colon, "\n\t.size") : NULL;
        if (!CHECK(stop != NULL)) break;
        check_function(t, &type, name, (int)(colon - name), (span){colon, stop}, &loops);
        p = stop;
    }
    CHECK(functions >= (type.group == 1 ? 12u : 8u));
    CHECK_INT(loops, 2 * functions); /* the unrolled loop over k and the one for the rest */
}

/* Of these ISAs, or of those given. */
int main(int argc, char **argv) {
    static const char *const isas[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"};
    const xfc_contract types[] = {xfc_contract_plain(XFC_F32),
                                  {XFC_F32, XFC_F16, XFC_F32, PANEL, 1},
                                  {XFC_F32, XFC_BF16, XFC_F32, PANEL, 1},
                                  {XFC_BF16, XFC_BF16, XFC_F32, PANEL, 2}};
    xfc_ctx *ctx = xfc_ctx_new();
    for (size_t i = 0; i < XFC_COUNT(isas); i++) {
        xfc_target t;
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++) wanted |= strcmp(argv[k], isas[i]) == 0;
        if (!wanted) continue;
        if (!CHECK(xfc_backend_cpu.configure(ctx, &t, isas[i]) == XFC_OK)) continue;
        bool runs = test_cpu_has(isas[i]);
        for (size_t k = 0; k < XFC_COUNT(types); k++) {
            check_loops(ctx, &t, types[k]);
            if (runs) check_results(ctx, &t, types[k]);
        }
        if (!runs) fprintf(stderr, "SKIP: this CPU has no %s; its code was emitted but not run\n", isas[i]);
    }
    xfc_diags_print(ctx, stderr, false);
    xfc_ctx_free(ctx);
    return test_end();
}

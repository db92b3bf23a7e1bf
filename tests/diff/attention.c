/* attention.c - ragged attention: compiled code against the interpreter on lengths that are hard, and alone against in
 * a batch.
 *
 * Each case is a graph in text whose lists (cu, tasks, pos) are inputs, so that all dims are symbols; q, k and v are
 * parts of one product as in a model, or inputs. Checked are every shape of bias, positions with holes, sequences
 * without rows, no sequence at all; that lists which do not fit end the run with XF_E_RANGE; and that a sequence gives
 * the same bits alone, in any batch, with any longest length and any number of threads.
 */
#include "passes/pass.h"
#include "tests/diff/diff.h"
#include "tests/unit/test.h"
#include <dlfcn.h>
#include <math.h>

enum { MAX_ROWS = 1024, HEADS = 3, N_INPUTS = 6 };

typedef struct {
    const char *name;
    int d, e;
    const char *bias; /* its dims, or NULL */
    bool fused, nan_to_zero;
    bool window; /* the bias hides keys behind a row, and those that are far in front of it */
} shape;

static const shape shapes[] = {
    {"plain", 32, 32, NULL, false, false, false},
    {"fused", 32, 32, NULL, true, false, false},
    {"wide, fused", 64, 64, NULL, true, false, false},
    {"odd widths", 40, 50, NULL, false, false, false},
    {"narrow", 3, 1, NULL, false, false, false},
    {"bias 1", 16, 80, "1, 1, 1, 1", false, false, false},
    {"bias of heads", 16, 16, "1, 3, 1, 1", false, false, false},
    {"bias of keys", 32, 32, "1, 1, 1, s", true, false, false},
    {"mask", 32, 32, "n, 1, 1, s", true, true, false},
    {"mask of heads", 16, 100, "n, 3, 1, s", false, true, false},
    {"bias of rows", 8, 8, "1, 1, s, 1", false, false, false},
    {"relative", 32, 32, "1, 3, s, s", true, false, false},
    {"full", 17, 33, "n, 3, s, s", false, true, false},
    {"window", 32, 70, "1, 1, s, s", false, false, true},
    {"windows", 16, 32, "n, 1, s, s", true, false, true},
};

typedef struct {
    int64_t n, size;
    int64_t length[8];
    bool holes;
} batch;

static const batch batches[] = {
    {5, 130, {0, 1, 64, 65, 128}, false},
    {3, 200, {128, 0, 129}, true},
    {4, 47, {47, 0, 0, 16}, true},
    {1, 1, {1}, false},
    {1, 300, {0}, false},
    {0, 9, {0}, false},
    {2, 512, {200, 17}, true},
    {8, 64, {64, 63, 62, 5, 49, 48, 47, 0}, false},
};

static xfc_ctx *ctx;

/* --- graphs --- */

static xfc_graph *graph_of(const shape *s, const char *type) {
    xfc_buf t = {.arena = ctx->arena};
    int width = HEADS * (2 * s->d + s->e), at = 0;
    xfc_buf_printf(&t,
                   "graph @a[T, n, N, s](%%x: %s[T, %d], %%cu: i32[n + 1], %%tasks: i32[N, 2], %%pos: i32[T], "
                   "%%sizes: u8[n, s], %%bias: %s[%s]) -> (%s[T, %d] \"out\") {\n",
                   type, width, type, s->bias ? s->bias : "1", type, HEADS * s->e);
    const char *names = "qkv";
    for (int i = 0; i < 3; i++) {
        int w = i < 2 ? s->d : s->e;
        xfc_buf_printf(&t, "%%%ca = slice %%x {start = [0, %d], size = [T, %d], step = [1, 1]}\n", names[i], at,
                       HEADS * w);
        xfc_buf_printf(&t, "%%%cb = reshape %%%ca {shape = [T, %d, %d]}\n", names[i], names[i], HEADS, w);
        xfc_buf_printf(&t, "%%%cc = transpose %%%cb {perm = [1, 0, 2]}\n", names[i], names[i]);
        xfc_buf_printf(&t, s->fused ? "%%%c = reshape %%%cc {shape = [%d, T, %d]}\n" : "%%%c = neg %%%cc\n", names[i],
                       names[i], HEADS, w);
        at += HEADS * w;
    }
    xfc_buf_printf(&t,
                   "%%o = attention_ragged %%q, %%k, %%v, %%cu, %%tasks, %%pos%s {scale = 0.3, nan_to_zero = %d, "
                   "size = [s]}\n%%t = transpose %%o {perm = [1, 0, 2]}\n%%r = reshape %%t {shape = [T, %d]}\n"
                   "return %%r\n}\n",
                   s->bias ? ", %bias" : "", s->nan_to_zero, HEADS * s->e);
    xfc_graph *g = xfc_parse_graph(ctx, t.text, t.n, s->name);
    if (!g) xfc_diags_print(ctx, stderr, false);
    return g;
}

/* --- inputs: x, cu, tasks, pos, sizes, bias --- */

typedef struct {
    xfc_array in[N_INPUTS];
    int64_t rows;
} inputs;

static xfc_array array(xfc_arena *arena, xfc_dtype t, uint32_t rank, const int64_t *dim) {
    xfc_array a = {.dtype = t, .rank = rank, .count = 1};
    for (uint32_t d = 0; d < rank; d++) a.dim[d] = dim[d], a.count *= dim[d];
    a.data = xfc_alloc(arena, (size_t)a.count * xfc_dtype_bytes(t) + 1, 64);
    return a;
}

static void fill(xfc_array *a, uint64_t seed, int64_t at) {
    xfc_tensor t = {.dtype = a->dtype, .count = a->count, .data = a->data};
    for (int64_t i = 0; i < a->count; i++) {
        uint64_t state = seed + (uint64_t)(at + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        xfc_element_set_f(t.dtype, a->data, i, (double)diff_between(&state, -1000, 1000) / 500);
    }
}

/* Longer sequences first, as seq_offsets gives them. */
static xfc_array tasks_of(xfc_arena *arena, const batch *b) {
    int32_t list[2 * MAX_ROWS];
    int64_t n = 0, longest = 0;
    for (int64_t i = 0; i < b->n; i++) longest = b->length[i] > longest ? b->length[i] : longest;
    for (int64_t length = longest; length > 0; length--)
        for (int64_t i = 0; i < b->n; i++)
            for (int64_t r = 0; b->length[i] == length && r < length; r += 64)
                list[2 * n] = (int32_t)i, list[2 * n++ + 1] = (int32_t)r;
    xfc_array a = array(arena, XFC_I32, 2, (int64_t[]){n, 2});
    memcpy(a.data, list, (size_t)n * 8);
    return a;
}

/* Dims of the bias from its text. */
static xfc_array bias_of(xfc_arena *arena, const shape *s, const batch *b, xfc_dtype t) {
    int64_t dim[4] = {1};
    uint32_t rank = 0;
    for (const char *c = s->bias ? s->bias : "1"; *c; c++)
        if (*c == 's' || *c == 'n' || (*c >= '0' && *c <= '9'))
            dim[rank++] = *c == 's' ? b->size : *c == 'n' ? b->n : *c - '0';
    xfc_array a = array(arena, t, rank, dim);
    fill(&a, 5, 0);
    for (int64_t i = 0; s->nan_to_zero && i < a.count; i++)
        if (i % 7 < 3) xfc_element_set_f(t, a.data, i, i % 2 ? -HUGE_VAL : -3.0e4);
    for (int64_t i = 0; s->window && i < a.count; i++) {
        const int64_t row = i / b->size % b->size, key = i % b->size;
        if (key > row || key + 20 < row) xfc_element_set_f(t, a.data, i, i % 2 ? -HUGE_VAL : -3.0e4);
    }
    return a;
}

static inputs inputs_of(xfc_arena *arena, const shape *s, const batch *b, xfc_dtype t) {
    inputs r = {.rows = 0};
    xfc_array cu = array(arena, XFC_I32, 1, (int64_t[]){b->n + 1});
    int32_t *starts = cu.data, positions[MAX_ROWS] = {0};
    starts[0] = 0;
    for (int64_t i = 0; i < b->n; i++) {
        int64_t spare = b->size - b->length[i];
        for (int64_t j = 0; j < b->length[i]; j++) /* a hole behind every third row, as long as there is room */
            positions[r.rows + j] = (int32_t)(j + (b->holes ? (j / 3 < spare ? j / 3 : spare) : 0));
        r.rows += b->length[i];
        starts[i + 1] = (int32_t)r.rows;
    }
    r.in[0] = array(arena, t, 2, (int64_t[]){r.rows, HEADS * (2 * s->d + s->e)});
    fill(&r.in[0], 3, 0);
    r.in[1] = cu;
    r.in[2] = tasks_of(arena, b);
    r.in[3] = array(arena, XFC_I32, 1, &r.rows);
    memcpy(r.in[3].data, positions, (size_t)r.rows * 4);
    r.in[4] = array(arena, XFC_U8, 2, (int64_t[]){b->n, b->size});
    r.in[5] = bias_of(arena, s, b, t);
    return r;
}

/* --- against the interpreter --- */

/* Results are means of values in -2 .. 2, of scores up to 20 or so; noise as in oracle.c would take minutes here. */
static bool interpret(const xfc_graph *g, const inputs *x, bool bf16, oracle *o, xfc_arena *arena) {
    static const double tolerance[XFC_COMPUTED_COUNT] = {
        [XFC_F32] = 3e-5, [XFC_F64] = 1e-13, [XFC_F16] = 3e-3, [XFC_BF16] = 2e-2};
    static const double rounded = 1e-2; /* an exponent rounds the other way */
    if (xfc_eval_graph(g, x->in, N_INPUTS, o->out, &(xfc_eval_opts){.arena = arena}) != XFC_OK) {
        xfc_diags_print(ctx, stderr, false);
        return false;
    }
    double *t = o->tolerance[0][0] = o->tolerance[1][0] = xfc_new_array(arena, double, (size_t)o->out[0].count + 1);
    for (int64_t i = 0; i < o->out[0].count; i++) t[i] = bf16 ? rounded : tolerance[o->out[0].dtype];
    return true;
}

/* What the planned graph computes is what the graph does, unless operands are rounded: then it is what code must
 * compute. */
static bool planned_agrees(const compiled *c, const inputs *x, bool bf16, oracle *o, xfc_arena *arena) {
    oracle mine = {.range_error = false};
    diff_counts counts = {0};
    if (!interpret(c->planned, x, bf16, &mine, arena)) return false;
    if (bf16) return *o = mine, true;
    return oracle_accepts(o, 0, true, "of the planned graph", &mine.out[0], &counts);
}

static void check_shape(const shape *s, xfc_dtype t, const diff_how *hows, uint32_t n_hows, diff_counts *counts) {
    xfc_arena *arena = xfc_arena_new();
    xfc_graph *g = graph_of(s, xfc_dtype_name(t));
    inputs x[XFC_COUNT(batches)];
    oracle *o = xfc_new_array(arena, oracle, XFC_COUNT(batches));
    bool right = CHECK(g != NULL);
    for (size_t b = 0; right && b < XFC_COUNT(batches); b++) {
        x[b] = inputs_of(arena, s, &batches[b], t);
        right = CHECK(interpret(g, &x[b], false, &o[b], arena));
    }
    for (uint32_t h = 0; right && h < n_hows; h++) {
        compiled c;
        char text[64];
        right = CHECK(compiled_make(&c, g, hows[h]));
        for (size_t b = 0; right && b < XFC_COUNT(batches); b++) {
            oracle want = o[b];
            bool ok = planned_agrees(&c, &x[b], hows[h].bf16, &want, arena);
            ok = ok && compiled_check(&c, g, x[b].in, &want, counts);
            if (!ok) fprintf(stderr, "%s, %s, batch %d\n", s->name, diff_how_text(hows[h], text), (int)b);
            CHECK(ok);
        }
        if (right) compiled_free(&c);
    }
    if (g) xfc_graph_free(g);
    xfc_arena_free(arena);
}

/* --- alone and in a batch --- */

typedef struct {
    const xf_api *xf;
    xf_model *model;
    void *so;
} loaded;

static bool load(loaded *l, const compiled *c, const char *isa) {
    *l = (loaded){0};
    l->xf = compiled_load(c, &l->so);
    if (!CHECK(l->xf != NULL)) return false;
    return CHECK(l->xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .isa = isa}, &l->model) == XF_OK);
}

static xf_status run(const loaded *l, inputs *x, int32_t threads, float *out) {
    xf_tensor in[N_INPUTS], result[1] = {{0}};
    xf_ctx *run_ctx = NULL;
    for (uint32_t i = 0; i < N_INPUTS; i++) {
        uint32_t d = xfc_dtype_dlpack(x->in[i].dtype);
        in[i] = (xf_tensor){.data = x->in[i].data,
                            .device = {1, 0},
                            .ndim = (int32_t)x->in[i].rank,
                            .dtype = {d & 255, d >> 8 & 255, (uint16_t)(d >> 16)},
                            .shape = x->in[i].dim};
    }
    xf_ctx_opts opts = {.struct_size = sizeof opts, .num_threads = threads};
    if (l->xf->ctx_create(l->model, &opts, &run_ctx) != XF_OK) return XF_E_INTERNAL;
    xf_status status = l->xf->run(run_ctx, in, N_INPUTS, result, 1);
    if (status == XF_OK) memcpy(out, result[0].data, (size_t)(result[0].shape[0] * result[0].shape[1]) * 4);
    l->xf->ctx_destroy(run_ctx);
    return status;
}

/* Sequence i of the batch by itself, with another longest length: its rows of the inputs are the same. */
static void check_alone(const loaded *l, const shape *s, const batch *b, int64_t i, inputs *all, const float *want) {
    xfc_arena *arena = xfc_arena_new();
    batch one = {1, b->length[i] + (i % 2 ? 0 : 77), {b->length[i]}, false};
    inputs x = inputs_of(arena, s, &one, XFC_F32);
    int64_t first = ((int32_t *)all->in[1].data)[i], width = x.in[0].dim[1], columns = HEADS * s->e;
    float *got = xfc_new_array(arena, float, (size_t)(x.rows * columns) + 1);
    memcpy(x.in[0].data, (const float *)all->in[0].data + first * width, (size_t)(x.rows * width) * 4);
    bool ok = run(l, &x, 1, got) == XF_OK && memcmp(got, want + first * columns, (size_t)(x.rows * columns) * 4) == 0;
    if (!ok) fprintf(stderr, "%s: sequence %d of %d rows is not the same alone\n", s->name, (int)i, (int)x.rows);
    CHECK(ok);
    xfc_arena_free(arena);
}

static void check_independence(const shape *s, bool bf16) {
    xfc_graph *g = graph_of(s, "f32");
    compiled c;
    loaded l;
    if (!CHECK(g && compiled_make(&c, g, (diff_how){.level = 2, .bf16 = bf16, .isas = 15}))) return;
    for (uint32_t k = 0; k < c.n_isas && load(&l, &c, c.isa[k]); k++) {
        for (size_t b = 0; b < XFC_COUNT(batches); b++) {
            xfc_arena *arena = xfc_arena_new();
            inputs x = inputs_of(arena, s, &batches[b], XFC_F32);
            size_t bytes = (size_t)(x.rows * HEADS * s->e) * 4;
            float *one = xfc_alloc(arena, bytes + 4, 64), *two = xfc_alloc(arena, bytes + 4, 64);
            CHECK(run(&l, &x, 1, one) == XF_OK && run(&l, &x, 2, two) == XF_OK && memcmp(one, two, bytes) == 0);
            for (int64_t i = 0; i < batches[b].n; i++) check_alone(&l, s, &batches[b], i, &x, one);
            xfc_arena_free(arena);
        }
        l.xf->release(l.model);
        dlclose(l.so);
    }
    compiled_free(&c);
    xfc_graph_free(g);
}

/* --- lists that do not fit --- */

static void check_wrong(void) {
    static const struct {
        uint32_t input;
        int64_t at;
        int32_t value;
    } wrong[] = {{1, 1, -1},  {1, 2, 1000}, {1, 3, 20},   {2, 0, 3},         {2, 0, -1},
                 {2, 1, 128}, {2, 1, -64},  {2, 1, 1000}, {3, 5, INT32_MAX}, {3, 5, -1}};
    const shape s = {"wrong lists", 32, 32, "n, 1, 1, s", true, false, false};
    const batch b = {3, 130, {128, 5, 7}, false};
    xfc_graph *g = graph_of(&s, "f32");
    compiled c;
    loaded l;
    if (!CHECK(g && compiled_make(&c, g, (diff_how){.level = 2, .isas = 7})) || !load(&l, &c, c.isa[c.n_isas - 1]))
        return;
    static float out[MAX_ROWS * HEADS * 32];
    for (size_t i = 0; i < XFC_COUNT(wrong); i++) {
        xfc_arena *arena = xfc_arena_new();
        inputs x = inputs_of(arena, &s, &b, XFC_F32);
        ((int32_t *)x.in[wrong[i].input].data)[wrong[i].at] = wrong[i].value;
        if (!CHECK(run(&l, &x, 1, out) == XF_E_RANGE)) fprintf(stderr, "wrong list %d\n", (int)i);
        xfc_arena_free(arena);
    }
    l.xf->release(l.model);
    dlclose(l.so);
    compiled_free(&c);
    xfc_graph_free(g);
}

int main(void) {
    static const diff_how fast[] = {{.level = 2, .isas = 7},
                                    {.level = 0, .isas = 4},
                                    {.level = 2, .bf16 = true, .isas = 15},
                                    {.level = 2, .bf16 = true, .isas = 10, .checked = true}},
                          slow[] = {{.level = 2, .isas = 2}};
    diff_counts counts = {0};
    ctx = xfc_ctx_new();
    for (size_t i = 0; i < XFC_COUNT(shapes); i++) check_shape(&shapes[i], XFC_F32, fast, i % 3 ? 2 : 4, &counts);
    for (xfc_dtype t = XFC_F32; t < XFC_COMPUTED_COUNT; t++)
        if (xfc_dtype_is_float(t) && t != XFC_F32) check_shape(&shapes[8], t, slow, 1, &counts);
    check_independence(&shapes[0], false);
    check_independence(&shapes[2], false);
    check_independence(&shapes[3], false);
    check_independence(&shapes[3], true);
    check_wrong();
    CHECK(diff_enough(&counts));
    xfc_ctx_free(ctx);
    return test_end();
}

/* kernels.c - the interpreter on kernels as written in text: outer axes, lets, temporaries, tiles, views of operands,
 * scans; and on what must be refused instead of reading or writing where it should not. */
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "tests/unit/test.h"
#include <math.h>

typedef struct {
    xfc_ctx *ctx;
    xfc_graph *g;
    xfc_arena *arena;
    xfc_array in[4], out[4];
    uint32_t n_in;
} program;

static program parse(const char *text) {
    program p = {.ctx = xfc_ctx_new(), .arena = xfc_arena_new()};
    p.g = xfc_parse_graph(p.ctx, text, strlen(text), "kernels.xf");
    if (!CHECK(p.g != NULL)) xfc_diags_print(p.ctx, stderr, false);
    return p;
}

static void end(program *p) {
    xfc_arena_free(p->arena);
    if (p->g) xfc_graph_free(p->g);
    xfc_ctx_free(p->ctx);
}

static void *operand(program *p, xfc_dtype dtype, uint32_t rank, const int64_t *dim) {
    xfc_array *a = &p->in[p->n_in++];
    size_t bytes;
    *a = (xfc_array){.dtype = dtype, .rank = rank};
    memcpy(a->dim, dim, rank * sizeof *dim);
    CHECK(xfc_tensor_count(dtype, rank, dim, &a->count, &bytes));
    return a->data = xfc_alloc(p->arena, bytes, 64);
}

static float *floats(program *p, uint32_t rank, const int64_t *dim) {
    float *x = operand(p, XFC_F32, rank, dim);
    uint64_t seed = 5 + p->n_in;
    for (int64_t i = 0; i < p->in[p->n_in - 1].count; i++) x[i] = (float)test_between(&seed, -1000, 1000) / 250;
    return x;
}

static bool run(program *p) {
    return p->g && xfc_eval_graph(p->g, p->in, p->n_in, p->out, &(xfc_eval_opts){.arena = p->arena}) == XFC_OK;
}

static bool near(float a, double b) { return fabs((double)a - b) <= 1e-5 * (1 + fabs(b)); }

/* Embedding rows, then their norm: lets from axes and from data, temporaries, three nests a row. */
static void norm_of_rows(void) {
    program p = parse(
        "graph @rows[b, s in 1..512](%ids: i64[b, s], %t: f32[9, 300]) -> (f32[b, s, 300] \"y\") stage scheduled {\n"
        "  %y = kernel \"rows\" %ids, %t : f32[b, s, 300] {\n"
        "    axis t in s * b threads\n    grain 16\n"
        "    let i = t floordiv s in 0..b - 1\n    let j = t mod s in 0..s - 1\n"
        "    temp $0: f32[300]\n    temp $1: f32[]\n    temp $2: f32[]\n"
        "    nest c in 300 reduce vector {\n      n = load i64 %ids[i, j]\n      m = let k = n in 0..8 wrap\n"
        "      a = load f32 %t[k, c]\n      store $0[c] = a\n      store add $1[] = a\n    }\n"
        "    nest c in 300 reduce vector {\n      a = load f32 $0[c]\n      s = load f32 $1[]\n      n = const f32 "
        "300\n"
        "      m = div f32 s, n\n      d = sub f32 a, m\n      q = mul f32 d, d\n      store $0[c] = d\n      store "
        "add $2[] = q\n    }\n"
        "    nest c in 300 vector {\n      d = load f32 $0[c]\n      q = load f32 $2[]\n      n = const f32 300\n"
        "      v = div f32 q, n\n      r = sqrt f32 v\n      y = div f32 d, r\n      store %y[i, j, c] = y\n    }\n"
        "  }\n  return %y\n}\n");
    int64_t *ids = operand(&p, XFC_I64, 2, (int64_t[]){2, 3});
    for (int64_t i = 0; i < 6; i++) ids[i] = i == 4 ? -1 : i;
    float *t = floats(&p, 2, (int64_t[]){9, 300});
    if (!CHECK(run(&p))) xfc_diags_print(p.ctx, stderr, false);
    for (int64_t row = 0; p.out[0].data && row < 6; row++) {
        const float *x = t + (ids[row] < 0 ? 8 : ids[row]) * 300;
        double mean = 0, square = 0;
        for (int c = 0; c < 300; c++) mean += (double)x[c] / 300;
        for (int c = 0; c < 300; c++) square += pow((double)x[c] - mean, 2) / 300;
        for (int c = 0; c < 300; c++)
            CHECK(near(((float *)p.out[0].data)[row * 300 + c], ((double)x[c] - mean) / sqrt(square)));
    }
    ids[3] = 9; /* now out of range */
    CHECK(!run(&p) && p.ctx->n_errors == 1);
    CHECK_CONTAINS(p.ctx->diags[0].text, "index out of range: 9");
    end(&p);
}

/* A contraction block with an epilogue; the output is seen as panels; the last block of rows is not full. */
static void tiles(void) {
    program p = parse(
        "graph @linear[m](%x: f32[m, 20], %w: f32[3, 20, 16], %bias: f32[48]) -> (f32[m, 48] \"y\") stage scheduled {\n"
        "  %y = kernel \"contract\" %x, %w, %bias : f32[m, 48] {\n"
        "    axis i in (m + 7) floordiv 8 threads\n    axis p in 3 threads\n    grain 1\n"
        "    let rows = min(8, m - 8 * i) in 0..8\n    view %y: f32[m, 3, 16]\n    temp $0: f32[8, 16]\n"
        "    tile $0[0, 0] row 16 = %x[8 * i, 0] row 20 by %w[p, 0, 0] {rows = rows, depth = 20, columns = 16, panel = "
        "16}\n"
        "    nest r in rows below 8, c in 16 vector {\n      a = load f32 $0[r, c]\n      b = load f32 %bias[p * 16 + "
        "c]\n"
        "      s = add f32 a, b\n      store %y[8 * i + r, p, c] = s\n    }\n  }\n  return %y\n}\n");
    float *x = floats(&p, 2, (int64_t[]){13, 20}), *w = floats(&p, 3, (int64_t[]){3, 20, 16}),
          *bias = floats(&p, 1, (int64_t[]){48});
    if (!CHECK(run(&p))) xfc_diags_print(p.ctx, stderr, false);
    for (int64_t i = 0; p.out[0].data && i < 13 * 48; i++) {
        int64_t r = i / 48, c = i % 48;
        double sum = (double)bias[c];
        for (int64_t k = 0; k < 20; k++) sum += (double)x[r * 20 + k] * (double)w[(c / 16 * 20 + k) * 16 + c % 16];
        CHECK(near(((float *)p.out[0].data)[i], sum));
    }
    end(&p);
}

static void scan(void) {
    program p = parse(
        "graph @scan[n](%x: i32[n, 5]) -> (i32[n, 5] \"y\", i32[n] \"m\") stage kernels {\n"
        "  %y = kernel \"scan\" %x : i32[n, 5] {\n    nest i in n, j in 5 scan {\n      at = index j\n      first = "
        "const i64 0\n"
        "      some = gt bool at, first\n      before = load i32 %y[i, j - 1] if some\n      a = load i32 %x[i, j]\n"
        "      b = add i32 a, before\n      store %y[i, j] = b\n    }\n  }\n"
        "  %m = kernel %x : i32[n] {\n    nest i in n, j in 5 reduce {\n      a = load i32 %x[i, j]\n      store max "
        "%m[i] = a\n    }\n  }\n"
        "  return %y, %m\n}\n");
    int32_t *x = operand(&p, XFC_I32, 2, (int64_t[]){600, 5});
    for (int32_t i = 0; i < 3000; i++) x[i] = i * 7919 % 1000 - 500;
    if (!CHECK(run(&p))) xfc_diags_print(p.ctx, stderr, false);
    for (int64_t i = 0; p.out[0].data && i < 600; i++) {
        int32_t sum = 0, most = INT32_MIN;
        for (int64_t j = 0; j < 5; j++) {
            sum += x[i * 5 + j];
            most = x[i * 5 + j] > most ? x[i * 5 + j] : most;
            CHECK_INT(((int32_t *)p.out[0].data)[i * 5 + j], sum);
        }
        CHECK_INT(((int32_t *)p.out[1].data)[i], most);
    }
    end(&p);
}

/* Kernels that a broken pass could make: an error, never an access outside. */
static void outside(void) {
    static const char *const texts[] = {
        "graph @a(%x: f32[4]) -> (f32[5] \"y\") stage kernels {\n  %y = kernel %x : f32[5] {\n    nest i in 5 {\n      "
        "a = load f32 %x[i]\n"
        "      store %y[i] = a\n    }\n  }\n  return %y\n}\n",
        "graph @b(%x: f32[4]) -> (f32[4] \"y\") stage kernels {\n  %y = kernel %x : f32[4] {\n    nest i in 4 {\n      "
        "a = load f32 %x[i]\n"
        "      store %y[i * 2] = a\n    }\n  }\n  return %y\n}\n",
        "graph @c(%x: f32[4]) -> (f32[4] \"y\") stage kernels {\n  %y = kernel %x : f32[4] {\n    axis i in 4 "
        "threads\n    let j = i * 3 in 0..3\n"
        "    nest {\n      a = load f32 %x[j]\n      store %y[i] = a\n    }\n  }\n  return %y\n}\n",
        "graph @d(%x: f32[4], %w: f32[1, 4, 4]) -> (f32[4] \"y\") stage scheduled {\n  %y = kernel %x, %w : f32[4] {\n "
        "   temp $0: f32[1, 4]\n"
        "    tile $0[0, 0] row 4 = %x[0] row 4 by %w[0, 0, 0] {rows = 2, depth = 4, columns = 4, panel = 4}\n"
        "    nest i in 4 {\n      a = load f32 $0[0, i]\n      store %y[i] = a\n    }\n  }\n  return %y\n}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        program p = parse(texts[i]);
        floats(&p, 1, (int64_t[]){4});
        if (i == 3) floats(&p, 3, (int64_t[]){1, 4, 4});
        CHECK(!run(&p) && p.ctx->n_errors == 1);
        end(&p);
    }
}

/* Shapes of inputs against declared dims, ranges and constraints. */
static void binding(void) {
    program p =
        parse("graph @bind[a in 1..8, b](%x: f32[a, b], %y: f32[a + b], %z: f32[3, 2 * a]) -> (f32[a, b] \"o\") {\n"
              "  %o = neg %x : f32[a, b]\n  return %o\n}\n");
    static const struct {
        int64_t a, b, sum, three, twice;
        bool ok;
    } cases[] = {
        {2, 5, 7, 3, 4, true},  {2, 0, 2, 3, 4, true},    {2, 5, 8, 3, 4, false}, {2, 5, 7, 4, 4, false},
        {2, 5, 7, 3, 6, false}, {9, 5, 14, 3, 18, false}, {0, 5, 5, 3, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t errors = p.ctx->n_errors;
        p.n_in = 0;
        floats(&p, 2, (int64_t[]){cases[i].a, cases[i].b});
        floats(&p, 1, (int64_t[]){cases[i].sum});
        floats(&p, 2, (int64_t[]){cases[i].three, cases[i].twice});
        CHECK(run(&p) == cases[i].ok);
        CHECK_INT(p.ctx->n_errors - errors, !cases[i].ok);
    }
    p.in[0].dtype = XFC_F64;
    CHECK(!run(&p));
    p.n_in = 2;
    CHECK(!run(&p));
    end(&p);
    p = parse("graph @solve[a, b](%x: f32[2 * a + 1], %y: f32[a + b]) -> (i64[2] \"o\") {\n  %o = dims {values = [a, "
              "b], shape = [2]} : i64[2]\n  return %o\n}\n");
    floats(&p, 1, (int64_t[]){7});
    floats(&p, 1, (int64_t[]){10});
    if (CHECK(run(&p))) CHECK(((int64_t *)p.out[0].data)[0] == 3 && ((int64_t *)p.out[0].data)[1] == 7);
    end(&p);
}

int main(void) {
    norm_of_rows();
    tiles();
    scan();
    outside();
    binding();
    return test_end();
}

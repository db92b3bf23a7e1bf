/* narrow_test.c - a part of a value is what it was, bit for bit, and what has no part says so.
 *
 * Each case is the body of a graph on %x: f32[2, 5, 8] and %z: f32[n, 5, 8] and, for each dim of its result, whether it can be narrowed.
 * Random parts of each are computed both ways by the interpreter: built on less, and picked out of the whole.
 */
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "passes/lossy/narrow.h"
#include "tests/unit/test.h"

enum { ROUNDS = 12, COUNT_X = 80 };

typedef struct {
    const char *what, *type, *dims, *body; /* dims: y it can be, n it cannot */
} narrow_case;

#define HEADS(from, to)                                                                                                \
    "%" to "0 = reshape %" from " {shape = [2, 5, 4, 6]} %" to " = transpose %" to "0 {perm = [0, 2, 1, 3]} "
static const narrow_case cases[] = {
    {"a linear", "f32[2, 5, 12]", "nny",
     "%w = const : f32[8, 12] = random 1 %b = const : f32[12] = random 2 %y = linear %x, %w, %b"},
    {"a gelu, a scale and a sum of two", "f32[2, 5, 12]", "nny",
     "%w = const : f32[8, 12] = random 1 %v = const : f32[8, 12] = random 2 %s = const : f32[12] = random 3 "
     "%one = const : f32[] = 1.5 %0 = linear %x, %w %1 = linear %x, %v %2 = gelu %0 %3 = mul %2, %1 %4 = mul %3, %s "
     "%y = add %4, %one"},
    {"columns that become heads", "f32[2, 5, 1, 4, 6]", "nnnyy",
     "%w = const : f32[8, 24] = random 1 %0 = linear %x, %w %y = reshape %0 {shape = [2, 5, 1, 4, 6]}"},
    {"columns of columns", "f32[2, 5, 4, 6]", "nnyy",
     "%w = const : f32[8, 24] = random 1 %0 = linear %x, %w %y = reshape %0 {shape = [2, 5, 4, 6]}"},
    {"a bias for every row", "f32[10, 12]", "ny",
     "%w = const : f32[8, 12] = random 1 %b = const : f32[12] = random 2 %0 = reshape %x {shape = [10, 8]} "
     "%1 = matmul %0, %w %e = expand %b {shape = [10, 12]} %y = add %e, %1"},
    {"one of three parts of a product", "f32[2, 4, 5, 6]", "nyny",
     "%w = const : f32[8, 72] = random 1 %b = const : f32[72] = random 2 %0 = linear %x, %w, %b "
     "%1 = reshape %0 {shape = [2, 5, 3, 4, 6]} %2 = transpose %1 {perm = [2, 0, 3, 1, 4]} "
     "%3 = slice %2 {start = [1, 0, 0, 0, 0], size = [1, 2, 4, 5, 6], step = [1, 1, 1, 1, 1]} "
     "%y = reshape %3 {shape = [2, 4, 5, 6]}"},
    {"every third column", "f32[2, 5, 7]", "nny",
     "%w = const : f32[8, 24] = random 1 %0 = linear %x, %w "
     "%y = slice %0 {start = [0, 0, 2], size = [2, 5, 7], step = [1, 1, 3]}"},
    {"attention with a bias for each head", "f32[2, 4, 5, 6]", "nyny",
     "%w = const : f32[8, 24] = random 1 %v = const : f32[8, 24] = random 2 %u = const : f32[8, 24] = random 3 "
     "%m = const : f32[4, 5, 5] = random 4 %0 = linear %x, %w %1 = linear %x, %v %2 = linear %x, %u " HEADS("0", "q")
         HEADS("1", "k") HEADS("2", "e") "%y = attention %q, %k, %e, %m {scale = 0.5}"},
    {"one head of keys for all", "f32[2, 4, 5, 6]", "nyny",
     "%w = const : f32[8, 24] = random 1 %v = const : f32[8, 6] = random 2 %0 = linear %x, %w %1 = linear %x, %v " HEADS(
         "0", "q") "%2 = reshape %1 {shape = [2, 1, 5, 6]} %k = expand %2 {shape = [2, 4, 5, 6]} "
                   "%y = attention %q, %k, %k {scale = 0.5}"},
    {"norms, a turn and a softmax in each head", "f32[2, 4, 5, 6]", "nynn",
     "%w = const : f32[8, 24] = random 1 %g = const : f32[6] = random 2 %c = const : f32[5, 6] = random 3 "
     "%0 = linear %x, %w " HEADS(
         "0", "q") "%3 = layernorm %q, %g {axis = 3, eps = 1e-5} "
                   "%4 = slice %3 {start = [0, 0, 0, 0], size = [2, 4, 5, 3], step = [1, 1, 1, 1]} "
                   "%5 = slice %3 {start = [0, 0, 0, 3], size = [2, 4, 5, 3], step = [1, 1, 1, 1]} "
                   "%6 = neg %5 %7 = concat %6, %4 {axis = 3} %8 = mul %7, %c %y = softmax %8 {axis = 2}"},
    {"batch and heads in one dim, open", "f32[n, 4, 6, 5]", "nyyn",
     "%w = const : f32[8, 72] = random 1 %0 = linear %z, %w %1 = reshape %0 {shape = [n, 5, 3, 4, 6]} "
     "%2 = transpose %1 {perm = [2, 0, 3, 1, 4]} "
     "%3 = slice %2 {start = [1, 0, 0, 0, 0], size = [1, n, 4, 5, 6], step = [1, 1, 1, 1, 1]} "
     "%4 = reshape %3 {shape = [n * 4, 5, 6]} %5 = transpose %4 {perm = [0, 2, 1]} "
     "%y = reshape %5 {shape = [n, 4, 6, 5]}"},
    {"all of it in one dim, open", "f32[n, 5, 4, 6]", "nnnn",
     "%w = const : f32[8, 24] = random 1 %0 = linear %z, %w %1 = reshape %0 {shape = [n * 120]} "
     "%y = reshape %1 {shape = [n, 5, 4, 6]}"},
    {"a product that mixes tokens", "f32[2, 5, 12]", "nyy",
     "%w = const : f32[8, 12] = random 1 %v = const : f32[5, 5] = random 2 %0 = linear %x, %w %y = matmul %v, %0"},
    {"a sum over tokens", "f32[2, 12]", "ny",
     "%w = const : f32[8, 12] = random 1 %0 = linear %x, %w %y = reduce_mean %0 {axes = [1], keepdims = 0}"},
    {"a norm over the columns", "f32[2, 5, 12]", "nnn",
     "%w = const : f32[8, 12] = random 1 %0 = linear %x, %w %y = layernorm %0 {axis = 2, eps = 1e-5}"},
    {"a running sum over the columns", "f32[2, 5, 12]", "nnn",
     "%w = const : f32[8, 12] = random 1 %0 = linear %x, %w %y = cumsum %0 {axis = 2}"},
    {"positions in the values", "f32[2, 5, 12]", "nnn",
     "%w = const : f32[8, 12] = random 1 %0 = linear %x, %w %i = iota {size = [12], start = [0], step = [1], to = f32} "
     "%y = add %0, %i"},
    {"heads within channels", "f32[2, 5, 24]", "nnn",
     "%w = const : f32[8, 24] = random 1 %0 = linear %x, %w %1 = reshape %0 {shape = [2, 5, 6, 4]} "
     "%2 = transpose %1 {perm = [0, 1, 3, 2]} %y = reshape %2 {shape = [2, 5, 24]}"},
};

static xfc_graph *parse(xfc_ctx *ctx, const narrow_case *c) {
    xfc_buf text = {.arena = ctx->arena};
    xfc_buf_printf(&text, "graph @g[n](%%x: f32[2, 5, 8], %%z: f32[n, 5, 8]) -> (%s \"y\") { %s return %%y }", c->type,
                   c->body);
    return xfc_parse_graph(ctx, text.text, text.n, c->what);
}

static xfc_part random_part(uint64_t *seed, int64_t size, int64_t *at) {
    xfc_part part = {0, at, size};
    for (int64_t i = 0; i < size; i++)
        if (test_between(seed, 0, 1)) at[part.n++] = i;
    if (part.n == 0) at[part.n++] = test_between(seed, 0, size - 1);
    return part;
}

/* out[0]: the whole; out[1]: its part. */
static void compare(const xfc_array *out, uint32_t dim, xfc_part part) {
    int64_t inner = 1, n = 0;
    for (uint32_t d = dim + 1; d < out[0].rank; d++) inner *= out[0].dim[d];
    int64_t outer = out[0].count / (inner * out[0].dim[dim]);
    const float *whole = out[0].data, *cut = out[1].data;
    if (!CHECK_INT(out[1].count, outer * part.n * inner)) return;
    for (int64_t i = 0; i < outer; i++)
        for (uint32_t k = 0; k < part.n; k++)
            for (int64_t j = 0; j < inner; j++)
                CHECK(memcmp(&cut[n++], &whole[(i * out[0].dim[dim] + part.at[k]) * inner + j], sizeof *cut) == 0);
}

static void check_part(xfc_ctx *ctx, xfc_graph *g, uint32_t dim, xfc_part part, xfc_value *cut, uint64_t *seed) {
    float x[COUNT_X];
    xfc_array in = {XFC_F32, 3, {2, 5, 8}, COUNT_X, x}, out[2];
    xfc_buf defects = {.arena = ctx->arena};
    for (int i = 0; i < COUNT_X; i++) x[i] = (float)test_between(seed, -1000, 1000) * 1e-3f;
    CHECK(xfc_graph_add_output(g, cut, "part"));
    CHECK(xfc_verify(g, &defects));
    if (!CHECK(xfc_eval_graph(g, (xfc_array[]){in, in}, 2, out, &(xfc_eval_opts){.arena = ctx->arena}) == XFC_OK))
        return;
    compare(out, dim, part);
}

static void check_case(const narrow_case *c, uint64_t *seed) {
    for (uint32_t dim = 0; c->dims[dim]; dim++) {
        for (int round = 0; round < ROUNDS; round++) {
            xfc_ctx *ctx = xfc_ctx_new();
            int64_t size = 0, at[64];
            xfc_graph *g = parse(ctx, c);
            if (!CHECK(g != NULL)) {
                xfc_diags_print(ctx, stderr, false);
                return;
            }
            xfc_value *y = g->last->in[0].value;
            if (!xfc_int_value(ctx, y->type.dim[dim], &size)) size = 1; /* open */
            xfc_part part = random_part(seed, size, at);
            xfc_narrow n = {.arena = ctx->arena};
            bool can = xfc_can_narrow(&n, y, dim, part);
            if (can != (c->dims[dim] == 'y') && (part.n < size || size == 1))
                fprintf(stderr, "%s: dim %u, %u of %d indices\n", c->what, dim, part.n, (int)size);
            CHECK(can == (c->dims[dim] == 'y') || part.n == size);
            CHECK(can || n.stuck != NULL);
            xfc_value *cut = xfc_narrowed(&n, y, dim, part);
            CHECK((cut != NULL) == can);
            CHECK(xfc_narrowed(&n, y, dim, part) == cut);
            if (cut && cut != y) check_part(ctx, g, dim, part, cut, seed);
            xfc_graph_free(g);
            xfc_ctx_free(ctx);
        }
    }
}

int main(void) {
    uint64_t seed = 2024;
    for (size_t i = 0; i < XFC_COUNT(cases); i++) check_case(&cases[i], &seed);
    return test_end();
}

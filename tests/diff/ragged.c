/* ragged.c - batches without their padding, through the whole compiler: masks of every kind and type.
 *
 * Each graph packs the tokens that its mask keeps, works on [T, ..], and unpacks; the same work over [B2, s, ..] takes
 * over where the mask is none. They are compiled at -O0, -O1 and -O2, also from their own text and with clones after
 * each pass, and run on masks that keep all, nothing, a prefix, a suffix, holes, one token, and on what is no mask: 2,
 * -1, 0.5, NaN.
 */
#include "tests/diff/diff.h"
#include "tests/unit/test.h"
#include <math.h>

typedef enum { NOTHING, ALL, PREFIX, LEFT, HOLES, ONE, MINUS_ZERO, TWO, MINUS_ONE, HALF, NOT_A_NUMBER, N_KINDS } kind;
static const char *const kind_name[N_KINDS] = {"nothing", "all", "prefix", "left",     "holes", "one token",
                                               "-0",      "2",   "-1",     "one half", "NaN"};

static xfc_ctx *ctx;
static diff_counts counts;
static uint64_t seed = 20221003;

/* What stands for the kind in a mask of this type; false: it has no such element. */
static bool odd_element(kind k, xfc_dtype t, double *out) {
    bool is_float = xfc_dtype_is_float(t), is_signed = is_float || xfc_dtype_class(t) == XFC_CLASS_SINT;
    switch (k) {
    case MINUS_ZERO: *out = -0.0; return is_float;
    case TWO: *out = 2; return t != XFC_BOOL;
    case MINUS_ONE: *out = -1; return is_signed;
    case HALF: *out = 0.5; return is_float;
    case NOT_A_NUMBER: *out = (double)NAN; return is_float;
    case NOTHING:
    case ALL:
    case PREFIX:
    case LEFT:
    case HOLES:
    case ONE:
    case N_KINDS: break;
    }
    *out = 0;
    return true;
}

static bool keeps(kind k, int64_t i, int64_t j, int64_t s, int64_t length) {
    if (k == NOTHING) return false;
    if (k == ALL) return true;
    if (k == LEFT) return j >= s - length;
    if (k == ONE) return i == 1 && j == s / 2;
    if (k == HOLES) return test_between(&seed, 0, 2) > 0;
    return j < length;
}

static bool fill_mask(xfc_array *mask, kind k) {
    int64_t b = mask->dim[0], s = mask->dim[1];
    double odd;
    if (!odd_element(k, mask->dtype, &odd)) return false;
    for (int64_t i = 0; i < b; i++) {
        int64_t length = i == 0 ? s : test_between(&seed, 0, s);
        for (int64_t j = 0; j < s; j++) {
            bool on = keeps(k, i, j, s, length), is_odd = k >= MINUS_ZERO && !on;
            double v = is_odd ? odd : (double)on;
            if (xfc_dtype_is_float(mask->dtype))
                xfc_element_set_f(mask->dtype, mask->data, i * s + j, v);
            else
                xfc_element_set_i(mask->dtype, mask->data, i * s + j, (int64_t)v);
        }
    }
    return true;
}

static xfc_array make_array(xfc_arena *arena, xfc_dtype t, uint32_t rank, const int64_t *dim) {
    xfc_array a = {.dtype = t, .rank = rank, .count = 1};
    for (uint32_t d = 0; d < rank; d++) a.count *= a.dim[d] = dim[d];
    a.data = xfc_alloc(arena, (size_t)a.count * xfc_dtype_bytes(t), 64);
    return a;
}

/* Inputs are x f32[b, s, 12] and the mask. */
static void check_mask(const compiled *c, xfc_graph *g, kind k, int64_t b, int64_t s) {
    xfc_arena *arena = xfc_arena_new();
    xfc_array in[2] = {make_array(arena, XFC_F32, 3, (int64_t[]){b, s, 12}),
                       make_array(arena, g->in[1]->type.dtype, 2, (int64_t[]){b, s})};
    oracle *o = xfc_new(arena, oracle);
    for (int64_t i = 0; i < in[0].count; i++) ((float *)in[0].data)[i] = (float)test_between(&seed, -99, 99) / 32;
    if (fill_mask(&in[1], k)) {
        bool ok =
            CHECK(oracle_run(g, in, o, arena)) && CHECK(!o->range_error) && CHECK(compiled_check(c, g, in, o, &counts));
        if (!ok) fprintf(stderr, "    mask %s, b = %lld, s = %lld\n", kind_name[k], (long long)b, (long long)s);
    }
    xfc_arena_free(arena);
}

enum { N_SIZES = 6, SMALL = 5 };
static void check_graph(const char *text, const diff_how *hows, uint32_t n_hows, uint32_t n_sizes) {
    static const int64_t sizes[N_SIZES][2] = {{4, 7}, {1, 1}, {0, 5}, {3, 0}, {2, 65}, {5, 130}};
    xfc_graph *g = xfc_parse_graph(ctx, text, strlen(text), "ragged.xf");
    if (!CHECK(g != NULL)) xfc_diags_print(ctx, stderr, false);
    for (uint32_t h = 0; g && h < n_hows; h++) {
        compiled c;
        if (!CHECK(compiled_make(&c, g, hows[h]))) continue;
        for (int k = 0; k < N_KINDS; k++)
            for (uint32_t i = 0; i < n_sizes; i++)
                if (i < SMALL || k == HOLES || k == HALF) check_mask(&c, g, (kind)k, sizes[i][0], sizes[i][1]);
        compiled_free(&c);
    }
    if (g) xfc_graph_free(g);
}

/* All tables are outputs themselves, and rows are moved there and back. */
static void tables(xfc_dtype t, bool first) {
    const diff_how hows[] = {
        {.level = 2, .isas = 2}, {.level = 2, .isas = 2, .checked = true}, {.level = 0, .isas = 1}};
    char text[2048];
    snprintf(text, sizeof text,
             "graph @tables[b in 0..64, s in 0..512](%%x: f32[b, s, 12], %%mask: %s[b, s]) -> (i64[3] \"counts\", "
             "i32[b + 1] \"cu\", i32[b * s] \"tok\", i32[b, s] \"inv\", i32[((s + 3) floordiv 4) * b, 2] \"tasks\", "
             "f32[b, s, 12] \"y\") {\n"
             "  %%counts, %%cu, %%tok, %%inv, %%tasks = seq_offsets %%mask {first = %d, size = [4]}\n"
             "  define T in 0..b * s, N in 0..((s + 3) floordiv 4) * b, B2 in 0..b = %%counts\n"
             "  %%flat = reshape %%x {shape = [b * s, 12]}\n"
             "  %%at = slice %%tok {start = [0], size = [T], step = [1]}\n"
             "  %%rows = gather %%flat, %%at {axis = 0} : f32[T, 12]\n"
             "  %%packed = neg %%rows\n"
             "  %%batch = slice %%x {start = [0, 0, 0], size = [B2, s, 12], step = [1, 1, 1]}\n"
             "  %%other = abs %%batch : f32[B2, s, 12]\n"
             "  %%y = pad_ragged %%packed, %%inv, %%other {fill = -7} : f32[b, s, 12]\n"
             "  return %%counts, %%cu, %%tok, %%inv, %%tasks, %%y\n}\n",
             xfc_dtype_name(t), first);
    check_graph(text, hows, t == XFC_I64 ? 2 : 1, t == XFC_I64 ? N_SIZES : SMALL);
}

/* Products, a norm and a softmax over tokens; sums over tokens and tasks; a result of another type without `other`. */
static void layers(void) {
    static const diff_how hows[] = {{.level = 0, .isas = 2, .reparse = true},
                                    {.level = 1, .isas = 4, .clone = true},
                                    {.level = 2, .isas = 7, .roundtrip = true},
                                    {.level = 2, .isas = 2, .reparse = true, .clone = true}};
    static const char text[] =
        "graph @layers[b in 0..64, s in 0..512](%x: f32[b, s, 12], %mask: f32[b, s]) -> (f32[b, s, 20] \"y\", "
        "i32[b, s] \"z\", f32[20] \"sum\", f32[] \"n\") {\n"
        "  %w = const : f32[12, 20] = random 5\n  %bias = const : f32[20] = random 6\n"
        "  %g = const : f32[20] = random 7\n"
        "  %counts, %cu, %tok, %inv, %tasks = seq_offsets %mask {first = 1, size = [64]}\n"
        "  define T in 0..b * s, N in 0..((s + 63) floordiv 64) * b, B2 in 0..b = %counts\n"
        "  %flat = reshape %x {shape = [b * s, 12]}\n"
        "  %at = slice %tok {start = [0], size = [T], step = [1]}\n"
        "  %rows = gather %flat, %at {axis = 0}\n"
        "  %0 = linear %rows, %w, %bias : f32[T, 20]\n"
        "  %1 = gelu %0\n  %2 = layernorm %1, %g {axis = 1, eps = 1e-5}\n  %3 = softmax %2 {axis = 1}\n"
        "  %4 = add %3, %2 : f32[T, 20]\n"
        "  %5 = reshape %4 {shape = [1, T, 20]}\n  %6 = transpose %5 {perm = [1, 0, 2]}\n"
        "  %packed = reshape %6 {shape = [T, 20]}\n"
        "  %batch = slice %x {start = [0, 0, 0], size = [B2, s, 12], step = [1, 1, 1]}\n"
        "  %10 = linear %batch, %w, %bias : f32[B2, s, 20]\n"
        "  %11 = gelu %10\n  %12 = layernorm %11, %g {axis = 2, eps = 1e-5}\n  %13 = softmax %12 {axis = 2}\n"
        "  %other = add %13, %12\n"
        "  %y = pad_ragged %packed, %inv, %other {fill = 0.5}\n"
        "  %at2 = mul %at, %at : i32[T]\n"
        "  %z = pad_ragged %at2, %inv {fill = -3} : i32[b, s]\n"
        "  %sum = reduce_sum %packed {axes = [0], keepdims = 0} : f32[20]\n"
        "  %used = slice %tasks {start = [0, 0], size = [N, 2], step = [1, 1]} : i32[N, 2]\n"
        "  %usedf = cast %used {to = f32}\n"
        "  %dims = dims {values = [T, N, T * N + B2], shape = [3], to = i64} : i64[3]\n"
        "  %dimsf = cast %dims {to = f32}\n"
        "  %n1 = reduce_sum %usedf {axes = [0, 1], keepdims = 0} : f32[]\n"
        "  %n2 = reduce_max %dimsf {axes = [0], keepdims = 0} : f32[]\n"
        "  %n = add %n1, %n2\n"
        "  return %y, %z, %sum, %n\n}\n";
    check_graph(text, hows, XFC_COUNT(hows), N_SIZES);
}

/* A second define stands on sizes of the first: how many tokens have a positive first element, packed again. */
static void nested(void) {
    static const diff_how hows[] = {{.level = 0, .isas = 2}, {.level = 2, .isas = 2, .roundtrip = true}};
    static const char text[] =
        "graph @nested[b in 0..64, s in 0..512](%x: f32[b, s, 12], %mask: i64[b, s]) -> (f32[b, s, 12] \"y\") {\n"
        "  %counts, %cu, %tok, %inv, %tasks = seq_offsets %mask {size = [64]}\n"
        "  define T in 0..b * s, N in 0..((s + 63) floordiv 64) * b, B2 in 0..b = %counts\n"
        "  %flat = reshape %x {shape = [b * s, 12]}\n"
        "  %at = slice %tok {start = [0], size = [T], step = [1]}\n"
        "  %rows = gather %flat, %at {axis = 0}\n"
        "  %first = slice %rows {start = [0, 0], size = [T, 1], step = [1, 1]}\n"
        "  %zero = const : f32[] = 0\n  %positive = gt %first, %zero : bool[T, 1]\n"
        "  %c2, %cu2, %tok2, %inv2, %tasks2 = seq_offsets %positive {size = [1]} : i64[3], i32[T + 1], i32[T], "
        "i32[T, 1], i32[T, 2]\n"
        "  define U in 0..T, M in 0..T, C2 in 0..T = %c2\n"
        "  %at2 = slice %tok2 {start = [0], size = [U], step = [1]}\n"
        "  %some = gather %rows, %at2 {axis = 0} : f32[U, 12]\n"
        "  %double = add %some, %some\n"
        "  %back = pad_ragged %double, %inv2 {fill = -1} : f32[T, 1, 12]\n"
        "  %packed = reshape %back {shape = [T, 12]}\n"
        "  %y = pad_ragged %packed, %inv {fill = 9} : f32[b, s, 12]\n"
        "  return %y\n}\n";
    check_graph(text, hows, XFC_COUNT(hows), N_SIZES);
}

int main(void) {
    ctx = xfc_ctx_new();
    for (int t = 0; t < XFC_COMPUTED_COUNT; t++) tables((xfc_dtype)t, t % 2);
    tables(XFC_I64, true);
    layers();
    nested();
    xfc_ctx_free(ctx);
    CHECK(diff_enough(&counts));
    return test_end();
}

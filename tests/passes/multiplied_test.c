/* multiplied_test.c - weights that are stored as factors: the product is the sum in the order of rows, bit for bit, of any
 * number of blocks and columns, and of values that were rounded. */
#include "ir/build.h"
#include "ir/made.h"
#include "passes/lossy/dsformer.h"
#include "tests/unit/test.h"

static float rounded(xfc_dtype type, double v) {
    uint32_t stored = 0;
    xfc_element_set_f(type, &stored, 0, v);
    if (type == XFC_F16) return xfc_half_to_float((uint16_t)stored);
    return type == XFC_BF16 ? xfc_bfloat_to_float((uint16_t)stored) : (float)v;
}

/* From tiny, which f16 has no normal numbers for, to large. */
static float any(uint64_t *seed, xfc_dtype type) {
    static const double scale[] = {1e-6, 1e-2, 1, 1000};
    return rounded(type, scale[test_between(seed, 0, 3)] * (double)test_between(seed, -1000, 1000) / 512);
}

static xfc_factor_pair random_pair(xfc_arena *arena, uint64_t *seed, int64_t rows, int64_t columns, xfc_factor_shape s,
                                   xfc_dtype type) {
    const int64_t atoms = s.blocks * s.atoms;
    xfc_factor_pair f = {.shape = s};
    f.dense = xfc_new_array(arena, float, (size_t)(rows * s.atoms));
    f.sparse = xfc_new_array(arena, float, (size_t)(atoms * columns));
    for (int64_t i = 0; i < rows * s.atoms; i++) f.dense[i] = any(seed, type);
    for (int64_t b = 0; b < s.blocks; b++)
        for (int64_t j = 0; j < columns; j++)
            for (int64_t e = 0; e < s.entries; e++) {
                int64_t a = s.entries == s.atoms ? e : test_between(seed, 0, s.atoms - 1);
                f.sparse[(b * s.atoms + a) * columns + j] = any(seed, type);
            }
    return f;
}

static float element(const xfc_factor_pair *f, int64_t length, int64_t columns, int64_t i, int64_t j) {
    const int64_t block = i / length;
    volatile float sum = 0, product; /* rounded each */
    for (int64_t a = 0; a < f->shape.atoms; a++) {
        float v = f->sparse[(block * f->shape.atoms + a) * columns + j];
        product = v * f->dense[i * f->shape.atoms + a];
        if (v != 0) sum = sum + product;
    }
    return sum;
}

static void check_product(xfc_ctx *ctx, xfc_arena *arena, uint64_t *seed, int64_t rows, int64_t columns,
                          xfc_factor_shape s, xfc_dtype type) {
    const xfc_factor_pair f = random_pair(arena, seed, rows, columns, s, type);
    const xfc_tensor *w = xfc_factors_multiplied(ctx, &f, rows, columns, type);
    const float *data = w->data;
    bool same = true;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            same &= data[i * columns + j] == element(&f, rows / s.blocks, columns, i, j);
    CHECK(same);
    const xfc_made *made = xfc_tensor_made(ctx, w);
    CHECK(made && made->number == columns && made->in[0]->dtype == type && made->in[2]->dtype == type);
    CHECK(made && made->in[1]->dtype == (s.atoms <= 256 ? XFC_U8 : XFC_U16));
    CHECK(made && (made->in[1]->count == 0) == (s.entries == s.atoms));
}

int main(void) {
    static const xfc_dtype types[] = {XFC_F32, XFC_F16, XFC_BF16};
    static const struct {
        int64_t rows, columns;
        xfc_factor_shape shape;
    } cases[] = {{5, 7, {1, 3, 2}},      {48, 96, {1, 16, 4}},  {96, 50, {2, 48, 5}}, {147, 49, {3, 20, 20}},
                 {300, 13, {1, 257, 9}}, {64, 4, {4, 256, 40}}, {97, 1, {1, 1, 1}}};
    xfc_ctx *ctx = xfc_ctx_new();
    uint64_t seed = 7;
    for (size_t i = 0; i < XFC_COUNT(cases); i++)
        for (size_t k = 0; k < XFC_COUNT(types); k++) {
            xfc_arena *arena = xfc_arena_new();
            check_product(ctx, arena, &seed, cases[i].rows, cases[i].columns, cases[i].shape, types[k]);
            xfc_arena_free(arena);
        }
    xfc_ctx_free(ctx);
    return test_end();
}

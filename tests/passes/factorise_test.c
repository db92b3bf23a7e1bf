/* factorise_test.c - the solver of dsformer: what was planted is found, more atoms or entries never make it worse, with
 * inputs known their error is what falls, and twice the same comes out. */
#include "passes/dsformer/factorise.h"
#include "passes/dsformer/linalg.h"
#include "tests/unit/test.h"
#include <math.h>

static float normal(uint64_t *seed) {
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += (double)test_between(seed, 0, 1 << 20) * 0x1p-20;
    return (float)(sum - 6);
}

static float *random_matrix(xfc_arena *arena, uint64_t *seed, int64_t n) {
    float *x = xfc_new_array(arena, float, (size_t)n);
    for (int64_t i = 0; i < n; i++) x[i] = normal(seed);
    return x;
}

/* Every column a sum of `entries` of the atoms. */
static float *planted(xfc_arena *arena, uint64_t *seed, int64_t rows, int64_t columns, int64_t atoms, int64_t entries) {
    const float *d = random_matrix(arena, seed, rows * atoms);
    float *s = xfc_new_array(arena, float, (size_t)(atoms * columns)),
          *w = xfc_new_array(arena, float, (size_t)(rows * columns));
    for (int64_t j = 0; j < columns; j++)
        for (int64_t e = 0; e < entries; e++) s[test_between(seed, 0, atoms - 1) * columns + j] = normal(seed);
    xfc_la_product(d, s, w, rows, atoms, columns);
    return w;
}

/* |x (w - d s)| / |x w| by plain sums; gram NULL: |w - d s| / |w|. */
static double error_of(const xfc_factor_task *t, const xfc_factor_pair *f) {
    xfc_arena *arena = xfc_arena_new();
    int64_t g = f->shape.blocks, length = t->rows / g, n = t->columns;
    float *left = xfc_new_array(arena, float, (size_t)(t->rows * n));
    double lost = 0, all = 0;
    for (int64_t b = 0; b < g; b++)
        xfc_la_product(f->dense + b * length * f->shape.atoms, f->sparse + b * f->shape.atoms * n,
                       left + b * length * n, length, f->shape.atoms, n);
    for (int64_t i = 0; i < t->rows * n; i++) left[i] = t->w[i] - left[i];
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < t->rows; i++)
            for (int64_t k = t->gram ? 0 : i; k < (t->gram ? t->rows : i + 1); k++) {
                double weight = t->gram ? t->gram[i * t->rows + k] : 1;
                lost += weight * (double)left[i * n + j] * (double)left[k * n + j];
                all += weight * (double)t->w[i * n + j] * (double)t->w[k * n + j];
            }
    xfc_arena_free(arena);
    return sqrt(lost / all);
}

static void finds_what_was_planted(uint64_t seed) {
    xfc_arena *arena = xfc_arena_new();
    const xfc_factor_task t = {.rows = 64, .columns = 800, .w = planted(arena, &seed, 64, 800, 32, 4)};
    const xfc_factor_pair f = xfc_factorise(arena, &t, (xfc_factor_shape){1, 32, 4}, 1000);
    CHECK(f.error < 1e-3);
    CHECK(error_of(&t, &f) < 1e-3);
    for (int64_t j = 0; j < t.columns; j++) {
        int64_t n = 0;
        for (int64_t k = 0; k < 32; k++) n += f.sparse[k * t.columns + j] != 0;
        CHECK(n <= 4);
    }
    xfc_arena_free(arena);
}

static void more_is_no_worse(void) {
    xfc_arena *arena = xfc_arena_new();
    uint64_t seed = 4;
    const xfc_factor_task t = {.rows = 48, .columns = 96, .w = random_matrix(arena, &seed, 48 * 96)};
    double last = 1;
    for (int64_t n = 2; n <= 16; n += 2) { /* of 32 atoms */
        const xfc_factor_pair f = xfc_factorise(arena, &t, (xfc_factor_shape){1, 32, n}, 8);
        CHECK(fabs(f.error - error_of(&t, &f)) < 1e-3);
        CHECK(f.error < last);
        last = f.error;
    }
    last = 1;
    for (int64_t atoms = 8; atoms <= 40; atoms += 8) {
        const xfc_factor_pair f = xfc_factorise(arena, &t, (xfc_factor_shape){1, atoms, 4}, 8);
        CHECK(f.error < last);
        last = f.error;
    }
    xfc_arena_free(arena);
}

/* A full second factor gives the best of its rank: no start and no round finds a better one. */
static void full_is_the_decomposition(void) {
    xfc_arena *arena = xfc_arena_new();
    uint64_t seed = 5;
    const float *a = random_matrix(arena, &seed, 40 * 6), *b = random_matrix(arena, &seed, 6 * 60);
    float *w = xfc_new_array(arena, float, 40 * 60);
    xfc_la_product(a, b, w, 40, 6, 60);
    const xfc_factor_task t = {.rows = 40, .columns = 60, .w = w};
    const xfc_factor_pair f = xfc_factorise(arena, &t, (xfc_factor_shape){1, 6, 6}, 1),
                          less = xfc_factorise(arena, &t, (xfc_factor_shape){1, 5, 5}, 1);
    CHECK(error_of(&t, &f) < 1e-3);
    CHECK(error_of(&t, &less) > 0.1);
    xfc_arena_free(arena);
}

/* Inputs of few directions: what they do not have costs nothing. */
static void inputs_count(void) {
    enum { ROWS = 32, COLUMNS = 64 };
    xfc_arena *arena = xfc_arena_new();
    uint64_t seed = 6;
    const float *x = random_matrix(arena, &seed, 12 * ROWS);
    xfc_factor_task t = {
        .rows = ROWS, .columns = COLUMNS, .w = random_matrix(arena, &seed, ROWS * COLUMNS), .blocks = 1};
    double *gram = xfc_new_array(arena, double, (size_t)ROWS *ROWS);
    for (int k = 0; k < 12; k++)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < ROWS; j++) gram[i * ROWS + j] += (double)x[k * ROWS + i] * (double)x[k * ROWS + j];
    const xfc_factor_shape s = {1, 16, 6};
    const xfc_factor_pair blind = xfc_factorise(arena, &t, s, 8);
    t.gram = gram;
    const xfc_factor_pair seeing = xfc_factorise(arena, &t, s, 8);
    CHECK(error_of(&t, &seeing) < 0.8 * error_of(&t, &blind));
    const xfc_factor_pair again = xfc_factorise(arena, &t, s, 8);
    CHECK(memcmp(again.dense, seeing.dense, sizeof(float) * ROWS * 16) == 0);
    CHECK(memcmp(again.sparse, seeing.sparse, sizeof(float) * 16 * COLUMNS) == 0);
    xfc_arena_free(arena);
}

static void shapes_fit(void) {
    const xfc_factor_task t = {.rows = 768, .columns = 3072, .value_bytes = 4};
    for (int64_t per = 1; per <= 4; per++)
        for (int64_t blocks = 1; blocks <= 4; blocks *= 2) {
            int64_t bytes = 4 * t.rows * t.columns / 2;
            const xfc_factor_shape s = xfc_factor_fit(&t, blocks, per, bytes);
            CHECK(s.atoms >= per * s.entries && s.entries > 0);
            bool all = s.atoms == t.rows / blocks; /* there are no more */
            CHECK(xfc_factor_bytes(&t, s) <= bytes && (all || xfc_factor_bytes(&t, s) > bytes * 4 / 5));
        }
    CHECK_INT(xfc_factor_bytes(&t, (xfc_factor_shape){1, 256, 128}), 4 * 768 * 288 + 5 * 128 * 3072);
    CHECK_INT(xfc_factor_bytes(&t, (xfc_factor_shape){2, 256, 128}), 4 * 768 * 288 + 6 * 2 * 128 * 3072);
    CHECK_INT(xfc_factor_bytes(&t, (xfc_factor_shape){1, 240, 240}), 4 * 768 * 240 + 4 * 240 * 3072);
    CHECK_INT(xfc_factor_bytes(&t, (xfc_factor_shape){2, 240, 240}), 4 * 768 * 240 + 4 * 2 * 240 * 3072);
    CHECK_INT(xfc_factor_fit(&t, 1, 2, 100).atoms, 0);
    const xfc_factor_task half = {.rows = 768, .columns = 3072, .value_bytes = 2};
    CHECK_INT(xfc_factor_bytes(&half, (xfc_factor_shape){1, 256, 128}), 2 * 768 * 288 + 3 * 128 * 3072);
    CHECK_INT(xfc_factor_bytes(&half, (xfc_factor_shape){1, 240, 240}), 2 * 768 * 240 + 2 * 240 * 3072);
    CHECK_INT(xfc_factor_whole(&half, 4), 4 * 768 * 3072);
}

int main(void) {
    for (uint64_t seed = 1; seed < 31; seed++) finds_what_was_planted(seed);
    more_is_no_worse();
    full_is_the_decomposition();
    inputs_count();
    shapes_fit();
    return test_end();
}

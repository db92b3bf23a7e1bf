/* test_keep_largest.c - keep_largest under sanitizers, in memory of just the size, however its tasks are divided. */
#include "runtime/kernels/keep_largest.c"
#include "tests/unit/test.h"

#include <math.h>

static uint64_t seed = 1;

static xk_i64 below(xk_i64 n) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (xk_i64)((seed >> 33) % (uint64_t)n);
}

/* What is left of a row are the elements that fewer than k are larger than. */
static bool is_kept(const float *x, const float *y, xk_i64 n, xk_i64 k) {
    for (xk_i64 i = 0; i < n; i++) {
        xk_i64 larger = 0;
        for (xk_i64 j = 0; j < n; j++) larger += isnan(x[i]) ? 0 : isnan(x[j]) || x[j] > x[i];
        if (larger < k ? memcmp(&x[i], &y[i], sizeof *x) != 0 : !(isinf(y[i]) && y[i] < 0)) return false;
    }
    return true;
}

static void check(xk_i64 rows, xk_i64 n, xk_i64 k, xk_i64 values) {
    static const float special[] = {0.0f, -0.0f, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
    const xk_i64 dim[2] = {rows, n};
    float *x = malloc((size_t)(rows * n) * sizeof *x), *y = malloc((size_t)(rows * n) * sizeof *y);
    for (xk_i64 i = 0; i < rows * n; i++) x[i] = below(20) ? (float)below(values) - 4 : special[below(5)];
    const xk_array array[] = {{x, dim, 2, 2 | 32 << 8 | 1 << 16}, {y, dim, 2, 2 | 32 << 8 | 1 << 16}};
    const xk_number number = {k};
    const xk_call call = {array, &number};
    xk_work work = xk_keep_largest_work(&call);
    CHECK(work.tasks == rows);
    for (xk_i64 at = 0, end; at < work.tasks; at = end) {
        end = at + 1 + below(work.tasks - at);
        void *scratch = malloc((size_t)work.scratch);
        xk_keep_largest(&call, at, end, scratch);
        free(scratch);
    }
    for (xk_i64 i = 0; i < rows; i++) CHECK(is_kept(x + i * n, y + i * n, n, k));
    free(x), free(y);
}

/* Memory is planned for the most: more rows or longer ones never need less. */
static void check_work(void) {
    static const xk_i64 size[] = {0, 1, 5, 1 << 13, (xk_i64)1 << 40, (xk_i64)1 << 61, XK_MOST(xk_i64) - 1};
    xk_i64 before = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        const xk_i64 dim[2] = {size[i] ? 1 : 0, size[i]};
        const xk_array array[] = {{0, dim, 2, 2 | 32 << 8}, {0, dim, 2, 2 | 32 << 8}};
        xk_work work = xk_keep_largest_work(&(xk_call){array, &(xk_number){1}});
        CHECK(work.scratch >= before && work.grain >= 1);
        before = work.scratch;
    }
}

int main(void) {
    for (int i = 0; i < 100; i++) {
        xk_i64 n = 1 + below(i % 5 ? 40 : 1100);
        check(1 + below(4), n, 1 + below(n + 2), i % 2 ? 9 : 100000);
    }
    check_work();
    return test_end();
}

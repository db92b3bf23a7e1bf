/* test_reach.c - reach under sanitizers, in memory of just the size, however its tasks are divided: no key outside has a weight
 * in any row of the block, and the panels at both ends have one that is not hidden. */
#include "runtime/kernels/reach.c"
#include "tests/unit/test.h"

#include <math.h>

enum { BLOCK = 4, PANEL = 5 };

static uint64_t seed = 1;

static xk_i64 below(xk_i64 n) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (xk_i64)((seed >> 33) % (uint64_t)n);
}

/* Mostly hidden, or mostly seen, or odd. */
static float bias_of(xk_i64 kind) {
    static const float odd[] = {-1e30f, -1e4f, -59999, -60001, -65504, -3.4e38f, -INFINITY, 1e30f, 0, 3};
    if (kind == 3) return odd[below(10)];
    return kind && below(8) ? 0.5f : kind == 2 ? -3.4e38f : -INFINITY;
}

/* Is there a key outside of first .. end - 1 whose weight, as floats are, is not that without it? */
static int is_missed(const float *bias, xk_i64 n, xk_i64 first, xk_i64 end) {
    float top = -INFINITY;
    for (xk_i64 j = 0; j < n; j++) top = fmaxf(top, bias[j]);
    if (isinf(top)) return 0; /* NaN, whichever keys there are */
    for (xk_i64 j = 0; j < n; j++)
        if ((j < first || j >= end) && expf(bias[j] - top) != 0) return 1;
    return 0;
}

static int is_hidden(const float *bias, xk_i64 rows, xk_i64 n, xk_i64 panel) {
    for (xk_i64 r = 0; r < rows; r++) {
        float top = -INFINITY;
        for (xk_i64 j = 0; j < n; j++) top = fmaxf(top, bias[r * n + j]);
        for (xk_i64 j = panel * PANEL; j < n && j < (panel + 1) * PANEL; j++)
            if (isfinite(bias[r * n + j]) && bias[r * n + j] >= top - 60000) return 0;
    }
    return 1;
}

static void check_block(const float *bias, xk_i64 rows, xk_i64 n, const xk_i32 *at) {
    const xk_i64 end = (n + PANEL - 1) / PANEL;
    CHECK(0 <= at[0] && at[0] <= at[1] && at[1] <= end && (at[0] < at[1] || n == 0));
    for (xk_i64 r = 0; r < rows; r++) CHECK(!is_missed(bias + r * n, n, at[0] * PANEL, at[1] * PANEL));
    if (at[1] - at[0] <= 1) return;
    CHECK(!is_hidden(bias, rows, n, at[0]) && !is_hidden(bias, rows, n, at[1] - 1));
}

static void check(xk_i64 lead, xk_i64 rows, xk_i64 n, xk_i64 kind) {
    const xk_i64 blocks = (rows + BLOCK - 1) / BLOCK, dim[3] = {lead, rows, n}, to[4] = {1, lead, blocks, 2};
    float *x = malloc((size_t)(lead * rows * n) * sizeof *x);
    xk_i32 *y = malloc((size_t)(lead * blocks * 2) * sizeof *y);
    for (xk_i64 i = 0; i < lead * rows * n; i++) x[i] = bias_of(kind);
    const xk_array array[] = {{x, dim, 3, 2 | 32 << 8 | 1 << 16}, {y, to, 4, 0 | 32 << 8 | 1 << 16}};
    const xk_number number[2] = {{BLOCK}, {PANEL}};
    const xk_call call = {array, number};
    const xk_work work = xk_reach_work(&call);
    CHECK(work.tasks == lead * blocks && work.grain >= 1 && work.scratch == 0);
    for (xk_i64 begin = 0, end; begin < work.tasks; begin = end) {
        end = begin + 1 + below(work.tasks - begin);
        xk_reach(&call, begin, end, NULL);
    }
    for (xk_i64 i = 0; i < lead * blocks; i++) {
        const xk_i64 first = i % blocks * BLOCK, left = rows - first;
        check_block(x + (i / blocks * rows + first) * n, left < BLOCK ? left : BLOCK, n, y + i * 2);
    }
    free(x), free(y);
}

int main(void) {
    for (int i = 0; i < 2000; i++) check(below(3), below(11), below(40), i % 4);
    return test_end();
}

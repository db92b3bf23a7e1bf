/* test_tokens.c - match_scores, match_ragged and merge_tokens whatever their operands hold: under sanitizers, in memory of just the
 * size, and the same however the tasks are divided. */
#include "runtime/kernels/match_scores.c"
#define best_of ragged_best_of
#define find ragged_find
#define LANES ragged_lanes
#include "runtime/kernels/match_ragged.c"
#undef best_of
#undef find
#undef LANES
#define sizes merge_sizes
#define sizes_of merge_sizes_of
#include "runtime/kernels/merge_tokens.c"
#undef sizes
#undef sizes_of
#include "tests/unit/test.h"

static uint64_t seed = 1;

static xk_i64 below(xk_i64 n) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (xk_i64)((seed >> 33) % (uint64_t)n);
}

static float *floats(xk_i64 n) {
    static const float special[] = {0.0f, -0.0f, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
    float *x = malloc((size_t)n * sizeof *x);
    for (xk_i64 i = 0; i < n; i++) x[i] = below(4) ? (float)below(9) - 4 : special[below(5)];
    return x;
}

typedef void run_fn(const xk_call *, xk_i64, xk_i64, void *);

static void in_parts(run_fn *run, const xk_call *c, xk_work work) {
    for (xk_i64 at = 0, end; at < work.tasks; at = end) {
        end = at + 1 + below(work.tasks - at);
        void *scratch = malloc((size_t)work.scratch);
        run(c, at, end, scratch);
        free(scratch);
    }
}

/* Every place is taken, whatever the scores are; the protected tokens stay in front. */
static void check_match(xk_i64 b, xk_i64 n, xk_i64 protect) {
    xk_i64 from[3] = {b, (n + 1) / 2, n / 2}, to[2] = {b, n}, most = n > protect ? (n - protect) / 2 : 0;
    xk_i64 r = below(most + 1);
    xk_i32 *at = malloc((size_t)(b * n) * sizeof *at);
    const xk_array array[] = {{floats(b * from[1] * from[2]), from, 3, 0}, {at, to, 2, 0}};
    const xk_number number[] = {{r}, {protect}};
    const xk_call c = {array, number};
    in_parts(xk_match_scores, &c, xk_match_scores_work(&c));
    for (xk_i64 i = 0; i < b; i++) {
        for (xk_i64 j = 0; j < n - r; j++) {
            xk_i64 have = 0;
            for (xk_i64 k = 0; k < n; k++) have += at[i * n + k] == j;
            CHECK(j < protect ? have == 1 && at[i * n + j] == j : have >= 1);
        }
    }
    free(array[0].data);
    free(at);
}

/* Sequences, or anything: each token has a place among those left, or cu is none and no token has any. */
static void check_ragged(xk_i64 b, xk_i64 rows, xk_i64 width, int is_list) {
    xk_i64 x[2] = {rows, width}, starts = b + 1, front = below(4), back = below(4), lost = 0;
    xk_i32 *cu = malloc((size_t)starts * sizeof *cu), *to = malloc((size_t)rows * sizeof *to),
           *left = malloc((size_t)b * sizeof *left);
    cu[0] = 0;
    for (xk_i64 i = 1; i <= b; i++)
        cu[i] = (xk_i32)(is_list ? cu[i - 1] + below(rows - cu[i - 1] + 1) : below(2 * rows + 9) - 4);
    const xk_array array[] = {{floats(rows * width), x, 2, 0}, {cu, &starts, 1, 0}, {to, x, 1, 0}, {left, &b, 1, 0}};
    const xk_number number[] = {{below(501)}, {.f = below(2) ? -(double)__builtin_inff() : 1}, {front}, {back}};
    const xk_call c = {array, number};
    for (xk_i64 i = 0; i < rows; i++) to[i] = 99;
    for (xk_i64 i = 0; i < b; i++) left[i] = 99;
    in_parts(xk_match_ragged, &c, xk_match_ragged_work(&c));
    for (xk_i64 i = 0; i < b && is_list; i++) {
        xk_i64 n = cu[i + 1] - cu[i], front_of = front < n ? front : n;
        CHECK(left[i] <= n && left[i] >= n - n * number[0].i / 1000);
        for (xk_i64 j = 0; j < left[i]; j++) {
            xk_i64 have = 0;
            for (xk_i64 k = 0; k < n; k++) have += to[cu[i] + k] == j;
            CHECK(j < front_of || j >= left[i] - back ? have == 1 : have >= 1);
        }
        for (xk_i64 k = 0; k < n; k++) CHECK(to[cu[i] + k] >= 0 && to[cu[i] + k] < left[i]);
        if (back > 0 && n > 0) CHECK(to[cu[i + 1] - 1] == left[i] - 1);
    }
    for (xk_i64 i = 0; i < rows; i++) lost += to[i] == -1;
    CHECK(!is_list || lost == rows - cu[b]);
    for (xk_i64 i = 0; i < b && lost == rows && rows > 0; i++) CHECK(left[i] == 0);
    free(array[0].data), free(cu), free(to), free(left);
}

static void check_merge(xk_i64 b, xk_i64 n, xk_i64 m, xk_i64 width) {
    xk_i64 x[3] = {b, n, width}, y[3] = {b, m, width};
    xk_i32 *to = malloc((size_t)(b * n) * sizeof *to);
    float *mean[2], *mass[2];
    for (xk_i64 i = 0; i < b * n; i++) to[i] = (xk_i32)(below(m + 3) - 1);
    float *from = floats(b * n * width), *weight = floats(b * n);
    for (int i = 0; i < 2; i++) {
        mean[i] = calloc((size_t)(b * m * width) + 1, sizeof(float)), mass[i] = calloc((size_t)(b * m), sizeof(float));
        const xk_array array[] = {
            {from, x, 3, 0}, {to, x, 2, 0}, {weight, x, 2, 0}, {mean[i], y, 3, 0}, {mass[i], y, 2, 0}};
        const xk_number number[] = {{m}};
        const xk_call c = {array, number};
        xk_work work = xk_merge_tokens_work(&c);
        void *scratch = malloc((size_t)work.scratch);
        if (i)
            xk_merge_tokens(&c, 0, work.tasks, scratch);
        else
            in_parts(xk_merge_tokens, &c, work);
        free(scratch);
    }
    CHECK(memcmp(mean[0], mean[1], (size_t)(b * m * width) * sizeof(float)) == 0);
    CHECK(memcmp(mass[0], mass[1], (size_t)(b * m) * sizeof(float)) == 0);
    for (int i = 0; i < 2; i++) free(mean[i]), free(mass[i]);
    free(from);
    free(weight);
    free(to);
}

int main(void) {
    for (int i = 0; i < 500; i++) {
        check_match(1 + below(3), 1 + below(60), below(9) ? below(3) : below(70));
        check_ragged(below(5), below(60), below(5) ? below(20) : below(80), below(3) > 0);
        check_merge(1 + below(3), 1 + below(40), 1 + below(40), below(5) ? below(20) : below(300));
    }
    return test_end();
}

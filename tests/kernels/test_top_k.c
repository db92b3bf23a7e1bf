/* test_top_k.c - the sorting inside top_k, which its results cannot show: it is right wherever its patience ends, and
 * nothing is read or written outside of the scratch that was asked for. */
#include "runtime/kernels/top_k.c"
#include "tests/unit/test.h"

static uint64_t seed = 1;

static xk_i64 below(xk_i64 n) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (xk_i64)((seed >> 33) % (uint64_t)n);
}

/* The first k are those with the fewest in front of them, in order if they were sorted. */
static bool is_arranged(const entry *a, const entry *was, xk_i64 n, xk_i64 k, int sorted) {
    for (xk_i64 i = 0; i < n; i++) {
        xk_i64 place = 0, at = -1;
        for (xk_i64 j = 0; j < n; j++) place += before(was[j], was[i]);
        for (xk_i64 j = 0; j < k; j++)
            if (a[j].at == was[i].at) at = j;
        if (place < k ? at < 0 || (sorted && at != place) : at >= 0) return false;
    }
    return true;
}

static void check_arrange(xk_i64 n, xk_i64 k, int sorted, int splits, xk_i64 values) {
    entry a[300], was[300];
    for (xk_i64 i = 0; i < n; i++) a[i] = was[i] = (entry){below(values), i};
    arrange(a, n, k, sorted, splits);
    if (!CHECK(is_arranged(a, was, n, k, sorted)))
        fprintf(stderr, "    n %d, k %d, sorted %d, splits %d\n", (int)n, (int)k, sorted, splits);
}

/* A row of its own block of memory, and scratch of just the size: sanitizers see what lies beside them. */
static void check_memory(xk_i64 n, xk_i64 k) {
    float *x = calloc((size_t)n + 1, sizeof *x), *value = calloc((size_t)k + 1, sizeof *value);
    xk_i64 *at = calloc((size_t)k + 1, sizeof *at), one[1] = {n}, few[1] = {k};
    for (xk_i64 i = 0; i < n; i++) x[i] = (float)below(1000);
    const xk_array array[] = {
        {x, one, 1, 2 | 32 << 8 | 1 << 16}, {value, few, 1, 2 | 32 << 8 | 1 << 16}, {at, few, 1, 64 << 8 | 1 << 16}};
    const xk_number number[] = {{0}, {k}, {1}};
    const xk_call call = {array, number};
    xk_work work = xk_top_k_work(&call);
    void *scratch = malloc((size_t)work.scratch + 1);
    xk_top_k(&call, 0, work.tasks, scratch);
    for (xk_i64 i = 1; i < k; i++) CHECK(value[i - 1] >= value[i] && value[i] >= x[at[i]] && value[i] <= x[at[i]]);
    free(scratch), free(x), free(value), free(at);
}

static xk_work work_of(xk_i64 rows, xk_i64 n, xk_i64 inner, xk_i64 k) {
    const xk_i64 dim[3] = {rows, n, inner}, few[3] = {rows, k, inner};
    const xk_array array[] = {{0, dim, 3, 0}, {0, few, 3, 0}, {0, few, 3, 0}};
    const xk_number number[] = {{1}, {k}, {1}};
    return xk_top_k_work(&(xk_call){array, number});
}

/* More of everything never needs less, as memory is planned for the most; what cannot be had is asked for. */
static void check_work(void) {
    const xk_i64 huge = (xk_i64)1 << 61;
    for (xk_i64 n = 0; n < 120; n++)
        for (xk_i64 k = 0; k <= n; k++) {
            xk_work work = work_of(3, n, 5, k);
            CHECK_INT(work.tasks, k ? 15 : 0);
            CHECK(work.grain >= 1 && work.scratch <= work_of(3, n + 1, 5, k).scratch);
            CHECK(k == n || work.scratch <= work_of(3, n, 5, k + 1).scratch);
        }
    CHECK_INT(work_of(huge, 8, 0, 8).tasks, 0);
    CHECK_INT(work_of(huge, 8, 0, 8).scratch, 0);
    CHECK_INT(work_of(1, huge, 1, huge / 2).scratch, INT64_MAX);
}

int main(void) {
    for (int i = 0; i < 3000; i++) {
        xk_i64 n = 1 + below(300), k = 1 + below(n);
        check_arrange(n, k, i % 2, (int)below(4) ? (int)below(9) : most_splits(n), i % 3 ? 1 << 30 : 4);
    }
    for (xk_i64 n = 1; n < 400; n += 13)
        for (xk_i64 k = 0; k <= n; k += 1 + n / 7) check_memory(n, k);
    check_work();
    return test_end();
}

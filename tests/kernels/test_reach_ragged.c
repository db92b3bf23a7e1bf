/* test_reach_ragged.c - reach_ragged under sanitizers, in memory of just the size: no key outside has a weight in any row of the
 * block, by the positions of both; lists that do not fit are read in bounds. */
#include "runtime/kernels/reach_ragged.c"
#include "tests/unit/test.h"

#include <math.h>

enum { BLOCK = 4, PANEL = 5, MOST = 64 };

static uint64_t seed = 1;

static xk_i64 below(xk_i64 n) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (xk_i64)((seed >> 33) % (uint64_t)n);
}

static void *filled(size_t bytes, const void *from) {
    void *to = malloc(bytes);
    if (bytes) memcpy(to, from, bytes);
    return to;
}

typedef struct {
    xk_i64 n, rows, size, tasks, lead, across;
    xk_i32 cu[8], pos[MOST], task[2 * MOST];
    float bias[4 * 16 * 16];
} lists;

static lists some_lists(void) {
    lists l = {.n = below(4), .size = 1 + below(16)};
    for (xk_i64 i = 0; i < l.n; i++) {
        const xk_i64 length = below(l.size + 1);
        for (xk_i64 j = 0, at = 0; j < length; j++) {
            at += at + (length - j) < l.size && below(3) == 0; /* a hole */
            l.pos[l.rows + j] = (xk_i32)at++;
        }
        for (xk_i64 r = 0; r < length; r += BLOCK) {
            l.task[2 * l.tasks] = (xk_i32)i;
            l.task[2 * l.tasks++ + 1] = (xk_i32)r;
        }
        l.rows += length;
        l.cu[i + 1] = (xk_i32)l.rows;
    }
    l.lead = below(2) && l.n ? l.n : 1;
    l.across = below(2) ? l.size : 1;
    for (xk_i64 i = 0; i < l.lead * l.across * l.size; i++) l.bias[i] = below(3) ? -INFINITY : below(2) ? -65504 : 1;
    return l;
}

static float bias_of(const lists *l, xk_i64 b, xk_i64 row, xk_i64 key) {
    const xk_i64 at = (l->lead == 1 ? 0 : b) * l->across + (l->across == 1 ? 0 : l->pos[l->cu[b] + row]);
    return l->bias[at * l->size + l->pos[l->cu[b] + key]];
}

static void check_task(const lists *l, const xk_i32 *task, const xk_i32 *at) {
    const xk_i64 b = task[0], n = l->cu[b + 1] - l->cu[b], panels = (n + PANEL - 1) / PANEL;
    CHECK(0 <= at[0] && at[0] < at[1] && at[1] <= panels);
    for (xk_i64 r = task[1]; r < n && r < task[1] + BLOCK; r++) {
        float top = -INFINITY;
        for (xk_i64 j = 0; j < n; j++) top = fmaxf(top, bias_of(l, b, r, j));
        for (xk_i64 j = 0; j < n && !isinf(top); j++)
            CHECK((j >= at[0] * PANEL && j < at[1] * PANEL) || expf(bias_of(l, b, r, j) - top) == 0);
    }
}

/* wrong: some numbers of the lists become any others. */
static void check(int wrong) {
    lists l = some_lists();
    for (int i = 0; i < wrong; i++) {
        xk_i32 *of[3] = {&l.cu[below(l.n + 1)], &l.pos[l.rows ? below(l.rows) : 0],
                         &l.task[l.tasks ? below(2 * l.tasks) : 0]};
        *of[below(3)] = (xk_i32)(below(2) ? below(40) - 20 : (below(2) ? 1 : -1) * (xk_i64)0x7fffffff);
    }
    const xk_i64 dim[5][4] = {{l.lead, 1, l.across, l.size}, {l.n + 1}, {l.tasks, 2}, {l.rows}, {l.tasks, 2}};
    xk_array array[5] = {{filled((size_t)(l.lead * l.across * l.size) * 4, l.bias), dim[0], 4, 2 | 32 << 8 | 1 << 16},
                         {filled((size_t)(l.n + 1) * 4, l.cu), dim[1], 1, 32 << 8 | 1 << 16},
                         {filled((size_t)l.tasks * 8, l.task), dim[2], 2, 32 << 8 | 1 << 16},
                         {filled((size_t)l.rows * 4, l.pos), dim[3], 1, 32 << 8 | 1 << 16},
                         {malloc((size_t)l.tasks * 8), dim[4], 2, 32 << 8 | 1 << 16}};
    const xk_number number[2] = {{BLOCK}, {PANEL}};
    const xk_call call = {array, number};
    const xk_work work = xk_reach_ragged_work(&call);
    CHECK(work.tasks == l.tasks && work.grain >= 1);
    void *scratch = malloc((size_t)work.scratch);
    for (xk_i64 i = 0; i < l.tasks; i++) xk_reach_ragged(&call, i, i + 1, scratch);
    for (xk_i64 i = 0; i < l.tasks && !wrong; i++) check_task(&l, &l.task[2 * i], (xk_i32 *)array[4].data + 2 * i);
    for (int i = 0; i < 5; i++) free(array[i].data);
    free(scratch);
}

int main(void) {
    for (int i = 0; i < 4000; i++) check(i % 4 == 3 ? 1 + i % 5 : 0);
    return test_end();
}

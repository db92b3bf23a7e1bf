/* time_warp.c - the cheapest way through a table of costs, from its first corner to its last, by steps down, right or both.
 *
 * Operand: f32 [m, n]. Results: i32 [2, m + n], the rows and the columns of the way, in order, 0 behind its end; i64 [1], how many there
 * are. Of ways that cost the same it takes the one that, seen from the end, goes left; a step that is cheapest alone otherwise. Without
 * rows or columns there is no way.
 */
#include "runtime/kernels/routines.h"

enum { BOTH, UP, LEFT };

/* Bytes of a direction for each cell, behind two rows of sums. */
xk_work xk_time_warp_work(const xk_call *c) {
    const xk_i64 m = c->array[0].dim[0], n = c->array[0].dim[1], most = XK_MOST(xk_i64) / 16;
    const int fits = m < most && n < most && (n == 0 || m < (most - n) / n);
    return (xk_work){.tasks = 1, .grain = 1, .scratch = fits ? m * n + 2 * n * (xk_i64)sizeof(float) : XK_MOST(xk_i64)};
}

/* Where each cell is come to from, row by row; sums of the row before and of this one. */
static void find_ways(const float *cost, xk_i64 m, xk_i64 n, float *sum, unsigned char *from) {
    for (xk_i64 i = 0; i < m; i++) {
        float *row = sum + (i & 1) * n;
        const float *last = sum + (1 - (i & 1)) * n;
        for (xk_i64 j = 0; j < n; j++) {
            int way = LEFT;
            if (i > 0 && (j == 0 || (last[j] < last[j - 1] && last[j] < row[j - 1]))) way = UP;
            if (i > 0 && j > 0 && last[j - 1] < last[j] && last[j - 1] < row[j - 1]) way = BOTH;
            const float before = i == 0 && j == 0 ? 0 : way == BOTH ? last[j - 1] : way == UP ? last[j] : row[j - 1];
            row[j] = cost[i * n + j] + before;
            from[i * n + j] = (unsigned char)way;
        }
    }
}

void xk_time_warp(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_i64 m = c->array[0].dim[0], n = c->array[0].dim[1], room = c->array[1].dim[1];
    xk_i32 *row = c->array[1].data, *column = row + room;
    xk_i64 *count = c->array[2].data, at = 0;
    float *sum = scratch;
    unsigned char *from = (unsigned char *)(sum + 2 * n);
    if (begin >= end) return;
    if (m && n) find_ways(c->array[0].data, m, n, sum, from);
    for (xk_i64 i = m - 1, j = n - 1; i >= 0 && j >= 0; at++) { /* the last first */
        row[at] = (xk_i32)i, column[at] = (xk_i32)j;
        const int way = from[i * n + j];
        if (way != LEFT) i--;
        if (way != UP) j--;
    }
    for (xk_i64 k = 0; k < at / 2; k++) {
        const xk_i32 r = row[k], d = column[k];
        row[k] = row[at - 1 - k], column[k] = column[at - 1 - k];
        row[at - 1 - k] = r, column[at - 1 - k] = d;
    }
    count[0] = at;
    for (; at < room; at++) row[at] = column[at] = 0;
}

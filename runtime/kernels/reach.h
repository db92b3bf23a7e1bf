/* reach.h - which keys of a row its biases leave any weight: what reach and reach_ragged share.
 *
 * A key whose bias is more than HIDDEN below the largest of its row has a weight of exactly 0, since exp gives 0 below -104: as
 * long as its score does not exceed that of the best key by 59,800. HIDDEN is below the least number of fp16, a common fill;
 * a fill of -10000 hides nothing, since a score may be as large. So a row whose keys are all filled with one number sees all
 * of them. One of minus infinity alone has no weights; a block of
 * such asks for one panel, which says so. NaN hides nothing.
 */
#ifndef XK_REACH_H
#define XK_REACH_H
#include "runtime/kernels/routines.h"

#define HIDDEN 60000.0f
#define LEAST (-3.4028235e38f)

static float largest(const float *x, xk_i64 n) {
    enum { LANES = 8 };
    float top[LANES];
    xk_i64 i = 0;
    for (int l = 0; l < LANES; l++) top[l] = -__builtin_inff();
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) top[l] = x[i + l] > top[l] ? x[i + l] : top[l];
    for (; i < n; i++) top[0] = x[i] > top[0] ? x[i] : top[0];
    for (int l = 1; l < LANES; l++) top[0] = top[l] > top[0] ? top[l] : top[0];
    return top[0];
}

static xk_i32 is_seen(const float *x, xk_i64 n, float bound) {
    xk_i32 any = 0;
    for (xk_i64 i = 0; i < n; i++) any |= !(x[i] < bound);
    return any;
}

/* Widens at[0] .. at[1] to the panels of a row of n keys that it sees. */
static void meet_row(const float *x, xk_i64 n, xk_i64 panel, xk_i64 *at) {
    const float top = largest(x, n), bound = top < LEAST ? LEAST : top - HIDDEN;
    for (xk_i64 p = 0, first = 0; first < n; p++, first += panel) {
        const xk_i64 left = n - first;
        if (!is_seen(x + first, left < panel ? left : panel, bound)) continue;
        at[0] = p < at[0] ? p : at[0];
        at[1] = p >= at[1] ? p + 1 : at[1];
    }
}

/* Where nobody sees anything, one panel of n keys, if there is one. */
static void store_reach(xk_i64 *at, xk_i64 n, xk_i32 *to) {
    if (at[0] >= at[1]) at[0] = 0, at[1] = n > 0;
    to[0] = (xk_i32)at[0], to[1] = (xk_i32)at[1];
}

#endif

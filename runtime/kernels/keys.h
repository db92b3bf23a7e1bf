/* keys.h - elements as integers of their size that order as they do: of floats -0 is 0, and all NaN are one, which is
 * larger than any number. For XK_KEY_##CLASS with the columns of types.def. */
#ifndef XK_KEYS_H
#define XK_KEYS_H
#include "runtime/kernels/routines.h"

#define XK_SIGN(T, x) (-(T)((x) < 0)) /* -1 or 0 */
#define XK_KEY_SINT(T, x, infinity) (x)
#define XK_KEY_UINT(T, x, infinity) ((x) ^ ~XK_MOST(T))
#define XK_KEY_FLOAT(T, x, infinity)                                                                                   \
    (((x) & XK_MOST(T)) > (infinity) ? XK_MOST(T) : (((x) & XK_MOST(T)) ^ XK_SIGN(T, x)) - XK_SIGN(T, x))
#define XK_KEY_HALF XK_KEY_FLOAT

/* Sorts n numbers of things, of which before(user, a, b) says that thing a comes before b: stable, by merging runs that
 * become twice as long each time. spare: room for n. */
typedef int xk_before(const void *user, xk_i64 a, xk_i64 b);
static inline void xk_sort(xk_i64 *at, xk_i64 *spare, xk_i64 n, xk_before *before, const void *user) {
    for (xk_i64 run = 1; run < n; run *= 2) {
        for (xk_i64 begin = 0; begin < n; begin += 2 * run) {
            xk_i64 middle = begin + run < n ? begin + run : n, end = middle + run < n ? middle + run : n;
            for (xk_i64 i = begin, j = middle, k = begin; k < end; k++) {
                int second = i == middle || (j < end && before(user, at[j], at[i]));
                spare[k] = second ? at[j++] : at[i++];
            }
        }
        for (xk_i64 i = 0; i < n; i++) at[i] = spare[i];
    }
}

#endif

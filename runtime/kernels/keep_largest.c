/* keep_largest.c - of each row its k largest elements; the others become minus infinity.
 *
 * Operand: x [.., n], f32 or f64. Number: k, at least 1. Result: x, with -inf for every element below the k-th largest of
 * its row: of equal ones all stay (-0 equals 0), and of rows that are no longer than k. NaN is larger than any number.
 *
 * Nothing is sorted: elements become integers that order as they do, and a bound between the least and the largest is
 * halved until just k are not below it, or no number is left between. Each count is a loop for vectors, and rows whose
 * k-th largest stands apart need few.
 */
#include "runtime/kernels/routines.h"

enum { BLOCK = 1024 };

typedef struct {
    xk_i64 rows, n;
} sizes;

static sizes sizes_of(const xk_call *c) {
    const xk_array *x = &c->array[0];
    sizes s = {1, x->dim[x->rank - 1]};
    for (xk_u32 d = 0; d < x->rank; d++) /* beside a 0 the product of the others may be any */
        if (x->dim[d] == 0) return (sizes){0, 0};
    for (xk_u32 d = 0; d + 1 < x->rank; d++) s.rows *= x->dim[d];
    return s;
}

/* Sign and size of a float to a number; -0 is 0, and all NaN are one. */
#define SIGN(T, x) (-(T)((x) < 0)) /* -1 or 0 */
#define KEY(T, x, infinity)                                                                                            \
    (((x) & XK_MOST(T)) > (infinity) ? XK_MOST(T) : (((x) & XK_MOST(T)) ^ SIGN(T, x)) - SIGN(T, x))

#define KEEP(ID, T, infinity)                                                                                          \
    static xk_i64 count_##ID(const T *key, xk_i64 n, T bound) {                                                        \
        xk_i64 all = 0;                                                                                                \
        for (xk_i64 at = 0; at < n; at += BLOCK) {                                                                     \
            xk_i64 end = at + BLOCK < n ? at + BLOCK : n;                                                              \
            T some = 0;                                                                                                \
            for (xk_i64 i = at; i < end; i++) some += key[i] >= bound;                                                 \
            all += some;                                                                                               \
        }                                                                                                              \
        return all;                                                                                                    \
    }                                                                                                                  \
    /* The k-th largest key, or one above the next: so many are not below it as not below that. */                     \
    static T bound_##ID(const T *key, xk_i64 n, xk_i64 k) {                                                            \
        T least = key[0], most = key[0];                                                                               \
        for (xk_i64 i = 1; i < n; i++) {                                                                               \
            least = key[i] < least ? key[i] : least;                                                                   \
            most = key[i] > most ? key[i] : most;                                                                      \
        }                                                                                                              \
        while (least < most) { /* at least k are not below least; of those above most there are fewer */               \
            T middle = (T)((least & most) + ((least ^ most) >> 1)), up = (T)(middle + 1);                              \
            xk_i64 have = count_##ID(key, n, up);                                                                      \
            if (have >= k) least = up;                                                                                 \
            if (have <= k) most = have == k ? up : middle;                                                             \
        }                                                                                                              \
        return least;                                                                                                  \
    }                                                                                                                  \
    static void keep_##ID(const T *x, T *y, xk_i64 n, xk_i64 k, T *key) {                                              \
        for (xk_i64 i = 0; i < n; i++) key[i] = KEY(T, x[i], infinity);                                                \
        T bound = k < n ? bound_##ID(key, n, k) : (T)(-XK_MOST(T) - 1);                                                \
        for (xk_i64 i = 0; i < n; i++) y[i] = key[i] >= bound ? x[i] : (T)((infinity) | (-XK_MOST(T) - 1));            \
    }
KEEP(F32, xk_b32, 0x7f800000)
KEEP(F64, xk_b64, 0x7ff0000000000000)

xk_work xk_keep_largest_work(const xk_call *c) {
    enum { ELEMENTS = 1 << 13 }; /* worth a worker's while */
    const sizes s = sizes_of(c);
    const xk_i64 bytes = (xk_i64)sizeof(xk_b64), most = XK_MOST(xk_i64) / bytes;
    return (xk_work){.tasks = s.rows,
                     .grain = s.n < ELEMENTS ? ELEMENTS / (s.n + 1) + 1 : 1,
                     .scratch = s.n < most ? s.n * bytes : XK_MOST(xk_i64)};
}

void xk_keep_largest(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *x = &c->array[0], *y = &c->array[1];
    const sizes s = sizes_of(c);
    const xk_i64 k = c->number[0].i;
    for (xk_i64 i = begin; i < end; i++) {
        if ((x->dtype >> 8 & 0xffu) == 64)
            keep_F64((const xk_b64 *)x->data + i * s.n, (xk_b64 *)y->data + i * s.n, s.n, k, scratch);
        else
            keep_F32((const xk_b32 *)x->data + i * s.n, (xk_b32 *)y->data + i * s.n, s.n, k, scratch);
    }
}

/* inverse.c - inverses of square matrices, by Gauss and Jordan with the largest element of a column as pivot.
 *
 * Operand 0: x [.., n, n], f32 or f64; the result is like it. Computed in double, on the matrix with the identity at its
 * right. A matrix without an inverse divides by 0, and gives no numbers.
 */
#include "runtime/kernels/routines.h"

static xk_i64 matrices(const xk_array *x) {
    xk_i64 n = 1;
    for (xk_u32 d = 0; d < x->rank; d++)
        if (x->dim[d] == 0) return 0;
    for (xk_u32 d = 0; d + 2 < x->rank; d++) n *= x->dim[d];
    return n;
}

XK int is_double(const xk_array *x) { return (x->dtype >> 8 & 0xffu) == 64; }

xk_work xk_inverse_work(const xk_call *c) {
    const xk_array *x = &c->array[0];
    xk_i64 n = x->dim[x->rank - 1], most = 1 << 26; /* rows; more fit in no memory */
    xk_work work = {.tasks = matrices(x), .grain = n < 16 ? 64 : 1};
    work.scratch = n <= most ? 2 * n * n * (xk_i64)sizeof(double) : XK_MOST(xk_i64);
    return work;
}

XK double magnitude(double x) { return x < 0 ? -x : x; }

/* Of the rows from k on the one with the largest element in column k comes first. */
static void bring_pivot(double *a, xk_i64 n, xk_i64 k) {
    xk_i64 best = k;
    for (xk_i64 i = k + 1; i < n; i++)
        if (magnitude(a[i * 2 * n + k]) > magnitude(a[best * 2 * n + k])) best = i;
    for (xk_i64 j = 0; j < 2 * n && best != k; j++) {
        double t = a[k * 2 * n + j];
        a[k * 2 * n + j] = a[best * 2 * n + j], a[best * 2 * n + j] = t;
    }
}

/* a [n, 2 n]: what was the identity becomes the inverse. */
static void invert(double *a, xk_i64 n) {
    for (xk_i64 k = 0; k < n; k++) {
        bring_pivot(a, n, k);
        double *row = a + k * 2 * n, pivot = row[k];
        for (xk_i64 j = k; j < 2 * n; j++) row[j] /= pivot;
        for (xk_i64 i = 0; i < n; i++) {
            double factor = a[i * 2 * n + k];
            for (xk_i64 j = k; j < 2 * n && i != k; j++) a[i * 2 * n + j] -= factor * row[j];
        }
    }
}

static double get(const xk_array *x, xk_i64 at) {
    return is_double(x) ? ((const double *)x->data)[at] : (double)((const float *)x->data)[at];
}

static void put(const xk_array *x, xk_i64 at, double v) {
    if (is_double(x))
        ((double *)x->data)[at] = v;
    else
        ((float *)x->data)[at] = (float)v;
}

void xk_inverse(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *x = &c->array[0];
    xk_i64 n = x->dim[x->rank - 1];
    double *a = scratch;
    for (xk_i64 m = begin; m < end; m++) {
        for (xk_i64 i = 0; i < n; i++)
            for (xk_i64 j = 0; j < n; j++) {
                a[i * 2 * n + j] = get(x, (m * n + i) * n + j);
                a[i * 2 * n + n + j] = i == j;
            }
        invert(a, n);
        for (xk_i64 i = 0; i < n; i++)
            for (xk_i64 j = 0; j < n; j++) put(&c->array[1], (m * n + i) * n + j, a[i * 2 * n + n + j]);
    }
}

/* matrices.h - square matrices [.., n, n] of f32 or f64, each a task, computed in double: what det and inverse share. */
#ifndef XK_MATRICES_H
#define XK_MATRICES_H
#include "runtime/kernels/routines.h"

XK int xk_is_double(const xk_array *x) { return (x->dtype >> 8 & 0xffu) == 64; }

XK double xk_get(const xk_array *x, xk_i64 at) {
    return xk_is_double(x) ? ((const double *)x->data)[at] : (double)((const float *)x->data)[at];
}

XK void xk_put(const xk_array *x, xk_i64 at, double v) {
    if (xk_is_double(x))
        ((double *)x->data)[at] = v;
    else
        ((float *)x->data)[at] = (float)v;
}

/* With room for `copies` of a matrix. */
XK xk_work xk_matrices_work(const xk_array *x, xk_i64 copies) {
    const xk_array all = {.dim = x->dim, .rank = x->rank > 2 ? x->rank - 2 : 0};
    xk_i64 n = x->dim[x->rank - 1], most = 1 << 26; /* rows; more fit in no memory */
    xk_work work = {.tasks = xk_count(&all), .grain = n < 16 ? 64 : 1};
    work.scratch = n <= most ? copies * n * n * (xk_i64)sizeof(double) : XK_MOST(xk_i64);
    return work;
}

XK double xk_magnitude(double x) { return x < 0 ? -x : x; }

/* Of rows k and on of a [n, width] the one with the largest element in column k comes first, from that column on. Answers
 * whether it was another one. */
XK int xk_bring_pivot(double *a, xk_i64 n, xk_i64 width, xk_i64 k) {
    xk_i64 best = k;
    for (xk_i64 i = k + 1; i < n; i++)
        if (xk_magnitude(a[i * width + k]) > xk_magnitude(a[best * width + k])) best = i;
    for (xk_i64 j = k; j < width && best != k; j++) {
        double t = a[k * width + j];
        a[k * width + j] = a[best * width + j], a[best * width + j] = t;
    }
    return best != k;
}

#endif

/* det.c - determinants of square matrices, by Gauss with the largest element of a column as pivot.
 *
 * Operand 0: x [.., n, n], f32 or f64. Result: [..]. Computed in double. That of a matrix without rows is 1.
 */
#include "runtime/kernels/routines.h"

static xk_i64 matrices(const xk_array *x) {
    xk_i64 n = 1;
    for (xk_u32 d = 0; d + 2 < x->rank; d++)
        if (x->dim[d] == 0) return 0;
    for (xk_u32 d = 0; d + 2 < x->rank; d++) n *= x->dim[d];
    return n;
}

XK int is_double(const xk_array *x) { return (x->dtype >> 8 & 0xffu) == 64; }

xk_work xk_det_work(const xk_call *c) {
    const xk_array *x = &c->array[0];
    xk_i64 n = x->dim[x->rank - 1], most = 1 << 26; /* rows; more fit in no memory */
    xk_work work = {.tasks = matrices(x), .grain = n < 16 ? 64 : 1};
    work.scratch = n <= most ? n * n * (xk_i64)sizeof(double) : XK_MOST(xk_i64);
    return work;
}

XK double magnitude(double x) { return x < 0 ? -x : x; }

/* The rows from k on: the one with the largest element in column k comes first. Answers whether it was another one. */
static int bring_pivot(double *a, xk_i64 n, xk_i64 k) {
    xk_i64 best = k;
    for (xk_i64 i = k + 1; i < n; i++)
        if (magnitude(a[i * n + k]) > magnitude(a[best * n + k])) best = i;
    for (xk_i64 j = k; j < n && best != k; j++) {
        double t = a[k * n + j];
        a[k * n + j] = a[best * n + j], a[best * n + j] = t;
    }
    return best != k;
}

static double determinant(double *a, xk_i64 n) {
    double product = 1;
    for (xk_i64 k = 0; k < n; k++) {
        if (bring_pivot(a, n, k)) product = -product;
        double pivot = a[k * n + k];
        product *= pivot;
        if (pivot == 0) return product;
        for (xk_i64 i = k + 1; i < n; i++) {
            double factor = a[i * n + k] / pivot;
            for (xk_i64 j = k + 1; j < n; j++) a[i * n + j] -= factor * a[k * n + j];
        }
    }
    return product;
}

void xk_det(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *x = &c->array[0];
    xk_i64 n = x->dim[x->rank - 1];
    double *a = scratch;
    for (xk_i64 m = begin; m < end; m++) {
        for (xk_i64 i = 0; i < n * n; i++)
            a[i] = is_double(x) ? ((const double *)x->data)[m * n * n + i]
                                : (double)((const float *)x->data)[m * n * n + i];
        double y = determinant(a, n);
        if (is_double(x))
            ((double *)c->array[1].data)[m] = y;
        else
            ((float *)c->array[1].data)[m] = (float)y;
    }
}

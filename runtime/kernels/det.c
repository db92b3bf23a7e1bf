/* det.c - determinants of square matrices, by Gauss with the largest element of a column as pivot.
 *
 * Operand 0: x [.., n, n], f32 or f64. Result: [..]. Computed in double. That of a matrix without rows is 1.
 */
#include "runtime/kernels/matrices.h"

xk_work xk_det_work(const xk_call *c) { return xk_matrices_work(&c->array[0], 1); }

static double determinant(double *a, xk_i64 n) {
    double product = 1;
    for (xk_i64 k = 0; k < n; k++) {
        if (xk_bring_pivot(a, n, n, k)) product = -product;
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
        for (xk_i64 i = 0; i < n * n; i++) a[i] = xk_get(x, m * n * n + i);
        xk_put(&c->array[1], m, determinant(a, n));
    }
}

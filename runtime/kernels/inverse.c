/* inverse.c - inverses of square matrices, by Gauss and Jordan with the largest element of a column as pivot.
 *
 * Operand 0: x [.., n, n], f32 or f64; the result is like it. Computed in double, on the matrix with the identity at its
 * right. A matrix without an inverse divides by 0, and gives no numbers.
 */
#include "runtime/kernels/matrices.h"

xk_work xk_inverse_work(const xk_call *c) {
    xk_work work = xk_matrices_work(&c->array[0], 2);
    if (xk_count(&c->array[0]) == 0) work.tasks = 0;
    return work;
}

/* a [n, 2 n]: what was the identity becomes the inverse. */
static void invert(double *a, xk_i64 n) {
    for (xk_i64 k = 0; k < n; k++) {
        (void)xk_bring_pivot(a, n, 2 * n, k);
        double *row = a + k * 2 * n, pivot = row[k];
        for (xk_i64 j = k; j < 2 * n; j++) row[j] /= pivot;
        for (xk_i64 i = 0; i < n; i++) {
            double factor = a[i * 2 * n + k];
            for (xk_i64 j = k; j < 2 * n && i != k; j++) a[i * 2 * n + j] -= factor * row[j];
        }
    }
}

void xk_inverse(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *x = &c->array[0];
    xk_i64 n = x->dim[x->rank - 1];
    double *a = scratch;
    for (xk_i64 m = begin; m < end; m++) {
        for (xk_i64 i = 0; i < n; i++)
            for (xk_i64 j = 0; j < n; j++) {
                a[i * 2 * n + j] = xk_get(x, (m * n + i) * n + j);
                a[i * 2 * n + n + j] = i == j;
            }
        invert(a, n);
        for (xk_i64 i = 0; i < n; i++)
            for (xk_i64 j = 0; j < n; j++) xk_put(&c->array[1], (m * n + i) * n + j, a[i * 2 * n + n + j]);
    }
}

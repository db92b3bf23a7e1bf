/* linalg.h - the little linear algebra that factorisation needs, in f32 on row-major matrices.
 *
 * Threaded by rows of the result. Sums run in an order that sizes alone decide and nothing is contracted to fused
 * multiply-adds, so results are the same on any machine and for any number of threads.
 */
#ifndef XFC_LINALG_H
#define XFC_LINALG_H
#include "ir/base/arena.h"

void xfc_la_product(const float *a, const float *b, float *c, int64_t rows, int64_t depth,
                    int64_t columns); /* c = a b */
float *xfc_la_transposed(xfc_arena *, const float *a, int64_t rows, int64_t columns);
double xfc_la_dot(const float *a, const float *b, int64_t n);
void xfc_la_add(float *y, float factor, const float *x, int64_t n); /* y += factor x */
/* The same of four y with each of many rows x, in order, `apart` elements from one to the next; factor [rows, 4]. */
void xfc_la_add_rows(float *const y[4], const float *factor, const float *x, int64_t rows, int64_t apart, int64_t n);
/* The first of the largest |x| weight, weight > 0; -1: there is none. */
int64_t xfc_la_largest(const float *x, const float *weight, int64_t n);
/* Rows become orthonormal, in order; one that depends on those before it becomes 0. */
void xfc_la_orthonormal(float *a, int64_t rows, int64_t columns);
/* a (symmetric, n x n) becomes l, lower, with a + ridge * mean diagonal = l l^T. */
void xfc_la_cholesky(double *a, int64_t n, double ridge);
void xfc_la_solve_lower(const double *l, int64_t n, double *x);            /* x = l^-1 x */
void xfc_la_solve_lower_transposed(const double *l, int64_t n, double *x); /* x = l^-T x */

#endif

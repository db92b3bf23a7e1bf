/* sparse.h - weights that are mostly zero, and weights in factors: what is asked of a matrix, and storing it by its
 * nonzeros. */
#ifndef XFC_SPARSE_H
#define XFC_SPARSE_H
#include "passes/pass.h"

enum { XFC_SPARSE_GROUP = 4 }; /* columns that stand side by side: what lower/make_sparse.c multiplies at a time */

typedef struct {
    int64_t rows, columns, nonzeros, most; /* most: nonzeros of the fullest column */
} xfc_sparse_shape;

/* Of a constant of two dims of a float type; -0 is a zero. */
xfc_sparse_shape xfc_sparse_look(const xfc_tensor *);
/* How much work it is to multiply so many tokens by its nonzeros: multiplications of a dense product that take as long, a
 * token. Infinite: it is not done so. */
double xfc_sparse_work(const xfc_sparse_shape *, double tokens);
/* False: it is more than by all of it, as its first column tells: of dense weights no more than that is read. */
bool xfc_sparse_may_pay(const xfc_tensor *, double tokens);
/* Its bytes: values of this type and rows. */
int64_t xfc_sparse_bytes(const xfc_sparse_shape *, xfc_dtype values);
/* x @ w by the nonzeros of w; values are kept in the given type. */
xfc_value *xfc_b_sparse(xfc_builder *, xfc_value *x, const xfc_tensor *w, xfc_dtype values);

#endif

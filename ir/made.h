/* made.h - constants that need not be stored: a routine of runtime/kernels makes them of smaller ones.
 *
 * Whoever computes a constant so may say how, and it stays a constant like any other: passes see its numbers, and nothing
 * that they do depends on the mark. An artefact may then hold what it is made of instead, and `open` makes it again, bit for
 * bit, by the same C. The mark follows the constant where it is packed (passes/fold.c); any other op gives a constant
 * without one, which is stored as it is.
 */
#ifndef XFC_MADE_H
#define XFC_MADE_H
#include "ir/tensor.h"

enum { XFC_MADE_OPERANDS = 3 };
typedef struct {         /* a call of a routine; the constant is its result */
    const char *routine; /* "xk_multiply_factors" */
    const xfc_tensor *in[XFC_MADE_OPERANDS];
    uint32_t n_in;
    int64_t number; /* its only one */
} xfc_made;

/* NULL: it is stored as it is. */
const xfc_made *xfc_tensor_made(const xfc_ctx *, const xfc_tensor *);
/* t is what the call gives. NULL is allowed; the first mark stays. */
void xfc_tensor_mark(xfc_ctx *, const xfc_tensor *t, const xfc_made *);
/* A matrix of f32 that the call gives, marked (eval/made.c). */
const xfc_tensor *xfc_tensor_make(xfc_ctx *, int64_t rows, int64_t columns, const xfc_made *);

#endif

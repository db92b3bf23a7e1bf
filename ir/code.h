/* code.h - what of a kernel decides its code: the kernel in a form that all have which compute alike on other numbers.
 *
 *   axis i in b, axis j in s: y[i, j, c] = ... x[i, j, c]      is, with b and s of any step,
 *   axis i in n: y[8 * i + c] = ... x[8 * i + c]               of a step that hands over n = b * s
 */
#ifndef XFC_CODE_H
#define XFC_CODE_H
#include "ir/nest.h"

typedef struct { /* of kernels that are compared; start from {ctx, .known = {.arena = a}} */
    xfc_ctx *ctx;
    xfc_map known; /* symbols in such kernels: equal ones are one */
} xfc_coder;
typedef struct {
    const xfc_kernel *kernel;
    uint32_t n_symbols;
    xfc_int *symbol; /* what the kernel is given, in the order of frame->values */
    xfc_int *value;  /* and what that is, over the symbols of the step's graph */
} xfc_code;

xfc_code xfc_code_of(xfc_coder *, const xfc_kernel *, xfc_arena *);

#endif

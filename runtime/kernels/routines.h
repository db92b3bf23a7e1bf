/* routines.h - work that is no loop nest: routines in C that a run calls between kernels.
 *
 * An op whose row names a routine (.call) is a step of its own. The interpreter and the runtime inside a model.so call
 * the same code through the same table; a plan names a routine by its place there, so the order is part of the ABI.
 *
 * Contract: no header but this one and no libc call; no global, no allocation, no error: whatever the numbers in the
 * operands are, every element of every result is written. Shapes are what inference made them. Routines run on one
 * thread.
 */
#ifndef XK_ROUTINES_H
#define XK_ROUTINES_H
#include "runtime/kernels/xk.h"

#if defined(__INT64_TYPE__)
typedef __INT64_TYPE__ xk_i64;
#else
typedef long long xk_i64;
#endif
_Static_assert(sizeof(xk_i64) == 8, "routines.h needs a 64-bit integer");

enum { XK_MAX_ARRAYS = 16, XK_MAX_NUMBERS = 16 }; /* of one call */

typedef struct { /* dense */
    void *data;
    const xk_i64 *dim;
    xk_u32 rank, dtype; /* dtype: code | bits << 8 | lanes << 16, as in a plan */
} xk_array;

typedef struct {
    const xk_array *array; /* operands, then results */
    const xk_i64 *number;  /* the integer attributes in the order of the row's keys; 0 for an absent one */
} xk_call;

typedef struct {
    const char *name;
    void (*run)(const xk_call *);
    xk_u32 n_in, n_out, n_numbers;
} xk_routine;

extern const xk_routine xk_routines[];
extern const xk_u32 xk_n_routines;

void xk_seq_offsets(const xk_call *);

#endif

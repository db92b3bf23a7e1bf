/* routines.h - work that is no loop nest: routines in C that a run calls between kernels.
 *
 * An op whose row names a routine (.call) is a step of its own. The interpreter and the runtime inside a model.so call
 * the same code through the same table. A routine is a row of routines.def and two functions: how much work there is,
 * which follows from sizes and numbers alone, and a range of its tasks. Tasks run in any order and at once, each worker
 * with scratch of its own; so no result may depend on who ran what.
 *
 * Contract: no header but this one and no libc call; no global, no allocation, no error: whatever the numbers in the
 * operands are, every element of every result is written. Shapes are what inference made them. When memory is planned,
 * each dim that data decides is the most that it can be, and numbers are not known: scratch follows from dims alone,
 * and must not shrink when they grow.
 *
 * Code for every element type comes from one macro: types.def, included with XK_TYPE defined as a function's text.
 */
#ifndef XK_ROUTINES_H
#define XK_ROUTINES_H
#include "runtime/kernels/xk.h"

typedef signed char xk_i8;
typedef short xk_i16;
#if defined(__INT64_TYPE__)
typedef __INT64_TYPE__ xk_i64;
typedef __UINT64_TYPE__ xk_u64;
#else
typedef long long xk_i64;
typedef unsigned long long xk_u64;
#endif
/* The bits of elements, whatever their type is. */
#if defined(__GNUC__)
typedef xk_i8 __attribute__((may_alias)) xk_b8;
typedef xk_i16 __attribute__((may_alias)) xk_b16;
typedef xk_i32 __attribute__((may_alias)) xk_b32;
typedef xk_i64 __attribute__((may_alias)) xk_b64;
#else
typedef xk_i8 xk_b8;
typedef xk_i16 xk_b16;
typedef xk_i32 xk_b32;
typedef xk_i64 xk_b64;
#endif
_Static_assert(sizeof(xk_i64) == 8 && sizeof(double) == 8 && sizeof(xk_i16) == 2, "routines.h needs these sizes");

#define XK_MOST(T) ((T)(((xk_u64)1 << (8 * sizeof(T) - 1)) - 1)) /* the largest T: all bits but the sign */

enum { XK_MAX_ARRAYS = 16, XK_MAX_NUMBERS = 16 }; /* of one call */

typedef struct { /* dense */
    void *data;
    const xk_i64 *dim;
    xk_u32 rank, dtype; /* dtype: code | bits << 8 | lanes << 16, as in a plan */
} xk_array;

/* Elements. Beside a 0 the product of the other dims may be any. */
static inline xk_i64 xk_count(const xk_array *a) {
    xk_i64 n = 1;
    for (xk_u32 d = 0; d < a->rank; d++)
        if (a->dim[d] == 0) return 0;
    for (xk_u32 d = 0; d < a->rank; d++) n *= a->dim[d];
    return n;
}

typedef union { /* an attribute of the op */
    xk_i64 i;
    double f;
} xk_number;

typedef struct {
    const xk_array *array;   /* operands, then results; work may be asked for without data */
    const xk_number *number; /* attributes in the order of the row's keys; 0 for an absent one */
} xk_call;

typedef struct {
    xk_i64 tasks, grain; /* 0 tasks or more; no fewer than grain to a worker, since handing them out costs time */
    xk_i64 scratch;      /* bytes of a worker, aligned to 64 */
} xk_work;

typedef struct {
    const char *name;
    xk_work (*work)(const xk_call *);
    void (*run)(const xk_call *, xk_i64 begin, xk_i64 end, void *scratch); /* tasks begin .. end - 1 */
    xk_u32 n_in, n_out, n_numbers;
    const char *ranks; /* a digit an array; '.': any */
} xk_routine;

/* By number. In a model.so those that it does not call are NULL: the compiler writes the table, and only what it names is
 * linked. */
extern const xk_routine *const xk_routines[];
extern const xk_u32 xk_n_routines;

#define XK_ROUTINE(name, ...)                                                                                          \
    xk_work xk_##name##_work(const xk_call *);                                                                         \
    void xk_##name(const xk_call *, xk_i64 begin, xk_i64 end, void *scratch);                                          \
    extern const xk_routine xk_row_##name;
#include "runtime/kernels/routines.def"
#undef XK_ROUTINE

#endif

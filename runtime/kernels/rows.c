/* rows.c - what there is to know of each routine. Those that no table names are dropped when a model is linked. */
#include "runtime/kernels/routines.h"

#define XK_ROUTINE(name, n_in, n_out, n_numbers, ranks)                                                                \
    const xk_routine xk_row_##name = {"xk_" #name, xk_##name##_work, xk_##name, n_in, n_out, n_numbers, ranks};
#include "runtime/kernels/routines.def"
#undef XK_ROUTINE

/* routines.c - the table of routines.h. */
#include "runtime/kernels/routines.h"

const xk_routine xk_routines[] = {
#define XK_ROUTINE(name, n_in, n_out, n_numbers, ranks)                                                                \
    {"xk_" #name, xk_##name##_work, xk_##name, n_in, n_out, n_numbers, ranks},
#include "runtime/kernels/routines.def"
#undef XK_ROUTINE
};
const xk_u32 xk_n_routines = sizeof xk_routines / sizeof xk_routines[0];

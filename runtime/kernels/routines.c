/* routines.c - the table of routines.h. A new one goes to the end, and XF_CODE_ABI up. */
#include "runtime/kernels/routines.h"

const xk_routine xk_routines[] = {
    {"xk_seq_offsets", xk_seq_offsets, 1, 5, 3},
};
const xk_u32 xk_n_routines = sizeof xk_routines / sizeof xk_routines[0];

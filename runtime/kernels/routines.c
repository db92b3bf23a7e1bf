/* routines.c - the table of all routines. A model.so has one of its own, with those that its plans call
 * (backends/llvm/base.c), so that this file, and what else it would bring, is not linked. */
#include "runtime/kernels/routines.h"

const xk_routine *const xk_routines[] = {
#define XK_ROUTINE(name, ...) &xk_row_##name,
#include "runtime/kernels/routines.def"
#undef XK_ROUTINE
};
const xk_u32 xk_n_routines = sizeof xk_routines / sizeof xk_routines[0];

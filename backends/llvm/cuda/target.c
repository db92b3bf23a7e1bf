/* target.c - NVIDIA GPUs from compute capability 8.0 on: the backend "cuda", which writes PTX.
 *
 * One thread runs one task, a nest's loops are scalar code. The PTX version is set low, so that drivers of CUDA 11
 * take it.
 */
#include "backends/llvm/llvm.h"
#include <string.h>

static xfc_status configure(xfc_ctx *ctx, xfc_target *t, const char *isa) {
    if (isa && strcmp(isa, "sm_80") != 0)
        return xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){0}, "unknown GPU '%s'; use sm_80, which runs on every later one",
                        isa);
    *t = xfc_target_cuda_generic;
    return XFC_OK;
}

static xfc_status emit(xfc_ctx *ctx, const xfc_target *t, const xfc_kernel_set *set, const char *what, int opt_level,
                       xfc_blob *out, xfc_emit_times *times) {
    return xfc_emit_set(ctx, t, set, what, opt_level, false, out, times);
}

const xfc_backend xfc_backend_cuda = {"cuda", (const char *const[]){"sm_80", NULL}, &xfc_target_cuda_generic, configure,
                                      emit};

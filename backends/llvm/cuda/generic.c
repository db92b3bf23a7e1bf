/* generic.c - what passes know of GPUs: no tiles and no composites, an element is a thread. No LLVM. */
#include "backends/backend.h"

const xfc_target xfc_target_cuda_generic = {
    .backend = "cuda",
    .isa = "sm_80",
    .triple = "nvptx64-nvidia-cuda",
    .cpu = "sm_80",
    .attributes = "+ptx70",
    .vector_bytes = 0,
    .features = XFC_HAS_FMA,
    .claims = NULL,
};

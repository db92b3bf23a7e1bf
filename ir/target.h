/* target.h - what a pass may know of a machine: numbers only, so that a pass test needs no LLVM. */
#ifndef XFC_TARGET_H
#define XFC_TARGET_H
#include "ir/ops/op.h"

typedef struct xfc_target {
    const char *backend; /* "cpu", "cuda" */
    const char *isa;     /* "x86-64-v2", "x86-64-v3", "x86-64-v4"; "sm_80" */
    const char *triple, *cpu, *features;
    uint32_t vector_bytes; /* 64, 32, 16; 0: scalar code, one thread an element */
    bool has_fma;
    bool checked; /* tests: code traps where an address lies outside its buffer */
    /* Composites kept whole; everything else is decomposed by legalize. NULL: none. */
    bool (*claims)(const struct xfc_target *, const xfc_op *);
} xfc_target;

/* The machine-independent numbers shared by all CPU variants: passes up to plan run once with it. */
extern const xfc_target xfc_target_cpu_generic;
extern const xfc_target xfc_target_cuda_generic;

#endif

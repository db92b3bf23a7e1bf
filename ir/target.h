/* target.h - what a pass may know of a machine: numbers only, so that a pass test needs no LLVM. */
#ifndef XFC_TARGET_H
#define XFC_TARGET_H
#include "ir/ops/op.h"

/* What code for tiles and scalars asks for. FMA: F16C too, which came with it. BF16: dot products of pairs. */
enum { XFC_HAS_FMA = 1, XFC_HAS_BF16 = 2, XFC_HAS_BY_LEVEL = XFC_HAS_FMA };

typedef struct xfc_target {
    const char *backend;                   /* "cpu", "cuda" */
    const char *isa;                       /* "x86-64-v3", ...: a row of isas.def; "sm_80" */
    const char *triple, *cpu, *attributes; /* as LLVM spells them */
    uint32_t vector_bytes;                 /* 64, 32, 16; 0: scalar code, one thread an element */
    uint32_t features;                     /* XFC_HAS_* */
    /* What a CPU must offer to run it: the level of the psABI, and bits XF_CPU_* of abi.h. */
    uint32_t level, cpu_features;
    bool checked; /* tests: code traps where an address lies outside its buffer */
    /* Composites kept whole; everything else is decomposed by legalize. NULL: none. */
    bool (*claims)(const struct xfc_target *, const xfc_op *);
} xfc_target;

#endif

/* loops.h - a nest as the loops that it is emitted as: their order, what stands in which, what is a vector. */
#ifndef XFC_LOOPS_H
#define XFC_LOOPS_H
#include "backends/llvm/llvm.h"

enum { XFC_BANKS = 4 }; /* accumulators at most that a sum along the lanes has */

typedef struct {
    xfc_emit *e;
    const xfc_nest *nest;
    uint32_t *order;   /* axis of each loop, outermost first */
    uint32_t n_loops;  /* all axes */
    uint32_t n_outer;  /* those that are not reduced */
    uint32_t vector;   /* loop of the VECTOR axis, or n_loops */
    bool lanes_reduce; /* the VECTOR axis is a reduce axis */
    uint32_t banks, bank;
    uint32_t wide;   /* vectors that a step along a parallel VECTOR axis takes at once, where there are so many */
    uint32_t *depth; /* by body instruction */
    bool *varies;    /* from lane to lane */
    bool *is_stored; /* by buffer: some store of the nest writes it */
    LLVMValueRef *value;
    LLVMValueRef *accumulator; /* by bank and store */
    LLVMValueRef mask;         /* live lanes; NULL: all */
    LLVMValueRef first, end;   /* of axis 0, when only a part of it runs; NULL: all */
    uint32_t turned;           /* the load that is transposed in blocks, or n_body */
    LLVMValueRef block;        /* inside such a block: its first index of the loop around the VECTOR axis; else NULL */
    LLVMValueRef column;       /* what `turned` is at present; NULL: gather it */
} xfc_loops;

static inline const xfc_axis *xfc_loop_axis(const xfc_loops *n, uint32_t loop) {
    return &n->nest->axes[n->order[loop]];
}
static inline bool xfc_has_lanes(const xfc_loops *n) { return n->vector < n->n_loops; }
/* True iff x moves by a known number of elements a lane; without a VECTOR axis it does not move. */
bool xfc_loops_stride(xfc_loops *, xfc_int x, int64_t *stride);
/* e, nest, first, end and is_stored are set; all that is decided before code is emitted follows, but for what is there
 * to be emitted with. */
void xfc_loops_plan(xfc_loops *);

#endif

/* contract.h - the type of a contraction: what is multiplied, what it adds up in, and the panels of the right operand.
 *
 * Every step of the way from a product to code asks one question, xfc_tile_for: layout before it packs, kernels before
 * it makes blocks, the verifier of a tile it is given, the emitter for the shape of its registers. What a tile
 * multiplies is what its buffers hold, so kernels say it once.
 */
#ifndef XFC_CONTRACT_H
#define XFC_CONTRACT_H
#include "ir/target.h"

enum {
    XFC_PANEL = 48,  /* columns of a panel, on every CPU: panels are laid out once for all */
    XFC_QUERIES = 64 /* rows of a task of attention */
};

typedef struct {
    xfc_dtype a, b, sum; /* left operand; right operand; accumulators, which are the result */
    uint32_t panel;      /* columns of a panel of b */
    uint32_t group;      /* steps of k that stand together in it: element (k, j) of a panel is number
                          * (k floordiv group * panel + j) * group + k mod group */
} xfc_contract;

/* As which a product is computed whose operands have types a and b; constant: the right one is a weight. The operands are
 * converted to its types, the result from its sum: f16 and bf16 are multiplied and added in f32. A weight stays narrow
 * in memory. */
xfc_contract xfc_contract_of(xfc_ctx *, const xfc_type *a, xfc_dtype b, bool constant);
/* The one whose three types are t. */
xfc_contract xfc_contract_plain(xfc_dtype t);
/* Of an op that reads operand i as panels: matmul_packed, packed attention. */
xfc_contract xfc_op_contract(const xfc_op *, uint32_t i);
xfc_contract xfc_tile_contract(const xfc_kernel *, const xfc_tile *);

typedef struct { /* a row of tiles.def */
    const char *name;
    xfc_dtype a, b, sum;
    uint32_t group, needs; /* needs: XFC_HAS_* */
    uint32_t vector_bytes, rows, vectors, unroll;
} xfc_tile_shape;

/* The widest tile for it that the target runs; NULL: there is none, it stays a plain nest. No target: any. */
const xfc_tile_shape *xfc_tile_for(const xfc_target *, const xfc_contract *);

#endif

/* make_kernels.h - shared by lower/make_kernels.c and the kernel builders it calls. */
#ifndef XFC_KERNELS_H
#define XFC_KERNELS_H
#include "passes/lower/draft.h"
#include "passes/pass.h"

/* Where elements of a value really come from: walks back through kernels that only move elements, as long as the
 * element at `index` is one unconditional load. Returns the source and rewrites index (and rank) to it. */
xfc_value *xfc_resolve_view(xfc_ctx *, xfc_value *, xfc_int *index);

/* Where elements of an op's result end up: walks forward through single-use bijective views (reshape, transpose),
 * rewriting index. The ops walked over are removed by xfc_absorbed_remove once the kernel has been committed. */
xfc_value *xfc_absorb_views(xfc_ctx *, xfc_value *, xfc_int *index);
void xfc_absorbed_remove(xfc_op *op); /* op, and then unused views up to what replaced them */

/* Rows of a tile operand: element (row, k) of the value sits at base + row * stride + k of `source`. */
typedef struct {
    xfc_value *source;
    xfc_int index[XFC_MAX_RANK];
    xfc_int stride;
} xfc_rows;
/* index gives the element over symbols row and k and walks the rows of v in order; at is the row where the tile
 * starts. */
xfc_rows xfc_tile_rows(xfc_ctx *, xfc_value *, const xfc_int *index, xfc_int row, xfc_int k, xfc_int at);

xfc_op *xfc_kernel_contract(xfc_pass *, xfc_op *);  /* matmul_packed */
xfc_op *xfc_kernel_attention(xfc_pass *, xfc_op *); /* attention_packed, attention_ragged_packed */
/* The result of attention `op` from what `parts` computed of parts of its keys: outputs [b, part, h, row, e] and, of each
 * row, its largest score and its sum of exponents; sink: operand of op, or NULL. */
xfc_op *xfc_kernel_attention_join(xfc_pass *, xfc_op *op, xfc_op *parts, xfc_value *sink);
/* Of a value beside the scores of op, which broadcasts to [batch, heads, rows, columns], what stands at that index. */
uint32_t xfc_attention_beside(xfc_draft *, xfc_nestb *, const xfc_op *, xfc_value *, const xfc_int *at,
                              xfc_int columns);
/* A product of exponents and values over their sum. */
uint32_t xfc_attention_result(xfc_nestb *, const xfc_op *, uint32_t mix, uint32_t sum);
xfc_op *xfc_kernel_sparse(xfc_pass *, xfc_op *); /* matmul_sparse; NULL: not one of these */
xfc_op *xfc_kernel_pack(xfc_pass *, xfc_op *);   /* pack with batch dims, pack_ragged, for tiles */

/* Lets of a kernel over ragged sequences: the sequence's first row, and how many rows it has (at most size). rows:
 * those of all sequences. */
typedef struct {
    xfc_int start, length;
} xfc_sequence;
xfc_sequence xfc_draft_sequence(xfc_draft *, xfc_value *cu, xfc_int number, xfc_int rows, xfc_int size);

#endif

/* defined.h - symbols that an op defines while the model runs.
 *
 * A dim of the model is known when a run begins; a symbol of `define` only when that op has run: how many tokens of a
 * batch are real, for one. It may stand in types, attributes and kernels behind the define, like a dim. What must be
 * fixed when a run begins (sizes of buffers, offsets) takes bounds over dims instead. A range that ends at XFC_DIM_MAX
 * is none: the symbol is as large as data says, and what depends on it gets its memory when a step makes it.
 *
 *   define T in 0..b * s = %counts        f32[T, 384] needs at most b * s * 384 elements
 *   define n in 0..2147483647 = %shape    f32[n, 384] needs what it needs
 */
#ifndef XFC_DEFINED_H
#define XFC_DEFINED_H
#include "ir/ops/op.h"

/* The symbols that op defines: a `define`, or a branch whose results have sizes of their own. */
uint32_t xfc_op_defines(const xfc_op *, const xfc_int **out);

typedef struct { /* all symbols that ops of an entry and of the bodies in it define */
    xfc_ctx *ctx;
    xfc_int *symbol;   /* in the order of definition */
    const xfc_op **by; /* which op does */
    uint32_t n, cap, cap_by;
    xfc_map position; /* symbol id -> its place in symbol, + 1 */
    /* By place: the sets of symbols that are 0 whenever this one is not, as far as it was asked. */
    uint64_t *without, *asked;
    bool lets; /* instead: all symbols of lets */
} xfc_defined;
xfc_defined xfc_defined_of(const xfc_graph *, xfc_arena *); /* of the entry that the graph hangs on */

/* A set of symbols by their places; those from place 64 on are in none. */
enum { XFC_DEFINED_SET = 64 };
/* The symbols that leave a tensor with this many elements none when they are 0. */
uint64_t xfc_defined_empties(const xfc_defined *, xfc_int count);
/* Is one of two tensors, which these sets of symbols empty, always empty? With `B2 in 0..b * max(1 - T, 0)` that holds
 * of f32[T, 8] and f32[B2, s, 8]. */
bool xfc_defined_alternatives(const xfc_defined *, uint64_t a, uint64_t b);

/* An expression without these symbols that is never smaller (most) or never larger (least) than e, whatever they are
 * within their ranges. NONE: there is none, or none is known. */
xfc_int xfc_defined_most(const xfc_defined *, xfc_int e);
xfc_int xfc_defined_least(const xfc_defined *, xfc_int e);
/* The most of a size of a value, in which every symbol that is no dim is one that data defines. */
xfc_int xfc_size_most(xfc_ctx *, xfc_int size);
/* Does e use any of them? */
bool xfc_defined_in(const xfc_defined *, xfc_int e);
/* Is e known when a kernel starts: nothing in it but numbers, dims and these symbols? */
bool xfc_defined_at_start(const xfc_defined *, xfc_int e);

/* When all is known that a constraint of g names: behind which op of g, or (NULL) when g begins. */
const xfc_op *xfc_constraint_known(const xfc_defined *, const xfc_graph *g, const xfc_constraint *);

/* Calls visit with every expression of the op: types of its results, attributes, its kernel, all of its bodies; not
 * with what is inside an expression. */
typedef void xfc_int_visit(void *user, xfc_int);
void xfc_op_ints(const xfc_op *, xfc_int_visit *, void *user);
void xfc_kernel_ints(const xfc_kernel *, xfc_int_visit *, void *user);
/* Calls visit with every symbol inside e, each time it occurs. */
void xfc_int_symbols(const xfc_ctx *, xfc_int e, xfc_int_visit *, void *user);

#endif

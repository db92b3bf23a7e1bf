/* build.h - making ops: creation, shape inference and content in one call.
 *
 * A builder is a cursor (insert before `before`, or at the end) and a location that new ops inherit. Every function
 * returns NULL after a failure, which has been recorded; passing NULL operands on yields NULL, so a chain needs one
 * check at its end.
 */
#ifndef XFC_BUILD_H
#define XFC_BUILD_H
#include "ir/ops/op.h"

struct xfc_builder {
    xfc_graph *graph;
    xfc_op *before;
    xfc_loc loc;
};

/* Generic: types inferred by the row; content evaluated. Optional operands may be NULL where the row allows it: then
 * use xfc_build_opt. */
xfc_value *xfc_build(xfc_builder *, xfc_opcode, xfc_value *const *in, uint32_t n_in, const xfc_attr *, uint32_t n_attr);
/* NULL operand = absent */
xfc_value *xfc_build_opt(xfc_builder *, xfc_opcode, xfc_value *const *in, uint32_t n_in, const xfc_attr *,
                         uint32_t n_attr);
/* Runs .infer again on an existing op (after operands or attributes changed). */
xfc_status xfc_infer_op(xfc_op *);

xfc_value *xfc_b_const(xfc_builder *, const xfc_tensor *);
xfc_value *xfc_b_scalar_f(xfc_builder *, xfc_dtype, double); /* rank 0 */
xfc_value *xfc_b_scalar_i(xfc_builder *, xfc_dtype, int64_t);
xfc_value *xfc_b_ints(xfc_builder *, const int64_t *, uint32_t n); /* i64[n] constant */
/* i64[n]; n = -1: scalar. const if all known */
xfc_value *xfc_b_dims(xfc_builder *, const xfc_int *values, int64_t n);
xfc_value *xfc_b_unary(xfc_builder *, xfc_opcode, xfc_value *);
xfc_value *xfc_b_binary(xfc_builder *, xfc_opcode, xfc_value *, xfc_value *);
xfc_value *xfc_b_select(xfc_builder *, xfc_value *cond, xfc_value *yes, xfc_value *no);
xfc_value *xfc_b_cast(xfc_builder *, xfc_value *, xfc_dtype); /* the value itself if it has the type */
xfc_value *xfc_b_reshape(xfc_builder *, xfc_value *, const xfc_int *dim, uint32_t rank); /* the value itself if same */
xfc_value *xfc_b_transpose(xfc_builder *, xfc_value *, const int64_t *perm);
xfc_value *xfc_b_swap_last(xfc_builder *, xfc_value *); /* its last two dims */
void xfc_swap_last(int64_t *perm, uint32_t rank);
xfc_value *xfc_b_expand(xfc_builder *, xfc_value *, const xfc_int *dim, uint32_t rank);
xfc_value *xfc_b_slice(xfc_builder *, xfc_value *, const xfc_int *start, const xfc_int *size, const int64_t *step);
/* Along one axis, all of the others. */
xfc_value *xfc_b_slice_axis(xfc_builder *, xfc_value *, uint32_t axis, xfc_int start, xfc_int size, int64_t step);
xfc_value *xfc_b_reduce(xfc_builder *, xfc_opcode, xfc_value *, const int64_t *axes, uint32_t n, bool keepdims);
xfc_value *xfc_b_matmul(xfc_builder *, xfc_value *, xfc_value *);

/* A padded batch without its padding (ops/ragged.c). */
typedef struct { /* results of seq_offsets */
    xfc_value *counts, *cu, *tok, *inv, *tasks;
} xfc_ragged;
/* first, prefix: what is no mask; see attr.def. False: failed. */
bool xfc_b_seq_offsets(xfc_builder *, xfc_value *mask, bool first, bool prefix, int64_t block, xfc_ragged *out);
/* Symbols made by xfc_int_let, with their ranges; each may be used behind the op and nowhere else. */
xfc_op *xfc_b_define(xfc_builder *, xfc_value *counts, const xfc_int *symbols, uint32_t n);
/* Both bodies get inputs for all captures; results that are of different sizes in them get symbols, and the op one
 * more, the sizes. On failure the bodies are gone or without a use. ir/program.h. */
typedef struct xfc_captures xfc_captures;
xfc_op *xfc_b_branch(xfc_builder *, xfc_value *cond, const xfc_captures *, xfc_graph *yes, xfc_graph *no);
/* carried: n of them, which the body makes anew from its inputs 1 .. n each time; its input 0 is the number of the
 * step. What the body returns beyond becomes lists of `size` rows, a row for each step. symbols: stand for dims that
 * change. */
xfc_op *xfc_b_loop(xfc_builder *, xfc_value *trip, xfc_value *cond, xfc_value *const *carried, uint32_t n,
                   const xfc_captures *, xfc_graph *body, xfc_int size, const xfc_int *symbols, uint32_t n_symbols);
/* other may be absent. A NULL that stands for an earlier failure must be caught before. */
xfc_value *xfc_b_pad_ragged(xfc_builder *, xfc_value *ragged, xfc_value *inv, xfc_value *other, double fill);

#endif

/* ops.h - prototypes of the row functions of ops.def. Private to ir: included by op.c (the table) and by the files
 * beside it (the bodies).
 *
 * Names are exactly those of the rows, from which they are declared; they carry no prefix because nothing outside ir
 * sees them. Every function derives from the op's operands' types and attributes only: it runs on graphs and on scratch
 * copies alike.
 */
#ifndef XFC_OPS_H
#define XFC_OPS_H
#include "ir/build.h"

/* INFER: checks operands and attributes, fills inf->out[0 .. n_out). A failure was recorded at op->loc.
 * NEST: appends axes, body and stores; buffers are the operands that are present, in order, then the outputs.
 * DECOMPOSE: result[0 .. n_out) receives values of the builder's graph equal to the op's outputs. */
#define XFC_SCALAR(...)
#define INFER(function) xfc_status function(xfc_infer *);
#define NEST(function) xfc_status function(const xfc_op *, xfc_nestb *);
#define DECOMPOSE(function) xfc_status function(xfc_builder *, const xfc_op *, xfc_value **result);
#define CALL(routine)
#define NONE
#define XFC_OP(id, text, types, meaning, ...) types meaning
#include "ir/ops/ops.def"
#undef XFC_SCALAR
#undef XFC_OP
#undef INFER
#undef NEST
#undef DECOMPOSE
#undef CALL
#undef NONE

/* The same op in f32, with casts around: what f16 and bf16 mean here, and what targets have code for. */
bool xfc_op_is_narrow(const xfc_op *);
xfc_status xfc_decompose_wide(xfc_builder *, const xfc_op *, xfc_value **);

/* Operands i and i + 1 of attention, if they are there: the reach of its bias, operand 3, and a sink; and its cap. */
xfc_status xfc_infer_reach_and_sink(xfc_infer *, uint32_t i);
/* What attention makes of products of rows and keys, all in one type: they are scaled, capped, get a bias and become weights.
 * bias, sink: or NULL. */
xfc_value *xfc_attention_weights(xfc_builder *, const xfc_op *, xfc_value *products, xfc_value *bias, xfc_value *sink);

/* .push: where an input element lands. */
void push_reshape(xfc_ctx *, const xfc_op *, const xfc_int *in_index, xfc_int *out_index);
void push_transpose(xfc_ctx *, const xfc_op *, const xfc_int *in_index, xfc_int *out_index);

/* Helpers shared by the families. */
/* Entry i of the symbols that an op defines is a let, and stands there once. */
bool xfc_is_fresh_symbol(const xfc_ctx *, const xfc_attr *symbols, uint32_t i);
static inline const xfc_type *xfc_op_in(const xfc_op *op, uint32_t i) { return &op->in[i].value->type; }
/* An operand that is there: optional ones may be absent at the end of the list or NULL in its middle. */
static inline bool xfc_op_has_in(const xfc_op *op, uint32_t i) { return i < op->n_in && op->in[i].value; }
/* The attribute as an axis of a tensor of this rank: 0 .. rank - 1, else a message. */
xfc_status xfc_infer_axis(xfc_infer *, int64_t value, uint32_t rank, uint32_t *out);
/* Sizes of operands that must agree: what surely does not fails (what: "the inner dims of matmul"), what may not
 * becomes a requirement of the graph. a and b must be the same number, or one of those that `ones` names be 1
 * (ir.h). */
xfc_status xfc_infer_meet(xfc_infer *, xfc_int a, xfc_int b, unsigned ones, const char *what);
static inline xfc_status xfc_infer_equal(xfc_infer *inf, xfc_int a, xfc_int b, const char *what) {
    return xfc_infer_meet(inf, a, b, 0, what);
}
xfc_status xfc_infer_at_most(xfc_infer *, xfc_int a, xfc_int b, const char *what); /* a <= b */
/* n dims, aligned at the right, broadcast with dim[0 .. rank), which becomes what they give. */
xfc_status xfc_infer_broadcast(xfc_infer *, const xfc_int *in, uint32_t n, xfc_int *dim, uint32_t rank);
/* The type broadcasts to `to` without changing it; what: "the bias". */
xfc_status xfc_infer_fits(xfc_infer *, const xfc_type *, const xfc_type *to, const char *what);
/* The result of a product of matrices a and b, with numpy's rules for the dims in front. */
xfc_status xfc_infer_product(xfc_infer *, const xfc_type *a, const xfc_type *b, xfc_dtype result);
/* Opens one parallel axis a dim of the type. */
void xfc_nb_axes_of(xfc_nestb *, const xfc_type *, xfc_int *index);
/* A DIMS attribute as a type's dims: at most XFC_MAX_RANK, all known, none surely negative. */
xfc_status xfc_infer_shape(xfc_infer *, xfc_key, xfc_dtype, xfc_type *out);
const char *xfc_dim_text(xfc_ctx *, xfc_int); /* "2 * seq", for messages */
/* "f32[2, seq]" in the context's arena, for messages. */
const char *xfc_type_text(xfc_ctx *, const xfc_type *);

/* The right operand of a product of f32 may take half the bytes: it is widened as it is read. */
static inline bool xfc_widens(xfc_dtype left, xfc_dtype right) {
    return left == XFC_F32 && (right == XFC_F16 || right == XFC_BF16);
}

#endif

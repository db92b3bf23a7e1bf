/* op.h - the op table: one row per op, which says what the op means exactly once.
 *
 * Shape inference, interpreter, CPU code, PTX, text form and docs derive from the row. Passes read traits; they name no
 * op except the one they exist for.
 */
#ifndef XFC_OP_H
#define XFC_OP_H
#include "ir/nest.h"

enum {
    XFC_PURE = 1 << 0,
    XFC_COMMUTES = 1 << 1, /* the first two operands may be swapped */
    XFC_MAP = 1 << 2,      /* every output element is a function of one element of each operand (broadcast) */
    XFC_VIEW = 1 << 3,     /* output elements are copies of input elements (or a fill); only indices change */
    XFC_BIJECT = 1 << 4,   /* a VIEW that moves every element exactly once: .push is set */
    XFC_REDUCE = 1 << 5,
    XFC_CONTRACT = 1 << 6, /* its nest is a product of two operands summed over a shared axis */
    XFC_STRUCT = 1 << 7,   /* const, define, return, kernel, branch: no meaning of its own */
    XFC_EFFECT = 1 << 8,   /* does something beside its results: has none, and is no op to remove for that */
    XFC_ROWWISE = 1 << 9,  /* composite: each row of operand 0 along `axis` (the last, if the op has none) by itself */
    XFC_EACH = 1 << 10,    /* composite: each element of its one operand by itself */
    XFC_REGION = 1 << 11,  /* runs bodies, graphs of its program (ir/program.h) */
    XFC_STORED = 1 << 12,  /* takes numbers of types that are only stored (xfc_dtype_is_stored), as maps and views do */
    XFC_PACKS = 1 << 13,   /* takes or makes numbers that are packed (xfc_dtype_is_packed); no other op does */
};

typedef struct { /* what .infer sees and fills */
    xfc_graph *graph;
    xfc_ctx *ctx;
    const xfc_op *op;
    xfc_type *out; /* op->n_out of them */
} xfc_infer;
typedef struct xfc_builder xfc_builder;

typedef struct {
    const char *name;
    int8_t n_in, n_out; /* n_in -1: variadic */
    int8_t min_in;      /* optional trailing operands: at least so many (0 means n_in) */
    uint32_t traits;
    const char *keys; /* attribute keys it accepts, space-separated; ending in ! = required */
    const char *help; /* one line for docs */
    xfc_status (*infer)(xfc_infer *);
    /* Meaning: exactly one of these is set (none for XFC_STRUCT). */
    xfc_status (*nest)(const xfc_op *, xfc_nestb *);                            /* as a loop nest over its operands */
    xfc_status (*decompose)(xfc_builder *, const xfc_op *, xfc_value **result); /* as smaller ops; result[n_out] */
    const char *call;                                                           /* as a routine of runtime/kernels */
    /* BIJECT: given the index of an input element, the index where it lands. */
    void (*push)(xfc_ctx *, const xfc_op *, const xfc_int *in_index, xfc_int *out_index);
} xfc_op_info;

extern const xfc_op_info xfc_ops[XFC_OP_COUNT];
bool xfc_opcode_from_name(const char *, xfc_opcode *out);
static inline bool xfc_op_has(const xfc_op *op, uint32_t trait) { return (xfc_ops[op->code].traits & trait) != 0; }
/* Attention, before layout, whose scores count as they are, but for scale and bias: all of them, not capped, beside no sink. */
bool xfc_attention_is_plain(const xfc_op *);

/* The op's nest, with 0 for the axes of one step, whose symbols would hide what indices are; NULL: it has none. */
xfc_nest *xfc_nest_of(const xfc_op *, xfc_arena *);
/* Which operand a buffer of its nest is; n_in: a result. */
uint32_t xfc_nest_operand(const xfc_op *, uint32_t buffer);
/* Row functions, by family, a file each. Element-wise rows share these: */
xfc_status xfc_infer_map(xfc_infer *);
xfc_status xfc_nest_map(const xfc_op *, xfc_nestb *);
/* numpy broadcasting of two dims: the size of the result of whatever may meet, 0 for 0 and 1. The one rule there is. */
xfc_int xfc_broadcast_size(xfc_ctx *, xfc_int a, xfc_int b);
/* The same where the dims are those of operands: that they may meet is required of the graph. */
xfc_status xfc_broadcast_dim(xfc_infer *, xfc_int a, xfc_int b, xfc_int *out);
/* Index into an operand of extent `extent` for output index i of extent `out`: i, 0, or min(i, extent - 1) when
 * undecided. */
xfc_int xfc_broadcast_index(xfc_ctx *, xfc_int i, xfc_int extent, xfc_int out);

#endif

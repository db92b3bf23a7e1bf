/* eval_impl.h - what the parts of the interpreter share. Private to ir/eval.
 *
 * A value register holds XFC_EVAL_LANES lanes in one of three representations: float for f32, f16 and bf16 (the last
 * two always rounded to their type), double for f64, int64_t for integers and bool (sign- or zero-extended; u64 as its
 * bits).
 */
#ifndef XFC_EVAL_IMPL_H
#define XFC_EVAL_IMPL_H
#include "ir/eval/eval.h"

enum { XFC_EVAL_LANES = 256 };
#define XFC_EVAL_MAX_BYTES ((size_t)1 << 34) /* of one tensor */

typedef union {
    float *f;
    double *d;
    int64_t *i;
    void *any;
} xfc_lanes;
typedef enum { XFC_REP_F, XFC_REP_D, XFC_REP_I } xfc_rep;
xfc_rep xfc_rep_of(xfc_dtype);

/* eval/scalar.c: lanes 0 .. n - 1 of one instruction. operand is the type of the first operand that is not a condition.
 */
void xfc_lanes_op(xfc_scalar_op, xfc_dtype operand, uint32_t n, xfc_lanes out, const xfc_lanes *arg);
void xfc_lanes_cast(xfc_dtype to, xfc_dtype from, uint32_t n, xfc_lanes out, xfc_lanes in);
void xfc_lanes_spread(xfc_rep, uint32_t n, xfc_lanes); /* lane 0 to all */
/* Elements of memory to lanes and back; at[k] are element offsets. */
void xfc_lanes_load(xfc_dtype, uint32_t n, xfc_lanes out, const void *data, int64_t at, int64_t stride);
void xfc_lanes_load_at(xfc_dtype, uint32_t n, xfc_lanes out, const void *data, const int64_t *at);
void xfc_lanes_store(xfc_dtype, uint32_t n, xfc_lanes in, void *data, int64_t at, int64_t stride);
void xfc_lanes_store_at(xfc_dtype, uint32_t n, xfc_lanes in, void *data, const int64_t *at);
/* Accumulators: double for all floats, int64_t for the rest. Rounding to the value's type happens once, in _finish. */
void xfc_acc_start(xfc_scalar_op, xfc_dtype, uint32_t n, xfc_lanes acc);
void xfc_acc_add(xfc_scalar_op, xfc_dtype, uint32_t n, xfc_lanes acc, xfc_lanes value);
void xfc_acc_fold(xfc_scalar_op, xfc_dtype, uint32_t n, xfc_lanes acc); /* lanes 1 .. n - 1 into lane 0 */
void xfc_acc_finish(xfc_dtype, uint32_t n, xfc_lanes out, xfc_lanes acc);

/* eval/nest.c: one nest, compiled to a list of steps and then run. */
typedef struct {
    xfc_lanes lane;
    bool uniform;
} xfc_reg;
typedef struct xfc_nest_prog xfc_nest_prog;
typedef struct {
    xfc_ctx *ctx;
    xfc_loc loc;
    xfc_int_lookup *lookup;
    void *user;
} xfc_eval_env;
xfc_nest_prog *xfc_nest_compile(const xfc_nest *, const xfc_eval_env *, xfc_arena *);
xfc_status xfc_nest_run(xfc_nest_prog *, const xfc_eval_env *, const xfc_array *buffers, uint32_t n_buffers);

/* eval/index.c: index expressions over loop symbols, evaluated for a chunk of lanes at once. A node is uniform, a line
 * (base + lane * stride) or one value a lane. Its level is the number of loops that must have been entered before it is
 * known. */
typedef enum { XFC_FORM_ONE, XFC_FORM_LINE, XFC_FORM_LANES } xfc_form;
typedef struct {
    int64_t coeff;
    uint32_t n;
    const uint32_t *atom;
} xfc_ix_term;
typedef struct {
    xfc_int_kind kind;
    xfc_form form;
    uint32_t level, a, b, n_terms;
    const xfc_ix_term *term;
    xfc_int symbol;       /* SYMBOL */
    bool external;        /* SYMBOL: looked up at the start of a run */
    int64_t base, stride; /* value; stride for LINE */
    int64_t *lane;        /* LANES */
} xfc_ix;
void xfc_ix_eval(xfc_ix *all, uint32_t node, uint32_t n); /* operands are up to date; not for symbols */
static inline int64_t xfc_ix_at(const xfc_ix *x, uint32_t lane) {
    return x->form == XFC_FORM_LANES ? x->lane[lane] : (int64_t)((uint64_t)x->base + (uint64_t)x->stride * lane);
}

/* eval/routine.c: an op that calls a routine. operands: in and out, made already. */
xfc_status xfc_routine_run(const xfc_op *, const xfc_eval_env *, const xfc_array *operands, xfc_arena *scratch);
/* eval/kernel.c */
xfc_status xfc_kernel_run(const xfc_kernel *, const xfc_eval_env *, const xfc_array *operands, xfc_arena *);
/* eval.c: an array of this type under the environment's symbols; arena NULL: without data. */
xfc_status xfc_array_make(const xfc_eval_env *, const xfc_type *, xfc_arena *, xfc_array *out);

#endif

/* eval.h - the interpreter: constant folder and oracle of every test.
 *
 * Runs graphs at every stage: primitives by their nests, composites by decomposing them, kernels as written. Slow and
 * exact: scalar functions are the C of runtime/kernels/math.c compiled natively; f16 and bf16 round after every
 * operation. Evaluates nests in chunks of the innermost axis, so that a small model takes seconds, not hours.
 */
#ifndef XFC_EVAL_H
#define XFC_EVAL_H
#include "ir/ops/op.h"

typedef struct {
    xfc_dtype dtype;
    uint32_t rank;
    int64_t dim[XFC_MAX_RANK];
    int64_t count;
    void *data;
} xfc_array; /* dense, 64-byte aligned */

typedef struct {
    xfc_arena *arena; /* results live here */
    /* Called after each op with its outputs, if not NULL (taps, per-node comparison). */
    void (*tap)(void *user, const xfc_op *, const xfc_array *out);
    void *user;
} xfc_eval_opts;

/* Binds symbols from the input shapes, checks them against the declared types and constraints, runs. out has
 * graph->n_out entries. Errors are recorded in the context: mismatched inputs (INPUT), index out of range (INPUT), too
 * large (LIMIT). */
xfc_status xfc_eval_graph(const xfc_graph *, const xfc_array *in, uint32_t n_in, xfc_array *out, const xfc_eval_opts *);
/* One op whose operand arrays are known; every symbol in its types must be constant or bound by binding (may be NULL).
 * Arena NULL: out[i].data is given. */
xfc_status xfc_eval_op(const xfc_op *, const xfc_array *in, xfc_array *out, xfc_arena *, xfc_int_lookup *, void *user);
/* A graph that computes what a composite does; its inputs are the operands that are there. NULL: failed. */
xfc_graph *xfc_op_decomposed(const xfc_op *);
/* Symbolic contents of the op's outputs from those of its operands, by running its nest over xfc_int. Called by the
 * builder. Only when outputs are static integer or bool tensors of at most XFC_MAX_CONTENT elements. */
void xfc_eval_content(xfc_op *);

/* Ops that call a routine of runtime/kernels: its place in the table there (false: op calls none), and the numbers that
 * it is given, at most XFC_ROUTINE_NUMBERS; answers how many. */
enum { XFC_ROUTINE_NUMBERS = 16 };
const char *xfc_routine_name(uint32_t number); /* "xk_top_k"; NULL: there are not so many */
uint32_t xfc_routine_number(const char *name); /* the other way round */
bool xfc_op_routine(const xfc_op *, uint32_t *number);
uint32_t xfc_routine_numbers(const xfc_op *, xfc_int *out);

#endif

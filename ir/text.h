/* text.h - the .xf language: prints and parses any graph at any stage. Round-trips: parse(print(g)) prints the same
 * bytes.
 *
 *   // comment
 *   graph @mlp[batch in 1..64, seq](%x: f32[batch, seq, 768]) -> (f32[batch, seq, 3072] "out") stage imported {
 *     %w = const "fc.weight" : f32[768, 3072] = [...]          // literal up to 64 elements, else file(ref)
 *     %0 = matmul %x, %w : f32[batch, seq, 3072]   @ "fc/MatMul" "MatMul" 17
 *     %1 = gelu %0 {approximate = 0} : f32[batch, seq, 3072]
 *     return %1
 *   }
 * docs/ir.md is the reference.
 */
#ifndef XFC_TEXT_H
#define XFC_TEXT_H
#include "ir/op.h"

typedef struct {
    bool locations; /* print @ node locations */
    /* Constants of more than 64 elements print as `data N`, N = pool id; false: `hash 0123...` which does not parse
     * back to data but is stable between runs (golden tests). */
    bool data_by_id;
} xfc_print_opts;

void xfc_print_graph(xfc_buf *, const xfc_graph *, const xfc_print_opts *); /* opts NULL: all false */
void xfc_print_op(xfc_buf *, const xfc_op *);                               /* one op, for messages */
void xfc_print_type(xfc_ctx *, xfc_buf *, const xfc_type *);
/* Canonical text of a kernel with operands and axes numbered by position: equal text = same code. */
void xfc_print_kernel(xfc_ctx *, xfc_buf *, const xfc_kernel *);

/* Hostile input: bounded nesting, every error with its line; NULL after the first error, recorded in ctx. Types given
 * in the text are checked against inference. `data N` refers to ctx's pool; `zeros` and `random SEED` make data. */
xfc_graph *xfc_parse_graph(xfc_ctx *, const char *text, size_t n, const char *file);

#endif

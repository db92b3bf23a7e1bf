/* text.h - the .xf language: prints and parses any graph at any stage. Round-trips: parse(print(g)) prints the same
 * bytes.
 *
 *   // comment
 *   graph @mlp[batch in 1..64, seq](%x: f32[batch, seq, 768]) -> (f32[batch, seq, 3072] "out") stage imported {
 *     %w = const "fc.weight" : f32[768, 3072] = [...]          // all elements up to 64, else see xfc_print_opts
 *     %0 = matmul %x, %w : f32[batch, seq, 3072]   @ "fc/MatMul" "MatMul" 17
 *     %1 = gelu %0 {approximate = 0} : f32[batch, seq, 3072]
 *     return %1
 *   }
 * docs/ir.md is the reference.
 */
#ifndef XFC_TEXT_H
#define XFC_TEXT_H
#include "ir/ops/op.h"

typedef struct {
    bool locations; /* print @ node locations */
    /* Constants of more than 64 elements print as `data N`, N = pool id; or all elements (inline); or `file OFFSET
     * HASH` into a data file beside the text, whose name the text holds and whose bytes are appended to `beside`. None
     * of these: `hash 0123...` which does not parse back to data but is stable between runs (golden tests). */
    bool data_by_id, data_inline;
    const char *data_file; /* NULL: no data file */
    xfc_buf *beside;
} xfc_print_opts;

void xfc_print_graph(xfc_buf *, const xfc_graph *, const xfc_print_opts *); /* opts NULL: all false */
void xfc_print_op(xfc_buf *, const xfc_op *);                               /* one op, for messages */
void xfc_print_type(xfc_ctx *, xfc_buf *, const xfc_type *);
/* Canonical text of a kernel: operands and axes are numbered by position, what it is given (ir/code.h) by its order, and
 * what the algebra knows of each stands beside it. Equal text = same code, whatever the symbols are. */
void xfc_print_kernel(xfc_ctx *, xfc_buf *, const xfc_kernel *, const xfc_int *symbol, uint32_t n);

/* Hostile input: bounded nesting, every error with its line; NULL after the first error, recorded in ctx. Types given
 * in the text are checked against inference. `data N` refers to ctx's pool; `zeros` and `random SEED` make data. */
xfc_graph *xfc_parse_graph(xfc_ctx *, const char *text, size_t n, const char *file);
/* The same for a text that may name a data file: read gives its bytes, at an address that is a multiple of 64, for as
 * long as the context lives; false: it recorded why not. */
typedef bool xfc_read_beside(xfc_ctx *, const char *file, const char *name, const void **data, size_t *n);
xfc_graph *xfc_parse_graph_beside(xfc_ctx *, const char *text, size_t n, const char *file, xfc_read_beside *read);

#endif

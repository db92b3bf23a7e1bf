/* dsformer.h - between dsformer.c, inputs.c and multiplied.c: what is known of the inputs of layers; products of factors. */
#ifndef XFC_DSFORMER_H
#define XFC_DSFORMER_H
#include "passes/dsformer/factorise.h"
#include "passes/lossy/lossy.h"

/* Of operand 0 of a linear, over all rows of all samples that numbers are fitted on. Where the network in front was
 * factorised already, `exact` is what the operand was before. */
typedef struct {
    int64_t blocks;
    double *gram; /* x^T x, block by block */
    double *mean, *exact_mean;
    double *lost; /* x^T (exact - x), as gram; NULL: nothing in front was changed */
} xfc_inputs;
typedef struct { /* a linear, and its like in the exact network */
    xfc_op *op, *exact;
} xfc_linear;

/* Of n linears of g, in out[0 .. n): the samples are run as often as memory asks for. exact: the network that g was, or
 * NULL: g itself. blocks: into how many parts so many inputs are cut. */
xfc_status xfc_inputs_see(xfc_oracle *, xfc_graph *g, const xfc_graph *exact, xfc_arena *, const xfc_linear *,
                          uint32_t n, int64_t (*blocks)(int64_t inputs), xfc_inputs **out);
/* The weight that gives most nearly by x what w gives by exact: w + (x^T x)^-1 x^T (exact - x) w. */
const float *xfc_factor_aim(xfc_arena *, const xfc_tensor *w, const xfc_inputs *);
/* What the factors lose of the mean output: exact_mean w - mean d s. */
float *xfc_factor_shift(xfc_arena *, const xfc_tensor *w, const xfc_factor_pair *, const xfc_inputs *);
/* d s of a weight [rows, columns], which is stored as the factors, their values in this type. */
const xfc_tensor *xfc_factors_multiplied(xfc_ctx *, const xfc_factor_pair *, int64_t rows, int64_t columns,
                                         xfc_dtype values);
/* The op of twin, a copy of g, that stands for op. */
xfc_op *xfc_twin_op(const xfc_graph *g, xfc_op *twin_first, const xfc_op *op);

#endif

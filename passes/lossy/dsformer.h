/* dsformer.h - between dsformer.c and inputs.c: what is known of the inputs of layers. */
#ifndef XFC_DSFORMER_H
#define XFC_DSFORMER_H
#include "passes/dsformer/factorise.h"
#include "passes/lossy/lossy.h"

typedef struct { /* of operand 0 of a linear, over all rows of all samples that numbers are fitted on */
    int64_t blocks;
    double *gram; /* x^T x, block by block */
    double *mean;
} xfc_inputs;

/* Of n linears, in out[0 .. n): the samples are run as often as memory asks for. blocks: into how many parts so many
 * inputs are cut. */
xfc_status xfc_inputs_see(xfc_oracle *, xfc_graph *, xfc_arena *, xfc_op *const *linear, uint32_t n,
                          int64_t (*blocks)(int64_t inputs), xfc_inputs **out);
/* What the factors lose of the mean output: mean (w - d s). */
float *xfc_factor_shift(xfc_arena *, const xfc_tensor *w, const xfc_factor_pair *, const double *mean);

#endif

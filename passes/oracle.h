/* oracle.h - what a graph answers on samples: asked by passes that trade accuracy, and by what judges them.
 *
 * Who runs passes fills it in: the tools with compiled code (tools/lossy/oracle.c). NULL where there are no samples.
 */
#ifndef XFC_ORACLE_H
#define XFC_ORACLE_H
#include "ir/ir.h"

typedef struct {
    uint32_t n, n_in;
    const char *const *input;           /* names of the n_in inputs */
    const char *const *name;            /* of each sample: where it was read */
    const xfc_tensor *const *const *in; /* in[sample][input] */
} xfc_samples;

/* The outputs of one sample, which are gone when it returns. */
typedef xfc_status xfc_oracle_see(void *user, uint32_t sample, const xfc_tensor *const *out);

/* Samples come in two halves that share none: on one a pass fits numbers and a search chooses, on the other both are
 * judged. */
typedef struct xfc_oracle xfc_oracle;
struct xfc_oracle {
    const xfc_samples *fit, *judge;
    /* Runs the graph, at stage imported and left as it is, and shows what came out, sample by sample in their order.
     * seconds: how long each sample took, or NULL. Fails, recorded, where the graph or a sample does, or as see does. */
    xfc_status (*run)(xfc_oracle *, xfc_graph *, const xfc_samples *, xfc_oracle_see *, void *user, double *seconds);
    /* Runs the graph on the fitting half; error: how far its outputs are from those of the graph that passes began with,
     * each in units of its own length, in all. */
    xfc_status (*differ)(xfc_oracle *, xfc_graph *, double *error);
};

#endif

/* lossy.h - what results are worth that an option made inexact: samples, programs run on them, differences. */
#ifndef XF_LOSSY_H
#define XF_LOSSY_H
#include "backends/backend.h"
#include "passes/oracle.h"
#include "passes/pass.h"

/* --- samples.c --- */

typedef struct {
    const char *where; /* the folder; NULL: made up */
    xfc_samples all, fit, judge;
} xf_samples;
/* DIR: .npz files, and folders of ONNX's test_data_set layout. Every sample fits the graph's inputs, or it fails. */
xfc_status xf_samples_read(xfc_ctx *, const char *dir, const xfc_graph *, xf_samples *out);
/* One, made up: the first dim of an input is 2 where it is open, others are 16, as far as their bounds allow. */
xfc_status xf_samples_make(xfc_ctx *, const xfc_graph *, xf_samples *out);

/* --- oracle.c --- */

/* Compiles for this machine, links, and runs, all in a child process: what happens there, and the memory it takes, goes
 * with it. */
typedef struct {
    xfc_oracle base; /* first */
    const xfc_backend *backend;
    const char *names, *linker; /* of passes */
    xfc_run_opts run;
    int opt_level;
} xf_oracle;
void xf_oracle_init(xf_oracle *, const xf_samples *); /* base; the rest is the caller's */
/* The same for a model that is compiled already. */
xfc_status xf_oracle_file(xfc_ctx *, const char *so, const xfc_samples *, xfc_oracle_see *, void *user,
                          double *seconds);

/* --- difference.c --- */

/* Outputs that were kept, to be compared with others. */
typedef struct {
    xfc_arena *arena;
    uint32_t n_out;
    const char *const *name;      /* of outputs */
    const xfc_tensor *const **of; /* by sample, then by output */
} xf_kept;
xf_kept xf_kept_new(xfc_arena *, const xfc_graph *, const xfc_samples *);
xfc_oracle_see xf_keep; /* user: an xf_kept */

/* How far an output is from the exact one, over all samples seen. */
typedef struct {
    double most, largest;    /* |difference|, |exact value| */
    int64_t lost;            /* elements that are finite in one of them only */
    bool floats, other_size; /* other_size: of a sample the dims differ; what follows is about the others */
} xf_distance;
typedef struct {
    const xf_kept *exact;
    xf_distance *output; /* by output */
} xf_distances;
xf_distances xf_distances_new(const xf_kept *exact);
xfc_oracle_see xf_see_distance; /* user: an xf_distances */

/* --- measure.c --- */

/* What an option costs that has no budget: the exact program on all samples, then what was written. */
typedef struct {
    xf_samples samples;
    xf_kept exact;
    xfc_arena *arena;
    const char *failed; /* on inputs that were made up: why the exact program says nothing */
} xf_measurement;
/* Fails only on samples that were given. The oracle's graph is as it was imported. */
xfc_status xf_measure_exact(xf_measurement *, xf_oracle *, xfc_graph *);
/* A note for each output of floats of the model that was written: its distance; or why nothing can be said. Frees what
 * was measured. */
void xf_measure_tell(xf_measurement *, xfc_ctx *, const char *option, bool json, const char *so);

#endif

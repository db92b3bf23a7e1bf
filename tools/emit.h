/* emit.h - code of one model for several ISAs, in parts that are made side by side. */
#ifndef XF_EMIT_H
#define XF_EMIT_H
#include "backends/backend.h"

typedef struct {
    xfc_ctx *ctx;
    const xfc_backend *backend;
    const xfc_kernel_set *set;
    int opt_level;
    bool time; /* a line for each ISA on stderr */
} xf_emission;

/* The best variant that this machine runs; NULL: none. */
const char *xf_native_isa(xfc_ctx *, const xfc_backend *);

xfc_status xf_emit_isa(const xf_emission *, const char *isa, const char *what, xfc_blob *out);
/* A shared object of the graphs of emission->set, which share the weights of g, its first. */
typedef struct {
    const xf_emission *emission;
    const char *const *isas;
    uint32_t n_isas,
        jobs; /* jobs: how much code is made at once (0: as many as there are CPUs); the same bytes for any */
    const char *output, *linker;
    bool sidecar, text; /* text: with the IR in it */
    uint32_t n_others;
    struct xfc_outfile *other; /* as of xfc_link_job */
} xf_library;
xfc_status xf_emit_library(const xf_library *, xfc_graph *g);
/* Of objects that are there, whose kernels have these names, by ISA and number. */
xfc_status xf_link_library(const xf_library *, xfc_graph *g, const char *const *const *name, const xfc_blob *objects,
                           uint32_t n);
uint32_t xf_n_cpus(void);

#endif

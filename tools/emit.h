/* emit.h - code for several ISAs of one model, side by side. */
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

xfc_status xf_emit_isa(const xf_emission *, const char *isa, const char *what, xfc_blob *out);
/* An object for each ISA, at most `jobs` at once (0: as many as there are CPUs). The same bytes for any number of
 * jobs. */
xfc_status xf_emit_objects(const xf_emission *, const char *const *isas, uint32_t n, uint32_t jobs, xfc_blob *out);

#endif

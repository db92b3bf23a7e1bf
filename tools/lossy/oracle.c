/* oracle.c - compiled code as the oracle: a graph is compiled for this machine in a child process, and run in another. */
#include "tools/emit.h"
#include "tools/lossy/lossy.h"

typedef struct {
    const xf_oracle *oracle;
    xfc_graph *g;
    const char *so;
} job;

/* In the child, which has a graph of its own. */
static xfc_status build(const void *arg) {
    const job *j = arg;
    const xf_oracle *o = j->oracle;
    xfc_graph *g = j->g;
    xfc_ctx *ctx = g->ctx;
    const char *isa = xf_native_isa(ctx, o->backend);
    if (!isa) return xfc_fail(ctx, XFC_ERR_TOOL, (xfc_loc){0}, "this machine runs no variant that xfc knows");
    XFC_TRY(xfc_run_passes(&g, o->backend->generic, o->names, &o->run));
    const xfc_kernel_set set = xfc_kernel_set_of((const xfc_graph *const *)&g, 1, ctx->arena);
    const xf_emission e = {ctx, o->backend, &set, o->opt_level, false};
    const xf_library l = {.emission = &e, .isas = &isa, .n_isas = 1, .output = j->so, .linker = o->linker};
    return o->kernels ? xf_link_shared(o->kernels, &l, g) : xf_emit_library(&l, g);
}

xfc_status xf_oracle_build(const xf_oracle *o, xfc_graph *g, const char *so) {
    return xf_remote(g->ctx, build, &(job){o, g, so});
}

static xfc_status run(xfc_oracle *base, xfc_graph *g, const xfc_samples *samples, xfc_oracle_see *see, void *user,
                      double *seconds) {
    const char *dir = xf_temporary(g->ctx);
    if (!dir) return XFC_ERR_IO;
    const char *so = xfc_sprintf(g->ctx->arena, "%s/model.so", dir);
    xfc_status s = xf_oracle_build((const xf_oracle *)base, g, so);
    if (s == XFC_OK) s = xf_run_samples(g->ctx, so, samples, see, user, seconds);
    xf_temporary_end(g->ctx, dir);
    return s;
}

static xfc_status differ(xfc_oracle *base, xfc_graph *g, double *error) {
    const xf_kept *exact = ((const xf_oracle *)base)->exact;
    xf_distances far = xf_distances_new(g->arena, exact, false);
    XFC_TRY(base->run(base, g, base->fit, xf_see_distance, &far, NULL));
    *error = 0;
    for (uint32_t i = 0; i < exact->n_out; i++)
        if (far.output[i].floats) *error += xf_metric_of(&far.output[i], XF_REL, 0);
    return XFC_OK;
}

void xf_oracle_init(xf_oracle *o, const xf_samples *samples) {
    o->base = (xfc_oracle){.fit = &samples->fit, .judge = &samples->judge, .run = run, .differ = differ};
}

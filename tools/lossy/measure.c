/* measure.c - how far results are from the exact ones, in a note for each output. */
#include "tools/cli.h"
#include "tools/lossy/lossy.h"

/* What fails on inputs that were made up is no error of the compile. */
static const char *take_back_error(xfc_ctx *ctx, uint32_t n_diags, uint32_t n_errors) {
    const char *why = ctx->n_diags > n_diags ? ctx->diags[ctx->n_diags - 1].text : "the model does not run here";
    ctx->n_diags = n_diags;
    ctx->n_errors = n_errors;
    return why;
}

xfc_status xf_measure_exact(xf_measurement *m, xf_oracle *oracle, xfc_graph *g) {
    xfc_ctx *ctx = g->ctx;
    const uint32_t n_diags = ctx->n_diags, n_errors = ctx->n_errors;
    m->arena = xfc_arena_new();
    xfc_status s = xf_kept_new(ctx, m->arena, g, &m->samples.all, &m->exact);
    if (s == XFC_OK) s = oracle->base.run(&oracle->base, g, &m->samples.all, xf_keep, &m->exact, NULL);
    if (s == XFC_OK || m->samples.where) return s;
    m->failed = take_back_error(ctx, n_diags, n_errors);
    return XFC_OK;
}

static void tell(const xf_measurement *m, const char *option, bool json, const char *name, const xf_distance *d) {
    xfc_buf text = {.arena = m->arena};
    if (!d->floats) return;
    xfc_buf_printf(&text, "%s: output '%s' differs by at most %.3g from the exact one, whose largest value is %.3g",
                   option, name, d->most, d->largest);
    if (d->lost) xfc_buf_printf(&text, "; %lld elements are finite in one of them only", (long long)d->lost);
    if (d->other_size) xfc_buf_str(&text, "; there are samples on which it has other dims, which are not counted");
    if (m->samples.where)
        xfc_buf_printf(&text, " (%u samples of %s)", (unsigned)m->samples.all.n, m->samples.where);
    else
        xfc_buf_str(&text, " (inputs made up)");
    xf_note("xfc", json, text.text);
}

void xf_measure_tell(xf_measurement *m, xfc_ctx *ctx, const char *option, bool json, const char *so) {
    xf_distances far = xf_distances_new(m->arena, &m->exact, false);
    const uint32_t n_diags = ctx->n_diags, n_errors = ctx->n_errors;
    if (!m->failed && xf_run_samples(ctx, so, &m->samples.all, xf_see_distance, &far, NULL) != XFC_OK)
        m->failed = take_back_error(ctx, n_diags, n_errors);
    for (uint32_t i = 0; i < m->exact.n_out && !m->failed; i++) tell(m, option, json, m->exact.name[i], &far.output[i]);
    if (m->failed)
        xf_note("xfc", json,
                xfc_sprintf(m->arena, "%s: how far results are off is not measured: %s", option, m->failed));
    xfc_arena_free(m->arena);
}

/* measure.c - by how much the results of two compiled models differ on made-up inputs: what an inexact option costs.
 *
 * Inputs are those that xf-run makes up; the first dim of an input is 2 where it is open, others are 16, as far as
 * their bounds allow. A model that refuses these is not measured, and that is said.
 */
#include "tools/measure.h"
#include "tools/run/run.h"
#include <math.h>
#include <stdio.h>

enum { FIRST = 2, OTHERS = 16, MAX_ID = 100 };

static int64_t size_of(const xf_io_info *info, int32_t d) {
    int64_t size = d == 0 && info->ndim > 1 ? FIRST : OTHERS;
    if (info->dim[d] >= 0) return info->dim[d];
    if (size < info->dim_min[d]) size = info->dim_min[d];
    return info->dim_max[d] >= 0 && size > info->dim_max[d] ? info->dim_max[d] : size;
}

/* NAME=2x16 of every input; dims of one name have one size. */
static void make_shapes(const xf_runner *r, xf_cli_list *shapes) {
    xfc_arena *arena = r->ctx->arena;
    xfc_map sizes = {.arena = arena}; /* name -> size + 1 */
    shapes->item = xfc_new_array(arena, const char *, r->n_in);
    for (uint32_t i = 0; i < r->n_in; i++) {
        const xf_io_info *info = r->api->input_info(r->model, i);
        xfc_buf text = {.arena = arena};
        xfc_buf_printf(&text, "%s=", info->name);
        for (int32_t d = 0; d < info->ndim; d++) {
            const char *name = xfc_intern_z(r->ctx->strings, info->dim_name[d]);
            uint64_t key = (uint64_t)(uintptr_t)name, known = name ? xfc_map_get(&sizes, key) : 0;
            int64_t size = known ? (int64_t)known - 1 : size_of(info, d);
            if (name) xfc_map_set(&sizes, key, (uint64_t)size + 1);
            xfc_buf_printf(&text, "%s%lld", d ? "x" : "", (long long)size);
        }
        shapes->item[shapes->n++] = text.text;
    }
}

static xfc_status run(xf_runner *r, const char *path, const xfc_tensor ***in, const xfc_tensor ***out) {
    xf_cli_list shapes = {0};
    xf_ctx *ctx = NULL;
    xf_fill fill = {0};
    XFC_TRY(xf_runner_open(r, r->ctx, path, &(xf_open_opts){.struct_size = sizeof(xf_open_opts)}));
    XFC_TRY(xf_runner_context(r, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts)}, &ctx));
    make_shapes(r, &shapes);
    if (!*in)
        *in = xfc_new_array(r->ctx->arena, const xfc_tensor *, r->n_in); /* the second model gets those of the first */
    *out = xfc_new_array(r->ctx->arena, const xfc_tensor *, r->n_out);
    xfc_status status = xf_complete_inputs(r, &shapes, &(xf_random_opts){.max_id = MAX_ID, .pad_id = -1}, *in, &fill);
    if (status == XFC_OK) status = xf_runner_run(r, ctx, *in, *out);
    r->api->ctx_destroy(ctx);
    return status;
}

static void report(const char *option, bool json, const char *name, const xfc_tensor *got, const xfc_tensor *want) {
    double most = 0, largest = 0;
    int64_t lost = 0;
    if (!xfc_dtype_is_float(want->dtype) || want->count == 0) return;
    for (int64_t i = 0; i < want->count; i++) {
        double x = xfc_tensor_get_f(got, i), y = xfc_tensor_get_f(want, i);
        lost += isfinite(x) != isfinite(y);
        if (isfinite(x) && isfinite(y)) most = fmax(most, fabs(x - y));
        if (isfinite(y)) largest = fmax(largest, fabs(y));
    }
    xfc_buf text = {.arena = xfc_arena_new()};
    xfc_buf_printf(&text, "%s: output '%s' differs by at most %.3g from the exact one, whose largest value is %.3g",
                   option, name, most, largest);
    if (lost) xfc_buf_printf(&text, "; %lld elements are finite in one of them only", (long long)lost);
    xfc_buf_str(&text, " (inputs made up)");
    xf_note("xfc", json, text.text);
    xfc_arena_free(text.arena);
}

void xf_measure(const char *option, bool json, const char *path, const char *exact) {
    xfc_ctx *ctx = xfc_ctx_new();
    xf_runner is = {.ctx = ctx}, was = {.ctx = ctx};
    const xfc_tensor **in = NULL, **got = NULL, **want = NULL;
    xfc_status status = run(&is, path, &in, &got);
    if (status == XFC_OK) status = run(&was, exact, &in, &want);
    for (uint32_t i = 0; i < is.n_out && status == XFC_OK; i++)
        report(option, json, is.api->output_info(is.model, i)->name, got[i], want[i]);
    if (status != XFC_OK)
        xf_note("xfc", json,
                xfc_sprintf(ctx->arena, "%s: how far results are off is not measured: %s", option,
                            ctx->n_diags ? ctx->diags[ctx->n_diags - 1].text : "the model does not run here"));
    xf_runner_close(&is);
    xf_runner_close(&was);
    xfc_ctx_free(ctx);
}

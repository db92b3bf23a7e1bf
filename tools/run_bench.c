/* run_bench.c - timing: warm up, then run for a while, and report the distribution.
 *
 * The context owns the outputs, so a run allocates nothing; nothing but `run` is between the two clock reads. The
 * median is the number to quote; the minimum says what the machine can do undisturbed.
 */
#define _GNU_SOURCE
#include "tools/run.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    double *ms;
    uint32_t n, cap;
} samples;

bool xf_parse_time(const char *text, double *seconds) {
    char *end;
    double v = strtod(text, &end);
    double unit = !strcmp(end, "ms") ? 1e-3 : !strcmp(end, "us") ? 1e-6 : !strcmp(end, "s") || !*end ? 1 : 0;
    *seconds = v * unit;
    return end != text && unit > 0 && v >= 0 && v < 1e6;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nearest rank: the smallest sample that at least q of them do not exceed. */
static double quantile(const samples *s, double q) {
    uint32_t i = (uint32_t)(q * (double)s->n);
    if ((double)i < q * (double)s->n) i++;
    return s->ms[i > 0 ? i - 1 : 0];
}

typedef struct {
    xf_runner *r;
    xf_ctx *ctx;
    xf_tensor *in, *out;
} job;

static xfc_status run_once(const job *j, double *ms) {
    double start = xf_seconds();
    xf_status status = j->r->api->run(j->ctx, j->in, j->r->n_in, j->out, j->r->n_out);
    *ms = 1e3 * (xf_seconds() - start);
    return status == XF_OK ? XFC_OK : xf_runner_failed(j->r, j->ctx, status);
}

static xfc_status warm_up(const job *j, double seconds) {
    double ms, start = xf_seconds();
    do XFC_TRY(run_once(j, &ms));
    while (xf_seconds() - start < seconds);
    return XFC_OK;
}

static xfc_status measure(const job *j, double seconds, uint32_t iters, samples *s) {
    double start = xf_seconds();
    while (iters ? s->n < iters : s->n < 10 || xf_seconds() - start < seconds) {
        double ms;
        XFC_TRY(run_once(j, &ms));
        xfc_push(j->r->ctx->arena, s->ms, s->n, s->cap) = ms;
    }
    qsort(s->ms, s->n, sizeof *s->ms, by_value);
    return XFC_OK;
}

static void print_result(const job *j, const samples *s, const xf_bench_opts *o, size_t workspace) {
    const char *isa = j->r->api->metadata(j->r->model, "isa");
    double median = s->n % 2 ? s->ms[s->n / 2] : (s->ms[s->n / 2 - 1] + s->ms[s->n / 2]) / 2;
    printf(o->json ? "{\"median_ms\": %.6g, \"min_ms\": %.6g, \"p90_ms\": %.6g, \"p99_ms\": %.6g, \"iterations\": %u, "
                     "\"threads\": %d, "
                     "\"isa\": \"%s\", \"open_ms\": %.6g, \"workspace_bytes\": %zu}\n"
                   : "median %.6g ms, min %.6g, p90 %.6g, p99 %.6g over %u runs; %d threads, %s, open %.3g ms, "
                     "workspace %zu bytes\n",
           median, s->ms[0], quantile(s, 0.9), quantile(s, 0.99), s->n, (int)o->threads, isa, j->r->open_ms, workspace);
}

xfc_status xf_bench(xf_runner *r, xf_ctx *ctx, const xfc_tensor *const *in, const xf_bench_opts *o) {
    double warm, duration;
    char *end = NULL;
    unsigned long iters = o->iters ? strtoul(o->iters, &end, 10) : 0;
    if (!xf_parse_time(o->warmup, &warm) || !xf_parse_time(o->duration, &duration) ||
        (o->iters && (*end || iters == 0 || iters > 1u << 30)))
        return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                        "--warmup and --duration take times such as 200ms or 3s, --iters a count");
    job j = {r, ctx, xfc_new_array(r->ctx->arena, xf_tensor, r->n_in),
             xfc_new_array(r->ctx->arena, xf_tensor, r->n_out)};
    for (uint32_t i = 0; i < r->n_in; i++) j.in[i] = xf_tensor_view(in[i]);
    size_t workspace;
    xf_status status = r->api->workspace_size(r->model, j.in, r->n_in, o->threads, &workspace);
    if (status != XF_OK) return xf_runner_failed(r, NULL, status);
    XFC_TRY(warm_up(&j, warm));
    if (o->profile) r->api->profile_start(ctx);
    samples s = {0};
    XFC_TRY(measure(&j, duration, (uint32_t)iters, &s));
    print_result(&j, &s, o, workspace);
    return o->profile ? xf_write_profile(r, ctx, o->profile) : XFC_OK;
}

xfc_status xf_write_profile(xf_runner *r, xf_ctx *ctx, const char *path) {
    size_t n = 0;
    xf_status status = r->api->profile_json(ctx, NULL, 0, &n);
    char *text = xfc_alloc(r->ctx->arena, n + 1, 1);
    if (status == XF_OK) status = r->api->profile_json(ctx, text, n + 1, &n);
    if (status != XF_OK) return xf_runner_failed(r, ctx, status);
    if (xf_write_file(path, text, n)) return XFC_OK;
    return xfc_fail(r->ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be written: %s", strerror(errno));
}

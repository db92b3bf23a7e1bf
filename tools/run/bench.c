/* bench.c - timing: warm up, then run for a while, and report the distribution.
 *
 * The context owns the outputs, so a run allocates nothing; nothing but `run` is between the two clock reads. The
 * median is the number to quote; the minimum says what the machine can do undisturbed. Several contexts run in threads
 * of their own, each a lane, which begin together when all are warm; at the end their outputs must have the same bits.
 */
#define _GNU_SOURCE
#include "tools/run/run.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    double *ms;
    uint32_t n, cap;
} samples;

typedef struct {
    double warm, duration;
    uint32_t iters; /* 0: as many as fit into the duration */
} timing;

/* Where lanes wait for one another when they are warm. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t waiting;
    bool open, given_up;
} gate;

/* One context and the thread that uses it. Lanes share only what none of them changes. */
typedef struct {
    const xf_runner *r;
    xf_ctx *ctx;
    const xf_tensor *in;
    const xf_packed *packed; /* instead of in */
    xf_tensor *out;
    timing timing;
    int32_t threads;
    gate *gate;
    pthread_t thread;
    xfc_arena *arena; /* of the samples */
    samples samples;
    double seconds; /* of the timing */
    xf_status status;
    char error[1024];
} lane;

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

/* --- a lane --- */

static bool failed(lane *l, const xf_ctx *ctx, xf_status status) {
    if (status == XF_OK) return false;
    snprintf(l->error, sizeof l->error, "%s", l->r->api->last_error(ctx));
    l->status = status;
    return true;
}

static bool run_once(lane *l, double *ms) {
    const xf_api *api = l->r->api;
    const xf_packed *p = l->packed;
    double start = xf_seconds();
    xf_status status = p ? api->run_packed(l->ctx, p->in, p->n_in, p->cu, p->n_seq, l->out, l->r->n_out)
                         : api->run(l->ctx, l->in, l->r->n_in, l->out, l->r->n_out);
    *ms = 1e3 * (xf_seconds() - start);
    return !failed(l, l->ctx, status);
}

static void warm_up(lane *l) {
    double ms, start = xf_seconds();
    do
        if (!run_once(l, &ms)) return;
    while (xf_seconds() - start < l->timing.warm);
}

static void measure(lane *l) {
    double start = xf_seconds();
    samples *s = &l->samples;
    while (l->timing.iters ? s->n < l->timing.iters : s->n < 10 || xf_seconds() - start < l->timing.duration) {
        double ms;
        if (!run_once(l, &ms)) return;
        xfc_push(l->arena, s->ms, s->n, s->cap) = ms;
    }
    l->seconds = xf_seconds() - start;
}

/* False: the timing is given up. */
static bool pass_gate(gate *g) {
    pthread_mutex_lock(&g->lock);
    g->waiting++;
    pthread_cond_broadcast(&g->changed);
    while (!g->open) pthread_cond_wait(&g->changed, &g->lock);
    bool go = !g->given_up;
    pthread_mutex_unlock(&g->lock);
    return go;
}

/* Every lane comes to the gate, also one that failed. */
static void *run_lane(void *user) {
    lane *l = user;
    const xf_ctx_opts opts = {.struct_size = sizeof opts, .num_threads = l->threads};
    if (!failed(l, NULL, l->r->api->ctx_create(l->r->model, &opts, &l->ctx))) warm_up(l);
    if (pass_gate(l->gate) && l->status == XF_OK) measure(l);
    return NULL;
}

/* --- lanes --- */

static lane make_lane(xf_runner *r, const xf_tensor *in, timing t, const xf_bench_opts *o) {
    return (lane){.r = r,
                  .in = in,
                  .out = xfc_new_array(r->ctx->arena, xf_tensor, r->n_out),
                  .timing = t,
                  .threads = o->threads,
                  .arena = xfc_arena_new()};
}

static xfc_status report_failure(xf_runner *r, const lane *l) {
    if (l->status == XF_OK) return XFC_OK;
    return xfc_fail(r->ctx, l->status == XF_E_IO ? XFC_ERR_IO : XFC_ERR_INPUT, (xfc_loc){.file = r->path}, "%s: %s",
                    r->api->status_string(l->status), l->error);
}

static size_t tensor_bytes(const xf_tensor *t) {
    size_t bits = t->dtype.bits;
    for (int32_t d = 0; d < t->ndim; d++) bits *= (size_t)t->shape[d];
    return (bits + 7) / 8;
}

/* All lanes had the same inputs. */
static xfc_status same_outputs(xf_runner *r, const lane *lanes, int32_t n) {
    for (int32_t k = 1; k < n; k++)
        for (uint32_t i = 0; i < r->n_out; i++) {
            const xf_tensor *a = &lanes[0].out[i], *b = &lanes[k].out[i];
            size_t bytes = tensor_bytes(a);
            if (tensor_bytes(b) == bytes && (!bytes || !memcmp(a->data, b->data, bytes))) continue;
            return xfc_fail(r->ctx, XFC_ERR_VERIFY, (xfc_loc){.file = r->path},
                            "context %d gave other bits than context 0 for output '%s'; please report this", (int)k,
                            r->api->output_info(r->model, i)->name);
        }
    return XFC_OK;
}

static xfc_status start_lanes(xf_runner *r, lane *lanes, int32_t n) {
    gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    int32_t started = 0;
    for (bool ok = true; ok && started < n; started += ok) {
        lanes[started].gate = &g;
        ok = pthread_create(&lanes[started].thread, NULL, run_lane, &lanes[started]) == 0;
    }
    pthread_mutex_lock(&g.lock);
    while (g.waiting < started) pthread_cond_wait(&g.changed, &g.lock);
    g.open = true;
    g.given_up = started < n;
    pthread_cond_broadcast(&g.changed);
    pthread_mutex_unlock(&g.lock);
    for (int32_t i = 0; i < started; i++) pthread_join(lanes[i].thread, NULL);
    if (started == n) return XFC_OK;
    return xfc_fail(r->ctx, XFC_ERR_IO, (xfc_loc){0}, "only %d of %d threads can be started; use fewer --contexts",
                    (int)started, (int)n);
}

static xfc_status run_lanes(xf_runner *r, lane *lanes, int32_t n) {
    XFC_TRY(start_lanes(r, lanes, n));
    for (int32_t i = 0; i < n; i++) XFC_TRY(report_failure(r, &lanes[i]));
    return same_outputs(r, lanes, n);
}

static xfc_status run_alone(xf_runner *r, lane *l, const xf_bench_opts *o) {
    warm_up(l);
    if (l->status == XF_OK && o->profile) r->api->profile_start(l->ctx);
    if (l->status == XF_OK) measure(l);
    return report_failure(r, l);
}

/* --- the result --- */

static void print_more(const xf_bench_opts *o, double runs_per_s) {
    const char *contexts = o->json ? ", \"contexts\": %d, \"runs_per_s\": %.6g" : "; %d contexts, %.6g runs/s";
    const char *fill = o->json ? ", \"tokens\": %lld, \"positions\": %lld, \"fill\": %.4g"
                               : "; %lld tokens of %lld positions, fill %.4g";
    if (o->contexts > 1) printf(contexts, (int)o->contexts, runs_per_s);
    if (o->fill.known)
        printf(fill, (long long)o->fill.tokens, (long long)o->fill.positions,
               o->fill.positions ? (double)o->fill.tokens / (double)o->fill.positions : 1.0);
}

/* Sorted samples of all lanes. */
static void print_result(const xf_runner *r, const samples *s, const xf_bench_opts *o, size_t workspace,
                         double runs_per_s) {
    const char *isa = r->api->metadata(r->model, "isa");
    double median = s->n % 2 ? s->ms[s->n / 2] : (s->ms[s->n / 2 - 1] + s->ms[s->n / 2]) / 2;
    printf(o->json ? "{\"median_ms\": %.6g, \"min_ms\": %.6g, \"p90_ms\": %.6g, \"p99_ms\": %.6g, \"iterations\": %u, "
                     "\"threads\": %d, \"isa\": \"%s\", \"open_ms\": %.6g, \"workspace_bytes\": %zu"
                   : "median %.6g ms, min %.6g, p90 %.6g, p99 %.6g over %u runs; %d threads, %s, open %.3g ms, "
                     "workspace %zu bytes",
           median, s->ms[0], quantile(s, 0.9), quantile(s, 0.99), s->n, (int)o->threads, isa, r->open_ms, workspace);
    print_more(o, runs_per_s);
    printf(o->json ? "}\n" : "\n");
}

static void summarize(xf_runner *r, const lane *lanes, const xf_bench_opts *o, size_t workspace) {
    samples all = {0};
    double seconds = 0;
    for (int32_t k = 0; k < o->contexts; k++) {
        for (uint32_t i = 0; i < lanes[k].samples.n; i++)
            xfc_push(r->ctx->arena, all.ms, all.n, all.cap) = lanes[k].samples.ms[i];
        if (lanes[k].seconds > seconds) seconds = lanes[k].seconds;
    }
    qsort(all.ms, all.n, sizeof *all.ms, by_value);
    print_result(r, &all, o, workspace, (double)all.n / seconds);
}

typedef struct {
    xf_tensor *in;
    xf_packed packed;
    size_t workspace;
} arguments;

static xfc_status make_arguments(xf_runner *r, const xfc_tensor *const *in, int32_t threads, arguments *a) {
    xf_status status;
    if (r->packed) {
        const xf_packed *p = &a->packed;
        XFC_TRY(xf_pack(r, in, &a->packed));
        status = r->api->packed_workspace_size(r->model, p->in, p->n_in, p->cu, p->n_seq, threads, &a->workspace);
        return status == XF_OK ? XFC_OK : xf_runner_failed(r, NULL, status);
    }
    a->in = xfc_new_array(r->ctx->arena, xf_tensor, r->n_in);
    for (uint32_t i = 0; i < r->n_in; i++) a->in[i] = xf_tensor_view(in[i]);
    status = r->api->workspace_size(r->model, a->in, r->n_in, threads, &a->workspace);
    return status == XF_OK ? XFC_OK : xf_runner_failed(r, NULL, status);
}

xfc_status xf_bench(xf_runner *r, xf_ctx *ctx, const xfc_tensor *const *in, const xf_bench_opts *o) {
    const timing t = {.warm = o->warmup, .duration = o->duration, .iters = (uint32_t)o->iters};
    arguments a = {0};
    XFC_TRY(make_arguments(r, in, o->threads, &a));
    lane *lanes = xfc_new_array(r->ctx->arena, lane, o->contexts);
    for (int32_t i = 0; i < o->contexts; i++) {
        lanes[i] = make_lane(r, a.in, t, o);
        lanes[i].packed = r->packed ? &a.packed : NULL;
    }
    bool alone = o->contexts == 1;
    if (alone) lanes[0].ctx = ctx;
    xfc_status s = alone ? run_alone(r, &lanes[0], o) : run_lanes(r, lanes, o->contexts);
    if (s == XFC_OK || s == XFC_ERR_VERIFY) summarize(r, lanes, o, a.workspace);
    for (int32_t i = 0; i < o->contexts; i++) {
        if (!alone) r->api->ctx_destroy(lanes[i].ctx);
        xfc_arena_free(lanes[i].arena);
    }
    return s == XFC_OK && o->profile ? xf_write_profile(r, ctx, o->profile) : s;
}

xfc_status xf_write_profile(xf_runner *r, xf_ctx *ctx, const char *path) {
    size_t n = 0;
    xf_status status = r->api->profile_json(ctx, NULL, 0, &n);
    char *text = xfc_alloc(r->ctx->arena, n + 1, 1);
    if (status == XF_OK) status = r->api->profile_json(ctx, text, n + 1, &n);
    if (status != XF_OK) return xf_runner_failed(r, ctx, status);
    if (xf_write_file(r->ctx, path, text, n)) return XFC_OK;
    return xfc_fail(r->ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be written: %s", xf_write_error());
}

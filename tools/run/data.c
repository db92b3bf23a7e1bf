/* data.c - --compare with --data: how far a compiled model is from the exact program on a folder of samples.
 *
 * It is what xfc measures under --lossy and --calib, on other data: xfc compiles the model for this machine as it does by
 * default, both run on all samples, and the distance of each output is told; with --max-error it is judged.
 */
#define _GNU_SOURCE
#include "frontend/frontend.h"
#include "tools/lossy/lossy.h"
#include "tools/run/run.h"
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef struct {
    xf_runner *r;
    const char *model;
    const xf_cli_list *dims;
    xfc_graph *g;
    xf_samples samples;
    xf_kept exact;
    xf_distances far;
    double *exact_seconds, *seconds;
} measurement;

/* --- the exact program --- */

static xfc_status cannot(const measurement *m, const char *why) {
    return xfc_fail(m->r->ctx, XFC_ERR_TOOL, (xfc_loc){.file = m->model}, "--data: xfc, which compiles it, %s", why);
}

/* xfc stands where xf-run does, or where programs are looked for. */
static const char *compiler(xfc_arena *arena) {
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    while (n > 0 && self[n - 1] != '/') n--;
    const char *beside = n > 0 ? xfc_sprintf(arena, "%.*sxfc", (int)n, self) : "xfc";
    return access(beside, X_OK) == 0 ? beside : "xfc";
}

/* In a process group of its own, which ends with this process. */
static xfc_status compile(const measurement *m, const char *so) {
    xfc_ctx *ctx = m->r->ctx;
    const char **v = xfc_new_array(ctx->arena, const char *, m->dims->n + 8);
    uint32_t n = 0;
    v[n++] = compiler(ctx->arena);
    v[n++] = "-q";
    v[n++] = "-march=native";
    for (uint32_t i = 0; i < m->dims->n; i++) v[n++] = xfc_sprintf(ctx->arena, "--dim=%s", m->dims->item[i]);
    v[n++] = xfc_sprintf(ctx->arena, "-o%s", so);
    v[n++] = "--";
    v[n++] = m->model;
    pid_t pid;
    int status = 0;
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int error = posix_spawnp(&pid, v[0], NULL, &attributes, (char **)(uintptr_t)v, environ);
    posix_spawnattr_destroy(&attributes);
    if (error) return cannot(m, xfc_sprintf(ctx->arena, "cannot be started: %s", strerror(error)));
    xfc_leftover_group(ctx->leftovers, pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    xfc_leftover_group(ctx->leftovers, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? XFC_OK : cannot(m, "has failed");
}

static xfc_status run_exact(measurement *m) {
    xfc_ctx *ctx = m->r->ctx;
    const char *dir = xf_temporary(ctx), *so = xfc_sprintf(ctx->arena, "%s/exact.so", dir ? dir : "");
    xfc_status s = dir ? compile(m, so) : XFC_ERR_IO;
    if (s == XFC_OK) s = xf_run_samples(ctx, so, &m->samples.all, xf_keep, &m->exact, m->exact_seconds);
    if (dir) xf_temporary_end(ctx, dir);
    return s;
}

static xfc_status measure(measurement *m, bool kl) {
    xfc_arena *a = m->r->ctx->arena;
    const xfc_samples *all = &m->samples.all;
    XFC_TRY(xf_kept_new(m->r->ctx, a, m->g, all, &m->exact));
    m->far = xf_distances_new(a, &m->exact, kl);
    m->exact_seconds = xfc_new_array(a, double, all->n);
    m->seconds = xfc_new_array(a, double, all->n);
    XFC_TRY(run_exact(m));
    return xf_run_samples(m->r->ctx, m->r->path, all, xf_see_distance, &m->far, m->seconds);
}

/* --- told --- */

static void report(const measurement *m) {
    double exact = 0, seconds = 0;
    for (uint32_t i = 0; i < m->samples.all.n; i++) exact += m->exact_seconds[i], seconds += m->seconds[i];
    for (uint32_t i = 0; i < m->exact.n_out; i++) {
        xfc_buf b = {.arena = m->r->ctx->arena};
        if (!m->far.output[i].floats) continue;
        xf_distance_text(&b, m->exact.name[i], &m->far.output[i], m->far.kl);
        printf("%s\n", b.text);
    }
    printf("%u samples; on this machine %.2f times as fast as the exact program\n", (unsigned)m->samples.all.n,
           exact / seconds);
}

static void free_graph(void *g) { xfc_graph_free(g); }

/* The model has the outputs of the graph, in their order: else it was made from another. */
static xfc_status check_outputs(const measurement *m) {
    bool same = m->r->n_out == m->g->n_out;
    for (uint32_t i = 0; same && i < m->g->n_out; i++) same = xf_find_output(m->r, m->g->out_name[i]) == (int)i;
    if (same) return XFC_OK;
    return xfc_fail(m->r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = m->model},
                    "has other outputs than %s; was it compiled from this model?", m->r->path);
}

xfc_status xf_compare_data(xf_runner *r, const char *model, const xf_cli_list *dims, const char *dir,
                           const xf_budgets *budgets) {
    xfc_ctx *ctx = r->ctx;
    measurement m = {.r = r, .model = model, .dims = dims};
    m.g = xf_has_suffix(model, ".xf")
              ? xf_parse_file(ctx, model, true)
              : xfc_import_file(ctx, model, &(xfc_import_opts){.dims = dims->item, .n_dims = dims->n});
    if (!m.g) return XFC_ERR_INPUT;
    xfc_ctx_at_exit(ctx, free_graph, m.g);
    XFC_TRY(check_outputs(&m));
    XFC_TRY(xf_budgets_check(budgets, m.g));
    XFC_TRY(xf_samples_read(ctx, "--data", dir, 1, m.g, &m.samples));
    XFC_TRY(measure(&m, budgets->kl));
    report(&m);
    double used = xf_budgets_used(budgets, m.far.output, m.exact.name, m.exact.n_out, 0, 0, 0);
    if (budgets->n) printf("--max-error: %.3g of it is used\n", used);
    return used <= 1 ? XFC_OK : XFC_ERR_VERIFY;
}

/* trade.c - from the exact graph to the one that --lossy asks for, measured on the way.
 *
 * The list of passes is run in three: what leads to the lossy passes; those; and, by the caller, the rest. What stands in
 * between is where all that is measured begins: the exact program and every other are made from it by the rest, in a
 * child process (oracle.c). With a budget the levels are searched for (search.c), else they are those that were asked for.
 */
#include "tools/lossy/lossy.h"
#include <string.h>

typedef struct {
    const xf_trade *t;
    xfc_arena *arena; /* of what is measured */
    const char *part[3];
    xfc_run_opts run[3];
    xf_samples samples;
    xf_oracle exact, traded;
    const char *kernels;                    /* a folder that their programs share */
    xf_kept kept;                           /* exact outputs of all samples */
    double *exact_seconds, exact_metric[2]; /* metric: of what is chosen by, of what is judged by */
    xf_search search;
    xf_record record;
    xf_progress progress; /* of what a kind fits */
    xfc_progress watch;
} trade;

static bool is_quiet(const trade *x) { return x->t->quiet || x->t->json; }

/* The parts, and what each may demand. */
static void split(trade *x, const xfc_graph *g, const char *names, const xfc_run_opts *run) {
    xfc_split_lossy(g->ctx->arena, names, x->part);
    for (int i = 0; i < 3; i++) {
        x->run[i] = *run;
        for (int k = 0; k < 3; k++) {
            if (k != i) xfc_drop_demands(&x->run[i].passes, x->part[k]);
            if (k < i) x->run[i].bisect_from += xfc_count_optional(x->part[k], run->disable);
        }
    }
}

static xfc_run_opts silent(const xfc_run_opts *run) {
    return (xfc_run_opts){.disable = run->disable,
                          .bisect_limit = run->bisect_limit,
                          .bisect_from = run->bisect_from,
                          .passes = run->passes};
}

/* Exact but for `compute`. */
static void set_oracle(const trade *x, xf_oracle *o, xfc_choice compute) {
    *o = (xf_oracle){.backend = x->t->backend,
                     .names = x->part[2],
                     .linker = x->t->linker,
                     .run = silent(&x->run[2]),
                     .opt_level = x->t->opt_level};
    o->run.passes.compute = compute;
    xf_oracle_init(o, &x->samples);
}

/* --- what is exact --- */

static bool has_command(const trade *x) { return x->t->budgets->eval != NULL; }

static xfc_status measure_exact(trade *x, xfc_graph *g, const char *dir) {
    const char *so = xfc_sprintf(x->arena, "%s/model.so", dir);
    XFC_TRY(xf_oracle_build(&x->exact, g, so));
    for (int judging = 0; judging < 2 && has_command(x); judging++) {
        bool same = judging && !xf_eval_has_halves(x->t->budgets);
        x->exact_metric[judging] = x->exact_metric[0];
        if (!same) XFC_TRY(xf_eval(x->t->budgets, g->ctx, so, judging, &x->exact_metric[judging]));
    }
    x->record.exact_metric = x->exact_metric[1];
    if (!x->t->calib) return XFC_OK;
    XFC_TRY(xf_kept_new(g->ctx, x->arena, g, &x->samples.all, &x->kept));
    x->exact.exact = &x->kept; /* its first samples are those to fit by */
    x->exact_seconds = xfc_new_array(x->arena, double, x->samples.all.n);
    return xf_run_samples(g->ctx, so, &x->samples.all, xf_keep, &x->kept, x->exact_seconds);
}

static xfc_status see_exact(trade *x, xfc_graph *g) {
    set_oracle(x, &x->exact, XFC_OFF);
    set_oracle(x, &x->traded, x->run[2].passes.compute);
    if (x->t->calib) x->t->lossy->oracle = &x->exact.base;
    if (!x->t->calib && !has_command(x)) return XFC_OK;
    x->exact.kernels = x->traded.kernels = x->kernels = xf_temporary(g->ctx);
    const char *dir = xf_temporary(g->ctx);
    if (!dir) return XFC_ERR_IO;
    xfc_status s = measure_exact(x, g, dir);
    xf_temporary_end(g->ctx, dir);
    return s;
}

/* --- levels that were asked for --- */

static double sum(const double *part, uint32_t n) {
    double all = 0;
    for (uint32_t i = 0; i < n; i++) all += part[i];
    return all;
}

static xfc_status measure_asked(trade *x, xfc_graph *g) {
    const xfc_samples *judge = &x->samples.judge;
    xf_kept exact = x->kept;
    exact.of += x->samples.fit.n;
    xf_distances far = xf_distances_new(x->arena, &exact, false);
    double *seconds = xfc_new_array(x->arena, double, judge->n);
    XFC_TRY(x->traded.base.run(&x->traded.base, g, judge, xf_see_distance, &far, seconds));
    x->record.output = far.output;
    x->record.seconds = sum(seconds, judge->n);
    x->record.exact_seconds = sum(x->exact_seconds + x->samples.fit.n, judge->n);
    return XFC_OK;
}

/* --- levels that are searched for --- */

/* Levels by site of the search become those of each request. */
static void set_levels(const xf_search *s, const uint32_t *level, xfc_arena *arena) {
    for (uint32_t r = 0; r < s->lossy->n; r++) {
        const char **site = xfc_new_array(arena, const char *, s->n_sites);
        uint32_t *of = xfc_new_array(arena, uint32_t, s->n_sites), n = 0;
        for (uint32_t i = 0; i < s->n_sites; i++)
            if (s->site[i].request == r) site[n] = s->site[i].site->name, of[n++] = level[i];
        s->lossy->request[r].site = site;
        s->lossy->request[r].level = of;
        s->lossy->request[r].n_levels = n;
    }
}

static xfc_status apply(xf_search *s, const uint32_t *level, xfc_graph **out) {
    trade *x = s->user;
    xfc_run_opts run = silent(&x->run[1]);
    set_levels(s, level, x->arena);
    *out = xfc_graph_clone(s->base);
    xfc_status status = xfc_run_passes(out, x->t->backend->generic, x->part[1], &run);
    if (status != XFC_OK) xfc_graph_free(*out);
    return status;
}

static xfc_status list_sites(trade *x, xfc_graph *g, uint32_t r) {
    xfc_lossy l;
    xf_search *s = &x->search;
    const xfc_pass pass = {
        .graph = g, .opts = &x->run[1].passes, .target = x->t->backend->generic, .scratch = x->arena};
    XFC_TRY(xfc_lossy_sites(&pass, &x->t->lossy->request[r], x->t->lossy->oracle, &l));
    for (uint32_t i = 0; i < l.n_sites; i++)
        if (!l.site[i].why)
            xfc_push(x->arena, s->site, s->n_sites, s->cap_sites) = (struct xf_search_site){r, &l.site[i], 0};
    return XFC_OK;
}

static xfc_status find_levels(trade *x, xfc_graph *g) {
    xf_search *s = &x->search;
    *s = (xf_search){.budgets = x->t->budgets,
                     .lossy = x->t->lossy,
                     .samples = x->t->calib ? &x->samples : NULL,
                     .exact = x->t->calib ? &x->kept : NULL,
                     .exact_seconds = x->exact_seconds,
                     .exact_metric = {x->exact_metric[0], x->exact_metric[1]},
                     .exact_products = x->record.exact_products,
                     .oracle = &x->traded,
                     .base = g,
                     .apply = apply,
                     .user = x,
                     .quiet = is_quiet(x)};
    xf_kept judging = x->kept;
    judging.of += x->samples.fit.n;
    if (x->t->calib) XFC_TRY(xf_budgets_enough(s->budgets, g, &judging, x->samples.judge.n));
    for (uint32_t r = 0; r < s->lossy->n; r++) {
        uint32_t before = s->n_sites;
        XFC_TRY(list_sites(x, g, r));
        if (s->n_sites == before) return XFC_OK; /* the pass will say why there is nothing */
    }
    XFC_TRY(xf_search_run(s, x->arena));
    set_levels(s, s->verdict->level, x->arena);
    x->record.output = s->verdict->output;
    x->record.metric = s->verdict->metric;
    x->record.used = s->verdict->used;
    x->record.seconds = s->verdict->seconds;
    x->record.exact_seconds = s->verdict->exact_seconds;
    return XFC_OK;
}

/* --- all of it --- */

static xfc_status run(trade *x, xfc_graph **g) {
    const xfc_target *target = x->t->backend->generic;
    const bool budget = x->t->budgets->n > 0;
    XFC_TRY(xf_budgets_check(x->t->budgets, *g));
    if (x->t->calib) XFC_TRY(xf_samples_read((*g)->ctx, "--calib", x->t->calib, 2, *g, &x->samples));
    XFC_TRY(xfc_run_passes(g, target, x->part[0], &x->run[0]));
    XFC_TRY(see_exact(x, *g));
    x->record.exact_products = xfc_lossy_total(*g, x->t->lossy->oracle);
    if (budget) XFC_TRY(find_levels(x, *g));
    XFC_TRY(xfc_run_passes(g, target, x->part[1], &x->run[1]));
    x->record.products = xfc_lossy_total(*g, x->t->lossy->oracle);
    if (x->t->calib) {
        x->record.samples = &x->samples;
        x->record.exact = &x->kept;
        if (!budget) XFC_TRY(measure_asked(x, *g));
    }
    xf_record_store(&x->record, *g);
    if (!x->t->quiet) xf_record_tell(&x->record, (*g)->ctx, x->t->json);
    return xf_reports_write(&x->record, budget ? &x->search : NULL, *g, x->t->report, x->t->n_reports);
}

/* What the search gave to requests lies in the arena of the trade. */
static void forget_levels(xfc_lossy_opts *lossy) {
    for (uint32_t r = 0; r < lossy->n; r++) {
        lossy->request[r].progress = NULL;
        lossy->request[r].site = NULL;
        lossy->request[r].n_levels = 0;
    }
    lossy->oracle = NULL;
}

xfc_status xf_trade_run(const xf_trade *t, xfc_graph **g, const char **names, xfc_run_opts *opts) {
    trade x = {.t = t, .arena = xfc_arena_new(), .record = {.lossy = t->lossy, .budgets = t->budgets}};
    split(&x, *g, *names, opts);
    x.progress = xf_progress_new(is_quiet(&x));
    x.watch = (xfc_progress){xf_progress_show, &x.progress};
    for (uint32_t r = 0; r < t->lossy->n; r++) t->lossy->request[r].progress = &x.watch;
    xfc_status s = run(&x, g);
    xf_progress_end(&x.progress);
    *names = x.part[2];
    *opts = x.run[2];
    forget_levels(t->lossy);
    if (x.kernels) xf_temporary_end((*g)->ctx, x.kernels);
    xfc_arena_free(x.arena);
    return s;
}

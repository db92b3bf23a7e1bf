/* search.c - the strongest setting of lossy rewrites that keeps a budget.
 *
 * It knows sites, levels and the multiplications that they save, never what a kind does. In order:
 *   probe    each site alone, at its middle level: what share of the budget does it take? (Of many sites: groups.)
 *   path     from nothing to everything, step by step; the next step is the one that takes least of the budget for what
 *            it saves, by the probes, an error growing as the square of what is saved at a site
 *   choose   how far along the path? By halving, each point compiled and run on the fitting half
 *   fill     what stands behind that point and fits all the same
 *   judge    the result on the judging half; if that is beyond the budget, back along the path until it is not
 * Nothing is decided by a time, so the same samples give the same setting on any machine with the same bits. It is greedy:
 * no claim that there is nothing better.
 */
#include "tools/lossy/lossy.h"
#include <math.h>
#include <string.h>

enum { MAX_PROBES = 24, PROBE_SAMPLES = 8, STEPS = 16, FINE = 64, FILLS = 6, NAMED = 4 };

typedef struct {
    uint32_t site, level; /* the site is raised to it */
    double load;          /* of the budget, on top of all steps before, as the probes say */
} step;

typedef struct {
    xf_search *s;
    xfc_arena *arena;
    step *path;
    uint32_t n_path, cap_path, expected; /* expected: trials in all */
    xf_progress progress;
} searching;

static xfc_ctx *ctx_of(const searching *x) { return x->s->base->ctx; }
static const xfc_lossy_site *at(const searching *x, uint32_t i) { return x->s->site[i].site; }
static uint32_t *levels_of_zero(const searching *x) { return xfc_new_array(x->arena, uint32_t, x->s->n_sites); }
static uint32_t *copy(const searching *x, const uint32_t *level) {
    return xfc_dup_array(x->arena, uint32_t, level, x->s->n_sites);
}

/* --- one setting --- */

static void show(searching *x) {
    uint32_t done = x->s->n_trials, all = x->expected > done ? x->expected : done;
    xf_progress_show(&x->progress, (double)done / all,
                     xfc_sprintf(x->arena, "%u of about %u programs measured", (unsigned)done, (unsigned)all));
}

/* The samples that it is measured on, and where they stand among all. */
static xfc_samples samples_of(const searching *x, int what, uint32_t *first) {
    const xf_samples *all = x->s->samples;
    *first = what == XF_VERDICT ? all->fit.n : 0;
    xfc_samples some = what == XF_VERDICT ? all->judge : all->fit;
    if (what == XF_PROBE && some.n > PROBE_SAMPLES) some.n = PROBE_SAMPLES;
    return some;
}

static xfc_status measure_outputs(const searching *x, xf_trial *t, const char *so) {
    uint32_t first;
    const xfc_samples some = samples_of(x, t->what, &first);
    xf_kept exact = *x->s->exact;
    exact.of += first;
    xf_distances far = xf_distances_new(x->arena, &exact, x->s->budgets->kl);
    double *seconds = xfc_new_array(x->arena, double, some.n);
    XFC_TRY(xf_run_samples(ctx_of(x), so, &some, xf_see_distance, &far, seconds));
    t->output = far.output;
    for (uint32_t i = 0; i < some.n; i++) {
        t->seconds += seconds[i];
        t->exact_seconds += x->s->exact_seconds[first + i];
    }
    return XFC_OK;
}

static xfc_status measure(const searching *x, xf_trial *t, xfc_graph *g, const char *dir) {
    const xf_search *s = x->s;
    const char *so = xfc_sprintf(x->arena, "%s/model.so", dir);
    XFC_TRY(xf_oracle_build(s->oracle, g, so));
    if (s->samples) XFC_TRY(measure_outputs(x, t, so));
    const bool judging = t->what == XF_VERDICT;
    if (s->budgets->eval) XFC_TRY(xf_eval(s->budgets, g->ctx, so, judging, &t->metric));
    t->used = xf_budgets_used(s->budgets, t->output, s->exact ? s->exact->name : NULL, s->exact ? s->exact->n_out : 0,
                              t->metric, s->exact_metric[judging], t->what == XF_PROBE ? 0 : xf_sure);
    return XFC_OK;
}

/* Without samples a command sees the same of both, or what it keeps for the one and for the other. */
static bool measure_the_same(const searching *x, int a, int b) {
    bool halves = xf_eval_has_halves(x->s->budgets);
    return a == b || (!x->s->samples && (!halves || (a == XF_VERDICT) == (b == XF_VERDICT)));
}

static const xf_trial *find_trial(const searching *x, int what, const uint32_t *level) {
    for (uint32_t i = 0; i < x->s->n_trials; i++) {
        const xf_trial *t = x->s->trial[i];
        if (measure_the_same(x, t->what, what) && !memcmp(t->level, level, x->s->n_sites * sizeof *level)) return t;
    }
    return NULL;
}

static xfc_status try_levels(searching *x, int what, const uint32_t *level, const xf_trial **out) {
    xf_search *s = x->s;
    xfc_graph *g = NULL;
    if ((*out = find_trial(x, what, level)) != NULL) return XFC_OK;
    xf_trial *t = xfc_new(x->arena, xf_trial);
    t->what = what;
    t->level = copy(x, level);
    show(x);
    XFC_TRY(s->apply(s, level, &g));
    t->products = xfc_lossy_total(g, &s->oracle->base);
    const char *dir = xf_temporary(ctx_of(x));
    xfc_status status = dir ? measure(x, t, g, dir) : XFC_ERR_IO;
    if (dir) xf_temporary_end(ctx_of(x), dir);
    xfc_graph_free(g);
    xfc_storage_sweep(ctx_of(x));
    if (status != XFC_OK) return status;
    xfc_push(x->arena, s->trial, s->n_trials, s->cap_trials) = t;
    *out = t;
    return XFC_OK;
}

/* --- probes --- */

static uint32_t middle(const xfc_lossy_site *site) { return (site->levels + 1) / 2; }
static double saved(const searching *x, uint32_t i, uint32_t level) { return at(x, i)->saves[level]; }

/* What sites first .. end - 1 take together is shared out by what each saves. */
static xfc_status probe(searching *x, uint32_t first, uint32_t end) {
    const xf_trial *t;
    uint32_t *level = levels_of_zero(x);
    double all = 0;
    for (uint32_t i = first; i < end; i++) {
        level[i] = middle(at(x, i));
        all += saved(x, i, level[i]);
    }
    XFC_TRY(try_levels(x, XF_PROBE, level, &t));
    double used =
        fmin(fmax(t->used, 1e-6), 1e9); /* what costs nothing still has an order, and so has what is hopeless */
    for (uint32_t i = first; i < end; i++)
        x->s->site[i].error = used * (all > 0 ? saved(x, i, level[i]) / all : 1.0 / (end - first));
    return XFC_OK;
}

static uint32_t n_groups(const searching *x) { return x->s->n_sites < MAX_PROBES ? x->s->n_sites : MAX_PROBES; }

static xfc_status probe_all(searching *x) {
    uint32_t n = x->s->n_sites, groups = n_groups(x);
    if (n == 1) return x->s->site[0].error = 1, XFC_OK;
    for (uint32_t k = 0; k < groups; k++)
        XFC_TRY(probe(x, (uint32_t)((uint64_t)n * k / groups), (uint32_t)((uint64_t)n * (k + 1) / groups)));
    return XFC_OK;
}

/* --- the path --- */

static double load(const searching *x, uint32_t i, uint32_t level) {
    double whole = saved(x, i, middle(at(x, i))), part = whole > 0 ? saved(x, i, level) / whole : level;
    return x->s->site[i].error * part * part;
}

static uint32_t next_level(const searching *x, uint32_t i, uint32_t level) {
    uint32_t most = at(x, i)->levels, by = (most + STEPS - 1) / STEPS;
    return most - level < by ? most : level + by;
}

static void make_path(searching *x) {
    uint32_t *level = levels_of_zero(x);
    for (;;) {
        double least = HUGE_VAL;
        step best = {UINT32_MAX, 0, 0};
        for (uint32_t i = 0; i < x->s->n_sites; i++) {
            uint32_t next = next_level(x, i, level[i]);
            if (level[i] == at(x, i)->levels) continue;
            double more = load(x, i, next) - load(x, i, level[i]);
            double price = more / fmax(saved(x, i, next) - saved(x, i, level[i]), 1);
            if (price < least) least = price, best = (step){i, next, more};
        }
        if (best.site == UINT32_MAX) return;
        level[best.site] = best.level;
        xfc_push(x->arena, x->path, x->n_path, x->cap_path) = best;
    }
}

static uint32_t *levels_at(const searching *x, uint32_t n) {
    uint32_t *level = levels_of_zero(x);
    for (uint32_t k = 0; k < n; k++) level[x->path[k].site] = x->path[k].level;
    return level;
}

/* How far the probes say that the budget goes. */
static uint32_t guess(const searching *x) {
    double used = 0;
    uint32_t n = 0;
    while (n < x->n_path && (used += x->path[n].load) <= 1) n++;
    return n ? n : 1;
}

/* The furthest point in lo .. hi - 1 that keeps the budget, and one behind it that does not; lo does. */
static xfc_status halve(searching *x, int what, uint32_t first, uint32_t *lo, uint32_t *hi) {
    uint32_t fine = x->n_path / FINE + 1;
    for (uint32_t mid = first; *hi - *lo > fine || (*lo == 0 && *hi > 1); mid = *lo + (*hi - *lo) / 2) {
        const xf_trial *t;
        XFC_TRY(try_levels(x, what, levels_at(x, mid), &t));
        *(t->used <= 1 ? lo : hi) = mid;
    }
    return XFC_OK;
}

/* Steps behind the point, each site on its own: by as much as counts, once. */
static xfc_status fill(searching *x, uint32_t from, uint32_t *level) {
    bool *seen = xfc_new_array(x->arena, bool, x->s->n_sites);
    double all = 0;
    uint32_t tried = 0;
    for (uint32_t i = 0; i < x->s->n_sites; i++) all += saved(x, i, at(x, i)->levels);
    for (uint32_t k = from; k < x->n_path && tried < FILLS; k++) {
        const xf_trial *t;
        uint32_t i = x->path[k].site, *more = copy(x, level);
        if (seen[i] || level[i] == at(x, i)->levels) continue;
        seen[i] = true;
        while (more[i] < at(x, i)->levels && saved(x, i, more[i]) - saved(x, i, level[i]) < all / 32)
            more[i] = next_level(x, i, more[i]);
        tried++;
        XFC_TRY(try_levels(x, XF_CHOICE, more, &t));
        if (t->used <= 1) level[i] = more[i];
    }
    return XFC_OK;
}

/* --- the end --- */

static uint32_t n_raised(const searching *x, const uint32_t *level) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->s->n_sites; i++) n += level[i] > 0;
    return n;
}

static const char *setting_text(const searching *x, const uint32_t *level) {
    xfc_buf b = {.arena = x->arena};
    uint32_t named = 0, all = n_raised(x, level);
    for (uint32_t i = 0; i < x->s->n_sites && named < NAMED; i++) {
        const xfc_lossy_site *s = at(x, i);
        if (!level[i]) continue;
        xfc_buf_printf(&b, "%s%s at ", named++ ? ", " : "",
                       xfc_lossy_kinds[x->s->lossy->request[x->s->site[i].request].kind].name);
        xfc_buf_plain(&b, s->name);
        if (s->says)
            xfc_buf_printf(&b, ": %s", s->says[level[i]]);
        else
            xfc_buf_printf(&b, ": level %u", (unsigned)level[i]);
    }
    if (all > named) xfc_buf_printf(&b, " and %u more", (unsigned)(all - named));
    return b.text;
}

static xfc_status refuse(const searching *x) {
    const xf_trial *nearest = NULL;
    const xf_budgets *budgets = x->s->budgets;
    xfc_buf limits = {.arena = x->arena};
    for (uint32_t i = 0; i < x->s->n_trials; i++) {
        const xf_trial *t = x->s->trial[i];
        bool beyond = n_raised(x, t->level) && t->used > 1; /* others kept it on the samples to choose by alone */
        if (beyond && (!nearest || t->used < nearest->used)) nearest = t;
    }
    for (uint32_t i = 0; i < budgets->n; i++)
        xfc_buf_printf(&limits, "%s--max-error=%s", i ? ", " : "", budgets->item[i].text);
    return xfc_fail(
        ctx_of(x), XFC_ERR_VERIFY, (xfc_loc){.file = x->s->base->source},
        "%s: no setting of %u tried keeps it; the nearest took %.3g times as much (%s); allow more, or leave "
        "--lossy out",
        limits.text, (unsigned)x->s->n_trials, nearest ? nearest->used : 0.0,
        nearest ? setting_text(x, nearest->level) : "none");
}

/* On the judging half, or whatever judges. Back along the path from `from` where it is beyond. */
static xfc_status judge(searching *x, const uint32_t *level, uint32_t from) {
    XFC_TRY(try_levels(x, XF_VERDICT, level, &x->s->verdict));
    if (x->s->verdict->used <= 1) return XFC_OK;
    uint32_t lo = 0, hi = from + 1;
    if (from) XFC_TRY(halve(x, XF_VERDICT, from, &lo, &hi));
    if (lo == 0) return refuse(x);
    return try_levels(x, XF_VERDICT, levels_at(x, lo), &x->s->verdict);
}

/* Where the path's first step is too much, the site that takes least may still have a level that is not. */
static xfc_status least(searching *x) {
    uint32_t best = 0, *level = levels_of_zero(x);
    for (uint32_t i = 1; i < x->s->n_sites; i++)
        if (load(x, i, 1) < load(x, best, 1)) best = i;
    level[best] = 1;
    const xf_trial *t;
    XFC_TRY(try_levels(x, XF_CHOICE, level, &t));
    return t->used <= 1 ? judge(x, level, 0) : refuse(x);
}

static xfc_status search(searching *x) {
    XFC_TRY(probe_all(x));
    make_path(x);
    uint32_t lo = 0, hi = x->n_path + 1;
    XFC_TRY(halve(x, XF_CHOICE, guess(x), &lo, &hi));
    if (lo == 0) return least(x);
    uint32_t *level = levels_at(x, lo);
    XFC_TRY(fill(x, lo, level));
    return judge(x, level, lo);
}

xfc_status xf_search_run(xf_search *s, xfc_arena *arena) {
    searching x = {.s = s, .arena = arena, .progress = xf_progress_new(s->quiet)};
    x.expected = s->n_sites == 1 ? 8 : n_groups(&x) + 8 + (s->n_sites < FILLS ? s->n_sites : FILLS);
    xfc_status status = search(&x);
    xf_progress_end(&x.progress);
    return status;
}

/* trade.c - from the exact graph to the one that --lossy asks for, measured on the way.
 *
 * The list of passes is run in three: what leads to the lossy passes; those; and, by the caller, the rest. What stands in
 * between is the point of return of all that is measured: the exact program and every other are made from it by the
 * rest, in a child process (oracle.c).
 */
#include "tools/lossy/lossy.h"

typedef struct {
    const xf_trade *t;
    xfc_arena *arena; /* of what is measured */
    const char *part[3];
    xfc_run_opts run[3];
    xf_samples samples;
    xf_oracle exact, traded;
    xf_kept kept; /* exact outputs of the judging half */
    xf_record record;
} trade;

/* The parts, and what each may demand. */
static void split(trade *x, const xfc_graph *g, const char *names, const xfc_run_opts *run) {
    xfc_arena *a = g->ctx->arena;
    xfc_split_lossy(a, names, x->part);
    for (int i = 0; i < 3; i++) {
        x->run[i] = *run;
        for (int k = 0; k < 3; k++) {
            if (k != i) xfc_drop_demands(&x->run[i].passes, x->part[k]);
            if (k < i) x->run[i].bisect_from += xfc_count_optional(x->part[k], run->disable);
        }
    }
}

/* Silent, and exact but for `compute`. */
static void set_oracle(const trade *x, xf_oracle *o, xfc_choice compute) {
    *o = (xf_oracle){.backend = x->t->backend,
                     .names = x->part[2],
                     .linker = x->t->linker,
                     .run = {.disable = x->run[2].disable,
                             .bisect_limit = x->run[2].bisect_limit,
                             .bisect_from = x->run[2].bisect_from,
                             .passes = x->run[2].passes},
                     .opt_level = x->t->opt_level};
    o->run.passes.compute = compute;
    xf_oracle_init(o, &x->samples);
}

static xfc_status measure_exact(trade *x, xfc_graph *g) {
    set_oracle(x, &x->exact, XFC_OFF);
    set_oracle(x, &x->traded, x->run[2].passes.compute);
    x->t->lossy->oracle = &x->exact.base;
    x->kept = xf_kept_new(x->arena, g, &x->samples.judge);
    return x->exact.base.run(&x->exact.base, g, &x->samples.judge, xf_keep, &x->kept, &x->record.exact_seconds);
}

static xfc_status measure_traded(trade *x, xfc_graph *g) {
    xf_distances far = xf_distances_new(x->arena, &x->kept, false);
    XFC_TRY(x->traded.base.run(&x->traded.base, g, &x->samples.judge, xf_see_distance, &far, &x->record.seconds));
    x->record.samples = &x->samples;
    x->record.exact = &x->kept;
    x->record.output = far.output;
    return XFC_OK;
}

static xfc_status run(trade *x, xfc_graph **g) {
    const xfc_target *target = x->t->backend->generic;
    if (x->t->calib) XFC_TRY(xf_samples_read((*g)->ctx, x->t->calib, *g, &x->samples));
    XFC_TRY(xfc_run_passes(g, target, x->part[0], &x->run[0]));
    if (x->t->calib) XFC_TRY(measure_exact(x, *g));
    x->record.exact_products = xfc_lossy_total(*g, x->t->lossy->oracle);
    XFC_TRY(xfc_run_passes(g, target, x->part[1], &x->run[1]));
    x->record.products = xfc_lossy_total(*g, x->t->lossy->oracle);
    if (x->t->calib) XFC_TRY(measure_traded(x, *g));
    xf_record_store(&x->record, *g);
    if (!x->t->quiet) xf_record_tell(&x->record, (*g)->ctx, x->t->json);
    return XFC_OK;
}

xfc_status xf_trade_run(const xf_trade *t, xfc_graph **g, const char **names, xfc_run_opts *opts) {
    trade x = {.t = t, .arena = xfc_arena_new(), .record = {.lossy = t->lossy}};
    split(&x, *g, *names, opts);
    xfc_status s = run(&x, g);
    *names = x.part[2];
    *opts = x.run[2];
    t->lossy->oracle = NULL;
    xfc_arena_free(x.arena);
    return s;
}

/* prenorm.c - the passes pre-rmsnorm and pre-crmsnorm (arXiv 2305.14858): layernorms of residual streams become norms
 * without a mean.
 *
 * A web of a stream is converted if nothing but norms sees its values (prenorm/web.c) and if that removes more means
 * than it adds: one for each writer whose weights cannot take R, none otherwise; and if the tables it copies are not
 * out of proportion (the embeddings of a post-norm model, for the one norm behind them). The results are equal in real
 * arithmetic, not in the last bits. What was done, and what was left alone and why, are notes of the graph.
 *
 * pre-crmsnorm is off unless asked for: a stream of d - 1 channels fits no vector. It takes the webs it can, with every
 * norm's scale and bias folded into linears; the others are left to pre-rmsnorm.
 *
 * Run them after raise, merge and fold: norms and linears are found, and their weights are constants. Before unpad and
 * legalize: streams are then as the model has them.
 */
#include "passes/prenorm/prenorm.h"

#include "passes/lower/share.h"
#include <inttypes.h>

#define MAX_TABLE_BYTES ((uint64_t)16 << 20) /* of new embedding tables for one norm */

static const char *pass_name(bool crms) { return crms ? "pre-crmsnorm" : "pre-rmsnorm"; }

static const char *name_of(const xfc_webs *w, const xfc_value *v) {
    if (v->name) return v->name;
    return v->def && v->def->loc.node ? v->def->loc.node : xfc_sprintf(w->pass->scratch, "%%%u", (unsigned)v->id);
}

static const char *reader_name(const xfc_webs *w, const xfc_use *u) {
    const xfc_op *op = u->user;
    if (op->code == XFC_OP_RETURN) return op->graph->out_name[u - op->in];
    return op->n_out > 0 ? name_of(w, &op->out[0]) : xfc_ops[op->code].name;
}

/* Norms of one web alone (a group counts those of all its webs), and the first. */
static uint32_t norms_of(const xfc_webs *w, uint32_t web, const xfc_web_reader **first) {
    uint32_t n = 0;
    for (uint32_t i = w->n_readers; i-- > 0;) {
        if (w->reader[i].web != web) continue;
        *first = &w->reader[i];
        n++;
    }
    return n;
}

static const char *plural(uint32_t n) { return n == 1 ? "" : "s"; }

/* --- decisions --- */

/* Without linears behind every norm its scale and bias have nowhere to go. */
static void forbid_what_does_not_fold(xfc_webs *w) {
    for (uint32_t i = 0; i < w->n_webs; i++) {
        const xfc_op *op;
        if (w->web[i].why || xfc_web_folds(w, i, &op)) continue;
        w->web[i].edge = &op->in[0];
        w->web[i].why = "is read by a norm whose scale and bias no linear can take";
    }
}

/* A new table is memory that the compiler needs beside the old one, and nothing else gains by it. */
static bool pays(const xfc_web *group) {
    return group->norms > group->recentred && group->table_bytes / MAX_TABLE_BYTES < group->norms;
}

static bool decide(xfc_webs *w, xfc_choice choice) {
    bool any = false;
    for (uint32_t i = 0; i < w->n_webs; i++) {
        const xfc_web *group = &w->web[w->web[i].group];
        w->web[i].convert = !w->web[i].why && (choice == XFC_FORCE || pays(group));
        any |= w->web[i].convert;
    }
    return any;
}

/* The first value whose mean would have to be computed for a web of this group. */
static const xfc_web_node *first_opaque(const xfc_webs *w, uint32_t group) {
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        uint32_t web;
        if (w->node[i].source != XFC_SOURCE_OPAQUE) continue;
        xfc_foreach_use(u, w->node[i].value) {
            if (xfc_web_of_use(w, u, &web) && !w->web[web].why && w->web[web].group == group) return &w->node[i];
        }
    }
    return NULL;
}

/* --- notes; before the conversion, while the ops they name are there --- */

static void note_refused(xfc_webs *w, uint32_t web, bool crms, bool fatal) {
    const xfc_web_reader *first = NULL;
    const xfc_web *x = &w->web[web];
    uint32_t n = norms_of(w, web, &first);
    xfc_graph *g = w->pass->graph;
    xfc_loc loc = x->edge->user->code == XFC_OP_RETURN ? first->op->loc : x->edge->user->loc;
    const char *text = xfc_sprintf(w->pass->scratch, "%u norm%s of %" PRId64 " channels kept: '%s' %s ('%s')", n,
                                   plural(n), first->at.d, name_of(w, x->edge->value), x->why, reader_name(w, x->edge));
    xfc_graph_note(g, pass_name(crms), loc, "%s", text);
    if (fatal)
        w->pass->status = xfc_fail(g->ctx, XFC_ERR_UNSUPPORTED, loc, "%s; use --pre-rmsnorm=auto to keep them", text);
}

static void note_unpaid(xfc_webs *w, uint32_t group, bool crms) {
    const xfc_web_reader *first = NULL;
    const xfc_web *x = &w->web[group];
    const xfc_web_node *node = first_opaque(w, group);
    (void)norms_of(w, group, &first);
    if (x->norms > x->recentred) {
        xfc_graph_note(w->pass->graph, pass_name(crms), first->op->loc,
                       "%u norm%s of %" PRId64 " channels kept: %" PRIu64 " MB of tables would be made anew for them",
                       x->norms, plural(x->norms), first->at.d, x->table_bytes >> 20);
        return;
    }
    xfc_graph_note(w->pass->graph, pass_name(crms), first->op->loc,
                   "%u norm%s of %" PRId64 " channels kept: the mean%s of %u other value%s would be computed instead, "
                   "first of '%s'",
                   x->norms, plural(x->norms), first->at.d, plural(x->recentred), x->recentred, plural(x->recentred),
                   node ? name_of(w, node->value) : "?");
}

static void note_kept(xfc_webs *w, bool crms, xfc_choice choice) {
    for (uint32_t i = 0; i < w->n_webs; i++) {
        if (w->web[i].why)
            note_refused(w, i, crms, choice == XFC_FORCE && !crms);
        else if (!w->web[i].convert && w->web[i].group == i)
            note_unpaid(w, i, crms);
    }
    if (w->n_readers == 0)
        xfc_graph_note(w->pass->graph, pass_name(crms), (xfc_loc){0}, "nothing to do: no layer norm over channels");
}

typedef struct {
    xfc_loc loc;
    int64_t d;
} place;

static void note_converted(const xfc_webs *w, bool crms, const xfc_converted *total, const place *at) {
    for (uint32_t i = 0; i < w->n_webs; i++) {
        const xfc_converted *t = &total[i];
        if (t->norms == 0) continue;
        xfc_graph_note(w->pass->graph, pass_name(crms), at[i].loc,
                       "%u norm%s of %" PRId64
                       " channels converted; %u mean%s subtracted at run time; scale and bias of %u "
                       "folded into linears",
                       t->norms, plural(t->norms), at[i].d, t->recentred, plural(t->recentred), t->folded);
    }
}

static bool run(xfc_pass *pass, bool crms, xfc_choice choice) {
    xfc_axes axes = {.uses = {.arena = pass->scratch}};
    xfc_webs w = {.pass = pass, .axes = &axes};
    if (choice == XFC_OFF) return false;
    w.shared = crms ? (xfc_map){.arena = pass->scratch} : xfc_shared_tables(pass->graph, pass->scratch);
    xfc_webs_find(&w);
    if (crms) forbid_what_does_not_fold(&w);
    xfc_webs_count(&w);
    bool any = decide(&w, choice);
    note_kept(&w, crms, choice);
    if (!any || pass->status != XFC_OK) return false;
    place *at = xfc_new_array(pass->scratch, place, w.n_webs);
    for (uint32_t i = w.n_readers; i-- > 0;)
        at[w.web[w.reader[i].web].group] = (place){w.reader[i].op->loc, w.reader[i].at.d};
    xfc_converted *total = xfc_new_array(pass->scratch, xfc_converted, w.n_webs);
    if (xfc_webs_convert(&w, crms, total)) note_converted(&w, crms, total, at);
    (void)xfc_dce(pass);
    return true;
}

/* Bodies are left as they are. */
bool xfc_pre_rmsnorm(xfc_pass *pass) { return !pass->graph->user && run(pass, false, pass->opts->pre_rmsnorm); }

bool xfc_pre_crmsnorm(xfc_pass *pass) {
    if (pass->opts->pre_crmsnorm != XFC_FORCE || pass->graph->user) return false;
    return run(pass, true, XFC_AUTO);
}

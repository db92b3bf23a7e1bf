/* lossy.c - what all kinds share: the tables, sites and their levels, what a product costs, and the passes themselves. */
#include "passes/lossy/lossy.h"
#include "ir/eval/eval.h"
#include "ir/ops/op.h"
#include <stdlib.h>
#include <string.h>

#define XFC_LOSSY_KEY(...)
#define XFC_LOSSY(id, name, function, help)                                                                            \
    [XFC_LOSSY_##id] = {name, help, xfc_##function##_sites, xfc_##function##_apply},
const xfc_lossy_kind xfc_lossy_kinds[XFC_LOSSY_COUNT] = {
#include "passes/lossy/lossy.def"
};
#undef XFC_LOSSY
#undef XFC_LOSSY_KEY

#define XFC_LOSSY(...)
#define XFC_LOSSY_KEY(id, key, values, help) {XFC_LOSSY_##id, key, values, help},
const xfc_lossy_key xfc_lossy_keys[] = {
#include "passes/lossy/lossy.def"
};
#undef XFC_LOSSY
#undef XFC_LOSSY_KEY
const uint32_t xfc_n_lossy_keys = XFC_COUNT(xfc_lossy_keys);

/* --- for kinds --- */

const char *xfc_lossy_word_of(const xfc_lossy *l, const char *key) {
    for (uint32_t i = 0; i < l->request->n_words; i++)
        if (!strcmp(l->request->word[i].key, key)) return l->request->word[i].value;
    return NULL;
}

int64_t xfc_lossy_number(const xfc_lossy *l, const char *key, int64_t absent) {
    const char *value = xfc_lossy_word_of(l, key);
    return value ? strtoll(value, NULL, 10) : absent; /* the command line was checked */
}

static bool is_name(const xfc_lossy *l, const char *name) {
    for (uint32_t i = 0; i < l->n_sites; i++)
        if (!strcmp(l->site[i].name, name)) return true;
    return false;
}

xfc_lossy_site *xfc_lossy_add(xfc_lossy *l, const xfc_op *op) {
    const char *node = op->loc.node ? op->loc.node : "site", *name = node;
    for (uint32_t k = 2; is_name(l, name); k++) name = xfc_sprintf(l->arena, "%s'%u", node, (unsigned)k);
    xfc_push(l->arena, l->site, l->n_sites, l->cap_sites) = (xfc_lossy_site){.name = name, .loc = op->loc};
    return &l->site[l->n_sites - 1];
}

/* --- what a typical run costs --- */

enum { TYPICAL = 128 }; /* of a dim that no sample binds */

/* Dims of the inputs that are a symbol, from the first sample; without samples the first dim is a batch of one. */
static void bind_sizes(xfc_lossy *l) {
    const xfc_samples *s = l->oracle ? l->oracle->fit : NULL;
    l->sizes = (xfc_map){.arena = l->arena};
    for (uint32_t i = 0; i < l->graph->n_in; i++) {
        const xfc_type *t = &l->graph->in[i]->type;
        for (uint32_t d = 0; d < t->rank; d++) {
            if (xfc_int_look(l->graph->ctx, t->dim[d])->kind != XFC_INT_SYMBOL) continue;
            if (s && s->n)
                xfc_map_set(&l->sizes, t->dim[d].id, (uint64_t)s->in[0][i]->dim[d]);
            else if (d == 0 && t->rank > 1)
                xfc_map_set(&l->sizes, t->dim[d].id, 1);
        }
    }
}

/* What data decides counts as the most that it can be, if a bound is known, once: bounds build on bounds. */
static bool typical(void *user, uint32_t symbol, int64_t *out) {
    xfc_lossy *l = user;
    const xfc_int_info *info = xfc_int_look(l->graph->ctx, (xfc_int){symbol});
    uint64_t known;
    int64_t lo, hi;
    if (xfc_map_find(&l->sizes, symbol, &known)) return *out = (int64_t)known, true;
    if (info->sym == XFC_SYM_LET && !xfc_int_is(l->graph->ctx, info->hi, XFC_DIM_MAX) &&
        xfc_int_evaluate(l->graph->ctx, info->hi, typical, l, out)) {
        xfc_map_set(&l->sizes, symbol, (uint64_t)*out);
        return true;
    }
    xfc_int_range(l->graph->ctx, (xfc_int){symbol}, &lo, &hi);
    *out = TYPICAL < lo ? lo : TYPICAL > hi ? hi : TYPICAL;
    return true;
}

double xfc_lossy_size(xfc_lossy *l, xfc_int size) {
    int64_t n;
    return xfc_int_evaluate(l->graph->ctx, size, typical, l, &n) ? (double)n : 0;
}

static double count(xfc_lossy *l, const xfc_type *t) {
    double n = 1;
    for (uint32_t d = 0; d < t->rank; d++) n *= xfc_lossy_size(l, t->dim[d]);
    return n;
}

/* Each row with those of its own sequence: all are as long. */
static double ragged_products(xfc_lossy *l, const xfc_op *op) {
    const xfc_type *q = &op->in[0].value->type, *v = &op->in[2].value->type;
    double rows = xfc_lossy_size(l, q->dim[1]), sequences = xfc_lossy_size(l, op->in[3].value->type.dim[0]) - 1;
    double widths = xfc_lossy_size(l, q->dim[2]) + xfc_lossy_size(l, v->dim[2]);
    return sequences > 0 ? xfc_lossy_size(l, q->dim[0]) * widths * rows * rows / sequences : 0;
}

double xfc_lossy_products(xfc_lossy *l, const xfc_op *op) {
    double n = 0;
    if (op->code == XFC_OP_ATTENTION_RAGGED) return ragged_products(l, op);
    if (xfc_op_has(op, XFC_CONTRACT)) {
        const xfc_type *a = &op->in[0].value->type;
        return count(l, &op->out[0].type) * xfc_lossy_size(l, a->dim[a->rank - 1]);
    }
    if (op->code == XFC_OP_MATMUL_SPARSE)
        return count(l, &op->out[0].type) * xfc_lossy_size(l, op->in[1].value->type.dim[1]);
    if (!xfc_ops[op->code].decompose) return 0;
    xfc_graph *parts = xfc_op_decomposed(op);
    if (!parts) return 0;
    xfc_foreach_op(part, parts) n += xfc_lossy_products(l, part);
    xfc_graph_free(parts);
    return n;
}

double xfc_lossy_total(xfc_graph *g, xfc_oracle *oracle) {
    xfc_lossy l = {.graph = g, .oracle = oracle, .arena = xfc_arena_new()};
    double n = 0;
    bind_sizes(&l);
    xfc_foreach_op(op, g) n += xfc_lossy_products(&l, op);
    xfc_arena_free(l.arena);
    return n;
}

/* --- sites and levels --- */

xfc_status xfc_lossy_sites(const xfc_pass *p, xfc_lossy_request *r, xfc_oracle *oracle, xfc_lossy *out) {
    *out = (xfc_lossy){.pass = p, .graph = p->graph, .request = r, .oracle = oracle, .arena = p->scratch};
    bind_sizes(out);
    return xfc_lossy_kinds[r->kind].sites(out);
}

/* Nowhere anything to be done: why, site by site. */
static xfc_status nothing(const xfc_lossy *l) {
    const char *kind = xfc_lossy_kinds[l->request->kind].name;
    for (uint32_t i = 0; i < l->n_sites; i++)
        xfc_fail(l->graph->ctx, XFC_ERR_INPUT, l->site[i].loc, "--lossy=%s: %s: %s", kind, l->site[i].what,
                 l->site[i].why);
    return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){.file = l->graph->source},
                    "--lossy=%s: the model has nothing for it (%s%s); leave it out", kind,
                    xfc_lossy_kinds[l->request->kind].help, l->n_sites ? "" : ": there is no such place");
}

static uint32_t level_of(const xfc_lossy *l, const xfc_lossy_site *s) {
    const xfc_lossy_request *r = l->request;
    if (s->why) return 0;
    if (!r->site) return s->asked;
    for (uint32_t i = 0; i < r->n_levels; i++)
        if (!strcmp(r->site[i], s->name)) return r->level[i] < s->levels ? r->level[i] : s->levels;
    return 0;
}

static void tell(const xfc_lossy *l, const xfc_lossy_site *s) {
    const uint32_t level = s->done;
    const char *kind = xfc_lossy_kinds[l->request->kind].name;
    if (s->why)
        xfc_graph_note(l->graph, kind, s->loc, "%s is left alone: %s", s->what, s->why);
    else if (level && s->says)
        xfc_graph_note(l->graph, kind, s->loc, "%s: %s, %.3g multiplications fewer", s->what, s->says[level],
                       s->saves[level]);
    else if (level)
        xfc_graph_note(l->graph, kind, s->loc, "%s: level %u of %u, %.3g multiplications fewer", s->what,
                       (unsigned)level, (unsigned)s->levels, s->saves[level]);
}

/* The graph goes, and the arena of the pass: what the request keeps is copied. */
static void keep_done(const xfc_lossy *l) {
    xfc_arena *a = l->graph->ctx->arena;
    xfc_lossy_site *done = xfc_dup_array(a, xfc_lossy_site, l->site, l->n_sites);
    for (uint32_t i = 0; i < l->n_sites; i++) {
        xfc_lossy_site *s = &done[i];
        s->name = xfc_str(l->graph->ctx, s->name);
        s->what = xfc_str(l->graph->ctx, s->what);
        s->why = xfc_str(l->graph->ctx, s->why);
        s->data = NULL;
        if (s->why) continue;
        const char **says = s->says ? xfc_new_array(a, const char *, s->levels + 1) : NULL;
        for (uint32_t k = 0; says && k <= s->levels; k++) says[k] = xfc_str(l->graph->ctx, s->says[k]);
        s->says = says;
        s->saves = xfc_dup_array(a, double, s->saves, s->levels + 1);
    }
    l->request->done = done;
    l->request->n_done = l->n_sites;
}

static xfc_status run(xfc_pass *p, xfc_lossy_request *r, bool *changed) {
    xfc_lossy l;
    XFC_TRY(xfc_lossy_sites(p, r, p->opts->lossy->oracle, &l));
    uint32_t *level = xfc_new_array(p->scratch, uint32_t, l.n_sites), possible = 0;
    for (uint32_t i = 0; i < l.n_sites; i++) {
        l.site[i].done = level[i] = level_of(&l, &l.site[i]);
        possible += !l.site[i].why;
        *changed |= level[i] > 0;
    }
    if (!possible && !r->site) return nothing(&l);
    if (*changed) XFC_TRY(xfc_lossy_kinds[r->kind].apply(&l, level));
    for (uint32_t i = 0; i < l.n_sites; i++) tell(&l, &l.site[i]);
    keep_done(&l);
    return XFC_OK;
}

/* Bodies of branches and loops are left as they are. */
static bool lossy(xfc_pass *p, xfc_lossy_id kind) {
    bool changed = false;
    for (uint32_t i = 0; p->opts->lossy && !p->graph->user && i < p->opts->lossy->n; i++)
        if (p->opts->lossy->request[i].kind == kind) p->status = run(p, &p->opts->lossy->request[i], &changed);
    if (changed && p->status == XFC_OK) xfc_dce(p);
    return changed;
}

#define XFC_LOSSY_KEY(...)
#define XFC_LOSSY(id, name, function, help)                                                                            \
    bool xfc_##function(xfc_pass *p) { return lossy(p, XFC_LOSSY_##id); }
#include "passes/lossy/lossy.def"
#undef XFC_LOSSY
#undef XFC_LOSSY_KEY

/* pipeline.c - the table of passes, the default pipelines, and the runner.
 *
 * The runner alone verifies, prints, times, bisects, and in test modes replaces the graph by its clone or by
 * parse(print(graph)) after every pass; passes do none of it. A pipeline is checked as a whole before anything runs:
 * unknown names, passes at a stage that is not theirs, and required passes that were disabled are the caller's mistake
 * (XFC_ERR_INPUT); a graph that a pass leaves malformed is ours (xfc_bug). It does not choose passes by cost or repeat
 * them: a pipeline is the list that was given, in that order.
 */
#include "ir/program.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "passes/lossy/lossy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const xfc_pass_info xfc_passes[XFC_PASS_COUNT] = {
#define XFC_PASS(id, pass_name, function, first, last, pass_kind, text)                                                \
    [XFC_PASS_##id] = {.name = pass_name,                                                                              \
                       .run = function,                                                                                \
                       .from = XFC_STAGE_##first,                                                                      \
                       .to = XFC_STAGE_##last,                                                                         \
                       .help = text,                                                                                   \
                       .kind = XFC_KIND_##pass_kind},
#include "passes/passes.def"
#undef XFC_PASS
};

/* Why this order. Factors before the first fold, which would multiply them; constants then, since every pattern asks
 * for them; views before raise, so that an Expand between an
 * operand and its Add is gone; raise sees one spelling of each power and one copy of each common subexpression; sparse
 * and merge want linears; pre-rmsnorm wants norms, linears and constant weights, and streams as the model has them; unpad wants
 * attention whole and every constant folded; lossy passes stand behind exact ones, which need the model as it is,
 * and before unpad, which doubles it (token-merge is last, since it may have to run unpad itself); cache hides what is
 * joined to an input; what merge and legalize built is folded, merged and shared again. layout
 * leaves pack ops on weights: shared, then folded; a table among them is dead by then. */
#define RAISING                                                                                                        \
    "factors,fold,cse,simplify,views,fold,simplify,cse,dce,raise,views,sparse,merge,fold,cse,dce,"                     \
    "pre-crmsnorm,pre-rmsnorm,prune,dsformer,hard-attention,token-merge,unpad,cache,"
#define LOWERING                                                                                                       \
    "legalize,simplify,views,cse,fold,dce,layout,share,dce,cse,fold,dce,kernels,fuse,dce,schedule,seams,plan"
const char *const xfc_pipeline_default[4] = {
    "fold,dce,cache,legalize,layout,fold,dce,kernels,schedule,plan",
    RAISING LOWERING,
    RAISING LOWERING,
    RAISING LOWERING,
};

typedef struct {
    xfc_graph **graph;
    const xfc_target *target;
    const xfc_run_opts *opts;
    FILE *out;
    xfc_arena *scratch;
    const xfc_pass_info **list;
    double *seconds; /* by position in list */
    bool *changed;
    const char **left_out; /* by position in list: the option that leaves it out, NULL: it runs */
    uint32_t n;
    int64_t optional_run; /* passes that bisect_limit has let run */
} runner;

static xfc_ctx *ctx_of(const runner *r) { return (*r->graph)->ctx; }

/* The next name of a comma-separated list; false at its end. Spaces around names are skipped. */
static bool next_name(const char **at, const char **name, size_t *n) {
    const char *s = *at + strspn(*at, ", \t\n");
    if (!*s) return false;
    *n = strcspn(s, ", \t\n");
    *name = s;
    *at = s + *n;
    return true;
}

static bool in_list(const char *list, const char *name) {
    const char *item;
    size_t n;
    while (list && name && next_name(&list, &item, &n)) {
        if (strlen(name) == n && memcmp(item, name, n) == 0) return true;
    }
    return false;
}

static const xfc_pass_info *find_pass(const char *name, size_t n) {
    for (uint32_t i = 0; i < XFC_PASS_COUNT; i++) {
        if (strlen(xfc_passes[i].name) == n && memcmp(xfc_passes[i].name, name, n) == 0) return &xfc_passes[i];
    }
    return NULL;
}

int64_t xfc_count_optional(const char *names, const char *disable) {
    int64_t count = 0;
    const char *name;
    size_t n;
    while (next_name(&names, &name, &n)) {
        const xfc_pass_info *pass = find_pass(name, n);
        count += pass && pass->kind == XFC_KIND_OPTIONAL && !in_list(disable, pass->name);
    }
    return count;
}

void xfc_split_lossy(xfc_arena *arena, const char *names, const char *part[3]) {
    const char *name, *first = NULL, *last = NULL, *all = names;
    size_t n;
    while (next_name(&names, &name, &n)) {
        const xfc_pass_info *pass = find_pass(name, n);
        if (!pass || pass->kind != XFC_KIND_LOSSY) continue;
        first = first ? first : name;
        last = name + n;
    }
    part[0] = first ? xfc_sprintf(arena, "%.*s", (int)(first - all), all) : all;
    part[1] = first ? xfc_sprintf(arena, "%.*s", (int)(last - first), first) : "";
    part[2] = last ? last : "";
}

static xfc_status check_names(runner *r, const char *option, const char *list) {
    const char *name;
    size_t n;
    while (list && next_name(&list, &name, &n)) {
        if (find_pass(name, n)) continue;
        return xfc_fail(ctx_of(r), XFC_ERR_INPUT, (xfc_loc){0},
                        "%s: no pass is named '%.*s'; `xf-opt --list-passes` does", option, (int)(n < 64 ? n : 64),
                        name);
    }
    return XFC_OK;
}

static xfc_status check_options(runner *r) {
    const xfc_run_opts *o = r->opts;
    XFC_TRY(check_names(r, "--disable-pass", o->disable));
    for (uint32_t i = 0; i < XFC_PASS_COUNT; i++) {
        bool optional = xfc_passes[i].kind == XFC_KIND_OPTIONAL || xfc_passes[i].kind == XFC_KIND_LOSSY;
        if (optional || !in_list(o->disable, xfc_passes[i].name)) continue;
        return xfc_fail(ctx_of(r), XFC_ERR_INPUT, (xfc_loc){0},
                        "--disable-pass: '%s' is required; leave it out of the list", xfc_passes[i].name);
    }
    if (o->print_before && strcmp(o->print_before, "all") != 0)
        XFC_TRY(check_names(r, "--print-ir-before", o->print_before));
    if (o->print_after && strcmp(o->print_after, "all") != 0 && strcmp(o->print_after, "change") != 0) {
        XFC_TRY(check_names(r, "--print-ir-after", o->print_after));
    }
    return XFC_OK;
}

/* Names to rows, and the order against their stages, before anything runs. */
static xfc_status resolve(runner *r, const char *names) {
    xfc_stage stage = (*r->graph)->stage;
    uint32_t cap = 0;
    const char *name;
    size_t n;
    XFC_TRY(check_names(r, "passes", names));
    while (next_name(&names, &name, &n)) {
        const xfc_pass_info *pass = find_pass(name, n);
        xfc_stage last = pass->kind == XFC_KIND_LOWERS ? pass->from : pass->to;
        if (stage < pass->from || stage > last) {
            return xfc_fail(ctx_of(r), XFC_ERR_INPUT, (xfc_loc){0},
                            "pass '%s' (number %u) runs at stage %s%s%s, but the graph is then %s; reorder the passes",
                            pass->name, r->n + 1, xfc_stage_name(pass->from), last != pass->from ? " to " : "",
                            last != pass->from ? xfc_stage_name(last) : "", xfc_stage_name(stage));
        }
        if (pass->kind == XFC_KIND_LOWERS) stage = pass->to;
        xfc_push(r->scratch, r->list, r->n, cap) = pass;
    }
    r->seconds = xfc_new_array(r->scratch, double, r->n);
    r->changed = xfc_new_array(r->scratch, bool, r->n);
    return XFC_OK;
}

static bool is_asked(const runner *r, const char *kind) {
    const xfc_lossy_opts *lossy = r->opts->passes.lossy;
    bool asked = false;
    for (uint32_t i = 0; lossy && i < lossy->n; i++)
        asked |= !strcmp(xfc_lossy_kinds[lossy->request[i].kind].name, kind);
    return asked;
}

/* Which passes run is known before the first does. */
static void leave_out(runner *r) {
    int64_t limit = r->opts->bisect_limit, optional = r->opts->bisect_from;
    r->left_out = xfc_new_array(r->scratch, const char *, r->n);
    for (uint32_t i = 0; i < r->n; i++) {
        xfc_pass_kind kind = r->list[i]->kind;
        if (kind != XFC_KIND_OPTIONAL && kind != XFC_KIND_LOSSY) continue;
        if (in_list(r->opts->disable, r->list[i]->name))
            r->left_out[i] = "--disable-pass";
        else if (kind == XFC_KIND_LOSSY)
            r->left_out[i] = is_asked(r, r->list[i]->name) ? NULL : "no --lossy";
        else if (limit >= 0 && optional++ >= limit)
            r->left_out[i] = "--bisect-limit";
    }
}

/* What an option demands must be able to happen: one pass of that name runs. */
static xfc_status check_demand(const runner *r, const char *pass, const char *option, const char *word) {
    const char *why = NULL;
    if (!pass) return XFC_OK;
    for (uint32_t i = 0; i < r->n; i++) {
        if (strcmp(r->list[i]->name, pass) != 0) continue;
        if (!r->left_out[i]) return XFC_OK;
        why = r->left_out[i];
    }
    if (why)
        return xfc_fail(ctx_of(r), XFC_ERR_INPUT, (xfc_loc){0},
                        "%s=%s: %s leaves the pass '%s' out; give one of the two", option, word, why, pass);
    return xfc_fail(ctx_of(r), XFC_ERR_INPUT, (xfc_loc){0},
                    "%s=%s: the pass '%s' is not among the passes that run; use -O1 or higher, or add it to the list",
                    option, word, pass);
}

void xfc_drop_demands(xfc_pass_opts *o, const char *others) {
#define XFC_OPTION(field, name, words, pass, help)                                                                     \
    if (o->field == XFC_FORCE && in_list(others, pass)) o->field = XFC_AUTO;
#include "passes/options.def"
#undef XFC_OPTION
    for (uint32_t i = 0; o->lossy && i < o->lossy->n; i++) {
        if (!in_list(others, xfc_lossy_kinds[o->lossy->request[i].kind].name)) continue;
        o->lossy = NULL; /* all of them stand together */
    }
}

static xfc_status check_demands(const runner *r) {
    const xfc_pass_opts *o = &r->opts->passes;
#define XFC_OPTION(field, name, words, pass, help)                                                                     \
    if (o->field == XFC_FORCE) XFC_TRY(check_demand(r, pass, "--" name, strrchr(words, '|') + 1));
#include "passes/options.def"
#undef XFC_OPTION
    for (uint32_t i = 0; o->lossy && i < o->lossy->n; i++) {
        const char *kind = xfc_lossy_kinds[o->lossy->request[i].kind].name;
        XFC_TRY(check_demand(r, kind, "--lossy", kind));
    }
    return XFC_OK;
}

static void print_graph(runner *r, const char *when, const char *pass) {
    xfc_buf buf = {.arena = xfc_arena_new()};
    xfc_buf_printf(&buf, "// %s %s\n", when, pass);
    xfc_print_graph(&buf, *r->graph, NULL);
    (void)fwrite(buf.text, 1, buf.n, r->out);
    (void)fflush(r->out);
    xfc_arena_free(buf.arena);
}

static bool wants(const char *list, const char *pass) {
    return list && (strcmp(list, "all") == 0 || in_list(list, pass));
}

static void verify_or_die(runner *r, const char *what, const char *pass) {
    xfc_buf defects = {.arena = xfc_arena_new()};
    if (xfc_verify(*r->graph, &defects)) {
        xfc_arena_free(defects.arena);
        return;
    }
    r->out = stderr;
    print_graph(r, what, pass);
    (void)fputs(defects.text ? defects.text : "", stderr);
    xfc_bug(__FILE__, __LINE__, "the graph is malformed %s '%s'", what, pass);
}

static void print_all(xfc_buf *buf, const xfc_graph *g) {
    xfc_print_graph(buf, g, &(xfc_print_opts){.locations = true, .data_by_id = true});
}

static void same_text_or_die(const xfc_buf *a, const xfc_buf *b, const char *mode, const char *pass) {
    if (a->n == b->n && memcmp(a->text, b->text, a->n) == 0) return;
    size_t i = 0, line = 1;
    for (; i < a->n && i < b->n && a->text[i] == b->text[i]; i++) line += a->text[i] == '\n';
    (void)fprintf(stderr, "--- the graph\n%s\n--- after %s\n%s\n", a->text, mode, b->text);
    xfc_bug(__FILE__, __LINE__, "%s after '%s' changes the text, first in line %zu", mode, pass, line);
}

static void check_clone(runner *r, const char *pass) {
    xfc_arena *arena = xfc_arena_new();
    xfc_buf before = {.arena = arena}, after = {.arena = arena};
    print_all(&before, *r->graph);
    xfc_graph *clone = xfc_graph_clone(*r->graph);
    print_all(&after, clone);
    same_text_or_die(&before, &after, "cloning", pass);
    xfc_graph_free(*r->graph);
    *r->graph = clone;
    xfc_arena_free(arena);
    verify_or_die(r, "in the clone after", pass);
}

static xfc_graph *parsed_or_die(const runner *r, const xfc_buf *text, const char *pass) {
    uint32_t errors = ctx_of(r)->n_errors;
    xfc_graph *g = xfc_parse_graph(ctx_of(r), text->text, text->n, "roundtrip");
    if (g && ctx_of(r)->n_errors == errors) return g;
    (void)fprintf(stderr, "%s\n", text->text);
    xfc_diags_print(ctx_of(r), stderr, false);
    xfc_bug(__FILE__, __LINE__, "the printed graph does not parse after '%s'", pass);
}

static void check_roundtrip(runner *r, const char *pass) {
    xfc_arena *arena = xfc_arena_new();
    xfc_buf before = {.arena = arena}, after = {.arena = arena};
    print_all(&before, *r->graph);
    xfc_graph *parsed = parsed_or_die(r, &before, pass);
    print_all(&after, parsed);
    same_text_or_die(&before, &after, "a round trip through text", pass);
    parsed->source = (*r->graph)->source;
    xfc_graph_copy_notes(parsed, *r->graph);
    xfc_graph_free(*r->graph);
    *r->graph = parsed;
    xfc_arena_free(arena);
    verify_or_die(r, "in the round trip after", pass);
}

static double now(void) {
    struct timespec t;
    (void)timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A builder inside a pass may have recorded an error that the pass did not hand on. */
static xfc_status status_after(const runner *r, const xfc_pass *pass, uint32_t errors_before) {
    const xfc_ctx *ctx = ctx_of(r);
    if (pass->status != XFC_OK || ctx->n_errors == errors_before) return pass->status;
    for (uint32_t i = ctx->n_diags; i > 0; i--) {
        if (!ctx->diags[i - 1].is_note) return ctx->diags[i - 1].status;
    }
    return XFC_ERR_UNSUPPORTED;
}

static void say_bisect(runner *r, const xfc_pass_info *pass) {
    if (pass->kind != XFC_KIND_OPTIONAL || r->opts->bisect_limit < 0) return;
    (void)fprintf(r->out, "// bisect: %" PRId64 " %s\n", r->opts->bisect_from + ++r->optional_run, pass->name);
}

/* On the entry and on every body in it, inner ones first: what a pass finds out about a body, the graph around can
 * use. */
static xfc_status run_on_all(runner *r, const xfc_pass_info *info, bool *changed) {
    xfc_arena *arena = xfc_arena_new();
    uint32_t n, errors = ctx_of(r)->n_errors;
    xfc_graph **graph = xfc_graph_tree(*r->graph, arena, &n);
    const xfc_defined defined = xfc_defined_of(*r->graph, arena);
    xfc_status status = XFC_OK;
    for (uint32_t i = 0; i < n && status == XFC_OK; i++) {
        xfc_pass pass = {.graph = graph[i],
                         .opts = &r->opts->passes,
                         .target = r->target,
                         .scratch = xfc_arena_new(),
                         .defined = &defined};
        *changed |= info->run(&pass);
        xfc_arena_free(pass.scratch);
        status = status_after(r, &pass, errors);
        if (info->kind == XFC_KIND_LOWERS) graph[i]->stage = info->to;
    }
    xfc_arena_free(arena);
    return status;
}

static xfc_status run_one(runner *r, uint32_t i) {
    const xfc_pass_info *info = r->list[i];
    if (r->left_out[i]) return XFC_OK;
    say_bisect(r, info);
    if (wants(r->opts->print_before, info->name)) print_graph(r, "before", info->name);
    double start = now();
    xfc_status status = run_on_all(r, info, &r->changed[i]);
    r->seconds[i] = now() - start;
    xfc_storage_sweep(ctx_of(r));
    XFC_TRY(status);
    bool verify = r->opts->verify;
#ifndef NDEBUG
    verify = true;
#endif
    if (verify) verify_or_die(r, "after", info->name);
    bool changed_only = r->opts->print_after && strcmp(r->opts->print_after, "change") == 0;
    if (wants(r->opts->print_after, info->name) || (changed_only && r->changed[i])) print_graph(r, "after", info->name);
    if (r->opts->clone) check_clone(r, info->name);
    if (r->opts->roundtrip) check_roundtrip(r, info->name);
    return XFC_OK;
}

static void print_times(const runner *r) {
    double total = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        if (r->left_out[i]) {
            (void)fprintf(r->out, "// %-9s skipped\n", r->list[i]->name);
            continue;
        }
        total += r->seconds[i];
        (void)fprintf(r->out, "// %-9s %9.3f ms%s\n", r->list[i]->name, r->seconds[i] * 1e3,
                      r->changed[i] ? "  changed" : "");
    }
    (void)fprintf(r->out, "// %-9s %9.3f ms\n", "total", total * 1e3);
}

xfc_status xfc_run_passes(xfc_graph **graph, const xfc_target *target, const char *names, const xfc_run_opts *opts) {
    static const xfc_run_opts none = {.bisect_limit = -1};
    runner r = {.graph = graph, .target = target, .opts = opts ? opts : &none, .scratch = xfc_arena_new()};
    r.out = r.opts->out ? r.opts->out : stderr;
    xfc_status status = check_options(&r);
    if (status == XFC_OK) status = resolve(&r, names);
    if (status == XFC_OK) leave_out(&r);
    if (status == XFC_OK) status = check_demands(&r);
    for (uint32_t i = 0; i < r.n && status == XFC_OK; i++) status = run_one(&r, i);
    if (status == XFC_OK && r.opts->time) print_times(&r);
    xfc_arena_free(r.scratch);
    return status;
}

/* xf-opt.c - passes by name on IR text: what a compiler engineer tests and debugs passes with.
 *
 * Reads .xf (or a model, through the frontend), runs the passes asked for, prints the graph. With --eval it runs the
 * interpreter instead of printing; with --eval-both it runs the graph from before and the graph from after the passes
 * on the same random inputs and compares: the oracle for every pass, since all stages can be interpreted. No code is
 * generated here.
 */
#include "backends/backend.h"
#include "frontend/frontend.h"
#include "ir/base/nearest.h"
#include "ir/base/outfile.h"
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "tools/cli.h"
#include "tools/pass_cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_MODEL = 1, EXIT_USAGE = 2, EXIT_DIFFERS = 5, EXIT_BUG = 70, MAX_PRINTED = 1024 };
#define MAX_INPUT_BYTES ((size_t)1 << 30)

typedef struct {
    const char *passes, *level, *target, *output, *data, *print_before, *print_after, *disable, *checks;
    const char *bisect_text, *seed_text, *rounds_text, *rtol_text, *atol_text;
    int64_t bisect, seed, rounds;
    double rtol, atol;
    xf_cli_list dims, shapes, inputs;
    bool eval, eval_both, verify, list_passes, time_passes, locations, is_model, explain;
    xf_pass_words pass_words;
    xf_cli_list lossy;
    xfc_ctx *ctx;
} options;

static bool read_int(const char *text, int64_t least, int64_t *out) {
    if (!text) return true;
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && errno == 0 && *out >= least;
}

static int report(const options *o) { return xf_report_diags(o->ctx, false); }

/* --- reading --- */

static xfc_graph *read_graph(options *o, const char *path) {
    o->is_model = xf_has_suffix(path, ".onnx");
    if (o->is_model) {
        xfc_import_opts import = {
            .dims = o->dims.item, .n_dims = o->dims.n, .shapes = o->shapes.item, .n_shapes = o->shapes.n};
        return xfc_import_file(o->ctx, path, &import);
    }
    /* A text is shown as it is, but passes and the interpreter take none that is malformed; --verify tells later. */
    return xf_parse_file(o->ctx, path, !o->verify && (o->passes || o->level || o->eval || o->eval_both));
}

/* --- inputs --- */

/* Values of symbols: --dim, else random; what a constraint ties to a known symbol takes its value. */
typedef struct {
    const options *opts;
    const xfc_graph *graph;
    uint64_t random, most_id;
    xfc_map value;               /* symbol id -> value + 1 */
    bool *dim_used, *input_used; /* which --dim and --input named something */
} binding;

static uint64_t next_random(uint64_t *s) {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s * UINT64_C(0x2545f4914f6cdd1d);
}

/* The text behind "NAME=" in a list of options; NULL if there is none. */
static const char *option_for(const xf_cli_list *list, const char *name, bool *used) {
    for (uint32_t i = 0; name && i < list->n; i++) {
        const char *eq = strrchr(list->item[i], '=');
        size_t n = eq ? (size_t)(eq - list->item[i]) : 0;
        if (!eq || strlen(name) != n || strncmp(name, list->item[i], n) != 0) continue;
        used[i] = true;
        return eq + 1;
    }
    return NULL;
}

static bool dim_option(binding *b, const char *name, int64_t *out) {
    const char *text = option_for(&b->opts->dims, name, b->dim_used);
    return text && read_int(text, 0, out);
}

static bool tied_value(binding *b, xfc_int symbol, int64_t *out) {
    for (uint32_t i = 0; i < b->graph->n_constraints; i++) {
        const xfc_constraint *k = &b->graph->constraint[i];
        bool first = xfc_int_same(k->a, symbol), second = xfc_int_same(k->b, symbol);
        if ((!first && !second) || k->ones == XFC_UNEQUAL) continue;
        xfc_int other = first ? k->b : k->a;
        uint64_t known = xfc_map_get(&b->value, other.id);
        if (!known && !xfc_int_value(b->opts->ctx, other, out)) continue;
        if (known) *out = (int64_t)known - 1;
        return true;
    }
    return false;
}

static bool look_up(void *user, uint32_t id, int64_t *out) {
    binding *b = user;
    xfc_ctx *c = b->opts->ctx;
    xfc_int symbol = {id};
    uint64_t known = xfc_map_get(&b->value, id);
    if (known) {
        *out = (int64_t)known - 1;
        return true;
    }
    int64_t lo, hi;
    xfc_int_range(c, symbol, &lo, &hi);
    if (!dim_option(b, xfc_int_look(c, symbol)->name, out) && !tied_value(b, symbol, out)) {
        if (hi > lo + 5) hi = lo + 5;
        *out = lo + (int64_t)(next_random(&b->random) % (uint64_t)(hi - lo + 1));
    }
    if (*out < 0) return false;
    xfc_map_set(&b->value, id, (uint64_t)*out + 1);
    return true;
}

/* Integers are 0..most: where they number the rows of a small table, a smaller one is tried (eval_round). */
static void fill_random(xfc_array *a, uint64_t *random, uint64_t most) {
    for (int64_t i = 0; i < a->count; i++) {
        uint64_t r = next_random(random) >> 11; /* 53 bits */
        if (xfc_dtype_is_float(a->dtype))
            xfc_element_set_f(a->dtype, a->data, i, (double)r * 0x1p-52 - 1);
        else
            xfc_element_set_i(a->dtype, a->data, i, (int64_t)(r >> 20 & (a->dtype == XFC_BOOL ? 1 : most)));
    }
}

/* "v, v, ..." into all elements. */
static xfc_status fill_list(xfc_ctx *c, xfc_array *a, const char *name, const char *text) {
    for (int64_t i = 0; i < a->count; i++) {
        char *end;
        errno = 0;
        if (xfc_dtype_is_float(a->dtype))
            xfc_element_set_f(a->dtype, a->data, i, strtod(text, &end));
        else
            xfc_element_set_i(a->dtype, a->data, i, strtoll(text, &end, 10));
        bool last = i + 1 == a->count;
        if (end == text || errno == ERANGE || *end != (last ? '\0' : ','))
            return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){0},
                            "--input %s: %" PRId64 " values separated by commas are needed; the trouble "
                            "starts at '%.20s'",
                            name, a->count, text);
        text = end + 1;
    }
    return XFC_OK;
}

static xfc_status make_array(binding *b, const xfc_value *v, xfc_arena *arena, xfc_array *out) {
    xfc_ctx *c = b->opts->ctx;
    size_t bytes = 0;
    *out = (xfc_array){.dtype = v->type.dtype, .rank = v->type.rank};
    bool fits = true;
    for (uint32_t d = 0; d < out->rank; d++)
        fits = fits && xfc_int_evaluate(c, v->type.dim[d], look_up, b, &out->dim[d]);
    fits = fits && xfc_tensor_count(out->dtype, out->rank, out->dim, &out->count, &bytes) && bytes <= MAX_INPUT_BYTES;
    if (!fits)
        return xfc_fail(c, XFC_ERR_LIMIT, (xfc_loc){0},
                        "input '%s' has no size below 1 GiB; choose smaller ones with --dim", v->name ? v->name : "?");
    out->data = xfc_alloc(arena, bytes, 64);
    const char *values = option_for(&b->opts->inputs, v->name, b->input_used);
    if (values) return fill_list(c, out, v->name, values);
    fill_random(out, &b->random, b->most_id);
    return XFC_OK;
}

static xfc_status all_used(const xfc_graph *g, const char *option, const xf_cli_list *list, const bool *used,
                           bool dims) {
    for (uint32_t i = 0; i < list->n; i++) {
        if (used[i]) continue;
        xfc_nearest near = {.wanted = list->item[i], .n = strcspn(list->item[i], "=")};
        for (uint32_t k = 0; k < g->n_in; k++) {
            if (!dims && g->in[k]->name) xfc_nearest_offer(&near, g->in[k]->name);
            for (uint32_t d = 0; dims && d < g->in[k]->type.rank; d++) {
                const char *name = xfc_int_look(g->ctx, g->in[k]->type.dim[d])->name;
                if (name) xfc_nearest_offer(&near, name);
            }
        }
        return xfc_fail(g->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                        "%s '%s' fits nothing in the graph's inputs; check name and value%s", option, list->item[i],
                        xfc_did_you_mean(g->ctx->arena, &near, ""));
    }
    return XFC_OK;
}

static xfc_status make_inputs(const options *o, const xfc_graph *g, uint64_t seed, uint64_t most_id, xfc_arena *arena,
                              xfc_array **out) {
    binding b = {.opts = o, .graph = g, .most_id = most_id, .value = {.arena = arena}};
    b.random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    if (b.random == 0) b.random = 1;
    b.dim_used = xfc_new_array(arena, bool, o->dims.n);
    b.input_used = xfc_new_array(arena, bool, o->inputs.n);
    *out = xfc_new_array(arena, xfc_array, g->n_in);
    for (uint32_t i = 0; i < g->n_in; i++) XFC_TRY(make_array(&b, g->in[i], arena, &(*out)[i]));
    if (!o->is_model) XFC_TRY(all_used(g, "--dim", &o->dims, b.dim_used, true)); /* the importer checked its own */
    return all_used(g, "--input", &o->inputs, b.input_used, false);
}

/* --- evaluating --- */

static xfc_tensor as_tensor(const xfc_array *a) {
    return (xfc_tensor){.dtype = a->dtype, .rank = a->rank, .count = a->count, .data = a->data};
}

static void print_element(FILE *f, const xfc_tensor *t, int64_t i) {
    if (t->dtype == XFC_BOOL)
        fprintf(f, "%s", xfc_tensor_get_i(t, i) ? "true" : "false");
    else if (t->dtype == XFC_F64)
        fprintf(f, "%.17g", xfc_tensor_get_f(t, i));
    else if (xfc_dtype_is_float(t->dtype))
        fprintf(f, "%.9g", xfc_tensor_get_f(t, i));
    else if (t->dtype == XFC_U64)
        fprintf(f, "%" PRIu64, (uint64_t)xfc_tensor_get_i(t, i));
    else
        fprintf(f, "%" PRId64, xfc_tensor_get_i(t, i));
}

static void print_array(FILE *f, const char *name, uint32_t i, const xfc_array *a) {
    xfc_tensor t = as_tensor(a);
    if (name)
        fprintf(f, "\"%s\": %s[", name, xfc_dtype_name(a->dtype));
    else
        fprintf(f, "%u: %s[", (unsigned)i, xfc_dtype_name(a->dtype));
    for (uint32_t d = 0; d < a->rank; d++) fprintf(f, "%s%" PRId64, d ? ", " : "", a->dim[d]);
    fprintf(f, "] = [");
    for (int64_t k = 0; k < a->count && k < MAX_PRINTED; k++) {
        if (k) fprintf(f, ", ");
        print_element(f, &t, k);
    }
    fprintf(f, "%s]\n", a->count > MAX_PRINTED ? ", ..." : "");
}

typedef struct {
    double rtol, atol, worst;
    int64_t compared;
} tolerance;

static bool close_enough(tolerance *tol, const xfc_tensor *a, const xfc_tensor *b, int64_t i) {
    tol->compared++;
    if (!xfc_dtype_is_float(a->dtype)) return xfc_tensor_get_i(a, i) == xfc_tensor_get_i(b, i);
    double x = xfc_tensor_get_f(a, i), y = xfc_tensor_get_f(b, i);
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    if (x == y) return true;
    double difference = fabs(x - y);
    if (difference > tol->worst) tol->worst = difference;
    return difference <= tol->atol + tol->rtol * fabs(x);
}

static bool same_shape(const xfc_array *a, const xfc_array *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    return a->rank == 0 || memcmp(a->dim, b->dim, a->rank * sizeof(a->dim[0])) == 0;
}

/* Prints the first difference of an output; true if there is none. */
static bool compare(tolerance *tol, const char *name, uint64_t seed, const xfc_array *before, const xfc_array *after) {
    xfc_tensor a = as_tensor(before), b = as_tensor(after);
    if (!same_shape(before, after)) {
        fprintf(stderr, "xf-opt: error: output '%s' changed its type (seed %" PRIu64 "):\n", name, seed);
        print_array(stderr, "before", 0, before);
        print_array(stderr, "after", 0, after);
        return false;
    }
    for (int64_t i = 0; i < a.count; i++) {
        if (close_enough(tol, &a, &b, i)) continue;
        fprintf(stderr, "xf-opt: error: output '%s' differs at element %" PRId64 " (seed %" PRIu64 "): ", name, i,
                seed);
        print_element(stderr, &a, i);
        fprintf(stderr, " before the passes, ");
        print_element(stderr, &b, i);
        fprintf(stderr, " after; isolate the pass with --bisect-limit\n");
        return false;
    }
    return true;
}

static xfc_status run(const xfc_graph *g, const xfc_array *in, xfc_arena *arena, xfc_array **out) {
    *out = xfc_new_array(arena, xfc_array, g->n_out);
    return xfc_eval_graph(g, in, g->n_in, *out, &(xfc_eval_opts){.arena = arena});
}

static int eval_round(const options *o, const xfc_graph *before, const xfc_graph *after, uint64_t seed,
                      tolerance *tol) {
    xfc_arena *arena = xfc_arena_new();
    xfc_array *in, *was = NULL, *is = NULL;
    const xfc_graph *first = before ? before : after;
    xfc_status status = XFC_OK;
    for (uint64_t most = 3;; most /= 2) {
        uint32_t errors = o->ctx->n_errors, diags = o->ctx->n_diags;
        status = make_inputs(o, after, seed, most, arena, &in);
        if (status == XFC_OK) status = run(first, in, arena, before ? &was : &is);
        bool failed = status != XFC_OK && o->ctx->n_diags > diags;
        if (!failed || most == 0 || !strstr(o->ctx->diags[diags].text, "index")) break;
        o->ctx->n_errors = errors, o->ctx->n_diags = diags;
    }
    if (status == XFC_OK && before) status = run(after, in, arena, &is);
    bool same = true;
    for (uint32_t i = 0; i < after->n_out && status == XFC_OK; i++) {
        const char *name = after->out_name[i];
        if (before)
            same = compare(tol, name ? name : "?", seed, &was[i], &is[i]) && same;
        else
            print_array(stdout, name, i, &is[i]);
    }
    xfc_arena_free(arena);
    if (status != XFC_OK) return report(o);
    return same ? 0 : EXIT_DIFFERS;
}

static int evaluate(const options *o, const xfc_graph *before, const xfc_graph *after) {
    tolerance tol = {.rtol = o->rtol, .atol = o->atol};
    for (int64_t i = 0; i < o->rounds; i++) {
        int code = eval_round(o, before, after, (uint64_t)o->seed + (uint64_t)i, &tol);
        if (code) return code;
    }
    if (before)
        printf("equal: %u outputs, %" PRId64 " elements, largest difference %.3g\n", (unsigned)after->n_out,
               tol.compared, tol.worst);
    return 0;
}

/* --- passes --- */

/* --check: comma-separated words into the runner's modes. */
static bool parse_checks(const char *list, xfc_run_opts *run_opts) {
    while (list && *list) {
        size_t n = strcspn(list, ",");
        if (n == 5 && strncmp(list, "clone", n) == 0)
            run_opts->clone = true;
        else if (n == 9 && strncmp(list, "roundtrip", n) == 0)
            run_opts->roundtrip = true;
        else if (n == 6 && strncmp(list, "verify", n) == 0)
            run_opts->verify = true;
        else if (n)
            return false;
        list += n + (list[n] == ',');
    }
    return true;
}

static const xfc_target *find_target(const char *name) { return xfc_backend_find(name ? name : "cpu")->generic; }

static bool verified(const options *o, const xfc_graph *g, const char *when) {
    xfc_buf defects = {.arena = o->ctx->arena};
    if (xfc_verify(g, &defects)) return true;
    fprintf(stderr, "xf-opt: error: the graph is malformed %s:\n%s", when, defects.text);
    return false;
}

static int print_result(const options *o, const xfc_graph *g) {
    xfc_buf b = {.arena = o->ctx->arena}, beside = {.arena = o->ctx->arena};
    bool in_text = o->data && !strcmp(o->data, "inline");
    const char *name = in_text ? NULL : o->data, *output = o->output ? o->output : "-";
    const char *data = name ? xf_beside(o->ctx->arena, output, name) : NULL;
    xfc_print_graph(
        &b, g,
        &(xfc_print_opts){.locations = o->locations, .data_inline = in_text, .data_file = name, .beside = &beside});
    if (data && !xf_write_file(o->ctx, data, beside.text, beside.n))
        output = data;
    else if (xf_write_file(o->ctx, output, b.text, b.n))
        return 0;
    xfc_fail(o->ctx, XFC_ERR_IO, (xfc_loc){.file = output}, "cannot be written: %s; choose another -o",
             xf_write_error());
    return report(o);
}

static int work(const options *o, xfc_graph **g, const xfc_target *target, const char *names,
                const xfc_run_opts *run_opts) {
    if (o->verify && !verified(o, *g, "as read")) return EXIT_MODEL;
    xfc_graph *before = o->eval_both ? xfc_graph_clone(*g) : NULL;
    int code = 0;
    if (names && xfc_run_passes(g, target, names, run_opts) != XFC_OK) code = report(o);
    if (o->explain) xf_notes_print(*g, false);
    if (!code && o->verify && !verified(o, *g, "after the passes")) code = EXIT_BUG;
    if (!code && (o->eval || o->eval_both)) code = evaluate(o, before, *g);
    if (!code && ((!o->eval && !o->eval_both) || o->output)) code = print_result(o, *g);
    xfc_graph_free(before);
    return code;
}

static bool read_numbers(options *o) {
    o->bisect = -1;
    o->rounds = 1;
    o->rtol = 1e-5;
    o->atol = 1e-6;
    return xf_cli_int("xf-opt", "--bisect-limit", o->bisect_text, 0, INT64_MAX, &o->bisect) &&
           xf_cli_int("xf-opt", "--seed", o->seed_text, 0, INT64_MAX, &o->seed) &&
           xf_cli_int("xf-opt", "--rounds", o->rounds_text, 1, INT64_MAX, &o->rounds) &&
           xf_cli_tolerance("xf-opt", "--rtol", o->rtol_text, &o->rtol) &&
           xf_cli_tolerance("xf-opt", "--atol", o->atol_text, &o->atol);
}

static int opt(options *o, const char *path) {
    if (!read_numbers(o)) return EXIT_USAGE;
    xfc_run_opts run_opts = {.print_before = o->print_before,
                             .print_after = o->print_after,
                             .disable = o->disable,
                             .verify = o->verify,
                             .time = o->time_passes,
                             .bisect_limit = o->bisect};
    const xf_pass_names pass_names = {"-p", o->passes, o->disable, o->print_before, o->print_after};
    xf_pass_words_read(&o->pass_words, &run_opts.passes);
    xfc_lossy_opts lossy = {0};
    run_opts.passes.lossy = &lossy;
    if (!xf_pass_names_check("xf-opt", &pass_names) || !xf_lossy_read("xf-opt", o->ctx, &o->lossy, &lossy))
        return EXIT_USAGE;
    if (!parse_checks(o->checks, &run_opts))
        return xf_cli_wrong("xf-opt", "--check knows clone, roundtrip and verify, not '%s'", o->checks);
    const xfc_target *target = find_target(o->target);
    const char *names = o->passes;
    if (o->level && (o->level[0] < '0' || o->level[0] > '3' || o->level[1]))
        return xf_cli_wrong("xf-opt", "-O goes from 0 to 3, not '%s'", o->level);
    if (o->data && strcmp(o->data, "inline") != 0 && (!o->output || !strcmp(o->output, "-") || strchr(o->data, '/')))
        return xf_cli_wrong("xf-opt", "--data is inline, or the name of a file that lies beside the -o FILE; got '%s'",
                            o->data);
    if (o->level && names) return xf_cli_wrong("xf-opt", "-O names passes itself: leave out -p '%s'", names);
    if (o->level) names = xfc_pipeline_default[o->level[0] - '0'];
    xfc_graph *g = read_graph(o, path);
    if (o->output && xfc_was_read(o->ctx, o->output)) {
        xfc_graph_free(g);
        return xf_cli_wrong("xf-opt", "-o %s was read and would be lost; choose another -o", o->output);
    }
    int code = g ? work(o, &g, target, names, &run_opts) : report(o);
    xfc_graph_free(g);
    return code;
}

static const char examples[] =
    "  xf-opt -p fold,simplify model.xf              two passes, result on stdout\n"
    "  xf-opt model.onnx -o m.xf --data=m.bin        a model as text, and its weights\n"
    "  xf-opt -O2 --eval-both --rounds=20 model.xf   does the whole pipeline keep the meaning?\n"
    "  xf-opt -p raise --print-ir-after=change m.xf  what did it find?\n"
    "  xf-opt -O2 --check=clone,roundtrip m.xf       are clone, printer and parser faithful?\n"
    "exit codes: 0 ok, 1 malformed input, 2 usage, 3 unsupported, 4 I/O, 5 outputs differ, 70 internal error\n";

int main(int argc, char **argv) {
    options o = {.ctx = xfc_ctx_new()};
    const xf_cli_option table[] = {
        {XF_CLI_SECTION, "passes", NULL, NULL, NULL},
        {XF_CLI_TEXT, "p", "LIST", "run these passes in this order, comma-separated", &o.passes},
        {XF_CLI_TEXT, "O", "LEVEL", "run the default pipeline of -O0, -O1, -O2 or -O3", &o.level},
        {XF_CLI_TEXT, "target", "cpu|cuda", "whose numbers passes see (default cpu)", &o.target},
        {XF_CLI_TEXT, "disable-pass", "LIST", "leave these optional passes out", &o.disable},
        {XF_CLI_TEXT, "bisect-limit", "N", "run only the first N optional passes", &o.bisect_text},
        {XF_CLI_LIST, "lossy", "KIND[:KEY=VALUE,...]", xf_lossy_help, &o.lossy},
#define XFC_OPTION(field, name, words, pass, help) XF_PASS_OPTION(&o.pass_words, field, name, words, help)
#include "passes/options.def"
#undef XFC_OPTION
        {XF_CLI_FLAG, "list-passes", NULL, "name, stages and purpose of every pass", &o.list_passes},
        {XF_CLI_FLAG, "time-passes", NULL, "time of each pass, on stderr", &o.time_passes},
        {XF_CLI_SECTION, "looking", NULL, NULL, NULL},
        {XF_CLI_TEXT, "print-ir-before", "PASS", "the graph before a pass, or before all", &o.print_before},
        {XF_CLI_TEXT, "print-ir-after", "PASS", "the graph after a pass, after all, or after each change",
         &o.print_after},
        {XF_CLI_FLAG, "explain", NULL, "print what passes did and what they refused, on stderr", &o.explain},
        {XF_CLI_FLAG, "locations", NULL, "print the ONNX node of each op", &o.locations},
        {XF_CLI_TEXT, "o", "FILE", "write the graph there instead of to stdout", &o.output},
        {XF_CLI_TEXT, "data", "inline|FILE",
         "so that the text can be read again: constants of more than 64 elements\ngo into it, or into FILE beside "
         "it; default: only a hash of each",
         &o.data},
        {XF_CLI_SECTION, "checking", NULL, NULL, NULL},
        {XF_CLI_FLAG, "verify", NULL, "check the graph as read, after every pass, and at the end", &o.verify},
        {XF_CLI_TEXT, "check", "LIST", "after every pass: clone, roundtrip (print and parse), verify", &o.checks},
        {XF_CLI_FLAG, "eval", NULL, "interpret the result on random inputs and print its outputs, not the graph",
         &o.eval},
        {XF_CLI_FLAG, "eval-both", NULL,
         "interpret the graph before and after the passes and compare the outputs;\nexit code 5 when they differ",
         &o.eval_both},
        {XF_CLI_TEXT, "seed", "N", "of the random inputs (default 0): floats in [-1, 1), integers in 0..3, bools",
         &o.seed_text},
        {XF_CLI_TEXT, "rounds", "N", "so many evaluations with seeds N, N + 1, ... (default 1)", &o.rounds_text},
        {XF_CLI_LIST, "input", "NAME=V,V,...", "values of an input, row-major, instead of random ones", &o.inputs},
        {XF_CLI_TEXT, "rtol", "X", "relative tolerance of --eval-both for floats (default 1e-5)", &o.rtol_text},
        {XF_CLI_TEXT, "atol", "X", "absolute tolerance (default 1e-6)", &o.atol_text},
        {XF_CLI_SECTION, "shapes", NULL, NULL, NULL},
        {XF_CLI_LIST, "dim", "NAME=N",
         "value of a dimension: for --eval, and when a model is read;\nothers are random, near their lower bound",
         &o.dims},
        {XF_CLI_LIST, "shape", "INPUT=1x128", "shape of a model's input (.onnx only)", &o.shapes},
    };
    const xf_cli cli = {.tool = "xf-opt",
                        .usage = "[options] FILE.xf | FILE.onnx",
                        .options = table,
                        .n_options = XFC_COUNT(table),
                        .about = "Runs passes on the compiler's intermediate representation and prints the result.",
                        .examples = examples};
    xf_cli_list rest = {0};
    int stop = xf_cli_parse(&cli, o.ctx, argc, argv, &rest), code;
    if (stop)
        code = stop - 1;
    else if (o.list_passes)
        code = xf_pass_list();
    else if (rest.n != 1)
        code = xf_cli_wrong("xf-opt", "one input file is needed; got '%s'", rest.n ? rest.item[1] : "none");
    else
        code = opt(&o, rest.item[0]);
    xfc_ctx_free(o.ctx);
    return code;
}

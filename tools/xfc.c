/* xfc.c - the driver: model in, one shared object out.
 *
 * import -> passes (once) -> emission (once per ISA) -> link. Stages can be looked at with --emit. Every error of a
 * stage is printed before the next stage is refused; nothing is written unless everything went well.
 */
#define _POSIX_C_SOURCE 200809L

#include "backends/backend.h"
#include "frontend/frontend.h"
#include "ir/base/outfile.h"
#include "ir/text/text.h"
#include "passes/entries.h"
#include "runtime/runtime.h"
#include "tools/cli.h"
#include "tools/emit.h"
#include "tools/guard.h"
#include "tools/lossy/lossy.h"
#include "tools/pass_cli.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef XFC_VERSION
#define XFC_VERSION "0.0.0"
#endif

typedef struct {
    const char *output, *emit, *march, *target, *opt, *passes, *disable, *print_before, *print_after, *bisect, *linker,
        *diagnostics, *checks, *weights, *j, *calib;
    xf_cli_list dims, shapes, taps;
    bool check, list_passes, time_passes, verbose, quiet, overridable, follow_links, verify, explain, packed_entry;
    xf_pass_words pass_words;
    xfc_pass_opts pass_opts;
    xf_cli_list lossy_words, max_error, reports;
    xfc_outfile *report; /* by name of reports */
    const char *eval_timeout;
    xfc_lossy_opts lossy;
    xf_budgets budgets;
    int64_t bisect_limit, jobs;
    xfc_ctx *ctx;
    const char *isas[8];
    uint32_t n_isas;
} options;

/* Where a model is compiled to a library, both graphs of one whose dims may agree; elsewhere, and where it is made
 * inexact, what stands for all calls. */
static void read_model(options *o, const char *path, xfc_entries *e) {
    bool both = !o->check && !o->passes && !o->lossy.n && o->bisect_limit < 0 && (!o->emit || !strcmp(o->emit, "lib"));
    *e = (xfc_entries){{0}};
    if (!xf_has_suffix(path, ".xf")) {
        xfc_import_opts import = {.dims = o->dims.item,
                                  .n_dims = o->dims.n,
                                  .shapes = o->shapes.item,
                                  .n_shapes = o->shapes.n,
                                  .overridable = o->overridable,
                                  .follow_links = o->follow_links,
                                  .equal = both ? &e->graph[XFC_ENTRY_EQUAL] : NULL};
        e->graph[XFC_ENTRY_RUN] = xfc_import_file(o->ctx, path, &import);
    } else {
        e->graph[XFC_ENTRY_RUN] = xf_parse_file(o->ctx, path, true);
    }
}

/* --tap: values whose ONNX name or node matches become outputs, which every pass keeps. */
static bool add_taps(const options *o, xfc_graph *g, const char *path) {
    for (uint32_t k = 0; k < o->taps.n; k++) {
        uint32_t found = 0;
        xfc_foreach_op(op, g) {
            if (xfc_op_has(op, XFC_STRUCT)) continue;
            for (uint32_t i = 0; i < op->n_out; i++) {
                xfc_value *v = &op->out[i];
                if (!v->name) continue;
                bool match = fnmatch(o->taps.item[k], v->name, 0) == 0;
                if (!match && op->loc.node) match = fnmatch(o->taps.item[k], op->loc.node, 0) == 0;
                if (!match) continue;
                found++;
                xfc_graph_add_output(g, v, v->name);
            }
        }
        if (found) continue;
        return xf_cli_wrong("xfc", "--tap=%s matches no node or value of %s", o->taps.item[k], path), false;
    }
    return true;
}

static bool as_sidecar(const options *o) { return o->weights && !strcmp(o->weights, "sidecar"); }
static bool writes_library(const options *o) {
    return (!o->emit || !strcmp(o->emit, "lib")) && o->output && strcmp(o->output, "-") != 0;
}
static bool as_json(const options *o) { return o->diagnostics && !strcmp(o->diagnostics, "json"); }
static int opt_level(const options *o) { return o->opt ? o->opt[0] - '0' : 2; }
static int report(const options *o) { return xf_report_diags(o->ctx, as_json(o)); }

static bool add_isa(options *o, const xfc_backend *backend, const char *isa) {
    if (!strcmp(isa, "native") && !strcmp(backend->name, "cpu")) isa = xf_native_isa(o->ctx, backend);
    if (!isa) return xf_cli_wrong("xfc", "-march=native: this machine runs no variant that xfc knows"), false;
    for (uint32_t i = 0; i < o->n_isas; i++)
        if (!strcmp(o->isas[i], isa)) return true;
    /* before any work: a wrong -march is no error of the model */
    if (backend->configure(o->ctx, &(xfc_target){0}, isa) != XFC_OK) return report(o), false;
    xfc_assert(o->n_isas < XFC_COUNT(o->isas));
    o->isas[o->n_isas++] = isa;
    return true;
}

/* Of those given, in the backend's order: the last one that runs is taken. Without -march: what every CPU of a level
 * runs. */
static bool split_isas(options *o, const xfc_backend *backend) {
    for (const char *p = o->march ? o->march : ""; *p;) {
        size_t n = strcspn(p, ",");
        if (n && !add_isa(o, backend, xfc_sprintf(o->ctx->arena, "%.*s", (int)n, p))) return false;
        p += n + (p[n] == ',');
    }
    if (o->march && o->n_isas == 0) return xf_cli_wrong("xfc", "-march=%s names no variant", o->march), false;
    uint32_t n = o->n_isas;
    const char *given[XFC_COUNT(o->isas)];
    memcpy(given, o->isas, sizeof given);
    o->n_isas = 0;
    for (const char *const *isa = backend->isas; *isa; isa++) {
        xfc_target t;
        bool wanted = !o->march && backend->configure(o->ctx, &t, *isa) == XFC_OK && t.cpu_features == 0;
        for (uint32_t i = 0; i < n; i++) wanted |= !strcmp(given[i], *isa);
        if (wanted) o->isas[o->n_isas++] = *isa;
    }
    return true;
}

/* Without -march: also the variants whose features the model's tiles use. */
static void add_gaining(options *o, const xfc_backend *backend, const xfc_kernel_set *set) {
    for (const char *const *isa = backend->isas; *isa && !o->march; isa++) {
        xfc_target t;
        if (backend->configure(o->ctx, &t, *isa) == XFC_OK && t.cpu_features && xfc_kernel_set_gains(set, &t))
            add_isa(o, backend, *isa);
    }
}

static int write_output(const options *o, const void *data, size_t n) {
    if (xf_write_file(o->ctx, o->output ? o->output : "-", data, n)) return 0;
    xfc_fail(o->ctx, XFC_ERR_IO, (xfc_loc){.file = o->output}, "cannot be written: %s; choose another -o",
             xf_write_error());
    return report(o);
}

static int emit_ir(const options *o, const xfc_graph *g) {
    xfc_buf b = {.arena = o->ctx->arena};
    xfc_print_graph(&b, g, &(xfc_print_opts){.locations = o->verbose});
    return write_output(o, b.text, b.n);
}

static xf_emission emission(const options *o, const xfc_backend *backend, const xfc_kernel_set *set) {
    return (xf_emission){o->ctx, backend, set, opt_level(o), o->time_passes};
}

static int emit_one(options *o, const xfc_backend *backend, const xfc_graph *g) {
    xfc_blob blob = {0};
    if (o->n_isas != 1 && o->march) return xf_cli_wrong("xfc", "--emit=%s writes one ISA; give one in -march", o->emit);
    const xfc_kernel_set set = xfc_kernel_set_of(&g, 1, o->ctx->arena);
    const xf_emission e = emission(o, backend, &set);
    if (xf_emit_isa(&e, o->isas[o->n_isas - 1], o->emit, &blob) != XFC_OK) return report(o);
    int code = write_output(o, blob.data, blob.n);
    free(blob.data);
    return code;
}

_Static_assert((int)XFC_N_ENTRIES == XF_N_PLANS && (int)XFC_ENTRY_EQUAL == XF_PLAN_EQUAL, "entries are plans");

static int emit_library(options *o, const xfc_backend *backend, const xfc_entries *e) {
    xfc_graph *g = e->graph[XFC_ENTRY_RUN];
    xfc_share_weights(e->graph, XFC_N_ENTRIES);
    const xfc_kernel_set set = xfc_kernel_set_of((const xfc_graph *const *)e->graph, XFC_N_ENTRIES, o->ctx->arena);
    add_gaining(o, backend, &set);
    const xf_emission emit = emission(o, backend, &set);
    xf_notes_store(g, XF_NOTES_IN_ARTEFACT);
    const xf_library library = {.emission = &emit,
                                .isas = o->isas,
                                .n_isas = o->n_isas,
                                .jobs = (uint32_t)o->jobs,
                                .output = o->output,
                                .linker = o->linker,
                                .sidecar = as_sidecar(o),
                                .text = true,
                                .other = o->report,
                                .n_others = o->reports.n};
    xf_emit_library(&library, g);
    return report(o);
}

static const char *pass_names(const options *o) { return o->passes ? o->passes : xfc_pipeline_default[opt_level(o)]; }

static xfc_status transform(options *o, const xfc_backend *backend, xfc_entries *e) {
    const char *checks = o->checks ? o->checks : "", *names = pass_names(o);
    xfc_run_opts run = {.print_before = o->print_before,
                        .print_after = o->print_after,
                        .disable = o->disable,
                        .time = o->time_passes,
                        .bisect_limit = o->bisect_limit,
                        .verify = o->verify || strstr(checks, "verify"),
                        .clone = strstr(checks, "clone") != NULL,
                        .roundtrip = strstr(checks, "roundtrip") != NULL,
                        .passes = o->pass_opts};
    const xf_trade trade = {.backend = backend,
                            .linker = o->linker,
                            .calib = o->calib,
                            .opt_level = opt_level(o),
                            .json = as_json(o),
                            .quiet = o->quiet,
                            .lossy = &o->lossy,
                            .budgets = &o->budgets,
                            .report = o->report,
                            .n_reports = o->reports.n};
    xfc_status s = o->lossy.n ? xf_trade_run(&trade, &e->graph[XFC_ENTRY_RUN], &names, &run) : XFC_OK;
    if (s == XFC_OK) s = xfc_run_entries(e, o->packed_entry, backend->generic, names, &run);
    if (o->explain || o->verbose) xf_notes_print(e->graph[XFC_ENTRY_RUN], as_json(o));
    return s;
}

/* Padding removal changes what a model answers at positions that nobody should read; that is said once. */
static void tell_padding(const options *o, const xfc_graph *g) {
    static const char remedy[] = "padding removed; --unpad=off keeps the model's values";
    xfc_buf text = {.arena = o->ctx->arena};
    if (!xf_padding_text(g, &text)) return;
    xf_note("xfc", as_json(o), xfc_sprintf(o->ctx->arena, "%s (%s)", text.text, remedy));
}

/* The model or its external data, by whatever name. */
static bool replaces_input(const options *o) {
    const char *sidecar = o->output ? xfc_sprintf(o->ctx->arena, "%s.weights", o->output) : NULL;
    const char *lost = o->output && xfc_was_read(o->ctx, o->output) ? o->output : NULL;
    if (!lost && as_sidecar(o) && xfc_was_read(o->ctx, sidecar)) lost = sidecar;
    if (lost) xf_cli_wrong("xfc", "-o %s: '%s' was read and would be lost; choose another -o", o->output, lost);
    return lost != NULL;
}

/* As passes are run on what is written, but exact, and silently. */
static xf_oracle exact_oracle(const options *o, const xfc_backend *backend, const xf_samples *samples) {
    xf_oracle oracle = {.backend = backend,
                        .names = pass_names(o),
                        .linker = o->linker,
                        .run = {.disable = o->disable, .bisect_limit = o->bisect_limit, .passes = o->pass_opts},
                        .opt_level = opt_level(o)};
    oracle.run.passes.compute = XFC_OFF;
    xfc_drop_demands(&oracle.run.passes, "unpad,pre-rmsnorm"); /* what is demanded may hold of another entry */
    xf_oracle_init(&oracle, samples);
    return oracle;
}

/* What --lossy and --compute do together is measured on samples (trade.c). */
static bool measures_both(const options *o) { return o->calib && o->lossy.n; }

/* The exact program runs before the passes do: samples that the model refuses then leave no output. */
static xfc_status measure_exact(const options *o, const xfc_backend *backend, xfc_graph *g, xf_measurement *m) {
    if (measures_both(o) || o->quiet || o->check || o->pass_opts.compute != XFC_FORCE || !writes_library(o))
        return XFC_OK;
    XFC_TRY(o->calib ? xf_samples_read(o->ctx, "--calib", o->calib, 2, g, &m->samples)
                     : xf_samples_make(o->ctx, g, &m->samples));
    xf_oracle oracle = exact_oracle(o, backend, &m->samples);
    return xf_measure_exact(m, &oracle, g);
}

/* What --compute did is said: nothing, or how inexact it is. */
static void tell_compute(const options *o, const xfc_graph *g, xf_measurement *m) {
    bool done = false;
    for (uint32_t i = 0; i < g->n_meta; i += 2) done |= !strcmp(g->meta[i], "compute");
    if (!done)
        xf_note(
            "xfc", as_json(o),
            "--compute=bf16 has no effect: the model has no product of f32 with a weight of an even number of rows, and "
            "no attention whose heads are of an even width");
    else if (measures_both(o))
        return;
    else if (writes_library(o))
        xf_measure_tell(m, o->ctx, "--compute=bf16", as_json(o), o->output);
    else
        xf_note("xfc", as_json(o),
                "--compute=bf16: how far results are off is measured where a file of --emit=lib is written");
}

/* From a graph as read to what was asked for. */
static int build(options *o, const xfc_backend *backend, xfc_entries *e, const char *path) {
    const char *emit = o->emit ? o->emit : "lib";
    for (int i = 0; i < XFC_N_ENTRIES; i++)
        if (e->graph[i] && !add_taps(o, e->graph[i], path)) return 2;
    xf_measurement m = {0};
    if (measure_exact(o, backend, e->graph[XFC_ENTRY_RUN], &m) != XFC_OK) return report(o);
    if (transform(o, backend, e) != XFC_OK || o->ctx->n_errors) return report(o);
    xfc_graph *g = e->graph[XFC_ENTRY_RUN];
    if (o->check) {
        printf("%s: ok: every node can be compiled\n", path);
        return report(o);
    }
    o->emit = emit;
    int code = !strcmp(emit, "lib")  ? emit_library(o, backend, e)
               : !strcmp(emit, "ir") ? emit_ir(o, g)
                                     : emit_one(o, backend, g);
    if (!code && !o->quiet) tell_padding(o, g);
    if (!code && !o->quiet && o->pass_opts.compute == XFC_FORCE) tell_compute(o, g, &m);
    return code;
}

/* With the reports of --lossy, which stand beside their places by then: those that did not go there with the model do it
 * now, or none is left. */
static int build_all(options *o, const xfc_backend *backend, xfc_entries *e, const char *path) {
    const uint32_t n = o->reports.n;
    xfc_outfile **left = xfc_new_array(o->ctx->arena, xfc_outfile *, n);
    uint32_t n_left = 0;
    o->report = xfc_new_array(o->ctx->arena, xfc_outfile, n);
    int code = xf_reports_open(o->ctx, &o->reports, o->report) == XFC_OK ? build(o, backend, e, path) : report(o);
    for (uint32_t i = 0; i < n; i++) {
        if (code) xfc_outfile_drop(&o->report[i]);
        if (o->report[i].named) left[n_left++] = &o->report[i];
    }
    const xfc_outfile *failed = xfc_outfiles_place(o->ctx->arena, left, n_left);
    if (!failed) return code;
    xfc_fail(o->ctx, XFC_ERR_IO, (xfc_loc){.file = failed->path}, "cannot be replaced: %s; choose another --report",
             strerror(errno));
    return report(o);
}

static int compile(options *o, const char *path) {
    const xfc_backend *backend = xfc_backend_find(o->target ? o->target : "cpu");
    if (!split_isas(o, backend)) return 2;
    if (!strcmp(backend->name, "cuda") && (!o->emit || !strcmp(o->emit, "lib"))) {
        fprintf(stderr, "xfc: error: --target=cuda writes PTX only so far; add --emit=ptx\n");
        return 3;
    }
    double start = xf_seconds();
    xfc_entries e;
    read_model(o, path, &e);
    if (o->time_passes) fprintf(stderr, "  import           %9.1f ms\n", (xf_seconds() - start) * 1e3);
    bool good = e.graph[XFC_ENTRY_RUN] && !o->ctx->n_errors;
    if (good && replaces_input(o)) return 2;
    int code = good ? build_all(o, backend, &e, path) : report(o);
    xfc_entries_free(&e);
    return good || code ? code : 1;
}

static bool known_checks(const char *list) {
    static const char *const checks[] = {"verify", "clone", "roundtrip"};
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",");
        bool known = n == 0;
        for (size_t i = 0; i < XFC_COUNT(checks); i++)
            known = known || (strlen(checks[i]) == n && !strncmp(p, checks[i], n));
        if (!known)
            return xf_cli_wrong("xfc", "unknown --check-passes=%.*s; known: verify, clone, roundtrip", (int)n, p),
                   false;
        p += n + (p[n] == ',');
    }
    return true;
}

/* True if wrong, with a message. */
static bool wrong_if(bool wrong, const char *message) {
    if (wrong) xf_cli_wrong("xfc", "%s", message);
    return wrong;
}

static bool wrong_output(const options *o, bool lib) {
    bool binary = lib || !strcmp(o->emit, "obj"), to_stdout = o->output && !strcmp(o->output, "-");
    bool wrong = wrong_if(!o->check && !o->output && binary, "where to? give -o FILE");
    wrong |= wrong_if(as_sidecar(o) && !lib, "--weights=sidecar needs --emit=lib");
    wrong |= wrong_if(as_sidecar(o) && to_stdout, "-o -: --weights=sidecar makes two files; give -o FILE");
    return wrong_if(to_stdout && binary && isatty(1), "-o -: no binary output on a terminal; give -o FILE") || wrong;
}

enum { MOST_REPORTS = 8 };

static bool wrong_lossy(options *o) {
    bool wrong = !xf_budgets_read("xfc", o->ctx, &o->max_error, &o->budgets), samples = false;
    for (uint32_t i = 0; i < o->budgets.n; i++) samples |= o->budgets.item[i].metric != XF_N_METRICS;
    wrong |= wrong_if(o->budgets.n && !o->lossy_words.n, "--max-error: nothing to choose; give --lossy=KIND");
    wrong |= wrong_if(o->budgets.n && !writes_library(o),
                      "--max-error: what is judged is a file of --emit=lib; give -o FILE");
    wrong |= wrong_if(samples && !o->calib, "--max-error: measured on what? give --calib=DIR");
    wrong |= wrong_if(o->reports.n && !o->lossy_words.n, "--report is about --lossy; give --lossy=KIND");
    wrong |= wrong_if(o->reports.n > MOST_REPORTS, "--report: at most 8 files");
    for (uint32_t i = 0; i < o->reports.n && o->output; i++)
        wrong |=
            wrong_if(!strcmp(o->reports.item[i], o->output), "--report: -o writes to the same file; choose another");
    for (uint32_t i = 0; i < o->reports.n; i++)
        wrong |= wrong_if(!xf_has_suffix(o->reports.item[i], ".json") && !xf_has_suffix(o->reports.item[i], ".html"),
                          "--report: by its name a report is .json or .html");
    if (!xf_parse_time(o->eval_timeout ? o->eval_timeout : "600s", &o->budgets.timeout))
        wrong |= wrong_if(true, "--eval-timeout: a time such as 200ms or 60s is needed");
    return wrong;
}

static bool check_options(options *o, const xf_cli_list *files) {
    bool lib = !o->emit || !strcmp(o->emit, "lib"), text = files->n == 1 && xf_has_suffix(files->item[0], ".xf");
    if (files->n != 1) xf_cli_wrong("xfc", "give exactly one model, not %u", files->n);
    bool wrong = wrong_output(o, lib);
    wrong |= wrong_if(o->packed_entry && !lib, "--packed-entry needs --emit=lib");
    bool level = !o->opt || (strlen(o->opt) == 1 && o->opt[0] >= '0' && o->opt[0] <= '3');
    if (!level) xf_cli_wrong("xfc", "unknown level -O%s; known: -O0 to -O3", o->opt);
    wrong |= !level || !known_checks(o->checks);
    o->bisect_limit = -1;
    wrong |= !xf_cli_int("xfc", "-j", o->j, 1, 256, &o->jobs);
    wrong |= !xf_cli_int("xfc", "--bisect-limit", o->bisect, 0, INT64_MAX, &o->bisect_limit);
    xf_pass_words_read(&o->pass_words, &o->pass_opts);
    wrong |= wrong_lossy(o);
    wrong |= !xf_lossy_read("xfc", o->ctx, &o->lossy_words, &o->lossy);
    o->pass_opts.lossy = &o->lossy;
    wrong |= wrong_if(o->calib && o->pass_opts.compute != XFC_FORCE && !o->lossy.n,
                      "--calib: no option makes results inexact; give --lossy or --compute=bf16, or leave it out");
    wrong |=
        wrong_if(o->calib && !writes_library(o), "--calib: what is measured is a file of --emit=lib; give -o FILE");
    const xf_pass_names names = {"--passes", o->passes, o->disable, o->print_before, o->print_after};
    wrong |= !xf_pass_names_check("xfc", &names);
    wrong |=
        wrong_if(text && (o->dims.n || o->shapes.n || o->overridable || o->follow_links),
                 "--dim, --shape, --overridable and --follow-links are for ONNX models; IR text says its dims itself");
    return !wrong && files->n == 1;
}

static const char *march_help(xfc_arena *arena) {
    return xfc_sprintf(arena,
                       "variants in the file, best one chosen at load:\n%s\n(default: all that are a level; one with a "
                       "feature beside\nit where the model has use for it); native: the best that\nruns here",
                       xfc_backend_isas(&xfc_backend_cpu, arena, ","));
}

static int run(int argc, char **argv, xfc_leftovers *leftovers) {
    options o = {.ctx = xfc_ctx_new()};
    o.ctx->leftovers = leftovers;
    const xf_cli_option table[] = {
        {XF_CLI_SECTION, "output", NULL, NULL, NULL},
        {XF_CLI_TEXT, "o", "FILE", "the output, literally this file; - is stdout", &o.output},
        {XF_CLI_TEXT, "emit", "lib|obj|asm|llvm|ptx|ir", "what to write (default lib)", &o.emit},
        {XF_CLI_TEXT, "weights", "embed|sidecar", "inside the .so (default), or in FILE.so.weights beside it",
         &o.weights},
        {XF_CLI_SECTION, "target", NULL, NULL, NULL},
        {XF_CLI_TEXT, "target", "cpu|cuda", "default cpu; cuda is PTX text", &o.target},
        {XF_CLI_TEXT, "march", "LIST", march_help(o.ctx->arena), &o.march},
        {XF_CLI_TEXT, "O", "LEVEL", "0 to 3 (default 2)", &o.opt},
        {XF_CLI_TEXT, "j", "N", "make so many parts of the code at once (default: one for each CPU)", &o.j},
        {XF_CLI_TEXT, "linker", "PROGRAM", "C compiler driver that links (default: cc, gcc or clang)", &o.linker},
        {XF_CLI_SECTION, "shapes", NULL, NULL, NULL},
        {XF_CLI_LIST, "dim", "NAME=N|LO..HI", "fix or bound a named dimension, e.g. --dim batch=1..64", &o.dims},
        {XF_CLI_LIST, "shape", "INPUT=SHAPE", "dims of an input, e.g. --shape ids=?x1..512", &o.shapes},
        {XF_CLI_FLAG, "overridable", NULL, "initializers that are also inputs stay inputs", &o.overridable},
        {XF_CLI_FLAG, "follow-links", NULL, "external data may be a symbolic link", &o.follow_links},
        {XF_CLI_FLAG, "packed-entry", NULL, "also take batches that were never padded: run_packed of the C API",
         &o.packed_entry},
        {XF_CLI_SECTION, "passes", NULL, NULL, NULL},
        {XF_CLI_TEXT, "passes", "LIST", "run exactly these passes, in order", &o.passes},
        {XF_CLI_TEXT, "disable-pass", "LIST", "leave out optional passes", &o.disable},
#define XFC_OPTION(field, name, words, pass, help) XF_PASS_OPTION(&o.pass_words, field, name, words, help)
#include "passes/options.def"
#undef XFC_OPTION
        {XF_CLI_LIST, "lossy", "KIND[:KEY=VALUE,...]", xf_lossy_help, &o.lossy_words},
        {XF_CLI_LIST, "max-error", "METRIC:X[@OUTPUT]",
         "find the strongest setting of --lossy that keeps this on\nsamples it was not chosen by: cos, rel, abs, top1, kl;\nmetric, of --eval; several hold together",
         &o.max_error},
        {XF_CLI_TEXT, "eval", "COMMAND",
         "prints a number about the model {so}; more is better; {half} is\nchoose or judge: by which data",
         &o.budgets.eval},
        {XF_CLI_TEXT, "eval-timeout", "TIME", "of each run of it (default 600s)", &o.eval_timeout},
        {XF_CLI_LIST, "report", "FILE.json|FILE.html", "what --lossy tried and did, as JSON or as a page to look at",
         &o.reports},
        {XF_CLI_TEXT, "calib", "DIR",
         "samples of inputs: .npz files, or folders with input_0.pb ...; an option\nthat makes results inexact is measured on them",
         &o.calib},
        {XF_CLI_FLAG, "list-passes", NULL, "print the table of passes", &o.list_passes},
        {XF_CLI_TEXT, "print-ir-before", "PASS", "print the graph before a pass, or before all", &o.print_before},
        {XF_CLI_TEXT, "print-ir-after", "PASS", "after a pass, all, or change (those that changed it)", &o.print_after},
        {XF_CLI_FLAG, "time-passes", NULL, "time of each pass and of emission", &o.time_passes},
        {XF_CLI_TEXT, "bisect-limit", "N", "run only the first N optional passes", &o.bisect},
        {XF_CLI_FLAG, "verify-ir", NULL, "check the graph after every pass", &o.verify},
        {XF_CLI_TEXT, "check-passes", "LIST", "test modes after every pass: verify,clone,roundtrip", &o.checks},
        {XF_CLI_SECTION, "reporting", NULL, NULL, NULL},
        {XF_CLI_FLAG, "explain", NULL, "print what passes did and what they refused, with the reasons", &o.explain},
        {XF_CLI_LIST, "tap", "GLOB", "keep values whose ONNX name or node matches, as further outputs", &o.taps},
        {XF_CLI_FLAG, "check", NULL, "import and transform only; lists all unsupported nodes", &o.check},
        {XF_CLI_TEXT, "diagnostics", "text|json", "default text; json: one object a line", &o.diagnostics},
        {XF_CLI_FLAG, "v", NULL, "say more: as --explain; --emit=ir with node locations", &o.verbose},
        {XF_CLI_FLAG, "q", NULL, "say nothing but errors", &o.quiet},
    };
    const xf_cli cli = {
        "xfc",
        "[options] MODEL.onnx -o MODEL.so",
        "Compiles an ONNX model (or IR text, .xf) to one shared object with one symbol, xf_get_api.\n"
        "Exit codes: 0 ok, 1 model error, 2 usage, 3 unsupported operator or type, 4 I/O, 5 verification,\n"
        "70 internal error.",
        "  xfc bert.onnx -o bert.so\n  xfc bert.onnx -o bert.so --dim batch=1 --dim sequence=1..512 -march=x86-64-v3\n"
        "  xfc bert.onnx --check\n  xfc bert.onnx --target=cuda --emit=ptx -o bert.ptx\n",
        table,
        XFC_COUNT(table)};
    xf_cli_list files = {0};
    int stop = xf_cli_parse(&cli, o.ctx, argc, argv, &files), code;
    if (stop)
        code = stop - 1;
    else if (o.list_passes)
        code = xf_pass_list();
    else
        code = check_options(&o, &files) ? 0 : 2;
    if (!stop && !code && !o.list_passes) code = compile(&o, files.item[0]);
    xfc_ctx_free(o.ctx);
    return code;
}

int main(int argc, char **argv) { return xf_guarded("xfc", run, argc, argv); }

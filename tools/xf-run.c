/* xf-run.c - runs a compiled model: on files or random inputs, against test data or the model's own meaning, or against
 * the clock.
 *
 * Options are one table; each mode is one function. What the model has to be given is checked by the model itself (its
 * messages name the input); here only names and files are resolved.
 */
#include "runtime/runtime.h"
#include "tools/run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    xf_cli_list inputs, outputs, expected, shapes, dims;
    const char *test_data, *compare, *rtol, *atol, *warmup, *duration, *iters, *threads, *isa, *weights, *profile, *tap,
        *seed, *max_id, *ulp, *lengths, *pad_id, *contexts, *cu_seqlens;
    bool list, bench, json, per_node, signature, strict_padding, packed;
} options;

typedef struct {
    options o;
    xf_tolerance tol;
    xf_random_opts random;
    xf_lengths lengths;
    xf_fill fill;
    int32_t threads, contexts;
    xf_runner r;
    xf_ctx *ctx;
    const xfc_tensor **in, **out;
} run;

static const char about[] = "Runs a model compiled by xfc. With --input files or values it prints or writes the "
                            "outputs; inputs that are not given are made\n"
                            "up when --shape (or the dims they share with given ones) says how large. Exit code: 0 ok, "
                            "1 the model or its inputs are wrong,\n"
                            "2 usage, 4 a file cannot be read or written, 5 results differ.";
static const char examples[] =
    "  xf-run model.so --list                                      # what goes in, what comes out\n"
    "  xf-run model.so --input input_ids=1x4xi64=\"101 7592 2088 102\" --input attention_mask=1x4xi64=1\n"
    "  xf-run model.so --input input_ids=@ids.npy --input attention_mask=@mask.npy --output out=@out.npy\n"
    "  xf-run model.so --test-data model/                          # every test_data_set_N below it\n"
    "  xf-run model.so --bench --shape input_ids=8x128 --threads=1 --json\n"
    "  xf-run model.so --compare model.onnx --per-node --shape input_ids=2x7   # which node goes wrong?\n";

/* --- options --- */

static int parse_options(options *o, xfc_arena *arena, int argc, char **argv, xf_cli_list *rest) {
    const xf_cli_option table[] = {
        {XF_CLI_SECTION, "inputs and outputs", NULL, NULL, NULL},
        {XF_CLI_LIST, "input", "NAME=SPEC",
         "@FILE.npy, @FILE.pb, or dims, type and values: 1x4xi64=1 2 3 4;\none value fills all; the type may be left "
         "out",
         &o->inputs},
        {XF_CLI_LIST, "output", "NAME=@FILE.npy", "write this output", &o->outputs},
        {XF_CLI_LIST, "expected", "NAME=@FILE", "compare this output with a .npy or .pb file", &o->expected},
        {XF_CLI_TEXT, "test-data", "DIR",
         "a test_data_set_N folder (input_0.pb ... output_0.pb; .npy; inputs.npz\nand outputs.npz), or a folder of "
         "several",
         &o->test_data},
        {XF_CLI_TEXT, "rtol", "X",
         "results are right if |a - b| <= atol + rtol |b|; default 1e-3,\n1e-2 of f16, 5e-2 of bf16, 0 of integers; NaN equals NaN",
         &o->rtol},
        {XF_CLI_TEXT, "atol", "X", "(default 1e-5; 1e-2 of f16, 5e-2 of bf16, 0 of integers)", &o->atol},
        {XF_CLI_TEXT, "ulp", "?N",
         "print distances in units of the last place, the largest and how many of each\nsize; with N: results are right "
         "if at most so far, whatever rtol and atol",
         &o->ulp},
        {XF_CLI_FLAG, "strict-padding", NULL,
         "compare rows too where the model says that they are 0 because a mask is\n(--test-data, --compare, --expected "
         "leave them out)",
         &o->strict_padding},
        {XF_CLI_LIST, "shape", "NAME=8x128",
         "make this input up; dims of the same name follow. Integers are uniform in\n[0, --max-id), masks 1, token "
         "types 0; floats uniform in [-1, 1)",
         &o->shapes},
        {XF_CLI_TEXT, "random-seed", "N", "for made-up inputs (default 1)", &o->seed},
        {XF_CLI_TEXT, "max-id", "N", "made-up integers are below it (default 100)", &o->max_id},
        {XF_CLI_TEXT, "lengths", "LAW",
         "how long sequences are in made-up masks [batch, ..., position]: full;\nzipf:N (1 to N, probability as 1 / "
         "length), uniform:F (F times the\ninput's length to all of it), list:5,9,... (one for each sequence)",
         &o->lengths},
        {XF_CLI_TEXT, "pad-id", "N", "--lengths: made-up ids behind the end of a sequence (default: as others)",
         &o->pad_id},
        {XF_CLI_SECTION, "how to run", NULL, NULL, NULL},
        {XF_CLI_FLAG, "packed", NULL,
         "through the packed entry (xfc --packed-entry): inputs are packed as their\nmask says, outputs padded again",
         &o->packed},
        {XF_CLI_TEXT, "cu-seqlens", "SPEC",
         "--packed: --input gives packed tensors, and this i32[sequences + 1] where each\nsequence begins; outputs stay "
         "packed",
         &o->cu_seqlens},
        {XF_CLI_TEXT, "threads", "N", "default: XF_NUM_THREADS, OMP_NUM_THREADS, then the CPUs allowed", &o->threads},
        {XF_CLI_TEXT, "isa", "NAME", "force a code variant, such as x86-64-v3", &o->isa},
        {XF_CLI_TEXT, "weights", "FILE", "weights that are not inside the .so", &o->weights},
        {XF_CLI_SECTION, "time", NULL, NULL, NULL},
        {XF_CLI_FLAG, "bench", NULL, "time many runs", &o->bench},
        {XF_CLI_TEXT, "warmup", "TIME", "before the timing starts (default 200ms, at least one run)", &o->warmup},
        {XF_CLI_TEXT, "duration", "TIME", "of the timing (default 3s, at least 10 runs)", &o->duration},
        {XF_CLI_TEXT, "iters", "N", "exactly so many runs instead", &o->iters},
        {XF_CLI_TEXT, "contexts", "N",
         "--bench: so many contexts at once, each in a thread of its own; their\noutputs must have the same bits "
         "(else exit code 5)",
         &o->contexts},
        {XF_CLI_FLAG, "json", NULL,
         "--bench: one JSON object: median_ms min_ms p90_ms p99_ms iterations\nthreads isa open_ms workspace_bytes; with --contexts also contexts\nruns_per_s, with --lengths tokens positions fill",
         &o->json},
        {XF_CLI_TEXT, "profile", "FILE", "write the time of each kernel as JSON (- for stdout)", &o->profile},
        {XF_CLI_SECTION, "look inside", NULL, NULL, NULL},
        {XF_CLI_FLAG, "list", NULL, "inputs, outputs and code variant, then stop", &o->list},
        {XF_CLI_FLAG, "signature", NULL, "the same as JSON", &o->signature},
        {XF_CLI_TEXT, "tap", "GLOB", "print the result of each kernel that holds a node matching GLOB", &o->tap},
        {XF_CLI_TEXT, "compare", "MODEL", "run the interpreter on this model beside the .so and compare outputs",
         &o->compare},
        {XF_CLI_FLAG, "per-node", NULL, "--compare: compare kernel by kernel, and name the first that differs",
         &o->per_node},
        {XF_CLI_LIST, "dim", "NAME=N", "--compare: as given to xfc", &o->dims},
    };
    const xf_cli cli = {"xf-run", "MODEL.so [options]", about, examples, table, (uint32_t)XFC_COUNT(table)};
    return xf_cli_parse(&cli, arena, argc, argv, rest);
}

static bool parse_double(const char *text, double absent, double *out) {
    char *end;
    *out = text ? strtod(text, &end) : absent;
    return !text || (end != text && !*end && *out >= 0);
}

static bool parse_int(const char *text, long long absent, long long lo, long long hi, long long *out) {
    char *end;
    *out = text ? strtoll(text, &end, 10) : absent;
    return !text || (end != text && !*end && *out >= lo && *out <= hi);
}

static bool parse_numbers(run *x) {
    long long threads, seed, max_id, pad_id, contexts;
    if (!parse_double(x->o.rtol, -1, &x->tol.rtol) || !parse_double(x->o.atol, -1, &x->tol.atol)) return false;
    long long ulps;
    if (!parse_int(x->o.ulp && *x->o.ulp ? x->o.ulp : NULL, 0, 0, INT64_MAX, &ulps)) return false;
    x->tol.show_ulps = x->o.ulp != NULL;
    x->tol.in_ulps = x->o.ulp && *x->o.ulp;
    x->tol.max_ulps = (uint64_t)ulps;
    x->tol.strict_padding = x->o.strict_padding;
    if (!parse_int(x->o.threads, 0, 1, XF_MAX_THREADS, &threads) || !parse_int(x->o.seed, 1, 0, INT64_MAX, &seed))
        return false;
    if (!parse_int(x->o.max_id, 100, 1, INT32_MAX, &max_id)) return false;
    if (!parse_int(x->o.pad_id, -1, 0, INT32_MAX, &pad_id) || !parse_int(x->o.contexts, 1, 1, 1024, &contexts))
        return false;
    x->threads = xf_thread_count((int32_t)threads);
    x->contexts = (int32_t)contexts;
    x->random = (xf_random_opts){(uint64_t)seed, max_id, pad_id, x->o.lengths ? &x->lengths : NULL};
    return true;
}

/* What is wrong with the command line; NULL: nothing. */
static const char *check_usage(run *x, xfc_arena *arena, const xf_cli_list *files) {
    if (files->n != 1) return "expected one MODEL.so";
    if (!parse_numbers(x)) return "an option's number is no number or out of range";
    if (x->o.lengths && !xf_lengths_parse(arena, x->o.lengths, &x->lengths))
        return "--lengths is full, zipf:N, uniform:F with F from 0 to 1, or list:N,N,...";
    if (x->o.packed && x->o.per_node) return "--per-node looks at the padded entry: leave --packed out";
    if (x->o.cu_seqlens && !x->o.packed) return "--cu-seqlens needs --packed";
    if (x->o.cu_seqlens && (x->o.shapes.n || x->o.lengths || x->o.compare || x->o.test_data))
        return "--cu-seqlens takes its inputs from --input: leave --shape, --lengths, --compare and --test-data out";
    if (x->o.pad_id && !x->o.lengths) return "--pad-id needs --lengths";
    if (x->contexts > 1 && (!x->o.bench || x->o.profile)) return "--contexts needs --bench, and no --profile";
    return NULL;
}

/* --- names --- */

static xfc_status no_such(run *x, const char *option, const char *text, bool output) {
    xfc_buf b = {.arena = x->r.ctx->arena};
    for (uint32_t i = 0; i < (output ? x->r.n_out : x->r.n_in); i++)
        xfc_buf_printf(&b, "%s'%s'", i ? ", " : "",
                       (output ? x->r.api->output_info : x->r.api->input_info)(x->r.model, i)->name);
    return xfc_fail(x->r.ctx, XFC_ERR_INPUT, (xfc_loc){.file = x->r.path}, "%s %s: the model has no such %s; it has %s",
                    option, text, output ? "output" : "input", b.text ? b.text : "none");
}

/* NAME=REST where NAME is an input or output; names may hold '=', so the longest match wins. */
static int split(run *x, const char *text, bool output, const char **rest) {
    int found = -1;
    for (const char *eq = strchr(text, '='); eq; eq = strchr(eq + 1, '=')) {
        const char *name = xfc_intern_n(x->r.ctx->strings, text, (size_t)(eq - text));
        int at = output ? xf_find_output(&x->r, name) : xf_find_input(&x->r, name);
        if (at < 0) continue;
        found = at;
        *rest = eq + 1;
    }
    return found;
}

static xfc_status read_inputs(run *x) {
    if (x->o.cu_seqlens) return xf_take_packed(&x->r, x->o.cu_seqlens, &x->o.inputs);
    for (uint32_t i = 0; i < x->o.inputs.n; i++) {
        const char *spec = NULL;
        int at = split(x, x->o.inputs.item[i], false, &spec);
        if (at < 0) return no_such(x, "--input", x->o.inputs.item[i], false);
        const xf_io_info *info = x->r.api->input_info(x->r.model, (size_t)at);
        xfc_dtype declared;
        if (!xf_dtype_known(info->dtype, &declared)) declared = XFC_F32;
        XFC_TRY(
            xf_read_spec(x->r.ctx, xfc_sprintf(x->r.ctx->arena, "--input %s", info->name), spec, declared, &x->in[at]));
    }
    return xf_complete_inputs(&x->r, &x->o.shapes, &x->random, x->in, &x->fill);
}

/* --- modes --- */

static void on_tap(void *user, const char *node, int32_t output, const xf_tensor *value) {
    run *x = user;
    const xfc_tensor *t = xf_tensor_copy(x->r.ctx, value, NULL);
    if (t) xf_print_tensor(xfc_sprintf(x->r.ctx->arena, "node output %d of", (int)output), node, t);
}

/* --output and --expected: checked before anything runs. */
static xfc_status check_files(run *x, const xf_cli_list *list, const char *option) {
    for (uint32_t i = 0; i < list->n; i++) {
        const char *file = NULL;
        if (split(x, list->item[i], true, &file) < 0) return no_such(x, option, list->item[i], true);
        if (file[0] != '@' || !file[1])
            return xfc_fail(x->r.ctx, XFC_ERR_INPUT, (xfc_loc){.file = x->r.path}, "%s %s: expected NAME=@FILE", option,
                            list->item[i]);
    }
    return XFC_OK;
}

static xfc_status write_outputs(run *x) {
    for (uint32_t i = 0; i < x->o.outputs.n; i++) {
        const char *file = NULL;
        int at = split(x, x->o.outputs.item[i], true, &file);
        XFC_TRY(xf_npy_write(x->r.ctx, file + 1, x->out[at]));
    }
    return XFC_OK;
}

static xfc_status check_expected(run *x) {
    bool right = true;
    for (uint32_t i = 0; i < x->o.expected.n; i++) {
        const char *file = NULL;
        const xfc_tensor *want;
        int at = split(x, x->o.expected.item[i], true, &file);
        XFC_TRY(xf_read_tensor(x->r.ctx, file + 1, &want));
        const char *name = x->r.api->output_info(x->r.model, (size_t)at)->name;
        xf_padding padding = xf_padding_of(&x->r, name, x->out[at], x->in, x->tol);
        right = xf_report("output", name, x->out[at], want, x->tol, padding) && right;
    }
    return right ? XFC_OK : XFC_ERR_VERIFY;
}

static void print_fill(const run *x) {
    if (x->fill.known)
        printf("lengths %s: %lld sequences, %lld tokens of %lld positions\n", x->lengths.text,
               (long long)x->fill.sequences, (long long)x->fill.tokens, (long long)x->fill.positions);
}

static xfc_status run_once(run *x) {
    XFC_TRY(check_files(x, &x->o.outputs, "--output"));
    XFC_TRY(check_files(x, &x->o.expected, "--expected"));
    if (x->o.tap) x->r.api->set_tap(x->ctx, x->o.tap, on_tap, x);
    if (x->o.profile) x->r.api->profile_start(x->ctx);
    XFC_TRY(xf_runner_run(&x->r, x->ctx, x->in, x->out));
    if (x->o.profile) XFC_TRY(xf_write_profile(&x->r, x->ctx, x->o.profile));
    if (!x->o.profile) print_fill(x);
    if (!x->o.outputs.n && !x->o.expected.n && !x->o.profile)
        for (uint32_t i = 0; i < x->r.n_out; i++)
            xf_print_tensor("output", x->r.api->output_info(x->r.model, i)->name, x->out[i]);
    XFC_TRY(write_outputs(x));
    return check_expected(x);
}

static xfc_status dispatch(run *x) {
    x->r.packed = x->o.packed;
    if (x->o.list || x->o.signature) {
        if (x->o.signature)
            fputs(x->r.api->signature_json(x->r.model), stdout);
        else
            xf_runner_list(&x->r);
        return XFC_OK;
    }
    XFC_TRY(xf_runner_context(&x->r, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = x->threads},
                              &x->ctx));
    if (x->o.test_data) return xf_test_data(&x->r, x->ctx, x->o.test_data, x->tol);
    x->in = xfc_new_array(x->r.ctx->arena, const xfc_tensor *, x->r.n_in);
    x->out = xfc_new_array(x->r.ctx->arena, const xfc_tensor *, x->r.n_out);
    XFC_TRY(read_inputs(x));
    if (x->o.compare) print_fill(x);
    if (x->o.compare) return xf_compare_model(&x->r, x->ctx, x->o.compare, &x->o.dims, x->o.per_node, x->in, x->tol);
    if (!x->o.bench) return run_once(x);
    const xf_bench_opts bench = {.warmup = x->o.warmup ? x->o.warmup : "200ms",
                                 .duration = x->o.duration ? x->o.duration : "3s",
                                 .iters = x->o.iters,
                                 .profile = x->o.profile,
                                 .threads = x->threads,
                                 .contexts = x->contexts,
                                 .json = x->o.json,
                                 .fill = x->fill};
    return xf_bench(&x->r, x->ctx, x->in, &bench);
}

int main(int argc, char **argv) {
    run x = {0};
    xf_cli_list rest = {0};
    xfc_ctx *ctx = xfc_ctx_new();
    int stop = parse_options(&x.o, ctx->arena, argc, argv, &rest);
    const char *wrong = stop ? NULL : check_usage(&x, ctx->arena, &rest);
    if (wrong) {
        fprintf(stderr, "xf-run: error: %s; see xf-run --help\n", wrong);
        stop = 1 + 2;
    }
    if (stop) {
        xfc_ctx_free(ctx);
        return stop - 1;
    }
    const xf_open_opts open = {.struct_size = sizeof open, .isa = x.o.isa, .weights_path = x.o.weights};
    xfc_status status = xf_runner_open(&x.r, ctx, rest.item[0], &open);
    if (status == XFC_OK) status = dispatch(&x);
    if (fflush(stdout) != 0 && status == XFC_OK)
        status = xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){0}, "standard output cannot be written");
    xfc_diags_print(ctx, stderr, false);
    if (x.ctx) x.r.api->ctx_destroy(x.ctx);
    xf_runner_close(&x.r);
    xfc_ctx_free(ctx);
    return xfc_exit_code(status);
}

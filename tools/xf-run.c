/* xf-run.c - runs a compiled model: on files or random inputs, against test data or the model's own meaning, or against
 * the clock.
 *
 * Options are one table; each mode is one function. What the model has to be given is checked by the model itself (its
 * messages name the input); here only names and files are resolved.
 */
#include "ir/base/nearest.h"
#include "runtime/runtime.h"
#include "tools/guard.h"
#include "tools/lossy/lossy.h"
#include "tools/run/run.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    xf_cli_list inputs, outputs, expected, shapes, dims, max_error;
    const char *data, *test_data, *compare, *rtol, *atol, *warmup, *duration, *iters, *threads, *isa, *weights,
        *profile, *tap, *seed, *max_id, *ulp, *lengths, *pad_id, *contexts, *cu_seqlens, *prompt_ids, *max_new, *end_id;
    bool list, bench, generate, json, per_node, signature, strict_padding, packed;
} options;

typedef struct {
    options o;
    xf_tolerance tol;
    xf_random_opts random;
    xf_budgets budgets;
    xf_lengths lengths;
    xf_fill fill;
    int32_t threads, contexts;
    double warmup, duration; /* of --bench, as iters */
    int64_t iters;
    xf_generate_opts generate;
    bool tapped; /* --tap matched something */
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
    "  xf-run decoder.so --generate --prompt-ids=15496,11 --max-new=64\n"
    "  xf-run model.so --compare model.onnx --per-node --shape input_ids=2x7   # which node goes wrong?\n";

/* --- options --- */

static int parse_options(options *o, xfc_ctx *ctx, int argc, char **argv, xf_cli_list *rest) {
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
        {XF_CLI_SECTION, "text", NULL, NULL, NULL},
        {XF_CLI_FLAG, "generate", NULL,
         "greedy decoding with a cache: input_ids, masks and positions are filled, and\npast_key_values.N.* gets what "
         "present.N.* was; tokens per second are told of the\nprompt and of the steps behind it",
         &o->generate},
        {XF_CLI_TEXT, "prompt-ids", "N,N,...", "--generate: the tokens to begin with", &o->prompt_ids},
        {XF_CLI_TEXT, "max-new", "N", "--generate: so many tokens at most (default 64)", &o->max_new},
        {XF_CLI_TEXT, "end-id", "N", "--generate: stop behind this token", &o->end_id},
        {XF_CLI_SECTION, "look inside", NULL, NULL, NULL},
        {XF_CLI_FLAG, "list", NULL, "inputs, outputs and code variant, then stop", &o->list},
        {XF_CLI_FLAG, "signature", NULL, "the same as JSON", &o->signature},
        {XF_CLI_TEXT, "tap", "GLOB", "print the result of each kernel that holds a node matching GLOB", &o->tap},
        {XF_CLI_TEXT, "compare", "MODEL", "run the interpreter on this model beside the .so and compare outputs",
         &o->compare},
        {XF_CLI_FLAG, "per-node", NULL, "--compare: compare kernel by kernel, and name the first that differs",
         &o->per_node},
        {XF_CLI_TEXT, "data", "DIR",
         "--compare: how far results are from those of the exact program, compiled as\nxfc does by default, on samples: .npz files, or folders with input_0.pb ...",
         &o->data},
        {XF_CLI_LIST, "max-error", "METRIC:X[@OUTPUT]", "--data: exit code 5 if they are further, as xfc takes it",
         &o->max_error},
        {XF_CLI_LIST, "dim", "NAME=N", "--compare: as given to xfc", &o->dims},
    };
    const xf_cli cli = {"xf-run", "MODEL.so [options]", about, examples, table, (uint32_t)XFC_COUNT(table)};
    return xf_cli_parse(&cli, ctx, argc, argv, rest);
}

static bool parse_time(const char *option, const char *text, const char *absent, double *out) {
    if (xf_parse_time(text ? text : absent, out)) return true;
    return xf_cli_wrong("xf-run", "%s '%s': a time such as 200ms or 3s is needed", option, text), false;
}

static bool parse_numbers(run *x) {
    static const char tool[] = "xf-run";
    const options *o = &x->o;
    int64_t threads = 0, seed = 1, max_id = 100, pad_id = -1, contexts = 1, ulps = 0;
    x->tol = (xf_tolerance){.rtol = -1, .atol = -1, .strict_padding = o->strict_padding};
    x->tol.show_ulps = o->ulp != NULL;
    x->tol.in_ulps = o->ulp && *o->ulp;
    bool ok = xf_cli_tolerance(tool, "--rtol", o->rtol, &x->tol.rtol);
    ok = xf_cli_tolerance(tool, "--atol", o->atol, &x->tol.atol) && ok;
    ok = xf_cli_int(tool, "--ulp", x->tol.in_ulps ? o->ulp : NULL, 0, INT64_MAX, &ulps) && ok;
    ok = xf_cli_int(tool, "--threads", o->threads, 1, XF_MAX_THREADS, &threads) && ok;
    ok = xf_cli_int(tool, "--random-seed", o->seed, 0, INT64_MAX, &seed) && ok;
    ok = xf_cli_int(tool, "--max-id", o->max_id, 1, INT32_MAX, &max_id) && ok;
    ok = xf_cli_int(tool, "--pad-id", o->pad_id, 0, INT32_MAX, &pad_id) && ok;
    ok = xf_cli_int(tool, "--contexts", o->contexts, 1, 1024, &contexts) && ok;
    ok = xf_cli_int(tool, "--iters", o->iters, 1, INT32_MAX, &x->iters) && ok;
    x->generate = (xf_generate_opts){.max_new = 64, .end_id = -1};
    ok = xf_cli_int(tool, "--max-new", o->max_new, 1, INT32_MAX, &x->generate.max_new) && ok;
    ok = xf_cli_int(tool, "--end-id", o->end_id, 0, INT64_MAX, &x->generate.end_id) && ok;
    ok = parse_time("--warmup", o->warmup, "200ms", &x->warmup) && ok;
    ok = parse_time("--duration", o->duration, "3s", &x->duration) && ok;
    x->tol.max_ulps = (uint64_t)ulps;
    x->threads = xf_thread_count((int32_t)threads);
    x->contexts = (int32_t)contexts;
    x->random = (xf_random_opts){(uint64_t)seed, max_id, pad_id, o->lengths ? &x->lengths : NULL};
    return ok;
}

static bool parse_prompt(run *x, xfc_arena *arena) {
    const char *s = x->o.prompt_ids;
    int64_t *id = xfc_new_array(arena, int64_t, strlen(s) + 1), n = 0;
    do {
        char *end;
        errno = 0;
        id[n++] = strtoll(s, &end, 10);
        if (*s < '0' || *s > '9' || errno || (*end && *end != ',')) return false;
        s = *end ? end + 1 : end;
    } while (s[-1] == ',' || *s);
    x->generate.prompt = id;
    x->generate.n_prompt = n;
    return true;
}

/* What is wrong with the command line; NULL: nothing. */
static const char *check_usage(run *x, xfc_arena *arena, const xf_cli_list *files) {
    if (files->n != 1) return "expected one MODEL.so";
    if (x->o.lengths && !xf_lengths_parse(arena, x->o.lengths, &x->lengths))
        return "--lengths is full, zipf:N, uniform:F with F from 0 to 1, or list:N,N,...";
    if (x->o.packed && x->o.per_node) return "--per-node looks at the padded entry: leave --packed out";
    if (x->o.cu_seqlens && !x->o.packed) return "--cu-seqlens needs --packed";
    if (x->o.cu_seqlens && (x->o.shapes.n || x->o.lengths || x->o.compare || x->o.test_data))
        return "--cu-seqlens takes its inputs from --input: leave --shape, --lengths, --compare and --test-data out";
    if (x->o.data && (!x->o.compare || x->o.per_node || x->o.packed || x->o.bench || x->o.inputs.n || x->o.shapes.n))
        return "--data needs --compare=MODEL, and takes its inputs from the samples: leave --input, --shape, --per-node, "
               "--packed and --bench out";
    if (x->o.max_error.n && !x->o.data) return "--max-error needs --data";
    if (x->o.pad_id && !x->o.lengths) return "--pad-id needs --lengths";
    if (x->o.tap && (x->o.bench || x->o.compare || x->o.test_data))
        return "--tap looks at one run: leave --bench, --compare and --test-data out";
    if (!x->o.generate != !x->o.prompt_ids) return "--generate and --prompt-ids need each other";
    if (x->o.prompt_ids && !parse_prompt(x, arena))
        return "--prompt-ids is a list of whole numbers such as 101,7592,102";
    if (!x->o.generate && (x->o.max_new || x->o.end_id)) return "--max-new and --end-id need --generate";
    if (x->o.generate && (x->o.bench || x->o.compare || x->o.test_data || x->o.packed || x->o.outputs.n ||
                          x->o.expected.n || x->o.tap || x->o.lengths))
        return "--generate prints tokens: leave --bench, --compare, --test-data, --packed, --output, --expected, --tap and "
               "--lengths out";
    if (x->contexts > 1 && (!x->o.bench || x->o.profile)) return "--contexts needs --bench, and no --profile";
    return NULL;
}

/* --- names --- */

static xfc_status no_such(run *x, const char *option, const char *text, bool output) {
    xfc_buf b = {.arena = x->r.ctx->arena};
    xfc_nearest near = {.wanted = text, .n = strcspn(text, "=")};
    for (uint32_t i = 0; i < (output ? x->r.n_out : x->r.n_in); i++) {
        const char *name = (output ? x->r.api->output_info : x->r.api->input_info)(x->r.model, i)->name;
        xfc_buf_printf(&b, "%s'%s'", i ? ", " : "", name);
        xfc_nearest_offer(&near, name);
    }
    return xfc_fail(x->r.ctx, XFC_ERR_INPUT, (xfc_loc){.file = x->r.path},
                    "%s %s: the model has no such %s; it has %s%s", option, text, output ? "output" : "input",
                    b.text ? b.text : "none", xfc_did_you_mean(x->r.ctx->arena, &near, ""));
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

static xfc_status read_given(run *x) {
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
    return XFC_OK;
}

static xfc_status read_inputs(run *x) {
    if (x->o.cu_seqlens) return xf_take_packed(&x->r, x->o.cu_seqlens, &x->o.inputs);
    XFC_TRY(read_given(x));
    return xf_complete_inputs(&x->r, &x->o.shapes, &x->random, x->in, &x->fill);
}

/* --- modes --- */

static void on_tap(void *user, const char *node, int32_t output, const xf_tensor *value) {
    run *x = user;
    x->tapped = true;
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
        XFC_TRY(xf_read_tensor_as(x->r.ctx, file + 1, x->out[at]->dtype, &want));
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
    if (x->o.tap && !x->tapped)
        return xfc_fail(x->r.ctx, XFC_ERR_INPUT, (xfc_loc){.file = x->r.path},
                        "--tap=%s matches no node of the model; xf-dump --plan names them", x->o.tap);
    return check_expected(x);
}

static xfc_status generate(run *x) {
    XFC_TRY(read_given(x));
    x->generate.profile = x->o.profile;
    x->generate.threads = x->threads;
    x->generate.json = x->o.json;
    return xf_generate(&x->r, x->ctx, &x->o.shapes, &x->random, x->in, &x->generate);
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
    if (x->o.data) return xf_compare_data(&x->r, x->o.compare, &x->o.dims, x->o.data, &x->budgets);
    XFC_TRY(xf_runner_context(&x->r, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = x->threads},
                              &x->ctx));
    if (x->o.test_data) return xf_test_data(&x->r, x->ctx, x->o.test_data, x->tol);
    x->in = xfc_new_array(x->r.ctx->arena, const xfc_tensor *, x->r.n_in);
    x->out = xfc_new_array(x->r.ctx->arena, const xfc_tensor *, x->r.n_out);
    if (x->o.generate) return generate(x);
    XFC_TRY(read_inputs(x));
    if (x->o.compare) print_fill(x);
    if (x->o.compare) return xf_compare_model(&x->r, x->ctx, x->o.compare, &x->o.dims, x->o.per_node, x->in, x->tol);
    if (!x->o.bench) return run_once(x);
    const xf_bench_opts bench = {.warmup = x->warmup,
                                 .duration = x->duration,
                                 .iters = x->iters,
                                 .profile = x->o.profile,
                                 .threads = x->threads,
                                 .contexts = x->contexts,
                                 .json = x->o.json,
                                 .fill = x->fill};
    return xf_bench(&x->r, x->ctx, x->in, &bench);
}

static int work(int argc, char **argv, xfc_leftovers *leftovers) {
    run x = {0};
    xf_cli_list rest = {0};
    xfc_ctx *ctx = xfc_ctx_new();
    ctx->leftovers = leftovers;
    int stop = parse_options(&x.o, ctx, argc, argv, &rest);
    if (!stop && !parse_numbers(&x)) stop = 1 + 2;
    if (!stop && !xf_budgets_read("xf-run", ctx, &x.o.max_error, &x.budgets)) stop = 1 + 2;
    const char *wrong = stop ? NULL : check_usage(&x, ctx->arena, &rest);
    if (wrong) stop = 1 + xf_cli_wrong("xf-run", "%s", wrong);
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

/* --data compiles a model, in a temporary folder. */
static bool compiles(int argc, char **argv) {
    bool data = false;
    for (int i = 1; i < argc; i++) data |= !strncmp(argv[i] + strspn(argv[i], "-"), "data", 4) || argv[i][0] == '@';
    return data;
}

int main(int argc, char **argv) {
    return compiles(argc, argv) ? xf_guarded("xf-run", work, argc, argv) : work(argc, argv, NULL);
}

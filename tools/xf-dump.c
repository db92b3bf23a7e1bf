/* xf-dump.c - what is in a model, an IR file or a compiled model. Reads only; a .so is never loaded. */
#include "backends/backend.h"
#include "frontend/frontend.h"
#include "ir/text/text.h"
#include "tools/dump/dump.h"
#include "tools/guard.h"
#include "tools/pass_cli.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    xf_dump_what what;
    const char *kernel;
    xf_cli_list dims, shapes;
    xf_pass_words pass_words;
} options;

/* --ir is of the graph that stands for all calls. */
static void read_graphs(xfc_ctx *ctx, const char *path, const options *o, xfc_entries *e) {
    const xfc_import_opts import = {.dims = o->dims.item,
                                    .n_dims = o->dims.n,
                                    .shapes = o->shapes.item,
                                    .n_shapes = o->shapes.n,
                                    .equal = o->what.ir ? NULL : &e->graph[XFC_ENTRY_EQUAL]};
    bool text = xf_has_suffix(path, ".xf");
    e->graph[XFC_ENTRY_RUN] = text ? xf_parse_file(ctx, path, true) : xfc_import_file(ctx, path, &import);
}

/* Without any part named: what most people look for first. */
static void default_parts(xf_dump_what *w, bool is_so) {
    if (w->ops || w->signature || w->plan || w->weights || w->isa || w->meta || w->ir || w->passes || w->assembly ||
        w->verify || w->lossy)
        return;
    w->signature = w->ops = true;
    w->isa = w->meta = is_so;
}

static xfc_status dump(xf_dump *d, const char *path, options *o) {
    xf_file f;
    int number = xf_file_map(path, &f);
    if (number)
        return xfc_fail(d->ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be read: %s; check the path",
                        strerror(number));
    bool is_so = xf_elf_is(f.data, f.size);
    default_parts(&o->what, is_so);
    xfc_status s = XFC_ERR_INPUT;
    if (!is_so && (o->what.verify || o->what.lossy)) {
        s = xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path},
                     "is no .so, which alone has %s; give --%s what xfc compiled",
                     o->what.verify ? "checksums" : "such a record", o->what.verify ? "verify" : "lossy");
    } else if (is_so) {
        s = xf_dump_so(d, path, &f, &o->what);
    } else {
        xfc_entries e = {{0}};
        read_graphs(d->ctx, path, o, &e);
        if (e.graph[XFC_ENTRY_RUN] && !d->ctx->n_errors) s = xf_dump_model(d, path, &e, &o->what);
        xfc_entries_free(&e);
    }
    xf_file_unmap(&f);
    return s;
}

static int dump_file(xfc_ctx *ctx, const char *path, options *o) {
    o->what.ir = o->what.ir_stage != NULL;
    o->what.assembly = o->what.kernel != NULL;
    if (!o->what.ir_stage) o->what.ir_stage = "";
    if (!o->what.kernel) o->what.kernel = "";
    if (!o->what.march) o->what.march = "";
    xf_dump d = {.ctx = ctx, .arena = ctx->arena, .out = {.arena = ctx->arena}, .json = o->what.json};
    xfc_status s = dump(&d, path, o);
    if (s == XFC_OK) {
        xf_dump_end(&d);
        if (!xf_write_file(ctx, "-", d.out.text ? d.out.text : "", d.out.n))
            s = xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){0}, "standard output cannot be written: %s; free some space",
                         strerror(errno));
    }
    int code = xf_report_diags(ctx, false);
    return code ? code : s == XFC_OK ? 0 : xfc_exit_code(s);
}

static int run(int argc, char **argv, xfc_leftovers *leftovers) {
    options o = {0};
    xfc_ctx *ctx = xfc_ctx_new();
    ctx->leftovers = leftovers;
    const xf_cli_option table[] = {
        {XF_CLI_SECTION, "parts (default: signature and ops; of a .so also variants and metadata)", NULL, NULL, NULL},
        {XF_CLI_FLAG, "signature", NULL, "inputs, outputs and dimensions with their ranges", &o.what.signature},
        {XF_CLI_FLAG, "ops", NULL, "how often each op occurs; of a .so its steps by form", &o.what.ops},
        {XF_CLI_TEXT, "ir", "?imported|legal|kernels|scheduled|planned",
         "IR text at a stage (default: as read; of a .so planned)", &o.what.ir_stage},
        {XF_CLI_FLAG, "passes", NULL, "what passes did and what they refused, with the reasons", &o.what.passes},
        {XF_CLI_FLAG, "lossy", NULL, "of a .so: what --lossy did, where, and how far results are from the exact ones",
         &o.what.lossy},
        {XF_CLI_FLAG, "plan", NULL,
         "the steps of a run: kernel, tasks, buffers, sizes as\nexpressions of the dimensions; with a packed entry those\nof "
         "run_packed too",
         &o.what.plan},
        {XF_CLI_FLAG, "weights", NULL, "constants: names, types, sizes", &o.what.weights},
        {XF_CLI_FLAG, "isa", NULL, "code variants of a .so", &o.what.isa},
        {XF_CLI_TEXT, "asm", "?KERNEL",
         "assembly of a kernel by its number in the plan (all without),\nor of a symbol such as xf_tile_4x3x1_0; of a .so "
         "also N@ISA",
         &o.what.kernel},
        {XF_CLI_FLAG, "meta", NULL, "metadata and build id of a .so", &o.what.meta},
        {XF_CLI_FLAG, "verify", NULL,
         "is a .so what xfc wrote? reads plan, weights (also those beside\nit) and IR text", &o.what.verify},
        {XF_CLI_SECTION, "how", NULL, NULL, NULL},
        {XF_CLI_FLAG, "json", NULL, "one JSON object", &o.what.json},
        {XF_CLI_FLAG, "v", NULL, "IR with the ONNX node of every op", &o.what.locations},
        {XF_CLI_TEXT, "march", xfc_backend_isas(&xfc_backend_cpu, ctx->arena, "|"),
         "for the assembly of a model (default x86-64-v4)", &o.what.march},
        {XF_CLI_LIST, "dim", "NAME=N|LO..HI", "fix or bound a named dimension of a model", &o.dims},
        {XF_CLI_LIST, "shape", "INPUT=SHAPE", "dims of an input of a model", &o.shapes},
        {XF_CLI_FLAG, "packed-entry", NULL, "of a model: plans and code with the entry for packed batches, as of xfc",
         &o.what.packed_entry},
        {XF_CLI_SECTION, "passes that run on a model, as of xfc", NULL, NULL, NULL},
#define XFC_OPTION(field, name, words, pass, help) XF_PASS_OPTION(&o.pass_words, field, name, words, help)
#include "passes/options.def"
#undef XFC_OPTION
    };
    const xf_cli cli = {
        "xf-dump",
        "[parts] FILE.onnx|FILE.xf|FILE.so",
        "Shows what is in a model, an IR file or a compiled model, without running it.\n"
        "Exit codes: 0 ok, 1 damaged file, 2 usage, 3 unsupported operator or type, 4 I/O.",
        "  xf-dump bert.so\n  xf-dump --plan bert.so | less -S\n  xf-dump --ir=kernels bert.onnx --dim batch=1\n"
        "  xf-dump --asm=3@x86-64-v3 bert.so\n  xf-dump --passes bert.onnx\n  xf-dump --json --signature bert.so\n",
        table,
        XFC_COUNT(table)};
    xf_cli_list files = {0};
    int stop = xf_cli_parse(&cli, ctx, argc, argv, &files), code = stop - 1;
    if (!stop && files.n != 1) {
        code = xf_cli_wrong("xf-dump", "give exactly one file, not %u", files.n);
    } else if (!stop) {
        xf_pass_words_read(&o.pass_words, &o.what.pass_opts);
        code = dump_file(ctx, files.item[0], &o);
    }
    xfc_ctx_free(ctx);
    return code;
}

/* Assembly comes from LLVM, which ends the process where memory runs out. */
int main(int argc, char **argv) { return xf_guarded("xf-dump", run, argc, argv); }

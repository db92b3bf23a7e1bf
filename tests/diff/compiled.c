/* compiled.c - see diff.h: a graph compiled like xfc does it, loaded, and run through xf.h.
 *
 * Memory around the tensors is part of the test: inputs are read-only and end where a page without access begins,
 * outputs of the caller end there too and have a pattern in front, and the caller's arena has one behind.
 */
#define _DEFAULT_SOURCE
#include "backends/backend.h"
#include "ir/defined.h"
#include "passes/pass.h"
#include "runtime/include/xfc/abi.h"
#include "tests/diff/diff.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const isa_names[4] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"};

uint32_t diff_cpu_isas(void) {
    uint32_t bits = 1;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return bits;
    bits |= 2;
    bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (v4) bits |= __builtin_cpu_supports("avx512bf16") ? 12 : 4;
    return bits;
}

const char *diff_how_text(diff_how how, char text[64]) {
    snprintf(text, 64, "-O%d%s%s%s%s%s", how.level, how.bf16 ? ", of bf16" : "", how.reparse ? ", reparsed" : "",
             how.roundtrip ? ", round trips" : "", how.clone ? ", clones" : "", how.checked ? ", checked" : "");
    return text;
}

/* Those of `wanted` that this machine runs; where it runs none of them, the widest that it does run, so that no seed
 * goes untested on a small machine. */
static uint32_t chosen_isas(uint32_t wanted) {
    uint32_t have = diff_cpu_isas();
    return wanted & have ? wanted & have : have & ~(have >> 1);
}

/* --- compiling --- */

static xfc_graph *reparsed(const xfc_graph *g) {
    xfc_buf text = {.arena = g->arena};
    xfc_print_graph(&text, g, &(xfc_print_opts){.locations = true, .data_by_id = true});
    return xfc_parse_graph(g->ctx, text.text, text.n, "printed.xf");
}

static xfc_status emit_all(compiled *c, xfc_ctx *ctx, diff_how how, xfc_link_job *job, xfc_blob *objects,
                           xfc_blob *plan) {
    const xfc_backend *cpu = xfc_backend_find("cpu");
    xfc_kernel_set set = xfc_kernel_set_of((const xfc_graph *[]){c->planned}, 1, c->planned->arena);
    const char *const **name = xfc_new_array(c->planned->arena, const char *const *, c->n_isas);
    for (uint32_t i = 0; i < c->n_isas; i++) {
        xfc_target target;
        XFC_TRY(cpu->configure(ctx, &target, c->isa[i]));
        target.checked = how.checked;
        set.name = name[i] = xfc_kernel_set_names(&set, c->isa[i], c->planned->arena);
        XFC_TRY(cpu->emit(ctx, &target, &set, "obj", how.level, &objects[i], NULL));
    }
    job->name = name;
    job->n_kernels = set.n_kernels;
    return xfc_plan_blobs(&set, NULL, plan);
}

static xfc_status make(compiled *c, xfc_ctx *ctx, diff_how how) {
    xfc_blob objects[4] = {{0}}, plan[XF_N_PLANS] = {{0}};
    xfc_run_opts run = {.verify = true, .clone = how.clone, .roundtrip = how.roundtrip, .bisect_limit = -1};
    run.passes.compute = how.bf16 ? XFC_FORCE : XFC_OFF;
    XFC_TRY(xfc_run_passes(&c->planned, &xfc_target_cpu_generic, xfc_pipeline_default[how.level], &run));
    xfc_link_job job = {.objects = objects,
                        .n_objects = c->n_isas,
                        .plan = plan,
                        .graph = c->planned,
                        .ir_text = "",
                        .ir_bytes = 0,
                        .output = c->path,
                        .isas = c->isa,
                        .n_isas = c->n_isas};
    xfc_status status = emit_all(c, ctx, how, &job, objects, plan);
    if (status == XFC_OK) status = xfc_link(ctx, &job);
    for (uint32_t i = 0; i < c->n_isas; i++) free(objects[i].data);
    free(plan[0].data);
    return status;
}

bool compiled_make(compiled *c, const xfc_graph *g, diff_how how) {
    const char *base = getenv("TMPDIR");
    char text[64];
    *c = (compiled){.planned = how.reparse ? reparsed(g) : xfc_graph_clone(g)};
    snprintf(c->path, sizeof c->path, "%s/xfc-diff-%ld.so", base ? base : "/tmp", (long)getpid());
    uint32_t isas = chosen_isas(how.isas);
    for (uint32_t i = 0; i < XFC_COUNT(isa_names); i++)
        if (isas >> i & 1) c->isa[c->n_isas++] = isa_names[i];
    if (c->planned && make(c, g->ctx, how) == XFC_OK && !g->ctx->n_errors) return true;
    fprintf(stderr, "does not compile with %s:\n", diff_how_text(how, text));
    xfc_diags_print(g->ctx, stderr, false);
    g->ctx->n_errors = g->ctx->n_diags = 0;
    compiled_free(c);
    return false;
}

void compiled_free(compiled *c) {
    unlink(c->path);
    xfc_graph_free(c->planned);
    c->planned = NULL;
}

/* --- memory --- */

typedef struct {
    char *map;
    size_t bytes;
} pages;
typedef struct {
    pages *item;
    uint32_t n, cap;
    xfc_arena *arena;
} mappings;
enum { PATTERN = 0x5a, MARGIN = 256 };

/* n bytes that end at a page without access, after at least MARGIN bytes of pattern. */
static char *fenced(mappings *m, size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (n + MARGIN + page - 1) / page * page;
    char *p = mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + used, page, PROT_NONE) != 0) abort();
    memset(p, PATTERN, used);
    xfc_push(m->arena, m->item, m->n, m->cap) = (pages){p, used + page};
    return p + used - n;
}

static bool margin_holds(const char *data) {
    for (int i = 1; i <= MARGIN; i++)
        if (data[-i] != PATTERN) return false;
    return true;
}

static void unmap_all(mappings *m) {
    for (uint32_t i = 0; i < m->n; i++) munmap(m->item[i].map, m->item[i].bytes);
    m->n = 0;
}

static xf_tensor tensor_of(const xfc_array *a, void *data, int64_t *shape) {
    uint32_t d = xfc_dtype_dlpack(a->dtype);
    for (uint32_t i = 0; i < a->rank; i++) shape[i] = a->dim[i];
    return (xf_tensor){.data = data,
                       .device = {1, 0},
                       .ndim = (int32_t)a->rank,
                       .dtype = {d & 255, d >> 8 & 255, (uint16_t)(d >> 16)},
                       .shape = shape};
}

static size_t bytes_of(const xfc_array *a) { return (size_t)a->count * xfc_dtype_bytes(a->dtype); }

/* --- running --- */

typedef struct {
    const xf_api *xf;
    xf_model *model;
    const xfc_graph *graph;
    const oracle *oracle;
    diff_counts *counts;
    const char *isa;
    mappings mem;
    xf_tensor *in;
    int64_t (*shape)[XFC_MAX_RANK]; /* of inputs, then of outputs */
} session;

static bool fail(const session *s, const char *what, const char *why) {
    fprintf(stderr, "  %s, %s: %s\n", s->isa, what, why);
    return false;
}

static void place_inputs(session *s, const xfc_array *in) {
    for (uint32_t i = 0; i < s->graph->n_in; i++) {
        char *data = fenced(&s->mem, bytes_of(&in[i]));
        memcpy(data, in[i].data, bytes_of(&in[i]));
        mprotect(s->mem.item[s->mem.n - 1].map, s->mem.item[s->mem.n - 1].bytes - (size_t)sysconf(_SC_PAGESIZE),
                 PROT_READ);
        s->in[i] = tensor_of(&in[i], data, s->shape[i]);
    }
}

/* Of a dim that data decides, infer_shapes says the most that it can be. */
static bool dim_agrees(const xfc_graph *g, uint32_t out, uint32_t d, int64_t inferred, int64_t want) {
    xfc_arena *scratch = xfc_arena_new();
    const xfc_defined defined = xfc_defined_of(g, scratch);
    bool open = xfc_defined_in(&defined, g->last->in[out].value->type.dim[d]);
    xfc_arena_free(scratch);
    return open ? inferred >= want : inferred == want;
}

static size_t room_of(const xf_tensor *t) {
    size_t bytes = t->dtype.bits / 8u;
    for (int32_t d = 0; d < t->ndim; d++) bytes *= (size_t)t->shape[d];
    return bytes;
}

static bool shapes_agree(session *s, xf_tensor *out) {
    const xfc_graph *g = s->graph;
    if (s->xf->num_inputs(s->model) != g->n_in || s->xf->num_outputs(s->model) != g->n_out)
        return fail(s, "signature", "other counts");
    if (s->xf->infer_shapes(s->model, s->in, g->n_in, out, g->n_out) != XF_OK)
        return fail(s, "infer_shapes", s->xf->last_error(NULL));
    for (uint32_t i = 0; i < g->n_out && !s->oracle->range_error; i++) {
        const xfc_array *want = &s->oracle->out[i];
        if (out[i].ndim != (int32_t)want->rank) return fail(s, "infer_shapes", "another rank");
        for (uint32_t d = 0; d < want->rank; d++)
            if (!dim_agrees(g, i, d, out[i].shape[d], want->dim[d]))
                return fail(s, g->out_name[i], "infer_shapes gives another dim");
    }
    return true;
}

static bool compare(session *s, const xf_tensor *out, bool own) {
    bool fma = strcmp(s->isa, isa_names[0]) != 0, ok = true;
    for (uint32_t i = 0; i < s->graph->n_out; i++) {
        xfc_array got = s->oracle->out[i];
        got.data = out[i].data;
        for (uint32_t d = 0; d < got.rank; d++)
            if (out[i].shape[d] != got.dim[d]) return fail(s, s->graph->out_name[i], "another dim");
        if (own && got.count && !margin_holds(out[i].data))
            ok = fail(s, s->graph->out_name[i], "memory before the output changed");
        if (!oracle_accepts(s->oracle, i, fma, s->graph->out_name[i], &got, s->counts))
            ok = fail(s, "output", "differs");
    }
    return ok;
}

/* One context: with outputs of the context or of the caller (then with the caller's arena as well). */
static bool run_in(session *s, int32_t threads, bool own) {
    const xfc_graph *g = s->graph;
    xf_tensor out[DIFF_MAX_OUT] = {{0}};
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_out; i++) out[i] = (xf_tensor){.ndim = XFC_MAX_RANK, .shape = s->shape[g->n_in + i]};
    if (!shapes_agree(s, out)) return false;
    for (uint32_t i = 0; i < g->n_out; i++)
        out[i].data = own && !s->oracle->range_error ? fenced(&s->mem, room_of(&out[i])) : NULL;
    xf_ctx_opts opts = {.struct_size = sizeof opts, .num_threads = threads};
    if (own && s->xf->workspace_size(s->model, s->in, g->n_in, threads, &n) != XF_OK)
        return fail(s, "workspace_size", s->xf->last_error(NULL));
    if (own) opts.arena = fenced(&s->mem, n), opts.arena_size = n;
    xf_ctx *ctx = NULL;
    if (s->xf->ctx_create(s->model, &opts, &ctx) != XF_OK) return fail(s, "ctx_create", s->xf->last_error(NULL));
    xf_status status = s->xf->run(ctx, s->in, g->n_in, out, g->n_out);
    bool ok =
        status == XF_OK || (s->oracle->range_error && status == XF_E_RANGE) || fail(s, "run", s->xf->last_error(ctx));
    if (status == XF_OK && !s->oracle->range_error) ok = compare(s, out, own);
    if (own && n && !margin_holds(opts.arena)) ok = fail(s, "run", "memory before the arena changed");
    s->xf->ctx_destroy(ctx);
    return ok;
}

static bool check_isa(session *s) {
    bool ok = s->xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .isa = s->isa}, &s->model) == XF_OK;
    if (!ok) return fail(s, "open", s->xf->last_error(NULL));
    ok = run_in(s, 1, true) && run_in(s, 2, false);
    s->xf->release(s->model);
    return ok;
}

const xf_api *compiled_load(const compiled *c, void **so) {
    *so = dlopen(c->path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = *so ? dlsym(*so, "xf_get_api") : NULL;
    xf_get_api_fn get_api;
    if (!symbol) return fprintf(stderr, "  %s\n", dlerror()), NULL;
    memcpy(&get_api, &symbol, sizeof get_api); /* C has no cast from data to code */
    return get_api(XF_ABI_VERSION);
}

bool compiled_check(const compiled *c, const xfc_graph *g, const xfc_array *in, const oracle *o, diff_counts *counts) {
    void *so;
    const xf_api *xf = compiled_load(c, &so);
    if (!xf) return false;
    session s = {.xf = xf, .graph = g, .oracle = o, .counts = counts, .mem = {.arena = xfc_arena_new()}};
    s.in = xfc_new_array(s.mem.arena, xf_tensor, g->n_in + 1);
    s.shape = (int64_t (*)[XFC_MAX_RANK])xfc_alloc_array(s.mem.arena, g->n_in + g->n_out, sizeof *s.shape, 8);
    place_inputs(&s, in);
    bool ok = true;
    for (uint32_t i = 0; i < c->n_isas; i++) {
        s.isa = c->isa[i];
        ok = check_isa(&s) && ok;
    }
    unmap_all(&s.mem);
    xfc_arena_free(s.mem.arena);
    dlclose(so);
    return ok;
}

/* --- a case --- */

/* Whose fault is it? The interpreter can run the planned graph too. */
static void blame(const compiled *c, const xfc_array *in, const oracle *o, xfc_arena *arena) {
    xfc_array out[DIFF_MAX_OUT] = {{0}};
    diff_counts counts = {0};
    bool same = xfc_eval_graph(c->planned, in, c->planned->n_in, out, &(xfc_eval_opts){.arena = arena}) == XFC_OK;
    for (uint32_t i = 0; same && i < c->planned->n_out; i++)
        same = oracle_accepts(o, i, true, "of the planned graph", &out[i], &counts);
    fprintf(stderr, "  %s\n",
            same ? "the planned graph is right: code generation or runtime" : "the planned graph is wrong: a pass");
    c->planned->ctx->n_errors = c->planned->ctx->n_diags = 0;
}

void diff_print(const maker *m, const char *what, uint32_t round, const char *how) {
    xfc_buf text = {.arena = m->graph->arena};
    xfc_print_graph(&text, m->graph, NULL);
    fprintf(stderr, "%s: %s, round %u:", what, how, (unsigned)round);
    for (uint32_t i = 0; i < m->n_symbols; i++)
        fprintf(stderr, " %s=%lld", xfc_int_look(m->ctx, m->symbol[i].symbol)->name,
                (long long)m->symbol[i].extent[round]);
    fprintf(stderr, "\n%s", text.n < 20000 ? text.text : "");
}

bool diff_case(maker *m, const diff_how *hows, uint32_t n_hows, const char *what, diff_counts *counts) {
    xfc_arena *arena = xfc_arena_new();
    xfc_array *in[DIFF_ROUNDS];
    oracle *o = xfc_new_array(arena, oracle, DIFF_ROUNDS);
    bool ok = true;
    for (uint32_t r = 0; ok && r < m->n_rounds; r++) {
        in[r] = xfc_new_array(arena, xfc_array, m->graph->n_in + 1);
        maker_inputs(m, r, arena, in[r]);
        ok = oracle_run(m->graph, in[r], &o[r], arena);
        if (!ok) diff_print(m, what, r, "interpreter");
    }
    for (uint32_t h = 0; ok && h < n_hows; h++) {
        compiled c;
        char text[64];
        ok = compiled_make(&c, m->graph, hows[h]);
        if (!ok) {
            diff_print(m, what, 0, diff_how_text(hows[h], text));
            break;
        }
        for (uint32_t r = 0; ok && r < m->n_rounds; r++) {
            ok = compiled_check(&c, m->graph, in[r], &o[r], counts);
            if (ok) continue;
            blame(&c, in[r], &o[r], arena);
            diff_print(m, what, r, diff_how_text(hows[h], text));
        }
        compiled_free(&c);
    }
    xfc_arena_free(arena);
    return ok;
}

/* Its counts come back through a pipe. */
bool diff_apart(bool (*run)(void *arg, diff_counts *), void *arg, const char *what, diff_counts *sum) {
    int ends[2], status = -1;
    diff_counts counts = {0};
    if (pipe(ends) != 0) abort();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool ok = run(arg, &counts);
        _exit(write(ends[1], &counts, sizeof counts) == sizeof counts && ok ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &counts, sizeof counts) != sizeof counts) counts = (diff_counts){0};
    close(ends[0]);
    waitpid(child, &status, 0);
    sum->exact += counts.exact, sum->tolerant += counts.tolerant, sum->skipped += counts.skipped;
    if (WIFSIGNALED(status)) fprintf(stderr, "%s: signal %d\n", what, WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool diff_enough(const diff_counts *c) {
    fprintf(stderr, "elements: %lld equal to the bit, %lld within a tolerance, %lld not compared\n",
            (long long)c->exact, (long long)c->tolerant, (long long)c->skipped);
    return c->skipped * 20 <= c->exact + c->tolerant;
}

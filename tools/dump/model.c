/* model.c - what is in a model or IR file: its ops and weights as imported, its IR at any stage, its plan and
 * code as compiled. */
#include "backends/backend.h"
#include "ir/text/text.h"
#include "passes/entries.h"
#include "tools/dump/dump.h"
#include "tools/pass_cli.h"
#include <stdlib.h>
#include <string.h>

static void dump_ops(xf_dump *d, const xfc_graph *g) {
    static const char *const head[] = {"op", "#count"};
    xf_table t = xf_table_begin(d, "ops", head, 2);
    uint32_t count[XFC_OP_COUNT] = {0};
    xfc_foreach_op(op, g) count[op->code]++;
    for (uint32_t most = UINT32_MAX; most > 0;) { /* by falling count, then by the order of ops.def */
        uint32_t next = 0;
        for (int i = 0; i < XFC_OP_COUNT; i++) {
            if (count[i] == most && most != UINT32_MAX) {
                xf_cell(&t, "%s", xfc_ops[i].name);
                xf_cell(&t, "%u", most);
            }
            if (count[i] < most && count[i] > next) next = count[i];
        }
        most = next;
    }
    xf_table_end(&t);
}

static void dump_weights(xf_dump *d, const xfc_graph *g) {
    static const char *const head[] = {"name", "type", "#bytes", "#uses"};
    xf_table t = xf_table_begin(d, "weights", head, 4);
    xfc_foreach_op(op, g) {
        const xfc_tensor *tensor;
        if (op->code != XFC_OP_CONST || !xfc_value_is_const(&op->out[0], &tensor)) continue;
        xfc_buf type = {.arena = d->arena};
        xfc_print_type(g->ctx, &type, &op->out[0].type);
        const char *name = tensor->name ? tensor->name : op->out[0].name;
        xf_cell(&t, "%s", name ? name : "");
        xf_cell(&t, "%s", type.text);
        xf_cell(&t, "%zu", tensor->bytes);
        xf_cell(&t, "%u", xfc_value_n_uses(&op->out[0]));
    }
    xf_table_end(&t);
}

static bool stage_from_name(const char *name, xfc_stage *out) {
    for (int s = 0; s < XFC_STAGE_COUNT; s++)
        if (strcmp(name, xfc_stage_name((xfc_stage)s)) == 0) return *out = (xfc_stage)s, true;
    return false;
}

static const xfc_pass_info *pass_named(const char *name, size_t n) {
    for (int i = 0; i < XFC_PASS_COUNT; i++)
        if (strlen(xfc_passes[i].name) == n && strncmp(xfc_passes[i].name, name, n) == 0) return &xfc_passes[i];
    return NULL;
}

/* The part of the default pipeline that leads from the graph's stage to `stage`, with the passes that follow within
 * it. */
static const char *passes_to(xf_dump *d, const xfc_graph *g, xfc_stage stage) {
    xfc_buf list = {.arena = d->arena};
    xfc_stage reached = XFC_STAGE_IMPORTED;
    xfc_buf_str(&list, "");
    for (const char *at = xfc_pipeline_default[2]; *at;) {
        size_t n = strcspn(at, ",");
        const xfc_pass_info *p = pass_named(at, n);
        bool lowers = p && p->kind == XFC_KIND_LOWERS;
        if (lowers && p->to > stage) break;
        if (p && reached >= g->stage) xfc_buf_printf(&list, "%s%.*s", list.n ? "," : "", (int)n, at);
        if (lowers) reached = p->to;
        at += n + (at[n] == ',');
    }
    return list.text;
}

static xfc_status advance(xf_dump *d, xfc_graph **g, xfc_stage stage, const xf_dump_what *what) {
    if ((*g)->stage >= stage) return XFC_OK;
    xfc_run_opts opts = {.bisect_limit = -1, .passes = what->pass_opts};
    return xfc_run_passes(g, &xfc_target_cpu_generic, passes_to(d, *g, stage), &opts);
}

static xfc_status dump_ir(xf_dump *d, const char *path, xfc_graph **g, const xf_dump_what *what) {
    xfc_stage stage = (*g)->stage;
    if (*what->ir_stage) xfc_assert(stage_from_name(what->ir_stage, &stage)); /* the table of options knows all */
    if (stage < (*g)->stage)
        return xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path},
                        "it is already at stage %s; there is no way back to %s", xfc_stage_name((*g)->stage),
                        what->ir_stage);
    XFC_TRY(advance(d, g, stage, what));
    xfc_buf text = {.arena = d->arena};
    xfc_print_graph(&text, *g, &(xfc_print_opts){.locations = what->locations});
    xf_dump_text(d, "ir", text.text, text.n);
    return XFC_OK;
}

static void open_blob(xf_dump *d, const char *path, xfc_blob blob, xf_plan *plan) {
    const void *copy = xfc_memdup(d->arena, blob.data, blob.n, 16);
    free(blob.data);
    const char *why = xf_plan_open(plan, copy, blob.n);
    if (why) xfc_bug(__FILE__, __LINE__, "%s: the plan that was just made cannot be read: %s", path, why);
}

static xfc_status dump_planned(xf_dump *d, const char *path, const xfc_kernel_set *set, const xf_dump_what *what) {
    xfc_blob blob[XF_N_PLANS];
    xf_plan plan[XF_N_PLANS] = {{0}};
    XFC_TRY(xfc_plan_blobs(set, NULL, blob));
    for (int i = 0; i < XF_N_PLANS; i++)
        if (blob[i].data) open_blob(d, path, blob[i], &plan[i]);
    if (what->signature) xf_dump_signature(d, plan);
    if (what->passes) xf_dump_passes(d, plan);
    if (what->plan) xf_dump_plans(d, plan);
    return XFC_OK;
}

/* The text of one function: from its label to its .size. */
static void only_function(const char *name, xfc_arena *arena, const char **text, size_t *n) {
    const char *label = xfc_sprintf(arena, "\n%s:", name), *begin = strstr(*text, label);
    const char *end = begin ? strstr(begin, xfc_sprintf(arena, "\t.size\t%s,", name)) : NULL;
    if (end) *text = begin + 1;
    *n = end ? (size_t)(end - begin - 1) : 0;
}

static xfc_status dump_assembly(xf_dump *d, const char *path, const xfc_kernel_set *set, const xf_dump_what *what) {
    const xfc_backend *cpu = xfc_backend_find("cpu");
    xfc_target target;
    xfc_blob blob;
    XFC_TRY(cpu->configure(d->ctx, &target, *what->march ? what->march : "x86-64-v4"));
    XFC_TRY(cpu->emit(d->ctx, &target, set, "asm", 2, &blob, NULL));
    char *copy = xfc_alloc(d->arena, blob.n + 1, 1);
    memcpy(copy, blob.data, blob.n);
    const char *text = copy;
    size_t n = blob.n;
    free(blob.data);
    bool number = *what->kernel >= '0' && *what->kernel <= '9';
    if (*what->kernel)
        only_function(number ? xfc_sprintf(d->arena, "xf_kernel_%s", what->kernel) : what->kernel, d->arena, &text, &n);
    if (!n)
        return xfc_fail(d->ctx, XFC_ERR_INPUT, (xfc_loc){.file = path},
                        "there is no kernel '%s'; --plan shows their numbers", what->kernel);
    xf_dump_text(d, "assembly", text, n);
    return XFC_OK;
}

/* All entries, as xfc makes them of a model as it was read. */
static xfc_status advance_all(xf_dump *d, xfc_entries *e, const xf_dump_what *what) {
    const xfc_graph *g = e->graph[XFC_ENTRY_RUN];
    const xfc_run_opts opts = {.bisect_limit = -1, .passes = what->pass_opts};
    if (g->stage == XFC_STAGE_PLANNED && !what->packed_entry) return XFC_OK;
    XFC_TRY(xfc_run_entries(e, what->packed_entry, &xfc_target_cpu_generic, passes_to(d, g, XFC_STAGE_PLANNED), &opts));
    xfc_share_weights(e->graph, XFC_N_ENTRIES);
    return XFC_OK;
}

static xfc_status dump_compiled(xf_dump *d, const char *path, xfc_entries *e, const xf_dump_what *what) {
    XFC_TRY(advance_all(d, e, what));
    xf_notes_store(e->graph[XFC_ENTRY_RUN], SIZE_MAX);
    const xfc_kernel_set set = xfc_kernel_set_of((const xfc_graph *const *)e->graph, XFC_N_ENTRIES, d->arena);
    XFC_TRY(dump_planned(d, path, &set, what));
    return what->assembly ? dump_assembly(d, path, &set, what) : XFC_OK;
}

xfc_status xf_dump_model(xf_dump *d, const char *path, xfc_entries *e, const xf_dump_what *what) {
    xfc_graph **g = &e->graph[XFC_ENTRY_RUN];
    if (what->ops) dump_ops(d, *g);
    if (what->weights) dump_weights(d, *g);
    bool compiled = what->signature || what->plan || what->passes || what->assembly;
    if (what->ir) XFC_TRY(dump_ir(d, path, g, what));
    return compiled ? dump_compiled(d, path, e, what) : XFC_OK;
}

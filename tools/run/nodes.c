/* nodes.c - the compiled model beside the interpreter: the same inputs through both, outputs and, on request, every
 * node.
 *
 * The interpreter runs the graph as it was imported. What the .so shows are its kernels' results; the plan says which
 * value of the model each of them is. Values inside a kernel, and results of the compiler's own (packing, other
 * layouts), have no counterpart and are counted. The first kernel in execution order that differs names the node to
 * look at.
 */
#include "frontend/frontend.h"
#include "ir/eval/eval.h"
#include "tools/run/run.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name, *node;
    const xfc_tensor *tensor;
} node_value; /* name and node are interned */
typedef struct {
    node_value *item;
    uint32_t n, cap;
} values;
typedef struct {
    xfc_ctx *ctx;
    const xf_plan *plan;
    uint32_t step; /* of the next tap */
    values kernels, ops;
} recording;

static node_value *find(const values *v, const char *name) {
    for (uint32_t i = v->n; i-- > 0;)
        if (v->item[i].name == name) return &v->item[i];
    return NULL;
}

/* Values of a .xf text may have no name of their own; as outputs they have one. */
static const char *name_of(const xf_plan *p, const xf_step_info *s, uint32_t output) {
    const char *name = xf_plan_str(p, p->args[s->first_out_arg + output].name);
    const xf_operand *to = &p->operands[s->first_operand + s->n_in + output];
    if (*name || to->space != XF_SPACE_OUTPUT) return name;
    return xf_plan_str(p, xf_plan_output(p, to->index)->name);
}

static const char *name_of_value(const xfc_value *v) {
    if (v->name) return v->name;
    const xfc_graph *g = v->def->graph;
    for (uint32_t i = 0; i < g->n_out; i++)
        if (g->last->in[i].value == v) return g->out_name[i];
    return NULL;
}

/* Taps come in the order of steps, and of outputs within a step. */
static void on_kernel(void *user, const char *node, int32_t output, const xf_tensor *value) {
    recording *rec = user;
    while (rec->plan->steps[rec->step].n_out == 0) rec->step++;
    const xf_step_info *s = &rec->plan->steps[rec->step];
    const char *name = name_of(rec->plan, s, (uint32_t)output);
    if ((uint32_t)output + 1 == s->n_out) rec->step++;
    const xfc_tensor *t = xf_tensor_copy(rec->ctx, value, NULL);
    if (t)
        xfc_push(rec->ctx->arena, rec->kernels.item, rec->kernels.n, rec->kernels.cap) =
            (node_value){xfc_str(rec->ctx, name), xfc_str(rec->ctx, node), t};
}

/* Copied, since the interpreter reuses the memory of values that nobody needs any more; only what a kernel has
 * shown. */
static void on_op(void *user, const xfc_op *op, const xfc_array *out) {
    recording *rec = user;
    for (uint32_t i = 0; i < op->n_out; i++) {
        const char *name = name_of_value(&op->out[i]);
        if (name) name = xfc_str(rec->ctx, name);
        if (!name || !find(&rec->kernels, name)) continue;
        const xfc_tensor *t = xfc_tensor_copy(rec->ctx, out[i].dtype, out[i].rank, out[i].dim, out[i].data, NULL);
        xfc_push(rec->ctx->arena, rec->ops.item, rec->ops.n, rec->ops.cap) = (node_value){name, op->loc.node, t};
    }
}

static bool same_shape(const xfc_tensor *a, const xfc_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (a->dim[d] != b->dim[d]) return false;
    return true;
}

static bool compare_nodes(const xf_runner *r, const recording *rec, const xfc_tensor *const *in, xf_tolerance tol) {
    const node_value *first = NULL;
    uint32_t compared = 0, differ = 0;
    for (uint32_t i = 0; i < rec->kernels.n; i++) {
        const node_value *k = &rec->kernels.item[i], *want = find(&rec->ops, k->name);
        if (!want || !same_shape(k->tensor, want->tensor)) continue;
        xf_padding padding = xf_padding_of(r, k->name, k->tensor, in, tol);
        compared++;
        if (xf_report("node", want->node ? want->node : k->node, k->tensor, want->tensor, tol, padding)) continue;
        differ++;
        first = first ? first : want;
    }
    printf("%u of %u kernel outputs have a counterpart in the model; %u differ\n", compared, rec->kernels.n, differ);
    if (first) printf("first node that differs: '%s' (value '%s')\n", first->node ? first->node : "", first->name);
    return differ == 0;
}

static xfc_array array_of(const xfc_tensor *t) {
    xfc_array a = {.dtype = t->dtype, .rank = t->rank, .count = t->count, .data = (void *)(uintptr_t)t->data};
    memcpy(a.dim, t->dim, sizeof a.dim);
    return a;
}

static xfc_status interpret(xf_runner *r, const xfc_graph *g, const xfc_tensor *const *in, recording *rec,
                            xfc_array *out) {
    xfc_array *args = xfc_new_array(r->ctx->arena, xfc_array, g->n_in);
    for (uint32_t i = 0; i < g->n_in; i++) {
        int at = xf_find_input(r, g->in[i]->name);
        if (at < 0)
            return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->source},
                            "input '%s' is not one of %s; was it compiled from this model?", g->in[i]->name, r->path);
        args[i] = array_of(in[at]);
    }
    xfc_eval_opts opts = {.arena = r->ctx->arena, .tap = rec ? on_op : NULL, .user = rec};
    return xfc_eval_graph(g, args, g->n_in, out, &opts);
}

static void free_graph(void *g) { xfc_graph_free(g); }

xfc_status xf_compare_model(xf_runner *r, xf_ctx *ctx, const char *model, const xf_cli_list *dims, bool per_node,
                            const xfc_tensor *const *in, xf_tolerance tol) {
    xfc_graph *g = xf_has_suffix(model, ".xf")
                       ? xf_parse_file(r->ctx, model, true)
                       : xfc_import_file(r->ctx, model, &(xfc_import_opts){.dims = dims->item, .n_dims = dims->n});
    if (!g) return XFC_ERR_INPUT;
    xfc_ctx_at_exit(r->ctx, free_graph, g);
    recording rec = {.ctx = r->ctx, .plan = &r->plan};
    const xfc_tensor **got = xfc_new_array(r->ctx->arena, const xfc_tensor *, r->n_out);
    xfc_array *want = xfc_new_array(r->ctx->arena, xfc_array, g->n_out);
    if (per_node) r->api->set_tap(ctx, "*", on_kernel, &rec);
    xfc_status status = xf_runner_run(r, ctx, in, got);
    r->api->set_tap(ctx, NULL, NULL, NULL);
    if (status == XFC_OK) status = interpret(r, g, in, per_node ? &rec : NULL, want);
    if (status != XFC_OK) return status;
    bool right = !per_node || compare_nodes(r, &rec, in, tol);
    for (uint32_t i = 0; i < g->n_out; i++) {
        int at = xf_find_output(r, g->out_name[i]);
        if (at < 0)
            return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = model},
                            "output '%s' is not one of %s; was it compiled from this model?", g->out_name[i], r->path);
        const xfc_tensor *w = xfc_tensor_new(r->ctx, want[i].dtype, want[i].rank, want[i].dim, want[i].data, NULL);
        xf_padding padding = xf_padding_of(r, g->out_name[i], got[at], in, tol);
        right = xf_report("output", g->out_name[i], got[at], w, tol, padding) && right;
    }
    return right ? XFC_OK : XFC_ERR_VERIFY;
}

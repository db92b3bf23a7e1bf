/* run_nodes.c - the compiled model beside the interpreter: the same inputs through both, outputs and, on request, every
 * node.
 *
 * The interpreter runs the graph as it was imported. What the .so shows are its kernels' results, each named by the
 * ONNX node whose output it is; nodes inside a kernel, and kernels of the compiler's own (packing, other layouts), have
 * no counterpart and are counted. The first kernel in execution order that differs names the node to look at.
 */
#include "frontend/frontend.h"
#include "ir/eval.h"
#include "tools/run.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *node;
    uint32_t output;
    const xfc_tensor *value;
} node_value;
typedef struct {
    xfc_ctx *ctx;
    node_value *item;
    uint32_t n, cap;
} recording;

static void record(recording *rec, const char *node, uint32_t output, const xfc_tensor *t) {
    if (t) xfc_push(rec->ctx->arena, rec->item, rec->n, rec->cap) = (node_value){xfc_str(rec->ctx, node), output, t};
}

static void on_kernel(void *user, const char *node, int32_t output, const xf_tensor *value) {
    recording *rec = user;
    record(rec, node, (uint32_t)output, xf_tensor_copy(rec->ctx, value, NULL));
}

/* One ONNX node may be several ops; the last one makes its outputs. */
static void on_op(void *user, const xfc_op *op, const xfc_array *out) {
    recording *rec = user;
    for (uint32_t i = 0; op->loc.node && i < op->n_out; i++)
        record(rec, op->loc.node, i,
               xfc_tensor_new(rec->ctx, out[i].dtype, out[i].rank, out[i].dim, out[i].data, NULL));
}

static const xfc_tensor *find(const recording *rec, const node_value *like) {
    for (uint32_t i = rec->n; i-- > 0;)
        if (rec->item[i].node == like->node && rec->item[i].output == like->output) return rec->item[i].value;
    return NULL;
}

static bool same_shape(const xfc_tensor *a, const xfc_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (a->dim[d] != b->dim[d]) return false;
    return true;
}

static bool compare_nodes(const recording *kernels, const recording *ops, xf_tolerance tol) {
    const node_value *first = NULL;
    uint32_t compared = 0, differ = 0;
    for (uint32_t i = 0; i < kernels->n; i++) {
        const node_value *k = &kernels->item[i];
        const xfc_tensor *want = find(ops, k);
        if (!want || !same_shape(k->value, want)) continue;
        compared++;
        if (xf_report("node", k->node, k->value, want, tol)) continue;
        differ++;
        first = first ? first : k;
    }
    printf("%u of %u kernel outputs have a counterpart in the model; %u differ\n", compared, kernels->n, differ);
    if (first) printf("first node that differs: '%s' (output %u)\n", first->node, first->output);
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

xfc_status xf_compare_model(xf_runner *r, xf_ctx *ctx, const char *model, const xf_cli_list *dims, bool per_node,
                            const xfc_tensor *const *in, xf_tolerance tol) {
    xfc_graph *g = xfc_import_file(r->ctx, model, &(xfc_import_opts){.dims = dims->item, .n_dims = dims->n});
    if (!g) return XFC_ERR_INPUT;
    recording kernels = {.ctx = r->ctx}, ops = {.ctx = r->ctx};
    const xfc_tensor **got = xfc_new_array(r->ctx->arena, const xfc_tensor *, r->n_out);
    xfc_array *want = xfc_new_array(r->ctx->arena, xfc_array, g->n_out);
    if (per_node) r->api->set_tap(ctx, "*", on_kernel, &kernels);
    xfc_status status = xf_runner_run(r, ctx, in, got);
    r->api->set_tap(ctx, NULL, NULL, NULL);
    if (status == XFC_OK) status = interpret(r, g, in, per_node ? &ops : NULL, want);
    if (status != XFC_OK) return status;
    bool right = !per_node || compare_nodes(&kernels, &ops, tol);
    for (uint32_t i = 0; i < g->n_out; i++) {
        int at = xf_find_output(r, g->out_name[i]);
        if (at < 0)
            return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = model},
                            "output '%s' is not one of %s; was it compiled from this model?", g->out_name[i], r->path);
        const xfc_tensor *w = xfc_tensor_new(r->ctx, want[i].dtype, want[i].rank, want[i].dim, want[i].data, NULL);
        right = xf_report("output", g->out_name[i], got[at], w, tol) && right;
    }
    return right ? XFC_OK : XFC_ERR_VERIFY;
}

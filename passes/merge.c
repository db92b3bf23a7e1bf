/* merge.c - linears of one input become one.
 *
 * The query, key and value projections read the same x; one product with the three weights side by side reads it once
 * and has three times the columns to spread over threads. Weights and biases are joined at compile time (concat of
 * constants: fold), results are slices along the last axis (views). Columns don't interact, so the results are the same
 * bits. Only constant weights of one dtype; a missing bias becomes zeros where another has one (x + 0 may turn -0 into
 * 0). Run it after raise and before fold, while weights are not packed yet.
 *
 *   %q = linear %x, %wq, %bq : f32[b, s, 384]                 |  %m = linear %x, %w, %bias : f32[b, s, 768]
 *   %k = linear %x, %wk, %bk : f32[b, s, 384]                 |  %q = slice %m ..0..384, %k = slice %m ..384..768
 */
#include "passes/rewrite/rewrite.h"

enum { MAX_GROUP = 16, MAX_COLUMNS = 1 << 20 };

static bool can_merge(const xfc_op *op) {
    if (op->code != XFC_OP_LINEAR || !xfc_value_is_const(op->in[1].value, NULL) || !op->out[0].uses) return false;
    if (op->in[1].value->type.dtype != op->in[0].value->type.dtype) return false;
    return op->n_in < 3 || !op->in[2].value || xfc_value_is_const(op->in[2].value, NULL);
}

static const xfc_tensor *constant(const xfc_op *op, uint32_t i) {
    const xfc_tensor *t = NULL;
    if (i < op->n_in && op->in[i].value) (void)xfc_value_is_const(op->in[i].value, &t);
    return t;
}

/* Up to MAX_GROUP linears that read the x of `first`, in the order of the graph; 0 if there is nothing to merge. */
static uint32_t find_group(const xfc_op *first, xfc_op **group) {
    uint32_t n = 0;
    int64_t columns = 0;
    xfc_foreach_use(use, first->in[0].value) {
        xfc_op *op = use->user;
        if (n == MAX_GROUP) break;
        if (use != &op->in[0] || !can_merge(op)) continue;
        int64_t width = constant(op, 1)->dim[1];
        if (width > MAX_COLUMNS - columns) continue;
        columns += width;
        uint32_t at = n++;
        for (; at > 0 && group[at - 1]->mark > op->mark; at--) group[at] = group[at - 1];
        group[at] = op;
    }
    return n > 1 ? n : 0;
}

static xfc_value *bias_of(xfc_builder *b, const xfc_op *op) {
    const xfc_tensor *bias = constant(op, 2), *w = constant(op, 1);
    if (bias) return xfc_b_const(b, bias);
    void *zeros = xfc_tensor_alloc(b->graph->ctx, w->dtype, 1, &w->dim[1]);
    return xfc_b_const(b, xfc_tensor_new(b->graph->ctx, w->dtype, 1, &w->dim[1], zeros, NULL));
}

static xfc_value *join(xfc_builder *b, xfc_op *const *group, uint32_t n) {
    xfc_value *w[MAX_GROUP], *bias[MAX_GROUP];
    bool any_bias = false;
    for (uint32_t i = 0; i < n; i++) any_bias |= constant(group[i], 2) != NULL;
    for (uint32_t i = 0; i < n; i++) {
        w[i] = xfc_b_const(b, constant(group[i], 1));
        bias[i] = any_bias ? bias_of(b, group[i]) : NULL;
    }
    xfc_attr columns = xfc_attr_int(XFC_K_AXIS, 1), rows = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *in[3] = {group[0]->in[0].value, xfc_build(b, XFC_OP_CONCAT, w, n, &columns, 1)};
    if (any_bias) in[2] = xfc_build(b, XFC_OP_CONCAT, bias, n, &rows, 1);
    return xfc_build(b, XFC_OP_LINEAR, in, any_bias ? 3 : 2, NULL, 0);
}

static xfc_value *columns_of(xfc_builder *b, xfc_value *all, const xfc_type *part, int64_t from) {
    xfc_int start[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t d = 0; d < part->rank; d++) {
        start[d] = xfc_int_const(b->graph->ctx, d + 1 == part->rank ? from : 0);
        step[d] = 1;
    }
    return xfc_b_slice(b, all, start, part->dim, step);
}

static bool merge_group(xfc_pass *pass, xfc_op *const *group, uint32_t n) {
    xfc_builder b = {.graph = pass->graph, .before = group[0], .loc = group[0]->loc};
    xfc_value *part[MAX_GROUP], *all = join(&b, group, n);
    int64_t from = 0;
    for (uint32_t i = 0; i < n && all; i++) {
        part[i] = columns_of(&b, all, &group[i]->out[0].type, from);
        if (!part[i]) return false;
        from += constant(group[i], 1)->dim[1];
    }
    for (uint32_t i = 0; i < n && all; i++) {
        xfc_value_replace(&group[i]->out[0], part[i]);
        xfc_op_remove(group[i]);
    }
    return all != NULL;
}

bool xfc_merge(xfc_pass *pass) {
    xfc_graph *g = pass->graph;
    uint32_t place = 0;
    bool changed = false;
    xfc_foreach_op(op, g) op->mark = place++;
    for (xfc_op *op = g->first; op;) {
        xfc_op *group[MAX_GROUP], *before = op->prev, *next = op->next;
        uint32_t n = can_merge(op) ? find_group(op, group) : 0;
        if (n > 1 && group[0] == op && merge_group(pass, group, n)) {
            changed = true;
            next = before ? before->next
                          : g->first; /* the joined linear is not mergeable itself: its weight is a concat */
        }
        op = next;
    }
    return changed;
}

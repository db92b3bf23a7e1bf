/* legalize.c - from any op to what kernels are made of: ops with a nest, and composites that the target claims.
 *
 * Every op with a decomposition is replaced by it, again and again until only primitives are left, unless the target
 * keeps it whole; `linear` always becomes a product and a sum, since contractions are what the kernels pass knows. Then
 * each graph output gets a place of its own: an input, a constant, or a value returned twice is copied. Afterwards the
 * stage is LEGAL. The last pass that may refuse a model: what has neither a nest, a decomposition nor a routine is
 * reported here, all of it.
 *
 *   %1 = linear %x, %w, %b          |  %0 = matmul %x, %w
 *   return %1, %x                   |  %1 = add %0, %b;  %2 = copy %x;  return %1, %2
 */
#include "passes/rewrite/rewrite.h"

static bool is_kept(const xfc_pass *pass, const xfc_op *op) {
    const xfc_target *t = pass->target;
    return t && t->claims && op->code != XFC_OP_LINEAR && t->claims(t, op);
}

static bool has_meaning(const xfc_op *op) {
    const xfc_op_info *info = &xfc_ops[op->code];
    return xfc_op_has(op, XFC_STRUCT) || info->nest || info->call || info->decompose;
}

xfc_op *xfc_decompose(xfc_pass *pass, xfc_op *op) {
    xfc_graph *g = pass->graph;
    xfc_op *before = op->prev, *next = op->next;
    xfc_builder b = {.graph = g, .before = op, .loc = op->loc};
    xfc_value **result = xfc_new_array(pass->scratch, xfc_value *, op->n_out);
    xfc_status status = xfc_ops[op->code].decompose(&b, op, result);
    if (status != XFC_OK) {
        pass->status = status;
        return next;
    }
    for (uint32_t i = 0; i < op->n_out; i++) xfc_value_replace(&op->out[i], result[i]);
    xfc_op_remove(op);
    return before ? before->next : g->first;
}

static void decompose_all(xfc_pass *pass, bool *changed) {
    for (xfc_op *op = pass->graph->first; op;) {
        if (!has_meaning(op)) {
            pass->status = xfc_fail(pass->graph->ctx, XFC_ERR_UNSUPPORTED, op->loc,
                                    "'%s' has no lowering for this target; remove it from the model or report it",
                                    xfc_ops[op->code].name);
        }
        if (!xfc_ops[op->code].decompose || is_kept(pass, op)) {
            op = op->next;
            continue;
        }
        op = xfc_decompose(pass, op);
        *changed = true;
    }
}

/* The first return operand with this value is the one that keeps it. */
static void own_outputs(xfc_pass *pass, bool *changed) {
    xfc_graph *g = pass->graph;
    xfc_op *ret = g->last;
    xfc_map taken = {.arena = pass->scratch};
    for (uint32_t i = 0; i < ret->n_in; i++) {
        xfc_value *v = ret->in[i].value;
        bool own = v->def && v->def->code != XFC_OP_CONST && !xfc_map_find(&taken, v->id, NULL);
        xfc_map_set(&taken, v->id, 1);
        if (own) continue;
        xfc_builder b = {.graph = g, .before = ret, .loc = v->def ? v->def->loc : ret->loc};
        xfc_value *copy = xfc_b_unary(&b, XFC_OP_COPY, v);
        if (!copy) return;
        copy->name = g->out_name[i];
        xfc_op_set_in(ret, i, copy);
        *changed = true;
    }
}

bool xfc_legalize(xfc_pass *pass) {
    bool changed = false;
    decompose_all(pass, &changed);
    if (pass->status != XFC_OK) return changed;
    own_outputs(pass, &changed);
    pass->graph->stage = XFC_STAGE_LEGAL;
    return changed;
}

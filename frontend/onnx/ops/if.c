/* if.c - If: the branch that is taken, or a branch op with both.
 *
 * A condition that shape arithmetic decides has one branch; the other one is not looked at. Where it is known at run
 * time only, the two become bodies (ir/program.h), of which one runs: what the other requires of sizes and indices need
 * not hold. Their results must agree in element type and rank; sizes may differ.
 */
#include "frontend/onnx/import.h"
#include "ir/ops/ops.h"
#include "ir/program.h"

static const Onnx__GraphProto *branch_of(xfc_node *n, const char *name) {
    const Onnx__GraphProto *g = xfc_node_graph(n, name);
    if (g && (g->n_input || g->n_output != n->n_out))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "graph '%s' has %zu inputs and %zu outputs, not 0 and %u; export the model again", name,
                      g->n_input, g->n_output, n->n_out);
    return n->status == XFC_OK ? g : NULL;
}

static xfc_value **import_branch(xfc_node *n, const char *name) {
    const Onnx__GraphProto *g = branch_of(n, name);
    return g ? xfc_import_inner(n, g, name, NULL) : NULL;
}

/* 1 or 0 where the condition is known, -1 otherwise. */
static int decided(const xfc_node *n, const xfc_value *cond) {
    xfc_int zero[XFC_MAX_RANK], e;
    int64_t v;
    for (uint32_t d = 0; d < cond->type.rank; d++) zero[d] = xfc_int_const(n->ctx, 0);
    e = xfc_element(n->im, cond, zero);
    return xfc_int_known(e) && xfc_int_value(n->ctx, e, &v) ? v != 0 : -1;
}

/* False, with a message: the two results are no values of one type. */
static bool may_join(xfc_node *n, uint32_t i, const xfc_type *yes, const xfc_type *no) {
    if (yes->dtype == no->dtype && yes->rank == no->rank) return true;
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "output %u is %s in one branch and %s in the other, and its condition is %s",
                  i, xfc_type_text(n->ctx, yes), xfc_type_text(n->ctx, no),
                  xfc_remedy(n, n->in[0], "known at run time only; export with the condition fixed"));
    return false;
}

/* --- a condition that is known at run time only --- */

typedef struct {   /* a branch as it stands behind the ops around it */
    xfc_op *after; /* the op before its own */
    xfc_value **out;
    xfc_requirements required;
} arm;

static arm import_arm(xfc_node *n, const char *name) {
    xfc_graph *g = n->im->graph;
    arm a = {.after = g->tail};
    xfc_requirements around = xfc_graph_swap_requirements(g, (xfc_requirements){.of = {.arena = g->arena}});
    a.out = import_branch(n, name);
    a.required = xfc_graph_swap_requirements(g, around);
    xfc_probe_forget(&n->im->probe); /* what was proved by them */
    return a;
}

/* Nothing of its own but constants, up to this op. */
static bool computes_nothing(const arm *a, const xfc_graph *g, const xfc_op *end) {
    for (const xfc_op *op = a->after ? a->after->next : g->first; op != end; op = op->next)
        if (op->code != XFC_OP_CONST) return false;
    return a->required.n == 0;
}

static void choose(xfc_node *n, xfc_value *cond, const arm *yes, const arm *no) {
    xfc_graph *g = n->im->graph;
    xfc_captures around = {0};
    xfc_graph *b =
        xfc_outline(g, no->after, NULL, no->out, n->n_out, xfc_sprintf(n->im->arena, "%s/else", n->loc.node), &around);
    xfc_graph *a = xfc_outline(g, yes->after, NULL, yes->out, n->n_out,
                               xfc_sprintf(n->im->arena, "%s/then", n->loc.node), &around);
    xfc_op *op = xfc_b_branch(n->b, xfc_b_reshape(n->b, cond, NULL, 0), &around, a, b);
    if (!op) return;
    xfc_graph_require_all(a, yes->required.constraint, yes->required.n);
    xfc_graph_require_all(b, no->required.constraint, no->required.n);
    for (uint32_t i = 0; i < n->n_out; i++) n->out[i] = &op->out[i];
}

/* Both are imported where they stand, so that sizes are known through their borders; then each becomes a body of its
 * own. Where neither computes anything, a selection does. */
static void import_both(xfc_node *n, xfc_value *cond) {
    const arm yes = import_arm(n, "then_branch");
    if (n->status != XFC_OK) return;
    const arm no = import_arm(n, "else_branch");
    bool same = true;
    if (n->status != XFC_OK || !yes.out || !no.out) return;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!yes.out[i] || !no.out[i]) return; /* reported, or a sequence */
        if (!may_join(n, i, &yes.out[i]->type, &no.out[i]->type)) return;
        same = same && xfc_type_same(&yes.out[i]->type, &no.out[i]->type);
    }
    const xfc_op *second = no.after ? no.after->next : n->im->graph->first;
    if (!same || !computes_nothing(&yes, n->im->graph, second) || !computes_nothing(&no, n->im->graph, NULL)) {
        choose(n, cond, &yes, &no);
        return;
    }
    cond = xfc_b_reshape(n->b, cond, NULL, 0);
    for (uint32_t i = 0; i < n->n_out; i++)
        n->out[i] = yes.out[i] == no.out[i] ? yes.out[i] : xfc_b_select(n->b, cond, yes.out[i], no.out[i]);
}

void xfc_import_if(xfc_node *n) {
    xfc_value *cond = n->in[0];
    int64_t count;
    if (cond->type.dtype != XFC_BOOL || !xfc_type_static(n->ctx, &cond->type, NULL, &count) || count != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "the condition '%s' must be one bool; export the model again",
                      xfc_node_in_name(n, 0));
        return;
    }
    int taken = decided(n, cond);
    if (taken < 0) {
        import_both(n, cond);
        return;
    }
    xfc_value **out = import_branch(n, taken ? "then_branch" : "else_branch");
    for (uint32_t i = 0; i < n->n_out && n->status == XFC_OK; i++) n->out[i] = out[i];
}

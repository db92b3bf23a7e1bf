/* steps.c - see steps.h. */
#include "frontend/onnx/steps.h"
#include "ir/defined.h"
#include "ir/ops/ops.h"
#include "ir/program.h"

void xfc_steps_begin(xfc_steps *s, xfc_node *n, xfc_value *const *carried, uint32_t n_carried) {
    xfc_graph *g = n->im->graph;
    *s = (xfc_steps){.n = n, .carried = carried, .n_carried = n_carried, .after = g->tail};
    s->around = xfc_graph_swap_requirements(g, (xfc_requirements){.of = {.arena = g->arena}});
    s->formals = xfc_op_new(g, NULL, XFC_OP_KERNEL, NULL, 0, n_carried + 1, NULL, 0, n->loc);
    s->formals->out[0].type = (xfc_type){.dtype = XFC_I64};
    s->number = &s->formals->out[0];
    s->in = s->formals->out + 1;
    for (uint32_t i = 0; i < n_carried; i++) s->in[i].type = carried[i]->type;
}

xfc_op *xfc_steps_end(xfc_steps *s, xfc_value *trip, xfc_value *cond, xfc_value *const *out, uint32_t lists,
                      xfc_int size) {
    xfc_node *n = s->n;
    xfc_graph *g = n->im->graph;
    xfc_requirements required = xfc_graph_swap_requirements(g, s->around);
    xfc_probe_forget(&n->im->probe); /* what was proved by them */
    if (!out || n->status != XFC_OK) return NULL;
    for (uint32_t i = 0; i < 1 + s->n_carried + lists; i++)
        if (!out[i]) return NULL; /* reported */
    xfc_captures captured = {0};
    xfc_graph *body = xfc_outline(g, s->after, s->formals, out, 1 + s->n_carried + lists,
                                  xfc_sprintf(n->im->arena, "%s/body", n->loc.node), &captured);
    xfc_op *op = xfc_b_loop(n->b, trip, cond, s->carried, s->n_carried, &captured, body, size);
    if (op) xfc_graph_require_all(body, required.constraint, required.n);
    return op;
}

bool xfc_steps_may_be(xfc_steps *s, const xfc_type *a, const xfc_type *b) {
    const xfc_defined lets = {.ctx = s->n->ctx, .lets = true};
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (xfc_int_same(a->dim[d], b->dim[d])) continue;
        bool may = s->stays || xfc_defined_in(&lets, a->dim[d]) || xfc_defined_in(&lets, b->dim[d]);
        if (!may || !xfc_graph_require(s->n->im->graph, b->dim[d], a->dim[d], 0, s->n->loc)) return false;
    }
    return true;
}

xfc_value *xfc_steps_next(xfc_steps *s, uint32_t i, xfc_value *next) {
    const xfc_type *a = &s->carried[i]->type, *b = &next->type;
    if (xfc_steps_may_be(s, a, b)) return xfc_b_reshape(s->n->b, next, a->dim, a->rank);
    xfc_node_fail(
        s->n, XFC_ERR_UNSUPPORTED,
        "what it carries as output %u is %s at first and %s behind a step; only shapes that stay are supported", i,
        xfc_type_text(s->n->ctx, a), xfc_type_text(s->n->ctx, b));
    return NULL;
}

xfc_value *xfc_n_row(xfc_node *n, xfc_value *v, xfc_value *number, uint32_t axis) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return v && number ? xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){v, number}, 2, &attr, 1) : NULL;
}

xfc_value *xfc_n_reverse(xfc_node *n, xfc_value *v, uint32_t axis) {
    if (!v) return NULL;
    return xfc_b_slice_axis(n->b, v, axis, xfc_int_addc(n->ctx, v->type.dim[axis], -1), v->type.dim[axis], -1);
}

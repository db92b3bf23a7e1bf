/* print_plan.c - the plan of a graph as text: the workspace, weights, and a place for each value.
 *
 * The weights of a program are those of its entry's plan; each is printed where a reader can name it, with the first
 * graph that has the constant.
 */
#include "ir/program.h"
#include "ir/text/print_impl.h"

#include <inttypes.h>

xfc_map xfc_pr_consts(const xfc_graph *g, xfc_arena *arena) {
    xfc_map found = {.arena = arena};
    xfc_foreach_op_deep(op, g) {
        const xfc_tensor *t;
        if (op->code != XFC_OP_CONST || !xfc_value_is_const(&op->out[0], &t)) continue;
        if (!xfc_map_get(&found, t->id)) xfc_map_set(&found, t->id, (uint64_t)(uintptr_t)&op->out[0]);
    }
    return found;
}

static void print_place(xfc_printer *p, const xfc_value *v) {
    const xfc_plan *plan = p->graph->plan;
    if (v->id >= plan->n_places || plan->place[v->id].space == XFC_SPACE_NONE) return;
    const xfc_place *at = &plan->place[v->id];
    xfc_buf_str(p->out, "    ");
    xfc_pr_value(p, v);
    switch (at->space) {
    case XFC_SPACE_NONE: break;
    case XFC_SPACE_INPUT: xfc_buf_printf(p->out, " input %u", (unsigned)at->index); break;
    case XFC_SPACE_OUTPUT: xfc_buf_printf(p->out, " output %u", (unsigned)at->index); break;
    case XFC_SPACE_WEIGHT: xfc_buf_str(p->out, " weight"); break;
    case XFC_SPACE_WORK: xfc_buf_str(p->out, " work"); break;
    case XFC_SPACE_HEAP: xfc_buf_printf(p->out, " heap %u", (unsigned)at->index); break;
    }
    if (xfc_int_known(at->offset)) {
        xfc_buf_str(p->out, " at ");
        xfc_pr_int(p, at->offset);
    }
    xfc_buf_char(p->out, '\n');
}

/* A weight of the program stands in the plan of the first graph that has it. */
static void print_weights(xfc_printer *p) {
    const xfc_plan *plan = xfc_graph_entry(p->graph)->plan;
    for (uint32_t i = 0; plan && i < plan->n_weights; i++) {
        const xfc_value *v = xfc_map_get_ptr(&p->consts, (void *)(uintptr_t)plan->weight[i]->id);
        if (v ? v->def->graph != p->graph : p->graph->user != NULL) continue;
        xfc_buf_str(p->out, "    weight ");
        if (v)
            xfc_pr_value(p, v);
        else
            xfc_buf_printf(p->out, "data %u", (unsigned)plan->weight[i]->id);
        xfc_buf_printf(p->out, " at %" PRIu64 "\n", plan->weight_offset[i]);
    }
}

void xfc_pr_plan(xfc_printer *p) {
    const xfc_plan *plan = p->graph->plan;
    xfc_buf_str(p->out, "  plan {\n    work ");
    xfc_pr_int(p, plan->work_bytes);
    if (xfc_int_known(plan->bodies)) xfc_buf_str(p->out, " bodies ");
    if (xfc_int_known(plan->bodies)) xfc_pr_int(p, plan->bodies);
    if (plan->n_slots) xfc_buf_printf(p->out, " heap %u", (unsigned)plan->n_slots);
    xfc_buf_printf(p->out, "\n    weights %" PRIu64 "\n", plan->weight_bytes);
    print_weights(p);
    for (uint32_t i = 0; i < p->graph->n_in; i++) print_place(p, p->graph->in[i]);
    xfc_foreach_op(op, p->graph)
        for (uint32_t i = 0; i < op->n_out; i++) print_place(p, &op->out[i]);
    xfc_buf_str(p->out, "  }\n");
}

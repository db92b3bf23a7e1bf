/* place.c - where the values of a program lie: the places of a body, in terms of its entry.
 *
 * Each graph of a program was planned on its own (passes/lower/plan.c). Inputs and outputs of a body are operands and
 * results of the op around it, its workspace lies in the room that the graph around it keeps for bodies, its slots of
 * the heap behind those of the graph around it; a loop keeps more there (xfc_loop_layout).
 */
#include "backends/artefact.h"
#include "ir/program.h"

static xfc_int bodies_of(const xfc_graph *g);

/* Where the workspace of g begins in that of the entry. */
static xfc_int workspace_of(const xfc_graph *g) {
    if (!g->user) return xfc_int_const(g->ctx, 0);
    xfc_int at = bodies_of(g->user->graph);
    return g->user->code == XFC_OP_LOOP ? xfc_int_add(g->ctx, at, xfc_loop_layout(g->user, NULL)) : at;
}

static xfc_int bodies_of(const xfc_graph *g) { return xfc_int_add(g->ctx, workspace_of(g), g->plan->bodies); }

/* How many slots of the heap stand in front of those of g. */
static uint32_t slots_around(const xfc_graph *g) {
    const xfc_op *around = g->user;
    if (!around) return 0;
    uint32_t returned = around->code == XFC_OP_LOOP ? g->n_out : 0;
    return slots_around(around->graph) + around->graph->plan->n_slots + returned;
}

uint32_t xfc_heap_slots(const xfc_graph *entry) {
    xfc_arena *scratch = xfc_arena_new();
    uint32_t n, most = 0;
    xfc_graph **tree = xfc_graph_tree((xfc_graph *)(uintptr_t)entry, scratch, &n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slots = slots_around(tree[i]) + tree[i]->plan->n_slots;
        if (slots > most) most = slots;
    }
    xfc_arena_free(scratch);
    return most;
}

/* A loop keeps the number of the step, and what its body returns, in the room of its bodies; what it carries stands in
 * its results. */
static xfc_place place_in_loop(const xfc_op *loop, xfc_place p) {
    bool input = p.space == XFC_SPACE_INPUT;
    xfc_ctx *c = loop->graph->ctx;
    if (input && p.index > xfc_loop_carried(loop)) return xfc_place_of(loop->graph, loop->in[p.index + 1].value);
    if (input && p.index > 0) return xfc_place_of(loop->graph, &loop->out[p.index - 1]);
    xfc_arena *scratch = xfc_arena_new();
    xfc_int *place = xfc_new_array(scratch, xfc_int, loop->n_out + 1u), at = xfc_int_const(c, 0);
    xfc_loop_layout(loop, place);
    if (!input) at = place[p.index];
    xfc_arena_free(scratch);
    if (!xfc_int_known(at))
        return (xfc_place){XFC_SPACE_HEAP, slots_around(loop->graph) + loop->graph->plan->n_slots + p.index, at};
    return (xfc_place){XFC_SPACE_WORK, 0, xfc_int_add(c, bodies_of(loop->graph), at)};
}

xfc_place xfc_place_of(const xfc_graph *g, const xfc_value *v) {
    xfc_assert(v && v->id < g->plan->n_places);
    xfc_place p = g->plan->place[v->id];
    const xfc_op *around = g->user;
    if (!around) return p;
    if (around->code == XFC_OP_LOOP && (p.space == XFC_SPACE_INPUT || p.space == XFC_SPACE_OUTPUT))
        return place_in_loop(around, p);
    if (p.space == XFC_SPACE_INPUT) return xfc_place_of(around->graph, around->in[p.index + 1].value);
    if (p.space == XFC_SPACE_OUTPUT) return xfc_place_of(around->graph, &around->out[p.index]);
    if (p.space == XFC_SPACE_WORK) p.offset = xfc_int_add(g->ctx, p.offset, workspace_of(g));
    if (p.space == XFC_SPACE_HEAP) p.index += slots_around(g);
    return p;
}

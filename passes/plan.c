/* plan.c - a place for every value: caller's tensors, weights, or one workspace.
 *
 * Sizes are symbolic, so offsets are too. The workspace is a row of slots; a slot's size is the maximum of the values
 * that take turns in it. Going through the kernels in order, a result takes a free slot of the very same size if there
 * is one, else the free slot that it surely fits or surely contains, else any free slot, else a new one; a slot is free
 * again after its value's last reader. Results that are graph outputs go to the caller's memory. Constants become
 * weights, equal ones once, each 64-byte aligned. Where a size depends on what an op defines during the run, the most
 * that it can be is planned for: no place moves while the model runs. Temporaries of kernels are per-worker scratch and
 * not planned here.
 * When: last. Raises the stage to PLANNED.
 */
#include "ir/defined.h"
#include "passes/pass.h"

enum { ALIGN = 64 };

typedef struct {
    xfc_int size;
    const xfc_op *free_after;
} slot; /* NULL: free */

typedef struct {
    xfc_graph *g;
    xfc_ctx *ctx;
    xfc_arena *arena, *scratch;
    xfc_plan *plan;
    slot *slots;
    uint32_t n_slots, cap_slots, cap_weights, cap_offsets, *slot_of; /* slot_of: by value id */
    xfc_map weights;                                                 /* tensor hash -> index + 1 */
    xfc_defined defined;
    xfc_status status;
} planner;

static xfc_int bytes_of(const planner *p, const xfc_type *t) {
    xfc_int count = xfc_defined_most(&p->defined, xfc_type_count(p->ctx, t));
    xfc_int bytes = xfc_int_mulc(p->ctx, count, xfc_dtype_bytes(t->dtype));
    return xfc_int_mulc(p->ctx, xfc_int_ceildiv(p->ctx, bytes, xfc_int_const(p->ctx, ALIGN)), ALIGN);
}

static void place_weight(planner *p, const xfc_value *v, const xfc_tensor *t) {
    xfc_plan *plan = p->plan;
    uint64_t key = xfc_tensor_hash(p->ctx, t), at = xfc_map_get(&p->weights, key);
    while (at && !xfc_tensor_equal(plan->weight[at - 1], t)) at = xfc_map_get(&p->weights, ++key);
    if (!at) {
        uint32_t n = plan->n_weights;
        xfc_push(p->arena, plan->weight_offset, n, p->cap_offsets) = plan->weight_bytes;
        xfc_push(p->arena, plan->weight, plan->n_weights, p->cap_weights) = t;
        plan->weight_bytes += (t->bytes + ALIGN - 1) / ALIGN * ALIGN;
        at = plan->n_weights;
        xfc_map_set(&p->weights, key, at);
    }
    plan->place[v->id] =
        (xfc_place){XFC_SPACE_WEIGHT, (uint32_t)(at - 1), xfc_int_const(p->ctx, (int64_t)plan->weight_offset[at - 1])};
}

static void place_outputs(planner *p) {
    for (uint32_t i = 0; i < p->g->n_out; i++) {
        const xfc_value *v = p->g->last->in[i].value;
        xfc_place *at = &p->plan->place[v->id];
        /* legalize inserted copies */
        xfc_assert(at->space == XFC_SPACE_NONE && v->def && v->def->code != XFC_OP_CONST);
        *at = (xfc_place){XFC_SPACE_OUTPUT, i, xfc_int_const(p->ctx, 0)};
    }
}

static const xfc_op *last_user(const xfc_value *v) {
    const xfc_op *last = v->def;
    xfc_foreach_use(u, v)
        if (u->user->mark > last->mark) last = u->user;
    return last;
}

/* Better slots have lower rank: 0 same size, 1 comparable, 2 any. */
static int fit(const planner *p, const slot *s, xfc_int size) {
    if (xfc_int_same(s->size, size)) return 0;
    return xfc_int_le(p->ctx, size, s->size) == 1 || xfc_int_le(p->ctx, s->size, size) == 1 ? 1 : 2;
}

static void place_work(planner *p, const xfc_value *v) {
    xfc_int size = bytes_of(p, &v->type);
    if (!xfc_int_known(size)) {
        p->status =
            xfc_fail(p->ctx, XFC_ERR_UNSUPPORTED, v->def->loc,
                     "no memory can be planned for a result of this node: its size depends on the data in a way "
                     "that has no bound; disable the pass that packs sequences (--unpad=off)");
        size = xfc_int_const(p->ctx, 0);
    }
    uint32_t best = XFC_NO_ARG;
    int best_fit = 3;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        int f = p->slots[i].free_after ? 3 : fit(p, &p->slots[i], size);
        if (f < best_fit) {
            best_fit = f;
            best = i;
        }
    }
    if (best == XFC_NO_ARG) {
        best = p->n_slots;
        xfc_push(p->scratch, p->slots, p->n_slots, p->cap_slots) = (slot){.size = size};
    }
    p->slots[best].size = xfc_int_max(p->ctx, p->slots[best].size, size);
    p->slots[best].free_after = last_user(v);
    p->slot_of[v->id] = best;
    p->plan->place[v->id].space = XFC_SPACE_WORK;
}

static void place_results(planner *p) {
    xfc_foreach_op(op, p->g) {
        if (op->code == XFC_OP_CONST) continue;
        for (uint32_t i = 0; i < op->n_out; i++)
            if (p->plan->place[op->out[i].id].space == XFC_SPACE_NONE) place_work(p, &op->out[i]);
        for (uint32_t s = 0; s < p->n_slots; s++)
            if (p->slots[s].free_after == op) p->slots[s].free_after = NULL;
    }
}

static void set_offsets(planner *p) {
    xfc_int *start = xfc_new_array(p->scratch, xfc_int, p->n_slots + 1u);
    start[0] = xfc_int_const(p->ctx, 0);
    for (uint32_t s = 0; s < p->n_slots; s++) start[s + 1] = xfc_int_add(p->ctx, start[s], p->slots[s].size);
    for (uint32_t id = 0; id < p->plan->n_places; id++)
        if (p->plan->place[id].space == XFC_SPACE_WORK) p->plan->place[id].offset = start[p->slot_of[id]];
    p->plan->work_bytes = start[p->n_slots];
}

bool xfc_plan_memory(xfc_pass *pass) {
    xfc_graph *g = pass->graph;
    planner p = {.g = g,
                 .ctx = g->ctx,
                 .arena = g->arena,
                 .scratch = pass->scratch,
                 .plan = xfc_new(g->arena, xfc_plan),
                 .weights = {.arena = pass->scratch}};
    p.plan->n_places = g->next_value_id;
    p.plan->place = xfc_new_array(g->arena, xfc_place, g->next_value_id);
    p.slot_of = xfc_new_array(pass->scratch, uint32_t, g->next_value_id);
    p.defined = xfc_defined_of(g, pass->scratch);
    uint32_t order = 0;
    for (uint32_t i = 0; i < g->n_in; i++)
        p.plan->place[g->in[i]->id] = (xfc_place){XFC_SPACE_INPUT, i, xfc_int_const(g->ctx, 0)};
    xfc_foreach_op(op, g) {
        const xfc_tensor *t;
        op->mark = order++;
        if (op->n_out == 1 && xfc_value_is_const(&op->out[0], &t)) place_weight(&p, &op->out[0], t);
    }
    place_outputs(&p);
    place_results(&p);
    set_offsets(&p);
    pass->status = p.status;
    g->plan = p.plan;
    g->stage = XFC_STAGE_PLANNED;
    return true;
}

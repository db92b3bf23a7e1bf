/* plan.c - a place for every value: caller's tensors, weights, or one workspace.
 *
 * Sizes are symbolic, so offsets are too. The workspace is a row of slots; a slot's size is the maximum of the values
 * that take turns in it. The largest values choose first (large where every dim has a usual value): of the slots that
 * are free for them the smallest one that surely holds them, else the smallest, else a new one. A slot is free for a
 * value if nobody else is in it from the op that makes the value to its last reader, or only values that are surely
 * empty when this one is not (the padded program and the ragged one). Results that are graph outputs go to the caller's
 * memory. Constants become weights, equal ones once, each 64-byte aligned. Where a size depends on what an op defines
 * during the run, the most that it can be is planned for: no place moves while the model runs. A value that has no such
 * bound gets a slot of the heap, which grows when the value is made; values take turns in it, too. Temporaries of kernels
 * are per-worker scratch and not planned here. A body is planned as a graph of its own: its inputs and outputs are
 * places of the graph around it, its workspace lies behind that graph's. When: last. Raises the stage to PLANNED.
 */
#include "ir/defined.h"
#include "ir/program.h"
#include "passes/pass.h"
#include <stdlib.h>

enum { ALIGN = 64 };

typedef struct item { /* a value that lives in the workspace */
    const xfc_value *value;
    xfc_int size;
    int64_t usual;      /* size where every dim has its usual value */
    uint32_t def, last; /* the ops that make it and that read it last */
    uint64_t empty;     /* symbols that leave it without elements */
    struct item *next;  /* in its slot */
} item;

typedef struct {
    xfc_int size;
    int64_t usual;
    item *first;
} slot;

typedef struct {
    xfc_graph *g;
    xfc_ctx *ctx;
    xfc_arena *arena, *scratch;
    xfc_plan *plan;
    item *items;
    slot *slots;
    uint32_t n_items, cap_items, n_slots, cap_slots, cap_weights, cap_offsets, *slot_of; /* slot_of: by value id */
    xfc_map weights;                                                                     /* tensor hash -> index + 1 */
    uint32_t *taken, cap_taken; /* by slot of the heap: the last op that reads it */
    const xfc_defined *defined;
    xfc_status status;
} planner;

static xfc_int bytes_of(const planner *p, const xfc_type *t) {
    xfc_int count = xfc_defined_most(p->defined, xfc_type_count(p->ctx, t));
    xfc_int bytes = xfc_bytes_of(p->ctx, t->dtype, count);
    return xfc_int_mulc(p->ctx, xfc_int_ceildiv(p->ctx, bytes, xfc_int_const(p->ctx, ALIGN)), ALIGN);
}

/* Of the graph or of a body in it. */
static void place_weight(planner *p, xfc_plan *of, const xfc_value *v, const xfc_tensor *t) {
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
    of->place[v->id] =
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

/* --- the workspace --- */

static bool usual_dim(void *user, uint32_t symbol_id, int64_t *out) {
    enum { USUAL = 64 };
    int64_t lo, hi;
    xfc_int_range(user, (xfc_int){symbol_id}, &lo, &hi);
    *out = lo > USUAL ? lo : hi < USUAL ? hi : USUAL;
    return true;
}

/* Values come in the order of ops: a slot is free once its last reader stands before. */
static void place_in_heap(planner *p, const xfc_value *v) {
    xfc_plan *plan = p->plan;
    uint32_t at = 0;
    while (at < plan->n_slots && p->taken[at] >= v->def->mark) at++;
    if (at == plan->n_slots) xfc_push(p->scratch, p->taken, plan->n_slots, p->cap_taken) = 0;
    p->taken[at] = last_user(v)->mark;
    plan->place[v->id] = (xfc_place){XFC_SPACE_HEAP, at, XFC_INT_NONE};
    if (!xfc_int_known(xfc_type_count(p->ctx, &v->type)))
        p->status = xfc_fail(p->ctx, XFC_ERR_LIMIT, v->def->loc, XFC_INT_UNKNOWN, "the size of a result");
}

static void add_item(planner *p, const xfc_value *v) {
    item i = {.value = v, .size = bytes_of(p, &v->type), .def = v->def->mark, .last = last_user(v)->mark};
    if (!xfc_int_known(i.size)) {
        place_in_heap(p, v);
        return;
    }
    if (!xfc_int_evaluate(p->ctx, i.size, usual_dim, p->ctx, &i.usual)) i.usual = INT64_MAX;
    i.empty = xfc_defined_empties(p->defined, xfc_type_count(p->ctx, &v->type));
    xfc_push(p->scratch, p->items, p->n_items, p->cap_items) = i;
}

/* Larger first, then in the order of the graph. */
static int by_size(const void *a, const void *b) {
    const item *x = a, *y = b;
    if (x->usual != y->usual) return x->usual < y->usual ? 1 : -1;
    return x->value->id < y->value->id ? -1 : x->value->id > y->value->id;
}

static bool is_free(const planner *p, const slot *s, const item *i) {
    for (const item *t = s->first; t; t = t->next) {
        bool together = t->def <= i->last && i->def <= t->last;
        if (together && !xfc_defined_alternatives(p->defined, t->empty, i->empty)) return false;
    }
    return true;
}

/* Of the slots that are free for it, the smallest that surely holds it whatever the dims; else the smallest. */
static uint32_t best_slot(planner *p, const item *i) {
    uint32_t best = p->n_slots;
    bool best_holds = false;
    for (uint32_t k = 0; k < p->n_slots; k++) {
        const slot *s = &p->slots[k];
        if (!is_free(p, s, i)) continue;
        bool holds = xfc_int_le(p->ctx, i->size, s->size) == 1;
        bool smaller = best == p->n_slots || s->usual < p->slots[best].usual;
        if (holds == best_holds ? !smaller : best_holds) continue;
        best = k;
        best_holds = holds;
    }
    if (best == p->n_slots) xfc_push(p->scratch, p->slots, p->n_slots, p->cap_slots) = (slot){i->size, i->usual, NULL};
    return best;
}

static void place_item(planner *p, item *i) {
    uint32_t at = best_slot(p, i);
    slot *s = &p->slots[at];
    i->next = s->first;
    s->first = i;
    s->size = xfc_int_max(p->ctx, s->size, i->size);
    p->slot_of[i->value->id] = at;
    p->plan->place[i->value->id].space = XFC_SPACE_WORK;
}

static void place_results(planner *p) {
    xfc_foreach_op(op, p->g) {
        if (op->code == XFC_OP_CONST) continue;
        for (uint32_t i = 0; i < op->n_out; i++)
            if (p->plan->place[op->out[i].id].space == XFC_SPACE_NONE) add_item(p, &op->out[i]);
    }
    if (p->n_items) qsort(p->items, p->n_items, sizeof *p->items, by_size);
    for (uint32_t i = 0; i < p->n_items; i++) place_item(p, &p->items[i]);
}

static void set_offsets(planner *p) {
    xfc_int *start = xfc_new_array(p->scratch, xfc_int, p->n_slots + 1u);
    start[0] = xfc_int_const(p->ctx, 0);
    for (uint32_t s = 0; s < p->n_slots; s++) start[s + 1] = xfc_int_add(p->ctx, start[s], p->slots[s].size);
    for (uint32_t id = 0; id < p->plan->n_places; id++)
        if (p->plan->place[id].space == XFC_SPACE_WORK) p->plan->place[id].offset = start[p->slot_of[id]];
    p->plan->work_bytes = start[p->n_slots];
}

/* Bodies lie behind all that lives around them, and over one another: one runs at a time. */
static void make_room_for_bodies(planner *p) {
    xfc_int most = XFC_INT_NONE;
    bool any = false;
    xfc_foreach_op(op, p->g) {
        if (!xfc_op_has(op, XFC_REGION)) continue;
        xfc_int bytes = xfc_region_bytes(op);
        most = any ? xfc_int_max(p->ctx, most, bytes) : bytes;
        any = true;
    }
    if (!any) return;
    p->plan->bodies = p->plan->work_bytes;
    p->plan->work_bytes = xfc_int_add(p->ctx, p->plan->bodies, most);
}

/* Weights of the whole program, once it is planned up to its entry. */
static void place_weights(planner *p) {
    if (p->g->user) return;
    xfc_foreach_op_deep(op, p->g) {
        const xfc_tensor *t;
        if (op->n_out != 1 || !xfc_value_is_const(&op->out[0], &t)) continue;
        place_weight(p, op->graph == p->g ? p->plan : op->graph->plan, &op->out[0], t);
    }
}

bool xfc_plan_memory(xfc_pass *pass) {
    xfc_graph *g = pass->graph;
    planner p = {.g = g,
                 .ctx = g->ctx,
                 .arena = g->arena,
                 .scratch = pass->scratch,
                 .plan = xfc_new(g->arena, xfc_plan),
                 .defined = pass->defined,
                 .weights = {.arena = pass->scratch}};
    p.plan->n_places = g->next_value_id;
    p.plan->place = xfc_new_array(g->arena, xfc_place, g->next_value_id);
    p.slot_of = xfc_new_array(pass->scratch, uint32_t, g->next_value_id);
    uint32_t order = 0;
    for (uint32_t i = 0; i < g->n_in; i++)
        p.plan->place[g->in[i]->id] = (xfc_place){XFC_SPACE_INPUT, i, xfc_int_const(g->ctx, 0)};
    xfc_foreach_op(op, g) op->mark = order++;
    place_weights(&p);
    place_outputs(&p);
    place_results(&p);
    set_offsets(&p);
    make_room_for_bodies(&p);
    pass->status = p.status;
    g->plan = p.plan;
    g->stage = XFC_STAGE_PLANNED;
    return true;
}

/* plan.c - the plan: every value has a place, weights lie in their file, and no two live values share bytes.
 *
 * Values live from their op to their last use. One that dies where another is born may lend it its bytes (in place);
 * beyond that, two whose lives overlap must not surely overlap in bytes, unless one of them is always empty. Symbolic
 * offsets that cannot be compared are not blamed.
 */
#include "ir/verify/verify_impl.h"

typedef struct {
    const xfc_value *value;
    xfc_int begin, end; /* bytes */
    uint32_t def, last; /* positions of ops */
    uint32_t slot;      /* of the heap, + 1 */
    uint64_t empty;     /* symbols that leave it without elements */
} life;

/* The most that it may have: a place is fixed before the run. */
static xfc_int bytes_of(xfc_verifier *v, const xfc_value *x) {
    const xfc_defined d = xfc_vf_defined(v);
    xfc_int n = xfc_defined_most(&d, xfc_type_count(v->ctx, &x->type));
    return xfc_bytes_of(v->ctx, x->type.dtype, n);
}

static void say(xfc_verifier *v, const xfc_value *x, const char *what) {
    xfc_buf name = {.arena = v->scratch};
    if (x->name)
        xfc_buf_plain(&name, x->name);
    else
        xfc_buf_printf(&name, "%u", (unsigned)x->id);
    xfc_vf_defect(v, "plan: %%%s %s", name.text, what);
}

/* The weights of a program stand with its entry. */
static void check_weight(xfc_verifier *v, const xfc_value *x, const xfc_place *at) {
    const xfc_plan *p = xfc_graph_entry(v->g)->plan;
    const xfc_tensor *t;
    int64_t offset;
    if (!p || !xfc_value_is_const(x, &t)) {
        say(v, x, "is no constant but stands among the weights");
        return;
    }
    if (!xfc_int_value(v->ctx, at->offset, &offset) || offset < 0) {
        say(v, x, "has no number for its offset");
        return;
    }
    bool found = false;
    for (uint32_t i = 0; i < p->n_weights && !found; i++)
        found = p->weight_offset[i] == (uint64_t)offset && xfc_tensor_equal(p->weight[i], t);
    if (!found) say(v, x, "is not in the table of weights");
}

static void check_weights(xfc_verifier *v) {
    const xfc_plan *p = v->g->plan;
    uint64_t end = 0;
    for (uint32_t i = 0; i < p->n_weights; i++) {
        uint64_t at = p->weight_offset[i];
        if (at % 64) xfc_vf_defect(v, "plan: weight %u is not aligned to 64 bytes", (unsigned)i);
        if (at > p->weight_bytes || p->weight[i]->bytes > p->weight_bytes - at)
            xfc_vf_defect(v, "plan: weight %u reaches beyond the weights", (unsigned)i);
        if (at < end)
            xfc_vf_defect(v, "plan: weight %u overlaps the one before it", (unsigned)i);
        else
            end = at + p->weight[i]->bytes;
    }
}

/* Known when the run begins, and staying so. */
static bool fixed_size(xfc_verifier *v, xfc_int e, const char *what) {
    const xfc_defined d = xfc_vf_defined(v);
    if (!xfc_vf_size(v, e, what)) return false;
    if (!xfc_defined_in(&d, e)) return true;
    xfc_vf_defect(v, "%s depends on what an op defines while the model runs", what);
    return false;
}

static void check_place(xfc_verifier *v, const xfc_value *x) {
    const xfc_plan *p = v->g->plan;
    if (x->id >= p->n_places || p->place[x->id].space == XFC_SPACE_NONE) {
        say(v, x, "has no place");
        return;
    }
    const xfc_place *at = &p->place[x->id];
    if ((at->space == XFC_SPACE_INPUT) != (x->def == NULL))
        say(v, x, "is an input in another place, or something else among the inputs");
    switch (at->space) {
    case XFC_SPACE_NONE: break;
    case XFC_SPACE_INPUT:
        if (at->index != x->out) say(v, x, "has the place of another input");
        break;
    case XFC_SPACE_OUTPUT:
        if (at->index >= v->g->n_out || v->g->last->in[at->index].value != x)
            say(v, x, "has the place of another output");
        break;
    case XFC_SPACE_WEIGHT: check_weight(v, x, at); break;
    case XFC_SPACE_WORK:
        if (!fixed_size(v, at->offset, "plan: an offset")) break;
        if (xfc_int_divisor(v->ctx, at->offset) % 64) say(v, x, "is not aligned to 64 bytes");
        xfc_int end = xfc_int_known(p->bodies) ? p->bodies : p->work_bytes;
        if (!xfc_int_known(bytes_of(v, x)))
            say(v, x, "has no bound and lies in the workspace");
        else if (xfc_int_lt(v->ctx, end, xfc_int_add(v->ctx, at->offset, bytes_of(v, x))) == 1)
            say(v, x, "reaches beyond the workspace");
        break;
    case XFC_SPACE_HEAP:
        if (at->index >= p->n_slots) say(v, x, "has a slot that the heap has not");
        break;
    }
}

/* --- lives --- */

static bool same_bytes(xfc_ctx *c, const life *a, const life *b) {
    if (a->slot || b->slot) return a->slot == b->slot;
    bool empty = xfc_int_le(c, a->end, a->begin) != 0 || xfc_int_le(c, b->end, b->begin) != 0;
    return !empty && xfc_int_lt(c, a->begin, b->end) == 1 && xfc_int_lt(c, b->begin, a->end) == 1;
}

static void check_lives(xfc_verifier *v, const uint32_t *last_use) {
    const xfc_plan *p = v->g->plan;
    const xfc_defined d = xfc_defined_of(v->g, v->scratch);
    life *live = NULL;
    uint32_t n = 0, cap = 0, at = 0;
    for (const xfc_op *op = v->g->first; op; op = op->next, at++) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n; i++)
            if (live[i].last + (live[i].slot != 0) > at) live[kept++] = live[i]; /* a slot moves when it grows */
        n = kept;
        for (uint32_t i = 0; i < op->n_out; i++) {
            const xfc_value *x = &op->out[i];
            const xfc_place *place = &p->place[x->id];
            bool heap = place->space == XFC_SPACE_HEAP;
            if (place->space != XFC_SPACE_WORK && !heap) continue;
            life l = {.value = x, .begin = place->offset, .def = at, .last = last_use[x->id]};
            l.slot = heap ? place->index + 1 : 0;
            l.end = xfc_int_add(v->ctx, l.begin, bytes_of(v, x));
            l.empty = xfc_defined_empties(&d, xfc_type_count(v->ctx, &x->type));
            for (uint32_t k = 0; k < n; k++)
                if (same_bytes(v->ctx, &live[k], &l) && !xfc_defined_alternatives(&d, live[k].empty, l.empty))
                    say(v, x, "shares bytes with a value that is still needed");
            xfc_push(v->scratch, live, n, cap) = l;
        }
    }
}

static uint32_t *last_uses(xfc_verifier *v) {
    uint32_t *last = xfc_new_array(v->scratch, uint32_t, v->g->next_value_id), at = 0;
    for (const xfc_op *op = v->g->first; op; op = op->next, at++)
        for (uint32_t i = 0; i < op->n_in; i++)
            if (op->in[i].value) last[op->in[i].value->id] = at;
    return last;
}

/* Whatever lives while a body runs does not reach into what is the body's. */
static void check_bodies(xfc_verifier *v, const xfc_op *op) {
    const xfc_plan *p = v->g->plan;
    if (!xfc_op_has(op, XFC_REGION)) return;
    if (!xfc_int_known(p->bodies))
        xfc_vf_defect(v, "plan: no room for bodies");
    else if (fixed_size(v, p->bodies, "plan: the place of bodies") &&
             xfc_int_lt(v->ctx, p->work_bytes, xfc_int_add(v->ctx, p->bodies, xfc_region_bytes(op))) == 1)
        xfc_vf_defect(v, "plan: a body reaches beyond the workspace");
}

void xfc_vf_plan(xfc_verifier *v) {
    v->op = NULL;
    if (!fixed_size(v, v->g->plan->work_bytes, "plan: the size of the workspace")) return;
    for (uint32_t i = 0; i < v->g->n_in; i++) check_place(v, v->g->in[i]);
    for (const xfc_op *op = v->g->first; op; op = op->next) {
        check_bodies(v, op);
        for (uint32_t i = 0; i < op->n_out; i++) check_place(v, &op->out[i]);
    }
    check_weights(v);
    if (v->ok) check_lives(v, last_uses(v));
}

/* steps.c - see steps.h. */
#include "frontend/onnx/control/steps.h"
#include "ir/defined.h"
#include "ir/ops/ops.h"
#include "ir/program.h"

static void open_body(xfc_steps *s) {
    xfc_node *n = s->n;
    xfc_graph *g = n->im->graph;
    s->after = g->tail;
    s->around = xfc_graph_swap_requirements(g, (xfc_requirements){.of = {.arena = g->arena}});
    s->formals = xfc_op_new(g, NULL, XFC_OP_KERNEL, NULL, 0, s->n_carried + 1, NULL, 0, n->loc);
    s->formals->out[0].type = (xfc_type){.dtype = XFC_I64};
    s->number = &s->formals->out[0];
    s->in = s->formals->out + 1;
    for (uint32_t i = 0; i < s->n_carried; i++) {
        xfc_type *t = &s->in[i].type;
        *t = s->carried[i]->type;
        for (uint32_t d = 0; d < t->rank; d++) {
            uint32_t class = s->class[i * XFC_MAX_RANK + d];
            if (class) t->dim[d] = s->symbol[class - 1];
        }
    }
}

void xfc_steps_begin(xfc_steps *s, xfc_node *n, xfc_value *const *carried, uint32_t n_carried) {
    *s = (xfc_steps){.n = n, .carried = carried, .n_carried = n_carried};
    s->class = xfc_new_array(n->im->arena, uint32_t, n_carried *XFC_MAX_RANK + 1);
    open_body(s);
}

void xfc_steps_drop(xfc_steps *s) {
    xfc_graph *g = s->n->im->graph;
    (void)xfc_graph_swap_requirements(g, s->around);
    xfc_probe_forget(&s->n->im->probe);
    xfc_cut(s->after, g->tail);
}

/* One number for dims that were one symbol and are the same now, or were not but are the same, at first and now. */
static uint32_t class_of(xfc_map *known, uint32_t *n, uint32_t class, xfc_int first, xfc_int next) {
    const uint64_t was = class ? UINT64_C(1) << 31 | class : first.id, key = was << 32 | next.id;
    uint64_t have = xfc_map_get(known, key);
    if (!have) xfc_map_set(known, key, have = ++*n);
    return (uint32_t)have;
}

static bool may_change(xfc_steps *s, uint32_t i, const xfc_type *next) {
    const xfc_type *first = &s->carried[i]->type;
    if (first->dtype == next->dtype && first->rank == next->rank) return true;
    xfc_node_fail(
        s->n, XFC_ERR_UNSUPPORTED,
        "what it carries as output %u is %s at first and %s behind a step; its element type and rank must stay", i,
        xfc_type_text(s->n->ctx, first), xfc_type_text(s->n->ctx, next));
    return false;
}

bool xfc_steps_change(xfc_steps *s, xfc_value *const *next) {
    xfc_arena *arena = s->n->im->arena;
    uint32_t *class = xfc_new_array(arena, uint32_t, s->n_carried *XFC_MAX_RANK + 1), count = 0;
    xfc_map known = {.arena = arena};
    for (uint32_t i = 0; i < s->n_carried; i++) {
        if (!may_change(s, i, &next[i]->type)) return false;
        for (uint32_t d = 0; d < next[i]->type.rank; d++) {
            const uint32_t at = i * XFC_MAX_RANK + d, was = s->class[at];
            const xfc_int first = s->carried[i]->type.dim[d], now = next[i]->type.dim[d];
            if (was || !xfc_int_same(first, now)) class[at] = class_of(&known, &count, was, first, now);
        }
    }
    if (count == s->n_symbols) return false;
    xfc_steps_drop(s);
    s->class = class;
    s->n_symbols = count;
    s->symbol = xfc_new_array(arena, xfc_int, count);
    for (uint32_t i = 0; i < count; i++)
        s->symbol[i] =
            xfc_int_let(s->n->ctx, "size", xfc_int_const(s->n->ctx, 0), xfc_int_const(s->n->ctx, XFC_DIM_MAX));
    open_body(s);
    return true;
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
    xfc_op *op = xfc_b_loop(n->b, trip, cond, s->carried, s->n_carried, &captured, body, size, s->symbol, s->n_symbols);
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

xfc_value *xfc_n_reverse(xfc_node *n, xfc_value *v, uint32_t axis) {
    if (!v) return NULL;
    return xfc_b_slice_axis(n->b, v, axis, xfc_int_addc(n->ctx, v->type.dim[axis], -1), v->type.dim[axis], -1);
}

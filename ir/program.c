/* program.c - graphs and what hangs on them: creation, the tree of bodies, cloning, outlining and inlining.
 *
 * The list of a program is for ownership and names alone; who hangs on whom is told by attributes (down) and
 * `user` (up). Copies of ops share attributes, types and locations with the original; ids are new, except in a clone.
 */
#include "ir/program.h"

#include "ir/defined.h"
#include <string.h>

/* --- creation --- */

static const char *own_name(xfc_program *p, const char *hint) {
    const char *name = xfc_str(p->ctx, hint);
    uint64_t number = name ? xfc_map_get(&p->names, (uint64_t)(uintptr_t)name) : 0;
    if (name) xfc_map_set(&p->names, (uint64_t)(uintptr_t)name, number + 1 + (number == 0));
    return number ? own_name(p, xfc_sprintf(p->arena, "%s.%u", hint, (unsigned)number)) : name;
}

static xfc_graph *new_graph(xfc_ctx *c, xfc_arena *a, xfc_program *p, const char *name) {
    xfc_graph *g = xfc_new(a, xfc_graph);
    g->ctx = c;
    g->arena = a;
    g->program = p;
    g->name = own_name(p, name);
    g->constraint_of.arena = a;
    xfc_push(p->arena, p->graph, p->n, p->cap) = g;
    return g;
}

xfc_graph *xfc_graph_new(xfc_ctx *c, const char *name) {
    xfc_arena *a = xfc_arena_new();
    xfc_program *p = xfc_new(a, xfc_program);
    *p = (xfc_program){.ctx = c, .arena = a, .names = {.arena = a}};
    return new_graph(c, a, p, name);
}

xfc_graph *xfc_body_new(xfc_graph *around, const char *hint) {
    xfc_graph *g = new_graph(around->ctx, xfc_arena_new(), around->program, hint);
    g->stage = around->stage;
    g->source = around->source;
    return g;
}

static void free_one(xfc_graph *g) {
    xfc_foreach_op(op, g) xfc_op_let_go(op);
    xfc_arena_free(g->arena);
}

static void unlist(xfc_graph *g) {
    xfc_program *p = g->program;
    uint32_t i = p->n;
    while (p->graph[--i] != g) {}
    memmove(&p->graph[i], &p->graph[i + 1], (p->n - i - 1) * sizeof *p->graph);
    p->n--;
}

void xfc_graph_free(xfc_graph *g) {
    if (!g) return;
    xfc_program *p = g->program;
    if (g == p->graph[0]) {
        while (p->n > 1) free_one(p->graph[--p->n]);
        free_one(g); /* with the program in its arena */
        return;
    }
    xfc_arena *scratch = xfc_arena_new();
    uint32_t n;
    xfc_graph **tree = xfc_graph_tree(g, scratch, &n);
    for (uint32_t i = 0; i < n; i++) {
        unlist(tree[i]);
        free_one(tree[i]);
    }
    xfc_arena_free(scratch);
}

/* --- the tree --- */

/* A body that another op took over is no longer this one's. */
uint32_t xfc_op_bodies(const xfc_op *op, xfc_graph *out[XFC_MAX_BODIES]) {
    uint32_t n = 0;
    if ((unsigned)op->code >= XFC_OP_COUNT || !xfc_op_has(op, XFC_REGION)) return 0;
    for (uint32_t i = 0; i < op->n_attr; i++) {
        if (xfc_key_kind(op->attr[i].key) != XFC_ATTR_GRAPH || op->attr[i].u.graph->user != op) continue;
        xfc_assert(n < XFC_MAX_BODIES);
        out[n++] = op->attr[i].u.graph;
    }
    return n;
}

xfc_graph *xfc_graph_entry(const xfc_graph *g) {
    while (g->user) g = g->user->graph;
    return (xfc_graph *)(uintptr_t)g;
}

xfc_op *xfc_op_next_deep(const xfc_graph *g, const xfc_op *op) {
    xfc_graph *body[XFC_MAX_BODIES];
    uint32_t n = xfc_op_bodies(op, body), next = 0;
    xfc_assert(n <= XFC_MAX_BODIES);
    for (;;) {
        for (; next < n; next++)
            if (body[next]->first) return body[next]->first;
        if (op->next) return op->next;
        if (op->graph == g) return NULL;
        const xfc_graph *done = op->graph;
        op = done->user;
        n = xfc_op_bodies(op, body);
        xfc_assert(n <= XFC_MAX_BODIES);
        for (next = 0; next < n && body[next] != done; next++) {}
        next++;
    }
}

xfc_graph **xfc_graph_tree(xfc_graph *g, xfc_arena *arena, uint32_t *n) {
    xfc_graph **list = NULL, *body[XFC_MAX_BODIES];
    uint32_t count = 0, cap = 0;
    xfc_push(arena, list, count, cap) = g;
    xfc_foreach_op_deep(op, g)
        for (uint32_t i = 0, k = xfc_op_bodies(op, body); i < k; i++) xfc_push(arena, list, count, cap) = body[i];
    for (uint32_t i = 0; i < count / 2; i++) {
        xfc_graph *other = list[i];
        list[i] = list[count - 1 - i];
        list[count - 1 - i] = other;
    }
    *n = count;
    return list;
}

uint32_t xfc_op_captures(const xfc_op *op) {
    return op->n_in - (op->code == XFC_OP_LOOP ? 2u + xfc_loop_carried(op) : 1u);
}

xfc_int xfc_loop_layout(const xfc_op *op, xfc_int *place) {
    enum { ALIGN = 64 };
    const xfc_graph *body = xfc_op_attr(op, XFC_K_BODY)->u.graph;
    xfc_ctx *c = op->graph->ctx;
    xfc_int at = xfc_int_const(c, ALIGN), align = xfc_int_const(c, ALIGN);
    for (uint32_t i = 0; i < body->n_out; i++) {
        const xfc_type *t = &body->last->in[i].value->type;
        xfc_int most = xfc_size_most(c, xfc_type_count(c, t));
        xfc_int bytes = xfc_int_mulc(c, most, (int64_t)xfc_dtype_bytes(t->dtype));
        if (place) place[i] = xfc_int_known(bytes) ? at : XFC_INT_NONE;
        if (xfc_int_known(bytes)) at = xfc_int_add(c, at, xfc_int_mulc(c, xfc_int_ceildiv(c, bytes, align), ALIGN));
    }
    return at;
}

xfc_int xfc_region_bytes(const xfc_op *op) {
    xfc_graph *body[XFC_MAX_BODIES];
    xfc_ctx *c = op->graph->ctx;
    xfc_int most = xfc_int_const(c, 0); /* sizes of a body that does not run may be negative */
    for (uint32_t i = 0, n = xfc_op_bodies(op, body); i < n; i++) {
        xfc_assert(body[i]->plan);
        xfc_int bytes = body[i]->plan->work_bytes;
        if (op->code == XFC_OP_LOOP) bytes = xfc_int_add(c, bytes, xfc_loop_layout(op, NULL));
        most = xfc_int_max(c, most, bytes);
    }
    return most;
}

/* --- copies of ops --- */

typedef struct {
    xfc_graph *to;
    xfc_arena *scratch;
    xfc_map value; /* value -> its copy */
    xfc_map graph; /* body -> its copy; none: the copy of the op takes the body over */
} copier;

static xfc_value *copy_of(const copier *c, const xfc_value *v) { return v ? xfc_map_get_ptr(&c->value, v) : NULL; }

static void copy_value(copier *c, const xfc_value *from, xfc_value *to) {
    to->type = from->type;
    if (from->name) to->name = from->name;
    if (from->content) {
        int64_t n = 1, dim[XFC_MAX_RANK];
        bool is_static = xfc_type_static(c->to->ctx, &from->type, dim, &n);
        xfc_assert(is_static && n <= XFC_MAX_CONTENT);
        to->content = xfc_dup_array(c->to->arena, xfc_int, from->content, n);
    }
    xfc_map_set_ptr(&c->value, from, to);
}

static const xfc_attr *copy_bodies(const copier *c, const xfc_op *from) {
    if (!xfc_op_has(from, XFC_REGION)) return from->attr;
    xfc_attr *attr = xfc_dup_array(c->scratch, xfc_attr, from->attr, from->n_attr);
    for (uint32_t i = 0; i < from->n_attr; i++) {
        if (xfc_key_kind(attr[i].key) != XFC_ATTR_GRAPH) continue;
        xfc_graph *twin = xfc_map_get_ptr(&c->graph, attr[i].u.graph);
        if (twin) attr[i].u.graph = twin;
    }
    return attr;
}

/* Operands were copied before: the order is topological. */
static xfc_op *copy_op(copier *c, const xfc_op *from, xfc_op *before) {
    xfc_value **in = xfc_new_array(c->scratch, xfc_value *, from->n_in);
    for (uint32_t i = 0; i < from->n_in; i++) {
        in[i] = copy_of(c, from->in[i].value);
        xfc_assert(!from->in[i].value || in[i]);
    }
    xfc_op *op = xfc_op_new(c->to, before, from->code, in, from->n_in, from->n_out, copy_bodies(c, from), from->n_attr,
                            from->loc);
    for (uint32_t i = 0; i < from->n_out; i++) copy_value(c, &from->out[i], &op->out[i]);
    if (from->kernel) op->kernel = xfc_kernel_clone(c->to->arena, from->kernel);
    return op;
}

/* --- clones --- */

static xfc_plan *clone_plan(xfc_arena *a, const xfc_plan *from) {
    xfc_plan *p = xfc_dup_array(a, xfc_plan, from, 1);
    p->place = xfc_dup_array(a, xfc_place, from->place, from->n_places);
    p->weight = xfc_dup_array(a, const xfc_tensor *, from->weight, from->n_weights);
    p->weight_offset = xfc_dup_array(a, uint64_t, from->weight_offset, from->n_weights);
    return p;
}

/* Values keep their ids, which plans refer to. */
static void clone_graph(copier *c, const xfc_graph *from) {
    xfc_graph *g = c->to;
    g->source = from->source;
    g->stage = from->stage;
    for (uint32_t i = 0; i < from->n_in; i++) {
        copy_value(c, from->in[i], xfc_graph_add_input(g, from->in[i]->name, from->in[i]->type));
        g->in[i]->id = from->in[i]->id;
    }
    xfc_foreach_op(op, from) {
        xfc_op *twin = copy_op(c, op, NULL);
        for (uint32_t i = 0; i < op->n_out; i++) twin->out[i].id = op->out[i].id;
    }
    g->next_value_id = from->next_value_id;
    g->out_name = xfc_dup_array(g->arena, const char *, from->out_name, from->n_out);
    g->n_out = from->n_out;
    g->last = from->last ? g->tail : NULL;
    xfc_graph_require_all(g, from->constraint, from->n_constraints);
    if (from->plan) g->plan = clone_plan(g->arena, from->plan);
}

xfc_graph *xfc_graph_clone(const xfc_graph *from) {
    const xfc_program *p = from->program;
    xfc_arena *scratch = xfc_arena_new();
    copier c = {.scratch = scratch, .value = {.arena = scratch}, .graph = {.arena = scratch}};
    xfc_graph *entry = xfc_graph_new(from->ctx, p->graph[0]->name);
    xfc_map_set_ptr(&c.graph, p->graph[0], entry);
    for (uint32_t i = 1; i < p->n; i++)
        if (p->graph[i]->user) xfc_map_set_ptr(&c.graph, p->graph[i], xfc_body_new(entry, p->graph[i]->name));
    for (uint32_t i = 0; i < p->n; i++) {
        c.to = xfc_map_get_ptr(&c.graph, p->graph[i]);
        if (c.to) clone_graph(&c, p->graph[i]);
    }
    xfc_graph_copy_notes(entry, p->graph[0]);
    xfc_graph *twin = xfc_map_get_ptr(&c.graph, from);
    xfc_arena_free(scratch);
    return twin;
}

/* --- outlining --- */

/* Repeated in a body that uses its result: nothing is captured for it. Formals of a body around are no such thing. */
static bool is_source(const xfc_op *op) {
    return op && op->code != XFC_OP_KERNEL && op->n_in == 0 && op->n_out == 1 && xfc_op_has(op, XFC_PURE);
}

static void add_input(copier *c, const xfc_value *v, const char *hint, uint32_t place) {
    const char *name = v->name ? v->name : xfc_sprintf(c->scratch, "%s%u", hint, (unsigned)place);
    copy_value(c, v, xfc_graph_add_input(c->to, name, v->type));
}

void xfc_body_capture(xfc_graph *body, uint32_t first, const xfc_captures *around) {
    xfc_arena *scratch = xfc_arena_new();
    copier c = {.to = body, .scratch = scratch, .value = {.arena = scratch}};
    for (uint32_t i = body->n_in - first; i < around->n; i++) add_input(&c, around->value[i], "captured", i);
    xfc_arena_free(scratch);
}

/* The value as the body has it. */
static xfc_value *inside(copier *c, xfc_captures *around, xfc_arena *arena, xfc_value *v) {
    xfc_value *have = copy_of(c, v);
    if (have || !v) return have;
    if (is_source(v->def)) return &copy_op(c, v->def, NULL)->out[0];
    add_input(c, v, "captured", around->n);
    xfc_push(arena, around->value, around->n, around->cap) = v;
    return copy_of(c, v);
}

void xfc_cut(const xfc_op *after, xfc_op *last) {
    for (xfc_op *op = last, *prev; op != after; op = prev) {
        prev = op->prev;
        if (op->code != XFC_OP_CONST) xfc_op_remove(op);
    }
}

xfc_graph *xfc_outline(xfc_graph *g, xfc_op *after, const xfc_op *formals, xfc_value *const *result, uint32_t n,
                       const char *name, xfc_captures *around) {
    xfc_arena *scratch = xfc_arena_new();
    copier c = {.to = xfc_body_new(g, name), .scratch = scratch, .value = {.arena = scratch}};
    for (uint32_t i = 0; formals && i < formals->n_out; i++) add_input(&c, &formals->out[i], "step", i);
    for (uint32_t i = 0; i < around->n; i++) add_input(&c, around->value[i], "captured", i);
    for (xfc_op *op = after ? after->next : g->first; op; op = op->next) {
        if (op->code == XFC_OP_CONST || op == formals) continue;
        for (uint32_t i = 0; i < op->n_in; i++) (void)inside(&c, around, g->arena, op->in[i].value);
        copy_op(&c, op, NULL);
    }
    xfc_value **out = xfc_new_array(scratch, xfc_value *, n);
    const char **out_name = xfc_new_array(scratch, const char *, n);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = inside(&c, around, g->arena, result[i]);
        out_name[i] = out[i]->name ? out[i]->name : xfc_sprintf(scratch, "result%u", (unsigned)i);
    }
    xfc_graph_set_outputs(c.to, out, out_name, n);
    xfc_cut(after, g->tail);
    xfc_arena_free(scratch);
    return c.to;
}

/* --- inlining --- */

/* A result of a size that the op defined is now of the size that it has: the symbol stays, and is required to be it. */
static xfc_value *of_type(xfc_builder *b, xfc_value *v, const xfc_type *t) {
    return xfc_b_reshape(b, v, t->dim, t->rank);
}

/* All ops but the results stand before that op; answers the copy of the first. */
static xfc_op *copy_ops(copier *c, const xfc_graph *from, xfc_value *const *in, xfc_op *before) {
    xfc_op *first = NULL;
    for (uint32_t i = 0; i < from->n_in; i++) xfc_map_set_ptr(&c->value, from->in[i], in[i]);
    xfc_foreach_op(op, from) {
        if (op == from->last) continue;
        xfc_op *copy = copy_op(c, op, before);
        if (!first) first = copy;
    }
    xfc_graph_require_all(c->to, from->constraint, from->n_constraints);
    return first;
}

void xfc_inline(xfc_op *op, const xfc_graph *body, xfc_value *const *in) {
    xfc_arena *scratch = xfc_arena_new();
    copier c = {.to = op->graph, .scratch = scratch, .value = {.arena = scratch}};
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    const xfc_attr *symbols = xfc_op_attr(op, XFC_K_VALUES);
    copy_ops(&c, body, in, op);
    if (symbols) xfc_b_define(&b, copy_of(&c, body->last->in[op->n_out - 1].value), symbols->u.dims, symbols->n);
    for (uint32_t i = 0; i < op->n_out; i++)
        xfc_value_replace(&op->out[i], of_type(&b, copy_of(&c, body->last->in[i].value), &op->out[i].type));
    xfc_op_remove(op);
    xfc_arena_free(scratch);
}

xfc_op *xfc_graph_append(xfc_graph *to, const xfc_graph *from, xfc_value *const *in) {
    xfc_arena *scratch = xfc_arena_new();
    copier c = {.to = to, .scratch = scratch, .value = {.arena = scratch}};
    xfc_op *first = copy_ops(&c, from, in, to->last);
    xfc_arena_free(scratch);
    return first;
}

/* --- caches --- */

uint32_t xfc_graph_dims_with(const xfc_graph *g, xfc_int symbol) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_in; i++)
        for (uint32_t d = 0; d < g->in[i]->type.rank; d++) n += xfc_int_uses(g->ctx, g->in[i]->type.dim[d], symbol);
    return n;
}

/* Do only appends read the past v, and write over it? */
static bool only_appended(const xfc_value *v) {
    xfc_graph *body[XFC_MAX_BODIES];
    for (const xfc_use *u = v->uses; u; u = u->next) {
        const uint32_t at = (uint32_t)(u - u->user->in);
        if (u->user->code == XFC_OP_APPEND && at == 0) continue;
        if (u->user->code != XFC_OP_BRANCH || at == 0) return false;
        for (uint32_t i = xfc_op_bodies(u->user, body); i-- > 0;)
            if (!only_appended(body[i]->in[at - 1])) return false;
    }
    return true;
}

/* The append that makes result i of g, of an input of the entry, which *past becomes. */
static const xfc_op *append_of(const xfc_graph *g, uint32_t i, const xfc_value **past) {
    xfc_graph *body[XFC_MAX_BODIES];
    const xfc_value *v = g->last->in[i].value;
    if (!v->def) return NULL;
    if (v->def->code == XFC_OP_BRANCH) {
        const xfc_op *found = NULL;
        for (uint32_t k = 0, n = xfc_op_bodies(v->def, body); k < n && !found; k++)
            found = append_of(body[k], v->out, past);
        return found;
    }
    if (v->def->code != XFC_OP_APPEND) return NULL;
    for (*past = v->def->in[0].value; !(*past)->def && g->user && g->user->code == XFC_OP_BRANCH; g = g->user->graph)
        *past = g->user->in[(*past)->out + 1].value;
    return (*past)->def || g->user ? NULL : v->def;
}

static bool at_least(const xfc_ctx *c, xfc_int size, xfc_int room) {
    const xfc_int_info *i = xfc_int_look(c, size);
    return xfc_int_same(size, room) ||
           (i->kind == XFC_INT_MAX && (xfc_int_same(i->a, room) || xfc_int_same(i->b, room)));
}

static xfc_cached find_cache(const xfc_graph *g, uint32_t i) {
    const xfc_value *past;
    const xfc_op *op = append_of(g, i, &past);
    const xfc_cached none = {.room = g->n_in};
    if (!op || !only_appended(past)) return none;
    const xfc_int size = xfc_op_attr(op, XFC_K_SIZE)->u.dims[0];
    for (uint32_t k = 0; k < g->n_in; k++) {
        const xfc_type *t = &g->in[k]->type;
        bool sizes = t->dtype == XFC_U8 && t->rank == 2 && xfc_int_is(g->ctx, t->dim[1], 0) && !g->in[k]->uses;
        bool symbol = sizes && xfc_int_look(g->ctx, t->dim[0])->kind == XFC_INT_SYMBOL;
        if (symbol && at_least(g->ctx, size, t->dim[0]) && xfc_graph_dims_with(g, t->dim[0]) == 1)
            return (xfc_cached){k, past->out, (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0)};
    }
    return none;
}

uint32_t xfc_graph_caches(const xfc_graph *g, xfc_cached *cache) {
    uint32_t own = g->n_in;
    for (uint32_t i = 0; i < g->n_out; i++) cache[i] = find_cache(g, i);
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < g->n_out && own > 0; i++) more = more || cache[i].room == own - 1;
        own -= more;
    }
    for (uint32_t i = 0; i < g->n_out; i++)
        if (cache[i].room < own) cache[i].room = g->n_in;
    return own;
}

/* ir.c - contexts, graphs, ops, values and uses: creation, replacement, removal, types.
 *
 * Everything of a graph lies in its arena. The invariants kept here: each operand slot stands in exactly one list,
 * that of its value's uses; attributes are sorted by key and own their lists; `return` stays last. Order is the
 * caller's: nothing here checks that operands precede their users (the verifier does).
 */
#include "ir/program.h"

#include <string.h>

enum { MAX_OPERANDS = UINT16_MAX };

xfc_ctx *xfc_ctx_new(void) {
    xfc_arena *a = xfc_arena_new();
    xfc_ctx *c = xfc_new(a, xfc_ctx);
    c->arena = a;
    c->strings = xfc_interner_new(a);
    c->tensors = xfc_tensors_new(c);
    c->ints = xfc_ints_new(c);
    return c;
}

const char *xfc_stage_name(xfc_stage s) {
    static const char *const names[XFC_STAGE_COUNT] = {"imported", "legal", "kernels", "scheduled", "planned"};
    xfc_assert((unsigned)s < XFC_STAGE_COUNT);
    return names[s];
}

/* --- graphs --- */

/* Holds or lets go of what the op's attributes name. */
static void each_storage(const xfc_op *op, void (*fn)(xfc_storage *)) {
    for (uint32_t i = 0; i < op->n_attr; i++)
        if (xfc_key_kind(op->attr[i].key) == XFC_ATTR_TENSOR) fn(op->attr[i].u.tensor->storage);
}

void xfc_op_let_go(const xfc_op *op) { each_storage(op, xfc_storage_let_go); }

static void init_value(xfc_graph *g, xfc_value *v, xfc_op *def, uint32_t out) {
    v->def = def;
    v->out = out;
    v->id = g->next_value_id++;
}

xfc_value *xfc_graph_add_input(xfc_graph *g, const char *name, xfc_type type) {
    xfc_value *v = xfc_new(g->arena, xfc_value);
    init_value(g, v, NULL, g->n_in);
    v->type = type;
    v->name = xfc_str(g->ctx, name);
    bool full = (g->n_in & (g->n_in - 1)) == 0; /* the array's capacity is the next power of two */
    if (full) {
        xfc_value **more = xfc_new_array(g->arena, xfc_value *, g->n_in ? (size_t)g->n_in * 2 : 1);
        if (g->n_in) memcpy(more, g->in, g->n_in * sizeof(*more));
        g->in = more;
    }
    return g->in[g->n_in++] = v;
}

xfc_op *xfc_graph_set_outputs(xfc_graph *g, xfc_value *const *values, const char *const *names, uint32_t n) {
    xfc_assert(!g->last);
    xfc_loc loc = {.file = g->source};
    if (n > MAX_OPERANDS) {
        xfc_fail(g->ctx, XFC_ERR_LIMIT, loc, "%u graph outputs; at most %d are allowed: split the model", n,
                 MAX_OPERANDS);
        return NULL;
    }
    xfc_op *op = xfc_op_new(g, NULL, XFC_OP_RETURN, values, n, 0, NULL, 0, loc);
    g->out_name = xfc_new_array(g->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++) g->out_name[i] = xfc_str(g->ctx, names ? names[i] : NULL);
    g->n_out = n;
    g->last = op;
    return op;
}

bool xfc_graph_add_output(xfc_graph *g, xfc_value *v, const char *name) {
    xfc_assert(g->last);
    if (g->n_out == MAX_OPERANDS) return false;
    xfc_foreach_use(u, v)
        if (u->user == g->last) return false;
    const char **names = xfc_new_array(g->arena, const char *, g->n_out + 1u);
    for (uint32_t i = 0; i < g->n_out; i++) names[i] = g->out_name[i];
    names[g->n_out++] = xfc_str(g->ctx, name);
    g->out_name = names;
    xfc_op_add_in(g->last, v);
    return true;
}

/* --- constraints --- */

/* Apart for what must be equal and what must not; ids are far from 32 bits. */
static uint64_t key_of(xfc_int a, xfc_int b, unsigned ones) {
    uint64_t pair = a.id < b.id ? (uint64_t)a.id << 32 | b.id : (uint64_t)b.id << 32 | a.id;
    return ones == XFC_UNEQUAL ? ~pair : pair;
}

static xfc_constraint *constraint_of(const xfc_graph *g, xfc_int a, xfc_int b, unsigned ones) {
    uint64_t at = xfc_map_get(&g->constraint_of, key_of(a, b, ones));
    return at ? &g->constraint[at - 1] : NULL;
}

/* a == b, of which one may be a number: is there another one that the same size must be? Around a body it may be: the
 * body then does not run. */
static bool contradicts(xfc_graph *g, xfc_int a, xfc_int b) {
    bool fixed[2] = {xfc_int_value(g->ctx, a, &(int64_t){0}), xfc_int_value(g->ctx, b, &(int64_t){0})};
    if (fixed[0] == fixed[1]) return false;
    xfc_int size = fixed[0] ? b : a, number = fixed[0] ? a : b;
    uint64_t other = xfc_map_get(&g->constraint_of, key_of(size, size, 0)); /* no pair is one of a size with itself */
    if (!other) xfc_map_set(&g->constraint_of, key_of(size, size, 0), number.id);
    return other && other != number.id;
}

static bool surely_holds(xfc_ctx *c, xfc_int a, xfc_int b, unsigned ones) {
    if (ones == XFC_UNEQUAL) return xfc_int_eq(c, a, b) == 0;
    return xfc_int_same(a, b) || (ones & XFC_A_MAY_BE_1 && xfc_int_is(c, a, 1)) ||
           (ones & XFC_B_MAY_BE_1 && xfc_int_is(c, b, 1));
}

static bool never_one(xfc_ctx *c, xfc_int a) { return xfc_int_eq(c, a, xfc_int_const(c, 1)) == 0; }

/* The same of the pair the other way round. */
static unsigned swapped(unsigned ones) {
    return (ones & XFC_A_MAY_BE_1 ? XFC_B_MAY_BE_1 : 0u) | (ones & XFC_B_MAY_BE_1 ? XFC_A_MAY_BE_1 : 0u) |
           (ones & XFC_UNEQUAL);
}

/* "Equal, or one of these is 1" and "equal, or one of those is 1" together say "equal, or one that is among both is 1":
 * if both sides were 1 they would be equal. */
bool xfc_graph_require(xfc_graph *g, xfc_int a, xfc_int b, unsigned ones, xfc_loc loc) {
    if (!xfc_int_known(a) || !xfc_int_known(b)) {
        xfc_fail(g->ctx, XFC_ERR_LIMIT, loc, XFC_INT_UNKNOWN, "a size that is compared here");
        return true;
    }
    if (xfc_graph_requires(g, a, b, ones)) return true;
    if (never_one(g->ctx, a)) ones &= ~(unsigned)XFC_A_MAY_BE_1;
    if (never_one(g->ctx, b)) ones &= ~(unsigned)XFC_B_MAY_BE_1;
    xfc_constraint *k = constraint_of(g, a, b, ones);
    if (k) {
        k->ones &= xfc_int_same(k->a, a) ? ones : swapped(ones);
        k->loc = loc;
    } else {
        xfc_push(g->arena, g->constraint, g->n_constraints, g->cap_constraints) = (xfc_constraint){a, b, ones, loc};
        xfc_map_set(&g->constraint_of, key_of(a, b, ones), g->n_constraints);
    }
    if (ones == 0 && contradicts(g, a, b)) return false;
    return ones == XFC_UNEQUAL ? xfc_int_eq(g->ctx, a, b) != 1 : ones || xfc_int_eq(g->ctx, a, b) != 0;
}

void xfc_graph_require_all(xfc_graph *g, const xfc_constraint *k, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) xfc_graph_require(g, k[i].a, k[i].b, k[i].ones, k[i].loc);
}

bool xfc_graph_requires(const xfc_graph *g, xfc_int a, xfc_int b, unsigned ones) {
    if (surely_holds(g->ctx, a, b, ones)) return true;
    for (; g; g = g->user ? g->user->graph : NULL) {
        const xfc_constraint *k = constraint_of(g, a, b, ones);
        if (k && !(k->ones & ~(xfc_int_same(k->a, a) ? ones : swapped(ones)))) return true;
    }
    return false;
}

xfc_requirements xfc_graph_swap_requirements(xfc_graph *g, xfc_requirements with) {
    xfc_requirements was = {g->constraint, g->n_constraints, g->cap_constraints, g->constraint_of};
    g->constraint = with.constraint;
    g->n_constraints = with.n;
    g->cap_constraints = with.cap;
    g->constraint_of = with.of;
    return was;
}

bool xfc_constraint_holds(const xfc_constraint *k, int64_t a, int64_t b) {
    if (k->ones == XFC_UNEQUAL) return a != b;
    return a == b || (k->ones & XFC_A_MAY_BE_1 && a == 1) || (k->ones & XFC_B_MAY_BE_1 && b == 1);
}

bool xfc_graph_requires_size(const xfc_graph *g, xfc_int a) {
    return xfc_graph_requires_equal(g, xfc_int_max(g->ctx, a, xfc_int_const(g->ctx, 0)), a);
}

/* --- uses --- */

static void link_use(xfc_use *u, xfc_value *v) {
    u->value = v;
    if (!v) return;
    u->next = v->uses;
    u->prev = &v->uses;
    if (u->next) u->next->prev = &u->next;
    v->uses = u;
}

static void unlink_use(xfc_use *u) {
    if (!u->value) return;
    *u->prev = u->next;
    if (u->next) u->next->prev = u->prev;
    u->value = NULL;
    u->next = NULL;
    u->prev = NULL;
}

void xfc_op_set_in(xfc_op *op, uint32_t i, xfc_value *v) {
    xfc_assert(i < op->n_in);
    unlink_use(&op->in[i]);
    link_use(&op->in[i], v);
}

/* A slot in another place, which its value's list of uses must follow. */
static void move_use(xfc_use *to, xfc_use *from) {
    *to = *from;
    if (!to->value) return;
    *to->prev = to;
    if (to->next) to->next->prev = &to->next;
}

void xfc_op_add_in(xfc_op *op, xfc_value *v) {
    xfc_assert(op->n_in < MAX_OPERANDS);
    xfc_use *in = xfc_new_array(op->graph->arena, xfc_use, op->n_in + 1u);
    for (uint32_t i = 0; i < op->n_in; i++) move_use(&in[i], &op->in[i]);
    in[op->n_in].user = op;
    link_use(&in[op->n_in], v);
    op->in = in;
    op->n_in++;
}

void xfc_op_drop_in(xfc_op *op, uint32_t i) {
    unlink_use(&op->in[i]);
    for (; i + 1u < op->n_in; i++) move_use(&op->in[i], &op->in[i + 1]);
    op->n_in--;
}

void xfc_graph_drop_input(xfc_graph *g, uint32_t i) {
    xfc_assert(!g->in[i]->uses);
    for (; i + 1 < g->n_in; i++) {
        g->in[i] = g->in[i + 1];
        g->in[i]->out = i;
    }
    g->n_in--;
}

void xfc_value_replace(xfc_value *old, xfc_value *with) {
    if (old == with) return;
    while (old->uses) {
        xfc_use *u = old->uses;
        unlink_use(u);
        link_use(u, with);
    }
    if (!with->name) with->name = old->name;
}

uint32_t xfc_value_n_uses(const xfc_value *v) {
    uint32_t n = 0;
    xfc_foreach_use(u, v) n++;
    return n;
}

bool xfc_value_is_const(const xfc_value *v, const xfc_tensor **out) {
    if (!v->def || v->def->code != XFC_OP_CONST) return false;
    const xfc_attr *a = xfc_op_attr(v->def, XFC_K_VALUE);
    if (!a) return false;
    if (out) *out = a->u.tensor;
    return true;
}

/* --- ops --- */

static void link_op(xfc_graph *g, xfc_op *op, xfc_op *before) {
    op->next = before;
    op->prev = before ? before->prev : g->tail;
    *(op->prev ? &op->prev->next : &g->first) = op;
    *(before ? &before->prev : &g->tail) = op;
}

static void unlink_op(xfc_op *op) {
    xfc_graph *g = op->graph;
    *(op->prev ? &op->prev->next : &g->first) = op->next;
    *(op->next ? &op->next->prev : &g->tail) = op->prev;
    op->prev = op->next = NULL;
}

/* The attribute with its lists copied into the arena. */
static xfc_attr own_attr(xfc_ctx *c, xfc_arena *a, xfc_attr attr) {
    switch (xfc_key_kind(attr.key)) {
    case XFC_ATTR_INTS: attr.u.ints = xfc_dup_array(a, int64_t, attr.u.ints, attr.n); break;
    case XFC_ATTR_DIMS: attr.u.dims = xfc_dup_array(a, xfc_int, attr.u.dims, attr.n); break;
    case XFC_ATTR_STR: attr.u.s = xfc_str(c, attr.u.s); break;
    case XFC_ATTR_INT:
    case XFC_ATTR_FLOAT:
    case XFC_ATTR_DTYPE:
    case XFC_ATTR_TENSOR:
    case XFC_ATTR_GRAPH: break;
    }
    return attr;
}

static const xfc_attr *own_attrs(xfc_ctx *c, xfc_arena *a, const xfc_attr *attr, uint32_t n) {
    xfc_attr *own = xfc_new_array(a, xfc_attr, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && own[at - 1].key > attr[i].key; at--) own[at] = own[at - 1];
        own[at] = own_attr(c, a, attr[i]);
    }
    return own;
}

xfc_op *xfc_op_new(xfc_graph *g, xfc_op *before, xfc_opcode code, xfc_value *const *in, uint32_t n_in, uint32_t n_out,
                   const xfc_attr *attr, uint32_t n_attr, xfc_loc loc) {
    xfc_assert(n_in <= MAX_OPERANDS && n_out <= MAX_OPERANDS && n_attr <= XFC_K_COUNT);
    xfc_op *op = xfc_new(g->arena, xfc_op);
    op->code = code;
    op->graph = g;
    op->loc = loc;
    op->n_in = (uint16_t)n_in;
    op->n_out = (uint16_t)n_out;
    op->n_attr = (uint16_t)n_attr;
    op->in = xfc_new_array(g->arena, xfc_use, n_in);
    op->out = xfc_new_array(g->arena, xfc_value, n_out);
    op->attr = own_attrs(g->ctx, g->arena, attr, n_attr);
    each_storage(op, xfc_storage_hold);
    for (uint32_t i = 0; i < n_attr; i++)
        if (xfc_key_kind(attr[i].key) == XFC_ATTR_GRAPH && attr[i].u.graph) attr[i].u.graph->user = op;
    if (xfc_op_attr(op, XFC_K_VALUES) && code != XFC_OP_DIMS) g->program->defines = true;
    for (uint32_t i = 0; i < n_in; i++) {
        op->in[i].user = op;
        link_use(&op->in[i], in[i]);
    }
    for (uint32_t i = 0; i < n_out; i++) init_value(g, &op->out[i], op, i);
    link_op(g, op, before ? before : g->last);
    return op;
}

void xfc_op_remove(xfc_op *op) {
    for (uint32_t i = 0; i < op->n_out; i++) xfc_assert(!op->out[i].uses);
    for (uint32_t i = 0; i < op->n_in; i++) unlink_use(&op->in[i]);
    xfc_op_let_go(op);
    xfc_graph *body[XFC_MAX_BODIES];
    for (uint32_t i = 0, n = xfc_op_bodies(op, body); i < n; i++) xfc_graph_free(body[i]);
    if (op->graph->last == op) op->graph->last = NULL;
    unlink_op(op);
}

void xfc_op_move_before(xfc_op *op, xfc_op *before) {
    xfc_assert(before && before->graph == op->graph);
    if (op == before || op->next == before) return;
    unlink_op(op);
    link_op(op->graph, op, before);
}

const xfc_attr *xfc_op_attr(const xfc_op *op, xfc_key key) {
    for (uint32_t i = 0; i < op->n_attr; i++)
        if (op->attr[i].key == key) return &op->attr[i];
    return NULL;
}

int64_t xfc_op_int(const xfc_op *op, xfc_key key, int64_t absent) {
    xfc_assert(xfc_key_kind(key) == XFC_ATTR_INT);
    const xfc_attr *a = xfc_op_attr(op, key);
    return a ? a->u.i : absent;
}

double xfc_op_float(const xfc_op *op, xfc_key key, double absent) {
    xfc_assert(xfc_key_kind(key) == XFC_ATTR_FLOAT);
    const xfc_attr *a = xfc_op_attr(op, key);
    return a ? a->u.f : absent;
}

/* --- types --- */

xfc_type xfc_type_make(xfc_dtype dtype, uint32_t rank, const xfc_int *dim) {
    xfc_assert(rank <= XFC_MAX_RANK);
    xfc_type t = {.dtype = dtype, .rank = rank};
    for (uint32_t d = 0; d < rank; d++) t.dim[d] = dim[d];
    return t;
}

bool xfc_type_same(const xfc_type *a, const xfc_type *b) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (!xfc_int_same(a->dim[d], b->dim[d])) return false;
    return true;
}

xfc_int xfc_type_count(xfc_ctx *c, const xfc_type *t) {
    xfc_int n = xfc_int_const(c, 1);
    for (uint32_t d = 0; d < t->rank; d++) n = xfc_int_mul(c, n, t->dim[d]);
    return n;
}

xfc_int xfc_bytes_of(xfc_ctx *c, xfc_dtype t, xfc_int n) {
    if (!xfc_dtype_is_packed(t)) return xfc_int_mulc(c, n, (int64_t)xfc_dtype_bytes(t));
    return xfc_int_ceildiv(c, n, xfc_int_const(c, 8 / xfc_dtype_bits(t)));
}

bool xfc_type_static(const xfc_ctx *c, const xfc_type *t, int64_t *dim, int64_t *count) {
    int64_t value[XFC_MAX_RANK];
    for (uint32_t d = 0; d < t->rank; d++)
        if (!xfc_int_value(c, t->dim[d], &value[d])) return false;
    if (!xfc_tensor_count(t->dtype, t->rank, value, count, NULL)) return false;
    if (dim && t->rank) memcpy(dim, value, t->rank * sizeof(*dim));
    return true;
}

xfc_int xfc_type_linear(xfc_ctx *c, const xfc_type *t, const xfc_int *index) {
    xfc_int at = xfc_int_const(c, 0);
    for (uint32_t d = 0; d < t->rank; d++) at = xfc_int_add(c, xfc_int_mul(c, at, t->dim[d]), index[d]);
    return at;
}

void xfc_type_index(xfc_ctx *c, const xfc_type *t, xfc_int *index) {
    for (uint32_t d = 0; d < t->rank; d++)
        index[d] = xfc_int_is(c, t->dim[d], 1) ? xfc_int_const(c, 0) : xfc_int_axis(c, "i", t->dim[d]);
}

void xfc_type_delinear(xfc_ctx *c, const xfc_type *t, xfc_int linear, xfc_int *index) {
    uint32_t first = 0; /* of the dims that have more than one element: what is left in front of it is within it */
    while (first < t->rank && xfc_int_is(c, t->dim[first], 1)) index[first++] = xfc_int_const(c, 0);
    for (uint32_t d = t->rank; d-- > first + 1;) {
        index[d] = xfc_int_mod(c, linear, t->dim[d]);
        linear = xfc_int_floordiv(c, linear, t->dim[d]);
    }
    if (first < t->rank) index[first] = linear;
}

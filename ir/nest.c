/* nest.c - building, copying and rewriting loop nests and kernels.
 *
 * A body instruction is its index. Nothing is checked here but ranges of indices: what a well-formed nest is, the
 * verifier says. Accesses are owned by the instruction or store that holds them.
 */
#include "ir/nest.h"

#include <math.h>
#include <string.h>

/* --- scalar operations --- */

static const struct {
    const char *name;
    uint32_t arity;
} scalars[XFC_S_COUNT] = {
    [XFC_S_CONST] = {"const", 0}, [XFC_S_INDEX] = {"index", 0},
    [XFC_S_LOAD] = {"load", 0}, /* its predicate is optional and no value operand */
    [XFC_S_LET] = {"let", 1},     [XFC_S_CAST] = {"cast", 1},
#define XFC_SCALAR(id, name, arity, ...) [XFC_S_##id] = {name, arity},
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
};

const char *xfc_scalar_name(xfc_scalar_op op) {
    xfc_assert((unsigned)op < XFC_S_COUNT);
    return scalars[op].name;
}

uint32_t xfc_scalar_arity(xfc_scalar_op op) {
    xfc_assert((unsigned)op < XFC_S_COUNT);
    return scalars[op].arity;
}

bool xfc_scalar_from_name(const char *name, xfc_scalar_op *out) {
    for (unsigned op = 0; op < XFC_S_COUNT; op++) {
        if (strcmp(scalars[op].name, name) != 0) continue;
        *out = (xfc_scalar_op)op;
        return true;
    }
    return false;
}

static const char *combine_name(xfc_scalar_op op) { return (unsigned)op < XFC_S_COUNT ? scalars[op].name : "store"; }

double xfc_combine_identity_f(xfc_scalar_op op) {
    if (op == XFC_S_ADD) return 0.0;
    if (op == XFC_S_MUL) return 1.0;
    if (op == XFC_S_MIN) return (double)INFINITY;
    if (op == XFC_S_MAX) return -(double)INFINITY;
    xfc_bug(__FILE__, __LINE__, "%s combines no floats", combine_name(op));
}

/* The least (or largest) value of an integer type, as the low bits of the result. */
static int64_t integer_limit(xfc_dtype t, bool largest) {
    uint32_t bits = xfc_dtype_bits(t);
    if (xfc_dtype_class(t) == XFC_CLASS_BOOL) return largest;
    if (xfc_dtype_class(t) == XFC_CLASS_UINT) return largest ? (int64_t)(UINT64_MAX >> (64 - bits)) : 0;
    int64_t most = INT64_MAX >> (64 - bits);
    return largest ? most : -most - 1;
}

int64_t xfc_combine_identity_i(xfc_scalar_op op, xfc_dtype t) {
    if (op == XFC_S_ADD || op == XFC_S_OR) return 0;
    if (op == XFC_S_MUL || op == XFC_S_AND) return 1;
    if (op == XFC_S_MIN) return integer_limit(t, true);
    if (op == XFC_S_MAX) return integer_limit(t, false);
    xfc_bug(__FILE__, __LINE__, "%s combines no integers", combine_name(op));
}

/* --- building --- */

xfc_nestb xfc_nestb_new(xfc_ctx *c, xfc_arena *a) {
    return (xfc_nestb){.ctx = c, .arena = a, .nest = xfc_new(a, xfc_nest)};
}

xfc_int xfc_nb_axis(xfc_nestb *b, const char *name, xfc_int extent, xfc_axis_kind kind) {
    xfc_assert(xfc_int_known(extent));
    xfc_nest *n = b->nest;
    xfc_int symbol = xfc_int_axis(b->ctx, name, extent);
    xfc_push(b->arena, n->axes, n->n_axes, n->cap_axes) =
        (xfc_axis){.name = xfc_str(b->ctx, name), .symbol = symbol, .extent = extent, .kind = kind};
    return symbol;
}

uint32_t xfc_nb_push(xfc_nestb *b, xfc_scalar s) {
    xfc_nest *n = b->nest;
    for (uint32_t i = 0; i < XFC_COUNT(s.arg); i++) xfc_assert(s.arg[i] == XFC_NO_ARG || s.arg[i] < n->n_body);
    xfc_push(b->arena, n->body, n->n_body, n->cap_body) = s;
    return n->n_body - 1;
}

static xfc_scalar scalar(xfc_scalar_op op, xfc_dtype dtype) {
    return (xfc_scalar){.op = op, .dtype = dtype, .arg = {XFC_NO_ARG, XFC_NO_ARG, XFC_NO_ARG}};
}

uint32_t xfc_nb_const_f(xfc_nestb *b, xfc_dtype dtype, double v) {
    if (!xfc_dtype_is_float(dtype)) return xfc_nb_const_i(b, dtype, (int64_t)v);
    xfc_scalar s = scalar(XFC_S_CONST, dtype);
    s.u.f = v;
    return xfc_nb_push(b, s);
}

uint32_t xfc_nb_const_i(xfc_nestb *b, xfc_dtype dtype, int64_t v) {
    if (xfc_dtype_is_float(dtype)) return xfc_nb_const_f(b, dtype, (double)v);
    xfc_scalar s = scalar(XFC_S_CONST, dtype);
    s.u.i = v;
    return xfc_nb_push(b, s);
}

uint32_t xfc_nb_index(xfc_nestb *b, xfc_int index) {
    xfc_assert(xfc_int_known(index));
    xfc_scalar s = scalar(XFC_S_INDEX, XFC_I64);
    s.u.index = index;
    return xfc_nb_push(b, s);
}

static xfc_access make_access(uint32_t buffer, const xfc_int *index, uint32_t rank) {
    xfc_assert(rank <= XFC_MAX_RANK);
    xfc_access a = {.buffer = buffer, .rank = rank};
    for (uint32_t d = 0; d < rank; d++) {
        xfc_assert(xfc_int_known(index[d]));
        a.index[d] = index[d];
    }
    return a;
}

uint32_t xfc_nb_load_if(xfc_nestb *b, uint32_t pred, xfc_dtype dtype, uint32_t buffer, const xfc_int *index,
                        uint32_t rank) {
    xfc_access a = make_access(buffer, index, rank);
    xfc_scalar s = scalar(XFC_S_LOAD, dtype);
    s.arg[0] = pred;
    s.u.access = xfc_dup_array(b->arena, xfc_access, &a, 1);
    return xfc_nb_push(b, s);
}

uint32_t xfc_nb_load(xfc_nestb *b, xfc_dtype dtype, uint32_t buffer, const xfc_int *index, uint32_t rank) {
    return xfc_nb_load_if(b, XFC_NO_ARG, dtype, buffer, index, rank);
}

xfc_int xfc_nb_let(xfc_nestb *b, const char *name, uint32_t value, xfc_int lo, xfc_int hi, bool wrap) {
    xfc_int symbol = xfc_int_let(b->ctx, name, lo, hi);
    xfc_scalar s = scalar(XFC_S_LET, XFC_I64);
    s.arg[0] = value;
    s.wrap = wrap;
    s.u.index = symbol;
    xfc_nb_push(b, s);
    return symbol;
}

uint32_t xfc_nb_cast(xfc_nestb *b, xfc_dtype to, xfc_dtype from, uint32_t value) {
    if (to == from) return value;
    xfc_scalar s = scalar(XFC_S_CAST, to);
    s.arg[0] = value;
    return xfc_nb_push(b, s);
}

uint32_t xfc_nb_op(xfc_nestb *b, xfc_scalar_op op, xfc_dtype result, uint32_t x, uint32_t y, uint32_t z) {
    xfc_scalar s = scalar(op, result);
    uint32_t given[3] = {x, y, z}, arity = xfc_scalar_arity(op);
    for (uint32_t i = 0; i < arity; i++) s.arg[i] = given[i];
    return xfc_nb_push(b, s);
}

void xfc_nb_store(xfc_nestb *b, uint32_t value, uint32_t buffer, const xfc_int *index, uint32_t rank,
                  xfc_scalar_op combine) {
    xfc_nest *n = b->nest;
    xfc_assert(value < n->n_body);
    xfc_push(b->arena, n->stores, n->n_stores, n->cap_stores) =
        (xfc_store){.value = value, .to = make_access(buffer, index, rank), .combine = combine};
}

/* --- copying and rewriting --- */

xfc_int xfc_access_linear(xfc_ctx *c, const xfc_kernel *k, const xfc_access *a) {
    xfc_assert(a->buffer < k->n_buffers);
    const xfc_type *t = &k->buffers[a->buffer].type;
    xfc_assert(t->rank == a->rank);
    return xfc_type_linear(c, t, a->index);
}

xfc_int xfc_tile_apart(xfc_ctx *c, const xfc_tile *t) {
    return xfc_int_known(t->apart) ? t->apart : xfc_int_mulc(c, t->depth, t->panel);
}

bool xfc_access_uses(const xfc_ctx *c, const xfc_access *a, xfc_int symbol) {
    for (uint32_t d = 0; d < a->rank; d++)
        if (xfc_int_uses(c, a->index[d], symbol)) return true;
    return false;
}

bool xfc_let_uses(const xfc_ctx *c, const xfc_let *l, xfc_int symbol) {
    return l->load ? xfc_access_uses(c, l->load, symbol) : xfc_int_uses(c, l->value, symbol);
}

#define COPY(arena, type, x, items, n, cap)                                                                            \
    ((x)->items = xfc_dup_array(arena, type, (x)->items, (x)->n), (x)->cap = (x)->n)

xfc_nest *xfc_nest_clone(xfc_arena *a, const xfc_nest *from) {
    xfc_nest *n = xfc_dup_array(a, xfc_nest, from, 1);
    COPY(a, xfc_axis, n, axes, n_axes, cap_axes);
    COPY(a, xfc_scalar, n, body, n_body, cap_body);
    COPY(a, xfc_store, n, stores, n_stores, cap_stores);
    for (uint32_t i = 0; i < n->n_body; i++)
        if (n->body[i].op == XFC_S_LOAD) n->body[i].u.access = xfc_dup_array(a, xfc_access, n->body[i].u.access, 1);
    return n;
}

xfc_kernel *xfc_kernel_clone(xfc_arena *a, const xfc_kernel *from) {
    xfc_kernel *k = xfc_dup_array(a, xfc_kernel, from, 1);
    COPY(a, xfc_buffer, k, buffers, n_buffers, cap_buffers);
    COPY(a, xfc_axis, k, axes, n_axes, cap_axes);
    COPY(a, xfc_let, k, lets, n_lets, cap_lets);
    COPY(a, xfc_step, k, steps, n_steps, cap_steps);
    k->fused = xfc_dup_array(a, xfc_loc, from->fused, from->n_fused);
    for (uint32_t i = 0; i < k->n_lets; i++)
        if (k->lets[i].load) k->lets[i].load = xfc_dup_array(a, xfc_access, k->lets[i].load, 1);
    for (uint32_t i = 0; i < k->n_steps; i++) {
        xfc_step *s = &k->steps[i];
        if (s->kind == XFC_STEP_NEST)
            s->u.nest = xfc_nest_clone(a, s->u.nest);
        else
            s->u.tile = xfc_dup_array(a, xfc_tile, s->u.tile, 1);
    }
    return k;
}
#undef COPY

typedef struct {
    xfc_ctx *ctx;
    const xfc_int *from, *to;
    size_t n;
} renaming;

static void rename_int(const renaming *r, xfc_int *e) {
    if (xfc_int_known(*e)) *e = xfc_int_substitute(r->ctx, *e, r->from, r->to, r->n);
}

static void rename_access(const renaming *r, xfc_access *a) {
    for (uint32_t d = 0; d < a->rank; d++) rename_int(r, &a->index[d]);
}

void xfc_nest_substitute(xfc_ctx *c, xfc_arena *a, xfc_nest *n, const xfc_int *from, const xfc_int *to, size_t count) {
    renaming r = {c, from, to, count};
    for (uint32_t i = 0; i < n->n_axes; i++) rename_int(&r, &n->axes[i].extent);
    for (uint32_t i = 0; i < n->n_stores; i++) rename_access(&r, &n->stores[i].to);
    for (uint32_t i = 0; i < n->n_body; i++) {
        xfc_scalar *s = &n->body[i];
        if (s->op == XFC_S_INDEX) rename_int(&r, &s->u.index);
        if (s->op != XFC_S_LOAD) continue;
        xfc_access *own = xfc_dup_array(a, xfc_access, s->u.access, 1); /* loads may share theirs */
        rename_access(&r, own);
        s->u.access = own;
    }
}

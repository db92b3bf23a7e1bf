/* content.c - symbolic contents: runs a nest over symbolic integers.
 *
 * Exporters spell shape arithmetic as tensors: Shape, Gather, Slice, Concat, Equal, Where, Range. Those tensors are
 * small and static, so their ops can be run at compile time with xfc_int as the scalar type; what comes out are the
 * dims that a Reshape or Expand needs. An element that cannot be expressed is NONE and everything computed from it is,
 * unless the result does not depend on it (0 * x, false and x, select with equal arms).
 *
 * Values are mathematical integers. A constant result wraps to its type; a symbolic one whose range exceeds a type
 * narrower than i64 becomes NONE (sizes beyond 2^63 are refused elsewhere). Booleans are the constants 0 and 1 or NONE.
 * Floats are never tracked.
 */
#include "ir/eval/eval_impl.h"

#include <string.h>

enum { MAX_ITERATIONS = 4096 };
#define SAFE ((int64_t)1 << 46) /* constants beyond it are not mixed with symbols: "to the end", not a size */

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    const xfc_op *op;
    const xfc_nest *nest;
    xfc_int *from, *to; /* axes, then lets: symbol and present value */
    uint32_t n_bound;
    xfc_int *value; /* by body instruction */
    int64_t dim[XFC_MAX_RANK], count;
    xfc_int *result;
    bool *stored;
} content;

static bool is_const(const content *c, xfc_int a, int64_t *v) { return xfc_int_value(c->ctx, a, v); }
static xfc_int number(const content *c, int64_t v) { return xfc_int_const(c->ctx, v); }
static xfc_int truth(const content *c, int known) { return known < 0 ? XFC_INT_NONE : number(c, known); }

/* The value as an element of type t. */
static xfc_int fit(const content *c, xfc_dtype t, xfc_int a) {
    int64_t v, lo, hi;
    if (!xfc_int_known(a)) return a;
    if (is_const(c, a, &v)) {
        xfc_lanes one = {.i = &v};
        xfc_lanes_cast(t, XFC_I64, 1, one, one);
        return number(c, v);
    }
    if (t == XFC_BOOL)
        return truth(c, xfc_int_eq(c->ctx, a, number(c, 0)) < 0 ? -1 : !xfc_int_eq(c->ctx, a, number(c, 0)));
    if (t == XFC_I64) return a;
    xfc_int_range(c->ctx, a, &lo, &hi);
    int64_t least = xfc_combine_identity_i(XFC_S_MAX, t),
            most = t == XFC_U64 ? INT64_MAX : xfc_combine_identity_i(XFC_S_MIN, t);
    return lo >= least && hi <= most ? a : XFC_INT_NONE;
}

/* Small enough to take part in symbolic arithmetic. */
static bool tame(const content *c, xfc_int a) {
    int64_t v;
    if (!xfc_int_known(a)) return false;
    return !is_const(c, a, &v) || (v > -SAFE && v < SAFE);
}

/* a < b by ranges alone, which never overflows; -1 if they overlap. */
static int less_by_range(const content *c, xfc_int a, xfc_int b) {
    int64_t alo, ahi, blo, bhi;
    xfc_int_range(c->ctx, a, &alo, &ahi);
    xfc_int_range(c->ctx, b, &blo, &bhi);
    if (ahi < 0 && blo < 0 && xfc_graph_requires_size(c->op->graph, b)) blo = 0; /* a dim beside a -1 */
    if (ahi < blo) return 1;
    return alo >= bhi ? 0 : -1;
}

static int less(const content *c, xfc_int a, xfc_int b) {
    int known = less_by_range(c, a, b);
    if (known >= 0 || !tame(c, a) || !tame(c, b)) return known;
    return xfc_int_lt(c->ctx, a, b);
}

static int equal(const content *c, xfc_int a, xfc_int b) {
    if (xfc_int_same(a, b)) return 1;
    if (less_by_range(c, a, b) == 1 || less_by_range(c, b, a) == 1) return 0;
    return tame(c, a) && tame(c, b) ? xfc_int_eq(c->ctx, a, b) : -1;
}

static int inverse(int known) { return known < 0 ? -1 : !known; }

static xfc_int extremum(const content *c, xfc_int a, xfc_int b, bool larger) {
    int below = less(c, a, b);
    if (below >= 0) return (below == 1) == larger ? b : a;
    if (!tame(c, a) || !tame(c, b)) return XFC_INT_NONE;
    return larger ? xfc_int_max(c->ctx, a, b) : xfc_int_min(c->ctx, a, b);
}

static bool positive(const content *c, xfc_int a) { return less(c, number(c, 0), a) == 1; }
static bool negative(const content *c, xfc_int a) { return less(c, a, number(c, 0)) != 0; } /* or may be */

/* Truncating division: floor, or the ceiling of what is negative. By 0 it gives 0, as it does in a size. */
static xfc_int divide(const content *c, xfc_int a, xfc_int b) {
    if (!positive(c, b)) return negative(c, b) || negative(c, a) ? XFC_INT_NONE : xfc_int_floordiv(c->ctx, a, b);
    xfc_int floor = xfc_int_floordiv(c->ctx, a, b);
    if (xfc_int_is(c->ctx, xfc_int_mod(c->ctx, a, b), 0) || !negative(c, a)) return floor;
    return xfc_int_max(c->ctx, floor, xfc_int_min(c->ctx, number(c, 0), xfc_int_ceildiv(c->ctx, a, b)));
}

static xfc_int power(const content *c, xfc_int a, xfc_int b) {
    int64_t n;
    if (!is_const(c, b, &n) || n < 0 || n > 8) return XFC_INT_NONE;
    xfc_int product = number(c, 1);
    for (int64_t i = 0; i < n; i++) product = xfc_int_mul(c->ctx, product, a);
    return product;
}

/* Both operands constant: exactly what the interpreter does. */
static xfc_int on_constants(const content *c, xfc_scalar_op op, xfc_dtype t, int64_t a, int64_t b) {
    int64_t r = 0;
    xfc_lanes arg[3] = {{.i = &a}, {.i = &b}, {.i = &b}};
    xfc_lanes_op(op, t, 1, (xfc_lanes){.i = &r}, arg);
    return number(c, r);
}

static xfc_int compare(const content *c, xfc_scalar_op op, xfc_int a, xfc_int b) {
    switch ((int)op) {
    case XFC_S_EQ: return truth(c, equal(c, a, b));
    case XFC_S_NE: return truth(c, inverse(equal(c, a, b)));
    case XFC_S_LT: return truth(c, less(c, a, b));
    case XFC_S_LE: return truth(c, inverse(less(c, b, a)));
    case XFC_S_GT: return truth(c, less(c, b, a));
    case XFC_S_GE: return truth(c, inverse(less(c, a, b)));
    default: return XFC_INT_NONE;
    }
}

static xfc_int arithmetic(const content *c, xfc_scalar_op op, xfc_int a, xfc_int b) {
    xfc_ctx *ctx = c->ctx;
    switch ((int)op) {
    case XFC_S_ADD: return xfc_int_add(ctx, a, b);
    case XFC_S_SUB: return xfc_int_sub(ctx, a, b);
    case XFC_S_MUL: return xfc_int_mul(ctx, a, b);
    case XFC_S_DIV: return divide(c, a, b);
    case XFC_S_MOD: return positive(c, b) ? xfc_int_mod(ctx, a, b) : XFC_INT_NONE;
    case XFC_S_FMOD: return positive(c, b) && !negative(c, a) ? xfc_int_mod(ctx, a, b) : XFC_INT_NONE;
    case XFC_S_POW: return power(c, a, b);
    case XFC_S_NEG: return xfc_int_sub(ctx, number(c, 0), a);
    case XFC_S_ABS: return xfc_int_max(ctx, a, xfc_int_sub(ctx, number(c, 0), a));
    case XFC_S_SIGN: return xfc_int_max(ctx, xfc_int_min(ctx, a, number(c, 1)), number(c, -1));
    default: return XFC_INT_NONE;
    }
}

/* Results that do not need both operands. */
static bool absorbed(const content *c, xfc_scalar_op op, xfc_int a, xfc_int b, xfc_int *out) {
    int64_t zero_wins = op == XFC_S_AND || op == XFC_S_MUL;
    if (!zero_wins && op != XFC_S_OR) return false;
    int64_t wins = zero_wins ? 0 : 1;
    *out = number(c, wins);
    return xfc_int_is(c->ctx, a, wins) || xfc_int_is(c->ctx, b, wins);
}

/* One scalar instruction on operands of type t; b is a for unary ones. */
static xfc_int apply(const content *c, xfc_scalar_op op, xfc_dtype t, xfc_int a, xfc_int b) {
    int64_t va, vb;
    xfc_int out;
    if (absorbed(c, op, a, b, &out)) return out;
    if (!xfc_int_known(a) || !xfc_int_known(b)) return XFC_INT_NONE;
    if (is_const(c, a, &va) && is_const(c, b, &vb)) return on_constants(c, op, t, va, vb);
    if (op == XFC_S_MIN || op == XFC_S_MAX) return extremum(c, a, b, op == XFC_S_MAX);
    if (op >= XFC_S_EQ && op <= XFC_S_GE) return compare(c, op, a, b);
    if (!tame(c, a) || !tame(c, b)) return XFC_INT_NONE;
    return fit(c, t, arithmetic(c, op, a, b));
}

/* --- running --- */

static xfc_int present(const content *c, xfc_int e) {
    return xfc_int_substitute(c->ctx, e, c->from, c->to, c->n_bound);
}

/* Row-major element number of an access whose indices are constant and inside; false otherwise. */
static bool element(const content *c, const xfc_access *a, const int64_t *dim, int64_t *out) {
    *out = 0;
    for (uint32_t d = 0; d < a->rank; d++) {
        int64_t i;
        if (!is_const(c, present(c, a->index[d]), &i) || i < 0 || i >= dim[d]) return false;
        *out = *out * dim[d] + i;
    }
    return true;
}

static xfc_int load(const content *c, const xfc_scalar *s) {
    const xfc_access *a = s->u.access;
    int64_t dim[XFC_MAX_RANK], at, on = 1;
    if (s->arg[0] != XFC_NO_ARG && !is_const(c, c->value[s->arg[0]], &on)) return XFC_INT_NONE;
    if (!on) return number(c, 0);
    if (a->buffer >= c->op->n_in) return element(c, a, c->dim, &at) ? c->result[at] : XFC_INT_NONE;
    const xfc_value *v = c->op->in[a->buffer].value;
    if (!v->content || !xfc_type_static(c->ctx, &v->type, dim, NULL)) return XFC_INT_NONE;
    return element(c, a, dim, &at) ? v->content[at] : XFC_INT_NONE;
}

/* A let with a constant value in its range binds its symbol; otherwise the symbol stays and no load through it is
 * constant. */
static xfc_int bind_let(content *c, const xfc_scalar *s) {
    const xfc_int_info info = *xfc_int_look(c->ctx, s->u.index);
    xfc_int lo = present(c, info.lo), hi = present(c, info.hi);
    int64_t v, least, most;
    if (!is_const(c, c->value[s->arg[0]], &v) || !is_const(c, lo, &least) || !is_const(c, hi, &most))
        return XFC_INT_NONE;
    if (v < 0 && s->wrap) v += most + 1;
    if (v < least || v > most) return XFC_INT_NONE;
    c->from[c->n_bound] = s->u.index;
    c->to[c->n_bound++] = number(c, v);
    return number(c, v);
}

static xfc_int select(const content *c, xfc_int cond, xfc_int yes, xfc_int no) {
    int64_t v;
    if (is_const(c, cond, &v)) return v ? yes : no;
    return xfc_int_same(yes, no) ? yes : XFC_INT_NONE;
}

static xfc_int scalar(content *c, const xfc_scalar *s) {
    xfc_int arg[3] = {XFC_INT_NONE, XFC_INT_NONE, XFC_INT_NONE};
    for (uint32_t i = 0; i < 3; i++) {
        if (s->arg[i] != XFC_NO_ARG) arg[i] = c->value[s->arg[i]];
    }
    switch ((int)s->op) {
    case XFC_S_CONST: return xfc_dtype_is_float(s->dtype) ? XFC_INT_NONE : fit(c, s->dtype, number(c, s->u.i));
    case XFC_S_INDEX: return present(c, s->u.index);
    case XFC_S_LOAD: return load(c, s);
    case XFC_S_LET: return bind_let(c, s);
    case XFC_S_CAST: return xfc_dtype_is_float(s->dtype) ? XFC_INT_NONE : fit(c, s->dtype, arg[0]);
    case XFC_S_SELECT: return select(c, arg[0], arg[1], arg[2]);
    default: break;
    }
    xfc_dtype t = c->nest->body[s->arg[0]].dtype;
    if (xfc_dtype_is_float(t)) return XFC_INT_NONE;
    return apply(c, s->op, t, arg[0], xfc_scalar_arity(s->op) > 1 ? arg[1] : arg[0]);
}

/* One iteration: the axes are bound. False: it stores nobody knows where. */
static bool iterate(content *c) {
    const xfc_nest *nest = c->nest;
    c->n_bound = nest->n_axes;
    for (uint32_t i = 0; i < nest->n_body; i++) c->value[i] = scalar(c, &nest->body[i]);
    for (uint32_t i = 0; i < nest->n_stores; i++) {
        const xfc_store *s = &nest->stores[i];
        int64_t at;
        if (!element(c, &s->to, c->dim, &at)) return false;
        xfc_int v = c->value[s->value];
        if (s->combine != XFC_S_COUNT && c->stored[at])
            v = apply(c, s->combine, nest->body[s->value].dtype, c->result[at], v);
        c->result[at] = v;
        c->stored[at] = true;
    }
    return true;
}

static bool run(content *c, const int64_t *extent, uint32_t axis) {
    if (axis == c->nest->n_axes) return iterate(c);
    c->from[axis] = c->nest->axes[axis].symbol;
    for (int64_t i = 0; i < extent[axis]; i++) {
        c->to[axis] = number(c, i);
        if (!run(c, extent, axis + 1)) return false;
    }
    return true;
}

/* Elements that nothing was stored to are empty reductions. */
static void finish(content *c) {
    const xfc_store *s = &c->nest->stores[0];
    for (int64_t i = 0; i < c->count; i++) {
        if (!c->stored[i] && s->combine != XFC_S_COUNT)
            c->result[i] = number(c, xfc_combine_identity_i(s->combine, c->op->out[0].type.dtype));
    }
}

static bool worth_running(const content *c) {
    if (c->op->n_out != 1 || !xfc_ops[c->op->code].nest || xfc_dtype_is_float(c->op->out[0].type.dtype)) return false;
    if (c->op->n_in == 0) return true;
    for (uint32_t i = 0; i < c->op->n_in; i++) {
        if (c->op->in[i].value && c->op->in[i].value->content) return true;
    }
    return c->count == 0;
}

static bool run_nest(content *c) {
    xfc_nestb nb = xfc_nestb_new(c->ctx, c->arena);
    int64_t *extent, total = 1;
    if (xfc_ops[c->op->code].nest(c->op, &nb) != XFC_OK) return false;
    c->nest = nb.nest;
    extent = xfc_new_array(c->arena, int64_t, nb.nest->n_axes);
    for (uint32_t i = 0; i < nb.nest->n_axes; i++) {
        if (!is_const(c, nb.nest->axes[i].extent, &extent[i])) return false;
        if (!xfc_mul_ok(total, extent[i], &total) || total > MAX_ITERATIONS) return false;
    }
    c->from = xfc_new_array(c->arena, xfc_int, (size_t)nb.nest->n_axes + nb.nest->n_body);
    c->to = xfc_new_array(c->arena, xfc_int, (size_t)nb.nest->n_axes + nb.nest->n_body);
    c->value = xfc_new_array(c->arena, xfc_int, nb.nest->n_body);
    if (!run(c, extent, 0)) return false;
    finish(c);
    return true;
}

static void content_of_const(content *c) {
    const xfc_tensor *t = xfc_op_attr(c->op, XFC_K_VALUE)->u.tensor;
    for (int64_t i = 0; i < t->count; i++) c->result[i] = number(c, xfc_tensor_get_i(t, i));
}

void xfc_eval_content(xfc_op *op) {
    content c = {.ctx = op->graph->ctx, .op = op};
    if (op->n_out != 1 || xfc_dtype_is_float(op->out[0].type.dtype)) return;
    if (!xfc_type_static(c.ctx, &op->out[0].type, c.dim, &c.count) || c.count > XFC_MAX_CONTENT) return;
    if (op->code != XFC_OP_CONST && !worth_running(&c)) return;
    c.arena = xfc_arena_new();
    c.result = xfc_new_array(c.arena, xfc_int, c.count);
    c.stored = xfc_new_array(c.arena, bool, c.count);
    bool known = c.count == 0;
    if (op->code == XFC_OP_CONST)
        content_of_const(&c);
    else if (!run_nest(&c))
        memset(c.result, 0, (size_t)c.count * sizeof *c.result);
    for (int64_t i = 0; i < c.count; i++) known = known || xfc_int_known(c.result[i]);
    if (known) op->out[0].content = xfc_dup_array(op->graph->arena, xfc_int, c.result, c.count);
    xfc_arena_free(c.arena);
}

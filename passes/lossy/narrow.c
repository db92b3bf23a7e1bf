/* narrow.c - which parts of its operands a part of a result needs, and the op built anew on those.
 *
 * What is needed is read from the op's nest: with e the axis that counts the dim, an operand that is read at e by itself
 * along one dim is cut there, one that is read without e is needed whole, and any other use of e ends the matter (a sum
 * over e's dim never has e in the index of its result). An op without a nest is its decomposition. Two views have
 * formulas of e: slice, whose indices are a progression, and reshape, where the indices that the part maps to are counted
 * out, and must be all indices of a box. So no op is named but views, and attributes that say sizes.
 *
 * Walks are as deep as MAX_DEPTH ops, and visit a part of a value once.
 */
#include "passes/lossy/narrow.h"
#include "ir/eval/eval.h"

#include <string.h>

enum { MAX_DEPTH = 64, MAX_OPERANDS = 16, MAX_EXTENT = 1 << 24 };

typedef enum { UNSEEN, WHOLE, CUT } extent;
typedef struct {
    extent kind;
    uint32_t dim; /* CUT: where, and which part */
    xfc_part part;
} need;

struct xfc_narrow_visit {
    bool can;
    xfc_value *made;
};

static bool mark(need *in, extent kind, uint32_t dim) {
    if (in->kind != UNSEEN) return in->kind == kind && in->dim == dim;
    in->kind = kind;
    in->dim = dim;
    return true;
}

/* --- an op of which each index of the dim stands by itself: needs without their part --- */

static bool needs_of_load(const xfc_op *op, const xfc_access *a, xfc_int e, xfc_int size, need *in) {
    uint32_t i = xfc_nest_operand(op, a->buffer), at = a->rank;
    if (i >= op->n_in) return false;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (!xfc_int_uses(op->graph->ctx, a->index[d], e)) continue;
        if (at < a->rank || !xfc_int_same(a->index[d], e) || !xfc_int_same(op->in[i].value->type.dim[d], size))
            return false;
        at = d;
    }
    return at < a->rank ? mark(&in[i], CUT, at) : mark(&in[i], WHOLE, 0);
}

static const xfc_axis *axis_of(const xfc_nest *nest, xfc_int symbol) {
    for (uint32_t i = 0; i < nest->n_axes; i++)
        if (xfc_int_same(nest->axes[i].symbol, symbol)) return &nest->axes[i];
    return NULL;
}

/* The axis that counts the dim of the result, by itself; NULL: none does. */
static const xfc_axis *counting(const xfc_op *op, const xfc_nest *nest, uint32_t dim) {
    const xfc_access *to = &nest->stores[0].to;
    const xfc_axis *axis = axis_of(nest, to->index[dim]);
    if (nest->n_stores != 1 || !axis || axis->kind != XFC_AXIS_PARALLEL) return NULL;
    for (uint32_t d = 0; d < to->rank; d++)
        if (d != dim && xfc_int_uses(op->graph->ctx, to->index[d], axis->symbol)) return NULL;
    return axis;
}

static bool needs_of_nest(xfc_arena *arena, const xfc_op *op, uint32_t dim, need *in) {
    const xfc_nest *nest = xfc_nest_of(op, arena);
    const xfc_axis *axis = nest ? counting(op, nest, dim) : NULL;
    for (uint32_t i = 0; axis && i < nest->n_body; i++) {
        const xfc_scalar *s = &nest->body[i];
        bool index = s->op == XFC_S_INDEX && xfc_int_uses(op->graph->ctx, s->u.index, axis->symbol);
        if (index) return false;
        if (s->op == XFC_S_LOAD && !needs_of_load(op, s->u.access, axis->symbol, op->out[0].type.dim[dim], in))
            return false;
    }
    return axis != NULL;
}

static bool needs_by_itself(xfc_arena *, const xfc_op *, uint32_t dim, uint32_t depth, need *in);

static bool all_whole(const xfc_value *v, uint32_t depth, need *in) {
    if (!v->def) return mark(&in[v->out], WHOLE, 0);
    for (uint32_t i = 0; depth && i < v->def->n_in; i++)
        if (v->def->in[i].value && !all_whole(v->def->in[i].value, depth - 1, in)) return false;
    return depth > 0;
}

/* Of a value in a decomposition, whose inputs are the needs. */
static bool needs_inside(xfc_arena *arena, const xfc_value *v, uint32_t dim, uint32_t depth, need *in) {
    if (!v->def) return mark(&in[v->out], CUT, dim);
    need own[MAX_OPERANDS] = {0};
    if (!depth || !needs_by_itself(arena, v->def, dim, depth - 1, own)) return false;
    for (uint32_t i = 0; i < v->def->n_in; i++) {
        xfc_value *x = v->def->in[i].value;
        if (own[i].kind == CUT && !needs_inside(arena, x, own[i].dim, depth - 1, in)) return false;
        if (own[i].kind == WHOLE && !all_whole(x, depth, in)) return false;
    }
    return true;
}

static bool needs_of_parts(xfc_arena *arena, const xfc_op *op, uint32_t dim, uint32_t depth, need *in) {
    xfc_graph *g = xfc_op_decomposed(op);
    need given[MAX_OPERANDS] = {0};
    bool ok = g && g->n_in <= MAX_OPERANDS && needs_inside(arena, g->last->in[0].value, dim, depth, given);
    for (uint32_t i = 0, n = 0; ok && i < op->n_in; i++)
        if (op->in[i].value) in[i] = given[n++];
    if (g) xfc_graph_free(g);
    return ok;
}

static bool needs_by_itself(xfc_arena *arena, const xfc_op *op, uint32_t dim, uint32_t depth, need *in) {
    if (op->n_in > MAX_OPERANDS || op->n_out != 1 || dim >= op->out[0].type.rank || op->kernel) return false;
    if (xfc_ops[op->code].nest) return needs_of_nest(arena, op, dim, in);
    return xfc_ops[op->code].decompose && needs_of_parts(arena, op, dim, depth, in);
}

/* --- views that have formulas of the index --- */

typedef struct {
    const xfc_nest *nest;
    int64_t *at; /* by axis */
} position;

static bool look_up(void *user, uint32_t id, int64_t *out) {
    const position *p = user;
    for (uint32_t i = 0; i < p->nest->n_axes; i++) {
        if (p->nest->axes[i].symbol.id != id) continue;
        *out = p->at[i];
        return true;
    }
    return false;
}

/* The next position of the axes that a formula uses; false: that was the last. */
static bool advance(const xfc_ctx *ctx, const position *p, xfc_int formula) {
    for (uint32_t i = 0; i < p->nest->n_axes; i++) {
        int64_t size;
        if (!xfc_int_uses(ctx, formula, p->nest->axes[i].symbol)) continue;
        if (!xfc_int_value(ctx, p->nest->axes[i].extent, &size)) return false;
        if (++p->at[i] < size) return true;
        p->at[i] = 0;
    }
    return false;
}

/* Marks all values of a formula of axes. False: one is open, or a value is none of 0 .. size - 1. */
static bool reach(const xfc_narrow *n, const xfc_ctx *ctx, const xfc_nest *nest, xfc_int formula, int64_t size,
                  bool *reached) {
    position p = {nest, xfc_new_array(n->arena, int64_t, nest->n_axes)};
    for (uint32_t i = 0; i < nest->n_axes; i++)
        if (xfc_int_uses(ctx, formula, nest->axes[i].symbol) && !xfc_int_value(ctx, nest->axes[i].extent, NULL))
            return false;
    do {
        int64_t at;
        if (!xfc_int_evaluate(ctx, formula, look_up, &p, &at) || at < 0 || at >= size) return false;
        reached[at] = true;
    } while (advance(ctx, &p, formula));
    return true;
}

/* An operand's dim, indexed by a formula of axis e, which runs through a part: q periods of it. */
typedef struct {
    const xfc_axis *e;
    xfc_int q, formula, size;
    xfc_part part;
} reading;

static xfc_int with_e(xfc_ctx *ctx, const reading *r, int64_t at) {
    xfc_int e = xfc_int_addc(ctx, xfc_int_mulc(ctx, r->q, r->part.period), at);
    return xfc_int_substitute(ctx, r->formula, &r->e->symbol, &e, 1);
}

/* After how many indices what is reached comes again; 0: it cannot be told. */
static int64_t period_of(xfc_ctx *ctx, const reading *r) {
    int64_t size, factor;
    xfc_int coefficient, rest, at_0 = with_e(ctx, r, r->part.at[0]);
    if (xfc_int_value(ctx, r->size, &size)) return size;
    bool repeats = xfc_int_uses(ctx, at_0, r->q);
    if (!xfc_int_linear_in(ctx, repeats ? at_0 : r->formula, repeats ? r->q : r->e->symbol, &coefficient, &rest) ||
        !xfc_int_value(ctx, coefficient, &factor) || factor < 1 || factor > MAX_EXTENT)
        return 0;
    if (!repeats && !xfc_mul_ok(factor, r->part.period, &factor)) return 0;
    return xfc_int_divisor(ctx, r->size) % factor ? 0 : factor;
}

/* Which indices the part reaches. False: they cannot be counted out. */
static bool image(const xfc_narrow *n, xfc_ctx *ctx, const xfc_nest *nest, const reading *r, xfc_part *out) {
    int64_t period = period_of(ctx, r);
    if (period < 1 || period > MAX_EXTENT) return false;
    bool *reached = xfc_new_array(n->arena, bool, (size_t)period);
    for (uint32_t i = 0; i < r->part.n; i++) {
        xfc_int at = xfc_int_mod(ctx, with_e(ctx, r, r->part.at[i]), xfc_int_const(ctx, period));
        if (!reach(n, ctx, nest, at, period, reached)) return false;
    }
    int64_t *list = xfc_new_array(n->arena, int64_t, (size_t)period);
    *out = (xfc_part){0, list, period};
    for (int64_t i = 0; i < period; i++)
        if (reached[i]) list[out->n++] = i;
    return true;
}

/* So many indices of a dim are in the part. */
static xfc_int size_of(xfc_ctx *ctx, xfc_int size, xfc_part part) {
    xfc_int periods = XFC_INT_NONE;
    (void)xfc_int_exact(ctx, size, xfc_int_const(ctx, part.period), &periods);
    return xfc_int_mulc(ctx, periods, part.n);
}

static xfc_int count_with(xfc_ctx *ctx, const xfc_type *t, uint32_t dim, xfc_part part) {
    xfc_type with = *t;
    with.dim[dim] = size_of(ctx, t->dim[dim], part);
    return xfc_type_count(ctx, &with);
}

/* The indices of the operand that are read must be a box, cut along one dim. */
static bool needs_of_reshape(xfc_narrow *n, const xfc_op *op, uint32_t dim, xfc_part part, need *in) {
    xfc_ctx *ctx = op->graph->ctx;
    const xfc_type *from = &op->in[0].value->type, *to = &op->out[0].type;
    const xfc_nest *nest = xfc_nest_of(op, n->arena);
    xfc_int periods = XFC_INT_NONE, none = xfc_int_const(ctx, 0);
    reading r = {.e = nest ? counting(op, nest, dim) : NULL, .part = part};
    if (!xfc_int_exact(ctx, to->dim[dim], xfc_int_const(ctx, part.period), &periods)) return false;
    r.q = xfc_int_is(ctx, periods, 1) ? none : xfc_int_axis(ctx, "q", periods);
    for (uint32_t i = 0; r.e && i < nest->n_body; i++) {
        const xfc_access *a = nest->body[i].u.access;
        for (uint32_t d = 0; nest->body[i].op == XFC_S_LOAD && d < a->rank; d++) {
            xfc_part reached;
            if (!xfc_int_uses(ctx, a->index[d], r.e->symbol)) continue;
            r.formula = a->index[d];
            r.size = from->dim[d];
            if (!image(n, ctx, nest, &r, &reached)) return false;
            if (reached.n == reached.period) continue;
            if (!mark(&in[0], CUT, d)) return false;
            in[0].part = reached;
        }
    }
    return in[0].kind == CUT &&
           xfc_int_same(count_with(ctx, from, in[0].dim, in[0].part), count_with(ctx, to, dim, part));
}

static bool needs_of_slice(xfc_narrow *n, const xfc_op *op, uint32_t dim, xfc_part part, need *in) {
    const xfc_ctx *ctx = op->graph->ctx;
    xfc_int from = op->in[0].value->type.dim[dim];
    int64_t start, size, step = xfc_op_attr(op, XFC_K_STEP)->u.ints[dim];
    in[0] = (need){CUT, dim, part};
    if (step == 1 && xfc_int_same(from, op->out[0].type.dim[dim])) return true;
    if (!xfc_int_value(ctx, xfc_op_attr(op, XFC_K_START)->u.dims[dim], &start) || step < 1) return false;
    if (!xfc_int_value(ctx, from, &size) || !xfc_int_is(ctx, op->out[0].type.dim[dim], part.period)) return false;
    int64_t *at = xfc_new_array(n->arena, int64_t, part.n);
    for (uint32_t i = 0; i < part.n; i++) at[i] = start + part.at[i] * step;
    in[0].part = (xfc_part){part.n, at, size};
    return true;
}

/* Attributes that say sizes are understood of views alone, as one entry a dim of the result. */
static bool knows_sizes(const xfc_op *op) {
    const xfc_attr *shape = xfc_op_attr(op, XFC_K_SHAPE);
    return !xfc_op_attr(op, XFC_K_SIZE) && (!shape || shape->n == op->out[0].type.rank);
}

static bool needs_of(xfc_narrow *n, const xfc_op *op, uint32_t dim, xfc_part part, need *in) {
    if (op->code == XFC_OP_RESHAPE) return needs_of_reshape(n, op, dim, part, in);
    if (op->code == XFC_OP_SLICE) return needs_of_slice(n, op, dim, part, in);
    if (!knows_sizes(op) || !needs_by_itself(n->arena, op, dim, MAX_DEPTH, in)) return false;
    for (uint32_t i = 0; i < op->n_in; i++) in[i].part = part;
    return true;
}

/* --- the walk --- */

static uint64_t key_of(xfc_narrow *n, const xfc_value *v, uint32_t dim, xfc_part part) {
    uint32_t i = 0;
    for (; i < n->parts.n; i++) {
        const xfc_part *p = &n->parts.item[i];
        if (p->n == part.n && p->period == part.period && memcmp(p->at, part.at, part.n * sizeof *part.at) == 0) break;
    }
    if (i == n->parts.n) xfc_push(n->arena, n->parts.item, n->parts.n, n->parts.cap) = part;
    return ((uint64_t)i << 32 | v->id) * XFC_MAX_RANK + dim;
}

static bool can(xfc_narrow *n, xfc_value *v, uint32_t dim, xfc_part part, uint32_t depth) {
    n->visits.arena = n->arena;
    uint64_t key = key_of(n, v, dim, part);
    xfc_narrow_visit *visit = (xfc_narrow_visit *)(uintptr_t)xfc_map_get(&n->visits, key);
    if (visit) return visit->can;
    visit = xfc_new(n->arena, xfc_narrow_visit);
    xfc_map_set(&n->visits, key, (uint64_t)(uintptr_t)visit);
    need in[MAX_OPERANDS] = {0};
    const xfc_op *op = v->def;
    visit->can = xfc_value_is_const(v, NULL);
    if (visit->can) return true;
    if (!op || !depth || op->n_in > MAX_OPERANDS || op->n_out != 1 || !needs_of(n, op, dim, part, in)) {
        n->stuck = v;
        return false;
    }
    visit->can = true;
    for (uint32_t i = 0; i < op->n_in && visit->can; i++)
        if (in[i].kind == CUT) visit->can = can(n, op->in[i].value, in[i].dim, in[i].part, depth - 1);
    xfc_push(n->arena, n->less.item, n->less.n, n->less.cap).op = op;
    n->less.item[n->less.n - 1].n = part.n;
    n->less.item[n->less.n - 1].of = part.period;
    return visit->can;
}

bool xfc_can_narrow(xfc_narrow *n, xfc_value *v, uint32_t dim, xfc_part part) {
    xfc_assert(part.n > 0 && dim < v->type.rank);
    return can(n, v, dim, part, MAX_DEPTH);
}

const xfc_tensor *xfc_tensor_part(xfc_ctx *ctx, const xfc_tensor *t, uint32_t dim, xfc_part part) {
    int64_t size[XFC_MAX_RANK], periods = t->dim[dim] / part.period, outer = periods;
    size_t inner = xfc_dtype_bytes(t->dtype);
    for (uint32_t d = 0; d < t->rank; d++) {
        size[d] = d == dim ? part.n * periods : t->dim[d];
        if (d < dim) outer *= t->dim[d];
        if (d > dim) inner *= (size_t)t->dim[d];
    }
    char *to = xfc_tensor_alloc(ctx, t->dtype, t->rank, size), *at = to;
    for (int64_t i = 0; i < outer; i++)
        for (uint32_t k = 0; k < part.n; k++, at += inner)
            memcpy(at, (const char *)t->data + (size_t)(i * part.period + part.at[k]) * inner, inner);
    return xfc_tensor_unique(ctx, xfc_tensor_new(ctx, t->dtype, t->rank, size, to, t->name));
}

/* The op with these operands, and its attributes for so many indices of the dim. */
static xfc_value *built(const xfc_narrow *n, xfc_op *op, uint32_t dim, xfc_part part, xfc_value *const *in) {
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    xfc_ctx *ctx = op->graph->ctx;
    xfc_attr *attr = xfc_new_array(n->arena, xfc_attr, op->n_attr);
    for (uint32_t i = 0; i < op->n_attr; i++) {
        xfc_int *dims = xfc_new_array(n->arena, xfc_int, XFC_MAX_RANK);
        int64_t *ints = xfc_new_array(n->arena, int64_t, XFC_MAX_RANK);
        attr[i] = op->attr[i];
        if (attr[i].key == XFC_K_SHAPE || attr[i].key == XFC_K_SIZE || attr[i].key == XFC_K_START) {
            memcpy(dims, attr[i].u.dims, attr[i].n * sizeof *dims);
            dims[dim] = attr[i].key == XFC_K_START ? xfc_int_const(ctx, 0) : size_of(ctx, dims[dim], part);
            attr[i].u.dims = dims;
        } else if (attr[i].key == XFC_K_STEP) {
            memcpy(ints, attr[i].u.ints, attr[i].n * sizeof *ints);
            ints[dim] = 1;
            attr[i].u.ints = ints;
        }
    }
    return xfc_build_opt(&b, op->code, in, op->n_in, attr, op->n_attr);
}

static xfc_value *make(xfc_narrow *n, xfc_value *v, uint32_t dim, xfc_part part) {
    xfc_narrow_visit *visit = (xfc_narrow_visit *)(uintptr_t)xfc_map_get(&n->visits, key_of(n, v, dim, part));
    xfc_op *op = v->def;
    const xfc_tensor *t;
    xfc_assert(visit);
    if (visit->made) return visit->made;
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    if (xfc_value_is_const(v, &t)) return visit->made = xfc_b_const(&b, xfc_tensor_part(op->graph->ctx, t, dim, part));
    need need_of[MAX_OPERANDS] = {0};
    xfc_value *in[MAX_OPERANDS];
    if (!needs_of(n, op, dim, part, need_of)) return NULL;
    for (uint32_t i = 0; i < op->n_in; i++) {
        in[i] = op->in[i].value;
        if (need_of[i].kind == CUT && !(in[i] = make(n, in[i], need_of[i].dim, need_of[i].part))) return NULL;
    }
    return visit->made = built(n, op, dim, part, in);
}

xfc_value *xfc_narrowed(xfc_narrow *n, xfc_value *v, uint32_t dim, xfc_part part) {
    return xfc_can_narrow(n, v, dim, part) ? make(n, v, dim, part) : NULL;
}

/* element.c - what a tensor holds at a position, where that is a function of shapes and of the position.
 *
 * The builder tracks the contents of small integer tensors as they are made. Some models need more: elements of
 * ranges whose length is a symbol, sizes computed in floats (ceil(length / 2.0)), quotients of products. Here one
 * element is found by walking back from the value on demand, in exact fractions: numerator symbolic, denominator a
 * number. Halves are exact in floats. Other parts of a size below 2^24 are not, but round down and up as
 * the true quotient does; so that is all that may be done with them. A divisor is taken not to be 0, where no runtime
 * has an answer either.
 */
#include "frontend/onnx/import.h"
#include <math.h>

enum { MAX_VISITS = 4096, MAX_TERMS = 64 };
#define MAX_DENOMINATOR ((int64_t)1 << 31)
#define MAX_NUMBER ((int64_t)1 << 46)

typedef struct {
    xfc_ctx *ctx;
    uint32_t visits;
} walker;

typedef struct {
    xfc_int num; /* NONE: unknown */
    int64_t den; /* >= 1 */
} fraction;

static const fraction unknown = {.den = 1};

static fraction element(walker *w, const xfc_value *v, const xfc_int *index);

static bool known(fraction f) { return xfc_int_known(f.num); }
static bool exact(fraction f) { return (f.den & (f.den - 1)) == 0; } /* as a float */
static fraction whole(xfc_int v) { return (fraction){v, 1}; }
static fraction truth(walker *w, int is) { return is < 0 ? unknown : whole(xfc_int_const(w->ctx, is)); }

/* --- numbers --- */

static fraction from_double(walker *w, double v) {
    for (int64_t den = 1; den <= 1 << 20; den *= 2) {
        double num = v * (double)den;
        if (!(fabs(num) < (double)MAX_NUMBER)) return unknown;
        if (num == floor(num)) return (fraction){xfc_int_const(w->ctx, (int64_t)num), den};
    }
    return unknown;
}

static fraction of_tensor(walker *w, const xfc_tensor *t, int64_t at) {
    if (xfc_dtype_is_float(t->dtype)) return from_double(w, xfc_tensor_get_f(t, at));
    return whole(xfc_int_const(w->ctx, xfc_tensor_get_i(t, at)));
}

/* Both over one denominator. */
static bool align(walker *w, fraction *a, fraction *b) {
    if (!known(*a) || !known(*b) || !exact(*a) || !exact(*b)) return false;
    if (a->den < b->den) *a = (fraction){xfc_int_mulc(w->ctx, a->num, b->den / a->den), b->den};
    if (b->den < a->den) *b = (fraction){xfc_int_mulc(w->ctx, b->num, a->den / b->den), a->den};
    return known(*a) && known(*b);
}

static fraction product(walker *w, fraction a, fraction b) {
    int64_t den;
    if (!known(a) || !known(b) || !xfc_mul_ok(a.den, b.den, &den) || den > MAX_DENOMINATOR) return unknown;
    return (fraction){xfc_int_mul(w->ctx, a.num, b.num), den};
}

static bool never_negative(walker *w, xfc_int a) {
    int64_t lo, hi;
    xfc_int_range(w->ctx, a, &lo, &hi);
    return lo >= 0;
}

/* Floats divide exactly; integers truncate, which is rounding down where nothing is negative. */
static fraction quotient(walker *w, fraction a, fraction b, bool floats) {
    xfc_ctx *c = w->ctx;
    int64_t by;
    if (!known(a) || !known(b)) return unknown;
    if (xfc_int_value(c, b.num, &by) && floats) {
        if (by == 0 || by < -MAX_DENOMINATOR || by > MAX_DENOMINATOR) return unknown;
        fraction inverse = {xfc_int_const(c, by < 0 ? -b.den : b.den), by < 0 ? -by : by};
        return exact(a) && exact(b) ? product(w, a, inverse) : unknown;
    }
    if (a.den != 1 || b.den != 1) return unknown;
    xfc_int q = xfc_dims_divide(c, &a.num, 1, &b.num, 1);
    bool exact = xfc_int_known(q) && xfc_int_same(xfc_int_mul(c, q, b.num), a.num);
    if (exact || (!floats && never_negative(w, a.num) && never_negative(w, b.num))) return whole(q);
    return unknown;
}

static fraction rounded(walker *w, fraction a, bool up) {
    if (!known(a) || a.den == 1) return a;
    xfc_int den = xfc_int_const(w->ctx, a.den);
    return whole(up ? xfc_int_ceildiv(w->ctx, a.num, den) : xfc_int_floordiv(w->ctx, a.num, den));
}

static fraction converted(walker *w, fraction a, xfc_dtype to) {
    if (!known(a) || xfc_dtype_is_float(to)) return a;
    if (to == XFC_BOOL) {
        int zero = xfc_int_eq(w->ctx, a.num, xfc_int_const(w->ctx, 0));
        return truth(w, zero < 0 ? -1 : !zero);
    }
    return a.den == 1 || never_negative(w, a.num) ? rounded(w, a, false) : unknown;
}

static fraction compared(walker *w, xfc_opcode code, fraction a, fraction b) {
    if (!align(w, &a, &b)) return unknown;
    int equal = xfc_int_eq(w->ctx, a.num, b.num), less = xfc_int_lt(w->ctx, a.num, b.num),
        more = xfc_int_lt(w->ctx, b.num, a.num);
    switch ((int)code) {
    case XFC_OP_EQ: return truth(w, equal);
    case XFC_OP_NE: return truth(w, equal < 0 ? -1 : !equal);
    case XFC_OP_LT: return truth(w, less);
    case XFC_OP_GE: return truth(w, less < 0 ? -1 : !less);
    case XFC_OP_GT: return truth(w, more);
    default: return truth(w, more < 0 ? -1 : !more); /* LE */
    }
}

static fraction computed(walker *w, const xfc_op *op, fraction a, fraction b) {
    xfc_ctx *c = w->ctx;
    bool floats = xfc_dtype_is_float(op->in[0].value->type.dtype);
    switch ((int)op->code) {
    case XFC_OP_ADD: return align(w, &a, &b) ? (fraction){xfc_int_add(c, a.num, b.num), a.den} : unknown;
    case XFC_OP_SUB: return align(w, &a, &b) ? (fraction){xfc_int_sub(c, a.num, b.num), a.den} : unknown;
    case XFC_OP_MIN: return align(w, &a, &b) ? (fraction){xfc_int_min(c, a.num, b.num), a.den} : unknown;
    case XFC_OP_MAX: return align(w, &a, &b) ? (fraction){xfc_int_max(c, a.num, b.num), a.den} : unknown;
    case XFC_OP_MUL: return exact(a) && exact(b) ? product(w, a, b) : unknown;
    case XFC_OP_DIV: return quotient(w, a, b, floats);
    case XFC_OP_AND:
    case XFC_OP_OR: {
        int64_t x, y;
        bool both = known(a) && known(b) && xfc_int_value(c, a.num, &x) && xfc_int_value(c, b.num, &y);
        return both ? truth(w, op->code == XFC_OP_AND ? x && y : x || y) : unknown;
    }
    default: return compared(w, op->code, a, b);
    }
}

/* --- places --- */

static fraction of_operand(walker *w, const xfc_op *op, uint32_t i, const xfc_int *index) {
    return element(w, op->in[i].value, index);
}

/* Operand i of an element-wise op or an expansion. */
static fraction of_broadcast(walker *w, const xfc_op *op, uint32_t i, const xfc_int *index) {
    const xfc_type *in = &op->in[i].value->type, *out = &op->out[0].type;
    xfc_int at[XFC_MAX_RANK];
    for (uint32_t d = 0; d < in->rank; d++) {
        uint32_t from = d + out->rank - in->rank;
        at[d] = xfc_broadcast_index(w->ctx, index[from], in->dim[d], out->dim[from]);
    }
    return of_operand(w, op, i, at);
}

/* Where a slice that has elements starts: min(start, dim), the clamp of ONNX, is then start. */
static xfc_int first_of(walker *w, xfc_int start, xfc_int dim) {
    const xfc_int_info i = *xfc_int_look(w->ctx, start);
    if (i.kind != XFC_INT_MIN) return start;
    return xfc_int_same(i.a, dim) ? i.b : xfc_int_same(i.b, dim) ? i.a : start;
}

static fraction of_slice(walker *w, const xfc_op *op, const xfc_int *index) {
    const xfc_attr *start = xfc_op_attr(op, XFC_K_START), *step = xfc_op_attr(op, XFC_K_STEP);
    xfc_int at[XFC_MAX_RANK];
    for (uint32_t d = 0; d < start->n; d++) {
        xfc_int first = start->u.dims[d];
        if (step->u.ints[d] > 0) first = first_of(w, first, op->in[0].value->type.dim[d]);
        at[d] = xfc_int_add(w->ctx, first, xfc_int_mulc(w->ctx, index[d], step->u.ints[d]));
    }
    return of_operand(w, op, 0, at);
}

/* Operand i at this place along the axis. */
static fraction of_part(walker *w, const xfc_op *op, uint32_t i, const xfc_int *index, xfc_int place) {
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_int at[XFC_MAX_RANK];
    for (uint32_t d = 0; d < op->out[0].type.rank; d++) at[d] = d == axis ? place : index[d];
    return of_operand(w, op, i, at);
}

/* The place is the last of part i or lies in the next one, which may be empty. If the next one's formula, one place in
 * front of its first, gives what part i ends with, it holds for both. */
static bool continues(walker *w, const xfc_op *op, uint32_t i, const xfc_int *index, xfc_int size) {
    fraction last = of_part(w, op, i, index, xfc_int_addc(w->ctx, size, -1));
    fraction before = of_part(w, op, i + 1, index, xfc_int_const(w->ctx, -1));
    return known(last) && last.den == before.den && xfc_int_same(last.num, before.num);
}

/* The one operand that surely holds the position. */
static fraction of_concat(walker *w, const xfc_op *op, const xfc_int *index) {
    xfc_ctx *c = w->ctx;
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_int place = index[axis];
    if (xfc_int_le(c, xfc_int_const(c, 0), place) != 1) return unknown;
    for (uint32_t i = 0; i < op->n_in; i++) {
        xfc_int size = op->in[i].value->type.dim[axis], past = xfc_int_sub(c, place, size);
        if (xfc_int_lt(c, place, size) == 1) return of_part(w, op, i, index, place);
        if (xfc_int_le(c, size, place) != 1) {
            bool next = i + 1 < op->n_in && xfc_int_le(c, xfc_int_const(c, -1), past) == 1;
            return next && continues(w, op, i, index, size) ? of_part(w, op, i + 1, index, past) : unknown;
        }
        place = past;
    }
    return unknown;
}

static fraction of_gather(walker *w, const xfc_op *op, const xfc_int *index) {
    const xfc_type *data = &op->in[0].value->type, *where = &op->in[1].value->type;
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    fraction i = of_operand(w, op, 1, index + axis);
    xfc_int at[XFC_MAX_RANK], zero = xfc_int_const(w->ctx, 0);
    if (!known(i)) return unknown;
    int negative = xfc_int_lt(w->ctx, i.num, zero);
    if (negative < 0) return unknown;
    for (uint32_t d = 0; d < data->rank; d++) at[d] = d < axis ? index[d] : index[d + where->rank - (d > axis)];
    at[axis] = negative ? xfc_int_add(w->ctx, i.num, data->dim[axis]) : i.num;
    return of_operand(w, op, 0, at);
}

/* The sum or product of a short list. */
static fraction of_reduction(walker *w, const xfc_op *op) {
    const xfc_type *in = &op->in[0].value->type;
    bool sums = op->code == XFC_OP_REDUCE_SUM;
    fraction total = whole(xfc_int_const(w->ctx, !sums));
    int64_t n;
    if (in->rank != 1 || !xfc_int_value(w->ctx, in->dim[0], &n) || n > MAX_TERMS || !xfc_op_attr(op, XFC_K_AXES)->n)
        return unknown;
    for (int64_t i = 0; i < n; i++) {
        xfc_int at = xfc_int_const(w->ctx, i);
        fraction next = of_operand(w, op, 0, &at);
        if (!sums)
            total = product(w, total, next);
        else
            total = align(w, &total, &next) ? (fraction){xfc_int_add(w->ctx, total.num, next.num), total.den} : unknown;
    }
    return total;
}

static fraction of_const(walker *w, const xfc_tensor *t, const xfc_int *index) {
    int64_t at = 0, i;
    for (uint32_t d = 0; d < t->rank; d++) {
        bool fixed = xfc_int_value(w->ctx, index[d], &i) && i >= 0 && i < t->dim[d];
        if (!fixed && t->dim[d] != 1) return unknown;
        at = at * t->dim[d] + (fixed ? i : 0);
    }
    return of_tensor(w, t, at);
}

static xfc_int of_content(walker *w, const xfc_value *v, const xfc_int *index) {
    int64_t dim[XFC_MAX_RANK], at = 0, i;
    if (!v->content || !xfc_type_static(w->ctx, &v->type, dim, NULL)) return XFC_INT_NONE;
    for (uint32_t d = 0; d < v->type.rank; d++) {
        if (!xfc_int_value(w->ctx, index[d], &i) || i < 0 || i >= dim[d]) return XFC_INT_NONE;
        at = at * dim[d] + i;
    }
    return v->content[at];
}

/* A quotient that is exact unless its divisor is 0: (b * s) floordiv b. */
static xfc_int cancelled(walker *w, xfc_int e) {
    if (!xfc_int_known(e)) return e;
    const xfc_int_info i = *xfc_int_look(w->ctx, e);
    if (i.kind != XFC_INT_FLOORDIV) return e;
    xfc_int q = xfc_dims_divide(w->ctx, &i.a, 1, &i.b, 1);
    return xfc_int_known(q) && xfc_int_same(xfc_int_mul(w->ctx, q, i.b), i.a) ? q : e;
}

static fraction of_iota(walker *w, const xfc_op *op, const xfc_int *index) {
    const xfc_attr *start = xfc_op_attr(op, XFC_K_START), *step = xfc_op_attr(op, XFC_K_STEP);
    xfc_int i = xfc_int_mulc(w->ctx, index[0], step && step->n ? step->u.ints[0] : 1);
    return whole(start && start->n ? xfc_int_add(w->ctx, start->u.dims[0], i) : i);
}

static fraction of_select(walker *w, const xfc_op *op, const xfc_int *index) {
    fraction cond = of_broadcast(w, op, 0, index);
    int64_t yes;
    if (!known(cond) || !xfc_int_value(w->ctx, cond.num, &yes)) return unknown;
    return of_broadcast(w, op, yes ? 1 : 2, index);
}

static fraction of_op(walker *w, const xfc_op *op, const xfc_int *index) {
    xfc_ctx *c = w->ctx;
    xfc_int at[XFC_MAX_RANK];
    int64_t v;
    fraction a;
    switch ((int)op->code) {
    case XFC_OP_IOTA: return of_iota(w, op, index);
    case XFC_OP_SPLAT: return of_tensor(w, xfc_op_attr(op, XFC_K_VALUE)->u.tensor, 0);
    case XFC_OP_DIMS:
        if (op->out[0].type.rank && !xfc_int_value(c, index[0], &v)) return unknown;
        v = op->out[0].type.rank ? v : 0;
        if (v < 0 || v >= xfc_op_attr(op, XFC_K_VALUES)->n) return unknown;
        return whole(xfc_op_attr(op, XFC_K_VALUES)->u.dims[v]);
    case XFC_OP_RESHAPE:
        xfc_type_delinear(c, &op->in[0].value->type, xfc_type_linear(c, &op->out[0].type, index), at);
        return of_operand(w, op, 0, at);
    case XFC_OP_TRANSPOSE:
        for (uint32_t d = 0; d < op->out[0].type.rank; d++) at[xfc_op_attr(op, XFC_K_PERM)->u.ints[d]] = index[d];
        return of_operand(w, op, 0, at);
    case XFC_OP_EXPAND: return of_broadcast(w, op, 0, index);
    case XFC_OP_SLICE: return of_slice(w, op, index);
    case XFC_OP_CONCAT: return of_concat(w, op, index);
    case XFC_OP_GATHER: return of_gather(w, op, index);
    case XFC_OP_SELECT: return of_select(w, op, index);
    case XFC_OP_REDUCE_SUM:
    case XFC_OP_REDUCE_PROD: return of_reduction(w, op);
    case XFC_OP_CAST: return converted(w, of_operand(w, op, 0, index), op->out[0].type.dtype);
    case XFC_OP_CEIL: return rounded(w, of_operand(w, op, 0, index), true);
    case XFC_OP_FLOOR: return rounded(w, of_operand(w, op, 0, index), false);
    case XFC_OP_NEG:
        a = of_operand(w, op, 0, index);
        return known(a) ? (fraction){xfc_int_sub(c, xfc_int_const(c, 0), a.num), a.den} : unknown;
    case XFC_OP_NOT:
        a = of_operand(w, op, 0, index);
        return known(a) && xfc_int_value(c, a.num, &v) ? truth(w, !v) : unknown;
    case XFC_OP_ADD:
    case XFC_OP_SUB:
    case XFC_OP_MUL:
    case XFC_OP_DIV:
    case XFC_OP_MIN:
    case XFC_OP_MAX:
    case XFC_OP_AND:
    case XFC_OP_OR:
    case XFC_OP_EQ:
    case XFC_OP_NE:
    case XFC_OP_LT:
    case XFC_OP_LE:
    case XFC_OP_GT:
    case XFC_OP_GE: return computed(w, op, of_broadcast(w, op, 0, index), of_broadcast(w, op, 1, index));
    default: return unknown;
    }
}

static fraction element(walker *w, const xfc_value *v, const xfc_int *index) {
    const xfc_tensor *t;
    if (w->visits++ >= MAX_VISITS) return unknown;
    for (uint32_t d = 0; d < v->type.rank; d++)
        if (!xfc_int_known(index[d])) return unknown;
    if (xfc_value_is_const(v, &t)) return of_const(w, t, index);
    xfc_int tracked = cancelled(w, of_content(w, v, index));
    if (xfc_int_known(tracked) || !v->def) return whole(tracked);
    fraction f = of_op(w, v->def, index);
    return known(f) ? f : unknown;
}

xfc_int xfc_element(xfc_ctx *c, const xfc_value *v, const xfc_int *index) {
    walker w = {.ctx = c};
    fraction f = element(&w, v, index);
    return f.den == 1 ? f.num : XFC_INT_NONE;
}

/* fact.c - scalar instructions on facts: formulas in sizes and axes, numbers, intervals.
 *
 * Numbers go through the interpreter's own lanes, so that what is known is what it computes. Formulas are mathematical
 * integers: a result whose range exceeds a narrower type is no formula (sizes beyond 2^63 are refused elsewhere), and
 * numbers so large that they are no sizes ("to the end") are not mixed with symbols. Whatever is not known as a formula
 * is an interval of what its type holds. Fractions stand for floats where a probe assumes sizes: halves are exact in
 * floats; other parts of a size below 2^24 are not, but round down and up as the true quotient does, and that is all
 * that is done with them.
 */
#include "ir/eval/eval_impl.h"
#include "ir/probe.h"

#include <math.h>

#define SAFE ((int64_t)1 << 46) /* numbers beyond it are not mixed with symbols */
#define MAX_DENOMINATOR ((int64_t)1 << 31)
#define LARGEST_HALF 65504.0

static const xfc_fact NOTHING = {.kind = XFC_FACT_NONE};

static bool is_formula(xfc_fact f) { return f.kind == XFC_FACT_FORMULA; }
static xfc_int number(xfc_ctx *c, int64_t v) { return xfc_int_const(c, v); }
static xfc_fact truth(xfc_ctx *c, int known) {
    return known < 0 ? xfc_fact_between(0, 1) : xfc_fact_of(number(c, known));
}

/* --- one number --- */

typedef union {
    float f;
    double d;
    int64_t i;
} lane;

static bool to_lane(const xfc_ctx *c, xfc_dtype t, xfc_fact f, lane *out) {
    double v;
    if (!xfc_dtype_is_float(t)) return is_formula(f) && f.den == 1 && xfc_int_value(c, f.num, &out->i);
    if (!xfc_fact_number(c, f, &v)) return false;
    if (t == XFC_F64)
        out->d = v;
    else
        out->f = (float)v;
    return true;
}

/* Of u64 half are no number of 63 bits. */
static xfc_fact of_integer(xfc_ctx *c, xfc_dtype t, int64_t v) {
    return t == XFC_U64 && v < 0 ? xfc_fact_between(0x1p63, 0x1p64) : xfc_fact_of(number(c, v));
}

static xfc_fact from_lane(xfc_ctx *c, xfc_dtype t, lane v) {
    if (!xfc_dtype_is_float(t)) return of_integer(c, t, v.i);
    double d = t == XFC_F64 ? v.d : (double)v.f;
    return isnan(d) ? NOTHING : xfc_fact_between(d, d);
}

static xfc_fact cast_number(xfc_ctx *c, xfc_dtype to, xfc_dtype from, lane v) {
    lane r = {0};
    const xfc_lanes result = {.any = &r}, operand = {.any = &v};
    xfc_lanes_cast(to, from, 1, result, operand);
    return from_lane(c, to, r);
}

xfc_fact xfc_fact_element(const xfc_probe *p, const xfc_tensor *t, int64_t at) {
    xfc_ctx *c = p->graph->ctx;
    if (!xfc_dtype_is_float(t->dtype)) return of_integer(c, t->dtype, xfc_tensor_get_i(t, at));
    double v = xfc_tensor_get_f(t, at);
    return isnan(v) ? NOTHING : xfc_fact_between(v, v);
}

bool xfc_fact_number(const xfc_ctx *c, xfc_fact f, double *out) {
    int64_t v;
    if (f.kind == XFC_FACT_BETWEEN) return *out = f.lo, f.lo >= f.hi;
    if (!is_formula(f) || !xfc_int_value(c, f.num, &v)) return false;
    *out = (double)v / (double)f.den;
    return true;
}

/* --- bounds --- */

/* Integers beyond 2^53 are rounded on the way to doubles. */
static double outward(double v, double to) { return fabs(v) < 0x1p53 ? v : nextafter(v, to); }

void xfc_fact_bounds(xfc_ctx *c, xfc_fact f, double *lo, double *hi) {
    int64_t least, most;
    *lo = f.lo;
    *hi = f.hi;
    if (f.kind == XFC_FACT_NONE) *lo = -(double)INFINITY, *hi = (double)INFINITY;
    if (!is_formula(f)) return;
    xfc_int_range(c, f.num, &least, &most);
    *lo = outward((double)least, -(double)INFINITY) / (double)f.den;
    *hi = outward((double)most, (double)INFINITY) / (double)f.den;
}

/* The least and the largest that an integer type holds, as far as formulas go. */
static void limits(xfc_dtype t, int64_t *least, int64_t *most) {
    *least = t == XFC_BOOL ? 0 : xfc_combine_identity_i(XFC_S_MAX, t);
    *most = t == XFC_BOOL ? 1 : t == XFC_U64 ? INT64_MAX : xfc_combine_identity_i(XFC_S_MIN, t);
}

xfc_fact xfc_fact_unknown(const xfc_probe *p, xfc_dtype t) {
    int64_t least, most;
    if (xfc_dtype_is_float(t)) {
        double most_f = t == XFC_F16 ? fmin(p->finite, LARGEST_HALF) : p->finite;
        return p->finite > 0 ? xfc_fact_between(-most_f, most_f) : NOTHING;
    }
    limits(t, &least, &most);
    return xfc_fact_between((double)least, t == XFC_U64 ? 0x1p64 : (double)most);
}

/* As the interpreter does it: to half by way of f32. */
static double rounded_to(xfc_dtype t, double v) {
    lane r = {0};
    const xfc_lanes result = {.any = &r}, operand = {.d = &v};
    xfc_lanes_cast(t, XFC_F64, 1, result, operand);
    return t == XFC_F64 ? r.d : (double)r.f;
}

/* An interval as the type holds it: rounding keeps the order, what is too large becomes infinite, integers wrap. */
static xfc_fact held(const xfc_probe *p, xfc_dtype t, double lo, double hi) {
    if (isnan(lo) || isnan(hi)) return xfc_dtype_is_float(t) ? NOTHING : xfc_fact_unknown(p, t);
    if (xfc_dtype_is_float(t)) return xfc_fact_between(rounded_to(t, lo), rounded_to(t, hi));
    xfc_fact all = xfc_fact_unknown(p, t);
    lo = outward(lo, -(double)INFINITY);
    hi = outward(hi, (double)INFINITY);
    return lo >= all.lo && hi <= all.hi ? xfc_fact_between(lo, hi) : all;
}

static bool same_formula(xfc_fact a, xfc_fact b) {
    return is_formula(a) && is_formula(b) && xfc_int_same(a.num, b.num) && a.den == b.den;
}

xfc_fact xfc_fact_join(xfc_ctx *c, xfc_fact a, xfc_fact b) {
    double alo, ahi, blo, bhi;
    if (same_formula(a, b)) return a;
    if (a.kind == XFC_FACT_NONE || b.kind == XFC_FACT_NONE) return NOTHING;
    xfc_fact_bounds(c, a, &alo, &ahi);
    xfc_fact_bounds(c, b, &blo, &bhi);
    return xfc_fact_between(fmin(alo, blo), fmax(ahi, bhi));
}

/* --- formulas --- */

/* A formula as an element of type t. */
static xfc_fact fit(xfc_probe *p, xfc_dtype t, xfc_int a) {
    xfc_ctx *c = p->graph->ctx;
    int64_t v, lo, hi, least, most;
    if (!xfc_int_known(a)) return xfc_fact_unknown(p, t);
    if (xfc_int_value(c, a, &v)) return cast_number(c, t, XFC_I64, (lane){.i = v});
    if (t == XFC_BOOL) {
        int zero = xfc_int_eq(c, a, number(c, 0));
        return truth(c, zero < 0 ? -1 : !zero);
    }
    if (t == XFC_I64 || p->assumes & XFC_PROBE_NO_WRAP) return xfc_fact_of(a);
    xfc_int_range(c, a, &lo, &hi);
    limits(t, &least, &most);
    return lo >= least && hi <= most ? xfc_fact_of(a) : xfc_fact_unknown(p, t);
}

/* Small enough to take part in symbolic arithmetic. */
static bool tame(const xfc_ctx *c, xfc_int a) {
    int64_t v;
    return !xfc_int_value(c, a, &v) || (v > -SAFE && v < SAFE);
}

/* a < b by ranges alone, which never overflows; -1 if they overlap. */
static int less_by_range(const xfc_probe *p, xfc_int a, xfc_int b) {
    xfc_ctx *c = p->graph->ctx;
    int64_t alo, ahi, blo, bhi;
    xfc_int_range(c, a, &alo, &ahi);
    xfc_int_range(c, b, &blo, &bhi);
    if (ahi < 0 && blo < 0 && xfc_graph_requires_size(p->graph, b)) blo = 0; /* a dim beside a -1 */
    if (ahi < blo) return 1;
    return alo >= bhi ? 0 : -1;
}

static int less(xfc_probe *p, xfc_int a, xfc_int b) {
    xfc_ctx *c = p->graph->ctx;
    int known = less_by_range(p, a, b);
    if (known >= 0 || !tame(c, a) || !tame(c, b)) return known;
    known = xfc_int_lt(c, a, b);
    return known >= 0 ? known : xfc_probe_decide(p, xfc_int_addc(c, xfc_int_sub(c, a, b), 1));
}

static int equal(xfc_probe *p, xfc_int a, xfc_int b) {
    xfc_ctx *c = p->graph->ctx;
    if (xfc_int_same(a, b)) return 1;
    if (less_by_range(p, a, b) == 1 || less_by_range(p, b, a) == 1) return 0;
    if (!tame(c, a) || !tame(c, b)) return -1;
    const int known = xfc_int_eq(c, a, b);
    return known < 0 && p->equal ? p->equal(p, a, b) : known;
}

static xfc_int extremum(xfc_probe *p, xfc_int a, xfc_int b, bool larger) {
    xfc_ctx *c = p->graph->ctx;
    int below = less_by_range(p, a, b);
    if (below < 0 && tame(c, a) && tame(c, b)) below = xfc_int_lt(c, a, b);
    if (below >= 0) return (below == 1) == larger ? b : a;
    if (!tame(c, a) || !tame(c, b)) return XFC_INT_NONE;
    return larger ? xfc_int_max(c, a, b) : xfc_int_min(c, a, b);
}

static bool positive(xfc_ctx *c, xfc_int a) { return xfc_int_lt(c, number(c, 0), a) == 1; }
static bool may_be_negative(xfc_ctx *c, xfc_int a) { return xfc_int_lt(c, a, number(c, 0)) != 0; }

/* Truncating division: floor, or the ceiling of what is negative. */
static xfc_int divide(const xfc_probe *p, xfc_int a, xfc_int b) {
    xfc_ctx *c = p->graph->ctx;
    xfc_int q;
    if (p->assumes & XFC_PROBE_SIZES && xfc_int_exact(c, a, b, &q)) return q;
    if (!positive(c, b) && !(p->assumes & XFC_PROBE_DIVISORS)) return XFC_INT_NONE;
    if (!positive(c, b))
        return may_be_negative(c, b) || may_be_negative(c, a) ? XFC_INT_NONE : xfc_int_floordiv(c, a, b);
    xfc_int floor = xfc_int_floordiv(c, a, b);
    if (xfc_int_is(c, xfc_int_mod(c, a, b), 0) || !may_be_negative(c, a)) return floor;
    return xfc_int_max(c, floor, xfc_int_min(c, number(c, 0), xfc_int_ceildiv(c, a, b)));
}

static xfc_int power(xfc_ctx *c, xfc_int a, xfc_int b) {
    int64_t n;
    if (!xfc_int_value(c, b, &n) || n < 0 || n > 8) return XFC_INT_NONE;
    xfc_int product = number(c, 1);
    for (int64_t i = 0; i < n; i++) product = xfc_int_mul(c, product, a);
    return product;
}

static xfc_int integer_op(xfc_probe *p, xfc_scalar_op op, xfc_int a, xfc_int b) {
    xfc_ctx *c = p->graph->ctx;
    if (op == XFC_S_MIN || op == XFC_S_MAX) return extremum(p, a, b, op == XFC_S_MAX);
    if (!tame(c, a) || !tame(c, b)) return XFC_INT_NONE;
    switch ((int)op) {
    case XFC_S_ADD: return xfc_int_add(c, a, b);
    case XFC_S_SUB: return xfc_int_sub(c, a, b);
    case XFC_S_MUL: return xfc_int_mul(c, a, b);
    case XFC_S_DIV: return divide(p, a, b);
    case XFC_S_MOD: return positive(c, b) ? xfc_int_mod(c, a, b) : XFC_INT_NONE;
    case XFC_S_FMOD: return positive(c, b) && !may_be_negative(c, a) ? xfc_int_mod(c, a, b) : XFC_INT_NONE;
    case XFC_S_POW: return power(c, a, b);
    case XFC_S_NEG: return xfc_int_sub(c, number(c, 0), a);
    case XFC_S_ABS: return xfc_int_max(c, a, xfc_int_sub(c, number(c, 0), a));
    case XFC_S_SIGN: return xfc_int_max(c, xfc_int_min(c, a, number(c, 1)), number(c, -1));
    default: return XFC_INT_NONE;
    }
}

/* Results that do not need both operands. */
static bool absorbed(const xfc_ctx *c, xfc_scalar_op op, xfc_dtype t, xfc_fact a, xfc_fact b, xfc_fact *out) {
    bool zero_wins = op == XFC_S_AND || op == XFC_S_MUL;
    if (!zero_wins && (op != XFC_S_OR || t != XFC_BOOL)) return false;
    for (int i = 0; i < 2; i++) {
        *out = i ? b : a;
        if (is_formula(*out) && xfc_int_is(c, out->num, zero_wins ? 0 : 1)) return true;
    }
    return false;
}

/* --- fractions --- */

static bool exact(xfc_fact f) { return (f.den & (f.den - 1)) == 0; } /* as a float */

static xfc_fact fraction(xfc_int num, int64_t den) {
    xfc_fact f = xfc_fact_of(num);
    f.den = den;
    return f;
}

/* A float as a fraction, if it is one. */
static bool as_fraction(xfc_ctx *c, xfc_fact *f) {
    if (f->kind != XFC_FACT_BETWEEN) return is_formula(*f);
    for (int64_t den = 1; f->lo >= f->hi && den <= 1 << 20; den *= 2) {
        double num = f->lo * (double)den;
        if (!(fabs(num) < (double)SAFE)) return false;
        if (num != floor(num)) continue;
        *f = fraction(number(c, (int64_t)num), den);
        return true;
    }
    return false;
}

/* Both over one denominator. */
static bool align(xfc_ctx *c, xfc_fact *a, xfc_fact *b) {
    if (!exact(*a) || !exact(*b)) return false;
    if (a->den < b->den) *a = fraction(xfc_int_mulc(c, a->num, b->den / a->den), b->den);
    if (b->den < a->den) *b = fraction(xfc_int_mulc(c, b->num, a->den / b->den), a->den);
    return is_formula(*a) && is_formula(*b);
}

static xfc_fact product(xfc_ctx *c, xfc_fact a, xfc_fact b) {
    int64_t den;
    if (!exact(a) || !exact(b) || !xfc_mul_ok(a.den, b.den, &den) || den > MAX_DENOMINATOR) return NOTHING;
    return fraction(xfc_int_mul(c, a.num, b.num), den);
}

static xfc_fact quotient(xfc_ctx *c, xfc_fact a, xfc_fact b) {
    int64_t by;
    xfc_int q;
    if (xfc_int_value(c, b.num, &by)) {
        if (by == 0 || by < -MAX_DENOMINATOR || by > MAX_DENOMINATOR || !exact(a) || !exact(b)) return NOTHING;
        int64_t den;
        if (!xfc_mul_ok(a.den, by < 0 ? -by : by, &den) || den > MAX_DENOMINATOR) return NOTHING;
        return fraction(xfc_int_mulc(c, a.num, by < 0 ? -b.den : b.den), den);
    }
    return a.den == 1 && b.den == 1 && xfc_int_exact(c, a.num, b.num, &q) ? fraction(q, 1) : NOTHING;
}

static xfc_fact whole(xfc_ctx *c, xfc_fact a, bool up) {
    xfc_int den = number(c, a.den);
    return a.den == 1 ? a : fraction(up ? xfc_int_ceildiv(c, a.num, den) : xfc_int_floordiv(c, a.num, den), 1);
}

static xfc_fact fraction_op(xfc_ctx *c, xfc_scalar_op op, xfc_fact a, xfc_fact b) {
    switch ((int)op) {
    case XFC_S_MUL: return product(c, a, b);
    case XFC_S_DIV: return quotient(c, a, b);
    case XFC_S_NEG: return fraction(xfc_int_mulc(c, a.num, -1), a.den);
    case XFC_S_FLOOR: return whole(c, a, false);
    case XFC_S_CEIL: return whole(c, a, true);
    default: break;
    }
    if (!align(c, &a, &b)) return NOTHING;
    switch ((int)op) {
    case XFC_S_ADD: return fraction(xfc_int_add(c, a.num, b.num), a.den);
    case XFC_S_SUB: return fraction(xfc_int_sub(c, a.num, b.num), a.den);
    case XFC_S_MIN: return fraction(xfc_int_min(c, a.num, b.num), a.den);
    case XFC_S_MAX: return fraction(xfc_int_max(c, a.num, b.num), a.den);
    default: return NOTHING;
    }
}

/* --- intervals --- */

typedef struct {
    double lo, hi;
} range;

static bool reaches_zero(range a) { return a.lo <= 0 && a.hi >= 0; }
static bool is_infinite(range a) { return isinf(a.lo) || isinf(a.hi); }

static range corners(double p, double q, double r, double s) {
    return (range){fmin(fmin(p, q), fmin(r, s)), fmax(fmax(p, q), fmax(r, s))};
}

static bool times(range a, range b, range *out) {
    if ((is_infinite(a) && reaches_zero(b)) || (is_infinite(b) && reaches_zero(a))) return false;
    *out = corners(a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi);
    return true;
}

static bool over(range a, range b, range *out) {
    if (reaches_zero(b) || is_infinite(b)) return false;
    *out = corners(a.lo / b.lo, a.lo / b.hi, a.hi / b.lo, a.hi / b.hi);
    return true;
}

static bool plus(range a, range b, range *out) {
    *out = (range){a.lo + b.lo, a.hi + b.hi};
    return !(isinf(a.lo) && isinf(b.hi) && a.lo < b.hi) && !(isinf(a.hi) && isinf(b.lo) && a.hi > b.lo);
}

/* False: the result may be NaN. Nothing is said of ops that are not here. */
static bool range_op(xfc_scalar_op op, bool is_float, range a, range b, range *out) {
    switch ((int)op) {
    case XFC_S_ADD: return plus(a, b, out);
    case XFC_S_SUB: return plus(a, (range){-b.hi, -b.lo}, out);
    case XFC_S_MUL: return times(a, b, out);
    case XFC_S_DIV: return is_float && over(a, b, out);
    case XFC_S_MIN: return *out = (range){fmin(a.lo, b.lo), fmin(a.hi, b.hi)}, true;
    case XFC_S_MAX: return *out = (range){fmax(a.lo, b.lo), fmax(a.hi, b.hi)}, true;
    case XFC_S_NEG: return *out = (range){-a.hi, -a.lo}, true;
    default: return *out = (range){(double)NAN, (double)NAN}, true;
    }
}

static xfc_fact on_ranges(const xfc_probe *p, xfc_scalar_op op, xfc_dtype t, range a, range b) {
    range r;
    if (op == XFC_S_ISNAN) return truth(p->graph->ctx, 0);
    if (op == XFC_S_ISINF) return truth(p->graph->ctx, is_infinite(a) ? -1 : 0);
    if (t == XFC_BOOL) return xfc_fact_between(0, 1);
    if (!range_op(op, xfc_dtype_is_float(t), a, b, &r)) return xfc_dtype_is_float(t) ? NOTHING : xfc_fact_unknown(p, t);
    return isnan(r.lo) ? xfc_fact_unknown(p, t) : held(p, t, r.lo, r.hi);
}

/* --- instructions --- */

static int inverse(int known) { return known < 0 ? -1 : !known; }

static int compare_formulas(xfc_probe *p, xfc_scalar_op op, xfc_int a, xfc_int b) {
    switch ((int)op) {
    case XFC_S_EQ: return equal(p, a, b);
    case XFC_S_NE: return inverse(equal(p, a, b));
    case XFC_S_LT: return less(p, a, b);
    case XFC_S_LE: return inverse(less(p, b, a));
    case XFC_S_GT: return less(p, b, a);
    default: return inverse(less(p, a, b)); /* GE */
    }
}

static int compare_ranges(xfc_scalar_op op, range a, range b) {
    switch ((int)op) {
    case XFC_S_EQ:
        return a.lo >= a.hi && b.lo >= b.hi && a.lo >= b.lo && a.lo <= b.lo ? 1 : a.hi < b.lo || b.hi < a.lo ? 0 : -1;
    case XFC_S_NE: return inverse(compare_ranges(XFC_S_EQ, a, b));
    case XFC_S_LT: return a.hi < b.lo ? 1 : a.lo >= b.hi ? 0 : -1;
    case XFC_S_LE: return inverse(compare_ranges(XFC_S_LT, b, a));
    case XFC_S_GT: return compare_ranges(XFC_S_LT, b, a);
    default: return inverse(compare_ranges(XFC_S_LT, a, b)); /* GE */
    }
}

static xfc_fact on_formulas(xfc_probe *p, xfc_scalar_op op, xfc_dtype t, xfc_fact a, xfc_fact b) {
    xfc_ctx *c = p->graph->ctx;
    bool compares = op >= XFC_S_EQ && op <= XFC_S_GE;
    if (compares) return align(c, &a, &b) ? truth(c, compare_formulas(p, op, a.num, b.num)) : NOTHING;
    if (xfc_dtype_is_float(t)) return fraction_op(c, op, a, b);
    xfc_int r = integer_op(p, op, a.num, b.num);
    return xfc_int_known(r) ? fit(p, t, r) : NOTHING;
}

static xfc_fact select_of(xfc_ctx *c, xfc_fact cond, xfc_fact yes, xfc_fact no) {
    int64_t v;
    if (is_formula(cond) && xfc_int_value(c, cond.num, &v)) return v ? yes : no;
    return cond.kind == XFC_FACT_NONE && !same_formula(yes, no) ? NOTHING : xfc_fact_join(c, yes, no);
}

static xfc_fact cast_formula(xfc_probe *p, xfc_dtype to, xfc_fact a) {
    xfc_ctx *c = p->graph->ctx;
    double lo, hi;
    if (xfc_dtype_is_float(to)) {
        if (p->assumes & XFC_PROBE_SIZES) return a;
        xfc_fact_bounds(c, a, &lo, &hi);
        return held(p, to, lo, hi);
    }
    if (a.den > 1 && to != XFC_BOOL) {
        if (may_be_negative(c, a.num)) return xfc_fact_unknown(p, to);
        a = whole(c, a, false);
    }
    return fit(p, to, a.num);
}

static xfc_fact cast_of(xfc_probe *p, xfc_dtype to, xfc_dtype from, xfc_fact a) {
    xfc_ctx *c = p->graph->ctx;
    lane v;
    if (a.kind == XFC_FACT_NONE) return NOTHING;
    if (xfc_dtype_is_code(from) || xfc_dtype_is_code(to)) return from == to ? a : xfc_fact_unknown(p, to);
    if (to_lane(c, from, a, &v)) return cast_number(c, to, from, v);
    if (is_formula(a)) return cast_formula(p, to, a);
    if (to == XFC_BOOL) return truth(c, a.lo > 0 || a.hi < 0 ? 1 : -1);
    if (xfc_dtype_is_float(to)) return held(p, to, a.lo, a.hi);
    return held(p, to, trunc(a.lo), trunc(a.hi));
}

static xfc_fact on_numbers(xfc_ctx *c, xfc_scalar_op op, xfc_dtype t, xfc_dtype result, lane *v) {
    lane r = {0};
    xfc_lanes arg[3] = {{.any = &v[0]}, {.any = &v[1]}, {.any = &v[2]}};
    xfc_lanes_op(op, t, 1, (xfc_lanes){.any = &r}, arg);
    return from_lane(c, result, r);
}

xfc_fact xfc_fact_scalar(xfc_probe *p, xfc_scalar_op op, xfc_dtype t, xfc_dtype result, const xfc_fact *arg) {
    xfc_ctx *c = p->graph->ctx;
    uint32_t n = xfc_scalar_arity(op);
    xfc_fact a = arg[0], b = n > 1 ? arg[1] : a, out;
    lane v[3];
    bool numbers = true, formulas = n < 3;
    range ra, rb;
    if (op == XFC_S_SELECT) return select_of(c, a, b, arg[2]);
    if (op == XFC_S_CAST) return cast_of(p, result, t, a);
    if (!xfc_dtype_is_float(t) && absorbed(c, op, t, a, b, &out)) return out;
    for (uint32_t i = 0; i < n; i++) {
        if (arg[i].kind == XFC_FACT_NONE) return NOTHING;
        numbers = numbers && to_lane(c, t, arg[i], &v[i]);
    }
    if (numbers) return on_numbers(c, op, t, result, v);
    if (p->assumes & XFC_PROBE_SIZES && xfc_dtype_is_float(t))
        formulas = formulas && as_fraction(c, &a) && as_fraction(c, &b);
    if (formulas && is_formula(a) && is_formula(b)) {
        out = on_formulas(p, op, result == XFC_BOOL ? t : result, a, b);
        if (out.kind != XFC_FACT_NONE) return out;
    }
    xfc_fact_bounds(c, a, &ra.lo, &ra.hi);
    xfc_fact_bounds(c, b, &rb.lo, &rb.hi);
    if (op >= XFC_S_EQ && op <= XFC_S_GE) return truth(c, compare_ranges(op, ra, rb));
    return on_ranges(p, op, result, ra, rb);
}

/* mask.c - proofs about padding masks, by running index maps and bodies of nests over intervals.
 *
 * Exporters spell a padding mask in dozens of ways, but each is a chain of element-wise ops, views and gathers from one
 * [b, s] value of zeros and ones (the atom) to the bias of the attention. So the bias is evaluated at a symbolic index
 * (sequence, head, query, key) by walking up that chain, nest by nest: indices compose, scalars become intervals, and
 * the atom read at the key's own token counts as 0 or as 1. If the result with 0 is at most FORBIDDEN, the weight of such
 * a key is 0 in the model's own arithmetic (exp underflows below -104, and scores are far from 9000) and the key may be
 * left out. No spelling is named anywhere.
 *
 * A mask that is summed over positions and compared with them (onnxruntime's mask_index) marks the same keys only if
 * every sequence's tokens come first. The sum is a symbol then, positions compared with it are tokens or not, and what
 * was proved so holds for such masks alone: `prefix` has the others run padded.
 *
 * Values that are neither the atom nor constants count as unknown: integers of any value, floats within +-UNKNOWN, which
 * is why only fills like -3.4e38 prove anything where such a value is added. NaN is never assumed; inf * 0 proves nothing.
 */
#include "passes/unpad/unpad.h"

#include <math.h>

enum { MAX_VISITS = 4000, MAX_OPERANDS = 16, MAX_SCAN = 1 << 16, MAX_LETS = 16, MAX_CHOICES = 4 };
#define FORBIDDEN (-9000.0)
#define UNKNOWN 1e6
#define LARGEST_HALF 65504.0

typedef struct {
    double lo, hi;
    bool bad;    /* NaN, or the atom read elsewhere */
    xfc_int sym; /* integers: the value as a formula, if known */
} fact;

typedef struct {
    const xfc_unpad *u;
    double padding;        /* what the atom is at the key */
    xfc_int b, key, query; /* formulas of the tokens' places; query may be NONE */
    xfc_int length;        /* of the sequence: its tokens, which are all that it begins with if `by_length` */
    bool by_length;        /* some comparison with the length was decided */
    uint32_t visits;
    /* Comparisons of positions (causal masks) go both ways: d <= 0 is assumed true or false for one whole evaluation, so
     * that all of a bias sees the same side. */
    struct {
        xfc_int d;
        bool holds;
    } choice[MAX_CHOICES];
    uint32_t n_choices;
    bool needs_token; /* holds only if the sequence has a token */
} evaluator;

static fact value_at(evaluator *, const xfc_value *, const xfc_int *index);

static fact exactly(double v) { return (fact){.lo = v, .hi = v}; }
static fact between(double lo, double hi) { return (fact){.lo = lo, .hi = hi}; }
static const fact BAD = {.bad = true};

static double rounded(xfc_dtype t, double v) {
    double bits = 0;
    const xfc_tensor one = {.dtype = t, .rank = 1, .count = 1, .data = &bits};
    xfc_element_set_f(t, &bits, 0, v);
    return xfc_tensor_get_f(&one, 0);
}

/* As the type holds it: rounding keeps the order, and what is too large becomes infinite. */
static fact held(xfc_dtype t, fact f) {
    return f.bad || !xfc_dtype_is_float(t) ? f : between(rounded(t, f.lo), rounded(t, f.hi));
}

static fact unknown(xfc_dtype t) {
    if (t == XFC_BOOL) return between(0, 1);
    if (t == XFC_F16) return between(-LARGEST_HALF, LARGEST_HALF);
    return xfc_dtype_is_float(t) ? between(-UNKNOWN, UNKNOWN) : between(-0x1p62, 0x1p62);
}

static fact of_formula(xfc_ctx *c, xfc_int e) {
    int64_t lo, hi;
    xfc_int_range(c, e, &lo, &hi);
    return (fact){.lo = (double)lo, .hi = (double)hi, .sym = e};
}

static fact join(fact a, fact b) {
    if (a.bad || b.bad) return BAD;
    return between(fmin(a.lo, b.lo), fmax(a.hi, b.hi));
}

static bool is_exact(fact f) { return !f.bad && f.lo == f.hi; }
static fact truth(int known) { return known < 0 ? between(0, 1) : exactly(known); }

/* --- scalar operations --- */

static fact times(fact a, fact b) {
    double p[4] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
    fact r = exactly(p[0]);
    for (uint32_t i = 0; i < 4; i++) {
        if (isnan(p[i])) return BAD;
        r.lo = fmin(r.lo, p[i]);
        r.hi = fmax(r.hi, p[i]);
    }
    bool inf_a = isinf(a.lo) || isinf(a.hi), inf_b = isinf(b.lo) || isinf(b.hi);
    bool zero_a = a.lo <= 0 && a.hi >= 0, zero_b = b.lo <= 0 && b.hi >= 0;
    return (inf_a && zero_b) || (inf_b && zero_a) ? BAD : r;
}

static fact quotient(fact a, fact b, bool is_float) {
    if (!is_float || (b.lo <= 0 && b.hi >= 0) || isinf(b.lo) || isinf(b.hi)) return BAD;
    return times(a, between(1 / b.hi, 1 / b.lo));
}

static fact plus(fact a, fact b) {
    const double inf = (double)INFINITY;
    bool nan = (a.lo == -inf && b.hi == inf) || (a.hi == inf && b.lo == -inf);
    return nan ? BAD : between(a.lo + b.lo, a.hi + b.hi);
}

static bool key_is_padding(const evaluator *ev) { return ev->padding == (ev->u->inverted ? 1 : 0); }

/* Is d <= 0? If it asks whether the key's or the query's position is below the length: 1, 0. Else -1. */
static int below_length(evaluator *ev, xfc_int d) {
    xfc_ctx *c = ev->u->ctx;
    const xfc_int place[2] = {ev->key, ev->query};
    for (uint32_t i = 0; i < 2; i++) {
        if (!xfc_int_known(place[i])) continue;
        xfc_int behind = xfc_int_sub(c, ev->length, place[i]); /* <= 0: not below */
        bool not_below = xfc_int_same(d, behind), token = i == 1 || !key_is_padding(ev);
        if (!not_below && !xfc_int_same(d, xfc_int_sub(c, xfc_int_const(c, 1), behind))) continue;
        ev->by_length = true;
        return token != not_below;
    }
    return -1;
}

/* Is d <= 0? As assumed; a new question is first assumed to hold. */
static int choose(evaluator *ev, xfc_int d) {
    xfc_ctx *c = ev->u->ctx;
    xfc_int opposite = xfc_int_sub(c, xfc_int_const(c, 1), d);
    for (uint32_t i = 0; i < ev->n_choices; i++) {
        if (xfc_int_same(ev->choice[i].d, d)) return ev->choice[i].holds;
        if (xfc_int_same(ev->choice[i].d, opposite)) return !ev->choice[i].holds;
    }
    if (!xfc_int_known(d) || ev->n_choices == MAX_CHOICES) return -1;
    ev->choice[ev->n_choices].d = d;
    ev->choice[ev->n_choices++].holds = true;
    return 1;
}

static int compare_formulas(evaluator *ev, xfc_scalar_op op, xfc_int a, xfc_int b) {
    xfc_ctx *c = ev->u->ctx;
    int known = op == XFC_S_LT ? xfc_int_lt(c, a, b) : xfc_int_le(c, a, b);
    if (known >= 0) return known;
    xfc_int d = xfc_int_sub(c, a, b);
    if (op == XFC_S_LT) d = xfc_int_addc(c, d, 1);
    known = below_length(ev, d);
    return known >= 0 ? known : choose(ev, d);
}

static int compare(evaluator *ev, xfc_scalar_op op, fact a, fact b) {
    xfc_ctx *c = ev->u->ctx;
    bool formulas = xfc_int_known(a.sym) && xfc_int_known(b.sym);
    switch ((int)op) {
    case XFC_S_LT: return a.hi < b.lo ? 1 : a.lo >= b.hi ? 0 : formulas ? compare_formulas(ev, op, a.sym, b.sym) : -1;
    case XFC_S_LE: return a.hi <= b.lo ? 1 : a.lo > b.hi ? 0 : formulas ? compare_formulas(ev, op, a.sym, b.sym) : -1;
    case XFC_S_GT: return compare(ev, XFC_S_LT, b, a);
    case XFC_S_GE: return compare(ev, XFC_S_LE, b, a);
    default: break;
    }
    int equal = is_exact(a) && is_exact(b) && a.lo == b.lo ? 1
                : a.hi < b.lo || b.hi < a.lo               ? 0
                : formulas                                 ? xfc_int_eq(c, a.sym, b.sym)
                                                           : -1;
    return op == XFC_S_EQ || equal < 0 ? equal : !equal;
}

static xfc_int formula(xfc_ctx *c, xfc_scalar_op op, fact a, fact b) {
    if (!xfc_int_known(a.sym) || !xfc_int_known(b.sym)) return XFC_INT_NONE;
    if (op == XFC_S_ADD) return xfc_int_add(c, a.sym, b.sym);
    if (op == XFC_S_SUB) return xfc_int_sub(c, a.sym, b.sym);
    if (op == XFC_S_MUL) return xfc_int_mul(c, a.sym, b.sym);
    if (op == XFC_S_MOD) return xfc_int_mod(c, a.sym, b.sym);
    return XFC_INT_NONE;
}

static fact arithmetic(evaluator *ev, const xfc_scalar *s, fact a, fact b) {
    fact r;
    switch ((int)s->op) {
    case XFC_S_ADD: r = plus(a, b); break;
    case XFC_S_SUB: r = plus(a, between(-b.hi, -b.lo)); break;
    case XFC_S_MUL: r = times(a, b); break;
    case XFC_S_DIV: r = quotient(a, b, xfc_dtype_is_float(s->dtype)); break;
    case XFC_S_MIN: r = between(fmin(a.lo, b.lo), fmin(a.hi, b.hi)); break;
    case XFC_S_MAX: r = between(fmax(a.lo, b.lo), fmax(a.hi, b.hi)); break;
    case XFC_S_NEG: r = between(-a.hi, -a.lo); break;
    default: return unknown(s->dtype);
    }
    if (r.bad || isnan(r.lo) || isnan(r.hi)) return BAD;
    r = held(s->dtype, r);
    r.sym = xfc_dtype_is_int(s->dtype) ? formula(ev->u->ctx, s->op, a, b) : XFC_INT_NONE;
    return r;
}

static fact logic(const xfc_scalar *s, fact a, fact b) {
    switch ((int)s->op) {
    case XFC_S_AND: return between(fmin(a.lo, b.lo), fmin(a.hi, b.hi));
    case XFC_S_OR: return between(fmax(a.lo, b.lo), fmax(a.hi, b.hi));
    case XFC_S_NOT: return between(1 - a.hi, 1 - a.lo);
    case XFC_S_XOR: return is_exact(a) && is_exact(b) ? exactly(a.lo != b.lo) : between(0, 1);
    case XFC_S_ISNAN: return exactly(0);
    case XFC_S_ISINF: return isinf(a.lo) || isinf(a.hi) ? between(0, 1) : exactly(0);
    default: return between(0, 1);
    }
}

static fact converted(fact a, xfc_dtype to) {
    if (to == XFC_BOOL) return a.lo > 0 || a.hi < 0 ? exactly(1) : a.lo == 0 && a.hi == 0 ? exactly(0) : between(0, 1);
    if (xfc_dtype_is_float(to)) return held(to, between(a.lo, a.hi));
    return (fact){.lo = trunc(a.lo), .hi = trunc(a.hi), .sym = a.sym};
}

static fact scalar_of(evaluator *ev, const xfc_scalar *s, fact a, fact b, fact d) {
    if (s->op == XFC_S_SELECT) {
        if (a.bad) return BAD;
        return is_exact(a) ? (a.lo != 0 ? b : d) : join(b, d);
    }
    if (a.bad || b.bad || d.bad) return BAD;
    if (s->op == XFC_S_CAST) return converted(a, s->dtype);
    if (s->op >= XFC_S_EQ && s->op <= XFC_S_GE) return truth(compare(ev, s->op, a, b));
    return s->dtype == XFC_BOOL ? logic(s, a, b) : arithmetic(ev, s, a, b);
}

/* --- values --- */

static fact of_tensor(evaluator *ev, const xfc_tensor *t, const xfc_type *type, const xfc_int *index) {
    xfc_ctx *c = ev->u->ctx;
    int64_t at;
    double equal;
    bool is_float = xfc_dtype_is_float(t->dtype);
    if (t->count == 0) return BAD;
    if (xfc_tensor_is_splat(t, &equal)) {
        at = 0;
    } else if (!xfc_int_value(c, xfc_type_linear(c, type, index), &at)) {
        if (t->count > MAX_SCAN) return unknown(t->dtype);
        fact r = exactly(xfc_tensor_get_f(t, 0));
        for (int64_t i = 1; i < t->count; i++) r = join(r, exactly(xfc_tensor_get_f(t, i)));
        return isnan(r.lo) || isnan(r.hi) ? BAD : r;
    }
    if (at < 0 || at >= t->count) return BAD;
    fact r = exactly(is_float ? xfc_tensor_get_f(t, at) : (double)xfc_tensor_get_i(t, at));
    if (!is_float && t->dtype != XFC_BOOL) r.sym = xfc_int_const(c, xfc_tensor_get_i(t, at));
    return isnan(r.lo) ? BAD : r;
}

/* The atom at an index: `padding` at the key, what marks a token at the query; anywhere else nothing is known. */
static fact of_atom(evaluator *ev, const xfc_value *v, const xfc_int *index) {
    const xfc_unpad *u = ev->u;
    xfc_token t;
    if (!xfc_token_of_type(u, &v->type, &t)) return BAD;
    if (t.has_b && !xfc_int_same(index[t.b_dim], ev->b)) return BAD;
    if (xfc_int_same(index[t.s_dim], ev->key)) return exactly(ev->padding);
    double real = u->inverted ? 0 : 1;
    return xfc_int_known(ev->query) && xfc_int_same(index[t.s_dim], ev->query) ? exactly(real) : BAD;
}

typedef struct {
    const xfc_op *op;
    fact *fact;
    xfc_int from[XFC_MAX_RANK + MAX_LETS], to[XFC_MAX_RANK + MAX_LETS];
    uint32_t n, slot[MAX_OPERANDS];
} frame;

static frame frame_of(const xfc_op *op) {
    frame f = {.op = op};
    uint32_t n = 0;
    for (uint32_t i = 0; i < op->n_in; i++)
        if (op->in[i].value) f.slot[n++] = i;
    return f;
}

static fact load_at(evaluator *ev, const frame *f, const xfc_scalar *s) {
    const xfc_access *a = s->u.access;
    xfc_int index[XFC_MAX_RANK];
    if (a->buffer >= f->op->n_in) return BAD;
    for (uint32_t d = 0; d < a->rank; d++) index[d] = xfc_int_substitute(ev->u->ctx, a->index[d], f->from, f->to, f->n);
    if (s->arg[0] != XFC_NO_ARG) {
        fact taken = f->fact[s->arg[0]];
        if (taken.bad) return BAD;
        if (taken.hi == 0) return exactly(0);
        if (taken.lo == 0) return join(exactly(0), value_at(ev, f->op->in[f->slot[a->buffer]].value, index));
    }
    return value_at(ev, f->op->in[f->slot[a->buffer]].value, index);
}

/* A let stands for the formula of what it was read from, if that is an index as it is. */
static fact let_of(const evaluator *ev, frame *f, const xfc_scalar *s) {
    fact a = f->fact[s->arg[0]];
    if (a.bad || f->n == XFC_COUNT(f->from)) return BAD;
    if (xfc_int_known(a.sym) && a.lo >= 0) {
        f->from[f->n] = s->u.index;
        f->to[f->n++] = a.sym;
        return a;
    }
    return of_formula(ev->u->ctx, s->u.index);
}

static fact step(evaluator *ev, frame *f, const xfc_scalar *s) {
    xfc_ctx *c = ev->u->ctx;
    switch ((int)s->op) {
    case XFC_S_CONST:
        if (xfc_dtype_is_float(s->dtype)) return isnan(s->u.f) ? BAD : exactly(s->u.f);
        return (fact){(double)s->u.i, (double)s->u.i, false,
                      s->dtype == XFC_BOOL ? XFC_INT_NONE : xfc_int_const(c, s->u.i)};
    case XFC_S_INDEX: return of_formula(c, xfc_int_substitute(c, s->u.index, f->from, f->to, f->n));
    case XFC_S_LOAD: return load_at(ev, f, s);
    case XFC_S_LET: return let_of(ev, f, s);
    default: break;
    }
    fact arg[3] = {between(0, 0), between(0, 0), between(0, 0)};
    for (uint32_t i = 0; i < 3; i++)
        if (s->arg[i] != XFC_NO_ARG) arg[i] = f->fact[s->arg[i]];
    return scalar_of(ev, s, arg[0], arg[1], arg[2]);
}

static fact run_body(evaluator *ev, frame f, const xfc_nest *nest) {
    uint32_t value = nest->stores[0].value;
    f.fact = xfc_new_array(ev->u->pass->scratch, fact, nest->n_body);
    for (uint32_t i = 0; i <= value; i++) f.fact[i] = step(ev, &f, &nest->body[i]);
    return f.fact[value];
}

/* The axis that the nest sums over: all positions, in integers that hold their number. NONE: it is something else. */
static xfc_int summed_axis(const evaluator *ev, const xfc_nest *nest, xfc_dtype t) {
    xfc_int axis = XFC_INT_NONE;
    if (nest->stores[0].combine != XFC_S_ADD || !xfc_dtype_is_int(t) || xfc_dtype_bytes(t) < 4) return XFC_INT_NONE;
    for (uint32_t i = 0; i < nest->n_axes; i++) {
        if (nest->axes[i].kind == XFC_AXIS_PARALLEL) continue;
        if (xfc_int_known(axis) || !xfc_int_same(nest->axes[i].extent, ev->u->s)) return XFC_INT_NONE;
        axis = nest->axes[i].symbol;
    }
    return axis;
}

/* A sum over positions of what is one number at tokens and one at padding. */
static fact sum_of(evaluator *ev, const frame *f, const xfc_nest *nest, xfc_dtype t) {
    xfc_ctx *c = ev->u->ctx;
    evaluator at = *ev;
    fact v[2];
    at.key = summed_axis(ev, nest, t);
    at.query = XFC_INT_NONE;
    if (!xfc_int_known(at.key)) return unknown(t);
    for (uint32_t i = 0; i < 2; i++) { /* at tokens, at padding */
        at.padding = ev->u->inverted ? i : 1 - i;
        v[i] = run_body(&at, *f, nest);
        if (!is_exact(v[i]) || fabs(v[i].lo) > 1) return unknown(t);
    }
    ev->visits = at.visits;
    xfc_int others = xfc_int_sub(c, ev->u->s, ev->length);
    return of_formula(c, xfc_int_add(c, xfc_int_mul(c, ev->length, xfc_int_const(c, (int64_t)v[0].lo)),
                                     xfc_int_mul(c, others, xfc_int_const(c, (int64_t)v[1].lo))));
}

static bool is_parallel(const xfc_nest *nest) {
    return xfc_unpad_is_parallel(nest) && nest->stores[0].combine == XFC_S_COUNT;
}

/* The op's result at an index: its body, with the index for its axes. No reductions but sums over positions. */
static fact through_nest(evaluator *ev, const xfc_op *op, const xfc_int *index) {
    xfc_dtype t = op->out[0].type.dtype;
    const xfc_nest *nest = op->n_out == 1 && op->n_in <= MAX_OPERANDS ? xfc_unpad_nest(ev->u, op) : NULL;
    if (!nest || nest->n_stores != 1) return unknown(t);
    frame f = frame_of(op);
    const xfc_access *to = &nest->stores[0].to;
    for (uint32_t d = 0; d < to->rank; d++) {
        f.from[f.n] = to->index[d];
        if (xfc_int_value(ev->u->ctx, f.from[f.n], NULL)) continue;
        if (xfc_int_look(ev->u->ctx, f.from[f.n])->kind != XFC_INT_SYMBOL) return is_parallel(nest) ? BAD : unknown(t);
        f.to[f.n++] = index[d];
    }
    return is_parallel(nest) ? run_body(ev, f, nest) : sum_of(ev, &f, nest, t);
}

static bool forbids(fact f) { return !f.bad && f.hi <= FORBIDDEN; }

/* Over positions, a forbidden one has the weight 0 if any other has some. */
static fact of_softmax(evaluator *ev, const xfc_op *op, const xfc_int *index) {
    const xfc_value *x = op->in[0].value;
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    if (!xfc_int_same(x->type.dim[axis], ev->u->s) || !xfc_int_same(index[axis], ev->key)) return between(0, 1);
    double padding = ev->padding;
    fact at_padding = value_at(ev, x, index);
    ev->padding = ev->u->inverted ? 0 : 1;
    fact at_token = value_at(ev, x, index);
    ev->padding = padding;
    if (!forbids(at_padding) || at_token.bad || forbids(at_token)) return between(0, 1);
    ev->needs_token = true;
    return exactly(0);
}

/* Facts of operands that cannot matter (a branch of a select that is never taken) may be bad. */
static fact value_at(evaluator *ev, const xfc_value *v, const xfc_int *index) {
    const xfc_tensor *t;
    if (v == ev->u->atom) return of_atom(ev, v, index);
    if (!v->def || ++ev->visits > MAX_VISITS) return unknown(v->type.dtype);
    if (xfc_value_is_const(v, &t)) return of_tensor(ev, t, &v->type, index);
    if (v->def->code == XFC_OP_SOFTMAX) return of_softmax(ev, v->def, index);
    return through_nest(ev, v->def, index);
}

/* value_at for every way the comparisons can go. */
static fact value_in_all_cases(evaluator *ev, const xfc_value *v, const xfc_int *index) {
    fact all = value_at(ev, v, index);
    for (;;) {
        while (ev->n_choices > 0 && !ev->choice[ev->n_choices - 1].holds) ev->n_choices--;
        if (ev->n_choices == 0) return all;
        ev->choice[ev->n_choices - 1].holds = false;
        all = join(all, value_at(ev, v, index));
    }
}

/* --- attention --- */

static xfc_int length_of(xfc_unpad *u) {
    if (!xfc_int_known(u->length)) u->length = xfc_int_let(u->ctx, "length", xfc_int_const(u->ctx, 0), u->s);
    return u->length;
}

/* Sets *prefix if the answer holds only for sequences whose tokens come first. */
static fact term_at(xfc_unpad *u, const xfc_op *op, const xfc_token *q, const xfc_unpad_term *term, double padding,
                    bool *prefix) {
    xfc_ctx *c = u->ctx;
    const xfc_type *rows = &op->in[0].value->type, *type = &term->value->type;
    xfc_int at[4], full[4], index[XFC_MAX_RANK];
    for (uint32_t d = 0; d < 4; d++) {
        full[d] = d < 3 ? rows->dim[d] : op->in[1].value->type.dim[2];
        at[d] = xfc_unpad_axis(u, full[d]);
    }
    evaluator ev = {.u = u, .padding = padding, .key = at[3], .query = at[2], .length = length_of(u)};
    ev.b = xfc_token_sequence(u, q, rows, at);
    if (term->rank == 3) { /* dims 1 .. 3 are those of the sum */
        at[1] = xfc_int_add(c, xfc_int_mul(c, at[0], full[1]), at[1]);
        full[1] = xfc_int_mul(c, full[0], full[1]);
    }
    for (uint32_t d = 0; d < type->rank; d++) {
        uint32_t to = d + 4 - type->rank;
        index[d] = xfc_broadcast_index(c, at[to], type->dim[d], full[to]);
    }
    fact f = value_in_all_cases(&ev, term->value, index);
    *prefix |= ev.by_length;
    return ev.needs_token ? BAD : f;
}

bool xfc_unpad_masks_keys(xfc_unpad *u, const xfc_op *op, const xfc_token *q) {
    bool prefix = false, decided = false;
    if (op->n_in < 4 || !op->in[3].value) return false;
    const xfc_unpad_term whole = {op->in[3].value, XFC_TERM_PLAIN, 4};
    if (u->n_attentions == 0) {
        u->inverted = false;
        u->inverted = !forbids(term_at(u, op, q, &whole, 0, &decided));
    }
    fact real = term_at(u, op, q, &whole, u->inverted ? 0 : 1, &prefix);
    if (!forbids(term_at(u, op, q, &whole, u->inverted ? 1 : 0, &prefix)) || real.bad || forbids(real)) return false;
    u->prefix |= prefix;
    return true;
}

bool xfc_unpad_is_neutral(xfc_unpad *u, const xfc_op *op, const xfc_token *q, const xfc_unpad_term *term) {
    bool prefix = false;
    fact real = term_at(u, op, q, term, u->inverted ? 0 : 1, &prefix);
    return is_exact(real) && real.lo == 0 && (u->prefix || !prefix);
}

/* --- what ignores padding --- */

static fact operand_at(evaluator *ev, const xfc_op *op, uint32_t i, const xfc_int *at) {
    const xfc_value *v = op->in[i].value;
    const xfc_type *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK];
    for (uint32_t d = 0; d < v->type.rank; d++) {
        uint32_t to = d + out->rank - v->type.rank;
        index[d] = xfc_broadcast_index(ev->u->ctx, at[to], v->type.dim[d], out->dim[to]);
    }
    return value_in_all_cases(ev, v, index);
}

xfc_clean xfc_unpad_cleanses(xfc_unpad *u, const xfc_op *op, const xfc_token *out, double *fill) {
    if (op->code != XFC_OP_MUL && op->code != XFC_OP_SELECT) return XFC_DIRTY;
    const xfc_type *type = &op->out[0].type;
    xfc_int at[XFC_MAX_RANK];
    for (uint32_t d = 0; d < type->rank; d++) at[d] = xfc_unpad_axis(u, type->dim[d]);
    evaluator ev = {.u = u, .padding = u->inverted ? 1 : 0, .length = length_of(u)};
    ev.b = xfc_token_sequence(u, out, type, at);
    ev.key = xfc_token_position(u, out, type, at);
    *fill = 0;
    if (op->code == XFC_OP_MUL) {
        for (uint32_t i = 0; i < 2; i++) {
            if (xfc_unpad_of(u, op->in[i].value)->tainted) continue;
            fact f = operand_at(&ev, op, i, at);
            if (!is_exact(f) || f.lo != 0) continue;
            u->nonempty |= ev.needs_token;
            u->prefix |= ev.by_length;
            return XFC_CLEAN_FILL;
        }
        return XFC_DIRTY;
    }
    if (xfc_unpad_of(u, op->in[0].value)->tainted) return XFC_DIRTY;
    fact f = operand_at(&ev, op, 0, at);
    uint32_t taken = is_exact(f) && f.lo == 0 ? 2 : 1;
    if (!is_exact(f) || xfc_unpad_of(u, op->in[taken].value)->tainted) return XFC_DIRTY;
    fact v = operand_at(&ev, op, taken, at);
    if (ev.needs_token) return XFC_DIRTY;
    *fill = v.lo;
    u->prefix |= ev.by_length;
    return is_exact(v) ? XFC_CLEAN_FILL : XFC_CLEAN;
}

/* The body's result, with what operand i holds taken for any number. */
static fact summand(evaluator *ev, const xfc_op *op, const xfc_nest *nest, const xfc_access *read) {
    frame f = frame_of(op);
    f.fact = xfc_new_array(ev->u->pass->scratch, fact, nest->n_body);
    for (uint32_t k = 0; k <= nest->stores[0].value; k++) {
        const xfc_scalar *s = &nest->body[k];
        bool taken = s->op == XFC_S_LOAD && s->u.access == read;
        f.fact[k] = taken ? unknown(s->dtype) : step(ev, &f, s);
    }
    return f.fact[nest->stores[0].value];
}

/* Each read of padding is a factor of a sum, and the other factor is 0 there. */
static bool weighs_nothing(xfc_unpad *u, const xfc_op *op, uint32_t i) {
    const xfc_value *v = op->in[i].value;
    const xfc_unpad_value *s = xfc_unpad_of(u, v);
    const xfc_nest *nest = op->n_out == 1 && op->n_in <= MAX_OPERANDS ? xfc_unpad_nest(u, op) : NULL;
    const xfc_access *read = NULL;
    uint32_t buffer = xfc_unpad_buffer(op, i);
    if (!nest || nest->n_stores != 1 || nest->stores[0].combine != XFC_S_ADD) return false;
    for (uint32_t k = 0; k < nest->n_body; k++) {
        if (nest->body[k].op != XFC_S_LOAD || nest->body[k].u.access->buffer != buffer) continue;
        if (read || nest->body[k].arg[0] != XFC_NO_ARG) return false;
        read = nest->body[k].u.access;
    }
    if (!read) return false;
    evaluator ev = {.u = u, .padding = u->inverted ? 1 : 0, .length = length_of(u)};
    ev.b = xfc_token_sequence(u, &s->token, &v->type, read->index);
    ev.key = xfc_token_position(u, &s->token, &v->type, read->index);
    fact f = summand(&ev, op, nest, read);
    if (ev.n_choices > 0 || !is_exact(f) || f.lo != 0) return false;
    u->nonempty |= ev.needs_token;
    u->prefix |= ev.by_length;
    return true;
}

/* A softmax over positions that nothing else reads besides: whatever is low enough at padding may as well be -inf. */
static bool sinks(xfc_unpad *u, const xfc_op *op) {
    if (op->code != XFC_OP_SOFTMAX || op->in[0].value->uses->next) return false;
    const xfc_value *x = op->in[0].value;
    xfc_unpad_value *s = xfc_unpad_of(u, x);
    xfc_int at[XFC_MAX_RANK];
    for (uint32_t d = 0; d < x->type.rank; d++) at[d] = xfc_unpad_axis(u, x->type.dim[d]);
    evaluator ev = {.u = u, .padding = u->inverted ? 1 : 0, .length = length_of(u)};
    ev.b = xfc_token_sequence(u, &s->token, &x->type, at);
    ev.key = xfc_token_position(u, &s->token, &x->type, at);
    fact f = of_softmax(&ev, op, at);
    if (ev.n_choices > 0 || !is_exact(f) || f.lo != 0) return false;
    s->clean = true;
    s->fill = (double)-INFINITY;
    u->nonempty = true;
    u->prefix |= ev.by_length;
    return true;
}

bool xfc_unpad_ignores(xfc_unpad *u, const xfc_op *op, uint32_t i) {
    return xfc_unpad_of(u, op->in[i].value)->is_token && (weighs_nothing(u, op, i) || sinks(u, op));
}

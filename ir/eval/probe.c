/* probe.c - the walk from an element back through the nests that make it (see ir/probe.h).
 *
 * An op is looked at through its nest, made once, whose axes are bound to the index that is asked for. The body then is
 * run over facts; a load asks for an element of the operand. Reduce axes are run over if they are short. Not here:
 * nests that read their own results (ir/eval/content.c runs them where all is small), and composites.
 */
#include "ir/probe.h"

enum { MAX_VISITS = 4096, MAX_DEPTH = 2048, MAX_TERMS = 64, MAX_SCAN = 1 << 16, MAX_STEPS = 128 };

/* --- progressions --- */

static bool from_content(xfc_ctx *c, const xfc_value *v, xfc_progression *out) {
    int64_t count, first, second = 0, x;
    if (!v->content || !xfc_type_static(c, &v->type, NULL, &count) || count == 0) return false;
    *out = (xfc_progression){.start = v->content[0], .size = xfc_int_const(c, count), .step = 1};
    if (count == 1) return xfc_int_known(v->content[0]);
    if (!xfc_int_value(c, v->content[0], &first) || !xfc_int_value(c, v->content[1], &second)) return false;
    if (!xfc_sub_ok(second, first, &out->step) || out->step == 0) return false;
    for (int64_t i = 2; i < count; i++) {
        int64_t before = second;
        if (!xfc_int_value(c, v->content[i], &x) || !xfc_sub_ok(x, before, &before) || before != out->step)
            return false;
        second = x;
    }
    return true;
}

/* A constant of integers along one dim, the others being 1. Cheap: stops at the first element that is out of step. */
static bool from_tensor(xfc_ctx *c, const xfc_tensor *t, xfc_progression *out) {
    if (t->count < 2 || !xfc_dtype_is_int(t->dtype) || t->dtype == XFC_U64) return false;
    for (uint32_t d = 0; d < t->rank; d++) {
        if (t->dim[d] != 1 && t->dim[d] != t->count) return false;
    }
    int64_t before = xfc_tensor_get_i(t, 0), step;
    *out = (xfc_progression){.start = xfc_int_const(c, before), .size = xfc_int_const(c, t->count)};
    if (!xfc_sub_ok(xfc_tensor_get_i(t, 1), before, &out->step) || out->step == 0) return false;
    for (int64_t i = 1; i < t->count; i++) {
        int64_t x = xfc_tensor_get_i(t, i);
        if (!xfc_sub_ok(x, before, &step) || step != out->step) return false;
        before = x;
    }
    return true;
}

bool xfc_progression_of(xfc_ctx *c, const xfc_value *v, xfc_progression *out) {
    const xfc_tensor *t;
    return from_content(c, v, out) || (xfc_value_is_const(v, &t) && from_tensor(c, t, out));
}

/* --- elements that are there --- */

static xfc_fact in_progression(xfc_ctx *c, const xfc_progression *p, xfc_int linear) {
    return xfc_fact_of(xfc_int_add(c, p->start, xfc_int_mulc(c, linear, p->step)));
}

typedef struct { /* what is known of a constant at any index */
    bool is_progression, is_splat;
    xfc_progression progression;
    xfc_fact any;
} whole;

static xfc_fact join_all(const xfc_probe *p, const xfc_tensor *t) {
    xfc_fact f = xfc_fact_element(p, t, 0);
    if (t->count > MAX_SCAN) return xfc_fact_unknown(p, t->dtype);
    for (int64_t i = 1; i < t->count && f.kind != XFC_FACT_NONE; i++)
        f = xfc_fact_join(p->graph->ctx, f, xfc_fact_element(p, t, i));
    return f;
}

/* Its elements are looked through once. */
static const whole *whole_of(xfc_probe *p, const xfc_value *v, const xfc_tensor *t) {
    whole *w = xfc_map_get_ptr(&p->whole, t);
    double equal;
    if (w) return w;
    w = xfc_new(p->arena, whole);
    w->is_splat = xfc_tensor_is_splat(t, &equal);
    w->is_progression = !w->is_splat && xfc_progression_of(p->graph->ctx, v, &w->progression);
    w->any = w->is_splat ? xfc_fact_element(p, t, 0) : join_all(p, t);
    xfc_map_set_ptr(&p->whole, t, w);
    return w;
}

static xfc_fact of_tensor(xfc_probe *p, const xfc_value *v, const xfc_tensor *t, xfc_int linear) {
    xfc_ctx *c = p->graph->ctx;
    int64_t at = 0;
    if (t->count == 0) return (xfc_fact){.kind = XFC_FACT_NONE};
    bool known = xfc_int_value(c, linear, &at);
    if (known && at >= 0 && at < t->count) return xfc_fact_element(p, t, at);
    const whole *w = whole_of(p, v, t);
    if (known && !w->is_splat) return (xfc_fact){.kind = XFC_FACT_NONE};
    return w->is_progression ? in_progression(c, &w->progression, linear) : w->any;
}

/* Sizes: a quotient that is exact unless its divisor is 0, (b * s) floordiv b. */
static xfc_int cancelled(const xfc_probe *p, xfc_int e) {
    const xfc_int_info i = *xfc_int_look(p->graph->ctx, e);
    xfc_int q;
    bool cancels =
        p->assumes & XFC_PROBE_SIZES && i.kind == XFC_INT_FLOORDIV && xfc_int_exact(p->graph->ctx, i.a, i.b, &q);
    return cancels ? q : e;
}

static xfc_fact of_content(const xfc_probe *p, const xfc_value *v, xfc_int linear) {
    xfc_ctx *c = p->graph->ctx;
    int64_t count, at;
    if (!v->content || !xfc_type_static(c, &v->type, NULL, &count)) return (xfc_fact){.kind = XFC_FACT_NONE};
    xfc_progression steps;
    if (!xfc_int_value(c, linear, &at))
        return xfc_progression_of(c, v, &steps) ? in_progression(c, &steps, linear) : (xfc_fact){.kind = XFC_FACT_NONE};
    return at >= 0 && at < count ? xfc_fact_of(cancelled(p, v->content[at])) : (xfc_fact){.kind = XFC_FACT_NONE};
}

/* --- running a body --- */

xfc_int xfc_probe_bound(const xfc_probe *p, const xfc_frame *f, xfc_int e) {
    return xfc_int_substitute(p->graph->ctx, e, f->from, f->to, f->n + f->n_lets);
}

/* What an index of an element that exists is: 0 along a dim of 1, and below the extent, which settles the clamps of
 * slices: in min(start, extent) + i, with i at least 0, the minimum is start. */
static xfc_int settled(xfc_ctx *c, xfc_int e, xfc_int extent) {
    const xfc_int_info sum = *xfc_int_look(c, e);
    uint32_t n = sum.kind == XFC_INT_SUM ? sum.n_terms : 1;
    if (xfc_int_is(c, extent, 1)) return xfc_int_const(c, 0);
    for (uint32_t i = 0; i < n; i++) {
        bool bare = sum.kind == XFC_INT_SUM && sum.term[i].coeff == 1 && sum.term[i].n == 1;
        xfc_int atom = bare ? sum.term[i].atom[0] : e, rest = xfc_int_sub(c, e, atom);
        const xfc_int_info min = *xfc_int_look(c, atom);
        if (min.kind != XFC_INT_MIN || xfc_int_le(c, xfc_int_const(c, 0), rest) != 1) continue;
        if (xfc_int_same(min.a, extent)) return xfc_int_add(c, min.b, rest);
        if (xfc_int_same(min.b, extent)) return xfc_int_add(c, min.a, rest);
    }
    return e;
}

/* May the index lie outside? Of one element, no other index tells: who reads it may do so in vain. */
static bool is_astray(const xfc_probe *p, const xfc_frame *f, xfc_int e, xfc_int extent) {
    return xfc_int_is(p->graph->ctx, extent, 1) && !(p->assumes & XFC_PROBE_NO_WRAP) &&
           !xfc_int_known(xfc_probe_bound(p, f, e));
}

static xfc_fact load_at(xfc_probe *p, const xfc_frame *f, const xfc_scalar *s) {
    xfc_ctx *c = p->graph->ctx;
    const xfc_access *a = s->u.access;
    uint32_t from = xfc_nest_operand(f->op, a->buffer);
    const xfc_value *v = from < f->op->n_in ? f->op->in[from].value : &f->op->out[0];
    xfc_int index[XFC_MAX_RANK];
    double lo = 1, hi = 1;
    if (s->arg[0] != XFC_NO_ARG) {
        if (f->fact[s->arg[0]].kind == XFC_FACT_NONE) return (xfc_fact){.kind = XFC_FACT_NONE};
        xfc_fact_bounds(c, f->fact[s->arg[0]], &lo, &hi);
    }
    xfc_fact zero = xfc_dtype_is_float(s->dtype) ? xfc_fact_between(0, 0) : xfc_fact_of(xfc_int_const(c, 0));
    if (hi <= 0) return zero;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (is_astray(p, f, a->index[d], v->type.dim[d])) return (xfc_fact){.kind = XFC_FACT_NONE};
        index[d] = xfc_probe_bound(p, f, settled(c, a->index[d], v->type.dim[d]));
    }
    xfc_fact x = xfc_probe_at(p, v, index);
    return lo <= 0 ? xfc_fact_join(c, zero, x) : x;
}

/* A let stands for the formula of what was read, if that surely is an index; else nobody knows for what. */
static xfc_fact let_of(xfc_probe *p, xfc_frame *f, const xfc_scalar *s) {
    xfc_ctx *c = p->graph->ctx;
    const xfc_int_info let = *xfc_int_look(c, s->u.index);
    xfc_int e = xfc_fact_formula(f->fact[s->arg[0]]), lo = xfc_probe_bound(p, f, let.lo),
            hi = xfc_probe_bound(p, f, let.hi);
    bool trusted = p->assumes & XFC_PROBE_NO_WRAP;
    int below = xfc_int_lt(c, e, lo);
    if (s->wrap && below == 1) {
        e = xfc_int_add(c, e, xfc_int_addc(c, hi, 1));
        below = trusted ? 0 : xfc_int_lt(c, e, lo);
    }
    if (below != 0 || (!trusted && xfc_int_le(c, e, hi) != 1)) e = XFC_INT_NONE;
    f->from[f->n + f->n_lets] = s->u.index;
    f->to[f->n + f->n_lets++] = e;
    return xfc_int_known(e) ? xfc_fact_of(e) : xfc_fact_unknown(p, s->dtype);
}

/* As its type holds it. */
static xfc_fact constant(xfc_probe *p, const xfc_scalar *s) {
    bool is_float = xfc_dtype_is_float(s->dtype);
    xfc_fact f = {.kind = XFC_FACT_NONE};
    if (!is_float)
        f = xfc_fact_of(xfc_int_const(p->graph->ctx, s->u.i));
    else if (s->u.f == s->u.f)
        f = xfc_fact_between(s->u.f, s->u.f);
    return xfc_fact_scalar(p, XFC_S_CAST, is_float ? XFC_F64 : XFC_I64, s->dtype, &f);
}

static xfc_fact instruction(xfc_probe *p, xfc_frame *f, const xfc_scalar *s) {
    xfc_fact arg[3] = {{.kind = XFC_FACT_NONE}};
    xfc_dtype t = s->dtype;
    xfc_int e;
    switch ((int)s->op) {
    case XFC_S_CONST: return constant(p, s);
    case XFC_S_INDEX:
        return xfc_int_known(e = xfc_probe_bound(p, f, s->u.index)) ? xfc_fact_of(e) : xfc_fact_unknown(p, t);
    case XFC_S_LOAD: return load_at(p, f, s);
    case XFC_S_LET: return let_of(p, f, s);
    default: break;
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (s->arg[i] == XFC_NO_ARG) continue;
        arg[i] = f->fact[s->arg[i]];
        if (i == 0) t = f->nest->body[s->arg[0]].dtype;
    }
    return xfc_fact_scalar(p, s->op, t, s->dtype, arg);
}

xfc_fact xfc_probe_body(xfc_probe *p, xfc_frame *f) {
    f->n_lets = 0;
    for (uint32_t i = 0; i < f->nest->n_body; i++) f->fact[i] = instruction(p, f, &f->nest->body[i]);
    return f->fact[f->nest->stores[0].value];
}

/* --- nests --- */

xfc_frame *xfc_probe_open(xfc_probe *p, const xfc_op *op) {
    xfc_frame *f = xfc_map_get_ptr(&p->frame, op);
    if (!f) {
        xfc_nest *nest = op->n_out == 1 ? xfc_nest_of(op, p->arena) : NULL;
        if (!nest) return NULL;
        f = xfc_new(p->arena, xfc_frame);
        *f = (xfc_frame){.op = op, .nest = nest};
        f->fact = xfc_new_array(p->arena, xfc_fact, nest->n_body);
        f->from = xfc_new_array(p->arena, xfc_int, (size_t)nest->n_axes + nest->n_body);
        f->to = xfc_new_array(p->arena, xfc_int, (size_t)nest->n_axes + nest->n_body);
        xfc_map_set_ptr(&p->frame, op, f);
    }
    f->n = f->n_lets = 0;
    return f;
}

static void bind(xfc_frame *f, xfc_int symbol, xfc_int e) {
    f->from[f->n] = symbol;
    f->to[f->n++] = e;
}

/* The axes of which the store's index is made. False: not one a dim. */
static bool bind_index(const xfc_probe *p, xfc_frame *f, const xfc_int *index) {
    xfc_ctx *c = p->graph->ctx;
    const xfc_access *to = &f->nest->stores[0].to;
    for (uint32_t d = 0; d < to->rank; d++) {
        if (xfc_int_value(c, to->index[d], NULL)) continue;
        if (xfc_int_look(c, to->index[d])->kind != XFC_INT_SYMBOL) return false;
        bind(f, to->index[d], index[d]);
    }
    return true;
}

/* Runs over the reduce axes that are not bound, all of few steps. */
static bool reduce_over(xfc_probe *p, xfc_frame *f, uint32_t axis, uint32_t *terms, xfc_fact *total) {
    xfc_ctx *c = p->graph->ctx;
    const xfc_nest *nest = f->nest;
    const xfc_store *s = &nest->stores[0];
    int64_t extent;
    while (axis < nest->n_axes && nest->axes[axis].kind == XFC_AXIS_PARALLEL) axis++;
    if (axis == nest->n_axes) {
        xfc_dtype t = nest->body[s->value].dtype, wide = xfc_dtype_is_float(t) ? XFC_F64 : t;
        xfc_fact term = xfc_probe_body(p, f), arg[2] = {*total, xfc_fact_scalar(p, XFC_S_CAST, t, wide, &term)};
        *total = ++*terms > 1 ? xfc_fact_scalar(p, s->combine, wide, wide, arg) : arg[1];
        return *terms <= MAX_TERMS;
    }
    if (!xfc_int_value(c, nest->axes[axis].extent, &extent)) return false;
    for (int64_t i = 0; i < extent; i++) {
        uint32_t n = f->n;
        bind(f, nest->axes[axis].symbol, xfc_int_const(c, i));
        if (!reduce_over(p, f, axis + 1, terms, total)) return false;
        f->n = n;
    }
    return true;
}

static xfc_fact reduced(xfc_probe *p, xfc_frame *f) {
    const xfc_store *s = &f->nest->stores[0];
    const xfc_type *out = &f->op->out[0].type;
    xfc_fact total = {.kind = XFC_FACT_NONE};
    uint32_t terms = 0;
    if (p->reduce) total = p->reduce(p, f);
    if (total.kind != XFC_FACT_NONE) return total;
    if (!reduce_over(p, f, 0, &terms, &total)) return xfc_fact_unknown(p, out->dtype);
    if (!xfc_dtype_is_float(out->dtype))
        return terms ? total
                     : xfc_fact_of(xfc_int_const(p->graph->ctx, xfc_combine_identity_i(s->combine, out->dtype)));
    double none = xfc_combine_identity_f(s->combine);
    return terms ? xfc_fact_scalar(p, XFC_S_CAST, XFC_F64, out->dtype, &total) : xfc_fact_between(none, none);
}

static bool reads_itself(const xfc_frame *f) {
    for (uint32_t i = 0; i < f->nest->n_axes; i++)
        if (f->nest->axes[i].kind == XFC_AXIS_SCAN) return true;
    return false;
}

static xfc_fact of_nest(xfc_probe *p, const xfc_op *op, const xfc_int *index) {
    xfc_frame *f = xfc_probe_open(p, op);
    if (!f || f->nest->n_stores != 1 || reads_itself(f) || !bind_index(p, f, index))
        return xfc_fact_unknown(p, op->out[0].type.dtype);
    return f->nest->stores[0].combine == XFC_S_COUNT ? xfc_probe_body(p, f) : reduced(p, f);
}

/* --- the walk --- */

/* A number for the value and the index. */
static uint64_t place(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    uint64_t at = (uint64_t)v->id << 1 | 1;
    for (uint32_t d = 0; d < v->type.rank; d++) {
        uint64_t key = at << 32 | index[d].id, next = xfc_map_get(&p->index, key);
        if (!next) xfc_map_set(&p->index, key, next = ((uint64_t)p->index.n + 1) << 1);
        at = next;
    }
    return at;
}

static xfc_fact found(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    const xfc_tensor *t;
    xfc_int linear = xfc_type_linear(p->graph->ctx, &v->type, index);
    if (xfc_value_is_const(v, &t)) return of_tensor(p, v, t, linear);
    xfc_fact f = of_content(p, v, linear);
    if (f.kind != XFC_FACT_NONE) return f;
    return v->def && v->def->n_out == 1 ? of_nest(p, v->def, index) : xfc_fact_unknown(p, v->type.dtype);
}

typedef struct {
    xfc_fact fact;
    bool open;
} element;

xfc_fact xfc_probe_through(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    uint64_t key = place(p, v, index);
    element *e = (element *)(uintptr_t)xfc_map_get(&p->seen, key), now;
    const bool open = p->open, cut = p->cut;
    if (e) {
        p->open |= e->open;
        return e->fact;
    }
    if (p->visits >= MAX_VISITS || p->depth >= MAX_DEPTH) {
        p->cut = true;
        return xfc_fact_unknown(p, v->type.dtype);
    }
    p->visits++;
    p->depth++;
    p->open = p->cut = false;
    now.fact = found(p, v, index);
    now.open = p->open;
    if (!p->cut) { /* else more may be found another time */
        e = xfc_new(p->arena, element);
        *e = now;
        xfc_map_set(&p->seen, key, (uint64_t)(uintptr_t)e);
    }
    p->open |= open;
    p->cut |= cut;
    p->depth--;
    return now.fact;
}

xfc_fact xfc_probe_at(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    return p->at ? p->at(p, v, index) : xfc_probe_through(p, v, index);
}

static bool is_closed(const xfc_value *v, uint32_t *visits) {
    if (!v || !v->def || v->def->n_out != 1 || ++*visits > MAX_STEPS) return false;
    const xfc_op *op = v->def;
    if (!xfc_ops[op->code].nest && !xfc_value_is_const(v, NULL)) return false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (op->in[i].value && !is_closed(op->in[i].value, visits)) return false;
    }
    return true;
}

bool xfc_probe_is_closed(const xfc_value *v) { return is_closed(v, &(uint32_t){0}); }

/* --- cases --- */

/* Is d <= 0? As assumed; a new question is first assumed to hold. */
int xfc_probe_decide(xfc_probe *p, xfc_int d) {
    xfc_ctx *c = p->graph->ctx;
    xfc_int opposite = xfc_int_sub(c, xfc_int_const(c, 1), d);
    int known = p->decide ? p->decide(p, d) : -1;
    p->open |= known < 0;
    if (known >= 0 || !p->by_cases || !xfc_int_known(d)) return known;
    for (uint32_t i = 0; i < p->n_assumed; i++) {
        if (xfc_int_same(p->assumed[i].d, d)) return p->assumed[i].holds;
        if (xfc_int_same(p->assumed[i].d, opposite)) return !p->assumed[i].holds;
    }
    if (p->n_assumed == XFC_COUNT(p->assumed)) return -1;
    p->assumed[p->n_assumed].d = d;
    p->assumed[p->n_assumed++].holds = true;
    return 1;
}

/* What holds whether d <= 0 or not. If one of the two means that d is one number, and there both facts are the same
 * number, the other fact is all there is: the last of one list or behind it in the next, which may be empty. */
static xfc_fact either(xfc_ctx *c, xfc_int d, xfc_fact yes, xfc_fact no) {
    xfc_int a = xfc_fact_formula(yes), b = xfc_fact_formula(no), times;
    int64_t lo, hi;
    xfc_int_range(c, d, &lo, &hi);
    xfc_int apart = xfc_int_sub(c, a, b);
    if (xfc_int_known(apart) && lo == 0 && xfc_int_exact(c, apart, d, &times)) return no;
    if (xfc_int_known(apart) && hi == 1 && xfc_int_exact(c, apart, xfc_int_addc(c, d, -1), &times)) return yes;
    return xfc_fact_join(c, yes, no);
}

static xfc_fact in_cases_from(xfc_probe *p, const xfc_value *v, const xfc_int *index, uint32_t n) {
    xfc_probe_forget(p);
    xfc_fact yes = xfc_probe_at(p, v, index), no;
    if (p->n_assumed == n) return yes;
    xfc_assert(n < XFC_COUNT(p->assumed));
    p->n_assumed = n + 1;
    yes = in_cases_from(p, v, index, n + 1);
    p->n_assumed = n + 1;
    p->assumed[n].holds = false;
    no = in_cases_from(p, v, index, n + 1);
    p->n_assumed = n;
    return either(p->graph->ctx, p->assumed[n].d, yes, no);
}

xfc_fact xfc_probe_in_cases(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    const xfc_map seen = p->seen;
    p->visits = 0;
    p->open = false;
    xfc_fact f = xfc_probe_at(p, v, index);
    if (!p->open) return f;
    p->by_cases = true;
    f = in_cases_from(p, v, index, 0);
    p->by_cases = false;
    p->seen = seen;
    return f;
}

xfc_probe xfc_probe_new(xfc_graph *g, xfc_arena *arena) {
    const xfc_map map = {.arena = arena};
    return (xfc_probe){.graph = g, .arena = arena, .index = map, .seen = map, .frame = map, .whole = map};
}

void xfc_probe_forget(xfc_probe *p) { p->seen = (xfc_map){.arena = p->arena}; }

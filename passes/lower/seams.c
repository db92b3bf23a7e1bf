/* seams.c - splits loops where the condition of a load changes.
 *
 * Concat and pad, and whatever was fused with them, read one of several places, chosen by comparing an axis with a
 * number that is the same all over the nest: a seam. Inside the loop it costs a test or a mask for every vector, and
 * hides that each side copies whole rows. Split, each side has its own loop, without the condition, and its own vector
 * axis.
 *
 *   nest i in n { v = load a[i] if i < s;  w = load b[i - s] if s <= i;  y[i] = select s <= i, w, v }
 *   =>  let seam = max(min(s, n), 0)
 *       nest i in seam { v = load a[i];  y[i] = v }    nest i in n - seam { w = load b[seam + i - s];  y[seam + i] = w }
 *
 * Which side a comparison falls on follows from how the loop was split, not from a proof: s may be any symbol, on
 * either side of n, and a side may be empty. Several seams are split the middle one first, so that the work is n log n
 * for a concat of n.
 *
 * Only parallel axes are split: a reduction keeps the order of its sums, so results do not change by a bit. An axis
 * that some access uses other than linearly stays whole (behind a seam its remainders would no longer be known), and so
 * do the rows of a nest that follows a tile. Code grows to GROWTH times at most.
 */
#include "passes/lower/schedule.h"
#include "passes/pass.h"

enum { GROWTH = 4, LOOP_COST = 8 };

typedef struct {
    xfc_edit e;
    xfc_kernel *k;
    const xfc_step *steps; /* before */
    uint32_t n_steps, at;  /* the step whose nest is split */
    bool has_tile, fails;  /* fails: an index of the last piece would be too large a formula */
    uint32_t cost, limit;  /* of all pieces of that nest */
} splitter;

/* The comparison `of` of a body holds where axis < at, or (if not below) where at <= axis. */
typedef struct {
    uint32_t of, axis;
    xfc_int at;
    bool below;
} seam;

/* --- finding --- */

static bool is_comparison(const xfc_nest *n, const xfc_scalar *s) {
    bool orders = s->op == XFC_S_LT || s->op == XFC_S_LE || s->op == XFC_S_GT || s->op == XFC_S_GE;
    return orders && n->body[s->arg[0]].op == XFC_S_INDEX && n->body[s->arg[1]].op == XFC_S_INDEX;
}

/* The only axis that x uses; n_axes if there is none, or x changes otherwise inside the nest. */
static uint32_t only_axis(const xfc_ctx *ctx, const xfc_nest *n, xfc_int x) {
    uint32_t found = n->n_axes;
    for (uint32_t a = 0; a < n->n_axes; a++) {
        if (!xfc_int_uses(ctx, x, n->axes[a].symbol)) continue;
        if (found < n->n_axes) return n->n_axes;
        found = a;
    }
    for (uint32_t i = 0; i < n->n_body; i++)
        if (n->body[i].op == XFC_S_LET && xfc_int_uses(ctx, x, n->body[i].u.index)) return n->n_axes;
    return found;
}

static bool read_seam(xfc_ctx *ctx, const xfc_nest *n, uint32_t i, seam *out) {
    const xfc_scalar *s = &n->body[i];
    if (!is_comparison(n, s)) return false;
    bool less = s->op == XFC_S_LT || s->op == XFC_S_LE, strict = s->op == XFC_S_LT || s->op == XFC_S_GT;
    xfc_int low = n->body[s->arg[!less]].u.index, high = n->body[s->arg[less]].u.index, unit, rest;
    xfc_int x = xfc_int_addc(ctx, xfc_int_sub(ctx, high, low), !strict); /* holds where x > 0 */
    if (!xfc_int_known(x)) return false;
    uint32_t axis = only_axis(ctx, n, x);
    int64_t step;
    if (axis == n->n_axes || n->axes[axis].kind != XFC_AXIS_PARALLEL) return false;
    if (!xfc_int_linear_in(ctx, x, n->axes[axis].symbol, &unit, &rest) || !xfc_int_value(ctx, unit, &step))
        return false;
    if (step > 0) rest = xfc_int_sub(ctx, xfc_int_const(ctx, 1), rest);
    *out = (seam){i, axis, xfc_int_ceildiv(ctx, rest, xfc_int_const(ctx, step > 0 ? step : -step)), step < 0};
    return step != 0 && step != INT64_MIN && xfc_int_known(out->at);
}

/* Marks what the conditions of loads are computed from. */
static bool *mark_conditions(xfc_edit e, const xfc_nest *n) {
    bool *marked = xfc_new_array(e.arena, bool, n->n_body);
    for (uint32_t i = n->n_body; i-- > 0;) {
        const xfc_scalar *s = &n->body[i];
        if (s->op == XFC_S_LOAD && s->arg[0] != XFC_NO_ARG) marked[s->arg[0]] = true;
        bool passes = s->op == XFC_S_AND || s->op == XFC_S_OR || s->op == XFC_S_NOT;
        for (uint32_t a = 0; passes && marked[i] && a < xfc_scalar_arity(s->op); a++) marked[s->arg[a]] = true;
    }
    return marked;
}

static bool is_linear(xfc_edit e, const xfc_kernel *k, const xfc_nest *n, xfc_int symbol) {
    xfc_int unit, rest;
    for (uint32_t i = 0; i < n->n_body + n->n_stores; i++) {
        const xfc_access *a = i >= n->n_body                ? &n->stores[i - n->n_body].to
                              : n->body[i].op == XFC_S_LOAD ? n->body[i].u.access
                                                            : NULL;
        if (a && !xfc_int_linear_in(e.ctx, xfc_access_linear(e.ctx, k, a), symbol, &unit, &rest)) return false;
    }
    return true;
}

bool xfc_has_seam(xfc_edit e, const xfc_kernel *k, const xfc_nest *n, uint32_t axis) {
    seam s;
    const bool *marked = mark_conditions(e, n);
    for (uint32_t i = 0; i < n->n_body; i++)
        if (marked[i] && read_seam(e.ctx, n, i, &s) && s.axis == axis) return is_linear(e, k, n, n->axes[axis].symbol);
    return false;
}

/* Are they the rows of the tile in front, which the emitter runs the nest for as they become complete? */
static bool follows_tile(const splitter *p, const xfc_nest *n, uint32_t axis) {
    if (axis != 0 || p->at == 0 || p->steps[p->at - 1].kind != XFC_STEP_TILE) return false;
    return xfc_int_same(n->axes[0].extent, p->steps[p->at - 1].u.tile->rows);
}

/* The middle one of the seams of the first axis that has one. */
static bool find_seam(const splitter *p, const xfc_nest *n, seam *out) {
    xfc_edit e = p->e;
    const bool *marked = mark_conditions(e, n);
    seam *found = xfc_new_array(e.arena, seam, n->n_body), s;
    uint32_t n_found = 0;
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (!marked[i] || !read_seam(e.ctx, n, i, &s)) continue;
        if (n_found ? s.axis != found[0].axis
                    : follows_tile(p, n, s.axis) || !is_linear(e, p->k, n, n->axes[s.axis].symbol))
            continue;
        found[n_found++] = s;
    }
    if (n_found) *out = found[n_found / 2];
    return n_found > 0;
}

/* --- splitting --- */

/* Puts the value of every comparison of axis `at.axis` that is known on one side of `at` in its place. n: the nest
 * before; side: its copy. */
static void decide(xfc_ctx *ctx, const xfc_nest *n, seam at, bool below, xfc_nest *side) {
    seam s;
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (!read_seam(ctx, n, i, &s) || s.axis != at.axis) continue;
        if ((below ? xfc_int_le(ctx, at.at, s.at) : xfc_int_le(ctx, s.at, at.at)) != 1) continue;
        side->body[i] = (xfc_scalar){
            .op = XFC_S_CONST, .dtype = XFC_BOOL, .arg = {XFC_NO_ARG, XFC_NO_ARG, XFC_NO_ARG}, .u.i = below == s.below};
    }
}

static int truth(const xfc_nest *n, uint32_t i) { /* 0, 1; -1: not known */
    return n->body[i].op == XFC_S_CONST ? n->body[i].u.i != 0 : -1;
}

/* What instruction i (whose operands are forwarded) is equal to, given constant conditions: i itself after rewriting
 * it, or an earlier one. */
static uint32_t fold(xfc_nest *n, uint32_t i) {
    xfc_scalar *s = &n->body[i];
    if (s->op == XFC_S_SELECT && truth(n, s->arg[0]) >= 0) return s->arg[truth(n, s->arg[0]) ? 1 : 2];
    if (s->op == XFC_S_AND || s->op == XFC_S_OR) {
        bool wins = s->op == XFC_S_OR;
        for (uint32_t a = 0; a < 2 && s->dtype == XFC_BOOL; a++)
            if (truth(n, s->arg[a]) >= 0) return s->arg[truth(n, s->arg[a]) == wins ? a : !a];
    }
    bool off = s->op == XFC_S_NOT && s->dtype == XFC_BOOL && truth(n, s->arg[0]) >= 0;
    int64_t value = off && !truth(n, s->arg[0]);
    if (s->op == XFC_S_LOAD && s->arg[0] != XFC_NO_ARG) {
        off = truth(n, s->arg[0]) == 0; /* the value is 0 then */
        if (truth(n, s->arg[0]) == 1) s->arg[0] = XFC_NO_ARG;
    }
    if (off)
        *s = (xfc_scalar){
            .op = XFC_S_CONST, .dtype = s->dtype, .arg = {XFC_NO_ARG, XFC_NO_ARG, XFC_NO_ARG}, .u.i = value};
    return i;
}

static void fold_body(xfc_edit e, xfc_nest *n) {
    uint32_t *equal = xfc_new_array(e.arena, uint32_t, n->n_body);
    for (uint32_t i = 0; i < n->n_body; i++) {
        for (int a = 0; a < 3; a++)
            if (n->body[i].arg[a] != XFC_NO_ARG) n->body[i].arg[a] = equal[n->body[i].arg[a]];
        equal[i] = fold(n, i);
    }
    for (uint32_t s = 0; s < n->n_stores; s++) n->stores[s].value = equal[n->stores[s].value];
    xfc_nest_tidy(e, n);
}

/* One side: `extent` indices from `first` on; NULL if it is empty, or (fails) cannot be written. */
static xfc_nest *side_of(splitter *p, const xfc_nest *n, seam at, bool below, xfc_int first, xfc_int extent) {
    xfc_ctx *ctx = p->e.ctx;
    const xfc_axis *axis = &n->axes[at.axis];
    if (xfc_int_is(ctx, extent, 0)) return NULL;
    xfc_int symbol = xfc_int_axis(ctx, axis->name, extent), index = xfc_int_add(ctx, first, symbol);
    xfc_nest *side = xfc_nest_copy(p->e, n, &axis->symbol, &index, 1);
    p->fails |= !side;
    if (!side) return NULL;
    side->axes[at.axis].symbol = symbol;
    side->axes[at.axis].extent = extent;
    decide(ctx, n, at, below, side);
    fold_body(p->e, side);
    return side;
}

/* Where the loop is split: a constant, or a let of the kernel. */
static xfc_int split_point(splitter *p, seam at, xfc_int extent) {
    xfc_ctx *ctx = p->e.ctx;
    xfc_int zero = xfc_int_const(ctx, 0), s = xfc_int_max(ctx, xfc_int_min(ctx, at.at, extent), zero);
    if (xfc_int_value(ctx, s, NULL) || xfc_int_same(s, extent)) return s;
    xfc_int symbol = xfc_int_let(ctx, "seam", zero, extent);
    xfc_push(p->e.arena, p->k->lets, p->k->n_lets, p->k->cap_lets) = (xfc_let){"seam", symbol, s, NULL};
    return symbol;
}

static uint32_t cost_of(const xfc_nest *n) { return n ? LOOP_COST + n->n_body : 0; }

static void push_nest(splitter *p, xfc_nest *n) {
    xfc_push(p->e.arena, p->k->steps, p->k->n_steps, p->k->cap_steps) = (xfc_step){.kind = XFC_STEP_NEST, .u.nest = n};
}

/* Pushes the pieces of n; true if there are several, or one that changed. */
static bool split(splitter *p, xfc_nest *n) {
    seam at;
    bool fits = p->cost <= p->limit && find_seam(p, n, &at);
    uint32_t n_lets = p->k->n_lets;
    xfc_nest *low = NULL, *high = NULL;
    if (fits) {
        xfc_int extent = n->axes[at.axis].extent, s = split_point(p, at, extent);
        p->fails = false;
        low = side_of(p, n, at, true, xfc_int_const(p->e.ctx, 0), s);
        high = side_of(p, n, at, false, s, xfc_int_sub(p->e.ctx, extent, s));
        fits = !p->fails && p->cost - cost_of(n) + cost_of(low) + cost_of(high) <= p->limit;
    }
    if (!fits) {
        p->k->n_lets = n_lets;
        push_nest(p, n);
        return false;
    }
    p->cost = p->cost - cost_of(n) + cost_of(low) + cost_of(high);
    if (low) split(p, low);
    if (high) split(p, high);
    return true;
}

static bool split_kernel(xfc_edit e, xfc_kernel *k) {
    splitter p = {.e = e, .k = k, .steps = k->steps, .n_steps = k->n_steps};
    bool changed = false;
    for (uint32_t i = 0; i < p.n_steps; i++) p.has_tile |= p.steps[i].kind == XFC_STEP_TILE;
    k->steps = NULL;
    k->n_steps = k->cap_steps = 0;
    for (p.at = 0; p.at < p.n_steps; p.at++) {
        const xfc_step *s = &p.steps[p.at];
        uint32_t first = k->n_steps;
        if (s->kind == XFC_STEP_TILE) {
            xfc_push(e.arena, k->steps, k->n_steps, k->cap_steps) = *s;
            continue;
        }
        p.cost = cost_of(s->u.nest);
        p.limit = GROWTH * p.cost;
        if (!split(&p, s->u.nest)) continue;
        for (uint32_t j = first; j < k->n_steps; j++) xfc_schedule_nest(e, k, k->steps[j].u.nest, !p.has_tile);
        changed = true;
    }
    return changed;
}

bool xfc_seams(xfc_pass *p) {
    const xfc_edit e = {p->graph->ctx, p->graph->arena};
    bool changed = false;
    xfc_foreach_op(op, p->graph)
        if (op->code == XFC_OP_KERNEL) changed |= split_kernel(e, op->kernel);
    return changed;
}

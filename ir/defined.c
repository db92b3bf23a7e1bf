/* defined.c - symbols that an op defines while the model runs, and sizes that do not depend on them. See defined.h.
 *
 * A bound replaces each defined symbol by the end of its range that makes the whole larger (or smaller), which is
 * decided by walking down with the sign of what stands around it. Ends may name symbols defined earlier: they are
 * bounded in turn. Where a sign is not known there is no bound; a size whose bound is unknown is refused by who asks.
 *
 * Two tensors of which one is always empty may lie in the same bytes at the same time. That follows from ranges: a
 * symbol whose range ends at 0 unless another symbol is 0, and counts that are 0 when their symbol is.
 */
#include "ir/defined.h"
#include "ir/program.h"

uint32_t xfc_op_defines(const xfc_op *op, const xfc_int **out) {
    bool may = op->code == XFC_OP_DEFINE || xfc_op_has(op, XFC_REGION);
    const xfc_attr *a = may ? xfc_op_attr(op, XFC_K_VALUES) : NULL;
    *out = a ? a->u.dims : NULL;
    return a ? a->n : 0;
}

/* Is `other` 0 whenever `symbol` is not? Its range says so: with symbol + 1, which is any number that is not 0, in the
 * place of symbol, nothing above 0 is left of it. */
static bool surely_0_with(xfc_ctx *ctx, xfc_int symbol, xfc_int other) {
    xfc_int more = xfc_int_addc(ctx, symbol, 1), most = xfc_int_look(ctx, other)->hi;
    if (!xfc_int_known(most)) return false;
    return xfc_int_is(ctx, xfc_int_substitute(ctx, most, &symbol, &more, 1), 0);
}

/* Of the one defined first and the other: a range names what is defined before it. */
static bool never_both(const xfc_defined *d, uint32_t first, uint32_t other) {
    const uint64_t bit = UINT64_C(1) << other;
    if (!(d->asked[first] & bit) && surely_0_with(d->ctx, d->symbol[first], d->symbol[other])) d->without[first] |= bit;
    d->asked[first] |= bit;
    return d->without[first] & bit;
}

uint64_t xfc_defined_empties(const xfc_defined *d, xfc_int count) {
    xfc_int zero = xfc_int_const(d->ctx, 0);
    uint64_t set = 0;
    for (uint32_t i = 0; i < d->n && i < XFC_DEFINED_SET; i++)
        if (xfc_int_is(d->ctx, xfc_int_substitute(d->ctx, count, &d->symbol[i], &zero, 1), 0)) set |= UINT64_C(1) << i;
    return set;
}

bool xfc_defined_alternatives(const xfc_defined *d, uint64_t a, uint64_t b) {
    const uint32_t n = d->n < XFC_DEFINED_SET ? d->n : XFC_DEFINED_SET;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n && a >> i & 1; k++)
            if (b >> k & 1 && i != k && never_both(d, i < k ? i : k, i < k ? k : i)) return true;
    return false;
}

xfc_defined xfc_defined_of(const xfc_graph *g, xfc_arena *arena) {
    xfc_defined d = {.ctx = g->ctx, .position = {.arena = arena}};
    if (!g->program->defines) return d;
    xfc_foreach_op_deep(op, xfc_graph_entry(g)) {
        const xfc_int *symbol;
        uint32_t n = xfc_op_defines(op, &symbol);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = d.n;
            xfc_push(arena, d.by, at, d.cap_by) = op;
            xfc_push(arena, d.symbol, d.n, d.cap) = symbol[i];
            xfc_map_set(&d.position, symbol[i].id, d.n);
        }
    }
    d.without = xfc_new_array(arena, uint64_t, XFC_DEFINED_SET);
    d.asked = xfc_new_array(arena, uint64_t, XFC_DEFINED_SET);
    return d;
}

/* --- walking --- */

static void visit_symbols(const xfc_ctx *ctx, xfc_int e, xfc_int_visit *visit, void *user) {
    if (!xfc_int_first(ctx, e)) return;
    const xfc_int_info i = *xfc_int_look(ctx, e);
    switch (i.kind) {
    case XFC_INT_CONST: return;
    case XFC_INT_SYMBOL:
        if (xfc_int_known(i.formula))
            visit_symbols(ctx, i.formula, visit, user);
        else
            visit(user, e);
        return;
    case XFC_INT_SUM:
        for (uint32_t k = 0; k < i.n_terms; k++)
            for (uint32_t j = 0; j < i.term[k].n; j++) visit_symbols(ctx, i.term[k].atom[j], visit, user);
        return;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: break;
    }
    visit_symbols(ctx, i.a, visit, user);
    visit_symbols(ctx, i.b, visit, user);
}

void xfc_int_symbols(const xfc_ctx *ctx, xfc_int e, xfc_int_visit *visit, void *user) {
    xfc_int_walk(ctx);
    if (xfc_int_known(e)) visit_symbols(ctx, e, visit, user);
}

static void type_ints(const xfc_type *t, xfc_int_visit *visit, void *user) {
    for (uint32_t d = 0; d < t->rank; d++) visit(user, t->dim[d]);
}

static void access_ints(const xfc_access *a, xfc_int_visit *visit, void *user) {
    for (uint32_t d = 0; d < a->rank; d++) visit(user, a->index[d]);
}

static void nest_ints(const xfc_nest *n, xfc_int_visit *visit, void *user) {
    for (uint32_t i = 0; i < n->n_axes; i++) {
        visit(user, n->axes[i].extent);
        visit(user, n->axes[i].symbol);
    }
    for (uint32_t i = 0; i < n->n_body; i++) {
        const xfc_scalar *s = &n->body[i];
        if (s->op == XFC_S_LOAD) access_ints(s->u.access, visit, user);
        if (s->op == XFC_S_INDEX || s->op == XFC_S_LET) visit(user, s->u.index);
    }
    for (uint32_t i = 0; i < n->n_stores; i++) access_ints(&n->stores[i].to, visit, user);
}

static void tile_ints(const xfc_tile *t, xfc_int_visit *visit, void *user) {
    const xfc_int sizes[] = {t->a_row, t->c_row, t->rows, t->depth, t->columns, t->apart};
    access_ints(&t->a, visit, user);
    access_ints(&t->b, visit, user);
    access_ints(&t->c, visit, user);
    for (size_t i = 0; i < XFC_COUNT(sizes); i++) visit(user, sizes[i]);
}

void xfc_kernel_ints(const xfc_kernel *k, xfc_int_visit *visit, void *user) {
    for (uint32_t i = 0; i < k->n_buffers; i++) type_ints(&k->buffers[i].type, visit, user);
    for (uint32_t i = 0; i < k->n_axes; i++) {
        visit(user, k->axes[i].extent);
        visit(user, k->axes[i].symbol);
    }
    for (uint32_t i = 0; i < k->n_lets; i++) {
        if (k->lets[i].load)
            access_ints(k->lets[i].load, visit, user);
        else
            visit(user, k->lets[i].value);
        visit(user, k->lets[i].symbol);
    }
    for (uint32_t i = 0; i < k->n_steps; i++) {
        if (k->steps[i].kind == XFC_STEP_NEST)
            nest_ints(k->steps[i].u.nest, visit, user);
        else
            tile_ints(k->steps[i].u.tile, visit, user);
    }
    visit(user, k->grain);
}

static void body_ints(const xfc_graph *g, xfc_int_visit *visit, void *user) {
    for (uint32_t i = 0; i < g->n_constraints; i++) {
        visit(user, g->constraint[i].a);
        visit(user, g->constraint[i].b);
    }
    xfc_foreach_op(op, g) xfc_op_ints(op, visit, user);
    for (uint32_t i = 0; g->plan && i < g->plan->n_places; i++) visit(user, g->plan->place[i].offset);
    if (g->plan) visit(user, g->plan->work_bytes);
}

void xfc_op_ints(const xfc_op *op, xfc_int_visit *visit, void *user) {
    xfc_graph *body[XFC_MAX_BODIES];
    for (uint32_t i = 0; i < op->n_attr; i++)
        for (uint32_t k = 0; xfc_key_kind(op->attr[i].key) == XFC_ATTR_DIMS && k < op->attr[i].n; k++)
            visit(user, op->attr[i].u.dims[k]);
    for (uint32_t i = 0; i < op->n_out; i++) type_ints(&op->out[i].type, visit, user);
    if (op->kernel) xfc_kernel_ints(op->kernel, visit, user);
    for (uint32_t i = 0, n = xfc_op_bodies(op, body); i < n; i++) body_ints(body[i], visit, user);
}

/* --- questions --- */

typedef struct {
    const xfc_defined *defined;
    bool found;
} question;

static void is_defined(void *user, xfc_int symbol) {
    question *q = user;
    const xfc_defined *d = q->defined;
    bool in = d->lets ? xfc_int_look(d->ctx, symbol)->sym == XFC_SYM_LET : xfc_map_get(&d->position, symbol.id) != 0;
    q->found = q->found || in;
}

static void is_local(void *user, xfc_int symbol) {
    question *q = user;
    bool dim = xfc_int_look(q->defined->ctx, symbol)->sym == XFC_SYM_DIM;
    q->found = q->found || (!dim && xfc_map_get(&q->defined->position, symbol.id) == 0);
}

bool xfc_defined_in(const xfc_defined *d, xfc_int e) {
    question q = {.defined = d};
    if (d->n || d->lets) xfc_int_symbols(d->ctx, e, is_defined, &q);
    return q.found;
}

bool xfc_defined_at_start(const xfc_defined *d, xfc_int e) {
    question q = {.defined = d};
    xfc_int_symbols(d->ctx, e, is_local, &q);
    return !q.found;
}

typedef struct {
    const xfc_defined *defined;
    uint32_t last;
} latest;

static void find_latest(void *user, xfc_int symbol) {
    latest *l = user;
    uint32_t at = (uint32_t)xfc_map_get(&l->defined->position, symbol.id);
    if (at > l->last) l->last = at;
}

/* Symbols of a body stand behind all that it may name from around it. */
const xfc_op *xfc_constraint_known(const xfc_defined *d, const xfc_graph *g, const xfc_constraint *k) {
    latest l = {.defined = d};
    if (d->n) xfc_int_symbols(d->ctx, k->a, find_latest, &l);
    if (d->n) xfc_int_symbols(d->ctx, k->b, find_latest, &l);
    return l.last && d->by[l.last - 1]->graph == g ? d->by[l.last - 1] : NULL;
}

/* --- bounds --- */

static bool may_be_negative(xfc_ctx *ctx, xfc_int e) {
    int64_t lo, hi;
    xfc_int_range(ctx, e, &lo, &hi);
    return lo < 0;
}

static xfc_int bound(const xfc_defined *d, xfc_int e, bool most);

/* A product whose factors are not negative grows with each of them. */
static xfc_int bound_term(const xfc_defined *d, const xfc_int_term *t, bool most) {
    xfc_ctx *ctx = d->ctx;
    xfc_int product = xfc_int_const(ctx, t->coeff), zero = xfc_int_const(ctx, 0);
    bool up = (t->coeff > 0) == most, any = false;
    for (uint32_t i = 0; i < t->n; i++) any = any || xfc_defined_in(d, t->atom[i]);
    for (uint32_t i = 0; i < t->n; i++) {
        if (any && t->n > 1 && may_be_negative(ctx, t->atom[i])) return XFC_INT_NONE;
        xfc_int b = bound(d, t->atom[i], up);
        if (any && t->n > 1) b = xfc_int_max(ctx, b, zero);
        product = xfc_int_mul(ctx, product, b);
    }
    return product;
}

static xfc_int bound_sum(const xfc_defined *d, const xfc_int_info *info, bool most) {
    xfc_int sum = xfc_int_const(d->ctx, 0);
    for (uint32_t k = 0; k < info->n_terms; k++) sum = xfc_int_add(d->ctx, sum, bound_term(d, &info->term[k], most));
    return sum;
}

static xfc_int bound_division(const xfc_defined *d, const xfc_int_info *info, bool most) {
    xfc_ctx *ctx = d->ctx;
    xfc_int zero = xfc_int_const(ctx, 0), one = xfc_int_const(ctx, 1);
    if (may_be_negative(ctx, info->b)) return XFC_INT_NONE;
    if (info->kind == XFC_INT_MOD) {
        xfc_int below = xfc_int_max(ctx, xfc_int_sub(ctx, bound(d, info->b, true), one), zero);
        return most ? below : zero;
    }
    if (!xfc_defined_in(d, info->b)) return xfc_int_floordiv(ctx, bound(d, info->a, most), info->b);
    if (may_be_negative(ctx, info->a)) return XFC_INT_NONE;
    if (!most) return zero;
    return xfc_int_floordiv(ctx, bound(d, info->a, true), xfc_int_max(ctx, bound(d, info->b, false), one));
}

/* One side alone bounds the most of a min, and the least of a max. */
static xfc_int bound_choice(const xfc_defined *d, const xfc_int_info *info, bool most) {
    xfc_int a = bound(d, info->a, most), b = bound(d, info->b, most);
    bool is_min = info->kind == XFC_INT_MIN;
    if (is_min == most && !xfc_int_known(a)) return b;
    if (is_min == most && !xfc_int_known(b)) return a;
    return (is_min ? xfc_int_min : xfc_int_max)(d->ctx, a, b);
}

static xfc_int bound(const xfc_defined *d, xfc_int e, bool most) {
    if (!xfc_int_known(e) || !xfc_defined_in(d, e)) return e;
    const xfc_int_info info = *xfc_int_look(d->ctx, e);
    switch (info.kind) {
    case XFC_INT_CONST: return e;
    case XFC_INT_SYMBOL:
        if (most && xfc_int_is(d->ctx, info.hi, XFC_DIM_MAX)) return XFC_INT_NONE;
        return bound(d, most ? info.hi : info.lo, most);
    case XFC_INT_SUM: return bound_sum(d, &info, most);
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD: return bound_division(d, &info, most);
    case XFC_INT_MIN:
    case XFC_INT_MAX: return bound_choice(d, &info, most);
    }
    return XFC_INT_NONE;
}

xfc_int xfc_defined_most(const xfc_defined *d, xfc_int e) { return bound(d, e, true); }
xfc_int xfc_defined_least(const xfc_defined *d, xfc_int e) { return bound(d, e, false); }

xfc_int xfc_size_most(xfc_ctx *ctx, xfc_int size) {
    return bound(&(xfc_defined){.ctx = ctx, .lets = true}, size, true);
}

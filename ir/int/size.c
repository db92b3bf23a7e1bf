/* size.c - what is known of each node when it is made (range, weight), and names for large formulas.
 *
 * Sizes build on sizes: written out, 25 slices in a row have a size of 2^25 terms. So the result of an operation that
 * has more than XFC_INT_LARGE nodes is given a name, a symbol of kind SIZE that stands for it from then on; the same
 * formula always gets the same one. Names are symbols to the algebra, to text (which defines them once, in the header)
 * and to kernels (which find their values computed), so nothing that walks formulas meets a large one. What a proof
 * cannot see through a name it knows by the name's range alone.
 *
 * Formulas with axes or lets cannot have names, as they are other numbers at each place: those are bounded by being
 * unknown beyond XFC_INT_LOCAL nodes. Questions about which symbols occur do look behind names.
 */
#include "ir/int/int_impl.h"

static int64_t sat_add(int64_t a, int64_t b) {
    int64_t r;
    return xfc_add_ok(a, b, &r) ? r : a < 0 ? INT64_MIN : INT64_MAX;
}

static int64_t sat_mul(int64_t a, int64_t b) {
    int64_t r;
    return xfc_mul_ok(a, b, &r) ? r : (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static void term_range(const xfc_ints *t, const xfc_int_term *term, int64_t *lo, int64_t *hi) {
    int64_t l = term->coeff, h = term->coeff;
    for (uint32_t i = 0; i < term->n; i++) {
        const xfc_int_node *a = &t->node[term->atom[i].id];
        int64_t p[4] = {sat_mul(l, a->lo), sat_mul(l, a->hi), sat_mul(h, a->lo), sat_mul(h, a->hi)};
        l = h = p[0];
        for (int k = 1; k < 4; k++) {
            if (p[k] < l) l = p[k];
            if (p[k] > h) h = p[k];
        }
    }
    *lo = l;
    *hi = h;
}

int64_t xfc_int_floor(int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return a == INT64_MIN ? INT64_MAX : -a;
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

static void divide_range(const xfc_int_node *a, const xfc_int_node *b, int64_t *lo, int64_t *hi) {
    if (b->lo < 0) { /* the sign of the divisor is not known: |a floordiv b| <= |a| */
        int64_t most = a->hi > sat_mul(a->lo, -1) ? a->hi : sat_mul(a->lo, -1);
        *hi = most;
        *lo = sat_mul(most, -1);
        return;
    }
    int64_t bl = b->lo < 1 ? 1 : b->lo, bh = b->hi < 1 ? 1 : b->hi;
    int64_t p[4] = {xfc_int_floor(a->lo, bl), xfc_int_floor(a->lo, bh), xfc_int_floor(a->hi, bl),
                    xfc_int_floor(a->hi, bh)};
    *lo = *hi = b->lo < 1 ? 0 : p[0]; /* division by zero gives 0 */
    for (int k = 0; k < 4; k++) {
        if (p[k] < *lo) *lo = p[k];
        if (p[k] > *hi) *hi = p[k];
    }
}

static void set_range(const xfc_ints *t, xfc_int_node *n) {
    const xfc_int_info *i = &n->info;
    const xfc_int_node *a = &t->node[i->a.id], *b = &t->node[i->b.id];
    switch (i->kind) {
    case XFC_INT_CONST: n->lo = n->hi = i->value; break;
    case XFC_INT_SYMBOL:
        n->lo = t->node[i->lo.id].lo;
        n->hi = t->node[i->hi.id].hi;
        if (n->hi < n->lo) n->hi = n->lo; /* an axis that may be empty: an index exists only if it is not */
        break;
    case XFC_INT_SUM:
        for (uint32_t k = 0; k < i->n_terms; k++) {
            int64_t lo, hi;
            term_range(t, &i->term[k], &lo, &hi);
            n->lo = sat_add(n->lo, lo);
            n->hi = sat_add(n->hi, hi);
        }
        break;
    case XFC_INT_FLOORDIV: divide_range(a, b, &n->lo, &n->hi); break;
    case XFC_INT_MOD:
        n->lo = b->lo < 0 ? b->lo + 1 : 0; /* the sign of the divisor */
        n->hi = b->hi < 1 ? 0 : b->hi - 1;
        if (a->lo >= 0 && b->lo >= 0 && a->hi < n->hi) n->hi = a->hi;
        break;
    case XFC_INT_MIN:
        n->lo = a->lo < b->lo ? a->lo : b->lo;
        n->hi = a->hi < b->hi ? a->hi : b->hi;
        break;
    case XFC_INT_MAX:
        n->lo = a->lo > b->lo ? a->lo : b->lo;
        n->hi = a->hi > b->hi ? a->hi : b->hi;
        break;
    }
}

/* --- measures --- */

static uint32_t sat_weight(uint32_t a, uint32_t b) { return a > UINT32_MAX - b ? UINT32_MAX : a + b; }

static void take_part(const xfc_ints *t, xfc_int_node *n, xfc_int part) {
    const xfc_int_node *p = &t->node[part.id];
    n->weight = sat_weight(n->weight, p->weight);
    n->symbols |= p->symbols;
    n->local = n->local || p->local;
    if (p->level > n->level) n->level = p->level;
}

static void measure_symbol(const xfc_ints *t, xfc_int_node *n, uint32_t id) {
    const xfc_int_node *formula = &t->node[n->info.formula.id];
    n->symbols = formula->symbols | UINT64_C(1) << id % 64;
    n->local = n->info.sym == XFC_SYM_AXIS || n->info.sym == XFC_SYM_LET;
    n->level = n->info.sym == XFC_SYM_SIZE ? formula->level + 1 : 0;
}

void xfc_int_measure(const xfc_ints *t, xfc_int_node *n, uint32_t id) {
    const xfc_int_info *i = &n->info;
    set_range(t, n);
    n->weight = 1;
    switch (i->kind) {
    case XFC_INT_CONST: break;
    case XFC_INT_SYMBOL: measure_symbol(t, n, id); break;
    case XFC_INT_SUM:
        n->weight = 0;
        for (uint32_t k = 0; k < i->n_terms; k++) {
            n->weight = sat_weight(n->weight, i->term[k].n && i->term[k].coeff != 1);
            for (uint32_t j = 0; j < i->term[k].n; j++) take_part(t, n, i->term[k].atom[j]);
        }
        break;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX:
        take_part(t, n, i->a);
        take_part(t, n, i->b);
        break;
    }
}

uint32_t xfc_int_weight(const xfc_ctx *ctx, xfc_int e) { return ctx->ints->node[e.id].weight; }

/* --- names --- */

bool xfc_int_is_size(const xfc_ctx *ctx, xfc_int e) {
    const xfc_int_info *i = &ctx->ints->node[e.id].info;
    return i->kind == XFC_INT_SYMBOL && i->sym == XFC_SYM_SIZE;
}

xfc_int xfc_int_size(xfc_ctx *ctx, xfc_int formula) {
    xfc_ints *t = ctx->ints;
    const xfc_int_node n = t->node[formula.id];
    uint64_t id = xfc_map_get(&t->sizes, formula.id);
    if (id) return (xfc_int){(uint32_t)id};
    if (n.local || n.level >= XFC_INT_LEVELS) return XFC_INT_NONE;
    xfc_int lo = xfc_int_const(ctx, n.lo), hi = xfc_int_const(ctx, n.hi);
    xfc_int s = xfc_int_new_symbol(ctx, "size", lo, hi, XFC_SYM_SIZE, formula);
    t->node[s.id].divisor = xfc_int_divisor(ctx, formula);
    xfc_map_set(&t->sizes, formula.id, s.id);
    return s;
}

/* The constant of a sum, which has no weight and stays outside of the name, so that n and n - 1 keep each other. */
static int64_t constant_of(const xfc_int_info *i) {
    const xfc_int_term *last = i->kind == XFC_INT_SUM ? &i->term[i->n_terms - 1] : NULL;
    return last && last->n == 0 ? last->coeff : 0;
}

xfc_int xfc_int_settle(xfc_ctx *ctx, xfc_int e) {
    const xfc_int_node *n = &ctx->ints->node[e.id];
    if (n->weight <= XFC_INT_LARGE || ctx->ints->as_written) return e;
    if (n->local) return n->weight <= XFC_INT_LOCAL ? e : XFC_INT_NONE;
    int64_t c = constant_of(&n->info);
    if (c == 0 || c == INT64_MIN) return xfc_int_size(ctx, e);
    xfc_int_as_written(ctx, true);
    xfc_int base = xfc_int_addc(ctx, e, -c);
    xfc_int_as_written(ctx, false);
    return xfc_int_addc(ctx, xfc_int_size(ctx, base), c);
}

bool xfc_int_as_written(xfc_ctx *ctx, bool on) {
    bool was = ctx->ints->as_written;
    ctx->ints->as_written = on;
    return was;
}

/* --- walks --- */

void xfc_int_walk(const xfc_ctx *ctx) { ctx->ints->walk++; }

bool xfc_int_first(const xfc_ctx *ctx, xfc_int e) {
    xfc_int_node *n = &ctx->ints->node[e.id];
    bool first = n->mark != ctx->ints->walk;
    n->mark = ctx->ints->walk;
    return first;
}

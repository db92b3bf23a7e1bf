/* int.c - symbolic integers: construction and canonical form.
 *
 * Idea: every expression is a polynomial (a sum of int64 coefficients times sorted products of atoms), kept in one
 * canonical order and hash-consed, so equality is equality of ids. Atoms are symbols and the opaque operators floordiv,
 * mod, min, max over canonical operands. floordiv and mod first divide the polynomial; what remains disappears when it
 * is provably in [0, divisor - 1], which is what turns linearised and split indices back into plain ones.
 *
 * Divisors are taken to be non-zero: an expression that divides by a dimension is only evaluated where that dimension
 * has elements (the run-time bytecode and the emitter define x floordiv 0 = 0).
 *
 * Polynomials under construction live in a scratch arena that is emptied when the outermost operation returns; its
 * result gets a name if it is large (int/size.c), so that no operand is. Queries (range, proofs, evaluation, printing)
 * are in int/query.c.
 */
#include "ir/int/int_impl.h"

#include <string.h>

static void free_scratch(void *arena) { xfc_arena_free(arena); }

xfc_ints *xfc_ints_new(xfc_ctx *ctx) {
    xfc_ints *t = xfc_new(ctx->arena, xfc_ints);
    t->scratch = xfc_arena_new();
    xfc_ctx_at_exit(ctx, free_scratch, t->scratch);
    t->index = (xfc_map){.arena = ctx->arena};
    t->symbols = (xfc_map){.arena = ctx->arena};
    t->sizes = (xfc_map){.arena = ctx->arena};
    /* id 0, none, looks like a symbol of which nothing is known, so that who looks need not ask first */
    xfc_push(ctx->arena, t->node, t->n, t->cap) =
        (xfc_int_node){.info = {.kind = XFC_INT_SYMBOL, .name = "?", .sym = XFC_SYM_LET},
                       .lo = INT64_MIN,
                       .hi = INT64_MAX,
                       .symbols = UINT64_MAX,
                       .local = true};
    return t;
}

static bool unknown(xfc_int a, xfc_int b) { return !xfc_int_known(a) || !xfc_int_known(b); }

/* --- hash-consing --- */

static uint64_t hash_info(const xfc_int_info *i) {
    uint64_t h = xfc_hash(&i->kind, sizeof i->kind, 1);
    switch (i->kind) {
    case XFC_INT_CONST: return xfc_hash(&i->value, sizeof i->value, h);
    case XFC_INT_SYMBOL: return xfc_hash(&i->value, sizeof i->value, h); /* serial number */
    case XFC_INT_SUM:
        for (uint32_t t = 0; t < i->n_terms; t++) {
            h = xfc_hash(&i->term[t].coeff, sizeof i->term[t].coeff, h);
            h = xfc_hash(i->term[t].atom, i->term[t].n * sizeof(xfc_int), h + i->term[t].n);
        }
        return h;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: break;
    }
    uint32_t ab[2] = {i->a.id, i->b.id};
    return xfc_hash(ab, sizeof ab, h);
}

static bool same_atoms(const xfc_int_term *a, const xfc_int_term *b) {
    return a->n == b->n && (a->n == 0 || memcmp(a->atom, b->atom, a->n * sizeof(xfc_int)) == 0);
}

static bool same_info(const xfc_int_info *a, const xfc_int_info *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case XFC_INT_CONST:
    case XFC_INT_SYMBOL: return a->value == b->value;
    case XFC_INT_SUM:
        if (a->n_terms != b->n_terms) return false;
        for (uint32_t t = 0; t < a->n_terms; t++)
            if (a->term[t].coeff != b->term[t].coeff || !same_atoms(&a->term[t], &b->term[t])) return false;
        return true;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: break;
    }
    return a->a.id == b->a.id && a->b.id == b->b.id;
}

static xfc_int intern(xfc_ctx *ctx, const xfc_int_info *info) {
    xfc_ints *t = ctx->ints;
    uint64_t h = hash_info(info);
    for (;; h++) {
        uint64_t id;
        if (!xfc_map_find(&t->index, h, &id)) break;
        if (same_info(&t->node[id].info, info)) return (xfc_int){(uint32_t)id};
    }
    xfc_int_node n = {.info = *info};
    if (info->kind == XFC_INT_SUM) {
        xfc_int_term *term = xfc_dup_array(ctx->arena, xfc_int_term, info->term, info->n_terms);
        for (uint32_t k = 0; k < info->n_terms; k++)
            if (term[k].n) term[k].atom = xfc_dup_array(ctx->arena, xfc_int, term[k].atom, term[k].n);
        n.info.term = term;
    }
    xfc_int r = {t->n};
    xfc_int_measure(t, &n, r.id);
    xfc_map_set(&t->index, h, r.id);
    xfc_push(ctx->arena, t->node, t->n, t->cap) = n;
    return r;
}

xfc_int xfc_int_const(xfc_ctx *ctx, int64_t v) {
    xfc_int_info i = {.kind = XFC_INT_CONST, .value = v};
    return intern(ctx, &i);
}

xfc_int xfc_int_new_symbol(xfc_ctx *ctx, const char *name, xfc_int lo, xfc_int hi, xfc_sym_kind kind, xfc_int formula) {
    xfc_int_info i = {.kind = XFC_INT_SYMBOL,
                      .value = ++ctx->ints->n_symbols,
                      .name = xfc_str(ctx, name),
                      .lo = lo,
                      .hi = hi,
                      .sym = kind,
                      .formula = formula};
    return intern(ctx, &i);
}

xfc_int xfc_int_unnamed(xfc_ctx *ctx, const char *name, int64_t lo, int64_t hi) {
    return xfc_int_new_symbol(ctx, name, xfc_int_const(ctx, lo), xfc_int_const(ctx, hi), XFC_SYM_DIM, XFC_INT_NONE);
}

xfc_int xfc_int_symbol(xfc_ctx *ctx, const char *name, int64_t lo, int64_t hi) {
    name = xfc_str(ctx, name);
    uint64_t id = xfc_map_get(&ctx->ints->symbols, (uint64_t)(uintptr_t)name);
    if (id) return (xfc_int){(uint32_t)id};
    xfc_int s = xfc_int_unnamed(ctx, name, lo, hi);
    xfc_map_set(&ctx->ints->symbols, (uint64_t)(uintptr_t)name, s.id);
    return s;
}

xfc_int xfc_int_symbol_from(xfc_ctx *ctx, xfc_int dim, int64_t lo) {
    const xfc_int_info old = *xfc_int_look(ctx, dim);
    xfc_assert(old.kind == XFC_INT_SYMBOL && old.sym == XFC_SYM_DIM);
    xfc_int s = xfc_int_new_symbol(ctx, old.name, xfc_int_const(ctx, lo), old.hi, XFC_SYM_DIM, XFC_INT_NONE);
    xfc_map_set(&ctx->ints->symbols, (uint64_t)(uintptr_t)old.name, s.id);
    return s;
}

xfc_int xfc_int_axis(xfc_ctx *ctx, const char *name, xfc_int extent) {
    return xfc_int_new_symbol(ctx, name, xfc_int_const(ctx, 0), xfc_int_addc(ctx, extent, -1), XFC_SYM_AXIS,
                              XFC_INT_NONE);
}

xfc_int xfc_int_let(xfc_ctx *ctx, const char *name, xfc_int lo, xfc_int hi) {
    return xfc_int_new_symbol(ctx, name, lo, hi, XFC_SYM_LET, XFC_INT_NONE);
}

const xfc_int_info *xfc_int_look(const xfc_ctx *ctx, xfc_int a) {
    xfc_assert(a.id < ctx->ints->n);
    return &ctx->ints->node[a.id].info;
}

/* --- polynomials --- */

static void enter(xfc_ctx *ctx) { ctx->ints->depth++; }

static xfc_int leave(xfc_ctx *ctx, xfc_int r) {
    if (--ctx->ints->depth > 0) return r;
    xfc_arena_reset(ctx->ints->scratch);
    return xfc_int_settle(ctx, r);
}

static xfc_poly poly_of(xfc_ctx *ctx, xfc_int a) {
    xfc_arena *s = ctx->ints->scratch;
    const xfc_int_info *i = xfc_int_look(ctx, a);
    xfc_poly p = {0};
    if (i->kind == XFC_INT_SUM) {
        p.term = xfc_dup_array(s, xfc_int_term, i->term, i->n_terms);
        p.n = i->n_terms;
        return p;
    }
    if (i->kind == XFC_INT_CONST) {
        if (i->value == 0) return p;
        p.term = xfc_new(s, xfc_int_term);
        p.term[0] = (xfc_int_term){.coeff = i->value};
    } else {
        p.term = xfc_new(s, xfc_int_term);
        p.term[0] = (xfc_int_term){.coeff = 1, .n = 1, .atom = xfc_dup_array(s, xfc_int, &a, 1)};
    }
    p.n = 1;
    return p;
}

/* Order: more atoms first, then by atom ids; the constant comes last. */
static int compare_terms(const xfc_int_term *a, const xfc_int_term *b) {
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->atom[i].id != b->atom[i].id) return a->atom[i].id < b->atom[i].id ? -1 : 1;
    return 0;
}

/* The polynomial under construction is worthless: from_poly answers NONE for it. */
static int64_t overflow(xfc_ctx *ctx) {
    ctx->ints->overflow = true;
    return 0;
}

static int64_t checked_add(xfc_ctx *ctx, int64_t a, int64_t b) {
    int64_t r;
    return xfc_add_ok(a, b, &r) ? r : overflow(ctx);
}

static int64_t checked_mul(xfc_ctx *ctx, int64_t a, int64_t b) {
    int64_t r;
    return xfc_mul_ok(a, b, &r) ? r : overflow(ctx);
}

static xfc_poly poly_add(xfc_ctx *ctx, const xfc_poly *a, const xfc_poly *b) {
    xfc_poly r = {.term = xfc_new_array(ctx->ints->scratch, xfc_int_term, a->n + b->n)};
    uint32_t i = 0, j = 0;
    while (i < a->n || j < b->n) {
        int order = i == a->n ? 1 : j == b->n ? -1 : compare_terms(&a->term[i], &b->term[j]);
        if (order < 0)
            r.term[r.n++] = a->term[i++];
        else if (order > 0)
            r.term[r.n++] = b->term[j++];
        else {
            int64_t c = checked_add(ctx, a->term[i].coeff, b->term[j].coeff);
            r.term[r.n] = a->term[i++];
            j++;
            r.term[r.n].coeff = c;
            if (c) r.n++;
        }
    }
    return r;
}

static xfc_int_term term_mul(xfc_ctx *ctx, const xfc_int_term *a, const xfc_int_term *b) {
    int64_t c = checked_mul(ctx, a->coeff, b->coeff);
    xfc_int *atom = xfc_new_array(ctx->ints->scratch, xfc_int, a->n + b->n);
    uint32_t i = 0, j = 0, n = 0;
    while (i < a->n || j < b->n)
        atom[n++] = j == b->n || (i < a->n && a->atom[i].id <= b->atom[j].id) ? a->atom[i++] : b->atom[j++];
    return (xfc_int_term){.coeff = c, .n = n, .atom = atom};
}

static xfc_poly poly_scale(xfc_ctx *ctx, const xfc_poly *a, const xfc_int_term *by) {
    xfc_poly r = {0};
    for (uint32_t i = 0; i < a->n; i++) { /* term order may change: insert one by one */
        xfc_int_term t = term_mul(ctx, &a->term[i], by);
        xfc_poly one = {.term = &t, .n = t.coeff != 0};
        r = poly_add(ctx, &r, &one);
    }
    return r;
}

static xfc_poly poly_mul(xfc_ctx *ctx, const xfc_poly *a, const xfc_poly *b) {
    xfc_poly r = {0};
    for (uint32_t j = 0; j < b->n; j++) {
        xfc_poly part = poly_scale(ctx, a, &b->term[j]);
        r = poly_add(ctx, &r, &part);
    }
    return r;
}

static xfc_poly poly_sub(xfc_ctx *ctx, const xfc_poly *a, const xfc_poly *b) {
    xfc_int_term minus = {.coeff = -1};
    xfc_poly nb = poly_scale(ctx, b, &minus);
    return poly_add(ctx, a, &nb);
}

/* by divides t: *out = t / by. */
static bool term_div(xfc_ctx *ctx, const xfc_int_term *t, const xfc_int_term *by, xfc_int_term *out) {
    if (by->coeff == 0 || (by->coeff == -1 && t->coeff == INT64_MIN) || t->coeff % by->coeff || by->n > t->n)
        return false;
    xfc_int *atom = xfc_new_array(ctx->ints->scratch, xfc_int, t->n);
    uint32_t n = 0, j = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (j < by->n && t->atom[i].id == by->atom[j].id)
            j++;
        else
            atom[n++] = t->atom[i];
    }
    if (j != by->n) return false;
    *out = (xfc_int_term){.coeff = t->coeff / by->coeff, .n = n, .atom = atom};
    return true;
}

static int find_term(const xfc_poly *p, const xfc_int_term *t) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->term[i].coeff == t->coeff && same_atoms(&p->term[i], t)) return (int)i;
    return -1;
}

static void drop_term(xfc_poly *p, uint32_t i) {
    memmove(&p->term[i], &p->term[i + 1], (p->n - i - 1) * sizeof *p->term);
    p->n--;
}

/* e is y floordiv m + c with constants m > 0 and c: *x = y + c m. */
static bool is_shifted_quotient(xfc_ctx *ctx, xfc_int e, xfc_int *x, xfc_int *m) {
    xfc_poly p = poly_of(ctx, e);
    int64_t c = 0, divisor;
    const xfc_int_info *q = NULL;
    for (uint32_t i = 0; i < p.n; i++) {
        bool atom = p.term[i].n == 1 && p.term[i].coeff == 1;
        if (p.term[i].n && (!atom || q)) return false;
        if (atom) q = xfc_int_look(ctx, p.term[i].atom[0]);
        if (!atom) c = p.term[i].coeff;
    }
    if (!q || q->kind != XFC_INT_FLOORDIV || !xfc_int_value(ctx, q->b, &divisor) || divisor <= 0) return false;
    *x = q->a;
    *m = q->b;
    if (c != 0) *x = xfc_int_add(ctx, *x, xfc_int_mulc(ctx, *m, c));
    return xfc_int_known(*x);
}

/* x floordiv d as divide() names it: (y floordiv m + c) floordiv n is (y + c m) floordiv (m n). */
static xfc_int quotient_atom(xfc_ctx *ctx, xfc_int x, xfc_int d) {
    xfc_int y, divisor;
    int64_t m, n, product;
    bool nested = xfc_int_value(ctx, d, &n) && is_shifted_quotient(ctx, x, &y, &divisor);
    xfc_int_info q = {.kind = XFC_INT_FLOORDIV, .a = x, .b = d};
    if (nested && xfc_int_value(ctx, divisor, &m) && xfc_mul_ok(m, n, &product))
        q.a = y, q.b = xfc_int_const(ctx, product);
    return intern(ctx, &q);
}

/* The places in p of term * q for every term of d; false if one is not there. */
static bool find_products(xfc_ctx *ctx, const xfc_poly *p, const xfc_int_term *rest, const xfc_poly *d, xfc_int q,
                          bool *found) {
    xfc_int_term qt = {.coeff = 1, .n = 1, .atom = &q};
    for (uint32_t i = 0; i < d->n; i++) {
        xfc_int_term want = term_mul(ctx, rest, &d->term[i]);
        want = term_mul(ctx, &want, &qt);
        int at = find_term(p, &want);
        if (at < 0) return false;
        found[at] = true;
    }
    return true;
}

/* Term i of p has the atom m = (x mod d): c * R * (x mod d) + c * R * d * (x floordiv d)  ->  c * R * x. */
static bool join_term(xfc_ctx *ctx, xfc_poly *p, uint32_t i, xfc_int m) {
    const xfc_int_info *info = xfc_int_look(ctx, m);
    if (info->kind != XFC_INT_MOD) return false;
    xfc_poly d = poly_of(ctx, info->b), x = poly_of(ctx, info->a);
    xfc_int_term one = {.coeff = 1, .n = 1, .atom = &m}, rest;
    bool *gone = xfc_new_array(ctx->ints->scratch, bool, p->n);
    if (!term_div(ctx, &p->term[i], &one, &rest)) return false;
    if (!find_products(ctx, p, &rest, &d, quotient_atom(ctx, info->a, info->b), gone)) return false;
    gone[i] = true;
    for (uint32_t k = p->n; k-- > 0;)
        if (gone[k]) drop_term(p, k);
    xfc_poly whole = poly_scale(ctx, &x, &rest);
    *p = poly_add(ctx, p, &whole);
    return true;
}

/* True if a remainder met its quotient. */
static bool join_division(xfc_ctx *ctx, xfc_poly *p) {
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = 0; k < p->term[i].n; k++)
            if (join_term(ctx, p, i, p->term[i].atom[k])) return true;
    return false;
}

static xfc_int from_poly(xfc_ctx *ctx, xfc_poly p) {
    while (!ctx->ints->overflow && join_division(ctx, &p)) {}
    bool overflowed = ctx->ints->overflow;
    ctx->ints->overflow = false;
    if (overflowed) return XFC_INT_NONE;
    if (p.n == 0) return xfc_int_const(ctx, 0);
    if (p.n == 1 && p.term[0].n == 0) return xfc_int_const(ctx, p.term[0].coeff);
    if (p.n == 1 && p.term[0].n == 1 && p.term[0].coeff == 1) return p.term[0].atom[0];
    xfc_int_info i = {.kind = XFC_INT_SUM, .term = p.term, .n_terms = p.n};
    return intern(ctx, &i);
}

xfc_int xfc_int_add(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    if (unknown(a, b)) return XFC_INT_NONE;
    enter(ctx);
    xfc_poly pa = poly_of(ctx, a), pb = poly_of(ctx, b);
    return leave(ctx, from_poly(ctx, poly_add(ctx, &pa, &pb)));
}

xfc_int xfc_int_sub(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    if (unknown(a, b)) return XFC_INT_NONE;
    enter(ctx);
    xfc_poly pa = poly_of(ctx, a), pb = poly_of(ctx, b);
    return leave(ctx, from_poly(ctx, poly_sub(ctx, &pa, &pb)));
}

static uint32_t terms_of(const xfc_ctx *ctx, xfc_int a) {
    const xfc_int_info *i = xfc_int_look(ctx, a);
    return i->kind == XFC_INT_SUM ? i->n_terms : 1;
}

/* Many terms times many: the longer sum by its name. */
static void bound_product(xfc_ctx *ctx, xfc_int *a, xfc_int *b) {
    uint32_t na = terms_of(ctx, *a), nb = terms_of(ctx, *b);
    if ((uint64_t)na * nb <= XFC_INT_TERMS) return;
    xfc_int *longer = na < nb ? b : a;
    if (!ctx->ints->node[longer->id].local) *longer = xfc_int_size(ctx, *longer);
}

xfc_int xfc_int_mul(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    if (unknown(a, b)) return XFC_INT_NONE;
    bound_product(ctx, &a, &b);
    if (unknown(a, b)) return XFC_INT_NONE;
    enter(ctx);
    xfc_poly pa = poly_of(ctx, a), pb = poly_of(ctx, b);
    return leave(ctx, from_poly(ctx, poly_mul(ctx, &pa, &pb)));
}

/* --- division --- */

/* p = q * d + r by dividing out d's leading term where it divides; for a single-term d nothing divisible stays in r,
 * but for constants, which are split by Euclid. */
static void poly_divide(xfc_ctx *ctx, const xfc_poly *p, const xfc_poly *d, xfc_poly *q, xfc_poly *r) {
    *q = (xfc_poly){0};
    *r = *p;
    for (uint32_t i = 0, steps = 0; i < r->n && steps < 64; steps++) {
        xfc_int_term t;
        if (!term_div(ctx, &r->term[i], &d->term[0], &t)) {
            bool split = r->term[i].n == 0 && d->n == 1 && d->term[0].n == 0;
            int64_t k = split ? xfc_int_floor(r->term[i].coeff, d->term[0].coeff) : 0;
            if (k == 0) {
                i++;
                continue;
            }
            t = (xfc_int_term){.coeff = k};
        }
        xfc_poly one = {.term = xfc_dup_array(ctx->ints->scratch, xfc_int_term, &t, 1), .n = 1};
        xfc_poly part = poly_scale(ctx, d, &t);
        *q = poly_add(ctx, q, &one);
        *r = poly_sub(ctx, r, &part);
        if (d->n > 1) i = 0;
    }
}

/* The largest constant dividing the constant divisor d and every non-constant term of r: floor((g x + c) / (g m)) =
 * floor((x + floor(c / g)) / m). *c_mod is c mod g. */
static int64_t common_factor(const xfc_poly *r, int64_t d, int64_t *c_mod) {
    int64_t g = d;
    *c_mod = 0;
    for (uint32_t i = 0; i < r->n; i++)
        if (r->term[i].n) g = xfc_int_gcd(g, r->term[i].coeff);
    for (uint32_t i = 0; i < r->n; i++)
        if (!r->term[i].n) *c_mod = r->term[i].coeff - xfc_int_floor(r->term[i].coeff, g) * g;
    return g;
}

static xfc_poly divide_terms(xfc_ctx *ctx, const xfc_poly *r, int64_t g) {
    xfc_poly s = {.term = xfc_dup_array(ctx->ints->scratch, xfc_int_term, r->term, r->n), .n = 0};
    for (uint32_t i = 0; i < r->n; i++) {
        int64_t c = xfc_int_floor(r->term[i].coeff, g);
        s.term[s.n] = r->term[i];
        s.term[s.n].coeff = c;
        s.n += c != 0;
    }
    return s;
}

typedef struct {
    xfc_int quotient, remainder;
} division;

static xfc_int opaque(xfc_ctx *ctx, xfc_int_kind kind, xfc_int a, xfc_int b) {
    xfc_int_info i = {.kind = kind, .a = a, .b = b};
    return intern(ctx, &i);
}

/* 0 <= e < b, where e may be y floordiv m: that is less than b if y is less than m b. */
static bool is_digit(xfc_ctx *ctx, xfc_int e, xfc_int b) {
    const xfc_int_info i = *xfc_int_look(ctx, e);
    int64_t lo, hi;
    if (!xfc_int_prove_ge0(ctx, e)) return false;
    if (xfc_int_prove_ge0(ctx, xfc_int_addc(ctx, xfc_int_sub(ctx, b, e), -1))) return true;
    if (i.kind != XFC_INT_FLOORDIV) return false;
    xfc_int_range(ctx, i.b, &lo, &hi);
    return lo >= 0 && xfc_int_prove_ge0(ctx, xfc_int_addc(ctx, xfc_int_sub(ctx, xfc_int_mul(ctx, i.b, b), i.a), -1));
}

/* Both results at once, so that floordiv and mod of the same operands always name the same opaque remainder. */
static division divide(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    xfc_poly pa = poly_of(ctx, a), pb = poly_of(ctx, b), q, r;
    poly_divide(ctx, &pa, &pb, &q, &r);
    bool overflowed = ctx->ints->overflow;
    ctx->ints->overflow = false;
    xfc_int quotient = from_poly(ctx, q), rest = from_poly(ctx, r), zero = xfc_int_const(ctx, 0);
    if (overflowed || unknown(quotient, rest)) return (division){XFC_INT_NONE, XFC_INT_NONE};
    if (is_digit(ctx, rest, b)) return (division){quotient, rest};
    int64_t d, c_mod = 0, g = 1;
    if (xfc_int_value(ctx, b, &d)) {
        r = poly_of(ctx, rest);
        g = common_factor(&r, d, &c_mod);
    }
    xfc_int inner = rest, by = b;
    if (g > 1) {
        inner = from_poly(ctx, divide_terms(ctx, &r, g));
        by = xfc_int_const(ctx, d / g);
    }
    xfc_int y, m, fd = XFC_INT_NONE;
    if (xfc_int_value(ctx, by, &d) && is_shifted_quotient(ctx, inner, &y, &m))
        fd = xfc_int_floordiv(ctx, y, xfc_int_mul(ctx, m, by)); /* (y / m + c) / n = (y + c m) / (m n) */
    if (!xfc_int_known(fd)) fd = xfc_int_is(ctx, inner, 0) ? zero : opaque(ctx, XFC_INT_FLOORDIV, inner, by);
    xfc_int md = xfc_int_is(ctx, inner, 0) ? zero : opaque(ctx, XFC_INT_MOD, inner, by);
    md = xfc_int_addc(ctx, xfc_int_mulc(ctx, md, g), c_mod);
    return (division){xfc_int_add(ctx, quotient, fd), md};
}

static xfc_int division_op(xfc_ctx *ctx, xfc_int_kind kind, xfc_int a, xfc_int b) {
    if (unknown(a, b)) return XFC_INT_NONE;
    int64_t x, y, lo, hi;
    bool ca = xfc_int_value(ctx, a, &x), cb = xfc_int_value(ctx, b, &y);
    bool want_div = kind == XFC_INT_FLOORDIV;
    if (ca && cb) {
        int64_t q = xfc_int_floor(x, y);
        return xfc_int_const(ctx, want_div ? q : y == 0 ? 0 : x - q * y);
    }
    if (ca && x == 0) return a;
    if (cb && y == 1) return want_div ? a : xfc_int_const(ctx, 0);
    if (xfc_int_same(a, b)) return xfc_int_const(ctx, want_div);
    if (cb && y > 0) { /* one quotient for the whole range of a; a bound that saturated is none */
        xfc_int_range(ctx, a, &lo, &hi);
        int64_t q = xfc_int_floor(lo, y), multiple;
        bool bounded = lo > INT64_MIN && hi < INT64_MAX;
        if (bounded && q == xfc_int_floor(hi, y) && xfc_mul_ok(q, -y, &multiple))
            return want_div ? xfc_int_const(ctx, q) : xfc_int_addc(ctx, a, multiple);
    }
    xfc_int_range(ctx, b, &lo, &hi);
    enter(ctx);
    if (lo < 0 || hi < 1) return leave(ctx, opaque(ctx, kind, a, b));
    division d = divide(ctx, a, b);
    return leave(ctx, want_div ? d.quotient : d.remainder);
}

xfc_int xfc_int_floordiv(xfc_ctx *ctx, xfc_int a, xfc_int b) { return division_op(ctx, XFC_INT_FLOORDIV, a, b); }
xfc_int xfc_int_mod(xfc_ctx *ctx, xfc_int a, xfc_int b) { return division_op(ctx, XFC_INT_MOD, a, b); }

xfc_int xfc_int_ceildiv(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    int64_t x, y;
    if (xfc_int_value(ctx, a, &x) && xfc_int_value(ctx, b, &y) && y > 0) /* a + b - 1 may exceed 64 bits */
        return xfc_int_const(ctx, xfc_int_floor(x, y) + (x % y != 0));
    return xfc_int_floordiv(ctx, xfc_int_addc(ctx, xfc_int_add(ctx, a, b), -1), b);
}

/* --- minimum and maximum --- */

static xfc_int extremum(xfc_ctx *ctx, xfc_int_kind kind, xfc_int a, xfc_int b) {
    int le = xfc_int_le(ctx, a, b), ge = le == 1 ? 0 : xfc_int_le(ctx, b, a);
    if (le == 1) return kind == XFC_INT_MIN ? a : b;
    if (ge == 1) return kind == XFC_INT_MIN ? b : a;
    const xfc_int_info *ia = xfc_int_look(ctx, a), *ib = xfc_int_look(ctx, b);
    if (ia->kind == kind && (ia->a.id == b.id || ia->b.id == b.id)) return a; /* min(min(x, y), y) */
    if (ib->kind == kind && (ib->a.id == a.id || ib->b.id == a.id)) return b;
    return a.id < b.id ? opaque(ctx, kind, a, b) : opaque(ctx, kind, b, a);
}

static xfc_int extremum_op(xfc_ctx *ctx, xfc_int_kind kind, xfc_int a, xfc_int b) {
    if (unknown(a, b)) return XFC_INT_NONE;
    enter(ctx);
    return leave(ctx, extremum(ctx, kind, a, b));
}

xfc_int xfc_int_min(xfc_ctx *ctx, xfc_int a, xfc_int b) { return extremum_op(ctx, XFC_INT_MIN, a, b); }
xfc_int xfc_int_max(xfc_ctx *ctx, xfc_int a, xfc_int b) { return extremum_op(ctx, XFC_INT_MAX, a, b); }

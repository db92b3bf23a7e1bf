/* query.c - questions about symbolic integers: ranges, proofs, substitution, evaluation, printing.
 *
 * Proofs of e >= 0 first try the numeric range, then eliminate one bounded symbol or min / max after the other,
 * youngest first (a loop axis' bound may name older symbols), each step replacing e by something that is not larger.
 * Incomplete by design.
 */
#include "ir/int/int_impl.h"

#include <string.h>

bool xfc_int_value(const xfc_ctx *ctx, xfc_int a, int64_t *out) {
    if (!xfc_int_known(a)) return false;
    const xfc_int_info *i = xfc_int_look(ctx, a);
    if (i->kind != XFC_INT_CONST) return false;
    if (out) *out = i->value;
    return true;
}

bool xfc_int_is(const xfc_ctx *ctx, xfc_int a, int64_t value) {
    int64_t v;
    return xfc_int_value(ctx, a, &v) && v == value;
}

void xfc_int_range(xfc_ctx *ctx, xfc_int a, int64_t *lo, int64_t *hi) {
    xfc_assert(a.id < ctx->ints->n);
    *lo = ctx->ints->node[a.id].lo;
    *hi = ctx->ints->node[a.id].hi;
}

int64_t xfc_int_gcd(int64_t a, int64_t b) {
    uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    while (y) {
        uint64_t t = x % y;
        x = y;
        y = t;
    }
    return (int64_t)x;
}

int64_t xfc_int_divisor(const xfc_ctx *ctx, xfc_int a) {
    if (!xfc_int_known(a)) return 1;
    const xfc_int_info *i = xfc_int_look(ctx, a);
    if (i->kind == XFC_INT_CONST) return i->value < 0 ? (i->value == INT64_MIN ? 1 : -i->value) : i->value;
    if (i->kind == XFC_INT_MIN || i->kind == XFC_INT_MAX)
        return xfc_int_gcd(xfc_int_divisor(ctx, i->a), xfc_int_divisor(ctx, i->b)); /* neither is INT64_MIN */
    if (xfc_int_is_size(ctx, a)) return ctx->ints->node[a.id].divisor;
    if (i->kind != XFC_INT_SUM) return 1;
    int64_t g = 0;
    for (uint32_t k = 0; k < i->n_terms; k++) {
        int64_t d = i->term[k].coeff;
        for (uint32_t j = 0; j < i->term[k].n; j++) {
            int64_t e;
            if (xfc_mul_ok(d, xfc_int_divisor(ctx, i->term[k].atom[j]), &e)) d = e;
        }
        g = xfc_int_gcd(g, d);
    }
    return g == INT64_MIN ? 1 : g;
}

/* --- proofs --- */

/* The youngest symbol or extremum that occurs as a direct atom; NONE if there is none. */
static xfc_int youngest_atom(const xfc_ctx *ctx, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(ctx, e);
    xfc_int best = XFC_INT_NONE;
    if (i->kind == XFC_INT_SYMBOL || i->kind == XFC_INT_MIN || i->kind == XFC_INT_MAX || i->kind == XFC_INT_MOD)
        return e;
    if (i->kind != XFC_INT_SUM) return best;
    for (uint32_t k = 0; k < i->n_terms; k++) {
        for (uint32_t j = 0; j < i->term[k].n; j++) {
            xfc_int a = i->term[k].atom[j];
            xfc_int_kind kind = xfc_int_look(ctx, a)->kind;
            if (kind != XFC_INT_FLOORDIV && a.id > best.id) best = a;
        }
    }
    return best;
}

/* An extremum of which both arms are to be proven. Which arm of another one serves may differ between them, so that it
 * is taken apart first. */
static xfc_int both_arms(const xfc_ctx *ctx, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(ctx, e);
    for (uint32_t k = 0; i->kind == XFC_INT_SUM && k < i->n_terms; k++) {
        if (i->term[k].n != 1) continue;
        const xfc_int atom = i->term[k].atom[0];
        if (xfc_int_look(ctx, atom)->kind == (i->term[k].coeff > 0 ? XFC_INT_MIN : XFC_INT_MAX)) return atom;
    }
    return XFC_INT_NONE;
}

/* The atom of e that a proof takes apart next; NONE: there is none. */
static xfc_int next_atom(const xfc_ctx *ctx, xfc_int e) {
    const xfc_int youngest = youngest_atom(ctx, e);
    if (!xfc_int_known(youngest)) return youngest;
    const xfc_int_kind kind = xfc_int_look(ctx, youngest)->kind;
    const xfc_int first = kind == XFC_INT_MIN || kind == XFC_INT_MAX ? both_arms(ctx, e) : XFC_INT_NONE;
    return xfc_int_known(first) ? first : youngest;
}

/* e = coeff * atom + rest with atom not a direct atom of either. */
static bool linear_in_atom(xfc_ctx *ctx, xfc_int e, xfc_int atom, xfc_int *coeff, xfc_int *rest) {
    *coeff = xfc_int_const(ctx, 0);
    *rest = xfc_int_const(ctx, 0);
    if (xfc_int_same(e, atom)) {
        *coeff = xfc_int_const(ctx, 1);
        return true;
    }
    const xfc_int_info *info = xfc_int_look(ctx, e);
    if (info->kind != XFC_INT_SUM) {
        *rest = e;
        return true;
    }
    uint32_t n_terms = info->n_terms;
    const xfc_int_term *term = info->term; /* stable: nodes may move, term arrays do not */
    for (uint32_t k = 0; k < n_terms; k++) {
        xfc_int part = xfc_int_const(ctx, term[k].coeff); /* cannot overflow: a factor of e */
        uint32_t times = 0;
        for (uint32_t j = 0; j < term[k].n; j++) {
            if (xfc_int_same(term[k].atom[j], atom))
                times++;
            else
                part = xfc_int_mul(ctx, part, term[k].atom[j]);
        }
        if (times > 1) return false;
        if (times)
            *coeff = xfc_int_add(ctx, *coeff, part);
        else
            *rest = xfc_int_add(ctx, *rest, part);
    }
    return true;
}

static bool prove(xfc_ctx *ctx, xfc_int e, int fuel);

/* e = +-(x floordiv c) + rest with a constant c > 0, which is >= 0 iff x + c * rest is, or c * rest + c - 1 - x. */
static bool prove_quotient(xfc_ctx *ctx, xfc_int e, int fuel) {
    const xfc_int_info *info = xfc_int_look(ctx, e);
    const xfc_int_term bare = {.coeff = 1, .n = 1, .atom = &e};
    uint32_t n = info->kind == XFC_INT_SUM ? info->n_terms : 1;
    const xfc_int_term *term = info->kind == XFC_INT_SUM ? info->term : &bare;
    for (uint32_t k = 0; k < n; k++) {
        if (term[k].n != 1 || (term[k].coeff != 1 && term[k].coeff != -1)) continue;
        xfc_int q = term[k].atom[0], by, x;
        const xfc_int_info *division = xfc_int_look(ctx, q);
        int64_t c;
        if (division->kind != XFC_INT_FLOORDIV || !xfc_int_value(ctx, division->b, &c) || c <= 0) continue;
        by = division->b, x = division->a;
        bool positive = term[k].coeff == 1;
        xfc_int rest = positive ? xfc_int_sub(ctx, e, q) : xfc_int_add(ctx, e, q), scaled = xfc_int_mul(ctx, rest, by);
        xfc_int bound = positive ? xfc_int_add(ctx, scaled, x) : xfc_int_sub(ctx, xfc_int_addc(ctx, scaled, c - 1), x);
        return prove(ctx, bound, fuel - 1);
    }
    return false;
}

static bool search(xfc_ctx *ctx, xfc_int e, int fuel) {
    int64_t lo, hi, clo, chi;
    if (prove_quotient(ctx, e, fuel)) return true;
    xfc_int atom = next_atom(ctx, e), coeff, rest;
    if (!xfc_int_known(atom) || !linear_in_atom(ctx, e, atom, &coeff, &rest)) return false;
    xfc_int_range(ctx, coeff, &clo, &chi);
    if (clo < 0 && chi > 0) return false;
    bool positive = clo >= 0;
    xfc_int_info i = *xfc_int_look(ctx, atom);
#define XFC_WITH(v) prove(ctx, xfc_int_add(ctx, xfc_int_mul(ctx, coeff, (v)), rest), fuel - 1)
    switch (i.kind) {
    case XFC_INT_SYMBOL: return XFC_WITH(positive ? i.lo : i.hi);
    case XFC_INT_MOD:
        xfc_int_range(ctx, i.b, &lo, &hi);
        if (lo < 0) return false; /* a negative divisor gives negative remainders */
        return XFC_WITH(positive ? xfc_int_const(ctx, 0) : xfc_int_addc(ctx, i.b, -1));
    case XFC_INT_MIN: /* min <= both arms, and is one of them */
        return positive ? XFC_WITH(i.a) && XFC_WITH(i.b) : XFC_WITH(i.a) || XFC_WITH(i.b);
    case XFC_INT_MAX: return positive ? XFC_WITH(i.a) || XFC_WITH(i.b) : XFC_WITH(i.a) && XFC_WITH(i.b);
    case XFC_INT_CONST:
    case XFC_INT_SUM:
    case XFC_INT_FLOORDIV: break;
    }
#undef XFC_WITH
    return false;
}

/* What is found is kept with e: ranges do not change, and formulas share their parts. */
static bool prove(xfc_ctx *ctx, xfc_int e, int fuel) {
    if (!xfc_int_known(e)) return false;
    const xfc_int_node *n = &ctx->ints->node[e.id];
    if (n->lo >= 0 || n->tried == XFC_INT_PROVEN) return true;
    if (n->hi < 0 || fuel == 0 || n->tried > fuel) return false;
    bool proven = search(ctx, e, fuel);
    ctx->ints->node[e.id].tried = proven ? XFC_INT_PROVEN : (uint8_t)(fuel + 1);
    return proven;
}

enum { FUEL = 8 };

bool xfc_int_prove_ge0(xfc_ctx *ctx, xfc_int e) { return prove(ctx, e, FUEL); }

/* What is left where a difference is no number of 63 bits. */
static int compare_ranges(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    int64_t alo, ahi, blo, bhi;
    xfc_int_range(ctx, a, &alo, &ahi);
    xfc_int_range(ctx, b, &blo, &bhi);
    return ahi <= blo ? 1 : alo > bhi ? 0 : -1;
}

static int compare(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    if (prove(ctx, xfc_int_sub(ctx, b, a), FUEL)) return 1;
    if (prove(ctx, xfc_int_addc(ctx, xfc_int_sub(ctx, a, b), -1), FUEL)) return 0;
    return compare_ranges(ctx, a, b);
}

int xfc_int_le(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    if (!xfc_int_known(a) || !xfc_int_known(b)) return -1;
    bool was = xfc_int_as_written(ctx, true); /* what a proof makes on its way needs no names */
    int result = compare(ctx, a, b);
    xfc_int_as_written(ctx, was);
    return result;
}

int xfc_int_lt(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    int r = xfc_int_le(ctx, b, a);
    return r < 0 ? r : !r;
}

int xfc_int_eq(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    if (!xfc_int_known(a) || !xfc_int_known(b)) return -1;
    if (xfc_int_same(a, b)) return 1;
    int64_t lo, hi;
    xfc_int d = xfc_int_sub(ctx, a, b);
    xfc_int_range(ctx, d, &lo, &hi);
    if (lo > 0 || hi < 0) return 0;
    return xfc_int_lt(ctx, a, b) == 1 || xfc_int_lt(ctx, b, a) == 1 ? 0 : -1;
}

/* --- structure --- */

/* The id of a symbol is smaller than those of what was made of it, which answers at once for most of a graph whose
 * sizes were made before its loops. */
static bool uses(const xfc_ctx *ctx, xfc_int e, xfc_int symbol) {
    if (xfc_int_same(e, symbol)) return true;
    if (e.id < symbol.id || !(ctx->ints->node[e.id].symbols >> symbol.id % 64 & 1) || !xfc_int_first(ctx, e))
        return false;
    const xfc_int_info *i = xfc_int_look(ctx, e);
    switch (i->kind) {
    case XFC_INT_CONST: return false;
    case XFC_INT_SYMBOL: return xfc_int_known(i->formula) && uses(ctx, i->formula, symbol);
    case XFC_INT_SUM:
        for (uint32_t k = 0; k < i->n_terms; k++)
            for (uint32_t j = 0; j < i->term[k].n; j++)
                if (uses(ctx, i->term[k].atom[j], symbol)) return true;
        return false;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: break;
    }
    return uses(ctx, i->a, symbol) || uses(ctx, i->b, symbol);
}

bool xfc_int_uses(const xfc_ctx *ctx, xfc_int e, xfc_int symbol) {
    xfc_int_walk(ctx);
    return xfc_int_known(e) && uses(ctx, e, symbol);
}

bool xfc_int_linear_in(xfc_ctx *ctx, xfc_int e, xfc_int symbol, xfc_int *coeff, xfc_int *rest) {
    return xfc_int_known(e) && linear_in_atom(ctx, e, symbol, coeff, rest) && !xfc_int_uses(ctx, *coeff, symbol) &&
           !xfc_int_uses(ctx, *rest, symbol);
}

/* Values of sizes that a walk has met: a size may stand in many others. */
typedef struct {
    xfc_arena *arena; /* NULL: none met */
    xfc_map map;
} memo;

static void remember(memo *m, xfc_int size, uint64_t value) {
    if (!m->arena) m->map.arena = m->arena = xfc_arena_new();
    xfc_map_set(&m->map, size.id, value);
}

static bool recall(const memo *m, xfc_int size, uint64_t *value) {
    return m->arena && xfc_map_find(&m->map, size.id, value);
}

static void forget(memo *m) {
    if (m->arena) xfc_arena_free(m->arena);
}

typedef struct {
    const xfc_int *from, *to;
    size_t n;
    uint64_t symbols; /* a bit for each of from */
    uint32_t oldest;  /* of from: what has a smaller id uses none of them */
    memo sizes;
} substitution;

static xfc_int substitute(xfc_ctx *ctx, xfc_int e, substitution *s);

static xfc_int substitute_sum(xfc_ctx *ctx, const xfc_int_info *i, substitution *s) {
    xfc_int sum = xfc_int_const(ctx, 0);
    for (uint32_t k = 0; k < i->n_terms; k++) {
        xfc_int part = xfc_int_const(ctx, i->term[k].coeff);
        for (uint32_t j = 0; j < i->term[k].n; j++)
            part = xfc_int_mul(ctx, part, substitute(ctx, i->term[k].atom[j], s));
        sum = xfc_int_add(ctx, sum, part);
    }
    return sum;
}

static xfc_int substitute_size(xfc_ctx *ctx, xfc_int e, xfc_int formula, substitution *s) {
    uint64_t id;
    if (recall(&s->sizes, e, &id)) return (xfc_int){(uint32_t)id};
    xfc_int r = substitute(ctx, formula, s);
    if (xfc_int_same(r, formula)) r = e;
    remember(&s->sizes, e, r.id);
    return r;
}

static xfc_int substitute(xfc_ctx *ctx, xfc_int e, substitution *s) {
    if (e.id < s->oldest || !(ctx->ints->node[e.id].symbols & s->symbols)) return e;
    for (size_t k = 0; k < s->n; k++)
        if (xfc_int_same(e, s->from[k])) return s->to[k];
    xfc_int_info i = *xfc_int_look(ctx, e);
    if (i.kind == XFC_INT_CONST) return e;
    if (i.kind == XFC_INT_SYMBOL) return xfc_int_known(i.formula) ? substitute_size(ctx, e, i.formula, s) : e;
    if (i.kind == XFC_INT_SUM) return substitute_sum(ctx, &i, s);
    xfc_int a = substitute(ctx, i.a, s), b = substitute(ctx, i.b, s);
    if (xfc_int_same(a, i.a) && xfc_int_same(b, i.b)) return e;
    return i.kind == XFC_INT_FLOORDIV ? xfc_int_floordiv(ctx, a, b)
           : i.kind == XFC_INT_MOD    ? xfc_int_mod(ctx, a, b)
           : i.kind == XFC_INT_MIN    ? xfc_int_min(ctx, a, b)
                                      : xfc_int_max(ctx, a, b);
}

xfc_int xfc_int_substitute(xfc_ctx *ctx, xfc_int e, const xfc_int *from, const xfc_int *to, size_t n) {
    if (!xfc_int_known(e) || n == 0) return e;
    substitution s = {.from = from, .to = to, .n = n, .oldest = UINT32_MAX};
    for (size_t k = 0; k < n; k++) {
        s.symbols |= UINT64_C(1) << from[k].id % 64;
        if (from[k].id < s.oldest) s.oldest = from[k].id;
    }
    xfc_int r = substitute(ctx, e, &s);
    forget(&s.sizes);
    return r;
}

typedef struct {
    const xfc_ctx *ctx;
    xfc_int_lookup *lookup;
    void *user;
    memo sizes;
} evaluation;

static bool evaluate(evaluation *v, xfc_int e, int64_t *out);

static bool evaluate_size(evaluation *v, xfc_int e, xfc_int formula, int64_t *out) {
    uint64_t have;
    if (recall(&v->sizes, e, &have)) {
        *out = (int64_t)have;
        return true;
    }
    if (!evaluate(v, formula, out)) return false;
    remember(&v->sizes, e, (uint64_t)*out);
    return true;
}

static bool evaluate_sum(evaluation *v, const xfc_int_info *i, int64_t *out) {
    int64_t sum = 0;
    for (uint32_t k = 0; k < i->n_terms; k++) {
        int64_t part = i->term[k].coeff, atom;
        for (uint32_t j = 0; j < i->term[k].n; j++)
            if (!evaluate(v, i->term[k].atom[j], &atom) || !xfc_mul_ok(part, atom, &part)) return false;
        if (!xfc_add_ok(sum, part, &sum)) return false;
    }
    *out = sum;
    return true;
}

static bool evaluate(evaluation *v, xfc_int e, int64_t *out) {
    const xfc_int_info *i = xfc_int_look(v->ctx, e);
    int64_t a, b;
    switch (i->kind) {
    case XFC_INT_CONST: *out = i->value; return true;
    case XFC_INT_SYMBOL:
        if (xfc_int_known(i->formula)) return evaluate_size(v, e, i->formula, out);
        return v->lookup && v->lookup(v->user, e.id, out);
    case XFC_INT_SUM: return evaluate_sum(v, i, out);
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: break;
    }
    if (!evaluate(v, i->a, &a) || !evaluate(v, i->b, &b)) return false;
    if (i->kind == XFC_INT_MIN)
        *out = a < b ? a : b;
    else if (i->kind == XFC_INT_MAX)
        *out = a > b ? a : b;
    else if (i->kind == XFC_INT_FLOORDIV)
        *out = xfc_int_floor(a, b);
    else
        *out = b == 0 ? 0 : a - xfc_int_floor(a, b) * b;
    return true;
}

bool xfc_int_evaluate(const xfc_ctx *ctx, xfc_int e, xfc_int_lookup *lookup, void *user, int64_t *out) {
    evaluation v = {.ctx = ctx, .lookup = lookup, .user = user};
    bool ok = xfc_int_known(e) && evaluate(&v, e, out);
    forget(&v.sizes);
    return ok;
}

/* --- printing --- */

typedef struct {
    xfc_buf *buf;
    const char *(*name)(void *, xfc_int);
    void *user;
    xfc_int whole; /* a size as a whole is its formula, in which others are not */
} printer;

static void print_at(const xfc_ctx *ctx, const printer *p, xfc_int e, int level); /* level: 0 sum, 1 product, 2 atom */

static void print_term(const xfc_ctx *ctx, const printer *p, const xfc_int_term *t, bool first) {
    int64_t c = t->coeff;
    if (first && c < 0) xfc_buf_str(p->buf, "-");
    if (!first) xfc_buf_str(p->buf, c < 0 ? " - " : " + ");
    uint64_t mag = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
    for (uint32_t j = 0; j < t->n; j++) {
        if (j) xfc_buf_str(p->buf, " * ");
        print_at(ctx, p, t->atom[j], 2);
    }
    if (t->n && mag != 1) xfc_buf_printf(p->buf, " * %llu", (unsigned long long)mag);
    if (!t->n) xfc_buf_printf(p->buf, "%llu", (unsigned long long)mag);
}

static void print_infix(const xfc_ctx *ctx, const printer *p, const xfc_int_info *i, int level) {
    if (level >= 1) xfc_buf_str(p->buf, "(");
    print_at(ctx, p, i->a, 2);
    xfc_buf_str(p->buf, i->kind == XFC_INT_FLOORDIV ? " floordiv " : " mod ");
    print_at(ctx, p, i->b, 2);
    if (level >= 1) xfc_buf_str(p->buf, ")");
}

static void print_at(const xfc_ctx *ctx, const printer *p, xfc_int e, int level) {
    if (!xfc_int_known(e)) {
        xfc_buf_str(p->buf, "?");
        return;
    }
    const xfc_int_info *i = xfc_int_look(ctx, e);
    switch (i->kind) {
    case XFC_INT_CONST:
        xfc_buf_printf(p->buf, level == 2 && i->value < 0 ? "(%lld)" : "%lld", (long long)i->value);
        break;
    case XFC_INT_SYMBOL:
        if (xfc_int_known(i->formula) && !p->name && xfc_int_same(e, p->whole))
            print_at(ctx, p, i->formula, level);
        else
            xfc_buf_str(p->buf, p->name ? p->name(p->user, e) : xfc_int_known(i->formula) ? "(...)" : i->name);
        break;
    case XFC_INT_SUM:
        if (level) xfc_buf_str(p->buf, "(");
        for (uint32_t k = 0; k < i->n_terms; k++) print_term(ctx, p, &i->term[k], k == 0);
        if (level) xfc_buf_str(p->buf, ")");
        break;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD: print_infix(ctx, p, i, level); break;
    case XFC_INT_MIN:
    case XFC_INT_MAX:
        xfc_buf_str(p->buf, i->kind == XFC_INT_MIN ? "min(" : "max(");
        print_at(ctx, p, i->a, 0);
        xfc_buf_str(p->buf, ", ");
        print_at(ctx, p, i->b, 0);
        xfc_buf_str(p->buf, ")");
        break;
    }
}

void xfc_int_print(const xfc_ctx *ctx, xfc_buf *buf, xfc_int e, const char *(*symbol_name)(void *, xfc_int),
                   void *user) {
    printer p = {buf, symbol_name, user, e};
    print_at(ctx, &p, e, 0);
}

/* --- exact quotients --- */

enum { MAX_ATOMS = 16 };

typedef struct {
    int64_t coeff;
    uint32_t n;
    xfc_int atom[MAX_ATOMS];
} monomial;

static bool read_term(int64_t coeff, const xfc_int *atom, uint32_t n, monomial *out) {
    if (n > XFC_COUNT(out->atom)) return false;
    *out = (monomial){.coeff = coeff, .n = n};
    for (uint32_t i = 0; i < n; i++) out->atom[i] = atom[i];
    return true;
}

static bool read_monomial(const xfc_ctx *c, xfc_int e, monomial *out) {
    const xfc_int_info *info = xfc_int_look(c, e);
    if (info->kind == XFC_INT_CONST) return read_term(info->value, NULL, 0, out);
    if (info->kind != XFC_INT_SUM) return read_term(1, &e, 1, out);
    return info->n_terms == 1 && read_term(info->term[0].coeff, info->term[0].atom, info->term[0].n, out);
}

/* a / b, true iff it divides. */
static bool divide_monomial(xfc_ctx *c, monomial a, const monomial *b, xfc_int *out) {
    if (b->coeff == 0 || (b->coeff == -1 && a.coeff == INT64_MIN) || a.coeff % b->coeff != 0) return false;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t k = 0;
        while (k < a.n && !xfc_int_same(a.atom[k], b->atom[i])) k++;
        if (k == a.n) return false;
        a.atom[k] = a.atom[--a.n];
    }
    *out = xfc_int_const(c, a.coeff / b->coeff);
    for (uint32_t i = 0; i < a.n; i++) *out = xfc_int_mul(c, *out, a.atom[i]);
    return true;
}

static bool divide_sum(xfc_ctx *c, xfc_int num, const monomial *den, xfc_int *out) {
    monomial m;
    if (read_monomial(c, num, &m)) return divide_monomial(c, m, den, out);
    const xfc_int_info *info = xfc_int_look(c, num);
    *out = xfc_int_const(c, 0);
    for (uint32_t i = 0; i < info->n_terms; i++) {
        xfc_int part;
        if (!read_term(info->term[i].coeff, info->term[i].atom, info->term[i].n, &m) ||
            !divide_monomial(c, m, den, &part))
            return false;
        *out = xfc_int_add(c, *out, part);
        info = xfc_int_look(c, num); /* building expressions may move the table */
    }
    return true;
}

bool xfc_int_exact(xfc_ctx *c, xfc_int a, xfc_int b, xfc_int *out) {
    monomial m;
    return read_monomial(c, b, &m) && divide_sum(c, a, &m, out);
}

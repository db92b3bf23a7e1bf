/* Tests of ir/int: the algebra against brute force on random expressions.
 *
 * Each expression is kept twice: as a tree with plain Python semantics and as the canonical xfc_int. Under random
 * assignments that respect the symbols' bounds both must have one value, which must lie in the range and be divisible
 * by the divisor; comparisons, substitution and linear forms are checked the same way.
 */
#include "ir/int/int.h"

#include "tests/unit/test.h"

enum { N_SYMBOLS = 7, N_NODES = 60, N_ASSIGN = 24 };
typedef enum { T_CONST, T_SYMBOL, T_ADD, T_SUB, T_MUL, T_DIV, T_MOD, T_MIN, T_MAX, T_CEIL } tree_kind;
typedef struct {
    tree_kind kind;
    int a, b;
    int64_t value;
} tree;

typedef struct {
    xfc_ctx *ctx;
    uint64_t random;
    xfc_int symbol[N_SYMBOLS];
    int64_t assigned[N_SYMBOLS];
    tree node[N_NODES];
    xfc_int expr[N_NODES];
} world;

/* batch, seq, heads (>= 0), i < batch, j < seq, k < batch * 4, a let between two expressions */
static void make_symbols(world *w) {
    xfc_ctx *c = w->ctx;
    xfc_int *s = w->symbol;
    s[0] = xfc_int_symbol(c, "batch", 1, 6);
    s[1] = xfc_int_symbol(c, "seq", 1, 9);
    s[2] = xfc_int_symbol(c, "heads", 0, 3);
    s[3] = xfc_int_axis(c, "i", s[0]);
    s[4] = xfc_int_axis(c, "j", s[1]);
    s[5] = xfc_int_axis(c, "k", xfc_int_mulc(c, s[0], 4));
    s[6] = xfc_int_let(c, "len", xfc_int_const(c, -2), xfc_int_add(c, s[1], s[2]));
}

static void assign(world *w) {
    int64_t *v = w->assigned;
    v[0] = test_between(&w->random, 1, 6);
    v[1] = test_between(&w->random, 1, 9);
    v[2] = test_between(&w->random, 0, 3);
    v[3] = test_between(&w->random, 0, v[0] - 1);
    v[4] = test_between(&w->random, 0, v[1] - 1);
    v[5] = test_between(&w->random, 0, v[0] * 4 - 1);
    v[6] = test_between(&w->random, -2, v[1] + v[2]);
}

static bool look_up(void *user, uint32_t id, int64_t *out) {
    const world *w = user;
    for (int i = 0; i < N_SYMBOLS; i++) {
        if (w->symbol[i].id != id) continue;
        *out = w->assigned[i];
        return true;
    }
    return false;
}

/* Python's floor division; false where it is undefined. */
static bool floor_div(int64_t a, int64_t b, int64_t *out) {
    if (b == 0) return false;
    *out = a / b;
    if (a % b != 0 && (a < 0) != (b < 0)) (*out)--;
    return true;
}

static bool small(int64_t v) { return v > -(INT64_C(1) << 40) && v < (INT64_C(1) << 40); }

static bool tree_value(const world *w, int at, int64_t *out) {
    const tree *t = &w->node[at];
    int64_t a = 0, b = 0, q = 0;
    if (t->kind == T_CONST) return *out = t->value, true;
    if (t->kind == T_SYMBOL) return *out = w->assigned[t->a], true;
    if (!tree_value(w, t->a, &a) || !tree_value(w, t->b, &b) || !small(a) || !small(b)) return false;
    switch (t->kind) {
    case T_ADD: *out = a + b; return true;
    case T_SUB: *out = a - b; return true;
    case T_MUL: return xfc_mul_ok(a, b, out);
    case T_MIN: *out = a < b ? a : b; return true;
    case T_MAX: *out = a > b ? a : b; return true;
    case T_DIV: return floor_div(a, b, out);
    case T_CEIL: return floor_div(a + b - 1, b, out);
    case T_MOD:
        if (!floor_div(a, b, &q)) return false;
        *out = a - q * b;
        return true;
    case T_CONST:
    case T_SYMBOL: break;
    }
    return false;
}

static xfc_int build(world *w, const tree *t) {
    xfc_ctx *c = w->ctx;
    if (t->kind == T_CONST) return xfc_int_const(c, t->value);
    if (t->kind == T_SYMBOL) return w->symbol[t->a];
    xfc_int a = w->expr[t->a], b = w->expr[t->b];
    switch (t->kind) {
    case T_ADD: return xfc_int_add(c, a, b);
    case T_SUB: return xfc_int_sub(c, a, b);
    case T_MUL: return xfc_int_mul(c, a, b);
    case T_MIN: return xfc_int_min(c, a, b);
    case T_MAX: return xfc_int_max(c, a, b);
    case T_DIV: return xfc_int_floordiv(c, a, b);
    case T_CEIL: return xfc_int_ceildiv(c, a, b);
    case T_MOD: return xfc_int_mod(c, a, b);
    case T_CONST:
    case T_SYMBOL: break;
    }
    return XFC_INT_NONE;
}

static int degree(const world *w, int at) {
    const tree *t = &w->node[at];
    if (t->kind == T_CONST) return 0;
    if (t->kind == T_SYMBOL) return 1;
    int a = degree(w, t->a), b = degree(w, t->b);
    return t->kind == T_MUL ? a + b : a > b ? a : b;
}

/* A pool of expressions, each over earlier ones; biased to the shapes that compilers make (products plus remainders,
 * divided). */
static void make_pool(world *w) {
    for (int i = 0; i < N_NODES; i++) {
        tree *t = &w->node[i];
        if (i < N_SYMBOLS) {
            *t = (tree){.kind = T_SYMBOL, .a = i};
        } else if (i < N_SYMBOLS + 5) {
            *t = (tree){.kind = T_CONST, .value = test_between(&w->random, -3, 12)};
        } else {
            do {
                *t = (tree){.kind = T_ADD + (tree_kind)(test_random(&w->random) % 8)};
                t->a = (int)test_between(&w->random, 0, i - 1);
                t->b = (int)test_between(&w->random, 0, test_random(&w->random) % 2 ? i - 1 : N_SYMBOLS + 4);
            } while (degree(w, i) > 3);
        }
        w->expr[i] = build(w, t);
    }
}

/* Prints the pool's tree once, when a check on it failed. */
static void show(const world *w, int at) {
    static const char *const op[] = {"", "", "+", "-", "*", "//", "%", "min", "max", "ceildiv"};
    const tree *t = &w->node[at];
    if (t->kind == T_CONST) {
        fprintf(stderr, "%" PRId64, t->value);
    } else if (t->kind == T_SYMBOL) {
        fprintf(stderr, "%s", xfc_int_look(w->ctx, w->symbol[t->a])->name);
    } else {
        fprintf(stderr, "(");
        show(w, t->a);
        fprintf(stderr, " %s ", op[t->kind]);
        show(w, t->b);
        fprintf(stderr, ")");
    }
}

static void explain(world *w, bool ok, int at) {
    if (ok) return;
    xfc_buf b = {.arena = w->ctx->arena};
    xfc_int_print(w->ctx, &b, w->expr[at], NULL, NULL);
    fprintf(stderr, "    ");
    show(w, at);
    fprintf(stderr, "\n    became %s with", b.text);
    for (int i = 0; i < N_SYMBOLS; i++)
        fprintf(stderr, " %s=%" PRId64, xfc_int_look(w->ctx, w->symbol[i])->name, w->assigned[i]);
    fprintf(stderr, "\n");
}

static void check_value(world *w, int at) {
    int64_t want, got = 0, lo, hi;
    if (!tree_value(w, at, &want)) return; /* divides by zero */
    bool known = CHECK(xfc_int_evaluate(w->ctx, w->expr[at], look_up, w, &got));
    explain(w, known && CHECK_INT(got, want), at);
    xfc_int_range(w->ctx, w->expr[at], &lo, &hi);
    explain(w, CHECK(lo <= want && want <= hi), at);
    int64_t d = xfc_int_divisor(w->ctx, w->expr[at]);
    explain(w, CHECK(d >= 0) && CHECK(d == 0 ? want == 0 : want % d == 0), at);
}

static void check_pair(world *w, int i, int j) {
    int64_t a, b;
    if (!tree_value(w, i, &a) || !tree_value(w, j, &b)) return;
    xfc_int x = w->expr[i], y = w->expr[j];
    bool ok = !xfc_int_same(x, y) || CHECK_INT(a, b);
    int eq = xfc_int_eq(w->ctx, x, y), lt = xfc_int_lt(w->ctx, x, y), le = xfc_int_le(w->ctx, x, y);
    ok = CHECK(eq < 0 || eq == (a == b)) && ok;
    ok = CHECK(lt < 0 || lt == (a < b)) && ok;
    ok = CHECK(le < 0 || le == (a <= b)) && ok;
    explain(w, ok, i);
    explain(w, ok, j);
}

/* symbol s := clamp(expression) into its constant bounds; the value under the changed assignment must agree. Only dims
 * and the let of constant bounds qualify: an axis's bounds name other symbols. */
static void check_substitute(world *w, int at) {
    static const int64_t least[3] = {1, 1, 0}, most[3] = {6, 9, 3};
    xfc_ctx *c = w->ctx;
    xfc_int from[3], to[3];
    int64_t value[3], want, got = 0, saved[N_SYMBOLS];
    memcpy(saved, w->assigned, sizeof(saved));
    for (int s = 0; s < 3; s++) {
        int by = (int)test_between(&w->random, 0, N_NODES - 1);
        from[s] = w->symbol[s];
        to[s] = xfc_int_max(c, xfc_int_const(c, least[s]), xfc_int_min(c, w->expr[by], xfc_int_const(c, most[s])));
        if (!xfc_int_evaluate(c, to[s], look_up, w, &value[s])) return;
    }
    for (int s = 0; s < 3; s++) w->assigned[s] = value[s];
    bool axes_fit = w->assigned[3] < value[0] && w->assigned[4] < value[1] && w->assigned[5] < 4 * value[0] &&
                    w->assigned[6] <= value[1] + value[2];
    bool defined = axes_fit && tree_value(w, at, &want);
    memcpy(w->assigned, saved, sizeof(saved));
    if (!defined) return;
    xfc_int changed = xfc_int_substitute(c, w->expr[at], from, to, 3);
    bool known = CHECK(xfc_int_evaluate(c, changed, look_up, w, &got));
    explain(w, known && CHECK_INT(got, want), at);
}

static void check_linear(world *w, int at, xfc_int symbol, int64_t symbol_value) {
    xfc_int coeff, rest;
    int64_t a, b, want;
    if (!xfc_int_linear_in(w->ctx, w->expr[at], symbol, &coeff, &rest) || !tree_value(w, at, &want)) return;
    CHECK(!xfc_int_uses(w->ctx, coeff, symbol) && !xfc_int_uses(w->ctx, rest, symbol));
    CHECK(xfc_int_uses(w->ctx, w->expr[at], symbol) == !xfc_int_is(w->ctx, coeff, 0));
    bool known = xfc_int_evaluate(w->ctx, coeff, look_up, w, &a) && xfc_int_evaluate(w->ctx, rest, look_up, w, &b);
    if (CHECK(known)) explain(w, CHECK_INT(a * symbol_value + b, want), at);
}

static void random_expressions(uint64_t seed) {
    world w = {.ctx = xfc_ctx_new(), .random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    make_symbols(&w);
    make_pool(&w);
    for (int round = 0; round < N_ASSIGN; round++) {
        assign(&w);
        for (int i = 0; i < N_NODES; i++) check_value(&w, i);
        for (int k = 0; k < 60; k++) {
            int i = (int)test_between(&w.random, 0, N_NODES - 1), j = (int)test_between(&w.random, 0, N_NODES - 1);
            int s = (int)test_between(&w.random, 0, N_SYMBOLS - 1);
            check_pair(&w, i, j);
            check_linear(&w, i, w.symbol[s], w.assigned[s]);
            if (k < 12) check_substitute(&w, i);
        }
    }
    xfc_ctx_free(w.ctx);
}

#define SAME(a, b) CHECK(xfc_int_same((a), (b)))

/* Forms that fusion, broadcasting and buffer reuse rely on: they must not only be right but be found. */
static void canonical(void) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_int b = xfc_int_symbol(c, "batch", 1, XFC_DIM_MAX), s = xfc_int_symbol(c, "seq", 1, 512),
            past = xfc_int_symbol(c, "past", 0, 512);
    SAME(b, xfc_int_symbol(c, "batch", 1, 4));
    xfc_int later = xfc_int_symbol_from(c, past, 3), one = xfc_int_const(c, 1);
    SAME(later, xfc_int_symbol(c, "past", 0, 512)); /* the name is its own now */
    SAME(xfc_int_min(c, later, one), one);
    CHECK(!xfc_int_same(xfc_int_min(c, past, one), one));
    int64_t lo, hi;
    xfc_int_range(c, later, &lo, &hi);
    CHECK(lo == 3 && hi == 512);
    SAME(xfc_int_add(c, s, past), xfc_int_add(c, past, s));
    SAME(xfc_int_mul(c, b, xfc_int_add(c, s, past)), xfc_int_add(c, xfc_int_mul(c, past, b), xfc_int_mul(c, s, b)));
    SAME(xfc_int_sub(c, xfc_int_add(c, s, past), past), s);
    CHECK(xfc_int_is(c, xfc_int_sub(c, s, s), 0) && xfc_int_is(c, xfc_int_mulc(c, s, 0), 0));
    SAME(xfc_int_mulc(c, s, 1), s);
    xfc_int i = xfc_int_axis(c, "i", b), j = xfc_int_axis(c, "j", s), h = xfc_int_axis(c, "h", xfc_int_const(c, 12));
    xfc_int flat = xfc_int_add(c, xfc_int_mul(c, i, s), j);
    SAME(xfc_int_floordiv(c, flat, s), i);
    SAME(xfc_int_mod(c, flat, s), j);
    xfc_int flat3 = xfc_int_add(c, xfc_int_mulc(c, flat, 12), h); /* [b, s, 12] split and joined again */
    xfc_int bs = xfc_int_mul(c, b, s), row = xfc_int_floordiv(c, flat3, xfc_int_const(c, 12));
    SAME(row, flat);
    SAME(xfc_int_mod(c, flat3, xfc_int_const(c, 12)), h);
    SAME(xfc_int_floordiv(c, flat3, xfc_int_mulc(c, s, 12)), i);
    SAME(xfc_int_floordiv(c, xfc_int_mulc(c, bs, 384), xfc_int_mulc(c, b, 384)), s);
    /* An image of any size in rows, and back: p / s is less than b where p is less than b s. */
    xfc_int p = xfc_int_axis(c, "p", bs), pixel = xfc_int_add(c, xfc_int_mul(c, h, bs), p);
    SAME(xfc_int_floordiv(c, xfc_int_floordiv(c, pixel, s), b), h);
    CHECK(xfc_int_uses(c, xfc_int_floordiv(c, xfc_int_floordiv(c, xfc_int_addc(c, pixel, 1), s), b), p));
    /* Three dims and back: the middle index is (x / 7) mod 12, the outer one x / 84. */
    xfc_int x = xfc_int_axis(c, "x", xfc_int_const(c, 336)), seven = xfc_int_const(c, 7), twelve = xfc_int_const(c, 12);
    xfc_int middle = xfc_int_floordiv(c, x, seven), outer = xfc_int_floordiv(c, middle, twelve);
    xfc_int back = xfc_int_add(c, xfc_int_mulc(c, outer, 12), xfc_int_mod(c, middle, twelve));
    SAME(xfc_int_add(c, xfc_int_mulc(c, back, 7), xfc_int_mod(c, x, seven)), x);
    /* Strided windows after one another; and a shifted index split again. */
    xfc_int four = xfc_int_const(c, 4), two = xfc_int_const(c, 2);
    xfc_int once = xfc_int_addc(c, xfc_int_floordiv(c, xfc_int_addc(c, s, 3), four), 1);
    SAME(xfc_int_floordiv(c, once, two), xfc_int_floordiv(c, xfc_int_addc(c, s, 7), xfc_int_const(c, 8)));
    xfc_int shifted = xfc_int_addc(c, middle, 5), high = xfc_int_floordiv(c, shifted, twelve);
    SAME(xfc_int_add(c, xfc_int_mulc(c, high, 12), xfc_int_mod(c, shifted, twelve)), shifted);
    xfc_int y = xfc_int_axis(c, "y", xfc_int_const(c, 9)), apart = xfc_int_add(c, middle, y); /* no such rule */
    CHECK(xfc_int_uses(c, xfc_int_floordiv(c, apart, twelve), y));
    CHECK(xfc_int_uses(c, xfc_int_floordiv(c, apart, twelve), x));
    xfc_int few = xfc_int_symbol(c, "few", 1, 64); /* ceil(few / 64) is 1 whatever few is */
    CHECK(xfc_int_is(c, xfc_int_ceildiv(c, few, xfc_int_const(c, 64)), 1));
    SAME(xfc_int_mod(c, xfc_int_addc(c, few, 63), xfc_int_const(c, 64)), xfc_int_addc(c, few, -1));
    SAME(xfc_int_add(c, xfc_int_mul(c, xfc_int_floordiv(c, j, xfc_int_const(c, 48)), xfc_int_const(c, 48)),
                     xfc_int_mod(c, j, xfc_int_const(c, 48))),
         j);
    SAME(xfc_int_min(c, j, xfc_int_addc(c, s, -1)), j);
    SAME(xfc_int_max(c, s, xfc_int_const(c, 1)), s);
    SAME(xfc_int_min(c, s, past), xfc_int_min(c, past, s));
    xfc_int smaller = xfc_int_max(c, s, few),
            larger = xfc_int_max(c, xfc_int_add(c, s, past), few); /* made in either order */
    xfc_int most = xfc_int_min(c, xfc_int_add(c, s, past), y), least = xfc_int_min(c, s, y);
    CHECK_INT(xfc_int_le(c, smaller, larger), 1);
    CHECK_INT(xfc_int_le(c, least, most), 1);
    SAME(xfc_int_ceildiv(c, xfc_int_mulc(c, s, 48), xfc_int_const(c, 48)), s);
    CHECK_INT(xfc_int_lt(c, j, s), 1);
    CHECK_INT(xfc_int_lt(c, xfc_int_const(c, INT64_MIN), xfc_int_const(c, 1)), 1); /* whose difference is no number */
    CHECK_INT(xfc_int_le(c, xfc_int_const(c, INT64_MAX), xfc_int_const(c, -2)), 0);
    CHECK_INT(xfc_int_lt(c, xfc_int_const(c, INT64_MIN), xfc_int_const(c, 0)), 1);
    CHECK_INT(xfc_int_eq(c, s, past), -1);
    CHECK_INT(xfc_int_eq(c, xfc_int_addc(c, s, 1), s), 0);
    CHECK_INT(xfc_int_divisor(c, xfc_int_addc(c, xfc_int_mulc(c, s, 48), 16)), 16);
    CHECK(!xfc_int_same(i, xfc_int_axis(c, "i", b))); /* axes are fresh, whatever they are called */
    xfc_ctx_free(c);
}

static void constants(void) {
    xfc_ctx *c = xfc_ctx_new();
    for (int64_t a = -7; a <= 7; a++) {
        for (int64_t b = -7; b <= 7; b++) {
            xfc_int x = xfc_int_const(c, a), y = xfc_int_const(c, b);
            int64_t q;
            CHECK(xfc_int_is(c, xfc_int_add(c, x, y), a + b) && xfc_int_is(c, xfc_int_mul(c, x, y), a * b));
            CHECK(xfc_int_is(c, xfc_int_min(c, x, y), a < b ? a : b) &&
                  xfc_int_is(c, xfc_int_max(c, x, y), a < b ? b : a));
            if (!floor_div(a, b, &q)) continue;
            CHECK(xfc_int_is(c, xfc_int_floordiv(c, x, y), q) && xfc_int_is(c, xfc_int_mod(c, x, y), a - q * b));
        }
    }
    xfc_int none = XFC_INT_NONE, one = xfc_int_const(c, 1);
    CHECK(!xfc_int_known(xfc_int_add(c, none, one)) && !xfc_int_known(xfc_int_min(c, one, none)));
    CHECK(!xfc_int_known(xfc_int_floordiv(c, one, none)) && !xfc_int_value(c, none, NULL));
    CHECK_INT(xfc_int_eq(c, none, none), -1);
    CHECK_INT(xfc_int_divisor(c, xfc_int_const(c, 0)), 0);
    xfc_ctx_free(c);
}

/* A coefficient beyond 64 bits makes an expression unknown; a large range only saturates. */
static void overflow(void) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_int s = xfc_int_symbol(c, "s", 1, XFC_DIM_MAX), big = xfc_int_const(c, INT64_MAX), two = xfc_int_const(c, 2);
    int64_t lo, hi;
    xfc_int_range(c, xfc_int_mul(c, xfc_int_mul(c, s, s), xfc_int_mul(c, s, s)), &lo, &hi);
    CHECK(lo == 1 && hi == INT64_MAX);
    CHECK(!xfc_int_known(xfc_int_mul(c, xfc_int_mulc(c, s, INT64_MAX), two)));
    CHECK(!xfc_int_known(xfc_int_add(c, big, big)) && !xfc_int_known(xfc_int_add(c, big, xfc_int_const(c, 1))));
    CHECK(!xfc_int_known(xfc_int_sub(c, xfc_int_const(c, INT64_MIN), xfc_int_const(c, 1))));
    CHECK(!xfc_int_known(xfc_int_mul(c, xfc_int_const(c, INT64_MIN), xfc_int_const(c, -1))));
    xfc_int least = xfc_int_mulc(c, s, INT64_MIN), out;
    CHECK(!xfc_int_exact(c, least, xfc_int_const(c, -1), &out)); /* a quotient that 64 bits do not hold */
    CHECK(xfc_int_is(c, xfc_int_sub(c, big, big), 0) && xfc_int_is(c, xfc_int_addc(c, big, -1), INT64_MAX - 1));
    SAME(xfc_int_floordiv(c, xfc_int_mulc(c, s, INT64_MAX), big), s); /* and what follows is sound again */
    CHECK_INT(c->n_errors, 0);
    xfc_ctx_free(c);
}

static bool is_1000(void *user, uint32_t symbol_id, int64_t *out) {
    (void)user, (void)symbol_id;
    *out = 1000;
    return true;
}

/* The size of x[1:-1], which names that of x twice. */
static xfc_int cut(xfc_ctx *c, xfc_int e) {
    xfc_int zero = xfc_int_const(c, 0);
    xfc_int end = xfc_int_max(c, xfc_int_addc(c, e, -1), zero), start = xfc_int_min(c, e, xfc_int_const(c, 1));
    return xfc_int_max(c, xfc_int_sub(c, end, start), zero);
}

/* Sizes that build on sizes get names, so that none is a large formula, and still are what they are. */
static void sizes_of_sizes(void) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_int s = xfc_int_symbol(c, "s", 0, XFC_DIM_MAX), t = xfc_int_symbol(c, "t", 0, XFC_DIM_MAX), e = s, again = s;
    xfc_int thousand = xfc_int_const(c, 1000);
    int64_t v, most = 0;
    for (int k = 0; k < 200; k++) {
        e = cut(c, e), again = cut(c, again);
        if (xfc_int_weight(c, e) > most) most = xfc_int_weight(c, e);
    }
    CHECK(most <= XFC_INT_LARGE);
    SAME(e, again);
    CHECK(xfc_int_evaluate(c, e, is_1000, NULL, &v));
    CHECK_INT(v, 600);
    CHECK(xfc_int_is(c, xfc_int_substitute(c, e, &s, &thousand, 1), 600));
    SAME(xfc_int_substitute(c, e, &t, &thousand, 1), e);
    CHECK(xfc_int_uses(c, e, s) && !xfc_int_uses(c, e, t));
    CHECK_INT(xfc_int_lt(c, xfc_int_axis(c, "i", e), e), 1);
    SAME(xfc_int_addc(c, xfc_int_addc(c, e, -7), 7), e);
    for (int k = 0; k < 20000 && xfc_int_known(e); k++) e = cut(c, e);
    CHECK(!xfc_int_known(e)); /* so deep that walks would need too much stack */
    SAME(cut(c, e), e);
    xfc_ctx_free(c);
}

/* A product of sums of n terms is not multiplied out where it would have n * n of them. */
static void long_sums(void) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_int a = xfc_int_const(c, 0), b = a, product;
    int64_t v;
    for (int k = 0; k < 60; k++) {
        char name[16];
        snprintf(name, sizeof name, "a%d", k);
        a = xfc_int_add(c, a, xfc_int_symbol(c, name, 0, XFC_DIM_MAX));
        snprintf(name, sizeof name, "b%d", k);
        b = xfc_int_add(c, b, xfc_int_symbol(c, name, 0, XFC_DIM_MAX));
    }
    product = xfc_int_mul(c, a, b);
    CHECK(xfc_int_is_size(c, product));
    const xfc_int_info *formula = xfc_int_look(c, xfc_int_look(c, product)->formula);
    CHECK(formula->kind == XFC_INT_SUM && formula->n_terms <= XFC_INT_TERMS);
    CHECK(xfc_int_evaluate(c, product, is_1000, NULL, &v));
    CHECK_INT(v, 60000LL * 60000LL);
    for (int k = 0; k < 3000; k++) a = xfc_int_add(c, a, xfc_int_mulc(c, xfc_int_symbol(c, "a0", 0, 1), k + 2));
    CHECK(xfc_int_weight(c, a) <= XFC_INT_LARGE);
    xfc_ctx_free(c);
}

int main(void) {
    constants();
    canonical();
    overflow();
    sizes_of_sizes();
    long_sums();
    for (uint64_t seed = 1; seed <= 24; seed++) random_expressions(seed);
    return test_end();
}

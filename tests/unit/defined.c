/* defined.c - symbols that an op defines: bounds of sizes, and what the verifier refuses. */
#include "ir/defined.h"
#include "ir/build.h"
#include "ir/code.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "tests/unit/test.h"

typedef struct {
    xfc_ctx *ctx;
    xfc_graph *graph;
    xfc_builder b;
    xfc_int batch, s, t, n; /* t in 0..batch * s, n in 0..t */
    xfc_value *x, *counts;
    xfc_op *define;
} fixture;

static void set_up(fixture *f) {
    *f = (fixture){.ctx = xfc_ctx_new()};
    f->graph = xfc_graph_new(f->ctx, "g");
    f->b = (xfc_builder){.graph = f->graph};
    f->batch = xfc_int_symbol(f->ctx, "b", 0, 64);
    f->s = xfc_int_symbol(f->ctx, "s", 1, 512);
    xfc_int zero = xfc_int_const(f->ctx, 0), two = xfc_int_const(f->ctx, 2), all = xfc_int_mul(f->ctx, f->batch, f->s);
    f->t = xfc_int_let(f->ctx, "T", zero, all);
    f->n = xfc_int_let(f->ctx, "N", zero, f->t);
    f->x = xfc_graph_add_input(f->graph, "x", xfc_type_make(XFC_F32, 2, (xfc_int[]){f->batch, f->s}));
    f->counts = xfc_graph_add_input(f->graph, "counts", xfc_type_make(XFC_I64, 1, &two));
    f->define = xfc_b_define(&f->b, f->counts, (xfc_int[]){f->t, f->n}, 2);
    CHECK(f->define != NULL);
}

static void tear_down(fixture *f) {
    xfc_graph_free(f->graph);
    xfc_ctx_free(f->ctx);
}

/* --- bounds --- */

typedef struct {
    uint32_t id[4];
    int64_t value[4];
} binding;
static bool lookup(void *user, uint32_t id, int64_t *out) {
    const binding *v = user;
    for (int i = 0; i < 4; i++)
        if (v->id[i] == id) return *out = v->value[i], true;
    return false;
}

/* A random expression whose value is a size: symbols, small numbers, and all operators. */
/* Not divided by the constant 0, which the algebra does not define. */
static xfc_int random_size(const fixture *f, uint64_t *seed, int depth) {
    xfc_ctx *c = f->ctx;
    const xfc_int leaf[] = {f->batch, f->s, f->t, f->n, f->t, xfc_int_const(c, test_between(seed, 1, 9))};
    if (depth == 0) return leaf[test_between(seed, 0, 5)];
    xfc_int a = random_size(f, seed, depth - 1), b = random_size(f, seed, depth - 1);
    switch (test_between(seed, 0, 6)) {
    case 0: return xfc_int_add(c, a, b);
    case 1: return xfc_int_mul(c, a, b);
    case 2: return xfc_int_floordiv(c, a, b);
    case 3: return xfc_int_mod(c, a, b);
    case 4: return xfc_int_min(c, a, b);
    case 5: return xfc_int_max(c, a, b);
    default: return xfc_int_sub(c, a, b);
    }
}

static void check_bounds(const fixture *f, const xfc_defined *d, xfc_int e, uint64_t *seed) {
    xfc_int most = xfc_defined_most(d, e), least = xfc_defined_least(d, e);
    CHECK(!xfc_int_known(most) || !xfc_defined_in(d, most));
    CHECK(!xfc_int_known(least) || !xfc_defined_in(d, least));
    for (int i = 0; i < 20; i++) {
        int64_t b = test_between(seed, 0, 5), s = test_between(seed, 1, 7), t = test_between(seed, 0, b * s), v, hi, lo;
        binding at = {{f->batch.id, f->s.id, f->t.id, f->n.id}, {b, s, t, test_between(seed, 0, t)}};
        if (!xfc_int_evaluate(f->ctx, e, lookup, &at, &v)) continue;
        if (xfc_int_known(most) && xfc_int_evaluate(f->ctx, most, lookup, &at, &hi)) CHECK(v <= hi);
        if (xfc_int_known(least) && xfc_int_evaluate(f->ctx, least, lookup, &at, &lo)) CHECK(lo <= v);
    }
}

static void bounds(void) {
    fixture f;
    set_up(&f);
    uint64_t seed = 99;
    xfc_arena *arena = xfc_arena_new();
    xfc_defined d = xfc_defined_of(f.graph, arena);
    xfc_ctx *c = f.ctx;
    xfc_int all = xfc_int_mul(c, f.batch, f.s);
    CHECK_INT(d.n, 2);
    CHECK(xfc_int_same(d.symbol[0], f.t) && xfc_int_same(d.symbol[1], f.n));
    CHECK(xfc_int_same(xfc_defined_most(&d, xfc_int_mulc(c, f.n, 384)), xfc_int_mulc(c, all, 384)));
    CHECK(xfc_int_same(xfc_defined_most(&d, xfc_int_sub(c, all, f.t)), all));
    CHECK(xfc_int_same(xfc_defined_most(&d, xfc_int_addc(c, f.s, 1)), xfc_int_addc(c, f.s, 1)));
    CHECK(xfc_int_same(xfc_defined_most(&d, xfc_int_ceildiv(c, f.t, xfc_int_const(c, 8))),
                       xfc_int_ceildiv(c, all, xfc_int_const(c, 8))));
    CHECK(xfc_int_is(c, xfc_defined_least(&d, f.n), 0));
    CHECK(!xfc_int_known(xfc_defined_most(&d, xfc_int_mul(c, f.t, xfc_int_min(c, xfc_int_addc(c, f.n, -3), f.batch)))));
    CHECK(xfc_defined_at_start(&d, xfc_int_add(c, f.t, f.batch)));
    CHECK(!xfc_defined_at_start(&d, xfc_int_add(c, f.t, xfc_int_axis(c, "i", f.s))));
    uint32_t n_known = 0;
    for (int i = 0; i < 3000; i++) {
        xfc_int e = random_size(&f, &seed, (int)test_between(&seed, 0, 3));
        if (!xfc_int_known(e)) continue;
        n_known += xfc_int_known(xfc_defined_most(&d, e));
        CHECK(xfc_int_same(xfc_size_most(c, e), xfc_defined_most(&d, e)));
        check_bounds(&f, &d, e, &seed);
    }
    CHECK(n_known > 1500); /* most have a bound at all */
    xfc_arena_free(arena);
    tear_down(&f);
}

/* A range that ends at XFC_DIM_MAX bounds nothing, but what stands beside it in a min may. */
static void unbounded(void) {
    fixture f;
    set_up(&f);
    xfc_ctx *c = f.ctx;
    xfc_int zero = xfc_int_const(c, 0), one = xfc_int_const(c, 1);
    xfc_int n = xfc_int_let(c, "n", zero, xfc_int_const(c, XFC_DIM_MAX)), below = xfc_int_let(c, "k", zero, n);
    CHECK(xfc_b_define(&f.b, f.counts, (xfc_int[]){n, below}, 2) != NULL);
    xfc_arena *arena = xfc_arena_new();
    xfc_defined d = xfc_defined_of(f.graph, arena);
    CHECK(!xfc_int_known(xfc_defined_most(&d, n)) && !xfc_int_known(xfc_defined_most(&d, below)));
    CHECK(!xfc_int_known(xfc_defined_most(&d, xfc_int_add(c, xfc_int_mul(c, n, f.s), one))));
    CHECK(!xfc_int_known(xfc_defined_most(&d, xfc_int_max(c, n, f.s))));
    CHECK(xfc_int_same(xfc_defined_most(&d, xfc_int_min(c, n, f.s)), f.s));
    CHECK(xfc_int_same(xfc_defined_most(&d, xfc_int_sub(c, f.s, n)), f.s));
    CHECK(xfc_int_same(xfc_defined_least(&d, xfc_int_max(c, n, f.s)), f.s));
    CHECK(xfc_int_is(c, xfc_defined_least(&d, n), 0) && !xfc_int_known(xfc_defined_least(&d, xfc_int_sub(c, f.s, n))));
    xfc_arena_free(arena);
    tear_down(&f);
}

/* --- alternatives --- */

static void alternatives(void) {
    fixture f;
    set_up(&f);
    xfc_ctx *c = f.ctx;
    xfc_int zero = xfc_int_const(c, 0), one = xfc_int_const(c, 1);
    xfc_int none = xfc_int_max(c, xfc_int_sub(c, one, f.t), zero);
    xfc_int other = xfc_int_let(c, "B2", zero, xfc_int_mul(c, f.batch, none));                   /* 0 unless T is */
    xfc_int most = xfc_int_let(c, "M", zero, xfc_int_sub(c, xfc_int_mul(c, f.batch, f.s), f.t)); /* not so */
    CHECK(xfc_b_define(&f.b, f.counts, (xfc_int[]){other, most}, 2) != NULL);
    xfc_arena *arena = xfc_arena_new();
    xfc_defined d = xfc_defined_of(f.graph, arena);
    enum { T = 1, N = 2, B2 = 4, M = 8 };
    xfc_int rows = xfc_int_mulc(c, f.t, 8), padded = xfc_int_mul(c, other, f.s);
    xfc_int panels = xfc_int_mul(c, xfc_int_min(c, f.t, one), xfc_int_addc(c, f.batch, 2));
    CHECK(xfc_defined_empties(&d, rows) == T && xfc_defined_empties(&d, padded) == B2);
    CHECK(xfc_defined_empties(&d, panels) == T && xfc_defined_empties(&d, xfc_int_mul(c, rows, other)) == (T | B2));
    CHECK(xfc_defined_empties(&d, xfc_int_add(c, rows, padded)) == 0 && xfc_defined_empties(&d, f.batch) == 0);
    CHECK(xfc_defined_alternatives(&d, T, B2) && xfc_defined_alternatives(&d, B2, T));
    CHECK(xfc_defined_alternatives(&d, T | N, B2 | M));
    CHECK(!xfc_defined_alternatives(&d, T, T) && !xfc_defined_alternatives(&d, T, N));
    CHECK(!xfc_defined_alternatives(&d, T, M) && !xfc_defined_alternatives(&d, 0, B2));
    CHECK(xfc_int_same(xfc_defined_most(&d, padded), xfc_int_mul(c, f.batch, f.s)));
    xfc_arena_free(arena);
    tear_down(&f);
}

/* --- the verifier --- */

static xfc_value *some_rows(fixture *f, xfc_int n) {
    xfc_int start[2] = {xfc_int_const(f->ctx, 0), xfc_int_const(f->ctx, 0)}, size[2] = {n, f->s};
    return xfc_b_slice(&f->b, f->x, start, size, (int64_t[]){1, 1});
}

static void refuses(fixture *f, const char *why) {
    xfc_buf text = {.arena = f->graph->arena};
    CHECK(!xfc_verify(f->graph, &text));
    CHECK_CONTAINS(text.text ? text.text : "", why);
}

static void accepts(fixture *f) {
    xfc_buf text = {.arena = f->graph->arena};
    if (!CHECK(xfc_verify(f->graph, &text))) fprintf(stderr, "%s", text.text);
}

static void order(void) {
    fixture f;
    set_up(&f);
    xfc_value *rows = some_rows(&f, f.n), *y = xfc_b_unary(&f.b, XFC_OP_NEG, f.x);
    CHECK(rows != NULL);
    xfc_graph_set_outputs(f.graph, &y, (const char *[]){"y"}, 1);
    accepts(&f);
    xfc_op_move_before(rows->def, f.define);
    refuses(&f, "uses 'N', which is not known before the kernel runs");
    xfc_op_move_before(f.define, rows->def);
    accepts(&f);
    xfc_graph *clone = xfc_graph_clone(f.graph);
    CHECK(xfc_verify(clone, NULL));
    xfc_graph_free(clone);
    xfc_op_remove(f.define);
    refuses(&f, "uses 'N'");
    tear_down(&f);
}

static void ranges(void) { /* N in 0..T: T must be defined first, in the same op or an earlier one */
    fixture f;
    set_up(&f);
    xfc_op_remove(f.define);
    f.define = xfc_b_define(&f.b, f.counts, (xfc_int[]){f.n, f.t}, 2);
    xfc_graph_set_outputs(f.graph, &f.x, (const char *[]){"y"}, 1);
    refuses(&f, "the range of what it defines uses 'T'");
    tear_down(&f);
}

static void twice(void) {
    fixture f;
    set_up(&f);
    xfc_int other = xfc_int_let(f.ctx, "M", xfc_int_const(f.ctx, 0), f.batch);
    CHECK(xfc_b_define(&f.b, f.counts, (xfc_int[]){other, f.t}, 2) != NULL);
    xfc_graph_set_outputs(f.graph, &f.x, (const char *[]){"y"}, 1);
    refuses(&f, "'T' is defined twice");
    tear_down(&f);
}

static void bad_symbols(void) {
    fixture f;
    set_up(&f);
    CHECK(xfc_b_define(&f.b, f.counts, (xfc_int[]){f.t, f.t}, 2) == NULL);
    CHECK(xfc_b_define(&f.b, f.counts, (xfc_int[]){f.batch, f.t}, 2) == NULL);
    CHECK(xfc_b_define(&f.b, f.counts, (xfc_int[]){f.t}, 1) == NULL);
    CHECK(xfc_b_define(&f.b, f.x, (xfc_int[]){f.t, f.n}, 2) == NULL);
    CHECK_INT(f.ctx->n_errors, 4);
    tear_down(&f);
}

/* An output may have a size that data decides; its type then stands with what is returned. */
static void outputs(void) {
    fixture f;
    set_up(&f);
    xfc_value *rows = some_rows(&f, f.t);
    CHECK(rows != NULL);
    xfc_graph_set_outputs(f.graph, (xfc_value *[]){f.x, rows}, (const char *[]){"y", "z"}, 2);
    xfc_buf text = {.arena = f.graph->arena};
    CHECK(xfc_verify(f.graph, &text));
    xfc_print_graph(&text, f.graph, NULL);
    CHECK_CONTAINS(text.text, " \"y\", _ \"z\")");
    xfc_graph *parsed = xfc_parse_graph(f.ctx, text.text, text.n, "outputs");
    CHECK(parsed != NULL);
    xfc_graph_free(parsed);
    tear_down(&f);
}

/* They hold from where all they name is defined; a symbol that nobody defines may not stand in one. */
static void constraints(void) {
    fixture f;
    set_up(&f);
    xfc_int late = xfc_int_let(f.ctx, "late", xfc_int_const(f.ctx, 0), f.batch);
    xfc_graph_require(f.graph, late, f.t, XFC_BROADCAST, (xfc_loc){0});
    xfc_graph_require_equal(f.graph, f.s, xfc_int_add(f.ctx, f.t, f.n), (xfc_loc){0});
    xfc_graph_require_equal(f.graph, f.s, f.batch, (xfc_loc){0});
    xfc_graph_set_outputs(f.graph, &f.x, (const char *[]){"y"}, 1);
    refuses(&f, "a constraint uses 'late'");
    xfc_int one = xfc_int_const(f.ctx, 1);
    f.b.before = f.graph->last;
    xfc_value *count = xfc_b_slice(&f.b, f.counts, &one, &one, (const int64_t[]){1});
    CHECK(xfc_b_define(&f.b, count, &late, 1) != NULL);
    xfc_defined d = xfc_defined_of(f.graph, f.graph->arena);
    CHECK(xfc_constraint_known(&d, f.graph, &f.graph->constraint[0]) == d.by[2]);
    CHECK(xfc_constraint_known(&d, f.graph, &f.graph->constraint[1]) == d.by[1]);
    CHECK(xfc_constraint_known(&d, f.graph, &f.graph->constraint[2]) == NULL);
    xfc_buf text = {.arena = f.graph->arena};
    CHECK(xfc_verify(f.graph, &text));
    tear_down(&f);
}

static const char *kernel_over(const fixture *f, xfc_int extent) {
    xfc_buf text = {.arena = f->graph->arena};
    xfc_kernel k = {.form = "map", .n_axes = 1, .axes = &(xfc_axis){.symbol = xfc_int_axis(f->ctx, "i", extent)}};
    k.axes[0].extent = extent;
    xfc_coder coder = {.ctx = f->ctx, .known = {.arena = f->graph->arena}};
    const xfc_code code = xfc_code_of(&coder, &k, f->graph->arena);
    xfc_print_kernel(f->ctx, &text, code.kernel, code.symbol, code.n_symbols);
    return text.text;
}

/* Two symbols of one name print apart. A kernel is one with that over another symbol iff both lie in the same range of numbers. */
static void names(void) {
    fixture f;
    set_up(&f);
    xfc_int same = xfc_int_let(f.ctx, "T", xfc_int_const(f.ctx, 0), f.batch),
            dim = xfc_int_let(f.ctx, "b", xfc_int_const(f.ctx, 0), f.batch);
    CHECK(xfc_b_define(&f.b, f.counts, (xfc_int[]){same, dim}, 2) != NULL);
    CHECK(some_rows(&f, same) && some_rows(&f, f.t) && some_rows(&f, dim));
    xfc_graph_set_outputs(f.graph, &f.x, (const char *[]){"y"}, 1);
    xfc_buf text = {.arena = f.graph->arena}, again = {.arena = f.graph->arena};
    xfc_print_graph(&text, f.graph, NULL);
    CHECK_CONTAINS(text.text, "define T1 in 0..b, b1 in 0..b = %counts");
    CHECK_CONTAINS(text.text, "size = [T1, s]");
    CHECK_CONTAINS(text.text, "size = [b1, s]");
    xfc_graph *parsed = xfc_parse_graph(f.ctx, text.text, text.n, "names");
    if (CHECK(parsed != NULL)) {
        xfc_print_graph(&again, parsed, NULL);
        CHECK_STR(again.text, text.text);
        xfc_graph_free(parsed);
    }
    CHECK_STR(kernel_over(&f, same), kernel_over(&f, dim));
    CHECK(strcmp(kernel_over(&f, same), kernel_over(&f, f.t)) != 0); /* in 0..b * s, not in 0..b */
    CHECK_STR(kernel_over(&f, f.batch), kernel_over(&f, dim));
    tear_down(&f);
}

int main(void) {
    bounds();
    unbounded();
    alternatives();
    order();
    ranges();
    twice();
    bad_symbols();
    outputs();
    constraints();
    names();
    return test_end();
}

/* probe.c - what is told of an element at a symbolic index: formulas, fractions, intervals, cases; and that a web of
 * ops is walked once. */
#include "ir/probe.h"

#include "ir/build.h"
#include "tests/unit/test.h"

typedef struct {
    xfc_ctx *ctx;
    xfc_graph *g;
    xfc_builder b;
    xfc_int s, i; /* a size; a place below it */
    xfc_probe p;
} setup;

static setup start(xfc_ctx *c) {
    setup t = {.ctx = c, .g = xfc_graph_new(c, "probe"), .s = xfc_int_symbol(c, "s", 0, 1000)};
    t.b = (xfc_builder){.graph = t.g};
    t.i = xfc_int_axis(c, "i", t.s);
    t.p = xfc_probe_new(t.g, t.g->arena);
    return t;
}

static void end(setup *t) { xfc_graph_free(t->g); }
static xfc_int num(const setup *t, int64_t v) { return xfc_int_const(t->ctx, v); }
static xfc_int at(setup *t, const xfc_value *v, xfc_int place) {
    return xfc_fact_formula(xfc_probe_at(&t->p, v, &place));
}
static bool is_at(setup *t, const xfc_value *v, xfc_int place, xfc_int want) {
    return v && xfc_int_known(want) && xfc_int_same(at(t, v, place), want);
}

static xfc_value *counting(setup *t, xfc_int size, xfc_dtype type) {
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &size, 1), xfc_attr_dtype(XFC_K_TO, type)};
    return xfc_build(&t->b, XFC_OP_IOTA, NULL, 0, attr, 2);
}
static xfc_value *two(setup *t, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_b_binary(&t->b, code, a, b); }
static xfc_value *of_int(setup *t, xfc_dtype type, int64_t v) { return xfc_b_scalar_i(&t->b, type, v); }
static xfc_value *slice(setup *t, xfc_value *v, xfc_int first, xfc_int size, int64_t step) {
    return xfc_b_slice(&t->b, v, &first, &size, &step);
}

/* Views and sums of a range; what wraps in i32 is no formula, unless that is assumed. */
static void formulas(xfc_ctx *c) {
    setup t = start(c);
    xfc_value *x = counting(&t, t.s, XFC_I64), *twice = two(&t, XFC_OP_ADD, x, x);
    CHECK(is_at(&t, twice, t.i, xfc_int_mulc(c, t.i, 2)));
    xfc_value *grid = xfc_b_expand(&t.b, twice, (xfc_int[]){num(&t, 3), t.s}, 2);
    xfc_value *flat = xfc_b_reshape(&t.b, grid, (xfc_int[]){xfc_int_mulc(c, t.s, 3)}, 1);
    CHECK(is_at(&t, flat, xfc_int_add(c, t.i, t.s), xfc_int_mulc(c, t.i, 2)));
    xfc_value *large = two(&t, XFC_OP_MUL, counting(&t, t.s, XFC_I32), of_int(&t, XFC_I32, 1 << 30));
    CHECK(!xfc_int_known(at(&t, large, t.i)));
    setup trusting = start(c);
    trusting.p.assumes = XFC_PROBE_NO_WRAP;
    CHECK(is_at(&trusting, large, t.i, xfc_int_mulc(c, t.i, 1 << 30)));
    end(&trusting);
    end(&t);
}

/* A web in which each op reads the one before twice; and a probe that is kept has seen it. */
static void webs(xfc_ctx *c) {
    setup t = start(c);
    xfc_value *x = counting(&t, t.s, XFC_I64);
    for (int k = 0; k < 30; k++) x = two(&t, XFC_OP_ADD, x, x);
    CHECK(is_at(&t, x, t.i, xfc_int_mulc(c, t.i, 1 << 30)));
    uint32_t visits = t.p.visits;
    CHECK(visits <= 31);
    CHECK(is_at(&t, two(&t, XFC_OP_SUB, x, x), t.i, num(&t, 0)));
    CHECK_INT(t.p.visits, visits + 1);
    end(&t);
}

/* int(ceil(size / 2.0)), and a part in floats that only rounding makes a size. */
static void fractions(xfc_ctx *c) {
    setup t = start(c);
    xfc_value *size = xfc_b_cast(&t.b, xfc_b_dims(&t.b, &t.s, -1), XFC_F32);
    xfc_value *half = two(&t, XFC_OP_DIV, size, xfc_b_scalar_f(&t.b, XFC_F32, 2));
    xfc_value *third = two(&t, XFC_OP_DIV, size, xfc_b_scalar_f(&t.b, XFC_F32, 3));
    xfc_value *up = xfc_b_cast(&t.b, xfc_b_unary(&t.b, XFC_OP_CEIL, half), XFC_I64);
    CHECK(!xfc_int_known(at(&t, up, num(&t, 0))));
    xfc_probe_forget(&t.p);
    t.p.assumes = XFC_PROBE_NO_WRAP | XFC_PROBE_DIVISORS | XFC_PROBE_SIZES;
    CHECK(is_at(&t, up, num(&t, 0), xfc_int_ceildiv(c, t.s, num(&t, 2))));
    CHECK(is_at(&t, xfc_b_cast(&t.b, third, XFC_I64), num(&t, 0), xfc_int_floordiv(c, t.s, num(&t, 3))));
    CHECK(!xfc_int_known(at(&t, two(&t, XFC_OP_ADD, third, third), num(&t, 0))));
    end(&t);
}

/* The last of [-1] and every second of 1, 2, ..: in the first list only if the other is empty, and then it is -1,
 * too. */
static void cases(xfc_ctx *c) {
    setup t = start(c);
    xfc_int n = xfc_int_floordiv(c, t.s, num(&t, 2));
    xfc_value *odd = slice(&t, counting(&t, xfc_int_addc(c, t.s, 1), XFC_I64), num(&t, 1), n, 2);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *parts[] = {xfc_b_ints(&t.b, (int64_t[]){-1}, 1), odd};
    xfc_value *list = xfc_build(&t.b, XFC_OP_CONCAT, parts, 2, &axis, 1);
    xfc_int want = xfc_int_addc(c, xfc_int_mulc(c, n, 2), -1);
    CHECK(!xfc_int_known(at(&t, list, n)));
    CHECK(xfc_int_same(xfc_fact_formula(xfc_probe_in_cases(&t.p, list, &n)), want));
    parts[0] = xfc_b_ints(&t.b, (int64_t[]){5}, 1);
    list = xfc_build(&t.b, XFC_OP_CONCAT, parts, 2, &axis, 1);
    CHECK(!xfc_int_known(xfc_fact_formula(xfc_probe_in_cases(&t.p, list, &n))));
    end(&t);
}

/* A place that data gives: any of the table. Numbers are what the interpreter computes. */
static void intervals(xfc_ctx *c) {
    setup t = start(c);
    double lo, hi;
    const xfc_tensor *fills = xfc_tensor_copy(c, XFC_F32, 1, (int64_t[]){2}, (float[]){-10000, 0}, NULL);
    xfc_value *table = xfc_b_const(&t.b, fills);
    xfc_value *x = xfc_graph_add_input(t.g, "x", xfc_type_make(XFC_I64, 1, &t.s));
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *bias = xfc_build(&t.b, XFC_OP_GATHER, (xfc_value *[]){table, x}, 2, &axis, 1);
    xfc_value *sum = two(&t, XFC_OP_SUB, bias, xfc_b_scalar_f(&t.b, XFC_F32, 1));
    xfc_fact_bounds(c, xfc_probe_at(&t.p, sum, &t.i), &lo, &hi);
    CHECK(lo >= -10001 && lo <= -10001 && hi >= -1 && hi <= -1);
    xfc_value *below = two(&t, XFC_OP_LT, sum, xfc_b_scalar_f(&t.b, XFC_F32, 0));
    CHECK(is_at(&t, below, t.i, num(&t, 1)));
    xfc_value *root = xfc_b_unary(&t.b, XFC_OP_SQRT, xfc_b_scalar_f(&t.b, XFC_F32, 49));
    CHECK(is_at(&t, xfc_b_cast(&t.b, root, XFC_I64), num(&t, 0), num(&t, 7)));
    end(&t);
}

/* An index that a list gives stands for it if it surely lies inside; the clamp of a slice is settled by what is
 * read. */
static void reads(xfc_ctx *c) {
    setup t = start(c);
    xfc_int more = xfc_int_addc(c, t.s, 2), all = num(&t, 0);
    xfc_value *x = counting(&t, more, XFC_I64),
              *next = two(&t, XFC_OP_ADD, counting(&t, t.s, XFC_I64), of_int(&t, XFC_I64, 1));
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *inside = xfc_build(&t.b, XFC_OP_GATHER, (xfc_value *[]){x, next}, 2, &axis, 1);
    CHECK(is_at(&t, inside, t.i, xfc_int_addc(c, t.i, 1)));
    xfc_value *back = xfc_b_unary(&t.b, XFC_OP_NEG, next);
    xfc_value *wrapped = xfc_build(&t.b, XFC_OP_GATHER, (xfc_value *[]){x, back}, 2, &axis, 1);
    CHECK(is_at(&t, wrapped, t.i, xfc_int_sub(c, more, xfc_int_addc(c, t.i, 1))));
    xfc_value *outside = xfc_build(&t.b, XFC_OP_GATHER, (xfc_value *[]){counting(&t, t.s, XFC_I64), next}, 2, &axis, 1);
    CHECK(!xfc_int_known(at(&t, outside, t.i)));
    xfc_value *single = counting(&t, num(&t, 1), XFC_I64); /* one element is not every element */
    for (int64_t i = -1; i <= 1; i++) {
        xfc_value *place = xfc_b_reshape(&t.b, of_int(&t, XFC_I64, i), (xfc_int[]){num(&t, 1)}, 1);
        xfc_value *found = xfc_build(&t.b, XFC_OP_GATHER, (xfc_value *[]){single, place}, 2, &axis, 1);
        found->content = NULL;
        CHECK(xfc_int_known(at(&t, found, all)) == (i < 1));
    }
    xfc_int first = xfc_int_min(c, num(&t, 5), t.s);
    xfc_value *rest = slice(&t, counting(&t, t.s, XFC_I64), first, xfc_int_sub(c, t.s, first), 1);
    xfc_int place = xfc_int_axis(c, "j", xfc_int_sub(c, t.s, first));
    CHECK(is_at(&t, rest, place, xfc_int_addc(c, place, 5)));
    int64_t along = 0;
    xfc_value *list = xfc_b_dims(&t.b, (xfc_int[]){t.s, more, num(&t, 3)}, 3);
    xfc_value *sum = xfc_b_reduce(&t.b, XFC_OP_REDUCE_SUM, list, &along, 1, true);
    sum->content = NULL;
    list->content = NULL;
    CHECK(is_at(&t, sum, all, xfc_int_addc(c, xfc_int_mulc(c, t.s, 2), 5)));
    end(&t);
}

/* What is not the number that it looks like: the upper half of u64, constants beyond their type, quotients by 1 / b. */
static void held(xfc_ctx *c) {
    setup t = start(c);
    double lo, hi;
    const xfc_int none = num(&t, 0);
    xfc_value *most = xfc_b_reshape(&t.b, of_int(&t, XFC_U64, -1), (xfc_int[]){num(&t, 1)}, 1);
    xfc_fact f = xfc_probe_at(&t.p, most, &none);
    xfc_fact_bounds(c, f, &lo, &hi);
    CHECK(lo >= 0x1p63 && hi <= 0x1p64 && !xfc_int_known(xfc_fact_formula(f)));
    xfc_value *bits = xfc_b_reshape(&t.b, of_int(&t, XFC_U8, -1), (xfc_int[]){num(&t, 1)}, 1);
    CHECK(is_at(&t, bits, none, num(&t, 255)));
    xfc_fact arg[2] = {xfc_fact_between(0, 49), xfc_fact_between(49, 49)};
    xfc_fact_bounds(c, xfc_fact_scalar(&t.p, XFC_S_DIV, XFC_F64, XFC_F64, arg), &lo, &hi);
    CHECK(lo <= 0 && hi >= 1);
    const xfc_fact near = xfc_fact_between(1 + 0x1p-11 + 0x1p-40, 2);
    xfc_fact_bounds(c, xfc_fact_scalar(&t.p, XFC_S_CAST, XFC_F64, XFC_F16, &near), &lo, &hi);
    CHECK(lo <= 1); /* by way of f32, as all do it */
    end(&t);
}

int main(void) {
    xfc_ctx *c = xfc_ctx_new();
    held(c);
    formulas(c);
    webs(c);
    fractions(c);
    cases(c);
    intervals(c);
    reads(c);
    xfc_diags_print(c, stderr, false);
    xfc_ctx_free(c);
    return test_end();
}

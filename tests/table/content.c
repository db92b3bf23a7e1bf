/* content.c - symbolic contents: the shape arithmetic of exporters becomes dims, and whatever is said of a tensor is
 * what the interpreter computes for it. */
#include "ir/build.h"
#include "ir/eval/eval.h"
#include "tests/unit/test.h"

typedef struct {
    xfc_ctx *ctx;
    xfc_graph *g;
    xfc_builder b;
    xfc_int batch, seq, width;
} shapes;

static shapes shapes_new(xfc_ctx *ctx) {
    shapes s = {.ctx = ctx, .g = xfc_graph_new(ctx, "shapes")};
    s.b = (xfc_builder){.graph = s.g};
    s.batch = xfc_int_symbol(ctx, "batch", 1, 64);
    s.seq = xfc_int_symbol(ctx, "seq", 0, 512);
    s.width = xfc_int_const(ctx, 384);
    return s;
}

static bool content_is(const shapes *s, const xfc_value *v, const xfc_int *want, uint32_t n) {
    bool ok = v && v->content;
    for (uint32_t i = 0; ok && i < n; i++)
        ok = xfc_int_same(v->content[i], want[i]) || xfc_int_eq(s->ctx, v->content[i], want[i]) == 1;
    return ok;
}

static xfc_value *ints(shapes *s, const int64_t *v, uint32_t n) { return xfc_b_ints(&s->b, v, n); }
static xfc_value *shape_of_x(shapes *s) { return xfc_b_dims(&s->b, (xfc_int[]){s->batch, s->seq, s->width}, 3); }

static xfc_value *gather(shapes *s, xfc_value *v, int64_t at) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return xfc_build(&s->b, XFC_OP_GATHER, (xfc_value *[]){v, xfc_b_scalar_i(&s->b, XFC_I64, at)}, 2, &axis, 1);
}

static xfc_value *concat(shapes *s, xfc_value *const *v, uint32_t n) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return xfc_build(&s->b, XFC_OP_CONCAT, v, n, &axis, 1);
}

static xfc_value *vector(shapes *s, xfc_value *v) {
    return xfc_b_reshape(&s->b, v, (xfc_int[]){xfc_int_const(s->ctx, 1)}, 1);
}
static xfc_value *binary(shapes *s, xfc_opcode code, xfc_value *x, xfc_value *y) {
    return xfc_b_binary(&s->b, code, x, y);
}

/* Shape, Gather, Unsqueeze, Concat: what a view(b, s, 12, 32) is exported as. */
static void view_chain(shapes *s) {
    xfc_value *shape = shape_of_x(s), *b = gather(s, shape, 0), *q = gather(s, shape, -2);
    CHECK(content_is(s, b, &s->batch, 1) && content_is(s, q, &s->seq, 1));
    xfc_value *heads = binary(s, XFC_OP_DIV, gather(s, shape, 2), xfc_b_scalar_i(&s->b, XFC_I64, 12));
    xfc_value *parts[] = {vector(s, b), vector(s, q), ints(s, (int64_t[]){12}, 1), vector(s, heads)};
    CHECK(content_is(s, concat(s, parts, 4),
                     (xfc_int[]){s->batch, s->seq, xfc_int_const(s->ctx, 12), xfc_int_const(s->ctx, 32)}, 4));
}

/* Equal, Where: how an exporter spells expand with -1; dims are never -1. */
static void where_chain(shapes *s) {
    xfc_value *shape = shape_of_x(s);
    xfc_value *is = binary(s, XFC_OP_EQ, shape, ints(s, (int64_t[]){-1}, 1));
    xfc_int zero = xfc_int_const(s->ctx, 0);
    CHECK(content_is(s, is, (xfc_int[]){zero, zero, zero}, 3));
    xfc_value *v = xfc_b_select(&s->b, is, ints(s, (int64_t[]){1, 1, 1}, 3), shape);
    CHECK(content_is(s, v, (xfc_int[]){s->batch, s->seq, s->width}, 3));
    CHECK(is->content && xfc_int_is(s->ctx, is->content[0], 0));
}

static void slices_and_reductions(shapes *s) {
    xfc_value *shape = shape_of_x(s);
    xfc_int two = xfc_int_const(s->ctx, 2), minus = xfc_int_const(s->ctx, 2);
    xfc_value *back = xfc_b_slice(&s->b, shape, &minus, &two, (int64_t[]){-1});
    CHECK(content_is(s, back, (xfc_int[]){s->width, s->seq}, 2));
    int64_t axis = 0;
    xfc_int all = xfc_int_mulc(s->ctx, xfc_int_mul(s->ctx, s->batch, s->seq), 384);
    CHECK(content_is(s, xfc_b_reduce(&s->b, XFC_OP_REDUCE_PROD, shape, &axis, 1, false), &all, 1));
    xfc_int sum = xfc_int_addc(s->ctx, xfc_int_add(s->ctx, s->batch, s->seq), 384);
    CHECK(content_is(s, xfc_b_reduce(&s->b, XFC_OP_REDUCE_SUM, shape, &axis, 1, true), &sum, 1));
    xfc_attr scan = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_int running[] = {s->batch, xfc_int_add(s->ctx, s->batch, s->seq), sum};
    CHECK(content_is(s, xfc_build(&s->b, XFC_OP_CUMSUM, &shape, 1, &scan, 1), running, 3));
    xfc_value *small = xfc_b_cast(&s->b, xfc_b_cast(&s->b, shape, XFC_I32), XFC_I64);
    CHECK(content_is(s, small, (xfc_int[]){s->batch, s->seq, s->width}, 3));
    CHECK(!content_is(s, xfc_b_cast(&s->b, shape, XFC_I8), &s->batch, 3)); /* may wrap */
    xfc_value *nothing = xfc_b_ints(&s->b, NULL, 0);
    CHECK(nothing && nothing->content);
    CHECK(content_is(s, concat(s, (xfc_value *[]){nothing, shape}, 2), (xfc_int[]){s->batch, s->seq, s->width}, 3));
}

/* "To the end" is INT64_MAX: it must not overflow the algebra. */
static void far_constants(shapes *s) {
    xfc_value *shape = shape_of_x(s), *end = xfc_b_scalar_i(&s->b, XFC_I64, INT64_MAX),
              *least = xfc_b_scalar_i(&s->b, XFC_I64, INT64_MIN);
    CHECK(content_is(s, binary(s, XFC_OP_MIN, shape, end), (xfc_int[]){s->batch, s->seq, s->width}, 3));
    CHECK(content_is(s, binary(s, XFC_OP_MAX, shape, least), (xfc_int[]){s->batch, s->seq, s->width}, 3));
    xfc_value *below = binary(s, XFC_OP_LT, shape, end);
    CHECK(below->content && xfc_int_is(s->ctx, below->content[0], 1));
    binary(s, XFC_OP_ADD, shape, end);
    binary(s, XFC_OP_MUL, binary(s, XFC_OP_SUB, shape, least), end);
    binary(s, XFC_OP_EQ, shape, least);
    CHECK(s->ctx->n_errors == 0);
    xfc_int zero = xfc_int_const(s->ctx, 0);
    xfc_type unknown = xfc_type_make(XFC_I64, 1, (xfc_int[]){xfc_int_const(s->ctx, 3)});
    xfc_value *x = xfc_graph_add_input(s->g, NULL, unknown);
    CHECK(content_is(s, binary(s, XFC_OP_MUL, x, xfc_b_scalar_i(&s->b, XFC_I64, 0)), (xfc_int[]){zero, zero, zero}, 3));
    CHECK(!binary(s, XFC_OP_ADD, x, shape)->content);
    xfc_value *maybe = binary(s, XFC_OP_EQ, shape, xfc_b_scalar_i(&s->b, XFC_I64, 7));
    CHECK(!maybe->content || !xfc_int_known(maybe->content[1])); /* seq may be 7 */
    CHECK(!maybe->content || xfc_int_is(s->ctx, maybe->content[2], 0));
}

/* --- random programs: contents under an assignment are the interpreter's elements --- */

typedef struct {
    xfc_int symbol[2];
    int64_t value[2];
} assignment;

static bool assigned(void *user, uint32_t id, int64_t *out) {
    const assignment *a = user;
    for (int i = 0; i < 2; i++) {
        if (a->symbol[i].id == id) return *out = a->value[i], true;
    }
    return false;
}

static xfc_value *random_op(shapes *s, uint64_t *seed, xfc_value *x, xfc_value *y) {
    static const xfc_opcode ops[] = {XFC_OP_ADD, XFC_OP_SUB,  XFC_OP_MUL, XFC_OP_DIV,
                                     XFC_OP_MOD, XFC_OP_FMOD, XFC_OP_MIN, XFC_OP_MAX};
    static const xfc_opcode tests[] = {XFC_OP_EQ, XFC_OP_NE, XFC_OP_LT, XFC_OP_LE, XFC_OP_GT, XFC_OP_GE};
    static const xfc_dtype types[] = {XFC_I32, XFC_I16, XFC_U8, XFC_U64, XFC_I64};
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    switch (test_between(seed, 0, 9)) {
    case 0: return xfc_b_unary(&s->b, XFC_OP_NEG, x);
    case 1: return xfc_b_unary(&s->b, XFC_OP_ABS, x);
    case 2: return xfc_b_unary(&s->b, XFC_OP_SIGN, x);
    case 3: return xfc_b_select(&s->b, binary(s, tests[test_between(seed, 0, 5)], x, y), x, y);
    case 4: return xfc_b_cast(&s->b, xfc_b_cast(&s->b, x, types[test_between(seed, 0, 4)]), XFC_I64);
    case 5: return xfc_build(&s->b, XFC_OP_CUMSUM, &x, 1, &axis, 1);
    case 6: return xfc_build(&s->b, XFC_OP_GATHER, (xfc_value *[]){x, ints(s, (int64_t[]){2, -3, 1}, 3)}, 2, &axis, 1);
    default: return binary(s, ops[test_between(seed, 0, 7)], x, y);
    }
}

static void check_program(shapes *s, xfc_value *const *v, uint32_t n, uint64_t *seed) {
    assignment a = {.symbol = {s->batch, s->seq}};
    xfc_arena *arena = xfc_arena_new();
    xfc_array *out = xfc_new_array(arena, xfc_array, n);
    for (int times = 0; times < 6; times++) {
        a.value[0] = test_between(seed, 1, 64), a.value[1] = test_between(seed, 0, 512);
        xfc_array in[2] = {
            {.dtype = XFC_U8, .rank = 1, .dim = {a.value[0]}, .count = a.value[0], .data = (void *)arena},
            {.dtype = XFC_U8, .rank = 1, .dim = {a.value[1]}, .count = a.value[1], .data = (void *)arena}};
        if (!CHECK(xfc_eval_graph(s->g, in, 2, out, &(xfc_eval_opts){.arena = arena}) == XFC_OK)) break;
        for (uint32_t i = 0; i < n; i++) {
            for (int64_t k = 0; v[i]->content && k < out[i].count; k++) {
                int64_t want;
                if (xfc_int_known(v[i]->content[k]) &&
                    CHECK(xfc_int_evaluate(s->ctx, v[i]->content[k], assigned, &a, &want))) {
                    CHECK_INT(((const int64_t *)out[i].data)[k], want);
                }
            }
        }
    }
    xfc_arena_free(arena);
}

static void random_programs(xfc_ctx *ctx) {
    uint64_t seed = 99;
    uint32_t known = 0, all = 0;
    for (int times = 0; times < 120; times++) {
        shapes s = shapes_new(ctx);
        xfc_graph_add_input(s.g, "a", xfc_type_make(XFC_U8, 1, &s.batch)); /* give the symbols their values */
        xfc_graph_add_input(s.g, "b", xfc_type_make(XFC_U8, 1, &s.seq));
        xfc_value *v[14] = {shape_of_x(&s), ints(&s, (int64_t[]){3, -1, 2}, 3)};
        uint32_t n = 2;
        while (n < XFC_COUNT(v)) {
            v[n] = random_op(&s, &seed, v[test_between(&seed, 0, n - 1)], v[test_between(&seed, 0, n - 1)]);
            if (!CHECK(v[n] != NULL)) break;
            for (int k = 0; k < 3; k++) known += v[n]->content && xfc_int_known(v[n]->content[k]), all++;
            n++;
        }
        xfc_graph_set_outputs(s.g, v, NULL, n);
        check_program(&s, v, n, &seed);
        xfc_graph_free(s.g);
    }
    fprintf(stderr, "contents known of %u elements of %u\n", (unsigned)known, (unsigned)all);
    CHECK(known * 2 > all);
}

int main(void) {
    xfc_ctx *ctx = xfc_ctx_new();
    shapes s = shapes_new(ctx);
    view_chain(&s);
    where_chain(&s);
    slices_and_reductions(&s);
    far_constants(&s);
    xfc_graph_free(s.g);
    random_programs(ctx);
    xfc_diags_print(ctx, stderr, false);
    xfc_ctx_free(ctx);
    return test_end();
}

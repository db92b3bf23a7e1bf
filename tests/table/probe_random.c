/* probe_random.c - whatever the probe tells of an element, alone or in cases, is true of what the interpreter computes:
 * random graphs of views, gathers, maps, reductions and running sums over data, ranges and sizes, at random places. */
#include "ir/build.h"
#include "ir/eval/eval.h"
#include "ir/probe.h"
#include "tests/unit/test.h"

enum { VALUES = 16, PROGRAMS = 400, ROUNDS = 5, PLACES = 6 };

typedef struct {
    xfc_ctx *ctx;
    xfc_graph *g;
    xfc_builder b;
    uint64_t seed;
    xfc_int size[2];   /* s in 0..6, t in 1..4 */
    int64_t number[2]; /* theirs */
    xfc_value *v[VALUES];
    uint32_t n;
} program;

static int64_t between(program *p, int64_t lo, int64_t hi) { return test_between(&p->seed, lo, hi); }
static xfc_int num(const program *p, int64_t v) { return xfc_int_const(p->ctx, v); }

/* --- random ops --- */

static xfc_value *counting(program *p) {
    xfc_int size = p->size[between(p, 0, 1)], start = num(p, between(p, -2, 3));
    int64_t step = between(p, -2, 3);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &size, 1), xfc_attr_dims(XFC_K_START, &start, 1),
                       xfc_attr_ints(XFC_K_STEP, &step, 1), xfc_attr_dtype(XFC_K_TO, XFC_I64)};
    return xfc_build(&p->b, XFC_OP_IOTA, NULL, 0, attr, XFC_COUNT(attr));
}

static xfc_value *constant(program *p) {
    int64_t data[6], first = between(p, -3, 3), step = between(p, -1, 2);
    uint32_t n = (uint32_t)between(p, 1, 6);
    bool even = between(p, 0, 1);
    for (uint32_t i = 0; i < n; i++) data[i] = even ? first + step * i : between(p, -4, 9);
    return between(p, 0, 2) ? xfc_b_ints(&p->b, data, n) : xfc_b_dims(&p->b, &p->size[between(p, 0, 1)], -1);
}

/* A value of the type of x: x itself, or numbers that go with it. */
static xfc_value *like(program *p, const xfc_value *x, xfc_value *other) {
    return xfc_type_same(&x->type, &other->type) ? other : xfc_b_scalar_i(&p->b, XFC_I64, between(p, -3, 5));
}

static xfc_value *map(program *p, xfc_value *x, xfc_value *y) {
    static const xfc_opcode ops[] = {XFC_OP_ADD, XFC_OP_SUB, XFC_OP_MUL, XFC_OP_MIN,
                                     XFC_OP_MAX, XFC_OP_DIV, XFC_OP_MOD, XFC_OP_FMOD};
    static const xfc_opcode unary[] = {XFC_OP_NEG, XFC_OP_ABS, XFC_OP_SIGN};
    static const xfc_opcode tests[] = {XFC_OP_EQ, XFC_OP_NE, XFC_OP_LT, XFC_OP_LE, XFC_OP_GT, XFC_OP_GE};
    static const xfc_dtype types[] = {XFC_I32, XFC_I8, XFC_U8, XFC_F32, XFC_F16, XFC_BOOL};
    y = like(p, x, y);
    switch (between(p, 0, 4)) {
    case 4: return xfc_b_binary(&p->b, XFC_OP_DIV, x, xfc_b_scalar_i(&p->b, XFC_I64, between(p, 2, 4)));
    case 0: return xfc_b_unary(&p->b, unary[between(p, 0, 2)], x);
    case 1: return xfc_b_select(&p->b, xfc_b_binary(&p->b, tests[between(p, 0, 5)], x, y), x, y);
    case 2: {
        xfc_value *z = xfc_b_cast(&p->b, x, types[between(p, 0, 5)]);
        if (xfc_dtype_is_float(z->type.dtype) && between(p, 0, 1))
            z = xfc_b_binary(&p->b, XFC_OP_DIV, z, xfc_b_scalar_f(&p->b, z->type.dtype, (double)between(p, 1, 3)));
        return xfc_b_cast(&p->b, z, XFC_I64);
    }
    default: return xfc_b_binary(&p->b, ops[between(p, 0, 7)], x, y);
    }
}

/* The elements from `first` on, of which there may be none; every second perhaps. */
static xfc_value *slice(program *p, xfc_value *x) {
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t d = 0; d < x->type.rank; d++) {
        start[d] = xfc_int_min(p->ctx, num(p, between(p, 0, 2)), x->type.dim[d]);
        step[d] = between(p, 1, 2);
        size[d] = xfc_int_ceildiv(p->ctx, xfc_int_sub(p->ctx, x->type.dim[d], start[d]), num(p, step[d]));
    }
    return xfc_b_slice(&p->b, x, start, size, step);
}

static xfc_value *reshaped(program *p, xfc_value *x) {
    xfc_int count = xfc_type_count(p->ctx, &x->type), dim[2] = {p->size[1], p->size[0]};
    if (x->type.rank != 1) return xfc_b_reshape(&p->b, x, &count, 1);
    if (!xfc_int_exact(p->ctx, count, dim[0], &dim[1])) dim[0] = num(p, 1), dim[1] = count;
    return xfc_b_reshape(&p->b, x, dim, 2);
}

static xfc_value *view(program *p, xfc_value *x, xfc_value *y) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_int before[2] = {num(p, 1), num(p, 0)}, after[2] = {num(p, between(p, -1, 1)), num(p, 2)};
    xfc_attr pad[] = {xfc_attr_dims(XFC_K_BEFORE, before, x->type.rank),
                      xfc_attr_dims(XFC_K_AFTER, after, x->type.rank),
                      xfc_attr_float(XFC_K_FILL, (double)between(p, 0, 2))};
    xfc_int wide[2] = {p->size[1], x->type.rank ? x->type.dim[x->type.rank - 1] : num(p, 1)};
    switch (between(p, 0, 5)) {
    case 0: return slice(p, x);
    case 1: return reshaped(p, x);
    case 2: return x->type.rank == 2 ? xfc_b_transpose(&p->b, x, (int64_t[]){1, 0}) : x;
    case 3: return x->type.rank == 1 ? xfc_b_expand(&p->b, x, wide, 2) : x;
    case 4: return x->type.rank ? xfc_build(&p->b, XFC_OP_PAD, &x, 1, pad, 3) : x;
    default:
        if (x->type.rank != 1 || y->type.rank != 1) return x;
        return xfc_build(&p->b, XFC_OP_CONCAT, (xfc_value *[]){x, y}, 2, &attr, 1);
    }
}

/* Indices are brought into their range by mod, so that they are always right; whether they are known is another
 * question. */
static xfc_value *gathered(program *p, xfc_value *x, xfc_value *y) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    if (!x->type.rank || xfc_int_le(p->ctx, num(p, 1), x->type.dim[0]) != 1 || y->type.rank > 1) return x;
    y = xfc_b_binary(&p->b, XFC_OP_MOD, y, xfc_b_dims(&p->b, &x->type.dim[0], -1));
    if (between(p, 0, 1)) y = xfc_b_binary(&p->b, XFC_OP_SUB, y, xfc_b_dims(&p->b, &x->type.dim[0], -1));
    return xfc_build(&p->b, XFC_OP_GATHER, (xfc_value *[]){x, y}, 2, &axis, 1);
}

static xfc_value *summed(program *p, xfc_value *x) {
    static const xfc_opcode ops[] = {XFC_OP_REDUCE_SUM, XFC_OP_REDUCE_PROD, XFC_OP_REDUCE_MAX, XFC_OP_REDUCE_MIN};
    int64_t axis = between(p, 0, 1);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, 0);
    if (x->type.rank == 0) return x;
    if (between(p, 0, 3) == 0) return xfc_build(&p->b, XFC_OP_CUMSUM, &x, 1, &attr, 1);
    return xfc_b_reduce(&p->b, ops[between(p, 0, 3)], x, &axis, x->type.rank == 2, between(p, 0, 1));
}

static xfc_value *random_value(program *p) {
    xfc_value *x = p->v[between(p, 0, p->n - 1)], *y = p->v[between(p, 0, p->n - 1)];
    int64_t what = between(p, 0, 9);
    if (what == 0) return between(p, 0, 1) ? counting(p) : constant(p);
    if (what < 4) return map(p, x, y);
    if (what < 7) return view(p, x, y);
    return what < 9 ? gathered(p, x, y) : summed(p, x);
}

/* --- against the interpreter --- */

typedef struct {
    const program *p;
    xfc_int axis[XFC_MAX_RANK];
    int64_t place[XFC_MAX_RANK];
    uint32_t rank;
} where;

static bool number_of(void *user, uint32_t id, int64_t *out) {
    const where *w = user;
    for (uint32_t i = 0; i < 2; i++)
        if (w->p->size[i].id == id) return *out = w->p->number[i], true;
    for (uint32_t d = 0; d < w->rank; d++)
        if (w->axis[d].id == id) return *out = w->place[d], true;
    return false;
}

static void check_fact(program *p, xfc_fact f, where *w, int64_t is) {
    int64_t told;
    if (f.kind == XFC_FACT_BETWEEN) CHECK(f.lo <= (double)is && (double)is <= f.hi);
    if (f.kind == XFC_FACT_FORMULA && CHECK(f.den == 1) && CHECK(xfc_int_evaluate(p->ctx, f.num, number_of, w, &told)))
        CHECK_INT(told, is);
}

static void check_value(program *p, const xfc_value *v, xfc_fact alone, xfc_fact cases, const xfc_int *axis,
                        const xfc_array *is) {
    where w = {.p = p, .rank = v->type.rank};
    for (int times = 0; times < PLACES && is->count > 0; times++) {
        int64_t at = 0;
        for (uint32_t d = 0; d < w.rank; d++) {
            w.axis[d] = axis[d];
            w.place[d] = between(p, 0, is->dim[d] - 1);
            at = at * is->dim[d] + w.place[d];
        }
        check_fact(p, alone, &w, ((const int64_t *)is->data)[at]);
        check_fact(p, cases, &w, ((const int64_t *)is->data)[at]);
    }
}

static void run(program *p, const xfc_fact *alone, const xfc_fact *cases, xfc_int (*axis)[XFC_MAX_RANK]) {
    xfc_arena *arena = xfc_arena_new();
    xfc_array *out = xfc_new_array(arena, xfc_array, p->n), in[3];
    int64_t data[6];
    for (uint32_t i = 0; i < 2; i++) p->number[i] = between(p, i, 6 - 2 * (int64_t)i);
    for (uint32_t i = 0; i < 6; i++) data[i] = between(p, -5, 9);
    for (uint32_t i = 0; i < 3; i++)
        in[i] = (xfc_array){
            .dtype = XFC_I64, .rank = 1, .dim = {p->number[i % 2]}, .count = p->number[i % 2], .data = data};
    if (CHECK(xfc_eval_graph(p->g, in, 2, out, &(xfc_eval_opts){.arena = arena}) == XFC_OK))
        for (uint32_t i = 0; i < p->n; i++) check_value(p, p->v[i], alone[i], cases[i], axis[i], &out[i]);
    xfc_arena_free(arena);
}

static void random_program(xfc_ctx *ctx, uint64_t seed, uint32_t *told) {
    program p = {.ctx = ctx, .g = xfc_graph_new(ctx, "random"), .seed = seed};
    xfc_int axis[VALUES][XFC_MAX_RANK];
    xfc_fact alone[VALUES], cases[VALUES];
    p.b = (xfc_builder){.graph = p.g};
    p.size[0] = xfc_int_symbol(ctx, "s", 0, 6);
    p.size[1] = xfc_int_symbol(ctx, "t", 1, 4);
    for (; p.n < 2; p.n++)
        p.v[p.n] = xfc_graph_add_input(p.g, p.n ? "b" : "a", xfc_type_make(XFC_I64, 1, &p.size[p.n]));
    while (p.n < 4) p.v[p.n++] = counting(&p);
    while (p.n < VALUES) {
        p.v[p.n] = random_value(&p);
        if (!CHECK(p.v[p.n] != NULL)) return;
        if (p.v[p.n]->type.rank <= 2) p.n++;
    }
    xfc_graph_set_outputs(p.g, p.v, NULL, p.n);
    xfc_probe probe = xfc_probe_new(p.g, p.g->arena);
    for (uint32_t i = 0; i < p.n; i++) {
        for (uint32_t d = 0; d < p.v[i]->type.rank; d++)
            axis[i][d] =
                xfc_int_is(ctx, p.v[i]->type.dim[d], 1) ? num(&p, 0) : xfc_int_axis(ctx, "i", p.v[i]->type.dim[d]);
        alone[i] = xfc_probe_at(&probe, p.v[i], axis[i]);
        cases[i] = xfc_probe_in_cases(&probe, p.v[i], axis[i]);
        *told += cases[i].kind == XFC_FACT_FORMULA;
    }
    for (int times = 0; times < ROUNDS; times++) run(&p, alone, cases, axis);
    xfc_graph_free(p.g);
}

int main(void) {
    xfc_ctx *ctx = xfc_ctx_new();
    uint32_t told = 0;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) random_program(ctx, seed * 7919, &told);
    fprintf(stderr, "formulas told of %u elements of %u\n", (unsigned)told, (unsigned)(PROGRAMS * VALUES));
    CHECK(told * 3 > PROGRAMS * VALUES);
    xfc_diags_print(ctx, stderr, false);
    xfc_ctx_free(ctx);
    return test_end();
}

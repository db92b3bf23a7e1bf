/* clash.c - operands whose sizes may not fit: every op that looks at sizes of two operands, with sizes that do and do
 * not.
 *
 * One graph holds a case an op, each over two dims of its own that nothing proves equal. Sizes that fit must give what
 * the interpreter gives; those that do not must be refused by both with the node's name and both sizes, the compiled
 * code by XF_E_SHAPE. Element-wise ops come from the table, so a new one is tried as well.
 */
#include "tests/diff/diff.h"
#include "tests/unit/test.h"
#include <dlfcn.h>
#include <math.h>

typedef enum { BROADCAST, ONE_WAY, EQUAL, AT_MOST, N_RELATIONS } relation; /* of n to m */
typedef struct {
    int64_t n, m;
} sizes;

/* What a relation allows and refuses; ends with n < 0. */
enum { MAX_SIZES = 7 };
static const sizes allowed[N_RELATIONS][MAX_SIZES] = {
    [BROADCAST] = {{4, 4}, {1, 6}, {5, 1}, {0, 1}, {1, 0}, {0, 0}, {-1, 0}},
    [ONE_WAY] = {{4, 4}, {1, 6}, {1, 0}, {1, 1}, {0, 0}, {-1, 0}},
    [EQUAL] = {{4, 4}, {1, 1}, {0, 0}, {-1, 0}},
    [AT_MOST] = {{4, 4}, {2, 4}, {0, 3}, {0, 0}, {-1, 0}},
};
static const sizes refused[N_RELATIONS][MAX_SIZES] = {
    [BROADCAST] = {{5, 6}, {6, 5}, {5, 0}, {0, 5}, {-1, 0}},
    [ONE_WAY] = {{5, 6}, {6, 5}, {5, 1}, {0, 1}, {0, 5}, {-1, 0}},
    [EQUAL] = {{5, 6}, {1, 5}, {5, 1}, {0, 1}, {-1, 0}},
    [AT_MOST] = {{5, 4}, {4, 1}, {1, 0}, {-1, 0}},
};

enum { MAX_CASES = 128, MAX_INPUTS = 3 * MAX_CASES };
typedef struct {
    const char *name;
    relation relation;
    xfc_int n, m;
    sizes now;
} one_case;

static xfc_ctx *ctx;
static xfc_graph *graph;
static xfc_builder b;
static one_case cases[MAX_CASES];
static xfc_value *results[MAX_CASES];
static uint32_t n_cases;

/* --- the graph --- */

static xfc_int number(int64_t v) { return xfc_int_const(ctx, v); }

static xfc_value *input(xfc_dtype t, uint32_t rank, const xfc_int *dim) {
    return xfc_graph_add_input(graph, xfc_sprintf(ctx->arena, "in%u", (unsigned)graph->n_in),
                               xfc_type_make(t, rank, dim));
}
#define IN(type, ...) input(type, sizeof((xfc_int[]){__VA_ARGS__}) / sizeof(xfc_int), (xfc_int[]){__VA_ARGS__})

/* The dims of the next case. */
static one_case *begin(const char *name, relation r) {
    one_case *c = &cases[n_cases];
    *c = (one_case){.name = xfc_sprintf(ctx->arena, "node/%s", name), .relation = r, .now = {2, 2}};
    c->n = xfc_int_symbol(ctx, xfc_sprintf(ctx->arena, "n%u", (unsigned)n_cases), 0, XFC_DIM_MAX);
    c->m = xfc_int_symbol(ctx, xfc_sprintf(ctx->arena, "m%u", (unsigned)n_cases), 0, XFC_DIM_MAX);
    b.loc = (xfc_loc){.node = c->name, .op = "Test"};
    return c;
}

static void end(xfc_value *result) {
    if (CHECK(result && n_cases < MAX_CASES)) results[n_cases++] = result;
}

static void op(xfc_opcode code, xfc_value *const *in, uint32_t n, const xfc_attr *attr, uint32_t n_attr) {
    end(xfc_build_opt(&b, code, in, n, attr, n_attr));
}

/* Operand `odd` over n, the others over m. */
static bool map_case(xfc_opcode code, uint32_t odd, xfc_dtype t) {
    xfc_value *in[3];
    const xfc_op_info *row = &xfc_ops[code];
    one_case *c = begin(xfc_sprintf(ctx->arena, "%s.%u", row->name, (unsigned)odd), BROADCAST);
    uint32_t errors = ctx->n_errors, diags = ctx->n_diags, n_in = graph->n_in;
    for (uint32_t i = 0; i < (uint32_t)row->n_in; i++) {
        bool condition = code == XFC_OP_SELECT && i == 0;
        in[i] = IN(condition ? XFC_BOOL : t, i == odd ? c->n : c->m);
    }
    xfc_value *v = xfc_build(&b, code, in, (uint32_t)row->n_in, NULL, 0);
    if (v) return end(v), true;
    ctx->n_errors = errors, ctx->n_diags = diags, graph->n_in = n_in; /* not for this type */
    return false;
}

static void maps(void) {
    static const xfc_dtype types[] = {XFC_F32, XFC_I32, XFC_BOOL};
    for (unsigned code = 0; code < XFC_OP_COUNT; code++) {
        if (!(xfc_ops[code].traits & XFC_MAP) || xfc_ops[code].n_in < 2) continue;
        for (uint32_t odd = 0; odd + (xfc_ops[code].n_in == 2) < (uint32_t)xfc_ops[code].n_in; odd++) {
            uint32_t t = 0;
            while (t < XFC_COUNT(types) && !map_case((xfc_opcode)code, odd, types[t])) t++;
            CHECK(t < XFC_COUNT(types));
        }
    }
}

static void products(void) {
    xfc_int two = number(2), three = number(3);
    one_case *c = begin("matmul.batch", BROADCAST);
    op(XFC_OP_MATMUL, (xfc_value *[]){IN(XFC_F32, c->n, two, three), IN(XFC_F32, c->m, three, two)}, 2, NULL, 0);
    c = begin("matmul.inner", EQUAL);
    op(XFC_OP_MATMUL, (xfc_value *[]){IN(XFC_F32, two, c->n), IN(XFC_F32, c->m, two)}, 2, NULL, 0);
    c = begin("linear.inner", EQUAL);
    op(XFC_OP_LINEAR, (xfc_value *[]){IN(XFC_F32, two, c->n), IN(XFC_F32, c->m, two)}, 2, NULL, 0);
    c = begin("linear.bias", EQUAL);
    op(XFC_OP_LINEAR, (xfc_value *[]){IN(XFC_F32, two, three), IN(XFC_F32, three, c->m), IN(XFC_F32, c->n)}, 3, NULL,
       0);
}

static void norms(void) {
    static const xfc_opcode codes[] = {XFC_OP_LAYERNORM, XFC_OP_RMSNORM};
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_float(XFC_K_EPS, 1e-5)};
    for (uint32_t i = 0; i < 2 * XFC_COUNT(codes); i++) {
        one_case *c = begin(xfc_sprintf(ctx->arena, "norm.%u", (unsigned)i), ONE_WAY);
        xfc_value *x = IN(XFC_F32, number(2), c->m), *p = IN(XFC_F32, c->n);
        op(codes[i / 2], (xfc_value *[]){x, i % 2 ? NULL : p, i % 2 ? p : NULL}, 3, attr, 2);
    }
}

static void attentions(void) {
    xfc_int one = number(1), two = number(2), three = number(3), four = number(4);
    xfc_attr attr[] = {xfc_attr_float(XFC_K_SCALE, 0.5)};
    one_case *c = begin("attention.keys", EQUAL);
    xfc_value *q = IN(XFC_F32, one, two, three, four);
    op(XFC_OP_ATTENTION, (xfc_value *[]){q, IN(XFC_F32, one, two, c->n, four), IN(XFC_F32, one, two, c->m, four)}, 3,
       attr, 1);
    for (uint32_t d = 0; d < 4; d++) { /* the bias against the scores, along each dim */
        c = begin(xfc_sprintf(ctx->arena, "attention.bias%u", (unsigned)d), ONE_WAY);
        xfc_int s[4] = {d == 0 ? c->m : one, d == 1 ? c->m : two, d == 2 ? c->m : three, d == 3 ? c->m : two};
        xfc_int bias[4] = {one, one, one, one};
        bias[d] = c->n;
        q = IN(XFC_F32, s[0], s[1], s[2], four);
        xfc_value *k = IN(XFC_F32, s[0], s[1], s[3], four), *v = IN(XFC_F32, s[0], s[1], s[3], four);
        op(XFC_OP_ATTENTION, (xfc_value *[]){q, k, v, input(XFC_F32, 4, bias)}, 4, attr, 1);
    }
}

static void views(void) {
    xfc_int two = number(2);
    one_case *c = begin("expand", ONE_WAY);
    xfc_value *of = IN(XFC_F32, c->m), *x = IN(XFC_F32, c->n);
    end(xfc_b_binary(&b, XFC_OP_ADD, of, xfc_b_expand(&b, x, &c->m, 1)));
    c = begin("reshape", EQUAL);
    of = IN(XFC_F32, c->m), x = IN(XFC_F32, c->n);
    end(xfc_b_binary(&b, XFC_OP_ADD, of, xfc_b_reshape(&b, x, &c->m, 1)));
    c = begin("concat", EQUAL);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    op(XFC_OP_CONCAT, (xfc_value *[]){IN(XFC_F32, two, c->n), IN(XFC_F32, two, c->m)}, 2, &axis, 1);
}

static void indices(void) {
    xfc_int one = number(1), two = number(2);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1), batch = xfc_attr_int(XFC_K_BATCH_DIMS, 1);
    one_case *c = begin("gather_elements", AT_MOST);
    op(XFC_OP_GATHER_ELEMENTS, (xfc_value *[]){IN(XFC_F32, c->m, two), IN(XFC_I64, c->n, two)}, 2, &axis, 1);
    c = begin("gather_nd", EQUAL);
    op(XFC_OP_GATHER_ND, (xfc_value *[]){IN(XFC_F32, c->n, two), IN(XFC_I64, c->m, one)}, 2, &batch, 1);
    c = begin("scatter_elements.data", AT_MOST);
    op(XFC_OP_SCATTER_ELEMENTS, (xfc_value *[]){IN(XFC_F32, c->m, two), IN(XFC_I64, c->n, two), IN(XFC_F32, c->n, two)},
       3, &axis, 1);
    c = begin("scatter_elements.updates", EQUAL);
    op(XFC_OP_SCATTER_ELEMENTS,
       (xfc_value *[]){IN(XFC_F32, two, number(9)), IN(XFC_I64, two, c->n), IN(XFC_F32, two, c->m)}, 3, &axis, 1);
    c = begin("scatter_nd", EQUAL);
    op(XFC_OP_SCATTER_ND, (xfc_value *[]){IN(XFC_F32, two), IN(XFC_I64, c->n, one), IN(XFC_F32, c->m)}, 3, NULL, 0);
}

/* --- sizes and data --- */

static bool lookup(void *user, uint32_t id, int64_t *out) {
    (void)user;
    for (uint32_t i = 0; i < n_cases; i++) {
        if (id == cases[i].n.id) return *out = cases[i].now.n, true;
        if (id == cases[i].m.id) return *out = cases[i].now.m, true;
    }
    return false;
}

static void fill(xfc_array *a) {
    for (int64_t i = 0; i < a->count; i++) {
        if (a->dtype == XFC_F32) ((float *)a->data)[i] = (float)(i % 7) * 0.25f + 0.5f;
        if (a->dtype == XFC_I32) ((int32_t *)a->data)[i] = (int32_t)(i % 3) + 1;
        if (a->dtype == XFC_BOOL) ((uint8_t *)a->data)[i] = (uint8_t)(i % 2);
    }
}

static void make_inputs(xfc_arena *arena, xfc_array *in) {
    for (uint32_t i = 0; i < graph->n_in; i++) {
        const xfc_type *t = &graph->in[i]->type;
        in[i] = (xfc_array){.dtype = t->dtype, .rank = t->rank, .count = 1};
        for (uint32_t d = 0; d < t->rank; d++) {
            bool known = xfc_int_evaluate(ctx, t->dim[d], lookup, NULL, &in[i].dim[d]);
            xfc_assert(known);
            in[i].count *= in[i].dim[d];
        }
        in[i].data = xfc_new_array(arena, int64_t, (size_t)in[i].count + 1);
        fill(&in[i]);
    }
}

/* --- both ways of running --- */

typedef struct {
    const xf_api *xf;
    xf_model *model;
    xf_ctx *run;
    void *so;
} loaded;

static xf_status run_compiled(loaded *l, xfc_array *in, xf_tensor *out) {
    static xf_tensor tensors[MAX_INPUTS];
    for (uint32_t i = 0; i < graph->n_in; i++) {
        uint32_t d = xfc_dtype_dlpack(in[i].dtype);
        tensors[i] = (xf_tensor){.data = in[i].data,
                                 .ndim = (int32_t)in[i].rank,
                                 .dtype = {d & 255, d >> 8 & 255, (uint16_t)(d >> 16)},
                                 .shape = in[i].dim};
    }
    return l->xf->run(l->run, tensors, graph->n_in, out, graph->n_out);
}

static double element(const xfc_array *a, const void *data, int64_t i) {
    if (a->dtype == XFC_F32) return (double)((const float *)data)[i];
    return a->dtype == XFC_BOOL ? ((const uint8_t *)data)[i] : ((const int32_t *)data)[i];
}

static bool same(const xfc_array *want, const xf_tensor *got) {
    for (uint32_t d = 0; d < want->rank; d++)
        if (got->shape[d] != want->dim[d]) return false;
    for (int64_t i = 0; i < want->count; i++) {
        double x = element(want, want->data, i), y = element(want, got->data, i);
        if (!(fabs(x - y) <= 1e-5 * (1 + fabs(x))) && !(isnan(x) && isnan(y)) && x != y) return false;
    }
    return true;
}

static void accepts(loaded *l) {
    xfc_arena *arena = xfc_arena_new();
    static xfc_array in[MAX_INPUTS], want[MAX_CASES];
    static xf_tensor out[MAX_CASES];
    make_inputs(arena, in);
    bool ok = CHECK(xfc_eval_graph(graph, in, graph->n_in, want, &(xfc_eval_opts){.arena = arena}) == XFC_OK);
    if (!ok) xfc_diags_print(ctx, stderr, false);
    if (!CHECK(run_compiled(l, in, out) == XF_OK)) fprintf(stderr, "    %s\n", l->xf->last_error(l->run));
    for (uint32_t i = 0; ok && i < n_cases; i++) test_check(same(&want[i], &out[i]), __FILE__, __LINE__, cases[i].name);
    xfc_arena_free(arena);
}

static bool tells(const char *text, const one_case *c) {
    char n[24], m[24];
    snprintf(n, sizeof n, "%lld", (long long)c->now.n);
    snprintf(m, sizeof m, "%lld", (long long)c->now.m);
    return strstr(text, n) && strstr(text, m);
}

static void refuses(loaded *l, const one_case *c) {
    xfc_arena *arena = xfc_arena_new();
    static xfc_array in[MAX_INPUTS], want[MAX_CASES];
    static xf_tensor out[MAX_CASES];
    make_inputs(arena, in);
    xf_status status = run_compiled(l, in, out);
    const char *text = l->xf->last_error(l->run);
    test_check(status == XF_E_SHAPE && strstr(text, c->name) && tells(text, c), __FILE__, __LINE__, c->name);
    ctx->n_errors = ctx->n_diags = 0;
    bool ok = xfc_eval_graph(graph, in, graph->n_in, want, &(xfc_eval_opts){.arena = arena}) == XFC_OK;
    const xfc_diag *d = &ctx->diags[0];
    test_check(!ok && d->loc.node == c->name && tells(d->text, c), __FILE__, __LINE__, "the interpreter");
    ctx->n_errors = ctx->n_diags = 0;
    xfc_arena_free(arena);
}

static void try_sizes(loaded *l) {
    for (uint32_t k = 0; k < MAX_SIZES; k++) { /* all cases at once */
        for (uint32_t i = 0; i < n_cases; i++) {
            uint32_t n = 0;
            while (allowed[cases[i].relation][n].n >= 0) n++;
            cases[i].now = allowed[cases[i].relation][k % n];
        }
        accepts(l);
    }
    for (uint32_t i = 0; i < n_cases; i++) cases[i].now = (sizes){2, 2};
    for (uint32_t i = 0; i < n_cases; i++) {
        for (const sizes *s = refused[cases[i].relation]; s->n >= 0; s++) {
            cases[i].now = *s;
            refuses(l, &cases[i]);
        }
        cases[i].now = (sizes){2, 2};
    }
}

int main(void) {
    ctx = xfc_ctx_new();
    graph = xfc_graph_new(ctx, "clash");
    b.graph = graph;
    maps();
    products();
    norms();
    attentions();
    views();
    indices();
    const char *names[MAX_CASES];
    for (uint32_t i = 0; i < n_cases; i++) names[i] = cases[i].name;
    xfc_graph_set_outputs(graph, results, names, n_cases);
    compiled c;
    loaded l = {0};
    if (!CHECK(compiled_make(&c, graph, (diff_how){.level = 2, .reparse = true, .isas = 7}))) return test_end();
    l.xf = compiled_load(&c, &l.so);
    if (CHECK(l.xf != NULL) && CHECK(l.xf->open(NULL, &l.model) == XF_OK) &&
        CHECK(l.xf->ctx_create(l.model, NULL, &l.run) == XF_OK))
        try_sizes(&l);
    if (l.xf) l.xf->ctx_destroy(l.run), l.xf->release(l.model), dlclose(l.so);
    compiled_free(&c);
    xfc_graph_free(graph);
    xfc_ctx_free(ctx);
    return test_end();
}

/* prenorm_test.c - how exact pre-rmsnorm and pre-crmsnorm are, in numbers.
 *
 * A pre-norm transformer of six blocks (attention and an MLP each, random scale and bias in every norm) is built in
 * double and in a smaller type with the same weights. Against the double network: the converted one must be the same
 * to 1e-12 in double, and in the smaller type at most twice as far away as the network before the conversion, for
 * biases whose mean is 0, 5 and 100 (large means are what a layernorm must subtract and a converted one never sees).
 * Every stream value that a norm reads must have mean 0. Both passes must have converted every norm.
 */
#include "ir/build.h"
#include "ir/eval/eval.h"
#include "passes/pass.h"
#include "tests/unit/test.h"

#include <math.h>

enum { BLOCKS = 6, WIDTH = 64, HEADS = 4, TOKENS = 17, HIDDEN = 128, CLASSES = 10, NORMS = 2 * BLOCKS + 1 };

typedef struct {
    xfc_ctx *ctx;
    xfc_builder b;
    xfc_dtype dtype, weights; /* of the graph; what weights are rounded to first */
    uint64_t seed;
    double mean; /* of the biases that write the stream */
} net;

/* --- the network --- */

static double normal(net *n) {
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)test_between(&n->seed, -1000000, 1000000) * 1e-6;
    return sum * 0.87; /* deviation 1, about */
}

static double rounded(xfc_dtype t, double v) {
    double data[1];
    xfc_element_set_f(t, data, 0, v);
    return xfc_tensor_get_f(&(xfc_tensor){.dtype = t, .count = 1, .data = data}, 0);
}

static xfc_value *weight(net *n, uint32_t rank, int64_t rows, int64_t columns, double scale, double mean) {
    int64_t dim[2] = {rank == 2 ? rows : columns, columns};
    void *data = xfc_tensor_alloc(n->ctx, n->dtype, rank, dim);
    for (int64_t i = 0; i < rows * columns; i++)
        xfc_element_set_f(n->dtype, data, i, rounded(n->weights, mean + scale * normal(n)));
    return xfc_b_const(&n->b, xfc_tensor_new(n->ctx, n->dtype, rank, dim, data, NULL));
}

static xfc_value *linear(net *n, xfc_value *x, int64_t rows, int64_t columns, double mean) {
    xfc_value *in[3] = {x, weight(n, 2, rows, columns, 1 / sqrt((double)rows), 0)};
    in[2] = weight(n, 1, 1, columns, 0.1, mean);
    return xfc_build(&n->b, XFC_OP_LINEAR, in, 3, NULL, 0);
}

static xfc_value *norm(net *n, xfc_value *x) {
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_float(XFC_K_EPS, 1e-6)};
    xfc_value *in[3] = {x, weight(n, 1, 1, WIDTH, 0.3, 1)};
    in[2] = weight(n, 1, 1, WIDTH, 0.3, 0);
    return xfc_build(&n->b, XFC_OP_LAYERNORM, in, 3, attr, XFC_COUNT(attr));
}

static xfc_value *heads(net *n, xfc_value *qkv, int64_t part) {
    static const int64_t one[] = {1, 1}, perm[] = {0, 2, 1, 3};
    xfc_int start[] = {xfc_int_const(n->ctx, 0), xfc_int_const(n->ctx, part * WIDTH)};
    xfc_int size[] = {xfc_int_const(n->ctx, TOKENS), xfc_int_const(n->ctx, WIDTH)};
    xfc_int dim[] = {xfc_int_const(n->ctx, 1), size[0], xfc_int_const(n->ctx, HEADS),
                     xfc_int_const(n->ctx, WIDTH / HEADS)};
    return xfc_b_transpose(&n->b, xfc_b_reshape(&n->b, xfc_b_slice(&n->b, qkv, start, size, one), dim, 4), perm);
}

static xfc_value *block(net *n, xfc_value *x) {
    static const int64_t perm[] = {0, 2, 1, 3};
    xfc_attr scale = xfc_attr_float(XFC_K_SCALE, 0.25);
    xfc_value *qkv = linear(n, norm(n, x), WIDTH, 3 * WIDTH, 0);
    xfc_value *in[] = {heads(n, qkv, 0), heads(n, qkv, 1), heads(n, qkv, 2)};
    xfc_value *a = xfc_b_transpose(&n->b, xfc_build(&n->b, XFC_OP_ATTENTION, in, 3, &scale, 1), perm);
    a = xfc_b_reshape(&n->b, a, x->type.dim, 2);
    x = xfc_b_binary(&n->b, XFC_OP_ADD, x, linear(n, a, WIDTH, WIDTH, n->mean));
    xfc_value *h = xfc_build(&n->b, XFC_OP_GELU, (xfc_value *[]){linear(n, norm(n, x), WIDTH, HIDDEN, 0)}, 1, NULL, 0);
    return xfc_b_binary(&n->b, XFC_OP_ADD, x, linear(n, h, HIDDEN, WIDTH, n->mean));
}

/* The same weights for the same mean, whatever the types. */
static xfc_graph *network(xfc_ctx *ctx, xfc_dtype dtype, xfc_dtype weights, double mean) {
    xfc_int dim[] = {xfc_int_const(ctx, TOKENS), xfc_int_const(ctx, WIDTH)};
    net n = {.ctx = ctx, .b = {.graph = xfc_graph_new(ctx, "net")}, .dtype = dtype, .weights = weights, .mean = mean};
    n.seed = 4711;
    xfc_value *x = xfc_graph_add_input(n.b.graph, "x", xfc_type_make(dtype, 2, dim));
    x = linear(&n, x, WIDTH, WIDTH, mean);
    x = xfc_b_binary(&n.b, XFC_OP_ADD, x, weight(&n, 2, TOKENS, WIDTH, 0.5, mean));
    for (int i = 0; i < BLOCKS; i++) x = block(&n, x);
    x = linear(&n, norm(&n, x), WIDTH, CLASSES, 0);
    CHECK(xfc_graph_set_outputs(n.b.graph, &x, (const char *[]){"y"}, 1) != NULL);
    return n.b.graph;
}

/* --- running it --- */

static uint32_t count(const xfc_graph *g, xfc_opcode code) {
    uint32_t n = 0;
    xfc_foreach_op(op, g) n += op->code == code;
    return n;
}

/* The largest |mean| / rms of a row that a norm reads. */
static void look_at_stream(void *user, const xfc_op *op, const xfc_array *out) {
    double *worst = user;
    bool read = false;
    for (uint32_t i = 0; i < op->n_out; i++)
        xfc_foreach_use(u, &op->out[i]) read |= u->user->code == XFC_OP_RMSNORM && u == &u->user->in[0];
    if (!read) return;
    xfc_tensor t = {.dtype = out->dtype, .count = out->count, .data = out->data};
    for (int64_t r = 0; r < TOKENS; r++) {
        double sum = 0, square = 0;
        for (int64_t j = 0; j < WIDTH; j++) {
            double v = xfc_tensor_get_f(&t, r * WIDTH + j);
            sum += v;
            square += v * v;
        }
        *worst = fmax(*worst, fabs(sum / (double)WIDTH) / sqrt(square / (double)WIDTH));
    }
}

static void run(const xfc_graph *g, xfc_dtype weights, double *y, double *worst) {
    xfc_arena *arena = xfc_arena_new();
    xfc_dtype t = g->in[0]->type.dtype;
    uint64_t seed = 99;
    xfc_array in = {.dtype = t, .rank = 2, .dim = {TOKENS, WIDTH}, .count = TOKENS * WIDTH}, out;
    in.data = xfc_alloc_array(arena, (size_t)in.count, 8, 64);
    for (int64_t i = 0; i < in.count; i++)
        xfc_element_set_f(t, in.data, i, rounded(weights, (double)test_between(&seed, -1000000, 1000000) * 1e-6));
    xfc_eval_opts opts = {.arena = arena, .tap = worst ? look_at_stream : NULL, .user = worst};
    CHECK(xfc_eval_graph(g, &in, 1, &out, &opts) == XFC_OK);
    xfc_tensor view = {.dtype = t, .count = out.count, .data = out.data};
    for (int64_t i = 0; i < TOKENS * CLASSES; i++) y[i] = xfc_tensor_get_f(&view, i);
    xfc_arena_free(arena);
}

static double distance(const double *a, const double *b) {
    double worst = 0, size = 0;
    for (int64_t i = 0; i < TOKENS * CLASSES; i++) {
        worst = fmax(worst, isnan(a[i]) ? HUGE_VAL : fabs(a[i] - b[i]));
        size = fmax(size, fabs(b[i]));
    }
    return worst / size;
}

/* The error of the network after the pass (NULL: as it is). */
static double error_of(xfc_ctx *ctx, const char *pass, xfc_dtype t, xfc_dtype weights, double mean, const double *ref,
                       double *worst) {
    static double y[TOKENS * CLASSES];
    xfc_graph *g = network(ctx, t, weights, mean);
    xfc_run_opts opts = {.verify = true, .bisect_limit = -1, .passes = {.pre_crmsnorm = XFC_FORCE}};
    if (pass) {
        bool crms = pass[4] == 'c';
        CHECK(xfc_run_passes(&g, NULL, pass, &opts) == XFC_OK);
        CHECK(count(g, XFC_OP_LAYERNORM) == 0 && count(g, XFC_OP_REDUCE_MEAN) == 0);
        CHECK(count(g, crms ? XFC_OP_CRMSNORM : XFC_OP_RMSNORM) == NORMS);
    }
    run(g, weights, y, worst);
    xfc_graph_free(g);
    return distance(y, ref);
}

static void check_type(xfc_dtype t, double mean) {
    static double ref[TOKENS * CLASSES];
    double worst = 0;
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_graph *g = network(ctx, XFC_F64, t, mean);
    run(g, t, ref, NULL);
    xfc_graph_free(g);
    double exact = error_of(ctx, "pre-rmsnorm", XFC_F64, t, mean, ref, NULL);
    double exact_crms = error_of(ctx, "pre-crmsnorm", XFC_F64, t, mean, ref, NULL);
    double before = error_of(ctx, NULL, t, t, mean, ref, NULL);
    double after = error_of(ctx, "pre-rmsnorm", t, t, mean, ref, &worst);
    double crms = error_of(ctx, "pre-crmsnorm", t, t, mean, ref, NULL);
    printf(
        "%-4s biases of mean %3g: before %.2e, rms %.2e, crms %.2e; in double rms %.1e, crms %.1e; |mean| / rms %.1e\n",
        xfc_dtype_name(t), mean, before, after, crms, exact, exact_crms, worst);
    CHECK(exact <= 1e-12 && exact_crms <= 1e-12);
    CHECK(after <= 2 * before && crms <= 4 * before);
    if (t == XFC_F32) CHECK(worst < 1e-5);
    xfc_ctx_free(ctx);
}

int main(void) {
    static const xfc_dtype types[] = {XFC_F32, XFC_F16, XFC_BF16};
    static const double means[] = {0, 5, 100};
    for (uint32_t t = 0; t < XFC_COUNT(types); t++)
        for (uint32_t m = 0; m < XFC_COUNT(means); m++) check_type(types[t], means[m]);
    return test_end();
}

/* prune_test.c - a network without some of its blocks, heads and neurons is the one where those add 0.
 *
 * The network has a post-norm layer, a pre-norm one with one product for q, k and v, attention with one head of keys for
 * all and one where two heads share keys, a gated FFN, weights that two layers share, and two blocks that cannot be parted.
 * Random levels of all sites go; the reference is the same network with the rows of the readers' weights set to 0, and
 * branches times 0, both run by the interpreter. What is said to be saved is. Nothing gone: the same text as before. With
 * samples, what goes first is what is missed least, alone, and what goes leaves its mean: the reference, on the one sample, has means over tokens in place of what is gone.
 */
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "passes/lossy/prune.h"
#include "passes/pass.h"
#include "tests/unit/test.h"

#include <math.h>

enum { ROUNDS = 30, COUNT_X = 80 };

#define C(name, dims, seed) "%" name " = const : f32[" dims "] = random " seed " "
#define HEADS(from, to)                                                                                                \
    "%" to "0 = reshape %" from " {shape = [2, 5, 4, 6]} %" to " = transpose %" to "0 {perm = [0, 2, 1, 3]} "
#define JOINED(from, to)                                                                                               \
    "%" to "0 = transpose %" from " {perm = [0, 2, 1, 3]} %" to " = reshape %" to "0 {shape = [2, 5, 24]} "
#define NORM(from, to) "%" to " = layernorm %" from " {axis = 2, eps = 1e-5} "
#define PART(i, to)                                                                                                    \
    "%" to "0 = slice %qkv {start = [" i ", 0, 0, 0, 0], size = [1, 2, 4, 5, 6], step = [1, 1, 1, 1, 1]} "             \
    "%" to " = reshape %" to "0 {shape = [2, 4, 5, 6]} "

static const char text[] = "graph @net(%x: f32[2, 5, 8]) -> (f32[2, 5, 8] \"y\") { " C("p", "5, 8", "30") C(
    "wq", "8, 24", "1") C("wk", "8, 24", "2") C("wv", "8, 24", "3") C("wo", "24, 8", "4") C("bq", "24", "5")
    C("bv", "24", "6") C("bo", "8", "7") C("m", "4, 5, 5", "8") C("w1", "8, 16", "9") C("b1", "16", "10") C(
        "w2", "16, 8", "11") C("wm", "8, 72", "12") C("bm", "72", "13") C("wi", "8, 6", "14") C("w3", "8, 16", "15")
        C("wj", "8, 12", "16") C("wn", "16, 8", "17") C("s", "8", "18") C(
            "g", "24",
            "19") "%s0 = add %x, %p "
                  /* post-norm */
                  "%q1 = linear %s0, %wq, %bq %k1 = linear %s0, %wk %v1 = linear %s0, %wv, %bv " HEADS("q1",
                                                                                                       "q2") HEADS("k1",
                                                                                                                   "k2")
                      HEADS("v1", "v2") "%a1 = attention %q2, %k2, %v2, %m {scale = 0.4} " JOINED(
                          "a1",
                          "o1") "%o2 = linear %o1, %wo, %bo "
                                "%s1 = add %o2, %s0 " NORM("s1", "n1") "%f1 = linear %n1, %w1, %b1 %f2 = gelu %f1 %f3 = linear %f2, %w2, %bo %s2 = add %n1, %f3 " NORM(
                                    "s2", "n2")
    /* pre-norm; a scale on the branch; weights that two layers share */
    NORM(
        "n2",
        "n3") "%t1 = linear %n3, %wm, %bm %t2 = reshape %t1 {shape = [2, 5, 3, 4, 6]} "
              "%qkv = transpose %t2 {perm = [2, 0, 3, 1, 4]} " PART("0", "q3") PART("1", "k3")
                  PART("2", "v3") "%a2 = attention %q3, %k3, %v3 {scale = 0.4} " JOINED(
                      "a2",
                      "o3") "%o4 = linear %o3, %wo %o5 = mul %o4, %s "
                            "%s3 = add %n2, %o5 " NORM(
                                "s3",
                                "n4") "%u1 = linear %n4, %w1 %u2 = linear %n4, %w3, %b1 %u3 = sigmoid %u1 %u4 = mul %u1, %u3 "
                                      "%u5 = mul %u4, %u2 %u6 = linear %u5, %w2 %s4 = add %s3, %u6 "
    /* one head of keys and values for all */
    NORM("s4", "n5") "%c1 = linear %n5, %wq %c2 = linear %n5, %wi " HEADS(
        "c1", "c3") "%c4 = reshape %c2 {shape = [2, 1, 5, 6]} %c5 = expand %c4 {shape = [2, 4, 5, 6]} "
                    "%a3 = attention %c3, %c5, %c5 {scale = 0.4} " JOINED(
                        "a3", "o6") "%o7 = linear %o6, %wo, %bo %s5 = add %o7, %s4 "
    /* two heads share keys */
    NORM("s5", "n6") "%d1 = linear %n6, %wk %d2 = linear %n6, %wj " HEADS(
        "d1", "d3") "%d4 = reshape %d2 {shape = [2, 5, 2, 1, 6]} %d5 = transpose %d4 {perm = [0, 2, 3, 1, 4]} "
                    "%d6 = expand %d5 {shape = [2, 2, 2, 5, 6]} %d7 = reshape %d6 {shape = [2, 4, 5, 6]} "
                    "%a4 = attention %d3, %d7, %d7 {scale = 0.4} " JOINED(
                        "a4", "o8") "%o9 = linear %o8, %wo %s6 = add %s5, %o9 "
    /* norms over what would be parted */
    NORM("s6", "n7") "%h1 = linear %n7, %w1 %h2 = gelu %h1 " NORM("h2", "h3") "%h4 = linear %h3, %wn %s7 = add %h4, %s6 " NORM(
        "s7",
        "n8") "%e1 = linear %n8, %wq " HEADS("e1",
                                             "e2") "%a5 = attention %e2, %e2, %e2 {scale = 0.4} " JOINED("a5",
                                                                                                         "e3") "%e4 = layernorm %e3, %g {axis = 2, eps = 1e-5} %e5 = linear %e4, %wo %y = add %s7, %e5 return %y }";

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_graph *graph;
    xfc_lossy_request request;
    xfc_pass pass;
    xfc_lossy l;
} network;

static bool make(network *n, xfc_ctx *ctx, xfc_arena *arena, xfc_oracle *oracle) {
    *n = (network){.ctx = ctx, .arena = arena, .request.kind = XFC_LOSSY_PRUNE};
    n->graph = xfc_parse_graph(ctx, text, sizeof text - 1, "net");
    if (!n->graph) xfc_diags_print(ctx, stderr, false);
    n->pass = (xfc_pass){.graph = n->graph, .scratch = arena};
    return CHECK(n->graph != NULL) && CHECK(xfc_lossy_sites(&n->pass, &n->request, oracle, &n->l) == XFC_OK);
}

static void finish(network *n) {
    if (n->graph) xfc_graph_free(n->graph);
}

static void check_sites(const network *n) {
    xfc_buf names = {.arena = n->arena};
    for (uint32_t i = 0; i < n->l.n_sites; i++) {
        const xfc_lossy_site *s = &n->l.site[i];
        xfc_buf_printf(&names, "%s:%u ", s->what, (unsigned)s->levels);
        CHECK(!s->why && s->saves[0] == 0 && s->asked == (s->levels > 2));
        for (uint32_t k = 0; k < s->levels; k++) CHECK(s->saves[k] < s->saves[k + 1] && s->says[k + 1]);
    }
    CHECK_STR(names.text, "attention0:4 ffn0:8 attention1:4 ffn1:8 attention2:4 attention3:2 "
                          "ffn2 (as a whole only: no part of 'h3' (layernorm) is computed alone):1 "
                          "attention4 (as a whole only: no part of 'e4' (layernorm) is computed alone):1 ");
}

/* --- the reference --- */

static void add_nothing(xfc_graph *g, const xfc_prune_block *b) {
    xfc_builder at = {.graph = g, .before = b->join};
    xfc_value *zero = xfc_b_scalar_f(&at, XFC_F32, 0);
    xfc_op_set_in(b->join, b->side, xfc_b_binary(&at, XFC_OP_MUL, b->join->in[b->side].value, zero));
}

static void zero_unit(xfc_graph *g, const xfc_prune_block *b, xfc_part unit) {
    xfc_builder at = {.graph = g, .before = b->reader};
    const xfc_tensor *w = xfc_prune_weight(b);
    float *data = xfc_tensor_alloc(g->ctx, XFC_F32, 2, w->dim);
    memcpy(data, w->data, w->bytes);
    for (uint32_t k = 0; k < unit.n; k++)
        for (int64_t j = 0; j < w->dim[1]; j++) data[unit.at[k] * w->dim[1] + j] = 0;
    xfc_op_set_in(b->reader, 1, xfc_b_const(&at, xfc_tensor_new(g->ctx, XFC_F32, 2, w->dim, data, NULL)));
}

static void add_zeros(network *n, const uint32_t *level) {
    for (uint32_t i = 0; i < n->l.n_sites; i++) {
        const xfc_prune_block *b = n->l.site[i].data;
        if (level[i] == n->l.site[i].levels) add_nothing(n->graph, b);
        for (uint32_t k = 0; k < level[i] && level[i] < n->l.site[i].levels; k++) zero_unit(n->graph, b, b->unit[k]);
    }
}

/* --- comparing --- */

static void random_x(float *x, uint64_t *seed) {
    for (int i = 0; i < COUNT_X; i++) x[i] = (float)test_between(seed, -1000, 1000) * 1e-3f;
}

static void compare(network *pruned, network *zeroed, float *x) {
    xfc_array in = {XFC_F32, 3, {2, 5, 8}, COUNT_X, x}, got, want;
    xfc_buf defects = {.arena = pruned->arena};
    double worst = 0, largest = 0;
    CHECK(xfc_verify(pruned->graph, &defects));
    xfc_eval_opts opts = {.arena = pruned->arena};
    if (!CHECK(xfc_eval_graph(pruned->graph, &in, 1, &got, &opts) == XFC_OK)) return;
    if (!CHECK(xfc_eval_graph(zeroed->graph, &in, 1, &want, &opts) == XFC_OK)) return;
    for (int i = 0; i < COUNT_X; i++) {
        worst = fmax(worst, fabs((double)((float *)got.data)[i] - (double)((float *)want.data)[i]));
        largest = fmax(largest, fabs((double)((float *)want.data)[i]));
    }
    CHECK(isfinite(largest) && worst <= 1e-5 * largest);
}

static void check_round(uint64_t *seed, int64_t of) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_arena *arena = xfc_arena_new();
    network pruned = {0}, zeroed = {0};
    if (make(&pruned, ctx, arena, NULL) && make(&zeroed, ctx, arena, NULL)) {
        uint32_t *level = xfc_new_array(arena, uint32_t, pruned.l.n_sites);
        double saves = 0;
        check_sites(&pruned);
        for (uint32_t i = 0; i < pruned.l.n_sites; i++) {
            if (!test_between(seed, 0, of)) level[i] = (uint32_t)test_between(seed, 0, pruned.l.site[i].levels);
            saves += pruned.l.site[i].saves[level[i]];
        }
        double all = xfc_lossy_total(zeroed.graph, NULL);
        CHECK(xfc_prune_apply(&pruned.l, level) == XFC_OK);
        CHECK(xfc_run_passes(&pruned.graph, NULL, "dce", NULL) == XFC_OK);
        CHECK(fabs(all - saves - xfc_lossy_total(pruned.graph, NULL)) < 1e-6 * all);
        float x[COUNT_X];
        random_x(x, seed);
        add_zeros(&zeroed, level);
        compare(&pruned, &zeroed, x);
    }
    finish(&pruned);
    finish(&zeroed);
    xfc_arena_free(arena);
    xfc_ctx_free(ctx);
}

/* --- means --- */

/* What samples give, by the interpreter. */
static xfc_status interpret(xfc_oracle *oracle, xfc_graph *g, const xfc_samples *s, xfc_oracle_see *see, void *user,
                            double *seconds) {
    xfc_status status = XFC_OK;
    (void)oracle, (void)seconds;
    for (uint32_t k = 0; k < s->n && status == XFC_OK; k++) {
        xfc_arena *arena = xfc_arena_new();
        xfc_array *in = xfc_new_array(arena, xfc_array, s->n_in), *out = xfc_new_array(arena, xfc_array, g->n_out);
        const xfc_tensor **seen = xfc_new_array(arena, const xfc_tensor *, g->n_out);
        for (uint32_t i = 0; i < s->n_in; i++) {
            const xfc_tensor *t = s->in[k][i];
            in[i] =
                (xfc_array){.dtype = t->dtype, .rank = t->rank, .count = t->count, .data = (void *)(uintptr_t)t->data};
            memcpy(in[i].dim, t->dim, t->rank * sizeof *t->dim);
        }
        status = xfc_eval_graph(g, in, s->n_in, out, &(xfc_eval_opts){.arena = arena});
        for (uint32_t i = 0; i < g->n_out && status == XFC_OK; i++)
            seen[i] = xfc_tensor_copy(g->ctx, out[i].dtype, out[i].rank, out[i].dim, out[i].data, NULL);
        if (status == XFC_OK) status = see(user, k, seen);
        xfc_arena_free(arena);
    }
    return status;
}

typedef struct {
    xfc_oracle base; /* first */
    network *exact;
    const xfc_tensor *want;
    double error;
} interpreter;

static xfc_status see_want(void *user, uint32_t sample, const xfc_tensor *const *out) {
    (void)sample;
    ((interpreter *)user)->want = out[0];
    return XFC_OK;
}

static xfc_status see_error(void *user, uint32_t sample, const xfc_tensor *const *out) {
    interpreter *o = user;
    double differ = 0, all = 0;
    (void)sample;
    for (int64_t i = 0; i < out[0]->count; i++) {
        double want = xfc_tensor_get_f(o->want, i), d = xfc_tensor_get_f(out[0], i) - want;
        differ += d * d, all += want * want;
    }
    o->error = differ / all;
    return XFC_OK;
}

static xfc_status differ(xfc_oracle *base, xfc_graph *g, double *error) {
    interpreter *o = (interpreter *)base;
    XFC_TRY(interpret(base, o->exact->graph, base->fit, see_want, o, NULL));
    XFC_TRY(interpret(base, g, base->fit, see_error, o, NULL));
    *error = o->error;
    return XFC_OK;
}

static xfc_value *mean_of_tokens(xfc_builder *at, xfc_value *v) {
    static const int64_t axes[] = {0, 1};
    xfc_value *mean = xfc_b_reduce(at, XFC_OP_REDUCE_MEAN, v, axes, 2, false);
    return xfc_b_expand(at, mean, v->type.dim, v->type.rank);
}

/* x, and where it is gone its mean. */
static xfc_value *with_means(xfc_builder *at, xfc_value *x, const xfc_prune_block *b, uint32_t n_units) {
    int64_t size = b->unit[0].period;
    bool *gone = xfc_tensor_alloc(at->graph->ctx, XFC_BOOL, 1, &size);
    for (uint32_t i = 0; i < n_units; i++)
        for (uint32_t k = 0; k < b->unit[i].n; k++) gone[b->unit[i].at[k]] = true;
    xfc_value *is_gone = xfc_b_const(at, xfc_tensor_new(at->graph->ctx, XFC_BOOL, 1, &size, gone, NULL));
    is_gone = xfc_b_expand(at, is_gone, x->type.dim, x->type.rank);
    return xfc_b_select(at, is_gone, mean_of_tokens(at, x), x);
}

static void add_means(network *n, uint32_t site, uint32_t level) {
    const xfc_prune_block *b = n->l.site[site].data;
    bool whole = level == n->l.site[site].levels;
    xfc_op *op = whole ? b->join : b->reader;
    uint32_t i = whole ? b->side : 0;
    xfc_builder at = {.graph = n->graph, .before = op};
    xfc_value *v = op->in[i].value;
    xfc_op_set_in(op, i, whole ? mean_of_tokens(&at, v) : with_means(&at, v, b, level));
}

static void check_means(uint64_t *seed, uint32_t site, uint32_t level) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_arena *arena = xfc_arena_new();
    float x[COUNT_X];
    random_x(x, seed);
    const xfc_tensor *in = xfc_tensor_copy(ctx, XFC_F32, 3, (int64_t[]){2, 5, 8}, x, NULL), *const *sample = &in;
    const char *const name = "x";
    xfc_samples samples = {.n = 1, .n_in = 1, .input = &name, .name = &name, .in = &sample};
    network exact = {0}, pruned = {0}, whole = {0};
    interpreter oracle = {{.fit = &samples, .judge = &samples, .run = interpret, .differ = differ}, &exact, NULL, 0};
    bool made = make(&exact, ctx, arena, NULL);
    if (made && make(&pruned, ctx, arena, &oracle.base) && make(&whole, ctx, arena, &oracle.base)) {
        uint32_t *levels = xfc_new_array(arena, uint32_t, pruned.l.n_sites);
        levels[site] = level;
        CHECK(xfc_prune_apply(&pruned.l, levels) == XFC_OK);
        CHECK(xfc_run_passes(&pruned.graph, NULL, "dce", NULL) == XFC_OK);
        add_means(&whole, site, level);
        compare(&pruned, &whole, x);
    }
    finish(&exact);
    finish(&pruned);
    finish(&whole);
    xfc_arena_free(arena);
    xfc_ctx_free(ctx);
}

/* Units stand in the order of how far outputs are off without each alone. */
static void check_order(uint64_t *seed) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_arena *arena = xfc_arena_new();
    float x[COUNT_X];
    random_x(x, seed);
    const xfc_tensor *in = xfc_tensor_copy(ctx, XFC_F32, 3, (int64_t[]){2, 5, 8}, x, NULL), *const *sample = &in;
    const char *const name = "x";
    xfc_samples samples = {.n = 1, .n_in = 1, .input = &name, .name = &name, .in = &sample};
    network exact = {0}, ranked = {0};
    interpreter oracle = {{.fit = &samples, .judge = &samples, .run = interpret, .differ = differ}, &exact, NULL, 0};
    bool made = make(&exact, ctx, arena, NULL) && make(&ranked, ctx, arena, &oracle.base);
    for (uint32_t i = 0; made && i < ranked.l.n_sites; i++) {
        const xfc_prune_block *b = ranked.l.site[i].data;
        double before = 0, error;
        for (uint32_t k = 0; k < b->n_units; k++, before = error) {
            network without = {0};
            if (!make(&without, ctx, arena, NULL)) return;
            zero_unit(without.graph, without.l.site[i].data, b->unit[k]);
            CHECK(differ(&oracle.base, without.graph, &error) == XFC_OK && error >= before * 0.999);
            finish(&without);
        }
    }
    finish(&exact);
    finish(&ranked);
    xfc_arena_free(arena);
    xfc_ctx_free(ctx);
}

static void check_nothing_gone(void) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_arena *arena = xfc_arena_new();
    network n = {0};
    xfc_buf before = {.arena = arena}, after = {.arena = arena};
    if (make(&n, ctx, arena, NULL)) {
        xfc_print_graph(&before, n.graph, &(xfc_print_opts){.data_inline = true});
        CHECK(xfc_prune_apply(&n.l, xfc_new_array(arena, uint32_t, n.l.n_sites)) == XFC_OK);
        xfc_print_graph(&after, n.graph, &(xfc_print_opts){.data_inline = true});
        CHECK_STR(before.text, after.text);
    }
    finish(&n);
    xfc_arena_free(arena);
    xfc_ctx_free(ctx);
}

int main(void) {
    static const uint32_t levels[] = {4, 8, 4, 8, 4, 2, 1, 1};
    uint64_t seed = 77;
    check_nothing_gone();
    for (int i = 0; i < ROUNDS; i++) check_round(&seed, i % 6); /* from all blocks to one in six */
    for (uint32_t site = 0; site < XFC_COUNT(levels); site++)
        for (uint32_t level = 1; level <= levels[site]; level += levels[site] > 4 ? 7 : 1)
            check_means(&seed, site, level);
    check_order(&seed);
    return test_end();
}

/* test_plan.c - from a planned graph to the plan blob: kernels, symbols, flops, hashes, bytes. */
#include "backends/artefact.h"
#include "ir/text/text.h"
#include "runtime/plan.h"
#include "tests/unit/test.h"
#include "xfc/check.h"

static void free_graph(void *g) { xfc_graph_free(g); }

/* The graph lives as long as the context. */
static xfc_graph *parse(xfc_ctx *ctx, const char *text) {
    xfc_graph *g = xfc_parse_graph(ctx, text, strlen(text), "test.xf");
    if (g) xfc_ctx_at_exit(ctx, free_graph, g);
    xfc_diags_print(ctx, stderr, false);
    return g;
}

/* --- SHA-256: the vectors of FIPS 180-4 --- */

static void check_digest(const char *text, size_t n, uint32_t repeat, const char *want) {
    xfc_sha256 s;
    uint8_t digest[32];
    char hex[65];
    xfc_sha256_init(&s);
    for (uint32_t i = 0; i < repeat; i++) xfc_sha256_add(&s, text, n);
    xfc_sha256_end(&s, digest);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    CHECK_STR(hex, want);
}

static void test_sha256(void) {
    check_digest("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, 1,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_digest("aaaaaaa", 7, 142857, "6c7aaf9baa56d59e3651f608e2fb587688382cbc78c8b39abbdb916a00a52098");
    check_digest("a", 1, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* --- kernels and symbols --- */

#define MAP(out, in, op, node)                                                                                         \
    "  %" out " = kernel \"map\" %" in ", %w : f32[b, t] {\n"                                                          \
    "    axis i in b threads\n    grain 64\n"                                                                          \
    "    nest c in t vector {\n      a = load f32 %" in "[i, c]\n      w = load f32 %w[0]\n"                           \
    "      m = " op " f32 a, w\n      store %" out "[i, c] = m\n    }\n    fused \"" node "\" \"Mul\" 17\n  }\n"

#define MODEL(weight)                                                                                                  \
    "graph @planned[b, t in 2..9](%x: f32[b, t]) -> (f32[b, t] \"y\") stage planned {\n"                               \
    "  require b == t * 2 @ \"here\" \"Reshape\" 17\n"                                                                 \
    "  %w = const \"w\" : f32[1] = " weight "\n" MAP("h", "x", "mul", "n/1") MAP("k", "h", "add", "n/2")               \
        MAP("y", "k", "mul", "n/3") "  return %y\n"                                                                    \
                                    "  plan {\n    work b * t * 4 + ((b * t * 4 + 63) floordiv 64) * 64\n    weights " \
                                    "64\n    weight %w at 0\n    %x input 0\n"                                         \
                                    "    %w weight at 0\n    %h work at 0\n    %k work at ((b * t * 4 + 63) floordiv " \
                                    "64) * 64\n    %y output 0\n  }\n}\n"

static xfc_kernel_set set_of(const xfc_graph *g) { return xfc_kernel_set_of(&g, 1, g->arena); }

static xfc_status plan_of(const xfc_graph *g, const char *const *meta, xfc_blob *out) {
    const xfc_kernel_set set = set_of(g);
    return xfc_plan_blobs(&set, meta, out);
}

static void test_kernels(xfc_ctx *ctx) {
    xfc_graph *g = parse(ctx, MODEL("[2.0]"));
    if (!CHECK(g != NULL)) return;
    xfc_kernel_set set = set_of(g);
    CHECK_INT(set.n_steps, 3);
    CHECK_INT(set.n_kernels, 2); /* the two products are one kernel on other operands */
    CHECK_INT(set.step[0].number, 0);
    CHECK_INT(set.step[1].number, 1);
    CHECK_INT(set.step[2].number, 0);
    xfc_int *symbol = NULL;
    if (!CHECK_INT(xfc_graph_symbols(g, g->arena, &symbol), 2)) return;
    CHECK_STR(xfc_int_look(ctx, symbol[0])->name, "b");
    CHECK_STR(xfc_int_look(ctx, symbol[1])->name, "t");
}

/* Equal code over other dims is one kernel, which each step gives its own; a dim of which more is known has its own
 * code. */
static void test_shared_kernels(xfc_ctx *ctx) {
#define NEGATE(out, in, dim)                                                                                           \
    "  %" out " = kernel \"map\" %" in " : f32[" dim "] {\n    grain 1\n    nest c in " dim                            \
    " vector {\n      a = load f32 %" in "[c]\n      m = neg f32 a\n      store %" out "[c] = m\n    }\n  }\n"
    xfc_graph *g =
        parse(ctx, "graph @g[b, u, v, few in 0..7](%x: f32[b], %y: f32[u + v], %z: f32[few]) -> (f32[b] \"o\", "
                   "f32[u + v] \"p\", f32[v + u] \"q\", f32[few] \"r\") stage scheduled {\n" NEGATE("0", "x", "b")
                       NEGATE("1", "y", "u + v") NEGATE("2", "1", "u + v")
                           NEGATE("3", "z", "few") "  return %0, %1, %2, %3\n}\n");
    if (!CHECK(g != NULL)) return;
    const xfc_kernel_set set = set_of(g);
    const uint32_t number[] = {0, 1, 1, 2};
    CHECK_INT(set.n_kernels, 3);
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(set.step[i].number, number[i]);
    CHECK_INT(set.step[1].n_values, 2);
    CHECK_STR(xfc_int_look(ctx, set.step[0].value[0])->name, "b");
    xfc_graph *other = parse(
        ctx, "graph @h[w](%x: f32[w]) -> (f32[w] \"o\") stage scheduled {\n" NEGATE("0", "x", "w") "  return %0\n}\n");
    if (!CHECK(other != NULL)) return;
    const xfc_kernel_set both = xfc_kernel_set_of((const xfc_graph *[]){g, other}, 2, g->arena);
    CHECK_INT(both.n_kernels, 3);
    CHECK_INT(both.step[both.first[1]].number, 0); /* as the first of the other graph */
    CHECK_STR(xfc_int_look(ctx, both.step[both.first[1]].value[0])->name, "w");
}

/* Rows of two dims and rows of one are the same code, on the number of rows, unless one of the two counts by itself; so
 * are operands of other shapes that lie alike. */
static void test_rows(xfc_ctx *ctx) {
#define ROWS(out, in, dims, axes, row, index)                                                                          \
    "  %" out " = kernel \"map\" %" in " : f32[" dims ", 4] {\n" axes                                                  \
    "    grain 1\n    nest c in 4 {\n      a = load f32 %" in "[" row ", c]\n      i = index " index                   \
    "\n      k = cast f32 i\n      m = add f32 a, k\n      store %" out "[" row ", c] = m\n    }\n  }\n"
#define TWO(out, in, index) ROWS(out, in, "da, db", "    axis i in da\n    axis j in db\n", "i, j", index)
    xfc_graph *g = parse(ctx,
                         "graph @g[da in 0..8, db in 0..8, dc in 0..64](%x: f32[da, db, 4], %y: f32[1, dc, 4]) -> "
                         "(f32[da, db, 4] \"o\", "
                         "f32[1, dc, 4] \"p\", f32[da, db, 4] \"q\", f32[da, db, 4] \"r\") stage scheduled {\n" //
                         TWO("0", "x", "c")                                                                     //
                         ROWS("1", "y", "1, dc", "    axis j in dc\n", "0, j", "c")                             //
                         TWO("2", "x", "c + j") TWO("3", "x", "c + db")                                         //
                         "  return %0, %1, %2, %3\n}\n");
    if (!CHECK(g != NULL)) return;
    const xfc_kernel_set set = set_of(g);
    const uint32_t number[] = {0, 0, 1, 2}, n_values[] = {1, 1, 2, 2};
    CHECK_INT(set.n_kernels, 3);
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(set.step[i].number, number[i]);
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(set.step[i].n_values, n_values[i]);
    const xfc_int product = xfc_int_mul(ctx, g->in[0]->type.dim[0], g->in[0]->type.dim[1]);
    CHECK(xfc_int_same(set.step[0].value[0], product));
    CHECK_STR(xfc_int_look(ctx, set.step[1].value[0])->name, "dc");
#undef TWO
#undef ROWS
}

/* --- the blob --- */

static xfc_blob blob_of(xfc_ctx *ctx, const char *text) {
    static const char *const meta[] = {"xfc.version", "1", "model", "planned", NULL};
    xfc_graph *g = parse(ctx, text);
    xfc_blob out = {0};
    CHECK(g && plan_of(g, meta, &out) == XFC_OK);
    return out;
}

static void test_contents(xfc_ctx *ctx) {
    xfc_blob blob = blob_of(ctx, MODEL("[2.0]"));
    xf_plan p;
    const char *why = xf_plan_open(&p, blob.data, blob.n);
    if (!CHECK(why == NULL)) fprintf(stderr, "    %s\n", why);
    if (why) return;
    const xf_plan_header *h = p.head;
    CHECK_INT(h->n_symbols, 2);
    CHECK_INT(p.symbols[0].hi, -1);
    CHECK_INT(p.symbols[1].lo, 2);
    CHECK_INT(p.symbols[1].hi, 9);
    CHECK_INT(h->n_inputs, 1);
    CHECK_INT(h->n_outputs, 1);
    CHECK_STR(xf_plan_str(&p, p.args[1].name), "y");
    CHECK_INT(h->n_checks, 1);
    CHECK_CONTAINS(xf_plan_str(&p, p.checks[0].what), "here");
    CHECK_INT(h->weight_bytes, 64);
    CHECK_STR(xf_plan_meta(&p, "model"), "planned");
    int64_t values[256] = {6, 3};
    if (!CHECK(p.n_values <= 256 && xf_plan_eval(&p, values))) return;
    CHECK_INT(values[h->work_bytes], 72 + 128);
    CHECK_INT(values[p.checks[0].a], values[p.checks[0].b]);
    CHECK(p.checks[0].ones == 0 && p.checks[0].step == 0);
    CHECK_INT(h->n_steps, 3);
    static const uint32_t space[3][3] = {{XF_SPACE_INPUT, XF_SPACE_WEIGHT, XF_SPACE_WORK},
                                         {XF_SPACE_WORK, XF_SPACE_WEIGHT, XF_SPACE_WORK},
                                         {XF_SPACE_WORK, XF_SPACE_WEIGHT, XF_SPACE_OUTPUT}};
    for (uint32_t i = 0; i < 3; i++) {
        const xf_step_info *s = &p.steps[i];
        CHECK_INT(s->kernel, i == 1);
        CHECK_INT(values[s->tasks], 6);
        CHECK_INT(values[s->grain], 64);
        CHECK_INT(values[s->scratch], 0);
        CHECK_INT(s->flops, XF_VAL_NONE);
        CHECK_INT(s->n_in, 2);
        CHECK_INT(s->n_out, 1);
        for (uint32_t k = 0; k < 3; k++) CHECK_INT(p.operands[s->first_operand + k].space, space[i][k]);
        CHECK_INT(s->n_nodes, 1);
        CHECK_INT(xf_plan_str(&p, p.nodes[s->first_node])[2], '1' + i);
        CHECK_INT(p.args[s->first_out_arg].n_dims, 2);
    }
    CHECK_INT(values[p.operands[p.steps[1].first_operand + 2].value], 128);
    free(blob.data);
}

static void test_bytes(xfc_ctx *ctx) {
    xfc_ctx *other = xfc_ctx_new();
    xfc_int_symbol(other, "unrelated", 0, 5); /* other ids, same bytes */
    xfc_blob a = blob_of(ctx, MODEL("[2.0]")), b = blob_of(other, MODEL("[2.0]")), c = blob_of(ctx, MODEL("[3.0]"));
    CHECK(a.n == b.n && memcmp(a.data, b.data, a.n) == 0);
    const xf_plan_header *ha = a.data, *hc = c.data;
    CHECK(a.n == c.n && memcmp(ha->build_id, hc->build_id, 32) != 0); /* other weights, other id */
    free(a.data);
    free(b.data);
    free(c.data);
    xfc_ctx_free(other);
}

/* Graphs that run on the same weights: each plan knows all of them, wherever its own stand. */
static void test_shared_weights(xfc_ctx *ctx) {
    xfc_graph *g[] = {parse(ctx, MODEL("[2.0]")), parse(ctx, MODEL("[3.0]")), NULL, parse(ctx, MODEL("[4.0]")),
                      parse(ctx, MODEL("[3.0]"))};
    const int64_t place[] = {0, 64, -1, 128, 64};
    const uint32_t n = sizeof g / sizeof *g;
    if (!CHECK(g[0] && g[1] && g[3] && g[4])) return;
    xfc_share_weights(g, n);
    const xfc_kernel_set set = xfc_kernel_set_of((const xfc_graph *const *)g, n, g[0]->arena);
    xfc_blob blob[sizeof g / sizeof *g];
    if (!CHECK(xfc_plan_blobs(&set, NULL, blob) == XFC_OK)) return;
    for (uint32_t i = 0; i < n; i++) {
        xf_plan p;
        if (!g[i] || !CHECK(!xf_plan_open(&p, blob[i].data, blob[i].n))) continue;
        CHECK_INT(p.head->weight_bytes, 192);
        CHECK_INT(p.operands[p.steps[0].first_operand + 1].offset, place[i]);
        free(blob[i].data);
    }
}

/* A loop has a body. */
static void test_loop(xfc_ctx *ctx) {
    xfc_blob blob =
        blob_of(ctx, "graph @m(%n: i64[], %x: f32[4]) -> (f32[4] \"y\") stage planned {\n  %go = const : bool[] = 1\n"
                     "  %y = loop %n, %go, %x {body = @step} : f32[4]\n  return %y\n  plan {\n    work 192 bodies 0\n"
                     "    weights 64\n    weight %go at 0\n    %n input 0 at 0\n    %x input 1 at 0\n"
                     "    %go weight at 0\n    %y output 0 at 0\n  }\n}\n"
                     "graph @step(%i: i64[], %x: f32[4]) -> (bool[] \"more\", f32[4] \"next\") stage planned {\n"
                     "  %more = kernel \"map\" : bool[] {\n    grain 1\n    nest {\n      v0 = const bool 1\n"
                     "      store %more[] = v0\n    }\n  }\n"
                     "  %next = kernel \"map\" %x : f32[4] {\n    grain 1\n    nest c in 4 vector {\n"
                     "      a = load f32 %x[c]\n      store %next[c] = a\n    }\n  }\n  return %more, %next\n"
                     "  plan {\n    work 0\n    weights 0\n    %i input 0 at 0\n    %x input 1 at 0\n"
                     "    %more output 0 at 0\n    %next output 1 at 0\n  }\n}\n");
    xf_plan p;
    if (!CHECK(blob.data && !xf_plan_open(&p, blob.data, blob.n))) return;
    xf_step_info *loop = (xf_step_info *)((char *)blob.data + p.head->steps);
    CHECK_INT(loop->kind, XF_STEP_LOOP);
    CHECK_INT(loop->span, 2);
    loop->span = 0; /* it would run for as long as it is told, and no cancel would be seen */
    ((xf_plan_header *)blob.data)->check = xf_plan_check(blob.data);
    CHECK(xf_plan_open(&p, blob.data, blob.n) != NULL);
    free(blob.data);
}

static void test_unknowable_symbol(void) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_blob out;
    xfc_graph *g = parse(
        ctx,
        "graph @g[b, u](%x: f32[b + u]) -> (f32[b + u] \"y\") stage planned {\n"
        "  %y = kernel \"map\" %x : f32[b + u] {\n    grain 1\n    nest c in b + u vector {\n      a = load f32 %x[c]\n"
        "      m = exp f32 a\n      store %y[c] = m\n    }\n  }\n  return %y\n"
        "  plan {\n    work 0\n    weights 0\n    %x input 0\n    %y output 0\n  }\n}\n");
    CHECK(g && plan_of(g, NULL, &out) == XFC_ERR_UNSUPPORTED);
    CHECK(ctx->n_diags > 0 && strstr(ctx->diags[0].text, "--dim b=N"));
    xfc_ctx_free(ctx);
}

/* --- flops against the sum over all tasks --- */

#define TILE(block, p, row)                                                                                            \
    "graph @g[m, n](%x: f32[m, 20], %w: f32[(n + 47) floordiv 48, 20, 48], %z: f32[n]) -> (f32[m, n] \"y\") stage "    \
    "scheduled {\n"                                                                                                    \
    "  %y = kernel \"contract\" %x, %w, %z : f32[m, n] {\n    axis e in 3 threads\n" block p                           \
    "    temp $0: f32[80, 48]\n"                                                                                       \
    "    tile $0[0, 0] row 48 = %x[" row                                                                               \
    ", 0] row 20 by %w[q, 0, 0] {rows = rows, depth = 20, columns = min(48, n - 48 * q), panel = 48}\n"                \
    "    nest r in rows, c in min(48, n - 48 * q) vector {\n      a = load f32 $0[r, c]\n"                             \
    "      store %y[" row " + r, 48 * q + c] = a\n    }\n  }\n  return %y\n}\n"

typedef struct {
    xfc_int symbol[2];
    int64_t value[2];
} sizes;

static bool look_up(void *user, uint32_t id, int64_t *out) {
    const sizes *s = user;
    for (int i = 0; i < 2; i++)
        if (s->symbol[i].id == id) return *out = s->value[i], true;
    return false;
}

/* The tile covers every element of y once per value of the axis e: 3 * 2 * m * 20 * n. */
static void check_flops(xfc_ctx *ctx, const char *text) {
    xfc_graph *g = parse(ctx, text);
    if (!CHECK(g != NULL)) return;
    xfc_int *symbol = NULL, flops = xfc_kernel_flops(ctx, g->last->in[0].value->def->kernel);
    if (!CHECK(xfc_int_known(flops)) || !CHECK_INT(xfc_graph_symbols(g, g->arena, &symbol), 2)) return;
    for (int64_t m = 0; m < 400; m += 7)
        for (int64_t n = 0; n < 150; n += 13) {
            sizes s = {{symbol[0], symbol[1]}, {m, n}};
            int64_t got = -1;
            if (xfc_int_look(ctx, symbol[0])->name[0] == 'n') s.value[0] = n, s.value[1] = m;
            CHECK(xfc_int_evaluate(ctx, flops, look_up, &s, &got));
            CHECK_INT(got, 3 * 2 * m * 20 * n);
        }
}

static void test_flops(xfc_ctx *ctx) {
    check_flops(ctx, TILE("    axis i in (m + 79) floordiv 80 threads\n",
                          "    axis q in (n + 47) floordiv 48 threads\n    grain 1\n"
                          "    let rows = min(80, m - 80 * i) in 0..80\n",
                          "80 * i"));
    check_flops(ctx, TILE("    axis i in (m + 79) floordiv 80 threads\n",
                          "    axis q in (n + 47) floordiv 48 threads\n    grain 1\n"
                          "    let r0 = (i * m) floordiv ((m + 79) floordiv 80) in 0..m\n"
                          "    let rows = ((i + 1) * m) floordiv ((m + 79) floordiv 80) - r0 in 0..80\n",
                          "r0"));
    xfc_graph *g = parse(ctx, TILE("    axis i in (m + 79) floordiv 80 threads\n",
                                   "    axis q in (n + 47) floordiv 48 threads\n    grain 1\n"
                                   "    let rows = min(80, i * i) in 0..80\n",
                                   "i"));
    /* no closed form: no answer */
    CHECK(g && !xfc_int_known(xfc_kernel_flops(ctx, g->last->in[0].value->def->kernel)));
}

int main(void) {
    xfc_ctx *ctx = xfc_ctx_new();
    test_sha256();
    test_kernels(ctx);
    test_shared_kernels(ctx);
    test_rows(ctx);
    test_contents(ctx);
    test_bytes(ctx);
    test_shared_weights(ctx);
    test_loop(ctx);
    test_unknowable_symbol();
    test_flops(ctx);
    xfc_ctx_free(ctx);
    return test_end();
}

/* test_packed.c - the packed entry: what it answers, and every way in which cu_seqlens can be wrong. Models p, q, qn of
 * make_fake.c. */
#include "test_runtime.h"
#include <dlfcn.h>
#include <stdlib.h>

static const xf_ctx_opts one_thread = {.struct_size = sizeof(xf_ctx_opts), .num_threads = 1};

typedef struct {
    int64_t x_dim[1], y_dim[1], sums_dim[1];
    float x[64], y[64], sums[16];
    xf_tensor in[1], out[2];
} packed_call;

static void prepare(packed_call *c, int64_t tokens, int64_t n) {
    const xf_dtype f32 = {2, 32, 1};
    *c = (packed_call){.x_dim = {tokens}, .y_dim = {tokens}, .sums_dim = {n}};
    for (int i = 0; i < 64; i++) c->x[i] = (float)(i * i % 17), c->y[i] = -1;
    c->in[0] = (xf_tensor){.data = c->x, .ndim = 1, .dtype = f32, .shape = c->x_dim};
    c->out[0] = (xf_tensor){.data = c->y, .ndim = 1, .dtype = f32, .shape = c->y_dim};
    c->out[1] = (xf_tensor){.data = c->sums, .ndim = 1, .dtype = f32, .shape = c->sums_dim};
}

static bool right(const packed_call *c, const int32_t *cu, size_t n) {
    for (int32_t i = 0; i < 64; i++)
        if (c->y[i] != (i < cu[n] ? 2 * c->x[i] : -1)) return false;
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (int32_t k = cu[i]; k < cu[i + 1]; k++) sum += c->x[k];
        if (c->sums[i] != sum) return false;
    }
    return true;
}

static void test_good(const xf_api *xf, xf_ctx *ctx) {
    static const struct {
        size_t n;
        int32_t cu[8];
    } good[] = {{1, {0, 4}}, {3, {0, 2, 2, 9}}, {1, {0, 0}}, {4, {0, 0, 0, 0, 0}}, {7, {0, 1, 2, 3, 4, 13, 22, 31}}};
    packed_call c;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        prepare(&c, good[i].cu[good[i].n], (int64_t)good[i].n);
        CHECK(xf->run_packed(ctx, c.in, 1, good[i].cu, good[i].n, c.out, 2) == XF_OK &&
              right(&c, good[i].cu, good[i].n));
    }
    /* The context's own outputs; then the padded entry of the same context, and again. */
    const int32_t cu[] = {0, 3, 5};
    int64_t dims[2] = {2, 3};
    for (int round = 0; round < 2; round++) {
        prepare(&c, 5, 2);
        c.out[0] = c.out[1] = (xf_tensor){0};
        CHECK(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2) == XF_OK);
        CHECK(c.out[0].ndim == 1 && c.out[0].shape[0] == 5 && ((float *)c.out[0].data)[4] == 2 * c.x[4]);
        CHECK(c.out[1].shape[0] == 2 && ((float *)c.out[1].data)[1] == c.x[3] + c.x[4]);
        c.in[0].ndim = 2, c.in[0].shape = dims;
        CHECK(xf->run(ctx, c.in, 1, c.out, 2) == XF_OK);
        CHECK(c.out[0].ndim == 2 && c.out[0].shape[1] == 3 && ((float *)c.out[1].data)[1] == c.x[3] + c.x[4] + c.x[5]);
    }
}

static void test_bad_input(const xf_api *xf, xf_ctx *ctx) {
    const int32_t cu[] = {0, 3, 5};
    int64_t two[2] = {1, 5}, negative = -5, stride = 2;
    packed_call c;
    prepare(&c, 5, 2);
    c.in[0].dtype = (xf_dtype){0, 32, 1};
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2), XF_E_DTYPE, ctx, "'x' is int32|float32");
    prepare(&c, 5, 2);
    c.in[0].data = NULL;
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2), XF_E_ARG, ctx, "'x'|data is NULL");
    prepare(&c, 5, 2);
    c.in[0].ndim = 2, c.in[0].shape = two; /* the first dim is not compared with cu_seqlens then */
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2), XF_E_SHAPE, ctx, "'x' is [1, 5]|rank 1");
    prepare(&c, 5, 2);
    c.in[0].shape = &negative;
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2), XF_E_RANGE, ctx, "'x' has -5 tokens");
    prepare(&c, 5, 2);
    c.in[0].strides = &stride;
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2), XF_E_SHAPE, ctx, "'x'|strides");
    CHECK(c.y[0] == -1 && c.sums[0] == 0);
}

/* Nothing runs, and the context works afterwards. */
static void test_bad(const xf_api *xf, xf_ctx *ctx) {
    static const struct {
        size_t n;
        int32_t cu[4];
        xf_status want;
        const char *texts;
    } bad[] = {
        {2, {0, 3, 2}, XF_E_RANGE, "falls from 3 to 2|entry 2"},
        {2, {0, -1, 5}, XF_E_RANGE, "falls from 0 to -1|entry 1"},
        {2, {1, 3, 5}, XF_E_RANGE, "begins with 1"},
        {2, {-1, 3, 5}, XF_E_RANGE, "begins with -1"},
        {2, {0, 3, 6}, XF_E_RANGE, "ends with 6|'x' has 5 tokens"},
        {2, {0, 3, 4}, XF_E_RANGE, "ends with 4|'x' has 5 tokens"},
        {2, {0, INT32_MAX, INT32_MIN}, XF_E_RANGE, "falls"},
        {0, {0}, XF_E_ARG, "0 sequences"},
    };
    const int32_t cu[] = {0, 3, 5};
    packed_call c;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        prepare(&c, 5, 2);
        EXPECT(xf->run_packed(ctx, c.in, 1, bad[i].cu, bad[i].n, c.out, 2), bad[i].want, ctx, bad[i].texts);
        CHECK(c.y[0] == -1);
        CHECK(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2) == XF_OK && right(&c, cu, 2));
    }
    prepare(&c, 5, 2);
    EXPECT(xf->run_packed(ctx, c.in, 1, NULL, 2, c.out, 2), XF_E_ARG, ctx, "cu_seqlens is NULL");
    EXPECT(xf->run_packed(ctx, c.in, 1, (const int32_t *)(uintptr_t)((uintptr_t)cu + 1), 1, c.out, 2), XF_E_ARG, ctx,
           "not aligned");
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, SIZE_MAX, c.out, 2), XF_E_ARG, ctx, "sequences");
    EXPECT(xf->run_packed(ctx, NULL, 1, cu, 2, c.out, 2), XF_E_ARG, ctx, "0 inputs|has 1");
    EXPECT(xf->run_packed(ctx, c.in, 2, cu, 2, c.out, 2), XF_E_ARG, ctx, "2 inputs|has 1");
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 1), XF_E_ARG, ctx, "1 outputs|has 2");
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, NULL, 2), XF_E_ARG, ctx, "outputs");
    CHECK(xf->run_packed(NULL, c.in, 1, cu, 2, c.out, 2) == XF_E_ARG);
    c.in[0].shape = NULL;
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2), XF_E_SHAPE, ctx, "'x'|NULL");
    test_bad_input(xf, ctx);
    prepare(&c, 20, 2);
    const int32_t longer[] = {0, 10, 20};
    EXPECT(xf->run_packed(ctx, c.in, 1, longer, 2, c.out, 2), XF_E_SHAPE, ctx,
           "10|0..9"); /* of the model's positions */
    prepare(&c, 5, 2);
    c.out[0].data = (void *)(uintptr_t)cu;
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2), XF_E_ARG, ctx, "overlaps|cu_seqlens");
    CHECK(c.sums[0] == 0 && c.y[0] == -1);
}

static void test_planning(const xf_api *xf, xf_model *m) {
    const int32_t cu[] = {0, 3, 5}, falls[] = {0, 3, 2};
    packed_call c;
    int64_t dims[2][2];
    size_t bytes = 0;
    prepare(&c, 5, 2);
    CHECK(xf->num_packed_inputs(m) == 1 && !xf->packed_input_info(m, 1) && !xf->packed_output_info(m, 2));
    CHECK(!strcmp(xf->packed_input_info(m, 0)->name, "x") && xf->packed_input_info(m, 0)->ndim == 1);
    CHECK(!strcmp(xf->packed_output_info(m, 1)->name, "sums") && xf->packed_output_info(m, 0)->ndim == 1);
    CHECK(strstr(xf->signature_json(m), "\"packed\"") && !strstr(xf->signature_json(m), "cu_seqlens"));
    for (int i = 0; i < 2; i++) c.out[i] = (xf_tensor){.ndim = 2, .shape = dims[i]};
    CHECK(xf->packed_infer_shapes(m, c.in, 1, cu, 2, c.out, 2) == XF_OK);
    CHECK(c.out[0].ndim == 1 && dims[0][0] == 5 && dims[1][0] == 2);
    EXPECT(xf->packed_infer_shapes(m, c.in, 1, falls, 2, c.out, 2), XF_E_RANGE, NULL, "falls");
    EXPECT(xf->packed_infer_shapes(m, c.in, 1, NULL, 2, c.out, 2), XF_E_ARG, NULL, "cu_seqlens is NULL");
    EXPECT(xf->packed_infer_shapes(m, c.in, 1, cu, 0, c.out, 2), XF_E_ARG, NULL, "0 sequences");
    EXPECT(xf->packed_workspace_size(m, c.in, 1, falls, 2, 1, &bytes), XF_E_RANGE, NULL, "falls");
    EXPECT(xf->packed_workspace_size(m, c.in, 0, cu, 2, 1, &bytes), XF_E_ARG, NULL, "0 inputs|has 1");
    EXPECT(xf->packed_workspace_size(m, c.in, 1, cu, 2, 1, NULL), XF_E_ARG, NULL, "NULL");
    CHECK(xf->packed_workspace_size(m, c.in, 1, cu, 2, 1, &bytes) == XF_OK && bytes > 0);
    /* With that much memory, and no more, a run leaves nothing to allocate. */
    void *arena = malloc(bytes);
    xf_ctx *ctx = NULL;
    const xf_ctx_opts opts = {.struct_size = sizeof opts, .num_threads = 1, .arena = arena, .arena_size = bytes};
    CHECK(xf->ctx_create(m, &opts, &ctx) == XF_OK);
    prepare(&c, 5, 2);
    long before = count_allocations ? count_allocations() : 0;
    c.out[0] = c.out[1] = (xf_tensor){0};
    CHECK(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2) == XF_OK && ((float *)c.out[0].data)[4] == 2 * c.x[4]);
    CHECK(!count_allocations || count_allocations() == before);
    xf->ctx_destroy(ctx);
    free(arena);
}

static int taps;
static void on_tap(void *user, const char *node, int32_t output, const xf_tensor *v) {
    (void)user, (void)output, (void)v;
    taps += !strcmp(node, "sums");
}

static void test_observe(const xf_api *xf, xf_ctx *ctx) {
    const int32_t cu[] = {0, 3, 5};
    char text[4096];
    size_t n;
    packed_call c;
    prepare(&c, 5, 2);
    CHECK(xf->set_tap(ctx, "su*", on_tap, NULL) == XF_OK && xf->profile_start(ctx) == XF_OK);
    CHECK(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2) == XF_OK && taps == 1);
    CHECK(xf->set_tap(ctx, NULL, NULL, NULL) == XF_OK);
    CHECK(xf->run_packed(ctx, c.in, 1, cu, 2, c.out, 2) == XF_OK && taps == 1);
    CHECK(xf->profile_json(ctx, text, sizeof text, &n) == XF_OK);
    const char *packed = strstr(text, "\"packed_steps\"");
    CHECK(packed && strstr(packed, "\"count\": 2") && strstr(text, "\"count\": 0") < packed);
}

static void test_nonempty(void) {
    const int32_t cu[] = {0, 3, 3, 5};
    void *so;
    const xf_api *xf = load(path_pn, &so);
    xf_model *m;
    xf_ctx *ctx = NULL;
    packed_call c;
    prepare(&c, 5, 3);
    CHECK(xf->open(NULL, &m) == XF_OK && xf->ctx_create(m, &one_thread, &ctx) == XF_OK);
    EXPECT(xf->run_packed(ctx, c.in, 1, cu, 3, c.out, 2), XF_E_RANGE, ctx, "sequence 1 is empty");
    c.sums_dim[0] = 2;
    CHECK(xf->run_packed(ctx, c.in, 1, (const int32_t[]){0, 3, 5}, 2, c.out, 2) == XF_OK);
    xf->ctx_destroy(ctx);
    xf->release(m);
    CHECK(dlclose(so) == 0);
}

/* A model without the entry. */
static void test_absent(void) {
    const int32_t cu[] = {0, 1};
    void *so;
    const xf_api *xf = load(path_b, &so);
    xf_model *m;
    xf_ctx *ctx = NULL;
    size_t bytes;
    CHECK(xf->open(NULL, &m) == XF_OK && xf->ctx_create(m, &one_thread, &ctx) == XF_OK);
    CHECK(xf->num_packed_inputs(m) == 0 && !xf->packed_input_info(m, 0) && !xf->packed_output_info(m, 0));
    EXPECT(xf->run_packed(ctx, NULL, 0, cu, 1, NULL, 0), XF_E_ARG, ctx, "--packed-entry");
    EXPECT(xf->packed_workspace_size(m, NULL, 0, cu, 1, 1, &bytes), XF_E_ARG, NULL, "--packed-entry");
    CHECK(!strstr(xf->signature_json(m), "packed"));
    xf->ctx_destroy(ctx);
    xf->release(m);
    CHECK(dlclose(so) == 0);
}

void test_packed(void) {
    void *so;
    const xf_api *xf = load(path_p, &so);
    xf_model *m;
    xf_ctx *ctx = NULL;
    const xf_ctx_opts opts = {.struct_size = sizeof opts, .num_threads = 3, .parallel_for = thread_parallel};
    CHECK(xf->open(NULL, &m) == XF_OK && xf->ctx_create(m, &opts, &ctx) == XF_OK);
    test_good(xf, ctx);
    test_bad(xf, ctx);
    test_planning(xf, m);
    test_observe(xf, ctx);
    xf->ctx_destroy(ctx);
    xf->release(m);
    CHECK(dlclose(so) == 0);
    test_nonempty();
    test_absent();
}

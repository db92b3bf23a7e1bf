/* test_host.c - steps that are no kernel: calls of routines, and symbols that take their values from data. Model c of
 * make_fake.c. */
#include "test_runtime.h"
#include <dlfcn.h>

enum { B = 3, S = 5 };
static const int64_t mask[B * S] = {1, 1, 0, 1, 0, /**/ 0, 0, 0, 0, 0, /**/ 1, 0, 0, 0, 1};

typedef struct {
    int64_t mask_dim[2], sizes_dim[1], rows_dim[1], report_dim[1], sizes[2], report[4];
    int32_t rows[B * S];
    xf_tensor in[2], out[2];
} host_call;

static void prepare(host_call *c, int64_t t, int64_t m) {
    *c = (host_call){.mask_dim = {B, S}, .sizes_dim = {2}, .rows_dim = {B * S}, .report_dim = {4}, .sizes = {t, m}};
    const xf_dtype i64 = {0, 64, 1}, i32 = {0, 32, 1};
    c->in[0] = (xf_tensor){.data = (void *)(uintptr_t)mask, .ndim = 2, .dtype = i64, .shape = c->mask_dim};
    c->in[1] = (xf_tensor){.data = c->sizes, .ndim = 1, .dtype = i64, .shape = c->sizes_dim};
    c->out[0] = (xf_tensor){.data = c->rows, .ndim = 1, .dtype = i32, .shape = c->rows_dim};
    c->out[1] = (xf_tensor){.data = c->report, .ndim = 1, .dtype = i64, .shape = c->report_dim};
    memset(c->rows, 0xff, sizeof c->rows);
}

/* Exactly the first t rows are written, and the kernel saw the numbers. */
static bool right(const host_call *c) {
    static const int32_t kept[B * S] = {0, 1, 3, 10, 14};
    bool ok = c->report[0] == c->sizes[0] && c->report[1] == c->sizes[1] && c->report[2] == 5 && c->report[3] == 0;
    for (int64_t i = 0; i < B * S; i++) ok = ok && c->rows[i] == (i < c->sizes[0] ? kept[i] + 1 : -1);
    return ok;
}

static void test_sizes(const xf_api *xf, xf_ctx *ctx) {
    static const int64_t good[][2] = {{4, 4}, {0, 0}, {15, 3}, {1, 0}, {15, 15}};
    static const int64_t bad[][2] = {{16, 0}, {-1, 0}, {3, 4}, {3, -1}, {INT64_MAX, 0}, {INT64_MIN, 0}};
    host_call c;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
            prepare(&c, good[i][0], good[i][1]);
            CHECK(xf->run(ctx, c.in, 2, c.out, 2) == XF_OK && right(&c));
        }
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            prepare(&c, bad[i][0], bad[i][1]);
            EXPECT(xf->run(ctx, c.in, 2, c.out, 2), XF_E_RANGE, ctx, "'sizes'|takes 0 to");
            CHECK(c.rows[0] == -1); /* nothing ran after it */
        }
    }
}

typedef struct {
    char names[256];
    int64_t rows_dim;
    const xf_api *xf;
    xf_ctx *cancel;
} seen;

static void on_tap(void *user, const char *node, int32_t output, const xf_tensor *v) {
    seen *s = user;
    snprintf(s->names + strlen(s->names), sizeof s->names - strlen(s->names), "%s:%d;", node, (int)output);
    if (!strcmp(node, "rows")) s->rows_dim = v->shape[0];
    if (s->cancel) s->xf->cancel(s->cancel);
}

static void test_observed(const xf_api *xf, xf_ctx *ctx) {
    host_call c;
    seen s = {0};
    char text[4096];
    size_t n;
    prepare(&c, 3, 1);
    CHECK(xf->set_tap(ctx, "*", on_tap, &s) == XF_OK && xf->profile_start(ctx) == XF_OK);
    CHECK(xf->run(ctx, c.in, 2, c.out, 2) == XF_OK && right(&c));
    CHECK(!strcmp(s.names, "offsets:0;offsets:1;offsets:2;offsets:3;offsets:4;rows:0;report:0;"));
    CHECK(s.rows_dim == 6); /* 2 T, as it is in this run */
    CHECK(xf->profile_json(ctx, text, sizeof text, &n) == XF_OK);
    CHECK(strstr(text, "\"form\": \"seq_offsets\", \"count\": 1") && strstr(text, "[\"offsets\"]"));
    CHECK(strstr(text, "\"form\": \"define\", \"count\": 1") && strstr(text, "\"flops\": 3, \"nodes\": [\"rows\"]"));
    s = (seen){.xf = xf, .cancel = ctx};
    CHECK(xf->set_tap(ctx, "offsets", on_tap, &s) == XF_OK);
    prepare(&c, 3, 1);
    EXPECT(xf->run(ctx, c.in, 2, c.out, 2), XF_E_CANCELLED, ctx, "cancelled");
    CHECK(c.rows[0] == -1);
    CHECK(xf->set_tap(ctx, NULL, NULL, NULL) == XF_OK);
}

/* Dims and memory are those of the input dims, whatever the data was in the last run. */
static void test_planning(const xf_api *xf, xf_model *m, xf_ctx *ctx) {
    host_call c;
    size_t before = 0, after = 0;
    int64_t dims[2][4] = {{0}};
    xf_tensor out[2] = {{.ndim = 4, .shape = dims[0]}, {.ndim = 4, .shape = dims[1]}};
    prepare(&c, 2, 2);
    CHECK(xf->workspace_size(m, c.in, 2, 1, &before) == XF_OK && before > 0);
    CHECK(xf->run(ctx, c.in, 2, c.out, 2) == XF_OK);
    CHECK(xf->workspace_size(m, c.in, 2, 1, &after) == XF_OK && after == before);
    CHECK(xf->infer_shapes(m, c.in, 2, out, 2) == XF_OK && dims[0][0] == B * S && dims[1][0] == 4);
    long count = count_allocations();
    for (int i = 0; i < 10; i++) {
        prepare(&c, i, i / 2);
        CHECK(xf->run(ctx, c.in, 2, c.out, 2) == XF_OK);
    }
    CHECK(count_allocations() == count);
}

/* No sequence, and sequences without places. */
static void test_empty(const xf_api *xf, xf_ctx *ctx) {
    for (int which = 0; which < 2; which++) {
        host_call c;
        prepare(&c, 0, 0);
        c.mask_dim[which] = 0;
        c.rows_dim[0] = 0;
        CHECK(xf->run(ctx, c.in, 2, c.out, 2) == XF_OK && c.report[0] == 0 && c.report[2] == 0 && c.rows[0] == -1);
    }
}

void test_host(void) {
    void *so;
    const xf_api *xf = load(path_c, &so);
    xf_model *m;
    CHECK(xf->open(NULL, &m) == XF_OK);
    CHECK(!strstr(xf->signature_json(m), "\"T\""));
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        xf_ctx_opts o = {.struct_size = sizeof o, .num_threads = threads};
        xf_ctx *ctx;
        CHECK(xf->ctx_create(m, &o, &ctx) == XF_OK);
        test_sizes(xf, ctx);
        test_observed(xf, ctx);
        if (threads == 1) test_planning(xf, m, ctx);
        test_empty(xf, ctx);
        xf->ctx_destroy(ctx);
    }
    xf->release(m);
    CHECK(dlclose(so) == 0);
}

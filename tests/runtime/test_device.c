/* test_device.c - a device whose memory the host cannot touch (guarded.c) runs the fake models: what the runtime reads
 * of it without asking ends this process. */
#define _POSIX_C_SOURCE 200809L
#include "test_runtime.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { GUARDED = 12 };

static xf_model *open_on(const xf_api *xf, int32_t type) {
    xf_model *m = NULL;
    xf_open_opts o = {.struct_size = sizeof o, .device = {type, 0}};
    CHECK(xf->open(&o, &m) == XF_OK);
    return m;
}

static xf_ctx *context(const xf_api *xf, xf_model *m, int32_t threads, uint32_t flags) {
    xf_ctx *c = NULL;
    xf_ctx_opts o = {.struct_size = sizeof o, .num_threads = threads, .flags = flags};
    CHECK(xf->ctx_create(m, &o, &c) == XF_OK);
    return c;
}

/* Does the host see it? The kernel says so without a signal. */
static bool is_seen(const void *p) {
    int end[2];
    if (pipe(end) != 0) abort();
    bool seen = write(end[1], p, 1) == 1;
    CHECK(seen || errno == EFAULT);
    close(end[0]), close(end[1]);
    return seen;
}

typedef struct {
    int n, elsewhere;
} taps;

static void on_tap(void *user, const char *node, int32_t output, const xf_tensor *v) {
    taps *t = user;
    (void)node, (void)output;
    t->n++;
    t->elsewhere += v->device.device_type == GUARDED && !is_seen(v->data);
}

static float y[60 * 500];
static double total;

static void set_outputs(call *c, xf_tensor out[2]) {
    out[0] = (xf_tensor){.data = y, .device = {1, 0}, .ndim = 2, .dtype = {2, 32, 1}, .shape = c->y_dims};
    out[1] = (xf_tensor){.data = &total, .device = {1, 0}, .dtype = {2, 64, 1}};
}

/* Weights, scratch, workspace, inputs and outputs of the host; sizes that grow; an index out of range; a tap. */
static void test_kernels(const char *path) {
    void *so;
    const xf_api *xf = load(path, &so);
    xf_model *m = open_on(xf, GUARDED);
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        xf_ctx *ctx = context(xf, m, threads, XF_CHECK_FINITE);
        static const int64_t size[][2] = {{2, 3}, {5, 60}, {1, 1}, {0, 4}, {60, 500}};
        xf_tensor out[2];
        call c;
        for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
            call_make(&c, size[i][0], size[i][1], (unsigned)i);
            set_outputs(&c, out);
            CHECK(xf->run(ctx, c.in, 4, out, 2) == XF_OK && call_right(&c, y, total));
            call_free(&c);
        }
        taps t = {0};
        call_make(&c, 4, 7, 9);
        set_outputs(&c, out);
        c.ids[5] = 100;
        EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_RANGE, ctx, "input 0 'ids' is 100");
        c.ids[5] = 3;
        CHECK(xf->set_tap(ctx, "*", on_tap, &t) == XF_OK && xf->run(ctx, c.in, 4, out, 2) == XF_OK);
        CHECK(t.n == 3 && t.elsewhere == 3);
        CHECK(xf->set_tap(ctx, NULL, NULL, NULL) == XF_OK);
        c.past[9] = (float)1e38 * 10;
        EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_RANGE, ctx, "is not finite");
        call_free(&c);
        xf->ctx_destroy(ctx);
    }
    xf->release(m);
    dlclose(so);
}

/* What the caller leaves to the context lies on the device; memory for it is not the caller's. */
static void test_outputs(const char *path) {
    void *so;
    const xf_api *xf = load(path, &so);
    xf_model *m = open_on(xf, GUARDED);
    xf_ctx *ctx = context(xf, m, 1, 0), *none = NULL;
    call c;
    call_make(&c, 3, 4, 1);
    xf_tensor out[2];
    set_outputs(&c, out);
    out[0] = (xf_tensor){0};
    for (int round = 0; round < 2; round++) {
        total = 0;
        CHECK(xf->run(ctx, c.in, 4, out, 2) == XF_OK && total == c.total);
        CHECK(out[0].device.device_type == GUARDED && out[0].shape[1] == 4 && !is_seen(out[0].data));
        CHECK(out[1].device.device_type == 1 && out[1].data == &total);
    }
    char arena[64];
    xf_ctx_opts o = {.struct_size = sizeof o, .arena = arena, .arena_size = sizeof arena};
    EXPECT(xf->ctx_create(m, &o, &none), XF_E_DEVICE, NULL, "arena|device type 12");
    call_free(&c);
    xf->ctx_destroy(ctx);
    xf->release(m);
    m = open_on(xf, 1); /* the CPU of the same file */
    ctx = context(xf, m, 1, 0);
    out[0] = (xf_tensor){0};
    call_make(&c, 3, 4, 1);
    CHECK(xf->run(ctx, c.in, 4, out, 2) == XF_OK && out[0].device.device_type == 1);
    CHECK(call_right(&c, out[0].data, total));
    call_free(&c);
    xf->ctx_destroy(ctx);
    xf->release(m);
    dlclose(so);
}

/* Sizes that data decides, and a routine. */
static void test_sizes(const char *path) {
    static const int64_t mask[6] = {1, 1, 0, 1, 0, 0};
    void *so;
    const xf_api *xf = load(path, &so);
    xf_model *m = open_on(xf, GUARDED);
    xf_ctx *ctx = context(xf, m, 2, 0);
    int64_t mask_dim[2] = {2, 3}, two[1] = {2}, six[1] = {6}, four[1] = {4}, sizes[2] = {3, 2}, report[4];
    int32_t rows[6] = {-1, -1, -1, -1, -1, -1};
    const xf_dtype i64 = {0, 64, 1}, i32 = {0, 32, 1};
    xf_tensor in[2] = {{.data = (void *)(uintptr_t)mask, .ndim = 2, .dtype = i64, .shape = mask_dim},
                       {.data = sizes, .ndim = 1, .dtype = i64, .shape = two}},
              out[2] = {{.data = rows, .ndim = 1, .dtype = i32, .shape = six},
                        {.data = report, .ndim = 1, .dtype = i64, .shape = four}};
    CHECK(xf->run(ctx, in, 2, out, 2) == XF_OK);
    CHECK(report[0] == 3 && report[1] == 2 && report[2] == 3 && rows[0] == 1 && rows[1] == 2 && rows[2] == 4);
    sizes[0] = 7;
    EXPECT(xf->run(ctx, in, 2, out, 2), XF_E_RANGE, ctx, "'sizes'|takes 0 to 6");
    xf->ctx_destroy(ctx);
    xf->release(m);
    dlclose(so);
}

static void test_packed_entry(const char *path) {
    void *so;
    const xf_api *xf = load(path, &so);
    xf_model *m = open_on(xf, GUARDED);
    xf_ctx *ctx = context(xf, m, 2, 0);
    static const int32_t starts[] = {0, 2, 5};
    float x[5] = {1, 2, 3, 4, 5}, twice[5], sums[2];
    int64_t five[1] = {5}, two[1] = {2};
    const xf_dtype f32 = {2, 32, 1};
    xf_tensor in = {.data = x, .ndim = 1, .dtype = f32, .shape = five},
              out[2] = {{.data = twice, .ndim = 1, .dtype = f32, .shape = five},
                        {.data = sums, .ndim = 1, .dtype = f32, .shape = two}};
    CHECK(xf->run_packed(ctx, &in, 1, starts, 2, out, 2) == XF_OK);
    CHECK(twice[4] >= 10 && twice[4] <= 10 && sums[0] >= 3 && sums[0] <= 3 && sums[1] >= 12 && sums[1] <= 12);
    xf->ctx_destroy(ctx);
    xf->release(m);
    dlclose(so);
}

void test_device(void) {
    test_kernels(path_guarded_a);
    test_outputs(path_guarded_a);
    test_sizes(path_guarded_c);
    test_packed_entry(path_guarded_p);
}

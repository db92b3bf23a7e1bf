/* test_heap.c - values whose size only data knows: slots that grow, outputs without a bound, arenas that are too small,
 * sizes that are none. Model g of make_fake.c. */
#include "test_runtime.h"
#include <dlfcn.h>
#include <stdlib.h>

enum { GUARDED = 12 };

typedef struct {
    int64_t sizes[2], sizes_dim[1], y_dim[2];
    xf_tensor in[1], out[1];
} sized;

/* y: the caller's, of these dims; NULL: the context's. */
static void prepare(sized *c, int64_t n, int64_t m, float *y, int64_t rows, int64_t columns) {
    *c = (sized){.sizes = {n, m}, .sizes_dim = {2}, .y_dim = {rows, columns}};
    c->in[0] = (xf_tensor){.data = c->sizes, .ndim = 1, .dtype = {0, 64, 1}, .shape = c->sizes_dim};
    if (y) c->out[0] = (xf_tensor){.data = y, .ndim = 2, .dtype = {2, 32, 1}, .shape = c->y_dim};
}

static bool right(const sized *c) {
    const float *y = c->out[0].data;
    bool ok = c->out[0].shape[0] == c->sizes[0] && c->out[0].shape[1] == c->sizes[1];
    for (int64_t i = 0; ok && i < c->sizes[0] * c->sizes[1]; i++) ok = y[i] == 8 * (float)i;
    return ok;
}

/* Slots keep the most that they had: no growth for what is not larger, also after a run that failed. */
static void test_growth(const xf_api *xf, xf_ctx *ctx) {
    static const int64_t sizes[][2] = {{30, 40}, {3, 4}, {0, 5}, {5, 0}, {40, 30}, {1, 1200}, {1200, 1}, {7, 11}};
    sized c;
    prepare(&c, 30, 40, NULL, 0, 0);
    CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c));
    prepare(&c, 1, 1200, NULL, 0, 0); /* the most scratch */
    CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c));
    long count = count_allocations();
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            c.sizes[0] = sizes[i][0], c.sizes[1] = sizes[i][1];
            CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c));
        }
    CHECK(count_allocations() == count);
    prepare(&c, 600000, 2, NULL, 0, 0);
    CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c));
}

static void test_hostile(const xf_api *xf, xf_ctx *ctx) {
    static const int64_t wide = INT32_MAX;
    static const struct {
        int64_t n, m;
        xf_status want;
        const char *text;
    } bad[] = {{-1, 3, XF_E_RANGE, "n is -1|'sizes'|takes 0 to 2147483647"},
               {3, INT64_MIN, XF_E_RANGE, "'sizes'"},
               {INT64_C(1) << 40, 1, XF_E_RANGE, "n is 1099511627776"},
               {wide, wide, XF_E_SHAPE, "too large"},
               {wide, wide / 4, XF_E_NOMEM, "'counted'|bytes"}};
    sized c;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        prepare(&c, bad[i].n, bad[i].m, NULL, 0, 0);
        EXPECT(xf->run(ctx, c.in, 1, c.out, 1), bad[i].want, ctx, bad[i].text);
        prepare(&c, 5, 6, NULL, 0, 0);
        CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c));
    }
}

/* A caller's output may be any that is large enough. */
static void test_buffer(const xf_api *xf, xf_ctx *ctx) {
    static float y[24];
    sized c;
    prepare(&c, 4, 5, y, 4, 5);
    CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c));
    y[20] = -1;
    prepare(&c, 4, 5, y, 1, 24);
    CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c) && y[20] == -1);
    prepare(&c, 0, 5, y, 0, 0);
    CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c));
    prepare(&c, 5, 5, y, 4, 6);
    EXPECT(xf->run(ctx, c.in, 1, c.out, 1), XF_E_NOMEM, ctx, "output 0 'y'|100 bytes|96");
    CHECK(c.y_dim[0] == 4);
    c.out[0].ndim = 1;
    EXPECT(xf->run(ctx, c.in, 1, c.out, 1), XF_E_SHAPE, ctx, "rank 2");
}

static void test_planning(const xf_api *xf, const xf_model *m) {
    sized c;
    int64_t dims[2] = {0};
    xf_tensor out[1] = {{.ndim = 2, .shape = dims}};
    const xf_io_info *info = xf->output_info(m, 0);
    prepare(&c, 2, 2, NULL, 0, 0);
    CHECK(xf->infer_shapes(m, c.in, 1, out, 1) == XF_OK && dims[0] == -1 && dims[1] == -1);
    CHECK(info->dim[0] == -1 && info->dim_min[0] == 0 && info->dim_max[0] == -1);
}

/* An arena of the bytes that the last message asked for, until it is enough. */
static void test_arena(const xf_api *xf, xf_model *m) {
    sized c;
    size_t bytes;
    int rounds = 0;
    prepare(&c, 30, 40, NULL, 0, 0);
    CHECK(xf->workspace_size(m, c.in, 1, 1, &bytes) == XF_OK);
    for (bool more = true; more && rounds < 10; rounds++) {
        char *arena = malloc(bytes + 1);
        xf_ctx *ctx;
        xf_ctx_opts o = {.struct_size = sizeof o, .num_threads = 1, .arena = arena + 1, .arena_size = bytes};
        CHECK(xf->ctx_create(m, &o, &ctx) == XF_OK);
        long count = count_allocations();
        for (int again = 0; again < 2; again++) {
            prepare(&c, 30, 40, NULL, 0, 0);
            xf_status status = xf->run(ctx, c.in, 1, c.out, 1);
            more = status != XF_OK;
            CHECK(more ? status == XF_E_NOMEM : right(&c));
        }
        CHECK(count_allocations() == count);
        const char *text = more ? strstr(xf->last_error(ctx), "needs ") : NULL;
        size_t wanted = text ? strtoull(text + 6, NULL, 10) : bytes;
        CHECK((wanted > bytes) == more);
        prepare(&c, 0, 0, NULL, 0, 0);
        CHECK(xf->run(ctx, c.in, 1, c.out, 1) == XF_OK && right(&c)); /* still of use */
        xf->ctx_destroy(ctx);
        free(arena);
        bytes = wanted;
    }
    CHECK(rounds > 1 && rounds < 10 && bytes < 3 * 30 * 40 * 4 + 4096);
}

static void test_model(const char *path, int32_t device) {
    void *so;
    const xf_api *xf = load(path, &so);
    xf_model *m;
    xf_ctx *ctx;
    xf_open_opts o = {.struct_size = sizeof o, .device = {device, 0}};
    CHECK(xf->open(&o, &m) == XF_OK);
    for (int32_t threads = 1; threads <= 2; threads++) {
        xf_ctx_opts opts = {.struct_size = sizeof opts, .num_threads = threads};
        CHECK(xf->ctx_create(m, &opts, &ctx) == XF_OK);
        test_buffer(xf, ctx);
        if (!device) test_growth(xf, ctx);
        if (!device) test_hostile(xf, ctx);
        xf->ctx_destroy(ctx);
    }
    test_planning(xf, m);
    if (!device) test_arena(xf, m);
    xf->release(m);
    CHECK(dlclose(so) == 0);
}

void test_heap(void) {
    test_model(path_g, 0);
    test_model(path_guarded_g, GUARDED);
}

/* test_run.c - what run, planning, taps and the profile do: right results for every kind of memory and thread count,
 * and an error with a message, a context that still works, for everything a caller can get wrong. */
#define _GNU_SOURCE
#include "test_runtime.h"
#include <pthread.h>
#include <stdlib.h>

static xf_model *model;
static xf_ctx_opts options(int32_t threads) {
    xf_ctx_opts o = {.struct_size = sizeof o, .num_threads = threads};
    return o;
}

static xf_ctx *context(const xf_api *xf, xf_ctx_opts o) {
    xf_ctx *c = NULL;
    if (xf->ctx_create(model, &o, &c)) fprintf(stderr, "%s\n", xf->last_error(NULL)), exit(1);
    return c;
}

static bool run_right(const xf_api *xf, xf_ctx *ctx, call *c) {
    memset(c->out, 0, sizeof c->out);
    if (xf->run(ctx, c->in, 4, c->out, 2)) return fprintf(stderr, "%s\n", xf->last_error(ctx)), false;
    return c->out[0].ndim == 2 && c->out[0].shape[0] == c->batch && c->out[0].shape[1] == c->seq &&
           c->out[1].ndim == 0 && c->out[0].data && !c->out[0].strides &&
           call_right(c, c->out[0].data, *(double *)c->out[1].data);
}

/* --- results --- */

static void test_shapes(const xf_api *xf) {
    static const int64_t sizes[][2] = {{1, 1}, {2, 5}, {0, 7}, {64, 512}, {3, 100}, {1, 1}};
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        xf_ctx *ctx = context(xf, options(threads));
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            call c;
            call_make(&c, sizes[i][0], sizes[i][1], (unsigned)i);
            CHECK(run_right(xf, ctx, &c));
            if (c.batch == 0) c.in[0].data = c.in[1].data = c.in[2].data = NULL; /* empty tensors need no memory */
            CHECK(run_right(xf, ctx, &c));
            call_free(&c);
        }
        xf->ctx_destroy(ctx);
    }
}

/* The structs of one run serve the next, also when the context's memory has to grow and when one has memory of its own
 * now. */
static void test_same_structs(const xf_api *xf) {
    static const int64_t sizes[] = {3, 100, 512, 2};
    xf_ctx *ctx = context(xf, options(1));
    xf_tensor out[2] = {{0}};
    float y[6];
    call c;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        call_make(&c, 3, sizes[i], (unsigned)i);
        CHECK(xf->run(ctx, c.in, 4, out, 2) == XF_OK && call_right(&c, out[0].data, *(double *)out[1].data));
        CHECK(out[0].shape[1] == sizes[i]);
        call_free(&c);
    }
    call_make(&c, 3, 2, 7);
    out[0].data = y; /* the shape is still the context's */
    CHECK(xf->run(ctx, c.in, 4, out, 2) == XF_OK && out[0].data == y && call_right(&c, y, *(double *)out[1].data));
    xf->ctx_destroy(ctx);
    call_free(&c);
}

static void test_own_outputs(const xf_api *xf, xf_ctx *ctx) {
    call c;
    call_make(&c, 3, 9, 5);
    float y[27 + 1];
    double total[2] = {0, 0};
    int64_t dims[2][4];
    xf_tensor out[2] = {{.shape = dims[0], .ndim = 4}, {.shape = dims[1], .ndim = 4}};
    CHECK(xf->infer_shapes(model, c.in, 4, out, 2) == XF_OK);
    CHECK(out[0].ndim == 2 && dims[0][0] == 3 && dims[0][1] == 9 && out[0].dtype.bits == 32 && out[1].ndim == 0 &&
          !out[0].data);
    out[0].data = y, out[0].byte_offset = 4; /* starts at y[1] */
    out[1].data = &total[1];
    int64_t dense[2] = {9, 1};
    out[0].strides = dense;
    CHECK(xf->run(ctx, c.in, 4, out, 2) == XF_OK && call_right(&c, y + 1, total[1]) && total[0] == 0 &&
          out[0].data == y);
    dense[0] = 10;
    EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_SHAPE, ctx, "output 0 'y'|strides");
    out[0].strides = NULL, dims[0][1] = 10;
    EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_SHAPE, ctx, "output 0 'y'|dim 1 is 10|9|infer_shapes");
    dims[0][1] = 9, out[0].byte_offset = 2;
    EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_ARG, ctx, "output 0 'y'|aligned");
    out[0].byte_offset = 0, out[0].data = c.mask + 5;
    EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_ARG, ctx, "output 0 'y' overlaps input 1 'mask'");
    out[0].data = y, out[1].data = y + 2;
    if ((uintptr_t)(y + 2) % 8) out[1].data = y + 3;
    EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_ARG, ctx, "output 1 'total' overlaps output 0 'y'");
    out[1].data = NULL, out[0].dtype.code = 0;
    EXPECT(xf->run(ctx, c.in, 4, out, 2), XF_E_DTYPE, ctx, "output 0 'y' is int32, expected float32");
    EXPECT(xf->run(ctx, c.in, 4, out, 1), XF_E_ARG, ctx, "1 outputs|2");
    CHECK(run_right(xf, ctx, &c));
    void *alpha = c.in[3].data;
    c.in[3].data = c.out[0].data; /* which the context provides */
    EXPECT(xf->run(ctx, c.in, 4, c.out, 2), XF_E_ARG, ctx, "input 3 'alpha' lies in memory of this context|copy it");
    c.in[3].data = alpha;
    CHECK(run_right(xf, ctx, &c));
    call_free(&c);
}

/* --- what a caller can get wrong --- */

static void test_bad_inputs(const xf_api *xf, xf_ctx *ctx) {
    call c;
    call_make(&c, 2, 5, 3);
    xf_tensor good[4];
    memcpy(good, c.in, sizeof good);
#define BAD(change, status, texts)                                                                                     \
    do {                                                                                                               \
        change;                                                                                                        \
        EXPECT(xf->run(ctx, c.in, 4, c.out, 2), status, ctx, texts);                                                   \
        memcpy(c.in, good, sizeof good);                                                                               \
    } while (0)
    int64_t d0[2] = {2, 513}, d1[3] = {2, 5, 1}, d2[2] = {2, 4}, d3[2] = {2, 5}, d4[2] = {3, 5}, d5[2] = {-1, 5};
    int64_t huge[2] = {INT64_MAX / 2, 5}, strides[2] = {1, 2};
    memset(c.out, 0, sizeof c.out);
    EXPECT(xf->run(ctx, c.in, 3, c.out, 2), XF_E_ARG, ctx, "3 inputs|4");
    EXPECT(xf->run(ctx, NULL, 4, c.out, 2), XF_E_ARG, ctx, "inputs");
    BAD(c.in[0].dtype.bits = 32, XF_E_DTYPE, "input 0 'ids' is int32, expected int64");
    BAD(c.in[1].dtype.code = 4, XF_E_DTYPE, "input 1 'mask' is bfloat32, expected float32");
    BAD(c.in[1].dtype.lanes = 4, XF_E_DTYPE, "input 1 'mask'");
    BAD((c.in[0].ndim = 3, c.in[0].shape = d1), XF_E_SHAPE,
        "input 0 'ids' is [2, 5, 1] (rank 3), expected int64[batch, seq] (rank 2)");
    BAD(c.in[0].ndim = -1, XF_E_SHAPE, "input 0 'ids'|rank -1");
    BAD(c.in[0].shape = NULL, XF_E_SHAPE, "input 0 'ids'|NULL");
    BAD((c.in[3].ndim = 1, c.in[3].shape = d3), XF_E_SHAPE, "input 3 'alpha'|rank 1");
    BAD(c.in[0].shape = d5, XF_E_SHAPE, "input 0 'ids'|dim 0 is -1");
    BAD(c.in[0].shape = d0, XF_E_SHAPE, "input 0 'ids'|dim 1 (seq) is 513|1..512");
    BAD(c.in[1].shape = d2, XF_E_SHAPE, "input 1 'mask'|dim 1 (seq) is 4|input 0 'ids' is 5");
    BAD(c.in[1].shape = d4, XF_E_SHAPE, "emb/Mul|2|3");
    BAD(c.in[2].shape = d3, XF_E_SHAPE, "input 2 'past'|dim 1 is 5, expected 6");
    BAD(c.in[1].shape = huge, XF_E_SHAPE, "input 1 'mask'|overflow");
    BAD(c.in[0].data = NULL, XF_E_ARG, "input 0 'ids'|NULL");
    BAD(c.in[3].data = NULL, XF_E_ARG, "input 3 'alpha'|NULL");
    BAD(c.in[0].byte_offset = 4, XF_E_ARG, "input 0 'ids'|aligned|8 bytes");
    BAD(c.in[0].strides = strides, XF_E_SHAPE, "input 0 'ids'|strides");
    BAD(c.in[0].device.device_type = 2, XF_E_DEVICE, "input 0 'ids'|device type 2");
    c.ids[7] = 100;
    float keep = c.mask[7];
    c.mask[7] = 1;
    EXPECT(
        xf->run(ctx, c.in, 4, c.out, 2), XF_E_RANGE, ctx,
        "input 0 'ids' is 100 at [1, 2], but node 'emb/Gather' takes 0 to 99, or -100 to -1 from the end: the size of "
        "'emb.weight' is 100");
    c.mask[7] = 0, c.ids[9] = -101,
    c.mask[9] = 2; /* the mask says that 7 is padding, so 9 is named; then none is left */
    EXPECT(xf->run(ctx, c.in, 4, c.out, 2), XF_E_RANGE, ctx, "input 0 'ids' is -101 at [1, 4], but node 'emb/Gather'");
    c.mask[9] = 0;
    EXPECT(xf->run(ctx, c.in, 4, c.out, 2), XF_E_RANGE, ctx, "input 0 'ids' is 100 at [1, 2]");
    c.mask[7] = keep;
    CHECK(!c.out[0].data); /* left as it was */
    c.ids[7] = -100, call_free(&c);
    call_make(&c, 2, 5, 3);
    CHECK(run_right(xf, ctx, &c));
    CHECK(xf->last_error(ctx)[0] == '\0');
    EXPECT(xf->run_packed(ctx, c.in, 4, NULL, 0, c.out, 2), XF_E_ARG, ctx, "--packed-entry");
    CHECK(xf->run(NULL, c.in, 4, c.out, 2) == XF_E_ARG);
    EXPECT(xf->infer_shapes(model, c.in, 2, c.out, 2), XF_E_ARG, NULL, "2 inputs");
    EXPECT(xf->infer_shapes(model, c.in, 4, c.out, 1), XF_E_ARG, NULL, "1 outputs");
    int64_t room;
    xf_tensor small[2] = {{.shape = &room, .ndim = 1}, {0}};
    EXPECT(xf->infer_shapes(model, c.in, 4, small, 2), XF_E_SHAPE, NULL, "output 0 'y'|room for 1");
    size_t bytes;
    EXPECT(xf->workspace_size(model, c.in, 4, 1, NULL), XF_E_ARG, NULL, "NULL");
    c.in[0].shape = d0;
    EXPECT(xf->workspace_size(model, c.in, 4, 1, &bytes), XF_E_SHAPE, NULL, "513");
    call_free(&c);
}

static void test_bad_options(const xf_api *xf) {
    xf_ctx *c;
    EXPECT(xf->ctx_create(NULL, NULL, &c), XF_E_ARG, NULL, "NULL");
    EXPECT(xf->ctx_create(model, NULL, NULL), XF_E_ARG, NULL, "NULL");
    xf_ctx_opts o = {.struct_size = sizeof o, .num_threads = -1};
    EXPECT(xf->ctx_create(model, &o, &c), XF_E_ARG, NULL, "num_threads is -1");
    o.num_threads = 1, o.flags = 8;
    EXPECT(xf->ctx_create(model, &o, &c), XF_E_ARG, NULL, "flags");
    o.flags = 0, o.stream = &o;
    EXPECT(xf->ctx_create(model, &o, &c), XF_E_DEVICE, NULL, "stream");
    o.stream = NULL, o.arena_size = 5;
    EXPECT(xf->ctx_create(model, &o, &c), XF_E_ARG, NULL, "arena");
    xf->ctx_destroy(NULL);
}

/* --- memory --- */

static void test_arena(const xf_api *xf) {
    call c;
    call_make(&c, 4, 33, 9);
    for (size_t shift = 0; shift < 128; shift += 21) {
        size_t bytes = 0;
        CHECK(xf->workspace_size(model, c.in, 4, 1, &bytes) == XF_OK && bytes > 4 * 33 * 20);
        char *arena = malloc(bytes + shift); /* exact, so that the address sanitizer sees one byte too much */
        xf_ctx_opts o = options(1);
        o.arena = arena + shift, o.arena_size = bytes;
        xf_ctx *ctx = context(xf, o);
        CHECK(run_right(xf, ctx, &c));
        CHECK((char *)c.out[0].data >= arena + shift && (char *)c.out[0].data < arena + shift + bytes);
        xf->ctx_destroy(ctx);
        free(arena);
    }
    char tiny[640];
    xf_ctx_opts o = options(1);
    o.arena = tiny, o.arena_size = sizeof tiny;
    xf_ctx *ctx = context(xf, o);
    memset(c.out, 0, sizeof c.out);
    EXPECT(xf->run(ctx, c.in, 4, c.out, 2), XF_E_NOMEM, ctx, "bytes of arena, it has 640");
    call small;
    call_make(&small, 1, 2, 9);
    CHECK(run_right(xf, ctx, &small)); /* one that fits */
    size_t more = 0, fewer = 0;
    CHECK(xf->workspace_size(model, c.in, 4, 4, &more) == XF_OK &&
          xf->workspace_size(model, c.in, 4, 1, &fewer) == XF_OK);
    CHECK(more - fewer == 3 * 64); /* scratch of three more workers */
    xf->ctx_destroy(ctx);
    call_free(&c);
    call_free(&small);
}

/* run allocates nothing: with an arena from the first run on, with own memory after the largest dims were seen. */
static void test_no_allocation(const xf_api *xf, int32_t threads, bool own) {
    static char arena[1 << 20];
    xf_ctx_opts o = options(threads);
    if (!own) o.arena = arena, o.arena_size = sizeof arena;
    xf_ctx *ctx = context(xf, o);
    call large, small;
    long start = count_allocations();
    call_make(&large, 4, 64, 1);
    CHECK(start == 0 || count_allocations() > start); /* the count counts */
    call_make(&small, 2, 3, 2);
    if (own) CHECK(run_right(xf, ctx, &large));
    CHECK(xf->profile_start(ctx) == XF_OK);
    long before = count_allocations();
    for (int i = 0; i < 20; i++) CHECK(run_right(xf, ctx, i % 2 ? &small : &large));
    large.in[0].ndim = 1;
    memset(large.out, 0, sizeof large.out);
    CHECK(xf->run(ctx, large.in, 4, large.out, 2) == XF_E_SHAPE); /* nor do errors */
    CHECK(count_allocations() == before);
    xf->ctx_destroy(ctx);
    call_free(&large);
    call_free(&small);
}

/* --- observation --- */

typedef struct {
    int n;
    char names[256];
    const xf_api *xf;
    xf_ctx *cancel;
    double last;
} seen;

static void on_tap(void *user, const char *node, int32_t output, const xf_tensor *v) {
    seen *s = user;
    s->n++;
    snprintf(s->names + strlen(s->names), sizeof s->names - strlen(s->names), "%s:%d:%d;", node, (int)output,
             (int)v->ndim);
    if (v->ndim == 3) s->last = (double)((const float *)v->data)[v->shape[0] * v->shape[1] * v->shape[2] - 1];
    if (s->cancel) s->xf->cancel(s->cancel);
}

static void test_taps(const xf_api *xf, xf_ctx *ctx) {
    static const char *const globs[][2] = {{"*", "emb/Mul:0:3;sum/ReduceSum:0:2;total/Sum:0:0;"},
                                           {"emb/*", "emb/Mul:0:3;"},
                                           {"*Gat?er", "emb/Mul:0:3;"},
                                           {"*Sum", "sum/ReduceSum:0:2;total/Sum:0:0;"},
                                           {"nothing", ""},
                                           {"*/*/*", ""},
                                           {"", ""},
                                           {"total/Sum", "total/Sum:0:0;"}};
    call c;
    call_make(&c, 2, 5, 3);
    for (size_t i = 0; i < sizeof globs / sizeof globs[0]; i++) {
        seen s = {0};
        CHECK(xf->set_tap(ctx, globs[i][0], on_tap, &s) == XF_OK);
        CHECK(run_right(xf, ctx, &c));
        CHECK(!strcmp(s.names, globs[i][1]));
        int64_t id = c.ids[9] < 0 ? c.ids[9] + 100 : c.ids[9];
        if (i == 0) CHECK(s.last == (double)((float)(id * 4 + 3) * 0.5f * c.mask[9]));
    }
    seen s = {.xf = xf, .cancel = ctx};
    EXPECT(xf->set_tap(ctx, NULL, on_tap, &s), XF_E_ARG, ctx, "glob");
    CHECK(xf->set_tap(ctx, "*", on_tap, &s) == XF_OK);
    EXPECT(xf->run(ctx, c.in, 4, c.out, 2), XF_E_CANCELLED, ctx, "cancelled");
    CHECK(s.n == 1);
    CHECK(xf->set_tap(ctx, NULL, NULL, NULL) == XF_OK);
    xf->cancel(ctx); /* nothing runs */
    CHECK(run_right(xf, ctx, &c) && s.n == 1);
    call_free(&c);
}

static void test_profile(const xf_api *xf, xf_ctx *ctx) {
    call c;
    size_t n = 0;
    char text[4096];
    call_make(&c, 2, 5, 3);
    EXPECT(xf->profile_json(ctx, text, sizeof text, &n), XF_E_ARG, ctx, "profile_start");
    CHECK(xf->profile_start(ctx) == XF_OK);
    for (int i = 0; i < 3; i++) CHECK(run_right(xf, ctx, &c));
    CHECK(xf->profile_json(ctx, NULL, 0, &n) == XF_OK && n > 100);
    EXPECT(xf->profile_json(ctx, text, n, &n), XF_E_NOMEM, ctx, "bytes");
    CHECK(xf->profile_json(ctx, text, n + 1, &n) == XF_OK && strlen(text) == n);
    CHECK(strstr(text, "\"runs\": 3") && strstr(text, "\"form\": \"reduce\", \"count\": 3") &&
          strstr(text, "\"flops\": 240"));
    CHECK(strstr(text, "[\"emb/Gather\", \"emb/Mul\"]"));
    CHECK(xf->profile_start(ctx) == XF_OK && xf->profile_json(ctx, text, sizeof text, &n) == XF_OK &&
          strstr(text, "\"runs\": 0"));
    call_free(&c);
}

static void test_finite(const xf_api *xf) {
    xf_ctx_opts o = options(1);
    o.flags = XF_CHECK_FINITE | XF_DETERMINISTIC;
    xf_ctx *ctx = context(xf, o);
    call c;
    call_make(&c, 2, 5, 3);
    CHECK(run_right(xf, ctx, &c));
    float keep = c.past[4];
    memcpy(&c.past[4], &(uint32_t){0x7fc00000u}, 4); /* NaN: row 0, column 3 of y */
    memset(c.out, 0, sizeof c.out);
    EXPECT(xf->run(ctx, c.in, 4, c.out, 2), XF_E_RANGE, ctx, "output 0 'y'|element 3");
    c.past[4] = keep;
    CHECK(run_right(xf, ctx, &c));
    xf->ctx_destroy(ctx);
    call_free(&c);
}

/* --- threads --- */

typedef struct {
    const xf_api *xf;
    int64_t batch;
    int bad;
} job;

static void *job_main(void *p) {
    job *j = p;
    xf_ctx *ctx = context(j->xf, options(j->batch % 2 ? 1 : 2));
    for (int i = 0; i < 50; i++) {
        call c;
        call_make(&c, j->batch, 1 + i % 7, (unsigned)i);
        if (!run_right(j->xf, ctx, &c)) j->bad++;
        call_free(&c);
    }
    j->xf->ctx_destroy(ctx);
    return NULL;
}

/* One model, many contexts, each in its own thread. */
static void test_many_threads(const xf_api *xf) {
    enum { N = 6 };
    pthread_t thread[N];
    job jobs[N];
    for (int i = 0; i < N; i++) {
        jobs[i] = (job){xf, i + 1, 0};
        if (pthread_create(&thread[i], NULL, job_main, &jobs[i])) abort();
    }
    for (int i = 0; i < N; i++) {
        pthread_join(thread[i], NULL);
        CHECK(jobs[i].bad == 0);
    }
}

static int32_t broken_parallel(void *pool, int64_t n, int64_t grain, int32_t (*body)(void *, int64_t, int64_t, int32_t),
                               void *arg) {
    (void)pool, (void)n, (void)grain, (void)body, (void)arg;
    return 42;
}

static void test_host_pool(const xf_api *xf) {
    int used = 0;
    call c;
    call_make(&c, 5, 64, 2);
    xf_ctx_opts o = {.struct_size = sizeof o, .num_threads = 3, .parallel_for = thread_parallel, .pool = &used};
    xf_ctx *ctx = context(xf, o);
    CHECK(run_right(xf, ctx, &c) && used == 2); /* the third step has one task: not worth a dispatch */
    xf->ctx_destroy(ctx);
    memset(c.out, 0, sizeof c.out);
    o.parallel_for = broken_parallel;
    ctx = context(xf, o);
    EXPECT(xf->run(ctx, c.in, 4, c.out, 2), XF_E_INTERNAL, ctx, "42|emb/Mul");
    xf->ctx_destroy(ctx);
    call_free(&c);
}

void test_run(const xf_api *xf) {
    if (xf->open(NULL, &model)) fprintf(stderr, "%s\n", xf->last_error(NULL)), exit(1);
    test_shapes(xf);
    test_same_structs(xf);
    test_bad_options(xf);
    for (int32_t threads = 1; threads <= 2; threads++) {
        xf_ctx *ctx = context(xf, options(threads));
        test_own_outputs(xf, ctx);
        test_bad_inputs(xf, ctx);
        test_taps(xf, ctx);
        test_profile(xf, ctx);
        xf->ctx_destroy(ctx);
    }
    test_arena(xf);
    for (int32_t threads = 1; threads <= 2; threads++) {
        test_no_allocation(xf, threads, false);
        test_no_allocation(xf, threads, true);
    }
    test_finite(xf);
    test_host_pool(xf);
    test_many_threads(xf);
    xf->release(model);
}

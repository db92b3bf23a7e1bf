/* test_misuse.c - calls that no program should make: NULL for what is required, and a context that is running already.
 * Each is refused, with a text where there is a status, and disturbs nothing. */
#define _GNU_SOURCE
#include "test_runtime.h"
#include <pthread.h>
#include <stdlib.h>

static void test_null_model(const xf_api *xf, call *c) {
    size_t bytes = 7;
    int32_t starts[2] = {0, 1};
    CHECK(xf->num_inputs(NULL) == 0 && xf->num_outputs(NULL) == 0 && xf->num_packed_inputs(NULL) == 0);
    CHECK(!xf->input_info(NULL, 0) && !xf->output_info(NULL, 0));
    CHECK(!xf->packed_input_info(NULL, 0) && !xf->packed_output_info(NULL, 0));
    CHECK(!xf->signature_json(NULL) && !xf->metadata(NULL, "isa"));
    EXPECT(xf->open(NULL, NULL), XF_E_ARG, NULL, "open|NULL");
    EXPECT(xf->infer_shapes(NULL, c->in, 4, c->out, 2), XF_E_ARG, NULL, "the model is NULL");
    EXPECT(xf->workspace_size(NULL, c->in, 4, 1, &bytes), XF_E_ARG, NULL, "the model is NULL");
    EXPECT(xf->packed_infer_shapes(NULL, c->in, 1, starts, 1, c->out, 2), XF_E_ARG, NULL, "the model is NULL");
    EXPECT(xf->packed_workspace_size(NULL, c->in, 1, starts, 1, 1, &bytes), XF_E_ARG, NULL, "the model is NULL");
    CHECK(bytes == 7);
    xf->retain(NULL);
    xf->release(NULL);
}

static void test_null_context(const xf_api *xf, call *c) {
    size_t n = 7;
    EXPECT(xf->run(NULL, c->in, 4, c->out, 2), XF_E_ARG, NULL, "run: the context is NULL");
    EXPECT(xf->run_packed(NULL, c->in, 1, NULL, 0, c->out, 2), XF_E_ARG, NULL, "run_packed: the context is NULL");
    EXPECT(xf->set_tap(NULL, "*", NULL, NULL), XF_E_ARG, NULL, "set_tap: the context is NULL");
    EXPECT(xf->profile_start(NULL), XF_E_ARG, NULL, "profile_start: the context is NULL");
    EXPECT(xf->profile_json(NULL, NULL, 0, &n), XF_E_ARG, NULL, "profile_json: the context is NULL");
    CHECK(n == 7);
    xf->cancel(NULL);
    xf->ctx_destroy(NULL);
}

static void test_null_arguments(const xf_api *xf, xf_model *m, xf_ctx *ctx, call *c) {
    CHECK(!xf->metadata(m, NULL));
    EXPECT(xf->infer_shapes(m, NULL, 4, c->out, 2), XF_E_ARG, NULL, "inputs");
    EXPECT(xf->infer_shapes(m, c->in, 4, NULL, 2), XF_E_ARG, NULL, "outputs");
    EXPECT(xf->workspace_size(m, c->in, 4, 1, NULL), XF_E_ARG, NULL, "result pointer is NULL");
    EXPECT(xf->run(ctx, NULL, 4, c->out, 2), XF_E_ARG, ctx, "inputs");
    EXPECT(xf->run(ctx, c->in, 4, NULL, 2), XF_E_ARG, ctx, "outputs");
    CHECK(xf->profile_start(ctx) == XF_OK);
    EXPECT(xf->profile_json(ctx, NULL, 0, NULL), XF_E_ARG, ctx, "pointer is NULL");
    size_t n;
    EXPECT(xf->profile_json(ctx, NULL, 9, &n), XF_E_ARG, ctx, "pointer is NULL");
}

/* --- a context that is running --- */

typedef struct {
    const xf_api *xf;
    xf_ctx *ctx;
    call *c;
    int taps;
} intruder;

static void *intrude(void *user) {
    static const char already[] = "already running";
    const intruder *i = user;
    const xf_api *xf = i->xf;
    xf_tensor out[2] = {{0}};
    size_t n;
    EXPECT(xf->run(i->ctx, i->c->in, 4, out, 2), XF_E_ARG, i->ctx, already);
    EXPECT(xf->run_packed(i->ctx, i->c->in, 4, NULL, 0, out, 2), XF_E_ARG, i->ctx, already);
    EXPECT(xf->set_tap(i->ctx, NULL, NULL, NULL), XF_E_ARG, i->ctx, already);
    EXPECT(xf->profile_start(i->ctx), XF_E_ARG, i->ctx, already);
    EXPECT(xf->profile_json(i->ctx, NULL, 0, &n), XF_E_ARG, i->ctx, already);
    CHECK(!out[0].data && !out[1].data);
    return NULL;
}

static void on_tap(void *user, const char *node, int32_t output, const xf_tensor *value) {
    intruder *i = user;
    pthread_t other;
    (void)node, (void)output, (void)value;
    i->taps++;
    intrude(i);
    if (pthread_create(&other, NULL, intrude, i)) abort();
    pthread_join(other, NULL);
}

static void test_busy(const xf_api *xf, xf_ctx *ctx, call *c) {
    intruder i = {xf, ctx, c, 0};
    CHECK(xf->set_tap(ctx, "*", on_tap, &i) == XF_OK);
    memset(c->out, 0, sizeof c->out);
    CHECK(xf->run(ctx, c->in, 4, c->out, 2) == XF_OK && i.taps == 3);
    CHECK(call_right(c, c->out[0].data, *(double *)c->out[1].data));
    CHECK(xf->last_error(ctx)[0] == '\0');
    CHECK(xf->set_tap(ctx, NULL, NULL, NULL) == XF_OK);
}

void test_misuse(const xf_api *xf) {
    xf_model *m;
    xf_ctx *ctx;
    call c;
    if (xf->open(NULL, &m) ||
        xf->ctx_create(m, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = 1}, &ctx))
        fprintf(stderr, "%s\n", xf->last_error(NULL)), exit(1);
    call_make(&c, 2, 5, 3);
    test_null_model(xf, &c);
    test_null_context(xf, &c);
    test_null_arguments(xf, m, ctx, &c);
    test_busy(xf, ctx, &c);
    call_free(&c);
    xf->ctx_destroy(ctx);
    xf->release(m);
}

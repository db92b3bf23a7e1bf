/* test_runtime.c - unit tests of the runtime: the harness, introspection, and models side by side. */
#define _GNU_SOURCE
#include "test_runtime.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

int failures;
const char *path_a, *path_b, *path_c, *path_p, *path_pn, *path_guarded_a, *path_guarded_c, *path_guarded_p, *path_g,
    *path_guarded_g;
static long no_count(void) { return 0; }
long (*count_allocations)(void) = no_count;

void expect(const char *file, int line, const char *what, xf_status got, xf_status want, const char *message,
            const char *texts) {
    bool ok = got == want;
    char list[512];
    snprintf(list, sizeof list, "%s", texts);
    for (char *t = strtok(list, "|"); t; t = strtok(NULL, "|")) ok = ok && strstr(message, t);
    if (ok) return;
    failures++;
    fprintf(stderr, "%s:%d: %s: status %d, expected %d; message '%s', expected '%s'\n", file, line, what, (int)got,
            (int)want, message, texts);
}

const xf_api *load(const char *path, void **so) {
    *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*so) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    void *symbol = dlsym(*so, "xf_get_api");
    xf_get_api_fn get;
    memcpy(&get, &symbol, sizeof get);
    CHECK(!get(0) && !get(XF_ABI_VERSION + 1) && get(XF_ABI_VERSION));
    return get(XF_ABI_VERSION);
}

static uint32_t next(uint32_t *state) { return (*state = *state * 1664525u + 1013904223u) >> 8; }

static xf_tensor tensor(void *data, uint8_t code, uint8_t bits, int32_t n, int64_t *shape) {
    return (xf_tensor){.data = data, .device = {1, 0}, .ndim = n, .dtype = {code, bits, 1}, .shape = shape};
}

void call_make(call *c, int64_t batch, int64_t seq, unsigned seed) {
    size_t n = (size_t)(batch * seq);
    uint32_t state = seed;
    memset(c, 0, sizeof *c);
    c->batch = batch, c->seq = seq, c->alpha = 0.25f;
    c->ids = calloc(n + 1, sizeof *c->ids);
    c->mask = calloc(n + 1, sizeof *c->mask);
    c->past = calloc(n + (size_t)batch + 1, sizeof *c->past);
    c->y = calloc(n + 1, sizeof *c->y);
    for (size_t i = 0; i < n; i++) c->ids[i] = (int64_t)(next(&state) % 200) - 100;
    for (size_t i = 0; i < n; i++) c->mask[i] = (float)(next(&state) % 4);
    for (size_t i = 0; i < n + (size_t)batch; i++) c->past[i] = (float)(next(&state) % 16) * 0.5f;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t s = 0; s < seq; s++) {
            int64_t i = b * seq + s, id = c->ids[i] < 0 ? c->ids[i] + 100 : c->ids[i];
            float y = 0;
            for (int64_t k = 0; k < 4; k++)
                y += (float)(id * 4 + k) * 0.5f * c->mask[i]; /* exact: small multiples of 0.5 */
            c->y[i] = y + c->alpha + c->past[b * (seq + 1) + s + 1];
            c->total += (double)c->y[i];
        }
    memcpy(c->dims, (int64_t[3][2]){{batch, seq}, {batch, seq}, {batch, seq + 1}}, sizeof c->dims);
    c->y_dims[0] = batch, c->y_dims[1] = seq;
    c->in[0] = tensor(c->ids, 0, 64, 2, c->dims[0]);
    c->in[1] = tensor(c->mask, 2, 32, 2, c->dims[1]);
    c->in[2] = tensor(c->past, 2, 32, 2, c->dims[2]);
    c->in[3] = tensor(&c->alpha, 2, 32, 0, NULL);
}

void call_free(call *c) {
    free(c->ids);
    free(c->mask);
    free(c->past);
    free(c->y);
}

bool call_right(const call *c, const float *y, double total) {
    size_t n = (size_t)(c->batch * c->seq);
    return (n == 0 || memcmp(y, c->y, n * sizeof *y) == 0) && total == c->total;
}

/* --- a pool --- */

typedef struct {
    int64_t begin, end, grain;
    int32_t worker, status;
    int32_t (*body)(void *, int64_t, int64_t, int32_t);
    void *arg;
} share;

static void *share_main(void *p) {
    share *s = p;
    for (int64_t i = s->begin; i < s->end && !s->status; i += s->grain)
        s->status = s->body(s->arg, i, i + s->grain < s->end ? i + s->grain : s->end, s->worker);
    return NULL;
}

int32_t thread_parallel(void *pool, int64_t n, int64_t grain, int32_t (*body)(void *, int64_t, int64_t, int32_t),
                        void *arg) {
    pthread_t thread[3];
    share shares[3];
    int32_t status = 0;
    if (pool) *(int *)pool += 1;
    for (int32_t w = 0; w < 3; w++) {
        shares[w] = (share){n * w / 3, n * (w + 1) / 3, grain, w, 0, body, arg};
        if (pthread_create(&thread[w], NULL, share_main, &shares[w])) abort();
    }
    for (int w = 0; w < 3; w++) {
        pthread_join(thread[w], NULL);
        if (!status) status = shares[w].status;
    }
    return status;
}

/* --- introspection --- */

static void test_signature(const xf_api *xf, const xf_model *m) {
    CHECK(xf->abi_version == XF_ABI_VERSION && xf->struct_size == sizeof *xf);
    CHECK(xf->num_inputs(m) == 4 && xf->num_outputs(m) == 2);
    CHECK(!xf->input_info(m, 4) && !xf->output_info(m, 2));
    const xf_io_info *ids = xf->input_info(m, 0), *past = xf->input_info(m, 2), *alpha = xf->input_info(m, 3);
    CHECK(!strcmp(ids->name, "ids") && ids->dtype.code == 0 && ids->dtype.bits == 64 && ids->dtype.lanes == 1 &&
          ids->ndim == 2);
    CHECK(ids->dim[0] == -1 && ids->dim_min[0] == 0 && ids->dim_max[0] == 64 && !strcmp(ids->dim_name[0], "batch"));
    CHECK(xf->input_info(m, 1)->dim_max[0] == -1);
    CHECK(past->dim[1] == -1 && !past->dim_name[1] && past->dim_max[1] == -1);
    CHECK(alpha->ndim == 0);
    CHECK(!strcmp(xf->output_info(m, 1)->name, "total"));
    const char *json = xf->signature_json(m);
    CHECK(strstr(
        json, "{\"name\": \"ids\", \"dtype\": \"int64\", \"dims\": [{\"name\": \"batch\", \"min\": 0, \"max\": 64}, "));
    CHECK(strstr(json, "{\"name\": \"total\", \"dtype\": \"float64\", \"dims\": []}"));
    CHECK(!strcmp(xf->metadata(m, "xfc.version"), "0.0-fake") && !xf->metadata(m, "nothing") && !xf->metadata(m, NULL));
    CHECK(!strncmp(xf->metadata(m, "isa"), "x86-64-v", 8));
    CHECK(!strcmp(xf->status_string(XF_OK), "ok") && xf->status_string((xf_status)77));
}

static void test_open(const xf_api *xf) {
    xf_model *m = (xf_model *)&failures;
    EXPECT(xf->open(NULL, NULL), XF_E_ARG, NULL, "NULL");
    EXPECT(xf->open(&(xf_open_opts){0}, &m), XF_E_ABI, NULL, "struct_size");
    CHECK(!m);
    struct {
        xf_open_opts o;
        int64_t more;
    } later = {{.struct_size = sizeof later}, 0};
    CHECK(xf->open(&later.o, &m) == XF_OK);
    xf->release(m);
    later.more = 1;
    EXPECT(xf->open(&later.o, &m), XF_E_ABI, NULL, "too old");
    EXPECT(xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .isa = "future"}, &m), XF_E_CPU, NULL,
           "future");
    EXPECT(xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .isa = "unheard-of"}, &m), XF_E_CPU, NULL,
           "unheard-of"); /* a level that runs here, a feature that no CPU has */
    EXPECT(xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .isa = "z80"}, &m), XF_E_CPU, NULL,
           "z80|x86-64-v2");
    EXPECT(xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .device = {2, 0}}, &m), XF_E_DEVICE, NULL,
           "2");
    EXPECT(xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .flags = 2}, &m), XF_E_ARG, NULL, "flag");
    CHECK(xf->open(&(xf_open_opts){.struct_size = sizeof(size_t)}, &m) == XF_OK); /* a caller that knew no field yet */
    xf->release(m);
    setenv("XF_ISA", "x86-64-v1", 1);
    CHECK(xf->open(NULL, &m) == XF_OK && !strcmp(xf->metadata(m, "isa"), "x86-64-v1"));
    xf->release(m);
    CHECK(xf->open(&(xf_open_opts){.struct_size = sizeof(xf_open_opts), .isa = "x86-64-v2"}, &m) == XF_OK);
    CHECK(!strcmp(xf->metadata(m, "isa"), "x86-64-v2")); /* the program's choice wins over the environment's */
    xf->retain(m);
    xf->release(m);
    CHECK(xf->num_inputs(m) == 4); /* still there */
    xf->release(m);
    xf->release(NULL);
    setenv("XF_ISA", "future", 1);
    EXPECT(xf->open(NULL, &m), XF_E_CPU, NULL, "cannot run");
    unsetenv("XF_ISA");
}

/* Two models in one process, each with its own code, plan and weights; then one of them leaves. */
static void test_two_models(const xf_api *xf, xf_model *a) {
    void *so;
    const xf_api *other = load(path_b, &so);
    CHECK(other != xf);
    xf_model *b;
    xf_ctx *cb, *ca;
    CHECK(other->open(NULL, &b) == XF_OK && other->num_inputs(b) == 1 && !strcmp(other->metadata(b, "model"), "b"));
    CHECK(other->ctx_create(b, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = 2}, &cb) == XF_OK);
    CHECK(xf->ctx_create(a, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = 1}, &ca) == XF_OK);
    float x[4] = {1, 2, 3, 4}, y[4] = {0};
    int64_t four = 4;
    xf_tensor in = tensor(x, 2, 32, 1, &four), out = tensor(y, 2, 32, 1, &four);
    CHECK(other->run(cb, &in, 1, &out, 1) == XF_OK && y[0] == 2 && y[3] == 8);
    call c;
    call_make(&c, 2, 5, 1);
    CHECK(xf->run(ca, c.in, 4, c.out, 2) == XF_OK && call_right(&c, c.out[0].data, *(double *)c.out[1].data));
    other->release(b);
    other->ctx_destroy(cb);
    CHECK(dlclose(so) == 0);
    CHECK(xf->run(ca, c.in, 4, c.out, 2) == XF_OK && call_right(&c, c.out[0].data, *(double *)c.out[1].data));
    xf->ctx_destroy(ca);
    call_free(&c);
}

int main(int argc, char **argv) {
    int i = 1;
    if (argc != i + 10) {
        fprintf(stderr,
                "usage: test_runtime FAKE_A.so FAKE_B.so FAKE_C.so FAKE_P.so FAKE_PN.so, and of a guarded device "
                "FAKE_A.so FAKE_C.so FAKE_P.so; FAKE_G.so and that of a guarded device\n");
        return 2;
    }
    path_a = argv[i], path_b = argv[i + 1], path_c = argv[i + 2], path_p = argv[i + 3], path_pn = argv[i + 4];
    path_guarded_a = argv[i + 5], path_guarded_c = argv[i + 6], path_guarded_p = argv[i + 7];
    path_g = argv[i + 8], path_guarded_g = argv[i + 9];
    unsetenv("XF_ISA");
    void *so;
    const xf_api *xf = load(path_a, &so);
    xf_model *m;
    test_open(xf);
    if (xf->open(NULL, &m) != XF_OK) {
        fprintf(stderr, "%s\n", xf->last_error(NULL));
        return 1;
    }
    test_signature(xf, m);
    test_two_models(xf, m);
    xf->release(m);
    test_run(xf);
    test_misuse(xf);
    CHECK(dlclose(so) == 0);
    test_threads();
    test_files();
    test_made();
    test_host();
    test_packed();
    test_device();
    test_heap();
    if (failures)
        fprintf(stderr, "%d checks failed\n", failures);
    else
        printf("ok\n");
    return failures != 0;
}

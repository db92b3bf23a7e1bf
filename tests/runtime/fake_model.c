/* fake_model.c - kernels of the fake models (make_fake.c says what they compute) beside a plan and weights written by
 * it. FAKE_PLAN, FAKE_WEIGHTS: file names. */
#include "xf.h"
#include "xfc/abi.h"
#include <stdatomic.h>
#include <string.h>

__asm__(".section .xf.plan,\"a\",@progbits\n.balign 64\n.globl fake_plan\n.hidden fake_plan\nfake_plan:\n"
        ".incbin \"" FAKE_PLAN "\"\n.previous\n");
extern const unsigned char fake_plan[] __attribute__((visibility("hidden")));
#ifdef FAKE_EQUAL
__asm__(".section .xf.plan.equal,\"a\",@progbits\n.balign 64\n.globl fake_equal\n.hidden fake_equal\nfake_equal:\n"
        ".incbin \"" FAKE_EQUAL "\"\n.previous\n");
extern const unsigned char fake_equal[] __attribute__((visibility("hidden")));
#else
#define fake_equal NULL
#endif
#ifdef FAKE_PACKED
__asm__(".section .xf.plan.packed,\"a\",@progbits\n.balign 64\n.globl fake_packed\n.hidden fake_packed\nfake_packed:\n"
        ".incbin \"" FAKE_PACKED "\"\n.previous\n");
extern const unsigned char fake_packed[] __attribute__((visibility("hidden")));
#else
#define fake_packed NULL
#endif
const unsigned char *const xf_plans[XF_N_PLANS] = {fake_plan, fake_equal, fake_packed};
#ifdef FAKE_WEIGHTS
__asm__(".section .xf.weights,\"\",@progbits\n.balign 4096\n.incbin \"" FAKE_WEIGHTS "\"\n.previous\n");
#endif

static int32_t embed(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const int64_t *ids = f->buffers[0];
    const float *mask = f->buffers[1], *table = f->buffers[2];
    float *h = f->buffers[3];
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t id = ids[i] < 0 ? ids[i] + 100 : ids[i];
        if (id < 0 || id >= 100) {
            atomic_store((_Atomic int32_t *)f->error, XF_E_RANGE + (int32_t)(f->step << 8));
            id = 0;
        }
        for (int k = 0; k < 4; k++) h[i * 4 + k] = table[id * 4 + k] * mask[i];
    }
    return 0;
}

static int32_t sum(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const int64_t seq = f->values[0];
    const float *h = f->buffers[0], *past = f->buffers[1], *alpha = f->buffers[2];
    float *y = f->buffers[3], *mine = (float *)(f->scratch + worker * f->scratch_stride);
    for (int64_t b = begin; b < end; b++)
        for (int64_t s = 0; s < seq; s++) {
            memcpy(mine, h + (b * seq + s) * 4, 16); /* scratch that two workers shared would give wrong sums */
            y[b * seq + s] = mine[0] + mine[1] + mine[2] + mine[3] + *alpha + past[b * (seq + 1) + s + 1];
        }
    return 0;
}

static int32_t total(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const float *y = f->buffers[0];
    double *out = f->buffers[1];
    (void)begin, (void)end, (void)worker;
    *out = 0;
    for (int64_t i = 0; i < f->values[0]; i++) *out += (double)y[i];
    return 0;
}

static int32_t twice(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const float *x = f->buffers[0];
    float *y = f->buffers[1];
    (void)worker;
    for (int64_t i = begin; i < end; i++) y[i] = 2 * x[i];
    return 0;
}

static int32_t rows(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const int32_t *tok = f->buffers[0];
    int32_t *out = f->buffers[1];
    (void)worker;
    for (int64_t i = begin; i < end; i++) out[i] = tok[i] + 1;
    return 0;
}

static int32_t report(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const int64_t *counts = f->buffers[0];
    int64_t *out = f->buffers[1];
    (void)begin, (void)end, (void)worker;
    out[0] = f->values[0], out[1] = f->values[1], out[2] = counts[0], out[3] = counts[2];
    return 0;
}

static int32_t row_sums(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const int64_t s = f->values[0];
    const float *x = f->buffers[0];
    float *out = f->buffers[1];
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        out[i] = 0;
        for (int64_t k = 0; k < s; k++) out[i] += x[i * s + k];
    }
    return 0;
}

static int32_t packed_sums(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const int32_t *cu = f->buffers[1];
    const float *x = f->buffers[0];
    float *out = f->buffers[2];
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        out[i] = 0;
        for (int32_t k = cu[i]; k < cu[i + 1]; k++) out[i] += x[k];
    }
    return 0;
}

/* Each worker's scratch has room for a row. */
static int32_t count(void *arg, int64_t begin, int64_t end, int32_t worker) {
    xf_frame *f = arg;
    const int64_t m = f->values[0];
    float *out = f->buffers[0], *mine = (float *)(f->scratch + worker * f->scratch_stride);
    for (int64_t i = begin; i < end; i++) {
        mine[i % m] = (float)i;
        out[i] = mine[i % m];
    }
    return 0;
}

static const xf_kernel_fn kernels[] = {embed, sum, total, twice, rows, report, row_sums, packed_sums, count};
const xf_variant xf_variants[] = {
    {.name = "x86-64-v1", .level = 0, .kernels = kernels},
    {.name = "x86-64-v2", .level = 2, .kernels = kernels},
    {.name = "future", .level = 99, .kernels = kernels},
    {.name = "unheard-of", .level = 2, .features = 1u << 31, .kernels = kernels},
    {.level = 0xb372e449}, /* of the above (check.h) */
};

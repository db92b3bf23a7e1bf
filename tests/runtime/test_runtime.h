/* test_runtime.h - shared by the files of the runtime's test: checks, the fake models, and one prepared call of model
 * a. */
#ifndef TEST_RUNTIME_H
#define TEST_RUNTIME_H
#include "xf.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

extern int failures;
extern const char *path_a, *path_b, *path_c, *path_p, *path_pn, *path_guarded_a, *path_guarded_c, *path_guarded_p,
    *path_g, *path_guarded_g;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            failures++;                                                                                                \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                                         \
        }                                                                                                              \
    } while (0)
/* The call gives this status, and its message holds every text of the list "a|b|c". */
#define EXPECT(call, want, ctx, texts)                                                                                 \
    do {                                                                                                               \
        xf_status expect_got_ = (call);                                                                                \
        expect(__FILE__, __LINE__, #call, expect_got_, (want), xf->last_error(ctx), (texts));                          \
    } while (0)
void expect(const char *file, int line, const char *what, xf_status got, xf_status want, const char *message,
            const char *texts);

const xf_api *load(const char *path, void **so);

/* Inputs and outputs of model a, filled, and what y must be. */
typedef struct {
    int64_t batch, seq;
    int64_t *ids;
    float *mask, *past, alpha, *y;
    double total;
    int64_t dims[3][2], y_dims[2];
    xf_tensor in[4], out[2];
} call;
void call_make(call *, int64_t batch, int64_t seq, unsigned seed);
void call_free(call *);
bool call_right(const call *, const float *y, double total); /* bit for bit */

/* A pthread-based parallel_for of three workers, for contexts of num_threads 3. */
int32_t thread_parallel(void *pool, int64_t n, int64_t grain, int32_t (*body)(void *, int64_t, int64_t, int32_t),
                        void *arg);

/* Calls of malloc and its kin so far; 0 for ever where they cannot be counted. */
extern long (*count_allocations)(void); /* set by count_alloc.c, if it is linked in */

void test_run(const xf_api *xf);    /* test_run.c */
void test_misuse(const xf_api *xf); /* test_misuse.c */
void test_threads(void);            /* test_threads.c */
void test_files(void);              /* test_files.c */
void test_made(void);               /* test_made.c */
void test_host(void);               /* test_host.c */
void test_packed(void);             /* test_packed.c */
void test_device(void);             /* test_device.c */
void test_heap(void);               /* test_heap.c */

#endif

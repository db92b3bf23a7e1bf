/* test_threads.c - the threads of contexts: they come and go with them, a child of fork gets new ones, and a system
 * that starts none makes a run no less right. */
#define _GNU_SOURCE
#include "test_runtime.h"
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ThreadSanitizer does not let a child start threads; both sanitizers need address space without end. */
#if defined(__SANITIZE_THREAD__)
enum { TSAN = 1, ASAN = 0 };
#elif defined(__SANITIZE_ADDRESS__)
enum { TSAN = 0, ASAN = 1 };
#elif defined(__has_feature)
enum { TSAN = __has_feature(thread_sanitizer), ASAN = __has_feature(address_sanitizer) };
#else
enum { TSAN = 0, ASAN = 0 };
#endif

static const xf_api *xf;
static xf_model *model;
static call work;

static int count_threads(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* A thread that was joined may stand in /proc for a moment longer. */
static bool has_threads(int n) {
    for (int i = 0; i < 2000 && count_threads() != n; i++) usleep(1000);
    return count_threads() == n;
}

static xf_ctx *context(int32_t threads) {
    xf_ctx *ctx = NULL;
    EXPECT(xf->ctx_create(model, &(xf_ctx_opts){.struct_size = sizeof(xf_ctx_opts), .num_threads = threads}, &ctx),
           XF_OK, NULL, "");
    return ctx;
}

static bool runs(xf_ctx *ctx) {
    xf_tensor out[2] = {{0}};
    return xf->run(ctx, work.in, 4, out, 2) == XF_OK && call_right(&work, out[0].data, *(double *)out[1].data);
}

static void test_coming_and_going(void) {
    int before = count_threads();
    xf_ctx *one = context(1), *four = context(4);
    CHECK(has_threads(before + 3));
    for (int i = 0; i < 100; i++) {
        CHECK(runs(four) && runs(one));
        if (i % 10 == 0) usleep(3000); /* they fall asleep */
    }
    CHECK(has_threads(before + 3));
    xf->ctx_destroy(four);
    CHECK(has_threads(before));
    xf->ctx_destroy(one);
}

/* Contexts pass from thread to thread, one at a time. */
static void *run_elsewhere(void *ctx) {
    CHECK(runs(ctx));
    return NULL;
}

static void test_passed_on(void) {
    xf_ctx *ctx = context(3);
    for (int i = 0; i < 20; i++) {
        pthread_t other;
        if (pthread_create(&other, NULL, run_elsewhere, ctx)) abort();
        pthread_join(other, NULL);
        CHECK(runs(ctx));
    }
    xf->ctx_destroy(ctx);
}

/* --- children --- */

/* Runs body in a child that has 60 seconds. */
static void in_child(const char *what, bool (*body)(xf_ctx *), xf_ctx *ctx) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        bool good = body(ctx);
        _exit(!good || failures);
    }
    int status = -1;
    waitpid(child, &status, 0);
    if (status != 0) fprintf(stderr, "child: %s: status %#x\n", what, (unsigned)status);
    CHECK(status == 0);
}

static bool child_runs(xf_ctx *ctx) {
    bool good = has_threads(1) && runs(ctx) && runs(ctx) && has_threads(3);
    xf->ctx_destroy(ctx);
    return good && has_threads(1);
}

static bool child_destroys(xf_ctx *ctx) {
    xf->ctx_destroy(ctx);
    return true;
}

static bool child_opens(xf_ctx *ctx) {
    xf_ctx *own = context(3);
    bool good = runs(own) && runs(ctx);
    xf->ctx_destroy(own);
    return good;
}

/* A thread that starts holds locks of the address sanitizer, which some versions do not release in a child: they get
 * time. */
static bool child_forks(xf_ctx *ctx) {
    bool good = true;
    for (int i = 0; i < 10 && good; i++, usleep(5000)) good = runs(ctx);
    in_child("grandchild", child_opens, ctx);
    return good && runs(ctx);
}

static void test_fork(void) {
    xf_ctx *ctx = context(3);
    in_child("before any run", child_runs, ctx);
    for (int i = 0; i < 20; i++) { /* threads are caught awake and asleep */
        CHECK(runs(ctx));
        if (i % 2) usleep(5000);
        in_child("runs the parent's context", child_runs, ctx);
    }
    in_child("destroys the parent's context", child_destroys, ctx);
    in_child("makes a context", child_opens, ctx);
    in_child("has a child of its own", child_forks, ctx);
    CHECK(runs(ctx));
    xf->ctx_destroy(ctx);
}

/* --- a system that starts no threads --- */

static bool starts_fewer(xf_ctx *ctx) {
    enum { ROOM = 16 << 20 };
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%zu", &pages) != 1) return false;
    fclose(f);
    rlim_t most = pages * (size_t)sysconf(_SC_PAGESIZE) + ROOM;
    if (setrlimit(RLIMIT_STACK, &(struct rlimit){8 << 20, 8 << 20})) return false; /* also the size of a thread's */
    if (setrlimit(RLIMIT_AS, &(struct rlimit){most, most})) return false;
    xf_ctx *eight = context(8);
    bool good = eight && count_threads() < 8 && runs(eight);
    xf->ctx_destroy(eight);
    return good && runs(ctx);
}

static void test_no_more_threads(void) {
    xf_ctx *ctx = context(1);
    in_child("address space for a thread or two", starts_fewer, ctx);
    xf->ctx_destroy(ctx);
}

void test_threads(void) {
    void *so;
    xf = load(path_a, &so);
    if (xf->open(NULL, &model)) fprintf(stderr, "%s\n", xf->last_error(NULL)), exit(1);
    call_make(&work, 12, 50, 3);
    test_coming_and_going();
    test_passed_on();
    if (!TSAN) test_fork();
    if (!TSAN && !ASAN) test_no_more_threads();
    call_free(&work);
    xf->release(model);
}

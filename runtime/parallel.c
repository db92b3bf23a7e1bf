/* parallel.c - the default thread pool: GNU OpenMP's, shared with whatever else of the process uses it.
 *
 * Tasks are handed out in chunks of `grain` from one counter, so a slow or late thread costs at most one chunk. Every
 * region of a context asks for the same number of threads: libgomp ends threads that a smaller region does not need and
 * starts them again for the next larger one, which allocates. Inside a parallel region of the host, libgomp gives one
 * thread, which then does all.
 *
 * libgomp is called by its binary interface, which is what gcc emits for `#pragma omp parallel`: clang knows the pragma
 * only for its own library, and the same archive must serve both compilers.
 */
#define _GNU_SOURCE
#include "runtime/runtime.h"
#include <dlfcn.h>

extern void GOMP_parallel(void (*fn)(void *), void *data, unsigned num_threads, unsigned flags);
extern int omp_get_thread_num(void);

typedef struct {
    _Atomic int64_t next; /* first chunk that nobody took */
    _Atomic int32_t status;
    int64_t n, grain, chunks;
    int32_t (*body)(void *, int64_t, int64_t, int32_t);
    void *arg;
} region;

static void work(void *data) {
    region *r = data;
    int32_t worker = omp_get_thread_num();
    for (;;) {
        int64_t chunk = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (chunk >= r->chunks || atomic_load_explicit(&r->status, memory_order_relaxed) != 0) return;
        int64_t begin = chunk * r->grain, end = r->n - begin < r->grain ? r->n : begin + r->grain;
        int32_t status = r->body(r->arg, begin, end, worker), none = 0;
        if (status != 0) atomic_compare_exchange_strong(&r->status, &none, status);
    }
}

int32_t xf_default_parallel(void *pool, int64_t n, int64_t grain, int32_t (*body)(void *, int64_t, int64_t, int32_t),
                            void *arg) {
    int32_t threads = *(const int32_t *)pool;
    if (n <= 0) return 0;
    if (threads == 1 || n <= grain) return body(arg, 0, n, 0);
    if (grain < 1) grain = 1;
    region r = {.n = n, .grain = grain, .chunks = (n - 1) / grain + 1, .body = body, .arg = arg};
    GOMP_parallel(work, &r, (unsigned)threads, 0);
    return atomic_load(&r.status);
}

static int32_t nothing(void *arg, int64_t begin, int64_t end, int32_t worker) {
    (void)arg, (void)begin, (void)end, (void)worker;
    return 0;
}

/* dlopen moved from libdl to libc in glibc 2.34 and got a new symbol version there; the old one is in both, and where
 * neither is loaded the weak reference is NULL. */
#if defined(__x86_64__) && defined(__GLIBC__)
extern void *xf_dlopen(const char *, int) __attribute__((weak));
__asm__(".symver xf_dlopen, dlopen@GLIBC_2.2.5");
#else
static void *xf_dlopen(const char *name, int flags) { return dlopen(name, flags); }
#endif

void xf_parallel_warm_up(int32_t threads) {
    /* Idle threads of the pool run code of libgomp: a dlclose that unmapped it would crash them. */
    if (xf_dlopen) xf_dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    xf_default_parallel(&threads, 2 * (int64_t)threads, 1, nothing, NULL);
}

/* parallel.c - the default threads of a run: GNU OpenMP's pool, shared with whatever else of the process uses it.
 *
 * A run is one parallel region. Thread 0, the caller, leads: it walks through the steps and opens a job for each step
 * that is worth it; the others join open jobs. Tasks are handed out in chunks of `grain` from one counter, and the
 * leader waits for chunks that were begun, never for threads that have not come: on a busy machine a thread that is
 * late for a step costs nothing, where a region for each step would wait for it every time (measured: 124 ms against
 * 12 ms for a short sentence while other processes kept both cores busy).
 *
 * Joining: a thread counts itself in (`inside`), then looks again whether the job is still open. Leaving: the leader
 * closes the job, then waits until nobody is inside. Both in sequentially consistent order, so either the thread sees
 * the job closed or the leader sees the thread; the job's fields change only when nobody is inside.
 *
 * Every region of a context asks for the same number of threads: libgomp ends threads that a smaller region does not
 * need and starts them again for the next larger one, which allocates. Inside a parallel region of the host, libgomp
 * gives one thread, which then does all.
 *
 * libgomp is called by its binary interface, which is what gcc emits for `#pragma omp parallel`: clang knows the pragma
 * only for its own library, and the same archive must serve both compilers.
 */
#define _GNU_SOURCE
#include "runtime/runtime.h"
#include <dlfcn.h>
#include <sched.h>

extern void GOMP_parallel(void (*fn)(void *), void *data, unsigned num_threads, unsigned flags);
extern int omp_get_thread_num(void);

enum { LINE = 64, PATIENCE = 256 /* looks before the core is offered to somebody else: some ten microseconds */ };

typedef struct {
    void (*lead)(void *);
    void *user;
    /* the job at hand; written by the leader while nobody is inside */
    int64_t n, grain, chunks;
    int32_t (*body)(void *, int64_t, int64_t, int32_t);
    void *arg;
    char pad0[LINE];
    _Atomic int64_t next; /* first chunk that nobody took */
    _Atomic int32_t status;
    char pad1[LINE];
    _Atomic uint32_t open; /* number of the job that may be joined; 0: none */
    _Atomic bool finished;
    uint32_t jobs;
    char pad2[LINE];
    _Atomic int32_t inside; /* threads other than the leader that may touch the job */
} team;

static void wait_a_little(uint32_t *looks) {
    if (++*looks > PATIENCE) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_chunks(team *t, int32_t worker) {
    for (;;) {
        int64_t chunk = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
        if (chunk >= t->chunks || atomic_load_explicit(&t->status, memory_order_relaxed) != 0) return;
        int64_t begin = chunk * t->grain, end = t->n - begin < t->grain ? t->n : begin + t->grain;
        int32_t status = t->body(t->arg, begin, end, worker), none = 0;
        if (status != 0) atomic_compare_exchange_strong(&t->status, &none, status);
    }
}

static void assist(team *t, int32_t worker) {
    uint32_t done = 0, looks = 0;
    while (!atomic_load_explicit(&t->finished, memory_order_acquire)) {
        uint32_t job = atomic_load_explicit(&t->open, memory_order_acquire);
        if (job == 0 || job == done) {
            wait_a_little(&looks);
            continue;
        }
        looks = 0;
        atomic_fetch_add(&t->inside, 1);
        if (atomic_load(&t->open) == job) {
            take_chunks(t, worker);
            done = job;
        }
        atomic_fetch_sub(&t->inside, 1);
    }
}

static void member(void *data) {
    team *t = data;
    int32_t worker = omp_get_thread_num();
    if (worker != 0) {
        assist(t, worker);
        return;
    }
    t->lead(t->user);
    atomic_store_explicit(&t->finished, true, memory_order_release);
}

void xf_team_run(int32_t threads, void (*lead)(void *user), void *user, void **pool) {
    team t = {.lead = lead, .user = user};
    *pool = &t;
    GOMP_parallel(member, &t, (unsigned)threads, 0);
    *pool = NULL;
}

int32_t xf_team_parallel(void *pool, int64_t n, int64_t grain, int32_t (*body)(void *, int64_t, int64_t, int32_t),
                         void *arg) {
    team *t = pool;
    if (n <= 0) return 0;
    if (!t || n <= grain) return body(arg, 0, n, 0);
    t->n = n;
    t->grain = grain < 1 ? 1 : grain;
    t->chunks = (n - 1) / t->grain + 1;
    t->body = body;
    t->arg = arg;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    atomic_store_explicit(&t->status, 0, memory_order_relaxed);
    if (++t->jobs == 0) t->jobs = 1;
    atomic_store(&t->open, t->jobs);
    take_chunks(t, 0);
    atomic_store(&t->open, 0);
    for (uint32_t looks = 0; atomic_load(&t->inside) != 0;) wait_a_little(&looks);
    return atomic_load(&t->status);
}

static void nothing(void *user) { (void)user; }

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
    void *pool;
    xf_team_run(threads, nothing, NULL, &pool);
}

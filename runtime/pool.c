/* pool.c - the default threads of a context, and how they share the tasks of a step.
 *
 * ctx_create starts the threads; they sleep between runs. A run opens a job for each step that is worth it; the threads
 * join open jobs. Tasks are handed out in chunks of `grain` from one counter, and the leader, who is the caller, waits
 * for chunks that were begun, never for threads that have not come: on a busy machine a thread that is late for a step
 * costs nothing, where a barrier after each step would wait for it every time (measured: 124 ms against 12 ms for a
 * short sentence while other processes kept both cores busy). A thread that never comes costs nothing either, so a
 * system that refuses to start one makes a run slower and not wrong.
 *
 * Joining: a thread counts itself in (`inside`), then looks again whether the job is still open. Leaving: the leader
 * closes the job, then waits until nobody is inside. Both in sequentially consistent order, so either the thread sees
 * the job closed or the leader sees the thread; the job's fields change only when nobody is inside. Sleeping is the
 * same game: a thread counts itself `asleep`, then the kernel looks again whether `run` is what it was.
 *
 * A child of fork has a copy of the pool but none of its threads: the first run there starts new ones.
 */
#define _GNU_SOURCE
#include "runtime/runtime.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Looks of a thread that waits: then the core is offered to somebody else (some ten microseconds), then, between runs,
 * the thread sleeps (about a millisecond). */
enum { LINE = 64, PATIENCE = 256, WAKEFUL = 2048 };

typedef struct {
    xf_pool *pool;
    pthread_t thread;
    int32_t worker;
} member;

struct xf_pool {
    /* the job at hand; written by the leader while nobody is inside */
    int64_t n, grain, chunks;
    int32_t (*body)(void *, int64_t, int64_t, int32_t);
    void *arg;
    char pad0[LINE];
    _Atomic int64_t next; /* first chunk that nobody took */
    _Atomic int32_t status;
    char pad1[LINE];
    _Atomic uint32_t open; /* number of the job that may be joined; 0: none */
    _Atomic uint32_t run;  /* odd while a run wants its threads awake */
    _Atomic bool end;
    uint32_t jobs;
    char pad2[LINE];
    _Atomic int32_t inside; /* threads other than the leader that may touch the job */
    _Atomic int32_t asleep;
    pid_t process; /* the one that has the threads */
    int32_t n_members, n_started;
    member member[];
};

/* In glibc 2.34 both moved from libpthread to libc and got a new version; the old one is in both, so that a model runs
 * on systems older than the one it was compiled on. There the reference is NULL in a process without libpthread. */
#if defined(XF_OLD_GLIBC) && defined(__x86_64__) && defined(__GLIBC__)
extern int create_thread(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) __attribute__((weak));
extern int join_thread(pthread_t, void **) __attribute__((weak));
__asm__(".symver create_thread, pthread_create@GLIBC_2.2.5\n.symver join_thread, pthread_join@GLIBC_2.2.5");
static bool can_start(void) { return create_thread != NULL && join_thread != NULL; }
#else
#define create_thread pthread_create
#define join_thread pthread_join
static bool can_start(void) { return true; }
#endif

static long futex(_Atomic uint32_t *word, int op, uint32_t value) {
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void wait_a_little(uint32_t looks) {
    if (looks > PATIENCE) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* --- threads --- */

static void take_chunks(xf_pool *p, int32_t worker) {
    for (;;) {
        int64_t chunk = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (chunk >= p->chunks || atomic_load_explicit(&p->status, memory_order_relaxed) != 0) return;
        int64_t begin = chunk * p->grain, end = p->n - begin < p->grain ? p->n : begin + p->grain;
        int32_t status = p->body(p->arg, begin, end, worker), none = 0;
        if (status != 0) atomic_compare_exchange_strong(&p->status, &none, status);
    }
}

/* Answers how often in a row nothing was there. */
static uint32_t idle(xf_pool *p, uint32_t looks) {
    uint32_t run = atomic_load(&p->run);
    if (run % 2 == 0 && looks > WAKEFUL) {
        atomic_fetch_add(&p->asleep, 1);
        futex(&p->run, FUTEX_WAIT, run);
        atomic_fetch_sub(&p->asleep, 1);
        return 0;
    }
    wait_a_little(looks);
    return looks + 1;
}

static void *assist(void *user) {
    const member *m = user;
    xf_pool *p = m->pool;
    uint32_t done = 0, looks = 0;
    while (!atomic_load_explicit(&p->end, memory_order_acquire)) {
        uint32_t job = atomic_load_explicit(&p->open, memory_order_acquire);
        if (job == 0 || job == done) {
            looks = idle(p, looks);
            continue;
        }
        looks = 0;
        atomic_fetch_add(&p->inside, 1);
        if (atomic_load(&p->open) == job) {
            take_chunks(p, m->worker);
            done = job;
        }
        atomic_fetch_sub(&p->inside, 1);
    }
    return NULL;
}

/* As many as the system gives. They take no signals: those are for the host's threads. */
static void start(xf_pool *p) {
    sigset_t all, before;
    p->process = getpid();
    p->n_started = 0;
    if (!can_start()) return;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* of the calling thread, as pthread_sigmask, which is of glibc 2.32 */
    for (int32_t i = 0; i < p->n_members; i++) {
        member *m = &p->member[i];
        *m = (member){.pool = p, .worker = i + 1};
        if (create_thread(&m->thread, NULL, assist, m) != 0) break;
        p->n_started++;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

xf_pool *xf_pool_create(int32_t threads) {
    size_t n = (size_t)threads - 1;
    xf_pool *p = calloc(1, sizeof *p + n * sizeof p->member[0]);
    if (!p) return NULL;
    p->n_members = (int32_t)n;
    start(p);
    return p;
}

static void wake(xf_pool *p) {
    atomic_fetch_add(&p->run, 1);
    if (atomic_load(&p->asleep) != 0) futex(&p->run, FUTEX_WAKE, INT32_MAX);
}

void xf_pool_destroy(xf_pool *p) {
    if (!p) return;
    if (p->process == getpid()) {
        atomic_store(&p->end, true);
        wake(p);
        for (int32_t i = 0; i < p->n_started; i++) join_thread(p->member[i].thread, NULL);
    }
    free(p);
}

/* --- runs --- */

/* Whatever the parent's threads were about to do, they do it there. */
static void renew(xf_pool *p) {
    atomic_store(&p->open, 0);
    atomic_store(&p->run, 0);
    atomic_store(&p->inside, 0);
    atomic_store(&p->asleep, 0);
    start(p);
}

static void begin_run(xf_pool *p) {
    if (p->process != getpid()) renew(p);
    wake(p);
}

void xf_pool_end_run(xf_pool *p) {
    if (atomic_load_explicit(&p->run, memory_order_relaxed) % 2 != 0) atomic_fetch_add(&p->run, 1);
}

int32_t xf_pool_parallel(void *pool, int64_t n, int64_t grain, int32_t (*body)(void *, int64_t, int64_t, int32_t),
                         void *arg) {
    xf_pool *p = pool;
    if (atomic_load_explicit(&p->run, memory_order_relaxed) % 2 == 0) begin_run(p);
    p->n = n;
    p->grain = grain;
    p->chunks = (n - 1) / grain + 1;
    p->body = body;
    p->arg = arg;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store_explicit(&p->status, 0, memory_order_relaxed);
    if (++p->jobs == 0) p->jobs = 1;
    atomic_store(&p->open, p->jobs);
    take_chunks(p, 0);
    atomic_store(&p->open, 0);
    for (uint32_t looks = 0; atomic_load(&p->inside) != 0; looks++) wait_a_little(looks);
    return atomic_load(&p->status);
}

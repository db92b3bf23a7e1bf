/* parallel.c - see parallel.h. Threads live as long as a call; where none can be started the caller does all of it. */
#include "ir/base/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MAX_THREADS = 64 };

typedef struct {
    xfc_parallel_fn *body;
    void *arg;
    int64_t n;
    atomic_llong next;
} job;

static void *work(void *arg) {
    job *j = arg;
    for (int64_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n;) j->body(j->arg, i);
    return NULL;
}

void xfc_parallel(int64_t n, xfc_parallel_fn *body, void *arg) {
    job j = {.body = body, .arg = arg, .n = n};
    pthread_t thread[MAX_THREADS];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t most = processors < MAX_THREADS ? processors : MAX_THREADS, started = 0;
    for (; started + 1 < most && started + 1 < n; started++)
        if (pthread_create(&thread[started], NULL, work, &j) != 0) break;
    work(&j);
    for (int64_t i = 0; i < started; i++) pthread_join(thread[i], NULL);
}

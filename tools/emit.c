/* emit.c - see emit.h.
 *
 * LLVM takes most of a compile, and the ISAs have nothing to do with each other; but the compiler's context, which they
 * all read and add expressions to, is not made for threads. So each ISA is emitted by a child process, which begins
 * with the same context whoever else runs and sends its object through a pipe. Where no child can be started, or one
 * does not come back with an object, this process does the work itself, and what went wrong is said from here.
 */
#define _GNU_SOURCE
#include "tools/emit.h"
#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    pid_t pid; /* 0: there is none */
    int pipe;
} child;

typedef struct { /* what a child sends before the bytes */
    double seconds;
    uint64_t n;
} head;

static void tell_time(const xf_emission *e, const char *isa, double seconds, size_t n) {
    if (e->time) fprintf(stderr, "  emit %-12s %9.1f ms %9zu bytes\n", isa, seconds * 1e3, n);
}

static xfc_status emit(const xf_emission *e, const char *isa, const char *what, xfc_blob *out, double *seconds) {
    xfc_target target;
    double start = xf_seconds();
    XFC_TRY(e->backend->configure(e->ctx, &target, isa));
    XFC_TRY(e->backend->emit(e->ctx, &target, e->set, what, e->opt_level, out));
    *seconds = xf_seconds() - start;
    return XFC_OK;
}

xfc_status xf_emit_isa(const xf_emission *e, const char *isa, const char *what, xfc_blob *out) {
    double seconds;
    XFC_TRY(emit(e, isa, what, out, &seconds));
    tell_time(e, isa, seconds, out->n);
    return XFC_OK;
}

/* --- children --- */

static bool send_all(int to, const void *data, size_t n) {
    for (const char *p = data; n;) {
        ssize_t k = write(to, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p += k, n -= (size_t)k;
    }
    return true;
}

static bool receive_all(int from, void *data, size_t n) {
    for (char *p = data; n;) {
        ssize_t k = read(from, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p += k, n -= (size_t)k;
    }
    return true;
}

/* Says nothing and leaves nothing; it ends with its parent. */
static void be_quiet(pid_t parent) {
    static const int telling[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for (size_t i = 0; i < XFC_COUNT(telling); i++) signal(telling[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (getppid() != parent || nowhere < 0 || dup2(nowhere, STDERR_FILENO) < 0) _exit(1);
}

static void work(const xf_emission *e, const char *isa, int to) {
    xfc_blob object = {0};
    head h = {0};
    bool done = emit(e, isa, "obj", &object, &h.seconds) == XFC_OK;
    h.n = object.n;
    _exit(!(done && send_all(to, &h, sizeof h) && send_all(to, object.data, object.n)));
}

static child start(const xf_emission *e, const char *isa) {
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0) return (child){0};
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        be_quiet(parent);
        work(e, isa, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) close(ends[0]);
    return pid < 0 ? (child){0} : (child){pid, ends[0]};
}

/* False: no object came. */
static bool finish(const xf_emission *e, const child *c, const char *isa, xfc_blob *out) {
    head h;
    int status = 0;
    if (!c->pid) return false;
    bool came = receive_all(c->pipe, &h, sizeof h) && (out->data = malloc(h.n + 1)) != NULL &&
                receive_all(c->pipe, out->data, h.n);
    close(c->pipe);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {}
    if (came && status == 0) {
        out->n = h.n;
        tell_time(e, isa, h.seconds, out->n);
        return true;
    }
    free(out->data);
    *out = (xfc_blob){0};
    return false;
}

static uint32_t n_cpus(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

xfc_status xf_emit_objects(const xf_emission *e, const char *const *isas, uint32_t n, uint32_t jobs, xfc_blob *out) {
    xfc_status s = XFC_OK;
    child *children = xfc_new_array(e->ctx->arena, child, n);
    if (n == 1) return xf_emit_isa(e, isas[0], "obj", out);
    if (jobs == 0) jobs = n_cpus();
    for (uint32_t i = 0, started = 0; i < n; i++) {
        while (started < n && started < i + jobs) children[started] = start(e, isas[started]), started++;
        bool came = finish(e, &children[i], isas[i], &out[i]);
        if (!came && s == XFC_OK) s = xf_emit_isa(e, isas[i], "obj", &out[i]);
    }
    return s;
}

/* child.c - see child.h. */
#define _GNU_SOURCE
#include "tools/child.h"
#include "ir/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool xf_send(int to, const void *data, size_t n) {
    for (const char *p = data; n;) {
        ssize_t k = write(to, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p += k, n -= (size_t)k;
    }
    return true;
}

bool xf_receive(int from, void *data, size_t n) {
    for (char *p = data; n;) {
        ssize_t k = read(from, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p += k, n -= (size_t)k;
    }
    return true;
}

static void begin(pid_t parent) {
    static const int telling[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for (size_t i = 0; i < XFC_COUNT(telling); i++) signal(telling[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
}

bool xf_child_start(xf_child *c, xf_child_work *work, const void *arg) {
    int ends[2];
    pid_t parent = getpid();
    *c = (xf_child){0};
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        begin(parent);
        work(arg, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    if (pid < 0) close(ends[0]);
    if (pid > 0) *c = (xf_child){pid, ends[0]};
    return pid > 0;
}

int xf_child_end(const xf_child *c) {
    int status = 0;
    close(c->from);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

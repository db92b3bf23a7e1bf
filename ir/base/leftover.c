/* leftover.c - see leftover.h. What removes uses system calls only: no malloc, no stdio, no locks. */
#define _GNU_SOURCE /* getdents64 */
#include "ir/base/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PATHS = 32, TRIES = 400, MOST_DEPTH = 8 };

struct xfc_leftovers {
    _Atomic int group;
    _Atomic char used[MOST_PATHS];
    char path[MOST_PATHS][PATH_MAX];
};

xfc_leftovers *xfc_leftovers_new(void) {
    void *p = mmap(NULL, sizeof(xfc_leftovers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void xfc_leftover_add(xfc_leftovers *l, const char *path) {
    size_t n = strlen(path) + 1;
    if (!l || n > PATH_MAX) return; /* such a path cannot be opened */
    uint32_t i = 0;
    while (l->used[i]) {
        i++;
        xfc_assert(i < MOST_PATHS);
    }
    memcpy(l->path[i], path, n);
    l->used[i] = 1; /* last: who reads sees a whole path */
}

void xfc_leftover_drop(xfc_leftovers *l, const char *path) {
    for (uint32_t i = 0; l && i < MOST_PATHS; i++)
        if (l->used[i] && strcmp(l->path[i], path) == 0) l->used[i] = 0;
}

void xfc_leftover_group(xfc_leftovers *l, int group) {
    if (l) l->group = group;
}

static void remove_at(int folder, const char *name, int depth) {
    if (unlinkat(folder, name, 0) == 0 || errno != EISDIR || depth == MOST_DEPTH) return;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    char entries[2048];
    for (ssize_t n; (n = getdents64(fd, entries, sizeof entries)) > 0;) {
        for (ssize_t at = 0; at < n;) {
            struct dirent64 d;
            memcpy(&d, entries + at, offsetof(struct dirent64, d_name));
            const char *entry = entries + at + offsetof(struct dirent64, d_name);
            if (strcmp(entry, ".") != 0 && strcmp(entry, "..") != 0) remove_at(fd, entry, depth + 1);
            at += d.d_reclen;
        }
    }
    close(fd);
    unlinkat(folder, name, AT_REMOVEDIR);
}

void xfc_remove_tree(const char *path) { remove_at(AT_FDCWD, path, 0); }

/* A process that was killed may still be in the middle of making a file, so their end is waited for: 2 s at most. */
static void end_group(int group) {
    kill(-group, SIGKILL);
    for (int i = 0; i < TRIES; i++) {
        while (waitpid(-group, NULL, WNOHANG) > 0) {}
        if (kill(-group, 0) != 0) return;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

void xfc_leftovers_remove(xfc_leftovers *l) {
    if (l->group > 0) end_group(l->group);
    for (uint32_t i = 0; i < MOST_PATHS; i++)
        if (l->used[i]) xfc_remove_tree(l->path[i]);
}

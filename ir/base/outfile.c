/* outfile.c - see outfile.h.
 *
 * Names beside the target are made of the process id and a number. Others may know them beforehand; but they are only
 * taken when nobody has them, and do not grow with the target's, which may be as long as a name can be.
 */
#define _GNU_SOURCE /* O_TMPFILE */
#include "ir/base/outfile.h"
#include "ir/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FD_PATH = 32, TRIES = 1000, DIGITS = 24 };

static void fd_path(int fd, char text[FD_PATH]) { snprintf(text, FD_PATH, "/proc/self/fd/%d", fd); }

/* -1: not here. Without /proc it could never be given a name. */
static int open_nameless(const char *folder, mode_t mode) {
    char text[FD_PATH];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (fd < 0) return -1;
    fd_path(fd, text);
    if (access(text, F_OK) == 0) return fd;
    close(fd);
    return -1;
}

/* Makes the name: that of a new file, which is answered, or of the open one, which is. -1: errno says why. */
static int take_name(xfc_outfile *f, int fd, mode_t mode) {
    char text[FD_PATH], *number = f->beside + strlen(f->beside) - DIGITS;
    fd_path(fd, text);
    for (int i = 0; i < TRIES; i++) {
        snprintf(number, DIGITS + 1, "%0*ld%0*d", DIGITS / 2, (long)getpid(), DIGITS / 2, i);
        xfc_leftover_add(f->leftovers, f->beside);
        int got = fd;
        if (fd < 0)
            got = open(f->beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        else if (linkat(AT_FDCWD, text, AT_FDCWD, f->beside, AT_SYMLINK_FOLLOW) != 0)
            got = -1;
        f->named = got >= 0;
        if (f->named) return got;
        xfc_leftover_drop(f->leftovers, f->beside);
        if (errno != EEXIST) break;
    }
    return -1;
}

bool xfc_outfile_open(xfc_outfile *f, xfc_arena *arena, xfc_leftovers *leftovers, const char *path, mode_t mode) {
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash - path) + 1 : 0;
    *f = (xfc_outfile){.path = path, .leftovers = leftovers};
    f->beside = xfc_sprintf(arena, "%.*s.xfc-%*s", n, path, DIGITS, "");
    f->fd = open_nameless(n ? xfc_sprintf(arena, "%.*s", n, path) : ".", mode);
    if (f->fd < 0) f->fd = take_name(f, -1, mode);
    return f->fd >= 0;
}

bool xfc_outfile_done(xfc_outfile *f) {
    bool ok = f->named || take_name(f, f->fd, 0) >= 0;
    if (!ok) {
        xfc_outfile_drop(f);
        return false;
    }
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) == 0) return true; /* on NFS writing fails as late as this */
    xfc_outfile_drop(f);
    return false;
}

bool xfc_outfile_place(xfc_outfile *f) {
    if (rename(f->beside, f->path) != 0) {
        xfc_outfile_drop(f);
        return false;
    }
    xfc_leftover_drop(f->leftovers, f->beside);
    f->named = false;
    return true;
}

void xfc_outfile_drop(xfc_outfile *f) {
    int saved = errno;
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
    if (f->named) {
        unlink(f->beside);
        xfc_leftover_drop(f->leftovers, f->beside);
    }
    f->named = false;
    errno = saved;
}

/* --- several --- */

/* A second name for the file that is about to be replaced; NULL: there is none. */
static char *keep_old(xfc_arena *arena, const xfc_outfile *next) {
    char *old = xfc_sprintf(arena, "%s.old", next->beside);
    if (link(next->path, old) != 0) return NULL;
    xfc_leftover_add(next->leftovers, old);
    return old;
}

static void take_back(const xfc_outfile *f, const char *old) {
    if (old)
        rename(old, f->path);
    else
        unlink(f->path);
}

const xfc_outfile *xfc_outfiles_place(xfc_arena *arena, xfc_outfile *const *f, uint32_t n) {
    char **old = xfc_new_array(arena, char *, n);
    uint32_t placed = 0;
    for (uint32_t i = 0; i + 1 < n; i++) old[i] = keep_old(arena, f[i]); /* when the last fails, it is still there */
    while (placed < n && xfc_outfile_place(f[placed])) placed++;
    int saved = errno;
    for (uint32_t i = 0; i < n && placed < n; i++) {
        if (i < placed) take_back(f[i], old[i]);
        if (i > placed) xfc_outfile_drop(f[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!old[i]) continue;
        unlink(old[i]);
        xfc_leftover_drop(f[i]->leftovers, old[i]);
    }
    errno = saved;
    return placed < n ? f[placed] : NULL;
}

/* --- what was read --- */

struct xfc_file_id {
    dev_t device;
    ino_t number;
};

void xfc_note_read(xfc_ctx *ctx, const struct stat *st) {
    if (!S_ISREG(st->st_mode)) return;
    xfc_push(ctx->arena, ctx->read, ctx->n_read, ctx->cap_read) = (struct xfc_file_id){st->st_dev, st->st_ino};
}

bool xfc_was_read(const xfc_ctx *ctx, const char *path) {
    struct stat st;
    if (ctx->n_read == 0 || stat(path, &st) != 0) return false;
    for (uint32_t i = 0; i < ctx->n_read; i++)
        if (ctx->read[i].device == st.st_dev && ctx->read[i].number == st.st_ino) return true;
    return false;
}

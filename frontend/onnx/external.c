/* external.c - weights in files beside the model, without letting a model read anything else.
 *
 * A location is a relative path below the model's folder. It is opened component by component, each relative to the one
 * before and without following links: nothing is checked first and opened later. The file must be regular and, because
 * a hard link can alias any file as a symbolic one can, must have one name only. Where links are allowed, what they
 * lead to is found first without opening it (O_PATH), asked where it lies, and only opened, as the very file that was
 * asked, if that is below the folder. Each file is mapped once.
 */
#define _GNU_SOURCE /* O_PATH, O_NOFOLLOW */
#include "frontend/onnx/load.h"
#include "ir/base/outfile.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const char *location;
    uint64_t offset, length;
    bool has_length;
} entries;

static bool parse_number(const char *s, uint64_t *out) {
    uint64_t value = 0;
    if (!*s) return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9') return false;
        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static xfc_status read_entries(xfc_ctx *ctx, const Onnx__TensorProto *t, xfc_loc loc, const char *what, entries *out) {
    *out = (entries){0};
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *key = t->external_data[i]->key, *value = t->external_data[i]->value;
        if (!key || !value) continue;
        bool ok = true;
        if (!strcmp(key, "location"))
            out->location = value;
        else if (!strcmp(key, "offset"))
            ok = parse_number(value, &out->offset);
        else if (!strcmp(key, "length"))
            ok = out->has_length = parse_number(value, &out->length);
        if (!ok) return xfc_fail(ctx, XFC_ERR_INPUT, loc, "%s: external %s '%.40s' is not a number", what, key, value);
    }
    if (!out->location) return xfc_fail(ctx, XFC_ERR_INPUT, loc, "%s: external data without a location", what);
    return XFC_OK;
}

/* Opens dir/part without following a link, closes dir. */
static int descend(int dir, const char *part, size_t n, bool last) {
    char name[256];
    int fd = -1;
    if (n >= sizeof name) {
        errno = ENAMETOOLONG;
    } else {
        memcpy(name, part, n);
        name[n] = 0;
        fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? O_NONBLOCK : O_DIRECTORY));
    }
    int saved = errno;
    close(dir);
    errno = saved;
    return fd;
}

/* Closes folder. */
static int open_component_wise(int folder, const char *location) {
    int fd = folder;
    for (const char *part = location; fd >= 0 && *part;) {
        size_t n = strcspn(part, "/"), gap = strspn(part + n, "/");
        fd = descend(fd, part, n, !part[n + gap]);
        part += n + gap;
    }
    return fd;
}

/* --- with links --- */

enum { FD_PATH = 32 };

static void fd_path(int fd, char text[FD_PATH]) { snprintf(text, FD_PATH, "/proc/self/fd/%d", fd); }

/* Where an open file lies: no links in it. */
static bool place_of(int fd, char place[PATH_MAX]) {
    char text[FD_PATH];
    fd_path(fd, text);
    ssize_t n = readlink(text, place, PATH_MAX - 1);
    if (n < 0) return false;
    place[n] = 0;
    return true;
}

static bool lies_below(int folder, int fd) {
    char above[PATH_MAX], place[PATH_MAX];
    if (!place_of(folder, above) || !place_of(fd, place)) return false;
    size_t n = strlen(above);
    n -= n == 1; /* "/" */
    bool below = strncmp(place, above, n) == 0 && place[n] == '/';
    if (!below) errno = EXDEV;
    return below;
}

/* Closes folder. */
static int open_following(int folder, const char *location) {
    char text[FD_PATH];
    int found = openat(folder, location, O_PATH | O_CLOEXEC), fd = -1;
    if (found >= 0 && lies_below(folder, found)) {
        fd_path(found, text);
        fd = open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    int saved = errno;
    if (found >= 0) close(found);
    close(folder);
    errno = saved;
    return fd;
}

/* False for paths that leave the folder by their spelling. */
static bool location_is_safe(const char *s) {
    if (!*s || *s == '/') return false;
    while (*s) {
        size_t n = strcspn(s, "/");
        if (n == 2 && s[0] == '.' && s[1] == '.') return false;
        s += n;
        s += strspn(s, "/");
    }
    return true;
}

static int open_beneath(const char *model_path, const char *location, bool follow) {
    const char *slash = strrchr(model_path, '/');
    char folder[4096];
    size_t n = slash ? (size_t)(slash - model_path) + 1 : 2;
    if (n >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, slash ? model_path : "./", n);
    folder[n] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    return follow ? open_following(fd, location) : open_component_wise(fd, location);
}

static void unmap(void *user) {
    xfc_mapping *m = user;
    munmap((void *)(uintptr_t)m->data, m->n);
}

static xfc_status map_external(xfc_onnx_file *f, int fd, const char *location, xfc_loc loc, xfc_mapping *out) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return xfc_fail(f->ctx, XFC_ERR_IO, loc, "external data '%s' is not a regular file", location);
    if (st.st_nlink > 1 && !f->follow_links)
        return xfc_fail(f->ctx, XFC_ERR_IO, loc,
                        "external data '%s' is a hard link; copy the file, or allow links with --follow-links",
                        location);
    xfc_note_read(f->ctx, &st);
    *out = (xfc_mapping){.data = (const uint8_t *)"", .n = (size_t)st.st_size};
    if (!out->n) return XFC_OK;
    void *data = mmap(NULL, out->n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return xfc_fail(f->ctx, XFC_ERR_IO, loc, "cannot map external data '%s': %s", location, strerror(errno));
    out->data = data;
    return XFC_OK;
}

static const xfc_mapping *find_or_map(xfc_onnx_file *f, const char *location, xfc_loc loc) {
    const char *key = xfc_str(f->ctx, location);
    xfc_mapping *m = xfc_map_get_ptr(&f->external, key);
    if (m) return m;
    if (!location_is_safe(location)) {
        xfc_fail(f->ctx, XFC_ERR_INPUT, loc,
                 "external data '%s' lies outside the model's folder; keep it beside the model", location);
        return NULL;
    }
    int fd = open_beneath(f->path, location, f->follow_links);
    if (fd < 0) {
        const char *hint = !f->follow_links && (errno == ELOOP || errno == ENOTDIR)
                               ? " (symbolic links are refused unless --follow-links)"
                               : "";
        if (errno == EXDEV)
            xfc_fail(f->ctx, XFC_ERR_INPUT, loc,
                     "external data '%s' is a link that leads out of the model's folder; copy the file into it",
                     location);
        else
            xfc_fail(f->ctx, XFC_ERR_IO, loc, "cannot open external data '%s': %s%s", location, strerror(errno), hint);
        return NULL;
    }
    m = xfc_new(f->ctx->arena, xfc_mapping);
    xfc_status status = map_external(f, fd, location, loc, m);
    close(fd);
    if (status != XFC_OK) return NULL;
    if (m->n) xfc_ctx_at_exit(f->ctx, unmap, m);
    xfc_map_set_ptr(&f->external, key, m);
    return m;
}

const uint8_t *xfc_external_data(xfc_onnx_file *f, const Onnx__TensorProto *t, size_t bytes, xfc_loc loc,
                                 const char *what) {
    entries e;
    if (read_entries(f->ctx, t, loc, what, &e) != XFC_OK) return NULL;
    if (e.has_length && e.length != bytes) {
        xfc_fail(f->ctx, XFC_ERR_INPUT, loc, "%s: external length %llu, but its shape needs %zu bytes", what,
                 (unsigned long long)e.length, bytes);
        return NULL;
    }
    const xfc_mapping *m = find_or_map(f, e.location, loc);
    if (!m) return NULL;
    if (e.offset > m->n || bytes > m->n - e.offset) {
        const char *foreign = xfc_foreign_file(f->arena, *m);
        if (foreign) {
            xfc_fail(f->ctx, XFC_ERR_INPUT, loc, "%s: external data '%s' is %s", what, e.location, foreign);
            return NULL;
        }
        xfc_fail(f->ctx, XFC_ERR_INPUT, loc,
                 "%s: needs bytes %llu..%llu of external data '%s', which has only %zu; copy it again", what,
                 (unsigned long long)e.offset, (unsigned long long)e.offset + bytes, e.location, m->n);
        return NULL;
    }
    return m->data + e.offset;
}

/* link.c - objects and runtime become one shared object, by the system's linker.
 *
 * The system's C compiler driver links the kernels, the data object of llvm/base.c and the runtime archive that is
 * embedded in xfc; only xf_get_api is exported. Everything in between lies in a temporary directory. No shell is
 * involved, and nothing in the result depends on time, paths or addresses: the same input gives the same bytes.
 * Not here: weights and IR text, which never pass through the linker, and the output file (artefact.c).
 */
#define _GNU_SOURCE
#include "backends/artefact.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const unsigned char xf_runtime_archive[]; /* made by cmake/embed.cmake */
extern const size_t xf_runtime_archive_size;
extern char **environ;

enum { LOG_BYTES = 4096 };
static const char exports[] = "{ global: xf_get_api; local: *; };\n";

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    const xfc_link_job *job;
    xfc_loc loc;
    char *dir;           /* temporary directory; NULL: none yet */
    const char **object; /* paths for the linker */
    uint32_t n_objects;
    char *map, *linked, *log;
} linker;

/* --- the temporary directory --- */

/* The path outlives the link: messages are printed later. */
static xfc_status io_error(const linker *l, const char *path, const char *what, const char *remedy) {
    return xfc_fail(l->ctx, XFC_ERR_IO, (xfc_loc){.file = xfc_str(l->ctx, path)}, "%s: %s; %s", what, strerror(errno),
                    remedy);
}

static xfc_status make_dir(linker *l) {
    const char *base = getenv("TMPDIR");
    l->dir = xfc_sprintf(l->arena, "%s/xfc-XXXXXX", base && *base ? base : "/tmp");
    if (mkdtemp(l->dir)) return XFC_OK;
    const char *path = l->dir;
    l->dir = NULL;
    return io_error(l, path, "no temporary directory", "set TMPDIR to a directory that can be written");
}

static void remove_dir(linker *l) {
    DIR *d = l->dir ? opendir(l->dir) : NULL;
    if (!d) return;
    for (struct dirent *f; (f = readdir(d)) != NULL;)
        if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0) unlinkat(dirfd(d), f->d_name, 0);
    closedir(d);
    rmdir(l->dir);
}

static xfc_status write_file(linker *l, const char *name, const void *data, size_t n, char **path) {
    *path = xfc_sprintf(l->arena, "%s/%s", l->dir, name);
    int fd = open(*path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return io_error(l, *path, "cannot be created", "set TMPDIR to a directory that can be written");
    xfc_status s = xfc_write_all(l->ctx, xfc_str(l->ctx, *path), fd, data, n);
    close(fd);
    return s;
}

static xfc_status read_file(linker *l, const char *path, char **data, size_t *n) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 0) {
        xfc_status s = io_error(l, path, "cannot be read", "set TMPDIR to a directory that can be written");
        if (fd >= 0) close(fd);
        return s;
    }
    *data = xfc_alloc(l->arena, (size_t)st.st_size + 1, 16);
    *n = 0;
    for (ssize_t k; *n < (size_t)st.st_size && (k = read(fd, *data + *n, (size_t)st.st_size - *n)) > 0;)
        *n += (size_t)k;
    close(fd);
    return *n == (size_t)st.st_size ? XFC_OK : io_error(l, path, "cannot be read whole", "try again");
}

/* --- the system's linker --- */

static char **arguments(linker *l, const char *program) {
    static const char *const flags[] = {"-Wl,--gc-sections",    "-Wl,--as-needed", "-Wl,--build-id=none",
                                        "-Wl,--hash-style=gnu", "-Wl,-z,relro",    "-Wl,-z,now",
                                        "-Wl,-z,noexecstack",   "-Wl,-z,defs",     "-Wl,-u,xf_get_api"};
    char **v = xfc_new_array(l->arena, char *, XFC_COUNT(flags) + l->n_objects + 10);
    uint32_t n = 0;
    v[n++] = xfc_sprintf(l->arena, "%s", program);
    v[n++] = xfc_sprintf(l->arena, "-shared");
    v[n++] = xfc_sprintf(l->arena, "-o");
    v[n++] = l->linked;
    for (uint32_t i = 0; i < XFC_COUNT(flags); i++) v[n++] = xfc_sprintf(l->arena, "%s", flags[i]);
    v[n++] = xfc_sprintf(l->arena, "-Wl,--version-script=%s", l->map);
    for (uint32_t i = 0; i < l->n_objects; i++) v[n++] = xfc_sprintf(l->arena, "%s", l->object[i]);
    v[n++] = xfc_sprintf(l->arena, "-lm");
    v[n] = NULL;
    return v;
}

/* Answers the exit status, or -1 when the program cannot be started. Its output goes to the log. */
static int spawn(linker *l, const char *program) {
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return -1;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, l->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid;
    int error = posix_spawnp(&pid, program, &actions, NULL, arguments(l, program), environ), status = 0;
    posix_spawn_file_actions_destroy(&actions);
    if (error) return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The line of the log that says most: the first with "error" or "cannot" or "undefined", else the first. */
static const char *log_line(linker *l) {
    char *text = NULL;
    size_t n = 0;
    if (access(l->log, R_OK) != 0 || read_file(l, l->log, &text, &n) != XFC_OK || n == 0) return "it said nothing";
    char *best = NULL;
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = '\0';
        bool tells = strstr(line, "error") || strstr(line, "cannot") || strstr(line, "undefined");
        if (tells && !best) best = line;
    }
    best = best ? best : text;
    if (strlen(best) > LOG_BYTES) best[LOG_BYTES] = '\0';
    return best;
}

static xfc_status run_linker(linker *l) {
    static const char *const known[] = {"cc", "gcc", "clang"};
    const char *const *candidates = l->job->linker ? &l->job->linker : known;
    uint32_t n = l->job->linker ? 1 : XFC_COUNT(known);
    for (uint32_t i = 0; i < n; i++) {
        int status = spawn(l, candidates[i]);
        if (status == 0) return XFC_OK;
        if (status == -1 || status == 127) continue; /* not there */
        return xfc_fail(l->ctx, XFC_ERR_TOOL, l->loc, "the linker %s failed: %s; try another with --linker=PROGRAM",
                        candidates[i], log_line(l));
    }
    if (l->job->linker)
        return xfc_fail(l->ctx, XFC_ERR_TOOL, l->loc,
                        "the linker %s cannot be started; give a C compiler that is installed", l->job->linker);
    return xfc_fail(l->ctx, XFC_ERR_TOOL, l->loc,
                    "no linker found (tried cc, gcc, clang); install gcc, or name one with --linker=PROGRAM");
}

static xfc_status add_object(linker *l, const char *name, const void *data, size_t n) {
    char *path;
    XFC_TRY(write_file(l, name, data, n, &path));
    l->object[l->n_objects++] = path;
    return XFC_OK;
}

static xfc_status link_objects(linker *l) {
    const xfc_link_job *job = l->job;
    xfc_blob base;
    l->object = xfc_new_array(l->arena, const char *, job->n_objects + 2);
    XFC_TRY(xfc_emit_base(l->ctx, job->plan, job->packed, job->isas, job->n_isas, &base));
    xfc_status s = add_object(l, "base.o", base.data, base.n);
    free(base.data);
    XFC_TRY(s);
    for (uint32_t i = 0; i < job->n_objects; i++)
        XFC_TRY(add_object(l, xfc_sprintf(l->arena, "kernels_%u.o", i), job->objects[i].data, job->objects[i].n));
    XFC_TRY(add_object(l, "libxf_runtime.a", xf_runtime_archive, xf_runtime_archive_size));
    XFC_TRY(write_file(l, "exports.map", exports, sizeof exports - 1, &l->map));
    l->linked = xfc_sprintf(l->arena, "%s/linked.so", l->dir);
    l->log = xfc_sprintf(l->arena, "%s/log", l->dir);
    return run_linker(l);
}

xfc_status xfc_link(xfc_ctx *ctx, const xfc_link_job *job) {
    linker l = {.ctx = ctx, .arena = xfc_arena_new(), .job = job, .loc = {.file = job->output}};
    char *elf = NULL;
    size_t n = 0;
    xfc_status s = xfc_check_artefact(ctx, job);
    if (s == XFC_OK) s = make_dir(&l);
    if (s == XFC_OK) s = link_objects(&l);
    if (s == XFC_OK) s = read_file(&l, l.linked, &elf, &n);
    if (s == XFC_OK) s = xfc_write_artefact(ctx, job, elf, n);
    remove_dir(&l);
    xfc_arena_free(l.arena);
    return s;
}

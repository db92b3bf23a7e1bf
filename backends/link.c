/* link.c - objects and runtime become one shared object, by the system's linker.
 *
 * The system's C compiler driver links the kernels, the data object of llvm/base.c and the archives of runtime and tiles
 * that are embedded in xfc; only xf_get_api is exported. Everything in between lies in a temporary directory, which goes however
 * xfc ends (ir/base/leftover.h). No shell is involved, and nothing in the result depends on time, paths, addresses or
 * the environment: the same input gives the same bytes.
 * Not here: weights and IR text, which never pass through the linker, and the output file (artefact.c).
 */
#define _GNU_SOURCE
#include "backends/artefact.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const unsigned char xf_runtime_archive[]; /* made by cmake/embed.cmake */
extern const size_t xf_runtime_archive_size;
extern const unsigned char xf_tiles_archive[];
extern const size_t xf_tiles_archive_size;

enum { LOG_BYTES = 4096 };
static const char exports[] = "{ global: xf_get_api; local: *; };\n";

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    const xfc_link_job *job;
    xfc_loc loc;
    char *dir; /* the temporary directory; NULL: none yet */
    int fd;
    const char **object; /* names of files in it */
    uint32_t n_objects;
} linker;

/* --- the temporary directory --- */

static const char map_file[] = "exports.map", linked_file[] = "linked.so", log_file[] = "log";

/* The path outlives the link: messages are printed later. */
static xfc_status io_error(const linker *l, const char *path, const char *what, const char *remedy) {
    return xfc_fail(l->ctx, XFC_ERR_IO, (xfc_loc){.file = xfc_str(l->ctx, path)}, "%s: %s; %s", what, strerror(errno),
                    remedy);
}

static const char *path_of(const linker *l, const char *name) { return xfc_sprintf(l->arena, "%s/%s", l->dir, name); }

static xfc_status make_dir(linker *l) {
    static const char remedy[] = "set TMPDIR to a directory that can be written";
    const char *base = getenv("TMPDIR");
    char *path = xfc_sprintf(l->arena, "%s/xfc-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) return io_error(l, path, "no temporary directory", remedy);
    xfc_leftover_add(l->ctx->leftovers, path);
    l->dir = path;
    l->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return l->fd >= 0 ? XFC_OK : io_error(l, path, "cannot be opened", remedy);
}

static void remove_dir(linker *l) {
    if (l->fd >= 0) close(l->fd);
    if (!l->dir) return;
    xfc_remove_tree(l->dir);
    xfc_leftover_drop(l->ctx->leftovers, l->dir);
}

static xfc_status write_file(linker *l, const char *name, const void *data, size_t n) {
    const char *path = xfc_str(l->ctx, path_of(l, name));
    xfc_assert(l->fd >= 0);
    int fd = openat(l->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return io_error(l, path, "cannot be created", "set TMPDIR to a directory that can be written");
    xfc_status s = xfc_write_all(l->ctx, path, fd, data, n);
    close(fd);
    return s;
}

static xfc_status read_file(linker *l, const char *name, char **data, size_t *n) {
    struct stat st;
    int fd = openat(l->fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 0) {
        xfc_status s = io_error(l, path_of(l, name), "cannot be read", "set TMPDIR to a directory that can be written");
        if (fd >= 0) close(fd);
        return s;
    }
    *data = xfc_alloc(l->arena, (size_t)st.st_size + 1, 16);
    *n = 0;
    for (ssize_t k; *n < (size_t)st.st_size && (k = read(fd, *data + *n, (size_t)st.st_size - *n)) > 0;)
        *n += (size_t)k;
    close(fd);
    return *n == (size_t)st.st_size ? XFC_OK : io_error(l, path_of(l, name), "cannot be read whole", "try again");
}

/* --- the system's linker --- */

static char **arguments(linker *l, const char *program) {
    static const char *const flags[] = {"-shared",
                                        "-o",
                                        linked_file,
                                        "-Wl,--gc-sections",
                                        "-Wl,--as-needed",
                                        "-Wl,--build-id=none",
                                        "-Wl,--hash-style=gnu",
                                        "-Wl,-z,relro",
                                        "-Wl,-z,now",
                                        "-Wl,-z,noexecstack",
                                        "-Wl,-z,defs",
                                        "-Wl,-u,xf_get_api",
                                        "-Wl,--version-script=exports.map"};
    const char **v = xfc_new_array(l->arena, const char *, XFC_COUNT(flags) + l->n_objects + 3);
    uint32_t n = 0;
    v[n++] = program;
    for (uint32_t i = 0; i < XFC_COUNT(flags); i++) v[n++] = flags[i];
    for (uint32_t i = 0; i < l->n_objects; i++) v[n++] = l->object[i];
    v[n++] = "-lm";
    return (char **)(uintptr_t)v; /* exec only reads them */
}

/* What the linker needs to start and to find its parts, and nothing that changes what it makes (LD_RUN_PATH and the
 * like). Messages are in English, since they are searched. What it leaves in its TMPDIR goes with ours. */
static char **environment(linker *l) {
    static const char *const kept[] = {
        "PATH", "HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "COMPILER_PATH", "GCC_EXEC_PREFIX", "LIBRARY_PATH"};
    const char **v = xfc_new_array(l->arena, const char *, XFC_COUNT(kept) + 3);
    uint32_t n = 0;
    char *absolute = realpath(l->dir, NULL);
    v[n++] = xfc_sprintf(l->arena, "TMPDIR=%s", absolute ? absolute : ".");
    free(absolute);
    v[n++] = "LC_ALL=C";
    for (uint32_t i = 0; i < XFC_COUNT(kept); i++) {
        const char *value = getenv(kept[i]);
        if (value) v[n++] = xfc_sprintf(l->arena, "%s=%s", kept[i], value);
    }
    return (char **)(uintptr_t)v;
}

/* The linker starts in the temporary directory, where files have short names, whatever that directory is called. So a
 * program that was named by a relative path gets a whole one. */
static const char *program_path(linker *l, const char *program) {
    char *here = program[0] != '/' && strchr(program, '/') ? getcwd(NULL, 0) : NULL;
    const char *path = here ? xfc_sprintf(l->arena, "%s/%s", here, program) : program;
    free(here);
    return path;
}

/* A process group of its own: the driver starts further programs, and all must be gone before what they write is. No
 * signal may come between its start and the note of it. */
static int start(linker *l, const char *program, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, before;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addfchdir_np(&actions, l->fd);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &before);
    int error =
        posix_spawnp(pid, program_path(l, program), &actions, &attributes, arguments(l, program), environment(l));
    if (!error) xfc_leftover_group(l->ctx->leftovers, *pid);
    sigprocmask(SIG_SETMASK, &before, NULL);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Answers the exit status, or -1 when the program cannot be started: errno says why. Its output goes to the log. */
static int spawn(linker *l, const char *program) {
    pid_t pid;
    int status = 0;
    errno = start(l, program, &pid);
    if (errno) return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    xfc_leftover_group(l->ctx->leftovers, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The line of the log that says most: the first with "error" or "cannot" or "undefined", else the first. */
static const char *log_line(linker *l) {
    char *text = NULL;
    size_t n = 0;
    if (faccessat(l->fd, log_file, R_OK, 0) != 0 || read_file(l, log_file, &text, &n) != XFC_OK || n == 0)
        return "it said nothing";
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
        bool absent = status == 127 || (status == -1 && errno == ENOENT);
        if (absent) continue;
        if (status == -1)
            return xfc_fail(l->ctx, XFC_ERR_TOOL, l->loc,
                            "the linker %s cannot be started: %s; give another with --linker=PROGRAM", candidates[i],
                            strerror(errno));
        return xfc_fail(l->ctx, XFC_ERR_TOOL, l->loc, "the linker %s failed: %s; try another with --linker=PROGRAM",
                        candidates[i], log_line(l));
    }
    if (l->job->linker)
        return xfc_fail(
            l->ctx, XFC_ERR_TOOL, l->loc,
            "the linker %s cannot be started: there is no such program; give a C compiler that is installed",
            l->job->linker);
    return xfc_fail(l->ctx, XFC_ERR_TOOL, l->loc,
                    "no linker found (tried cc, gcc, clang); install gcc, or name one with --linker=PROGRAM");
}

static xfc_status add_object(linker *l, const char *name, const void *data, size_t n) {
    XFC_TRY(write_file(l, name, data, n));
    l->object[l->n_objects++] = name;
    return XFC_OK;
}

static xfc_status link_objects(linker *l) {
    const xfc_link_job *job = l->job;
    xfc_blob base;
    l->object = xfc_new_array(l->arena, const char *, job->n_objects + 3);
    XFC_TRY(xfc_emit_base(l->ctx, job, &base));
    xfc_status s = add_object(l, "base.o", base.data, base.n);
    free(base.data);
    XFC_TRY(s);
    for (uint32_t i = 0; i < job->n_objects; i++)
        XFC_TRY(add_object(l, xfc_sprintf(l->arena, "kernels_%u.o", i), job->objects[i].data, job->objects[i].n));
    XFC_TRY(add_object(l, "libxf_runtime.a", xf_runtime_archive, xf_runtime_archive_size));
    XFC_TRY(add_object(l, "libxf_tiles.a", xf_tiles_archive, xf_tiles_archive_size));
    XFC_TRY(write_file(l, map_file, exports, sizeof exports - 1));
    return run_linker(l);
}

/* A file is rewound when its sections are known, so it is complete before anything reaches standard output. */
static xfc_status write_to_stdout(linker *l, const void *elf, size_t n) {
    static const char name[] = "output.so";
    xfc_link_job job = *l->job;
    char block[65536];
    job.output = xfc_str(l->ctx, path_of(l, name));
    job.n_others = 0;
    XFC_TRY(xfc_write_artefact(l->ctx, &job, elf, n));
    int fd = openat(l->fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_error(l, job.output, "cannot be read", "try again");
    xfc_status s = XFC_OK;
    for (ssize_t k; s == XFC_OK && (k = read(fd, block, sizeof block)) > 0;)
        s = xfc_write_all(l->ctx, "standard output", STDOUT_FILENO, block, (size_t)k);
    close(fd);
    return s;
}

xfc_status xfc_link(xfc_ctx *ctx, const xfc_link_job *job) {
    linker l = {.ctx = ctx, .arena = xfc_arena_new(), .job = job, .loc = {.file = job->output}, .fd = -1};
    char *elf = NULL;
    size_t n = 0;
    bool to_stdout = strcmp(job->output, "-") == 0;
    xfc_status s = to_stdout ? XFC_OK : xfc_check_artefact(ctx, job);
    if (s == XFC_OK) s = make_dir(&l);
    if (s == XFC_OK) s = link_objects(&l);
    if (s == XFC_OK) s = read_file(&l, linked_file, &elf, &n);
    if (s == XFC_OK) s = to_stdout ? write_to_stdout(&l, elf, n) : xfc_write_artefact(ctx, job, elf, n);
    remove_dir(&l);
    xfc_arena_free(l.arena);
    return s;
}

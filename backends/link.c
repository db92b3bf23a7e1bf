/* link.c - objects, runtime, weights and IR text become one shared object.
 *
 * The system's C compiler driver links the kernels, the data object of llvm/base.c and the runtime archive that is
 * embedded in xfc; only xf_get_api is exported. Weights and text never pass through the linker: elf.c adds them to
 * its output. Everything in between lies in a temporary directory; the result is written beside the target and
 * renamed, so that the target is whole or untouched. No shell is involved, and nothing in the result depends on time,
 * paths or addresses: the same input gives the same bytes.
 */
#define _GNU_SOURCE
#include "backends/artefact.h"
#include "runtime/include/xfc/abi.h"
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
#include <zlib.h>

extern const unsigned char xf_runtime_archive[]; /* made by cmake/embed.cmake */
extern const size_t xf_runtime_archive_size;
extern char **environ;

enum { PAGE = 4096, LOG_BYTES = 4096 };
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
    v[n++] = xfc_sprintf(l->arena, "-lgomp");
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
    XFC_TRY(xfc_emit_base(l->ctx, job->plan, job->isas, job->n_isas, &base));
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

/* --- sections --- */

static xfc_status zeros(xfc_ctx *ctx, const char *path, int fd, uint64_t n) {
    static const char block[PAGE] = {0};
    for (; n; n -= n < PAGE ? n : PAGE) XFC_TRY(xfc_write_all(ctx, path, fd, block, n < PAGE ? (size_t)n : PAGE));
    return XFC_OK;
}

static xfc_status write_weights(xfc_ctx *ctx, int fd, const void *user) {
    const xfc_link_job *job = user;
    const xfc_plan *plan = job->graph->plan;
    const xf_plan_header *head = job->plan->data;
    xf_weights_header h = {
        .magic = XF_WEIGHTS_MAGIC, .abi = XF_CODE_ABI, .data_offset = PAGE, .bytes = plan->weight_bytes};
    memcpy(h.build_id, head->build_id, sizeof h.build_id);
    XFC_TRY(xfc_write_all(ctx, job->output, fd, &h, sizeof h));
    XFC_TRY(zeros(ctx, job->output, fd, PAGE - sizeof h));
    uint64_t at = 0;
    for (uint32_t i = 0; i < plan->n_weights; i++) {
        const xfc_tensor *t = plan->weight[i];
        xfc_assert(plan->weight_offset[i] >= at);
        XFC_TRY(zeros(ctx, job->output, fd, plan->weight_offset[i] - at));
        XFC_TRY(xfc_write_all(ctx, job->output, fd, t->data, t->bytes));
        at = plan->weight_offset[i] + t->bytes;
    }
    xfc_assert(at <= plan->weight_bytes);
    return zeros(ctx, job->output, fd, plan->weight_bytes - at);
}

typedef struct {
    const char *path;
    xfc_blob blob;
} text_section;
static xfc_status write_text(xfc_ctx *ctx, int fd, const void *user) {
    const text_section *t = user;
    return xfc_write_all(ctx, t->path, fd, t->blob.data, t->blob.n);
}

/* 8 bytes of length, then the deflate stream. */
static xfc_status compress_text(linker *l, xfc_blob *out) {
    uLongf bound = compressBound(l->job->ir_bytes), n = bound;
    uint8_t *p = xfc_alloc(l->arena, bound + 8, 8);
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)((uint64_t)l->job->ir_bytes >> 8 * i);
    if (compress2(p + 8, &n, (const Bytef *)l->job->ir_text, l->job->ir_bytes, 6) != Z_OK)
        return xfc_fail(l->ctx, XFC_ERR_TOOL, l->loc, "zlib cannot compress the IR text; check the installed zlib");
    *out = (xfc_blob){p, n + 8};
    return XFC_OK;
}

static xfc_status append_sections(linker *l, const void *elf, size_t n, int fd) {
    const xfc_link_job *job = l->job;
    xfc_elf_section section[2];
    text_section text = {.path = job->output};
    uint32_t k = 0;
    if (job->graph)
        section[k++] =
            (xfc_elf_section){XF_SECTION_WEIGHTS, PAGE + job->graph->plan->weight_bytes, PAGE, write_weights, job};
    if (job->ir_text) {
        XFC_TRY(compress_text(l, &text.blob));
        section[k++] = (xfc_elf_section){XF_SECTION_IR, text.blob.n, 8, write_text, &text};
    }
    return xfc_elf_append(l->ctx, job->output, elf, n, section, k, fd);
}

/* --- the output --- */

/* A device or a directory must not be replaced by a file. */
static xfc_status check_output(const linker *l) {
    struct stat st;
    if (stat(l->job->output, &st) != 0 || S_ISREG(st.st_mode)) return XFC_OK;
    return xfc_fail(l->ctx, XFC_ERR_IO, l->loc, "is %s; choose another -o",
                    S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
}

/* What open would give a new file. umask can only be read by setting it. */
static mode_t file_mode(void) {
    mode_t mask = umask(0);
    umask(mask);
    return 0777 & ~mask;
}

static xfc_status write_output(linker *l) {
    char *elf;
    size_t n;
    XFC_TRY(read_file(l, l->linked, &elf, &n));
    char *beside = xfc_sprintf(l->arena, "%s.XXXXXX", l->job->output);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) return io_error(l, l->job->output, "cannot be written", "choose another -o");
    xfc_status s = append_sections(l, elf, n, fd);
    if (s == XFC_OK && fchmod(fd, file_mode()) != 0)
        s = io_error(l, l->job->output, "cannot set its permissions", "choose another -o");
    if (close(fd) != 0 && s == XFC_OK)
        s = io_error(l, l->job->output, "cannot be written", "free some space or choose another -o");
    if (s == XFC_OK && rename(beside, l->job->output) != 0)
        s = io_error(l, l->job->output, "cannot be replaced", "choose another -o");
    if (s != XFC_OK) unlink(beside);
    return s;
}

xfc_status xfc_link(xfc_ctx *ctx, const xfc_link_job *job) {
    linker l = {.ctx = ctx, .arena = xfc_arena_new(), .job = job, .loc = {.file = job->output}};
    xfc_status s = check_output(&l);
    if (s == XFC_OK) s = make_dir(&l);
    if (s == XFC_OK) s = link_objects(&l);
    if (s == XFC_OK) s = write_output(&l);
    remove_dir(&l);
    xfc_arena_free(l.arena);
    return s;
}

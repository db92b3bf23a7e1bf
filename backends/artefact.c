/* artefact.c - the files that a compile leaves: the linked shared object with weights and IR text added, or with
 * weights in a file beside it.
 *
 * Each file is written beside its target and renamed (ir/base/outfile.h), so that the target is whole or untouched.
 * With a sidecar, or other files of the compile, several renames are needed; if one fails, those before are undone. In the
 * moment between those of a sidecar and its object, and whenever the two are mixed up later, the build id that both hold
 * makes `open` refuse the pair.
 */
#define _GNU_SOURCE
#include "backends/artefact.h"
#include "ir/base/outfile.h"
#include "runtime/include/xfc/check.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { PAGE = 4096 };

static xfc_status io_error(xfc_ctx *ctx, const char *path, const char *what, const char *remedy) {
    return xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = xfc_str(ctx, path)}, "%s: %s; %s", what, strerror(errno),
                    remedy);
}

/* --- sections --- */

/* Weights on their way to a file; the checksums of their blocks come behind them. */
typedef struct {
    xfc_ctx *ctx;
    const char *path;
    int fd;
    uint64_t at; /* bytes of weights written */
    uint32_t *sum;
} weight_stream;

static uint64_t n_blocks(uint64_t bytes) { return bytes / XF_WEIGHTS_BLOCK + (bytes % XF_WEIGHTS_BLOCK != 0); }

/* Of what stands before the data. */
static size_t head_bytes(const xfc_stored *s) {
    return (sizeof(xf_weights_header) + s->n_rows * sizeof(xf_made) + PAGE - 1) / PAGE * PAGE;
}

static uint64_t weights_section_bytes(const xfc_graph *g, xfc_arena *arena) {
    const xfc_stored s = xfc_stored_weights(g, arena);
    return head_bytes(&s) + s.bytes + n_blocks(s.bytes) * sizeof(uint32_t);
}

static xfc_status put_weights(weight_stream *w, const void *data, size_t n) {
    XFC_TRY(xfc_write_all(w->ctx, w->path, w->fd, data, n));
    for (const char *p = data; n;) {
        uint64_t room = XF_WEIGHTS_BLOCK - w->at % XF_WEIGHTS_BLOCK;
        size_t k = n < room ? n : (size_t)room;
        uint32_t *sum = &w->sum[w->at / XF_WEIGHTS_BLOCK];
        *sum = xf_crc32c(*sum, p, k);
        p += k, n -= k, w->at += k;
    }
    return XFC_OK;
}

/* Zeros up to this place. */
static xfc_status pad_weights(weight_stream *w, uint64_t to) {
    static const char block[PAGE] = {0};
    xfc_assert(to >= w->at);
    while (w->at < to) XFC_TRY(put_weights(w, block, to - w->at < PAGE ? (size_t)(to - w->at) : PAGE));
    return XFC_OK;
}

static xfc_status write_head(weight_stream *w, const xfc_link_job *job, const xfc_stored *s, xfc_arena *arena) {
    const size_t n = head_bytes(s);
    char *head = xfc_alloc(arena, n, _Alignof(xf_weights_header));
    xf_weights_header h = {.magic = XF_WEIGHTS_MAGIC,
                           .abi = XF_CODE_ABI,
                           .data_offset = (uint32_t)n,
                           .bytes = s->bytes,
                           .block = XF_WEIGHTS_BLOCK,
                           .sources = s->bytes - s->kept,
                           .n_made = s->n_rows};
    memcpy(h.build_id, ((const xf_plan_header *)job->plan->data)->build_id, sizeof h.build_id);
    memcpy(head, &h, sizeof h);
    if (s->n_rows) memcpy(head + sizeof h, s->row, s->n_rows * sizeof *s->row);
    h.check = xf_weights_check(head, n);
    memcpy(head, &h, sizeof h);
    return xfc_write_all(w->ctx, w->path, w->fd, head, n);
}

static xfc_status put_tensors(weight_stream *w, const xfc_tensor *const *t, const uint64_t *offset, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        XFC_TRY(pad_weights(w, offset[i]));
        XFC_TRY(put_weights(w, t[i]->data, t[i]->bytes));
        xfc_storage_rest(t[i]->storage);
    }
    return XFC_OK;
}

static xfc_status write_data(weight_stream *w, const xfc_link_job *job, xfc_arena *arena) {
    const xfc_plan *plan = job->graph->plan;
    const xfc_stored s = xfc_stored_weights(job->graph, arena);
    const uint64_t blocks = n_blocks(s.bytes);
    w->sum = xfc_new_array(arena, uint32_t, blocks);
    XFC_TRY(write_head(w, job, &s, arena));
    XFC_TRY(put_tensors(w, plan->weight, plan->weight_offset, s.n_kept));
    XFC_TRY(put_tensors(w, s.source, s.source_offset, s.n_sources));
    XFC_TRY(pad_weights(w, s.bytes));
    return xfc_write_all(w->ctx, w->path, w->fd, w->sum, blocks * sizeof *w->sum);
}

static xfc_status write_weights(xfc_ctx *ctx, int fd, const void *user) {
    const xfc_link_job *job = user;
    weight_stream w = {.ctx = ctx, .path = job->output, .fd = fd};
    xfc_arena *arena = xfc_arena_new();
    xfc_status s = write_data(&w, job, arena);
    xfc_arena_free(arena);
    return s;
}

/* 8 bytes of length, then the deflate stream. */
static xfc_status compress_text(xfc_ctx *ctx, xfc_arena *arena, const xfc_link_job *job, xfc_blob *out) {
    uLongf bound = compressBound(job->ir_bytes), n = bound;
    uint8_t *p = xfc_alloc(arena, bound + 8, 8);
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)((uint64_t)job->ir_bytes >> 8 * i);
    if (compress2(p + 8, &n, (const Bytef *)job->ir_text, job->ir_bytes, 6) != Z_OK)
        return xfc_fail(ctx, XFC_ERR_TOOL, (xfc_loc){.file = job->output},
                        "zlib cannot compress the IR text; check the installed zlib");
    *out = (xfc_blob){p, n + 8};
    return XFC_OK;
}

typedef struct {
    const char *path;
    xfc_blob blob;
} text_section;
static xfc_status write_text(xfc_ctx *ctx, int fd, const void *user) {
    const text_section *t = user;
    return xfc_write_all(ctx, t->path, fd, t->blob.data, t->blob.n);
}

/* --- the files --- */

typedef struct {
    const xfc_link_job *job;
    xfc_arena *arena;
    const void *elf;
    size_t n;
} content;
typedef xfc_status write_fn(xfc_ctx *, int fd, const content *);

static xfc_status write_object(xfc_ctx *ctx, int fd, const content *c) {
    const xfc_link_job *job = c->job;
    xfc_elf_section section[2];
    text_section text = {.path = job->output};
    uint32_t k = 0;
    if (job->graph && !job->sidecar)
        section[k++] = (xfc_elf_section){XF_SECTION_WEIGHTS, weights_section_bytes(job->graph, c->arena), PAGE,
                                         write_weights, job};
    if (job->ir_text) {
        XFC_TRY(compress_text(ctx, c->arena, job, &text.blob));
        section[k++] = (xfc_elf_section){XF_SECTION_IR, text.blob.n, 8, write_text, &text};
    }
    return xfc_elf_append(ctx, job->output, c->elf, c->n, section, k, fd);
}

static xfc_status write_sidecar(xfc_ctx *ctx, int fd, const content *c) { return write_weights(ctx, fd, c->job); }

/* Where runtime/weights.c looks. */
static const char *sidecar_path(xfc_arena *arena, const xfc_link_job *job) {
    return xfc_sprintf(arena, "%s.weights", job->output);
}

/* A device or a directory must not be replaced by a file. */
static xfc_status check_target(xfc_ctx *ctx, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode)) return XFC_OK;
    return xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = xfc_str(ctx, path)}, "is %s; choose another -o",
                    S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
}

xfc_status xfc_check_artefact(xfc_ctx *ctx, const xfc_link_job *job) {
    XFC_TRY(check_target(ctx, job->output));
    return job->sidecar ? check_target(ctx, sidecar_path(ctx->arena, job)) : XFC_OK;
}

/* Writes all of a file; it has no name yet, or one beside path. */
static xfc_status write_beside(xfc_ctx *ctx, const content *c, const char *path, mode_t mode, write_fn *write,
                               xfc_outfile *out) {
    if (!xfc_outfile_open(out, c->arena, ctx->leftovers, path, mode))
        return io_error(ctx, path, "cannot be written", "choose another -o");
    xfc_status s = write(ctx, out->fd, c);
    if (s != XFC_OK) xfc_outfile_drop(out);
    if (s == XFC_OK && !xfc_outfile_done(out))
        s = io_error(ctx, path, "cannot be written", "free some space or choose another -o");
    return s;
}

/* Both of a pair, and what was made before. */
static xfc_status put_in_place(xfc_ctx *ctx, const content *c, xfc_outfile *output, xfc_outfile *weights) {
    const xfc_link_job *job = c->job;
    xfc_outfile **all = xfc_new_array(c->arena, xfc_outfile *, job->n_others + 2);
    uint32_t n = 0;
    if (weights) all[n++] = weights;
    all[n++] = output;
    for (uint32_t i = 0; i < job->n_others; i++) all[n++] = &job->other[i];
    const xfc_outfile *failed = xfc_outfiles_place(c->arena, all, n);
    return failed ? io_error(ctx, failed->path, "cannot be replaced", "choose another name") : XFC_OK;
}

static xfc_status write_pair(xfc_ctx *ctx, const content *c) {
    xfc_outfile weights, output;
    XFC_TRY(write_beside(ctx, c, sidecar_path(c->arena, c->job), 0666, write_sidecar, &weights));
    xfc_status s = write_beside(ctx, c, c->job->output, 0777, write_object, &output);
    if (s == XFC_OK) return put_in_place(ctx, c, &output, &weights);
    xfc_outfile_drop(&weights);
    return s;
}

static xfc_status write_one(xfc_ctx *ctx, const content *c) {
    xfc_outfile output;
    XFC_TRY(write_beside(ctx, c, c->job->output, 0777, write_object, &output));
    return put_in_place(ctx, c, &output, NULL);
}

xfc_status xfc_write_artefact(xfc_ctx *ctx, const xfc_link_job *job, const void *elf, size_t n) {
    const content c = {.job = job, .arena = xfc_arena_new(), .elf = elf, .n = n};
    xfc_status s = (job->sidecar ? write_pair : write_one)(ctx, &c);
    xfc_arena_free(c.arena);
    return s;
}

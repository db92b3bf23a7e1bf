/* kept.c - outputs of samples, kept to be compared with others later.
 *
 * All outputs of a language model on a thousand samples are more than memory holds. So they stand in a file without a
 * name, in the folder of temporary files, and are read again one sample at a time; what they are, without elements,
 * stays in memory. The file goes with the process.
 */
#define _GNU_SOURCE
#include "tools/lossy/lossy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGN = 64 };

struct xf_kept_file {
    xfc_outfile file;
    uint64_t end;
};

static void drop(void *file) { xfc_outfile_drop(&((struct xf_kept_file *)file)->file); }

static xfc_status failed(const xf_kept *kept, const char *what) {
    return xfc_fail(kept->ctx, XFC_ERR_IO, (xfc_loc){.file = kept->file->file.path},
                    "outputs of samples cannot be %s a temporary file: %s; set TMPDIR to a directory with enough room",
                    what, strerror(errno));
}

xfc_status xf_kept_new(xfc_ctx *ctx, xfc_arena *arena, const xfc_graph *g, const xfc_samples *samples, xf_kept *out) {
    const char *tmp = getenv("TMPDIR"), *path = xfc_sprintf(ctx->arena, "%s/xfc-outputs", tmp && *tmp ? tmp : "/tmp");
    *out = (xf_kept){.ctx = ctx,
                     .n_out = g->n_out,
                     .name = xfc_dup_array(arena, const char *, g->out_name, g->n_out),
                     .of = xfc_new_array(arena, xf_kept_sample, samples->n),
                     .file = xfc_new(ctx->arena, struct xf_kept_file)};
    for (uint32_t i = 0; i < samples->n; i++) out->of[i].out = xfc_new_array(arena, xfc_tensor, g->n_out);
    if (!xfc_outfile_open(&out->file->file, ctx->arena, ctx->leftovers, path, 0600))
        return out->file->file.path = path, failed(out, "written to");
    xfc_ctx_at_exit(ctx, drop, out->file);
    return XFC_OK;
}

xfc_status xf_keep(void *user, uint32_t sample, const xfc_tensor *const *out) {
    xf_kept *kept = user;
    kept->of[sample].at = kept->file->end;
    for (uint32_t i = 0; i < kept->n_out; i++) {
        kept->of[sample].out[i] = *out[i];
        kept->of[sample].out[i].data = NULL;
        if (!xf_write_all(kept->file->file.fd, out[i]->data, out[i]->bytes)) return failed(kept, "written to");
        kept->file->end += out[i]->bytes;
    }
    return XFC_OK;
}

static bool read_all(int fd, void *data, size_t n, uint64_t at) {
    for (char *p = data; n;) {
        ssize_t k = pread(fd, p, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        p += k, n -= (size_t)k, at += (uint64_t)k;
    }
    return true;
}

xfc_status xf_kept_read(const xf_kept *kept, uint32_t sample, xfc_arena *arena, const xfc_tensor **out) {
    const xf_kept_sample *s = &kept->of[sample];
    uint64_t at = s->at;
    xfc_tensor *all = xfc_dup_array(arena, xfc_tensor, s->out, kept->n_out);
    for (uint32_t i = 0; i < kept->n_out; i++) {
        void *data = xfc_alloc(arena, all[i].bytes, ALIGN);
        if (!read_all(kept->file->file.fd, data, all[i].bytes, at)) return failed(kept, "read from");
        at += all[i].bytes;
        all[i].data = data;
        out[i] = &all[i];
    }
    return XFC_OK;
}

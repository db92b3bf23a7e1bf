/* test_set.c - the folders of ONNX's test data.
 *
 *   FOLDER/input_0.pb input_1.npy ... output_0.pb ...      or inputs.npz outputs.npz
 *
 * A tensor has the number of its file (a sequence that of its parts), and the name that stands in the file or in the archive, if one does; to which
 * input or output it belongs is for the caller to say. Other files are left alone.
 */
#define _GNU_SOURCE
#include "tools/run/run.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "input_12.pb": output or not, 12. */
static bool parse_name(const char *file, bool *output, long *index) {
    *output = !strncmp(file, "output_", 7);
    if (!*output && strncmp(file, "input_", 6) != 0) return false;
    const char *digits = file + (*output ? 7 : 6);
    char *end;
    *index = strtol(digits, &end, 10);
    return end != digits && *index >= 0 && *index < 1 << 20 && (!strcmp(end, ".pb") || !strcmp(end, ".npy"));
}

/* A sequence, an optional or strings as their parts. */
static xfc_status read_parts(xfc_ctx *c, const xf_runner *r, const char *path, xfc_border kind, uint32_t first,
                             bool output, xf_set *out) {
    const xfc_tensor *part[XFC_BORDER_MOST];
    const xf_io_info *(*info)(const xf_model *, size_t) = output ? r->api->output_info : r->api->input_info;
    xfc_dtype t = XFC_F32;
    (void)xf_dtype_known(info(r->model, first)->dtype, &t);
    const xf_io_info *shapes = info(r->model, first + 1);
    XFC_TRY(xfc_read_parts_pb(c, path, kind, t, kind == XFC_BORDER_TEXT ? -1 : shapes->dim[1], part));
    for (uint32_t p = 0; p < xfc_border_parts(kind); p++)
        xfc_push(c->arena, out->item, out->n, out->cap) = (xf_set_item){path, NULL, part[p], (int)(first + p), output};
    return XFC_OK;
}

static xfc_status read_one(xfc_ctx *c, const xf_runner *r, const char *folder, const char *file, xf_set *out) {
    bool output;
    long index;
    const char *path = xfc_sprintf(c->arena, "%s/%s", folder, file);
    if (!strcmp(file, "inputs.npz") || !strcmp(file, "outputs.npz")) {
        xf_named_list list = {0};
        XFC_TRY(xf_npz_read(c, path, &list));
        for (uint32_t i = 0; i < list.n; i++)
            xfc_push(c->arena, out->item, out->n, out->cap) =
                (xf_set_item){path, list.item[i].name, list.item[i].tensor, -1, *file == 'o'};
        return XFC_OK;
    }
    const xfc_tensor *t;
    if (!parse_name(file, &output, &index)) return XFC_OK;
    xfc_border kind = XFC_BORDER_TENSOR;
    if (r) index = xf_find_part(r, output, (uint32_t)index, &kind);
    if (kind != XFC_BORDER_TENSOR && xf_has_suffix(path, ".pb"))
        return read_parts(c, r, path, kind, (uint32_t)index, output, out);
    XFC_TRY(xf_read_tensor(c, path, &t));
    xfc_push(c->arena, out->item, out->n, out->cap) = (xf_set_item){path, t->name, t, (int)index, output};
    return XFC_OK;
}

xfc_status xf_set_read(xfc_ctx *c, const xf_runner *r, const char *folder, xf_set *out) {
    DIR *dir = opendir(folder);
    if (!dir)
        return xfc_fail(c, XFC_ERR_IO, (xfc_loc){.file = folder}, "cannot be read: %s; check the path",
                        strerror(errno));
    xfc_status status = XFC_OK;
    for (struct dirent *e; status == XFC_OK && (e = readdir(dir));) status = read_one(c, r, folder, e->d_name, out);
    closedir(dir);
    return status;
}

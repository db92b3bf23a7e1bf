/* samples.c - inputs of a model from a folder (--calib, --data), or made up.
 *
 *   DIR/NAME.npz                           an array for each input: one sample; or each with one more dim in front: many
 *   DIR/NAME/input_0.pb input_1.npy ...    as ONNX's test_data_set folders: one sample
 *
 * Samples stand in the order of their names, numbers by value. All is checked before anything is compiled: every input
 * is there, with the type and the dims that the model declares, and no NaN. Which half a sample belongs to is decided by
 * a fixed seed, so by the number of samples alone.
 */
#define _GNU_SOURCE
#include "ir/base/nearest.h"
#include "tools/lossy/lossy.h"
#include "tools/run/run.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_ID = 100, FIRST = 2, OTHERS = 16, SEED = 11 };

typedef struct {
    xfc_ctx *ctx;
    const char *option;
    const xfc_graph *g;
    const char **name;
    const xfc_tensor *const **sample;
    uint32_t n, cap, cap_name;
} reader;

/* --- one sample --- */

static void dims_of(xfc_buf *b, const xfc_type *t, const xfc_ctx *ctx) {
    xfc_buf_char(b, '[');
    for (uint32_t d = 0; d < t->rank; d++) {
        xfc_buf_str(b, d ? ", " : "");
        xfc_int_print(ctx, b, t->dim[d], NULL, NULL);
    }
    xfc_buf_char(b, ']');
}

static xfc_status wrong_dims(const reader *r, const char *file, const xfc_value *in, const xfc_tensor *t) {
    xfc_buf b = {.arena = r->ctx->arena};
    xfc_buf_char(&b, '[');
    for (uint32_t d = 0; d < t->rank; d++) xfc_buf_printf(&b, "%s%lld", d ? ", " : "", (long long)t->dim[d]);
    xfc_buf_str(&b, "], and the model takes ");
    dims_of(&b, &in->type, r->ctx);
    return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = file}, "input '%s' has the dims %s; save it as it is fed",
                    in->name, b.text);
}

static bool bound(void *user, uint32_t symbol, int64_t *out) {
    uint64_t size;
    if (!xfc_map_find(user, symbol, &size)) return false;
    return *out = (int64_t)size, true;
}

/* A symbol takes the first size that is seen of it. */
static bool dim_fits(xfc_ctx *c, xfc_int dim, int64_t size, xfc_map *sizes) {
    int64_t lo, hi, known;
    xfc_int_range(c, dim, &lo, &hi);
    bool symbol = xfc_int_look(c, dim)->kind == XFC_INT_SYMBOL;
    if (symbol && !xfc_map_find(sizes, dim.id, NULL)) xfc_map_set(sizes, dim.id, (uint64_t)size);
    bool any = !xfc_int_evaluate(c, dim, bound, sizes, &known);
    return size >= lo && size <= hi && (any || known == size);
}

static bool dims_fit(const reader *r, const xfc_value *in, const xfc_tensor *t, xfc_map *sizes) {
    bool fit = t->rank == in->type.rank;
    for (uint32_t d = 0; d < t->rank && fit; d++) fit = dim_fits(r->ctx, in->type.dim[d], t->dim[d], sizes);
    return fit;
}

static xfc_status check_input(const reader *r, const char *file, const xfc_value *in, const xfc_tensor *t,
                              xfc_map *sizes) {
    const xfc_loc loc = {.file = file};
    if (!t) return xfc_fail(r->ctx, XFC_ERR_INPUT, loc, "holds nothing for input '%s' of the model; add it", in->name);
    if (t->dtype != in->type.dtype)
        return xfc_fail(r->ctx, XFC_ERR_INPUT, loc, "input '%s' is %s, and the model takes %s; convert it", in->name,
                        xfc_dtype_name(t->dtype), xfc_dtype_name(in->type.dtype));
    if (!dims_fit(r, in, t, sizes)) return wrong_dims(r, file, in, t);
    for (int64_t i = 0; xfc_dtype_is_float(t->dtype) && i < t->count; i++)
        if (isnan(xfc_tensor_get_f(t, i)))
            return xfc_fail(r->ctx, XFC_ERR_INPUT, loc,
                            "input '%s' is NaN at element %lld; nothing can be learnt from that, leave it out",
                            in->name, (long long)i);
    return XFC_OK;
}

static xfc_status add_sample(reader *r, const char *file, const xfc_tensor *const *in) {
    xfc_map sizes = {.arena = r->ctx->arena};
    for (uint32_t i = 0; i < r->g->n_in; i++) XFC_TRY(check_input(r, file, r->g->in[i], in[i], &sizes));
    xfc_push(r->ctx->arena, r->name, r->n, r->cap_name) = file;
    r->n--; /* both lists are as long */
    xfc_push(r->ctx->arena, r->sample, r->n, r->cap) = in;
    return XFC_OK;
}

static xfc_status find_input(const reader *r, const char *file, const char *name, uint32_t *at) {
    xfc_nearest near = {.wanted = name, .n = strlen(name)};
    for (uint32_t i = 0; i < r->g->n_in; i++) {
        if (!strcmp(r->g->in[i]->name, name)) return *at = i, XFC_OK;
        xfc_nearest_offer(&near, r->g->in[i]->name);
    }
    return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = file},
                    "the model has no input '%s'; xf-dump --signature names them%s", name,
                    xfc_did_you_mean(r->ctx->arena, &near, ""));
}

/* --- files --- */

/* Sample k of tensors that hold n of them one behind another. */
static const xfc_tensor *const *slice(const reader *r, const xfc_tensor *const *stack, int64_t k) {
    const xfc_tensor **in = xfc_new_array(r->ctx->arena, const xfc_tensor *, r->g->n_in);
    for (uint32_t i = 0; i < r->g->n_in; i++) {
        const xfc_tensor *t = stack[i];
        size_t bytes = t->bytes / (size_t)t->dim[0];
        in[i] =
            xfc_tensor_new(r->ctx, t->dtype, t->rank - 1, t->dim + 1, (const char *)t->data + (size_t)k * bytes, NULL);
    }
    return in;
}

/* How many samples are stacked; 0: it is one. */
static int64_t stacked(const reader *r, const xfc_tensor *const *in) {
    for (uint32_t i = 0; i < r->g->n_in; i++) {
        if (!in[i] || xfc_dtype_is_packed(in[i]->dtype) || in[i]->rank != r->g->in[i]->type.rank + 1) return 0;
        if (in[i]->dim[0] != in[0]->dim[0] || in[i]->dim[0] == 0) return 0;
    }
    return r->g->n_in ? in[0]->dim[0] : 0;
}

static xfc_status read_npz(reader *r, const char *path) {
    xf_named_list list = {0};
    const xfc_tensor **in = xfc_new_array(r->ctx->arena, const xfc_tensor *, r->g->n_in);
    XFC_TRY(xf_npz_read(r->ctx, path, &list));
    for (uint32_t i = 0; i < list.n; i++) {
        uint32_t at;
        XFC_TRY(find_input(r, path, list.item[i].name, &at));
        in[at] = list.item[i].tensor;
    }
    int64_t n = stacked(r, in);
    for (int64_t k = 0; k < n; k++)
        XFC_TRY(add_sample(r, xfc_sprintf(r->ctx->arena, "%s[%lld]", path, (long long)k), slice(r, in, k)));
    return n ? XFC_OK : add_sample(r, path, in);
}

static xfc_status read_folder(reader *r, const char *path) {
    xf_set set = {0};
    const xfc_tensor **in = xfc_new_array(r->ctx->arena, const xfc_tensor *, r->g->n_in);
    XFC_TRY(xf_set_read(r->ctx, NULL, path, &set));
    for (uint32_t i = 0; i < set.n; i++) {
        const xf_set_item *item = &set.item[i];
        uint32_t at = (uint32_t)item->index;
        if (item->output) continue;
        if ((item->name && *item->name) || item->index < 0) {
            XFC_TRY(find_input(r, item->file, item->name ? item->name : "", &at));
        } else if (at >= r->g->n_in) {
            return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = item->file},
                            "the model has %u inputs, and none of this number", (unsigned)r->g->n_in);
        }
        in[at] = item->tensor;
    }
    return add_sample(r, path, in);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static xfc_status read_entry(reader *r, const char *dir, const char *entry) {
    struct stat st;
    const char *path = xfc_sprintf(r->ctx->arena, "%s/%s", dir, entry);
    if (xf_has_suffix(entry, ".npz")) return read_npz(r, path);
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? read_folder(r, path) : XFC_OK;
}

static xfc_status read_all(reader *r, const char *dir) {
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, visible, versionsort);
    if (n < 0)
        return xfc_fail(r->ctx, XFC_ERR_IO, (xfc_loc){.file = dir}, "%s: the folder cannot be read: %s", r->option,
                        strerror(errno));
    xfc_status s = XFC_OK;
    for (int i = 0; i < n; i++) {
        if (s == XFC_OK) s = read_entry(r, dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return s;
}

/* --- halves --- */

static xfc_samples these(const reader *r, const char *const *input, const uint32_t *which, uint32_t n) {
    const char **name = xfc_new_array(r->ctx->arena, const char *, n);
    const xfc_tensor *const **in = xfc_new_array(r->ctx->arena, const xfc_tensor *const *, n);
    for (uint32_t i = 0; i < n; i++) name[i] = r->name[which[i]], in[i] = r->sample[which[i]];
    return (xfc_samples){.n = n, .n_in = r->g->n_in, .input = input, .name = name, .in = in};
}

static void split(const reader *r, xf_samples *out) {
    uint32_t *order = xfc_new_array(r->ctx->arena, uint32_t, r->n), half = (r->n + 1) / 2;
    uint64_t state = SEED;
    const char **input = xfc_new_array(r->ctx->arena, const char *, r->g->n_in);
    for (uint32_t i = 0; i < r->g->n_in; i++) input[i] = r->g->in[i]->name;
    for (uint32_t i = 0; i < r->n; i++) order[i] = i;
    for (uint32_t i = r->n; i > 1; i--) {
        uint32_t k = (uint32_t)(xf_random(&state) % i), last = order[i - 1];
        order[i - 1] = order[k];
        order[k] = last;
    }
    out->all = these(r, input, order, r->n);
    out->fit = these(r, input, order, half);
    out->judge = these(r, input, order + half, r->n - half);
}

xfc_status xf_samples_read(xfc_ctx *ctx, const char *option, const char *dir, uint32_t least, const xfc_graph *g,
                           xf_samples *out) {
    static const char layout[] = ".npz files with an array for each input, or folders with input_0.pb ...";
    reader r = {.ctx = ctx, .option = option, .g = g};
    *out = (xf_samples){.where = dir};
    XFC_TRY(read_all(&r, dir));
    if (r.n == 0)
        return xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){.file = dir}, "%s: the folder holds no sample: %s", option,
                        layout);
    if (r.n < least)
        return xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){.file = dir},
                        "%s: the folder holds one sample, and at least 2 are needed, one to choose by and one to judge "
                        "by: %s",
                        option, layout);
    split(&r, out);
    return XFC_OK;
}

/* --- made up --- */

static int64_t size_of(xfc_ctx *c, xfc_int dim, bool first, xfc_map *sizes) {
    int64_t lo, hi, size;
    if (xfc_int_evaluate(c, dim, bound, sizes, &size)) return size;
    xfc_int_range(c, dim, &lo, &hi);
    size = first ? FIRST : OTHERS;
    size = size < lo ? lo : size > hi ? hi : size;
    xfc_map_set(sizes, dim.id, (uint64_t)size);
    return size;
}

xfc_status xf_samples_make(xfc_ctx *ctx, const xfc_graph *g, xf_samples *out) {
    xfc_map sizes = {.arena = ctx->arena};
    const xfc_tensor **in = xfc_new_array(ctx->arena, const xfc_tensor *, g->n_in);
    for (uint32_t i = 0; i < g->n_in; i++) {
        const xfc_type *t = &g->in[i]->type;
        int64_t dim[XFC_MAX_RANK] = {0};
        for (uint32_t d = 0; d < t->rank; d++) dim[d] = size_of(ctx, t->dim[d], d == 0 && t->rank > 1, &sizes);
        XFC_TRY(xf_made_up(ctx, g->in[i]->name, t->dtype, t->rank, dim,
                           &(xf_random_opts){.max_id = MAX_ID, .pad_id = -1}, &in[i]));
    }
    const char *name = "inputs made up";
    reader r = {.ctx = ctx, .g = g, .name = &name, .n = 1};
    const xfc_tensor *const *sample = in;
    r.sample = &sample;
    *out = (xf_samples){0};
    split(&r, out);
    return XFC_OK;
}

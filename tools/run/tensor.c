/* tensor.c - where input tensors come from: files, text on the command line, random numbers.
 *
 * Random inputs have to make sense to a model, and only names tell: integers are uniform in [0, --max-id), but masks
 * are 1 (all tokens count, or as many as --lengths says) and token types 0; floats are uniform in [-1, 1), masks 1. The
 * same seed gives the same numbers everywhere.
 */
#include "frontend/frontend.h"
#include "ir/base/nearest.h"
#include "tools/run/run.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one element --- */

static void put_float(void *to, xfc_dtype dtype, int64_t i, double v) {
    if (dtype == XFC_F64)
        ((double *)to)[i] = v;
    else if (dtype == XFC_F32)
        ((float *)to)[i] = (float)v;
    else
        ((uint16_t *)to)[i] = dtype == XFC_F16 ? xfc_float_to_half((float)v) : xfc_float_to_bfloat((float)v);
}

/* --- text --- */

/* "1x8xi64" or "1x8" or "i64" (a scalar); ends at = or the end. */
static bool parse_shape(const char *s, const char *end, xfc_dtype *dtype, int64_t *dim, uint32_t *rank) {
    *rank = 0;
    while (s < end) {
        const char *x = memchr(s, 'x', (size_t)(end - s)), *stop = x ? x : end;
        if (*s < '0' || *s > '9') {
            char name[8];
            if (stop != end || (size_t)(end - s) >= sizeof name) return false;
            snprintf(name, sizeof name, "%.*s", (int)(end - s), s);
            if (!xfc_dtype_from_name(name, dtype)) return false;
            *dtype = xfc_dtype_packed(*dtype);
            return true;
        }
        char *number_end;
        errno = 0;
        long long n = strtoll(s, &number_end, 10);
        if (errno || number_end != stop || *rank == XFC_MAX_RANK) return false;
        dim[(*rank)++] = n;
        s = x ? x + 1 : end;
        if (x && s == end) return false;
    }
    return true;
}

static bool parse_value(const char **s, void *to, xfc_dtype dtype, int64_t i) {
    char *end;
    errno = 0;
    if (xfc_dtype_is_float(dtype)) {
        put_float(to, dtype, i, strtod(*s, &end));
    } else if (dtype == XFC_BOOL && (!strncmp(*s, "true", 4) || !strncmp(*s, "false", 5))) {
        xfc_element_set_i(dtype, to, i, **s == 't');
        end = (char *)(uintptr_t)(*s + (**s == 't' ? 4 : 5));
    } else {
        int64_t v = dtype == XFC_U64 ? (int64_t)strtoull(*s, &end, 0) : strtoll(*s, &end, 0);
        xfc_element_set_i(dtype, to, i, dtype == XFC_BOOL ? v != 0 : v);
        uint32_t bits = xfc_dtype_bits(dtype);
        bool is_signed = xfc_dtype_class(xfc_dtype_unpacked(dtype)) == XFC_CLASS_SINT;
        int64_t lo = is_signed && bits < 64 ? -((int64_t)1 << (bits - 1)) : INT64_MIN;
        if (bits < 64 && (v < (is_signed ? lo : 0) || v >= (int64_t)1 << (is_signed ? bits - 1 : bits))) return false;
    }
    bool ok = end != *s && (errno == 0 || xfc_dtype_is_float(dtype)) && (*end == '\0' || strchr(" \t\n,", *end));
    *s = end + strspn(end, " \t\n,");
    return ok;
}

/* Elements behind the first of n as that one, if there are more. */
static void fill(void *to, xfc_dtype dtype, int64_t n, int64_t count) {
    size_t size = xfc_dtype_bytes(dtype), each = xfc_dtype_is_packed(dtype) ? 8 / xfc_dtype_bits(dtype) : 1;
    if (n == count || n == 0) return;
    xfc_tensor first = {.dtype = dtype, .count = 1, .data = to};
    for (size_t i = 1; i < each && i < (size_t)count; i++)
        xfc_element_set_i(dtype, to, (int64_t)i, xfc_tensor_get_i(&first, 0));
    for (size_t i = 1; i < ((size_t)count + each - 1) / each; i++) memcpy((char *)to + i * size, to, size);
}

xfc_status xf_read_spec(xfc_ctx *c, const char *option, const char *spec, xfc_dtype fallback, const xfc_tensor **out) {
    if (*spec == '@') return xf_read_tensor_as(c, spec + 1, fallback, out);
    const char *eq = strchr(spec, '=');
    int64_t dim[XFC_MAX_RANK], count;
    uint32_t rank;
    size_t bytes;
    xfc_dtype dtype = fallback;
    if (!eq || !parse_shape(spec, eq, &dtype, dim, &rank) || !xfc_tensor_count(dtype, rank, dim, &count, &bytes))
        return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){0},
                        "%s=%s: expected @FILE, or dims, type and values such as 1x4xi64=1 2 3 4", option, spec);
    void *to = xfc_tensor_alloc(c, dtype, rank, dim);
    const char *s = eq + 1 + strspn(eq + 1, " \t\n,");
    int64_t n = 0;
    for (; *s && n < count; n++)
        if (!parse_value(&s, to, dtype, n))
            return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){0}, "%s: value %lld is no %s", option, (long long)n,
                            xf_dtype_text(dtype));
    if (*s || (n != count && n != 1))
        return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){0}, "%s: %s values than the %lld of its dims; one value fills all",
                        option, *s ? "more" : "fewer", (long long)count);
    fill(to, dtype, n, count);
    *out = xfc_tensor_new(c, dtype, rank, dim, to, NULL);
    return XFC_OK;
}

xfc_status xf_read_tensor(xfc_ctx *c, const char *path, const xfc_tensor **out) {
    if (xf_has_suffix(path, ".pb")) return xfc_read_tensor_pb(c, path, out);
    if (!xf_has_suffix(path, ".npy"))
        return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){.file = path}, "is neither a .npy nor a .pb file");
    char *text;
    size_t n;
    if (!xf_read_file(c, path, XF_MAX_TENSOR, &text, &n))
        return xfc_fail(c, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be read: %s; check the path", strerror(errno));
    return xf_npy_parse(c, path, text, n, out);
}

/* NumPy has no numbers of fewer bits than a byte: they come as int8 or uint8. */
xfc_status xf_read_tensor_as(xfc_ctx *c, const char *path, xfc_dtype dtype, const xfc_tensor **out) {
    XFC_TRY(xf_read_tensor(c, path, out));
    const xfc_tensor *t = *out;
    if (!xfc_dtype_is_packed(dtype) || (t->dtype != XFC_I8 && t->dtype != XFC_U8)) return XFC_OK;
    void *to = xfc_tensor_alloc(c, dtype, t->rank, t->dim);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t v = xfc_tensor_get_i(t, i);
        if (xfc_dtype_wrap(xfc_dtype_unpacked(dtype), v) != v)
            return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){.file = path},
                            "element %lld is %lld, which is no %s; correct it", (long long)i, (long long)v,
                            xf_dtype_text(dtype));
        xfc_element_set_i(dtype, to, i, v);
    }
    *out = xfc_tensor_new(c, dtype, t->rank, t->dim, to, NULL);
    return XFC_OK;
}

/* --- random --- */

uint64_t xf_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* What an input is for, as far as its name and type tell. */
typedef enum { ROLE_VALUES, ROLE_IDS, ROLE_TYPES, ROLE_MASK } role;
static role role_of(const char *name, xfc_dtype dtype) {
    if (strstr(name, "mask") || dtype == XFC_BOOL) return ROLE_MASK;
    if (xfc_dtype_is_float(dtype)) return ROLE_VALUES;
    return strstr(name, "type") || strstr(name, "segment") ? ROLE_TYPES : ROLE_IDS;
}

typedef struct { /* a tensor in the making */
    role role;
    xfc_dtype dtype;
    uint32_t rank;
    const int64_t *dim;
    int64_t count;
    void *data;
} draft;

static void put(const draft *t, int64_t i, int64_t v) {
    if (xfc_dtype_is_float(t->dtype))
        put_float(t->data, t->dtype, i, (double)v);
    else
        xfc_element_set_i(t->dtype, t->data, i, v);
}

static void random_element(const draft *t, int64_t i, const xf_random_opts *o, uint64_t r) {
    uint32_t bits = xfc_dtype_bits(t->dtype) - (xfc_dtype_class(xfc_dtype_unpacked(t->dtype)) == XFC_CLASS_SINT);
    int64_t most = bits > 7 ? INT64_MAX : bits > 5 ? 100 : 1 << bits;
    int64_t limit = o->max_id < 1 ? 1 : o->max_id > most ? most : o->max_id;
    int64_t id = (int64_t)(r % (uint64_t)limit);
    if (id == o->pad_id) id = id + 1 < limit ? id + 1 : 0;
    switch (t->role) {
    case ROLE_VALUES: put_float(t->data, t->dtype, i, (double)(r >> 11) * 0x1p-52 - 1); break;
    case ROLE_IDS: put(t, i, id); break;
    case ROLE_TYPES: put(t, i, 0); break;
    case ROLE_MASK: put(t, i, 1); break;
    }
}

/* Positions behind the end of each sequence: 0 in masks, the padding id in ids. Dims [batch, ..., position]. */
static xfc_status cut_lengths(xfc_ctx *c, const draft *t, const xf_random_opts *o, xf_fill *fill) {
    bool ids = t->role == ROLE_IDS && o->pad_id >= 0;
    if (t->rank < 2 || (t->role != ROLE_MASK && !ids)) return XFC_OK;
    bool first = !fill->known;
    fill->known = true;
    if (t->count == 0) return XFC_OK;
    int64_t batch = t->dim[0], longest = t->dim[t->rank - 1], rows = t->count / batch / longest;
    int64_t *length = xfc_new_array(c->arena, int64_t, batch);
    XFC_TRY(xf_lengths_draw(o->lengths, c, o->seed, batch, longest, length));
    for (int64_t i = 0; i < t->count; i++)
        if (i % longest >= length[i / longest / rows]) put(t, i, ids ? o->pad_id : 0);
    if (!first) return XFC_OK;
    fill->sequences = batch;
    fill->positions = batch * longest;
    for (int64_t i = 0; i < batch; i++) fill->tokens += length[i];
    return XFC_OK;
}

static xfc_status random_tensor(xfc_ctx *c, const char *name, draft t, const xf_random_opts *o, xf_fill *fill,
                                const xfc_tensor **out) {
    t.role = role_of(name, t.dtype);
    t.data = xfc_tensor_alloc(c, t.dtype, t.rank, t.dim);
    uint64_t state = o->seed;
    for (const char *s = name; *s; s++)
        state = state * 31 + (unsigned char)*s; /* not the same numbers in every input */
    for (int64_t i = 0; i < t.count; i++) random_element(&t, i, o, xf_random(&state));
    if (o->lengths) XFC_TRY(cut_lengths(c, &t, o, fill));
    *out = xfc_tensor_new(c, t.dtype, t.rank, t.dim, t.data, NULL);
    return XFC_OK;
}

xfc_status xf_made_up(xfc_ctx *c, const char *name, xfc_dtype dtype, uint32_t rank, const int64_t *dim,
                      const xf_random_opts *o, const xfc_tensor **out) {
    draft t = {.dtype = dtype, .rank = rank, .dim = dim};
    size_t bytes;
    xf_fill fill = {0};
    if (!xfc_tensor_count(dtype, rank, dim, &t.count, &bytes) || bytes > XF_MAX_TENSOR)
        return xfc_fail(c, XFC_ERR_LIMIT, (xfc_loc){0}, "input '%s' cannot be made up: its size is too much", name);
    return random_tensor(c, name, t, o, &fill, out);
}

/* --- inputs that were not given --- */

static const char *given_shape(const xf_cli_list *shapes, const char *name) {
    size_t n = strlen(name);
    for (uint32_t i = 0; shapes && i < shapes->n; i++)
        if (!strncmp(shapes->item[i], name, n) && shapes->item[i][n] == '=') return shapes->item[i] + n + 1;
    return NULL;
}

/* The size that a given input, or --shape, gives to a named dim; -1: none does. */
static int64_t named_dim(const xf_runner *r, const char *name, const xfc_tensor *const *in,
                         const int64_t (*dims)[XFC_MAX_RANK]) {
    for (uint32_t i = 0; name && i < r->n_in; i++) {
        const xf_io_info *info = r->api->input_info(r->model, i);
        for (int32_t d = 0; d < info->ndim; d++) {
            int64_t size = in[i] && (int32_t)in[i]->rank == info->ndim ? in[i]->dim[d] : dims[i][d];
            if (info->dim_name[d] && !strcmp(info->dim_name[d], name) && size >= 0) return size;
        }
    }
    return -1;
}

static xfc_status read_shapes(const xf_runner *r, const xf_cli_list *shapes, int64_t (*dims)[XFC_MAX_RANK]) {
    for (uint32_t i = 0; shapes && i < shapes->n; i++) {
        const char *eq = strrchr(shapes->item[i], '=');
        int input =
            eq ? xf_find_input(r, xfc_intern_n(r->ctx->strings, shapes->item[i], (size_t)(eq - shapes->item[i]))) : -1;
        if (input >= 0) continue;
        xfc_nearest near = {.wanted = shapes->item[i], .n = strcspn(shapes->item[i], "=")};
        for (uint32_t k = 0; k < r->n_in; k++) xfc_nearest_offer(&near, r->api->input_info(r->model, k)->name);
        return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = r->path},
                        "--shape %s: the model has no such input; see --list%s", shapes->item[i],
                        xfc_did_you_mean(r->ctx->arena, &near, ""));
    }
    for (uint32_t i = 0; i < r->n_in; i++) {
        const xf_io_info *info = r->api->input_info(r->model, i);
        const char *text = given_shape(shapes, info->name);
        uint32_t rank = 0;
        xfc_dtype dtype;
        for (int32_t d = 0; d < XFC_MAX_RANK; d++) dims[i][d] = -1;
        if (!text) continue;
        if (!parse_shape(text, text + strlen(text), &dtype, dims[i], &rank) || (int32_t)rank != info->ndim)
            return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = r->path},
                            "--shape %s=%s: expected %d sizes such as 8x128", info->name, text, (int)info->ndim);
    }
    return XFC_OK;
}

static xfc_status complete(const xf_runner *r, uint32_t i, int64_t (*dims)[XFC_MAX_RANK], const xf_random_opts *o,
                           const xfc_tensor **in, xf_fill *fill) {
    const xf_io_info *info = r->api->input_info(r->model, i);
    int64_t dim[XFC_MAX_RANK] = {0}, count;
    size_t bytes;
    for (int32_t d = 0; d < info->ndim; d++) {
        dim[d] = dims[i][d] >= 0 ? dims[i][d] : info->dim[d];
        if (dim[d] < 0) dim[d] = named_dim(r, info->dim_name[d], in, (const int64_t (*)[XFC_MAX_RANK])dims);
        if (dim[d] < 0)
            return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = r->path},
                            "input '%s': nothing gives the size of its dim %d; add --input %s=... or --shape %s=...",
                            info->name, (int)d, info->name, info->name);
    }
    uint32_t want = info->dtype.code | (uint32_t)info->dtype.bits << 8 | (uint32_t)info->dtype.lanes << 16;
    for (int t = 0; t < XFC_DTYPE_COUNT; t++) {
        if (xfc_dtype_dlpack((xfc_dtype)t) != want) continue;
        if (!xfc_tensor_count((xfc_dtype)t, (uint32_t)info->ndim, dim, &count, &bytes) || bytes > (size_t)1 << 40)
            break;
        const draft d = {.dtype = (xfc_dtype)t, .rank = (uint32_t)info->ndim, .dim = dim, .count = count};
        return random_tensor(r->ctx, info->name, d, o, fill, &in[i]);
    }
    return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = r->path},
                    "input '%s' cannot be made up: its size or type is too much", info->name);
}

/* An input that neither --input nor --shape names may have been forgotten. */
static void tell_made_up(const xf_runner *r, const xfc_tensor *t, const char *name, const xf_random_opts *o) {
    static const char *const text[] = {[ROLE_VALUES] = "random numbers in [-1, 1)", [ROLE_TYPES] = "0 everywhere"};
    const role kind = role_of(name, t->dtype);
    const char *what = kind == ROLE_IDS ? xfc_sprintf(r->ctx->arena, "random integers below %lld", (long long)o->max_id)
                       : kind != ROLE_MASK ? text[kind]
                       : o->lengths        ? "1 up to each length"
                                           : "1 everywhere";
    xfc_buf b = {.arena = r->ctx->arena};
    xfc_buf_printf(&b, "%s[", xf_dtype_text(t->dtype));
    for (uint32_t d = 0; d < t->rank; d++) xfc_buf_printf(&b, "%s%lld", d ? ", " : "", (long long)t->dim[d]);
    xfc_buf_str(&b, "] of input '");
    xfc_buf_plain(&b, name);
    fprintf(stderr,
            "xf-run: note: %s' was not given and is made up: %s; give it with --input, or ask for that with --shape\n",
            b.text, what);
}

xfc_status xf_complete_inputs(const xf_runner *r, const xf_cli_list *shapes, const xf_random_opts *o,
                              const xfc_tensor **in, xf_fill *fill) {
    int64_t (*dims)[XFC_MAX_RANK] = xfc_alloc_array(r->ctx->arena, r->n_in + 1, sizeof *dims, _Alignof(int64_t));
    XFC_TRY(read_shapes(r, shapes, dims));
    for (uint32_t i = 0; i < r->n_in;
         i++) { /* dims that --shape leaves to names: all bound before the first tensor is made */
        const xf_io_info *info = r->api->input_info(r->model, i);
        for (int32_t d = 0; !in[i] && d < info->ndim; d++)
            if (dims[i][d] < 0 && info->dim[d] < 0)
                dims[i][d] = named_dim(r, info->dim_name[d], in, (const int64_t (*)[XFC_MAX_RANK])dims);
    }
    for (uint32_t i = 0; i < r->n_in; i++) {
        if (in[i]) continue;
        const char *name = r->api->input_info(r->model, i)->name;
        XFC_TRY(complete(r, i, dims, o, in, fill));
        if (!given_shape(shapes, name)) tell_made_up(r, in[i], name, o);
    }
    if (o->lengths && !fill->known)
        return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = r->path},
                        "--lengths: no mask is made up that could have them; leave its --input out, or give --pad-id");
    return XFC_OK;
}

/* --- printing --- */

void xf_print_tensor(const char *what, const char *name, const xfc_tensor *t) {
    enum { SHOWN = 8 };
    printf("%s '%s': %s[", what, name, xf_dtype_text(t->dtype));
    for (uint32_t d = 0; d < t->rank; d++) printf("%s%lld", d ? ", " : "", (long long)t->dim[d]);
    printf("]");
    bool is_float = xfc_dtype_is_float(t->dtype);
    double lo = 0, hi = 0, sum = 0;
    for (int64_t i = 0; i < t->count; i++) {
        double v = xfc_tensor_get_f(t, i);
        lo = i == 0 || v < lo ? v : lo;
        hi = i == 0 || v > hi ? v : hi;
        sum += v;
    }
    for (int64_t i = 0; i < t->count && i < SHOWN; i++) {
        if (is_float)
            printf("%s%.7g", i ? ", " : " = ", xfc_tensor_get_f(t, i));
        else
            printf("%s%lld", i ? ", " : " = ", (long long)xfc_tensor_get_i(t, i));
    }
    printf("%s", t->count > SHOWN ? ", ..." : "");
    if (t->count > SHOWN) printf(" (min %.6g, max %.6g, mean %.6g)", lo, hi, sum / (double)t->count);
    printf("\n");
}

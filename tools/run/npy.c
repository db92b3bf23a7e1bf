/* npy.c - NumPy's files: .npy (one array) and .npz (a zip of them), read and, for .npy, written.
 *
 * Files are not trusted: every count and offset is checked against the size of the file. Arrays of another byte order
 * or in Fortran order are converted. bf16, which NumPy does not know, is '<V2' as ml_dtypes writes it, floats of 8 bits
 * are '|V1', and numbers of fewer bits than a byte are int8 or uint8. Not read: floats of 8 bits,
 * pickled objects, structured types, encrypted or zip64-split archives.
 */
#include "tools/run/run.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static xfc_status bad(xfc_ctx *c, const char *file, const char *why) {
    return xfc_fail(c, XFC_ERR_INPUT, (xfc_loc){.file = file}, "%s; save it again with numpy.save or numpy.savez", why);
}

/* --- .npy --- */

static const struct {
    const char *descr;
    xfc_dtype dtype;
} types[] = {
    {"f4", XFC_F32}, {"f8", XFC_F64}, {"f2", XFC_F16},  {"V2", XFC_BF16}, {"i1", XFC_I8},
    {"i2", XFC_I16}, {"i4", XFC_I32}, {"i8", XFC_I64},  {"u1", XFC_U8},   {"u2", XFC_U16},
    {"u4", XFC_U32}, {"u8", XFC_U64}, {"b1", XFC_BOOL},
};

/* What follows "'key':" in the header's dict, blanks skipped; NULL if it is not there. header is NUL-terminated. */
static const char *field(const char *header, const char *key) {
    const char *s = strstr(header, key);
    if (!s) return NULL;
    s += strlen(key);
    while (*s == ' ' || *s == ':') s++;
    return s;
}

static bool parse_dims(const char *s, int64_t *dim, uint32_t *rank) {
    *rank = 0;
    if (!s || *s++ != '(') return false;
    for (;;) {
        while (*s == ' ' || *s == ',' || *s == 'L') s++;
        if (*s == ')') return true;
        int64_t n = 0;
        const char *start = s;
        for (; *s >= '0' && *s <= '9'; s++)
            if (!xfc_mul_ok(n, 10, &n) || !xfc_add_ok(n, *s - '0', &n)) return false;
        if (s == start || *rank == XFC_MAX_RANK) return false;
        dim[(*rank)++] = n;
    }
}

static bool parse_type(const char *s, xfc_dtype *dtype, bool *swap) {
    if (!s || (*s != '\'' && *s != '"') || !s[1]) return false;
    *swap = s[1] == '>';
    for (size_t i = 0; i < XFC_COUNT(types); i++)
        if (!strncmp(s + 2, types[i].descr, 2) && s[4] == s[0]) return *dtype = types[i].dtype, true;
    return false;
}

/* Element i of the result (row-major) comes from element fortran_index(i) of the file. */
static int64_t fortran_index(int64_t i, uint32_t rank, const int64_t *dim) {
    int64_t out = 0, stride[XFC_MAX_RANK] = {0}, s = 1;
    for (uint32_t d = 0; d < rank; d++) stride[d] = s, s *= dim[d];
    for (uint32_t d = rank; d-- > 0; i /= dim[d]) out += i % dim[d] * stride[d];
    return out;
}

static void copy_elements(char *to, const char *from, int64_t count, uint32_t size, bool swap, bool fortran,
                          uint32_t rank, const int64_t *dim) {
    for (int64_t i = 0; i < count; i++) {
        const char *e = from + (fortran ? fortran_index(i, rank, dim) : i) * size;
        for (uint32_t b = 0; b < size; b++) to[i * size + b] = e[swap ? size - 1 - b : b];
    }
}

xfc_status xf_npy_parse(xfc_ctx *c, const char *file, const void *data, size_t n, const xfc_tensor **out) {
    const unsigned char *p = data;
    if (n < 12 || memcmp(p, "\x93NUMPY", 6) != 0) return bad(c, file, "is not a .npy file");
    size_t start = p[6] == 1 ? 10 : 12, length = p[8] | (size_t)p[9] << 8;
    if (p[6] > 1) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > n - start) return bad(c, file, "is truncated");
    char *header = xfc_alloc(c->arena, length + 1, 1);
    memcpy(header, p + start, length);
    int64_t dim[XFC_MAX_RANK], count;
    uint32_t rank;
    xfc_dtype dtype;
    bool swap;
    size_t bytes;
    const char *order = field(header, "'fortran_order'");
    if (!parse_type(field(header, "'descr'"), &dtype, &swap))
        return bad(c, file, "has an element type that is not read");
    if (!order || !parse_dims(field(header, "'shape'"), dim, &rank))
        return bad(c, file, "has a damaged header or more than 8 dims");
    if (!xfc_tensor_count(dtype, rank, dim, &count, &bytes)) return bad(c, file, "has a size that overflows");
    if (bytes > n - start - length) return bad(c, file, "is truncated");
    void *to = xfc_tensor_alloc(c, dtype, rank, dim);
    const char *from = (const char *)p + start + length;
    bool fortran = *order == 'T' && rank > 1;
    if (swap || fortran)
        copy_elements(to, from, count, xfc_dtype_bytes(dtype), swap, fortran, rank, dim);
    else if (bytes)
        memcpy(to, from, bytes);
    *out = xfc_tensor_new(c, dtype, rank, dim, to, NULL);
    return XFC_OK;
}

/* Numbers that share bytes, as int8 or uint8. */
static const xfc_tensor *unpacked(xfc_ctx *c, const xfc_tensor *t) {
    if (!xfc_dtype_is_packed(t->dtype)) return t;
    bool is_signed = xfc_dtype_class(xfc_dtype_unpacked(t->dtype)) == XFC_CLASS_SINT;
    xfc_dtype dtype = is_signed ? XFC_I8 : XFC_U8;
    void *to = xfc_tensor_alloc(c, dtype, t->rank, t->dim);
    for (int64_t i = 0; i < t->count; i++) xfc_element_set_i(dtype, to, i, xfc_tensor_get_i(t, i));
    return xfc_tensor_new(c, dtype, t->rank, t->dim, to, NULL);
}

xfc_status xf_npy_write(xfc_ctx *c, const char *path, const xfc_tensor *t) {
    xfc_buf b = {.arena = c->arena};
    t = unpacked(c, t);
    const char *descr = xfc_dtype_bytes(t->dtype) == 1 ? "V1" : "V2";
    for (size_t i = 0; i < XFC_COUNT(types); i++)
        if (types[i].dtype == t->dtype) descr = types[i].descr;
    char order = xfc_dtype_bytes(t->dtype) == 1 ? '|' : '<';
    xfc_buf_printf(&b, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order, descr);
    for (uint32_t d = 0; d < t->rank; d++)
        xfc_buf_printf(&b, "%lld%s", (long long)t->dim[d], t->rank == 1 ? "," : d + 1 < t->rank ? ", " : "");
    xfc_buf_str(&b, "), }");
    while ((10 + b.n + 1) % 64) xfc_buf_char(&b, ' ');
    xfc_buf_char(&b, '\n');
    xfc_buf file = {.arena = c->arena};
    xfc_buf_bytes(&file, "\x93NUMPY\x01\x00", 8);
    xfc_buf_bytes(&file, (unsigned char[]){(unsigned char)b.n, (unsigned char)(b.n >> 8)}, 2);
    xfc_buf_bytes(&file, b.text, b.n);
    xfc_buf_bytes(&file, t->data, t->bytes);
    if (xf_write_file(c, path, file.text, file.n)) return XFC_OK;
    return xfc_fail(c, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be written: %s", xf_write_error());
}

/* --- .npz --- */

static uint64_t little(const unsigned char *p, int n) {
    uint64_t v = 0;
    while (n-- > 0) v = v << 8 | p[n];
    return v;
}

typedef struct {
    uint64_t method, packed, size, offset, name_bytes, extra_bytes;
    const unsigned char *name;
} entry;

/* Fields of 32 bits that are all ones stand in the zip64 extra field, in this order. */
static bool read_zip64(entry *e, const unsigned char *extra, uint64_t n) {
    while (n >= 4) {
        uint64_t id = little(extra, 2), bytes = little(extra + 2, 2);
        if (bytes > n - 4) return false;
        const unsigned char *p = extra + 4;
        uint64_t *want[] = {&e->size, &e->packed, &e->offset};
        for (size_t i = 0; id == 1 && i < XFC_COUNT(want); i++) {
            if (*want[i] != 0xffffffffu) continue;
            if (p + 8 > extra + 4 + bytes) return false;
            *want[i] = little(p, 8);
            p += 8;
        }
        extra += 4 + bytes;
        n -= 4 + bytes;
    }
    return true;
}

static bool inflate_member(const unsigned char *from, uint64_t packed, unsigned char *to, uint64_t size) {
    z_stream z = {0};
    if (packed > UINT32_MAX || size > UINT32_MAX || inflateInit2(&z, -MAX_WBITS) != Z_OK) return false;
    z.next_in = (unsigned char *)(uintptr_t)from;
    z.avail_in = (uInt)packed;
    z.next_out = to;
    z.avail_out = (uInt)size;
    int end = inflate(&z, Z_FINISH);
    bool ok = end == Z_STREAM_END && z.total_out == size;
    inflateEnd(&z);
    return ok;
}

static xfc_status read_member(xfc_ctx *c, const char *path, const unsigned char *zip, size_t n, entry *e,
                              xf_named_list *out) {
    if (e->offset > n || n - e->offset < 30 || little(zip + e->offset, 4) != 0x04034b50u)
        return bad(c, path, "is a damaged zip file");
    uint64_t start = e->offset + 30 + little(zip + e->offset + 26, 2) + little(zip + e->offset + 28, 2);
    if (start > n || e->packed > n - start) return bad(c, path, "is truncated");
    if (e->method != 0 && e->method != 8) return bad(c, path, "holds a member in a compression that is not read");
    /* deflate cannot pack tighter than about 1032 to 1, so a larger claim is a lie, not worth the memory */
    if (e->method == 0 ? e->size != e->packed : e->size / 1040 > e->packed)
        return bad(c, path, "is a damaged zip file");
    const unsigned char *data = zip + start;
    if (e->method == 8) {
        unsigned char *to = xfc_alloc(c->arena, (size_t)e->size, 64);
        if (!inflate_member(data, e->packed, to, e->size))
            return bad(c, path, "holds a member that cannot be unpacked");
        data = to;
    }
    size_t length = (size_t)e->name_bytes;
    if (length >= 4 && !memcmp(e->name + length - 4, ".npy", 4)) length -= 4;
    const char *name = xfc_intern_n(c->strings, (const char *)e->name, length);
    const xfc_tensor *t;
    XFC_TRY(xf_npy_parse(c, xfc_sprintf(c->arena, "%s(%s)", path, name), data, (size_t)e->size, &t));
    xfc_push(c->arena, out->item, out->n, out->cap) = (xf_named){name, t};
    return XFC_OK;
}

/* The end record stands in the last 64 KiB. */
static const unsigned char *find_end(const unsigned char *zip, size_t n) {
    for (size_t back = 22; back <= n && back < 22 + 65536; back++)
        if (little(zip + n - back, 4) == 0x06054b50u) return zip + n - back;
    return NULL;
}

xfc_status xf_npz_read(xfc_ctx *c, const char *path, xf_named_list *out) {
    char *text;
    size_t n;
    if (!xf_read_file(c, path, XF_MAX_TENSOR, &text, &n))
        return xfc_fail(c, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be read: %s; check the path", strerror(errno));
    const unsigned char *zip = (const unsigned char *)text, *end = find_end(zip, n);
    if (!end) return bad(c, path, "is not a .npz file");
    uint64_t count = little(end + 10, 2), at = little(end + 16, 4);
    for (uint64_t i = 0; i < count; i++) {
        if (at > n || n - at < 46 || little(zip + at, 4) != 0x02014b50u) return bad(c, path, "is a damaged zip file");
        const unsigned char *p = zip + at;
        entry e = {little(p + 10, 2),
                   little(p + 20, 4),
                   little(p + 24, 4),
                   little(p + 42, 4),
                   little(p + 28, 2),
                   little(p + 30, 2),
                   p + 46};
        uint64_t size = 46 + e.name_bytes + e.extra_bytes + little(p + 32, 2);
        if (size > n - at || !read_zip64(&e, p + 46 + e.name_bytes, e.extra_bytes))
            return bad(c, path, "is a damaged zip file");
        XFC_TRY(read_member(c, path, zip, n, &e, out));
        at += size;
    }
    return XFC_OK;
}

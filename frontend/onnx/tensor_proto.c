/* tensor_proto.c - TensorProto to constant: from raw bytes, typed fields or external data.
 *
 * The number of values must be exactly what the shape says. Nothing is allocated before the bytes in the file were
 * found to be enough, so a lying shape costs nothing. Numbers of fewer bits than a byte are packed in the file, the first
 * in the lowest bits. Little-endian hosts only, like everything xfc targets.
 */
#include "frontend/onnx/load.h"
#include <string.h>

enum { DROP_BYTES = 1 << 20 }; /* copies of this size give the mapped pages back */

const char *xfc_onnx_dtype_name(int64_t elem_type) {
    static const char *const names[] = {
        "undefined", "float",      "uint8",      "int8",         "uint16",         "int16",      "int32",
        "int64",     "string",     "bool",       "float16",      "double",         "uint32",     "uint64",
        "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
        "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2"};
    return elem_type >= 0 && elem_type < (int64_t)XFC_COUNT(names) ? names[elem_type] : "unknown";
}

typedef struct {
    xfc_onnx_file *file;
    const Onnx__TensorProto *proto;
    xfc_loc loc;
    const char *what;
    xfc_dtype dtype;
    xfc_onnx_shape shape;
    const xfc_payload *payload;
    uint32_t n_payloads;
} source;

static const xfc_tensor *bad(const source *s, xfc_status status, const char *text) {
    xfc_fail(s->file->ctx, status, s->loc, "%s %s", s->what, text);
    return NULL;
}

bool xfc_onnx_shape_read(xfc_onnx_file *f, xfc_loc loc, const char *what, xfc_dtype t, const int64_t *dims, size_t n,
                         xfc_onnx_shape *out) {
    if (n > XFC_MAX_RANK) {
        xfc_fail(f->ctx, XFC_ERR_LIMIT, loc, "%s has rank %zu; the limit is %d", what, n, XFC_MAX_RANK);
        return false;
    }
    out->rank = (uint32_t)n;
    for (uint32_t i = 0; i < out->rank; i++) out->dim[i] = dims[i];
    if (xfc_tensor_count(t, out->rank, out->dim, &out->count, &out->bytes)) return true;
    xfc_fail(f->ctx, XFC_ERR_INPUT, loc,
             "%s has a negative dim or more elements than fit in memory; export the model again", what);
    return false;
}

static bool read_type(source *s) {
    const Onnx__TensorProto *p = s->proto;
    if (!xfc_dtype_from_onnx(p->data_type, &s->dtype)) {
        xfc_fail(s->file->ctx, XFC_ERR_UNSUPPORTED, s->loc,
                 "%s has element type %s (%d), which is not supported; convert it", s->what,
                 xfc_onnx_dtype_name(p->data_type), (int)p->data_type);
        return false;
    }
    return xfc_onnx_shape_read(s->file, s->loc, s->what, s->dtype, p->dims, p->n_dims, &s->shape);
}

static bool find_payloads(source *s) {
    const Onnx__TensorProto *p = s->proto;
    uint32_t first = p->first_payload, n = p->n_payloads, all = s->file->scan.n_payloads;
    if (!first || first > all || n > all - (first - 1)) return !first;
    s->payload = s->file->scan.payload + (first - 1);
    s->n_payloads = n;
    return true;
}

static bool field_fits(xfc_payload_field f, xfc_dtype t) {
    switch (f) {
    case XFC_PAYLOAD_FLOAT: return t == XFC_F32;
    case XFC_PAYLOAD_DOUBLE: return t == XFC_F64;
    case XFC_PAYLOAD_INT64: return t == XFC_I64;
    case XFC_PAYLOAD_UINT64: return t == XFC_U64 || t == XFC_U32;
    case XFC_PAYLOAD_INT32:
        return t == XFC_I32 || t == XFC_I16 || t == XFC_I8 || t == XFC_U16 || t == XFC_U8 || t == XFC_BOOL ||
               t == XFC_F16 || t == XFC_BF16 || xfc_dtype_is_stored(t);
    case XFC_PAYLOAD_RAW: return true;
    case XFC_PAYLOAD_STRING: return false;
    }
    return false;
}

static bool is_packed(xfc_dtype t) { return xfc_dtype_bits(t) < 8; }

/* What the values take in the file. */
static size_t stored_bytes(const source *s) {
    if (!is_packed(s->dtype)) return s->shape.bytes;
    uint32_t each = 8 / xfc_dtype_bits(s->dtype);
    return (size_t)s->shape.count / each + ((size_t)s->shape.count % each != 0);
}

static const xfc_tensor *unpacked(const source *s, const uint8_t *data, const char *name) {
    uint32_t bits = xfc_dtype_bits(s->dtype), each = 8 / bits;
    void *out = xfc_tensor_alloc(s->file->ctx, s->dtype, s->shape.rank, s->shape.dim);
    for (int64_t i = 0; i < s->shape.count; i++)
        xfc_element_set_i(s->dtype, out, i, data[i / each] >> bits * (uint32_t)(i % each));
    return xfc_tensor_new(s->file->ctx, s->dtype, s->shape.rank, s->shape.dim, out, name);
}

/* A dense run of bytes of the tensor's own type: used in place if aligned, else copied. Bools are made 0 or 1.
 * borrowed: the bytes are no part of a mapped file. */
static const xfc_tensor *from_bytes(const source *s, const uint8_t *data, size_t n, bool borrowed) {
    if (n != stored_bytes(s)) {
        xfc_fail(s->file->ctx, XFC_ERR_INPUT, s->loc,
                 "%s has %zu bytes of data, but its shape needs %zu; export the model again", s->what, n,
                 stored_bytes(s));
        return NULL;
    }
    xfc_ctx *c = s->file->ctx;
    const char *name = xfc_str(c, s->proto->name);
    if (is_packed(s->dtype)) return unpacked(s, data, name);
    if (s->dtype == XFC_BOOL) {
        uint8_t *copy = xfc_tensor_alloc(c, s->dtype, s->shape.rank, s->shape.dim);
        for (size_t i = 0; i < n; i++) copy[i] = data[i] != 0;
        return xfc_tensor_new(c, s->dtype, s->shape.rank, s->shape.dim, copy, name);
    }
    if ((uintptr_t)data % xfc_dtype_bytes(s->dtype) == 0)
        return (borrowed ? xfc_tensor_new : xfc_tensor_map)(c, s->dtype, s->shape.rank, s->shape.dim, data, name);
    const xfc_tensor *t = xfc_tensor_copy(c, s->dtype, s->shape.rank, s->shape.dim, data, name);
    if (n >= DROP_BYTES && !borrowed) xfc_drop_pages(data, n);
    return t;
}

static void store_int(xfc_dtype t, void *base, int64_t i, uint64_t value) {
    uint8_t *at = (uint8_t *)base + (size_t)i * xfc_dtype_bytes(t);
    if (t == XFC_BOOL) value = value != 0;
    memcpy(at, &value, xfc_dtype_bytes(t)); /* little-endian: the low bytes */
}

/* Next value of a payload as raw bits; false when malformed. Unpacked payloads hold a tag before every value. */
static bool next_value(const uint8_t *data, size_t end, size_t *at, const xfc_payload *p, uint64_t *out) {
    uint64_t tag;
    if (!p->packed && !xfc_pb_varint(data, end, at, &tag)) return false;
    size_t fixed = p->field == XFC_PAYLOAD_FLOAT ? 4 : p->field == XFC_PAYLOAD_DOUBLE ? 8 : 0;
    if (!fixed) return xfc_pb_varint(data, end, at, out);
    if (end - *at < fixed) return false;
    *out = 0;
    memcpy(out, data + *at, fixed);
    *at += fixed;
    return true;
}

static const xfc_tensor *from_values(const source *s) {
    uint64_t available = 0;
    for (uint32_t k = 0; k < s->n_payloads; k++)
        available += s->payload[k].bytes; /* every value takes at least a byte */
    bool packs = is_packed(s->dtype);
    int64_t n = 0, count = packs ? (int64_t)stored_bytes(s) : s->shape.count;
    xfc_dtype type = packs ? XFC_U8 : s->dtype;
    if ((uint64_t)count > available)
        return bad(s, XFC_ERR_INPUT, "has less data than its shape needs; export the model again");
    xfc_ctx *c = s->file->ctx;
    void *data = xfc_tensor_alloc(c, type, packs ? 1 : s->shape.rank, packs ? &count : s->shape.dim);
    for (uint32_t k = 0; k < s->n_payloads; k++) {
        const xfc_payload *p = &s->payload[k];
        size_t at = (size_t)p->offset, end = at + (size_t)p->bytes;
        while (at < end) {
            uint64_t value;
            if (!next_value(s->file->scan.data, end, &at, p, &value))
                return bad(s, XFC_ERR_INPUT, "holds malformed data");
            if (n < count) store_int(type, data, n, value);
            n++;
        }
    }
    if (n != count) {
        xfc_fail(c, XFC_ERR_INPUT, s->loc, "%s holds %lld values, but its shape needs %lld; export the model again",
                 s->what, (long long)n, (long long)count);
        return NULL;
    }
    if (packs) return unpacked(s, data, xfc_str(c, s->proto->name));
    return xfc_tensor_new(c, s->dtype, s->shape.rank, s->shape.dim, data, xfc_str(c, s->proto->name));
}

static const xfc_tensor *from_payloads(const source *s) {
    const xfc_payload *last = &s->payload[s->n_payloads - 1];
    for (uint32_t k = 0; k < s->n_payloads; k++) {
        if (!field_fits(s->payload[k].field, s->dtype))
            return bad(s, XFC_ERR_INPUT, "keeps its data in a field of another type");
        if (s->payload[k].field != last->field) return bad(s, XFC_ERR_INPUT, "has its data twice, in two fields");
    }
    const uint8_t *data = s->file->scan.data + last->offset;
    bool same_layout = last->field == XFC_PAYLOAD_FLOAT || last->field == XFC_PAYLOAD_DOUBLE;
    if (last->field == XFC_PAYLOAD_RAW || (same_layout && last->packed && s->n_payloads == 1))
        /* of a singular field given twice the last one counts */
        return from_bytes(s, data, (size_t)last->bytes, s->file->borrowed);
    return from_values(s);
}

static const xfc_tensor *make(xfc_onnx_file *f, const Onnx__TensorProto *p, xfc_loc loc, const char *what) {
    source s = {.file = f, .proto = p, .loc = loc, .what = what};
    if (!read_type(&s)) return NULL;
    if (!find_payloads(&s)) return bad(&s, XFC_ERR_INPUT, "is malformed");
    if (p->data_location == 1) {
        if (s.n_payloads) return bad(&s, XFC_ERR_INPUT, "has its data both inside and outside the file");
        const uint8_t *data = xfc_external_data(f, p, stored_bytes(&s), loc, what);
        return data ? from_bytes(&s, data, stored_bytes(&s), false) : NULL;
    }
    if (p->data_location != 0) return bad(&s, XFC_ERR_INPUT, "has an unknown data location");
    if (s.n_payloads) return from_payloads(&s);
    if (s.shape.count) return bad(&s, XFC_ERR_INPUT, "has no data; export the model again");
    return from_bytes(&s, (const uint8_t *)"", 0, true);
}

const xfc_tensor *xfc_onnx_tensor(xfc_onnx_file *f, const Onnx__TensorProto *p, xfc_loc loc, const char *what) {
    const xfc_tensor *t = xfc_map_get_ptr(&f->tensors, p);
    if (!t && (t = make(f, p, loc, what)) != NULL) xfc_map_set_ptr(&f->tensors, p, t);
    return t;
}

/* One string of a payload, which is a run of tags, lengths and bytes. */
static bool next_string(const uint8_t *data, size_t end, size_t *at, size_t *start, size_t *n) {
    uint64_t tag, length;
    if (!xfc_pb_varint(data, end, at, &tag) || !xfc_pb_varint(data, end, at, &length) || length > end - *at)
        return false;
    *start = *at, *n = (size_t)length;
    *at += *n;
    return true;
}

bool xfc_onnx_strings(xfc_onnx_file *f, const Onnx__TensorProto *p, xfc_loc loc, const char *what,
                      const xfc_tensor **bytes, const xfc_tensor **lengths) {
    source s = {.file = f, .proto = p, .loc = loc, .what = what, .dtype = XFC_I64};
    int64_t n = 0, size = 0;
    size_t start, count;
    if (!xfc_onnx_shape_read(f, loc, what, XFC_I64, p->dims, p->n_dims, &s.shape)) return false;
    if (!find_payloads(&s)) return bad(&s, XFC_ERR_INPUT, "is malformed"), false;
    if (p->data_type != 8 || p->data_location != 0) return bad(&s, XFC_ERR_INPUT, "holds no strings"), false;
    for (uint32_t k = 0; k < s.n_payloads; k++)
        for (size_t at = (size_t)s.payload[k].offset, end = at + (size_t)s.payload[k].bytes; at < end; n++) {
            if (s.payload[k].field != XFC_PAYLOAD_STRING || !next_string(f->scan.data, end, &at, &start, &count))
                return bad(&s, XFC_ERR_INPUT, "holds malformed strings"), false;
            size += (int64_t)count;
        }
    if (n != s.shape.count)
        return xfc_fail(f->ctx, XFC_ERR_INPUT, loc,
                        "%s holds %lld strings, but its shape needs %lld; export the model again", what, (long long)n,
                        (long long)s.shape.count),
               false;
    int64_t *length = xfc_tensor_alloc(f->ctx, XFC_I64, s.shape.rank, s.shape.dim);
    char *text = xfc_tensor_alloc(f->ctx, XFC_U8, 1, &size), *to = text;
    n = 0;
    for (uint32_t k = 0; k < s.n_payloads; k++)
        for (size_t at = (size_t)s.payload[k].offset, end = at + (size_t)s.payload[k].bytes; at < end; to += count) {
            (void)next_string(f->scan.data, end, &at, &start, &count);
            memcpy(to, f->scan.data + start, count);
            length[n++] = (int64_t)count;
        }
    *bytes = xfc_tensor_new(f->ctx, XFC_U8, 1, &size, text, NULL);
    *lengths = xfc_tensor_new(f->ctx, XFC_I64, s.shape.rank, s.shape.dim, length, NULL);
    return true;
}

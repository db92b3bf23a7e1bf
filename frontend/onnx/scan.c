/* scan.c - see scan.h.
 *
 * The schema is a table of fields by message; a field that is not in it is checked for being well-formed and dropped.
 * Nested messages are written with a length of five bytes that is filled in once their thinned size is known.
 *
 * Invariants of the thinned copy: depth <= XFC_MAX_PROTO_DEPTH, at most MAX_MESSAGES messages, MAX_FIELDS fields,
 * singular messages occur once (protobuf would merge them), strings hold no NUL byte. It does not check meaning: that
 * is import.c.
 */
#include "frontend/onnx/scan.h"
#include <string.h>

enum { MAX_MESSAGES = 4 << 20, MAX_FIELDS = 16 << 20, LENGTH_BYTES = 5 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef enum {
    MODEL,
    OPSET,
    GRAPH,
    FUNCTION,
    NODE,
    ATTRIBUTE,
    TENSOR,
    SPARSE,
    SEQUENCE,
    OPTIONAL,
    ENTRY,
    VALUE_INFO,
    TYPE,
    ELEMENT_TYPE,
    TENSOR_TYPE,
    SHAPE,
    DIM
} message;
typedef enum {
    VARINT,  /* or packed */
    FLOAT32, /* or packed */
    STRING,
    BYTES,
    ONE,  /* a message, at most once */
    MANY, /* messages */
    PAYLOAD,
} kind;
typedef struct {
    message in;
    uint32_t number;
    kind kind;
    message sub;
    const char *name;
} field;

static const field fields[] = {
    {MODEL, 1, VARINT, MODEL, "ir_version"},
    {MODEL, 7, ONE, GRAPH, "graph"},
    {MODEL, 8, MANY, OPSET, "opset_import"},
    {MODEL, 25, MANY, FUNCTION, "functions"},
    {OPSET, 1, STRING, MODEL, "domain"},
    {OPSET, 2, VARINT, MODEL, "version"},
    {GRAPH, 1, MANY, NODE, "node"},
    {GRAPH, 2, STRING, MODEL, "name"},
    {GRAPH, 5, MANY, TENSOR, "initializer"},
    {GRAPH, 11, MANY, VALUE_INFO, "input"},
    {GRAPH, 12, MANY, VALUE_INFO, "output"},
    {GRAPH, 15, MANY, SPARSE, "sparse_initializer"},
    {FUNCTION, 1, STRING, MODEL, "name"},
    {FUNCTION, 4, STRING, MODEL, "input"},
    {FUNCTION, 5, STRING, MODEL, "output"},
    {FUNCTION, 6, STRING, MODEL, "attribute"},
    {FUNCTION, 7, MANY, NODE, "node"},
    {FUNCTION, 9, MANY, OPSET, "opset_import"},
    {FUNCTION, 10, STRING, MODEL, "domain"},
    {FUNCTION, 11, MANY, ATTRIBUTE, "attribute_proto"},
    {FUNCTION, 13, STRING, MODEL, "overload"},
    {NODE, 1, STRING, MODEL, "input"},
    {NODE, 2, STRING, MODEL, "output"},
    {NODE, 3, STRING, MODEL, "name"},
    {NODE, 4, STRING, MODEL, "op_type"},
    {NODE, 5, MANY, ATTRIBUTE, "attribute"},
    {NODE, 7, STRING, MODEL, "domain"},
    {NODE, 8, STRING, MODEL, "overload"},
    {ATTRIBUTE, 1, STRING, MODEL, "name"},
    {ATTRIBUTE, 2, FLOAT32, MODEL, "f"},
    {ATTRIBUTE, 3, VARINT, MODEL, "i"},
    {ATTRIBUTE, 4, BYTES, MODEL, "s"},
    {ATTRIBUTE, 5, ONE, TENSOR, "t"},
    {ATTRIBUTE, 6, ONE, GRAPH, "g"},
    {ATTRIBUTE, 7, FLOAT32, MODEL, "floats"},
    {ATTRIBUTE, 8, VARINT, MODEL, "ints"},
    {ATTRIBUTE, 9, BYTES, MODEL, "strings"},
    {ATTRIBUTE, 14, ONE, TYPE, "tp"},
    {ATTRIBUTE, 20, VARINT, MODEL, "type"},
    {ATTRIBUTE, 21, STRING, MODEL, "ref_attr_name"},
    {ATTRIBUTE, 22, ONE, SPARSE, "sparse_tensor"},
    {TENSOR, 1, VARINT, MODEL, "dims"},
    {TENSOR, 2, VARINT, MODEL, "data_type"},
    {TENSOR, 4, PAYLOAD, MODEL, "float_data"},
    {TENSOR, 5, PAYLOAD, MODEL, "int32_data"},
    {TENSOR, 6, PAYLOAD, MODEL, "string_data"},
    {TENSOR, 7, PAYLOAD, MODEL, "int64_data"},
    {TENSOR, 8, STRING, MODEL, "name"},
    {TENSOR, 9, PAYLOAD, MODEL, "raw_data"},
    {TENSOR, 10, PAYLOAD, MODEL, "double_data"},
    {TENSOR, 11, PAYLOAD, MODEL, "uint64_data"},
    {TENSOR, 13, MANY, ENTRY, "external_data"},
    {TENSOR, 14, VARINT, MODEL, "data_location"},
    {SPARSE, 1, ONE, TENSOR, "values"},
    {SPARSE, 2, ONE, TENSOR, "indices"},
    {SPARSE, 3, VARINT, MODEL, "dims"},
    {SEQUENCE, 1, STRING, MODEL, "name"},
    {SEQUENCE, 2, VARINT, MODEL, "elem_type"},
    {SEQUENCE, 3, MANY, TENSOR, "tensor_values"},
    {OPTIONAL, 1, STRING, MODEL, "name"},
    {OPTIONAL, 2, VARINT, MODEL, "elem_type"},
    {OPTIONAL, 3, ONE, TENSOR, "tensor_value"},
    {OPTIONAL, 5, ONE, SEQUENCE, "sequence_value"},
    {ENTRY, 1, STRING, MODEL, "key"},
    {ENTRY, 2, STRING, MODEL, "value"},
    {VALUE_INFO, 1, STRING, MODEL, "name"},
    {VALUE_INFO, 2, ONE, TYPE, "type"},
    {TYPE, 1, ONE, TENSOR_TYPE, "tensor_type"},
    {TYPE, 4, ONE, ELEMENT_TYPE, "sequence_type"},
    {TYPE, 5, BYTES, MODEL, "map_type"},
    {TYPE, 7, BYTES, MODEL, "opaque_type"},
    {TYPE, 8, BYTES, MODEL, "sparse_tensor_type"},
    {TYPE, 9, ONE, ELEMENT_TYPE, "optional_type"},
    {ELEMENT_TYPE, 1, ONE, TYPE, "elem_type"},
    {TENSOR_TYPE, 1, VARINT, MODEL, "elem_type"},
    {TENSOR_TYPE, 2, ONE, SHAPE, "shape"},
    {SHAPE, 1, MANY, DIM, "dim"},
    {DIM, 1, VARINT, MODEL, "dim_value"},
    {DIM, 2, STRING, MODEL, "dim_param"},
};

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_loc loc;
    const uint8_t *data;
    size_t n, at;
    xfc_buf thin;
    xfc_payload *payload;
    uint32_t n_payloads, cap_payloads, n_messages, n_fields;
    xfc_status status;
} scanner;

typedef struct {
    uint32_t number;
    uint32_t wire;
    size_t tag;
    uint64_t bytes;
} item; /* one field: where its tag is, its length */

bool xfc_pb_varint(const uint8_t *data, size_t end, size_t *at, uint64_t *out) {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 70; shift += 7) {
        if (*at >= end) return false;
        uint8_t byte = data[(*at)++];
        if (shift < 64) value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool malformed(scanner *s, size_t at, const char *what) {
    s->status =
        xfc_fail(s->ctx, XFC_ERR_INPUT, s->loc,
                 "not a readable ONNX file: %s at byte %zu of %zu; copy or export the model again", what, at, s->n);
    return false;
}

static bool beyond(scanner *s, const char *what, unsigned limit) {
    s->status =
        xfc_fail(s->ctx, XFC_ERR_LIMIT, s->loc, "%s than the limit of %u; the file is damaged or hostile", what, limit);
    return false;
}

static void put_varint(xfc_buf *b, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
        n++;
    } while (value);
    xfc_buf_bytes(b, bytes, n);
}

/* Reads a tag and moves to the value: past the length of a length-delimited one. */
static bool read_item(scanner *s, size_t end, item *out) {
    out->tag = s->at;
    uint64_t tag;
    if (!xfc_pb_varint(s->data, end, &s->at, &tag)) return malformed(s, out->tag, "truncated field");
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return malformed(s, out->tag, "impossible field number");
    out->number = (uint32_t)(tag >> 3);
    out->wire = (uint32_t)(tag & 7);
    size_t start = s->at;
    uint64_t value = 0;
    switch (out->wire) {
    case WIRE_VARINT:
        if (!xfc_pb_varint(s->data, end, &s->at, &value)) return malformed(s, start, "truncated integer");
        out->bytes = s->at - start;
        s->at = start;
        return true;
    case WIRE_64: out->bytes = 8; break;
    case WIRE_32: out->bytes = 4; break;
    case WIRE_BYTES:
        if (!xfc_pb_varint(s->data, end, &s->at, &out->bytes)) return malformed(s, start, "truncated length");
        break;
    default: return malformed(s, out->tag, "unknown wire type");
    }
    if (out->bytes > end - s->at)
        return malformed(s, s->at, end == s->n ? "truncated data" : "length beyond its message");
    return true;
}

static const field *find_field(message in, uint32_t number) {
    for (size_t i = 0; i < XFC_COUNT(fields); i++)
        if (fields[i].in == in && fields[i].number == number) return &fields[i];
    return NULL;
}

static bool wire_fits(const field *f, uint32_t wire) {
    switch (f->kind) {
    case VARINT: return wire == WIRE_VARINT || wire == WIRE_BYTES;
    case FLOAT32: return wire == WIRE_32 || wire == WIRE_BYTES;
    case STRING:
    case BYTES:
    case ONE:
    case MANY: return wire == WIRE_BYTES;
    case PAYLOAD:
        if (wire == WIRE_BYTES) return true;
        if (f->number == XFC_PAYLOAD_FLOAT) return wire == WIRE_32;
        if (f->number == XFC_PAYLOAD_DOUBLE) return wire == WIRE_64;
        return wire == WIRE_VARINT && f->number != XFC_PAYLOAD_RAW && f->number != XFC_PAYLOAD_STRING;
    }
    return false;
}

/* Packed integers: whole varints; packed floats: whole floats. Counts them as fields, because unpacking makes each
 * an element. */
static bool check_packed(scanner *s, const field *f, const item *it) {
    if (f->kind == FLOAT32) {
        if (it->bytes % 4) return malformed(s, s->at, "partial float");
        s->n_fields += (uint32_t)(it->bytes / 4 > MAX_FIELDS ? MAX_FIELDS : it->bytes / 4);
        return true;
    }
    size_t at = s->at, end = s->at + (size_t)it->bytes;
    uint64_t value;
    while (at < end) {
        if (!xfc_pb_varint(s->data, end, &at, &value)) return malformed(s, at, "truncated integer");
        if (++s->n_fields > MAX_FIELDS) return beyond(s, "more fields", MAX_FIELDS);
    }
    return true;
}

static void add_payload(scanner *s, const item *it, uint32_t first) {
    bool packed = it->wire == WIRE_BYTES && it->number != XFC_PAYLOAD_STRING;
    if (packed && !it->bytes) return; /* writers leave empty fields beside the one they use */
    uint64_t offset = packed ? s->at : it->tag, end = s->at + it->bytes;
    if (!packed && s->n_payloads > first) {
        xfc_payload *last = &s->payload[s->n_payloads - 1];
        if (!last->packed && last->field == (xfc_payload_field)it->number && last->offset + last->bytes == it->tag) {
            last->bytes = end - last->offset;
            return;
        }
    }
    xfc_payload p = {.field = (xfc_payload_field)it->number, .packed = packed, .offset = offset, .bytes = end - offset};
    xfc_push(s->arena, s->payload, s->n_payloads, s->cap_payloads) = p;
}

static bool scan_message(scanner *s, message in, size_t end, uint32_t depth);

static bool scan_sub(scanner *s, const field *f, const item *it, uint32_t depth) {
    if (depth + 1 > XFC_MAX_PROTO_DEPTH) return beyond(s, "messages nest deeper", XFC_MAX_PROTO_DEPTH);
    if (++s->n_messages > MAX_MESSAGES) return beyond(s, "more messages", MAX_MESSAGES);
    put_varint(&s->thin, (uint64_t)it->number << 3 | WIRE_BYTES);
    size_t length_at = s->thin.n;
    static const uint8_t blank[LENGTH_BYTES] = {0};
    xfc_buf_bytes(&s->thin, blank, LENGTH_BYTES);
    if (!scan_message(s, f->sub, s->at + (size_t)it->bytes, depth + 1)) return false;
    size_t n = s->thin.n - length_at - LENGTH_BYTES;
    if (n > INT32_MAX) return beyond(s, "a message longer, without its tensor data,", INT32_MAX);
    for (uint32_t i = 0; i < LENGTH_BYTES; i++)
        s->thin.text[length_at + i] = (char)(uint8_t)((n >> (7 * i) & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
    return true;
}

/* A field of the schema: copied, recorded or entered. Leaves s->at behind it. */
static bool scan_field(scanner *s, const field *f, const item *it, uint32_t depth, uint32_t first_payload) {
    if (!wire_fits(f, it->wire)) return malformed(s, it->tag, "wrong wire type");
    if (++s->n_fields > MAX_FIELDS) return beyond(s, "more fields", MAX_FIELDS);
    size_t value_end = s->at + (size_t)it->bytes;
    switch (f->kind) {
    case ONE:
    case MANY: return scan_sub(s, f, it, depth);
    case PAYLOAD: add_payload(s, it, first_payload); break;
    case STRING:
        if (it->bytes > XFC_MAX_NAME) return beyond(s, "a name longer", XFC_MAX_NAME);
        if (memchr(s->data + s->at, 0, (size_t)it->bytes)) return malformed(s, s->at, "a name with a NUL byte");
        xfc_buf_bytes(&s->thin, s->data + it->tag, value_end - it->tag);
        break;
    case VARINT:
    case FLOAT32:
        if (it->wire == WIRE_BYTES && !check_packed(s, f, it)) return false;
        xfc_buf_bytes(&s->thin, s->data + it->tag, value_end - it->tag);
        break;
    case BYTES: xfc_buf_bytes(&s->thin, s->data + it->tag, value_end - it->tag); break;
    }
    s->at = value_end;
    return true;
}

static bool scan_message(scanner *s, message in, size_t end, uint32_t depth) {
    uint32_t first_payload = s->n_payloads;
    uint64_t seen = 0; /* singular messages, by field number; all are below 64 */
    while (s->at < end) {
        item it;
        if (!read_item(s, end, &it)) return false;
        const field *f = find_field(in, it.number);
        if (!f) {
            s->at += (size_t)it.bytes;
            continue;
        }
        if (f->kind == ONE) {
            if (seen >> it.number & 1) return malformed(s, it.tag, "a field given twice");
            seen |= (uint64_t)1 << it.number;
        }
        if (!scan_field(s, f, &it, depth, first_payload)) return false;
    }
    if (s->n_payloads > first_payload && in == TENSOR) {
        put_varint(&s->thin, (uint64_t)50001 << 3);
        put_varint(&s->thin, first_payload + 1);
        put_varint(&s->thin, (uint64_t)50002 << 3);
        put_varint(&s->thin, s->n_payloads - first_payload);
    }
    return true;
}

xfc_status xfc_onnx_scan(xfc_ctx *ctx, xfc_arena *arena, xfc_loc loc, xfc_pb_root root, const uint8_t *data, size_t n,
                         xfc_scan *out) {
    scanner s = {.ctx = ctx, .arena = arena, .loc = loc, .data = data, .n = n, .thin = {.arena = arena}};
    static const message roots[] = {
        [XFC_PB_MODEL] = MODEL, [XFC_PB_TENSOR] = TENSOR, [XFC_PB_SEQUENCE] = SEQUENCE, [XFC_PB_OPTIONAL] = OPTIONAL};
    if (!scan_message(&s, roots[root], n, 0)) return s.status;
    *out = (xfc_scan){.data = data,
                      .n = n,
                      .thin = (uint8_t *)s.thin.text,
                      .n_thin = s.thin.n,
                      .payload = s.payload,
                      .n_payloads = s.n_payloads};
    return XFC_OK;
}

/* scan.h - the wire pre-scan: proves a file harmless and takes the tensor data out before protobuf-c unpacks it.
 *
 * protobuf-c has no recursion limit and copies every byte; a few kilobytes of nested subgraphs overflow its stack, and
 * a weight would exist twice. The scan walks the bytes once by the schema of onnx.proto, refuses what is malformed or
 * beyond the limits, and writes a thinned copy: fields that xfc does not read are dropped, tensor data is replaced by a
 * record of where it lies. What protobuf-c gets is small, shallow and well-formed.
 */
#ifndef XFC_ONNX_SCAN_H
#define XFC_ONNX_SCAN_H
#include "ir/base/diag.h"

typedef enum { XFC_PB_MODEL, XFC_PB_TENSOR, XFC_PB_SEQUENCE, XFC_PB_OPTIONAL } xfc_pb_root;

/* Tensor data: the fields of TensorProto that may be big. */
typedef enum {
    XFC_PAYLOAD_FLOAT = 4,
    XFC_PAYLOAD_INT32 = 5,
    XFC_PAYLOAD_STRING = 6,
    XFC_PAYLOAD_INT64 = 7,
    XFC_PAYLOAD_RAW = 9,
    XFC_PAYLOAD_DOUBLE = 10,
    XFC_PAYLOAD_UINT64 = 11,
} xfc_payload_field; /* values are the field numbers */
typedef struct {
    xfc_payload_field field;
    bool packed;            /* bytes are the values; else a run of tag-value pairs */
    uint64_t offset, bytes; /* in the scanned data */
} xfc_payload;

typedef struct {
    const uint8_t *data; /* what was scanned; payload offsets refer to it */
    size_t n;
    uint8_t *thin;
    size_t n_thin;
    xfc_payload *payload;
    uint32_t n_payloads;
} xfc_scan;

/* loc names the file. Failures are XFC_ERR_INPUT (malformed) or XFC_ERR_LIMIT. Everything lives in the arena. */
xfc_status xfc_onnx_scan(xfc_ctx *, xfc_arena *, xfc_loc loc, xfc_pb_root, const uint8_t *data, size_t n,
                         xfc_scan *out);

/* One varint of at most ten bytes; advances *at. False when it is truncated or too long. */
bool xfc_pb_varint(const uint8_t *data, size_t end, size_t *at, uint64_t *out);

#endif

/* load.h - files to unpacked messages and constants.
 *
 * Model and data files are mapped read-only for as long as the context lives; tensors point into the mapping where its
 * alignment allows and are copied once where it does not, after which the mapped pages are given back.
 */
#ifndef XFC_ONNX_LOAD_H
#define XFC_ONNX_LOAD_H
#include "frontend/onnx/scan.h"
#include "ir/tensor.h"
#include "onnx.pb-c.h"

typedef struct {
    const uint8_t *data;
    size_t n;
} xfc_mapping;

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena; /* messages and scan: freed after the import */
    const char *path;
    bool follow_links, borrowed; /* borrowed: the model's bytes are memory of the caller, no mapped file */
    xfc_scan scan;
    xfc_map external; /* interned location -> xfc_mapping * */
    xfc_map tensors;  /* Onnx__TensorProto * -> xfc_tensor *: an import may ask more than once */
} xfc_onnx_file;

static inline xfc_onnx_file xfc_onnx_file_new(xfc_ctx *c, xfc_arena *a, const char *path) {
    return (xfc_onnx_file){.ctx = c, .arena = a, .path = path, .external = {.arena = a}, .tensors = {.arena = a}};
}

/* Maps a regular file. Messages name loc.file. A size of 0 gives a valid pointer. */
xfc_status xfc_map_path(xfc_ctx *, xfc_loc, const char *path, xfc_mapping *out);

/* foreign.c: what the file is if it surely is no ONNX file, and what to do: "a zip archive; unpack it"; else NULL. */
const char *xfc_foreign_file(xfc_arena *, xfc_mapping);

/* Scans and unpacks; NULL after an error. bytes must outlive the context. */
Onnx__ModelProto *xfc_unpack_model(xfc_onnx_file *, xfc_mapping);
Onnx__TensorProto *xfc_unpack_tensor(xfc_onnx_file *, xfc_mapping);
Onnx__SequenceProto *xfc_unpack_sequence(xfc_onnx_file *, xfc_mapping);
Onnx__OptionalProto *xfc_unpack_optional(xfc_onnx_file *, xfc_mapping);

/* Dims as a file gives them, of a tensor of this type; false, recorded: too many, or too large. */
typedef struct {
    uint32_t rank;
    int64_t dim[XFC_MAX_RANK], count;
    size_t bytes;
} xfc_onnx_shape;
bool xfc_onnx_shape_read(xfc_onnx_file *, xfc_loc, const char *what, xfc_dtype, const int64_t *dims, size_t n,
                         xfc_onnx_shape *out);
/* The constant a TensorProto describes, made once; NULL after an error at loc. what: how messages call it ("initializer
 * 'w'"). */
const xfc_tensor *xfc_onnx_tensor(xfc_onnx_file *, const Onnx__TensorProto *, xfc_loc, const char *what);
/* The same of one that is stored by its nonzeros. */
const xfc_tensor *xfc_onnx_sparse_tensor(xfc_onnx_file *, const Onnx__SparseTensorProto *, xfc_loc, const char *what);
/* Strings of a tensor, one behind the other: u8[size], and their lengths, i64 of its dims. False after an error. */
bool xfc_onnx_strings(xfc_onnx_file *, const Onnx__TensorProto *, xfc_loc, const char *what, const xfc_tensor **bytes,
                      const xfc_tensor **lengths);
const char *xfc_onnx_dtype_name(int64_t elem_type); /* "float8e4m3fn"; "unknown type 99" as "unknown" */

/* external.c: the bytes that external_data entries point at, exactly `bytes` of them; NULL after an error. */
const uint8_t *xfc_external_data(xfc_onnx_file *, const Onnx__TensorProto *, size_t bytes, xfc_loc, const char *what);

#endif

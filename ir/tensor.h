/* tensor.h - constant data: weights, initializers, folded values.
 *
 * A tensor is immutable once made. Its data may lie in the memory-mapped model file (never copied), in a storage that
 * goes when no op names it any longer (storage.h), or, if it is small, in the context's arena; it is always aligned to
 * its element size and dense row-major. The pool gives equal small constants (<= 4 KiB)
 * one tensor; larger ones are compared by hash on demand.
 */
#ifndef XFC_TENSOR_H
#define XFC_TENSOR_H
#include "ir/storage.h"

typedef enum {
#define X(id, ...) XFC_##id,
#include "ir/dtype.def"
#undef X
    XFC_DTYPE_COUNT,
    XFC_COMPUTED_COUNT = XFC_BOOL + 1, /* the types before it are computed in, those from it on are only stored */
    XFC_UNPACKED_COUNT = XFC_E2M1 + 1, /* the types from it on are packed */
} xfc_dtype;

typedef enum {
    XFC_CLASS_FLOAT,
    XFC_CLASS_SINT,
    XFC_CLASS_UINT,
    XFC_CLASS_BOOL,
    XFC_CLASS_CODE,
    XFC_CLASS_PACKED
} xfc_dclass;
const char *xfc_dtype_name(xfc_dtype);
bool xfc_dtype_from_name(const char *name, xfc_dtype *out);
bool xfc_dtype_from_onnx(int64_t elem_type, xfc_dtype *out); /* false: a type xfc does not take */
uint32_t xfc_dtype_bytes(xfc_dtype);                         /* of an element in memory; packed ones share one */
uint32_t xfc_dtype_bits(xfc_dtype);                          /* that tell its values apart */
size_t xfc_dtype_size(xfc_dtype, int64_t n);                 /* bytes of n elements, which fit (xfc_tensor_count) */
/* code | bits << 8 | lanes (1) << 16: xf_dtype of xf.h. What has a byte each is told as a number of 8 bits. */
uint32_t xfc_dtype_dlpack(xfc_dtype);
xfc_dclass xfc_dtype_class(xfc_dtype);
static inline bool xfc_dtype_is_float(xfc_dtype t) { return xfc_dtype_class(t) == XFC_CLASS_FLOAT; }
/* What sums of it are made in. */
static inline xfc_dtype xfc_dtype_wide(xfc_dtype t) { return t == XFC_F16 || t == XFC_BF16 ? XFC_F32 : t; }
static inline bool xfc_dtype_is_int(xfc_dtype t) {
    return xfc_dtype_class(t) == XFC_CLASS_SINT || xfc_dtype_class(t) == XFC_CLASS_UINT;
}
static inline bool xfc_dtype_is_code(xfc_dtype t) { return xfc_dtype_class(t) == XFC_CLASS_CODE; }
static inline bool xfc_dtype_is_packed(xfc_dtype t) { return (unsigned)t >= XFC_UNPACKED_COUNT; }
/* The type of the same numbers with a byte each, or packed; itself where it is so, or its numbers fill bytes. */
xfc_dtype xfc_dtype_unpacked(xfc_dtype);
xfc_dtype xfc_dtype_packed(xfc_dtype);
/* The number of the type that v is congruent to. */
int64_t xfc_dtype_wrap(xfc_dtype, int64_t v);
/* A type that is only a form of storage: its numbers are cast before anything is computed of them. */
static inline bool xfc_dtype_is_stored(xfc_dtype t) { return (unsigned)t >= XFC_COMPUTED_COUNT; }
/* Behind `case`, the types that are only stored: integers of fewer bits than a byte, in an i8 and in a u8, and codes. */
#define XFC_CASES_I4                                                                                                   \
    XFC_I4:                                                                                                            \
    case XFC_I2
#define XFC_CASES_U4                                                                                                   \
    XFC_U4:                                                                                                            \
    case XFC_U2
#define XFC_CASES_CODE                                                                                                 \
    XFC_E4M3FN:                                                                                                        \
    case XFC_E4M3FNUZ:                                                                                                 \
    case XFC_E5M2:                                                                                                     \
    case XFC_E5M2FNUZ:                                                                                                 \
    case XFC_E8M0:                                                                                                     \
    case XFC_E2M1
#define XFC_CASES_PACKED                                                                                               \
    XFC_I4_PACKED:                                                                                                     \
    case XFC_I2_PACKED:                                                                                                \
    case XFC_U4_PACKED:                                                                                                \
    case XFC_U2_PACKED:                                                                                                \
    case XFC_E2M1_PACKED

typedef struct xfc_tensor {
    xfc_dtype dtype;
    uint32_t rank, id; /* id: creation order in the pool */
    int64_t dim[XFC_MAX_RANK];
    int64_t count; /* elements */
    size_t bytes;
    const void *data;     /* valid pointer even when bytes is 0 */
    const char *name;     /* initializer name or NULL */
    xfc_storage *storage; /* that data lies in; NULL: it lives as long as the context */
} xfc_tensor;

/* data is borrowed and must outlive the context, or is of xfc_tensor_alloc; use xfc_tensor_copy for anything else.
 * The caller checked that dims are >= 0 and their product fits (xfc_tensor_count). */
const xfc_tensor *xfc_tensor_new(xfc_ctx *, xfc_dtype, uint32_t rank, const int64_t *dim, const void *data,
                                 const char *name);
const xfc_tensor *xfc_tensor_copy(xfc_ctx *, xfc_dtype, uint32_t rank, const int64_t *dim, const void *data,
                                  const char *name);
/* data lies in a file that stays mapped. */
const xfc_tensor *xfc_tensor_map(xfc_ctx *, xfc_dtype, uint32_t rank, const int64_t *dim, const void *data,
                                 const char *name);
/* zeroed, 64-byte aligned, for xfc_tensor_new */
void *xfc_tensor_alloc(xfc_ctx *, xfc_dtype, uint32_t rank, const int64_t *dim);
/* false: negative or overflow */
bool xfc_tensor_count(xfc_dtype, uint32_t rank, const int64_t *dim, int64_t *count, size_t *bytes);
uint64_t xfc_tensor_hash(xfc_ctx *, const xfc_tensor *);       /* dtype, dims and bytes; cached */
bool xfc_tensor_equal(const xfc_tensor *, const xfc_tensor *); /* bits */

/* Element access with conversion, for folding and tests. i < count. */
double xfc_tensor_get_f(const xfc_tensor *, int64_t i);
int64_t xfc_tensor_get_i(const xfc_tensor *, int64_t i); /* floats truncate; bool is 0 or 1; a code is its bits */
/* Writes element i of dense data: floats round to nearest even, integers keep their low bits, bool is v != 0. */
void xfc_element_set_f(xfc_dtype, void *data, int64_t i, double v);
void xfc_element_set_i(xfc_dtype, void *data, int64_t i, int64_t v);
bool xfc_tensor_is_splat(const xfc_tensor *, double *value); /* every element equal (count > 0) */

float xfc_half_to_float(uint16_t);
uint16_t xfc_float_to_half(float); /* round to nearest even */
float xfc_bfloat_to_float(uint16_t);
uint16_t xfc_float_to_bfloat(float);

/* minifloat.c: types of class CODE. */
typedef struct {
    uint8_t mantissa, bias, sign; /* bits; of the exponent; the bit of the sign, 0: there is none */
    uint8_t most, nan, over;      /* codes: the largest number, NaN, what is beyond (infinity, or NaN) */
    bool finite;                  /* all codes are numbers: nan is what NaN becomes, and nothing is beyond */
} xfc_minifloat;
const xfc_minifloat *xfc_minifloat_of(xfc_dtype);
float xfc_code_to_float(xfc_dtype, uint8_t code);
uint8_t xfc_float_to_code(xfc_dtype, float, bool saturate);

xfc_tensors *xfc_tensors_new(xfc_ctx *);
const xfc_tensor *xfc_tensor_at(const xfc_ctx *, uint32_t id);
/* t, which nothing names yet, or an equal tensor that an earlier call answered and that is still there: then t is
 * freed. So two graphs of one model hold what folding makes of their weights once. */
const xfc_tensor *xfc_tensor_unique(xfc_ctx *, const xfc_tensor *);
uint32_t xfc_tensor_pool_size(const xfc_ctx *);

#endif

/* tensor.c - element types and the pool of constants.
 *
 * The pool owns the list of all tensors of a context; a tensor's id is its place there. Small ones are looked up by
 * hash first, so that equal scalars and shape vectors are one object and comparing constants is comparing pointers.
 * Hashes of large ones are made on demand and kept. Conversions between the 16-bit floats and float are written out in
 * integers: compilers call helper libraries on older ISAs.
 */
#include "ir/tensor.h"
#include "ir/made.h"

#include <math.h>
#include <string.h>

enum { SHARE_BYTES = 4096, DATA_ALIGN = 64 };

/* --- element types --- */

typedef struct {
    const char *name;
    uint8_t bits, dlpack;
    xfc_dclass class;
    int32_t onnx;
} dtype_row;

static const dtype_row dtypes[XFC_DTYPE_COUNT] = {
#define X(id, name, bits, class, onnx, dlpack) [XFC_##id] = {name, bits, dlpack, XFC_CLASS_##class, onnx},
#include "ir/dtype.def"
#undef X
};

static const dtype_row *row(xfc_dtype t) {
    xfc_assert((unsigned)t < XFC_DTYPE_COUNT);
    return &dtypes[t];
}

const char *xfc_dtype_name(xfc_dtype t) { return row(t)->name; }
uint32_t xfc_dtype_bytes(xfc_dtype t) { return (row(t)->bits + 7u) / 8u; }
uint32_t xfc_dtype_bits(xfc_dtype t) { return row(t)->bits; }

int64_t xfc_dtype_wrap(xfc_dtype t, int64_t v) {
    uint32_t shift = 64 - row(t)->bits;
    if (t == XFC_BOOL) return v != 0;
    if (shift == 0) return v;
    uint64_t high = (uint64_t)v << shift;
    return row(t)->class == XFC_CLASS_SINT ? (int64_t)high >> shift : (int64_t)(high >> shift);
}

xfc_dclass xfc_dtype_class(xfc_dtype t) { return row(t)->class; }

size_t xfc_dtype_size(xfc_dtype t, int64_t n) {
    size_t each = xfc_dtype_is_packed(t) ? 8 / row(t)->bits : 1, count = (size_t)n;
    return each == 1 ? count * xfc_dtype_bytes(t) : count / each + (count % each != 0);
}

uint32_t xfc_dtype_dlpack(xfc_dtype t) {
    uint32_t bits = xfc_dtype_is_packed(t) ? row(t)->bits : 8 * xfc_dtype_bytes(t);
    return row(t)->dlpack | bits << 8 | UINT32_C(1) << 16;
}

/* By place among the packed types. */
static const xfc_dtype with_bytes[] = {XFC_I4, XFC_I2, XFC_U4, XFC_U2, XFC_E2M1};
_Static_assert(XFC_COUNT(with_bytes) == XFC_DTYPE_COUNT - XFC_UNPACKED_COUNT, "each packed type has another one");

xfc_dtype xfc_dtype_unpacked(xfc_dtype t) {
    return xfc_dtype_is_packed(t) ? with_bytes[(unsigned)t - XFC_UNPACKED_COUNT] : t;
}

xfc_dtype xfc_dtype_packed(xfc_dtype t) {
    for (unsigned i = 0; i < XFC_COUNT(with_bytes); i++)
        if (with_bytes[i] == t) return (xfc_dtype)(XFC_UNPACKED_COUNT + i);
    return t;
}

bool xfc_dtype_from_name(const char *name, xfc_dtype *out) {
    for (unsigned t = 0; t < XFC_DTYPE_COUNT; t++) {
        if (strcmp(dtypes[t].name, name) != 0) continue;
        *out = (xfc_dtype)t;
        return true;
    }
    return false;
}

bool xfc_dtype_from_onnx(int64_t elem_type, xfc_dtype *out) {
    for (unsigned t = 0; t < XFC_UNPACKED_COUNT; t++) {
        if (dtypes[t].onnx != elem_type) continue;
        *out = (xfc_dtype)t;
        return true;
    }
    return false;
}

/* --- 16-bit floats --- */

static uint32_t float_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}

static float bits_float(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

float xfc_half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;
    if (exponent == 0x1f) return bits_float(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0) return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
    float tiny = (float)fraction * 0x1p-24f; /* subnormal or zero: exact */
    return bits_float(sign | float_bits(tiny));
}

/* u >> n, rounded to nearest, ties to even; 0 < n < 32. */
static uint32_t shift_round(uint32_t u, uint32_t n) {
    uint32_t q = u >> n, rest = u & ((UINT32_C(1) << n) - 1), half = UINT32_C(1) << (n - 1);
    return q + (rest > half || (rest == half && (q & 1)));
}

uint16_t xfc_float_to_half(float f) {
    uint32_t u = float_bits(f), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff)); /* NaN stays quiet */
    if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00);                            /* 65536 and above */
    if (magnitude >= 0x38800000) /* normal: a carry out of the fraction raises the exponent, up to infinity */
        return (uint16_t)(sign | shift_round(magnitude - 0x38000000, 13));
    uint32_t exponent = magnitude >> 23;
    if (exponent < 101) return (uint16_t)sign; /* below half of the least subnormal, 2^-25 */
    return (uint16_t)(sign | shift_round((magnitude & 0x7fffff) | 0x800000, 126 - exponent));
}

float xfc_bfloat_to_float(uint16_t b) { return bits_float((uint32_t)b << 16); }

uint16_t xfc_float_to_bfloat(float f) {
    uint32_t u = float_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)shift_round(u, 16);
}

/* double to float such that rounding once more to fewer bits rounds correctly: inexact results get an odd last bit. */
static float round_to_odd(double v) {
    float f = (float)v;
    if (isnan(v) || isinf(v) || (double)f == v) return f;
    if (fabs((double)f) > fabs(v)) f = nextafterf(f, 0.0f);
    return bits_float(float_bits(f) | 1);
}

/* --- elements --- */

#define SET(type, v)                                                                                                   \
    do {                                                                                                               \
        type x_ = (type)(v);                                                                                           \
        memcpy((char *)data + i * (int64_t)sizeof(x_), &x_, sizeof(x_));                                               \
    } while (0)

/* Truncation of any double; C leaves it undefined outside the range. NaN gives 0. */
static int64_t to_i64(double v) {
    if (isnan(v)) return 0;
    if (v >= 0x1p63) return INT64_MAX;
    return v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

void xfc_element_set_f(xfc_dtype t, void *data, int64_t i, double v) {
    switch (t) {
    case XFC_F32: SET(float, v); return;
    case XFC_F64: SET(double, v); return;
    case XFC_F16: SET(uint16_t, xfc_float_to_half(round_to_odd(v))); return;
    case XFC_BF16: SET(uint16_t, xfc_float_to_bfloat(round_to_odd(v))); return;
    case XFC_BOOL: SET(uint8_t, v != 0); return;
    case XFC_CASES_CODE: SET(uint8_t, xfc_float_to_code(t, round_to_odd(v), true)); return;
    case XFC_U64:
        if (v >= 0x1p63)
            SET(uint64_t, v < 0x1p64 ? (uint64_t)v : UINT64_MAX);
        else
            SET(int64_t, to_i64(v));
        return;
    case XFC_CASES_PACKED:
        if (t == XFC_E2M1_PACKED)
            xfc_element_set_i(t, data, i, xfc_float_to_code(XFC_E2M1, round_to_odd(v), true));
        else
            xfc_element_set_i(t, data, i, to_i64(v));
        return;
    case XFC_I8:
    case XFC_I16:
    case XFC_I32:
    case XFC_I64:
    case XFC_U8:
    case XFC_U16:
    case XFC_U32:
    case XFC_CASES_I4:
    case XFC_CASES_U4: xfc_element_set_i(t, data, i, to_i64(v)); return;
    case XFC_DTYPE_COUNT: break;
    }
    xfc_bug(__FILE__, __LINE__, "element without a type");
}

static void set_packed(xfc_dtype t, uint8_t *data, int64_t i, int64_t v) {
    uint32_t bits = xfc_dtype_bits(t), each = 8 / bits, shift = bits * (uint32_t)(i % each), mask = (1u << bits) - 1;
    uint8_t *byte = &data[i / each];
    *byte = (uint8_t)((*byte & ~(mask << shift)) | ((uint32_t)v & mask) << shift);
}

static int64_t get_packed(xfc_dtype t, const uint8_t *data, int64_t i) {
    uint32_t bits = xfc_dtype_bits(t), each = 8 / bits;
    return xfc_dtype_wrap(xfc_dtype_unpacked(t), data[i / each] >> bits * (uint32_t)(i % each));
}

void xfc_element_set_i(xfc_dtype t, void *data, int64_t i, int64_t v) {
    switch (t) {
    case XFC_CASES_PACKED: set_packed(t, data, i, v); return;
    case XFC_I8:
    case XFC_U8:
    case XFC_CASES_I4:
    case XFC_CASES_U4:
    case XFC_CASES_CODE: SET(uint8_t, (uint64_t)xfc_dtype_wrap(t, v)); return;
    case XFC_I16:
    case XFC_U16: SET(uint16_t, (uint64_t)v); return;
    case XFC_I32:
    case XFC_U32: SET(uint32_t, (uint64_t)v); return;
    case XFC_I64:
    case XFC_U64: SET(int64_t, v); return;
    case XFC_BOOL: SET(uint8_t, v != 0); return;
    case XFC_F32: SET(float, v); return;
    case XFC_F64:
    case XFC_F16:
    case XFC_BF16: xfc_element_set_f(t, data, i, (double)v); return;
    case XFC_DTYPE_COUNT: break;
    }
    xfc_bug(__FILE__, __LINE__, "element without a type");
}
#undef SET

#define GET(type) (((const type *)t->data)[i])

double xfc_tensor_get_f(const xfc_tensor *t, int64_t i) {
    xfc_assert(i >= 0 && i < t->count);
    switch (t->dtype) {
    case XFC_F32: return (double)GET(float);
    case XFC_F64: return GET(double);
    case XFC_F16: return (double)xfc_half_to_float(GET(uint16_t));
    case XFC_BF16: return (double)xfc_bfloat_to_float(GET(uint16_t));
    case XFC_CASES_CODE: return (double)xfc_code_to_float(t->dtype, GET(uint8_t));
    case XFC_U64: return (double)GET(uint64_t);
    case XFC_CASES_PACKED:
        if (t->dtype == XFC_E2M1_PACKED)
            return (double)xfc_code_to_float(XFC_E2M1, (uint8_t)get_packed(t->dtype, t->data, i));
        return (double)get_packed(t->dtype, t->data, i);
    case XFC_I8:
    case XFC_I16:
    case XFC_I32:
    case XFC_I64:
    case XFC_U8:
    case XFC_U16:
    case XFC_U32:
    case XFC_CASES_I4:
    case XFC_CASES_U4:
    case XFC_BOOL: return (double)xfc_tensor_get_i(t, i);
    case XFC_DTYPE_COUNT: break;
    }
    xfc_bug(__FILE__, __LINE__, "tensor without an element type");
}

int64_t xfc_tensor_get_i(const xfc_tensor *t, int64_t i) {
    xfc_assert(i >= 0 && i < t->count);
    switch (t->dtype) {
    case XFC_CASES_PACKED: return get_packed(t->dtype, t->data, i);
    case XFC_I8:
    case XFC_CASES_I4: return GET(int8_t);
    case XFC_I16: return GET(int16_t);
    case XFC_I32: return GET(int32_t);
    case XFC_I64: return GET(int64_t);
    case XFC_U8:
    case XFC_CASES_U4:
    case XFC_CASES_CODE: return GET(uint8_t);
    case XFC_U16: return GET(uint16_t);
    case XFC_U32: return GET(uint32_t);
    case XFC_U64: return (int64_t)GET(uint64_t);
    case XFC_BOOL: return GET(uint8_t) != 0;
    case XFC_F32:
    case XFC_F64:
    case XFC_F16:
    case XFC_BF16: return to_i64(xfc_tensor_get_f(t, i));
    case XFC_DTYPE_COUNT: break;
    }
    xfc_bug(__FILE__, __LINE__, "tensor without an element type");
}
#undef GET

bool xfc_tensor_is_splat(const xfc_tensor *t, double *value) {
    if (t->count == 0 || xfc_dtype_is_packed(t->dtype)) return false;
    size_t size = xfc_dtype_bytes(t->dtype);
    /* Equal to itself moved by one element: all are equal. */
    if (memcmp(t->data, (const char *)t->data + size, t->bytes - size) != 0) return false;
    if (value) *value = xfc_tensor_get_f(t, 0);
    return true;
}

/* --- the pool --- */

struct xfc_tensors {
    const xfc_tensor **at; /* by id */
    uint64_t *hash;        /* by id; 0: not computed */
    uint32_t *next;        /* by id: another shared tensor of the same hash, + 1 */
    uint32_t n, cap, cap_hash, cap_next;
    xfc_map shared; /* hash -> id + 1 of the newest small tensor */
    xfc_map unique; /* the same of large ones, by xfc_tensor_unique */
    xfc_map made;   /* id + 1 -> how it is made */
};

xfc_tensors *xfc_tensors_new(xfc_ctx *c) {
    xfc_tensors *pool = xfc_new(c->arena, xfc_tensors);
    pool->shared.arena = pool->unique.arena = pool->made.arena = c->arena;
    return pool;
}

uint32_t xfc_tensor_pool_size(const xfc_ctx *c) { return c->tensors->n; }

const xfc_tensor *xfc_tensor_at(const xfc_ctx *c, uint32_t id) {
    xfc_assert(id < c->tensors->n);
    return c->tensors->at[id];
}

bool xfc_tensor_count(xfc_dtype dtype, uint32_t rank, const int64_t *dim, int64_t *count, size_t *bytes) {
    int64_t n = 1, size;
    bool empty = false;
    for (uint32_t d = 0; d < rank; d++) {
        if (dim[d] < 0) return false;
        empty = empty || dim[d] == 0;
    }
    for (uint32_t d = 0; d < rank && !empty; d++)
        if (!xfc_mul_ok(n, dim[d], &n)) return false;
    if (empty) n = 0;
    if (!xfc_mul_ok(n, xfc_dtype_bytes(dtype), &size)) return false;
    if (count) *count = n;
    if (bytes) *bytes = xfc_dtype_size(dtype, n);
    return true;
}

static uint64_t hash_of(const xfc_tensor *t) {
    uint64_t h = xfc_hash(t->dim, t->rank * sizeof(t->dim[0]), (uint64_t)t->dtype);
    h = xfc_hash(t->data, t->bytes, h);
    return h ? h : 1;
}

uint64_t xfc_tensor_hash(xfc_ctx *c, const xfc_tensor *t) {
    xfc_tensors *pool = c->tensors;
    xfc_assert(t->id < pool->n && pool->at[t->id] == t);
    if (!pool->hash[t->id]) {
        pool->hash[t->id] = hash_of(t);
        xfc_storage_rest(t->storage);
    }
    return pool->hash[t->id];
}

bool xfc_tensor_equal(const xfc_tensor *a, const xfc_tensor *b) {
    if (a == b) return true;
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (a->dim[d] != b->dim[d]) return false;
    return a->data == b->data || memcmp(a->data, b->data, a->bytes) == 0;
}

static xfc_tensor describe(xfc_dtype dtype, uint32_t rank, const int64_t *dim, const void *data, const char *name) {
    xfc_tensor t = {.dtype = dtype, .rank = rank, .data = data, .name = name};
    xfc_assert(rank <= XFC_MAX_RANK);
    for (uint32_t d = 0; d < rank; d++) t.dim[d] = dim[d];
    bool fits = xfc_tensor_count(dtype, rank, dim, &t.count, &t.bytes);
    static const uint64_t nothing = 0;
    if (t.bytes == 0) t.data = &nothing;
    xfc_assert(fits);
    return t;
}

static const xfc_tensor *find_shared(xfc_tensors *pool, const xfc_tensor *t, uint64_t hash) {
    for (uint32_t i = (uint32_t)xfc_map_get(&pool->shared, hash); i; i = pool->next[i - 1])
        if (xfc_tensor_equal(pool->at[i - 1], t)) return pool->at[i - 1];
    return NULL;
}

static void *alloc(xfc_ctx *c, size_t bytes) {
    if (bytes < XFC_STORAGE_BYTES) return xfc_alloc(c->arena, bytes, DATA_ALIGN);
    return (void *)(uintptr_t)xfc_storage_new(c, bytes)->data;
}

static const xfc_tensor *add(xfc_ctx *c, const xfc_tensor *from, bool copy) {
    xfc_tensors *pool = c->tensors;
    bool share = from->bytes <= SHARE_BYTES;
    uint64_t hash = share ? hash_of(from) : 0;
    const xfc_tensor *same = share ? find_shared(pool, from, hash) : NULL;
    if (same) return same;
    xfc_tensor *t = xfc_dup_array(c->arena, xfc_tensor, from, 1);
    if (copy && t->bytes) t->data = memcpy(alloc(c, t->bytes), t->data, t->bytes);
    if (t->bytes >= XFC_STORAGE_BYTES && !t->storage) t->storage = xfc_storage_at(c, t->data);
    t->name = xfc_str(c, t->name);
    t->id = pool->n;
    uint32_t n = pool->n, before = share ? (uint32_t)xfc_map_get(&pool->shared, hash) : 0;
    pool->hash = xfc_grow(c->arena, pool->hash, n, &pool->cap_hash, sizeof(*pool->hash), _Alignof(uint64_t));
    pool->next = xfc_grow(c->arena, pool->next, n, &pool->cap_next, sizeof(*pool->next), _Alignof(uint32_t));
    pool->hash[n] = hash;
    pool->next[n] = before;
    if (share) xfc_map_set(&pool->shared, hash, n + 1);
    xfc_push(c->arena, pool->at, pool->n, pool->cap) = t;
    return t;
}

const xfc_tensor *xfc_tensor_new(xfc_ctx *c, xfc_dtype dtype, uint32_t rank, const int64_t *dim, const void *data,
                                 const char *name) {
    bool aligned = (uintptr_t)data % xfc_dtype_bytes(dtype) == 0; /* a mapped file promises nothing */
    xfc_tensor t = describe(dtype, rank, dim, data, name);
    return add(c, &t, !aligned);
}

const xfc_tensor *xfc_tensor_copy(xfc_ctx *c, xfc_dtype dtype, uint32_t rank, const int64_t *dim, const void *data,
                                  const char *name) {
    xfc_tensor t = describe(dtype, rank, dim, data, name);
    return add(c, &t, true);
}

const xfc_tensor *xfc_tensor_map(xfc_ctx *c, xfc_dtype dtype, uint32_t rank, const int64_t *dim, const void *data,
                                 const char *name) {
    xfc_tensor t = describe(dtype, rank, dim, data, name);
    if (t.bytes >= XFC_STORAGE_BYTES) t.storage = xfc_storage_map(c, data, t.bytes);
    return add(c, &t, false);
}

const xfc_tensor *xfc_tensor_unique(xfc_ctx *c, const xfc_tensor *t) {
    xfc_tensors *pool = c->tensors;
    if (!t->storage) return t;
    uint64_t hash = xfc_tensor_hash(c, t), at = xfc_map_get(&pool->unique, hash);
    const xfc_tensor *other = at ? pool->at[at - 1] : NULL;
    if (!other || other->storage->gone || !xfc_tensor_equal(other, t)) {
        xfc_map_set(&pool->unique, hash, t->id + 1u);
        return t;
    }
    if (other->storage == t->storage) return other;
    xfc_storage_hold(t->storage); /* what was never held is never freed */
    xfc_storage_let_go(t->storage);
    xfc_storage_release(c, t->storage);
    return other;
}

const xfc_made *xfc_tensor_made(const xfc_ctx *c, const xfc_tensor *t) {
    return (const xfc_made *)(uintptr_t)xfc_map_get(&c->tensors->made, t->id + UINT64_C(1));
}

void xfc_tensor_mark(xfc_ctx *c, const xfc_tensor *t, const xfc_made *made) {
    if (made && !xfc_tensor_made(c, t)) xfc_map_set(&c->tensors->made, t->id + UINT64_C(1), (uintptr_t)made);
}

void *xfc_tensor_alloc(xfc_ctx *c, xfc_dtype dtype, uint32_t rank, const int64_t *dim) {
    size_t bytes = 0;
    bool fits = xfc_tensor_count(dtype, rank, dim, NULL, &bytes);
    xfc_assert(fits);
    return alloc(c, bytes);
}

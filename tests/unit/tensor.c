/* Tests of ir/tensor: element types, 16-bit floats over all their values, the pool, element access at the edges. */
#include "ir/build.h"

#include "tests/unit/test.h"
#include <float.h>
#include <math.h>

static uint32_t bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}

static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

static void dtypes(void) {
    for (unsigned i = 0; i < XFC_DTYPE_COUNT; i++) {
        xfc_dtype t = (xfc_dtype)i, back = XFC_DTYPE_COUNT;
        CHECK(xfc_dtype_from_name(xfc_dtype_name(t), &back) && back == t);
        uint32_t bits_of = xfc_dtype_bits(t), each = xfc_dtype_is_packed(t) ? 8 / bits_of : 1;
        CHECK_INT(xfc_dtype_dlpack(t) >> 8 & 0xff, each > 1 || bits_of >= 8 ? bits_of : 8);
        CHECK_INT(xfc_dtype_bytes(t), bits_of < 8 ? 1 : bits_of / 8);
        CHECK_INT(xfc_dtype_size(t, 13), (13 + each - 1) / each * xfc_dtype_bytes(t));
        CHECK_INT(xfc_dtype_is_packed(t), xfc_dtype_unpacked(t) != t);
        CHECK(xfc_dtype_packed(xfc_dtype_unpacked(t)) == xfc_dtype_packed(t));
        CHECK_INT(xfc_dtype_bits(xfc_dtype_packed(t)), bits_of);
        CHECK_INT(xfc_dtype_dlpack(t) >> 16, 1);
    }
    /* TensorProto.DataType: FLOAT UINT8 INT8 UINT16 INT16 INT32 INT64 . BOOL FLOAT16 DOUBLE UINT32 UINT64 . .
     * BFLOAT16 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ UINT4 INT4 FLOAT4E2M1 FLOAT8E8M0 UINT2 INT2 */
    static const xfc_dtype onnx[] = {
        [1] = XFC_F32,   [2] = XFC_U8,      [3] = XFC_I8,        [4] = XFC_U16,   [5] = XFC_I16,       [6] = XFC_I32,
        [7] = XFC_I64,   [9] = XFC_BOOL,    [10] = XFC_F16,      [11] = XFC_F64,  [12] = XFC_U32,      [13] = XFC_U64,
        [16] = XFC_BF16, [17] = XFC_E4M3FN, [18] = XFC_E4M3FNUZ, [19] = XFC_E5M2, [20] = XFC_E5M2FNUZ, [21] = XFC_U4,
        [22] = XFC_I4,   [23] = XFC_E2M1,   [24] = XFC_E8M0,     [25] = XFC_U2,   [26] = XFC_I2};
    uint32_t known = 0;
    xfc_dtype t;
    for (int32_t i = -1; i < 64; i++) {
        if (!xfc_dtype_from_onnx(i, &t)) continue;
        CHECK(i > 0 && (size_t)i < XFC_COUNT(onnx) && t == onnx[i]);
        known++;
    }
    CHECK_INT(known, XFC_UNPACKED_COUNT);
    CHECK(!xfc_dtype_from_name("f8", &t) && !xfc_dtype_from_onnx(8, &t) && !xfc_dtype_from_onnx(0, &t));
    CHECK_INT(xfc_dtype_dlpack(XFC_BF16), 4 | 16 << 8 | 1 << 16);
    CHECK(xfc_dtype_is_int(XFC_U8) && !xfc_dtype_is_int(XFC_BOOL) && xfc_dtype_is_float(XFC_BF16));
}

/* Numbers that share a byte: what is written at one place is read there and changes no other. */
static void packed(xfc_ctx *c) {
    enum { N = 11 };
    for (unsigned k = XFC_UNPACKED_COUNT; k < XFC_DTYPE_COUNT; k++) {
        xfc_dtype t = (xfc_dtype)k;
        uint32_t bits_of = xfc_dtype_bits(t);
        uint8_t data[N] = {0};
        for (int round = 0; round < 2; round++)
            for (int64_t i = 0; i < N; i++) xfc_element_set_i(t, data, i, i + round);
        const xfc_tensor *x = xfc_tensor_copy(c, t, 1, (int64_t[]){N}, data, NULL);
        CHECK_INT(x->bytes, (N * bits_of + 7) / 8);
        for (int64_t i = 0; i < N; i++) {
            CHECK_INT(xfc_tensor_get_i(x, i), xfc_dtype_wrap(xfc_dtype_unpacked(t), i + 1));
            CHECK_INT(data[i * bits_of / 8] >> i * bits_of % 8 & ((1 << bits_of) - 1), (i + 1) & ((1 << bits_of) - 1));
        }
    }
    uint8_t four[2] = {0};
    for (int64_t i = 0; i < 4; i++) xfc_element_set_f(XFC_E2M1_PACKED, four, i, i == 3 ? -100.0 : 0.5 * (double)i);
    const xfc_tensor *x = xfc_tensor_copy(c, XFC_E2M1_PACKED, 1, (int64_t[]){4}, four, NULL);
    CHECK(four[0] == 0x10 && four[1] == 0xf2); /* 0, 0.5, 1, and the least number there is */
    CHECK(xfc_tensor_get_f(x, 1) == 0.5 && xfc_tensor_get_f(x, 3) == -6 && !xfc_tensor_is_splat(x, NULL));
}

/* The exact value of a half, from its definition. */
static double half_value(uint16_t h) {
    int e = h >> 10 & 0x1f, f = h & 0x3ff;
    double v = e ? ldexp(1024 + f, e - 25) : ldexp(f, -24);
    return h & 0x8000 ? -v : v;
}

static void halves(void) {
    for (uint32_t u = 0; u < 0x10000; u++) {
        uint16_t h = (uint16_t)u;
        bool special = (h & 0x7c00) == 0x7c00, nan = special && (h & 0x3ff);
        float f = xfc_half_to_float(h);
        if (nan)
            CHECK(isnan(f) && isnan(xfc_half_to_float(xfc_float_to_half(f))));
        else if (special)
            CHECK(isinf(f) && (f < 0) == (h >> 15));
        else
            CHECK((double)f == half_value(h) && (signbit(f) != 0) == (h >> 15));
        if (!nan) CHECK_INT(xfc_float_to_half(f), h);
        if (special || (h & 0x7fff) == 0x7bff) continue;
        /* Between two neighbours: the middle goes to the even one, anything else to the nearer. */
        float up = xfc_half_to_float((uint16_t)(h + 1)), middle = (float)(((double)f + (double)up) / 2);
        CHECK_INT(xfc_float_to_half(middle), h & 1 ? h + 1 : h);
        CHECK_INT(xfc_float_to_half(nextafterf(middle, f)), h);
        CHECK_INT(xfc_float_to_half(nextafterf(middle, up)), h + 1);
    }
    CHECK_INT(xfc_float_to_half(65519.996f), 0x7bff);
    CHECK_INT(xfc_float_to_half(65520.0f), 0x7c00);
    CHECK_INT(xfc_float_to_half(FLT_MAX), 0x7c00);
    CHECK_INT(xfc_float_to_half(-FLT_TRUE_MIN), 0x8000);
}

static void bfloats(void) {
    for (uint32_t u = 0; u < 0x10000; u++) {
        uint16_t b = (uint16_t)u;
        float f = xfc_bfloat_to_float(b);
        if (isnan(f)) {
            CHECK(isnan(xfc_bfloat_to_float(xfc_float_to_bfloat(f))));
            continue;
        }
        CHECK_INT(xfc_float_to_bfloat(f), b);
        if (isinf(f)) continue;
        CHECK_INT(xfc_float_to_bfloat(from_bits(bits(f) | 0x7fff)), b);
        CHECK_INT(xfc_float_to_bfloat(from_bits(bits(f) | 0x8000)), b & 1 ? b + 1 : b);
        CHECK_INT(xfc_float_to_bfloat(from_bits(bits(f) | 0x8001)), b + 1);
    }
    CHECK(isnan(xfc_bfloat_to_float(xfc_float_to_bfloat(from_bits(0x7f800001))))); /* not infinity */
}

static double set_get(xfc_ctx *c, xfc_dtype t, double v) {
    uint64_t data = 0;
    xfc_element_set_f(t, &data, 0, v);
    return xfc_tensor_get_f(xfc_tensor_copy(c, t, 0, NULL, &data, NULL), 0);
}

static void elements(xfc_ctx *c) {
    static const double values[] = {0, 1, -1, 0.5, 127, 128, 255, 256, -129, 65535, 2147483647.0, -2147483648.0};
    for (size_t i = 0; i < XFC_COUNT(values); i++) {
        double v = values[i];
        CHECK(set_get(c, XFC_F64, v) == v && set_get(c, XFC_F32, v) == (double)(float)v);
        CHECK(set_get(c, XFC_F16, v) == (double)xfc_half_to_float(xfc_float_to_half((float)v)));
        CHECK(set_get(c, XFC_I64, v) == trunc(v) && set_get(c, XFC_I32, v) == trunc(v));
        CHECK(set_get(c, XFC_I8, v) == (double)(int8_t)(int64_t)v &&
              set_get(c, XFC_U16, v) == (double)(uint16_t)(int64_t)v);
        CHECK(set_get(c, XFC_BOOL, v) == (v != 0));
    }
    CHECK(set_get(c, XFC_I64, (double)NAN) == 0 && set_get(c, XFC_I64, 1e30) == 0x1p63); /* no undefined conversion */
    CHECK(set_get(c, XFC_U64, 0x1.8p63) == 0x1.8p63 && set_get(c, XFC_U64, 1e30) == 0x1p64);
    /* Rounded once: 2049 + 2^-40 lies above the middle of two halves, but its float lies on it. */
    CHECK(set_get(c, XFC_F16, 2049.0 + 0x1p-40) == 2050.0 && set_get(c, XFC_F16, 2049.0) == 2048.0);
    CHECK(set_get(c, XFC_BF16, 257.0 + 0x1p-40) == 258.0 && set_get(c, XFC_F16, 1e300) == (double)INFINITY);
    uint64_t all = UINT64_MAX;
    const xfc_tensor *t = xfc_tensor_copy(c, XFC_U64, 0, NULL, &all, NULL);
    CHECK(xfc_tensor_get_i(t, 0) == -1 && xfc_tensor_get_f(t, 0) == 0x1p64);
    int64_t n = INT64_C(9007199254740993); /* 2^53 + 1 is no double */
    CHECK_INT(xfc_tensor_get_i(xfc_tensor_copy(c, XFC_I64, 0, NULL, &n, NULL), 0), n);
    float f[3] = {(float)NAN, -2.9f, 3e38f};
    const xfc_tensor *tf = xfc_tensor_copy(c, XFC_F32, 1, (int64_t[]){3}, f, NULL);
    CHECK(xfc_tensor_get_i(tf, 0) == 0 && xfc_tensor_get_i(tf, 1) == -2 && xfc_tensor_get_i(tf, 2) == INT64_MAX);
    CHECK_EXIT(70, xfc_tensor_get_f(tf, 3));
}

static void counts(void) {
    int64_t n = -1;
    size_t bytes = 1;
    CHECK(xfc_tensor_count(XFC_F32, 0, NULL, &n, &bytes) && n == 1 && bytes == 4);
    CHECK(xfc_tensor_count(XFC_I64, 2, (int64_t[]){3, 5}, &n, &bytes) && n == 15 && bytes == 120);
    CHECK(xfc_tensor_count(XFC_I64, 3, (int64_t[]){INT64_MAX, INT64_MAX, 0}, &n, &bytes) && n == 0 && bytes == 0);
    CHECK(!xfc_tensor_count(XFC_I64, 2, (int64_t[]){-1, 0}, &n, &bytes));
    CHECK(!xfc_tensor_count(XFC_I8, 2, (int64_t[]){INT64_C(1) << 32, INT64_C(1) << 31}, &n, &bytes));
    CHECK(!xfc_tensor_count(XFC_I64, 1, (int64_t[]){INT64_C(1) << 61}, &n, &bytes));
    CHECK(xfc_tensor_count(XFC_I8, 1, (int64_t[]){INT64_C(1) << 61}, NULL, NULL));
}

static void pool(xfc_ctx *c) {
    static int64_t big[600], same[600];
    int64_t dim = 4, dim2[2] = {2, 2}, many = 600;
    int32_t x[4] = {1, 2, 3, 4};
    uint32_t before = xfc_tensor_pool_size(c);
    const xfc_tensor *a = xfc_tensor_copy(c, XFC_I32, 1, &dim, x, "a");
    CHECK(a == xfc_tensor_copy(c, XFC_I32, 1, &dim, x, "b") && a == xfc_tensor_new(c, XFC_I32, 1, &dim, x, NULL));
    CHECK(a->data != x && (uintptr_t)a->data % 64 == 0);
    CHECK_STR(a->name, "a");
    CHECK(a != xfc_tensor_copy(c, XFC_I32, 2, dim2, x, NULL) && a != xfc_tensor_copy(c, XFC_U32, 1, &dim, x, NULL));
    x[0] = 9;
    CHECK_INT(xfc_tensor_get_i(a, 0), 1);
    CHECK(a != xfc_tensor_copy(c, XFC_I32, 1, &dim, x, NULL));
    for (int i = 0; i < 600; i++) big[i] = same[i] = i;
    const xfc_tensor *b = xfc_tensor_new(c, XFC_I64, 1, &many, big, NULL),
                     *d = xfc_tensor_new(c, XFC_I64, 1, &many, same, NULL);
    CHECK(b != d && b->data == big && xfc_tensor_equal(b, d)); /* large: not shared, not copied */
    CHECK(xfc_tensor_hash(c, b) == xfc_tensor_hash(c, d) && xfc_tensor_hash(c, b) != xfc_tensor_hash(c, a));
    same[599] = 0;
    CHECK(!xfc_tensor_equal(b, d));
    const char *odd = (const char *)big + 1; /* a mapped file promises no alignment */
    const xfc_tensor *moved = xfc_tensor_new(c, XFC_I64, 1, (int64_t[]){599}, odd, NULL);
    CHECK((uintptr_t)moved->data % 8 == 0 && memcmp(moved->data, odd, 599 * 8) == 0);
    const xfc_tensor *empty = xfc_tensor_new(c, XFC_F32, 2, (int64_t[]){0, 5}, NULL, NULL);
    CHECK(empty->data && empty->count == 0 && empty == xfc_tensor_copy(c, XFC_F32, 2, (int64_t[]){0, 5}, NULL, NULL));
    CHECK_INT(xfc_tensor_pool_size(c), before + 8);
    for (uint32_t i = 0; i < xfc_tensor_pool_size(c); i++) CHECK(xfc_tensor_at(c, i)->id == i);
    CHECK_EXIT(70, xfc_tensor_at(c, xfc_tensor_pool_size(c)));
}

static void splats(xfc_ctx *c) {
    float x[5] = {2.5f, 2.5f, 2.5f, 2.5f, 2.5f};
    double v = 0;
    CHECK(xfc_tensor_is_splat(xfc_tensor_copy(c, XFC_F32, 1, (int64_t[]){5}, x, NULL), &v) && v == 2.5);
    CHECK(xfc_tensor_is_splat(xfc_tensor_copy(c, XFC_F32, 0, NULL, x, NULL), NULL));
    x[4] = 2;
    CHECK(!xfc_tensor_is_splat(xfc_tensor_copy(c, XFC_F32, 1, (int64_t[]){5}, x, NULL), &v));
    CHECK(!xfc_tensor_is_splat(xfc_tensor_copy(c, XFC_F32, 1, (int64_t[]){0}, x, NULL), &v));
    float zeros[2] = {0.0f, -0.0f}; /* 1 / x tells them apart */
    CHECK(!xfc_tensor_is_splat(xfc_tensor_copy(c, XFC_F32, 1, (int64_t[]){2}, zeros, NULL), &v));
}

/* What is made twice is held once, as long as the first is there. */
static void unique(xfc_ctx *c) {
    enum { MANY = XFC_STORAGE_BYTES / 4 };
    const int64_t dim = MANY;
    const xfc_tensor *t[4];
    xfc_storage *s[4];
    for (int i = 0; i < 4; i++) {
        float *x = xfc_tensor_alloc(c, XFC_F32, 1, &dim);
        x[0] = i == 1 ? 9 : 8;
        t[i] = xfc_tensor_new(c, XFC_F32, 1, &dim, x, NULL);
        s[i] = t[i]->storage;
    }
    CHECK(xfc_tensor_unique(c, t[0]) == t[0] && xfc_tensor_unique(c, t[0]) == t[0]);
    xfc_storage_hold(s[0]);
    CHECK(xfc_tensor_unique(c, t[1]) == t[1]); /* another value */
    CHECK(xfc_tensor_unique(c, t[2]) == t[0] && s[2]->gone && !s[0]->gone);
    xfc_storage_let_go(s[0]);
    xfc_storage_release(c, s[0]);
    CHECK(s[0]->gone && xfc_tensor_unique(c, t[3]) == t[3] && !s[3]->gone);
    const int64_t few = 3;
    const float small[3] = {1, 2, 3};
    const xfc_tensor *shared = xfc_tensor_copy(c, XFC_F32, 1, &few, small, NULL);
    CHECK(xfc_tensor_unique(c, shared) == shared);
}

/* Large constants go when the last op that names them does, and not before one did. */
static void storages(xfc_ctx *c) {
    enum { MANY = XFC_STORAGE_BYTES / 4 };
    int64_t dim = MANY;
    float *x = xfc_tensor_alloc(c, XFC_F32, 1, &dim);
    x[MANY - 1] = 7;
    const xfc_tensor *t = xfc_tensor_new(c, XFC_F32, 1, &dim, x, NULL),
                     *same = xfc_tensor_new(c, XFC_F32, 1, &dim, x, NULL);
    xfc_storage *s = t->storage;
    CHECK(s && s == same->storage && s->data == x && s == xfc_storage_at(c, x) && !s->mapped);
    xfc_storage_sweep(c);
    CHECK(xfc_storage_at(c, x) == s && xfc_tensor_get_f(t, MANY - 1) == 7); /* no op named it so far */
    xfc_graph *g = xfc_graph_new(c, "g"), *clone;
    xfc_builder b = {.graph = g};
    xfc_value *v = xfc_b_const(&b, t), *w = xfc_b_const(&b, same);
    clone = xfc_graph_clone(g);
    CHECK_INT(s->holds, 4);
    xfc_op_remove(v->def);
    xfc_op_remove(w->def);
    CHECK_INT(s->holds, 2);
    xfc_storage_sweep(c);
    CHECK(xfc_storage_at(c, x) == s);
    xfc_graph_free(clone);
    xfc_storage_sweep(c);
    CHECK(!xfc_storage_at(c, x));
    const xfc_tensor *copied = xfc_tensor_copy(c, XFC_F32, 1, &dim, xfc_alloc(c->arena, MANY * 4, 4), NULL);
    CHECK(copied->storage && copied->storage->data == copied->data); /* freed with the context */
    dim = 4;
    CHECK(!xfc_tensor_copy(c, XFC_F32, 1, &dim, copied->data, NULL)->storage);
    xfc_storage_hold(NULL);
    xfc_storage_let_go(NULL);
    xfc_storage_rest(NULL);
    xfc_storage_release(c, NULL);
    xfc_graph_free(g);
}

int main(void) {
    xfc_ctx *c = xfc_ctx_new();
    dtypes();
    packed(c);
    halves();
    bfloats();
    counts();
    elements(c);
    pool(c);
    splats(c);
    storages(c);
    unique(c);
    xfc_ctx_free(c);
    return test_end();
}

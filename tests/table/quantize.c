/* quantize.c - quantize, dequantize and matmul_integer against plain C: every type, one scale, one an index of an axis,
 * one a block; ties, values far outside, zero points at both ends. */
#include "tests/table/table.h"

static const xfc_dtype floats[] = {XFC_F32, XFC_F64, XFC_F16, XFC_BF16}, few[] = {XFC_U8, XFC_I8, XFC_U16, XFC_I16},
                       stored[] = {XFC_U4, XFC_I4, XFC_U2, XFC_I2};

typedef struct {
    uint32_t rank, axis;
    int64_t dim[4], block; /* block 0: one scale for all, or one an index of axis */
    bool one;
    int64_t scale_dim[4];
    uint32_t scale_rank;
} grain;

static grain random_grain(table *t) {
    grain g = {.rank = (uint32_t)test_between(&t->seed, 1, 4)};
    for (uint32_t d = 0; d < g.rank; d++) g.dim[d] = table_extent(t) % 9 + (d + 1 == g.rank);
    g.axis = (uint32_t)test_between(&t->seed, 0, g.rank - 1);
    int64_t kind = test_between(&t->seed, 0, 2);
    g.one = kind == 0;
    g.block = kind == 2 ? test_between(&t->seed, 1, 4) : 0;
    g.scale_rank = g.one ? 0 : g.rank;
    for (uint32_t d = 0; d < g.rank; d++)
        g.scale_dim[d] = g.block       ? (d == g.axis ? (g.dim[d] + g.block - 1) / g.block : g.dim[d])
                         : d == g.axis ? g.dim[d]
                                       : 1;
    return g;
}

/* The element of a scale that stands for element i. */
static int64_t scale_at(const grain *g, int64_t i) {
    int64_t at = 0, step = 1;
    for (uint32_t d = g->rank; d-- > 0 && !g->one; i /= g->dim[d]) {
        int64_t index = i % g->dim[d];
        if (g->block && d == g->axis) index /= g->block;
        at += g->scale_dim[d] == 1 ? 0 : index * step;
        step *= g->scale_dim[d];
    }
    return at;
}

static uint32_t attributes(const grain *g, xfc_dtype to, xfc_attr *attr) {
    attr[0] = xfc_attr_dtype(XFC_K_TO, to);
    attr[1] = xfc_attr_int(XFC_K_AXIS, g->axis);
    attr[2] = xfc_attr_int(XFC_K_BLOCK, g->block);
    return g->block ? 3 : 1;
}

static int64_t least(xfc_dtype t) { return xfc_dtype_class(t) == XFC_CLASS_SINT ? -(1 << (xfc_dtype_bits(t) - 1)) : 0; }
static int64_t most(xfc_dtype t) { return least(t) + (1 << xfc_dtype_bits(t)) - 1; }

static void quantize(table *t, xfc_dtype dtype, xfc_dtype to) {
    grain g = random_grain(t);
    xfc_attr attr[3];
    bool has_zero = test_between(&t->seed, 0, 2) > 0;
    table_next(t, "quantize");
    xfc_array *x = table_operand(t, dtype, g.rank, g.dim, true),
              *scale = table_ints(t, dtype, g.scale_rank, g.scale_dim, 1, 3);
    for (int64_t i = 0; i < scale->count; i++)
        table_set(scale, i, ldexp(table_f(scale, i), -(int)test_between(&t->seed, 0, 9)), 0);
    xfc_array *zero = has_zero ? table_ints(t, to, g.scale_rank, g.scale_dim, least(to), most(to)) : NULL;
    if (!CHECK(table_run(t, XFC_OP_QUANTIZE, attr, attributes(&g, to, attr))) || !table_shape(t, g.rank, g.dim)) return;
    for (int64_t i = 0; i < x->count; i++) {
        int64_t at = scale_at(&g, i);
        double q = table_f(x, i) / table_f(scale, at);
        if (isnan(q)) continue; /* the specification leaves it open */
        q = rint(dtype == XFC_F64 ? q : table_round(dtype, q)) + (zero ? (double)table_i(zero, at) : 0);
        double want = fmin(fmax(q, (double)least(to)), (double)most(to));
        table_same(t, i, want, 0, 0);
    }
}

static void dequantize(table *t, xfc_dtype from, xfc_dtype scales, xfc_dtype to) {
    grain g = random_grain(t);
    xfc_attr attr[3];
    bool has_zero = test_between(&t->seed, 0, 2) > 0;
    table_next(t, "dequantize");
    xfc_array *x = table_operand(t, from, g.rank, g.dim, false),
              *scale = table_operand(t, scales, g.scale_rank, g.scale_dim, false);
    xfc_array *zero = has_zero ? table_operand(t, from, g.scale_rank, g.scale_dim, false) : NULL;
    if (!CHECK(table_run(t, XFC_OP_DEQUANTIZE, attr, attributes(&g, to, attr))) || !table_shape(t, g.rank, g.dim))
        return;
    for (int64_t i = 0; i < x->count; i++) {
        int64_t at = scale_at(&g, i);
        int32_t less = (int32_t)((uint32_t)table_i(x, i) - (uint32_t)(zero ? table_i(zero, at) : 0)); /* wraps */
        double want = scales == XFC_F64 ? less * table_f(scale, at) : (double)((float)less * (float)table_f(scale, at));
        table_same(t, i, table_round(to, want), 0, 0);
    }
}

static void product(table *t, xfc_dtype a, xfc_dtype b) {
    int64_t m = table_extent(t) % 9, k = table_extent(t), n = table_extent(t) % 40;
    bool zeros = test_between(&t->seed, 0, 1), row = test_between(&t->seed, 0, 1);
    table_next(t, "matmul_integer");
    xfc_array *x = table_operand(t, a, 3, (int64_t[]){2, m, k}, false),
              *w = table_operand(t, b, 2, (int64_t[]){k, n}, false);
    if (zeros) table_operand(t, a, row ? 2 : 0, (int64_t[]){m, 1}, false);
    if (zeros) table_operand(t, b, 1, (int64_t[]){row ? n : 1}, false);
    if (!CHECK(table_run(t, XFC_OP_MATMUL_INTEGER, NULL, 0)) || !table_shape(t, 3, (int64_t[]){2, m, n})) return;
    for (int64_t i = 0; i < t->out.count; i++) {
        uint32_t sum = 0;
        for (int64_t j = 0; j < k; j++) {
            int64_t less = zeros ? table_i(&t->in[2], row ? i / n % m : 0) : 0,
                    by = zeros ? table_i(&t->in[3], row ? i % n : 0) : 0;
            sum += (uint32_t)(table_i(x, i / n * k + j) - less) * (uint32_t)(table_i(w, j * n + i % n) - by);
        }
        if (!CHECK_INT(table_i(&t->out, i), (int32_t)sum)) return;
    }
}

/* Numbers of fewer bits than a byte: out of bytes, and dequantized with zero points of floats. */
static void split(table *t, xfc_dtype to) {
    const xfc_attr attr = xfc_attr_dtype(XFC_K_TO, to);
    uint32_t bits = xfc_dtype_bits(to), each = 8 / bits;
    int64_t dim[2] = {table_extent(t) % 9, table_extent(t)};
    table_next(t, "split_bits");
    xfc_array *x = table_operand(t, XFC_U8, 2, dim, false);
    dim[1] *= each;
    if (!CHECK(table_run(t, XFC_OP_SPLIT_BITS, &attr, 1)) || !table_shape(t, 2, dim)) return;
    for (int64_t i = 0; i < t->out.count; i++) {
        int64_t part = table_i(x, i / each) >> bits * (uint32_t)(i % each) & ((1 << bits) - 1);
        bool below = xfc_dtype_class(to) == XFC_CLASS_SINT && part >> (bits - 1);
        table_same_int(t, i, below ? part - (1 << bits) : part);
    }
}

/* As files and callers hold them: the two ops are each other's inverse, and the bits behind the last number are 0. */
static void packed(table *t, xfc_dtype type) {
    uint32_t bits = xfc_dtype_bits(type), each = 8 / bits;
    int64_t dim[2] = {table_extent(t) % 9, table_extent(t)};
    table_next(t, "pack_bits");
    xfc_array *x = table_operand(t, type, 2, dim, false);
    if (!CHECK(table_run(t, XFC_OP_PACK_BITS, NULL, 0)) || !table_shape(t, 2, dim)) return;
    const uint8_t *byte = t->out.data;
    for (int64_t i = 0; i < (int64_t)xfc_dtype_size(t->out.dtype, t->out.count) * each; i++)
        CHECK_INT(byte[i / each] >> bits * (uint32_t)(i % each) & ((1 << bits) - 1),
                  i < t->out.count ? table_i(x, i) & ((1 << bits) - 1) : 0);
    table_next(t, "unpack_bits");
    x = table_operand(t, xfc_dtype_packed(type), 2, dim, false);
    if (!CHECK(table_run(t, XFC_OP_UNPACK_BITS, NULL, 0)) || !table_shape(t, 2, dim)) return;
    for (int64_t i = 0; i < t->out.count; i++) table_same_int(t, i, table_i(x, i));
}

static void float_zero(table *t, xfc_dtype from) {
    const xfc_attr attr[] = {xfc_attr_dtype(XFC_K_TO, XFC_F32), xfc_attr_int(XFC_K_AXIS, 1),
                             xfc_attr_int(XFC_K_BLOCK, 2)};
    const int64_t dim[2] = {3, 5}, blocks[2] = {3, 3};
    table_next(t, "dequantize with a zero point of floats");
    xfc_array *x = table_operand(t, from, 2, dim, false), *scale = table_operand(t, XFC_F32, 2, blocks, false),
              *zero = table_operand(t, XFC_F32, 2, blocks, false);
    if (!CHECK(table_run(t, XFC_OP_DEQUANTIZE, attr, 3)) || !table_shape(t, 2, dim)) return;
    for (int64_t i = 0; i < 15; i++) {
        int64_t at = i / 5 * 3 + i % 5 / 2;
        table_same(t, i, (double)(((float)table_i(x, i) - (float)table_f(zero, at)) * (float)table_f(scale, at)), 0, 0);
    }
}

static void refused(table *t) {
    const xfc_attr to_u8 = xfc_attr_dtype(XFC_K_TO, XFC_U8), to_f32 = xfc_attr_dtype(XFC_K_TO, XFC_F32),
                   to_i32 = xfc_attr_dtype(XFC_K_TO, XFC_I32);
    const xfc_attr blocks[] = {to_f32, xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_int(XFC_K_BLOCK, 2)},
                   none[] = {to_f32, xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_int(XFC_K_BLOCK, -1)},
                   outside[] = {to_f32, xfc_attr_int(XFC_K_AXIS, 2), xfc_attr_int(XFC_K_BLOCK, 2)};
    const int64_t dim[2] = {3, 4};
    table_next(t, "quantize, refused");
    table_operand(t, XFC_F32, 2, dim, false), table_operand(t, XFC_F16, 0, NULL, false);
    CHECK(!table_run(t, XFC_OP_QUANTIZE, &to_u8, 1)); /* two floating types */
    table_next(t, "quantize, refused");
    table_operand(t, XFC_F32, 2, dim, false), table_operand(t, XFC_F32, 0, NULL, false),
        table_operand(t, XFC_I8, 0, NULL, false);
    CHECK(!table_run(t, XFC_OP_QUANTIZE, &to_u8, 1)); /* a zero point of another type */
    t->n_in = 2;
    CHECK(table_run(t, XFC_OP_QUANTIZE, &to_u8, 1));
    CHECK(!table_run(t, XFC_OP_QUANTIZE, &to_i32, 1) && !table_run(t, XFC_OP_QUANTIZE, &to_f32, 1));
    table_next(t, "dequantize, refused");
    table_operand(t, XFC_I8, 2, dim, false), table_operand(t, XFC_F32, 2, (int64_t[]){3, 2}, false);
    CHECK(table_run(t, XFC_OP_DEQUANTIZE, blocks, 3));
    CHECK(!table_run(t, XFC_OP_DEQUANTIZE, none, 3) && !table_run(t, XFC_OP_DEQUANTIZE, outside, 3));
    CHECK(!table_run(t, XFC_OP_DEQUANTIZE, blocks, 1)); /* scales that do not broadcast */
    t->in[1].dim[1] = 1;
    CHECK(!table_run(t, XFC_OP_DEQUANTIZE, blocks, 3)); /* too few blocks */
    table_next(t, "matmul_integer, refused");
    table_operand(t, XFC_I8, 2, (int64_t[]){3, 3}, false), table_operand(t, XFC_U8, 2, (int64_t[]){3, 3}, false);
    CHECK(table_run(t, XFC_OP_MATMUL_INTEGER, NULL, 0));
    table_operand(t, XFC_U8, 0, NULL, false);
    CHECK(!table_run(t, XFC_OP_MATMUL_INTEGER, NULL, 0)); /* the zero point of the other operand */
    table_next(t, "stored types, refused");
    table_operand(t, XFC_I4, 2, dim, false);
    CHECK(!table_run(t, XFC_OP_NEG, NULL, 0) && !table_run(t, XFC_OP_SPLIT_BITS, &to_u8, 1));
    table_next(t, "matmul_integer, refused");
    table_operand(t, XFC_I32, 2, (int64_t[]){3, 3}, false), table_operand(t, XFC_U8, 2, (int64_t[]){3, 3}, false);
    CHECK(!table_run(t, XFC_OP_MATMUL_INTEGER, NULL, 0));
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (uint32_t round = 0; round < 40; round++) {
            for (uint32_t i = 0; i < 4; i++) {
                for (uint32_t j = 0; j < 4; j++) quantize(&t, floats[i], few[j]), product(&t, few[i], few[j]);
                for (uint32_t j = 0; j < 4; j++) dequantize(&t, few[i], floats[j], floats[round % 4]);
                dequantize(&t, XFC_I32, floats[i], floats[round % 4]);
                dequantize(&t, stored[i], floats[round % 4], XFC_F32);
                quantize(&t, floats[i], stored[round % 4]);
                product(&t, few[i], stored[round % 4]);
                split(&t, stored[i]);
                packed(&t, round % 2 ? XFC_E2M1 : stored[i]);
                float_zero(&t, stored[i]);
            }
        }
        refused(&t);
        table_free(&t);
    }
    return test_end();
}

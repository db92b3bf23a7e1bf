/* contrib_bits.c - onnxruntime's products with weights of 2, 4 and 8 bits, and lookups in such tables.
 *
 * A weight [n, blocks * bytes] is split into numbers [n, k] and dequantized by blocks, so it is a linear whose weight is
 * a dequantize of constants: fold makes floats of that, unless a pass with kernels for few bits takes it before. Tables
 * are looked up in as they are stored, and only the rows found are dequantized.
 */
#include "frontend/onnx/quant/quant.h"
#include <math.h>

static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

xfc_value *xfc_n_split_bits(xfc_node *n, xfc_value *v, int64_t bits) {
    xfc_attr to = xfc_attr_dtype(XFC_K_TO, bits == 2 ? XFC_U2 : XFC_U4);
    return v && bits < 8 ? xfc_build(n->b, XFC_OP_SPLIT_BITS, &v, 1, &to, 1) : v;
}

xfc_value *xfc_n_first_columns(xfc_node *n, xfc_value *v, xfc_int columns) {
    if (!v || xfc_int_same(v->type.dim[v->type.rank - 1], columns)) return v;
    return xfc_b_slice_axis(n->b, v, v->type.rank - 1, constant(n, 0), columns, 1);
}

static xfc_value *matrix(xfc_node *n, xfc_value *v, xfc_int rows, xfc_int columns) {
    return v ? xfc_b_reshape(n->b, v, (xfc_int[]){rows, columns}, 2) : NULL;
}

/* --- products --- */

typedef struct {
    int64_t k, n, bits, block, blocks; /* blocks: in a row of the weight */
} nbits;

static bool read_nbits(xfc_node *n, nbits *w) {
    *w = (nbits){xfc_node_int(n, "K", 0), xfc_node_int(n, "N", 0), xfc_node_int(n, "bits", 4),
                 xfc_node_int(n, "block_size", 0), 0};
    if (n->status != XFC_OK) return false;
    if (w->bits != 2 && w->bits != 4 && w->bits != 8)
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "weights of %lld bits are not supported; quantize to 2, 4 or 8",
                             (long long)w->bits),
               false;
    if (w->k < 1 || w->n < 1 || w->block < 1 || w->k > XFC_DIM_MAX || w->n > XFC_DIM_MAX || w->block > XFC_DIM_MAX ||
        w->block * w->bits % 8)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "%lld x %lld weights in blocks of %lld are none; quantize the model again",
                             (long long)w->k, (long long)w->n, (long long)w->block),
               false;
    if (xfc_node_flag(n, "weight_prepacked", false))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "weights in the order of a GPU are not supported"), false;
    w->blocks = (w->k + w->block - 1) / w->block;
    int64_t all;
    if (xfc_mul_ok(w->blocks, w->block, &all) && xfc_mul_ok(all, w->n, &all)) return true;
    return xfc_node_fail(n, XFC_ERR_LIMIT, "%lld x %lld weights are too many", (long long)w->k, (long long)w->n), false;
}

/* Elements of a constant operand. */
static bool has_count(xfc_node *n, uint32_t at, int64_t count, const char *what) {
    int64_t have = 0;
    if (xfc_type_static(n->ctx, &n->in[at]->type, NULL, &have) && have == count) return true;
    return xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' needs %lld %s; quantize the model again",
                         xfc_node_in_name(n, at), (long long)count, what),
           false;
}

/* Zero points of blocks [n, blocks]: floats as scales are, or packed like the weight, a row in whole bytes. */
static xfc_value *zero_points(xfc_node *n, const nbits *w, uint32_t at) {
    xfc_value *zero = n->in[at];
    xfc_int rows = constant(n, w->n), blocks = constant(n, w->blocks);
    int64_t bytes = (w->blocks * w->bits + 7) / 8;
    if (zero->type.dtype == n->in[2]->type.dtype)
        return has_count(n, at, w->n * w->blocks, "zero points") ? matrix(n, zero, rows, blocks) : NULL;
    if (zero->type.dtype != XFC_U8)
        return xfc_node_fail(n, XFC_ERR_INPUT, "zero points '%s' are %s, but must be packed in u8 or be like scales",
                             xfc_node_in_name(n, at), xfc_dtype_name(zero->type.dtype)),
               NULL;
    if (!has_count(n, at, w->n * bytes, "bytes of zero points")) return NULL;
    return xfc_n_first_columns(n, xfc_n_split_bits(n, matrix(n, zero, rows, constant(n, bytes)), w->bits), blocks);
}

/* Each column's scale or zero point, where an operand says which block it is in. */
static xfc_value *by_index(xfc_node *n, xfc_value *v, xfc_value *index) {
    return v && v->type.rank ? xfc_n_gather(n, v, index, 1) : v;
}

/* x, weight, scales, zero points, blocks of columns, bias */
void xfc_import_matmul_nbits(xfc_node *n) {
    nbits w;
    if (!read_nbits(n, &w)) return;
    xfc_value *x = n->in[0], *index = xfc_node_in(n, 4);
    xfc_int rows = constant(n, w.n), columns = constant(n, w.k);
    if (n->in[1]->type.dtype != XFC_U8 || !xfc_dtype_is_float(x->type.dtype) ||
        !xfc_dtype_is_float(n->in[2]->type.dtype)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "multiplies floats by weights packed in u8, with scales of floats");
        return;
    }
    if (!has_count(n, 1, w.n * w.blocks * (w.block * w.bits / 8), "bytes of weights") ||
        !has_count(n, 2, w.n * w.blocks, "scales") || (index && !has_count(n, 4, w.k, "numbers of blocks")))
        return;
    xfc_value *v = matrix(n, n->in[1], rows, constant(n, w.blocks * (w.block * w.bits / 8)));
    v = xfc_n_first_columns(n, xfc_n_split_bits(n, v, w.bits), columns);
    xfc_quant q = {.scale = matrix(n, n->in[2], rows, constant(n, w.blocks)), .axis = 1, .block = index ? 0 : w.block};
    if (!v) return;
    q.zero =
        xfc_node_has(n, 3) ? zero_points(n, &w, 3) : xfc_b_scalar_i(n->b, v->type.dtype, INT64_C(1) << (w.bits - 1));
    if (!q.zero) return;
    if (index) q.scale = by_index(n, q.scale, index), q.zero = by_index(n, q.zero, index);
    v = q.zero ? xfc_n_dequantize(n, v, &q, x->type.dtype) : NULL;
    xfc_value *in[3] = {x, v ? xfc_b_swap_last(n->b, v) : NULL, xfc_node_in(n, 5)};
    if (in[1]) n->out[0] = xfc_build_opt(n->b, XFC_OP_LINEAR, in, in[2] ? 3 : 2, NULL, 0);
}

/* --- four-bit floats of bitsandbytes --- */

/* A list with 0 behind it, so that it has `size` elements. */
static xfc_value *filled(xfc_node *n, xfc_value *v, int64_t size) {
    const xfc_int none = constant(n, 0), one = constant(n, size);
    if (!v || xfc_int_same(v->type.dim[0], one)) return v;
    const xfc_int more = xfc_int_sub(n->ctx, one, v->type.dim[0]);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, &none, 1), xfc_attr_dims(XFC_K_AFTER, &more, 1)};
    return xfc_build(n->b, XFC_OP_PAD, &v, 1, attr, XFC_COUNT(attr));
}

/* The numbers [n, k] that a table and the largest magnitude of each block make of codes, two in a byte, the first in the high bits. */
static xfc_value *from_codes(xfc_node *n, const nbits *w, xfc_value *table) {
    const int64_t all = w->k * w->n, bytes = (all + 1) / 2, blocks = (all + w->block - 1) / w->block;
    if (!has_count(n, 1, bytes, "bytes of weights") || !has_count(n, 2, blocks, "magnitudes")) return NULL;
    const xfc_int start[2] = {constant(n, 0), constant(n, 1)}, pair[2] = {constant(n, bytes), constant(n, 2)},
                  one = constant(n, 1), flat[1] = {constant(n, 2 * bytes)},
                  blocked[1] = {constant(n, blocks * w->block)};
    xfc_value *v = xfc_n_split_bits(n, matrix(n, n->in[1], pair[0], one), 4);
    v = v ? xfc_b_slice(n->b, v, start, pair, (const int64_t[]){1, -1}) : NULL;
    v = v ? xfc_n_gather(n, table, xfc_b_cast(n->b, v, XFC_I32), 0) : NULL;
    v = v ? xfc_n_first(n, xfc_b_reshape(n->b, v, flat, 1), constant(n, all)) : NULL;
    v = matrix(n, filled(n, v, blocks * w->block), constant(n, blocks), constant(n, w->block));
    v = xfc_n2(n, XFC_OP_MUL, v, matrix(n, xfc_b_cast(n->b, n->in[2], XFC_F32), constant(n, blocks), one));
    v = v ? xfc_n_first(n, xfc_b_reshape(n->b, v, blocked, 1), constant(n, all)) : NULL;
    v = matrix(n, v, constant(n, w->n), constant(n, w->k));
    return v ? xfc_b_cast(n->b, v, n->in[0]->type.dtype) : NULL;
}

/* x, weight, the largest magnitude of each block */
void xfc_import_matmul_bnb4(xfc_node *n) {
    static const float values[2][16] = {
        {0.0f, 5.208333333e-03f, 0.66666667f, 1.0f, 0.33333333f, 0.5f, 0.16666667f, 0.25f, -0.0f, -5.208333333e-03f,
         -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f},
        {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
         -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
         0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f,
         1.0f}};
    nbits w;
    int64_t kind = xfc_node_int(n, "quant_type", 1), dim = 16;
    if (!read_nbits(n, &w)) return;
    if ((kind != 0 && kind != 1) || n->in[1]->type.dtype != XFC_U8) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "needs FP4 or NF4 weights in u8; quantize the model again");
        return;
    }
    xfc_value *v = from_codes(n, &w, xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_F32, 1, &dim, values[kind], NULL)));
    if (v && xfc_node_flag(n, "transB", true)) v = xfc_b_swap_last(n->b, v);
    n->out[0] = v ? xfc_build(n->b, XFC_OP_LINEAR, (xfc_value *[]){n->in[0], v}, 2, NULL, 0) : NULL;
}

/* --- lookups --- */

typedef struct {
    xfc_value *table, *scale, *zero, *index, *there; /* index: none outside; there: was it one of the table? */
    int64_t bits, block;
    uint32_t at, along; /* axes that are looked up along, and of blocks */
} lookup;

/* Indices of an axis of `size`, where one that is outside becomes one inside. */
static bool read_index(xfc_node *n, xfc_int size, lookup *k) {
    const xfc_int last = xfc_int_addc(n->ctx, size, -1);
    xfc_value *zero = xfc_ni(n, 0),
              *index = xfc_n_from_front(n, xfc_b_cast(n->b, n->in[1], XFC_I64), xfc_b_dims(n->b, &size, -1));
    xfc_value *top = xfc_b_dims(n->b, &last, -1);
    k->there = xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_GE, index, zero), xfc_n2(n, XFC_OP_LE, index, top));
    k->index = xfc_n2(n, XFC_OP_MAX, xfc_n2(n, XFC_OP_MIN, index, top), zero);
    return k->index && k->there;
}

/* v, found along an axis, with 0 where the index was none of the table. */
static xfc_value *found(xfc_node *n, const lookup *k, xfc_value *v) {
    const uint32_t rank = n->in[1]->type.rank;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; v && d < v->type.rank; d++) {
        bool inside = k->at <= d && d < k->at + rank;
        dim[d] = inside ? n->in[1]->type.dim[d - k->at] : constant(n, 1);
    }
    xfc_value *there = v ? xfc_b_reshape(n->b, k->there, dim, v->type.rank) : NULL;
    return xfc_n_select(n, there, v, xfc_nf(n, v, 0));
}

/* Scales of all of the table but along the blocks, where they are one for an axis. */
static xfc_value *spread_scale(xfc_node *n, const lookup *k) {
    const xfc_type *t = &k->table->type, *s = &k->scale->type;
    xfc_int dim[XFC_MAX_RANK];
    if (s->rank != t->rank)
        return xfc_node_fail(n, XFC_ERR_INPUT, "has scales of another rank than the table; quantize the model again"),
               NULL;
    for (uint32_t d = 0; d < t->rank; d++) dim[d] = d == k->along ? s->dim[d] : t->dim[d];
    return xfc_b_expand(n->b, k->scale, dim, t->rank);
}

static bool read_lookup(xfc_node *n, lookup *k) {
    *k = (lookup){.table = n->in[0], .scale = n->in[2], .zero = xfc_node_in(n, 3)};
    const xfc_type *t = &k->table->type;
    const bool code = xfc_dtype_is_code(t->dtype), packed = t->dtype == XFC_U8;
    k->bits = packed ? xfc_node_int(n, "bits", 4) : 8;
    k->block = xfc_node_int(n, "block_size", 128);
    k->at = xfc_node_axis(n, xfc_node_int(n, "gather_axis", 0), t->rank);
    k->along = xfc_node_axis(n, xfc_node_int(n, "quantize_axis", 1), t->rank);
    if (n->status != XFC_OK) return false;
    if ((k->bits != 2 && k->bits != 4 && k->bits != 8) || k->block < !code || k->block > XFC_DIM_MAX ||
        (!xfc_dtype_is_int(t->dtype) && !code) || !xfc_dtype_is_float(k->scale->type.dtype) ||
        (packed && (k->at + 1 == t->rank || k->along + 1 != t->rank)))
        return xfc_node_fail(
                   n, XFC_ERR_UNSUPPORTED,
                   "needs numbers of 2, 4 or 8 bits, or floats of 8 bits or fewer, and floating scales; bytes that hold "
                   "several along the last axis, which is that of the blocks and not looked up along"),
               false;
    if (k->zero && (code || k->zero->type.dtype != t->dtype))
        return xfc_node_fail(n, XFC_ERR_INPUT, "zero points '%s' are %s, but belong to %s; quantize the model again",
                             xfc_node_in_name(n, 3), xfc_dtype_name(k->zero->type.dtype), xfc_dtype_name(t->dtype)),
               false;
    if (code && !(k->scale = spread_scale(n, k))) return false;
    return read_index(n, t->dim[k->at], k);
}

/* table, indices, scales, zero points. A table in u8 is packed along its last dim. Along the axis of the blocks all of it is made
 * floats first. */
void xfc_import_gather_block_quantized(xfc_node *n) {
    lookup k;
    if (!read_lookup(n, &k)) return;
    const bool whole = k.at == k.along, packed = k.table->type.dtype == XFC_U8;
    if (!whole) {
        k.table = xfc_n_gather(n, k.table, k.index, k.at);
        k.scale = xfc_n_gather(n, k.scale, k.index, k.at);
        k.zero = xfc_n_gather(n, k.zero, k.index, k.at);
    }
    const uint32_t moved = !whole && k.along > k.at ? k.along + n->in[1]->type.rank - 1 : k.along;
    xfc_quant q = {.scale = k.scale, .axis = moved, .block = k.block};
    xfc_value *v = xfc_n_split_bits(n, k.table, k.bits);
    if (!v || !q.scale) return;
    if (xfc_node_has(n, 3)) {
        q.zero = xfc_n_split_bits(n, k.zero, k.bits);
        if (packed) q.zero = xfc_n_first_columns(n, q.zero, q.scale->type.dim[q.scale->type.rank - 1]);
        if (!q.zero) return;
    } else if (packed) {
        q.zero = xfc_b_scalar_i(n->b, v->type.dtype, INT64_C(1) << (k.bits - 1));
    }
    v = xfc_n_dequantize(n, v, &q, q.scale->type.dtype);
    n->out[0] = found(n, &k, whole ? xfc_n_gather(n, v, k.index, k.at) : v);
}

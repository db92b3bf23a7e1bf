/* parse_data.c - the data of constants: literal lists, references to the pool, and data made up for tests.
 *
 *   1.5   [1, 2, -inf, 0x7fc00001]   data 17   file 64 0x0123   zeros   random 42
 *
 * (hash 0123 is refused: it names data that is nowhere.)
 *
 * Nothing is allocated for a size that the text cannot fill; what zeros and random make is bounded for the whole text.
 */
#include "ir/text/parse_impl.h"

#include <math.h>
#include <string.h>

static void put_bits(void *data, xfc_dtype t, int64_t i, uint64_t bits) {
    uint32_t bytes = xfc_dtype_bytes(t);
    memcpy((char *)data + (size_t)i * bytes, &bits, bytes); /* little-endian hosts only, as all of xfc */
}

static bool fits(uint64_t magnitude, bool negative, xfc_dtype t) {
    uint32_t bits = xfc_dtype_bits(t);
    if (xfc_dtype_class(t) == XFC_CLASS_BOOL) return magnitude <= 1 && (!negative || magnitude == 0);
    if (xfc_dtype_class(t) != XFC_CLASS_SINT)
        return (!negative || magnitude == 0) && (bits == 64 || magnitude >> bits == 0);
    return magnitude <= (UINT64_C(1) << (bits - 1)) - !negative;
}

static bool element(xfc_parser *p, void *data, xfc_dtype t, int64_t i) {
    bool is_float = xfc_dtype_is_float(t), hex = p->tok.kind == XFC_TOK_INT && p->tok.n > 1 && p->tok.start[1] == 'x';
    double v;
    if (is_float && hex) { /* raw bits: a NaN with its payload */
        uint32_t bits = xfc_dtype_bytes(t) * 8;
        if (p->tok.big || (bits < 64 && p->tok.bits >> bits))
            return xfc_ps_fail(p, "more bits than a %s has", xfc_dtype_name(t));
        put_bits(data, t, i, p->tok.bits);
        xfc_ps_next(p);
        return !p->failed;
    }
    if (is_float) {
        if (!xfc_ps_f64(p, &v)) return false;
        xfc_element_set_f(t, data, i, v);
        return true;
    }
    bool negative = xfc_ps_take(p, '-');
    if (p->tok.kind != XFC_TOK_INT) return xfc_ps_expected(p, "an integer");
    if (p->tok.big || !fits(p->tok.bits, negative, t))
        return xfc_ps_fail(p, "the number does not fit %s", xfc_dtype_name(t));
    xfc_element_set_i(t, data, i, (int64_t)(negative ? 0 - p->tok.bits : p->tok.bits));
    xfc_ps_next(p);
    return !p->failed;
}

static bool literal(xfc_parser *p, const xfc_type *t, int64_t count, void *data) {
    if (t->rank == 0) return element(p, data, t->dtype, 0);
    if (!xfc_ps_need(p, '[')) return false;
    for (int64_t i = 0; i < count; i++)
        if ((i && !xfc_ps_need(p, ',')) || !element(p, data, t->dtype, i)) return false;
    return xfc_ps_need(p, ']');
}

static uint64_t random_bits(uint64_t *state) { /* SplitMix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Floats in [-1, 1), integers in 0..15, bools. */
static void fill_random(void *data, xfc_dtype t, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t r = random_bits(&seed);
        if (xfc_dtype_is_float(t))
            xfc_element_set_f(t, data, i, ldexp((double)(r >> 40), -23) - 1.0);
        else
            xfc_element_set_i(t, data, i, (int64_t)(xfc_dtype_class(t) == XFC_CLASS_BOOL ? r >> 63 : r >> 60));
    }
}

static bool from_pool(xfc_parser *p, const xfc_type *t, const int64_t *dim, const xfc_tensor **out) {
    uint32_t id;
    if (!xfc_ps_u32(p, "the number of a constant", &id)) return false;
    if (id >= xfc_tensor_pool_size(p->ctx))
        return xfc_ps_fail(p, "there is no constant %u in this run; it was printed by another", (unsigned)id);
    const xfc_tensor *c = xfc_tensor_at(p->ctx, id);
    bool same = c->dtype == t->dtype && c->rank == t->rank;
    for (uint32_t d = 0; same && d < t->rank; d++) same = c->dim[d] == dim[d];
    if (!same) return xfc_ps_fail(p, "constant %u has another type than the text says", (unsigned)id);
    *out = c;
    return true;
}

static bool data_number(xfc_parser *p, const char *what, uint64_t *out) {
    if (p->tok.kind != XFC_TOK_INT || p->tok.big) return xfc_ps_expected(p, what);
    *out = p->tok.bits;
    xfc_ps_next(p);
    return !p->failed;
}

/* In place: however often a text names the same bytes, they are there once. */
static bool from_file(xfc_parser *p, const xfc_type *t, const int64_t *dim, size_t bytes, const char *name,
                      const xfc_tensor **out) {
    uint64_t offset = 0, hash = 0;
    if (!data_number(p, "an offset", &offset) || !data_number(p, "a hash", &hash)) return false;
    if (!p->data_file) return xfc_ps_fail(p, "the text names no data file; write `data \"FILE\"` in front of '{'");
    if (offset % 64 || offset > p->data_bytes || bytes > p->data_bytes - offset)
        return xfc_ps_fail(p, "%llu holds no constant of %zu bytes in the data file '%s' of %zu",
                           (unsigned long long)offset, bytes, p->data_file, p->data_bytes);
    *out = xfc_tensor_new(p->ctx, t->dtype, t->rank, dim, (const char *)p->data + offset, name);
    if (xfc_tensor_hash(p->ctx, *out) == hash) return true;
    return xfc_ps_fail(p, "the data file '%s' is not the one that was written with this text", p->data_file);
}

static bool made(xfc_parser *p, const xfc_type *t, const int64_t *dim, int64_t count, size_t bytes, void **data) {
    uint64_t seed = 0;
    bool random = xfc_ps_is_word(p, "random");
    if (bytes > XFC_PARSE_MADE_BYTES - p->made_bytes)
        return xfc_ps_fail(p, "zeros and random make at most %d bytes in one text", (int)XFC_PARSE_MADE_BYTES);
    p->made_bytes += bytes;
    xfc_ps_next(p);
    if (random) {
        if (p->tok.kind != XFC_TOK_INT || p->tok.big) return xfc_ps_expected(p, "a seed");
        seed = p->tok.bits;
        xfc_ps_next(p);
    }
    *data = xfc_tensor_alloc(p->ctx, t->dtype, t->rank, dim);
    if (random) fill_random(*data, t->dtype, count, seed);
    return !p->failed;
}

bool xfc_ps_data(xfc_parser *p, const xfc_type *t, const char *name, const xfc_tensor **out) {
    int64_t dim[XFC_MAX_RANK], count;
    size_t bytes;
    void *data = NULL;
    for (uint32_t d = 0; d < t->rank; d++)
        if (!xfc_int_value(p->ctx, t->dim[d], &dim[d])) return xfc_ps_fail(p, "a constant needs numbers for dims");
    if (!xfc_tensor_count(t->dtype, t->rank, dim, &count, &bytes)) return xfc_ps_fail(p, "a constant is too large");
    if (xfc_ps_take_word(p, "data")) return from_pool(p, t, dim, out);
    if (xfc_ps_take_word(p, "file")) return from_file(p, t, dim, bytes, name, out);
    if (xfc_ps_is_word(p, "hash"))
        return xfc_ps_fail(
            p, "`hash` stands for data that is not in the text; write it with --data=inline or --data=FILE");
    if (xfc_ps_is_word(p, "zeros") || xfc_ps_is_word(p, "random")) {
        if (!made(p, t, dim, count, bytes, &data)) return false;
    } else {
        if ((uint64_t)count > (uint64_t)(p->end - p->tok.start))
            return xfc_ps_fail(p, "the list is shorter than the type");
        data = xfc_tensor_alloc(p->ctx, t->dtype, t->rank, dim);
        if (!literal(p, t, count, data)) return false;
    }
    *out = xfc_tensor_new(p->ctx, t->dtype, t->rank, dim, data, name);
    return true;
}

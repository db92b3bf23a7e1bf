/* shape_math.c - products and exact quotients of dims, for Reshape's -1 and its relatives.
 *
 * The integer algebra keeps a quotient opaque when the divisor may be 0, and dims may be. Reshape's -1 asks another
 * question: which dim makes both element counts equal. There equal factors cancel whatever they are, as ONNX leaves the
 * case of a zero dim beside a -1 undefined.
 */
#include "frontend/onnx/import.h"

xfc_int xfc_dims_product(xfc_ctx *c, const xfc_int *dim, uint32_t n) {
    xfc_int p = xfc_int_const(c, 1);
    for (uint32_t i = 0; i < n; i++) p = xfc_int_mul(c, p, dim[i]);
    return p;
}

typedef struct {
    int64_t coeff;
    uint32_t n;
    xfc_int atom[2 * XFC_MAX_RANK];
} monomial;

static bool read_term(int64_t coeff, const xfc_int *atom, uint32_t n, monomial *out) {
    if (n > XFC_COUNT(out->atom)) return false;
    *out = (monomial){.coeff = coeff, .n = n};
    for (uint32_t i = 0; i < n; i++) out->atom[i] = atom[i];
    return true;
}

static bool read_monomial(const xfc_ctx *c, xfc_int e, monomial *out) {
    const xfc_int_info *info = xfc_int_look(c, e);
    if (info->kind == XFC_INT_CONST) return read_term(info->value, NULL, 0, out);
    if (info->kind != XFC_INT_SUM) return read_term(1, &e, 1, out);
    return info->n_terms == 1 && read_term(info->term[0].coeff, info->term[0].atom, info->term[0].n, out);
}

/* a / b, true iff it divides. */
static bool divide_monomial(xfc_ctx *c, monomial a, const monomial *b, xfc_int *out) {
    if (b->coeff == 0 || a.coeff % b->coeff != 0) return false;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t k = 0;
        while (k < a.n && !xfc_int_same(a.atom[k], b->atom[i])) k++;
        if (k == a.n) return false;
        a.atom[k] = a.atom[--a.n];
    }
    *out = xfc_int_mulc(c, xfc_dims_product(c, a.atom, a.n), a.coeff / b->coeff);
    return true;
}

static bool divide_sum(xfc_ctx *c, xfc_int num, const monomial *den, xfc_int *out) {
    monomial m;
    if (read_monomial(c, num, &m)) return divide_monomial(c, m, den, out);
    const xfc_int_info *info = xfc_int_look(c, num);
    *out = xfc_int_const(c, 0);
    for (uint32_t i = 0; i < info->n_terms; i++) {
        xfc_int part;
        if (!read_term(info->term[i].coeff, info->term[i].atom, info->term[i].n, &m) ||
            !divide_monomial(c, m, den, &part))
            return false;
        *out = xfc_int_add(c, *out, part);
        info = xfc_int_look(c, num); /* building expressions may move the table */
    }
    return true;
}

xfc_int xfc_dims_divide(xfc_ctx *c, const xfc_int *num, uint32_t n_num, const xfc_int *den, uint32_t n_den) {
    xfc_int left[XFC_MAX_RANK], below[XFC_MAX_RANK];
    uint32_t n_left = 0, n_below = 0;
    for (uint32_t i = 0; i < n_num; i++) left[n_left++] = num[i];
    for (uint32_t i = 0; i < n_den; i++) {
        uint32_t k = 0;
        while (k < n_left && !xfc_int_same(left[k], den[i])) k++;
        if (k < n_left)
            left[k] = left[--n_left];
        else
            below[n_below++] = den[i];
    }
    xfc_int a = xfc_dims_product(c, left, n_left), b = xfc_dims_product(c, below, n_below), q;
    monomial m;
    if (read_monomial(c, b, &m) && divide_sum(c, a, &m, &q)) return q;
    return xfc_int_floordiv(c, a, b);
}

xfc_int xfc_dim_broadcast(xfc_ctx *c, xfc_int a, xfc_int b) {
    int64_t x, y;
    if (xfc_int_same(a, b) || xfc_int_is(c, b, 1)) return a;
    if (xfc_int_is(c, a, 1)) return b;
    if (xfc_int_value(c, a, &x)) return a;
    if (xfc_int_value(c, b, &y)) return b;
    return xfc_int_max(c, a, b);
}

/* shape_math.c - products and exact quotients of dims, for Reshape's -1 and its relatives.
 *
 * The integer algebra keeps a quotient opaque when the divisor may be 0, and dims may be. Reshape's -1 asks another
 * question: which dim makes both element counts equal. There equal factors cancel whatever they are, as ONNX leaves the
 * case of a zero dim beside a -1 undefined.
 *
 * torch's exporters write // as Div, which truncates. (n - 3) // 2 of a size n then is floor or ceiling by its sign,
 * and would never be recognised as the size that a convolution has. Where such an expression is used as a size, the
 * sign is settled: a negative quotient is no size.
 */
#include "frontend/onnx/import.h"

xfc_int xfc_dims_product(xfc_ctx *c, const xfc_int *dim, uint32_t n) {
    xfc_int p = xfc_int_const(c, 1);
    for (uint32_t i = 0; i < n; i++) p = xfc_int_mul(c, p, dim[i]);
    return p;
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
    return xfc_int_exact(c, a, b, &q) ? q : xfc_int_floordiv(c, a, b);
}

/* max(q, 0) or max(q, min(0, ..)) where q holds a quotient: how the content of a Div of what may be negative looks. */
static bool is_truncation(const xfc_ctx *c, const xfc_int_info *max, xfc_int *quotient) {
    for (int side = 0; side < 2; side++) {
        xfc_int q = side ? max->a : max->b, bound = side ? max->b : max->a;
        const xfc_int_info *b = xfc_int_look(c, bound), *i = xfc_int_look(c, q);
        bool zero = b->kind == XFC_INT_MIN ? xfc_int_is(c, b->a, 0) || xfc_int_is(c, b->b, 0) : xfc_int_is(c, bound, 0);
        bool holds = i->kind == XFC_INT_FLOORDIV;
        for (uint32_t t = 0; i->kind == XFC_INT_SUM && t < i->n_terms; t++)
            holds = holds || (i->term[t].n == 1 && xfc_int_look(c, i->term[t].atom[0])->kind == XFC_INT_FLOORDIV);
        *quotient = q;
        if (zero && holds) return true;
    }
    return false;
}

enum { MAX_SETTLE = 16 }; /* nesting; deeper ones stay as they are */

static xfc_int settle(xfc_graph *g, xfc_int e, xfc_loc loc, uint32_t depth) {
    xfc_ctx *c = g->ctx;
    const xfc_int_info i = *xfc_int_look(c, e); /* building expressions may move the table */
    xfc_int q, sum = xfc_int_const(c, 0);
    if (depth == MAX_SETTLE || i.kind == XFC_INT_CONST || i.kind == XFC_INT_SYMBOL) return e;
    if (i.kind == XFC_INT_MAX && is_truncation(c, &i, &q)) {
        q = settle(g, q, loc, depth + 1);
        xfc_graph_require_equal(g, xfc_int_max(c, q, sum), q, loc);
        return q;
    }
    if (i.kind == XFC_INT_SUM) {
        for (uint32_t t = 0; t < i.n_terms; t++) {
            xfc_int product = xfc_int_const(c, i.term[t].coeff);
            for (uint32_t k = 0; k < i.term[t].n; k++)
                product = xfc_int_mul(c, product, settle(g, i.term[t].atom[k], loc, depth + 1));
            sum = xfc_int_add(c, sum, product);
        }
        return sum;
    }
    xfc_int a = settle(g, i.a, loc, depth + 1), b = settle(g, i.b, loc, depth + 1);
    if (i.kind == XFC_INT_FLOORDIV) return xfc_dims_divide(c, &a, 1, &b, 1); /* n * size / n is size for n = 0, too */
    if (xfc_int_same(a, i.a) && xfc_int_same(b, i.b)) return e;
    return i.kind == XFC_INT_MOD   ? xfc_int_mod(c, a, b)
           : i.kind == XFC_INT_MIN ? xfc_int_min(c, a, b)
                                   : xfc_int_max(c, a, b);
}

xfc_int xfc_dim_settle(xfc_graph *g, xfc_int e, xfc_loc loc) { return settle(g, e, loc, 0); }

xfc_int xfc_dim_known(const xfc_graph *g, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(g->ctx, e);
    if (i->kind != XFC_INT_MAX) return e;
    for (int side = 0; side < 2; side++) {
        xfc_int q = side ? i->a : i->b;
        if (xfc_int_is(g->ctx, side ? i->b : i->a, 0) && xfc_graph_requires_equal(g, q, e)) return q;
    }
    return e;
}

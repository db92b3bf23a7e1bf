/* index.c - evaluates index expressions for a chunk of lanes at once.
 *
 * Idea: most indices are affine in the lane, so a node is kept as (base, stride) as long as that is exact; only
 * division, modulus, min, max and products of two lane-dependent atoms fall back to one value a lane. Arithmetic wraps
 * and division by zero gives 0: a node may be evaluated before a loop that turns out to be empty, and every access is
 * checked against its buffer anyway.
 */
#include "ir/eval/eval_impl.h"

static int64_t add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static int64_t mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

static int64_t floordiv(int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return (int64_t)(0 - (uint64_t)a);
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static int64_t mod(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int64_t apply(xfc_int_kind kind, int64_t a, int64_t b) {
    if (kind == XFC_INT_FLOORDIV) return floordiv(a, b);
    if (kind == XFC_INT_MOD) return mod(a, b);
    if (kind == XFC_INT_MIN) return a < b ? a : b;
    return a > b ? a : b;
}

static void eval_pair(const xfc_ix *all, xfc_ix *x, uint32_t n) {
    const xfc_ix *a = &all[x->a], *b = &all[x->b];
    if (x->form == XFC_FORM_ONE) {
        x->base = apply(x->kind, a->base, b->base);
        return;
    }
    for (uint32_t k = 0; k < n; k++) x->lane[k] = apply(x->kind, xfc_ix_at(a, k), xfc_ix_at(b, k));
}

/* coeff times the uniform atoms of a term, and its one atom that is a line, if any. */
static int64_t line_term(const xfc_ix *all, const xfc_ix_term *t, int64_t *stride) {
    int64_t base = t->coeff;
    *stride = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        const xfc_ix *atom = &all[t->atom[i]];
        *stride = atom->form == XFC_FORM_LINE ? mul(base, atom->stride) : mul(*stride, atom->base);
        base = mul(base, atom->base);
    }
    return base;
}

static void eval_sum(const xfc_ix *all, xfc_ix *x, uint32_t n) {
    if (x->form != XFC_FORM_LANES) {
        x->base = x->stride = 0;
        for (uint32_t i = 0; i < x->n_terms; i++) {
            int64_t stride, base = line_term(all, &x->term[i], &stride);
            x->base = add(x->base, base);
            x->stride = add(x->stride, stride);
        }
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        int64_t sum = 0;
        for (uint32_t i = 0; i < x->n_terms; i++) {
            int64_t product = x->term[i].coeff;
            for (uint32_t j = 0; j < x->term[i].n; j++) product = mul(product, xfc_ix_at(&all[x->term[i].atom[j]], k));
            sum = add(sum, product);
        }
        x->lane[k] = sum;
    }
}

void xfc_ix_eval(xfc_ix *all, uint32_t node, uint32_t n) {
    xfc_ix *x = &all[node];
    switch (x->kind) {
    case XFC_INT_CONST:
    case XFC_INT_SYMBOL: break; /* set by whoever owns them */
    case XFC_INT_SUM: eval_sum(all, x, n); break;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: eval_pair(all, x, n); break;
    }
}

/* flops.c - how much arithmetic a kernel's tiles do, as one expression over graph symbols: the profile divides it by
 * time.
 *
 * A tile costs 2 * rows * depth * columns in every task, and rows and columns of the last blocks are smaller. The sum
 * over all tasks is taken factor by factor: each outer axis may occur in one factor only, and there in one of the two
 * shapes that blocks have:
 *   even split   floordiv((i + 1) * m, n) - floordiv(i * m, n)       sums to the difference of the ends
 *   cut off      min(w, m - w * i), i < ceildiv(m, w)                sums to m
 * Anything else: no answer rather than a wrong one.
 */
#include "backends/artefact.h"

/* Sum of f over axis `i` in 0 .. n - 1 if f(i) = t(i + 1) - t(i) for the part t that f subtracts. */
static xfc_int sum_split(xfc_ctx *c, xfc_int f, xfc_int i, xfc_int n) {
    const xfc_int_info *info = xfc_int_look(c, f);
    if (info->kind != XFC_INT_SUM) return XFC_INT_NONE;
    xfc_int t = xfc_int_const(c, 0), zero = t, next = xfc_int_addc(c, i, 1);
    for (uint32_t k = 0; k < info->n_terms; k++) {
        if (info->term[k].coeff >= 0) continue;
        xfc_int product = xfc_int_const(c, info->term[k].coeff);
        for (uint32_t a = 0; a < info->term[k].n; a++) product = xfc_int_mul(c, product, info->term[k].atom[a]);
        t = xfc_int_sub(c, t, product);
    }
    xfc_int after = xfc_int_substitute(c, t, &i, &next, 1);
    if (!xfc_int_same(f, xfc_int_sub(c, after, t))) return XFC_INT_NONE;
    return xfc_int_sub(c, xfc_int_substitute(c, t, &i, &n, 1), xfc_int_substitute(c, t, &i, &zero, 1));
}

static xfc_int sum_cut(xfc_ctx *c, xfc_int f, xfc_int i, xfc_int n) {
    const xfc_int_info *info = xfc_int_look(c, f);
    xfc_int slope, m;
    if (info->kind != XFC_INT_MIN) return XFC_INT_NONE;
    for (int swap = 0; swap < 2; swap++) {
        xfc_int w = swap ? info->b : info->a, rest = swap ? info->a : info->b;
        if (xfc_int_uses(c, w, i) || !xfc_int_linear_in(c, rest, i, &slope, &m)) continue;
        bool falls = xfc_int_is(c, xfc_int_add(c, slope, w), 0);
        if (falls && xfc_int_same(n, xfc_int_ceildiv(c, m, w))) return m;
    }
    return XFC_INT_NONE;
}

static xfc_int sum_over(xfc_ctx *c, xfc_int f, const xfc_axis *axis) {
    xfc_int s = sum_split(c, f, axis->symbol, axis->extent);
    return xfc_int_known(s) ? s : sum_cut(c, f, axis->symbol, axis->extent);
}

static bool uses_any(const xfc_ctx *c, const xfc_kernel *k, xfc_int e) {
    for (uint32_t i = 0; i < k->n_axes; i++)
        if (xfc_int_uses(c, e, k->axes[i].symbol)) return true;
    for (uint32_t i = 0; i < k->n_lets; i++)
        if (xfc_int_uses(c, e, k->lets[i].symbol)) return true;
    return false;
}

/* The value of e with the kernel's lets written out; later lets may use earlier ones. */
static xfc_int without_lets(xfc_ctx *c, const xfc_kernel *k, xfc_int e) {
    for (uint32_t i = k->n_lets; i-- > 0;)
        if (!k->lets[i].load) e = xfc_int_substitute(c, e, &k->lets[i].symbol, &k->lets[i].value, 1);
    return e;
}

static xfc_int tile_flops(xfc_ctx *c, const xfc_kernel *k, const xfc_tile *t) {
    xfc_int factor[3] = {without_lets(c, k, t->rows), without_lets(c, k, t->depth), without_lets(c, k, t->columns)};
    xfc_int product = xfc_int_const(c, 2), zero = xfc_int_const(c, 0);
    for (uint32_t a = 0; a < k->n_axes; a++) { /* an axis of one step leaves factors in neither shape of sum_over */
        if (!xfc_int_is(c, k->axes[a].extent, 1)) continue;
        for (uint32_t f = 0; f < XFC_COUNT(factor); f++)
            factor[f] = xfc_int_substitute(c, factor[f], &k->axes[a].symbol, &zero, 1);
    }
    for (uint32_t a = 0; a < k->n_axes; a++) {
        uint32_t users = 0, user = 0;
        for (uint32_t f = 0; f < XFC_COUNT(factor); f++) {
            if (!xfc_int_uses(c, factor[f], k->axes[a].symbol)) continue;
            users++;
            user = f;
        }
        if (users > 1) return XFC_INT_NONE;
        if (users == 1)
            factor[user] = sum_over(c, factor[user], &k->axes[a]);
        else
            product = xfc_int_mul(c, product, k->axes[a].extent);
        if (users == 1 && !xfc_int_known(factor[user])) return XFC_INT_NONE;
    }
    for (uint32_t f = 0; f < XFC_COUNT(factor); f++) {
        if (uses_any(c, k, factor[f])) return XFC_INT_NONE;
        product = xfc_int_mul(c, product, factor[f]);
    }
    return product;
}

xfc_int xfc_kernel_flops(xfc_ctx *c, const xfc_kernel *k) {
    xfc_int sum = XFC_INT_NONE;
    for (uint32_t i = 0; i < k->n_steps; i++) {
        if (k->steps[i].kind != XFC_STEP_TILE) continue;
        xfc_int one = tile_flops(c, k, k->steps[i].u.tile);
        if (!xfc_int_known(one)) return XFC_INT_NONE;
        sum = xfc_int_known(sum) ? xfc_int_add(c, sum, one) : one;
    }
    return sum;
}

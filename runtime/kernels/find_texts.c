/* find_texts.c - which text of a table each text of another one is.
 *
 * Operands: bytes u8 [s], starts i64 [n], lengths i64 [n]; the same of another table, with m texts. Result, i64 [m]: the
 * number of the first text of the first table that has the same bytes, or -1. The first table is sorted once, then
 * looked up by halves.
 */
#include "runtime/kernels/texts.h"

static int before(const void *user, xk_i64 a, xk_i64 b) {
    const xk_texts *t = user;
    xk_i64 n, m;
    const unsigned char *x = xk_text(t, a, &n), *y = xk_text(t, b, &m);
    return xk_text_order(x, n, y, m) < 0;
}

xk_work xk_find_texts_work(const xk_call *c) {
    xk_i64 n = c->array[1].dim[0], most = XK_MOST(xk_i64) / (xk_i64)(2 * sizeof(xk_i64));
    return (xk_work){.tasks = 1, .grain = 1, .scratch = n < most ? n * (xk_i64)(2 * sizeof(xk_i64)) : XK_MOST(xk_i64)};
}

void xk_find_texts(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_texts in = xk_texts_of(c->array), what = xk_texts_of(c->array + 3);
    xk_i64 *at = scratch, *out = c->array[6].data;
    if (begin == end) return;
    for (xk_i64 i = 0; i < in.n; i++) at[i] = i;
    xk_sort(at, at + in.n, in.n, before, &in);
    for (xk_i64 k = 0; k < what.n; k++) {
        xk_i64 low = 0, high = in.n, n, m;
        const unsigned char *text = xk_text(&what, k, &n), *other;
        while (low < high) { /* the first that is not before it */
            xk_i64 middle = low + (high - low) / 2;
            other = xk_text(&in, at[middle], &m);
            if (xk_text_order(other, m, text, n) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        out[k] = -1;
        if (low == in.n) continue;
        other = xk_text(&in, at[low], &m);
        if (xk_text_order(other, m, text, n) == 0) out[k] = at[low];
    }
}

/* reach.c - which keys a mask leaves any weight: attention need not look at the others.
 *
 * Operand: a bias f32 [.., s, t], as attention adds it to its scores. Numbers: the rows of a block and the keys of a panel.
 * Result: i32 [.., blocks, 2], for each block of rows the first panel with a key that any of them sees, and the end of the
 * last one. What makes the mask is not asked: causality, windows, padding and rows of a cache that are not in use yet are all
 * the same here.
 *
 * A key whose bias is more than HIDDEN below the largest of its row has a weight of exactly 0, since exp gives 0 below -104: as
 * long as its score does not exceed that of the best key by 8900, as padding removal takes it too (passes/unpad/mask.c). So a
 * row whose keys are all filled with one number sees all of them. One of minus infinity alone has no weights; a block of
 * such asks for one panel, which says so. NaN hides nothing.
 */
#include "runtime/kernels/routines.h"

#define HIDDEN 9000.0f
#define LEAST (-3.4028235e38f)

typedef struct {
    xk_i64 each, rows, keys;          /* biases of s rows; of each */
    xk_i64 block, panel, blocks, end; /* end: panels of a row */
} sizes;

static sizes sizes_of(const xk_call *c) {
    const xk_array *x = &c->array[0], *y = &c->array[1];
    sizes s = {.each = 1, .rows = x->dim[x->rank - 2], .keys = x->dim[x->rank - 1]};
    s.block = c->number[0].i, s.panel = c->number[1].i;
    s.blocks = y->dim[2], s.end = s.keys / s.panel + (s.keys % s.panel != 0);
    if (!xk_count(y)) return s.each = s.blocks = 0, s;
    for (xk_u32 d = 0; d < 2; d++) s.each *= y->dim[d];
    return s;
}

xk_work xk_reach_work(const xk_call *c) {
    enum { ELEMENTS = 1 << 15 };
    const sizes s = sizes_of(c);
    const xk_i64 rows = ELEMENTS / (s.keys + 1) + 1;
    return (xk_work){.tasks = s.each * s.blocks, .grain = rows / s.block + 1};
}

static float largest(const float *x, xk_i64 n) {
    enum { LANES = 8 };
    float top[LANES];
    xk_i64 i = 0;
    for (int l = 0; l < LANES; l++) top[l] = -__builtin_inff();
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) top[l] = x[i + l] > top[l] ? x[i + l] : top[l];
    for (; i < n; i++) top[0] = x[i] > top[0] ? x[i] : top[0];
    for (int l = 1; l < LANES; l++) top[0] = top[l] > top[0] ? top[l] : top[0];
    return top[0];
}

static xk_i32 is_seen(const float *x, xk_i64 n, float bound) {
    xk_i32 any = 0;
    for (xk_i64 i = 0; i < n; i++) any |= !(x[i] < bound);
    return any;
}

/* Widens at[0] .. at[1] to what the row sees. */
static void meet_row(const sizes *s, const float *x, xk_i64 *at) {
    const float top = largest(x, s->keys), bound = top < LEAST ? LEAST : top - HIDDEN;
    for (xk_i64 p = 0; p < s->end; p++) {
        const xk_i64 first = p * s->panel, left = s->keys - first;
        if (!is_seen(x + first, left < s->panel ? left : s->panel, bound)) continue;
        at[0] = p < at[0] ? p : at[0];
        at[1] = p >= at[1] ? p + 1 : at[1];
    }
}

void xk_reach(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const sizes s = sizes_of(c);
    (void)scratch;
    for (xk_i64 i = begin; i < end; i++) {
        const xk_i64 first = i % s.blocks * s.block, left = s.rows - first, rows = left < s.block ? left : s.block;
        const float *x = (const float *)c->array[0].data + (i / s.blocks * s.rows + first) * s.keys;
        xk_i32 *to = (xk_i32 *)c->array[1].data + i * 2;
        xk_i64 at[2] = {s.end, 0};
        for (xk_i64 r = 0; r < rows; r++) meet_row(&s, x + r * s.keys, at);
        if (at[0] >= at[1]) at[0] = 0, at[1] = s.end > 0;
        to[0] = (xk_i32)at[0], to[1] = (xk_i32)at[1];
    }
}

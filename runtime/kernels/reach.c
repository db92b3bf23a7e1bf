/* reach.c - which keys a mask leaves any weight: attention need not look at the others.
 *
 * Operand: a bias f32 [.., s, t], as attention adds it to its scores. Numbers: the rows of a block and the keys of a panel.
 * Result: i32 [.., blocks, 2], for each block of rows the first panel with a key that any of them sees, and the end of the
 * last one. What makes the mask is not asked: causality, windows, padding and rows of a cache that are not in use yet are all
 * the same here.
 */
#include "runtime/kernels/reach.h"

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

void xk_reach(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const sizes s = sizes_of(c);
    (void)scratch;
    for (xk_i64 i = begin; i < end; i++) {
        const xk_i64 first = i % s.blocks * s.block, left = s.rows - first, rows = left < s.block ? left : s.block;
        const float *x = (const float *)c->array[0].data + (i / s.blocks * s.rows + first) * s.keys;
        xk_i32 *to = (xk_i32 *)c->array[1].data + i * 2;
        xk_i64 at[2] = {s.end, 0};
        for (xk_i64 r = 0; r < rows; r++) meet_row(x + r * s.keys, s.keys, s.panel, at);
        store_reach(at, s.keys, to);
    }
}

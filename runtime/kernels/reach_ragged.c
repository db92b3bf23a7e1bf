/* reach_ragged.c - reach (reach.c) of sequences that stand one behind the other: keys are counted from the sequence's first.
 *
 * Operands: a bias f32 [1 or n, 1, 1 or s, s] by positions, cu i32 [n + 1], where each sequence begins, tasks i32 [m, 2], the
 * sequence and the first row of each block, and pos i32 [t], the position of each row. Numbers: rows of a block, keys of a panel.
 * Result: i32 [m, 2]. A list that does not fit gives 0: what reads it checks the lists itself.
 */
#include "runtime/kernels/reach.h"

typedef struct {
    xk_i64 n, rows, tasks, size; /* sequences, rows of all, blocks, positions */
    xk_i64 block, panel;
    xk_i64 row, sequence; /* distances in the bias */
} sizes;

static sizes sizes_of(const xk_call *c) {
    const xk_i64 *bias = c->array[0].dim;
    sizes s = {.n = c->array[1].dim[0] - 1, .rows = c->array[3].dim[0], .tasks = c->array[2].dim[0], .size = bias[3]};
    s.block = c->number[0].i, s.panel = c->number[1].i;
    s.row = bias[2] == 1 ? 0 : s.size;
    s.sequence = bias[0] == 1 ? 0 : bias[2] * s.size;
    return s;
}

xk_work xk_reach_ragged_work(const xk_call *c) {
    enum { ELEMENTS = 1 << 14 };
    const sizes s = sizes_of(c);
    const xk_i64 most = XK_MOST(xk_i64) / (xk_i64)sizeof(float);
    return (xk_work){.tasks = s.tasks,
                     .grain = ELEMENTS / (s.size + 1) / s.block + 1,
                     .scratch = s.size < most ? s.size * (xk_i64)sizeof(float) : XK_MOST(xk_i64)};
}

static xk_i64 position(const sizes *s, xk_i32 at) { return at < 0 ? 0 : at < s->size ? at : s->size - 1; }

/* Of rows first .. of the sequence at pos, n rows long, whose biases begin at x. */
static void meet_block(const sizes *s, const float *x, const xk_i32 *pos, xk_i64 first, xk_i64 n, float *row,
                       xk_i64 *at) {
    for (xk_i64 r = first; r < n && r < first + s->block; r++) {
        const float *from = x + position(s, pos[r]) * s->row;
        for (xk_i64 j = 0; j < n; j++) row[j] = from[position(s, pos[j])];
        meet_row(row, n, s->panel, at);
        if (s->row == 0) return; /* the others see the same */
    }
}

void xk_reach_ragged(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const sizes s = sizes_of(c);
    const xk_i32 *cu = c->array[1].data, *tasks = c->array[2].data, *pos = c->array[3].data;
    for (xk_i64 i = begin; i < end; i++) {
        const xk_i64 b = tasks[2 * i], first = tasks[2 * i + 1];
        xk_i64 at[2] = {s.size, 0}, start = 0, n = 0;
        if (b >= 0 && b < s.n) start = cu[b], n = (xk_i64)cu[b + 1] - start;
        if (start < 0 || n < 0 || n > s.size || start + n > s.rows || first < 0) start = n = 0;
        const float *x = (const float *)c->array[0].data + (n ? b * s.sequence : 0);
        if (n) meet_block(&s, x, pos + start, first, n, scratch, at);
        store_reach(at, n, (xk_i32 *)c->array[4].data + 2 * i);
    }
}

/* append.c - rows behind those that are there already: the cache of a decoder.
 *
 * Operands: past [.., p, ..], rows [.., s, ..], alike but for the axis, and first i64 [1], or [b] for each index of dim 0:
 * where the new rows begin; or [1, s] or [b, s]: where each of them goes, the last of those that go to one place. Numbers: the axis, the rows n of the result, and two more. Result: past, with rows from first on;
 * zeros between both, and behind up to the second number; the rest is left as it is. first is kept inside of 0 .. n - s, a place of 0 .. n - 1. A
 * result that begins where past does is the memory of both: there the past is not touched, however large it is, and zeros
 * go up to the third number.
 */
#include "runtime/kernels/routines.h"

typedef struct {
    xk_i64 outer, each; /* indices before the axis; so many have one first */
    xk_i64 past, rows, n, used;
    xk_i64 row; /* bytes */
    const xk_i64 *first;
    int places; /* one for each row */
    const char *from, *new;
    char *to;
    int in_place;
} sizes;

static sizes sizes_of(const xk_call *c) {
    const xk_array *past = &c->array[0], *rows = &c->array[1], *first = &c->array[2], *to = &c->array[3];
    const xk_u32 axis = (xk_u32)c->number[0].i;
    sizes s = {.outer = 1, .row = (past->dtype >> 8 & 0xffu) / 8};
    for (xk_u32 d = 0; d < axis; d++) s.outer *= past->dim[d];
    for (xk_u32 d = axis + 1; d < past->rank; d++) s.row *= past->dim[d];
    s.each = first->dim[0] > 1 ? s.outer / first->dim[0] : s.outer;
    s.past = past->dim[axis], s.rows = rows->dim[axis], s.n = to->dim[axis];
    s.first = first->data, s.places = first->rank == 2, s.from = past->data, s.new = rows->data, s.to = to->data;
    s.in_place = s.to && s.from == s.to;
    s.used = c->number[s.in_place ? 3 : 2].i;
    if (s.used > s.n) s.used = s.n;
    return s;
}

xk_work xk_append_work(const xk_call *c) {
    enum { BYTES = 1 << 16 };
    const sizes s = sizes_of(c);
    const xk_i64 bytes = s.row * (s.rows + (s.in_place ? 0 : s.past));
    return (xk_work){.tasks = xk_count(&c->array[3]) ? s.outer : 0, .grain = BYTES / (bytes + 1) + 1};
}

static void copy(char *restrict to, const char *restrict from, xk_i64 n) {
    for (xk_i64 i = 0; i < n; i++) to[i] = from[i];
}

static void clear(const sizes *s, char *to, xk_i64 begin, xk_i64 end) {
    for (xk_i64 i = begin * s->row; i < end * s->row; i++) to[i] = 0;
}

static xk_i64 inside(xk_i64 at, xk_i64 last) { return at < 0 ? 0 : at > last ? last : at; }

static void store_behind(const sizes *s, char *to, const char *new, xk_i64 first) {
    first = inside(first, s->n - s->rows);
    clear(s, to, s->past, first);
    copy(to + first * s->row, new, s->rows * s->row);
    clear(s, to, first + s->rows, s->used);
}

static void store_each(const sizes *s, char *to, const char *new, const xk_i64 *at) {
    clear(s, to, s->past, s->used);
    for (xk_i64 r = 0; r < s->rows; r++) copy(to + inside(at[r], s->n - 1) * s->row, new + r * s->row, s->row);
}

void xk_append(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const sizes s = sizes_of(c);
    (void)scratch;
    for (xk_i64 i = begin; i < end; i++) {
        char *to = s.to + i * s.n * s.row;
        const char *new = s.new + i * s.rows * s.row;
        const xk_i64 which = s.each > 0 ? i / s.each : 0;
        if (!s.in_place) copy(to, s.from + i * s.past * s.row, s.past * s.row);
        if (s.places)
            store_each(&s, to, new, s.first + which * s.rows);
        else
            store_behind(&s, to, new, s.first[which]);
    }
}

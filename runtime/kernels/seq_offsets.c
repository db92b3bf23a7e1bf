/* seq_offsets.c - where the kept tokens of a padded batch are: from a mask [b, s] to the tables of the ragged program.
 *
 * Operand 0: the mask, kept where it is 1. Numbers: `first` (the first token of every sequence must be kept), `block`
 * (rows of one task), `prefix` (the tokens kept must be the first of their sequence). Results: counts i64 {T, N, B2};
 * cu i32 [b + 1]; tok i32 [b * s]: flat places of kept tokens in order; inv i32 [b, s]: the ragged row of each place,
 * or -1; tasks i32 [b * ceil(s / block), 2]: (sequence, first row), the tasks of longer sequences first. What lies
 * behind T and N is 0.
 *
 * A mask that is none (an element neither 0 nor 1, a token missing at the start or before others, 2^31 places or more)
 * keeps nothing: T and N are 0 and B2, which is 0 otherwise, is b. So the caller's two programs, one over T rows and
 * one over B2 sequences, run one or the other.
 *
 * One task: the mask is read once, into scratch. Sequences are sorted by counting; its two tables stand in inv and tok,
 * which are filled last.
 */
#include "runtime/kernels/routines.h"

enum { NEITHER = 2 }; /* beside 0 and 1 */

typedef struct {
    const unsigned char *keep;   /* the mask: 0, 1 or NEITHER */
    xk_i64 b, s, block, n_tasks; /* n_tasks: rows of tasks */
    xk_i64 *counts;
    xk_i32 *cu, *tok, *inv, *tasks;
} batch;

typedef void read_fn(const void *mask, xk_i64 n, unsigned char *keep);

#define IS_0_SINT(T, x) ((x) == 0)
#define IS_0_UINT(T, x) ((x) == 0)
#define IS_0_FLOAT(T, x) (((x) & XK_MOST(T)) == 0) /* or -0 */
#define IS_0_HALF IS_0_FLOAT
#define XK_TYPE(ID, T, CLASS, code, bits, one, infinity)                                                               \
    static void read_##ID(const void *mask, xk_i64 n, unsigned char *keep) {                                           \
        const T *x = mask;                                                                                             \
        for (xk_i64 i = 0; i < n; i++) keep[i] = x[i] == (one) ? 1 : IS_0_##CLASS(T, x[i]) ? 0 : NEITHER;              \
    }
#include "runtime/kernels/types.def"
#undef XK_TYPE

static read_fn *reader_of(xk_u32 dtype) {
    switch (dtype & 0xffffu) {
#define XK_TYPE(ID, T, CLASS, code, bits, ...)                                                                         \
    case (code) | (bits) << 8: return read_##ID;
#include "runtime/kernels/types.def"
#undef XK_TYPE
    default: return 0;
    }
}

/* Fills cu; false if this is no mask. */
static int count(const batch *q, int first, int prefix) {
    xk_i32 total = 0;
    for (xk_i64 i = 0; i < q->b; i++) {
        q->cu[i] = total;
        for (xk_i64 j = 0; j < q->s; j++) {
            xk_u32 u = q->keep[i * q->s + j];
            if (u == NEITHER || (prefix && u == 1 && total - q->cu[i] != j)) return 0;
            total += (xk_i32)u;
        }
        if (first && (q->s == 0 || q->keep[i * q->s] != 1)) return 0;
    }
    q->cu[q->b] = total;
    return 1;
}

/* Sequences that are not empty, the longest first and else in order; `at` has s entries. Answers how many. */
static xk_i64 sort(const batch *q, xk_i32 *order, xk_i32 *at) {
    xk_i32 n = 0;
    for (xk_i64 j = 0; j < q->s; j++) at[j] = 0;
    for (xk_i64 i = 0; i < q->b; i++)
        if (q->cu[i + 1] > q->cu[i]) at[q->cu[i + 1] - q->cu[i] - 1]++;
    for (xk_i64 j = q->s; j-- > 0;) { /* counts to places */
        xk_i32 same = at[j];
        at[j] = n;
        n += same;
    }
    for (xk_i64 i = 0; i < q->b; i++)
        if (q->cu[i + 1] > q->cu[i]) order[at[q->cu[i + 1] - q->cu[i] - 1]++] = (xk_i32)i;
    return n;
}

static void divide(const batch *q) {
    xk_i64 n = 0, n_sorted = q->b * q->s > 0 ? sort(q, q->tok, q->inv) : 0;
    for (xk_i64 k = 0; k < n_sorted; k++) {
        xk_i32 i = q->tok[k];
        for (xk_i64 row = 0; row < q->cu[i + 1] - q->cu[i]; row += q->block, n++) {
            q->tasks[2 * n] = i;
            q->tasks[2 * n + 1] = (xk_i32)row;
        }
    }
    q->counts[1] = n;
}

static void place(const batch *q) {
    xk_i32 n = 0;
    for (xk_i64 i = 0; i < q->b * q->s; i++) {
        int is_kept = q->keep[i] == 1;
        q->inv[i] = is_kept ? n : -1;
        if (is_kept) q->tok[n++] = (xk_i32)i;
    }
    q->counts[0] = n;
}

static void clear(xk_i32 *to, xk_i64 from, xk_i64 n, xk_i32 value) {
    for (xk_i64 i = from; i < n; i++) to[i] = value;
}

xk_work xk_seq_offsets_work(const xk_call *c) {
    return (xk_work){.tasks = 1, .grain = 1, .scratch = c->array[0].dim[0] * c->array[0].dim[1]};
}

void xk_seq_offsets(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *a = c->array;
    batch q = {.keep = scratch, .b = a[0].dim[0], .s = a[0].dim[1], .block = c->number[1].i, .n_tasks = a[5].dim[0]};
    q.counts = a[1].data, q.cu = a[2].data, q.tok = a[3].data, q.inv = a[4].data, q.tasks = a[5].data;
    xk_i64 all = q.b * q.s;
    (void)begin, (void)end; /* the one task */
    reader_of(a[0].dtype)(a[0].data, all, scratch);
    int is_mask = q.b <= 0x7fffffff && all <= 0x7fffffff && count(&q, c->number[0].i != 0, c->number[2].i != 0);
    q.counts[0] = q.counts[1] = 0;
    q.counts[2] = is_mask ? 0 : q.b;
    if (is_mask) {
        divide(&q);
        place(&q);
    } else {
        clear(q.cu, 0, q.b + 1, 0);
        clear(q.inv, 0, all, -1);
    }
    clear(q.tok, q.counts[0], all, 0);
    clear(q.tasks, 2 * q.counts[1], 2 * q.n_tasks, 0);
}

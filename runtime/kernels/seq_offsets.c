/* seq_offsets.c - where the kept tokens of a padded batch are: from a mask [b, s] to the tables of the packed program.
 *
 * Operand 0: the mask, kept where it is 1. Numbers: `first` (the first token of every sequence must be kept), `block`
 * (rows of one task), `prefix` (the tokens kept must be the first of their sequence). Results: counts i64 {T, N, B2}; cu
 * i32 [b + 1]; tok i32 [b * s]: flat places of kept tokens in order; inv i32 [b, s]: the packed row of each place, or
 * -1; tasks i32 [b * ceil(s / block), 2]: (sequence, first row), the tasks of longer sequences first. What lies behind T
 * and N is 0.
 *
 * A mask that is none (an element neither 0 nor 1, a token missing at the start or before others, 2^31 places or more)
 * keeps nothing: T and N are 0 and B2, which is 0 otherwise, is b. So the caller's two programs, one over T rows and one
 * over B2 sequences, run one or the other.
 *
 * Sequences are sorted by counting; its two tables stand in inv and tok, which are filled last.
 */
#include "runtime/kernels/routines.h"

enum { CODE_FLOAT = 2, CODE_BFLOAT = 4 }; /* of xk_array.dtype */
enum { NEITHER = 2 };

typedef struct {
    const xk_array *mask;
    xk_i64 b, s, block, n_tasks; /* n_tasks: rows of tasks */
    xk_i64 *counts;
    xk_i32 *cu, *tok, *inv, *tasks;
} batch;

XK xk_u32 bit_of_f64(double f) { return f >= 1.0 && f <= 1.0 ? 1 : f >= 0.0 && f <= 0.0 ? 0 : NEITHER; }
XK xk_u32 bit_of_int(xk_i64 v) { return v == 0 || v == 1 ? (xk_u32)v : NEITHER; }
XK xk_u32 bit_of_half(xk_u32 u, xk_u32 one) { return u == one ? 1 : u == 0 || u == 0x8000u ? 0 : NEITHER; }

/* Element i of the mask: 0, 1 or NEITHER. */
XK xk_u32 bit(const xk_array *mask, xk_i64 i) {
    xk_u32 code = mask->dtype & 0xffu, bits = mask->dtype >> 8 & 0xffu;
    if (bits == 8) return bit_of_int(((const unsigned char *)mask->data)[i]);
    if (bits == 16) {
        xk_u32 u = ((const unsigned short *)mask->data)[i];
        if (code == CODE_FLOAT) return bit_of_half(u, 0x3c00u);
        return code == CODE_BFLOAT ? bit_of_half(u, 0x3f80u) : bit_of_int(u);
    }
    if (bits == 32 && code == CODE_FLOAT) return bit_of_f64((double)((const float *)mask->data)[i]);
    if (bits == 32) return bit_of_int(((const xk_i32 *)mask->data)[i]);
    return code == CODE_FLOAT ? bit_of_f64(((const double *)mask->data)[i])
                              : bit_of_int(((const xk_i64 *)mask->data)[i]);
}

/* Fills cu; false if this is no mask. */
static int count(const batch *q, int first, int prefix) {
    xk_i32 total = 0;
    for (xk_i64 i = 0; i < q->b; i++) {
        q->cu[i] = total;
        for (xk_i64 j = 0; j < q->s; j++) {
            xk_u32 u = bit(q->mask, i * q->s + j);
            if (u == NEITHER || (prefix && u == 1 && total - q->cu[i] != j)) return 0;
            total += (xk_i32)u;
        }
        if (first && (q->s == 0 || bit(q->mask, i * q->s) != 1)) return 0;
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
        int is_kept = bit(q->mask, i) == 1;
        q->inv[i] = is_kept ? n : -1;
        if (is_kept) q->tok[n++] = (xk_i32)i;
    }
    q->counts[0] = n;
}

static void clear(xk_i32 *to, xk_i64 from, xk_i64 n, xk_i32 value) {
    for (xk_i64 i = from; i < n; i++) to[i] = value;
}

void xk_seq_offsets(const xk_call *c) {
    const xk_array *a = c->array;
    batch q = {.mask = &a[0], .b = a[0].dim[0], .s = a[0].dim[1], .block = c->number[1], .n_tasks = a[5].dim[0]};
    q.counts = a[1].data, q.cu = a[2].data, q.tok = a[3].data, q.inv = a[4].data, q.tasks = a[5].data;
    xk_i64 all = q.b * q.s;
    int is_mask = q.b <= 0x7fffffff && all <= 0x7fffffff && count(&q, c->number[0] != 0, c->number[2] != 0);
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

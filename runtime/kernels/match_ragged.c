/* match_ragged.c - where tokens of sequences of different lengths go when those that are nearest to another one merge
 * with it.
 *
 * Operands: x f32 [rows, width], directions of length 1 (or 0); cu i32 [b + 1]: sequence i is rows cu[i] .. cu[i + 1].
 * Numbers: `ratio`, the thousandths of a sequence's tokens that merge at most; `threshold`, the least cosine of those
 * that do; how many tokens at the front and at the end of each sequence are protected: they merge with none. Results:
 * place i32 [rows], where each token goes within its sequence; left i32 [b], how many places that has. The order is that
 * of match_scores, each sequence by itself; the protected ones at its end stay there, and a sequence of which no token
 * goes stays as it is. NaN counts as less than any number.
 *
 * A task is a sequence; the last one has the rows of none. Where cu is no list of sequences, no row has a place. Scores
 * are computed where they are compared and stand nowhere.
 */
#include "runtime/kernels/pairs.h"

enum { LANES = 8, TOGETHER = 4 };

typedef struct {
    const float *x;
    const xk_i32 *cu;
    xk_i64 rows, width, b, ratio, front, back;
    double threshold;
} batch;

typedef struct { /* a sequence: its tokens first .. end - 1 are not protected */
    const float *x;
    xk_i64 width, n, first, end, most;
} sequence;

static int is_list(const batch *q) {
    if (q->cu[0] != 0 || q->cu[q->b] > q->rows) return 0;
    for (xk_i64 i = 0; i < q->b; i++)
        if (q->cu[i] > q->cu[i + 1]) return 0;
    return 1;
}

/* sum[k] = a . b[k], the rows of b a stride apart. */
static void dot(const float *a, const float *b, xk_i64 stride, xk_i64 width, float *sum) {
    float part[TOGETHER][LANES] = {{0}};
    xk_i64 i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int k = 0; k < TOGETHER; k++)
            for (int l = 0; l < LANES; l++) part[k][l] += a[i + l] * b[k * stride + i + l];
    for (; i < width; i++)
        for (int k = 0; k < TOGETHER; k++) part[k][0] += a[i] * b[k * stride + i];
    for (int k = 0; k < TOGETHER; k++)
        sum[k] = ((part[k][0] + part[k][4]) + (part[k][2] + part[k][6])) +
                 ((part[k][1] + part[k][5]) + (part[k][3] + part[k][7]));
}

/* Rows before the last odd ones stand in for those behind it: they were seen. */
static xk_pair best_of(const sequence *s, xk_i64 token) {
    xk_i64 first = s->first | 1, n = (s->end - first + 1) / 2, step = n < TOGETHER ? 1 : TOGETHER;
    xk_pair best = {-__builtin_inff(), (xk_i32)token, (xk_i32)first};
    for (xk_i64 j = 0; j < n; j += step) {
        xk_i64 from = step == 1 || j + step <= n ? j : n - step;
        float score[TOGETHER];
        dot(s->x + token * s->width, s->x + (first + 2 * from) * s->width, step == 1 ? 0 : 2 * s->width, s->width,
            score);
        for (xk_i64 k = 0; k < step; k++)
            if (score[k] > best.score) best.score = score[k], best.partner = (xk_i32)(first + 2 * (from + k));
    }
    return best;
}

/* The pairs that merge, in no order; answers how many. */
static xk_i64 find(const sequence *s, double threshold, xk_pair *pair) {
    xk_i64 n = 0, seen = 0;
    for (xk_i64 i = s->first + (s->first & 1); i < s->end && s->most > 0; i += 2)
        xk_pair_offer(pair, seen++, s->most, best_of(s, i));
    for (xk_i64 i = 0; i < s->most; i++)
        if ((double)pair[i].score >= threshold) pair[n++] = pair[i];
    return n;
}

static xk_i32 match(const sequence *s, double threshold, xk_pair *pair, xk_i32 *place) {
    xk_i64 n = find(s, threshold, pair), next = 0;
    for (xk_i64 i = 0; i < s->n; i++) place[i] = n > 0 ? 0 : (xk_i32)i;
    if (n == 0) return (xk_i32)s->n;
    for (xk_i64 i = 0; i < n; i++) place[pair[i].token] = -1;
    for (xk_i64 i = 0; i < s->first; i++) place[i] = (xk_i32)next++;
    for (xk_i64 odd = 0; odd < 2; odd++)
        for (xk_i64 i = s->first + ((s->first ^ odd) & 1); i < s->end; i += 2)
            if (place[i] == 0) place[i] = (xk_i32)next++;
    for (xk_i64 i = s->end; i < s->n; i++) place[i] = (xk_i32)next++;
    for (xk_i64 i = 0; i < n; i++) place[pair[i].token] = place[pair[i].partner];
    return (xk_i32)next;
}

static sequence sequence_of(const batch *q, xk_i64 i) {
    sequence s = {.x = q->x + q->cu[i] * q->width, .width = q->width, .n = q->cu[i + 1] - q->cu[i]};
    s.first = q->front < s.n ? q->front : s.n;
    s.end = q->back < s.n - s.first ? s.n - q->back : s.first;
    s.most = s.n * q->ratio / 1000;
    if (s.most > (s.end - s.first) / 2) s.most = (s.end - s.first) / 2;
    return s;
}

xk_work xk_match_ragged_work(const xk_call *c) {
    return (xk_work){
        .tasks = c->array[3].dim[0] + 1, .grain = 1, .scratch = (xk_i64)sizeof(xk_pair) * (c->array[0].dim[0] / 2 + 1)};
}

void xk_match_ragged(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *a = c->array;
    const batch q = {a[0].data,      a[1].data,      a[0].dim[0],    a[0].dim[1],   a[3].dim[0],
                     c->number[0].i, c->number[2].i, c->number[3].i, c->number[1].f};
    xk_i32 *place = a[2].data, *left = a[3].data;
    int known = is_list(&q);
    for (xk_i64 i = begin; i < end; i++) {
        if (i == q.b) {
            for (xk_i64 row = known ? q.cu[q.b] : 0; row < q.rows; row++) place[row] = -1;
        } else if (known) {
            const sequence s = sequence_of(&q, i);
            left[i] = match(&s, q.threshold, scratch, place + q.cu[i]);
        } else {
            left[i] = 0;
        }
    }
}

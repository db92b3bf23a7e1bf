/* match_scores.c - where tokens go when the r of them that are nearest to another one merge with it.
 *
 * Operand 0: scores f32 [b, even, odd] of the tokens at even positions with those at odd ones, of which there are as
 * many or one fewer. Numbers: r, and how many tokens at the front are protected: they merge with none. Result: i32 [b,
 * even + odd], where each token goes. The protected ones stay in front; behind them come the even tokens that are left,
 * then the odd ones, each in order.
 *
 * A token's partner is the odd one with its largest score, the first of equals. Those r even tokens merge whose largest
 * scores are the largest; of equal ones the first. NaN counts as less than any number.
 */
#include "runtime/kernels/pairs.h"

typedef struct {
    xk_i64 even, odd, r, protect;
} sizes;

static sizes sizes_of(const xk_call *c) {
    sizes s = {c->array[0].dim[1], c->array[0].dim[2], c->number[0].i, c->number[1].i};
    if (s.protect > s.even + s.odd) s.protect = s.even + s.odd;
    xk_i64 may_go = s.even - (s.protect + 1) / 2;
    if (s.odd - s.protect / 2 < 1) may_go = 0;
    if (s.r > may_go) s.r = may_go;
    return s;
}

static xk_pair best_of(const float *score, const sizes *s, xk_i64 token) {
    const float lowest = -__builtin_inff();
    xk_pair best = {lowest, (xk_i32)token, (xk_i32)(s->protect / 2)};
    for (xk_i64 i = s->protect / 2; i < s->odd; i++)
        if (score[i] > best.score) best.score = score[i], best.partner = (xk_i32)i;
    return best;
}

/* The r best pairs, in no order. */
static void find(const float *scores, const sizes *s, xk_pair *best) {
    xk_i64 first = (s->protect + 1) / 2;
    for (xk_i64 i = first; i < s->even && s->r > 0; i++)
        xk_pair_offer(best, i - first, s->r, best_of(scores + i * s->odd, s, i));
}

xk_work xk_match_scores_work(const xk_call *c) {
    enum { ELEMENTS = 1 << 14 };
    const xk_array *x = &c->array[0];
    xk_work work = {.tasks = x->dim[0], .grain = ELEMENTS / (x->dim[1] * x->dim[2] + 1) + 1};
    work.scratch = (xk_i64)sizeof(xk_pair) * x->dim[1];
    return work;
}

void xk_match_scores(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const sizes s = sizes_of(c);
    const float *scores = c->array[0].data;
    xk_pair *goes = scratch;
    for (xk_i64 b = begin; b < end; b++) {
        xk_i32 *to = (xk_i32 *)c->array[1].data + b * (s.even + s.odd);
        xk_i64 next = s.protect;
        find(scores + b * s.even * s.odd, &s, goes);
        for (xk_i64 i = 0; i < s.even + s.odd; i++) to[i] = i < s.protect ? (xk_i32)i : 0;
        for (xk_i64 i = 0; i < s.r; i++) to[2 * goes[i].token] = -1;
        for (xk_i64 i = (s.protect + 1) / 2; i < s.even; i++)
            if (to[2 * i] == 0) to[2 * i] = (xk_i32)next++;
        for (xk_i64 i = s.protect / 2; i < s.odd; i++) to[2 * i + 1] = (xk_i32)next++;
        for (xk_i64 i = 0; i < s.r; i++) to[2 * goes[i].token] = to[2 * goes[i].partner + 1];
    }
}

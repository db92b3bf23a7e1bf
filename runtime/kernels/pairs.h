/* pairs.h - which tokens merge: the pairs with the best scores, in a heap with the worst of them on top, so that most of
 * the others are passed by one comparison. */
#ifndef XK_PAIRS_H
#define XK_PAIRS_H
#include "runtime/kernels/routines.h"

typedef struct { /* a token, its partner, their score */
    float score;
    xk_i32 token, partner;
} xk_pair;

/* Is a the better one? Of equal ones the first. */
XK int xk_pair_before(xk_pair a, xk_pair b) { return a.score > b.score || (a.score == b.score && a.token < b.token); }

/* Entry `at` of the heap takes its place among those below. */
XK void xk_pair_sift(xk_pair *heap, xk_i64 at, xk_i64 n) {
    xk_pair moving = heap[at];
    for (xk_i64 child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && xk_pair_before(heap[child], heap[child + 1])) child++;
        if (!xk_pair_before(moving, heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Pair number `seen`, from 0 on, of which the r best are kept. */
XK void xk_pair_offer(xk_pair *heap, xk_i64 seen, xk_i64 r, xk_pair p) {
    if (seen < r) {
        heap[seen] = p;
        for (xk_i64 k = seen == r - 1 ? r / 2 : 0; k-- > 0;) xk_pair_sift(heap, k, r);
    } else if (r > 0 && xk_pair_before(p, heap[0])) {
        heap[0] = p;
        xk_pair_sift(heap, 0, r);
    }
}

#endif

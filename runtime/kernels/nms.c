/* nms.c - boxes that overlap no better one: non-maximum suppression.
 *
 * Operands: boxes f32 [b, n, 4], scores f32 [b, classes, n], the most boxes of a class i64 [1], the overlap from which a
 * box gives way f32 [1], the score that a box must exceed f32 [1]. Numbers: rows of the result for each class, how
 * boxes are written (0: two opposite corners y, x, y, x; 1: centre x, y, width, height). Results: i64 [rows, 3], batch,
 * class and box, in this order and for each class the best first; and i64 [1], how many there are. What stands behind
 * those is 0.
 *
 * Of equal scores the box with the lower number comes first. A score that is NaN exceeds nothing.
 */
#include "runtime/kernels/keys.h"

typedef struct {
    float low[2], high[2];
} box;

static box box_of(const float *b, int by_centre) {
    box r;
    for (int i = 0; i < 2; i++) {
        float p = by_centre ? b[i] - b[2 + i] / 2 : b[i], q = by_centre ? b[i] + b[2 + i] / 2 : b[2 + i];
        int turned = !by_centre && p > q;
        r.low[i] = turned ? q : p, r.high[i] = turned ? p : q;
    }
    return r;
}

static int overlaps(const box *a, const box *b, float limit) {
    float shared = 1, area_a = 1, area_b = 1;
    for (int i = 0; i < 2; i++) {
        float low = a->low[i] > b->low[i] ? a->low[i] : b->low[i];
        float high = a->high[i] < b->high[i] ? a->high[i] : b->high[i];
        if (!(high > low)) return 0;
        shared *= high - low;
        area_a *= a->high[i] - a->low[i], area_b *= b->high[i] - b->low[i];
    }
    float all = area_a + area_b - shared;
    return shared > 0 && area_a > 0 && area_b > 0 && all > 0 && shared / all > limit;
}

static int better(const void *user, xk_i64 a, xk_i64 b) {
    const float *score = user;
    return score[a] > score[b];
}

typedef struct {
    const float *boxes, *score; /* of one class in one batch */
    xk_i64 n, most;
    float overlap, least;
    int by_centre;
} problem;

/* Numbers of the boxes that are kept to the front of `at`, the best first; answers how many. */
static xk_i64 keep(const problem *p, xk_i64 *at, xk_i64 *spare) {
    xk_i64 n = 0, kept = 0;
    for (xk_i64 i = 0; i < p->n; i++)
        if (p->score[i] > p->least) at[n++] = i;
    xk_sort(at, spare, n, better, p->score);
    for (xk_i64 i = 0; i < n && kept < p->most; i++) {
        box candidate = box_of(p->boxes + 4 * at[i], p->by_centre);
        xk_i64 k = 0;
        for (; k < kept; k++) {
            box other = box_of(p->boxes + 4 * at[k], p->by_centre);
            if (overlaps(&candidate, &other, p->overlap)) break;
        }
        if (k == kept) at[kept++] = at[i];
    }
    return kept;
}

xk_work xk_nms_work(const xk_call *c) {
    xk_i64 n = c->array[0].dim[1], most = XK_MOST(xk_i64) / (xk_i64)(2 * sizeof(xk_i64));
    return (xk_work){.tasks = 1, .grain = 1, .scratch = n < most ? n * (xk_i64)(2 * sizeof(xk_i64)) : XK_MOST(xk_i64)};
}

void xk_nms(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_array *scores = &c->array[1];
    xk_i64 batches = scores->dim[0], classes = scores->dim[1], n = scores->dim[2], rows = c->array[5].dim[0];
    xk_i64 found = 0, *at = scratch, *out = c->array[5].data, most = *(const xk_i64 *)c->array[2].data;
    problem p = {.n = n, .most = most < c->number[0].i ? most : c->number[0].i, .by_centre = c->number[1].i != 0};
    p.overlap = *(const float *)c->array[3].data;
    p.least = *(const float *)c->array[4].data;
    if (begin == end) return;
    for (xk_i64 b = 0; b < batches; b++) {
        p.boxes = (const float *)c->array[0].data + 4 * n * b;
        for (xk_i64 k = 0; k < classes; k++) {
            p.score = (const float *)scores->data + (b * classes + k) * n;
            xk_i64 kept = keep(&p, at, at + n);
            for (xk_i64 i = 0; i < kept; i++, found++)
                out[3 * found] = b, out[3 * found + 1] = k, out[3 * found + 2] = at[i];
        }
    }
    for (xk_i64 i = 3 * found; i < 3 * rows; i++) out[i] = 0;
    *(xk_i64 *)c->array[6].data = found;
}

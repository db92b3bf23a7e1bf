/* merge_tokens.c - tokens that go to one place become their mean, weighted by their masses.
 *
 * Operands: x f32 [b, n, width], to i32 [b, n], mass f32 [b, n]. Number: m. Results: y f32 [b, m, width], y[to[i]] the
 * sum of mass[i] * x[i] divided by the sum of mass[i], in the order of i; and the sums of mass, f32 [b, m]. A token
 * alone stays as it is, to the bit. Tokens that go nowhere (to is outside of 0 .. m - 1) are dropped; a place that
 * nothing goes to is 0.
 *
 * One walk over the tokens: the first that comes to a place begins its sum, the last divides it. A task is a stretch of
 * columns of one batch element, so workers share even a single one.
 */
#include "runtime/kernels/routines.h"

enum { COLUMNS = 128, LANES = 8 };

typedef struct {
    xk_i64 n, m, width, blocks;
} sizes;

static sizes sizes_of(const xk_call *c) {
    const xk_array *x = &c->array[0];
    return (sizes){x->dim[1], c->array[3].dim[1], x->dim[2], (x->dim[2] + COLUMNS - 1) / COLUMNS};
}

typedef enum { COPY, BEGIN, ADD, DIVIDE, CLEAR } step;

/* Whole vectors first: compilers keep a loop of known length in registers. */
#define EACH(expression)                                                                                               \
    do {                                                                                                               \
        xk_i64 i = 0;                                                                                                  \
        for (; i + LANES <= n; i += LANES)                                                                             \
            for (xk_i64 k = i; k < i + LANES; k++) y[k] = (expression);                                                \
        for (xk_i64 k = i; k < n; k++) y[k] = (expression);                                                            \
    } while (0)

static void apply(step what, float *restrict y, const float *restrict x, float by, xk_i64 n) {
    switch (what) {
    case COPY: EACH(x[k]); break;
    case BEGIN: EACH(by * x[k]); break;
    case ADD: EACH(y[k] + by * x[k]); break;
    case DIVIDE: EACH(y[k] / by); break;
    case CLEAR: EACH(0.0f); break;
    }
}

xk_work xk_merge_tokens_work(const xk_call *c) {
    enum { ELEMENTS = 1 << 14 };
    const sizes s = sizes_of(c);
    xk_i64 blocks = s.blocks > 0 ? s.blocks : 1; /* masses are wanted without columns, too */
    return (xk_work){.tasks = c->array[0].dim[0] * blocks,
                     .grain = ELEMENTS / (s.n * COLUMNS + 1) + 1,
                     .scratch = (xk_i64)(sizeof(float) + 2 * sizeof(xk_i32)) * s.m};
}

typedef struct { /* of a place: */
    float mass;
    xk_i32 have, come; /* tokens that go there, and that came so far */
} place;

static void count(const xk_i32 *to, const float *mass, const sizes *s, place *at) {
    for (xk_i64 j = 0; j < s->m; j++) at[j] = (place){0};
    for (xk_i64 i = 0; i < s->n; i++) {
        if (to[i] < 0 || to[i] >= s->m) continue;
        at[to[i]].mass += mass[i];
        at[to[i]].have++;
    }
}

void xk_merge_tokens(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const sizes s = sizes_of(c);
    xk_i64 blocks = s.blocks > 0 ? s.blocks : 1;
    place *at = scratch;
    for (xk_i64 task = begin; task < end; task++) {
        xk_i64 b = task / blocks, first = task % blocks * COLUMNS;
        xk_i64 columns = s.width - first < COLUMNS ? s.width - first : COLUMNS;
        const float *x = (const float *)c->array[0].data + b * s.n * s.width + first;
        const xk_i32 *to = (const xk_i32 *)c->array[1].data + b * s.n;
        const float *mass = (const float *)c->array[2].data + b * s.n;
        float *y = (float *)c->array[3].data + b * s.m * s.width + first;
        if (task == begin || first == 0) count(to, mass, &s, at);
        for (xk_i64 j = 0; j < s.m; j++) {
            if (first == 0) ((float *)c->array[4].data)[b * s.m + j] = at[j].mass;
            if (at[j].have == 0) apply(CLEAR, y + j * s.width, x, 0, columns);
            at[j].come = 0;
        }
        for (xk_i64 i = 0; i < s.n; i++) {
            if (to[i] < 0 || to[i] >= s.m) continue;
            place *p = &at[to[i]];
            float *row = y + to[i] * s.width;
            apply(p->have == 1 ? COPY : p->come == 0 ? BEGIN : ADD, row, x + i * s.width, mass[i], columns);
            if (++p->come == p->have && p->have > 1) apply(DIVIDE, row, x, p->mass, columns);
        }
    }
}

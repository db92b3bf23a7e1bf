/* pursuit.c - batch orthogonal matching pursuit.
 *
 * Each column takes `entries` atoms, one by one: that which fits best to what is left, measured by |c|, c = atoms * rest;
 * then its coefficients are those of least squares over all atoms that were taken. With the products g of the atoms with
 * each other nothing is as long as a column: taking atom j makes a direction q, row j of g less its parts along the
 * directions before, and c loses its part along q. An atom that (nearly) depends on those taken is passed over.
 */
#include "passes/dsformer/pursuit.h"
#include "ir/base/parallel.h"
#include "passes/dsformer/linalg.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 32 }; /* columns of a task */
static const float LEAST = 1e-5F;

typedef struct {
    const float *y, *g, *c0;
    int64_t n, length;
    xfc_code *out;
    int64_t each; /* floats of scratch that a task takes */
} pursuit;

typedef struct {                 /* of one column */
    float *c, *q, *l, *z, *part; /* c [n], q [entries, n], l [entries, entries], z and part [entries] */
    uint8_t *taken;
} column;

static int64_t best(const float *c, const uint8_t *taken, int64_t n) {
    int64_t at = -1;
    float most = -1;
    for (int64_t i = 0; i < n; i++) {
        float size = fabsf(c[i]);
        if (taken[i] || !(size > most)) continue;
        most = size;
        at = i;
    }
    return at;
}

/* q becomes the direction of atom j; false: it depends on those before. */
static bool direction(const pursuit *p, column *x, int64_t t, int64_t j) {
    float *q = x->q + t * p->n;
    memcpy(q, p->g + j * p->n, (size_t)p->n * sizeof(float));
    for (int64_t u = 0; u < t; u++) {
        float part = x->q[u * p->n + j];
        x->l[t * p->out->entries + u] = part;
        x->part[u] = -part;
    }
    xfc_la_add_rows(q, x->part, x->q, t, p->n, p->n);
    float square = q[j];
    if (!(square > LEAST)) return false;
    float norm = sqrtf(square);
    x->l[t * p->out->entries + t] = norm;
    for (int64_t i = 0; i < p->n; i++) q[i] /= norm;
    return true;
}

/* Coefficients a of least squares: l^T a = z. */
static void coefficients(const pursuit *p, const column *x, int64_t n, float *a) {
    int64_t s = p->out->entries;
    for (int64_t i = n; i-- > 0;) {
        double sum = (double)x->z[i];
        for (int64_t k = i + 1; k < n; k++) sum -= (double)x->l[k * s + i] * (double)a[k];
        a[i] = (float)(sum / (double)x->l[i * s + i]);
    }
}

static void pursue_one(const pursuit *p, column *x, int64_t j) {
    int64_t s = p->out->entries, t = 0;
    int32_t *atom = p->out->atom + j * s;
    float *value = p->out->value + j * s;
    double rest = xfc_la_dot(p->y + j * p->length, p->y + j * p->length, p->length);
    memset(x->taken, 0, (size_t)p->n);
    memcpy(x->c, p->c0 + j * p->n, (size_t)p->n * sizeof(float));
    for (int64_t at; t < s && (at = best(x->c, x->taken, p->n)) >= 0;) {
        x->taken[at] = 1;
        if (!direction(p, x, t, at)) continue;
        x->z[t] = x->c[at] / x->l[t * s + t];
        rest -= (double)x->z[t] * (double)x->z[t];
        xfc_la_add(x->c, -x->z[t], x->q + t * p->n, p->n);
        atom[t++] = (int32_t)at;
    }
    coefficients(p, x, t, value);
    for (; t < s; t++) atom[t] = -1, value[t] = 0;
    p->out->rest[j] = rest > 0 ? rest : 0;
}

static void pursue_some(void *arg, int64_t task) {
    const pursuit *p = arg;
    xfc_arena *arena = xfc_arena_new(); /* of this task alone */
    float *at = xfc_new_array(arena, float, (size_t)p->each);
    int64_t s = p->out->entries;
    column x = {.c = at, .q = at + p->n, .l = at + p->n * (s + 1), .z = at + p->n * (s + 1) + s * s};
    x.part = x.z + s;
    x.taken = (uint8_t *)(x.part + s);
    for (int64_t j = task * CHUNK; j < (task + 1) * CHUNK && j < p->out->columns; j++) pursue_one(p, &x, j);
    xfc_arena_free(arena);
}

xfc_code xfc_code_new(xfc_arena *arena, int64_t columns, int64_t entries) {
    size_t n = (size_t)(columns * entries) + 1;
    return (xfc_code){columns, entries, xfc_new_array(arena, int32_t, n), xfc_new_array(arena, float, n),
                      xfc_new_array(arena, double, (size_t)columns + 1)};
}

void xfc_pursue(const float *y, const float *atoms, int64_t n, int64_t length, xfc_code *out) {
    xfc_arena *arena = xfc_arena_new();
    int64_t s = out->entries;
    float *d = xfc_la_transposed(arena, atoms, n, length), *g = xfc_new_array(arena, float, (size_t)(n * n) + 1);
    float *c0 = xfc_new_array(arena, float, (size_t)(out->columns * n) + 1);
    xfc_la_product(atoms, d, g, n, length, n);
    xfc_la_product(y, d, c0, out->columns, length, n);
    pursuit p = {
        .y = y, .g = g, .c0 = c0, .n = n, .length = length, .out = out, .each = n * (s + 2) + s * (s + 2) + 16};
    xfc_parallel((out->columns + CHUNK - 1) / CHUNK, pursue_some, &p);
    xfc_arena_free(arena);
}

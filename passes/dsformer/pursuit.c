/* pursuit.c - batch orthogonal matching pursuit.
 *
 * Each column takes `entries` atoms: those which fit best to what is left, measured by |c|, c = atoms * rest; then its
 * coefficients are those of least squares over all atoms that were taken. With the products g of the atoms with each other
 * nothing is as long as a column: taking atom j makes a direction q, row j of g less its parts along the directions
 * before, and c loses its part along q. An atom that (nearly) depends on those taken is passed over.
 *
 * A column that takes many takes four at a time, by the same c: of the directions before each is then read once for four,
 * which is what most of the time goes to, and which four of a hundred atoms come first matters little.
 */
#include "passes/dsformer/pursuit.h"
#include "ir/base/parallel.h"
#include "passes/dsformer/linalg.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 32, TOGETHER = 4, MANY = 32 }; /* columns of a task; atoms taken at once where so many are */
static const float LEAST = 1e-5F;

typedef struct {
    const float *y, *g, *c0;
    int64_t n, length;
    xfc_code *out;
} pursuit;

typedef struct {                        /* of one column */
    float *c, *q, *l, *z, *part, *open; /* c, open [n], q [entries + TOGETHER, n], l [entries, entries],
                                         * z [entries], part [entries, TOGETHER]; open: 1: not taken, or 0 */
} column;

/* Rows t .. t + TOGETHER of q become those of the atoms in g, less their parts along the t directions before. */
static void directions(const pursuit *p, column *x, int64_t t, const int64_t *at, int64_t n) {
    float *q[TOGETHER];
    for (int64_t k = 0; k < TOGETHER; k++) {
        int64_t j = at[k < n ? k : 0];
        q[k] = x->q + (t + k) * p->n;
        memcpy(q[k], p->g + j * p->n, (size_t)p->n * sizeof(float));
        for (int64_t u = 0; u < t; u++) x->part[TOGETHER * u + k] = -x->q[u * p->n + j];
    }
    xfc_la_add_rows(q, x->part, x->q, t, p->n, p->n);
}

/* Row `from` of q, of atom j, becomes direction t: less its parts along first .. t - 1 and of length 1; false: it depends
 * on them. c loses its part along it. */
static bool take(const pursuit *p, column *x, int64_t from, int64_t first, int64_t t, int64_t j) {
    float *q = x->q + from * p->n;
    for (int64_t u = first; u < t; u++) xfc_la_add(q, -x->q[u * p->n + j], x->q + u * p->n, p->n);
    if (!(q[j] > LEAST)) return false;
    float norm = sqrtf(q[j]);
    for (int64_t u = 0; u < t; u++) x->l[t * p->out->entries + u] = x->q[u * p->n + j];
    x->l[t * p->out->entries + t] = norm;
    for (int64_t i = 0; i < p->n; i++) x->q[t * p->n + i] = q[i] / norm;
    x->z[t] = x->c[j] / norm;
    xfc_la_add(x->c, -x->z[t], x->q + t * p->n, p->n);
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
    int64_t s = p->out->entries, t = 0, at[TOGETHER];
    int32_t *atom = p->out->atom + j * s;
    float *value = p->out->value + j * s;
    double rest = xfc_la_dot(p->y + j * p->length, p->y + j * p->length, p->length);
    for (int64_t i = 0; i < p->n; i++) x->open[i] = 1;
    memcpy(x->c, p->c0 + j * p->n, (size_t)p->n * sizeof(float));
    for (int64_t n = 1; t < s && n > 0;) {
        for (n = 0; n < (s < MANY ? 1 : TOGETHER) && t + n < s; n++) {
            if ((at[n] = xfc_la_largest(x->c, x->open, p->n)) < 0) break;
            x->open[at[n]] = 0;
        }
        if (n > 0) directions(p, x, t, at, n);
        for (int64_t k = 0, first = t, from = t; k < n; k++, from++) {
            if (!take(p, x, from, first, t, at[k])) continue;
            rest -= (double)x->z[t] * (double)x->z[t];
            atom[t++] = (int32_t)at[k];
        }
    }
    coefficients(p, x, t, value);
    for (; t < s; t++) atom[t] = -1, value[t] = 0;
    p->out->rest[j] = rest > 0 ? rest : 0;
}

static void pursue_some(void *arg, int64_t task) {
    const pursuit *p = arg;
    xfc_arena *arena = xfc_arena_new(); /* of this task alone */
    int64_t s = p->out->entries;
    column x = {.c = xfc_new_array(arena, float, (size_t)p->n),
                .open = xfc_new_array(arena, float, (size_t)p->n),
                .q = xfc_new_array(arena, float, (size_t)((s + TOGETHER) * p->n)),
                .l = xfc_new_array(arena, float, (size_t)(s * s)),
                .z = xfc_new_array(arena, float, (size_t)s),
                .part = xfc_new_array(arena, float, (size_t)(s * TOGETHER) + 1)};
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
    float *d = xfc_la_transposed(arena, atoms, n, length), *g = xfc_new_array(arena, float, (size_t)(n * n) + 1);
    float *c0 = xfc_new_array(arena, float, (size_t)(out->columns * n) + 1);
    xfc_la_product(atoms, d, g, n, length, n);
    xfc_la_product(y, d, c0, out->columns, length, n);
    pursuit p = {.y = y, .g = g, .c0 = c0, .n = n, .length = length, .out = out};
    xfc_parallel((out->columns + CHUNK - 1) / CHUNK, pursue_some, &p);
    xfc_arena_free(arena);
}

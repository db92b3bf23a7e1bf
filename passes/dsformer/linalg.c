/* linalg.c - see linalg.h. Loops are written so that compilers make vectors of them without reordering a sum; on x86-64
 * they come for AVX2, too. */
#include "passes/dsformer/linalg.h"
#include "ir/base/parallel.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("default", "avx2")))
#else
#define WIDE
#endif

enum { ROWS = 4, COLUMNS = 16, LANES = 16, VECTOR = 8 };

typedef float vector __attribute__((vector_size(VECTOR * sizeof(float))));

static inline void load(vector *v, const float *x) { memcpy(v, x, sizeof *v); }

typedef struct {
    const float *a, *b;
    float *c;
    int64_t rows, depth, columns;
} product;

/* ROWS rows of COLUMNS columns, in registers, which compilers need to see one by one; b holds those columns alone. Rows
 * that are not there repeat the last. */
WIDE static void block(const product *p, const float *b, int64_t first, float sum[ROWS][COLUMNS]) {
    const float *a[ROWS];
    vector s[ROWS][2], b0, b1;
    memset(s, 0, sizeof s);
    vector s00 = s[0][0], s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
    for (int64_t r = 0; r < ROWS; r++) a[r] = p->a + (first + r < p->rows ? first + r : p->rows - 1) * p->depth;
    for (int64_t k = 0; k < p->depth; k++) {
        load(&b0, b + k * COLUMNS);
        load(&b1, b + k * COLUMNS + VECTOR);
        s00 += a[0][k] * b0, s01 += a[0][k] * b1;
        s10 += a[1][k] * b0, s11 += a[1][k] * b1;
        s20 += a[2][k] * b0, s21 += a[2][k] * b1;
        s30 += a[3][k] * b0, s31 += a[3][k] * b1;
    }
    const vector all[ROWS][2] = {{s00, s01}, {s10, s11}, {s20, s21}, {s30, s31}};
    memcpy(sum, all, sizeof all);
}

/* All rows of COLUMNS columns, those of b side by side first. */
static void product_columns(void *arg, int64_t task) {
    const product *p = arg;
    int64_t first = task * COLUMNS, left = p->columns - first, n = left < COLUMNS ? left : COLUMNS;
    xfc_arena *arena = xfc_arena_new(); /* of this task alone */
    float *b = xfc_new_array(arena, float, (size_t)(p->depth * COLUMNS) + 1), sum[ROWS][COLUMNS];
    for (int64_t k = 0; k < p->depth; k++)
        memcpy(b + k * COLUMNS, p->b + k * p->columns + first, (size_t)n * sizeof(float));
    for (int64_t i = 0; i < p->rows; i += ROWS) {
        block(p, b, i, sum);
        for (int64_t r = 0; r < ROWS && i + r < p->rows; r++)
            memcpy(p->c + (i + r) * p->columns + first, sum[r], (size_t)n * sizeof(float));
    }
    xfc_arena_free(arena);
}

void xfc_la_product(const float *a, const float *b, float *c, int64_t rows, int64_t depth, int64_t columns) {
    product p = {a, b, c, rows, depth, columns};
    xfc_parallel((columns + COLUMNS - 1) / COLUMNS, product_columns, &p);
}

float *xfc_la_transposed(xfc_arena *arena, const float *a, int64_t rows, int64_t columns) {
    float *t = xfc_new_array(arena, float, (size_t)(rows * columns) + 1);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) t[j * rows + i] = a[i * columns + j];
    return t;
}

WIDE double xfc_la_dot(const float *a, const float *b, int64_t n) {
    double sum[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) sum[l] += (double)a[i + l] * (double)b[i + l];
    for (; i < n; i++) all += (double)a[i] * (double)b[i];
    for (int l = 0; l < LANES; l++) all += sum[l];
    return all;
}

WIDE void xfc_la_add(float *y, float factor, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += factor * x[i];
}

/* Some elements of all four y stay in registers while the rows pass: one row is loaded for four. */
WIDE void xfc_la_add_rows(float *const y[4], const float *factor, const float *x, int64_t rows, int64_t apart,
                          int64_t n) {
    int64_t i = 0;
    for (; i + COLUMNS <= n; i += COLUMNS) {
        vector s[4][2], x0, x1;
        for (int k = 0; k < 4; k++) memcpy(s[k], y[k] + i, sizeof s[k]);
        vector s00 = s[0][0], s01 = s[0][1], s10 = s[1][0], s11 = s[1][1], s20 = s[2][0], s21 = s[2][1], s30 = s[3][0],
               s31 = s[3][1];
        for (int64_t r = 0; r < rows; r++) {
            const float *f = factor + 4 * r;
            load(&x0, x + r * apart + i);
            load(&x1, x + r * apart + i + VECTOR);
            s00 += f[0] * x0, s01 += f[0] * x1;
            s10 += f[1] * x0, s11 += f[1] * x1;
            s20 += f[2] * x0, s21 += f[2] * x1;
            s30 += f[3] * x0, s31 += f[3] * x1;
        }
        const vector all[4][2] = {{s00, s01}, {s10, s11}, {s20, s21}, {s30, s31}};
        for (int k = 0; k < 4; k++) memcpy(y[k] + i, all[k], sizeof all[k]);
    }
    for (; i < n; i++)
        for (int64_t r = 0; r < rows; r++)
            for (int k = 0; k < 4; k++) y[k][i] += factor[4 * r + k] * x[r * apart + i];
}

WIDE int64_t xfc_la_largest(const float *x, const float *weight, int64_t n) {
    float most[LANES], all = -1;
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) most[l] = -1;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float size = fabsf(x[i + l]) * weight[i + l];
            most[l] = size > most[l] ? size : most[l];
        }
    for (int l = 0; l < LANES; l++) all = most[l] > all ? most[l] : all;
    for (; i < n; i++) all = fabsf(x[i]) * weight[i] > all ? fabsf(x[i]) * weight[i] : all;
    for (i = 0; i < n; i++)
        if (weight[i] > 0 && fabsf(x[i]) * weight[i] >= all) return i;
    return -1;
}

static void scale(float *x, double factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = (float)((double)x[i] * factor);
}

void xfc_la_orthonormal(float *a, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; i++) {
        float *x = a + i * columns;
        double before = sqrt(xfc_la_dot(x, x, columns));
        for (int twice = 0; twice < 2; twice++)
            for (int64_t k = 0; k < i; k++)
                xfc_la_add(x, (float)-xfc_la_dot(x, a + k * columns, columns), a + k * columns, columns);
        double norm = sqrt(xfc_la_dot(x, x, columns));
        scale(x, norm > 1e-6 * before && norm > 0 ? 1 / norm : 0, columns);
    }
}

void xfc_la_cholesky(double *a, int64_t n, double ridge) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += a[i * n + i] / (double)n;
    double add = ridge * mean, least = mean > 0 ? 1e-12 * mean : 1;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double sum = a[i * n + j] + (i == j ? add : 0);
            for (int64_t k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(sum > least ? sum : least) : sum / a[j * n + j];
        }
        for (int64_t j = i + 1; j < n; j++) a[i * n + j] = 0;
    }
}

void xfc_la_solve_lower(const double *l, int64_t n, double *x) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < i; k++) x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
    }
}

void xfc_la_solve_lower_transposed(const double *l, int64_t n, double *x) {
    for (int64_t i = n; i-- > 0;) {
        x[i] /= l[i * n + i];
        for (int64_t k = 0; k < i; k++) x[k] -= l[i * n + k] * x[i];
    }
}

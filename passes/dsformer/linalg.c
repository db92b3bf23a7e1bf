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

enum { ROWS = 4, COLUMNS = 256, LANES = 16 };

typedef struct {
    const float *a, *b;
    float *c;
    int64_t rows, depth, columns;
} product;

/* ROWS rows of c, a stretch of columns at a time that stays in the cache. */
WIDE static void some_rows(const product *p, int64_t first, int64_t rows) {
    for (int64_t j = 0; j < p->columns; j += COLUMNS) {
        int64_t n = p->columns - j < COLUMNS ? p->columns - j : COLUMNS;
        float sum[ROWS][COLUMNS] = {{0}};
        for (int64_t k = 0; k < p->depth; k++) {
            const float *b = p->b + k * p->columns + j, *a = p->a + first * p->depth + k;
            float a0 = a[0], a1 = rows > 1 ? a[p->depth] : 0, a2 = rows > 2 ? a[2 * p->depth] : 0,
                  a3 = rows > 3 ? a[3 * p->depth] : 0;
            for (int64_t i = 0; i < n; i++) {
                sum[0][i] += a0 * b[i];
                sum[1][i] += a1 * b[i];
                sum[2][i] += a2 * b[i];
                sum[3][i] += a3 * b[i];
            }
        }
        for (int64_t r = 0; r < rows; r++)
            memcpy(p->c + (first + r) * p->columns + j, sum[r], (size_t)n * sizeof(float));
    }
}

static void product_rows(void *arg, int64_t i) {
    const product *p = arg;
    int64_t first = i * ROWS, left = p->rows - first;
    some_rows(p, first, left < ROWS ? left : ROWS);
}

void xfc_la_product(const float *a, const float *b, float *c, int64_t rows, int64_t depth, int64_t columns) {
    product p = {a, b, c, rows, depth, columns};
    xfc_parallel((rows + ROWS - 1) / ROWS, product_rows, &p);
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

/* Four at a time: an element is loaded and stored once for them. */
WIDE void xfc_la_add_rows(float *y, const float *factor, const float *x, int64_t rows, int64_t apart, int64_t n) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const float f0 = factor[r], f1 = factor[r + 1], f2 = factor[r + 2], f3 = factor[r + 3], *x0 = x + r * apart,
                    *x1 = x0 + apart, *x2 = x1 + apart, *x3 = x2 + apart;
        for (int64_t i = 0; i < n; i++) y[i] = (((y[i] + f0 * x0[i]) + f1 * x1[i]) + f2 * x2[i]) + f3 * x3[i];
    }
    for (; r < rows; r++)
        for (int64_t i = 0; i < n; i++) y[i] += factor[r] * x[r * apart + i];
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

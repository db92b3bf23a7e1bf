/* composites.c - softmax, norms, gelu, linear and attention against their formulas in double, on every float type. */
#include "tests/table/table.h"

static const xfc_dtype floats[] = {XFC_F32, XFC_F64, XFC_F16, XFC_BF16};

/* Operands of a composite are mild; the result is rounded once: one ulp for half types, a few for the others. */
static double ulps(xfc_dtype t) { return t == XFC_F16 || t == XFC_BF16 ? 1.01 : 8; }

typedef struct {
    int64_t outer, n, inner;
} rows; /* element (o, i, r) is o * n * inner + i * inner + r */

static rows rows_along(const xfc_array *a, uint32_t axis) {
    rows r = {1, a->dim[axis], 1};
    for (uint32_t d = 0; d < axis; d++) r.outer *= a->dim[d];
    for (uint32_t d = axis + 1; d < a->rank; d++) r.inner *= a->dim[d];
    return r;
}

static uint32_t random_shape(table *t, int64_t *dim) {
    uint32_t rank = (uint32_t)test_between(&t->seed, 1, 3);
    for (uint32_t d = 0; d < rank; d++) dim[d] = d + 1 == rank ? table_extent(t) : table_extent(t) % 9;
    return rank;
}

static void softmax(table *t, xfc_dtype dtype) {
    int64_t dim[3];
    uint32_t rank = random_shape(t, dim), axis = (uint32_t)test_between(&t->seed, 0, rank - 1);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    table_next(t, "softmax");
    xfc_array *in = table_operand(t, dtype, rank, dim, false);
    if (!CHECK(table_run(t, XFC_OP_SOFTMAX, &attr, 1)) || !table_shape(t, rank, dim)) return;
    rows r = rows_along(in, axis);
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        int64_t at = row / r.inner * r.n * r.inner + row % r.inner;
        double sum = 0;
        for (int64_t i = 0; i < r.n; i++) sum += exp(table_f(in, at + i * r.inner));
        for (int64_t i = 0; i < r.n; i++)
            table_same(t, at + i * r.inner, exp(table_f(in, at + i * r.inner)) / sum, ulps(dtype), 0);
    }
}

/* Large offsets must not overflow, a row of -inf is NaN. */
static void softmax_far(table *t) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, 1);
    table_next(t, "softmax of far values");
    xfc_array *in = table_operand(t, XFC_F32, 2, (int64_t[]){2, 3}, false);
    for (int64_t i = 0; i < 3; i++) table_set(in, i, 1e30 + (i == 1 ? 1e29 : 0), 0);
    for (int64_t i = 3; i < 6; i++) table_set(in, i, -(double)INFINITY, 0);
    if (!CHECK(table_run(t, XFC_OP_SOFTMAX, &attr, 1))) return;
    for (int64_t i = 0; i < 3; i++) table_same(t, i, i == 1, 0, 0);
    for (int64_t i = 3; i < 6; i++) table_same(t, i, (double)NAN, 0, 0);
}

static void norm(table *t, xfc_dtype dtype, bool centre) {
    int64_t dim[3];
    uint32_t rank = random_shape(t, dim), axis = (uint32_t)test_between(&t->seed, 0, rank - 1),
             n_in = (uint32_t)test_between(&t->seed, 1, 3);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_float(XFC_K_EPS, 1e-5)};
    table_next(t, centre ? "layernorm" : "rmsnorm");
    table_operand(t, dtype, rank, dim, false);
    for (uint32_t i = 1; i < n_in; i++) table_operand(t, dtype, rank - axis, dim + axis, false);
    if (!CHECK(table_run(t, centre ? XFC_OP_LAYERNORM : XFC_OP_RMSNORM, attr, 2)) || !table_shape(t, rank, dim)) return;
    int64_t n = 1;
    for (uint32_t d = axis; d < rank; d++) n *= dim[d];
    for (int64_t row = 0; row < t->out.count; row += n) {
        double mean = 0, square = 0, most = 0;
        for (int64_t i = 0; centre && i < n; i++) mean += table_f(&t->in[0], row + i) / (double)n;
        for (int64_t i = 0; i < n; i++) square += pow(table_f(&t->in[0], row + i) - mean, 2) / (double)n;
        for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(table_f(&t->in[0], row + i)));
        for (int64_t i = 0; i < n; i++) {
            double y = (table_f(&t->in[0], row + i) - mean) / sqrt(square + 1e-5), slack = most / sqrt(square + 1e-5);
            double scale = n_in > 1 ? table_f(&t->in[1], i) : 1;
            y = y * scale + (n_in > 2 ? table_f(&t->in[2], i) : 0);
            table_same(t, row + i, y, ulps(dtype), dtype == XFC_F64 ? 1e-14 : (slack * fabs(scale) + 4) * 4e-7);
        }
    }
}

/* As an rmsnorm of one value more, minus the sum of the others. */
static void crmsnorm(table *t, xfc_dtype dtype) {
    int64_t dim[3];
    uint32_t rank = random_shape(t, dim);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, rank - 1), xfc_attr_float(XFC_K_EPS, 1e-5)};
    table_next(t, "crmsnorm");
    table_operand(t, dtype, rank, dim, false);
    if (!CHECK(table_run(t, XFC_OP_CRMSNORM, attr, 2)) || !table_shape(t, rank, dim)) return;
    int64_t n = dim[rank - 1];
    for (int64_t row = 0; row < t->out.count; row += n) {
        double sum = 0, square = 0, sizes = 0;
        for (int64_t i = 0; i < n; i++) {
            double x = table_f(&t->in[0], row + i);
            sum += x;
            square += x * x;
            sizes += fabs(x);
        }
        double root = sqrt((square + sum * sum) / (double)(n + 1) + 1e-5), slack = 1 + sizes * sizes / (root * root);
        for (int64_t i = 0; i < n; i++) {
            double y = table_f(&t->in[0], row + i) / root;
            table_same(t, row + i, y, ulps(dtype), fabs(y) * slack * (dtype == XFC_F64 ? 1e-14 : 4e-7));
        }
    }
}

static void gelu(table *t, xfc_dtype dtype, bool by_tanh) {
    int64_t dim[3];
    uint32_t rank = random_shape(t, dim);
    xfc_attr attr = xfc_attr_int(XFC_K_APPROXIMATE, by_tanh);
    table_next(t, by_tanh ? "gelu, tanh" : "gelu, erf");
    table_operand(t, dtype, rank, dim, false);
    if (!CHECK(table_run(t, XFC_OP_GELU, &attr, 1)) || !table_shape(t, rank, dim)) return;
    for (int64_t i = 0; i < t->out.count; i++) {
        double x = table_f(&t->in[0], i), inner = sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x);
        double want = by_tanh ? 0.5 * x * (1 + tanh(inner)) : 0.5 * x * (1 + erf(x / sqrt(2)));
        table_same(t, i, want, ulps(dtype), dtype == XFC_F64 ? 1e-15 : 6e-7);
    }
}

/* weight: its type, that of x or a narrower one. */
static void linear(table *t, xfc_dtype dtype, xfc_dtype weight) {
    int64_t m = table_extent(t) % 9, k = table_extent(t), n = table_extent(t) % 40;
    bool bias = test_between(&t->seed, 0, 1);
    table_next(t, "linear");
    xfc_array *x = table_operand(t, dtype, 3, (int64_t[]){2, m, k}, false),
              *w = table_operand(t, weight, 2, (int64_t[]){k, n}, false);
    if (bias) table_operand(t, dtype, 1, &n, false);
    if (!CHECK(table_run(t, XFC_OP_LINEAR, NULL, 0)) || !table_shape(t, 3, (int64_t[]){2, m, n})) return;
    for (int64_t i = 0; i < t->out.count; i++) {
        double sum = 0, magnitude = 1;
        for (int64_t j = 0; j < k; j++) {
            double p = table_f(x, i / n * k + j) * table_f(w, j * n + i % n);
            sum += p, magnitude += fabs(p);
        }
        double rounded = table_round(dtype, sum);
        if (bias) rounded += table_f(&t->in[2], i % n);
        double slack = dtype == XFC_F64 ? 1e-15 : dtype == XFC_F32 ? 2e-7 : dtype == XFC_F16 ? 1e-3 : 8e-3;
        table_same(t, i, rounded, 1, slack * (dtype == XFC_F16 || dtype == XFC_BF16 ? fabs(sum) + 1 : magnitude));
    }
}

enum { MOST_KEYS = 512 };
typedef struct {
    double scale;
    bool nan_to_zero;
    int64_t keep; /* 0: all scores count */
    double cap;   /* 0: scores are not capped */
    bool sink;    /* the last operand */
} asked;

static int falling(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

/* Scores that do not count become -inf. False: rounding decides which do. */
static bool keep_largest(double *p, int64_t n, int64_t keep) {
    double sorted[MOST_KEYS];
    if (keep >= n) return true;
    memcpy(sorted, p, (size_t)n * sizeof *p);
    qsort(sorted, (size_t)n, sizeof *p, falling);
    for (int64_t j = 0; j < n; j++)
        if (p[j] < sorted[keep - 1]) p[j] = -(double)INFINITY;
    return !(sorted[keep - 1] - sorted[keep] < 1e-4);
}

/* One row of probabilities of attention, in double. False: it cannot be told. */
static bool probabilities(const table *t, int64_t head, int64_t row, const asked *how, double *p) {
    const xfc_array *q = &t->in[0], *k = &t->in[1], *bias = t->n_in > 3 ? &t->in[3] : NULL,
                    *sink = how->sink ? &t->in[5] : NULL;
    int64_t s = q->dim[2], keys = k->dim[2], d = q->dim[3], batch = head / q->dim[1];
    double max = -(double)INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++) {
        p[j] = 0;
        for (int64_t c = 0; c < d; c++)
            p[j] += table_f(q, (head * s + row) * d + c) * table_f(k, (head * keys + j) * d + c) * how->scale;
        if (how->cap > 0) p[j] = how->cap * tanh(p[j] / how->cap);
        if (bias) p[j] += table_f(bias, batch * keys + j); /* [b, 1, 1, t] */
        max = fmax(max, p[j]);
    }
    if (how->keep && !keep_largest(p, keys, how->keep)) return false;
    if (sink) max = fmax(max, table_f(sink, head % q->dim[1])), sum = exp(table_f(sink, head % q->dim[1]) - max);
    for (int64_t j = 0; j < keys; j++) sum += exp(p[j] - max);
    for (int64_t j = 0; j < keys; j++) p[j] = exp(p[j] - max) / sum;
    for (int64_t j = 0; j < keys; j++) p[j] = how->nan_to_zero && isnan(p[j]) ? 0 : p[j];
    return true;
}

static void check_attention(table *t, const asked *how) {
    const xfc_array *v = &t->in[2];
    int64_t s = t->in[0].dim[2], keys = v->dim[2], e = v->dim[3];
    double p[MOST_KEYS];
    for (int64_t row = 0; e > 0 && row < t->out.count / e; row++) {
        if (!probabilities(t, row / s, row % s, how, p)) continue;
        for (int64_t c = 0; c < e; c++) {
            double want = 0;
            for (int64_t j = 0; j < keys; j++) want += p[j] * table_f(v, (row / s * keys + j) * e + c);
            table_same(t, row * e + c, want, 1.01, t->out.dtype == XFC_F64 ? 1e-13 : 2e-5);
        }
    }
}

/* also: a cap and a sink, behind a bias and its reach, which does not change what attention means. */
static void attention(table *t, xfc_dtype dtype, bool hard, bool also) {
    int64_t b = test_between(&t->seed, 1, 3), h = test_between(&t->seed, 1, 3), s = table_extent(t) % 11,
            keys = 1 + table_extent(t) % 40;
    int64_t d = 1 + table_extent(t) % 9, e = table_extent(t) % 9;
    bool bias = also || test_between(&t->seed, 0, 1), zero = test_between(&t->seed, 0, 1);
    const asked how = {0.25, zero, hard ? test_between(&t->seed, 1, 40) : 0, also ? 1.5 : 0, also};
    const xfc_attr last = hard ? xfc_attr_int(XFC_K_KEEP, how.keep) : xfc_attr_float(XFC_K_SOFTCAP, how.cap);
    xfc_attr attr[] = {xfc_attr_float(XFC_K_SCALE, how.scale), xfc_attr_int(XFC_K_NAN_TO_ZERO, zero), last};
    table_next(t, "attention");
    table_operand(t, dtype, 4, (int64_t[]){b, h, s, d}, false);
    table_operand(t, dtype, 4, (int64_t[]){b, h, keys, d}, false);
    table_operand(t, dtype, 4, (int64_t[]){b, h, keys, e}, false);
    if (bias) {
        xfc_array *mask = table_operand(t, dtype, 4, (int64_t[]){b, 1, 1, keys}, false);
        for (int64_t j = 0; zero && j < keys; j++)
            table_set(mask, j, -(double)INFINITY, 0); /* the first sequence is masked whole */
    }
    if (also) {
        table_operand(t, XFC_I32, 4, (int64_t[]){1, 1, s > 0, 2}, false);
        table_operand(t, dtype, 4, (int64_t[]){1, h, 1, 1}, false);
    }
    if (CHECK(table_run(t, XFC_OP_ATTENTION, attr, hard || also ? 3 : 2)) && table_shape(t, 4, (int64_t[]){b, h, s, e}))
        check_attention(t, &how);
}

static void refusals(table *t) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 2), eps[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_float(XFC_K_EPS, 0)};
    bool dynamic = t->dynamic;
    t->dynamic = false;
    table_next(t, "refusals of composites");
    table_operand(t, XFC_F32, 2, (int64_t[]){2, 3}, false);
    CHECK(!table_run(t, XFC_OP_SOFTMAX, &axis, 1)); /* axis outside */
    table_operand(t, XFC_F32, 1, (int64_t[]){4}, false);
    CHECK(!table_run(t, XFC_OP_RMSNORM, eps, 2)); /* scale does not broadcast */
    CHECK(!table_run(t, XFC_OP_LINEAR, NULL, 0)); /* w has one dim */
    table_next(t, "refusals of composites");
    table_operand(t, XFC_F16, 2, (int64_t[]){2, 3}, false);
    table_operand(t, XFC_BF16, 2, (int64_t[]){3, 4}, false);
    CHECK(!table_run(t, XFC_OP_LINEAR, NULL, 0)); /* w of another type that is not narrower */
    table_next(t, "refusals of composites");
    for (int i = 0; i < 3; i++) table_operand(t, XFC_F32, 4, (int64_t[]){1, 1, 2, 3}, false);
    xfc_attr keep[] = {xfc_attr_float(XFC_K_SCALE, 1), xfc_attr_int(XFC_K_KEEP, 0)};
    CHECK(!table_run(t, XFC_OP_ATTENTION, keep, 2)); /* no score is kept */
    keep[1] = xfc_attr_float(XFC_K_SOFTCAP, -1);
    CHECK(!table_run(t, XFC_OP_ATTENTION, keep, 2)); /* a cap below 0 */
    table_next(t, "refusals of composites");
    table_operand(t, XFC_I32, 2, (int64_t[]){2, 3}, false);
    CHECK(!table_run(t, XFC_OP_GELU, NULL, 0)); /* integers */
    table_next(t, "refusals of composites");
    table_operand(t, XFC_F32, 3, (int64_t[]){2, 2, 3}, false);
    CHECK(!table_run(t, XFC_OP_CRMSNORM, eps, 2)); /* not the last axis */
    t->dynamic = dynamic;
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        for (size_t i = 0; i < XFC_COUNT(floats); i++) {
            for (int times = 0; times < 6; times++) {
                softmax(&t, floats[i]);
                norm(&t, floats[i], true);
                norm(&t, floats[i], false);
                crmsnorm(&t, floats[i]);
                gelu(&t, floats[i], times % 2);
                linear(&t, floats[i], floats[i]);
                linear(&t, XFC_F32, times % 2 ? XFC_F16 : XFC_BF16);
                attention(&t, floats[i], false, times % 2);
            }
        }
        softmax_far(&t);
        for (int times = 0; times < 24; times++) attention(&t, floats[times % 4], true, false);
        xfc_diags_print(t.ctx, stderr, false);
        refusals(&t);
        table_free(&t);
    }
    return test_end();
}

/* factorise.c - dictionary learning by alternation: pursuit chooses the entries of s (pursuit.c), then d is fitted to
 * them by least squares (the method of optimal directions), and its columns are scaled to 1.
 *
 * With the inputs of the layer known, what counts is |x (w - d s)|: with x^T x = l l^T that is |l^T w - (l^T d) s|, so l^T w
 * is factorised and d solved for at the end. l is of the block's own rows; how blocks correlate is left out.
 *
 * It starts from the leading left singular vectors with a little noise. All of it is deterministic: random numbers are of
 * a generator with a fixed seed.
 */
#include "passes/dsformer/factorise.h"
#include "ir/base/parallel.h"
#include "ir/contract.h"
#include "passes/dsformer/linalg.h"
#include "passes/dsformer/pursuit.h"

#include <math.h>
#include <string.h>

enum { POWER_ROUNDS = 6, START_ROUNDS = 2, STRIPE = 32, TRIAL_ROUNDS = 5, MAX_KICKS = 4, FEW = 4 };
static const double RIDGE = 1e-2, FIT_RIDGE = 1e-7, NOISE = 0.05, GAIN = 1e-3, SAME = 0.98, EXACT = 1e-7;

typedef struct { /* one block: y = its part of w, columns as rows */
    xfc_arena *arena;
    int64_t length, columns, n; /* of a column; how many; atoms */
    const float *w, *y;         /* [length, columns], [columns, length] */
    float *atoms;               /* [n, length] */
    double nothing;             /* a squared error that is as good as none */
    uint64_t seed;
} block;

static uint64_t next(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 11;
}

static double noise(uint64_t *seed) { /* about normal, of variance 1 */
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)next(seed) * 0x1p-53 - 0.5;
    return sum * sqrt(3);
}

/* --- the singular value decomposition --- */

/* The n leading left singular vectors, by orthogonal iteration: rows of q. */
static void leading(block *b, float *q, int64_t n, int rounds) {
    float *z = xfc_new_array(b->arena, float, (size_t)(n * b->columns) + 1);
    for (int64_t i = 0; i < n * b->length; i++) q[i] = (float)noise(&b->seed);
    xfc_la_orthonormal(q, n, b->length);
    for (int round = 0; round < rounds; round++) {
        xfc_la_product(q, b->w, z, n, b->length, b->columns);
        xfc_la_product(z, b->y, q, n, b->columns, b->length);
        xfc_la_orthonormal(q, n, b->length);
    }
}

/* --- fitting d --- */

typedef struct {
    const block *b;
    const xfc_code *code;
    float *sum;  /* y s^T, transposed: [n, length] */
    double *fit; /* s s^T, its factor */
} fitting;

/* Some elements of all atoms. */
static void sum_stripe(void *arg, int64_t stripe) {
    const fitting *f = arg;
    const block *b = f->b;
    int64_t first = stripe * STRIPE, left = b->length - first, n = left < STRIPE ? left : STRIPE;
    for (int64_t j = 0; j < b->columns; j++)
        for (int64_t e = j * f->code->entries; e < (j + 1) * f->code->entries; e++)
            if (f->code->atom[e] >= 0)
                xfc_la_add(f->sum + f->code->atom[e] * b->length + first, f->code->value[e],
                           b->y + j * b->length + first, n);
}

static void solve_stripe(void *arg, int64_t i) {
    const fitting *f = arg;
    double x[4096];
    for (int64_t k = 0; k < f->b->n; k++) x[k] = (double)f->sum[k * f->b->length + i];
    xfc_la_solve_lower(f->fit, f->b->n, x);
    xfc_la_solve_lower_transposed(f->fit, f->b->n, x);
    for (int64_t k = 0; k < f->b->n; k++) f->b->atoms[k * f->b->length + i] = (float)x[k];
}

static void products_of_code(const xfc_code *c, double *out, int64_t n) {
    for (int64_t j = 0; j < c->columns; j++) {
        const int32_t *atom = c->atom + j * c->entries;
        const float *value = c->value + j * c->entries;
        for (int64_t e = 0; e < c->entries; e++)
            for (int64_t f = 0; f < c->entries && atom[e] >= 0; f++)
                if (atom[f] >= 0) out[atom[e] * n + atom[f]] += (double)value[e] * (double)value[f];
    }
}

static void normalise_one(const block *b, float *atom) {
    double norm = sqrt(xfc_la_dot(atom, atom, b->length));
    for (int64_t i = 0; i < b->length; i++) atom[i] = norm > 1e-8 ? (float)((double)atom[i] / norm) : 0;
}

/* Atoms of norm 1; one that is 0, or about the same as one before it, becomes the column that is fitted worst. */
static void normalise(block *b, xfc_code *code) {
    for (int64_t k = 0; k < b->n; k++) {
        float *atom = b->atoms + k * b->length;
        normalise_one(b, atom);
        bool used = xfc_la_dot(atom, atom, b->length) > 0;
        for (int64_t i = 0; i < k && used; i++)
            used = fabs(xfc_la_dot(atom, b->atoms + i * b->length, b->length)) < SAME;
        if (used) continue;
        int64_t worst = 0;
        for (int64_t j = 1; j < b->columns; j++)
            if (code->rest[j] > code->rest[worst]) worst = j;
        memcpy(atom, b->y + worst * b->length, (size_t)b->length * sizeof(float));
        code->rest[worst] = 0;
        normalise_one(b, atom);
    }
}

static void fit_atoms(block *b, xfc_code *code) {
    xfc_arena *arena = xfc_arena_new();
    fitting f = {b, code, xfc_new_array(arena, float, (size_t)(b->n * b->length)),
                 xfc_new_array(arena, double, (size_t)(b->n * b->n))};
    xfc_parallel((b->length + STRIPE - 1) / STRIPE, sum_stripe, &f);
    products_of_code(code, f.fit, b->n);
    xfc_la_cholesky(f.fit, b->n, FIT_RIDGE);
    xfc_parallel(b->length, solve_stripe, &f);
    normalise(b, code);
    xfc_arena_free(arena);
}

/* --- one block --- */

static double total(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* Two starts: the leading singular vectors with a little noise, and columns as they are. */
static void start(block *b, xfc_code *code, bool vectors) {
    if (vectors) leading(b, b->atoms, b->n, START_ROUNDS);
    for (int64_t k = 0; k < b->n; k++) {
        float *atom = b->atoms + k * b->length;
        int64_t j = (int64_t)(next(&b->seed) % (uint64_t)b->columns);
        if (!vectors) memcpy(atom, b->y + j * b->length, (size_t)b->length * sizeof(float));
        double scale = NOISE / sqrt((double)b->length);
        for (int64_t i = 0; vectors && i < b->length; i++) atom[i] += (float)(scale * noise(&b->seed));
    }
    normalise(b, code);
    xfc_pursue(b->y, b->atoms, b->n, b->length, code);
}

/* One round; answers the squared error. */
static double round_of(block *b, xfc_code *code) {
    fit_atoms(b, code);
    xfc_pursue(b->y, b->atoms, b->n, b->length, code);
    return total(code->rest, b->columns);
}

/* The atom that carries least becomes the column that is fitted worst. */
static void kick(block *b, xfc_code *code) {
    double *carries = xfc_new_array(b->arena, double, (size_t)b->n);
    for (int64_t e = 0; e < code->columns * code->entries; e++)
        if (code->atom[e] >= 0) carries[code->atom[e]] += (double)code->value[e] * (double)code->value[e];
    int64_t least = 0;
    for (int64_t k = 1; k < b->n; k++)
        if (carries[k] < carries[least]) least = k;
    memset(b->atoms + least * b->length, 0, (size_t)b->length * sizeof(float));
    normalise(b, code);
    xfc_pursue(b->y, b->atoms, b->n, b->length, code);
}

/* Rounds of fitting atoms and choosing entries; where they no longer gain anything another atom is tried, and that a few
 * times: then what is left of *rounds is left. Answers the squared error of the best, which is left in b and code. */
static double improve(block *b, xfc_code *code, int *rounds) {
    double error = total(code->rest, b->columns), best = (double)INFINITY, before = (double)INFINITY;
    size_t bytes = (size_t)(b->n * b->length) * sizeof(float);
    float *kept = xfc_new_array(b->arena, float, (size_t)(b->n * b->length));
    for (int failed = 0; *rounds > 0 && failed < MAX_KICKS && error > b->nothing; --*rounds) {
        bool stalls = error >= before * (1 - GAIN), better = error < best * (1 - GAIN / 10);
        before = error;
        if (error < best) {
            best = error;
            memcpy(kept, b->atoms, bytes);
        }
        if (stalls) {
            failed = better ? 0 : failed + 1;
            if (!better) memcpy(b->atoms, kept, bytes), xfc_pursue(b->y, b->atoms, b->n, b->length, code);
            kick(b, code);
            before = (double)INFINITY;
        }
        error = round_of(b, code);
    }
    if (error <= best) return error;
    memcpy(b->atoms, kept, bytes);
    xfc_pursue(b->y, b->atoms, b->n, b->length, code);
    return best;
}

/* From another start; the better of both is left. */
static double start_again(block *b, xfc_code *code, double error, int *rounds) {
    float *atoms = b->atoms;
    xfc_code other = xfc_code_new(b->arena, b->columns, code->entries);
    b->atoms = xfc_new_array(b->arena, float, (size_t)(b->n * b->length));
    start(b, &other, false);
    double again = improve(b, &other, rounds);
    if (again >= error) return b->atoms = atoms, error;
    *code = other;
    return again;
}

/* Sets atoms and code; answers the squared error. Columns as they are make better atoms where few are taken; the better
 * start goes on. What came to rest before its rounds were over begins once more. */
static double learn(block *b, xfc_code *code, int rounds) {
    int first = rounds < TRIAL_ROUNDS ? rounds : TRIAL_ROUNDS, left = first, again = first;
    b->nothing = EXACT * xfc_la_dot(b->y, b->y, b->columns * b->length);
    start(b, code, true);
    if (b->n < FEW * code->entries) return improve(b, code, &rounds);
    double error = start_again(b, code, improve(b, code, &left), &again);
    rounds -= first;
    if (rounds > 0) error = improve(b, code, &rounds);
    while (rounds > 0 && error > b->nothing) error = start_again(b, code, error, &rounds);
    return error;
}

static void scatter(const xfc_code *code, float *sparse, int64_t n_columns) {
    for (int64_t j = 0; j < code->columns; j++)
        for (int64_t e = j * code->entries; e < (j + 1) * code->entries; e++)
            if (code->atom[e] >= 0) sparse[code->atom[e] * n_columns + j] = code->value[e];
}

/* The best of rank n: atoms are singular vectors, s = atoms w is full. */
static double truncate_rank(block *b, float *sparse) {
    leading(b, b->atoms, b->n, POWER_ROUNDS);
    xfc_la_product(b->atoms, b->w, sparse, b->n, b->length, b->columns);
    return xfc_la_dot(b->w, b->w, b->length * b->columns) - xfc_la_dot(sparse, sparse, b->n * b->columns);
}

/* --- all of it --- */

/* l of the block's rows of gram, or NULL. */
static double *block_root(xfc_arena *arena, const xfc_factor_task *t, int64_t number, int64_t length) {
    if (!t->gram) return NULL;
    double *l = xfc_dup_array(arena, double, t->gram + number * length * length, length * length);
    xfc_la_cholesky(l, length, RIDGE);
    return l;
}

/* l^T w, or w. */
static const float *weighted(xfc_arena *arena, const float *w, const double *l, int64_t length, int64_t columns) {
    if (!l) return w;
    float *turned = xfc_new_array(arena, float, (size_t)(length * length)),
          *out = xfc_new_array(arena, float, (size_t)(length * columns) + 1);
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j <= i; j++) turned[j * length + i] = (float)l[i * length + j];
    xfc_la_product(turned, w, out, length, length, columns);
    return out;
}

typedef struct {
    const block *b;
    const double *l;
    float *dense;
} finishing;

/* Column k of d: the atom, out of the norm of the inputs. */
static void finish_atom(void *arg, int64_t k) {
    const finishing *f = arg;
    double x[4096];
    for (int64_t i = 0; i < f->b->length; i++) x[i] = (double)f->b->atoms[k * f->b->length + i];
    if (f->l) xfc_la_solve_lower_transposed(f->l, f->b->length, x);
    for (int64_t i = 0; i < f->b->length; i++) f->dense[i * f->b->n + k] = (float)x[i];
}

xfc_factor_pair xfc_factorise(xfc_arena *arena, const xfc_factor_task *t, xfc_factor_shape s, int rounds) {
    int64_t length = t->rows / s.blocks;
    xfc_factor_pair out = {.shape = s,
                           .dense = xfc_new_array(arena, float, (size_t)(t->rows * s.atoms)),
                           .sparse = xfc_new_array(arena, float, (size_t)(s.blocks * s.atoms * t->columns))};
    double error = 0, all = 0;
    for (int64_t i = 0; i < s.blocks; i++) {
        xfc_arena *temp = xfc_arena_new();
        const double *l = block_root(temp, t, i, length);
        const float *w = weighted(temp, t->w + i * length * t->columns, l, length, t->columns);
        float *sparse = out.sparse + i * s.atoms * t->columns;
        block b = {.arena = temp, .length = length, .columns = t->columns, .n = s.atoms, .w = w, .seed = 1};
        b.y = xfc_la_transposed(temp, w, length, t->columns);
        b.atoms = xfc_new_array(temp, float, (size_t)(s.atoms * length));
        if (s.entries == s.atoms) {
            error += truncate_rank(&b, sparse);
        } else {
            xfc_code code = xfc_code_new(temp, t->columns, s.entries);
            error += learn(&b, &code, rounds);
            scatter(&code, sparse, t->columns);
        }
        all += xfc_la_dot(w, w, length * t->columns);
        finishing f = {&b, l, out.dense + i * length * s.atoms};
        xfc_parallel(s.atoms, finish_atom, &f);
        xfc_arena_free(temp);
    }
    out.error = all > 0 ? sqrt(error > 0 ? error / all : 0) : 0;
    return out;
}

static int64_t padded(int64_t columns) { return (columns + XFC_PANEL - 1) / XFC_PANEL * XFC_PANEL; }

int64_t xfc_factor_whole(const xfc_factor_task *t, int64_t value_bytes) {
    return value_bytes * t->rows * padded(t->columns);
}

int64_t xfc_factor_bytes(const xfc_factor_task *t, xfc_factor_shape s) {
    int64_t index = (t->bare ? 1 : s.blocks) * s.atoms <= 256 ? 1 : 2, value = t->value_bytes;
    int64_t second = s.entries == s.atoms ? value * s.blocks * s.atoms * (t->bare ? t->columns : padded(t->columns))
                                          : (value + index) * s.blocks * s.entries * t->columns;
    return value * t->rows * (t->bare ? s.atoms : padded(s.atoms)) + second;
}

xfc_factor_shape xfc_factor_fit(const xfc_factor_task *t, int64_t blocks, int64_t per, int64_t bytes) {
    xfc_factor_shape s = {.blocks = blocks}, best = s;
    int64_t most = t->rows / blocks < t->columns ? t->rows / blocks : t->columns;
    for (s.entries = 1; s.entries * per <= most; s.entries++) {
        s.atoms = s.entries * per;
        if (xfc_factor_bytes(t, s) > bytes) break;
        best = s;
    }
    while (best.atoms > 0 && best.atoms < most) { /* what is left goes to atoms */
        s = best;
        s.atoms++;
        if (per == 1 || xfc_factor_bytes(t, s) > bytes) break;
        best = s;
    }
    return best;
}

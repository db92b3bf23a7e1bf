/* inputs.c - what linears multiply: products of their inputs with each other, and means, on samples.
 *
 * A copy of the graph gets the inputs as outputs more, and the oracle runs it. Linears that read the same value share
 * what is known of it. So that memory does not grow with the model, a run sees so many of them at a time. Where what stands
 * in front of them is not exact any more, the exact network stands beside it in the copy, and both are seen at once.
 */
#include "ir/base/parallel.h"
#include "ir/program.h"
#include "passes/dsformer/linalg.h"
#include "passes/lossy/dsformer.h"

#include <string.h>

enum { MAX_BYTES = 512 << 20 }; /* of products of one run, about */
static const double RIDGE = 1e-2;

typedef struct {
    const xfc_value *x, *exact; /* exact: of the exact network; NULL where that is not looked at */
    xfc_inputs in;
    int64_t width, rows;
    uint32_t output, exact_output;
} seen;
typedef struct {
    seen *at;
    uint32_t n, n_known; /* those before n_known were seen by earlier runs */
} seeing;

/* to += a^T b */
static void add_product(xfc_arena *temp, double *to, const float *a, const float *b, int64_t rows, int64_t length) {
    float *sum = xfc_new_array(temp, float, (size_t)(length * length));
    xfc_la_product(xfc_la_transposed(temp, a, rows, length), b, sum, length, rows, length);
    for (int64_t i = 0; i < length * length; i++) to[i] += (double)sum[i];
}

static float *block_of(xfc_arena *temp, const seen *s, const float *x, int64_t rows, int64_t block) {
    int64_t length = s->width / s->in.blocks;
    float *part = xfc_new_array(temp, float, (size_t)(rows * length) + 1);
    for (int64_t i = 0; i < rows; i++)
        memcpy(part + i * length, x + i * s->width + block * length, (size_t)length * sizeof(float));
    return part;
}

static void add_mean(double *mean, const float *x, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows * width; i++) mean[i % width] += (double)x[i];
}

static void add_products(seen *s, const float *x, const float *exact, int64_t rows) {
    int64_t length = s->width / s->in.blocks;
    for (int64_t b = 0; b < s->in.blocks; b++) {
        xfc_arena *temp = xfc_arena_new();
        const float *part = block_of(temp, s, x, rows, b);
        add_product(temp, s->in.gram + b * length * length, part, part, rows, length);
        if (s->in.lost) {
            float *apart = block_of(temp, s, exact, rows, b);
            for (int64_t i = 0; i < rows * length; i++) apart[i] -= part[i];
            add_product(temp, s->in.lost + b * length * length, part, apart, rows, length);
        }
        xfc_arena_free(temp);
    }
    add_mean(s->in.mean, x, rows, s->width);
    if (s->in.lost) add_mean(s->in.exact_mean, exact, rows, s->width);
    s->rows += rows;
}

static xfc_status see(void *user, uint32_t sample, const xfc_tensor *const *out) {
    seeing *s = user;
    (void)sample;
    for (uint32_t i = s->n_known; i < s->n; i++) {
        seen *a = &s->at[i];
        const xfc_tensor *t = out[a->output];
        if (t->count) add_products(a, t->data, a->in.lost ? out[a->exact_output]->data : NULL, t->count / a->width);
    }
    return XFC_OK;
}

xfc_op *xfc_twin_op(const xfc_graph *g, xfc_op *twin_first, const xfc_op *op) {
    xfc_op *twin = twin_first;
    for (const xfc_op *at = g->first; at != op; at = at->next) twin = twin->next;
    return twin;
}

/* What stands for v of g where copies of its ops begin at `first`. */
static xfc_value *twin_of(const xfc_graph *g, const xfc_graph *copy, xfc_op *first, const xfc_value *v) {
    return v->def ? &xfc_twin_op(g, first, v->def)->out[v->out] : copy->in[v->out];
}

/* Answers its place among the outputs. */
static uint32_t show(xfc_graph *copy, xfc_value *v, const char *of, uint32_t number) {
    uint32_t n = copy->n_out;
    if (xfc_graph_add_output(copy, v, xfc_sprintf(copy->arena, "%s of linear %u", of, (unsigned)number))) return n;
    for (n = 0; copy->last->in[n].value != v; n++) continue; /* it is an output already */
    return n;
}

static xfc_status run(xfc_oracle *o, const xfc_graph *g, const xfc_graph *exact, seeing *s) {
    xfc_graph *copy = xfc_graph_clone(g);
    xfc_op *beside = exact ? xfc_graph_append(copy, exact, copy->in) : NULL;
    for (uint32_t i = s->n_known; i < s->n; i++) {
        seen *a = &s->at[i];
        a->output = show(copy, twin_of(g, copy, copy->first, a->x), "input", i);
        if (exact) a->exact_output = show(copy, twin_of(exact, copy, beside, a->exact), "exact input", i);
    }
    xfc_status status = o->run(o, copy, o->fit, see, s, NULL);
    xfc_graph_free(copy);
    s->n_known = s->n;
    return status;
}

static const seen *find(const seeing *s, const xfc_value *x) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->at[i].x == x) return &s->at[i];
    return NULL;
}

/* Nothing is known of it so far. Answers how many bytes that takes. */
static int64_t begin(xfc_arena *arena, seen *a, const xfc_linear *l, bool is_exact, int64_t (*blocks)(int64_t)) {
    *a = (seen){.x = l->op->in[0].value};
    if (!is_exact) a->exact = l->exact->in[0].value;
    (void)xfc_int_value(l->op->graph->ctx, a->x->type.dim[a->x->type.rank - 1], &a->width);
    a->in.blocks = blocks(a->width);
    size_t products = (size_t)(a->width * (a->width / a->in.blocks));
    a->in.gram = xfc_new_array(arena, double, products);
    a->in.mean = a->in.exact_mean = xfc_new_array(arena, double, (size_t)a->width);
    if (!is_exact) a->in.lost = xfc_new_array(arena, double, products);
    if (!is_exact) a->in.exact_mean = xfc_new_array(arena, double, (size_t)a->width);
    return (int64_t)(products * sizeof(double)) * (is_exact ? 1 : 2);
}

static void scale(double *x, int64_t n, double by) {
    for (int64_t i = 0; i < n; i++) x[i] *= by;
}

xfc_status xfc_inputs_see(xfc_oracle *o, xfc_graph *g, const xfc_graph *exact, xfc_arena *arena,
                          const xfc_linear *linear, uint32_t n, int64_t (*blocks)(int64_t), xfc_inputs **out) {
    seeing s = {.at = xfc_new_array(arena, seen, n)};
    int64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (find(&s, linear[i].op->in[0].value)) continue;
        bytes += begin(arena, &s.at[s.n++], &linear[i], !exact, blocks);
        if (bytes < MAX_BYTES) continue;
        XFC_TRY(run(o, g, exact, &s));
        bytes = 0;
    }
    if (s.n > s.n_known) XFC_TRY(run(o, g, exact, &s));
    for (uint32_t i = 0; i < s.n; i++) {
        const seen *a = &s.at[i];
        if (a->rows) scale(a->in.mean, a->width, 1 / (double)a->rows);
        if (a->rows && exact) scale(a->in.exact_mean, a->width, 1 / (double)a->rows);
    }
    *out = xfc_new_array(arena, xfc_inputs, n);
    for (uint32_t i = 0; i < n; i++) (*out)[i] = find(&s, linear[i].op->in[0].value)->in;
    return XFC_OK;
}

/* --- what follows from them --- */

typedef struct {
    const double *root, *lost;
    float *out; /* [length, length] */
    int64_t length;
} aiming;

/* Column j of (x^T x)^-1 x^T (exact - x). */
static void aim_column(void *arg, int64_t j) {
    const aiming *a = arg;
    double x[4096];
    for (int64_t i = 0; i < a->length; i++) x[i] = a->lost[i * a->length + j];
    xfc_la_solve_lower(a->root, a->length, x);
    xfc_la_solve_lower_transposed(a->root, a->length, x);
    for (int64_t i = 0; i < a->length; i++) a->out[i * a->length + j] = (float)x[i];
}

const float *xfc_factor_aim(xfc_arena *arena, const xfc_tensor *w, const xfc_inputs *in) {
    int64_t length = w->dim[0] / in->blocks, columns = w->dim[1], products = length * length;
    if (!in->lost) return w->data;
    float *aim = xfc_dup_array(arena, float, (const float *)w->data, w->count);
    for (int64_t b = 0; b < in->blocks; b++) {
        xfc_arena *temp = xfc_arena_new();
        double *root = xfc_dup_array(temp, double, in->gram + b * products, products);
        float *more = xfc_new_array(temp, float, (size_t)(length * columns) + 1);
        aiming a = {root, in->lost + b * products, xfc_new_array(temp, float, (size_t)products), length};
        xfc_la_cholesky(root, length, RIDGE);
        xfc_parallel(length, aim_column, &a);
        xfc_la_product(a.out, (const float *)w->data + b * length * columns, more, length, length, columns);
        xfc_la_add(aim + b * length * columns, 1, more, length * columns);
        xfc_arena_free(temp);
    }
    return aim;
}

float *xfc_factor_shift(xfc_arena *arena, const xfc_tensor *w, const xfc_factor_pair *f, const xfc_inputs *in) {
    int64_t rows = w->dim[0], columns = w->dim[1], blocks = f->shape.blocks, atoms = f->shape.atoms;
    const float *weight = w->data;
    float *shift = xfc_new_array(arena, float, (size_t)columns);
    double *sum = xfc_new_array(arena, double, (size_t)columns),
           *t = xfc_new_array(arena, double, (size_t)(blocks * atoms));
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) sum[j] += in->exact_mean[i] * (double)weight[i * columns + j];
        for (int64_t k = 0; k < atoms; k++)
            t[i / (rows / blocks) * atoms + k] += in->mean[i] * (double)f->dense[i * atoms + k];
    }
    for (int64_t k = 0; k < blocks * atoms; k++)
        for (int64_t j = 0; j < columns; j++) sum[j] -= t[k] * (double)f->sparse[k * columns + j];
    for (int64_t j = 0; j < columns; j++) shift[j] = (float)sum[j];
    return shift;
}

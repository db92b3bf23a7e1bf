/* inputs.c - what linears multiply: products of their inputs with each other, and means, on samples.
 *
 * A copy of the graph gets the inputs as outputs more, and the oracle runs it. Linears that read the same value share
 * what is known of it. So that memory does not grow with the model, a run sees so many of them at a time.
 */
#include "ir/program.h"
#include "passes/dsformer/linalg.h"
#include "passes/lossy/dsformer.h"

#include <string.h>

enum { MAX_BYTES = 512 << 20 }; /* of products of one run */

typedef struct {
    const xfc_value *x;
    xfc_inputs in;
    int64_t width, rows;
    uint32_t output;
} seen;
typedef struct {
    seen *at;
    uint32_t n, n_known; /* those before n_known were seen by earlier runs */
} seeing;

static void add_products(seen *s, const float *x, int64_t rows) {
    int64_t length = s->width / s->in.blocks;
    xfc_arena *temp = xfc_arena_new();
    float *part = xfc_new_array(temp, float, (size_t)(rows * length) + 1),
          *sum = xfc_new_array(temp, float, (size_t)(length * length));
    for (int64_t b = 0; b < s->in.blocks; b++) {
        for (int64_t i = 0; i < rows; i++)
            memcpy(part + i * length, x + i * s->width + b * length, (size_t)length * sizeof(float));
        xfc_la_product(xfc_la_transposed(temp, part, rows, length), part, sum, length, rows, length);
        double *gram = s->in.gram + b * length * length;
        for (int64_t i = 0; i < length * length; i++) gram[i] += (double)sum[i];
    }
    for (int64_t i = 0; i < rows * s->width; i++) s->in.mean[i % s->width] += (double)x[i];
    s->rows += rows;
    xfc_arena_free(temp);
}

static xfc_status see(void *user, uint32_t sample, const xfc_tensor *const *out) {
    seeing *s = user;
    (void)sample;
    for (uint32_t i = s->n_known; i < s->n; i++) {
        const xfc_tensor *t = out[s->at[i].output];
        if (t->count) add_products(&s->at[i], t->data, t->count / s->at[i].width);
    }
    return XFC_OK;
}

/* The value of the copy that stands for v. */
static xfc_value *twin(const xfc_graph *g, const xfc_graph *copy, const xfc_value *v) {
    if (!v->def) return copy->in[v->out];
    xfc_op *other = copy->first;
    for (const xfc_op *op = g->first; op != v->def; op = op->next) other = other->next;
    return &other->out[v->out];
}

static xfc_status run(xfc_oracle *o, const xfc_graph *g, seeing *s) {
    xfc_graph *copy = xfc_graph_clone(g);
    for (uint32_t i = s->n_known; i < s->n; i++) {
        xfc_value *v = twin(g, copy, s->at[i].x);
        s->at[i].output = copy->n_out;
        if (xfc_graph_add_output(copy, v, xfc_sprintf(copy->arena, "input of linear %u", (unsigned)i))) continue;
        for (uint32_t k = 0; k < copy->n_out; k++) /* it is an output already */
            if (copy->last->in[k].value == v) s->at[i].output = k;
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

xfc_status xfc_inputs_see(xfc_oracle *o, xfc_graph *g, xfc_arena *arena, xfc_op *const *linear, uint32_t n,
                          int64_t (*blocks)(int64_t), xfc_inputs **out) {
    seeing s = {.at = xfc_new_array(arena, seen, n)};
    int64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        const xfc_value *x = linear[i]->in[0].value;
        if (find(&s, x)) continue;
        seen *a = &s.at[s.n];
        *a = (seen){.x = x};
        (void)xfc_int_value(g->ctx, x->type.dim[x->type.rank - 1], &a->width);
        a->in.blocks = blocks(a->width);
        int64_t length = a->width / a->in.blocks;
        if (bytes && bytes + a->width * length * 8 > MAX_BYTES) {
            XFC_TRY(run(o, g, &s));
            bytes = 0;
        }
        a->in.gram = xfc_new_array(arena, double, (size_t)(a->width * length));
        a->in.mean = xfc_new_array(arena, double, (size_t)a->width);
        bytes += a->width * length * 8;
        s.n++;
    }
    if (s.n > s.n_known) XFC_TRY(run(o, g, &s));
    for (uint32_t i = 0; i < s.n; i++)
        for (int64_t k = 0; k < s.at[i].width && s.at[i].rows; k++) s.at[i].in.mean[k] /= (double)s.at[i].rows;
    *out = xfc_new_array(arena, xfc_inputs, n);
    for (uint32_t i = 0; i < n; i++) (*out)[i] = find(&s, linear[i]->in[0].value)->in;
    return XFC_OK;
}

float *xfc_factor_shift(xfc_arena *arena, const xfc_tensor *w, const xfc_factor_pair *f, const double *mean) {
    int64_t rows = w->dim[0], columns = w->dim[1], blocks = f->shape.blocks, atoms = f->shape.atoms;
    const float *weight = w->data;
    float *shift = xfc_new_array(arena, float, (size_t)columns);
    double *sum = xfc_new_array(arena, double, (size_t)columns),
           *t = xfc_new_array(arena, double, (size_t)(blocks * atoms));
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) sum[j] += mean[i] * (double)weight[i * columns + j];
        for (int64_t k = 0; k < atoms; k++)
            t[i / (rows / blocks) * atoms + k] += mean[i] * (double)f->dense[i * atoms + k];
    }
    for (int64_t k = 0; k < blocks * atoms; k++)
        for (int64_t j = 0; j < columns; j++) sum[j] -= t[k] * (double)f->sparse[k * columns + j];
    for (int64_t j = 0; j < columns; j++) shift[j] = (float)sum[j];
    return shift;
}

/* weight.c - constants with R, a norm's scale and bias, and a layer scale folded in.
 *
 * All that happens to a weight happens in one walk over its rows in double precision, and is rounded once to its type:
 *
 *   row i of w:  times gamma[i], minus the same of the last row (CRMS readers), times scale[j], minus its mean
 *   the bias:    plus beta @ w, times scale[j], minus its mean
 *
 * Tensors are immutable, so every result is a new one, and whoever else uses the old one keeps it. The only memory
 * beside the results is a few rows. Equal edits of equal weights are made once.
 */
#include "passes/prenorm/prenorm.h"

#include <string.h>

/* --- rows --- */

static void load(const xfc_tensor *t, int64_t from, int64_t n, double *row) {
    if (t->dtype != XFC_F32) {
        for (int64_t j = 0; j < n; j++) row[j] = xfc_tensor_get_f(t, from + j);
        return;
    }
    const float *x = (const float *)t->data + from;
    for (int64_t j = 0; j < n; j++) row[j] = (double)x[j];
}

static void store(xfc_dtype t, void *data, int64_t from, int64_t n, const double *row) {
    if (t != XFC_F32) {
        for (int64_t j = 0; j < n; j++) xfc_element_set_f(t, data, from + j, row[j]);
        return;
    }
    float *x = (float *)data + from;
    for (int64_t j = 0; j < n; j++) x[j] = (float)row[j];
}

static double per_channel(const xfc_tensor *t, int64_t i) { return xfc_tensor_get_f(t, t->count == 1 ? 0 : i); }

static void recentre(double *row, int64_t n) {
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += row[j];
    sum /= (double)n;
    for (int64_t j = 0; j < n; j++) row[j] -= sum;
}

/* --- linear --- */

typedef struct { /* which tensors and numbers an edit depends on */
    uint32_t w, bias, gamma, beta, normed, drop, n_columns;
    struct {
        int64_t column, d, scale;
    } columns[4];
} recipe;

typedef struct {
    recipe key;
    const xfc_tensor *w, *bias;
} made;

bool xfc_has_constant_weights(const xfc_op *op) {
    if (!op || op->code != XFC_OP_LINEAR || !xfc_dtype_is_float(op->out[0].type.dtype)) return false;
    bool bias = op->n_in > 2 && op->in[2].value;
    return xfc_value_is_const(op->in[1].value, NULL) && (!bias || xfc_value_is_const(op->in[2].value, NULL));
}

bool xfc_is_per_channel(const xfc_tensor *t, int64_t d) {
    return t->count == 1 || (t->count == d && t->dim[t->rank - 1] == d);
}

static const xfc_tensor *weight_of(const xfc_op *op, uint32_t i) {
    const xfc_tensor *t = NULL;
    if (i < op->n_in && op->in[i].value) (void)xfc_value_is_const(op->in[i].value, &t);
    return t;
}

static void edit_columns(const xfc_linear_edit *e, double *row) {
    for (uint32_t k = 0; k < e->n_columns; k++) {
        const xfc_columns *c = &e->columns[k];
        for (int64_t j = 0; c->scale && j < c->d; j++) row[c->column + j] *= per_channel(c->scale, j);
        recentre(row + c->column, c->d);
    }
}

/* Row i times its gamma; bias (if wanted) gets its share of beta. */
static void load_row(const xfc_linear_edit *e, const xfc_tensor *w, int64_t i, double *row, double *bias) {
    int64_t n = w->dim[1];
    load(w, i * n, n, row);
    double beta = bias && e->beta ? per_channel(e->beta, i) : 0, gamma = e->gamma ? per_channel(e->gamma, i) : 1;
    for (int64_t j = 0; bias && e->beta && j < n; j++) bias[j] += beta * row[j];
    for (int64_t j = 0; e->gamma && j < n; j++) row[j] *= gamma;
}

static void make(xfc_ctx *ctx, const xfc_linear_edit *e, made *out) {
    const xfc_tensor *w = weight_of(e->op, 1), *b = weight_of(e->op, 2);
    int64_t k = w->dim[0], n = w->dim[1], rows = k - e->drop_row, columns = n - e->drop_column;
    xfc_arena *arena = xfc_arena_new();
    double *row = xfc_new_array(arena, double, n), *last = xfc_new_array(arena, double, n),
           *bias = xfc_new_array(arena, double, n);
    void *data = xfc_tensor_alloc(ctx, w->dtype, 2, (int64_t[]){rows, columns});
    if (b) load(b, 0, n, bias);
    if (e->drop_row) load_row(e, w, k - 1, last, NULL);
    for (int64_t i = 0; i < k; i++) {
        load_row(e, w, i, row, bias);
        for (int64_t j = 0; e->drop_row && j < n; j++) row[j] -= last[j];
        edit_columns(e, row);
        if (i < rows) store(w->dtype, data, i * columns, columns, row);
    }
    out->w = xfc_tensor_new(ctx, w->dtype, 2, (int64_t[]){rows, columns}, data, w->name);
    out->bias = NULL;
    if (b || e->beta) {
        edit_columns(e, bias);
        data = xfc_tensor_alloc(ctx, w->dtype, 1, &columns);
        store(w->dtype, data, 0, columns, bias);
        out->bias = xfc_tensor_new(ctx, w->dtype, 1, &columns, data, b ? b->name : NULL);
    }
    xfc_arena_free(arena);
}

static uint32_t id_of(const xfc_tensor *t) { return t ? t->id + 1 : 0; }

/* False: too many parts to remember. */
static bool recipe_of(const xfc_linear_edit *e, recipe *r) {
    memset(r, 0, sizeof(*r)); /* padding, too: it is hashed */
    if (e->n_columns > XFC_COUNT(r->columns)) return false;
    r->w = id_of(weight_of(e->op, 1));
    r->bias = id_of(weight_of(e->op, 2));
    r->gamma = id_of(e->gamma);
    r->beta = id_of(e->beta);
    r->normed = e->normed;
    r->drop = (uint32_t)e->drop_row * 2 + e->drop_column;
    r->n_columns = e->n_columns;
    for (uint32_t i = 0; i < e->n_columns; i++) {
        r->columns[i].column = e->columns[i].column;
        r->columns[i].d = e->columns[i].d;
        r->columns[i].scale = id_of(e->columns[i].scale);
    }
    return true;
}

xfc_value *xfc_linear_edited(xfc_builder *b, xfc_weight_cache *cache, const xfc_linear_edit *e, xfc_value *x) {
    recipe r;
    bool known = recipe_of(e, &r);
    uint64_t hash = xfc_hash(&r, sizeof(r), 0);
    made *m = known ? (made *)(uintptr_t)xfc_map_get(&cache->linear, hash) : NULL;
    if (!m || memcmp(&m->key, &r, sizeof(r)) != 0) {
        m = xfc_new(cache->arena, made);
        m->key = r;
        make(b->graph->ctx, e, m);
        xfc_map_set(&cache->linear, hash, (uint64_t)(uintptr_t)m);
    }
    xfc_value *in[3] = {x, xfc_b_const(b, m->w)};
    if (m->bias) in[2] = xfc_b_const(b, m->bias);
    return xfc_build(b, XFC_OP_LINEAR, in, m->bias ? 3 : 2, NULL, 0);
}

/* --- tables --- */

static const xfc_tensor *recentred(xfc_ctx *ctx, const xfc_tensor *t, uint32_t axis, bool drop_last) {
    int64_t dim[XFC_MAX_RANK], before = 1, inner = 1, d = t->dim[axis], kept = d - drop_last;
    for (uint32_t k = 0; k < t->rank; k++) {
        dim[k] = k == axis ? kept : t->dim[k];
        if (k < axis) before *= dim[k];
        if (k > axis) inner *= dim[k];
    }
    void *data = xfc_tensor_alloc(ctx, t->dtype, t->rank, dim);
    xfc_arena *arena = xfc_arena_new();
    double *row = xfc_new_array(arena, double, d);
    for (int64_t i = 0; t->count > 0 && i < before * inner; i++) {
        int64_t from = i / inner * d * inner + i % inner, to = i / inner * kept * inner + i % inner;
        if (inner == 1) load(t, from, d, row);
        for (int64_t j = 0; inner > 1 && j < d; j++) row[j] = xfc_tensor_get_f(t, from + j * inner);
        recentre(row, d);
        if (inner == 1) store(t->dtype, data, to, kept, row);
        for (int64_t j = 0; inner > 1 && j < kept; j++) xfc_element_set_f(t->dtype, data, to + j * inner, row[j]);
    }
    xfc_arena_free(arena);
    return xfc_tensor_new(ctx, t->dtype, t->rank, dim, data, t->name);
}

const xfc_tensor *xfc_tensor_recentred(xfc_ctx *ctx, xfc_weight_cache *cache, const xfc_tensor *t, uint32_t axis,
                                       bool drop_last) {
    uint64_t key = ((uint64_t)t->id * XFC_MAX_RANK + axis) * 2 + drop_last;
    const xfc_tensor *done = (const xfc_tensor *)(uintptr_t)xfc_map_get(&cache->table, key);
    if (done) return done;
    done = recentred(ctx, t, axis, drop_last);
    xfc_map_set(&cache->table, key, (uint64_t)(uintptr_t)done);
    return done;
}

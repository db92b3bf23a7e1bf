/* matrix.c - see sparse.h: counting nonzeros, and the operands of matmul_sparse.
 *
 * A column with fewer nonzeros than the fullest is filled up with zeros that stand where the column has zeros, so that
 * nothing is multiplied that the dense product would not multiply.
 */
#include "ir/build.h"
#include "passes/sparse/sparse.h"
#include <math.h>

/* Weights deeper than this no longer leave room in the cache for a block of rows. */
enum { MIN_ELEMENTS = 64, MAX_ROWS = 2048 };
/* What an entry costs, in multiplications of a dense product (tests/bench/factors.py, AVX2). Of one token it is three loads
 * and a multiply-add, where the dense product reads vectors; up to a vector of tokens it stays the same while the dense
 * product rises; of many tokens each vector of them is loaded once for every entry. */
static const double ENTRY_OF_ONE = 5.5, ENTRY_OF_SOME = 20, ENTRY_OF_MANY = 2.2;

static double entry_cost(double tokens) { return fmin(ENTRY_OF_ONE, fmax(ENTRY_OF_MANY, ENTRY_OF_SOME / tokens)); }

xfc_sparse_shape xfc_sparse_look(const xfc_tensor *w) {
    xfc_sparse_shape s = {.rows = w->dim[0], .columns = w->dim[1]};
    xfc_arena *arena = xfc_arena_new();
    int64_t *count = xfc_new_array(arena, int64_t, (size_t)s.columns + 1);
    for (int64_t i = 0; i < s.rows; i++)
        for (int64_t j = 0; j < s.columns; j++) count[j] += xfc_tensor_get_f(w, i * s.columns + j) != 0;
    for (int64_t j = 0; j < s.columns; j++) {
        s.nonzeros += count[j];
        if (count[j] > s.most) s.most = count[j];
    }
    xfc_arena_free(arena);
    return s;
}

double xfc_sparse_work(const xfc_sparse_shape *s, double tokens) {
    bool even = s->most * s->columns * 4 <= s->nonzeros * 5; /* columns are alike: little is filled up */
    if (s->rows > MAX_ROWS || s->columns < 1 || s->rows * s->columns < MIN_ELEMENTS || s->most < 1 || !even)
        return (double)INFINITY;
    return (double)(s->most * s->columns) * entry_cost(tokens);
}

bool xfc_sparse_may_pay(const xfc_tensor *w, double tokens) {
    int64_t rows = w->dim[0], columns = w->dim[1], n = 0;
    for (int64_t i = 0; i < rows && columns > 0; i++) n += xfc_tensor_get_f(w, i * columns) != 0;
    return (double)n * entry_cost(tokens) <= (double)rows;
}

static xfc_dtype row_type(const xfc_sparse_shape *s) { return s->rows <= 256 ? XFC_U8 : XFC_U16; }

int64_t xfc_sparse_bytes(const xfc_sparse_shape *s, xfc_dtype values) {
    return s->columns * s->most * (int64_t)(xfc_dtype_bytes(values) + xfc_dtype_bytes(row_type(s)));
}

xfc_value *xfc_b_sparse(xfc_builder *b, xfc_value *x, const xfc_tensor *w, xfc_dtype values) {
    enum { GROUP = XFC_SPARSE_GROUP };
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_sparse_shape s = xfc_sparse_look(w);
    const int64_t dim[3] = {(s.columns + GROUP - 1) / GROUP, s.most, GROUP};
    void *row = xfc_tensor_alloc(ctx, row_type(&s), 3, dim), *value = xfc_tensor_alloc(ctx, values, 3, dim);
    for (int64_t j = 0; j < s.columns; j++) {
        int64_t e = 0, spare = s.most;
        for (int64_t i = 0; i < s.rows; i++) {
            double v = xfc_tensor_get_f(w, i * s.columns + j);
            if (v == 0) spare = i;
            if (v == 0) continue;
            int64_t at = (j / GROUP * s.most + e++) * GROUP + j % GROUP;
            xfc_element_set_i(row_type(&s), row, at, i);
            xfc_element_set_f(values, value, at, v);
        }
        for (; e < s.most; e++)
            xfc_element_set_i(row_type(&s), row, (j / GROUP * s.most + e) * GROUP + j % GROUP, spare);
    }
    xfc_value *in[3] = {x, xfc_b_const(b, xfc_tensor_new(ctx, row_type(&s), 3, dim, row, NULL)),
                        xfc_b_const(b, xfc_tensor_new(ctx, values, 3, dim, value, NULL))};
    const xfc_int n = xfc_int_const(ctx, s.columns);
    const xfc_attr size = xfc_attr_dims(XFC_K_SIZE, &n, 1);
    return xfc_build(b, XFC_OP_MATMUL_SPARSE, in, 3, &size, 1);
}

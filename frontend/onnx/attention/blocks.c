/* blocks.c - which keys a row sees by blocks: SparseAttention's layouts.
 *
 * Layouts are lists of blocks, row by row: columns[l, rows[l, r]] up to columns[l, rows[l, r + 1] - 1] are seen from the
 * blocks of row r; what stands behind the last one is padding. They become tables of bools, by operations that the
 * constant folder does where the lists are constants. Heads take layouts in turn.
 */
#include "frontend/onnx/attention/attention.h"
#include "ir/ops/ops.h"

typedef struct {
    xfc_node *n;
    xfc_int layouts, rows, entries; /* rows: of blocks, and columns */
    xfc_value *first, *column;      /* i64[layouts, rows + 1], i64[layouts, entries] */
} blocks;

static xfc_value *number(const blocks *b, xfc_int v) { return xfc_b_dims(b->n->b, &v, -1); }

static bool read_layouts(blocks *b, uint32_t rows_in, uint32_t columns_in, int64_t heads) {
    xfc_node *n = b->n;
    const xfc_type *rows = &n->in[rows_in]->type, *columns = &n->in[columns_in]->type;
    if (rows->rank != 2 || columns->rank != 2)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "block_row_indices and block_col_indices must be [layouts, n]; export again"),
               false;
    int64_t layouts = 0;
    if (xfc_int_value(n->ctx, rows->dim[0], &layouts) && (layouts < 1 || heads % layouts != 0))
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "has %lld heads for %lld layouts of blocks; the first must be a multiple",
                             (long long)heads, (long long)layouts),
               false;
    b->layouts = rows->dim[0], b->rows = xfc_int_addc(n->ctx, rows->dim[1], -1), b->entries = columns->dim[1];
    b->first = xfc_b_cast(n->b, n->in[rows_in], XFC_I64), b->column = xfc_b_cast(n->b, n->in[columns_in], XFC_I64);
    return b->first && b->column &&
           xfc_n_at_most(n, xfc_int_const(n->ctx, 2), rows->dim[1], "2 and the rows of a layout") &&
           xfc_n_equal(n, columns->dim[0], b->layouts, "the layouts of block_row_indices and of block_col_indices");
}

/* Of which row each entry is, i64[layouts, entries]: as many as end at it or before; `rows` for padding. */
static xfc_value *rows_of(const blocks *b) {
    xfc_node *n = b->n;
    const int64_t last[1] = {2};
    const xfc_int one = xfc_int_const(n->ctx, 1), dim[3] = {b->layouts, one, b->rows};
    xfc_value *end = xfc_b_reshape(n->b, xfc_b_slice_axis(n->b, b->first, 1, one, b->rows, 1), dim, 3);
    xfc_value *at = xfc_n_along(n, xfc_n_iota(n, b->entries, xfc_int_const(n->ctx, 0), 1, XFC_I64), 1, 3);
    xfc_value *passed = xfc_n2(n, XFC_OP_LE, end, at);
    return passed ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, xfc_b_cast(n->b, passed, XFC_I64), last, 1, false) : NULL;
}

/* bool[layouts, rows, rows]. An entry that names no column ends the run; padding goes to a row that is cut off. */
static xfc_value *table(const blocks *b) {
    xfc_node *n = b->n;
    const xfc_int zero = xfc_int_const(n->ctx, 0), more = xfc_int_addc(n->ctx, b->rows, 1);
    const xfc_int all = xfc_int_mul(n->ctx, more, b->rows), flat[2] = {b->layouts, all},
                  dim[3] = {b->layouts, more, b->rows};
    const xfc_int entries[2] = {b->layouts, b->entries};
    xfc_value *row = rows_of(b), *none = xfc_b_scalar_i(n->b, XFC_BOOL, 0), *yes = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    xfc_value *column = xfc_n_select(n, xfc_n2(n, XFC_OP_EQ, row, number(b, b->rows)), xfc_ni(n, 0), b->column);
    xfc_value *inside = xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_GE, column, xfc_ni(n, 0)),
                               xfc_n2(n, XFC_OP_LT, column, number(b, b->rows)));
    xfc_value *at = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, row, number(b, b->rows)), column);
    at = xfc_n_select(n, inside, at, number(b, all));
    none = none ? xfc_b_expand(n->b, none, flat, 2) : NULL;
    yes = yes ? xfc_b_expand(n->b, yes, entries, 2) : NULL;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    if (!at || !none || !yes) return NULL;
    xfc_value *v = xfc_build(n->b, XFC_OP_SCATTER_ELEMENTS, (xfc_value *[]){none, at, yes}, 3, &axis, 1);
    return v ? xfc_b_slice_axis(n->b, xfc_b_reshape(n->b, v, dim, 3), 1, zero, b->rows, 1) : NULL;
}

/* v, of rank 4, with a dim of 1 in `narrow` (rank 5) repeated as in `wide`, as `joined`. */
static xfc_value *repeated(xfc_node *n, xfc_value *v, const xfc_int *narrow, const xfc_int *wide,
                           const xfc_int *joined) {
    v = v ? xfc_b_reshape(n->b, v, narrow, 5) : NULL;
    v = v ? xfc_b_expand(n->b, v, wide, 5) : NULL;
    return v ? xfc_b_reshape(n->b, v, joined, 4) : NULL;
}

xfc_value *xfc_n_block_mask(xfc_node *n, uint32_t rows_in, uint32_t columns_in, int64_t heads, xfc_value *position,
                            xfc_int keys) {
    static const int64_t layouts_first[4] = {1, 0, 2, 3};
    blocks b = {.n = n};
    const int64_t size = xfc_node_int(n, "sparse_block_size", 0);
    if (size < 1 || size > XFC_DIM_MAX)
        return xfc_node_fail(n, XFC_ERR_INPUT, "sparse_block_size is %lld but must be at least 1", (long long)size),
               NULL;
    if (!position || !read_layouts(&b, rows_in, columns_in, heads)) return NULL;
    if (!xfc_n_at_most(n, keys, xfc_int_mulc(n->ctx, b.rows, size), "total_sequence_length and the tokens of a layout"))
        return NULL;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    xfc_value *v = table(&b), *row = xfc_n2(n, XFC_OP_DIV, position, xfc_ni(n, size));
    v = v && row ? xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){v, row}, 2, &axis, 1) : NULL;
    v = v ? xfc_b_transpose(n->b, v, layouts_first) : NULL; /* [batch, layouts, rows of query, columns] */
    if (!v) return NULL;
    const xfc_int one = xfc_int_const(n->ctx, 1), each = xfc_int_const(n->ctx, size), h = xfc_int_const(n->ctx, heads),
                  *d = v->type.dim, times = xfc_dims_divide(n->ctx, &h, 1, &b.layouts, 1);
    const xfc_int narrow[5] = {d[0], d[1], d[2], d[3], one}, wide[5] = {d[0], d[1], d[2], d[3], each},
                  tokens[4] = {d[0], d[1], d[2], xfc_int_mul(n->ctx, d[3], each)};
    v = repeated(n, v, narrow, wide, tokens);
    v = v ? xfc_b_slice_axis(n->b, v, 3, xfc_int_const(n->ctx, 0), keys, 1) : NULL;
    const xfc_int once[5] = {d[0], one, d[1], d[2], keys}, often[5] = {d[0], times, d[1], d[2], keys},
                  all[4] = {d[0], h, d[2], keys};
    return repeated(n, v, once, often, all);
}

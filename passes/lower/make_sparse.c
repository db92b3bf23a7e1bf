/* make_sparse.c - the block kernel of matmul_sparse: entries of a column meet vectors of tokens.
 *
 * A task takes a block of rows of x (tokens) and some panels of columns. It turns its rows, so that the tokens of one k
 * follow each other in memory; then each entry of a column is one scalar index, one scalar value and a multiply-add of
 * the vector of tokens there, without a gather. The columns of a panel run side by side: their sums hide each other's
 * latency, and with a single token they are all there is. A last nest turns the result back and stores it; fuse appends
 * bias, activation and residual to that. The order of a sum is that of its entries, whatever the number of rows. Rows come
 * in whole vectors; those behind the last are computed from whatever stands in the temporary, and not stored.
 *
 *   y[c, t] += val[p, e, c] * x^T[row[p, e, c], t]      c < group, t < 16, e < s
 *
 * Tasks that share panels follow each other, so a thread has them in its cache. What is no constant, or too deep for a
 * block in the cache, is left to the plain nest.
 */
#include "passes/lower/make_kernels.h"

enum { ROWS = 16, COLUMNS = 128, MAX_GROUP = 8, BLOCK_BYTES = 256 << 10, VECTOR = 8 };

typedef struct {
    xfc_draft d;
    xfc_ctx *ctx;
    xfc_op *op;
    xfc_value *x, *at, *val;
    int64_t group, block; /* columns of a panel; rows of a task, at most */
    xfc_type lead;        /* dims that are flattened into rows */
    xfc_dtype sum;
    xfc_int row0, rows, panel0, panels; /* of the task */
    uint32_t turned, result;            /* temporaries: x^T [k, block], y^T [columns, block] */
} sparse;

/* Tasks of at most `many` out of `all`: the first one of a task, and how many it has. */
static void split(sparse *s, const char *name, xfc_int all, int64_t many, xfc_int *first, xfc_int *count) {
    xfc_ctx *ctx = s->ctx;
    xfc_int most = xfc_int_const(ctx, many), tasks = xfc_int_ceildiv(ctx, all, most);
    xfc_int task = xfc_draft_outer(&s->d, name, tasks);
    *first = xfc_int_const(ctx, 0);
    *count = all;
    if (xfc_int_is(ctx, tasks, 1)) return;
    *first = xfc_int_mul(ctx, task, most);
    xfc_int left = xfc_int_min(ctx, most, xfc_int_sub(ctx, all, *first));
    *count = xfc_draft_let(&s->d, "count", left, xfc_int_const(ctx, 1), most);
}

static void outer_axes(sparse *s) {
    split(s, "columns", s->at->type.dim[0], COLUMNS / s->group, &s->panel0, &s->panels);
    split(s, "block", xfc_type_count(s->ctx, &s->lead), s->block, &s->row0, &s->rows);
}

/* Index of element (row of the block, last) of x or of the result. */
static void row_index(const sparse *s, xfc_int row, xfc_int last, xfc_int *index) {
    xfc_type_delinear(s->ctx, &s->lead, xfc_int_add(s->ctx, s->row0, row), index);
    index[s->lead.rank] = last;
}

static void add_turn(sparse *s) {
    xfc_nestb nb = xfc_nestb_new(s->ctx, s->d.e.arena);
    xfc_int k = xfc_nb_axis(&nb, "k", s->x->type.dim[s->x->type.rank - 1], XFC_AXIS_PARALLEL);
    xfc_int t = xfc_nb_axis(&nb, "t", s->rows, XFC_AXIS_PARALLEL), index[XFC_MAX_RANK] = {{0}};
    row_index(s, t, k, index);
    xfc_value *x = xfc_resolve_view(s->ctx, s->x, index);
    uint32_t v =
        xfc_nb_load(&nb, x->type.dtype, xfc_draft_buffer_of(&s->d, XFC_BUF_IN, x, x->type), index, x->type.rank);
    xfc_nb_store(&nb, xfc_nb_cast(&nb, s->sum, x->type.dtype, v), s->turned, (xfc_int[]){k, t}, 2, XFC_S_COUNT);
    xfc_draft_nest(&s->d, nb.nest);
}

/* Known now: every entry stands in a row that there is. */
static bool rows_inside(const sparse *s) {
    const xfc_tensor *t;
    int64_t k = 0;
    if (!xfc_value_is_const(s->at, &t)) return false;
    (void)xfc_int_value(s->ctx, s->x->type.dim[s->x->type.rank - 1], &k);
    for (int64_t i = 0; i < t->count; i++)
        if (xfc_tensor_get_i(t, i) >= k) return false;
    return true;
}

/* The rows of the block and those that fill up its last vector: a partial one would take longer. */
static xfc_int whole_vectors(const sparse *s) {
    if (s->block == 1) return xfc_int_const(s->ctx, 1);
    return xfc_int_mulc(s->ctx, xfc_int_ceildiv(s->ctx, s->rows, xfc_int_const(s->ctx, VECTOR)), VECTOR);
}

static void add_product(sparse *s) {
    xfc_ctx *ctx = s->ctx;
    xfc_nestb nb = xfc_nestb_new(ctx, s->d.e.arena);
    xfc_int p = xfc_nb_axis(&nb, "p", s->panels, XFC_AXIS_PARALLEL),
            t = xfc_nb_axis(&nb, "t", whole_vectors(s), XFC_AXIS_PARALLEL),
            e = xfc_nb_axis(&nb, "e", s->at->type.dim[1], XFC_AXIS_REDUCE);
    xfc_int last = xfc_int_addc(ctx, s->x->type.dim[s->x->type.rank - 1], -1), zero = xfc_int_const(ctx, 0);
    const bool sure = rows_inside(s);
    uint32_t at = xfc_draft_buffer_of(&s->d, XFC_BUF_IN, s->at, s->at->type);
    uint32_t val = xfc_draft_buffer_of(&s->d, XFC_BUF_IN, s->val, s->val->type);
    for (int64_t c = 0; c < s->group; c++) {
        const xfc_int entry[3] = {xfc_int_add(ctx, s->panel0, p), e, xfc_int_const(ctx, c)};
        const xfc_int to[2] = {xfc_int_addc(ctx, xfc_int_mulc(ctx, p, s->group), c), t};
        uint32_t loaded = xfc_nb_load(&nb, s->at->type.dtype, at, entry, 3);
        xfc_int row = xfc_nb_let(&nb, "row", loaded, zero, last, false);
        nb.nest->body[nb.nest->n_body - 1].sure = sure;
        nb.nest->body[nb.nest->n_body - 1].node = s->op->loc.node ? s->op->loc.node : s->op->loc.op;
        uint32_t a = xfc_nb_load(&nb, s->sum, s->turned, (xfc_int[]){row, t}, 2);
        uint32_t b = xfc_nb_load(&nb, s->val->type.dtype, val, entry, 3);
        b = xfc_nb_cast(&nb, s->sum, s->val->type.dtype, b);
        xfc_nb_store(&nb, xfc_nb_op(&nb, XFC_S_MUL, s->sum, a, b, XFC_NO_ARG), s->result, to, 2, XFC_S_ADD);
    }
    xfc_draft_nest(&s->d, nb.nest);
}

static void add_store(sparse *s) {
    xfc_ctx *ctx = s->ctx;
    xfc_nestb nb = xfc_nestb_new(ctx, s->d.e.arena);
    xfc_int first = xfc_int_mulc(ctx, s->panel0, s->group), n = s->op->out[0].type.dim[s->lead.rank];
    xfc_int count = xfc_int_min(ctx, xfc_int_mulc(ctx, s->panels, s->group), xfc_int_sub(ctx, n, first));
    xfc_int t = xfc_nb_axis(&nb, "t", s->rows, XFC_AXIS_PARALLEL), j = xfc_nb_axis(&nb, "j", count, XFC_AXIS_PARALLEL);
    xfc_int index[XFC_MAX_RANK] = {{0}};
    row_index(s, t, xfc_int_add(ctx, first, j), index);
    xfc_value *out = xfc_absorb_views(ctx, &s->op->out[0], index);
    uint32_t v = xfc_nb_load(&nb, s->sum, s->result, (xfc_int[]){j, t}, 2);
    v = xfc_nb_cast(&nb, out->type.dtype, s->sum, v);
    xfc_nb_store(&nb, v, xfc_draft_buffer_of(&s->d, XFC_BUF_OUT, out, out->type), index, out->type.rank, XFC_S_COUNT);
    xfc_draft_nest(&s->d, nb.nest);
}

/* Sizes of a block are numbers, and there is something to multiply. A single row needs no room for vectors. */
static bool takes_blocks(sparse *s) {
    const xfc_type *out = &s->op->out[0].type;
    int64_t dim[XFC_MAX_RANK], count, k;
    xfc_int empty = xfc_int_const(s->ctx, 0);
    s->lead = (xfc_type){.dtype = out->dtype, .rank = out->rank - 1};
    for (uint32_t i = 0; i < s->lead.rank; i++) s->lead.dim[i] = out->dim[i];
    s->block = xfc_int_is(s->ctx, xfc_type_count(s->ctx, &s->lead), 1) ? 1 : ROWS;
    if (!xfc_type_static(s->ctx, &s->at->type, dim, &count) || count == 0 || dim[2] > MAX_GROUP) return false;
    if (!xfc_int_value(s->ctx, s->x->type.dim[s->x->type.rank - 1], &k) || k == 0) return false;
    s->group = dim[2];
    bool fits = k * ROWS * (int64_t)xfc_dtype_bytes(s->sum) <= BLOCK_BYTES;
    return fits && !xfc_int_same(xfc_type_count(s->ctx, &s->op->out[0].type), empty);
}

xfc_op *xfc_kernel_sparse(xfc_pass *p, xfc_op *op) {
    sparse s = {.d = xfc_draft_new(p->graph, "sparse"), .ctx = p->graph->ctx, .op = op};
    s.x = op->in[0].value, s.at = op->in[1].value, s.val = op->in[2].value;
    s.sum = s.x->type.dtype == XFC_F64 ? XFC_F64 : XFC_F32;
    if (!takes_blocks(&s)) return NULL;
    outer_axes(&s);
    const xfc_int rows = xfc_int_const(s.ctx, s.block), columns = xfc_int_const(s.ctx, COLUMNS / s.group * s.group);
    const xfc_int k = s.x->type.dim[s.x->type.rank - 1];
    s.turned = xfc_draft_buffer_of(&s.d, XFC_BUF_TEMP, NULL, xfc_type_make(s.sum, 2, (xfc_int[]){k, rows}));
    s.result = xfc_draft_buffer_of(&s.d, XFC_BUF_TEMP, NULL, xfc_type_make(s.sum, 2, (xfc_int[]){columns, rows}));
    add_turn(&s);
    add_product(&s);
    add_store(&s);
    xfc_draft_loc(&s.d, &op->loc, 1);
    xfc_op *made = xfc_draft_commit(&s.d, op, op->loc);
    xfc_absorbed_remove(op);
    return made;
}

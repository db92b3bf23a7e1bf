/* make_contract.c - the block kernel of a packed contraction.
 *
 * Tasks are (batch..., block of rows, panel of columns). A task computes its block into a temporary of at most MB x
 * panel floats that stays in the L1 or L2 cache, then one nest stores it; fuse appends bias, activation, residual to
 * that nest, so they work on hot data and never cost a pass over memory. Rows are split evenly, so that no block is
 * left with a few of them. The whole depth is done in one go: the order of the sum is a function of the depth alone. MB
 * shrinks as the depth grows, to keep the block of a (MB x depth floats) in L2 next to the panel that is being used,
 * but not below MIN_ROWS: panels come from memory once a block, and what the tile needs in L2 is the block of a for
 * 1024 steps of the depth.
 */
#include "ir/contract.h"
#include "passes/lower/make_kernels.h"

enum { BLOCK_BYTES = 512 << 10, MAX_ROWS = 128, MIN_ROWS = 104 };

static int64_t block_rows(xfc_ctx *ctx, xfc_int depth) {
    int64_t k;
    if (!xfc_int_value(ctx, depth, &k) || k <= 0) return 64;
    int64_t rows = BLOCK_BYTES / (k * 4) / 8 * 8;
    return rows < MIN_ROWS ? MIN_ROWS : rows > MAX_ROWS ? MAX_ROWS : rows;
}

typedef struct {
    xfc_draft d;
    xfc_ctx *ctx;
    xfc_op *op;
    xfc_value *a, *b;
    uint32_t rank, n_batch;      /* of the result; batch dims that are outer axes */
    xfc_int batch[XFC_MAX_RANK]; /* their symbols */
    xfc_type lead;               /* dims that are flattened into rows */
    xfc_int r0, rows, panel, columns;
    int64_t max_rows;
    xfc_contract type;
} contract;

/* Of a panel. */
static xfc_int columns_of(const contract *c) { return xfc_int_const(c->ctx, c->type.panel); }
static xfc_int depth_of(const contract *c) {
    return xfc_int_mulc(c->ctx, c->b->type.dim[c->b->type.rank - 2], c->type.group);
}

static void outer_axes(contract *c) {
    xfc_ctx *ctx = c->ctx;
    const xfc_type *out = &c->op->out[0].type;
    for (uint32_t i = 0; i < c->n_batch; i++) {
        c->batch[i] = xfc_int_axis(ctx, "b", out->dim[i]);
        xfc_draft_axis(&c->d, "b", c->batch[i], out->dim[i]);
    }
    c->lead = (xfc_type){.dtype = out->dtype, .rank = c->rank - 1 - c->n_batch};
    for (uint32_t i = 0; i < c->lead.rank; i++) c->lead.dim[i] = out->dim[c->n_batch + i];
    xfc_int m = xfc_type_count(ctx, &c->lead), blocks = xfc_int_ceildiv(ctx, m, xfc_int_const(ctx, c->max_rows));
    xfc_int block = xfc_int_axis(ctx, "block", blocks);
    xfc_draft_axis(&c->d, "block", block, blocks);
    const xfc_type *bt = &c->b->type;
    xfc_int panels = bt->dim[bt->rank - 3], p = xfc_int_axis(ctx, "panel", panels), width = columns_of(c);
    xfc_draft_axis(&c->d, "panel", p, panels);
    c->panel = p;
    c->columns = xfc_int_min(ctx, width, xfc_int_sub(ctx, out->dim[c->rank - 1], xfc_int_mul(ctx, p, width)));
    if (xfc_int_is(ctx, blocks, 1)) {
        c->r0 = xfc_int_const(ctx, 0);
        c->rows = m;
        return;
    }
    xfc_int zero = xfc_int_const(ctx, 0), one = xfc_int_const(ctx, 1);
    xfc_int start = xfc_int_floordiv(ctx, xfc_int_mul(ctx, block, m), blocks);
    xfc_int end = xfc_int_floordiv(ctx, xfc_int_mul(ctx, xfc_int_add(ctx, block, one), m), blocks);
    c->r0 = xfc_draft_let(&c->d, "r0", start, zero, xfc_int_addc(ctx, m, -1));
    c->rows = xfc_draft_let(&c->d, "rows", xfc_int_sub(ctx, end, c->r0), one, xfc_int_const(ctx, c->max_rows));
}

/* Index of element (row, last) of a tensor with the result's leading dims; operands may broadcast a batch dim. */
static void row_index(const contract *c, const xfc_type *t, xfc_int row, xfc_int last, xfc_int *index) {
    for (uint32_t i = 0; i < c->n_batch; i++)
        index[i] = xfc_broadcast_index(c->ctx, c->batch[i], t->dim[i], c->op->out[0].type.dim[i]);
    xfc_type_delinear(c->ctx, &c->lead, row, index + c->n_batch);
    index[c->rank - 1] = last;
}

static void add_tile(contract *c, uint32_t temp) {
    xfc_ctx *ctx = c->ctx;
    const xfc_type *bt = &c->b->type;
    xfc_int depth = depth_of(c), width = columns_of(c), zero = xfc_int_const(ctx, 0);
    xfc_int row = xfc_int_axis(ctx, "row", xfc_type_count(ctx, &c->lead)), k = xfc_int_axis(ctx, "k", depth);
    xfc_int index[XFC_MAX_RANK] = {{0}};
    row_index(c, &c->a->type, row, k, index);
    xfc_rows r = xfc_tile_rows(ctx, c->a, index, row, k, c->r0);
    xfc_tile t = {.a_row = r.stride,
                  .c_row = width,
                  .rows = c->rows,
                  .depth = depth,
                  .columns = c->columns,
                  .panel = c->type.panel,
                  .group = c->type.group};
    t.a = (xfc_access){.buffer = xfc_draft_buffer_of(&c->d, XFC_BUF_IN, r.source, r.source->type),
                       .rank = r.source->type.rank};
    for (uint32_t d = 0; d < t.a.rank; d++) t.a.index[d] = r.index[d];
    t.b = (xfc_access){.buffer = xfc_draft_buffer_of(&c->d, XFC_BUF_IN, c->b, *bt), .rank = bt->rank};
    for (uint32_t d = 0; d + 3 < bt->rank; d++)
        t.b.index[d] = xfc_broadcast_index(ctx, c->batch[d], bt->dim[d], c->op->out[0].type.dim[d]);
    t.b.index[bt->rank - 3] = c->panel;
    t.b.index[bt->rank - 2] = t.b.index[bt->rank - 1] = zero;
    t.c = (xfc_access){.buffer = temp, .rank = 2, .index = {zero, zero}};
    xfc_draft_tile(&c->d, t);
}

static void add_store(contract *c, uint32_t temp) {
    xfc_ctx *ctx = c->ctx;
    xfc_nestb nb = xfc_nestb_new(ctx, c->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", c->rows, XFC_AXIS_PARALLEL),
            j = xfc_nb_axis(&nb, "j", c->columns, XFC_AXIS_PARALLEL);
    xfc_int column = xfc_int_add(ctx, xfc_int_mul(ctx, c->panel, columns_of(c)), j), index[XFC_MAX_RANK] = {{0}};
    row_index(c, &c->op->out[0].type, xfc_int_add(ctx, c->r0, i), column, index);
    xfc_value *out = xfc_absorb_views(ctx, &c->op->out[0], index);
    uint32_t v = xfc_nb_load(&nb, c->type.sum, temp, (xfc_int[]){i, j}, 2);
    v = xfc_nb_cast(&nb, out->type.dtype, c->type.sum, v);
    xfc_nb_store(&nb, v, xfc_draft_buffer_of(&c->d, XFC_BUF_OUT, out, out->type), index, out->type.rank, XFC_S_COUNT);
    xfc_draft_nest(&c->d, nb.nest);
}

xfc_op *xfc_kernel_contract(xfc_pass *p, xfc_op *op) {
    contract c = {.d = xfc_draft_new(p->graph, "contract"),
                  .ctx = p->graph->ctx,
                  .op = op,
                  .a = op->in[0].value,
                  .b = op->in[1].value,
                  .type = xfc_op_contract(op, 1)};
    const xfc_type *bt = &c.b->type;
    c.rank = op->out[0].type.rank;
    c.n_batch = bt->rank == 3 ? 0 : bt->rank - 3;
    c.max_rows = block_rows(c.ctx, depth_of(&c));
    outer_axes(&c);
    xfc_type temp_type = xfc_type_make(c.type.sum, 2, (xfc_int[]){xfc_int_const(c.ctx, c.max_rows), columns_of(&c)});
    uint32_t temp = xfc_draft_buffer_of(&c.d, XFC_BUF_TEMP, NULL, temp_type);
    add_tile(&c, temp);
    add_store(&c, temp);
    xfc_draft_loc(&c.d, &op->loc, 1);
    xfc_op *made = xfc_draft_commit(&c.d, op, op->loc);
    xfc_absorbed_remove(op);
    return made;
}

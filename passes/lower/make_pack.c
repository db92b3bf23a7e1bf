/* make_pack.c - packing at run time: pack of values that have batch dims, and pack_ragged.
 *
 * What is packed was just written by another kernel and will not fit the L2 cache, so a task takes a block of rows
 * of the source with all of its heads (the last batch dim) and walks along them: reads follow each other in memory.
 * Where the rows of the source become columns (k^T), the emitter turns blocks of vectors in registers.
 * Columns behind the last one are filled up with zeros to whole vectors, which is what tiles read; the rest of the last
 * panel is left as it is. Of a ragged operand only the rows that each sequence has are touched.
 * Where steps of the depth stand together, one point of a nest writes a group of them: side by side, so that the emitter
 * stores whole vectors. What must be turned besides is turned into a temporary of the task first. A last group that is
 * not whole ends in zeros.
 */
#include "passes/lower/make_kernels.h"

enum { BLOCK = 48, LANES = 16 }; /* LANES: of the longest vectors there are; both divide a panel */

xfc_sequence xfc_draft_sequence(xfc_draft *d, xfc_value *cu, xfc_int number, xfc_int rows, xfc_int size) {
    xfc_ctx *ctx = d->e.ctx;
    const xfc_int next = xfc_int_addc(ctx, number, 1);
    xfc_int start = xfc_draft_let_of(d, "start", cu, &number, xfc_int_const(ctx, 0), rows);
    xfc_int limit = xfc_int_min(ctx, rows, xfc_int_add(ctx, start, size));
    xfc_int end = xfc_draft_let_of(d, "end", cu, &next, start, limit);
    xfc_int length = xfc_draft_let(d, "length", xfc_int_sub(ctx, end, start), xfc_int_const(ctx, 0), size);
    return (xfc_sequence){start, length};
}

typedef struct {
    xfc_draft d;
    xfc_ctx *ctx;
    xfc_op *op;
    bool ragged, turned;                /* turned: rows of the source become columns */
    uint32_t n_batch;                   /* dims of the result in front of its panels */
    xfc_int batch[XFC_MAX_RANK], heads; /* heads: extent of the last of them */
    xfc_int start, first;               /* ragged: the sequence's first row, its first panel or group of the depth */
    xfc_int row0, rows, width;          /* the block's rows of the source (of the sequence), its width */
    int64_t group;                      /* steps of the depth that stand together */
    xfc_int panel_width;                /* columns of a panel */
    uint32_t temp;                      /* the block turned: [head, k, row of it]; or XFC_NO_ARG */
} packing;

/* Index of a row and column of the source. */
static void source_index(const packing *t, xfc_int row, xfc_int column, xfc_int *index) {
    uint32_t n = t->n_batch;
    bool swap = t->turned && !t->ragged;
    if (t->ragged) row = xfc_int_add(t->ctx, t->start, row);
    for (uint32_t d = 0; d < n; d++) index[d] = t->batch[d];
    index[n] = swap ? column : row;
    index[n + 1] = swap ? row : column;
}

/* Is the source of a pack read along its depth? */
static bool reads_depth(packing *t) {
    xfc_value *x = t->op->in[0].value;
    const xfc_type *type = &x->type;
    xfc_int k = xfc_int_axis(t->ctx, "k", type->dim[type->rank - 2]), index[XFC_MAX_RANK] = {{0}}, unit, rest;
    for (uint32_t d = 0; d < t->n_batch; d++) index[d] = t->batch[d];
    index[t->n_batch] = k;
    index[t->n_batch + 1] = xfc_int_axis(t->ctx, "c", type->dim[type->rank - 1]);
    x = xfc_resolve_view(t->ctx, x, index);
    xfc_int offset = xfc_type_linear(t->ctx, &x->type, index);
    return xfc_int_linear_in(t->ctx, offset, k, &unit, &rest) && xfc_int_is(t->ctx, unit, 1);
}

typedef struct { /* steps x panels x columns; only where the source is not turned is there more than one panel */
    xfc_int step0, steps; /* groups of the depth */
    xfc_int panel0, panels, column0, columns;
    uint32_t loads; /* steps of each group that are read; zeros are the others */
} piece;

static uint32_t load_source(packing *t, xfc_nestb *nb, xfc_int row, xfc_int column) {
    xfc_int index[XFC_MAX_RANK] = {{0}};
    source_index(t, row, column, index);
    xfc_value *x = xfc_resolve_view(t->ctx, t->op->in[0].value, index);
    uint32_t buffer = xfc_draft_buffer_of(&t->d, XFC_BUF_IN, x, x->type);
    return xfc_nb_load(nb, x->type.dtype, buffer, index, x->type.rank);
}

/* Step k of a column, in the type of the panels. */
static uint32_t load_step(packing *t, xfc_nestb *nb, xfc_int k, xfc_int column) {
    xfc_dtype from = t->op->in[0].value->type.dtype, to = t->op->out[0].type.dtype;
    uint32_t v;
    if (t->temp != XFC_NO_ARG) {
        const xfc_int at[3] = {t->batch[t->n_batch - 1], k, xfc_int_sub(t->ctx, column, t->row0)};
        v = xfc_nb_load(nb, from, t->temp, at, 3);
    } else {
        v = t->turned ? load_source(t, nb, column, k) : load_source(t, nb, k, column);
    }
    return xfc_nb_cast(nb, to, from, v);
}

/* The last loop is along the columns of a panel. */
static void add_copy(packing *t, piece c) {
    xfc_ctx *ctx = t->ctx;
    const xfc_type *out = &t->op->out[0].type;
    if (xfc_int_is(ctx, c.steps, 0) || xfc_int_is(ctx, c.columns, 0) || xfc_int_is(ctx, c.panels, 0)) return;
    xfc_nestb nb = xfc_nestb_new(ctx, t->d.e.arena);
    xfc_int *head = &t->batch[t->n_batch - 1], to[XFC_MAX_RANK] = {{0}}, *at = &to[t->n_batch], step, column, place;
    if (t->turned) *head = xfc_nb_axis(&nb, "head", t->heads, XFC_AXIS_PARALLEL);
    step = xfc_int_add(ctx, c.step0, xfc_nb_axis(&nb, "k", c.steps, XFC_AXIS_PARALLEL));
    at[1] = step;
    if (t->turned) {
        column = xfc_int_add(ctx, c.column0, xfc_nb_axis(&nb, "c", c.columns, XFC_AXIS_PARALLEL));
        at[0] = xfc_int_add(ctx, t->first, xfc_int_floordiv(ctx, column, t->panel_width));
        place = xfc_int_mod(ctx, column, t->panel_width);
    } else {
        *head = xfc_nb_axis(&nb, "head", t->heads, XFC_AXIS_PARALLEL);
        at[0] = xfc_int_add(ctx, c.panel0, xfc_nb_axis(&nb, "panel", c.panels, XFC_AXIS_PARALLEL));
        at[1] = xfc_int_add(ctx, t->first, step);
        place = xfc_int_add(ctx, c.column0, xfc_nb_axis(&nb, "c", c.columns, XFC_AXIS_PARALLEL));
        column = xfc_int_add(ctx, xfc_int_mul(ctx, at[0], t->panel_width), place);
    }
    for (uint32_t d = 0; d < t->n_batch; d++) to[d] = t->batch[d];
    for (uint32_t k = 0; k < t->group; k++) {
        xfc_int of_depth = xfc_int_addc(ctx, xfc_int_mulc(ctx, step, t->group), k);
        uint32_t v = k < c.loads ? load_step(t, &nb, of_depth, column) : xfc_nb_const_f(&nb, out->dtype, 0);
        at[2] = xfc_int_addc(ctx, xfc_int_mulc(ctx, place, t->group), k);
        xfc_nb_store(&nb, v, xfc_draft_buffer_of(&t->d, XFC_BUF_OUT, &t->op->out[0], *out), to, out->rank, XFC_S_COUNT);
    }
    xfc_draft_nest(&t->d, nb.nest);
}

/* How many zeros make n columns whole vectors. */
static xfc_int missing(xfc_ctx *ctx, xfc_int n) {
    xfc_int lanes = xfc_int_const(ctx, LANES);
    return xfc_int_sub(ctx, xfc_int_mul(ctx, xfc_int_ceildiv(ctx, n, lanes), lanes), n);
}

/* The block's rows as columns of the temporary. */
static void add_turn(packing *t) {
    xfc_ctx *ctx = t->ctx;
    const xfc_dtype type = t->op->in[0].value->type.dtype;
    const xfc_int block = xfc_int_const(ctx, BLOCK), dim[3] = {t->heads, t->width, block};
    xfc_nestb nb = xfc_nestb_new(ctx, t->d.e.arena);
    xfc_int at[3], *head = &t->batch[t->n_batch - 1];
    at[0] = *head = xfc_nb_axis(&nb, "head", t->heads, XFC_AXIS_PARALLEL);
    at[1] = xfc_nb_axis(&nb, "k", t->width, XFC_AXIS_PARALLEL);
    at[2] = xfc_nb_axis(&nb, "c", t->rows, XFC_AXIS_PARALLEL);
    uint32_t v = load_source(t, &nb, xfc_int_add(ctx, t->row0, at[2]), at[1]);
    t->temp = xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, xfc_type_make(type, 3, dim));
    xfc_nb_store(&nb, v, t->temp, at, 3, XFC_S_COUNT);
    xfc_draft_nest(&t->d, nb.nest);
}

static void add_turned(packing *t) {
    xfc_int zero = xfc_int_const(t->ctx, 0), one = xfc_int_const(t->ctx, 1);
    const xfc_int group = xfc_int_const(t->ctx, t->group), steps = xfc_int_floordiv(t->ctx, t->width, group);
    if (t->group > 1) add_turn(t);
    add_copy(t, (piece){zero, steps, zero, one, t->row0, t->rows, (uint32_t)t->group});
    if (t->group == 2) /* a last step without another */
        add_copy(t, (piece){steps, xfc_int_mod(t->ctx, t->width, group), zero, one, t->row0, t->rows, 1});
    xfc_int end = xfc_int_add(t->ctx, t->row0, t->rows), all = xfc_int_ceildiv(t->ctx, t->width, group);
    add_copy(t, (piece){zero, all, zero, one, end, missing(t->ctx, t->rows), 0});
}

/* The columns of all panels, some groups of the depth. */
static void add_columns(packing *t, xfc_int step0, xfc_int steps, uint32_t loads) {
    xfc_ctx *ctx = t->ctx;
    xfc_int panel = t->panel_width, zero = xfc_int_const(ctx, 0), one = xfc_int_const(ctx, 1);
    xfc_int whole = xfc_int_floordiv(ctx, t->width, panel);
    xfc_int rest = xfc_int_sub(ctx, t->width, xfc_int_mul(ctx, whole, panel));
    add_copy(t, (piece){step0, steps, zero, whole, zero, panel, loads});
    add_copy(t, (piece){step0, steps, whole, one, zero, rest, loads});
    add_copy(t, (piece){step0, steps, whole, one, rest, missing(ctx, rest), 0});
}

static void add_straight(packing *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_int group = xfc_int_const(ctx, t->group), step0 = xfc_int_floordiv(ctx, t->row0, group);
    xfc_int steps = xfc_int_floordiv(ctx, t->rows, group);
    add_columns(t, step0, steps, (uint32_t)t->group);
    if (t->group == 2) /* a last row without another */
        add_columns(t, xfc_int_add(ctx, step0, steps), xfc_int_mod(ctx, t->rows, group), 1);
}

/* How many rows the sequence has. */
static xfc_int set_sequence(packing *t, xfc_int number, xfc_int longest) {
    const xfc_type *x = &t->op->in[0].value->type;
    xfc_sequence s = xfc_draft_sequence(&t->d, t->op->in[1].value, number, x->dim[1], longest);
    xfc_int unit = t->turned ? t->panel_width : xfc_int_const(t->ctx, t->group);
    t->start = s.start;
    t->first = xfc_int_add(t->ctx, xfc_int_floordiv(t->ctx, s.start, unit), number);
    return s.length;
}

/* Outer axes: sequences, or batch dims but the last; blocks of rows. n_rows: the most rows there can be. */
static void set_up(packing *t, xfc_int n_rows) {
    xfc_ctx *ctx = t->ctx;
    xfc_int block = xfc_int_const(ctx, BLOCK), zero = xfc_int_const(ctx, 0), number = zero;
    t->first = zero;
    if (t->ragged) number = xfc_draft_outer(&t->d, "b", xfc_int_addc(ctx, t->op->in[1].value->type.dim[0], -1));
    xfc_int b = xfc_draft_outer(&t->d, "block", xfc_int_ceildiv(ctx, n_rows, block));
    if (t->ragged) n_rows = set_sequence(t, number, n_rows);
    t->row0 = xfc_int_mul(ctx, b, block);
    xfc_int left = xfc_int_min(ctx, block, xfc_int_sub(ctx, n_rows, t->row0));
    t->rows = xfc_draft_let(&t->d, "rows", xfc_int_max(ctx, left, zero), zero, block);
}

xfc_op *xfc_kernel_pack(xfc_pass *p, xfc_op *op) {
    packing t = {.d = xfc_draft_new(p->graph, "view"), .ctx = p->graph->ctx, .op = op, .temp = XFC_NO_ARG};
    const xfc_type *x = &op->in[0].value->type, *out = &op->out[0].type;
    t.ragged = op->code == XFC_OP_PACK_RAGGED;
    t.n_batch = out->rank - 3;
    t.heads = out->dim[t.n_batch - 1];
    for (uint32_t d = 0; d < t.n_batch; d++) t.batch[d] = xfc_int_axis(t.ctx, "b", out->dim[d]);
    for (uint32_t d = 0; d + 1 < t.n_batch; d++) xfc_draft_axis(&t.d, "b", t.batch[d], out->dim[d]);
    t.group = xfc_op_int(op, XFC_K_GROUP, 1);
    t.panel_width = xfc_int_const(t.ctx, xfc_op_int(op, XFC_K_PANEL, 0));
    t.turned = t.ragged ? xfc_op_int(op, XFC_K_AXIS, 1) == 1 : reads_depth(&t);
    bool depth_last = t.turned && !t.ragged;
    t.width = x->dim[x->rank - (depth_last ? 2 : 1)];
    set_up(&t, t.ragged ? xfc_op_attr(op, XFC_K_SIZE)->u.dims[0] : x->dim[x->rank - (depth_last ? 1 : 2)]);
    if (t.turned)
        add_turned(&t);
    else
        add_straight(&t);
    xfc_draft_loc(&t.d, &op->loc, 1);
    xfc_op *made = xfc_draft_commit(&t.d, op, op->loc);
    xfc_op_remove(op);
    return made;
}

/* make_attention.c - the fused attention kernel, dense and ragged.
 *
 * Tasks are (batch, head, block of RB query rows), or (block, head) where the blocks of ragged sequences come from a
 * list. A task holds the scores of its rows in a temporary (RB x keys floats), takes a full softmax of each row there,
 * and multiplies by v; neither scores nor probabilities ever reach memory that another task sees. k^T and v were packed
 * once per (batch or sequence, head) by kernels of their own. Division by the row's sum is applied to the result.
 * softmax((q k^T) * scale + bias), the products capped and beside a sink where there are such: the exponent is taken of score - row maximum, as in softmax's own decomposition.
 * Products of bf16 have f32 scores and sums too; the exponents are rounded on their way into a temporary of their own.
 *
 * Few rows against keys that are not their own read k and v where they lie, as plain nests: to pack
 * a cache would cost more than the products. Where only the call knows how many rows there are, one kernel has the steps
 * of both ways; those of one of them have no rows, and what is packed for it is empty.
 *
 * Such keys are split in parts, a task each, so that few heads use many threads, and heads that share keys find them
 * in a cache. What a part leaves (the product, its largest score, the sum of its exponents) a second kernel joins
 * (join_attention.c), in the order of the parts: bits depend on the number of keys alone.
 *
 * Where the bias hides keys, a block looks at those that its reach names only (runtime/kernels/reach.c): panels that no row
 * sees are neither multiplied nor read, be it for causality, a window, padding, or a cache with rows that are not used yet.
 *
 * Ragged: a row's keys are those of its sequence, so the order of its sums depends on the sequence's length alone: the
 * bits are the same alone and in any batch. What the biases of one key are is looked up once a task (`keys_bias`),
 * where they are the same for all rows.
 */
#include "ir/contract.h"
#include "passes/lower/make_kernels.h"
#include <string.h>

/* Keys of a part, in panels: to begin one costs about a microsecond, so there are many, unless heads share them: then those of
 * a part, and their values, should stay in the second-level cache. */
enum { RB = XFC_QUERIES, MOST_PANELS = 20, LEAST_PANELS = 4, SHARED_BYTES = 448 << 10 };

typedef struct {
    xfc_draft d;
    xfc_ctx *ctx;
    xfc_op *op;
    bool ragged;
    uint32_t at_rest;    /* operand that is k where it lies, v is the next; XFC_NO_ARG: there is none */
    xfc_int b, h;        /* b: batch, or sequence */
    xfc_int first, rows; /* the block's first row in q and in the result; rows that steps are for */
    xfc_int start;       /* ragged: the sequence's first row */
    xfc_int block;       /* its number */
    xfc_int all, from;   /* keys; the first that the block looks at, which begins a panel where they are packed */
    xfc_int part, parts; /* of the keys that lie at rest; parts NONE: they are not split */
    xfc_int keys, values, key_row, value_row;  /* keys: that it looks at; *_row: row distance of the temporaries */
    uint32_t scores, top, sum, mix, keys_bias; /* temporaries */
    uint32_t weights;                          /* the exponents: scores, or a temporary of the products' type */
    int64_t group;                             /* steps of both depths that stand together */
} attention;

static xfc_value *operand(const attention *t, uint32_t i) { return i < t->op->n_in ? t->op->in[i].value : NULL; }
static xfc_value *bias_of(const attention *t) { return operand(t, t->ragged ? 6 : 3); }
static xfc_value *row_bias(const attention *t) { return t->ragged ? operand(t, 7) : NULL; }
static xfc_value *column_bias(const attention *t) { return t->ragged ? operand(t, 8) : NULL; }
static xfc_value *sink_of(const attention *t) {
    return t->ragged ? NULL : operand(t, t->op->code == XFC_OP_ATTENTION ? 5 : 7);
}
static double cap_of(const attention *t) { return xfc_op_float(t->op, XFC_K_SOFTCAP, 0); }

static xfc_int rounded(xfc_ctx *ctx, xfc_int n, int64_t multiple) {
    return xfc_int_mulc(ctx, xfc_int_ceildiv(ctx, n, xfc_int_const(ctx, multiple)), multiple);
}

static uint32_t temporary_of(attention *t, xfc_dtype type, uint32_t rank, xfc_int rows, xfc_int columns) {
    return xfc_draft_buffer_of(&t->d, XFC_BUF_TEMP, NULL, xfc_type_make(type, rank, (xfc_int[]){rows, columns}));
}
static uint32_t temporary(attention *t, uint32_t rank, xfc_int rows, xfc_int columns) {
    return temporary_of(t, XFC_F32, rank, rows, columns);
}
static bool is_split(const attention *t) { return xfc_int_known(t->parts); }
static xfc_dtype product_type(const attention *t) { return t->op->in[0].value->type.dtype; }

/* 1 where a call's keys are packed, of which there is one part with all of them; else 0. */
static xfc_int whole(const attention *t) {
    return t->at_rest == 1 ? xfc_int_const(t->ctx, 0)
                           : xfc_int_min(t->ctx, xfc_int_const(t->ctx, 1), t->op->in[1].value->type.dim[0]);
}

/* Do heads share keys, which are then a view of fewer? */
static bool heads_share(const attention *t) {
    xfc_value *k = operand(t, t->at_rest);
    xfc_int index[XFC_MAX_RANK];
    for (uint32_t d = 0; d < 4; d++) index[d] = xfc_int_axis(t->ctx, "i", k->type.dim[d]);
    const xfc_value *source = xfc_resolve_view(t->ctx, k, index);
    return !xfc_int_same(xfc_type_count(t->ctx, &source->type), xfc_type_count(t->ctx, &k->type));
}

static int64_t keys_of_part(const attention *t) {
    const xfc_type *k = &operand(t, t->at_rest)->type, *v = &operand(t, t->at_rest + 1)->type;
    int64_t width[2];
    if (!heads_share(t) || !xfc_int_value(t->ctx, k->dim[3], &width[0]) || !xfc_int_value(t->ctx, v->dim[3], &width[1]))
        return (int64_t)MOST_PANELS * XFC_PANEL;
    int64_t bytes = (width[0] + width[1] + 1) * xfc_dtype_bytes(k->dtype), panels = SHARED_BYTES / bytes / XFC_PANEL;
    return (panels < LEAST_PANELS ? LEAST_PANELS : panels > MOST_PANELS ? MOST_PANELS : panels) * XFC_PANEL;
}

static void set_parts(attention *t) {
    xfc_ctx *ctx = t->ctx;
    int64_t lo, hi;
    if (t->at_rest == XFC_NO_ARG) return;
    const int64_t size = keys_of_part(t);
    xfc_int_range(ctx, t->all, &lo, &hi);
    if (hi < size + size / 2) return;
    xfc_int one = xfc_int_const(ctx, 1), split = xfc_int_sub(ctx, one, whole(t));
    xfc_int nearest = xfc_int_floordiv(ctx, xfc_int_addc(ctx, t->all, size / 2), xfc_int_const(ctx, size));
    t->parts = xfc_int_max(ctx, one, xfc_int_mul(ctx, split, nearest));
}

/* Of all keys those of the part; parts differ by one. */
static void set_keys(attention *t) {
    xfc_ctx *ctx = t->ctx;
    if (!is_split(t)) return;
    xfc_int zero = xfc_int_const(ctx, 0), next = xfc_int_addc(ctx, t->part, 1);
    xfc_int from = xfc_int_floordiv(ctx, xfc_int_mul(ctx, t->part, t->all), t->parts),
            end = xfc_int_floordiv(ctx, xfc_int_mul(ctx, next, t->all), t->parts);
    t->from = xfc_draft_let(&t->d, "from", from, zero, t->all);
    t->keys = xfc_draft_let(&t->d, "keys", xfc_int_sub(ctx, end, t->from), zero, t->all);
}

static void set_dense(attention *t) {
    xfc_ctx *ctx = t->ctx;
    const xfc_type *q = &t->op->in[0].value->type;
    xfc_int block = xfc_int_const(ctx, RB);
    t->b = xfc_draft_outer(&t->d, "b", q->dim[0]);
    set_parts(t);
    bool parts_first = is_split(t) && heads_share(t); /* what heads share is then still in a cache */
    if (parts_first) t->part = xfc_draft_outer(&t->d, "part", t->parts);
    t->h = xfc_draft_outer(&t->d, "h", q->dim[1]);
    if (is_split(t) && !parts_first) t->part = xfc_draft_outer(&t->d, "part", t->parts);
    t->block = xfc_draft_outer(&t->d, "block", xfc_int_ceildiv(ctx, q->dim[2], block));
    t->first = xfc_int_mul(ctx, t->block, block);
    t->rows = xfc_int_min(ctx, block, xfc_int_sub(ctx, q->dim[2], t->first));
}

static void set_ragged(attention *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *cu = operand(t, 3), *tasks = operand(t, 4);
    const xfc_type *q = &t->op->in[0].value->type;
    xfc_int zero = xfc_int_const(ctx, 0), task = t->block = xfc_draft_outer(&t->d, "task", tasks->type.dim[0]);
    t->h = xfc_draft_outer(&t->d, "h", q->dim[0]);
    const xfc_int sequence[2] = {task, zero}, row[2] = {task, xfc_int_const(ctx, 1)};
    t->b = xfc_draft_let_of(&t->d, "sequence", tasks, sequence, zero, xfc_int_addc(ctx, cu->type.dim[0], -2));
    xfc_int size = xfc_op_attr(t->op, XFC_K_SIZE)->u.dims[0];
    xfc_sequence s = xfc_draft_sequence(&t->d, cu, t->b, q->dim[1], size);
    xfc_int r0 = xfc_draft_let_of(&t->d, "row", tasks, row, zero, xfc_int_addc(ctx, s.length, -1));
    t->start = s.start;
    t->keys = s.length;
    t->first = xfc_int_add(ctx, s.start, r0);
    xfc_int left = xfc_int_sub(ctx, s.length, r0), block = xfc_int_const(ctx, RB);
    t->rows = xfc_draft_let(&t->d, "rows", xfc_int_min(ctx, block, left), xfc_int_const(ctx, 1), block);
}

/* Where the block's entry of the reach is, but for the last index. */
static uint32_t reach_index(const attention *t, const xfc_type *reach, xfc_int *index) {
    const xfc_type *q = &t->op->in[0].value->type;
    if (t->ragged) return index[0] = t->block, 1;
    const xfc_int full[3] = {t->b, t->h, t->block},
                  out[3] = {q->dim[0], q->dim[1], xfc_int_ceildiv(t->ctx, q->dim[2], xfc_int_const(t->ctx, RB))};
    for (uint32_t d = 0; d < 3; d++) index[d] = xfc_broadcast_index(t->ctx, full[d], reach->dim[d], out[d]);
    return 3;
}

/* Of the keys that there are those that the reach of the bias leaves the block; most: how many there may be. */
static void set_reach(attention *t, xfc_int most) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *reach = operand(t, t->ragged ? 9 : t->op->code == XFC_OP_ATTENTION ? 4 : 6);
    if (!reach) return;
    const xfc_int zero = xfc_int_const(ctx, 0), panel = xfc_int_const(ctx, XFC_PANEL),
                  panels = xfc_int_ceildiv(ctx, most, panel);
    xfc_int index[4], bound[2];
    uint32_t last = reach_index(t, &reach->type, index);
    for (uint32_t i = 0; i < 2; i++) {
        index[last] = xfc_int_const(ctx, i);
        bound[i] = xfc_draft_let_of(&t->d, i ? "end" : "begin", reach, index, zero, panels);
        bound[i] = xfc_int_min(ctx, xfc_int_mul(ctx, bound[i], panel), xfc_int_add(ctx, t->from, t->keys));
        bound[i] = xfc_int_max(ctx, bound[i], t->from);
    }
    t->from = xfc_draft_let(&t->d, "from", bound[0], zero, most);
    t->keys = xfc_draft_let(&t->d, "keys", xfc_int_max(ctx, xfc_int_sub(ctx, bound[1], t->from), zero), zero, most);
}

static void set_up(attention *t) {
    xfc_int block = xfc_int_const(t->ctx, RB), size[2];
    if (t->at_rest == 1)
        size[0] = t->op->in[1].value->type.dim[2], size[1] = t->op->in[2].value->type.dim[3];
    else
        memcpy(size, xfc_op_attr(t->op, XFC_K_SIZE)->u.dims, sizeof size);
    t->keys = t->all = size[0];
    t->from = xfc_int_const(t->ctx, 0);
    t->parts = XFC_INT_NONE;
    if (t->ragged)
        set_ragged(t);
    else
        set_dense(t);
    set_keys(t);
    set_reach(t, size[0]);
    t->values = size[1];
    t->key_row = rounded(t->ctx, size[0], XFC_PANEL); /* the columns of whole panels */
    t->value_row = rounded(t->ctx, size[1], XFC_PANEL);
    t->group = xfc_op_int(t->op, XFC_K_GROUP, 1);
    t->weights = t->scores = temporary(t, 2, block, t->key_row);
    if (t->group > 1) t->weights = temporary_of(t, product_type(t), 2, block, t->key_row);
    t->top = temporary(t, 1, block, block);
    t->sum = temporary(t, 1, block, block);
    t->mix = temporary(t, 2, block, t->value_row);
    t->keys_bias = XFC_NO_ARG;
}

/* Index of (row i of the block, column) in q or in the result. */
static void index_of(const attention *t, xfc_int row, xfc_int column, xfc_int *index) {
    uint32_t n = 0;
    if (!t->ragged) index[n++] = t->b;
    index[n++] = t->h;
    index[n++] = row;
    index[n] = column;
}

/* From panel and row of the panel on; ragged operands have no dim of sequences. */
static xfc_access packed_access(attention *t, xfc_value *v, xfc_int panel, xfc_int row) {
    xfc_access a = {.buffer = xfc_draft_buffer_of(&t->d, XFC_BUF_IN, v, v->type), .rank = v->type.rank};
    xfc_int *at = a.index;
    if (!t->ragged) *at++ = t->b;
    at[0] = t->h, at[1] = panel, at[2] = row, at[3] = xfc_int_const(t->ctx, 0);
    return a;
}

/* In units of so many keys, where the block's first one is: of a sequence as pack_ragged places units. */
static xfc_int first_unit(const attention *t, int64_t unit) {
    const xfc_int n = xfc_int_const(t->ctx, unit);
    xfc_int first = xfc_int_floordiv(t->ctx, t->from, n);
    if (!t->ragged) return first;
    return xfc_int_add(t->ctx, first, xfc_int_add(t->ctx, xfc_int_floordiv(t->ctx, t->start, n), t->b));
}

static void add_scores(attention *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *q = t->op->in[0].value, *k = t->op->in[1].value;
    xfc_int row = xfc_int_axis(ctx, "row", q->type.dim[q->type.rank - 2]), depth = q->type.dim[q->type.rank - 1];
    xfc_int zero = xfc_int_const(ctx, 0), kk = xfc_int_axis(ctx, "k", depth), index[XFC_MAX_RANK] = {{0}};
    index_of(t, row, kk, index);
    xfc_rows r = xfc_tile_rows(ctx, q, index, row, kk, t->first);
    uint32_t panel = xfc_op_contract(t->op, 1).panel;
    xfc_int first = first_unit(t, panel);
    xfc_tile s = {.a_row = r.stride,
                  .c_row = t->key_row,
                  .rows = t->rows,
                  .depth = depth,
                  .columns = t->keys,
                  .panel = panel,
                  .group = (uint32_t)t->group};
    s.a = (xfc_access){.buffer = xfc_draft_buffer_of(&t->d, XFC_BUF_IN, r.source, r.source->type),
                       .rank = r.source->type.rank};
    for (uint32_t d = 0; d < s.a.rank; d++) s.a.index[d] = r.index[d];
    s.b = packed_access(t, k, first, zero);
    s.c = (xfc_access){.buffer = t->scores, .rank = 2, .index = {zero, zero}};
    xfc_draft_tile(&t->d, s);
}

/* The position in its padded sequence that row `at` of all had: a let. */
static xfc_int position(attention *t, xfc_nestb *nb, xfc_int at) {
    xfc_value *pos = operand(t, 5);
    xfc_int size = xfc_op_attr(t->op, XFC_K_SIZE)->u.dims[0];
    uint32_t v = xfc_nb_load(nb, XFC_I32, xfc_draft_buffer_of(&t->d, XFC_BUF_IN, pos, pos->type), &at, 1);
    return xfc_nb_let(nb, "position", v, xfc_int_const(t->ctx, 0), xfc_int_addc(t->ctx, size, -1), false);
}

/* Of all rows, key j of those that the block looks at. */
static xfc_int key_row(const attention *t, xfc_int j) {
    return xfc_int_add(t->ctx, xfc_int_add(t->ctx, t->start, t->from), j);
}

/* Ragged bias of (row i of the block, key j); a dim of 1 has one index and asks for no position. */
static uint32_t load_ragged_bias(attention *t, xfc_nestb *nb, xfc_int i, xfc_int j) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *bias = bias_of(t);
    xfc_int zero = xfc_int_const(ctx, 0), index[4] = {t->b, t->h, zero, zero};
    for (uint32_t d = 0; d < 2; d++)
        if (xfc_int_is(ctx, bias->type.dim[d], 1)) index[d] = zero;
    if (!xfc_int_is(ctx, bias->type.dim[2], 1)) index[2] = position(t, nb, xfc_int_add(ctx, t->first, i));
    if (!xfc_int_is(ctx, bias->type.dim[3], 1)) index[3] = position(t, nb, key_row(t, j));
    return xfc_nb_load(nb, XFC_F32, xfc_draft_buffer_of(&t->d, XFC_BUF_IN, bias, bias->type), index, 4);
}

/* keys_bias: the bias of each key, where it is the same for all rows and not for all keys. */
static void add_keys_bias(attention *t) {
    xfc_value *bias = bias_of(t);
    if (!t->ragged || !bias || !xfc_int_is(t->ctx, bias->type.dim[2], 1) || xfc_int_is(t->ctx, bias->type.dim[3], 1))
        return;
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int j = xfc_nb_axis(&nb, "j", t->keys, XFC_AXIS_PARALLEL);
    t->keys_bias = temporary(t, 1, t->key_row, t->key_row);
    uint32_t v = load_ragged_bias(t, &nb, xfc_int_const(t->ctx, 0), j);
    xfc_nb_store(&nb, v, t->keys_bias, &j, 1, XFC_S_COUNT);
    xfc_draft_nest(&t->d, nb.nest);
}

/* A ragged bias that was computed from rows: operand 7 from the query's, 8 from the key's. */
static uint32_t load_content_bias(attention *t, xfc_nestb *nb, uint32_t from, xfc_int i, xfc_int j) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *bias = operand(t, from);
    xfc_int zero = xfc_int_const(ctx, 0), row = xfc_int_add(ctx, t->first, i), key = key_row(t, j);
    xfc_int index[4] = {zero, xfc_int_is(ctx, bias->type.dim[1], 1) ? zero : t->h, row, key};
    uint32_t by_position = from == 7 ? 3 : 2;
    bool varies = !xfc_int_is(ctx, bias->type.dim[by_position], 1);
    index[by_position] = varies ? position(t, nb, index[by_position]) : zero;
    return xfc_nb_load(nb, XFC_F32, xfc_draft_buffer_of(&t->d, XFC_BUF_IN, bias, bias->type), index, 4);
}

/* Of a value that broadcasts to rows and `columns`, for row i of the block. */
static uint32_t load_beside(attention *t, xfc_nestb *nb, xfc_value *v, xfc_int i, xfc_int column, xfc_int columns) {
    return xfc_attention_beside(&t->d, nb, t->op, v, (xfc_int[]){t->b, t->h, xfc_int_add(t->ctx, t->first, i), column},
                                columns);
}

static uint32_t load_bias(attention *t, xfc_nestb *nb, xfc_int i, xfc_int j) {
    if (t->keys_bias != XFC_NO_ARG) return xfc_nb_load(nb, XFC_F32, t->keys_bias, &j, 1);
    if (t->ragged) return load_ragged_bias(t, nb, i, j);
    return load_beside(t, nb, bias_of(t), i, xfc_int_add(t->ctx, t->from, j), t->all);
}

/* With a positive scale and nothing else, the largest score is that of the largest product: the scale waits for the exponent
 * and the first pass writes nothing back. */
static bool scales_late(const attention *t) {
    bool plain = !bias_of(t) && !row_bias(t) && !column_bias(t) && !sink_of(t) && cap_of(t) == 0;
    return plain && xfc_op_float(t->op, XFC_K_SCALE, 1) > 0;
}

static uint32_t plus(xfc_nestb *nb, uint32_t a, uint32_t b) {
    return xfc_nb_op(nb, XFC_S_ADD, XFC_F32, a, b, XFC_NO_ARG);
}

/* c * tanh(v / c) */
static uint32_t capped(const attention *t, xfc_nestb *nb, uint32_t v) {
    uint32_t cap = xfc_nb_const_f(nb, XFC_F32, cap_of(t));
    v = xfc_nb_op(nb, XFC_S_DIV, XFC_F32, v, cap, XFC_NO_ARG);
    v = xfc_nb_op(nb, XFC_S_TANH, XFC_F32, v, XFC_NO_ARG, XFC_NO_ARG);
    return xfc_nb_op(nb, XFC_S_MUL, XFC_F32, v, cap, XFC_NO_ARG);
}

/* The sink is one score more of each row. sum: once there are exponents; else of the largest scores. */
static void add_sink(attention *t, bool sum) {
    if (!sink_of(t) || is_split(t)) return;
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), zero = xfc_int_const(t->ctx, 0);
    uint32_t sink = load_beside(t, &nb, sink_of(t), i, zero, xfc_int_const(t->ctx, 1)),
             top = xfc_nb_load(&nb, XFC_F32, t->top, &i, 1), v;
    if (sum) {
        v = xfc_nb_op(&nb, XFC_S_SUB, XFC_F32, sink, top, XFC_NO_ARG);
        v = xfc_nb_op(&nb, XFC_S_EXP, XFC_F32, v, XFC_NO_ARG, XFC_NO_ARG);
        v = plus(&nb, xfc_nb_load(&nb, XFC_F32, t->sum, &i, 1), v);
    } else {
        v = xfc_nb_op(&nb, XFC_S_MAX, XFC_F32, top, sink, XFC_NO_ARG);
    }
    xfc_nb_store(&nb, v, sum ? t->sum : t->top, &i, 1, XFC_S_COUNT);
    xfc_draft_nest(&t->d, nb.nest);
}

/* scores = scores * scale, capped, + bias, unless that waits; top = their maximum. */
static void add_maximum(attention *t) {
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), j = xfc_nb_axis(&nb, "j", t->keys, XFC_AXIS_REDUCE);
    uint32_t v = xfc_nb_load(&nb, XFC_F32, t->scores, (xfc_int[]){i, j}, 2);
    if (!scales_late(t)) {
        uint32_t scale = xfc_nb_const_f(&nb, XFC_F32, xfc_op_float(t->op, XFC_K_SCALE, 1));
        v = xfc_nb_op(&nb, XFC_S_MUL, XFC_F32, v, scale, XFC_NO_ARG);
        if (cap_of(t) > 0) v = capped(t, &nb, v);
        if (bias_of(t)) v = plus(&nb, v, load_bias(t, &nb, i, j));
        if (row_bias(t)) v = plus(&nb, v, load_content_bias(t, &nb, 7, i, j));
        if (column_bias(t)) v = plus(&nb, v, load_content_bias(t, &nb, 8, i, j));
        xfc_nb_store(&nb, v, t->scores, (xfc_int[]){i, j}, 2, XFC_S_COUNT);
    }
    xfc_nb_store(&nb, v, t->top, &i, 1, XFC_S_MAX);
    xfc_draft_nest(&t->d, nb.nest);
}

/* weights = exp(scores - top), both times the scale if it waited; sum = their sum, before they are rounded. */
static void add_exponent(attention *t) {
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), j = xfc_nb_axis(&nb, "j", t->keys, XFC_AXIS_REDUCE);
    uint32_t s = xfc_nb_load(&nb, XFC_F32, t->scores, (xfc_int[]){i, j}, 2),
             top = xfc_nb_load(&nb, XFC_F32, t->top, &i, 1), x;
    if (scales_late(t)) {
        uint32_t scale = xfc_nb_const_f(&nb, XFC_F32, xfc_op_float(t->op, XFC_K_SCALE, 1));
        top = xfc_nb_op(&nb, XFC_S_MUL, XFC_F32, top, scale, XFC_NO_ARG);
        top = xfc_nb_op(&nb, XFC_S_NEG, XFC_F32, top, XFC_NO_ARG, XFC_NO_ARG);
        x = xfc_nb_op(&nb, XFC_S_FMA, XFC_F32, s, scale, top);
    } else {
        x = xfc_nb_op(&nb, XFC_S_SUB, XFC_F32, s, top, XFC_NO_ARG);
    }
    uint32_t e = xfc_nb_op(&nb, XFC_S_EXP, XFC_F32, x, XFC_NO_ARG, XFC_NO_ARG);
    uint32_t weight = xfc_nb_cast(&nb, product_type(t), XFC_F32, e);
    xfc_nb_store(&nb, weight, t->weights, (xfc_int[]){i, j}, 2, XFC_S_COUNT);
    xfc_nb_store(&nb, e, t->sum, &i, 1, XFC_S_ADD);
    xfc_draft_nest(&t->d, nb.nest);
}

/* Zeros behind the last key of each row, where the last group of values is not whole. */
static void fill_group(attention *t, xfc_int depth) {
    xfc_int missing = xfc_int_sub(t->ctx, depth, t->keys);
    if (xfc_int_is(t->ctx, missing, 0)) return;
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL),
            j = xfc_int_add(t->ctx, t->keys, xfc_nb_axis(&nb, "j", missing, XFC_AXIS_PARALLEL));
    xfc_nb_store(&nb, xfc_nb_const_f(&nb, product_type(t), 0), t->weights, (xfc_int[]){i, j}, 2, XFC_S_COUNT);
    xfc_draft_nest(&t->d, nb.nest);
}

static void add_mix(attention *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_value *v = t->op->in[2].value;
    const xfc_int *dim = &v->type.dim[v->type.rank - 2];
    xfc_int zero = xfc_int_const(ctx, 0), depth = rounded(ctx, t->keys, t->group);
    fill_group(t, depth);
    xfc_tile s = {
        .a = {.buffer = t->weights, .rank = 2, .index = {zero, zero}},
        .b = packed_access(t, v, zero,
                           t->ragged && t->group == 1 ? xfc_int_add(ctx, t->start, t->from) : first_unit(t, t->group)),
        .c = {.buffer = t->mix, .rank = 2, .index = {zero, zero}},
        .a_row = t->key_row,
        .c_row = t->value_row,
        .rows = t->rows,
        .depth = depth,
        .columns = t->values,
        .apart = xfc_int_same(t->keys, t->all) ? XFC_INT_NONE : xfc_int_mul(ctx, dim[0], dim[1]),
        .panel = xfc_op_contract(t->op, 2).panel,
        .group = (uint32_t)t->group};
    xfc_draft_tile(&t->d, s);
}

/* --- k and v where they lie --- */

/* Element of one of them, in f32; j counts the keys that the block looks at. */
static uint32_t load_at_rest(attention *t, xfc_nestb *nb, uint32_t which, xfc_int j, xfc_int column) {
    xfc_int index[XFC_MAX_RANK] = {t->b, t->h, xfc_int_add(t->ctx, t->from, j), column};
    xfc_value *x = xfc_resolve_view(t->ctx, operand(t, t->at_rest + which), index);
    uint32_t v =
        xfc_nb_load(nb, x->type.dtype, xfc_draft_buffer_of(&t->d, XFC_BUF_IN, x, x->type), index, x->type.rank);
    return xfc_nb_cast(nb, XFC_F32, x->type.dtype, v);
}

static void add_scores_at_rest(attention *t) {
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_value *q = t->op->in[0].value;
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL),
            j = xfc_nb_axis(&nb, "j", t->keys, XFC_AXIS_PARALLEL),
            k = xfc_nb_axis(&nb, "k", q->type.dim[3], XFC_AXIS_REDUCE), index[XFC_MAX_RANK] = {{0}};
    index_of(t, xfc_int_add(t->ctx, t->first, i), k, index);
    q = xfc_resolve_view(t->ctx, q, index);
    uint32_t a = xfc_nb_load(&nb, XFC_F32, xfc_draft_buffer_of(&t->d, XFC_BUF_IN, q, q->type), index, q->type.rank);
    uint32_t v = xfc_nb_op(&nb, XFC_S_MUL, XFC_F32, a, load_at_rest(t, &nb, 0, j, k), XFC_NO_ARG);
    xfc_nb_store(&nb, v, t->scores, (xfc_int[]){i, j}, 2, XFC_S_ADD);
    xfc_draft_nest(&t->d, nb.nest);
}

static void add_mix_at_rest(attention *t) {
    xfc_nestb nb = xfc_nestb_new(t->ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL),
            e = xfc_nb_axis(&nb, "e", t->values, XFC_AXIS_PARALLEL),
            j = xfc_nb_axis(&nb, "j", t->keys, XFC_AXIS_REDUCE);
    uint32_t w = xfc_nb_load(&nb, XFC_F32, t->weights, (xfc_int[]){i, j}, 2);
    uint32_t v = xfc_nb_op(&nb, XFC_S_MUL, XFC_F32, w, load_at_rest(t, &nb, 1, j, e), XFC_NO_ARG);
    xfc_nb_store(&nb, v, t->mix, (xfc_int[]){i, e}, 2, XFC_S_ADD);
    xfc_draft_nest(&t->d, nb.nest);
}

/* out = mix * (1 / sum). */
static void add_store(attention *t) {
    xfc_ctx *ctx = t->ctx;
    xfc_nestb nb = xfc_nestb_new(ctx, t->d.e.arena);
    xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL),
            j = xfc_nb_axis(&nb, "j", t->values, XFC_AXIS_PARALLEL);
    xfc_int index[XFC_MAX_RANK] = {{0}};
    index_of(t, xfc_int_add(ctx, t->first, i), j, index);
    xfc_value *out = xfc_absorb_views(ctx, &t->op->out[0], index);
    uint32_t m = xfc_nb_load(&nb, XFC_F32, t->mix, (xfc_int[]){i, j}, 2),
             sum = xfc_nb_load(&nb, XFC_F32, t->sum, &i, 1);
    uint32_t v = xfc_attention_result(&nb, t->op, m, sum);
    xfc_nb_store(&nb, v, xfc_draft_buffer_of(&t->d, XFC_BUF_OUT, out, out->type), index, out->type.rank, XFC_S_COUNT);
    xfc_draft_nest(&t->d, nb.nest);
}

/* What a part leaves: mix, and of each row its largest score and the sum. */
static void add_parts(attention *t) {
    xfc_ctx *ctx = t->ctx;
    const xfc_int *q = t->op->in[0].value->type.dim;
    const xfc_int dim[5] = {q[0], t->parts, q[1], q[2], t->values};
    for (int rows = 0; rows < 2; rows++) {
        const uint32_t rank = rows ? 4 : 5;
        const xfc_type type = xfc_type_make(XFC_F32, rank, dim);
        xfc_nestb nb = xfc_nestb_new(ctx, t->d.e.arena);
        xfc_int i = xfc_nb_axis(&nb, "i", t->rows, XFC_AXIS_PARALLEL), from[2] = {i};
        xfc_int index[5] = {t->b, t->part, t->h, xfc_int_add(ctx, t->first, i)};
        if (!rows) index[4] = from[1] = xfc_nb_axis(&nb, "j", t->values, XFC_AXIS_PARALLEL);
        uint32_t v = xfc_nb_load(&nb, XFC_F32, rows ? t->top : t->mix, from, rank - 3);
        if (rows && scales_late(t)) {
            uint32_t scale = xfc_nb_const_f(&nb, XFC_F32, xfc_op_float(t->op, XFC_K_SCALE, 1));
            v = xfc_nb_op(&nb, XFC_S_MUL, XFC_F32, v, scale, XFC_NO_ARG);
        }
        xfc_nb_store(&nb, v, xfc_draft_buffer_of(&t->d, XFC_BUF_OUT, NULL, type), index, rank, XFC_S_COUNT);
        if (rows) {
            v = xfc_nb_load(&nb, XFC_F32, t->sum, from, 1);
            xfc_nb_store(&nb, v, xfc_draft_buffer_of(&t->d, XFC_BUF_OUT, NULL, type), index, rank, XFC_S_COUNT);
        }
        xfc_draft_nest(&t->d, nb.nest);
    }
}

static void add_products(attention *t, bool at_rest) {
    if (at_rest)
        add_scores_at_rest(t);
    else
        add_scores(t);
    add_maximum(t);
    add_sink(t, false);
    add_exponent(t);
    add_sink(t, true);
    if (at_rest)
        add_mix_at_rest(t);
    else
        add_mix(t);
}

/* Of a block's rows, those of batches that are packed and those of the others: all or none. */
static void split_rows(attention *t, xfc_int rows[2]) {
    xfc_ctx *ctx = t->ctx;
    xfc_int zero = xfc_int_const(ctx, 0), left = xfc_int_sub(ctx, t->op->in[1].value->type.dim[0], t->b);
    xfc_int packed = xfc_int_min(ctx, xfc_int_const(ctx, 1), xfc_int_max(ctx, zero, left));
    rows[0] = xfc_draft_let(&t->d, "packed", xfc_int_mul(ctx, packed, t->rows), zero, xfc_int_const(ctx, RB));
    rows[1] = xfc_draft_let(&t->d, "others", xfc_int_sub(ctx, t->rows, rows[0]), zero, xfc_int_const(ctx, RB));
}

static uint32_t at_rest(const xfc_op *op) {
    if (op->code == XFC_OP_ATTENTION) return 1;
    return op->code == XFC_OP_ATTENTION_PACKED && op->n_in > 4 && op->in[4].value ? 4 : XFC_NO_ARG;
}

xfc_op *xfc_kernel_attention(xfc_pass *p, xfc_op *op) {
    attention t = {.d = xfc_draft_new(p->graph, "attention"),
                   .ctx = p->graph->ctx,
                   .op = op,
                   .at_rest = at_rest(op),
                   .ragged = op->code == XFC_OP_ATTENTION_RAGGED_PACKED};
    set_up(&t);
    add_keys_bias(&t);
    if (t.at_rest == 4) {
        xfc_int all = t.rows, part[2];
        split_rows(&t, part);
        for (int i = 0; i < 2; i++) {
            t.rows = part[i];
            add_products(&t, i == 1);
        }
        t.rows = all;
    } else {
        add_products(&t, t.at_rest == 1);
    }
    if (is_split(&t))
        add_parts(&t);
    else
        add_store(&t);
    xfc_draft_loc(&t.d, &op->loc, 1);
    xfc_op *made = xfc_draft_commit(&t.d, op, op->loc);
    if (is_split(&t)) made = xfc_kernel_attention_join(p, op, made, sink_of(&t));
    xfc_absorbed_remove(op);
    return made;
}

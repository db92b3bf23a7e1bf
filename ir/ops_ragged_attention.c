/* ops_ragged_attention.c - attention over sequences of different lengths stored one behind the other.
 *
 * Sequence i is rows cu[i] .. cu[i + 1] of every head of q, k and v; a row attends to those of its own sequence only.
 * tasks lists (sequence, first row) of blocks of rows: it tells a kernel how to divide the work and means nothing else.
 * pos gives each row's position in its sequence before rows were taken out; biases are indexed by it. Besides the bias, which
 * knows sequences and positions, there may be two that were computed from rows (relative attention): row_bias of a query's
 * row and its key's position, column_bias of a query's position and its key's row. All are added.
 * Meaning: attention of all rows with -inf between different sequences, the number of a row's sequence being the number
 * of starts that do not lie behind it. Sequences without rows are never chosen by that, and no rows at all compute
 * nothing. (A NaN or infinity in v therefore reaches other sequences here; the kernel of the packed form never reads
 * them.)
 * The packed form has k transposed and v in panels, one [depth, columns] matrix a sequence and head, as wide as the
 * longest possible sequence; only what belongs to real rows is ever read, so a kernel need write nothing else.
 */
#include "ir/ops.h"
#include <math.h>

enum { Q, K, V, CU, TASKS, POS, BIAS, ROW_BIAS, COLUMN_BIAS, N_OPERANDS };

static bool is_list(const xfc_type *t, uint32_t rank) { return t->dtype == XFC_I32 && t->rank == rank; }

static xfc_int sequences(xfc_ctx *ctx, const xfc_type *cu) { return xfc_int_addc(ctx, cu->dim[0], -1); }

static xfc_status check_bias(xfc_infer *inf, const xfc_type *bias, const xfc_int *full) {
    const xfc_op *op = inf->op;
    if (bias->rank != 4 || bias->dtype != xfc_op_in(op, Q)->dtype)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "a bias of %s is %s but must have 4 dims and q's type",
                        xfc_ops[op->code].name, xfc_type_text(inf->ctx, bias));
    for (uint32_t d = 0; d < 4; d++)
        if (!xfc_int_is(inf->ctx, bias->dim[d], 1))
            XFC_TRY(xfc_infer_equal(inf, bias->dim[d], full[d], "a bias and the scores of ragged attention"));
    return XFC_OK;
}

/* cu, tasks, pos and biases, the same in both forms. */
static xfc_status check_lists(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *q = xfc_op_in(op, Q), *cu = xfc_op_in(op, CU), *tasks = xfc_op_in(op, TASKS),
                   *pos = xfc_op_in(op, POS);
    xfc_ctx *ctx = inf->ctx;
    if (!is_list(cu, 1) || xfc_int_is(ctx, cu->dim[0], 0) || !is_list(tasks, 2) || !is_list(pos, 1))
        return xfc_fail(ctx, XFC_ERR_INPUT, op->loc,
                        "%s needs cu i32[n + 1], tasks i32[tasks, 2] and pos i32[rows], not %s, %s and %s",
                        xfc_ops[op->code].name, xfc_type_text(ctx, cu), xfc_type_text(ctx, tasks),
                        xfc_type_text(ctx, pos));
    XFC_TRY(xfc_infer_equal(inf, tasks->dim[1], xfc_int_const(ctx, 2), "the numbers of a task of ragged attention"));
    XFC_TRY(xfc_infer_equal(inf, pos->dim[0], q->dim[1], "the positions and rows of ragged attention"));
    xfc_int one = xfc_int_const(ctx, 1), n = sequences(ctx, cu), rows = q->dim[1];
    xfc_int size = xfc_op_attr(op, XFC_K_SIZE)->u.dims[0];
    const xfc_int full[3][4] = {{n, q->dim[0], size, size}, {one, q->dim[0], rows, size}, {one, q->dim[0], size, rows}};
    for (uint32_t i = BIAS; i < N_OPERANDS; i++)
        if (xfc_op_has_in(op, i)) XFC_TRY(check_bias(inf, xfc_op_in(op, i), full[i - BIAS]));
    return XFC_OK;
}

xfc_status infer_attention_ragged(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *q = xfc_op_in(op, Q), *k = xfc_op_in(op, K), *v = xfc_op_in(op, V);
    bool ok = q->rank == 3 && k->rank == 3 && v->rank == 3 && q->dtype == k->dtype && q->dtype == v->dtype;
    if (!ok || !xfc_dtype_is_float(q->dtype) || xfc_op_attr(op, XFC_K_SIZE)->n != 1)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "ragged attention of %s, %s and %s: needs floats of one type, [heads, rows, width], and size = "
                        "[rows of the longest sequence]",
                        xfc_type_text(inf->ctx, q), xfc_type_text(inf->ctx, k), xfc_type_text(inf->ctx, v));
    for (uint32_t d = 0; d < 2; d++) {
        XFC_TRY(xfc_infer_equal(inf, q->dim[d], k->dim[d], "heads and rows of q and k"));
        XFC_TRY(xfc_infer_equal(inf, q->dim[d], v->dim[d], "heads and rows of q and v"));
    }
    XFC_TRY(xfc_infer_equal(inf, q->dim[2], k->dim[2], "the widths of q and k"));
    XFC_TRY(check_lists(inf));
    *inf->out = *q;
    inf->out->dim[2] = v->dim[2];
    return XFC_OK;
}

/* --- decomposition --- */

static xfc_value *scalar_f(xfc_builder *b, const xfc_value *like, double x) {
    return like ? xfc_b_scalar_f(b, like->type.dtype, x) : NULL;
}

static xfc_value *gather(xfc_builder *b, xfc_value *table, xfc_value *index) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return xfc_build(b, XFC_OP_GATHER, (xfc_value *[]){table, index}, 2, &axis, 1);
}

/* i64[n]: 0, 1, .. */
static xfc_value *numbers(xfc_builder *b, xfc_int n) {
    xfc_attr attr[2] = {xfc_attr_dims(XFC_K_SIZE, &n, 1), xfc_attr_dtype(XFC_K_TO, XFC_I64)};
    return xfc_build(b, XFC_OP_IOTA, NULL, 0, attr, 2);
}

/* i64[rows]: the number of each row's sequence. */
static xfc_value *sequence_of(xfc_builder *b, xfc_value *cu, xfc_int rows) {
    xfc_ctx *ctx = b->graph->ctx;
    const int64_t first = 0;
    const xfc_int column[2] = {cu->type.dim[0], xfc_int_const(ctx, 1)};
    xfc_value *starts = xfc_b_reshape(b, xfc_b_cast(b, cu, XFC_I64), column, 2);
    xfc_value *begun = xfc_b_cast(b, xfc_b_binary(b, XFC_OP_LE, starts, numbers(b, rows)), XFC_I64);
    xfc_value *count = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, begun, &first, 1, false);
    return xfc_b_binary(b, XFC_OP_SUB, count, xfc_b_scalar_i(b, XFC_I64, 1));
}

/* v[rows] as [rows, 1] or [1, rows] */
static xfc_value *across(xfc_builder *b, xfc_value *v, bool column) {
    if (!v) return NULL;
    xfc_int one = xfc_int_const(b->graph->ctx, 1), dim[2] = {one, one};
    dim[column ? 0 : 1] = v->type.dim[0];
    return xfc_b_reshape(b, v, dim, 2);
}

/* at * extent + index; an extent of 1 has one index only. */
static xfc_value *step_into(xfc_builder *b, xfc_value *at, xfc_int extent, xfc_value *index) {
    if (xfc_int_is(b->graph->ctx, extent, 1)) return at;
    return xfc_b_binary(b, XFC_OP_ADD, xfc_b_binary(b, XFC_OP_MUL, at, xfc_b_dims(b, &extent, -1)), index);
}

/* The bias of each pair of rows, [1 or heads, rows, rows] where it is not constant along them. */
static xfc_value *bias_of(xfc_builder *b, const xfc_op *op, xfc_value *sequence) {
    static const int64_t heads_last[] = {0, 2, 3, 1}, heads_first[] = {2, 0, 1};
    xfc_value *bias = op->in[BIAS].value, *pos = xfc_b_cast(b, op->in[POS].value, XFC_I64);
    const xfc_int *dim = bias->type.dim;
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_int flat[2] = {xfc_int_mul(ctx, xfc_int_mul(ctx, dim[0], dim[2]), dim[3]), dim[1]};
    xfc_value *at = xfc_b_scalar_i(b, XFC_I64, 0);
    at = step_into(b, at, dim[0], across(b, sequence, true));
    at = step_into(b, at, dim[2], across(b, pos, true));
    at = step_into(b, at, dim[3], across(b, pos, false));
    if (!at) return NULL;
    const xfc_int rank2[2] = {at->type.rank ? at->type.dim[0] : xfc_int_const(ctx, 1),
                              at->type.rank ? at->type.dim[1] : xfc_int_const(ctx, 1)};
    xfc_value *table = xfc_b_reshape(b, xfc_b_transpose(b, bias, heads_last), flat, 2);
    return xfc_b_transpose(b, gather(b, table, xfc_b_reshape(b, at, rank2, 2)), heads_first);
}

/* The bias of each pair of rows, made from one of them and the position of the other: [1 or heads, 1 or rows, 1 or rows]. */
static xfc_value *content_bias(xfc_builder *b, const xfc_op *op, uint32_t i) {
    xfc_value *bias = op->in[i].value;
    uint32_t by_position = i == ROW_BIAS ? 2 : 1;
    const xfc_int dim[3] = {bias->type.dim[1], bias->type.dim[2], bias->type.dim[3]};
    bias = xfc_b_reshape(b, bias, dim, 3);
    if (xfc_int_is(b->graph->ctx, dim[by_position], 1)) return bias;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, by_position);
    return xfc_build(b, XFC_OP_GATHER, (xfc_value *[]){bias, op->in[POS].value}, 2, &axis, 1);
}

static xfc_value *add_biases(xfc_builder *b, const xfc_op *op, xfc_value *s, xfc_value *sequence) {
    for (uint32_t i = BIAS; i < N_OPERANDS; i++) {
        if (!xfc_op_has_in(op, i)) continue;
        xfc_value *bias = i == BIAS ? bias_of(b, op, sequence) : content_bias(b, op, i);
        s = xfc_b_binary(b, XFC_OP_ADD, s, xfc_b_cast(b, bias, s ? s->type.dtype : XFC_F32));
    }
    return s;
}

static xfc_value *softmax(xfc_builder *b, xfc_value *scores) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 2);
    return xfc_build(b, XFC_OP_SOFTMAX, &scores, 1, &axis, 1);
}

xfc_status decompose_attention_ragged(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    static const int64_t swap[] = {0, 2, 1};
    xfc_dtype t = op->out[0].type.dtype, wide = t == XFC_F16 || t == XFC_BF16 ? XFC_F32 : t;
    xfc_value *q = xfc_b_cast(b, op->in[Q].value, wide), *k = xfc_b_cast(b, op->in[K].value, wide);
    xfc_value *v = xfc_b_cast(b, op->in[V].value, wide);
    xfc_value *sequence = sequence_of(b, op->in[CU].value, op->in[Q].value->type.dim[1]);
    xfc_value *s = xfc_b_matmul(b, q, xfc_b_transpose(b, k, swap));
    s = xfc_b_binary(b, XFC_OP_MUL, s, scalar_f(b, s, xfc_op_float(op, XFC_K_SCALE, 1)));
    s = add_biases(b, op, s, sequence);
    xfc_value *same = xfc_b_binary(b, XFC_OP_EQ, across(b, sequence, true), across(b, sequence, false));
    xfc_value *p = softmax(b, xfc_b_select(b, same, s, scalar_f(b, s, -(double)INFINITY)));
    if (xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0))
        p = xfc_b_select(b, xfc_b_unary(b, XFC_OP_ISNAN, p), scalar_f(b, p, 0), p);
    result[0] = xfc_b_cast(b, xfc_b_matmul(b, p, v), t);
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

/* --- the packed form --- */

/* perm [0, 1]: the rows of a sequence are the depth of its panels; perm [1, 0]: they are the columns. */
static bool packs_columns(const xfc_op *op) { return xfc_op_attr(op, XFC_K_PERM)->u.ints[0] == 1; }

xfc_status infer_pack_ragged(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *x = xfc_op_in(op, 0), *cu = xfc_op_in(op, 1);
    const xfc_attr *size = xfc_op_attr(op, XFC_K_SIZE), *perm = xfc_op_attr(op, XFC_K_PERM);
    int64_t panel = xfc_op_int(op, XFC_K_PANEL, 0);
    bool is_perm = perm->n == 2 && perm->u.ints[0] + perm->u.ints[1] == 1 && perm->u.ints[0] * perm->u.ints[1] == 0;
    if (x->rank != 3 || !is_list(cu, 1) || xfc_int_is(inf->ctx, cu->dim[0], 0) || size->n != 1 || !is_perm ||
        panel < 1 || panel > 4096)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "pack_ragged needs x [heads, rows, width], cu i32[n + 1], size = [rows of the longest "
                        "sequence], perm = [0, 1] or [1, 0] and a panel of 1 to 4096 columns, not %s and %s",
                        xfc_type_text(inf->ctx, x), xfc_type_text(inf->ctx, cu));
    xfc_int width = xfc_int_const(inf->ctx, panel), rows = size->u.dims[0];
    xfc_int columns = packs_columns(op) ? rows : x->dim[2], depth = packs_columns(op) ? x->dim[2] : rows;
    const xfc_int dim[5] = {sequences(inf->ctx, cu), x->dim[0], xfc_int_ceildiv(inf->ctx, columns, width), depth,
                            width};
    *inf->out = xfc_type_make(x->dtype, 5, dim);
    return XFC_OK;
}

xfc_status nest_pack_ragged(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *x = xfc_op_in(op, 0), *cu = xfc_op_in(op, 1);
    xfc_ctx *ctx = nb->ctx;
    xfc_int o[XFC_MAX_RANK], size = xfc_op_attr(op, XFC_K_SIZE)->u.dims[0];
    xfc_nb_axes_of(nb, &op->out[0].type, o);
    xfc_int column = xfc_int_add(ctx, xfc_int_mulc(ctx, o[2], xfc_op_int(op, XFC_K_PANEL, 0)), o[4]);
    xfc_int row = packs_columns(op) ? column : o[3], at = packs_columns(op) ? o[3] : column;
    const xfc_int next = xfc_int_addc(ctx, o[0], 1);
    xfc_int start =
        xfc_nb_let(nb, "start", xfc_nb_load(nb, cu->dtype, 1, &o[0], 1), xfc_int_const(ctx, 0), x->dim[1], false);
    xfc_int limit = xfc_int_min(ctx, x->dim[1], xfc_int_add(ctx, start, size));
    xfc_int end = xfc_nb_let(nb, "end", xfc_nb_load(nb, cu->dtype, 1, &next, 1), start, limit, false);
    row = xfc_int_add(ctx, start, row);
    uint32_t in_row = xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, xfc_nb_index(nb, row), xfc_nb_index(nb, end), XFC_NO_ARG);
    uint32_t in_width =
        xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, xfc_nb_index(nb, at), xfc_nb_index(nb, x->dim[2]), XFC_NO_ARG);
    uint32_t inside = xfc_nb_op(nb, XFC_S_AND, XFC_BOOL, in_row, in_width, XFC_NO_ARG);
    const xfc_int index[3] = {o[1], row, at};
    xfc_nb_store(nb, xfc_nb_load_if(nb, inside, x->dtype, 0, index, 3), 2, o, 5, XFC_S_COUNT);
    return XFC_OK;
}

xfc_status infer_attention_ragged_packed(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *q = xfc_op_in(op, Q), *k = xfc_op_in(op, K), *v = xfc_op_in(op, V);
    const xfc_attr *size = xfc_op_attr(op, XFC_K_SIZE);
    bool ok = q->rank == 3 && k->rank == 5 && v->rank == 5 && q->dtype == k->dtype && q->dtype == v->dtype;
    if (!ok || q->dtype != XFC_F32 || size->n != 2)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "attention_ragged_packed of %s, %s and %s: needs f32, q [heads, rows, width], k and v from "
                        "pack_ragged, and size = [rows of the longest sequence, width of v]",
                        xfc_type_text(inf->ctx, q), xfc_type_text(inf->ctx, k), xfc_type_text(inf->ctx, v));
    xfc_int n = sequences(inf->ctx, xfc_op_in(op, CU));
    const xfc_type *packed[2] = {k, v};
    for (uint32_t i = 0; i < 2; i++) {
        xfc_int columns = xfc_int_ceildiv(inf->ctx, size->u.dims[i], packed[i]->dim[4]);
        XFC_TRY(xfc_infer_equal(inf, n, packed[i]->dim[0], "the sequences of a packed operand"));
        XFC_TRY(xfc_infer_equal(inf, q->dim[0], packed[i]->dim[1], "the heads of a packed operand"));
        XFC_TRY(xfc_infer_equal(inf, columns, packed[i]->dim[2], "the panels of a packed operand"));
    }
    XFC_TRY(xfc_infer_equal(inf, q->dim[2], k->dim[3], "the widths of q and k"));
    XFC_TRY(xfc_infer_equal(inf, size->u.dims[0], v->dim[3], "the rows of the longest sequence"));
    XFC_TRY(check_lists(inf));
    *inf->out = *q;
    inf->out->dim[2] = size->u.dims[1];
    return XFC_OK;
}

/* Panels [n, h, p, depth, panel] as [n, h, depth, columns]. */
static xfc_value *unpacked(xfc_builder *b, xfc_value *v, xfc_int columns) {
    static const int64_t perm[] = {0, 1, 3, 2, 4}, ones[] = {1, 1, 1, 1};
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_int *dim = v->type.dim, zero = xfc_int_const(ctx, 0), start[4] = {zero, zero, zero, zero};
    const xfc_int flat[4] = {dim[0], dim[1], dim[3], xfc_int_mul(ctx, dim[2], dim[4])};
    const xfc_int size[4] = {dim[0], dim[1], dim[3], columns};
    v = xfc_b_reshape(b, xfc_b_transpose(b, v, perm), flat, 4);
    return xfc_b_slice(b, v, start, size, ones);
}

/* The rows [h, t, w] that [n, s, h, w] was made of; index: i64[t], sequence * s + row in it. */
static xfc_value *rows_of(xfc_builder *b, xfc_value *v, xfc_value *index) {
    static const int64_t heads_first[] = {1, 0, 2};
    if (!v) return NULL;
    const xfc_int *dim = v->type.dim;
    const xfc_int flat[3] = {xfc_int_mul(b->graph->ctx, dim[0], dim[1]), dim[2], dim[3]};
    return xfc_b_transpose(b, gather(b, xfc_b_reshape(b, v, flat, 3), index), heads_first);
}

/* attention_ragged of what was packed. */
xfc_status decompose_attention_ragged_packed(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    static const int64_t from_k[] = {0, 3, 1, 2}, from_v[] = {0, 2, 1, 3};
    const xfc_int *size = xfc_op_attr(op, XFC_K_SIZE)->u.dims;
    xfc_value *cu = xfc_b_cast(b, op->in[CU].value, XFC_I64), *in[N_OPERANDS] = {NULL};
    xfc_int rows = op->in[Q].value->type.dim[1];
    xfc_value *sequence = sequence_of(b, op->in[CU].value, rows);
    xfc_value *index = xfc_b_binary(b, XFC_OP_SUB, numbers(b, rows), gather(b, cu, sequence));
    index = xfc_b_binary(b, XFC_OP_ADD, index, xfc_b_binary(b, XFC_OP_MUL, sequence, xfc_b_dims(b, size, -1)));
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value;
    in[K] = rows_of(b, xfc_b_transpose(b, unpacked(b, in[K], size[0]), from_k), index);
    in[V] = rows_of(b, xfc_b_transpose(b, unpacked(b, in[V], size[1]), from_v), index);
    xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1)),
                        xfc_attr_int(XFC_K_NAN_TO_ZERO, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)),
                        xfc_attr_dims(XFC_K_SIZE, size, 1)};
    result[0] = in[K] && in[V] ? xfc_build_opt(b, XFC_OP_ATTENTION_RAGGED, in, op->n_in, attr, 3) : NULL;
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

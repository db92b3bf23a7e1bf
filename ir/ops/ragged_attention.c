/* ragged_attention.c - attention over sequences of different lengths stored one behind the other.
 *
 * Sequence i is rows cu[i] .. cu[i + 1] of every head of q, k and v; a row attends to those of its own sequence only.
 * tasks lists (sequence, first row) of blocks of rows: it tells a kernel how to divide the work and means nothing else.
 * pos gives each row's position in its sequence before rows were taken out; biases are indexed by it. Besides the bias,
 * which knows sequences and positions, there may be two that were computed from rows (relative attention): row_bias of
 * a query's row and its key's position, column_bias of a query's position and its key's row. All are added. Meaning:
 * attention of all rows with -inf between different sequences, the number of a row's sequence being the number of
 * starts that do not lie behind it. Sequences without rows are never chosen by that, and no rows at all compute
 * nothing. (A NaN or infinity in v therefore reaches other sequences here; the kernel of the packed form never reads
 * them.) The packed form has k transposed and in panels, sequence by sequence, and the rows of v in panels as they
 * stand; both grow with the number of rows and not with that of sequences times the longest. Only what belongs to real
 * rows is ever read, so a kernel need write nothing else.
 */
#include "ir/ops/ops.h"
#include <math.h>

enum { Q, K, V, CU, TASKS, POS, BIAS, ROW_BIAS, COLUMN_BIAS, N_OPERANDS, REACH = N_OPERANDS };

static bool is_list(const xfc_type *t, uint32_t rank) { return t->dtype == XFC_I32 && t->rank == rank; }

static xfc_int sequences(xfc_ctx *ctx, const xfc_type *cu) { return xfc_int_addc(ctx, cu->dim[0], -1); }

static xfc_status check_bias(xfc_infer *inf, const xfc_type *bias, const xfc_int *full) {
    const xfc_op *op = inf->op;
    xfc_dtype type = op->code == XFC_OP_ATTENTION_RAGGED ? xfc_op_in(op, Q)->dtype : XFC_F32;
    if (bias->rank != 4 || bias->dtype != type)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "a bias of %s is %s but must have 4 dims and q's type",
                        xfc_ops[op->code].name, xfc_type_text(inf->ctx, bias));
    for (uint32_t d = 0; d < 4; d++)
        if (!xfc_int_is(inf->ctx, bias->dim[d], 1))
            XFC_TRY(xfc_infer_equal(inf, bias->dim[d], full[d], "a bias and the scores of ragged attention"));
    return XFC_OK;
}

/* Of pack_ragged; see there. Without rows there are none, and sizes show it. */
static xfc_int ragged_panels(xfc_ctx *ctx, xfc_int rows, const xfc_type *cu, int64_t panel) {
    xfc_int n = xfc_int_mul(ctx, sequences(ctx, cu), xfc_int_min(ctx, rows, xfc_int_const(ctx, 1)));
    return xfc_int_add(ctx, xfc_int_floordiv(ctx, rows, xfc_int_const(ctx, panel)), n);
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

/* i64[n]: for each of 0 .. n - 1 the place of the last of the ascending starts that is not larger; -1: none. */
static xfc_value *count_up_to(xfc_builder *b, xfc_value *starts, xfc_int n) {
    const int64_t first = 0;
    if (!starts) return NULL;
    const xfc_int column[2] = {starts->type.dim[0], xfc_int_const(b->graph->ctx, 1)};
    starts = xfc_b_reshape(b, starts, column, 2);
    xfc_value *begun = xfc_b_cast(b, xfc_b_binary(b, XFC_OP_LE, starts, numbers(b, n)), XFC_I64);
    xfc_value *count = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, begun, &first, 1, false);
    return xfc_b_binary(b, XFC_OP_SUB, count, xfc_b_scalar_i(b, XFC_I64, 1));
}

/* i64[rows]: the number of each row's sequence. */
static xfc_value *sequence_of(xfc_builder *b, xfc_value *cu, xfc_int rows) {
    return count_up_to(b, xfc_b_cast(b, cu, XFC_I64), rows);
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

/* The bias of each pair of rows, made from one of them and the position of the other: [1 or heads, 1 or rows, 1 or
 * rows]. */
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
        s = xfc_b_binary(b, XFC_OP_ADD, s, i == BIAS ? bias_of(b, op, sequence) : content_bias(b, op, i));
    }
    return s;
}

static xfc_value *softmax(xfc_builder *b, xfc_value *scores) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 2);
    return xfc_build(b, XFC_OP_SOFTMAX, &scores, 1, &axis, 1);
}

xfc_status decompose_attention_ragged(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    static const int64_t swap[] = {0, 2, 1};
    if (xfc_op_is_narrow(op)) return xfc_decompose_wide(b, op, result);
    xfc_value *q = op->in[Q].value, *k = op->in[K].value, *v = op->in[V].value;
    xfc_value *sequence = sequence_of(b, op->in[CU].value, op->in[Q].value->type.dim[1]);
    xfc_value *s = xfc_b_matmul(b, q, xfc_b_transpose(b, k, swap));
    s = xfc_b_binary(b, XFC_OP_MUL, s, scalar_f(b, s, xfc_op_float(op, XFC_K_SCALE, 1)));
    s = add_biases(b, op, s, sequence);
    xfc_value *same = xfc_b_binary(b, XFC_OP_EQ, across(b, sequence, true), across(b, sequence, false));
    xfc_value *p = softmax(b, xfc_b_select(b, same, s, scalar_f(b, s, -(double)INFINITY)));
    if (xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0))
        p = xfc_b_select(b, xfc_b_unary(b, XFC_OP_ISNAN, p), scalar_f(b, p, 0), p);
    result[0] = xfc_b_matmul(b, p, v);
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

/* --- the packed form --- */

/* The rows of all sequences become columns, in panels; each sequence begins with a panel of its own, number cu[i]
 * floordiv panel + i. A sequence of n rows needs ceil(n / panel) of them and has no less until the next one begins, so
 * there are rows floordiv panel + sequences at most, whatever the lengths; none without rows. With axis = 2 the rows
 * are the depth of panels of the width's columns, and the same is true of groups of them. */
static bool rows_are_depth(const xfc_op *op) { return xfc_op_int(op, XFC_K_AXIS, 1) == 2; }

xfc_status infer_pack_ragged(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *x = xfc_op_in(op, 0), *cu = xfc_op_in(op, 1);
    const xfc_attr *size = xfc_op_attr(op, XFC_K_SIZE), *to = xfc_op_attr(op, XFC_K_TO);
    int64_t panel = xfc_op_int(op, XFC_K_PANEL, 0), group = xfc_op_int(op, XFC_K_GROUP, 1),
            axis = xfc_op_int(op, XFC_K_AXIS, 1);
    if (x->rank != 3 || !is_list(cu, 1) || xfc_int_is(inf->ctx, cu->dim[0], 0) || size->n != 1 || panel < 1 ||
        panel > 4096 || group < 1 || group > 8 || axis < 1 || axis > 2)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "pack_ragged needs x [heads, rows, width], cu i32[n + 1], size = [rows of the longest "
                        "sequence], a panel of 1 to 4096 columns, a group of 1 to 8 and the axis of columns, 1 or 2, "
                        "not %s and %s",
                        xfc_type_text(inf->ctx, x), xfc_type_text(inf->ctx, cu));
    xfc_int dim[4] = {x->dim[0], {0}, {0}, xfc_int_const(inf->ctx, panel * group)};
    dim[axis] = ragged_panels(inf->ctx, x->dim[1], cu, axis == 1 ? panel : group);
    dim[3 - axis] = xfc_int_ceildiv(inf->ctx, x->dim[2], xfc_int_const(inf->ctx, axis == 1 ? group : panel));
    *inf->out = xfc_type_make(to ? to->u.dtype : x->dtype, 4, dim);
    return XFC_OK;
}

/* i64[n]: the first panel of each sequence. */
static xfc_value *first_panels(xfc_builder *b, xfc_value *cu, xfc_int panel) {
    const xfc_int zero = xfc_int_const(b->graph->ctx, 0), n = sequences(b->graph->ctx, &cu->type);
    const int64_t one = 1;
    xfc_value *starts = xfc_b_cast(b, xfc_b_slice(b, cu, &zero, &n, &one), XFC_I64);
    starts = xfc_b_binary(b, XFC_OP_DIV, starts, xfc_b_dims(b, &panel, -1));
    return xfc_b_binary(b, XFC_OP_ADD, starts, numbers(b, n));
}

/* i32[n, unit]: the row at each place of n panels or groups of `unit` places, -1 for none. */
static xfc_value *rows_of_places(xfc_builder *b, const xfc_op *op, xfc_int n, xfc_int unit) {
    xfc_value *cu = xfc_b_cast(b, op->in[1].value, XFC_I64), *first = first_panels(b, op->in[1].value, unit);
    xfc_value *sequence = count_up_to(b, first, n), *one = xfc_b_scalar_i(b, XFC_I64, 1);
    xfc_value *start = gather(b, cu, sequence), *end = gather(b, cu, xfc_b_binary(b, XFC_OP_ADD, sequence, one));
    xfc_value *skipped = xfc_b_binary(b, XFC_OP_SUB, numbers(b, n), gather(b, first, sequence));
    start = xfc_b_binary(b, XFC_OP_ADD, start, xfc_b_binary(b, XFC_OP_MUL, skipped, xfc_b_dims(b, &unit, -1)));
    xfc_value *row = xfc_b_binary(b, XFC_OP_ADD, across(b, start, true), across(b, numbers(b, unit), false));
    xfc_value *real = xfc_b_binary(b, XFC_OP_LT, row, across(b, end, true));
    return xfc_b_cast(b, xfc_b_select(b, real, row, xfc_b_scalar_i(b, XFC_I64, -1)), XFC_I32);
}

/* Rows placed as they shall be, [h, rows of all places, w], are packed as they are or, as columns, turned. */
xfc_status decompose_pack_ragged(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    static const int64_t swap[] = {1, 0, 2}, heads_first[] = {2, 0, 1, 3}, columns_last[] = {0, 2, 1};
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_type *x = &op->in[0].value->type;
    const xfc_int *dim = op->out[0].type.dim;
    bool deep = rows_are_depth(op);
    int64_t panel = xfc_op_int(op, XFC_K_PANEL, 0), group = xfc_op_int(op, XFC_K_GROUP, 1);
    xfc_int n = dim[deep ? 2 : 1], unit = xfc_int_const(ctx, deep ? group : panel);
    const xfc_int flat[3] = {x->dim[0], xfc_int_mul(ctx, n, unit), x->dim[2]};
    const xfc_attr attr[3] = {xfc_attr_int(XFC_K_PANEL, panel), xfc_attr_int(XFC_K_GROUP, group),
                              xfc_attr_dtype(XFC_K_TO, op->out[0].type.dtype)};
    xfc_value *rows = xfc_b_transpose(b, op->in[0].value, swap), *index = rows_of_places(b, op, n, unit);
    if (!rows || !index) return XFC_ERR_INPUT;
    rows = xfc_b_reshape(b, xfc_b_transpose(b, xfc_b_pad_ragged(b, rows, index, NULL, 0), heads_first), flat, 3);
    if (!deep) rows = xfc_b_transpose(b, rows, columns_last);
    result[0] = xfc_build(b, XFC_OP_PACK, &rows, 1, attr, 3);
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

/* k from pack_ragged, v from pack, or from pack_ragged too. */
static xfc_status check_panels(xfc_infer *inf, const xfc_type *q, const xfc_type *k, const xfc_type *v, int64_t group) {
    const xfc_int *size = xfc_op_attr(inf->op, XFC_K_SIZE)->u.dims, g = xfc_int_const(inf->ctx, group);
    int64_t width;
    bool known = xfc_int_value(inf->ctx, k->dim[3], &width) && xfc_int_value(inf->ctx, v->dim[3], NULL);
    if (!known || width % group)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "attention_ragged_packed needs panels of a known width of whole groups, not %s and %s",
                        xfc_type_text(inf->ctx, k), xfc_type_text(inf->ctx, v));
    const xfc_type *cu = xfc_op_in(inf->op, CU);
    xfc_int panels = ragged_panels(inf->ctx, q->dim[1], cu, width / group), columns = xfc_int_mul(inf->ctx, size[1], g);
    xfc_int depth = group == 1 ? q->dim[1] : ragged_panels(inf->ctx, q->dim[1], cu, group);
    XFC_TRY(xfc_infer_equal(inf, q->dim[0], k->dim[0], "the heads of q and packed k"));
    XFC_TRY(xfc_infer_equal(inf, q->dim[0], v->dim[0], "the heads of q and packed v"));
    XFC_TRY(xfc_infer_equal(inf, panels, k->dim[1], "the panels of packed k"));
    XFC_TRY(xfc_infer_equal(inf, xfc_int_ceildiv(inf->ctx, columns, v->dim[3]), v->dim[1], "the panels of packed v"));
    XFC_TRY(xfc_infer_equal(inf, q->dim[2], xfc_int_mul(inf->ctx, k->dim[2], g), "the widths of q and k"));
    return xfc_infer_equal(inf, depth, v->dim[2], "the rows of q and v");
}

/* Of the only bias; the meaning of the op is the same without. */
static xfc_status check_reach(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    if (!xfc_op_has_in(op, REACH)) return XFC_OK;
    const xfc_type *reach = xfc_op_in(op, REACH), *tasks = xfc_op_in(op, TASKS);
    bool alone = xfc_op_has_in(op, BIAS) && !xfc_op_has_in(op, ROW_BIAS) && !xfc_op_has_in(op, COLUMN_BIAS);
    if (!alone || !is_list(reach, 2))
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "the reach of ragged attention is %s: it is what `reach_ragged` makes of the only bias",
                        xfc_type_text(inf->ctx, reach));
    for (uint32_t d = 0; d < 2; d++)
        XFC_TRY(xfc_infer_equal(inf, reach->dim[d], tasks->dim[d], "the reach and the tasks of ragged attention"));
    return XFC_OK;
}

xfc_status infer_attention_ragged_packed(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *q = xfc_op_in(op, Q), *k = xfc_op_in(op, K), *v = xfc_op_in(op, V);
    const xfc_attr *size = xfc_op_attr(op, XFC_K_SIZE);
    int64_t group = xfc_op_int(op, XFC_K_GROUP, 1);
    bool ok = q->rank == 3 && k->rank == 4 && v->rank == 4 && q->dtype == k->dtype && q->dtype == v->dtype;
    if (!ok || q->dtype != (group == 1 ? XFC_F32 : XFC_BF16) || size->n != 2 || group < 1 || group > 8)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "attention_ragged_packed of %s, %s and %s: needs f32, or bf16 in groups, q [heads, rows, "
                        "width], k from pack_ragged, v from pack (in groups: pack_ragged), and size = [rows of the "
                        "longest sequence, width of v]",
                        xfc_type_text(inf->ctx, q), xfc_type_text(inf->ctx, k), xfc_type_text(inf->ctx, v));
    XFC_TRY(check_lists(inf));
    XFC_TRY(check_panels(inf, q, k, v, group));
    XFC_TRY(check_reach(inf));
    *inf->out = *q;
    inf->out->dtype = XFC_F32;
    inf->out->dim[2] = size->u.dims[1];
    return XFC_OK;
}

/* The rows [h, t, w] of x [h, places, w], in which pack_ragged placed them in panels or groups of `unit`. */
static xfc_value *rows_at_places(xfc_builder *b, const xfc_op *op, xfc_value *x, xfc_int unit) {
    static const int64_t swap[] = {1, 0, 2};
    xfc_value *cu = xfc_b_cast(b, op->in[CU].value, XFC_I64);
    const xfc_int rows = op->in[Q].value->type.dim[1];
    xfc_value *sequence = sequence_of(b, op->in[CU].value, rows);
    xfc_value *first = gather(b, first_panels(b, op->in[CU].value, unit), sequence);
    xfc_value *index = xfc_b_binary(b, XFC_OP_SUB, numbers(b, rows), gather(b, cu, sequence));
    index = xfc_b_binary(b, XFC_OP_ADD, index, xfc_b_binary(b, XFC_OP_MUL, first, xfc_b_dims(b, &unit, -1)));
    return xfc_b_transpose(b, gather(b, xfc_b_transpose(b, x, swap), index), swap);
}

/* What pack made panels of: [h, k, columns of all panels]. */
static xfc_value *unpacked(xfc_builder *b, xfc_value *x, int64_t group) {
    static const int64_t steps_first[] = {0, 2, 4, 1, 3};
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_int *dim = x->type.dim, g = xfc_int_const(ctx, group), panel = xfc_int_floordiv(ctx, dim[3], g);
    const xfc_int split[5] = {dim[0], dim[1], dim[2], panel, g};
    const xfc_int flat[3] = {dim[0], xfc_int_mul(ctx, dim[2], g), xfc_int_mul(ctx, dim[1], panel)};
    return xfc_b_reshape(b, xfc_b_transpose(b, xfc_b_reshape(b, x, split, 5), steps_first), flat, 3);
}

static xfc_value *rows_of_k(xfc_builder *b, const xfc_op *op, int64_t group) {
    static const int64_t columns_first[] = {0, 2, 1};
    xfc_value *k = op->in[K].value;
    xfc_int panel = xfc_int_floordiv(b->graph->ctx, k->type.dim[3], xfc_int_const(b->graph->ctx, group));
    return rows_at_places(b, op, xfc_b_transpose(b, unpacked(b, k, group), columns_first), panel);
}

static xfc_value *rows_of_v(xfc_builder *b, const xfc_op *op, int64_t group) {
    static const int64_t ones[] = {1, 1, 1};
    xfc_ctx *ctx = b->graph->ctx;
    xfc_value *v = unpacked(b, op->in[V].value, group);
    if (!v) return NULL;
    const xfc_int zero = xfc_int_const(ctx, 0), start[3] = {zero, zero, zero};
    const xfc_int size[3] = {v->type.dim[0], v->type.dim[1], xfc_op_attr(op, XFC_K_SIZE)->u.dims[1]};
    v = xfc_b_slice(b, v, start, size, ones);
    return group == 1 ? v : rows_at_places(b, op, v, xfc_int_const(ctx, group));
}

/* attention_ragged of what was packed, in f32. (Kernels round the exponents to the type of the products.) */
xfc_status decompose_attention_ragged_packed(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    int64_t group = xfc_op_int(op, XFC_K_GROUP, 1);
    xfc_value *in[N_OPERANDS] = {NULL};
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value;
    in[Q] = xfc_b_cast(b, in[Q], XFC_F32);
    in[K] = xfc_b_cast(b, rows_of_k(b, op, group), XFC_F32);
    in[V] = xfc_b_cast(b, rows_of_v(b, op, group), XFC_F32);
    xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1)),
                        xfc_attr_int(XFC_K_NAN_TO_ZERO, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)),
                        xfc_attr_dims(XFC_K_SIZE, xfc_op_attr(op, XFC_K_SIZE)->u.dims, 1)};
    result[0] = in[K] && in[V] ? xfc_build_opt(b, XFC_OP_ATTENTION_RAGGED, in, op->n_in, attr, 3) : NULL;
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

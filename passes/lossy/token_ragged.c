/* token_ragged.c - tokens that become fewer where every sequence has its own number of them (token_ragged.h).
 *
 * match_ragged says where each token goes within its sequence, and how many places there are left. These are made a
 * mask of which the first `left` of each sequence are set, and seq_offsets tells all else of it, as it did for unpad:
 *
 *   %place, %left = match_ragged %directions, %cu {ratio = 200, threshold = -inf, protect = 1, protect_end = 1}
 *   %counts, %cu1, %tok1, %inv1, %tasks1 = seq_offsets (0 .. s - 1 < %left)
 *   define T1 in 0..T, ... = %counts
 *   %y, %mass1 = merge_tokens %x, (%cu1 of the sequence, + %place), %mass {size = [T1]} : f32[1, T1, c], f32[1, T1]
 *
 * Ops behind it get T1 for T. The logarithms of masses are the column_bias of attention_ragged. Where the padded
 * program runs, T is 0 and so is every T1.
 */
#include "passes/lossy/token_ragged.h"
#include "passes/lossy/token_plan.h"

#include <math.h>

enum { COUNTS, CU, TOK, INV, TASKS, TASK_ROWS = 64 };

static xfc_int constant(const xfc_builder *b, int64_t v) { return xfc_int_const(b->graph->ctx, v); }

static xfc_value *reshape(xfc_builder *b, xfc_value *v, uint32_t rank, const xfc_int *dim) {
    return v ? xfc_b_reshape(b, v, dim, rank) : NULL;
}

static xfc_value *gather(xfc_builder *b, xfc_value *x, xfc_value *index) {
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return x && index ? xfc_build(b, XFC_OP_GATHER, (xfc_value *[]){x, index}, 2, &axis, 1) : NULL;
}

/* The first n rows of v. */
static xfc_value *first_rows(xfc_builder *b, xfc_value *v, xfc_int n) {
    return xfc_b_slice_axis(b, v, 0, constant(b, 0), n, 1);
}

xfc_ragged_rows xfc_ragged_rows_of(const xfc_stream *stream) {
    const xfc_op *offsets = stream->offsets;
    return (xfc_ragged_rows){.rows = stream->tokens, .cu = &offsets->out[CU], .tok = &offsets->out[TOK]};
}

/* How many rows there are at most: a ratio alone takes from each sequence its share, which is rounded down, or as many
 * as are not protected allow. */
static xfc_int most_left(const xfc_builder *b, const xfc_ragged_plan *p, const xfc_ragged_rows *r) {
    xfc_ctx *c = b->graph->ctx;
    if (p->threshold > -HUGE_VAL) return r->rows;
    int64_t rounding = 1 + (p->stream->protect + p->stream->protect_end + 1) / 2;
    xfc_int sequences = xfc_int_addc(c, r->cu->type.dim[0], -1);
    xfc_int goes = xfc_int_floordiv(c, xfc_int_mulc(c, r->rows, p->thousandths), constant(b, 1000));
    xfc_int left = xfc_int_add(c, xfc_int_sub(c, r->rows, goes), xfc_int_mulc(c, sequences, rounding));
    return xfc_int_known(left) ? xfc_int_min(c, r->rows, left) : r->rows;
}

/* The rows that `left` [b] of the places of each sequence are: *to gets the number of its sequence of each row that
 * there was, which `r` becomes. */
static bool regroup(xfc_builder *b, const xfc_ragged_plan *p, xfc_value *left, xfc_ragged_rows *r) {
    xfc_ctx *c = b->graph->ctx;
    const xfc_value *inv = &p->stream->offsets->out[INV];
    const xfc_int n = inv->type.dim[0], s = inv->type.dim[1], one = constant(b, 1), zero = constant(b, 0);
    const xfc_int column[2] = {n, one}, line[2] = {one, s};
    const xfc_attr counting[2] = {xfc_attr_dims(XFC_K_SIZE, &s, 1), xfc_attr_dtype(XFC_K_TO, XFC_I32)};
    xfc_value *places = reshape(b, xfc_build(b, XFC_OP_IOTA, NULL, 0, counting, 2), 2, line);
    xfc_value *kept = xfc_b_binary(b, XFC_OP_LT, places, reshape(b, left, 2, column));
    xfc_ragged offsets;
    if (!kept || !xfc_b_seq_offsets(b, kept, false, false, TASK_ROWS, &offsets)) return false;
    xfc_int tasks = xfc_int_mul(c, n, xfc_int_ceildiv(c, s, constant(b, TASK_ROWS)));
    const xfc_int symbol[3] = {xfc_int_let(c, "T", zero, most_left(b, p, r)), xfc_int_let(c, "N", zero, tasks),
                               xfc_int_let(c, "none", zero, zero)};
    if (!xfc_b_define(b, offsets.counts, symbol, 3)) return false;
    *r = (xfc_ragged_rows){.rows = symbol[0], .cu = offsets.cu, .tok = offsets.tok};
    r->tasks = first_rows(b, offsets.tasks, symbol[1]);
    return r->tasks != NULL;
}

/* i32[rows]: the number of each row's sequence. */
static xfc_value *sequences(xfc_builder *b, const xfc_ragged_plan *p, const xfc_ragged_rows *r) {
    const xfc_int s = p->stream->offsets->out[INV].type.dim[1];
    xfc_value *tok = first_rows(b, r->tok, r->rows);
    return xfc_b_binary(b, XFC_OP_DIV, tok, xfc_b_cast(b, xfc_b_dims(b, &s, -1), XFC_I32));
}

static xfc_value *match(xfc_builder *b, const xfc_ragged_plan *p, const xfc_ragged_rows *r) {
    const xfc_value *k = p->attention->in[1].value;
    const xfc_int by_heads[4] = {constant(b, 1), k->type.dim[0], k->type.dim[1], k->type.dim[2]};
    const xfc_attr how[4] = {xfc_attr_int(XFC_K_RATIO, p->thousandths), xfc_attr_float(XFC_K_THRESHOLD, p->threshold),
                             xfc_attr_int(XFC_K_PROTECT, p->stream->protect),
                             xfc_attr_int(XFC_K_PROTECT_END, p->stream->protect_end)};
    xfc_value *x = xfc_token_directions(b, reshape(b, p->attention->in[1].value, 4, by_heads));
    xfc_value *in[2] = {reshape(b, x, 2, by_heads + 2), r->cu};
    return in[0] ? xfc_build(b, XFC_OP_MATCH_RAGGED, in, 2, how, 4) : NULL;
}

xfc_value *xfc_ragged_reduce(xfc_builder *b, const xfc_ragged_plan *p, xfc_value *x, xfc_ragged_rows *r) {
    xfc_ragged_rows now = *r;
    xfc_value *place = match(b, p, r), *sequence = sequences(b, p, r);
    if (!place || !regroup(b, p, &place->def->out[1], &now)) return NULL;
    xfc_value *to = xfc_b_binary(b, XFC_OP_ADD, gather(b, now.cu, sequence), place);
    const xfc_attr size = xfc_attr_dims(XFC_K_SIZE, &now.rows, 1);
    xfc_value *mass = r->mass ? r->mass : xfc_b_expand(b, xfc_b_scalar_f(b, XFC_F32, 1), x->type.dim, 2);
    xfc_value *in[3] = {xfc_b_cast(b, x, XFC_F32), reshape(b, to, 2, x->type.dim), mass};
    if (!in[0] || !in[1] || !in[2]) return NULL;
    xfc_value *y = xfc_build(b, XFC_OP_MERGE_TOKENS, in, 3, &size, 1);
    if (!y) return NULL;
    now.mass = &y->def->out[1];
    now.log_mass = xfc_b_unary(b, XFC_OP_LOG, now.mass);
    now.to = r->to ? gather(b, to, r->to) : to;
    *r = now;
    return now.log_mass && now.to ? xfc_b_cast(b, y, x->type.dtype) : NULL;
}

xfc_status xfc_ragged_attend(xfc_op *op, const xfc_ragged_rows *r, bool plain) {
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    const xfc_int one = constant(&b, 1), columns[4] = {one, one, one, r->rows};
    xfc_value *none = xfc_b_expand(&b, xfc_b_scalar_i(&b, XFC_I32, 0), &r->rows, 1);
    xfc_value *bias = plain ? NULL : xfc_b_cast(&b, reshape(&b, r->log_mass, 4, columns), op->in[0].value->type.dtype);
    if (!none || (!plain && !bias)) return XFC_ERR_INPUT;
    xfc_op_set_in(op, XFC_RAGGED_CU, r->cu);
    xfc_op_set_in(op, XFC_RAGGED_TASKS, r->tasks);
    xfc_op_set_in(op, XFC_RAGGED_POS, none); /* only biases go by positions */
    while (bias && op->n_in < XFC_RAGGED_COLUMN_BIAS) xfc_op_add_in(op, NULL);
    if (bias && op->n_in == XFC_RAGGED_COLUMN_BIAS)
        xfc_op_add_in(op, bias);
    else if (bias)
        xfc_op_set_in(op, XFC_RAGGED_COLUMN_BIAS, bias);
    return xfc_infer_op(op);
}

xfc_status xfc_ragged_give_back(xfc_op *pad, const xfc_ragged_rows *r) {
    xfc_builder b = {.graph = pad->graph, .before = pad, .loc = pad->loc};
    xfc_value *inv = xfc_b_pad_ragged(&b, r->to, pad->in[1].value, NULL, -1);
    if (!inv) return XFC_ERR_INPUT;
    xfc_op_set_in(pad, 1, inv);
    return xfc_infer_op(pad);
}

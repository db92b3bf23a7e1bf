/* state.c - operators that carry a state from call to call: TensorScatter, CausalConvWithState, LinearAttention, of ONNX
 * and of com.microsoft.
 *
 * The state is an operand and a result; nothing is kept between calls. A recurrence is a loop over the rows (steps.h),
 * which carries its state in f32.
 */
#include "frontend/onnx/attention/attention.h"
#include "frontend/onnx/control/steps.h"
#include <math.h>
#include <string.h>

/* --- TensorScatter --- */

/* Axes 1 and `axis` change places. */
static xfc_value *axis_to_front(xfc_node *n, xfc_value *v, uint32_t axis) {
    int64_t perm[XFC_MAX_RANK];
    if (!v || axis == 1) return v;
    for (uint32_t d = 0; d < v->type.rank; d++) perm[d] = d == 1 ? axis : d == axis ? 1 : d;
    return xfc_b_transpose(n->b, v, perm);
}

/* base, but where 0 <= from[batch, i] < size: there row i along axis is row from[batch, i] of `rows`, which has at least
 * one. */
static xfc_value *placed(xfc_node *n, xfc_value *base, xfc_value *rows, xfc_value *from, uint32_t axis) {
    if (!base || !rows || !from) return NULL;
    const xfc_int *d = base->type.dim, last = xfc_int_addc(n->ctx, rows->type.dim[axis], -1);
    xfc_int one = xfc_int_const(n->ctx, 1), tuple[3] = {d[0], d[axis], one}, each[XFC_MAX_RANK];
    for (uint32_t i = 0; i < base->type.rank; i++) each[i] = i == 0 || i == axis ? d[i] : one;
    xfc_attr batch = xfc_attr_int(XFC_K_BATCH_DIMS, 1);
    xfc_value *count = xfc_b_dims(n->b, rows->type.dim + axis, -1);
    xfc_value *at = xfc_n2(n, XFC_OP_MIN, xfc_n2(n, XFC_OP_MAX, from, xfc_ni(n, 0)), xfc_b_dims(n->b, &last, -1));
    at = at ? xfc_b_reshape(n->b, at, tuple, 3) : NULL;
    rows = axis_to_front(n, rows, axis);
    if (!at || !rows) return NULL;
    rows = axis_to_front(n, xfc_build(n->b, XFC_OP_GATHER_ND, (xfc_value *[]){rows, at}, 2, &batch, 1), axis);
    from = xfc_b_reshape(n->b, from, each, base->type.rank);
    xfc_value *inside =
        xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_GE, from, xfc_ni(n, 0)), xfc_n2(n, XFC_OP_LT, from, count));
    return xfc_n_select(n, inside, rows, base);
}

/* past_cache with update at rows write_indices[batch] + i along axis, wrapped around in mode "circular". */
void xfc_import_tensor_scatter(xfc_node *n) {
    xfc_value *past = n->in[0], *update = n->in[1], *start = xfc_node_in(n, 2);
    xfc_ctx *c = n->ctx;
    const char *mode = xfc_node_str(n, "mode", "linear");
    bool circular = strcmp(mode, "circular") == 0;
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", -2), past->type.rank);
    if (n->status == XFC_OK && !circular && strcmp(mode, "linear") != 0)
        xfc_node_fail(n, XFC_ERR_INPUT, "mode '%.80s' is neither linear nor circular", mode);
    if (n->status == XFC_OK && (axis == 0 || update->type.rank != past->type.rank))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "the axis is %u, and cache and update have %u and %u dims; the axis must not be "
                      "that of the batch, and the dims as many",
                      axis, past->type.rank, update->type.rank);
    if (n->status != XFC_OK) return;
    const xfc_int *all = past->type.dim, *dim = update->type.dim;
    xfc_int zero = xfc_int_const(c, 0), one = xfc_int_const(c, 1);
    for (uint32_t d = 0; d < past->type.rank; d++)
        if (d != axis && !xfc_n_equal(n, dim[d], all[d], "the dims of cache and update")) return;
    if (!xfc_n_at_most(n, dim[axis], all[axis], "the rows of update and of the cache") ||
        !xfc_n_at_most(n, one, dim[axis], "1 and the rows of update"))
        return;
    if (start) {
        if (!xfc_n_equal(n, xfc_type_count(c, &start->type), all[0], "the batch and the entries of write_indices"))
            return;
        start = xfc_b_reshape(n->b, xfc_b_cast(n->b, start, XFC_I64), all, 1);
    } else {
        start = xfc_b_expand(n->b, xfc_b_ints(n->b, &(int64_t){0}, 1), all, 1);
    }
    if (!circular) {
        start = xfc_n_within(n, start, xfc_int_sub(c, all[axis], dim[axis]));
        n->out[0] = xfc_n_append(n, past, update, start, axis, all[axis], NULL);
        return;
    }
    xfc_value *row = xfc_n_along(n, xfc_n_iota(n, all[axis], zero, 1, XFC_I64), 1, 2);
    xfc_value *from = xfc_n2(n, XFC_OP_SUB, row, xfc_n_along(n, start, 0, 2));
    from = xfc_n2(n, XFC_OP_MOD, from, xfc_b_dims(n->b, all + axis, -1));
    n->out[0] = placed(n, past, update, from, axis);
}

/* --- CausalConvWithState --- */

static xfc_value *transposed(xfc_node *n, xfc_value *v) {
    static const int64_t swap[] = {0, 2, 1};
    return v ? xfc_b_transpose(n->b, v, swap) : NULL;
}

/* [batch, length, channels..] to [batch, channels, length]. */
static xfc_value *channels_first(xfc_node *n, xfc_value *v, xfc_int channels) {
    if (!v) return NULL;
    xfc_int dim[3] = {v->type.dim[0], v->type.dim[1], channels};
    return transposed(n, xfc_b_reshape(n->b, v, dim, 3));
}

static xfc_value *channels_last(xfc_node *n, xfc_value *v, const xfc_type *like) {
    xfc_int dim[XFC_MAX_RANK];
    if (!v) return NULL;
    for (uint32_t d = 0; d < like->rank; d++) dim[d] = d == 1 ? v->type.dim[2] : like->dim[d];
    return xfc_b_reshape(n->b, transposed(n, v), dim, like->rank);
}

/* state or zeros in front of x, `more` of them. */
static xfc_value *with_state(xfc_node *n, xfc_value *x, xfc_value *state, xfc_int more) {
    xfc_int zero = xfc_int_const(n->ctx, 0), before[3] = {zero, zero, more}, after[3] = {zero, zero, zero};
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 2);
    xfc_attr pad[] = {xfc_attr_dims(XFC_K_BEFORE, before, 3), xfc_attr_dims(XFC_K_AFTER, after, 3),
                      xfc_attr_float(XFC_K_FILL, 0)};
    if (!x || !state) return x ? xfc_build(n->b, XFC_OP_PAD, &x, 1, pad, XFC_COUNT(pad)) : NULL;
    if (!xfc_n_equal(n, state->type.dim[2], more, "the length of the state and of the kernel less one")) return NULL;
    return xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){state, x}, 2, &axis, 1);
}

/* Each channel of x [batch, channels, length + ..] with its kernel [channels, 1, k], in f32 where x is narrower. */
static xfc_value *depthwise(xfc_node *n, xfc_value *x, xfc_value *w, xfc_value *bias, int64_t dilation) {
    static const int64_t along[1] = {2}, one[1] = {1}, taps[1] = {3};
    xfc_dtype wide = x ? xfc_dtype_wide(x->type.dtype) : XFC_F32;
    const xfc_int *k = &w->type.dim[2];
    xfc_attr view[] = {xfc_attr_ints(XFC_K_AXES, along, 1), xfc_attr_dims(XFC_K_SIZE, k, 1),
                       xfc_attr_ints(XFC_K_STEP, one, 1), xfc_attr_ints(XFC_K_DILATION, &dilation, 1)};
    x = x ? xfc_build(n->b, XFC_OP_WINDOWS, &x, 1, view, XFC_COUNT(view)) : NULL;
    if (!x || !xfc_n_equal(n, w->type.dim[0], x->type.dim[1], "the channels of input and weights")) return NULL;
    xfc_value *y = xfc_n2(n, XFC_OP_MUL, xfc_b_cast(n->b, x, wide), xfc_b_cast(n->b, w, wide));
    y = y ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, y, taps, 1, false) : NULL;
    if (!bias || !y) return y;
    bias = xfc_n_per_channel(n, bias, y->type.dim[1], 3, "the bias");
    return bias ? xfc_n2(n, XFC_OP_ADD, y, xfc_b_cast(n->b, bias, wide)) : NULL;
}

/* input, weights, bias, state */
void xfc_import_causal_conv(xfc_node *n) {
    xfc_value *x = n->in[0], *w = n->in[1], *state = xfc_node_in(n, 3);
    const char *activation = xfc_node_str(n, "activation", "none");
    int64_t dilation = xfc_node_int(n, "dilation", 1);
    bool last = xfc_node_flag(n, "channels_last", false);
    bool silu = !strcmp(activation, "silu") || !strcmp(activation, "swish");
    if (n->status == XFC_OK && !silu && strcmp(activation, "none") != 0)
        xfc_node_fail(n, XFC_ERR_INPUT, "activation '%.80s' is none of silu, swish and none", activation);
    if (n->status == XFC_OK && (xfc_node_int(n, "ndim", 1) != 1 || xfc_node_int(n, "state_window", 0) != 0))
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                      "more than one spatial dim, or states of several positions, are not "
                      "supported; export without ndim and state_window");
    bool ranks = w->type.rank == 3 && (last ? x->type.rank > 2 : x->type.rank == 3);
    if (n->status == XFC_OK && (!ranks || dilation < 1 || (state && state->type.rank != x->type.rank)))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "input, weights and state have %u, %u and %u dims, and dilation is %lld; three "
                      "dims each, and at least 1, are allowed",
                      x->type.rank, w->type.rank, state ? state->type.rank : 0, (long long)dilation);
    if (n->status != XFC_OK || !xfc_n_equal(n, w->type.dim[1], xfc_int_const(n->ctx, 1), "1 and dim 1 of the weights"))
        return;
    const xfc_type type = x->type;
    if (last) x = channels_first(n, x, w->type.dim[0]), state = channels_first(n, state, w->type.dim[0]);
    xfc_int more = xfc_int_mulc(n->ctx, xfc_int_addc(n->ctx, w->type.dim[2], -1), dilation);
    x = with_state(n, x, state, more);
    xfc_value *y = depthwise(n, x, w, xfc_node_in(n, 2), dilation);
    if (silu) y = xfc_n2(n, XFC_OP_MUL, y, xfc_n1(n, XFC_OP_SIGMOID, y));
    if (!y) return;
    xfc_value *next = xfc_b_slice_axis(n->b, x, 2, xfc_int_sub(n->ctx, x->type.dim[2], more), more, 1);
    y = xfc_b_cast(n->b, y, type.dtype);
    n->out[0] = last ? channels_last(n, y, &type) : y;
    if (xfc_node_wants(n, 1)) n->out[1] = last ? channels_last(n, next, &type) : next;
}

/* --- LinearAttention --- */

enum { Q, K, V, STATE, DECAY, BETA };

typedef struct {
    xfc_node *n;
    int64_t heads, groups;
    xfc_int batch, rows;
    bool decays, corrects;
} linear;

static xfc_value *mul(const linear *l, xfc_value *a, xfc_value *b) { return xfc_n2(l->n, XFC_OP_MUL, a, b); }

static bool read_rule(linear *l) {
    xfc_node *n = l->n;
    const char *rule = xfc_node_str(n, "update_rule", "gated_delta");
    static const char *const known[] = {"linear", "gated", "delta", "gated_delta"};
    uint32_t i = 0;
    while (i < XFC_COUNT(known) && strcmp(rule, known[i]) != 0) i++;
    l->decays = i == 1 || i == 3, l->corrects = i == 2 || i == 3;
    l->heads = xfc_node_int(n, "q_num_heads", 0), l->groups = xfc_node_int(n, "kv_num_heads", 0);
    if (n->status != XFC_OK) return false;
    if (i == XFC_COUNT(known))
        xfc_node_fail(n, XFC_ERR_INPUT, "update_rule '%.80s' is none of linear, gated, delta and gated_delta", rule);
    else if (xfc_node_has(n, DECAY) != l->decays || xfc_node_has(n, BETA) != l->corrects)
        xfc_node_fail(n, XFC_ERR_INPUT, "update_rule '%s' %s decay and %s beta", rule, l->decays ? "needs" : "takes no",
                      l->corrects ? "needs" : "takes no");
    else if (l->heads <= 0 || l->groups <= 0 || l->heads % l->groups != 0)
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "q_num_heads is %lld and kv_num_heads %lld; the first must be a multiple of the second",
                      (long long)l->heads, (long long)l->groups);
    else if (xfc_node_int(n, "state_window", 0) != 0)
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "states of several rows are not supported; export without state_window");
    return n->status == XFC_OK;
}

/* Row `number` of operand i, [batch, rows, heads * width], as [batch, groups, heads / groups, width] in f32. */
static xfc_value *row_of(const linear *l, uint32_t i, xfc_value *number, int64_t heads) {
    xfc_node *n = l->n;
    xfc_value *v = n->in[i];
    xfc_int count = xfc_int_const(n->ctx, heads), groups = xfc_int_const(n->ctx, heads < l->groups ? heads : l->groups);
    xfc_int dim[4] = {l->batch, groups, xfc_int_const(n->ctx, heads < l->groups ? 1 : heads / l->groups),
                      xfc_dims_divide(n->ctx, v->type.dim + 2, 1, &count, 1)};
    v = xfc_n_gather(n, v, number, 1);
    return v ? xfc_b_cast(n->b, xfc_b_reshape(n->b, v, dim, 4), xfc_dtype_wide(v->type.dtype)) : NULL;
}

/* One step: the state [batch, groups, width of keys, width of values], and the row of the output. */
static void step(const linear *l, xfc_steps *s, xfc_value *scale, xfc_value **out) {
    xfc_node *n = l->n;
    xfc_value *state = &s->in[0], *q = row_of(l, Q, s->number, l->heads), *k = row_of(l, K, s->number, l->groups),
              *v = row_of(l, V, s->number, l->groups);
    if (l->decays && state) {
        xfc_value *g = row_of(l, DECAY, s->number, l->groups);
        g = g ? xfc_n_fitting(n, xfc_b_swap_last(n->b, g), state, "the decay") : NULL;
        state = mul(l, state, xfc_n1(n, XFC_OP_EXP, g));
    }
    if (l->corrects && k && state) {
        xfc_value *seen = xfc_b_matmul(n->b, k, state), *beta = xfc_n_gather(n, n->in[BETA], s->number, 1);
        xfc_int one = xfc_int_const(n->ctx, 1), dim[4] = {l->batch, n->in[BETA]->type.dim[2], one, one};
        beta = beta ? xfc_b_cast(n->b, xfc_b_reshape(n->b, beta, dim, 4), xfc_dtype_wide(beta->type.dtype)) : NULL;
        v = mul(l, xfc_n2(n, XFC_OP_SUB, v, seen), v ? xfc_n_fitting(n, beta, v, "beta") : NULL);
    }
    state = xfc_n2(n, XFC_OP_ADD, state, k && v ? mul(l, xfc_b_swap_last(n->b, k), v) : NULL);
    out[0] = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    out[1] = state ? xfc_steps_next(s, 0, state) : NULL;
    out[2] = mul(l, q && state ? xfc_b_matmul(n->b, q, state) : NULL, scale);
}

static xfc_value *first_state(const linear *l, xfc_int keys, xfc_int values) {
    xfc_node *n = l->n;
    const float nothing = 0;
    xfc_int dim[4] = {l->batch, xfc_int_const(n->ctx, l->groups), keys, values};
    xfc_value *given = xfc_node_in(n, STATE);
    if (!given) return xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_F32, 0, NULL, &nothing, NULL), dim, 4);
    for (uint32_t d = 0; d < 4 && given->type.rank == 4; d++)
        if (!xfc_n_equal(n, given->type.dim[d], dim[d], "batch, heads and widths, and the dims of the state"))
            return NULL;
    if (given->type.rank == 4) return xfc_b_cast(n->b, given, xfc_dtype_wide(given->type.dtype));
    return xfc_node_fail(n, XFC_ERR_INPUT, "the state has rank %u but must have 4", given->type.rank), NULL;
}

static bool read_operands(linear *l) {
    xfc_node *n = l->n;
    static const char *const what = "batch and rows of query and of another operand";
    const xfc_type *q = &n->in[Q]->type;
    for (uint32_t i = Q; i <= BETA; i++) {
        if (i == STATE || (i > V && !xfc_node_has(n, i))) continue;
        const xfc_type *t = &n->in[i]->type;
        if (t->rank != 3)
            return xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' has rank %u but must have 3: [batch, rows, width]",
                                 xfc_node_in_name(n, i), t->rank),
                   false;
        if (!xfc_n_equal(n, t->dim[0], q->dim[0], what) || !xfc_n_equal(n, t->dim[1], q->dim[1], what)) return false;
    }
    l->batch = q->dim[0], l->rows = q->dim[1];
    return true;
}

/* query, key, value, state, decay, beta */
void xfc_import_linear_attention(xfc_node *n) {
    linear l = {.n = n};
    if (!read_rule(&l) || !read_operands(&l)) return;
    xfc_int heads = xfc_int_const(n->ctx, l.heads), groups = xfc_int_const(n->ctx, l.groups);
    xfc_int keys = xfc_dims_divide(n->ctx, n->in[Q]->type.dim + 2, 1, &heads, 1);
    xfc_int values = xfc_dims_divide(n->ctx, n->in[V]->type.dim + 2, 1, &groups, 1);
    if (!xfc_n_equal(n, xfc_int_mul(n->ctx, heads, keys), n->in[Q]->type.dim[2],
                     "q_num_heads and the width of query") ||
        !xfc_n_equal(n, xfc_int_mul(n->ctx, groups, keys), n->in[K]->type.dim[2], "the widths of query and key") ||
        !xfc_n_equal(n, xfc_int_mul(n->ctx, groups, values), n->in[V]->type.dim[2],
                     "kv_num_heads and the width of value"))
        return;
    double given = xfc_node_float(n, "scale", 0);
    xfc_value *start = first_state(&l, keys, values), *out[3] = {NULL}, *scale, *width;
    if (!start || n->status != XFC_OK) return;
    width = xfc_b_cast(n->b, xfc_b_dims(n->b, &keys, -1), start->type.dtype);
    scale = given != 0 ? xfc_nf(n, start, given)
                       : xfc_n2(n, XFC_OP_DIV, xfc_nf(n, start, 1), xfc_n1(n, XFC_OP_SQRT, width));
    xfc_value *trip = xfc_b_dims(n->b, &l.rows, -1), *cond = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    xfc_steps s;
    xfc_steps_begin(&s, n, &start, 1);
    s.stays = true;
    step(&l, &s, scale, out);
    xfc_op *op = xfc_steps_end(&s, trip, cond, out, 1, l.rows);
    if (!op) return;
    static const int64_t batch_first[] = {1, 0, 2, 3, 4};
    xfc_int dim[3] = {l.batch, l.rows, xfc_int_mul(n->ctx, heads, values)};
    xfc_value *y = xfc_b_reshape(n->b, xfc_b_transpose(n->b, &op->out[1], batch_first), dim, 3);
    n->out[0] = y ? xfc_b_cast(n->b, y, n->in[Q]->type.dtype) : NULL;
    xfc_dtype kept = n->in[xfc_node_has(n, STATE) ? STATE : Q]->type.dtype;
    if (xfc_node_wants(n, 1)) n->out[1] = xfc_b_cast(n->b, &op->out[0], kept);
}

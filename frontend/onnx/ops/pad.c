/* pad.c - Pad: a constant border is an op; edge, reflect and wrap are gathers by an index computed along each axis.
 * Borders that only the run knows may be negative: a constant one is then cut first and padded by sizes, the others
 * are the same gathers. A fill that only the run knows stands where a mask of the border says. */
#include "frontend/onnx/import.h"
#include <string.h>

typedef struct {
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK];
} borders;

static bool read_borders(xfc_node *n, borders *out) {
    uint32_t rank = n->in[0]->type.rank, n_pads = 0, n_axes = rank;
    const int64_t *fixed = NULL, *axes = NULL;
    const xfc_int *pads = NULL;
    for (uint32_t i = 0; i < rank; i++) out->before[i] = out->after[i] = xfc_int_const(n->ctx, 0);
    if (n->opset >= 11)
        pads = xfc_node_amounts(n, 1, &n_pads);
    else
        xfc_node_ints(n, n->opset < 2 ? "paddings" : "pads", &fixed, &n_pads);
    if (xfc_node_has(n, 3)) axes = xfc_node_const_ints(n, 3, &n_axes);
    if (n->status != XFC_OK) return false;
    if (n_pads != 2 * n_axes || (!pads && !fixed && n_pads))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has %u pads for %u axes; export the model again", n_pads, n_axes),
               false;
    bool seen[XFC_MAX_RANK] = {false};
    for (uint32_t i = 0; i < n_axes; i++) {
        uint32_t axis = xfc_node_axis(n, axes ? axes[i] : (int64_t)i, rank);
        if (n->status != XFC_OK) return false;
        if (seen[axis])
            return xfc_node_fail(n, XFC_ERR_INPUT, "pads axis %u twice; export the model again", axis), false;
        seen[axis] = true;
        out->before[axis] = pads ? pads[i] : xfc_int_const(n->ctx, fixed[i]);
        out->after[axis] = pads ? pads[n_axes + i] : xfc_int_const(n->ctx, fixed[n_axes + i]);
    }
    return true;
}

/* False: the fill is no constant, and *out is 0. */
static bool read_fill(xfc_node *n, double *out) {
    *out = n->opset < 11 ? xfc_node_float(n, "value", 0) : 0;
    const xfc_tensor *t;
    if (n->opset < 11 || !xfc_node_has(n, 2)) return true;
    if (!xfc_value_is_const(n->in[2], &t) || t->count != 1) return false;
    double fill = xfc_tensor_get_f(t, 0);
    if (xfc_dtype_is_int(t->dtype) && (fill >= 9007199254740992.0 || fill <= -9007199254740992.0)) return false;
    *out = fill;
    return true;
}

/* Which element of the axis an output position takes; at: its distance from the first. */
static xfc_value *source_index(xfc_node *n, const char *mode, xfc_int dim, xfc_value *at) {
    xfc_ctx *c = n->ctx;
    xfc_int last = xfc_int_addc(c, dim, -1);
    xfc_value *end = xfc_b_dims(n->b, &last, -1), *zero = xfc_b_scalar_i(n->b, XFC_I64, 0);
    if (mode[0] == 'e') return xfc_n2(n, XFC_OP_MAX, xfc_n2(n, XFC_OP_MIN, at, end), zero);
    if (mode[0] == 'w') return xfc_n2(n, XFC_OP_MOD, at, xfc_b_dims(n->b, &dim, -1));
    xfc_int period = xfc_int_mulc(c, last, 2); /* reflect: 0 1 .. last .. 1, again; mod 0 gives 0 */
    xfc_value *m = xfc_n2(n, XFC_OP_MOD, at, xfc_b_dims(n->b, &period, -1));
    return xfc_n2(n, XFC_OP_MIN, m, xfc_n2(n, XFC_OP_SUB, xfc_b_dims(n->b, &period, -1), m));
}

static xfc_value *take_along(xfc_node *n, xfc_value *v, xfc_value *index, uint32_t axis) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){v, index}, 2, &attr, 1);
}

static xfc_value *pad_by_index(xfc_node *n, const char *mode, const borders *b) {
    xfc_ctx *c = n->ctx;
    xfc_value *v = n->in[0];
    for (uint32_t i = 0; i < n->in[0]->type.rank && v; i++) {
        if (xfc_int_is(c, b->before[i], 0) && xfc_int_is(c, b->after[i], 0)) continue;
        xfc_int dim = v->type.dim[i], total = xfc_int_add(c, dim, xfc_int_add(c, b->before[i], b->after[i]));
        xfc_value *at = xfc_n_iota(n, total, xfc_int_sub(c, xfc_int_const(c, 0), b->before[i]), 1, XFC_I64);
        v = take_along(n, v, source_index(n, mode, dim, at), i);
    }
    return v;
}

static xfc_value *pad_constant(xfc_node *n, xfc_value *v, const borders *b, double fill) {
    if (!v) return NULL;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, b->before, v->type.rank),
                       xfc_attr_dims(XFC_K_AFTER, b->after, v->type.rank), xfc_attr_float(XFC_K_FILL, fill)};
    return xfc_build(n->b, XFC_OP_PAD, &v, 1, attr, XFC_COUNT(attr));
}

/* With operand 2 around it: where a tensor of ones, padded by zeros, has none. */
static xfc_value *pad_by_operand(xfc_node *n, xfc_value *v, const borders *b) {
    static const uint8_t yes = 1;
    if (!v) return NULL;
    const xfc_type t = v->type;
    xfc_value *fill = xfc_b_reshape(n->b, n->in[2], NULL, 0);
    xfc_value *inside = xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_BOOL, 0, NULL, &yes, NULL), t.dim, t.rank);
    xfc_value *padded = pad_constant(n, v, b, 0);
    return xfc_n_select(n, pad_constant(n, inside, b, 0), padded, fill ? xfc_b_cast(n->b, fill, t.dtype) : NULL);
}

/* --- borders that only the run knows --- */

typedef struct { /* lists with a number for each axis */
    xfc_value *before, *after, *ok;
} run_time_borders;

static bool pads_at_run_time(xfc_node *n) {
    return n->opset >= 11 && (xfc_node_at_run_time(n, 1) || xfc_node_at_run_time(n, 3));
}

static bool read_run_time_borders(xfc_node *n, run_time_borders *b) {
    const xfc_type *t = &n->in[0]->type;
    xfc_int rank = xfc_int_const(n->ctx, t->rank);
    xfc_int count = xfc_node_has(n, 3) ? xfc_type_count(n->ctx, &n->in[3]->type) : rank;
    if (!xfc_n_equal(n, xfc_type_count(n->ctx, &n->in[1]->type), xfc_int_mulc(n->ctx, count, 2), "pads and axes"))
        return false;
    xfc_value *axes = xfc_node_has(n, 3) ? xfc_node_list(n, 3) : xfc_n_count(n, t->rank), *list = xfc_node_list(n, 1);
    xfc_value *far = xfc_ni(n, XFC_DIM_MAX), *back = xfc_ni(n, -XFC_DIM_MAX);
    list = xfc_n2(n, XFC_OP_MIN, xfc_n2(n, XFC_OP_MAX, list, back), far); /* more is no size either */
    xfc_value *flags = xfc_n_axis_flags(n, axes, t->rank, &b->ok), *first = xfc_n_first(n, list, count),
              *second = xfc_b_slice_axis(n->b, list, 0, count, count, 1);
    b->before = xfc_n_spread(n, first, axes, flags, xfc_ni(n, 0));
    b->after = xfc_n_spread(n, second, axes, flags, xfc_ni(n, 0));
    return b->before && b->after;
}

static xfc_value *negated(xfc_node *n, xfc_value *v) { return xfc_n1(n, XFC_OP_NEG, v); }
static xfc_value *not_below_0(xfc_node *n, xfc_value *v) { return xfc_n2(n, XFC_OP_MAX, v, xfc_ni(n, 0)); }

static xfc_value *pad_by_run_time_index(xfc_node *n, const char *mode, const run_time_borders *b) {
    const xfc_type t = n->in[0]->type;
    xfc_int size[XFC_MAX_RANK] = {{0}};
    xfc_value *v = n->in[0], *dims = xfc_b_dims(n->b, t.dim, t.rank);
    xfc_value *sizes = xfc_n2(n, XFC_OP_ADD, dims, xfc_n2(n, XFC_OP_ADD, b->before, b->after));
    if (!xfc_n_define(n, xfc_n_sizes_if(n, b->ok, sizes), size, t.rank, NULL)) return NULL;
    for (uint32_t i = 0; i < t.rank && v; i++) {
        xfc_value *at = xfc_n_iota(n, size[i], xfc_int_const(n->ctx, 0), 1, XFC_I64);
        at = xfc_n2(n, XFC_OP_SUB, at, xfc_n_pick(n, b->before, i));
        v = take_along(n, v, source_index(n, mode, t.dim[i], at), i);
    }
    return v;
}

/* What is negative is cut off, then the rest is padded. */
static xfc_value *cut_at_run_time(xfc_node *n, const run_time_borders *b, borders *out) {
    const xfc_type t = n->in[0]->type;
    xfc_int start[XFC_MAX_RANK] = {{0}}, size[XFC_MAX_RANK] = {{0}};
    int64_t step[XFC_MAX_RANK];
    *out = (borders){0};
    xfc_value *dims = xfc_b_dims(n->b, t.dim, t.rank), *front = not_below_0(n, negated(n, b->before));
    xfc_value *left = xfc_n2(n, XFC_OP_SUB, dims, xfc_n2(n, XFC_OP_ADD, front, not_below_0(n, negated(n, b->after))));
    for (uint32_t i = 0; i < t.rank; i++) step[i] = 1;
    if (!xfc_n_define(n, front, start, t.rank, t.dim) ||
        !xfc_n_define(n, xfc_n_sizes_if(n, b->ok, left), size, t.rank, t.dim) ||
        !xfc_n_define(n, not_below_0(n, b->before), out->before, t.rank, NULL) ||
        !xfc_n_define(n, not_below_0(n, b->after), out->after, t.rank, NULL))
        return NULL;
    return xfc_b_slice(n->b, n->in[0], start, size, step);
}

/* --- Pad --- */

void xfc_import_pad(xfc_node *n) {
    const char *mode = xfc_node_str(n, "mode", "constant");
    bool by_index = !strcmp(mode, "edge") || !strcmp(mode, "reflect") || !strcmp(mode, "wrap");
    bool at_run_time = pads_at_run_time(n);
    borders b;
    run_time_borders open;
    double fill;
    if (!by_index && strcmp(mode, "constant") != 0) {
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'mode' must be constant, edge, reflect or wrap");
        return;
    }
    if (at_run_time ? !read_run_time_borders(n, &open) : !read_borders(n, &b)) return;
    if (by_index) {
        n->out[0] = at_run_time ? pad_by_run_time_index(n, mode, &open) : pad_by_index(n, mode, &b);
        return;
    }
    xfc_value *v = at_run_time ? cut_at_run_time(n, &open, &b) : n->in[0];
    n->out[0] = read_fill(n, &fill) ? pad_constant(n, v, &b, fill) : pad_by_operand(n, v, &b);
}

/* What is cut off or added, half on each side; of an odd number one more behind. */
void xfc_import_center_crop_pad(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    const xfc_type *t = &n->in[0]->type;
    uint32_t n_shape, n_axes = t->rank;
    const int64_t *axes = NULL;
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK], zero = xfc_int_const(c, 0), two = xfc_int_const(c, 2);
    bool has = xfc_node_ints(n, "axes", &axes, &n_axes);
    if (!has) n_axes = t->rank;
    xfc_node_expect(n, 1, 0, n_axes);
    const xfc_int *shape = xfc_node_sizes(n, 1, &n_shape);
    if (n->status == XFC_OK && shape && n_axes != n_shape)
        xfc_node_fail(n, XFC_ERR_INPUT, "has %u sizes for %u axes; export the model again", n_shape, n_axes);
    for (uint32_t d = 0; d < t->rank; d++) before[d] = after[d] = zero;
    for (uint32_t i = 0; i < n_axes && shape && n->status == XFC_OK; i++) {
        uint32_t d = xfc_node_axis(n, has ? axes[i] : (int64_t)i, t->rank);
        xfc_int more = xfc_int_max(c, xfc_int_sub(c, shape[i], t->dim[d]), zero),
                less = xfc_int_max(c, xfc_int_sub(c, t->dim[d], shape[i]), zero);
        before[d] = xfc_int_sub(c, xfc_int_floordiv(c, more, two), xfc_int_floordiv(c, less, two));
        after[d] = xfc_int_sub(c, xfc_int_sub(c, shape[i], t->dim[d]), before[d]);
    }
    if (n->status != XFC_OK || !shape) return;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, t->rank), xfc_attr_dims(XFC_K_AFTER, after, t->rank)};
    n->out[0] = xfc_build(n->b, XFC_OP_PAD, n->in, 1, attr, XFC_COUNT(attr));
}

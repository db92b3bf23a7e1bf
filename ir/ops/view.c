/* view.c - ops whose output elements are input elements (or a fill): only the map of indices matters.
 *
 * Idea: each nest runs over the output dims and says where element `index` comes from, in xfc_int algebra; views.c,
 * fuse.c and the emitter therefore never see "a reshape", only index expressions that canonicalise. Elements that come
 * from nowhere (padding) or from one of several operands (concat) are predicated loads combined by select, so that one
 * nest has one body. The two bijections also say the inverse: push maps an input element to where it lands.
 */
#include "ir/ops/ops.h"

/* A copy nest: output element `index` is element `at` of the operand. */
static xfc_status copy_from(const xfc_op *op, xfc_nestb *nb, const xfc_int *index, const xfc_int *at) {
    const xfc_type *in = xfc_op_in(op, 0);
    uint32_t value = xfc_nb_load(nb, in->dtype, 0, at, in->rank);
    xfc_nb_store(nb, value, 1, index, op->out[0].type.rank, XFC_S_COUNT);
    return XFC_OK;
}

/* --- reshape, transpose --- */

xfc_status infer_reshape(xfc_infer *inf) {
    const xfc_type *in = xfc_op_in(inf->op, 0);
    XFC_TRY(xfc_infer_shape(inf, XFC_K_SHAPE, in->dtype, &inf->out[0]));
    xfc_int from = xfc_type_count(inf->ctx, in), to = xfc_type_count(inf->ctx, &inf->out[0]);
    if (xfc_int_same(from, to) || !xfc_int_known(to)) return XFC_OK; /* too many to count: the caller reports it */
    if (xfc_int_eq(inf->ctx, from, to) == 0) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "%s cannot be reshaped to %s: the numbers of elements differ", xfc_type_text(inf->ctx, in),
                        xfc_type_text(inf->ctx, &inf->out[0]));
    }
    xfc_graph_require_equal(inf->graph, from, to, inf->op->loc);
    return XFC_OK;
}

xfc_status nest_reshape(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *in = xfc_op_in(op, 0), *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    xfc_type_delinear(nb->ctx, in, xfc_type_linear(nb->ctx, out, index), at);
    return copy_from(op, nb, index, at);
}

void push_reshape(xfc_ctx *ctx, const xfc_op *op, const xfc_int *in_index, xfc_int *out_index) {
    xfc_type_delinear(ctx, &op->out[0].type, xfc_type_linear(ctx, xfc_op_in(op, 0), in_index), out_index);
}

xfc_status infer_transpose(xfc_infer *inf) {
    const xfc_type *in = xfc_op_in(inf->op, 0);
    const xfc_attr *perm = xfc_op_attr(inf->op, XFC_K_PERM);
    xfc_int dim[XFC_MAX_RANK];
    uint32_t seen = 0;
    for (uint32_t d = 0; d < perm->n && perm->n == in->rank; d++) {
        int64_t p = perm->u.ints[d];
        if (p < 0 || p >= (int64_t)in->rank || (seen >> p & 1)) break;
        seen |= 1u << p;
        dim[d] = in->dim[p];
    }
    if (perm->n != in->rank || seen != (1u << in->rank) - 1) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "perm must name each of the operand's %u dims once: correct it", (unsigned)in->rank);
    }
    inf->out[0] = xfc_type_make(in->dtype, in->rank, dim);
    return XFC_OK;
}

xfc_status nest_transpose(const xfc_op *op, xfc_nestb *nb) {
    const int64_t *perm = xfc_op_attr(op, XFC_K_PERM)->u.ints;
    const xfc_type *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    for (uint32_t d = 0; d < out->rank; d++) at[perm[d]] = index[d];
    return copy_from(op, nb, index, at);
}

void push_transpose(xfc_ctx *ctx, const xfc_op *op, const xfc_int *in_index, xfc_int *out_index) {
    (void)ctx;
    const xfc_attr *perm = xfc_op_attr(op, XFC_K_PERM);
    for (uint32_t d = 0; d < perm->n; d++) out_index[d] = in_index[perm->u.ints[d]];
}

/* --- expand, slice --- */

xfc_status infer_expand(xfc_infer *inf) {
    const xfc_type *in = xfc_op_in(inf->op, 0);
    xfc_type *out = &inf->out[0];
    XFC_TRY(xfc_infer_shape(inf, XFC_K_SHAPE, in->dtype, out));
    return xfc_infer_fits(inf, in, out, "the operand");
}

xfc_status nest_expand(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *in = xfc_op_in(op, 0), *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    uint32_t shift = out->rank - in->rank;
    xfc_nb_axes_of(nb, out, index);
    for (uint32_t d = 0; d < in->rank; d++)
        at[d] = xfc_broadcast_index(nb->ctx, index[d + shift], in->dim[d], out->dim[d + shift]);
    return copy_from(op, nb, index, at);
}

/* Both ends of the slice along one dim lie inside, as far as can be known. */
static xfc_status slice_inside(xfc_infer *inf, uint32_t d, xfc_int start, xfc_int size, int64_t step) {
    xfc_ctx *ctx = inf->ctx;
    xfc_int extent = xfc_op_in(inf->op, 0)->dim[d], zero = xfc_int_const(ctx, 0);
    if (!xfc_int_known(start) || step == 0) {
        return xfc_fail(ctx, XFC_ERR_INPUT, inf->op->loc, "slice along dim %u has %s: correct it", (unsigned)d,
                        step == 0 ? "step 0" : "an unknown start");
    }
    if (xfc_int_lt(ctx, zero, size) != 1) return XFC_OK; /* may be empty: nothing is read then */
    xfc_int last = xfc_int_add(ctx, start, xfc_int_mulc(ctx, xfc_int_addc(ctx, size, -1), step));
    xfc_int low = step > 0 ? start : last, high = step > 0 ? last : start;
    if (!xfc_int_known(last) || xfc_int_lt(ctx, low, zero) == 1 || xfc_int_le(ctx, extent, high) == 1) {
        return xfc_fail(ctx, XFC_ERR_INPUT, inf->op->loc,
                        "slice reads elements %s to %s of dim %u, which has extent %s: correct start and size",
                        xfc_dim_text(ctx, low), xfc_dim_text(ctx, high), (unsigned)d, xfc_dim_text(ctx, extent));
    }
    return XFC_OK;
}

xfc_status infer_slice(xfc_infer *inf) {
    const xfc_type *in = xfc_op_in(inf->op, 0);
    const xfc_attr *start = xfc_op_attr(inf->op, XFC_K_START), *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    const xfc_attr *step = xfc_op_attr(inf->op, XFC_K_STEP);
    if (start->n != in->rank || size->n != in->rank || step->n != in->rank) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "slice gives %u starts, %u sizes and %u steps for %u dims: give one a dim", (unsigned)start->n,
                        (unsigned)size->n, (unsigned)step->n, (unsigned)in->rank);
    }
    XFC_TRY(xfc_infer_shape(inf, XFC_K_SIZE, in->dtype, &inf->out[0]));
    for (uint32_t d = 0; d < in->rank; d++)
        XFC_TRY(slice_inside(inf, d, start->u.dims[d], size->u.dims[d], step->u.ints[d]));
    return XFC_OK;
}

xfc_status nest_slice(const xfc_op *op, xfc_nestb *nb) {
    const xfc_attr *start = xfc_op_attr(op, XFC_K_START), *step = xfc_op_attr(op, XFC_K_STEP);
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, &op->out[0].type, index);
    for (uint32_t d = 0; d < op->out[0].type.rank; d++) {
        at[d] = xfc_int_add(nb->ctx, start->u.dims[d], xfc_int_mulc(nb->ctx, index[d], step->u.ints[d]));
    }
    return copy_from(op, nb, index, at);
}

/* --- concat, pad, pack: predicated loads --- */

xfc_status infer_concat(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    xfc_type out = *xfc_op_in(op, 0);
    uint32_t axis;
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(op, XFC_K_AXIS, 0), out.rank, &axis));
    for (uint32_t i = 1; i < op->n_in; i++) {
        const xfc_type *in = xfc_op_in(op, i);
        if (in->dtype != out.dtype || in->rank != out.rank) {
            return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                            "%s cannot be joined to %s: operands need one type and one rank",
                            xfc_type_text(inf->ctx, in), xfc_type_text(inf->ctx, xfc_op_in(op, 0)));
        }
        for (uint32_t d = 0; d < out.rank; d++) {
            if (d == axis) continue;
            XFC_TRY(xfc_infer_equal(inf, out.dim[d], in->dim[d], "dims of joined tensors other than along the axis"));
            if (xfc_int_value(inf->ctx, in->dim[d], &(int64_t){0})) out.dim[d] = in->dim[d];
        }
        out.dim[axis] = xfc_int_add(inf->ctx, out.dim[axis], in->dim[axis]);
    }
    inf->out[0] = out;
    return XFC_OK;
}

static uint32_t compare(xfc_nestb *nb, xfc_scalar_op op, xfc_int a, xfc_int b) {
    return xfc_nb_op(nb, op, XFC_BOOL, xfc_nb_index(nb, a), xfc_nb_index(nb, b), XFC_NO_ARG);
}

/* a && b, where XFC_NO_ARG is "always". */
static uint32_t both(xfc_nestb *nb, uint32_t a, uint32_t b) {
    if (a == XFC_NO_ARG) return b;
    if (b == XFC_NO_ARG) return a;
    return xfc_nb_op(nb, XFC_S_AND, XFC_BOOL, a, b, XFC_NO_ARG);
}

/* XFC_NO_ARG if the index surely is in range. */
static uint32_t inside(xfc_nestb *nb, xfc_int index, xfc_int extent) {
    xfc_int zero = xfc_int_const(nb->ctx, 0);
    uint32_t low = xfc_int_le(nb->ctx, zero, index) == 1 ? XFC_NO_ARG : compare(nb, XFC_S_LE, zero, index);
    uint32_t high = xfc_int_lt(nb->ctx, index, extent) == 1 ? XFC_NO_ARG : compare(nb, XFC_S_LT, index, extent);
    return both(nb, low, high);
}

static uint32_t load_where(xfc_nestb *nb, uint32_t pred, const xfc_type *in, uint32_t buffer, const xfc_int *at) {
    if (pred == XFC_NO_ARG) return xfc_nb_load(nb, in->dtype, buffer, at, in->rank);
    return xfc_nb_load_if(nb, pred, in->dtype, buffer, at, in->rank);
}

xfc_status nest_concat(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *out = &op->out[0].type;
    int64_t axis = xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    xfc_int end = xfc_int_const(nb->ctx, 0);
    uint32_t value = XFC_NO_ARG;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_type *in = xfc_op_in(op, i);
        xfc_int begin = end;
        end = xfc_int_add(nb->ctx, begin, in->dim[axis]);
        if (xfc_int_is(nb->ctx, in->dim[axis], 0) && i + 1 < op->n_in) continue;
        uint32_t after = i == 0 ? XFC_NO_ARG : compare(nb, XFC_S_LE, begin, index[axis]);
        uint32_t before = i + 1 == op->n_in ? XFC_NO_ARG : compare(nb, XFC_S_LT, index[axis], end);
        for (uint32_t d = 0; d < out->rank; d++) at[d] = index[d];
        at[axis] = xfc_int_sub(nb->ctx, index[axis], begin);
        uint32_t part = load_where(nb, both(nb, after, before), in, i, at);
        value = value == XFC_NO_ARG ? part : xfc_nb_op(nb, XFC_S_SELECT, out->dtype, after, part, value);
    }
    xfc_nb_store(nb, value, op->n_in, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

xfc_status infer_pad(xfc_infer *inf) {
    const xfc_attr *before = xfc_op_attr(inf->op, XFC_K_BEFORE), *after = xfc_op_attr(inf->op, XFC_K_AFTER);
    xfc_type out = *xfc_op_in(inf->op, 0);
    if (before->n != out.rank || after->n != out.rank) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "pad gives %u and %u amounts for %u dims: give one of each a dim", (unsigned)before->n,
                        (unsigned)after->n, (unsigned)out.rank);
    }
    for (uint32_t d = 0; d < out.rank; d++) {
        out.dim[d] = xfc_int_add(inf->ctx, out.dim[d], xfc_int_add(inf->ctx, before->u.dims[d], after->u.dims[d]));
        if (xfc_int_known(out.dim[d]) && xfc_int_lt(inf->ctx, out.dim[d], xfc_int_const(inf->ctx, 0)) != 1) continue;
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "pad leaves dim %u of %s with %s elements: correct the amounts", (unsigned)d,
                        xfc_type_text(inf->ctx, xfc_op_in(inf->op, 0)), xfc_dim_text(inf->ctx, out.dim[d]));
    }
    inf->out[0] = out;
    return XFC_OK;
}

xfc_status nest_pad(const xfc_op *op, xfc_nestb *nb) {
    const xfc_attr *before = xfc_op_attr(op, XFC_K_BEFORE);
    const xfc_type *in = xfc_op_in(op, 0), *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK];
    uint32_t pred = XFC_NO_ARG;
    xfc_nb_axes_of(nb, out, index);
    for (uint32_t d = 0; d < out->rank; d++) {
        at[d] = xfc_int_sub(nb->ctx, index[d], before->u.dims[d]);
        if (!xfc_int_same(in->dim[d], out->dim[d]) || !xfc_int_is(nb->ctx, before->u.dims[d], 0))
            pred = both(nb, pred, inside(nb, at[d], in->dim[d]));
    }
    uint32_t value = load_where(nb, pred, in, 0, at);
    double fill = xfc_op_float(op, XFC_K_FILL, 0);
    if (pred != XFC_NO_ARG && (fill < 0 || fill > 0 || fill != fill)) { /* a load that is off gives 0 by itself */
        xfc_dtype t = in->dtype;
        uint32_t border = xfc_dtype_is_float(t)  ? xfc_nb_const_f(nb, t, fill)
                          : xfc_dtype_is_code(t) ? xfc_nb_const_i(nb, t, xfc_float_to_code(t, (float)fill, true))
                                                 : xfc_nb_const_i(nb, t, (int64_t)fill);
        value = xfc_nb_op(nb, XFC_S_SELECT, in->dtype, pred, value, border);
    }
    xfc_nb_store(nb, value, 1, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

/* group, to: steps of k that stand together in a panel (ir/contract.h), and the type that elements are cast to. */
xfc_status infer_pack(xfc_infer *inf) {
    const xfc_type *in = xfc_op_in(inf->op, 0);
    const xfc_attr *to = xfc_op_attr(inf->op, XFC_K_TO);
    int64_t panel = xfc_op_int(inf->op, XFC_K_PANEL, 0), group = xfc_op_int(inf->op, XFC_K_GROUP, 1);
    if (in->rank < 2 || in->rank == XFC_MAX_RANK || panel < 1 || panel > 4096 || group < 1 || group > 8) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "pack takes 2 to %d dims, a panel of 1 to 4096 columns and a group of 1 to 8, not %s, %lld and "
                        "%lld: correct it",
                        (int)XFC_MAX_RANK - 1, xfc_type_text(inf->ctx, in), (long long)panel, (long long)group);
    }
    xfc_int dim[XFC_MAX_RANK];
    uint32_t batch = in->rank - 2;
    for (uint32_t d = 0; d < batch; d++) dim[d] = in->dim[d];
    dim[batch] = xfc_int_ceildiv(inf->ctx, in->dim[batch + 1], xfc_int_const(inf->ctx, panel));
    dim[batch + 1] = xfc_int_ceildiv(inf->ctx, in->dim[batch], xfc_int_const(inf->ctx, group));
    dim[batch + 2] = xfc_int_const(inf->ctx, panel * group);
    inf->out[0] = xfc_type_make(to ? to->u.dtype : in->dtype, batch + 3, dim);
    return XFC_OK;
}

xfc_status nest_pack(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *in = xfc_op_in(op, 0), *out = &op->out[0].type;
    int64_t panel = xfc_op_int(op, XFC_K_PANEL, 0), group = xfc_op_int(op, XFC_K_GROUP, 1);
    xfc_int index[XFC_MAX_RANK], at[XFC_MAX_RANK], g = xfc_int_const(nb->ctx, group);
    uint32_t batch = in->rank - 2, pred[2] = {XFC_NO_ARG, XFC_NO_ARG};
    xfc_nb_axes_of(nb, out, index);
    xfc_int column = xfc_int_floordiv(nb->ctx, index[batch + 2], g), k = xfc_int_mod(nb->ctx, index[batch + 2], g);
    for (uint32_t d = 0; d < batch; d++) at[d] = index[d];
    at[batch] = xfc_int_add(nb->ctx, xfc_int_mulc(nb->ctx, index[batch + 1], group), k);
    at[batch + 1] = xfc_int_add(nb->ctx, xfc_int_mulc(nb->ctx, index[batch], panel), column);
    for (uint32_t d = 0; d < 2; d++) {
        bool whole = xfc_int_divisor(nb->ctx, in->dim[batch + d]) % (d ? panel : group) == 0;
        if (!whole) pred[d] = inside(nb, at[batch + d], in->dim[batch + d]);
    }
    uint32_t v = load_where(nb, both(nb, pred[0], pred[1]), in, 0, at);
    xfc_nb_store(nb, xfc_nb_cast(nb, out->dtype, in->dtype, v), 1, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

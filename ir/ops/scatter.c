/* scatter.c - writes to places that come from data.
 *
 * Idea: one nest makes the whole result. Its scan axis first walks the elements of `data` that can be hit and copies
 * each to its place, then walks the updates in their order and stores each where its index says; so the last of equal
 * indices wins, and a reduction combines in the order of the updates: the result depends on nothing else. Dims that
 * no index chooses are parallel axes.
 *
 *   scatter_nd   nest j in inner, s in N + U scan { copying = s < N; k = let (load at[s - N] unless copying) wrap;
 *                                                   w = let (copying ? s : k); y[w, j] = copying ? x[s, j] : u[s - N, j] }
 *
 * An index out of range is the let's error, as in gather. Where data has no element to hit, every index is.
 */
#include "ir/ops/ops.h"

enum { NONE, ADD, MUL, MAX, MIN, N_REDUCTIONS }; /* the attribute `reduction` */

static xfc_status check_operands(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *data = xfc_op_in(op, 0), *where = xfc_op_in(op, 1), *updates = xfc_op_in(op, 2);
    const char *name = xfc_ops[op->code].name;
    int64_t reduction = xfc_op_int(op, XFC_K_REDUCTION, NONE);
    if (reduction != NONE && xfc_dtype_is_stored(xfc_op_in(op, 0)->dtype))
        return xfc_fail(inf->ctx, XFC_ERR_UNSUPPORTED, op->loc, "%s of %s has a reduction: cast its operands", name,
                        xfc_dtype_name(xfc_op_in(op, 0)->dtype));
    if (reduction < NONE || reduction >= N_REDUCTIONS)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "%s has reduction %lld but must have 0 to %d", name,
                        (long long)reduction, N_REDUCTIONS - 1);
    if (where->dtype != XFC_I32 && where->dtype != XFC_I64)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "indices of %s are %s but must be i32 or i64: cast them",
                        name, xfc_dtype_name(where->dtype));
    if (data->dtype != updates->dtype)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "%s of %s into %s: the element types must be equal", name,
                        xfc_dtype_name(updates->dtype), xfc_dtype_name(data->dtype));
    return XFC_OK;
}

/* What an element becomes when an update meets it. */
static uint32_t combined(xfc_nestb *nb, const xfc_op *op, xfc_dtype t, uint32_t before, uint32_t update) {
    static const xfc_scalar_op numbers[N_REDUCTIONS] = {
        [ADD] = XFC_S_ADD, [MUL] = XFC_S_MUL, [MAX] = XFC_S_MAX, [MIN] = XFC_S_MIN};
    static const xfc_scalar_op bools[N_REDUCTIONS] = {
        [ADD] = XFC_S_OR, [MUL] = XFC_S_AND, [MAX] = XFC_S_OR, [MIN] = XFC_S_AND};
    int64_t reduction = xfc_op_int(op, XFC_K_REDUCTION, NONE);
    if (reduction == NONE) return update;
    return xfc_nb_op(nb, (t == XFC_BOOL ? bools : numbers)[reduction], t, before, update, XFC_NO_ARG);
}

static uint32_t below(xfc_nestb *nb, xfc_int a, xfc_int b) {
    return xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, xfc_nb_index(nb, a), xfc_nb_index(nb, b), XFC_NO_ARG);
}

static uint32_t inverted(xfc_nestb *nb, uint32_t a) {
    return xfc_nb_op(nb, XFC_S_NOT, XFC_BOOL, a, XFC_NO_ARG, XFC_NO_ARG);
}

/* Where an iteration stores along a dim of this extent: at `own` while copying, else at the index that was loaded. */
static xfc_int target(xfc_nestb *nb, uint32_t copying, xfc_int own, uint32_t loaded, xfc_int extent) {
    xfc_int zero = xfc_int_const(nb->ctx, 0), last = xfc_int_addc(nb->ctx, extent, -1);
    xfc_int given = xfc_nb_let(nb, "at", loaded, zero, last, true);
    uint32_t place = xfc_nb_op(nb, XFC_S_SELECT, XFC_I64, copying, xfc_nb_index(nb, own), xfc_nb_index(nb, given));
    return xfc_nb_let(nb, "to", place, zero, last, false);
}

/* --- scatter_nd --- */

xfc_status infer_scatter_nd(xfc_infer *inf) {
    const xfc_type *data = xfc_op_in(inf->op, 0), *where = xfc_op_in(inf->op, 1), *updates = xfc_op_in(inf->op, 2);
    int64_t tuple = 0;
    XFC_TRY(check_operands(inf));
    bool fixed = where->rank > 0 && xfc_int_value(inf->ctx, where->dim[where->rank - 1], &tuple);
    if (!fixed || tuple < 1 || tuple > (int64_t)data->rank)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "the last dim of the indices must be a number from 1 to the %u dims of data: correct it",
                        (unsigned)data->rank);
    uint32_t prefix = where->rank - 1, inner = data->rank - (uint32_t)tuple;
    if (updates->rank != prefix + inner)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "updates have %u dims but must have %u: correct them",
                        (unsigned)updates->rank, (unsigned)(prefix + inner));
    xfc_type hit = xfc_type_make(data->dtype, (uint32_t)tuple, data->dim);
    xfc_type list = xfc_type_make(XFC_I64, prefix, where->dim);
    if (!xfc_int_known(xfc_int_add(inf->ctx, xfc_type_count(inf->ctx, &hit), xfc_type_count(inf->ctx, &list))))
        return xfc_fail(inf->ctx, XFC_ERR_LIMIT, inf->op->loc, "scatter_nd of more than 2^63 elements");
    for (uint32_t d = 0; d < updates->rank; d++)
        XFC_TRY(xfc_infer_equal(inf, updates->dim[d], d < prefix ? where->dim[d] : data->dim[d - prefix + tuple],
                                "dims of the updates and of what they replace"));
    inf->out[0] = *data;
    return XFC_OK;
}

xfc_status nest_scatter_nd(const xfc_op *op, xfc_nestb *nb) {
    xfc_ctx *c = nb->ctx;
    const xfc_type *data = xfc_op_in(op, 0), *where = xfc_op_in(op, 1), *updates = xfc_op_in(op, 2);
    uint32_t prefix = where->rank - 1, inner = updates->rank - prefix, tuple = data->rank - inner;
    xfc_int from[XFC_MAX_RANK], at[XFC_MAX_RANK], update[XFC_MAX_RANK], to[XFC_MAX_RANK];
    const xfc_type hit = xfc_type_make(data->dtype, tuple, data->dim),
                   list = xfc_type_make(XFC_I64, prefix, where->dim);
    xfc_int n = xfc_type_count(c, &hit), all = xfc_int_add(c, n, xfc_type_count(c, &list));
    for (uint32_t d = 0; d < inner; d++)
        from[tuple + d] = to[tuple + d] = update[prefix + d] =
            xfc_nb_axis(nb, "i", data->dim[tuple + d], XFC_AXIS_PARALLEL);
    xfc_int s = xfc_nb_axis(nb, "s", all, XFC_AXIS_SCAN), u = xfc_int_sub(c, s, n);
    xfc_type_delinear(c, &hit, s, from);
    xfc_type_delinear(c, &list, u, update);
    uint32_t copying = below(nb, s, n), updating = inverted(nb, copying);
    for (uint32_t d = 0; d < prefix; d++) at[d] = update[d];
    for (uint32_t t = 0; t < tuple; t++) {
        at[prefix] = xfc_int_const(c, t);
        uint32_t loaded = xfc_nb_load_if(nb, updating, where->dtype, 1, at, where->rank);
        to[t] = target(nb, copying, from[t], loaded, data->dim[t]);
    }
    uint32_t old = xfc_nb_load_if(nb, copying, data->dtype, 0, from, data->rank);
    uint32_t fresh = xfc_nb_load_if(nb, updating, data->dtype, 2, update, updates->rank);
    if (xfc_op_int(op, XFC_K_REDUCTION, NONE) != NONE)
        fresh = combined(nb, op, data->dtype, xfc_nb_load_if(nb, updating, data->dtype, 3, to, data->rank), fresh);
    uint32_t value = xfc_nb_op(nb, XFC_S_SELECT, data->dtype, copying, old, fresh);
    xfc_nb_store(nb, value, 3, to, data->rank, XFC_S_COUNT);
    return XFC_OK;
}

/* --- scatter_elements --- */

xfc_status infer_scatter_elements(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_type *data = xfc_op_in(op, 0), *where = xfc_op_in(op, 1), *updates = xfc_op_in(op, 2);
    uint32_t axis;
    XFC_TRY(check_operands(inf));
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(op, XFC_K_AXIS, 0), data->rank, &axis));
    if (where->rank != data->rank || updates->rank != data->rank)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "data, indices and updates have %u, %u and %u dims: scatter_elements needs one rank",
                        (unsigned)data->rank, (unsigned)where->rank, (unsigned)updates->rank);
    for (uint32_t d = 0; d < data->rank; d++) {
        XFC_TRY(xfc_infer_equal(inf, updates->dim[d], where->dim[d], "dims of the updates and of the indices"));
        if (d != axis) XFC_TRY(xfc_infer_at_most(inf, where->dim[d], data->dim[d], "dims of the indices and of data"));
    }
    inf->out[0] = *data;
    return XFC_OK;
}

/* False lanes (no update for this place along the other dims) store what stands at place 0 once more. */
xfc_status nest_scatter_elements(const xfc_op *op, xfc_nestb *nb) {
    xfc_ctx *c = nb->ctx;
    const xfc_type *data = xfc_op_in(op, 0), *where = xfc_op_in(op, 1);
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    xfc_int from[XFC_MAX_RANK], update[XFC_MAX_RANK], to[XFC_MAX_RANK], n = data->dim[axis];
    for (uint32_t d = 0; d < data->rank; d++)
        if (d != axis) from[d] = to[d] = update[d] = xfc_nb_axis(nb, "i", data->dim[d], XFC_AXIS_PARALLEL);
    xfc_int s = xfc_nb_axis(nb, "s", xfc_int_add(c, n, where->dim[axis]), XFC_AXIS_SCAN);
    from[axis] = s;
    update[axis] = xfc_int_sub(c, s, n);
    uint32_t copying = below(nb, s, n), updating = inverted(nb, copying), later = updating;
    for (uint32_t d = 0; d < data->rank; d++) {
        if (d == axis || xfc_int_le(c, data->dim[d], where->dim[d]) == 1) continue;
        updating = xfc_nb_op(nb, XFC_S_AND, XFC_BOOL, updating, below(nb, update[d], where->dim[d]), XFC_NO_ARG);
    }
    uint32_t loaded = xfc_nb_load_if(nb, updating, where->dtype, 1, update, where->rank);
    to[axis] = target(nb, copying, s, loaded, n);
    uint32_t old = xfc_nb_load_if(nb, copying, data->dtype, 0, from, data->rank);
    uint32_t fresh = xfc_nb_load_if(nb, updating, data->dtype, 2, update, where->rank);
    if (updating != later || xfc_op_int(op, XFC_K_REDUCTION, NONE) != NONE) {
        uint32_t before = xfc_nb_load_if(nb, later, data->dtype, 3, to, data->rank);
        fresh = combined(nb, op, data->dtype, before, fresh);
        if (updating != later) fresh = xfc_nb_op(nb, XFC_S_SELECT, data->dtype, updating, fresh, before);
    }
    uint32_t value = xfc_nb_op(nb, XFC_S_SELECT, data->dtype, copying, old, fresh);
    xfc_nb_store(nb, value, 3, to, data->rank, XFC_S_COUNT);
    return XFC_OK;
}

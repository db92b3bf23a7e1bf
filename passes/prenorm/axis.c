/* axis.c - which ops commute with R, the subtraction of the mean over the channels.
 *
 * An op is looked at from its result: given the dim that holds the channels there, it says for each operand where they
 * are in it, or that the operand has no part in the stream. Sums of streams, views and reductions that leave the
 * channel dim whole, factors that are the same for all channels, and products that mix tokens. Ops on elements that
 * are not linear, and everything that sees channels apart, do not commute. No op is changed here.
 */
#include "passes/prenorm/prenorm.h"

/* Channels of an operand of an element-wise op: -1 none of its dims, 0 all of them; 1: neither can be said. */
static int along(const xfc_op *op, xfc_channels result, uint32_t i, xfc_channels *in) {
    const xfc_ctx *ctx = op->graph->ctx;
    const xfc_type *t = &op->in[i].value->type;
    uint32_t missing = op->out[0].type.rank - t->rank;
    if (result.axis < missing || xfc_int_is(ctx, t->dim[result.axis - missing], 1)) return -1;
    *in = (xfc_channels){result.axis - missing, result.d};
    return xfc_int_is(ctx, t->dim[in->axis], result.d) ? 0 : 1;
}

/* Every stream already has the type of the result, so that leaving the flat operand out keeps the shape. */
static bool sum_role(const xfc_op *op, xfc_channels result, uint32_t i, uint32_t first, xfc_role *role,
                     xfc_channels *in) {
    bool any_flat = false, any_whole = false;
    for (uint32_t k = first; k < op->n_in; k++) {
        xfc_channels at;
        int a = along(op, result, k, &at);
        if (a > 0) return false;
        any_flat |= a < 0;
        any_whole |= a == 0 && xfc_type_same(&op->in[k].value->type, &op->out[0].type);
    }
    if (any_flat && (!any_whole || first > 0)) return false;
    *role = along(op, result, i, in) < 0 ? XFC_ROLE_FLAT : XFC_ROLE_STREAM;
    return true;
}

/* A factor, or a choice, that is the same for all channels. */
static bool factor_role(const xfc_op *op, xfc_channels result, uint32_t i, uint32_t factor, xfc_role *role,
                        xfc_channels *in) {
    xfc_channels at;
    *role = XFC_ROLE_OTHER;
    if (along(op, result, factor, &at) >= 0) return false;
    if (i == factor) return true;
    *role = XFC_ROLE_STREAM;
    return along(op, result, i, in) == 0;
}

static bool mul_role(const xfc_op *op, xfc_channels result, uint32_t i, xfc_role *role, xfc_channels *in) {
    return factor_role(op, result, i, 1, role, in) || factor_role(op, result, i, 0, role, in);
}

static bool select_role(const xfc_op *op, xfc_channels result, uint32_t i, xfc_role *role, xfc_channels *in) {
    xfc_channels at;
    if (along(op, result, 0, &at) >= 0) return false;
    *role = XFC_ROLE_OTHER;
    return i == 0 || sum_role(op, result, i, 1, role, in);
}

static xfc_int product_from(xfc_ctx *ctx, const xfc_type *t, uint32_t from) {
    xfc_int p = xfc_int_const(ctx, 1);
    for (uint32_t d = from; d < t->rank; d++) p = xfc_int_mul(ctx, p, t->dim[d]);
    return p;
}

/* The dim of the same extent with as many elements behind it. */
static bool reshape_role(const xfc_op *op, xfc_channels result, xfc_channels *in) {
    xfc_ctx *ctx = op->graph->ctx;
    const xfc_type *t = &op->in[0].value->type;
    xfc_int behind = product_from(ctx, &op->out[0].type, result.axis + 1);
    if (!xfc_int_known(behind) || xfc_int_is(ctx, behind, 0)) return false;
    for (uint32_t d = 0; d < t->rank; d++) {
        *in = (xfc_channels){d, result.d};
        if (xfc_int_is(ctx, t->dim[d], result.d) && xfc_int_same(product_from(ctx, t, d + 1), behind)) return true;
    }
    return false;
}

static bool slice_role(const xfc_op *op, xfc_channels result) {
    const xfc_ctx *ctx = op->graph->ctx;
    uint32_t a = result.axis;
    return xfc_int_is(ctx, xfc_op_attr(op, XFC_K_START)->u.dims[a], 0) && xfc_op_attr(op, XFC_K_STEP)->u.ints[a] == 1 &&
           xfc_int_is(ctx, op->in[0].value->type.dim[a], result.d);
}

static bool pad_role(const xfc_op *op, xfc_channels result) {
    const xfc_ctx *ctx = op->graph->ctx;
    double fill = xfc_op_float(op, XFC_K_FILL, 0);
    return xfc_int_is(ctx, xfc_op_attr(op, XFC_K_BEFORE)->u.dims[result.axis], 0) &&
           xfc_int_is(ctx, xfc_op_attr(op, XFC_K_AFTER)->u.dims[result.axis], 0) && !(fill < 0) && !(fill > 0);
}

/* [before] [index dims] [after]: the channels come from a dim of the data before or after those that are indexed. */
static bool gather_role(const xfc_op *op, xfc_channels result, uint32_t i, xfc_role *role, xfc_channels *in) {
    bool nd = op->code == XFC_OP_GATHER_ND;
    const xfc_type *where = &op->in[1].value->type;
    int64_t tuple = 1, lead = xfc_op_int(op, nd ? XFC_K_BATCH_DIMS : XFC_K_AXIS, 0);
    if (nd && !xfc_int_value(op->graph->ctx, where->dim[where->rank - 1], &tuple)) return false;
    uint32_t before = (uint32_t)lead, indexed = nd ? where->rank - 1 - before : where->rank;
    if (result.axis < before && nd) return false; /* a batch dim of the indices, too */
    if (result.axis >= before && result.axis < before + indexed) return false;
    bool after = result.axis >= before;
    *role = i == 0 ? XFC_ROLE_STREAM : XFC_ROLE_OTHER;
    *in = (xfc_channels){after ? result.axis - indexed + (uint32_t)tuple : result.axis, result.d};
    return true;
}

/* A sum, mean or running sum over tokens. */
static bool reduce_role(const xfc_op *op, xfc_channels result, xfc_channels *in) {
    const xfc_attr *axes = xfc_op_attr(op, XFC_K_AXES);
    bool keep = xfc_op_int(op, XFC_K_KEEPDIMS, 0) != 0;
    uint32_t at = 0;
    for (uint32_t d = 0; d < op->in[0].value->type.rank; d++) {
        bool reduced = false;
        for (uint32_t k = 0; k < axes->n; k++) reduced |= axes->u.ints[k] == (int64_t)d;
        if (!reduced && at == result.axis) {
            *in = (xfc_channels){d, result.d};
            return true;
        }
        at += keep || !reduced;
    }
    return false;
}

/* Rows are the stream's if the channels are columns of the right operand, or rows or a batch dim of the left one. */
static bool matmul_role(const xfc_op *op, xfc_channels result, uint32_t i, xfc_role *role, xfc_channels *in) {
    uint32_t rank = op->out[0].type.rank, stream = result.axis + 1 == rank ? 1 : 0;
    const xfc_type *t = &op->in[stream].value->type;
    uint32_t missing = rank - t->rank;
    xfc_channels other;
    if (result.axis < missing) return false;
    if (result.axis + 2 < rank && along(op, result, 1, &other) >= 0) return false;
    *in = (xfc_channels){result.axis - missing, result.d};
    *role = i == stream ? XFC_ROLE_STREAM : XFC_ROLE_OTHER;
    return xfc_int_is(op->graph->ctx, t->dim[in->axis], result.d);
}

/* A linear over tokens; its bias is the same for all channels. */
static bool linear_role(const xfc_op *op, xfc_channels result, uint32_t i, xfc_role *role, xfc_channels *in) {
    *in = result;
    *role = i == 0 ? XFC_ROLE_STREAM : i == 1 ? XFC_ROLE_OTHER : XFC_ROLE_FLAT;
    return result.axis + 1 < op->out[0].type.rank;
}

static bool view_role(const xfc_op *op, xfc_channels result, xfc_channels *in) {
    *in = result;
    switch ((unsigned)op->code) {
    case XFC_OP_RESHAPE: return reshape_role(op, result, in);
    case XFC_OP_TRANSPOSE: in->axis = (uint32_t)xfc_op_attr(op, XFC_K_PERM)->u.ints[result.axis]; return true;
    case XFC_OP_EXPAND: return along(op, result, 0, in) == 0;
    case XFC_OP_SLICE: return slice_role(op, result);
    case XFC_OP_PAD: return pad_role(op, result);
    case XFC_OP_CONCAT: return xfc_op_int(op, XFC_K_AXIS, 0) != (int64_t)result.axis;
    case XFC_OP_CUMSUM: return xfc_op_int(op, XFC_K_AXIS, 0) != (int64_t)result.axis;
    case XFC_OP_REDUCE_SUM:
    case XFC_OP_REDUCE_MEAN: return reduce_role(op, result, in);
    case XFC_OP_CAST: return xfc_dtype_is_float(op->in[0].value->type.dtype);
    case XFC_OP_NEG:
    case XFC_OP_COPY: return true;
    default: return false;
    }
}

bool xfc_commutes(const xfc_op *op, xfc_channels result, uint32_t i, xfc_role *role, xfc_channels *in) {
    if (op->n_out != 1 || !op->in[i].value || !xfc_dtype_is_float(op->out[0].type.dtype)) return false;
    switch ((unsigned)op->code) {
    case XFC_OP_ADD:
    case XFC_OP_SUB: return sum_role(op, result, i, 0, role, in);
    case XFC_OP_MUL: return mul_role(op, result, i, role, in);
    case XFC_OP_DIV: return factor_role(op, result, i, 1, role, in);
    case XFC_OP_SELECT: return select_role(op, result, i, role, in);
    case XFC_OP_GATHER:
    case XFC_OP_GATHER_ND: return gather_role(op, result, i, role, in);
    case XFC_OP_MATMUL: return matmul_role(op, result, i, role, in);
    case XFC_OP_LINEAR: return linear_role(op, result, i, role, in);
    default: *role = XFC_ROLE_STREAM; return view_role(op, result, in);
    }
}

bool xfc_commutes_all(const xfc_op *op, xfc_channels result) {
    xfc_role role;
    xfc_channels in;
    if (op->n_in == 0) return false;
    uint32_t n = op->code == XFC_OP_CONCAT ? 1 : op->n_in; /* one says it for all */
    for (uint32_t i = 0; i < n; i++)
        if (op->in[i].value && !xfc_commutes(op, result, i, &role, &in)) return false;
    return true;
}

bool xfc_commutes_forward(const xfc_op *op, uint32_t i, xfc_channels in, xfc_channels *result) {
    if (op->n_out != 1) return false;
    for (uint32_t a = 0; a < op->out[0].type.rank; a++) {
        xfc_role role;
        xfc_channels at;
        *result = (xfc_channels){a, in.d};
        if (!xfc_int_is(op->graph->ctx, op->out[0].type.dim[a], in.d)) continue;
        if (xfc_commutes(op, *result, i, &role, &at) && role == XFC_ROLE_STREAM && at.axis == in.axis)
            return xfc_commutes_all(op, *result);
    }
    return false;
}

bool xfc_commutes_backward(const xfc_op *op) { return op->code != XFC_OP_MATMUL && op->code != XFC_OP_LINEAR; }

bool xfc_keeps_channels(const xfc_op *op) {
    switch ((unsigned)op->code) {
    case XFC_OP_RESHAPE:
    case XFC_OP_TRANSPOSE:
    case XFC_OP_EXPAND:
    case XFC_OP_SLICE:
    case XFC_OP_GATHER:
    case XFC_OP_CAST:
    case XFC_OP_COPY: return true;
    default: return false;
    }
}

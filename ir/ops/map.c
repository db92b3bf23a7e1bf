/* map.c - element-wise ops: every scalar of scalar.def, cast and copy, and the tensors that come from nothing
 * (const, dims, iota, splat); and the helpers that all families share.
 *
 * Idea: a map's nest has one axis an output dim; operand dims are aligned at the right (numpy) and indexed by
 * xfc_broadcast_index, so that an operand of extent 1 is read at 0 and one whose extent is not known until run time at
 * min(i, extent - 1). Nothing here assumes a static extent.
 * Integer attributes that are absent mean 0 everywhere, axes are never negative: importers normalise.
 */
#include "ir/ops/ops.h"
#include "ir/text/text.h"

const char *xfc_type_text(xfc_ctx *ctx, const xfc_type *type) {
    xfc_buf buf = {.arena = ctx->arena};
    xfc_print_type(ctx, &buf, type);
    return buf.text;
}

xfc_status xfc_infer_axis(xfc_infer *inf, int64_t value, uint32_t rank, uint32_t *out) {
    if (value < 0 || value >= (int64_t)rank) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "axis %lld is outside 0..%lld of the operand's %u dims: correct it", (long long)value,
                        (long long)rank - 1, (unsigned)rank);
    }
    *out = (uint32_t)value;
    return XFC_OK;
}

const char *xfc_dim_text(xfc_ctx *ctx, xfc_int dim) {
    xfc_buf buf = {.arena = ctx->arena};
    if (!xfc_int_known(dim)) return "unknown";
    xfc_int_print(ctx, &buf, dim, NULL, NULL);
    return buf.text;
}

/* --- sizes that must agree --- */

xfc_status xfc_infer_meet(xfc_infer *inf, xfc_int a, xfc_int b, unsigned ones, const char *what) {
    if (xfc_graph_require(inf->graph, a, b, ones, xfc_loc_of(inf->ctx, inf->op->loc, what))) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                    "%s are %s and %s but must be equal: correct the shapes of its operands", what,
                    xfc_dim_text(inf->ctx, a), xfc_dim_text(inf->ctx, b));
}

xfc_status xfc_infer_at_most(xfc_infer *inf, xfc_int a, xfc_int b, const char *what) {
    int holds = xfc_int_le(inf->ctx, a, b);
    if (holds == 0)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "%s are %s and %s, but the first must not be larger: correct the shapes of its operands", what,
                        xfc_dim_text(inf->ctx, a), xfc_dim_text(inf->ctx, b));
    const xfc_loc loc = xfc_loc_of(inf->ctx, inf->op->loc, what);
    if (holds < 0) xfc_graph_require_equal(inf->graph, xfc_int_min(inf->ctx, a, b), a, loc);
    return XFC_OK;
}

xfc_status xfc_infer_fits(xfc_infer *inf, const xfc_type *in, const xfc_type *to, const char *what) {
    bool fits = in->rank <= to->rank;
    for (uint32_t d = 0; fits && d < in->rank; d++)
        fits =
            xfc_graph_require(inf->graph, in->dim[d], to->dim[to->rank - in->rank + d], XFC_A_MAY_BE_1, inf->op->loc);
    if (fits) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                    "%s of %s has type %s, which does not broadcast to %s: correct its shape", what,
                    xfc_ops[inf->op->code].name, xfc_type_text(inf->ctx, in), xfc_type_text(inf->ctx, to));
}

/* Surely not 1. */
static bool never_one(xfc_ctx *ctx, xfc_int a) { return xfc_int_eq(ctx, a, xfc_int_const(ctx, 1)) == 0; }

/* Both dims may be 1 or not: the larger, unless the other is 0 (numpy: 1 against 0 is 0). */
static xfc_int broadcast_unknown(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    xfc_int one = xfc_int_const(ctx, 1), smaller = xfc_int_min(ctx, a, b);
    if (xfc_int_le(ctx, a, one) == 1 || xfc_int_le(ctx, b, one) == 1) return xfc_int_mul(ctx, a, b);
    if (xfc_int_le(ctx, one, smaller) == 1) return xfc_int_max(ctx, a, b);
    return xfc_int_mul(ctx, xfc_int_max(ctx, a, b), xfc_int_min(ctx, smaller, one));
}

enum { MAX_LOOKS = 32 }; /* at sizes inside of one, so that a web of them takes no time */

/* Is `whole` what broadcasting gives of `part` and others? Then it is what the two give, too: x + f(x * mask) has the
 * size of x * mask, however often that is repeated. */
static bool has_member(xfc_ctx *ctx, xfc_int whole, xfc_int part, uint32_t *looks) {
    const xfc_int_info sum = *xfc_int_look(ctx, whole);
    if (sum.kind != XFC_INT_SUM || sum.n_terms != 1 || sum.term[0].n != 2 || (*looks)++ >= MAX_LOOKS) return false;
    for (uint32_t i = 0; i < 2; i++) {
        const xfc_int_info max = *xfc_int_look(ctx, sum.term[0].atom[i]);
        if (max.kind != XFC_INT_MAX || !xfc_int_same(broadcast_unknown(ctx, max.a, max.b), whole)) continue;
        return xfc_int_same(max.a, part) || xfc_int_same(max.b, part) || has_member(ctx, max.a, part, looks) ||
               has_member(ctx, max.b, part, looks);
    }
    return false;
}

xfc_int xfc_broadcast_size(xfc_ctx *ctx, xfc_int a, xfc_int b) {
    if (xfc_int_same(a, b) || xfc_int_is(ctx, b, 1) || has_member(ctx, a, b, &(uint32_t){0})) return a;
    if (xfc_int_is(ctx, a, 1) || has_member(ctx, b, a, &(uint32_t){0})) return b;
    bool a_fixed = never_one(ctx, a), b_fixed = never_one(ctx, b);
    if (a_fixed && b_fixed) return xfc_int_value(ctx, b, NULL) ? b : a;
    return a_fixed ? a : b_fixed ? b : broadcast_unknown(ctx, a, b);
}

xfc_status xfc_broadcast_dim(xfc_infer *inf, xfc_int a, xfc_int b, xfc_int *out) {
    *out = xfc_broadcast_size(inf->ctx, a, b);
    return xfc_infer_meet(inf, a, b, XFC_BROADCAST, "dims that meet in broadcasting");
}

xfc_status xfc_infer_broadcast(xfc_infer *inf, const xfc_int *in, uint32_t n, xfc_int *dim, uint32_t rank) {
    for (uint32_t d = 0; d < n; d++) XFC_TRY(xfc_broadcast_dim(inf, dim[rank - n + d], in[d], &dim[rank - n + d]));
    return XFC_OK;
}

xfc_int xfc_broadcast_index(xfc_ctx *ctx, xfc_int i, xfc_int extent, xfc_int out) {
    xfc_int one = xfc_int_const(ctx, 1);
    if (xfc_int_is(ctx, extent, 1)) return xfc_int_const(ctx, 0);
    if (xfc_int_same(extent, out) || xfc_int_eq(ctx, extent, one) == 0) return i;
    return xfc_int_min(ctx, i, xfc_int_addc(ctx, extent, -1));
}

/* --- element-wise ops of scalar.def --- */

typedef enum { OPERANDS_F, OPERANDS_N, OPERANDS_I, OPERANDS_L, OPERANDS_A } operand_class;
typedef enum { RESULT_SAME, RESULT_BOOL } result_class;
typedef struct {
    operand_class operands;
    result_class result;
} map_row;

static const map_row map_rows[XFC_S_COUNT] = {
#define XFC_SCALAR(id, name, arity, operands, result, lower) [XFC_S_##id] = {OPERANDS_##operands, RESULT_##result},
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
};

/* The scalars stand in both enums in the order of scalar.def, so one subtraction maps op to instruction. */
static xfc_scalar_op scalar_of(xfc_opcode code) {
    xfc_assert((unsigned)code <= (unsigned)XFC_OP_SELECT);
    return (xfc_scalar_op)((unsigned)code - (unsigned)XFC_OP_ADD + (unsigned)XFC_S_ADD);
}

static bool class_allows(operand_class allowed, xfc_dtype t) {
    switch (allowed) {
    case OPERANDS_F: return xfc_dtype_is_float(t) && !xfc_dtype_is_stored(t);
    case OPERANDS_N: return t != XFC_BOOL && !xfc_dtype_is_stored(t);
    case OPERANDS_I: return xfc_dtype_is_int(t) && !xfc_dtype_is_stored(t);
    case OPERANDS_L: return !xfc_dtype_is_float(t) && !xfc_dtype_is_stored(t);
    case OPERANDS_A: break;
    }
    return true;
}

static xfc_status map_dtype(xfc_infer *inf, xfc_dtype *out) {
    const xfc_op *op = inf->op;
    map_row row = map_rows[scalar_of(op->code)];
    uint32_t first = op->code == XFC_OP_SELECT ? 1 : 0;
    xfc_dtype t = xfc_op_in(op, first)->dtype;
    if (first && xfc_op_in(op, 0)->dtype != XFC_BOOL) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "the condition of select is %s but must be bool: cast it",
                        xfc_dtype_name(xfc_op_in(op, 0)->dtype));
    }
    for (uint32_t i = first + 1; i < op->n_in; i++) {
        if (xfc_op_in(op, i)->dtype == t) continue;
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                        "operands of %s are %s and %s but must have one type: cast one of them", xfc_ops[op->code].name,
                        xfc_dtype_name(t), xfc_dtype_name(xfc_op_in(op, i)->dtype));
    }
    if (!class_allows(row.operands, t) || (xfc_dtype_is_code(t) && op->code != XFC_OP_SELECT)) {
        return xfc_fail(inf->ctx, XFC_ERR_UNSUPPORTED, op->loc, "%s is not defined for %s: cast its operands",
                        xfc_ops[op->code].name, xfc_dtype_name(t));
    }
    *out = row.result == RESULT_BOOL ? XFC_BOOL : t;
    return XFC_OK;
}

xfc_status xfc_infer_map(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    xfc_dtype dtype = XFC_F32;
    XFC_TRY(map_dtype(inf, &dtype));
    uint32_t rank = 0;
    for (uint32_t i = 0; i < op->n_in; i++) rank = xfc_op_in(op, i)->rank > rank ? xfc_op_in(op, i)->rank : rank;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) dim[d] = xfc_int_const(inf->ctx, 1);
    for (uint32_t i = 0; i < op->n_in; i++)
        XFC_TRY(xfc_infer_broadcast(inf, xfc_op_in(op, i)->dim, xfc_op_in(op, i)->rank, dim, rank));
    inf->out[0] = xfc_type_make(dtype, rank, dim);
    return XFC_OK;
}

void xfc_nb_axes_of(xfc_nestb *nb, const xfc_type *type, xfc_int *index) {
    for (uint32_t d = 0; d < type->rank; d++) index[d] = xfc_nb_axis(nb, "i", type->dim[d], XFC_AXIS_PARALLEL);
}

xfc_nest *xfc_nest_of(const xfc_op *op, xfc_arena *arena) {
    xfc_ctx *c = op->graph->ctx;
    xfc_nestb nb = xfc_nestb_new(c, arena);
    uint32_t n = 0;
    if (!xfc_ops[op->code].nest || xfc_ops[op->code].nest(op, &nb) != XFC_OK) return NULL;
    xfc_int *from = xfc_new_array(arena, xfc_int, nb.nest->n_axes),
            *to = xfc_new_array(arena, xfc_int, nb.nest->n_axes);
    for (uint32_t i = 0; i < nb.nest->n_axes; i++) {
        if (!xfc_int_is(c, nb.nest->axes[i].extent, 1)) continue;
        from[n] = nb.nest->axes[i].symbol;
        to[n++] = xfc_int_const(c, 0);
    }
    if (n > 0) xfc_nest_substitute(c, arena, nb.nest, from, to, n);
    return nb.nest;
}

uint32_t xfc_nest_operand(const xfc_op *op, uint32_t buffer) {
    uint32_t i = 0;
    if (xfc_ops[op->code].n_in < 0) return buffer < op->n_in ? buffer : op->n_in; /* of any number none is absent */
    while (i < op->n_in && (!op->in[i].value || buffer-- > 0)) i++;
    return i;
}

static uint32_t load_broadcast(xfc_nestb *nb, uint32_t buffer, const xfc_type *in, const xfc_type *out,
                               const xfc_int *index) {
    xfc_int at[XFC_MAX_RANK];
    uint32_t shift = out->rank - in->rank;
    for (uint32_t d = 0; d < in->rank; d++)
        at[d] = xfc_broadcast_index(nb->ctx, index[d + shift], in->dim[d], out->dim[d + shift]);
    return xfc_nb_load(nb, in->dtype, buffer, at, in->rank);
}

xfc_status xfc_nest_map(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK];
    uint32_t arg[3] = {XFC_NO_ARG, XFC_NO_ARG, XFC_NO_ARG};
    xfc_nb_axes_of(nb, out, index);
    xfc_assert(op->n_in <= XFC_COUNT(arg));
    for (uint32_t i = 0; i < op->n_in; i++) arg[i] = load_broadcast(nb, i, xfc_op_in(op, i), out, index);
    uint32_t value = xfc_nb_op(nb, scalar_of(op->code), out->dtype, arg[0], arg[1], arg[2]);
    xfc_nb_store(nb, value, op->n_in, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

/* --- cast, copy --- */

xfc_status infer_same(xfc_infer *inf) {
    inf->out[0] = *xfc_op_in(inf->op, 0);
    return XFC_OK;
}

xfc_status infer_cast(xfc_infer *inf) {
    inf->out[0] = *xfc_op_in(inf->op, 0);
    inf->out[0].dtype = xfc_op_attr(inf->op, XFC_K_TO)->u.dtype;
    return XFC_OK;
}

xfc_status nest_cast(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *in = xfc_op_in(op, 0), *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    uint32_t value = xfc_nb_load(nb, in->dtype, 0, index, out->rank);
    xfc_nb_store(nb, xfc_nb_cast(nb, out->dtype, in->dtype, value), 1, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

xfc_status nest_copy(const xfc_op *op, xfc_nestb *nb) { return nest_cast(op, nb); }

/* --- tensors from nothing --- */

xfc_status infer_const(xfc_infer *inf) {
    const xfc_tensor *t = xfc_op_attr(inf->op, XFC_K_VALUE)->u.tensor;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d < t->rank; d++) dim[d] = xfc_int_const(inf->ctx, t->dim[d]);
    inf->out[0] = xfc_type_make(t->dtype, t->rank, dim);
    return XFC_OK;
}

/* A shape attribute as the dims of the result: at most XFC_MAX_RANK, none negative. */
xfc_status xfc_infer_shape(xfc_infer *inf, xfc_key key, xfc_dtype dtype, xfc_type *out) {
    const xfc_attr *shape = xfc_op_attr(inf->op, key);
    if (shape->n > XFC_MAX_RANK) {
        return xfc_fail(inf->ctx, XFC_ERR_LIMIT, inf->op->loc, "a shape of %u dims: at most %d are supported",
                        (unsigned)shape->n, (int)XFC_MAX_RANK);
    }
    for (uint32_t d = 0; d < shape->n; d++) {
        if (xfc_int_known(shape->u.dims[d]) && xfc_int_lt(inf->ctx, shape->u.dims[d], xfc_int_const(inf->ctx, 0)) != 1)
            continue;
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "dim %u of its shape is %s: correct the shape",
                        (unsigned)d, xfc_dim_text(inf->ctx, shape->u.dims[d]));
    }
    *out = xfc_type_make(dtype, shape->n, shape->u.dims);
    return XFC_OK;
}

static xfc_dtype dims_dtype(const xfc_op *op) {
    const xfc_attr *to = xfc_op_attr(op, XFC_K_TO);
    return to ? to->u.dtype : XFC_I64;
}

xfc_status infer_dims(xfc_infer *inf) {
    const xfc_attr *values = xfc_op_attr(inf->op, XFC_K_VALUES);
    XFC_TRY(xfc_infer_shape(inf, XFC_K_SHAPE, dims_dtype(inf->op), &inf->out[0]));
    int64_t n = 1;
    bool fits = inf->out[0].rank == 0 || (inf->out[0].rank == 1 && xfc_int_value(inf->ctx, inf->out[0].dim[0], &n));
    if (!fits || n != (int64_t)values->n) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "%u values do not fill a tensor of type %s: correct values or shape", (unsigned)values->n,
                        xfc_type_text(inf->ctx, &inf->out[0]));
    }
    for (uint32_t i = 0; i < values->n; i++) {
        if (xfc_int_known(values->u.dims[i])) continue;
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "value %u of dims is unknown: give every value",
                        (unsigned)i);
    }
    return XFC_OK;
}

xfc_status nest_dims(const xfc_op *op, xfc_nestb *nb) {
    const xfc_attr *values = xfc_op_attr(op, XFC_K_VALUES);
    const xfc_type *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    uint32_t value = values->n ? xfc_nb_index(nb, values->u.dims[values->n - 1]) : xfc_nb_const_i(nb, XFC_I64, 0);
    for (uint32_t i = values->n; out->rank && i-- > 1;) {
        uint32_t before =
            xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, xfc_nb_index(nb, index[0]), xfc_nb_const_i(nb, XFC_I64, i), XFC_NO_ARG);
        value = xfc_nb_op(nb, XFC_S_SELECT, XFC_I64, before, xfc_nb_index(nb, values->u.dims[i - 1]), value);
    }
    xfc_nb_store(nb, xfc_nb_cast(nb, out->dtype, XFC_I64, value), 0, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

xfc_status infer_iota(xfc_infer *inf) {
    const xfc_attr *start = xfc_op_attr(inf->op, XFC_K_START), *step = xfc_op_attr(inf->op, XFC_K_STEP);
    if (xfc_op_attr(inf->op, XFC_K_SIZE)->n != 1 || (start && start->n != 1) || (step && step->n != 1)) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "iota takes one size, at most one start and one step: correct its attributes");
    }
    if (start && !xfc_int_known(start->u.dims[0])) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "the start of iota is unknown: give it a value");
    }
    return xfc_infer_shape(inf, XFC_K_SIZE, xfc_op_attr(inf->op, XFC_K_TO)->u.dtype, &inf->out[0]);
}

xfc_status nest_iota(const xfc_op *op, xfc_nestb *nb) {
    const xfc_attr *start = xfc_op_attr(op, XFC_K_START), *step = xfc_op_attr(op, XFC_K_STEP);
    const xfc_type *out = &op->out[0].type;
    xfc_int i;
    xfc_nb_axes_of(nb, out, &i);
    xfc_int value = xfc_int_mulc(nb->ctx, i, step ? step->u.ints[0] : 1);
    if (start) value = xfc_int_add(nb->ctx, value, start->u.dims[0]);
    xfc_nb_store(nb, xfc_nb_cast(nb, out->dtype, XFC_I64, xfc_nb_index(nb, value)), 0, &i, 1, XFC_S_COUNT);
    return XFC_OK;
}

xfc_status infer_splat(xfc_infer *inf) {
    const xfc_tensor *t = xfc_op_attr(inf->op, XFC_K_VALUE)->u.tensor;
    if (t->count != 1) {
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "the value of splat has %lld elements but must have one: give a single value",
                        (long long)t->count);
    }
    return xfc_infer_shape(inf, XFC_K_SHAPE, t->dtype, &inf->out[0]);
}

xfc_status nest_splat(const xfc_op *op, xfc_nestb *nb) {
    const xfc_tensor *t = xfc_op_attr(op, XFC_K_VALUE)->u.tensor;
    const xfc_type *out = &op->out[0].type;
    xfc_int index[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    uint32_t value = xfc_dtype_is_float(t->dtype) ? xfc_nb_const_f(nb, t->dtype, xfc_tensor_get_f(t, 0))
                                                  : xfc_nb_const_i(nb, t->dtype, xfc_tensor_get_i(t, 0));
    xfc_nb_store(nb, value, 0, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

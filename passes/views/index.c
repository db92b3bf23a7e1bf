/* index.c - index tensors that are formulas: reads through them become views, comparisons of them may be decided.
 *
 * Exporters build masks by gathering at a grid: mask[b * s + t] or mask[(b, t)] with b and t from Range, Expand, Mul,
 * Add, Concat. Each element of such a tensor is a formula over the index of the element, so the gather reads x[formula
 * of the output index], and where that is one output axis or one number a dim, the gather is a transpose, a slice and
 * an expand. The mask then is what it was before the exporter spelled it out: one value a key. A comparison of two
 * formulas that always has the same outcome (row >= 0) is a constant.
 *
 * Formulas are xfc_int over fresh axis symbols, one a dim of the output, whose ranges are the index's. Only i64, and
 * i32 where no value leaves its range: sizes are far from wrapping. Nothing is assumed to be in range: reads must be
 * proved so.
 */
#include "passes/views/views.h"

enum { MAX_VISITS = 128 };

static bool is_formula_op(xfc_opcode code) {
    static const xfc_opcode codes[] = {XFC_OP_RESHAPE, XFC_OP_TRANSPOSE, XFC_OP_EXPAND, XFC_OP_SLICE, XFC_OP_CONCAT,
                                       XFC_OP_ADD,     XFC_OP_SUB,       XFC_OP_MUL,    XFC_OP_NEG,   XFC_OP_CAST};
    for (size_t i = 0; i < XFC_COUNT(codes); i++) {
        if (codes[i] == code) return true;
    }
    return false;
}

/* Is v made of ranges, numbers and dims alone? Asked first, since it makes no symbols. */
static bool is_formula(const xfc_value *v, uint32_t *visits) {
    if (!v || !v->def || (v->type.dtype != XFC_I64 && v->type.dtype != XFC_I32) || ++*visits > MAX_VISITS) return false;
    const xfc_op *op = v->def;
    if (op->code == XFC_OP_IOTA || op->code == XFC_OP_DIMS || op->code == XFC_OP_CONST || op->code == XFC_OP_SPLAT)
        return true;
    if (!is_formula_op(op->code)) return false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!is_formula(op->in[i].value, visits)) return false;
    }
    return true;
}

static xfc_int at_value(xfc_ctx *, const xfc_value *, const xfc_int *index);

static xfc_int at_constant(xfc_ctx *c, const xfc_value *v, const xfc_int *index) {
    const xfc_tensor *t = xfc_op_attr(v->def, XFC_K_VALUE)->u.tensor;
    xfc_progression p;
    double equal;
    int64_t at;
    if (t->count == 0) return XFC_INT_NONE;
    if (v->def->code == XFC_OP_SPLAT || xfc_tensor_is_splat(t, &equal)) return xfc_int_const(c, xfc_tensor_get_i(t, 0));
    xfc_int linear = xfc_type_linear(c, &v->type, index);
    if (xfc_int_value(c, linear, &at))
        return at >= 0 && at < t->count ? xfc_int_const(c, xfc_tensor_get_i(t, at)) : XFC_INT_NONE;
    if (!xfc_views_progression_of(c, v, &p)) return XFC_INT_NONE;
    return xfc_int_add(c, p.start, xfc_int_mulc(c, linear, p.step));
}

static xfc_int at_source(xfc_ctx *c, const xfc_value *v, const xfc_int *index) {
    const xfc_op *op = v->def;
    int64_t at = 0;
    if (op->code != XFC_OP_DIMS) {
        xfc_progression p;
        if (!xfc_views_progression_of(c, v, &p)) return XFC_INT_NONE;
        return xfc_int_add(c, p.start, xfc_int_mulc(c, index[0], p.step));
    }
    const xfc_attr *values = xfc_op_attr(op, XFC_K_VALUES);
    bool known = v->type.rank == 0 || values->n == 1 || xfc_int_value(c, index[0], &at);
    return known && at >= 0 && at < (int64_t)values->n ? values->u.dims[at] : XFC_INT_NONE;
}

static xfc_int at_concat(xfc_ctx *c, const xfc_op *op, const xfc_int *index) {
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0), rank = op->out[0].type.rank;
    int64_t at, extent;
    xfc_int moved[XFC_MAX_RANK];
    if (!xfc_int_value(c, index[axis], &at)) return XFC_INT_NONE;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_value *v = op->in[i].value;
        if (!xfc_int_value(c, v->type.dim[axis], &extent)) return XFC_INT_NONE;
        if (at < extent) {
            for (uint32_t d = 0; d < rank; d++) moved[d] = d == axis ? xfc_int_const(c, at) : index[d];
            return at_value(c, v, moved);
        }
        at -= extent;
    }
    return XFC_INT_NONE;
}

static xfc_int at_view(xfc_ctx *c, const xfc_op *op, const xfc_int *index) {
    const xfc_value *x = op->in[0].value;
    const xfc_type *in = &x->type, *out = &op->out[0].type;
    xfc_int at[XFC_MAX_RANK];
    if (op->code == XFC_OP_CONCAT) return at_concat(c, op, index);
    if (op->code == XFC_OP_RESHAPE) xfc_type_delinear(c, in, xfc_type_linear(c, out, index), at);
    for (uint32_t d = 0; d < in->rank; d++) {
        uint32_t shifted = d + out->rank - in->rank;
        if (op->code == XFC_OP_TRANSPOSE) at[xfc_op_attr(op, XFC_K_PERM)->u.ints[d]] = index[d];
        if (op->code == XFC_OP_EXPAND) at[d] = xfc_broadcast_index(c, index[shifted], in->dim[d], out->dim[shifted]);
        if (op->code == XFC_OP_SLICE) {
            xfc_int step = xfc_int_mulc(c, index[d], xfc_op_attr(op, XFC_K_STEP)->u.ints[d]);
            at[d] = xfc_int_add(c, xfc_op_attr(op, XFC_K_START)->u.dims[d], step);
        }
    }
    return at_value(c, x, at);
}

/* Operand i of an element-wise op at the output's index. */
static xfc_int at_operand(xfc_ctx *c, const xfc_op *op, uint32_t i, const xfc_int *index) {
    const xfc_type *in = &op->in[i].value->type, *out = &op->out[0].type;
    xfc_int at[XFC_MAX_RANK];
    for (uint32_t d = 0; d < in->rank; d++) {
        uint32_t shifted = d + out->rank - in->rank;
        at[d] = xfc_broadcast_index(c, index[shifted], in->dim[d], out->dim[shifted]);
    }
    return at_value(c, op->in[i].value, at);
}

/* The element of a formula at an index; NONE if it cannot be told. */
static xfc_int at_value(xfc_ctx *c, const xfc_value *v, const xfc_int *index) {
    const xfc_op *op = v->def;
    xfc_int e = XFC_INT_NONE;
    int64_t lo, hi;
    if (op->code == XFC_OP_CONST || op->code == XFC_OP_SPLAT) {
        e = at_constant(c, v, index);
    } else if (op->code == XFC_OP_IOTA || op->code == XFC_OP_DIMS) {
        e = at_source(c, v, index);
    } else if (xfc_op_has(op, XFC_VIEW)) {
        e = at_view(c, op, index);
    } else if (op->code == XFC_OP_CAST) {
        e = at_operand(c, op, 0, index);
    } else if (op->code == XFC_OP_NEG) {
        e = xfc_int_mulc(c, at_operand(c, op, 0, index), -1);
    } else {
        xfc_int a = at_operand(c, op, 0, index), b = at_operand(c, op, 1, index);
        e = op->code == XFC_OP_ADD   ? xfc_int_add(c, a, b)
            : op->code == XFC_OP_SUB ? xfc_int_sub(c, a, b)
                                     : xfc_int_mul(c, a, b);
    }
    if (!xfc_int_known(e) || v->type.dtype != XFC_I32) return e;
    xfc_int_range(c, e, &lo, &hi);
    return lo >= INT32_MIN && hi <= INT32_MAX ? e : XFC_INT_NONE;
}

/* The one index of a dim of 1 is 0: a symbol for it would hide that. */
static void make_axes(xfc_ctx *c, const xfc_type *t, xfc_int *axis) {
    for (uint32_t d = 0; d < t->rank; d++) {
        axis[d] = xfc_int_is(c, t->dim[d], 1) ? xfc_int_const(c, 0) : xfc_int_axis(c, "i", t->dim[d]);
    }
}

/* --- reads --- */

/* from[d]: the output axis that dim d of x is read at, or rank of the output for one fixed place, start[d]. */
static bool recognize(xfc_ctx *c, const xfc_type *x, const xfc_type *out, const xfc_int *at, const xfc_int *axis,
                      uint32_t *from, xfc_int *start) {
    uint32_t taken = 0;
    for (uint32_t d = 0; d < x->rank; d++) {
        int64_t fixed, extent;
        uint32_t k = 0;
        from[d] = out->rank;
        start[d] = xfc_int_const(c, 0);
        if (xfc_int_is(c, x->dim[d], 1) && xfc_int_eq(c, at[d], start[d]) == 1) continue;
        if (xfc_int_value(c, at[d], &fixed)) {
            if (fixed < 0 && xfc_int_value(c, x->dim[d], &extent)) fixed += extent;
            start[d] = xfc_int_const(c, fixed);
            if (fixed < 0 || xfc_int_lt(c, start[d], x->dim[d]) != 1) return false;
            continue;
        }
        while (k < out->rank && !xfc_int_same(at[d], axis[k])) k++;
        if (k == out->rank || (taken >> k & 1) || !xfc_int_same(x->dim[d], out->dim[k])) return false;
        taken |= 1u << k;
        from[d] = k;
    }
    return true;
}

/* Fixed dims are cut to one place and go first, the others in the order of the output's axes, then one where no dim is
 * read. */
static xfc_value *build_read(xfc_builder *b, xfc_value *x, const xfc_type *out, const uint32_t *from,
                             const xfc_int *start) {
    xfc_ctx *c = b->graph->ctx;
    xfc_int size[XFC_MAX_RANK], dim[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK], perm[XFC_MAX_RANK];
    uint32_t n = 0, rank = x->type.rank;
    for (uint32_t d = 0; d < rank; d++) {
        size[d] = from[d] == out->rank ? xfc_int_const(c, 1) : x->type.dim[d];
        step[d] = 1;
        if (from[d] == out->rank) perm[n++] = d;
    }
    for (uint32_t k = 0; k < out->rank; k++) {
        dim[k] = xfc_int_const(c, 1);
        for (uint32_t d = 0; d < rank; d++) {
            if (from[d] != k) continue;
            perm[n++] = d;
            dim[k] = x->type.dim[d];
        }
    }
    x = xfc_b_transpose(b, xfc_b_slice(b, x, start, size, step), perm);
    return xfc_b_expand(b, xfc_b_reshape(b, x, dim, out->rank), out->dim, out->rank);
}

static xfc_value *read_as_view(xfc_builder *b, xfc_value *x, const xfc_type *out, xfc_int *at, const xfc_int *axis) {
    xfc_ctx *c = b->graph->ctx;
    uint32_t from[XFC_MAX_RANK];
    xfc_int start[XFC_MAX_RANK], below[XFC_MAX_RANK];
    for (uint32_t d = 0; d < x->type.rank; d++) {
        if (!xfc_int_known(at[d])) return NULL;
    }
    while (!recognize(c, &x->type, out, at, axis, from, start)) {
        if (!xfc_op_is(x, XFC_OP_RESHAPE)) return NULL;
        for (uint32_t d = 0; d < x->type.rank; d++) { /* what lies outside here may lie inside elsewhere */
            if (xfc_int_le(c, xfc_int_const(c, 0), at[d]) != 1 || xfc_int_lt(c, at[d], x->type.dim[d]) != 1)
                return NULL;
        }
        const xfc_type *in = &x->def->in[0].value->type;
        xfc_type_delinear(c, in, xfc_type_linear(c, &x->type, at), below);
        for (uint32_t d = 0; d < in->rank; d++) at[d] = below[d];
        x = x->def->in[0].value;
    }
    return build_read(b, x, out, from, start);
}

xfc_value *xfc_views_gather_formula(xfc_builder *b, const xfc_op *op) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *x = op->in[0].value;
    const xfc_value *index = op->in[1].value;
    const xfc_type *out = &op->out[0].type;
    xfc_int axis[XFC_MAX_RANK], at[XFC_MAX_RANK];
    uint32_t along = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0), visits = 0;
    if (!is_formula(index, &visits)) return NULL;
    make_axes(c, out, axis);
    for (uint32_t d = 0; d < x->type.rank; d++)
        at[d] = d < along ? axis[d] : d > along ? axis[d + index->type.rank - 1] : at_value(c, index, axis + along);
    return read_as_view(b, x, out, at, axis);
}

xfc_value *xfc_views_gather_nd(xfc_builder *b, const xfc_op *op) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *x = op->in[0].value;
    const xfc_value *index = op->in[1].value;
    const xfc_type *out = &op->out[0].type;
    xfc_int axis[XFC_MAX_RANK], at[XFC_MAX_RANK], place[XFC_MAX_RANK];
    uint32_t batch = (uint32_t)xfc_op_int(op, XFC_K_BATCH_DIMS, 0), last = index->type.rank - 1, visits = 0;
    int64_t depth;
    if (!is_formula(index, &visits) || !xfc_int_value(c, index->type.dim[last], &depth)) return NULL;
    make_axes(c, out, axis);
    for (uint32_t d = 0; d < x->type.rank; d++) {
        for (uint32_t i = 0; i < last; i++) place[i] = axis[i];
        place[last] = xfc_int_const(c, (int64_t)d - batch);
        bool indexed = d >= batch && d < batch + depth;
        at[d] = d < batch ? axis[d] : indexed ? at_value(c, index, place) : axis[last + d - batch - (uint32_t)depth];
    }
    return read_as_view(b, x, out, at, axis);
}

/* --- comparisons --- */

static int outcome(xfc_ctx *c, xfc_opcode code, xfc_int a, xfc_int b) {
    if (!xfc_int_known(a) || !xfc_int_known(b)) return -1;
    if (code == XFC_OP_LT) return xfc_int_lt(c, a, b);
    if (code == XFC_OP_LE) return xfc_int_le(c, a, b);
    if (code == XFC_OP_GT) return xfc_int_lt(c, b, a);
    if (code == XFC_OP_GE) return xfc_int_le(c, b, a);
    int equal = xfc_int_eq(c, a, b);
    return equal < 0 || code == XFC_OP_EQ ? equal : !equal;
}

xfc_value *xfc_views_compare(xfc_builder *b, const xfc_op *op) {
    xfc_ctx *c = b->graph->ctx;
    const xfc_type *out = &op->out[0].type;
    xfc_int axis[XFC_MAX_RANK];
    uint32_t visits = 0;
    bool compares = op->code == XFC_OP_LT || op->code == XFC_OP_LE || op->code == XFC_OP_GT || op->code == XFC_OP_GE ||
                    op->code == XFC_OP_EQ || op->code == XFC_OP_NE;
    if (!compares || !is_formula(op->in[0].value, &visits) || !is_formula(op->in[1].value, &visits)) return NULL;
    make_axes(c, out, axis);
    int always = outcome(c, op->code, at_operand(c, op, 0, axis), at_operand(c, op, 1, axis));
    if (always < 0) return NULL;
    uint8_t value = (uint8_t)always;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SHAPE, out->dim, out->rank),
                       xfc_attr_tensor(XFC_K_VALUE, xfc_tensor_copy(c, XFC_BOOL, 0, NULL, &value, NULL))};
    return xfc_build(b, XFC_OP_SPLAT, NULL, 0, attr, XFC_COUNT(attr));
}

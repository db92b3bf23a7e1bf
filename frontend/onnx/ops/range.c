/* range.c - Range: of integers over sizes an iota, of floats as the reference computes it, start + i * delta in doubles.
 * Where only the run knows its operands, so is it with the length. */
#include "frontend/onnx/import.h"
#include "ir/ops/ops.h"
#include <math.h>

/* --- at run time --- */

/* Operand i as a scalar of this type. */
static xfc_value *scalar(xfc_node *n, uint32_t i, xfc_dtype t) {
    xfc_value *v = xfc_b_reshape(n->b, n->in[i], NULL, 0);
    return v ? xfc_b_cast(n->b, v, t) : NULL;
}

/* ceil((limit - start) / delta) if it is positive: as an i64[], -1 for a step of 0 and what i64 cannot count. */
static xfc_value *count_at_run_time(xfc_node *n, xfc_dtype t) {
    xfc_value *start = scalar(n, 0, t), *limit = scalar(n, 1, t), *delta = scalar(n, 2, t), *none = xfc_nf(n, start, 0);
    xfc_value *far = xfc_n2(n, XFC_OP_SUB, scalar(n, 1, XFC_F64), scalar(n, 0, XFC_F64));
    xfc_value *steps = xfc_n1(n, XFC_OP_CEIL, xfc_n2(n, XFC_OP_DIV, far, scalar(n, 2, XFC_F64)));
    xfc_value *ok = xfc_n2(n, XFC_OP_LE, steps, xfc_b_scalar_f(n->b, XFC_F64, 0x1p61));
    if (t == XFC_I64) { /* doubles would round large ones */
        xfc_value *one = xfc_ni(n, 1), *down = xfc_n2(n, XFC_OP_LT, delta, none), *by = xfc_n1(n, XFC_OP_ABS, delta);
        xfc_value *way =
            xfc_n_select(n, down, xfc_n2(n, XFC_OP_SUB, start, limit), xfc_n2(n, XFC_OP_SUB, limit, start));
        xfc_value *more = xfc_n2(n, XFC_OP_DIV, xfc_n2(n, XFC_OP_SUB, way, one), by);
        ok = xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_NE, delta, none),
                    xfc_n2(n, XFC_OP_LE, xfc_n1(n, XFC_OP_ABS, far), xfc_b_scalar_f(n->b, XFC_F64, 0x1p61)));
        steps = xfc_n_select(n, xfc_n2(n, XFC_OP_GT, way, none), xfc_n2(n, XFC_OP_ADD, more, one), none);
    } else {
        steps = xfc_n_select(n, ok, steps, none); /* before it is cast */
        steps = steps ? xfc_b_cast(n->b, xfc_n2(n, XFC_OP_MAX, steps, none), XFC_I64) : NULL;
    }
    return xfc_n_sizes_if(n, ok, steps);
}

/* t: that it is computed in. */
static xfc_value *run_time_range(xfc_node *n, xfc_dtype t) {
    xfc_int size = XFC_INT_NONE, one[1] = {xfc_int_const(n->ctx, 1)};
    xfc_value *count = count_at_run_time(n, t);
    if (!count || !xfc_n_define(n, xfc_b_reshape(n->b, count, one, 1), &size, 1, NULL)) return NULL;
    xfc_value *at = xfc_n_iota(n, size, xfc_int_const(n->ctx, 0), 1, XFC_I64);
    xfc_value *way = xfc_n2(n, XFC_OP_MUL, xfc_b_cast(n->b, at, t), scalar(n, 2, t));
    xfc_value *v = xfc_n2(n, XFC_OP_ADD, scalar(n, 0, t), way);
    return v ? xfc_b_cast(n->b, v, n->in[0]->type.dtype) : NULL;
}

/* --- over sizes --- */

/* An operand of a range of floats: a number, or an integer that shape arithmetic knows, cast. */
typedef struct {
    double number;
    xfc_int dim; /* NONE: it is the number */
} bound;

static bool bound_of(xfc_node *n, uint32_t i, bound *out) {
    const xfc_tensor *t;
    const xfc_value *v = n->in[i];
    *out = (bound){0};
    if (xfc_value_is_const(v, &t) && t->count == 1) {
        out->number = xfc_tensor_get_f(t, 0);
        return true;
    }
    int64_t count = 0;
    while (v->def && v->def->code == XFC_OP_CAST && (v->type.dtype == XFC_F32 || v->type.dtype == XFC_F64))
        v = v->def->in[0].value; /* smaller types would round it */
    bool one = xfc_type_static(n->ctx, &v->type, NULL, &count) && count == 1;
    if (one && xfc_dtype_is_int(v->type.dtype) && v->content && xfc_int_known(v->content[0])) {
        out->dim = v->content[0];
        return true;
    }
    return false;
}

/* How many steps lead from start to limit; NONE: none can be said. With a whole step and a size on one side the other
 * side may be rounded away from it: (size - 0.5) / 2 is size / 2, rounded up. */
static xfc_int count_steps(xfc_ctx *c, const bound v[3]) {
    double step = v[2].number, size = ceil((v[1].number - v[0].number) / step), large = 1 << 28;
    bool sized = xfc_int_known(v[0].dim) || xfc_int_known(v[1].dim);
    if (!(fabs(step) > 0) || xfc_int_known(v[2].dim)) return XFC_INT_NONE;
    if (!sized) return size <= large ? xfc_int_const(c, size > 0 ? (int64_t)size : 0) : XFC_INT_NONE;
    if (step != floor(step) || fabs(step) > large) return XFC_INT_NONE;
    xfc_int end[2];
    for (uint32_t i = 0; i < 2; i++) {
        double whole = (i == 1) == (step > 0) ? ceil(v[i].number) : floor(v[i].number);
        if (!(fabs(whole) <= large)) return XFC_INT_NONE;
        end[i] = xfc_int_known(v[i].dim) ? v[i].dim : xfc_int_const(c, (int64_t)whole);
    }
    xfc_int way = step > 0 ? xfc_int_sub(c, end[1], end[0]) : xfc_int_sub(c, end[0], end[1]);
    return xfc_int_max(c, xfc_int_ceildiv(c, way, xfc_int_const(c, (int64_t)fabs(step))), xfc_int_const(c, 0));
}

static xfc_value *constant_range(xfc_node *n, const bound v[3], int64_t count) {
    double *data = xfc_tensor_alloc(n->ctx, XFC_F64, 1, &count);
    for (int64_t i = 0; i < count; i++) data[i] = v[0].number + (double)i * v[2].number;
    xfc_value *wide = xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_F64, 1, &count, data, NULL));
    return wide ? xfc_b_cast(n->b, wide, n->in[0]->type.dtype) : NULL;
}

/* Computed as the reference does: start + i * delta, in doubles. */
static xfc_value *float_range(xfc_node *n) {
    bound v[3];
    for (uint32_t i = 0; i < 3; i++)
        if (!bound_of(n, i, &v[i])) return run_time_range(n, XFC_F64);
    xfc_int size = count_steps(n->ctx, v);
    if (!xfc_int_known(size)) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "the range has step 0 or more than %d elements, or a size and a step that is not whole", 1 << 28);
        return NULL;
    }
    int64_t count;
    bool fixed = !xfc_int_known(v[0].dim) && xfc_int_value(n->ctx, size, &count) && count <= 1 << 20;
    if (fixed) return constant_range(n, v, count);
    size = xfc_dim_known(n->im->graph, size);
    xfc_value *at = xfc_b_cast(n->b, xfc_n_iota(n, size, xfc_int_const(n->ctx, 0), 1, XFC_I64), XFC_F64);
    xfc_value *start =
        xfc_int_known(v[0].dim) ? xfc_b_cast(n->b, n->in[0], XFC_F64) : xfc_b_scalar_f(n->b, XFC_F64, v[0].number);
    xfc_value *way = xfc_n2(n, XFC_OP_MUL, at, xfc_b_scalar_f(n->b, XFC_F64, v[2].number));
    return xfc_b_cast(n->b, xfc_n2(n, XFC_OP_ADD, start, way), n->in[0]->type.dtype);
}

void xfc_import_range(xfc_node *n) {
    xfc_dtype dtype = n->in[0]->type.dtype;
    if (xfc_dtype_is_float(dtype)) {
        n->out[0] = float_range(n);
        return;
    }
    xfc_int entry[3], start, limit, delta;
    int64_t step = 0;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t count;
        const xfc_int *given = xfc_node_entries(n, i, &count);
        if (given && count != 1)
            xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must have one element; export the model again",
                          xfc_node_in_name(n, i));
        if (n->status != XFC_OK) return;
        entry[i] = given[0];
    }
    if (!xfc_all_known(entry, 3)) {
        n->out[0] = run_time_range(n, XFC_I64);
        return;
    }
    start = entry[0], limit = entry[1], delta = entry[2];
    if (!xfc_int_value(n->ctx, delta, &step) || step == 0 || step == INT64_MIN) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "the step of a range must be a constant other than 0");
        return;
    }
    xfc_int length = step > 0 ? xfc_int_sub(n->ctx, limit, start) : xfc_int_sub(n->ctx, start, limit);
    xfc_int size = xfc_int_ceildiv(n->ctx, length, xfc_int_const(n->ctx, step > 0 ? step : -step));
    if (!xfc_int_known(size)) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "the range from %s to %s exceeds 63 bits; correct its bounds",
                      xfc_dim_text(n->ctx, start), xfc_dim_text(n->ctx, limit));
        return;
    }
    size = xfc_dim_known(n->im->graph, xfc_int_max(n->ctx, size, xfc_int_const(n->ctx, 0)));
    n->out[0] = xfc_n_iota(n, size, start, step, dtype);
}

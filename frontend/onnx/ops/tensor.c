/* tensor.c - constants, copies, ranges, and values made of shapes. */
#include "frontend/onnx/import.h"
#include "ir/ops/ops.h"
#include <math.h>
#include <string.h>

/* A Constant given as a list or a number in an attribute of its own. */
static const xfc_tensor *constant_from(xfc_node *n, const Onnx__AttributeProto *a) {
    bool floats = !strcmp(a->name, "value_float") || !strcmp(a->name, "value_floats");
    bool ints = !strcmp(a->name, "value_int") || !strcmp(a->name, "value_ints");
    if (!floats && !ints) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "constants given by attribute '%s' are not supported", a->name);
        return NULL;
    }
    bool list = a->name[strlen(a->name) - 1] == 's';
    int64_t dim = list ? (int64_t)(floats ? a->n_floats : a->n_ints) : 1;
    const void *data = floats ? (list ? (const void *)a->floats : &a->f) : (list ? (const void *)a->ints : &a->i);
    return xfc_tensor_copy(n->ctx, floats ? XFC_F32 : XFC_I64, list ? 1 : 0, &dim, data ? data : "", NULL);
}

void xfc_import_constant(xfc_node *n) {
    if (n->attrs.n != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "a Constant must have exactly one value attribute; export the model again");
        return;
    }
    const Onnx__AttributeProto *a = n->attrs.attr[0];
    const xfc_tensor *t = !strcmp(a->name, "value") ? xfc_node_tensor(n, "value") : constant_from(n, a);
    n->out[0] = t ? xfc_b_const(n->b, t) : NULL;
}

void xfc_import_identity(xfc_node *n) { n->out[0] = n->in[0]; }

/* Inference: the identity, and a mask of ones. */
void xfc_import_dropout(xfc_node *n) {
    const xfc_tensor *training = NULL;
    if (xfc_node_has(n, 2) &&
        (!xfc_value_is_const(n->in[2], &training) || training->count != 1 || xfc_tensor_get_i(training, 0))) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "training mode is not supported; export the model for inference");
        return;
    }
    n->out[0] = n->in[0];
    if (xfc_node_wants(n, 1)) {
        const xfc_type *t = &n->in[0]->type;
        static const uint8_t yes = 1;
        const xfc_tensor *one = xfc_tensor_copy(n->ctx, XFC_BOOL, 0, NULL, &yes, NULL);
        n->out[1] = xfc_n_splat(n, one, t->dim, t->rank);
        if (n->opset < 10) n->out[1] = xfc_b_cast(n->b, n->out[1], t->dtype);
    }
}

void xfc_import_constant_of_shape(xfc_node *n) {
    uint32_t rank;
    const xfc_int *dim = xfc_node_dims(n, 0, &rank);
    const xfc_tensor *value = xfc_node_tensor(n, "value");
    if (!dim || n->status != XFC_OK) return;
    if (rank > XFC_MAX_RANK || (value && value->count != 1)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a value of one element and a shape of at most %d dims", XFC_MAX_RANK);
        return;
    }
    static const float zero = 0;
    const xfc_tensor *scalar = value ? xfc_tensor_new(n->ctx, value->dtype, 0, NULL, value->data, NULL)
                                     : xfc_tensor_copy(n->ctx, XFC_F32, 0, NULL, &zero, NULL);
    n->out[0] = xfc_n_splat(n, scalar, dim, rank);
}

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
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand '%s' of a range of floats must be constant or a size; use integers",
                  xfc_node_in_name(n, i));
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
        if (!bound_of(n, i, &v[i])) return NULL;
    xfc_int size = count_steps(n->ctx, v);
    if (!xfc_int_known(size)) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "the range has step 0 or more than %d elements, or a size and a step that is not whole", 1 << 28);
        return NULL;
    }
    int64_t count;
    bool fixed = !xfc_int_known(v[0].dim) && xfc_int_value(n->ctx, size, &count);
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
    xfc_int start = xfc_node_dim(n, 0), limit = xfc_node_dim(n, 1), delta = xfc_node_dim(n, 2);
    int64_t step = 0;
    if (n->status != XFC_OK) return;
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

/* "start" and "end" count as slicing does: negative from the end, then clamped. */
void xfc_import_shape(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    int64_t rank = t->rank, start = xfc_node_int(n, "start", 0), end = xfc_node_int(n, "end", rank);
    if (start < 0) start = start < -rank ? 0 : start + rank;
    if (end < 0) end = end < -rank ? 0 : end + rank;
    if (start > rank) start = rank;
    if (end > rank) end = rank;
    if (end < start) end = start;
    n->out[0] = xfc_b_dims(n->b, t->dim + start, end - start);
}

void xfc_import_size(xfc_node *n) {
    xfc_int count = xfc_type_count(n->ctx, &n->in[0]->type);
    n->out[0] = xfc_b_dims(n->b, &count, -1);
}

/* column - row, as i64[rows, columns] by broadcasting. */
static xfc_value *diagonal_distance(xfc_node *n, xfc_int rows, xfc_int columns) {
    xfc_int zero = xfc_int_const(n->ctx, 0);
    xfc_value *row = xfc_n_along(n, xfc_n_iota(n, rows, zero, 1, XFC_I64), 0, 2);
    return xfc_n2(n, XFC_OP_SUB, xfc_n_iota(n, columns, zero, 1, XFC_I64), row);
}

void xfc_import_eye_like(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    xfc_dtype dtype = t->dtype;
    if (xfc_node_attr(n, "dtype") && !xfc_dtype_from_onnx((int32_t)xfc_node_int(n, "dtype", 1), &dtype)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "element type %lld is not supported",
                      (long long)xfc_node_int(n, "dtype", 1));
        return;
    }
    if (t->rank != 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must be a matrix", xfc_node_in_name(n, 0));
        return;
    }
    xfc_value *k = xfc_b_scalar_i(n->b, XFC_I64, xfc_node_int(n, "k", 0));
    xfc_value *on = xfc_n2(n, XFC_OP_EQ, diagonal_distance(n, t->dim[0], t->dim[1]), k);
    n->out[0] = on ? xfc_b_cast(n->b, on, dtype) : NULL;
}

/* Keeps the elements on and above (upper) or on and below the k-th diagonal; k may be a run-time value. */
void xfc_import_trilu(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    if (t->rank < 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must have rank 2 or more", xfc_node_in_name(n, 0));
        return;
    }
    xfc_value *k = xfc_node_has(n, 1) ? n->in[1] : xfc_b_scalar_i(n->b, XFC_I64, 0);
    if (k && k->type.rank) k = xfc_b_reshape(n->b, k, NULL, 0);
    k = k ? xfc_b_cast(n->b, k, XFC_I64) : NULL;
    xfc_value *distance = diagonal_distance(n, t->dim[t->rank - 2], t->dim[t->rank - 1]);
    xfc_value *keep = xfc_n2(n, xfc_node_flag(n, "upper", true) ? XFC_OP_GE : XFC_OP_LE, distance, k);
    xfc_value *zero = t->dtype == XFC_BOOL ? xfc_b_scalar_i(n->b, XFC_BOOL, 0) : xfc_nf(n, n->in[0], 0);
    n->out[0] = keep && zero ? xfc_b_select(n->b, keep, n->in[0], zero) : NULL;
}

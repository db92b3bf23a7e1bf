/* tensor.c - constants, copies, and values made of shapes. */
#include "frontend/onnx/text/text.h"
#include "ir/ops/ops.h"
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

/* The same of strings; none: it holds something else. */
static xfc_result constant_strings(xfc_node *n, const Onnx__AttributeProto *a) {
    bool list = !strcmp(a->name, "value_strings");
    xfc_int count = xfc_int_const(n->ctx, (int64_t)a->n_strings);
    if (!strcmp(a->name, "value") && a->t && a->t->data_type == XFC_ONNX_STRING)
        return xfc_texts_tensor(n, a->t, "attribute 'value'");
    if (list) return xfc_texts_all(n, xfc_texts_of(n, a->strings, a->n_strings), &count, 1);
    return strcmp(a->name, "value_string") != 0 ? (xfc_result){0}
                                                : xfc_texts_all(n, xfc_texts_of(n, &a->s, 1), NULL, 0);
}

void xfc_import_constant(xfc_node *n) {
    if (n->attrs.n != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "a Constant must have exactly one value attribute; export the model again");
        return;
    }
    const Onnx__AttributeProto *a = n->attrs.attr[0];
    xfc_result strings = constant_strings(n, a);
    n->out[0] = strings.value, n->out_texts[0] = strings.texts;
    if (strings.value || n->status != XFC_OK) return;
    const xfc_tensor *t = !strcmp(a->name, "value") ? xfc_node_tensor(n, "value") : constant_from(n, a);
    n->out[0] = t ? xfc_b_const(n->b, t) : NULL;
}

void xfc_import_identity(xfc_node *n) {
    n->out[0] = n->in[0];
    n->out_sequence[0] = n->in_sequence[0];
}

/* Operand i of Dropout: is it not 0? 1: yes, 0: no, -1: the run knows. */
static int is_set(xfc_node *n, uint32_t i, int absent) {
    const xfc_tensor *t = xfc_node_known(n, xfc_node_in(n, i));
    if (!xfc_node_has(n, i)) return absent;
    return !t || t->count != 1 ? -1 : xfc_tensor_get_f(t, 0) != 0;
}

/* Operands that only the run knows must leave all of x. */
static bool require_whole(xfc_node *n, int trains, int drops) {
    const int given[2] = {drops, trains};
    const xfc_int one = xfc_int_const(n->ctx, 1), zero = xfc_int_const(n->ctx, 0);
    xfc_value *both = NULL;
    xfc_int found = XFC_INT_NONE;
    for (uint32_t i = 0; i < 2; i++) {
        if (given[i] >= 0) continue;
        xfc_value *is = xfc_b_reshape(n->b, n->in[1 + i], &one, 1);
        is = is ? xfc_b_cast(n->b, is, XFC_BOOL) : NULL;
        both = both ? xfc_n2(n, XFC_OP_AND, both, is) : is;
    }
    both = both ? xfc_b_cast(n->b, both, XFC_I64) : NULL;
    return both && xfc_n_define(n, both, &found, 1, NULL) &&
           xfc_n_equal(n, found, zero, "whether Dropout trains, which is random and not supported, and 0");
}

/* Where nothing is dropped: the identity, and a mask of ones. */
void xfc_import_dropout(xfc_node *n) {
    int trains = is_set(n, 2, n->opset < 7 && !xfc_node_flag(n, "is_test", false)),
        drops = is_set(n, 1, xfc_node_float(n, "ratio", 0.5) != 0);
    if (trains == 1 && drops == 1) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "training mode is not supported; export the model for inference");
        return;
    }
    if (trains && drops && !require_whole(n, trains, drops)) return;
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
    xfc_node_expect(n, 0, 1, 0);
    const xfc_int *dim = xfc_node_sizes(n, 0, &rank);
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
    if (xfc_node_attr(n, "dtype") && !xfc_dtype_from_onnx(xfc_node_int(n, "dtype", 1), &dtype)) {
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

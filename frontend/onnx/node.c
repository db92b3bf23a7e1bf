/* node.c - attributes and operands of a node, checked where they are read.
 *
 * Shape operands are read as symbols (element.c), so shape arithmetic in the model costs the importers
 * nothing; an entry that depends on run-time data fails the node with the operand's name.
 */
#include "frontend/onnx/import.h"
#include <string.h>

enum { ATTR_FLOAT = 1, ATTR_INT = 2, ATTR_STRING = 3, ATTR_TENSOR = 4, ATTR_FLOATS = 6, ATTR_INTS = 7 };
enum { MAX_ENTRIES = 1 << 16 }; /* of an integer operand read at compile time */

const Onnx__AttributeProto *xfc_node_attr(const xfc_node *n, const char *name) {
    for (uint32_t i = 0; i < n->attrs.n; i++)
        if (!strcmp(n->attrs.attr[i]->name, name)) return n->attrs.attr[i];
    return NULL;
}

/* The attribute if it is there with the expected kind; files of IR version 1 and 2 leave the kind out. */
static const Onnx__AttributeProto *typed(xfc_node *n, const char *name, int32_t type) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, name);
    if (!a || a->type == type || (!a->has_type && a->type == 0)) return a;
    xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' has the wrong kind; export the model again", name);
    return NULL;
}

int64_t xfc_node_int(xfc_node *n, const char *name, int64_t absent) {
    const Onnx__AttributeProto *a = typed(n, name, ATTR_INT);
    return a ? a->i : absent;
}

bool xfc_node_flag(xfc_node *n, const char *name, bool absent) { return xfc_node_int(n, name, absent) != 0; }

double xfc_node_float(xfc_node *n, const char *name, double absent) {
    const Onnx__AttributeProto *a = typed(n, name, ATTR_FLOAT);
    return a ? (double)a->f : absent;
}

const char *xfc_node_str(xfc_node *n, const char *name, const char *absent) {
    const Onnx__AttributeProto *a = typed(n, name, ATTR_STRING);
    return a ? xfc_intern_n(n->ctx->strings, (const char *)a->s.data, a->s.len) : absent;
}

bool xfc_node_ints(xfc_node *n, const char *name, const int64_t **out, uint32_t *count) {
    const Onnx__AttributeProto *a = typed(n, name, ATTR_INTS);
    *out = a ? a->ints : NULL;
    *count = a ? (uint32_t)a->n_ints : 0;
    return a != NULL;
}

const xfc_tensor *xfc_node_tensor(xfc_node *n, const char *name) {
    const Onnx__AttributeProto *a = typed(n, name, ATTR_TENSOR);
    if (!a) return NULL;
    const xfc_tensor *t = NULL;
    if (a->t)
        t = xfc_onnx_tensor(&n->im->file, a->t, n->loc, xfc_sprintf(n->im->arena, "attribute '%s'", name));
    else
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' holds no tensor; export the model again", name);
    if (!t && n->status == XFC_OK) n->status = XFC_ERR_INPUT;
    return t;
}

const char *xfc_node_in_name(const xfc_node *n, uint32_t i) { return i < n->proto->n_input ? n->proto->input[i] : ""; }
bool xfc_node_wants(const xfc_node *n, uint32_t out) { return out < n->n_out && *n->proto->output[out]; }

static const xfc_int *unknown_entries(xfc_node *n, uint32_t in) {
    n->im->n_unknown++;
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "shape operand '%s' is %s", xfc_node_in_name(n, in),
                  xfc_remedy(n, n->in[in],
                             "computed from run-time data; export with this size fixed or derived from the inputs' "
                             "shapes"));
    return NULL;
}

static const xfc_int *entries_of_tensor(xfc_node *n, const xfc_tensor *t, uint32_t in, uint32_t *count) {
    if (t->count > MAX_ENTRIES) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "shape operand '%s' has %lld entries", xfc_node_in_name(n, in),
                      (long long)t->count);
        return NULL;
    }
    xfc_int *out = xfc_new_array(n->im->arena, xfc_int, (size_t)t->count + 1);
    for (int64_t i = 0; i < t->count; i++) out[i] = xfc_int_const(n->ctx, xfc_tensor_get_i(t, i));
    *count = (uint32_t)t->count;
    return out;
}

static const xfc_int *entries_of(xfc_node *n, uint32_t in, bool sizes, uint32_t *count) {
    *count = 0;
    xfc_value *v = xfc_node_in(n, in);
    if (!v) return NULL;
    if (!xfc_dtype_is_int(v->type.dtype) || v->type.rank > 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must be a list of integers; export the model again",
                      xfc_node_in_name(n, in));
        return NULL;
    }
    const xfc_tensor *t;
    int64_t size = 1;
    if (xfc_value_is_const(v, &t)) return entries_of_tensor(n, t, in, count);
    if (!xfc_type_static(n->ctx, &v->type, NULL, &size) || size > XFC_MAX_CONTENT) return unknown_entries(n, in);
    xfc_int *out = xfc_new_array(n->im->arena, xfc_int, (size_t)size + 1);
    for (int64_t i = 0; i < size; i++) {
        xfc_int at = xfc_int_const(n->ctx, i), e = xfc_element(n->im, v, &at);
        if (!xfc_int_known(e)) return unknown_entries(n, in);
        out[i] = sizes ? xfc_dim_settle(n->im->graph, e, n->loc) : e;
    }
    *count = (uint32_t)size;
    return out;
}

const xfc_int *xfc_node_dims(xfc_node *n, uint32_t in, uint32_t *count) { return entries_of(n, in, true, count); }
const xfc_int *xfc_node_amounts(xfc_node *n, uint32_t in, uint32_t *count) { return entries_of(n, in, false, count); }

const int64_t *xfc_node_const_ints(xfc_node *n, uint32_t in, uint32_t *count) {
    const xfc_int *entry = xfc_node_dims(n, in, count);
    if (!entry) return NULL;
    int64_t *out = xfc_new_array(n->im->arena, int64_t, *count + 1u);
    for (uint32_t i = 0; i < *count; i++) {
        if (xfc_int_value(n->ctx, entry[i], &out[i])) continue;
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand '%s' must be constant and is %s", xfc_node_in_name(n, in),
                      xfc_remedy(n, n->in[in], "not; export with it fixed"));
        return NULL;
    }
    return out;
}

xfc_int xfc_node_dim(xfc_node *n, uint32_t in) {
    uint32_t count;
    const xfc_int *entry = xfc_node_dims(n, in, &count);
    if (entry && count == 1) return entry[0];
    if (entry)
        xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must have one element; export the model again",
                      xfc_node_in_name(n, in));
    return xfc_int_const(n->ctx, 0);
}

uint32_t xfc_node_axis(xfc_node *n, int64_t axis, uint32_t rank) {
    int64_t at = axis < 0 ? axis + (int64_t)rank : axis;
    if (at >= 0 && at < (int64_t)rank) return (uint32_t)at;
    xfc_node_fail(n, XFC_ERR_INPUT, "axis %lld is outside a tensor of rank %u; export the model again", (long long)axis,
                  rank);
    return 0;
}

uint32_t xfc_node_axes(xfc_node *n, const int64_t *axes, uint32_t count, uint32_t rank, int64_t out[XFC_MAX_RANK]) {
    bool set[XFC_MAX_RANK] = {false};
    for (uint32_t i = 0; i < count && n->status == XFC_OK; i++) {
        uint32_t axis = xfc_node_axis(n, axes[i], rank);
        if (n->status == XFC_OK && set[axis])
            xfc_node_fail(n, XFC_ERR_INPUT, "axis %lld is given twice; export the model again", (long long)axes[i]);
        if (rank) set[axis] = true;
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < rank && n->status == XFC_OK; i++)
        if (set[i]) out[k++] = i;
    return k;
}

bool xfc_node_axes_of(xfc_node *n, uint32_t first_operand_opset, uint32_t in, const int64_t **out, uint32_t *count) {
    if (n->opset < first_operand_opset) return xfc_node_ints(n, "axes", out, count);
    *out = NULL;
    *count = 0;
    if (!xfc_node_has(n, in)) return false;
    *out = xfc_node_const_ints(n, in, count);
    return true;
}

xfc_value *xfc_nf(xfc_node *n, xfc_value *like, double value) {
    if (!like) return NULL;
    return xfc_b_scalar_f(n->b, like->type.dtype, value); /* an integer type takes what a cast would, also of -inf */
}

xfc_value *xfc_n_along(xfc_node *n, xfc_value *v, uint32_t axis, uint32_t rank) {
    if (!v) return NULL;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) dim[i] = xfc_int_const(n->ctx, 1);
    dim[axis] = v->type.rank ? v->type.dim[0] : xfc_int_const(n->ctx, 1);
    return xfc_b_reshape(n->b, v, dim, rank);
}

bool xfc_n_equal(xfc_node *n, xfc_int a, xfc_int b, const char *what) {
    if (xfc_graph_require(n->im->graph, a, b, 0, xfc_loc_of(n->ctx, n->loc, what))) return true;
    return xfc_node_fail(n, XFC_ERR_INPUT, "%s do not agree; export the model again", what), false;
}

bool xfc_n_at_most(xfc_node *n, xfc_int a, xfc_int b, const char *what) {
    return xfc_n_equal(n, xfc_int_min(n->ctx, a, b), a, what);
}

xfc_value *xfc_n_fitting(xfc_node *n, xfc_value *v, const xfc_value *onto, const char *what) {
    if (!v || !onto) return NULL;
    const xfc_type *from = &v->type, *to = &onto->type;
    bool fits = from->rank <= to->rank;
    for (uint32_t d = 0; fits && d < from->rank; d++)
        fits =
            xfc_graph_require(n->im->graph, from->dim[d], to->dim[to->rank - from->rank + d], XFC_A_MAY_BE_1, n->loc);
    if (fits) return v;
    return xfc_node_fail(n, XFC_ERR_INPUT, "%s does not broadcast to what it meets; export the model again", what),
           NULL;
}

xfc_value *xfc_n_per_channel(xfc_node *n, xfc_value *v, xfc_int size, uint32_t rank, const char *what) {
    if (!v) return NULL;
    if (v->type.rank != 1)
        return xfc_node_fail(n, XFC_ERR_INPUT, "%s must be a list, one number a channel; export the model again", what),
               NULL;
    return xfc_n_equal(n, v->type.dim[0], size, what) ? xfc_n_along(n, v, 1, rank) : NULL;
}

xfc_value *xfc_n_iota(xfc_node *n, xfc_int size, xfc_int start, int64_t step, xfc_dtype dtype) {
    int64_t steps[1] = {step};
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &size, 1), xfc_attr_dims(XFC_K_START, &start, 1),
                       xfc_attr_ints(XFC_K_STEP, steps, 1), xfc_attr_dtype(XFC_K_TO, dtype)};
    return xfc_build(n->b, XFC_OP_IOTA, NULL, 0, attr, XFC_COUNT(attr));
}

xfc_value *xfc_n_splat(xfc_node *n, const xfc_tensor *scalar, const xfc_int *dim, uint32_t rank) {
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SHAPE, dim, rank), xfc_attr_tensor(XFC_K_VALUE, scalar)};
    return rank ? xfc_build(n->b, XFC_OP_SPLAT, NULL, 0, attr, XFC_COUNT(attr)) : xfc_b_const(n->b, scalar);
}

xfc_value *xfc_n_gather(xfc_node *n, xfc_value *v, xfc_value *numbers, uint32_t axis) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return v && numbers ? xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){v, numbers}, 2, &attr, 1) : NULL;
}

xfc_value *xfc_n_join(xfc_node *n, xfc_value *a, xfc_value *b, int64_t axis) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){a, b}, 2, &attr, 1);
}

/* --- one operator as another --- */

void xfc_node_set_in(xfc_node *n, uint32_t i, xfc_value *v) {
    xfc_value **in = xfc_new_array(n->im->arena, xfc_value *, i + 1 > n->n_in ? i + 1 : n->n_in);
    for (uint32_t k = 0; k < n->n_in; k++) in[k] = n->in[k];
    in[i] = v;
    n->in = in;
    if (i >= n->n_in) n->n_in = i + 1;
    if (!v && n->status == XFC_OK) n->status = XFC_ERR_INPUT;
}

void xfc_node_hand_on(xfc_node *n, uint32_t opset, xfc_node_import *import) {
    if (n->status != XFC_OK) return;
    n->opset = opset;
    import(n);
}

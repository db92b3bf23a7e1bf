/* select.c - operators that choose among rows, boxes or elements, as many as data says: Compress, Unique,
 * NonMaxSuppression, DynamicTimeWarping.
 *
 * How many there are becomes a symbol of the graph, bounded by how many there may be, as for NonZero.
 */
#include "frontend/onnx/import.h"
#include <math.h>

/* The value as one list. */
static xfc_value *flat(xfc_node *n, xfc_value *v) {
    xfc_int all = xfc_type_count(n->ctx, &v->type);
    if (xfc_int_known(all)) return xfc_b_reshape(n->b, v, &all, 1);
    return xfc_node_fail(n, XFC_ERR_LIMIT, "of more than 2^63 elements is not supported"), NULL;
}

/* Elements, or slices along an axis, at which the condition is true; it may be shorter than they are many. Without an axis
 * paddle2onnx gives the condition the shape of the tensor, which onnxruntime reads as the list of its elements. */
void xfc_import_compress(xfc_node *n) {
    bool along = xfc_node_attr(n, "axis") != NULL;
    xfc_value *x = n->in[0], *condition = n->in[1];
    if (condition->type.dtype != XFC_BOOL || (along && condition->type.rank != 1)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a list of bool as its condition; export the model again");
        return;
    }
    uint32_t axis = along ? xfc_node_axis(n, xfc_node_int(n, "axis", 0), x->type.rank) : 0;
    if (!along) {
        x = flat(n, x);
        condition = flat(n, condition);
    }
    if (n->status == XFC_OK) n->out[0] = xfc_n_gather(n, x, xfc_n_places(n, condition, condition->type.dim[0]), axis);
}

/* A symbol in 0..most that is element 0 of count, an i64[1]. */
static xfc_int found(xfc_node *n, xfc_value *count, xfc_int most) {
    xfc_int symbol = xfc_int_let(n->ctx, "found", xfc_int_const(n->ctx, 0), most);
    if (n->status == XFC_OK && !xfc_b_define(n->b, count, &symbol, 1)) n->status = XFC_ERR_INPUT;
    return symbol;
}

/* x as rows [n, m]: its elements, or its slices along the axis. */
static xfc_value *rows_of(xfc_node *n, xfc_value *x, bool along, uint32_t axis) {
    xfc_int dim[2] = {xfc_int_const(n->ctx, 0), xfc_int_const(n->ctx, 1)};
    int64_t perm[XFC_MAX_RANK] = {axis};
    if (!along) {
        x = flat(n, x);
        if (x) dim[0] = x->type.dim[0];
        return x ? xfc_b_reshape(n->b, x, dim, 2) : NULL;
    }
    for (uint32_t d = 0, k = 1; d < x->type.rank; d++)
        if (d != axis) perm[k++] = d;
    dim[0] = x->type.dim[axis];
    x = xfc_b_transpose(n->b, x, perm);
    if (x) dim[1] = xfc_dims_product(n->ctx, x->type.dim + 1, x->type.rank - 1);
    return x ? xfc_b_reshape(n->b, x, dim, 2) : NULL;
}

/* Places of the results, of which com.microsoft has no first rows. */
static void unique(xfc_node *n, bool sort, uint32_t firsts, uint32_t kind, uint32_t counts) {
    bool along = xfc_node_attr(n, "axis") != NULL;
    xfc_value *x = n->in[0];
    uint32_t axis = along ? xfc_node_axis(n, xfc_node_int(n, "axis", 0), x->type.rank) : 0;
    xfc_attr sorted = xfc_attr_int(XFC_K_SORTED, sort);
    xfc_value *rows = n->status == XFC_OK ? rows_of(n, x, along, axis) : NULL;
    xfc_value *first = rows ? xfc_build(n->b, XFC_OP_UNIQUE, &rows, 1, &sorted, 1) : NULL;
    if (!first) return;
    xfc_value *result = first->def->out;
    xfc_int kinds = found(n, &result[3], rows->type.dim[0]);
    if (n->status != XFC_OK) return;
    first = xfc_n_first(n, first, kinds);
    n->out[0] = xfc_n_gather(n, along ? x : flat(n, x), first, axis);
    if (firsts && xfc_node_wants(n, firsts)) n->out[firsts] = first;
    if (xfc_node_wants(n, kind)) n->out[kind] = &result[1];
    if (xfc_node_wants(n, counts)) n->out[counts] = xfc_n_first(n, &result[2], kinds);
}

void xfc_import_unique(xfc_node *n) { unique(n, xfc_node_flag(n, "sorted", true), 1, 2, 3); }
void xfc_import_ms_unique(xfc_node *n) { unique(n, false, 0, 1, 2); }

/* Operand i as one number of the type, or what stands for it when it is left out. */
static xfc_value *limit(xfc_node *n, uint32_t i, xfc_dtype t, double absent) {
    const xfc_int one = xfc_int_const(n->ctx, 1);
    xfc_value *v = xfc_node_in(n, i);
    if (!v) v = xfc_dtype_is_float(t) ? xfc_b_scalar_f(n->b, t, absent) : xfc_b_scalar_i(n->b, t, (int64_t)absent);
    return v ? xfc_b_reshape(n->b, xfc_b_cast(n->b, v, t), &one, 1) : NULL;
}

/* The boxes that a class keeps: all, or as many as a constant says. */
static xfc_int most_boxes(const xfc_node *n, xfc_int boxes) {
    const xfc_tensor *t;
    if (!xfc_node_has(n, 2)) return xfc_int_const(n->ctx, 0);
    if (!xfc_value_is_const(n->in[2], &t) || t->count != 1) return boxes;
    int64_t most = xfc_tensor_get_i(t, 0);
    return xfc_int_min(n->ctx, boxes, xfc_int_const(n->ctx, most > 0 ? most < XFC_DIM_MAX ? most : XFC_DIM_MAX : 0));
}

void xfc_import_nms(xfc_node *n) {
    xfc_value *boxes = n->in[0], *scores = n->in[1];
    if (boxes->type.rank != 3 || scores->type.rank != 3 || boxes->type.dtype != XFC_F32 ||
        scores->type.dtype != XFC_F32) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs floating boxes [batch, boxes, 4] and scores [batch, classes, boxes]; export the model "
                      "again");
        return;
    }
    xfc_int size = most_boxes(n, boxes->type.dim[1]);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &size, 1),
                       xfc_attr_int(XFC_K_CENTER, xfc_node_flag(n, "center_point_box", false))};
    xfc_value *in[] = {boxes, scores, limit(n, 2, XFC_I64, 0), limit(n, 3, XFC_F32, 0),
                       limit(n, 4, XFC_F32, -(double)INFINITY)};
    xfc_value *list =
        n->status == XFC_OK ? xfc_build(n->b, XFC_OP_NMS, in, XFC_COUNT(in), attr, XFC_COUNT(attr)) : NULL;
    if (!list) return;
    xfc_int kept = found(n, &list->def->out[1], list->type.dim[0]);
    if (n->status == XFC_OK) n->out[0] = xfc_n_first(n, list, kept);
}

/* The cheapest way through a table of costs, [m, n] or [1, m, n], as i32 [2, steps]. */
void xfc_import_time_warp(xfc_node *n) {
    xfc_value *x = n->in[0];
    const xfc_int one = xfc_int_const(n->ctx, 1);
    if (x->type.rank == 3 && xfc_n_equal(n, x->type.dim[0], one, "the first dim of three and 1"))
        x = xfc_b_reshape(n->b, x, x->type.dim + 1, 2);
    if (n->status != XFC_OK || !x) return;
    if (x->type.rank != 2 || x->type.dtype != XFC_F32) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs costs f32 [rows, columns]; export the model again");
        return;
    }
    const xfc_int *d = x->type.dim;
    if (!xfc_n_at_most(n, one, d[0], "1 and the rows of costs") ||
        !xfc_n_at_most(n, one, d[1], "1 and the columns of costs"))
        return;
    xfc_value *way = xfc_build(n->b, XFC_OP_TIME_WARP, &x, 1, NULL, 0);
    if (!way) return;
    const xfc_int steps = found(n, &way->def->out[1], way->type.dim[1]);
    if (n->status == XFC_OK) n->out[0] = xfc_b_slice_axis(n->b, way, 1, xfc_int_const(n->ctx, 0), steps, 1);
}

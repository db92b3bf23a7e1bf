/* roi_pool.c - MaxRoiPool: maxima over the bins of regions, whose rows and columns only the run knows.
 *
 * A bin is rows and columns of its image, chosen by masks: first the maximum over its rows, then over its columns, so that no
 * element is looked at for each bin of a row again. Positions are computed in f32, as the definition's implementations do.
 */
#include "frontend/onnx/import.h"
#include <math.h>

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }
static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

/* Halves away from 0. */
static xfc_value *rounded(xfc_node *n, xfc_value *v) {
    xfc_value *far = xfc_n1(n, XFC_OP_ABS, v), *whole = xfc_n1(n, XFC_OP_FLOOR, far);
    xfc_value *up = with(n, XFC_OP_GE, op(n, XFC_OP_SUB, far, whole), 0.5);
    whole = xfc_n_select(n, up, with(n, XFC_OP_ADD, whole, 1), whole);
    return op(n, XFC_OP_MUL, whole, xfc_n1(n, XFC_OP_SIGN, v));
}

/* Column i of the regions [r, 5], as f32[r, 1]. */
static xfc_value *column(xfc_node *n, uint32_t i) {
    xfc_value *v = xfc_b_slice_axis(n->b, n->in[1], 1, constant(n, i), constant(n, 1), 1);
    return v ? xfc_b_cast(n->b, v, XFC_F32) : NULL;
}

/* Which of `size` rows each of `bins` bins takes, bool[r, bins, size]; first, last: columns of the regions. */
static xfc_value *inside(xfc_node *n, uint32_t first, uint32_t last, int64_t bins, xfc_int size, double scale) {
    const xfc_int zero = constant(n, 0), one = constant(n, 1), r = n->in[1]->type.dim[0];
    xfc_value *start = rounded(n, with(n, XFC_OP_MUL, column(n, first), scale)),
              *end = rounded(n, with(n, XFC_OP_MUL, column(n, last), scale));
    xfc_value *length = with(n, XFC_OP_MAX, with(n, XFC_OP_ADD, op(n, XFC_OP_SUB, end, start), 1), 1);
    xfc_value *step = with(n, XFC_OP_DIV, length, (double)bins);
    xfc_value *bin = xfc_n_along(n, xfc_n_iota(n, constant(n, bins), zero, 1, XFC_F32), 1, 2);
    xfc_value *from = op(n, XFC_OP_ADD, xfc_n1(n, XFC_OP_FLOOR, op(n, XFC_OP_MUL, bin, step)), start);
    bin = with(n, XFC_OP_ADD, bin, 1);
    xfc_value *to = op(n, XFC_OP_ADD, xfc_n1(n, XFC_OP_CEIL, op(n, XFC_OP_MUL, bin, step)), start);
    const xfc_int dim[3] = {r, constant(n, bins), one};
    xfc_value *at = xfc_n_along(n, xfc_n_iota(n, size, zero, 1, XFC_F32), 2, 3);
    if (!from || !to || !at) return NULL;
    return op(n, XFC_OP_AND, op(n, XFC_OP_GE, at, xfc_b_reshape(n->b, from, dim, 3)),
              op(n, XFC_OP_LT, at, xfc_b_reshape(n->b, to, dim, 3)));
}

/* The maximum of v over its last dim where the mask holds; -inf: it holds nowhere. */
static xfc_value *largest(xfc_node *n, xfc_value *mask, xfc_value *v) {
    v = xfc_n_select(n, mask, v, xfc_nf(n, v, (double)-INFINITY));
    if (!v) return NULL;
    const int64_t last[1] = {v->type.rank - 1};
    return xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, v, last, 1, false);
}

void xfc_import_max_roi_pool(xfc_node *n) {
    static const int64_t columns_first[] = {0, 1, 3, 2};
    const int64_t *shape;
    uint32_t count;
    xfc_value *x = n->in[0];
    const xfc_type t = x->type;
    if (t.rank != 4 || n->in[1]->type.rank != 2 || !xfc_node_ints(n, "pooled_shape", &shape, &count) || count != 2 ||
        shape[0] < 1 || shape[1] < 1 || shape[0] > XFC_DIM_MAX || shape[1] > XFC_DIM_MAX ||
        !xfc_dtype_is_float(t.dtype)) {
        if (n->status == XFC_OK)
            xfc_node_fail(
                n, XFC_ERR_INPUT,
                "needs a floating image of rank 4, regions [count, 5], and pooled_shape of two positive sizes; export "
                "the model again");
        return;
    }
    const xfc_int one = constant(n, 1), r = n->in[1]->type.dim[0], h = constant(n, shape[0]);
    if (!xfc_n_equal(n, n->in[1]->type.dim[1], constant(n, 5), "the columns of regions and 5")) return;
    const double scale = xfc_node_float(n, "spatial_scale", 1);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *image = column(n, 0), *rows = inside(n, 2, 4, shape[0], t.dim[2], scale),
              *columns = inside(n, 1, 3, shape[1], t.dim[3], scale);
    image = image ? xfc_b_reshape(n->b, xfc_b_cast(n->b, image, XFC_I64), &r, 1) : NULL;
    x = xfc_b_transpose(n->b, x, columns_first);
    if (!x || !image || !rows || !columns) return;
    x = xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){x, image}, 2, &axis, 1); /* [r, c, w, h] */
    x = x ? xfc_b_reshape(n->b, x, (xfc_int[]){r, t.dim[1], one, t.dim[3], t.dim[2]}, 5) : NULL;
    rows = xfc_b_reshape(n->b, rows, (xfc_int[]){r, one, h, one, t.dim[2]}, 5);
    xfc_value *v = largest(n, rows, x); /* [r, c, bins of rows, w] */
    v = v ? xfc_b_reshape(n->b, v, (xfc_int[]){r, t.dim[1], h, one, t.dim[3]}, 5) : NULL;
    columns = xfc_b_reshape(n->b, columns, (xfc_int[]){r, one, one, constant(n, shape[1]), t.dim[3]}, 5);
    v = largest(n, columns, v);
    xfc_value *none = v ? with(n, XFC_OP_EQ, v, (double)-INFINITY) : NULL;
    n->out[0] = xfc_n_select(n, none, xfc_nf(n, v, 0), v);
}

/* nonzero.c - NonZero: where a tensor is not 0, as coordinates in row-major order.
 *
 * Old exporters write a range as the places of ones in a tensor of ones: there the coordinates follow from the shape
 * alone. Of a constant they are a constant. In general their number is known at run time only: it becomes a symbol of
 * the graph, bounded by the size of the tensor. Each place then gets its number among the kept ones (a running sum),
 * or the number of a slot behind all others; one scatter lists the places by number, and a division by the strides
 * makes coordinates of them.
 */
#include "frontend/onnx/import.h"

/* Coordinate d of the flat places [n], as [1, n]. */
static xfc_value *coordinate(xfc_node *n, xfc_value *place, uint32_t d) {
    const xfc_type *t = &n->in[0]->type;
    if (!place) return NULL;
    xfc_int row[2] = {xfc_int_const(n->ctx, 1), place->type.dim[0]};
    xfc_int stride = xfc_dims_product(n->ctx, t->dim + d + 1, t->rank - d - 1);
    if (d + 1 < t->rank) place = xfc_n2(n, XFC_OP_DIV, place, xfc_b_dims(n->b, &stride, -1));
    if (d > 0) place = xfc_n2(n, XFC_OP_MOD, place, xfc_b_dims(n->b, &t->dim[d], -1));
    return xfc_b_reshape(n->b, place, row, 2);
}

static xfc_value *coordinates(xfc_node *n, xfc_value *place) {
    uint32_t rank = n->in[0]->type.rank;
    xfc_value *row[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) row[d] = coordinate(n, place, d);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, 0);
    return rank == 1 ? row[0] : xfc_build(n->b, XFC_OP_CONCAT, row, rank, &attr, 1);
}

/* 1 or 0 where every element surely is not 0, or surely is; -1 else. */
static int uniform(const xfc_value *v) {
    const xfc_tensor *t = NULL;
    while (v->def && (v->def->code == XFC_OP_EXPAND || v->def->code == XFC_OP_RESHAPE || v->def->code == XFC_OP_CAST))
        v = v->def->in[0].value;
    if (v->def && v->def->code == XFC_OP_SPLAT)
        t = xfc_op_attr(v->def, XFC_K_VALUE)->u.tensor;
    else if (!xfc_value_is_const(v, &t) || t->count != 1)
        return -1;
    bool is_float = xfc_dtype_is_float(t->dtype);
    return is_float ? xfc_tensor_get_f(t, 0) != 0 : xfc_tensor_get_i(t, 0) != 0;
}

static xfc_value *of_constant(xfc_node *n, const xfc_tensor *t) {
    int64_t *at = xfc_new_array(n->im->arena, int64_t, (size_t)t->count + 1), count = 0;
    for (int64_t i = 0; i < t->count; i++) {
        bool is_float = xfc_dtype_is_float(t->dtype);
        if (is_float ? xfc_tensor_get_f(t, i) != 0 : xfc_tensor_get_i(t, i) != 0) at[count++] = i;
    }
    int64_t dim[2] = {t->rank, count};
    int64_t *data = xfc_tensor_alloc(n->ctx, XFC_I64, 2, dim);
    for (int64_t k = 0; k < count; k++) {
        int64_t rest = at[k];
        for (uint32_t d = t->rank; d-- > 0; rest /= t->dim[d]) data[d * count + k] = rest % t->dim[d];
    }
    return xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_I64, 2, dim, data, NULL));
}

xfc_value *xfc_n_first(xfc_node *n, xfc_value *v, xfc_int size) {
    return xfc_b_slice_axis(n->b, v, 0, xfc_int_const(n->ctx, 0), size, 1);
}

xfc_value *xfc_n_places(xfc_node *n, xfc_value *x, xfc_int all) {
    xfc_ctx *c = n->ctx;
    xfc_builder *b = n->b;
    xfc_int zero = xfc_int_const(c, 0), slots = xfc_int_addc(c, all, 1), one[1] = {xfc_int_const(c, 1)};
    const int64_t axes[1] = {0};
    x = xfc_b_reshape(b, x, &all, 1);
    xfc_value *none = x && x->type.dtype == XFC_BOOL ? xfc_b_scalar_i(b, XFC_BOOL, 0) : xfc_nf(n, x, 0);
    xfc_value *kept = xfc_n2(n, XFC_OP_NE, x, none), *ones = kept ? xfc_b_cast(b, kept, XFC_I64) : NULL;
    xfc_attr running[] = {xfc_attr_int(XFC_K_AXIS, 0), xfc_attr_int(XFC_K_EXCLUSIVE, 1)};
    xfc_value *number = ones ? xfc_build(b, XFC_OP_CUMSUM, &ones, 1, running, 2) : NULL;
    xfc_value *count = ones ? xfc_b_reduce(b, XFC_OP_REDUCE_SUM, ones, axes, 1, true) : NULL;
    if (!number || !count) return NULL;
    number = xfc_b_select(b, kept, number, xfc_b_dims(b, &all, -1));
    xfc_value *places = xfc_n_iota(n, all, zero, 1, XFC_I64), *list = xfc_n_iota(n, slots, zero, 1, XFC_I64);
    xfc_attr along = xfc_attr_int(XFC_K_AXIS, 0);
    list = xfc_build(b, XFC_OP_SCATTER_ELEMENTS, (xfc_value *[]){list, number, places}, 3, &along, 1);
    xfc_int found = xfc_int_let(c, "found", zero, all);
    if (!list || !xfc_b_define(b, xfc_b_reshape(b, count, one, 1), &found, 1)) return NULL;
    return xfc_n_first(n, list, found);
}

void xfc_import_nonzero(xfc_node *n) {
    xfc_value *x = n->in[0];
    const xfc_tensor *t;
    xfc_int all = xfc_type_count(n->ctx, &x->type);
    if (!x->type.rank) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "of a scalar is not supported; give it a dim");
        return;
    }
    if (!xfc_int_known(all)) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "of more than 2^63 elements is not supported");
        return;
    }
    if (xfc_value_is_const(x, &t)) {
        n->out[0] = of_constant(n, t);
        return;
    }
    int same = xfc_int_is(n->ctx, all, 0) ? 0 : uniform(x);
    xfc_value *place = same < 0
                           ? xfc_n_places(n, x, all)
                           : xfc_n_iota(n, same ? all : xfc_int_const(n->ctx, 0), xfc_int_const(n->ctx, 0), 1, XFC_I64);
    n->out[0] = place ? coordinates(n, place) : NULL;
}

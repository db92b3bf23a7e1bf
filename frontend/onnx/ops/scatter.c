/* scatter.c - scatters, and slice assignment, which exporters spell as one.
 *
 *   y[:, :n] = u   is exported as   ScatterND(y, stack(expand(arange(b)), expand(arange(n))), u)
 *
 * The index tensor of such a scatter is a function of the position alone (element.c). Where tuple entry t at position
 * (i0, i1, ...) is start_t + i_t, and the block surely lies inside, the scatter is the updates joined with what they
 * leave of the operand, which later passes see through.
 */
#include "frontend/onnx/import.h"
#include <string.h>

/* Do the tuples name the block start .. start + size of data's first dims, each element once and in order? */
static bool is_block(xfc_node *n, xfc_int *start) {
    xfc_ctx *c = n->ctx;
    const xfc_type *data = &n->in[0]->type, *where = &n->in[1]->type;
    int64_t tuple;
    if (!where->rank || !xfc_int_value(c, where->dim[where->rank - 1], &tuple) || tuple != (int64_t)where->rank - 1 ||
        tuple > (int64_t)data->rank)
        return false;
    xfc_int at[XFC_MAX_RANK], zero = xfc_int_const(c, 0);
    xfc_type_index(c, where, at);
    for (uint32_t t = 0; t < tuple; t++) {
        at[tuple] = xfc_int_const(c, t);
        start[t] = xfc_int_sub(c, xfc_element(n->im, n->in[1], at), at[t]);
        if (!xfc_int_known(start[t])) return false;
        for (uint32_t d = 0; d < tuple; d++)
            if (!xfc_int_same(at[d], zero) && xfc_int_uses(c, start[t], at[d])) return false;
        if (xfc_int_lt(c, start[t], zero) == 1) start[t] = xfc_int_add(c, start[t], data->dim[t]);
        if (xfc_int_le(c, zero, start[t]) != 1 ||
            xfc_int_le(c, xfc_int_add(c, start[t], where->dim[t]), data->dim[t]) != 1)
            return false;
    }
    return true;
}

/* data with the block replaced, of whose axes those below `axis` are done. */
static xfc_value *assign(xfc_node *n, xfc_value *data, xfc_value *updates, const xfc_int *start, uint32_t axis,
                         uint32_t n_axes) {
    xfc_ctx *c = n->ctx;
    while (data && axis < n_axes && xfc_int_same(data->type.dim[axis], updates->type.dim[axis])) axis++;
    if (!data || axis == n_axes) return data ? updates : NULL;
    xfc_int zero = xfc_int_const(c, 0), count = updates->type.dim[axis], end = xfc_int_add(c, start[axis], count);
    xfc_int left = xfc_int_sub(c, data->type.dim[axis], end);
    xfc_value *piece[3];
    uint32_t k = 0;
    if (!xfc_int_same(start[axis], zero)) piece[k++] = xfc_b_slice_axis(n->b, data, axis, zero, start[axis], 1);
    piece[k++] = assign(n, xfc_b_slice_axis(n->b, data, axis, start[axis], count, 1), updates, start, axis + 1, n_axes);
    if (!xfc_int_same(left, zero)) piece[k++] = xfc_b_slice_axis(n->b, data, axis, end, left, 1);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return k == 1 ? piece[0] : xfc_build(n->b, XFC_OP_CONCAT, piece, k, &attr, 1);
}

static int64_t reduction_of(xfc_node *n) {
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *given = xfc_node_str(n, "reduction", "none");
    for (size_t i = 0; i < XFC_COUNT(names); i++)
        if (!strcmp(given, names[i])) return (int64_t)i;
    if (n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'reduction' must be none, add, mul, max or min");
    return 0;
}

void xfc_import_scatter_nd(xfc_node *n) {
    xfc_attr attr = xfc_attr_int(XFC_K_REDUCTION, reduction_of(n));
    int64_t rank = n->in[0]->type.rank;
    xfc_node_tuples(n, (int64_t)n->in[1]->type.rank - 1 + rank - n->in[2]->type.rank, rank);
    if (n->status != XFC_OK) return;
    xfc_value *out = xfc_build(n->b, XFC_OP_SCATTER_ND, n->in, 3, &attr, 1);
    xfc_int start[XFC_MAX_RANK];
    if (out && attr.u.i == 0 && is_block(n, start)) /* the op was built for its checks; nothing uses it now */
        out = assign(n, n->in[0], n->in[2], start, 0, n->in[1]->type.rank - 1);
    n->out[0] = out;
}

void xfc_import_scatter_elements(xfc_node *n) {
    xfc_attr attr[] = {
        xfc_attr_int(XFC_K_AXIS, xfc_node_axis(n, xfc_node_int(n, "axis", 0), n->in[0]->type.rank)),
        xfc_attr_int(XFC_K_REDUCTION, reduction_of(n)),
    };
    if (n->status == XFC_OK) n->out[0] = xfc_build(n->b, XFC_OP_SCATTER_ELEMENTS, n->in, 3, attr, XFC_COUNT(attr));
}

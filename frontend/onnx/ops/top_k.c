/* top_k.c - TopK: the first elements along an axis in order. Unsorted results are sorted too.
 *
 * How many is an attribute below opset 10, an operand from there on. Where sizes decide it, it is known; where data
 * does, it becomes a symbol of the graph, bounded by the size of the axis: a run in which it is not ends with an error.
 */
#include "frontend/onnx/import.h"

/* What the operand says when the model runs. */
static xfc_int from_data(xfc_node *n, xfc_value *v, xfc_int most) {
    xfc_int one[1] = {xfc_int_const(n->ctx, 1)};
    xfc_int k = xfc_int_let(n->ctx, "k", xfc_int_const(n->ctx, 0), most);
    xfc_value *count = xfc_b_reshape(n->b, xfc_b_cast(n->b, v, XFC_I64), one, 1);
    if (!xfc_b_define(n->b, count, &k, 1)) n->status = XFC_ERR_INPUT;
    return k;
}

static xfc_int read_k(xfc_node *n, xfc_int most) {
    if (n->row->max_in == 1) {
        if (!xfc_node_attr(n, "k")) xfc_node_fail(n, XFC_ERR_INPUT, "needs attribute 'k'; export the model again");
        return xfc_int_const(n->ctx, xfc_node_int(n, "k", 0));
    }
    const xfc_type *t = &n->in[1]->type;
    xfc_node_expect(n, 1, 0, 1);
    xfc_int zero = xfc_int_const(n->ctx, 0);
    bool is_number = xfc_dtype_is_int(t->dtype) && (t->rank == 0 || (t->rank == 1 && xfc_int_is(n->ctx, t->dim[0], 1)));
    if (is_number && !xfc_int_known(xfc_element(n->im, n->in[1], &zero))) return from_data(n, n->in[1], most);
    return xfc_node_dim(n, 1); /* or what is wrong with the operand */
}

void xfc_import_top_k(xfc_node *n) {
    const xfc_type *x = &n->in[0]->type;
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", -1), x->rank);
    bool largest = xfc_node_flag(n, "largest", true);
    if (n->status != XFC_OK) return;
    xfc_int k = read_k(n, x->dim[axis]);
    int64_t value;
    if (xfc_int_value(n->ctx, k, &value) && value < 0)
        xfc_node_fail(n, XFC_ERR_INPUT, "k is %lld and must not be negative; export the model again", (long long)value);
    if (n->status != XFC_OK || !xfc_n_at_most(n, k, x->dim[axis], "k and the elements to choose from")) return;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_dims(XFC_K_SIZE, &k, 1),
                       xfc_attr_int(XFC_K_LARGEST, largest)};
    xfc_value *v = xfc_build(n->b, XFC_OP_TOP_K, n->in, 1, attr, XFC_COUNT(attr));
    for (uint32_t i = 0; i < n->n_out && v; i++) n->out[i] = &v->def->out[i];
}

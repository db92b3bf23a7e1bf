/* split_sequence.c - SplitToSequence: a list of slices where their number is known, else a flat sequence. */
#include "frontend/onnx/sequence/sequence.h"

/* Sizes of the parts, and how many; NULL without a failure: only the run knows. */
static const xfc_int *known_sizes(xfc_node *n, xfc_int dim, uint32_t *count) {
    int64_t extent, chunk = 1;
    bool given = xfc_node_has(n, 1), list = given && n->in[1]->type.rank == 1;
    if (given && xfc_node_at_run_time(n, 1)) return NULL;
    const xfc_int *entry = given ? xfc_node_dims(n, 1, count) : NULL;
    if (n->status != XFC_OK) return NULL;
    if (list) {
        xfc_int sum = xfc_int_const(n->ctx, 0);
        for (uint32_t i = 0; i < *count; i++) {
            sum = xfc_int_add(n->ctx, sum, entry[i]);
            if (xfc_int_lt(n->ctx, entry[i], xfc_int_const(n->ctx, 0)) == 1) sum = xfc_int_const(n->ctx, -1);
        }
        if (!xfc_int_known(sum) || xfc_int_eq(n->ctx, sum, dim) == 0)
            return xfc_node_fail(n, XFC_ERR_INPUT,
                                 "the sizes of the parts do not fit the axis; export the model again"),
                   NULL;
        xfc_graph_require_equal(n->im->graph, sum, dim, n->loc);
        return entry;
    }
    if (given && xfc_int_value(n->ctx, entry[0], &chunk) && chunk < 1)
        return xfc_node_fail(n, XFC_ERR_INPUT, "splits into parts of size %lld; export the model again",
                             (long long)chunk),
               NULL;
    if ((given && !xfc_int_value(n->ctx, entry[0], &chunk)) || !xfc_int_value(n->ctx, dim, &extent)) return NULL;
    int64_t parts = extent / chunk + (extent % chunk != 0);
    *count = parts > UINT32_MAX ? UINT32_MAX : (uint32_t)parts;
    if (!xfc_sequence_list(n, XFC_F32, *count)) return NULL;
    xfc_int *size = xfc_new_array(n->im->arena, xfc_int, *count + 1u);
    for (int64_t i = 0; i < *count; i++)
        size[i] = xfc_int_const(n->ctx, extent - i * chunk < chunk ? extent - i * chunk : chunk);
    return size;
}

/* The same as i64[length], of which only the run knows something. */
static xfc_value *sizes(xfc_node *n, xfc_int dim) {
    xfc_int zero = xfc_int_const(n->ctx, 0), one = xfc_int_const(n->ctx, 1), parts = XFC_INT_NONE;
    const int64_t axes[1] = {0};
    if (!xfc_node_has(n, 1)) return xfc_b_expand(n->b, xfc_ni(n, 1), &dim, 1);
    xfc_value *extent = xfc_b_dims(n->b, &dim, -1), *list = xfc_node_list(n, 1);
    if (list && n->in[1]->type.rank == 1) { /* their sum is the extent, or -1 where one is negative */
        xfc_value *least = xfc_b_reduce(n->b, XFC_OP_REDUCE_MIN, list, axes, 1, true);
        xfc_value *sum = xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, list, axes, 1, true);
        sum = xfc_n_sizes_if(n, xfc_n2(n, XFC_OP_GE, least, xfc_ni(n, 0)), sum);
        if (!sum || !xfc_n_define(n, sum, &parts, 1, NULL)) return NULL;
        return xfc_n_equal(n, parts, dim, "the sum of the parts and the axis") ? list : NULL;
    }
    xfc_value *chunk = xfc_b_reshape(n->b, list, NULL, 0), *whole = xfc_n2(n, XFC_OP_MAX, chunk, xfc_ni(n, 1));
    xfc_value *number = xfc_n2(n, XFC_OP_ADD, extent, xfc_n2(n, XFC_OP_SUB, whole, xfc_ni(n, 1)));
    number = xfc_n_sizes_if(n, xfc_n2(n, XFC_OP_GE, chunk, xfc_ni(n, 1)), xfc_n2(n, XFC_OP_DIV, number, whole));
    if (!number || !xfc_n_define(n, xfc_b_reshape(n->b, number, &one, 1), &parts, 1, &dim)) return NULL;
    xfc_value *start = xfc_n2(n, XFC_OP_MUL, xfc_n_iota(n, parts, zero, 1, XFC_I64), whole);
    return xfc_n2(n, XFC_OP_MIN, whole, xfc_n2(n, XFC_OP_SUB, extent, start));
}

static xfc_sequence *slices(xfc_node *n, uint32_t axis, bool keep, const xfc_int *size_of, uint32_t count) {
    const xfc_type *t = &n->in[0]->type;
    xfc_sequence *s = xfc_sequence_list(n, t->dtype, count);
    xfc_int start = xfc_int_const(n->ctx, 0), squeezed[XFC_MAX_RANK];
    for (uint32_t d = 0, k = 0; d < t->rank; d++)
        if (d != axis) squeezed[k++] = t->dim[d];
    for (uint32_t i = 0; s && i < count; i++) {
        s->item[i] = xfc_b_slice_axis(n->b, n->in[0], axis, start, size_of[i], 1);
        if (!keep) s->item[i] = xfc_b_reshape(n->b, s->item[i], squeezed, t->rank - 1);
        if (!s->item[i]) return NULL; /* recorded */
        start = xfc_int_add(n->ctx, start, size_of[i]);
    }
    return s;
}

void xfc_import_split_to_sequence(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    uint32_t count = 0, axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), t->rank);
    bool keep = xfc_node_flag(n, "keepdims", true) || xfc_node_has(n, 1);
    if (n->status == XFC_OK && xfc_node_has(n, 1) &&
        (n->in[1]->type.rank > 1 || !xfc_dtype_is_int(n->in[1]->type.dtype)))
        xfc_node_fail(n, XFC_ERR_INPUT, "splits by '%s', which is no list of integers; export the model again",
                      xfc_node_in_name(n, 1));
    if (n->status != XFC_OK) return;
    const xfc_int *known = known_sizes(n, t->dim[axis], &count);
    if (n->status != XFC_OK) return;
    n->out_sequence[0] =
        known ? slices(n, axis, keep, known, count) : xfc_flat_split(n, n->in[0], axis, sizes(n, t->dim[axis]), keep);
}

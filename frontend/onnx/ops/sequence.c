/* sequence.c - sequences of tensors, resolved while importing.
 *
 * Exporters use sequences for what a list is in Python: pieces of a split that are picked by number, or joined again.
 * Lengths and positions are then known, so a sequence is a list of values and none remains in the graph.
 */
#include "frontend/onnx/import.h"

enum { MAX_LENGTH = 4096 };

static xfc_sequence *new_sequence(xfc_node *n, uint32_t length) {
    if (length > MAX_LENGTH) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "makes a sequence of %u tensors; at most %d are supported", length, MAX_LENGTH);
        return NULL;
    }
    xfc_sequence *s = xfc_new(n->im->arena, xfc_sequence);
    *s = (xfc_sequence){.item = xfc_new_array(n->im->arena, xfc_value *, length + 1u), .n = length};
    return s;
}

static const xfc_sequence *operand(xfc_node *n) {
    if (n->in_sequence[0]) return n->in_sequence[0];
    xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' is not a sequence; export the model again", xfc_node_in_name(n, 0));
    return NULL;
}

/* The position that an operand gives: negative ones count from the end; `behind`: the end itself is one, too. */
static bool position(xfc_node *n, uint32_t in, uint32_t length, bool behind, uint32_t *out) {
    uint32_t count;
    const int64_t *at = xfc_node_const_ints(n, in, &count);
    if (!at) return false;
    int64_t i = count == 1 ? at[0] : INT64_MIN;
    if (i < 0 && i >= -(int64_t)length) i += length;
    if (i < 0 || i >= (int64_t)length + behind)
        return xfc_node_fail(n, XFC_ERR_INPUT, "position '%s' is outside a sequence of %u; export the model again",
                             xfc_node_in_name(n, in), length),
               false;
    *out = (uint32_t)i;
    return true;
}

void xfc_import_sequence_construct(xfc_node *n) {
    xfc_sequence *s = new_sequence(n, n->n_in);
    for (uint32_t i = 0; s && i < n->n_in; i++) s->item[i] = n->in[i];
    n->out_sequence[0] = s;
    for (uint32_t i = 0; s && i < n->n_in; i++)
        if (!n->in[i]) xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "makes a sequence of what is no tensor");
}

void xfc_import_sequence_empty(xfc_node *n) { n->out_sequence[0] = new_sequence(n, 0); }

void xfc_import_sequence_at(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    uint32_t at;
    if (s && position(n, 1, s->n, false, &at)) n->out[0] = s->item[at];
}

void xfc_import_sequence_length(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    if (s) n->out[0] = xfc_b_scalar_i(n->b, XFC_I64, s->n);
}

void xfc_import_sequence_insert(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    uint32_t at = s ? s->n : 0;
    if (!s || !n->in[1] || (xfc_node_has(n, 2) && !position(n, 2, s->n, true, &at))) return;
    xfc_sequence *out = new_sequence(n, s->n + 1);
    if (!out) return;
    for (uint32_t i = 0; i < out->n; i++) out->item[i] = i < at ? s->item[i] : i == at ? n->in[1] : s->item[i - 1];
    n->out_sequence[0] = out;
}

void xfc_import_sequence_erase(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    if (s && !s->n) xfc_node_fail(n, XFC_ERR_INPUT, "takes a tensor out of an empty sequence; export the model again");
    if (!s || !s->n) return;
    uint32_t at = s->n - 1;
    if (xfc_node_has(n, 1) && !position(n, 1, s->n, false, &at)) return;
    xfc_sequence *out = new_sequence(n, s->n - 1);
    for (uint32_t i = 0; i < s->n - 1; i++) out->item[i] = s->item[i < at ? i : i + 1];
    n->out_sequence[0] = out;
}

/* Sizes of the parts, and how many. */
static xfc_int *split_sizes(xfc_node *n, xfc_int dim, uint32_t *count) {
    int64_t extent, chunk = 1;
    const xfc_int *given = xfc_node_has(n, 1) ? xfc_node_dims(n, 1, count) : NULL;
    if (n->status != XFC_OK) return NULL;
    if (given && n->in[1]->type.rank == 1) {
        xfc_int sum = xfc_int_const(n->ctx, 0);
        for (uint32_t i = 0; i < *count; i++) {
            sum = xfc_int_add(n->ctx, sum, given[i]);
            if (xfc_int_lt(n->ctx, given[i], xfc_int_const(n->ctx, 0)) == 1) sum = xfc_int_const(n->ctx, -1);
        }
        if (!xfc_int_known(sum) || xfc_int_eq(n->ctx, sum, dim) == 0)
            return xfc_node_fail(n, XFC_ERR_INPUT,
                                 "the sizes of the parts do not fit the axis; export the model again"),
                   NULL;
        xfc_graph_require_equal(n->im->graph, sum, dim, n->loc);
        return xfc_dup_array(n->im->arena, xfc_int, given, *count);
    }
    if (given && (!xfc_int_value(n->ctx, given[0], &chunk) || chunk < 1))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "splits into parts of a size that is no positive constant"), NULL;
    if (!xfc_int_value(n->ctx, dim, &extent))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                             "splits an axis of variable size into as many parts as it takes; fix it with --dim"),
               NULL;
    int64_t parts = extent / chunk + (extent % chunk != 0);
    *count = parts > MAX_LENGTH ? MAX_LENGTH + 1u : (uint32_t)parts;
    xfc_int *size = xfc_new_array(n->im->arena, xfc_int, *count + 1u);
    for (int64_t i = 0; i < *count; i++)
        size[i] = xfc_int_const(n->ctx, extent - i * chunk < chunk ? extent - i * chunk : chunk);
    return size;
}

void xfc_import_split_to_sequence(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    uint32_t count = 0, axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), t->rank);
    bool keep = xfc_node_flag(n, "keepdims", true) || xfc_node_has(n, 1);
    if (n->status != XFC_OK) return;
    const xfc_int *sizes = split_sizes(n, t->dim[axis], &count);
    xfc_sequence *s = sizes ? new_sequence(n, count) : NULL;
    if (!s) return;
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK], squeezed[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t d = 0, k = 0; d < t->rank; d++) {
        start[d] = xfc_int_const(n->ctx, 0);
        size[d] = t->dim[d];
        step[d] = 1;
        if (d != axis) squeezed[k++] = t->dim[d];
    }
    for (uint32_t i = 0; i < count; i++) {
        size[axis] = sizes[i];
        s->item[i] = xfc_b_slice(n->b, n->in[0], start, size, step);
        if (!keep) s->item[i] = xfc_b_reshape(n->b, s->item[i], squeezed, t->rank - 1);
        if (!s->item[i]) return; /* recorded */
        start[axis] = xfc_int_add(n->ctx, start[axis], sizes[i]);
    }
    n->out_sequence[0] = s;
}

void xfc_import_concat_from_sequence(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    bool fresh = xfc_node_flag(n, "new_axis", false);
    if (!s) return;
    if (!s->n || !xfc_node_attr(n, "axis")) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs an axis and at least one tensor; export the model again");
        return;
    }
    uint32_t rank = s->item[0]->type.rank + fresh, axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), rank);
    xfc_value **part = xfc_new_array(n->im->arena, xfc_value *, s->n);
    if (n->status != XFC_OK) return;
    if (rank > XFC_MAX_RANK) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "makes rank %u; the limit is %d", rank, XFC_MAX_RANK);
        return;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        const xfc_type *t = &s->item[i]->type;
        xfc_int dim[XFC_MAX_RANK];
        for (uint32_t d = 0, k = 0; fresh && t->rank + 1 == rank && d < rank; d++)
            dim[d] = d == axis ? xfc_int_const(n->ctx, 1) : t->dim[k++];
        part[i] = fresh && t->rank + 1 == rank ? xfc_b_reshape(n->b, s->item[i], dim, rank) : s->item[i];
    }
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    n->out[0] = xfc_build(n->b, XFC_OP_CONCAT, part, s->n, &attr, 1);
}

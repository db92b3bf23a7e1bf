/* map.c - element-wise ops whose operands were expanded.
 *
 * Broadcasting is part of every element-wise op, so an operand needs no expand (nor leading ones, nor a constant of
 * equal elements in full size): op(expand(x), y) is op(x, y) wherever y has the dims that x lacks, and the expansion of
 * op(x, y) otherwise. Work shrinks to the elements that differ: a padding mask stays one value a key instead of one a
 * score, which is also what lets attention take it as its bias. Only when every dim is decided: equal to the result's,
 * or 1.
 */
#include "passes/views/views.h"

/* The smallest value that broadcasts to v; v itself if there is none smaller. */
static xfc_value *strip(xfc_builder *b, xfc_value *v) {
    const xfc_ctx *c = b->graph->ctx;
    for (uint32_t hops = 0; hops < 8; hops++) {
        bool peels = xfc_op_is(v, XFC_OP_EXPAND) ||
                     (xfc_op_is(v, XFC_OP_RESHAPE) && xfc_adds_leading_ones(c, &v->type, &v->def->in[0].value->type));
        if (!peels) break;
        v = v->def->in[0].value;
    }
    return v;
}

/* A constant or splat of equal elements, as one element; NULL otherwise. */
static xfc_value *as_scalar(xfc_builder *b, xfc_value *v) {
    const xfc_tensor *t;
    double ignored;
    if (v->type.rank == 0) return NULL;
    if (xfc_op_is(v, XFC_OP_SPLAT)) {
        t = xfc_op_attr(v->def, XFC_K_VALUE)->u.tensor;
    } else if (!xfc_value_is_const(v, &t) || !xfc_tensor_is_splat(t, &ignored)) {
        return NULL;
    }
    if (t->count == 0) return NULL;
    return xfc_b_const(b, xfc_tensor_copy(b->graph->ctx, t->dtype, 0, NULL, t->data, NULL));
}

/* A constant whose first dims are 1, without them; NULL otherwise. */
static xfc_value *without_leading_ones(xfc_builder *b, xfc_value *v) {
    const xfc_tensor *t;
    uint32_t ones = 0;
    if (!xfc_value_is_const(v, &t)) return NULL;
    while (ones < t->rank && t->dim[ones] == 1) ones++;
    if (ones == 0) return NULL;
    return xfc_b_const(b, xfc_tensor_new(b->graph->ctx, t->dtype, t->rank - ones, t->dim + ones, t->data, t->name));
}

/* Dims of the op on these operands, where each dim of each is 1 or the same as the others'. */
static bool decided_dims(const xfc_ctx *c, xfc_value *const *in, uint32_t n, xfc_type *out) {
    xfc_int one = XFC_INT_NONE;
    out->rank = 0;
    for (uint32_t i = 0; i < n; i++) out->rank = in[i]->type.rank > out->rank ? in[i]->type.rank : out->rank;
    for (uint32_t d = 0; d < out->rank; d++) {
        out->dim[d] = one;
        for (uint32_t i = 0; i < n; i++) {
            const xfc_type *t = &in[i]->type;
            if (d + t->rank < out->rank) continue;
            xfc_int e = t->dim[d + t->rank - out->rank];
            if (!xfc_int_known(out->dim[d]) || xfc_int_is(c, out->dim[d], 1)) out->dim[d] = e;
            if (!xfc_int_is(c, e, 1) && !xfc_int_same(e, out->dim[d])) return false;
        }
    }
    return true;
}

/* The smaller type expands to the larger one, dim by dim. */
static bool decided_expand(const xfc_ctx *c, const xfc_type *from, const xfc_type *to) {
    for (uint32_t d = 0; from->rank <= to->rank && d < from->rank; d++) {
        xfc_int e = from->dim[d];
        if (!xfc_int_is(c, e, 1) && !xfc_int_same(e, to->dim[d + to->rank - from->rank])) return false;
    }
    return from->rank <= to->rank;
}

xfc_value *xfc_views_map(xfc_builder *b, const xfc_op *op) {
    xfc_value *in[3];
    bool changed = false;
    xfc_type small;
    const xfc_type *out = &op->out[0].type;
    if (op->n_in == 0 || op->n_in > 3 || op->code == XFC_OP_COPY) return NULL;
    for (uint32_t i = 0; i < op->n_in; i++) {
        in[i] = strip(b, op->in[i].value);
        changed |= in[i] != op->in[i].value;
    }
    for (uint32_t i = 0; i < op->n_in; i++) { /* constants last: they are built, so only when needed */
        xfc_value *built = as_scalar(b, in[i]);
        if (!built && op->n_in > 1) built = without_leading_ones(b, in[i]);
        changed |= built != NULL;
        if (built) in[i] = built;
    }
    if (!changed || !decided_dims(b->graph->ctx, in, op->n_in, &small) || !decided_expand(b->graph->ctx, &small, out))
        return NULL;
    xfc_value *v = xfc_build(b, op->code, in, op->n_in, op->attr, op->n_attr);
    if (!v || xfc_type_same(&v->type, out)) return v;
    return xfc_b_expand(b, v, out->dim, out->rank);
}

/* matmul.c - products with matrices that were repeated for a batch.
 *
 * Exporters repeat what all sequences share (position tables of relative attention) to the batch's size and join batch
 * and heads: x [b * h, m, k] times expand(w [1, h, k, n]) as [b * h, k, n]. That is x [b, h, m, k] times w [1, h, k,
 * n]: the product broadcasts, w is a constant again that can be packed when the model is compiled, and no sequence
 * depends on another's copy. The repeated digit must be the outermost of the operand's dims, with nothing but ones
 * before it.
 */
#include "passes/views/views.h"

enum { MAX_HOPS = 12 };

/* The first dim that is not 1. */
static uint32_t leading(const xfc_ctx *c, const xfc_type *t) {
    uint32_t d = 0;
    while (d < t->rank && xfc_int_is(c, t->dim[d], 1)) d++;
    return d;
}

/* Extent of the outermost digit that some expand below v repeats; NONE if there is none. */
static xfc_int repeated(const xfc_ctx *c, const xfc_value *v) {
    for (uint32_t hops = 0; hops < MAX_HOPS && v->def; hops++) {
        const xfc_op *op = v->def;
        const xfc_value *x = op->n_in == 1 ? op->in[0].value : NULL;
        uint32_t d = leading(c, &v->type);
        if (!x || d == v->type.rank) break;
        if (op->code == XFC_OP_EXPAND) {
            uint32_t added = v->type.rank - x->type.rank;
            if (d < added || xfc_int_is(c, x->type.dim[d - added], 1)) return v->type.dim[d];
        } else if (op->code != XFC_OP_RESHAPE && op->code != XFC_OP_TRANSPOSE) {
            break;
        }
        v = x;
    }
    return XFC_INT_NONE;
}

static xfc_value *once(xfc_builder *b, xfc_value *v, xfc_int n, uint32_t hops);

/* The view `op` on one copy; dim is its type without the digit. */
static xfc_value *view_once(xfc_builder *b, const xfc_op *op, xfc_int n, const xfc_int *dim, uint32_t at,
                            uint32_t hops) {
    xfc_value *x = op->in[0].value;
    uint32_t rank = op->out[0].type.rank;
    if (op->code == XFC_OP_EXPAND) {
        uint32_t added = rank - x->type.rank;
        bool repeats = at < added || xfc_int_is(b->graph->ctx, x->type.dim[at - added], 1);
        if (!repeats) x = once(b, x, n, hops - 1);
        return x ? xfc_b_expand(b, x, dim, rank) : NULL;
    }
    if (op->code == XFC_OP_TRANSPOSE &&
        xfc_op_attr(op, XFC_K_PERM)->u.ints[at] != (int64_t)leading(b->graph->ctx, &x->type))
        return NULL;
    if (op->code != XFC_OP_TRANSPOSE && op->code != XFC_OP_RESHAPE) return NULL;
    x = once(b, x, n, hops - 1);
    if (!x) return NULL;
    return op->code == XFC_OP_RESHAPE ? xfc_b_reshape(b, x, dim, rank)
                                      : xfc_b_transpose(b, x, xfc_op_attr(op, XFC_K_PERM)->u.ints);
}

/* v, whose outermost digit of n steps repeats the same elements, with one step of it; NULL if that cannot be shown. */
static xfc_value *once(xfc_builder *b, xfc_value *v, xfc_int n, uint32_t hops) {
    xfc_ctx *c = b->graph->ctx;
    xfc_int dim[XFC_MAX_RANK];
    uint32_t at = leading(c, &v->type);
    if (hops == 0 || !v->def || v->def->n_in != 1 || at == v->type.rank) return NULL;
    for (uint32_t d = 0; d < v->type.rank; d++) dim[d] = v->type.dim[d];
    if (!xfc_int_exact(c, dim[at], n, &dim[at])) return NULL;
    return view_once(b, v->def, n, dim, at, hops);
}

/* [n * inner, rows, columns] as [n, inner, rows, columns]. */
static xfc_value *apart(xfc_builder *b, xfc_value *v, xfc_int n, xfc_int inner) {
    const xfc_int dim[4] = {n, inner, v->type.dim[1], v->type.dim[2]};
    return xfc_b_reshape(b, v, dim, 4);
}

/* The product with operand i taken once. */
static xfc_value *with_once(xfc_builder *b, const xfc_op *op, uint32_t i) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *in[2] = {op->in[0].value, op->in[1].value};
    const xfc_type *out = &op->out[0].type, *t = &in[i]->type, *other = &in[1 - i]->type;
    xfc_int n = repeated(c, in[i]), inner;
    bool aligned = t->rank == out->rank && other->rank == out->rank && xfc_int_same(t->dim[0], other->dim[0]);
    if (!xfc_int_known(n) || !aligned || leading(c, t) != 0 || !xfc_int_exact(c, t->dim[0], n, &inner)) return NULL;
    bool joined = !xfc_int_is(c, inner, 1);
    if (joined && out->rank != 3) return NULL;
    in[i] = once(b, in[i], n, MAX_HOPS);
    if (!in[i]) return NULL;
    if (!joined) return xfc_b_matmul(b, in[0], in[1]);
    in[i] = apart(b, in[i], xfc_int_const(c, 1), inner);
    in[1 - i] = apart(b, in[1 - i], n, inner);
    xfc_value *r = xfc_b_matmul(b, in[0], in[1]);
    return r ? xfc_b_reshape(b, r, out->dim, out->rank) : NULL;
}

xfc_value *xfc_views_matmul(xfc_builder *b, const xfc_op *op) {
    if (op->out[0].type.rank < 3) return NULL;
    xfc_value *r = with_once(b, op, 1);
    return r ? r : with_once(b, op, 0);
}

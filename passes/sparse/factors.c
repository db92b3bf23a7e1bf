/* factors.c - a weight that is a product of two stays in its factors where that is less work.
 *
 * Models that were factorised in training may multiply their factors in the graph; multiplied out, what was
 * gained is lost. x @ (d @ s) becomes (x @ d) @ s if the elements of d and the nonzeros of s
 * are fewer than 0.7 of those of the product. Factors may be transposed, or the product.
 *
 *   %w = matmul %d, %s : f32[768, 3072];  %y = matmul %x, %w
 *   => %t = matmul %x, %d : f32[.., 256];  %y = matmul %t, %s
 *
 * Rounding differs, as the order of the sums does. Run it before the first fold.
 */
#include "ir/build.h"
#include "passes/sparse/sparse.h"

/* A constant of two dims, perhaps behind a transpose. */
static const xfc_tensor *constant(const xfc_value *v) {
    const xfc_tensor *t;
    if (v->def && v->def->code == XFC_OP_TRANSPOSE) v = v->def->in[0].value;
    return xfc_value_is_const(v, &t) && t->rank == 2 && xfc_dtype_is_float(t->dtype) ? t : NULL;
}

static int64_t nonzeros(const xfc_tensor *t) {
    const xfc_sparse_shape s = xfc_sparse_look(t);
    return s.nonzeros;
}

static xfc_value *turned(xfc_builder *b, xfc_value *v, bool turn) {
    return turn ? xfc_b_transpose(b, v, (const int64_t[]){1, 0}) : v;
}

/* Is it cheaper to multiply by one factor after the other? */
static bool worth_keeping(const xfc_op *product) {
    const xfc_tensor *a = constant(product->in[0].value), *b = constant(product->in[1].value);
    int64_t dim[2], whole;
    if (!a || !b || !xfc_type_static(product->graph->ctx, &product->out[0].type, dim, &whole)) return false;
    return 10 * (nonzeros(a) + nonzeros(b)) < 7 * whole;
}

static bool split(xfc_op *op) {
    if (op->code != XFC_OP_MATMUL || op->in[1].value->type.rank != 2 || !op->in[1].value->def) return false;
    xfc_op *product = op->in[1].value->def;
    bool turn = product->code == XFC_OP_TRANSPOSE && product->in[0].value->def;
    if (turn) product = product->in[0].value->def;
    if (product->code != XFC_OP_MATMUL || !worth_keeping(product)) return false;
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    xfc_value *first = product->in[turn ? 1 : 0].value, *second = product->in[turn ? 0 : 1].value;
    xfc_value *y = xfc_b_matmul(&b, op->in[0].value, turned(&b, first, turn));
    y = xfc_b_matmul(&b, y, turned(&b, second, turn));
    if (!y) return false;
    xfc_graph_note(op->graph, "factors", op->loc, "a weight that is a product of two stays in its factors");
    xfc_value_replace(&op->out[0], y);
    xfc_op_remove(op);
    return true;
}

bool xfc_factors(xfc_pass *p) {
    bool changed = false;
    xfc_foreach_op_safe(op, p->graph) changed |= split(op);
    return changed;
}

/* sparse.c - products with weights that are mostly zero are done by their nonzeros.
 *
 * Models that were factorised or pruned in training hold weights full of zeros. Where the columns of one have about as
 * many nonzeros each, few enough that skipping the zeros is faster for the tokens that there are, the weight is stored by its nonzeros. The sums are
 * the same but for the order of rounding; only where x is infinite or NaN does the dense product differ, since there 0 *
 * x is NaN. Weights that something else reads, too, stay.
 *
 *   %y = linear %x, %w, %b     (%w: 256 x 3072, 64 nonzeros a column)
 *   => %s = matmul_sparse %x, %rows, %values {size = [3072]};  %y = add %s, %b
 *
 * Run it after raise and fold, when weights are constants, and before merge and unpad.
 */
#include "passes/sparse/sparse.h"
#include "ir/build.h"

#include <inttypes.h>

enum { MANY = 128 }; /* tokens */

static bool is_product(const xfc_op *op) { return op->code == XFC_OP_LINEAR || op->code == XFC_OP_MATMUL; }

static bool only_products_read(const xfc_value *w) {
    xfc_foreach_use(use, w)
        if (!is_product(use->user) || use != &use->user->in[1]) return false;
    return true;
}

/* How many rows are multiplied; many, if that is open. */
static double tokens_of(const xfc_op *op) {
    const xfc_type *x = &op->in[0].value->type;
    double n = 1;
    for (uint32_t d = 0; d + 1 < x->rank; d++) {
        int64_t size;
        if (!xfc_int_value(op->graph->ctx, x->dim[d], &size)) return MANY;
        n *= (double)size;
    }
    return n;
}

static bool make_sparse(xfc_op *op) {
    const xfc_tensor *w;
    if (!is_product(op) || !xfc_value_is_const(op->in[1].value, &w) || w->rank != 2) return false;
    if (!xfc_dtype_is_float(w->dtype) || !only_products_read(op->in[1].value)) return false;
    const double tokens = tokens_of(op);
    if (!xfc_sparse_may_pay(w, tokens)) return false;
    const xfc_sparse_shape s = xfc_sparse_look(w);
    if (xfc_sparse_work(&s, tokens) > (double)s.rows * (double)s.columns) return false;
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    xfc_value *y = xfc_b_sparse(&b, op->in[0].value, w, w->dtype);
    if (op->n_in > 2 && op->in[2].value) y = xfc_b_binary(&b, XFC_OP_ADD, y, op->in[2].value);
    if (!y) return false;
    xfc_graph_note(op->graph, "sparse", op->loc,
                   "a weight of %" PRId64 " x %" PRId64 " is done by its %" PRId64 " nonzeros (at most %" PRId64
                   " a column): %" PRId64 " instead of %zu bytes",
                   s.rows, s.columns, s.nonzeros, s.most, xfc_sparse_bytes(&s, w->dtype), w->bytes);
    xfc_value_replace(&op->out[0], y);
    xfc_op_remove(op);
    return true;
}

bool xfc_sparse(xfc_pass *p) {
    bool changed = false;
    xfc_foreach_op_safe(op, p->graph) changed |= make_sparse(op);
    return changed;
}

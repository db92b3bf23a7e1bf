/* loss.c - the losses: scores of classes at the targets, weighted and reduced.
 *
 * scores [b, classes, d...], targets [b, d...]. A target that is to be ignored weighs nothing, whatever its number is.
 * A mean divides by the sum of the weights.
 */
#include "frontend/onnx/import.h"
#include <string.h>

typedef struct {
    xfc_value *ignored; /* bool [b, d...]; NULL: none is */
    xfc_value *target;  /* [b, 1, d...], those to be ignored as 0 */
    xfc_value *weight;  /* [b, d...]; NULL: all weigh 1 */
} picks;

static xfc_value *select_value(xfc_node *n, xfc_value *test, xfc_value *yes, xfc_value *no) {
    return test && yes && no ? xfc_b_select(n->b, test, yes, no) : NULL;
}

static bool check_shapes(xfc_node *n) {
    const xfc_type *x = &n->in[0]->type, *t = &n->in[1]->type;
    bool ok = x->rank >= 2 && t->rank + 1 == x->rank && xfc_dtype_is_float(x->dtype) && xfc_dtype_is_int(t->dtype);
    if (!ok)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "needs floating scores [batch, classes, ...] and integer targets [batch, ...]; export the "
                             "model again"),
               false;
    for (uint32_t d = 0; d < t->rank; d++)
        if (!xfc_n_equal(n, t->dim[d], x->dim[d ? d + 1 : 0], "the dims of scores and targets")) return false;
    return true;
}

static bool read_picks(xfc_node *n, picks *p) {
    xfc_value *target = n->in[1];
    const xfc_type *x = &n->in[0]->type;
    xfc_dtype t = target->type.dtype;
    xfc_int dim[XFC_MAX_RANK];
    *p = (picks){0};
    for (uint32_t d = 0; d < x->rank; d++) dim[d] = d == 1 ? xfc_int_const(n->ctx, 1) : x->dim[d];
    if (xfc_node_attr(n, "ignore_index")) {
        p->ignored = xfc_n2(n, XFC_OP_EQ, target, xfc_b_scalar_i(n->b, t, xfc_node_int(n, "ignore_index", 0)));
        target = select_value(n, p->ignored, xfc_b_scalar_i(n->b, t, 0), target);
    }
    if (xfc_node_has(n, 2)) {
        xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
        if (n->in[2]->type.rank != 1 || !xfc_n_equal(n, n->in[2]->type.dim[0], x->dim[1], "weights and classes"))
            return false;
        p->weight = target ? xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){n->in[2], target}, 2, &axis, 1) : NULL;
    }
    if (p->ignored) {
        xfc_value *one = xfc_nf(n, n->in[0], 1), *zero = xfc_nf(n, n->in[0], 0);
        p->weight = select_value(n, p->ignored, zero, p->weight ? p->weight : one);
    }
    p->target = target ? xfc_b_reshape(n->b, target, dim, x->rank) : NULL;
    return p->target != NULL;
}

static xfc_value *total(xfc_node *n, xfc_value *v) {
    int64_t axes[XFC_MAX_RANK];
    for (uint32_t d = 0; v && d < v->type.rank; d++) axes[d] = d;
    return v ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, v, axes, v->type.rank, false) : NULL;
}

/* log_prob [b, classes, d...]: - log_prob at the targets, weighted, reduced. */
static xfc_value *negative_log_likelihood(xfc_node *n, xfc_value *log_prob) {
    const char *reduction = xfc_node_str(n, "reduction", "mean");
    picks p;
    if (strcmp(reduction, "none") != 0 && strcmp(reduction, "sum") != 0 && strcmp(reduction, "mean") != 0) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'reduction' must be none, sum or mean; export the model again");
        return NULL;
    }
    if (!read_picks(n, &p)) return NULL;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    xfc_value *in[] = {log_prob, p.target};
    xfc_value *loss = log_prob ? xfc_n1(n, XFC_OP_NEG, xfc_build(n->b, XFC_OP_GATHER_ELEMENTS, in, 2, &axis, 1)) : NULL;
    if (loss) loss = xfc_b_reshape(n->b, loss, n->in[1]->type.dim, n->in[1]->type.rank);
    if (p.ignored)
        loss = select_value(n, p.ignored, xfc_nf(n, loss, 0), loss); /* an infinite one counts nothing, too */
    if (p.weight) loss = xfc_n2(n, XFC_OP_MUL, loss, p.weight);
    if (reduction[0] == 'n') return loss;
    if (reduction[0] == 's') return total(n, loss);
    if (p.weight) return xfc_n2(n, XFC_OP_DIV, total(n, loss), total(n, p.weight));
    int64_t axes[XFC_MAX_RANK];
    for (uint32_t d = 0; loss && d < loss->type.rank; d++) axes[d] = d;
    return loss ? xfc_b_reduce(n->b, XFC_OP_REDUCE_MEAN, loss, axes, loss->type.rank, false) : NULL;
}

void xfc_import_nll_loss(xfc_node *n) {
    if (check_shapes(n)) n->out[0] = negative_log_likelihood(n, n->in[0]);
}

void xfc_import_softmax_loss(xfc_node *n) {
    const int64_t classes[1] = {1};
    if (!check_shapes(n)) return;
    xfc_value *x = n->in[0], *most = xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, x, classes, 1, true);
    xfc_value *shifted = xfc_n2(n, XFC_OP_SUB, x, most);
    xfc_value *sum = xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, xfc_n1(n, XFC_OP_EXP, shifted), classes, 1, true);
    xfc_value *log_prob = xfc_n2(n, XFC_OP_SUB, shifted, xfc_n1(n, XFC_OP_LOG, sum));
    n->out[0] = negative_log_likelihood(n, log_prob);
    if (xfc_node_wants(n, 1)) n->out[1] = log_prob;
}

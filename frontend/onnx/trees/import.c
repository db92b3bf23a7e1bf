/* import.c - TreeEnsemble, TreeEnsembleRegressor and TreeEnsembleClassifier: votes of trees (trees.h), made scores. */
#include "frontend/onnx/text/text.h"
#include "frontend/onnx/trees/trees.h"

void xfc_import_tree_ensemble(xfc_node *n) {
    xfc_trees t = {.n = n, .ne_is_nan = true};
    xfc_value *v = xfc_trees_read(&t) ? xfc_scores_finish(n, t.post, xfc_trees_walk(&t)) : NULL;
    n->out[0] = v ? xfc_b_cast(n->b, v, n->in[0]->type.dtype) : NULL;
}

void xfc_import_tree_regressor(xfc_node *n) {
    xfc_trees t = {.n = n};
    xfc_value *v = xfc_trees_read_old(&t, "target") ? xfc_scores_finish(n, t.post, xfc_trees_walk(&t)) : NULL;
    n->out[0] = v ? xfc_b_cast(n->b, v, XFC_F32) : NULL;
}

/* --- classes --- */

bool xfc_read_labels(xfc_node *n, xfc_labels *l) {
    const Onnx__AttributeProto *words = xfc_node_attr(n, "classlabels_strings");
    const int64_t *number;
    uint32_t count;
    bool counted = xfc_node_ints(n, xfc_node_attr(n, "classlabels_ints") ? "classlabels_ints" : "classlabels_int64s",
                                 &number, &count) &&
                   count;
    *l = (xfc_labels){.count = counted ? count : words ? (int64_t)words->n_strings : 0};
    if (n->status == XFC_OK && l->count < 2)
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' must list two classes or more; export the model again",
                      counted ? "classlabels_int64s" : "classlabels_strings");
    if (n->status != XFC_OK) return false;
    if (counted)
        l->numbers = xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_I64, 1, &l->count, number, NULL));
    else if (words)
        l->texts = xfc_texts_of(n, words->strings, words->n_strings);
    return l->texts || l->numbers;
}

void xfc_label(xfc_node *n, const xfc_labels *l, xfc_value *best) {
    n->out[0] = l->texts ? best : xfc_texts_gather(n, l->numbers, best);
    n->out_texts[0] = l->texts;
}

/* Two classes of which one has votes. The definition does not say what they make of the other; here is what onnxruntime
 * computes, where that is the same for all rows and transforms that it leaves alone. Votes for the second class leave the
 * score of the first 0; those for the first are for the second, and the first is the rest up to 1, or the opposite where
 * votes may be negative. *label: above which the second class wins. */
static xfc_value *two_of_one(xfc_trees *t, double *label) {
    xfc_node *n = t->n;
    const int64_t target = t->vote[0].target;
    bool positive = true;
    for (uint32_t i = 0; i < t->n_votes; i++) positive = positive && t->vote[i].weight >= 0;
    *label = positive ? 0.5 : 0;
    if ((target == 1 ? t->base.n > 0 : t->base.n > 1) || (t->post != XFC_TREES_NONE && t->post != XFC_TREES_LOGISTIC)) {
        xfc_node_fail(
            n, XFC_ERR_UNSUPPORTED,
            "has votes for one of its two classes, whose meaning with %s nobody says; give each class its votes",
            t->post != XFC_TREES_NONE && t->post != XFC_TREES_LOGISTIC ? "this post_transform" : "these base_values");
        return NULL;
    }
    if (target == 1) return xfc_trees_walk(t);
    t->n_targets = 1;
    xfc_value *v = xfc_trees_walk(t), *rest = v ? xfc_n1(n, XFC_OP_NEG, v) : NULL;
    if (positive && t->post == XFC_TREES_NONE) rest = xfc_n2(n, XFC_OP_ADD, rest, xfc_nf(n, v, 1));
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    return rest ? xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){rest, v}, 2, &axis, 1) : NULL;
}

/* The number of the class of each row: that with the largest score, or the second one where its score is above `label`. */
static xfc_value *best_of(xfc_node *n, xfc_value *v, bool one, double label) {
    if (!one) return xfc_n_arg_extreme(n, v, XFC_OP_REDUCE_MAX, 1, false, false);
    const xfc_int first = xfc_int_const(n->ctx, 1), dim[1] = {v->type.dim[0]};
    xfc_value *score = xfc_b_slice_axis(n->b, v, 1, first, first, 1);
    score = xfc_n2(n, XFC_OP_GT, score, xfc_nf(n, score, label));
    return score ? xfc_b_reshape(n->b, xfc_b_cast(n->b, score, XFC_I64), dim, 1) : NULL;
}

void xfc_import_tree_classifier(xfc_node *n) {
    xfc_trees t = {.n = n};
    xfc_labels l;
    bool one = true;
    if (!xfc_read_labels(n, &l)) return;
    t.n_targets = l.count;
    if (!xfc_trees_read_old(&t, "class")) return;
    for (uint32_t i = 1; i < t.n_votes; i++) one = one && t.vote[i].target == t.vote[0].target;
    double label = 0;
    one = one && t.n_targets == 2 && t.n_votes;
    xfc_value *v = one ? two_of_one(&t, &label) : xfc_trees_walk(&t);
    if (!v) return;
    xfc_value *best = best_of(n, v, one, label);
    v = xfc_scores_finish(n, t.post, v);
    xfc_label(n, &l, best);
    if (xfc_node_wants(n, 1)) n->out[1] = v ? xfc_b_cast(n->b, v, XFC_F32) : NULL;
}

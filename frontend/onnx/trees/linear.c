/* linear.c - what pipelines of scikit-learn have in front of a model of ai.onnx.ml and behind an encoder: Scaler, Normalizer,
 * Imputer, OneHotEncoder, LinearRegressor and LinearClassifier. All but a tensor of strings is computed in f32.
 */
#include "frontend/onnx/text/text.h"
#include "frontend/onnx/trees/trees.h"
#include <math.h>
#include <string.h>

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }

/* Operand 0 in f32, rows [.., features]; one row may be a list. */
xfc_value *xfc_feature_rows(xfc_node *n) {
    if (n->in[0]->type.rank) return xfc_b_cast(n->b, n->in[0], XFC_F32);
    return xfc_node_fail(n, XFC_ERR_INPUT, "takes rows of features, not a scalar; export the model again"), NULL;
}

static xfc_value *numbers(xfc_node *n, const float *data, uint32_t rank, const int64_t *dim) {
    return xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_F32, rank, dim, data, NULL));
}

/* A list of floats, one for each feature of x or one for all; NULL: absent, or the node has failed. */
static xfc_value *each(xfc_node *n, const xfc_value *x, const char *name) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, name);
    const int64_t count = a ? (int64_t)a->n_floats : 0;
    return count && x ? xfc_n_fitting(n, numbers(n, a->floats, 1, &count), x, name) : NULL;
}

void xfc_import_scaler(xfc_node *n) {
    xfc_value *x = xfc_feature_rows(n), *offset = each(n, x, "offset"), *scale = each(n, x, "scale");
    if (offset) x = op(n, XFC_OP_SUB, x, offset);
    n->out[0] = scale ? op(n, XFC_OP_MUL, x, scale) : x;
}

/* By the largest element as it is, whatever its sign; a row of zeros stays one. */
void xfc_import_normalizer(xfc_node *n) {
    const char *norm = xfc_node_str(n, "norm", "MAX");
    const bool square = !strcmp(norm, "L2"), sums = square || !strcmp(norm, "L1");
    xfc_value *x = xfc_feature_rows(n);
    if (!sums && strcmp(norm, "MAX") != 0)
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'norm' must be MAX, L1 or L2, not '%.80s'", norm);
    if (n->status != XFC_OK || !x) return;
    const int64_t last[1] = {(int64_t)x->type.rank - 1};
    xfc_value *size = square ? op(n, XFC_OP_MUL, x, x) : sums ? xfc_n1(n, XFC_OP_ABS, x) : x;
    size = size ? xfc_b_reduce(n->b, sums ? XFC_OP_REDUCE_SUM : XFC_OP_REDUCE_MAX, size, last, 1, true) : NULL;
    if (square) size = xfc_n1(n, XFC_OP_SQRT, size);
    xfc_value *none = op(n, XFC_OP_EQ, size, xfc_nf(n, size, 0));
    n->out[0] = op(n, XFC_OP_DIV, x, xfc_n_select(n, none, xfc_nf(n, size, 1), size));
}

/* Integers in place of one integer, for each feature or for all. */
static void fill_integers(xfc_node *n) {
    const int64_t *fill;
    uint32_t count;
    xfc_value *x = n->in[0];
    const xfc_dtype type = x->type.dtype;
    if (!xfc_dtype_is_int(type) || type == XFC_BOOL || !xfc_node_ints(n, "imputed_value_int64s", &fill, &count) ||
        !count) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "has no numbers to fill in of the type of its operand; export the model again");
        return;
    }
    xfc_value *missing =
        op(n, XFC_OP_EQ, xfc_b_cast(n->b, x, XFC_I64), xfc_ni(n, xfc_node_int(n, "replaced_value_int64", 0)));
    xfc_value *to = xfc_n_fitting(n, xfc_b_ints(n->b, fill, count), x, "the numbers to fill in");
    n->out[0] = to ? xfc_n_select(n, missing, xfc_b_cast(n->b, to, type), x) : NULL;
}

void xfc_import_imputer(xfc_node *n) {
    const double replaced = xfc_node_float(n, "replaced_value_float", 0);
    if (!xfc_dtype_is_float(n->in[0]->type.dtype) || !xfc_node_attr(n, "imputed_value_floats")) {
        fill_integers(n);
        return;
    }
    xfc_value *x = xfc_feature_rows(n), *fill = each(n, x, "imputed_value_floats");
    xfc_value *missing = isnan(replaced) ? xfc_n1(n, XFC_OP_ISNAN, x) : op(n, XFC_OP_EQ, x, xfc_nf(n, x, replaced));
    n->out[0] = xfc_n_select(n, missing, fill, x);
}

/* All operands side by side, each as wide as `inputdimensions` says; a list is a row. */
void xfc_import_feature_vectorizer(xfc_node *n) {
    const int64_t *size;
    uint32_t count = 0;
    bool given = xfc_node_ints(n, "inputdimensions", &size, &count);
    xfc_value **part = xfc_new_array(n->im->arena, xfc_value *, n->n_in + 1);
    if (n->status == XFC_OK && given && count != n->n_in)
        xfc_node_fail(n, XFC_ERR_INPUT, "has %u sizes for %u operands; export the model again", count, n->n_in);
    for (uint32_t i = 0; i < n->n_in && n->status == XFC_OK; i++) {
        xfc_value *v = n->in[i];
        if (!v || v->type.rank < 1 || v->type.rank > 2) {
            xfc_node_fail(n, XFC_ERR_INPUT, "takes rows of features, of one dim or two; export the model again");
            return;
        }
        const xfc_int *d = v->type.dim, one = xfc_int_const(n->ctx, 1);
        if (v->type.rank == 1) v = xfc_b_reshape(n->b, v, (xfc_int[]){one, d[0]}, 2);
        if (!v || (given && !xfc_n_equal(n, v->type.dim[1], xfc_int_const(n->ctx, size[i]), "an operand and its size")))
            return;
        part[i] = xfc_b_cast(n->b, v, XFC_F32);
    }
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    if (n->status == XFC_OK) n->out[0] = xfc_build(n->b, XFC_OP_CONCAT, part, n->n_in, &axis, 1);
}

/* The number of the category that each element is, i64, or -1. */
static xfc_value *categories(xfc_node *n, int64_t *count) {
    const Onnx__AttributeProto *words = xfc_node_attr(n, "cats_strings");
    const int64_t *number;
    uint32_t given;
    if (n->in_texts[0]) {
        const xfc_texts *cats = words && words->n_strings ? xfc_texts_of(n, words->strings, words->n_strings) : NULL;
        *count = words ? (int64_t)words->n_strings : 0;
        return cats ? xfc_texts_gather(n, xfc_texts_find(n, cats, n->in_texts[0]), n->in[0]) : NULL;
    }
    if (!xfc_node_ints(n, "cats_int64s", &number, &given)) return NULL;
    *count = given;
    const uint32_t rank = n->in[0]->type.rank;
    xfc_value *x = xfc_b_cast(n->b, n->in[0], XFC_I64), *list = xfc_b_ints(n->b, number, given);
    if (rank == XFC_MAX_RANK || !x || !list) return NULL;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) dim[d] = x->type.dim[d];
    dim[rank] = xfc_int_const(n->ctx, 1);
    const int64_t last[1] = {rank};
    xfc_value *same = op(n, XFC_OP_EQ, xfc_b_reshape(n->b, x, dim, rank + 1), list);
    xfc_value *at = xfc_n_select(n, same, xfc_n_count(n, given), xfc_ni(n, -1));
    return at && given ? xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, at, last, 1, false) : NULL;
}

void xfc_import_one_hot_encoder(xfc_node *n) {
    int64_t count = 0;
    xfc_value *at = categories(n, &count);
    if (n->status != XFC_OK || !at) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT, "lists no categories of the type of its operand; export the model again");
        return;
    }
    if (!xfc_node_flag(n, "zeros", true)) at = xfc_n_within(n, at, xfc_int_const(n->ctx, count - 1));
    xfc_int dim[XFC_MAX_RANK];
    const uint32_t rank = n->in[0]->type.rank;
    for (uint32_t d = 0; d < rank; d++) dim[d] = n->in[0]->type.dim[d];
    dim[rank] = xfc_int_const(n->ctx, 1);
    at = at && rank < XFC_MAX_RANK ? xfc_b_reshape(n->b, at, dim, rank + 1) : NULL;
    xfc_value *hit = op(n, XFC_OP_EQ, at, xfc_n_count(n, (uint32_t)count));
    n->out[0] = hit ? xfc_b_cast(n->b, hit, XFC_F32) : NULL;
}

/* --- linear models --- */

/* x coefficients^T + intercepts, of which there are `targets`, behind which comes post_transform. */
static xfc_value *linear(xfc_node *n, int64_t targets) {
    const Onnx__AttributeProto *c = xfc_node_attr(n, "coefficients");
    xfc_value *x = xfc_feature_rows(n);
    if (n->status != XFC_OK || !x) return NULL;
    if (targets < 1 || !c || !c->n_floats || c->n_floats % (size_t)targets || x->type.rank > 2)
        return xfc_node_fail(n, XFC_ERR_INPUT, "needs rows of features, and coefficients for each of %lld targets",
                             (long long)targets),
               NULL;
    const int64_t dim[2] = {targets, (int64_t)c->n_floats / targets};
    const xfc_int one = xfc_int_const(n->ctx, 1), features = x->type.dim[x->type.rank - 1];
    if (!xfc_n_equal(n, features, xfc_int_const(n->ctx, dim[1]), "the features and the coefficients")) return NULL;
    if (x->type.rank == 1) x = xfc_b_reshape(n->b, x, (xfc_int[]){one, features}, 2);
    xfc_value *w = numbers(n, c->floats, 2, dim), *v = x && w ? xfc_b_matmul(n->b, x, xfc_b_swap_last(n->b, w)) : NULL;
    xfc_value *more = each(n, v, "intercepts");
    return more ? op(n, XFC_OP_ADD, v, more) : v;
}

void xfc_import_linear_regressor(xfc_node *n) {
    xfc_trees_post post = xfc_read_post(n);
    n->out[0] = xfc_scores_finish(n, post, linear(n, xfc_node_int(n, "targets", 1)));
}

void xfc_import_linear_classifier(xfc_node *n) {
    xfc_labels l;
    xfc_trees_post post = xfc_read_post(n);
    if (!xfc_read_labels(n, &l)) return;
    xfc_value *v = linear(n, l.count);
    if (!v) return;
    xfc_label(n, &l, xfc_n_arg_extreme(n, v, XFC_OP_REDUCE_MAX, 1, false, false));
    if (xfc_node_wants(n, 1)) n->out[1] = xfc_scores_finish(n, post, v);
}

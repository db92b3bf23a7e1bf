/* svm.c - SVMRegressor and SVMClassifier (ai.onnx.ml): kernels of rows with support vectors, and products of those.
 *
 * A classifier compares each pair of classes; the class that wins most comparisons is the label, the first of several. What the
 * definition leaves open is as onnxruntime has it: the scores are those of the pairs, of two classes the score and its opposite.
 * Probabilities of classes are made from those of pairs by the iteration of Wu, Lin and Weng, whose rows stop each by itself. All is in f32.
 */
#include "frontend/onnx/control/steps.h"
#include "frontend/onnx/trees/trees.h"
#include <string.h>

enum { MOST_CLASSES = 64, MOST_PROBABLE = 16, ITERATIONS = 100 };

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }

typedef struct {
    xfc_node *n;
    const float *weight, *rho, *a, *b; /* coefficients; a and b: of probabilities, or NULL */
    size_t n_weight, n_rho;
    xfc_value *kernel;         /* [rows, vectors], or rows as they are where there are none */
    int64_t vectors, features; /* vectors: 0 where the model is linear */
} svm;

static const float *floats(xfc_node *n, const char *name, size_t *count) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, name);
    *count = a ? a->n_floats : 0;
    return *count ? a->floats : NULL;
}

/* [rows, columns] */
static xfc_value *matrix(xfc_node *n, const float *data, int64_t rows, int64_t columns) {
    const int64_t dim[2] = {rows, columns};
    return xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_F32, 2, dim, data, NULL));
}

/* x [rows, features] with each of the support vectors [vectors, features]. */
static xfc_value *kernel_of(xfc_node *n, xfc_value *x, xfc_value *vectors) {
    const char *kind = xfc_node_str(n, "kernel_type", "LINEAR");
    size_t count;
    const float *given = floats(n, "kernel_params", &count);
    const double gamma = count > 0 ? (double)given[0] : 0, shift = count > 1 ? (double)given[1] : 0,
                 degree = count > 2 ? (double)given[2] : 0;
    if (!x || !vectors || n->status != XFC_OK) return NULL;
    if (!strcmp(kind, "RBF")) {
        xfc_value *far = xfc_n_square_distances(n, x, vectors);
        return xfc_n1(n, XFC_OP_EXP, with(n, XFC_OP_MUL, far, -gamma));
    }
    xfc_value *product = xfc_b_matmul(n->b, x, xfc_b_swap_last(n->b, vectors));
    if (!strcmp(kind, "LINEAR")) return product;
    product = with(n, XFC_OP_ADD, with(n, XFC_OP_MUL, product, gamma), shift);
    if (!strcmp(kind, "POLY")) return with(n, XFC_OP_POW, product, degree);
    if (!strcmp(kind, "SIGMOID")) return xfc_n1(n, XFC_OP_TANH, product);
    return xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'kernel_type' must be LINEAR, POLY, RBF or SIGMOID, not '%.80s'",
                         kind),
           NULL;
}

/* Of `vectors` support vectors; targets: rows of coefficients where there are none. */
static bool read_svm(xfc_node *n, int64_t vectors, int64_t targets, svm *s) {
    size_t count;
    const float *support = floats(n, "support_vectors", &count);
    *s = (svm){.n = n, .vectors = vectors};
    s->weight = floats(n, "coefficients", &s->n_weight);
    s->rho = floats(n, "rho", &s->n_rho);
    xfc_value *x = xfc_feature_rows(n);
    if (n->status != XFC_OK || !x) return false;
    bool fine = s->weight && s->rho && x->type.rank <= 2 && vectors >= 0 && vectors <= XFC_DIM_MAX;
    if (fine && vectors) fine = count && count % (size_t)vectors == 0;
    if (fine && !vectors) fine = s->n_weight % (size_t)targets == 0;
    if (!fine)
        return xfc_node_fail(
                   n, XFC_ERR_INPUT,
                   "needs rows of features, coefficients, rho, and as many elements of support vectors as divide "
                   "among them; export the model again"),
               false;
    s->features = (int64_t)(vectors ? count / (size_t)vectors : s->n_weight / (size_t)targets);
    const xfc_int features = xfc_int_const(n->ctx, s->features), one = xfc_int_const(n->ctx, 1);
    if (x->type.rank == 1) x = xfc_b_reshape(n->b, x, (xfc_int[]){one, x->type.dim[0]}, 2);
    if (!xfc_n_equal(n, x->type.dim[1], features, "the features and those of the model")) return false;
    s->kernel = vectors ? kernel_of(n, x, matrix(n, support, vectors, s->features)) : x;
    return s->kernel != NULL;
}

/* --- regression --- */

void xfc_import_svm_regressor(xfc_node *n) {
    svm s;
    const int64_t vectors = xfc_node_int(n, "n_supports", 0);
    if (xfc_read_post(n) != XFC_TREES_NONE && n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                      "has a post_transform, which runtimes leave out; export it as operators behind");
    if (n->status != XFC_OK || !read_svm(n, vectors, 1, &s)) return;
    const int64_t count = vectors ? vectors : s.features;
    if ((int64_t)s.n_weight != count) {
        xfc_node_fail(n, XFC_ERR_INPUT, "has %zu coefficients, not %lld; export the model again", s.n_weight,
                      (long long)count);
        return;
    }
    xfc_value *y = xfc_b_matmul(n->b, s.kernel, matrix(n, s.weight, count, 1));
    y = with(n, XFC_OP_ADD, y, (double)s.rho[0]);
    if (xfc_node_flag(n, "one_class", false))
        y = xfc_n_select(n, with(n, XFC_OP_GT, y, 0), xfc_nf(n, y, 1), xfc_nf(n, y, -1));
    n->out[0] = y;
}

/* --- classes --- */

/* The score of each pair of classes, [rows, pairs]: the weights of the vectors of both, 0 of the others. */
static xfc_value *pair_scores(svm *s, int64_t classes, const int64_t *per_class) {
    xfc_node *n = s->n;
    const int64_t pairs = classes * (classes - 1) / 2, dim[2] = {s->vectors, pairs};
    int64_t first[MOST_CLASSES + 1] = {0}, pair = 0;
    for (int64_t i = 0; i < classes; i++) first[i + 1] = first[i] + per_class[i];
    float *weight = xfc_tensor_alloc(n->ctx, XFC_F32, 2, dim);
    memset(weight, 0, (size_t)s->vectors * (size_t)pairs * sizeof *weight);
    for (int64_t i = 0; i < classes; i++) {
        for (int64_t j = i + 1; j < classes; j++, pair++) {
            for (int64_t v = first[i]; v < first[i + 1]; v++)
                weight[v * pairs + pair] = s->weight[(j - 1) * s->vectors + v];
            for (int64_t v = first[j]; v < first[j + 1]; v++) weight[v * pairs + pair] = s->weight[i * s->vectors + v];
        }
    }
    xfc_value *w = xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_F32, 2, dim, weight, NULL));
    xfc_value *rho = xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_F32, 1, &pairs, s->rho, NULL));
    xfc_value *v = w ? xfc_b_matmul(n->b, s->kernel, w) : NULL;
    return op(n, XFC_OP_ADD, v, rho);
}

/* Of the pairs that each class wins the number is [rows, classes]: the class that has most. */
static xfc_value *winner(xfc_node *n, xfc_value *scores, int64_t classes) {
    const int64_t pairs = classes * (classes - 1) / 2, dim[2] = {pairs, classes};
    float *won = xfc_tensor_alloc(n->ctx, XFC_F32, 2, dim), *lost = xfc_tensor_alloc(n->ctx, XFC_F32, 2, dim);
    memset(won, 0, (size_t)(pairs * classes) * sizeof *won);
    memset(lost, 0, (size_t)(pairs * classes) * sizeof *lost);
    for (int64_t i = 0, pair = 0; i < classes; i++)
        for (int64_t j = i + 1; j < classes; j++, pair++) won[pair * classes + i] = lost[pair * classes + j] = 1;
    xfc_value *first = with(n, XFC_OP_GT, scores, 0), *second = first ? xfc_n1(n, XFC_OP_NOT, first) : NULL;
    if (!second) return NULL;
    xfc_value *a = xfc_b_matmul(n->b, xfc_b_cast(n->b, first, XFC_F32),
                                xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_F32, 2, dim, won, NULL))),
              *b = xfc_b_matmul(n->b, xfc_b_cast(n->b, second, XFC_F32),
                                xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_F32, 2, dim, lost, NULL)));
    xfc_value *votes = op(n, XFC_OP_ADD, a, b);
    return votes ? xfc_n_arg_extreme(n, votes, XFC_OP_REDUCE_MAX, 1, false, false) : NULL;
}

/* --- probabilities --- */

typedef struct {
    xfc_node *n;
    int64_t classes;
    xfc_value *q[MOST_PROBABLE][MOST_PROBABLE]; /* [rows, 1] each */
} coupling;

static xfc_value *column(xfc_node *n, xfc_value *v, int64_t i) {
    return v ? xfc_b_slice_axis(n->b, v, 1, xfc_int_const(n->ctx, i), xfc_int_const(n->ctx, 1), 1) : NULL;
}

/* The matrix whose quadratic form the probabilities make least, of those of pairs: r of i against j. */
static bool read_coupling(svm *s, xfc_value *scores, coupling *c) {
    xfc_node *n = s->n;
    xfc_value *r[MOST_PROBABLE][MOST_PROBABLE];
    const int64_t k = c->classes;
    for (int64_t i = 0, pair = 0; i < k; i++) {
        for (int64_t j = i + 1; j < k; j++, pair++) {
            xfc_value *z = with(n, XFC_OP_MUL, column(n, scores, pair), (double)s->a[pair]);
            z = xfc_n1(n, XFC_OP_NEG, with(n, XFC_OP_ADD, z, (double)s->b[pair]));
            z = xfc_n1(n, XFC_OP_SIGMOID, z);
            z = with(n, XFC_OP_MIN, with(n, XFC_OP_MAX, z, (double)1e-7f), (double)(1 - 1e-7f));
            r[i][j] = z, r[j][i] = op(n, XFC_OP_SUB, xfc_nf(n, z, 1), z);
        }
    }
    for (int64_t i = 0; i < k; i++) {
        xfc_value *sum = NULL;
        for (int64_t j = 0; j < k; j++) {
            if (j == i) continue;
            xfc_value *square = op(n, XFC_OP_MUL, r[j][i], r[j][i]);
            sum = sum ? op(n, XFC_OP_ADD, sum, square) : square;
            c->q[i][j] = i < j ? xfc_n1(n, XFC_OP_NEG, op(n, XFC_OP_MUL, r[j][i], r[i][j])) : c->q[j][i];
            if (!c->q[i][j]) return false;
        }
        if (!(c->q[i][i] = sum)) return false;
    }
    return true;
}

/* p behind one step, where rows whose error is small stay; *more: is there another? */
static xfc_value *improved(const coupling *c, xfc_value *p, xfc_value **more) {
    static const int64_t all[2] = {0, 1};
    xfc_node *n = c->n;
    const int64_t k = c->classes;
    xfc_value *part[MOST_PROBABLE], *slope[MOST_PROBABLE], *form = NULL, *error = NULL;
    for (int64_t i = 0; i < k; i++) part[i] = column(n, p, i), slope[i] = NULL;
    for (int64_t i = 0; i < k; i++) {
        for (int64_t j = 0; j < k; j++) {
            xfc_value *term = op(n, XFC_OP_MUL, c->q[i][j], part[j]);
            slope[i] = slope[i] ? op(n, XFC_OP_ADD, slope[i], term) : term;
        }
        xfc_value *term = op(n, XFC_OP_MUL, part[i], slope[i]);
        form = form ? op(n, XFC_OP_ADD, form, term) : term;
    }
    for (int64_t i = 0; i < k; i++) {
        xfc_value *e = xfc_n1(n, XFC_OP_ABS, op(n, XFC_OP_SUB, slope[i], form));
        error = error ? op(n, XFC_OP_MAX, error, e) : e;
    }
    xfc_value *stops = with(n, XFC_OP_LT, error, (double)0.005f / (double)k);
    for (int64_t i = 0; i < k; i++) {
        xfc_value *diff = op(n, XFC_OP_DIV, op(n, XFC_OP_SUB, form, slope[i]), c->q[i][i]);
        xfc_value *by = with(n, XFC_OP_ADD, diff, 1);
        part[i] = op(n, XFC_OP_ADD, part[i], diff);
        form = op(n, XFC_OP_ADD, form,
                  op(n, XFC_OP_MUL, diff,
                     op(n, XFC_OP_ADD, op(n, XFC_OP_MUL, diff, c->q[i][i]), with(n, XFC_OP_MUL, slope[i], 2))));
        form = op(n, XFC_OP_DIV, op(n, XFC_OP_DIV, form, by), by);
        for (int64_t j = 0; j < k; j++) {
            slope[j] = op(n, XFC_OP_DIV, op(n, XFC_OP_ADD, slope[j], op(n, XFC_OP_MUL, diff, c->q[i][j])), by);
            part[j] = op(n, XFC_OP_DIV, part[j], by);
            if (!part[j]) return NULL;
        }
    }
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    xfc_value *next = xfc_build(n->b, XFC_OP_CONCAT, part, (uint32_t)k, &axis, 1);
    xfc_value *goes = stops ? xfc_b_cast(n->b, xfc_n1(n, XFC_OP_NOT, stops), XFC_I32) : NULL;
    goes = goes ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, goes, all, 2, false) : NULL;
    *more = goes ? with(n, XFC_OP_GT, goes, 0) : NULL;
    return xfc_n_select(n, stops, p, next);
}

/* Of pairs' scores the probabilities of classes, [rows, classes]. */
static xfc_value *probabilities(svm *s, xfc_value *scores, int64_t classes) {
    xfc_node *n = s->n;
    coupling c = {.n = n, .classes = classes};
    if (!scores || !read_coupling(s, scores, &c)) return NULL;
    const xfc_int dim[2] = {scores->type.dim[0], xfc_int_const(n->ctx, classes)};
    const float even = 1.0F / (float)classes;
    xfc_value *p = xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_F32, 0, NULL, &even, NULL), dim, 2);
    xfc_value *trip = xfc_ni(n, ITERATIONS), *go = xfc_b_scalar_i(n->b, XFC_BOOL, 1), *carried[1] = {p}, *out[2];
    xfc_steps steps;
    if (!p || !trip || !go) return NULL;
    xfc_steps_begin(&steps, n, carried, 1);
    out[1] = improved(&c, steps.in, &out[0]);
    if (out[1]) out[1] = xfc_steps_next(&steps, 0, out[1]);
    xfc_op *loop = xfc_steps_end(&steps, trip, go, out[1] ? out : NULL, 0, XFC_INT_NONE);
    return loop ? &loop->out[0] : NULL;
}

/* The score of two classes as one of each: what is behind a transform says how the first follows from the second. */
static xfc_value *both(xfc_node *n, xfc_trees_post post, xfc_value *v) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    const bool opposite = post == XFC_TREES_NONE || post == XFC_TREES_LOGISTIC;
    xfc_value *two[2] = {v ? xfc_n1(n, XFC_OP_NEG, v) : NULL, v};
    if (!opposite) two[0] = with(n, XFC_OP_ADD, two[0], 1);
    if (!two[0]) return NULL;
    v = xfc_build(n->b, XFC_OP_CONCAT, two, 2, &axis, 1);
    return post == XFC_TREES_LOGISTIC ? xfc_scores_finish(n, post, v) : v;
}

/* Whether lists are as long as pairs of classes need them; *per_class: how many support vectors each has, NULL: none. */
static bool read_classes(xfc_node *n, int64_t classes, const int64_t **per_class, int64_t *vectors) {
    uint32_t count = 0;
    bool given = xfc_node_ints(n, "vectors_per_class", per_class, &count);
    *vectors = 0;
    if (n->status != XFC_OK) return false;
    for (uint32_t i = 0; given && i < count; i++) {
        if ((*per_class)[i] < 0 || (*per_class)[i] > XFC_DIM_MAX - *vectors)
            given = false;
        else
            *vectors += (*per_class)[i];
    }
    if (classes > MOST_CLASSES)
        return xfc_node_fail(n, XFC_ERR_LIMIT, "has %lld classes; the limit is %d", (long long)classes, MOST_CLASSES),
               false;
    if (given && count == classes && *vectors) return true;
    if (!given && !count && classes > 2) return true;
    return xfc_node_fail(
               n, XFC_ERR_UNSUPPORTED,
               "needs support vectors of each class, vectors_per_class, or of three classes or more none at all; "
               "of two use LinearClassifier"),
           false;
}

static bool check_pairs(svm *s, int64_t classes) {
    const size_t pairs = (size_t)(classes * (classes - 1) / 2);
    size_t n_a, n_b;
    xfc_node *n = s->n;
    s->a = floats(n, "prob_a", &n_a), s->b = floats(n, "prob_b", &n_b);
    if (s->n_weight != (size_t)(classes - 1) * (size_t)s->vectors || s->n_rho != pairs || (n_a && n_a != pairs) ||
        n_a != n_b)
        return xfc_node_fail(
                   n, XFC_ERR_INPUT,
                   "has not as many coefficients, rho, prob_a and prob_b as pairs of classes need; export again"),
               false;
    if (s->a && classes > MOST_PROBABLE)
        return xfc_node_fail(n, XFC_ERR_LIMIT, "has probabilities of %lld classes; the limit is %d", (long long)classes,
                             MOST_PROBABLE),
               false;
    return true;
}

void xfc_import_svm_classifier(xfc_node *n) {
    svm s;
    xfc_labels l;
    const int64_t *per_class = NULL;
    int64_t vectors;
    const xfc_trees_post post = xfc_read_post(n);
    if (!xfc_read_labels(n, &l) || !read_classes(n, l.count, &per_class, &vectors) ||
        !read_svm(n, vectors, l.count, &s))
        return;
    if (!vectors) {
        xfc_value *v = xfc_b_matmul(n->b, s.kernel, xfc_b_swap_last(n->b, matrix(n, s.weight, l.count, s.features)));
        if (!(v = with(n, XFC_OP_ADD, v, (double)s.rho[0]))) return;
        xfc_label(n, &l, xfc_n_arg_extreme(n, v, XFC_OP_REDUCE_MAX, 1, false, false));
        if (xfc_node_wants(n, 1)) n->out[1] = xfc_scores_finish(n, post, v);
        return;
    }
    if (!check_pairs(&s, l.count)) return;
    xfc_value *v = pair_scores(&s, l.count, per_class);
    if (!v) return;
    xfc_label(n, &l, winner(n, v, l.count));
    if (!xfc_node_wants(n, 1)) return;
    if (s.a)
        n->out[1] = xfc_scores_finish(n, post, probabilities(&s, v, l.count));
    else
        n->out[1] = l.count == 2 ? both(n, post, v) : xfc_scores_finish(n, post, v);
}

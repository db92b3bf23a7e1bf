/* trees.c - all rows go down all trees of an ensemble at once: a loop, whose steps are the levels.
 *
 * It carries a place for each row and tree, [rows, trees]: the number of an inner node, or behind those that of a leaf,
 * which follows itself. So there is one loop of gathers, whatever the trees look like, and it has as many steps as the
 * highest tree has inner nodes one below the other. Votes of the leaves are then scattered to their targets, tree by tree.
 */
#include "frontend/onnx/trees/trees.h"
#include "frontend/onnx/control/steps.h"
#include "ir/ops/ops.h"
#include <math.h>

static xfc_value *constant(xfc_node *n, xfc_dtype t, int64_t rows, int64_t columns, const void *data) {
    const int64_t dim[2] = {rows, columns};
    return xfc_b_const(n->b, xfc_tensor_new(n->ctx, t, columns ? 2 : 1, dim, data, NULL));
}

static void *list(xfc_node *n, xfc_dtype t, int64_t count) { return xfc_tensor_alloc(n->ctx, t, 1, &count); }

/* --- levels --- */

enum { NEW = 0, OPEN = -1 };

/* The inner place below `node` that comes next, or -1; its height from those that are done. */
static int32_t next_below(const xfc_trees *t, const int32_t *height, int32_t node, int32_t *highest) {
    *highest = 0;
    for (uint32_t i = 0; i < 4; i++) {
        int32_t to = t->next[node].at[i];
        if (to >= 0 && height[to] <= NEW) return to;
        if (to >= 0 && height[to] > *highest) *highest = height[to];
    }
    return -1;
}

/* How many inner nodes stand one below the other; -1: one is reached from itself. */
static int32_t levels(const xfc_trees *t) {
    xfc_arena *arena = t->n->im->arena;
    int32_t *height = xfc_new_array(arena, int32_t, t->n_inner + 1),
            *stack = xfc_new_array(arena, int32_t, t->n_inner + 1);
    int32_t most = 0, highest;
    for (uint32_t r = 0; r < t->n_roots; r++) {
        uint32_t depth = 0;
        if (t->root[r] < 0) continue;
        if (height[t->root[r]] == NEW) height[stack[depth++] = t->root[r]] = OPEN;
        while (depth) {
            int32_t node = stack[depth - 1], below = next_below(t, height, node, &highest);
            if (below >= 0 && height[below] == OPEN) return -1;
            if (below >= 0)
                height[stack[depth++] = below] = OPEN;
            else
                height[node] = highest + 1, depth--;
        }
        if (height[t->root[r]] > most) most = height[t->root[r]];
    }
    return most;
}

/* --- places --- */

typedef struct {
    xfc_value *x, *feature, *split, *next, *root; /* x [rows, features]; tables of places, next of four each */
    xfc_dtype type;                               /* in which numbers are compared and added */
} tables;

static int32_t place(const xfc_trees *t, int32_t at) { return at >= 0 ? at : (int32_t)t->n_inner + ~at; }

static bool make_tables(xfc_trees *t, tables *k) {
    xfc_node *n = t->n;
    const int64_t all = (int64_t)t->n_inner + t->n_leaves;
    int32_t *feature = list(n, XFC_I32, all), *next = list(n, XFC_I32, 4 * all), *root = list(n, XFC_I32, t->n_roots);
    void *split = list(n, k->type, all);
    for (int64_t i = 0; i < all; i++) {
        const bool inner = i < t->n_inner;
        feature[i] = inner ? t->feature[i] : 0;
        xfc_element_set_f(k->type, split, i, inner ? t->split[i] : 0);
        for (uint32_t j = 0; j < 4; j++) next[4 * i + j] = inner ? place(t, t->next[i].at[j]) : (int32_t)i;
    }
    for (uint32_t i = 0; i < t->n_roots; i++) root[i] = place(t, t->root[i]);
    k->feature = constant(n, XFC_I32, all, 0, feature);
    k->split = constant(n, k->type, all, 0, split);
    k->next = constant(n, XFC_I32, 4 * all, 0, next);
    k->root = constant(n, XFC_I32, t->n_roots, 0, root);
    return k->feature && k->split && k->next && k->root;
}

/* Operand 0 as [rows, features]; one row may be a list. */
static bool read_rows(xfc_trees *t, tables *k) {
    xfc_node *n = t->n;
    const xfc_type type = n->in[0]->type;
    xfc_int dim[2] = {xfc_int_const(n->ctx, 1), XFC_INT_NONE};
    int32_t most = 0;
    if (type.rank != 1 && type.rank != 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "takes [rows, features], not %s; export the model again",
                      xfc_type_text(n->ctx, &type));
        return false;
    }
    if (type.rank == 2) dim[0] = type.dim[0];
    dim[1] = type.dim[type.rank - 1];
    k->type = type.dtype == XFC_F64 || t->wide ? XFC_F64 : XFC_F32;
    for (uint32_t i = 0; i < t->n_inner; i++)
        if (t->feature[i] > most) most = t->feature[i];
    if (t->n_inner && !xfc_n_at_most(n, xfc_int_const(n->ctx, (int64_t)most + 1), dim[1],
                                     "the features that nodes compare and those of a row"))
        return false;
    k->x = xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[0], k->type), dim, 2);
    return k->x != NULL;
}

/* One level down, from places [rows, trees]. */
static xfc_value *below(xfc_node *n, const tables *k, xfc_value *at) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    xfc_value *feature = xfc_n_gather(n, k->feature, at, 0), *split = xfc_n_gather(n, k->split, at, 0);
    if (!feature || !split) return NULL;
    xfc_value *x = xfc_build(n->b, XFC_OP_GATHER_ELEMENTS, (xfc_value *[]){k->x, feature}, 2, &axis, 1);
    xfc_value *which = xfc_b_scalar_i(n->b, XFC_I32, 0);
    static const xfc_opcode from[] = {XFC_OP_GE, XFC_OP_GT};
    for (uint32_t i = 0; i < XFC_COUNT(from); i++) {
        xfc_value *reached = xfc_n2(n, from[i], x, split);
        which = xfc_n2(n, XFC_OP_ADD, which, reached ? xfc_b_cast(n->b, reached, XFC_I32) : NULL);
    }
    which = xfc_n_select(n, xfc_n1(n, XFC_OP_ISNAN, x), xfc_b_scalar_i(n->b, XFC_I32, 3), which);
    return xfc_n_gather(n, k->next,
                        xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, at, xfc_b_scalar_i(n->b, XFC_I32, 4)), which), 0);
}

/* The leaves that the rows come to, i32[rows, trees]. */
static xfc_value *go_down(xfc_trees *t, tables *k) {
    xfc_node *n = t->n;
    const int32_t depth = levels(t);
    if (depth < 0) return (void)xfc_trees_refuse(t, "nodes_truenodeids", "leads from a node back to it"), NULL;
    if (!read_rows(t, k) || !make_tables(t, k)) return NULL;
    xfc_int dim[2] = {k->x->type.dim[0], xfc_int_const(n->ctx, t->n_roots)};
    xfc_value *at = xfc_b_expand(n->b, k->root, dim, 2), *out[2];
    xfc_value *trip = xfc_ni(n, depth), *cond = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    if (at && depth) {
        xfc_steps s;
        xfc_steps_begin(&s, n, &at, 1);
        out[0] = cond, out[1] = below(n, k, &s.in[0]);
        xfc_op *op = xfc_steps_end(&s, trip, cond, out, 0, xfc_int_const(n->ctx, depth));
        at = op ? &op->out[0] : NULL;
    }
    return xfc_n2(n, XFC_OP_SUB, at, xfc_b_scalar_i(n->b, XFC_I32, t->n_inner));
}

/* --- votes --- */

static double nothing(const xfc_trees *t) {
    return t->aggregate == XFC_TREES_MIN ? (double)INFINITY : t->aggregate == XFC_TREES_MAX ? -(double)INFINITY : 0;
}

/* Tables [leaves, most votes of one]: of targets, and of what each gets. A vote that is none changes nothing. */
static bool vote_tables(xfc_trees *t, xfc_dtype type, xfc_value **target, xfc_value **weight) {
    xfc_node *n = t->n;
    int64_t most = 1, leaves = t->n_leaves;
    for (uint32_t i = 0, run = 0; i < t->n_votes; i++) {
        run = i && t->vote[i].leaf == t->vote[i - 1].leaf ? run + 1 : 1;
        if (run > most) most = run;
    }
    if (leaves * most > (1 << 24) && leaves * most / 4 > t->n_votes) {
        xfc_node_fail(n, XFC_ERR_LIMIT,
                      "has a leaf with %lld votes, and %lld leaves with %u together; spread them over more leaves",
                      (long long)most, (long long)leaves, t->n_votes);
        return false;
    }
    int64_t *to = list(n, XFC_I64, leaves * most);
    void *what = list(n, type, leaves * most);
    for (int64_t i = 0; i < leaves * most; i++) to[i] = 0, xfc_element_set_f(type, what, i, nothing(t));
    for (uint32_t i = 0, run = 0; i < t->n_votes; i++) {
        const xfc_tree_vote *v = &t->vote[i];
        run = i && v->leaf == t->vote[i - 1].leaf ? run + 1 : 0;
        to[v->leaf * most + run] = v->target;
        xfc_element_set_f(type, what, v->leaf * most + run, v->weight);
    }
    *target = constant(n, XFC_I64, leaves, most, to);
    *weight = constant(n, type, leaves, most, what);
    return *target && *weight;
}

/* table[leaf], [rows, trees * most] */
static xfc_value *votes_of(xfc_node *n, xfc_value *table, xfc_value *leaf) {
    xfc_value *v = xfc_n_gather(n, table, leaf, 0);
    if (!v) return NULL;
    xfc_int dim[2] = {v->type.dim[0], xfc_int_mul(n->ctx, v->type.dim[1], v->type.dim[2])};
    return xfc_b_reshape(n->b, v, dim, 2);
}

/* Their sum or extreme for each target, [rows, targets]; 0 for one without a vote. */
static xfc_value *aggregate(xfc_trees *t, const tables *k, xfc_value *leaf) {
    static const int64_t reduction[] = {[XFC_TREES_AVERAGE] = 1,
                                        [XFC_TREES_SUM] = 1,
                                        [XFC_TREES_MIN] = 4,
                                        [XFC_TREES_MAX] = 3}; /* of scatter_elements */
    xfc_node *n = t->n;
    xfc_value *target, *weight;
    if (!leaf || !vote_tables(t, k->type, &target, &weight)) return NULL;
    xfc_int dim[2] = {leaf->type.dim[0], xfc_int_const(n->ctx, t->n_targets)};
    xfc_value *none = xfc_b_scalar_f(n->b, k->type, nothing(t)), *zero = xfc_b_scalar_f(n->b, k->type, 0);
    xfc_value *in[] = {none ? xfc_b_expand(n->b, none, dim, 2) : NULL, votes_of(n, target, leaf),
                       votes_of(n, weight, leaf)};
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_int(XFC_K_REDUCTION, reduction[t->aggregate])};
    if (!in[0] || !in[1] || !in[2]) return NULL;
    xfc_value *v = xfc_build(n->b, XFC_OP_SCATTER_ELEMENTS, in, 3, attr, 2);
    if (t->aggregate == XFC_TREES_AVERAGE) return xfc_n2(n, XFC_OP_DIV, v, xfc_nf(n, v, t->n_roots));
    if (t->aggregate == XFC_TREES_SUM) return v;
    return xfc_n_select(n, xfc_n2(n, XFC_OP_EQ, v, none), zero, v);
}

xfc_value *xfc_trees_walk(xfc_trees *t) {
    xfc_node *n = t->n;
    tables k = {0};
    xfc_value *v = aggregate(t, &k, go_down(t, &k));
    if (!v || !t->base.n) return v;
    if (t->base.n != t->n_targets)
        return (void)xfc_trees_refuse(t, "base_values", "has not one number for each target"), NULL;
    void *base = list(n, k.type, t->base.n);
    for (int64_t i = 0; i < t->base.n; i++) xfc_element_set_f(k.type, base, i, xfc_tree_number(&t->base, i));
    return xfc_n2(n, XFC_OP_ADD, v, constant(n, k.type, t->base.n, 0, base));
}

/* --- behind the sums --- */

static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) {
    return xfc_n2(n, code, a, xfc_nf(n, a, b));
}

/* softmax in which scores of 0 stay 0; where all are, each gets 0.5. */
static xfc_value *softmax_zero(xfc_node *n, xfc_value *v) {
    const int64_t axes[1] = {1};
    xfc_value *most = xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, v, axes, 1, true), *zero = xfc_nf(n, v, 0);
    xfc_value *counts = with(n, XFC_OP_GT, xfc_n1(n, XFC_OP_ABS, v), (double)1e-7f);
    v = xfc_n_select(n, counts, xfc_n1(n, XFC_OP_EXP, xfc_n2(n, XFC_OP_SUB, v, most)), zero);
    xfc_value *sum = v ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, v, axes, 1, true) : NULL;
    return xfc_n_select(n, xfc_n2(n, XFC_OP_EQ, sum, zero), xfc_nf(n, v, 0.5), xfc_n2(n, XFC_OP_DIV, v, sum));
}

/* sqrt(2) times the inverse of erf at 2 v - 1, as a formula that all runtimes have, though it is off by up to 0.002. */
static xfc_value *probit(xfc_node *n, xfc_value *v) {
    const double a = 0.147, pi = 3.14159265358979323846;
    xfc_value *x = with(n, XFC_OP_ADD, with(n, XFC_OP_MUL, v, 2), -1);
    xfc_value *l =
        xfc_n1(n, XFC_OP_LOG,
               xfc_n2(n, XFC_OP_MUL, with(n, XFC_OP_ADD, xfc_n1(n, XFC_OP_NEG, x), 1), with(n, XFC_OP_ADD, x, 1)));
    xfc_value *h = with(n, XFC_OP_ADD, with(n, XFC_OP_MUL, l, 0.5), 2 / (pi * a));
    xfc_value *root =
        xfc_n1(n, XFC_OP_SQRT, xfc_n2(n, XFC_OP_SUB, xfc_n2(n, XFC_OP_MUL, h, h), with(n, XFC_OP_MUL, l, 1 / a)));
    root = xfc_n1(n, XFC_OP_SQRT, xfc_n2(n, XFC_OP_SUB, root, h));
    xfc_value *sign = xfc_n_select(n, with(n, XFC_OP_LT, x, 0), xfc_nf(n, x, -1), xfc_nf(n, x, 1));
    return with(n, XFC_OP_MUL, xfc_n2(n, XFC_OP_MUL, sign, root), 1.41421356237309504880);
}

xfc_value *xfc_scores_finish(xfc_node *n, xfc_trees_post post, xfc_value *v) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    if (!v) return NULL;
    switch (post) {
    case XFC_TREES_NONE: return v;
    case XFC_TREES_SOFTMAX: return xfc_build(n->b, XFC_OP_SOFTMAX, &v, 1, &axis, 1);
    case XFC_TREES_LOGISTIC: return xfc_n1(n, XFC_OP_SIGMOID, v);
    case XFC_TREES_SOFTMAX_ZERO: return softmax_zero(n, v);
    case XFC_TREES_PROBIT: return probit(n, v);
    }
    return NULL;
}

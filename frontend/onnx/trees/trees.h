/* trees.h - ensembles of decision trees, as every version of the operators is read.
 *
 * An inner node compares one feature of a row with a number; which node follows depends on how the feature lies to it:
 * below, equal, above, or NaN. So a node is four places and no mode, and a set of numbers is a search in it, of as many
 * nodes as it has numbers. A place is an inner node's number, or that of a leaf, inverted (~). A leaf has votes: a
 * number for a target each. Nodes may have several parents; no node may be reached from itself.
 */
#ifndef XFC_ONNX_TREES_H
#define XFC_ONNX_TREES_H
#include "frontend/onnx/import.h"

enum { /* how a feature is compared with a node's number; of the older operators also that there is nothing to compare */
       XFC_TREE_LEQ,
       XFC_TREE_LT,
       XFC_TREE_GTE,
       XFC_TREE_GT,
       XFC_TREE_EQ,
       XFC_TREE_NEQ,
       XFC_TREE_MEMBER,
       XFC_TREE_LEAF,
       XFC_TREE_N_MODES
};
typedef enum { XFC_TREES_AVERAGE, XFC_TREES_SUM, XFC_TREES_MIN, XFC_TREES_MAX } xfc_trees_aggregate;
typedef enum {
    XFC_TREES_NONE,
    XFC_TREES_SOFTMAX,
    XFC_TREES_LOGISTIC,
    XFC_TREES_SOFTMAX_ZERO,
    XFC_TREES_PROBIT
} xfc_trees_post;

typedef struct {
    int32_t at[4]; /* the feature is below the number, equal to it, above, NaN */
} xfc_tree_next;

typedef struct {
    uint32_t leaf;
    int64_t target;
    double weight;
} xfc_tree_vote;

/* A list of numbers of an attribute: floats, or a tensor of them. */
typedef struct {
    const float *floats;
    const xfc_tensor *tensor;
    int64_t n;
} xfc_tree_numbers;

typedef struct {
    xfc_node *n;
    uint32_t n_inner, n_leaves, n_roots, cap; /* cap: room for inner nodes */
    int32_t *feature, *root;                  /* root: places */
    double *split;
    xfc_tree_next *next;
    xfc_tree_vote *vote; /* in the order of leaves */
    uint32_t n_votes;
    int64_t n_targets;
    xfc_tree_numbers base; /* for each target, or none */
    xfc_trees_aggregate aggregate;
    xfc_trees_post post;
    bool wide;      /* numbers of nodes or leaves are given in f64 */
    bool ne_is_nan; /* NaN is taken to be another number than that of the node (NEQ), unless it says so itself */
} xfc_trees;

/* read.c: attributes. False: the node has failed. */
bool xfc_trees_read(xfc_trees *); /* of TreeEnsemble */
bool xfc_trees_read_old(xfc_trees *,
                        const char *prefix); /* of the others: "target" or "class"; n_targets: 0, or known */
bool xfc_trees_refuse(xfc_trees *, const char *attr, const char *what);
double xfc_tree_number(const xfc_tree_numbers *, int64_t i);
/* The room is the numbers of nodes and members together. */
void xfc_trees_begin(xfc_trees *, xfc_node *, int64_t nodes, int64_t members, int64_t leaves);

/* trees.c: sums or other aggregates of the votes of the leaves that rows of operand 0 come to, [rows, n_targets], with
 * base values and in the type in which nodes compare; NULL: the node has failed. */
xfc_value *xfc_trees_walk(xfc_trees *);
xfc_value *xfc_scores_finish(xfc_node *, xfc_trees_post, xfc_value *scores);
xfc_trees_post xfc_read_post(xfc_node *); /* read.c: attribute post_transform, a word; it may fail the node */

/* linear.c: operand 0 in f32, rows [.., features]; one row may be a list. */
xfc_value *xfc_feature_rows(xfc_node *);

/* import.c: labels of classes. */
typedef struct {
    const xfc_texts *texts; /* or */
    xfc_value *numbers;     /* i64[count] */
    int64_t count;
} xfc_labels;
bool xfc_read_labels(xfc_node *, xfc_labels *);                  /* two or more; false: the node has failed */
void xfc_label(xfc_node *, const xfc_labels *, xfc_value *best); /* output 0, of the numbers of classes */
#endif

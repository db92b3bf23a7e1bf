/* read.c - nodes and leaves of ensembles as trees.h has them, out of the lists of attributes that hold them.
 *
 * Whatever the lists say is checked: lengths, places, modes, targets. What is not checked here is that no node is reached
 * from itself (trees.c), and that rows have the features.
 */
#include "frontend/onnx/trees/trees.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 28 }; /* places, whose numbers times four are i32 */

bool xfc_trees_refuse(xfc_trees *t, const char *attr, const char *what) {
    if (t->n->status == XFC_OK)
        xfc_node_fail(t->n, XFC_ERR_INPUT, "attribute '%s' %s; export the model again", attr, what);
    return false;
}

double xfc_tree_number(const xfc_tree_numbers *l, int64_t i) {
    return l->tensor ? xfc_tensor_get_f(l->tensor, i) : (double)l->floats[i];
}

void xfc_trees_begin(xfc_trees *t, xfc_node *n, int64_t nodes, int64_t members, int64_t leaves) {
    const size_t room = (size_t)(nodes + members + 1);
    t->n = n;
    t->n_inner = (uint32_t)nodes, t->n_leaves = (uint32_t)leaves, t->cap = (uint32_t)room;
    t->feature = xfc_new_array(n->im->arena, int32_t, room);
    t->split = xfc_new_array(n->im->arena, double, room);
    t->next = xfc_new_array(n->im->arena, xfc_tree_next, room);
}

/* --- lists --- */

/* A list of `count` integers; absent: 0 each, where that may be. */
static const int64_t *entries(xfc_trees *t, const char *name, int64_t count, bool may_lack) {
    const int64_t *list;
    uint32_t have;
    if (!xfc_node_ints(t->n, name, &list, &have) && t->n->status == XFC_OK && may_lack)
        return xfc_new_array(t->n->im->arena, int64_t, (size_t)count + 1);
    if (have == count) return list;
    return (void)xfc_trees_refuse(t, name, "has not as many entries as the others of its kind"), NULL;
}

static bool inside(xfc_trees *t, const char *name, int64_t value, int64_t most) {
    if (value >= 0 && value < most) return true;
    const char *what = xfc_sprintf(t->n->im->arena, "has the entry %lld, which is none of 0 to %lld", (long long)value,
                                   (long long)most - 1);
    return xfc_trees_refuse(t, name, what);
}

/* The same, of which each is 0 to most - 1. */
static const int64_t *whole(xfc_trees *t, const char *name, int64_t count, int64_t most, bool may_lack) {
    const int64_t *list = entries(t, name, count, may_lack);
    for (int64_t i = 0; list && i < count; i++)
        if (!inside(t, name, list[i], most)) return NULL;
    return list;
}

/* floats, or a tensor of the name that `as` adds */
static xfc_tree_numbers numbers(xfc_trees *t, const char *name, const char *as) {
    xfc_tree_numbers l = {0};
    const Onnx__AttributeProto *a = as ? xfc_node_attr(t->n, name) : NULL;
    if (a && a->n_floats) return (xfc_tree_numbers){.floats = a->floats, .n = (int64_t)a->n_floats};
    l.tensor = xfc_node_tensor(t->n, as ? xfc_sprintf(t->n->im->arena, "%s%s", name, as) : name);
    if (!l.tensor) return l;
    if (!xfc_dtype_is_float(l.tensor->dtype)) xfc_trees_refuse(t, name, "holds no floats");
    t->wide = t->wide || l.tensor->dtype == XFC_F64;
    l.n = l.tensor->count;
    return l;
}

/* One of the words, or NULL for those that a version tells by a number; its number, or -1. */
static int64_t choice(xfc_trees *t, const char *name, const char *const *word, int64_t count, int64_t absent) {
    int64_t at = 0;
    if (word) {
        const char *text = xfc_node_str(t->n, name, word[absent]);
        while (at < count && t->n->status == XFC_OK && strcmp(text, word[at]) != 0) at++;
    } else {
        at = xfc_node_int(t->n, name, absent);
    }
    if (at >= 0 && at < count) return at;
    return xfc_trees_refuse(t, name, "is none of those that are defined"), absent;
}

static xfc_trees_post read_post(xfc_trees *t, bool words) {
    static const char *const posts[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    return (xfc_trees_post)choice(t, "post_transform", words ? posts : NULL, XFC_COUNT(posts), XFC_TREES_NONE);
}

xfc_trees_post xfc_read_post(xfc_node *n) {
    xfc_trees t = {.n = n};
    return read_post(&t, true);
}

static bool read_choices(xfc_trees *t, bool words) {
    static const char *const aggregates[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    t->aggregate = (xfc_trees_aggregate)choice(t, "aggregate_function", words ? aggregates : NULL, 4, XFC_TREES_SUM);
    t->post = read_post(t, words);
    return t->n->status == XFC_OK;
}

/* --- nodes --- */

static void set_node(xfc_trees *t, int64_t i, int64_t mode, bool missing, int32_t yes, int32_t no) {
    static const uint8_t holds[XFC_TREE_N_MODES] = {
        [XFC_TREE_LEQ] = 3, [XFC_TREE_LT] = 1, [XFC_TREE_GTE] = 6, /* bits: below, equal, above */
        [XFC_TREE_GT] = 4,  [XFC_TREE_EQ] = 2, [XFC_TREE_NEQ] = 5};
    for (uint32_t r = 0; r < 3; r++) t->next[i].at[r] = holds[mode] >> r & 1 ? yes : no;
    t->next[i].at[3] = missing || (mode == XFC_TREE_NEQ && t->ne_is_nan) ? yes : no;
}

static int by_number(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A search for x among sorted members[from .. to - 1] that begins at node i: how far it is halved is its depth. */
static void search(xfc_trees *t, int32_t i, const double *member, int64_t from, int64_t to, xfc_tree_next end) {
    const int64_t middle = from + (to - from) / 2;
    xfc_tree_next *next = &t->next[i];
    t->split[i] = member[middle];
    *next = end;
    if (from < middle) {
        t->feature[t->n_inner] = t->feature[i];
        next->at[0] = (int32_t)t->n_inner++;
        search(t, next->at[0], member, from, middle, end);
    }
    if (middle + 1 < to) {
        t->feature[t->n_inner] = t->feature[i];
        next->at[2] = (int32_t)t->n_inner++;
        search(t, next->at[2], member, middle + 1, to, end);
    }
}

/* Node i asks whether its feature is one of a set; sets follow one another, each with NaN behind it. */
static bool read_member(xfc_trees *t, int64_t i, double *member, int64_t count, int64_t *at, bool missing, int32_t yes,
                        int32_t no) {
    int64_t from = *at;
    while (*at < count && !isnan(member[*at])) ++*at;
    if (*at == count)
        return xfc_trees_refuse(t, "membership_values",
                                "has fewer sets, each ended by NaN, than there are nodes with one");
    const int64_t to = (*at)++;
    if (from == to) {
        set_node(t, i, XFC_TREE_EQ, missing, yes, no);
        for (uint32_t r = 0; r < 3; r++) t->next[i].at[r] = no;
        return true;
    }
    qsort(member + from, (size_t)(to - from), sizeof *member, by_number);
    search(t, (int32_t)i, member, from, to, (xfc_tree_next){{no, yes, no, missing ? yes : no}});
    return true;
}

/* --- TreeEnsemble --- */

/* Where a branch leads: a leaf or an inner node. */
static bool branch(xfc_trees *t, const char *name, int64_t to, bool leaf, int64_t inner, int32_t *out) {
    *out = leaf ? ~(int32_t)to : (int32_t)to;
    return to < (leaf ? t->n_leaves : inner) ||
           xfc_trees_refuse(t, name, leaf ? "names a leaf that there is not" : "names a node that there is not");
}

static bool read_nodes(xfc_trees *t, int64_t count, const xfc_tensor *modes, const xfc_tree_numbers *splits,
                       const xfc_tree_numbers *members) {
    const int64_t *feature = whole(t, "nodes_featureids", count, INT32_MAX, false);
    const int64_t *missing = whole(t, "nodes_missing_value_tracks_true", count, 2, true);
    const int64_t *to[2] = {whole(t, "nodes_falsenodeids", count, MOST, false),
                            whole(t, "nodes_truenodeids", count, MOST, false)};
    const int64_t *leaf[2] = {whole(t, "nodes_falseleafs", count, 2, false),
                              whole(t, "nodes_trueleafs", count, 2, false)};
    if (t->n->status != XFC_OK) return false;
    double *member = xfc_new_array(t->n->im->arena, double, (size_t)members->n + 1);
    int64_t at = 0;
    for (int64_t i = 0; i < members->n; i++) member[i] = xfc_tree_number(members, i);
    for (int64_t i = 0; i < count; i++) {
        const int64_t mode = xfc_tensor_get_i(modes, i);
        int32_t no, yes;
        if (!branch(t, "nodes_falsenodeids", to[0][i], leaf[0][i], count, &no) ||
            !branch(t, "nodes_truenodeids", to[1][i], leaf[1][i], count, &yes))
            return false;
        t->feature[i] = (int32_t)feature[i];
        t->split[i] = xfc_tree_number(splits, i);
        if (mode < 0 || mode > XFC_TREE_MEMBER)
            return xfc_trees_refuse(t, "nodes_modes", "holds none of the modes 0 to 6");
        if (mode == XFC_TREE_MEMBER && !read_member(t, i, member, members->n, &at, missing[i], yes, no)) return false;
        if (mode != XFC_TREE_MEMBER) set_node(t, i, mode, missing[i], yes, no);
    }
    return at == members->n || xfc_trees_refuse(t, "membership_values", "has more sets than there are nodes with one");
}

static bool read_leaves(xfc_trees *t, const xfc_tree_numbers *weights) {
    const int64_t *target = whole(t, "leaf_targetids", weights->n, t->n_targets, false);
    if (!target) return false;
    t->n_votes = (uint32_t)weights->n;
    t->vote = xfc_new_array(t->n->im->arena, xfc_tree_vote, t->n_votes + 1);
    for (uint32_t i = 0; i < t->n_votes; i++) t->vote[i] = (xfc_tree_vote){i, target[i], xfc_tree_number(weights, i)};
    return true;
}

static bool read_targets(xfc_trees *t, int64_t absent) {
    t->n_targets = xfc_node_int(t->n, "n_targets", absent);
    return (t->n_targets > 0 && t->n_targets < XFC_DIM_MAX) || xfc_trees_refuse(t, "n_targets", "must be at least 1");
}

bool xfc_trees_read(xfc_trees *t) {
    xfc_node *n = t->n;
    const xfc_tensor *modes = xfc_node_tensor(n, "nodes_modes");
    xfc_tree_numbers splits = numbers(t, "nodes_splits", NULL), weights = numbers(t, "leaf_weights", NULL),
                     members = numbers(t, "membership_values", NULL);
    if (n->status != XFC_OK || !read_choices(t, false) || !read_targets(t, 1)) return false;
    const int64_t count = splits.n;
    const int64_t *root;
    if (!modes || modes->count != count || modes->dtype != XFC_U8)
        return xfc_trees_refuse(t, "nodes_modes", "must be u8, as many as nodes_splits");
    if (!weights.n || count + members.n + weights.n > MOST)
        return xfc_trees_refuse(t, "leaf_weights", "must have entries, 2^28 at most with all nodes");
    xfc_trees_begin(t, n, count, members.n, weights.n);
    if (!read_nodes(t, count, modes, &splits, &members) || !read_leaves(t, &weights)) return false;
    xfc_node_ints(n, "tree_roots", &root, &t->n_roots);
    if (!t->n_roots || !(root = whole(t, "tree_roots", t->n_roots, count, false)))
        return xfc_trees_refuse(t, "tree_roots", "must have entries");
    t->root = xfc_new_array(n->im->arena, int32_t, t->n_roots);
    for (uint32_t i = 0; i < t->n_roots; i++) t->root[i] = (int32_t)root[i];
    return true;
}

/* --- the older operators, whose leaves are nodes --- */

typedef struct {
    xfc_map tree, node; /* id of a tree -> its number + 1; number of a tree << 32 | id of a node -> entry + 1 */
    int64_t count;
    int32_t *place;
} ids;

static uint64_t key_of(const ids *k, int64_t tree, int64_t node) {
    return (xfc_map_get(&k->tree, (uint64_t)tree) << 32) | (uint64_t)node;
}

/* The place of a node of a tree. */
static bool find(xfc_trees *t, const ids *k, const char *name, int64_t tree, int64_t node, int32_t *out) {
    if (!inside(t, name, node, UINT32_MAX)) return false;
    uint64_t at = xfc_map_find(&k->tree, (uint64_t)tree, NULL) ? xfc_map_get(&k->node, key_of(k, tree, node)) : 0;
    if (at) *out = k->place[at - 1];
    return at || xfc_trees_refuse(t, name, "names a node that there is not");
}

/* Numbers nodes and trees: inner nodes and leaves each by themselves. The first node of a tree is its root. */
static bool number_nodes(xfc_trees *t, ids *k, const int64_t *tree, const int64_t *node, const uint8_t *mode) {
    xfc_arena *arena = t->n->im->arena;
    int32_t inner = 0, leaf = 0;
    k->place = xfc_new_array(arena, int32_t, (size_t)k->count + 1);
    t->root = xfc_new_array(arena, int32_t, (size_t)k->count + 1);
    for (int64_t i = 0; i < k->count; i++) {
        k->place[i] = mode[i] == XFC_TREE_LEAF ? ~leaf++ : inner++;
        if (!xfc_map_find(&k->tree, (uint64_t)tree[i], NULL)) {
            t->root[t->n_roots++] = k->place[i];
            xfc_map_set(&k->tree, (uint64_t)tree[i], t->n_roots);
        }
        const uint64_t key = key_of(k, tree[i], node[i]);
        if (xfc_map_find(&k->node, key, NULL)) return xfc_trees_refuse(t, "nodes_nodeids", "has a node twice");
        xfc_map_set(&k->node, key, (uint64_t)i + 1);
    }
    return true;
}

static const uint8_t *read_modes(xfc_trees *t, int64_t count) {
    static const char *const word[XFC_TREE_N_MODES] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                                       "BRANCH_EQ",  "BRANCH_NEQ", NULL,         "LEAF"};
    const Onnx__AttributeProto *a = xfc_node_attr(t->n, "nodes_modes");
    uint8_t *mode = xfc_new_array(t->n->im->arena, uint8_t, (size_t)count + 1);
    if (!a || (int64_t)a->n_strings != count)
        return (void)xfc_trees_refuse(t, "nodes_modes", "has not as many entries as the others of its kind"), NULL;
    for (int64_t i = 0; i < count; i++) {
        const ProtobufCBinaryData *s = &a->strings[i];
        for (mode[i] = 0; mode[i] < XFC_TREE_N_MODES; mode[i]++) {
            const char *w = word[mode[i]];
            if (w && strlen(w) == s->len && !memcmp(w, s->data, s->len)) break;
        }
        if (mode[i] == XFC_TREE_N_MODES)
            return (void)xfc_trees_refuse(t, "nodes_modes", "holds a mode that is not defined"), NULL;
    }
    return mode;
}

/* Votes of leaves, leaf by leaf, each in their order; those of inner nodes never count. */
static bool read_votes(xfc_trees *t, const ids *k, const char *prefix) {
    static const char *const suffix[4] = {"treeids", "nodeids", "ids", "weights"};
    xfc_arena *arena = t->n->im->arena;
    const char *name[4];
    for (uint32_t i = 0; i < 4; i++) name[i] = xfc_sprintf(arena, "%s_%s", prefix, suffix[i]);
    xfc_tree_numbers weight = numbers(t, name[3], "_as_tensor");
    const int64_t *tree = entries(t, name[0], weight.n, false), *node = entries(t, name[1], weight.n, false),
                  *target = whole(t, name[2], weight.n, t->n_targets, false);
    if (t->n->status != XFC_OK || weight.n > MOST) return xfc_trees_refuse(t, name[3], "has more than 2^28 entries");
    int32_t *leaf = xfc_new_array(arena, int32_t, (size_t)weight.n + 1);
    uint32_t *first = xfc_new_array(arena, uint32_t, t->n_leaves + 1);
    for (int64_t i = 0; i < weight.n; i++) {
        if (!find(t, k, name[1], tree[i], node[i], &leaf[i])) return false;
        if (leaf[i] < 0) first[~leaf[i] + 1]++, t->n_votes++;
    }
    for (uint32_t i = 0; i < t->n_leaves; i++) first[i + 1] += first[i];
    t->vote = xfc_new_array(arena, xfc_tree_vote, (size_t)t->n_votes + 1);
    for (int64_t i = 0; i < weight.n; i++)
        if (leaf[i] < 0)
            t->vote[first[~leaf[i]]++] = (xfc_tree_vote){(uint32_t)~leaf[i], target[i], xfc_tree_number(&weight, i)};
    return true;
}

/* What stands at leaves in the lists of inner nodes has no meaning. */
static bool read_branches(xfc_trees *t, const ids *k, const int64_t *tree, const uint8_t *mode,
                          const xfc_tree_numbers *splits) {
    const int64_t *feature = entries(t, "nodes_featureids", k->count, false);
    const int64_t *missing = entries(t, "nodes_missing_value_tracks_true", k->count, true);
    const int64_t *to[2] = {entries(t, "nodes_falsenodeids", k->count, false),
                            entries(t, "nodes_truenodeids", k->count, false)};
    if (t->n->status != XFC_OK) return false;
    for (int64_t i = 0; i < k->count; i++) {
        int32_t no, yes, at = k->place[i];
        if (at < 0) continue;
        if (!inside(t, "nodes_featureids", feature[i], INT32_MAX) ||
            !find(t, k, "nodes_falsenodeids", tree[i], to[0][i], &no) ||
            !find(t, k, "nodes_truenodeids", tree[i], to[1][i], &yes))
            return false;
        t->feature[at] = (int32_t)feature[i];
        t->split[at] = xfc_tree_number(splits, i);
        set_node(t, at, mode[i], missing[i] != 0, yes, no);
    }
    return true;
}

bool xfc_trees_read_old(xfc_trees *t, const char *prefix) {
    xfc_node *n = t->n;
    ids k = {.tree = {.arena = n->im->arena}, .node = {.arena = n->im->arena}};
    xfc_tree_numbers splits = numbers(t, "nodes_values", "_as_tensor");
    t->base = numbers(t, "base_values", "_as_tensor");
    k.count = splits.n;
    if (!read_choices(t, true) || (!t->n_targets && !read_targets(t, 1))) return false;
    if (!k.count || k.count > MOST) return xfc_trees_refuse(t, "nodes_values", "must have entries, 2^28 at most");
    const int64_t *tree = entries(t, "nodes_treeids", k.count, false),
                  *node = whole(t, "nodes_nodeids", k.count, UINT32_MAX, false);
    const uint8_t *mode = read_modes(t, k.count);
    if (!tree || !node || !mode) return false;
    int64_t leaves = 0;
    for (int64_t i = 0; i < k.count; i++) leaves += mode[i] == XFC_TREE_LEAF;
    if (!leaves) return xfc_trees_refuse(t, "nodes_modes", "has no leaf");
    xfc_trees_begin(t, n, k.count - leaves, 0, leaves);
    return number_nodes(t, &k, tree, node, mode) && read_branches(t, &k, tree, mode, &splits) &&
           read_votes(t, &k, prefix);
}

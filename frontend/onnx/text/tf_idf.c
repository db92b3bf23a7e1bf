/* tf_idf.c - TfIdfVectorizer: how often each n-gram of a pool is in a row, with skips, and weights.
 *
 * All n-grams of one length are compared at all places at once. Behind the end of a row nothing is equal to anything.
 * Weights are of n-grams in the order of the pool, as ONNX and onnxruntime have it; onnx.reference has those of columns.
 */
#include "frontend/onnx/text/text.h"
#include <string.h>

enum { MAX_LENGTH = 64, MAX_SKIP = 4096 };

typedef struct {
    xfc_node *n;
    xfc_value *rows;     /* i64[b, c]: of strings their numbers in the pool, or -1 */
    const int64_t *pool; /* the n-grams one behind the other: of strings, their numbers */
    int64_t least, most, skip;
    const int64_t *first, *column; /* where n-grams of a length begin, where each is counted */
    uint32_t n_pool, n_first, n_column;
    int64_t width;
    bool idf;             /* what is there counts, not how often */
    const float *weights; /* of n-grams, or NULL: 1 each */
} tf_idf;

static bool refuse(xfc_node *n, const char *what) {
    return xfc_node_fail(n, XFC_ERR_INPUT, "%s; export the model again", what), false;
}

/* The number of the first word that equals word i; earlier ones were asked for. known: hash -> number + 1. */
static int64_t first_equal(xfc_map *known, const ProtobufCBinaryData *word, size_t i) {
    for (uint64_t seed = 0;; seed++) {
        const uint64_t hash = xfc_hash(word[i].data, word[i].len, seed), k = xfc_map_get(known, hash);
        if (!k) xfc_map_set(known, hash, i + 1);
        if (!k) return (int64_t)i;
        bool same = word[k - 1].len == word[i].len;
        if (same && (!word[i].len || !memcmp(word[k - 1].data, word[i].data, word[i].len))) return (int64_t)k - 1;
    }
}

/* Strings of the pool as the number of the first that equals each. */
static bool read_pool(tf_idf *t) {
    xfc_node *n = t->n;
    const Onnx__AttributeProto *words = xfc_node_attr(n, "pool_strings");
    if (!words && !xfc_node_ints(n, "pool_int64s", &t->pool, &t->n_pool))
        return refuse(n, "has neither pool_int64s nor pool_strings");
    if (!words != !n->in_texts[0]) return refuse(n, "has a pool of another type than its operand");
    xfc_int dim[2] = {xfc_int_const(n->ctx, 1), XFC_INT_NONE};
    const xfc_type *type = &n->in[0]->type;
    if (type->rank > 2 || !xfc_dtype_is_int(type->dtype)) return refuse(n, "takes integers or strings [c] or [b, c]");
    if (type->rank == 2) dim[0] = type->dim[0];
    dim[1] = type->rank ? type->dim[type->rank - 1] : xfc_int_const(n->ctx, 1);
    xfc_value *v = n->in[0];
    if (words) {
        const xfc_texts *pool = xfc_texts_of(n, words->strings, words->n_strings);
        int64_t *kind = xfc_new_array(n->im->arena, int64_t, words->n_strings + 1);
        xfc_map first = {.arena = n->im->arena};
        for (size_t i = 0; i < words->n_strings; i++) kind[i] = first_equal(&first, words->strings, i);
        t->pool = kind, t->n_pool = (uint32_t)words->n_strings;
        v = xfc_texts_gather(n, xfc_texts_find(n, pool, n->in_texts[0]), v);
    }
    t->rows = xfc_b_reshape(n->b, xfc_b_cast(n->b, v, XFC_I64), dim, 2);
    return t->rows != NULL;
}

/* TF: counts; IDF: the weight of what is there; TFIDF: counts times weights. */
static bool read_weights(tf_idf *t) {
    xfc_node *n = t->n;
    const char *mode = xfc_node_str(n, "mode", "");
    const Onnx__AttributeProto *a = xfc_node_attr(n, "weights");
    bool plain = !strcmp(mode, "TF");
    t->idf = !strcmp(mode, "IDF");
    if (!plain && !t->idf && strcmp(mode, "TFIDF") != 0) return refuse(n, "has a mode other than TF, IDF and TFIDF");
    if (plain || !a || (!a->n_floats && !a->n_ints)) return true;
    if (a->n_floats != t->n_column) return refuse(n, "has another number of weights than of n-grams");
    t->weights = a->floats;
    xfc_map seen = {.arena = n->im->arena};
    for (uint32_t i = 0; t->idf && i < t->n_column; i++) {
        if (xfc_map_find(&seen, (uint64_t)t->column[i], NULL))
            return refuse(n, "has two weights for one column, which is to hold the weight of what is there");
        xfc_map_set(&seen, (uint64_t)t->column[i], 1);
    }
    return true;
}

static bool read_node(tf_idf *t) {
    xfc_node *n = t->n;
    t->least = xfc_node_int(n, "min_gram_length", 0), t->most = xfc_node_int(n, "max_gram_length", 0);
    t->skip = xfc_node_int(n, "max_skip_count", 0);
    bool lists = xfc_node_ints(n, "ngram_counts", &t->first, &t->n_first) &&
                 xfc_node_ints(n, "ngram_indexes", &t->column, &t->n_column);
    if (n->status != XFC_OK || !read_pool(t)) return false;
    if (!lists || t->least < 1 || t->most < t->least || t->most > MAX_LENGTH || t->skip < 0 || t->skip > MAX_SKIP)
        return refuse(n, "needs ngram_counts, ngram_indexes, and lengths and skips that make sense");
    if (t->n_first < t->most) return refuse(n, "has fewer ngram_counts than lengths");
    for (uint32_t i = 0, grams = 0; i < t->n_first; i++) {
        int64_t end = i + 1 < t->n_first ? t->first[i + 1] : t->n_pool, size = end - t->first[i];
        if (t->first[i] < 0 || size < 0 || end > t->n_pool || size % (i + 1))
            return refuse(n, "has ngram_counts that do not fit its pool");
        grams += (uint32_t)(size / (i + 1));
        if (i + 1 == t->n_first && grams != t->n_column)
            return refuse(n, "has another number of ngram_indexes than of n-grams");
    }
    for (uint32_t i = 0; i < t->n_column; i++) {
        if (t->column[i] < 0 || t->column[i] >= XFC_DIM_MAX)
            return refuse(n, "has a negative or too large ngram_index");
        if (t->column[i] >= t->width) t->width = t->column[i] + 1;
    }
    return read_weights(t);
}

/* Entry `at` of each of `count` n-grams of a length, [count]. */
static xfc_value *entries(const tf_idf *t, int64_t begin, int64_t length, int64_t count, int64_t at) {
    int64_t *data = xfc_tensor_alloc(t->n->ctx, XFC_I64, 1, &count);
    for (int64_t i = 0; i < count; i++) data[i] = t->pool[begin + i * length + at];
    return xfc_b_const(t->n->b, xfc_tensor_new(t->n->ctx, XFC_I64, 1, &count, data, NULL));
}

/* [b, count]: how often n-grams of this length are in the rows with `step` from one entry to the next. */
static xfc_value *count_with(const tf_idf *t, int64_t begin, int64_t length, int64_t count, int64_t step) {
    xfc_node *n = t->n;
    const int64_t reach = (length - 1) * step, axes[1] = {1};
    const xfc_int none = xfc_int_const(n->ctx, 0), before[2] = {none, none},
                  after[2] = {none, xfc_int_const(n->ctx, reach)};
    const xfc_int c = t->rows->type.dim[1], last = xfc_int_addc(n->ctx, c, -reach);
    xfc_attr pad[] = {xfc_attr_dims(XFC_K_BEFORE, before, 2), xfc_attr_dims(XFC_K_AFTER, after, 2)};
    xfc_value *x = t->rows,
              *hit = xfc_n2(n, XFC_OP_LT, xfc_n_iota(n, c, none, 1, XFC_I64), xfc_b_dims(n->b, &last, -1));
    xfc_int dim[3] = {x->type.dim[0], c, xfc_int_const(n->ctx, 1)};
    hit = xfc_n_along(n, hit, 1, 3);
    if (reach) x = xfc_build(n->b, XFC_OP_PAD, &x, 1, pad, 2);
    for (int64_t i = 0; i < length && x; i++) {
        xfc_value *part = xfc_b_slice_axis(n->b, x, 1, xfc_int_const(n->ctx, i * step), c, 1);
        part = xfc_b_reshape(n->b, part, dim, 3);
        hit = xfc_n2(n, XFC_OP_AND, hit, xfc_n2(n, XFC_OP_EQ, part, entries(t, begin, length, count, i)));
    }
    return x && hit ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, xfc_b_cast(n->b, hit, XFC_F32), axes, 1, false) : NULL;
}

/* Single ones count once, whatever is skipped. */
static xfc_value *count_all(const tf_idf *t, int64_t begin, int64_t length, int64_t count) {
    xfc_value *sum = NULL;
    for (int64_t s = 0; s <= (length == 1 ? 0 : t->skip); s++) {
        xfc_value *one = count_with(t, begin, length, count, s + 1);
        sum = sum ? xfc_n2(t->n, XFC_OP_ADD, sum, one) : one;
    }
    return sum;
}

/* v [b, n] where counts are over 0, else 0. */
static xfc_value *where_found(xfc_node *n, xfc_value *counts, xfc_value *v) {
    xfc_value *zero = xfc_b_scalar_f(n->b, XFC_F32, 0);
    return xfc_n_select(n, xfc_n2(n, XFC_OP_GT, counts, zero), v, zero);
}

/* counts [b, count] of the n-grams from `first` on. */
static xfc_value *weighted(const tf_idf *t, xfc_value *counts, uint32_t first, int64_t count) {
    xfc_node *n = t->n;
    if (!t->weights) return counts;
    xfc_value *w = xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_F32, 1, &count, t->weights + first, NULL));
    return t->idf ? where_found(n, counts, w) : xfc_n2(n, XFC_OP_MUL, counts, w);
}

/* counts [b, g] in the columns of the result, which begins as zeros. */
static xfc_value *placed(const tf_idf *t, xfc_value *result, xfc_value *counts, uint32_t first) {
    xfc_node *n = t->n;
    int64_t dim = 0;
    if (!result || !counts || !xfc_int_value(n->ctx, counts->type.dim[1], &dim)) return NULL;
    xfc_value *at = xfc_b_const(n->b, xfc_tensor_copy(n->ctx, XFC_I64, 1, &dim, t->column + first, NULL));
    at = at ? xfc_b_expand(n->b, at, counts->type.dim, 2) : NULL;
    xfc_attr add[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_int(XFC_K_REDUCTION, 1)};
    return at ? xfc_build(n->b, XFC_OP_SCATTER_ELEMENTS, (xfc_value *[]){result, at, counts}, 3, add, 2) : NULL;
}

void xfc_import_tf_idf(xfc_node *n) {
    static const float zero = 0;
    tf_idf t = {.n = n};
    if (!read_node(&t)) return;
    xfc_int dim[2] = {t.rows->type.dim[0], xfc_int_const(n->ctx, t.width)};
    xfc_value *result = xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_F32, 0, NULL, &zero, NULL), dim, 2);
    for (uint32_t i = 0, first = 0; i < t.n_first; i++) {
        int64_t end = i + 1 < t.n_first ? t.first[i + 1] : t.n_pool, count = (end - t.first[i]) / (i + 1);
        if (count && i + 1 >= t.least && i < t.most)
            result = placed(&t, result, weighted(&t, count_all(&t, t.first[i], i + 1, count), first, count), first);
        first += (uint32_t)count;
    }
    if (t.idf && !t.weights) result = where_found(n, result, xfc_b_scalar_f(n->b, XFC_F32, 1));
    n->out[0] = xfc_b_reshape(n->b, result, n->in[0]->type.rank == 2 ? dim : dim + 1, n->in[0]->type.rank == 2 ? 2 : 1);
}

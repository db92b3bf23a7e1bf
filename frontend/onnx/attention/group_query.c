/* group_query.c - GroupQueryAttention and SparseAttention of com.microsoft: attention whose cache is inside.
 *
 * Sequence b of the batch has first[b] rows in the cache, then come its new rows: none where the call is a prompt (as
 * many new rows as total_sequence_length says), else what seqlens_k[b] + 1 leaves. So sequences of one batch may have
 * caches of different lengths, whose rows beyond are not read. Row i sees keys up to first[b] + i, the last
 * local_window_size of them where it is given. first is looked up in
 * a table of its possible values, so that a run ends where seqlens_k is none of them. The present has as many rows as
 * the longer of the past and total_sequence_length: a past that is a buffer with room stays as long as it is, and rows
 * beyond total_sequence_length are not looked at. SparseAttention sees keys by blocks as well (blocks.c), has lengths that
 * count the new rows, and always a past that is a buffer.
 *
 * sliding_window_cache: past and present are buffers of C rows, the window W or more, that hold the last L(T) of T tokens,
 * in order, from row 0 on: L(T) is T up to C, else T - G * ceil((T - C) / G) with G = C - W + 1. The new rows are appended
 * to those of the tokens before them; attention looks at that, where the distance of two keys is what it is among all
 * tokens, and the present is cut from it.
 */
#include "frontend/onnx/attention/attention.h"
#include "ir/ops/ops.h"
#include <math.h>

enum { Q, K, V, PAST_K, PAST_V, ROWS, COLUMNS }; /* operands; the last two are SparseAttention's */

typedef struct {
    uint32_t lengths, total, cos, sin, positions, bias, sink, k_scale, v_scale, q_norm, k_norm;
} places; /* of the other operands; those that an operator has not are beyond those it has */
static const places of_group_query = {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                    of_sparse = {8, 7, 9, 10, 11, 11, 11, 11, 11, 11, 11};

typedef struct {
    xfc_node *n;
    const places *at;
    xfc_heads a;
    int64_t heads, groups;
    xfc_int batch, rows, width, keys; /* keys: rows of the present */
    xfc_int total;                    /* total_sequence_length */
    xfc_int seen;                     /* keys that attention looks at: total, or all that a window's cache may have */
    xfc_value *length;                /* i64[batch]: rows of each sequence, old and new */
    xfc_value *first;                 /* i64[batch], or NULL where it is 0 */
    xfc_value *prompt;                /* is it one? NULL: yes */
    xfc_cache_form k_form, v_form;
    bool slides;     /* the cache holds the window's rows */
    xfc_value *gone; /* slides: i64[batch], tokens that the past no longer holds */
} query;

static bool fail(const query *g) { return g->n->status = g->n->status == XFC_OK ? XFC_ERR_INPUT : g->n->status, false; }

static bool read_counts(query *g) {
    xfc_node *n = g->n;
    g->heads = xfc_node_int(n, "num_heads", 0);
    g->groups = xfc_node_int(n, "kv_num_heads", 0);
    g->slides = xfc_node_flag(n, "sliding_window_cache", false);
    if (g->slides && (!xfc_node_has(n, PAST_K) || xfc_node_int(n, "local_window_size", -1) < 1 ||
                      xfc_node_has(n, g->at->bias) || xfc_node_wants(n, 3)))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                             "sliding_window_cache needs past_key and a local_window_size of at least 1, and goes "
                             "neither with attention_bias nor with scores as an output; export without it"),
               false;
    if (n->status == XFC_OK && (g->groups <= 0 || g->heads <= 0 || g->heads % g->groups != 0))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "num_heads is %lld and kv_num_heads %lld; the first must be a multiple of the second",
                      (long long)g->heads, (long long)g->groups);
    return n->status == XFC_OK;
}

/* The width of a head where `heads` of them stand side by side. */
static bool set_width(query *g, xfc_int all, int64_t heads) {
    int64_t size;
    xfc_int count = xfc_int_const(g->n->ctx, heads);
    if (xfc_int_value(g->n->ctx, all, &size) && size % heads != 0)
        return xfc_node_fail(g->n, XFC_ERR_INPUT, "%lld heads do not divide a width of %lld; correct num_heads",
                             (long long)heads, (long long)size),
               false;
    g->width = xfc_dims_divide(g->n->ctx, &all, 1, &count, 1);
    return true;
}

static xfc_value *part(const query *g, xfc_int *at, int64_t heads) {
    xfc_value *all = g->n->in[Q];
    xfc_int size = xfc_int_mulc(g->n->ctx, g->width, heads);
    xfc_value *v = xfc_b_slice_axis(g->n->b, all, 2, *at, size, 1);
    *at = xfc_int_add(g->n->ctx, *at, size);
    return v;
}

static bool read_parts(query *g) {
    xfc_node *n = g->n;
    xfc_value *v[3] = {n->in[Q], xfc_node_in(n, K), xfc_node_in(n, V)};
    bool packed = !v[K] && !v[V];
    if (!packed && (!v[K] || !v[V]))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has one of key and value; both or none are allowed"), false;
    for (uint32_t i = Q; i <= V && (i == Q || !packed); i++)
        if (v[i]->type.rank != 3)
            return xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' has rank %u but must have 3: [batch, rows, width]",
                                 xfc_node_in_name(n, i), v[i]->type.rank),
                   false;
    const xfc_int *dim = v[Q]->type.dim;
    g->batch = dim[0], g->rows = dim[1];
    if (!set_width(g, dim[2], packed ? g->heads + 2 * g->groups : g->heads)) return false;
    xfc_int at = xfc_int_const(n->ctx, 0), one = xfc_int_const(n->ctx, 1);
    for (uint32_t i = Q; i <= V && packed; i++) v[i] = part(g, &at, i == Q ? g->heads : g->groups);
    if (!v[Q] || !v[K] || !v[V]) return fail(g);
    for (uint32_t i = K; i <= V; i++) {
        const xfc_int *d = v[i]->type.dim;
        if (!xfc_n_equal(n, d[0], g->batch, "the batches of query and of key or value") ||
            !xfc_n_equal(n, d[1], g->rows, "the rows of query and of key or value") ||
            !xfc_n_equal(n, d[2], xfc_int_mulc(n->ctx, g->width, g->groups),
                         "kv_num_heads, the width of a head and the width of key or value"))
            return false;
    }
    g->a.q = xfc_n_split_heads(n, v[Q], g->heads);
    g->a.k = xfc_n_split_heads(n, v[K], g->groups);
    g->a.v = xfc_n_split_heads(n, v[V], g->groups);
    return (g->a.q && g->a.k && g->a.v && xfc_n_at_most(n, one, g->rows, "1 and the rows of query")) || fail(g);
}

/* past_key and past_value are [batch, groups, rows, width], or both absent. */
static bool check_past(query *g) {
    xfc_node *n = g->n;
    const xfc_dtype type = g->a.q->type.dtype;
    if (!xfc_n_cache_form(n, "k_quant_type", g->at->k_scale, type, &g->k_form) ||
        !xfc_n_cache_form(n, "v_quant_type", g->at->v_scale, type, &g->v_form))
        return false;
    if (xfc_node_has(n, PAST_K) != xfc_node_has(n, PAST_V))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has one of past_key and past_value; both or none are allowed"), false;
    for (uint32_t i = PAST_K; i <= PAST_V && xfc_node_has(n, i); i++) {
        const xfc_type *t = &n->in[i]->type;
        const xfc_cache_form *form = i == PAST_K ? &g->k_form : &g->v_form;
        if (t->rank != 4 || t->dtype != form->type)
            return xfc_node_fail(
                       n, XFC_ERR_UNSUPPORTED,
                       "operand '%s' is %s; only [batch, heads, rows, width] is supported, of the type of query, or "
                       "int8 of 8 bits and uint8 of 4 with k_quant_type and v_quant_type",
                       xfc_node_in_name(n, i), xfc_type_text(n->ctx, t)),
                   false;
        if (!xfc_n_equal(n, t->dim[0], g->batch, "the batches of query and past") ||
            !xfc_n_equal(n, t->dim[1], xfc_int_const(n->ctx, g->groups), "kv_num_heads and the heads of the past") ||
            !xfc_n_equal(n, t->dim[2], n->in[PAST_K]->type.dim[2], "the rows of past_key and past_value") ||
            !xfc_n_equal(n, t->dim[3], xfc_n_cache_width(n, form, g->width), "the widths of a head and of the past"))
            return false;
    }
    return true;
}

/* Of so many tokens, i64[batch], those that a cache of the window holds. */
static xfc_value *held(const query *g, xfc_value *tokens) {
    xfc_node *n = g->n;
    const xfc_int rows = n->in[PAST_K]->type.dim[2];
    const int64_t window = xfc_node_int(n, "local_window_size", -1);
    xfc_value *at_once = xfc_b_dims(n->b, (xfc_int[]){xfc_int_addc(n->ctx, rows, 1 - window)}, 1);
    xfc_value *over = xfc_n2(n, XFC_OP_SUB, tokens, xfc_b_dims(n->b, &rows, 1));
    over = xfc_n2(n, XFC_OP_ADD, over, xfc_n2(n, XFC_OP_SUB, at_once, xfc_ni(n, 1)));
    over = xfc_n2(n, XFC_OP_MUL, xfc_n2(n, XFC_OP_DIV, xfc_n2(n, XFC_OP_MAX, over, xfc_ni(n, 0)), at_once), at_once);
    return xfc_n2(n, XFC_OP_SUB, tokens, over);
}

/* first, of all tokens, as rows of a cache of the window. */
static bool slide(query *g) {
    xfc_node *n = g->n;
    const xfc_int past = n->in[PAST_K]->type.dim[2],
                  window = xfc_int_const(n->ctx, xfc_node_int(n, "local_window_size", -1));
    if (!xfc_n_at_most(n, window, past, "local_window_size and the rows of the cache")) return false;
    xfc_value *tokens = g->first;
    g->first = xfc_n_within(n, held(g, tokens), past);
    g->gone = xfc_n2(n, XFC_OP_SUB, tokens, g->first);
    g->keys = g->seen = xfc_int_add(n->ctx, past, g->rows);
    return g->gone || fail(g);
}

/* What a cache of the window holds behind the step: of the rows that attention looked at the last ones. */
static xfc_value *cut(const query *g, xfc_value *all) {
    xfc_node *n = g->n;
    const xfc_int zero = xfc_int_const(n->ctx, 0), one = xfc_int_const(n->ctx, 1), rows = n->in[PAST_K]->type.dim[2];
    xfc_value *from = xfc_n2(n, XFC_OP_SUB, xfc_n2(n, XFC_OP_SUB, g->length, held(g, g->length)), g->gone);
    xfc_value *row = xfc_n2(n, XFC_OP_ADD, xfc_n_numbers(n, rows, zero, 2), xfc_n_along(n, from, 0, 4));
    xfc_value *last = xfc_b_dims(n->b, (xfc_int[]){xfc_int_addc(n->ctx, g->keys, -1)}, -1);
    row = xfc_n2(n, XFC_OP_MIN, xfc_n2(n, XFC_OP_MAX, row, xfc_ni(n, 0)), last);
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 2);
    if (!row || !all) return NULL;
    xfc_int dim[4] = {g->batch, all->type.dim[1], rows, all->type.dim[3]}, own[4] = {g->batch, one, rows, one};
    row = xfc_b_expand(n->b, xfc_b_reshape(n->b, row, own, 4), dim, 4);
    return row ? xfc_build(n->b, XFC_OP_GATHER_ELEMENTS, (xfc_value *[]){all, row}, 2, &axis, 1) : NULL;
}

/* total_sequence_length, and the rows that each sequence has in the cache. */
static bool read_lengths(query *g) {
    xfc_node *n = g->n;
    xfc_ctx *c = n->ctx;
    uint32_t count;
    if (!check_past(g)) return false;
    xfc_int past = xfc_node_has(n, PAST_K) ? n->in[PAST_K]->type.dim[2] : xfc_int_const(c, 0);
    const bool sparse = g->at == &of_sparse;
    xfc_int most = sparse ? past : xfc_int_add(c, past, g->rows);
    const xfc_int one = xfc_int_const(c, 1);
    if (!xfc_n_equal(n, xfc_type_count(c, &n->in[g->at->total]->type), one,
                     "1 and the entries of total_sequence_length"))
        return fail(g);
    xfc_node_set_in(n, g->at->total, xfc_b_reshape(n->b, n->in[g->at->total], &one, 1));
    const xfc_int *total = xfc_node_entries(n, g->at->total, &count);
    if (!total) return fail(g);
    g->total = *total;
    if (!xfc_int_known(g->total) &&
        !xfc_n_define(n, xfc_node_list(n, g->at->total), &g->total, 1, g->slides ? NULL : &most))
        return false;
    g->seen = g->total;
    xfc_value *last = xfc_b_cast(n->b, n->in[g->at->lengths], XFC_I64);
    if (!last ||
        !xfc_n_equal(n, xfc_type_count(c, &last->type), g->batch, "the batch and the lengths of its sequences"))
        return fail(g);
    g->length = xfc_n2(n, XFC_OP_ADD, xfc_b_reshape(n->b, last, &g->batch, 1), xfc_ni(n, sparse ? 0 : 1));
    g->keys = g->rows;
    if (!xfc_node_has(n, PAST_K))
        return xfc_n_equal(n, g->total, g->rows, "without a past total_sequence_length and the rows of query");
    if (!xfc_n_at_most(n, g->rows, g->total, "the rows of query and total_sequence_length")) return false;
    if (!g->slides && !xfc_n_at_most(n, g->total, most, "total_sequence_length and the rows there are for it"))
        return false;
    g->keys = sparse ? past : xfc_int_max(c, g->total, past);
    g->prompt = xfc_n2(n, XFC_OP_EQ, xfc_b_dims(n->b, &g->rows, -1), xfc_b_dims(n->b, &g->total, -1));
    g->first = xfc_n2(n, XFC_OP_SUB, g->length, xfc_b_dims(n->b, &g->rows, -1));
    g->first = xfc_n_select(n, g->prompt, xfc_ni(n, 0), g->first);
    if (g->slides) return slide(g);
    g->first = xfc_n_within(n, g->first, xfc_int_min(c, past, xfc_int_sub(c, g->keys, g->rows)));
    return g->first || fail(g);
}

/* i64[batch or 1, rows]: a prompt takes the first of the given ones and counts on. */
static xfc_value *positions(query *g) {
    xfc_node *n = g->n;
    xfc_value *given = xfc_node_in(n, g->at->positions);
    xfc_int zero = xfc_int_const(n->ctx, 0);
    xfc_value *row = xfc_n_along(n, xfc_n_iota(n, g->rows, zero, 1, XFC_I64), 1, 2);
    if (!given && g->gone) row = xfc_n2(n, XFC_OP_ADD, row, xfc_n_along(n, g->gone, 0, 2));
    if (!given) return g->first ? xfc_n2(n, XFC_OP_ADD, row, xfc_n_along(n, g->first, 0, 2)) : row;
    if (given->type.rank != 2 ||
        !xfc_n_equal(n, given->type.dim[0], g->batch, "the batches of query and position_ids") ||
        !xfc_n_equal(n, given->type.dim[1], g->rows, "the rows of query and position_ids"))
        return xfc_node_fail(n, XFC_ERR_INPUT, "position_ids must be [batch, rows]; export the model again"), NULL;
    given = xfc_b_cast(n->b, given, XFC_I64);
    static const int64_t both[2] = {0, 1};
    xfc_value *number = xfc_n2(n, XFC_OP_ADD, xfc_n_along(n, xfc_n_iota(n, g->batch, zero, 1, XFC_I64), 0, 2),
                               xfc_n_along(n, xfc_n_iota(n, g->rows, zero, 1, XFC_I64), 1, 2));
    /* of an empty batch there is no first one */
    xfc_value *start = xfc_n_select(n, xfc_n2(n, XFC_OP_EQ, number, xfc_ni(n, 0)), given, xfc_ni(n, 0));
    start = start ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, start, both, 2, true) : NULL;
    row = xfc_n2(n, XFC_OP_ADD, row, start);
    return g->prompt ? xfc_n_select(n, g->prompt, row, given) : row;
}

/* Heads [batch, heads, rows, width] with RMS norm, times operand i, their weight. */
static xfc_value *normed(const query *g, xfc_value *v, uint32_t i) {
    xfc_node *n = g->n;
    const xfc_dtype type = v->type.dtype;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 3),
                       xfc_attr_float(XFC_K_EPS, xfc_node_float(n, "qk_norm_epsilon", (double)1e-6f))};
    xfc_value *in[] = {xfc_b_cast(n->b, v, XFC_F32), xfc_b_cast(n->b, n->in[i], XFC_F32)};
    v = in[0] && in[1] && n->status == XFC_OK ? xfc_build(n->b, XFC_OP_RMSNORM, in, 2, attr, XFC_COUNT(attr)) : NULL;
    return v ? xfc_b_cast(n->b, v, type) : NULL;
}

static bool norm(query *g) {
    xfc_node *n = g->n;
    const bool has = xfc_node_has(n, g->at->q_norm);
    if (has != xfc_node_has(n, g->at->k_norm))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has one of q_norm_weight and k_norm_weight; both or none are allowed"),
               false;
    if (!has) return true;
    g->a.q = normed(g, g->a.q, g->at->q_norm);
    g->a.k = normed(g, g->a.k, g->at->k_norm);
    return (g->a.q && g->a.k) || fail(g);
}

static bool turn(query *g) {
    xfc_node *n = g->n;
    if (!xfc_node_flag(n, "do_rotary", false)) return n->status == XFC_OK;
    if (!xfc_node_has(n, g->at->cos) || !xfc_node_has(n, g->at->sin) || n->in[g->at->cos]->type.rank != 2 ||
        n->in[g->at->sin]->type.rank != 2)
        return xfc_node_fail(n, XFC_ERR_INPUT, "do_rotary needs cos_cache and sin_cache, of two dims each"), false;
    bool neighbours = xfc_node_flag(n, "rotary_interleaved", false);
    xfc_int width = xfc_int_mulc(n->ctx, n->in[g->at->cos]->type.dim[1], 2);
    if (!xfc_n_at_most(n, width, g->width, "twice the width of cos_cache and the width of a head")) return false;
    xfc_value *at = positions(g);
    if (!at) return fail(g);
    xfc_value *cos = xfc_n_angles(n, n->in[g->at->cos], at), *sin = xfc_n_angles(n, n->in[g->at->sin], at);
    g->a.q = xfc_n_turn(n, g->a.q, cos, sin, width, neighbours, 1);
    g->a.k = xfc_n_turn(n, g->a.k, cos, sin, width, neighbours, 1);
    return (g->a.q && g->a.k) || fail(g);
}

static bool read_masks(query *g) {
    xfc_node *n = g->n;
    xfc_int zero = xfc_int_const(n->ctx, 0);
    bool causal = xfc_node_flag(n, "causal", true);
    int64_t window = xfc_node_int(n, "local_window_size", -1);
    if (window == 0 || window < -1 || (!causal && window != -1))
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "local_window_size is %lld; it must be at least 1, and -1 (none) without causal",
                             (long long)window),
               false;
    xfc_value *key = xfc_n_numbers(n, g->seen, zero, 3), *row = xfc_n_numbers(n, g->rows, zero, 2);
    if (g->first) row = xfc_n2(n, XFC_OP_ADD, row, xfc_n_along(n, g->first, 0, 4));
    if (causal)
        xfc_n_only_if(n, &g->a, xfc_n2(n, XFC_OP_LE, key, row));
    else
        xfc_n_only_if(n, &g->a, xfc_n2(n, XFC_OP_LT, key, xfc_n_along(n, g->length, 0, 4)));
    if (window >= 0) xfc_n_only_if(n, &g->a, xfc_n2(n, XFC_OP_GT, xfc_n2(n, XFC_OP_ADD, key, xfc_ni(n, window)), row));
    if (g->at == &of_sparse)
        xfc_n_only_if(n, &g->a, xfc_n_block_mask(n, ROWS, COLUMNS, g->heads, positions(g), g->total));
    xfc_value *bias = xfc_node_in(n, g->at->bias);
    if (!bias) return n->status == XFC_OK;
    if (bias->type.rank != 4)
        return xfc_node_fail(n, XFC_ERR_INPUT, "attention_bias has rank %u but must have 4", bias->type.rank), false;
    if (!xfc_n_equal(n, bias->type.dim[3], g->total, "total_sequence_length and the columns of attention_bias"))
        return false;
    g->a.add = bias;
    return true;
}

/* A score of no key: one of each head, or 0. */
static bool read_sink(query *g) {
    xfc_node *n = g->n;
    xfc_int one = xfc_int_const(n->ctx, 1), dim[4] = {one, xfc_int_const(n->ctx, g->heads), one, one};
    xfc_value *sink = xfc_node_in(n, g->at->sink);
    if (!sink) {
        if (xfc_node_flag(n, "smooth_softmax", false)) g->a.sink = xfc_nf(n, g->a.q, 0);
        return n->status == XFC_OK;
    }
    if (!xfc_n_equal(n, xfc_type_count(n->ctx, &sink->type), dim[1], "num_heads and the entries of head_sink"))
        return false;
    g->a.sink = xfc_b_reshape(n->b, sink, dim, 4);
    return g->a.sink || fail(g);
}

/* Of the keys up to total_sequence_length: before softmax, with 0 for keys that are not seen, or behind it. */
static xfc_value *scores_of(query *g, const xfc_stages *stages) {
    xfc_node *n = g->n;
    int64_t which = xfc_node_int(n, "qk_output", 0);
    xfc_value *v = stages->score[which == 1 ? 2 : 3];
    if (which == 1) v = xfc_n_select(n, g->a.keep, v, xfc_nf(n, v, 0));
    if (v && (which == 1 || which == 2)) return v;
    return xfc_node_fail(n, XFC_ERR_INPUT, "has scores as an output, but qk_output is %lld and not 1 or 2",
                         (long long)which),
           NULL;
}

static void import(xfc_node *n, const places *at) {
    query g = {.n = n, .at = at};
    xfc_stages stages;
    if (!xfc_node_has(n, at->lengths) || !xfc_node_has(n, at->total)) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs the lengths of sequences and total_sequence_length; export the model again");
        return;
    }
    if (!read_counts(&g) || !read_parts(&g) || !read_lengths(&g) || !norm(&g) || !turn(&g)) return;
    const xfc_dtype type = g.a.q->type.dtype;
    xfc_value *k = xfc_n_to_cache(n, &g.k_form, g.a.k), *v = xfc_n_to_cache(n, &g.v_form, g.a.v);
    if (!k || !v) return;
    if (g.first) {
        const xfc_int *used = at == &of_sparse ? NULL : &g.seen;
        k = xfc_n_append(n, n->in[PAST_K], k, g.first, 2, g.keys, used);
        v = xfc_n_append(n, n->in[PAST_V], v, g.first, 2, g.keys, used);
    }
    xfc_int heads = xfc_int_const(n->ctx, g.heads), zero = xfc_int_const(n->ctx, 0);
    g.a.k = xfc_n_from_cache(n, &g.k_form, xfc_b_slice_axis(n->b, k, 2, zero, g.seen, 1), type);
    g.a.v = xfc_n_from_cache(n, &g.v_form, xfc_b_slice_axis(n->b, v, 2, zero, g.seen, 1), type);
    g.a.k = xfc_n_repeat_heads(n, g.a.k, heads);
    g.a.v = xfc_n_repeat_heads(n, g.a.v, heads);
    if (!g.a.k || !g.a.v || !read_masks(&g) || !read_sink(&g)) return;
    double scale = xfc_node_float(n, "scale", 0);
    g.a.softcap = xfc_node_float(n, "softcap", 0);
    g.a.products = g.a.softmax = xfc_dtype_wide(g.a.q->type.dtype);
    xfc_n_set_scale(n, &g.a, scale != 0 ? scale : (double)NAN);
    bool scores = xfc_node_wants(n, 3);
    n->out[0] = xfc_n_join_heads(n, xfc_n_attend(n, &g.a, scores ? &stages : NULL));
    if (xfc_node_wants(n, 1)) n->out[1] = g.slides ? cut(&g, k) : k;
    if (xfc_node_wants(n, 2)) n->out[2] = g.slides ? cut(&g, v) : v;
    if (scores && n->out[0]) n->out[3] = scores_of(&g, &stages);
}

void xfc_import_group_query_attention(xfc_node *n) { import(n, &of_group_query); }

void xfc_import_sparse_attention(xfc_node *n) {
    if (xfc_node_has(n, PAST_K) && xfc_node_has(n, PAST_V) && xfc_node_has(n, ROWS) && xfc_node_has(n, COLUMNS))
        import(n, &of_sparse);
    else
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a past and the indices of blocks; export the model again");
}

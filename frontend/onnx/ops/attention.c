/* attention.c - the Attention and RotaryEmbedding operators of opset 23 and 24.
 *
 * Attention takes [batch, heads, rows, width], or [batch, rows, heads * width] with the head counts as attributes.
 * Masks of all kinds become one bias: an additive part and a condition, -inf where it fails. The plain case is the IR's
 * attention; soft caps, a wider softmax and the optional score output spell it out.
 */
#include "frontend/onnx/import.h"
#include <math.h>

typedef struct {
    xfc_value *q, *k, *v;  /* [batch, heads, rows, width] */
    xfc_int past;          /* rows of the cache before k */
    xfc_value *add, *keep; /* additive bias or NULL; condition or NULL; both broadcast to [batch, heads, rows, keys] */
    double scale, softcap;
    bool may_be_empty; /* a mask may leave a row without keys: its result is 0, as onnxruntime has it, not NaN */
} attention;

static xfc_value *slice_last(xfc_node *n, xfc_value *v, xfc_int start, xfc_int size, int64_t by) {
    return v ? xfc_b_slice_axis(n->b, v, v->type.rank - 1, start, size, by) : NULL;
}

static xfc_value *concat(xfc_node *n, xfc_value *a, xfc_value *b, int64_t axis) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){a, b}, 2, &attr, 1);
}

const int64_t xfc_swap_rows_heads[4] = {0, 2, 1, 3};

/* [batch, rows, heads * width] to [batch, heads, rows, width]; rank 4 is that already. */
xfc_value *xfc_n_split_heads(xfc_node *n, xfc_value *v, int64_t heads) {
    if (!v || v->type.rank == 4) return v;
    xfc_int h = xfc_int_const(n->ctx, heads);
    xfc_int dim[4] = {v->type.dim[0], v->type.dim[1], h, xfc_dims_divide(n->ctx, v->type.dim + 2, 1, &h, 1)};
    return xfc_b_transpose(n->b, xfc_b_reshape(n->b, v, dim, 4), xfc_swap_rows_heads);
}

static xfc_value *split_heads(xfc_node *n, xfc_value *v, const char *attr) {
    const xfc_type *t = &v->type;
    if (t->rank == 4) return v;
    int64_t heads = xfc_node_int(n, attr, 0);
    if (t->rank != 3 || heads <= 0) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "needs operands of rank 4, or of rank 3 with attribute '%s'; export the model again", attr);
        return NULL;
    }
    return xfc_n_split_heads(n, v, heads);
}

/* Keys and values of a group are shared by several query heads: [b, g, t, d] to [b, g * r, t, d], each head r times. */
static xfc_value *repeat_heads(xfc_node *n, xfc_value *v, xfc_int heads) {
    if (!v || xfc_int_same(v->type.dim[1], heads)) return v;
    const xfc_int *d = v->type.dim;
    xfc_int one = xfc_int_const(n->ctx, 1), times = xfc_dims_divide(n->ctx, &heads, 1, d + 1, 1);
    xfc_int split[5] = {d[0], d[1], one, d[2], d[3]}, grown[5] = {d[0], d[1], times, d[2], d[3]};
    xfc_int joined[4] = {d[0], heads, d[2], d[3]};
    return xfc_b_reshape(n->b, xfc_b_expand(n->b, xfc_b_reshape(n->b, v, split, 5), grown, 5), joined, 4);
}

static void and_keep(xfc_node *n, attention *a, xfc_value *condition) {
    a->keep = a->keep ? xfc_n2(n, XFC_OP_AND, a->keep, condition) : condition;
}

/* The mask over `more` keys behind those that it covers: they are masked out. */
static xfc_value *pad_mask(xfc_node *n, xfc_value *mask, xfc_int more) {
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK], zero = xfc_int_const(n->ctx, 0);
    uint32_t rank = mask->type.rank;
    for (uint32_t i = 0; i < rank; i++) before[i] = after[i] = zero;
    after[rank - 1] = more;
    xfc_graph_require_equal(n->im->graph, xfc_int_max(n->ctx, more, zero), more, n->loc);
    double fill = mask->type.dtype == XFC_BOOL ? 0 : (double)-INFINITY;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, rank), xfc_attr_dims(XFC_K_AFTER, after, rank),
                       xfc_attr_float(XFC_K_FILL, fill)};
    return xfc_build(n->b, XFC_OP_PAD, &mask, 1, attr, XFC_COUNT(attr));
}

/* Since opset 24 a mask may cover fewer keys than there are, also one key; before, one was broadcast. */
static void read_mask(xfc_node *n, attention *a, xfc_int keys) {
    xfc_value *mask = n->in[3];
    if (!mask->type.rank) {
        xfc_node_fail(n, XFC_ERR_INPUT, "the mask has rank 0; export the model again");
        return;
    }
    xfc_int have = mask->type.dim[mask->type.rank - 1];
    if (n->opset >= 24 && !xfc_int_same(have, keys)) mask = pad_mask(n, mask, xfc_int_sub(n->ctx, keys, have));
    if (mask && mask->type.dtype == XFC_BOOL)
        and_keep(n, a, mask);
    else
        a->add = mask ? xfc_b_cast(n->b, mask, a->q->type.dtype) : NULL;
}

static xfc_value *index_along(xfc_node *n, xfc_int size, xfc_int start, uint32_t axis) {
    return xfc_n_along(n, xfc_n_iota(n, size, start, 1, XFC_I64), axis, 4);
}

/* Key j is seen by row i when j <= past + i; where the cache is outside of the operator, its last `rows` valid keys are
 * those of the rows themselves, so the past is length - rows, for each sequence. */
static void read_masks(xfc_node *n, attention *a) {
    xfc_int zero = xfc_int_const(n->ctx, 0), rows = a->q->type.dim[2], keys = a->k->type.dim[2];
    bool causal = xfc_node_flag(n, "is_causal", false), outside = xfc_node_has(n, 6);
    a->may_be_empty = xfc_node_has(n, 3) || outside;
    if (xfc_node_has(n, 3)) read_mask(n, a, keys);
    if (!causal && !outside) return;
    xfc_value *key = index_along(n, keys, zero, 3), *length = NULL, *last;
    if (outside) length = xfc_n_along(n, xfc_b_cast(n->b, n->in[6], XFC_I64), 0, 4);
    last = length;
    if (causal) last = index_along(n, rows, outside ? xfc_int_sub(n->ctx, zero, rows) : a->past, 2);
    if (causal && outside) last = xfc_n2(n, XFC_OP_ADD, last, length);
    if (key && last) and_keep(n, a, xfc_n2(n, causal ? XFC_OP_LE : XFC_OP_LT, key, last));
}

static xfc_value *bias_of(xfc_node *n, const attention *a) {
    if (!a->keep) return a->add;
    xfc_value *add = a->add ? a->add : xfc_nf(n, a->q, 0);
    return xfc_b_select(n->b, a->keep, add, xfc_nf(n, a->q, (double)-INFINITY));
}

/* Present outputs and grouped heads; false after a failure. */
static bool read_operands(xfc_node *n, attention *a) {
    a->q = split_heads(n, n->in[0], "q_num_heads");
    a->k = split_heads(n, n->in[1], "kv_num_heads");
    a->v = split_heads(n, n->in[2], "kv_num_heads");
    a->past = xfc_int_const(n->ctx, 0);
    if (xfc_node_has(n, 4) != xfc_node_has(n, 5))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has one of past_key and past_value; both or none are allowed"), false;
    if (xfc_node_has(n, 4) && xfc_node_has(n, 6))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has past_key and nonpad_kv_seqlen; leave one of them out"), false;
    if (xfc_node_has(n, 4)) {
        if (n->in[4]->type.rank != 4) return xfc_node_fail(n, XFC_ERR_INPUT, "past_key must have rank 4"), false;
        a->past = n->in[4]->type.dim[2];
        a->k = concat(n, n->in[4], a->k, 2);
        a->v = concat(n, n->in[5], a->v, 2);
    }
    if (!a->q || !a->k || !a->v) return false;
    if (xfc_node_wants(n, 1)) n->out[1] = a->k;
    if (xfc_node_wants(n, 2)) n->out[2] = a->v;
    a->k = repeat_heads(n, a->k, a->q->type.dim[1]);
    a->v = repeat_heads(n, a->v, a->q->type.dim[1]);
    int64_t width;
    bool known = xfc_int_value(n->ctx, a->q->type.dim[3], &width) && width > 0;
    if (!known && !xfc_node_attr(n, "scale"))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "the width of a head is not constant; fix it with --dim"), false;
    a->scale = xfc_node_float(n, "scale", known ? 1 / sqrt((double)width) : 1);
    a->softcap = xfc_node_float(n, "softcap", 0);
    return a->k && a->v;
}

/* q and k are scaled by the root of the scale each, as the specification has it, so that f16 does not overflow. */
static xfc_value *spelled_out(xfc_node *n, const attention *a, xfc_value *bias) {
    static const int64_t swap[] = {0, 1, 3, 2};
    int64_t mode = xfc_node_int(n, "qk_matmul_output_mode", 0), precision = xfc_node_int(n, "softmax_precision", 0);
    xfc_dtype type = a->q->type.dtype, wide = type;
    if (precision && !xfc_dtype_from_onnx(precision, &wide))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "softmax_precision %lld is not supported", (long long)precision),
               NULL;
    xfc_value *root = xfc_nf(n, a->q, sqrt(a->scale));
    xfc_value *score = xfc_b_matmul(n->b, xfc_n2(n, XFC_OP_MUL, a->q, root),
                                    xfc_b_transpose(n->b, xfc_n2(n, XFC_OP_MUL, a->k, root), swap));
    xfc_value *stage[4] = {score};
    if (a->softcap > 0) {
        xfc_value *cap = xfc_nf(n, score, a->softcap);
        score = xfc_n2(n, XFC_OP_MUL, xfc_n1(n, XFC_OP_TANH, xfc_n2(n, XFC_OP_DIV, score, cap)), cap);
    }
    stage[1] = score;
    stage[2] = score = bias ? xfc_n2(n, XFC_OP_ADD, score, xfc_n_fitting(n, bias, score, "the mask")) : score;
    if (!score) return NULL;
    xfc_value *x = xfc_b_cast(n->b, score, wide);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 3);
    xfc_value *p = xfc_build(n->b, XFC_OP_SOFTMAX, &x, 1, &axis, 1);
    if (p && a->may_be_empty) p = xfc_b_select(n->b, xfc_n1(n, XFC_OP_ISNAN, p), xfc_nf(n, p, 0), p);
    if (!p) return NULL;
    stage[3] = p = xfc_b_cast(n->b, p, type);
    if (mode < 0 || mode > 3) return xfc_node_fail(n, XFC_ERR_INPUT, "qk_matmul_output_mode must be 0 to 3"), NULL;
    if (xfc_node_wants(n, 3)) n->out[3] = stage[mode];
    return xfc_b_matmul(n->b, p, a->v);
}

void xfc_import_attention(xfc_node *n) {
    attention a = {0};
    if (!read_operands(n, &a)) return;
    read_masks(n, &a);
    xfc_value *bias = bias_of(n, &a), *y;
    if (n->status != XFC_OK || ((a.keep || a.add) && !bias)) return;
    bool plain = a.softcap <= 0 && !xfc_node_wants(n, 3) && !xfc_node_int(n, "softmax_precision", 0);
    if (plain) {
        xfc_attr attr[] = {xfc_attr_float(XFC_K_SCALE, a.scale), xfc_attr_int(XFC_K_NAN_TO_ZERO, a.may_be_empty)};
        y = xfc_build_opt(n->b, XFC_OP_ATTENTION, (xfc_value *[]){a.q, a.k, a.v, bias}, bias ? 4 : 3, attr,
                          XFC_COUNT(attr));
    } else {
        y = spelled_out(n, &a, bias);
    }
    if (y && n->in[0]->type.rank == 3) {
        const xfc_int *d = y->type.dim;
        xfc_int joined[3] = {d[0], d[2], xfc_int_mul(n->ctx, d[1], d[3])};
        y = xfc_b_reshape(n->b, xfc_b_transpose(n->b, y, xfc_swap_rows_heads), joined, 3);
    }
    n->out[0] = y;
}

/* cos or sin of each position, as [batch, rows, 1, half] or [batch, 1, rows, half]. */
static xfc_value *rotary_table(xfc_node *n, xfc_value *cache, uint32_t head_axis, xfc_int half) {
    if (xfc_node_has(n, 3)) {
        xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
        cache = xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){cache, n->in[3]}, 2, &axis, 1);
    }
    if (!cache) return NULL;
    if (cache->type.rank != 3)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "the tables of angles must have rank 3 for each position; export the model again"),
               NULL;
    if (!xfc_n_at_most(n, half, cache->type.dim[2], "the width of a head and the tables of angles")) return NULL;
    cache = slice_last(n, cache, xfc_int_const(n->ctx, 0), half, 1);
    const xfc_int *d = n->in[0]->type.dim;
    xfc_int one = xfc_int_const(n->ctx, 1), rows = cache ? cache->type.dim[1] : one,
            batch = cache ? cache->type.dim[0] : d[0];
    xfc_int with_heads[4] = {batch, head_axis == 1 ? one : rows, head_axis == 1 ? rows : one, half};
    return cache ? xfc_b_reshape(n->b, cache, with_heads, 4) : NULL;
}

/* The first `width` elements of a head are pairs (a, b), turned to (a cos - b sin, a sin + b cos); pairs are halves
 * apart or neighbours. */
static xfc_value *rotate(xfc_node *n, xfc_value *x, xfc_int width, uint32_t head_axis) {
    xfc_ctx *c = n->ctx;
    bool neighbours = xfc_node_flag(n, "interleaved", false);
    xfc_int two = xfc_int_const(c, 2), half = xfc_dims_divide(c, &width, 1, &two, 1), zero = xfc_int_const(c, 0),
            one = xfc_int_const(c, 1);
    xfc_value *cos = rotary_table(n, n->in[1], head_axis, half), *sin = rotary_table(n, n->in[2], head_axis, half);
    xfc_value *a = slice_last(n, x, zero, half, neighbours ? 2 : 1),
              *b = slice_last(n, x, neighbours ? one : half, half, neighbours ? 2 : 1);
    xfc_value *real = xfc_n2(n, XFC_OP_SUB, xfc_n2(n, XFC_OP_MUL, cos, a), xfc_n2(n, XFC_OP_MUL, sin, b));
    xfc_value *imag = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, sin, a), xfc_n2(n, XFC_OP_MUL, cos, b));
    if (!real || !imag || !neighbours) return concat(n, real, imag, 3);
    const xfc_int *d = real->type.dim;
    xfc_int pair[5] = {d[0], d[1], d[2], half, one}, joined[4] = {d[0], d[1], d[2], width};
    return xfc_b_reshape(n->b, concat(n, xfc_b_reshape(n->b, real, pair, 5), xfc_b_reshape(n->b, imag, pair, 5), 4),
                         joined, 4);
}

void xfc_import_rotary_embedding(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    xfc_value *x = n->in[0];
    xfc_type t = x->type;
    int64_t heads = xfc_node_int(n, "num_heads", 0), partial = xfc_node_int(n, "rotary_embedding_dim", 0);
    if ((t.rank != 4 && (t.rank != 3 || heads <= 0)) || partial < 0) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "needs an operand of rank 4, or of rank 3 with num_heads; export the model again");
        return;
    }
    uint32_t head_axis = t.rank == 4 ? 1 : 2;
    if (t.rank == 3) {
        xfc_int h = xfc_int_const(c, heads), dim[4] = {t.dim[0], t.dim[1], h, xfc_dims_divide(c, t.dim + 2, 1, &h, 1)};
        x = xfc_b_reshape(n->b, x, dim, 4);
    }
    if (!x) return;
    xfc_int all = x->type.dim[3], width = partial ? xfc_int_const(c, partial) : all;
    xfc_value *turned = rotate(n, slice_last(n, x, xfc_int_const(c, 0), width, 1), width, head_axis);
    if (partial) turned = concat(n, turned, slice_last(n, x, width, xfc_int_sub(c, all, width), 1), 3);
    n->out[0] = turned ? xfc_b_reshape(n->b, turned, t.dim, t.rank) : NULL;
}

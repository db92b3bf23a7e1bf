/* contrib_attention.c - onnxruntime's attention operators (domain com.microsoft) as projections and the IR's
 * attention.
 *
 * Masks add a finite filter value where a key is not seen, as onnxruntime does; so a row that sees no key is an average
 * of all values, not NaN. A past is rows in front of the new ones; or, where past_sequence_length is given, a buffer of
 * which so many rows are in use, and the new ones are written behind those.
 */
#include "frontend/onnx/attention/attention.h"
#include "frontend/onnx/quant/quant.h"
#include "ir/ops/ops.h"
#include <math.h>

typedef struct {
    xfc_node *n;
    xfc_heads a;
    xfc_int past;     /* rows in front of the new ones */
    xfc_value *first; /* the same where only the run knows it, i64[batch]; else NULL */
    xfc_value *used;  /* then: the operand that says it */
    xfc_int fresh;    /* new rows of keys */
} query;

static xfc_value *last_part(xfc_node *n, xfc_value *v, xfc_int start, xfc_int size) {
    return v ? xfc_b_slice_axis(n->b, v, v->type.rank - 1, start, size, 1) : NULL;
}

static double lowest(xfc_dtype t) { return t == XFC_F16 ? -65504 : t == XFC_BF16 ? -0x1.fep127 : -0x1.fffffep127; }

/* v where -inf is the lowest number: scores as onnxruntime shows them, and masks, with which a row that sees no key stays an average. */
static xfc_value *finite(xfc_node *n, xfc_value *v) {
    return v ? xfc_n2(n, XFC_OP_MAX, v, xfc_nf(n, v, lowest(v->type.dtype))) : NULL;
}

static void add_bias(query *g, xfc_value *bias) {
    g->a.add = g->a.add ? xfc_n2(g->n, XFC_OP_ADD, g->a.add, bias) : bias;
}

static void add_condition(query *g, xfc_value *seen, double otherwise) {
    xfc_value *q = g->a.q;
    add_bias(g, xfc_n_select(g->n, seen, xfc_nf(g->n, q, 0), xfc_nf(g->n, q, otherwise)));
}

/* Key numbers, broadcast over [batch, heads, rows, keys]. */
static xfc_value *key_numbers(const query *g) {
    return xfc_n_numbers(g->n, g->a.k->type.dim[2], xfc_int_const(g->n->ctx, 0), 3);
}

/* Key numbers below [batch] ends; of [2 * batch] numbers the second half are starts, of more the first are lengths. */
static xfc_value *seen_by_length(query *g, xfc_value *mask) {
    xfc_node *n = g->n;
    xfc_int batch = g->a.q->type.dim[0], zero = xfc_int_const(n->ctx, 0), twice = xfc_int_mulc(n->ctx, batch, 2);
    const xfc_int thrice = xfc_int_addc(n->ctx, xfc_int_mulc(n->ctx, batch, 3), 2);
    xfc_value *key = key_numbers(g), *end = xfc_b_cast(n->b, mask, XFC_I64);
    if (end && xfc_int_same(mask->type.dim[0], thrice)) end = xfc_b_slice_axis(n->b, end, 0, zero, batch, 1);
    if (!end) return NULL;
    if (!xfc_int_same(mask->type.dim[0], twice) || xfc_int_is(n->ctx, batch, 0))
        return xfc_n2(n, XFC_OP_LT, key, xfc_n_along(n, end, 0, 4));
    xfc_value *start = xfc_n_along(n, xfc_b_slice_axis(n->b, end, 0, batch, batch, 1), 0, 4);
    end = xfc_n_along(n, xfc_b_slice_axis(n->b, end, 0, zero, batch, 1), 0, 4);
    return xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_LT, key, end), xfc_n2(n, XFC_OP_GE, key, start));
}

/* Lengths alone: [batch]; with ends and starts [2 * batch]; or with two lists of where sequences begin. */
static bool is_lengths(const query *g, const xfc_type *t) {
    xfc_ctx *c = g->n->ctx;
    const xfc_int batch = g->a.q->type.dim[0];
    return t->rank == 1 &&
           (xfc_int_eq(c, t->dim[0], batch) != 0 || xfc_int_same(t->dim[0], xfc_int_mulc(c, batch, 2)) ||
            xfc_int_same(t->dim[0], xfc_int_addc(c, xfc_int_mulc(c, batch, 3), 2)));
}

/* [batch, 1 or rows, keys] as [batch, 1, .., keys]; of [batch, 1, most, most] the rows behind the past, and the keys there are. */
static xfc_value *mask_of_four(query *g, xfc_value *mask) {
    xfc_node *n = g->n;
    const xfc_type *t = &mask->type;
    const xfc_int one = xfc_int_const(n->ctx, 1), rows = g->a.q->type.dim[2], keys = g->a.k->type.dim[2];
    if (t->rank < 4)
        return xfc_b_reshape(n->b, mask,
                             (xfc_int[]){t->dim[0], one, t->rank == 3 ? t->dim[1] : one, t->dim[t->rank - 1]}, 4);
    if (!xfc_n_at_most(n, xfc_int_add(n->ctx, g->past, rows), t->dim[2],
                       "the rows up to the last one and those of the mask") ||
        !xfc_n_at_most(n, keys, t->dim[3], "the keys and the columns of the mask"))
        return NULL;
    mask = xfc_b_slice_axis(n->b, mask, 2, g->past, rows, 1);
    return mask ? xfc_b_slice_axis(n->b, mask, 3, xfc_int_const(n->ctx, 0), keys, 1) : NULL;
}

/* A mask of lengths, or of ones and zeros [batch, keys], [batch, rows, keys] or [batch, 1, most, most]. */
static bool add_mask(query *g, xfc_value *mask) {
    xfc_node *n = g->n;
    const xfc_type *t = &mask->type;
    const double filter = fmax(xfc_node_float(n, "mask_filter_value", -10000), lowest(g->a.q->type.dtype));
    if (!xfc_dtype_is_int(t->dtype) || t->rank > 4 || (t->rank < 2 && !is_lengths(g, t)) || (t->rank == 4 && g->first))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                             "a mask %s is not supported; give it as [batch, keys] or [batch, rows, keys] of integers",
                             xfc_type_text(n->ctx, t)),
               false;
    xfc_value *seen;
    if (t->rank == 1) {
        seen = seen_by_length(g, mask);
    } else {
        mask = mask_of_four(g, mask);
        if (g->first) mask = xfc_n_pad_keys(n, mask, g->a.k->type.dim[2], 0);
        seen = xfc_n2(n, XFC_OP_GT, mask, xfc_nf(n, mask, 0));
    }
    add_condition(g, seen, filter);
    return g->a.add != NULL;
}

/* The operand at `mask`, the bias at `added`, the causal flag, and what of a buffer is not in use. */
static bool add_masks(query *g, uint32_t mask, uint32_t added) {
    xfc_node *n = g->n;
    xfc_int rows = g->a.q->type.dim[2], keys = g->a.k->type.dim[2], top = xfc_int_addc(n->ctx, g->fresh, -1);
    bool causal = xfc_node_flag(n, "unidirectional", false);
    if (xfc_node_has(n, mask) && !add_mask(g, n->in[mask])) return false;
    if (xfc_node_has(n, added)) add_bias(g, g->first ? xfc_n_pad_keys(n, n->in[added], keys, 0) : n->in[added]);
    if (xfc_node_has(n, mask) && xfc_node_has(n, added))
        g->a.add = finite(n, g->a.add); /* their sum may be too low for f16 */
    if (causal || g->first) {
        xfc_value *last = causal ? xfc_n_numbers(n, rows, g->past, 2) : xfc_b_dims(n->b, &top, -1);
        if (g->first) last = xfc_n2(n, XFC_OP_ADD, last, xfc_n_along(n, g->first, 0, 4));
        add_condition(g, xfc_n2(n, XFC_OP_LE, key_numbers(g), last), (double)-INFINITY);
    }
    return n->status == XFC_OK;
}

static xfc_value *attend(query *g, xfc_stages *stages) {
    double scale = xfc_node_float(g->n, "scale", 0);
    g->a.products = g->a.softmax = xfc_dtype_wide(g->a.q->type.dtype);
    xfc_n_set_scale(g->n, &g->a, scale != 0 ? scale : (double)NAN);
    return xfc_n_join_heads(g->n, xfc_n_attend(g->n, &g->a, stages));
}

static int64_t head_count(xfc_node *n) {
    int64_t count = xfc_node_int(n, "num_heads", 0);
    if (count <= 0 && n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT, "needs the attribute num_heads; export the model again");
    return count;
}

/* The past in front of keys and values, [batch, heads, rows, width] each; used: how many rows of it are, or NULL. */
static bool take_past(query *g, xfc_value *k, xfc_value *v, xfc_value *used) {
    xfc_node *n = g->n;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 2);
    const xfc_type *t = k ? &k->type : NULL;
    g->fresh = g->a.k->type.dim[2];
    g->past = xfc_int_const(n->ctx, 0);
    if (!k && !v && !used) return true;
    if (!k || !v || k->type.rank != 4 || v->type.rank != 4)
        return xfc_node_fail(n, XFC_ERR_INPUT, "needs past keys and values both, of rank 4; export the model again"),
               false;
    if (used) {
        xfc_int batch = t->dim[0], one = xfc_int_const(n->ctx, 1), rows = g->fresh;
        if (!xfc_n_equal(n, xfc_type_count(n->ctx, &used->type), one, "1 and the entries of past_sequence_length") ||
            !xfc_n_equal(n, t->dim[2], v->type.dim[2], "the rows of past keys and values"))
            return false;
        g->used = used;
        used = xfc_b_expand(n->b, xfc_b_reshape(n->b, xfc_b_cast(n->b, used, XFC_I64), &one, 1), &batch, 1);
        g->first = xfc_n_within(n, used, xfc_int_sub(n->ctx, t->dim[2], rows));
        g->a.k = xfc_n_append(n, k, g->a.k, g->first, 2, t->dim[2], NULL);
        g->a.v = xfc_n_append(n, v, g->a.v, g->first, 2, t->dim[2], NULL);
    } else {
        g->past = t->dim[2];
        g->a.k = xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){k, g->a.k}, 2, &axis, 1);
        g->a.v = xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){v, g->a.v}, 2, &axis, 1);
    }
    return g->a.k && g->a.v;
}

/* --- Attention and QAttention: projections inside --- */

/* Half `i` of [2, batch, heads, rows, width]. */
static xfc_value *half(xfc_node *n, xfc_value *past, int64_t i) {
    if (!past) return NULL;
    if (past->type.rank != 5)
        return xfc_node_fail(n, XFC_ERR_INPUT, "the past has rank %u but must have 5; export the model again",
                             past->type.rank),
               NULL;
    past = xfc_b_slice_axis(n->b, past, 0, xfc_int_const(n->ctx, i), xfc_int_const(n->ctx, 1), 1);
    return past ? xfc_b_reshape(n->b, past, past->type.dim + 1, 4) : NULL;
}

static xfc_value *both(xfc_node *n, xfc_value *k, xfc_value *v) {
    xfc_int one = xfc_int_const(n->ctx, 1);
    const xfc_int *dk = k->type.dim, *dv = v->type.dim;
    xfc_int kd[5] = {one, dk[0], dk[1], dk[2], dk[3]}, vd[5] = {one, dv[0], dv[1], dv[2], dv[3]};
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *part[2] = {xfc_b_reshape(n->b, k, kd, 5), xfc_b_reshape(n->b, v, vd, 5)};
    return xfc_build(n->b, XFC_OP_CONCAT, part, 2, &axis, 1);
}

/* Input and weights of q, k and v side by side are a tensor and a matrix. */
static bool check_projection(xfc_node *n) {
    if (n->status != XFC_OK) return false;
    if (xfc_node_flag(n, "do_rotary", false))
        return xfc_node_fail(
                   n, XFC_ERR_UNSUPPORTED,
                   "do_rotary is not supported, its angles are those of one kind of GPU; export with RotaryEmbedding"),
               false;
    if (n->in[0]->type.rank == 3 && n->in[1]->type.rank == 2) return n->status == XFC_OK;
    return xfc_node_fail(n, XFC_ERR_INPUT,
                         "needs [batch, rows, width] and one matrix of weights; export the model again"),
           false;
}

typedef struct {
    uint32_t mask, past, added, used;
} operands; /* where they stand */

bool xfc_n_parts_of(xfc_node *n, xfc_value *all, xfc_value *part[3]) {
    int64_t count = head_count(n);
    const int64_t *sizes;
    uint32_t n_sizes;
    bool given = xfc_node_ints(n, "qkv_hidden_sizes", &sizes, &n_sizes);
    if (given && n_sizes != 3)
        xfc_node_fail(n, XFC_ERR_INPUT, "'qkv_hidden_sizes' needs three sizes; export the model again");
    if (!all || n->status != XFC_OK) return false;
    xfc_ctx *c = n->ctx;
    if (xfc_node_has(n, 2)) all = xfc_n2(n, XFC_OP_ADD, all, xfc_n_fitting(n, n->in[2], all, "the bias"));
    xfc_int third = xfc_int_floordiv(c, n->in[1]->type.dim[1], xfc_int_const(c, 3)), from = xfc_int_const(c, 0);
    for (uint32_t i = 0; i < 3; i++) {
        xfc_int size = given ? xfc_int_const(c, sizes[i]) : third;
        part[i] = xfc_n_split_heads(n, last_part(n, all, from, size), count);
        from = xfc_int_add(c, from, size);
    }
    return xfc_n_equal(n, from, n->in[1]->type.dim[1], "the columns of the weights and the widths of q, k and v") &&
           part[0] && part[1] && part[2];
}

/* all: queries, keys and values side by side, without the bias of operand 2. */
static void attend_parts(xfc_node *n, xfc_value *all, operands at) {
    xfc_value *part[3];
    if (!xfc_n_parts_of(n, all, part)) return;
    query g = {.n = n, .a = {.q = part[0], .k = part[1], .v = part[2]}};
    xfc_value *past = xfc_node_in(n, at.past),
              *used = xfc_node_flag(n, "past_present_share_buffer", false) ? xfc_node_in(n, at.used) : NULL;
    if (!take_past(&g, half(n, past, 0), half(n, past, 1), used) || n->status != XFC_OK) return;
    if (xfc_node_wants(n, 1)) n->out[1] = both(n, g.a.k, g.a.v);
    if (add_masks(&g, at.mask, at.added)) n->out[0] = attend(&g, NULL);
}

/* input, weights of q, k and v side by side, their bias, mask, past, bias of the scores, rows of the past in use */
void xfc_import_ms_attention(xfc_node *n) {
    operands at = {.mask = 3, .past = 4, .added = 5, .used = 6};
    if (check_projection(n)) attend_parts(n, xfc_b_matmul(n->b, n->in[0], n->in[1]), at);
}

/* As Attention; rows of the past in use, and beams behind them. A buffer has the layout of one kind of GPU. */
void xfc_import_decoder_masked_self_attention(xfc_node *n) {
    operands at = {.mask = 3, .past = 4, .added = 5, .used = 6};
    if (xfc_node_flag(n, "past_present_share_buffer", false) || xfc_node_has(n, 7) || xfc_node_has(n, 8)) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                          "past_present_share_buffer and searches along beams are not supported; export without");
        return;
    }
    if (check_projection(n)) attend_parts(n, xfc_b_matmul(n->b, n->in[0], n->in[1]), at);
}

/* input and weights in few bits, bias, the scales of input and weights, mask, their zero points, past */
void xfc_import_qattention(xfc_node *n) {
    xfc_value *x = n->in[0], *w = n->in[1];
    xfc_quant qx, qw;
    operands at = {.mask = 5, .past = 8, .added = n->n_in, .used = n->n_in};
    if (!check_projection(n) || !xfc_quant_read(n, &x->type, x->type.dtype, 3, 6, 0, 0, false, &qx) ||
        !xfc_quant_read(n, &w->type, w->type.dtype, 4, 7, 1, 0, false, &qw))
        return;
    xfc_value *sum = xfc_n_matmul_integer(n, x, w, qx.zero, qw.zero);
    attend_parts(n, xfc_n_rescale(n, sum, qx.scale, qw.scale), at);
}

/* --- MultiHeadAttention: queries, keys and values as operands --- */

/* Number i of those that stand side by side in [batch, rows, heads, .., width], as [batch, rows, heads * width]. */
static xfc_value *of_packed(xfc_node *n, xfc_value *all, int64_t i) {
    xfc_value *v = xfc_b_slice_axis(n->b, all, 3, xfc_int_const(n->ctx, i), xfc_int_const(n->ctx, 1), 1);
    const xfc_int *d = all->type.dim;
    xfc_int joined[3] = {d[0], d[1], xfc_int_mul(n->ctx, d[2], d[4])};
    return v ? xfc_b_reshape(n->b, v, joined, 3) : NULL;
}

/* q, k and v as they are given, of rank 3, or 4 where they are split into heads. */
static bool read_three(xfc_node *n, xfc_value **part) {
    part[0] = n->in[0], part[1] = xfc_node_in(n, 1), part[2] = xfc_node_in(n, 2);
    if (!part[1] && !part[2] && part[0]->type.rank == 3) {
        xfc_int three = xfc_int_const(n->ctx, 3), at = xfc_int_const(n->ctx, 0);
        xfc_int size = xfc_dims_divide(n->ctx, part[0]->type.dim + 2, 1, &three, 1);
        for (uint32_t i = 0; i < 3; i++, at = xfc_int_add(n->ctx, at, size)) part[i] = last_part(n, n->in[0], at, size);
    } else if (!part[1] && !part[2] && part[0]->type.rank == 5) {
        for (uint32_t i = 0; i < 3; i++) part[i] = of_packed(n, n->in[0], i);
    } else if (part[1] && !part[2] && part[1]->type.rank == 5) {
        for (uint32_t i = 0; i < 2; i++) part[1 + i] = of_packed(n, n->in[1], i);
    }
    for (uint32_t i = 0; i < 3 && n->status == XFC_OK; i++) {
        uint32_t rank = part[i] ? part[i]->type.rank : 0;
        if (rank != 3 && !(rank == 4 && i > 0))
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "needs query, key and value as [batch, rows, width], or packed, or the last two as [batch, "
                          "heads, rows, width]; export the model again");
    }
    return n->status == XFC_OK;
}

/* Where MultiHeadAttention and DecoderMaskedMultiHeadAttention have what; beams: from here on they are not supported. */
typedef struct {
    uint32_t bias, mask, added, past, used, beams, n_beams;
} places;

/* What lies in front of a row is not defined where there are other keys than rows. */
static bool same_rows(const query *g) {
    return xfc_n_equal(g->n, g->a.q->type.dim[2], g->a.k->type.dim[2],
                       "with unidirectional the rows of query and of key");
}

/* The scores of the rows that are in use. */
static xfc_value *scores_in_use(const query *g, xfc_value *v) {
    xfc_node *n = g->n;
    if (!v || !g->first) return v;
    const xfc_int keys = g->a.k->type.dim[2], one = xfc_int_const(n->ctx, 1);
    xfc_int total = XFC_INT_NONE;
    xfc_value *count = xfc_n2(n, XFC_OP_ADD, xfc_b_reshape(n->b, xfc_b_cast(n->b, g->used, XFC_I64), &one, 1),
                              xfc_b_dims(n->b, &g->fresh, 1));
    if (!xfc_n_define(n, count, &total, 1, &keys)) return NULL;
    return xfc_b_slice_axis(n->b, v, 3, xfc_int_const(n->ctx, 0), total, 1);
}

static void multi_head(xfc_node *n, const places *at) {
    xfc_stages stages;
    int64_t count = head_count(n);
    xfc_value *part[3];
    if (n->status != XFC_OK || !read_three(n, part)) return;
    for (uint32_t i = 0; i < at->n_beams; i++)
        if (xfc_node_has(n, at->beams + i)) {
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "a search along beams is not supported; export without");
            return;
        }
    xfc_int from = xfc_int_const(n->ctx, 0);
    for (uint32_t i = 0; i < 3; i++) {
        bool split = part[i]->type.rank == 4;
        const xfc_int *d = part[i]->type.dim;
        xfc_int size = split ? xfc_int_mul(n->ctx, d[1], d[3]) : d[2];
        if (xfc_node_has(n, at->bias) && !split)
            part[i] = xfc_n2(n, XFC_OP_ADD, part[i], last_part(n, n->in[at->bias], from, size));
        from = xfc_int_add(n->ctx, from, size);
        part[i] = xfc_n_split_heads(n, part[i], count);
    }
    if (xfc_node_has(n, at->bias) &&
        !xfc_n_equal(n, from, n->in[at->bias]->type.dim[0], "the bias and the widths of q, k and v"))
        return;
    query g = {.n = n, .a = {.q = part[0], .k = part[1], .v = part[2]}};
    if (!g.a.q || !g.a.k || !g.a.v || (xfc_node_flag(n, "unidirectional", false) && !same_rows(&g)) ||
        !take_past(&g, xfc_node_in(n, at->past), xfc_node_in(n, at->past + 1), xfc_node_in(n, at->used)))
        return;
    bool scores = xfc_node_wants(n, 3);
    if (xfc_node_wants(n, 1)) n->out[1] = g.a.k;
    if (xfc_node_wants(n, 2)) n->out[2] = g.a.v;
    if (!add_masks(&g, at->mask, at->added)) return;
    n->out[0] = attend(&g, scores ? &stages : NULL);
    if (scores && n->out[0]) n->out[3] = scores_in_use(&g, finite(n, stages.score[2]));
}

/* query, key, value, their bias, mask of the keys, bias of the scores, past, rows of it in use, beams */
void xfc_import_multi_head_attention(xfc_node *n) {
    static const places at = {.bias = 3, .mask = 4, .added = 5, .past = 6, .used = 8, .beams = 9, .n_beams = 1};
    multi_head(n, &at);
}

/* query, key, value, mask of the keys, bias of the scores, past, rows of it in use, beams, bias */
void xfc_import_decoder_masked_attention(xfc_node *n) {
    static const places at = {.bias = 10, .mask = 3, .added = 4, .past = 5, .used = 7, .beams = 8, .n_beams = 2};
    multi_head(n, &at);
}

/* contrib_attention.c - onnxruntime's attention operators (domain com.microsoft) as projections and the IR's
 * attention: without a cache, which its optimiser does not write for encoders.
 *
 * Masks add a finite filter value where a key is not seen, as onnxruntime does; so a row that sees no key is an average
 * of all values, not NaN.
 */
#include "frontend/onnx/attention.h"
#include "frontend/onnx/quant.h"
#include <math.h>

static xfc_value *last_part(xfc_node *n, xfc_value *v, xfc_int start, xfc_int size) {
    return v ? xfc_b_slice_axis(n->b, v, v->type.rank - 1, start, size, 1) : NULL;
}

static void add_bias(xfc_node *n, xfc_heads *a, xfc_value *bias) {
    a->add = a->add ? xfc_n2(n, XFC_OP_ADD, a->add, bias) : bias;
}

static void add_condition(xfc_node *n, xfc_heads *a, xfc_value *seen, double otherwise) {
    add_bias(n, a, xfc_n_select(n, seen, xfc_nf(n, a->q, 0), xfc_nf(n, a->q, otherwise)));
}

/* Key numbers, broadcast over [batch, heads, rows, keys]. */
static xfc_value *key_numbers(xfc_node *n, const xfc_heads *a) {
    return xfc_n_numbers(n, a->k->type.dim[2], xfc_int_const(n->ctx, 0), 3);
}

/* A mask of [batch] lengths, or of ones and zeros [batch, keys] or [batch, rows, keys]. */
static bool add_mask(xfc_node *n, xfc_heads *a, xfc_value *mask) {
    const xfc_type *t = &mask->type;
    xfc_int one = xfc_int_const(n->ctx, 1);
    double filter = xfc_node_float(n, "mask_filter_value", -10000);
    if (t->rank < 1 || t->rank > 3 || !xfc_dtype_is_int(t->dtype) ||
        (t->rank == 1 && xfc_int_eq(n->ctx, t->dim[0], a->q->type.dim[0]) == 0))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "a mask of this form is not supported"), false;
    xfc_value *seen;
    if (t->rank == 1) {
        xfc_value *length = xfc_n_along(n, xfc_b_cast(n->b, mask, XFC_I64), 0, 4);
        seen = xfc_n2(n, XFC_OP_LT, key_numbers(n, a), length);
    } else {
        xfc_int dim[4] = {t->dim[0], one, t->rank == 3 ? t->dim[1] : one, t->dim[t->rank - 1]};
        mask = xfc_b_reshape(n->b, mask, dim, 4);
        seen = xfc_n2(n, XFC_OP_GT, mask, xfc_nf(n, mask, 0));
    }
    add_condition(n, a, seen, filter);
    return a->add != NULL;
}

/* The operand at `mask`, the bias at `added`, and the causal flag. */
static bool add_masks(xfc_node *n, xfc_heads *a, uint32_t mask, uint32_t added) {
    if (xfc_node_has(n, mask) && !add_mask(n, a, n->in[mask])) return false;
    if (xfc_node_flag(n, "unidirectional", false)) {
        xfc_value *row = xfc_n_numbers(n, a->q->type.dim[2], xfc_int_const(n->ctx, 0), 2);
        add_condition(n, a, xfc_n2(n, XFC_OP_LE, key_numbers(n, a), row), (double)-INFINITY);
    }
    if (xfc_node_has(n, added)) add_bias(n, a, n->in[added]);
    return n->status == XFC_OK;
}

static xfc_value *attend(xfc_node *n, xfc_heads *a) {
    double scale = xfc_node_float(n, "scale", 0);
    xfc_n_set_scale(n, a, scale != 0 ? scale : (double)NAN);
    return xfc_n_join_heads(n, xfc_n_attend(n, a, NULL));
}

static bool no_cache(xfc_node *n, uint32_t first, uint32_t last) {
    bool none = !xfc_node_wants(n, 1) && !xfc_node_wants(n, 2);
    for (uint32_t i = first; i <= last; i++) none = none && !xfc_node_has(n, i);
    return none || (xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                                  "a cache of keys and values is not supported here; export without it"),
                    false);
}

static int64_t head_count(xfc_node *n) {
    int64_t count = xfc_node_int(n, "num_heads", 0);
    if (count <= 0 && n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT, "needs the attribute num_heads; export the model again");
    return count;
}

/* Input and weights of q, k and v side by side are a tensor and a matrix, and there is no past at operand `past`. */
static bool check_projection(xfc_node *n, uint32_t past) {
    if (n->status != XFC_OK || !no_cache(n, past, past)) return false;
    if (n->in[0]->type.rank == 3 && n->in[1]->type.rank == 2 && !xfc_node_flag(n, "do_rotary", false)) return true;
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "only [batch, rows, width] and one matrix of weights are supported");
    return false;
}

/* all: queries, keys and values side by side, without the bias of operand 2. */
static void attend_parts(xfc_node *n, xfc_value *all, uint32_t mask, uint32_t added) {
    int64_t count = head_count(n);
    const int64_t *sizes;
    uint32_t n_sizes;
    bool given = xfc_node_ints(n, "qkv_hidden_sizes", &sizes, &n_sizes);
    if (given && n_sizes != 3)
        xfc_node_fail(n, XFC_ERR_INPUT, "'qkv_hidden_sizes' needs three sizes; export the model again");
    if (!all || n->status != XFC_OK) return;
    xfc_ctx *c = n->ctx;
    if (xfc_node_has(n, 2)) all = xfc_n2(n, XFC_OP_ADD, all, xfc_n_fitting(n, n->in[2], all, "the bias"));
    xfc_int third = xfc_int_floordiv(c, n->in[1]->type.dim[1], xfc_int_const(c, 3)), at = xfc_int_const(c, 0);
    xfc_value *part[3];
    for (uint32_t i = 0; i < 3; i++) {
        xfc_int size = given ? xfc_int_const(c, sizes[i]) : third;
        part[i] = xfc_n_split_heads(n, last_part(n, all, at, size), count);
        at = xfc_int_add(c, at, size);
    }
    if (!xfc_n_equal(n, at, n->in[1]->type.dim[1], "the columns of the weights and the widths of q, k and v")) return;
    xfc_heads a = {.q = part[0], .k = part[1], .v = part[2]};
    if (a.q && a.k && a.v && add_masks(n, &a, mask, added)) n->out[0] = attend(n, &a);
}

/* input, weights of q, k and v side by side, their bias, mask, past, bias of the scores */
void xfc_import_ms_attention(xfc_node *n) {
    if (check_projection(n, 4)) attend_parts(n, xfc_b_matmul(n->b, n->in[0], n->in[1]), 3, 5);
}

/* input and weights in few bits, bias, the scales of input and weights, mask, their zero points, past */
void xfc_import_qattention(xfc_node *n) {
    xfc_value *x = n->in[0], *w = n->in[1];
    xfc_quant qx, qw;
    if (!check_projection(n, 8) || !xfc_quant_read(n, &x->type, x->type.dtype, 3, 6, 0, 0, false, &qx) ||
        !xfc_quant_read(n, &w->type, w->type.dtype, 4, 7, 1, 0, false, &qw))
        return;
    xfc_value *sum = xfc_n_matmul_integer(n, x, w, qx.zero, qw.zero);
    attend_parts(n, xfc_n_rescale(n, sum, qx.scale, qw.scale), 5, n->n_in);
}

/* query, key, value, their bias, mask of the keys, bias of the scores, past */
void xfc_import_multi_head_attention(xfc_node *n) {
    int64_t count = head_count(n);
    xfc_value *part[3] = {n->in[0], xfc_node_in(n, 1), xfc_node_in(n, 2)};
    if (n->status != XFC_OK || !no_cache(n, 6, 9)) return;
    xfc_int at = xfc_int_const(n->ctx, 0);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t rank = part[i] ? part[i]->type.rank : 0;
        if (rank != 3 && !(rank == 4 && i > 0)) {
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "packed queries, keys and values are not supported");
            return;
        }
        if (xfc_node_has(n, 3) && rank == 3) {
            xfc_int size = part[i]->type.dim[2];
            part[i] = xfc_n2(n, XFC_OP_ADD, part[i], last_part(n, n->in[3], at, size));
            at = xfc_int_add(n->ctx, at, size);
        }
        part[i] = xfc_n_split_heads(n, part[i], count);
    }
    if (xfc_node_has(n, 3) && !xfc_n_equal(n, at, n->in[3]->type.dim[0], "the bias and the widths of q, k and v"))
        return;
    xfc_heads a = {.q = part[0], .k = part[1], .v = part[2]};
    if (a.q && a.k && a.v && add_masks(n, &a, 4, 5)) n->out[0] = attend(n, &a);
}

/* attention.c - the Attention operator of opset 23 and later.
 *
 * It takes [batch, heads, rows, width], or [batch, rows, heads * width] with the head counts as attributes. Masks of all
 * kinds become an additive part and a condition, -inf where it fails.
 */
#include "frontend/onnx/attention/attention.h"
#include <math.h>

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

/* Since opset 24 a mask may cover fewer keys than there are, also one key, and the others are masked out; before, one was broadcast. */
static void read_mask(xfc_node *n, xfc_heads *a, xfc_int keys) {
    xfc_value *mask = n->in[3];
    if (!mask->type.rank) {
        xfc_node_fail(n, XFC_ERR_INPUT, "the mask has rank 0; export the model again");
        return;
    }
    double fill = mask->type.dtype == XFC_BOOL ? 0 : (double)-INFINITY;
    if (n->opset >= 24) mask = xfc_n_pad_keys(n, mask, keys, fill);
    if (mask && mask->type.dtype == XFC_BOOL)
        xfc_n_only_if(n, a, mask);
    else
        a->add = mask ? xfc_b_cast(n->b, mask, a->q->type.dtype) : NULL;
}

/* Key j is seen by row i when j <= past + i; where the cache is outside of the operator, its last `rows` valid keys are
 * those of the rows themselves, so the past is length - rows, for each sequence. */
static void read_masks(xfc_node *n, xfc_heads *a, xfc_int past) {
    xfc_int zero = xfc_int_const(n->ctx, 0), rows = a->q->type.dim[2], keys = a->k->type.dim[2];
    bool causal = xfc_node_flag(n, "is_causal", false), outside = xfc_node_has(n, 6);
    a->may_be_empty = xfc_node_has(n, 3) || outside;
    if (xfc_node_has(n, 3)) read_mask(n, a, keys);
    if (!causal && !outside) return;
    xfc_value *key = xfc_n_numbers(n, keys, zero, 3), *length = NULL, *last;
    if (outside) length = xfc_n_along(n, xfc_b_cast(n->b, n->in[6], XFC_I64), 0, 4);
    last = length;
    if (causal) last = xfc_n_numbers(n, rows, outside ? xfc_int_sub(n->ctx, zero, rows) : past, 2);
    if (causal && outside) last = xfc_n2(n, XFC_OP_ADD, last, length);
    if (key && last) xfc_n_only_if(n, a, xfc_n2(n, causal ? XFC_OP_LE : XFC_OP_LT, key, last));
}

/* Present outputs and grouped heads; false after a failure. */
static bool read_operands(xfc_node *n, xfc_heads *a, xfc_int *past) {
    a->q = split_heads(n, n->in[0], "q_num_heads");
    a->k = split_heads(n, n->in[1], "kv_num_heads");
    a->v = split_heads(n, n->in[2], "kv_num_heads");
    *past = xfc_int_const(n->ctx, 0);
    if (xfc_node_has(n, 4) != xfc_node_has(n, 5))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has one of past_key and past_value; both or none are allowed"), false;
    if (xfc_node_has(n, 4) && xfc_node_has(n, 6))
        return xfc_node_fail(n, XFC_ERR_INPUT, "has past_key and nonpad_kv_seqlen; leave one of them out"), false;
    if (xfc_node_has(n, 4)) {
        if (n->in[4]->type.rank != 4) return xfc_node_fail(n, XFC_ERR_INPUT, "past_key must have rank 4"), false;
        *past = n->in[4]->type.dim[2];
        a->k = xfc_n_join(n, n->in[4], a->k, 2);
        a->v = xfc_n_join(n, n->in[5], a->v, 2);
    }
    if (!a->q || !a->k || !a->v) return false;
    if (xfc_node_wants(n, 1)) n->out[1] = a->k;
    if (xfc_node_wants(n, 2)) n->out[2] = a->v;
    a->k = xfc_n_repeat_heads(n, a->k, a->q->type.dim[1]);
    a->v = xfc_n_repeat_heads(n, a->v, a->q->type.dim[1]);
    xfc_n_set_scale(n, a, xfc_node_float(n, "scale", (double)NAN));
    a->softcap = xfc_node_float(n, "softcap", 0);
    return a->q && a->k && a->v;
}

void xfc_import_attention(xfc_node *n) {
    xfc_heads a = {0};
    xfc_stages stages;
    xfc_int past;
    int64_t mode = xfc_node_int(n, "qk_matmul_output_mode", 0), precision = xfc_node_int(n, "softmax_precision", 0);
    if (!read_operands(n, &a, &past)) return;
    read_masks(n, &a, past);
    a.products = a.softmax = a.q->type.dtype;
    if (precision && !xfc_dtype_from_onnx(precision, &a.softmax)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "softmax_precision %lld is not supported", (long long)precision);
        return;
    }
    bool scores = xfc_node_wants(n, 3);
    if (scores && (mode < 0 || mode > 3)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "qk_matmul_output_mode must be 0 to 3");
        return;
    }
    xfc_value *y = xfc_n_attend(n, &a, scores || precision ? &stages : NULL);
    if (y && scores) n->out[3] = stages.score[mode];
    n->out[0] = n->in[0]->type.rank == 3 ? xfc_n_join_heads(n, y) : y;
}

/* --- FlexAttention: what bodies make of scores and weights --- */

/* v as the body that is the attribute makes it; v where there is none. */
static xfc_value *modified(xfc_node *n, const char *name, xfc_value *v) {
    if (!v || !xfc_node_attr(n, name)) return v;
    const Onnx__GraphProto *g = xfc_node_graph(n, name);
    if (g && (g->n_input != 1 || g->n_output != 1)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "'%s' has %zu inputs and %zu outputs; one each is allowed", name, g->n_input,
                      g->n_output);
        return NULL;
    }
    const xfc_result in = {.value = v}, *out = g ? xfc_import_inner(n, g, name, &in) : NULL;
    if (!out || !out->value) return n->status = n->status == XFC_OK ? XFC_ERR_INPUT : n->status, NULL;
    const xfc_type *a = &v->type, *b = &out->value->type;
    bool same = a->dtype == b->dtype && a->rank == b->rank;
    for (uint32_t d = 0; same && d < a->rank; d++)
        same = xfc_n_equal(n, b->dim[d], a->dim[d], "the dims before and behind a body");
    if (!same && n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT, "'%s' makes another type or rank of what it is given", name);
    return same ? out->value : NULL;
}

void xfc_import_flex_attention(xfc_node *n) {
    xfc_heads a = {.q = n->in[0], .k = n->in[1], .v = n->in[2]};
    int64_t precision = xfc_node_int(n, "softmax_precision", 0);
    if (a.q->type.rank != 4 || a.k->type.rank != 4 || a.v->type.rank != 4) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs operands of rank 4; export the model again");
        return;
    }
    xfc_dtype type = a.q->type.dtype;
    a.products = a.softmax = xfc_dtype_wide(type);
    if (precision && (!xfc_dtype_from_onnx(precision, &a.softmax) || !xfc_dtype_is_float(a.softmax))) {
        xfc_node_fail(n, XFC_ERR_INPUT, "softmax_precision %lld is no type of floats", (long long)precision);
        return;
    }
    xfc_n_set_scale(n, &a, xfc_node_float(n, "scale", (double)NAN));
    a.k = xfc_n_repeat_heads(n, a.k, a.q ? a.q->type.dim[1] : (xfc_int){0});
    a.v = xfc_n_repeat_heads(n, a.v, a.q ? a.q->type.dim[1] : (xfc_int){0});
    a.modified = modified;
    bool plain = !precision && !xfc_node_attr(n, "score_mod") && !xfc_node_attr(n, "prob_mod");
    xfc_stages stages;
    n->out[0] = xfc_n_attend(n, &a, plain ? NULL : &stages);
}

/* sequence_map.c - SequenceMap: its body for each tensor of a list, or a loop over a sequence whose length only the run
 * knows.
 *
 * The loop carries what it has made so far, which each step makes longer (steps.h). What a step makes is known once the
 * body was imported, so it begins with sequences of nothing, and anew when their types are known.
 */
#include "frontend/onnx/control/steps.h"
#include "frontend/onnx/sequence/sequence.h"

/* What the body gets in step i: entry `i` of lists, or of flat sequences what stands at `at`. */
static bool inputs(xfc_node *n, uint32_t i, xfc_value *at, xfc_result *in) {
    for (uint32_t k = 0; k < n->n_in; k++) {
        const xfc_sequence *s = n->in_sequence[k];
        if (s && !at && i >= s->n)
            return xfc_node_fail(n, XFC_ERR_INPUT, "has sequences of different lengths; export the model again"), false;
        if (s && at) s = xfc_sequence_flatten(n, s, -1);
        in[k] = (xfc_result){.value = !n->in_sequence[k] ? n->in[k]
                                      : !at              ? s->item[i]
                                      : s                ? xfc_flat_at(n, s, at)
                                                         : NULL};
        if (!in[k].value && n->status == XFC_OK && n->in_sequence[k]) return false; /* reported */
        if (!in[k].value && n->status == XFC_OK)
            return xfc_node_fail(n, XFC_ERR_INPUT, "operand %u is missing; export the model again", k), false;
    }
    return n->status == XFC_OK;
}

/* A tensor of each output, NULL: the body failed. */
static xfc_value **one_step(xfc_node *n, const Onnx__GraphProto *g, uint32_t i, xfc_value *at) {
    xfc_result *in = xfc_new_array(n->im->arena, xfc_result, n->n_in);
    const xfc_result *made = inputs(n, i, at, in) ? xfc_import_inner(n, g, "body", in) : NULL;
    xfc_value **out = xfc_new_array(n->im->arena, xfc_value *, n->n_out);
    for (uint32_t k = 0; made && k < n->n_out; k++)
        if (!(out[k] = xfc_plain(n, made[k], "output", k))) return NULL;
    return made ? out : NULL;
}

/* Of the tensors that output k lists, as the body declares it: what it makes says more, where it makes something. */
static bool declared_type(xfc_node *n, const Onnx__GraphProto *g, uint32_t k, xfc_dtype *out) {
    const Onnx__TypeProto *t = g->output[k]->type;
    if (t && t->tensor_type && xfc_dtype_from_onnx(t->tensor_type->elem_type, out)) return true;
    return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                         "makes a sequence of nothing by a body whose output %u is of no known type; export the model "
                         "with types",
                         k),
           false;
}

static void over_lists(xfc_node *n, const Onnx__GraphProto *g, uint32_t length) {
    xfc_sequence **out = xfc_new_array(n->im->arena, xfc_sequence *, n->n_out);
    for (uint32_t k = 0; k < n->n_out; k++) {
        xfc_dtype t = XFC_F32;
        if (!length && !declared_type(n, g, k, &t)) return;
        if (!(out[k] = xfc_sequence_list(n, t, length))) return;
    }
    for (uint32_t i = 0; i < length; i++) {
        xfc_value **made = one_step(n, g, i, NULL);
        for (uint32_t k = 0; k < n->n_out; k++) {
            if (!made) return;
            if (!i) out[k]->dtype = made[k]->type.dtype;
            if (made[k]->type.dtype != out[k]->dtype) {
                xfc_node_fail(n, XFC_ERR_INPUT, "makes tensors of different types; export the model again");
                return;
            }
            out[k]->item[i] = made[k];
        }
    }
    for (uint32_t k = 0; k < n->n_out; k++) n->out_sequence[k] = out[k];
}

/* --- a loop --- */

/* Sequences without a tensor, for tensors like these, as the values that they are. */
static xfc_value **nothing(xfc_node *n, xfc_value *const *like) {
    xfc_value **part = xfc_new_array(n->im->arena, xfc_value *, 2 * n->n_out);
    for (uint32_t k = 0; like && k < n->n_out; k++) {
        xfc_sequence *none = xfc_sequence_list(n, like[k]->type.dtype, 0);
        const xfc_sequence *s = none ? xfc_sequence_flatten(n, none, like[k]->type.rank) : NULL;
        if (!s) return NULL;
        part[2 * k] = s->elements, part[2 * k + 1] = s->shapes;
    }
    return like ? part : NULL;
}

/* What is carried, with one tensor more each; the first value is whether to go on. */
static xfc_value **longer(xfc_steps *s, xfc_value *const *made) {
    xfc_node *n = s->n;
    xfc_value **next = xfc_new_array(n->im->arena, xfc_value *, 2 * n->n_out + 1u);
    next[0] = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    for (uint32_t k = 0; made && k < n->n_out; k++) {
        const xfc_sequence *so_far = xfc_sequence_flat(n, &s->in[2 * k], &s->in[2 * k + 1]);
        const xfc_sequence *more = xfc_flat_insert(n, so_far, NULL, made[k]);
        if (!more) return NULL;
        next[2 * k + 1] = more->elements, next[2 * k + 2] = more->shapes;
    }
    return made ? next : NULL;
}

static void over_flat(xfc_node *n, const Onnx__GraphProto *g, xfc_int length) {
    xfc_steps s;
    xfc_steps_begin(&s, n, NULL, 0);
    xfc_value **made = one_step(n, g, 0, s.number);
    xfc_steps_drop(&s);
    xfc_value **first = nothing(n, made), **next = NULL;
    xfc_value *trip = xfc_b_dims(n->b, &length, -1), *cond = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    if (!first) return;
    xfc_steps_begin(&s, n, first, 2 * n->n_out);
    do next = longer(&s, one_step(n, g, 0, s.number));
    while (next && xfc_steps_change(&s, next + 1));
    if (!next || n->status != XFC_OK) {
        xfc_steps_drop(&s);
        return;
    }
    xfc_op *op = xfc_steps_end(&s, trip, cond, next, 0, XFC_INT_NONE);
    for (uint32_t k = 0; op && k < n->n_out; k++)
        n->out_sequence[k] = xfc_sequence_flat(n, &op->out[2 * k], &op->out[2 * k + 1]);
}

void xfc_import_sequence_map(xfc_node *n) {
    const Onnx__GraphProto *g = xfc_node_graph(n, "body");
    const xfc_sequence *s = n->in_sequence[0];
    if (!g) return;
    if (!s || s->optional || s->present) {
        xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' is not a sequence; export the model again",
                      xfc_node_in_name(n, 0));
        return;
    }
    if (g->n_input != n->n_in || g->n_output != n->n_out) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "has a body of %zu inputs and %zu outputs, not %u and %u; export the model again", g->n_input,
                      g->n_output, n->n_in, n->n_out);
        return;
    }
    bool lists = s->item != NULL;
    xfc_int length = xfc_sequence_length(n, s);
    for (uint32_t k = 1; k < n->n_in; k++) {
        const xfc_sequence *other = n->in_sequence[k];
        lists = lists && (!other || other->item);
        if (other && !xfc_n_equal(n, length, xfc_sequence_length(n, other), "lengths of sequences")) return;
    }
    if (lists)
        over_lists(n, g, s->n);
    else
        over_flat(n, g, length);
}

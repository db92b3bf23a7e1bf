/* optional.c - Optional and what asks of one: a tensor is a sequence of at most one, a sequence has a bool beside it. */
#include "frontend/onnx/sequence/sequence.h"

enum { ATTR_TYPE = 13 };

static xfc_value *flag(xfc_node *n, bool value) { return xfc_b_scalar_i(n->b, XFC_BOOL, value); }

const xfc_sequence *xfc_sequence_optional(xfc_node *n, const xfc_sequence *s, bool present) {
    xfc_sequence *copy = xfc_memdup(n->im->arena, s, sizeof *s, _Alignof(xfc_sequence));
    copy->present = flag(n, present);
    return copy;
}

/* One that holds nothing: the attribute says of what. */
static const xfc_sequence *absent(xfc_node *n) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, "type");
    const Onnx__TypeProto *t = a && (!a->has_type || a->type == ATTR_TYPE) ? a->tp : NULL;
    bool sequence = t && t->sequence_type;
    if (sequence) t = t->sequence_type->elem_type;
    if (!t || !t->tensor_type)
        return xfc_node_fail(
                   n, XFC_ERR_INPUT,
                   "holds nothing, and its attribute 'type' is no tensor and no sequence of tensors; export the "
                   "model again"),
               NULL;
    xfc_dtype dtype;
    if (!xfc_dtype_from_onnx(t->tensor_type->elem_type, &dtype))
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "is of type %s, which is not supported",
                             xfc_onnx_dtype_name(t->tensor_type->elem_type)),
               NULL;
    xfc_sequence *s = xfc_sequence_list(n, dtype, 0);
    s->optional = !sequence;
    return sequence ? xfc_sequence_optional(n, s, false) : s;
}

void xfc_import_optional(xfc_node *n) {
    const xfc_sequence *s = n->n_in ? n->in_sequence[0] : NULL;
    if (s && (s->optional || s->present)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "makes an optional of an optional; export the model again");
    } else if (s) {
        n->out_sequence[0] = xfc_sequence_optional(n, s, true);
    } else if (xfc_node_has(n, 0)) {
        xfc_sequence *one = xfc_sequence_list(n, n->in[0]->type.dtype, 1);
        one->item[0] = n->in[0];
        one->optional = true;
        n->out_sequence[0] = one;
    } else {
        n->out_sequence[0] = absent(n);
    }
}

/* What is no optional is there. */
void xfc_import_optional_has_element(xfc_node *n) {
    const xfc_sequence *s = n->n_in ? n->in_sequence[0] : NULL;
    xfc_int length = s && s->optional ? xfc_sequence_length(n, s) : xfc_int_const(n->ctx, 1);
    if (s && s->present)
        n->out[0] = s->present;
    else if (s)
        n->out[0] =
            s->item ? flag(n, !s->optional || s->n) : xfc_n2(n, XFC_OP_GT, xfc_b_dims(n->b, &length, -1), xfc_ni(n, 0));
    else
        n->out[0] = flag(n, xfc_node_has(n, 0));
}

const xfc_sequence *xfc_sequence_in(xfc_node *n, const xfc_sequence *s) {
    const xfc_tensor *t;
    xfc_int one = xfc_int_const(n->ctx, 1), there = XFC_INT_NONE;
    xfc_sequence *inside = xfc_memdup(n->im->arena, s, sizeof *s, _Alignof(xfc_sequence));
    inside->present = NULL;
    if (xfc_value_is_const(s->present, &t)) {
        if (xfc_tensor_get_i(t, 0)) return inside;
        return xfc_node_fail(n, XFC_ERR_INPUT, "takes a sequence out of an empty optional; export the model again"),
               NULL;
    }
    xfc_value *number = xfc_b_reshape(n->b, xfc_b_cast(n->b, s->present, XFC_I64), &one, 1);
    if (!number || !xfc_n_define(n, number, &there, 1, &one)) return NULL;
    return xfc_n_equal(n, there, one, "what an optional holds and 1") ? inside : NULL;
}

void xfc_import_optional_get_element(xfc_node *n) {
    const xfc_sequence *s = n->in_sequence[0];
    n->out[0] = n->in[0];
    if (s && s->present) {
        n->out_sequence[0] = xfc_sequence_in(n, s);
    } else if (s && !s->optional) {
        n->out_sequence[0] = s;
    } else if (s && !s->item) {
        n->out[0] = xfc_flat_at(n, s, xfc_ni(n, 0));
    } else if (s && s->n) {
        n->out[0] = s->item[0];
    } else if (s) {
        xfc_node_fail(n, XFC_ERR_INPUT, "takes a tensor out of an empty optional; export the model again");
    }
}

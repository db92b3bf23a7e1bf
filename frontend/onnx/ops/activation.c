/* activation.c - functions that other operators name: of the cells of recurrent ones, and behind products and convolutions that
 * onnxruntime has fused. Most are operators, which are imported as if a node of the file had them. */
#include "frontend/onnx/import.h"
#include <string.h>

enum { MOST = 3 }; /* numbers of one */

/* Their numbers, in the order of lists; "": those of the operator, where it is one. */
static const struct {
    const char *name, *number[MOST];
} known[] = {
    {"Relu", {NULL}},
    {"Tanh", {NULL}},
    {"Sigmoid", {NULL}},
    {"Softsign", {NULL}},
    {"Softplus", {NULL}},
    {"HardSwish", {NULL}},
    {"LeakyRelu", {"alpha"}},
    {"Elu", {"alpha"}},
    {"Celu", {"alpha"}},
    {"ThresholdedRelu", {"alpha"}},
    {"HardSigmoid", {"alpha", "beta"}},
    {"Selu", {"alpha", "gamma"}},
    {"Affine", {"alpha", "beta"}},
    {"ScaledTanh", {"alpha", "beta"}},
    {"ParametricSoftplus", {"alpha", "beta"}},
    {"Clip", {"min", "max"}},
};

static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) {
    return xfc_n2(n, code, a, xfc_nf(n, a, b));
}

bool xfc_activation_numbers(const char *name, const char *const **number, uint32_t *count) {
    for (uint32_t k = 0; k < XFC_COUNT(known); k++) {
        if (strcmp(known[k].name, name) != 0) continue;
        *number = known[k].number;
        for (*count = 0; *count < MOST && known[k].number[*count];) ++*count;
        return true;
    }
    return false;
}

/* The operator of that name; numbers that are not given are its own. */
static xfc_value *apply_operator(xfc_node *n, const char *name, const char *const *number, const double *given,
                                 uint32_t count, xfc_value *v) {
    bool in_other_opset;
    Onnx__AttributeProto proto[MOST];
    const Onnx__AttributeProto *attr[MOST];
    xfc_value *in[1] = {v}, *out[1] = {NULL};
    xfc_node call = *n;
    for (uint32_t i = 0; i < count; i++) {
        onnx__attribute_proto__init(&proto[i]);
        proto[i].name = (char *)(uintptr_t)number[i];
        proto[i].f = (float)given[i];
        attr[i] = &proto[i];
    }
    call.attrs = (xfc_attrs){.attr = attr, .n = count};
    call.opset = XFC_ONNX_OPSET_MAX;
    call.row = xfc_onnx_find("", name, call.opset, &in_other_opset);
    call.in = in, call.out = out, call.n_in = call.n_out = 1;
    xfc_assert(call.row);
    call.row->import(&call);
    n->status = call.status;
    return out[0];
}

xfc_value *xfc_n_activation(xfc_node *n, const char *name, const double *given, uint32_t count, xfc_value *v) {
    const char *const *number = NULL;
    uint32_t all = 0;
    if (!v || !xfc_activation_numbers(name, &number, &all)) return NULL;
    const double first = count > 0 ? given[0] : 1, second = count > 1 ? given[1] : strcmp(name, "Affine") != 0;
    if (!strcmp(name, "Affine")) return with(n, XFC_OP_ADD, with(n, XFC_OP_MUL, v, first), second);
    if (!strcmp(name, "ScaledTanh"))
        return with(n, XFC_OP_MUL, xfc_n1(n, XFC_OP_TANH, with(n, XFC_OP_MUL, v, second)), first);
    if (!strcmp(name, "ParametricSoftplus"))
        return with(n, XFC_OP_MUL, xfc_n_softplus(n, with(n, XFC_OP_MUL, v, second)), first);
    if (!strcmp(name, "Clip") && count == 2) return with(n, XFC_OP_MIN, with(n, XFC_OP_MAX, v, first), second);
    return apply_operator(n, name, number, given, count, v);
}

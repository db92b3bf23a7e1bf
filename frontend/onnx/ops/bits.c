/* bits.c - operators on the bits of integers. */
#include "frontend/onnx/import.h"
#include <string.h>

/* The op of the row, which takes bool and integers, for those that the operator is defined for. */
static void apply(xfc_node *n, bool logical) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        xfc_dtype t = n->in[i]->type.dtype;
        if (logical ? t == XFC_BOOL : xfc_dtype_is_int(t)) continue;
        xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' is %s and must be %s; export the model again",
                      xfc_node_in_name(n, i), xfc_dtype_name(t), logical ? "bool" : "an integer");
        return;
    }
    n->out[0] = n->n_in == 1 ? xfc_n1(n, n->row->code, n->in[0]) : xfc_n2(n, n->row->code, n->in[0], n->in[1]);
}

void xfc_import_logical(xfc_node *n) { apply(n, true); }
void xfc_import_bitwise(xfc_node *n) { apply(n, false); }

void xfc_import_bit_shift(xfc_node *n) {
    const char *direction = xfc_node_str(n, "direction", "");
    bool left = !strcmp(direction, "LEFT");
    if (left || !strcmp(direction, "RIGHT"))
        n->out[0] = xfc_n2(n, left ? XFC_OP_SHL : XFC_OP_SHR, n->in[0], n->in[1]);
    else if (n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'direction' must be LEFT or RIGHT; export the model again");
}

void xfc_import_bit_cast(xfc_node *n) {
    int64_t to = xfc_node_int(n, "to", 0);
    xfc_dtype dtype;
    if (!xfc_dtype_from_onnx(to, &dtype)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "takes bits for element type %s (%lld), which is not supported",
                      xfc_onnx_dtype_name(to), (long long)to);
        return;
    }
    xfc_attr attr = xfc_attr_dtype(XFC_K_TO, dtype);
    n->out[0] = dtype == n->in[0]->type.dtype ? n->in[0] : xfc_build(n->b, XFC_OP_BITCAST, n->in, 1, &attr, 1);
}

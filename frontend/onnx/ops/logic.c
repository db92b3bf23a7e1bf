/* logic.c - types, selection and predicates. */
#include "frontend/onnx/import.h"

void xfc_import_where(xfc_node *n) { n->out[0] = xfc_b_select(n->b, n->in[0], n->in[1], n->in[2]); }

void xfc_import_isinf(xfc_node *n) {
    bool negative = xfc_node_flag(n, "detect_negative", true), positive = xfc_node_flag(n, "detect_positive", true);
    xfc_value *x = n->in[0], *inf = xfc_n1(n, XFC_OP_ISINF, x);
    if (negative && positive) {
        n->out[0] = inf;
    } else if (negative || positive) {
        n->out[0] = xfc_n2(n, XFC_OP_AND, inf, xfc_n2(n, positive ? XFC_OP_GT : XFC_OP_LT, x, xfc_nf(n, x, 0)));
    } else {
        n->out[0] = xfc_n2(n, XFC_OP_AND, inf, xfc_b_scalar_i(n->b, XFC_BOOL, 0));
    }
}

/* To a type of fewer bits than a byte a float goes by way of an integer, whose low bits it has. */
static xfc_value *cast(xfc_node *n, xfc_value *x, xfc_dtype to) {
    if (xfc_dtype_is_stored(to) && x && xfc_dtype_is_float(x->type.dtype)) x = xfc_b_cast(n->b, x, XFC_I32);
    return x ? xfc_b_cast(n->b, x, to) : NULL;
}

void xfc_import_cast(xfc_node *n) {
    int64_t to = xfc_node_int(n, "to", 0);
    xfc_dtype dtype;
    if (to < 0 || to > INT32_MAX || !xfc_dtype_from_onnx((int32_t)to, &dtype)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "casts to element type %s (%lld), which is not supported",
                      to < 0 || to > INT32_MAX ? "unknown" : xfc_onnx_dtype_name((int32_t)to), (long long)to);
        return;
    }
    n->out[0] = cast(n, n->in[0], dtype);
    xfc_node_track(n, n->out[0]);
}

void xfc_import_cast_like(xfc_node *n) { n->out[0] = cast(n, n->in[0], n->in[1]->type.dtype); }

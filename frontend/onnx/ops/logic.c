/* logic.c - types, selection and predicates. */
#include "frontend/onnx/import.h"
#include <string.h>

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

void xfc_import_binarizer(xfc_node *n) {
    xfc_value *x = n->in[0], *over = xfc_n2(n, XFC_OP_GT, x, xfc_nf(n, x, xfc_node_float(n, "threshold", 0)));
    n->out[0] = over ? xfc_b_cast(n->b, over, x->type.dtype) : NULL;
}

/* A code of the type, as a value. */
static xfc_value *code(xfc_node *n, xfc_dtype t, uint8_t bits) { return xfc_b_scalar_i(n->b, t, bits); }

/* The nearest code, but what rounds beyond the largest is infinity or NaN. */
static xfc_value *cast_beyond(xfc_node *n, xfc_value *x, xfc_dtype to) {
    const xfc_minifloat *f = xfc_minifloat_of(to);
    float most = xfc_code_to_float(to, f->most), step = most - xfc_code_to_float(to, (uint8_t)(f->most - 1));
    xfc_value *wide = xfc_b_cast(n->b, x, XFC_F32), *half = xfc_nf(n, wide, (double)(most + step / 2));
    bool odd = f->most & 1; /* then what lies in the middle rounds up */
    xfc_value *over = xfc_n2(n, odd ? XFC_OP_GE : XFC_OP_GT, xfc_n1(n, XFC_OP_ABS, wide), half);
    xfc_value *below = xfc_n2(n, XFC_OP_LT, wide, xfc_nf(n, wide, 0)), *near = xfc_b_cast(n->b, x, to);
    if (!below || !over || !near) return NULL;
    xfc_value *far = xfc_b_select(n->b, below, code(n, to, f->over | f->sign), code(n, to, f->over));
    return xfc_b_select(n->b, over, far, near);
}

/* As the attributes saturate and round_mode say. To an integer of fewer bits than a byte a float goes by way of a wider
 * one, whose low bits it has. */
static xfc_value *cast(xfc_node *n, xfc_value *x, xfc_dtype to) {
    bool saturate = xfc_node_flag(n, "saturate", true);
    const char *mode = xfc_node_str(n, "round_mode", "up");
    if (n->status != XFC_OK) return NULL;
    if (to == XFC_E8M0 && strcmp(mode, "up") != 0)
        return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "rounds to float8e8m0 in mode '%.40s'; only up is supported",
                             mode),
               NULL;
    if (xfc_dtype_is_code(to) && to != XFC_E8M0 && !xfc_minifloat_of(to)->finite && !saturate)
        return cast_beyond(n, x, to);
    if (xfc_dtype_bits(to) < 8 && xfc_dtype_is_int(to) && xfc_dtype_is_float(x->type.dtype))
        x = xfc_b_cast(n->b, x, XFC_I32);
    return x ? xfc_b_cast(n->b, x, to) : NULL;
}

void xfc_import_cast(xfc_node *n) {
    int64_t to = xfc_node_int(n, "to", 0);
    xfc_dtype dtype;
    if (!xfc_dtype_from_onnx(to, &dtype)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "casts to element type %s (%lld), which is not supported",
                      xfc_onnx_dtype_name(to), (long long)to);
        return;
    }
    n->out[0] = cast(n, n->in[0], dtype);
    xfc_node_track(n, n->out[0]);
}

void xfc_import_cast_like(xfc_node *n) { n->out[0] = cast(n, n->in[0], n->in[1]->type.dtype); }

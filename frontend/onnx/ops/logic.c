/* logic.c - types, selection and predicates. */
#include "frontend/onnx/text/text.h"
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
xfc_value *xfc_n_cast_beyond(xfc_node *n, xfc_value *x, xfc_dtype to) {
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

static xfc_value *bits_as(xfc_node *n, xfc_value *x, xfc_dtype t) {
    xfc_attr to = xfc_attr_dtype(XFC_K_TO, t);
    return x ? xfc_build(n->b, XFC_OP_BITCAST, &x, 1, &to, 1) : NULL;
}

/* To a code that is the exponent of an f32: the cast rounds up what has a fraction, so bits that do not count go before.
 * Of the nearest one only the first bit of the fraction counts, and alone it rounds up but for the least number. */
static xfc_value *cast_exponent(xfc_node *n, xfc_value *x, const char *mode, bool saturate) {
    enum { EXPONENT = 0x7f800000, FRACTION = 0x7fffff, HALF = 0x400000 };
    bool up = !strcmp(mode, "up"), nearest = !strcmp(mode, "nearest");
    if (!up && !nearest && strcmp(mode, "down") != 0)
        return xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'round_mode' must be up, down or nearest"), NULL;
    x = xfc_b_cast(n->b, x, XFC_F32);
    if (up && saturate) return x ? xfc_b_cast(n->b, x, XFC_E8M0) : NULL;
    xfc_value *all = bits_as(n, x, XFC_I32), *is[3];
    const int32_t masks[4] = {EXPONENT, up ? FRACTION : nearest ? HALF : 0, EXPONENT | FRACTION, HALF};
    xfc_value *mask[4], *zero = xfc_b_scalar_i(n->b, XFC_I32, 0);
    for (uint32_t i = 0; i < 4; i++) mask[i] = xfc_b_scalar_i(n->b, XFC_I32, masks[i]);
    xfc_value *exponent = xfc_n2(n, XFC_OP_AND, all, mask[0]), *fraction = xfc_n2(n, XFC_OP_AND, all, mask[1]);
    is[0] = xfc_n2(n, XFC_OP_EQ, xfc_n2(n, XFC_OP_AND, all, mask[2]), mask[3]); /* 2^-127 */
    if (nearest) fraction = xfc_n_select(n, is[0], zero, fraction);
    is[1] = xfc_n2(n, XFC_OP_EQ, exponent, xfc_b_scalar_i(n->b, XFC_I32, 0x7f000000)); /* the largest */
    is[2] = xfc_n2(n, XFC_OP_AND, is[1], xfc_n2(n, XFC_OP_NE, fraction, zero));
    xfc_value *kept = xfc_n2(n, XFC_OP_OR, exponent, fraction);
    if (!saturate) kept = xfc_n_select(n, is[2], mask[0], kept); /* infinity is NaN */
    x = bits_as(n, kept, XFC_F32);
    return x ? xfc_b_cast(n->b, x, XFC_E8M0) : NULL;
}

/* As the attributes saturate and round_mode say. To an integer of fewer bits than a byte a float goes by way of a wider
 * one, whose low bits it has. */
static xfc_value *cast(xfc_node *n, xfc_value *x, xfc_dtype to) {
    bool saturate = xfc_node_flag(n, "saturate", true);
    const char *mode = xfc_node_str(n, "round_mode", "up");
    if (n->status != XFC_OK) return NULL;
    if (to == XFC_E8M0 && x->type.dtype != to) return cast_exponent(n, x, mode, saturate);
    if (xfc_dtype_is_code(to) && to != XFC_E8M0 && !xfc_minifloat_of(to)->finite && !saturate)
        return xfc_n_cast_beyond(n, x, to);
    if (xfc_dtype_bits(to) < 8 && xfc_dtype_is_int(to) && xfc_dtype_is_float(x->type.dtype))
        x = xfc_b_cast(n->b, x, XFC_I32);
    return x ? xfc_b_cast(n->b, x, to) : NULL;
}

/* To strings. */
static void cast_to_texts(xfc_node *n) {
    xfc_result r = {.value = n->in[0], .texts = n->in_texts[0]};
    if (!r.texts) r = xfc_texts_write(n, n->in[0]);
    n->out[0] = r.value, n->out_texts[0] = r.texts;
}

static void cast_operand(xfc_node *n, xfc_dtype to) {
    if (n->in_texts[0])
        n->out[0] = xfc_texts_read(n, n->in_texts[0], n->in[0], to);
    else
        n->out[0] = cast(n, n->in[0], to);
}

void xfc_import_cast(xfc_node *n) {
    int64_t to = xfc_node_int(n, "to", 0);
    xfc_dtype dtype;
    if (to == XFC_ONNX_STRING) {
        cast_to_texts(n);
        return;
    }
    if (!xfc_dtype_from_onnx(to, &dtype)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "casts to element type %s (%lld), which is not supported",
                      xfc_onnx_dtype_name(to), (long long)to);
        return;
    }
    cast_operand(n, dtype);
    xfc_node_track(n, n->out[0]);
}

void xfc_import_cast_like(xfc_node *n) {
    if (n->in_texts[1])
        cast_to_texts(n);
    else
        cast_operand(n, n->in[1]->type.dtype);
}

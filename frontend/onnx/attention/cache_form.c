/* cache_form.c - caches in few bits (GroupQueryAttention): new rows are rounded to multiples of a scale, or one for each channel,
 * and all rows are made floats again where attention looks at them.
 *
 * Of 8 bits a number is an i8; of 4 bits a byte holds two, each 8 more than it is, the first in the low half.
 */
#include "frontend/onnx/attention/attention.h"
#include "frontend/onnx/quant/quant.h"
#include <string.h>

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }

bool xfc_n_cache_form(xfc_node *n, const char *attr, uint32_t scale, xfc_dtype type, xfc_cache_form *out) {
    const char *kind = xfc_node_str(n, attr, "NONE");
    const int64_t bits = xfc_node_int(n, "kv_cache_bit_width", 0);
    *out = (xfc_cache_form){.type = type};
    if (n->status != XFC_OK) return false;
    if (!strcmp(kind, "NONE")) return true;
    if (strcmp(kind, "PER_TENSOR") != 0 && strcmp(kind, "PER_CHANNEL") != 0)
        return xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' must be NONE, PER_TENSOR or PER_CHANNEL", attr), false;
    if (!xfc_node_has(n, scale) || !xfc_dtype_is_float(n->in[scale]->type.dtype))
        return xfc_node_fail(n, XFC_ERR_INPUT, "needs a floating scale for '%s'; export the model again", attr), false;
    if (bits != 8 && bits != 4)
        return xfc_node_fail(n, XFC_ERR_INPUT, "kv_cache_bit_width is %lld; of a cache in few bits it must be 8 or 4",
                             (long long)bits),
               false;
    *out = (xfc_cache_form){
        .type = bits == 8 ? XFC_I8 : XFC_U8, .bits = bits, .scale = xfc_b_cast(n->b, n->in[scale], XFC_F32)};
    return out->scale != NULL;
}

xfc_int xfc_n_cache_width(const xfc_node *n, const xfc_cache_form *f, xfc_int width) {
    return f->bits == 4 ? xfc_int_floordiv(n->ctx, width, xfc_int_const(n->ctx, 2)) : width;
}

/* Numbers of 4 bits, u8, two in a byte. */
static xfc_value *paired(xfc_node *n, xfc_value *v) {
    const xfc_int two = xfc_int_const(n->ctx, 2);
    if (!v) return NULL;
    const xfc_int width = v->type.dim[3], half = xfc_int_floordiv(n->ctx, width, two);
    if (!xfc_n_equal(n, xfc_int_mulc(n->ctx, half, 2), width, "the width of a head and whole bytes of two numbers"))
        return NULL;
    xfc_value *low = xfc_b_slice_axis(n->b, v, 3, xfc_int_const(n->ctx, 0), half, 2),
              *high = xfc_b_slice_axis(n->b, v, 3, xfc_int_const(n->ctx, 1), half, 2);
    return op(n, XFC_OP_OR, low, with(n, XFC_OP_SHL, high, 4));
}

xfc_value *xfc_n_to_cache(xfc_node *n, const xfc_cache_form *f, xfc_value *v) {
    if (!v || !f->bits) return v;
    xfc_value *wide = xfc_b_cast(n->b, v, XFC_F32);
    wide = xfc_n1(n, XFC_OP_ROUND, op(n, XFC_OP_DIV, wide, xfc_n_fitting(n, f->scale, wide, "the scale of a cache")));
    const double most = f->bits == 8 ? 127 : 7;
    wide = with(n, XFC_OP_MAX, with(n, XFC_OP_MIN, wide, most), -most - 1);
    if (f->bits == 8) return wide ? xfc_b_cast(n->b, wide, XFC_I8) : NULL;
    wide = with(n, XFC_OP_ADD, wide, 8);
    return wide ? paired(n, xfc_b_cast(n->b, wide, XFC_U8)) : NULL;
}

xfc_value *xfc_n_from_cache(xfc_node *n, const xfc_cache_form *f, xfc_value *v, xfc_dtype to) {
    if (!v || !f->bits) return v;
    v = xfc_n_split_bits(n, v, f->bits);
    v = v ? xfc_b_cast(n->b, v, XFC_F32) : NULL;
    if (f->bits == 4) v = with(n, XFC_OP_SUB, v, 8);
    v = v ? op(n, XFC_OP_MUL, v, xfc_n_fitting(n, f->scale, v, "the scale of a cache")) : NULL;
    return v ? xfc_b_cast(n->b, v, to) : NULL;
}

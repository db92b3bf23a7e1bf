/* cast.c - numbers out of strings and strings out of numbers; what either looks like is said by the routines
 * (runtime/kernels/read_numbers.c, write_numbers.c).
 *
 * A string that is no number of the type ends the run, where it is an element of the tensor; others of its table are
 * not asked for.
 */
#include "frontend/onnx/text/text.h"

/* --- strings to numbers --- */

/* Requires of what the run is given that none is. */
static bool none_of(xfc_node *n, xfc_value *wrong) {
    xfc_int found = XFC_INT_NONE;
    const int64_t axes[1] = {0};
    xfc_value *count = wrong ? xfc_texts_flat(n, xfc_b_cast(n->b, wrong, XFC_I64)) : NULL;
    count = count ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, count, axes, 1, true) : NULL;
    return count && xfc_n_define(n, count, &found, 1, NULL) &&
           xfc_n_equal(n, found, xfc_int_const(n->ctx, 0),
                       "the strings that are no numbers of the type they are cast to");
}

/* Of each text of the table, then those that are meant. */
xfc_value *xfc_texts_read(xfc_node *n, const xfc_texts *t, xfc_value *numbers, xfc_dtype to) {
    const bool code = xfc_dtype_is_code(to), few = xfc_dtype_bits(to) < 8 && !code;
    xfc_value *in[] = {t->bytes, t->starts, t->lengths};
    const xfc_attr attr = xfc_attr_dtype(XFC_K_TO, code ? XFC_F32 : few ? XFC_I8 : to);
    xfc_value *read = xfc_build(n->b, XFC_OP_READ_NUMBERS, in, XFC_COUNT(in), &attr, 1);
    if (!read) return NULL;
    xfc_value *fits = &read->def->out[1], *value = read;
    if (code || few) value = xfc_b_cast(n->b, read, to);
    if (few)
        fits = xfc_n2(n, XFC_OP_AND, fits, xfc_n2(n, XFC_OP_EQ, value ? xfc_b_cast(n->b, value, XFC_I8) : NULL, read));
    if (!none_of(n, xfc_n1(n, XFC_OP_NOT, xfc_texts_gather(n, fits, numbers)))) return NULL;
    return xfc_texts_gather(n, value, numbers);
}

/* --- numbers to strings --- */

static xfc_result of_bools(xfc_node *n, xfc_value *v) {
    static uint8_t no[] = "False", yes[] = "True";
    const ProtobufCBinaryData text[2] = {{sizeof no - 1, no}, {sizeof yes - 1, yes}};
    return (xfc_result){.value = xfc_b_cast(n->b, v, XFC_I64), .texts = xfc_texts_of(n, text, 2)};
}

xfc_result xfc_texts_write(xfc_node *n, xfc_value *v) {
    const xfc_type t = v->type;
    if (t.dtype == XFC_BOOL) return of_bools(n, v);
    if (xfc_dtype_is_int(t.dtype) && t.dtype != XFC_U64) v = xfc_b_cast(n->b, v, XFC_I64);
    if (xfc_dtype_is_code(t.dtype)) v = xfc_b_cast(n->b, v, XFC_F32);
    v = xfc_texts_flat(n, v);
    xfc_value *bytes = v ? xfc_build(n->b, XFC_OP_WRITE_NUMBERS, &v, 1, NULL, 0) : NULL;
    if (!bytes) return (xfc_result){0};
    xfc_value *out = bytes->def->out;
    return xfc_texts_all(n, xfc_texts_new(n, bytes, &out[1], &out[2], false), t.dim, t.rank);
}

/* packed.c - contractions whose right operand is packed into panels (see pack in ops/view.c).
 *
 * layout turns matmul and attention into these: a constant right operand is packed at compile time, any other at run
 * time, and code generation meets one form only. Their meaning stays a nest or smaller ops, so the interpreter and a
 * GPU need no panels.
 */
#include "ir/ops/ops.h"

static bool is_packed(const xfc_type *t, uint32_t rank) { return t->rank == rank + 1; }

/* As many panels as n columns fill. */
static xfc_status enough_panels(xfc_infer *inf, const xfc_type *packed, xfc_int n) {
    xfc_int panels = xfc_int_ceildiv(inf->ctx, n, packed->dim[packed->rank - 1]);
    return xfc_infer_equal(inf, packed->dim[packed->rank - 3], panels,
                           "the panels and the columns of a packed operand");
}

/* matmul_packed: a [..., m, k], b [..., panels, k, panel], size = [n] -> [..., m, n]; batch dims of b: none, or as many
 * as a's. b has the type of a, or a narrower one that an f32 a is multiplied with. */
xfc_status infer_matmul_packed(xfc_infer *inf) {
    const xfc_type *a = xfc_op_in(inf->op, 0), *b = xfc_op_in(inf->op, 1);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    bool narrow = a->dtype == XFC_F32 && (b->dtype == XFC_F16 || b->dtype == XFC_BF16);
    if (a->rank < 2 || (a->dtype != b->dtype && !narrow) || a->dtype == XFC_BOOL || size->n != 1 ||
        (b->rank != 3 && !is_packed(b, a->rank)))
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "matmul_packed needs a of rank >= 2 and packed b of the same numeric type and batch rank; "
                        "run layout on matmul");
    *inf->out = *a;
    XFC_TRY(xfc_infer_equal(inf, a->dim[a->rank - 1], b->dim[b->rank - 2], "the inner dims of matmul_packed"));
    XFC_TRY(enough_panels(inf, b, size->u.dims[0]));
    if (b->rank != 3) XFC_TRY(xfc_infer_broadcast(inf, b->dim, a->rank - 2, inf->out->dim, a->rank - 2));
    inf->out->dim[a->rank - 1] = size->u.dims[0];
    return XFC_OK;
}

xfc_status nest_matmul_packed(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *a = xfc_op_in(op, 0), *b = xfc_op_in(op, 1), *out = &op->out[0].type;
    uint32_t r = out->rank;
    xfc_int o[XFC_MAX_RANK], ia[XFC_MAX_RANK], ib[XFC_MAX_RANK] = {{0}};
    xfc_nb_axes_of(nb, out, o);
    xfc_int k = xfc_nb_axis(nb, "k", a->dim[r - 1], XFC_AXIS_REDUCE);
    for (uint32_t d = 0; d + 2 < r; d++) {
        ia[d] = xfc_broadcast_index(nb->ctx, o[d], a->dim[d], out->dim[d]);
        if (b->rank != 3) ib[d] = xfc_broadcast_index(nb->ctx, o[d], b->dim[d], out->dim[d]);
    }
    ia[r - 2] = o[r - 2];
    ia[r - 1] = k;
    xfc_int panel = b->dim[b->rank - 1];
    ib[b->rank - 3] = xfc_int_floordiv(nb->ctx, o[r - 1], panel);
    ib[b->rank - 2] = k;
    ib[b->rank - 1] = xfc_int_mod(nb->ctx, o[r - 1], panel);
    uint32_t va = xfc_nb_load(nb, a->dtype, 0, ia, a->rank), vb = xfc_nb_load(nb, b->dtype, 1, ib, b->rank);
    xfc_dtype sum = out->dtype == XFC_F16 || out->dtype == XFC_BF16 ? XFC_F32 : out->dtype;
    va = xfc_nb_cast(nb, sum, a->dtype, va);
    vb = xfc_nb_cast(nb, sum, b->dtype, vb);
    uint32_t v = xfc_nb_op(nb, XFC_S_MUL, sum, va, vb, XFC_NO_ARG);
    xfc_nb_store(nb, v, 2, o, r, XFC_S_ADD);
    return XFC_OK;
}

/* attention_packed: q [b, h, s, d], k packed [b, h, panels, d, panel], v packed [b, h, panels, t, panel], bias; size =
 * [t, e]. */
xfc_status infer_attention_packed(xfc_infer *inf) {
    const xfc_type *q = xfc_op_in(inf->op, 0), *k = xfc_op_in(inf->op, 1), *v = xfc_op_in(inf->op, 2);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    if (q->rank != 4 || k->rank != 5 || v->rank != 5 || size->n != 2 || q->dtype != XFC_F32 || k->dtype != XFC_F32 ||
        v->dtype != XFC_F32)
        return xfc_fail(
            inf->ctx, XFC_ERR_INPUT, inf->op->loc,
            "attention_packed needs q of rank 4, packed k and v of rank 5, all f32; run layout on attention");
    XFC_TRY(xfc_infer_equal(inf, q->dim[3], k->dim[3], "the head size of q and k"));
    XFC_TRY(xfc_infer_equal(inf, size->u.dims[0], v->dim[3], "the number of keys and values"));
    *inf->out = *q;
    inf->out->dim[3] = size->u.dims[1];
    for (uint32_t d = 0; d < 2; d++) {
        XFC_TRY(xfc_infer_equal(inf, q->dim[d], k->dim[d], "the batch dims of q and k"));
        XFC_TRY(xfc_infer_equal(inf, q->dim[d], v->dim[d], "the batch dims of q and v"));
    }
    XFC_TRY(enough_panels(inf, k, size->u.dims[0]));
    XFC_TRY(enough_panels(inf, v, size->u.dims[1]));
    xfc_type scores = *q;
    scores.dim[3] = size->u.dims[0];
    return xfc_op_has_in(inf->op, 3) ? xfc_infer_fits(inf, xfc_op_in(inf->op, 3), &scores, "the bias") : XFC_OK;
}

/* softmax((q @ k) * scale + bias) @ v with probabilities of fully masked rows set to 0 on request. layout makes this op
 * for f32 only. */
xfc_status decompose_attention_packed(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    const xfc_attr *size = xfc_op_attr(op, XFC_K_SIZE);
    xfc_value *q = op->in[0].value;
    xfc_attr n0 = xfc_attr_dims(XFC_K_SIZE, &size->u.dims[0], 1), n1 = xfc_attr_dims(XFC_K_SIZE, &size->u.dims[1], 1);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 3);
    xfc_value *s = xfc_build(b, XFC_OP_MATMUL_PACKED, (xfc_value *[]){q, op->in[1].value}, 2, &n0, 1);
    s = xfc_b_binary(b, XFC_OP_MUL, s, xfc_b_scalar_f(b, q->type.dtype, xfc_op_float(op, XFC_K_SCALE, 1)));
    if (xfc_op_has_in(op, 3)) s = xfc_b_binary(b, XFC_OP_ADD, s, op->in[3].value);
    xfc_value *p = xfc_build(b, XFC_OP_SOFTMAX, &s, 1, &axis, 1);
    if (xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)) {
        xfc_value *nan = xfc_b_unary(b, XFC_OP_ISNAN, p);
        p = xfc_b_select(b, nan, xfc_b_scalar_f(b, q->type.dtype, 0), p);
    }
    result[0] = xfc_build(b, XFC_OP_MATMUL_PACKED, (xfc_value *[]){p, op->in[2].value}, 2, &n1, 1);
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

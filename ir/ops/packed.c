/* packed.c - contractions whose right operand is packed into panels (see pack in ops/view.c).
 *
 * layout turns matmul and attention into these: a constant right operand is packed at compile time, any other at run
 * time, and code generation meets one form only. Their meaning stays a nest or smaller ops, so the interpreter and a
 * GPU need no panels.
 */
#include "ir/ops/ops.h"

static bool is_packed(const xfc_type *t, uint32_t rank) { return t->rank == rank + 1; }

/* As many panels as n columns fill, of `group` elements each. */
static xfc_status enough_panels(xfc_infer *inf, const xfc_type *packed, xfc_int n, int64_t group) {
    xfc_int panels = xfc_int_ceildiv(inf->ctx, xfc_int_mulc(inf->ctx, n, group), packed->dim[packed->rank - 1]);
    return xfc_infer_equal(inf, packed->dim[packed->rank - 3], panels,
                           "the panels and the columns of a packed operand");
}

static bool is_half(xfc_dtype t) { return t == XFC_F16 || t == XFC_BF16; }

/* The group stands together in whole columns of the panels. */
static bool groups_fit(xfc_ctx *ctx, const xfc_type *b, int64_t group) {
    int64_t width;
    if (group == 1) return true;
    return group > 1 && group <= 8 && xfc_int_value(ctx, b->dim[b->rank - 1], &width) && width % group == 0;
}

/* matmul_packed: a [..., m, k], b [..., panels, k / group, panel * group], size = [n] -> [..., m, n] in the type `to`,
 * or in that of a; batch dims of b: none, or as many as a's. b has the type of a, or a narrower one that an f32 a is
 * multiplied with. */
xfc_status infer_matmul_packed(xfc_infer *inf) {
    const xfc_type *a = xfc_op_in(inf->op, 0), *b = xfc_op_in(inf->op, 1);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE), *to = xfc_op_attr(inf->op, XFC_K_TO);
    int64_t group = xfc_op_int(inf->op, XFC_K_GROUP, 1);
    bool types = (a->dtype == b->dtype && a->dtype != XFC_BOOL) || xfc_widens(a->dtype, b->dtype);
    types = types && (!to || to->u.dtype == a->dtype || (to->u.dtype == XFC_F32 && is_half(a->dtype)));
    if (a->rank < 2 || !types || size->n != 1 || (b->rank != 3 && !is_packed(b, a->rank)) ||
        !groups_fit(inf->ctx, b, group))
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "matmul_packed needs a of rank >= 2 and packed b of the same numeric type and batch rank; "
                        "run layout on matmul");
    *inf->out = *a;
    if (to) inf->out->dtype = to->u.dtype;
    xfc_int depth = xfc_int_mulc(inf->ctx, b->dim[b->rank - 2], group);
    XFC_TRY(xfc_infer_equal(inf, a->dim[a->rank - 1], depth, "the inner dims of matmul_packed"));
    XFC_TRY(enough_panels(inf, b, size->u.dims[0], group));
    if (b->rank != 3) XFC_TRY(xfc_infer_broadcast(inf, b->dim, a->rank - 2, inf->out->dim, a->rank - 2));
    inf->out->dim[a->rank - 1] = size->u.dims[0];
    return XFC_OK;
}

/* Indices of element (k, column) in the panels: the last three of b. */
static void panel_index(xfc_ctx *ctx, const xfc_op *op, xfc_int k, xfc_int column, xfc_int *at) {
    const xfc_type *b = xfc_op_in(op, 1);
    int64_t group = xfc_op_int(op, XFC_K_GROUP, 1);
    xfc_int g = xfc_int_const(ctx, group), panel = xfc_int_floordiv(ctx, b->dim[b->rank - 1], g);
    at[0] = xfc_int_floordiv(ctx, column, panel);
    at[1] = xfc_int_floordiv(ctx, k, g);
    at[2] = xfc_int_add(ctx, xfc_int_mul(ctx, xfc_int_mod(ctx, column, panel), g), xfc_int_mod(ctx, k, g));
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
    panel_index(nb->ctx, op, k, o[r - 1], &ib[b->rank - 3]);
    uint32_t va = xfc_nb_load(nb, a->dtype, 0, ia, a->rank), vb = xfc_nb_load(nb, b->dtype, 1, ib, b->rank);
    xfc_dtype sum = is_half(out->dtype) ? XFC_F32 : out->dtype;
    va = xfc_nb_cast(nb, sum, a->dtype, va);
    vb = xfc_nb_cast(nb, sum, b->dtype, vb);
    uint32_t v = xfc_nb_op(nb, XFC_S_MUL, sum, va, vb, XFC_NO_ARG);
    xfc_nb_store(nb, v, 2, o, r, XFC_S_ADD);
    return XFC_OK;
}

/* The dims of k and v as they are, of any float type, and of which batches are packed: n. */
static xfc_status check_at_rest(xfc_infer *inf, xfc_int *n) {
    const xfc_type *q = xfc_op_in(inf->op, 0), *k = xfc_op_in(inf->op, 1);
    const xfc_int *size = xfc_op_attr(inf->op, XFC_K_SIZE)->u.dims;
    *n = q->dim[0];
    if (!xfc_op_has_in(inf->op, 4) && !xfc_op_has_in(inf->op, 5)) return XFC_OK;
    *n = k->dim[0];
    for (uint32_t i = 4; i < 6; i++) {
        const xfc_type *x = xfc_op_has_in(inf->op, i) ? xfc_op_in(inf->op, i) : NULL;
        if (!x || x->rank != 4 || !xfc_dtype_is_float(x->dtype) || xfc_op_int(inf->op, XFC_K_GROUP, 1) != 1)
            return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                            "attention_packed takes k and v of rank 4 as they are, both or none, and no groups then");
        const xfc_int dim[4] = {q->dim[0], q->dim[1], size[0], i == 4 ? q->dim[3] : size[1]};
        for (uint32_t d = 0; d < 4; d++)
            XFC_TRY(xfc_infer_equal(inf, x->dim[d], dim[d], "the dims of k and v as they are and of attention"));
    }
    return XFC_OK;
}

/* attention_packed: q [b, h, s, d], k packed [n, h, panels, d / group, panel * group], v packed [n, h, panels, ceil(t /
 * group), panel * group], f32 bias, k [b, h, t, d] and v [b, h, t, e] of any float type; size = [t, e]. Without the last
 * two n is b; else batches from n on read those. Behind them, or their places, the reach of the bias and a sink. */
xfc_status infer_attention_packed(xfc_infer *inf) {
    const xfc_type *q = xfc_op_in(inf->op, 0), *k = xfc_op_in(inf->op, 1), *v = xfc_op_in(inf->op, 2);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    int64_t group = xfc_op_int(inf->op, XFC_K_GROUP, 1);
    xfc_dtype type = group == 1 ? XFC_F32 : XFC_BF16;
    xfc_int n;
    bool types = q->dtype == type && k->dtype == type && v->dtype == type;
    if (q->rank != 4 || k->rank != 5 || v->rank != 5 || size->n != 2 || !types || !groups_fit(inf->ctx, k, group) ||
        !groups_fit(inf->ctx, v, group))
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "attention_packed needs q of rank 4, packed k and v of rank 5, all f32, or bf16 in groups; run "
                        "layout on attention");
    xfc_int g = xfc_int_const(inf->ctx, group);
    XFC_TRY(xfc_infer_equal(inf, q->dim[3], xfc_int_mul(inf->ctx, k->dim[3], g), "the head size of q and k"));
    XFC_TRY(xfc_infer_equal(inf, xfc_int_ceildiv(inf->ctx, size->u.dims[0], g), v->dim[3],
                            "the number of keys and values"));
    XFC_TRY(check_at_rest(inf, &n));
    *inf->out = *q;
    inf->out->dtype = XFC_F32;
    inf->out->dim[3] = size->u.dims[1];
    for (uint32_t d = 0; d < 2; d++) {
        XFC_TRY(xfc_infer_equal(inf, d ? q->dim[1] : n, k->dim[d], "the batch dims of q and k"));
        XFC_TRY(xfc_infer_equal(inf, d ? q->dim[1] : n, v->dim[d], "the batch dims of q and v"));
    }
    XFC_TRY(enough_panels(inf, k, size->u.dims[0], group));
    XFC_TRY(enough_panels(inf, v, size->u.dims[1], group));
    xfc_type scores = *q;
    scores.dtype = XFC_F32;
    scores.dim[3] = size->u.dims[0];
    if (xfc_op_has_in(inf->op, 3)) XFC_TRY(xfc_infer_fits(inf, xfc_op_in(inf->op, 3), &scores, "the bias"));
    return xfc_infer_reach_and_sink(inf, 6);
}

static xfc_value *product(xfc_builder *b, const xfc_op *op, xfc_value *left, xfc_value *right, uint32_t size) {
    int64_t group = xfc_op_int(op, XFC_K_GROUP, 1);
    const xfc_attr attr[3] = {xfc_attr_dims(XFC_K_SIZE, &xfc_op_attr(op, XFC_K_SIZE)->u.dims[size], 1),
                              xfc_attr_int(XFC_K_GROUP, group), xfc_attr_dtype(XFC_K_TO, XFC_F32)};
    return xfc_build(b, XFC_OP_MATMUL_PACKED, (xfc_value *[]){left, right}, 2, attr, group == 1 ? 1 : 3);
}

/* p in the type of the values, zeros behind the last key where the last group of values is not whole. */
static xfc_value *as_operand(xfc_builder *b, xfc_value *p, const xfc_value *v, int64_t group) {
    if (!p || group == 1) return p;
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_int zero = xfc_int_const(ctx, 0), all = xfc_int_mulc(ctx, v->type.dim[3], group);
    const xfc_int before[4] = {zero, zero, zero, zero},
                  after[4] = {zero, zero, zero, xfc_int_sub(ctx, all, p->type.dim[3])};
    const xfc_attr attr[2] = {xfc_attr_dims(XFC_K_BEFORE, before, 4), xfc_attr_dims(XFC_K_AFTER, after, 4)};
    p = xfc_b_cast(b, p, v->type.dtype);
    return xfc_int_is(ctx, after[3], 0) ? p : xfc_build(b, XFC_OP_PAD, &p, 1, attr, 2);
}

/* Batches from `first` on of an operand, which may be one for all; that it is one only the call may know. */
static xfc_value *batches(xfc_builder *b, xfc_value *v, xfc_int all, xfc_int first, xfc_int n) {
    if (!v || v->type.rank < 4 || xfc_int_is(b->graph->ctx, v->type.dim[0], 1)) return v;
    const xfc_int dim[4] = {all, v->type.dim[1], v->type.dim[2], v->type.dim[3]};
    if (!xfc_int_same(v->type.dim[0], all)) v = xfc_b_expand(b, v, dim, 4);
    return xfc_b_slice_axis(b, v, 0, first, n, 1);
}

/* Attention of the batches that are packed; only products take other types than f32. */
static xfc_value *packed_part(xfc_builder *b, const xfc_op *op, xfc_value *q, xfc_value *bias, xfc_value *sink) {
    xfc_value *v = op->in[2].value;
    xfc_value *p = xfc_attention_weights(b, op, product(b, op, q, op->in[1].value, 0), bias, sink);
    return product(b, op, as_operand(b, p, v, xfc_op_int(op, XFC_K_GROUP, 1)), v, 1);
}

/* The batches that are packed, then attention of the others; without the reach: what lies outside has no weight. */
xfc_status decompose_attention_packed(xfc_builder *b, const xfc_op *op, xfc_value **result) {
    xfc_value *q = op->in[0].value, *bias = xfc_op_has_in(op, 3) ? op->in[3].value : NULL,
              *sink = xfc_op_has_in(op, 7) ? op->in[7].value : NULL;
    if (!xfc_op_has_in(op, 4)) {
        result[0] = packed_part(b, op, q, bias, sink);
        return result[0] ? XFC_OK : XFC_ERR_INPUT;
    }
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_int zero = xfc_int_const(ctx, 0), n = op->in[1].value->type.dim[0], all = q->type.dim[0],
                  left = xfc_int_sub(ctx, all, n);
    xfc_value *part[2] = {packed_part(b, op, batches(b, q, all, zero, n), batches(b, bias, all, zero, n),
                                      batches(b, sink, all, zero, n)),
                          NULL},
              *in[6] = {NULL};
    for (uint32_t i = 0; i < 3; i++)
        in[i] = xfc_b_cast(b, batches(b, i ? op->in[3 + i].value : q, all, n, left), XFC_F32);
    in[3] = batches(b, bias, all, n, left);
    in[5] = batches(b, sink, all, n, left);
    const double cap = xfc_op_float(op, XFC_K_SOFTCAP, 0);
    const xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1)),
                              xfc_attr_int(XFC_K_NAN_TO_ZERO, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)),
                              xfc_attr_float(XFC_K_SOFTCAP, cap)};
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    part[1] = xfc_build_opt(b, XFC_OP_ATTENTION, in, sink ? 6 : bias ? 4 : 3, attr, cap > 0 ? 3 : 2);
    result[0] = part[0] && part[1] ? xfc_build(b, XFC_OP_CONCAT, part, 2, &axis, 1) : NULL;
    return result[0] ? XFC_OK : XFC_ERR_INPUT;
}

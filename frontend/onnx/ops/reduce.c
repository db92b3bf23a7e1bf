/* reduce.c - reductions. All share how axes are given: attribute below an opset, operand from it on; none
 * means all axes, or with noop_with_empty_axes no axis, in which case what is done to each element is still done. */
#include "frontend/onnx/import.h"

typedef struct {
    int64_t axes[XFC_MAX_RANK];
    uint32_t n;
    bool keepdims;
} reduction;

static bool read_reduction(xfc_node *n, reduction *r) {
    uint32_t rank = n->in[0]->type.rank, n_given, operand_since = n->row->code == XFC_OP_REDUCE_SUM ? 13 : 18;
    const int64_t *given;
    bool has = xfc_node_axes_of(n, operand_since, 1, &given, &n_given);
    *r = (reduction){.keepdims = xfc_node_flag(n, "keepdims", true)};
    if (n->status != XFC_OK) return false;
    if (has && n_given)
        r->n = xfc_node_axes(n, given, n_given, rank, r->axes);
    else if (!xfc_node_flag(n, "noop_with_empty_axes", false))
        for (; r->n < rank; r->n++) r->axes[r->n] = r->n;
    return n->status == XFC_OK;
}

static xfc_value *apply(xfc_node *n, xfc_opcode code, xfc_value *v, const reduction *r) {
    return v && r->n ? xfc_b_reduce(n->b, code, v, r->axes, r->n, r->keepdims) : v;
}

void xfc_import_reduce(xfc_node *n) {
    reduction r;
    if (read_reduction(n, &r)) n->out[0] = apply(n, n->row->code, n->in[0], &r);
}

void xfc_import_reduce_l1(xfc_node *n) {
    reduction r;
    if (read_reduction(n, &r)) n->out[0] = apply(n, XFC_OP_REDUCE_SUM, xfc_n1(n, XFC_OP_ABS, n->in[0]), &r);
}

static xfc_value *sum_of_squares(xfc_node *n, xfc_value *v, const reduction *r) {
    return apply(n, XFC_OP_REDUCE_SUM, xfc_n2(n, XFC_OP_MUL, v, v), r);
}

void xfc_import_reduce_sum_square(xfc_node *n) {
    reduction r;
    if (read_reduction(n, &r)) n->out[0] = sum_of_squares(n, n->in[0], &r);
}

/* 16-bit floats pass through f32, integers through f64: the root is taken before the result is rounded to the type. */
static xfc_dtype wide(xfc_dtype t) {
    if (!xfc_dtype_is_float(t)) return XFC_F64;
    return t == XFC_F64 ? t : XFC_F32;
}

void xfc_import_reduce_l2(xfc_node *n) {
    reduction r;
    if (!read_reduction(n, &r)) return;
    xfc_dtype t = n->in[0]->type.dtype;
    xfc_value *sum = sum_of_squares(n, xfc_b_cast(n->b, n->in[0], wide(t)), &r), *root = xfc_n1(n, XFC_OP_SQRT, sum);
    n->out[0] = root ? xfc_b_cast(n->b, root, t) : NULL;
}

void xfc_import_reduce_log_sum(xfc_node *n) {
    reduction r;
    if (!read_reduction(n, &r)) return;
    xfc_dtype t = n->in[0]->type.dtype;
    xfc_value *sum = apply(n, XFC_OP_REDUCE_SUM, xfc_b_cast(n->b, n->in[0], wide(t)), &r),
              *log = xfc_n1(n, XFC_OP_LOG, sum);
    n->out[0] = log ? xfc_b_cast(n->b, log, t) : NULL;
}

/* log(sum(exp(x - max))) + max; an infinite max is replaced by 0, which gives -inf for rows of -inf and of no
 * elements. */
void xfc_import_reduce_log_sum_exp(xfc_node *n) {
    reduction r;
    if (!read_reduction(n, &r)) return;
    xfc_dtype t = n->in[0]->type.dtype;
    xfc_value *x = xfc_b_cast(n->b, n->in[0], wide(t));
    reduction keep = r;
    keep.keepdims = true;
    xfc_value *max = apply(n, XFC_OP_REDUCE_MAX, x, &keep);
    max = max ? xfc_b_select(n->b, xfc_n1(n, XFC_OP_ISINF, max), xfc_nf(n, x, 0), max) : NULL;
    xfc_value *sum = apply(n, XFC_OP_REDUCE_SUM, xfc_n1(n, XFC_OP_EXP, xfc_n2(n, XFC_OP_SUB, x, max)), &r);
    xfc_value *log = xfc_n1(n, XFC_OP_LOG, sum);
    if (log && max) max = xfc_b_reshape(n->b, max, log->type.dim, log->type.rank);
    xfc_value *result = xfc_n2(n, XFC_OP_ADD, log, max);
    n->out[0] = result ? xfc_b_cast(n->b, result, t) : NULL;
}

void xfc_import_cumsum(xfc_node *n) {
    uint32_t count;
    const int64_t *axis = xfc_node_const_ints(n, 1, &count);
    if (!axis) return;
    if (count != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs exactly one axis; export the model again");
        return;
    }
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, xfc_node_axis(n, axis[0], n->in[0]->type.rank)),
                       xfc_attr_int(XFC_K_EXCLUSIVE, xfc_node_flag(n, "exclusive", false)),
                       xfc_attr_int(XFC_K_REVERSE, xfc_node_flag(n, "reverse", false))};
    if (n->status == XFC_OK) n->out[0] = xfc_build(n->b, XFC_OP_CUMSUM, n->in, 1, attr, XFC_COUNT(attr));
}

/* All axes after batch and channels. */
void xfc_import_global_pool(xfc_node *n) {
    reduction r = {.keepdims = true};
    for (uint32_t i = 2; i < n->in[0]->type.rank; i++) r.axes[r.n++] = i;
    n->out[0] = apply(n, n->row->code, n->in[0], &r);
}

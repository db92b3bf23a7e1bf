/* reduce.c - reductions. All share how axes are given: attribute below an opset, operand from it on; none
 * means all axes, or with noop_with_empty_axes no axis, in which case what is done to each element is still done. Axes
 * that only the run knows are fixed ones of a reshaped operand (axes.h). */
#include "frontend/onnx/axes.h"

typedef struct {
    xfc_value *x; /* what is reduced */
    int64_t axes[XFC_MAX_RANK];
    uint32_t n;
    bool keepdims;
    bool at_run_time;
    xfc_split split; /* the same at run time */
} reduction;

static bool split_reduction(xfc_node *n, reduction *r) {
    bool all = !xfc_node_flag(n, "noop_with_empty_axes", false);
    if (!xfc_split_axes(n, 1, all, r->keepdims, &r->split)) return false;
    r->at_run_time = true;
    r->keepdims = false;
    r->x = r->split.x;
    r->n = r->split.n_axes;
    for (uint32_t i = 0; i < r->n; i++) r->axes[i] = r->split.axes[i];
    return true;
}

static bool read_reduction(xfc_node *n, reduction *r) {
    uint32_t rank = n->in[0]->type.rank, n_given, operand_since = n->row->code == XFC_OP_REDUCE_SUM ? 13 : 18;
    const int64_t *given;
    *r = (reduction){.x = n->in[0], .keepdims = xfc_node_flag(n, "keepdims", true)};
    if (n->opset >= operand_since && xfc_node_at_run_time(n, 1)) return split_reduction(n, r);
    bool has = xfc_node_axes_of(n, operand_since, 1, &given, &n_given);
    if (n->status != XFC_OK) return false;
    if (has && n_given)
        r->n = xfc_node_axes(n, given, n_given, rank, r->axes);
    else if (!xfc_node_flag(n, "noop_with_empty_axes", false))
        for (; r->n < rank; r->n++) r->axes[r->n] = r->n;
    return n->status == XFC_OK;
}

static void give(xfc_node *n, const reduction *r, xfc_value *v) {
    n->out[0] = v && r->at_run_time ? xfc_b_reshape(n->b, v, r->split.dim, r->split.rank) : v;
}

static xfc_value *apply(xfc_node *n, xfc_opcode code, xfc_value *v, const reduction *r) {
    return v && r->n ? xfc_b_reduce(n->b, code, v, r->axes, r->n, r->keepdims) : v;
}

void xfc_import_reduce(xfc_node *n) {
    reduction r;
    if (read_reduction(n, &r)) give(n, &r, apply(n, n->row->code, r.x, &r));
}

void xfc_import_reduce_l1(xfc_node *n) {
    reduction r;
    if (read_reduction(n, &r)) give(n, &r, apply(n, XFC_OP_REDUCE_SUM, xfc_n1(n, XFC_OP_ABS, r.x), &r));
}

static xfc_value *sum_of_squares(xfc_node *n, xfc_value *v, const reduction *r) {
    return apply(n, XFC_OP_REDUCE_SUM, xfc_n2(n, XFC_OP_MUL, v, v), r);
}

void xfc_import_reduce_sum_square(xfc_node *n) {
    reduction r;
    if (read_reduction(n, &r)) give(n, &r, sum_of_squares(n, r.x, &r));
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
    xfc_value *sum = sum_of_squares(n, xfc_b_cast(n->b, r.x, wide(t)), &r), *root = xfc_n1(n, XFC_OP_SQRT, sum);
    give(n, &r, root ? xfc_b_cast(n->b, root, t) : NULL);
}

void xfc_import_reduce_log_sum(xfc_node *n) {
    reduction r;
    if (!read_reduction(n, &r)) return;
    xfc_dtype t = n->in[0]->type.dtype;
    xfc_value *sum = apply(n, XFC_OP_REDUCE_SUM, xfc_b_cast(n->b, r.x, wide(t)), &r), *log = xfc_n1(n, XFC_OP_LOG, sum);
    give(n, &r, log ? xfc_b_cast(n->b, log, t) : NULL);
}

/* log(sum(exp(x - max))) + max; an infinite max is replaced by 0, which gives -inf for rows of -inf and of no
 * elements. */
void xfc_import_reduce_log_sum_exp(xfc_node *n) {
    reduction r;
    if (!read_reduction(n, &r)) return;
    xfc_dtype t = n->in[0]->type.dtype;
    xfc_value *x = xfc_b_cast(n->b, r.x, wide(t));
    reduction keep = r;
    keep.keepdims = true;
    xfc_value *max = apply(n, XFC_OP_REDUCE_MAX, x, &keep);
    max = max ? xfc_b_select(n->b, xfc_n1(n, XFC_OP_ISINF, max), xfc_nf(n, x, 0), max) : NULL;
    xfc_value *sum = apply(n, XFC_OP_REDUCE_SUM, xfc_n1(n, XFC_OP_EXP, xfc_n2(n, XFC_OP_SUB, x, max)), &r);
    xfc_value *log = xfc_n1(n, XFC_OP_LOG, sum);
    if (log && max) max = xfc_b_reshape(n->b, max, log->type.dim, log->type.rank);
    xfc_value *result = xfc_n2(n, XFC_OP_ADD, log, max);
    give(n, &r, result ? xfc_b_cast(n->b, result, t) : NULL);
}

void xfc_import_running(xfc_node *n) {
    uint32_t count;
    const xfc_int *given = xfc_node_entries(n, 1, &count);
    if (!given) return;
    if (count != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs exactly one axis; export the model again");
        return;
    }
    const xfc_type t = n->in[0]->type;
    xfc_value *x = n->in[0];
    int64_t axis;
    xfc_axis_split split = {.x = x};
    bool at_run_time = !xfc_int_value(n->ctx, given[0], &axis);
    if (at_run_time && !xfc_one_axis(n, 1, 0, &split)) return;
    x = split.x;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, at_run_time ? 1 : xfc_node_axis(n, axis, t.rank)),
                       xfc_attr_int(XFC_K_EXCLUSIVE, xfc_node_flag(n, "exclusive", false)),
                       xfc_attr_int(XFC_K_REVERSE, xfc_node_flag(n, "reverse", false))};
    xfc_value *y = n->status == XFC_OK ? xfc_build(n->b, n->row->code, &x, 1, attr, XFC_COUNT(attr)) : NULL;
    n->out[0] = y ? xfc_b_reshape(n->b, y, t.dim, t.rank) : NULL;
}

/* All axes after batch and channels. */
void xfc_import_global_pool(xfc_node *n) {
    reduction r = {.keepdims = true};
    for (uint32_t i = 2; i < n->in[0]->type.rank; i++) r.axes[r.n++] = i;
    n->out[0] = apply(n, n->row->code, n->in[0], &r);
}

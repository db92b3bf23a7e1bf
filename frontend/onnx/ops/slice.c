/* slice.c - Slice and Split: bounds that may be symbols become start and size of the slice op.
 *
 * ONNX clamps bounds to the dim. A symbol clamped by a symbol would stay an opaque min() that matches no other dim
 * later, so clamps vanish where ranges decide them, and in one case by decree: cutting [start : end] out of a constant
 * extent N (a position table cut to the sequence) takes end - start elements and makes end <= N a condition of the
 * model. Where end exceeds N, ONNX would return fewer rows, which the addition that follows in any real model rejects
 * anyway.
 */
#include "frontend/onnx/import.h"

typedef struct {
    xfc_int start, size;
} span;

static xfc_int zero(const xfc_node *n) { return xfc_int_const(n->ctx, 0); }

/* A bound as a position from the front, unclamped: negative ones count from the end. Exporters write INT64_MAX for
 * "to the end" and INT64_MIN for "beyond the front". */
static xfc_int from_front(xfc_node *n, xfc_int bound, xfc_int dim) {
    int64_t lo, hi;
    xfc_int_range(n->ctx, bound, &lo, &hi);
    if (lo >= XFC_DIM_MAX) return dim;
    if (lo >= 0) return bound;
    if (hi <= -XFC_DIM_MAX) return xfc_int_const(n->ctx, -1);
    /* A sign that is not known becomes a condition of the model. "-length" means from the end, and a length of 0
     * would not; "length - 1" means from the front. */
    xfc_int from_end = xfc_int_add(n->ctx, bound, dim);
    if (hi < 0 || (hi == 0 && xfc_int_is(n->ctx, from_end, 0))) return from_end;
    xfc_int meant =
        hi == 0 ? xfc_int_min(n->ctx, bound, xfc_int_const(n->ctx, -1)) : xfc_int_max(n->ctx, bound, zero(n));
    xfc_graph_require_equal(n->im->graph, meant, bound, n->loc);
    return hi == 0 ? from_end : bound;
}

static xfc_int clamp(xfc_node *n, xfc_int e, xfc_int lo, xfc_int hi) {
    return xfc_dim_known(n->im->graph, xfc_int_max(n->ctx, xfc_int_min(n->ctx, e, hi), lo));
}

static span slice_forward(xfc_node *n, xfc_int dim, xfc_int start, xfc_int end, int64_t step) {
    xfc_ctx *c = n->ctx;
    int64_t extent, fixed;
    bool decree = xfc_int_value(c, dim, &extent) && !xfc_int_value(c, end, &fixed) && xfc_int_le(c, end, dim) < 0 &&
                  xfc_int_le(c, start, end) == 1 && xfc_int_le(c, zero(n), start) == 1;
    if (decree) {
        xfc_graph_require_equal(n->im->graph, xfc_int_min(c, end, dim), end, n->loc);
    } else {
        start = clamp(n, start, zero(n), dim);
        end = clamp(n, end, zero(n), dim);
    }
    xfc_int size = xfc_int_ceildiv(c, xfc_int_sub(c, end, start), xfc_int_const(c, step));
    return (span){.start = start, .size = xfc_dim_known(n->im->graph, xfc_int_max(c, size, zero(n)))};
}

/* Backwards: start lies in [0, dim - 1], end (exclusive) in [-1, dim - 1]. */
static span slice_backward(xfc_node *n, xfc_int dim, xfc_int start, xfc_int end, int64_t step) {
    xfc_ctx *c = n->ctx;
    xfc_int last = xfc_int_addc(c, dim, -1);
    start = clamp(n, start, zero(n), last);
    end = clamp(n, end, xfc_int_const(c, -1), last);
    xfc_int size = xfc_int_ceildiv(c, xfc_int_sub(c, start, end), xfc_int_const(c, -step));
    size = xfc_int_max(c, size, zero(n));
    return (span){.start = start, .size = xfc_int_is(c, dim, 0) ? dim : xfc_int_min(c, size, dim)};
}

typedef struct {
    const xfc_int *start, *end;
    const int64_t *axis, *step;
    uint32_t n;
} bounds;

static const xfc_int *symbolic(xfc_node *n, const int64_t *values, uint32_t count) {
    xfc_int *out = xfc_new_array(n->im->arena, xfc_int, count + 1u);
    for (uint32_t i = 0; i < count; i++) out[i] = xfc_int_const(n->ctx, values[i]);
    return out;
}

static bool read_attributes(xfc_node *n, bounds *b) {
    const int64_t *start, *end;
    uint32_t n_end, n_axes;
    bool ok = xfc_node_ints(n, "starts", &start, &b->n) && xfc_node_ints(n, "ends", &end, &n_end) && n_end == b->n;
    bool has_axes = xfc_node_ints(n, "axes", &b->axis, &n_axes);
    if (!ok || (has_axes && n_axes != b->n)) return false;
    b->start = symbolic(n, start, b->n);
    b->end = symbolic(n, end, b->n);
    return true;
}

static bool read_operands(xfc_node *n, bounds *b) {
    uint32_t n_end, n_axes = 0, n_steps = 0;
    if (!xfc_node_has(n, 1) || !xfc_node_has(n, 2)) return false;
    b->start = xfc_node_dims(n, 1, &b->n);
    b->end = xfc_node_dims(n, 2, &n_end);
    if (xfc_node_has(n, 3)) b->axis = xfc_node_const_ints(n, 3, &n_axes);
    if (xfc_node_has(n, 4)) b->step = xfc_node_const_ints(n, 4, &n_steps);
    return n->status == XFC_OK && n_end == b->n && (!b->axis || n_axes == b->n) && (!b->step || n_steps == b->n);
}

void xfc_import_slice(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    bounds b = {0};
    bool ok = n->opset < 10 ? read_attributes(n, &b) : read_operands(n, &b);
    if (!ok || (!b.axis && b.n > t->rank)) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "starts, ends, axes and steps do not belong together; export the model again");
        return;
    }
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    bool cut[XFC_MAX_RANK] = {false};
    for (uint32_t i = 0; i < t->rank; i++) {
        start[i] = zero(n);
        size[i] = t->dim[i];
        step[i] = 1;
    }
    for (uint32_t i = 0; i < b.n; i++) {
        uint32_t axis = xfc_node_axis(n, b.axis ? b.axis[i] : (int64_t)i, t->rank);
        int64_t by = b.step ? b.step[i] : 1;
        if (n->status != XFC_OK) return;
        if (by == 0 || cut[axis]) {
            xfc_node_fail(n, XFC_ERR_INPUT,
                          by ? "slices an axis twice; export the model again" : "has step 0; export the model again");
            return;
        }
        if (by < -XFC_DIM_MAX) by = -XFC_DIM_MAX; /* beyond any dim: one element */
        if (by > XFC_DIM_MAX) by = XFC_DIM_MAX;
        xfc_int first = from_front(n, b.start[i], t->dim[axis]), end = from_front(n, b.end[i], t->dim[axis]);
        span s =
            by > 0 ? slice_forward(n, t->dim[axis], first, end, by) : slice_backward(n, t->dim[axis], first, end, by);
        start[axis] = s.start;
        size[axis] = s.size;
        step[axis] = by;
        cut[axis] = true;
    }
    bool same = true;
    for (uint32_t i = 0; i < t->rank; i++)
        same = same && step[i] == 1 && xfc_int_same(size[i], t->dim[i]) && xfc_int_is(n->ctx, start[i], 0);
    n->out[0] = same ? n->in[0] : xfc_b_slice(n->b, n->in[0], start, size, step);
}

/* Sizes of the parts when none are given: equal, the last one smaller where opset 18 allows it. */
static bool equal_parts(xfc_node *n, xfc_int dim, xfc_int *size) {
    xfc_ctx *c = n->ctx;
    uint32_t parts = n->n_out;
    int64_t extent, want = n->opset >= 18 ? xfc_node_int(n, "num_outputs", parts) : parts;
    if (want != parts)
        return xfc_node_fail(n, XFC_ERR_INPUT, "num_outputs is %lld, but there are %u outputs; export the model again",
                             (long long)want, parts),
               false;
    xfc_int k = xfc_int_const(c, parts), part = xfc_dims_divide(c, &dim, 1, &k, 1);
    if (xfc_int_value(c, dim, &extent)) {
        if (n->opset < 18 && extent % parts)
            return xfc_node_fail(n, XFC_ERR_INPUT, "splits %lld elements into %u equal parts; export the model again",
                                 (long long)extent, parts),
                   false;
        part = xfc_int_const(c, (extent + parts - 1) / parts);
    } else if (n->opset >= 18) {
        part = xfc_int_ceildiv(c, dim, k);
    }
    for (uint32_t i = 0; i < parts; i++) {
        xfc_int left = xfc_int_sub(c, dim, xfc_int_mulc(c, part, i));
        size[i] = xfc_int_same(part, xfc_int_floordiv(c, dim, k)) ? part
                                                                  : xfc_int_max(c, xfc_int_min(c, part, left), zero(n));
    }
    return true;
}

static bool given_parts(xfc_node *n, xfc_int dim, xfc_int *size) {
    const int64_t *fixed = NULL;
    uint32_t count = 0;
    const xfc_int *entry = NULL;
    if (n->opset < 13) {
        xfc_node_ints(n, "split", &fixed, &count);
        entry = symbolic(n, fixed, count);
    } else {
        entry = xfc_node_sizes(n, 1, &count);
    }
    if (!entry || n->status != XFC_OK) return false;
    xfc_int sum = zero(n);
    for (uint32_t i = 0; i < count && i < n->n_out; i++) {
        size[i] = entry[i];
        sum = xfc_int_add(n->ctx, sum, size[i]);
        if (xfc_int_lt(n->ctx, size[i], zero(n)) == 1) count = 0; /* negative: reported below */
    }
    if (count != n->n_out || xfc_int_eq(n->ctx, sum, dim) == 0)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "the sizes of the parts do not fit the axis and the outputs; export the model again"),
               false;
    if (!xfc_int_same(sum, dim)) xfc_graph_require_equal(n->im->graph, sum, dim, n->loc);
    return true;
}

void xfc_import_split(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), t->rank);
    if (n->status != XFC_OK || !n->n_out) return;
    xfc_int *size = xfc_new_array(n->im->arena, xfc_int, n->n_out);
    bool given = n->opset < 13 ? xfc_node_attr(n, "split") != NULL : xfc_node_has(n, 1);
    if (!(given ? given_parts(n, t->dim[axis], size) : equal_parts(n, t->dim[axis], size))) return;
    xfc_int start[XFC_MAX_RANK], extent[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) {
        start[i] = zero(n);
        extent[i] = t->dim[i];
        step[i] = 1;
    }
    for (uint32_t k = 0; k < n->n_out; k++) {
        extent[axis] = size[k];
        if (xfc_node_wants(n, k)) n->out[k] = xfc_b_slice(n->b, n->in[0], start, extent, step);
        start[axis] = xfc_int_add(n->ctx, start[axis], size[k]);
    }
}

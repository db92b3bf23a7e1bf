/* slice.c - Slice and Split: bounds that may be symbols become start and size of the slice op.
 *
 * ONNX clamps bounds to the dim. A symbol clamped by a symbol would stay an opaque min() that matches no other dim
 * later, so clamps vanish where ranges decide them, and in one case by decree: cutting [start : end] out of a constant
 * extent N (a position table cut to the sequence) takes end - start elements and makes end <= N a condition of the
 * model. Where end exceeds N, ONNX would return fewer rows, which the addition that follows in any real model rejects
 * anyway. Where only the run knows starts, ends, axes or steps, so is it with where a slice begins and how long it is.
 */
#include "frontend/onnx/axes.h"

typedef struct {
    xfc_int start, size;
} span;

static xfc_int zero(const xfc_node *n) { return xfc_int_const(n->ctx, 0); }

/* Does a bound mean "all"? Exporters write INT64_MAX, INT32_MAX or, in TensorFlow's case, a billion for "to the end". That a
 * dim is not larger than the last is a condition of the model, else its size would be the lesser of both for ever. */
static bool is_far(xfc_node *n, int64_t bound, xfc_int dim) {
    const int64_t far = 100000000;
    if (bound < far) return false;
    xfc_int least = xfc_int_const(n->ctx, bound < XFC_DIM_MAX ? bound : XFC_DIM_MAX);
    xfc_graph_require_equal(n->im->graph, xfc_int_min(n->ctx, dim, least), dim, n->loc);
    return true;
}

/* A bound as a position from the front, unclamped: negative ones count from the end. */
static xfc_int from_front(xfc_node *n, xfc_int bound, xfc_int dim) {
    int64_t lo, hi;
    xfc_int_range(n->ctx, bound, &lo, &hi);
    if (is_far(n, lo, dim)) return dim;
    if (lo >= 0) return bound;
    if (hi < 0 && is_far(n, hi < -XFC_DIM_MAX ? XFC_DIM_MAX : -hi, dim)) return xfc_int_const(n->ctx, -1);
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

/* --- bounds that only the run knows --- */

enum { START = 1, END, AXES, STEPS };

typedef struct { /* lists with a number for each axis of the operand */
    xfc_value *start, *size, *step, *ok;
} run_time_span;

static xfc_value *clamp_list(xfc_node *n, xfc_value *v, xfc_value *lo, xfc_value *hi) {
    return xfc_n2(n, XFC_OP_MIN, xfc_n2(n, XFC_OP_MAX, v, lo), hi);
}

/* A list of flags: is each of them set? */
static xfc_value *all_of(xfc_node *n, xfc_value *flags) {
    static const int64_t axis = 0;
    xfc_value *one = flags ? xfc_b_cast(n->b, flags, XFC_I64) : NULL;
    one = one ? xfc_b_reduce(n->b, XFC_OP_REDUCE_MIN, one, &axis, 1, false) : NULL;
    return xfc_n2(n, XFC_OP_GT, one, xfc_ni(n, 0));
}

/* What slice_forward and slice_backward do, on lists. Bounds are cut to what a dim may be first, so nothing wraps. */
static void compute_spans(xfc_node *n, run_time_span *s) {
    const xfc_type *t = &n->in[0]->type;
    xfc_value *dims = xfc_b_dims(n->b, t->dim, t->rank), *none = xfc_ni(n, 0), *one = xfc_ni(n, 1);
    xfc_value *far = xfc_ni(n, 2 * XFC_DIM_MAX), *back = xfc_ni(n, -2 * XFC_DIM_MAX);
    xfc_int count = xfc_type_count(n->ctx, &n->in[START]->type);
    xfc_value *axes = xfc_node_has(n, AXES) ? xfc_node_list(n, AXES) : xfc_n_iota(n, count, zero(n), 1, XFC_I64);
    xfc_value *flags = xfc_n_axis_flags(n, axes, t->rank, &s->ok);
    xfc_value *start = xfc_n_spread(n, xfc_node_list(n, START), axes, flags, none);
    xfc_value *end = xfc_n_spread(n, xfc_node_list(n, END), axes, flags, dims);
    s->step = xfc_node_has(n, STEPS) ? xfc_n_spread(n, xfc_node_list(n, STEPS), axes, flags, one) : one;
    s->step = clamp_list(n, s->step, back, far);
    s->ok = xfc_n2(n, XFC_OP_AND, s->ok,
                   s->step && s->step->type.rank ? all_of(n, xfc_n2(n, XFC_OP_NE, s->step, none)) : s->ok);
    xfc_value *down = xfc_n2(n, XFC_OP_LT, s->step, none), *least = xfc_n_select(n, down, xfc_ni(n, -1), none);
    xfc_value *most = xfc_n2(n, XFC_OP_ADD, dims, least); /* the last element, or behind it */
    start = clamp_list(n, xfc_n_from_front(n, clamp_list(n, start, back, far), dims), none, most);
    end = clamp_list(n, xfc_n_from_front(n, clamp_list(n, end, back, far), dims), least, most);
    xfc_value *way = xfc_n_select(n, down, xfc_n2(n, XFC_OP_SUB, start, end), xfc_n2(n, XFC_OP_SUB, end, start));
    xfc_value *more = xfc_n2(n, XFC_OP_DIV, xfc_n2(n, XFC_OP_SUB, way, one), xfc_n1(n, XFC_OP_ABS, s->step));
    s->size = xfc_n_select(n, xfc_n2(n, XFC_OP_GT, way, none), xfc_n2(n, XFC_OP_ADD, more, one), none);
    s->start = xfc_n2(n, XFC_OP_MAX, start, none);
}

/* Which axes the operand names, if that is known: others are not cut. */
static void note_cut(xfc_node *n, bool cut[XFC_MAX_RANK]) {
    uint32_t rank = n->in[0]->type.rank, n_axes = 0;
    bool named = xfc_node_has(n, AXES), known = !named || !xfc_node_at_run_time(n, AXES);
    const xfc_int *axis = named && known ? xfc_node_entries(n, AXES, &n_axes) : NULL;
    int64_t at, count = rank;
    if (!named) (void)xfc_type_static(n->ctx, &n->in[START]->type, NULL, &count);
    for (uint32_t i = 0; i < rank; i++) cut[i] = !known || (!named && i < count);
    for (uint32_t i = 0; i < n_axes; i++)
        if (xfc_int_value(n->ctx, axis[i], &at)) cut[xfc_node_axis(n, at, rank)] = true;
}

static xfc_value *slice_at_run_time(xfc_node *n) {
    const xfc_type t = n->in[0]->type;
    xfc_value *x = n->in[0];
    run_time_span s = {0};
    bool cut[XFC_MAX_RANK];
    xfc_int size[XFC_MAX_RANK];
    note_cut(n, cut);
    if (n->status != XFC_OK) return NULL;
    compute_spans(n, &s);
    for (uint32_t d = 0; d < t.rank; d++) size[d] = cut[d] ? XFC_INT_NONE : t.dim[d];
    if (!xfc_n_define(n, xfc_n_sizes_if(n, s.ok, s.size), size, t.rank, t.dim)) return NULL;
    for (uint32_t d = 0; d < t.rank && x; d++) {
        if (!cut[d]) continue;
        xfc_value *by = s.step && s.step->type.rank ? xfc_n_pick(n, s.step, d) : s.step;
        xfc_value *at = xfc_n2(n, XFC_OP_MUL, xfc_n_iota(n, size[d], zero(n), 1, XFC_I64), by);
        at = xfc_n2(n, XFC_OP_ADD, at, xfc_n_pick(n, s.start, d));
        xfc_attr axis = xfc_attr_int(XFC_K_AXIS, d);
        x = xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){x, at}, 2, &axis, 1);
    }
    return x;
}

/* Is any of the operands read at run time? Their lengths must agree then. */
static bool at_run_time(xfc_node *n) {
    bool open = false, fits = true;
    const xfc_int count = xfc_type_count(n->ctx, &n->in[START]->type);
    for (uint32_t i = START; i <= STEPS; i++) open = open || xfc_node_at_run_time(n, i);
    for (uint32_t i = END; i <= STEPS && open && fits; i++)
        fits = !xfc_node_has(n, i) ||
               xfc_n_equal(n, count, xfc_type_count(n->ctx, &n->in[i]->type), "starts, ends, axes and steps");
    return open && n->status == XFC_OK;
}

/* --- Slice --- */

static bool read_operands(xfc_node *n, bounds *b) {
    uint32_t n_end, n_axes = 0, n_steps = 0;
    b->start = xfc_node_dims(n, 1, &b->n);
    b->end = xfc_node_dims(n, 2, &n_end);
    if (xfc_node_has(n, 3)) b->axis = xfc_node_const_ints(n, 3, &n_axes);
    if (xfc_node_has(n, 4)) b->step = xfc_node_const_ints(n, 4, &n_steps);
    return n->status == XFC_OK && n_end == b->n && (!b->axis || n_axes == b->n) && (!b->step || n_steps == b->n);
}

void xfc_import_slice(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    bounds b = {0};
    bool there = n->opset < 10 || (xfc_node_has(n, START) && xfc_node_has(n, END));
    if (n->opset >= 10 && there && at_run_time(n)) {
        n->out[0] = slice_at_run_time(n);
        return;
    }
    if (n->status != XFC_OK) return;
    bool ok = there && (n->opset < 10 ? read_attributes(n, &b) : read_operands(n, &b));
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
    if (n->opset < 13 && !xfc_node_has(n, 1)) {
        xfc_node_ints(n, "split", &fixed, &count);
        entry = symbolic(n, fixed, count);
    } else {
        xfc_node_expect(n, 1, 0, n->n_out);
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
    bool given = xfc_node_has(n, 1) || (n->opset < 13 && xfc_node_attr(n, "split"));
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

/* pool.c - pools: windows reduced.
 *
 * The border of a maximum is the least value, that of a sum is 0. A mean divides by the number of elements that count,
 * which depends on each place of the window alone along one axis; so it is a product of one small vector an axis,
 * computed by the same windows over ones, and folded where sizes are known. 16-bit floats are summed in f32.
 *
 * ceil_mode lets the last window reach beyond the border, but not start there: the border behind grows (or shrinks) to
 * what the windows reach, and no element of it counts.
 */
#include "frontend/onnx/window/window.h"

static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

typedef struct {
    xfc_window w;
    xfc_int
        counted[XFC_MAX_SPATIAL]; /* elements of the border behind that count where borders do: without ceil_mode's */
    bool ceil;
} pool;

static void round_up(xfc_node *n, pool *p) {
    xfc_ctx *c = n->ctx;
    for (uint32_t d = 0; d < p->w.n; d++) {
        xfc_int step = constant(n, p->w.step[d]), reach = xfc_window_reach(n, &p->w, d);
        xfc_int inner = xfc_int_add(c, n->in[0]->type.dim[2 + d], p->w.before[d]);
        xfc_int room = xfc_int_sub(c, xfc_int_add(c, inner, p->w.after[d]), reach);
        xfc_int count = xfc_int_addc(c, xfc_int_ceildiv(c, room, step), 1);
        count = xfc_int_min(c, count, xfc_int_ceildiv(c, inner, step));
        xfc_int end = xfc_int_add(c, xfc_int_mulc(c, xfc_int_addc(c, count, -1), p->w.step[d]), reach);
        p->w.after[d] = xfc_int_sub(c, end, inner);
    }
}

static bool read_pool(xfc_node *n, pool *p) {
    *p = (pool){.ceil = xfc_node_flag(n, "ceil_mode", false)};
    if (!xfc_window_read(n, NULL, &p->w)) return false;
    xfc_window_same(n, n->in[0]->type.dim + 2, &p->w);
    for (uint32_t d = 0; d < p->w.n; d++) p->counted[d] = p->w.after[d];
    if (p->ceil) round_up(n, p);
    return n->status == XFC_OK;
}

/* --- maximum --- */

static double least(xfc_dtype t) {
    return xfc_dtype_is_float(t) ? xfc_combine_identity_f(XFC_S_MAX)
                                 : (double)xfc_combine_identity_i(XFC_S_MAX, t); /* a power of two or 0: exact */
}

/* The element's place along axis d in each window, as i64 [o, k] at dims d and s + d of s + s; border: out of range. */
static xfc_value *places(xfc_node *n, const pool *p, uint32_t d) {
    uint32_t s = p->w.n;
    xfc_int one = constant(n, 1), extent = n->in[0]->type.dim[2 + d], dim[XFC_MAX_RANK];
    xfc_int total = xfc_int_add(n->ctx, extent, xfc_int_add(n->ctx, p->w.before[d], p->w.after[d]));
    xfc_value *at = xfc_n_iota(n, total, xfc_int_sub(n->ctx, constant(n, 0), p->w.before[d]), 1, XFC_I64);
    xfc_window axis = {.n = 1, .size = {p->w.size[d]}, .step = {p->w.step[d]}, .dilation = {p->w.dilation[d]}};
    at = at ? xfc_window_view(n, xfc_b_reshape(n->b, at, (xfc_int[]){one, one, total}, 3), &axis) : NULL;
    if (!at) return NULL;
    for (uint32_t i = 0; i < 2 * s; i++) dim[i] = i == d ? at->type.dim[2] : i == s + d ? at->type.dim[3] : one;
    return xfc_b_reshape(n->b, at, dim, 2 * s);
}

/* Number of an element in its channel, as i64 [o..., k...]; at least `beyond` in the border. */
static xfc_value *numbers(xfc_node *n, const pool *p, xfc_value *beyond) {
    xfc_value *number = xfc_b_scalar_i(n->b, XFC_I64, 0), *zero = number, *outside = NULL;
    for (uint32_t d = 0; d < p->w.n; d++) {
        const xfc_int *extent = &n->in[0]->type.dim[2 + d];
        xfc_value *at = places(n, p, d), *size = xfc_b_dims(n->b, extent, -1);
        number = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, number, size), at);
        xfc_value *off = xfc_n2(n, XFC_OP_OR, xfc_n2(n, XFC_OP_LT, at, zero), xfc_n2(n, XFC_OP_GE, at, size));
        outside = outside ? xfc_n2(n, XFC_OP_OR, outside, off) : off;
    }
    return outside && number ? xfc_b_select(n->b, outside, beyond, number) : NULL;
}

/* Row-major number in a channel to column-major: the digits by the spatial dims in reverse order. */
static xfc_value *column_major(xfc_node *n, const pool *p, xfc_value *number) {
    const xfc_int *extent = n->in[0]->type.dim + 2;
    xfc_value *sum = NULL;
    for (uint32_t d = p->w.n; d-- > 0;) {
        xfc_value *size = xfc_b_dims(n->b, &extent[d], -1), *digit = xfc_n2(n, XFC_OP_MOD, number, size);
        xfc_int before = xfc_dims_product(n->ctx, extent, d);
        digit = xfc_n2(n, XFC_OP_MUL, digit, xfc_b_dims(n->b, &before, -1));
        sum = sum ? xfc_n2(n, XFC_OP_ADD, sum, digit) : digit;
        number = xfc_n2(n, XFC_OP_DIV, number, size);
    }
    return sum;
}

/* The number in x of the first element that is the maximum (or a NaN, if that is the maximum). */
static xfc_value *indices(xfc_node *n, const pool *p, xfc_value *view, xfc_value *best) {
    xfc_type t = view->type;
    const xfc_type *x = &n->in[0]->type;
    xfc_int dim[XFC_MAX_RANK], one = constant(n, 1), count = xfc_dims_product(n->ctx, x->dim + 2, p->w.n);
    xfc_int channels = xfc_int_mul(n->ctx, x->dim[0], x->dim[1]);
    for (uint32_t d = 0; d < t.rank; d++) dim[d] = d < 2 + p->w.n ? t.dim[d] : one;
    xfc_value *hit = xfc_n2(n, XFC_OP_EQ, view, xfc_b_reshape(n->b, best, dim, t.rank));
    if (xfc_dtype_is_float(t.dtype)) hit = xfc_n2(n, XFC_OP_OR, hit, xfc_n1(n, XFC_OP_ISNAN, view));
    xfc_value *size = xfc_b_dims(n->b, &count, -1), *number = numbers(n, p, size);
    if (!hit || !number) return NULL;
    number = xfc_window_reduce(n, XFC_OP_REDUCE_MIN, xfc_b_select(n->b, hit, number, size), p->w.n);
    if (xfc_node_flag(n, "storage_order", false)) number = column_major(n, p, number);
    xfc_value *channel = xfc_n_iota(n, channels, constant(n, 0), 1, XFC_I64);
    for (uint32_t d = 0; d < 2 + p->w.n; d++) dim[d] = d < 2 ? x->dim[d] : one;
    channel = channel ? xfc_b_reshape(n->b, channel, dim, 2 + p->w.n) : NULL;
    return xfc_n2(n, XFC_OP_ADD, number, xfc_n2(n, XFC_OP_MUL, channel, size));
}

void xfc_import_max_pool(xfc_node *n) {
    pool p;
    if (xfc_window_idle(n, xfc_import_max_pool, false) || !read_pool(n, &p)) return;
    xfc_value *x = xfc_window_border(n, n->in[0], &p.w, least(n->in[0]->type.dtype));
    xfc_value *view = x ? xfc_window_view(n, x, &p.w) : NULL;
    n->out[0] = xfc_window_reduce(n, XFC_OP_REDUCE_MAX, view, p.w.n);
    if (n->out[0] && xfc_node_wants(n, 1)) n->out[1] = indices(n, &p, view, n->out[0]);
}

/* --- sums --- */

static xfc_dtype wide(xfc_dtype t) { return t == XFC_F64 ? t : XFC_F32; }

static bool need_float(xfc_node *n) {
    if (xfc_dtype_is_float(n->in[0]->type.dtype)) return true;
    return xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must be floating; cast it", xfc_node_in_name(n, 0)), false;
}

static xfc_value *sum_windows(xfc_node *n, const pool *p, xfc_value *x) {
    x = xfc_window_border(n, x, &p->w, 0);
    return xfc_window_reduce(n, XFC_OP_REDUCE_SUM, x ? xfc_window_view(n, x, &p->w) : NULL, p->w.n);
}

/* How many elements of each window count along axis d: [o] along dim d of s dims. Constant without a border. */
static xfc_value *counts(xfc_node *n, const pool *p, uint32_t d, bool border, xfc_dtype t) {
    xfc_ctx *c = n->ctx;
    xfc_int extent = n->in[0]->type.dim[2 + d], one = constant(n, 1), zero = constant(n, 0);
    xfc_window w = {.n = 1, .size = {p->w.size[d]}, .step = {p->w.step[d]}, .dilation = {p->w.dilation[d]}};
    w.before[0] = border ? zero : p->w.before[d];
    w.after[0] = border ? xfc_int_sub(c, p->w.after[d], p->counted[d]) : p->w.after[d];
    if (border) extent = xfc_int_add(c, extent, xfc_int_add(c, p->w.before[d], p->counted[d]));
    if (xfc_int_is(c, w.before[0], 0) && xfc_int_is(c, w.after[0], 0)) {
        xfc_value *size = xfc_b_dims(n->b, &p->w.size[d], -1);
        return size ? xfc_b_cast(n->b, size, t) : NULL;
    }
    uint64_t data = 0;
    xfc_element_set_f(t, &data, 0, 1);
    xfc_value *ones = xfc_n_splat(n, xfc_tensor_copy(c, t, 0, NULL, &data, NULL), (xfc_int[]){one, one, extent}, 3);
    ones = xfc_window_border(n, ones, &w, 0);
    xfc_value *sum = xfc_window_reduce(n, XFC_OP_REDUCE_SUM, ones ? xfc_window_view(n, ones, &w) : NULL, 1);
    if (!sum) return NULL;
    return xfc_n_along(n, xfc_b_reshape(n->b, sum, &sum->type.dim[2], 1), d, p->w.n);
}

void xfc_import_average_pool(xfc_node *n) {
    pool p;
    if (xfc_window_idle(n, xfc_import_average_pool, false) || !need_float(n) || !read_pool(n, &p)) return;
    xfc_dtype t = n->in[0]->type.dtype;
    bool border = xfc_node_flag(n, "count_include_pad", false);
    xfc_value *sum = sum_windows(n, &p, xfc_b_cast(n->b, n->in[0], wide(t))), *count = NULL;
    for (uint32_t d = 0; d < p.w.n; d++) {
        xfc_value *along = counts(n, &p, d, border, wide(t));
        count = d ? xfc_n2(n, XFC_OP_MUL, count, along) : along;
    }
    xfc_value *mean = xfc_n2(n, XFC_OP_DIV, sum, count);
    n->out[0] = mean ? xfc_b_cast(n->b, mean, t) : NULL;
}

/* (sum |x|^p)^(1/p); integer p since opset 2, so that p = 2 is a square and a root. */
static xfc_value *powers(xfc_node *n, xfc_value *x, int64_t p) {
    x = xfc_n1(n, XFC_OP_ABS, x);
    if (p == 1) return x;
    return p == 2 ? xfc_n2(n, XFC_OP_MUL, x, x) : xfc_n2(n, XFC_OP_POW, x, xfc_nf(n, x, (double)p));
}

static xfc_value *root(xfc_node *n, xfc_value *x, int64_t p) {
    if (p == 1) return x;
    return p == 2 ? xfc_n1(n, XFC_OP_SQRT, x) : xfc_n2(n, XFC_OP_POW, x, xfc_nf(n, x, 1 / (double)p));
}

static bool read_p(xfc_node *n, int64_t *p) {
    double given = n->opset < 2 ? xfc_node_float(n, "p", 2) : (double)xfc_node_int(n, "p", 2);
    *p = given >= 1 && given <= (double)XFC_DIM_MAX ? (int64_t)given : 0;
    if (*p >= 1 && (double)*p == given) return n->status == XFC_OK;
    return xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'p' must be a whole number of at least 1; correct the model"),
           false;
}

void xfc_import_lp_pool(xfc_node *n) {
    pool p;
    int64_t power;
    if (xfc_window_idle(n, xfc_import_lp_pool, false) || !need_float(n) || !read_pool(n, &p) || !read_p(n, &power))
        return;
    xfc_dtype t = n->in[0]->type.dtype;
    xfc_value *y = root(n, sum_windows(n, &p, powers(n, xfc_b_cast(n->b, n->in[0], wide(t)), power)), power);
    n->out[0] = y ? xfc_b_cast(n->b, y, t) : NULL;
}

void xfc_import_global_lp_pool(xfc_node *n) {
    int64_t power, axes[XFC_MAX_RANK];
    uint32_t n_axes = 0;
    if (!need_float(n) || !read_p(n, &power)) return;
    xfc_dtype t = n->in[0]->type.dtype;
    for (uint32_t d = 2; d < n->in[0]->type.rank; d++) axes[n_axes++] = d;
    xfc_value *sum = powers(n, xfc_b_cast(n->b, n->in[0], wide(t)), power);
    sum = root(n, xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, sum, axes, n_axes, true), power);
    n->out[0] = sum ? xfc_b_cast(n->b, sum, t) : NULL;
}

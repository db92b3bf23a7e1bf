/* conv.c - convolutions as products of matrices.
 *
 *   x [b, c, s...]  border, windows, transpose, reshape  =>  patches [b, places, c * k]
 *   w [m, c, k...]  reshape, transpose                   =>  [c * k, m], folded at compile time
 *   y = linear(patches, w, bias) [b, places, m]          =>  transpose, reshape: [b, m, o...]
 *
 * So a convolution is the `linear` that every pass knows, the weights of a patch embedding are found like any other
 * matrix, and where windows do not overlap the patches are a reshape and a transpose, no copies of elements. Groups
 * are a batch dim of the product. A depthwise convolution has no matrix to speak of: it is a product with the windows,
 * summed over them. A transposed convolution is a convolution of x with zeros between its elements, with the kernel
 * turned around; or, where its windows do not overlap, one product whose columns are then put in place.
 * 16-bit floats are multiplied and added in f32. Integers with zero points go the same way, with matmul_integer for
 * linear; their border is the zero point, so that it adds nothing.
 */
#include "frontend/onnx/quant/quant.h"
#include "frontend/onnx/window/window.h"

typedef struct {
    xfc_window w;
    int64_t groups;
    xfc_value *x, *weight, *bias; /* weight: [m, c / groups, k...]; bias may be NULL */
    xfc_int batch, in, out;       /* in, out: channels of one group */
    bool integer;                 /* sums in i32, of x - x_zero and weight - w_zero; zero points may be NULL */
    xfc_value *x_zero, *w_zero;   /* one number; one number or [m] */
} conv;

static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

/* Whether the operands of c are those of a convolution; what it slides over and how. */
static bool read_shape(xfc_node *n, conv *c) {
    const xfc_type *x = &c->x->type, *w = &c->weight->type;
    c->groups = xfc_node_int(n, "group", 1);
    if (n->status != XFC_OK) return false;
    if (c->groups < 1 || c->groups > XFC_DIM_MAX || x->rank != w->rank || x->rank < 3 ||
        (c->bias && c->bias->type.rank != 1))
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "needs an image and weights of one rank of at least 3, a positive number of groups, and a "
                             "bias of rank 1; export the model again"),
               false;
    c->batch = x->dim[0];
    return xfc_window_read(n, w->dim + 2, &c->w);
}

static bool read_operands(xfc_node *n, conv *c) {
    *c = (conv){.x = n->in[0], .weight = n->in[1], .bias = xfc_node_in(n, 2)};
    xfc_dtype t = c->x->type.dtype;
    if (xfc_dtype_is_float(t) && c->weight->type.dtype == t && (!c->bias || c->bias->type.dtype == t))
        return read_shape(n, c);
    return xfc_node_fail(n, XFC_ERR_INPUT, "image, weights and bias must have one floating type; cast them"), false;
}

/* `channels` of all groups, divided among them. */
static bool divide_groups(xfc_node *n, xfc_int channels, int64_t groups, xfc_int *out) {
    int64_t value;
    xfc_int g = constant(n, groups);
    *out = xfc_dims_divide(n->ctx, &channels, 1, &g, 1);
    if (!xfc_int_value(n->ctx, channels, &value) || value % groups == 0) return true;
    return xfc_node_fail(n, XFC_ERR_INPUT, "%lld groups do not divide %lld channels; export the model again",
                         (long long)groups, (long long)value),
           false;
}

static bool is_pointwise(const xfc_node *n, const xfc_window *w) {
    for (uint32_t d = 0; d < w->n; d++)
        if (w->step[d] != 1 || !xfc_int_is(n->ctx, w->size[d], 1)) return false;
    return true;
}

/* Windows side by side that fill the image. */
static bool is_blocks(const xfc_node *n, const xfc_value *x, const xfc_window *w) {
    for (uint32_t d = 0; d < w->n; d++)
        if (w->dilation[d] != 1 || !xfc_int_is(n->ctx, w->size[d], w->step[d]) ||
            xfc_int_divisor(n->ctx, x->type.dim[2 + d]) % w->step[d] != 0)
            return false;
    return true;
}

/* x [b, c, s...] as [b, places, c * k]; place: the extents o... */
static xfc_value *patches(xfc_node *n, xfc_value *x, const xfc_window *w, xfc_int *place) {
    if (!x) return NULL;
    uint32_t s = w->n, rank = 2 + 2 * s;
    int64_t perm[XFC_MAX_RANK] = {0}, swap[] = {0, 2, 1};
    xfc_int dim[XFC_MAX_RANK] = {x->type.dim[0], x->type.dim[1]};
    if (is_pointwise(n, w)) {
        for (uint32_t d = 0; d < s; d++) place[d] = x->type.dim[2 + d];
        dim[2] = xfc_dims_product(n->ctx, place, s);
        return xfc_b_transpose(n->b, xfc_b_reshape(n->b, x, dim, 3), swap);
    }
    bool blocks = is_blocks(n, x, w);
    for (uint32_t d = 0; d < s; d++) {
        dim[2 + 2 * d] = xfc_int_floordiv(n->ctx, x->type.dim[2 + d], constant(n, w->step[d]));
        dim[3 + 2 * d] = w->size[d];
        perm[1 + d] = blocks ? 2 + 2 * d : 2 + d;
        perm[2 + s + d] = blocks ? 3 + 2 * d : 2 + s + d;
    }
    perm[1 + s] = 1;
    xfc_value *v = blocks ? xfc_b_reshape(n->b, x, dim, rank) : xfc_window_view(n, x, w);
    if (!(v = v ? xfc_b_transpose(n->b, v, perm) : NULL)) return NULL;
    for (uint32_t d = 0; d < s; d++) place[d] = v->type.dim[1 + d];
    xfc_int flat[3] = {v->type.dim[0], xfc_dims_product(n->ctx, place, s),
                       xfc_dims_product(n->ctx, v->type.dim + 1 + s, 1 + s)};
    return xfc_b_reshape(n->b, v, flat, 3);
}

/* patches @ matrix + bias, the last two as the operands of a product have them. */
static xfc_value *multiply(xfc_node *n, const conv *c, xfc_value *p, xfc_value *matrix, xfc_value *w_zero,
                           xfc_value *bias) {
    if (!p || !matrix) return NULL;
    xfc_value *y = c->integer ? xfc_n_matmul_integer(n, p, matrix, c->x_zero, w_zero) : xfc_b_matmul(n->b, p, matrix);
    return bias ? xfc_n2(n, XFC_OP_ADD, y, bias) : y;
}

/* One matrix for all channels. */
static xfc_value *dense(xfc_node *n, const conv *c, xfc_value *x, xfc_int *place) {
    static const int64_t swap[] = {1, 0}, back[] = {0, 2, 1};
    const xfc_type *w = &c->weight->type;
    xfc_int flat[2] = {w->dim[0], xfc_dims_product(n->ctx, w->dim + 1, w->rank - 1)};
    xfc_value *in[3] = {patches(n, x, &c->w, place),
                        xfc_b_transpose(n->b, xfc_b_reshape(n->b, c->weight, flat, 2), swap), c->bias};
    if (!in[0] || !in[1]) return NULL;
    xfc_value *y = c->integer ? multiply(n, c, in[0], in[1], c->w_zero, c->bias)
                              : xfc_build_opt(n->b, XFC_OP_LINEAR, in, c->bias ? 3 : 2, NULL, 0);
    return xfc_b_transpose(n->b, y, back);
}

/* A matrix a group: [b, g, places, c * k] @ [1, g, c * k, m]. */
static xfc_value *grouped(xfc_node *n, const conv *c, xfc_value *x, xfc_int *place) {
    static const int64_t swap[] = {0, 1, 3, 2};
    const xfc_type *w = &c->weight->type;
    xfc_int g = constant(n, c->groups), one = constant(n, 1), split[XFC_MAX_RANK];
    if (!x) return NULL;
    split[0] = xfc_int_mul(n->ctx, c->batch, g);
    split[1] = c->in;
    for (uint32_t d = 2; d < x->type.rank; d++) split[d] = x->type.dim[d];
    xfc_value *p = patches(n, xfc_b_reshape(n->b, x, split, x->type.rank), &c->w, place);
    if (!p) return NULL;
    xfc_int depth = xfc_dims_product(n->ctx, w->dim + 1, w->rank - 1);
    p = xfc_b_reshape(n->b, p, (xfc_int[]){c->batch, g, p->type.dim[1], depth}, 4);
    xfc_value *m = xfc_b_reshape(n->b, c->weight, (xfc_int[]){one, g, c->out, depth}, 4);
    xfc_int column[4] = {one, g, one, c->out};
    xfc_value *zero = c->w_zero && c->w_zero->type.rank ? xfc_b_reshape(n->b, c->w_zero, column, 4) : c->w_zero;
    xfc_value *bias = c->bias ? xfc_b_reshape(n->b, c->bias, column, 4) : NULL;
    return xfc_b_transpose(n->b, multiply(n, c, p, xfc_b_transpose(n->b, m, swap), zero, bias), swap);
}

/* v - zero, in the type that it adds up in. */
static xfc_value *widen(xfc_node *n, xfc_value *v, xfc_value *zero, xfc_dtype wide) {
    v = v ? xfc_b_cast(n->b, v, wide) : NULL;
    return zero ? xfc_n2(n, XFC_OP_SUB, v, xfc_b_cast(n->b, zero, wide)) : v;
}

/* One input channel a group: windows times kernel, summed. multiple: output channels of each. */
static xfc_value *depthwise(xfc_node *n, const conv *c, xfc_value *x, xfc_int *place) {
    xfc_dtype t = c->x->type.dtype, wide = c->integer ? XFC_I32 : t == XFC_F64 ? t : XFC_F32;
    bool multiple = !xfc_int_is(n->ctx, c->out, 1);
    xfc_value *v = widen(n, x, c->x_zero, wide);
    v = v ? xfc_window_view(n, v, &c->w) : NULL;
    if (!v) return NULL;
    uint32_t s = c->w.n, rank = 0, from = 2;
    xfc_int dim[XFC_MAX_RANK], kernel[XFC_MAX_RANK], one = constant(n, 1), bias[XFC_MAX_RANK];
    for (uint32_t d = 0; d < v->type.rank; d++) {
        kernel[rank] = d == 1 ? constant(n, c->groups) : d < from + s ? one : v->type.dim[d];
        dim[rank++] = v->type.dim[d];
        if (d != 1 || !multiple) continue;
        dim[rank] = one;
        kernel[rank++] = c->out;
    }
    for (uint32_t d = 0; d < s; d++) place[d] = v->type.dim[from + d];
    v = xfc_b_reshape(n->b, v, dim, rank);
    xfc_value *zero =
        c->w_zero && c->w_zero->type.rank ? xfc_n_along(n, c->w_zero, 0, c->weight->type.rank) : c->w_zero;
    xfc_value *w = widen(n, c->weight, zero, wide);
    w = w ? xfc_b_reshape(n->b, w, kernel + 1, rank - 1) : NULL;
    xfc_value *y = xfc_window_reduce(n, XFC_OP_REDUCE_SUM, xfc_n2(n, XFC_OP_MUL, v, w), s);
    for (uint32_t d = 1; d + s < rank; d++) bias[d - 1] = kernel[d];
    if (c->bias) y = xfc_n2(n, XFC_OP_ADD, y, xfc_b_reshape(n->b, xfc_b_cast(n->b, c->bias, wide), bias, rank - s - 1));
    return y ? xfc_b_cast(n->b, y, c->integer ? wide : t) : NULL;
}

/* x with its border: of zeros, or of its zero point. */
static xfc_value *bordered(xfc_node *n, const conv *c) {
    const xfc_tensor *zero = NULL;
    static const uint8_t yes = 1;
    if (!c->x_zero || xfc_value_is_const(c->x_zero, &zero))
        return xfc_window_border(n, c->x, &c->w, zero ? (double)xfc_tensor_get_i(zero, 0) : 0);
    xfc_value *x = xfc_window_border(n, c->x, &c->w, 0);
    if (x == c->x) return x;
    const xfc_tensor *inside = xfc_tensor_copy(n->ctx, XFC_BOOL, 0, NULL, &yes, NULL);
    xfc_value *is_inside = xfc_window_border(n, xfc_n_splat(n, inside, c->x->type.dim, c->x->type.rank), &c->w, 0);
    return x && is_inside ? xfc_b_select(n->b, is_inside, x, c->x_zero) : NULL;
}

/* The convolution, from operands that agree. */
static xfc_value *convolve(xfc_node *n, const conv *c) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *x = bordered(n, c);
    bool multiple = !xfc_int_is(n->ctx, c->out, 1), fits = 2 + multiple + 2 * c->w.n <= XFC_MAX_RANK;
    xfc_value *y = c->groups == 1                         ? dense(n, c, x, dim + 2)
                   : fits && xfc_int_is(n->ctx, c->in, 1) ? depthwise(n, c, x, dim + 2)
                                                          : grouped(n, c, x, dim + 2);
    if (!y) return NULL;
    dim[0] = c->batch;
    dim[1] = xfc_int_mulc(n->ctx, c->out, c->groups);
    return xfc_b_reshape(n->b, y, dim, 2 + c->w.n);
}

static xfc_value *checked(xfc_node *n, conv *c) {
    const xfc_type *w = &c->weight->type;
    c->in = w->dim[1];
    if (!divide_groups(n, w->dim[0], c->groups, &c->out) ||
        !xfc_n_equal(n, c->x->type.dim[1], xfc_int_mulc(n->ctx, c->in, c->groups),
                     "the channels of image and weights") ||
        (c->bias && !xfc_n_equal(n, c->bias->type.dim[0], w->dim[0], "bias and weights")))
        return NULL;
    xfc_window_same(n, c->x->type.dim + 2, &c->w);
    return convolve(n, c);
}

void xfc_import_conv(xfc_node *n) {
    conv c;
    if (xfc_window_idle(n, xfc_import_conv, true)) return;
    if (read_operands(n, &c)) n->out[0] = checked(n, &c);
}

xfc_value *xfc_n_conv_integer(xfc_node *n, xfc_value *x, xfc_value *w, xfc_value *x_zero, xfc_value *w_zero,
                              xfc_value *bias) {
    conv c = {.integer = true, .x = x, .weight = w, .x_zero = x_zero, .w_zero = w_zero, .bias = bias};
    return read_shape(n, &c) ? checked(n, &c) : NULL;
}

/* --- transposed --- */

/* Border of the result that is cut off, and rows added behind it (in c->w.after, as negative). Total: what the windows
 * reach beyond the result. */
static bool read_cut(xfc_node *n, conv *c) {
    xfc_ctx *ctx = n->ctx;
    const int64_t *shape, *extra;
    uint32_t n_shape, n_extra, s = c->w.n;
    bool has_shape = xfc_node_ints(n, "output_shape", &shape, &n_shape),
         has_extra = xfc_node_ints(n, "output_padding", &extra, &n_extra);
    if (n->status != XFC_OK) return false;
    uint32_t skip = has_shape && n_shape == s + 2 ? 2 : 0; /* some exporters give batch and channels, too */
    if ((has_shape && n_shape != s + skip) || (has_extra && n_extra != s))
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "'output_shape' and 'output_padding' must hold a number a spatial dim; correct the model"),
               false;
    for (uint32_t d = 0; d < s; d++) {
        xfc_window *w = &c->w;
        xfc_int extent = c->x->type.dim[2 + d], more = constant(n, has_extra ? extra[d] : 0);
        if (has_extra && (extra[d] < 0 || extra[d] > XFC_DIM_MAX))
            return xfc_node_fail(n, XFC_ERR_INPUT, "'output_padding' is negative or too large; correct the model"),
                   false;
        xfc_int end = xfc_int_mulc(ctx, xfc_int_addc(ctx, extent, -1), w->step[d]);
        xfc_int whole = xfc_int_add(ctx, xfc_int_add(ctx, end, xfc_window_reach(n, w, d)), more);
        if (has_shape || w->mode != XFC_PAD_GIVEN) {
            xfc_int want = has_shape ? constant(n, shape[skip + d]) : xfc_int_mulc(ctx, extent, w->step[d]);
            xfc_int total = xfc_int_sub(ctx, whole, want), half = xfc_int_floordiv(ctx, total, constant(n, 2));
            w->before[d] = w->mode == XFC_PAD_SAME_UPPER ? half : xfc_int_sub(ctx, total, half);
            w->after[d] = xfc_int_sub(ctx, total, w->before[d]);
        }
        w->after[d] = xfc_int_sub(ctx, w->after[d], more);
    }
    return true;
}

static bool nothing_is_cut(const xfc_node *n, const xfc_window *w) {
    for (uint32_t d = 0; d < w->n; d++)
        if (w->dilation[d] != 1 || !xfc_int_is(n->ctx, w->size[d], w->step[d]) ||
            !xfc_int_is(n->ctx, w->before[d], 0) || !xfc_int_is(n->ctx, w->after[d], 0))
            return false;
    return true;
}

/* Windows that do not overlap: x [b, places, c] @ [c, m * k], then the pieces side by side. */
static xfc_value *unfolded(xfc_node *n, const conv *c) {
    static const int64_t swap[] = {0, 2, 1};
    const xfc_type *x = &c->x->type, *w = &c->weight->type;
    uint32_t s = c->w.n;
    xfc_int in[3] = {c->batch, c->in, xfc_dims_product(n->ctx, x->dim + 2, s)},
            matrix[2] = {c->in, xfc_dims_product(n->ctx, w->dim + 1, 1 + s)}, dim[XFC_MAX_RANK], last[XFC_MAX_RANK];
    xfc_value *rows = xfc_b_transpose(n->b, xfc_b_reshape(n->b, c->x, in, 3), swap);
    xfc_value *y = xfc_n2(n, XFC_OP_LINEAR, rows, xfc_b_reshape(n->b, c->weight, matrix, 2));
    int64_t perm[XFC_MAX_RANK] = {0, 1 + s};
    dim[0] = last[0] = c->batch;
    dim[1 + s] = last[1] = c->out;
    for (uint32_t d = 0; d < s; d++) {
        dim[1 + d] = x->dim[2 + d];
        dim[2 + s + d] = c->w.size[d];
        last[2 + d] = xfc_int_mul(n->ctx, x->dim[2 + d], c->w.size[d]);
        perm[2 + 2 * d] = 1 + d;
        perm[3 + 2 * d] = 2 + s + d;
    }
    y = y ? xfc_b_transpose(n->b, xfc_b_reshape(n->b, y, dim, 2 + 2 * s), perm) : NULL;
    y = y ? xfc_b_reshape(n->b, y, last, 2 + s) : NULL;
    return c->bias ? xfc_n2(n, XFC_OP_ADD, y, xfc_n_along(n, c->bias, 0, 1 + s)) : y;
}

/* weight [g * c, m, k...] as that of a convolution: [g * m, c, k...], each kernel back to front. */
static xfc_value *turned(xfc_node *n, const conv *c) {
    const xfc_type *w = &c->weight->type;
    uint32_t rank = w->rank + 1;
    xfc_int split[XFC_MAX_RANK] = {constant(n, c->groups), c->in, c->out}, joined[XFC_MAX_RANK], start[XFC_MAX_RANK];
    int64_t perm[XFC_MAX_RANK] = {0, 2, 1}, step[XFC_MAX_RANK];
    joined[0] = xfc_int_mulc(n->ctx, c->out, c->groups);
    joined[1] = c->in;
    for (uint32_t d = 0; d < w->rank; d++) {
        bool turn = d >= 2;
        if (turn) joined[d] = split[d + 1] = w->dim[d];
        if (turn) perm[d + 1] = d + 1;
        start[d] = turn ? xfc_int_addc(n->ctx, w->dim[d], -1) : constant(n, 0);
        step[d] = turn ? -1 : 1;
    }
    xfc_value *v = xfc_b_transpose(n->b, xfc_b_reshape(n->b, c->weight, split, rank), perm);
    v = v ? xfc_b_reshape(n->b, v, joined, w->rank) : NULL;
    return v ? xfc_b_slice(n->b, v, start, joined, step) : NULL;
}

/* step - 1 zeros behind each element, along each spatial axis. */
static xfc_value *spread(xfc_node *n, xfc_value *x, const xfc_window *w) {
    xfc_int thin[XFC_MAX_RANK], after[XFC_MAX_RANK], before[XFC_MAX_RANK], wide[XFC_MAX_RANK];
    uint32_t rank = 2 + 2 * w->n;
    bool any = false;
    for (uint32_t d = 0; d < rank; d++) {
        bool gap = d >= 2 && d % 2 == 1;
        before[d] = after[d] = constant(n, 0);
        thin[d] = d < 2 ? x->type.dim[d] : gap ? constant(n, 1) : x->type.dim[1 + d / 2];
        if (gap) after[d] = constant(n, w->step[d / 2 - 1] - 1);
        any = any || (gap && w->step[d / 2 - 1] != 1);
    }
    for (uint32_t d = 0; d < x->type.rank; d++)
        wide[d] = d < 2 ? x->type.dim[d] : xfc_int_mulc(n->ctx, x->type.dim[d], w->step[d - 2]);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, rank), xfc_attr_dims(XFC_K_AFTER, after, rank)};
    if (!any) return x;
    xfc_value *v = xfc_b_reshape(n->b, x, thin, rank);
    v = v ? xfc_build(n->b, XFC_OP_PAD, &v, 1, attr, XFC_COUNT(attr)) : NULL;
    return v ? xfc_b_reshape(n->b, v, wide, x->type.rank) : NULL;
}

/* pads: what the border is, in place of the attribute; or NULL. */
static void transposed(xfc_node *n, const xfc_int *pads) {
    conv c;
    if (!read_operands(n, &c)) return;
    for (uint32_t d = 0; pads && d < c.w.n; d++) c.w.before[d] = pads[d], c.w.after[d] = pads[c.w.n + d];
    const xfc_type *w = &c.weight->type;
    c.out = w->dim[1];
    if (!divide_groups(n, w->dim[0], c.groups, &c.in) ||
        !xfc_n_equal(n, c.x->type.dim[1], w->dim[0], "the channels of image and weights") ||
        (c.bias && !xfc_n_equal(n, c.bias->type.dim[0], xfc_int_mulc(n->ctx, c.out, c.groups), "bias and weights")) ||
        !read_cut(n, &c))
        return;
    if (c.groups == 1 && nothing_is_cut(n, &c.w)) {
        n->out[0] = unfolded(n, &c);
        return;
    }
    c.weight = turned(n, &c);
    c.x = spread(n, c.x, &c.w);
    if (!c.weight || !c.x) return;
    for (uint32_t d = 0; d < c.w.n; d++) { /* what is cut off the result is not needed of the border */
        xfc_int last = xfc_int_addc(n->ctx, xfc_window_reach(n, &c.w, d), -1);
        c.w.before[d] = xfc_int_sub(n->ctx, last, c.w.before[d]);
        c.w.after[d] = xfc_int_addc(n->ctx, xfc_int_sub(n->ctx, last, c.w.after[d]), 1 - c.w.step[d]);
        c.w.step[d] = 1;
    }
    n->out[0] = convolve(n, &c);
}

void xfc_import_conv_transpose(xfc_node *n) { transposed(n, NULL); }

/* With the border as operand 2, the bias behind it. */
void xfc_import_conv_transpose_by_pads(xfc_node *n) {
    xfc_value *bias = xfc_node_in(n, 3);
    uint32_t count = 0, spatial = n->in[0]->type.rank - 2;
    const xfc_int *pads = xfc_node_has(n, 2) ? xfc_node_amounts(n, 2, &count) : NULL;
    if (pads && n->in[0]->type.rank > 2 && count != 2 * spatial)
        xfc_node_fail(n, XFC_ERR_INPUT, "has %u pads for %u spatial dims; export the model again", count, spatial);
    n->n_in = 2;
    if (bias) xfc_node_set_in(n, 2, bias);
    if (n->status == XFC_OK) transposed(n, pads);
}

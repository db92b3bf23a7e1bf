/* spread.c - the ways back from windows: Col2Im adds what windows hold to the image, MaxUnpool puts maxima where they
 * were found. Both are scatters into channels of zeros. */
#include "frontend/onnx/window/window.h"

static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

static xfc_value *zeros(xfc_node *n, xfc_dtype t, const xfc_int *dim, uint32_t rank) {
    uint64_t data = 0;
    return xfc_n_splat(n, xfc_tensor_copy(n->ctx, t, 0, NULL, &data, NULL), dim, rank);
}

static xfc_value *scatter(xfc_node *n, xfc_value *data, xfc_value *at, xfc_value *updates, int64_t reduction) {
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_int(XFC_K_REDUCTION, reduction)};
    xfc_value *in[] = {data, at, updates};
    return data && at && updates ? xfc_build(n->b, XFC_OP_SCATTER_ELEMENTS, in, 3, attr, 2) : NULL;
}

/* --- Col2Im --- */

typedef struct {
    xfc_window w;
    xfc_int image[XFC_MAX_SPATIAL], whole[XFC_MAX_SPATIAL], blocks[XFC_MAX_SPATIAL]; /* whole: with the border */
} columns;

/* `count` numbers of an attribute, or `absent`. */
static bool read_list(xfc_node *n, const char *name, uint32_t count, int64_t least, int64_t *out) {
    const int64_t *given;
    uint32_t n_given;
    bool has = xfc_node_ints(n, name, &given, &n_given);
    for (uint32_t i = 0; i < count && n->status == XFC_OK; i++) {
        out[i] = has && i < n_given ? given[i] : least;
        if ((has && n_given != count) || out[i] < least || out[i] > XFC_DIM_MAX)
            xfc_node_fail(n, XFC_ERR_INPUT, "attribute '%s' must hold %u numbers, none below %lld; correct the model",
                          name, count, (long long)least);
    }
    return n->status == XFC_OK;
}

static bool read_columns(xfc_node *n, columns *c) {
    xfc_ctx *ctx = n->ctx;
    uint32_t n_image, n_block;
    xfc_node_expect(n, 1, 1, -2);
    xfc_node_expect(n, 2, 1, -2);
    const xfc_int *image = xfc_node_sizes(n, 1, &n_image), *block = xfc_node_sizes(n, 2, &n_block);
    int64_t pads[2 * XFC_MAX_SPATIAL];
    if (!image || !block) return false;
    if (n_image != n_block || n_image < 1 || n_image > XFC_MAX_SPATIAL || n->in[0]->type.rank != 3)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "needs columns of rank 3 and an image and blocks of 1 to %d dims; export the model again",
                             XFC_MAX_SPATIAL),
               false;
    *c = (columns){.w = {.n = n_image}};
    if (!read_list(n, "strides", n_image, 1, c->w.step) || !read_list(n, "dilations", n_image, 1, c->w.dilation) ||
        !read_list(n, "pads", 2 * n_image, 0, pads))
        return false;
    for (uint32_t d = 0; d < n_image; d++) {
        c->image[d] = image[d];
        c->w.size[d] = block[d];
        c->w.before[d] = constant(n, pads[d]);
        c->w.after[d] = constant(n, pads[n_image + d]);
        c->whole[d] = xfc_int_add(ctx, image[d], xfc_int_add(ctx, c->w.before[d], c->w.after[d]));
        xfc_int room = xfc_int_sub(ctx, c->whole[d], xfc_window_reach(n, &c->w, d));
        c->blocks[d] = xfc_int_addc(ctx, xfc_int_floordiv(ctx, room, constant(n, c->w.step[d])), 1);
    }
    xfc_int all = xfc_dims_product(ctx, c->blocks, n_image);
    return xfc_n_equal(n, n->in[0]->type.dim[2], all, "the columns and the places of blocks in the image");
}

/* Where each element of a block at each place lands in the channel with its border: [1, block * places]. */
static xfc_value *targets(xfc_node *n, const columns *c) {
    uint32_t s = c->w.n;
    xfc_int full[2 * XFC_MAX_SPATIAL], flat[2] = {constant(n, 1)};
    xfc_value *number = NULL;
    for (uint32_t d = 0; d < s; d++) full[d] = c->w.size[d], full[s + d] = c->blocks[d];
    for (uint32_t d = 0; d < s; d++) {
        xfc_value *k = xfc_n_iota(n, full[d], constant(n, 0), c->w.dilation[d], XFC_I64),
                  *o = xfc_n_iota(n, full[s + d], constant(n, 0), c->w.step[d], XFC_I64);
        xfc_value *at = xfc_n2(n, XFC_OP_ADD, xfc_n_along(n, k, d, 2 * s), xfc_n_along(n, o, s + d, 2 * s));
        if (d) at = xfc_n2(n, XFC_OP_ADD, at, xfc_n2(n, XFC_OP_MUL, number, xfc_b_dims(n->b, &c->whole[d], -1)));
        number = at;
    }
    flat[1] = xfc_dims_product(n->ctx, full, 2 * s);
    return number ? xfc_b_reshape(n->b, xfc_b_expand(n->b, number, full, 2 * s), flat, 2) : NULL;
}

void xfc_import_col2im(xfc_node *n) {
    columns c;
    if (!read_columns(n, &c)) return;
    xfc_ctx *ctx = n->ctx;
    xfc_type t = n->in[0]->type;
    uint32_t s = c.w.n;
    xfc_int block = xfc_dims_product(ctx, c.w.size, s), channels = xfc_dims_divide(ctx, t.dim + 1, 1, &block, 1),
            rows = xfc_int_mul(ctx, t.dim[0], channels);
    xfc_int from[2] = {rows, xfc_int_mul(ctx, block, t.dim[2])}, to[2] = {rows, xfc_dims_product(ctx, c.whole, s)};
    xfc_int dim[XFC_MAX_RANK] = {t.dim[0], channels}, start[XFC_MAX_RANK] = {constant(n, 0), constant(n, 0)},
            size[XFC_MAX_RANK] = {t.dim[0], channels};
    int64_t step[XFC_MAX_RANK] = {1, 1};
    for (uint32_t d = 0; d < s; d++) {
        dim[2 + d] = c.whole[d], start[2 + d] = c.w.before[d], size[2 + d] = c.image[d], step[2 + d] = 1;
    }
    if (!xfc_n_equal(n, t.dim[1], xfc_int_mul(ctx, channels, block), "the rows of the columns and whole blocks"))
        return;
    xfc_dtype sum = t.dtype == XFC_F16 || t.dtype == XFC_BF16 ? XFC_F32 : t.dtype; /* rounded once */
    xfc_value *x = xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[0], sum), from, 2), *at = targets(n, &c);
    xfc_value *y = scatter(n, zeros(n, sum, to, 2), at ? xfc_b_expand(n->b, at, from, 2) : NULL, x, 1);
    y = y ? xfc_b_slice(n->b, xfc_b_reshape(n->b, y, dim, 2 + s), start, size, step) : NULL;
    n->out[0] = y ? xfc_b_cast(n->b, y, t.dtype) : NULL;
}

/* --- MaxUnpool --- */

/* y in the first corner of the shape that operand 2 gives, or y itself. */
static xfc_value *in_corner(xfc_node *n, xfc_value *y) {
    uint32_t count;
    if (y) xfc_node_expect(n, 2, 0, y->type.rank);
    const xfc_int *shape = y && xfc_node_has(n, 2) ? xfc_node_sizes(n, 2, &count) : NULL;
    if (!shape) return y;
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK];
    uint32_t rank = y->type.rank;
    if (count != rank)
        return xfc_node_fail(n, XFC_ERR_INPUT, "has a shape of another rank than elements; export the model again"),
               NULL;
    for (uint32_t d = 0; d < rank; d++) {
        before[d] = constant(n, 0), after[d] = xfc_int_sub(n->ctx, shape[d], y->type.dim[d]);
        if (!xfc_n_at_most(n, y->type.dim[d], shape[d], "the unpooled extents and the given shape")) return NULL;
    }
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, rank), xfc_attr_dims(XFC_K_AFTER, after, rank)};
    return xfc_build(n->b, XFC_OP_PAD, &y, 1, attr, XFC_COUNT(attr));
}

/* Elements are numbered in the tensor that was pooled, whose extents follow from the window. */
void xfc_import_max_unpool(xfc_node *n) {
    xfc_ctx *ctx = n->ctx;
    xfc_window w;
    xfc_type t = n->in[0]->type, i = n->in[1]->type;
    xfc_int dim[XFC_MAX_RANK], one = constant(n, 1);
    if (!xfc_window_read(n, NULL, &w)) return;
    if (i.rank != t.rank) {
        xfc_node_fail(n, XFC_ERR_INPUT, "has indices of another rank than elements; export the model again");
        return;
    }
    for (uint32_t d = 0; d < t.rank; d++) {
        if (!xfc_n_equal(n, i.dim[d], t.dim[d], "the dims of elements and indices")) return;
        dim[d] = t.dim[d];
        if (d < 2) continue;
        xfc_int border = xfc_int_add(ctx, w.before[d - 2], w.after[d - 2]);
        dim[d] = xfc_int_add(ctx, xfc_int_mulc(ctx, xfc_int_addc(ctx, t.dim[d], -1), w.step[d - 2]), w.size[d - 2]);
        dim[d] = xfc_int_max(ctx, xfc_int_sub(ctx, dim[d], border), constant(n, 0));
    }
    const xfc_int from[2] = {one, xfc_dims_product(ctx, t.dim, t.rank)},
                  to[2] = {one, xfc_dims_product(ctx, dim, t.rank)};
    xfc_value *at = xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[1], XFC_I64), from, 2);
    xfc_value *y = scatter(n, zeros(n, t.dtype, to, 2), at, xfc_b_reshape(n->b, n->in[0], from, 2), 0);
    y = in_corner(n, y ? xfc_b_reshape(n->b, y, dim, t.rank) : NULL);
    if (n->status == XFC_OK) n->out[0] = y;
}

/* sample.c - operators that read an image at computed places between its pixels: GridSample, AffineGrid, DeformConv,
 * RoiAlign.
 *
 *   x [b, c, s...]   places: one tensor [b, p] a spatial axis, in pixels   =>   [b, c, p]
 *
 * Along each axis a place has 1, 2 or 4 taps: a pixel and its weight. A result is the sum over all combinations of
 * taps, each one gather from x [b, c, all pixels]. Places are computed in f32 (f64 for f64).
 */
#include "frontend/onnx/window/window.h"
#include <string.h>

typedef enum { NEAREST, LINEAR, CUBIC } interpolation;
typedef enum { ZEROS, BORDER, REFLECTION } outside;
enum { MAX_TAPS = 4, MAX_COMBINATIONS = 64 };

typedef struct {
    interpolation mode;
    outside padding;
    bool align; /* the outermost places are the middles of pixels, not their edges */
} sampling;

typedef struct {
    uint32_t n;                     /* taps along this axis */
    xfc_value *pixel[MAX_TAPS];     /* i64 [b, p], inside */
    xfc_value *weight[MAX_TAPS];    /* [b, p]; NULL: 1 */
    xfc_value *is_inside[MAX_TAPS]; /* bool [b, p]; NULL: it counts wherever it is */
} taps;

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }
static xfc_value *either(xfc_node *n, xfc_value *test, xfc_value *yes, xfc_value *no) {
    return test && yes && no ? xfc_b_select(n->b, test, yes, no) : NULL;
}
static xfc_value *zero_of(xfc_node *n, xfc_dtype t) {
    return t == XFC_BOOL ? xfc_b_scalar_i(n->b, t, 0) : xfc_b_scalar_f(n->b, t, 0);
}
static xfc_dtype wide(xfc_dtype t) { return t == XFC_F64 ? t : XFC_F32; }

/* A size as a float. */
static xfc_value *size_of(xfc_node *n, xfc_int size, xfc_dtype t) {
    xfc_value *v = xfc_b_dims(n->b, &size, -1);
    return v ? xfc_b_cast(n->b, v, t) : NULL;
}

static xfc_value *clamp(xfc_node *n, xfc_value *x, xfc_value *last) {
    return op(n, XFC_OP_MIN, with(n, XFC_OP_MAX, x, 0), last);
}

/* As if the image were mirrored at its edges again and again; first: where it begins, length: from edge to edge. */
static xfc_value *reflect(xfc_node *n, xfc_value *x, double first, xfc_value *length) {
    xfc_value *way = xfc_n1(n, XFC_OP_ABS, with(n, XFC_OP_SUB, x, first)), *two = with(n, XFC_OP_MUL, length, 2);
    xfc_value *turns = xfc_n1(n, XFC_OP_FLOOR, op(n, XFC_OP_DIV, way, two));
    xfc_value *rest = op(n, XFC_OP_SUB, way, op(n, XFC_OP_MUL, turns, two)); /* of there and back */
    rest = op(n, XFC_OP_MIN, rest, op(n, XFC_OP_SUB, two, rest));
    return either(n, with(n, XFC_OP_GT, length, 0), with(n, XFC_OP_ADD, rest, first), xfc_nf(n, x, first));
}

/* The weights of four pixels around a place that is t behind the second. */
static void cubic_weights(xfc_node *n, xfc_value *t, taps *out) {
    const double a = -0.75;
    for (uint32_t k = 0; k < 4; k++) {
        double shift[] = {1, 0, 1, 2};
        bool inner = k == 1 || k == 2;
        xfc_value *d = k < 2 ? with(n, XFC_OP_ADD, t, shift[k]) : op(n, XFC_OP_SUB, xfc_nf(n, t, shift[k]), t);
        xfc_value *w; /* by the distance d: near, ((a + 2) d - (a + 3)) d d + 1; far, ((a d - 5 a) d + 8 a) d - 4 a */
        if (inner) {
            w = with(n, XFC_OP_SUB, with(n, XFC_OP_MUL, d, a + 2), a + 3);
            w = with(n, XFC_OP_ADD, op(n, XFC_OP_MUL, op(n, XFC_OP_MUL, w, d), d), 1);
        } else {
            w = with(n, XFC_OP_SUB, with(n, XFC_OP_MUL, d, a), 5 * a);
            w = with(n, XFC_OP_ADD, op(n, XFC_OP_MUL, w, d), 8 * a);
            w = with(n, XFC_OP_SUB, op(n, XFC_OP_MUL, w, d), 4 * a);
        }
        out->weight[k] = w;
    }
}

/* at: places along an axis of `extent` pixels. */
static taps taps_of(xfc_node *n, const sampling *s, xfc_value *at, xfc_int extent) {
    taps out = {.n = s->mode == NEAREST ? 1 : s->mode == LINEAR ? 2 : 4};
    if (!at) return out;
    xfc_dtype t = at->type.dtype;
    xfc_value *size = size_of(n, extent, t), *last = with(n, XFC_OP_SUB, size, 1), *length = s->align ? last : size;
    const double first = s->align ? 0 : -0.5;
    if (s->mode == NEAREST) at = xfc_n1(n, XFC_OP_ROUND, at);
    xfc_value *beyond =
        op(n, XFC_OP_OR, with(n, XFC_OP_LT, at, first), op(n, XFC_OP_GT, at, with(n, XFC_OP_ADD, length, first)));
    if (s->padding == BORDER) at = either(n, beyond, clamp(n, at, last), at);
    if (s->padding == REFLECTION) at = either(n, beyond, reflect(n, at, first, length), at);
    xfc_value *base = s->mode == NEAREST ? at : xfc_n1(n, XFC_OP_FLOOR, at), *part = op(n, XFC_OP_SUB, at, base);
    for (uint32_t k = 0; k < out.n; k++) {
        xfc_value *pixel = with(n, XFC_OP_ADD, base, (double)k - (out.n == 4));
        if (s->padding == ZEROS)
            out.is_inside[k] = op(n, XFC_OP_AND, with(n, XFC_OP_GE, pixel, 0), op(n, XFC_OP_LE, pixel, last));
        if (s->padding == REFLECTION) pixel = reflect(n, pixel, first, length);
        pixel = clamp(n, pixel, last);
        out.pixel[k] = pixel ? xfc_b_cast(n->b, pixel, XFC_I64) : NULL;
    }
    if (s->mode == LINEAR) out.weight[0] = op(n, XFC_OP_SUB, xfc_nf(n, part, 1), part), out.weight[1] = part;
    if (s->mode == CUBIC) cubic_weights(n, part, &out);
    return out;
}

/* One combination of taps: x at these pixels, weighted. pick: the tap along each axis. flat: x as [b, c, all]. */
static xfc_value *combination(xfc_node *n, xfc_value *flat, const taps *axis, const xfc_int *extent, uint32_t s,
                              const uint32_t *pick) {
    xfc_value *number = NULL, *weight = NULL, *inside = NULL;
    for (uint32_t d = 0; d < s; d++) {
        const taps *a = &axis[d];
        uint32_t k = pick[d];
        xfc_value *pixel = a->pixel[k];
        if (d) number = op(n, XFC_OP_MUL, number, xfc_b_dims(n->b, &extent[d], -1));
        number = d ? op(n, XFC_OP_ADD, number, pixel) : pixel;
        if (a->weight[k]) weight = weight ? op(n, XFC_OP_MUL, weight, a->weight[k]) : a->weight[k];
        if (a->is_inside[k]) inside = inside ? op(n, XFC_OP_AND, inside, a->is_inside[k]) : a->is_inside[k];
    }
    if (!number || !flat) return NULL;
    xfc_int b = number->type.dim[0], p = number->type.dim[1], one = xfc_int_const(n->ctx, 1);
    const xfc_int thin[3] = {b, one, p}, full[3] = {flat->type.dim[0], flat->type.dim[1], p};
    xfc_attr last = xfc_attr_int(XFC_K_AXIS, 2);
    number = xfc_b_expand(n->b, xfc_b_reshape(n->b, number, thin, 3), full, 3);
    xfc_value *v = number ? xfc_build(n->b, XFC_OP_GATHER_ELEMENTS, (xfc_value *[]){flat, number}, 2, &last, 1) : NULL;
    if (inside) v = either(n, xfc_b_reshape(n->b, inside, thin, 3), v, zero_of(n, flat->type.dtype));
    if (v && weight) v = op(n, XFC_OP_MUL, v, xfc_b_reshape(n->b, xfc_b_cast(n->b, weight, v->type.dtype), thin, 3));
    return v;
}

/* x [b, c, s...] at places at[d] [b, p]: [b, c, p]. */
static xfc_value *sample(xfc_node *n, xfc_value *x, xfc_value *const *at, const sampling *how) {
    uint32_t s = x->type.rank - 2, count = 1;
    const xfc_int *extent = x->type.dim + 2,
                  flat_dim[3] = {x->type.dim[0], x->type.dim[1], xfc_dims_product(n->ctx, x->type.dim + 2, s)};
    taps axis[XFC_MAX_SPATIAL];
    for (uint32_t d = 0; d < s; d++) axis[d] = taps_of(n, how, at[d], extent[d]);
    for (uint32_t d = 0; d < s; d++) count *= axis[d].n;
    xfc_assert(count <= MAX_COMBINATIONS);
    xfc_value *flat = xfc_b_reshape(n->b, x, flat_dim, 3), *sum = NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pick[XFC_MAX_SPATIAL], rest = i;
        for (uint32_t d = s; d-- > 0; rest /= axis[d].n) pick[d] = rest % axis[d].n;
        xfc_value *v = combination(n, flat, axis, extent, s, pick);
        sum = i ? op(n, XFC_OP_ADD, sum, v) : v;
    }
    return sum;
}

/* --- GridSample --- */

static bool read_sampling(xfc_node *n, sampling *s) {
    static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear", "bicubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    const char *mode = xfc_node_str(n, "mode", "linear"), *padding = xfc_node_str(n, "padding_mode", "zeros");
    uint32_t m = 0, p = 0;
    while (m < XFC_COUNT(modes) && strcmp(mode, modes[m]) != 0) m++;
    while (p < XFC_COUNT(paddings) && strcmp(padding, paddings[p]) != 0) p++;
    if (n->status == XFC_OK && (m == XFC_COUNT(modes) || p == XFC_COUNT(paddings)))
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "attribute '%s' has the unknown value '%.40s'",
                      m == XFC_COUNT(modes) ? "mode" : "padding_mode", m == XFC_COUNT(modes) ? mode : padding);
    *s = (sampling){.mode = (interpolation)(m < 3 ? m : m - 2),
                    .padding = (outside)p,
                    .align = xfc_node_flag(n, "align_corners", false)};
    return n->status == XFC_OK;
}

/* Number i of each place in the grid [b, o..., s], as [b, p]. */
static xfc_value *coordinate(xfc_node *n, xfc_value *grid, uint32_t i, xfc_int places) {
    xfc_int dim[2] = {grid->type.dim[0], places}, number = xfc_int_const(n->ctx, i), one = xfc_int_const(n->ctx, 1);
    xfc_value *v = xfc_b_slice_axis(n->b, grid, grid->type.rank - 1, number, one, 1);
    return v ? xfc_b_reshape(n->b, v, dim, 2) : NULL;
}

/* From -1 .. 1 to pixels: (g + 1) / 2 * (size - 1), or ((g + 1) * size - 1) / 2. */
static xfc_value *to_pixels(xfc_node *n, xfc_value *g, xfc_int extent, bool align) {
    if (!g) return NULL;
    xfc_value *size = size_of(n, extent, g->type.dtype), *way = with(n, XFC_OP_ADD, g, 1);
    if (align) return op(n, XFC_OP_MUL, with(n, XFC_OP_DIV, way, 2), with(n, XFC_OP_SUB, size, 1));
    return with(n, XFC_OP_DIV, with(n, XFC_OP_SUB, op(n, XFC_OP_MUL, way, size), 1), 2);
}

void xfc_import_grid_sample(xfc_node *n) {
    sampling how;
    xfc_value *x = n->in[0], *grid = n->in[1];
    xfc_type t = x->type, g = grid->type;
    uint32_t s = t.rank - 2;
    if (t.rank < 3 || t.rank > 2 + XFC_MAX_SPATIAL || g.rank != t.rank || !xfc_dtype_is_float(g.dtype)) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs an image [batch, channels, ...] of 1 to %d spatial dims and a floating grid of as many "
                      "dims; export the model again",
                      XFC_MAX_SPATIAL);
        return;
    }
    if (!read_sampling(n, &how) || !xfc_n_equal(n, t.dim[0], g.dim[0], "the batches of image and grid") ||
        !xfc_n_equal(n, g.dim[g.rank - 1], xfc_int_const(n->ctx, s), "the numbers of a place and the spatial dims"))
        return;
    xfc_int places = xfc_dims_product(n->ctx, g.dim + 1, s), dim[XFC_MAX_RANK] = {t.dim[0], t.dim[1]};
    xfc_value *at[XFC_MAX_SPATIAL];
    grid = xfc_b_cast(n->b, grid, wide(g.dtype));
    for (uint32_t d = 0; d < s; d++) {
        at[d] = grid ? to_pixels(n, coordinate(n, grid, s - 1 - d, places), t.dim[2 + d], how.align) : NULL;
        dim[2 + d] = g.dim[1 + d];
    }
    xfc_value *image = how.mode == NEAREST || t.dtype == XFC_F64 ? x : xfc_b_cast(n->b, x, XFC_F32);
    xfc_value *y = image ? sample(n, image, at, &how) : NULL;
    if (y) n->out[0] = xfc_b_reshape(n->b, xfc_b_cast(n->b, y, t.dtype), dim, t.rank);
}

/* --- AffineGrid --- */

/* The places of `size` pixels from -1 to 1: their middles, or (align) from the first to the last. */
static xfc_value *spread(xfc_node *n, xfc_int size, bool align, xfc_dtype t) {
    xfc_value *i = xfc_n_iota(n, size, xfc_int_const(n->ctx, 0), 1, XFC_I64), *count = size_of(n, size, t);
    i = i ? with(n, XFC_OP_MUL, xfc_b_cast(n->b, i, t), 2) : NULL;
    if (align)
        i = op(n, XFC_OP_DIV, i, with(n, XFC_OP_MAX, with(n, XFC_OP_SUB, count, 1), 1));
    else
        i = op(n, XFC_OP_DIV, with(n, XFC_OP_ADD, i, 1), count);
    return with(n, XFC_OP_SUB, i, 1);
}

/* theta [b, s, s + 1] times (x, y, .., 1) of each pixel. */
void xfc_import_affine_grid(xfc_node *n) {
    const xfc_type t = n->in[0]->type;
    uint32_t n_size, s;
    xfc_node_expect(n, 1, 1, 0);
    const xfc_int *size = xfc_node_sizes(n, 1, &n_size);
    if (!size) return;
    s = n_size - 2;
    if (n_size < 4 || n_size > 5 || t.rank != 3 || !xfc_dtype_is_float(t.dtype)) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs matrices [batch, s, s + 1] and a size of 4 or 5 numbers; export the model again");
        return;
    }
    if (!xfc_n_equal(n, t.dim[1], xfc_int_const(n->ctx, s), "the rows of the matrices and the spatial dims") ||
        !xfc_n_equal(n, t.dim[2], xfc_int_const(n->ctx, s + 1), "the columns of the matrices and the spatial dims") ||
        !xfc_n_equal(n, t.dim[0], size[0], "the matrices and the batch"))
        return;
    bool align = xfc_node_flag(n, "align_corners", false);
    xfc_dtype w = wide(t.dtype);
    xfc_int one = xfc_int_const(n->ctx, 1), dim[5] = {t.dim[0]}, step[3] = {t.dim[0], xfc_int_const(n->ctx, s), one};
    xfc_value *theta = xfc_b_cast(n->b, n->in[0], w), *sum = NULL;
    for (uint32_t d = 0; d < s; d++) dim[1 + d] = size[2 + d];
    dim[1 + s] = step[1];
    for (uint32_t k = 0; k <= s && theta;
         k++) { /* column k of theta times coordinate k, which counts from the last axis */
        const xfc_int start[3] = {xfc_int_const(n->ctx, 0), xfc_int_const(n->ctx, 0), xfc_int_const(n->ctx, k)};
        xfc_int column[5] = {t.dim[0], one, one, one, one};
        column[1 + s] = step[1];
        xfc_value *v = xfc_b_slice(n->b, theta, start, step, (const int64_t[]){1, 1, 1});
        v = v ? xfc_b_reshape(n->b, v, column, s + 2) : NULL;
        if (k < s) v = op(n, XFC_OP_MUL, v, xfc_n_along(n, spread(n, size[1 + s - k], align, w), s - k, s + 2));
        sum = sum ? op(n, XFC_OP_ADD, sum, v) : v;
    }
    sum = sum ? xfc_b_expand(n->b, sum, dim, s + 2) : NULL;
    n->out[0] = sum ? xfc_b_cast(n->b, sum, t.dtype) : NULL;
}

/* --- DeformConv --- */

typedef struct {
    xfc_window w;
    int64_t groups, offset_groups;
    xfc_int batch, channels, out; /* out: channels of the result */
    xfc_int kernel, places;       /* elements of a kernel, places of the result */
} deform;

static bool divides(xfc_node *n, int64_t groups, xfc_int channels) {
    int64_t value;
    if (groups >= 1 && groups <= XFC_DIM_MAX && (!xfc_int_value(n->ctx, channels, &value) || value % groups == 0))
        return true;
    return xfc_node_fail(n, XFC_ERR_INPUT, "%lld groups do not divide the channels; export the model again",
                         (long long)groups),
           false;
}

/* v has the dims [batch, many, places...]; what: "the offsets". */
static bool fits_places(xfc_node *n, const xfc_value *v, const deform *c, xfc_int many, const char *what) {
    const xfc_type *o = &n->in[2]->type;
    bool ok = v->type.rank == o->rank && v->type.dtype == n->in[0]->type.dtype;
    if (!ok)
        return xfc_node_fail(n, XFC_ERR_INPUT, "%s have another rank or type; export the model again", what), false;
    for (uint32_t d = 0; d < o->rank; d++)
        if (!xfc_n_equal(n, v->type.dim[d], d == 0 ? c->batch : d == 1 ? many : o->dim[d], what)) return false;
    return true;
}

static bool read_deform(xfc_node *n, deform *c) {
    const xfc_type *x = &n->in[0]->type, *w = &n->in[1]->type, *offset = &n->in[2]->type;
    xfc_value *bias = xfc_node_in(n, 3), *mask = xfc_node_in(n, 4);
    *c = (deform){.groups = xfc_node_int(n, "group", 1), .offset_groups = xfc_node_int(n, "offset_group", 1)};
    if (x->rank < 3 || w->rank != x->rank || offset->rank != x->rank || !xfc_dtype_is_float(x->dtype) ||
        w->dtype != x->dtype || (bias && (bias->type.rank != 1 || bias->type.dtype != x->dtype)))
        return xfc_node_fail(
                   n, XFC_ERR_INPUT,
                   "needs an image, weights and offsets of one rank of at least 3 and one floating type, and a "
                   "bias of rank 1; export the model again"),
               false;
    if (!xfc_window_read(n, w->dim + 2, &c->w) || !divides(n, c->groups, w->dim[0]) ||
        !divides(n, c->groups, x->dim[1]) || !divides(n, c->offset_groups, x->dim[1]))
        return false;
    c->batch = x->dim[0], c->channels = x->dim[1], c->out = w->dim[0];
    c->kernel = xfc_dims_product(n->ctx, w->dim + 2, c->w.n);
    c->places = xfc_dims_product(n->ctx, offset->dim + 2, c->w.n);
    for (uint32_t d = 0; d < c->w.n; d++) {
        xfc_int border = xfc_int_add(n->ctx, c->w.before[d], c->w.after[d]);
        xfc_int room = xfc_int_sub(n->ctx, xfc_int_add(n->ctx, x->dim[2 + d], border), xfc_window_reach(n, &c->w, d));
        xfc_int count = xfc_int_addc(n->ctx, xfc_int_floordiv(n->ctx, room, xfc_int_const(n->ctx, c->w.step[d])), 1);
        if (!xfc_n_equal(n, offset->dim[2 + d], count, "the places of the offsets and of the kernel")) return false;
    }
    xfc_int many = xfc_int_mulc(n->ctx, c->kernel, c->offset_groups);
    return xfc_n_equal(n, c->channels, xfc_int_mulc(n->ctx, w->dim[1], c->groups),
                       "the channels of image and weights") &&
           fits_places(n, n->in[2], c, xfc_int_mulc(n->ctx, many, c->w.n), "the offsets") &&
           (!mask || fits_places(n, mask, c, many, "the mask")) &&
           (!bias || xfc_n_equal(n, bias->type.dim[0], c->out, "bias and weights"));
}

/* Where each element of the kernel stands at each place along axis d, before it is moved: [1, kernel, places]. */
static xfc_value *stands(xfc_node *n, const deform *c, uint32_t d, xfc_dtype t) {
    uint32_t s = c->w.n;
    xfc_int zero = xfc_int_const(n->ctx, 0), full[2 * XFC_MAX_SPATIAL],
            flat[3] = {xfc_int_const(n->ctx, 1), c->kernel, c->places};
    for (uint32_t i = 0; i < s; i++) full[i] = c->w.size[i], full[s + i] = n->in[2]->type.dim[2 + i];
    xfc_value *k = xfc_n_iota(n, full[d], xfc_int_sub(n->ctx, zero, c->w.before[d]), c->w.dilation[d], XFC_I64),
              *o = xfc_n_iota(n, full[s + d], zero, c->w.step[d], XFC_I64);
    xfc_value *at = op(n, XFC_OP_ADD, xfc_n_along(n, k, d, 2 * s), xfc_n_along(n, o, s + d, 2 * s));
    at = at ? xfc_b_reshape(n->b, xfc_b_expand(n->b, at, full, 2 * s), flat, 3) : NULL;
    return at ? xfc_b_cast(n->b, at, t) : NULL;
}

/* The image as the kernels see it: [batch * offset groups, channels of one, kernel * places]. */
static xfc_value *deformed(xfc_node *n, const deform *c, xfc_dtype t) {
    static const sampling how = {.mode = LINEAR, .padding = ZEROS};
    xfc_ctx *ctx = n->ctx;
    uint32_t s = c->w.n;
    xfc_int one = xfc_int_const(ctx, 1), og = xfc_int_const(ctx, c->offset_groups), b = xfc_int_mul(ctx, c->batch, og);
    const xfc_int split[4] = {b, c->kernel, xfc_int_const(ctx, s), c->places}, part[4] = {b, c->kernel, one, c->places},
                  moved[3] = {b, c->kernel, c->places}, flat[2] = {b, xfc_int_mul(ctx, c->kernel, c->places)},
                  all[3] = {b, one, flat[1]};
    xfc_int image[XFC_MAX_RANK] = {b, xfc_dims_divide(ctx, &c->channels, 1, &og, 1)};
    xfc_value *offset = xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[2], t), split, 4), *at[XFC_MAX_SPATIAL];
    for (uint32_t d = 0; d < s; d++) {
        const xfc_int zero = xfc_int_const(ctx, 0), start[4] = {zero, zero, xfc_int_const(ctx, d), zero};
        xfc_value *v = offset ? xfc_b_slice(n->b, offset, start, part, (const int64_t[]){1, 1, 1, 1}) : NULL;
        v = v ? op(n, XFC_OP_ADD, xfc_b_reshape(n->b, v, moved, 3), stands(n, c, d, t)) : NULL;
        at[d] = v ? xfc_b_reshape(n->b, v, flat, 2) : NULL;
        image[2 + d] = n->in[0]->type.dim[2 + d];
    }
    xfc_value *x = xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[0], t), image, 2 + s), *mask = xfc_node_in(n, 4);
    xfc_value *seen = x ? sample(n, x, at, &how) : NULL;
    return mask ? op(n, XFC_OP_MUL, seen, xfc_b_reshape(n->b, xfc_b_cast(n->b, mask, t), all, 3)) : seen;
}

/* weights [1, g, m, c * k] @ [b, g, c * k, places] */
void xfc_import_deform_conv(xfc_node *n) {
    deform c;
    if (!read_deform(n, &c)) return;
    xfc_ctx *ctx = n->ctx;
    xfc_dtype t = n->in[0]->type.dtype, w = wide(t);
    xfc_int one = xfc_int_const(ctx, 1), g = xfc_int_const(ctx, c.groups),
            depth = xfc_int_mul(ctx, n->in[1]->type.dim[1], c.kernel), m = xfc_dims_divide(ctx, &c.out, 1, &g, 1);
    xfc_int dim[XFC_MAX_RANK] = {c.batch, c.out};
    xfc_value *seen = deformed(n, &c, w), *bias = xfc_node_in(n, 3);
    for (uint32_t d = 0; d < c.w.n; d++) dim[2 + d] = n->in[2]->type.dim[2 + d];
    if (!seen) return;
    seen = xfc_b_reshape(n->b, seen, (xfc_int[]){c.batch, g, depth, c.places}, 4);
    xfc_value *weight = xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[1], w), (xfc_int[]){one, g, m, depth}, 4);
    xfc_value *y = xfc_b_matmul(n->b, weight, seen);
    y = y ? xfc_b_reshape(n->b, y, dim, 2 + c.w.n) : NULL;
    if (bias) y = op(n, XFC_OP_ADD, y, xfc_n_along(n, xfc_b_cast(n->b, bias, w), 1, 2 + c.w.n));
    n->out[0] = y ? xfc_b_cast(n->b, y, t) : NULL;
}

/* --- RoiAlign --- */

void xfc_import_roi_align(xfc_node *n) {
    xfc_value *x = n->in[0], *regions = n->in[1];
    const char *mode = xfc_node_str(n, "mode", "avg"),
               *from = xfc_node_str(n, "coordinate_transformation_mode",
                                    n->opset < 16 ? "output_half_pixel" : "half_pixel");
    bool half = !strcmp(from, "half_pixel"), max = !strcmp(mode, "max");
    int64_t height = xfc_node_int(n, "output_height", 1), width = xfc_node_int(n, "output_width", 1),
            samples = xfc_node_int(n, "sampling_ratio", 0);
    if (n->status == XFC_OK &&
        ((!max && strcmp(mode, "avg") != 0) || (!half && strcmp(from, "output_half_pixel") != 0) || x->type.rank != 4 ||
         height < 1 || width < 1 || height > XFC_DIM_MAX || width > XFC_DIM_MAX))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs an image of rank 4, mode avg or max, pixels of half_pixel or output_half_pixel and a "
                      "positive height and width; export the model again");
    if (n->status != XFC_OK) return;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_int size[2] = {xfc_int_const(n->ctx, height), xfc_int_const(n->ctx, width)};
    xfc_value *images = xfc_n_iota(n, x->type.dim[0], xfc_int_const(n->ctx, 0), 1, XFC_I64);
    xfc_value *which =
        xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){images, n->in[2]}, 2, &axis, 1); /* inside, or an error */
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, size, 2),
                       xfc_attr_int(XFC_K_SAMPLES, samples < 0      ? 0
                                                   : samples > 4096 ? 4096
                                                                    : samples),
                       xfc_attr_float(XFC_K_SCALE, xfc_node_float(n, "spatial_scale", 1)),
                       xfc_attr_int(XFC_K_HALF, half), xfc_attr_int(XFC_K_MAX, max)};
    xfc_dtype w = wide(x->type.dtype);
    xfc_value *in[] = {xfc_b_cast(n->b, x, w), xfc_b_cast(n->b, regions, w), which};
    xfc_value *y = xfc_build(n->b, XFC_OP_ROI_ALIGN, in, 3, attr, XFC_COUNT(attr));
    n->out[0] = y ? xfc_b_cast(n->b, y, x->type.dtype) : NULL;
}

/* resize.c - Resize and Upsample: along one axis after the other, a weighted sum of elements at computed places.
 *
 * Places and weights are small tensors, one element an output position of the axis, built from the sizes by ordinary
 * ops: constants where sizes are known (fold), computed at run time where they are not. They are computed in f32 as
 * onnxruntime does it, since one rounding decides which element is the nearest. Antialiasing reaches over a number of
 * elements that depends on the scale: there the axis is multiplied with a matrix of weights. Scales and sizes that only
 * the run knows are such tensors, too; what they make of the operand's dims are symbols.
 */
#include "frontend/onnx/import.h"
#include <math.h>
#include <string.h>

typedef enum { NEAREST, LINEAR, CUBIC } interpolation;
typedef enum {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_HALF,
    TF_CROP
} coordinates;
typedef enum { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL } rounding;

typedef struct {
    interpolation mode;
    coordinates from;
    rounding nearest;
    double cubic, extrapolation;
    bool exclude_outside, antialias;
    uint32_t n; /* axes that operands speak of */
    uint32_t axis[XFC_MAX_RANK];
    xfc_int out[XFC_MAX_RANK];
    float scale[XFC_MAX_RANK];     /* 0: out / in */
    xfc_value *read[XFC_MAX_RANK]; /* instead: a scale that is read at run time; NULL: it is not */
    xfc_value *roi;                /* [2 * n], tf_crop_and_resize only */
    xfc_dtype compute;
} resize;

/* --- attributes and sizes --- */

/* Place of the text in the list; fails the node when it is not there. */
static uint32_t one_of(xfc_node *n, const char *attr, const char *absent, const char *const *names, uint32_t count) {
    const char *text = xfc_node_str(n, attr, absent);
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(text, names[i])) return i;
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "attribute '%s' has the unknown value '%.40s'", attr, text);
    return 0;
}

static bool read_attributes(xfc_node *n, resize *r) {
    static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear"};
    static const char *const froms[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                                        "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"};
    static const char *const nearests[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    bool old = n->opset < 11; /* also Upsample: asymmetric, rounded down */
    uint32_t mode = one_of(n, "mode", "nearest", modes, XFC_COUNT(modes));
    r->mode = mode == 3 ? LINEAR : (interpolation)mode;
    r->from = (coordinates)one_of(n, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel", froms,
                                  XFC_COUNT(froms));
    r->nearest =
        (rounding)one_of(n, "nearest_mode", old ? "floor" : "round_prefer_floor", nearests, XFC_COUNT(nearests));
    r->cubic = xfc_node_float(n, "cubic_coeff_a", -0.75);
    r->extrapolation = xfc_node_float(n, "extrapolation_value", 0);
    r->exclude_outside = xfc_node_flag(n, "exclude_outside", false);
    r->antialias = xfc_node_flag(n, "antialias", false) && r->mode != NEAREST;
    r->compute = n->in[0]->type.dtype == XFC_F64 ? XFC_F64 : XFC_F32;
    return n->status == XFC_OK;
}

static bool read_axes(xfc_node *n, resize *r) {
    uint32_t rank = n->in[0]->type.rank, n_axes;
    const int64_t *axes;
    bool given = xfc_node_ints(n, "axes", &axes, &n_axes), seen[XFC_MAX_RANK] = {false};
    r->n = given ? n_axes : rank;
    if (r->n > rank) return xfc_node_fail(n, XFC_ERR_INPUT, "has more axes than dims; export the model again"), false;
    for (uint32_t i = 0; i < r->n && n->status == XFC_OK; i++) {
        r->axis[i] = given ? xfc_node_axis(n, axes[i], rank) : i;
        if (n->status == XFC_OK && seen[r->axis[i]])
            xfc_node_fail(n, XFC_ERR_INPUT, "axis %u is given twice; export the model again", r->axis[i]);
        if (n->status == XFC_OK) seen[r->axis[i]] = true;
    }
    return n->status == XFC_OK;
}

/* As a cast does it, also of what no integer can hold: a scale may be any number above 0. */
static int64_t whole(double v) {
    int64_t i = 0;
    xfc_element_set_f(XFC_I64, &i, 0, v);
    return i;
}

/* The simplest fraction that rounds to the scale: 0.7f times 10 is meant to be 7. The last one is the scale itself. */
static void fraction_of(float scale, int64_t *num, int64_t *den) {
    for (*den = 1; *den <= 4096; (*den)++) {
        double p = nearbyint((double)scale * (double)*den);
        *num = whole(p);
        if ((float)(p / (double)*den) == scale) return;
    }
    *den = 1 << 20;
    *num = whole(floor((double)scale * (double)*den));
}

static xfc_int scaled(xfc_node *n, xfc_int extent, float scale) {
    int64_t value, num, den;
    if (xfc_int_value(n->ctx, extent, &value)) return xfc_int_const(n->ctx, whole((double)((float)value * scale)));
    fraction_of(scale, &num, &den);
    return xfc_int_floordiv(n->ctx, xfc_int_mulc(n->ctx, extent, num), xfc_int_const(n->ctx, den));
}

static bool bad_count(xfc_node *n, const resize *r) {
    xfc_node_fail(n, XFC_ERR_INPUT, "needs %u positive scales or sizes, one a resized dim; export the model again",
                  r->n);
    return false;
}

static const float most_scale = 1 << 20;

static bool use_scales(xfc_node *n, resize *r, const xfc_tensor *scales) {
    if (scales->count != r->n || !xfc_dtype_is_float(scales->dtype)) return bad_count(n, r);
    for (uint32_t i = 0; i < r->n; i++) {
        r->scale[i] = (float)xfc_tensor_get_f(scales, i);
        if (!(r->scale[i] >= 1.0f / most_scale && r->scale[i] <= most_scale)) return bad_count(n, r);
        r->out[i] = scaled(n, n->in[0]->type.dim[r->axis[i]], r->scale[i]);
    }
    return true;
}

/* Both policies: one scale for all axes, rounded sizes. */
static bool keep_ratio(xfc_node *n, resize *r, bool larger) {
    int64_t in[XFC_MAX_RANK], out[XFC_MAX_RANK];
    double best = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        if (!xfc_int_value(n->ctx, n->in[0]->type.dim[r->axis[i]], &in[i]) ||
            !xfc_int_value(n->ctx, r->out[i], &out[i]) || in[i] <= 0)
            return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                                 "keep_aspect_ratio_policy needs fixed sizes; export the model with them or with "
                                 "'stretch'"),
                   false;
        double scale = (double)((float)out[i] / (float)in[i]);
        if (i == 0 || (larger ? scale > best : scale < best)) best = scale;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        r->scale[i] = (float)best;
        r->out[i] = xfc_int_const(n->ctx, whole(floor(best * (double)in[i] + 0.5)));
    }
    return true;
}

/* --- scales and sizes that only the run knows --- */

static xfc_value *resized_dims(xfc_node *n, const resize *r) {
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t i = 0; i < r->n; i++) dim[i] = n->in[0]->type.dim[r->axis[i]];
    return xfc_b_dims(n->b, dim, r->n);
}

static xfc_value *cast(xfc_node *n, xfc_value *v, xfc_dtype t) { return v ? xfc_b_cast(n->b, v, t) : NULL; }

static bool define_sizes(xfc_node *n, resize *r, xfc_value *sizes) {
    for (uint32_t i = 0; i < r->n; i++) r->out[i] = XFC_INT_NONE;
    return xfc_n_define(n, sizes, r->out, r->n, NULL);
}

/* One for all axes, or a list of one each. */
static void read_scales(xfc_node *n, resize *r, xfc_value *scales) {
    for (uint32_t i = 0; i < r->n; i++) {
        xfc_value *one = scales && scales->type.rank ? xfc_b_reshape(n->b, xfc_n_pick(n, scales, i), NULL, 0) : scales;
        r->read[i] = cast(n, one, r->compute);
    }
}

static bool scales_at_run_time(xfc_node *n, resize *r, uint32_t in) {
    xfc_value *given = n->in[in], *zero, *ok;
    if (given->type.rank != 1 || !xfc_dtype_is_float(given->type.dtype)) return bad_count(n, r);
    if (!xfc_n_equal(n, given->type.dim[0], xfc_int_const(n->ctx, r->n), "the scales and the axes")) return false;
    xfc_int dim[1] = {xfc_int_const(n->ctx, r->n)};
    given = cast(n, xfc_b_reshape(n->b, given, dim, 1), XFC_F32);
    zero = xfc_nf(n, given, 0);
    ok = xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_GE, given, xfc_nf(n, given, 1 / (double)most_scale)),
                xfc_n2(n, XFC_OP_LE, given, xfc_nf(n, given, (double)most_scale)));
    xfc_value *scales = xfc_n_select(n, ok, given, zero); /* before they are cast */
    xfc_value *sizes = cast(n, xfc_n2(n, XFC_OP_MUL, cast(n, resized_dims(n, r), XFC_F32), scales), XFC_I64);
    read_scales(n, r, scales);
    return define_sizes(n, r, xfc_n_sizes_if(n, ok, sizes));
}

static bool sizes_at_run_time(xfc_node *n, resize *r, uint32_t in, uint32_t policy) {
    const int64_t axis = 0;
    xfc_int count = xfc_type_count(n->ctx, &n->in[in]->type), dim[1] = {xfc_int_const(n->ctx, r->n)};
    if (!xfc_n_equal(n, count, dim[0], "the sizes and the axes")) return false;
    xfc_value *sizes = xfc_b_reshape(n->b, xfc_node_list(n, in), dim, 1);
    if (policy == 0) return define_sizes(n, r, sizes);
    xfc_value *dims = resized_dims(n, r);
    xfc_value *best = xfc_n2(n, XFC_OP_DIV, cast(n, sizes, XFC_F32), cast(n, dims, XFC_F32));
    best = best ? xfc_b_reduce(n->b, policy == 2 ? XFC_OP_REDUCE_MAX : XFC_OP_REDUCE_MIN, best, &axis, 1, false) : NULL;
    xfc_value *exact = xfc_n2(n, XFC_OP_MUL, cast(n, best, XFC_F64), cast(n, dims, XFC_F64));
    exact = xfc_n1(n, XFC_OP_FLOOR, xfc_n2(n, XFC_OP_ADD, exact, xfc_nf(n, exact, 0.5)));
    xfc_value *ok = xfc_n2(n, XFC_OP_LE, exact, xfc_nf(n, exact, (double)XFC_DIM_MAX));
    read_scales(n, r, best);
    return define_sizes(n, r, xfc_n_sizes_if(n, ok, cast(n, xfc_n_select(n, ok, exact, xfc_nf(n, exact, 0)), XFC_I64)));
}

static bool use_sizes(xfc_node *n, resize *r, uint32_t in) {
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
    uint32_t count, policy = one_of(n, "keep_aspect_ratio_policy", "stretch", policies, XFC_COUNT(policies));
    if (n->status != XFC_OK) return false;
    if (xfc_node_at_run_time(n, in)) return sizes_at_run_time(n, r, in, policy);
    const xfc_int *size = xfc_node_dims(n, in, &count);
    if (!size || n->status != XFC_OK) return false;
    if (count != r->n) return bad_count(n, r);
    for (uint32_t i = 0; i < r->n; i++) {
        int64_t value = 0;
        r->out[i] = size[i];
        if (xfc_int_lt(n->ctx, size[i], xfc_int_const(n->ctx, 0)) == 1) return bad_count(n, r);
        if (xfc_int_value(n->ctx, size[i], &value) && value > XFC_DIM_MAX) return bad_count(n, r);
    }
    return policy == 0 || keep_ratio(n, r, policy == 2);
}

/* An operand that is there and not the empty tensor, which stands for one that is left out. */
static bool has_elements(const xfc_node *n, uint32_t i) {
    return xfc_node_has(n, i) && !(n->in[i]->type.rank == 1 && xfc_int_is(n->ctx, n->in[i]->type.dim[0], 0));
}

static bool read_sizes(xfc_node *n, resize *r) {
    uint32_t scales = n->opset < 11 ? 1 : 2;
    if (n->opset >= 11 && has_elements(n, 3)) return use_sizes(n, r, 3);
    if (!has_elements(n, scales)) return bad_count(n, r);
    const xfc_tensor *t = xfc_node_known(n, n->in[scales]);
    return t ? use_scales(n, r, t) : scales_at_run_time(n, r, scales);
}

/* --- small vectors: one element an output position --- */

static xfc_value *number(xfc_node *n, const resize *r, double v) { return xfc_b_scalar_f(n->b, r->compute, v); }
static xfc_value *extent_of(xfc_node *n, const resize *r, xfc_int dim) {
    xfc_value *v = xfc_b_dims(n->b, &dim, -1);
    return v ? xfc_b_cast(n->b, v, r->compute) : NULL;
}
static xfc_value *add(xfc_node *n, xfc_value *a, xfc_value *b) { return xfc_n2(n, XFC_OP_ADD, a, b); }
static xfc_value *sub(xfc_node *n, xfc_value *a, xfc_value *b) { return xfc_n2(n, XFC_OP_SUB, a, b); }
static xfc_value *mul(xfc_node *n, xfc_value *a, xfc_value *b) { return xfc_n2(n, XFC_OP_MUL, a, b); }
static xfc_value *quotient(xfc_node *n, xfc_value *a, xfc_value *b) { return xfc_n2(n, XFC_OP_DIV, a, b); }
static xfc_value *plus(xfc_node *n, const resize *r, xfc_value *a, double b) { return add(n, a, number(n, r, b)); }
static xfc_value *times(xfc_node *n, const resize *r, xfc_value *a, double b) { return mul(n, a, number(n, r, b)); }
static xfc_value *choose(xfc_node *n, xfc_value *cond, xfc_value *yes, xfc_value *no) {
    return cond && yes && no ? xfc_b_select(n->b, cond, yes, no) : NULL;
}

/* Element i of the region of interest, a scalar. */
static xfc_value *region(xfc_node *n, const resize *r, uint32_t i) {
    xfc_value *v = xfc_n_pick(n, r->roi, i);
    v = v ? xfc_b_reshape(n->b, v, NULL, 0) : NULL;
    return v ? xfc_b_cast(n->b, v, r->compute) : NULL;
}

/* start (in - 1) + i (end - start) (in - 1) / (out - 1), or the middle of the region for a single position. */
static xfc_value *cropped(xfc_node *n, const resize *r, uint32_t k, xfc_value *i, xfc_value *last_in,
                          xfc_value *last_out) {
    xfc_value *start = region(n, r, k), *end = region(n, r, r->n + k);
    xfc_value *span = quotient(n, mul(n, sub(n, end, start), last_in), last_out);
    xfc_value *many = add(n, mul(n, start, last_in), mul(n, i, span));
    xfc_value *one = mul(n, times(n, r, add(n, start, end), 0.5), last_in);
    return choose(n, xfc_n2(n, XFC_OP_GT, last_out, number(n, r, 0)), many, one);
}

static xfc_value *scale_of(xfc_node *n, const resize *r, uint32_t k) {
    if (r->read[k]) return r->read[k];
    if (r->scale[k] > 0) return number(n, r, (double)r->scale[k]);
    return quotient(n, extent_of(n, r, r->out[k]), extent_of(n, r, n->in[0]->type.dim[r->axis[k]]));
}

/* Where each output position of resized axis k lies in the operand. */
static xfc_value *positions(xfc_node *n, const resize *r, uint32_t k) {
    xfc_int in = n->in[0]->type.dim[r->axis[k]];
    xfc_value *i = xfc_n_iota(n, r->out[k], xfc_int_const(n->ctx, 0), 1, r->compute);
    xfc_value *out_f = extent_of(n, r, r->out[k]), *in_f = extent_of(n, r, in);
    xfc_value *scale = scale_of(n, r, k);
    xfc_value *half = plus(n, r, quotient(n, plus(n, r, i, 0.5), scale), -0.5), *zero = number(n, r, 0);
    xfc_value *last_in = plus(n, r, in_f, -1), *last_out = plus(n, r, out_f, -1);
    switch (r->from) {
    case HALF_PIXEL: return half;
    case PYTORCH_HALF_PIXEL: return choose(n, xfc_n2(n, XFC_OP_GT, last_out, zero), half, zero);
    case ASYMMETRIC: return quotient(n, i, scale);
    case TF_HALF: return quotient(n, plus(n, r, i, 0.5), scale);
    case TF_CROP: return cropped(n, r, k, i, last_in, last_out);
    case ALIGN_CORNERS: return quotient(n, mul(n, i, last_in), xfc_n2(n, XFC_OP_MAX, last_out, number(n, r, 1)));
    case HALF_PIXEL_SYMMETRIC: {
        xfc_value *used = quotient(n, out_f, mul(n, scale, in_f)); /* what rounding the size left of it */
        return add(n, mul(n, times(n, r, in_f, 0.5), sub(n, number(n, r, 1), used)), half);
    }
    }
    return NULL;
}

/* Indices within the axis. */
static xfc_value *within(xfc_node *n, xfc_value *at, xfc_int extent) {
    xfc_int last = xfc_int_addc(n->ctx, extent, -1);
    at = at ? xfc_b_cast(n->b, at, XFC_I64) : NULL;
    at = xfc_n2(n, XFC_OP_MIN, at, xfc_b_dims(n->b, &last, -1));
    return xfc_n2(n, XFC_OP_MAX, at, xfc_b_scalar_i(n->b, XFC_I64, 0));
}

static xfc_value *take(xfc_node *n, xfc_value *x, xfc_value *at, uint32_t axis) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){x, at}, 2, &attr, 1);
}

/* --- the three ways --- */

static xfc_value *nearest(xfc_node *n, const resize *r, xfc_value *x, uint32_t axis, xfc_value *at) {
    if (r->nearest == PREFER_FLOOR) at = plus(n, r, at, -0.5);
    if (r->nearest == PREFER_CEIL) at = plus(n, r, at, 0.5);
    bool up = r->nearest == PREFER_FLOOR || r->nearest == CEIL;
    at = xfc_n1(n, up ? XFC_OP_CEIL : XFC_OP_FLOOR, at);
    return take(n, x, within(n, at, x->type.dim[axis]), axis);
}

/* sum of weight[i] * x at first + i, where indices beyond the ends take the element there. */
static xfc_value *weighted(xfc_node *n, xfc_value *x, uint32_t axis, xfc_value *first, xfc_value *const *weight,
                           uint32_t count) {
    xfc_value *sum = NULL;
    for (uint32_t i = 0; i < count && first; i++) {
        xfc_value *at = xfc_n2(n, XFC_OP_ADD, first, xfc_b_scalar_f(n->b, first->type.dtype, i));
        xfc_value *part = take(n, x, within(n, at, x->type.dim[axis]), axis);
        part = mul(n, part, xfc_n_along(n, weight[i], axis, x->type.rank));
        sum = sum ? add(n, sum, part) : part;
    }
    return sum;
}

static xfc_value *linear(xfc_node *n, const resize *r, xfc_value *x, uint32_t axis, xfc_value *at) {
    xfc_value *last = plus(n, r, extent_of(n, r, x->type.dim[axis]), -1);
    at = xfc_n2(n, XFC_OP_MAX, xfc_n2(n, XFC_OP_MIN, at, last), number(n, r, 0));
    xfc_value *first = xfc_n1(n, XFC_OP_FLOOR, at), *part = sub(n, at, first);
    xfc_value *weight[2] = {sub(n, number(n, r, 1), part), part};
    return weighted(n, x, axis, first, weight, 2);
}

/* Keys' kernel at a distance of less than 1 (inner) or 1 to 2. */
static xfc_value *keys(xfc_node *n, const resize *r, xfc_value *d, bool inner) {
    double a = r->cubic;
    if (inner) return plus(n, r, mul(n, mul(n, plus(n, r, times(n, r, d, a + 2), -(a + 3)), d), d), 1);
    xfc_value *v = plus(n, r, mul(n, plus(n, r, times(n, r, d, a), -5 * a), d), 8 * a);
    return plus(n, r, mul(n, v, d), -4 * a);
}

static xfc_value *cubic(xfc_node *n, const resize *r, xfc_value *x, uint32_t axis, xfc_value *at) {
    xfc_value *floor_ = xfc_n1(n, XFC_OP_FLOOR, at), *t = sub(n, at, floor_), *u = sub(n, number(n, r, 1), t);
    xfc_value *weight[4] = {keys(n, r, plus(n, r, t, 1), false), keys(n, r, t, true), keys(n, r, u, true),
                            keys(n, r, plus(n, r, u, 1), false)};
    xfc_value *first = plus(n, r, floor_, -1), *sum = NULL, *zero = number(n, r, 0);
    xfc_value *extent = extent_of(n, r, x->type.dim[axis]);
    for (uint32_t i = 0; i < 4 && r->exclude_outside; i++) {
        xfc_value *place = plus(n, r, first, i);
        xfc_value *inside =
            xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_GE, place, zero), xfc_n2(n, XFC_OP_LT, place, extent));
        weight[i] = choose(n, inside, weight[i], zero);
        sum = sum ? add(n, sum, weight[i]) : weight[i];
    }
    for (uint32_t i = 0; i < 4 && r->exclude_outside; i++) weight[i] = quotient(n, weight[i], sum);
    return weighted(n, x, axis, first, weight, 4);
}

/* --- antialiasing --- */

/* The filter at a distance: a triangle, or Keys' kernel. */
static xfc_value *filter(xfc_node *n, const resize *r, xfc_value *d) {
    xfc_value *zero = number(n, r, 0), *one = number(n, r, 1);
    if (r->mode == LINEAR) return xfc_n2(n, XFC_OP_MAX, sub(n, one, d), zero);
    xfc_value *outer = choose(n, xfc_n2(n, XFC_OP_LT, d, number(n, r, 2)), keys(n, r, d, false), zero);
    return choose(n, xfc_n2(n, XFC_OP_LT, d, one), keys(n, r, d, true), outer);
}

/* How wide the filter is along axis k, in elements of the operand: a number, and how far it reaches beyond the ends. */
static xfc_value *filter_width(xfc_node *n, const resize *r, uint32_t k, xfc_int *border) {
    int64_t in, out;
    xfc_int extent = n->in[0]->type.dim[r->axis[k]], one[1] = {xfc_int_const(n->ctx, 1)};
    double scale = (double)r->scale[k], reach = r->mode == LINEAR ? 1 : 2;
    bool fixed = xfc_int_value(n->ctx, extent, &in) && xfc_int_value(n->ctx, r->out[k], &out) && in > 0;
    if (!(scale > 0) && fixed) scale = (double)((float)out / (float)in);
    if (scale > 0) {
        double narrow = scale < 1 ? scale : 1;
        if (!r->exclude_outside) *border = xfc_int_const(n->ctx, (int64_t)ceil(reach / narrow) + 1);
        return number(n, r, narrow);
    }
    xfc_value *narrow = xfc_n2(n, XFC_OP_MIN, scale_of(n, r, k), number(n, r, 1));
    narrow = xfc_n2(n, XFC_OP_MAX, narrow, number(n, r, 1 / (double)most_scale));
    xfc_value *beyond = plus(n, r, xfc_n1(n, XFC_OP_CEIL, quotient(n, number(n, r, reach), narrow)), 1);
    beyond = beyond ? xfc_b_reshape(n->b, xfc_b_cast(n->b, beyond, XFC_I64), one, 1) : NULL;
    if (r->exclude_outside) return narrow;
    *border = XFC_INT_NONE;
    return xfc_n_define(n, beyond, border, 1, NULL) ? narrow : NULL;
}

/* The axis, with its end elements repeated as far as the filter reaches, times a matrix of weights. */
static xfc_value *smoothed(xfc_node *n, const resize *r, xfc_value *x, uint32_t k, xfc_value *at) {
    uint32_t axis = r->axis[k], rank = x->type.rank;
    int64_t swap[XFC_MAX_RANK];
    xfc_int extent = x->type.dim[axis], none = xfc_int_const(n->ctx, 0), border = none;
    xfc_value *narrow = filter_width(n, r, k, &border);
    xfc_value *place = xfc_n_iota(n, xfc_int_add(n->ctx, extent, xfc_int_mulc(n->ctx, border, 2)),
                                  xfc_int_sub(n->ctx, none, border), 1, XFC_I64);
    if (!xfc_int_is(n->ctx, border, 0)) x = take(n, x, within(n, place, extent), axis);
    xfc_value *row = place ? xfc_n_along(n, xfc_b_cast(n->b, place, r->compute), 0, 2) : NULL;
    xfc_value *weight = filter(n, r, mul(n, xfc_n1(n, XFC_OP_ABS, sub(n, row, at)), narrow));
    int64_t first = 0;
    weight = quotient(n, weight, xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, weight, &first, 1, true));
    for (uint32_t d = 0; d < rank; d++) swap[d] = d == axis ? rank - 1 : d + 1 == rank ? axis : d;
    if (rank == 1) { /* a row */
        xfc_int dim[2] = {xfc_int_const(n->ctx, 1), x ? x->type.dim[0] : XFC_INT_NONE};
        xfc_value *y = xfc_n2(n, XFC_OP_MATMUL, x ? xfc_b_reshape(n->b, x, dim, 2) : NULL, weight);
        return y ? xfc_b_reshape(n->b, y, &y->type.dim[1], 1) : NULL;
    }
    x = x ? xfc_b_transpose(n->b, x, swap) : NULL;
    xfc_value *y = xfc_n2(n, XFC_OP_LINEAR, x, weight);
    return y ? xfc_b_transpose(n->b, y, swap) : NULL;
}

/* --- all axes --- */

/* Nothing happens along this axis: positions are the indices themselves. */
static bool is_identity(const xfc_node *n, const resize *r, uint32_t k) {
    if (r->from == TF_CROP || r->from == TF_HALF) return false;
    if (r->read[k] || !xfc_int_same(r->out[k], n->in[0]->type.dim[r->axis[k]])) return false;
    return !(r->scale[k] > 0) || r->scale[k] == 1;
}

static xfc_value *outside(xfc_node *n, const resize *r, uint32_t k, xfc_value *at) {
    xfc_value *last = plus(n, r, extent_of(n, r, n->in[0]->type.dim[r->axis[k]]), -1);
    xfc_value *off = xfc_n2(n, XFC_OP_OR, xfc_n2(n, XFC_OP_LT, at, number(n, r, 0)), xfc_n2(n, XFC_OP_GT, at, last));
    return xfc_n_along(n, off, r->axis[k], n->in[0]->type.rank);
}

static void resize_axes(xfc_node *n, resize *r) {
    xfc_dtype t = n->in[0]->type.dtype;
    xfc_value *x = r->mode == NEAREST ? n->in[0] : xfc_b_cast(n->b, n->in[0], r->compute), *off = NULL;
    for (uint32_t k = 0; k < r->n && x && n->status == XFC_OK; k++) {
        if (is_identity(n, r, k)) continue;
        xfc_value *at = positions(n, r, k);
        if (r->from == TF_CROP) off = off ? xfc_n2(n, XFC_OP_OR, off, outside(n, r, k, at)) : outside(n, r, k, at);
        if (r->antialias)
            x = smoothed(n, r, x, k, at);
        else if (r->mode == NEAREST)
            x = nearest(n, r, x, r->axis[k], at);
        else
            x = r->mode == LINEAR ? linear(n, r, x, r->axis[k], at) : cubic(n, r, x, r->axis[k], at);
    }
    if (off) x = choose(n, off, xfc_nf(n, x, r->extrapolation), x);
    n->out[0] = x ? xfc_b_cast(n->b, x, t) : NULL;
}

void xfc_import_resize(xfc_node *n) {
    resize r = {0};
    if (!read_attributes(n, &r) || !read_axes(n, &r) || !read_sizes(n, &r)) return;
    if (r.from == TF_CROP) {
        r.roi = xfc_node_in(n, 1);
        if (!r.roi || r.roi->type.rank != 1 || !xfc_dtype_is_float(r.roi->type.dtype)) {
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "tf_crop_and_resize needs a region of two numbers a resized dim; correct the model");
            return;
        }
        xfc_int numbers = xfc_int_const(n->ctx, 2 * (int64_t)r.n);
        if (!xfc_n_equal(n, r.roi->type.dim[0], numbers, "the region and two numbers a resized dim")) return;
    }
    resize_axes(n, &r);
}

/* Below opset 9 the scales are an attribute. */
void xfc_import_upsample(xfc_node *n) {
    resize r = {0};
    if (!read_attributes(n, &r) || !read_axes(n, &r)) return;
    const Onnx__AttributeProto *a = xfc_node_attr(n, "scales");
    if (n->opset >= 9) {
        if (!read_sizes(n, &r)) return;
    } else if (n->opset < 7) {
        const float scales[4] = {1, 1, (float)xfc_node_float(n, "height_scale", 0),
                                 (float)xfc_node_float(n, "width_scale", 0)};
        const int64_t count = XFC_COUNT(scales);
        if (!use_scales(n, &r, xfc_tensor_copy(n->ctx, XFC_F32, 1, &count, scales, NULL))) return;
    } else {
        int64_t count = a ? (int64_t)a->n_floats : 0;
        if (!a || !count) {
            bad_count(n, &r);
            return;
        }
        if (!use_scales(n, &r, xfc_tensor_copy(n->ctx, XFC_F32, 1, &count, a->floats, NULL))) return;
    }
    resize_axes(n, &r);
}

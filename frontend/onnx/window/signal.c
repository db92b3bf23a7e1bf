/* signal.c - windows, the discrete Fourier transform, and what is made of both.
 *
 * A transform of n is a product with a table of n x n complex numbers, built of iotas and cosines: a constant where n
 * is known. A long one whose length is a product is done in two, of its factors (Cooley and Tukey), and a long one whose
 * length is no product as a convolution, by transforms of a power of two (Bluestein). Complex numbers are pairs in the
 * last dim. Tables are computed in f64; 16-bit floats pass through f32.
 */
#include "frontend/onnx/axes.h"
#include <math.h>

enum { DIRECT = 512 }; /* the longest transform by a table of its own */
static const double two_pi = 6.283185307179586;

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }
static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }
static xfc_dtype wide(xfc_dtype t) { return t == XFC_F64 ? t : XFC_F32; }
static xfc_value *reshape(xfc_node *n, xfc_value *v, const xfc_int *dim, uint32_t rank) {
    return v ? xfc_b_reshape(n->b, v, dim, rank) : NULL;
}
static xfc_value *transpose(xfc_node *n, xfc_value *v, const int64_t *perm) {
    return v ? xfc_b_transpose(n->b, v, perm) : NULL;
}
static xfc_value *cast(xfc_node *n, xfc_value *v, xfc_dtype t) { return v ? xfc_b_cast(n->b, v, t) : NULL; }

/* 0 .. size - 1 along an axis of a tensor of this rank. */
static xfc_value *count_along(xfc_node *n, xfc_int size, uint32_t axis, uint32_t rank) {
    return xfc_n_along(n, xfc_n_iota(n, size, constant(n, 0), 1, XFC_I64), axis, rank);
}

static xfc_value *f64_of(xfc_node *n, xfc_int size) { return cast(n, xfc_b_dims(n->b, &size, -1), XFC_F64); }

/* --- tables --- */

/* exp(i turn * 2 pi a b / of) for a < rows, b < columns, as a real matrix that multiplies pairs: [rows, parts, columns,
 * 2]. parts 1: the left operand is real. The product a b is taken modulo `of`, so that no digit of the angle is lost. */
static xfc_value *table(xfc_node *n, xfc_int rows, uint32_t parts, xfc_int columns, xfc_int of, int turn) {
    xfc_value *steps = op(n, XFC_OP_MUL, count_along(n, rows, 0, 4), count_along(n, columns, 2, 4));
    steps = op(n, XFC_OP_MOD, steps, xfc_b_dims(n->b, &of, -1));
    xfc_value *angle = with(n, XFC_OP_MUL, cast(n, steps, XFC_F64), turn * two_pi);
    angle = op(n, XFC_OP_DIV, angle, f64_of(n, of));
    /* quarters: a cosine, and a quarter later (of the result) or earlier (of the operand) a sine */
    xfc_value *from = count_along(n, constant(n, parts), 1, 4), *to = count_along(n, constant(n, 2), 3, 4);
    xfc_value *quarter = op(n, XFC_OP_SUB, to, from), *zero = xfc_b_scalar_i(n->b, XFC_I64, 0);
    xfc_value *is_sine = op(n, XFC_OP_NE, quarter, zero), *sign = cast(n, quarter, XFC_F64);
    xfc_value *sine = op(n, XFC_OP_MUL, xfc_n1(n, XFC_OP_SIN, angle), sign), *cosine = xfc_n1(n, XFC_OP_COS, angle);
    return is_sine && sine && cosine ? xfc_b_select(n->b, is_sine, sine, cosine) : NULL;
}

/* a * b, pairs in the last dim; b [.., 2] broadcasts. */
static xfc_value *complex_product(xfc_node *n, xfc_value *a, xfc_value *b) {
    xfc_value *part[2][2], *result[2];
    xfc_value *in[2] = {a, b};
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < 2; k++) {
            if (!in[i]) return NULL;
            part[i][k] = xfc_b_slice_axis(n->b, in[i], in[i]->type.rank - 1, constant(n, k), constant(n, 1), 1);
        }
    }
    result[0] = op(n, XFC_OP_SUB, op(n, XFC_OP_MUL, part[0][0], part[1][0]), op(n, XFC_OP_MUL, part[0][1], part[1][1]));
    result[1] = op(n, XFC_OP_ADD, op(n, XFC_OP_MUL, part[0][0], part[1][1]), op(n, XFC_OP_MUL, part[0][1], part[1][0]));
    if (!result[0] || !result[1]) return NULL;
    xfc_attr last = xfc_attr_int(XFC_K_AXIS, result[0]->type.rank - 1);
    return xfc_build(n->b, XFC_OP_CONCAT, result, 2, &last, 1);
}

/* --- transforms --- */

/* x [r, n, parts] to [r, m, 2], its first m frequencies (turn -1), or sums (turn 1). */
static xfc_value *direct(xfc_node *n, xfc_value *x, xfc_int m, int turn) {
    if (!x) return NULL;
    xfc_type t = x->type;
    int64_t parts = 2;
    xfc_int_value(n->ctx, t.dim[2], &parts);
    xfc_int left[2] = {t.dim[0], xfc_int_mul(n->ctx, t.dim[1], t.dim[2])},
            right[2] = {left[1], xfc_int_mulc(n->ctx, m, 2)};
    xfc_value *by = cast(n, table(n, t.dim[1], (uint32_t)parts, m, t.dim[1], turn), t.dtype);
    by = reshape(n, by, right, 2);
    xfc_value *y = by ? xfc_b_matmul(n->b, reshape(n, x, left, 2), by) : NULL;
    return reshape(n, y, (xfc_int[]){t.dim[0], m, constant(n, 2)}, 3);
}

/* The largest divisor up to the root; 1 of a prime. */
static int64_t factor(int64_t length) {
    int64_t f = (int64_t)sqrt((double)length);
    while (length % f) f--;
    return f;
}

static bool has_large_prime(int64_t length) {
    for (int64_t p = 2; p * p <= length; p++)
        while (length % p == 0) length /= p;
    return length > DIRECT;
}

static xfc_value *transform(xfc_node *n, xfc_value *x, int64_t length, int turn);

/* x [r, a * b, 2]: over the first digit, turned, then over the second; element i * b + j becomes frequency k + a * l. */
static xfc_value *in_two(xfc_node *n, xfc_value *x, int64_t a, int64_t b, int turn) {
    static const int64_t swap[] = {0, 2, 1, 3};
    if (!x) return NULL;
    xfc_int r = x->type.dim[0], two = constant(n, 2), ca = constant(n, a), cb = constant(n, b),
            rows = xfc_int_mulc(n->ctx, r, a), columns = xfc_int_mulc(n->ctx, r, b);
    xfc_value *v = transpose(n, reshape(n, x, (xfc_int[]){r, ca, cb, two}, 4), swap);
    v = transform(n, reshape(n, v, (xfc_int[]){columns, ca, two}, 3), a, turn);
    xfc_value *twist = reshape(n, table(n, cb, 1, ca, constant(n, a * b), turn), (xfc_int[]){cb, ca, two}, 3);
    v = complex_product(n, reshape(n, v, (xfc_int[]){r, cb, ca, two}, 4), cast(n, twist, x->type.dtype));
    v = transform(n, reshape(n, transpose(n, v, swap), (xfc_int[]){rows, cb, two}, 3), b, turn);
    v = transpose(n, reshape(n, v, (xfc_int[]){r, ca, cb, two}, 4), swap);
    return reshape(n, v, (xfc_int[]){r, constant(n, a * b), two}, 3);
}

/* exp(i turn pi k^2 / length) for k from `first` on, as [1, count, 2]; k^2 modulo 2 * length. */
static xfc_value *chirp(xfc_node *n, int64_t first, int64_t count, int64_t length, int turn) {
    xfc_value *k = xfc_n_iota(n, constant(n, count), constant(n, first), 1, XFC_I64);
    xfc_value *square = op(n, XFC_OP_MOD, op(n, XFC_OP_MUL, k, k), xfc_b_scalar_i(n->b, XFC_I64, 2 * length));
    xfc_value *angle = with(n, XFC_OP_MUL, cast(n, square, XFC_F64), turn * two_pi / 2 / (double)length);
    xfc_value *part[2] = {xfc_n1(n, XFC_OP_COS, angle), xfc_n1(n, XFC_OP_SIN, angle)};
    const xfc_int dim[3] = {constant(n, 1), constant(n, count), constant(n, 1)};
    for (uint32_t i = 0; i < 2; i++)
        if (!(part[i] = reshape(n, part[i], dim, 3))) return NULL;
    xfc_attr last = xfc_attr_int(XFC_K_AXIS, 2);
    return xfc_build(n->b, XFC_OP_CONCAT, part, 2, &last, 1);
}

/* v [r, n, c] with zeros behind, or cut, so that there are `size`. */
static xfc_value *resized(xfc_node *n, xfc_value *v, xfc_int size) {
    if (!v || xfc_int_same(v->type.dim[1], size)) return v;
    xfc_int zero = constant(n, 0);
    const xfc_int before[3] = {zero, zero, zero}, after[3] = {zero, xfc_int_sub(n->ctx, size, v->type.dim[1]), zero};
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, 3), xfc_attr_dims(XFC_K_AFTER, after, 3)};
    return xfc_build(n->b, XFC_OP_PAD, &v, 1, attr, XFC_COUNT(attr));
}

/* With a b = (a^2 + b^2 - (a - b)^2) / 2: x times a chirp, convolved with the opposite one, times the chirp again. */
static xfc_value *as_convolution(xfc_node *n, xfc_value *x, int64_t length, int turn) {
    int64_t size = 1;
    while (size < 2 * length - 1) size *= 2;
    if (!x) return NULL;
    xfc_dtype t = x->type.dtype;
    xfc_int whole = constant(n, size), gap = constant(n, size - 2 * length + 1), one = constant(n, 1);
    xfc_value *up = cast(n, chirp(n, 0, length, length, turn), t), *ahead = chirp(n, 0, length, length, -turn),
              *behind = length > 1 ? chirp(n, 1 - length, length - 1, length, -turn) : NULL;
    const double nothing = 0;
    xfc_value *zeros = xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_F64, 0, NULL, &nothing, NULL),
                                   (xfc_int[]){one, gap, constant(n, 2)}, 3);
    xfc_value *ring[3] = {ahead, zeros, behind};
    xfc_attr along = xfc_attr_int(XFC_K_AXIS, 1);
    if (!up || !ahead || !behind || !zeros) return NULL;
    xfc_value *filter = transform(n, cast(n, xfc_build(n->b, XFC_OP_CONCAT, ring, 3, &along, 1), t), size, -1);
    xfc_value *v = transform(n, resized(n, complex_product(n, x, up), whole), size, -1);
    v = transform(n, complex_product(n, v, filter), size, 1);
    v = with(n, XFC_OP_DIV, resized(n, v, constant(n, length)), (double)size);
    return complex_product(n, v, up);
}

/* x [r, length, 2] to [r, length, 2]. */
static xfc_value *transform(xfc_node *n, xfc_value *x, int64_t length, int turn) {
    if (length <= DIRECT) return direct(n, x, constant(n, length), turn);
    if (has_large_prime(length)) return as_convolution(n, x, length, turn);
    int64_t a = factor(length);
    return in_two(n, x, a, length / a, turn);
}

/* x [r, n, 1 or 2] as pairs: real numbers get zeros as the other part. */
static xfc_value *complex_of(xfc_node *n, xfc_value *x) {
    if (!x || xfc_int_is(n->ctx, x->type.dim[2], 2)) return x;
    const xfc_int zero = constant(n, 0), before[3] = {zero, zero, zero},
                  after[3] = {zero, zero, xfc_int_sub(n->ctx, constant(n, 2), x->type.dim[2])};
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, 3), xfc_attr_dims(XFC_K_AFTER, after, 3)};
    return xfc_build(n->b, XFC_OP_PAD, &x, 1, attr, XFC_COUNT(attr));
}

/* x [r, n, parts] to its first m frequencies, or sums. */
static xfc_value *fourier(xfc_node *n, xfc_value *x, xfc_int m, int turn) {
    int64_t length;
    if (!x) return NULL;
    if (!xfc_int_value(n->ctx, x->type.dim[1], &length) || length <= DIRECT) return direct(n, x, m, turn);
    x = complex_of(n, x);
    return resized(n, transform(n, x, length, turn), m);
}

/* Frequencies 0 .. length / 2 of a real signal to all of them: the others are their mirror images, conjugate. */
static xfc_value *mirrored(xfc_node *n, xfc_value *x, xfc_int length) {
    xfc_ctx *c = n->ctx;
    xfc_int half = xfc_int_addc(c, xfc_int_floordiv(c, length, constant(n, 2)), 1), rest = xfc_int_sub(c, length, half);
    static const float signs[2] = {1, -1};
    const int64_t two = 2;
    if (!(x = resized(n, x, half))) return NULL;
    xfc_value *sign = cast(n, xfc_b_const(n->b, xfc_tensor_copy(c, XFC_F32, 1, &two, signs, NULL)), x->type.dtype);
    xfc_value *part[2] = {x, op(n, XFC_OP_MUL, xfc_b_slice_axis(n->b, x, 1, rest, rest, -1), sign)};
    xfc_attr along = xfc_attr_int(XFC_K_AXIS, 1);
    return part[1] ? xfc_build(n->b, XFC_OP_CONCAT, part, 2, &along, 1) : NULL;
}

/* --- DFT and STFT --- */

typedef struct {
    bool inverse, onesided;
    xfc_int length; /* of the transform */
} dft;

/* The last dim is 1 (real) or 2 (complex); of one side it is known which. */
static bool check_parts(xfc_node *n, const dft *d, xfc_int parts) {
    static const char what[] = "the last dim and the numbers of a real or complex one";
    if (d->onesided) return xfc_n_equal(n, parts, constant(n, d->inverse ? 2 : 1), what);
    return xfc_n_at_most(n, constant(n, 1), parts, what) && xfc_n_at_most(n, parts, constant(n, 2), what);
}

/* x [r, n, 1 or 2] to [r, m, 2], or 1 where the result is real. */
static xfc_value *apply(xfc_node *n, const dft *d, xfc_value *x) {
    if (!x) return NULL;
    xfc_int m = d->onesided && !d->inverse
                    ? xfc_int_addc(n->ctx, xfc_int_floordiv(n->ctx, d->length, constant(n, 2)), 1)
                    : d->length;
    if (d->onesided) x = reshape(n, x, (xfc_int[]){x->type.dim[0], x->type.dim[1], constant(n, d->inverse ? 2 : 1)}, 3);
    if (x && !xfc_int_is(n->ctx, x->type.dim[2], 1)) x = complex_of(n, x);
    x = d->inverse && d->onesided ? mirrored(n, x, d->length) : resized(n, x, d->length);
    x = fourier(n, x, m, d->inverse ? 1 : -1);
    if (!x || !d->inverse) return x;
    x = op(n, XFC_OP_DIV, x, cast(n, f64_of(n, d->length), x->type.dtype));
    if (!d->onesided || !x) return x;
    return xfc_b_slice_axis(n->b, x, 2, constant(n, 0), constant(n, 1), 1); /* the other part is 0 */
}

/* along: the size of the axis. */
static bool read_dft(xfc_node *n, xfc_int along, xfc_int parts, dft *d) {
    int64_t length;
    *d = (dft){.inverse = xfc_node_flag(n, "inverse", false), .onesided = xfc_node_flag(n, "onesided", false)};
    if (!check_parts(n, d, parts)) return false;
    d->length = along;
    if (d->inverse && d->onesided) d->length = xfc_int_mulc(n->ctx, xfc_int_addc(n->ctx, d->length, -1), 2);
    if (xfc_node_has(n, 1)) d->length = xfc_node_size(n, 1);
    if (n->status != XFC_OK) return false;
    if (!xfc_int_value(n->ctx, d->length, &length) || (length >= 1 && length < 1 << 26))
        return xfc_n_at_most(n, constant(n, 1), d->length, "1 and the length of the transform");
    return xfc_node_fail(n, XFC_ERR_LIMIT, "transforms %lld numbers; 1 to %d are supported", (long long)length,
                         (1 << 26) - 1),
           false;
}

/* The operand as [before, along, behind, parts] its axis, and the dims of a result that has `size` along it. */
static bool split_at(xfc_node *n, int64_t axis, xfc_axis_split *out, uint32_t *at) {
    const xfc_type t = n->in[0]->type;
    *at = xfc_node_axis(n, axis, t.rank);
    if (n->status == XFC_OK && *at + 1 == t.rank)
        xfc_node_fail(n, XFC_ERR_INPUT, "transforms along the parts of complex numbers; export the model again");
    if (n->status != XFC_OK) return false;
    const xfc_int dim[4] = {xfc_dims_product(n->ctx, t.dim, *at), t.dim[*at],
                            xfc_dims_product(n->ctx, t.dim + *at + 1, t.rank - *at - 2), t.dim[t.rank - 1]};
    out->x = reshape(n, n->in[0], dim, 4);
    return out->x != NULL;
}

static bool split_dft(xfc_node *n, xfc_axis_split *out, uint32_t *at) {
    int64_t axis = n->opset < 20 ? xfc_node_int(n, "axis", 1) : -2;
    uint32_t count = 1, rank = n->in[0]->type.rank;
    bool has = n->opset >= 20 && xfc_node_has(n, 2), at_run_time = has && xfc_node_at_run_time(n, 2);
    const int64_t *given = has && !at_run_time ? xfc_node_const_ints(n, 2, &count) : NULL;
    if (at_run_time && !xfc_node_length(n, 2, &count)) return false;
    if (n->status == XFC_OK && (count != 1 || rank < 2 || !xfc_dtype_is_float(n->in[0]->type.dtype)))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs floats in a tensor of rank 2 or more, and one axis; export the model again");
    if (n->status != XFC_OK) return false;
    return at_run_time ? xfc_one_axis(n, 2, 1, out) : split_at(n, given ? given[0] : axis, out, at);
}

/* Dims of the result, with `size` along the axis. */
static bool result_dims(xfc_node *n, const xfc_axis_split *s, uint32_t at, xfc_int size, xfc_int *dim) {
    const xfc_type *t = &n->in[0]->type;
    xfc_int most[XFC_MAX_RANK];
    for (uint32_t d = 0; d + 1 < t->rank; d++) dim[d] = t->dim[d];
    dim[at] = size;
    if (!s->flags) return true;
    xfc_value *dims = xfc_b_dims(n->b, t->dim, t->rank - 1), *sizes = xfc_b_dims(n->b, &size, -1);
    for (uint32_t d = 0; d + 1 < t->rank; d++) most[d] = xfc_int_max(n->ctx, t->dim[d], size), dim[d] = XFC_INT_NONE;
    return xfc_n_define(n, xfc_n_sizes_if(n, s->ok, xfc_n_select(n, s->flags, sizes, dims)), dim, t->rank - 1, most);
}

void xfc_import_dft(xfc_node *n) {
    static const int64_t swap[] = {0, 2, 1, 3};
    const xfc_type t = n->in[0]->type;
    xfc_axis_split s = {0};
    xfc_int dim[XFC_MAX_RANK];
    uint32_t at = 0;
    dft d;
    if (!split_dft(n, &s, &at)) return;
    const xfc_int *from = s.x->type.dim, before = from[0], behind = from[2],
                  rows[3] = {xfc_int_mul(n->ctx, before, behind), from[1], from[3]};
    if (!read_dft(n, from[1], from[3], &d)) return;
    xfc_value *x = transpose(n, cast(n, s.x, wide(t.dtype)), swap), *y = apply(n, &d, reshape(n, x, rows, 3));
    if (!y) return;
    xfc_int m = y->type.dim[1], parts = y->type.dim[2];
    y = transpose(n, reshape(n, y, (xfc_int[]){before, behind, m, parts}, 4), swap);
    if (!result_dims(n, &s, at, m, dim)) return;
    dim[t.rank - 1] = parts;
    n->out[0] = cast(n, reshape(n, y, dim, t.rank), t.dtype);
}

/* The frames of signal [b, length, parts], each `size` elements and `step` behind the one before: [b, frames, size,
 * parts]. */
static xfc_value *frames_of(xfc_node *n, xfc_value *signal, xfc_int size, int64_t step) {
    static const int64_t axis[] = {1}, one[] = {1}, order[] = {0, 1, 3, 2};
    xfc_attr view[] = {xfc_attr_ints(XFC_K_AXES, axis, 1), xfc_attr_dims(XFC_K_SIZE, &size, 1),
                       xfc_attr_ints(XFC_K_STEP, &step, 1), xfc_attr_ints(XFC_K_DILATION, one, 1)};
    return transpose(n, xfc_build(n->b, XFC_OP_WINDOWS, &signal, 1, view, XFC_COUNT(view)), order);
}

/* The same where only the run knows the step, an i64[1]. */
static xfc_value *frames_at_run_time(xfc_node *n, xfc_value *signal, xfc_int size, xfc_value *step) {
    xfc_int length = signal->type.dim[1], room = xfc_int_sub(n->ctx, length, size), frames = XFC_INT_NONE;
    xfc_value *one = xfc_ni(n, 1), *ok = op(n, XFC_OP_GE, step, one);
    step = op(n, XFC_OP_MAX, step, one);
    xfc_value *count = op(n, XFC_OP_ADD, op(n, XFC_OP_DIV, xfc_b_dims(n->b, &room, -1), step), one);
    if (!xfc_n_define(n, xfc_n_sizes_if(n, ok, count), &frames, 1, &length)) return NULL;
    xfc_value *first = op(n, XFC_OP_MUL, count_along(n, frames, 0, 2), step);
    xfc_value *in[2] = {signal, op(n, XFC_OP_ADD, first, count_along(n, size, 1, 2))};
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    return in[1] ? xfc_build(n->b, XFC_OP_GATHER, in, 2, &axis, 1) : NULL;
}

void xfc_import_stft(xfc_node *n) {
    xfc_value *x = n->in[0], *window = xfc_node_in(n, 2);
    const xfc_type t = x->type;
    int64_t step = 0;
    uint32_t count;
    bool at_run_time = xfc_node_at_run_time(n, 1);
    const int64_t *given = at_run_time ? NULL : xfc_node_const_ints(n, 1, &count);
    if (at_run_time ? xfc_node_length(n, 1, &count) && count == 1 : given && count == 1) step = given ? given[0] : 1;
    bool fits = (t.rank == 2 || t.rank == 3) && xfc_dtype_is_float(t.dtype) && step >= 1 && step <= XFC_DIM_MAX &&
                (!window || (window->type.rank == 1 && window->type.dtype == t.dtype));
    dft d = {.onesided = xfc_node_flag(n, "onesided", true)};
    if (n->status == XFC_OK && !fits)
        xfc_node_fail(
            n, XFC_ERR_INPUT,
            "needs floats [batch, length, 1 or 2], a positive step, and a window of one dim and of that type; "
            "export the model again");
    xfc_int pairs = t.rank == 3 ? t.dim[2] : constant(n, 1);
    if (n->status != XFC_OK || !check_parts(n, &d, pairs)) return;
    d.length = xfc_node_has(n, 3) ? xfc_node_size(n, 3)
               : window           ? window->type.dim[0]
               : t.rank > 1       ? t.dim[1]
                                  : constant(n, 0);
    if (n->status != XFC_OK || !xfc_n_at_most(n, constant(n, 1), d.length, "1 and the length of a frame") ||
        !xfc_n_at_most(n, d.length, t.dim[1], "the length of a frame and of the signal") ||
        (window && !xfc_n_equal(n, window->type.dim[0], d.length, "window and frame")))
        return;
    x = reshape(n, cast(n, x, wide(t.dtype)), (xfc_int[]){t.dim[0], t.dim[1], pairs}, 3);
    if (x) x = at_run_time ? frames_at_run_time(n, x, d.length, xfc_node_list(n, 1)) : frames_of(n, x, d.length, step);
    if (x && window) x = op(n, XFC_OP_MUL, x, xfc_n_along(n, cast(n, window, wide(t.dtype)), 2, 4));
    if (!x) return;
    xfc_int frames = x->type.dim[1], rows = xfc_int_mul(n->ctx, t.dim[0], frames);
    xfc_value *y = apply(n, &d, reshape(n, x, (xfc_int[]){rows, d.length, pairs}, 3));
    if (y)
        n->out[0] = cast(n, reshape(n, y, (xfc_int[]){t.dim[0], frames, y->type.dim[1], y->type.dim[2]}, 4), t.dtype);
}

/* --- Rfft and Irfft of com.microsoft: one side, along the last dim of numbers --- */

static void one_sided(xfc_node *n, bool inverse) {
    const xfc_type t = n->in[0]->type;
    const uint32_t rank = t.rank - inverse, back = inverse ? 2 : 1; /* of the numbers; the dim behind holds pairs */
    xfc_int dim[XFC_MAX_RANK];
    dft d = {.inverse = inverse, .onesided = true};
    if (!xfc_node_flag(n, "onesided", true) || xfc_node_flag(n, "normalized", false) ||
        xfc_node_int(n, "signal_ndim", 1) != 1 || t.rank < back || rank >= XFC_MAX_RANK) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                          "only signal_ndim 1, onesided and not normalized is supported; use DFT of ONNX");
        return;
    }
    const xfc_int along = t.dim[rank - 1], rows = xfc_dims_product(n->ctx, t.dim, rank - 1);
    if (inverse && !check_parts(n, &d, t.dim[rank])) return;
    d.length = inverse ? xfc_int_mulc(n->ctx, xfc_int_addc(n->ctx, along, -1), 2) : along;
    if (!xfc_n_at_most(n, constant(n, 1), d.length, "1 and the length of the transform")) return;
    xfc_value *x = reshape(n, cast(n, n->in[0], wide(t.dtype)), (xfc_int[]){rows, along, constant(n, back)}, 3);
    xfc_value *y = apply(n, &d, x);
    if (!y) return;
    for (uint32_t i = 0; i + 1 < rank; i++) dim[i] = t.dim[i];
    dim[rank - 1] = y->type.dim[1], dim[rank] = constant(n, 2);
    n->out[0] = cast(n, reshape(n, y, dim, inverse ? rank : rank + 1), t.dtype);
}

void xfc_import_rfft(xfc_node *n) { one_sided(n, false); }
void xfc_import_irfft(xfc_node *n) { one_sided(n, true); }

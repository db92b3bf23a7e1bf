/* tables.c - tensors that follow from a few numbers: windows of signal processing, and the mel weights. */
#include "frontend/onnx/import.h"
#include <math.h>
#include <string.h>

static bool read_type(xfc_node *n, xfc_dtype *out) {
    int64_t type = xfc_node_int(n, "output_datatype", 1);
    if (n->status != XFC_OK) return false;
    if (xfc_dtype_from_onnx(type, out)) return true;
    return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "element type %lld is not supported", (long long)type), false;
}

/* a - b cos(2 pi i / n) + c cos(4 pi i / n), n one less than the size where the window is not to be repeated. */
static void cosines(xfc_node *n, double a, double b, double c) {
    const double two_pi = 6.283185307179586;
    xfc_dtype t;
    xfc_int size = xfc_node_size(n, 0),
            period = xfc_int_addc(n->ctx, size, xfc_node_flag(n, "periodic", true) ? 0 : -1);
    if (n->status != XFC_OK || !read_type(n, &t)) return;
    if (!xfc_n_at_most(n, xfc_int_const(n->ctx, 0), size, "0 and the size of the window")) return;
    xfc_value *i = xfc_n_iota(n, size, xfc_int_const(n->ctx, 0), 1, XFC_I64), *of = xfc_b_dims(n->b, &period, -1);
    if (!i || !of) return;
    xfc_value *turn = xfc_n2(n, XFC_OP_DIV, xfc_b_cast(n->b, i, XFC_F64), xfc_b_cast(n->b, of, XFC_F64)), *sum = NULL;
    const double factor[3] = {a, -b, c};
    for (uint32_t k = 0; k < 3; k++) {
        xfc_value *angle = xfc_n2(n, XFC_OP_MUL, turn, xfc_nf(n, turn, two_pi * k));
        xfc_value *term = xfc_n2(n, XFC_OP_MUL, xfc_n1(n, XFC_OP_COS, angle), xfc_nf(n, turn, factor[k]));
        if (factor[k] != 0) sum = sum ? xfc_n2(n, XFC_OP_ADD, sum, term) : term;
    }
    n->out[0] = sum ? xfc_b_cast(n->b, sum, t) : NULL;
}

void xfc_import_hann_window(xfc_node *n) { cosines(n, 0.5, 0.5, 0); }
void xfc_import_hamming_window(xfc_node *n) { cosines(n, 25.0 / 46, 21.0 / 46, 0); }
void xfc_import_blackman_window(xfc_node *n) { cosines(n, 0.42, 0.5, 0.08); }

/* --- mel weights --- */

typedef struct {
    int64_t bins, length, rate;
    double low, high; /* Hz */
} mel;

static bool read_mel(xfc_node *n, mel *m) {
    double number[5];
    for (uint32_t i = 0; i < 5; i++) {
        const xfc_tensor *t = xfc_node_known(n, n->in[i]);
        xfc_assert(t && t->count == 1);
        number[i] = xfc_dtype_is_float(t->dtype) ? xfc_tensor_get_f(t, 0) : (double)xfc_tensor_get_i(t, 0);
    }
    bool ok = number[0] >= 1 && number[0] < 1 << 16 && number[1] >= 1 && number[1] < 1 << 24 && number[2] >= 1 &&
              number[2] <= 1e9 && number[3] >= 0 && number[4] >= number[3] && number[4] <= 1e9;
    if (!ok)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "needs numbers of bins, of samples and of samples a second, and frequencies in order; "
                             "correct the model"),
               false;
    *m = (mel){(int64_t)number[0], (int64_t)number[1], (int64_t)number[2], number[3], number[4]};
    return true;
}

/* The spectrum's bin in which the edge of mel bin i lies; edges are equally far apart in mel. */
static int64_t edge_of(const mel *m, int64_t i) {
    double low = 2595 * log10(1 + m->low / 700), high = 2595 * log10(1 + m->high / 700);
    double hertz = 700 * (pow(10, (low + (double)i * (high - low) / (double)(m->bins + 2)) / 2595) - 1);
    return (int64_t)floor((double)(m->length + 1) * hertz / (double)m->rate);
}

/* A triangle a column: it rises from one edge to the next and falls to the one behind. */
static bool fill_mel(const mel *m, double *out) {
    int64_t rows = m->length / 2 + 1;
    for (int64_t i = 0; i < m->bins; i++) {
        int64_t left = edge_of(m, i), top = edge_of(m, i + 1), right = edge_of(m, i + 2);
        if (top >= rows || right > rows) return false;
        if (left == top) out[top * m->bins + i] = 1;
        for (int64_t j = left; j <= top && left < top; j++)
            out[j * m->bins + i] = (double)(j - left) / (double)(top - left);
        for (int64_t j = top; j < right; j++) out[j * m->bins + i] = (double)(right - j) / (double)(right - top);
    }
    return true;
}

/* --- mel weights of numbers that only the run knows: the same in tensor arithmetic --- */

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }

/* Operand i, a scalar in f64. */
static xfc_value *number_of(xfc_node *n, uint32_t i) {
    xfc_value *v = xfc_b_reshape(n->b, n->in[i], NULL, 0);
    return v ? xfc_b_cast(n->b, v, XFC_F64) : NULL;
}

static xfc_value *to_mel(xfc_node *n, xfc_value *hertz) {
    xfc_value *v = xfc_n1(n, XFC_OP_LOG, with(n, XFC_OP_ADD, with(n, XFC_OP_DIV, hertz, 700), 1));
    return with(n, XFC_OP_MUL, v, 2595 / log(10));
}

/* The spectrum's bins in which edges lie, i64[bins + 2]. */
static xfc_value *edges(xfc_node *n, xfc_int bins) {
    xfc_int count = xfc_int_addc(n->ctx, bins, 2);
    xfc_value *i = xfc_n_iota(n, count, xfc_int_const(n->ctx, 0), 1, XFC_I64), *all = xfc_b_dims(n->b, &count, -1);
    if (!i || !all) return NULL;
    xfc_value *low = to_mel(n, number_of(n, 3)), *high = to_mel(n, number_of(n, 4));
    xfc_value *way = op(n, XFC_OP_MUL, xfc_b_cast(n->b, i, XFC_F64), op(n, XFC_OP_SUB, high, low));
    xfc_value *at = op(n, XFC_OP_ADD, low, op(n, XFC_OP_DIV, way, xfc_b_cast(n->b, all, XFC_F64)));
    at = with(n, XFC_OP_SUB, xfc_n1(n, XFC_OP_EXP, with(n, XFC_OP_MUL, at, log(10) / 2595)), 1);
    at = op(n, XFC_OP_MUL, with(n, XFC_OP_ADD, number_of(n, 1), 1), with(n, XFC_OP_MUL, at, 700));
    at = xfc_n1(n, XFC_OP_FLOOR, op(n, XFC_OP_DIV, at, number_of(n, 2)));
    return at ? xfc_b_cast(n->b, at, XFC_I64) : NULL;
}

static xfc_value *all_of(xfc_node *n, xfc_value *const *test, uint32_t count) {
    xfc_value *v = test[0];
    for (uint32_t i = 1; i < count; i++) v = op(n, XFC_OP_AND, v, test[i]);
    return v;
}

/* [rows, bins]: from `edge`, which rises. */
static xfc_value *triangles(xfc_node *n, xfc_value *edge, xfc_int rows, xfc_int bins) {
    xfc_value *part[3], *one = xfc_ni(n, 1);
    xfc_value *j = xfc_n_along(n, xfc_n_iota(n, rows, xfc_int_const(n->ctx, 0), 1, XFC_I64), 0, 2);
    for (uint32_t i = 0; i < 3; i++)
        part[i] = edge ? xfc_b_slice_axis(n->b, edge, 0, xfc_int_const(n->ctx, i), bins, 1) : NULL;
    xfc_value *slope[2];
    for (uint32_t i = 0; i < 2; i++) {
        xfc_value *way = i ? op(n, XFC_OP_SUB, part[2], j) : op(n, XFC_OP_SUB, j, part[0]);
        xfc_value *whole = op(n, XFC_OP_MAX, op(n, XFC_OP_SUB, part[i + 1], part[i]), one);
        if (!way || !whole) return NULL;
        slope[i] = op(n, XFC_OP_DIV, xfc_b_cast(n->b, way, XFC_F64), xfc_b_cast(n->b, whole, XFC_F64));
    }
    xfc_value *top = op(n, XFC_OP_EQ, j, part[1]), *zero = xfc_nf(n, slope[0], 0);
    xfc_value *falls = all_of(n, (xfc_value *[]){op(n, XFC_OP_GE, j, part[1]), op(n, XFC_OP_LT, j, part[2])}, 2);
    xfc_value *rises = all_of(n, (xfc_value *[]){op(n, XFC_OP_GE, j, part[0]), op(n, XFC_OP_LE, j, part[1])}, 2);
    xfc_value *v = xfc_n_select(n, top, xfc_nf(n, slope[0], 1), xfc_n_select(n, rises, slope[0], zero));
    return xfc_n_select(n, falls, slope[1], v);
}

static xfc_value *mel_at_run_time(xfc_node *n) {
    static const int64_t first = 0;
    for (uint32_t i = 0; i < 5; i++)
        if (!xfc_n_equal(n, xfc_type_count(n->ctx, &n->in[i]->type), xfc_int_const(n->ctx, 1),
                         "an operand and one number"))
            return NULL;
    xfc_int bins = xfc_node_size(n, 0), rows = XFC_INT_NONE, most = xfc_int_const(n->ctx, 1 << 24);
    if (n->status != XFC_OK || !xfc_n_at_most(n, xfc_int_const(n->ctx, 1), bins, "1 and the bins")) return NULL;
    xfc_value *edge = edges(n, bins), *length = xfc_node_list(n, 1);
    xfc_value *count = op(n, XFC_OP_ADD, op(n, XFC_OP_DIV, length, xfc_ni(n, 2)), xfc_ni(n, 1));
    xfc_value *last = edge ? xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, edge, &first, 1, true) : NULL;
    xfc_value *test[] = {op(n, XFC_OP_LE, last, count), with(n, XFC_OP_GE, number_of(n, 3), 0),
                         op(n, XFC_OP_GE, number_of(n, 4), number_of(n, 3)), with(n, XFC_OP_GE, number_of(n, 2), 1)};
    xfc_value *ok = all_of(n, test, XFC_COUNT(test));
    return xfc_n_define(n, xfc_n_sizes_if(n, ok, count), &rows, 1, &most) ? triangles(n, edge, rows, bins) : NULL;
}

void xfc_import_mel_weights(xfc_node *n) {
    mel m;
    xfc_dtype t;
    bool known = true;
    for (uint32_t i = 0; i < 5; i++) {
        const xfc_tensor *number = xfc_node_known(n, n->in[i]);
        known = known && number && number->count == 1;
    }
    if (!read_type(n, &t)) return;
    if (!known) {
        xfc_value *v = mel_at_run_time(n);
        n->out[0] = v ? xfc_b_cast(n->b, v, t) : NULL;
        return;
    }
    if (!read_mel(n, &m)) return;
    const int64_t dim[2] = {m.length / 2 + 1, m.bins};
    if (dim[0] * dim[1] > 1 << 26) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "makes %lld x %lld weights, more than %d", (long long)dim[0], (long long)dim[1],
                      1 << 26);
        return;
    }
    double *data = xfc_tensor_alloc(n->ctx, XFC_F64, 2, dim);
    memset(data, 0, (size_t)(dim[0] * dim[1]) * sizeof *data);
    if (!fill_mel(&m, data)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "reaches frequencies beyond half of the samples a second; correct the model");
        return;
    }
    xfc_value *v = xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_F64, 2, dim, data, NULL));
    n->out[0] = v ? xfc_b_cast(n->b, v, t) : NULL;
}

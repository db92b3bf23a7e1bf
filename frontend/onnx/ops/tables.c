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
    xfc_int size = xfc_node_dim(n, 0), period = xfc_int_addc(n->ctx, size, xfc_node_flag(n, "periodic", true) ? 0 : -1);
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
        if (!t || t->count != 1)
            return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                                 "operand '%s' must be one constant number; export with it fixed",
                                 xfc_node_in_name(n, i)),
                   false;
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

void xfc_import_mel_weights(xfc_node *n) {
    mel m;
    xfc_dtype t;
    if (!read_mel(n, &m) || !read_type(n, &t)) return;
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

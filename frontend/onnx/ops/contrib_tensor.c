/* contrib_tensor.c - operators of com.microsoft that are no layers of a network: older forms of ONNX's own, windows, distances
 * and hashes.
 *
 * An older form is ONNX's operator with operands as that takes them, at the opset whose meaning it has.
 */
#include "frontend/onnx/import.h"
#include <math.h>
#include <string.h>

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

/* --- older forms --- */

/* pads may be [1, 2 * rank] */
void xfc_import_ms_pad(xfc_node *n) {
    const xfc_int all = xfc_type_count(n->ctx, &n->in[1]->type);
    if (n->in[1]->type.rank == 2 && xfc_int_known(all)) xfc_node_set_in(n, 1, xfc_b_reshape(n->b, n->in[1], &all, 1));
    xfc_node_hand_on(n, 13, xfc_import_pad);
}

void xfc_import_expand_dims(xfc_node *n) { xfc_node_hand_on(n, 13, xfc_import_unsqueeze); }

void xfc_import_ms_range(xfc_node *n) {
    if (!xfc_node_has(n, 2)) xfc_node_set_in(n, 2, xfc_nf(n, n->in[0], 1));
    xfc_node_hand_on(n, 11, xfc_import_range);
}

/* Softmax below opset 13, of a sum. Both ways in which the bias broadcasts are numpy's. */
void xfc_import_bias_softmax(xfc_node *n) {
    xfc_node_set_in(n, 0, op(n, XFC_OP_ADD, n->in[0], xfc_n_fitting(n, n->in[1], n->in[0], "the bias")));
    xfc_node_hand_on(n, 1, xfc_import_softmax);
}

/* A table, then indices; the other operands are for training. */
void xfc_import_torch_embedding(xfc_node *n) { n->out[0] = xfc_n_gather(n, n->in[0], n->in[1], 0); }

/* --- integers --- */

void xfc_import_matmul_integer_16(xfc_node *n) {
    const bool whole = n->in[0]->type.dtype == XFC_U16 && n->in[1]->type.dtype == XFC_U16;
    for (uint32_t i = 0; i < 2; i++) xfc_node_set_in(n, i, xfc_b_cast(n->b, n->in[i], whole ? XFC_U32 : XFC_I32));
    xfc_node_hand_on(n, 1, xfc_import_matmul);
}

/* x - its zero point, in i32 */
static xfc_value *centred(xfc_node *n, uint32_t i) {
    xfc_value *x = xfc_b_cast(n->b, n->in[i], XFC_I32), *zero = xfc_node_in(n, i + 1);
    if (!zero) return x;
    return op(n, XFC_OP_SUB, x, xfc_n_fitting(n, xfc_b_cast(n->b, zero, XFC_I32), n->in[i], "the zero point"));
}

/* Operands and their zero points in turn. */
void xfc_import_mul_integer(xfc_node *n) {
    if (xfc_node_has(n, 2))
        n->out[0] = op(n, XFC_OP_MUL, centred(n, 0), centred(n, 2));
    else
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a second factor as operand 2; export the model again");
}

void xfc_import_reduce_sum_integer(xfc_node *n) {
    xfc_node_set_in(n, 0, xfc_b_cast(n->b, n->in[0], n->in[0]->type.dtype == XFC_U8 ? XFC_U32 : XFC_I32));
    xfc_node_hand_on(n, 1, xfc_import_reduce);
}

/* --- windows and distances --- */

/* Windows of `size` along dim, `step` apart, whose elements are a new last dim. */
void xfc_import_unfold_tensor(xfc_node *n) {
    const xfc_type t = n->in[0]->type;
    const int64_t size = xfc_node_int(n, "size", 0), step = xfc_node_int(n, "step", 1);
    const uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "dim", -1), t.rank);
    int64_t perm[XFC_MAX_RANK];
    if (n->status != XFC_OK) return;
    if (size < 1 || step < 1 || size > XFC_DIM_MAX || step > XFC_DIM_MAX || t.rank == XFC_MAX_RANK) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs a size and a step of at least 1, and a tensor of at most %d dims; export again",
                      XFC_MAX_RANK - 1);
        return;
    }
    const xfc_int width = constant(n, size);
    if (!xfc_n_at_most(n, width, t.dim[axis], "the size of a window and of its dim")) return;
    xfc_int count = xfc_int_floordiv(n->ctx, xfc_int_sub(n->ctx, t.dim[axis], width), constant(n, step));
    count = xfc_dim_known(n->im->graph, xfc_int_addc(n->ctx, count, 1));
    xfc_value *start = xfc_n_along(n, xfc_n_iota(n, count, constant(n, 0), step, XFC_I64), 0, 2),
              *more = xfc_n_along(n, xfc_n_iota(n, width, constant(n, 0), 1, XFC_I64), 1, 2);
    xfc_value *v = xfc_n_gather(n, n->in[0], op(n, XFC_OP_ADD, start, more), axis);
    for (uint32_t d = 0; d <= t.rank; d++) perm[d] = d <= axis ? d : d < t.rank ? d + 1 : axis + 1;
    n->out[0] = v ? xfc_b_transpose(n->b, v, perm) : NULL;
}

xfc_value *xfc_n_square_distances(xfc_node *n, xfc_value *a, xfc_value *b) {
    static const int64_t last[1] = {2};
    const xfc_int *da = a->type.dim, *db = b->type.dim, one = constant(n, 1);
    xfc_value *far = op(n, XFC_OP_SUB, xfc_b_reshape(n->b, a, (xfc_int[]){da[0], one, da[1]}, 3),
                        xfc_b_reshape(n->b, b, (xfc_int[]){one, db[0], db[1]}, 3));
    far = op(n, XFC_OP_MUL, far, far);
    return far ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, far, last, 1, false) : NULL;
}

/* a [m, k] and b [n, k]: sums of the squares of differences [m, n], or their roots. */
void xfc_import_cdist(xfc_node *n) {
    const char *metric = xfc_node_str(n, "metric", "sqeuclidean");
    const bool root = !strcmp(metric, "euclidean");
    const xfc_int *a = n->in[0]->type.dim, *b = n->in[1]->type.dim;
    if (n->status != XFC_OK) return;
    if (!root && strcmp(metric, "sqeuclidean") != 0) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                      "metric '%.80s' is not supported; use sqeuclidean or euclidean, or operators that say what it is",
                      metric);
        return;
    }
    if (n->in[0]->type.rank != 2 || n->in[1]->type.rank != 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs two matrices; export the model again");
        return;
    }
    if (!xfc_n_equal(n, a[1], b[1], "the columns of both operands")) return;
    xfc_value *square = xfc_n_square_distances(n, n->in[0], n->in[1]);
    n->out[0] = root ? xfc_n1(n, XFC_OP_SQRT, square) : square;
}

/* --- complex numbers as pairs in the last dim --- */

static void complex_product(xfc_node *n, bool conjugate) {
    xfc_value *part[2][2], *y[2];
    for (uint32_t i = 0; i < 2; i++) {
        const xfc_type *t = &n->in[i]->type;
        if (!t->rank ||
            !xfc_n_equal(n, t->dim[t->rank - 1], constant(n, 2), "the last dim and 2, the parts of a number")) {
            if (n->status == XFC_OK)
                xfc_node_fail(n, XFC_ERR_INPUT, "needs pairs in the last dim; export the model again");
            return;
        }
        for (int64_t k = 0; k < 2; k++)
            part[i][k] = xfc_b_slice_axis(n->b, n->in[i], t->rank - 1, constant(n, k), constant(n, 1), 1);
    }
    const xfc_opcode minus = conjugate ? XFC_OP_ADD : XFC_OP_SUB, plus = conjugate ? XFC_OP_SUB : XFC_OP_ADD;
    y[0] = op(n, minus, op(n, XFC_OP_MUL, part[0][0], part[1][0]), op(n, XFC_OP_MUL, part[0][1], part[1][1]));
    y[1] = op(n, plus, op(n, XFC_OP_MUL, part[0][1], part[1][0]), op(n, XFC_OP_MUL, part[0][0], part[1][1]));
    if (!y[0] || !y[1]) return;
    xfc_attr last = xfc_attr_int(XFC_K_AXIS, y[0]->type.rank - 1);
    n->out[0] = xfc_build(n->b, XFC_OP_CONCAT, y, 2, &last, 1);
}

void xfc_import_complex_mul(xfc_node *n) { complex_product(n, false); }
void xfc_import_complex_mul_conj(xfc_node *n) { complex_product(n, true); } /* a times the conjugate of b */

/* --- tests and hashes --- */

/* Is no element of any operand NaN or infinite; or one of both alone? */
void xfc_import_is_all_finite(xfc_node *n) {
    const bool nan_only = xfc_node_flag(n, "isnan_only", false), inf_only = xfc_node_flag(n, "isinf_only", false);
    xfc_value *found = NULL;
    if (nan_only && inf_only) xfc_node_fail(n, XFC_ERR_INPUT, "has isnan_only and isinf_only; one of them is allowed");
    for (uint32_t i = 0; i < n->n_in && n->status == XFC_OK; i++) {
        xfc_value *x = n->in[i], *bad = inf_only ? NULL : xfc_n1(n, XFC_OP_ISNAN, x);
        int64_t axes[XFC_MAX_RANK];
        if (!x) continue;
        xfc_value *inf = nan_only ? NULL : xfc_n1(n, XFC_OP_ISINF, x);
        bad = !bad ? inf : !inf ? bad : op(n, XFC_OP_OR, bad, inf);
        for (uint32_t d = 0; d < x->type.rank; d++) axes[d] = d;
        bad = xfc_b_cast(n->b, bad, XFC_I32);
        if (bad && x->type.rank) bad = xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, bad, axes, x->type.rank, false);
        if (!bad) return;
        found = found ? op(n, XFC_OP_MAX, found, bad) : bad;
    }
    n->out[0] = found ? op(n, XFC_OP_LE, found, xfc_nf(n, found, 0)) : NULL;
}

static xfc_value *u32(xfc_node *n, uint32_t v) { return xfc_b_scalar_i(n->b, XFC_U32, v); }
static xfc_value *rotated(xfc_node *n, xfc_value *v, uint32_t by) {
    return op(n, XFC_OP_OR, op(n, XFC_OP_SHL, v, u32(n, by)), op(n, XFC_OP_SHR, v, u32(n, 32 - by)));
}
static xfc_value *folded(xfc_node *n, xfc_value *v, uint32_t by) {
    return op(n, XFC_OP_XOR, v, op(n, XFC_OP_SHR, v, u32(n, by)));
}
static xfc_value *times(xfc_node *n, xfc_value *v, uint32_t by) { return op(n, XFC_OP_MUL, v, u32(n, by)); }

/* MurmurHash3_x86_32 of the 4 or 8 bytes of each element. */
void xfc_import_murmur_hash(xfc_node *n) {
    xfc_value *x = n->in[0];
    const uint32_t bytes = xfc_dtype_bytes(x->type.dtype);
    const bool positive = xfc_node_flag(n, "positive", true);
    if (n->in_texts[0] || (bytes != 4 && bytes != 8)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "hashes of strings are not supported; hash in the host program");
        return;
    }
    xfc_attr to = xfc_attr_int(XFC_K_TO, bytes == 4 ? XFC_U32 : XFC_U64);
    if (x->type.dtype != (bytes == 4 ? XFC_U32 : XFC_U64)) x = xfc_build(n->b, XFC_OP_BITCAST, &x, 1, &to, 1);
    xfc_value *hash = u32(n, (uint32_t)xfc_node_int(n, "seed", 0));
    for (uint32_t i = 0; i < bytes / 4 && x; i++) {
        xfc_value *word = i ? op(n, XFC_OP_SHR, x, xfc_b_scalar_i(n->b, XFC_U64, 32)) : x;
        if (bytes == 8) word = op(n, XFC_OP_AND, word, xfc_b_scalar_i(n->b, XFC_U64, UINT32_MAX));
        word = times(n, rotated(n, times(n, xfc_b_cast(n->b, word, XFC_U32), 0xcc9e2d51U), 15), 0x1b873593U);
        hash = rotated(n, op(n, XFC_OP_XOR, hash, word), 13);
        hash = op(n, XFC_OP_ADD, times(n, hash, 5), u32(n, 0xe6546b64U));
    }
    hash = times(n, folded(n, op(n, XFC_OP_XOR, hash, u32(n, bytes)), 16), 0x85ebca6bU);
    hash = folded(n, times(n, folded(n, hash, 13), 0xc2b2ae35U), 16);
    to = xfc_attr_int(XFC_K_TO, XFC_I32);
    n->out[0] = positive || !hash ? hash : xfc_build(n->b, XFC_OP_BITCAST, &hash, 1, &to, 1);
}

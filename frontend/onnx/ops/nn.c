/* nn.c - products, softmax and the normalisations. */
#include "frontend/onnx/import.h"

/* numpy's rules for rank 1: a row on the left, a column on the right, removed again from the result. */
xfc_value *xfc_n_product(xfc_node *n, xfc_value *a, xfc_value *b,
                         xfc_value *(*product)(xfc_node *, xfc_value *a, xfc_value *b, void *user), void *user) {
    uint32_t rank_a = a->type.rank, rank_b = b->type.rank;
    xfc_int one = xfc_int_const(n->ctx, 1);
    if (!rank_a || !rank_b) {
        xfc_node_fail(n, XFC_ERR_INPUT, "an operand of rank 0 cannot be multiplied; export the model again");
        return NULL;
    }
    if (rank_a == 1) a = xfc_b_reshape(n->b, a, (xfc_int[]){one, a->type.dim[0]}, 2);
    if (rank_b == 1) b = xfc_b_reshape(n->b, b, (xfc_int[]){b->type.dim[0], one}, 2);
    xfc_value *v = product(n, a, b, user);
    if (!v) return NULL;
    xfc_int dim[XFC_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < v->type.rank; i++) {
        bool drop = (rank_a == 1 && i + 2 == v->type.rank) || (rank_b == 1 && i + 1 == v->type.rank);
        if (!drop) dim[rank++] = v->type.dim[i];
    }
    return xfc_b_reshape(n->b, v, dim, rank);
}

static xfc_value *matmul(xfc_node *n, xfc_value *a, xfc_value *b, void *unused) {
    (void)unused;
    return xfc_b_matmul(n->b, a, b);
}

void xfc_import_matmul(xfc_node *n) { n->out[0] = xfc_n_product(n, n->in[0], n->in[1], matmul, NULL); }

static xfc_value *scaled(xfc_node *n, xfc_value *v, double factor) {
    return v && factor != 1 ? xfc_n2(n, XFC_OP_MUL, v, xfc_nf(n, v, factor)) : v;
}

void xfc_import_gemm(xfc_node *n) {
    static const int64_t swap[] = {1, 0};
    if (n->in[0]->type.rank != 2 || n->in[1]->type.rank != 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "multiplies tensors of rank %u and %u; both must be matrices",
                      n->in[0]->type.rank, n->in[1]->type.rank);
        return;
    }
    xfc_value *a = xfc_node_flag(n, "transA", false) ? xfc_b_transpose(n->b, n->in[0], swap) : n->in[0];
    xfc_value *b = xfc_node_flag(n, "transB", false) ? xfc_b_transpose(n->b, n->in[1], swap) : n->in[1];
    xfc_value *v = scaled(n, xfc_b_matmul(n->b, a, b), xfc_node_float(n, "alpha", 1));
    if (xfc_node_has(n, 2)) {
        xfc_value *c = xfc_n_fitting(n, n->in[2], v, "C");
        v = xfc_n2(n, XFC_OP_ADD, v, scaled(n, c, xfc_node_float(n, "beta", 1)));
    }
    n->out[0] = v;
}

/* Below opset 13 the tensor is a matrix [dims before axis, dims from axis], normalised by rows. Returns that view,
 * or x itself, and the axis to work on. */
static xfc_value *softmax_view(xfc_node *n, uint32_t *axis) {
    const xfc_type *t = &n->in[0]->type;
    *axis = xfc_node_axis(n, xfc_node_int(n, "axis", n->opset < 13 ? 1 : -1), t->rank);
    if (n->status != XFC_OK) return NULL;
    if (n->opset >= 13 || *axis + 1 == t->rank) return n->in[0];
    xfc_int dim[2] = {xfc_dims_product(n->ctx, t->dim, *axis),
                      xfc_dims_product(n->ctx, t->dim + *axis, t->rank - *axis)};
    *axis = 1;
    return xfc_b_reshape(n->b, n->in[0], dim, 2);
}

void xfc_import_softmax(xfc_node *n) {
    uint32_t axis;
    xfc_type t = n->in[0]->type;
    xfc_value *x = softmax_view(n, &axis);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    if (x) n->out[0] = xfc_b_reshape(n->b, xfc_build(n->b, XFC_OP_SOFTMAX, &x, 1, &attr, 1), t.dim, t.rank);
}

void xfc_import_log_softmax(xfc_node *n) {
    uint32_t axis;
    xfc_type t = n->in[0]->type;
    xfc_value *x = softmax_view(n, &axis);
    int64_t axes[1] = {axis};
    if (!x) return;
    xfc_value *shifted = xfc_n2(n, XFC_OP_SUB, x, xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, x, axes, 1, true));
    xfc_value *sum = xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, xfc_n1(n, XFC_OP_EXP, shifted), axes, 1, true);
    n->out[0] = xfc_b_reshape(n->b, xfc_n2(n, XFC_OP_SUB, shifted, xfc_n1(n, XFC_OP_LOG, sum)), t.dim, t.rank);
}

static xfc_value *mean_over(xfc_node *n, xfc_value *x, const int64_t *axes, uint32_t n_axes) {
    return xfc_b_reduce(n->b, XFC_OP_REDUCE_MEAN, x, axes, n_axes, true);
}

/* x / sqrt(mean + eps): the second factor, with kept dims. */
static xfc_value *inverse_root(xfc_node *n, xfc_value *mean, double eps) {
    xfc_value *root = xfc_n1(n, XFC_OP_SQRT, xfc_n2(n, XFC_OP_ADD, mean, xfc_nf(n, mean, eps)));
    return xfc_n2(n, XFC_OP_DIV, xfc_nf(n, mean, 1), root);
}

/* The type the statistics are computed in: f32 for 16-bit floats unless stash_type says otherwise. */
static xfc_value *stashed(xfc_node *n, xfc_value *x) {
    bool narrow = x->type.dtype == XFC_F16 || x->type.dtype == XFC_BF16;
    return narrow && xfc_node_int(n, "stash_type", 1) == 1 ? xfc_b_cast(n->b, x, XFC_F32) : x;
}

typedef struct {
    int64_t axes[XFC_MAX_RANK];
    uint32_t n, first;
    double eps;
} norm;

static bool read_norm(xfc_node *n, norm *out) {
    uint32_t rank = n->in[0]->type.rank;
    *out = (norm){.eps = xfc_node_float(n, "epsilon", (double)1e-5f),
                  .first = xfc_node_axis(n, xfc_node_int(n, "axis", -1), rank)};
    for (uint32_t i = out->first; i < rank; i++) out->axes[out->n++] = i;
    return n->status == XFC_OK;
}

/* The composite where the type needs no detour; else normalise in f32, round, then scale and shift in the type, as
 * ONNX says. */
static xfc_value *norm_value(xfc_node *n, xfc_opcode code, const norm *m) {
    xfc_value *x = n->in[0], *wide = stashed(n, x), *scale = n->in[1], *bias = xfc_node_in(n, 2);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, m->first), xfc_attr_float(XFC_K_EPS, m->eps)};
    if (wide == x && scale->type.dtype == x->type.dtype)
        return xfc_build_opt(n->b, code, (xfc_value *[]){x, scale, bias}, bias ? 3 : 2, attr, 2);
    xfc_value *v = xfc_build_opt(n->b, code, &wide, 1, attr, 2);
    if (v) v = xfc_b_cast(n->b, v, scale->type.dtype);
    v = xfc_n2(n, XFC_OP_MUL, v, xfc_n_fitting(n, scale, v, "the scale"));
    return bias ? xfc_n2(n, XFC_OP_ADD, v, xfc_n_fitting(n, bias, v, "the bias")) : v;
}

void xfc_import_layer_norm(xfc_node *n) {
    norm m;
    if (!read_norm(n, &m)) return;
    n->out[0] = norm_value(n, XFC_OP_LAYERNORM, &m);
    if (!xfc_node_wants(n, 1) && !xfc_node_wants(n, 2)) return;
    xfc_value *x = stashed(n, n->in[0]), *mean = mean_over(n, x, m.axes, m.n), *d = xfc_n2(n, XFC_OP_SUB, x, mean);
    if (xfc_node_wants(n, 1)) n->out[1] = mean;
    if (xfc_node_wants(n, 2))
        n->out[2] = inverse_root(n, mean_over(n, xfc_n2(n, XFC_OP_MUL, d, d), m.axes, m.n), m.eps);
}

void xfc_import_rms_norm(xfc_node *n) {
    norm m;
    if (!read_norm(n, &m)) return;
    n->out[0] = norm_value(n, XFC_OP_RMSNORM, &m);
    if (!xfc_node_wants(n, 1)) return;
    xfc_value *x = stashed(n, n->in[0]);
    n->out[1] = inverse_root(n, mean_over(n, xfc_n2(n, XFC_OP_MUL, x, x), m.axes, m.n), m.eps);
}

void xfc_import_square(xfc_node *n) {
    xfc_dtype t = n->in[0]->type.dtype, wide = t == XFC_F64 ? t : XFC_F32;
    xfc_value *x = xfc_dtype_is_float(t) ? xfc_b_cast(n->b, n->in[0], wide) : NULL;
    if (!x) xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must be floating; cast it", xfc_node_in_name(n, 0));
    xfc_value *y = x ? xfc_build(n->b, n->row->code, &x, 1, NULL, 0) : NULL;
    n->out[0] = y ? xfc_b_cast(n->b, y, t) : NULL;
}

/* The mean and variance of each channel in place of p[2] and p[3]; outputs 1 and 2 are the running ones, 3 and 4 these. */
static void train(xfc_node *n, xfc_value *p[4]) {
    xfc_value *x = n->in[0];
    uint32_t rank = x->type.rank, count = 0;
    int64_t axes[XFC_MAX_RANK];
    double momentum = xfc_node_float(n, "momentum", (double)0.9f);
    for (uint32_t d = 0; d < rank; d++)
        if (d != 1) axes[count++] = d;
    xfc_value *mean = mean_over(n, x, axes, count), *away = xfc_n2(n, XFC_OP_SUB, x, mean);
    xfc_value *square = xfc_n2(n, XFC_OP_MUL, away, away),
              *now[2] = {mean, square ? mean_over(n, square, axes, count) : NULL};
    for (uint32_t i = 0; i < 2; i++) {
        xfc_value *kept = scaled(n, p[2 + i], momentum), *added = scaled(n, now[i], 1 - momentum);
        xfc_value *running = xfc_n2(n, XFC_OP_ADD, kept, added);
        if (xfc_node_wants(n, 1 + i) && running) n->out[1 + i] = xfc_b_reshape(n->b, running, &x->type.dim[1], 1);
        if (xfc_node_wants(n, 3 + i)) n->out[3 + i] = xfc_b_reshape(n->b, now[i], &x->type.dim[1], 1);
        p[2 + i] = now[i];
    }
}

/* (x - mean) / sqrt(var + eps) * scale + bias, all per channel (axis 1). Opsets 7 to 13 tell training by outputs that only
 * it has: torch standardises weights so (BiT). onnxruntime computes inference there. */
void xfc_import_batch_norm(xfc_node *n) {
    bool old = n->opset < 7, more = false, trains;
    for (uint32_t i = 1; i < 5; i++) more = more || xfc_node_wants(n, i);
    if (n->opset < 14)
        trains = old ? !xfc_node_flag(n, "is_test", false) : more;
    else
        trains = xfc_node_flag(n, "training_mode", false);
    if ((trains && old) || !xfc_node_flag(n, "spatial", true) || (!trains && more)) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "training mode is not supported; export the model for inference");
        return;
    }
    xfc_value *x = n->in[0], *p[4];
    uint32_t rank = x->type.rank;
    if (rank < 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a tensor of rank 2 or more; export the model again");
        return;
    }
    for (uint32_t i = 0; i < 4; i++) /* scale, bias, mean, variance */
        p[i] = xfc_n_per_channel(n, n->in[i + 1], x->type.dim[1], rank, "the channels of the image and a parameter");
    if (n->status != XFC_OK) return;
    if (trains) train(n, p);
    xfc_value *factor =
        xfc_n2(n, XFC_OP_MUL, p[0], p[3] ? inverse_root(n, p[3], xfc_node_float(n, "epsilon", (double)1e-5f)) : NULL);
    n->out[0] = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, xfc_n2(n, XFC_OP_SUB, x, p[2]), factor), p[1]);
}

/* v * scale + bias, operands 1 and 2: one number for each of `size` channels. */
static xfc_value *scaled_channels(xfc_node *n, xfc_value *v, xfc_int size, uint32_t rank) {
    xfc_value *scale = xfc_n_per_channel(n, n->in[1], size, rank, "the channels and the scale"),
              *bias = xfc_n_per_channel(n, n->in[2], size, rank, "the channels and the bias");
    return xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, v, scale), bias);
}

/* (x - mean) / sqrt(var + eps) over the axes from 2 on. */
static xfc_value *whitened(xfc_node *n, xfc_value *x, double eps) {
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, 2), xfc_attr_float(XFC_K_EPS, eps)};
    return xfc_build_opt(n->b, XFC_OP_LAYERNORM, &x, 1, attr, XFC_COUNT(attr));
}

void xfc_import_instance_norm(xfc_node *n) {
    xfc_value *x = n->in[0];
    if (x->type.rank < 3) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a tensor of rank 3 or more; export the model again");
        return;
    }
    xfc_value *v = whitened(n, x, xfc_node_float(n, "epsilon", (double)1e-5f));
    n->out[0] = scaled_channels(n, v, x->type.dim[1], x->type.rank);
}

/* [batch, groups, channels of a group * space] is normalised by rows. Scale and bias are per channel from opset 21,
 * per group before. */
void xfc_import_group_norm(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    xfc_value *x = n->in[0];
    xfc_type t = x->type;
    int64_t groups = xfc_node_int(n, "num_groups", 0);
    if (t.rank < 3 || groups <= 0) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT, "needs a tensor of rank 3 or more and num_groups; export the model again");
        return;
    }
    xfc_int g = xfc_int_const(c, groups), row[3] = {t.dim[0], g, xfc_dims_divide(c, t.dim + 1, t.rank - 1, &g, 1)};
    xfc_value *wide = stashed(n, x),
              *v = whitened(n, xfc_b_reshape(n->b, wide, row, 3), xfc_node_float(n, "epsilon", (double)1e-5f));
    if (!v) return;
    v = xfc_b_cast(n->b, v, t.dtype);
    bool per_group = n->opset < 21;
    if (!per_group) v = xfc_b_reshape(n->b, v, t.dim, t.rank);
    v = scaled_channels(n, v, per_group ? g : t.dim[1], per_group ? 3 : t.rank);
    n->out[0] = v ? xfc_b_reshape(n->b, v, t.dim, t.rank) : NULL;
}

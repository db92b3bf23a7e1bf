/* make_composite.c - makers of contractions and composites, plain and on packed operands. */
#include "ir/contract.h"
#include "tests/diff/make.h"

/* A number of columns: few enough for the budget of multiplications. */
static xfc_int columns(maker *m, const xfc_value *x) { return maker_dim(m, x->type.rank, x->type.dim, MACS); }

/* The type of a right operand: an f32 is multiplied with narrower ones, too. */
static xfc_dtype right_of(maker *m, xfc_dtype t) {
    if (t != XFC_F32 || !maker_chance(m, 30)) return t;
    return maker_chance(m, 50) ? XFC_F16 : XFC_BF16;
}

xfc_value *make_matmul(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *a = maker_pick(m, t, 2, 4);
    if (!a) return NULL;
    uint32_t r = a->type.rank, drop = maker_chance(m, 40) ? r - 2 : 0, n = 0;
    for (uint32_t d = drop; d + 2 < r; d++)
        dim[n++] = maker_chance(m, 60) ? a->type.dim[d] : maker_partner(m, a->type.dim[d]);
    dim[n++] = maker_twin(m, a->type.dim[r - 1]);
    dim[n++] = columns(m, a);
    xfc_value *in[2] = {a, maker_pick_exact(m, right_of(m, t), n, dim)};
    return maker_build(m, code, in, 2, NULL, 0);
}

static xfc_value *pack(maker *m, xfc_value *x, int64_t group) {
    const xfc_attr attr[2] = {xfc_attr_int(XFC_K_PANEL, 48), xfc_attr_int(XFC_K_GROUP, group)};
    return maker_build(m, XFC_OP_PACK, &x, 1, attr, 2);
}

xfc_value *make_matmul_packed(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *a = maker_pick(m, t, 2, 4);
    if (!a) return NULL;
    uint32_t r = a->type.rank, drop = maker_chance(m, 50) ? r - 2 : 0, n = 0;
    for (uint32_t d = drop; d + 2 < r; d++) dim[n++] = a->type.dim[d];
    dim[n++] = a->type.dim[r - 1];
    dim[n++] = columns(m, a);
    const xfc_int size = dim[n - 1];
    int64_t depth, group = 1; /* pairs of bf16 stand together, if they are whole */
    if (t == XFC_BF16 && maker_chance(m, 60) && xfc_int_value(m->ctx, dim[n - 2], &depth) && depth % 2 == 0) group = 2;
    xfc_value *in[2] = {a, pack(m, maker_pick_exact(m, right_of(m, t), n, dim), group)};
    const xfc_attr attr[3] = {xfc_attr_dims(XFC_K_SIZE, &size, 1), xfc_attr_int(XFC_K_GROUP, group),
                              xfc_attr_dtype(XFC_K_TO, maker_chance(m, 50) ? XFC_F32 : t)};
    return maker_build(m, code, in, 2, attr, group == 1 ? 1 : 3);
}

xfc_value *make_linear(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[3] = {maker_pick(m, t, 2, 4)};
    if (!in[0]) return NULL;
    xfc_int dim[2] = {in[0]->type.dim[in[0]->type.rank - 1], columns(m, in[0])};
    in[1] = maker_pick_exact(m, right_of(m, t), 2, dim);
    in[2] = maker_pick_exact(m, t, 1, &dim[1]);
    return maker_build(m, code, in, maker_chance(m, 70) ? 3 : 2, NULL, 0);
}

xfc_value *make_along(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[3] = {maker_pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank, axis = maker_chance(m, 60) ? r - 1 : maker_below(m, r), n = 1;
    bool norm = code != XFC_OP_SOFTMAX;
    if (norm) n = 1 + maker_below(m, 3);
    for (uint32_t i = 1; i < n; i++) in[i] = maker_pick_exact(m, t, r - axis, in[0]->type.dim + axis);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_float(XFC_K_EPS, 1e-3)};
    return maker_build(m, code, in, n, attr, norm ? 2 : 1);
}

xfc_value *make_crmsnorm(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = maker_pick(m, t, 1, 4);
    if (!x) return NULL;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, x->type.rank - 1), xfc_attr_float(XFC_K_EPS, 1e-3)};
    return maker_build(m, code, &x, 1, attr, 2);
}

xfc_value *make_gelu(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = maker_pick(m, t, 0, 4);
    xfc_attr attr = xfc_attr_int(XFC_K_APPROXIMATE, maker_chance(m, 50));
    return maker_build(m, code, &x, 1, &attr, 1);
}

static xfc_value *heads(maker *m, xfc_dtype t, const xfc_int *dim) {
    static const int64_t perm[] = {0, 2, 1, 3};
    if (maker_chance(m, 50)) return maker_pick_exact(m, t, 4, dim);
    xfc_int moved[4] = {dim[0], dim[2], dim[1], dim[3]};
    return xfc_b_transpose(&m->b, maker_pick_exact(m, t, 4, moved), perm);
}

xfc_value *maker_hidden(maker *m, xfc_value *bias) {
    if (!bias) return NULL;
    xfc_value *fill = xfc_b_scalar_f(&m->b, bias->type.dtype, -1e35),
              *bound = xfc_b_scalar_f(&m->b, bias->type.dtype, -0.5);
    return xfc_b_select(&m->b, xfc_b_binary(&m->b, XFC_OP_LT, bias, bound), fill, bias);
}

/* Of a bias with a dim of keys. */
static xfc_value *reach(maker *m, xfc_value *bias) {
    const xfc_int size[2] = {maker_constant(m, XFC_QUERIES), maker_constant(m, XFC_PANEL)};
    const xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, size, 2);
    return bias ? maker_build(m, XFC_OP_REACH, &bias, 1, &attr, 1) : NULL;
}

static xfc_value *sink(maker *m, xfc_dtype t, const xfc_int *q) {
    const xfc_int one = maker_constant(m, 1), dim[4] = {maker_chance(m, 30) ? q[0] : one, q[1], one, one};
    return maker_pick_exact(m, t, 4, dim);
}

xfc_value *make_attention(maker *m, xfc_opcode code, xfc_dtype t) {
    static const int64_t widths[] = {1, 2, 3, 7, 8, 16, 17, 32, 33, 64};
    xfc_int b = maker_dim(m, 0, NULL, 3), h = maker_constant(m, 1 + maker_below(m, 3)),
            d = maker_constant(m, widths[maker_below(m, 10)]),
            e = maker_chance(m, 60) ? d : maker_constant(m, widths[maker_below(m, 10)]);
    xfc_int q[4] = {b, h, XFC_INT_NONE, d}, k[4] = {b, h, XFC_INT_NONE, d}, v[4] = {b, h, XFC_INT_NONE, e}, bias[4];
    q[2] = maker_dim(m, 2, q, 150);
    k[2] = v[2] = maker_chance(m, 50) ? q[2] : maker_dim(m, 2, k, 300);
    bool packed = code == XFC_OP_ATTENTION_PACKED, some = packed && t == XFC_F32 && maker_chance(m, 50);
    xfc_value *in[8] = {heads(m, t, q)};
    if (some) /* half of the batches are packed */
        in[4] = heads(m, t, k), in[5] = heads(m, t, v),
        k[0] = v[0] = xfc_int_floordiv(m->b.graph->ctx, b, maker_constant(m, 2));
    in[1] = heads(m, t, k), in[2] = heads(m, t, v);
    if (packed && in[1]) in[1] = pack(m, xfc_b_transpose(&m->b, in[1], (const int64_t[]){0, 1, 3, 2}), 1);
    if (packed) in[2] = pack(m, in[2], 1);
    bias[0] = maker_chance(m, 50) ? b : maker_constant(m, 1), bias[1] = maker_chance(m, 50) ? h : maker_constant(m, 1);
    bias[2] = maker_chance(m, 50) ? q[2] : maker_constant(m, 1),
    bias[3] = maker_chance(m, 80) ? k[2] : maker_constant(m, 1);
    in[3] = maker_pick_exact(m, t, 4, bias);
    xfc_attr attr[4] = {xfc_attr_float(XFC_K_SCALE, 0.25),
                        xfc_attr_int(XFC_K_NAN_TO_ZERO, m->finite && maker_chance(m, 50))};
    uint32_t n_attr = 2;
    const xfc_int size[2] = {k[2], e};
    if (packed) attr[n_attr++] = xfc_attr_dims(XFC_K_SIZE, size, 2);
    if (maker_chance(m, 30)) attr[n_attr++] = xfc_attr_float(XFC_K_SOFTCAP, 2);
    uint32_t n_in = some ? 6 : maker_chance(m, 60) ? 4 : 3, last = packed ? 6 : 4;
    if (n_in == 3 || (some && maker_chance(m, 50))) in[3] = NULL;
    bool hides = n_in > 3 && in[3] && t == XFC_F32 && xfc_int_same(bias[3], k[2]) && maker_chance(m, 50);
    if (hides) in[3] = maker_hidden(m, in[3]), in[last] = reach(m, in[3]), n_in = last + 1;
    if (maker_chance(m, 30)) in[last + 1] = sink(m, t, q), n_in = last + 2;
    for (uint32_t i = 0; i < (some ? 6 : 3); i++)
        if (i != 3 && !in[i]) return NULL;
    return xfc_build_opt(&m->b, code, in, n_in, attr, n_attr);
}

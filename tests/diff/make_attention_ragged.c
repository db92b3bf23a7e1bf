/* make_attention_ragged.c - random ragged attention, with lists that fit: they are constants, so dims are numbers. */
#include "ir/contract.h"
#include "tests/diff/make.h"

typedef struct {
    int64_t n, rows, size, n_tasks; /* sequences, rows of all, rows of the longest possible, blocks of 64 */
    int32_t cu[8], pos[512], tasks[2 * 16];
} lists;

static lists make_lists(maker *m) {
    static const int64_t lengths[] = {0, 1, 2, 7, 16, 33, 64, 65};
    lists l = {.n = maker_below(m, 5)};
    int64_t longest = 0;
    for (int64_t i = 0; i < l.n; i++) {
        int64_t length = lengths[maker_below(m, 8)], at = 0;
        for (int64_t r = 0; r < length; r += 64) {
            l.tasks[2 * l.n_tasks] = (int32_t)i;
            l.tasks[2 * l.n_tasks++ + 1] = (int32_t)r;
        }
        for (int64_t r = 0; r < length; r++, at += 1 + maker_chance(m, 10)) l.pos[l.rows + r] = (int32_t)at;
        l.rows += length;
        l.cu[i + 1] = (int32_t)l.rows;
        longest = at > longest ? at : longest;
    }
    l.size = longest + maker_below(m, 60);
    return l;
}

static xfc_value *list(maker *m, uint32_t rank, const int64_t *dim, const int32_t *data) {
    return xfc_b_const(&m->b, xfc_tensor_copy(m->ctx, XFC_I32, rank, dim, data, NULL));
}

static xfc_value *packed_keys(maker *m, xfc_value *x, xfc_value *cu, xfc_int size) {
    const xfc_attr attr[] = {xfc_attr_int(XFC_K_PANEL, 48), xfc_attr_dims(XFC_K_SIZE, &size, 1)};
    return maker_build(m, XFC_OP_PACK_RAGGED, (xfc_value *[]){x, cu}, 2, attr, XFC_COUNT(attr));
}

static xfc_value *packed_values(maker *m, xfc_value *x) {
    const xfc_attr attr = xfc_attr_int(XFC_K_PANEL, 48);
    return maker_build(m, XFC_OP_PACK, &x, 1, &attr, 1);
}

xfc_value *make_pack_ragged(maker *m, xfc_opcode code, xfc_dtype t) {
    (void)code;
    lists l = make_lists(m);
    const xfc_int dim[3] = {maker_constant(m, 1 + maker_below(m, 3)), maker_constant(m, l.rows),
                            maker_constant(m, 1 + maker_below(m, 60))};
    xfc_value *x = maker_pick_exact(m, t, 3, dim), *cu = list(m, 1, (int64_t[]){l.n + 1}, l.cu);
    return packed_keys(m, x, cu, maker_constant(m, l.size));
}

/* The meaning of the op lets a NaN of v reach other sequences; kernels do not. */
static xfc_value *finite(maker *m, xfc_dtype t, const xfc_int *dim) {
    xfc_value *x = maker_new_input(m, t, 3, dim, DIFF_NEAR_ONE, XFC_INT_NONE);
    if (!x || !maker_chance(m, 50)) return x;
    xfc_value *y = maker_new_input(m, t, 3, dim, DIFF_NEAR_ONE, XFC_INT_NONE);
    return maker_build(m, XFC_OP_SUB, (xfc_value *[]){x, y}, 2, NULL, 0);
}

static xfc_value *reach(maker *m, xfc_value *bias, xfc_value *const *where, int64_t rows, int64_t keys) {
    const xfc_int size[2] = {maker_constant(m, rows), maker_constant(m, keys)};
    const xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, size, 2);
    xfc_value *in[4] = {bias, where[0], where[1], where[2]};
    return maker_build(m, XFC_OP_REACH_RAGGED, in, 4, &attr, 1);
}

xfc_value *make_reach_ragged(maker *m, xfc_opcode code, xfc_dtype t) {
    (void)code;
    if (t != XFC_F32) return NULL;
    lists l = make_lists(m);
    const xfc_int one = maker_constant(m, 1), size = maker_constant(m, l.size);
    const xfc_int dim[4] = {maker_chance(m, 50) ? one : maker_constant(m, l.n), one, maker_chance(m, 30) ? one : size,
                            size};
    xfc_value *in[3] = {list(m, 1, (int64_t[]){l.n + 1}, l.cu), list(m, 2, (int64_t[]){l.n_tasks, 2}, l.tasks),
                        list(m, 1, &l.rows, l.pos)};
    return reach(m, maker_hidden(m, maker_pick_exact(m, t, 4, dim)), in, 1 + maker_below(m, 70),
                 1 + maker_below(m, 50));
}

xfc_value *make_attention_ragged(maker *m, xfc_opcode code, xfc_dtype t) {
    static const int64_t widths[] = {1, 3, 8, 16, 17, 32, 50, 64};
    lists l = make_lists(m);
    bool is_packed = code == XFC_OP_ATTENTION_RAGGED_PACKED, has_bias = maker_chance(m, 60);
    xfc_int h = maker_constant(m, 1 + maker_below(m, 3)), rows = maker_constant(m, l.rows);
    xfc_int q[3] = {h, rows, maker_constant(m, widths[maker_below(m, 8)])}, v[3] = {h, rows, q[2]};
    if (maker_chance(m, 40)) v[2] = maker_constant(m, widths[maker_below(m, 8)]);
    xfc_int size[2] = {maker_constant(m, l.size), v[2]}, one = maker_constant(m, 1);
    xfc_int bias[4] = {maker_constant(m, l.n), h, size[0], size[0]};
    for (uint32_t d = 0; d < 4; d++)
        if (maker_chance(m, 50)) bias[d] = one;
    xfc_value *in[10] = {finite(m, t, q), finite(m, t, q), finite(m, t, v)};
    in[3] = list(m, 1, (int64_t[]){l.n + 1}, l.cu);
    in[4] = list(m, 2, (int64_t[]){l.n_tasks, 2}, l.tasks);
    in[5] = list(m, 1, &l.rows, l.pos);
    if (has_bias) in[6] = maker_pick_exact(m, t, 4, bias);
    uint32_t n = has_bias ? 7 : 6;
    for (uint32_t i = 7; i < 9; i++) {
        if (maker_chance(m, 60)) continue;
        xfc_int dim[4] = {one, maker_chance(m, 70) ? h : one, i == 7 ? rows : size[0], i == 7 ? size[0] : rows};
        if (maker_chance(m, 30)) dim[i == 7 ? 3 : 2] = one;
        in[i] = maker_pick_exact(m, t, 4, dim);
        n = i + 1;
    }
    bool hides = is_packed && n == 7 && in[6] && t == XFC_F32 && xfc_int_same(bias[1], one) &&
                 xfc_int_same(bias[3], size[0]) && maker_chance(m, 60);
    if (hides) in[6] = maker_hidden(m, in[6]), in[9] = reach(m, in[6], &in[3], XFC_QUERIES, XFC_PANEL), n = 10;
    if (is_packed) in[1] = packed_keys(m, in[1], in[3], size[0]);
    if (is_packed) in[2] = packed_values(m, in[2]);
    const xfc_attr attr[] = {xfc_attr_float(XFC_K_SCALE, 0.25), xfc_attr_int(XFC_K_NAN_TO_ZERO, maker_chance(m, 30)),
                             xfc_attr_dims(XFC_K_SIZE, size, is_packed ? 2 : 1)};
    for (uint32_t i = 0; i < 6; i++)
        if (!in[i]) return NULL;
    if (hides && !in[9]) return NULL;
    return xfc_build_opt(&m->b, code, in, n, attr, XFC_COUNT(attr));
}

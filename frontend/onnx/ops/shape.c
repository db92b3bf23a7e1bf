/* shape.c - operators that only rearrange: reshapes of all kinds, transposition, expansion, joining.
 *
 * Shape operands may hold symbolic dims. A symbolic entry of Reshape's shape is that dim, even where it might be 0 at
 * run time (ONNX would then copy the operand's dim): no exporter means that. One that only the run knows is taken at its
 * word: 0 and -1 then mean what they mean. Squeeze without axes drops the dims that
 * are 1 for every call; for others the graph requires that they never are, as the rank cannot depend on sizes.
 */
#include "frontend/onnx/axes.h"
#include "ir/ops/ops.h"

static xfc_int one(const xfc_node *n) { return xfc_int_const(n->ctx, 1); }

/* Replaces the entry `at` (-1) by what makes the element counts equal. */
static void infer_rest(xfc_node *n, const xfc_type *from, xfc_int *dim, uint32_t rank, uint32_t at) {
    xfc_int others[XFC_MAX_RANK];
    uint32_t k = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (i != at) others[k++] = dim[i];
    dim[at] = xfc_dims_divide(n->ctx, from->dim, from->rank, others, k);
    if (!xfc_int_is(n->ctx, xfc_dims_product(n->ctx, others, k), 0)) return;
    dim[at] =
        xfc_int_const(n->ctx, 0); /* nothing can be inferred from no elements; numpy refuses, onnxruntime says 0 */
}

/* What entries that only the run knows say then: 0 copies the operand's dim, one -1 is what is left. */
static xfc_value *run_time_shape(xfc_node *n, uint32_t rank, bool allow_zero) {
    const xfc_type *from = &n->in[0]->type;
    xfc_int had[XFC_MAX_RANK], all = xfc_type_count(n->ctx, from);
    const int64_t axis = 0;
    xfc_value *list = xfc_node_list(n, 1), *one = xfc_ni(n, 1);
    for (uint32_t i = 0; i < rank; i++) had[i] = i < from->rank ? from->dim[i] : xfc_int_const(n->ctx, -2);
    xfc_value *size =
        allow_zero ? list
                   : xfc_n_select(n, xfc_n2(n, XFC_OP_EQ, list, xfc_ni(n, 0)), xfc_b_dims(n->b, had, rank), list);
    xfc_value *open = xfc_n2(n, XFC_OP_EQ, list, xfc_ni(n, -1)), *others = xfc_n_select(n, open, one, size);
    others = others ? xfc_b_reduce(n->b, XFC_OP_REDUCE_PROD, others, &axis, 1, false) : NULL;
    xfc_value *left = xfc_n2(n, XFC_OP_DIV, xfc_b_dims(n->b, &all, -1), xfc_n2(n, XFC_OP_MAX, others, one));
    xfc_value *n_open = open ? xfc_b_cast(n->b, open, XFC_I64) : NULL;
    n_open = n_open ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, n_open, &axis, 1, false) : NULL;
    return xfc_n_sizes_if(n, xfc_n2(n, XFC_OP_LE, n_open, one), xfc_n_select(n, open, left, size));
}

void xfc_import_reshape(xfc_node *n) {
    const xfc_type *from = &n->in[0]->type;
    uint32_t rank;
    xfc_node_expect(n, 1, 1, 0);
    const xfc_int *given = xfc_node_entries(n, 1, &rank);
    if (!given) return;
    if (rank > XFC_MAX_RANK) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "reshapes to rank %u; the limit is %d", rank, XFC_MAX_RANK);
        return;
    }
    bool allow_zero = xfc_node_flag(n, "allowzero", false);
    xfc_int dim[XFC_MAX_RANK], entry[XFC_MAX_RANK] = {{0}};
    const xfc_int *before = xfc_all_known(given, rank) ? given : xfc_shape_read(n, 1, from, allow_zero);
    for (uint32_t i = 0; i < rank; i++) entry[i] = before ? before[i] : given[i];
    if (!before) {
        if (!xfc_n_define(n, run_time_shape(n, rank, allow_zero), entry, rank, NULL)) return;
        xfc_note_shape(n, 1, from, allow_zero, entry, rank);
    }
    uint32_t rest = rank;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t value = 1;
        bool fixed = xfc_int_value(n->ctx, entry[i], &value);
        dim[i] = entry[i];
        if (fixed && value == 0 && !allow_zero && i < from->rank) dim[i] = from->dim[i];
        if (fixed && (value < -1 || (value == -1 && rest < rank) || (value == 0 && !allow_zero && i >= from->rank))) {
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "entry %u of shape '%s' is %lld, which is not possible there; export the model again", i,
                          xfc_node_in_name(n, 1), (long long)value);
            return;
        }
        if (fixed && value == -1) rest = i;
    }
    if (rest < rank) infer_rest(n, from, dim, rank, rest);
    n->out[0] = xfc_b_reshape(n->b, n->in[0], dim, rank);
}

void xfc_import_flatten(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    int64_t axis = xfc_node_int(n, "axis", 1);
    uint32_t at = axis == (int64_t)t->rank ? t->rank : xfc_node_axis(n, axis, t->rank);
    xfc_int dim[2] = {xfc_dims_product(n->ctx, t->dim, at), xfc_dims_product(n->ctx, t->dim + at, t->rank - at)};
    if (n->status == XFC_OK) n->out[0] = xfc_b_reshape(n->b, n->in[0], dim, 2);
}

void xfc_import_squeeze(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    const int64_t *given;
    uint32_t n_given;
    if (n->opset >= 13 && xfc_node_at_run_time(n, 1)) {
        xfc_squeeze_at_run_time(n, 1);
        return;
    }
    bool has = xfc_node_axes_of(n, 13, 1, &given, &n_given), drop[XFC_MAX_RANK] = {false};
    for (uint32_t i = 0; has && i < n_given && n->status == XFC_OK; i++)
        drop[xfc_node_axis(n, given[i], t->rank)] = true;
    if (n->status != XFC_OK) return;
    xfc_int dim[XFC_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!has) drop[i] = xfc_int_is(n->ctx, t->dim[i], 1);
        if (!has && !drop[i]) xfc_graph_require(n->im->graph, t->dim[i], one(n), XFC_UNEQUAL, n->loc);
        if (!drop[i])
            dim[rank++] = t->dim[i];
        else if (xfc_int_eq(n->ctx, t->dim[i], one(n)) < 0)
            xfc_graph_require_equal(n->im->graph, t->dim[i], one(n), n->loc);
        else if (!xfc_int_is(n->ctx, t->dim[i], 1)) {
            xfc_node_fail(n, XFC_ERR_INPUT, "squeezes axis %u, which is not of size 1; export the model again", i);
            return;
        }
    }
    n->out[0] = xfc_b_reshape(n->b, n->in[0], dim, rank);
}

void xfc_import_unsqueeze(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    const int64_t *given;
    uint32_t n_given;
    if (n->opset >= 13 && xfc_node_at_run_time(n, 1)) {
        xfc_unsqueeze_at_run_time(n, 1);
        return;
    }
    if (!xfc_node_axes_of(n, 13, 1, &given, &n_given)) {
        if (n->status == XFC_OK) xfc_node_fail(n, XFC_ERR_INPUT, "has no axes; export the model again");
        return;
    }
    if (!given || t->rank + n_given > XFC_MAX_RANK) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_LIMIT, "makes rank %u; the limit is %d", t->rank + n_given, XFC_MAX_RANK);
        return;
    }
    uint32_t rank = t->rank + n_given, next = 0;
    int64_t axes[XFC_MAX_RANK];
    uint32_t n_axes = xfc_node_axes(n, given, n_given, rank, axes);
    if (n->status != XFC_OK) return;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t i = 0, k = 0; i < rank; i++) {
        bool added = k < n_axes && axes[k] == i;
        k += added;
        dim[i] = added ? one(n) : t->dim[next++];
    }
    n->out[0] = xfc_b_reshape(n->b, n->in[0], dim, rank);
}

void xfc_import_transpose(xfc_node *n) {
    uint32_t rank = n->in[0]->type.rank, n_perm;
    const int64_t *given;
    int64_t perm[XFC_MAX_RANK];
    bool has = xfc_node_ints(n, "perm", &given, &n_perm), seen[XFC_MAX_RANK] = {false};
    bool ok = !has || n_perm == rank;
    for (uint32_t i = 0; i < rank && ok; i++) {
        perm[i] = has ? given[i] : (int64_t)rank - 1 - i;
        if (perm[i] < 0) perm[i] += rank; /* PyTorch writes permute(0, -1, 1) as it is */
        ok = perm[i] >= 0 && perm[i] < (int64_t)rank && !seen[perm[i]];
        if (ok) seen[perm[i]] = true;
    }
    if (!ok) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT, "'perm' is not a permutation of the %u axes; export the model again", rank);
        return;
    }
    bool same = true;
    for (uint32_t i = 0; i < rank; i++) same = same && perm[i] == i;
    n->out[0] = same ? n->in[0] : xfc_b_transpose(n->b, n->in[0], perm);
}

/* Operand 1, whose length is not known but is at most `rank`, with so many entries: 1 in front of those that it has. */
static void fill_up(xfc_node *n, uint32_t rank) {
    xfc_value *list = xfc_node_list(n, 1), *first = xfc_ni(n, 1);
    xfc_int length = list ? list->type.dim[0] : one(n), fixed = one(n);
    if (!list || !rank || xfc_int_value(n->ctx, length, &(int64_t){0})) return;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    if (!xfc_n_at_most(n, length, xfc_int_const(n->ctx, rank), "the entries of the shape and the declared rank"))
        return;
    xfc_value *in[2] = {xfc_b_reshape(n->b, first, &fixed, 1), list};
    in[0] = in[0] ? xfc_build(n->b, XFC_OP_CONCAT, in, 2, &axis, 1) : NULL;
    in[1] = xfc_n_iota(n, xfc_int_const(n->ctx, rank), xfc_int_addc(n->ctx, length, 1 - (int64_t)rank), 1, XFC_I64);
    in[1] = xfc_n2(n, XFC_OP_MAX, in[1], xfc_ni(n, 0));
    list = in[0] && in[1] ? xfc_build(n->b, XFC_OP_GATHER, in, 2, &axis, 1) : NULL;
    if (list) n->in[1] = list;
}

void xfc_import_expand(xfc_node *n) {
    const xfc_type *t = &n->in[0]->type;
    uint32_t n_entry;
    if (xfc_node_declared_rank(n) == (int64_t)t->rank)
        fill_up(n, t->rank);
    else
        xfc_node_expect(n, 1, 1, 0);
    const xfc_int *entry = n->status == XFC_OK ? xfc_node_sizes(n, 1, &n_entry) : NULL;
    if (!entry) return;
    uint32_t rank = n_entry > t->rank ? n_entry : t->rank;
    if (rank > XFC_MAX_RANK) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "expands to rank %u; the limit is %d", rank, XFC_MAX_RANK);
        return;
    }
    xfc_int dim[XFC_MAX_RANK];
    bool same = rank == t->rank;
    for (uint32_t i = 0; i < rank; i++) {
        xfc_int have = i + t->rank >= rank ? t->dim[i + t->rank - rank] : one(n);
        xfc_int want = i + n_entry >= rank ? entry[i + n_entry - rank] : one(n);
        if (xfc_int_is(n->ctx, want, -1)) want = have; /* torch's "keep", which some exporters let through */
        dim[i] = xfc_broadcast_size(n->ctx, have, want);
        bool negative = xfc_int_lt(n->ctx, want, xfc_int_const(n->ctx, 0)) == 1;
        if (negative || !xfc_graph_require(n->im->graph, have, want, XFC_BROADCAST, n->loc)) {
            xfc_node_fail(n, XFC_ERR_INPUT, "has dim %s, which cannot be expanded to %s; export the model again",
                          xfc_dim_text(n->ctx, have), xfc_dim_text(n->ctx, want));
            return;
        }
        same = same && xfc_int_same(dim[i], have);
    }
    n->out[0] = same ? n->in[0] : xfc_b_expand(n->b, n->in[0], dim, rank);
}

/* Repeats along one axis: [before, d, after] as [before, 1, d * after], expanded in the middle. */
static xfc_value *tile_axis(xfc_node *n, xfc_value *v, uint32_t axis, xfc_int times) {
    if (!v) return NULL;
    xfc_ctx *c = n->ctx;
    xfc_type t = v->type;
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t i = 0; i < t.rank; i++) dim[i] = t.dim[i];
    dim[axis] = xfc_int_mul(c, dim[axis], times);
    if (xfc_int_is(c, t.dim[axis], 1)) return xfc_b_expand(n->b, v, dim, t.rank);
    xfc_int split[3] = {xfc_dims_product(c, t.dim, axis), xfc_int_const(c, 1),
                        xfc_dims_product(c, t.dim + axis, t.rank - axis)};
    xfc_int grown[3] = {split[0], times, split[2]};
    return xfc_b_reshape(n->b, xfc_b_expand(n->b, xfc_b_reshape(n->b, v, split, 3), grown, 3), dim, t.rank);
}

void xfc_import_tile(xfc_node *n) {
    xfc_value *v = n->in[0];
    uint32_t rank = v->type.rank, n_times;
    xfc_node_expect(n, 1, 0, rank);
    const xfc_int *times = xfc_node_sizes(n, 1, &n_times);
    if (!times) return;
    if (n_times != rank) {
        xfc_node_fail(n, XFC_ERR_INPUT, "has %u repeats for a tensor of rank %u; export the model again", n_times,
                      rank);
        return;
    }
    for (uint32_t i = 0; i < rank; i++)
        if (!xfc_int_is(n->ctx, times[i], 1)) v = tile_axis(n, v, i, times[i]);
    n->out[0] = v;
}

void xfc_import_concat(xfc_node *n) {
    uint32_t rank = n->in[0]->type.rank;
    if (!xfc_node_attr(n, "axis") && n->opset >= 4) {
        xfc_node_fail(n, XFC_ERR_INPUT, "has no attribute 'axis'; export the model again");
        return;
    }
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, xfc_node_axis(n, xfc_node_int(n, "axis", 1), rank));
    if (n->status == XFC_OK)
        n->out[0] = n->n_in == 1 ? n->in[0] : xfc_build(n->b, XFC_OP_CONCAT, n->in, n->n_in, &attr, 1);
}

/* Both depth operators are reshape, transpose, reshape over [batch, channels, height, width]. */
static void rearrange(xfc_node *n, const xfc_int split[6], const int64_t perm[6], const xfc_int last[4]) {
    n->out[0] = xfc_b_reshape(n->b, xfc_b_transpose(n->b, xfc_b_reshape(n->b, n->in[0], split, 6), perm), last, 4);
}

static bool read_block(xfc_node *n, int64_t *block) {
    *block = xfc_node_int(n, "blocksize", 0);
    bool ok = *block > 0 && *block < 1 << 15 && n->in[0]->type.rank == 4;
    if (!ok && n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT, "needs a tensor of rank 4 and a positive blocksize; export the model again");
    return ok;
}

void xfc_import_depth_to_space(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    int64_t block;
    if (!read_block(n, &block)) return;
    const xfc_int *d = n->in[0]->type.dim, b = xfc_int_const(c, block),
                  depth = xfc_dims_divide(c, d + 1, 1, (xfc_int[]){b, b}, 2);
    const xfc_int last[4] = {d[0], depth, xfc_int_mulc(c, d[2], block), xfc_int_mulc(c, d[3], block)};
    if (xfc_node_str(n, "mode", "DCR")[0] == 'C')
        rearrange(n, (xfc_int[]){d[0], depth, b, b, d[2], d[3]}, (int64_t[]){0, 1, 4, 2, 5, 3}, last);
    else
        rearrange(n, (xfc_int[]){d[0], b, b, depth, d[2], d[3]}, (int64_t[]){0, 3, 4, 1, 5, 2}, last);
}

void xfc_import_space_to_depth(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    int64_t block;
    if (!read_block(n, &block)) return;
    const xfc_int *d = n->in[0]->type.dim, b = xfc_int_const(c, block);
    xfc_int h = xfc_dims_divide(c, d + 2, 1, &b, 1), w = xfc_dims_divide(c, d + 3, 1, &b, 1);
    rearrange(n, (xfc_int[]){d[0], d[1], h, b, w, b}, (int64_t[]){0, 3, 5, 1, 2, 4},
              (xfc_int[]){d[0], xfc_int_mul(c, d[1], xfc_int_mul(c, b, b)), h, w});
}

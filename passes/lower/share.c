/* share.c - a table that is also a weight is stored once.
 *
 * Models that write text read the same matrix twice: by row where a token enters (gather), and as the right operand of
 * the product that scores the next one. The product needs panels, so the gather reads them too, through the views that
 * undo the packing: fuse inlines those into its indices, and nothing is unpacked when the model runs. By then the two
 * are rarely one constant: exporters and the folder leave the weight transposed. So what counts is content.
 *
 *   %r = gather %table, %ids                   |  %t = transpose %p {perm = [0, 2, 1]}
 *   %p = pack %weight {panel = 48}             |  %u = reshape %t {shape = [50304, 768]}
 *   %y = matmul_packed %x, %p                  |  %v = slice %u {start = [0, 0], size = [50257, 768]}
 *                                              |  %r = gather %v, %ids
 *
 * A row then lies in pieces, one a cache line, for which a product with the whole matrix pays many times over. Only
 * tables of which single rows are read take part, and only large ones. When: between layout and the fold that packs.
 */
#include "passes/lower/share.h"

#include "ir/build.h"

#include <string.h>

enum { SHARE_BYTES = 1 << 20, SAMPLES = 16, BLOCK = 32, PART = 8 /* of a table that a slice may read */ };

typedef struct weight {
    xfc_op *op; /* the product, or the pack */
    const xfc_tensor *tensor;
    struct weight *next; /* with the same key */
} weight;

/* Of a type whose weights are packed as they are. */
static bool is_large_matrix(const xfc_value *v, const xfc_tensor **t) {
    return xfc_value_is_const(v, t) && ((*t)->dtype == XFC_F32 || (*t)->dtype == XFC_F16) && (*t)->rank == 2 &&
           (*t)->bytes >= SHARE_BYTES;
}

static uint32_t bits(const xfc_tensor *t, int64_t row, int64_t column) {
    uint32_t u = 0;
    const size_t bytes = xfc_dtype_bytes(t->dtype);
    memcpy(&u, (const char *)t->data + (size_t)(row * t->dim[1] + column) * bytes, bytes);
    return u;
}

/* The same for a matrix and its transposition: sizes in order and some elements of the diagonal. */
static uint64_t key_of(const xfc_tensor *t) {
    int64_t least = t->dim[0] < t->dim[1] ? t->dim[0] : t->dim[1];
    uint64_t word[SAMPLES + 2] = {(uint64_t)least, (uint64_t)t->count};
    for (int64_t i = 0; i < SAMPLES; i++) word[i + 2] = bits(t, i * least / SAMPLES, i * least / SAMPLES);
    return xfc_hash(word, sizeof word, 0);
}

static bool equals_transposed(const xfc_tensor *a, const xfc_tensor *b) {
    int64_t m = a->dim[0], n = a->dim[1];
    if (m != b->dim[1] || n != b->dim[0] || a->dtype != b->dtype) return false;
    for (int64_t i0 = 0; i0 < m; i0 += BLOCK)
        for (int64_t j0 = 0; j0 < n; j0 += BLOCK)
            for (int64_t i = i0; i < m && i < i0 + BLOCK; i++)
                for (int64_t j = j0; j < n && j < j0 + BLOCK; j++)
                    if (bits(a, i, j) != bits(b, j, i)) return false;
    return true;
}

/* Does the op read a few rows of v? Ones that its own views lead to included. */
static bool reads_rows(xfc_ctx *ctx, const xfc_op *op, const xfc_value *v) {
    int64_t read, all;
    if (op->code == XFC_OP_GATHER) return op->in[0].value == v && op->in[1].value != v;
    if (op->code == XFC_OP_SLICE)
        return xfc_type_static(ctx, &op->out[0].type, NULL, &read) && xfc_type_static(ctx, &v->type, NULL, &all) &&
               read <= all / PART;
    if (!xfc_op_has(op, XFC_BIJECT)) return false;
    xfc_foreach_use(u, &op->out[0])
        if (!reads_rows(ctx, u->user, &op->out[0])) return false;
    return true;
}

static bool reads_weight(const xfc_use *u) {
    const xfc_op *op = u->user;
    bool product = op->code == XFC_OP_MATMUL || op->code == XFC_OP_LINEAR;
    return op->code == XFC_OP_PACK || (product && u == &op->in[1]);
}

/* A constant of which rows are read and that nobody reads whole but as a weight. */
static bool is_table(xfc_ctx *ctx, const xfc_value *v) {
    bool any = false;
    xfc_foreach_use(u, v) {
        if (reads_weight(u)) continue;
        if (!reads_rows(ctx, u->user, v)) return false;
        any = true;
    }
    return any;
}

static xfc_map find_weights(const xfc_graph *g, xfc_arena *arena) {
    xfc_map weights = {.arena = arena};
    const xfc_tensor *t;
    xfc_foreach_op(op, g) {
        uint32_t i = op->code == XFC_OP_PACK ? 0 : 1;
        if (op->n_in <= i || !op->in[i].value || !reads_weight(&op->in[i]) || !is_large_matrix(op->in[i].value, &t))
            continue;
        weight *w = xfc_new(arena, weight);
        uint64_t key = key_of(t);
        *w = (weight){op, t, (weight *)(uintptr_t)xfc_map_get(&weights, key)};
        xfc_map_set(&weights, key, (uint64_t)(uintptr_t)w);
    }
    return weights;
}

/* If the op makes a table that is a weight, too: that weight, else NULL. *turned: the table is its transposition. */
static const weight *weight_of(const xfc_op *op, const xfc_map *weights, const xfc_tensor **t, bool *turned) {
    const xfc_value *v = &op->out[0];
    if (weights->n == 0 || op->n_out != 1 || !is_large_matrix(v, t) || !is_table(op->graph->ctx, v)) return NULL;
    const weight *w = (const weight *)(uintptr_t)xfc_map_get(weights, key_of(*t));
    *turned = false;
    while (w && !xfc_tensor_equal(w->tensor, *t) && !(*turned = equals_transposed(w->tensor, *t))) w = w->next;
    xfc_storage_rest((*t)->storage);
    return w;
}

xfc_map xfc_shared_tables(const xfc_graph *g, xfc_arena *arena) {
    xfc_map weights = find_weights(g, arena), shared = {.arena = arena};
    const xfc_tensor *t;
    bool turned;
    xfc_foreach_op(op, g) {
        const weight *w = weight_of(op, &weights, &t, &turned);
        if (!w) continue;
        xfc_map_set(&shared, t->id, 1);
        xfc_map_set(&shared, w->tensor->id, 1);
    }
    return shared;
}

/* The table as a view of the panels [n / panel, k, panel] of a weight [k, n], which may be its transposition. */
static xfc_value *view_of(xfc_builder *b, xfc_value *panels, const xfc_type *table, bool turned) {
    static const int64_t rows_first[3] = {0, 2, 1}, depth_first[3] = {1, 0, 2}, step[2] = {1, 1};
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_int *dim = panels->type.dim, zero = xfc_int_const(ctx, 0), start[2] = {zero, zero};
    xfc_int columns = xfc_int_mul(ctx, dim[0], dim[2]),
            whole[2] = {turned ? columns : dim[1], turned ? dim[1] : columns};
    xfc_value *v = xfc_b_transpose(b, panels, turned ? rows_first : depth_first);
    v = xfc_b_reshape(b, v, whole, 2);
    return xfc_type_same(&v->type, table) ? v : xfc_b_slice(b, v, start, table->dim, step);
}

/* The weight and its pack move to the front: every reader of the table stands behind them. */
static void read_panels(xfc_graph *g, xfc_value *table, xfc_op *pack, bool turned) {
    xfc_op *constant = pack->in[0].value->def;
    xfc_op_move_before(constant, g->first);
    xfc_op_move_before(pack, constant->next);
    xfc_builder b = {.graph = g, .before = pack->next, .loc = pack->loc};
    xfc_value *v = view_of(&b, &pack->out[0], &table->type, turned);
    for (xfc_use *u = table->uses, *next; u; u = next) {
        next = u->next;
        if (!reads_weight(u)) xfc_op_set_in(u->user, (uint32_t)(u - u->user->in), v);
    }
}

bool xfc_share(xfc_pass *p) {
    const xfc_map weights = find_weights(p->graph, p->scratch);
    bool changed = false, turned;
    xfc_foreach_op_safe(op, p->graph) {
        const xfc_tensor *t;
        const weight *w = weight_of(op, &weights, &t, &turned);
        if (!w || w->op->code != XFC_OP_PACK) continue;
        read_panels(p->graph, &op->out[0], w->op, turned);
        changed = true;
    }
    return changed;
}

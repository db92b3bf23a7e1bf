/* ngrams.c - what com.microsoft makes of tokens that stand side by side: the hashes by which an engram looks up its tables, and what
 * forbids to say the same again. */
#include "frontend/onnx/import.h"
#include <math.h>

enum { MOST_TOKENS = 64 }; /* of one n-gram */

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_int constant(const xfc_node *n, int64_t v) { return xfc_int_const(n->ctx, v); }

/* --- hashes --- */

enum { IDS, FACTORS, SIZES, PAST, OFFSETS, EOS, SEGMENTS }; /* operands */

typedef struct {
    xfc_node *n;
    int64_t most, heads; /* tokens of the longest n-gram; hashes of each length */
    xfc_int batch, rows;
    xfc_value *fill, *all; /* what stands where no token is; [batch, most - 1 + rows], the past in front */
    xfc_value *begins;     /* bool, as long: does a segment begin here? NULL: nowhere */
    bool reset;
} ngrams;

static bool read_ngrams(ngrams *g) {
    xfc_node *n = g->n;
    const xfc_type *t = &n->in[IDS]->type;
    g->most = xfc_node_int(n, "max_ngram_size", 0), g->heads = xfc_node_int(n, "n_head_per_ngram", 0);
    if (n->status == XFC_OK && (g->most < 2 || g->most > MOST_TOKENS || g->heads < 1 ||
                                g->heads > XFC_DIM_MAX / MOST_TOKENS || t->rank != 2 || !xfc_dtype_is_int(t->dtype)))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs ids [batch, rows], max_ngram_size from 2 to %d, and n_head_per_ngram; export again",
                      MOST_TOKENS);
    for (uint32_t i = FACTORS; i <= OFFSETS && n->status == XFC_OK; i++)
        if (xfc_node_has(n, i) && (n->in[i]->type.dtype != t->dtype || n->in[i]->type.rank != (i == PAST ? 2 : 1)))
            xfc_node_fail(n, XFC_ERR_INPUT, "operand %u must be of the type of ids, and a list; export the model again",
                          i);
    if (n->status != XFC_OK) return false;
    g->batch = t->dim[0], g->rows = t->dim[1];
    const xfc_int hashes = constant(n, (g->most - 1) * g->heads);
    return xfc_n_equal(n, n->in[SIZES]->type.dim[0], hashes, "the sizes of vocabularies and the hashes") &&
           (!xfc_node_has(n, OFFSETS) || xfc_n_equal(n, n->in[OFFSETS]->type.dim[0], hashes, "offsets and hashes")) &&
           xfc_n_at_most(n, constant(n, g->most), n->in[FACTORS]->type.dim[0], "max_ngram_size and the multipliers");
}

/* The past, or what stands for it, in front of the ids. */
static bool join_past(ngrams *g) {
    xfc_node *n = g->n;
    const xfc_dtype type = n->in[IDS]->type.dtype;
    const xfc_int dim[2] = {g->batch, constant(n, g->most - 1)};
    xfc_value *past = xfc_node_in(n, PAST);
    g->fill = xfc_node_has(n, EOS) ? xfc_b_reshape(n->b, xfc_b_cast(n->b, n->in[EOS], type), NULL, 0)
                                   : xfc_b_scalar_i(n->b, type, xfc_node_int(n, "pad_id", 0));
    g->reset = xfc_node_has(n, EOS) && xfc_node_flag(n, "reset_on_eos", false);
    if (!g->fill) return false;
    if (past && (!xfc_n_equal(n, past->type.dim[0], dim[0], "the batches of ids and their past") ||
                 !xfc_n_equal(n, past->type.dim[1], dim[1], "the columns of the past and max_ngram_size - 1")))
        return false;
    g->all = xfc_n_join(n, past ? past : xfc_b_expand(n->b, g->fill, dim, 2), n->in[IDS], 1);
    return g->all != NULL;
}

/* Of tokens that `back` before each: a slice of all. */
static xfc_value *before(const ngrams *g, xfc_value *all, int64_t back) {
    return all ? xfc_b_slice_axis(g->n->b, all, 1, constant(g->n, g->most - 1 - back), g->rows, 1) : NULL;
}

/* Where a segment is another than that of the token in front, which has to be one of this call. */
static bool read_segments(ngrams *g) {
    xfc_node *n = g->n;
    xfc_value *segment = xfc_node_in(n, SEGMENTS);
    if (!segment) return true;
    const xfc_int zero = constant(n, 0), one = constant(n, 1), dim[2] = {g->batch, constant(n, g->most - 1)};
    if (segment->type.rank != 2 || !xfc_n_equal(n, segment->type.dim[0], g->batch, "the batches of ids and segments") ||
        !xfc_n_equal(n, segment->type.dim[1], g->rows, "the rows of ids and segments")) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT, "needs segments [batch, rows]; export the model again");
        return false;
    }
    xfc_int pad[2] = {zero, one}, none[2] = {zero, zero};
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, pad, 2), xfc_attr_dims(XFC_K_AFTER, none, 2)};
    xfc_value *shifted = xfc_build(n->b, XFC_OP_PAD, &segment, 1, attr, XFC_COUNT(attr));
    shifted = shifted ? xfc_b_slice_axis(n->b, shifted, 1, zero, g->rows, 1) : NULL;
    xfc_value *begins = op(n, XFC_OP_NE, segment, shifted);
    xfc_value *later = xfc_n_along(n, op(n, XFC_OP_GT, xfc_n_iota(n, g->rows, zero, 1, XFC_I64), xfc_ni(n, 0)), 1, 2);
    begins = op(n, XFC_OP_AND, begins, later);
    xfc_value *no = xfc_b_scalar_i(n->b, XFC_BOOL, 0);
    g->begins = xfc_n_join(n, no ? xfc_b_expand(n->b, no, dim, 2) : NULL, begins, 1);
    return g->begins != NULL;
}

/* The hashes of n-grams of `tokens`, [batch, rows, heads], of their mixed tokens. */
static xfc_value *hashes_of(const ngrams *g, xfc_value *mix, int64_t tokens) {
    xfc_node *n = g->n;
    const xfc_int heads = constant(n, g->heads), first = constant(n, (tokens - 2) * g->heads),
                  dim[3] = {g->batch, g->rows, constant(n, 1)};
    xfc_value *size = xfc_b_slice_axis(n->b, n->in[SIZES], 0, first, heads, 1);
    mix = mix ? xfc_b_reshape(n->b, mix, dim, 3) : NULL;
    xfc_value *v = op(n, XFC_OP_MOD, mix, size);
    if (!xfc_node_has(n, OFFSETS)) return v;
    return op(n, XFC_OP_ADD, v, xfc_b_slice_axis(n->b, n->in[OFFSETS], 0, first, heads, 1));
}

/* Each token with those before it, times its factor each, xor; a token is left out behind the end of a text, or of a segment. */
void xfc_import_ngram_hash_mapping(xfc_node *n) {
    ngrams g = {.n = n};
    if (!read_ngrams(&g) || !join_past(&g) || !read_segments(&g)) return;
    xfc_value *mix = NULL, *cut = NULL, *y = NULL;
    for (int64_t back = 0; back < g.most; back++) {
        xfc_value *token = before(&g, g.all, back), *more = NULL;
        if (back && g.reset) more = op(n, XFC_OP_EQ, token, g.fill);
        if (back && g.begins) {
            xfc_value *begins = before(&g, g.begins, back - 1);
            more = more ? op(n, XFC_OP_OR, more, begins) : begins;
        }
        if (more) cut = cut ? op(n, XFC_OP_OR, cut, more) : more;
        if (cut) token = xfc_n_select(n, cut, g.fill, token);
        token = op(n, XFC_OP_MUL, token, xfc_n_pick(n, n->in[FACTORS], (uint32_t)back));
        mix = back ? op(n, XFC_OP_XOR, mix, token) : token;
        if (!mix) return;
        xfc_value *hashes = back ? hashes_of(&g, mix, back + 1) : NULL;
        y = back > 1 ? xfc_n_join(n, y, hashes, 2) : hashes;
    }
    n->out[0] = y;
    if (xfc_node_wants(n, 1)) n->out[1] = xfc_b_slice_axis(n->b, g.all, 1, g.rows, constant(n, g.most - 1), 1);
}

/* --- repetitions --- */

/* Ids [b, s] and scores [b, v]: -inf for each token that would repeat `ngram_size` tokens in a row. */
void xfc_import_ngram_repeat_block(xfc_node *n) {
    static const int64_t last[1] = {2}, middle[1] = {1};
    xfc_ctx *c = n->ctx;
    xfc_value *ids = n->in[0], *scores = n->in[1];
    const int64_t size = xfc_node_int(n, "ngram_size", 0);
    const xfc_int *d = ids->type.dim, zero = constant(n, 0), one = constant(n, 1), before = constant(n, size - 1);
    if (n->status != XFC_OK) return;
    if (size < 1 || size > XFC_DIM_MAX || ids->type.rank != 2 || scores->type.rank != 2) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs ids and scores of two dims, and ngram_size of at least 1; export again");
        return;
    }
    if (!xfc_n_equal(n, d[0], scores->type.dim[0], "the batches of ids and scores")) return;
    const xfc_int count = xfc_dim_known(n->im->graph, xfc_int_max(c, xfc_int_sub(c, d[1], before), zero)),
                  from = xfc_int_max(c, xfc_int_sub(c, d[1], before), zero);
    xfc_value *at = xfc_n_iota(n, count, zero, 1, XFC_I64), *inside = xfc_n_iota(n, before, zero, 1, XFC_I64);
    xfc_value *next = xfc_n_gather(n, ids, op(n, XFC_OP_ADD, at, xfc_ni(n, size - 1)), 1); /* [b, count] */
    xfc_value *window =
        xfc_n_gather(n, ids, op(n, XFC_OP_ADD, xfc_n_along(n, at, 0, 2), xfc_n_along(n, inside, 1, 2)), 1);
    xfc_value *end = op(n, XFC_OP_ADD, inside, xfc_b_dims(n->b, &from, 1));
    end = op(n, XFC_OP_MIN, end,
             xfc_b_dims(n->b, (xfc_int[]){xfc_int_addc(c, d[1], -1)}, 1)); /* of a short row: unused */
    end = xfc_n_gather(n, ids, end, 1);
    end = end ? xfc_b_reshape(n->b, end, (xfc_int[]){d[0], one, before}, 3) : NULL;
    xfc_value *same = xfc_b_cast(n->b, op(n, XFC_OP_NE, window, end), XFC_I32);
    same = same ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, same, last, 1, false) : NULL; /* how many differ */
    same = op(n, XFC_OP_EQ, same, xfc_nf(n, same, 0));
    xfc_value *token = xfc_n_along(n, xfc_n_iota(n, scores->type.dim[1], zero, 1, XFC_I64), 2, 3);
    const xfc_int pair[3] = {d[0], count, one};
    xfc_value *hit =
        next && same ? op(n, XFC_OP_EQ, xfc_b_reshape(n->b, xfc_b_cast(n->b, next, XFC_I64), pair, 3), token) : NULL;
    hit = hit ? xfc_b_cast(n->b, op(n, XFC_OP_AND, hit, xfc_b_reshape(n->b, same, pair, 3)), XFC_I32) : NULL;
    hit = hit ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, hit, middle, 1, false) : NULL;
    hit = op(n, XFC_OP_GT, hit, xfc_nf(n, hit, 0));
    n->out[0] = xfc_n_select(n, hit, xfc_nf(n, scores, (double)-INFINITY), scores);
}

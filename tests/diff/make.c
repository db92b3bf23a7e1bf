/* make.c - see diff.h: random ops on random operands; here sizes, the table of makers, and a case as a whole.
 *
 * Every op is right by construction: a size that must be equal to another is the same symbolic integer, or the
 * symbol's twin, which has the same extent in every round. Broadcasting meets static 1, and the symbol's partner,
 * which is 1 in some rounds: what broadcasts is then decided at run time.
 */
#include "tests/diff/make.h"
#include "ir/verify/verify.h"

/* --- sizes --- */

typedef struct {
    const maker *m;
    uint32_t round;
} lookup_state;
static bool lookup(void *user, uint32_t id, int64_t *out) {
    const lookup_state *s = user;
    for (uint32_t i = 0; i < s->m->n_symbols; i++)
        if (s->m->symbol[i].symbol.id == id) return *out = s->m->symbol[i].extent[s->round], true;
    return false;
}

int64_t maker_extent(const maker *m, xfc_int x, uint32_t round) {
    lookup_state s = {m, round};
    int64_t v = 0;
    if (!xfc_int_evaluate(m->ctx, x, lookup, &s, &v)) abort();
    return v;
}

int64_t maker_most(const maker *m, uint32_t rank, const xfc_int *dim) {
    int64_t most_ = 0;
    for (uint32_t r = 0; r < m->n_rounds; r++) {
        int64_t n = 1;
        for (uint32_t d = 0; d < rank; d++) n *= maker_extent(m, dim[d], r);
        most_ = n > most_ ? n : most_;
    }
    return most_;
}

xfc_int maker_constant(const maker *m, int64_t v) { return xfc_int_const(m->ctx, v); }

static int64_t some_extent(maker *m) {
    static const int64_t extents[] = {0, 1,  1,  1,  2,  2,  3,  3,  4,  5,  6,   7,
                                      8, 12, 16, 17, 31, 33, 48, 49, 64, 65, 100, 300};
    return extents[maker_below(m, XFC_COUNT(extents))];
}

/* A dim so that the tensor still has at most `limit` elements. */
xfc_int maker_dim(maker *m, uint32_t before, const xfc_int *dim, int64_t limit) {
    xfc_int d[XFC_MAX_RANK + 1];
    for (uint32_t i = 0; i < before; i++) d[i] = dim[i];
    for (int tries = 0; tries < 4; tries++) {
        bool symbol = m->dynamic && maker_chance(m, 65);
        d[before] = symbol ? m->symbol[maker_below(m, m->n_symbols)].symbol : maker_constant(m, some_extent(m));
        if (maker_most(m, before + 1, d) <= limit) return d[before];
    }
    return maker_constant(m, 1 + maker_below(m, 2));
}

void maker_dims(maker *m, uint32_t rank, xfc_int *dim, int64_t limit) {
    for (uint32_t d = 0; d < rank; d++) dim[d] = maker_dim(m, d, dim, limit);
}

xfc_int maker_twin(maker *m, xfc_int dim) {
    for (uint32_t i = 0; i < m->n_symbols; i++)
        if (m->symbol[i].twin && xfc_int_same(m->symbol[m->symbol[i].partner].symbol, dim) && maker_chance(m, 30))
            return m->symbol[i].symbol;
    return dim;
}

/* Something that broadcasts with it: itself, 1, or a symbol that is one of the two in each round. */
xfc_int maker_partner(maker *m, xfc_int dim) {
    if (maker_chance(m, 20)) return maker_constant(m, 1);
    for (uint32_t i = 0; i < m->n_symbols; i++) {
        if (m->symbol[i].partner < 0 || m->symbol[i].twin || maker_chance(m, 40)) continue;
        if (xfc_int_same(m->symbol[m->symbol[i].partner].symbol, dim)) return m->symbol[i].symbol;
    }
    return dim;
}

/* --- the table --- */

static make_fn *const makers[XFC_OP_COUNT] = {
#define XFC_SCALAR(id, ...) [XFC_OP_##id] = make_scalar,
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
    [XFC_OP_CAST] = make_cast,
    [XFC_OP_COPY] = make_copy,
    [XFC_OP_DIMS] = make_dims,
    [XFC_OP_IOTA] = make_iota,
    [XFC_OP_SPLAT] = make_splat,
    [XFC_OP_RESHAPE] = make_reshape,
    [XFC_OP_TRANSPOSE] = make_transpose,
    [XFC_OP_EXPAND] = make_expand,
    [XFC_OP_SLICE] = make_slice,
    [XFC_OP_CONCAT] = make_concat,
    [XFC_OP_PAD] = make_pad,
    [XFC_OP_WINDOWS] = make_windows,
    [XFC_OP_PACK] = make_pack,
    [XFC_OP_GATHER] = make_gather,
    [XFC_OP_GATHER_ELEMENTS] = make_gather_elements,
    [XFC_OP_GATHER_ND] = make_gather_nd,
    [XFC_OP_SCATTER_ND] = make_scatter_nd,
    [XFC_OP_SCATTER_ELEMENTS] = make_scatter_elements,
    [XFC_OP_TOP_K] = make_top_k,
    [XFC_OP_KEEP_LARGEST] = make_keep_largest,
    [XFC_OP_REACH] = make_reach,
    [XFC_OP_REACH_RAGGED] = make_reach_ragged,
    [XFC_OP_UNIQUE] = make_unique,
    [XFC_OP_TIME_WARP] = make_time_warp,
    [XFC_OP_FIND_TEXTS] = make_find_texts,
    [XFC_OP_SPLIT_TEXTS] = make_split_texts,
    [XFC_OP_MATCH_TEXTS] = make_match_texts,
    [XFC_OP_CHANGE_CASE] = make_change_case,
    [XFC_OP_READ_NUMBERS] = make_read_numbers,
    [XFC_OP_WRITE_NUMBERS] = make_write_numbers,
    [XFC_OP_APPEND] = make_append,
    [XFC_OP_BITCAST] = make_bitcast,
    [XFC_OP_UNPACK_BITS] = make_bits,
    [XFC_OP_PACK_BITS] = make_bits,
    [XFC_OP_DET] = make_square,
    [XFC_OP_INVERSE] = make_square,
    [XFC_OP_NMS] = make_nms,
    [XFC_OP_ROI_ALIGN] = make_roi_align,
    [XFC_OP_MATCH_TOKENS] = make_match_tokens,
    [XFC_OP_MATCH_SCORES] = make_match_scores,
    [XFC_OP_MATCH_RAGGED] = make_match_ragged,
    [XFC_OP_MERGE_TOKENS] = make_merge_tokens,
    [XFC_OP_SEQ_OFFSETS] = make_seq_offsets,
    [XFC_OP_PAD_RAGGED] = make_pad_ragged,
    [XFC_OP_PACK_RAGGED] = make_pack_ragged,
    [XFC_OP_ATTENTION_RAGGED] = make_attention_ragged,
    [XFC_OP_ATTENTION_RAGGED_PACKED] = make_attention_ragged,
    [XFC_OP_REDUCE_SUM] = make_reduce,
    [XFC_OP_REDUCE_MAX] = make_reduce,
    [XFC_OP_REDUCE_MIN] = make_reduce,
    [XFC_OP_REDUCE_PROD] = make_reduce,
    [XFC_OP_REDUCE_MEAN] = make_reduce,
    [XFC_OP_CUMSUM] = make_cumsum,
    [XFC_OP_CUMPROD] = make_cumsum,
    [XFC_OP_MATMUL] = make_matmul,
    [XFC_OP_MATMUL_PACKED] = make_matmul_packed,
    [XFC_OP_MATMUL_SPARSE] = make_sparse,
    [XFC_OP_LINEAR] = make_linear,
    [XFC_OP_QUANTIZE] = make_quantize,
    [XFC_OP_DEQUANTIZE] = make_dequantize,
    [XFC_OP_MATMUL_INTEGER] = make_matmul_integer,
    [XFC_OP_SPLIT_BITS] = make_split_bits,
    [XFC_OP_SOFTMAX] = make_along,
    [XFC_OP_LAYERNORM] = make_along,
    [XFC_OP_RMSNORM] = make_along,
    [XFC_OP_CRMSNORM] = make_crmsnorm,
    [XFC_OP_GELU] = make_gelu,
    [XFC_OP_ATTENTION] = make_attention,
    [XFC_OP_ATTENTION_PACKED] = make_attention,
};

xfc_value *maker_op(maker *m, xfc_opcode code, xfc_dtype t) {
    if (!makers[code]) return NULL;
    uint32_t diags = m->ctx->n_diags, errors = m->ctx->n_errors;
    xfc_value *v = makers[code](m, code, t);
    m->ctx->n_diags = diags, m->ctx->n_errors = errors;
    if (!v || maker_most(m, v->type.rank, v->type.dim) <= 4 * LIMIT) return v;
    xfc_op_remove(v->def); /* too large for the interpreter */
    return NULL;
}

/* --- a case --- */

static void add_symbol(maker *m, const char *name, int64_t lo, int64_t hi, int32_t partner, bool twin) {
    static const int64_t extents[DIFF_ROUNDS][6] = {{2, 3, 5, 8, 17, 33}, {1, 1, 4, 7, 48, 70}, {0, 0, 1, 2, 16, 100}};
    diff_symbol *s = &m->symbol[m->n_symbols++];
    s->symbol = xfc_int_symbol(m->ctx, name, lo, hi);
    s->partner = partner;
    s->twin = twin;
    for (uint32_t r = 0; r < DIFF_ROUNDS; r++) {
        int64_t v = extents[r][maker_below(m, 6)], other = partner >= 0 ? m->symbol[partner].extent[r] : v;
        s->extent[r] = v < lo ? lo : v > hi ? hi : v;
        if (partner >= 0) s->extent[r] = twin || maker_chance(m, 50) ? other : 1;
    }
}

void maker_new(maker *m, uint64_t seed, bool dynamic) {
    *m = (maker){.ctx = xfc_ctx_new(),
                 .seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1,
                 .dynamic = dynamic,
                 .n_rounds = dynamic ? DIFF_ROUNDS : 1,
                 .reuse = 0};
    for (int i = 0; i < 8; i++) diff_random(&m->seed);
    m->graph = xfc_graph_new(m->ctx, "case");
    m->b = (xfc_builder){.graph = m->graph};
    if (!dynamic) return;
    add_symbol(m, "a", 0, XFC_DIM_MAX, -1, false);
    add_symbol(m, "b", 1, 64, -1, false);
    add_symbol(m, "c", 0, 4096, -1, false);
    add_symbol(m, "a_or_1", 0, XFC_DIM_MAX, 0, false);
    add_symbol(m, "c_again", 0, XFC_DIM_MAX, 2, true);
}

void maker_free(maker *m) {
    xfc_graph_free(m->graph);
    xfc_ctx_free(m->ctx);
}

void maker_output(maker *m, xfc_value *v) {
    if (m->n_out < DIFF_MAX_OUT) m->out[m->n_out++] = v;
}

/* Every symbol needs an input that it is a dim of. */
static void bind_symbol(maker *m, xfc_int symbol) {
    for (uint32_t i = 0; i < m->graph->n_in; i++)
        for (uint32_t d = 0; d < m->graph->in[i]->type.rank; d++)
            if (xfc_int_same(m->graph->in[i]->type.dim[d], symbol)) return;
    m->input[m->graph->n_in].fill = DIFF_ANY;
    xfc_graph_add_input(m->graph, xfc_int_look(m->ctx, symbol)->name, xfc_type_make(XFC_U8, 1, &symbol));
}

bool maker_end(maker *m) {
    const char *name[DIFF_MAX_OUT];
    char text[32];
    for (uint32_t i = 0; i < m->n_symbols; i++) bind_symbol(m, m->symbol[i].symbol);
    for (uint32_t i = 0; i < m->n_out; i++) {
        snprintf(text, sizeof text, "y%u_%s", (unsigned)i,
                 m->out[i]->def ? xfc_ops[m->out[i]->def->code].name : "input");
        name[i] = xfc_str(m->ctx, text);
    }
    xfc_graph_set_outputs(m->graph, m->out, name, m->n_out);
    xfc_buf defects = {.arena = m->graph->arena};
    if (xfc_verify(m->graph, &defects)) return true;
    fprintf(stderr, "the graph as built is malformed:\n%s", defects.text);
    return false;
}

void maker_inputs(maker *m, uint32_t round, xfc_arena *arena, xfc_array *in) {
    for (uint32_t i = 0; i < m->graph->n_in; i++) {
        const xfc_type *t = &m->graph->in[i]->type;
        size_t bytes;
        in[i] = (xfc_array){.dtype = t->dtype, .rank = t->rank};
        for (uint32_t d = 0; d < t->rank; d++) in[i].dim[d] = maker_extent(m, t->dim[d], round);
        if (!xfc_tensor_count(t->dtype, t->rank, in[i].dim, &in[i].count, &bytes)) abort();
        in[i].data = xfc_alloc(arena, bytes, 64);
        int64_t bound = m->input[i].fill == DIFF_INDEX ? maker_extent(m, m->input[i].bound, round) : 0;
        maker_fill(&m->seed, t->dtype, in[i].data, in[i].count, m->input[i].fill, bound, m->input[i].special);
    }
}

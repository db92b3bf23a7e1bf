/* token_stream.c - follows the tokens of streams through a graph (token_stream.h), in its order, once. */
#include "passes/lossy/token_stream.h"

enum { MAX_STEPS = 64, MAX_VISITS = 256, MAX_IN = 16, MAX_TOKENS = 1 << 14 };

xfc_stream_value *xfc_stream_value_of(const xfc_streams *s, const xfc_value *v) {
    uint64_t i = xfc_map_get(&s->value_of, v->id);
    return i ? &s->value[i - 1] : NULL;
}

void xfc_stream_value_add(xfc_streams *s, const xfc_value *v, xfc_stream_value x) {
    xfc_push(s->arena, s->value, s->n_values, s->cap_values) = x;
    xfc_map_set(&s->value_of, v->id, s->n_values);
}

static const xfc_token *token_of(const xfc_tokens *t, const xfc_value *v, bool *bound) {
    const xfc_stream_value *x = xfc_stream_value_of((const xfc_streams *)t, v);
    *bound = x != NULL;
    return x ? &x->token : NULL;
}

static const char *name_of(const xfc_streams *s, const xfc_op *op) {
    const char *name = xfc_ops[op->code].name;
    return op->loc.node ? xfc_sprintf(s->arena, "%s '%s'", name, op->loc.node) : name;
}

/* --- what cannot be --- */

/* The sites from this one back, those up to `until` excepted, are of no use. */
static void refuse_from(xfc_streams *s, int32_t site, int32_t until, const char *why) {
    for (; site > until; site = s->site[site].before)
        if (!s->site[site].why) s->site[site].why = why;
}

static void refuse(xfc_streams *s, const xfc_op *op, const char *why) {
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_stream_value *x = op->in[i].value ? xfc_stream_value_of(s, op->in[i].value) : NULL;
        if (x) refuse_from(s, x->site, -1, why);
    }
}

/* --- where streams begin --- */

/* Made of constants and sizes alone. */
static bool is_constant(const xfc_streams *s, const xfc_value *v) { return xfc_map_find(&s->constant, v->id, NULL); }

static void find_constants(xfc_streams *s) {
    xfc_foreach_op(op, s->tokens.graph) {
        bool constant = xfc_op_has(op, XFC_PURE) && !xfc_op_has(op, XFC_REGION);
        for (uint32_t i = 0; i < op->n_in && constant; i++)
            constant = !op->in[i].value || is_constant(s, op->in[i].value);
        for (uint32_t i = 0; i < op->n_out && constant; i++) xfc_map_set(&s->constant, op->out[i].id, 1);
    }
}

static int64_t extent(const xfc_value *v) {
    int64_t n;
    return v->type.rank == 3 && xfc_int_value(v->def->graph->ctx, v->type.dim[1], &n) ? n : 0;
}

/* What the rows of a ragged v were taken from, [b, n, c]; views stand between. NULL: it is something else. */
static const xfc_value *entered(const xfc_value *v) {
    bool taken = false;
    for (uint32_t steps = 0; v->def && steps < MAX_STEPS; steps++) {
        const xfc_op *op = v->def;
        bool rows = op->code == XFC_OP_GATHER && !taken;
        if (!rows && op->code != XFC_OP_RESHAPE && op->code != XFC_OP_TRANSPOSE) break;
        taken |= rows;
        v = op->in[0].value;
    }
    return taken ? v : NULL;
}

/* How many tokens at the front of v [b, n, c] are the same for all inputs but for what other tokens did to them. */
static int64_t special_tokens(const xfc_streams *s, const xfc_value *v, uint32_t *visits) {
    const xfc_op *op = v->def;
    int64_t sum = 0, from;
    if (!op || ++*visits > MAX_VISITS) return 0;
    if (is_constant(s, v)) return extent(v);
    if (op->code == XFC_OP_CONCAT) {
        if (xfc_op_int(op, XFC_K_AXIS, 0) != 1 || v->type.rank != 3) return 0;
        for (uint32_t i = 0; i < op->n_in; i++) {
            int64_t n = special_tokens(s, op->in[i].value, visits);
            sum += n;
            if (n == 0 || n < extent(op->in[i].value)) break;
        }
        return sum;
    }
    if (op->code == XFC_OP_SLICE) {
        if (v->type.rank != 3 || !xfc_int_value(op->graph->ctx, xfc_op_attr(op, XFC_K_START)->u.dims[1], &from))
            return 0;
        sum = special_tokens(s, op->in[0].value, visits) - from;
        return sum < 0 ? 0 : sum < extent(v) ? sum : extent(v);
    }
    const xfc_value *whole = entered(v);
    if (whole) return special_tokens(s, whole, visits);
    if (!xfc_op_has(op, XFC_MAP) && !xfc_op_has(op, XFC_ROWWISE)) return 0;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_value *x = op->in[i].value;
        if (x && !is_constant(s, x) && x->type.rank == 3 && xfc_int_same(x->type.dim[1], v->type.dim[1]))
            return special_tokens(s, x, visits);
    }
    return 0;
}

/* The addition that what becomes of the attention goes into, and its other operand: views and ops with constants, each
 * the only reader, stand between. */
static xfc_op *join_of(const xfc_streams *s, const xfc_op *attention, xfc_value **stream) {
    const xfc_value *v = &attention->out[0];
    for (uint32_t steps = 0; steps < MAX_STEPS && xfc_value_n_uses(v) == 1; steps++) {
        xfc_op *op = v->uses->user;
        if (op->n_out != 1 || op->n_in == 0 || op->n_in > 3 || !xfc_op_has(op, XFC_PURE)) return NULL;
        xfc_value *other = NULL;
        for (uint32_t i = 0; i < op->n_in; i++)
            if (op->in[i].value && op->in[i].value != v && !is_constant(s, op->in[i].value)) other = op->in[i].value;
        if (other) {
            *stream = other;
            return op->code == XFC_OP_ADD && xfc_type_same(&other->type, &v->type) ? op : NULL;
        }
        v = &op->out[0];
    }
    return NULL;
}

static bool is_one(const xfc_ctx *c, const xfc_type *t, uint32_t from_end) {
    return t->rank < from_end || xfc_int_is(c, t->dim[t->rank - from_end], 1);
}

static bool is_attention(const xfc_op *op) {
    return op->code == XFC_OP_ATTENTION || op->code == XFC_OP_ATTENTION_RAGGED;
}

/* The bias of an attention; of a ragged one any of its biases, which go by positions. */
static const xfc_value *bias_of(const xfc_op *op) {
    uint32_t first = op->code == XFC_OP_ATTENTION ? 3 : XFC_RAGGED_BIAS;
    for (uint32_t i = first; i < op->n_in; i++)
        if (op->in[i].value) return op->in[i].value;
    return NULL;
}

/* What an attention alone says. */
static const char *why_not(xfc_streams *s, const xfc_op *op, const xfc_op *join, const xfc_value *stream) {
    xfc_ctx *c = s->tokens.graph->ctx;
    const xfc_type *q = &op->in[0].value->type, *k = &op->in[1].value->type;
    const xfc_value *bias = bias_of(op);
    bool ragged = op->code == XFC_OP_ATTENTION_RAGGED;
    if (!ragged && !xfc_attention_is_plain(op))
        return "its scores are capped, or stand beside a sink, or only the largest of them count";
    if (bias && (ragged || !is_one(c, &bias->type, 1) || !is_one(c, &bias->type, 2)))
        return "its scores get a bias by position: a mask, or a table that would have to be merged as well";
    if (!ragged && !xfc_int_same(q->dim[2], k->dim[2])) return "its keys are other tokens than its queries";
    if (!join) return "it is not added to a stream of tokens";
    if (stream->type.rank != 3) return "the stream that it is added to is not [batch, tokens, channels]";
    if (ragged && !(xfc_int_is(c, stream->type.dim[0], 1) && xfc_int_same(stream->type.dim[1], q->dim[1])))
        return "the stream that it is added to has other tokens";
    if (!ragged && !xfc_int_value(c, stream->type.dim[1], NULL))
        return "the number of tokens is not known when compiling: fix the sizes of the inputs (--dim)";
    if (stream->type.dtype == XFC_F64) return "its tokens are f64, for which there is no merging";
    return NULL;
}

/* Of the two programs of unpad the padded one stays exact: it has as many sequences as data says. */
static void find_sites(xfc_streams *s) {
    const xfc_defined defined = xfc_defined_of(s->tokens.graph, s->arena);
    xfc_foreach_op(op, s->tokens.graph) {
        xfc_value *stream = NULL;
        if (!is_attention(op) || xfc_defined_in(&defined, op->in[0].value->type.dim[0])) continue;
        xfc_stream_site site = {.attention = op, .before = -1, .join = join_of(s, op, &stream)};
        site.why = why_not(s, op, site.join, stream);
        xfc_push(s->arena, s->site, s->n_sites, s->cap_sites) = site;
        if (site.why || !stream) continue;
        xfc_map_set_ptr(&s->begins, stream, op);
        xfc_map_set(&s->joins, site.join->out[0].id, s->n_sites);
    }
}

/* Of a text the first and the last token are no words. */
static void protect(xfc_streams *s, const xfc_value *v, xfc_stream *stream) {
    uint32_t visits = 0;
    if (stream->offsets && !is_constant(s, stream->offsets->in[0].value)) {
        stream->protect = stream->protect_end = 1;
        return;
    }
    stream->protect = special_tokens(s, v, &visits);
    if (!stream->offsets && stream->protect > stream->n) stream->protect = stream->n;
}

static void begin(xfc_streams *s, const xfc_value *v) {
    xfc_ctx *c = s->tokens.graph->ctx;
    const xfc_op *attention = xfc_map_get_ptr(&s->begins, v);
    if (!attention || xfc_stream_value_of(s, v)) return;
    xfc_stream stream = {.b = v->type.dim[0], .tokens = v->type.dim[1]};
    xfc_token t = {.has_b = !xfc_int_is(c, stream.b, 1), .has_s = true, .s_dim = 1};
    t.b_inner = t.s_inner = xfc_int_const(c, 1);
    if (attention->code == XFC_OP_ATTENTION_RAGGED) stream.offsets = attention->in[XFC_RAGGED_CU].value->def;
    (void)xfc_int_value(c, v->type.dim[1], &stream.n);
    protect(s, v, &stream);
    xfc_stream_value_add(s, v, (xfc_stream_value){.token = t, .stream = s->n_streams, .site = -1});
    xfc_push(s->arena, s->stream, s->n_streams, s->cap_streams) = stream;
}

/* --- through ops --- */

static int32_t common(const xfc_streams *s, int32_t a, int32_t b) {
    while (a != b) {
        if (a > b)
            a = s->site[a].before;
        else
            b = s->site[b].before;
    }
    return a;
}

/* The tokens that the op reads, as of the last site before all its operands. False: none, or not of one kind. */
static bool tokens_in(xfc_streams *s, const xfc_op *op, xfc_stream_value *out) {
    bool any = false, one = true;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_stream_value *x = op->in[i].value ? xfc_stream_value_of(s, op->in[i].value) : NULL;
        if (!x) continue;
        if (any && (x->stream != out->stream || x->first != out->first)) one = false;
        int32_t site = any && one ? common(s, out->site, x->site) : x->site;
        if (!any) *out = *x;
        any = true;
        out->site = site;
    }
    if (!one) refuse(s, op, xfc_sprintf(s->arena, "%s joins different sets of tokens behind it", name_of(s, op)));
    if (!any || !one) return false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_stream_value *x = op->in[i].value ? xfc_stream_value_of(s, op->in[i].value) : NULL;
        if (x)
            refuse_from(s, x->site, out->site,
                        xfc_sprintf(s->arena, "%s reads tokens from before it and from behind it", name_of(s, op)));
    }
    s->tokens.b = s->stream[out->stream].b;
    s->tokens.s = xfc_int_addc(s->tokens.graph->ctx, s->stream[out->stream].tokens, -out->first);
    return true;
}

/* An operand that holds something for each token, and is none. */
static bool has_table(const xfc_streams *s, const xfc_op *op, const xfc_token *in) {
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_value *v = op->in[i].value;
        if (v && !xfc_stream_value_of(s, v) && in[i].has_s && !xfc_int_is(op->graph->ctx, v->type.dim[in[i].s_dim], 1))
            return true;
    }
    return false;
}

static bool through(xfc_streams *s, const xfc_op *op, xfc_stream_value *x) {
    xfc_token in[MAX_IN];
    if (op->n_out != 1 || op->n_in > MAX_IN || !xfc_token_through(&s->tokens, op, in, &x->token)) return false;
    if (has_table(s, op, in))
        refuse(s, op, xfc_sprintf(s->arena, "%s has a value for each place of a token behind it", name_of(s, op)));
    xfc_stream_value_add(s, &op->out[0], *x);
    return true;
}

/* --- what tokens come to --- */

bool xfc_stream_is_plain(const xfc_streams *s, const xfc_value *v, const xfc_stream_value *x) {
    const xfc_token *t = &x->token;
    return v->type.rank >= 2 && t->s_dim == 1 && xfc_int_is(s->tokens.graph->ctx, t->s_inner, 1) &&
           (!t->has_b || t->b_dim == 0) && xfc_int_same(v->type.dim[0], s->stream[x->stream].b);
}

bool xfc_stream_is_sum(const xfc_streams *s, const xfc_op *op, const xfc_stream_value *x) {
    if (op->code != XFC_OP_REDUCE_MEAN && op->code != XFC_OP_REDUCE_SUM) return false;
    const xfc_attr *axes = xfc_op_attr(op, XFC_K_AXES);
    const xfc_value *v = op->in[0].value;
    return axes->n == 1 && axes->u.ints[0] == 1 && v->type.rank == 3 && xfc_dtype_is_float(v->type.dtype) &&
           xfc_stream_is_plain(s, v, x);
}

/* Keys and values of an attention: [b * inner, heads, tokens, width]. */
static bool are_keys(const xfc_streams *s, const xfc_value *v, const xfc_stream_value *x) {
    xfc_ctx *c = s->tokens.graph->ctx;
    xfc_int inner;
    if (!x || x->token.s_dim != 2 || !xfc_int_is(c, x->token.s_inner, 1)) return false;
    if (!x->token.has_b) return xfc_int_is(c, s->stream[x->stream].b, 1);
    return x->token.b_dim == 0 && xfc_int_exact(c, v->type.dim[0], s->stream[x->stream].b, &inner) &&
           xfc_int_same(inner, x->token.b_inner);
}

/* Queries, keys and values [heads, T, width] of the rows that the stream's own offsets divide. */
static void visit_ragged(xfc_streams *s, const xfc_op *op, const xfc_stream_value *x) {
    const xfc_ctx *c = op->graph->ctx;
    const xfc_stream_value *in[3];
    bool fits = !bias_of(op) && op->in[XFC_RAGGED_CU].value->def == s->stream[x->stream].offsets;
    for (uint32_t i = 0; i < 3; i++) {
        in[i] = xfc_stream_value_of(s, op->in[i].value);
        fits = fits && in[i] && in[i]->token.s_dim == 1 && xfc_int_is(c, in[i]->token.s_inner, 1);
    }
    if (fits)
        xfc_stream_value_add(s, &op->out[0], (xfc_stream_value){in[0]->token, x->stream, x->site, 0});
    else
        refuse(s, op, xfc_sprintf(s->arena, "%s behind it reads the tokens by their places", name_of(s, op)));
}

/* Rows [T, ..] go back to where the tokens were, whichever those are. */
static bool is_padded(const xfc_streams *s, const xfc_op *op, const xfc_stream_value *x) {
    const xfc_stream_value *rows = op->code == XFC_OP_PAD_RAGGED ? xfc_stream_value_of(s, op->in[0].value) : NULL;
    const xfc_op *offsets = s->stream[x->stream].offsets;
    return rows && rows->token.s_dim == 0 && xfc_int_is(op->graph->ctx, rows->token.s_inner, 1) && offsets &&
           op->in[1].value->def == offsets;
}

static void visit_attention(xfc_streams *s, const xfc_op *op, const xfc_stream_value *x) {
    const xfc_ctx *c = op->graph->ctx;
    const xfc_stream_value *in[4] = {NULL};
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value ? xfc_stream_value_of(s, op->in[i].value) : NULL;
    const xfc_value *bias = op->n_in > 3 ? op->in[3].value : NULL;
    bool positions = bias && (!is_one(c, &bias->type, 1) || (in[0] && !is_one(c, &bias->type, 2)));
    if (positions || in[3] || !are_keys(s, op->in[1].value, in[1]) || !are_keys(s, op->in[2].value, in[2]) ||
        !xfc_token_same(&in[1]->token, &in[2]->token) ||
        (in[0] && (!are_keys(s, op->in[0].value, in[0]) || !xfc_token_same(&in[0]->token, &in[1]->token)))) {
        refuse(s, op, xfc_sprintf(s->arena, "%s behind it reads the tokens by their places", name_of(s, op)));
        return;
    }
    if (in[0]) xfc_stream_value_add(s, &op->out[0], (xfc_stream_value){in[0]->token, x->stream, x->site, x->first});
}

/* Tokens from one of the protected on, or protected ones alone. */
static bool is_part(xfc_streams *s, const xfc_op *op, xfc_stream_value *x) {
    const xfc_ctx *c = op->graph->ctx;
    const xfc_type *t = &op->in[0].value->type;
    int64_t start, size, protect = s->stream[x->stream].protect - x->first;
    uint32_t at = x->token.s_dim;
    if (op->code != XFC_OP_SLICE || !xfc_int_is(c, x->token.s_inner, 1)) return false;
    const xfc_int *dim = op->out[0].type.dim;
    if (!xfc_int_value(c, xfc_op_attr(op, XFC_K_START)->u.dims[at], &start) || !xfc_int_value(c, dim[at], &size) ||
        xfc_op_attr(op, XFC_K_STEP)->u.ints[at] != 1)
        return false;
    if (start + size <= protect) return true;
    bool whole = !x->token.has_b || xfc_int_same(dim[x->token.b_dim], t->dim[x->token.b_dim]);
    if (!whole || start > protect || start + size != s->stream[x->stream].n - x->first) return false;
    x->first += start;
    xfc_stream_value_add(s, &op->out[0], *x);
    return true;
}

static bool reads_protected(const xfc_streams *s, const xfc_op *op, const xfc_stream_value *x) {
    for (uint32_t i = 0; i < op->n_in; i++) {
        int64_t at;
        if (!op->in[i].value || !xfc_stream_value_of(s, op->in[i].value)) continue;
        xfc_int position = xfc_token_read_position(&s->tokens, op, i);
        if (!xfc_int_known(position) || !xfc_int_value(op->graph->ctx, position, &at)) return false;
        if (at + x->first >= s->stream[x->stream].protect) return false;
    }
    return true;
}

static void visit_outputs(xfc_streams *s, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_stream_value *x = xfc_stream_value_of(s, op->in[i].value);
        if (!x || x->site < 0) continue;
        s->stream[x->stream].is_output = true;
        if (s->stream[x->stream].offsets || !xfc_stream_is_plain(s, op->in[i].value, x))
            refuse_from(s, x->site, -1, "an output has its tokens elsewhere than in dim 1");
    }
}

/* --- sites --- */

/* The op adds what an attention over these tokens became to them: from here on they could be fewer. */
static void join(xfc_streams *s, const xfc_op *op) {
    uint64_t i = op->n_out == 1 ? xfc_map_get(&s->joins, op->out[0].id) : 0;
    xfc_stream_value *x = i ? xfc_stream_value_of(s, &op->out[0]) : NULL;
    if (!x || x->first != 0 || !xfc_stream_is_plain(s, &op->out[0], x)) return;
    xfc_stream_site *site = &s->site[i - 1];
    const xfc_stream_value *keys = xfc_stream_value_of(s, site->attention->in[1].value);
    if (!keys || keys->stream != x->stream || keys->site != x->site) return;
    site->stream = x->stream;
    site->before = x->site;
    site->reached = true;
    x->site = (int32_t)i - 1;
}

static void count(xfc_streams *s, const xfc_op *op, const xfc_stream_value *x) {
    if (x->site < 0) return;
    double products = xfc_lossy_products(s->lossy, op);
    *(is_attention(op) ? &s->site[x->site].own : &s->site[x->site].each) += products;
}

static void visit(xfc_streams *s, const xfc_op *op) {
    xfc_stream_value x = {0};
    if (op->code == XFC_OP_RETURN) {
        visit_outputs(s, op);
        return;
    }
    if (tokens_in(s, op, &x)) {
        count(s, op, &x);
        if (op->code == XFC_OP_ATTENTION)
            visit_attention(s, op, &x);
        else if (op->code == XFC_OP_ATTENTION_RAGGED)
            visit_ragged(s, op, &x);
        else if (!through(s, op, &x) && !is_part(s, op, &x) && !reads_protected(s, op, &x) &&
                 !xfc_stream_is_sum(s, op, &x) && !is_padded(s, op, &x))
            refuse(s, op,
                   xfc_sprintf(s->arena, "%s behind it mixes tokens or needs them in their places", name_of(s, op)));
    }
    for (uint32_t i = 0; i < op->n_out; i++) begin(s, &op->out[i]);
    join(s, op);
}

static const char *too_few_or_many(const xfc_stream *stream) {
    if (!stream->offsets && stream->n - stream->protect < 2) return "there are too few tokens";
    return stream->n > MAX_TOKENS ? "there are more than 16384 tokens" : NULL;
}

/* What stands behind a site stands behind those before it, too. */
static void sum_up(xfc_streams *s) {
    for (uint32_t i = s->n_sites; i-- > 0;) {
        xfc_stream_site *site = &s->site[i];
        if (!site->reached && !site->why) site->why = "its keys are not the tokens of the stream that it is added to";
        if (!site->why) site->why = too_few_or_many(&s->stream[site->stream]);
        if (site->before < 0) continue;
        s->site[site->before].each += site->each;
        s->site[site->before].own += site->own;
    }
}

xfc_streams *xfc_streams_find(xfc_lossy *l, xfc_graph *g) {
    xfc_streams *s = xfc_new(l->arena, xfc_streams);
    *s = (xfc_streams){.tokens = {.graph = g, .scratch = l->arena, .of = token_of}, .lossy = l, .arena = l->arena};
    s->value_of = s->constant = s->begins = s->joins = (xfc_map){.arena = l->arena};
    find_constants(s);
    find_sites(s);
    for (uint32_t i = 0; i < g->n_in; i++) begin(s, g->in[i]);
    xfc_foreach_op(op, g) visit(s, op);
    sum_up(s);
    return s;
}

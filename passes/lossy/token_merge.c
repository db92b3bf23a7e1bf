/* token_merge.c - tokens that are alike become one between attention and MLP (ToMe, arXiv 2210.09461), for unmodified
 * models.
 *
 * A site is a block of a stream of tokens (token_stream.h), its level the number of tokens that go. Behind it the
 * stream has so many fewer: x1, the sum of the stream and what attention became, is merged by what the attention's keys
 * say (match_tokens); ops behind it keep their meaning and only get other sizes. What tokens stand for is their mass:
 * an attention over them gets the logarithm of it as bias of each key, sums and means over tokens are weighted by it,
 * and outputs that hold a row for each token get a copy of the row that it went to. Tokens that the model adds itself
 * (of the class, of distillation, registers) stay alone and in front.
 *
 *   %x1 = add %x, %branch : f32[b, 197, 384]      |  %to = match_tokens %k {size = [13], protect = 1} : i32[b, 197]
 *                                                 |  %y, %m = merge_tokens %x1, %to, %mass {size = [184]}
 *   %s = attention %q2, %k2, %v2                  |  %s = attention %q2, %k2, %v2, (log %m as [b, 1, 1, 184])
 *
 * Other ways to make tokens fewer (token_plan.h) take the place of match_tokens and merge_tokens. All sizes stay
 * static. Where every level is 0, nothing is changed.
 *
 * Where samples have their own numbers of tokens, as texts have, padding is removed first (passes/unpad); streams of
 * what that leaves are ragged, and each sequence keeps a share of its own tokens (token_ragged.c).
 */
#include "passes/lossy/token_plan.h"
#include "passes/lossy/token_ragged.h"
#include "passes/lossy/token_words.h"
#include "passes/unpad/whole.h"

#include <math.h>

/* --- sites and levels --- */

/* A stream whose sequences have their own numbers of tokens has levels in thousandths of these. */
static int64_t most_of(const xfc_stream *stream) {
    return stream->offsets ? XFC_HALF : (stream->n - stream->protect) / 2;
}
static double all_of(const xfc_stream *stream) { return stream->offsets ? 1 : (double)stream->n; }
static double amount(const xfc_stream *stream, double there, int64_t level) {
    return stream->offsets ? there * (double)level / (double)XFC_THOUSAND : (double)level;
}

static void refuse_ways(const xfc_token_words *w, xfc_streams *s) {
    for (uint32_t i = 0; i < s->n_sites; i++) {
        if (s->site[i].why) continue;
        const xfc_stream *stream = &s->stream[s->site[i].stream];
        if (w->has_threshold && !stream->offsets)
            s->site[i].why =
                "a threshold leaves each sample its own number of tokens, which takes unpad: do not turn it off, or give ratio";
        if (w->way == XFC_BY_MERGE) continue;
        if (stream->offsets) s->site[i].why = "samples have their own numbers of tokens, which by=merge alone can do";
        if (xfc_token_drops(w->way) && stream->is_output)
            s->site[i].why = "an output has a row for each token, and those that are dropped have none";
    }
}

/* Behind the site, r of the n tokens that there are fewer, where the model has `all`. Pairs of them: n^2 - (n - r)^2 of
 * all^2. */
static double saved(const xfc_stream_site *site, double all, double n, double r) {
    return site->each * r / all + site->own * r * fmax(2 * n - r, 0) / (all * all);
}

static const char *say(const xfc_lossy *l, const xfc_token_words *w, const xfc_stream *stream, uint32_t level) {
    static const char *const ways[2][2] = {{"token merges", "tokens merge"}, {"token goes", "tokens go"}};
    if (!stream->offsets)
        return xfc_sprintf(l->arena, "%u %s", (unsigned)level, ways[xfc_token_drops(w->way)][level != 1]);
    if (!w->has_threshold) return xfc_sprintf(l->arena, "%.3g %% of the tokens merge", level / 10.0);
    return xfc_sprintf(l->arena, "up to %.3g %% of the tokens merge, those with a cosine of at least %g; if so many do",
                       level / 10.0, w->threshold);
}

/* n: tokens that the blocks in front leave if they do what is asked of them. */
static void describe(xfc_lossy *l, const xfc_token_words *w, xfc_lossy_site *to, const xfc_stream *stream,
                     const xfc_stream_site *site, double n) {
    to->levels = (uint32_t)most_of(stream);
    double *saves = xfc_new_array(l->arena, double, to->levels + 1);
    const char **says = xfc_new_array(l->arena, const char *, to->levels + 1);
    for (uint32_t r = 0; r <= to->levels; r++) {
        saves[r] = saved(site, all_of(stream), n, amount(stream, n, r));
        says[r] = say(l, w, stream, r);
    }
    to->saves = saves;
    to->says = says;
}

/* The level that is asked of a block with n tokens; r: by number. */
static xfc_status ask(xfc_lossy *l, const xfc_token_words *w, xfc_lossy_site *to, const xfc_stream *stream, double n,
                      int64_t r) {
    int64_t most = to->levels;
    if (stream->offsets) {
        if (xfc_lossy_word_of(l, "r"))
            return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, to->loc,
                            "--lossy=token-merge:r=%s: samples have their own numbers of tokens; give ratio instead",
                            xfc_lossy_word_of(l, "r"));
        r = w->thousandths >= 0 ? w->thousandths : w->has_threshold ? XFC_HALF : r;
    } else if (w->thousandths >= 0) {
        r = (int64_t)n * w->thousandths / XFC_THOUSAND;
        r = r < most ? r : most;
    }
    to->asked = (uint32_t)(r < most ? r : most);
    if (r <= most) return XFC_OK;
    return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, to->loc,
                    "--lossy=token-merge: %lld tokens cannot merge in a block, of %lld tokens, %lld of them protected, "
                    "only %u: give less",
                    (long long)r, (long long)stream->n, (long long)stream->protect, (unsigned)to->levels);
}

/* What the words ask of the blocks that can be used, one behind the other: each finds what those in front of it leave. */
static xfc_status ask_all(xfc_lossy *l, const xfc_token_words *w, xfc_streams *s, const int64_t *r) {
    double *left = xfc_new_array(l->arena, double, s->n_streams + 1);
    for (uint32_t i = 0; i < s->n_streams; i++) left[i] = all_of(&s->stream[i]);
    for (uint32_t i = 0; i < s->n_sites; i++) {
        const xfc_stream_site *site = &s->site[i];
        xfc_lossy_site *to = xfc_lossy_add(l, site->attention);
        to->what = "block of attention";
        to->why = site->why;
        to->data = s;
        if (site->why) continue;
        const xfc_stream *stream = &s->stream[site->stream];
        double *n = &left[site->stream];
        describe(l, w, to, stream, site, *n);
        XFC_TRY(ask(l, w, to, stream, *n, *r++));
        double goes = amount(stream, *n, to->asked);
        *n -= stream->offsets ? goes : fmin(goes, floor((*n - (double)stream->protect) / 2));
    }
    return XFC_OK;
}

static uint32_t n_usable(const xfc_streams *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_sites; i++) n += !s->site[i].why;
    return n;
}

/* About half of the tokens in all. */
static int64_t usual_of(const xfc_streams *s) {
    int64_t usual = 1;
    for (uint32_t i = s->n_sites, n = n_usable(s); i-- > 0;) {
        const xfc_stream *stream = s->site[i].why ? NULL : &s->stream[s->site[i].stream];
        if (stream && stream->offsets) usual = lround((double)XFC_THOUSAND * (1 - pow(0.5, 1.0 / n)));
        if (stream && !stream->offsets) usual = most_of(stream) / n;
    }
    return usual > 0 ? usual : 1;
}

/* --- sequences that have their own numbers of tokens --- */

/* Without padding, and without what that makes obsolete: the original, and masks, which are 1 for real tokens. whole:
 * the stream, if it has none. */
static xfc_status make_ragged(const xfc_lossy *l, xfc_graph *g, const xfc_stream *whole) {
    const xfc_run_opts opts = {.bisect_limit = -1, .passes.unpad = l->pass->opts->unpad};
    xfc_pass p = {.graph = g, .opts = &opts.passes, .target = l->pass->target, .scratch = l->arena};
    if (whole) (void)xfc_unpad_whole(&p, whole->b, whole->tokens);
    XFC_TRY(p.status);
    return xfc_run_passes(&g, l->pass->target, whole ? "fold,simplify,dce" : "unpad,fold,simplify,dce", &opts);
}

static const xfc_stream *first_usable(const xfc_streams *s) {
    for (uint32_t i = 0; i < s->n_sites; i++)
        if (!s->site[i].why) return &s->stream[s->site[i].stream];
    return NULL;
}

/* The streams of the graph; where none of them can be used, or each sample shall keep its own number of tokens, those of
 * its copy without padding, if there are any. */
static xfc_status find(xfc_lossy *l, const xfc_token_words *w, xfc_streams **out) {
    *out = xfc_streams_find(l, l->graph);
    const xfc_stream *whole = first_usable(*out);
    if (whole && !w->has_threshold) return XFC_OK;
    xfc_graph *g = xfc_graph_clone(l->graph);
    xfc_status status = make_ragged(l, g, whole);
    xfc_streams *s = xfc_streams_find(l, g);
    s->whole = whole;
    for (uint32_t i = 0; i < s->n_sites && status == XFC_OK; i++)
        if (s->site[i].attention->code == XFC_OP_ATTENTION_RAGGED) *out = s;
    if (*out != s) xfc_graph_free(g);
    return status;
}

static xfc_status list(xfc_lossy *l, const xfc_token_words *w, xfc_streams *s) {
    int64_t *r = xfc_new_array(l->arena, int64_t, s->n_sites + 1);
    refuse_ways(w, s);
    XFC_TRY(xfc_token_words_numbers(l, n_usable(s), usual_of(s), r));
    return ask_all(l, w, s, r);
}

xfc_status xfc_token_merge_sites(xfc_lossy *l) {
    xfc_streams *s;
    xfc_token_words w;
    XFC_TRY(xfc_token_words_read(l, &w));
    XFC_TRY(find(l, &w, &s));
    xfc_status status = list(l, &w, s);
    s->copied = s->tokens.graph != l->graph;
    if (s->copied) xfc_graph_free(s->tokens.graph);
    return status;
}

/* --- the rewrite --- */

typedef struct { /* a stream's tokens behind a site */
    int64_t n;
    xfc_value *mass, *log_mass, *to; /* [b, n], [b, n], and where each token of the beginning is; NULL: as there */
    xfc_ragged_rows rows;            /* instead, of a ragged stream */
    double left;                     /* of what all_of counts */
} tokens;

typedef struct {
    xfc_streams *s;
    xfc_ctx *ctx;
    xfc_token_words words;
    tokens *behind; /* by site */
    uint32_t *done; /* by site: the level that was reached */
} merger;

static const xfc_stream *stream_of(const merger *m, const xfc_stream_value *x) { return &m->s->stream[x->stream]; }

static tokens tokens_of(const merger *m, const xfc_stream_value *x) {
    const xfc_stream *stream = stream_of(m, x);
    if (x->site >= 0) return m->behind[x->site];
    tokens t = {.n = stream->n, .left = all_of(stream)};
    if (stream->offsets) t.rows = xfc_ragged_rows_of(stream);
    return t;
}

static xfc_int constant(const merger *m, int64_t n) { return xfc_int_const(m->ctx, n); }

static xfc_value *reshape(xfc_builder *b, xfc_value *v, uint32_t rank, const xfc_int *dim) {
    return v ? xfc_b_reshape(b, v, dim, rank) : NULL;
}

/* v [b, n] from column `first` on. */
static xfc_value *columns_from(const merger *m, xfc_builder *b, xfc_value *v, int64_t first) {
    if (!v || first == 0) return v;
    return xfc_b_slice_axis(b, v, 1, constant(m, first), xfc_int_addc(m->ctx, v->type.dim[1], -first), 1);
}

/* rows [b, m, ..] at index [b, n]. */
static xfc_value *rows_at(const merger *m, xfc_builder *b, xfc_value *rows, xfc_value *index) {
    if (!rows || !index) return NULL;
    const xfc_int dim[3] = {index->type.dim[0], index->type.dim[1], constant(m, 1)};
    const xfc_attr batch = xfc_attr_int(XFC_K_BATCH_DIMS, 1);
    return xfc_build(b, XFC_OP_GATHER_ND, (xfc_value *[]){rows, reshape(b, index, 3, dim)}, 2, &batch, 1);
}

/* A size that an op was given, with the tokens that there are now. */
static void resize(const merger *m, const xfc_stream_value *out, const tokens *now, xfc_int *dim, uint32_t n) {
    const xfc_stream *stream = stream_of(m, out);
    xfc_int *counted = &dim[out->token.s_dim], rest;
    if (stream->offsets) {
        for (uint32_t d = 0; d < n; d++)
            dim[d] = xfc_int_substitute(m->ctx, dim[d], &stream->tokens, &now->rows.rows, 1);
        return;
    }
    bool whole = xfc_int_exact(m->ctx, *counted, constant(m, stream->n - out->first), &rest);
    xfc_assert(whole);
    *counted = xfc_int_mul(m->ctx, rest, constant(m, now->n - out->first));
}

/* Sizes that an op was given follow its operands' tokens. */
static xfc_status follow(const merger *m, xfc_op *op, const tokens *now) {
    const xfc_stream_value *out = op->n_out == 1 ? xfc_stream_value_of(m->s, &op->out[0]) : NULL;
    for (uint32_t k = 0; out && k < op->n_attr; k++) {
        bool is_shape = op->attr[k].key == XFC_K_SHAPE || (op->attr[k].key == XFC_K_SIZE && xfc_op_has(op, XFC_VIEW));
        if (!is_shape) continue;
        xfc_attr *attr = xfc_dup_array(op->graph->arena, xfc_attr, op->attr, op->n_attr);
        xfc_int *dim = xfc_dup_array(op->graph->arena, xfc_int, attr[k].u.dims, attr[k].n);
        resize(m, out, now, dim, attr[k].n);
        attr[k].u.dims = dim;
        op->attr = attr;
    }
    return xfc_infer_op(op);
}

/* log(mass) for each key of an attention over [b * inner, ..], in its type. */
static xfc_value *keys_bias(const merger *m, xfc_builder *b, const xfc_value *keys, const xfc_stream_value *x) {
    xfc_value *v = columns_from(m, b, tokens_of(m, x).log_mass, x->first);
    xfc_int one = constant(m, 1), batch = m->s->stream[x->stream].b, inner;
    if (!v || !xfc_int_exact(m->ctx, keys->type.dim[0], batch, &inner)) return NULL;
    const xfc_int each[4] = {batch, one, one, v->type.dim[1]}, all[4] = {batch, inner, one, v->type.dim[1]},
                  joined[4] = {keys->type.dim[0], one, one, v->type.dim[1]};
    v = reshape(b, v, 4, each);
    if (v && !xfc_int_is(m->ctx, inner, 1)) v = reshape(b, xfc_b_expand(b, v, all, 4), 4, joined);
    return v ? xfc_b_cast(b, v, keys->type.dtype) : NULL;
}

static xfc_status weigh_keys(const merger *m, xfc_op *op) {
    const xfc_value *k = op->in[1].value;
    const xfc_stream_value *x = xfc_stream_value_of(m->s, k);
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    if (!x || !tokens_of(m, x).log_mass || m->words.plain) return xfc_infer_op(op);
    xfc_value *bias = keys_bias(m, &b, k, x);
    if (bias && op->n_in > 3 && op->in[3].value) bias = xfc_b_binary(&b, XFC_OP_ADD, op->in[3].value, bias);
    if (!bias) return XFC_ERR_INPUT;
    if (op->n_in > 3)
        xfc_op_set_in(op, 3, bias);
    else
        xfc_op_add_in(op, bias);
    return xfc_infer_op(op);
}

/* A sum or mean over tokens: each counts as often as its mass says; where some were dropped the others stand for all. */
static xfc_status weigh_sum(const merger *m, xfc_op *op, const xfc_stream_value *x) {
    static const int64_t axis = 1;
    xfc_value *v = op->in[0].value;
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    tokens t = tokens_of(m, x);
    xfc_assert(v); /* a sum has something to sum */
    double all = (double)(m->s->stream[x->stream].n - x->first), by = op->code == XFC_OP_REDUCE_MEAN ? all : 1;
    xfc_value *sum = v;
    if (t.mass) {
        const xfc_int dim[3] = {v->type.dim[0], v->type.dim[1], constant(m, 1)};
        xfc_value *mass = reshape(&b, columns_from(m, &b, t.mass, x->first), 3, dim);
        if (!mass) return XFC_ERR_INPUT;
        sum = xfc_b_binary(&b, XFC_OP_MUL, v, xfc_b_cast(&b, mass, v->type.dtype));
    } else {
        by *= (double)(t.n - x->first) / all;
    }
    sum = xfc_b_reduce(&b, XFC_OP_REDUCE_SUM, sum, &axis, 1, xfc_op_int(op, XFC_K_KEEPDIMS, 0) != 0);
    if (by != 1 && sum) sum = xfc_b_binary(&b, XFC_OP_DIV, sum, xfc_b_scalar_f(&b, v->type.dtype, by));
    if (!sum) return XFC_ERR_INPUT;
    xfc_value_replace(&op->out[0], sum);
    xfc_op_remove(op);
    return XFC_OK;
}

/* Outputs have a row for each token that there was. */
static xfc_status give_back(const merger *m, xfc_op *ret) {
    for (uint32_t i = 0; i < ret->n_in; i++) {
        xfc_value *v = ret->in[i].value;
        const xfc_stream_value *x = xfc_stream_value_of(m->s, v);
        xfc_builder b = {.graph = ret->graph, .before = ret, .loc = v->def ? v->def->loc : ret->loc};
        if (!x || !tokens_of(m, x).to) continue;
        xfc_value *to = columns_from(m, &b, tokens_of(m, x).to, x->first);
        if (to && x->first) to = xfc_b_binary(&b, XFC_OP_SUB, to, xfc_b_scalar_i(&b, XFC_I32, x->first));
        v = rows_at(m, &b, v, to);
        if (!v) return XFC_ERR_INPUT;
        xfc_op_set_in(ret, i, v);
    }
    return XFC_OK;
}

/* Whoever read v reads `with`, but for those that do so by now. */
typedef struct {
    xfc_use **use;
    uint32_t n, cap;
} readers;

static readers readers_of(const merger *m, const xfc_value *v) {
    readers r = {0};
    xfc_foreach_use(use, v) xfc_push(m->s->arena, r.use, r.n, r.cap) = use;
    return r;
}

static void redirect(const readers *r, xfc_value *with) {
    for (uint32_t i = 0; i < r->n; i++)
        xfc_op_set_in(r->use[i]->user, (uint32_t)(r->use[i] - r->use[i]->user->in), with);
}

/* Tokens that join makes go; whoever reads what it makes reads the others. */
static xfc_value *reduce(const merger *m, xfc_builder *b, const xfc_stream_site *site, uint32_t level, tokens *t) {
    const xfc_stream *stream = &m->s->stream[site->stream];
    xfc_value *x = &site->join->out[0];
    int64_t most = (t->n - stream->protect) / 2;
    xfc_token_plan plan = {.way = m->words.way,
                           .attention = site->attention,
                           .n = t->n,
                           .goes = level < most ? level : most,
                           .protect = stream->protect,
                           .softness = m->words.softness,
                           .seed = (uint32_t)(site - m->s->site)};
    xfc_fewer_tokens fewer;
    xfc_value *wide = xfc_b_cast(b, x, XFC_F32);
    if (!wide || !xfc_tokens_reduce(b, &plan, wide, t->mass, &fewer)) return NULL;
    t->n -= plan.goes;
    if (!xfc_token_drops(m->words.way)) {
        t->mass = fewer.mass;
        t->log_mass = xfc_b_unary(b, XFC_OP_LOG, t->mass);
        t->to = t->to ? rows_at(m, b, fewer.to, t->to) : fewer.to;
        if (!t->log_mass || !t->to) return NULL;
    }
    return xfc_b_cast(b, fewer.x, x->type.dtype);
}

static xfc_value *reduce_ragged(const merger *m, xfc_builder *b, const xfc_stream_site *site, uint32_t level,
                                tokens *t) {
    const xfc_ragged_plan plan = {site->attention, &m->s->stream[site->stream], level, m->words.threshold};
    return xfc_ragged_reduce(b, &plan, &site->join->out[0], &t->rows);
}

/* At a site with these tokens. */
static xfc_status merge_at(merger *m, uint32_t at, uint32_t level, tokens t) {
    const xfc_stream_site *site = &m->s->site[at];
    const xfc_stream *stream = &m->s->stream[site->stream];
    xfc_builder b = {.graph = site->join->graph, .before = site->join->next, .loc = site->attention->loc};
    xfc_value *x = &site->join->out[0];
    bool none = level == 0 || (!stream->offsets && t.n - stream->protect < 2);
    m->behind[at] = t;
    if (none) return XFC_OK;
    const readers all = readers_of(m, x);
    xfc_value *fewer = stream->offsets ? reduce_ragged(m, &b, site, level, &t) : reduce(m, &b, site, level, &t);
    if (!fewer) return XFC_ERR_INPUT;
    redirect(&all, fewer);
    xfc_stream_value_add(m->s, fewer, *xfc_stream_value_of(m->s, x));
    m->done[at] = stream->offsets ? level : (uint32_t)(m->behind[at].n - t.n);
    t.left -= amount(stream, t.left, m->done[at]);
    m->behind[at] = t;
    return XFC_OK;
}

/* An op that reads fewer tokens than it did. */
static xfc_status adapt(const merger *m, xfc_op *op, const xfc_stream_value *in, const tokens *t) {
    if (op->code == XFC_OP_ATTENTION) return weigh_keys(m, op);
    if (op->code == XFC_OP_ATTENTION_RAGGED) return xfc_ragged_attend(op, &t->rows, m->words.plain);
    if (op->code == XFC_OP_PAD_RAGGED) return xfc_ragged_give_back(op, &t->rows);
    return xfc_stream_is_sum(m->s, op, in) ? weigh_sum(m, op, in) : follow(m, op, t);
}

/* The op with the tokens that it gets now. */
static xfc_status visit(merger *m, xfc_op *op, const uint32_t *level) {
    const xfc_stream_value *in = NULL;
    uint64_t site = op->n_out == 1 ? xfc_map_get(&m->s->joins, op->out[0].id) : 0;
    if (op->code == XFC_OP_RETURN) return give_back(m, op);
    for (uint32_t i = 0; i < op->n_in && !in; i++)
        in = op->in[i].value ? xfc_stream_value_of(m->s, op->in[i].value) : NULL;
    if (!in) return XFC_OK;
    tokens t = tokens_of(m, in);
    if (t.rows.to || t.n != stream_of(m, in)->n) XFC_TRY(adapt(m, op, in, &t));
    if (!site || !m->s->site[site - 1].reached) return XFC_OK;
    return merge_at(m, (uint32_t)site - 1, level[site - 1], t);
}

/* What went, and what that saves with as many as there were. */
static void tell_done(const merger *m, xfc_lossy *l, uint32_t i) {
    const xfc_stream_site *at = &m->s->site[i];
    xfc_lossy_site *site = &l->site[i];
    site->done = m->done[i];
    if (site->why || site->done == 0) return;
    const xfc_stream *stream = &m->s->stream[at->stream];
    double *saves = xfc_dup_array(l->arena, double, site->saves, site->levels + 1), left = m->behind[i].left;
    double before =
        stream->offsets ? left * (double)XFC_THOUSAND / (double)(XFC_THOUSAND - site->done) : left + site->done;
    saves[site->done] = saved(at, all_of(stream), before, before - left);
    site->saves = saves;
}

xfc_status xfc_token_merge_apply(xfc_lossy *l, const uint32_t *level) {
    xfc_streams *s = l->n_sites ? l->site[0].data : NULL;
    merger m = {.ctx = l->graph->ctx};
    if (!s) return XFC_OK;
    XFC_TRY(xfc_token_words_read(l, &m.words));
    if (s->copied) {
        XFC_TRY(make_ragged(l, l->graph, s->whole));
        s = xfc_streams_find(l, l->graph); /* the same as in the copy */
        xfc_assert(s->n_sites == l->n_sites);
    }
    m.s = s;
    m.behind = xfc_new_array(l->arena, tokens, s->n_sites);
    m.done = xfc_new_array(l->arena, uint32_t, s->n_sites);
    xfc_foreach_op_safe(op, l->graph) XFC_TRY(visit(&m, op, level));
    for (uint32_t i = 0; i < l->n_sites; i++) tell_done(&m, l, i);
    return XFC_OK;
}

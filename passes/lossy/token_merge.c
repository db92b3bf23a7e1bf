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
 */
#include "passes/lossy/token_plan.h"
#include "passes/lossy/token_stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- sites and levels --- */

static xfc_token_way way_of(const xfc_lossy *l) {
    static const char *const names[] = {
        [XFC_BY_TRANSFORM] = "transform", [XFC_BY_ATTENTION] = "attention", [XFC_BY_RANDOM] = "random"};
    const char *by = xfc_lossy_word_of(l, "by");
    for (uint32_t i = XFC_BY_TRANSFORM; by && i < XFC_COUNT(names); i++)
        if (!strcmp(by, names[i])) return (xfc_token_way)i;
    return XFC_BY_MERGE;
}

/* Outputs of all tokens want a row for each. */
static void refuse_drops(const xfc_lossy *l, xfc_streams *s) {
    for (uint32_t i = 0; i < s->n_sites && xfc_token_drops(way_of(l)); i++)
        if (!s->site[i].why && s->stream[s->site[i].stream].is_output)
            s->site[i].why = "an output has a row for each token, and those that are dropped have none";
}

static int64_t most_of(const xfc_streams *s, const xfc_stream_site *site) {
    return (s->stream[site->stream].n - s->stream[site->stream].protect) / 2;
}

/* Behind the site, r of the n tokens that there are fewer, where the model has `all`. Pairs of them: n^2 - (n - r)^2 of
 * all^2. */
static double saved(const xfc_stream_site *site, double all, double n, double r) {
    return site->each * r / all + site->own * r * fmax(2 * n - r, 0) / (all * all);
}

/* n: tokens that the blocks in front leave if they do what is asked of them. */
static void describe(xfc_lossy *l, xfc_lossy_site *to, const xfc_streams *s, const xfc_stream_site *site, int64_t n) {
    const xfc_stream *stream = &s->stream[site->stream];
    to->levels = (uint32_t)most_of(s, site);
    double *saves = xfc_new_array(l->arena, double, to->levels + 1);
    static const char *const ways[2][2] = {{"token merges", "tokens merge"}, {"token goes", "tokens go"}};
    const char *const *way = ways[xfc_token_drops(way_of(l))];
    const char **says = xfc_new_array(l->arena, const char *, to->levels + 1);
    for (uint32_t r = 0; r <= to->levels; r++) {
        saves[r] = saved(site, (double)stream->n, (double)n, r);
        says[r] = xfc_sprintf(l->arena, "%u %s", (unsigned)r, r == 1 ? way[0] : way[1]);
    }
    to->saves = saves;
    to->says = says;
}

/* What the words say for each of n blocks: r=13, with inflect=X from r * (1 - X) to r * (1 + X) in even steps;
 * r=16/16/8, and none behind those. */
static xfc_status read_words(xfc_lossy *l, uint32_t n, int64_t usual, int64_t *r) {
    const char *text = xfc_lossy_word_of(l, "r"), *inflect = xfc_lossy_word_of(l, "inflect"), *at = text;
    char *end = NULL;
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) r[i] = text ? 0 : usual;
    for (; at; at = *end ? end + 1 : NULL, k++) {
        int64_t v = strtoll(at, &end, 10);
        if (end == at || (*end && *end != '/') || v < 0 || v > INT32_MAX || (k >= n && k > 0))
            return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                            "--lossy=token-merge:r=%s: give how many tokens merge in each block, or numbers joined by "
                            "'/', one for each of the %u blocks",
                            text, (unsigned)n);
        if (k < n) r[k] = v;
    }
    for (uint32_t i = 1; i < n && k == 1; i++) r[i] = r[0];
    if (!inflect) return XFC_OK;
    double by = strtod(inflect, &end);
    if (*end || k > 1 || !(by >= -1 && by <= 1))
        return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                        "--lossy=token-merge:inflect=%s: give a number from -1 to 1, and one number for r", inflect);
    double low = n > 0 ? floor((double)r[0] * (1 - by)) : 0, step = n > 1 ? 2 * ((double)r[0] - low) / (n - 1) : 0;
    for (uint32_t i = 0; i < n; i++) r[i] = (int64_t)(low + step * i);
    return XFC_OK;
}

/* ratio=X in thousandths; -1: not given. */
static xfc_status read_ratio(xfc_lossy *l, int64_t *thousandths) {
    const char *text = xfc_lossy_word_of(l, "ratio");
    double ratio = text ? strtod(text, NULL) : 0;
    *thousandths = text ? lround(fmin(ratio, 1) * 1000) : -1;
    if (ratio > 0.5)
        return xfc_fail(
            l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
            "--lossy=token-merge:ratio=%s: give the share of the tokens that merges in each block, from 0 to "
            "0.5",
            text);
    if (text && (xfc_lossy_word_of(l, "r") || xfc_lossy_word_of(l, "inflect")))
        return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                        "--lossy=token-merge: ratio says what r and inflect say; give one of them");
    return XFC_OK;
}

static xfc_status check_softness(xfc_lossy *l) {
    const char *text = xfc_lossy_word_of(l, "softness");
    if (!text || strtod(text, NULL) >= 1e-3) return XFC_OK;
    return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                    "--lossy=token-merge:softness=%s: give a number that is not below 0.001", text);
}

/* More than a block can do at its best was asked of it: the words are wrong. */
static xfc_status ask(xfc_lossy *l, const xfc_streams *s, xfc_lossy_site *to, const xfc_stream_site *site, int64_t r) {
    const xfc_stream *stream = &s->stream[site->stream];
    to->asked = (uint32_t)(r < to->levels ? r : to->levels);
    if (r <= to->levels) return XFC_OK;
    return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, to->loc,
                    "--lossy=token-merge: %lld tokens cannot merge in a block, of %lld tokens, %lld of them protected, "
                    "only %u: give less",
                    (long long)r, (long long)stream->n, (long long)stream->protect, (unsigned)to->levels);
}

/* What the words ask of the blocks that can be used, one behind the other: each finds what those in front of it leave. */
static xfc_status ask_all(xfc_lossy *l, xfc_streams *s, const int64_t *r, int64_t thousandths) {
    int64_t *left = xfc_new_array(l->arena, int64_t, s->n_streams + 1);
    for (uint32_t i = 0; i < s->n_streams; i++) left[i] = s->stream[i].n;
    for (uint32_t i = 0; i < s->n_sites; i++) {
        const xfc_stream_site *site = &s->site[i];
        xfc_lossy_site *to = xfc_lossy_add(l, site->attention);
        to->what = "block of attention";
        to->why = site->why;
        to->data = s;
        if (site->why) continue;
        int64_t *n = &left[site->stream], most = (*n - s->stream[site->stream].protect) / 2;
        int64_t goes = thousandths < 0 ? *r++ : *n * thousandths / 1000;
        if (thousandths >= 0 && goes > most) goes = most;
        describe(l, to, s, site, *n);
        XFC_TRY(ask(l, s, to, site, goes));
        *n -= goes < most ? goes : most;
    }
    return XFC_OK;
}

xfc_status xfc_token_merge_sites(xfc_lossy *l) {
    xfc_streams *s = xfc_streams_find(l);
    int64_t usual = 0, thousandths, *r = xfc_new_array(l->arena, int64_t, s->n_sites + 1);
    uint32_t n = 0;
    refuse_drops(l, s);
    XFC_TRY(check_softness(l));
    XFC_TRY(read_ratio(l, &thousandths));
    for (uint32_t i = 0; i < s->n_sites; i++) n += !s->site[i].why;
    for (uint32_t i = s->n_sites; i-- > 0;)
        if (!s->site[i].why) usual = most_of(s, &s->site[i]) / n; /* about half of the tokens in all */
    XFC_TRY(read_words(l, n, usual > 0 ? usual : 1, r));
    return ask_all(l, s, r, thousandths);
}

/* --- the rewrite --- */

typedef struct { /* a stream's tokens behind a site */
    int64_t n;
    xfc_value *mass, *log_mass, *to; /* [b, n], [b, n], and where each token of the beginning is; NULL: as there */
} tokens;

typedef struct {
    xfc_streams *s;
    xfc_ctx *ctx;
    bool plain; /* attentions do not weigh keys by their masses */
    xfc_token_way way;
    double softness;
    tokens *behind; /* by site */
    uint32_t *goes; /* by site: tokens that went */
} merger;

static tokens tokens_of(const merger *m, const xfc_stream_value *x) {
    return x->site >= 0 ? m->behind[x->site] : (tokens){.n = m->s->stream[x->stream].n};
}

static xfc_int constant(const merger *m, int64_t n) { return xfc_int_const(m->ctx, n); }

static xfc_value *reshape(xfc_builder *b, xfc_value *v, uint32_t rank, const xfc_int *dim) {
    return v ? xfc_b_reshape(b, v, dim, rank) : NULL;
}

/* v [b, n] from column `first` on. */
static xfc_value *columns_from(const merger *m, xfc_builder *b, xfc_value *v, int64_t first) {
    static const int64_t step[2] = {1, 1};
    if (!v || first == 0) return v;
    const xfc_int start[2] = {constant(m, 0), constant(m, first)},
                  size[2] = {v->type.dim[0], xfc_int_addc(m->ctx, v->type.dim[1], -first)};
    return xfc_b_slice(b, v, start, size, step);
}

/* rows [b, m, ..] at index [b, n]. */
static xfc_value *rows_at(const merger *m, xfc_builder *b, xfc_value *rows, xfc_value *index) {
    if (!rows || !index) return NULL;
    const xfc_int dim[3] = {index->type.dim[0], index->type.dim[1], constant(m, 1)};
    const xfc_attr batch = xfc_attr_int(XFC_K_BATCH_DIMS, 1);
    return xfc_build(b, XFC_OP_GATHER_ND, (xfc_value *[]){rows, reshape(b, index, 3, dim)}, 2, &batch, 1);
}

/* Sizes that an op was given follow its operands' tokens. */
static xfc_status resize(const merger *m, xfc_op *op, int64_t now) {
    const xfc_stream_value *out = op->n_out == 1 ? xfc_stream_value_of(m->s, &op->out[0]) : NULL;
    for (uint32_t k = 0; out && k < op->n_attr; k++) {
        bool is_shape = op->attr[k].key == XFC_K_SHAPE || (op->attr[k].key == XFC_K_SIZE && xfc_op_has(op, XFC_VIEW));
        if (!is_shape) continue;
        xfc_attr *attr = xfc_dup_array(op->graph->arena, xfc_attr, op->attr, op->n_attr);
        xfc_int *dim = xfc_dup_array(op->graph->arena, xfc_int, attr[k].u.dims, attr[k].n), rest;
        uint32_t d = out->token.s_dim;
        bool whole = xfc_int_exact(m->ctx, dim[d], constant(m, m->s->stream[out->stream].n - out->first), &rest);
        xfc_assert(whole);
        dim[d] = xfc_int_mul(m->ctx, rest, constant(m, now - out->first));
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
    if (!x || !tokens_of(m, x).log_mass || m->plain) return xfc_infer_op(op);
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

/* r of the tokens that join makes go; whoever reads what it makes reads the others. */
static xfc_status reduce(merger *m, uint32_t at, uint32_t level, tokens *t) {
    const xfc_stream_site *site = &m->s->site[at];
    xfc_value *x = &site->join->out[0];
    xfc_builder b = {.graph = site->join->graph, .before = site->join->next, .loc = site->attention->loc};
    int64_t protect = m->s->stream[site->stream].protect, most = (t->n - protect) / 2;
    xfc_token_plan plan = {.way = m->way,
                           .attention = site->attention,
                           .n = t->n,
                           .goes = level < most ? level : most,
                           .protect = protect,
                           .softness = m->softness,
                           .seed = at};
    xfc_fewer_tokens fewer;
    readers all = readers_of(m, x);
    if (plan.goes <= 0) return XFC_OK;
    xfc_value *wide = xfc_b_cast(&b, x, XFC_F32);
    if (!wide || !xfc_tokens_reduce(&b, &plan, wide, t->mass, &fewer)) return XFC_ERR_INPUT;
    xfc_value *narrow = xfc_b_cast(&b, fewer.x, x->type.dtype);
    t->n -= plan.goes;
    if (!xfc_token_drops(m->way)) {
        t->mass = fewer.mass;
        t->log_mass = xfc_b_unary(&b, XFC_OP_LOG, t->mass);
        t->to = t->to ? rows_at(m, &b, fewer.to, t->to) : fewer.to;
        if (!t->log_mass || !t->to) return XFC_ERR_INPUT;
    }
    if (!narrow) return XFC_ERR_INPUT;
    redirect(&all, narrow);
    xfc_stream_value_add(m->s, narrow, *xfc_stream_value_of(m->s, x));
    return XFC_OK;
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
    bool fewer = t.n != m->s->stream[in->stream].n;
    if (fewer && op->code == XFC_OP_ATTENTION)
        XFC_TRY(weigh_keys(m, op));
    else if (fewer && xfc_stream_is_sum(m->s, op, in))
        return weigh_sum(m, op, in);
    else if (fewer)
        XFC_TRY(resize(m, op, t.n));
    if (!site || !m->s->site[site - 1].reached) return XFC_OK;
    int64_t n = t.n;
    XFC_TRY(reduce(m, (uint32_t)site - 1, level[site - 1], &t));
    m->goes[site - 1] = (uint32_t)(n - t.n);
    m->behind[site - 1] = t;
    return XFC_OK;
}

/* What went, and what that saves with as many as there were. */
static void tell_done(const merger *m, xfc_lossy *l, uint32_t i) {
    const xfc_stream_site *at = &m->s->site[i];
    xfc_lossy_site *site = &l->site[i];
    site->done = m->goes[i];
    if (site->why || site->done == 0) return;
    double all = (double)m->s->stream[at->stream].n, left = (double)m->behind[i].n, r = m->goes[i];
    double *saves = xfc_dup_array(l->arena, double, site->saves, site->levels + 1);
    saves[site->done] = saved(at, all, left + r, r);
    site->saves = saves;
}

xfc_status xfc_token_merge_apply(xfc_lossy *l, const uint32_t *level) {
    xfc_streams *s = l->n_sites ? l->site[0].data : NULL;
    merger m = {.s = s, .ctx = l->graph->ctx};
    const char *proportional = xfc_lossy_word_of(l, "proportional"), *softness = xfc_lossy_word_of(l, "softness");
    if (!s) return XFC_OK;
    m.plain = proportional && !strcmp(proportional, "off");
    m.way = way_of(l);
    m.softness = softness ? strtod(softness, NULL) : 0.07;
    m.behind = xfc_new_array(l->arena, tokens, s->n_sites);
    m.goes = xfc_new_array(l->arena, uint32_t, s->n_sites);
    xfc_foreach_op_safe(op, l->graph) XFC_TRY(visit(&m, op, level));
    for (uint32_t i = 0; i < l->n_sites; i++) tell_done(&m, l, i);
    return XFC_OK;
}

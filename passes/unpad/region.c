/* region.c - which values exist ragged, and who still sees them padded.
 *
 * One walk in the order of the graph. Values whose dims name batch and sequence are token values; ops that keep tokens
 * apart carry tokens on. The attentions whose bias provably forbids padding make values tainted: at padded positions
 * they will not be computed at all, so whatever depends on them must either keep tokens apart (and joins the region),
 * or ignore padding, or be a graph output. Ignoring padding is proved: multiplied by 0 or selected away there; keys and
 * values of another attention with the same mask; or checked at run time: a copy of single tokens (unpad/exit.c). Any
 * other reader refuses the region. Untainted token values are ragged only where a ragged op wants them, and then from
 * the earliest point on: ids are ragged rather than embeddings.
 */
#include "passes/unpad/unpad.h"

static bool any_tainted(xfc_unpad *u, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_in; i++)
        if (op->in[i].value && xfc_unpad_of(u, op->in[i].value)->tainted) return true;
    return false;
}

static void set_source(xfc_unpad *u, const xfc_value *v) {
    xfc_unpad_value *s = xfc_unpad_of(u, v);
    s->is_token = xfc_token_of_type(&u->tokens, &v->type, &s->token);
    if (!s->is_token || !xfc_int_is(u->ctx, u->tokens.b, 1)) return;
    s->token.has_b = false; /* one sequence: its number stands nowhere */
}

/* --- attention --- */

/* Dims of the bias: 1, or those of the scores. The batch may stand in front of heads in one dim, with nothing
 * before. */
static bool bias_fits(xfc_unpad *u, const xfc_op *op, const xfc_token *q) {
    const xfc_type *rows = &op->in[0].value->type;
    xfc_int outer = XFC_INT_NONE;
    if (q->has_b && (!xfc_int_exact(u->ctx, rows->dim[0], xfc_int_mul(u->ctx, u->tokens.b, q->b_inner), &outer) ||
                     !xfc_int_is(u->ctx, outer, 1)))
        return false;
    if (q->has_b && !xfc_int_is(u->ctx, q->b_inner, 1) && !xfc_int_is(u->ctx, rows->dim[1], 1)) return false;
    if (op->n_in < 4 || !op->in[3].value) return true;
    const xfc_type *bias = &op->in[3].value->type;
    for (uint32_t d = 0; d < bias->rank; d++) {
        uint32_t to = d + 4 - bias->rank;
        xfc_int full = to == 3 ? u->tokens.s : rows->dim[to];
        if (!xfc_int_is(u->ctx, bias->dim[d], 1) && !xfc_int_same(bias->dim[d], full)) return false;
    }
    return true;
}

/* Attention over sequences of different lengths has one implementation: f32, or narrower types in f32, with heads of
 * known widths, where all scores count as they are. */
static bool has_kernel(const xfc_unpad *u, const xfc_op *op) {
    const xfc_type *q = &op->in[0].value->type, *v = &op->in[2].value->type;
    return q->dtype != XFC_F64 && xfc_int_value(u->ctx, q->dim[3], NULL) && xfc_int_value(u->ctx, v->dim[3], NULL) &&
           xfc_attention_is_plain(op);
}

static bool attention_tokens(xfc_unpad *u, const xfc_op *op, xfc_token *q) {
    for (uint32_t i = 0; i < 3; i++) {
        const xfc_unpad_value *s = xfc_unpad_of(u, op->in[i].value);
        if (!s->is_token || s->token.s_dim != 2 || !xfc_int_is(u->ctx, s->token.s_inner, 1)) return false;
        if (!xfc_int_same(op->in[i].value->type.dim[2], u->tokens.s) || (s->token.has_b && s->token.b_dim != 0))
            return false;
        if (i == 0) *q = s->token;
        if (!xfc_token_same(q, &s->token)) return false;
    }
    return has_kernel(u, op) && bias_fits(u, op, q);
}

/* Keys and values of an attention over other rows (a decoder reading the encoder): padding has no weight there. */
static bool reads_keys_only(xfc_unpad *u, const xfc_op *op) {
    const xfc_unpad_value *k = xfc_unpad_of(u, op->in[1].value), *v = xfc_unpad_of(u, op->in[2].value);
    if (xfc_unpad_of(u, op->in[0].value)->tainted || !k->is_token || !xfc_token_same(&k->token, &v->token))
        return false;
    if (op->n_in > 3 && op->in[3].value && xfc_unpad_of(u, op->in[3].value)->tainted) return false;
    return k->token.s_dim == 2 && xfc_int_is(u->ctx, k->token.s_inner, 1) && (!k->token.has_b || k->token.b_dim == 0) &&
           xfc_unpad_masks_keys(u, op, &k->token);
}

static void visit_attention(xfc_unpad *u, const xfc_op *op) {
    xfc_token q;
    xfc_unpad_terms terms;
    if (attention_tokens(u, op, &q) && xfc_unpad_bias_terms(u, op, &terms) &&
        (u->whole || xfc_unpad_masks_keys(u, op, &q))) {
        xfc_unpad_value *out = xfc_unpad_of(u, &op->out[0]);
        *out = (xfc_unpad_value){.token = q, .is_token = true, .derived = true, .tainted = true};
        u->n_attentions++;
        return;
    }
    bool tainted = any_tainted(u, op) && !u->whole;
    if (tainted && !reads_keys_only(u, op))
        xfc_unpad_refuse(
            u, op,
            !xfc_attention_is_plain(op)
                ? "attention whose scores are capped, have a sink, or of which only the largest count has no kernel "
                  "without padding"
                : "this attention reads padded positions: its mask is not the padding mask alone");
    u->nonempty |= tainted; /* where no key counts, a finite bias makes all count, padding too */
    set_source(u, &op->out[0]);
}

/* --- other ops --- */

/* Tainted operands that are not known at padding, and whose padding counts. */
static bool reads_padding(xfc_unpad *u, const xfc_op *op) {
    if (u->whole) return false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_unpad_value *s = op->in[i].value ? xfc_unpad_of(u, op->in[i].value) : NULL;
        if (s && s->tainted && !s->clean && !xfc_unpad_ignores(u, op, i)) return true;
    }
    return false;
}

/* Moves of elements and changes of type keep what is known at padding. */
static void keep_fill(xfc_unpad *u, const xfc_op *op, xfc_unpad_value *out) {
    const xfc_unpad_value *x = xfc_unpad_of(u, op->in[0].value);
    bool moves = op->n_in == 1 && (xfc_op_has(op, XFC_BIJECT) || op->code == XFC_OP_EXPAND);
    if (!moves || !x->clean) return;
    out->clean = true;
    out->fill = x->fill;
}

static void visit_tokens(xfc_unpad *u, const xfc_op *op, xfc_token token, bool tainted) {
    xfc_unpad_value s = {.token = token, .is_token = true, .derived = true, .tainted = tainted};
    if (tainted && !u->whole) {
        xfc_clean clean = xfc_unpad_cleanses(u, op, &token, &s.fill);
        if (clean == XFC_CLEAN) { /* computed padded from what is padded again */
            set_source(u, &op->out[0]);
            return;
        }
        s.clean = clean == XFC_CLEAN_FILL;
        keep_fill(u, op, &s);
    }
    *xfc_unpad_of(u, &op->out[0]) = s;
}

/* Keeps tokens apart, and every operand can be ragged. */
static bool through(xfc_unpad *u, const xfc_op *op, xfc_token *in, xfc_token *out) {
    xfc_pieces p;
    if (op->n_out != 1 || op->n_in > 16 || !xfc_token_through(&u->tokens, op, in, out)) return false;
    for (uint32_t i = 0; i < op->n_in; i++)
        if (op->in[i].value && !xfc_token_split(&u->tokens, &op->in[i].value->type, &in[i], &p)) return false;
    return xfc_token_split(&u->tokens, &op->out[0].type, out, &p);
}

static void visit_op(xfc_unpad *u, const xfc_op *op) {
    xfc_token in[16], out;
    bool tainted = any_tainted(u, op);
    if (through(u, op, in, &out)) {
        visit_tokens(u, op, out, tainted);
        return;
    }
    if (tainted && xfc_unpad_is_pair(u, op)) {
        *xfc_unpad_of(u, &op->out[0]) = (xfc_unpad_value){.tainted = true, .pair = true};
        return;
    }
    if (reads_padding(u, op)) {
        const char *why = xfc_unpad_exit(u, op);
        if (why) xfc_unpad_refuse(u, op, why);
    }
    for (uint32_t i = 0; i < op->n_out; i++) set_source(u, &op->out[i]);
}

static void visit_outputs(xfc_unpad *u, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_in; i++)
        if (xfc_unpad_of(u, op->in[i].value)->pair)
            xfc_unpad_refuse(u, op, "an output holds scores between tokens, padding among them");
}

/* --- what is wanted ragged --- */

static void want(xfc_unpad *u, const xfc_op *op) {
    xfc_token in[16], out;
    if (op->code == XFC_OP_ATTENTION) {
        xfc_unpad_terms terms;
        for (uint32_t i = 0; i < 3; i++) xfc_unpad_of(u, op->in[i].value)->wanted = true;
        bool is_sum = xfc_unpad_bias_terms(u, op, &terms);
        xfc_assert(is_sum);
        for (uint32_t i = 0; i < terms.n; i++)
            if (terms.term[i].kind != XFC_TERM_PLAIN) xfc_unpad_of(u, terms.term[i].value)->wanted = true;
        return;
    }
    bool keeps = xfc_token_through(&u->tokens, op, in, &out);
    xfc_assert(keeps);
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value) continue;
        xfc_unpad_value *s = xfc_unpad_of(u, op->in[i].value);
        if (s->is_token && xfc_token_same(&in[i], &s->token)) s->wanted = true;
    }
}

static void want_all(xfc_unpad *u) {
    for (xfc_op *op = u->g->tail; op; op = op->prev) {
        if (op->n_out != 1) continue;
        xfc_unpad_value *s = xfc_unpad_of(u, &op->out[0]);
        s->wanted |= s->tainted && !s->pair;
        if (s->wanted && s->derived) want(u, op);
    }
}

/* What has another effect than its results stays where it is, so it counts as late as well. */
static void mark_late(xfc_unpad *u, const xfc_op *op) {
    bool late = !xfc_op_has(op, XFC_PURE);
    for (uint32_t i = 0; i < op->n_in && !late; i++) late = op->in[i].value && xfc_unpad_of(u, op->in[i].value)->late;
    for (uint32_t i = 0; i < op->n_out; i++) {
        xfc_unpad_value *s = xfc_unpad_of(u, &op->out[i]);
        s->late = late || s->tainted;
    }
}

bool xfc_unpad_find_region(xfc_unpad *u) {
    xfc_graph *g = u->g;
    for (uint32_t i = 0; i < g->n_in; i++) set_source(u, g->in[i]);
    xfc_foreach_op(op, g) {
        if (op->code == XFC_OP_RETURN)
            visit_outputs(u, op);
        else if (op->code == XFC_OP_ATTENTION)
            visit_attention(u, op);
        else
            visit_op(u, op);
        mark_late(u, op);
    }
    if (u->n_attentions == 0 || u->n_refusals > 0) return false;
    want_all(u);
    return true;
}

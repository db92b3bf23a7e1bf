/* mask.c - proofs about padding masks, by asking what a bias is where a key is padding.
 *
 * Exporters spell a padding mask in dozens of ways, but each is a chain of element-wise ops, views and gathers from one
 * [b, s] value of zeros and ones (the atom) to the bias of the attention. So the bias is probed at a symbolic index
 * (sequence, head, query, key), and the atom read at the key's own token counts as 0 or as 1 (ir/probe.h walks, the
 * hooks here know the atom). If the result with 0 is at most FORBIDDEN, the weight of such a key is 0 in the model's
 * own arithmetic (exp underflows below -104, and scores are far from 9000) and the key may be left out. No spelling is
 * named anywhere. Comparisons of positions (causal masks) go both ways, the same way in all of a bias.
 *
 * A mask that is summed over positions and compared with them (onnxruntime's mask_index) marks the same keys only if
 * every sequence's tokens come first. The sum is a symbol then, positions compared with it are tokens or not, and what
 * was proved so holds for such masks alone: `prefix` has the others run padded.
 *
 * Values that are neither the atom nor constants count as unknown: integers of any value, floats within +-UNKNOWN,
 * which is why only fills like -3.4e38 prove anything where such a value is added. NaN is never assumed; inf * 0 proves
 * nothing.
 */
#include "ir/probe.h"
#include "passes/unpad/unpad.h"

#include <math.h>

#define FORBIDDEN (-9000.0)
#define UNKNOWN 1e6

/* An index symbol for a dim. */
typedef struct {
    xfc_probe probe; /* first: hooks get at the rest */
    const xfc_unpad *u;
    int64_t padding;          /* what the atom is at the key */
    xfc_int b, key, query;    /* formulas of the tokens' places; query may be NONE */
    xfc_int length;           /* of the sequence: its tokens, which are all that it begins with if `by_length` */
    bool by_length;           /* some comparison with the length was decided */
    bool needs_token;         /* holds only if the sequence has a token */
    const xfc_value *ignored; /* of which nothing is to be known */
} evaluator;

static const xfc_fact BAD = {.kind = XFC_FACT_NONE};

static xfc_fact exactly(const evaluator *ev, xfc_dtype t, int64_t v) {
    return xfc_dtype_is_float(t) ? xfc_fact_between((double)v, (double)v) : xfc_fact_of(xfc_int_const(ev->u->ctx, v));
}

static bool is_number(const evaluator *ev, xfc_fact f, double v) {
    double is;
    return xfc_fact_number(ev->u->ctx, f, &is) && is >= v && is <= v;
}

static bool forbids(const evaluator *ev, xfc_fact f) {
    double lo, hi;
    xfc_fact_bounds(ev->u->ctx, f, &lo, &hi);
    return f.kind != XFC_FACT_NONE && hi <= FORBIDDEN;
}

/* --- what the probe cannot know --- */

static bool key_is_padding(const evaluator *ev) { return ev->padding == (ev->u->inverted ? 1 : 0); }

/* Is d <= 0? If it asks whether the key's or the query's position is below the length: 1, 0. Else -1. */
static int below_length(xfc_probe *p, xfc_int d) {
    evaluator *ev = (evaluator *)p;
    xfc_ctx *c = ev->u->ctx;
    const xfc_int place[2] = {ev->key, ev->query};
    for (uint32_t i = 0; i < 2; i++) {
        if (!xfc_int_known(place[i])) continue;
        xfc_int behind = xfc_int_sub(c, ev->length, place[i]); /* <= 0: not below */
        bool not_below = xfc_int_same(d, behind), token = i == 1 || !key_is_padding(ev);
        if (!not_below && !xfc_int_same(d, xfc_int_sub(c, xfc_int_const(c, 1), behind))) continue;
        ev->by_length = true;
        return token != not_below;
    }
    return -1;
}

/* The atom at an index: `padding` at the key, what marks a token at the query; anywhere else nothing is known. */
static xfc_fact of_atom(const evaluator *ev, const xfc_value *v, const xfc_int *index) {
    const xfc_unpad *u = ev->u;
    xfc_token t;
    if (!xfc_token_of_type(&u->tokens, &v->type, &t)) return BAD;
    if (t.has_b && !xfc_int_same(index[t.b_dim], ev->b)) return BAD;
    if (xfc_int_same(index[t.s_dim], ev->key)) return exactly(ev, v->type.dtype, ev->padding);
    bool at_query = xfc_int_known(ev->query) && xfc_int_same(index[t.s_dim], ev->query);
    return at_query ? exactly(ev, v->type.dtype, u->inverted ? 0 : 1) : BAD;
}

/* Over positions, a forbidden one has the weight 0 if any other has some. */
static xfc_fact of_softmax(evaluator *ev, const xfc_op *op, const xfc_int *index) {
    const xfc_value *x = op->in[0].value;
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    const xfc_fact weight = xfc_fact_between(0, 1);
    if (!xfc_int_same(x->type.dim[axis], ev->u->tokens.s) || !xfc_int_same(index[axis], ev->key)) return weight;
    int64_t padding = ev->padding;
    xfc_fact at_padding = xfc_probe_at(&ev->probe, x, index);
    ev->padding = ev->u->inverted ? 0 : 1;
    xfc_probe_forget(&ev->probe);
    xfc_fact at_token = xfc_probe_at(&ev->probe, x, index);
    ev->padding = padding;
    xfc_probe_forget(&ev->probe);
    if (!forbids(ev, at_padding) || at_token.kind == XFC_FACT_NONE || forbids(ev, at_token)) return weight;
    ev->needs_token = true;
    return exactly(ev, x->type.dtype, 0);
}

/* Facts of operands that cannot matter (a branch of a select that is never taken) may be bad. */
static xfc_fact value_at(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    evaluator *ev = (evaluator *)p;
    if (v == ev->ignored) return xfc_fact_unknown(p, v->type.dtype);
    if (v == ev->u->atom) return of_atom(ev, v, index);
    if (v->def && v->def->code == XFC_OP_SOFTMAX) return of_softmax(ev, v->def, index);
    return xfc_probe_through(p, v, index);
}

/* The axis that the nest sums over: all positions, in integers that hold their number. NONE: it is something else. */
static xfc_int summed_axis(const evaluator *ev, const xfc_nest *nest, xfc_dtype t) {
    xfc_int axis = XFC_INT_NONE;
    if (nest->stores[0].combine != XFC_S_ADD || !xfc_dtype_is_int(t) || xfc_dtype_bytes(t) < 4) return XFC_INT_NONE;
    for (uint32_t i = 0; i < nest->n_axes; i++) {
        if (nest->axes[i].kind == XFC_AXIS_PARALLEL) continue;
        if (xfc_int_known(axis) || !xfc_int_same(nest->axes[i].extent, ev->u->tokens.s)) return XFC_INT_NONE;
        axis = nest->axes[i].symbol;
    }
    return axis;
}

/* A sum over positions of what is one number at tokens and one at padding, wherever they are. */
static xfc_fact sum_of(xfc_probe *p, xfc_frame *f) {
    evaluator *ev = (evaluator *)p;
    const evaluator was = *ev;
    xfc_ctx *c = ev->u->ctx;
    xfc_dtype t = f->op->out[0].type.dtype;
    xfc_int axis = summed_axis(ev, f->nest, t), others = xfc_int_sub(c, ev->u->tokens.s, ev->length),
            sum = xfc_int_const(c, 0);
    if (!xfc_int_known(axis)) return BAD;
    ev->key = axis;
    ev->query = XFC_INT_NONE;
    p->by_cases = false;
    for (int i = 0; i < 2; i++) { /* at tokens, at padding */
        double v = 2;
        ev->padding = ev->u->inverted ? i : 1 - i;
        xfc_probe_forget(p);
        if (!xfc_fact_number(c, xfc_probe_body(p, f), &v) || fabs(v) > 1) sum = XFC_INT_NONE;
        sum = xfc_int_add(c, sum, xfc_int_mulc(c, i ? others : ev->length, (int64_t)v));
    }
    ev->key = was.key;
    ev->query = was.query;
    ev->padding = was.padding;
    p->by_cases = was.probe.by_cases;
    xfc_probe_forget(p);
    return xfc_int_known(sum) ? xfc_fact_of(sum) : xfc_fact_unknown(p, t);
}

static evaluator start(xfc_unpad *u, int64_t padding) {
    if (!xfc_int_known(u->length)) u->length = xfc_int_let(u->ctx, "length", xfc_int_const(u->ctx, 0), u->tokens.s);
    evaluator ev = {.probe = xfc_probe_new(u->g, u->pass->scratch), .u = u, .padding = padding, .length = u->length};
    ev.probe.assumes = XFC_PROBE_NO_WRAP;
    ev.probe.finite = UNKNOWN;
    ev.probe.at = value_at;
    ev.probe.decide = below_length;
    ev.probe.reduce = sum_of;
    return ev;
}

/* --- attention --- */

/* A value as it is read for an element of what it is broadcast to. */
static xfc_fact read_at(evaluator *ev, const xfc_value *v, const xfc_type *out, const xfc_int *at) {
    xfc_int index[XFC_MAX_RANK];
    for (uint32_t d = 0; d < v->type.rank; d++) {
        uint32_t to = d + out->rank - v->type.rank;
        index[d] = xfc_broadcast_index(ev->u->ctx, at[to], v->type.dim[d], out->dim[to]);
    }
    return xfc_probe_in_cases(&ev->probe, v, index);
}

/* Sets *prefix if the answer holds only for sequences whose tokens come first. */
static xfc_fact term_at(evaluator *ev, const xfc_op *op, const xfc_token *q, const xfc_unpad_term *term, bool *prefix) {
    const xfc_unpad *u = ev->u;
    xfc_ctx *c = u->ctx;
    const xfc_type *rows = &op->in[0].value->type;
    xfc_type scores = *rows;
    xfc_int at[XFC_MAX_RANK];
    scores.dim[3] = op->in[1].value->type.dim[2];
    xfc_type_index(c, &scores, at);
    ev->key = at[3];
    ev->query = at[2];
    ev->b = xfc_token_sequence(&u->tokens, q, rows, at);
    if (term->rank == 3) { /* dims 1 .. 3 are those of the sum */
        at[1] = xfc_int_add(c, xfc_int_mul(c, at[0], scores.dim[1]), at[1]);
        scores.dim[1] = xfc_int_mul(c, scores.dim[0], scores.dim[1]);
    }
    xfc_fact f = read_at(ev, term->value, &scores, at);
    *prefix |= ev->by_length;
    return ev->needs_token ? BAD : f;
}

/* Is the bias forbidding with this at the key? 1, 0; -1 where nothing is known of it. */
static int forbidden_with(xfc_unpad *u, const xfc_op *op, const xfc_token *q, int64_t padding, bool *prefix) {
    const xfc_unpad_term whole = {op->in[3].value, XFC_TERM_PLAIN, 4};
    evaluator ev = start(u, padding);
    xfc_fact f = term_at(&ev, op, q, &whole, prefix);
    return f.kind == XFC_FACT_NONE ? -1 : forbids(&ev, f);
}

bool xfc_unpad_masks_keys(xfc_unpad *u, const xfc_op *op, const xfc_token *q) {
    bool prefix = false, decided = false;
    if (op->n_in < 4 || !op->in[3].value) return false;
    if (u->n_attentions == 0) {
        u->inverted = false;
        u->inverted = forbidden_with(u, op, q, 0, &decided) != 1;
    }
    if (forbidden_with(u, op, q, u->inverted ? 0 : 1, &prefix) != 0) return false;
    if (forbidden_with(u, op, q, u->inverted ? 1 : 0, &prefix) != 1) return false;
    u->prefix |= prefix;
    return true;
}

bool xfc_unpad_is_neutral(xfc_unpad *u, const xfc_op *op, const xfc_token *q, const xfc_unpad_term *term) {
    bool prefix = false;
    evaluator ev = start(u, u->inverted ? 0 : 1);
    return is_number(&ev, term_at(&ev, op, q, term, &prefix), 0) && (u->prefix || !prefix);
}

/* --- what ignores padding --- */

static evaluator at_padding(xfc_unpad *u, const xfc_token *t, const xfc_type *type, const xfc_int *index) {
    evaluator ev = start(u, u->inverted ? 1 : 0);
    ev.b = xfc_token_sequence(&u->tokens, t, type, index);
    ev.key = xfc_token_position(&u->tokens, t, type, index);
    return ev;
}

static xfc_fact operand_at(evaluator *ev, const xfc_op *op, uint32_t i, const xfc_int *at) {
    return read_at(ev, op->in[i].value, &op->out[0].type, at);
}

static xfc_clean cleansed_by_select(xfc_unpad *u, evaluator *ev, const xfc_op *op, const xfc_int *at, double *fill) {
    double cond;
    if (xfc_unpad_of(u, op->in[0].value)->tainted) return XFC_DIRTY;
    if (!xfc_fact_number(u->ctx, operand_at(ev, op, 0, at), &cond)) return XFC_DIRTY;
    uint32_t taken = cond > 0 ? 1 : 2;
    if (xfc_unpad_of(u, op->in[taken].value)->tainted) return XFC_DIRTY;
    bool exact = xfc_fact_number(u->ctx, operand_at(ev, op, taken, at), fill);
    if (ev->needs_token) return XFC_DIRTY;
    u->prefix |= ev->by_length;
    return exact ? XFC_CLEAN_FILL : XFC_CLEAN;
}

xfc_clean xfc_unpad_cleanses(xfc_unpad *u, const xfc_op *op, const xfc_token *out, double *fill) {
    if (op->code != XFC_OP_MUL && op->code != XFC_OP_SELECT) return XFC_DIRTY;
    const xfc_type *type = &op->out[0].type;
    xfc_int at[XFC_MAX_RANK];
    xfc_type_index(u->ctx, type, at);
    evaluator ev = at_padding(u, out, type, at);
    *fill = 0;
    if (op->code == XFC_OP_SELECT) return cleansed_by_select(u, &ev, op, at, fill);
    for (uint32_t i = 0; i < 2; i++) {
        if (xfc_unpad_of(u, op->in[i].value)->tainted || !is_number(&ev, operand_at(&ev, op, i, at), 0)) continue;
        u->nonempty |= ev.needs_token;
        u->prefix |= ev.by_length;
        return XFC_CLEAN_FILL;
    }
    return XFC_DIRTY;
}

/* The one place where the nest reads operand i. */
static const xfc_access *only_read(const xfc_op *op, const xfc_nest *nest, uint32_t i) {
    const xfc_access *read = NULL;
    for (uint32_t k = 0; k < nest->n_body; k++) {
        const xfc_scalar *s = &nest->body[k];
        if (s->op != XFC_S_LOAD || xfc_nest_operand(op, s->u.access->buffer) != i) continue;
        if (read || s->arg[0] != XFC_NO_ARG) return NULL;
        read = s->u.access;
    }
    return read;
}

/* Each read of padding is a factor of a sum, and the other factor is 0 there, whatever operand i holds. */
static bool weighs_nothing(xfc_unpad *u, const xfc_op *op, uint32_t i) {
    const xfc_value *v = op->in[i].value;
    evaluator ev = start(u, u->inverted ? 1 : 0);
    xfc_frame *f = xfc_probe_open(&ev.probe, op);
    if (!f || f->nest->n_stores != 1 || f->nest->stores[0].combine != XFC_S_ADD) return false;
    const xfc_access *read = only_read(op, f->nest, i);
    if (!read) return false;
    ev = at_padding(u, &xfc_unpad_of(u, v)->token, &v->type, read->index);
    ev.ignored = v;
    if (!is_number(&ev, xfc_probe_body(&ev.probe, f), 0)) return false;
    u->nonempty |= ev.needs_token;
    u->prefix |= ev.by_length;
    return true;
}

/* A softmax over positions that nothing else reads besides: whatever is low enough at padding may as well be -inf. */
static bool sinks(xfc_unpad *u, const xfc_op *op) {
    if (op->code != XFC_OP_SOFTMAX || op->in[0].value->uses->next) return false;
    const xfc_value *x = op->in[0].value;
    xfc_unpad_value *s = xfc_unpad_of(u, x);
    xfc_int at[XFC_MAX_RANK];
    xfc_type_index(u->ctx, &x->type, at);
    evaluator ev = at_padding(u, &s->token, &x->type, at);
    if (!is_number(&ev, of_softmax(&ev, op, at), 0)) return false;
    s->clean = true;
    s->fill = (double)-INFINITY;
    u->nonempty = true;
    u->prefix |= ev.by_length;
    return true;
}

bool xfc_unpad_ignores(xfc_unpad *u, const xfc_op *op, uint32_t i) {
    return xfc_unpad_of(u, op->in[i].value)->is_token && (weighs_nothing(u, op, i) || sinks(u, op));
}

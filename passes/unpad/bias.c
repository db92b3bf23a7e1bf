/* bias.c - what a bias of attention is made of.
 *
 * A bias [b, h, query, key] mixes two tokens, so no ragged value of one row a token can hold it. But it is a sum, and
 * each term either knows only the mask and positions (plain: indexed by sequence and positions, as it is), or was
 * computed from one of the two tokens (relative attention: a row of products with a table of positions, gathered at the
 * distance): then it is a token value whose other long dim counts positions, and is ragged like any other. Sums, and
 * reshapes between [b * h, ..] and [b, h, ..], are taken apart down to such terms; ops between them are `pair` values,
 * which exist in no program of their own and may be read by nothing else.
 *
 * Whether an untainted term is taken as plain or as content decides the cost only, never the result: content is what
 * products, norms and reductions had a part in, so that the padded form would be computed for its sake.
 */
#include "passes/unpad/unpad.h"

enum { MAX_VISITS = 512 };

/* Is the token's position dim rank - from_end, and the other of the last two the padded one or 1? */
static bool stands_at(const xfc_unpad *u, const xfc_value *v, const xfc_token *t, uint32_t from_end) {
    const xfc_type *type = &v->type;
    if (t->s_dim != type->rank - from_end || !xfc_int_is(u->ctx, t->s_inner, 1)) return false;
    xfc_int other = type->dim[type->rank - 3 + from_end];
    return xfc_int_same(other, u->tokens.s) || xfc_int_is(u->ctx, other, 1);
}

/* Row or column term by form; plain if neither. */
static xfc_term_kind form_of(const xfc_unpad *u, const xfc_value *v) {
    const xfc_unpad_value *s = xfc_unpad_of(u, v);
    const xfc_token *t = &s->token;
    if (!s->is_token || !s->derived || !t->has_b || t->b_dim != 0 || v->type.rank < 3 || v->type.rank > 4)
        return XFC_TERM_PLAIN;
    if (!xfc_int_same(v->type.dim[0], xfc_int_mul(u->ctx, u->tokens.b, t->b_inner))) return XFC_TERM_PLAIN;
    if (v->type.rank == 4 && !xfc_int_is(u->ctx, t->b_inner, 1) && !xfc_int_is(u->ctx, v->type.dim[1], 1))
        return XFC_TERM_PLAIN;
    if (stands_at(u, v, t, 2)) return XFC_TERM_ROW;
    return stands_at(u, v, t, 1) ? XFC_TERM_COLUMN : XFC_TERM_PLAIN;
}

static bool is_parallel(const xfc_nest *nest) {
    for (uint32_t i = 0; i < nest->n_axes; i++)
        if (nest->axes[i].kind != XFC_AXIS_PARALLEL) return false;
    return true;
}

/* Do products, norms, reductions or sums along an axis have a part in it? The atom counts as given. */
static bool is_computed(const xfc_unpad *u, const xfc_value *v, uint32_t *visits) {
    const xfc_op *op = v->def;
    if (v == u->atom || !op || op->n_in == 0) return false;
    xfc_nest *nest = ++*visits > MAX_VISITS ? NULL : xfc_nest_of(op, u->pass->scratch);
    if (!nest) return true;
    if (!is_parallel(nest)) return true;
    for (uint32_t i = 0; i < op->n_in; i++)
        if (op->in[i].value && is_computed(u, op->in[i].value, visits)) return true;
    return false;
}

static xfc_term_kind kind_of(const xfc_unpad *u, const xfc_value *v) {
    uint32_t visits = 0;
    xfc_term_kind form = form_of(u, v);
    return form == XFC_TERM_PLAIN || xfc_unpad_of(u, v)->tainted || is_computed(u, v, &visits) ? form : XFC_TERM_PLAIN;
}

static bool takes_apart(const xfc_op *op, uint32_t rank) {
    if (!op) return false;
    return (op->code == XFC_OP_ADD && op->out[0].type.rank == rank) || xfc_regroups_heads(op);
}

/* A sum of untainted terms of several kinds is a token value too, and a large one: is there a part of another kind? */
static bool is_mixed(const xfc_unpad *u, const xfc_value *v, xfc_term_kind kind) {
    const xfc_op *op = v->def;
    if (!takes_apart(op, v->type.rank)) return false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_value *part = op->in[i].value;
        xfc_term_kind k = kind_of(u, part);
        if (k != kind || is_mixed(u, part, kind)) return true;
    }
    return false;
}

bool xfc_unpad_is_pair(const xfc_unpad *u, const xfc_op *op) {
    if (op->n_out != 1 || (op->code != XFC_OP_ADD && !xfc_regroups_heads(op))) return false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_unpad_value *s = xfc_unpad_of(u, op->in[i].value);
        if (s->tainted && !s->pair && form_of(u, op->in[i].value) == XFC_TERM_PLAIN) return false;
    }
    return true;
}

/* --- taking apart --- */

static void collect(const xfc_unpad *u, xfc_value *v, uint32_t rank, xfc_unpad_terms *out) {
    xfc_term_kind kind = v->type.rank == rank ? kind_of(u, v) : XFC_TERM_PLAIN;
    if ((kind == XFC_TERM_PLAIN || is_mixed(u, v, kind)) && takes_apart(v->def, rank)) {
        const xfc_op *op = v->def;
        uint32_t below = op->code == XFC_OP_RESHAPE ? op->in[0].value->type.rank : rank;
        for (uint32_t i = 0; i < op->n_in; i++) collect(u, op->in[i].value, below, out);
        return;
    }
    if (out->n < XFC_COUNT(out->term)) out->term[out->n] = (xfc_unpad_term){v, kind, rank};
    out->n++;
}

bool xfc_unpad_bias_terms(const xfc_unpad *u, const xfc_op *attention, xfc_unpad_terms *out) {
    *out = (xfc_unpad_terms){0};
    xfc_value *bias = attention->n_in > 3 ? attention->in[3].value : NULL;
    if (!bias) return true;
    if (bias->type.rank == 4) collect(u, bias, 4, out);
    bool content = false, dirty = false, fits = out->n <= XFC_COUNT(out->term);
    for (uint32_t i = 0; i < out->n && fits; i++) {
        const xfc_unpad_term *t = &out->term[i];
        content |= t->kind != XFC_TERM_PLAIN;
        dirty |= t->kind == XFC_TERM_PLAIN && xfc_unpad_of(u, t->value)->tainted;
    }
    if (content && fits) return !dirty;
    *out = (xfc_unpad_terms){.n = 1, .term = {{bias, XFC_TERM_PLAIN, 4}}};
    return !xfc_unpad_of(u, bias)->tainted;
}

/* exit.c - exits that read few tokens: those of position 0, or of positions that data gives.
 *
 * An op may copy tokens out of the region, one an output element: the first of each sequence, the one where the text
 * ends, the last that is no padding. If all that it reads are real tokens, it reads what the ragged program has
 * computed. So that is checked when the model runs, before anything else does, by the op itself: applied to the mask in
 * place of the tokens it tells whether each token that it reads is real. That is exact whatever the op is, negative
 * indices, tuples of indices and errors of range included. If some token is not real, or a sequence is empty and that
 * matters, the mask is spoilt with a 2; seq_offsets takes it for no mask, and the padded program runs.
 *
 * The positions must therefore be known before the layers have run. What computes them is moved in front.
 * Not here: position 0 needs no op, seq_offsets looks at it anyway (its attribute `first`).
 */
#include "passes/unpad/unpad.h"

/* --- the region's question --- */

static bool reads_first_only(const xfc_unpad *u, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value || !xfc_unpad_of(u, op->in[i].value)->tainted) continue;
        if (!xfc_unpad_of(u, op->in[i].value)->is_token) return false;
        xfc_int at = xfc_token_read_position(&u->tokens, op, i);
        if (!xfc_int_known(at) || !xfc_int_is(u->ctx, at, 0)) return false;
    }
    return true;
}

/* The one operand that depends on the layers; UINT32_MAX if there are more. */
static uint32_t token_operand(const xfc_unpad *u, const xfc_op *op) {
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value || !xfc_unpad_of(u, op->in[i].value)->late) continue;
        if (found != UINT32_MAX) return UINT32_MAX;
        found = i;
    }
    return found;
}

/* Of a nest that stores one element of operand i as it is: the read of it. */
static const xfc_access *copied_from(const xfc_op *op, const xfc_nest *nest, uint32_t i) {
    if (!nest || nest->n_stores != 1 || nest->stores[0].combine != XFC_S_COUNT) return NULL;
    const xfc_scalar *read = &nest->body[nest->stores[0].value];
    if (read->op != XFC_S_LOAD || read->arg[0] != XFC_NO_ARG) return NULL;
    if (xfc_nest_operand(op, read->u.access->buffer) != i) return NULL;
    return read->u.access;
}

/* As many as there are positions, so far as one can tell. */
static bool is_long(const xfc_unpad *u, xfc_int extent) {
    bool symbol = !xfc_int_value(u->ctx, u->tokens.s, NULL);
    return xfc_int_same(extent, u->tokens.s) || (symbol && xfc_int_uses(u->ctx, extent, u->tokens.s));
}

/* No read passes over positions: neither itself nor by indices that a tensor holds. */
static bool reads_few(const xfc_unpad *u, const xfc_op *op, const xfc_nest *nest, const xfc_access *read, uint32_t i) {
    const xfc_value *v = op->in[i].value;
    xfc_int position = xfc_token_position(&u->tokens, &xfc_unpad_of(u, v)->token, &v->type, read->index);
    for (uint32_t a = 0; a < nest->n_axes; a++) {
        if (xfc_int_uses(u->ctx, position, nest->axes[a].symbol)) return false;
        if (!is_long(u, nest->axes[a].extent)) continue;
        for (uint32_t k = 0; k < nest->n_body; k++) {
            const xfc_scalar *s = &nest->body[k];
            if (s->op != XFC_S_LOAD || s->u.access == read) continue;
            for (uint32_t d = 0; d < s->u.access->rank; d++)
                if (xfc_int_uses(u->ctx, s->u.access->index[d], nest->axes[a].symbol)) return false;
        }
    }
    return true;
}

const char *xfc_unpad_exit(xfc_unpad *u, const xfc_op *op) {
    static const char changes[] = "it reads padded positions and would see them change";
    if (reads_first_only(u, op)) {
        u->first = true;
        return NULL;
    }
    uint32_t i = token_operand(u, op);
    const xfc_nest *nest = op->n_out == 1 && op->n_in <= 16 ? xfc_nest_of(op, u->pass->scratch) : NULL;
    if (i == UINT32_MAX) {
        for (uint32_t k = 0; k < op->n_in; k++)
            if (copied_from(op, nest, k)) return "it reads tokens at positions that depend on attention";
        return changes;
    }
    const xfc_access *read = copied_from(op, nest, i);
    const xfc_unpad_value *s = xfc_unpad_of(u, op->in[i].value);
    if (!read || !s->is_token || !s->token.has_b || !reads_few(u, op, nest, read, i)) return changes;
    if (u->n_guards == XFC_COUNT(u->guard)) return "more than 8 other exits read tokens at positions that data gives";
    u->guard[u->n_guards++] = op;
    return NULL;
}

/* --- in front --- */

static void mark_operand(const xfc_value *v, uint32_t from, bool *moves) {
    if (v && v->def && v->def->mark >= from) moves[v->def->mark] = true;
}

xfc_op *xfc_unpad_move_up(xfc_unpad *u, xfc_op *anchor) {
    uint32_t n = 0;
    xfc_foreach_op(op, u->g) op->mark = n++;
    bool *moves = xfc_new_array(u->pass->scratch, bool, n);
    for (uint32_t k = 0; k < u->n_guards; k++) {
        const xfc_op *op = u->guard[k];
        for (uint32_t i = 0; i < op->n_in; i++)
            if (op->in[i].value && !xfc_unpad_of(u, op->in[i].value)->late)
                mark_operand(op->in[i].value, anchor->mark, moves);
    }
    for (const xfc_op *op = u->g->tail; op != anchor; op = op->prev)
        for (uint32_t i = 0; moves[op->mark] && i < op->n_in; i++) mark_operand(op->in[i].value, anchor->mark, moves);
    while (moves[anchor->mark]) anchor = anchor->next;
    for (xfc_op *op = anchor, *next; op; op = next) {
        next = op->next;
        if (moves[op->mark]) xfc_op_move_before(op, anchor);
    }
    return anchor;
}

/* --- the guard --- */

/* Does the op copy this dim of its operand as it stands? Then one element of it tells as much as all. */
static bool is_carried(const xfc_unpad *u, const xfc_op *op, const xfc_nest *nest, const xfc_access *read, uint32_t d) {
    const xfc_type *type = &op->in[token_operand(u, op)].value->type;
    bool whole = false;
    if (xfc_op_attr(op, XFC_K_SIZE) || xfc_op_attr(op, XFC_K_SHAPE)) return false;
    for (uint32_t a = 0; a < nest->n_axes; a++)
        whole |= xfc_int_same(nest->axes[a].symbol, read->index[d]) && xfc_int_same(nest->axes[a].extent, type->dim[d]);
    for (uint32_t k = 0; k < nest->n_body && whole; k++) {
        const xfc_scalar *s = &nest->body[k];
        if (s->op != XFC_S_LOAD || s->u.access == read) continue;
        for (uint32_t e = 0; e < s->u.access->rank; e++)
            whole &= !xfc_int_uses(u->ctx, s->u.access->index[e], read->index[d]);
    }
    return whole;
}

/* The mask [b, s] as operand i of the op could hold it. */
static xfc_value *mask_for(xfc_unpad *u, xfc_builder *b, xfc_value *mask, const xfc_op *op, uint32_t i) {
    const xfc_value *v = op->in[i].value;
    const xfc_nest *nest = xfc_nest_of(op, u->pass->scratch);
    const xfc_access *read = copied_from(op, nest, i);
    xfc_pieces all, p;
    bool ok = xfc_token_split(&u->tokens, &v->type, &xfc_unpad_of(u, v)->token, &all);
    xfc_assert(ok && read); /* it is a token value, and has been looked at */
    xfc_int small[XFC_MAX_RANK] = {u->tokens.b, u->tokens.s}, full[XFC_MAX_RANK] = {u->tokens.b, u->tokens.s};
    uint32_t n = 2;
    p = (xfc_pieces){.rank = all.rank};
    for (uint32_t k = 0; k < all.n; k++) {
        bool other = all.piece[k].kind == XFC_PIECE_OTHER;
        if (other && is_carried(u, op, nest, read, all.piece[k].dim)) continue;
        p.piece[p.n++] = all.piece[k];
        if (!other) continue;
        small[n] = xfc_int_const(u->ctx, 1);
        full[n++] = all.piece[k].size;
    }
    mask = xfc_b_reshape(b, mask, small, n);
    if (n > 2) mask = xfc_b_expand(b, mask, full, n);
    return mask ? xfc_token_from_front(b, mask, &p) : NULL;
}

static xfc_value *number(xfc_builder *b, xfc_dtype t, int value) {
    return xfc_dtype_is_float(t) ? xfc_b_scalar_f(b, t, value) : xfc_b_scalar_i(b, t, value);
}

/* Is any element of x not 1? */
static xfc_value *any_but_one(xfc_builder *b, xfc_value *x) {
    int64_t axes[XFC_MAX_RANK];
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++) axes[d] = d;
    x = xfc_b_binary(b, XFC_OP_NE, x, number(b, x->type.dtype, 1));
    return x ? xfc_b_reduce(b, XFC_OP_REDUCE_MAX, x, axes, x->type.rank, false) : NULL;
}

static xfc_value *read_mask(xfc_unpad *u, xfc_builder *b, xfc_value *mask, const xfc_op *op) {
    xfc_value *in[16];
    uint32_t tokens = token_operand(u, op);
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value;
    in[tokens] = mask_for(u, b, mask, op, tokens);
    if (!in[tokens]) return NULL;
    return any_but_one(b, xfc_build_opt(b, op->code, in, op->n_in, op->attr, op->n_attr));
}

static xfc_value *some_empty(xfc_builder *b, xfc_value *mask) {
    int64_t positions = 1;
    return any_but_one(b, xfc_b_reduce(b, XFC_OP_REDUCE_MAX, mask, &positions, 1, false));
}

xfc_value *xfc_unpad_guarded(xfc_unpad *u, xfc_builder *b, xfc_value *mask) {
    if (!u->n_guards && !u->nonempty) return mask;
    if (mask->type.dtype == XFC_BOOL) mask = xfc_b_cast(b, mask, XFC_U8);
    xfc_value *wrong = u->nonempty ? some_empty(b, mask) : NULL;
    for (uint32_t k = 0; k < u->n_guards; k++) {
        xfc_builder at = {.graph = b->graph, .before = b->before, .loc = u->guard[k]->loc};
        xfc_value *padding = read_mask(u, &at, mask, u->guard[k]);
        wrong = k > 0 || u->nonempty ? xfc_b_binary(&at, XFC_OP_OR, wrong, padding) : padding;
    }
    return xfc_b_select(b, wrong, number(b, mask->type.dtype, 2), mask);
}

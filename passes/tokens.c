/* tokens.c - where tokens stand in a value, and which ops keep them apart.
 *
 * An op keeps tokens apart if the index maps of its nest say so: each read of a token operand, at the index of an
 * output element, has the sequence number and position of that output element. That covers element-wise ops, views that
 * split, merge and permute dims, gathers of table rows, reductions and products over channels without naming any.
 * Composite rows (linear, norms, softmax) say by their trait that they act on rows, or on each element (gelu).
 */
#include "passes/tokens.h"
#include "ir/probe.h"

/* --- the factors of dims --- */

static bool push_piece(const xfc_tokens *u, xfc_pieces *p, xfc_piece_kind kind, uint32_t dim, xfc_int size) {
    if (kind == XFC_PIECE_OTHER && xfc_int_is(u->graph->ctx, size, 1)) return true;
    if (p->n == XFC_COUNT(p->piece)) return false;
    p->piece[p->n++] = (xfc_piece){kind, dim, size};
    return true;
}

/* dim = outer * size * inner, the middle one of this kind; *inner is left for more. */
static bool split_outer(const xfc_tokens *u, xfc_pieces *p, xfc_piece_kind kind, uint32_t d, xfc_int dim, xfc_int size,
                        xfc_int inner) {
    xfc_int outer;
    return xfc_int_exact(u->graph->ctx, dim, xfc_int_mul(u->graph->ctx, size, inner), &outer) &&
           push_piece(u, p, XFC_PIECE_OTHER, d, outer) && push_piece(u, p, kind, d, size);
}

static bool split_dim(const xfc_tokens *u, const xfc_token *t, xfc_pieces *p, uint32_t d, xfc_int dim) {
    xfc_int rest;
    bool b = t->has_b && t->b_dim == d, s = t->has_s && t->s_dim == d;
    if (b && s && xfc_int_exact(u->graph->ctx, t->b_inner, xfc_int_mul(u->graph->ctx, u->s, t->s_inner), &rest))
        return split_outer(u, p, XFC_PIECE_B, d, dim, u->b, t->b_inner) &&
               split_outer(u, p, XFC_PIECE_S, d, t->b_inner, u->s, t->s_inner) &&
               push_piece(u, p, XFC_PIECE_OTHER, d, t->s_inner);
    if (b && s)
        return split_outer(u, p, XFC_PIECE_S, d, dim, u->s, t->s_inner) &&
               split_outer(u, p, XFC_PIECE_B, d, t->s_inner, u->b, t->b_inner) &&
               push_piece(u, p, XFC_PIECE_OTHER, d, t->b_inner);
    if (b)
        return split_outer(u, p, XFC_PIECE_B, d, dim, u->b, t->b_inner) &&
               push_piece(u, p, XFC_PIECE_OTHER, d, t->b_inner);
    if (s)
        return split_outer(u, p, XFC_PIECE_S, d, dim, u->s, t->s_inner) &&
               push_piece(u, p, XFC_PIECE_OTHER, d, t->s_inner);
    if (t->has_b && !t->has_s && t->s_dim == d) return push_piece(u, p, XFC_PIECE_S, d, dim); /* 1 */
    return push_piece(u, p, XFC_PIECE_OTHER, d, dim);
}

bool xfc_token_split(const xfc_tokens *u, const xfc_type *type, const xfc_token *t, xfc_pieces *p) {
    *p = (xfc_pieces){.rank = type->rank};
    for (uint32_t d = 0; d < type->rank; d++)
        if (!split_dim(u, t, p, d, type->dim[d])) return false;
    return p->n <= XFC_MAX_RANK;
}

/* --- the digits of an index --- */

/* (e floordiv inner) mod size, where e < extent. */
static xfc_int digit(xfc_ctx *c, xfc_int e, xfc_int extent, xfc_int inner, xfc_int size) {
    if (!xfc_int_is(c, inner, 1)) e = xfc_int_floordiv(c, e, inner);
    return xfc_int_same(extent, xfc_int_mul(c, size, inner)) ? e : xfc_int_mod(c, e, size);
}

xfc_int xfc_token_sequence(const xfc_tokens *u, const xfc_token *t, const xfc_type *type, const xfc_int *index) {
    if (!t->has_b) return XFC_INT_NONE;
    return digit(u->graph->ctx, index[t->b_dim], type->dim[t->b_dim], t->b_inner, u->b);
}

xfc_int xfc_token_position(const xfc_tokens *u, const xfc_token *t, const xfc_type *type, const xfc_int *index) {
    if (!t->has_s) return XFC_INT_NONE;
    return digit(u->graph->ctx, index[t->s_dim], type->dim[t->s_dim], t->s_inner, u->s);
}

/* e = k * axis + r with 0 <= r < k: dividing by a multiple of k is dividing axis by the rest of it. */
static bool counts_in_steps(xfc_ctx *c, xfc_int e, xfc_int axis, xfc_int *inner) {
    xfc_int k, r;
    if (xfc_int_value(c, axis, NULL) || !xfc_int_linear_in(c, e, axis, &k, &r) || xfc_int_is(c, k, 0)) return false;
    if (xfc_int_le(c, xfc_int_const(c, 0), r) != 1 || xfc_int_lt(c, r, k) != 1) return false;
    return xfc_int_exact(c, *inner, k, inner);
}

/* Which dim of an output of this type has e as its digit of this size? */
static bool place_of(xfc_ctx *c, xfc_int e, xfc_int size, const xfc_type *type, const xfc_int *axis, uint8_t *dim,
                     xfc_int *inner) {
    const xfc_int_info *info = xfc_int_look(c, e);
    xfc_int rest;
    if (info->kind == XFC_INT_MOD && xfc_int_same(info->b, size)) {
        e = info->a;
        info = xfc_int_look(c, e);
    }
    *inner = xfc_int_const(c, 1);
    if (info->kind == XFC_INT_FLOORDIV) {
        *inner = info->b;
        e = info->a;
        info = xfc_int_look(c, e);
        if (info->kind == XFC_INT_MOD && xfc_int_same(info->b, xfc_int_mul(c, size, *inner))) e = info->a;
    }
    for (uint32_t d = 0; d < type->rank; d++) {
        xfc_int unit = *inner;
        if (!xfc_int_same(axis[d], e) && !counts_in_steps(c, e, axis[d], &unit)) continue;
        *dim = (uint8_t)d;
        if (!xfc_int_exact(c, type->dim[d], xfc_int_mul(c, size, unit), &rest)) continue;
        *inner = unit;
        return true;
    }
    return false;
}

bool xfc_token_of_type(const xfc_tokens *u, const xfc_type *type, xfc_token *out) {
    uint32_t n_b = 0, n_s = 0;
    *out = (xfc_token){.b_inner = xfc_int_const(u->graph->ctx, 1), .s_inner = xfc_int_const(u->graph->ctx, 1)};
    for (uint32_t d = 0; d < type->rank; d++) {
        if (n_b == 0 && xfc_int_same(type->dim[d], u->b) && ++n_b) {
            out->b_dim = (uint8_t)d;
        } else if (xfc_int_same(type->dim[d], u->s) && ++n_s) {
            out->s_dim = (uint8_t)d;
        } else if (xfc_int_same(type->dim[d], u->b)) {
            n_b++;
        }
    }
    out->has_b = n_b == 1;
    out->has_s = n_s == 1;
    return out->has_b && out->has_s;
}

bool xfc_token_same(const xfc_token *a, const xfc_token *b) {
    if (a->has_b != b->has_b || a->has_s != b->has_s) return false;
    if (a->has_b && (a->b_dim != b->b_dim || !xfc_int_same(a->b_inner, b->b_inner))) return false;
    return !a->has_s || (a->s_dim == b->s_dim && xfc_int_same(a->s_inner, b->s_inner));
}

/* --- through an op --- */

typedef struct {
    const xfc_tokens *u;
    const xfc_op *op;
    const xfc_nest *nest;
    const xfc_type *type; /* of the output */
    xfc_int axis[XFC_MAX_RANK];
} reader;

/* The op's nest, if it has exactly one store, to the output's own index. */
static bool open_nest(reader *r) {
    const xfc_op *op = r->op;
    if (op->n_out != 1 || !(r->nest = xfc_nest_of(op, r->u->scratch))) return false;
    r->type = &op->out[0].type;
    if (r->nest->n_stores != 1 || r->nest->stores[0].to.rank != r->type->rank) return false;
    for (uint32_t d = 0; d < r->type->rank; d++) {
        r->axis[d] = r->nest->stores[0].to.index[d];
        if (!xfc_int_value(r->u->graph->ctx, r->axis[d], NULL) &&
            xfc_int_look(r->u->graph->ctx, r->axis[d])->kind != XFC_INT_SYMBOL)
            return false;
    }
    return true;
}

static bool takes_from(const reader *r, uint32_t load, uint32_t operand) {
    const xfc_scalar *s = &r->nest->body[load];
    return s->op == XFC_S_LOAD && xfc_nest_operand(r->op, s->u.access->buffer) == operand;
}

/* The output's token as reads of operand i at token t demand it. */
static bool derive(const reader *r, uint32_t i, const xfc_token *t, xfc_token *out) {
    const xfc_tokens *u = r->u;
    const xfc_type *type = &r->op->in[i].value->type;
    bool any = false;
    for (uint32_t k = 0; k < r->nest->n_body; k++) {
        if (!takes_from(r, k, i)) continue;
        const xfc_int *index = r->nest->body[k].u.access->index;
        xfc_token found = {.has_b = t->has_b, .has_s = true};
        xfc_int s = xfc_token_position(u, t, type, index);
        if (!place_of(u->graph->ctx, s, u->s, r->type, r->axis, &found.s_dim, &found.s_inner)) return false;
        xfc_int b = xfc_token_sequence(u, t, type, index);
        if (t->has_b && !place_of(u->graph->ctx, b, u->b, r->type, r->axis, &found.b_dim, &found.b_inner)) return false;
        if (any && !xfc_token_same(&found, out)) return false;
        *out = found;
        any = true;
    }
    return any;
}

/* Where in operand i the output's tokens stand: its dims that are read at a token axis of the output must be that axis,
 * whole. */
static bool align(const reader *r, uint32_t i, const xfc_token *out, xfc_token *t) {
    const xfc_ctx *c = r->u->graph->ctx;
    const xfc_type *type = &r->op->in[i].value->type;
    bool any = false;
    *t = (xfc_token){.b_inner = out->b_inner, .s_inner = out->s_inner};
    for (uint32_t k = 0; k < r->nest->n_body; k++) {
        if (!takes_from(r, k, i)) continue;
        const xfc_access *a = r->nest->body[k].u.access;
        xfc_token found = {.b_inner = out->b_inner, .s_inner = out->s_inner};
        for (uint32_t d = 0; d < a->rank; d++) {
            xfc_int e = a->index[d];
            bool at_b = out->has_b && xfc_int_uses(c, e, r->axis[out->b_dim]);
            bool at_s = xfc_int_uses(c, e, r->axis[out->s_dim]);
            if (!at_b && !at_s) continue;
            uint32_t o = at_b ? out->b_dim : out->s_dim;
            if (!xfc_int_same(e, r->axis[o]) || !xfc_int_same(type->dim[d], r->type->dim[o])) return false;
            if (at_b) found.b_dim = (uint8_t)d;
            if (at_s) found.s_dim = (uint8_t)d;
            found.has_b |= at_b;
            found.has_s |= at_s;
        }
        if (found.has_b && !found.has_s) { /* one value a sequence: where would its positions be? */
            uint32_t skip = r->type->rank - a->rank;
            if (!xfc_op_has(r->op, XFC_MAP) || out->s_dim < skip) return false;
            found.s_dim = (uint8_t)(out->s_dim - skip);
            if (!xfc_int_is(c, type->dim[found.s_dim], 1)) return false;
        }
        if (any && !xfc_token_same(&found, t)) return false;
        *t = found;
        any = true;
    }
    return true;
}

/* Composite rows of operand 0: tokens must stand in front of the axes they act on. */
static bool through_rows(const xfc_tokens *u, const xfc_op *op, xfc_token *in, xfc_token *out) {
    const xfc_value *x = op->in[0].value;
    bool bound;
    const xfc_token *token = u->of(u, x, &bound);
    if (!token) return false;
    uint32_t rank = x->type.rank, most = token->s_dim;
    int64_t axis = xfc_op_attr(op, XFC_K_AXIS) ? xfc_op_int(op, XFC_K_AXIS, 0) : (int64_t)rank - 1;
    if (token->has_b && token->b_dim > most) most = token->b_dim;
    if ((int64_t)most >= axis) return false;
    for (uint32_t i = 1; i < op->n_in; i++) {
        in[i] = (xfc_token){0};
        if (!op->in[i].value) continue;
        (void)u->of(u, op->in[i].value, &bound);
        if (bound) return false;
        bool is_weight = op->code == XFC_OP_LINEAR && i == 1;
        if (!is_weight && op->in[i].value->type.rank > rank - 1 - most) return false;
    }
    in[0] = *out = *token;
    return true;
}

static bool through_each(const xfc_tokens *u, const xfc_op *op, xfc_token *in, xfc_token *out) {
    bool bound;
    const xfc_token *token = u->of(u, op->in[0].value, &bound);
    if (token) in[0] = *out = *token;
    return token != NULL;
}

/* Cumulative ops read their own results of other tokens. */
static bool is_parallel(const reader *r, uint32_t dim) {
    for (uint32_t i = 0; i < r->nest->n_axes; i++)
        if (xfc_int_same(r->nest->axes[i].symbol, r->axis[dim])) return r->nest->axes[i].kind == XFC_AXIS_PARALLEL;
    return true;
}

/* The first operand with tokens; one whose tokens are bound goes first. */
static const xfc_token *find_primary(const xfc_tokens *u, const xfc_op *op, uint32_t *primary) {
    const xfc_token *first = NULL;
    for (uint32_t i = 0; i < op->n_in; i++) {
        bool bound = false;
        const xfc_token *token = op->in[i].value ? u->of(u, op->in[i].value, &bound) : NULL;
        if (!token || (first && !bound)) continue;
        first = token;
        *primary = i;
        if (bound) break;
    }
    return first;
}

bool xfc_token_through(const xfc_tokens *u, const xfc_op *op, xfc_token *in, xfc_token *out) {
    reader r = {.u = u, .op = op};
    uint32_t primary;
    if (xfc_op_has(op, XFC_EACH)) return through_each(u, op, in, out);
    if (xfc_op_has(op, XFC_ROWWISE)) return through_rows(u, op, in, out);
    const xfc_token *from = find_primary(u, op, &primary);
    if (!from || !open_nest(&r) || !derive(&r, primary, from, out)) return false;
    if (!is_parallel(&r, out->s_dim) || (out->has_b && !is_parallel(&r, out->b_dim))) return false;
    in[primary] = *from;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value || i == primary) continue;
        if (!align(&r, i, out, &in[i])) return false;
        bool bound;
        const xfc_token nowhere = {0}, *token = u->of(u, op->in[i].value, &bound);
        if (bound && !xfc_token_same(&in[i], token ? token : &nowhere)) return false;
    }
    return true;
}

/* Indices alone are asked for. */
static xfc_fact integer_at(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    return xfc_dtype_is_int(v->type.dtype) ? xfc_probe_through(p, v, index) : xfc_fact_unknown(p, v->type.dtype);
}

xfc_int xfc_token_read_position(const xfc_tokens *u, const xfc_op *op, uint32_t i) {
    const xfc_value *v = op->in[i].value;
    bool bound;
    const xfc_token *token = u->of(u, v, &bound);
    xfc_probe p = xfc_probe_new(u->graph, u->scratch);
    xfc_frame *f = xfc_probe_open(&p, op);
    xfc_int at = XFC_INT_NONE, index[XFC_MAX_RANK];
    if (!f || !token) return XFC_INT_NONE;
    p.assumes = XFC_PROBE_NO_WRAP;
    p.at = integer_at;
    (void)xfc_probe_body(&p, f); /* lets that are read from constants become numbers */
    for (uint32_t k = 0; k < f->nest->n_body; k++) {
        const xfc_scalar *read = &f->nest->body[k];
        if (read->op != XFC_S_LOAD || xfc_nest_operand(op, read->u.access->buffer) != i) continue;
        for (uint32_t d = 0; d < v->type.rank; d++) index[d] = xfc_probe_bound(&p, f, read->u.access->index[d]);
        xfc_int s = xfc_token_position(u, token, &v->type, index);
        int64_t lo, hi;
        xfc_int_range(u->graph->ctx, s, &lo, &hi);
        s = xfc_int_const(u->graph->ctx, lo);
        if (lo != hi || (xfc_int_known(at) && !xfc_int_same(s, at))) return XFC_INT_NONE;
        at = s;
    }
    return at;
}

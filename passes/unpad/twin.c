/* twin.c - writes the ragged program, the padded one beside it, and what leads in and out.
 *
 * The ragged twin of a region op is the same op run as if the model got one sequence of T tokens: its dims are those of
 * the original with B taken out and S replaced by T. The padded twin has B2 for B, a symbol that is 0 when the ragged
 * program runs and B when a guard failed (T is then 0): steps without tasks cost nothing, so choosing between the two
 * needs no control flow. Ways in gather rows of what stands outside; ways out are `pad_ragged`, which takes each token
 * from whichever program ran. Twins are built in front of their originals, which die of disuse.
 */
#include "passes/unpad/unpad.h"

enum { TASK_ROWS = 64, SLICE_DEPTH = 12 };

typedef struct {
    xfc_unpad *u;
    xfc_ctx *ctx;
    xfc_op *anchor; /* everything in front of it is built in front of it, behind the offsets */
    uint32_t anchor_mark;
    xfc_int t, n_tasks, b2;
    xfc_value *cu, *tok, *inv, *tasks, *pos, *seq;
    bool padded;
} maker;

static xfc_builder builder_at(const maker *m, xfc_op *op) {
    return (xfc_builder){.graph = m->u->g, .before = op->mark < m->anchor_mark ? m->anchor : op, .loc = op->loc};
}

/* --- dims --- */

static uint32_t front_order(const xfc_pieces *p, uint32_t *order) {
    uint32_t n = 0;
    for (xfc_piece_kind k = XFC_PIECE_B; k <= XFC_PIECE_OTHER; k++)
        for (uint32_t i = 0; i < p->n; i++)
            if (p->piece[i].kind == k) order[n++] = i;
    return n;
}

/* x, whose dims are the products of the pieces, as [B?, S?, others]. */
static xfc_value *to_front(xfc_builder *b, xfc_value *x, const xfc_pieces *p) {
    xfc_int dim[XFC_MAX_RANK];
    uint32_t order[2 * XFC_MAX_RANK], n = front_order(p, order);
    int64_t perm[XFC_MAX_RANK];
    for (uint32_t i = 0; i < n; i++) {
        dim[i] = p->piece[i].size;
        perm[i] = order[i];
    }
    return xfc_b_transpose(b, xfc_b_reshape(b, x, dim, n), perm);
}

static void dims_of(xfc_ctx *c, const xfc_pieces *p, xfc_int *dim) {
    for (uint32_t d = 0; d < p->rank; d++) dim[d] = xfc_int_const(c, 1);
    for (uint32_t i = 0; i < p->n; i++) dim[p->piece[i].dim] = xfc_int_mul(c, dim[p->piece[i].dim], p->piece[i].size);
}

/* The inverse of to_front. */
xfc_value *xfc_token_from_front(xfc_builder *b, xfc_value *x, const xfc_pieces *p) {
    uint32_t order[2 * XFC_MAX_RANK], n = front_order(p, order);
    int64_t perm[XFC_MAX_RANK];
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t i = 0; i < n; i++) perm[order[i]] = i;
    dims_of(b->graph->ctx, p, dim);
    return xfc_b_reshape(b, xfc_b_transpose(b, x, perm), dim, p->rank);
}

/* The pieces of a twin: B goes and S becomes T, or B becomes B2. */
static xfc_pieces twin_pieces(const maker *m, const xfc_pieces *p, uint32_t which) {
    xfc_pieces r = {.rank = p->rank};
    for (uint32_t i = 0; i < p->n; i++) {
        xfc_piece q = p->piece[i];
        if (q.kind == XFC_PIECE_B && which == XFC_RAGGED) continue;
        if (q.kind == XFC_PIECE_B) q.size = m->b2;
        if (q.kind == XFC_PIECE_S && which == XFC_RAGGED) q.size = m->t;
        r.piece[r.n++] = q;
    }
    return r;
}

static xfc_pieces split(const maker *m, const xfc_type *type, const xfc_token *t) {
    xfc_pieces p;
    bool ok = xfc_token_split(&m->u->tokens, type, t, &p);
    xfc_assert(ok); /* the region's walk asked before */
    return p;
}

/* --- ways in --- */

static xfc_value *rows(xfc_builder *b, xfc_value *x, xfc_value *index) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return xfc_build(b, XFC_OP_GATHER, (xfc_value *[]){x, index}, 2, &axis, 1);
}

/* [a, b, rest] as [a * b, rest]. */
static xfc_value *join_front(xfc_builder *b, xfc_value *x) {
    xfc_int dim[XFC_MAX_RANK];
    if (!x) return NULL;
    dim[0] = xfc_int_mul(b->graph->ctx, x->type.dim[0], x->type.dim[1]);
    for (uint32_t d = 2; d < x->type.rank; d++) dim[d - 1] = x->type.dim[d];
    return xfc_b_reshape(b, x, dim, x->type.rank - 1);
}

static xfc_value *first_rows(xfc_builder *b, xfc_value *x, xfc_int n) {
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++) {
        start[d] = xfc_int_const(b->graph->ctx, 0);
        size[d] = d == 0 ? n : x->type.dim[d];
        step[d] = 1;
    }
    return xfc_b_slice(b, x, start, size, step);
}

/* The first B2 of x's B sequences. Slicing moves up through what made x, so that a bias [b, 1, s, s] is not computed
 * for sequences that nobody asks about. */
static xfc_value *fewer_sequences(maker *m, xfc_builder *b, xfc_value *x, uint32_t depth) {
    const xfc_op *op = x->def;
    xfc_value *in[3] = {NULL};
    uint32_t rank = x->type.rank;
    bool map = op && xfc_op_has(op, XFC_MAP) && op->n_in > 0 && op->n_in <= 3;
    bool view = op && (op->code == XFC_OP_RESHAPE || op->code == XFC_OP_EXPAND);
    if (view) view = op->in[0].value->type.rank > 0 && xfc_int_same(op->in[0].value->type.dim[0], m->u->tokens.b);
    if (view && op->code == XFC_OP_EXPAND) view = op->in[0].value->type.rank == rank;
    if (depth == 0 || (!map && !view)) return first_rows(b, x, m->b2);
    for (uint32_t i = 0; i < op->n_in; i++) {
        in[i] = op->in[i].value;
        bool whole = view || (in[i]->type.rank == rank && !xfc_int_is(m->ctx, in[i]->type.dim[0], 1));
        if (whole) in[i] = fewer_sequences(m, b, in[i], depth - 1);
        if (!in[i]) return NULL;
    }
    if (map) return xfc_build(b, op->code, in, op->n_in, op->attr, op->n_attr);
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) dim[d] = d == 0 ? m->b2 : x->type.dim[d];
    return op->code == XFC_OP_EXPAND ? xfc_b_expand(b, in[0], dim, rank) : xfc_b_reshape(b, in[0], dim, rank);
}

/* Where tokens stand in what x was expanded from. False if it has sequences but no dim that could count their
 * tokens. */
static bool token_below(const maker *m, const xfc_value *x, const xfc_token *t, xfc_token *out) {
    const xfc_type *y = &x->def->in[0].value->type;
    uint32_t more = x->type.rank - y->rank;
    *out = (xfc_token){.b_inner = t->b_inner, .s_inner = t->s_inner, .s_dim = UINT8_MAX};
    if (t->has_b && t->b_dim >= more && !xfc_int_is(m->ctx, y->dim[t->b_dim - more], 1)) {
        out->has_b = true;
        out->b_dim = (uint8_t)(t->b_dim - more);
    }
    if (t->s_dim != UINT8_MAX && t->s_dim >= more) {
        out->s_dim = (uint8_t)(t->s_dim - more);
        out->has_s = t->has_s && !xfc_int_is(m->ctx, y->dim[out->s_dim], 1);
        return true;
    }
    return !out->has_b || t->s_dim == UINT8_MAX;
}

static xfc_value *enter(maker *m, xfc_builder *b, xfc_value *x, const xfc_token *t, uint32_t which) {
    double equal;
    xfc_token below;
    if (!t->has_b && (!t->has_s || which == XFC_PADDED)) return x;
    xfc_pieces p = split(m, &x->type, t), q = twin_pieces(m, &p, which);
    if (x->def && x->def->code == XFC_OP_EXPAND && token_below(m, x, t, &below)) {
        xfc_int dim[XFC_MAX_RANK];
        dims_of(m->ctx, &q, dim);
        x = enter(m, b, x->def->in[0].value, &below, which);
        return x ? xfc_b_expand(b, x, dim, q.rank) : NULL;
    }
    if (xfc_dtype_is_float(x->type.dtype) && xfc_splat_value(x, &equal)) {
        xfc_int dim[XFC_MAX_RANK];
        dims_of(m->ctx, &q, dim);
        return xfc_b_expand(b, xfc_b_scalar_f(b, x->type.dtype, equal), dim, q.rank);
    }
    if (which == XFC_RAGGED && x == m->u->atom) { /* rows are real tokens */
        xfc_int dim[XFC_MAX_RANK];
        dims_of(m->ctx, &q, dim);
        return xfc_b_expand(b, xfc_b_cast(b, xfc_b_scalar_i(b, XFC_U8, !m->u->inverted), x->type.dtype), dim, q.rank);
    }
    if (which == XFC_PADDED && t->b_dim == 0 && xfc_int_same(x->type.dim[0], m->u->tokens.b)) {
        xfc_value *few = fewer_sequences(m, b, x, SLICE_DEPTH);
        xfc_int dim[XFC_MAX_RANK];
        dims_of(m->ctx, &q, dim);
        return few ? xfc_b_reshape(b, few, dim, q.rank) : NULL;
    }
    xfc_value *v = to_front(b, x, &p);
    if (which == XFC_PADDED) return xfc_token_from_front(b, first_rows(b, v, m->b2), &q);
    if (t->has_b) v = join_front(b, v); /* [B * S, others], or [B * 1, others] */
    v = rows(b, v, t->has_b ? (t->has_s ? m->tok : m->seq) : m->pos);
    return xfc_token_from_front(b, v, &q);
}

/* Operand i as the twin of op reads it. */
static xfc_value *operand(maker *m, xfc_builder *b, xfc_value *x, const xfc_token *t, uint32_t which) {
    xfc_unpad_value *s = xfc_unpad_of(m->u, x);
    if (!s->is_token || !xfc_token_same(t, &s->token)) return enter(m, b, x, t, which);
    if (!s->twin[which]) s->twin[which] = enter(m, b, x, t, which);
    return s->twin[which];
}

/* --- twins --- */

static void twin_dims(maker *m, const xfc_value *v, const xfc_token *t, uint32_t which, xfc_int *dim) {
    xfc_pieces p = split(m, &v->type, t), q = twin_pieces(m, &p, which);
    dims_of(m->ctx, &q, dim);
}

/* One number for all tokens, as the mask is for real ones, stays one through views and changes of type. */
static xfc_value *twin_of_one(xfc_builder *b, const xfc_op *op, const xfc_value *x, const xfc_int *dim, uint32_t rank) {
    const xfc_op *from = x ? x->def : NULL;
    bool keeps = xfc_op_has(op, XFC_BIJECT) || op->code == XFC_OP_EXPAND || op->code == XFC_OP_CAST;
    if (!keeps || !from || from->code != XFC_OP_EXPAND || from->in[0].value->type.rank > 0) return NULL;
    return xfc_b_expand(b, xfc_b_cast(b, from->in[0].value, op->out[0].type.dtype), dim, rank);
}

static xfc_value *twin_of_op(maker *m, xfc_op *op, uint32_t which) {
    xfc_builder b = builder_at(m, op);
    xfc_token in[16], out;
    xfc_value *v[16];
    xfc_int dim[XFC_MAX_RANK];
    xfc_attr attr[XFC_K_COUNT];
    uint32_t rank = op->out[0].type.rank;
    if (!xfc_token_through(&m->u->tokens, op, in, &out)) return NULL;
    for (uint32_t i = 0; i < op->n_in; i++) {
        v[i] = op->in[i].value ? operand(m, &b, op->in[i].value, &in[i], which) : NULL;
        if (op->in[i].value && !v[i]) return NULL;
    }
    twin_dims(m, &op->out[0], &out, which, dim);
    xfc_value *one = op->n_in == 1 ? twin_of_one(&b, op, v[0], dim, rank) : NULL;
    if (one) return one;
    for (uint32_t k = 0; k < op->n_attr; k++) {
        attr[k] = op->attr[k];
        bool is_shape = attr[k].key == XFC_K_SHAPE || (attr[k].key == XFC_K_SIZE && xfc_op_has(op, XFC_VIEW));
        if (is_shape) attr[k] = xfc_attr_dims(attr[k].key, dim, rank);
    }
    xfc_value *r = xfc_build_opt(&b, op->code, v, op->n_in, attr, op->n_attr);
    if (!r || r->type.rank != rank) return NULL;
    for (uint32_t d = 0; d < rank; d++)
        if (!xfc_int_same(r->type.dim[d], dim[d])) return xfc_b_expand(&b, r, dim, rank);
    return r;
}

/* A plain bias as [n|1, heads|1, s|1, s|1] without its mask; batch and heads may be one of its dims. */
static xfc_value *plain_bias(maker *m, xfc_builder *b, const xfc_unpad_term *t, xfc_int heads) {
    xfc_value *bias = t->value;
    const xfc_type *type = &bias->type;
    bool joined =
        type->rank == t->rank && !xfc_int_is(m->ctx, type->dim[0], 1) && !xfc_int_same(type->dim[0], m->u->tokens.b);
    if (t->rank == 3 && type->rank == 3) {
        xfc_int one = xfc_int_const(m->ctx, 1);
        const xfc_int dim[4] = {joined ? m->u->tokens.b : type->dim[0], joined ? heads : one, type->dim[1],
                                type->dim[2]};
        bias = xfc_b_reshape(b, bias, dim, 4);
    }
    bias = bias ? xfc_unpad_residual(m->u, b, bias) : NULL;
    if (!bias || t->rank == 3 || !joined) return bias;
    const xfc_int dim[4] = {m->u->tokens.b, heads, bias->type.dim[2], bias->type.dim[3]};
    return xfc_b_reshape(b, bias, dim, 4);
}

/* The ragged twin of a row or column term, as [1, heads|1, rows, columns]. */
static xfc_value *content_bias(maker *m, xfc_builder *b, const xfc_unpad_term *t) {
    xfc_value *v = xfc_unpad_of(m->u, t->value)->twin[XFC_RAGGED];
    xfc_assert(v); /* wanted, and defined in front of the attention */
    uint32_t r = v->type.rank;
    xfc_int one = xfc_int_const(m->ctx, 1),
            heads = r == 4 ? xfc_int_mul(m->ctx, v->type.dim[0], v->type.dim[1]) : v->type.dim[0];
    const xfc_int dim[4] = {one, heads, v->type.dim[r - 2], v->type.dim[r - 1]};
    return xfc_b_reshape(b, v, dim, 4);
}

/* Operands bias, row_bias and column_bias of the ragged attention, as far as there are any. */
static bool ragged_bias(maker *m, xfc_builder *b, xfc_op *op, const xfc_token *q, xfc_int heads, xfc_value **out) {
    xfc_unpad_terms terms;
    if (!xfc_unpad_bias_terms(m->u, op, &terms)) return false;
    for (uint32_t i = 0; i < terms.n; i++) {
        const xfc_unpad_term *t = &terms.term[i];
        if (t->kind == XFC_TERM_PLAIN && xfc_unpad_is_neutral(m->u, op, q, t)) continue;
        xfc_value *v = t->kind == XFC_TERM_PLAIN ? plain_bias(m, b, t, heads) : content_bias(m, b, t);
        xfc_value **sum = &out[t->kind];
        *sum = v && *sum ? xfc_b_binary(b, XFC_OP_ADD, *sum, v) : v;
        if (!*sum) return false;
    }
    return true;
}

static xfc_value *ragged_attention(maker *m, xfc_op *op) {
    xfc_builder b = builder_at(m, op);
    const xfc_token *q = &xfc_unpad_of(m->u, &op->out[0])->token;
    xfc_value *in[9] = {NULL, NULL, NULL, m->cu, m->tasks, m->pos};
    uint32_t n = 9;
    for (uint32_t i = 0; i < 3; i++) {
        in[i] = join_front(&b, operand(m, &b, op->in[i].value, q, XFC_RAGGED));
        if (!in[i]) return NULL;
    }
    if (!ragged_bias(m, &b, op, q, in[0]->type.dim[0], in + 6)) return NULL;
    while (!in[n - 1]) n--;
    xfc_attr attr[3] = {xfc_attr_dims(XFC_K_SIZE, &m->u->tokens.s, 1),
                        xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1)),
                        xfc_attr_int(XFC_K_NAN_TO_ZERO, 1)};
    xfc_value *r =
        xfc_build_opt(&b, XFC_OP_ATTENTION_RAGGED, in, n, attr, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0) ? 3 : 2);
    xfc_int dim[XFC_MAX_RANK];
    twin_dims(m, &op->out[0], q, XFC_RAGGED, dim);
    return r ? xfc_b_reshape(&b, r, dim, 4) : NULL;
}

/* What part of a bias's front dim counts sequences: [b * inner, ...] or [1, ...]. */
static xfc_token sequences_of(const maker *m, const xfc_value *v, uint32_t rank) {
    xfc_token t = {.s_dim = UINT8_MAX, .b_inner = xfc_int_const(m->ctx, 1)}; /* the padded twin keeps all positions */
    t.has_b = v->type.rank == rank && !xfc_int_is(m->ctx, v->type.dim[0], 1) &&
              xfc_int_exact(m->ctx, v->type.dim[0], m->u->tokens.b, &t.b_inner);
    return t;
}

/* The bias, or a part of it that is added up in `rank` dims, for B2 sequences: as the model adds it, from its terms. */
static xfc_value *padded_bias(maker *m, xfc_builder *b, xfc_value *v, uint32_t rank, const xfc_unpad_terms *terms) {
    for (uint32_t i = 0; i < terms->n; i++) {
        const xfc_unpad_term *t = &terms->term[i];
        if (t->value != v) continue;
        xfc_token token = sequences_of(m, v, rank);
        return t->kind == XFC_TERM_PLAIN ? enter(m, b, v, &token, XFC_PADDED) : xfc_unpad_of(m->u, v)->twin[XFC_PADDED];
    }
    const xfc_op *op = v->def;
    uint32_t below = op->code == XFC_OP_RESHAPE ? op->in[0].value->type.rank : rank;
    xfc_value *in[2] = {NULL};
    for (uint32_t i = 0; i < op->n_in; i++) {
        in[i] = padded_bias(m, b, op->in[i].value, below, terms);
        if (!in[i]) return NULL;
    }
    if (op->code == XFC_OP_ADD) return xfc_b_binary(b, XFC_OP_ADD, in[0], in[1]);
    xfc_int dim[XFC_MAX_RANK];
    xfc_token token = sequences_of(m, v, rank);
    twin_dims(m, v, &token, XFC_PADDED, dim);
    return xfc_b_reshape(b, in[0], dim, rank);
}

static xfc_value *padded_attention(maker *m, xfc_op *op) {
    xfc_builder b = builder_at(m, op);
    const xfc_token *q = &xfc_unpad_of(m->u, &op->out[0])->token;
    xfc_unpad_terms terms;
    xfc_value *in[4];
    for (uint32_t i = 0; i < 3; i++) in[i] = operand(m, &b, op->in[i].value, q, XFC_PADDED);
    in[3] = xfc_unpad_bias_terms(m->u, op, &terms) ? padded_bias(m, &b, op->in[3].value, 4, &terms) : NULL;
    for (uint32_t i = 0; i < 4; i++)
        if (!in[i]) return NULL;
    return xfc_build(&b, XFC_OP_ATTENTION, in, 4, op->attr, op->n_attr);
}

/* --- ways out --- */

static bool leaves_region(maker *m, const xfc_use *use) {
    const xfc_op *op = use->user;
    if (op->n_out != 1) return true;
    const xfc_unpad_value *s = xfc_unpad_of(m->u, &op->out[0]);
    return !s->pair && !(s->derived && s->tainted);
}

static xfc_value *leave(maker *m, xfc_op *op) {
    xfc_value *v = &op->out[0];
    const xfc_unpad_value *s = xfc_unpad_of(m->u, v);
    xfc_builder b = {.graph = m->u->g, .before = op->next, .loc = op->loc};
    xfc_pieces p = split(m, &v->type, &s->token), ragged = twin_pieces(m, &p, XFC_RAGGED);
    xfc_pieces padded = twin_pieces(m, &p, XFC_PADDED);
    xfc_value *rows = to_front(&b, s->twin[XFC_RAGGED], &ragged);
    xfc_value *other = m->padded ? to_front(&b, s->twin[XFC_PADDED], &padded) : NULL;
    if (!rows || (m->padded && !other)) return NULL;
    xfc_value *r = xfc_b_pad_ragged(&b, rows, m->inv, other, s->clean ? s->fill : 0);
    if (r && !s->token.has_b) r = xfc_b_reshape(&b, r, r->type.dim + 1, r->type.rank - 1);
    return r ? xfc_token_from_front(&b, r, &p) : NULL;
}

/* The graph input that v comes from, for messages. */
static const char *input_name(const xfc_value *v) {
    while (v->def && v->def->n_in > 0 && v->def->in[0].value) v = v->def->in[0].value;
    return v->name ? v->name : "the mask";
}

static void note_output(maker *m, const xfc_op *op, uint32_t i) {
    xfc_graph *g = m->u->g;
    const xfc_unpad_value *s = xfc_unpad_of(m->u, &op->out[0]);
    if (s->clean || m->u->whole) return;
    const char *name = g->out_name[i] ? g->out_name[i] : "", *mask = input_name(m->u->atom);
    xfc_graph_meta(g, xfc_sprintf(m->u->pass->scratch, "padded-output:%s", name), mask);
    xfc_graph_note(g, "unpad", op->loc, "output '%s' holds 0 where '%s' marks padding", name, mask);
}

static bool make_exits(maker *m, xfc_op *op) {
    xfc_value *v = &op->out[0], *out = NULL;
    for (xfc_use *use = v->uses, *next; use; use = next) {
        next = use->next;
        if (!leaves_region(m, use)) continue;
        if (!out) {
            out = leave(m, op);
            if (!out) return false;
            m->u->n_exits++;
            next = v->uses; /* `leave` reads twins only, yet look again: it is cheap */
            continue;
        }
        uint32_t i = (uint32_t)(use - use->user->in);
        if (use->user->code == XFC_OP_RETURN) note_output(m, op, i);
        xfc_op_set_in(use->user, i, out);
    }
    return true;
}

/* --- what every ragged op stands on --- */

static xfc_value *mask_of(maker *m, xfc_builder *b) {
    xfc_unpad *u = m->u;
    xfc_token t;
    bool ok = xfc_token_of_type(&u->tokens, &u->atom->type, &t);
    xfc_assert(ok);
    xfc_pieces p = split(m, &u->atom->type, &t);
    xfc_value *mask = to_front(b, (xfc_value *)(uintptr_t)u->atom, &p);
    if (!mask || !u->inverted) return mask;
    xfc_dtype type = mask->type.dtype;
    if (type == XFC_BOOL) return xfc_b_unary(b, XFC_OP_NOT, mask);
    xfc_value *one = xfc_dtype_is_float(type) ? xfc_b_scalar_f(b, type, 1) : xfc_b_scalar_i(b, type, 1);
    return xfc_b_binary(b, XFC_OP_SUB, one, mask); /* what is neither 0 nor 1 stays neither */
}

static bool make_prologue(maker *m) {
    xfc_unpad *u = m->u;
    xfc_ctx *c = m->ctx;
    xfc_loc loc = u->atom->def ? u->atom->def->loc : (xfc_loc){.file = u->g->source};
    xfc_builder b = {.graph = u->g, .before = m->anchor, .loc = loc};
    xfc_int zero = xfc_int_const(c, 0), all = xfc_int_mul(c, u->tokens.b, u->tokens.s);
    xfc_int blocks = xfc_int_mul(c, u->tokens.b, xfc_int_ceildiv(c, u->tokens.s, xfc_int_const(c, TASK_ROWS)));
    xfc_value *mask = mask_of(m, &b);
    xfc_ragged r;
    if (mask) mask = xfc_unpad_guarded(u, &b, mask);
    if (!mask || !xfc_b_seq_offsets(&b, mask, u->first, u->prefix, TASK_ROWS, &r)) return false;
    xfc_int given = u->pass->opts->packed_tokens;
    m->t = xfc_int_let(c, "T", zero, xfc_int_known(given) ? xfc_int_min(c, all, given) : all);
    m->n_tasks = xfc_int_let(c, "N", zero, blocks);
    xfc_int no_token = xfc_int_max(c, xfc_int_sub(c, xfc_int_const(c, 1), m->t), zero);
    m->b2 = xfc_int_let(c, "B2", zero, xfc_int_mul(c, u->tokens.b, no_token)); /* one program or the other */
    if (!xfc_b_define(&b, r.counts, (xfc_int[]){m->t, m->n_tasks, m->b2}, 3)) return false;
    m->cu = r.cu;
    m->tok = first_rows(&b, r.tok, m->t);
    m->inv = r.inv;
    m->tasks = first_rows(&b, r.tasks, m->n_tasks);
    if (!m->tok || !m->tasks) return false;
    xfc_value *s = xfc_b_cast(&b, xfc_b_dims(&b, &u->tokens.s, -1), XFC_I32);
    m->pos = xfc_b_binary(&b, XFC_OP_MOD, m->tok, s);
    m->seq = xfc_b_binary(&b, XFC_OP_DIV, m->tok, s);
    /* run_packed checks its sequences itself, but not what else a guard asks of them. */
    bool guards = u->nonempty || u->n_guards > 0, checked = xfc_int_known(given);
    m->padded = guards || (!checked && (u->first || u->prefix || u->atom->type.dtype != XFC_BOOL));
    xfc_int most = xfc_int_const(c, INT32_MAX);
    if (!m->padded) xfc_graph_require_equal(u->g, xfc_int_min(c, all, most), all, loc);
    return m->pos && m->seq;
}

/* --- the whole --- */

static uint32_t number_ops(xfc_graph *g) {
    uint32_t n = 0;
    xfc_foreach_op(op, g) op->mark = n++;
    return n;
}

static bool make_twins(maker *m, xfc_op *op) {
    xfc_unpad_value *s = xfc_unpad_of(m->u, &op->out[0]);
    if (!s->wanted || !s->derived) return true;
    bool attention = op->code == XFC_OP_ATTENTION;
    s->twin[XFC_RAGGED] = attention ? ragged_attention(m, op) : twin_of_op(m, op, XFC_RAGGED);
    if (m->padded) s->twin[XFC_PADDED] = attention ? padded_attention(m, op) : twin_of_op(m, op, XFC_PADDED);
    if (!s->twin[XFC_RAGGED] || (m->padded && !s->twin[XFC_PADDED])) return false;
    return !s->tainted || make_exits(m, op);
}

bool xfc_unpad_rewrite(xfc_unpad *u) {
    maker m = {.u = u, .ctx = u->ctx};
    m.anchor = xfc_unpad_move_up(u, u->atom->def ? u->atom->def->next : u->g->first);
    uint32_t n = number_ops(u->g), count = 0;
    xfc_op **ops = xfc_new_array(u->pass->scratch, xfc_op *, n);
    xfc_foreach_op(op, u->g) ops[count++] = op;
    m.anchor_mark = m.anchor->mark;
    if (!make_prologue(&m)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (ops[i]->n_out == 1 && !make_twins(&m, ops[i])) {
            xfc_fail(u->ctx, XFC_ERR_UNSUPPORTED, ops[i]->loc,
                     "padding removal cannot rewrite this node; compile with --unpad=off and report it");
            return false;
        }
    return true;
}

/* atom.c - finds the value that tells tokens from padding, and what a bias is without padding.
 *
 * Candidates are looked for above the bias of an attention: a graph input with the dims of the mask, or one that is
 * given them (the choices of a question as sequences of their own); or, where the model derives the mask from something
 * else (token ids compared with the pad id, positions with lengths), the comparison. Whether a candidate is right is
 * decided by unpad/mask.c, not here.
 */
#include "passes/unpad/unpad.h"

enum { MAX_WALK = 2000, INDEX_HOPS = 3 };

/* --- candidates --- */

/* Indices of a table, possibly cast or reshaped first: token ids are no mask. */
static bool is_index(const xfc_value *v, uint32_t hops) {
    xfc_foreach_use(u, v) {
        const xfc_op *op = u->user;
        if (op->code == XFC_OP_GATHER && u == &op->in[1]) return true;
        bool passes_on = op->code == XFC_OP_CAST || xfc_op_has(op, XFC_VIEW) || op->code == XFC_OP_ADD;
        if (hops > 0 && passes_on && is_index(&op->out[0], hops - 1)) return true;
    }
    return false;
}

/* A number, or a product of dims other than s: batch, batch * choices. */
static bool is_product(const xfc_ctx *c, xfc_int b, xfc_int s) {
    const xfc_int_info *i = xfc_int_look(c, b);
    if (i->kind == XFC_INT_CONST || i->kind == XFC_INT_SYMBOL) return true;
    if (i->kind != XFC_INT_SUM || i->n_terms != 1) return false;
    for (uint32_t k = 0; k < i->term[0].n; k++)
        if (xfc_int_look(c, i->term[0].atom[k])->kind != XFC_INT_SYMBOL || xfc_int_same(i->term[0].atom[k], s))
            return false;
    return true;
}

/* [.., b, .., s, ..] with ones elsewhere; b = 1 if there is one dim only. */
static bool has_mask_dims(xfc_ctx *c, const xfc_type *t, xfc_int s, xfc_unpad_atom *out) {
    uint32_t n_s = 0, n_b = 0;
    out->s = s;
    out->b = xfc_int_const(c, 1);
    for (uint32_t d = 0; d < t->rank; d++) {
        if (xfc_int_is(c, t->dim[d], 1)) continue;
        if (n_s == 0 && xfc_int_same(t->dim[d], s)) {
            n_s++;
        } else if (n_b++ == 0) {
            out->b = t->dim[d];
        }
    }
    bool s_ok = xfc_int_value(c, s, NULL) || xfc_int_look(c, s)->kind == XFC_INT_SYMBOL;
    return n_s == 1 && n_b <= 1 && s_ok && is_product(c, out->b, s) && !xfc_int_same(out->b, s) && !xfc_int_is(c, s, 1);
}

typedef struct {
    xfc_ctx *ctx;
    xfc_int s;
    bool *seen;
    uint32_t visits, n, most;
    xfc_unpad_atom *out;
} search;

/* Does v come from token ids, or from inputs without a position axis (lengths)? */
static bool from_ids(search *f, const xfc_value *v, uint32_t *visits) {
    xfc_unpad_atom ignored;
    if (++*visits > 64) return false;
    if (!v->def) return is_index(v, INDEX_HOPS) || !has_mask_dims(f->ctx, &v->type, f->s, &ignored);
    for (uint32_t i = 0; i < v->def->n_in; i++)
        if (v->def->in[i].value && from_ids(f, v->def->in[i].value, visits)) return true;
    return false;
}

/* The elements of an input that has other dims: [batch, choices, s] as [batch * choices, s]. */
static bool is_folded_input(const search *f, const xfc_value *v) {
    xfc_unpad_atom ignored;
    while (v->def && v->def->n_in == 1 && (xfc_op_has(v->def, XFC_BIJECT) || v->def->code == XFC_OP_CAST))
        v = v->def->in[0].value;
    return !v->def && !is_index(v, INDEX_HOPS) && !has_mask_dims(f->ctx, &v->type, f->s, &ignored);
}

static bool is_candidate(search *f, const xfc_value *v, xfc_unpad_atom *a) {
    uint32_t visits = 0;
    if (!has_mask_dims(f->ctx, &v->type, f->s, a)) return false;
    if (!v->def) return !is_index(v, INDEX_HOPS);
    if (is_folded_input(f, v)) return true;
    bool compares = v->def->code >= XFC_OP_EQ && v->def->code <= XFC_OP_GE;
    return compares && from_ids(f, v, &visits);
}

static void walk(search *f, const xfc_value *v) {
    xfc_unpad_atom a = {.atom = v};
    if (f->seen[v->id] || f->n == f->most || ++f->visits > MAX_WALK) return;
    f->seen[v->id] = true;
    if (is_candidate(f, v, &a)) f->out[f->n++] = a;
    if (!v->def) return;
    for (uint32_t i = 0; i < v->def->n_in; i++)
        if (v->def->in[i].value) walk(f, v->def->in[i].value);
}

uint32_t xfc_unpad_atoms(xfc_pass *p, const xfc_op *attention, xfc_unpad_atom *out, uint32_t n) {
    if (attention->n_in < 4 || !attention->in[3].value) return 0;
    search f = {.ctx = p->graph->ctx, .s = attention->in[1].value->type.dim[2], .out = out, .most = n};
    f.seen = xfc_new_array(p->scratch, bool, p->graph->next_value_id);
    walk(&f, attention->in[3].value);
    return f.n;
}

/* --- without padding --- */

typedef struct {
    xfc_unpad *u;
    xfc_builder *b;
    xfc_value **made; /* by value id; made anew or as it is */
    uint8_t *depends; /* by value id: 0 not known, 1 no, 2 yes */
    uint32_t n, visits;
    bool failed;
} remaker;

static bool depends(remaker *r, const xfc_value *v) {
    if (v == r->u->atom) return true;
    if (!v->def || v->id >= r->n) return false;
    if (r->depends[v->id]) return r->depends[v->id] == 2;
    bool any = ++r->visits > MAX_WALK;
    for (uint32_t i = 0; i < v->def->n_in && !any; i++) any = v->def->in[i].value && depends(r, v->def->in[i].value);
    r->depends[v->id] = any ? 2 : 1;
    return any;
}

static bool all_ones(xfc_ctx *c, const xfc_type *t) {
    for (uint32_t d = 0; d < t->rank; d++)
        if (!xfc_int_is(c, t->dim[d], 1)) return false;
    return true;
}

/* v with rank dims, the new ones being leading ones. */
static xfc_value *with_rank(xfc_builder *b, xfc_value *v, uint32_t rank) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_assert(v->type.rank <= rank);
    uint32_t more = rank - v->type.rank;
    for (uint32_t d = 0; d < rank; d++) dim[d] = d < more ? xfc_int_const(b->graph->ctx, 1) : v->type.dim[d - more];
    return xfc_b_reshape(b, v, dim, rank);
}

static xfc_value *remake(remaker *r, xfc_value *v);

/* Views of one number are that number; a view keeps its meaning on an operand that kept its dims; expands can wait. */
static xfc_value *remake_view(remaker *r, const xfc_op *op) {
    xfc_ctx *c = r->u->ctx;
    const xfc_type *out = &op->out[0].type;
    if (op->n_in != 1) return NULL;
    xfc_value *x = remake(r, op->in[0].value);
    if (!x || op->code == XFC_OP_PAD) return NULL;
    if (all_ones(c, &x->type)) {
        xfc_int dim[XFC_MAX_RANK];
        for (uint32_t d = 0; d < out->rank; d++) dim[d] = xfc_int_const(c, 1);
        return xfc_b_reshape(r->b, x, dim, out->rank);
    }
    if (xfc_type_same(&x->type, &op->in[0].value->type) || op->code == XFC_OP_TRANSPOSE)
        return xfc_build(r->b, op->code, &x, 1, op->attr, op->n_attr);
    return op->code == XFC_OP_EXPAND ? with_rank(r->b, x, out->rank) : NULL;
}

static xfc_value *remake_map(remaker *r, const xfc_op *op) {
    xfc_value *in[3];
    if (op->n_in == 0 || op->n_in > 3) return NULL;
    for (uint32_t i = 0; i < op->n_in; i++) {
        in[i] = remake(r, op->in[i].value);
        if (!in[i]) return NULL;
    }
    return xfc_build(r->b, op->code, in, op->n_in, op->attr, op->n_attr);
}

static xfc_value *remake(remaker *r, xfc_value *v) {
    if (r->failed || !depends(r, v)) return r->failed ? NULL : v;
    if (r->made[v->id]) return r->made[v->id];
    xfc_value *made = NULL;
    if (v == r->u->atom) {
        made = with_rank(r->b, xfc_b_scalar_f(r->b, XFC_F64, r->u->inverted ? 0 : 1), v->type.rank);
        made = xfc_b_cast(r->b, made, v->type.dtype);
    } else if (xfc_op_has(v->def, XFC_MAP)) {
        made = remake_map(r, v->def);
    } else if (xfc_op_has(v->def, XFC_VIEW)) {
        made = remake_view(r, v->def);
    }
    r->failed |= !made;
    r->made[v->id] = made;
    return made;
}

xfc_value *xfc_unpad_residual(xfc_unpad *u, xfc_builder *b, xfc_value *bias) {
    uint32_t n = u->g->next_value_id;
    remaker r = {.u = u, .b = b, .n = n};
    r.made = xfc_new_array(u->pass->scratch, xfc_value *, n);
    r.depends = xfc_new_array(u->pass->scratch, uint8_t, n);
    xfc_value *made = remake(&r, bias);
    return with_rank(b, made ? made : bias, 4);
}

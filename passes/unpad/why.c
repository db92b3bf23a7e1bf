/* why.c - why padding stays where no attention could be shown to mask it: the attention that comes nearest to it,
 * and what its bias comes from. For people; what is decided, is decided before.
 */
#include "passes/unpad/unpad.h"

enum { MAX_WALK = 2000 };

typedef enum { NO_BIAS, OF_POSITIONS, OF_INPUT, OF_MASK, MASKED } nearness;

typedef struct {
    bool *seen; /* by value id */
    uint32_t visits;
} search;

/* The first graph input above v. */
static const xfc_value *input_above(search *f, const xfc_value *v) {
    if (!v->def) return v;
    if (f->seen[v->id] || ++f->visits > MAX_WALK) return NULL;
    f->seen[v->id] = true;
    for (uint32_t i = 0; i < v->def->n_in; i++) {
        const xfc_value *found = v->def->in[i].value ? input_above(f, v->def->in[i].value) : NULL;
        if (found) return found;
    }
    return NULL;
}

/* Is padding masked, among keys that are not the queries? */
static bool masks_keys(xfc_pass *p, const xfc_op *attention, const xfc_unpad_atom *a) {
    xfc_unpad u = {
        .pass = p, .g = p->graph, .ctx = p->graph->ctx, .atom = a->atom, .tokens = xfc_unpad_tokens(p, a->b, a->s)};
    xfc_token keys;
    return xfc_token_of_type(&u.tokens, &attention->in[1].value->type, &keys) &&
           xfc_unpad_masks_keys(&u, attention, &keys);
}

/* from: what tells most about the bias. */
static nearness look_at(xfc_pass *p, const xfc_op *attention, const xfc_value **from) {
    xfc_unpad_atom atom;
    if (attention->n_in < 4 || !attention->in[3].value) return NO_BIAS;
    search f = {.seen = xfc_new_array(p->scratch, bool, p->graph->next_value_id)};
    bool marks = xfc_unpad_atoms(p, attention, &atom, 1) > 0;
    *from = input_above(&f, marks ? atom.atom : attention->in[3].value);
    if (marks) return masks_keys(p, attention, &atom) ? MASKED : OF_MASK;
    return *from ? OF_INPUT : OF_POSITIONS;
}

const char *xfc_unpad_why(xfc_pass *p, xfc_loc *loc) {
    const xfc_value *from = NULL;
    nearness best = NO_BIAS;
    xfc_foreach_op(op, p->graph) {
        const xfc_value *v = NULL;
        nearness n = op->code == XFC_OP_ATTENTION ? look_at(p, op, &v) : NO_BIAS;
        if (n <= best) continue;
        best = n;
        from = v;
        *loc = op->loc;
    }
    if (best == NO_BIAS) return "no attention has a bias, so nothing is masked";
    if (best == OF_POSITIONS) return "the bias of this attention depends on no input: it masks positions, not padding";
    const char *name = from && from->name ? from->name : "a constant";
    if (best == OF_INPUT)
        return xfc_sprintf(
            p->scratch,
            "the bias of this attention comes from '%s', but nothing on the way has the dims [batch, sequence] of "
            "its keys, as a padding mask has",
            name);
    if (best == OF_MASK)
        return xfc_sprintf(p->scratch,
                           "the bias of this attention is not provably a padding mask: '%s' does not make it -9000 or "
                           "less at a key, whatever the query",
                           name);
    return xfc_sprintf(
        p->scratch,
        "'%s' masks padding among the keys of this attention, but its queries are other tokens, or it has "
        "no kernel without padding",
        name);
}

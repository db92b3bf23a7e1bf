/* unpad.c - padding removal: run the tokens that exist, not the rectangle they were padded to.
 *
 * After ByteTransformer (arXiv 2210.03052), for unmodified models. A model whose attentions provably ignore masked keys
 * (unpad/mask.c) is the same function of its real tokens without the others, as long as nothing else looks at those
 * (unpad/region.c). So it is run as one sequence of T tokens with batch 1 and attention made block-diagonal by
 * cu_seqlens (unpad/twin.c). Left padding and holes are compacted like any other; positions stay those of the padded
 * columns. A call whose mask breaks an assumption (values other than 0 and 1, padding where an exit reads a single
 * token, unpad/exit.c) runs the padded program that stands beside the ragged one.
 *
 * What changes: outputs with a token axis hold 0 at padding instead of what the model computed there. The note and the
 * metadata "padded-output:NAME" say so.
 *
 * When: after raise and merge (it needs attention as one op and the mask unmerged with anything), before legalize.
 * Options: --unpad=off leaves the graph alone; require makes a refusal an error.
 */
#include "passes/unpad/unpad.h"
#include "passes/unpad/whole.h"

enum { MAX_ATOMS = 8 };

void xfc_unpad_refuse(xfc_unpad *u, const xfc_op *op, const char *why) {
    if (u->n_refusals == XFC_COUNT(u->refused)) return;
    u->refused[u->n_refusals] = op;
    u->reason[u->n_refusals++] = why;
}

static const xfc_token *token_of(const xfc_tokens *t, const xfc_value *v, bool *bound) {
    const xfc_unpad_value *state = xfc_unpad_of((const xfc_unpad *)t, v);
    *bound = state->tainted;
    return state->is_token ? &state->token : NULL;
}

xfc_tokens xfc_unpad_tokens(xfc_pass *p, xfc_int b, xfc_int s) {
    return (xfc_tokens){.graph = p->graph, .scratch = p->scratch, .b = b, .s = s, .of = token_of};
}

static uint32_t find_atoms(xfc_pass *p, xfc_unpad_atom *all, uint32_t *n_attentions) {
    uint32_t n = 0;
    xfc_foreach_op(op, p->graph) {
        xfc_unpad_atom found[MAX_ATOMS];
        if (op->code != XFC_OP_ATTENTION) continue;
        ++*n_attentions;
        uint32_t k = xfc_unpad_atoms(p, op, found, MAX_ATOMS);
        for (uint32_t i = 0; i < k; i++) {
            bool known = false;
            for (uint32_t j = 0; j < n; j++) known |= all[j].atom == found[i].atom;
            if (!known && n < MAX_ATOMS) all[n++] = found[i];
        }
    }
    return n;
}

/* Composites that no trait describes (a mean) show by what they are made of which tokens they read. */
static void take_apart(xfc_pass *p) {
    for (xfc_op *op = p->graph->first; op && p->status == XFC_OK;) {
        const xfc_op_info *info = &xfc_ops[op->code];
        bool described = info->nest || xfc_op_has(op, XFC_ROWWISE) || xfc_op_has(op, XFC_EACH);
        bool opaque = info->decompose && !described && op->n_in == 1;
        op = opaque ? xfc_decompose(p, op) : op->next;
    }
}

static void say_no(xfc_pass *p, xfc_loc loc, const char *why) {
    xfc_graph_note(p->graph, "unpad", loc, "padding is not removed: %s", why);
    if (p->opts->unpad == XFC_FORCE)
        p->status = xfc_fail(p->graph->ctx, XFC_ERR_INPUT, loc, "--unpad=require: padding cannot be removed: %s", why);
}

static void say_why(xfc_pass *p, xfc_loc loc) {
    const char *why = xfc_unpad_why(p, &loc);
    say_no(p, loc, why);
}

static void say_refusals(xfc_pass *p, const xfc_unpad *u) {
    for (uint32_t i = 0; i < u->n_refusals; i++) say_no(p, u->refused[i]->loc, u->reason[i]);
}

/* The input whose elements the atom has; else its own name, if it has one. */
static const char *name_of(const xfc_value *atom) {
    const xfc_value *v = atom;
    while (v->def && v->def->n_in == 1 && (xfc_op_has(v->def, XFC_BIJECT) || v->def->code == XFC_OP_CAST))
        v = v->def->in[0].value;
    if (!v->def && v->name) return v->name;
    return atom->name ? atom->name : "a comparison";
}

static bool rewrite(xfc_unpad *u) {
    xfc_graph *g = u->g;
    const char *name = name_of(u->atom);
    if (!xfc_unpad_rewrite(u)) {
        u->pass->status = XFC_ERR_UNSUPPORTED;
        return true;
    }
    if (u->whole) return true;
    xfc_loc loc = u->atom->def ? u->atom->def->loc : (xfc_loc){.file = g->source};
    const char *guards = "";
    if (u->n_guards > 0) guards = xfc_sprintf(u->pass->scratch, ", single tokens are read at %u places", u->n_guards);
    xfc_graph_note(g, "unpad", loc, "padding removed: %u attentions masked by '%s', %u exits%s%s%s%s", u->n_attentions,
                   name, u->n_exits, u->first ? ", position 0 of every sequence is read" : "", guards,
                   u->nonempty ? ", every sequence must have a token" : "",
                   u->prefix ? ", the mask is read as lengths: padding must come last" : "");
    return true;
}

bool xfc_unpad_was_here(const xfc_graph *g) {
    xfc_foreach_op(op, g)
        if (op->code == XFC_OP_SEQ_OFFSETS) return true;
    return false;
}

bool xfc_unpad_pass(xfc_pass *p) {
    xfc_unpad_atom atom[MAX_ATOMS];
    uint32_t n_attentions = 0;
    xfc_loc whole = {.file = p->graph->source};
    if (p->opts->unpad == XFC_OFF || p->graph->user) return false; /* bodies are left as they are */
    if (xfc_unpad_was_here(p->graph)) return false;
    if (!p->target->claims) {
        if (p->opts->unpad == XFC_FORCE) say_no(p, whole, "this target has no attention over ragged sequences");
        return false;
    }
    uint32_t n = find_atoms(p, atom, &n_attentions);
    if (n > 0) take_apart(p);
    if (p->status != XFC_OK) return true;
    bool one_sequence = false;
    xfc_unpad best = {0};
    for (uint32_t i = 0; i < n; i++) {
        xfc_unpad u = {.pass = p,
                       .g = p->graph,
                       .ctx = p->graph->ctx,
                       .atom = atom[i].atom,
                       .tokens = xfc_unpad_tokens(p, atom[i].b, atom[i].s)};
        if (xfc_int_is(u.ctx, u.tokens.b, 1)) {
            one_sequence = true;
            continue;
        }
        u.value = xfc_new_array(p->scratch, xfc_unpad_value, p->graph->next_value_id);
        if (xfc_unpad_find_region(&u)) return rewrite(&u);
        if (u.n_attentions > best.n_attentions) best = u;
    }
    if (best.n_refusals > 0)
        say_refusals(p, &best);
    else if (one_sequence)
        say_no(p, whole, "the batch is 1: a single sequence can be passed without its padding");
    else if (n_attentions == 0)
        say_no(p, whole, "no attention was found");
    else
        say_why(p, whole);
    return false;
}

/* All ones, in front of everything. */
static xfc_value *full_mask(xfc_graph *g, xfc_int b, xfc_int s) {
    const xfc_int dim[2] = {b, s};
    xfc_builder at = {.graph = g, .before = g->first};
    return xfc_b_expand(&at, xfc_b_scalar_i(&at, XFC_BOOL, 1), dim, 2);
}

bool xfc_unpad_whole(xfc_pass *p, xfc_int b, xfc_int s) {
    if (p->opts->unpad == XFC_OFF || !p->target->claims || xfc_unpad_was_here(p->graph)) return false;
    xfc_unpad u = {.pass = p, .g = p->graph, .ctx = p->graph->ctx, .whole = true};
    take_apart(p);
    if (p->status != XFC_OK || !(u.atom = full_mask(p->graph, b, s))) return true;
    u.tokens = xfc_unpad_tokens(p, b, s);
    u.value = xfc_new_array(p->scratch, xfc_unpad_value, p->graph->next_value_id);
    return xfc_unpad_find_region(&u) && rewrite(&u);
}

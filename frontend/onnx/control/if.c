/* if.c - If: the branch that is taken, or a branch op with both.
 *
 * A condition that shape arithmetic decides has one branch; the other one is not looked at. Where it is known at run
 * time only, the two become bodies (ir/program.h), of which one runs: what the other requires of sizes and indices need
 * not hold. Their results must agree in element type and rank; sizes may differ, and lengths of sequences. If they do
 * not, and what decides is whether a size is some number, it is taken to be another one, which a run checks: exporters
 * write such a branch for each size that might be 1.
 */
#include "frontend/onnx/sequence/sequence.h"
#include "frontend/onnx/text/text.h"
#include "ir/defined.h"
#include "ir/ops/ops.h"
#include "ir/program.h"

static const Onnx__GraphProto *branch_of(xfc_node *n, const char *name) {
    const Onnx__GraphProto *g = xfc_node_graph(n, name);
    if (g && (g->n_input || g->n_output != n->n_out))
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "graph '%s' has %zu inputs and %zu outputs, not 0 and %u; export the model again", name,
                      g->n_input, g->n_output, n->n_out);
    return n->status == XFC_OK ? g : NULL;
}

static xfc_result *import_branch(xfc_node *n, const char *name) {
    const Onnx__GraphProto *g = branch_of(n, name);
    return g ? xfc_import_inner(n, g, name, NULL) : NULL;
}

/* 1 or 0 where the condition is known, -1 otherwise. */
static int decided(const xfc_node *n, const xfc_value *cond) {
    xfc_int zero[XFC_MAX_RANK], e;
    int64_t v;
    for (uint32_t d = 0; d < cond->type.rank; d++) zero[d] = xfc_int_const(n->ctx, 0);
    e = xfc_element(n->im, cond, zero);
    return xfc_int_known(e) && xfc_int_value(n->ctx, e, &v) ? v != 0 : -1;
}

static bool joins(const xfc_type *yes, const xfc_type *no) { return yes->dtype == no->dtype && yes->rank == no->rank; }

/* False, with a message: the two results are no values of one type. */
static bool may_join(xfc_node *n, uint32_t i, const xfc_type *yes, const xfc_type *no) {
    if (joins(yes, no)) return true;
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "output %u is %s in one branch and %s in the other, and its condition is %s",
                  i, xfc_type_text(n->ctx, yes), xfc_type_text(n->ctx, no),
                  xfc_remedy(n, n->in[0], "known at run time only; export with the condition fixed"));
    return false;
}

/* --- a condition that is known at run time only --- */

typedef struct {   /* a branch as it stands behind the ops around it */
    xfc_op *after; /* the op before its own */
    const xfc_result *out;
    xfc_value **value; /* those of its outputs: a sequence is several */
    uint32_t n;
    xfc_requirements required;
} arm;

static arm import_arm(xfc_node *n, const char *name) {
    xfc_graph *g = n->im->graph;
    arm a = {.after = g->tail};
    xfc_requirements around = xfc_graph_swap_requirements(g, (xfc_requirements){.of = {.arena = g->arena}});
    a.out = import_branch(n, name);
    a.required = xfc_graph_swap_requirements(g, around);
    xfc_probe_forget(&n->im->probe); /* what was proved by them */
    return a;
}

static xfc_op *first_of(const xfc_node *n, const arm *a) { return a->after ? a->after->next : n->im->graph->first; }

/* Nothing of its own but constants, up to this op. */
static bool computes_nothing(const xfc_node *n, const arm *a, const xfc_op *end) {
    for (const xfc_op *op = first_of(n, a); op != end; op = op->next)
        if (op->code != XFC_OP_CONST) return false;
    return a->required.n == 0;
}

static void add_values(const xfc_node *n, arm *a, xfc_value *const *value, uint32_t count) {
    xfc_value **all = xfc_new_array(n->im->arena, xfc_value *, a->n + count + 1u);
    for (uint32_t i = 0; i < a->n; i++) all[i] = a->value[i];
    for (uint32_t i = 0; i < count; i++) all[a->n + i] = value[i];
    a->value = all, a->n += count;
}

/* --- sequences --- */

static bool lists_join(const xfc_sequence *a, const xfc_sequence *b) {
    if (!a->item || !b->item || a->n != b->n || a->present) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->item[i]->type.rank != b->item[i]->type.rank) return false;
    return a->n > 0;
}

/* An empty one is of the type that the other has. */
static const xfc_sequence *like(xfc_node *n, const xfc_sequence *s, const xfc_sequence *other) {
    if (!s->item || s->n) return s;
    xfc_sequence *copy = xfc_memdup(n->im->arena, s, sizeof *s, _Alignof(xfc_sequence));
    copy->dtype = other->dtype;
    return copy;
}

/* The flat one's values behind those of the arm, its ops before `end`. */
static bool add_flat(xfc_node *n, arm *a, const xfc_sequence *s, int64_t rank, xfc_op *end) {
    xfc_value *part[XFC_MAX_PARTS];
    n->b->before = end;
    s = xfc_sequence_flatten(n, s, rank);
    n->b->before = NULL;
    if (s) add_values(n, a, part, xfc_sequence_parts(s, part));
    return s != NULL;
}

/* Adds the values of output i, which is a sequence in both. */
static bool add_sequences(xfc_node *n, uint32_t i, arm *yes, arm *no) {
    const xfc_sequence *a = like(n, yes->out[i].sequence, no->out[i].sequence),
                       *b = like(n, no->out[i].sequence, yes->out[i].sequence);
    if (a->dtype != b->dtype || a->optional != b->optional || !a->present != !b->present)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "output %u is %s of %s in one branch and %s of %s in the other; export the model again", i,
                             a->optional || a->present ? "an optional" : "a sequence", xfc_dtype_name(a->dtype),
                             b->optional || b->present ? "an optional" : "a sequence", xfc_dtype_name(b->dtype)),
               false;
    if (lists_join(a, b)) {
        add_values(n, yes, a->item, a->n);
        add_values(n, no, b->item, b->n);
        return true;
    }
    int64_t ra = xfc_sequence_rank(n, a), rb = xfc_sequence_rank(n, b), rank = ra > rb ? ra : rb;
    xfc_op *end = first_of(n, no);
    if (!add_flat(n, yes, a, rank, end)) return false;
    no->after = end ? end->prev : n->im->graph->tail;
    return add_flat(n, no, b, rank, NULL);
}

static const xfc_sequence *sequence_of(xfc_node *n, const arm *yes, const arm *no, uint32_t i, xfc_value **value,
                                       uint32_t *next) {
    const xfc_sequence *a = yes->out[i].sequence, *b = no->out[i].sequence;
    xfc_sequence *s;
    if (lists_join(a, b)) {
        s = xfc_sequence_list(n, a->dtype, a->n);
        for (uint32_t k = 0; k < a->n; k++) s->item[k] = value[(*next)++];
    } else {
        s = xfc_sequence_flat(n, value[*next], value[*next + 1]);
        *next += 2;
        if (a->present) s->present = value[(*next)++];
    }
    s->optional = a->optional;
    return s;
}

/* --- strings --- */

static void add_tensor(const xfc_node *n, arm *a, xfc_result r) {
    add_values(n, a, &r.value, 1);
    if (r.texts) add_values(n, a, (xfc_value *[]){r.texts->bytes, r.texts->starts, r.texts->lengths}, 3);
}

/* How many values it is. */
static uint32_t take_tensor(xfc_node *n, uint32_t i, bool texts, xfc_value **value) {
    n->out[i] = value[0];
    if (texts) n->out_texts[i] = xfc_texts_new(n, value[1], value[2], value[3], false);
    return texts ? 4 : 1;
}

/* --- a size that is taken to be another one --- */

typedef struct {
    xfc_probe probe; /* first: its hook finds the rest */
    struct {
        xfc_int a, b;
    } pair[4];
    uint32_t n;
    bool others; /* symbols that are no dims or sizes: a place in a tensor, or what data decides */
} unlike;

static void note_symbol(void *user, xfc_int symbol) {
    unlike *u = user;
    const xfc_sym_kind kind = xfc_int_look(u->probe.graph->ctx, symbol)->sym;
    u->others |= kind != XFC_SYM_DIM && kind != XFC_SYM_SIZE;
}

static int differ(xfc_probe *p, xfc_int a, xfc_int b) {
    unlike *u = (unlike *)p;
    u->others = false;
    xfc_int_symbols(p->graph->ctx, a, note_symbol, u);
    xfc_int_symbols(p->graph->ctx, b, note_symbol, u);
    if (u->others || u->n == XFC_COUNT(u->pair)) return -1;
    u->pair[u->n].a = a;
    u->pair[u->n++].b = b;
    return 0;
}

/* 1 or 0 where the condition is known as soon as sizes are not what it compares them with, which is required then; -1
 * otherwise. */
static int assumed(xfc_node *n, const xfc_value *cond) {
    xfc_graph *g = n->im->graph;
    xfc_int zero[XFC_MAX_RANK];
    unlike u = {.probe = xfc_element_probe(n->im)};
    int64_t v;
    u.probe.equal = differ;
    for (uint32_t d = 0; d < cond->type.rank; d++) zero[d] = xfc_int_const(n->ctx, 0);
    const xfc_int e = xfc_fact_formula(xfc_probe_at(&u.probe, cond, zero));
    if (!xfc_int_known(e) || !xfc_int_value(n->ctx, e, &v)) return -1;
    for (uint32_t i = 0; i < u.n; i++)
        if (!xfc_graph_require(g, u.pair[i].a, u.pair[i].b, XFC_UNEQUAL, n->loc)) return -1;
    return v != 0;
}

static bool all_join(const xfc_node *n, const arm *yes, const arm *no) {
    bool all = true;
    for (uint32_t i = 0; i < n->n_out && all; i++) {
        const xfc_result *a = &yes->out[i], *b = &no->out[i];
        all = !a->value || !b->value || joins(&a->value->type, &b->value->type);
    }
    return all;
}

static void take(xfc_node *n, const xfc_result *out) {
    for (uint32_t i = 0; i < n->n_out; i++)
        n->out[i] = out[i].value, n->out_sequence[i] = out[i].sequence, n->out_texts[i] = out[i].texts;
}

/* The arm that other sizes take, as if it were no branch. */
static void take_assumed(xfc_node *n, bool first, const arm *yes, const arm *no) {
    const arm *a = first ? yes : no;
    if (first)
        xfc_cut(no->after, n->im->graph->tail);
    else
        xfc_cut(yes->after, no->after);
    xfc_graph_note(n->im->graph, "import", n->loc,
                   "its branches have results of different ranks; the one for sizes that are not what its condition "
                   "names was taken, which each run checks (--dim fixes a size)");
    xfc_graph_require_all(n->im->graph, a->required.constraint, a->required.n);
    take(n, a->out);
}

/* --- both --- */

/* The values that the two have in common; false: there are none, and the node has failed, or a branch has. */
static bool match(xfc_node *n, arm *yes, arm *no) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        xfc_result a = yes->out[i], b = no->out[i];
        if (a.sequence && b.sequence) {
            if (!add_sequences(n, i, yes, no)) return false;
            continue;
        }
        if (a.sequence || b.sequence)
            xfc_node_fail(n, XFC_ERR_INPUT, "output %u is a sequence in one branch alone; export the model again", i);
        if (!a.value || !b.value || !may_join(n, i, &a.value->type, &b.value->type)) return false;
        if (!a.texts != !b.texts)
            return xfc_node_fail(n, XFC_ERR_INPUT,
                                 "output %u holds strings in one branch alone; export the model again", i),
                   false;
        add_tensor(n, yes, a);
        add_tensor(n, no, b);
    }
    return true;
}

static xfc_value **choose(xfc_node *n, xfc_value *cond, const arm *yes, const arm *no) {
    xfc_graph *g = n->im->graph;
    xfc_captures around = {0};
    xfc_graph *b =
        xfc_outline(g, no->after, NULL, no->value, no->n, xfc_sprintf(n->im->arena, "%s/else", n->loc.node), &around);
    xfc_graph *a = xfc_outline(g, yes->after, NULL, yes->value, yes->n,
                               xfc_sprintf(n->im->arena, "%s/then", n->loc.node), &around);
    xfc_op *op = xfc_b_branch(n->b, xfc_b_reshape(n->b, cond, NULL, 0), &around, a, b);
    if (!op) return NULL;
    xfc_graph_require_all(a, yes->required.constraint, yes->required.n);
    xfc_graph_require_all(b, no->required.constraint, no->required.n);
    xfc_value **out = xfc_new_array(n->im->arena, xfc_value *, yes->n);
    for (uint32_t i = 0; i < yes->n; i++) out[i] = &op->out[i];
    return out;
}

/* Where neither computes anything and all types agree, a selection does. */
static xfc_value **select_or_choose(xfc_node *n, xfc_value *cond, const arm *yes, const arm *no) {
    bool same = true;
    for (uint32_t i = 0; i < yes->n; i++) same = same && xfc_type_same(&yes->value[i]->type, &no->value[i]->type);
    if (!same || !computes_nothing(n, yes, first_of(n, no)) || !computes_nothing(n, no, NULL))
        return choose(n, cond, yes, no);
    xfc_value **out = xfc_new_array(n->im->arena, xfc_value *, yes->n);
    cond = xfc_b_reshape(n->b, cond, NULL, 0);
    for (uint32_t i = 0; i < yes->n; i++)
        out[i] = yes->value[i] == no->value[i] ? yes->value[i] : xfc_b_select(n->b, cond, yes->value[i], no->value[i]);
    return out;
}

/* Both are imported where they stand, so that sizes are known through their borders; then each becomes a body of its
 * own. */
static void import_both(xfc_node *n, xfc_value *cond) {
    arm yes = import_arm(n, "then_branch");
    if (n->status != XFC_OK) return;
    arm no = import_arm(n, "else_branch");
    uint32_t next = 0;
    if (n->status != XFC_OK || !yes.out || !no.out) return;
    const int other = all_join(n, &yes, &no) ? -1 : assumed(n, cond);
    if (other >= 0) {
        take_assumed(n, other, &yes, &no);
        return;
    }
    if (!match(n, &yes, &no)) return;
    xfc_value **out = select_or_choose(n, cond, &yes, &no);
    for (uint32_t i = 0; out && i < n->n_out; i++)
        if (yes.out[i].sequence)
            n->out_sequence[i] = sequence_of(n, &yes, &no, i, out, &next);
        else
            next += take_tensor(n, i, yes.out[i].texts != NULL, out + next);
}

void xfc_import_if(xfc_node *n) {
    xfc_value *cond = n->in[0];
    int64_t count;
    if (cond->type.dtype != XFC_BOOL || !xfc_type_static(n->ctx, &cond->type, NULL, &count) || count != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "the condition '%s' must be one bool; export the model again",
                      xfc_node_in_name(n, 0));
        return;
    }
    int taken = decided(n, cond);
    if (taken < 0) {
        import_both(n, cond);
        return;
    }
    const xfc_result *out = import_branch(n, taken ? "then_branch" : "else_branch");
    if (n->status == XFC_OK) take(n, out);
}

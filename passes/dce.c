/* dce.c - removes ops without uses.
 *
 * Every op but `return` and `define` is pure, so an op none of whose outputs is used has no effect. Uses precede
 * definitions in a walk from the end, so one walk removes whole chains. What defines symbols goes when, besides,
 * nothing behind it names one of them, and no constraint does. Operands that no body of their op reads go, too. Run it
 * after any pass that leaves replaced ops behind.
 *
 *   %0 = erf %x          |
 *   %1 = neg %x          |  %1 = neg %x
 *   return %1            |  return %1
 */
#include "ir/defined.h"
#include "ir/program.h"
#include "passes/rewrite/rewrite.h"

static bool is_unused(const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_out; i++) {
        if (op->out[i].uses) return false;
    }
    return true;
}

static bool is_dead(const xfc_op *op) {
    const xfc_int *symbol;
    return xfc_op_has(op, XFC_PURE) && is_unused(op) && xfc_op_defines(op, &symbol) == 0;
}

/* --- symbols in use; nothing is looked at in a graph without a define --- */

typedef struct {
    const xfc_ctx *ctx;
    xfc_map named; /* id of a symbol that an op seen so far names -> 1 */
    bool any;
} names;

static void note_int(void *user, xfc_int e);

/* What the range of an index names is named, too, as it is checked: of a table, whose size may stand nowhere else. */
static void note_symbol(void *user, xfc_int symbol) {
    names *n = user;
    const xfc_int_info *i = xfc_int_look(n->ctx, symbol);
    const bool seen = xfc_map_find(&n->named, symbol.id, NULL);
    const xfc_int lo = i->lo, hi = i->hi;
    xfc_map_set(&n->named, symbol.id, 1);
    if (!seen && i->sym == XFC_SYM_LET) {
        note_int(n, lo);
        note_int(n, hi);
    }
}

static void note_int(void *user, xfc_int e) {
    names *n = user;
    if (xfc_int_known(e)) xfc_int_symbols(n->ctx, e, note_symbol, n);
}

static names names_of(xfc_pass *pass) {
    const xfc_graph *g = pass->graph;
    names n = {.ctx = g->ctx, .named = {.arena = pass->scratch}};
    n.any = g->program->defines;
    for (uint32_t i = 0; n.any && i < g->n_constraints; i++) {
        note_int(&n, g->constraint[i].a);
        note_int(&n, g->constraint[i].b);
    }
    return n;
}

static void note_contents(names *n, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_out; i++) {
        int64_t count = 0;
        if (op->out[i].content) (void)xfc_type_static(n->ctx, &op->out[i].type, NULL, &count);
        for (int64_t k = 0; k < count; k++) note_int(n, op->out[i].content[k]);
    }
}

static void note_op(names *n, const xfc_op *op) {
    xfc_graph *body[XFC_MAX_BODIES];
    if (!n->any) return;
    if (op->code != XFC_OP_DEFINE) xfc_op_ints(op, note_int, n);
    note_contents(n, op);
    for (uint32_t i = 0, count = xfc_op_bodies(op, body); i < count; i++)
        xfc_foreach_op_deep(inner, body[i]) note_contents(n, inner);
    const xfc_int *symbol; /* what a range names is needed as long as the define is */
    uint32_t n_symbols = xfc_op_defines(op, &symbol);
    for (uint32_t i = 0; i < n_symbols; i++) {
        note_int(n, xfc_int_look(n->ctx, symbol[i])->lo);
        note_int(n, xfc_int_look(n->ctx, symbol[i])->hi);
    }
}

static bool is_idle(const names *n, const xfc_op *op) {
    const xfc_int *symbol;
    uint32_t n_symbols = xfc_op_defines(op, &symbol);
    for (uint32_t i = 0; i < n_symbols; i++)
        if (xfc_map_get(&n->named, symbol[i].id)) return false;
    return n_symbols > 0 && is_unused(op);
}

/* --- operands of bodies --- */

static bool bodies_read(xfc_graph *const *body, uint32_t n, uint32_t i) {
    for (uint32_t k = 0; k < n; k++)
        if (body[k]->in[i]->uses) return true;
    return false;
}

/* The last operands of an op with bodies are their last inputs. */
static bool drop_captures(xfc_op *op) {
    xfc_graph *body[XFC_MAX_BODIES];
    uint32_t n = xfc_op_bodies(op, body);
    bool changed = false;
    for (uint32_t i = n ? body[0]->n_in : 0, first = n ? i - xfc_op_captures(op) : 0; i-- > first;) {
        if (bodies_read(body, n, i)) continue;
        xfc_op_drop_in(op, op->n_in - body[0]->n_in + i);
        for (uint32_t k = 0; k < n; k++) xfc_graph_drop_input(body[k], i);
        changed = true;
    }
    return changed;
}

bool xfc_dce(xfc_pass *pass) {
    bool changed = false;
    names n = names_of(pass);
    for (xfc_op *op = pass->graph->last, *prev; op; op = prev) {
        prev = op->prev;
        if (!is_dead(op) && !is_idle(&n, op)) {
            note_op(&n, op);
            changed |= drop_captures(op);
            continue;
        }
        xfc_op_remove(op);
        changed = true;
    }
    return changed;
}

enum { SWEPT = 0x53574550 }; /* in op->mark: on the stack, to be removed once */

void xfc_sweep(xfc_arena *scratch, xfc_op *op) {
    if (!is_dead(op)) return;
    xfc_op **stack = NULL, **defs = NULL;
    uint32_t n = 0, cap = 0;
    xfc_push(scratch, stack, n, cap) = op;
    while (n > 0) {
        op = stack[--n];
        uint32_t n_in = op->n_in;
        defs = xfc_new_array(scratch, xfc_op *, n_in);
        for (uint32_t i = 0; i < n_in; i++) defs[i] = op->in[i].value ? op->in[i].value->def : NULL;
        xfc_op_remove(op);
        for (uint32_t i = 0; i < n_in; i++) {
            if (!defs[i] || defs[i]->mark == SWEPT || !is_dead(defs[i])) continue;
            defs[i]->mark = SWEPT;
            xfc_push(scratch, stack, n, cap) = defs[i];
        }
    }
}

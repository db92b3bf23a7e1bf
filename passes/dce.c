/* dce.c - removes ops without uses.
 *
 * Every op but `return` is pure, so an op none of whose outputs is used has no effect. Uses precede definitions in a
 * walk from the end, so one walk removes whole chains. Run it after any pass that leaves replaced ops behind.
 *
 *   %0 = erf %x          |
 *   %1 = neg %x          |  %1 = neg %x
 *   return %1            |  return %1
 */
#include "passes/rewrite.h"

static bool is_dead(const xfc_op *op) {
    if (!xfc_op_has(op, XFC_PURE)) return false;
    for (uint32_t i = 0; i < op->n_out; i++) {
        if (op->out[i].uses) return false;
    }
    return true;
}

bool xfc_dce(xfc_pass *pass) {
    bool changed = false;
    for (xfc_op *op = pass->graph->last, *prev; op; op = prev) {
        prev = op->prev;
        if (!is_dead(op)) continue;
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

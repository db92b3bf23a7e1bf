/* entries.c - the pipeline for every way of calling a model.
 *
 * Exporters that give each input dims of its own leave open whether they agree. Attention is not found then, and no
 * padding, although every real call has token ids and a mask of one size. So such a model comes as two graphs, of which
 * the second takes the dims for the same ones; its plan checks that at entry, and the runtime falls back to the first.
 * Which is worth a second program is decided by what came out: attention kernels and removed padding.
 */
#include "passes/entries.h"
#include "ir/program.h"
#include "passes/unpad/packed_entry.h"
#include <string.h>

/* Kernels of attention, and routines, which find the tokens of a padded batch. */
static uint32_t gains(const xfc_graph *g) {
    uint32_t n = 0;
    xfc_foreach_op_deep(op, g)
        n += xfc_ops[op->code].call || (op->kernel && strcmp(op->kernel->form, "attention") == 0);
    return n;
}

/* Of the model is said what holds for calls whose dims agree, behind what was said at import: n_notes. */
static void tell(xfc_entries *e, uint32_t n_notes) {
    xfc_graph *run = e->graph[XFC_ENTRY_RUN];
    const xfc_graph *equal = e->graph[XFC_ENTRY_EQUAL];
    run->n_notes = n_notes;
    xfc_graph_note(
        run, "import", (xfc_loc){.file = run->source},
        "calls whose dims agree where they meet run a program of their own, of which the notes behind this one "
        "speak; --dim same leaves the other one out");
    xfc_graph_copy_notes(run, equal);
}

static xfc_status run_first(xfc_graph **g, xfc_entries *e, bool packed, const xfc_target *target, const char *names,
                            const xfc_run_opts *opts) {
    if (packed) return xfc_run_passes_packed(g, &e->graph[XFC_ENTRY_PACKED], target, names, opts);
    return xfc_run_passes(g, target, names, opts);
}

/* EQUAL is an offer: where nothing is demanded that RUN may not have, what fails there alone is no error, and what gains
 * nothing is left out. */
static bool is_offer(bool packed, const xfc_run_opts *opts) {
    return !packed && opts->passes.unpad != XFC_FORCE && opts->passes.pre_rmsnorm != XFC_FORCE;
}

static void withdraw(xfc_graph **equal, uint32_t n_diags, uint32_t n_errors) {
    xfc_ctx *ctx = (*equal)->ctx;
    ctx->n_diags = n_diags;
    ctx->n_errors = n_errors;
    xfc_graph_free(*equal);
    *equal = NULL;
}

xfc_status xfc_run_entries(xfc_entries *e, bool packed, const xfc_target *target, const char *names,
                           const xfc_run_opts *opts) {
    xfc_graph **run = &e->graph[XFC_ENTRY_RUN], **equal = &e->graph[XFC_ENTRY_EQUAL];
    if (!*equal) return run_first(run, e, packed, target, names, opts);
    const uint32_t n_notes = (*run)->n_notes, n_diags = (*run)->ctx->n_diags, n_errors = (*run)->ctx->n_errors;
    xfc_run_opts other = *opts;
    if (other.passes.unpad == XFC_FORCE) other.passes.unpad = XFC_AUTO;
    if (other.passes.pre_rmsnorm == XFC_FORCE) other.passes.pre_rmsnorm = XFC_AUTO;
    xfc_status s = run_first(equal, e, packed, target, names, opts);
    if (s != XFC_OK && !is_offer(packed, opts)) return s;
    if (s != XFC_OK) withdraw(equal, n_diags, n_errors);
    XFC_TRY(xfc_run_passes(run, target, names, &other));
    if (*equal && (gains(*equal) > gains(*run) || !is_offer(packed, opts)))
        tell(e, n_notes);
    else if (*equal)
        withdraw(equal, n_diags, n_errors);
    return XFC_OK;
}

void xfc_entries_free(xfc_entries *e) {
    for (int i = 0; i < XFC_N_ENTRIES; i++) xfc_graph_free(e->graph[i]);
    *e = (xfc_entries){{0}};
}

/* entries.c - the pipeline for every way of calling a model.
 *
 * Exporters that give each input dims of its own leave open whether they agree. Attention is not found then, and no padding,
 * although every real call has token ids and a mask of one size. So such a model comes as two graphs, of which the second
 * takes the dims for the same ones; its plan checks that at entry, and the runtime falls back to the first. Which is worth
 * a second program is decided by what came out: attention kernels and removed padding.
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

/* What is said of one of the graphs is said of the model. */
static void tell(xfc_entries *e) {
    xfc_graph *run = e->graph[XFC_ENTRY_RUN];
    const xfc_graph *equal = e->graph[XFC_ENTRY_EQUAL];
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

xfc_status xfc_run_entries(xfc_entries *e, bool packed, const xfc_target *target, const char *names,
                           const xfc_run_opts *opts) {
    xfc_graph **run = &e->graph[XFC_ENTRY_RUN], **equal = &e->graph[XFC_ENTRY_EQUAL];
    if (!*equal) return run_first(run, e, packed, target, names, opts);
    xfc_run_opts other = *opts;
    if (other.passes.unpad == XFC_FORCE) other.passes.unpad = XFC_AUTO;
    if (other.passes.pre_rmsnorm == XFC_FORCE) other.passes.pre_rmsnorm = XFC_AUTO;
    XFC_TRY(run_first(equal, e, packed, target, names, opts));
    XFC_TRY(xfc_run_passes(run, target, names, &other));
    if (gains(*equal) > gains(*run)) {
        tell(e);
    } else if (!packed) {
        xfc_graph_free(*equal);
        *equal = NULL;
    }
    return XFC_OK;
}

void xfc_entries_free(xfc_entries *e) {
    for (int i = 0; i < XFC_N_ENTRIES; i++) xfc_graph_free(e->graph[i]);
    *e = (xfc_entries){{0}};
}

/* entries.h - what a model is compiled to: a graph for each way of calling it, over the same weights. */
#ifndef XFC_ENTRIES_H
#define XFC_ENTRIES_H
#include "passes/pass.h"

/* RUN: any call. EQUAL: calls whose dims agree where they meet; NULL: nothing more would be known. PACKED: sequences
 * one behind another, NULL unless asked for. (XF_PLAN_* of runtime/include/xfc/abi.h, which says what the inputs
 * are.) */
typedef enum { XFC_ENTRY_RUN, XFC_ENTRY_EQUAL, XFC_ENTRY_PACKED, XFC_N_ENTRIES } xfc_entry;
typedef struct {
    xfc_graph *graph[XFC_N_ENTRIES];
} xfc_entries;

/* Runs the pipeline on RUN, and on EQUAL if it is there; packed: makes PACKED, too, from the one of which more is
 * known. EQUAL goes if it has gained nothing or cannot be compiled. What passes demand of the model is demanded of it,
 * if it is there. */
xfc_status xfc_run_entries(xfc_entries *, bool packed, const xfc_target *, const char *names, const xfc_run_opts *);
void xfc_entries_free(xfc_entries *);

#endif

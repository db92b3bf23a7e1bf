/* packed_entry.h - the second graph of --packed-entry: the model for sequences that stand one behind another. */
#ifndef XFC_PACKED_ENTRY_H
#define XFC_PACKED_ENTRY_H
#include "passes/pass.h"

/* Runs the pipeline on *g and on a copy of it that takes packed inputs (runtime/include/xfc/abi.h says which);
 * *packed is NULL on failure. The pipeline must hold the pass unpad, and unpad must find a mask that is an input. */
xfc_status xfc_run_passes_packed(xfc_graph **g, xfc_graph **packed, const xfc_target *, const char *names,
                                 const xfc_run_opts *);

#endif

/* cache_rows.h - scatters that write rows of a cache become appends (cache_rows.c). */
#ifndef XFC_CACHE_ROWS_H
#define XFC_CACHE_ROWS_H
#include "ir/ir.h"

/* Result i of g, if it is an input with whole rows written into it. False: failed, with a message. */
bool xfc_cache_rows(xfc_graph *, uint32_t i);

#endif

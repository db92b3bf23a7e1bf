/* prune.h - what a network may do without: blocks of a residual stream, heads of attention, neurons between two linears.
 *
 * prune_find.c says what can go, prune_try.c what goes first, prune.c takes it out.
 */
#ifndef XFC_PRUNE_H
#define XFC_PRUNE_H
#include "passes/lossy/lossy.h"
#include "passes/lossy/narrow.h"

typedef struct {      /* what an add brings into a stream: the data of a site */
    const char *name; /* "attention3", "ffn0": counted from the input */
    xfc_op *join;
    uint32_t side;  /* which operand of it the branch is */
    xfc_op *reader; /* the last linear of the branch, whose rows are what heads or neurons add; NULL: there is none */
    bool attention;
    int64_t heads;  /* of its attention, which is one op; 0: there is none, or a number of them that is open */
    double saves;   /* multiplications that go with all of it */
    xfc_part *unit; /* columns of the reader's input that go together */
    uint32_t n_units;
    const char *whole; /* why there are no units; NULL: there are, or nothing that could be parted */
} xfc_prune_block;

/* Blocks in topological order, and their units in the order of the columns. */
void xfc_prune_find(xfc_lossy *, xfc_prune_block **out, uint32_t *n);
xfc_part xfc_part_without(xfc_arena *, xfc_part gone);       /* the rest of its period */
const xfc_tensor *xfc_prune_weight(const xfc_prune_block *); /* of the reader */
/* What each unit of all blocks adds, on samples; NULL: it is not told, for that would be too much work. */
xfc_status xfc_prune_try(xfc_lossy *, const double **adds);
/* Multiplications that go with these columns of the reader's input; below 0: there are more without them. */
double xfc_prune_saves(xfc_lossy *, const xfc_prune_block *, xfc_part gone);

#endif

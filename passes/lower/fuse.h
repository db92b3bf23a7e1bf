/* fuse.h - the moves of fuse, one file each. All return whether they changed the graph. */
#ifndef XFC_FUSE_H
#define XFC_FUSE_H
#include "passes/lower/draft.h"
#include "passes/pass.h"

/* The one nest of a kernel without outer axes, lets and temporaries; NULL for any other op. */
const xfc_nest *xfc_simple_nest(const xfc_op *);
/* The one op that uses v (however often), NULL if there are none or several. */
xfc_op *xfc_only_user(const xfc_value *);

bool xfc_fuse_inline(xfc_graph *);   /* fuse.c */
bool xfc_fuse_epilogue(xfc_graph *); /* fuse.c */
bool xfc_fuse_rows(xfc_graph *);     /* fuse_rows.c */

#endif

/* verify.h - structural checks by stage; reports all that is wrong, not the first.
 *
 * Use lists match operands; order is topological; types equal what inference says; attributes are allowed and complete;
 * ops are allowed at the stage; kernels: accesses within rank, body refers backwards, dtypes agree with the scalar
 * table, every symbol used is in scope, each output is stored exactly once, temporaries are stored before they are
 * read.
 */
#ifndef XFC_VERIFY_H
#define XFC_VERIFY_H
#include "ir/ops/op.h"

/* Appends one line per defect to `out` (may be NULL); true iff none. */
bool xfc_verify(const xfc_graph *, xfc_buf *out);

#endif

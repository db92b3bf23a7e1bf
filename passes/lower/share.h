/* share.h - which tables are weights as well; for passes that would give one of the two other elements. */
#ifndef XFC_SHARE_H
#define XFC_SHARE_H
#include "passes/pass.h"

/* By id of the tensor, 1: large matrices of which rows are read and which are the right operand of a product, too, as
 * they are or transposed; both tensors are in it. */
xfc_map xfc_shared_tables(const xfc_graph *, xfc_arena *);

#endif

/* parallel.h - the same work for many numbers at once, on all processors.
 *
 * body(arg, i) for every i < n, in any order and at once; it must touch nothing that another i writes. So results do not
 * depend on how many threads there are. Arenas and contexts are not thread-safe: allocate before.
 */
#ifndef XFC_PARALLEL_H
#define XFC_PARALLEL_H
#include "ir/base/base.h"

typedef void xfc_parallel_fn(void *arg, int64_t i);
void xfc_parallel(int64_t n, xfc_parallel_fn *body, void *arg);

#endif

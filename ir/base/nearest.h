/* nearest.h - "did you mean": of the names that there are, the one that a mistyped one stands for.
 *
 * Offer every name, then ask. Time is bounded by the lengths of the names offered; nothing is allocated but the text.
 */
#ifndef XFC_NEAREST_H
#define XFC_NEAREST_H
#include "ir/base/arena.h"

typedef struct {
    const char *wanted; /* as typed; n bytes of it */
    size_t n;
    const char *best; /* NULL: nothing offered so far is near. The first of several that are as near */
    uint32_t edits;   /* between wanted and best */
} xfc_nearest;        /* start from {.wanted = s, .n = strlen(s)} */

void xfc_nearest_offer(xfc_nearest *, const char *name);
/* "; did you mean '--tap'?" with the given prefix ("--", or ""); "" when nothing was near. */
const char *xfc_did_you_mean(xfc_arena *, const xfc_nearest *, const char *prefix);

#endif

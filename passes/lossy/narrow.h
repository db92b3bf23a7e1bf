/* narrow.h - a part of a value, computed as if there had never been more of it.
 *
 * The part is some indices along one dim: the columns of a product that a later one still reads, the heads that stay.
 * It is followed up to the constants, which are cut; what lies between is built anew on less. Nothing is approximated:
 * every element of the part is what it was. Other readers of the same values keep them as they were.
 */
#ifndef XFC_NARROW_H
#define XFC_NARROW_H
#include "ir/build.h"

typedef struct {
    uint32_t n;
    const int64_t *at; /* rising */
    int64_t period;    /* these of every so many indices: all of the dim, or what it is a multiple of */
} xfc_part;

typedef struct xfc_narrow_visit xfc_narrow_visit;
typedef struct { /* start from {.arena = a}; as long as the graph is changed by nobody else */
    xfc_arena *arena;
    const xfc_value *stuck; /* which value has no such part */
    struct {                /* ops that are built on less: of the elements of their results, n in `of` */
        struct {
            const xfc_op *op;
            int64_t n, of;
        } *item;
        uint32_t n, cap;
    } less;
    struct {
        xfc_part *item;
        uint32_t n, cap;
    } parts;
    xfc_map visits; /* (value, dim, part) -> xfc_narrow_visit */
} xfc_narrow;

/* Can it be? If not, n->stuck is what cannot. */
bool xfc_can_narrow(xfc_narrow *n, xfc_value *, uint32_t dim, xfc_part);
/* The part, made before each op's wider twin; NULL: it cannot be, or has failed. */
xfc_value *xfc_narrowed(xfc_narrow *n, xfc_value *, uint32_t dim, xfc_part);
/* t with these indices of one dim. */
const xfc_tensor *xfc_tensor_part(xfc_ctx *, const xfc_tensor *t, uint32_t dim, xfc_part);

#endif

/* steps.h - a loop op whose body is made in place, between begin and end.
 *
 * What is carried keeps its element type and rank; as it depends on the steps before, nothing is known of it when its
 * body is imported. Its place is held there by an op without a meaning, whose results become the first inputs of the
 * body. Sizes that the body requires are the body's.
 *
 * Which dims change is only known once the body was imported with some assumption: that none does, then that those do
 * which did, dims being one symbol that are the same at first and behind a step. xfc_steps_change takes the assumption
 * back and makes the next one; each has more symbols than the one before, so there is a last one.
 */
#ifndef XFC_ONNX_STEPS_H
#define XFC_ONNX_STEPS_H
#include "frontend/onnx/import.h"

typedef struct {
    xfc_node *n;
    xfc_value *const *carried; /* at first */
    uint32_t n_carried;
    xfc_value *number; /* i64[]: of the step, from 0 */
    xfc_value *in;     /* what is carried into the step: n_carried of them */
    bool stays;        /* set it where the operator says that shapes stay: they are then required to */
    uint32_t *class;   /* of dim d of value i, at i * XFC_MAX_RANK + d: the number of its symbol, + 1 */
    xfc_int *symbol;   /* of dims that change */
    uint32_t n_symbols;
    xfc_op *formals, *after;
    xfc_requirements around;
} xfc_steps;

void xfc_steps_begin(xfc_steps *, xfc_node *, xfc_value *const *carried, uint32_t n_carried);
/* out: whether to go on (bool[]), what is carried next, then a row of each of `lists` lists, which have `size` rows.
 * NULL out, or a node that failed: the body is dropped, and so is the answer, NULL. */
xfc_op *xfc_steps_end(xfc_steps *, xfc_value *trip, xfc_value *cond, xfc_value *const *out, uint32_t lists,
                      xfc_int size);
void xfc_steps_drop(xfc_steps *); /* the body as it stands */
/* Do other dims change than was assumed, where next is what is carried behind a step? Then the body was dropped, and one
 * with this assumption has begun. A value of another element type or rank fails the node. */
bool xfc_steps_change(xfc_steps *, xfc_value *const *next);
/* Is b the type a, where sizes that data decides are taken to be those of a? Each step checks that they are. */
bool xfc_steps_may_be(xfc_steps *, const xfc_type *a, const xfc_type *b);
/* What is carried next as number i; fails the node where its type does not stay. */
xfc_value *xfc_steps_next(xfc_steps *, uint32_t i, xfc_value *);

xfc_value *xfc_n_reverse(xfc_node *, xfc_value *, uint32_t axis); /* its last slice first */

#endif

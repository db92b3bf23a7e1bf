/* views.h - the parts of the views pass. Each function looks at one op and answers the value that can stand for its
 * result (built before the op if new), or NULL when there is nothing to do. */
#ifndef XFC_VIEWS_H
#define XFC_VIEWS_H
#include "ir/probe.h"
#include "passes/rewrite/rewrite.h"

typedef xfc_value *xfc_view_fn(xfc_builder *, const xfc_op *);

/* views/gather.c: reads whose indices are an arithmetic progression become slices; slices of a progression become
 * iota. */
xfc_view_fn xfc_views_gather, xfc_views_slice_progression;
/* views/index.c: indices that are a formula of their place. Conditions on formulas whose outcome is always the same. */
xfc_view_fn xfc_views_gather_formula, xfc_views_gather_nd, xfc_views_decided;
/* views/map.c: an element-wise op of expanded operands becomes the expansion of the op on what was expanded. */
xfc_view_fn xfc_views_map;
/* views/matmul.c: products with a matrix that was repeated for each of a batch. */
xfc_view_fn xfc_views_matmul;

/* v's elements in row-major order, of an iota, too. */
bool xfc_views_progression_of(xfc_ctx *, const xfc_value *, xfc_progression *);

static inline bool xfc_op_is(const xfc_value *v, xfc_opcode code) { return v && v->def && v->def->code == code; }
/* Dims `from` .. of a are exactly those of b, and a's first ones are all 1. */
static inline bool xfc_adds_leading_ones(const xfc_ctx *c, const xfc_type *a, const xfc_type *b) {
    if (a->rank < b->rank) return false;
    uint32_t extra = a->rank - b->rank;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (d < extra ? !xfc_int_is(c, a->dim[d], 1) : !xfc_int_same(a->dim[d], b->dim[d - extra])) return false;
    }
    return true;
}
/* splat of the same value in another shape; v is a splat, or a constant whose elements are all equal. NULL if
 * neither. */
xfc_value *xfc_views_resplat(xfc_builder *, const xfc_value *v, const xfc_type *);

#endif

/* draft.h - a kernel op under construction: buffers are tied to graph values until it is committed.
 *
 * Kernels number their buffers inputs, outputs, temporaries; while kernels are merged that order changes all the time.
 * A draft keeps buffers in any order, each with the value it stands for, and draft_commit sorts and renumbers them
 * once.
 */
#ifndef XFC_DRAFT_H
#define XFC_DRAFT_H
#include "passes/lower/nest_edit.h"

typedef struct {
    xfc_buffer_kind kind;
    xfc_type type;
    xfc_value *value;
} xfc_draft_buffer;
/* value: IN: the operand. OUT: the value that the new op's output replaces; NULL: it is a new one. TEMP: NULL. */

typedef struct {
    xfc_edit e;
    xfc_graph *graph;
    xfc_kernel *k; /* axes, lets, steps; its buffers are unused until commit */
    xfc_draft_buffer *buffers;
    uint32_t n_buffers, cap_buffers;
    xfc_loc *locs;
    uint32_t n_locs, cap_locs;
} xfc_draft;

xfc_draft xfc_draft_new(xfc_graph *, const char *form);
xfc_draft xfc_draft_from(const xfc_op *kernel); /* a deep copy, tied to the op's operands and outputs */
uint32_t xfc_draft_buffer_of(xfc_draft *, xfc_buffer_kind, xfc_value *, xfc_type); /* finds (IN, OUT) or adds */
uint32_t xfc_draft_find(const xfc_draft *, xfc_buffer_kind, const xfc_value *);    /* XFC_NO_ARG if absent */
/* Copies of the buffers of `kernel` in the draft: map[i] for its buffer i. Temporaries become new ones. */
uint32_t *xfc_draft_import(xfc_draft *, const xfc_op *kernel);
void xfc_draft_axis(xfc_draft *, const char *name, xfc_int symbol, xfc_int extent);          /* an outer axis */
xfc_int xfc_draft_outer(xfc_draft *, const char *name, xfc_int extent);                      /* a new one's symbol */
xfc_int xfc_draft_let(xfc_draft *, const char *name, xfc_int value, xfc_int lo, xfc_int hi); /* the symbol */
/* An element of an operand of integers, as XFC_BUF_IN. */
xfc_int xfc_draft_let_of(xfc_draft *, const char *name, xfc_value *, const xfc_int *index, xfc_int lo, xfc_int hi);
void xfc_draft_nest(xfc_draft *, xfc_nest *);
void xfc_draft_tile(xfc_draft *, xfc_tile);
/* ONNX nodes inside, in order of data flow: the last one made the outputs. _front: nodes of a producer that was
 * inlined. */
void xfc_draft_loc(xfc_draft *, const xfc_loc *, uint32_t n);
void xfc_draft_loc_front(xfc_draft *, const xfc_loc *, uint32_t n);

/* Makes the kernel op before `before`, drops unused buffers, replaces the OUT values by the op's outputs. The ops that
 * defined the OUT values are left without uses: remove them (or let dce). */
xfc_op *xfc_draft_commit(xfc_draft *, xfc_op *before, xfc_loc);

#endif

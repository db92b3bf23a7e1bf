/* axes.h - axes that only the run knows (ops/axes.c). */
#ifndef XFC_ONNX_AXES_H
#define XFC_ONNX_AXES_H
#include "frontend/onnx/import.h"

typedef struct { /* operand 0 for a reduction over such axes */
    xfc_value *x;
    int64_t axes[XFC_MAX_RANK]; /* of x: to be reduced */
    uint32_t n_axes, rank;
    xfc_int dim[XFC_MAX_RANK]; /* of the result, which has the elements of x reduced without keepdims */
} xfc_split;
/* none_is_all: no axes means all of them. False: the node has failed. */
bool xfc_split_axes(xfc_node *, uint32_t in, bool none_is_all, bool keepdims, xfc_split *);

/* Importers of Squeeze and Unsqueeze with operand `in`. */
void xfc_squeeze_at_run_time(xfc_node *, uint32_t in);
void xfc_unsqueeze_at_run_time(xfc_node *, uint32_t in);

typedef struct {
    xfc_value *x;          /* operand 0 as [before, along, behind, last...] */
    xfc_value *flags, *ok; /* which axis it is, of those in front of the last ones; does it make sense? */
} xfc_axis_split;
/* The one axis that operand `in` names is none of the `last` ones. False: the node has failed. */
bool xfc_one_axis(xfc_node *, uint32_t in, uint32_t last, xfc_axis_split *);

#endif

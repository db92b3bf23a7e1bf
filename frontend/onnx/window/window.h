/* window.h - what convolutions and pools share: the window's geometry along the spatial axes, which stand behind batch
 * and channels. */
#ifndef XFC_ONNX_WINDOW_H
#define XFC_ONNX_WINDOW_H
#include "frontend/onnx/import.h"

enum { XFC_MAX_SPATIAL = 3 };

typedef struct {
    uint32_t n;                    /* spatial axes */
    xfc_int size[XFC_MAX_SPATIAL]; /* of the window */
    int64_t step[XFC_MAX_SPATIAL], dilation[XFC_MAX_SPATIAL];
    xfc_int before[XFC_MAX_SPATIAL], after[XFC_MAX_SPATIAL]; /* border; never negative as read */
    enum { XFC_PAD_GIVEN, XFC_PAD_SAME_UPPER, XFC_PAD_SAME_LOWER } mode;
} xfc_window;

/* Reads strides, dilations, pads and auto_pad of a node whose operand 0 has n spatial axes. kernel: the extents of the
 * weights, which kernel_shape must repeat if it is given; NULL where kernel_shape is the only source. The border of
 * auto_pad is not computed yet: xfc_window_same does that. False: failed. */
bool xfc_window_read(xfc_node *, const xfc_int *kernel, xfc_window *);
/* The border of SAME_UPPER and SAME_LOWER, so that there are ceil(extent / step) windows. */
void xfc_window_same(xfc_node *, const xfc_int *extent, xfc_window *);
xfc_int xfc_window_reach(const xfc_node *, const xfc_window *, uint32_t i); /* elements from its first to its last */
/* x with the border, negative amounts cut; x itself if there is none. */
xfc_value *xfc_window_border(xfc_node *, xfc_value *x, const xfc_window *, double fill);
/* [b, c, s...] to [b, c, o..., k...]; the border is not added. */
xfc_value *xfc_window_view(xfc_node *, xfc_value *x, const xfc_window *);
/* [b, c, o..., k...] reduced over its last n axes. */
xfc_value *xfc_window_reduce(xfc_node *, xfc_opcode, xfc_value *, uint32_t n);
/* Has operand 0 more spatial axes than XFC_MAX_SPATIAL, and can the operator be imported without those along which nothing
 * slides? Then it is. weighs: operand 1 has the windows' elements behind two dims, operand 2 has no spatial axes. */
bool xfc_window_idle(xfc_node *, xfc_node_import *, bool weighs);

#endif

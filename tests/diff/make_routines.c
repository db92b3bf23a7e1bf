/* make_routines.c - makers of ops that are routines and have no family of their own. */
#include "tests/diff/make.h"

enum { FEW = 24 }; /* largest extent, as routines may look at every pair */

/* Any of the four results. */
xfc_value *make_unique(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = maker_pick(m, t, 2, 2);
    xfc_attr sorted = xfc_attr_int(XFC_K_SORTED, maker_chance(m, 50));
    xfc_value *v = x ? maker_build(m, code, &x, 1, &sorted, 1) : NULL;
    return v ? &v->def->out[maker_below(m, 4)] : NULL;
}

xfc_value *make_time_warp(maker *m, xfc_opcode code, xfc_dtype t) {
    if (t != XFC_I32 && t != XFC_I64) return NULL;
    xfc_value *x = maker_pick_exact(m, XFC_F32, 2, (xfc_int[]){maker_dim(m, 0, NULL, 9), maker_dim(m, 0, NULL, 9)});
    xfc_value *v = x ? maker_build(m, code, &x, 1, NULL, 0) : NULL;
    return v ? &v->def->out[t == XFC_I64] : NULL;
}

xfc_value *make_bitcast(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_dtype to = (xfc_dtype)maker_below(m, XFC_COMPUTED_COUNT);
    if (xfc_dtype_bytes(to) != xfc_dtype_bytes(t) || to == XFC_BOOL || xfc_dtype_is_float(to)) return NULL;
    xfc_value *x = maker_pick(m, t, 0, 4);
    xfc_attr attr = xfc_attr_dtype(XFC_K_TO, to);
    return maker_build(m, code, &x, 1, &attr, 1);
}

/* No row is left that nobody speaks of. */
xfc_value *make_append(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *past = maker_pick(m, t, 1, 4);
    if (!past || xfc_dtype_is_packed(t)) return NULL;
    xfc_int dim[XFC_MAX_RANK], one = maker_constant(m, 1);
    uint32_t axis = (uint32_t)maker_below(m, past->type.rank);
    memcpy(dim, past->type.dim, sizeof dim);
    dim[axis] = maker_dim(m, axis, dim, FEW);
    bool each = axis > 0 && maker_chance(m, 50), places = maker_chance(m, 50);
    const xfc_int first[2] = {each ? dim[0] : one, dim[axis]};
    xfc_int all = xfc_int_add(m->b.graph->ctx, past->type.dim[axis], dim[axis]),
            size[3] = {all, all, maker_constant(m, 0)};
    xfc_value *in[3] = {past, maker_fresh(m, t, past->type.rank, dim, DIFF_ANY, XFC_INT_NONE),
                        maker_fresh(m, XFC_I64, places ? 2 : 1, first, DIFF_INDEX, maker_constant(m, 12))};
    const xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_dims(XFC_K_SIZE, size, 3)};
    return maker_build(m, code, in, 3, attr, 2);
}

xfc_value *make_square(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[3] = {maker_dim(m, 0, NULL, FEW), maker_constant(m, 3), maker_constant(m, 3)};
    if (t != XFC_F32 && t != XFC_F64) return NULL;
    xfc_value *x = maker_pick_exact(m, t, 3, dim);
    return maker_build(m, code, &x, 1, NULL, 0);
}
xfc_value *make_nms(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int n = maker_dim(m, 0, NULL, FEW), b = maker_constant(m, 2), one = maker_constant(m, 1);
    const xfc_int boxes[3] = {b, n, maker_constant(m, 4)}, scores[3] = {b, maker_constant(m, 3), n};
    if (t != XFC_F32) return NULL;
    xfc_value *in[] = {
        maker_fresh(m, t, 3, boxes, DIFF_ANY, XFC_INT_NONE), maker_fresh(m, t, 3, scores, DIFF_ANY, XFC_INT_NONE),
        maker_fresh(m, XFC_I64, 1, &one, DIFF_ANY, XFC_INT_NONE), maker_fresh(m, t, 1, &one, DIFF_ANY, XFC_INT_NONE),
        maker_fresh(m, t, 1, &one, DIFF_ANY, XFC_INT_NONE)};
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &n, 1), xfc_attr_int(XFC_K_CENTER, maker_chance(m, 50))};
    xfc_value *v = maker_build(m, code, in, 5, attr, 2);
    return v ? &v->def->out[maker_below(m, 2)] : NULL;
}

xfc_value *make_roi_align(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int regions[2] = {maker_dim(m, 0, NULL, FEW), maker_constant(m, 4)}, image[4], size[2];
    if (t != XFC_F32 && t != XFC_F64) return NULL;
    for (uint32_t d = 0; d < 4; d++) image[d] = maker_dim(m, d, image, FEW);
    for (uint32_t d = 0; d < 2; d++) size[d] = maker_constant(m, 1 + maker_below(m, 3));
    xfc_value *in[] = {maker_fresh(m, t, 4, image, DIFF_ANY, XFC_INT_NONE),
                       maker_fresh(m, t, 2, regions, DIFF_ANY, XFC_INT_NONE),
                       maker_fresh(m, XFC_I64, 1, regions, DIFF_INDEX, image[0])};
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, size, 2), xfc_attr_int(XFC_K_SAMPLES, 1 + maker_below(m, 2)),
                       xfc_attr_float(XFC_K_SCALE, 0.5), xfc_attr_int(XFC_K_HALF, maker_chance(m, 50)),
                       xfc_attr_int(XFC_K_MAX, maker_chance(m, 50))};
    return maker_build(m, code, in, 3, attr, XFC_COUNT(attr));
}

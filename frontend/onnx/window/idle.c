/* idle.c - convolutions and pools along more axes than windows are served for, if nothing slides along the others.
 *
 * JAX's pools over [batch, height, width, channels] are exported with all four as spatial axes, behind a batch and a
 * channel of 1. An axis is idle where windows hold one element, with steps of one and no border. Idle ones join the batch,
 *
 *   x [b, c, s...]  transpose, reshape  =>  [b * idle..., c, others...]  =>  [b, c, o...]
 *
 * and the operator is imported as one with fewer axes: its lists of numbers and its weights lose those entries. The
 * numbers of elements that a MaxPool can give count along all axes, so they are not served.
 */
#include "frontend/onnx/window/window.h"
#include <string.h>

typedef struct {
    uint32_t rank, n_idle;
    bool idle[XFC_MAX_RANK]; /* of the dims of operand 0 */
} split;

/* Entry d of a list with `times` entries a spatial axis; what it is where there is none. False: not such a list. */
static bool entry(xfc_node *n, const char *name, uint32_t times, uint32_t d, int64_t absent, int64_t *out) {
    const int64_t *list;
    uint32_t count;
    bool has = xfc_node_ints(n, name, &list, &count);
    *out = has && d < count ? list[d] : absent;
    return n->status == XFC_OK && (!has || count == times * (n->in[0]->type.rank - 2));
}

static bool is_idle(xfc_node *n, uint32_t d, const xfc_value *weight) {
    int64_t size, step, before, after;
    const uint32_t s = n->in[0]->type.rank - 2;
    if (!entry(n, "kernel_shape", 1, d, weight ? 1 : 0, &size) || !entry(n, "strides", 1, d, 1, &step) ||
        !entry(n, "pads", 2, d, 0, &before) || !entry(n, "pads", 2, s + d, 0, &after))
        return false;
    return size == 1 && step == 1 && before == 0 && after == 0 &&
           (!weight || xfc_int_is(n->ctx, weight->type.dim[2 + d], 1));
}

/* The attributes, without the entries of idle axes. */
static xfc_attrs attributes(xfc_node *n, const split *s) {
    static const char *const names[] = {"kernel_shape", "strides", "dilations", "pads"};
    const Onnx__AttributeProto **attr = xfc_new_array(n->im->arena, const Onnx__AttributeProto *, n->attrs.n + 1);
    for (uint32_t i = 0; i < n->attrs.n; i++) {
        attr[i] = n->attrs.attr[i];
        bool list = false;
        for (uint32_t k = 0; k < XFC_COUNT(names); k++) list = list || !strcmp(attr[i]->name, names[k]);
        if (!list) continue;
        Onnx__AttributeProto *fewer = xfc_new(n->im->arena, Onnx__AttributeProto);
        *fewer = *attr[i];
        fewer->ints = xfc_new_array(n->im->arena, int64_t, attr[i]->n_ints + 1);
        fewer->n_ints = 0;
        for (size_t k = 0; k < attr[i]->n_ints; k++)
            if (!s->idle[2 + k % (s->rank - 2)]) fewer->ints[fewer->n_ints++] = attr[i]->ints[k];
        attr[i] = fewer;
    }
    return (xfc_attrs){attr, n->attrs.n};
}

/* Where each dim of an image stands while idle ones are in the batch: batch, idle ones, channels, the others. */
static void order(const split *s, int64_t *perm) {
    uint32_t at = 0;
    perm[at++] = 0;
    for (uint32_t d = 2; d < s->rank; d++)
        if (s->idle[d]) perm[at++] = d;
    perm[at++] = 1;
    for (uint32_t d = 2; d < s->rank; d++)
        if (!s->idle[d]) perm[at++] = d;
}

static xfc_value *without(xfc_node *n, xfc_value *x, const split *s) {
    int64_t perm[XFC_MAX_RANK];
    xfc_int dim[XFC_MAX_RANK];
    order(s, perm);
    xfc_value *v = xfc_b_transpose(n->b, x, perm);
    if (!v) return NULL;
    dim[0] = xfc_dims_product(n->ctx, v->type.dim, 1 + s->n_idle);
    for (uint32_t d = 1; d < s->rank - s->n_idle; d++) dim[d] = v->type.dim[d + s->n_idle];
    return xfc_b_reshape(n->b, v, dim, s->rank - s->n_idle);
}

/* The result with its idle axes, which are as long as those of x. */
static xfc_value *with(xfc_node *n, xfc_value *y, const xfc_type *x, const split *s) {
    int64_t perm[XFC_MAX_RANK], back[XFC_MAX_RANK];
    xfc_int dim[XFC_MAX_RANK];
    order(s, perm);
    for (uint32_t d = 0; d < s->rank; d++) {
        back[perm[d]] = d;
        dim[d] = d <= s->n_idle ? x->dim[perm[d]] : y->type.dim[d - s->n_idle];
    }
    return xfc_b_transpose(n->b, xfc_b_reshape(n->b, y, dim, s->rank), back);
}

static xfc_value *weight_without(xfc_node *n, xfc_value *w, const split *s) {
    xfc_int dim[XFC_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t d = 0; d < s->rank; d++)
        if (!s->idle[d]) dim[rank++] = w->type.dim[d];
    return xfc_b_reshape(n->b, w, dim, rank);
}

bool xfc_window_idle(xfc_node *n, xfc_node_import *import, bool weighs) {
    const xfc_type x = n->in[0]->type;
    xfc_value **own = n->in, *in[3] = {n->in[0], weighs ? n->in[1] : NULL, weighs ? xfc_node_in(n, 2) : NULL};
    split s = {.rank = x.rank};
    if (x.rank <= 2 + XFC_MAX_SPATIAL || (weighs ? in[1]->type.rank != x.rank : xfc_node_wants(n, 1))) return false;
    for (uint32_t d = 2; d < x.rank && s.n_idle + 3 < x.rank; d++) s.n_idle += s.idle[d] = is_idle(n, d - 2, in[1]);
    if (x.rank - s.n_idle > 2 + XFC_MAX_SPATIAL) return false;
    const xfc_attrs attrs = n->attrs;
    n->attrs = attributes(n, &s);
    in[0] = without(n, in[0], &s);
    if (weighs) in[1] = weight_without(n, in[1], &s);
    n->in = in;
    if (in[0] && (in[1] || !weighs)) import(n);
    n->in = own;
    n->attrs = attrs;
    n->out[0] = n->out[0] ? with(n, n->out[0], &x, &s) : NULL;
    return true;
}

/* axes.c - what operators do along axes that only the run knows: sizes follow from flags, one an axis.
 *
 * A tensor [d0, d1, ..] whose flagged axes go is [k0, r0, k1, r1, ..] with k = 1 and r = d where the flag is set, and
 * k = d and r = 1 where it is not: the same elements in the same order. So axes 1, 3, .. of that are what is reduced,
 * whatever the run says. How many axes there are is the length of the operand, and with it the rank of a result.
 */
#include "frontend/onnx/axes.h"

/* The number of axes that the operand names, which the rank of the result hangs on. */
static bool count_axes(xfc_node *n, uint32_t in, uint32_t most, uint32_t *count) {
    if (!xfc_node_length(n, in, count)) return false;
    if (*count <= most) return true;
    return xfc_node_fail(n, XFC_ERR_INPUT, "has %u axes, at most %u are possible; export the model again", *count,
                         most),
           false;
}

/* What a flag leaves of each dim, and what it takes; no sizes unless ok. */
static bool define_parts(xfc_node *n, const xfc_type *t, xfc_value *flags, xfc_value *ok, xfc_int *kept,
                         xfc_int *taken) {
    xfc_value *dims = xfc_b_dims(n->b, t->dim, t->rank), *one = xfc_ni(n, 1);
    xfc_int most[XFC_MAX_RANK], fixed = xfc_int_const(n->ctx, 1);
    for (uint32_t d = 0; d < t->rank; d++) {
        most[d] = xfc_int_max(n->ctx, t->dim[d], fixed);
        kept[d] = taken[d] = xfc_int_is(n->ctx, t->dim[d], 1) ? fixed : XFC_INT_NONE;
    }
    return xfc_n_define(n, xfc_n_sizes_if(n, ok, xfc_n_select(n, flags, one, dims)), kept, t->rank, most) &&
           xfc_n_define(n, xfc_n_select(n, flags, dims, one), taken, t->rank, most);
}

/* Sizes of a result whose rank is known, of which each is one of these. */
static bool define_sizes(xfc_node *n, xfc_value *sizes, xfc_value *ok, const xfc_type *of, xfc_int *dim,
                         uint32_t rank) {
    xfc_int most[XFC_MAX_RANK], largest = xfc_int_const(n->ctx, 1);
    for (uint32_t d = 0; d < of->rank; d++) largest = xfc_int_max(n->ctx, largest, of->dim[d]);
    for (uint32_t d = 0; d < rank; d++) dim[d] = XFC_INT_NONE, most[d] = largest;
    return xfc_n_define(n, xfc_n_sizes_if(n, ok, sizes), dim, rank, most);
}

bool xfc_split_axes(xfc_node *n, uint32_t in, bool none_is_all, bool keepdims, xfc_split *s) {
    xfc_value *ok;
    const xfc_type t = n->in[0]->type;
    xfc_int kept[XFC_MAX_RANK], taken[XFC_MAX_RANK], both[XFC_MAX_RANK];
    uint32_t count = 0;
    if (2 * t.rank > XFC_MAX_RANK)
        return xfc_node_fail(n, XFC_ERR_LIMIT, "takes axes at run time of a tensor of rank %u; the limit is %d", t.rank,
                             XFC_MAX_RANK / 2),
               false;
    if (!keepdims) xfc_node_expect(n, in, -1, t.rank);
    if (!keepdims && !count_axes(n, in, t.rank, &count)) return false;
    xfc_value *flags = xfc_n_axis_flags(n, xfc_node_list(n, in), t.rank, &ok);
    if (none_is_all && keepdims) {
        xfc_int length = xfc_type_count(n->ctx, &n->in[in]->type);
        flags = xfc_n2(n, XFC_OP_OR, flags, xfc_n2(n, XFC_OP_EQ, xfc_b_dims(n->b, &length, -1), xfc_ni(n, 0)));
        ok = xfc_n2(n, XFC_OP_OR, ok, xfc_n2(n, XFC_OP_EQ, xfc_b_dims(n->b, &length, -1), xfc_ni(n, 0)));
    }
    if (!define_parts(n, &t, flags, ok, kept, taken)) return false;
    *s = (xfc_split){.rank = t.rank - count, .n_axes = t.rank};
    for (uint32_t d = 0; d < t.rank; d++) {
        both[2 * d] = s->dim[d] = kept[d], both[2 * d + 1] = taken[d];
        s->axes[d] = 2 * (int64_t)d + 1;
    }
    s->x = xfc_b_reshape(n->b, n->in[0], both, 2 * t.rank);
    if (keepdims) return s->x != NULL;
    xfc_value *dims = xfc_b_dims(n->b, t.dim, t.rank);
    return define_sizes(n, xfc_n_keep(n, dims, xfc_n1(n, XFC_OP_NOT, flags), s->rank), ok, &t, s->dim, s->rank);
}

/* Dims that are flagged must be 1, and go. */
void xfc_squeeze_at_run_time(xfc_node *n, uint32_t in) {
    const xfc_type t = n->in[0]->type;
    const int64_t axis = 0;
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *ok;
    uint32_t count;
    xfc_node_expect(n, in, -1, t.rank);
    if (!count_axes(n, in, t.rank, &count)) return;
    xfc_value *flags = xfc_n_axis_flags(n, xfc_node_list(n, in), t.rank, &ok), *dims = xfc_b_dims(n->b, t.dim, t.rank),
              *one = xfc_ni(n, 1);
    xfc_value *wrong = xfc_n2(n, XFC_OP_AND, flags, xfc_n2(n, XFC_OP_NE, dims, one));
    wrong = wrong ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, xfc_b_cast(n->b, wrong, XFC_I64), &axis, 1, false) : NULL;
    ok = xfc_n2(n, XFC_OP_AND, ok, xfc_n2(n, XFC_OP_EQ, wrong, xfc_ni(n, 0)));
    xfc_value *sizes = xfc_n_keep(n, dims, xfc_n1(n, XFC_OP_NOT, flags), t.rank - count);
    if (define_sizes(n, sizes, ok, &t, dim, t.rank - count))
        n->out[0] = xfc_b_reshape(n->b, n->in[0], dim, t.rank - count);
}

/* Flagged dims of the result are 1, the others are the operand's in order. */
void xfc_unsqueeze_at_run_time(xfc_node *n, uint32_t in) {
    const xfc_type t = n->in[0]->type;
    const int64_t axis = 1;
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *ok;
    uint32_t count;
    xfc_node_expect(n, in, 1, -(int64_t)t.rank);
    if (!count_axes(n, in, XFC_MAX_RANK - t.rank, &count)) return;
    xfc_value *flags = xfc_n_axis_flags(n, xfc_node_list(n, in), t.rank + count, &ok),
              *dims = xfc_b_dims(n->b, t.dim, t.rank);
    xfc_value *place = xfc_n_along(n, xfc_n_place(n, xfc_n1(n, XFC_OP_NOT, flags)), 0, 2);
    xfc_value *taken = xfc_n_select(n, xfc_n2(n, XFC_OP_EQ, place, xfc_n_count(n, t.rank)), dims, xfc_ni(n, 0));
    taken = taken ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, taken, &axis, 1, false) : NULL;
    if (define_sizes(n, xfc_n_select(n, flags, xfc_ni(n, 1), taken), ok, &t, dim, t.rank + count))
        n->out[0] = xfc_b_reshape(n->b, n->in[0], dim, t.rank + count);
}

/* Products of the dims in front of the axis, along it and behind. */
static bool define_around(xfc_node *n, const xfc_type *t, uint32_t rank, xfc_value *at, const xfc_axis_split *s,
                          xfc_int *dim) {
    const int64_t first = 0;
    xfc_value *dims = xfc_b_dims(n->b, t->dim, rank), *one = xfc_ni(n, 1), *part[3];
    xfc_int all = xfc_int_const(n->ctx, 1), along = all;
    xfc_value *here[3] = {xfc_n2(n, XFC_OP_LT, xfc_n_count(n, rank), at), s->flags,
                          xfc_n2(n, XFC_OP_GT, xfc_n_count(n, rank), at)};
    for (uint32_t d = 0; d < rank; d++) {
        along = xfc_int_max(n->ctx, along, t->dim[d]);
        all = xfc_int_mul(n->ctx, all, xfc_int_max(n->ctx, t->dim[d], xfc_int_const(n->ctx, 1)));
    }
    for (uint32_t i = 0; i < 3; i++) {
        part[i] = xfc_n_select(n, here[i], dims, one);
        part[i] = part[i] ? xfc_b_reduce(n->b, XFC_OP_REDUCE_PROD, part[i], &first, 1, true) : NULL;
        dim[i] = XFC_INT_NONE;
    }
    const xfc_int most[3] = {all, along, all};
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *sizes = xfc_build(n->b, XFC_OP_CONCAT, part, 3, &axis, 1);
    return xfc_n_define(n, xfc_n_sizes_if(n, s->ok, sizes), dim, 3, most);
}

bool xfc_one_axis(xfc_node *n, uint32_t in, uint32_t last, xfc_axis_split *s) {
    const xfc_type t = n->in[0]->type;
    uint32_t rank = t.rank - last;
    xfc_int dim[XFC_MAX_RANK];
    xfc_assert(last + 3 <= XFC_MAX_RANK);
    if (t.rank <= last)
        return xfc_node_fail(n, XFC_ERR_INPUT, "takes an axis of an operand of rank %u; export the model again",
                             t.rank),
               false;
    /* what is below 0 counts from the end of all dims; further below there is none */
    xfc_value *at = xfc_n_from_front(n, xfc_node_list(n, in), xfc_ni(n, t.rank));
    at = xfc_n_select(n, xfc_n2(n, XFC_OP_LT, at, xfc_ni(n, 0)), xfc_ni(n, rank), at);
    s->flags = xfc_n_axis_flags(n, at, rank, &s->ok);
    if (!define_around(n, &t, rank, at, s, dim)) return false;
    for (uint32_t d = 0; d < last; d++) dim[3 + d] = t.dim[rank + d];
    s->x = xfc_b_reshape(n->b, n->in[0], dim, 3 + last);
    return s->x != NULL;
}

/* views.c - merges chains of views and drops those that change nothing.
 *
 * Idea: each rule looks at one view and the view below it, and answers a value that means the same with one view less,
 * or with the view further from the graph's inputs (expansions move behind element-wise ops, which then work on fewer
 * elements). Ops are visited in order, operands first, so chains collapse in one sweep; sweeps repeat while something
 * changes. Exact: only indices change. Run it before raise, whose patterns expect operands and not views of them, and
 * again after whatever builds views. It does not touch data: constants are fold's. `copy` goes only before legalize,
 * which makes its own.
 *
 *   %1 = transpose %x {perm = [0, 2, 1]}                      |
 *   %2 = transpose %1 {perm = [0, 2, 1]}                      |
 *   %3 = reshape %2 {shape = [b * s, 64]}                     |
 *   %4 = reshape %3 {shape = [b, s, 8, 8]}                    |  %4 = reshape %x {shape = [b, s, 8, 8]}
 *   %5 = sub 1.0, (expand %m {shape = [b, 1, s, s]})          |  %5 = expand (sub 1.0, %m) {shape = [b, 1, s, s]}
 */
#include "passes/views/views.h"

xfc_value *xfc_views_resplat(xfc_builder *b, const xfc_value *v, const xfc_type *type) {
    const xfc_tensor *t;
    double ignored;
    if (xfc_op_is(v, XFC_OP_SPLAT)) {
        t = xfc_op_attr(v->def, XFC_K_VALUE)->u.tensor;
    } else if (!xfc_value_is_const(v, &t) || !xfc_tensor_is_splat(t, &ignored)) {
        return NULL;
    }
    if (t->count == 0) return NULL;
    t = xfc_tensor_copy(b->graph->ctx, t->dtype, 0, NULL, t->data, NULL);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SHAPE, type->dim, type->rank), xfc_attr_tensor(XFC_K_VALUE, t)};
    return xfc_build(b, XFC_OP_SPLAT, NULL, 0, attr, XFC_COUNT(attr));
}

/* --- reshape, transpose --- */

/* Dims of `in` that each dim of `out` joins: group[j] is the first of out's dim j, group[rank] the end. False unless
 * out only joins neighbours. */
static bool joins_neighbours(xfc_ctx *c, const xfc_type *in, const xfc_type *out, uint32_t *group) {
    uint32_t d = 0;
    for (uint32_t j = 0; j < out->rank; j++) {
        group[j] = d;
        if (d == in->rank) return false;
        xfc_int n = in->dim[d++];
        while (!xfc_int_same(n, out->dim[j]) && d < in->rank) n = xfc_int_mul(c, n, in->dim[d++]);
        if (!xfc_int_same(n, out->dim[j])) return false;
    }
    group[out->rank] = d;
    return d == in->rank;
}

/* reshape(transpose(reshape(x))) that joins dims, moves them, and splits them again is one transpose of x. */
static xfc_value *split_again(xfc_builder *b, const xfc_op *op, const xfc_op *transpose) {
    const xfc_value *joined = transpose->in[0].value;
    const int64_t *perm = xfc_op_attr(transpose, XFC_K_PERM)->u.ints;
    const xfc_type *out = &op->out[0].type;
    uint32_t group[XFC_MAX_RANK + 1], n = 0;
    int64_t moved[XFC_MAX_RANK];
    if (!xfc_op_is(joined, XFC_OP_RESHAPE)) return NULL;
    xfc_value *x = joined->def->in[0].value;
    if (x->type.rank != out->rank || !joins_neighbours(b->graph->ctx, &x->type, &joined->type, group)) return NULL;
    for (uint32_t j = 0; j < joined->type.rank; j++) {
        for (uint32_t d = group[perm[j]]; d < group[perm[j] + 1]; d++) moved[n++] = d;
    }
    for (uint32_t d = 0; d < n; d++) {
        if (!xfc_int_same(x->type.dim[moved[d]], out->dim[d])) return NULL;
    }
    return xfc_b_transpose(b, x, moved);
}

static xfc_value *view_reshape(xfc_builder *b, const xfc_op *op) {
    xfc_value *x = op->in[0].value;
    const xfc_type *out = &op->out[0].type;
    if (xfc_type_same(&x->type, out)) return x;
    if (xfc_op_is(x, XFC_OP_RESHAPE)) return xfc_b_reshape(b, x->def->in[0].value, out->dim, out->rank);
    if (xfc_op_is(x, XFC_OP_SPLAT)) return xfc_views_resplat(b, x, out);
    if (xfc_op_is(x, XFC_OP_EXPAND) && xfc_adds_leading_ones(b->graph->ctx, &x->type, &x->def->in[0].value->type))
        return xfc_b_reshape(b, x->def->in[0].value, out->dim, out->rank);
    return xfc_op_is(x, XFC_OP_TRANSPOSE) ? split_again(b, op, x->def) : NULL;
}

/* Do the dims that are not known to be 1 keep their order? Then no element moves. */
static bool moves_only_ones(const xfc_ctx *c, const xfc_type *in, const int64_t *perm) {
    int64_t last = -1;
    for (uint32_t d = 0; d < in->rank; d++) {
        if (xfc_int_is(c, in->dim[perm[d]], 1)) continue;
        if (perm[d] < last) return false;
        last = perm[d];
    }
    return true;
}

static xfc_value *view_transpose(xfc_builder *b, const xfc_op *op) {
    xfc_value *x = op->in[0].value;
    const int64_t *perm = xfc_op_attr(op, XFC_K_PERM)->u.ints;
    const xfc_type *out = &op->out[0].type;
    if (moves_only_ones(b->graph->ctx, &x->type, perm)) return xfc_b_reshape(b, x, out->dim, out->rank);
    if (xfc_op_is(x, XFC_OP_SPLAT)) return xfc_views_resplat(b, x, out);
    if (!xfc_op_is(x, XFC_OP_TRANSPOSE)) return NULL;
    const int64_t *first = xfc_op_attr(x->def, XFC_K_PERM)->u.ints;
    int64_t both[XFC_MAX_RANK];
    for (uint32_t d = 0; d < out->rank; d++) both[d] = first[perm[d]];
    return xfc_b_transpose(b, x->def->in[0].value, both);
}

/* --- expand, slice, pad --- */

static xfc_value *view_expand(xfc_builder *b, const xfc_op *op) {
    xfc_value *x = op->in[0].value;
    const xfc_type *out = &op->out[0].type;
    if (xfc_type_same(&x->type, out)) return x;
    if (xfc_op_is(x, XFC_OP_EXPAND)) return xfc_b_expand(b, x->def->in[0].value, out->dim, out->rank);
    if (xfc_op_is(x, XFC_OP_RESHAPE) && xfc_adds_leading_ones(b->graph->ctx, &x->type, &x->def->in[0].value->type)) {
        return xfc_b_expand(b, x->def->in[0].value, out->dim, out->rank);
    }
    return xfc_views_resplat(b, x, out);
}

static bool slice_is_full(const xfc_ctx *c, const xfc_op *op) {
    const xfc_attr *start = xfc_op_attr(op, XFC_K_START), *step = xfc_op_attr(op, XFC_K_STEP);
    for (uint32_t d = 0; d < start->n; d++) {
        if (!xfc_int_is(c, start->u.dims[d], 0) || step->u.ints[d] != 1) return false;
    }
    return xfc_type_same(&op->in[0].value->type, &op->out[0].type);
}

static xfc_value *slice_of_slice(xfc_builder *b, const xfc_op *op, const xfc_op *below) {
    xfc_ctx *c = b->graph->ctx;
    const xfc_attr *start1 = xfc_op_attr(below, XFC_K_START), *step1 = xfc_op_attr(below, XFC_K_STEP);
    const xfc_attr *start2 = xfc_op_attr(op, XFC_K_START), *step2 = xfc_op_attr(op, XFC_K_STEP);
    xfc_int start[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t d = 0; d < start1->n; d++) {
        if (!xfc_mul_ok(step1->u.ints[d], step2->u.ints[d], &step[d])) return NULL;
        start[d] = xfc_int_add(c, start1->u.dims[d], xfc_int_mulc(c, start2->u.dims[d], step1->u.ints[d]));
    }
    return xfc_b_slice(b, below->in[0].value, start, xfc_op_attr(op, XFC_K_SIZE)->u.dims, step);
}

/* A slice that lies in one operand of a concat along its axis, at places that are known. */
static xfc_value *slice_of_concat(xfc_builder *b, const xfc_op *op, const xfc_op *below) {
    xfc_ctx *c = b->graph->ctx;
    const xfc_attr *start = xfc_op_attr(op, XFC_K_START), *size = xfc_op_attr(op, XFC_K_SIZE),
                   *step = xfc_op_attr(op, XFC_K_STEP);
    uint32_t axis = (uint32_t)xfc_op_int(below, XFC_K_AXIS, 0);
    if (step->u.ints[axis] != 1) return NULL;
    xfc_int from = xfc_int_const(c, 0), first = start->u.dims[axis], end = xfc_int_add(c, first, size->u.dims[axis]);
    for (uint32_t i = 0; i < below->n_in; i++) {
        xfc_int to = xfc_int_add(c, from, below->in[i].value->type.dim[axis]);
        if (xfc_int_le(c, from, first) == 1 && xfc_int_le(c, end, to) == 1) {
            xfc_int moved[XFC_MAX_RANK];
            for (uint32_t d = 0; d < start->n; d++) moved[d] = start->u.dims[d];
            moved[axis] = xfc_int_sub(c, first, from);
            return xfc_b_slice(b, below->in[i].value, moved, size->u.dims, step->u.ints);
        }
        from = to;
    }
    return NULL;
}

static xfc_value *view_slice(xfc_builder *b, const xfc_op *op) {
    xfc_value *x = op->in[0].value;
    if (slice_is_full(b->graph->ctx, op)) return x;
    if (xfc_op_is(x, XFC_OP_SLICE)) return slice_of_slice(b, op, x->def);
    if (xfc_op_is(x, XFC_OP_CONCAT)) return slice_of_concat(b, op, x->def);
    xfc_value *splat = xfc_views_resplat(b, x, &op->out[0].type);
    return splat ? splat : xfc_views_slice_progression(b, op);
}

static xfc_value *view_pad(xfc_builder *b, const xfc_op *op) {
    const xfc_attr *before = xfc_op_attr(op, XFC_K_BEFORE), *after = xfc_op_attr(op, XFC_K_AFTER);
    for (uint32_t d = 0; d < before->n; d++) {
        if (!xfc_int_is(b->graph->ctx, before->u.dims[d], 0) || !xfc_int_is(b->graph->ctx, after->u.dims[d], 0))
            return NULL;
    }
    return op->in[0].value;
}

/* --- concat --- */

enum { MAX_PIECES = 1024 };

/* Operands without those of extent 0, and with nested concats of the axis in their place. */
static xfc_value *view_concat(xfc_builder *b, const xfc_op *op) {
    xfc_ctx *c = b->graph->ctx;
    uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0), n = 0;
    xfc_value *piece[MAX_PIECES];
    bool changed = op->n_in == 1;
    for (uint32_t i = 0; i < op->n_in; i++) {
        xfc_value *x = op->in[i].value;
        bool nested = xfc_op_is(x, XFC_OP_CONCAT) && xfc_op_int(x->def, XFC_K_AXIS, 0) == (int64_t)axis;
        uint32_t n_new = nested ? x->def->n_in : 1;
        if (n + n_new > MAX_PIECES) return NULL;
        changed |= nested || xfc_int_is(c, x->type.dim[axis], 0);
        for (uint32_t j = 0; j < n_new; j++) {
            xfc_value *y = nested ? x->def->in[j].value : x;
            if (!xfc_int_is(c, y->type.dim[axis], 0)) piece[n++] = y;
        }
    }
    if (!changed || n == 0) return op->n_in == 1 ? op->in[0].value : NULL;
    if (n == 1) return piece[0];
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return xfc_build(b, XFC_OP_CONCAT, piece, n, &attr, 1);
}

static xfc_value *view_copy(xfc_builder *b, const xfc_op *op) {
    return b->graph->stage == XFC_STAGE_IMPORTED ? op->in[0].value : NULL;
}

static const struct {
    xfc_opcode code;
    xfc_view_fn *run;
} views[] = {
    {XFC_OP_RESHAPE, view_reshape},    {XFC_OP_TRANSPOSE, view_transpose}, {XFC_OP_EXPAND, view_expand},
    {XFC_OP_SLICE, view_slice},        {XFC_OP_CONCAT, view_concat},       {XFC_OP_PAD, view_pad},
    {XFC_OP_COPY, view_copy},          {XFC_OP_GATHER, xfc_views_gather},  {XFC_OP_GATHER_ND, xfc_views_gather_nd},
    {XFC_OP_MATMUL, xfc_views_matmul},
};

static xfc_value *view_op(xfc_builder *b, const xfc_op *op) {
    for (size_t i = 0; i < XFC_COUNT(views); i++) {
        if (views[i].code == op->code) return views[i].run(b, op);
    }
    if (!xfc_op_has(op, XFC_MAP)) return NULL;
    xfc_value *decided = xfc_views_decided(b, op);
    return decided ? decided : xfc_views_map(b, op);
}

static bool sweep(xfc_pass *pass) {
    bool changed = false;
    xfc_foreach_op_safe(op, pass->graph) {
        if (op->n_out != 1 || !op->out[0].uses) continue;
        xfc_builder b = {.graph = pass->graph, .before = op, .loc = op->loc};
        xfc_value *with = view_op(&b, op);
        if (!with || !xfc_type_same(&with->type, &op->out[0].type) || !xfc_can_replace(&op->out[0], with)) continue;
        xfc_value_replace(&op->out[0], with);
        xfc_sweep(pass->scratch, op);
        changed = true;
    }
    return changed;
}

enum { MAX_SWEEPS = 64 }; /* a bound on time; each sweep leaves a right graph */

bool xfc_views(xfc_pass *pass) {
    bool changed = false;
    for (uint32_t i = 0; i < MAX_SWEEPS && sweep(pass); i++) changed = true;
    return changed;
}

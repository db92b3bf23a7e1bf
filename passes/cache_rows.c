/* cache_rows.c - scatters that write rows of a cache are appends: the first half of --cache=inplace.
 *
 * A cache of a fixed length (a StaticCache) is updated at positions that the caller gives. Exporters write that as a
 * scatter into the past: ScatterElements whose indices are one position a row, expanded, or ScatterND between two
 * transposes that bring the rows to the front. Each is an `append` with a place for each row; the past is as long as the
 * result, so nothing else is written.
 *
 *   %i = expand %at {shape = [b, 12, s, 64]}          %t = transpose %past {perm = [2, 0, 1, 3]}
 *   %k = scatter_elements %past, %i, %new {axis = 2}  %u = scatter_nd %t, %at, %rows
 *                                                     %k = transpose %u {perm = [1, 2, 0, 3]}
 *   =>
 *   %p = gather (iota {size = [n]}), %at              a place outside is an error, a negative one counts from the end
 *   %k = append %past, %new, %p {axis = 2, size = [n, 0, 0]}
 *
 * Scatters that reduce, that write parts of rows, or whose places differ between heads stay.
 */
#include "passes/cache_rows.h"

#include "ir/build.h"

typedef struct {
    xfc_value *past, *rows, *at;
    uint32_t axis;
    xfc_int lists; /* of places: 1, or one for each index of dim 0 */
} update;

/* One place for each row, [1 or b, s], whatever dims stand between. */
static bool rows_by_elements(const xfc_op *op, update *u) {
    const xfc_type *data = &op->in[0].value->type, *where = &op->in[1].value->type;
    const uint32_t axis = (uint32_t)xfc_op_int(op, XFC_K_AXIS, 0);
    const xfc_op *expand = op->in[1].value->def;
    xfc_value *at = expand && expand->code == XFC_OP_EXPAND ? expand->in[0].value : op->in[1].value;
    xfc_ctx *c = op->graph->ctx;
    if (at->type.rank != where->rank) return false;
    for (uint32_t d = 0; d < data->rank; d++) {
        const bool batch = d == 0 && xfc_int_same(at->type.dim[d], data->dim[d]);
        if (d == axis ? !xfc_int_same(at->type.dim[d], where->dim[d])
                      : !xfc_int_same(where->dim[d], data->dim[d]) || (!batch && !xfc_int_is(c, at->type.dim[d], 1)))
            return false;
    }
    *u = (update){op->in[0].value, op->in[2].value, at, axis, axis > 0 ? at->type.dim[0] : xfc_int_const(c, 1)};
    return true;
}

/* Whole rows of what is in front. */
static bool rows_in_front(const xfc_op *op, update *u) {
    const xfc_type *at = &op->in[1].value->type;
    if (at->rank != 2 || !xfc_int_is(op->graph->ctx, at->dim[1], 1)) return false;
    *u = (update){op->in[0].value, op->in[2].value, op->in[1].value, 0, at->dim[1]};
    return true;
}

static bool is_scatter(const xfc_op *op, xfc_opcode code) {
    return op && op->code == code && xfc_op_int(op, XFC_K_REDUCTION, 0) == 0;
}

static const int64_t *perm_of(const xfc_op *transpose) { return xfc_op_attr(transpose, XFC_K_PERM)->u.ints; }

/* v is a past with rows written into it. */
static bool update_of(xfc_builder *b, const xfc_value *v, update *u) {
    const xfc_op *op = v->def;
    if (is_scatter(op, XFC_OP_SCATTER_ELEMENTS)) return rows_by_elements(op, u);
    if (is_scatter(op, XFC_OP_SCATTER_ND)) return rows_in_front(op, u);
    if (!op || op->code != XFC_OP_TRANSPOSE || !is_scatter(op->in[0].value->def, XFC_OP_SCATTER_ND)) return false;
    const int64_t *back = perm_of(op);
    if (!rows_in_front(op->in[0].value->def, u)) return false;
    const xfc_op *front = u->past->def;
    if (!front || front->code != XFC_OP_TRANSPOSE) return false;
    for (uint32_t d = 0; d < v->type.rank; d++)
        if (perm_of(front)[back[d]] != (int64_t)d) return false;
    u->axis = (uint32_t)perm_of(front)[0];
    u->past = front->in[0].value;
    if (u->past->def) return false;
    u->rows = xfc_b_transpose(b, u->rows, back);
    return u->rows != NULL;
}

/* The places i64 [1 or b, s], from 0 on. */
static xfc_value *places(xfc_builder *b, const update *u) {
    const xfc_int n = u->past->type.dim[u->axis], s = u->rows->type.dim[u->axis], dim[2] = {u->lists, s};
    const xfc_attr of[] = {xfc_attr_dims(XFC_K_SIZE, &n, 1), xfc_attr_dtype(XFC_K_TO, XFC_I64)},
                   axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *in[2] = {xfc_build(b, XFC_OP_IOTA, NULL, 0, of, XFC_COUNT(of)), xfc_b_reshape(b, u->at, dim, 2)};
    return in[0] && in[1] ? xfc_build(b, XFC_OP_GATHER, in, 2, &axis, 1) : NULL;
}

bool xfc_cache_rows(xfc_graph *g, uint32_t i) {
    xfc_value *v = g->last->in[i].value;
    xfc_builder b = {.graph = g, .before = v->def, .loc = v->def ? v->def->loc : g->last->loc};
    update u;
    if (!v->def || !update_of(&b, v, &u) || u.past->def || xfc_dtype_is_packed(v->type.dtype)) return true;
    const xfc_int zero = xfc_int_const(g->ctx, 0), size[3] = {v->type.dim[u.axis], zero, zero};
    const xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, u.axis), xfc_attr_dims(XFC_K_SIZE, size, 3)};
    xfc_value *in[3] = {u.past, u.rows, places(&b, &u)};
    xfc_value *all = in[2] ? xfc_build(&b, XFC_OP_APPEND, in, 3, attr, XFC_COUNT(attr)) : NULL;
    if (!all) return false;
    xfc_value_replace(v, all);
    for (xfc_op *op = v->def, *from; op && !op->out[0].uses && op->code != XFC_OP_CONST; op = from) {
        from = op->in[0].value->def;
        xfc_op_remove(op);
    }
    return true;
}

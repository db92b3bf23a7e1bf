/* cache.c - the cache of a decoder is written where it lies: --cache=inplace.
 *
 * An output that is an input with rows behind it may lie where the input does. So it becomes the `append` of both, which
 * copies nothing where the two lie together; whoever calls the model decides that, in each run. Memory that grows needs
 * room behind its rows, which the strides of the output tell: the result has so many rows more, a size that no input has
 * and that stands for itself as an input without elements, behind those of the model. What reads the cache reads a slice.
 *
 *   %k = concat %past, %new {axis = 2} : f32[b, 12, p + s, 64]
 *   return %k
 *   =>
 *   %all = append %past, %new, %p {axis = 2, size = [p + s + room0, p + s, p + s]} : f32[b, 12, p + s + room0, 64]
 *   %k = slice %all ..p + s
 *   return %all
 *
 * The input must have no other use: it lies below what is written. An output's room is not one of its dims: the plan
 * takes it for 0 in what callers are told (backends/plan_blob.c). When: after unpad, before legalize.
 */
#include "passes/pass.h"

#include "ir/program.h"

#include <string.h>

/* A dim that the program has not, for output i. */
static xfc_int new_room(const xfc_pass *p, uint32_t i) {
    xfc_ctx *c = p->graph->ctx;
    const char *name = xfc_sprintf(p->scratch, "room%u", i);
    xfc_int room = xfc_int_symbol(c, name, 0, XFC_DIM_MAX);
    while (xfc_graph_dims_with(p->graph, room)) {
        name = xfc_sprintf(p->scratch, "%s_", name);
        room = xfc_int_symbol(c, name, 0, XFC_DIM_MAX);
    }
    return room;
}

/* What is joined to the past. */
static xfc_value *new_rows(xfc_builder *b, const xfc_op *op) {
    xfc_value **rest = xfc_new_array(b->graph->arena, xfc_value *, op->n_in);
    for (uint32_t i = 1; i < op->n_in; i++) rest[i - 1] = op->in[i].value;
    return op->n_in == 2 ? rest[0] : xfc_build(b, XFC_OP_CONCAT, rest, op->n_in - 1u, op->attr, op->n_attr);
}

/* The append that op is, with room behind. */
static xfc_value *with_room(xfc_builder *b, const xfc_op *op, int64_t axis, xfc_int room) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *past = op->in[0].value, *in[3] = {past};
    const xfc_int n = op->out[0].type.dim[axis];
    xfc_int size[3] = {xfc_int_add(c, n, room), n, n};
    if (op->code == XFC_OP_APPEND) {
        in[1] = op->in[1].value, in[2] = op->in[2].value;
        memcpy(size + 1, xfc_op_attr(op, XFC_K_SIZE)->u.dims + 1, 2 * sizeof *size);
    } else {
        in[1] = new_rows(b, op);
        in[2] = xfc_b_dims(b, &past->type.dim[axis], 1);
    }
    const xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_dims(XFC_K_SIZE, size, 3)};
    return in[1] && in[2] ? xfc_build(b, XFC_OP_APPEND, in, 3, attr, 2) : NULL;
}

static bool rewrite(xfc_pass *p, uint32_t i, xfc_op *op) {
    xfc_graph *g = p->graph;
    xfc_builder b = {.graph = g, .before = op, .loc = op->loc};
    const int64_t axis = xfc_op_int(op, XFC_K_AXIS, 0);
    const xfc_int room = new_room(p, i), start = xfc_int_const(g->ctx, 0), dim[2] = {room, start};
    xfc_value *all = with_room(&b, op, axis, room);
    xfc_value *cache = all ? xfc_b_slice_axis(&b, all, (uint32_t)axis, start, op->out[0].type.dim[axis], 1) : NULL;
    if (!cache) return p->status = XFC_ERR_UNSUPPORTED, false;
    xfc_graph_add_input(g, xfc_int_look(g->ctx, room)->name, xfc_type_make(XFC_U8, 2, dim));
    xfc_graph_meta(g, xfc_sprintf(p->scratch, "cache:%s", g->out_name[i]), op->in[0].value->name);
    xfc_op_set_in(g->last, i, all);
    xfc_value_replace(&op->out[0], cache);
    xfc_op_remove(op);
    return true;
}

/* NULL, or why output i, which this op joins to an input, cannot be written where that lies. */
static const char *why_not(const xfc_pass *p, uint32_t i, const xfc_op *op) {
    const xfc_graph *g = p->graph;
    uint32_t n = 0;
    for (uint32_t k = 0; k < g->n_out; k++) n += g->last->in[k].value == g->last->in[i].value;
    if (n > 1) return "it is another output, too";
    if (op->in[0].value->uses->next) return "what is in the cache before the run is read by itself, too";
    if (xfc_dtype_is_packed(op->out[0].type.dtype)) return "its elements have less than a byte";
    for (uint32_t d = 0; d < op->out[0].type.rank; d++)
        if (xfc_defined_in(p->defined, op->out[0].type.dim[d])) return "only data says how many rows it has";
    return NULL;
}

/* Of this graph: an input with more behind it. */
static bool is_cache(const xfc_op *op) {
    return op && (op->code == XFC_OP_CONCAT || op->code == XFC_OP_APPEND) && !op->in[0].value->def;
}

bool xfc_cache(xfc_pass *p) {
    xfc_graph *g = p->graph;
    uint32_t found = 0;
    if (p->opts->cache != XFC_FORCE || g->user) return false;
    for (uint32_t i = 0; i < g->n_out && p->status == XFC_OK; i++) {
        xfc_op *op = g->last->in[i].value->def;
        if (!is_cache(op)) continue;
        const char *why = why_not(p, i, op);
        if (why)
            xfc_graph_note(g, "cache", op->loc, "output '%s' is not written where '%s' lies: %s", g->out_name[i],
                           op->in[0].value->name, why);
        else
            found += rewrite(p, i, op);
    }
    if (!found && p->status == XFC_OK)
        p->status =
            xfc_fail(g->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->source},
                     "--cache=inplace: no output is an input with rows appended that nothing else reads; export a "
                     "decoder whose pasts are inputs and whose presents are outputs");
    if (found)
        xfc_graph_note(g, "cache", (xfc_loc){.file = g->source},
                       "%u outputs continue inputs, and are written where those lie if they lie there, too", found);
    return found > 0;
}

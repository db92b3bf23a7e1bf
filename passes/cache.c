/* cache.c - the cache of a decoder is written where it lies: --cache=inplace.
 *
 * An output that is an input with rows behind it may lie where the input does. So it becomes the `append` of both, which
 * copies nothing where the two lie together; whoever calls the model decides that, in each run. Memory that grows needs
 * room behind its rows, which the strides of the output tell: the result has at least so many rows, a size that no input
 * has and that stands for itself as an input without elements, behind those of the model. What reads the cache reads a
 * slice.
 *
 *   %k = concat %past, %new {axis = 2} : f32[b, 12, p + s, 64]
 *   return %k
 *   =>
 *   %all = append %past, %new, %p {axis = 2, size = [max(p + s, room0), p + s, p + s]} : f32[b, 12, max(p + s, room0), 64]
 *   %k = slice %all ..p + s
 *   return %all
 *
 * What a model computes in fewer bits than its border has is appended wide, and narrowed where it is read. Scatters that
 * write rows are appends, too (cache_rows.c).
 *
 * An input that is handed on as it is gets no rows. Where a branch answers the cache, both bodies answer it so; one that
 * makes it of nothing, as a merged decoder does of its prompt, appends to a past without rows.
 *
 * The input must have no other use, unless it is handed on: it lies below what is written. An output's room is not one of
 * its dims: the plan takes it for 0 in what callers are told (backends/plan_blob.c). When: after unpad, before legalize.
 */
#include "passes/pass.h"

#include "ir/program.h"
#include "passes/cache_rows.h"
#include "passes/rewrite/rewrite.h"

#include <string.h>

/* How result `at` of graph g comes from a past, an input of g. */
typedef enum { ANEW, HANDED_ON, JOINED, CHOSEN } way;
typedef struct {
    xfc_graph *g;
    uint32_t at;
    const xfc_value *past;
} result;

static xfc_value *value_of(const result *r) { return r->g->last->in[r->at].value; }

/* The bodies of the branch that makes v; 0: there is none. */
static uint32_t bodies_of(const xfc_value *v, xfc_graph *body[XFC_MAX_BODIES]) {
    if (!v->def || v->def->code != XFC_OP_BRANCH) return 0;
    body[0] = xfc_op_attr(v->def, XFC_K_THEN)->u.graph;
    body[1] = xfc_op_attr(v->def, XFC_K_ELSE)->u.graph;
    return 2;
}

/* The same in a body of the branch that makes it. */
static result in_body(const result *r, const xfc_op *branch, xfc_graph *body) {
    result in = {body, value_of(r)->out, NULL};
    for (uint32_t i = 1; i < branch->n_in; i++)
        if (branch->in[i].value == r->past) in.past = body->in[i - 1];
    return in;
}

static const xfc_op *cast_of(const xfc_value *v) { return v->def && v->def->code == XFC_OP_CAST ? v->def : NULL; }

/* The op that joins rows to a past and makes v, or what v is widened from: the past was narrowed for it then. */
static xfc_op *join_of(const xfc_value *v, xfc_value **past) {
    const xfc_op *wide = cast_of(v);
    if (wide && !xfc_dtype_embeds(wide->in[0].value->type.dtype, v->type.dtype)) return NULL;
    xfc_op *op = wide ? wide->in[0].value->def : v->def;
    if (!op || (op->code != XFC_OP_CONCAT && op->code != XFC_OP_APPEND)) return NULL;
    *past = op->in[0].value;
    if (!wide) return op;
    const xfc_op *narrow = cast_of(*past);
    if (!narrow || narrow->in[0].value->type.dtype != v->type.dtype) return NULL;
    *past = narrow->in[0].value;
    return op;
}

static way way_of(const result *r) {
    const xfc_op *op = value_of(r)->def;
    xfc_value *past;
    if (value_of(r) == r->past) return HANDED_ON;
    if (op && op->code == XFC_OP_BRANCH) return CHOSEN;
    return r->past && join_of(value_of(r), &past) && past == r->past ? JOINED : ANEW;
}

/* The input that result `at` continues, or else is; NULL: none. */
static xfc_value *find_past(const xfc_graph *g, uint32_t at, bool is) {
    xfc_graph *body[XFC_MAX_BODIES];
    xfc_value *v = g->last->in[at].value, *past = NULL;
    if (!v->def) return is ? v : NULL;
    if (!join_of(v, &past)) past = NULL;
    const uint32_t n = bodies_of(v, body);
    xfc_assert(n <= XFC_MAX_BODIES);
    for (uint32_t i = 0; i < n && !past; i++) {
        const xfc_value *in = find_past(body[i], v->out, is);
        past = in ? v->def->in[in->out + 1].value : NULL;
    }
    return past && !past->def ? past : NULL;
}

/* The dim along which it grows: that of a join, else of those that differ. */
static uint32_t axis_of(const result *r) {
    xfc_graph *body[XFC_MAX_BODIES];
    const xfc_op *op = value_of(r)->def;
    const xfc_type *t = &value_of(r)->type;
    uint32_t axis = 0;
    xfc_value *past;
    if (way_of(r) == JOINED) return (uint32_t)xfc_op_int(join_of(value_of(r), &past), XFC_K_AXIS, 0);
    for (uint32_t i = bodies_of(value_of(r), body); i-- > 0;) {
        const result in = in_body(r, op, body[i]);
        if (in.past && (way_of(&in) == JOINED || way_of(&in) == CHOSEN)) return axis_of(&in);
    }
    for (uint32_t d = 0; r->past && t->rank == r->past->type.rank && d < t->rank; d++)
        if (!xfc_int_same(t->dim[d], r->past->type.dim[d])) axis = d;
    return axis;
}

/* Does anything read the results of branches that result `at` of a body becomes, but the outputs that they are? */
static bool is_read_outside(const xfc_graph *g, uint32_t at) {
    for (; g->user; g = g->user->graph) {
        const xfc_use *use = g->user->out[at].uses;
        if (!use || use->next) return true;
        at = (uint32_t)(use - use->user->in);
    }
    return false;
}

/* NULL, or why the result cannot be written along the axis where its past lies. */
static const char *why_not(const xfc_pass *p, const result *r, uint32_t axis) {
    xfc_graph *body[XFC_MAX_BODIES];
    const xfc_op *op = value_of(r)->def;
    const xfc_type *t = &value_of(r)->type;
    const way w = way_of(r);
    const char *why = NULL;
    xfc_value *past;
    const xfc_op *join = w == JOINED ? join_of(value_of(r), &past) : NULL;
    if (xfc_dtype_is_packed(t->dtype)) return "its elements have less than a byte";
    for (uint32_t d = 0; d < t->rank; d++)
        if ((d != axis || w != CHOSEN) && xfc_defined_in(p->defined, t->dim[d]))
            return d == axis ? "only data says how many rows it has" : "only data says how large its rows are";
    if (join && xfc_op_int(join, XFC_K_AXIS, 0) != axis) return "branches append to it along different dims";
    if (r->past && r->past->uses && w != HANDED_ON &&
        (w == ANEW || r->past->uses->next || (join && join->in[0].value->uses->next)))
        return "what is in the cache before the run is read by itself, too";
    if (join && join != op && is_read_outside(r->g, r->at)) return "a branch narrows it, and it is read behind that";
    for (uint32_t i = bodies_of(value_of(r), body); i-- > 0 && !why;) {
        const result in = in_body(r, op, body[i]);
        why = why_not(p, &in, axis);
    }
    return why;
}

/* --- rewriting --- */

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

static xfc_value *no_rows(xfc_builder *b, const xfc_type *t, uint32_t axis) {
    xfc_type none = *t;
    none.dim[axis] = xfc_int_const(b->graph->ctx, 0);
    xfc_value *zero = xfc_dtype_is_float(t->dtype) ? xfc_b_scalar_f(b, t->dtype, 0) : xfc_b_scalar_i(b, t->dtype, 0);
    return xfc_b_expand(b, zero, none.dim, none.rank);
}

/* The append that answers it, with room behind. */
static xfc_value *with_room(xfc_builder *b, const result *r, uint32_t axis, xfc_int room) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *v = value_of(r), *in[3] = {0};
    const xfc_op *op = v->def;
    const way w = way_of(r);
    const xfc_int n = v->type.dim[axis];
    xfc_int size[3] = {xfc_int_max(c, n, room), n, n};
    in[0] = w == ANEW ? no_rows(b, &v->type, axis) : w == HANDED_ON ? v : op->in[0].value;
    if (!in[0]) return NULL;
    if (w == JOINED && op->code == XFC_OP_APPEND) {
        in[1] = op->in[1].value, in[2] = op->in[2].value;
        memcpy(size + 1, xfc_op_attr(op, XFC_K_SIZE)->u.dims + 1, 2 * sizeof *size);
    } else {
        in[1] = w == ANEW ? v : w == HANDED_ON ? no_rows(b, &v->type, axis) : new_rows(b, op);
        in[2] = xfc_b_dims(b, &in[0]->type.dim[axis], 1);
    }
    const xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_dims(XFC_K_SIZE, size, 3)};
    return in[1] && in[2] ? xfc_build(b, XFC_OP_APPEND, in, 3, attr, 2) : NULL;
}

/* The graph answers `all`, of which others than that read so many rows in the place of v. */
static bool answer(xfc_builder *b, const result *r, xfc_value *all, uint32_t axis, xfc_int rows) {
    xfc_value *v = value_of(r), *past = all->def->in[0].value;
    xfc_value *cache = xfc_b_slice_axis(b, all, axis, xfc_int_const(b->graph->ctx, 0), rows, 1);
    if (!cache) return false;
    xfc_value_replace(v, cache);
    xfc_op_set_in(cache->def, 0, all);
    if (past == v) xfc_op_set_in(all->def, 0, past);
    xfc_op_set_in(r->g->last, r->at, all);
    return true;
}

/* Rows are widened as they are joined, and what else reads the join reads it narrowed: the same numbers. In the result,
 * those of the past are as they were given. */
static bool join_wide(const result *r) {
    xfc_value *past, *v = value_of(r), *in[3];
    xfc_op *join = join_of(v, &past), *narrow = join->in[0].value->def, *wide = v->def;
    xfc_builder b = {.graph = r->g, .before = join, .loc = join->loc};
    if (join == wide) return true;
    const bool append = join->code == XFC_OP_APPEND;
    in[0] = past;
    in[1] = append ? join->in[1].value : new_rows(&b, join);
    in[2] = append ? join->in[2].value : NULL;
    in[1] = in[1] ? xfc_b_cast(&b, in[1], v->type.dtype) : NULL;
    xfc_value *joined = in[1] ? xfc_build(&b, join->code, in, append ? 3 : 2, join->attr, join->n_attr) : NULL;
    xfc_value *seen = joined ? xfc_b_cast(&b, joined, join->out[0].type.dtype) : NULL;
    if (!seen) return false;
    xfc_op_set_in(r->g->last, r->at, joined);
    xfc_op_set_in(wide, 0, seen); /* what reads it by itself */
    if (!v->uses) xfc_op_remove(wide);
    xfc_value_replace(&join->out[0], seen);
    xfc_op_remove(join);
    xfc_op_remove(narrow);
    return true;
}

static bool rewrite(const result *r, uint32_t axis, xfc_int room) {
    xfc_graph *body[XFC_MAX_BODIES];
    const way w = way_of(r);
    if (w == JOINED && !join_wide(r)) return false;
    xfc_value *v = value_of(r);
    xfc_op *op = v->def;
    xfc_builder b = {.graph = r->g, .before = w == HANDED_ON ? r->g->first : r->g->last, .loc = r->g->last->loc};
    const xfc_int rows = v->type.dim[axis];
    if (w == CHOSEN) {
        for (uint32_t i = bodies_of(v, body); i-- > 0;) {
            const result in = in_body(r, op, body[i]);
            if (!rewrite(&in, axis, room)) return false;
        }
        b.before = op->next, b.loc = op->loc;
        return xfc_infer_op(op) == XFC_OK && answer(&b, r, v, axis, rows);
    }
    if (w == JOINED) b.before = op, b.loc = op->loc;
    xfc_value *all = with_room(&b, r, axis, room);
    if (all && w == ANEW) return xfc_op_set_in(r->g->last, r->at, all), true; /* others read what is in it */
    if (!all || !answer(&b, r, all, axis, rows)) return false;
    if (w == JOINED) xfc_op_remove(op);
    return true;
}

/* Output i of the program, if it continues an input. */
static bool make_cache(xfc_pass *p, uint32_t i) {
    xfc_graph *g = p->graph;
    const xfc_value *grows = find_past(g, i, false);
    const result r = {g, i, grows ? grows : find_past(g, i, true)};
    if (!r.past || !r.past->type.rank) return false;
    const uint32_t axis = axis_of(&r);
    const xfc_op *op = value_of(&r)->def;
    const char *why = why_not(p, &r, axis), *past = r.past->name;
    uint32_t n = 0;
    for (uint32_t k = 0; k < g->n_out; k++) n += g->last->in[k].value == value_of(&r);
    if (n > 1) why = "it is another output, too";
    if (why) {
        xfc_graph_note(g, "cache", op ? op->loc : g->last->loc, "output '%s' is not written where '%s' lies: %s",
                       g->out_name[i], past, why);
        return false;
    }
    const xfc_int room = new_room(p, i), dim[2] = {room, xfc_int_const(g->ctx, 0)};
    xfc_graph_add_input(g, xfc_int_look(g->ctx, room)->name, xfc_type_make(XFC_U8, 2, dim));
    xfc_graph_meta(g, xfc_sprintf(p->scratch, "cache:%s", g->out_name[i]), past);
    if (!rewrite(&r, axis, room)) p->status = XFC_ERR_UNSUPPORTED;
    return p->status == XFC_OK;
}

bool xfc_cache(xfc_pass *p) {
    xfc_graph *g = p->graph;
    uint32_t found = 0;
    if (p->opts->cache != XFC_FORCE || g->user) return false;
    for (uint32_t i = 0; i < g->n_out && p->status == XFC_OK; i++) {
        if (xfc_cache_rows(g, i))
            found += make_cache(p, i);
        else
            p->status = XFC_ERR_UNSUPPORTED;
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

/* axis.c - which ops commute with R, the subtraction of the mean over the channels.
 *
 * An op is looked at from its result: given the dim that holds the channels there, its nest says for each operand where
 * they are in it, or that the operand has no part in the stream. With c the axis of the channels, an element commutes
 * if it is a sum of elements that are read at c, times factors that are read where c plays no part: sums of streams,
 * views and reductions that leave the channel dim whole, products that mix tokens. What c plays no part in may also be
 * added, once: R makes it 0. An op without a nest is its decomposition. No op is changed here.
 */
#include "ir/eval/eval.h"
#include "passes/prenorm/prenorm.h"

typedef enum {
    SAME,    /* for all channels */
    STREAM,  /* R of it is the same made of R of its elements */
    SHIFTED, /* a stream, and what is the same for all channels added */
    NEITHER,
} kind;

typedef struct {
    uint32_t seen; /* how often */
    xfc_role role;
    uint32_t axis; /* STREAM */
} operand;
typedef struct {
    bool commutes, moves; /* moves: elements of one operand as they are */
    operand in[];
} uses;

typedef struct {
    const xfc_op *op;
    xfc_nest *nest;
    xfc_int channel, d;
    kind *kind; /* by body instruction */
    uses *out;
} reader;

static uses *new_uses(xfc_arena *arena, uint32_t n) {
    uses *u = xfc_alloc(arena, sizeof(uses) + n * sizeof(operand), _Alignof(uses));
    for (uint32_t i = 0; i < n; i++) u->in[i].role = XFC_ROLE_OTHER;
    return u;
}

static bool mark(uses *u, uint32_t i, xfc_role role, uint32_t axis) {
    const operand was = u->in[i];
    u->in[i] = (operand){was.seen + 1, role, axis};
    return !was.seen || (was.role == role && was.axis == axis);
}

/* --- a nest --- */

static kind of_load(reader *r, const xfc_scalar *s) {
    const xfc_ctx *c = r->op->graph->ctx;
    const xfc_access *a = s->u.access;
    uint32_t at = a->rank, i = xfc_nest_operand(r->op, a->buffer);
    const xfc_type *t = i < r->op->n_in ? &r->op->in[i].value->type : &r->op->out[0].type;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (!xfc_int_uses(c, a->index[d], r->channel)) continue;
        if (at < a->rank || !xfc_int_same(a->index[d], r->channel) || !xfc_int_same(t->dim[d], r->d)) return NEITHER;
        at = d;
    }
    bool stream = at < a->rank;
    if (stream && !xfc_dtype_is_float(s->dtype)) return NEITHER;
    if (i < r->op->n_in && !mark(r->out, i, stream ? XFC_ROLE_STREAM : XFC_ROLE_OTHER, stream ? at : 0)) return NEITHER;
    return stream ? STREAM : SAME;
}

/* What is added to an operand must be one, too, which can be left out. */
static kind shifted(reader *r, uint32_t stream, uint32_t other) {
    const xfc_scalar *x = &r->nest->body[stream], *s = &r->nest->body[other];
    if (r->kind[stream] != STREAM || r->kind[other] != SAME || x->op != XFC_S_LOAD || s->op != XFC_S_LOAD)
        return NEITHER;
    operand *flat = &r->out->in[xfc_nest_operand(r->op, s->u.access->buffer)];
    flat->role = XFC_ROLE_FLAT;
    return flat->seen == 1 ? SHIFTED : NEITHER;
}

static kind of_scalar(reader *r, const xfc_scalar *s) {
    kind k[3] = {SAME, SAME, SAME};
    for (uint32_t i = 0; i < 3; i++)
        if (s->arg[i] != XFC_NO_ARG) k[i] = r->kind[s->arg[i]];
    if (s->op == XFC_S_LOAD) return k[0] == SAME ? of_load(r, s) : NEITHER;
    if (s->op == XFC_S_INDEX) return xfc_int_uses(r->op->graph->ctx, s->u.index, r->channel) ? NEITHER : SAME;
    if (k[0] == SAME && k[1] == SAME && k[2] == SAME) return SAME;
    switch ((unsigned)s->op) {
    case XFC_S_NEG: return k[0];
    case XFC_S_CAST: return xfc_dtype_is_float(s->dtype) ? k[0] : NEITHER;
    case XFC_S_MUL: return k[0] == SAME ? k[1] : k[1] == SAME ? k[0] : NEITHER;
    case XFC_S_DIV: return k[1] == SAME ? k[0] : NEITHER;
    case XFC_S_SELECT: return k[0] == SAME && k[1] == STREAM && k[2] == STREAM ? STREAM : NEITHER;
    case XFC_S_ADD:
    case XFC_S_SUB:
        if (k[0] == STREAM && k[1] == STREAM) return STREAM;
        return k[0] == SAME ? shifted(r, s->arg[1], s->arg[0]) : shifted(r, s->arg[0], s->arg[1]);
    default: return NEITHER;
    }
}

/* The axis that counts channels, if the result's dim is one, by itself. */
static bool find_channel(reader *r, uint32_t axis) {
    const xfc_ctx *c = r->op->graph->ctx;
    const xfc_access *to = &r->nest->stores[0].to;
    r->channel = to->index[axis];
    for (uint32_t d = 0; d < to->rank; d++)
        if (d != axis && xfc_int_uses(c, to->index[d], r->channel)) return false;
    for (uint32_t i = 0; i < r->nest->n_axes; i++)
        if (xfc_int_same(r->nest->axes[i].symbol, r->channel)) return r->nest->axes[i].kind == XFC_AXIS_PARALLEL;
    return false;
}

static bool is_moved(const xfc_nest *nest) {
    const xfc_scalar *s = &nest->body[nest->stores[0].value];
    while (s->op == XFC_S_CAST) s = &nest->body[s->arg[0]];
    return s->op == XFC_S_LOAD && s->arg[0] == XFC_NO_ARG && nest->stores[0].combine == XFC_S_COUNT;
}

/* What is left out must leave the shape as it is. */
static bool keeps_shape(const reader *r) {
    bool whole = false;
    for (uint32_t i = 0; i < r->op->n_in; i++)
        whole |= r->out->in[i].seen && r->out->in[i].role == XFC_ROLE_STREAM &&
                 xfc_type_same(&r->op->in[i].value->type, &r->op->out[0].type);
    return whole;
}

static bool read_nest(xfc_arena *arena, const xfc_op *op, uint32_t axis, uses *out) {
    reader r = {.op = op, .d = op->out[0].type.dim[axis], .out = out};
    r.nest = xfc_nest_of(op, arena);
    if (!r.nest || r.nest->n_stores != 1) return false;
    const xfc_store *s = &r.nest->stores[0];
    r.kind = xfc_new_array(arena, kind, r.nest->n_body);
    if (!find_channel(&r, axis) || (s->combine != XFC_S_COUNT && s->combine != XFC_S_ADD)) return false;
    for (uint32_t i = 0; i < r.nest->n_body; i++) {
        r.kind[i] = of_scalar(&r, &r.nest->body[i]);
        if (r.nest->body[i].op == XFC_S_LET && r.kind[i] != SAME) return false;
    }
    out->moves = is_moved(r.nest);
    if (r.kind[s->value] == SHIFTED) return s->combine == XFC_S_COUNT && keeps_shape(&r);
    return r.kind[s->value] == STREAM;
}

/* --- a decomposition --- */

static const uses *read_op(xfc_arena *, const xfc_op *, uint32_t axis);

static bool mark_others(const xfc_value *v, uses *out) {
    if (!v->def) return mark(out, v->out, XFC_ROLE_OTHER, 0);
    for (uint32_t i = 0; i < v->def->n_in; i++)
        if (v->def->in[i].value && !mark_others(v->def->in[i].value, out)) return false;
    return true;
}

/* Of a value inside, whose channels are this dim. */
static bool follow(xfc_arena *arena, const xfc_value *v, uint32_t axis, uses *out) {
    if (!v->def) return mark(out, v->out, XFC_ROLE_STREAM, axis);
    const uses *u = read_op(arena, v->def, axis);
    for (uint32_t i = 0; u->commutes && i < v->def->n_in; i++) {
        const xfc_value *x = v->def->in[i].value;
        if (!u->in[i].seen) continue;
        bool ok = u->in[i].role == XFC_ROLE_STREAM  ? follow(arena, x, u->in[i].axis, out)
                  : u->in[i].role == XFC_ROLE_OTHER ? mark_others(x, out)
                                                    : !x->def && mark(out, x->out, XFC_ROLE_FLAT, 0);
        if (!ok) return false;
    }
    return u->commutes;
}

static bool read_composite(xfc_arena *arena, const xfc_op *op, uint32_t axis, uses *out) {
    xfc_graph *g = xfc_op_decomposed(op);
    uint32_t n = 0;
    if (!g) return false;
    uses *inner = new_uses(arena, g->n_in);
    bool commutes = follow(arena, g->last->in[0].value, axis, inner);
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value) continue;
        out->in[i] = inner->in[n++];
        bool needed = i < (uint32_t)xfc_ops[op->code].min_in || !xfc_ops[op->code].min_in;
        if (out->in[i].role == XFC_ROLE_FLAT && needed) commutes = false; /* it cannot be left out */
    }
    xfc_graph_free(g);
    return commutes;
}

/* --- an op --- */

static const uses *read_op(xfc_arena *arena, const xfc_op *op, uint32_t axis) {
    uses *u = new_uses(arena, op->n_in);
    if (op->n_out != 1 || op->n_in == 0 || !xfc_dtype_is_float(op->out[0].type.dtype)) return u;
    bool writes = op->code == XFC_OP_LINEAR && axis + 1 == op->out[0].type.rank; /* its weights take R */
    if (xfc_ops[op->code].nest)
        u->commutes = read_nest(arena, op, axis, u);
    else if (xfc_ops[op->code].decompose && !writes)
        u->commutes = read_composite(arena, op, axis, u);
    return u;
}

static const uses *uses_of(xfc_axes *a, const xfc_op *op, uint32_t axis) {
    xfc_assert(op->n_out > 0 && axis < XFC_MAX_RANK);
    uint64_t key = (uint64_t)op->out[0].id * XFC_MAX_RANK + axis;
    const uses *u = (const uses *)(uintptr_t)xfc_map_get(&a->uses, key);
    if (!u) xfc_map_set(&a->uses, key, (uint64_t)(uintptr_t)(u = read_op(a->uses.arena, op, axis)));
    return u;
}

bool xfc_commutes(xfc_axes *a, const xfc_op *op, xfc_channels result, uint32_t i, xfc_role *role, xfc_channels *in) {
    const uses *u = uses_of(a, op, result.axis);
    *role = u->in[i].role;
    *in = (xfc_channels){u->in[i].axis, result.d};
    return u->commutes;
}

bool xfc_commutes_all(xfc_axes *a, const xfc_op *op, xfc_channels result) {
    return uses_of(a, op, result.axis)->commutes;
}

bool xfc_commutes_forward(xfc_axes *a, const xfc_op *op, uint32_t i, xfc_channels in, xfc_channels *result) {
    if (op->n_out != 1) return false;
    for (uint32_t axis = 0; axis < op->out[0].type.rank; axis++) {
        xfc_role role;
        xfc_channels at;
        *result = (xfc_channels){axis, in.d};
        if (!xfc_int_is(op->graph->ctx, op->out[0].type.dim[axis], in.d)) continue;
        if (xfc_commutes(a, op, *result, i, &role, &at) && role == XFC_ROLE_STREAM && at.axis == in.axis) return true;
    }
    return false;
}

bool xfc_commutes_backward(const xfc_op *op) { return !xfc_op_has(op, XFC_CONTRACT) && op->code != XFC_OP_LINEAR; }

bool xfc_keeps_channels(xfc_axes *a, const xfc_op *op, xfc_channels result) {
    const uses *u = uses_of(a, op, result.axis);
    return u->commutes && u->moves;
}

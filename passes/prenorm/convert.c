/* convert.c - builds the streams of converted webs once more, with R moved into their writers.
 *
 * First everything that will change is written down (plan_*): which values are built again, which linears get other
 * weights, where R is computed. Then one walk over the ops in their order builds each beside the old one, from the new
 * operands; what the walk leaves without uses is dead. Values outside of webs keep their meaning and are replaced.
 *
 *   %a = gather %table, %ids                 |  %a' = gather %table', %ids           rows of table' have mean 0
 *   %n = layernorm %a, %g, %b                |  %n' = rmsnorm %a'
 *   %h = linear %n, %w1, %b1                 |  %h  = linear %n', diag(g) w1, b1 + b w1
 *   %o = linear %h, %w2, %b2                 |  %o' = linear %h, R w2, R b2
 *   %s = add %a, %o                          |  %s' = add %a', %o'
 *
 * A norm's scale and bias go into the linears that read it (through views); where something else reads it, or the
 * linears are so wide that new weights cost more memory than the factor costs time, they stay. With crms every stream
 * value has d - 1 channels, and the norms are crmsnorm.
 */
#include "passes/prenorm/prenorm.h"

enum { MAX_TRACE = 256, MAX_WIDTH = 16 }; /* values between a norm and its linears; columns, in multiples of d */

typedef struct {
    xfc_webs *w;
    xfc_graph *g;
    xfc_arena *arena;
    bool crms;
    xfc_map axis_of; /* values to build again -> axis + 1 */
    xfc_map opaque;  /* values whose R is computed -> axis + 1 */
    xfc_map new_of;
    xfc_map edit_of, reader_of, scaled; /* by value id of the result; edit_of: index + 1, reader_of: 1 + folded */
    xfc_linear_edit **edit;
    uint32_t n_edits, cap_edits;
    xfc_weight_cache cache;
} converter;

static const xfc_tensor *constant(const xfc_op *op, uint32_t i) {
    const xfc_tensor *t = NULL;
    if (i < op->n_in && op->in[i].value) (void)xfc_value_is_const(op->in[i].value, &t);
    return t;
}

static xfc_linear_edit *edit_of(converter *c, xfc_op *op) {
    uint64_t i = xfc_map_get(&c->edit_of, op->out[0].id);
    if (i) return c->edit[i - 1];
    xfc_linear_edit *e = xfc_new(c->arena, xfc_linear_edit);
    e->op = op;
    xfc_push(c->arena, c->edit, c->n_edits, c->cap_edits) = e;
    xfc_map_set(&c->edit_of, op->out[0].id, c->n_edits);
    return e;
}

static void rebuild_later(converter *c, const xfc_value *v, xfc_channels at) {
    xfc_map_set(&c->axis_of, v->id, at.axis + 1);
}

/* --- plan: norms --- */

typedef struct {
    xfc_value *value;
    xfc_channels at;
} traced;

typedef struct { /* what reads a norm, if that is nothing but linears */
    traced view[MAX_TRACE];
    uint32_t n_views, n_linears;
    xfc_op *linear[MAX_TRACE];
    int64_t columns;
} trace;

static bool trace_use(const xfc_webs *w, trace *t, const traced *from, const xfc_use *u) {
    xfc_channels out;
    uint32_t i = (uint32_t)(u - u->user->in);
    if (xfc_has_constant_weights(u->user) && i == 0 && from->at.axis + 1 == from->value->type.rank) {
        if (t->n_linears == MAX_TRACE || xfc_map_find(&w->shared, constant(u->user, 1)->id, NULL)) return false;
        t->columns += constant(u->user, 1)->dim[1];
        t->linear[t->n_linears++] = u->user;
        return t->columns < INT32_MAX;
    }
    if (!xfc_commutes_forward(w->axes, u->user, i, from->at, &out) || !xfc_keeps_channels(w->axes, u->user, out) ||
        t->n_views == MAX_TRACE)
        return false;
    t->view[t->n_views++] = (traced){&u->user->out[0], out};
    return true;
}

static bool trace_norm(const xfc_webs *w, trace *t, const xfc_web_reader *r) {
    t->n_linears = 0;
    t->n_views = 1;
    t->columns = 0;
    t->view[0] = (traced){&r->op->out[0], r->at};
    for (uint32_t i = 0; i < t->n_views; i++)
        xfc_foreach_use(u, t->view[i].value)
            if (!trace_use(w, t, &t->view[i], u)) return false;
    return t->n_linears > 0;
}

static bool affine_is_constant(const xfc_web_reader *r) {
    for (uint32_t i = 1; i < r->op->n_in; i++) {
        const xfc_tensor *t = constant(r->op, i);
        if (r->op->in[i].value && (!t || !xfc_is_per_channel(t, r->at.d))) return false;
    }
    return true;
}

bool xfc_web_folds(const xfc_webs *w, uint32_t web, const xfc_op **op) {
    trace *t = xfc_new(w->pass->scratch, trace);
    for (uint32_t i = 0; i < w->n_readers; i++) {
        *op = w->reader[i].op;
        if (w->reader[i].web == web && (!affine_is_constant(&w->reader[i]) || !trace_norm(w, t, &w->reader[i])))
            return false;
    }
    return true;
}

static bool is_splat(const xfc_tensor *t, double value) {
    double v;
    return !t || (xfc_tensor_is_splat(t, &v) && !(v < value) && !(v > value));
}

static void plan_reader(converter *c, trace *t, const xfc_web_reader *r, xfc_converted *total) {
    bool keep = c->w->pass->opts->fold_ln_affine == XFC_OFF && !c->crms;
    bool fold =
        !keep && affine_is_constant(r) && trace_norm(c->w, t, r) && (c->crms || t->columns <= MAX_WIDTH * r->at.d);
    const xfc_tensor *gamma = constant(r->op, 1), *beta = constant(r->op, 2);
    fold &= c->crms || !is_splat(gamma, 1) || !is_splat(beta, 0); /* else there is nothing to fold */
    total->norms++;
    total->folded += fold;
    xfc_map_set(&c->reader_of, r->op->out[0].id, fold ? 2 : 1);
    if (!fold) return;
    for (uint32_t i = 1; i < t->n_views; i++) rebuild_later(c, t->view[i].value, t->view[i].at);
    for (uint32_t i = 0; i < t->n_linears; i++) {
        xfc_linear_edit *e = edit_of(c, t->linear[i]);
        e->normed = true;
        e->gamma = is_splat(gamma, 1) ? NULL : gamma;
        e->beta = is_splat(beta, 0) ? NULL : beta;
        e->drop_row = c->crms;
    }
}

/* --- plan: writers --- */

static bool feeds_converted(const xfc_webs *w, const xfc_value *v, uint32_t *group) {
    uint32_t web;
    xfc_foreach_use(u, v) {
        if (!xfc_web_of_use(w, u, &web) || !w->web[web].convert) continue;
        *group = w->web[web].group;
        return true;
    }
    return false;
}

static bool may_grow(const xfc_op *op, const xfc_value *from) {
    xfc_ctx *c = op->graph->ctx;
    return xfc_int_le(c, xfc_type_count(c, &op->out[0].type), xfc_type_count(c, &from->type)) != 1;
}

/* R is computed as late as possible: behind views that the web alone reads, where channels are mostly the last dim. */
static void plan_opaque(converter *c, const xfc_web_node *node) {
    for (;;) {
        const xfc_use *only = NULL;
        uint32_t n = 0, web;
        xfc_foreach_use(u, node->value) {
            if (!xfc_web_of_use(c->w, u, &web) || !c->w->web[web].convert) continue;
            only = u;
            n++;
        }
        const xfc_web_node *next = n == 1 ? xfc_web_node_of(c->w, &only->user->out[0]) : NULL;
        if (!next || next->source != XFC_SOURCE_NONE || !xfc_keeps_channels(c->w->axes, only->user, next->at)) break;
        if (may_grow(only->user, node->value)) break;
        xfc_map_set(&c->axis_of, next->value->id, 0);
        node = next;
    }
    xfc_map_set(&c->opaque, node->value->id, node->at.axis + 1);
}

/* Views between a layer scale and its linear carry R, too. */
static void plan_scaled(converter *c, const xfc_web_node *node) {
    const xfc_op *mul = node->value->def;
    xfc_value *v = xfc_value_is_const(mul->in[0].value, NULL) ? mul->in[1].value : mul->in[0].value;
    xfc_channels at = node->at, in;
    xfc_map_set(&c->scaled, node->value->id, v->id);
    for (xfc_role role; v->def != node->linear; v = v->def->in[0].value, at = in) {
        rebuild_later(c, v, at);
        bool commutes = xfc_commutes(c->w->axes, v->def, at, 0, &role, &in);
        xfc_assert(commutes);
    }
}

static void plan_source(converter *c, const xfc_web_node *node) {
    xfc_linear_edit *e = edit_of(c, node->linear);
    e->in_stream = constant(node->linear, 1)->dim[1] == node->at.d;
    e->drop_column = c->crms && e->in_stream;
    xfc_push(c->arena, e->columns, e->n_columns, e->cap_columns) =
        (xfc_columns){.column = node->column, .d = node->at.d, .scale = node->scale};
    if (node->source == XFC_SOURCE_SCALED)
        plan_scaled(c, node);
    else if (node->value->def != node->linear && c->crms) /* else the slice is right as it is */
        rebuild_later(c, node->value, node->at);
}

static void plan(converter *c, xfc_converted *total) {
    xfc_webs *w = c->w;
    uint32_t group;
    trace *t = xfc_new(c->arena, trace);
    for (uint32_t i = 0; i < w->n_nodes; i++)
        if (w->node[i].source == XFC_SOURCE_NONE && w->web[w->node[i].web].convert)
            rebuild_later(c, w->node[i].value, w->node[i].at);
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const xfc_web_node *node = &w->node[i];
        if (node->source == XFC_SOURCE_NONE || !feeds_converted(w, node->value, &group)) continue;
        if (node->source != XFC_SOURCE_OPAQUE) {
            plan_source(c, node);
            continue;
        }
        plan_opaque(c, node);
        total[group].recentred++;
    }
    for (uint32_t i = 0; i < w->n_readers; i++) {
        const xfc_web *web = &w->web[w->reader[i].web];
        if (web->convert) plan_reader(c, t, &w->reader[i], &total[web->group]);
    }
}

/* --- building --- */

static xfc_value *new_of(const converter *c, xfc_value *v) {
    xfc_value *n = (xfc_value *)(uintptr_t)xfc_map_get(&c->new_of, v->id);
    return n ? n : v;
}

static void set_new(converter *c, xfc_value *old, xfc_value *with) {
    if (!with) return;
    xfc_map_set(&c->new_of, old->id, (uint64_t)(uintptr_t)with);
    if (!with->name) with->name = old->name;
    if (with != old) old->name = NULL;
}

static xfc_value *stream_operand(converter *c, xfc_builder *b, const xfc_op *op, uint32_t i, xfc_channels in) {
    const xfc_tensor *t = constant(op, i);
    if (!t) return new_of(c, op->in[i].value);
    return xfc_b_const(b, xfc_tensor_recentred(c->g->ctx, &c->cache, t, in.axis, c->crms));
}

/* The op's attributes for a result with one channel fewer. */
static const xfc_attr *fewer_channels(converter *c, const xfc_op *op, uint32_t axis) {
    xfc_attr *attr = xfc_dup_array(c->arena, xfc_attr, op->attr, op->n_attr);
    for (uint32_t i = 0; i < op->n_attr; i++) {
        bool shape = attr[i].key == XFC_K_SHAPE || attr[i].key == XFC_K_SIZE;
        if (!c->crms || !shape || attr[i].n != op->out[0].type.rank) continue;
        xfc_int *dim = xfc_dup_array(c->arena, xfc_int, attr[i].u.dims, attr[i].n);
        dim[axis] = xfc_int_addc(c->g->ctx, dim[axis], -1);
        attr[i].u.dims = dim;
    }
    return attr;
}

/* The op of new operands. What is the same for all channels is not added. */
static xfc_value *rebuild(converter *c, xfc_builder *b, const xfc_op *op, uint32_t axis) {
    int64_t d;
    bool number = xfc_int_value(c->g->ctx, op->out[0].type.dim[axis], &d);
    xfc_assert(number);
    xfc_value **in = xfc_new_array(c->arena, xfc_value *, op->n_in), *stream = NULL;
    bool flat = false, minus = false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        xfc_role role = XFC_ROLE_OTHER;
        xfc_channels at;
        if (!(in[i] = op->in[i].value)) continue;
        bool commutes = xfc_commutes(c->w->axes, op, (xfc_channels){axis, d}, i, &role, &at);
        xfc_assert(commutes || op->code == XFC_OP_SLICE); /* a slice of some columns of a linear */
        if (commutes && role == XFC_ROLE_FLAT) {
            flat = true;
            in[i] = NULL;
        }
        if (!commutes || role != XFC_ROLE_STREAM) continue;
        stream = in[i] = stream_operand(c, b, op, i, at);
        minus = op->code == XFC_OP_SUB && i == 1;
    }
    if (flat && xfc_ops[op->code].nest) return minus ? xfc_b_unary(b, XFC_OP_NEG, stream) : stream;
    return xfc_build_opt(b, op->code, in, op->n_in, fewer_channels(c, op, axis), op->n_attr);
}

/* x - mean(x), in 32 bits at least; crms: without the last channel. */
static xfc_value *recentred(converter *c, xfc_builder *b, xfc_value *x, int64_t axis) {
    xfc_dtype t = x->type.dtype, wide = t == XFC_F64 ? t : XFC_F32;
    xfc_value *v = xfc_b_cast(b, x, wide);
    v = xfc_b_cast(b, xfc_b_binary(b, XFC_OP_SUB, v, xfc_b_reduce(b, XFC_OP_REDUCE_MEAN, v, &axis, 1, true)), t);
    if (!v || !c->crms) return v;
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t k = 0; k < x->type.rank; k++) {
        start[k] = xfc_int_const(c->g->ctx, 0);
        size[k] = (int64_t)k == axis ? xfc_int_addc(c->g->ctx, x->type.dim[k], -1) : x->type.dim[k];
        step[k] = 1;
    }
    return xfc_b_slice(b, v, start, size, step);
}

static xfc_value *norm(converter *c, xfc_builder *b, const xfc_op *op, bool folded) {
    xfc_attr attr[] = {*xfc_op_attr(op, XFC_K_AXIS), *xfc_op_attr(op, XFC_K_EPS)};
    xfc_value *in[3] = {new_of(c, op->in[0].value)};
    uint32_t n = 1;
    for (uint32_t i = 1; i < op->n_in && !folded; i++) {
        const xfc_tensor *t = constant(op, i);
        if (!op->in[i].value || (t && is_splat(t, i == 1 ? 1 : 0))) continue;
        in[i] = op->in[i].value;
        n = i + 1;
    }
    return xfc_build_opt(b, c->crms ? XFC_OP_CRMSNORM : XFC_OP_RMSNORM, in, n, attr, XFC_COUNT(attr));
}

static void build_opaque(converter *c, xfc_value *v, xfc_op *before, xfc_loc loc) {
    uint64_t axis = xfc_map_get(&c->opaque, v->id);
    xfc_builder b = {.graph = c->g, .before = before, .loc = loc};
    if (!axis) return;
    xfc_value *y = recentred(c, &b, v, (int64_t)axis - 1);
    if (y) xfc_map_set(&c->new_of, v->id, (uint64_t)(uintptr_t)y);
}

/* Of a value outside of webs, which may still be a writer of one. */
static void replace(converter *c, xfc_value *old, xfc_value *with) {
    if (!with) return;
    xfc_value_replace(old, with);
    xfc_map_set(&c->opaque, with->id, xfc_map_get(&c->opaque, old->id));
    xfc_map_set(&c->opaque, old->id, 0);
    build_opaque(c, with, old->def, old->def->loc);
}

/* The old linear, which is dead by the end of the walk, takes the new weight as well: the old one is freed now, or a
 * model's weights would all be there twice. */
static void let_go_of_weight(xfc_op *old, xfc_value *with) {
    xfc_value *w = old->in[1].value;
    const xfc_tensor *t = constant(old, 1);
    xfc_op_set_in(old, 1, with);
    if (w->uses) return;
    xfc_op_remove(w->def);
    xfc_storage_release(old->graph->ctx, t->storage);
}

static void build_linear(converter *c, xfc_builder *b, const xfc_linear_edit *e) {
    xfc_value *old = &e->op->out[0], *x = e->op->in[0].value;
    xfc_value *y = xfc_linear_edited(b, &c->cache, e, e->normed ? new_of(c, x) : x);
    if (!y) return;
    let_go_of_weight(e->op, y->def->in[1].value);
    if (e->in_stream)
        set_new(c, old, y);
    else
        replace(c, old, y);
}

static void build_op(converter *c, xfc_op *op) {
    xfc_builder b = {.graph = c->g, .before = op, .loc = op->loc};
    xfc_value *out = &op->out[0], *y;
    uint64_t edit = xfc_map_get(&c->edit_of, out->id), reader = xfc_map_get(&c->reader_of, out->id),
             scaled = xfc_map_get(&c->scaled, out->id), axis = xfc_map_get(&c->axis_of, out->id);
    if (edit) {
        build_linear(c, &b, c->edit[edit - 1]);
    } else if (reader) {
        y = norm(c, &b, op, reader == 2);
        if (reader == 2)
            set_new(c, out, y);
        else
            replace(c, out, y);
    } else if (scaled) {
        set_new(c, out, (xfc_value *)(uintptr_t)xfc_map_get(&c->new_of, scaled));
    } else if (axis) {
        set_new(c, out, rebuild(c, &b, op, (uint32_t)axis - 1));
    }
}

bool xfc_webs_convert(xfc_webs *w, bool crms, xfc_converted *total) {
    xfc_arena *arena = w->pass->scratch;
    xfc_map map = {.arena = arena};
    converter c = {.w = w,
                   .g = w->pass->graph,
                   .arena = arena,
                   .crms = crms,
                   .axis_of = map,
                   .opaque = map,
                   .new_of = map,
                   .edit_of = map,
                   .reader_of = map,
                   .scaled = map,
                   .cache = {.arena = arena, .linear = map, .table = map}};
    uint32_t errors = c.g->ctx->n_errors;
    plan(&c, total);
    for (uint32_t i = 0; i < c.g->n_in; i++) build_opaque(&c, c.g->in[i], c.g->first, c.g->first->loc);
    xfc_foreach_op_safe(op, c.g) {
        xfc_op *next = op->next;
        if (op->n_out > 0) build_op(&c, op);
        for (uint32_t i = 0; i < op->n_out; i++) build_opaque(&c, &op->out[i], next, op->loc);
        if (c.g->ctx->n_errors != errors) return false;
    }
    return true;
}

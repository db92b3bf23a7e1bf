/* fuse.c - fewer passes over memory: three moves.
 *
 * Inline: a producer that computes each element once moves into the loads of its consumer, when it only moves elements,
 * or converts those of a cache, or when that consumer is its only user and reads every element once, or fewer than there
 * are.
 * Epilogue: an element-wise consumer of a product or of attention moves into the nest that stores the result.
 * Rows (fuse_rows.c): kernels over the same rows share their outer axes, and what passes between them becomes a
 * temporary.
 *
 *   %t = kernel { y[i] = x[i] + b[i] }, %u = kernel { z[i] = tanh(t[i]) }  =>  %u = kernel { z[i] = tanh(x[i] + b[i]) }
 *
 * Does not reorder arithmetic: results keep their bits. When: after kernels, before schedule.
 */
#include "passes/lower/fuse.h"

enum { MAX_BODY = 96, MAX_BUFFERS = 24 };

const xfc_nest *xfc_simple_nest(const xfc_op *op) {
    if (!op || op->code != XFC_OP_KERNEL) return NULL;
    const xfc_kernel *k = op->kernel;
    if (k->n_axes || k->n_lets || k->n_steps != 1 || k->n_out != 1 || k->n_buffers != k->n_in + k->n_out) return NULL;
    return k->steps[0].kind == XFC_STEP_NEST ? k->steps[0].u.nest : NULL;
}

xfc_op *xfc_only_user(const xfc_value *v) {
    xfc_op *user = NULL;
    xfc_foreach_use(u, v) {
        if (user && u->user != user) return NULL;
        user = u->user;
    }
    return user;
}

/* --- inline --- */

/* Does the load happen once for each element it can name? If it happened more often arithmetic would be repeated. */
static bool covers_axes(xfc_ctx *ctx, const xfc_kernel *k, const xfc_nest *n, const xfc_access *a) {
    for (uint32_t i = 0; i < n->n_axes + k->n_axes; i++) {
        const xfc_axis *axis = i < n->n_axes ? &n->axes[i] : &k->axes[i - n->n_axes];
        bool used = xfc_int_is(ctx, axis->extent, 1);
        for (uint32_t d = 0; d < a->rank && !used; d++) used = xfc_int_uses(ctx, a->index[d], axis->symbol);
        for (uint32_t l = 0; l < k->n_lets && !used; l++) /* through a let: r0 = block * m floordiv blocks */
            if (xfc_let_uses(ctx, &k->lets[l], axis->symbol))
                for (uint32_t d = 0; d < a->rank && !used; d++)
                    used = xfc_int_uses(ctx, a->index[d], k->lets[l].symbol);
        if (!used) return false;
    }
    return true;
}

/* Does the nest run less often than the buffer has elements, by a whole factor? A gather of single rows, say. */
static bool reads_part(xfc_ctx *ctx, const xfc_kernel *k, const xfc_nest *n, const xfc_type *type) {
    xfc_int all = xfc_int_const(ctx, 1), runs = all, factor;
    for (uint32_t d = 0; d < type->rank; d++) all = xfc_int_mul(ctx, all, type->dim[d]);
    for (uint32_t i = 0; i < n->n_axes; i++) runs = xfc_int_mul(ctx, runs, n->axes[i].extent);
    return k->n_axes == 0 && xfc_int_exact(ctx, all, runs, &factor);
}

/* Does the map only convert what a cache holds? Each reader does so by itself: a step would write all of it anew. */
static bool converts_cache(const xfc_op *producer, const xfc_nest *map) {
    const xfc_op *cache = producer->n_in == 1 ? producer->in[0].value->def : NULL;
    uint32_t casts = 0;
    for (uint32_t i = 0; i < map->n_body; i++) casts += map->body[i].op == XFC_S_CAST;
    return cache && cache->code == XFC_OP_APPEND && xfc_nest_work(map) == casts;
}

static const xfc_nest *worth_inlining(xfc_op *op, const xfc_nest *into, const xfc_access *a) {
    xfc_op *producer = a->buffer < op->kernel->n_in ? op->in[a->buffer].value->def : NULL;
    const xfc_nest *map = xfc_simple_nest(producer);
    uint32_t axis_of[XFC_MAX_RANK];
    if (!producer || !map || !xfc_nest_is_map(op->graph->ctx, map, axis_of)) return NULL;
    if (into->n_body + map->n_body > MAX_BODY || op->kernel->n_buffers + producer->kernel->n_in > MAX_BUFFERS)
        return NULL;
    if (xfc_nest_is_view(map) || converts_cache(producer, map)) return map;
    if (xfc_only_user(&producer->out[0]) != op) return NULL;
    bool once = covers_axes(op->graph->ctx, op->kernel, into, a) ||
                reads_part(op->graph->ctx, op->kernel, into, &producer->out[0].type);
    return once ? map : NULL;
}

static bool inline_one(xfc_nest *n, xfc_draft *d, uint32_t buffer, const xfc_nest *map, const uint32_t *buffers) {
    bool changed = false;
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (n->body[i].op != XFC_S_LOAD || n->body[i].u.access->buffer != buffer) continue;
        if (!xfc_nest_inline(d->e, n, i, map, buffers)) continue;
        changed = true;
        i = (uint32_t)-1; /* the body was renumbered: look again */
    }
    return changed;
}

/* Inlines one producer into all of op's loads of it. NULL: nothing to do. */
static xfc_op *inline_next(xfc_op *op) {
    for (uint32_t s = 0; s < op->kernel->n_steps; s++) {
        if (op->kernel->steps[s].kind != XFC_STEP_NEST) continue;
        const xfc_nest *n = op->kernel->steps[s].u.nest;
        for (uint32_t i = 0; i < n->n_body; i++) {
            if (n->body[i].op != XFC_S_LOAD) continue;
            const xfc_nest *map = worth_inlining(op, n, n->body[i].u.access);
            if (!map || (n->body[i].arg[0] != XFC_NO_ARG && xfc_nest_has_let(map))) continue;
            xfc_value *v = op->in[n->body[i].u.access->buffer].value;
            xfc_draft d = xfc_draft_from(op);
            uint32_t *buffers = xfc_draft_import(&d, v->def), buffer = xfc_draft_find(&d, XFC_BUF_IN, v);
            if (!inline_one(d.k->steps[s].u.nest, &d, buffer, map, buffers)) continue;
            xfc_draft_loc_front(&d, v->def->kernel->fused, v->def->kernel->n_fused);
            d.buffers[xfc_draft_find(&d, XFC_BUF_OUT, v)].kind = XFC_BUF_TEMP; /* not stored by this kernel: dropped */
            xfc_op *made = xfc_draft_commit(&d, op, op->loc), *producer = v->def;
            xfc_op_remove(op);
            if (!producer->out[0].uses) xfc_op_remove(producer);
            return made;
        }
    }
    return NULL;
}

bool xfc_fuse_inline(xfc_graph *g) {
    bool changed = false;
    xfc_foreach_op_safe(op, g) {
        if (op->code != XFC_OP_KERNEL) continue;
        for (xfc_op *made = op; made; made = inline_next(made)) changed |= made != op;
    }
    return changed;
}

/* --- epilogue --- */

/* Every load of `from` in the map is at the element the map itself computes. */
static bool reads_own_element(xfc_ctx *ctx, const xfc_nest *map, uint32_t from, const xfc_type *type) {
    const xfc_access *to = &map->stores[0].to;
    bool any = false;
    for (uint32_t i = 0; i < map->n_body; i++) {
        if (map->body[i].op != XFC_S_LOAD || map->body[i].u.access->buffer != from) continue;
        const xfc_access *a = map->body[i].u.access;
        any = true;
        if (a->rank != to->rank || map->body[i].arg[0] != XFC_NO_ARG) return false;
        for (uint32_t d = 0; d < a->rank; d++)
            if (!xfc_int_same(a->index[d], to->index[d]) && !xfc_int_is(ctx, type->dim[d], 1)) return false;
    }
    return any;
}

static bool same_dims(const xfc_type *a, const xfc_type *b) {
    if (a->rank != b->rank) return false;
    for (uint32_t d = 0; d < a->rank; d++)
        if (!xfc_int_same(a->dim[d], b->dim[d])) return false;
    return true;
}

/* Made block by block: what its last nest stores stands in a temporary of the task. */
static bool has_blocks(const xfc_kernel *k) { return k->n_axes > 0 && k->n_steps > 1; }

/* The map kernel that can move into op's last nest: the only user of its only output. */
static xfc_op *epilogue_of(xfc_op *op) {
    if (op->code != XFC_OP_KERNEL || op->kernel->n_out != 1 || !has_blocks(op->kernel)) return NULL;
    const xfc_step *last = &op->kernel->steps[op->kernel->n_steps - 1];
    if (last->kind != XFC_STEP_NEST || last->u.nest->n_stores != 1) return NULL;
    xfc_op *user = xfc_only_user(&op->out[0]);
    const xfc_nest *map = xfc_simple_nest(user);
    uint32_t axis_of[XFC_MAX_RANK];
    if (!map || !xfc_nest_is_map(op->graph->ctx, map, axis_of) || !same_dims(&user->out[0].type, &op->out[0].type))
        return NULL;
    if (map->n_body + last->u.nest->n_body > MAX_BODY || user->kernel->n_in + op->kernel->n_buffers > MAX_BUFFERS)
        return NULL;
    for (uint32_t i = 0; i < user->n_in; i++)
        if (user->in[i].value == &op->out[0] && !reads_own_element(op->graph->ctx, map, i, &op->out[0].type))
            return NULL;
    return user;
}

static bool append_epilogue(xfc_op *op, xfc_op *user) {
    const xfc_nest *map = xfc_simple_nest(user);
    uint32_t from = 0;
    while (user->in[from].value != &op->out[0]) from++;
    xfc_draft d = xfc_draft_from(op);
    uint32_t *buffers = xfc_draft_import(&d, user);
    d.buffers[xfc_draft_find(&d, XFC_BUF_OUT, &op->out[0])].kind = XFC_BUF_TEMP; /* no longer stored: dropped */
    if (!xfc_nest_append(d.e, d.k->steps[d.k->n_steps - 1].u.nest, 0, map, from, buffers, true)) return false;
    xfc_draft_loc(&d, user->kernel->fused, user->kernel->n_fused);
    xfc_draft_commit(&d, user, op->loc);
    xfc_op_remove(user);
    xfc_op_remove(op);
    return true;
}

bool xfc_fuse_epilogue(xfc_graph *g) {
    bool changed = false;
    for (xfc_op *op = g->first, *next; op; op = next) {
        next = op->next;
        xfc_op *user = epilogue_of(op);
        if (!user) continue;
        xfc_op *behind = next == user ? user->next : next;
        if (!append_epilogue(op, user))
            continue; /* else it stands where user stood: visited again for the next consumer */
        next = behind;
        changed = true;
    }
    return changed;
}

bool xfc_fuse(xfc_pass *p) {
    bool changed = false;
    changed |= xfc_fuse_inline(p->graph);
    while (xfc_fuse_epilogue(p->graph)) changed = true;
    changed |= xfc_fuse_rows(p->graph);
    return changed;
}

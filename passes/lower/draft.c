/* draft.c - see draft.h. Unused inputs and temporaries disappear at commit; an OUT buffer is always kept. */
#include "passes/lower/draft.h"

xfc_draft xfc_draft_new(xfc_graph *g, const char *form) {
    xfc_draft d = {.e = {g->ctx, g->arena}, .graph = g, .k = xfc_new(g->arena, xfc_kernel)};
    d.k->form = form;
    d.k->grain = xfc_int_const(g->ctx, 1);
    return d;
}

uint32_t xfc_draft_find(const xfc_draft *d, xfc_buffer_kind kind, const xfc_value *v) {
    for (uint32_t i = 0; i < d->n_buffers; i++)
        if (d->buffers[i].kind == kind && d->buffers[i].value == v) return i;
    return XFC_NO_ARG;
}

uint32_t xfc_draft_buffer_of(xfc_draft *d, xfc_buffer_kind kind, xfc_value *v, xfc_type type) {
    uint32_t at = v ? xfc_draft_find(d, kind, v) : XFC_NO_ARG;
    if (at != XFC_NO_ARG) return at;
    xfc_push(d->e.arena, d->buffers, d->n_buffers, d->cap_buffers) = (xfc_draft_buffer){kind, type, v};
    return d->n_buffers - 1;
}

uint32_t *xfc_draft_import(xfc_draft *d, const xfc_op *op) {
    const xfc_kernel *k = op->kernel;
    uint32_t *map = xfc_new_array(d->e.arena, uint32_t, k->n_buffers);
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        xfc_value *v = i < k->n_in ? op->in[i].value : i < k->n_in + k->n_out ? &op->out[i - k->n_in] : NULL;
        map[i] = xfc_draft_buffer_of(d, k->buffers[i].kind, v, k->buffers[i].type);
    }
    return map;
}

static void map_tile(xfc_tile *t, const uint32_t *map) {
    t->a.buffer = map[t->a.buffer];
    t->b.buffer = map[t->b.buffer];
    t->c.buffer = map[t->c.buffer];
}

static void map_lets(xfc_edit e, xfc_kernel *k, const uint32_t *map) {
    for (uint32_t i = 0; i < k->n_lets; i++) {
        if (!k->lets[i].load) continue;
        xfc_access a = *k->lets[i].load;
        a.buffer = map[a.buffer];
        k->lets[i].load = xfc_dup_array(e.arena, xfc_access, &a, 1);
    }
}

static void map_steps(xfc_edit e, xfc_kernel *k, const uint32_t *map) {
    for (uint32_t s = 0; s < k->n_steps; s++) {
        if (k->steps[s].kind == XFC_STEP_NEST)
            xfc_nest_map_buffers(e, k->steps[s].u.nest, map);
        else
            map_tile(k->steps[s].u.tile, map);
    }
}

xfc_draft xfc_draft_from(const xfc_op *op) {
    xfc_draft d = {.e = {op->graph->ctx, op->graph->arena}, .graph = op->graph};
    d.k = xfc_kernel_clone(d.e.arena, op->kernel);
    const uint32_t *map = xfc_draft_import(&d, op);
    map_lets(d.e, d.k, map);
    map_steps(d.e, d.k, map);
    xfc_draft_loc(&d, op->kernel->fused, op->kernel->n_fused);
    return d;
}

void xfc_draft_axis(xfc_draft *d, const char *name, xfc_int symbol, xfc_int extent) {
    xfc_push(d->e.arena, d->k->axes, d->k->n_axes, d->k->cap_axes) =
        (xfc_axis){.name = name, .symbol = symbol, .extent = extent, .how = XFC_HOW_THREADS};
}

xfc_int xfc_draft_outer(xfc_draft *d, const char *name, xfc_int extent) {
    xfc_int symbol = xfc_int_axis(d->e.ctx, name, extent);
    xfc_draft_axis(d, name, symbol, extent);
    return symbol;
}

xfc_int xfc_draft_let(xfc_draft *d, const char *name, xfc_int value, xfc_int lo, xfc_int hi) {
    xfc_int symbol = xfc_int_let(d->e.ctx, name, lo, hi);
    xfc_push(d->e.arena, d->k->lets, d->k->n_lets, d->k->cap_lets) = (xfc_let){name, symbol, value, NULL};
    return symbol;
}

xfc_int xfc_draft_let_of(xfc_draft *d, const char *name, xfc_value *v, const xfc_int *index, xfc_int lo, xfc_int hi) {
    xfc_int symbol = xfc_int_let(d->e.ctx, name, lo, hi);
    xfc_access a = {.buffer = xfc_draft_buffer_of(d, XFC_BUF_IN, v, v->type), .rank = v->type.rank};
    for (uint32_t i = 0; i < a.rank; i++) a.index[i] = index[i];
    xfc_push(d->e.arena, d->k->lets, d->k->n_lets, d->k->cap_lets) =
        (xfc_let){name, symbol, XFC_INT_NONE, xfc_dup_array(d->e.arena, xfc_access, &a, 1)};
    return symbol;
}

static void push_step(xfc_draft *d, xfc_step s) {
    xfc_push(d->e.arena, d->k->steps, d->k->n_steps, d->k->cap_steps) = s;
}

void xfc_draft_nest(xfc_draft *d, xfc_nest *n) { push_step(d, (xfc_step){.kind = XFC_STEP_NEST, .u.nest = n}); }

void xfc_draft_tile(xfc_draft *d, xfc_tile t) {
    push_step(d, (xfc_step){.kind = XFC_STEP_TILE, .u.tile = xfc_dup_array(d->e.arena, xfc_tile, &t, 1)});
}

static bool same_loc(const xfc_loc *a, const xfc_loc *b) { return a->node == b->node && a->op == b->op; }

void xfc_draft_loc(xfc_draft *d, const xfc_loc *locs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        bool seen = false;
        for (uint32_t j = 0; j < d->n_locs && !seen; j++) seen = same_loc(&d->locs[j], &locs[i]);
        if (!seen) xfc_push(d->e.arena, d->locs, d->n_locs, d->cap_locs) = locs[i];
    }
}

void xfc_draft_loc_front(xfc_draft *d, const xfc_loc *locs, uint32_t n) {
    const xfc_loc *own = d->locs;
    uint32_t n_own = d->n_locs;
    d->locs = NULL;
    d->n_locs = d->cap_locs = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool later = false;
        for (uint32_t j = 0; j < n_own && !later; j++) later = same_loc(&own[j], &locs[i]);
        if (!later) xfc_draft_loc(d, &locs[i], 1);
    }
    xfc_draft_loc(d, own, n_own);
}

static bool buffer_used(const xfc_kernel *k, uint32_t b) {
    for (uint32_t i = 0; i < k->n_lets; i++)
        if (k->lets[i].load && k->lets[i].load->buffer == b) return true;
    for (uint32_t s = 0; s < k->n_steps; s++) {
        const xfc_step *st = &k->steps[s];
        if (st->kind == XFC_STEP_NEST
                ? xfc_nest_uses_buffer(st->u.nest, b)
                : st->u.tile->a.buffer == b || st->u.tile->b.buffer == b || st->u.tile->c.buffer == b)
            return true;
    }
    return false;
}

xfc_op *xfc_draft_commit(xfc_draft *d, xfc_op *before, xfc_loc loc) {
    xfc_arena *arena = d->e.arena;
    uint32_t *map = xfc_new_array(arena, uint32_t, d->n_buffers), count[3] = {0}, n = 0;
    xfc_value **in = xfc_new_array(arena, xfc_value *, d->n_buffers),
              **out = xfc_new_array(arena, xfc_value *, d->n_buffers);
    xfc_buffer *buffers = xfc_new_array(arena, xfc_buffer, d->n_buffers);
    for (int kind = XFC_BUF_IN; kind <= XFC_BUF_TEMP; kind++) {
        for (uint32_t i = 0; i < d->n_buffers; i++) {
            const xfc_draft_buffer *b = &d->buffers[i];
            if ((int)b->kind != kind || (kind != XFC_BUF_OUT && !buffer_used(d->k, i))) continue;
            if (kind == XFC_BUF_IN) in[count[kind]] = b->value;
            if (kind == XFC_BUF_OUT) out[count[kind]] = b->value;
            count[kind]++;
            map[i] = n;
            buffers[n++] = (xfc_buffer){b->type, b->kind};
        }
    }
    map_lets(d->e, d->k, map);
    map_steps(d->e, d->k, map);
    d->k->buffers = buffers;
    d->k->n_buffers = d->k->cap_buffers = n;
    d->k->n_in = count[XFC_BUF_IN];
    d->k->n_out = count[XFC_BUF_OUT];
    d->k->fused = d->locs;
    d->k->n_fused = d->n_locs;
    xfc_op *op = xfc_op_new(d->graph, before, XFC_OP_KERNEL, in, d->k->n_in, d->k->n_out, NULL, 0, loc);
    op->kernel = d->k;
    for (uint32_t i = 0; i < d->k->n_out; i++) {
        op->out[i].type = buffers[d->k->n_in + i].type;
        if (!out[i]) continue;
        op->out[i].name = out[i]->name;
        xfc_value_replace(out[i], &op->out[i]);
    }
    return op;
}

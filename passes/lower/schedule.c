/* schedule.c - which loops run in parallel, which one becomes vectors, and how much work is worth a dispatch.
 *
 * Parallel axes whose elements lie next to one another are first collapsed, so that [b, s, n] element-wise work is one
 * long axis. Then each nest gets its vector axis: the one along which most accesses are contiguous. A kernel that has
 * no outer axes yet gets all its other parallel axes as tasks; a lone axis is cut into chunks, and so is one that
 * seams.c will split, unless the target has a thread for each element anyway. The grain of a kernel is the number of
 * tasks that amounts to TASK_CYCLES: fewer tasks than that run on the calling thread.
 *
 *   kernel { nest i in b, j in s, k in 384 }
 *   =>  kernel { axis c in ceil(b s 384 / 4096) : threads  nest k in min(4096, ..) : vector }
 *
 * The choice depends on the graph alone, never on the ISA or the number of threads, so results do not either.
 */
#include "passes/lower/schedule.h"
#include "ir/defined.h"
#include "passes/lower/draft.h"
#include "passes/pass.h"

enum { CHUNK = 4096, LEAST_CHUNK = 16, TASK_CYCLES = 20000 };

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_kernel *k;
    const xfc_defined *defined; /* by ops of the graph */
    bool has_vectors;           /* of the target: not one thread an element */
} scheduler;

/* --- collapsing --- */

typedef struct {
    const xfc_nest *nest;
    uint32_t body, store;
} access_iter;

static const xfc_access *next_access(access_iter *it, bool *is_store) {
    while (it->body < it->nest->n_body) {
        const xfc_scalar *s = &it->nest->body[it->body++];
        *is_store = false;
        if (s->op == XFC_S_LOAD) return s->u.access;
    }
    *is_store = true;
    return it->store < it->nest->n_stores ? &it->nest->stores[it->store++].to : NULL;
}

static bool index_value_uses(const scheduler *s, const xfc_nest *n, xfc_int symbol) {
    for (uint32_t i = 0; i < n->n_body; i++)
        if (n->body[i].op == XFC_S_INDEX && xfc_int_uses(s->ctx, n->body[i].u.index, symbol)) return true;
    for (uint32_t a = 0; a < n->n_axes; a++)
        if (xfc_int_uses(s->ctx, n->axes[a].extent, symbol)) return true;
    return false;
}

/* Axis i directly outside axis j of extent e: stepping i once equals stepping j e times, everywhere. */
static bool can_collapse(const scheduler *s, const xfc_nest *n, const xfc_axis *i, const xfc_axis *j) {
    if (i->kind != XFC_AXIS_PARALLEL || j->kind != XFC_AXIS_PARALLEL) return false;
    if (index_value_uses(s, n, i->symbol) || index_value_uses(s, n, j->symbol)) return false;
    access_iter it = {.nest = n};
    bool is_store;
    for (const xfc_access *a; (a = next_access(&it, &is_store));) {
        xfc_int offset = xfc_access_linear(s->ctx, s->k, a), ci, cj, rest;
        if (!xfc_int_linear_in(s->ctx, offset, i->symbol, &ci, &rest)) return false;
        if (!xfc_int_linear_in(s->ctx, rest, j->symbol, &cj, &rest)) return false;
        if (!xfc_int_same(ci, xfc_int_mul(s->ctx, cj, j->extent))) return false;
    }
    return true;
}

static void collapse(scheduler *s, xfc_nest *n) {
    for (uint32_t a = 0; a + 1 < n->n_axes;) {
        xfc_axis *i = &n->axes[a], *j = &n->axes[a + 1];
        if (!can_collapse(s, n, i, j)) {
            a++;
            continue;
        }
        xfc_int extent = xfc_int_mul(s->ctx, i->extent, j->extent), e = j->extent;
        xfc_int r = xfc_int_axis(s->ctx, "i", extent);
        const xfc_int from[2] = {i->symbol, j->symbol},
                      to[2] = {xfc_int_floordiv(s->ctx, r, e), xfc_int_mod(s->ctx, r, e)};
        *i = (xfc_axis){.name = "i", .symbol = r, .extent = extent, .kind = XFC_AXIS_PARALLEL};
        for (uint32_t k = a + 1; k + 1 < n->n_axes; k++) n->axes[k] = n->axes[k + 1];
        n->n_axes--;
        xfc_nest_substitute(s->ctx, s->arena, n, from, to, 2);
        a = a ? a - 1 : 0;
    }
}

/* --- the vector axis --- */

/* Does a let of the nest depend on the axis? Then lanes read different places, one by one. */
static bool let_depends(const scheduler *s, const xfc_nest *n, xfc_int symbol) {
    bool *depends = xfc_new_array(s->arena, bool, n->n_body);
    for (uint32_t i = 0; i < n->n_body; i++) {
        const xfc_scalar *x = &n->body[i];
        for (int a = 0; a < 3; a++)
            if (x->arg[a] != XFC_NO_ARG) depends[i] |= depends[x->arg[a]];
        if (x->op == XFC_S_INDEX) depends[i] |= xfc_int_uses(s->ctx, x->u.index, symbol);
        for (uint32_t d = 0; x->op == XFC_S_LOAD && d < x->u.access->rank; d++)
            depends[i] |= xfc_int_uses(s->ctx, x->u.access->index[d], symbol);
        if (x->op == XFC_S_LET && depends[i]) return true;
    }
    return false;
}

/* Does another store fill the elements between those of this one, whose offsets are two apart? Code stores both as one
 * stretch. */
static bool is_half_of_pair(const scheduler *s, const xfc_nest *n, const xfc_access *a, xfc_int offset) {
    for (uint32_t i = 0; i < n->n_stores; i++) {
        if (n->stores[i].to.buffer != a->buffer) continue;
        xfc_int other = xfc_access_linear(s->ctx, s->k, &n->stores[i].to), apart = xfc_int_sub(s->ctx, other, offset);
        if (xfc_int_is(s->ctx, apart, 1) || xfc_int_is(s->ctx, apart, -1)) return true;
    }
    return false;
}

static int score(const scheduler *s, const xfc_nest *n, const xfc_axis *axis) {
    int64_t extent;
    int sum = 0;
    if (axis->kind == XFC_AXIS_SCAN) return -1;
    if (let_depends(s, n, axis->symbol)) sum -= 3;
    if (xfc_int_value(s->ctx, axis->extent, &extent) && extent < 4) return -1;
    access_iter it = {.nest = n};
    bool is_store;
    for (const xfc_access *a; (a = next_access(&it, &is_store));) {
        xfc_int offset = xfc_access_linear(s->ctx, s->k, a), unit, rest;
        if (!xfc_int_linear_in(s->ctx, offset, axis->symbol, &unit, &rest))
            sum -= 3;
        else if (xfc_int_is(s->ctx, unit, 1) ||
                 (is_store && xfc_int_is(s->ctx, unit, 2) && is_half_of_pair(s, n, a, offset)))
            sum += is_store ? 4 : 3;
        else if (!xfc_int_is(s->ctx, unit, 0))
            sum -= 3;
    }
    return sum;
}

static uint32_t choose_vector(const scheduler *s, xfc_nest *n) {
    uint32_t best = XFC_NO_ARG;
    int best_score = 0;
    for (uint32_t a = 0; a < n->n_axes; a++) {
        int v = score(s, n, &n->axes[a]);
        if (v > 0 && v >= best_score) { /* later axes win ties: they are inner ones */
            best = a;
            best_score = v;
        }
        n->axes[a].how = XFC_HOW_SERIAL;
    }
    if (best != XFC_NO_ARG) n->axes[best].how = XFC_HOW_VECTOR;
    return best;
}

uint32_t xfc_schedule_nest(xfc_edit e, xfc_kernel *k, xfc_nest *n, bool merge) {
    scheduler s = {.ctx = e.ctx, .arena = e.arena, .k = k};
    if (merge) collapse(&s, n);
    return choose_vector(&s, n);
}

/* --- tasks --- */

static void push_outer(scheduler *s, xfc_axis axis) {
    axis.how = XFC_HOW_THREADS;
    xfc_push(s->arena, s->k->axes, s->k->n_axes, s->k->cap_axes) = axis;
}

static void chunk_axis(scheduler *s, xfc_nest *n, uint32_t a, int64_t length) {
    xfc_ctx *ctx = s->ctx;
    xfc_axis *axis = &n->axes[a];
    xfc_int chunk = xfc_int_const(ctx, length), n_chunks = xfc_int_ceildiv(ctx, axis->extent, chunk);
    if (xfc_int_is(ctx, n_chunks, 1) || xfc_int_is(ctx, n_chunks, 0)) return;
    xfc_int c = xfc_int_axis(ctx, "chunk", n_chunks), from = axis->symbol, first = xfc_int_mul(ctx, c, chunk);
    push_outer(s, (xfc_axis){.name = "chunk", .symbol = c, .extent = n_chunks});
    axis->extent = xfc_int_min(ctx, chunk, xfc_int_sub(ctx, axis->extent, first));
    axis->symbol = xfc_int_axis(ctx, axis->name, axis->extent);
    xfc_int to = xfc_int_add(ctx, first, axis->symbol);
    xfc_nest_substitute(ctx, s->arena, n, &from, &to, 1);
}

/* How many indices of an axis make CHUNK elements, if the vector axis stays inside. */
static int64_t chunk_around(const scheduler *s, const xfc_nest *n, uint32_t vector) {
    int64_t inside = 1;
    if (vector != XFC_NO_ARG && !xfc_int_value(s->ctx, n->axes[vector].extent, &inside)) inside = LEAST_CHUNK;
    int64_t length = inside > 0 ? CHUNK / inside : CHUNK;
    return length < LEAST_CHUNK ? LEAST_CHUNK : length;
}

static void choose_tasks(scheduler *s, xfc_nest *n, uint32_t vector) {
    bool lone = true;
    for (uint32_t a = 0; a < n->n_axes; a++)
        if (a != vector && n->axes[a].kind == XFC_AXIS_PARALLEL && !xfc_int_is(s->ctx, n->axes[a].extent, 1))
            lone = false;
    if (lone) {
        if (vector != XFC_NO_ARG && n->axes[vector].kind == XFC_AXIS_PARALLEL) chunk_axis(s, n, vector, CHUNK);
        return;
    }
    uint32_t kept = 0;
    int64_t length = chunk_around(s, n, vector);
    bool *stays = xfc_new_array(s->arena, bool, n->n_axes);
    for (uint32_t a = 0; a < n->n_axes; a++)
        stays[a] = a == vector || n->axes[a].kind != XFC_AXIS_PARALLEL ||
                   (s->has_vectors && xfc_has_seam((xfc_edit){s->ctx, s->arena}, s->k, n, a));
    for (uint32_t a = 0; a < n->n_axes; a++) {
        if (!stays[a])
            push_outer(s, n->axes[a]);
        else if (a != vector && n->axes[a].kind == XFC_AXIS_PARALLEL)
            chunk_axis(s, n, a, length);
    }
    for (uint32_t a = 0; a < n->n_axes; a++)
        if (stays[a]) n->axes[kept++] = n->axes[a];
    n->n_axes = kept;
}

/* --- grain --- */

/* An extent as a number that is known before the run: its upper bound if it varies between tasks. */
static xfc_int known_extent(const scheduler *s, xfc_int e) {
    if (xfc_defined_at_start(s->defined, e)) return e;
    int64_t lo, hi;
    xfc_int_range(s->ctx, e, &lo, &hi);
    return xfc_int_const(s->ctx, hi > CHUNK ? CHUNK : hi < 1 ? 1 : hi);
}

static xfc_int nest_cost(const scheduler *s, const xfc_nest *n) {
    xfc_int points = xfc_int_const(s->ctx, 1);
    bool vector = false;
    for (uint32_t a = 0; a < n->n_axes; a++) {
        points = xfc_int_mul(s->ctx, points, known_extent(s, n->axes[a].extent));
        vector |= n->axes[a].how == XFC_HOW_VECTOR;
    }
    xfc_int work = xfc_int_mulc(s->ctx, points, (int64_t)n->n_body + xfc_nest_work(n));
    return xfc_int_floordiv(s->ctx, work, xfc_int_const(s->ctx, vector ? 16 : 1));
}

static void choose_grain(scheduler *s) {
    xfc_int cost = xfc_int_const(s->ctx, 20);
    for (uint32_t i = 0; i < s->k->n_steps; i++) {
        const xfc_step *st = &s->k->steps[i];
        if (st->kind == XFC_STEP_NEST) {
            cost = xfc_int_add(s->ctx, cost, nest_cost(s, st->u.nest));
            continue;
        }
        xfc_int fma = xfc_int_mul(s->ctx, known_extent(s, st->u.tile->rows), known_extent(s, st->u.tile->columns));
        fma = xfc_int_mul(s->ctx, fma, known_extent(s, st->u.tile->depth));
        cost = xfc_int_add(s->ctx, cost, xfc_int_floordiv(s->ctx, fma, xfc_int_const(s->ctx, 32)));
    }
    xfc_int grain = xfc_int_floordiv(s->ctx, xfc_int_const(s->ctx, TASK_CYCLES), cost);
    xfc_int one = xfc_int_const(s->ctx, 1); /* also for what costs more than 63 bits hold */
    s->k->grain = xfc_int_known(grain) ? xfc_int_max(s->ctx, one, grain) : one;
}

bool xfc_schedule(xfc_pass *p) {
    xfc_foreach_op(op, p->graph) {
        if (op->code != XFC_OP_KERNEL) continue;
        scheduler s = {p->graph->ctx, p->graph->arena, op->kernel, p->defined, p->target->vector_bytes > 0};
        bool alone = s.k->n_axes == 0 && s.k->n_steps == 1;
        for (uint32_t i = 0; i < s.k->n_steps; i++) {
            if (s.k->steps[i].kind != XFC_STEP_NEST) continue;
            xfc_nest *n = s.k->steps[i].u.nest;
            if (alone) collapse(&s, n);
            uint32_t vector = choose_vector(&s, n);
            if (alone) choose_tasks(&s, n, vector);
        }
        choose_grain(&s);
    }
    p->graph->stage = XFC_STAGE_SCHEDULED;
    return true;
}

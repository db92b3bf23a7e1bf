/* loops.c - see loops.h: the analysis of a nest, before a line of it is emitted.
 *
 * Depths, what varies from lane to lane, how many sums stand side by side. It does not emit.
 */
#include "backends/llvm/loops.h"

#include <string.h>

enum { CHEAP_BODY = 12, MAX_SUMS = 8, MAX_LANES = 64 };

typedef xfc_loops loops;

static bool symbol_varies(void *user, xfc_int symbol) {
    const loops *n = user;
    for (uint32_t i = 0; i < n->nest->n_body; i++) {
        const xfc_scalar *s = &n->nest->body[i];
        if (s->op == XFC_S_LET && xfc_int_same(s->u.index, symbol)) return n->varies[i];
    }
    return false;
}

bool xfc_loops_stride(loops *n, xfc_int x, int64_t *stride) {
    *stride = 0;
    if (!xfc_has_lanes(n)) return true;
    if (!xfc_int_known(x)) return false; /* too large for a formula */
    return xfc_int_lane_stride(n->e->ctx, x, xfc_loop_axis(n, n->vector)->symbol, n->e->lanes, symbol_varies, n,
                               stride);
}

static bool int_varies(loops *n, xfc_int x) {
    int64_t stride;
    return !xfc_loops_stride(n, x, &stride) || stride != 0;
}

static uint32_t int_depth(const loops *n, xfc_int x) {
    uint32_t depth = 0;
    for (uint32_t l = 0; l < n->n_loops; l++)
        if (xfc_int_uses(n->e->ctx, x, xfc_loop_axis(n, l)->symbol)) depth = l + 1;
    for (uint32_t i = 0; i < n->nest->n_body; i++) {
        const xfc_scalar *s = &n->nest->body[i];
        if (s->op == XFC_S_LET && n->depth[i] > depth && xfc_int_uses(n->e->ctx, x, s->u.index)) depth = n->depth[i];
    }
    return depth;
}

/* The least depth of something that must not run when the nest is empty. */
static uint32_t safe_depth(loops *n) {
    for (uint32_t l = n->n_loops; l-- > 0;) {
        int64_t lo, hi;
        xfc_int_range(n->e->ctx, xfc_loop_axis(n, l)->extent, &lo, &hi);
        if (lo < 1) return l;
    }
    return 0;
}

static void analyse_access(loops *n, uint32_t i, uint32_t safe) {
    const xfc_access *a = n->nest->body[i].u.access;
    for (uint32_t d = 0; d < a->rank; d++) {
        uint32_t depth = int_depth(n, a->index[d]);
        if (depth > n->depth[i]) n->depth[i] = depth;
        if (int_varies(n, a->index[d])) n->varies[i] = true;
    }
    if (n->depth[i] < safe) n->depth[i] = safe;
    if (n->is_stored[a->buffer]) n->depth[i] = n->n_loops;
}

static void analyse_body(loops *n) {
    uint32_t safe = safe_depth(n);
    for (uint32_t i = 0; i < n->nest->n_body; i++) {
        const xfc_scalar *s = &n->nest->body[i];
        for (uint32_t k = 0; k < 3; k++) {
            if (s->arg[k] == XFC_NO_ARG || (s->op != XFC_S_LOAD && k >= xfc_scalar_arity(s->op)) ||
                (s->op == XFC_S_LOAD && k > 0))
                continue;
            if (n->depth[s->arg[k]] > n->depth[i]) n->depth[i] = n->depth[s->arg[k]];
            if (n->varies[s->arg[k]]) n->varies[i] = true;
        }
        if (s->op == XFC_S_LOAD) analyse_access(n, i, safe);
        if (s->op == XFC_S_LET && n->depth[i] < safe) n->depth[i] = safe;
        if (s->op != XFC_S_INDEX) continue;
        n->depth[i] = int_depth(n, s->u.index);
        n->varies[i] = int_varies(n, s->u.index);
    }
}

/* What runs for every vector is short, so that the latency of the combine would show. */
static bool is_cheap(const loops *n) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->nest->n_body; i++) {
        xfc_scalar_op op = n->nest->body[i].op;
        if (n->depth[i] < n->n_loops) continue;
        if (op == XFC_S_DIV || op == XFC_S_MOD || op == XFC_S_FMOD || op == XFC_S_SQRT || op == XFC_S_LET) return false;
        if (op >= XFC_S_EXP && op <= XFC_S_POW) return false;
        count++;
    }
    return count <= CHEAP_BODY;
}

/* Several vectors a step where one index from data, found for each step of a reduction, then serves more elements: as
 * many as leave registers for their sums. What differs from lane to lane must be the same for more lanes. */
static void choose_wide(loops *n) {
    const bool *narrow = n->varies;
    uint32_t lanes = n->e->lanes, sums = 0;
    int64_t lo, most;
    bool looks_up = false;
    n->wide = 1;
    if (!xfc_has_lanes(n) || n->lanes_reduce || n->n_outer == n->n_loops) return;
    for (uint32_t i = 0; i < n->nest->n_body; i++)
        looks_up |= n->nest->body[i].op == XFC_S_LET && n->depth[i] == n->n_loops && !n->varies[i];
    for (uint32_t i = 0; i < n->nest->n_stores; i++) sums += n->nest->stores[i].combine != XFC_S_COUNT;
    xfc_int_range(n->e->ctx, xfc_loop_axis(n, n->vector)->extent, &lo, &most);
    if (most > MAX_LANES) most = MAX_LANES;
    while (looks_up && 2 * n->wide * sums <= MAX_SUMS && 2 * (int64_t)n->wide * lanes <= most) n->wide *= 2;
    n->varies = xfc_new_array(n->e->arena, bool, n->nest->n_body);
    n->e->lanes = lanes * n->wide;
    analyse_body(n);
    n->e->lanes = lanes;
    if (memcmp(narrow, n->varies, n->nest->n_body * sizeof *narrow) != 0) n->wide = 1;
    memcpy(n->varies, narrow, n->nest->n_body * sizeof *narrow);
}

/* The axis whose lanes become a vector: marked VECTOR, not ordered, and longer than one element. */
static bool makes_vector(const loops *n, const xfc_axis *a) {
    int64_t extent;
    if (a->how != XFC_HOW_VECTOR || a->kind == XFC_AXIS_SCAN || n->e->lanes < 2) return false;
    return !xfc_int_value(n->e->ctx, a->extent, &extent) || extent > 1;
}

static void order_loops(loops *n) {
    const xfc_nest *nest = n->nest;
    const xfc_axis_kind kinds[3] = {XFC_AXIS_PARALLEL, XFC_AXIS_SCAN, XFC_AXIS_REDUCE};
    uint32_t last = nest->n_axes; /* the VECTOR axis */
    n->n_loops = nest->n_axes;
    n->vector = n->n_loops;
    for (uint32_t a = 0; a < nest->n_axes; a++)
        if (makes_vector(n, &nest->axes[a])) last = a;
    uint32_t at = 0;
    for (uint32_t k = 0; k < 3; k++) {
        if (kinds[k] == XFC_AXIS_REDUCE) n->n_outer = at;
        for (uint32_t a = 0; a < nest->n_axes; a++)
            if (nest->axes[a].kind == kinds[k] && a != last) n->order[at++] = a;
        if (last == nest->n_axes || nest->axes[last].kind != kinds[k]) continue;
        n->vector = at;
        n->order[at++] = last;
    }
    n->lanes_reduce = xfc_has_lanes(n) && xfc_loop_axis(n, n->vector)->kind == XFC_AXIS_REDUCE;
}

/* The load that is contiguous along the loop around the VECTOR axis and not along that; n_body if there is none. */
static uint32_t find_turned(loops *n) {
    const xfc_nest *nest = n->nest;
    if (n->vector == 0 || n->vector + 1 != n->n_loops || n->n_outer != n->n_loops) return nest->n_body;
    const xfc_axis *around = xfc_loop_axis(n, n->vector - 1);
    if (around->kind != XFC_AXIS_PARALLEL || (n->first && n->order[n->vector - 1] == 0)) return nest->n_body;
    for (uint32_t i = 0; i < nest->n_body; i++)
        if (nest->body[i].op == XFC_S_LET) return nest->n_body;
    for (uint32_t i = 0; i < nest->n_body; i++) {
        const xfc_scalar *s = &nest->body[i];
        if (s->op != XFC_S_LOAD || s->arg[0] != XFC_NO_ARG || !n->varies[i] || n->is_stored[s->u.access->buffer])
            continue;
        xfc_int offset = xfc_access_linear(n->e->ctx, n->e->kernel, s->u.access), unit, rest;
        int64_t stride;
        if (xfc_dtype_bytes(s->dtype) != 4 || (xfc_loops_stride(n, offset, &stride) && stride == 1)) continue;
        if (xfc_int_linear_in(n->e->ctx, offset, around->symbol, &unit, &rest) && xfc_int_is(n->e->ctx, unit, 1))
            return i;
    }
    return nest->n_body;
}

void xfc_loops_plan(loops *n) {
    xfc_arena *arena = n->e->arena;
    n->order = xfc_new_array(arena, uint32_t, n->nest->n_axes);
    n->depth = xfc_new_array(arena, uint32_t, n->nest->n_body);
    n->varies = xfc_new_array(arena, bool, n->nest->n_body);
    order_loops(n);
    analyse_body(n);
    choose_wide(n);
    n->banks = n->lanes_reduce && is_cheap(n) ? XFC_BANKS : 1;
    n->turned = find_turned(n);
}

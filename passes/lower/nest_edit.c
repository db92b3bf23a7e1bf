/* nest_edit.c - surgery on nests.
 *
 * Bodies are straight-line lists, so every edit is: copy instructions into a new list through a renumbering table,
 * substituting axis symbols by index expressions on the way. Lets get fresh symbols whenever they are copied, so
 * symbols stay unique.
 */
#include "passes/lower/nest_edit.h"

#include <string.h>

bool xfc_nest_is_map(xfc_ctx *ctx, const xfc_nest *n, uint32_t *axis_of) {
    if (n->n_stores != 1 || n->stores[0].combine != XFC_S_COUNT) return false;
    for (uint32_t a = 0; a < n->n_axes; a++)
        if (n->axes[a].kind != XFC_AXIS_PARALLEL) return false;
    uint32_t seen = 0;
    const xfc_access *to = &n->stores[0].to;
    for (uint32_t d = 0; d < to->rank; d++) {
        axis_of[d] = XFC_NO_ARG;
        for (uint32_t a = 0; a < n->n_axes; a++)
            if (xfc_int_same(n->axes[a].symbol, to->index[d])) axis_of[d] = a;
        if (axis_of[d] == XFC_NO_ARG && !xfc_int_is(ctx, to->index[d], 0)) return false;
        for (uint32_t e = 0; e < d; e++)
            if (axis_of[d] != XFC_NO_ARG && axis_of[e] == axis_of[d]) return false;
        seen += axis_of[d] != XFC_NO_ARG;
    }
    return seen == n->n_axes;
}

static bool is_math(xfc_scalar_op op) {
    switch ((int)op) {
#define XFC_SCALAR_MATH_INSTR 0
#define XFC_SCALAR_MATH_MATH 1
#define XFC_SCALAR(id, name, arity, operands, result, lower)                                                           \
    case XFC_S_##id: return XFC_SCALAR_MATH_##lower;
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
    default: return false;
    }
}

static bool moves_only(xfc_scalar_op op) {
    return op == XFC_S_CONST || op == XFC_S_INDEX || op == XFC_S_LOAD || op == XFC_S_LET || op == XFC_S_SELECT;
}

/* Instructions that the stored values are computed from, not those that only decide which element is moved. */
static void mark_values(const xfc_nest *n, uint32_t i, bool *marked) {
    if (i == XFC_NO_ARG || marked[i]) return;
    marked[i] = true;
    const xfc_scalar *s = &n->body[i];
    if (s->op == XFC_S_LOAD || s->op == XFC_S_LET) return;
    for (uint32_t a = s->op == XFC_S_SELECT ? 1 : 0; a < 3; a++) mark_values(n, s->arg[a], marked);
}

bool xfc_nest_is_view(const xfc_nest *n) {
    enum { LIMIT = 256 };
    bool marked[LIMIT] = {false};
    if (n->n_body > LIMIT) return false;
    for (uint32_t s = 0; s < n->n_stores; s++) mark_values(n, n->stores[s].value, marked);
    for (uint32_t i = 0; i < n->n_body; i++)
        if (marked[i] && !moves_only(n->body[i].op)) return false;
    return true;
}

uint32_t xfc_nest_work(const xfc_nest *n) {
    uint32_t work = 0;
    for (uint32_t i = 0; i < n->n_body; i++)
        if (!moves_only(n->body[i].op)) work += is_math(n->body[i].op) ? 12 : 1;
    return work;
}

bool xfc_nest_has_let(const xfc_nest *n) {
    for (uint32_t i = 0; i < n->n_body; i++)
        if (n->body[i].op == XFC_S_LET) return true;
    return false;
}

/* --- copying instructions --- */

typedef struct {
    xfc_edit e;
    xfc_int *from, *to; /* symbol substitution; grows by lets */
    uint32_t n, cap;
    const uint32_t *buffer_map; /* NULL: unchanged */
    bool fresh_lets;
    bool lost; /* an index has become too large to be known (XFC_INT_LOCAL): the copy is worth nothing */
} copier;

static void bind(copier *c, xfc_int from, xfc_int to) {
    uint32_t n = c->n, cap2 = c->cap;
    xfc_push(c->e.arena, c->from, n, cap2) = from;
    n = c->n;
    xfc_push(c->e.arena, c->to, n, c->cap) = to;
    c->n = n;
}

static xfc_int subst(copier *c, xfc_int e) {
    xfc_int r = xfc_int_substitute(c->e.ctx, e, c->from, c->to, c->n);
    c->lost |= xfc_int_known(e) && !xfc_int_known(r);
    return r;
}

static xfc_access copy_access(copier *c, const xfc_access *a) {
    xfc_access r = *a;
    if (c->buffer_map) r.buffer = c->buffer_map[a->buffer];
    for (uint32_t d = 0; d < a->rank; d++) r.index[d] = subst(c, a->index[d]);
    return r;
}

static uint32_t push_body(xfc_arena *arena, xfc_nest *n, xfc_scalar s) {
    xfc_push(arena, n->body, n->n_body, n->cap_body) = s;
    return n->n_body - 1;
}

/* Appends a copy of src (operands renumbered by `place`) to `into`; pred is and-ed to loads unless XFC_NO_ARG. */
static uint32_t copy_scalar(copier *c, xfc_nest *into, const xfc_scalar *src, const uint32_t *place, uint32_t pred) {
    xfc_scalar s = *src;
    for (int a = 0; a < 3; a++)
        if (s.arg[a] != XFC_NO_ARG) s.arg[a] = place[s.arg[a]];
    if (s.op == XFC_S_LOAD) {
        xfc_access access = copy_access(c, s.u.access);
        s.u.access = xfc_dup_array(c->e.arena, xfc_access, &access, 1);
        if (pred != XFC_NO_ARG && s.arg[0] != XFC_NO_ARG)
            s.arg[0] = push_body(c->e.arena, into,
                                 (xfc_scalar){.op = XFC_S_AND, .dtype = XFC_BOOL, .arg = {s.arg[0], pred, XFC_NO_ARG}});
        else if (pred != XFC_NO_ARG)
            s.arg[0] = pred;
    } else if (s.op == XFC_S_INDEX) {
        s.u.index = subst(c, s.u.index);
    } else if (s.op == XFC_S_LET && c->fresh_lets) {
        const xfc_int_info i = *xfc_int_look(c->e.ctx, s.u.index);
        xfc_int sym = xfc_int_let(c->e.ctx, i.name, subst(c, i.lo), subst(c, i.hi));
        bind(c, s.u.index, sym);
        s.u.index = sym;
    }
    return push_body(c->e.arena, into, s);
}

/* --- inlining --- */

static void bind_axes(copier *c, const xfc_nest *map, const xfc_int *index) {
    uint32_t axis_of[XFC_MAX_RANK];
    xfc_assert(xfc_nest_is_map(c->e.ctx, map, axis_of));
    for (uint32_t d = 0; d < map->stores[0].to.rank; d++)
        if (axis_of[d] != XFC_NO_ARG) bind(c, map->axes[axis_of[d]].symbol, index[d]);
}

bool xfc_nest_inline(xfc_edit e, xfc_nest *into, uint32_t load, const xfc_nest *map, const uint32_t *buffer_map) {
    const xfc_scalar at = into->body[load];
    uint32_t pred = at.arg[0];
    if (pred != XFC_NO_ARG && xfc_nest_has_let(map)) return false;
    xfc_nest out = *into;
    out.body = NULL;
    out.n_body = out.cap_body = 0;
    uint32_t *place = xfc_new_array(e.arena, uint32_t, into->n_body),
             *inner = xfc_new_array(e.arena, uint32_t, map->n_body);
    copier keep = {.e = e}, copy = {.e = e, .buffer_map = buffer_map, .fresh_lets = true};
    bind_axes(&copy, map, at.u.access->index);
    for (uint32_t i = 0; i < into->n_body; i++) {
        if (i != load) {
            place[i] = copy_scalar(&keep, &out, &into->body[i], place, XFC_NO_ARG);
            continue;
        }
        for (uint32_t j = 0; j < map->n_body; j++)
            inner[j] = copy_scalar(&copy, &out, &map->body[j], inner, pred == XFC_NO_ARG ? pred : place[pred]);
        place[i] = inner[map->stores[0].value];
        if (pred != XFC_NO_ARG) {
            uint32_t zero = push_body(
                e.arena, &out,
                (xfc_scalar){.op = XFC_S_CONST, .dtype = at.dtype, .arg = {XFC_NO_ARG, XFC_NO_ARG, XFC_NO_ARG}});
            place[i] =
                push_body(e.arena, &out,
                          (xfc_scalar){.op = XFC_S_SELECT, .dtype = at.dtype, .arg = {place[pred], place[i], zero}});
        }
    }
    if (copy.lost) return false;
    out.stores = xfc_dup_array(e.arena, xfc_store, into->stores, into->n_stores);
    out.cap_stores = into->n_stores;
    for (uint32_t s = 0; s < out.n_stores; s++) out.stores[s].value = place[out.stores[s].value];
    *into = out;
    xfc_nest_tidy(e, into);
    return true;
}

bool xfc_nest_append(xfc_edit e, xfc_nest *into, uint32_t store, const xfc_nest *map, uint32_t from,
                     const uint32_t *buffer_map, bool drop) {
    const xfc_store at = into->stores[store];
    if (at.combine != XFC_S_COUNT) return false;
    for (uint32_t i = 0; i < map->n_body; i++)
        if (map->body[i].op == XFC_S_LOAD && map->body[i].u.access->buffer == from && map->body[i].arg[0] != XFC_NO_ARG)
            return false;
    xfc_nest out = *into;
    copier copy = {.e = e, .buffer_map = buffer_map, .fresh_lets = true};
    bind_axes(&copy, map, at.to.index);
    uint32_t *inner = xfc_new_array(e.arena, uint32_t, map->n_body);
    for (uint32_t j = 0; j < map->n_body; j++) {
        const xfc_scalar *s = &map->body[j];
        bool produced = s->op == XFC_S_LOAD && s->u.access->buffer == from;
        inner[j] = produced ? at.value : copy_scalar(&copy, &out, s, inner, XFC_NO_ARG);
    }
    xfc_store added = {
        .value = inner[map->stores[0].value], .to = copy_access(&copy, &map->stores[0].to), .combine = XFC_S_COUNT};
    if (copy.lost) return false;
    *into = out;
    if (drop)
        into->stores[store] = added;
    else
        xfc_push(e.arena, into->stores, into->n_stores, into->cap_stores) = added;
    xfc_nest_tidy(e, into);
    return true;
}

xfc_nest *xfc_nest_copy(xfc_edit e, const xfc_nest *n, const xfc_int *from, const xfc_int *to, uint32_t count) {
    xfc_nest *out = xfc_dup_array(e.arena, xfc_nest, n, 1);
    copier c = {.e = e, .fresh_lets = true};
    uint32_t *place = xfc_new_array(e.arena, uint32_t, n->n_body);
    for (uint32_t i = 0; i < count; i++) bind(&c, from[i], to[i]);
    out->axes = xfc_dup_array(e.arena, xfc_axis, n->axes, n->n_axes);
    out->stores = xfc_dup_array(e.arena, xfc_store, n->stores, n->n_stores);
    out->cap_axes = n->n_axes;
    out->cap_stores = n->n_stores;
    out->body = NULL;
    out->n_body = out->cap_body = 0;
    for (uint32_t i = 0; i < n->n_body; i++) place[i] = copy_scalar(&c, out, &n->body[i], place, XFC_NO_ARG);
    for (uint32_t s = 0; s < n->n_stores; s++) out->stores[s].to = copy_access(&c, &n->stores[s].to);
    return c.lost ? NULL : out;
}

/* --- tidying --- */

static bool same_access(const xfc_access *a, const xfc_access *b) {
    return a->buffer == b->buffer && a->rank == b->rank && memcmp(a->index, b->index, a->rank * sizeof(xfc_int)) == 0;
}

static bool same_scalar(const xfc_scalar *a, const xfc_scalar *b) {
    if (a->op != b->op || a->dtype != b->dtype || a->wrap != b->wrap || memcmp(a->arg, b->arg, sizeof a->arg) != 0)
        return false;
    switch ((int)a->op) {
    case XFC_S_CONST: return memcmp(&a->u.i, &b->u.i, sizeof a->u.i) == 0;
    case XFC_S_INDEX: return xfc_int_same(a->u.index, b->u.index);
    case XFC_S_LOAD: return same_access(a->u.access, b->u.access);
    case XFC_S_LET: {
        return false;
    }
    default: return true;
    }
}

static bool stores_to(const xfc_nest *n, uint32_t buffer) {
    for (uint32_t s = 0; s < n->n_stores; s++)
        if (n->stores[s].to.buffer == buffer) return true;
    return false;
}

static bool index_uses(xfc_ctx *ctx, const xfc_access *a, xfc_int symbol) {
    for (uint32_t d = 0; d < a->rank; d++)
        if (xfc_int_uses(ctx, a->index[d], symbol)) return true;
    return false;
}

/* Marks what stores need; a let is needed when an index or INDEX that is needed uses its symbol. */
static void mark_live(xfc_edit e, const xfc_nest *n, bool *live) {
    for (uint32_t s = 0; s < n->n_stores; s++) live[n->stores[s].value] = true;
    for (uint32_t k = n->n_body; k-- > 0;) {
        const xfc_scalar *s = &n->body[k];
        for (uint32_t u = 0; s->op == XFC_S_LET && !live[k] && u < n->n_stores; u++)
            live[k] = index_uses(e.ctx, &n->stores[u].to, s->u.index);
        for (uint32_t u = k + 1; s->op == XFC_S_LET && !live[k] && u < n->n_body; u++) {
            const xfc_scalar *x = &n->body[u];
            if (!live[u]) continue;
            if (x->op == XFC_S_LOAD)
                live[k] = index_uses(e.ctx, x->u.access, s->u.index);
            else if (x->op == XFC_S_INDEX)
                live[k] = xfc_int_uses(e.ctx, x->u.index, s->u.index);
        }
        for (int a = 0; live[k] && a < 3; a++)
            if (s->arg[a] != XFC_NO_ARG) live[s->arg[a]] = true;
    }
}

/* An earlier let of the same value and range in this body: its symbol can stand for this one's. */
static uint32_t find_let(xfc_edit e, const xfc_nest *out, const xfc_scalar *s) {
    const xfc_int_info i = *xfc_int_look(e.ctx, s->u.index);
    for (uint32_t k = 0; k < out->n_body; k++) {
        const xfc_scalar *x = &out->body[k];
        if (x->op != XFC_S_LET || x->arg[0] != s->arg[0] || x->wrap != s->wrap || x->sure != s->sure) continue;
        const xfc_int_info *j = xfc_int_look(e.ctx, x->u.index);
        if (xfc_int_same(i.lo, j->lo) && xfc_int_same(i.hi, j->hi)) return k;
    }
    return XFC_NO_ARG;
}

void xfc_nest_tidy(xfc_edit e, xfc_nest *n) {
    bool *live = xfc_new_array(e.arena, bool, n->n_body);
    mark_live(e, n, live);
    uint32_t *place = xfc_new_array(e.arena, uint32_t, n->n_body);
    copier c = {.e = e};
    xfc_nest out = *n;
    out.body = NULL;
    out.n_body = out.cap_body = 0;
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (!live[i]) continue;
        uint32_t at = copy_scalar(&c, &out, &n->body[i], place, XFC_NO_ARG), twin = XFC_NO_ARG;
        const xfc_scalar *s = &out.body[at];
        if (s->op == XFC_S_LET) {
            out.n_body--;
            twin = find_let(e, &out, s);
            out.n_body++;
            if (twin != XFC_NO_ARG) bind(&c, s->u.index, out.body[twin].u.index);
        } else if (s->op != XFC_S_LOAD || !stores_to(n, s->u.access->buffer)) {
            for (uint32_t k = 0; k < at && twin == XFC_NO_ARG; k++)
                if (same_scalar(&out.body[k], s)) twin = k;
        }
        if (twin != XFC_NO_ARG) out.n_body--;
        place[i] = twin != XFC_NO_ARG ? twin : at;
    }
    out.stores = xfc_new_array(e.arena, xfc_store, n->n_stores);
    out.cap_stores = n->n_stores;
    for (uint32_t s = 0; s < n->n_stores; s++) {
        out.stores[s] = n->stores[s];
        out.stores[s].value = place[n->stores[s].value];
        out.stores[s].to = copy_access(&c, &n->stores[s].to);
    }
    *n = out;
}

void xfc_nest_map_buffers(xfc_edit e, xfc_nest *n, const uint32_t *buffer_map) {
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (n->body[i].op != XFC_S_LOAD) continue;
        xfc_access a = *n->body[i].u.access;
        a.buffer = buffer_map[a.buffer];
        n->body[i].u.access = xfc_dup_array(e.arena, xfc_access, &a, 1);
    }
    for (uint32_t s = 0; s < n->n_stores; s++) n->stores[s].to.buffer = buffer_map[n->stores[s].to.buffer];
}

void xfc_nest_fix_axis(xfc_edit e, xfc_nest *n, uint32_t axis, xfc_int index) {
    xfc_int symbol = n->axes[axis].symbol;
    memmove(&n->axes[axis], &n->axes[axis + 1], (n->n_axes - axis - 1) * sizeof *n->axes);
    n->n_axes--;
    xfc_nest_substitute(e.ctx, e.arena, n, &symbol, &index, 1);
}

bool xfc_nest_uses_buffer(const xfc_nest *n, uint32_t buffer) {
    for (uint32_t i = 0; i < n->n_body; i++)
        if (n->body[i].op == XFC_S_LOAD && n->body[i].u.access->buffer == buffer) return true;
    return stores_to(n, buffer);
}

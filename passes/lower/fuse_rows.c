/* fuse_rows.c - kernels over the same rows become one kernel a row at a time.
 *
 * A group starts at a reduction over the innermost elements of a row (norms, softmax) and grows along uses and
 * definitions by kernels whose leading result dims are the same rows and that read other members only inside their own
 * row. Rows become outer axes; what only members read becomes a temporary of one row.
 *
 *   %m = kernel { m[i] += x[i, j] }, %y = kernel { y[i, j] = x[i, j] - m[i] / n }
 *   => %y = kernel "rows" { axis i  temp m  nest j { m += x[i, j] }  nest j { y[i, j] = x[i, j] - m / n } }
 *
 * The merged kernel stands where its last member stood, so every user outside must come after that: checked for each
 * addition.
 */
#include "passes/lower/fuse.h"

#include <string.h>

enum { MAX_MEMBERS = 32, MIN_ROW = 8 }; /* a shorter row (the window of a pool) is no vector: rows are, then */

typedef struct {
    xfc_graph *g;
    xfc_ctx *ctx;
    uint32_t rank; /* number of row axes */
    xfc_int extent[XFC_MAX_RANK];
    xfc_op *member[MAX_MEMBERS]; /* in graph order */
    uint32_t n;
} group;

static bool is_member(const group *gr, const xfc_op *op) {
    for (uint32_t i = 0; i < gr->n; i++)
        if (gr->member[i] == op) return true;
    return false;
}

static uint32_t axis_at(const xfc_nest *n, xfc_int index) {
    for (uint32_t a = 0; a < n->n_axes; a++)
        if (n->axes[a].kind == XFC_AXIS_PARALLEL && xfc_int_same(n->axes[a].symbol, index)) return a;
    return XFC_NO_ARG;
}

/* The leading `rank` result dims are distinct parallel axes of these extents. */
static bool has_rows(const group *gr, const xfc_op *op) {
    const xfc_nest *n = xfc_simple_nest(op);
    if (!n || n->n_stores != 1 || n->stores[0].to.rank < gr->rank) return false;
    for (uint32_t d = 0; d < gr->rank; d++) {
        uint32_t a = axis_at(n, n->stores[0].to.index[d]);
        if (a == XFC_NO_ARG || !xfc_int_same(n->axes[a].extent, gr->extent[d])) return false;
        for (uint32_t e = d + 1; e < n->stores[0].to.rank; e++)
            if (xfc_int_uses(gr->ctx, n->stores[0].to.index[e], n->axes[a].symbol)) return false;
    }
    for (uint32_t a = 0; a < n->n_axes; a++)
        if (n->axes[a].kind == XFC_AXIS_SCAN) return false;
    return true;
}

/* Every load of `producer`'s result by `user` stays in the user's own row. */
static bool reads_own_row(const group *gr, const xfc_op *user, const xfc_op *producer) {
    const xfc_nest *n = xfc_simple_nest(user);
    for (uint32_t i = 0; i < n->n_body; i++) {
        const xfc_scalar *s = &n->body[i];
        if (s->op != XFC_S_LOAD || s->u.access->buffer >= user->n_in) continue;
        if (user->in[s->u.access->buffer].value->def != producer) continue;
        for (uint32_t d = 0; d < gr->rank; d++)
            if (!xfc_int_same(s->u.access->index[d], n->stores[0].to.index[d]) &&
                !xfc_int_is(gr->ctx, gr->extent[d], 1))
                return false;
    }
    return true;
}

static bool edges_ok(const group *gr, const xfc_op *op) {
    for (uint32_t i = 0; i < gr->n; i++)
        if (!reads_own_row(gr, gr->member[i], op) || !reads_own_row(gr, op, gr->member[i])) return false;
    return true;
}

static bool order_ok(const group *gr) {
    uint32_t last = gr->member[gr->n - 1]->mark;
    for (uint32_t i = 0; i < gr->n; i++)
        xfc_foreach_use(u, &gr->member[i]->out[0])
            if (u->user->mark <= last && !is_member(gr, u->user)) return false;
    return true;
}

static bool try_add(group *gr, xfc_op *op) {
    if (!op || gr->n == MAX_MEMBERS || is_member(gr, op) || !has_rows(gr, op) || !edges_ok(gr, op)) return false;
    uint32_t at = gr->n;
    while (at > 0 && gr->member[at - 1]->mark > op->mark) at--;
    memmove(&gr->member[at + 1], &gr->member[at], (gr->n - at) * sizeof *gr->member);
    gr->member[at] = op;
    gr->n++;
    if (order_ok(gr)) return true;
    memmove(&gr->member[at], &gr->member[at + 1], (gr->n - at - 1) * sizeof *gr->member);
    gr->n--;
    return false;
}

static void grow(group *gr) {
    for (uint32_t i = 0; i < gr->n; i++) {
        xfc_op *op = gr->member[i];
        bool added = false;
        for (uint32_t k = 0; k < op->n_in && !added; k++) added = try_add(gr, op->in[k].value->def);
        for (xfc_use *u = op->out[0].uses; u && !added; u = u->next) added = try_add(gr, u->user);
        if (added) i = (uint32_t)-1; /* start over: a new member may allow others */
    }
}

/* A reduction whose last reduce axis runs over neighbouring elements, its rows being all its parallel axes. */
static bool start(group *gr, xfc_op *op) {
    const xfc_nest *n = xfc_simple_nest(op);
    if (!n || n->n_stores != 1 || n->stores[0].combine == XFC_S_COUNT || n->n_axes == 0) return false;
    const xfc_axis *inner = &n->axes[n->n_axes - 1];
    int64_t extent;
    if (inner->kind != XFC_AXIS_REDUCE) return false;
    if (xfc_int_value(gr->ctx, inner->extent, &extent) && extent < MIN_ROW) return false;
    gr->rank = 0;
    for (uint32_t a = 0; a < n->n_axes; a++) {
        if (n->axes[a].kind != XFC_AXIS_PARALLEL || xfc_int_is(gr->ctx, n->axes[a].extent, 1)) continue;
        gr->rank++;
    }
    const xfc_access *to = &n->stores[0].to;
    if (gr->rank == 0 || gr->rank > to->rank) return false;
    /* dims of extent 1 may stand among the leading ones: take as many dims as needed to name every parallel axis */
    uint32_t named = 0, d = 0;
    for (; d < to->rank && named < gr->rank; d++) {
        uint32_t a = axis_at(n, to->index[d]);
        if (a == XFC_NO_ARG) return false;
        gr->extent[d] = n->axes[a].extent;
        named += !xfc_int_is(gr->ctx, n->axes[a].extent, 1);
    }
    gr->rank = d;
    bool neighbours = false;
    for (uint32_t i = 0; i < n->n_body && !neighbours; i++) {
        xfc_int unit, rest;
        if (n->body[i].op != XFC_S_LOAD) continue;
        xfc_int offset = xfc_access_linear(gr->ctx, op->kernel, n->body[i].u.access);
        neighbours = xfc_int_linear_in(gr->ctx, offset, inner->symbol, &unit, &rest) && xfc_int_is(gr->ctx, unit, 1);
    }
    gr->member[0] = op;
    gr->n = 1;
    return neighbours && named > 0 && has_rows(gr, op);
}

/* --- building the merged kernel --- */

typedef struct {
    bool inside, outside;
    uint32_t temp;
} place; /* where a member's result is read, and its temporary */

static place place_of(group *gr, xfc_draft *d, xfc_op *op) {
    place p = {0};
    xfc_foreach_use(u, &op->out[0]) {
        if (is_member(gr, u->user))
            p.inside = true;
        else
            p.outside = true;
    }
    p.outside |= !p.inside;
    if (p.inside) {
        const xfc_type *t = &op->out[0].type;
        xfc_type row = xfc_type_make(t->dtype, t->rank - gr->rank, t->dim + gr->rank);
        p.temp = xfc_draft_buffer_of(d, XFC_BUF_TEMP, NULL, row);
    }
    return p;
}

static xfc_access in_row(const group *gr, const xfc_access *a, uint32_t temp) {
    xfc_access r = {.buffer = temp, .rank = a->rank - gr->rank};
    memcpy(r.index, a->index + gr->rank, r.rank * sizeof(xfc_int));
    return r;
}

static uint32_t member_index(const group *gr, const xfc_op *op) {
    for (uint32_t i = 0; i < gr->n; i++)
        if (gr->member[i] == op) return i;
    return XFC_NO_ARG;
}

static void rewrite_nest(group *gr, xfc_draft *d, xfc_op *op, xfc_nest *n, const place *places, const place *own) {
    uint32_t *map = xfc_new_array(d->e.arena, uint32_t, op->n_in + 1u);
    for (uint32_t i = 0; i < op->n_in; i++)
        if (!is_member(gr, op->in[i].value->def))
            map[i] = xfc_draft_buffer_of(d, XFC_BUF_IN, op->in[i].value, op->in[i].value->type);
    for (uint32_t i = 0; i < n->n_body; i++) {
        if (n->body[i].op != XFC_S_LOAD) continue;
        xfc_access a = *n->body[i].u.access;
        uint32_t m = member_index(gr, op->in[a.buffer].value->def);
        if (m == XFC_NO_ARG)
            a.buffer = map[a.buffer];
        else
            a = in_row(gr, &a, places[m].temp);
        n->body[i].u.access = xfc_dup_array(d->e.arena, xfc_access, &a, 1);
    }
    xfc_store s = n->stores[0];
    if (own->outside) n->stores[0].to.buffer = xfc_draft_buffer_of(d, XFC_BUF_OUT, &op->out[0], op->out[0].type);
    if (own->inside) {
        s.to = in_row(gr, &s.to, own->temp);
        if (own->outside)
            xfc_push(d->e.arena, n->stores, n->n_stores, n->cap_stores) = s;
        else
            n->stores[0] = s;
    }
}

static void build(group *gr) {
    xfc_op *last = gr->member[gr->n - 1];
    xfc_draft d = xfc_draft_new(gr->g, "rows");
    xfc_int row[XFC_MAX_RANK];
    for (uint32_t a = 0; a < gr->rank; a++) {
        row[a] = xfc_int_axis(gr->ctx, "r", gr->extent[a]);
        xfc_draft_axis(&d, "r", row[a], gr->extent[a]);
    }
    place places[MAX_MEMBERS];
    for (uint32_t i = 0; i < gr->n; i++) places[i] = place_of(gr, &d, gr->member[i]);
    for (uint32_t i = 0; i < gr->n; i++) {
        xfc_op *op = gr->member[i];
        xfc_nest *n = xfc_nest_clone(d.e.arena, xfc_simple_nest(op));
        for (uint32_t a = 0; a < gr->rank; a++) xfc_nest_fix_axis(d.e, n, axis_at(n, n->stores[0].to.index[a]), row[a]);
        rewrite_nest(gr, &d, op, n, places, &places[i]);
        xfc_draft_nest(&d, n);
        xfc_draft_loc(&d, op->kernel->fused, op->kernel->n_fused);
    }
    xfc_draft_commit(&d, last, last->loc);
    for (uint32_t i = gr->n; i-- > 0;) xfc_op_remove(gr->member[i]);
}

bool xfc_fuse_rows(xfc_graph *g) {
    bool changed = false, found = true;
    while (found) {
        found = false;
        uint32_t order = 0;
        xfc_foreach_op(op, g) op->mark = order++;
        xfc_foreach_op(op, g) {
            group gr = {.g = g, .ctx = g->ctx};
            if (!start(&gr, op)) continue;
            grow(&gr);
            if (gr.n < 2) continue;
            build(&gr);
            changed = found = true;
            break; /* the list and its numbering changed */
        }
    }
    return changed;
}

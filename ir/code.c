/* code.c - see code.h.
 *
 * Three steps, on a copy. Operands are taken as rows of elements, so that shapes which lie alike in memory are one; outer
 * axes that then only occur as the one number that counts both become one. Two sizes that occur only multiplied by each
 * other are one number. And every symbol is replaced by one that all kernels share whose symbol at that position has the same
 * range, so that equal kernels consist of the same expressions, whatever was made before them. Of a size that a step
 * hands over nothing but its range in numbers is kept: what else follows from sizes has been put into the kernel by the
 * passes.
 *
 * A kernel's tasks stay what they are, in the same order; the grain, which is for who starts it, is not looked at.
 */
#include "ir/code.h"
#include "ir/defined.h"

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_kernel *k;
    xfc_int *from, *to; /* of the substitution that is being collected */
    uint32_t n, cap_from, cap_to;
    xfc_int *zero; /* symbols of axes that had one element: ranges may still name them */
    uint32_t n_zero, cap_zero;
} coder;

/* --- rewriting --- */

static void replace(const coder *c, xfc_int *e) { *e = xfc_int_substitute(c->ctx, *e, c->from, c->to, c->n); }

static void replace_access(const coder *c, xfc_access *a) {
    for (uint32_t d = 0; d < a->rank; d++) replace(c, &a->index[d]);
}

static void replace_tile(const coder *c, xfc_tile *t) {
    xfc_int *const size[] = {&t->a_row, &t->c_row, &t->rows, &t->depth, &t->columns, &t->apart};
    replace_access(c, &t->a);
    replace_access(c, &t->b);
    replace_access(c, &t->c);
    for (size_t i = 0; i < XFC_COUNT(size); i++) replace(c, size[i]);
}

static void replace_nest(const coder *c, xfc_nest *n) {
    xfc_nest_substitute(c->ctx, c->arena, n, c->from, c->to, c->n);
    for (uint32_t i = 0; i < n->n_axes; i++) replace(c, &n->axes[i].symbol);
    for (uint32_t i = 0; i < n->n_body; i++)
        if (n->body[i].op == XFC_S_LET) replace(c, &n->body[i].u.index);
}

/* Everywhere, also what makes a symbol. Forgets the substitution. */
static void replace_all(coder *c) {
    xfc_kernel *k = c->k;
    for (uint32_t i = 0; i < k->n_buffers; i++)
        for (uint32_t d = 0; d < k->buffers[i].type.rank; d++) replace(c, &k->buffers[i].type.dim[d]);
    for (uint32_t i = 0; i < k->n_axes; i++) {
        replace(c, &k->axes[i].symbol);
        replace(c, &k->axes[i].extent);
    }
    for (uint32_t i = 0; i < k->n_lets; i++) {
        xfc_let *l = &k->lets[i];
        replace(c, &l->symbol);
        replace(c, &l->value);
        if (!l->load) continue;
        xfc_access a = *l->load;
        replace_access(c, &a);
        l->load = xfc_dup_array(c->arena, xfc_access, &a, 1);
    }
    for (uint32_t i = 0; i < k->n_steps; i++) {
        if (k->steps[i].kind == XFC_STEP_NEST)
            replace_nest(c, k->steps[i].u.nest);
        else
            replace_tile(c, k->steps[i].u.tile);
    }
    c->n = c->cap_from = c->cap_to = 0;
    c->from = c->to = NULL;
}

static void put(coder *c, xfc_int from, xfc_int to) {
    uint32_t n = c->n;
    xfc_push(c->arena, c->to, n, c->cap_to) = to;
    xfc_push(c->arena, c->from, c->n, c->cap_from) = from;
}

/* --- operands as rows of elements --- */

typedef struct {
    const coder *c;
    bool *flat; /* by buffer */
} flattening;
typedef void visit_access(flattening *, xfc_access *);

static void each_access(flattening *f, visit_access *visit) {
    xfc_kernel *k = f->c->k;
    for (uint32_t i = 0; i < k->n_lets; i++) {
        if (!k->lets[i].load) continue;
        xfc_access a = *k->lets[i].load;
        visit(f, &a);
        k->lets[i].load = xfc_dup_array(f->c->arena, xfc_access, &a, 1);
    }
    for (uint32_t i = 0; i < k->n_steps; i++) {
        if (k->steps[i].kind == XFC_STEP_TILE) {
            visit(f, &k->steps[i].u.tile->a);
            visit(f, &k->steps[i].u.tile->b);
            continue;
        }
        xfc_nest *n = k->steps[i].u.nest;
        for (uint32_t s = 0; s < n->n_body; s++) {
            if (n->body[s].op != XFC_S_LOAD) continue;
            xfc_access a = *n->body[s].u.access;
            visit(f, &a);
            n->body[s].u.access = xfc_dup_array(f->c->arena, xfc_access, &a, 1);
        }
        for (uint32_t s = 0; s < n->n_stores; s++) visit(f, &n->stores[s].to);
    }
}

static void find_unknown(flattening *f, xfc_access *a) {
    if (!xfc_int_known(xfc_access_linear(f->c->ctx, f->c->k, a))) f->flat[a->buffer] = false;
}

static void make_flat(flattening *f, xfc_access *a) {
    if (!f->flat[a->buffer]) return;
    a->index[0] = xfc_access_linear(f->c->ctx, f->c->k, a);
    a->rank = 1;
}

/* Not temporaries, whose rows tell which nest may follow which tile. An empty operand's accesses lead nowhere, and would
 * lose what they depend on. */
static void flatten(const coder *c) {
    xfc_kernel *k = c->k;
    const uint32_t n = k->n_in + k->n_out;
    flattening f = {c, xfc_new_array(c->arena, bool, k->n_buffers)};
    xfc_int *count = xfc_new_array(c->arena, xfc_int, n);
    for (uint32_t i = 0; i < n; i++) {
        count[i] = xfc_type_count(c->ctx, &k->buffers[i].type);
        f.flat[i] = xfc_int_known(count[i]) && !xfc_int_is(c->ctx, count[i], 0);
    }
    each_access(&f, find_unknown);
    each_access(&f, make_flat);
    for (uint32_t i = 0; i < n; i++) {
        if (!f.flat[i]) continue;
        k->buffers[i].type.rank = 1;
        k->buffers[i].type.dim[0] = count[i];
    }
}

/* --- symbols --- */

/* Calls visit with the symbols that the kernel makes, in order. */
static void own_symbols(const xfc_kernel *k, xfc_int_visit *visit, void *user) {
    for (uint32_t i = 0; i < k->n_axes; i++) visit(user, k->axes[i].symbol);
    for (uint32_t i = 0; i < k->n_lets; i++) visit(user, k->lets[i].symbol);
    for (uint32_t i = 0; i < k->n_steps; i++) {
        const xfc_nest *n = k->steps[i].kind == XFC_STEP_NEST ? k->steps[i].u.nest : NULL;
        for (uint32_t j = 0; n && j < n->n_axes; j++) visit(user, n->axes[j].symbol);
        for (uint32_t j = 0; n && j < n->n_body; j++)
            if (n->body[j].op == XFC_S_LET) visit(user, n->body[j].u.index);
    }
}

typedef struct {
    const coder *c;
    xfc_map seen; /* expression id -> 1 */
    xfc_int *symbol;
    uint32_t n, cap;
    xfc_int a, b; /* sizes of which it is asked whether they are only multiplied */
    bool apart;   /* no, they are not */
} walk;

static void visit_int(void *user, xfc_int e);

static void visit_term(walk *w, const xfc_int_term *t) {
    uint32_t a = 0, b = 0;
    for (uint32_t j = 0; j < t->n; j++) {
        a += xfc_int_same(t->atom[j], w->a);
        b += xfc_int_same(t->atom[j], w->b);
    }
    w->apart |= a != b;
    for (uint32_t j = 0; j < t->n; j++)
        if (!xfc_int_same(t->atom[j], w->a) && !xfc_int_same(t->atom[j], w->b)) visit_int(w, t->atom[j]);
}

static void visit_int(void *user, xfc_int e) {
    walk *w = user;
    if (!xfc_int_known(e) || xfc_map_find(&w->seen, e.id, NULL)) return;
    xfc_map_set(&w->seen, e.id, 1);
    const xfc_int_info i = *xfc_int_look(w->c->ctx, e);
    if (i.kind == XFC_INT_CONST) return;
    if (i.kind == XFC_INT_SYMBOL) {
        w->apart |= xfc_int_same(e, w->a) || xfc_int_same(e, w->b);
        xfc_push(w->c->arena, w->symbol, w->n, w->cap) = e;
        return;
    }
    for (uint32_t k = 0; k < i.n_terms && i.kind == XFC_INT_SUM; k++) visit_term(w, &i.term[k]);
    if (i.kind == XFC_INT_SUM) return;
    visit_int(w, i.a);
    visit_int(w, i.b);
}

static void visit_range(void *user, xfc_int symbol) {
    const walk *w = user;
    const xfc_int_info i = *xfc_int_look(w->c->ctx, symbol);
    if (i.kind != XFC_INT_SYMBOL) return;
    visit_int(user, i.lo);
    visit_int(user, i.hi);
}

static void skip(void *user, xfc_int symbol) {
    walk *w = user;
    if (xfc_int_look(w->c->ctx, symbol)->kind == XFC_INT_SYMBOL) xfc_map_set(&w->seen, symbol.id, 1);
}

/* All that the kernel mentions and does not make. */
static walk walk_kernel(const coder *c, xfc_int a, xfc_int b) {
    walk w = {.c = c, .seen = {.arena = c->arena}, .a = a, .b = b};
    for (uint32_t i = 0; i < c->n_zero; i++) skip(&w, c->zero[i]);
    own_symbols(c->k, skip, &w);
    xfc_kernel_ints(c->k, visit_int, &w);
    own_symbols(c->k, visit_range, &w);
    return w;
}

/* --- outer axes --- */

static void drop_axis(xfc_kernel *k, uint32_t at) {
    k->n_axes--;
    for (uint32_t i = at; i < k->n_axes; i++) k->axes[i] = k->axes[i + 1];
}

/* Is a symbol mentioned that no axis makes any more? */
static bool mentions(const coder *c, const xfc_int *symbol) {
    const walk w = walk_kernel(c, XFC_INT_NONE, XFC_INT_NONE);
    for (uint32_t i = 0; i < w.n; i++)
        if (xfc_int_same(w.symbol[i], symbol[0]) || xfc_int_same(w.symbol[i], symbol[1])) return true;
    return false;
}

/* Axes `at` and the one behind it as one, if they occur only together. */
static bool join(coder *c, uint32_t at) {
    const xfc_axis outer = c->k->axes[at], inner = c->k->axes[at + 1];
    const xfc_int gone[] = {outer.symbol, inner.symbol}, extent = xfc_int_mul(c->ctx, outer.extent, inner.extent);
    if (!xfc_int_known(extent)) return false;
    xfc_kernel *before = c->k;
    c->k = xfc_kernel_clone(c->arena, before);
    const xfc_int both = xfc_int_axis(c->ctx, outer.name, extent);
    c->k->axes[at + 1].symbol = both;
    c->k->axes[at + 1].extent = extent;
    drop_axis(c->k, at);
    put(c, inner.symbol, xfc_int_sub(c->ctx, both, xfc_int_mul(c->ctx, outer.symbol, inner.extent)));
    replace_all(c);
    if (!mentions(c, gone)) return true;
    c->k = before;
    return false;
}

static void put_zeros(coder *c) {
    for (uint32_t i = 0; i < c->n_zero; i++) put(c, c->zero[i], xfc_int_const(c->ctx, 0));
}

static void join_axes(coder *c) {
    xfc_kernel *k = c->k;
    for (uint32_t i = k->n_axes; i-- > 0;) {
        const xfc_int symbol = k->axes[i].symbol;
        if (!xfc_int_is(c->ctx, k->axes[i].extent, 1)) continue;
        if (xfc_int_look(c->ctx, symbol)->kind == XFC_INT_SYMBOL)
            xfc_push(c->arena, c->zero, c->n_zero, c->cap_zero) = symbol;
        drop_axis(k, i);
    }
    put_zeros(c);
    replace_all(c);
    for (uint32_t i = k->n_axes; i-- > 1;) (void)join(c, i - 1);
}

/* --- shared symbols --- */

static xfc_int fresh(xfc_ctx *ctx, xfc_sym_kind kind, const char *name, xfc_int lo, xfc_int hi) {
    if (kind == XFC_SYM_AXIS) return xfc_int_axis(ctx, name, xfc_int_addc(ctx, hi, 1));
    if (kind == XFC_SYM_LET) return xfc_int_let(ctx, name, lo, hi);
    int64_t range[2];
    bool numbers = xfc_int_value(ctx, lo, &range[0]) && xfc_int_value(ctx, hi, &range[1]);
    xfc_assert(kind == XFC_SYM_DIM && numbers);
    return xfc_int_unnamed(ctx, name, range[0], range[1]);
}

/* The one at that position. */
static xfc_int known_symbol(xfc_coder *all, uint32_t position, const xfc_int_info *like) {
    const uint32_t key[] = {position, (uint32_t)like->sym, like->lo.id, like->hi.id};
    uint64_t hash = xfc_hash(key, sizeof key, 0), found;
    for (; xfc_map_find(&all->known, hash, &found); hash++) {
        const xfc_int symbol = {(uint32_t)found};
        const xfc_int_info i = *xfc_int_look(all->ctx, symbol);
        bool same = i.sym == like->sym && xfc_int_same(i.lo, like->lo) && xfc_int_same(i.hi, like->hi);
        if (same && found >> 32 == position) return symbol;
    }
    const xfc_int symbol = fresh(all->ctx, like->sym, like->name, like->lo, like->hi);
    xfc_map_set(&all->known, hash, (uint64_t)position << 32 | symbol.id);
    return symbol;
}

/* Beyond what 32 bits hold, one product of dims is as large as another. */
static int64_t rounded(int64_t hi) {
    const int64_t square = XFC_DIM_MAX * XFC_DIM_MAX;
    return hi <= (int64_t)UINT32_MAX ? hi : hi <= square ? square : INT64_MAX;
}

typedef struct {
    coder *c;
    xfc_coder *all;
    uint32_t position;
} sharing;

static void share_own(void *user, xfc_int symbol) {
    sharing *s = user;
    coder *c = s->c;
    xfc_int_info i = *xfc_int_look(c->ctx, symbol);
    if (i.kind != XFC_INT_SYMBOL) return;
    replace(c, &i.lo);
    replace(c, &i.hi);
    put(c, symbol, known_symbol(s->all, s->position++, &i));
}

/* Are two sizes of a kernel only ever multiplied with each other? Those that are formulas are left alone: how they are
 * made is known of them. */
static bool multiplied(const coder *c, xfc_int a, xfc_int b) {
    return !xfc_int_is_size(c->ctx, a) && !xfc_int_is_size(c->ctx, b) && !walk_kernel(c, a, b).apart;
}

/* The one that a kernel gets for a size of its graph. */
static xfc_int given(sharing *s, xfc_int value) {
    xfc_ctx *ctx = s->c->ctx;
    int64_t lo, hi;
    if (xfc_int_is_size(ctx, value)) return value;
    xfc_int_range(ctx, value, &lo, &hi);
    const xfc_int_info like = {
        .sym = XFC_SYM_DIM, .name = "n", .lo = xfc_int_const(ctx, lo), .hi = xfc_int_const(ctx, rounded(hi))};
    return known_symbol(s->all, s->position++, &like);
}

/* Each pair is looked for in all of the kernel: of many sizes, as those of all parts of a concat, none is. */
enum { MOST_PAIRED = 8 };

/* What the kernel is given: products of sizes that are only multiplied, and the other sizes. */
static void share_sizes(sharing *s, xfc_code *code) {
    coder *c = s->c;
    walk w = walk_kernel(c, XFC_INT_NONE, XFC_INT_NONE);
    code->symbol = xfc_new_array(c->arena, xfc_int, w.n);
    code->value = xfc_new_array(c->arena, xfc_int, w.n);
    for (uint32_t i = 0; i < w.n; i++) {
        if (!xfc_int_known(w.symbol[i])) continue; /* it is in a product */
        xfc_int value = w.symbol[i];
        for (uint32_t j = i + 1; j < w.n && w.n <= MOST_PAIRED; j++) {
            if (!xfc_int_known(w.symbol[j]) || !multiplied(c, w.symbol[i], w.symbol[j])) continue;
            value = xfc_int_mul(c->ctx, value, w.symbol[j]);
            put(c, w.symbol[j], xfc_int_const(c->ctx, 1));
            w.symbol[j] = XFC_INT_NONE;
        }
        const uint32_t at = code->n_symbols++;
        code->value[at] = value;
        code->symbol[at] = given(s, value);
        put(c, w.symbol[i], code->symbol[at]);
    }
}

xfc_code xfc_code_of(xfc_coder *all, const xfc_kernel *k, xfc_arena *arena) {
    coder c = {.ctx = all->ctx, .arena = arena, .k = xfc_kernel_clone(arena, k)};
    sharing s = {&c, all, 0};
    xfc_code code = {0};
    c.k->grain = XFC_INT_NONE;
    flatten(&c);
    join_axes(&c);
    put_zeros(&c);
    share_sizes(&s, &code);
    own_symbols(c.k, share_own, &s);
    replace_all(&c);
    code.kernel = c.k;
    return code;
}

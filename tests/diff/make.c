/* make.c - see diff.h: random ops on random operands.
 *
 * Every op is right by construction: a size that must be equal to another is the same symbolic integer, or the
 * symbol's twin, which has the same extent in every round. Broadcasting meets static 1, and the symbol's partner,
 * which is 1 in some rounds: what broadcasts is then decided at run time. Operands are new inputs, constants, views
 * of inputs, or values that are there.
 */
#include "ir/verify.h"
#include "tests/diff/diff.h"
#include <math.h>

enum { LIMIT = 6000, MACS = 150000 }; /* elements of a value, multiplications of a product */

/* --- sizes --- */

typedef struct {
    const maker *m;
    uint32_t round;
} lookup_state;
static bool lookup(void *user, uint32_t id, int64_t *out) {
    const lookup_state *s = user;
    for (uint32_t i = 0; i < s->m->n_symbols; i++)
        if (s->m->symbol[i].symbol.id == id) return *out = s->m->symbol[i].extent[s->round], true;
    return false;
}

int64_t maker_extent(const maker *m, xfc_int x, uint32_t round) {
    lookup_state s = {m, round};
    int64_t v = 0;
    if (!xfc_int_evaluate(m->ctx, x, lookup, &s, &v)) abort();
    return v;
}

static int64_t most(const maker *m, uint32_t rank, const xfc_int *dim) {
    int64_t most_ = 0;
    for (uint32_t r = 0; r < m->n_rounds; r++) {
        int64_t n = 1;
        for (uint32_t d = 0; d < rank; d++) n *= maker_extent(m, dim[d], r);
        most_ = n > most_ ? n : most_;
    }
    return most_;
}

static xfc_int constant(const maker *m, int64_t v) { return xfc_int_const(m->ctx, v); }

static int64_t some_extent(maker *m) {
    static const int64_t extents[] = {0, 1,  1,  1,  2,  2,  3,  3,  4,  5,  6,   7,
                                      8, 12, 16, 17, 31, 33, 48, 49, 64, 65, 100, 300};
    return extents[maker_below(m, XFC_COUNT(extents))];
}

/* A dim so that the tensor still has at most `limit` elements. */
static xfc_int some_dim(maker *m, uint32_t before, const xfc_int *dim, int64_t limit) {
    xfc_int d[XFC_MAX_RANK + 1];
    for (uint32_t i = 0; i < before; i++) d[i] = dim[i];
    for (int tries = 0; tries < 4; tries++) {
        bool symbol = m->dynamic && maker_chance(m, 65);
        d[before] = symbol ? m->symbol[maker_below(m, m->n_symbols)].symbol : constant(m, some_extent(m));
        if (most(m, before + 1, d) <= limit) return d[before];
    }
    return constant(m, 1 + maker_below(m, 2));
}

static void some_dims(maker *m, uint32_t rank, xfc_int *dim, int64_t limit) {
    for (uint32_t d = 0; d < rank; d++) dim[d] = some_dim(m, d, dim, limit);
}

static xfc_int twin_of(maker *m, xfc_int dim) {
    for (uint32_t i = 0; i < m->n_symbols; i++)
        if (m->symbol[i].twin && xfc_int_same(m->symbol[m->symbol[i].partner].symbol, dim) && maker_chance(m, 30))
            return m->symbol[i].symbol;
    return dim;
}

/* Something that broadcasts with it: itself, 1, or a symbol that is one of the two in each round. */
static xfc_int partner_of(maker *m, xfc_int dim) {
    if (maker_chance(m, 20)) return constant(m, 1);
    for (uint32_t i = 0; i < m->n_symbols; i++) {
        if (m->symbol[i].partner < 0 || m->symbol[i].twin || maker_chance(m, 40)) continue;
        if (xfc_int_same(m->symbol[m->symbol[i].partner].symbol, dim)) return m->symbol[i].symbol;
    }
    return dim;
}

/* --- values --- */

static xfc_value *new_input(maker *m, xfc_dtype t, uint32_t rank, const xfc_int *dim, diff_fill fill, xfc_int bound) {
    char name[24];
    uint32_t i = m->graph->n_in;
    if (i >= DIFF_MAX_INPUTS - DIFF_MAX_SYMBOLS) return NULL;
    snprintf(name, sizeof name, "x%u", (unsigned)i);
    m->input[i].fill = fill;
    m->input[i].bound = bound;
    m->input[i].special = !m->finite && maker_chance(m, 25);
    return xfc_graph_add_input(m->graph, xfc_str(m->ctx, name), xfc_type_make(t, rank, dim));
}

/* Random elements of any type. NEAR_ONE: so that products of many stay finite; INDEX: from either end. */
static void fill_elements(uint64_t *seed, xfc_dtype t, void *data, int64_t n, diff_fill fill, int64_t bound,
                          bool special) {
    static const double specials[] = {
        0.0, -0.0, (double)INFINITY, -(double)INFINITY, (double)NAN, 65504.0, 1e-7, 0.5, 2.5, -1e-40, 1e30, -1.5};
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = diff_random(seed);
        double f = (double)(int64_t)(r >> 11) * 0x1p-50 - 4;
        int64_t v = r % 3 == 0 ? (int64_t)(r >> 8) % 7 - 3 : (int64_t)r;
        if (r % 64 == 5) v = (r >> 8) % 2 ? INT64_MIN >> (64 - 8 * xfc_dtype_bytes(t)) : -1;
        if (special && r % 7 == 0) f = specials[(r >> 8) % XFC_COUNT(specials)];
        if (fill == DIFF_NEAR_ONE) f = 1 + (double)((int64_t)(r >> 11) % 1000) / 20000;
        if (fill == DIFF_INDEX) v = bound > 0 ? diff_between(seed, -bound, bound - 1) : 0;
        if (xfc_dtype_is_float(t))
            xfc_element_set_f(t, data, i, f);
        else
            xfc_element_set_i(t, data, i, t == XFC_BOOL ? v & 1 : v);
    }
}

/* A new operand: input or constant. */
static xfc_value *fresh(maker *m, xfc_dtype t, uint32_t rank, const xfc_int *dim, diff_fill fill, xfc_int bound) {
    int64_t extent[XFC_MAX_RANK], count, limit = 0;
    xfc_type type = xfc_type_make(t, rank, dim);
    bool known = fill != DIFF_INDEX || xfc_int_value(m->ctx, bound, &limit);
    bool is_constant = maker_chance(m, 20) && known && xfc_type_static(m->ctx, &type, extent, &count) &&
                       (fill != DIFF_INDEX || limit > 0 || !count);
    if (!is_constant) return new_input(m, t, rank, dim, fill, bound);
    void *data = xfc_tensor_alloc(m->ctx, t, rank, extent);
    fill_elements(&m->seed, t, data, count, fill, limit, false);
    return xfc_b_const(&m->b, xfc_tensor_new(m->ctx, t, rank, extent, data, NULL));
}

typedef struct {
    xfc_value *item[512];
    uint32_t n;
} choice;
static void consider(choice *c, xfc_value *v, xfc_dtype t, uint32_t lo, uint32_t hi) {
    if (v->type.dtype == t && v->type.rank >= lo && v->type.rank <= hi && c->n < XFC_COUNT(c->item))
        c->item[c->n++] = v;
}

static void all_values(maker *m, choice *c, xfc_dtype t, uint32_t lo, uint32_t hi) {
    c->n = 0;
    for (uint32_t i = 0; i < m->graph->n_in; i++) consider(c, m->graph->in[i], t, lo, hi);
    xfc_foreach_op(op, m->graph) consider(c, &op->out[0], t, lo, hi);
}

/* An operand of any shape with lo..hi dims. */
static xfc_value *pick(maker *m, xfc_dtype t, uint32_t lo, uint32_t hi) {
    choice c;
    xfc_int dim[XFC_MAX_RANK];
    all_values(m, &c, t, lo, hi);
    if (c.n && maker_chance(m, m->reuse)) {
        xfc_value *late = c.item[c.n - 1], *any = c.item[maker_below(m, c.n)];
        return maker_chance(m, 40) ? late : any;
    }
    uint32_t top = hi > 4 && maker_chance(m, 90) ? (lo > 4 ? lo : 4) : hi,
             rank = (uint32_t)diff_between(&m->seed, lo, top);
    some_dims(m, rank, dim, LIMIT);
    return fresh(m, t, rank, dim, DIFF_ANY, XFC_INT_NONE);
}

/* An operand of exactly this shape: there already, new, or a new one transposed. */
static xfc_value *pick_exact(maker *m, xfc_dtype t, uint32_t rank, const xfc_int *dim) {
    choice c;
    all_values(m, &c, t, rank, rank);
    for (uint32_t i = c.n; i-- > 0;) {
        bool same = true;
        for (uint32_t d = 0; d < rank; d++) same = same && xfc_int_same(c.item[i]->type.dim[d], dim[d]);
        if (same && maker_chance(m, m->reuse)) return c.item[i];
    }
    if (rank < 2 || maker_chance(m, 75)) return fresh(m, t, rank, dim, DIFF_ANY, XFC_INT_NONE);
    int64_t perm[XFC_MAX_RANK];
    xfc_int moved[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) perm[d] = d;
    perm[rank - 1] = rank - 2, perm[rank - 2] = rank - 1;
    for (uint32_t d = 0; d < rank; d++) moved[perm[d]] = dim[d];
    return xfc_b_transpose(&m->b, fresh(m, t, rank, moved, DIFF_ANY, XFC_INT_NONE), perm);
}

static xfc_value *pick_broadcast(maker *m, xfc_dtype t, const xfc_value *with) {
    xfc_int dim[XFC_MAX_RANK];
    uint32_t rank = with->type.rank, drop = maker_chance(m, 30) ? maker_below(m, rank + 1) : 0;
    if (maker_chance(m, 10) && xfc_dtype_is_float(t))
        return xfc_b_scalar_f(&m->b, t, (double)maker_below(m, 9) / 2 - 2);
    if (maker_chance(m, 10) && !xfc_dtype_is_float(t))
        return xfc_b_scalar_i(&m->b, t, maker_below(m, t == XFC_BOOL ? 2 : 4));
    for (uint32_t d = drop; d < rank; d++)
        dim[d - drop] = maker_chance(m, 60) ? twin_of(m, with->type.dim[d]) : partner_of(m, with->type.dim[d]);
    return pick_exact(m, t, rank - drop, dim);
}

static xfc_value *build(maker *m, xfc_opcode code, xfc_value *const *in, uint32_t n_in, const xfc_attr *attr,
                        uint32_t n_attr) {
    for (uint32_t i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    return xfc_build(&m->b, code, in, n_in, attr, n_attr);
}

/* --- maps and tensors from nothing --- */

static xfc_value *make_scalar(maker *m, xfc_opcode code, xfc_dtype t) {
    uint32_t n = (uint32_t)xfc_ops[code].n_in, first = code == XFC_OP_SELECT ? 1 : 0;
    xfc_value *in[3] = {NULL}, *x = pick(m, t, 0, 5);
    if (!x) return NULL;
    uint32_t at = first + maker_below(m, n - first); /* which operand the others are made to fit */
    for (uint32_t i = 0; i < n; i++) in[i] = i == at ? x : pick_broadcast(m, i < first ? XFC_BOOL : t, x);
    if (maker_chance(m, 5) && n == 2) in[1 - at] = x;
    return build(m, code, in, n, NULL, 0);
}

static xfc_value *make_cast(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = pick(m, t, 0, 4);
    xfc_attr to = xfc_attr_dtype(XFC_K_TO, (xfc_dtype)maker_below(m, XFC_DTYPE_COUNT));
    return build(m, code, &x, 1, &to, 1);
}

static xfc_value *make_copy(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = pick(m, t, 0, 4);
    return build(m, code, &x, 1, NULL, 0);
}

static xfc_value *make_dims(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int value[5], n = constant(m, 5);
    for (uint32_t i = 0; i < 5; i++)
        value[i] = xfc_int_addc(m->ctx, xfc_int_mulc(m->ctx, some_dim(m, 0, NULL, LIMIT), 1 + maker_below(m, 3)),
                                (int64_t)maker_below(m, 9) - 4);
    bool one = maker_chance(m, 20);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_VALUES, value, one ? 1 : 5), xfc_attr_dims(XFC_K_SHAPE, &n, one ? 0 : 1),
                       xfc_attr_dtype(XFC_K_TO, t)};
    return build(m, code, NULL, 0, attr, 3);
}

static xfc_value *make_iota(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int size = some_dim(m, 0, NULL, LIMIT), start = xfc_int_addc(m->ctx, some_dim(m, 0, NULL, LIMIT), -3);
    int64_t step = diff_between(&m->seed, -3, 3);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &size, 1), xfc_attr_dtype(XFC_K_TO, t),
                       xfc_attr_dims(XFC_K_START, &start, 1), xfc_attr_ints(XFC_K_STEP, &step, 1)};
    return build(m, code, NULL, 0, attr, maker_chance(m, 70) ? 4 : 2);
}

static xfc_value *make_splat(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[3];
    uint32_t rank = maker_below(m, 4);
    int64_t none = 0;
    some_dims(m, rank, dim, LIMIT);
    void *data = xfc_tensor_alloc(m->ctx, t, 0, &none);
    fill_elements(&m->seed, t, data, 1, DIFF_ANY, 0, true);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SHAPE, dim, rank),
                       xfc_attr_tensor(XFC_K_VALUE, xfc_tensor_new(m->ctx, t, 0, &none, data, NULL))};
    return build(m, code, NULL, 0, attr, 2);
}

/* --- views --- */

/* Joins two dims, splits one that a constant divides, adds or drops a 1. */
static uint32_t other_shape(maker *m, const xfc_type *t, xfc_int *dim) {
    uint32_t r = t->rank, at = r ? maker_below(m, r) : 0, n = 0;
    bool join = r > 1 && maker_chance(m, 40);
    if (maker_chance(m, 15)) return dim[0] = xfc_type_count(m->ctx, t), 1;
    for (uint32_t d = 0; d < r; d++) {
        int64_t k = xfc_int_divisor(m->ctx, t->dim[d]);
        if (join && d == at && d + 1 < r) {
            dim[n++] = xfc_int_mul(m->ctx, t->dim[d], t->dim[d + 1]);
            d++;
        } else if (!join && d == at && r < XFC_MAX_RANK && k > 1) {
            int64_t part = k % 2 == 0 ? 2 : k % 3 == 0 ? 3 : k;
            xfc_int rest = xfc_int_floordiv(m->ctx, t->dim[d], constant(m, part));
            bool first = maker_chance(m, 50);
            dim[n++] = first ? constant(m, part) : rest;
            dim[n++] = first ? rest : constant(m, part);
        } else {
            dim[n++] = t->dim[d];
        }
    }
    if (n < XFC_MAX_RANK && maker_chance(m, 30)) dim[n++] = constant(m, 1);
    return n;
}

static xfc_value *make_reshape(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK + 2];
    xfc_value *x = pick(m, t, 0, 6);
    if (!x) return NULL;
    xfc_attr shape = xfc_attr_dims(XFC_K_SHAPE, dim, other_shape(m, &x->type, dim));
    return build(m, code, &x, 1, &shape, 1);
}

static xfc_value *make_transpose(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t perm[XFC_MAX_RANK];
    xfc_value *x = pick(m, t, 1, XFC_MAX_RANK);
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++) perm[d] = d;
    for (uint32_t d = x->type.rank; d-- > 1;) {
        uint32_t other = maker_below(m, d + 1);
        int64_t p = perm[d];
        perm[d] = perm[other], perm[other] = p;
    }
    xfc_attr attr = xfc_attr_ints(XFC_K_PERM, perm, x->type.rank);
    return build(m, code, &x, 1, &attr, 1);
}

static xfc_value *make_expand(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK], from[XFC_MAX_RANK];
    uint32_t rank = 1 + maker_below(m, 4), drop = maker_chance(m, 50) ? maker_below(m, rank) : 0;
    some_dims(m, rank, dim, LIMIT);
    for (uint32_t d = drop; d < rank; d++) from[d - drop] = maker_chance(m, 40) ? dim[d] : partner_of(m, dim[d]);
    xfc_value *x = pick_exact(m, t, rank - drop, from);
    xfc_attr shape = xfc_attr_dims(XFC_K_SHAPE, dim, rank);
    return build(m, code, &x, 1, &shape, 1);
}

static void slice_dim(maker *m, xfc_int dim, xfc_int *start, xfc_int *size, int64_t *step) {
    int64_t n, lo, hi;
    xfc_int two = constant(m, 2);
    *start = constant(m, 0), *size = dim, *step = 1;
    xfc_int_range(m->ctx, dim, &lo, &hi);
    if (maker_chance(m, 30)) return;
    if (xfc_int_value(m->ctx, dim, &n) && n > 0) {
        int64_t first = diff_between(&m->seed, 0, n - 1);
        *step = maker_chance(m, 50) ? diff_between(&m->seed, 1, 3) : -diff_between(&m->seed, 1, 3);
        int64_t most_ = *step > 0 ? (n - 1 - first) / *step + 1 : first / -*step + 1;
        *start = constant(m, first), *size = constant(m, diff_between(&m->seed, 0, most_));
    } else if (maker_chance(m, 25)) {
        *start = xfc_int_addc(m->ctx, dim, -1), *step = -1;
    } else if (maker_chance(m, 33)) {
        *size = xfc_int_ceildiv(m->ctx, dim, two), *step = 2;
    } else if (maker_chance(m, 50)) {
        *size = xfc_int_min(m->ctx, dim, constant(m, 3));
    } else if (lo >= 1) {
        *start = constant(m, 1), *size = xfc_int_addc(m->ctx, dim, -1);
    }
}

static xfc_value *make_slice(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    xfc_value *x = pick(m, t, 1, 5);
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++) slice_dim(m, x->type.dim[d], &start[d], &size[d], &step[d]);
    uint32_t r = x->type.rank;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_START, start, r), xfc_attr_dims(XFC_K_SIZE, size, r),
                       xfc_attr_ints(XFC_K_STEP, step, r)};
    return build(m, code, &x, 1, attr, 3);
}

static xfc_value *make_concat(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *in[5] = {pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank, axis = maker_below(m, r), n = 1 + maker_below(m, 4);
    for (uint32_t i = 1; i < n; i++) {
        for (uint32_t d = 0; d < r; d++) dim[d] = twin_of(m, in[0]->type.dim[d]);
        if (maker_chance(m, 60)) {
            dim[axis] = constant(m, 1);
            xfc_int last = dim[r - 1];
            dim[r - 1] = dim[axis], dim[axis] = last;
            last = some_dim(m, r - 1, dim, LIMIT);
            dim[r - 1] = dim[axis], dim[axis] = last;
        }
        in[i] = maker_chance(m, 10) ? in[0] : pick_exact(m, t, r, dim);
    }
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return build(m, code, in, n, &attr, 1);
}

static xfc_value *make_pad(maker *m, xfc_opcode code, xfc_dtype t) {
    static const double fills[] = {0, 1.5, -2, 7, (double)INFINITY, (double)NAN};
    xfc_int before[XFC_MAX_RANK], after[XFC_MAX_RANK];
    xfc_value *x = pick(m, t, 1, 4);
    if (!x) return NULL;
    uint32_t r = x->type.rank;
    for (uint32_t d = 0; d < r; d++) {
        int64_t lo, hi;
        xfc_int_range(m->ctx, x->type.dim[d], &lo, &hi);
        before[d] = constant(m, diff_between(&m->seed, lo > 2 ? -1 : 0, maker_chance(m, 50) ? 3 : 0));
        after[d] = maker_chance(m, 10)
                       ? some_dim(m, 0, NULL, 20)
                       : constant(m, diff_between(&m->seed, lo > 3 ? -2 : 0, maker_chance(m, 50) ? 3 : 0));
    }
    double fill = fills[maker_below(m, xfc_dtype_is_float(t) ? 6 : t == XFC_BOOL ? 2 : 4)];
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_BEFORE, before, r), xfc_attr_dims(XFC_K_AFTER, after, r),
                       xfc_attr_float(XFC_K_FILL, fill)};
    return build(m, code, &x, 1, attr, 3);
}

static xfc_value *make_pack(maker *m, xfc_opcode code, xfc_dtype t) {
    static const int64_t panels[] = {1, 3, 8, 16, 48};
    xfc_value *x = pick(m, t, 2, 4);
    xfc_attr attr = xfc_attr_int(XFC_K_PANEL, panels[maker_below(m, 5)]);
    return build(m, code, &x, 1, &attr, 1);
}

/* --- indices from data --- */

static xfc_value *indices(maker *m, uint32_t rank, const xfc_int *dim, xfc_int bound) {
    return fresh(m, maker_chance(m, 50) ? XFC_I64 : XFC_I32, rank, dim, DIFF_INDEX, bound);
}

static xfc_value *make_gather(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[3];
    xfc_value *in[2] = {pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t axis = maker_below(m, in[0]->type.rank), rank = maker_below(m, 3);
    some_dims(m, rank, dim, 20);
    in[1] = indices(m, rank, dim, in[0]->type.dim[axis]);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return build(m, code, in, 2, &attr, 1);
}

static xfc_value *make_gather_elements(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *in[2] = {pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank, axis = maker_below(m, r);
    for (uint32_t d = 0; d < r; d++) dim[d] = in[0]->type.dim[d];
    dim[axis] = constant(m, 1 + maker_below(m, 9));
    in[1] = indices(m, r, dim, in[0]->type.dim[axis]);
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    return build(m, code, in, 2, &attr, 1);
}

/* One bound serves all indices of a tuple: data has equal dims where they point. */
static xfc_value *make_gather_nd(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK], where[XFC_MAX_RANK], bound = some_dim(m, 0, NULL, 12);
    uint32_t batch = maker_below(m, 3), tuple = 1 + maker_below(m, 2), rest = maker_below(m, 2), n = 0;
    for (uint32_t d = 0; d < batch; d++, n++) dim[n] = where[n] = some_dim(m, n, dim, 20);
    for (uint32_t d = 0; d < tuple; d++) dim[n++] = bound;
    for (uint32_t d = 0; d < rest; d++, n++) dim[n] = some_dim(m, n, dim, LIMIT);
    uint32_t w = batch;
    if (maker_chance(m, 60)) where[w] = some_dim(m, w, where, 100), w++;
    where[w++] = constant(m, tuple);
    xfc_value *in[2] = {pick_exact(m, t, n, dim), indices(m, w, where, bound)};
    xfc_attr attr = xfc_attr_int(XFC_K_BATCH_DIMS, batch);
    return build(m, code, in, 2, &attr, 1);
}

/* --- reductions --- */

static xfc_value *make_reduce(maker *m, xfc_opcode code, xfc_dtype t) {
    int64_t axes[XFC_MAX_RANK];
    uint32_t n = 0;
    xfc_value *x = pick(m, t, 0, 4);
    if (!x) return NULL;
    for (uint32_t d = 0; d < x->type.rank; d++)
        if (maker_chance(m, 45)) axes[n++] = d;
    if (!n && x->type.rank && maker_chance(m, 80)) axes[n++] = x->type.rank - 1;
    if (code == XFC_OP_REDUCE_PROD && xfc_dtype_is_float(t))
        x = new_input(m, t, x->type.rank, x->type.dim, DIFF_NEAR_ONE, XFC_INT_NONE);
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, axes, n), xfc_attr_int(XFC_K_KEEPDIMS, maker_chance(m, 50))};
    return build(m, code, &x, 1, attr, 2);
}

static xfc_value *make_cumsum(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = pick(m, t, 1, 4);
    if (!x) return NULL;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, maker_below(m, x->type.rank)),
                       xfc_attr_int(XFC_K_EXCLUSIVE, maker_chance(m, 50)),
                       xfc_attr_int(XFC_K_REVERSE, maker_chance(m, 50))};
    return build(m, code, &x, 1, attr, 3);
}

/* --- contractions and composites --- */

/* A number of columns: few enough for the budget of multiplications. */
static xfc_int columns(maker *m, const xfc_value *x) { return some_dim(m, x->type.rank, x->type.dim, MACS); }

static xfc_value *make_matmul(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *a = pick(m, t, 2, 4);
    if (!a) return NULL;
    uint32_t r = a->type.rank, drop = maker_chance(m, 40) ? r - 2 : 0, n = 0;
    for (uint32_t d = drop; d + 2 < r; d++)
        dim[n++] = maker_chance(m, 60) ? a->type.dim[d] : partner_of(m, a->type.dim[d]);
    dim[n++] = twin_of(m, a->type.dim[r - 1]);
    dim[n++] = columns(m, a);
    xfc_value *in[2] = {a, pick_exact(m, t, n, dim)};
    return build(m, code, in, 2, NULL, 0);
}

static xfc_value *pack(maker *m, xfc_value *x) {
    xfc_attr attr = xfc_attr_int(XFC_K_PANEL, 48);
    return build(m, XFC_OP_PACK, &x, 1, &attr, 1);
}

static xfc_value *make_matmul_packed(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_int dim[XFC_MAX_RANK];
    xfc_value *a = pick(m, t, 2, 4);
    if (!a) return NULL;
    uint32_t r = a->type.rank, drop = maker_chance(m, 50) ? r - 2 : 0, n = 0;
    for (uint32_t d = drop; d + 2 < r; d++) dim[n++] = a->type.dim[d];
    dim[n++] = a->type.dim[r - 1];
    dim[n++] = columns(m, a);
    xfc_value *in[2] = {a, pack(m, pick_exact(m, t, n, dim))};
    xfc_attr size = xfc_attr_dims(XFC_K_SIZE, &dim[n - 1], 1);
    return build(m, code, in, 2, &size, 1);
}

static xfc_value *make_linear(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[3] = {pick(m, t, 2, 4)};
    if (!in[0]) return NULL;
    xfc_int dim[2] = {in[0]->type.dim[in[0]->type.rank - 1], columns(m, in[0])};
    in[1] = pick_exact(m, t, 2, dim);
    in[2] = pick_exact(m, t, 1, &dim[1]);
    return build(m, code, in, maker_chance(m, 70) ? 3 : 2, NULL, 0);
}

static xfc_value *make_along(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *in[3] = {pick(m, t, 1, 4)};
    if (!in[0]) return NULL;
    uint32_t r = in[0]->type.rank, axis = maker_chance(m, 60) ? r - 1 : maker_below(m, r), n = 1;
    bool norm = code != XFC_OP_SOFTMAX, centred = code == XFC_OP_LAYERNORM;
    if (norm) n = 1 + maker_below(m, centred ? 3 : 2);
    for (uint32_t i = 1; i < n; i++) in[i] = pick_exact(m, t, r - axis, in[0]->type.dim + axis);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, axis), xfc_attr_float(XFC_K_EPS, 1e-3)};
    return build(m, code, in, n, attr, norm ? 2 : 1);
}

static xfc_value *make_gelu(maker *m, xfc_opcode code, xfc_dtype t) {
    xfc_value *x = pick(m, t, 0, 4);
    xfc_attr attr = xfc_attr_int(XFC_K_APPROXIMATE, maker_chance(m, 50));
    return build(m, code, &x, 1, &attr, 1);
}

static xfc_value *heads(maker *m, xfc_dtype t, const xfc_int *dim) {
    static const int64_t perm[] = {0, 2, 1, 3};
    if (maker_chance(m, 50)) return pick_exact(m, t, 4, dim);
    xfc_int moved[4] = {dim[0], dim[2], dim[1], dim[3]};
    return xfc_b_transpose(&m->b, pick_exact(m, t, 4, moved), perm);
}

static xfc_value *make_attention(maker *m, xfc_opcode code, xfc_dtype t) {
    static const int64_t widths[] = {1, 2, 3, 7, 8, 16, 17, 32, 33, 64};
    xfc_int b = some_dim(m, 0, NULL, 3), h = constant(m, 1 + maker_below(m, 3)),
            d = constant(m, widths[maker_below(m, 10)]),
            e = maker_chance(m, 60) ? d : constant(m, widths[maker_below(m, 10)]);
    xfc_int q[4] = {b, h, XFC_INT_NONE, d}, k[4] = {b, h, XFC_INT_NONE, d}, v[4] = {b, h, XFC_INT_NONE, e}, bias[4];
    q[2] = some_dim(m, 2, q, 150);
    k[2] = v[2] = maker_chance(m, 50) ? q[2] : some_dim(m, 2, k, 300);
    bool packed = code == XFC_OP_ATTENTION_PACKED;
    xfc_value *in[4] = {heads(m, t, q), heads(m, t, k), heads(m, t, v)};
    if (packed && in[1]) in[1] = pack(m, xfc_b_transpose(&m->b, in[1], (const int64_t[]){0, 1, 3, 2}));
    if (packed) in[2] = pack(m, in[2]);
    bias[0] = maker_chance(m, 50) ? b : constant(m, 1), bias[1] = maker_chance(m, 50) ? h : constant(m, 1);
    bias[2] = maker_chance(m, 50) ? q[2] : constant(m, 1), bias[3] = maker_chance(m, 80) ? k[2] : constant(m, 1);
    in[3] = pick_exact(m, t, 4, bias);
    xfc_attr attr[] = {xfc_attr_float(XFC_K_SCALE, 0.25),
                       xfc_attr_int(XFC_K_NAN_TO_ZERO, m->finite && maker_chance(m, 50)),
                       xfc_attr_dims(XFC_K_SIZE, (xfc_int[]){k[2], e}, 2)};
    return build(m, code, in, maker_chance(m, 60) ? 4 : 3, attr, packed ? 3 : 2);
}

/* --- the table --- */

typedef xfc_value *make_fn(maker *, xfc_opcode, xfc_dtype);
static make_fn *const makers[XFC_OP_COUNT] = {
#define XFC_SCALAR(id, ...) [XFC_OP_##id] = make_scalar,
#include "ir/scalar.def"
#undef XFC_SCALAR
    [XFC_OP_CAST] = make_cast,
    [XFC_OP_COPY] = make_copy,
    [XFC_OP_DIMS] = make_dims,
    [XFC_OP_IOTA] = make_iota,
    [XFC_OP_SPLAT] = make_splat,
    [XFC_OP_RESHAPE] = make_reshape,
    [XFC_OP_TRANSPOSE] = make_transpose,
    [XFC_OP_EXPAND] = make_expand,
    [XFC_OP_SLICE] = make_slice,
    [XFC_OP_CONCAT] = make_concat,
    [XFC_OP_PAD] = make_pad,
    [XFC_OP_PACK] = make_pack,
    [XFC_OP_GATHER] = make_gather,
    [XFC_OP_GATHER_ELEMENTS] = make_gather_elements,
    [XFC_OP_GATHER_ND] = make_gather_nd,
    [XFC_OP_REDUCE_SUM] = make_reduce,
    [XFC_OP_REDUCE_MAX] = make_reduce,
    [XFC_OP_REDUCE_MIN] = make_reduce,
    [XFC_OP_REDUCE_PROD] = make_reduce,
    [XFC_OP_REDUCE_MEAN] = make_reduce,
    [XFC_OP_CUMSUM] = make_cumsum,
    [XFC_OP_MATMUL] = make_matmul,
    [XFC_OP_MATMUL_PACKED] = make_matmul_packed,
    [XFC_OP_LINEAR] = make_linear,
    [XFC_OP_SOFTMAX] = make_along,
    [XFC_OP_LAYERNORM] = make_along,
    [XFC_OP_RMSNORM] = make_along,
    [XFC_OP_GELU] = make_gelu,
    [XFC_OP_ATTENTION] = make_attention,
    [XFC_OP_ATTENTION_PACKED] = make_attention,
};

xfc_value *maker_op(maker *m, xfc_opcode code, xfc_dtype t) {
    if (!makers[code]) return NULL;
    uint32_t diags = m->ctx->n_diags, errors = m->ctx->n_errors;
    xfc_value *v = makers[code](m, code, t);
    m->ctx->n_diags = diags, m->ctx->n_errors = errors;
    if (!v || most(m, v->type.rank, v->type.dim) <= 4 * LIMIT) return v;
    xfc_op_remove(v->def); /* too large for the interpreter */
    return NULL;
}

/* --- a case --- */

static void add_symbol(maker *m, const char *name, int64_t lo, int64_t hi, int32_t partner, bool twin) {
    static const int64_t extents[DIFF_ROUNDS][6] = {{2, 3, 5, 8, 17, 33}, {1, 1, 4, 7, 48, 70}, {0, 0, 1, 2, 16, 100}};
    diff_symbol *s = &m->symbol[m->n_symbols++];
    s->symbol = xfc_int_symbol(m->ctx, name, lo, hi);
    s->partner = partner;
    s->twin = twin;
    for (uint32_t r = 0; r < DIFF_ROUNDS; r++) {
        int64_t v = extents[r][maker_below(m, 6)], other = partner >= 0 ? m->symbol[partner].extent[r] : v;
        s->extent[r] = v < lo ? lo : v > hi ? hi : v;
        if (partner >= 0) s->extent[r] = twin || maker_chance(m, 50) ? other : 1;
    }
}

void maker_new(maker *m, uint64_t seed, bool dynamic) {
    *m = (maker){.ctx = xfc_ctx_new(),
                 .seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1,
                 .dynamic = dynamic,
                 .n_rounds = dynamic ? DIFF_ROUNDS : 1,
                 .reuse = 0};
    for (int i = 0; i < 8; i++) diff_random(&m->seed);
    m->graph = xfc_graph_new(m->ctx, "case");
    m->b = (xfc_builder){.graph = m->graph};
    if (!dynamic) return;
    add_symbol(m, "a", 0, XFC_DIM_MAX, -1, false);
    add_symbol(m, "b", 1, 64, -1, false);
    add_symbol(m, "c", 0, 4096, -1, false);
    add_symbol(m, "a_or_1", 0, XFC_DIM_MAX, 0, false);
    add_symbol(m, "c_again", 0, XFC_DIM_MAX, 2, true);
}

void maker_free(maker *m) {
    xfc_graph_free(m->graph);
    xfc_ctx_free(m->ctx);
}

void maker_output(maker *m, xfc_value *v) {
    if (m->n_out < DIFF_MAX_OUT) m->out[m->n_out++] = v;
}

/* Every symbol needs an input that it is a dim of. */
static void bind_symbol(maker *m, xfc_int symbol) {
    for (uint32_t i = 0; i < m->graph->n_in; i++)
        for (uint32_t d = 0; d < m->graph->in[i]->type.rank; d++)
            if (xfc_int_same(m->graph->in[i]->type.dim[d], symbol)) return;
    m->input[m->graph->n_in].fill = DIFF_ANY;
    xfc_graph_add_input(m->graph, xfc_int_look(m->ctx, symbol)->name, xfc_type_make(XFC_U8, 1, &symbol));
}

bool maker_end(maker *m) {
    const char *name[DIFF_MAX_OUT];
    char text[32];
    for (uint32_t i = 0; i < m->n_symbols; i++) bind_symbol(m, m->symbol[i].symbol);
    for (uint32_t i = 0; i < m->n_out; i++) {
        snprintf(text, sizeof text, "y%u_%s", (unsigned)i,
                 m->out[i]->def ? xfc_ops[m->out[i]->def->code].name : "input");
        name[i] = xfc_str(m->ctx, text);
    }
    xfc_graph_set_outputs(m->graph, m->out, name, m->n_out);
    xfc_buf defects = {.arena = m->graph->arena};
    if (xfc_verify(m->graph, &defects)) return true;
    fprintf(stderr, "the graph as built is malformed:\n%s", defects.text);
    return false;
}

void maker_inputs(maker *m, uint32_t round, xfc_arena *arena, xfc_array *in) {
    for (uint32_t i = 0; i < m->graph->n_in; i++) {
        const xfc_type *t = &m->graph->in[i]->type;
        size_t bytes;
        in[i] = (xfc_array){.dtype = t->dtype, .rank = t->rank};
        for (uint32_t d = 0; d < t->rank; d++) in[i].dim[d] = maker_extent(m, t->dim[d], round);
        if (!xfc_tensor_count(t->dtype, t->rank, in[i].dim, &in[i].count, &bytes)) abort();
        in[i].data = xfc_alloc(arena, bytes, 64);
        int64_t bound = m->input[i].fill == DIFF_INDEX ? maker_extent(m, m->input[i].bound, round) : 0;
        fill_elements(&m->seed, t->dtype, in[i].data, in[i].count, m->input[i].fill, bound, m->input[i].special);
    }
}

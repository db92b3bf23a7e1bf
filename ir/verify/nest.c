/* nest.c - one nest: axes, the scalar body against the scalar table, accesses in bounds, stores.
 *
 * An index is out of bounds only if it surely is, for some iteration: it is linear in the axes with coefficients of
 * known sign, every axis has an iteration, nothing guards it, and its extreme lies outside the dim. That finds wrong
 * index maps and never blames a right one.
 */
#include "ir/verify/verify_impl.h"

typedef struct {
    xfc_kernel_check *c;
    xfc_verifier *v;
    const xfc_nest *n;
    bool nonempty, has_reduce, has_scan;
} nest_check;

static void say(nest_check *w, const char *fmt, ...) XFC_PRINTF(2, 3);
static void say(nest_check *w, const char *fmt, ...) {
    xfc_buf b = {.arena = w->v->scratch};
    va_list args;
    va_start(args, fmt);
    xfc_buf_vprintf(&b, fmt, args);
    va_end(args);
    xfc_vf_defect(w->v, "step %u: %s", (unsigned)w->c->step, b.text);
}

/* --- axes --- */

static void open_axes(nest_check *w) {
    xfc_ctx *ctx = w->v->ctx;
    uint32_t n_vector = 0;
    for (uint32_t i = 0; i < w->n->n_axes; i++) {
        const xfc_axis *a = &w->n->axes[i];
        bool known = xfc_vf_int(w->v, a->extent, "the extent of an axis");
        if (a->how == XFC_HOW_THREADS) say(w, "axis %u is of threads inside a nest", (unsigned)i);
        n_vector += a->how == XFC_HOW_VECTOR;
        w->has_reduce = w->has_reduce || a->kind == XFC_AXIS_REDUCE;
        w->has_scan = w->has_scan || a->kind == XFC_AXIS_SCAN;
        w->nonempty = w->nonempty && known && xfc_int_lt(ctx, xfc_int_const(ctx, 0), a->extent) == 1;
    }
    if (n_vector > 1) say(w, "two vector axes");
    for (uint32_t i = 0; i < w->n->n_axes; i++) { /* an extent never uses an axis of its own nest */
        const xfc_axis *a = &w->n->axes[i];
        if (!xfc_vf_open(w->v, a->symbol, "an axis") || !xfc_int_known(a->extent)) continue;
        const xfc_int_info s = *xfc_int_look(ctx, a->symbol);
        if (xfc_int_lt(ctx, s.hi, xfc_int_addc(ctx, a->extent, -1)) == 1)
            say(w, "axis %u runs beyond the bound of its symbol", (unsigned)i);
    }
}

static void close_scope(nest_check *w) {
    for (uint32_t i = 0; i < w->n->n_axes; i++) xfc_vf_close(w->v, w->n->axes[i].symbol);
    for (uint32_t i = 0; i < w->n->n_body; i++)
        if (w->n->body[i].op == XFC_S_LET) xfc_vf_close(w->v, w->n->body[i].u.index);
}

/* --- bounds --- */

/* Does e depend on data that only this kernel knows? */
static bool has_let(const xfc_verifier *v, xfc_int e) {
    const xfc_defined d = xfc_vf_defined(v);
    return !xfc_defined_at_start(&d, e);
}

/* Replaces the axis by the end of its range that makes e largest (or smallest). */
static bool push_axis(xfc_ctx *ctx, xfc_int *e, const xfc_axis *a, bool largest) {
    xfc_int coeff, rest;
    int64_t lo, hi;
    if (!xfc_int_known(*e)) return false; /* beyond 64 bits */
    if (!xfc_int_uses(ctx, *e, a->symbol)) return true;
    if (!xfc_int_linear_in(ctx, *e, a->symbol, &coeff, &rest)) return false;
    xfc_int_range(ctx, coeff, &lo, &hi);
    if (lo < 0 && hi > 0) return false;
    bool at_end = (lo >= 0) == largest;
    xfc_int at = at_end ? xfc_int_addc(ctx, a->extent, -1) : xfc_int_const(ctx, 0);
    *e = xfc_int_add(ctx, xfc_int_mul(ctx, coeff, at), rest);
    return true;
}

bool xfc_vf_extreme(const xfc_kernel_check *c, const xfc_nest *n, xfc_int *e, bool largest) {
    const xfc_kernel *k = c->k;
    xfc_ctx *ctx = c->v->ctx;
    for (uint32_t i = n ? n->n_axes : 0; i-- > 0;)
        if (!push_axis(ctx, e, &n->axes[i], largest)) return false;
    for (uint32_t i = k->n_lets; i-- > 0;)
        if (!k->lets[i].load) *e = xfc_int_substitute(ctx, *e, &k->lets[i].symbol, &k->lets[i].value, 1);
    for (uint32_t i = k->n_axes; i-- > 0;)
        if (!push_axis(ctx, e, &k->axes[i], largest)) return false;
    return xfc_int_known(*e) && !has_let(c->v, *e);
}

/* Does it stand at an index that was read where there is no element? Then nothing is touched: the emitter masks it. */
static bool touches_nothing(const nest_check *w, const xfc_access *a) {
    xfc_ctx *ctx = w->v->ctx;
    for (uint32_t i = 0; i < w->n->n_body; i++) {
        const xfc_scalar *s = &w->n->body[i];
        if (s->op != XFC_S_LET || s->sure) continue;
        const xfc_int_info let = *xfc_int_look(ctx, s->u.index);
        if (xfc_int_lt(ctx, let.hi, let.lo) != 1) continue;
        for (uint32_t d = 0; d < a->rank; d++)
            if (xfc_int_uses(ctx, a->index[d], s->u.index)) return true;
    }
    return false;
}

static void check_bounds(nest_check *w, const xfc_access *a, const char *what) {
    xfc_ctx *ctx = w->v->ctx;
    const xfc_type *t = &w->c->k->buffers[a->buffer].type;
    if (!w->nonempty || touches_nothing(w, a)) return;
    for (uint32_t d = 0; d < a->rank; d++) {
        xfc_int lo = a->index[d], hi = a->index[d];
        int64_t least, most, dim_least, dim_most;
        xfc_int_range(ctx, lo, &least, &most);
        xfc_int_range(ctx, t->dim[d], &dim_least, &dim_most);
        if (least >= 0 && most < dim_least) continue;
        if (least < 0 && xfc_vf_extreme(w->c, w->n, &lo, false) && xfc_int_lt(ctx, lo, xfc_int_const(ctx, 0)) == 1)
            say(w, "%s: index %u can be negative", what, (unsigned)d);
        if (xfc_vf_extreme(w->c, w->n, &hi, true) && xfc_int_le(ctx, t->dim[d], hi) == 1)
            say(w, "%s: index %u can reach beyond the buffer", what, (unsigned)d);
    }
}

/* --- the body --- */

typedef struct {
    char operands;
    bool to_bool;
} scalar_rule;
enum { CLASS_F = 'F', CLASS_N = 'N', CLASS_I = 'I', CLASS_L = 'L', CLASS_A = 'A' };

static scalar_rule rule_of(xfc_scalar_op op) {
    enum { SAME, BOOL };
    static const scalar_rule rules[XFC_S_COUNT] = {
#define XFC_SCALAR(id, name, arity, operands, result, lower) [XFC_S_##id] = {CLASS_##operands, result == BOOL},
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
    };
    return rules[op];
}

static bool in_class(char class, xfc_dtype t) {
    xfc_dclass c = xfc_dtype_class(t);
    if (class == CLASS_A) return true;
    if (class == CLASS_F) return c == XFC_CLASS_FLOAT;
    bool is_int = c == XFC_CLASS_SINT || c == XFC_CLASS_UINT;
    if (class == CLASS_L) return is_int || c == XFC_CLASS_BOOL;
    return is_int || (class == CLASS_N && c == XFC_CLASS_FLOAT);
}

static void check_operation(nest_check *w, uint32_t at) {
    const xfc_scalar *s = &w->n->body[at];
    scalar_rule rule = rule_of(s->op);
    bool select = s->op == XFC_S_SELECT;
    xfc_dtype type = w->n->body[s->arg[select]].dtype;
    bool ok = in_class(rule.operands, type) && s->dtype == (rule.to_bool ? XFC_BOOL : type);
    for (uint32_t i = select; i < xfc_scalar_arity(s->op); i++) ok = ok && w->n->body[s->arg[i]].dtype == type;
    if (select) ok = ok && w->n->body[s->arg[0]].dtype == XFC_BOOL;
    if (!ok) say(w, "v%u: %s cannot have these element types", (unsigned)at, xfc_scalar_name(s->op));
}

static void check_load(nest_check *w, uint32_t at) {
    const xfc_scalar *s = &w->n->body[at];
    if (!s->u.access || !xfc_vf_access(w->c, s->u.access, "a load")) {
        if (!s->u.access) say(w, "v%u: a load without access", (unsigned)at);
        return;
    }
    uint32_t b = s->u.access->buffer;
    const xfc_buffer *buf = &w->c->k->buffers[b];
    bool guarded = s->arg[0] != XFC_NO_ARG, own = false;
    if (s->dtype != buf->type.dtype) say(w, "v%u: a load of another element type than its buffer", (unsigned)at);
    if (guarded && w->n->body[s->arg[0]].dtype != XFC_BOOL)
        say(w, "v%u: the predicate of a load is no bool", (unsigned)at);
    for (uint32_t i = 0; w->has_scan && i < w->n->n_stores; i++) own = own || w->n->stores[i].to.buffer == b;
    if (buf->kind != XFC_BUF_IN && !w->c->stored[b] && !own)
        say(w, "v%u: buffer %u is read before it is stored", (unsigned)at, (unsigned)b);
    if (!guarded) check_bounds(w, s->u.access, "a load");
}

/* Is the value an element of a constant that has all its elements in lo..hi? */
static bool surely_inside(const nest_check *w, uint32_t value, const xfc_int_info *range) {
    const xfc_scalar *s = &w->n->body[value];
    const xfc_tensor *t;
    int64_t lo, hi;
    if (s->op != XFC_S_LOAD || !s->u.access || s->arg[0] != XFC_NO_ARG || s->u.access->buffer >= w->c->k->n_in)
        return false;
    if (!xfc_value_is_const(w->v->op->in[s->u.access->buffer].value, &t)) return false;
    if (!xfc_int_value(w->v->ctx, range->lo, &lo) || !xfc_int_value(w->v->ctx, range->hi, &hi)) return false;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t v = xfc_tensor_get_i(t, i);
        if (v < lo || v > hi) return false;
    }
    return true;
}

static void check_let(nest_check *w, uint32_t at) {
    const xfc_scalar *s = &w->n->body[at];
    if (!xfc_dtype_is_int(w->n->body[s->arg[0]].dtype) || s->dtype != XFC_I64)
        say(w, "v%u: a let takes an integer", (unsigned)at);
    if (!xfc_vf_open(w->v, s->u.index, "a let")) return;
    const xfc_int_info i = *xfc_int_look(w->v->ctx, s->u.index);
    xfc_vf_int(w->v, i.lo, "the range of a let");
    xfc_vf_int(w->v, i.hi, "the range of a let");
    if (s->sure && !surely_inside(w, s->arg[0], &i))
        say(w, "v%u: a let is only sure of the elements of a constant that all lie in its range", (unsigned)at);
}

/* Operands are earlier instructions; false: looking at them is unsafe. */
static bool check_args(nest_check *w, uint32_t at) {
    const xfc_scalar *s = &w->n->body[at];
    if ((unsigned)s->op >= XFC_S_COUNT || (unsigned)s->dtype >= XFC_UNPACKED_COUNT) {
        say(w, "v%u: no valid operation or element type", (unsigned)at);
        return false;
    }
    uint32_t n = s->op == XFC_S_LOAD ? s->arg[0] != XFC_NO_ARG : xfc_scalar_arity(s->op);
    for (uint32_t i = 0; i < n; i++) {
        if (s->arg[i] < at) continue;
        say(w, "v%u: operand %u is no earlier instruction", (unsigned)at, (unsigned)i);
        return false;
    }
    return true;
}

static bool check_body(nest_check *w) {
    bool ok = true;
    for (uint32_t i = 0; i < w->n->n_body; i++) {
        const xfc_scalar *s = &w->n->body[i];
        if (!check_args(w, i)) {
            ok = false; /* later instructions may lean on this one */
            break;
        }
        if (s->op == XFC_S_LOAD)
            check_load(w, i);
        else if (s->op == XFC_S_LET)
            check_let(w, i);
        else if (s->op == XFC_S_INDEX && s->dtype != XFC_I64)
            say(w, "v%u: an index is an i64", (unsigned)i);
        else if (s->op == XFC_S_INDEX)
            xfc_vf_int(w->v, s->u.index, "an index");
        else if (s->op != XFC_S_CONST && s->op != XFC_S_CAST)
            check_operation(w, i);
    }
    return ok;
}

/* --- stores --- */

static bool index_depends(nest_check *w, const xfc_access *a, xfc_int symbol) {
    for (uint32_t d = 0; d < a->rank; d++)
        if (xfc_vf_depends(w->c, a->index[d], symbol)) return true;
    return false;
}

/* The index comes from data: where it lands cannot be said. */
static bool scatters(nest_check *w, const xfc_access *a) {
    for (uint32_t i = 0; i < w->n->n_body; i++)
        if (w->n->body[i].op == XFC_S_LET && index_depends(w, a, w->n->body[i].u.index)) return true;
    return false;
}

static bool combines(xfc_scalar_op op, xfc_dtype t) {
    if (op == XFC_S_AND || op == XFC_S_OR) return t == XFC_BOOL;
    return (op == XFC_S_ADD || op == XFC_S_MUL || op == XFC_S_MIN || op == XFC_S_MAX) && t != XFC_BOOL;
}

/* Every parallel axis chooses the element, every reduce axis does or none. */
static void check_axes_of_store(nest_check *w, const xfc_store *s, uint32_t at) {
    xfc_ctx *ctx = w->v->ctx;
    xfc_int one = xfc_int_const(ctx, 1);
    uint32_t n_reduce = 0, n_used = 0;
    for (uint32_t i = 0; i < w->n->n_axes; i++) {
        const xfc_axis *a = &w->n->axes[i];
        bool used =
            index_depends(w, &s->to, a->symbol) || (a->kind != XFC_AXIS_REDUCE && xfc_int_le(ctx, a->extent, one) == 1);
        if (a->kind == XFC_AXIS_PARALLEL && !used)
            say(w, "store %u writes one element in every iteration of parallel axis %u", (unsigned)at, (unsigned)i);
        n_reduce += a->kind == XFC_AXIS_REDUCE;
        n_used += a->kind == XFC_AXIS_REDUCE && used;
    }
    bool plain = s->combine == XFC_S_COUNT;
    if (n_reduce && n_used == 0 && plain) say(w, "store %u is over reduce axes and has no combine", (unsigned)at);
    if (n_used && !plain) say(w, "store %u combines over a reduce axis that its index uses", (unsigned)at);
    if (n_used && n_used < n_reduce && plain) say(w, "store %u uses some reduce axes but not all", (unsigned)at);
    bool task_private = w->c->k->buffers[s->to.buffer].kind == XFC_BUF_TEMP;
    for (uint32_t i = 0; !task_private && i < w->c->k->n_axes; i++) {
        const xfc_axis *a = &w->c->k->axes[i];
        if (!index_depends(w, &s->to, a->symbol) && xfc_int_le(ctx, a->extent, one) != 1)
            say(w, "store %u writes one element in every task of outer axis %u", (unsigned)at, (unsigned)i);
    }
}

/* Adds what the store writes to what its buffer has; NONE when it cannot be counted. */
static void count_store(nest_check *w, const xfc_store *s) {
    xfc_ctx *ctx = w->v->ctx;
    xfc_int n = xfc_int_const(ctx, 1), *covered = &w->c->covered[s->to.buffer];
    const xfc_axis *sets[] = {w->c->k->axes, w->n->axes};
    uint32_t counts[] = {w->c->k->n_axes, w->n->n_axes};
    if (scatters(w, &s->to)) n = XFC_INT_NONE;
    for (uint32_t i = 0; i < w->c->k->n_lets; i++)
        if (w->c->k->lets[i].load && index_depends(w, &s->to, w->c->k->lets[i].symbol)) n = XFC_INT_NONE;
    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < counts[k]; i++)
            if (index_depends(w, &s->to, sets[k][i].symbol)) n = xfc_int_mul(ctx, n, sets[k][i].extent);
    }
    if (xfc_int_known(n) && has_let(w->v, n)) n = XFC_INT_NONE;
    *covered = xfc_int_add(ctx, *covered, n);
}

static void check_store(nest_check *w, uint32_t at) {
    const xfc_store *s = &w->n->stores[at];
    if (!xfc_vf_access(w->c, &s->to, "a store")) return;
    const xfc_buffer *b = &w->c->k->buffers[s->to.buffer];
    if (s->value >= w->n->n_body) {
        say(w, "store %u stores no instruction", (unsigned)at);
        return;
    }
    if (b->kind == XFC_BUF_IN) say(w, "store %u writes an operand", (unsigned)at);
    xfc_dtype value = w->n->body[s->value].dtype;
    bool narrows =
        s->combine != XFC_S_COUNT && value == XFC_F32 && (b->type.dtype == XFC_F16 || b->type.dtype == XFC_BF16);
    if (value != b->type.dtype && !narrows) say(w, "store %u has another element type than its buffer", (unsigned)at);
    if (s->combine != XFC_S_COUNT && !combines(s->combine, b->type.dtype))
        say(w, "store %u cannot combine so", (unsigned)at);
    if (!scatters(w, &s->to)) check_axes_of_store(w, s, at);
    check_bounds(w, &s->to, "a store");
    count_store(w, s);
}

void xfc_vf_nest(xfc_kernel_check *c, const xfc_nest *n) {
    nest_check w = {.c = c, .v = c->v, .n = n, .nonempty = c->nonempty};
    open_axes(&w);
    bool ok = check_body(&w);
    if (n->n_stores == 0) say(&w, "a nest without a store");
    for (uint32_t i = 0; ok && i < n->n_stores; i++) check_store(&w, i);
    for (uint32_t i = 0; i < n->n_stores; i++)
        if (n->stores[i].to.buffer < c->k->n_buffers) c->stored[n->stores[i].to.buffer] = true;
    close_scope(&w);
}

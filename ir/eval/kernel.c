/* kernel.c - runs a kernel as written: tasks in order, lets, temporaries, then each step.
 *
 * Operands are bound by buffer index: inputs, then outputs, then temporaries; the kernel may see an operand with other
 * dims, but never with more elements. A temporary is filled with 0xff bytes (NaN) for every task, so that reading what
 * was not stored shows in the results. Steps mean the same with any schedule.
 */
#include "ir/contract.h"
#include "ir/eval/eval_impl.h"

#include <string.h>

typedef struct {
    const xfc_kernel *kernel;
    const xfc_eval_env *outer;
    xfc_eval_env env;    /* of the steps: outer symbols, axes and lets */
    int64_t *axis, *let; /* values */
    uint32_t axes_known, lets_known;
    xfc_arena *arena;
    xfc_array *buffer;
    size_t *room;         /* bytes allocated for each temporary */
    xfc_nest_prog **prog; /* one a step, made at the first task */
} runner;

static bool lookup(void *user, uint32_t symbol_id, int64_t *out) {
    const runner *r = user;
    for (uint32_t i = 0; i < r->axes_known; i++) {
        if (r->kernel->axes[i].symbol.id == symbol_id) return *out = r->axis[i], true;
    }
    for (uint32_t i = 0; i < r->lets_known; i++) {
        if (r->kernel->lets[i].symbol.id == symbol_id) return *out = r->let[i], true;
    }
    return r->outer->lookup && r->outer->lookup(r->outer->user, symbol_id, out);
}

static xfc_status value_of(const runner *r, xfc_int e, int64_t *out) {
    if (xfc_int_evaluate(r->env.ctx, e, r->env.lookup, r->env.user, out)) return XFC_OK;
    return xfc_fail(r->env.ctx, XFC_ERR_INPUT, r->env.loc,
                    "a size or offset of this kernel has no value: give every input its shape");
}

static xfc_status bind_operands(runner *r, const xfc_array *operands) {
    const xfc_kernel *k = r->kernel;
    for (uint32_t i = 0; i < k->n_in + k->n_out; i++) {
        XFC_TRY(xfc_array_make(&r->env, &k->buffers[i].type, NULL, &r->buffer[i]));
        xfc_assert(r->buffer[i].dtype == operands[i].dtype);
        r->buffer[i].data = operands[i].data;
        if (r->buffer[i].count <= operands[i].count) continue;
        return xfc_fail(r->env.ctx, XFC_ERR_INPUT, r->env.loc,
                        "operand %u of a kernel has %lld elements, not %lld: correct the kernel", (unsigned)i,
                        (long long)operands[i].count, (long long)r->buffer[i].count);
    }
    return XFC_OK;
}

static xfc_status make_temps(runner *r) {
    const xfc_kernel *k = r->kernel;
    for (uint32_t i = k->n_in + k->n_out; i < k->n_buffers; i++) {
        xfc_array shape;
        XFC_TRY(xfc_array_make(&r->env, &k->buffers[i].type, NULL, &shape));
        size_t bytes = (size_t)shape.count * xfc_dtype_bytes(shape.dtype);
        shape.data = r->buffer[i].data;
        if (!shape.data || bytes > r->room[i]) {
            shape.data = xfc_alloc(r->arena, bytes, 64);
            r->room[i] = bytes;
        }
        memset(shape.data, 0xff, bytes);
        r->buffer[i] = shape;
    }
    return XFC_OK;
}

/* Element offset of an access, without a check: its tile reaches further anyway and is checked as a whole. */
static xfc_status offset_of(const runner *r, const xfc_access *a, int64_t *out) {
    const xfc_array *b = &r->buffer[a->buffer];
    *out = 0;
    for (uint32_t d = 0; d < a->rank; d++) {
        int64_t i;
        XFC_TRY(value_of(r, a->index[d], &i));
        if (!xfc_mul_ok(*out, b->dim[d], out) || !xfc_add_ok(*out, i, out))
            return xfc_fail(r->env.ctx, XFC_ERR_LIMIT, r->env.loc, "an offset exceeds 64 bits: use smaller inputs");
    }
    return XFC_OK;
}

enum { STEPS = XFC_EVAL_LANES }; /* of k at once */

typedef struct {
    int64_t a, b, c, a_row, c_row, rows, depth, columns, apart, panel, group;
} tile_sizes;

/* Offsets first .. first + rows * row_step + length - 1 of buffer `index` exist. */
static bool fits(const runner *r, uint32_t index, int64_t first, int64_t rows, int64_t row_step, int64_t length) {
    int64_t span, last;
    if (!xfc_mul_ok(rows - 1, row_step, &span) || !xfc_add_ok(first, span, &last)) return false;
    int64_t low = first < last ? first : last, high = first < last ? last : first;
    return low >= 0 && length <= r->buffer[index].count && high <= r->buffer[index].count - length;
}

/* Elements of b for steps k .. k + n - 1 of a column whose first one is at `from`. */
static void load_right(const xfc_array *b, const tile_sizes *s, int64_t from, int64_t k, uint32_t n, float *out) {
    int64_t at[STEPS];
    for (uint32_t l = 0; l < n; l++) at[l] = from + (k + l) / s->group * s->panel * s->group + (k + l) % s->group;
    xfc_lanes_load_at(b->dtype, n, (xfc_lanes){.f = out}, b->data, at);
}

static void tile_element(const runner *r, const xfc_tile *t, const tile_sizes *s, int64_t i, int64_t j) {
    const xfc_array *a = &r->buffer[t->a.buffer], *b = &r->buffer[t->b.buffer];
    int64_t from = s->a + i * s->a_row, to = s->b + j / s->panel * s->apart + j % s->panel * s->group;
    float left[STEPS] = {0}, right[STEPS] = {0};
    double sum = 0;
    for (int64_t k = 0; k < s->depth; k += STEPS) {
        uint32_t n = s->depth - k < STEPS ? (uint32_t)(s->depth - k) : STEPS;
        xfc_lanes_load(a->dtype, n, (xfc_lanes){.f = left}, a->data, from + k, 1);
        load_right(b, s, to, k, n, right);
        for (uint32_t l = 0; l < n; l++) sum += (double)left[l] * (double)right[l];
    }
    ((float *)r->buffer[t->c.buffer].data)[s->c + i * s->c_row + j] = (float)sum;
}

static xfc_status run_tile(const runner *r, const xfc_tile *t) {
    tile_sizes s = {.panel = t->panel, .group = t->group};
    XFC_TRY(offset_of(r, &t->a, &s.a));
    XFC_TRY(offset_of(r, &t->b, &s.b));
    XFC_TRY(offset_of(r, &t->c, &s.c));
    XFC_TRY(value_of(r, t->a_row, &s.a_row));
    XFC_TRY(value_of(r, t->c_row, &s.c_row));
    XFC_TRY(value_of(r, t->rows, &s.rows));
    XFC_TRY(value_of(r, t->depth, &s.depth));
    XFC_TRY(value_of(r, t->columns, &s.columns));
    XFC_TRY(value_of(r, xfc_tile_apart(r->env.ctx, t), &s.apart));
    if (s.rows <= 0 || s.columns <= 0) return XFC_OK;
    const xfc_contract type = xfc_tile_contract(r->kernel, t);
    xfc_assert(xfc_rep_of(type.a) == XFC_REP_F && xfc_rep_of(type.b) == XFC_REP_F);
    xfc_assert(type.sum == XFC_F32 && type.panel > 0 && type.group > 0);
    int64_t panels = (s.columns + s.panel - 1) / s.panel, panel_size, used = s.columns;
    bool inside = fits(r, t->c.buffer, s.c, s.rows, s.c_row, used) && xfc_mul_ok(s.panel, s.depth, &panel_size);
    inside = inside && (s.depth <= 0 || (fits(r, t->a.buffer, s.a, s.rows, s.a_row, s.depth) &&
                                         fits(r, t->b.buffer, s.b, panels, s.apart, panel_size)));
    if (!inside) {
        return xfc_fail(r->env.ctx, XFC_ERR_INPUT, r->env.loc,
                        "a tile of %lld x %lld x %lld reaches outside of its buffers: correct the kernel",
                        (long long)s.rows, (long long)s.depth, (long long)s.columns);
    }
    for (int64_t i = 0; i < s.rows; i++) {
        for (int64_t j = 0; j < s.columns; j++) tile_element(r, t, &s, i, j);
    }
    return XFC_OK;
}

/* The element of an operand that let i is. */
static xfc_status load_let(const runner *r, uint32_t i) {
    const xfc_access *a = r->kernel->lets[i].load;
    const xfc_array *b = &r->buffer[a->buffer];
    int64_t at;
    XFC_TRY(offset_of(r, a, &at));
    if (at < 0 || at >= b->count)
        return xfc_fail(r->env.ctx, XFC_ERR_INPUT, r->env.loc,
                        "let %s of a kernel reads outside of its operand: correct the kernel", r->kernel->lets[i].name);
    xfc_lanes_load(b->dtype, 1, (xfc_lanes){.i = &r->let[i]}, b->data, at, 0);
    return XFC_OK;
}

/* What passes and the emitter rely on; where data decides, the data must be right. */
static xfc_status check_let(const runner *r, uint32_t i) {
    const xfc_int_info info = *xfc_int_look(r->env.ctx, r->kernel->lets[i].symbol);
    int64_t lo, hi;
    XFC_TRY(value_of(r, info.lo, &lo));
    XFC_TRY(value_of(r, info.hi, &hi));
    if (r->let[i] >= lo && r->let[i] <= hi) return XFC_OK;
    if (r->kernel->lets[i].load)
        return xfc_fail(r->env.ctx, XFC_ERR_INPUT, r->env.loc,
                        "index out of range: %lld is not in %lld..%lld: correct the indices", (long long)r->let[i],
                        (long long)lo, (long long)hi);
    return xfc_fail(r->env.ctx, XFC_ERR_INPUT, r->env.loc,
                    "let %s of a kernel is %lld, outside %lld..%lld: correct the kernel", r->kernel->lets[i].name,
                    (long long)r->let[i], (long long)lo, (long long)hi);
}

static xfc_status run_task(runner *r) {
    const xfc_kernel *k = r->kernel;
    r->lets_known = 0;
    for (uint32_t i = 0; i < k->n_lets; i++) {
        XFC_TRY(k->lets[i].load ? load_let(r, i) : value_of(r, k->lets[i].value, &r->let[i]));
        XFC_TRY(check_let(r, i));
        r->lets_known = i + 1;
    }
    XFC_TRY(make_temps(r));
    for (uint32_t i = 0; i < k->n_steps; i++) {
        const xfc_step *s = &k->steps[i];
        if (s->kind == XFC_STEP_TILE) {
            XFC_TRY(run_tile(r, s->u.tile));
            continue;
        }
        if (!r->prog[i]) r->prog[i] = xfc_nest_compile(s->u.nest, &r->env, r->arena);
        XFC_TRY(xfc_nest_run(r->prog[i], &r->env, r->buffer, k->n_buffers));
    }
    return XFC_OK;
}

static xfc_status run_axes(runner *r, uint32_t i) {
    if (i == r->kernel->n_axes) return run_task(r);
    int64_t extent;
    r->axes_known = i;
    r->lets_known = 0;
    XFC_TRY(value_of(r, r->kernel->axes[i].extent, &extent));
    for (int64_t v = 0; v < extent; v++) {
        r->axis[i] = v;
        r->axes_known = i + 1;
        XFC_TRY(run_axes(r, i + 1));
    }
    return XFC_OK;
}

xfc_status xfc_kernel_run(const xfc_kernel *k, const xfc_eval_env *env, const xfc_array *operands, xfc_arena *arena) {
    runner r = {.kernel = k, .outer = env, .arena = arena};
    r.env = (xfc_eval_env){.ctx = env->ctx, .loc = env->loc, .lookup = lookup, .user = &r};
    r.axis = xfc_new_array(arena, int64_t, k->n_axes);
    r.let = xfc_new_array(arena, int64_t, k->n_lets);
    r.buffer = xfc_new_array(arena, xfc_array, k->n_buffers);
    r.room = xfc_new_array(arena, size_t, k->n_buffers);
    r.prog = xfc_new_array(arena, xfc_nest_prog *, k->n_steps);
    XFC_TRY(bind_operands(&r, operands));
    return run_axes(&r, 0);
}

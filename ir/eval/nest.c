/* nest.c - compiles one nest to a list of steps and runs it, a chunk of one axis at a time.
 *
 * Idea: one axis, parallel or reduced, is the lane axis: every step works on up to XFC_EVAL_LANES of its values at
 * once, so the cost of interpretation is paid once a chunk. Loops: parallel and scan axes in their order, then the
 * chunks of the lane axis if it is parallel, then the reduce axes (the lane axis last if it is one of them). Each index
 * node and each instruction has a level, the number of loops it depends on; it is evaluated when the loop of its level
 * advances, which hoists everything that can be. Instructions that read a buffer which the nest also writes stay
 * innermost.
 *
 * Nothing is trusted: every access is checked against its buffer, every let against its range.
 * Not here: schedules. A nest means the same with any `how`.
 */
#include "ir/eval/eval_impl.h"

#include <string.h>

typedef struct {
    bool is_index;
    uint32_t what;
} step;
typedef struct {
    uint32_t buffer, rank, node[XFC_MAX_RANK];
} place;
typedef struct {
    uint32_t extent, symbol;
    bool is_lane;
} loop; /* nodes */
typedef struct {
    place at;
    uint32_t lo, hi, symbol;
    xfc_dtype operand;
    bool predicated;
} detail; /* of an instruction */

struct xfc_nest_prog {
    const xfc_nest *nest;
    xfc_arena *arena;
    xfc_ix *ix;
    uint32_t n_ix, cap_ix;
    xfc_map node_of; /* xfc_int id -> node + 1 */
    xfc_reg *reg;    /* one an instruction */
    uint32_t *level; /* of each instruction */
    detail *detail;
    place *store_at;
    xfc_lanes *acc; /* one a store with a combine */
    loop *loops;
    uint32_t n_loops, lane_level; /* level at which lane values exist; n_loops + 1: no lane axis */
    uint32_t reduce_from;         /* first reduce loop */
    step **steps;                 /* by level */
    uint32_t *n_steps, *cap_steps;
    /* one run */
    const xfc_array *buffer;
    const xfc_eval_env *env;
    uint32_t lanes; /* of the current chunk */
    bool idle;      /* a reduce extent is 0: the body never runs */
    xfc_lanes scratch, result;
    int64_t *offset;
    xfc_status status;
};
typedef struct xfc_nest_prog prog;

/* --- compiling --- */

static void add_step(prog *p, uint32_t level, bool is_index, uint32_t what) {
    xfc_push(p->arena, p->steps[level], p->n_steps[level], p->cap_steps[level]) = (step){is_index, what};
}

static uint32_t add_node(prog *p, xfc_int e, xfc_ix x) {
    if (x.form == XFC_FORM_LANES && !x.lane) x.lane = xfc_new_array(p->arena, int64_t, XFC_EVAL_LANES);
    xfc_push(p->arena, p->ix, p->n_ix, p->cap_ix) = x;
    xfc_map_set(&p->node_of, e.id, p->n_ix);
    if (x.kind != XFC_INT_CONST && x.kind != XFC_INT_SYMBOL) add_step(p, x.level, true, p->n_ix - 1);
    return p->n_ix - 1;
}

static void join(const prog *p, xfc_ix *x, uint32_t part) {
    if (p->ix[part].level > x->level) x->level = p->ix[part].level;
}

static uint32_t compile_int(prog *p, xfc_int e);

static uint32_t compile_sum(prog *p, xfc_int e, const xfc_int_info *info) {
    xfc_ix x = {.kind = XFC_INT_SUM, .n_terms = info->n_terms};
    xfc_ix_term *terms = xfc_new_array(p->arena, xfc_ix_term, info->n_terms);
    for (uint32_t i = 0; i < info->n_terms; i++) {
        uint32_t *atoms = xfc_new_array(p->arena, uint32_t, info->term[i].n), lines = 0;
        for (uint32_t j = 0; j < info->term[i].n; j++) {
            atoms[j] = compile_int(p, info->term[i].atom[j]);
            join(p, &x, atoms[j]);
            xfc_form f = p->ix[atoms[j]].form;
            if (f == XFC_FORM_LANES || (f == XFC_FORM_LINE && lines++)) x.form = XFC_FORM_LANES;
            if (f == XFC_FORM_LINE && x.form == XFC_FORM_ONE) x.form = XFC_FORM_LINE;
        }
        terms[i] = (xfc_ix_term){info->term[i].coeff, info->term[i].n, atoms};
    }
    x.term = terms;
    return add_node(p, e, x);
}

/* Loop symbols and lets are in the table already; any other symbol comes from outside. */
static uint32_t compile_int(prog *p, xfc_int e) {
    uint64_t known;
    xfc_assert(xfc_int_known(e));
    if (xfc_map_find(&p->node_of, e.id, &known)) return (uint32_t)known - 1;
    xfc_int_info info = *xfc_int_look(p->env->ctx, e);
    if (info.kind == XFC_INT_CONST) return add_node(p, e, (xfc_ix){.kind = XFC_INT_CONST, .base = info.value});
    if (info.kind == XFC_INT_SYMBOL)
        return add_node(p, e, (xfc_ix){.kind = XFC_INT_SYMBOL, .symbol = e, .external = true});
    if (info.kind == XFC_INT_SUM) return compile_sum(p, e, &info);
    xfc_ix x = {.kind = info.kind, .a = compile_int(p, info.a)};
    x.b = compile_int(p, info.b);
    join(p, &x, x.a);
    join(p, &x, x.b);
    if (p->ix[x.a].form != XFC_FORM_ONE || p->ix[x.b].form != XFC_FORM_ONE) x.form = XFC_FORM_LANES;
    return add_node(p, e, x);
}

static void raise_level(uint32_t *level, bool *uniform, const xfc_ix *x) {
    if (x->level > *level) *level = x->level;
    if (x->form != XFC_FORM_ONE) *uniform = false;
}

static place compile_place(prog *p, const xfc_access *a, uint32_t *level, bool *uniform) {
    place at = {.buffer = a->buffer, .rank = a->rank};
    for (uint32_t d = 0; d < a->rank; d++) {
        at.node[d] = compile_int(p, a->index[d]);
        raise_level(level, uniform, &p->ix[at.node[d]]);
    }
    return at;
}

static bool writes(const xfc_nest *nest, uint32_t buffer) {
    for (uint32_t i = 0; i < nest->n_stores; i++) {
        if (nest->stores[i].to.buffer == buffer) return true;
    }
    return false;
}

static void compile_let(prog *p, uint32_t i, uint32_t *level, bool *uniform) {
    xfc_int symbol = p->nest->body[i].u.index;
    xfc_int_info info = *xfc_int_look(p->env->ctx, symbol);
    detail *d = &p->detail[i];
    d->lo = compile_int(p, info.lo);
    d->hi = compile_int(p, info.hi);
    raise_level(level, uniform, &p->ix[d->lo]);
    raise_level(level, uniform, &p->ix[d->hi]);
    xfc_ix x = {
        .kind = XFC_INT_SYMBOL, .symbol = symbol, .level = *level, .form = *uniform ? XFC_FORM_ONE : XFC_FORM_LANES};
    x.lane = p->reg[i].lane.i;
    d->symbol = add_node(p, symbol, x);
}

static void compile_scalar(prog *p, uint32_t i) {
    const xfc_scalar *s = &p->nest->body[i];
    uint32_t level = 0, arity = s->op == XFC_S_LOAD ? 1 : xfc_scalar_arity(s->op);
    bool uniform = true;
    p->reg[i].lane.any = xfc_alloc(p->arena, XFC_EVAL_LANES * sizeof(double), 64);
    for (uint32_t a = 0; a < arity; a++) {
        if (s->arg[a] == XFC_NO_ARG) continue;
        xfc_assert(s->arg[a] < i);
        if (p->level[s->arg[a]] > level) level = p->level[s->arg[a]];
        uniform = uniform && p->reg[s->arg[a]].uniform;
        p->detail[i].operand = p->nest->body[s->arg[a]].dtype; /* the last: not the condition of a select */
    }
    if (s->op == XFC_S_LOAD) {
        p->detail[i].at = compile_place(p, s->u.access, &level, &uniform);
        p->detail[i].predicated = s->arg[0] != XFC_NO_ARG;
        if (writes(p->nest, s->u.access->buffer)) level = p->n_loops;
    } else if (s->op == XFC_S_INDEX) {
        p->detail[i].symbol = compile_int(p, s->u.index);
        raise_level(&level, &uniform, &p->ix[p->detail[i].symbol]);
    } else if (s->op == XFC_S_LET) {
        compile_let(p, i, &level, &uniform);
    }
    p->level[i] = level;
    p->reg[i].uniform = uniform;
    add_step(p, level, false, i);
}

/* The extent of an axis as far as it is known before the run; -1 if not. */
static int64_t extent_hint(const xfc_eval_env *env, const xfc_axis *axis) {
    int64_t n;
    return xfc_int_evaluate(env->ctx, axis->extent, env->lookup, env->user, &n) ? n : -1;
}

/* The last long parallel axis (memory order), else the longest axis that is no scan; n_axes if there is none. */
static uint32_t choose_lane(const xfc_nest *nest, const xfc_eval_env *env) {
    uint32_t best = nest->n_axes;
    int64_t longest = -1;
    for (uint32_t i = nest->n_axes; i-- > 0;) {
        if (nest->axes[i].kind == XFC_AXIS_SCAN) continue;
        int64_t n = extent_hint(env, &nest->axes[i]);
        if (nest->axes[i].kind == XFC_AXIS_PARALLEL && n >= 32) return i;
        if (best == nest->n_axes || n > longest) best = i, longest = n;
    }
    return best;
}

static void add_loop(prog *p, const xfc_axis *axis, bool is_lane) {
    uint32_t extent = compile_int(p, axis->extent);
    p->n_loops++;
    if (is_lane) p->lane_level = p->n_loops;
    xfc_ix x = {.kind = XFC_INT_SYMBOL,
                .symbol = axis->symbol,
                .level = p->n_loops,
                .form = is_lane ? XFC_FORM_LINE : XFC_FORM_ONE};
    x.stride = is_lane;
    uint32_t symbol = add_node(p, axis->symbol, x);
    p->loops[p->n_loops - 1] = (loop){extent, symbol, is_lane};
}

static void compile_loops(prog *p) {
    const xfc_nest *nest = p->nest;
    uint32_t lane = choose_lane(nest, p->env);
    p->lane_level = UINT32_MAX;
    for (uint32_t i = 0; i < nest->n_axes; i++) {
        if (i != lane && nest->axes[i].kind != XFC_AXIS_REDUCE) add_loop(p, &nest->axes[i], false);
    }
    bool reduced = lane < nest->n_axes && nest->axes[lane].kind == XFC_AXIS_REDUCE;
    if (lane < nest->n_axes && !reduced) add_loop(p, &nest->axes[lane], true);
    p->reduce_from = p->n_loops;
    for (uint32_t i = 0; i < nest->n_axes; i++) {
        if (i != lane && nest->axes[i].kind == XFC_AXIS_REDUCE) add_loop(p, &nest->axes[i], false);
    }
    if (reduced) add_loop(p, &nest->axes[lane], true);
}

xfc_nest_prog *xfc_nest_compile(const xfc_nest *nest, const xfc_eval_env *env, xfc_arena *arena) {
    prog *p = xfc_new(arena, prog);
    p->nest = nest;
    p->arena = arena;
    p->env = env;
    p->node_of = (xfc_map){.arena = arena};
    p->steps = xfc_new_array(arena, step *, nest->n_axes + 1);
    p->n_steps = xfc_new_array(arena, uint32_t, nest->n_axes + 1);
    p->cap_steps = xfc_new_array(arena, uint32_t, nest->n_axes + 1);
    p->reg = xfc_new_array(arena, xfc_reg, nest->n_body);
    p->level = xfc_new_array(arena, uint32_t, nest->n_body);
    p->detail = xfc_new_array(arena, detail, nest->n_body);
    p->store_at = xfc_new_array(arena, place, nest->n_stores);
    p->acc = xfc_new_array(arena, xfc_lanes, nest->n_stores);
    p->scratch.any = xfc_alloc(arena, XFC_EVAL_LANES * sizeof(double), 64);
    p->result.any = xfc_alloc(arena, XFC_EVAL_LANES * sizeof(double), 64);
    p->loops = xfc_new_array(arena, loop, nest->n_axes);
    p->offset = xfc_new_array(arena, int64_t, XFC_EVAL_LANES);
    compile_loops(p);
    for (uint32_t i = 0; i < nest->n_body; i++) compile_scalar(p, i);
    for (uint32_t i = 0; i < nest->n_stores; i++) {
        uint32_t level = 0;
        bool uniform = true;
        p->store_at[i] = compile_place(p, &nest->stores[i].to, &level, &uniform);
        bool combined = nest->stores[i].combine != XFC_S_COUNT;
        xfc_assert(!combined || level <= p->reduce_from);
        if (combined) p->acc[i].any = xfc_alloc(arena, XFC_EVAL_LANES * sizeof(double), 64);
    }
    return p;
}

/* --- accesses --- */

static bool failed(prog *p, const char *what, int64_t index, int64_t extent) {
    p->status = xfc_fail(p->env->ctx, XFC_ERR_INPUT, p->env->loc,
                         "%s %lld is outside 0..%lld: correct the indices or the shapes of the inputs", what,
                         (long long)index, (long long)extent - 1);
    return false;
}

/* Offsets of lanes 0 .. n - 1, in elements: as a line (true in *line) or in p->offset. Lanes that pred turns off are
 * not checked. */
static bool locate(prog *p, const place *at, uint32_t n, const int64_t *pred, bool *line, int64_t *base,
                   int64_t *stride) {
    const xfc_array *b = &p->buffer[at->buffer];
    xfc_assert(b->rank == at->rank);
    *line = true;
    *base = *stride = 0;
    for (uint32_t d = 0; d < at->rank; d++) {
        if (p->ix[at->node[d]].form == XFC_FORM_LANES) *line = false;
    }
    if (pred) *line = false;
    int64_t scale = 1;
    for (uint32_t k = 0; !*line && k < n; k++) p->offset[k] = 0;
    for (uint32_t d = at->rank; d-- > 0; scale *= b->dim[d]) {
        const xfc_ix *x = &p->ix[at->node[d]];
        if (*line) {
            int64_t last = xfc_ix_at(x, n - 1);
            if (x->base < 0 || x->base >= b->dim[d]) return failed(p, "index", x->base, b->dim[d]);
            if (last < 0 || last >= b->dim[d]) return failed(p, "index", last, b->dim[d]);
            *base += scale * x->base;
            *stride += x->form == XFC_FORM_LINE ? scale * x->stride : 0;
            continue;
        }
        for (uint32_t k = 0; k < n; k++) {
            int64_t v = xfc_ix_at(x, k);
            if (pred && !pred[k]) continue;
            if (v < 0 || v >= b->dim[d]) return failed(p, "index", v, b->dim[d]);
            p->offset[k] += scale * v;
        }
    }
    return true;
}

static bool run_load(prog *p, uint32_t i, uint32_t n) {
    const xfc_scalar *s = &p->nest->body[i];
    const detail *d = &p->detail[i];
    const int64_t *pred = d->predicated ? p->reg[s->arg[0]].lane.i : NULL;
    bool line;
    int64_t base, stride;
    if (!locate(p, &d->at, n, pred, &line, &base, &stride)) return false;
    const xfc_array *b = &p->buffer[d->at.buffer];
    xfc_assert(b->dtype == s->dtype);
    if (line) {
        xfc_lanes_load(s->dtype, n, p->reg[i].lane, b->data, base, stride);
        return true;
    }
    if (!pred) {
        xfc_lanes_load_at(s->dtype, n, p->reg[i].lane, b->data, p->offset);
        return true;
    }
    memset(p->reg[i].lane.any, 0, XFC_EVAL_LANES * sizeof(double)); /* all representations of 0 */
    bool floats = xfc_rep_of(s->dtype) == XFC_REP_F;
    for (uint32_t k = 0; k < n; k++) {
        xfc_lanes one = floats ? (xfc_lanes){.f = p->reg[i].lane.f + k} : (xfc_lanes){.i = p->reg[i].lane.i + k};
        if (pred[k]) xfc_lanes_load(s->dtype, 1, one, b->data, p->offset[k], 1);
    }
    return true;
}

static bool run_store(prog *p, uint32_t i, uint32_t n, xfc_lanes value) {
    const xfc_store *s = &p->nest->stores[i];
    const place *at = &p->store_at[i];
    const xfc_array *b = &p->buffer[at->buffer];
    xfc_dtype from = p->nest->body[s->value].dtype;
    bool line;
    int64_t base, stride;
    if (!locate(p, at, n, NULL, &line, &base, &stride)) return false;
    if (b->dtype != from) {
        xfc_lanes_cast(b->dtype, from, n, p->scratch, value);
        value = p->scratch;
    }
    if (line)
        xfc_lanes_store(b->dtype, n, value, b->data, base, stride);
    else
        xfc_lanes_store_at(b->dtype, n, value, b->data, p->offset);
    return true;
}

/* --- running --- */

static bool run_let(prog *p, uint32_t i, uint32_t n) {
    const xfc_scalar *s = &p->nest->body[i];
    const detail *d = &p->detail[i];
    const int64_t *in = p->reg[s->arg[0]].lane.i;
    int64_t *out = p->reg[i].lane.i;
    for (uint32_t k = 0; k < n; k++) {
        int64_t lo = xfc_ix_at(&p->ix[d->lo], k), hi = xfc_ix_at(&p->ix[d->hi], k), v = in[k];
        if (v < 0 && s->wrap) v += hi + 1;
        if (v >= lo && v <= hi) {
            out[k] = v;
            continue;
        }
        p->status = xfc_fail(p->env->ctx, XFC_ERR_INPUT, p->env->loc,
                             "index out of range: %lld is not in %lld..%lld: correct the indices", (long long)in[k],
                             (long long)(s->wrap ? -hi - 1 : lo), (long long)hi);
        return false;
    }
    p->ix[d->symbol].base = out[0];
    return true;
}

static bool run_scalar(prog *p, uint32_t i, uint32_t lanes) {
    const xfc_scalar *s = &p->nest->body[i];
    uint32_t n = p->reg[i].uniform ? 1 : lanes;
    xfc_lanes out = p->reg[i].lane, arg[3] = {{NULL}, {NULL}, {NULL}};
    for (uint32_t a = 0; a < 3; a++) {
        if (s->arg[a] != XFC_NO_ARG) arg[a] = p->reg[s->arg[a]].lane;
    }
    switch ((int)s->op) {
    case XFC_S_CONST: {
        bool is_float = xfc_dtype_is_float(s->dtype);
        double f = is_float ? s->u.f : 0;
        int64_t v = is_float ? 0 : s->u.i;
        if (xfc_dtype_is_code(s->dtype))
            out.i[0] = v;
        else
            xfc_lanes_cast(s->dtype, is_float ? XFC_F64 : XFC_I64, 1, out,
                           is_float ? (xfc_lanes){.d = &f} : (xfc_lanes){.i = &v});
        break;
    }
    case XFC_S_INDEX:
        for (uint32_t k = 0; k < n; k++) out.i[k] = xfc_ix_at(&p->ix[p->detail[i].symbol], k);
        break;
    case XFC_S_LOAD:
        if (!run_load(p, i, n)) return false;
        break;
    case XFC_S_LET:
        if (!run_let(p, i, n)) return false;
        break;
    case XFC_S_CAST: xfc_lanes_cast(s->dtype, p->nest->body[s->arg[0]].dtype, n, out, arg[0]); break;
    default: xfc_lanes_op(s->op, p->detail[i].operand, n, out, arg);
    }
    if (p->reg[i].uniform)
        xfc_lanes_spread(xfc_rep_of(s->dtype), p->level[i] >= p->lane_level ? lanes : XFC_EVAL_LANES, out);
    return true;
}

static bool enter_level(prog *p, uint32_t level) {
    for (uint32_t i = 0; i < p->n_steps[level]; i++) {
        const step *s = &p->steps[level][i];
        if (s->is_index)
            xfc_ix_eval(p->ix, s->what, p->lanes);
        else if (!p->idle && !run_scalar(p, s->what, p->lanes))
            return false;
    }
    return true;
}

static bool run_innermost(prog *p) {
    for (uint32_t i = 0; i < p->nest->n_stores; i++) {
        const xfc_store *s = &p->nest->stores[i];
        xfc_lanes value = p->reg[s->value].lane;
        if (s->combine != XFC_S_COUNT)
            xfc_acc_add(s->combine, p->nest->body[s->value].dtype, p->lanes, p->acc[i], value);
        else if (!run_store(p, i, p->lanes, value))
            return false;
    }
    return true;
}

static bool run_at(prog *p, uint32_t l, bool reducing);

/* One element a lane of every combined store: the reduction over all reduce loops. */
static bool run_reduction(prog *p) {
    const xfc_nest *nest = p->nest;
    bool across = p->lane_level != UINT32_MAX && p->lane_level > p->reduce_from; /* lanes are reduced as well */
    uint32_t width = across ? XFC_EVAL_LANES : p->lanes;
    for (uint32_t i = 0; i < nest->n_stores; i++) {
        const xfc_store *s = &nest->stores[i];
        if (s->combine != XFC_S_COUNT) xfc_acc_start(s->combine, nest->body[s->value].dtype, width, p->acc[i]);
    }
    if (!run_at(p, p->reduce_from, true)) return false;
    for (uint32_t i = 0; i < nest->n_stores; i++) {
        const xfc_store *s = &nest->stores[i];
        if (s->combine == XFC_S_COUNT) continue;
        xfc_dtype t = nest->body[s->value].dtype;
        if (across) xfc_acc_fold(s->combine, t, width, p->acc[i]);
        xfc_acc_finish(t, p->lanes, p->result, p->acc[i]);
        if (!run_store(p, i, p->lanes, p->result)) return false;
    }
    return true;
}

static bool run_at(prog *p, uint32_t l, bool reducing) {
    if (l == p->reduce_from && !reducing) return run_reduction(p);
    if (l == p->n_loops) return p->idle || run_innermost(p);
    const loop *lp = &p->loops[l];
    int64_t extent = p->ix[lp->extent].base, chunk = lp->is_lane ? XFC_EVAL_LANES : 1;
    uint32_t outer = p->lanes;
    for (int64_t i = 0; i < extent; i += chunk) {
        p->ix[lp->symbol].base = i;
        if (lp->is_lane) p->lanes = (uint32_t)(extent - i < chunk ? extent - i : chunk);
        if (!enter_level(p, l + 1) || !run_at(p, l + 1, reducing)) return false;
    }
    p->lanes = outer;
    return true;
}

static xfc_status bind_externals(prog *p) {
    for (uint32_t i = 0; i < p->n_ix; i++) {
        xfc_ix *x = &p->ix[i];
        if (!x->external || xfc_int_evaluate(p->env->ctx, x->symbol, p->env->lookup, p->env->user, &x->base)) continue;
        return xfc_fail(p->env->ctx, XFC_ERR_INPUT, p->env->loc,
                        "the value of dimension %s is not known: give every input its shape",
                        xfc_int_look(p->env->ctx, x->symbol)->name);
    }
    return XFC_OK;
}

xfc_status xfc_nest_run(prog *p, const xfc_eval_env *env, const xfc_array *buffers, uint32_t n_buffers) {
    p->env = env;
    p->buffer = buffers;
    p->lanes = 1;
    p->status = XFC_OK;
    for (uint32_t i = 0; i < p->nest->n_stores; i++) xfc_assert(p->store_at[i].buffer < n_buffers);
    for (uint32_t i = 0; i < p->nest->n_body; i++)
        xfc_assert(p->detail[i].at.buffer < n_buffers || p->nest->body[i].op != XFC_S_LOAD);
    XFC_TRY(bind_externals(p));
    p->idle = true; /* only indices: is any loop empty? */
    enter_level(p, 0);
    p->idle = false;
    for (uint32_t l = 0; l < p->n_loops; l++) {
        const xfc_ix *extent = &p->ix[p->loops[l].extent];
        if (extent->level > 0 || extent->base > 0) continue;
        if (l < p->reduce_from) return XFC_OK;
        p->idle = true;
    }
    return enter_level(p, 0) && run_at(p, 0, false) ? XFC_OK : p->status;
}

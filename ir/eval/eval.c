/* eval.c - the interpreter's frame: arrays, ops, graphs.
 *
 * An op runs by its meaning: the nest, the decomposition (into a scratch graph with the op's operand types, which is
 * then run) or its kernel. A graph binds its symbols from the shapes of the inputs, checks declared dims, ranges and
 * constraints, and runs ops in order; storage of a value is reused after its last use.
 */
#include "ir/eval/eval_impl.h"

#include "ir/build.h"
#include "ir/defined.h"
#include "ir/ops/ops.h"
#include "ir/program.h"
#include <string.h>

/* --- arrays --- */

xfc_status xfc_array_make(const xfc_eval_env *env, const xfc_type *type, xfc_arena *arena, xfc_array *out) {
    size_t bytes;
    out->dtype = type->dtype;
    out->rank = type->rank;
    for (uint32_t d = 0; d < type->rank; d++) {
        if (xfc_int_evaluate(env->ctx, type->dim[d], env->lookup, env->user, &out->dim[d])) continue;
        return xfc_fail(env->ctx, XFC_ERR_INPUT, env->loc,
                        "dim %u of a result has no value: give every input its shape", (unsigned)d);
    }
    if (!xfc_tensor_count(type->dtype, type->rank, out->dim, &out->count, &bytes) || bytes > XFC_EVAL_MAX_BYTES) {
        return xfc_fail(env->ctx, XFC_ERR_LIMIT, env->loc,
                        "a tensor of this shape is too large to evaluate: use smaller inputs");
    }
    if (arena) out->data = xfc_alloc(arena, bytes, 64);
    return XFC_OK;
}

/* --- one op --- */

static xfc_status eval_ops(const xfc_graph *, const xfc_defined *, const xfc_eval_env *, const xfc_array *in,
                           xfc_array *out, const xfc_eval_opts *);

static xfc_status eval_nest(const xfc_op *op, const xfc_eval_env *env, const xfc_array *operands, xfc_arena *scratch) {
    xfc_nestb nb = xfc_nestb_new(env->ctx, scratch);
    XFC_TRY(xfc_ops[op->code].nest(op, &nb));
    return xfc_nest_run(xfc_nest_compile(nb.nest, env, scratch), env, operands, op->n_in + op->n_out);
}

xfc_graph *xfc_op_decomposed(const xfc_op *op) {
    xfc_graph *g = xfc_graph_new(op->graph->ctx, xfc_ops[op->code].name);
    xfc_value **in = xfc_new_array(g->arena, xfc_value *, op->n_in);
    xfc_value **out = xfc_new_array(g->arena, xfc_value *, op->n_out);
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (op->in[i].value) in[i] = xfc_graph_add_input(g, NULL, op->in[i].value->type);
    }
    xfc_op *copy = xfc_op_new(g, NULL, op->code, in, op->n_in, op->n_out, op->attr, op->n_attr, op->loc);
    for (uint32_t i = 0; i < op->n_out; i++) copy->out[i].type = op->out[i].type;
    xfc_builder b = {.graph = g, .loc = op->loc};
    if (xfc_ops[op->code].decompose(&b, copy, out) == XFC_OK) {
        xfc_op_remove(copy);
        xfc_graph_set_outputs(g, out, NULL, op->n_out);
        return g;
    }
    xfc_graph_free(g);
    return NULL;
}

static xfc_status eval_composite(const xfc_op *op, const xfc_eval_env *env, const xfc_array *in, xfc_array *out,
                                 xfc_arena *scratch) {
    xfc_graph *g = xfc_op_decomposed(op);
    if (!g) return XFC_ERR_INPUT;
    xfc_array *given = xfc_new_array(scratch, xfc_array, op->n_in),
              *result = xfc_new_array(scratch, xfc_array, op->n_out);
    uint32_t n = 0;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (op->in[i].value) given[n++] = in[i];
    }
    const xfc_defined none = {.ctx = env->ctx};
    xfc_status status = eval_ops(g, &none, env, given, result, &(xfc_eval_opts){.arena = scratch});
    for (uint32_t i = 0; status == XFC_OK && i < op->n_out; i++) {
        xfc_assert(result[i].count == out[i].count && result[i].dtype == out[i].dtype);
        memcpy(out[i].data, result[i].data, (size_t)out[i].count * xfc_dtype_bytes(out[i].dtype));
    }
    xfc_graph_free(g);
    return status;
}

static const xfc_tensor *constant_of(const xfc_op *op) {
    return op->code == XFC_OP_CONST ? xfc_op_attr(op, XFC_K_VALUE)->u.tensor : NULL;
}

/* Outputs are made already. */
static xfc_status eval_into(const xfc_op *op, const xfc_eval_env *env, const xfc_array *in, xfc_array *out) {
    const xfc_op_info *info = &xfc_ops[op->code];
    const xfc_tensor *constant = constant_of(op);
    if (constant) {
        memcpy(out->data, constant->data, constant->bytes);
        return XFC_OK;
    }
    xfc_arena *scratch = xfc_arena_new();
    xfc_array *operands = xfc_new_array(scratch, xfc_array, (size_t)op->n_in + op->n_out);
    memcpy(operands, in, op->n_in * sizeof *in);
    memcpy(operands + op->n_in, out, op->n_out * sizeof *out);
    xfc_status status;
    if (op->kernel)
        status = xfc_kernel_run(op->kernel, env, operands, scratch);
    else if (info->nest)
        status = eval_nest(op, env, operands, scratch);
    else if (info->decompose)
        status = eval_composite(op, env, in, out, scratch);
    else
        status = xfc_routine_run(op, env, operands, scratch);
    xfc_arena_free(scratch);
    return status;
}

static bool nothing_bound(void *user, uint32_t symbol_id, int64_t *out) {
    (void)user, (void)symbol_id, (void)out;
    return false;
}

xfc_status xfc_eval_op(const xfc_op *op, const xfc_array *in, xfc_array *out, xfc_arena *arena, xfc_int_lookup *lookup,
                       void *user) {
    xfc_eval_env env = {.ctx = op->graph->ctx, .loc = op->loc, .lookup = lookup ? lookup : nothing_bound, .user = user};
    for (uint32_t i = 0; i < op->n_out; i++) { XFC_TRY(xfc_array_make(&env, &op->out[i].type, arena, &out[i])); }
    return eval_into(op, &env, in, out);
}

/* --- storage of intermediate values --- */

enum { SIZE_CLASSES = 48 };
typedef struct block {
    struct block *next;
} block;
typedef struct {
    xfc_arena *arena;
    block *free[SIZE_CLASSES];
} store;

static uint32_t size_class(size_t bytes) {
    uint32_t c = 6; /* 64 bytes at least */
    while (((size_t)1 << c) < bytes) c++;
    return c;
}

static void *take(store *s, size_t bytes) {
    uint32_t c = size_class(bytes);
    xfc_assert(c < SIZE_CLASSES);
    block *b = s->free[c];
    if (!b) return xfc_alloc(s->arena, (size_t)1 << c, 64);
    s->free[c] = b->next;
    return b;
}

static void give_back(store *s, void *data, size_t bytes) {
    uint32_t c = size_class(bytes);
    block *b = data;
    b->next = s->free[c];
    s->free[c] = b;
}

/* --- a graph --- */

typedef struct {
    const xfc_graph *graph;
    const xfc_eval_env *env;
    const xfc_eval_opts *opts;
    store store;
    xfc_array *value;           /* by value id */
    uint32_t *uses;             /* left, by value id */
    xfc_map defined;            /* id of a symbol that a define defined -> value + 1; values are >= 0 */
    const xfc_defined *symbols; /* of the program */
} graph_run;

static bool lookup(void *user, uint32_t symbol_id, int64_t *out) {
    const graph_run *r = user;
    uint64_t v = xfc_map_get(&r->defined, symbol_id);
    *out = (int64_t)v - 1;
    return v != 0 || r->env->lookup(r->env->user, symbol_id, out);
}

/* Those that are known behind this op, or when the graph begins (see xfc_constraint_known). */
static xfc_status check_constraints(const graph_run *r, const xfc_eval_env *env, const xfc_op *behind) {
    const xfc_graph *g = r->graph;
    for (uint32_t i = 0; i < g->n_constraints; i++) {
        const xfc_constraint *k = &g->constraint[i];
        int64_t a, b;
        if (xfc_constraint_known(r->symbols, g, k) != behind) continue;
        if (!xfc_int_evaluate(g->ctx, k->a, env->lookup, env->user, &a) ||
            !xfc_int_evaluate(g->ctx, k->b, env->lookup, env->user, &b))
            return xfc_fail(
                g->ctx, XFC_ERR_INPUT, k->loc,
                "sizes that this node needs have no value, or one beyond 63 bits: give every input its shape");
        if (xfc_constraint_holds(k, a, b)) continue;
        if (k->ones == XFC_UNEQUAL)
            return xfc_fail(g->ctx, XFC_ERR_INPUT, k->loc,
                            "%s is %lld, and the graph is made for any size but that: fix it with --dim",
                            xfc_dim_text(g->ctx, k->a), (long long)a);
        return xfc_fail(g->ctx, XFC_ERR_INPUT, k->loc,
                        "%s are %lld and %lld but must be equal: correct the shapes of the inputs",
                        k->loc.what ? k->loc.what : "sizes", (long long)a, (long long)b);
    }
    return XFC_OK;
}

/* The symbols take their numbers, which must lie in their ranges. */
static xfc_status set_symbols(graph_run *r, const xfc_op *op, const xfc_eval_env *env, const int64_t *number) {
    const xfc_int *symbol;
    uint32_t n = xfc_op_defines(op, &symbol);
    for (uint32_t i = 0; i < n; i++) {
        const xfc_int_info info = *xfc_int_look(env->ctx, symbol[i]);
        int64_t v = number[i], lo, hi;
        bool known = xfc_int_evaluate(env->ctx, info.lo, env->lookup, env->user, &lo) &&
                     xfc_int_evaluate(env->ctx, info.hi, env->lookup, env->user, &hi);
        if (!known || v < lo || v > hi || v < 0)
            return xfc_fail(env->ctx, XFC_ERR_INPUT, op->loc, "%s is %lld, which lies outside its range: correct it",
                            info.name, (long long)v);
        xfc_map_set(&r->defined, symbol[i].id, (uint64_t)v + 1);
    }
    return XFC_OK;
}

static xfc_status define(graph_run *r, const xfc_op *op, const xfc_eval_env *env, const xfc_array *counts) {
    const xfc_int *symbol;
    xfc_assert(counts->dtype == XFC_I64 && counts->count == xfc_op_defines(op, &symbol));
    XFC_TRY(set_symbols(r, op, env, counts->data));
    return check_constraints(r, env, op);
}

static size_t bytes_of(const xfc_array *a) { return xfc_dtype_size(a->dtype, a->count); }

/* As the first n results of a region, into storage of the graph. */
static xfc_status keep_results(graph_run *r, const xfc_op *op, const xfc_eval_env *env, uint32_t n,
                               const xfc_array *result, xfc_array *out) {
    for (uint32_t i = 0; i < n; i++) {
        XFC_TRY(xfc_array_make(env, &op->out[i].type, NULL, &out[i]));
        for (uint32_t d = 0; d < out[i].rank; d++)
            if (out[i].dim[d] != result[i].dim[d])
                return xfc_fail(env->ctx, XFC_ERR_INPUT, op->loc,
                                "dim %u of result %u is %lld, but the body that ran says that it is %lld: correct it",
                                (unsigned)d, (unsigned)i, (long long)result[i].dim[d], (long long)out[i].dim[d]);
        out[i].data = take(&r->store, bytes_of(&out[i]));
        memcpy(out[i].data, result[i].data, bytes_of(&out[i]));
        r->value[op->out[i].id] = out[i];
    }
    return XFC_OK;
}

/* The body that the condition chooses runs as a graph of its own, which sees the symbols around it; then the op's own
 * symbols are known, and with them the sizes of its results. */
static xfc_status run_branch(graph_run *r, const xfc_op *op, const xfc_eval_env *env, const xfc_array *in,
                             xfc_array *out, xfc_arena *scratch) {
    bool taken = *(const uint8_t *)in[0].data != 0;
    const xfc_graph *body = xfc_op_attr(op, taken ? XFC_K_THEN : XFC_K_ELSE)->u.graph;
    const xfc_int *symbol;
    xfc_array *result = xfc_new_array(scratch, xfc_array, op->n_out);
    xfc_eval_opts opts = *r->opts;
    opts.arena = scratch;
    XFC_TRY(eval_ops(body, r->symbols, env, in + 1, result, &opts));
    if (xfc_op_defines(op, &symbol)) XFC_TRY(define(r, op, env, &result[op->n_out - 1]));
    return keep_results(r, op, env, op->n_out, result, out);
}

/* Room for the lists of a loop, all 0; how many steps it may make at most. */
static xfc_status make_lists(graph_run *r, const xfc_op *op, const xfc_eval_env *env, xfc_array *out, int64_t *steps) {
    for (uint32_t i = xfc_loop_carried(op); i < op->n_out; i++) {
        XFC_TRY(xfc_array_make(env, &op->out[i].type, NULL, &out[i]));
        out[i].data = take(&r->store, bytes_of(&out[i]));
        memset(out[i].data, 0, bytes_of(&out[i]));
        r->value[op->out[i].id] = out[i];
        if (out[i].dim[0] < *steps) *steps = out[i].dim[0];
    }
    return XFC_OK;
}

static xfc_status add_row(const xfc_op *op, const xfc_array *row, int64_t step, xfc_array *list) {
    for (uint32_t d = 0; d < row->rank; d++)
        if (row->dim[d] != list->dim[d + 1])
            return xfc_fail(op->graph->ctx, XFC_ERR_INPUT, op->loc, "the rows of a list of loop differ in size");
    memcpy((char *)list->data + (size_t)step * bytes_of(row), row->data, bytes_of(row));
    return XFC_OK;
}

/* The symbols of dims that change are those of what is carried now: of operands of the loop, or results of a step. */
static xfc_status take_sizes(graph_run *r, const xfc_op *op, const xfc_eval_env *env, const xfc_array *carried) {
    const xfc_graph *body = xfc_op_attr(op, XFC_K_BODY)->u.graph;
    const xfc_int *symbol;
    const uint32_t n = xfc_op_defines(op, &symbol);
    if (!n) return XFC_OK;
    xfc_arena *scratch = xfc_arena_new();
    int64_t *number = xfc_new_array(scratch, int64_t, n);
    for (uint32_t i = 0; i < xfc_loop_carried(op); i++)
        for (uint32_t d = 0; d < carried[i].rank; d++)
            for (uint32_t k = 0; k < n; k++)
                if (xfc_int_same(body->in[i + 1]->type.dim[d], symbol[k])) number[k] = carried[i].dim[d];
    xfc_status status = set_symbols(r, op, env, number);
    xfc_arena_free(scratch);
    return status;
}

/* What is carried lies in one of two arenas, by turns. */
static xfc_status run_loop(graph_run *r, const xfc_op *op, const xfc_eval_env *env, const xfc_array *in, xfc_array *out,
                           xfc_arena *scratch) {
    const xfc_graph *body = xfc_op_attr(op, XFC_K_BODY)->u.graph;
    xfc_arena *turn[2] = {xfc_arena_new(), xfc_arena_new()};
    int64_t step = 0, trip = *(const int64_t *)in[0].data;
    bool more = *(const uint8_t *)in[1].data != 0;
    const uint32_t n = xfc_loop_carried(op);
    xfc_array *given = xfc_new_array(scratch, xfc_array, body->n_in),
              *result = xfc_new_array(scratch, xfc_array, body->n_out);
    given[0] = (xfc_array){.dtype = XFC_I64, .count = 1, .data = &step};
    memcpy(given + 1, in + 2, (body->n_in - 1u) * sizeof *in);
    xfc_eval_opts opts = *r->opts;
    xfc_status status = make_lists(r, op, env, out, &trip);
    if (status == XFC_OK) status = take_sizes(r, op, env, given + 1);
    for (; status == XFC_OK && more && step < trip; step++) {
        opts.arena = turn[step & 1];
        xfc_arena_reset(opts.arena);
        status = eval_ops(body, r->symbols, env, given, result, &opts);
        if (status != XFC_OK) break;
        more = *(const uint8_t *)result[0].data != 0;
        memcpy(given + 1, result + 1, n * sizeof *given);
        for (uint32_t i = n; i < op->n_out && status == XFC_OK; i++)
            status = add_row(op, &result[i + 1], step, &out[i]);
        if (status == XFC_OK) status = take_sizes(r, op, env, given + 1);
    }
    if (status == XFC_OK) status = check_constraints(r, env, op);
    if (status == XFC_OK) status = keep_results(r, op, env, n, given + 1, out);
    xfc_arena_free(turn[0]);
    xfc_arena_free(turn[1]);
    return status;
}

static xfc_status run_op(graph_run *r, const xfc_op *op) {
    const xfc_tensor *constant = constant_of(op); /* read in place */
    xfc_eval_env env = {.ctx = r->env->ctx, .loc = op->loc, .lookup = lookup, .user = r};
    xfc_arena *scratch = xfc_arena_new();
    xfc_array *in = xfc_new_array(scratch, xfc_array, op->n_in), *out = xfc_new_array(scratch, xfc_array, op->n_out);
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (op->in[i].value) in[i] = r->value[op->in[i].value->id];
    }
    bool region = xfc_op_has(op, XFC_REGION);
    xfc_status status = XFC_OK;
    if (region) status = (op->code == XFC_OP_LOOP ? run_loop : run_branch)(r, op, &env, in, out, scratch);
    for (uint32_t i = 0; status == XFC_OK && i < op->n_out && !region; i++) {
        status = xfc_array_make(&env, &op->out[i].type, NULL, &out[i]);
        if (status == XFC_OK)
            out[i].data = constant ? (void *)(uintptr_t)constant->data : take(&r->store, bytes_of(&out[i]));
        r->value[op->out[i].id] = out[i];
    }
    if (status == XFC_OK && op->code == XFC_OP_DEFINE)
        status = define(r, op, &env, in);
    else if (status == XFC_OK && !constant && !region)
        status = eval_into(op, &env, in, out);
    if (status == XFC_OK && r->opts->tap) r->opts->tap(r->opts->user, op, out);
    xfc_arena_free(scratch);
    return status;
}

/* A value without further use frees its storage. Inputs belong to the caller, constants to the pool. */
static void release_value(graph_run *r, const xfc_value *v) {
    if (r->uses[v->id] > 0 || !v->def || v->def->code == XFC_OP_CONST) return;
    give_back(&r->store, r->value[v->id].data, bytes_of(&r->value[v->id]));
}

static void release(graph_run *r, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_value *v = op->in[i].value;
        if (!v) continue;
        r->uses[v->id]--;
        release_value(r, v);
    }
    for (uint32_t i = 0; i < op->n_out; i++) release_value(r, &op->out[i]);
}

static xfc_status run_all(graph_run *r, xfc_array *out) {
    xfc_foreach_op(op, r->graph) {
        for (uint32_t i = 0; i < op->n_out; i++) r->uses[op->out[i].id] = xfc_value_n_uses(&op->out[i]);
        if (op->code != XFC_OP_RETURN) {
            XFC_TRY(run_op(r, op));
            release(r, op);
            continue;
        }
        for (uint32_t i = 0; i < op->n_in; i++) {
            out[i] = r->value[op->in[i].value->id];
            out[i].data = xfc_memdup(r->opts->arena, out[i].data, bytes_of(&out[i]), 64);
        }
    }
    return XFC_OK;
}

static xfc_status eval_ops(const xfc_graph *g, const xfc_defined *symbols, const xfc_eval_env *env, const xfc_array *in,
                           xfc_array *out, const xfc_eval_opts *opts) {
    graph_run r = {.graph = g, .env = env, .opts = opts, .store = {.arena = xfc_arena_new()}, .symbols = symbols};
    r.value = xfc_new_array(r.store.arena, xfc_array, g->next_value_id);
    r.uses = xfc_new_array(r.store.arena, uint32_t, g->next_value_id);
    r.defined.arena = r.store.arena;
    for (uint32_t i = 0; i < g->n_in; i++) {
        r.value[g->in[i]->id] = in[i];
        r.uses[g->in[i]->id] = xfc_value_n_uses(g->in[i]);
    }
    xfc_status status = check_constraints(&r, env, NULL);
    if (status == XFC_OK) status = run_all(&r, out);
    xfc_arena_free(r.store.arena);
    return status;
}

/* --- binding --- */

typedef struct {
    xfc_ctx *ctx;
    xfc_map map;
} binding; /* symbol id -> value + 1; values are >= 0 */

static bool bound(void *user, uint32_t symbol_id, int64_t *out) {
    const binding *b = user;
    uint64_t v = xfc_map_get(&b->map, symbol_id);
    *out = (int64_t)v - 1;
    return v != 0;
}

/* Learns a symbol from dim == actual if exactly one symbol of it is unknown and it stands linearly. */
static bool learn(binding *b, xfc_int dim, xfc_int symbol, int64_t actual) {
    xfc_int coeff, rest;
    int64_t c, r, difference;
    if (bound(b, symbol.id, &c) || !xfc_int_uses(b->ctx, dim, symbol)) return false;
    if (!xfc_int_linear_in(b->ctx, dim, symbol, &coeff, &rest)) return false;
    if (!xfc_int_evaluate(b->ctx, coeff, bound, b, &c) || !xfc_int_evaluate(b->ctx, rest, bound, b, &r) || c == 0)
        return false;
    if (!xfc_sub_ok(actual, r, &difference) || (c == -1 && difference == INT64_MIN)) return false;
    if (difference % c != 0 || difference / c < 0) return false; /* the check that follows reports it */
    xfc_map_set(&b->map, symbol.id, (uint64_t)(difference / c) + 1);
    return true;
}

/* Every symbol of e that is not bound, in `out`; as many as fit. */
static uint32_t symbols_of(const xfc_ctx *ctx, xfc_int e, xfc_int *out, uint32_t n, uint32_t cap) {
    const xfc_int_info info = *xfc_int_look(ctx, e);
    if (info.kind == XFC_INT_SYMBOL && info.sym == XFC_SYM_DIM && n < cap) out[n++] = e;
    for (uint32_t i = 0; i < info.n_terms && info.kind == XFC_INT_SUM; i++) {
        for (uint32_t j = 0; j < info.term[i].n; j++) n = symbols_of(ctx, info.term[i].atom[j], out, n, cap);
    }
    if (info.kind == XFC_INT_FLOORDIV || info.kind == XFC_INT_MOD || info.kind == XFC_INT_MIN ||
        info.kind == XFC_INT_MAX) {
        n = symbols_of(ctx, info.a, out, n, cap);
        n = symbols_of(ctx, info.b, out, n, cap);
    }
    return n;
}

static void bind_symbols(const xfc_graph *g, const xfc_array *in, binding *b) {
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < g->n_in; i++) {
            const xfc_type *t = &g->in[i]->type;
            for (uint32_t d = 0; d < t->rank && d < in[i].rank; d++) {
                xfc_int symbols[16];
                uint32_t n = symbols_of(g->ctx, t->dim[d], symbols, 0, XFC_COUNT(symbols));
                for (uint32_t s = 0; s < n; s++) more = learn(b, t->dim[d], symbols[s], in[i].dim[d]) || more;
            }
        }
    }
}

static const char *input_name(const xfc_graph *g, uint32_t i) { return g->in[i]->name ? g->in[i]->name : "?"; }

static xfc_status check_range(const xfc_graph *g, const xfc_eval_env *env, xfc_int symbol) {
    const xfc_int_info info = *xfc_int_look(g->ctx, symbol);
    int64_t v, lo, hi;
    if (!env->lookup(env->user, symbol.id, &v)) return XFC_OK;
    bool below = xfc_int_evaluate(g->ctx, info.lo, env->lookup, env->user, &lo) && v < lo;
    bool above = xfc_int_evaluate(g->ctx, info.hi, env->lookup, env->user, &hi) && v > hi;
    if (!below && !above) return XFC_OK;
    return xfc_fail(g->ctx, XFC_ERR_INPUT, env->loc,
                    "dimension %s is %lld, %s its limit of %lld: use inputs of another size", info.name, (long long)v,
                    below ? "below" : "above", (long long)(below ? lo : hi));
}

static xfc_status check_input(const xfc_graph *g, const xfc_eval_env *env, uint32_t i, const xfc_array *in) {
    const xfc_type *t = &g->in[i]->type;
    if (in->dtype != t->dtype || in->rank != t->rank) {
        return xfc_fail(g->ctx, XFC_ERR_INPUT, env->loc,
                        "input '%s' is %s with %u dims but must be %s with %u: convert it", input_name(g, i),
                        xfc_dtype_name(in->dtype), (unsigned)in->rank, xfc_dtype_name(t->dtype), (unsigned)t->rank);
    }
    for (uint32_t d = 0; d < t->rank; d++) {
        int64_t want;
        xfc_int symbols[16];
        if (!xfc_int_evaluate(g->ctx, t->dim[d], env->lookup, env->user, &want)) {
            return xfc_fail(g->ctx, XFC_ERR_INPUT, env->loc,
                            "dim %u of input '%s' does not fit its declared shape: correct its size", (unsigned)d,
                            input_name(g, i));
        }
        if (want != in->dim[d]) {
            return xfc_fail(g->ctx, XFC_ERR_INPUT, env->loc,
                            "dim %u of input '%s' is %lld but must be %lld: correct its size", (unsigned)d,
                            input_name(g, i), (long long)in->dim[d], (long long)want);
        }
        uint32_t n = symbols_of(g->ctx, t->dim[d], symbols, 0, XFC_COUNT(symbols));
        for (uint32_t s = 0; s < n; s++) XFC_TRY(check_range(g, env, symbols[s]));
    }
    return XFC_OK;
}

xfc_status xfc_eval_graph(const xfc_graph *g, const xfc_array *in, uint32_t n_in, xfc_array *out,
                          const xfc_eval_opts *opts) {
    xfc_loc loc = {.file = g->source};
    if (n_in != g->n_in) {
        return xfc_fail(g->ctx, XFC_ERR_INPUT, loc, "%u inputs given, the graph has %u: give every input",
                        (unsigned)n_in, (unsigned)g->n_in);
    }
    xfc_arena *scratch = xfc_arena_new();
    binding b = {.ctx = g->ctx, .map = {.arena = scratch}};
    xfc_eval_env env = {.ctx = g->ctx, .loc = loc, .lookup = bound, .user = &b};
    bind_symbols(g, in, &b);
    xfc_status status = XFC_OK;
    for (uint32_t i = 0; status == XFC_OK && i < n_in; i++) status = check_input(g, &env, i, &in[i]);
    const xfc_defined symbols = xfc_defined_of(g, scratch);
    if (status == XFC_OK) status = eval_ops(g, &symbols, &env, in, out, opts);
    xfc_arena_free(scratch);
    return status;
}

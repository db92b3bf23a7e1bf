/* region.c - ops that run bodies: branch and loop.
 *
 *   %y = branch %c, %x {then = @big, else = @small} : f32[b, 4]
 *   %y, %n = branch %c, %x {values = [n in 0..max(b, s)], then = @big, else = @small} : f32[n, 4], i64[1]
 *
 * The operands behind the condition are the inputs of both bodies, whose results are the op's. Where a dim of a result
 * is one size in one body and another in the other, the op has a symbol for it, one for each pair of sizes, in the
 * order in which results and their dims first have the pair; where it is the larger of either and a size that both know,
 * it is the larger of the symbol and that. The last result is then an i64[n], which each body makes
 * of its own sizes: what the symbols are when the body has run. Only the body that is chosen runs, and what it requires
 * of sizes must hold when it does.
 *
 *   %y = loop %n, %c, %x, %w {body = @step} : f32[b, 4]
 *   graph @step(%i: i64[], %x: f32[b, 4], %w: f32[4]) -> (bool[] "again", f32[b, 4] "x")
 *
 * A loop carries as many values as it has results, of types that stay. Its body gets the number of the step, what is
 * carried, and the other operands, and returns whether to go on and what is carried next.
 *
 *   %y, %l = loop %n, %c, %x, %w {size = [s], lists = 1, body = @step} : f32[b, 4], f32[s, b]
 *
 * With lists it makes at most size[0] steps, and so many of its last results have a row for each: what the body returns
 * last, step by step. Rows of steps that it does not make are 0.
 *
 *   %y = loop %n, %c, %x {values = [k in 0..2147483647], body = @step} : f32[k, 4]      of %x: f32[s, 4]
 *   graph @step(%i: i64[], %x: f32[k, 4]) -> (bool[] "again", f32[k + 1, 4] "x")
 *
 * Where a dim of what it carries changes, a symbol stands for it: what it is when a step begins, and behind the loop what
 * it is then. It is the operand's dim at first, and after each step that of what the body returns.
 */
#include "ir/defined.h"
#include "ir/ops/ops.h"
#include "ir/program.h"

static xfc_status refuse(xfc_infer *inf, const char *what) {
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "%s %s", xfc_ops[inf->op->code].name, what);
}

/* --- sizes that differ --- */

typedef struct {
    xfc_int a, b; /* in the two bodies */
} pair;
typedef struct {
    pair *pair;
    uint32_t n, cap;
    xfc_map place; /* both ids -> place in pair, + 1 */
} pairs;

static uint32_t place_of(pairs *p, xfc_arena *arena, xfc_int a, xfc_int b) {
    uint64_t key = (uint64_t)a.id << 32 | b.id, at = xfc_map_get(&p->place, key);
    if (at) return (uint32_t)at - 1;
    xfc_push(arena, p->pair, p->n, p->cap) = (pair){a, b};
    xfc_map_set(&p->place, key, p->n);
    return p->n - 1;
}

static const xfc_type *result(const xfc_graph *body, uint32_t i) { return &body->last->in[i].value->type; }

/* What both are the larger of, with something; NONE: nothing. The two are that something then. */
static xfc_int larger_of(const xfc_ctx *c, xfc_int *a, xfc_int *b) {
    const xfc_int_info *x = xfc_int_look(c, *a), *y = xfc_int_look(c, *b);
    if (x->kind != XFC_INT_MAX || y->kind != XFC_INT_MAX) return XFC_INT_NONE;
    const bool second = xfc_int_same(x->b, y->a) || xfc_int_same(x->b, y->b);
    const xfc_int both = second ? x->b : x->a;
    if (!xfc_int_same(both, y->a) && !xfc_int_same(both, y->b)) return XFC_INT_NONE;
    *a = second ? x->a : x->b;
    *b = xfc_int_same(both, y->a) ? y->b : y->a;
    return both;
}

/* False: dtype or rank differ. symbols NULL: the pairs are collected; else dims of `out` that differ are they. */
static bool join(xfc_ctx *c, xfc_arena *arena, pairs *p, const xfc_type *a, const xfc_type *b, const xfc_attr *symbols,
                 xfc_type *out) {
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    *out = *a;
    for (uint32_t d = 0; d < a->rank; d++) {
        if (xfc_int_same(a->dim[d], b->dim[d])) continue;
        xfc_int in_a = a->dim[d], in_b = b->dim[d], both = larger_of(c, &in_a, &in_b);
        uint32_t at = place_of(p, arena, in_a, in_b);
        if (!symbols || at >= symbols->n) continue;
        out->dim[d] = symbols->u.dims[at];
        if (xfc_int_known(both)) out->dim[d] = xfc_int_max(c, out->dim[d], both);
    }
    return true;
}

/* --- branch --- */

/* The place of a symbol of loop in its list, or what is behind it. */
static uint32_t symbol_at(const xfc_attr *symbols, xfc_int dim) {
    uint32_t i = 0, n = symbols ? symbols->n : 0;
    while (i < n && !xfc_int_same(symbols->u.dims[i], dim)) i++;
    return i;
}

/* Is it the type of the input, but for dims that change? */
static bool may_hand(const xfc_op *op, const xfc_type *operand, const xfc_type *input) {
    const xfc_attr *symbols = op->code == XFC_OP_LOOP ? xfc_op_attr(op, XFC_K_VALUES) : NULL;
    if (operand->dtype != input->dtype || operand->rank != input->rank) return false;
    for (uint32_t d = 0; d < input->rank; d++) {
        bool changes = symbols && symbol_at(symbols, input->dim[d]) < symbols->n;
        if (!changes && !xfc_int_same(operand->dim[d], input->dim[d])) return false;
    }
    return true;
}

/* Inputs from `first` on are operands, the one of input 0 being the second. */
static xfc_status check_body(xfc_infer *inf, const xfc_graph *g, uint32_t first, uint32_t n_out) {
    const xfc_op *op = inf->op;
    const char *name = xfc_ops[op->code].name;
    if (!g || !g->last) return refuse(inf, "needs a graph that ends in return: correct its attributes");
    if (g->program != op->graph->program || g->user != op) return refuse(inf, "has a body that belongs to another op");
    if (g->n_in + 1u != op->n_in)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "%s hands %u operands to @%s, which has %u inputs", name,
                        op->n_in - 1u, g->name, g->n_in);
    for (uint32_t i = first; i < g->n_in; i++)
        if (!may_hand(op, xfc_op_in(op, i + 1), &g->in[i]->type))
            return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "%s hands %s to input %u of @%s, which is %s", name,
                            xfc_type_text(inf->ctx, xfc_op_in(op, i + 1)), i, g->name,
                            xfc_type_text(inf->ctx, &g->in[i]->type));
    if (op->n_out == 0) return refuse(inf, "has no result: leave it out");
    if (g->n_out == n_out) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "@%s returns %u values, not %u as %s with %u results needs",
                    g->name, g->n_out, n_out, name, op->n_out);
}

static xfc_status check_symbols(xfc_infer *inf, const xfc_attr *symbols, uint32_t n) {
    const xfc_type *sizes = &inf->out[inf->op->n_out - 1];
    if ((symbols ? symbols->n : 0) != n)
        return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc,
                        "the bodies of branch differ in %u sizes, for which it has %u symbols", n,
                        symbols ? symbols->n : 0);
    for (uint32_t i = 0; i < n; i++) {
        int64_t lo, hi;
        if (!xfc_is_fresh_symbol(inf->ctx, symbols, i))
            return refuse(inf, "takes each symbol once, and no dims: correct them");
        xfc_int_range(inf->ctx, symbols->u.dims[i], &lo, &hi);
        if (lo < 0) return refuse(inf, "takes symbols that are never negative: let their ranges begin at 0");
    }
    if (n && (sizes->dtype != XFC_I64 || sizes->rank != 1 || !xfc_int_is(inf->ctx, sizes->dim[0], n)))
        return refuse(inf, "with symbols has one result more than values, the i64[n] of their sizes");
    return XFC_OK;
}

xfc_status infer_branch(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_graph *yes = xfc_op_attr(op, XFC_K_THEN)->u.graph, *no = xfc_op_attr(op, XFC_K_ELSE)->u.graph;
    const xfc_attr *symbols = xfc_op_attr(op, XFC_K_VALUES);
    if (xfc_op_in(op, 0)->dtype != XFC_BOOL || xfc_op_in(op, 0)->rank)
        return refuse(inf, "takes a bool[] for its condition: reshape it");
    XFC_TRY(check_body(inf, yes, 0, op->n_out));
    XFC_TRY(check_body(inf, no, 0, op->n_out));
    xfc_arena *scratch = xfc_arena_new();
    pairs differ = {.place = {.arena = scratch}};
    xfc_status s = XFC_OK;
    for (uint32_t i = 0; i < op->n_out && s == XFC_OK; i++)
        if (!join(inf->ctx, scratch, &differ, result(yes, i), result(no, i), symbols, &inf->out[i]))
            s = xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc, "result %u of branch is %s in one body and %s in the other",
                         i, xfc_type_text(inf->ctx, result(yes, i)), xfc_type_text(inf->ctx, result(no, i)));
    if (s == XFC_OK) s = check_symbols(inf, symbols, differ.n);
    xfc_arena_free(scratch);
    return s;
}

/* --- loop --- */

uint32_t xfc_loop_carried(const xfc_op *op) {
    int64_t lists = xfc_op_int(op, XFC_K_LISTS, 0);
    return lists > op->n_out ? 0 : op->n_out - (uint32_t)lists;
}

static xfc_status check_lists(xfc_infer *inf) {
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    int64_t lists = xfc_op_int(inf->op, XFC_K_LISTS, 0), lo, hi;
    if (lists < 0 || lists > inf->op->n_out) return refuse(inf, "has fewer results than lists");
    if (!lists != !size || (size && size->n != 1)) return refuse(inf, "has the one size of its lists, if it has any");
    if (!size) return XFC_OK;
    xfc_int_range(inf->ctx, size->u.dims[0], &lo, &hi);
    if (hi < 0) return refuse(inf, "has lists of a size that is negative");
    return lo < 0 ? xfc_infer_at_most(inf, xfc_int_const(inf->ctx, 0), size->u.dims[0], "0 and the steps of a loop")
                  : XFC_OK;
}

static bool defined_in(const xfc_graph *body, const xfc_type *t) {
    const xfc_attr *own = xfc_op_attr(body->user, XFC_K_VALUES);
    if (!body->program->defines) return false;
    for (uint32_t i = 0; own && i < own->n; i++)
        for (uint32_t d = 0; d < t->rank; d++)
            if (xfc_int_uses(body->ctx, t->dim[d], own->u.dims[i])) return true;
    xfc_foreach_op_deep(op, body) {
        const xfc_int *symbol;
        for (uint32_t i = xfc_op_defines(op, &symbol); i-- > 0;)
            for (uint32_t d = 0; d < t->rank; d++)
                if (xfc_int_uses(body->ctx, t->dim[d], symbol[i])) return true;
    }
    return false;
}

/* A row for each step; sizes that a step defines are others in the next one. */
static bool list_of(const xfc_type *row, xfc_int size, const xfc_graph *body, xfc_type *out) {
    if (row->rank == XFC_MAX_RANK || defined_in(body, row)) return false;
    *out = (xfc_type){.dtype = row->dtype, .rank = row->rank + 1, .dim = {size}};
    for (uint32_t d = 0; d < row->rank; d++) out->dim[d + 1] = row->dim[d];
    return true;
}

bool xfc_loop_sizes(const xfc_op *op, bool next, xfc_int *size) {
    const xfc_graph *body = xfc_op_attr(op, XFC_K_BODY)->u.graph;
    const xfc_attr *symbols = xfc_op_attr(op, XFC_K_VALUES);
    const uint32_t n = symbols ? symbols->n : 0, n_carried = xfc_loop_carried(op);
    for (uint32_t i = 0; i < n; i++) size[i] = XFC_INT_NONE;
    for (uint32_t i = 0; i < n_carried && n; i++) {
        const xfc_type *in = &body->in[i + 1]->type, *t = next ? result(body, i + 1) : xfc_op_in(op, i + 2);
        for (uint32_t d = 0; d < in->rank; d++) {
            uint32_t at = symbol_at(symbols, in->dim[d]);
            if (at == n) continue;
            if (xfc_int_known(size[at]) && !xfc_int_same(size[at], t->dim[d])) return false;
            size[at] = t->dim[d];
        }
    }
    for (uint32_t i = 0; i < n; i++)
        if (!xfc_int_known(size[i])) return false;
    return true;
}

/* Symbols of dims that change: each has one dim at first, and one behind a step. */
static xfc_status check_changing(xfc_infer *inf) {
    const xfc_attr *symbols = xfc_op_attr(inf->op, XFC_K_VALUES);
    const uint32_t n = symbols ? symbols->n : 0;
    for (uint32_t i = 0; i < n; i++)
        if (!xfc_is_fresh_symbol(inf->ctx, symbols, i))
            return refuse(inf, "takes each symbol once, and no dims: correct them");
    xfc_arena *scratch = xfc_arena_new();
    xfc_int *size = xfc_new_array(scratch, xfc_int, n);
    bool good = xfc_loop_sizes(inf->op, false, size) && xfc_loop_sizes(inf->op, true, size);
    xfc_arena_free(scratch);
    return good ? XFC_OK : refuse(inf, "has a symbol that stands for no size of what it carries, or for several");
}

xfc_status infer_loop(xfc_infer *inf) {
    const xfc_op *op = inf->op;
    const xfc_graph *body = xfc_op_attr(op, XFC_K_BODY)->u.graph;
    const xfc_type *trip = xfc_op_in(op, 0), *cond = xfc_op_in(op, 1);
    if (trip->dtype != XFC_I64 || trip->rank || cond->dtype != XFC_BOOL || cond->rank)
        return refuse(inf, "takes an i64[] for how often and a bool[] for whether at all: reshape them");
    XFC_TRY(check_lists(inf));
    const uint32_t n_carried = xfc_loop_carried(op);
    if (op->n_in < 2u + n_carried) return refuse(inf, "has fewer values to carry than results");
    XFC_TRY(check_body(inf, body, 1, op->n_out + 1u));
    const xfc_type *number = &body->in[0]->type, *again = result(body, 0);
    if (number->dtype != XFC_I64 || number->rank || again->dtype != XFC_BOOL || again->rank)
        return refuse(inf, "has a body that takes an i64[] first and returns a bool[] first: correct it");
    for (uint32_t i = 0; i < n_carried; i++) {
        const xfc_type *from = &body->in[i + 1]->type, *to = result(body, i + 1);
        inf->out[i] = *from;
        if (!may_hand(op, to, from))
            return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                            "what loop carries as result %u is %s when a step begins and %s behind it", i,
                            xfc_type_text(inf->ctx, from), xfc_type_text(inf->ctx, to));
    }
    XFC_TRY(check_changing(inf));
    for (uint32_t i = n_carried; i < op->n_out; i++)
        if (!list_of(result(body, i + 1), xfc_op_attr(op, XFC_K_SIZE)->u.dims[0], body, &inf->out[i]))
            return xfc_fail(inf->ctx, XFC_ERR_INPUT, op->loc,
                            "what a step of loop gives to the list in result %u is %s; rows of a list have the same "
                            "size, and at most %d dims",
                            i, xfc_type_text(inf->ctx, result(body, i + 1)), XFC_MAX_RANK - 1);
    return XFC_OK;
}

/* --- making one --- */

/* The most that one of the two can be, whatever the bodies themselves define. */
static xfc_int most_of(xfc_ctx *c, const pair *p) {
    xfc_int most = xfc_int_max(c, xfc_size_most(c, p->a), xfc_size_most(c, p->b));
    return xfc_int_known(most) ? most : xfc_int_const(c, XFC_DIM_MAX);
}

static bool add_sizes(xfc_graph *body, const pairs *p, bool second, xfc_loc loc) {
    xfc_int *size = xfc_new_array(body->arena, xfc_int, p->n);
    for (uint32_t i = 0; i < p->n; i++) size[i] = second ? p->pair[i].b : p->pair[i].a;
    xfc_builder b = {.graph = body, .before = body->last, .loc = loc};
    xfc_value *v = xfc_b_dims(&b, size, p->n);
    return v && xfc_graph_add_output(body, v, "sizes");
}

xfc_op *xfc_b_branch(xfc_builder *b, xfc_value *cond, const xfc_captures *around, xfc_graph *yes, xfc_graph *no) {
    xfc_ctx *c = b->graph->ctx;
    xfc_arena *scratch = xfc_arena_new();
    pairs differ = {.place = {.arena = scratch}};
    xfc_type ignored;
    xfc_body_capture(yes, 0, around);
    xfc_body_capture(no, 0, around);
    for (uint32_t i = 0; i < yes->n_out && i < no->n_out; i++)
        (void)join(c, scratch, &differ, result(yes, i), result(no, i), NULL, &ignored);
    xfc_int *symbol = xfc_new_array(scratch, xfc_int, differ.n), zero = xfc_int_const(c, 0);
    for (uint32_t i = 0; i < differ.n; i++) symbol[i] = xfc_int_let(c, "size", zero, most_of(c, &differ.pair[i]));
    bool ok = differ.n == 0 || (add_sizes(yes, &differ, false, b->loc) && add_sizes(no, &differ, true, b->loc));
    xfc_value **in = xfc_new_array(scratch, xfc_value *, around->n + 1u);
    in[0] = cond;
    for (uint32_t i = 0; i < around->n; i++) in[i + 1] = around->value[i];
    xfc_attr attr[] = {xfc_attr_graph(XFC_K_THEN, yes), xfc_attr_graph(XFC_K_ELSE, no),
                       xfc_attr_dims(XFC_K_VALUES, symbol, differ.n)};
    xfc_op *op = ok ? xfc_op_new(b->graph, b->before, XFC_OP_BRANCH, in, around->n + 1, yes->n_out, attr,
                                 differ.n ? 3 : 2, b->loc)
                    : NULL;
    xfc_arena_free(scratch);
    if (!op || xfc_infer_op(op) == XFC_OK) return op;
    xfc_op_remove(op);
    return NULL;
}

xfc_op *xfc_b_loop(xfc_builder *b, xfc_value *trip, xfc_value *cond, xfc_value *const *carried, uint32_t n,
                   const xfc_captures *around, xfc_graph *body, xfc_int size, const xfc_int *symbol,
                   uint32_t n_symbols) {
    xfc_arena *scratch = xfc_arena_new();
    xfc_value **in = xfc_new_array(scratch, xfc_value *, n + around->n + 2u);
    xfc_body_capture(body, n + 1, around);
    in[0] = trip, in[1] = cond;
    for (uint32_t i = 0; i < n; i++) in[i + 2] = carried[i];
    for (uint32_t i = 0; i < around->n; i++) in[n + 2 + i] = around->value[i];
    const uint32_t n_out = body->n_out - 1u, lists = n_out - n;
    xfc_attr attr[4] = {xfc_attr_graph(XFC_K_BODY, body)};
    uint32_t n_attr = 1;
    if (lists) attr[n_attr++] = xfc_attr_dims(XFC_K_SIZE, &size, 1);
    if (lists) attr[n_attr++] = xfc_attr_int(XFC_K_LISTS, lists);
    if (n_symbols) attr[n_attr++] = xfc_attr_dims(XFC_K_VALUES, symbol, n_symbols);
    xfc_op *op = xfc_op_new(b->graph, b->before, XFC_OP_LOOP, in, n + around->n + 2, n_out, attr, n_attr, b->loc);
    xfc_arena_free(scratch);
    if (xfc_infer_op(op) == XFC_OK) return op;
    xfc_op_remove(op);
    return NULL;
}

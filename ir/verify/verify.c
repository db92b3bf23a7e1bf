/* verify.c - structural checks of graphs: lists, order, operands, types, stages.
 *
 * One walk in program order, each check linear in what it looks at. A defect is one line that names the op; checking
 * goes on after it as far as that is safe. Inference runs again on a scratch copy of the graph's head, so that
 * verifying changes nothing: errors it records are taken back and become defects.
 *
 * Kernels are in verify/kernel.c and verify/nest.c, the plan in verify/plan.c. Whether the graph computes what the
 * model says is not decided here: that is what the interpreter is for.
 */
#include "ir/verify/verify_impl.h"

#include <string.h>

/* --- defects --- */

static void print_op_name(xfc_buf *out, const xfc_op *op) {
    const xfc_value *v = op->n_out ? &op->out[0] : NULL;
    if (v && v->name) {
        xfc_buf_char(out, '%');
        xfc_buf_plain(out, v->name);
        xfc_buf_str(out, " = ");
    } else if (v) {
        xfc_buf_printf(out, "%%%u = ", (unsigned)v->id);
    }
    xfc_buf_str(out, (unsigned)op->code < XFC_OP_COUNT ? xfc_ops[op->code].name : "?");
    if (op->loc.node) {
        xfc_buf_str(out, " (node '");
        xfc_buf_plain(out, op->loc.node);
        xfc_buf_str(out, "')");
    } else if (op->loc.line) {
        xfc_buf_printf(out, " (line %u)", (unsigned)op->loc.line);
    }
}

void xfc_vf_defect(xfc_verifier *v, const char *fmt, ...) {
    v->ok = false;
    if (!v->out) return;
    va_list args;
    va_start(args, fmt);
    if (v->op)
        print_op_name(v->out, v->op);
    else
        xfc_buf_printf(v->out, v->nesting ? "graph @%s" : "graph", v->g->name);
    xfc_buf_str(v->out, ": ");
    xfc_buf_vprintf(v->out, fmt, args);
    xfc_buf_char(v->out, '\n');
    va_end(args);
}

/* --- symbols --- */

static bool symbols_ok(xfc_verifier *v, xfc_int e, const char *what, bool locals);

static bool symbol_ok(xfc_verifier *v, xfc_int e, const xfc_int_info *i, const char *what, bool locals) {
    if (i->sym == XFC_SYM_SIZE) {
        if (xfc_map_get(&v->bound, e.id)) return true;
        if (!symbols_ok(v, i->formula, what, locals)) return false;
        xfc_map_set(&v->bound, e.id, 1);
        return true;
    }
    if (i->sym == XFC_SYM_DIM && !xfc_map_get(&v->bound, e.id) && !xfc_int_same(i->lo, i->hi)) {
        xfc_vf_defect(v, "%s uses the dim '%s', which no input determines", what, i->name);
        return false;
    }
    if (i->sym == XFC_SYM_DIM || xfc_map_get(&v->defined, e.id)) return true;
    if (locals && xfc_map_get(&v->scope, e.id)) return true;
    xfc_vf_defect(v, "%s uses '%s', which is not %s", what, i->name,
                  locals ? "in scope" : "known before the kernel runs");
    return false;
}

static bool symbols_ok(xfc_verifier *v, xfc_int e, const char *what, bool locals) {
    const xfc_int_info *i = xfc_int_look(v->ctx, e);
    switch (i->kind) {
    case XFC_INT_CONST: return true;
    case XFC_INT_SYMBOL: return symbol_ok(v, e, i, what, locals);
    case XFC_INT_SUM:
        for (uint32_t k = 0; k < i->n_terms; k++)
            for (uint32_t j = 0; j < i->term[k].n; j++)
                if (!symbols_ok(v, i->term[k].atom[j], what, locals)) return false;
        return true;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: break;
    }
    return symbols_ok(v, i->a, what, locals) && symbols_ok(v, i->b, what, locals);
}

static bool int_ok(xfc_verifier *v, xfc_int e, const char *what, bool locals) {
    if (xfc_int_known(e)) return symbols_ok(v, e, what, locals);
    xfc_vf_defect(v, "%s is missing", what);
    return false;
}

bool xfc_vf_int(xfc_verifier *v, xfc_int e, const char *what) { return int_ok(v, e, what, true); }
bool xfc_vf_size(xfc_verifier *v, xfc_int e, const char *what) { return int_ok(v, e, what, false); }

bool xfc_vf_type(xfc_verifier *v, const xfc_type *t, const char *what) {
    if ((unsigned)t->dtype >= XFC_DTYPE_COUNT || t->rank > XFC_MAX_RANK) {
        xfc_vf_defect(v, "%s has no valid element type or rank", what);
        return false;
    }
    bool ok = true;
    for (uint32_t d = 0; d < XFC_MAX_RANK; d++) {
        int64_t n;
        if (d >= t->rank && xfc_int_known(t->dim[d])) {
            xfc_vf_defect(v, "%s has a dim beyond its rank", what);
            ok = false;
        }
        if (d >= t->rank) continue;
        ok = xfc_vf_size(v, t->dim[d], what) && ok;
        if (!xfc_int_value(v->ctx, t->dim[d], &n) || n >= 0) continue;
        xfc_vf_defect(v, "%s has a negative dim", what);
        ok = false;
    }
    return ok;
}

static void bind_dims(xfc_verifier *v, xfc_int e) {
    if (!xfc_int_known(e)) return;
    const xfc_int_info *i = xfc_int_look(v->ctx, e);
    if (xfc_map_get(&v->bound, e.id)) return;
    if (i->kind == XFC_INT_SYMBOL && (i->sym == XFC_SYM_DIM || i->sym == XFC_SYM_SIZE)) xfc_map_set(&v->bound, e.id, 1);
    if (i->kind == XFC_INT_SYMBOL) bind_dims(v, i->formula);
    for (uint32_t k = 0; i->kind == XFC_INT_SUM && k < i->n_terms; k++)
        for (uint32_t j = 0; j < i->term[k].n; j++) bind_dims(v, i->term[k].atom[j]);
    bool pair =
        i->kind == XFC_INT_FLOORDIV || i->kind == XFC_INT_MOD || i->kind == XFC_INT_MIN || i->kind == XFC_INT_MAX;
    if (!pair) return;
    bind_dims(v, i->a);
    bind_dims(v, i->b);
}

/* --- lists and uses --- */

typedef struct {
    uint32_t *slots; /* by value id: operand slots that name it */
    bool *defined;   /* by value id */
    bool *untyped;   /* by value id: its type is not one; users are not looked into */
} values;

static bool id_ok(xfc_verifier *v, const values *t, const xfc_value *x) {
    if (x->id >= v->g->next_value_id) {
        xfc_vf_defect(v, "value %u has an id beyond the graph's", (unsigned)x->id);
        return false;
    }
    if (!t->defined[x->id]) return true;
    xfc_vf_defect(v, "two values have the id %u", (unsigned)x->id);
    return false;
}

/* The uses of x are exactly the slots that name it. Runs after all operands were counted. */
static void check_uses(xfc_verifier *v, const values *t, const xfc_value *x) {
    uint32_t n = 0, expected = t->slots[x->id];
    xfc_use *const *link = &x->uses;
    for (xfc_use *u = x->uses; u; link = &u->next, u = u->next) {
        if (u->value != x || u->prev != (xfc_use **)link) {
            xfc_vf_defect(v, "the list of uses of value %u is broken", (unsigned)x->id);
            return;
        }
        if (++n <= expected) continue;
        break;
    }
    if (n != expected)
        xfc_vf_defect(v, "value %u has %s uses than operands that name it", (unsigned)x->id,
                      n > expected ? "more" : "fewer");
}

static bool least_operands_ok(const xfc_op_info *row, uint32_t n) {
    if (row->n_in < 0) return n >= (uint32_t)(row->min_in > 0 ? row->min_in : 0);
    uint32_t least = row->min_in ? (uint32_t)row->min_in : (uint32_t)row->n_in;
    return n >= least && n <= (uint32_t)row->n_in;
}

static bool check_operands(xfc_verifier *v, const values *t, const xfc_op *op) {
    const xfc_op_info *row = &xfc_ops[op->code];
    bool ok = least_operands_ok(row, op->n_in);
    if (!ok) xfc_vf_defect(v, "has %u operands", (unsigned)op->n_in);
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_use *u = &op->in[i];
        if (u->user != op) xfc_vf_defect(v, "operand %u belongs to another op", (unsigned)i);
        if (!u->value) {
            if (row->n_in >= 0 && row->min_in > 0 && i >= (uint32_t)row->min_in) continue;
            xfc_vf_defect(v, "operand %u is missing and not optional", (unsigned)i);
            ok = false;
            continue;
        }
        if (u->value->id < v->g->next_value_id && t->defined[u->value->id]) {
            t->slots[u->value->id]++;
            ok = ok && !t->untyped[u->value->id];
            continue;
        }
        xfc_vf_defect(v, "operand %u is not defined before it", (unsigned)i);
        ok = false;
    }
    return ok;
}

static bool check_results(xfc_verifier *v, const values *t, const xfc_op *op) {
    const xfc_op_info *row = &xfc_ops[op->code];
    bool ok = true;
    if (row->n_out >= 0 && op->n_out != row->n_out) xfc_vf_defect(v, "has %u results", (unsigned)op->n_out);
    for (uint32_t i = 0; i < op->n_out; i++) {
        const xfc_value *x = &op->out[i];
        if (x->def != op || x->out != i) xfc_vf_defect(v, "result %u does not name its op", (unsigned)i);
        bool typed = xfc_vf_type(v, &x->type, "the result");
        ok = ok && typed;
        if (!id_ok(v, t, x)) continue;
        t->defined[x->id] = true;
        t->untyped[x->id] = !typed;
    }
    return ok;
}

/* --- attributes and types --- */

/* 0: the row does not take the key, 1: optional, 2: required. */
static int row_key(const xfc_op_info *row, xfc_key key) {
    const char *name = xfc_key_name(key);
    size_t n = strlen(name);
    for (const char *at = row->keys; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, name, n) != 0) continue;
        if (at[n] == '!') return 2;
        if (at[n] == ' ' || at[n] == 0) return 1;
    }
    return 0;
}

static bool check_attrs(xfc_verifier *v, const xfc_op *op) {
    const xfc_op_info *row = &xfc_ops[op->code];
    bool seen[XFC_K_COUNT] = {false}, ok = true;
    for (uint32_t i = 0; i < op->n_attr; i++) {
        const xfc_attr *a = &op->attr[i];
        if ((unsigned)a->key >= XFC_K_COUNT || (i && a->key <= a[-1].key)) {
            xfc_vf_defect(v, "attributes are not sorted by key, or one stands twice");
            return false;
        }
        seen[a->key] = true;
        if (!row_key(row, a->key)) {
            xfc_vf_defect(v, "takes no attribute '%s'", xfc_key_name(a->key));
            ok = false;
        }
        bool dims = xfc_key_kind(a->key) == XFC_ATTR_DIMS;
        for (uint32_t k = 0; dims && k < a->n; k++) ok = xfc_vf_size(v, a->u.dims[k], xfc_key_name(a->key)) && ok;
    }
    for (unsigned key = 0; key < XFC_K_COUNT; key++) {
        if (seen[key] || row_key(row, (xfc_key)key) != 2) continue;
        xfc_vf_defect(v, "needs the attribute '%s'", xfc_key_name((xfc_key)key));
        ok = false;
    }
    return ok;
}

/* Does inference take it? */
static bool check_inference(xfc_verifier *v, const xfc_op *op) {
    xfc_type *out = xfc_new_array(v->scratch, xfc_type, op->n_out);
    xfc_graph probe = *v->g; /* constraints that inference asks for land here */
    uint32_t n_diags = v->ctx->n_diags, n_errors = v->ctx->n_errors;
    if (!xfc_ops[op->code].infer) return true;
    probe.arena = v->scratch;
    (void)xfc_graph_swap_requirements(&probe, (xfc_requirements){.of = {.arena = v->scratch}});
    xfc_infer inf = {.graph = &probe, .ctx = v->ctx, .op = op, .out = out};
    xfc_status s = xfc_ops[op->code].infer(&inf);
    if (s != XFC_OK)
        xfc_vf_defect(v, "inference refuses it: %s", v->ctx->n_diags > n_diags ? v->ctx->diags[n_diags].text : "?");
    v->ctx->n_diags = n_diags;
    v->ctx->n_errors = n_errors;
    for (uint32_t i = 0; s == XFC_OK && i < op->n_out; i++) {
        if (xfc_type_same(&out[i], &op->out[i].type)) continue;
        xfc_buf is = {.arena = v->scratch}, should = {.arena = v->scratch};
        xfc_print_type(v->ctx, &is, &op->out[i].type);
        xfc_print_type(v->ctx, &should, &out[i]);
        xfc_vf_defect(v, "result %u is %s, but inference says %s", (unsigned)i, is.text, should.text);
    }
    for (uint32_t i = 0; i < probe.n_constraints; i++) {
        const xfc_constraint *k = &probe.constraint[i];
        if (!xfc_graph_requires(v->g, k->a, k->b, k->ones))
            xfc_vf_defect(v, "needs two dims to %s that the graph does not require to",
                          k->ones ? "fit for broadcasting" : "be equal");
    }
    return s == XFC_OK;
}

static void check_content(xfc_verifier *v, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_out; i++) {
        const xfc_value *x = &op->out[i];
        int64_t n;
        if (!x->content) continue;
        bool fits =
            xfc_type_static(v->ctx, &x->type, NULL, &n) && n <= XFC_MAX_CONTENT && !xfc_dtype_is_float(x->type.dtype);
        if (!fits) xfc_vf_defect(v, "result %u cannot have symbolic contents", (unsigned)i);
        for (int64_t k = 0; fits && k < n; k++)
            if (xfc_int_known(x->content[k])) xfc_vf_size(v, x->content[k], "its symbolic contents");
    }
}

/* Ranges may name what is defined already, also by entries further left. */
static void check_define(xfc_verifier *v, const xfc_op *op) {
    const xfc_int *symbol;
    uint32_t n = xfc_op_defines(op, &symbol);
    for (uint32_t i = 0; i < n; i++) {
        const xfc_int_info info =
            xfc_int_known(symbol[i]) ? *xfc_int_look(v->ctx, symbol[i]) : (xfc_int_info){.kind = XFC_INT_CONST};
        if (info.kind != XFC_INT_SYMBOL || info.sym != XFC_SYM_LET) {
            xfc_vf_defect(v, "entry %u is no symbol that an op can define", (unsigned)i);
            continue;
        }
        if (xfc_map_get(&v->defined, symbol[i].id)) xfc_vf_defect(v, "'%s' is defined twice", info.name);
        xfc_vf_size(v, info.lo, "the range of what it defines");
        xfc_vf_size(v, info.hi, "the range of what it defines");
        xfc_map_set(&v->defined, symbol[i].id, 1);
    }
}

/* --- stages and ops --- */

static void check_whole(xfc_verifier *v);

/* Memory for a result is laid out for the most that its symbols can be, which a body must not exceed. */
static void check_branch_sizes(xfc_verifier *v, const xfc_op *op) {
    xfc_graph *body[XFC_MAX_BODIES];
    const xfc_int *symbol;
    uint32_t n = op->code == XFC_OP_BRANCH && xfc_op_defines(op, &symbol) ? xfc_op_bodies(op, body) : 0;
    for (uint32_t k = 0; k < n * op->n_out; k++) {
        const xfc_graph *b = body[k / op->n_out];
        const xfc_type *room = &op->out[k % op->n_out].type, *t = &b->last->in[k % op->n_out].value->type;
        for (uint32_t d = 0; d < t->rank; d++)
            if (xfc_int_known(xfc_size_most(v->ctx, room->dim[d])) &&
                xfc_int_le(v->ctx, xfc_size_most(v->ctx, t->dim[d]), xfc_size_most(v->ctx, room->dim[d])) != 1)
                xfc_vf_defect(v, "dim %u of result %u may be larger in @%s than its range says", (unsigned)d,
                              (unsigned)(k % op->n_out), b->name);
    }
}

/* A body may name what is known around it; what it defines is not known behind it. */
static void check_bodies(xfc_verifier *v, const xfc_op *op) {
    xfc_graph *body[XFC_MAX_BODIES];
    uint32_t n = xfc_op_bodies(op, body);
    if (n && v->nesting == XFC_MAX_NESTING) xfc_vf_defect(v, "has bodies that nest deeper than %d", XFC_MAX_NESTING);
    for (uint32_t i = 0; i < n && v->nesting < XFC_MAX_NESTING; i++) {
        if (body[i]->stage != v->g->stage) xfc_vf_defect(v, "has a body at another stage");
        xfc_verifier inner = *v;
        inner.g = body[i];
        inner.op = NULL;
        inner.nesting++;
        check_whole(&inner);
        v->ok = inner.ok;
        v->bound = inner.bound, v->defined = inner.defined;
        xfc_foreach_op(in, body[i]) {
            const xfc_int *symbol;
            for (uint32_t k = 0, count = xfc_op_defines(in, &symbol); k < count; k++)
                xfc_map_set(&v->defined, symbol[k].id, 0);
        }
    }
}

static void check_stage(xfc_verifier *v, const xfc_op *op) {
    bool kernels = v->g->stage >= XFC_STAGE_KERNELS, is_kernel = op->code == XFC_OP_KERNEL;
    bool plain = op->code == XFC_OP_CONST || op->code == XFC_OP_RETURN || op->code == XFC_OP_DEFINE;
    if (plain || xfc_op_has(op, XFC_REGION) || xfc_ops[op->code].call || is_kernel == kernels) return;
    xfc_vf_defect(v, is_kernel ? "a kernel cannot stand at stage %s" : "only kernels may stand at stage %s",
                  xfc_stage_name(v->g->stage));
}

static void check_op(xfc_verifier *v, const values *t, const xfc_op *op) {
    if ((unsigned)op->code >= XFC_OP_COUNT) {
        xfc_vf_defect(v, "has no valid opcode");
        return;
    }
    if (op->graph != v->g) xfc_vf_defect(v, "belongs to another graph");
    bool is_kernel = op->code == XFC_OP_KERNEL;
    check_stage(v, op);
    bool sound = check_operands(v, t, op);
    if (op->code == XFC_OP_LOOP) check_define(v, op); /* its body knows them, that of a branch does not */
    check_bodies(v, op);
    if (op->code != XFC_OP_LOOP) check_define(v, op);
    sound = check_attrs(v, op) && sound;
    sound = check_results(v, t, op) && sound;
    if (!sound) return;
    if (is_kernel && op->kernel)
        xfc_vf_kernel(v, op);
    else if (is_kernel != (op->kernel != NULL))
        xfc_vf_defect(v, is_kernel ? "has no body" : "has a kernel's body");
    else
        sound = check_inference(v, op);
    if (sound && op->code == XFC_OP_BRANCH) check_branch_sizes(v, op);
    check_content(v, op);
}

static void check_return(xfc_verifier *v) {
    const xfc_graph *g = v->g;
    v->op = NULL;
    if (!g->last || g->last->code != XFC_OP_RETURN) {
        xfc_vf_defect(v, "does not end in return");
        return;
    }
    if (g->last->next) xfc_vf_defect(v, "has ops after return");
    if (g->n_out != g->last->n_in)
        xfc_vf_defect(v, "has %u outputs, but return %u operands", (unsigned)g->n_out, (unsigned)g->last->n_in);
    for (uint32_t i = 0; i < g->n_out; i++)
        if (!g->out_name || !g->out_name[i]) xfc_vf_defect(v, "output %u has no name", (unsigned)i);
}

static void check_inputs(xfc_verifier *v, const values *t) {
    for (uint32_t i = 0; i < v->g->n_in; i++) {
        const xfc_value *x = v->g->in[i];
        for (uint32_t d = 0; d < x->type.rank && d < XFC_MAX_RANK && !v->nesting; d++) bind_dims(v, x->type.dim[d]);
        if (x->def || x->out != i) xfc_vf_defect(v, "input %u is no input", (unsigned)i);
        if (!x->name) xfc_vf_defect(v, "input %u has no name", (unsigned)i);
        if (id_ok(v, t, x)) t->defined[x->id] = true;
    }
    for (uint32_t i = 0; i < v->g->n_in; i++) {
        const xfc_value *x = v->g->in[i];
        if (!xfc_vf_type(v, &x->type, "an input") && x->id < v->g->next_value_id) t->untyped[x->id] = true;
    }
}

/* What ops define may stand in them. */
static void check_constraints(xfc_verifier *v) {
    for (uint32_t i = 0; i < v->g->n_constraints; i++) {
        xfc_vf_size(v, v->g->constraint[i].a, "a constraint");
        xfc_vf_size(v, v->g->constraint[i].b, "a constraint");
    }
}

static void check_graph(xfc_verifier *v) {
    const xfc_graph *g = v->g;
    values t = {xfc_new_array(v->scratch, uint32_t, g->next_value_id),
                xfc_new_array(v->scratch, bool, g->next_value_id), xfc_new_array(v->scratch, bool, g->next_value_id)};
    const xfc_op *before = NULL;
    check_inputs(v, &t);
    for (const xfc_op *op = g->first; op; before = op, op = op->next) {
        v->op = op;
        if (op->prev != before) xfc_vf_defect(v, "the list of ops is broken before it");
        if (op->code == XFC_OP_RETURN && op != g->last) xfc_vf_defect(v, "return stands before the end");
        check_op(v, &t, op);
    }
    check_return(v);
    check_constraints(v);
    if (before != g->last) xfc_vf_defect(v, "the list of ops does not end where the graph says");
    for (uint32_t i = 0; i < g->n_in; i++) check_uses(v, &t, g->in[i]);
    for (const xfc_op *op = g->first; op; op = op->next) {
        v->op = op;
        for (uint32_t i = 0; i < op->n_out; i++)
            if (op->out[i].id < g->next_value_id) check_uses(v, &t, &op->out[i]);
    }
    v->op = NULL;
}

static void check_whole(xfc_verifier *v) {
    bool planned = v->g->stage == XFC_STAGE_PLANNED;
    check_graph(v);
    if (planned != (v->g->plan != NULL))
        xfc_vf_defect(v, planned ? "is planned but has no plan" : "has a plan before stage planned");
    else if (planned && v->ok)
        xfc_vf_plan(v);
}

bool xfc_verify(const xfc_graph *g, xfc_buf *out) {
    xfc_verifier v = {.g = g, .ctx = g->ctx, .out = out, .scratch = xfc_arena_new(), .ok = true};
    v.bound.arena = v.scope.arena = v.defined.arena = v.scratch;
    check_whole(&v);
    xfc_arena_free(v.scratch);
    return v.ok;
}

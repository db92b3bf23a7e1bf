/* print.c - graphs as text: names, types, attributes, constants.
 *
 * Idea: everything in the IR that a pass can see has exactly one spelling here, which parse.c reads back; what cannot
 * be read back (`hash`, `?`) says so to a reader at once. Values keep their ONNX name where it is a plain word and no
 * other value has it; all others are numbered in order of definition, so that text does not depend on value ids.
 *
 * Kernels are in print_kernel.c, symbolic integers in print_int.c, the plan in print_plan.c. docs/ir.md is the
 * reference of the language.
 */
#include "ir/text/print_impl.h"

#include "ir/defined.h"
#include "ir/program.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LITERAL = 64 };

/* --- numbers --- */

double xfc_round_to(double v, xfc_dtype t) {
    uint16_t half = 0;
    if (t == XFC_F32) return (double)(float)v;
    if (t != XFC_F16 && t != XFC_BF16) return v;
    xfc_element_set_f(t, &half, 0, v);
    return (double)(t == XFC_F16 ? xfc_half_to_float(half) : xfc_bfloat_to_float(half));
}

void xfc_pr_float(xfc_buf *out, double v, xfc_dtype t) {
    if (isnan(v)) {
        xfc_buf_str(out, signbit(v) ? "-nan" : "nan");
        return;
    }
    v = xfc_round_to(v, t);
    if (isinf(v)) {
        xfc_buf_str(out, v < 0 ? "-inf" : "inf");
        return;
    }
    static const int digits[] = {6, 9, 17};
    for (size_t i = 0; i < XFC_COUNT(digits); i++) {
        char text[64];
        snprintf(text, sizeof text, "%.*g", digits[i], v);
        double back = xfc_round_to(strtod(text, NULL), t);
        bool same = memcmp(&back, &v, sizeof v) == 0;
        if (!same && i + 1 < XFC_COUNT(digits)) continue;
        xfc_buf_str(out, text);
        return;
    }
}

static uint64_t raw_bits(const xfc_tensor *t, int64_t i) {
    uint64_t u = 0;
    uint32_t bytes = xfc_dtype_bytes(t->dtype);
    if (xfc_dtype_is_packed(t->dtype)) return (uint64_t)xfc_tensor_get_i(t, i);
    memcpy(&u, (const char *)t->data + (size_t)i * bytes, bytes); /* little-endian hosts only, as all of xfc */
    return u;
}

/* The bits that the parser gives to the word nan. */
static uint64_t plain_nan(xfc_dtype t) {
    uint64_t u = 0;
    xfc_element_set_f(t, &u, 0, (double)NAN);
    return u;
}

static void print_element(xfc_buf *out, const xfc_tensor *t, int64_t i) {
    uint64_t bits = raw_bits(t, i);
    switch (xfc_dtype_class(t->dtype)) {
    case XFC_CLASS_FLOAT: {
        double v = xfc_tensor_get_f(t, i);
        if (isnan(v) && bits != plain_nan(t->dtype))
            xfc_buf_printf(out, "0x%" PRIx64, bits); /* payloads round-trip */
        else
            xfc_pr_float(out, v, t->dtype);
        return;
    }
    case XFC_CLASS_CODE:
    case XFC_CLASS_UINT: xfc_buf_printf(out, "%" PRIu64, bits); return;
    case XFC_CLASS_SINT:
    case XFC_CLASS_PACKED:
    case XFC_CLASS_BOOL: xfc_buf_printf(out, "%" PRId64, xfc_tensor_get_i(t, i)); return;
    }
}

/* Each tensor once, at a multiple of 64. */
static void print_beside(xfc_printer *p, const xfc_tensor *t) {
    uint64_t at = xfc_map_get(&p->data_at, t->id);
    if (!at) {
        while (p->opts.beside->n % 64) xfc_buf_char(p->opts.beside, '\0');
        at = p->opts.beside->n + 1;
        xfc_buf_bytes(p->opts.beside, t->data, t->bytes);
        xfc_map_set(&p->data_at, t->id, at);
    }
    xfc_buf_printf(p->out, "file %" PRIu64 " 0x%016" PRIx64, at - 1, xfc_tensor_hash(p->ctx, t));
}

static void print_data(xfc_printer *p, const xfc_tensor *t) {
    if (t->count > MAX_LITERAL && !p->opts.data_inline) {
        if (p->opts.data_by_id)
            xfc_buf_printf(p->out, "data %u", (unsigned)t->id);
        else if (p->opts.data_file)
            print_beside(p, t);
        else
            xfc_buf_printf(p->out, "hash %016" PRIx64, xfc_tensor_hash(p->ctx, t));
        return;
    }
    if (t->rank == 0) {
        print_element(p->out, t, 0);
        return;
    }
    xfc_buf_char(p->out, '[');
    for (int64_t i = 0; i < t->count; i++) {
        if (i) xfc_buf_str(p->out, ", ");
        print_element(p->out, t, i);
    }
    xfc_buf_char(p->out, ']');
}

/* --- types, names, places --- */

void xfc_pr_type(xfc_printer *p, const xfc_type *t) {
    xfc_buf_str(p->out, xfc_dtype_name(t->dtype));
    xfc_buf_char(p->out, '[');
    for (uint32_t d = 0; d < t->rank; d++) {
        if (d) xfc_buf_str(p->out, ", ");
        xfc_pr_int(p, t->dim[d]);
    }
    xfc_buf_char(p->out, ']');
}

static void print_tensor_type(xfc_printer *p, const xfc_tensor *t) {
    xfc_buf_printf(p->out, "%s[", xfc_dtype_name(t->dtype));
    for (uint32_t d = 0; d < t->rank; d++) xfc_buf_printf(p->out, d ? ", %" PRId64 : "%" PRId64, t->dim[d]);
    xfc_buf_char(p->out, ']');
}

void xfc_pr_value(xfc_printer *p, const xfc_value *v) {
    const char *name = v ? xfc_map_get_ptr(&p->values, v) : NULL;
    if (!v)
        xfc_buf_char(p->out, '_');
    else if (name)
        xfc_buf_str(p->out, name);
    else if (v->name && xfc_is_identifier(v->name))
        xfc_buf_printf(p->out, "%%%s", v->name);
    else
        xfc_buf_printf(p->out, "%%%u", (unsigned)v->id); /* xfc_print_op, or a graph that the verifier refuses */
}

static void name_value(xfc_printer *p, xfc_map *taken, const xfc_value *v, uint32_t *n_unnamed) {
    const char *text = NULL;
    if (v->name && xfc_is_identifier(v->name)) {
        const char *name = xfc_str(p->ctx, v->name);
        if (!xfc_map_find(taken, (uint64_t)(uintptr_t)name, NULL)) text = xfc_sprintf(p->scratch, "%%%s", name);
        xfc_map_set_ptr(taken, name, v);
    }
    if (!text) text = xfc_sprintf(p->scratch, "%%%u", (unsigned)(*n_unnamed)++);
    xfc_map_set_ptr(&p->values, v, text);
}

static void name_values(xfc_printer *p) {
    xfc_map taken = {.arena = p->scratch};
    uint32_t n_unnamed = 0;
    for (uint32_t i = 0; i < p->graph->n_in; i++) name_value(p, &taken, p->graph->in[i], &n_unnamed);
    xfc_foreach_op(op, p->graph)
        for (uint32_t i = 0; i < op->n_out; i++) name_value(p, &taken, &op->out[i], &n_unnamed);
}

/* Is %name how the value prints? */
static bool says_name(const xfc_printer *p, const xfc_value *v, const char *name) {
    const char *text = xfc_map_get_ptr(&p->values, v);
    return text && strcmp(text + 1, name) == 0;
}

/* The ONNX name behind the type where the value's text does not already say it. */
static void print_onnx_name(xfc_printer *p, const xfc_value *v) {
    if (!v->name || says_name(p, v, v->name)) return;
    xfc_buf_char(p->out, ' ');
    xfc_buf_quoted(p->out, v->name);
}

static void print_name_or_none(xfc_buf *out, const char *s) {
    xfc_buf_char(out, ' ');
    if (s)
        xfc_buf_quoted(out, s);
    else
        xfc_buf_char(out, '_');
}

static void print_location(xfc_printer *p, const xfc_loc *loc) {
    if (!p->opts.locations || (!loc->node && !loc->op)) return;
    xfc_buf_str(p->out, " @");
    print_name_or_none(p->out, loc->node);
    print_name_or_none(p->out, loc->op);
    xfc_buf_printf(p->out, " %u", (unsigned)loc->opset);
    if (!loc->what) return;
    xfc_buf_char(p->out, ' ');
    xfc_buf_quoted(p->out, loc->what);
}

/* --- ops --- */

static void print_graph_name(xfc_buf *out, const xfc_graph *g) {
    xfc_buf_char(out, '@');
    if (g->name && xfc_is_identifier(g->name))
        xfc_buf_str(out, g->name);
    else
        xfc_buf_quoted(out, g->name);
}

/* T in 0..b * s, N in 0..b */
static void print_new_symbols(xfc_printer *p, const xfc_int *symbol, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (i) xfc_buf_str(p->out, ", ");
        xfc_pr_int(p, symbol[i]);
        xfc_pr_range(p, symbol[i]);
    }
}

static void print_attr(xfc_printer *p, const xfc_op *op, const xfc_attr *a) {
    xfc_buf *out = p->out;
    xfc_buf_printf(out, "%s = ", xfc_key_name(a->key));
    switch (xfc_key_kind(a->key)) {
    case XFC_ATTR_INT: xfc_buf_printf(out, "%" PRId64, a->u.i); return;
    case XFC_ATTR_FLOAT: xfc_pr_float(out, a->u.f, XFC_F64); return;
    case XFC_ATTR_STR: xfc_buf_quoted(out, a->u.s); return;
    case XFC_ATTR_DTYPE: xfc_buf_str(out, xfc_dtype_name(a->u.dtype)); return;
    case XFC_ATTR_TENSOR:
        print_tensor_type(p, a->u.tensor);
        xfc_buf_char(out, ' ');
        print_data(p, a->u.tensor);
        return;
    case XFC_ATTR_GRAPH: print_graph_name(out, a->u.graph); return;
    case XFC_ATTR_INTS:
    case XFC_ATTR_DIMS: break;
    }
    xfc_buf_char(out, '[');
    bool defines = a->key == XFC_K_VALUES && xfc_op_has(op, XFC_REGION);
    if (defines) print_new_symbols(p, a->u.dims, a->n);
    for (uint32_t i = 0; i < a->n && !defines; i++) {
        if (i) xfc_buf_str(out, ", ");
        if (xfc_key_kind(a->key) == XFC_ATTR_INTS)
            xfc_buf_printf(out, "%" PRId64, a->u.ints[i]);
        else
            xfc_pr_int(p, a->u.dims[i]);
    }
    xfc_buf_char(out, ']');
}

static void print_attrs(xfc_printer *p, const xfc_op *op) {
    if (op->n_attr == 0) return;
    xfc_buf_str(p->out, " {");
    for (uint32_t i = 0; i < op->n_attr; i++) {
        if (i) xfc_buf_str(p->out, ", ");
        print_attr(p, op, &op->attr[i]);
    }
    xfc_buf_char(p->out, '}');
}

static void print_operands(xfc_printer *p, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_in; i++) {
        xfc_buf_str(p->out, i ? ", " : " ");
        xfc_pr_value(p, op->in[i].value);
    }
}

static void print_types(xfc_printer *p, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_out; i++) {
        xfc_buf_str(p->out, i ? ", " : " : ");
        xfc_pr_type(p, &op->out[i].type);
        if (p->opts.locations) print_onnx_name(p, &op->out[i]);
    }
}

/* define T in 0..b * s, N in 0..b = %counts */
static void print_define(xfc_printer *p, const xfc_op *op) {
    const xfc_int *symbol;
    uint32_t n = xfc_op_defines(op, &symbol);
    xfc_buf_char(p->out, ' ');
    print_new_symbols(p, symbol, n);
    xfc_buf_str(p->out, " =");
    print_operands(p, op);
}

static void print_op(xfc_printer *p, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_out; i++) {
        if (i) xfc_buf_str(p->out, ", ");
        xfc_pr_value(p, &op->out[i]);
    }
    if (op->n_out) xfc_buf_str(p->out, " = ");
    xfc_buf_str(p->out, xfc_ops[op->code].name);
    const xfc_attr *value = op->code == XFC_OP_CONST ? xfc_op_attr(op, XFC_K_VALUE) : NULL;
    if (op->kernel && op->kernel->form) {
        xfc_buf_char(p->out, ' ');
        xfc_buf_quoted(p->out, op->kernel->form);
    }
    if (value && value->u.tensor->name && !says_name(p, &op->out[0], value->u.tensor->name)) {
        xfc_buf_char(p->out, ' ');
        xfc_buf_quoted(p->out, value->u.tensor->name);
    }
    if (op->code == XFC_OP_DEFINE) {
        print_define(p, op);
    } else {
        print_operands(p, op);
        if (!value) print_attrs(p, op);
    }
    print_types(p, op);
    if (value) {
        xfc_buf_str(p->out, " = ");
        print_data(p, value->u.tensor);
    }
    if (op->kernel && p->graph) {
        p->op = op;
        xfc_buf_char(p->out, ' ');
        xfc_pr_kernel_body(p, op->kernel);
        p->op = NULL;
    }
    print_location(p, &op->loc);
}

/* --- the header: symbols in order of first mention --- */

typedef struct {
    xfc_printer *p;
    xfc_map seen; /* expression id -> 1 */
    uint32_t n;
    xfc_int *size; /* each after those in its formula */
    uint32_t n_sizes, cap_sizes;
} symbols;

static void note(symbols *s, xfc_int e) {
    if (!xfc_int_known(e) || xfc_map_find(&s->seen, e.id, NULL)) return;
    xfc_map_set(&s->seen, e.id, 1);
    const xfc_int_info *i = xfc_int_look(s->p->ctx, e);
    switch (i->kind) {
    case XFC_INT_CONST: return;
    case XFC_INT_SYMBOL: break;
    case XFC_INT_SUM:
        for (uint32_t k = 0; k < i->n_terms; k++)
            for (uint32_t j = 0; j < i->term[k].n; j++) note(s, i->term[k].atom[j]);
        return;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX:
        note(s, i->a);
        note(s, i->b);
        return;
    }
    if (i->sym == XFC_SYM_SIZE) {
        note(s, i->formula);
        xfc_push(s->p->scratch, s->size, s->n_sizes, s->cap_sizes) = e;
        return;
    }
    if (i->sym != XFC_SYM_DIM) { /* an axis' or let's bounds appear in its definition */
        note(s, i->lo);
        note(s, i->hi);
        return;
    }
    xfc_map_set_ptr(&s->p->dim_names, xfc_str(s->p->ctx, i->name), s);
    xfc_buf_str(s->p->out, s->n++ ? ", " : "[");
    xfc_pr_int(s->p, e);
    if (xfc_int_is(s->p->ctx, i->lo, 0) && xfc_int_is(s->p->ctx, i->hi, XFC_DIM_MAX)) return;
    xfc_buf_str(s->p->out, " in ");
    xfc_pr_int(s->p, i->lo);
    xfc_buf_str(s->p->out, "..");
    xfc_pr_int(s->p, i->hi);
}

static void note_any(void *user, xfc_int e) { note(user, e); }

static void note_type(symbols *s, const xfc_type *t) {
    for (uint32_t d = 0; d < t->rank; d++) note(s, t->dim[d]);
}

/* A name that no dim and no other symbol has: hint, or hint and a number. */
static void name_symbol(xfc_printer *p, xfc_int symbol, const char *hint, uint32_t number) {
    const char *name = xfc_str(p->ctx, number ? xfc_sprintf(p->scratch, "%s%u", hint, (unsigned)number) : hint);
    for (uint32_t k = number + 1; xfc_map_get(&p->dim_names, (uint64_t)(uintptr_t)name); k++)
        name = xfc_str(p->ctx, xfc_sprintf(p->scratch, "%s%u", hint, (unsigned)k));
    xfc_map_set_ptr(&p->dim_names, name, p);
    xfc_map_set(&p->defined, symbol.id, (uint64_t)(uintptr_t)name);
}

/* Sizes stand behind all dims, so that their names are known not to be dims'. */
static void print_size(xfc_printer *p, xfc_int size, uint32_t number) {
    name_symbol(p, size, "size", number + 1);
    xfc_buf_str(p->out, ", ");
    xfc_pr_int(p, size);
    xfc_buf_str(p->out, " = ");
    xfc_pr_int(p, xfc_int_look(p->ctx, size)->formula);
}

static void print_symbols(xfc_printer *p) {
    const xfc_graph *g = p->graph;
    symbols s = {.p = p, .seen = {.arena = p->scratch}};
    for (uint32_t i = 0; i < g->n_in; i++) note_type(&s, &g->in[i]->type);
    for (uint32_t i = 0; i < g->n_constraints; i++) {
        note(&s, g->constraint[i].a);
        note(&s, g->constraint[i].b);
    }
    xfc_foreach_op(op, g) xfc_op_ints(op, note_any, &s);
    for (uint32_t i = 0; g->plan && i < g->plan->n_places; i++) note(&s, g->plan->place[i].offset);
    if (g->plan) note(&s, g->plan->work_bytes);
    for (uint32_t i = 0; i < s.n_sizes; i++) print_size(p, s.size[i], i);
    if (s.n) xfc_buf_char(p->out, ']');
}

static bool is_symbol(const xfc_ctx *ctx, xfc_int e) {
    return xfc_int_known(e) && xfc_int_look(ctx, e)->kind == XFC_INT_SYMBOL;
}

/* Symbols of defines print by name, as dims do; one whose name is taken gets a number behind it. */
static void name_defined(xfc_printer *p) {
    xfc_foreach_op_deep(op, p->graph) {
        const xfc_int *symbol;
        uint32_t n = xfc_op_defines(op, &symbol);
        for (uint32_t i = 0; i < n; i++) {
            if (!is_symbol(p->ctx, symbol[i]) || xfc_map_get(&p->defined, symbol[i].id)) continue;
            name_symbol(p, symbol[i], xfc_int_look(p->ctx, symbol[i])->name, 0);
        }
    }
}

typedef struct {
    const xfc_defined *defined;
    const xfc_graph *graph;
    bool found;
} own_symbols;

static void find_own(void *user, xfc_int symbol) {
    own_symbols *o = user;
    uint64_t at = xfc_map_get(&o->defined->position, symbol.id);
    o->found = o->found || (at && o->defined->by[at - 1]->graph == o->graph);
}

/* Is a dim of the type known only behind an op of g? */
static bool defined_here(const xfc_defined *d, const xfc_graph *g, const xfc_type *t) {
    own_symbols o = {.defined = d, .graph = g};
    for (uint32_t k = 0; k < t->rank && d->n; k++) xfc_int_symbols(g->ctx, t->dim[k], find_own, &o);
    return o.found;
}

/* All symbols of an entry and of what hangs on it stand with the entry. */
static void print_header(xfc_printer *p, bool body, const xfc_defined *d) {
    const xfc_graph *g = p->graph;
    xfc_buf *out = p->out;
    xfc_buf_str(out, "graph ");
    print_graph_name(out, g);
    if (!body) print_symbols(p);
    if (!body) name_defined(p);
    xfc_buf_char(out, '(');
    for (uint32_t i = 0; i < g->n_in; i++) {
        if (i) xfc_buf_str(out, ", ");
        xfc_pr_value(p, g->in[i]);
        xfc_buf_str(out, ": ");
        xfc_pr_type(p, &g->in[i]->type);
        print_onnx_name(p, g->in[i]); /* part of the signature: printed whatever the options */
    }
    xfc_buf_str(out, ") -> (");
    for (uint32_t i = 0; i < g->n_out && g->last && i < g->last->n_in; i++) {
        if (i) xfc_buf_str(out, ", ");
        if (g->last->in[i].value && defined_here(d, g, &g->last->in[i].value->type))
            xfc_buf_char(out, '_'); /* its symbols are not known yet */
        else if (g->last->in[i].value)
            xfc_pr_type(p, &g->last->in[i].value->type);
        else
            xfc_buf_char(out, '?');
        xfc_buf_char(out, ' ');
        xfc_buf_quoted(out, g->out_name[i]);
    }
    xfc_buf_printf(out, ") stage %s", xfc_stage_name(g->stage));
    if (p->opts.locations && g->source && !body) {
        xfc_buf_str(out, " source ");
        xfc_buf_quoted(out, g->source);
    }
    if (p->opts.data_file && !body) {
        xfc_buf_str(out, " data ");
        xfc_buf_quoted(out, p->opts.data_file);
    }
    xfc_buf_str(out, " {\n");
}

/* --- what must hold --- */

static void print_constraint(xfc_printer *p, const xfc_constraint *k) {
    const xfc_int side[] = {k->a, k->b};
    xfc_buf_str(p->out, "  require ");
    xfc_pr_int(p, k->a);
    xfc_buf_str(p->out, k->ones == XFC_UNEQUAL ? " != " : " == ");
    xfc_pr_int(p, k->b);
    for (unsigned i = 0; i < XFC_COUNT(side); i++) {
        if (!(k->ones >> i & 1)) continue;
        xfc_buf_str(p->out, " or ");
        xfc_pr_int(p, side[i]);
        xfc_buf_str(p->out, " == 1");
    }
    print_location(p, &k->loc);
    xfc_buf_char(p->out, '\n');
}

/* Those that are known behind this op (see xfc_constraint_known). */
static void print_constraints(xfc_printer *p, const xfc_defined *d, const xfc_op *op) {
    for (uint32_t i = 0; i < p->graph->n_constraints; i++)
        if (xfc_constraint_known(d, p->graph, &p->graph->constraint[i]) == op)
            print_constraint(p, &p->graph->constraint[i]);
}

/* --- entry points --- */

static void print_one(xfc_printer *p, const xfc_graph *g, const xfc_defined *d) {
    bool body = p->graph != NULL;
    p->graph = g;
    p->values = (xfc_map){.arena = p->scratch};
    name_values(p);
    print_header(p, body, d);
    print_constraints(p, d, NULL);
    xfc_foreach_op(op, g) {
        const xfc_int *symbol;
        xfc_buf_str(p->out, "  ");
        print_op(p, op);
        xfc_buf_char(p->out, '\n');
        if (xfc_op_defines(op, &symbol)) print_constraints(p, d, op);
    }
    if (g->plan) xfc_pr_plan(p);
    xfc_buf_str(p->out, "}\n");
}

void xfc_print_graph(xfc_buf *out, const xfc_graph *g, const xfc_print_opts *opts) {
    xfc_printer p = {.ctx = g->ctx, .out = out, .scratch = xfc_arena_new()};
    xfc_graph *body[XFC_MAX_BODIES];
    if (opts) p.opts = *opts;
    p.locals.arena = p.local_names.arena = p.defined.arena = p.dim_names.arena = p.data_at.arena = p.scratch;
    const xfc_defined defined = xfc_defined_of(g, p.scratch);
    if (g->plan) p.consts = xfc_pr_consts(g, p.scratch);
    print_one(&p, g, &defined);
    xfc_foreach_op_deep(op, g)
        for (uint32_t i = 0, n = xfc_op_bodies(op, body); i < n; i++) print_one(&p, body[i], &defined);
    xfc_arena_free(p.scratch);
}

void xfc_print_op(xfc_buf *out, const xfc_op *op) {
    xfc_printer p = {.ctx = op->graph->ctx, .out = out, .scratch = xfc_arena_new()};
    p.values.arena = p.locals.arena = p.local_names.arena = p.defined.arena = p.dim_names.arena = p.scratch;
    print_op(&p, op);
    xfc_arena_free(p.scratch);
}

void xfc_print_type(xfc_ctx *ctx, xfc_buf *out, const xfc_type *t) {
    xfc_printer p = {.ctx = ctx, .out = out, .scratch = xfc_arena_new()};
    p.values.arena = p.locals.arena = p.local_names.arena = p.defined.arena = p.dim_names.arena = p.scratch;
    xfc_pr_type(&p, t);
    xfc_arena_free(p.scratch);
}

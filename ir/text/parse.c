/* parse.c - graphs from text: header, ops, attributes, the plan.
 *
 * Idea: recursive descent over one token of lookahead, building through xfc_build_opt, so that a parsed graph was
 * checked and inferred like any other; types in the text must then be equal to the inferred ones (they may be left
 * out). Input is hostile: every count is bounded, sizes are checked before memory is taken, and the first error ends
 * the parse with the graph freed. Does not verify: kernels in particular may be read that xfc_verify refuses.
 *
 * docs/ir.md is the reference of the language; print.c is its other direction.
 */
#include "ir/text/parse_impl.h"

#include <stdlib.h>
#include <string.h>

static uint64_t key(const char *interned) { return (uint64_t)(uintptr_t)interned; }

/* --- values --- */

static bool define_value(xfc_parser *p, const char *name, xfc_value *v) {
    if (xfc_map_get(&p->values, key(name))) return xfc_ps_fail(p, "'%%%s' is defined twice; rename one", name);
    xfc_map_set_ptr(&p->values, name, v);
    return true;
}

static bool use_value(xfc_parser *p, const char **name, xfc_value **out) {
    if (p->tok.kind != XFC_TOK_VALUE) return xfc_ps_expected(p, "a value (%name)");
    *name = p->tok.text;
    *out = xfc_map_get_ptr(&p->values, p->tok.text);
    if (!*out) return xfc_ps_fail(p, "'%%%s' is not defined above; ops stand in topological order", p->tok.text);
    xfc_ps_next(p);
    return !p->failed;
}

/* A plain word is also the value's ONNX name; a number is none. */
static const char *own_name(const char *name) { return name[0] >= '0' && name[0] <= '9' ? NULL : name; }

/* --- header --- */

static bool input(xfc_parser *p) {
    xfc_type t;
    if (p->tok.kind != XFC_TOK_VALUE) return xfc_ps_expected(p, "an input (%name: type)");
    const char *name = p->tok.text, *onnx = name;
    xfc_ps_next(p);
    if (!xfc_ps_need(p, ':') || !xfc_ps_type(p, &t)) return false;
    if (p->tok.kind == XFC_TOK_STRING && !xfc_ps_string(p, &onnx)) return false;
    return !p->failed && define_value(p, name, xfc_graph_add_input(p->graph, onnx, t));
}

static bool inputs(xfc_parser *p) {
    if (!xfc_ps_need(p, '(')) return false;
    if (xfc_ps_take(p, ')')) return !p->failed;
    do {
        if (p->graph->n_in >= XFC_MAX_NODES) return xfc_ps_fail(p, "more than %d inputs", (int)XFC_MAX_NODES);
        if (!input(p)) return false;
    } while (xfc_ps_take(p, ','));
    return xfc_ps_need(p, ')');
}

typedef struct {
    xfc_type *type;
    const char **name;
    uint32_t n, cap_type, cap_name;
} outputs;

static bool read_outputs(xfc_parser *p, outputs *o) {
    if (!xfc_ps_need(p, XFC_P_ARROW) || !xfc_ps_need(p, '(')) return false;
    if (xfc_ps_take(p, ')')) return !p->failed;
    do {
        xfc_type t;
        const char *name;
        if (o->n == UINT16_MAX) return xfc_ps_fail(p, "more than %d outputs", (int)UINT16_MAX);
        bool open = xfc_ps_take_word(p, "_"); /* a symbol of the graph is in it */
        if (open) t = (xfc_type){.dtype = XFC_DTYPE_COUNT};
        if ((!open && !xfc_ps_type(p, &t)) || !xfc_ps_string(p, &name)) return false;
        uint32_t n = o->n;
        xfc_push(p->scratch, o->type, n, o->cap_type) = t;
        xfc_push(p->scratch, o->name, o->n, o->cap_name) = name;
    } while (xfc_ps_take(p, ','));
    return xfc_ps_need(p, ')');
}

static bool stage(xfc_parser *p) {
    if (!xfc_ps_take_word(p, "stage")) return !p->failed; /* imported */
    for (int s = 0; s < XFC_STAGE_COUNT; s++) {
        if (!xfc_ps_is_word(p, xfc_stage_name((xfc_stage)s))) continue;
        p->graph->stage = (xfc_stage)s;
        xfc_ps_next(p);
        return !p->failed;
    }
    return xfc_ps_expected(p, "imported, legal, kernels, scheduled or planned");
}

static bool data_file(xfc_parser *p) {
    if (!xfc_ps_string(p, &p->data_file)) return false;
    if (!p->read_beside) return xfc_ps_fail(p, "data files are read for a text that is a file, not here");
    if (p->read_beside(p->ctx, p->file, p->data_file, &p->data, &p->data_bytes)) return true;
    p->failed = true; /* as it said itself */
    return false;
}

static bool graph_name(xfc_parser *p, const char **name) {
    if (!xfc_ps_need(p, '@')) return false;
    if (p->tok.kind != XFC_TOK_WORD && p->tok.kind != XFC_TOK_STRING)
        return xfc_ps_expected(p, "the name of the graph");
    *name = p->tok.text;
    xfc_ps_next(p);
    return !p->failed;
}

/* The first graph is the entry; others are what an op above has named. */
static bool open_graph(xfc_parser *p) {
    const char *name = NULL;
    if (!xfc_ps_need_word(p, "graph") || !graph_name(p, &name)) return false;
    const xfc_ps_body *body = xfc_map_get_ptr(&p->bodies, name);
    if (p->entry && !body) return xfc_ps_fail(p, "'@%s' is the body of no op above, or stands there twice", name);
    p->graph = body ? body->graph : xfc_graph_new(p->ctx, name);
    if (!p->entry) p->entry = p->graph;
    p->nesting = body ? body->depth : 0;
    xfc_map_set_ptr(&p->bodies, name, NULL);
    p->values = (xfc_map){.arena = p->scratch};
    return true;
}

static bool header(xfc_parser *p, outputs *o) {
    if (!open_graph(p) || !xfc_ps_symbols(p) || !inputs(p) || !read_outputs(p, o) || !stage(p)) return false;
    if (xfc_ps_take_word(p, "source") && !xfc_ps_string(p, &p->source)) return false;
    p->graph->source = p->source ? p->source : p->file;
    return (!xfc_ps_take_word(p, "data") || data_file(p)) && xfc_ps_need(p, '{');
}

/* require a == b, or: require a == b or a == 1 or b == 1, or: require a != b */
static bool constraint(xfc_parser *p) {
    xfc_loc loc = xfc_ps_here(p);
    xfc_int a, b, side, one;
    unsigned ones = 0;
    if (!xfc_ps_int(p, &a)) return false;
    bool unequal = xfc_ps_take(p, XFC_P_UNEQUAL);
    if (unequal) ones = XFC_UNEQUAL;
    if ((!unequal && !xfc_ps_need(p, XFC_P_EQUAL)) || !xfc_ps_int(p, &b)) return false;
    while (!unequal && xfc_ps_take_word(p, "or")) {
        if (!xfc_ps_int(p, &side) || !xfc_ps_need(p, XFC_P_EQUAL) || !xfc_ps_int(p, &one)) return false;
        if (!xfc_int_is(p->ctx, one, 1) || (!xfc_int_same(side, a) && !xfc_int_same(side, b)))
            return xfc_ps_fail(p, "behind 'or' stands that one of the two sides == 1");
        ones |= xfc_int_same(side, a) ? XFC_A_MAY_BE_1 : XFC_B_MAY_BE_1;
    }
    if (xfc_ps_take(p, '@') && !xfc_ps_location(p, &loc)) return false;
    if (p->failed) return false;
    xfc_graph_require(p->graph, a, b, ones, loc);
    return true;
}

/* --- attributes --- */

static bool list(xfc_parser *p, const xfc_ps_op *o, xfc_attr *a) {
    int64_t *ints = NULL;
    xfc_int *dims = NULL;
    uint32_t cap = 0;
    bool is_dims = xfc_key_kind(a->key) == XFC_ATTR_DIMS;
    bool defines = a->key == XFC_K_VALUES && (xfc_ops[o->code].traits & XFC_REGION);
    if (!xfc_ps_need(p, '[')) return false;
    bool more = !xfc_ps_take(p, ']');
    while (more && !p->failed) {
        int64_t v = 0;
        xfc_int e = XFC_INT_NONE;
        if (a->n >= XFC_PARSE_LIST) return xfc_ps_fail(p, "a list has more than %d entries", (int)XFC_PARSE_LIST);
        if (!(defines ? xfc_ps_new_symbol(p, &e) : is_dims ? xfc_ps_int(p, &e) : xfc_ps_i64(p, "an integer", &v)))
            return false;
        if (is_dims)
            xfc_push(p->scratch, dims, a->n, cap) = e;
        else
            xfc_push(p->scratch, ints, a->n, cap) = v;
        more = xfc_ps_take(p, ',');
        if (!more && !xfc_ps_need(p, ']')) return false;
    }
    if (is_dims)
        a->u.dims = dims;
    else
        a->u.ints = ints;
    return !p->failed;
}

/* @body: a graph further down, which is made now and read there. So no graph can hang on itself. */
static bool body_name(xfc_parser *p, xfc_graph **out) {
    const char *name = NULL;
    if (!graph_name(p, &name)) return false;
    if (xfc_map_find(&p->bodies, key(name), NULL))
        return xfc_ps_fail(
            p, "'@%s' stands above or belongs to an op already; a body is a graph of its own further down", name);
    if (p->nesting == XFC_MAX_NESTING) return xfc_ps_fail(p, "graphs are nested deeper than %d", (int)XFC_MAX_NESTING);
    *out = xfc_body_new(p->entry, name);
    xfc_ps_body body = {*out, p->tok.line, p->nesting + 1};
    xfc_map_set_ptr(&p->bodies, name, xfc_memdup(p->scratch, &body, sizeof body, _Alignof(xfc_ps_body)));
    return true;
}

static bool attr_value(xfc_parser *p, const xfc_ps_op *o, xfc_attr *a) {
    xfc_type t;
    switch (xfc_key_kind(a->key)) {
    case XFC_ATTR_INT: return xfc_ps_i64(p, "an integer", &a->u.i);
    case XFC_ATTR_FLOAT: return xfc_ps_f64(p, &a->u.f);
    case XFC_ATTR_STR: return xfc_ps_string(p, &a->u.s);
    case XFC_ATTR_DTYPE: return xfc_ps_dtype(p, &a->u.dtype);
    case XFC_ATTR_TENSOR: return xfc_ps_type(p, &t) && xfc_ps_data(p, &t, NULL, &a->u.tensor);
    case XFC_ATTR_GRAPH: return body_name(p, &a->u.graph);
    case XFC_ATTR_INTS:
    case XFC_ATTR_DIMS: break;
    }
    return list(p, o, a);
}

static bool attrs(xfc_parser *p, xfc_ps_op *o) {
    if (!xfc_ps_take(p, '{')) return !p->failed;
    bool more = !xfc_ps_take(p, '}');
    while (more && !p->failed) {
        xfc_attr a = {0};
        if (p->tok.kind != XFC_TOK_WORD) return xfc_ps_expected(p, "the key of an attribute");
        if (!xfc_key_from_name(p->tok.text, &a.key)) return xfc_ps_fail(p, "no op has an attribute '%s'", p->tok.text);
        if (o->n_attr >= XFC_K_COUNT) return xfc_ps_fail(p, "an op has an attribute twice");
        xfc_ps_next(p);
        if (!xfc_ps_need(p, '=') || !attr_value(p, o, &a)) return false;
        xfc_push(p->scratch, o->attr, o->n_attr, o->cap_attr) = a;
        more = xfc_ps_take(p, ',');
        if (!more && !xfc_ps_need(p, '}')) return false;
    }
    return !p->failed;
}

/* --- ops --- */

static bool results(xfc_parser *p, xfc_ps_op *o) {
    if (p->tok.kind != XFC_TOK_VALUE) return !p->failed;
    do {
        if (p->tok.kind != XFC_TOK_VALUE) return xfc_ps_expected(p, "a value (%name)");
        if (o->n_out == UINT16_MAX) return xfc_ps_fail(p, "an op has more than %d results", (int)UINT16_MAX);
        xfc_push(p->scratch, o->out_name, o->n_out, o->cap_out) = p->tok.text;
        xfc_ps_next(p);
    } while (xfc_ps_take(p, ','));
    return xfc_ps_need(p, '=');
}

static bool operands(xfc_parser *p, xfc_ps_op *o) {
    if (p->tok.kind != XFC_TOK_VALUE && !xfc_ps_is_word(p, "_")) return !p->failed;
    do {
        const char *name = NULL;
        xfc_value *v = NULL;
        uint32_t n = o->n_in;
        if (n == UINT16_MAX) return xfc_ps_fail(p, "an op has more than %d operands", (int)UINT16_MAX);
        if (!xfc_ps_take_word(p, "_") && !use_value(p, &name, &v)) return false;
        xfc_push(p->scratch, o->in_name, n, o->cap_in_name) = name;
        xfc_push(p->scratch, o->in, o->n_in, o->cap_in) = v;
    } while (xfc_ps_take(p, ','));
    return !p->failed;
}

static bool types(xfc_parser *p, xfc_ps_op *o) {
    if (!xfc_ps_take(p, ':')) return !p->failed;
    do {
        xfc_type t;
        const char *onnx = NULL;
        uint32_t n = o->n_type;
        if (n == o->n_out) return xfc_ps_fail(p, "an op has more types than results");
        if (!xfc_ps_type(p, &t)) return false;
        if (p->tok.kind == XFC_TOK_STRING && !xfc_ps_string(p, &onnx)) return false;
        xfc_push(p->scratch, o->onnx_name, n, o->cap_onnx) = onnx;
        xfc_push(p->scratch, o->type, o->n_type, o->cap_type) = t;
    } while (xfc_ps_take(p, ','));
    if (o->n_type != o->n_out)
        return xfc_ps_fail(p, "an op has %u results but %u types", (unsigned)o->n_out, (unsigned)o->n_type);
    return !p->failed;
}

/* Its bodies come later, and with them what its types should be. */
static xfc_op *make_region(xfc_parser *p, const xfc_ps_op *o) {
    bool holes = false, whole = o->n_in > 0 && o->n_type > 0;
    for (uint32_t i = 0; i < o->n_in; i++) holes = holes || !o->in[i];
    if (!whole || holes) {
        xfc_ps_fail(p, "%s is written %%a, %%b = %s %%x, %%y {...} : type, type", xfc_ops[o->code].name,
                    xfc_ops[o->code].name);
        return NULL;
    }
    xfc_op *op =
        xfc_op_new(p->graph, NULL, o->code, o->in, o->n_in, o->n_out, o->attr, o->n_attr, (xfc_loc){.line = o->line});
    for (uint32_t i = 0; i < o->n_out; i++) op->out[i].type = o->type[i];
    xfc_push(p->scratch, p->regions, p->n_regions, p->cap_regions) = (xfc_ps_region){op, o->line};
    return op;
}

static bool check_types(xfc_parser *p, const xfc_ps_op *o, const xfc_op *op) {
    for (uint32_t i = 0; i < o->n_type; i++) {
        if (xfc_type_same(&o->type[i], &op->out[i].type)) continue;
        xfc_buf says = {.arena = p->scratch}, is = {.arena = p->scratch};
        xfc_print_type(p->ctx, &says, &o->type[i]);
        xfc_print_type(p->ctx, &is, &op->out[i].type);
        p->tok.line = o->line;
        return xfc_ps_fail(p, "'%%%s' is said to be %s, but %s makes it %s", o->out_name[i], says.text,
                           xfc_ops[o->code].name, is.text);
    }
    return true;
}

static xfc_value *build(xfc_parser *p, const xfc_ps_op *o) {
    xfc_builder b = {.graph = p->graph, .loc = {.file = p->file, .line = o->line}};
    const xfc_tensor *t;
    if (o->code != XFC_OP_CONST) return xfc_build_opt(&b, o->code, o->in, o->n_in, o->attr, o->n_attr);
    if (o->n_in || o->n_attr || o->n_type != 1) {
        xfc_ps_fail(p, "a constant is written %%name = const : type = data");
        return NULL;
    }
    const char *name = o->string ? o->string : o->n_out ? own_name(o->out_name[0]) : NULL;
    if (!xfc_ps_need(p, '=') || !xfc_ps_data(p, o->type, name, &t)) return NULL;
    return xfc_b_const(&b, t);
}

/* The op itself, once everything up to its body is read. */
static xfc_op *make_op(xfc_parser *p, const xfc_ps_op *o) {
    uint32_t n_errors = p->ctx->n_errors;
    if (o->code == XFC_OP_KERNEL) {
        bool holes = false;
        for (uint32_t i = 0; i < o->n_in; i++) holes = holes || !o->in[i];
        if (o->n_out == 0 || o->n_type == 0 || o->n_attr || holes) {
            xfc_ps_fail(p, "a kernel is written %%a, %%b = kernel \"form\" %%x, %%y : type, type { ... }");
            return NULL;
        }
        return xfc_ps_kernel_op(p, o);
    }
    if (xfc_ops[o->code].traits & XFC_REGION) return make_region(p, o);
    xfc_value *v = build(p, o);
    if (v && v->def->n_out != o->n_out) {
        xfc_ps_fail(p, "%s has %u results, not %u", xfc_ops[o->code].name, (unsigned)v->def->n_out, (unsigned)o->n_out);
        return NULL;
    }
    if (v && p->ctx->n_errors == n_errors) return v->def;
    if (p->ctx->n_errors == n_errors) xfc_ps_fail(p, "%s is not valid here", xfc_ops[o->code].name);
    p->failed = true;
    return NULL;
}

/* T in 0..b * s, N in 0..b = %counts: the symbols are known from here to the end of the text. */
static bool define(xfc_parser *p, const xfc_ps_op *o) {
    xfc_int *symbols = NULL, symbol;
    uint32_t n = 0, cap = 0;
    const char *name = NULL;
    xfc_value *counts = NULL;
    do {
        if (n >= XFC_PARSE_LIST) return xfc_ps_fail(p, "a list has more than %d entries", (int)XFC_PARSE_LIST);
        if (!xfc_ps_new_symbol(p, &symbol)) return false;
        xfc_push(p->scratch, symbols, n, cap) = symbol;
    } while (xfc_ps_take(p, ','));
    if (!xfc_ps_need(p, '=') || !use_value(p, &name, &counts)) return false;
    xfc_builder b = {.graph = p->graph, .loc = {.file = p->file, .line = o->line}};
    xfc_op *made = xfc_b_define(&b, counts, symbols, n);
    if (!made) p->failed = true;
    return made && (!xfc_ps_take(p, '@') || xfc_ps_location(p, &made->loc)) && !p->failed;
}

static bool op(xfc_parser *p) {
    xfc_ps_op o = {.line = p->tok.line};
    if (++p->n_ops > XFC_MAX_NODES) return xfc_ps_fail(p, "more than %d ops", (int)XFC_MAX_NODES);
    if (!results(p, &o)) return false;
    if (p->tok.kind != XFC_TOK_WORD) return xfc_ps_expected(p, "the name of an op");
    if (!xfc_opcode_from_name(p->tok.text, &o.code)) return xfc_ps_fail(p, "there is no op '%s'", p->tok.text);
    if ((o.n_out == 0) != (o.code == XFC_OP_DEFINE))
        return o.n_out ? xfc_ps_fail(p, "define has no result") : xfc_ps_fail(p, "write %%name = %s ...", p->tok.text);
    if (o.code == XFC_OP_RETURN) return xfc_ps_fail(p, "return has no result");
    xfc_ps_next(p);
    if (o.code == XFC_OP_DEFINE) return define(p, &o);
    bool named = o.code == XFC_OP_CONST || o.code == XFC_OP_KERNEL;
    if (named && p->tok.kind == XFC_TOK_STRING && !xfc_ps_string(p, &o.string)) return false;
    if (!operands(p, &o) || !attrs(p, &o) || !types(p, &o)) return false;
    xfc_op *made = make_op(p, &o);
    if (!made || !check_types(p, &o, made)) return false;
    made->loc = (xfc_loc){.file = p->file, .line = o.line};
    if (xfc_ps_take(p, '@') && !xfc_ps_location(p, &made->loc)) return false;
    for (uint32_t i = 0; i < o.n_out; i++) {
        bool given = o.n_type && o.onnx_name[i];
        made->out[i].name = given ? o.onnx_name[i] : own_name(o.out_name[i]);
        if (!define_value(p, o.out_name[i], &made->out[i])) return false;
    }
    return !p->failed;
}

static bool read_return(xfc_parser *p, const outputs *o) {
    xfc_ps_op r = {0};
    if (!operands(p, &r)) return false;
    if (r.n_in != o->n)
        return xfc_ps_fail(p, "return has %u operands, the header %u outputs", (unsigned)r.n_in, (unsigned)o->n);
    for (uint32_t i = 0; i < r.n_in; i++) {
        if (!r.in[i]) return xfc_ps_fail(p, "an output cannot be left out");
        if (o->type[i].dtype == XFC_DTYPE_COUNT || xfc_type_same(&r.in[i]->type, &o->type[i])) continue;
        xfc_buf is = {.arena = p->scratch};
        xfc_print_type(p->ctx, &is, &r.in[i]->type);
        return xfc_ps_fail(p, "output %u is %s, not what the header says", (unsigned)i, is.text);
    }
    xfc_graph_set_outputs(p->graph, r.in, o->name, o->n);
    return true;
}

/* --- the plan --- */

static bool u64(xfc_parser *p, const char *what, uint64_t *out) {
    if (p->tok.kind != XFC_TOK_INT || p->tok.big) return xfc_ps_expected(p, what);
    *out = p->tok.bits;
    xfc_ps_next(p);
    return !p->failed;
}

/* Must weight i stand behind this one? Those without bytes come first where they begin. */
static bool belongs_behind(const xfc_plan *plan, uint32_t i, const xfc_tensor *t, uint64_t offset) {
    if (plan->weight_offset[i] != offset) return plan->weight_offset[i] > offset;
    return t->bytes == 0 && plan->weight[i]->bytes != 0;
}

/* weight %w at 64   |   weight data 17 at 64 */
static bool plan_weight(xfc_parser *p) {
    xfc_plan *plan = p->entry->plan;
    const xfc_tensor *t;
    const char *name = NULL;
    xfc_value *v = NULL;
    uint64_t offset = 0;
    uint32_t id, n = plan ? plan->n_weights : 0;
    if (!plan) return xfc_ps_fail(p, "a body has weights, but the first graph has no plan");
    if (xfc_ps_take_word(p, "data")) {
        if (!xfc_ps_u32(p, "the number of a constant", &id)) return false;
        if (id >= xfc_tensor_pool_size(p->ctx))
            return xfc_ps_fail(p, "there is no constant %u in this run", (unsigned)id);
        t = xfc_tensor_at(p->ctx, id);
    } else {
        if (!use_value(p, &name, &v)) return false;
        if (!xfc_value_is_const(v, &t)) return xfc_ps_fail(p, "'%%%s' is no constant", name);
    }
    if (!xfc_ps_need_word(p, "at") || !u64(p, "an offset", &offset)) return false;
    xfc_push(p->entry->arena, plan->weight, n, p->cap_weight) = t;
    xfc_push(p->entry->arena, plan->weight_offset, plan->n_weights, p->cap_offset) = offset;
    uint32_t at = n - 1; /* those of a body take their places among the others */
    for (; p->graph->user && at > 0 && belongs_behind(plan, at - 1, t, offset); at--) {
        plan->weight[at] = plan->weight[at - 1];
        plan->weight_offset[at] = plan->weight_offset[at - 1];
    }
    plan->weight[at] = t, plan->weight_offset[at] = offset;
    return true;
}

/* %x input 0   |   %y output 1   |   %w weight at 64   |   %h work at b * 64   |   %n heap 0 */
static bool plan_place(xfc_parser *p, xfc_plan *plan) {
    static const struct {
        const char *word;
        xfc_space space;
        bool indexed;
    } spaces[] = {{"input", XFC_SPACE_INPUT, true},
                  {"output", XFC_SPACE_OUTPUT, true},
                  {"weight", XFC_SPACE_WEIGHT, false},
                  {"work", XFC_SPACE_WORK, false},
                  {"heap", XFC_SPACE_HEAP, true}};
    const char *name = NULL;
    xfc_value *v = NULL;
    if (!use_value(p, &name, &v)) return false;
    xfc_place *at = &plan->place[v->id];
    if (at->space != XFC_SPACE_NONE) return xfc_ps_fail(p, "'%%%s' has two places", name);
    for (size_t i = 0; i < XFC_COUNT(spaces) && at->space == XFC_SPACE_NONE; i++) {
        if (!xfc_ps_take_word(p, spaces[i].word)) continue;
        at->space = spaces[i].space;
        if (spaces[i].indexed && !xfc_ps_u32(p, "its number", &at->index)) return false;
    }
    if (at->space == XFC_SPACE_NONE) return xfc_ps_expected(p, "input, output, weight, work or heap");
    return !xfc_ps_take_word(p, "at") || xfc_ps_int(p, &at->offset);
}

static bool read_plan(xfc_parser *p) {
    xfc_graph *g = p->graph;
    xfc_plan *plan = xfc_new(g->arena, xfc_plan);
    plan->n_places = g->next_value_id;
    plan->place = xfc_new_array(g->arena, xfc_place, plan->n_places);
    g->plan = plan;
    if (!xfc_ps_need(p, '{') || !xfc_ps_need_word(p, "work") || !xfc_ps_int(p, &plan->work_bytes)) return false;
    if (xfc_ps_take_word(p, "bodies") && !xfc_ps_int(p, &plan->bodies)) return false;
    if (xfc_ps_take_word(p, "heap") && !xfc_ps_u32(p, "the number of its slots", &plan->n_slots)) return false;
    if (!xfc_ps_need_word(p, "weights") || !u64(p, "the bytes of all weights", &plan->weight_bytes)) return false;
    while (!xfc_ps_take(p, '}'))
        if (!(xfc_ps_take_word(p, "weight") ? plan_weight(p) : plan_place(p, plan))) return false;
    return !p->failed;
}

/* --- programs --- */

/* Inner ones first, which stand behind those around them. */
static bool check_regions(xfc_parser *p) {
    for (uint32_t i = p->n_regions; i-- > 0;) {
        xfc_op *op = p->regions[i].op;
        xfc_ps_op o = {.code = op->code, .line = p->regions[i].line, .n_out = op->n_out, .n_type = op->n_out};
        o.type = xfc_new_array(p->scratch, xfc_type, op->n_out);
        o.out_name = xfc_new_array(p->scratch, const char *, op->n_out);
        for (uint32_t k = 0; k < op->n_out; k++) {
            o.type[k] = op->out[k].type;
            o.out_name[k] = op->out[k].name ? op->out[k].name : xfc_sprintf(p->scratch, "%u", (unsigned)k);
        }
        xfc_loc loc = op->loc;
        op->loc = (xfc_loc){.file = p->file, .line = o.line};
        if (xfc_infer_op(op) != XFC_OK) p->failed = true;
        op->loc = loc;
        if (p->failed || !check_types(p, &o, op)) return false;
    }
    return true;
}

static bool graph(xfc_parser *p) {
    outputs o = {0};
    if (!header(p, &o)) return false;
    while (!xfc_ps_take_word(p, "return"))
        if (!(xfc_ps_take_word(p, "require") ? constraint(p) : op(p))) return false;
    if (!read_return(p, &o)) return false;
    if (xfc_ps_take_word(p, "plan") && !read_plan(p)) return false;
    return xfc_ps_need(p, '}');
}

/* Every body that was named has been read. */
static bool all_read(xfc_parser *p) {
    for (uint32_t i = 0; i < p->entry->program->n; i++) {
        const xfc_graph *g = p->entry->program->graph[i];
        const xfc_ps_body *body = xfc_map_get_ptr(&p->bodies, g->name);
        if (!body) continue;
        p->tok.line = body->line;
        return xfc_ps_fail(p, "there is no graph '@%s' further down", g->name);
    }
    return true;
}

static bool program(xfc_parser *p) {
    xfc_ps_next(p);
    do {
        if (!graph(p)) return false;
    } while (xfc_ps_is_word(p, "graph"));
    if (p->tok.kind != XFC_TOK_END) return xfc_ps_expected(p, "another graph or the end of the text");
    return !p->failed && all_read(p) && check_regions(p);
}

xfc_graph *xfc_parse_graph(xfc_ctx *ctx, const char *text, size_t n, const char *file) {
    return xfc_parse_graph_beside(ctx, text, n, file, NULL);
}

xfc_graph *xfc_parse_graph_beside(xfc_ctx *ctx, const char *text, size_t n, const char *file, xfc_read_beside *read) {
    xfc_parser p = {.ctx = ctx, .scratch = xfc_arena_new(), .at = text, .end = text + n, .line = 1};
    p.read_beside = read;
    p.file = xfc_str(ctx, file);
    p.dims.arena = p.locals.arena = p.values.arena = p.bodies.arena = p.scratch;
    bool ok = program(&p);
    xfc_arena_free(p.scratch);
    if (ok) return p.entry;
    if (p.entry) xfc_graph_free(p.entry);
    return NULL;
}

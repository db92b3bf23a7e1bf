/* parse_kernel.c - kernels from text; the inverse of print_kernel.c, which shows the form.
 *
 * Checks only what the structure needs (known names, arity, list lengths): whether a kernel makes sense is the
 * verifier's question, asked right after. Every axis and let becomes a fresh symbol, made in the order of the text.
 */
#include "ir/text/parse_impl.h"

#include <string.h>

typedef struct {
    xfc_parser *p;
    xfc_kernel *k;
    xfc_arena *arena; /* the graph's */
    xfc_map operand;  /* interned value name -> position + 1 */
    xfc_map instr;    /* interned instruction name -> index + 1, of the nest being read */
} reader;

static uint64_t key(const char *interned) { return (uint64_t)(uintptr_t)interned; }

bool xfc_ps_location(xfc_parser *p, xfc_loc *loc) {
    *loc = (xfc_loc){.file = p->source ? p->source : p->file};
    if (!xfc_ps_take_word(p, "_") && !xfc_ps_string(p, &loc->node)) return false;
    if (!xfc_ps_take_word(p, "_") && !xfc_ps_string(p, &loc->op)) return false;
    if (!xfc_ps_u32(p, "an opset number", &loc->opset)) return false;
    return p->tok.kind != XFC_TOK_STRING || xfc_ps_string(p, &loc->what);
}

/* --- buffers and accesses --- */

static bool buffer(reader *r, uint32_t *out) {
    xfc_parser *p = r->p;
    uint32_t first_temp = r->k->n_in + r->k->n_out;
    if (p->tok.kind == XFC_TOK_VALUE) {
        uint64_t at = xfc_map_get(&r->operand, key(p->tok.text));
        if (!at) return xfc_ps_fail(p, "'%%%s' is not an operand of this kernel", p->tok.text);
        *out = (uint32_t)at - 1;
        xfc_ps_next(p);
        return !p->failed;
    }
    bool temp = p->tok.kind == XFC_TOK_TEMP;
    if (!temp && p->tok.kind != XFC_TOK_POS)
        return xfc_ps_expected(p, "an operand (%name or #position) or a temporary ($number)");
    uint64_t n = p->tok.bits, limit = temp ? r->k->n_buffers - first_temp : first_temp;
    if (p->tok.big || n >= limit)
        return xfc_ps_fail(p, temp ? "this temporary is not declared" : "the kernel has fewer operands than that");
    *out = (uint32_t)n + (temp ? first_temp : 0);
    xfc_ps_next(p);
    return !p->failed;
}

static bool access(reader *r, xfc_access *a) {
    *a = (xfc_access){0};
    if (!buffer(r, &a->buffer) || !xfc_ps_need(r->p, '[')) return false;
    if (xfc_ps_take(r->p, ']')) return !r->p->failed;
    do {
        if (a->rank == XFC_MAX_RANK) return xfc_ps_fail(r->p, "an access has more than %d indices", (int)XFC_MAX_RANK);
        if (!xfc_ps_int(r->p, &a->index[a->rank++])) return false;
    } while (xfc_ps_take(r->p, ','));
    return xfc_ps_need(r->p, ']');
}

/* --- axes and lets --- */

static bool axis(reader *r, xfc_axis *a) {
    xfc_parser *p = r->p;
    const char *name, *hint;
    *a = (xfc_axis){0};
    if (!xfc_ps_local_name(p, &name, &hint) || !xfc_ps_need_word(p, "in") || !xfc_ps_int(p, &a->extent)) return false;
    a->name = hint;
    for (bool more = true; more;) {
        if (xfc_ps_take_word(p, "reduce"))
            a->kind = XFC_AXIS_REDUCE;
        else if (xfc_ps_take_word(p, "scan"))
            a->kind = XFC_AXIS_SCAN;
        else if (xfc_ps_take_word(p, "vector"))
            a->how = XFC_HOW_VECTOR;
        else if (xfc_ps_take_word(p, "threads"))
            a->how = XFC_HOW_THREADS;
        else
            more = false;
    }
    xfc_int bound = a->extent;
    if (xfc_ps_take_word(p, "below") && !xfc_ps_int(p, &bound)) return false;
    if (p->failed) return false;
    if (!xfc_int_known(xfc_int_addc(p->ctx, bound, -1)))
        return xfc_ps_fail(p, "the extent of '%s' exceeds 64 bits", name);
    a->symbol = xfc_int_axis(p->ctx, hint, bound);
    return xfc_ps_define(p, name, a->symbol);
}

static bool range(xfc_parser *p, xfc_int *lo, xfc_int *hi) {
    return xfc_ps_need_word(p, "in") && xfc_ps_int(p, lo) && xfc_ps_need(p, XFC_P_RANGE) && xfc_ps_int(p, hi);
}

/* let NAME = EXPR in LO..HI, or let NAME = %x[...] in LO..HI */
static bool kernel_let(reader *r) {
    xfc_parser *p = r->p;
    xfc_let let = {.value = XFC_INT_NONE};
    const char *name;
    xfc_access load;
    xfc_int lo, hi;
    if (!xfc_ps_local_name(p, &name, &let.name) || !xfc_ps_need(p, '=')) return false;
    bool loads = p->tok.kind == XFC_TOK_VALUE || p->tok.kind == XFC_TOK_POS || p->tok.kind == XFC_TOK_TEMP;
    if (!(loads ? access(r, &load) : xfc_ps_int(p, &let.value)) || !range(p, &lo, &hi)) return false;
    if (loads && r->k->buffers[load.buffer].kind != XFC_BUF_IN)
        return xfc_ps_fail(p, "a let is read before any step runs, so only from an operand");
    if (loads) let.load = xfc_dup_array(r->arena, xfc_access, &load, 1);
    let.symbol = xfc_int_let(p->ctx, let.name, lo, hi);
    xfc_push(r->arena, r->k->lets, r->k->n_lets, r->k->cap_lets) = let;
    return xfc_ps_define(p, name, let.symbol);
}

/* --- nests --- */

static bool argument(reader *r, uint32_t *out) {
    xfc_parser *p = r->p;
    uint64_t at = p->tok.kind == XFC_TOK_WORD ? xfc_map_get(&r->instr, key(p->tok.text)) : 0;
    if (!at && p->tok.kind == XFC_TOK_WORD)
        return xfc_ps_fail(p, "'%s' is not defined above in this nest", p->tok.text);
    if (!at) return xfc_ps_expected(p, "the name of an instruction");
    *out = (uint32_t)at - 1;
    xfc_ps_next(p);
    return !p->failed;
}

/* v = let k = v in LO..HI [wrap] [sure] */
static bool body_let(reader *r, xfc_scalar *s) {
    xfc_parser *p = r->p;
    const char *name, *hint;
    xfc_int lo, hi;
    if (!xfc_ps_local_name(p, &name, &hint) || !xfc_ps_need(p, '=') || !argument(r, &s->arg[0]) || !range(p, &lo, &hi))
        return false;
    s->dtype = XFC_I64;
    s->wrap = xfc_ps_take_word(p, "wrap");
    s->sure = xfc_ps_take_word(p, "sure");
    if (xfc_ps_take(p, '@') && !xfc_ps_string(p, &s->node)) return false;
    s->u.index = xfc_int_let(p->ctx, hint, lo, hi);
    return xfc_ps_define(p, name, s->u.index);
}

static bool load(reader *r, xfc_scalar *s) {
    xfc_access a;
    if (!xfc_ps_dtype(r->p, &s->dtype) || !access(r, &a)) return false;
    s->u.access = xfc_dup_array(r->arena, xfc_access, &a, 1);
    return !xfc_ps_take_word(r->p, "if") || argument(r, &s->arg[0]);
}

static bool constant(reader *r, xfc_scalar *s) {
    if (!xfc_ps_dtype(r->p, &s->dtype)) return false;
    if (!xfc_dtype_is_float(s->dtype)) return xfc_ps_i64(r->p, "an integer", &s->u.i);
    if (!xfc_ps_f64(r->p, &s->u.f)) return false;
    s->u.f = xfc_round_to(s->u.f, s->dtype);
    return true;
}

static bool operation(reader *r, xfc_scalar *s) {
    uint32_t n = s->op == XFC_S_CAST ? 1 : xfc_scalar_arity(s->op);
    if (!xfc_ps_dtype(r->p, &s->dtype)) return false;
    for (uint32_t i = 0; i < n && i < 3; i++)
        if ((i && !xfc_ps_need(r->p, ',')) || !argument(r, &s->arg[i])) return false;
    return true;
}

static bool instruction(reader *r, xfc_nest *nest) {
    xfc_parser *p = r->p;
    xfc_scalar s = {.arg = {XFC_NO_ARG, XFC_NO_ARG, XFC_NO_ARG}};
    const char *name = p->tok.text;
    if (p->tok.kind != XFC_TOK_WORD) return xfc_ps_expected(p, "an instruction, store or '}'");
    if (xfc_map_get(&r->instr, key(name))) return xfc_ps_fail(p, "'%s' is defined twice in this nest", name);
    xfc_ps_next(p);
    if (!xfc_ps_need(p, '=')) return false;
    if (p->tok.kind != XFC_TOK_WORD) return xfc_ps_expected(p, "a scalar operation");
    const char *op = p->tok.text;
    bool ok;
    if (xfc_ps_take_word(p, "let")) {
        s.op = XFC_S_LET;
        ok = body_let(r, &s);
    } else if (xfc_ps_take_word(p, "load")) {
        s.op = XFC_S_LOAD;
        ok = load(r, &s);
    } else if (xfc_ps_take_word(p, "const")) {
        s.op = XFC_S_CONST;
        ok = constant(r, &s);
    } else if (xfc_ps_take_word(p, "index")) {
        s.op = XFC_S_INDEX;
        s.dtype = XFC_I64;
        ok = xfc_ps_int(p, &s.u.index);
    } else {
        s.op = XFC_S_CAST;
        if (!xfc_ps_take_word(p, "cast")) {
            if (!xfc_scalar_from_name(op, &s.op)) return xfc_ps_fail(p, "'%s' is no scalar operation", op);
            xfc_ps_next(p);
        }
        ok = operation(r, &s);
    }
    if (!ok || p->failed) return false;
    xfc_push(r->arena, nest->body, nest->n_body, nest->cap_body) = s;
    xfc_map_set(&r->instr, key(name), nest->n_body);
    return true;
}

static bool store(reader *r, xfc_nest *nest) {
    xfc_parser *p = r->p;
    xfc_store s = {.combine = XFC_S_COUNT};
    if (p->tok.kind == XFC_TOK_WORD) {
        if (!xfc_scalar_from_name(p->tok.text, &s.combine))
            return xfc_ps_expected(p, "a combining operation or an operand");
        xfc_ps_next(p);
    }
    if (!access(r, &s.to) || !xfc_ps_need(p, '=') || !argument(r, &s.value)) return false;
    xfc_push(r->arena, nest->stores, nest->n_stores, nest->cap_stores) = s;
    return true;
}

static bool read_nest(reader *r) {
    xfc_parser *p = r->p;
    uint32_t outer = p->n_scope;
    xfc_nest *nest = xfc_new(r->arena, xfc_nest);
    r->instr = (xfc_map){.arena = p->scratch};
    while (!xfc_ps_is(p, '{')) {
        xfc_axis a;
        if ((nest->n_axes && !xfc_ps_need(p, ',')) || !axis(r, &a)) return false;
        xfc_push(r->arena, nest->axes, nest->n_axes, nest->cap_axes) = a;
    }
    xfc_ps_next(p);
    while (!xfc_ps_take(p, '}')) {
        bool stores = xfc_ps_take_word(p, "store");
        if (!stores && nest->n_stores) return xfc_ps_expected(p, "'store' or '}' (stores end a nest)");
        if (!(stores ? store(r, nest) : instruction(r, nest))) return false;
    }
    xfc_ps_end_scope(p, outer);
    xfc_step step = {.kind = XFC_STEP_NEST, .u.nest = nest};
    xfc_push(r->arena, r->k->steps, r->k->n_steps, r->k->cap_steps) = step;
    return !p->failed;
}

/* --- tiles --- */

static bool size(xfc_parser *p, const char *word, xfc_int *out) {
    return xfc_ps_need_word(p, word) && xfc_ps_need(p, '=') && xfc_ps_int(p, out) && xfc_ps_need(p, ',');
}

static bool read_tile(reader *r) {
    xfc_parser *p = r->p;
    xfc_tile *t = xfc_new(r->arena, xfc_tile);
    bool ok = access(r, &t->c) && xfc_ps_need_word(p, "row") && xfc_ps_int(p, &t->c_row) && xfc_ps_need(p, '=') &&
              access(r, &t->a) && xfc_ps_need_word(p, "row") && xfc_ps_int(p, &t->a_row) && xfc_ps_need_word(p, "by") &&
              access(r, &t->b) && xfc_ps_need(p, '{') && size(p, "rows", &t->rows) && size(p, "depth", &t->depth) &&
              size(p, "columns", &t->columns) && xfc_ps_need_word(p, "panel") && xfc_ps_need(p, '=') &&
              xfc_ps_u32(p, "the panel's columns", &t->panel);
    bool more = ok && xfc_ps_take(p, ',');
    t->group = 1;
    if (more && xfc_ps_take_word(p, "group")) {
        ok = xfc_ps_need(p, '=') && xfc_ps_u32(p, "the steps of k that stand together", &t->group);
        more = ok && xfc_ps_take(p, ',');
    }
    if (more) ok = xfc_ps_need_word(p, "apart") && xfc_ps_need(p, '=') && xfc_ps_int(p, &t->apart);
    ok = ok && xfc_ps_need(p, '}');
    if (!ok) return false;
    xfc_step step = {.kind = XFC_STEP_TILE, .u.tile = t};
    xfc_push(r->arena, r->k->steps, r->k->n_steps, r->k->cap_steps) = step;
    return true;
}

/* --- the kernel --- */

static bool read_axis(reader *r) {
    xfc_axis a;
    if (r->k->n_lets || r->k->n_steps) return xfc_ps_fail(r->p, "the axes of a kernel come before its lets and steps");
    if (!axis(r, &a)) return false;
    xfc_push(r->arena, r->k->axes, r->k->n_axes, r->k->cap_axes) = a;
    return true;
}

static bool read_temp(reader *r) {
    uint32_t number, next = r->k->n_buffers - r->k->n_in - r->k->n_out;
    xfc_buffer b = {.kind = XFC_BUF_TEMP};
    if (r->p->tok.kind != XFC_TOK_TEMP || r->p->tok.bits != next)
        return xfc_ps_expected(r->p,
                               xfc_sprintf(r->p->scratch, "$%u (temporaries are numbered in order)", (unsigned)next));
    if (!xfc_ps_u32(r->p, "a temporary", &number) || !xfc_ps_need(r->p, ':') || !xfc_ps_type(r->p, &b.type))
        return false;
    xfc_push(r->arena, r->k->buffers, r->k->n_buffers, r->k->cap_buffers) = b;
    return true;
}

static bool read_view(reader *r) {
    uint32_t b;
    xfc_type t;
    if (!buffer(r, &b) || !xfc_ps_need(r->p, ':') || !xfc_ps_type(r->p, &t)) return false;
    r->k->buffers[b].type = t;
    return true;
}

static bool read_fused(reader *r, xfc_loc **fused, uint32_t *cap) {
    xfc_loc loc;
    if (!xfc_ps_location(r->p, &loc)) return false;
    xfc_push(r->arena, *fused, r->k->n_fused, *cap) = loc;
    r->k->fused = *fused;
    return true;
}

static bool body(reader *r) {
    xfc_parser *p = r->p;
    xfc_loc *fused = NULL;
    uint32_t cap_fused = 0;
    if (!xfc_ps_need(p, '{')) return false;
    while (!xfc_ps_take(p, '}')) {
        bool ok;
        if (xfc_ps_take_word(p, "axis"))
            ok = read_axis(r);
        else if (xfc_ps_take_word(p, "grain"))
            ok = xfc_ps_int(p, &r->k->grain);
        else if (xfc_ps_take_word(p, "let"))
            ok = kernel_let(r);
        else if (xfc_ps_take_word(p, "temp"))
            ok = read_temp(r);
        else if (xfc_ps_take_word(p, "view"))
            ok = read_view(r);
        else if (xfc_ps_take_word(p, "nest"))
            ok = read_nest(r);
        else if (xfc_ps_take_word(p, "tile"))
            ok = read_tile(r);
        else if (xfc_ps_take_word(p, "fused"))
            ok = read_fused(r, &fused, &cap_fused);
        else
            ok = xfc_ps_expected(p, "axis, grain, let, temp, view, nest, tile, fused or '}'");
        if (!ok) return false;
    }
    return !p->failed;
}

static void add_buffer(reader *r, const char *name, xfc_type type, xfc_buffer_kind kind) {
    xfc_kernel *k = r->k;
    xfc_push(r->arena, k->buffers, k->n_buffers, k->cap_buffers) = (xfc_buffer){type, kind};
    if (!xfc_map_get(&r->operand, key(name))) xfc_map_set(&r->operand, key(name), k->n_buffers);
}

xfc_op *xfc_ps_kernel_op(xfc_parser *p, const xfc_ps_op *o) {
    xfc_graph *g = p->graph;
    reader r = {.p = p, .arena = g->arena, .k = xfc_new(g->arena, xfc_kernel), .operand = {.arena = p->scratch}};
    r.k->form = o->string;
    for (uint32_t i = 0; i < o->n_in; i++) add_buffer(&r, o->in_name[i], o->in[i]->type, XFC_BUF_IN);
    for (uint32_t i = 0; i < o->n_out; i++) add_buffer(&r, o->out_name[i], o->type[i], XFC_BUF_OUT);
    r.k->n_in = o->n_in;
    r.k->n_out = o->n_out;
    bool ok = body(&r);
    xfc_ps_end_scope(p, 0);
    if (!ok) return NULL;
    xfc_op *op = xfc_op_new(g, NULL, XFC_OP_KERNEL, o->in, o->n_in, o->n_out, NULL, 0, xfc_ps_here(p));
    op->kernel = r.k;
    for (uint32_t i = 0; i < o->n_out; i++) op->out[i].type = o->type[i];
    return op;
}

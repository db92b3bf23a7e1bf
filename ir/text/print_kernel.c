/* print_kernel.c - kernels as text: axes, lets, temporaries, nests and tiles.
 *
 * Axes and lets are numbered in order of definition; those of a nest start again after the kernel's own, since they
 * end with it. Body instructions are v0, v1, ... In a graph, operands appear by value name (by position, `#2`, when a
 * value is passed twice); in the canonical text that finds equal code they always appear by position, all locals are
 * called i and all other symbols s, and what does not decide the code (form, grain, fused nodes) is left out.
 */
#include "ir/text/print_impl.h"

#include <inttypes.h>

static const xfc_value *operand(const xfc_printer *p, uint32_t b) {
    if (!p->op || b >= p->kernel->n_in + p->kernel->n_out) return NULL;
    if (b < p->kernel->n_in) return b < p->op->n_in ? p->op->in[b].value : NULL;
    b -= p->kernel->n_in;
    return b < p->op->n_out ? &p->op->out[b] : NULL;
}

static void print_buffer(xfc_printer *p, uint32_t b) {
    uint32_t first_temp = p->kernel->n_in + p->kernel->n_out;
    const xfc_value *v = operand(p, b);
    for (uint32_t i = 0; v && i < b; i++)
        if (operand(p, i) == v) v = NULL; /* the parser takes a name for its first position */
    if (v)
        xfc_pr_value(p, v);
    else if (b < first_temp || b >= p->kernel->n_buffers)
        xfc_buf_printf(p->out, "#%u", (unsigned)b);
    else
        xfc_buf_printf(p->out, "$%u", (unsigned)(b - first_temp));
}

static void print_access(xfc_printer *p, const xfc_access *a) {
    print_buffer(p, a->buffer);
    xfc_buf_char(p->out, '[');
    for (uint32_t d = 0; d < a->rank; d++) {
        if (d) xfc_buf_str(p->out, ", ");
        xfc_pr_int(p, a->index[d]);
    }
    xfc_buf_char(p->out, ']');
}

static void print_axis(xfc_printer *p, const xfc_axis *a, uint32_t number) {
    xfc_pr_define(p, a->symbol, number);
    xfc_buf_str(p->out, " in ");
    xfc_pr_int(p, a->extent);
    if (a->kind == XFC_AXIS_REDUCE) xfc_buf_str(p->out, " reduce");
    if (a->kind == XFC_AXIS_SCAN) xfc_buf_str(p->out, " scan");
    if (a->how == XFC_HOW_VECTOR) xfc_buf_str(p->out, " vector");
    if (a->how == XFC_HOW_THREADS) xfc_buf_str(p->out, " threads");
    if (!xfc_int_known(a->symbol) || xfc_int_look(p->ctx, a->symbol)->kind != XFC_INT_SYMBOL) return;
    xfc_int bound = xfc_int_addc(p->ctx, xfc_int_look(p->ctx, a->symbol)->hi, 1);
    if (xfc_int_same(bound, a->extent)) return;
    xfc_buf_str(p->out, " below "); /* the extent was narrowed after the symbol was made */
    xfc_pr_int(p, bound);
}

static void print_args(xfc_printer *p, const xfc_scalar *s) {
    for (uint32_t i = 0; i < xfc_scalar_arity(s->op) && i < 3; i++)
        xfc_buf_printf(p->out, i ? ", v%u" : " v%u", (unsigned)s->arg[i]);
}

static void print_const(xfc_printer *p, const xfc_scalar *s) {
    xfc_buf_char(p->out, ' ');
    if (xfc_dtype_is_float(s->dtype))
        xfc_pr_float(p->out, s->u.f, s->dtype);
    else
        xfc_buf_printf(p->out, "%" PRId64, s->u.i);
}

/* Prints one instruction; *number counts the lets of the nest on. */
static void print_scalar(xfc_printer *p, const xfc_scalar *s, uint32_t *number) {
    xfc_buf *out = p->out;
    if (s->op == XFC_S_LET) {
        xfc_buf_str(out, "let ");
        xfc_pr_define(p, s->u.index, (*number)++);
        xfc_buf_printf(out, " = v%u", (unsigned)s->arg[0]);
        xfc_pr_range(p, s->u.index);
        if (s->wrap) xfc_buf_str(out, " wrap");
        if (s->sure) xfc_buf_str(out, " sure");
        if (s->node && p->opts.locations) {
            xfc_buf_str(out, " @ ");
            xfc_buf_quoted(out, s->node);
        }
        return;
    }
    if (s->op == XFC_S_INDEX) {
        xfc_buf_str(out, "index ");
        xfc_pr_int(p, s->u.index);
        return;
    }
    const char *name = s->op == XFC_S_CONST ? "const" : s->op == XFC_S_LOAD ? "load" : xfc_scalar_name(s->op);
    if (s->op == XFC_S_CAST) name = "cast";
    xfc_buf_printf(out, "%s %s", name, xfc_dtype_name(s->dtype));
    if (s->op == XFC_S_CONST) {
        print_const(p, s);
    } else if (s->op == XFC_S_CAST) {
        xfc_buf_printf(out, " v%u", (unsigned)s->arg[0]);
    } else if (s->op == XFC_S_LOAD) {
        xfc_buf_char(out, ' ');
        print_access(p, s->u.access);
        if (s->arg[0] != XFC_NO_ARG) xfc_buf_printf(out, " if v%u", (unsigned)s->arg[0]);
    } else {
        print_args(p, s);
    }
}

static void print_nest(xfc_printer *p, const xfc_nest *n, uint32_t number) {
    uint32_t first_local = number;
    xfc_buf_str(p->out, "    nest");
    for (uint32_t i = 0; i < n->n_axes; i++) {
        xfc_buf_str(p->out, i ? ", " : " ");
        print_axis(p, &n->axes[i], number++);
    }
    xfc_buf_str(p->out, " {\n");
    for (uint32_t i = 0; i < n->n_body; i++) {
        xfc_buf_printf(p->out, "      v%u = ", (unsigned)i);
        print_scalar(p, &n->body[i], &number);
        xfc_buf_char(p->out, '\n');
    }
    for (uint32_t i = 0; i < n->n_stores; i++) {
        const xfc_store *s = &n->stores[i];
        xfc_buf_str(p->out, "      store ");
        if (s->combine != XFC_S_COUNT) xfc_buf_printf(p->out, "%s ", xfc_scalar_name(s->combine));
        print_access(p, &s->to);
        xfc_buf_printf(p->out, " = v%u\n", (unsigned)s->value);
    }
    xfc_buf_str(p->out, "    }\n");
    for (uint32_t i = 0; i < n->n_axes; i++) xfc_map_set(&p->locals, n->axes[i].symbol.id, 0);
    for (uint32_t i = 0; i < n->n_body && number > first_local; i++)
        if (n->body[i].op == XFC_S_LET) xfc_map_set(&p->locals, n->body[i].u.index.id, 0);
}

static void print_size(xfc_printer *p, const char *before, xfc_int e) {
    xfc_buf_str(p->out, before);
    xfc_pr_int(p, e);
}

static void print_tile(xfc_printer *p, const xfc_tile *t) {
    xfc_buf_str(p->out, "    tile ");
    print_access(p, &t->c);
    print_size(p, " row ", t->c_row);
    xfc_buf_str(p->out, " = ");
    print_access(p, &t->a);
    print_size(p, " row ", t->a_row);
    xfc_buf_str(p->out, " by ");
    print_access(p, &t->b);
    print_size(p, " {rows = ", t->rows);
    print_size(p, ", depth = ", t->depth);
    print_size(p, ", columns = ", t->columns);
    xfc_buf_printf(p->out, ", panel = %u", (unsigned)t->panel);
    if (t->group != 1) xfc_buf_printf(p->out, ", group = %u", (unsigned)t->group);
    if (xfc_int_known(t->apart)) print_size(p, ", apart = ", t->apart);
    xfc_buf_str(p->out, "}\n");
}

/* Buffers whose kernel sees other dims than their value has, and temporaries. */
static void print_buffers(xfc_printer *p, const xfc_kernel *k) {
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        bool temp = i >= k->n_in + k->n_out;
        const xfc_value *v = operand(p, i);
        if (!temp && v && xfc_type_same(&v->type, &k->buffers[i].type)) continue;
        xfc_buf_str(p->out, temp ? "    temp " : "    view ");
        if (temp)
            xfc_buf_printf(p->out, "$%u", (unsigned)(i - k->n_in - k->n_out));
        else
            print_buffer(p, i);
        xfc_buf_str(p->out, ": ");
        xfc_pr_type(p, &k->buffers[i].type);
        xfc_buf_char(p->out, '\n');
    }
}

static void print_fused(xfc_printer *p, const xfc_loc *loc) {
    const char *part[2] = {loc->node, loc->op};
    xfc_buf_str(p->out, "    fused");
    for (int i = 0; i < 2; i++) {
        xfc_buf_char(p->out, ' ');
        if (part[i])
            xfc_buf_quoted(p->out, part[i]);
        else
            xfc_buf_char(p->out, '_');
    }
    xfc_buf_printf(p->out, " %u\n", (unsigned)loc->opset);
}

void xfc_pr_kernel_body(xfc_printer *p, const xfc_kernel *k) {
    uint32_t number = 0;
    p->kernel = k;
    p->locals = (xfc_map){.arena = p->scratch};
    p->local_names = (xfc_map){.arena = p->scratch};
    xfc_buf_str(p->out, "{\n");
    for (uint32_t i = 0; i < k->n_axes; i++) {
        xfc_buf_str(p->out, "    axis ");
        print_axis(p, &k->axes[i], number++);
        xfc_buf_char(p->out, '\n');
    }
    if (xfc_int_known(k->grain) && !p->canonical) {
        print_size(p, "    grain ", k->grain);
        xfc_buf_char(p->out, '\n');
    }
    for (uint32_t i = 0; i < k->n_lets; i++) {
        xfc_buf_str(p->out, "    let ");
        xfc_pr_define(p, k->lets[i].symbol, number++);
        xfc_buf_str(p->out, " = ");
        if (k->lets[i].load)
            print_access(p, k->lets[i].load);
        else
            xfc_pr_int(p, k->lets[i].value);
        xfc_pr_range(p, k->lets[i].symbol);
        xfc_buf_char(p->out, '\n');
    }
    print_buffers(p, k);
    for (uint32_t i = 0; i < k->n_steps; i++) {
        if (k->steps[i].kind == XFC_STEP_NEST)
            print_nest(p, k->steps[i].u.nest, number);
        else
            print_tile(p, k->steps[i].u.tile);
    }
    for (uint32_t i = 0; p->opts.locations && i < k->n_fused; i++) print_fused(p, &k->fused[i]);
    xfc_buf_str(p->out, "  }");
    p->locals = (xfc_map){.arena = p->scratch};
    p->local_names = (xfc_map){.arena = p->scratch};
}

/* Is all that e is made of among the symbols, so that code could make e of them? HIDDEN: by way of sizes that are
 * not. */
typedef enum { NOT_MADE, MADE, MADE_HIDDEN } made;

static made made_of(xfc_printer *p, xfc_map *seen, xfc_int e);

static made both(made a, made b) { return a == NOT_MADE || b == NOT_MADE ? NOT_MADE : a > b ? a : b; }

static made made_symbol(xfc_printer *p, xfc_map *seen, xfc_int e, const xfc_int_info *i) {
    if (xfc_map_get(&p->defined, e.id)) return MADE;
    if (!xfc_int_known(i->formula)) return NOT_MADE;
    uint64_t have = xfc_map_get(seen, e.id);
    if (have) return (made)(have - 1);
    made m = both(made_of(p, seen, i->formula), MADE_HIDDEN);
    xfc_map_set(seen, e.id, (uint64_t)m + 1);
    return m;
}

static made made_of(xfc_printer *p, xfc_map *seen, xfc_int e) {
    const xfc_int_info i = *xfc_int_look(p->ctx, e);
    made m = MADE;
    if (i.kind == XFC_INT_SYMBOL) return made_symbol(p, seen, e, &i);
    for (uint32_t k = 0; k < i.n_terms && i.kind == XFC_INT_SUM; k++)
        for (uint32_t j = 0; j < i.term[k].n && m; j++) m = both(m, made_of(p, seen, i.term[k].atom[j]));
    if (i.kind == XFC_INT_CONST || i.kind == XFC_INT_SUM) return m;
    return both(made_of(p, seen, i.a), made_of(p, seen, i.b));
}

/* What the algebra, and so the code, knows of a symbol. */
static void print_known(xfc_printer *p, xfc_map *seen, xfc_int symbol) {
    const xfc_int_info i = *xfc_int_look(p->ctx, symbol);
    xfc_pr_int(p, symbol);
    xfc_buf_str(p->out, " in ");
    xfc_pr_int(p, i.lo);
    xfc_buf_str(p->out, "..");
    xfc_pr_int(p, i.hi);
    xfc_buf_printf(p->out, " by %" PRId64, xfc_int_divisor(p->ctx, symbol));
    made m = xfc_int_known(i.formula) ? made_of(p, seen, i.formula) : NOT_MADE;
    if (m != NOT_MADE) xfc_buf_str(p->out, " = ");
    if (m == MADE) xfc_pr_int(p, i.formula);
    if (m == MADE_HIDDEN) xfc_buf_printf(p->out, "size %u", (unsigned)symbol.id);
    xfc_buf_char(p->out, '\n');
}

void xfc_print_kernel(xfc_ctx *ctx, xfc_buf *out, const xfc_kernel *k, const xfc_int *symbol, uint32_t n) {
    xfc_printer p = {.ctx = ctx, .out = out, .scratch = xfc_arena_new(), .canonical = true};
    p.values.arena = p.defined.arena = p.scratch;
    for (uint32_t i = 0; i < n; i++)
        xfc_map_set_ptr(&p.defined, (void *)(uintptr_t)symbol[i].id, xfc_sprintf(p.scratch, "s%u", (unsigned)i));
    xfc_buf_printf(out, "kernel %u in, %u out ", (unsigned)k->n_in, (unsigned)k->n_out);
    xfc_pr_kernel_body(&p, k);
    xfc_buf_char(out, '\n');
    xfc_map seen = {.arena = p.scratch};
    for (uint32_t i = 0; i < n; i++) print_known(&p, &seen, symbol[i]);
    xfc_arena_free(p.scratch);
}

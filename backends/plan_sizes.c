/* plan_sizes.c - symbols of a plan, their bounds, and sizes as instructions, each distinct expression once. */
#include "backends/plan_blob.h"
#include "ir/program.h"
#include <string.h>

uint32_t xfc_blob_text(xfc_blob_writer *b, const char *s) {
    if (!s || !*s) return 0;
    s = xfc_str(b->ctx, s);
    uint64_t at;
    if (xfc_map_find(&b->strings, (uint64_t)(uintptr_t)s, &at)) return (uint32_t)at;
    at = b->text.n;
    xfc_buf_bytes(&b->text, s, strlen(s) + 1);
    xfc_map_set(&b->strings, (uint64_t)(uintptr_t)s, at);
    return (uint32_t)at;
}

static xf_val instr(xfc_blob_writer *b, xf_instr_op op, xf_val x, xf_val y, int64_t value) {
    xfc_push(b->arena, b->instrs, b->n_instrs, b->cap_instrs) = (xf_instr){.op = op, .a = x, .b = y, .value = value};
    return b->n_symbols + b->n_instrs - 1;
}

static xf_val sum(xfc_blob_writer *b, const xfc_int_info *info) {
    xf_val total = XF_VAL_NONE;
    for (uint32_t i = 0; i < info->n_terms; i++) {
        const xfc_int_term *t = &info->term[i];
        xf_val product = XF_VAL_NONE;
        if (t->coeff != 1 || t->n == 0) product = xfc_blob_value(b, xfc_int_const(b->ctx, t->coeff));
        for (uint32_t k = 0; k < t->n; k++) {
            xf_val atom = xfc_blob_value(b, t->atom[k]);
            product = product == XF_VAL_NONE ? atom : instr(b, XF_I_MUL, product, atom, 0);
        }
        total = total == XF_VAL_NONE ? product : instr(b, XF_I_ADD, total, product, 0);
    }
    return total;
}

static xf_val compute(xfc_blob_writer *b, const xfc_int_info *info) {
    static const xf_instr_op op[] = {[XFC_INT_FLOORDIV] = XF_I_FLOORDIV,
                                     [XFC_INT_MOD] = XF_I_MOD,
                                     [XFC_INT_MIN] = XF_I_MIN,
                                     [XFC_INT_MAX] = XF_I_MAX};
    switch (info->kind) {
    case XFC_INT_CONST: return instr(b, XF_I_CONST, 0, 0, info->value);
    case XFC_INT_SUM: return sum(b, info);
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: {
        xf_val x = xfc_blob_value(b, info->a), y = xfc_blob_value(b, info->b);
        return instr(b, op[info->kind], x, y, 0);
    }
    case XFC_INT_SYMBOL:
        if (!xfc_int_known(info->formula)) break;
        return xfc_blob_value(b, info->formula);
    }
    xfc_bug(__FILE__, __LINE__, "symbol %s is not known at the start of a run", info->name);
}

xf_val xfc_blob_value(xfc_blob_writer *b, xfc_int e) {
    xfc_assert(xfc_int_known(e));
    uint64_t have = xfc_map_get(&b->values, e.id);
    if (have) return (xf_val)(have - 1);
    xf_val v = compute(b, xfc_int_look(b->ctx, e));
    xfc_map_set(&b->values, e.id, (uint64_t)v + 1);
    return v;
}

xf_val xfc_blob_most(xfc_blob_writer *b, xfc_int e) {
    xfc_int most = xfc_defined_most(&b->defined, e);
    return xfc_int_known(most) ? xfc_blob_value(b, most) : XF_VAL_NONE;
}

uint32_t xfc_blob_asker(xfc_blob_writer *b, const xfc_constraint *c) {
    xfc_buf what = {.arena = b->arena};
    if (c->loc.node) xfc_buf_printf(&what, "%s", c->loc.node);
    if (c->loc.op) xfc_buf_printf(&what, "%s%s", what.n ? " " : "", c->loc.op);
    if (c->ones == XFC_UNEQUAL) {
        xfc_buf_str(&what, ": ");
        xfc_int_print(b->ctx, &what, c->a, NULL, NULL);
    } else if (c->loc.what) {
        xfc_buf_printf(&what, "%s%s", what.n ? ": " : "", c->loc.what);
    }
    return xfc_blob_text(b, what.text);
}

/* min(s, most) == s bounds the dim s, as max(s, least) == s does: then it is no check of its own, but in the signature.
 * Answers s's entry, or NULL. */
xf_symbol *xfc_blob_bounded(xfc_blob_writer *b, const xfc_constraint *c, int64_t *lo, int64_t *hi) {
    for (int side = 0; side < 2 && !c->ones; side++) {
        xfc_int symbol = side ? c->a : c->b;
        const xfc_int_info *by = xfc_int_look(b->ctx, side ? c->b : c->a);
        uint64_t at = xfc_map_get(&b->values, symbol.id); /* 1 and more */
        int64_t bound;
        if (at == 0 || at > b->n_symbols - b->defined.n || b->symbols[at - 1].defined) continue;
        if (by->kind != XFC_INT_MIN && by->kind != XFC_INT_MAX) continue;
        if (!xfc_int_same(by->a, symbol) && !xfc_int_same(by->b, symbol)) continue;
        if (!xfc_int_value(b->ctx, xfc_int_same(by->a, symbol) ? by->b : by->a, &bound)) continue;
        *lo = by->kind == XFC_INT_MAX ? bound : 0;
        *hi = by->kind == XFC_INT_MIN ? bound : INT64_MAX;
        if (*hi >= 0) return &b->symbols[at - 1];
    }
    return NULL;
}

static void add_bounds(xfc_blob_writer *b) {
    for (uint32_t i = 0; i < b->g->n_constraints; i++) {
        const xfc_constraint *c = &b->g->constraint[i];
        int64_t lo, hi;
        xf_symbol *s = xfc_blob_bounded(b, c, &lo, &hi);
        if (!s || (lo <= s->lo && (hi == INT64_MAX || (s->hi >= 0 && s->hi <= hi)))) continue;
        if (lo > s->lo) s->lo = lo;
        if (hi != INT64_MAX && (s->hi < 0 || hi < s->hi)) s->hi = hi;
        s->why = xfc_blob_asker(b, c);
    }
}

/* The bounds come first, so that no other instruction runs before them. */
static void add_defined(xfc_blob_writer *b) {
    for (uint32_t i = 0; i < b->defined.n; i++) {
        xfc_int symbol = b->defined.symbol[i];
        uint32_t at = b->n_symbols - b->defined.n + i;
        xf_val most = xfc_blob_most(b, symbol);
        if (most == XF_VAL_NONE) most = xfc_blob_value(b, xfc_int_const(b->ctx, 0));
        b->symbols[at] = (xf_symbol){
            .hi = -1, .name = xfc_blob_text(b, xfc_int_look(b->ctx, symbol)->name), .defined = XF_SYMBOL_DEFINED};
        instr(b, XF_I_DEFINED, most, most, at);
    }
}

static void add_dims_of_inputs(xfc_blob_writer *b, xfc_map *inputs) {
    for (uint32_t i = 0; i < b->g->n_in; i++)
        for (uint32_t d = 0; d < b->g->in[i]->type.rank; d++) xfc_map_set(inputs, b->g->in[i]->type.dim[d].id, 1);
}

void xfc_blob_symbols(xfc_blob_writer *b) {
    xfc_int *symbol = NULL;
    xfc_map inputs = {.arena = b->arena};
    b->n_symbols = xfc_graph_symbols(b->g, b->arena, &symbol);
    b->symbols = xfc_new_array(b->arena, xf_symbol, b->n_symbols);
    add_dims_of_inputs(b, &inputs);
    for (uint32_t i = 0; i < b->n_symbols; i++) xfc_map_set(&b->values, symbol[i].id, (uint64_t)i + 1);
    for (uint32_t i = 0; i < b->n_symbols - b->defined.n; i++) {
        const xfc_int_info *info = xfc_int_look(b->ctx, symbol[i]);
        int64_t lo, hi;
        xfc_int_range(b->ctx, symbol[i], &lo, &hi);
        if (lo < 0) lo = 0;
        if (hi >= XFC_DIM_MAX) hi = -1;
        b->symbols[i] = (xf_symbol){.lo = lo, .hi = hi, .name = xfc_blob_text(b, info->name)};
        if (xfc_map_get(&inputs, symbol[i].id)) continue;
        b->status = xfc_fail(b->ctx, XFC_ERR_UNSUPPORTED, (xfc_loc){.file = b->g->source},
                             "dimension '%s' is the dim of no input, so no run could know it; fix it with --dim %s=N",
                             info->name, info->name);
    }
    for (uint32_t i = b->own_inputs; i < b->g->n_in; i++) {
        xf_symbol *room = &b->symbols[xfc_map_get(&b->values, b->g->in[i]->type.dim[0].id) - 1];
        *room = (xf_symbol){.hi = -1, .name = room->name, .defined = XF_SYMBOL_ROOM};
    }
    add_bounds(b);
    add_defined(b);
}

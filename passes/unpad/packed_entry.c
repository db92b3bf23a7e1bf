/* packed_entry.c - a model that takes packed batches, made from one that takes padded ones and a mask.
 *
 * The copy computes the padded inputs from packed ones: cu_seqlens says which positions hold a token, so the mask is a
 * comparison, and the other inputs are padded with 0. Padding removal then throws all of it away again but the few
 * integers at the entry: what it computes is ragged. Behind it, outputs that it has padded are taken as they were. So
 * there is one definition of what a ragged batch means, the pass unpad, and no second program of transformations.
 *
 * Sizes: tokens, sequences and the longest sequence are dims of an input without elements (see abi.h), so everything
 * that is symbolic for the padded model is for this one. What has a row a token is bounded by tokens, not by sequences
 * times the longest. Not here: the checks of cu_seqlens, which are the runtime's; since they were made, the mask is one
 * for sure, and no padded program stands beside the ragged one.
 */
#include "passes/unpad/packed_entry.h"
#include "passes/unpad/unpad.h"
#include <string.h>

typedef struct {
    xfc_graph *g;
    xfc_ctx *ctx;
    xfc_int b, s, tokens;
    xfc_value *inv; /* [b, s]: the row of each position, or -1 */
} entry;

static xfc_status refuse(const xfc_graph *g, const char *why) {
    return xfc_fail(g->ctx, XFC_ERR_INPUT, (xfc_loc){.file = g->source},
                    "--packed-entry: %s; leave the option out, or see xf-dump --passes", why);
}

static bool is_symbol(const xfc_ctx *c, xfc_int x) { return xfc_int_look(c, x)->kind == XFC_INT_SYMBOL; }

/* --- which input is the mask --- */

static bool same_dims(const xfc_type *a, const xfc_type *b) {
    bool same = a->rank == b->rank;
    for (uint32_t d = 0; d < a->rank && same; d++) same = xfc_int_same(a->dim[d], b->dim[d]);
    return same;
}

/* After unpad: the mask that its offsets are made of, before a guard (unpad/exit.c) spoils it: select(guard, 2,
 * mask). */
static xfc_value *mask_of(const xfc_op *offsets) {
    xfc_value *v = offsets->in[0].value;
    return v->def && v->def->code == XFC_OP_SELECT ? v->def->in[2].value : v;
}

/* What that mask is made of. NULL if that is not an input, element by element. */
static const xfc_value *mask_input(const xfc_graph *g) {
    xfc_foreach_op(op, g) {
        if (op->code != XFC_OP_SEQ_OFFSETS) continue;
        const xfc_value *v = mask_of(op);
        while (v->def &&
               (v->def->code == XFC_OP_CAST || v->def->code == XFC_OP_RESHAPE || v->def->code == XFC_OP_TRANSPOSE))
            v = v->def->in[0].value;
        bool same = same_dims(&v->type, &op->in[0].value->type) && !xfc_int_same(v->type.dim[0], v->type.dim[1]);
        return v->def || !same ? NULL : v;
    }
    return NULL;
}

/* Is a token looked for in an input with positions that is not the mask, by its id say? Packed batches do not say what
 * stands at padding there. From the end, since an op is asked for before what it reads. */
static bool searches(const xfc_graph *g, const xfc_value *mask) {
    bool found = false;
    xfc_foreach_op(op, g) op->mark = op->code == XFC_OP_SEQ_OFFSETS;
    for (const xfc_op *op = g->tail; op; op = op->prev) {
        for (uint32_t i = 0; op->mark && i < op->n_in; i++) {
            const xfc_value *v = op->in[i].value;
            if (v && v->def) v->def->mark = 1;
            found |= v && !v->def && v != mask && v->type.rank >= 2 &&
                     xfc_int_same(v->type.dim[0], mask->type.dim[0]) && xfc_int_same(v->type.dim[1], mask->type.dim[1]);
        }
    }
    return found;
}

/* --- the way in --- */

static xfc_value *positions(xfc_builder *b, xfc_int n) {
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SIZE, &n, 1), xfc_attr_dtype(XFC_K_TO, XFC_I32)};
    return xfc_build(b, XFC_OP_IOTA, NULL, 0, attr, 2);
}

/* b entries of cu from `first` on, as [b, 1]. */
static xfc_value *column(entry *e, xfc_builder *b, xfc_value *cu, int64_t first) {
    int64_t step = 1;
    xfc_int start = xfc_int_const(e->ctx, first), dim[2] = {e->b, xfc_int_const(e->ctx, 1)};
    xfc_value *part = xfc_b_slice(b, cu, &start, &e->b, &step);
    return part ? xfc_b_reshape(b, part, dim, 2) : NULL;
}

/* [b, s]: does the position hold a token? Sets e->inv. */
static xfc_value *tokens_at(entry *e, xfc_builder *b, xfc_value *cu) {
    xfc_int row[2] = {xfc_int_const(e->ctx, 1), e->s};
    xfc_value *start = column(e, b, cu, 0), *end = column(e, b, cu, 1), *at = positions(b, e->s);
    if (!start || !end || !at) return NULL;
    at = xfc_b_reshape(b, at, row, 2);
    xfc_value *valid = xfc_b_binary(b, XFC_OP_LT, at, xfc_b_binary(b, XFC_OP_SUB, end, start));
    e->inv = xfc_b_select(b, valid, xfc_b_binary(b, XFC_OP_ADD, start, at), xfc_b_scalar_i(b, XFC_I32, -1));
    return e->inv ? valid : NULL;
}

static bool is_padded(const entry *e, const xfc_type *t) {
    return t->rank >= 2 && xfc_int_same(t->dim[0], e->b) && xfc_int_same(t->dim[1], e->s);
}

static xfc_type packed_type(const entry *e, const xfc_type *t) {
    xfc_int dim[XFC_MAX_RANK] = {e->tokens};
    for (uint32_t d = 2; d < t->rank; d++) dim[d - 1] = t->dim[d];
    return xfc_type_make(t->dtype, t->rank - 1, dim);
}

/* The graph's inputs become: packed for padded, the others again, none for the mask. new[i] stands for old[i]. */
static void replace_inputs(entry *e, const xfc_value *mask, xfc_value **old, xfc_value **new) {
    xfc_graph *g = e->g;
    uint32_t n = g->n_in;
    memcpy(old, g->in, n * sizeof(*old));
    g->n_in = 0;
    for (uint32_t i = 0; i < n; i++) {
        const xfc_type *t = &old[i]->type;
        if (old[i] != mask) new[i] = xfc_graph_add_input(g, old[i]->name, is_padded(e, t) ? packed_type(e, t) : *t);
    }
}

/* On the graph as imported. */
static xfc_status take_packed(entry *e, const char *mask_name) {
    xfc_graph *g = e->g;
    xfc_value *mask = NULL;
    for (uint32_t i = 0; i < g->n_in; i++)
        if (g->in[i]->name && !strcmp(g->in[i]->name, mask_name)) mask = g->in[i];
    if (!mask) return refuse(g, "the mask is no longer an input");
    if (mask->type.rank != 2 || !is_symbol(e->ctx, mask->type.dim[0]) || !is_symbol(e->ctx, mask->type.dim[1]))
        return refuse(g, "the mask's batch and sequence must both be open, not fixed with --dim");
    e->b = mask->type.dim[0], e->s = mask->type.dim[1];
    e->tokens = xfc_int_symbol(e->ctx, "tokens", 0, XFC_DIM_MAX);
    uint32_t n = g->n_in;
    xfc_value **old = xfc_new_array(g->arena, xfc_value *, n), **new = xfc_new_array(g->arena, xfc_value *, n);
    xfc_builder b = {.graph = g, .before = g->first, .loc = {.file = g->source}};
    replace_inputs(e, mask, old, new);
    xfc_int starts = xfc_int_addc(e->ctx, e->b, 1), sizes[4] = {e->tokens, e->b, e->s, xfc_int_const(e->ctx, 0)};
    xfc_value *cu = xfc_graph_add_input(g, "cu_seqlens", xfc_type_make(XFC_I32, 1, &starts));
    xfc_graph_add_input(g, "sizes", xfc_type_make(XFC_U8, 4, sizes));
    xfc_value *valid = tokens_at(e, &b, cu);
    for (uint32_t i = 0; i < n && valid; i++) {
        xfc_value *v = new[i];
        if (old[i] == mask)
            v = xfc_b_cast(&b, valid, mask->type.dtype);
        else if (is_padded(e, &old[i]->type))
            v = xfc_b_pad_ragged(&b, new[i], e->inv, NULL, 0);
        if (!v) return XFC_ERR_UNSUPPORTED;
        xfc_value_replace(old[i], v);
    }
    return valid ? XFC_OK : XFC_ERR_UNSUPPORTED; /* recorded by the builder */
}

/* --- the way out --- */

static xfc_value *gather(xfc_builder *b, xfc_value *from, xfc_value *index) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return from && index ? xfc_build(b, XFC_OP_GATHER, (xfc_value *[]){from, index}, 2, &axis, 1) : NULL;
}

/* Rows of the tokens of [b, s, ...]: as they were before unpad has padded them, else by the offsets that it has. With
 * a guard there may be no packed rows. */
static xfc_value *token_rows(const entry *e, xfc_builder *b, xfc_value *v, const xfc_op *offsets, bool guarded) {
    xfc_value *all = positions(b, e->tokens);
    if (!guarded && v->def && v->def->code == XFC_OP_PAD_RAGGED && v->def->in[1].value == &offsets->out[3])
        return gather(b, v->def->in[0].value, all);
    xfc_int dim[XFC_MAX_RANK] = {xfc_int_mul(e->ctx, e->b, e->s)};
    for (uint32_t d = 2; d < v->type.rank; d++) dim[d - 1] = v->type.dim[d];
    xfc_value *flat = xfc_b_reshape(b, v, dim, v->type.rank - 1);
    return gather(b, flat, gather(b, (xfc_value *)(uintptr_t)&offsets->out[2], all));
}

/* On the graph behind unpad. */
static xfc_status give_packed(entry *e) {
    xfc_graph *g = e->g;
    const xfc_op *offsets = NULL;
    xfc_foreach_op(op, g)
        if (op->code == XFC_OP_SEQ_OFFSETS) offsets = op;
    if (!offsets) return refuse(g, "padding removal does not recognise the mask that lengths make");
    xfc_builder b = {.graph = g, .before = g->last, .loc = {.file = g->source}};
    bool first = xfc_op_int(offsets, XFC_K_FIRST, 0), guarded = mask_of(offsets) != offsets->in[0].value;
    if (guarded) { /* offsets that no guard empties */
        xfc_ragged own;
        if (!xfc_b_seq_offsets(&b, mask_of(offsets), false, false, 1, &own)) return XFC_ERR_UNSUPPORTED;
        offsets = own.counts->def;
    }
    for (uint32_t i = 0; i < g->n_out; i++) {
        xfc_value *v = g->last->in[i].value;
        if (!is_padded(e, &v->type)) continue;
        xfc_value *rows = token_rows(e, &b, v, offsets, guarded);
        if (!rows) return XFC_ERR_UNSUPPORTED;
        xfc_op_set_in(g->last, i, rows);
    }
    g->n_meta = 0; /* nothing is padded here */
    if (first) xfc_graph_meta(g, "packed.nonempty", "1");
    return XFC_OK;
}

/* --- both pipelines --- */

/* Where the list goes on behind unpad; NULL: it does not hold it. */
static const char *behind_unpad(const char *names) {
    static const char pass[] = "unpad";
    for (const char *p = names; *p;) {
        size_t n = strcspn(p, ", \t\n");
        if (n == sizeof pass - 1 && !memcmp(p, pass, n)) return p + n;
        p += n + (p[n] != '\0');
    }
    return NULL;
}

/* Options for the passes behind `first`. */
static xfc_run_opts behind(const xfc_run_opts *opts, const char *first) {
    xfc_run_opts o = *opts;
    o.bisect_from += xfc_count_optional(first, opts->disable);
    xfc_drop_demands(&o.passes, first);
    return o;
}

static xfc_run_opts before(const xfc_run_opts *opts, const char *rest) {
    xfc_run_opts o = *opts;
    xfc_drop_demands(&o.passes, rest);
    return o;
}

static xfc_status run_copy(entry *e, const char *mask, const xfc_target *target, const char *first, const char *rest,
                           const xfc_run_opts *opts) {
    xfc_run_opts require = before(opts, rest), later = behind(opts, first);
    XFC_TRY(take_packed(e, mask));
    require.passes.unpad = XFC_FORCE;
    require.passes.packed_tokens = e->tokens;
    XFC_TRY(xfc_run_passes(&e->g, target, first, &require));
    XFC_TRY(give_packed(e));
    return xfc_run_passes(&e->g, target, rest, &later);
}

xfc_status xfc_run_passes_packed(xfc_graph **g, xfc_graph **packed, const xfc_target *target, const char *names,
                                 const xfc_run_opts *opts) {
    const char *rest = behind_unpad(names);
    *packed = NULL;
    if (!rest || opts->passes.unpad == XFC_OFF) return refuse(*g, "it needs the pass unpad");
    if (xfc_unpad_was_here(*g)) return refuse(*g, "--lossy=token-merge merges the tokens of padded batches alone");
    const char *first = xfc_sprintf((*g)->arena, "%.*s", (int)(rest - names), names);
    first = xfc_str((*g)->ctx, first); /* passes may replace the graph */
    entry e = {.g = xfc_graph_clone(*g), .ctx = (*g)->ctx};
    xfc_run_opts now = before(opts, rest), later = behind(opts, first);
    xfc_status s = xfc_run_passes(g, target, first, &now);
    const xfc_value *mask = s == XFC_OK ? mask_input(*g) : NULL;
    if (s == XFC_OK && (!mask || !mask->name)) s = refuse(*g, "no padding was removed that an input marks");
    if (s == XFC_OK && searches(*g, mask))
        s = refuse(*g, "the model looks for a token in all that an input holds, padding included");
    if (s == XFC_OK) s = run_copy(&e, mask->name, target, first, rest, opts);
    if (s == XFC_OK) s = xfc_run_passes(g, target, rest, &later);
    if (s == XFC_OK)
        *packed = e.g;
    else
        xfc_graph_free(e.g);
    return s;
}

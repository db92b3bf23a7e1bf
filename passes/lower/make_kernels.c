/* make_kernels.c - turns every op into a kernel.
 *
 *   %y = add %a, %b  =>  %y = kernel "map" (%a, %b) { nest i in b, j in 384 { ... } }
 *
 * A primitive becomes one kernel holding its nest, with no outer axes yet: fuse and schedule decide what is shared and
 * what runs in parallel. An op that calls a routine stays as it is. Packed contractions and attention become block
 * kernels (lower/make_contract.c, lower/make_attention.c), whose left operand is read through views in place and whose
 * result is stored through the views that follow. A concat of very many becomes a concat of concats first. When: after
 * layout and fold. Raises the stage to KERNELS.
 */
#include "passes/lower/make_kernels.h"
#include "ir/build.h"
#include "ir/contract.h"
#include "ir/defined.h"

#include <string.h>

static const xfc_nest *single_view_nest(const xfc_op *op) {
    if (!op || op->code != XFC_OP_KERNEL || op->kernel->n_steps != 1 || op->kernel->n_axes || op->kernel->n_out != 1 ||
        op->kernel->n_lets || op->kernel->steps[0].kind != XFC_STEP_NEST)
        return NULL;
    const xfc_nest *n = op->kernel->steps[0].u.nest;
    return n->n_stores == 1 ? n : NULL;
}

xfc_value *xfc_resolve_view(xfc_ctx *ctx, xfc_value *v, xfc_int *index) {
    for (;;) {
        const xfc_nest *n = single_view_nest(v->def);
        uint32_t axis_of[XFC_MAX_RANK];
        if (!n || !xfc_nest_is_map(ctx, n, axis_of)) return v;
        const xfc_scalar *s = &n->body[n->stores[0].value];
        if (s->op != XFC_S_LOAD || s->arg[0] != XFC_NO_ARG || xfc_nest_has_let(n)) return v;
        xfc_int from[XFC_MAX_RANK], to[XFC_MAX_RANK], result[XFC_MAX_RANK];
        size_t k = 0;
        for (uint32_t d = 0; d < n->stores[0].to.rank; d++) {
            if (axis_of[d] == XFC_NO_ARG) continue;
            from[k] = n->axes[axis_of[d]].symbol;
            to[k++] = index[d];
        }
        const xfc_access *a = s->u.access;
        for (uint32_t d = 0; d < a->rank; d++) {
            result[d] = xfc_int_substitute(ctx, a->index[d], from, to, k);
            if (!xfc_int_known(result[d])) return v; /* too large a formula */
        }
        memcpy(index, result, sizeof result);
        v = v->def->in[a->buffer].value;
    }
}

typedef struct {
    const xfc_ctx *ctx;
    const xfc_type *known;
    bool more;
} names;

static void see_symbol(void *user, xfc_int symbol) {
    names *n = user;
    bool known = xfc_int_look(n->ctx, symbol)->sym != XFC_SYM_LET;
    for (uint32_t d = 0; d < n->known->rank && !known; d++) known = xfc_int_uses(n->ctx, n->known->dim[d], symbol);
    n->more = n->more || !known;
}

/* A view may speak of sizes that are defined only between the op that makes its operand and the view. */
static bool names_more(const xfc_ctx *ctx, const xfc_type *view, const xfc_type *operand) {
    names n = {.ctx = ctx, .known = operand};
    for (uint32_t d = 0; d < view->rank; d++) xfc_int_symbols(ctx, view->dim[d], see_symbol, &n);
    return n.more;
}

xfc_value *xfc_absorb_views(xfc_ctx *ctx, xfc_value *v, xfc_int *index) {
    while (v->uses && !v->uses->next && xfc_op_has(v->uses->user, XFC_BIJECT)) {
        xfc_op *view = v->uses->user;
        if (names_more(ctx, &view->out[0].type, &v->type)) break;
        xfc_int out[XFC_MAX_RANK] = {{0}};
        xfc_ops[view->code].push(ctx, view, index, out);
        memcpy(index, out, sizeof out);
        v = &view->out[0];
    }
    return v;
}

void xfc_absorbed_remove(xfc_op *op) {
    xfc_value *v = &op->out[0];
    if (v->uses) {
        xfc_assert(!v->uses->next);
        xfc_absorbed_remove(v->uses->user);
    }
    xfc_op_remove(op);
}

xfc_rows xfc_tile_rows(xfc_ctx *ctx, xfc_value *v, const xfc_int *index, xfc_int row, xfc_int k, xfc_int at) {
    xfc_rows r = {.source = v};
    const xfc_int symbols[2] = {row, k}, start[2] = {at, xfc_int_const(ctx, 0)};
    for (int attempt = 0; attempt < 2; attempt++) { /* through the views, else the value as it is */
        xfc_int at_index[XFC_MAX_RANK] = {{0}}, unit, rest, base;
        memcpy(at_index, index, v->type.rank * sizeof(xfc_int));
        r.source = attempt == 0 ? xfc_resolve_view(ctx, v, at_index) : v;
        xfc_int offset = xfc_type_linear(ctx, &r.source->type, at_index);
        bool affine = xfc_int_linear_in(ctx, offset, k, &unit, &rest) && xfc_int_is(ctx, unit, 1) &&
                      xfc_int_linear_in(ctx, rest, row, &r.stride, &base);
        for (uint32_t d = 0; d < r.source->type.rank; d++)
            r.index[d] = xfc_int_substitute(ctx, at_index[d], symbols, start, 2);
        if (affine) return r;
    }
    /* As it is: the rows of a dense value follow each other, even where the algebra cannot show it. */
    r.stride = v->type.dim[v->type.rank - 1];
    return r;
}

/* Loads of a constant that is one value everywhere become that value. */
static void literals(xfc_op *op, xfc_nest *n) {
    for (uint32_t i = 0; i < n->n_body; i++) {
        xfc_scalar *s = &n->body[i];
        const xfc_tensor *t;
        double f = 0;
        if (s->op != XFC_S_LOAD || s->arg[0] != XFC_NO_ARG) continue;
        uint32_t from = xfc_nest_operand(op, s->u.access->buffer);
        if (from == op->n_in || !xfc_value_is_const(op->in[from].value, &t)) continue;
        bool is_float = xfc_dtype_is_float(t->dtype);
        if (is_float ? !xfc_tensor_is_splat(t, &f) : t->count != 1) continue;
        s->op = XFC_S_CONST;
        if (is_float)
            s->u.f = f;
        else
            s->u.i = xfc_tensor_get_i(t, 0);
    }
}

static xfc_status nest_kernel(xfc_op *op) {
    xfc_graph *g = op->graph;
    const xfc_op_info *info = &xfc_ops[op->code];
    if (!info->nest)
        return xfc_fail(g->ctx, XFC_ERR_UNSUPPORTED, op->loc, "no code can be made for '%s'; it was not decomposed",
                        info->name);
    bool reduces = (info->traits & (XFC_REDUCE | XFC_CONTRACT)) != 0;
    xfc_draft d = xfc_draft_new(g, reduces ? "reduce" : (info->traits & XFC_VIEW) ? "view" : "map");
    xfc_nestb nb = xfc_nestb_new(g->ctx, g->arena);
    XFC_TRY(info->nest(op, &nb));
    for (uint32_t i = 0; i < nb.nest->n_body; i++)
        if (nb.nest->body[i].op == XFC_S_LET) nb.nest->body[i].node = op->loc.node ? op->loc.node : op->loc.op;
    uint32_t *map = xfc_new_array(g->arena, uint32_t, op->n_in + op->n_out + 1u), n = 0;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value) continue;
        map[n++] = xfc_draft_buffer_of(&d, XFC_BUF_IN, op->in[i].value, op->in[i].value->type);
    }
    literals(op, nb.nest);
    for (uint32_t i = 0; i < op->n_out; i++)
        map[n++] = xfc_draft_buffer_of(&d, XFC_BUF_OUT, &op->out[i], op->out[i].type);
    xfc_nest_map_buffers(d.e, nb.nest, map);
    xfc_nest_tidy(d.e, nb.nest);
    xfc_draft_nest(&d, nb.nest);
    xfc_draft_loc(&d, &op->loc, 1);
    xfc_draft_commit(&d, op, op->loc);
    xfc_op_remove(op);
    return XFC_OK;
}

/* Operands of one concat. The loop of a concat of n reads n places, and what is split at n seams grows faster than n:
 * so many at most are joined at a time, at the price of a second copy. Where sizes are symbols the algebra orders seams
 * only as far as their sums are spelled out. */
enum { MAX_JOINED = 32, MAX_JOINED_NUMBERS = 256 };

/* A concat of too many becomes a concat of as few as possible, of equally many each; answers the first of those. */
static xfc_op *split_concat(xfc_op *op) {
    xfc_ctx *c = op->graph->ctx;
    int64_t axis = xfc_op_int(op, XFC_K_AXIS, 0);
    bool numbers = xfc_int_value(c, op->out[0].type.dim[axis], NULL);
    uint32_t most = numbers ? MAX_JOINED_NUMBERS : MAX_JOINED, n = (op->n_in + most - 1) / most;
    if (n < 2) return NULL;
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    const xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    xfc_value **all = xfc_new_array(op->graph->arena, xfc_value *, op->n_in), **part = all;
    for (uint32_t i = 0; i < op->n_in; i++) all[i] = op->in[i].value;
    xfc_value **joined = xfc_new_array(op->graph->arena, xfc_value *, n);
    for (uint32_t i = 0; i < n; i++) {
        xfc_value **end = all + (uint64_t)op->n_in * (i + 1) / n;
        joined[i] = xfc_build(&b, XFC_OP_CONCAT, part, (uint32_t)(end - part), &attr, 1);
        part = end;
    }
    xfc_value *whole = xfc_build(&b, XFC_OP_CONCAT, joined, n, &attr, 1);
    whole->type = op->out[0].type; /* the same sizes, which may be spelled otherwise */
    xfc_value_replace(&op->out[0], whole);
    xfc_op_remove(op);
    return joined[0]->def;
}

static bool is_attention(xfc_opcode code) {
    return code == XFC_OP_ATTENTION || code == XFC_OP_ATTENTION_PACKED || code == XFC_OP_ATTENTION_RAGGED_PACKED;
}

/* Operand i of a packed product or of packed attention is packed. */
static bool is_panels(xfc_opcode code, uint32_t i) {
    if (code == XFC_OP_MATMUL_PACKED) return i == 1;
    return is_attention(code) && code != XFC_OP_ATTENTION && (i == 1 || i == 2);
}

/* There must be something to multiply, too: the indices of an empty operand have no rows and columns. Any other packed
 * product is a plain nest. */
static bool takes_tiles(const xfc_pass *p, const xfc_op *op) {
    if (op->code != XFC_OP_MATMUL_PACKED && !is_attention(op->code)) return false;
    xfc_ctx *c = op->graph->ctx;
    bool ok = !xfc_int_is(c, xfc_type_count(c, &op->out[0].type), 0);
    for (uint32_t i = 0; ok && i < (is_attention(op->code) ? 3 : 2); i++) {
        const xfc_type *t = &op->in[i].value->type;
        const xfc_contract product = xfc_op_contract(op, i);
        ok = !is_panels(op->code, i) || xfc_tile_for(p->target, &product);
        ok = ok && !xfc_int_is(c, xfc_type_count(c, t), 0);
    }
    return ok;
}

/* Packing at run time of what is read as panels only: real rows and columns are all that is asked for. */
static bool packs_for_tiles(const xfc_pass *p, const xfc_op *op) {
    const xfc_value *out = &op->out[0];
    if (op->code != XFC_OP_PACK && op->code != XFC_OP_PACK_RAGGED) return false;
    if (out->type.rank == 3 || xfc_int_is(op->graph->ctx, xfc_type_count(op->graph->ctx, &out->type), 0)) return false;
    xfc_foreach_use(u, out) {
        uint32_t i = (uint32_t)(u - u->user->in);
        if (!is_panels(u->user->code, i)) return false;
        const xfc_contract product = xfc_op_contract(u->user, i);
        if (!xfc_tile_for(p->target, &product) || product.group != xfc_op_int(op, XFC_K_GROUP, 1)) return false;
    }
    return true;
}

/* The op that comes next must be fetched after the kernel was made: views behind it may have been absorbed. */
static xfc_op *convert(xfc_pass *p, xfc_op *op) {
    xfc_op *next = op->next, *made = op->code == XFC_OP_CONCAT ? split_concat(op) : NULL;
    if (made) return made;
    if (takes_tiles(p, op))
        made = is_attention(op->code) ? xfc_kernel_attention(p, op) : xfc_kernel_contract(p, op);
    else if (packs_for_tiles(p, op))
        made = xfc_kernel_pack(p, op);
    else if (op->code == XFC_OP_MATMUL_SPARSE)
        made = xfc_kernel_sparse(p, op);
    if (!made) p->status = nest_kernel(op);
    return made ? made->next : next;
}

bool xfc_kernels(xfc_pass *p) {
    xfc_op *op = p->graph->first;
    while (op && p->status == XFC_OK) {
        bool stays = xfc_op_has(op, XFC_STRUCT) || xfc_ops[op->code].call; /* a routine is a step of its own */
        op = stays ? op->next : convert(p, op);
    }
    p->graph->stage = XFC_STAGE_KERNELS;
    return true;
}

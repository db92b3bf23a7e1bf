/* layout.c - packs the right operands of contractions.
 *
 *   %y = matmul %x, %w                      : f32[b, s, 1536]
 *   =>
 *   %p = pack %w {panel = 48}               : f32[32, 384, 48]
 *   %y = matmul_packed %x, %p {size = [1536]}
 *
 * Every contraction then has one form. fold (run it afterwards) evaluates the pack of a constant, so weights are packed
 * at compile time; any other right operand is packed at run time, once per value however many contractions read it (cse
 * shares the packs). Attention of few rows, which are not those of its keys, takes k and v as they are: where only the
 * call knows how many rows there are, the batches that are packed are then none. Ragged attention begins each sequence
 * of its keys with a panel of its own; the rows of its values are the depth of their panels, so a sequence may begin
 * anywhere, or with a group of its own. The layout is the same for every ISA: panels of XFC_PANEL columns. Types without
 * tiles (ir/contract.h) stay plain nests.
 * --compute=bf16 is done here, too: the operands of products with weights are rounded to bf16, the result is f32; and
 * so are those of both products of attention, whose softmax stays f32. Attention of a bf16 model, which legalize made
 * one of f32, is computed so anyway. Other products stay as they are.
 * When: after legalize, before kernels.
 */
#include "ir/build.h"
#include "ir/contract.h"
#include "ir/probe.h"
#include "passes/pass.h"

enum {
    FEW = 8,       /* rows of attention that read keys and values where they lie */
    HIDDEN = 60000 /* a key may have no weight if its bias is so far below another (runtime/kernels/reach.c) */
};

/* v as the right operand of c: what both forms of packing are told. */
static uint32_t panels_of(const xfc_contract *c, const xfc_value *v, xfc_attr attr[3]) {
    uint32_t n = 0;
    attr[n++] = xfc_attr_int(XFC_K_PANEL, c->panel);
    if (c->group > 1) attr[n++] = xfc_attr_int(XFC_K_GROUP, c->group);
    if (v->type.dtype != c->b) attr[n++] = xfc_attr_dtype(XFC_K_TO, c->b);
    return n;
}

static xfc_value *pack(xfc_builder *b, xfc_value *v, const xfc_contract *c) {
    xfc_attr attr[3];
    return v ? xfc_build(b, XFC_OP_PACK, &v, 1, attr, panels_of(c, v, attr)) : NULL;
}

static void replace(xfc_op *op, xfc_value *with) {
    if (!with) return;
    xfc_value_replace(&op->out[0], with);
    xfc_op_remove(op);
}

/* As what a product is computed, with --compute=bf16 one of f32 with a weight: of operands rounded to bf16, where pairs
 * of those have tiles. */
static xfc_contract contract_of(const xfc_pass *p, const xfc_op *op) {
    const xfc_value *w = op->in[1].value;
    xfc_type a = op->in[0].value->type;
    bool weight = w->type.rank == 2 && xfc_value_is_const(w, NULL);
    if (p->opts->compute == XFC_FORCE && a.dtype == XFC_F32) {
        a.dtype = XFC_BF16;
        const xfc_contract c = xfc_contract_of(p->graph->ctx, &a, w->type.dtype, weight);
        if (c.a == XFC_BF16 && xfc_tile_for(p->target, &c)) return xfc_graph_meta(p->graph, "compute", "bf16"), c;
        a.dtype = XFC_F32;
    }
    return xfc_contract_of(p->graph->ctx, &a, w->type.dtype, weight);
}

static bool pack_matmul(xfc_pass *p, xfc_op *op) {
    xfc_value *a = op->in[0].value, *w = op->in[1].value, *y;
    if (a->type.rank < 2 || w->type.rank < 2 || w->type.rank > XFC_MAX_RANK - 1) return false;
    const xfc_contract c = contract_of(p, op);
    if (!xfc_tile_for(p->target, &c) || (w->type.rank != 2 && w->type.rank != a->type.rank)) return false;
    xfc_builder b = {op->graph, op, op->loc};
    uint32_t n_attr = c.group > 1 ? 3 : 1;
    const xfc_attr attr[3] = {xfc_attr_dims(XFC_K_SIZE, &w->type.dim[w->type.rank - 1], 1),
                              xfc_attr_int(XFC_K_GROUP, c.group), xfc_attr_dtype(XFC_K_TO, c.sum)};
    w = pack(&b, w, &c);
    y = xfc_build(&b, XFC_OP_MATMUL_PACKED, (xfc_value *[]){xfc_b_cast(&b, a, c.a), w}, 2, attr, n_attr);
    replace(op, xfc_b_cast(&b, y, op->out[0].type.dtype));
    return true;
}

static bool was_bf16(const xfc_value *v) {
    return v->def && v->def->code == XFC_OP_CAST && v->def->in[0].value->type.dtype == XFC_BF16;
}

/* As what both products of attention are computed: of pairs of bf16 if that is asked for or is what the operands
 * were. */
static xfc_contract contract_of_attention(const xfc_pass *p, const xfc_op *op) {
    xfc_type q = op->in[0].value->type;
    bool narrow = p->opts->compute == XFC_FORCE && q.dtype == XFC_F32, were = true;
    for (uint32_t i = 0; i < 3; i++) were = were && was_bf16(op->in[i].value);
    if (!narrow && !were) return xfc_contract_plain(q.dtype);
    q.dtype = XFC_BF16;
    const xfc_contract c = xfc_contract_of(p->graph->ctx, &q, XFC_BF16, true);
    if (c.a != XFC_BF16 || !xfc_tile_for(p->target, &c)) return xfc_contract_plain(XFC_F32);
    if (!were) xfc_graph_meta(p->graph, "compute", "bf16");
    return c;
}

static uint32_t attention_attrs(const xfc_op *op, const xfc_contract *c, const xfc_int size[2], xfc_attr attr[5]) {
    uint32_t n = 0;
    attr[n++] = xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1));
    attr[n++] = xfc_attr_int(XFC_K_NAN_TO_ZERO, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0));
    attr[n++] = xfc_attr_dims(XFC_K_SIZE, size, 2);
    if (c->group > 1) attr[n++] = xfc_attr_int(XFC_K_GROUP, c->group);
    if (xfc_op_attr(op, XFC_K_SOFTCAP)) attr[n++] = *xfc_op_attr(op, XFC_K_SOFTCAP);
    return n;
}

/* The batches whose keys and values are worth packing: not those of few rows that meet keys of others, as a step of a
 * decoder does. */
static xfc_int packed_batches(const xfc_op *op, const xfc_contract *c) {
    const xfc_type *q = &op->in[0].value->type, *k = &op->in[1].value->type;
    xfc_ctx *ctx = op->graph->ctx;
    xfc_int one = xfc_int_const(ctx, 1), more = xfc_int_const(ctx, FEW + 1);
    bool empty = xfc_int_is(ctx, xfc_type_count(ctx, q), 0) || xfc_int_is(ctx, xfc_type_count(ctx, k), 0);
    if (c->group > 1 || empty || xfc_int_same(q->dim[2], k->dim[2])) return q->dim[0];
    return xfc_int_mul(ctx, q->dim[0], xfc_int_min(ctx, one, xfc_int_floordiv(ctx, q->dim[2], more)));
}

/* As it is in memory, before it was widened. */
static xfc_value *at_rest(xfc_value *v) {
    return v->def && v->def->code == XFC_OP_CAST && xfc_dtype_is_float(v->def->in[0].value->type.dtype)
               ? v->def->in[0].value
               : v;
}

/* No others are widened for it. */
static xfc_value *first_batches(xfc_builder *b, xfc_value *v, xfc_int n) {
    if (xfc_int_same(n, v->type.dim[0])) return v;
    xfc_value *first = xfc_b_slice_axis(b, at_rest(v), 0, xfc_int_const(b->graph->ctx, 0), n, 1);
    return xfc_b_cast(b, first, v->type.dtype);
}

/* May a bias hide keys, of more than one panel? What it may hold at an index tells. */
static bool may_hide_keys(xfc_pass *p, const xfc_value *bias, xfc_int rows, xfc_int keys) {
    xfc_ctx *c = p->graph->ctx;
    xfc_int index[4];
    double lo, hi;
    int64_t n;
    if (!bias || bias->type.dtype != XFC_F32 || bias->type.rank < 2) return false;
    const xfc_int *dim = &bias->type.dim[bias->type.rank - 2];
    if (!xfc_int_same(dim[1], keys) || (!xfc_int_same(dim[0], rows) && !xfc_int_is(c, dim[0], 1))) return false;
    if (xfc_int_value(c, keys, &n) && n <= XFC_PANEL) return false;
    for (uint32_t d = 0; d < bias->type.rank; d++) index[d] = xfc_int_axis(c, "i", bias->type.dim[d]);
    xfc_probe probe = xfc_probe_new(p->graph, p->scratch);
    xfc_fact fact = xfc_probe_at(&probe, bias, index);
    if (fact.kind == XFC_FACT_NONE) return true;
    xfc_fact_bounds(c, fact, &lo, &hi);
    return !(hi - lo < (double)HIDDEN);
}

/* What attention must look at, of its bias, or NULL. */
static xfc_value *reach_of(xfc_pass *p, xfc_op *op) {
    xfc_ctx *c = p->graph->ctx;
    bool ragged = op->code == XFC_OP_ATTENTION_RAGGED;
    const uint32_t at = ragged ? 6 : 3;
    xfc_value *bias = op->n_in > at ? op->in[at].value : NULL;
    xfc_int rows = op->in[0].value->type.dim[2], keys = op->in[1].value->type.dim[2];
    if (ragged) {
        rows = keys = xfc_op_attr(op, XFC_K_SIZE)->u.dims[0];
        for (uint32_t i = 7; i < op->n_in; i++)
            if (op->in[i].value) return NULL;
        /* A block is a task of the list for all heads. What is the same for all rows is padding, and that is gone. */
        if (bias && (!xfc_int_is(c, bias->type.dim[1], 1) || xfc_int_is(c, bias->type.dim[2], 1))) return NULL;
    }
    if (!may_hide_keys(p, bias, rows, keys)) return NULL;
    xfc_builder b = {op->graph, op, op->loc};
    const xfc_int size[2] = {xfc_int_const(c, XFC_QUERIES), xfc_int_const(c, XFC_PANEL)};
    const xfc_attr attr = xfc_attr_dims(XFC_K_SIZE, size, 2);
    if (!ragged) return xfc_build(&b, XFC_OP_REACH, &bias, 1, &attr, 1);
    xfc_value *in[4] = {bias, op->in[3].value, op->in[4].value, op->in[5].value};
    return xfc_build(&b, XFC_OP_REACH_RAGGED, in, 4, &attr, 1);
}

static xfc_value *sink_of(const xfc_op *op) { return op->n_in > 5 ? op->in[5].value : NULL; }

/* Attention that reads k and v where they lie. */
static bool bound_attention(xfc_op *op, xfc_value *reach) {
    if (!reach) return false;
    xfc_builder b = {op->graph, op, op->loc};
    xfc_value *in[6] = {op->in[0].value, op->in[1].value, op->in[2].value, op->in[3].value, reach, sink_of(op)};
    replace(op, xfc_build_opt(&b, XFC_OP_ATTENTION, in, in[5] ? 6 : 5, op->attr, op->n_attr));
    return true;
}

static bool pack_attention(xfc_pass *p, xfc_op *op) {
    xfc_value *q = op->in[0].value, *k = op->in[1].value, *v = op->in[2].value;
    const xfc_contract c = contract_of_attention(p, op);
    const xfc_int n = packed_batches(op, &c);
    if (!xfc_tile_for(p->target, &c) || (op->n_in > 4 && op->in[4].value)) return false;
    xfc_value *reach = reach_of(p, op);
    if (xfc_int_is(op->graph->ctx, n, 0)) return bound_attention(op, reach);
    xfc_builder b = {op->graph, op, op->loc};
    const xfc_int size[2] = {k->type.dim[2], v->type.dim[3]};
    bool all = xfc_int_same(n, q->type.dim[0]);
    xfc_value *in[8] = {xfc_b_cast(&b, q, c.a),
                        pack(&b, xfc_b_swap_last(&b, first_batches(&b, k, n)), &c),
                        pack(&b, first_batches(&b, v, n), &c),
                        op->n_in > 3 ? op->in[3].value : NULL,
                        all ? NULL : at_rest(k),
                        all ? NULL : at_rest(v),
                        reach,
                        sink_of(op)};
    xfc_attr attr[5];
    uint32_t n_attr = attention_attrs(op, &c, size, attr), n_in = XFC_COUNT(in);
    while (!in[n_in - 1]) n_in--;
    replace(op, xfc_build_opt(&b, XFC_OP_ATTENTION_PACKED, in, n_in, attr, n_attr));
    return true;
}

/* k, whose rows become columns, or v, whose rows are the depth of a product. Without groups a sequence's values begin at any
 * row. */
static xfc_value *pack_rows(xfc_builder *b, const xfc_op *op, uint32_t operand, const xfc_contract *c) {
    xfc_value *in[2] = {op->in[operand].value, op->in[3].value};
    xfc_attr attr[5];
    if (operand == 2 && c->group == 1) return pack(b, in[0], c);
    uint32_t n = panels_of(c, in[0], attr);
    attr[n++] = xfc_attr_dims(XFC_K_SIZE, xfc_op_attr(op, XFC_K_SIZE)->u.dims, 1);
    if (operand == 2) attr[n++] = xfc_attr_int(XFC_K_AXIS, 2);
    return xfc_build(b, XFC_OP_PACK_RAGGED, in, 2, attr, n);
}

static bool pack_attention_ragged(xfc_pass *p, xfc_op *op) {
    xfc_value *in[10] = {NULL};
    const xfc_contract c = contract_of_attention(p, op);
    if (!xfc_tile_for(p->target, &c)) return false;
    xfc_builder b = {op->graph, op, op->loc};
    const xfc_int size[2] = {xfc_op_attr(op, XFC_K_SIZE)->u.dims[0], op->in[2].value->type.dim[2]};
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value;
    in[0] = xfc_b_cast(&b, in[0], c.a);
    in[1] = pack_rows(&b, op, 1, &c);
    in[2] = pack_rows(&b, op, 2, &c);
    in[9] = reach_of(p, op);
    xfc_attr attr[5];
    uint32_t n_attr = attention_attrs(op, &c, size, attr), n_in = in[9] ? 10 : op->n_in;
    replace(op, xfc_build_opt(&b, XFC_OP_ATTENTION_RAGGED_PACKED, in, n_in, attr, n_attr));
    return true;
}

bool xfc_layout(xfc_pass *p) {
    bool changed = false;
    xfc_foreach_op_safe(op, p->graph) {
        if (op->code == XFC_OP_MATMUL)
            changed |= pack_matmul(p, op);
        else if (op->code == XFC_OP_ATTENTION)
            changed |= pack_attention(p, op);
        else if (op->code == XFC_OP_ATTENTION_RAGGED)
            changed |= pack_attention_ragged(p, op);
    }
    return changed;
}

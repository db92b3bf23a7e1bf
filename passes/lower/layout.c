/* layout.c - packs the right operands of contractions.
 *
 *   %y = matmul %x, %w                      : f32[b, s, 1536]
 *   =>
 *   %p = pack %w {panel = 48}               : f32[32, 384, 48]
 *   %y = matmul_packed %x, %p {size = [1536]}
 *
 * Every contraction then has one form. fold (run it afterwards) evaluates the pack of a constant, so weights are packed
 * at compile time; any other right operand is packed at run time, once per value however many contractions read it (cse
 * shares the packs). Ragged attention begins each sequence of its keys with a panel of its own; the rows of its values
 * are the depth of their panels, so a sequence may begin anywhere. The layout is the same for every ISA: panels of
 * XFC_PANEL columns. Types without tiles (ir/contract.h) stay plain nests.
 * --compute=bf16 is done here, too: the operands of products with weights are rounded to bf16, the result is f32. Other
 * products stay as they are, attention's too.
 * When: after legalize, before kernels.
 */
#include "ir/build.h"
#include "ir/contract.h"
#include "passes/pass.h"

static xfc_value *pack(xfc_builder *b, xfc_value *v, uint32_t group) {
    xfc_attr a = xfc_attr_int(XFC_K_PANEL, XFC_PANEL * group);
    return xfc_build(b, XFC_OP_PACK, &v, 1, &a, 1);
}

static void replace(xfc_op *op, xfc_value *with) {
    if (!with) return;
    xfc_value_replace(&op->out[0], with);
    xfc_op_remove(op);
}

/* [k, n] with `group` steps of k side by side: [k / group, n * group]. */
static xfc_value *grouped(xfc_builder *b, xfc_value *w, uint32_t group) {
    static const int64_t columns_first[3] = {0, 2, 1};
    if (group == 1 || !w) return w;
    xfc_ctx *ctx = b->graph->ctx;
    const xfc_int g = xfc_int_const(ctx, group), steps = xfc_int_floordiv(ctx, w->type.dim[0], g), n = w->type.dim[1];
    w = xfc_b_reshape(b, w, (const xfc_int[]){steps, g, n}, 3);
    w = xfc_b_transpose(b, w, columns_first);
    return xfc_b_reshape(b, w, (const xfc_int[]){steps, xfc_int_mul(ctx, n, g)}, 2);
}

/* As what a product is computed, with --compute=bf16 one of f32 with a weight: of operands rounded to bf16, where pairs
 * of those have tiles. */
static xfc_contract contract_of(const xfc_pass *p, const xfc_op *op) {
    const xfc_value *w = op->in[1].value;
    xfc_type a = op->in[0].value->type;
    bool weight = w->type.rank == 2 && xfc_value_is_const(w, NULL);
    if (p->opts->compute == XFC_FORCE && a.dtype == XFC_F32) {
        a.dtype = XFC_BF16;
        const xfc_contract c = xfc_contract_of(p->graph->ctx, &a, weight);
        if (c.a == XFC_BF16 && xfc_tile_for(p->target, &c)) return xfc_graph_meta(p->graph, "compute", "bf16"), c;
        a.dtype = XFC_F32;
    }
    return xfc_contract_of(p->graph->ctx, &a, weight);
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
    w = pack(&b, grouped(&b, xfc_b_cast(&b, w, c.b), c.group), c.group);
    y = xfc_build(&b, XFC_OP_MATMUL_PACKED, (xfc_value *[]){xfc_b_cast(&b, a, c.a), w}, 2, attr, n_attr);
    replace(op, xfc_b_cast(&b, y, op->out[0].type.dtype));
    return true;
}

/* Attention is kept whole in the types that both of its products can be computed in as they are. */
static bool attends(const xfc_pass *p, const xfc_op *op) {
    const xfc_contract c = xfc_contract_plain(op->in[0].value->type.dtype);
    return xfc_tile_for(p->target, &c) != NULL;
}

static bool pack_attention(xfc_pass *p, xfc_op *op) {
    xfc_value *q = op->in[0].value, *k = op->in[1].value, *v = op->in[2].value;
    if (!attends(p, op)) return false;
    xfc_builder b = {op->graph, op, op->loc};
    const xfc_int size[2] = {k->type.dim[2], v->type.dim[3]};
    xfc_value *in[4] = {q, pack(&b, xfc_b_swap_last(&b, k), 1), pack(&b, v, 1), op->n_in > 3 ? op->in[3].value : NULL};
    xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1)),
                        xfc_attr_int(XFC_K_NAN_TO_ZERO, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)),
                        xfc_attr_dims(XFC_K_SIZE, size, 2)};
    replace(op, xfc_build_opt(&b, XFC_OP_ATTENTION_PACKED, in, in[3] ? 4 : 3, attr, 3));
    return true;
}

static xfc_value *pack_keys(xfc_builder *b, const xfc_op *op) {
    const xfc_attr *size = xfc_op_attr(op, XFC_K_SIZE);
    const xfc_attr attr[2] = {xfc_attr_int(XFC_K_PANEL, XFC_PANEL), xfc_attr_dims(XFC_K_SIZE, size->u.dims, 1)};
    return xfc_build(b, XFC_OP_PACK_RAGGED, (xfc_value *[]){op->in[1].value, op->in[3].value}, 2, attr, 2);
}

static bool pack_attention_ragged(xfc_pass *p, xfc_op *op) {
    xfc_value *in[9] = {NULL}, *v = op->in[2].value;
    if (!attends(p, op)) return false;
    xfc_builder b = {op->graph, op, op->loc};
    const xfc_int size[2] = {xfc_op_attr(op, XFC_K_SIZE)->u.dims[0], v->type.dim[2]};
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value;
    in[1] = pack_keys(&b, op);
    in[2] = pack(&b, v, 1);
    const xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, xfc_op_float(op, XFC_K_SCALE, 1)),
                              xfc_attr_int(XFC_K_NAN_TO_ZERO, xfc_op_int(op, XFC_K_NAN_TO_ZERO, 0)),
                              xfc_attr_dims(XFC_K_SIZE, size, 2)};
    replace(op, xfc_build_opt(&b, XFC_OP_ATTENTION_RAGGED_PACKED, in, op->n_in, attr, 3));
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

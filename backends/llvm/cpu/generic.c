/* generic.c - what passes know of x86-64 CPUs: numbers shared by all variants, and the composites kept whole. No LLVM.
 *
 * Passes up to plan run once for all CPU variants, so nothing here may depend on one of them: vectors exist, and
 * tiles for a type or not.
 */
#include "backends/backend.h"
#include "ir/contract.h"

static bool is_empty(xfc_ctx *c, const xfc_type *t) { return xfc_int_is(c, xfc_type_count(c, t), 0); }

/* Attention has a kernel of its own when both head widths are known: they are the depth and the columns of its two
 * products; when there is something to multiply; and when all scores count. */
static bool cpu_claims(const xfc_target *t, const xfc_op *op) {
    bool ragged = op->code == XFC_OP_ATTENTION_RAGGED;
    xfc_dtype type = op->out[0].type.dtype;
    const xfc_contract product = xfc_contract_plain(type);
    if ((op->code != XFC_OP_ATTENTION && !ragged) || !xfc_tile_for(t, &product)) return false;
    const xfc_type *q = &op->in[0].value->type, *v = &op->in[2].value->type;
    xfc_ctx *c = op->graph->ctx;
    if (is_empty(c, q) || is_empty(c, v) || xfc_op_attr(op, XFC_K_KEEP)) return false;
    if (ragged && xfc_int_is(c, xfc_op_attr(op, XFC_K_SIZE)->u.dims[0], 0)) return false;
    if (ragged && xfc_int_is(c, op->in[3].value->type.dim[0], 1)) return false; /* no sequence */
    return xfc_int_value(c, q->dim[q->rank - 1], NULL) && xfc_int_value(c, v->dim[v->rank - 1], NULL);
}

const xfc_target xfc_target_cpu_generic = {
    .backend = "cpu",
    .isa = "x86-64-v3",
    .triple = "x86_64-unknown-linux-gnu",
    .cpu = "x86-64-v3",
    .attributes = "",
    .vector_bytes = 32,
    .features = XFC_HAS_FMA,
    .claims = cpu_claims,
};

/* cse.c - equal ops with equal operands become one.
 *
 * Two ops are equal if code, attributes and operands are, the first two operands in either order where the op commutes;
 * constants are equal if dtype, dims and bytes are. Ops stand in topological order, so one walk with a table sees every
 * op after its operands were shared, and the first of equal ops dominates the others. `copy` is left alone: it exists
 * to be a value of its own. Large constants are hashed once and compared byte by byte only when their hashes agree.
 *
 *   %0 = add %x, %y      |
 *   %1 = add %y, %x      |  %0 = add %x, %y
 *   %2 = mul %0, %1      |  %2 = mul %0, %0
 */
#include "passes/rewrite/rewrite.h"

#include <string.h>

static uint64_t hash_attr(xfc_ctx *ctx, const xfc_attr *a, uint64_t h) {
    uint64_t word[2] = {a->key, a->n};
    h = xfc_hash(word, sizeof(word), h);
    switch (xfc_key_kind(a->key)) {
    case XFC_ATTR_INT: return xfc_hash(&a->u.i, sizeof(a->u.i), h);
    case XFC_ATTR_FLOAT: return xfc_hash(&a->u.f, sizeof(a->u.f), h);
    case XFC_ATTR_STR: return xfc_hash(a->u.s, strlen(a->u.s), h);
    case XFC_ATTR_DTYPE: word[0] = a->u.dtype; return xfc_hash(word, sizeof(word), h);
    case XFC_ATTR_INTS: return xfc_hash(a->u.ints, a->n * sizeof(int64_t), h);
    case XFC_ATTR_DIMS: return xfc_hash(a->u.dims, a->n * sizeof(xfc_int), h);
    case XFC_ATTR_TENSOR: word[0] = xfc_tensor_hash(ctx, a->u.tensor); return xfc_hash(word, sizeof(word), h);
    case XFC_ATTR_GRAPH: return h;
    }
    return h;
}

static bool same_attr(const xfc_attr *a, const xfc_attr *b) {
    if (a->key != b->key || a->n != b->n) return false;
    switch (xfc_key_kind(a->key)) {
    case XFC_ATTR_INT: return a->u.i == b->u.i;
    case XFC_ATTR_FLOAT: return memcmp(&a->u.f, &b->u.f, sizeof(a->u.f)) == 0;
    case XFC_ATTR_STR: return strcmp(a->u.s, b->u.s) == 0;
    case XFC_ATTR_DTYPE: return a->u.dtype == b->u.dtype;
    case XFC_ATTR_INTS: return memcmp(a->u.ints, b->u.ints, a->n * sizeof(int64_t)) == 0;
    case XFC_ATTR_DIMS: return memcmp(a->u.dims, b->u.dims, a->n * sizeof(xfc_int)) == 0;
    case XFC_ATTR_TENSOR: return a->u.tensor == b->u.tensor || xfc_tensor_equal(a->u.tensor, b->u.tensor);
    case XFC_ATTR_GRAPH: return false; /* a body belongs to one op */
    }
    return false;
}

/* Operand i, the first two in order of id where they commute; 0 for an absent one (ids are hashed plus one). */
static uint64_t operand_id(const xfc_op *op, uint32_t i) {
    uint64_t id = op->in[i].value ? op->in[i].value->id + 1u : 0;
    if (i > 1 || op->n_in < 2 || !xfc_op_has(op, XFC_COMMUTES)) return id;
    uint64_t other = op->in[1 - i].value ? op->in[1 - i].value->id + 1u : 0;
    return (i == 0) == (id < other) ? id : other;
}

static uint64_t hash_op(xfc_ctx *ctx, const xfc_op *op) {
    uint64_t head[3] = {op->code, op->n_in, op->n_attr};
    uint64_t h = xfc_hash(head, sizeof(head), 0);
    for (uint32_t i = 0; i < op->n_in; i++) {
        uint64_t id = operand_id(op, i);
        h = xfc_hash(&id, sizeof(id), h);
    }
    for (uint32_t i = 0; i < op->n_attr; i++) h = hash_attr(ctx, &op->attr[i], h);
    return h;
}

static bool same_op(const xfc_op *a, const xfc_op *b) {
    if (a->code != b->code || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attr != b->n_attr) return false;
    for (uint32_t i = 0; i < a->n_in; i++) {
        if (operand_id(a, i) != operand_id(b, i)) return false;
    }
    for (uint32_t i = 0; i < a->n_attr; i++) {
        if (!same_attr(&a->attr[i], &b->attr[i])) return false;
    }
    for (uint32_t i = 0; i < a->n_out; i++) {
        if (!xfc_type_same(&a->out[i].type, &b->out[i].type)) return false;
    }
    return true;
}

static bool can_share(const xfc_op *op) {
    return xfc_op_has(op, XFC_PURE) && op->code != XFC_OP_COPY && op->code != XFC_OP_KERNEL && op->n_out > 0;
}

/* One chain a hash; equal hashes of unequal ops are rare, and each chain is walked to its end. */
typedef struct chain {
    xfc_op *op;
    struct chain *next;
} chain;

bool xfc_cse(xfc_pass *pass) {
    xfc_map table = {.arena = pass->scratch};
    bool changed = false;
    xfc_foreach_op_safe(op, pass->graph) {
        if (!can_share(op)) continue;
        uint64_t hash = hash_op(pass->graph->ctx, op);
        chain *head = (chain *)(uintptr_t)xfc_map_get(&table, hash), *found = head;
        while (found && !same_op(found->op, op)) found = found->next;
        for (uint32_t i = 0; found && i < op->n_out; i++) {
            if (!xfc_can_replace(&op->out[i], &found->op->out[i])) found = NULL;
        }
        if (found) {
            for (uint32_t i = 0; i < op->n_out; i++) xfc_value_replace(&op->out[i], &found->op->out[i]);
            xfc_op_remove(op);
            changed = true;
            continue;
        }
        chain *link = xfc_new(pass->scratch, chain);
        *link = (chain){.op = op, .next = head};
        xfc_map_set_ptr(&table, (void *)(uintptr_t)hash, link);
    }
    return changed;
}

/* contract.c - which contractions there are tiles for (contract.h, tiles.def). */
#include "ir/contract.h"

static const xfc_tile_shape shapes[] = {
#define XFC_TILE(id, left, right, total, ...) {#id, XFC_##left, XFC_##right, XFC_##total, __VA_ARGS__},
#include "ir/tiles.def"
#undef XFC_TILE
};

xfc_contract xfc_contract_plain(xfc_dtype t) { return (xfc_contract){t, t, t, XFC_PANEL, 1}; }

xfc_contract xfc_contract_of(xfc_ctx *ctx, const xfc_type *a, xfc_dtype b, bool constant) {
    xfc_contract c = xfc_contract_plain(xfc_dtype_wide(a->dtype));
    if (constant && a->dtype == XFC_F32) c.b = b;
    xfc_int odd = xfc_int_mod(ctx, a->dim[a->rank - 1], xfc_int_const(ctx, 2));
    if (constant && a->dtype == XFC_F16) c.b = XFC_F16;
    if (constant && a->dtype == XFC_BF16 && xfc_int_is(ctx, odd, 0)) c.a = c.b = XFC_BF16, c.group = 2;
    return c;
}

xfc_contract xfc_op_contract(const xfc_op *op, uint32_t i) {
    const xfc_type *a = &op->in[0].value->type, *b = &op->in[i].value->type;
    int64_t width, group = xfc_op_int(op, XFC_K_GROUP, 1);
    bool known = xfc_int_value(op->graph->ctx, b->dim[b->rank - 1], &width) && width <= UINT32_MAX;
    return (xfc_contract){a->dtype, b->dtype, xfc_dtype_wide(a->dtype), known ? (uint32_t)(width / group) : 0,
                          (uint32_t)group};
}

xfc_contract xfc_tile_contract(const xfc_kernel *k, const xfc_tile *t) {
    const xfc_buffer *b = k->buffers;
    return (xfc_contract){b[t->a.buffer].type.dtype, b[t->b.buffer].type.dtype, b[t->c.buffer].type.dtype, t->panel,
                          t->group};
}

const xfc_tile_shape *xfc_tile_for(const xfc_target *t, const xfc_contract *c) {
    for (uint32_t i = 0; i < XFC_COUNT(shapes) && c->panel == XFC_PANEL; i++) {
        const xfc_tile_shape *s = &shapes[i];
        bool runs = !t || (s->vector_bytes <= t->vector_bytes && (s->needs & ~t->features) == 0);
        if (runs && s->a == c->a && s->b == c->b && s->sum == c->sum && s->group == c->group) return s;
    }
    return NULL;
}

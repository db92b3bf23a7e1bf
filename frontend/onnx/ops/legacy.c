/* legacy.c - operators as opsets 1 to 8 defined them, rewritten as what they are called today.
 *
 * Each importer turns operands and attributes of the old definition into those of the next one, raises the node's opset
 * and hands it on. What changed in an attribute alone stands with the operator.
 */
#include "frontend/onnx/import.h"
#include <ctype.h>
#include <string.h>

bool xfc_legacy_hint(const xfc_node *n, const char *attr) {
    return n->opset < 6 && !*xfc_onnx_domain(n->proto->domain) && !strcmp(attr, "consumed_inputs");
}

/* Below opset 7 operand 1 is of the same shape, or with "broadcast" its dims are a run of those of operand 0: from
 * "axis" on, or the last ones. */
static void align_second(xfc_node *n) {
    xfc_value *a = n->in[0], *b = n->in[1];
    bool broadcast = xfc_node_flag(n, "broadcast", false);
    uint32_t rank = a->type.rank, have = b->type.rank;
    xfc_int dim[XFC_MAX_RANK];
    if (broadcast && xfc_node_attr(n, "axis") && have < rank) {
        uint32_t axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), rank);
        if (n->status == XFC_OK && axis + have > rank)
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "operand '%s' has %u dims, more than there are from axis %u on; export the model again",
                          xfc_node_in_name(n, 1), have, axis);
        if (n->status != XFC_OK) return;
        for (uint32_t d = axis; d < rank; d++)
            dim[d - axis] = d < axis + have ? b->type.dim[d - axis] : xfc_int_const(n->ctx, 1);
        b = xfc_b_reshape(n->b, b, dim, rank - axis);
    }
    xfc_node_set_in(n, 1, xfc_n_fitting(n, b, a, "operand 1"));
}

void xfc_import_binary_1(xfc_node *n) {
    align_second(n);
    xfc_node_hand_on(n, 7, xfc_import_binary);
}

void xfc_import_logical_1(xfc_node *n) {
    align_second(n);
    xfc_node_hand_on(n, 7, xfc_import_logical);
}

void xfc_import_pow_1(xfc_node *n) {
    align_second(n);
    xfc_node_hand_on(n, 7, xfc_import_pow);
}

/* A slope of one dim holds a number a channel. */
void xfc_import_prelu_1(xfc_node *n) {
    xfc_value *x = n->in[0], *slope = n->in[1];
    bool per_channel = slope->type.rank == 1 && x->type.rank >= 2 && !xfc_int_is(n->ctx, slope->type.dim[0], 1);
    if (per_channel) xfc_node_set_in(n, 1, xfc_n_along(n, slope, 1, x->type.rank));
    xfc_node_hand_on(n, 7, xfc_import_prelu);
}

/* The type by its name. */
void xfc_import_cast_1(xfc_node *n) {
    char name[32] = {0};
    const char *to = xfc_node_str(n, "to", "");
    if (n->status != XFC_OK) return;
    for (uint32_t i = 0; to[i] && i + 1 < sizeof name; i++) name[i] = (char)tolower((unsigned char)to[i]);
    for (int64_t type = 1; type < 32; type++) {
        xfc_dtype dtype;
        if (!xfc_dtype_from_onnx(type, &dtype) || strcmp(xfc_onnx_dtype_name(type), name) != 0) continue;
        n->out[0] = xfc_b_cast(n->b, n->in[0], dtype);
        xfc_node_track(n, n->out[0]);
        return;
    }
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "casts to element type '%.40s', which is not supported", to);
}

void xfc_import_reshape_1(xfc_node *n) {
    const int64_t *shape;
    uint32_t rank;
    if (!xfc_node_ints(n, "shape", &shape, &rank)) {
        if (n->status == XFC_OK) xfc_node_fail(n, XFC_ERR_INPUT, "needs attribute 'shape'; export the model again");
        return;
    }
    xfc_node_set_in(n, 1, xfc_b_ints(n->b, shape, rank));
    xfc_node_hand_on(n, 5, xfc_import_reshape);
}

/* Repeats along one axis: operands 1 and 2, a number each. */
void xfc_import_tile_1(xfc_node *n) {
    uint32_t rank = n->in[0]->type.rank, count;
    for (uint32_t i = 1; i <= 2; i++) /* numbers of the type of operand 0, which may be floating */
        if (!xfc_dtype_is_int(n->in[i]->type.dtype)) xfc_node_set_in(n, i, xfc_b_cast(n->b, n->in[i], XFC_I64));
    xfc_int repeats[XFC_MAX_RANK], times = xfc_node_dim(n, 1);
    const int64_t *given = xfc_node_const_ints(n, 2, &count);
    if (n->status == XFC_OK && count != 1)
        xfc_node_fail(n, XFC_ERR_INPUT, "repeats along %u axes, not along one; export the model again", count);
    if (n->status != XFC_OK) return;
    uint32_t axis = xfc_node_axis(n, given[0], rank);
    for (uint32_t d = 0; d < rank; d++) repeats[d] = d == axis ? times : xfc_int_const(n->ctx, 1);
    xfc_node_set_in(n, 1, xfc_b_dims(n->b, repeats, rank));
    n->n_in = 2;
    xfc_node_hand_on(n, 6, xfc_import_tile);
}

/* text.c - tables of texts (text.h) in operations that the graph has; looking them up is a routine. */
#include "frontend/onnx/text/text.h"
#include "frontend/onnx/sequence/sequence.h"
#include <string.h>

static xfc_value *join(xfc_node *n, xfc_value *a, xfc_value *b) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return a && b ? xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){a, b}, 2, &axis, 1) : NULL;
}

xfc_value *xfc_texts_flat(xfc_node *n, xfc_value *v) {
    xfc_int all = v ? xfc_type_count(n->ctx, &v->type) : XFC_INT_NONE;
    if (!v || xfc_int_known(all)) return xfc_b_reshape(n->b, v, &all, 1);
    return xfc_node_fail(n, XFC_ERR_LIMIT, "of more than 2^63 elements is not supported"), NULL;
}

xfc_value *xfc_texts_gather(xfc_node *n, xfc_value *list, xfc_value *numbers) {
    return xfc_n_gather(n, list, numbers, 0);
}

const xfc_texts *xfc_texts_new(xfc_node *n, xfc_value *bytes, xfc_value *starts, xfc_value *lengths, bool dense) {
    if (!bytes || !starts || !lengths) return NULL;
    xfc_texts *t = xfc_new(n->im->arena, xfc_texts);
    *t = (xfc_texts){bytes, starts, lengths, dense};
    return t;
}

/* --- constants --- */

const xfc_texts *xfc_texts_of(xfc_node *n, const ProtobufCBinaryData *text, size_t count) {
    int64_t size = 0, dim = (int64_t)count;
    for (size_t i = 0; i < count; i++) size += (int64_t)text[i].len;
    char *bytes = xfc_tensor_alloc(n->ctx, XFC_U8, 1, &size);
    int64_t *starts = xfc_tensor_alloc(n->ctx, XFC_I64, 1, &dim), *lengths = xfc_tensor_alloc(n->ctx, XFC_I64, 1, &dim);
    for (size_t i = 0, at = 0; i < count; at += text[i++].len) {
        if (text[i].len) memcpy(bytes + at, text[i].data, text[i].len);
        starts[i] = (int64_t)at, lengths[i] = (int64_t)text[i].len;
    }
    return xfc_texts_new(n, xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_U8, 1, &size, bytes, NULL)),
                         xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_I64, 1, &dim, starts, NULL)),
                         xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_I64, 1, &dim, lengths, NULL)), true);
}

xfc_result xfc_texts_tensor(xfc_node *n, const Onnx__TensorProto *p, const char *what) {
    const xfc_tensor *bytes, *lengths;
    if (!xfc_onnx_strings(&n->im->file, p, n->loc, what, &bytes, &lengths)) {
        if (n->status == XFC_OK) n->status = XFC_ERR_INPUT;
        return (xfc_result){0};
    }
    xfc_int dim[XFC_MAX_RANK], all = xfc_int_const(n->ctx, lengths->count);
    for (uint32_t d = 0; d < lengths->rank; d++) dim[d] = xfc_int_const(n->ctx, lengths->dim[d]);
    xfc_value *flat = xfc_b_reshape(n->b, xfc_b_const(n->b, lengths), &all, 1);
    return xfc_texts_all(n, xfc_texts_new(n, xfc_b_const(n->b, bytes), xfc_n_place(n, flat), flat, true), dim,
                         lengths->rank);
}

xfc_result xfc_texts_all(xfc_node *n, const xfc_texts *t, const xfc_int *dim, uint32_t rank) {
    xfc_int zero = xfc_int_const(n->ctx, 0);
    xfc_value *v = t ? xfc_n_iota(n, t->lengths->type.dim[0], zero, 1, XFC_I64) : NULL;
    v = xfc_b_reshape(n->b, v, dim, rank);
    return v ? (xfc_result){.value = v, .texts = t} : (xfc_result){0};
}

/* --- tables --- */

static xfc_value *plus(xfc_node *n, xfc_value *list, xfc_int more) {
    return xfc_n2(n, XFC_OP_ADD, list, xfc_b_dims(n->b, &more, -1));
}

const xfc_texts *xfc_texts_join(xfc_node *n, const xfc_texts *a, const xfc_texts *b, xfc_value **offset) {
    xfc_int count = a->lengths->type.dim[0];
    *offset = a == b ? xfc_ni(n, 0) : xfc_b_dims(n->b, &count, -1);
    if (a == b) return a;
    return xfc_texts_new(n, join(n, a->bytes, b->bytes), join(n, a->starts, plus(n, b->starts, a->bytes->type.dim[0])),
                         join(n, a->lengths, b->lengths), a->dense && b->dense);
}

/* Are these the numbers of all texts in their order? */
static bool is_all(const xfc_texts *t, const xfc_value *numbers) {
    while (numbers->def && numbers->def->code == XFC_OP_RESHAPE) numbers = numbers->def->in[0].value;
    const xfc_tensor *c;
    if (numbers->type.rank != 1 || !xfc_int_same(numbers->type.dim[0], t->lengths->type.dim[0])) return false;
    if (!xfc_value_is_const(numbers, &c)) return numbers->def && numbers->def->code == XFC_OP_IOTA;
    for (int64_t i = 0; i < c->count; i++)
        if (xfc_tensor_get_i(c, i) != i) return false;
    return true;
}

const xfc_texts *xfc_texts_take(xfc_node *n, const xfc_texts *t, xfc_value *numbers) {
    if (!t || !numbers) return NULL;
    if (t->dense && is_all(t, numbers)) return t;
    const int64_t axes[1] = {0};
    xfc_value *lengths = xfc_texts_gather(n, t->lengths, numbers), *starts = xfc_n_place(n, lengths);
    xfc_value *from = xfc_texts_gather(n, t->starts, numbers);
    xfc_value *sum = lengths ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, lengths, axes, 1, true) : NULL;
    xfc_int size = XFC_INT_NONE;
    if (!sum || !xfc_n_define(n, sum, &size, 1, NULL)) return NULL;
    xfc_value *in = xfc_n_part_of(n, xfc_n2(n, XFC_OP_ADD, starts, lengths), size);
    xfc_value *at = xfc_n_iota(n, size, xfc_int_const(n->ctx, 0), 1, XFC_I64);
    at = xfc_n2(n, XFC_OP_ADD, at, xfc_texts_gather(n, xfc_n2(n, XFC_OP_SUB, from, starts), in));
    return xfc_texts_new(n, xfc_texts_gather(n, t->bytes, at), starts, lengths, true);
}

xfc_value *xfc_texts_find(xfc_node *n, const xfc_texts *in, const xfc_texts *what) {
    if (!in || !what) return NULL;
    xfc_value *operand[] = {in->bytes, in->starts, in->lengths, what->bytes, what->starts, what->lengths};
    return xfc_build(n->b, XFC_OP_FIND_TEXTS, operand, XFC_COUNT(operand), NULL, 0);
}

/* --- operands --- */

const xfc_texts *xfc_node_texts(xfc_node *n, uint32_t in) {
    const xfc_texts *t = in < n->n_in ? n->in_texts[in] : NULL;
    if (!t && n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' holds no strings; export the model again",
                      xfc_node_in_name(n, in));
    return t;
}

bool xfc_node_one_table(xfc_node *n, uint32_t mask, const xfc_texts **table) {
    *table = NULL;
    for (uint32_t i = 0; i < n->n_in; i++) {
        bool meant = mask >> (i < 31 ? i : 31) & 1;
        if (meant && n->in_texts[i] && !*table) *table = n->in_texts[i];
    }
    for (uint32_t i = 0; *table && i < n->n_in; i++) {
        xfc_value *offset;
        if (!(mask >> (i < 31 ? i : 31) & 1) || !n->in[i]) continue;
        if (!xfc_node_texts(n, i) || !(*table = xfc_texts_join(n, *table, n->in_texts[i], &offset))) return false;
        if (n->in_texts[i] != *table) n->in[i] = xfc_n2(n, XFC_OP_ADD, n->in[i], offset);
        if (!n->in[i]) return false;
    }
    return true;
}

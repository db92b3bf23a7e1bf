/* border.c - inputs and outputs that are more than one tensor: sequences and optionals (sequence.h), under the names of
 * their parts, and as ONNX's files of test data have them.
 *
 * Metadata of the model says which they are, as nothing else of the graph does.
 */
#include "frontend/onnx/sequence/sequence.h"
#include "frontend/onnx/text/text.h"
#include <string.h>

static const char *const kinds[] = {
    [XFC_BORDER_SEQUENCE] = "sequence",
    [XFC_BORDER_OPTIONAL] = "optional",
    [XFC_BORDER_OPTIONAL_SEQUENCE] = "optional sequence",
    [XFC_BORDER_TEXT] = "text",
};

xfc_border xfc_border_of(const char *meta) {
    for (uint32_t i = 1; meta && i < XFC_COUNT(kinds); i++)
        if (!strcmp(kinds[i], meta)) return (xfc_border)i;
    return XFC_BORDER_TENSOR;
}

uint32_t xfc_border_parts(xfc_border k) {
    return k == XFC_BORDER_TENSOR ? 1 : k == XFC_BORDER_OPTIONAL_SEQUENCE ? 3 : 2;
}

const char *xfc_border_name(xfc_importer *im, const char *name, uint32_t part) {
    static const char *const suffix[] = {"", ".shapes", ".present", ".lengths"};
    return xfc_str(im->ctx, xfc_sprintf(im->arena, "%s%s", name, suffix[part]));
}

void xfc_border_note(xfc_importer *im, const char *name, xfc_border kind) {
    xfc_graph_meta(im->graph, xfc_sprintf(im->arena, XFC_BORDER_META "%s", name), kinds[kind]);
}

uint32_t xfc_border_output(xfc_importer *im, const char *name, const xfc_sequence *s, xfc_value **value,
                           const char **names) {
    xfc_node n = {
        .im = im, .ctx = im->ctx, .b = &im->builder, .loc = {.file = im->file.path, .node = xfc_str(im->ctx, name)}};
    if (xfc_dtype_bits(s->dtype) < 8)
        return xfc_fail(im->ctx, XFC_ERR_UNSUPPORTED, n.loc,
                        "output '%s' is a sequence of %s, which is not supported; cast its tensors", name,
                        xfc_dtype_name(s->dtype)),
               0;
    s = xfc_sequence_flatten(&n, s, -1);
    if (!s) return 0;
    xfc_border_note(im, name,
                    s->present    ? XFC_BORDER_OPTIONAL_SEQUENCE
                    : s->optional ? XFC_BORDER_OPTIONAL
                                  : XFC_BORDER_SEQUENCE);
    uint32_t count = xfc_sequence_parts(s, value);
    for (uint32_t i = 0; i < count; i++) names[i] = xfc_border_name(im, name, i);
    return count;
}

uint32_t xfc_border_texts(xfc_importer *im, const char *name, xfc_result r, xfc_value **value, const char **names) {
    xfc_node n = {
        .im = im, .ctx = im->ctx, .b = &im->builder, .loc = {.file = im->file.path, .node = xfc_str(im->ctx, name)}};
    xfc_int all = xfc_type_count(im->ctx, &r.value->type);
    const xfc_texts *t = xfc_texts_take(&n, r.texts, xfc_b_reshape(n.b, r.value, &all, 1));
    if (!t) return 0;
    xfc_border_note(im, name, XFC_BORDER_TEXT);
    value[0] = t->bytes, names[0] = name;
    value[1] = xfc_b_reshape(n.b, t->lengths, r.value->type.dim, r.value->type.rank);
    names[1] = xfc_border_name(im, name, XFC_LENGTHS);
    return value[1] ? 2 : 0;
}

xfc_result xfc_border_text_input(xfc_importer *im, const char *name, xfc_int size, const xfc_type *dims) {
    xfc_node n = {
        .im = im, .ctx = im->ctx, .b = &im->builder, .loc = {.file = im->file.path, .node = xfc_str(im->ctx, name)}};
    const int64_t axes[1] = {0};
    xfc_int all = xfc_type_count(im->ctx, dims), found = XFC_INT_NONE;
    xfc_value *bytes = xfc_graph_add_input(im->graph, xfc_str(im->ctx, name), xfc_type_make(XFC_U8, 1, &size));
    xfc_value *lengths = xfc_graph_add_input(im->graph, xfc_border_name(im, name, XFC_LENGTHS),
                                             xfc_type_make(XFC_I64, dims->rank, dims->dim));
    xfc_border_note(im, name, XFC_BORDER_TEXT);
    n.b->loc = n.loc;
    lengths = xfc_b_reshape(n.b, lengths, &all, 1);
    xfc_value *least = lengths ? xfc_b_reduce(n.b, XFC_OP_REDUCE_MIN, lengths, axes, 1, true) : NULL;
    xfc_value *sum = lengths ? xfc_b_reduce(n.b, XFC_OP_REDUCE_SUM, lengths, axes, 1, true) : NULL;
    sum = xfc_n_sizes_if(&n, xfc_n2(&n, XFC_OP_GE, least, xfc_ni(&n, 0)), sum);
    if (!sum || !xfc_n_define(&n, sum, &found, 1, &size)) return (xfc_result){0};
    if (!xfc_n_equal(&n, found, size, "the lengths and the bytes of strings")) return (xfc_result){0};
    return xfc_texts_all(&n, xfc_texts_new(&n, bytes, xfc_n_place(&n, lengths), lengths, true), dims->dim, dims->rank);
}

/* --- files --- */

typedef struct {
    xfc_onnx_file file;
    xfc_loc loc;
    const xfc_tensor **tensor;
    uint32_t n;
    int64_t rank;
    xfc_dtype dtype;
} parts;

static bool read_tensors(parts *p, Onnx__TensorProto *const *proto, size_t n) {
    p->tensor = xfc_new_array(p->file.arena, const xfc_tensor *, n + 1);
    for (size_t i = 0; i < n; i++, p->n++) {
        p->tensor[i] = xfc_onnx_tensor(&p->file, proto[i], p->loc, "a tensor");
        if (!p->tensor[i]) return false;
        if (p->rank < p->tensor[i]->rank) p->rank = p->tensor[i]->rank;
        if (p->tensor[i]->dtype != p->tensor[0]->dtype)
            return xfc_fail(p->file.ctx, XFC_ERR_INPUT, p->loc, "holds tensors of different element types"), false;
    }
    if (n) p->dtype = p->tensor[0]->dtype;
    return true;
}

static const xfc_tensor *elements_of(const parts *p, const char *name) {
    xfc_ctx *c = p->file.ctx;
    int64_t count = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < p->n; i++) count += p->tensor[i]->count; /* as much as lies in the file */
    char *data = xfc_tensor_alloc(c, p->dtype, 1, &count);
    for (uint32_t i = 0; i < p->n; at += p->tensor[i++]->bytes)
        if (p->tensor[i]->bytes) memcpy(data + at, p->tensor[i]->data, p->tensor[i]->bytes);
    return xfc_tensor_new(c, p->dtype, 1, &count, data, name);
}

static const xfc_tensor *shapes_of(const parts *p) {
    int64_t dim[2] = {p->n, p->rank}, *row = xfc_tensor_alloc(p->file.ctx, XFC_I64, 2, dim);
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t d = 0; d < p->rank; d++) *row++ = d < p->tensor[i]->rank ? p->tensor[i]->dim[d] : -1;
    return xfc_tensor_new(p->file.ctx, XFC_I64, 2, dim, row - p->n * p->rank, NULL);
}

static const xfc_tensor *one_bool(xfc_ctx *c, bool value) {
    const uint8_t byte = value;
    return xfc_tensor_copy(c, XFC_BOOL, 0, NULL, &byte, NULL);
}

/* Names may be left out of the file. */
static bool read_parts(parts *p, xfc_mapping bytes, xfc_border kind, const xfc_tensor **out) {
    bool plain = kind == XFC_BORDER_SEQUENCE;
    const Onnx__OptionalProto *optional = plain ? NULL : xfc_unpack_optional(&p->file, bytes);
    const Onnx__SequenceProto *sequence = plain      ? xfc_unpack_sequence(&p->file, bytes)
                                          : optional ? optional->sequence_value
                                                     : NULL;
    Onnx__TensorProto *one = optional ? optional->tensor_value : NULL;
    if (!sequence && !optional) return false;
    if (kind == XFC_BORDER_OPTIONAL ? !read_tensors(p, &one, one != NULL)
                                    : sequence && !read_tensors(p, sequence->tensor_values, sequence->n_tensor_values))
        return false;
    const char *name = optional ? optional->name : sequence->name;
    out[0] = elements_of(p, name && *name ? xfc_str(p->file.ctx, name) : NULL);
    out[1] = shapes_of(p);
    out[2] = one_bool(p->file.ctx, sequence != NULL);
    return true;
}

static bool read_texts(parts *p, xfc_mapping bytes, xfc_border kind, const xfc_tensor **out) {
    const Onnx__TensorProto *t = xfc_unpack_tensor(&p->file, bytes);
    (void)kind;
    if (!t || !xfc_onnx_strings(&p->file, t, p->loc, "the tensor", &out[0], &out[1])) return false;
    xfc_tensor *named = xfc_memdup(p->file.ctx->arena, out[0], sizeof *named, _Alignof(xfc_tensor));
    named->name = t->name && *t->name ? xfc_str(p->file.ctx, t->name) : NULL;
    out[0] = named;
    return true;
}

xfc_status xfc_read_parts_pb(xfc_ctx *ctx, const char *path, xfc_border kind, xfc_dtype empty, int64_t rank,
                             const xfc_tensor *out[XFC_BORDER_MOST]) {
    if (kind == XFC_BORDER_TENSOR) return xfc_read_tensor_pb(ctx, path, out);
    xfc_arena *arena = xfc_arena_new();
    const char *name = xfc_str(ctx, path);
    parts p = {.file = xfc_onnx_file_new(ctx, arena, name),
               .loc = {.file = name},
               .rank = rank < 0 ? 0 : rank,
               .dtype = empty};
    xfc_mapping bytes;
    xfc_status status = xfc_map_path(ctx, p.loc, path, &bytes);
    bool (*read)(parts *, xfc_mapping, xfc_border, const xfc_tensor **) =
        kind == XFC_BORDER_TEXT ? read_texts : read_parts;
    if (status == XFC_OK && !read(&p, bytes, kind, out)) status = XFC_ERR_INPUT;
    xfc_arena_free(arena);
    return status;
}

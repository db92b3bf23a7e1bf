/* operators.c - operators on strings (text.h): comparing, matching, joining, splitting, and what StringNormalizer does. */
#include "frontend/onnx/text/regex.h"
#include "frontend/onnx/text/text.h"
#include <string.h>

/* Texts are equal where the first ones that are equal to them are the same. */
void xfc_import_equal(xfc_node *n) {
    const xfc_texts *table;
    if (!n->in_texts[0] && !n->in_texts[1]) {
        xfc_import_binary(n);
        return;
    }
    if (!xfc_node_one_table(n, 3, &table)) return;
    xfc_value *kind = xfc_texts_find(n, table, table);
    n->out[0] = xfc_n2(n, XFC_OP_EQ, xfc_texts_gather(n, kind, n->in[0]), xfc_texts_gather(n, kind, n->in[1]));
}

static xfc_value *constant(xfc_node *n, xfc_dtype t, uint32_t rank, const int64_t *dim, const void *data) {
    return xfc_b_const(n->b, xfc_tensor_copy(n->ctx, t, rank, dim, data, NULL));
}

/* Each text of the table is matched once, by an automaton that is made here. */
void xfc_import_regex_full_match(xfc_node *n) {
    const xfc_texts *t = xfc_node_texts(n, 0);
    const char *pattern = xfc_node_str(n, "pattern", NULL);
    const xfc_regex *r;
    xfc_automaton a;
    if (n->status == XFC_OK && (!pattern || strlen(pattern) != xfc_node_attr(n, "pattern")->s.len))
        xfc_node_fail(n, XFC_ERR_INPUT, "has no attribute 'pattern', or one with a NUL; export the model again");
    if (n->status == XFC_OK) n->status = xfc_regex_parse(n->ctx, n->im->arena, n->loc, pattern, &r);
    if (n->status == XFC_OK) n->status = xfc_regex_compile(n->ctx, n->im->arena, n->loc, r, &a);
    if (n->status != XFC_OK) return;
    const int64_t bytes = 256, dim[2] = {a.n_states, a.n_classes + 1};
    xfc_value *in[] = {t->bytes, t->starts, t->lengths, constant(n, XFC_U8, 1, &bytes, a.class_of),
                       constant(n, XFC_I32, 2, dim, a.next)};
    n->out[0] = xfc_texts_gather(n, xfc_build(n->b, XFC_OP_MATCH_TEXTS, in, XFC_COUNT(in), NULL, 0), n->in[0]);
}

/* The shape that two values broadcast to. */
static xfc_value *broadcast(xfc_node *n, xfc_value *v, xfc_value *onto) {
    return v && onto ? xfc_n2(n, XFC_OP_ADD, v, xfc_n2(n, XFC_OP_MUL, onto, xfc_ni(n, 0))) : NULL;
}

/* Both, one behind the other, are one run of bytes. */
void xfc_import_string_concat(xfc_node *n) {
    const xfc_texts *table;
    if (!xfc_node_texts(n, 0) || !xfc_node_texts(n, 1) || !xfc_node_one_table(n, 3, &table)) return;
    xfc_value *a = broadcast(n, n->in[0], n->in[1]), *b = broadcast(n, n->in[1], n->in[0]);
    if (!a || !b) return;
    const xfc_type t = a->type;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    a = xfc_n_along(n, xfc_texts_flat(n, a), 0, 2), b = xfc_n_along(n, xfc_texts_flat(n, b), 0, 2);
    xfc_value *pair = a && b ? xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){a, b}, 2, &axis, 1) : NULL;
    const xfc_texts *both = pair ? xfc_texts_take(n, table, xfc_texts_flat(n, pair)) : NULL;
    if (!both) return;
    const int64_t axes[1] = {1};
    xfc_value *lengths = xfc_b_reshape(n->b, both->lengths, pair->type.dim, 2);
    lengths = lengths ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, lengths, axes, 1, false) : NULL;
    xfc_result r =
        xfc_texts_all(n, xfc_texts_new(n, both->bytes, xfc_n_place(n, lengths), lengths, true), t.dim, t.rank);
    n->out[0] = r.value, n->out_texts[0] = r.texts;
}

/* --- StringSplit --- */

static xfc_value *delimiter_of(xfc_node *n) {
    const char *text = xfc_node_str(n, "delimiter", "");
    int64_t size = (int64_t)strlen(text);
    return constant(n, XFC_U8, 1, &size, text);
}

/* As many columns as the text with most pieces has; behind the last piece stands an empty one. */
void xfc_import_string_split(xfc_node *n) {
    const xfc_texts *t = xfc_node_texts(n, 0);
    int64_t most = xfc_node_attr(n, "maxsplit") ? xfc_node_int(n, "maxsplit", 0) : -1;
    const xfc_type type = n->in[0]->type;
    const int64_t axes[1] = {0};
    if (type.rank == XFC_MAX_RANK)
        xfc_node_fail(n, XFC_ERR_LIMIT, "makes rank %u; the limit is %d", type.rank + 1, XFC_MAX_RANK);
    t = n->status == XFC_OK ? xfc_texts_take(n, t, xfc_texts_flat(n, n->in[0])) : NULL;
    if (!t) return;
    xfc_value *in[] = {t->bytes, t->starts, t->lengths, delimiter_of(n)};
    xfc_attr keep = xfc_attr_int(XFC_K_KEEP, most < 0 || most > XFC_DIM_MAX ? 0 : most + 1);
    xfc_value *starts = n->status == XFC_OK && in[3] ? xfc_build(n->b, XFC_OP_SPLIT_TEXTS, in, 4, &keep, 1) : NULL;
    if (!starts) return;
    xfc_value *out = starts->def->out, *first = &out[2], *count = &out[3];
    xfc_int columns = XFC_INT_NONE, room = xfc_int_addc(n->ctx, t->bytes->type.dim[0], 1),
            last = xfc_int_addc(n->ctx, starts->type.dim[0], -1), dim[XFC_MAX_RANK];
    xfc_value *widest =
        xfc_n2(n, XFC_OP_MAX, xfc_b_reduce(n->b, XFC_OP_REDUCE_MAX, count, axes, 1, true), xfc_ni(n, 0));
    if (!widest || !xfc_n_define(n, widest, &columns, 1, &room)) return;
    xfc_value *column = xfc_n_iota(n, columns, xfc_int_const(n->ctx, 0), 1, XFC_I64);
    xfc_value *piece = xfc_n2(n, XFC_OP_ADD, xfc_n_along(n, first, 0, 2), column);
    xfc_value *there = xfc_n2(n, XFC_OP_LT, column, xfc_n_along(n, count, 0, 2));
    piece = xfc_n_select(n, there, piece, xfc_b_dims(n->b, &last, -1));
    for (uint32_t d = 0; d < type.rank; d++) dim[d] = type.dim[d];
    dim[type.rank] = columns;
    n->out[0] = xfc_b_reshape(n->b, piece, dim, type.rank + 1);
    n->out_texts[0] = xfc_texts_new(n, t->bytes, starts, &out[1], false);
    if (xfc_node_wants(n, 1)) n->out[1] = xfc_b_reshape(n->b, count, type.dim, type.rank);
}

/* --- StringNormalizer --- */

typedef enum { AS_IT_IS, LOWER, UPPER } change;

/* The texts with letters of the other case, which may be of another size: where they begin and end is looked up. */
static const xfc_texts *changed(xfc_node *n, const xfc_texts *t, change to) {
    if (to == AS_IT_IS || !t) return t;
    const xfc_attr upper = xfc_attr_int(XFC_K_UPPER, to == UPPER);
    xfc_value *bytes = xfc_build(n->b, XFC_OP_CHANGE_CASE, (xfc_value *[]){t->bytes}, 1, &upper, 1);
    xfc_value *place = bytes ? &bytes->def->out[1] : NULL, *start = xfc_texts_gather(n, place, t->starts);
    xfc_value *end = xfc_texts_gather(n, place, xfc_n2(n, XFC_OP_ADD, t->starts, t->lengths));
    xfc_value *length = xfc_n2(n, XFC_OP_SUB, end, start);
    return length ? xfc_texts_new(n, bytes, start, length, false) : NULL;
}

/* Numbers of the texts that are no stop word, or, if there is none, that of the empty text behind all others. */
static xfc_value *without(xfc_node *n, const xfc_texts *t, xfc_value *numbers, const xfc_texts *stop, xfc_int empty) {
    xfc_value *word = xfc_texts_gather(n, xfc_texts_find(n, stop, t), numbers);
    xfc_value *kept = xfc_n2(n, XFC_OP_LT, word, xfc_ni(n, 0));
    xfc_value *place = kept ? xfc_n_places(n, kept, numbers->type.dim[0]) : NULL;
    xfc_value *left = xfc_texts_gather(n, numbers, place), *none = xfc_b_dims(n->b, &empty, 1);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *all = left && none ? xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){left, none}, 2, &axis, 1) : NULL;
    return all ? xfc_n_first(n, all, xfc_int_max(n->ctx, left->type.dim[0], xfc_int_const(n->ctx, 1))) : NULL;
}

static bool read_change(xfc_node *n, change *out) {
    const char *action = xfc_node_str(n, "case_change_action", "NONE");
    *out = !strcmp(action, "LOWER") ? LOWER : !strcmp(action, "UPPER") ? UPPER : AS_IT_IS;
    if (n->status != XFC_OK || *out != AS_IT_IS || !strcmp(action, "NONE")) return n->status == XFC_OK;
    return xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'case_change_action' is '%.20s'; LOWER, UPPER and NONE are known",
                         action),
           false;
}

void xfc_import_string_normalizer(xfc_node *n) {
    const xfc_texts *t = xfc_node_texts(n, 0), *joined;
    const Onnx__AttributeProto *words = xfc_node_attr(n, "stopwords");
    const xfc_type type = n->in[0]->type;
    change to;
    if (!t || !read_change(n, &to)) return;
    if (type.rank < 1 || type.rank > 2 ||
        (type.rank == 2 && !xfc_n_equal(n, type.dim[0], xfc_int_const(n->ctx, 1), "the first dim of two and 1"))) {
        if (n->status == XFC_OK) xfc_node_fail(n, XFC_ERR_INPUT, "takes strings [n] or [1, n]; export the model again");
        return;
    }
    xfc_value *numbers = xfc_texts_flat(n, n->in[0]), *offset;
    if (words && words->n_strings && numbers) {
        bool exact = xfc_node_flag(n, "is_case_sensitive", false);
        const xfc_texts *stop = xfc_texts_of(n, words->strings, words->n_strings);
        const xfc_texts *left = exact ? t : changed(n, t, LOWER), *right = exact ? stop : changed(n, stop, LOWER);
        ProtobufCBinaryData empty = {0};
        xfc_int last = t->lengths->type.dim[0];
        numbers = left && right ? without(n, left, numbers, right, last) : NULL;
        joined = xfc_texts_of(n, &empty, 1);
        t = numbers && joined ? xfc_texts_join(n, t, joined, &offset) : NULL;
    }
    t = changed(n, t, to);
    if (!t || !numbers) return;
    xfc_int dim[2] = {xfc_int_const(n->ctx, 1), numbers->type.dim[0]};
    n->out[0] = type.rank == 2 ? xfc_b_reshape(n->b, numbers, dim, 2) : numbers;
    n->out_texts[0] = t;
}

/* encode.c - LabelEncoder and CategoryMapper: tables of keys and values, each of strings, integers or floats. */
#include "frontend/onnx/control/steps.h"
#include "frontend/onnx/text/text.h"
#include <string.h>

typedef struct { /* a list of constants: one of the two */
    const xfc_texts *texts;
    xfc_value *numbers;
    int64_t n;
} list;

static bool refuse(xfc_node *n, const char *what) {
    return xfc_node_fail(n, XFC_ERR_INPUT, "%s; export the model again", what), false;
}

static xfc_value *numbers(xfc_node *n, xfc_dtype t, int64_t count, const void *data) {
    return xfc_b_const(n->b, xfc_tensor_copy(n->ctx, t, 1, &count, data, NULL));
}

static list texts(xfc_node *n, const ProtobufCBinaryData *text, size_t count) {
    return (list){.texts = xfc_texts_of(n, text, count), .n = (int64_t)count};
}

static list of_tensor(xfc_node *n, const Onnx__AttributeProto *a) {
    list l = {0};
    if (a->t && a->t->data_type == XFC_ONNX_STRING) {
        xfc_result r = xfc_texts_tensor(n, a->t, "an attribute");
        xfc_int count = r.value ? xfc_type_count(n->ctx, &r.value->type) : XFC_INT_NONE;
        l.texts = r.texts;
        if (r.value) (void)xfc_int_value(n->ctx, count, &l.n);
        return l;
    }
    const xfc_tensor *t = xfc_node_tensor(n, a->name);
    if (t) l = (list){.numbers = numbers(n, t->dtype, t->count, t->data), .n = t->count};
    return l;
}

/* What is given as prefix_strings, prefix_int64s, prefix_floats or prefix_tensor. */
static bool read_list(xfc_node *n, const char *prefix, list *out) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n->attrs.n; i++) {
        const Onnx__AttributeProto *a = n->attrs.attr[i];
        size_t k = strlen(prefix);
        if (strncmp(a->name, prefix, k) != 0) continue;
        found++;
        if (!strcmp(a->name + k, "_strings")) *out = texts(n, a->strings, a->n_strings);
        if (!strcmp(a->name + k, "_int64s"))
            *out = (list){NULL, numbers(n, XFC_I64, (int64_t)a->n_ints, a->ints), (int64_t)a->n_ints};
        if (!strcmp(a->name + k, "_floats"))
            *out = (list){NULL, numbers(n, XFC_F32, (int64_t)a->n_floats, a->floats), (int64_t)a->n_floats};
        if (!strcmp(a->name + k, "_tensor")) *out = of_tensor(n, a);
    }
    if (n->status == XFC_OK && found == 1 && (out->texts || out->numbers)) return true;
    return n->status == XFC_OK && refuse(n, xfc_sprintf(n->im->arena, "needs one list of %s", prefix));
}

/* What stands for a key that is not there, as a list of one of the values' type. */
static list default_of(xfc_node *n, const list *values) {
    const Onnx__AttributeProto *a = xfc_node_attr(n, "default_tensor");
    if (a) return of_tensor(n, a);
    if (values->texts) {
        const char *text = xfc_node_str(n, "default_string", "_Unused");
        ProtobufCBinaryData one = {.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
        return texts(n, &one, 1);
    }
    xfc_int one = xfc_int_const(n->ctx, 1);
    xfc_dtype t = values->numbers->type.dtype;
    xfc_value *v = xfc_dtype_is_float(t) ? xfc_b_scalar_f(n->b, t, xfc_node_float(n, "default_float", -0.0))
                                         : xfc_b_scalar_i(n->b, t, xfc_node_int(n, "default_int64", -1));
    return (list){.numbers = v ? xfc_b_reshape(n->b, v, &one, 1) : NULL, .n = 1};
}

/* For each element the number of the key that it is, or that of the default, which is behind all. NaN is equal to NaN. */
static xfc_value *look_up(xfc_node *n, const list *keys) {
    const xfc_type t = n->in[0]->type;
    xfc_value *x = n->in[0], *miss = xfc_ni(n, keys->n);
    if (!keys->texts != !n->in_texts[0]) return (void)refuse(n, "has keys of another type than its operand"), NULL;
    if (keys->texts) {
        xfc_value *at = xfc_texts_gather(n, xfc_texts_find(n, keys->texts, n->in_texts[0]), x);
        return xfc_n_select(n, xfc_n2(n, XFC_OP_LT, at, xfc_ni(n, 0)), miss, at);
    }
    if (keys->numbers->type.dtype != t.dtype || t.rank == XFC_MAX_RANK)
        return (void)refuse(n, "has keys of another type than its operand"), NULL;
    xfc_int column[XFC_MAX_RANK];
    const int64_t last[1] = {t.rank};
    for (uint32_t d = 0; d < t.rank; d++) column[d] = t.dim[d];
    column[t.rank] = xfc_int_const(n->ctx, 1);
    x = xfc_b_reshape(n->b, x, column, t.rank + 1);
    xfc_value *same = xfc_n2(n, XFC_OP_EQ, x, keys->numbers);
    if (xfc_dtype_is_float(t.dtype))
        same = xfc_n2(n, XFC_OP_OR, same,
                      xfc_n2(n, XFC_OP_AND, xfc_n1(n, XFC_OP_ISNAN, x), xfc_n1(n, XFC_OP_ISNAN, keys->numbers)));
    xfc_value *at = xfc_n_select(
        n, same, xfc_n_iota(n, xfc_int_const(n->ctx, keys->n), xfc_int_const(n->ctx, 0), 1, XFC_I64), miss);
    at = at ? xfc_b_reduce(n->b, XFC_OP_REDUCE_MIN, at, last, 1, false) : NULL;
    return xfc_n2(n, XFC_OP_MIN, at, miss); /* the least of no keys is no number of one */
}

static bool is_there(const list *l) { return l->texts || l->numbers; } /* else making it failed */

static void encode(xfc_node *n, const list *keys, const list *values) {
    if (!is_there(keys) || !is_there(values)) return;
    if (keys->n != values->n) (void)refuse(n, "has another number of keys than of values");
    list other = n->status == XFC_OK ? default_of(n, values) : (list){0};
    xfc_value *at = n->status == XFC_OK ? look_up(n, keys) : NULL, *offset;
    if (!at || n->status != XFC_OK) return;
    if (!values->texts != !other.texts || other.n != 1) {
        (void)refuse(n, "has a default that is not one of its values' type");
        return;
    }
    if (values->texts) {
        n->out[0] = at;
        n->out_texts[0] = xfc_texts_join(n, values->texts, other.texts, &offset);
        return;
    }
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *all = xfc_build(n->b, XFC_OP_CONCAT, (xfc_value *[]){values->numbers, other.numbers}, 2, &axis, 1);
    n->out[0] = xfc_texts_gather(n, all, at);
}

static void turn(xfc_node *n, list *l) {
    const xfc_texts *t = l->texts;
    l->numbers = xfc_n_reverse(n, l->numbers, 0);
    if (t)
        l->texts = xfc_texts_new(n, t->bytes, xfc_n_reverse(n, t->starts, 0), xfc_n_reverse(n, t->lengths, 0), false);
}

/* From opset 4 on the last of equal keys counts: then lists are turned around, since a look-up finds the first. */
void xfc_import_label_encoder(xfc_node *n) {
    list keys = {0}, values = {0};
    if (!read_list(n, "keys", &keys) || !read_list(n, "values", &values)) return;
    if (n->opset >= 4) turn(n, &keys), turn(n, &values);
    encode(n, &keys, &values);
}

static list counted(xfc_node *n, int64_t count) {
    xfc_value *v = xfc_n_iota(n, xfc_int_const(n->ctx, count), xfc_int_const(n->ctx, 0), 1, XFC_I64);
    return (list){.numbers = v, .n = count};
}

/* Strings to their numbers in the list, or numbers to strings. */
void xfc_import_label_encoder_1(xfc_node *n) {
    list words = {0};
    if (!read_list(n, "classes", &words)) return;
    list places = counted(n, words.n);
    if (n->in_texts[0])
        encode(n, &words, &places);
    else
        encode(n, &places, &words);
}

/* Strings to the integers beside them, or integers to strings. */
void xfc_import_category_mapper(xfc_node *n) {
    const Onnx__AttributeProto *ints = xfc_node_attr(n, "cats_int64s"), *words = xfc_node_attr(n, "cats_strings");
    if (!ints || !words) {
        (void)refuse(n, "needs cats_int64s and cats_strings");
        return;
    }
    list a = texts(n, words->strings, words->n_strings),
         b = {NULL, numbers(n, XFC_I64, (int64_t)ints->n_ints, ints->ints), (int64_t)ints->n_ints};
    if (n->in_texts[0])
        encode(n, &a, &b);
    else
        encode(n, &b, &a);
}

/* sequence.c - operators on sequences: lists while importing as far as lengths and positions are known then, else flat
 * (sequence.h).
 */
#include "frontend/onnx/sequence/sequence.h"

enum { MAX_LENGTH = 4096 };

xfc_sequence *xfc_sequence_list(xfc_node *n, xfc_dtype t, uint32_t length) {
    if (length > MAX_LENGTH) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "makes a sequence of %u tensors; at most %d are supported", length, MAX_LENGTH);
        return NULL;
    }
    xfc_sequence *s = xfc_new(n->im->arena, xfc_sequence);
    *s = (xfc_sequence){.item = xfc_new_array(n->im->arena, xfc_value *, length + 1u), .n = length, .dtype = t};
    return s;
}

xfc_sequence *xfc_sequence_flat(xfc_node *n, xfc_value *elements, xfc_value *shapes) {
    if (!elements || !shapes) return NULL;
    xfc_sequence *s = xfc_new(n->im->arena, xfc_sequence);
    *s = (xfc_sequence){.elements = elements, .shapes = shapes, .dtype = elements->type.dtype};
    return s;
}

xfc_int xfc_sequence_length(const xfc_node *n, const xfc_sequence *s) {
    return s->item ? xfc_int_const(n->ctx, s->n) : s->shapes->type.dim[0];
}

int64_t xfc_sequence_rank(const xfc_node *n, const xfc_sequence *s) {
    int64_t rank = 0;
    if (!s->item) return xfc_int_value(n->ctx, s->shapes->type.dim[1], &rank) ? rank : -1;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->item[i]->type.rank > rank) rank = s->item[i]->type.rank;
    return rank;
}

uint32_t xfc_sequence_parts(const xfc_sequence *s, xfc_value *out[XFC_MAX_PARTS]) {
    out[0] = s->elements, out[1] = s->shapes, out[2] = s->present;
    return s->present ? 3 : 2;
}

static const xfc_sequence *operand(xfc_node *n) {
    const xfc_sequence *s = n->in_sequence[0];
    if (s && !s->optional && !s->present) return s;
    xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' is not a sequence; export the model again", xfc_node_in_name(n, 0));
    return NULL;
}

/* --- positions --- */

typedef struct {
    bool known;
    uint32_t at;      /* known, from the front */
    xfc_value *value; /* else i64[] */
} position;

/* What an operand gives, for a sequence; `behind`: its end is a position, too. False: the node has failed. */
static bool read_position(xfc_node *n, uint32_t in, const xfc_sequence *s, bool behind, position *out) {
    xfc_value *v = n->in[in];
    xfc_int count = v ? xfc_type_count(n->ctx, &v->type) : XFC_INT_NONE;
    int64_t i;
    *out = (position){0};
    if (!v || !xfc_dtype_is_int(v->type.dtype) || !xfc_int_known(count) ||
        !xfc_n_equal(n, count, xfc_int_const(n->ctx, 1), "the number of positions and 1"))
        return xfc_node_fail(n, XFC_ERR_INPUT, "position '%s' must be one integer; export the model again",
                             xfc_node_in_name(n, in)),
               false;
    const xfc_tensor *t = xfc_node_known(n, v);
    if (!t || !s->item) {
        out->value = xfc_b_cast(n->b, xfc_b_reshape(n->b, v, NULL, 0), XFC_I64);
        if (t || !s->item || s->n || behind) return out->value != NULL;
    }
    i = t ? xfc_tensor_get_i(t, 0) : 0;
    if (i < 0 && i >= -(int64_t)s->n) i += s->n;
    if (i < 0 || i >= (int64_t)s->n + behind)
        return xfc_node_fail(n, XFC_ERR_INPUT, "position '%s' is outside a sequence of %u; export the model again",
                             xfc_node_in_name(n, in), s->n),
               false;
    *out = (position){.known = true, .at = (uint32_t)i};
    return true;
}

static bool same_types(const xfc_sequence *s) {
    for (uint32_t i = 1; i < s->n; i++)
        if (!xfc_type_same(&s->item[i]->type, &s->item[0]->type)) return false;
    return s->n > 0 && s->item[0]->type.rank < XFC_MAX_RANK;
}

/* Of tensors of one type: a row of all of them. */
static xfc_value *pick(xfc_node *n, const xfc_sequence *s, xfc_value *at) {
    xfc_value **row = xfc_new_array(n->im->arena, xfc_value *, s->n);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    for (uint32_t i = 0; i < s->n; i++) {
        const xfc_type *t = &s->item[i]->type;
        xfc_int dim[XFC_MAX_RANK] = {xfc_int_const(n->ctx, 1)};
        for (uint32_t d = 0; d < t->rank; d++) dim[d + 1] = t->dim[d];
        row[i] = xfc_b_reshape(n->b, s->item[i], dim, t->rank + 1);
    }
    xfc_value *all = xfc_build(n->b, XFC_OP_CONCAT, row, s->n, &axis, 1);
    return all ? xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){all, at}, 2, &axis, 1) : NULL;
}

static xfc_value *item_at(xfc_node *n, const xfc_sequence *s, const position *p) {
    if (p->known) return s->item[p->at];
    if (s->item && same_types(s)) return pick(n, s, p->value);
    s = xfc_sequence_flatten(n, s, -1);
    return s ? xfc_flat_at(n, s, p->value) : NULL;
}

/* --- operators --- */

static bool of_one_type(xfc_node *n, xfc_dtype t, const xfc_value *v) {
    if (v && v->type.dtype == t) return true;
    if (v)
        xfc_node_fail(n, XFC_ERR_INPUT, "makes a sequence of %s and %s; cast one of them", xfc_dtype_name(t),
                      xfc_dtype_name(v->type.dtype));
    else
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "makes a sequence of what is no tensor");
    return false;
}

void xfc_import_sequence_construct(xfc_node *n) {
    xfc_sequence *s = xfc_sequence_list(n, n->in[0] ? n->in[0]->type.dtype : XFC_F32, n->n_in);
    for (uint32_t i = 0; s && i < n->n_in && of_one_type(n, s->dtype, n->in[i]); i++) s->item[i] = n->in[i];
    n->out_sequence[0] = s;
}

void xfc_import_sequence_empty(xfc_node *n) {
    xfc_dtype t;
    int64_t given = xfc_node_int(n, "dtype", 1);
    if (xfc_dtype_from_onnx(given, &t))
        n->out_sequence[0] = xfc_sequence_list(n, t, 0);
    else
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "makes a sequence of %s, which is not supported",
                      xfc_onnx_dtype_name(given));
}

void xfc_import_sequence_at(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    position p;
    if (s && read_position(n, 1, s, false, &p)) n->out[0] = item_at(n, s, &p);
}

void xfc_import_sequence_length(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    xfc_int length = s ? xfc_sequence_length(n, s) : XFC_INT_NONE;
    if (s) n->out[0] = xfc_b_dims(n->b, &length, -1);
}

void xfc_import_sequence_insert(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    position p = {.known = s && s->item, .at = s ? s->n : 0};
    if (!s || !of_one_type(n, s->dtype, n->in[1])) return;
    if (xfc_node_has(n, 2) && !read_position(n, 2, s, true, &p)) return;
    if (!p.known) {
        s = xfc_sequence_flatten(n, s, n->in[1]->type.rank);
        n->out_sequence[0] = s ? xfc_flat_insert(n, s, p.value, n->in[1]) : NULL;
        return;
    }
    xfc_sequence *out = xfc_sequence_list(n, s->dtype, s->n + 1);
    for (uint32_t i = 0; out && i < out->n; i++)
        out->item[i] = i < p.at ? s->item[i] : i == p.at ? n->in[1] : s->item[i - 1];
    n->out_sequence[0] = out;
}

void xfc_import_sequence_erase(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    if (s && s->item && !s->n)
        xfc_node_fail(n, XFC_ERR_INPUT, "takes a tensor out of an empty sequence; export the model again");
    if (!s || n->status != XFC_OK) return;
    position p = {.known = s->item, .at = s->n - 1};
    if (xfc_node_has(n, 1) ? !read_position(n, 1, s, false, &p) : !p.known && !(p.value = xfc_ni(n, -1))) return;
    if (!p.known) {
        s = xfc_sequence_flatten(n, s, -1);
        n->out_sequence[0] = s ? xfc_flat_erase(n, s, p.value) : NULL;
        return;
    }
    xfc_sequence *out = xfc_sequence_list(n, s->dtype, s->n - 1);
    for (uint32_t i = 0; out && i < s->n - 1; i++) out->item[i] = s->item[i < p.at ? i : i + 1];
    n->out_sequence[0] = out;
}

void xfc_import_concat_from_sequence(xfc_node *n) {
    const xfc_sequence *s = operand(n);
    bool fresh = xfc_node_flag(n, "new_axis", false);
    if (!s) return;
    if ((s->item && !s->n) || !xfc_node_attr(n, "axis")) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs an axis and at least one tensor; export the model again");
        return;
    }
    int64_t each = s->item ? s->item[0]->type.rank : xfc_sequence_rank(n, s);
    uint32_t rank = (uint32_t)(each < 0 ? 0 : each) + fresh, axis = 0;
    if (each >= 0) axis = xfc_node_axis(n, xfc_node_int(n, "axis", 0), rank);
    if (n->status != XFC_OK) return;
    if (rank > XFC_MAX_RANK) {
        xfc_node_fail(n, XFC_ERR_LIMIT, "makes rank %u; the limit is %d", rank, XFC_MAX_RANK);
        return;
    }
    if (!s->item) {
        n->out[0] = fresh ? xfc_flat_stack(n, s, axis) : xfc_flat_concat(n, s, axis);
        return;
    }
    xfc_value **part = xfc_new_array(n->im->arena, xfc_value *, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        const xfc_type *t = &s->item[i]->type;
        xfc_int dim[XFC_MAX_RANK];
        for (uint32_t d = 0, k = 0; fresh && t->rank + 1 == rank && d < rank; d++)
            dim[d] = d == axis ? xfc_int_const(n->ctx, 1) : t->dim[k++];
        part[i] = fresh && t->rank + 1 == rank ? xfc_b_reshape(n->b, s->item[i], dim, rank) : s->item[i];
    }
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    n->out[0] = xfc_build(n->b, XFC_OP_CONCAT, part, s->n, &attr, 1);
}

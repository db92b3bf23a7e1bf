/* sizes.c - operands that say sizes and axes where only the run knows them.
 *
 * What shape arithmetic knows is a formula of dims (element.c). Any other entry is computed by the model like any value:
 * an importer brings it in tensor arithmetic to what it means (counted from the front, clamped, inferred), then it
 * becomes a symbol of a define. That it is a size is checked when the model runs; an operand that makes no sense is
 * brought to -1, which is none.
 */
#include "frontend/onnx/import.h"
#include "ir/ops/ops.h"
#include <string.h>

enum { MAX_DEFINED = 64 }; /* entries of one operand that only the run knows */
enum { MAX_TRIES = 16 };   /* nodes that read one operand and are looked at */

int64_t xfc_node_declared_rank(const xfc_node *n) {
    const Onnx__GraphProto *g = n->im->model->graph;
    if (n->body->outer || n->body->in_function || !n->proto->n_output) return -1;
    for (size_t i = 0; i < g->n_output; i++) {
        const Onnx__TensorTypeProto *t = g->output[i]->type ? g->output[i]->type->tensor_type : NULL;
        if (t && t->shape && !strcmp(g->output[i]->name, n->proto->output[0])) return (int64_t)t->shape->n_dim;
    }
    return -1;
}

void xfc_node_expect(xfc_node *n, uint32_t in, int times, int64_t more) {
    const xfc_value *v = xfc_node_in(n, in);
    if (!v || v->type.rank > 1 || xfc_type_static(n->ctx, &v->type, NULL, &(int64_t){0})) return;
    int64_t rank = times ? xfc_node_declared_rank(n) : 0, count = times * rank + more;
    if (rank < 0 || count < 0) return;
    xfc_graph_require_equal(n->im->graph, xfc_type_count(n->ctx, &v->type), xfc_int_const(n->ctx, count), n->loc);
}

void xfc_node_tuples(xfc_node *n, int64_t length, int64_t most) {
    const xfc_type t = n->in[1]->type;
    xfc_int dim[XFC_MAX_RANK];
    if (!t.rank || xfc_int_value(n->ctx, t.dim[t.rank - 1], &(int64_t){0}) || length < 1 || length > most) return;
    for (uint32_t d = 0; d < t.rank; d++) dim[d] = t.dim[d];
    dim[t.rank - 1] = xfc_int_const(n->ctx, length);
    if (xfc_n_equal(n, t.dim[t.rank - 1], dim[t.rank - 1], "the last dim of indices and what the ranks say of it"))
        n->in[1] = xfc_b_reshape(n->b, n->in[1], dim, t.rank);
}

bool xfc_node_length(xfc_node *n, uint32_t in, uint32_t *count) {
    int64_t size = 1;
    const xfc_type *t = &n->in[in]->type;
    bool fixed = xfc_type_static(n->ctx, t, NULL, &size), small = fixed && size <= XFC_MAX_CONTENT;
    *count = small ? (uint32_t)size : 0;
    if (small) return true;
    if (fixed)
        return xfc_node_fail(n, XFC_ERR_LIMIT, "operand '%s' has %lld entries", xfc_node_in_name(n, in),
                             (long long)size),
               false;
    n->im->n_unknown++;
    return xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                         "operand '%s' has a length that is not known, so that nobody can know the rank of the result; "
                         "export the model with a fixed length",
                         xfc_node_in_name(n, in)),
           false;
}

const xfc_int *xfc_node_entries(xfc_node *n, uint32_t in, uint32_t *count) {
    *count = 0;
    xfc_value *v = xfc_node_in(n, in);
    uint32_t size;
    if (!v || xfc_value_is_const(v, NULL) || !xfc_dtype_is_int(v->type.dtype) || v->type.rank > 1)
        return xfc_node_dims(n, in, count); /* or what is wrong with it */
    if (!xfc_node_length(n, in, &size)) return NULL;
    xfc_int *out = xfc_new_array(n->im->arena, xfc_int, size + 1u);
    for (uint32_t i = 0; i < size; i++) {
        xfc_int at = xfc_int_const(n->ctx, i);
        out[i] = xfc_element(n->im, v, &at);
        if (xfc_int_known(out[i])) out[i] = xfc_dim_settle(n->im->graph, out[i], n->loc);
    }
    *count = size;
    return out;
}

bool xfc_node_at_run_time(xfc_node *n, uint32_t in) {
    xfc_value *v = xfc_node_in(n, in);
    uint32_t size;
    if (!v || xfc_value_is_const(v, NULL) || !xfc_dtype_is_int(v->type.dtype) || v->type.rank > 1) return false;
    if (!xfc_type_static(n->ctx, &v->type, NULL, &(int64_t){0})) return true;
    if (!xfc_node_length(n, in, &size)) return false;
    for (uint32_t i = 0; i < size; i++) { /* nothing is settled by being asked */
        xfc_int at = xfc_int_const(n->ctx, i);
        if (!xfc_int_known(xfc_element(n->im, v, &at))) return true;
    }
    return false;
}

bool xfc_all_known(const xfc_int *entry, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (!xfc_int_known(entry[i])) return false;
    return true;
}

xfc_value *xfc_node_list(xfc_node *n, uint32_t in) {
    xfc_value *v = xfc_node_in(n, in);
    if (!v) return NULL;
    xfc_int dim[1] = {xfc_type_count(n->ctx, &v->type)};
    return xfc_b_reshape(n->b, xfc_b_cast(n->b, v, XFC_I64), dim, 1);
}

xfc_value *xfc_n_pick(xfc_node *n, xfc_value *list, uint32_t i) {
    return xfc_b_slice_axis(n->b, list, 0, xfc_int_const(n->ctx, i), xfc_int_const(n->ctx, 1), 1);
}

bool xfc_n_define(xfc_node *n, xfc_value *list, xfc_int *entry, uint32_t count, const xfc_int *most) {
    xfc_value *part[MAX_DEFINED];
    xfc_int symbol[MAX_DEFINED];
    uint32_t k = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (xfc_int_known(entry[i])) continue;
        if (k == MAX_DEFINED)
            return xfc_node_fail(n, XFC_ERR_LIMIT, "has more than %d sizes that only the run knows", MAX_DEFINED),
                   false;
        part[k] = xfc_n_pick(n, list, i);
        entry[i] = symbol[k++] =
            xfc_int_let(n->ctx, "size", xfc_int_const(n->ctx, 0), most ? most[i] : xfc_int_const(n->ctx, XFC_DIM_MAX));
    }
    if (!k) return true;
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *counts = k == count ? list : k == 1 ? part[0] : xfc_build(n->b, XFC_OP_CONCAT, part, k, &axis, 1);
    if (xfc_b_define(n->b, counts, symbol, k)) return true;
    if (n->status == XFC_OK) n->status = XFC_ERR_INPUT;
    return false;
}

/* --- operands that several nodes read --- */

/* One operand has one symbol for an entry, whoever reads it, so that results of one shape are seen to have one. As the
 * shape of Reshape it may say more than sizes: entries that are 0 or -1, with which it would be none for the others. */
typedef struct xfc_sizes_read {
    const xfc_body *body; /* of the node */
    bool is_shape, allow_zero;
    xfc_type of;
    const xfc_int *entry;
    uint32_t count;
    struct xfc_sizes_read *before;
} sizes_read;

static sizes_read *reads_of(const xfc_node *n, uint32_t in) { return xfc_map_get_ptr(&n->im->sizes_read, n->in[in]); }

/* Does it surely stand in front of the node? */
static bool is_in_sight(const xfc_node *n, const sizes_read *r) {
    const xfc_body *b = n->body;
    while (b && b != r->body) b = b->outer;
    return b != NULL;
}

static void note_read(xfc_node *n, uint32_t in, sizes_read r) {
    r.body = n->body;
    r.before = reads_of(n, in);
    r.entry = xfc_dup_array(n->im->arena, xfc_int, r.entry, r.count);
    xfc_map_set_ptr(&n->im->sizes_read, n->in[in], xfc_dup_array(n->im->arena, sizes_read, &r, 1));
}

/* Entries that were defined become those of the last node that read them in the other way. */
static void agree(xfc_node *n, uint32_t in, bool with_shape, xfc_int *entry, uint32_t count) {
    const sizes_read *r = reads_of(n, in);
    while (r && (r->is_shape != with_shape || !is_in_sight(n, r))) r = r->before;
    for (uint32_t i = 0; r && i < count; i++) {
        if (xfc_int_value(n->ctx, entry[i], &(int64_t){0}) || xfc_int_same(entry[i], r->entry[i])) continue;
        xfc_graph_require_equal(n->im->graph, entry[i], r->entry[i], n->loc);
        entry[i] = r->entry[i];
    }
}

static bool same_type(const xfc_type *a, const xfc_type *b) {
    bool same = a->rank == b->rank;
    for (uint32_t d = 0; same && d < a->rank; d++) same = xfc_int_same(a->dim[d], b->dim[d]);
    return same;
}

const xfc_int *xfc_shape_read(const xfc_node *n, uint32_t in, const xfc_type *of, bool allow_zero) {
    const sizes_read *r = reads_of(n, in);
    for (uint32_t tries = 0; r && tries < MAX_TRIES; r = r->before, tries++)
        if (r->is_shape && r->allow_zero == allow_zero && same_type(&r->of, of) && is_in_sight(n, r)) return r->entry;
    return NULL;
}

void xfc_note_shape(xfc_node *n, uint32_t in, const xfc_type *of, bool allow_zero, xfc_int *entry, uint32_t count) {
    agree(n, in, false, entry, count);
    note_read(n, in,
              (sizes_read){.is_shape = true, .allow_zero = allow_zero, .of = *of, .entry = entry, .count = count});
}

const xfc_int *xfc_node_sizes(xfc_node *n, uint32_t in, uint32_t *count) {
    const xfc_int *given = xfc_node_entries(n, in, count);
    if (!given || xfc_all_known(given, *count)) return given;
    const sizes_read *r = reads_of(n, in);
    while (r && (r->is_shape || !is_in_sight(n, r))) r = r->before;
    if (r) return r->entry;
    xfc_int *entry = xfc_dup_array(n->im->arena, xfc_int, given, *count);
    if (!xfc_n_define(n, xfc_node_list(n, in), entry, *count, NULL)) return NULL;
    agree(n, in, true, entry, *count);
    note_read(n, in, (sizes_read){.entry = entry, .count = *count});
    return entry;
}

xfc_int xfc_node_size(xfc_node *n, uint32_t in) {
    uint32_t count;
    const xfc_int *size = xfc_node_sizes(n, in, &count);
    if (size && count == 1) return size[0];
    if (size) xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must hold one number", xfc_node_in_name(n, in));
    return xfc_int_const(n->ctx, 1);
}

/* --- arithmetic on lists --- */

xfc_value *xfc_ni(xfc_node *n, int64_t value) { return xfc_b_scalar_i(n->b, XFC_I64, value); }

xfc_value *xfc_n_select(xfc_node *n, xfc_value *cond, xfc_value *yes, xfc_value *no) {
    return cond && yes && no ? xfc_b_select(n->b, cond, yes, no) : NULL;
}

xfc_value *xfc_n_count(xfc_node *n, uint32_t count) {
    return xfc_n_iota(n, xfc_int_const(n->ctx, count), xfc_int_const(n->ctx, 0), 1, XFC_I64);
}

/* Of a list along one axis of a matrix: its sum, of numbers or of conditions. */
static xfc_value *sum_along(xfc_node *n, xfc_value *v, int64_t axis) {
    return v ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, xfc_b_cast(n->b, v, XFC_I64), &axis, 1, false) : NULL;
}

xfc_value *xfc_n_from_front(xfc_node *n, xfc_value *index, xfc_value *size) {
    return xfc_n_select(n, xfc_n2(n, XFC_OP_LT, index, xfc_ni(n, 0)), xfc_n2(n, XFC_OP_ADD, index, size), index);
}

/* [k, rank]: is entry k of the list of axes this axis? */
static xfc_value *named(xfc_node *n, xfc_value *axes, uint32_t rank) {
    xfc_value *column = xfc_n_along(n, xfc_n_from_front(n, axes, xfc_ni(n, rank)), 0, 2);
    return xfc_n2(n, XFC_OP_EQ, column, xfc_n_count(n, rank));
}

xfc_value *xfc_n_axis_flags(xfc_node *n, xfc_value *axes, uint32_t rank, xfc_value **ok) {
    *ok = NULL;
    if (!axes) return NULL;
    xfc_value *times = sum_along(n, named(n, axes, rank), 0);
    xfc_value *flags = xfc_n2(n, XFC_OP_GT, times, xfc_ni(n, 0));
    *ok = xfc_n2(n, XFC_OP_EQ, sum_along(n, flags, 0), xfc_b_dims(n->b, axes->type.dim, -1));
    return flags;
}

xfc_value *xfc_n_spread(xfc_node *n, xfc_value *list, xfc_value *axes, xfc_value *flags, xfc_value *absent) {
    if (!flags) return NULL;
    int64_t rank = 0;
    (void)xfc_int_value(n->ctx, flags->type.dim[0], &rank);
    xfc_value *here = named(n, axes, (uint32_t)rank);
    xfc_value *given = sum_along(n, xfc_n_select(n, here, xfc_n_along(n, list, 0, 2), xfc_ni(n, 0)), 0);
    return xfc_n_select(n, flags, given, absent);
}

xfc_value *xfc_n_sizes_if(xfc_node *n, xfc_value *ok, xfc_value *sizes) {
    return xfc_n_select(n, ok, sizes, xfc_ni(n, -1));
}

xfc_value *xfc_n_place(xfc_node *n, xfc_value *flags) {
    xfc_value *one = flags ? xfc_b_cast(n->b, flags, XFC_I64) : NULL;
    xfc_attr running[] = {xfc_attr_int(XFC_K_AXIS, 0), xfc_attr_int(XFC_K_EXCLUSIVE, 1)};
    return one ? xfc_build(n->b, XFC_OP_CUMSUM, &one, 1, running, 2) : NULL;
}

xfc_value *xfc_n_keep(xfc_node *n, xfc_value *list, xfc_value *flags, uint32_t count) {
    xfc_value *row = xfc_n_along(n, xfc_n_count(n, count), 0, 2);
    xfc_value *here = xfc_n2(n, XFC_OP_AND, xfc_n2(n, XFC_OP_EQ, xfc_n_place(n, flags), row), flags);
    return sum_along(n, xfc_n_select(n, here, list, xfc_ni(n, 0)), 1);
}

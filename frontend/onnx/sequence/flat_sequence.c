/* flat_sequence.c - sequences as two tensors (sequence.h), in operations that the graph has.
 *
 * Where tensors begin is a running sum of the products of their dims. What is taken out has dims that data decides, so
 * they become symbols of a define; whatever the rows of dims say, slices and gathers check that they stay inside the
 * elements.
 */
#include "frontend/onnx/control/steps.h"
#include "frontend/onnx/sequence/sequence.h"

static xfc_value *join(xfc_node *n, xfc_value *const *part, uint32_t count, uint32_t axis) {
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    for (uint32_t i = 0; i < count; i++)
        if (!part[i]) return NULL;
    return count == 1 ? part[0] : xfc_build(n->b, XFC_OP_CONCAT, part, count, &attr, 1);
}

static xfc_value *flat(xfc_node *n, xfc_value *v) {
    xfc_int all = v ? xfc_type_count(n->ctx, &v->type) : XFC_INT_NONE;
    if (!v || xfc_int_known(all)) return xfc_b_reshape(n->b, v, &all, 1);
    return xfc_node_fail(n, XFC_ERR_LIMIT, "makes a sequence of more than 2^63 elements"), NULL;
}

static xfc_value *one_entry(xfc_node *n, xfc_value *v) {
    xfc_int one = xfc_int_const(n->ctx, 1);
    return xfc_b_reshape(n->b, v, &one, 1);
}

static xfc_value *size_value(xfc_node *n, xfc_int size) { return xfc_b_dims(n->b, &size, -1); }

static xfc_value *ints(xfc_node *n, uint32_t rank, const int64_t *dim) {
    return xfc_b_const(n->b,
                       xfc_tensor_new(n->ctx, XFC_I64, rank, dim, xfc_tensor_alloc(n->ctx, XFC_I64, rank, dim), NULL));
}

/* --- one that is a list --- */

/* [1, rank]: the dims of a tensor. */
static xfc_value *row_of(xfc_node *n, const xfc_type *t, uint32_t rank) {
    xfc_int dim[XFC_MAX_RANK], shape[2] = {xfc_int_const(n->ctx, 1), xfc_int_const(n->ctx, rank)};
    if (!rank) return ints(n, 2, (int64_t[]){1, 0});
    for (uint32_t d = 0; d < rank; d++) dim[d] = d < t->rank ? t->dim[d] : xfc_int_const(n->ctx, -1);
    return xfc_b_reshape(n->b, xfc_b_dims(n->b, dim, rank), shape, 2);
}

static xfc_value *nothing(xfc_node *n, xfc_dtype t) {
    xfc_int none = xfc_int_const(n->ctx, 0);
    return xfc_n_splat(n, xfc_tensor_new(n->ctx, t, 0, NULL, xfc_tensor_alloc(n->ctx, t, 0, NULL), NULL), &none, 1);
}

/* Dims that are the same in all of these; rank entries. */
static xfc_int *known_dims(xfc_node *n, const xfc_sequence *s, uint32_t rank) {
    xfc_int *known = xfc_new_array(n->im->arena, xfc_int, rank + 1u);
    for (uint32_t d = 0; d < rank; d++) {
        known[d] = XFC_INT_NONE;
        for (uint32_t i = 0; i < s->n; i++) {
            const xfc_type *t = &s->item[i]->type;
            bool same = t->rank == rank && (i == 0 || (xfc_int_known(known[d]) && xfc_int_same(t->dim[d], known[d])));
            known[d] = same ? t->dim[d] : XFC_INT_NONE;
        }
    }
    return known;
}

static xfc_sequence *flatten_list(xfc_node *n, const xfc_sequence *s, uint32_t rank) {
    xfc_value **part = xfc_new_array(n->im->arena, xfc_value *, s->n + 1u),
              **row = xfc_new_array(n->im->arena, xfc_value *, s->n + 1u);
    for (uint32_t i = 0; i < s->n; i++) {
        part[i] = flat(n, s->item[i]);
        row[i] = row_of(n, &s->item[i]->type, rank);
    }
    xfc_sequence *f = s->n ? xfc_sequence_flat(n, join(n, part, s->n, 0), join(n, row, s->n, 0))
                           : xfc_sequence_flat(n, nothing(n, s->dtype), ints(n, 2, (int64_t[]){0, rank}));
    if (f) f->known = known_dims(n, s, rank);
    return f;
}

/* --- rows of dims --- */

static bool fixed_rank(const xfc_node *n, const xfc_sequence *s, uint32_t *rank) {
    int64_t r = xfc_sequence_rank(n, s);
    *rank = r < 0 ? 0 : (uint32_t)r;
    return r >= 0;
}

/* The rank of what is taken out of it: false and failed if it is not known. */
static bool item_rank(xfc_node *n, const xfc_sequence *s, uint32_t *rank) {
    if (fixed_rank(n, s, rank) && *rank <= XFC_MAX_RANK) return true;
    return xfc_node_fail(
               n, XFC_ERR_UNSUPPORTED,
               "needs to know the rank of the tensors in its sequence; export the model with a shape for them, "
               "of at most %d dims, in which sizes may be open",
               XFC_MAX_RANK),
           false;
}

/* How many elements each tensor has: [length]. */
static xfc_value *sizes_of(xfc_node *n, const xfc_sequence *s) {
    const int64_t axes[1] = {1};
    xfc_value *filled = xfc_n_select(n, xfc_n2(n, XFC_OP_LT, s->shapes, xfc_ni(n, 0)), xfc_ni(n, 1), s->shapes);
    return filled ? xfc_b_reduce(n->b, XFC_OP_REDUCE_PROD, filled, axes, 1, false) : NULL;
}

/* shapes with columns of -1, to be of this rank. */
static xfc_value *widened(xfc_node *n, xfc_value *shapes, uint32_t rank) {
    xfc_int more[2] = {shapes->type.dim[0], xfc_int_sub(n->ctx, xfc_int_const(n->ctx, rank), shapes->type.dim[1])};
    static const int64_t none = -1;
    xfc_value *fill = xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_I64, 0, NULL, &none, NULL), more, 2);
    return join(n, (xfc_value *[]){shapes, fill}, 2, 1);
}

const xfc_sequence *xfc_sequence_flatten(xfc_node *n, const xfc_sequence *s, int64_t least) {
    int64_t rank = xfc_sequence_rank(n, s);
    uint32_t want = (uint32_t)(rank > least ? rank : least);
    if (s->item || rank < 0 || rank < least) {
        xfc_sequence *f;
        if (s->item) {
            f = flatten_list(n, s, want);
        } else if (rank < 0) { /* then it has just this one */
            xfc_int dim[2] = {s->shapes->type.dim[0], xfc_int_const(n->ctx, want)};
            if (least < 0) return s;
            if (!xfc_n_equal(n, s->shapes->type.dim[1], dim[1], "the ranks of tensors of a sequence")) return NULL;
            f = xfc_sequence_flat(n, s->elements, xfc_b_reshape(n->b, s->shapes, dim, 2));
        } else {
            f = xfc_sequence_flat(n, s->elements, widened(n, s->shapes, want));
        }
        if (f) f->optional = s->optional, f->present = s->present;
        return f;
    }
    return s;
}

/* --- what is taken out and put in --- */

xfc_value *xfc_flat_at(xfc_node *n, const xfc_sequence *s, xfc_value *at) {
    xfc_int entry[XFC_MAX_RANK + 1];
    uint32_t rank;
    if (!item_rank(n, s, &rank)) return NULL;
    xfc_value *starts = xfc_n_place(n, sizes_of(n, s));
    xfc_value *part[] = {one_entry(n, xfc_n_gather(n, starts, at, 0)), xfc_n_gather(n, s->shapes, at, 0)};
    xfc_value *list = join(n, part, rank ? 2 : 1, 0);
    for (uint32_t i = 0; i <= rank; i++) entry[i] = XFC_INT_NONE;
    if (!list || !xfc_n_define(n, list, entry, rank + 1, NULL)) return NULL;
    for (uint32_t d = 0; d < rank; d++) {
        if (!s->known || !xfc_int_known(s->known[d])) continue;
        if (!xfc_n_equal(n, entry[d + 1], s->known[d], "a tensor of a sequence and its declared shape")) return NULL;
        entry[d + 1] = s->known[d];
    }
    xfc_int size = xfc_dims_product(n->ctx, entry + 1, rank), all = s->elements->type.dim[0];
    if (!xfc_int_known(size) ||
        !xfc_n_at_most(n, xfc_int_add(n->ctx, entry[0], size), all, "the shapes and the elements of a sequence"))
        return NULL;
    return xfc_b_reshape(n->b, xfc_b_slice_axis(n->b, s->elements, 0, entry[0], size, 1), entry + 1, rank);
}

/* Rows of v from `from` on, to its end. */
static xfc_value *rest(xfc_node *n, xfc_value *v, xfc_int from) {
    return v ? xfc_b_slice_axis(n->b, v, 0, from, xfc_int_sub(n->ctx, v->type.dim[0], from), 1) : NULL;
}

/* v with `skip` rows at `at` replaced by those of `with`, if that is not NULL. */
static xfc_value *spliced(xfc_node *n, xfc_value *v, xfc_int at, xfc_int skip, xfc_value *with) {
    xfc_value *behind = rest(n, v, xfc_int_add(n->ctx, at, skip)), *before = v ? xfc_n_first(n, v, at) : NULL;
    return with ? join(n, (xfc_value *[]){before, with, behind}, 3, 0) : join(n, (xfc_value *[]){before, behind}, 2, 0);
}

/* Of the known dims those that the tensor has, too. */
static xfc_int *known_with(xfc_node *n, const xfc_sequence *s, uint32_t rank, const xfc_type *t) {
    xfc_int *known = xfc_new_array(n->im->arena, xfc_int, rank + 1u);
    for (uint32_t d = 0; d < rank; d++) {
        bool same = s->known && t->rank == rank && xfc_int_known(s->known[d]) && xfc_int_same(s->known[d], t->dim[d]);
        known[d] = same ? t->dim[d] : XFC_INT_NONE;
    }
    return known;
}

const xfc_sequence *xfc_flat_insert(xfc_node *n, const xfc_sequence *s, xfc_value *at, xfc_value *tensor) {
    uint32_t rank = 0;
    s = xfc_sequence_flatten(n, s, tensor->type.rank);
    if (!s || !item_rank(n, s, &rank)) return NULL;
    xfc_value *elements = flat(n, tensor), *row = row_of(n, &tensor->type, rank);
    xfc_int length = s->shapes->type.dim[0], all = s->elements->type.dim[0], place[2] = {length, all};
    const xfc_int most[2] = {length, all};
    if (at) {
        xfc_value *starts =
            join(n, (xfc_value *[]){xfc_n_place(n, sizes_of(n, s)), one_entry(n, size_value(n, all))}, 2, 0);
        at = xfc_n_from_front(n, at, size_value(n, length));
        xfc_value *list =
            join(n, (xfc_value *[]){one_entry(n, at), one_entry(n, xfc_n_gather(n, starts, at, 0))}, 2, 0);
        place[0] = place[1] = XFC_INT_NONE;
        if (!list || !xfc_n_define(n, list, place, 2, most)) return NULL;
    }
    xfc_int none = xfc_int_const(n->ctx, 0);
    xfc_sequence *f = at ? xfc_sequence_flat(n, spliced(n, s->elements, place[1], none, elements),
                                             spliced(n, s->shapes, place[0], none, row))
                         : xfc_sequence_flat(n, join(n, (xfc_value *[]){s->elements, elements}, 2, 0),
                                             join(n, (xfc_value *[]){s->shapes, row}, 2, 0));
    if (f) f->known = known_with(n, s, rank, &tensor->type);
    return f;
}

const xfc_sequence *xfc_flat_erase(xfc_node *n, const xfc_sequence *s, xfc_value *at) {
    xfc_value *sizes = sizes_of(n, s), *starts = xfc_n_place(n, sizes);
    xfc_int length = s->shapes->type.dim[0], all = s->elements->type.dim[0], less = xfc_int_addc(n->ctx, length, -1);
    xfc_value *part[] = {one_entry(n, xfc_n_gather(n, starts, at, 0)), one_entry(n, xfc_n_gather(n, sizes, at, 0)),
                         one_entry(n, size_value(n, less))};
    xfc_value *list = join(n, part, 3, 0);
    xfc_int entry[3] = {XFC_INT_NONE, XFC_INT_NONE, XFC_INT_NONE};
    const xfc_int most[3] = {all, all, length};
    if (!list || !xfc_n_define(n, list, entry, 3, most)) return NULL;
    if (!xfc_n_at_most(n, xfc_int_add(n->ctx, entry[0], entry[1]), all, "the shapes and the elements of a sequence"))
        return NULL;
    xfc_value *row = xfc_n_iota(n, entry[2], xfc_int_const(n->ctx, 0), 1, XFC_I64);
    xfc_value *behind = xfc_n2(n, XFC_OP_GE, row, xfc_n_from_front(n, at, size_value(n, length)));
    row = behind ? xfc_n2(n, XFC_OP_ADD, row, xfc_b_cast(n->b, behind, XFC_I64)) : NULL;
    xfc_sequence *f =
        xfc_sequence_flat(n, spliced(n, s->elements, entry[0], entry[1], NULL), xfc_n_gather(n, s->shapes, row, 0));
    if (f) f->known = s->known;
    return f;
}

/* --- all of them at once --- */

xfc_value *xfc_n_part_of(xfc_node *n, xfc_value *ends, xfc_int total) {
    static const int64_t zero = 0, one = 1;
    if (!ends) return NULL;
    xfc_int slots = xfc_int_addc(n->ctx, total, 1);
    xfc_value *marks[] = {xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_I64, 0, NULL, &zero, NULL), &slots, 1), ends,
                          xfc_n_splat(n, xfc_tensor_copy(n->ctx, XFC_I64, 0, NULL, &one, NULL), ends->type.dim, 1)};
    xfc_attr add[] = {xfc_attr_int(XFC_K_AXIS, 0), xfc_attr_int(XFC_K_REDUCTION, 1)},
             axis = xfc_attr_int(XFC_K_AXIS, 0);
    xfc_value *ended = marks[0] && marks[2] ? xfc_build(n->b, XFC_OP_SCATTER_ELEMENTS, marks, 3, add, 2) : NULL;
    xfc_value *number = ended ? xfc_build(n->b, XFC_OP_CUMSUM, &ended, 1, &axis, 1) : NULL;
    return number ? xfc_n_first(n, number, total) : NULL;
}

static xfc_value *ends_of(xfc_node *n, xfc_value *sizes) { return xfc_n2(n, XFC_OP_ADD, xfc_n_place(n, sizes), sizes); }

static xfc_value *is_axis(xfc_node *n, uint32_t rank, uint32_t axis) {
    return xfc_n2(n, XFC_OP_EQ, xfc_n_count(n, rank), xfc_ni(n, axis));
}

/* The dims that all tensors have, with their sum along `axis` (rank: they agree in all of them), or -1 where they
 * differ: [rank]. */
static xfc_value *common_dims(xfc_node *n, const xfc_sequence *s, uint32_t rank, uint32_t axis) {
    const int64_t both[2] = {0, 1}, rows[1] = {0};
    xfc_value *first = xfc_n_gather(n, s->shapes, xfc_ni(n, 0), 0), *here = is_axis(n, rank, axis);
    xfc_value *same = xfc_n2(n, XFC_OP_OR, xfc_n2(n, XFC_OP_EQ, s->shapes, first), here);
    same = same ? xfc_b_reduce(n->b, XFC_OP_REDUCE_MIN, xfc_b_cast(n->b, same, XFC_I64), both, 2, false) : NULL;
    xfc_value *sums = same ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, s->shapes, rows, 1, false) : NULL;
    return xfc_n_sizes_if(n, xfc_n2(n, XFC_OP_GT, same, xfc_ni(n, 0)), xfc_n_select(n, here, sums, first));
}

/* Those as sizes. */
static bool define_dims(xfc_node *n, const xfc_sequence *s, uint32_t rank, uint32_t axis, xfc_int *dim) {
    xfc_value *list = rank ? common_dims(n, s, rank, axis) : NULL;
    for (uint32_t d = 0; d < rank; d++) dim[d] = XFC_INT_NONE;
    return !rank || (list && xfc_n_define(n, list, dim, rank, NULL));
}

xfc_value *xfc_flat_stack(xfc_node *n, const xfc_sequence *s, uint32_t axis) {
    uint32_t rank;
    xfc_int dim[XFC_MAX_RANK + 1] = {s->shapes->type.dim[0]};
    int64_t perm[XFC_MAX_RANK];
    if (!item_rank(n, s, &rank) || !define_dims(n, s, rank, rank, dim + 1)) return NULL;
    xfc_int all = xfc_dims_product(n->ctx, dim, rank + 1);
    if (!xfc_int_known(all) ||
        !xfc_n_equal(n, all, s->elements->type.dim[0], "the shapes and the elements of a sequence"))
        return NULL;
    for (uint32_t d = 0; d <= rank; d++) perm[d] = d < axis ? d + 1 : d == axis ? 0 : d;
    xfc_value *rows = xfc_b_reshape(n->b, s->elements, dim, rank + 1);
    return rows && axis ? xfc_b_transpose(n->b, rows, perm) : rows;
}

/* Element (a, i, b) of the result is element (a * size + i - start of its tensor along the axis) * B + b of that. */
xfc_value *xfc_flat_concat(xfc_node *n, const xfc_sequence *s, uint32_t axis) {
    uint32_t rank;
    xfc_int dim[XFC_MAX_RANK];
    if (!item_rank(n, s, &rank) || !define_dims(n, s, rank, axis, dim)) return NULL;
    xfc_int zero = xfc_int_const(n->ctx, 0), before = xfc_dims_product(n->ctx, dim, axis),
            behind = xfc_dims_product(n->ctx, dim + axis + 1, rank - axis - 1), length = s->shapes->type.dim[0];
    if (!xfc_int_known(before) || !xfc_int_known(behind))
        return xfc_node_fail(n, XFC_ERR_LIMIT, "makes more than 2^63 elements"), NULL;
    xfc_value *sizes = xfc_b_slice_axis(n->b, s->shapes, 1, xfc_int_const(n->ctx, axis), xfc_int_const(n->ctx, 1), 1);
    sizes = xfc_b_reshape(n->b, sizes, &length, 1);
    xfc_value *in = xfc_n_part_of(n, ends_of(n, sizes), dim[axis]), *width = size_value(n, behind);
    xfc_value *place = xfc_n_iota(n, dim[axis], zero, 1, XFC_I64);
    place = xfc_n2(n, XFC_OP_SUB, place, xfc_n_gather(n, xfc_n_place(n, sizes), in, 0));
    xfc_value *start = xfc_n_gather(n, xfc_n_place(n, sizes_of(n, s)), in, 0), *size = xfc_n_gather(n, sizes, in, 0);
    if (!place || !start || !size) return NULL;
    xfc_value *row = xfc_n_along(n, xfc_n_iota(n, before, zero, 1, XFC_I64), 0, 3);
    row = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, row, xfc_n_along(n, size, 1, 3)), xfc_n_along(n, place, 1, 3));
    row = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, row, width), xfc_n_along(n, start, 1, 3));
    row = xfc_n2(n, XFC_OP_ADD, row, xfc_n_iota(n, behind, zero, 1, XFC_I64));
    return xfc_b_reshape(n->b, xfc_n_gather(n, s->elements, row, 0), dim, rank);
}

/* Rows of dims of the parts: those of x, with their own sizes along the axis, or without it. */
static xfc_value *shapes_of_parts(xfc_node *n, const xfc_type *t, uint32_t axis, xfc_value *sizes, bool keep) {
    xfc_int dim[2] = {sizes->type.dim[0], xfc_int_const(n->ctx, t->rank - 1)}, left[XFC_MAX_RANK];
    if (keep)
        return xfc_n_select(n, is_axis(n, t->rank, axis), xfc_n_along(n, sizes, 0, 2),
                            xfc_b_dims(n->b, t->dim, t->rank));
    for (uint32_t d = 0, k = 0; d < t->rank; d++)
        if (d != axis) left[k++] = t->dim[d];
    xfc_value *row = t->rank > 1 ? xfc_b_dims(n->b, left, t->rank - 1) : ints(n, 1, (int64_t[]){0});
    return row ? xfc_b_expand(n->b, row, dim, 2) : NULL;
}

/* Element q of a part is element (q / (size * B) * D + start) * B + q mod (size * B) of x. */
static xfc_value *elements_of_parts(xfc_node *n, xfc_value *x, uint32_t axis, xfc_value *sizes) {
    const xfc_type *t = &x->type;
    xfc_int all = xfc_type_count(n->ctx, t), before = xfc_dims_product(n->ctx, t->dim, axis),
            behind = xfc_dims_product(n->ctx, t->dim + axis + 1, t->rank - axis - 1);
    x = flat(n, x);
    if (!x || xfc_int_is(n->ctx, before, 1)) return x;
    xfc_value *width = size_value(n, behind), *block = xfc_n2(n, XFC_OP_MUL, size_value(n, before), width);
    xfc_value *in = xfc_n_part_of(n, xfc_n2(n, XFC_OP_MUL, ends_of(n, sizes), block), all);
    xfc_value *start = xfc_n_gather(n, xfc_n_place(n, sizes), in, 0),
              *row = xfc_n2(n, XFC_OP_MUL, xfc_n_gather(n, sizes, in, 0), width);
    xfc_value *at = xfc_n_iota(n, all, xfc_int_const(n->ctx, 0), 1, XFC_I64);
    at = xfc_n2(n, XFC_OP_SUB, at, xfc_n2(n, XFC_OP_MUL, start, block));
    xfc_value *from = xfc_n2(n, XFC_OP_MUL, xfc_n2(n, XFC_OP_DIV, at, row), size_value(n, t->dim[axis]));
    from = xfc_n2(n, XFC_OP_MUL, xfc_n2(n, XFC_OP_ADD, from, start), width);
    return xfc_n_gather(n, x, xfc_n2(n, XFC_OP_ADD, from, xfc_n2(n, XFC_OP_MOD, at, row)), 0);
}

/* The size of all parts, if they have one that is known: repeat_interleave of torch splits a length that is open by ones. */
static xfc_int common_size(xfc_node *n, const xfc_value *sizes) {
    xfc_int any = xfc_int_axis(n->ctx, "part", sizes->type.dim[0]), size = xfc_element(n->im, sizes, &any);
    return xfc_int_known(size) && xfc_int_value(n->ctx, size, &(int64_t){0}) ? size : XFC_INT_NONE;
}

const xfc_sequence *xfc_flat_split(xfc_node *n, xfc_value *x, uint32_t axis, xfc_value *sizes, bool keep) {
    const xfc_type *t = &x->type;
    if (!sizes) return NULL;
    xfc_sequence *f =
        xfc_sequence_flat(n, elements_of_parts(n, x, axis, sizes), shapes_of_parts(n, t, axis, sizes, keep));
    if (!f) return NULL;
    f->known = xfc_new_array(n->im->arena, xfc_int, t->rank + 1u);
    for (uint32_t d = 0, k = 0; d < t->rank; d++)
        if (keep || d != axis) f->known[k++] = d == axis ? common_size(n, sizes) : t->dim[d];
    return f;
}

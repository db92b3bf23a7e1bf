/* loop.c - Loop: a loop op whose body is a graph of the file (steps.h).
 *
 * What each step gives (scan outputs) becomes a list with a row for each step that there may be. Where a step can say
 * that it was the last one, one list more counts the steps, and the others are cut to as many rows. Where nothing bounds
 * the number of steps a list is carried instead, and each step appends to it.
 *
 * A sequence is carried as the tensors that it is (sequence.h), with rows of dims as long as any step makes them.
 */
#include "frontend/onnx/control/steps.h"
#include "frontend/onnx/sequence/sequence.h"
#include "ir/defined.h"
#include "ir/ops/ops.h"

typedef struct {
    xfc_node *n;
    const Onnx__GraphProto *g;
    const xfc_sequence **at_first;    /* flat: of what the node carries, where that is no tensor */
    uint32_t n_given, n_own, n_lists; /* what the node carries, of how many values, and lists */
    xfc_value **carried;              /* at first; where lists are appended to, these, too */
    uint32_t n_carried;
    bool *held;          /* an optional sequence that a step makes a sequence, as which it then goes out */
    int64_t *rank;       /* of at_first: the least length of its rows */
    bool appends, wider; /* wider: a step made rows longer than those at first, which `rank` then says */
    xfc_value *trip, *cond;
    xfc_int rows; /* of lists, if there are any */
    xfc_steps steps;
} loop;

static bool is_one(const xfc_ctx *c, const xfc_value *v, xfc_dtype t) {
    int64_t count;
    return v->type.dtype == t && xfc_type_static(c, &v->type, NULL, &count) && count == 1;
}

/* The operand as a scalar, or what stands for it where it is left out. */
static xfc_value *scalar(xfc_node *n, uint32_t in, xfc_dtype t, int64_t absent) {
    xfc_value *v = xfc_node_in(n, in);
    if (!v) return xfc_b_scalar_i(n->b, t, absent);
    if (is_one(n->ctx, v, t)) return xfc_b_reshape(n->b, v, NULL, 0);
    xfc_node_fail(n, XFC_ERR_INPUT, "operand '%s' must be one %s; export the model again", xfc_node_in_name(n, in),
                  xfc_dtype_name(t));
    return NULL;
}

/* As many as the number of steps says; where only the run knows that, a symbol. */
static bool count_rows(loop *l) {
    xfc_node *n = l->n;
    xfc_int zero = xfc_int_const(n->ctx, 0), one = xfc_int_const(n->ctx, 1);
    int64_t lo, hi;
    l->n_lists = n->n_out - l->n_given;
    if (!l->n_lists) return true;
    l->rows = xfc_element(n->im, l->trip, NULL);
    if (!xfc_int_known(l->rows)) {
        xfc_value *rows = xfc_b_reshape(n->b, xfc_n2(n, XFC_OP_MAX, l->trip, xfc_ni(n, 0)), &one, 1);
        return rows && xfc_n_define(n, rows, &l->rows, 1, NULL);
    }
    l->rows = xfc_int_max(n->ctx, l->rows, zero);
    xfc_int_range(n->ctx, l->rows, &lo, &hi);
    l->appends = lo >= XFC_DIM_MAX;
    return true;
}

/* What it carries at first, value by value. */
static bool read_carried(loop *l) {
    xfc_node *n = l->n;
    xfc_value **value = xfc_new_array(n->im->arena, xfc_value *, XFC_MAX_PARTS * l->n_given + 1u);
    l->n_own = 0;
    for (uint32_t i = 0; i < l->n_given; i++) {
        const xfc_sequence *s = n->in_sequence[i + 2];
        if (s && !(s = xfc_sequence_flatten(n, s, l->rank[i]))) return false;
        if (!s && !n->in[i + 2])
            return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand %u is missing; give it a value", i + 2), false;
        if (s)
            l->n_own += xfc_sequence_parts(s, value + l->n_own);
        else
            value[l->n_own++] = n->in[i + 2];
        l->at_first[i] = s;
    }
    l->carried = value, l->n_carried = l->n_own;
    return true;
}

static bool read_operands(loop *l) {
    xfc_node *n = l->n;
    l->g = xfc_node_graph(n, "body");
    if (!l->g) return false;
    l->n_given = n->n_in > 2 ? n->n_in - 2 : 0;
    l->at_first = xfc_new_array(n->im->arena, const xfc_sequence *, l->n_given + 1u);
    l->held = xfc_new_array(n->im->arena, bool, l->n_given + 1u);
    l->rank = xfc_new_array(n->im->arena, int64_t, l->n_given + 1u);
    for (uint32_t i = 0; i < l->n_given; i++) l->rank[i] = -1;
    if (l->g->n_input != l->n_given + 2 || l->g->n_output != n->n_out + 1u || n->n_out < l->n_given)
        return xfc_node_fail(
                   n, XFC_ERR_INPUT,
                   "with %u values to carry and %u outputs has a body of %zu inputs and %zu outputs, not %u and "
                   "%u; export the model again",
                   l->n_given, n->n_out, l->g->n_input, l->g->n_output, l->n_given + 2, n->n_out + 1),
               false;
    l->trip = scalar(n, 0, XFC_I64, INT64_MAX);
    l->cond = scalar(n, 1, XFC_BOOL, 1);
    return n->status == XFC_OK && l->trip && l->cond && read_carried(l) && count_rows(l);
}

/* One that the file declares with a dim has one. */
static xfc_value *shaped(loop *l, uint32_t input, xfc_value *v) {
    const Onnx__TypeProto *t = l->g->input[input]->type;
    const Onnx__TensorShapeProto *shape = t && t->tensor_type ? t->tensor_type->shape : NULL;
    xfc_int one = xfc_int_const(l->n->ctx, 1);
    return shape && shape->n_dim == 1 ? xfc_b_reshape(l->n->b, v, &one, 1) : v;
}

/* What is carried into a step from value `at` on, as the body knows it. */
static xfc_result carried_in(loop *l, uint32_t i, xfc_value *value) {
    const xfc_sequence *first = l->at_first[i];
    if (!first) {
        value->name = xfc_str(l->n->ctx, l->g->input[i + 2]->name);
        return (xfc_result){.value = value};
    }
    xfc_sequence *s = xfc_sequence_flat(l->n, value, value + 1);
    s->optional = first->optional;
    s->present = first->present ? value + 2 : NULL;
    return (xfc_result){.sequence = s};
}

/* Output i behind a step, as the values that are carried next; how many, 0: it has failed, or must begin wider. */
static uint32_t carried_out(loop *l, uint32_t i, xfc_result out, xfc_value **value) {
    xfc_node *n = l->n;
    const xfc_sequence *first = l->at_first[i], *s = out.sequence;
    if (!first) return (*value = xfc_plain(n, out, "output", i + 1)) != NULL;
    if (!s && !out.value) return 0;
    if (s && first->present && !s->present) { /* from then on it is there */
        s = xfc_sequence_optional(n, s, true);
        l->held[i] = true;
    }
    if (!s || s->dtype != first->dtype || s->optional != first->optional || !s->present != !first->present) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                      "carries a sequence or an optional as output %u, which is of another type behind a step", i);
        return 0;
    }
    int64_t rank = xfc_sequence_rank(n, first);
    s = xfc_sequence_flatten(n, s, rank);
    if (s && rank >= 0 && xfc_sequence_rank(n, s) > rank) {
        l->rank[i] = xfc_sequence_rank(n, s);
        l->wider = true;
        return 0;
    }
    return s ? xfc_sequence_parts(s, value) : 0;
}

/* The results of its body, value by value; NULL: reported, or wider. */
static xfc_value **import_once(loop *l) {
    xfc_node *n = l->n;
    xfc_result *input = xfc_new_array(n->im->arena, xfc_result, l->n_given + 2);
    input[0].value = shaped(l, 0, l->steps.number);
    input[1].value = shaped(l, 1, xfc_b_scalar_i(n->b, XFC_BOOL, 1)); /* or the body would not run */
    for (uint32_t i = 0, at = 0; i < l->n_given; i++) {
        input[i + 2] = carried_in(l, i, &l->steps.in[at]);
        at += !l->at_first[i] ? 1 : l->at_first[i]->present ? 3 : 2;
    }
    const xfc_result *out = input[0].value && input[1].value ? xfc_import_inner(n, l->g, "body", input) : NULL;
    if (!out || n->status != XFC_OK) return NULL;
    xfc_value **value = xfc_new_array(n->im->arena, xfc_value *, XFC_MAX_PARTS * l->g->n_output);
    uint32_t at = 1;
    if (!(value[0] = xfc_plain(n, out[0], "output", 0))) return NULL;
    for (uint32_t i = 0; i < l->n_given; i++) {
        uint32_t parts = carried_out(l, i, out[i + 1], value + at);
        if (!parts) return NULL;
        at += parts;
    }
    for (uint32_t i = l->n_given; i < n->n_out; i++)
        if (!(value[at++] = xfc_plain(n, out[i + 1], "output", i + 1))) return NULL;
    return n->status == XFC_OK ? value : NULL;
}

static xfc_value **import_body(loop *l) {
    for (;;) {
        xfc_value **out = import_once(l);
        if (!l->wider) return out;
        l->wider = false;
        xfc_steps_drop(&l->steps);
        if (!read_carried(l)) return NULL;
        xfc_steps_begin(&l->steps, l->n, l->carried, l->n_carried);
    }
}

static bool is_true(const xfc_value *v) {
    const xfc_tensor *t;
    return v && xfc_value_is_const(v, &t) && xfc_tensor_get_i(t, 0) != 0;
}

/* A row of a list; sizes that data decides are those that the file declares, if it does, which each step checks. */
static xfc_value *row(loop *l, uint32_t output, xfc_value *v) {
    const Onnx__TypeProto *t = l->g->output[output]->type;
    const Onnx__TensorShapeProto *shape = t && t->tensor_type ? t->tensor_type->shape : NULL;
    if (!shape || shape->n_dim != v->type.rank) return v;
    xfc_type declared = v->type;
    for (uint32_t d = 0; d < v->type.rank; d++)
        if (shape->dim[d]->has_dim_value && shape->dim[d]->dim_value >= 0)
            declared.dim[d] = xfc_int_const(l->n->ctx, shape->dim[d]->dim_value);
    return xfc_steps_may_be(&l->steps, &declared, &v->type) ? xfc_b_reshape(l->n->b, v, declared.dim, declared.rank)
                                                            : v;
}

static xfc_value *append(loop *l, xfc_value *list, xfc_value *row) {
    xfc_node *n = l->n;
    xfc_type t = list->type;
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    t.dim[0] = xfc_int_const(n->ctx, 1);
    xfc_value *part[] = {list, xfc_b_reshape(n->b, row, t.dim, t.rank)};
    return part[1] ? xfc_build(n->b, XFC_OP_CONCAT, part, 2, &axis, 1) : NULL;
}

/* Whether to go on, what is carried next and rows, with room for one more; NULL: reported. */
static xfc_value **results(loop *l, xfc_value *const *out) {
    xfc_node *n = l->n;
    const uint32_t all = 1 + l->n_own + l->n_lists;
    xfc_value **good = xfc_new_array(n->im->arena, xfc_value *, all + 1);
    for (uint32_t i = 0; i < all; i++) {
        good[i] = i > l->n_own ? row(l, i - l->n_own + l->n_given, out[i]) : out[i];
        if (i > l->n_own && good[i] && l->n_carried > l->n_own) good[i] = append(l, &l->steps.in[i - 1], good[i]);
        if (!good[i]) return NULL;
    }
    if (!is_one(n->ctx, out[0], XFC_BOOL))
        return xfc_node_fail(n, XFC_ERR_INPUT, "output 0 of its body must be one bool; export the model again"), NULL;
    good[0] = xfc_b_reshape(n->b, out[0], NULL, 0);
    return good[0] ? good : NULL;
}

/* A list without rows, of rows like this one. */
static xfc_value *empty_list(loop *l, uint32_t at, const xfc_type *row) {
    xfc_node *n = l->n;
    const xfc_defined lets = {.ctx = n->ctx, .lets = true};
    xfc_int dim[XFC_MAX_RANK] = {xfc_int_const(n->ctx, 0)};
    bool fits = row->rank < XFC_MAX_RANK;
    for (uint32_t d = 0; d < row->rank && fits; d++) {
        dim[d + 1] = row->dim[d];
        fits = !xfc_defined_in(&lets, row->dim[d]);
    }
    xfc_value *zero =
        xfc_dtype_is_float(row->dtype) ? xfc_b_scalar_f(n->b, row->dtype, 0) : xfc_b_scalar_i(n->b, row->dtype, 0);
    if (fits) return xfc_b_expand(n->b, zero, dim, row->rank + 1);
    xfc_node_fail(n, XFC_ERR_UNSUPPORTED,
                  "output %u lists what each step gives, %s; rows of a list must have one size and at most %d dims", at,
                  xfc_type_text(n->ctx, row), XFC_MAX_RANK - 1);
    return NULL;
}

/* What rows look like is known once the body was imported: then it begins anew, with lists among what it carries. */
static bool carry_lists(loop *l) {
    xfc_node *n = l->n;
    xfc_value **out = import_body(l), **rows = out ? results(l, out) : NULL;
    const uint32_t all = l->n_own + l->n_lists;
    xfc_value **carried = xfc_new_array(n->im->arena, xfc_value *, all);
    xfc_steps_drop(&l->steps);
    for (uint32_t i = 0; rows && i < all; i++) {
        carried[i] = i < l->n_own ? l->carried[i] : empty_list(l, i - l->n_own + l->n_given, &rows[i + 1]->type);
        if (!carried[i]) return false;
    }
    l->carried = carried, l->n_carried = all;
    if (rows) xfc_steps_begin(&l->steps, n, carried, all);
    return rows != NULL;
}

/* The body, imported until it is known which dims change; NULL: it was dropped. */
static xfc_value **make_body(loop *l) {
    xfc_steps_begin(&l->steps, l->n, l->carried, l->n_carried);
    if (l->appends && !carry_lists(l)) return NULL;
    for (;;) {
        xfc_value **out = import_body(l), **good = out ? results(l, out) : NULL;
        bool again = good && xfc_steps_change(&l->steps, good + 1);
        if (again) continue;
        if (good && l->n->status == XFC_OK) return good;
        xfc_steps_drop(&l->steps);
        return NULL;
    }
}

/* The lists up to the last step that was made, as the sum of a list of ones tells. */
static void cut_lists(loop *l, const xfc_op *op) {
    xfc_node *n = l->n;
    const int64_t axes[1] = {0};
    xfc_int zero = xfc_int_const(n->ctx, 0), made = xfc_int_let(n->ctx, "steps", zero, l->rows);
    xfc_value *count = xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, &op->out[l->n_own + l->n_lists], axes, 1, true);
    if (!count || !xfc_b_define(n->b, count, &made, 1)) return;
    for (uint32_t i = l->n_given; i < n->n_out; i++) n->out[i] = xfc_n_first(n, n->out[i], made);
}

static const xfc_sequence *gone_out(loop *l, uint32_t i, const xfc_sequence *s) {
    return l->held[i] ? xfc_sequence_in(l->n, s) : s;
}

void xfc_import_loop(xfc_node *n) {
    loop l = {.n = n};
    if (!read_operands(&l)) return;
    xfc_value **out = make_body(&l);
    if (!out) return;
    const uint32_t all = l.n_own + l.n_lists, lists = all - l.n_carried;
    bool counts = lists && !(is_true(l.cond) && is_true(out[0]));
    if (counts) out[1 + all] = xfc_b_scalar_i(n->b, XFC_I64, 1);
    xfc_op *op = xfc_steps_end(&l.steps, l.trip, l.cond, out, lists + counts, l.rows);
    if (!op) return;
    for (uint32_t i = 0, at = 0; i < n->n_out; i++) {
        const xfc_sequence *s = i < l.n_given ? l.at_first[i] : NULL;
        if (s)
            n->out_sequence[i] = gone_out(&l, i, carried_in(&l, i, &op->out[at]).sequence);
        else
            n->out[i] = &op->out[at];
        at += !s ? 1 : s->present ? 3 : 2;
    }
    if (counts) cut_lists(&l, op);
}

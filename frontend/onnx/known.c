/* known.c - numbers that an exporter computes in floats.
 *
 * Shape arithmetic passes through floats where a model says so: int(math.sqrt(patches)), ceil(height / 2) * 2. Symbolic
 * contents track integers only; so where a float becomes an integer, or must be known itself, the ops behind it are run at
 * once if all they read are constants, or integers whose contents are numbers. The result is a content like any other.
 */
#include "frontend/onnx/import.h"
#include "ir/eval/eval.h"

#include <string.h>

enum { MAX_DEPTH = 24, MAX_OPS = 64, MAX_ELEMENTS = 64 };

typedef struct {
    const xfc_node *n;
    xfc_arena *temp;
    uint32_t n_ops; /* run so far: a value that is read twice is computed twice */
} evaluator;

static bool is_small(const xfc_ctx *c, const xfc_type *t, xfc_array *out) {
    *out = (xfc_array){.dtype = t->dtype, .rank = t->rank};
    return xfc_type_static(c, t, out->dim, &out->count) && out->count <= MAX_ELEMENTS;
}

/* The value's contents, if all are numbers. */
static bool from_content(const evaluator *e, const xfc_value *v, xfc_array *out) {
    if (!v->content || !is_small(e->n->ctx, &v->type, out)) return false;
    out->data = xfc_alloc_array(e->temp, MAX_ELEMENTS, sizeof(int64_t), 64);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t x;
        if (!xfc_int_known(v->content[i]) || !xfc_int_value(e->n->ctx, v->content[i], &x)) return false;
        xfc_element_set_i(v->type.dtype, out->data, i, x);
    }
    return true;
}

static bool run(evaluator *e, const xfc_value *v, uint32_t depth, xfc_array *out) {
    const xfc_tensor *t;
    const xfc_op *op = v->def;
    if (xfc_value_is_const(v, &t)) {
        if (!is_small(e->n->ctx, &v->type, out)) return false;
        out->data = (void *)(uintptr_t)t->data;
        return true;
    }
    if (from_content(e, v, out)) return true;
    if (!op || depth == MAX_DEPTH || ++e->n_ops > MAX_OPS || op->n_out != 1 || op->n_in == 0 || op->n_in > MAX_ELEMENTS)
        return false;
    xfc_array *in = xfc_new_array(e->temp, xfc_array, op->n_in);
    for (uint32_t i = 0; i < op->n_in; i++)
        if (op->in[i].value && !run(e, op->in[i].value, depth + 1, &in[i])) return false;
    return is_small(e->n->ctx, &v->type, out) && xfc_eval_op(op, in, out, e->temp, NULL, NULL) == XFC_OK;
}

const xfc_tensor *xfc_node_known(const xfc_node *n, const xfc_value *v) {
    const xfc_tensor *t = NULL;
    if (!v || xfc_value_is_const(v, &t)) return t;
    evaluator e = {.n = n, .temp = xfc_arena_new()};
    xfc_array out;
    if (run(&e, v, 0, &out)) t = xfc_tensor_copy(n->ctx, out.dtype, out.rank, out.dim, out.data, NULL);
    xfc_arena_free(e.temp);
    return t;
}

void xfc_node_track(const xfc_node *n, xfc_value *v) {
    if (!v || v->content || xfc_dtype_is_float(v->type.dtype)) return;
    const xfc_tensor *t = xfc_node_known(n, v);
    if (!t || t->count > MAX_ELEMENTS) return;
    xfc_int *content = xfc_new_array(n->im->graph->arena, xfc_int, (size_t)t->count + 1);
    for (int64_t i = 0; i < t->count; i++) content[i] = xfc_int_const(n->ctx, xfc_tensor_get_i(t, i));
    v->content = content;
}

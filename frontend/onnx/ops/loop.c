/* loop.c - Loop: a loop op whose body is made anew from what it carries.
 *
 * What is carried keeps its element type and shape; as it depends on the steps before, nothing is known of it when its
 * body is imported. Its place is held there by an op without a meaning (formals), whose results become the first inputs
 * of the body. A list of what each step gives (scan outputs) would be as long as the loop runs, which data decides:
 * refused.
 */
#include "frontend/onnx/import.h"
#include "ir/ops/ops.h"
#include "ir/program.h"

typedef struct {
    xfc_node *n;
    const Onnx__GraphProto *g;
    uint32_t n_carried;
    xfc_value **carried; /* at first */
    xfc_value *trip, *cond;
    xfc_op *formals; /* number of the step, then what is carried */
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

static bool read_operands(loop *l) {
    xfc_node *n = l->n;
    l->g = xfc_node_graph(n, "body");
    if (!l->g) return false;
    l->n_carried = n->n_in > 2 ? n->n_in - 2 : 0;
    l->carried = n->in + 2;
    if (l->g->n_input != l->n_carried + 2 || l->g->n_output != n->n_out + 1u || n->n_out < l->n_carried)
        return xfc_node_fail(
                   n, XFC_ERR_INPUT,
                   "with %u values to carry and %u outputs has a body of %zu inputs and %zu outputs, not %u and "
                   "%u; export the model again",
                   l->n_carried, n->n_out, l->g->n_input, l->g->n_output, l->n_carried + 2, n->n_out + 1),
               false;
    if (n->n_out > l->n_carried)
        return xfc_node_fail(
                   n, XFC_ERR_UNSUPPORTED,
                   "output %u lists what each step gives, as many as the loop runs; write it to a tensor that "
                   "the loop carries",
                   l->n_carried),
               false;
    for (uint32_t i = 0; i < l->n_carried; i++)
        if (!l->carried[i])
            return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand %u is missing or no tensor; give it a value", i + 2),
                   false;
    l->trip = scalar(n, 0, XFC_I64, INT64_MAX);
    l->cond = scalar(n, 1, XFC_BOOL, 1);
    return n->status == XFC_OK && l->trip && l->cond;
}

/* One that the file declares with a dim has one. */
static xfc_value *shaped(loop *l, uint32_t input, xfc_value *v) {
    const Onnx__TypeProto *t = l->g->input[input]->type;
    const Onnx__TensorShapeProto *shape = t && t->tensor_type ? t->tensor_type->shape : NULL;
    xfc_int one = xfc_int_const(l->n->ctx, 1);
    return shape && shape->n_dim == 1 ? xfc_b_reshape(l->n->b, v, &one, 1) : v;
}

static xfc_value **import_body(loop *l) {
    xfc_node *n = l->n;
    xfc_op *f = xfc_op_new(n->im->graph, NULL, XFC_OP_KERNEL, NULL, 0, l->n_carried + 1, NULL, 0, n->loc);
    l->formals = f;
    f->out[0].type = xfc_type_make(XFC_I64, 0, NULL);
    for (uint32_t i = 0; i < l->n_carried; i++) {
        f->out[i + 1].type = l->carried[i]->type;
        f->out[i + 1].name = xfc_str(n->ctx, l->g->input[i + 2]->name);
    }
    xfc_value **input = xfc_new_array(n->im->arena, xfc_value *, l->n_carried + 2);
    input[0] = shaped(l, 0, &f->out[0]);
    input[1] = shaped(l, 1, xfc_b_scalar_i(n->b, XFC_BOOL, 1)); /* or the body would not run */
    for (uint32_t i = 0; i < l->n_carried; i++) input[i + 2] = &f->out[i + 1];
    return input[0] && input[1] ? xfc_import_inner(n, l->g, "body", input) : NULL;
}

static bool stays(loop *l, uint32_t i, const xfc_value *next) {
    const xfc_type *a = &l->carried[i]->type, *b = &next->type;
    if (xfc_type_same(a, b)) return true;
    xfc_node_fail(
        l->n, XFC_ERR_UNSUPPORTED,
        "what it carries as output %u is %s at first and %s behind a step; only shapes that stay are supported", i,
        xfc_type_text(l->n->ctx, a), xfc_type_text(l->n->ctx, b));
    return false;
}

static bool check_results(loop *l, xfc_value **out) {
    xfc_node *n = l->n;
    for (uint32_t i = 0; out && i <= l->n_carried; i++)
        if (!out[i]) return false; /* reported, or a sequence */
    if (!out || n->status != XFC_OK) return false;
    if (!is_one(n->ctx, out[0], XFC_BOOL))
        return xfc_node_fail(n, XFC_ERR_INPUT, "output 0 of its body must be one bool; export the model again"), false;
    for (uint32_t i = 0; i < l->n_carried; i++)
        if (!stays(l, i, out[i + 1])) return false;
    out[0] = xfc_b_reshape(n->b, out[0], NULL, 0);
    return out[0] != NULL;
}

void xfc_import_loop(xfc_node *n) {
    loop l = {.n = n};
    if (!read_operands(&l)) return;
    xfc_graph *g = n->im->graph;
    xfc_op *after = g->tail;
    xfc_requirements around = xfc_graph_swap_requirements(g, (xfc_requirements){.of = {.arena = g->arena}});
    xfc_value **out = import_body(&l);
    bool good = check_results(&l, out);
    xfc_requirements required = xfc_graph_swap_requirements(g, around);
    xfc_probe_forget(&n->im->probe); /* what was proved by them */
    if (!good) return;
    xfc_captures captured = {0};
    xfc_graph *body = xfc_outline(g, after, l.formals, out, l.n_carried + 1,
                                  xfc_sprintf(n->im->arena, "%s/body", n->loc.node), &captured);
    xfc_op *op = xfc_b_loop(n->b, l.trip, l.cond, l.carried, l.n_carried, &captured, body);
    if (!op) return;
    xfc_graph_require_all(body, required.constraint, required.n);
    for (uint32_t i = 0; i < n->n_out; i++) n->out[i] = &op->out[i];
}

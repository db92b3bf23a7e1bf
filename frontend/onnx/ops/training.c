/* training.c - steps of optimizers (ai.onnx.preview.training): what they compute of a gradient in plain ops.
 *
 * Operands: learning rate, number of the step, then of all tensors the values, of all the gradients, and of all each of
 * the states; results: new values, then new states. Scalars are in the type of the tensors.
 */
#include "frontend/onnx/import.h"
#include <string.h>

typedef struct {
    xfc_node *n;
    xfc_value *rate, *first; /* first: bool[], is this step 0? */
    xfc_value *x, *gradient; /* of one tensor; the gradient with that of the penalty on large values */
    xfc_value *state[2], *made[2];
} step;

static xfc_value *op(step *s, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(s->n, code, a, b); }
static xfc_value *times(step *s, xfc_value *a, double by) { return op(s, XFC_OP_MUL, a, xfc_nf(s->n, a, by)); }
static xfc_value *number(step *s, const char *name, double absent) {
    return xfc_nf(s->n, s->x, xfc_node_float(s->n, name, absent));
}

/* a * of + b * with */
static xfc_value *blend(step *s, double a, xfc_value *of, xfc_value *b, xfc_value *with) {
    return op(s, XFC_OP_ADD, times(s, of, a), op(s, XFC_OP_MUL, b, with));
}

/* The number of the step in the type of the tensors. */
static xfc_value *count_of(step *s) { return xfc_b_cast(s->n->b, s->n->in[1], s->x->type.dtype); }

static xfc_value *adagrad(step *s) {
    xfc_value *one = xfc_nf(s->n, s->x, 1);
    xfc_value *slower = op(s, XFC_OP_ADD, one, op(s, XFC_OP_MUL, count_of(s), number(s, "decay_factor", 0)));
    s->made[0] = op(s, XFC_OP_ADD, s->state[0], op(s, XFC_OP_MUL, s->gradient, s->gradient));
    xfc_value *root = op(s, XFC_OP_ADD, xfc_n1(s->n, XFC_OP_SQRT, s->made[0]), number(s, "epsilon", 1e-6));
    xfc_value *by = op(s, XFC_OP_MUL, op(s, XFC_OP_DIV, s->rate, slower), s->gradient);
    return op(s, XFC_OP_SUB, s->x, op(s, XFC_OP_DIV, by, root));
}

/* 1 - base^step */
static xfc_value *rest_of(step *s, double base) {
    return op(s, XFC_OP_SUB, xfc_nf(s->n, s->x, 1), op(s, XFC_OP_POW, xfc_nf(s->n, s->x, base), count_of(s)));
}

static xfc_value *adam(step *s) {
    double alpha = xfc_node_float(s->n, "alpha", 0.9), beta = xfc_node_float(s->n, "beta", 0.999),
           after = xfc_node_float(s->n, "norm_coefficient_post", 0);
    s->made[0] = blend(s, alpha, s->state[0], xfc_nf(s->n, s->x, 1 - alpha), s->gradient);
    s->made[1] = blend(s, beta, s->state[1], xfc_nf(s->n, s->x, 1 - beta), op(s, XFC_OP_MUL, s->gradient, s->gradient));
    xfc_value *root = op(s, XFC_OP_ADD, xfc_n1(s->n, XFC_OP_SQRT, s->made[1]), number(s, "epsilon", 1e-6));
    xfc_value *rate = op(s, XFC_OP_MUL, s->rate, xfc_n1(s->n, XFC_OP_SQRT, rest_of(s, beta)));
    rate = op(s, XFC_OP_DIV, rate, rest_of(s, alpha));
    rate = s->first && rate ? xfc_b_select(s->n->b, s->first, s->rate, rate) : NULL;
    xfc_value *x = op(s, XFC_OP_SUB, s->x, op(s, XFC_OP_MUL, rate, op(s, XFC_OP_DIV, s->made[0], root)));
    return times(s, x, 1 - after);
}

static xfc_value *momentum(step *s) {
    const char *mode = xfc_node_str(s->n, "mode", "standard");
    double alpha = xfc_node_float(s->n, "alpha", 0);
    bool nesterov = !strcmp(mode, "nesterov");
    if (!nesterov && strcmp(mode, "standard") != 0)
        return xfc_node_fail(s->n, XFC_ERR_INPUT, "attribute 'mode' must be standard or nesterov"), NULL;
    xfc_value *one = xfc_nf(s->n, s->x, 1), *beta = number(s, "beta", 0);
    if (s->first && one && beta) beta = xfc_b_select(s->n->b, s->first, one, beta);
    s->made[0] = blend(s, alpha, s->state[0], beta, s->gradient);
    xfc_value *by = nesterov ? op(s, XFC_OP_ADD, s->gradient, times(s, s->made[0], alpha)) : s->made[0];
    return op(s, XFC_OP_SUB, s->x, op(s, XFC_OP_MUL, s->rate, by));
}

static bool read_tensor(step *s, uint32_t i, uint32_t count, uint32_t n_states) {
    xfc_node *n = s->n;
    s->x = n->in[2 + i];
    const xfc_type *t = &s->x->type;
    for (uint32_t k = 1; k < 2 + n_states; k++) {
        const xfc_type *other = &n->in[2 + k * count + i]->type;
        if (other->dtype != t->dtype || other->rank != t->rank || !xfc_dtype_is_float(t->dtype))
            return xfc_node_fail(n, XFC_ERR_INPUT,
                                 "needs values, gradients and states of one floating type and shape; export it again"),
                   false;
        for (uint32_t d = 0; d < t->rank; d++)
            if (!xfc_n_equal(n, other->dim[d], t->dim[d], "the dims of values, gradients and states")) return false;
    }
    s->gradient = op(s, XFC_OP_ADD, op(s, XFC_OP_MUL, number(s, "norm_coefficient", 0), s->x), n->in[2 + count + i]);
    for (uint32_t k = 0; k < n_states; k++) s->state[k] = n->in[2 + (2 + k) * count + i];
    s->rate = xfc_b_cast(n->b, n->in[0], t->dtype);
    return s->gradient && s->rate;
}

static void import_step(xfc_node *n, xfc_value *(*make)(step *), uint32_t n_states) {
    uint32_t count = (n->n_in - 2) / (2 + n_states);
    bool is_whole = n->n_in == 2 + count * (2 + n_states) && count > 0 && n->n_out <= count * (1 + n_states);
    for (uint32_t i = 0; i < n->n_in; i++) is_whole = is_whole && n->in[i];
    if (!is_whole || n->in[0]->type.rank || n->in[1]->type.rank || !xfc_dtype_is_int(n->in[1]->type.dtype)) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs a rate, the number of the step, and as many gradients and states as values; export it "
                      "again");
        return;
    }
    step s = {.n = n, .first = xfc_n2(n, XFC_OP_LE, n->in[1], xfc_b_scalar_i(n->b, n->in[1]->type.dtype, 0))};
    for (uint32_t i = 0; i < count; i++) {
        if (!read_tensor(&s, i, count, n_states)) return;
        xfc_value *x = make(&s);
        if (i < n->n_out) n->out[i] = x;
        for (uint32_t k = 0; k < n_states; k++)
            if ((k + 1) * count + i < n->n_out) n->out[(k + 1) * count + i] = s.made[k];
    }
}

void xfc_import_adagrad(xfc_node *n) { import_step(n, adagrad, 1); }
void xfc_import_adam(xfc_node *n) { import_step(n, adam, 2); }
void xfc_import_momentum(xfc_node *n) { import_step(n, momentum, 1); }

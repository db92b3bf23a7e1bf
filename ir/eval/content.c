/* content.c - symbolic contents: runs a nest over symbolic integers.
 *
 * Exporters spell shape arithmetic as tensors: Shape, Gather, Slice, Concat, Equal, Where, Range. Those tensors are
 * small and static, so their ops can be run at compile time with facts (ir/probe.h) as the scalar type; what comes out
 * are the dims that a Reshape or Expand needs. An element that is no formula is NONE and everything computed from it
 * is, unless the result does not depend on it (0 * x, false and x, select with equal arms).
 *
 * All elements are computed at once, forward, from what is tracked of the operands: scans and scatters, which read
 * their own results, included. A divisor is taken not to be 0, as in a size. Booleans are the constants 0 and 1 or
 * NONE. Floats are never tracked.
 */
#include "ir/eval/eval.h"
#include "ir/probe.h"

#include <string.h>

enum { MAX_ITERATIONS = 4096 };

typedef struct {
    xfc_probe probe; /* first: hooks get at the rest */
    const xfc_op *op;
    xfc_frame *frame;
    int64_t dim[XFC_MAX_RANK], count;
    xfc_int *result;
    bool *stored;
} content;

/* Row-major element number, if the index is constant and inside; false otherwise. */
static bool element(const xfc_ctx *c, const xfc_int *index, uint32_t rank, const int64_t *dim, int64_t *out) {
    *out = 0;
    for (uint32_t d = 0; d < rank; d++) {
        int64_t i;
        if (!xfc_int_value(c, index[d], &i) || i < 0 || i >= dim[d]) return false;
        *out = *out * dim[d] + i;
    }
    return true;
}

/* What is tracked of an operand, or stored so far. */
static xfc_fact tracked(xfc_probe *p, const xfc_value *v, const xfc_int *index) {
    const content *k = (const content *)p;
    const xfc_int *known = v == &k->op->out[0] ? k->result : v->content;
    const xfc_tensor *t;
    int64_t dim[XFC_MAX_RANK], at;
    bool placed =
        xfc_type_static(p->graph->ctx, &v->type, dim, NULL) && element(p->graph->ctx, index, v->type.rank, dim, &at);
    if (placed && known && xfc_int_known(known[at])) return xfc_fact_of(known[at]);
    return placed && xfc_value_is_const(v, &t) ? xfc_fact_element(p, t, at) : xfc_fact_unknown(p, v->type.dtype);
}

/* One iteration: the axes are bound. False: it stores nobody knows where. */
static bool iterate(content *k) {
    xfc_ctx *c = k->probe.graph->ctx;
    xfc_frame *f = k->frame;
    xfc_probe_body(&k->probe, f);
    for (uint32_t i = 0; i < f->nest->n_stores; i++) {
        const xfc_store *s = &f->nest->stores[i];
        xfc_int to[XFC_MAX_RANK];
        int64_t at;
        for (uint32_t d = 0; d < s->to.rank; d++) to[d] = xfc_probe_bound(&k->probe, f, s->to.index[d]);
        if (!element(c, to, s->to.rank, k->dim, &at)) return false;
        xfc_fact arg[2] = {xfc_fact_of(k->result[at]), f->fact[s->value]};
        xfc_dtype t = f->nest->body[s->value].dtype;
        bool combines = s->combine != XFC_S_COUNT && k->stored[at];
        k->result[at] = xfc_fact_formula(combines ? xfc_fact_scalar(&k->probe, s->combine, t, t, arg) : arg[1]);
        k->stored[at] = true;
    }
    return true;
}

static bool run(content *k, const int64_t *extent, uint32_t axis) {
    xfc_frame *f = k->frame;
    if (axis == f->nest->n_axes) return iterate(k);
    f->from[axis] = f->nest->axes[axis].symbol;
    for (int64_t i = 0; i < extent[axis]; i++) {
        f->to[axis] = xfc_int_const(k->probe.graph->ctx, i);
        if (!run(k, extent, axis + 1)) return false;
    }
    return true;
}

/* Elements that nothing was stored to are empty reductions. */
static void finish(content *k) {
    const xfc_store *s = &k->frame->nest->stores[0];
    for (int64_t i = 0; i < k->count; i++) {
        if (!k->stored[i] && s->combine != XFC_S_COUNT)
            k->result[i] =
                xfc_int_const(k->probe.graph->ctx, xfc_combine_identity_i(s->combine, k->op->out[0].type.dtype));
    }
}

static bool worth_running(const content *k) {
    const xfc_op *op = k->op;
    if (op->n_in == 0 || k->count == 0) return true;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (op->in[i].value && op->in[i].value->content) return true;
    }
    return false;
}

static bool run_nest(content *k) {
    int64_t total = 1;
    if (!(k->frame = xfc_probe_open(&k->probe, k->op))) return false;
    const xfc_nest *nest = k->frame->nest;
    int64_t *extent = xfc_new_array(k->probe.arena, int64_t, nest->n_axes);
    for (uint32_t i = 0; i < nest->n_axes; i++) {
        if (!xfc_int_value(k->probe.graph->ctx, nest->axes[i].extent, &extent[i])) return false;
        if (!xfc_mul_ok(total, extent[i], &total) || total > MAX_ITERATIONS) return false;
    }
    k->frame->n = nest->n_axes;
    if (!run(k, extent, 0)) return false;
    finish(k);
    return true;
}

static void content_of_const(content *k) {
    const xfc_tensor *t = xfc_op_attr(k->op, XFC_K_VALUE)->u.tensor;
    for (int64_t i = 0; i < t->count; i++) k->result[i] = xfc_fact_formula(xfc_fact_element(&k->probe, t, i));
}

void xfc_eval_content(xfc_op *op) {
    content k = {.op = op};
    if (op->n_out != 1 || xfc_dtype_is_float(op->out[0].type.dtype)) return;
    if (!xfc_type_static(op->graph->ctx, &op->out[0].type, k.dim, &k.count) || k.count > XFC_MAX_CONTENT) return;
    if (op->code != XFC_OP_CONST && (!xfc_ops[op->code].nest || !worth_running(&k))) return;
    k.probe = xfc_probe_new(op->graph, xfc_arena_new());
    k.probe.at = tracked;
    k.probe.assumes = XFC_PROBE_DIVISORS;
    k.result = xfc_new_array(k.probe.arena, xfc_int, k.count);
    k.stored = xfc_new_array(k.probe.arena, bool, k.count);
    bool known = k.count == 0;
    if (op->code == XFC_OP_CONST)
        content_of_const(&k);
    else if (!run_nest(&k))
        memset(k.result, 0, (size_t)k.count * sizeof *k.result);
    for (int64_t i = 0; i < k.count; i++) known = known || xfc_int_known(k.result[i]);
    if (known) op->out[0].content = xfc_dup_array(op->graph->arena, xfc_int, k.result, k.count);
    xfc_arena_free(k.probe.arena);
}

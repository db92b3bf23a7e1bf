/* step.c - steps that are no kernel of the model: routines in C, and symbols that take their values from data.
 *
 * Both run on the thread that leads the run, between kernels, so nobody reads the values that a define changes. The
 * plan was checked: counts and indices fit. What data says is not trusted: a number outside of its symbol's range, for
 * which the memory was not laid out, ends the run.
 */
#include "runtime/kernels/routines.h"
#include "runtime/runtime.h"

_Static_assert(sizeof(xk_i64) == sizeof(int64_t), "routines take the numbers of the plan as they are");

static void call(const xf_ctx *c, const xf_step_info *s) {
    const xf_plan *p = c->plan;
    xk_array array[XK_MAX_ARRAYS];
    int64_t dims[XK_MAX_ARRAYS][XF_MAX_RANK];
    xk_i64 number[XK_MAX_NUMBERS];
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) {
        const xf_arg *a = &p->args[s->first_out_arg - s->n_in + i];
        xf_arg_shape(p, a, c->values, dims[i]);
        array[i] = (xk_array){.data = xf_step_operand(c, s, i), .dim = dims[i], .rank = a->n_dims, .dtype = a->dtype};
    }
    for (uint32_t i = 0; i < s->n_numbers; i++) number[i] = c->values[p->numbers[s->first_number + i]];
    xk_routines[s->kernel].run(&(xk_call){array, number});
}

static xf_status define(xf_ctx *c, const xf_step_info *s) {
    const xf_plan *p = c->plan;
    const int64_t *from = xf_step_operand(c, s, 0);
    const xf_val *number = &p->numbers[s->first_number];
    for (uint32_t i = 0; i < s->n_numbers; i += 3) c->values[number[i]] = from[i / 3];
    bool fits = xf_plan_eval_again(p, c->values);
    for (uint32_t i = 0; i < s->n_numbers && fits; i += 3) {
        int64_t v = c->values[number[i]];
        fits = v >= 0 && v >= c->values[number[i + 1]] && v <= c->values[number[i + 2]];
    }
    if (fits) return xf_check_sizes(p, (uint32_t)(s - p->steps) + 1, c->values, &c->error);
    char nodes[400] = "";
    xf_text_nodes(&(xf_text){nodes, sizeof nodes, 0}, p, s);
    return xf_fail(&c->error, XF_E_INTERNAL, "a size that comes from data is out of range in node %s", nodes);
}

xf_status xf_host_step(xf_ctx *c, const xf_step_info *s) {
    if (s->kind == XF_STEP_DEFINE) return define(c, s);
    call(c, s);
    return XF_OK;
}

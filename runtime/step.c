/* step.c - steps that are no kernel of the model: routines in C, and symbols that take their values from data.
 *
 * The tasks of a routine are handed out like those of a kernel; a define runs on the thread that leads the run, between
 * steps, so nobody reads the values that it changes. A branch defines behind the body that ran, from its last result; a
 * loop at its begin and behind each step, from sizes.
 * The plan was checked: counts and indices fit. What data says is not trusted: a number outside of its symbol's range,
 * for which the memory was not laid out, ends the run.
 */
#include "runtime/kernels/routines.h"
#include "runtime/runtime.h"

_Static_assert(sizeof(xk_i64) == sizeof(int64_t), "routines take the numbers of the plan as they are");

typedef struct { /* a call with its arrays */
    const xk_routine *routine;
    xk_call call;
    xk_array array[XK_MAX_ARRAYS];
    int64_t dims[XK_MAX_ARRAYS][XF_MAX_RANK];
    xk_number number[XK_MAX_NUMBERS];
    char *scratch;
    int64_t scratch_stride;
} job;

/* All but the addresses; most: with the most that dims can be where data decides them, which no other dims show: what
 * is left of a row is the less the more was taken from it. */
static void describe(const xf_plan *p, const xf_step_info *s, const int64_t *values, bool most, job *j) {
    j->routine = xk_routines[s->kernel];
    j->call = (xk_call){j->array, j->number};
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) {
        const xf_arg *a = &p->args[s->first_out_arg - s->n_in + i];
        (most ? xf_arg_most : xf_arg_shape)(p, a, values, j->dims[i]);
        j->array[i] = (xk_array){.dim = j->dims[i], .rank = a->n_dims, .dtype = a->dtype};
    }
    for (uint32_t i = 0; i < s->n_numbers; i++) j->number[i].i = values[p->numbers[s->first_number + i]];
}

int64_t xf_step_scratch(const xf_plan *p, const xf_step_info *s, const int64_t *values) {
    job j;
    if (s->kind != XF_STEP_CALL) return values[s->scratch];
    describe(p, s, values, true, &j);
    return j.routine->work(&j.call).scratch;
}

static int32_t run_tasks(void *arg, int64_t begin, int64_t end, int32_t worker) {
    const job *j = arg;
    j->routine->run(&j->call, begin, end, j->scratch + worker * j->scratch_stride);
    return 0;
}

static xf_status call(xf_ctx *c, const xf_step_info *s, int32_t *status) {
    job j;
    describe(c->plan, s, c->values, false, &j);
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) j.array[i].data = xf_step_operand(c, s, i);
    xk_work work = j.routine->work(&j.call);
    j.scratch_stride = xf_scratch_stride(work.scratch);
    XF_TRY(xf_heap_scratch(c, s, j.scratch_stride, &j.scratch));
    if (!s->grows && j.scratch_stride > c->scratch_room)
        return xf_fail(&c->error, XF_E_INTERNAL, "a routine needs %lld bytes of scratch, %lld were planned",
                       (long long)j.scratch_stride, (long long)c->scratch_room);
    *status = xf_launch(c, run_tasks, &j, work.tasks, work.grain);
    return XF_OK;
}

/* The first symbol that is not where its range says: of the others the range may be nonsense. */
static xf_status out_of_range(xf_ctx *c, const xf_step_info *s) {
    const xf_plan *p = c->plan;
    const xf_val *number = &p->numbers[s->first_number];
    const uint32_t n = s->kind == XF_STEP_LOOP ? s->n_numbers / 5 * 3 : s->n_numbers;
    for (uint32_t i = 0; i < n; i += 3) {
        int64_t v = c->values[number[i]], lo = c->values[number[i + 1]], hi = c->values[number[i + 2]];
        if (v >= 0 && v >= lo && v <= hi) continue;
        char nodes[400] = "";
        xf_text_nodes(&(xf_text){nodes, sizeof nodes, 0}, p, s);
        return xf_fail(&c->error, XF_E_RANGE, "%s is %lld, but node %s takes %lld to %lld",
                       xf_plan_str(p, p->symbols[number[i]].name), (long long)v, nodes, (long long)lo, (long long)hi);
    }
    return XF_OK;
}

/* All instructions run again, now that symbols have other values. */
static xf_status evaluate(xf_ctx *c, const xf_step_info *s) {
    if (s->n_numbers == 0) return XF_OK;
    bool fits = xf_plan_eval_again(c->plan, c->values);
    XF_TRY(out_of_range(c, s));
    return fits ? XF_OK : xf_fail(&c->error, XF_E_SHAPE, "a size that comes from data is too large");
}

xf_status xf_loop_sizes(xf_ctx *c, const xf_step_info *s, bool next) {
    const xf_val *number = &c->plan->numbers[s->first_number];
    const uint32_t n = s->n_numbers / 5;
    for (uint32_t i = 0; i < n; i++) c->numbers[i] = c->values[number[(next ? 4 : 3) * n + i]];
    for (uint32_t i = 0; i < n; i++) c->values[number[3 * i]] = c->numbers[i];
    XF_TRY(evaluate(c, s));
    return xf_heap_results(c, s);
}

static xf_status define(xf_ctx *c, const xf_step_info *s) {
    const xf_plan *p = c->plan;
    uint32_t sizes = s->kind == XF_STEP_BRANCH ? s->n_in + s->n_out - 1 : 0;
    const int64_t *from = s->n_numbers ? xf_step_operand(c, s, sizes) : NULL;
    for (uint32_t i = 0; i < s->n_numbers; i += 3)
        c->model->device->copy(&c->values[p->numbers[s->first_number + i]], &from[i / 3], sizeof *from);
    XF_TRY(evaluate(c, s));
    return xf_check_sizes(p, (uint32_t)(s - p->steps) + 1, c->values, &c->error);
}

xf_status xf_host_step(xf_ctx *c, const xf_step_info *s, int32_t *status) {
    return s->kind == XF_STEP_CALL ? call(c, s, status) : define(c, s);
}

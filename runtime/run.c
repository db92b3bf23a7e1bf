/* run.c - one run: outputs, memory, and the loop over the plan's steps.
 *
 * Steps run in order, those of bodies where they are called for; the tasks of one step may run at once on the workers.
 * Nothing is written before all inputs and outputs were checked and the memory is there, as far as sizes are known:
 * those that only data knows get theirs step by step (heap.c). Between steps the loop looks
 * at the error word of the kernels (an index out of range was clamped, so going on would be safe but useless) and at
 * the cancel flag.
 */
#include "runtime/runtime.h"
#include <string.h>

/* --- outputs --- */

static bool overlap(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
    return a_bytes && b_bytes && (uintptr_t)a < (uintptr_t)b + b_bytes && (uintptr_t)b < (uintptr_t)a + a_bytes;
}

static size_t bytes_of(const xf_ctx *c, const xf_arg *a) {
    size_t bytes = 0;
    xf_arg_size(c->plan, a, c->values, &bytes); /* fits: checked before */
    return bytes;
}

/* Structs that the last run filled may be passed again as they are; what they point to is ours, and may move. */
static bool is_ours(const xf_ctx *c, size_t i, const xf_tensor *out) {
    return !out->data || (out->data == c->given[i] && out->shape == c->out_dims[i]);
}

/* Does it lie in the memory of its past? */
static bool is_over_past(const xf_ctx *c, size_t i, const xf_tensor *in, const xf_tensor *out) {
    const xf_arg *a = xf_plan_output(c->plan, i);
    size_t bytes = 0;
    if (!a->twin || c->ours[i]) return false;
    xf_tensor_span(&in[a->twin - 1], xf_arg_bits(a), &bytes);
    return bytes && xf_tensor_start(&in[a->twin - 1]) == xf_tensor_start(&out[i]);
}

/* Of a cache: how many rows there is room for is looked up in the strides of what the caller gave. Memory that holds the
 * past, too, must have room for as many. */
static xf_status check_room(xf_ctx *c, size_t i, const xf_tensor *in, const xf_tensor *out) {
    const xf_arg *a = xf_plan_output(c->plan, i);
    const xf_tensor *past = &in[a->twin - 1];
    const char *name = xf_plan_str(c->plan, a->name), *of = xf_plan_str(c->plan, c->plan->args[a->twin - 1].name);
    bool over = is_over_past(c, i, in, out);
    int64_t before, behind = 0, outer = 1;
    xf_tensor_room(past, a->axis, &before);
    if (!c->ours[i]) xf_tensor_room(&out[i], a->axis, &behind);
    for (uint32_t d = 0; d < a->axis; d++) outer = past->shape[d] == 1 ? outer : 2;
    const int64_t held = past->shape[a->axis] + before, holds = over || behind ? out[i].shape[a->axis] + behind : 0;
    if (before && !over)
        return xf_fail(&c->error, XF_E_SHAPE,
                       "input %u '%s' has room behind its rows, but output %zu '%s' does not begin where it does; pass "
                       "both in one memory, or the input dense",
                       a->twin - 1, of, i, name);
    if (over && outer > 1 && held != holds)
        return xf_fail(
            &c->error, XF_E_SHAPE,
            "output %zu '%s' begins where input %u '%s' does, but has room for %lld rows along dim %u, and the "
            "input for %lld; they must have the same strides",
            i, name, a->twin - 1, of, (long long)holds, a->axis, (long long)held);
    if (holds && !c->model->device->is_host)
        return xf_fail(&c->error, XF_E_DEVICE,
                       "output %zu '%s': the device has memory of its own; pass it dense, in memory "
                       "of its own",
                       i, name);
    c->values[a->room] = holds;
    return XF_OK;
}

static xf_status check_overlap(xf_ctx *c, size_t i, const xf_tensor *in, const xf_tensor *out) {
    const xf_plan *p = c->plan;
    const char *start = xf_tensor_start(&out[i]), *name = xf_plan_str(p, xf_plan_output(p, i)->name);
    size_t bytes = c->room[i], other = 0;
    for (uint32_t k = 0; k < p->head->n_inputs; k++) {
        xf_tensor_span(&in[k], xf_arg_bits(xf_plan_input(p, k)), &other);
        if (!overlap(start, bytes, xf_tensor_start(&in[k]), other)) continue;
        if (k + 1 == xf_plan_output(p, i)->twin && is_over_past(c, i, in, out)) continue;
        return xf_fail(&c->error, XF_E_ARG, "output %zu '%s' overlaps input %u '%s'", i, name, k,
                       xf_plan_str(p, p->args[k].name));
    }
    for (uint32_t k = 0; k < i; k++)
        if (!c->ours[k] && overlap(start, bytes, xf_tensor_start(&out[k]), c->room[k]))
            return xf_fail(&c->error, XF_E_ARG, "output %zu '%s' overlaps output %u '%s'", i, name, k,
                           xf_plan_str(p, xf_plan_output(p, k)->name));
    return XF_OK;
}

static xf_status check_output(xf_ctx *c, size_t i, const xf_tensor *in, const xf_tensor *out) {
    const xf_plan *p = c->plan;
    const xf_arg *a = xf_plan_output(p, i);
    size_t bytes;
    c->ours[i] = is_ours(c, i, &out[i]);
    if (!xf_arg_size(p, a, c->values, &bytes))
        return xf_fail(&c->error, XF_E_SHAPE, "output %zu '%s': its size overflows", i, xf_plan_str(p, a->name));
    if (c->ours[i]) return a->twin ? check_room(c, i, in, out) : XF_OK;
    XF_TRY(xf_check_tensor(p, "output", i, a, &out[i], &c->error));
    int64_t dims[XF_MAX_RANK];
    xf_arg_most(p, a, c->values, dims);
    if (!xf_tensor_span(&out[i], xf_arg_bits(a), &c->room[i]))
        return xf_fail(&c->error, XF_E_SHAPE, "output %zu '%s': its size overflows", i, xf_plan_str(p, a->name));
    for (uint32_t d = 0; d < a->n_dims; d++)
        if (dims[d] >= 0 && out[i].shape[d] != dims[d])
            return xf_fail(&c->error, XF_E_SHAPE,
                           "output %zu '%s': dim %u is %lld, but this run makes it %lld (see infer_shapes)", i,
                           xf_plan_str(p, a->name), d, (long long)out[i].shape[d], (long long)dims[d]);
    if (a->twin) XF_TRY(check_room(c, i, in, out));
    return check_overlap(c, i, in, out);
}

/* The next place in the arena for so many bytes. */
static void *take(char **next, size_t bytes) {
    void *at = *next;
    *next += (bytes + XF_ALIGN - 1) / XF_ALIGN * XF_ALIGN;
    return at;
}

/* Where steps read it. */
static void *place_input(xf_ctx *c, size_t i, const xf_tensor *in, char **next) {
    const xf_dev *device = c->model->device;
    char *given = xf_tensor_start(in);
    if (device->is_host) return given ? given : c->work; /* no elements: any address will do */
    size_t bytes = bytes_of(c, xf_plan_input(c->plan, i));
    void *at = take(next, bytes);
    if (given) device->copy(at, given, bytes);
    return at;
}

/* What the last run answered there is not kept while this one writes. */
static xf_status check_input_apart(xf_ctx *c, uint32_t i, const xf_tensor *in) {
    const char *start = xf_tensor_start(in);
    size_t bytes = 0;
    xf_tensor_span(in, xf_arg_bits(xf_plan_input(c->plan, i)), &bytes);
    bool inside = overlap(start, bytes, c->arena, c->arena_bytes);
    for (uint32_t k = 0; k < c->model->n_slots; k++)
        inside = inside || overlap(start, bytes, c->slots[k].data, c->slots[k].bytes);
    if (!inside) return XF_OK;
    return xf_fail(
        &c->error, XF_E_ARG,
        "input %u '%s' lies in memory of this context, which a run writes: copy it, or give the output that it "
        "was memory of your own",
        i, xf_plan_str(c->plan, xf_plan_input(c->plan, i)->name));
}

/* Checks outputs, gets the memory, and fixes every address of the run. */
static xf_status prepare(xf_ctx *c, const xf_tensor *in, const xf_tensor *out) {
    const xf_plan *p = c->plan;
    bool rooms = false;
    for (uint32_t i = 0; i < p->head->n_inputs; i++) XF_TRY(check_input_apart(c, i, &in[i]));
    for (uint32_t i = 0; i < p->head->n_outputs; i++) {
        XF_TRY(check_output(c, i, in, out));
        rooms = rooms || (xf_plan_output(p, i)->twin && c->values[xf_plan_output(p, i)->room]);
    }
    if (rooms && !xf_plan_eval_again(p, c->values))
        return xf_fail(&c->error, XF_E_SHAPE, "sizes inside the model overflow for the strides of its outputs");
    xf_layout layout;
    XF_TRY(xf_layout_make(p, c->model->device, c->values, c->threads, c->ours, &layout, &c->error));
    XF_TRY(xf_arena_reserve(c, layout.total, &c->work));
    c->scratch = c->work + layout.scratch;
    c->scratch_room = (int64_t)(layout.inputs - layout.scratch) / c->threads;
    char *next = c->work + layout.inputs;
    for (uint32_t i = 0; i < p->head->n_inputs; i++) c->in_data[i] = place_input(c, i, &in[i], &next);
    next = c->work + layout.outputs;
    for (uint32_t i = 0; i < p->head->n_outputs; i++) {
        bool placed = c->ours[i] || !c->model->device->is_host;
        c->out_data[i] = placed ? take(&next, bytes_of(c, xf_plan_output(p, i))) : xf_tensor_start(&out[i]);
    }
    xf_heap_begin(c, c->work + layout.total);
    return XF_OK;
}

/* Bytes of an output that the run has made: data may have decided that they are fewer than there is room for. */
static size_t written(const xf_ctx *c, const xf_arg *a) {
    int64_t dims[XF_MAX_RANK];
    size_t bits = xf_arg_bits(a);
    xf_arg_shape(c->plan, a, c->values, dims);
    for (uint32_t d = 0; d < a->n_dims; d++) bits *= (size_t)dims[d];
    return (bits + 7) / 8;
}

static void report_outputs(xf_ctx *c, xf_tensor *out) {
    const xf_plan *p = c->plan;
    const xf_dev *device = c->model->device;
    for (uint32_t i = 0; i < p->head->n_outputs; i++) {
        const xf_arg *a = xf_plan_output(p, i);
        if (!c->ours[i] && !device->is_host) device->copy(xf_tensor_start(&out[i]), c->out_data[i], written(c, a));
        if (!c->ours[i] && xf_arg_from_data(p, a)) xf_arg_shape(p, a, c->values, out[i].shape);
        if (!c->ours[i]) continue;
        xf_arg_shape(p, a, c->values, c->out_dims[i]);
        c->given[i] = c->out_data[i];
        out[i] = (xf_tensor){.data = c->out_data[i],
                             .device = device->where,
                             .ndim = (int32_t)a->n_dims,
                             .dtype = xf_arg_dtype(a),
                             .shape = c->out_dims[i]};
    }
}

/* A floating-point element is not finite iff all bits of its exponent are set. */
static bool finite_at(const unsigned char *data, uint32_t bytes, uint64_t exponent) {
    uint64_t bits = 0;
    memcpy(&bits, data, bytes); /* little-endian, as the whole artefact */
    return (bits & exponent) != exponent;
}

static xf_status check_finite_part(xf_ctx *c, uint32_t i, size_t from, size_t bytes, size_t first) {
    const xf_arg *a = xf_plan_output(c->plan, i);
    uint32_t code = a->dtype & 0xffu, size = xf_arg_bytes(a);
    uint64_t exponent = code == 4 ? 0x7f80u : size == 2 ? 0x7c00u : size == 4 ? 0x7f800000u : 0x7ff0000000000000u;
    unsigned char part[4096];
    for (size_t at = 0; at < bytes; at += size) {
        size_t in_part = at % sizeof part, left = bytes - at;
        if (in_part == 0)
            c->model->device->copy(part, (const char *)c->out_data[i] + from + at,
                                   left < sizeof part ? left : sizeof part);
        if (!finite_at(part + in_part, size, exponent))
            return xf_fail(&c->error, XF_E_RANGE, "output %u '%s': element %zu is not finite", i,
                           xf_plan_str(c->plan, a->name), first + at / size);
    }
    return XF_OK;
}

static xf_status check_finite(xf_ctx *c) {
    const xf_plan *p = c->plan;
    for (uint32_t i = 0; i < p->head->n_outputs; i++) {
        const xf_arg *a = xf_plan_output(p, i);
        uint32_t code = a->dtype & 0xffu, size = xf_arg_bytes(a);
        if (code != 2 && code != 4) continue;
        int64_t dims[XF_MAX_RANK];
        size_t bytes = written(c, a), parts = 1, apart = bytes;
        xf_arg_shape(p, a, c->values, dims);
        for (uint32_t d = 0; a->twin && d < a->axis; d++) parts *= (size_t)dims[d]; /* room may be behind each */
        if (parts > 1) apart = bytes / parts, bytes = apart;
        if (bytes && parts > 1 && c->values[a->room] > dims[a->axis])
            apart = apart / (size_t)dims[a->axis] * (size_t)c->values[a->room];
        for (size_t k = 0; k < parts && bytes; k++) XF_TRY(check_finite_part(c, i, k * apart, bytes, k * bytes / size));
    }
    return XF_OK;
}

/* --- steps --- */

static void *operand_address(const xf_ctx *c, const xf_operand *o) {
    switch (o->space) {
    case XF_SPACE_INPUT: return c->in_data[o->index];
    case XF_SPACE_OUTPUT: return c->out_data[o->index];
    case XF_SPACE_WEIGHT: return xf_weight_address(c->model, o->offset);
    case XF_SPACE_HEAP: {
        char *data = c->slots[xf_slot_of_scratch(c) + 1 + o->index].data;
        return data ? data : c->work; /* no elements: any address will do */
    }
    default: return c->work + c->values[o->value];
    }
}

void *xf_step_operand(const xf_ctx *c, const xf_step_info *s, uint32_t i) {
    return operand_address(c, &c->plan->operands[s->first_operand + i]);
}

static xf_status step_failed(xf_ctx *c, uint32_t step, int32_t status) {
    char nodes[400] = "";
    if (c->range_error) return xf_blame(c, step);
    xf_text_nodes(&(xf_text){nodes, sizeof nodes, 0}, c->plan, &c->plan->steps[step]);
    return xf_fail(&c->error, XF_E_INTERNAL, "parallel_for answered %d while running node %s", (int)status, nodes);
}

int32_t xf_launch(const xf_ctx *c, xf_kernel_fn body, void *frame, int64_t tasks, int64_t grain) {
    const xf_dev *device = c->model->device;
    int32_t status = device->launch(c, body, frame, tasks, grain);
    device->wait(c);
    return status;
}

static xf_status run_kernel(xf_ctx *c, const xf_step_info *s, uint32_t index, int32_t *status) {
    char *scratch;
    XF_TRY(xf_heap_scratch(c, s, xf_scratch_stride(c->values[s->scratch]), &scratch));
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) c->buffers[i] = xf_step_operand(c, s, i);
    for (uint32_t i = 0; i < s->n_numbers; i++) c->numbers[i] = c->values[c->plan->numbers[s->first_number + i]];
    xf_frame frame = {.values = c->numbers,
                      .buffers = c->buffers,
                      .scratch = scratch,
                      .scratch_stride = xf_scratch_stride(c->values[s->scratch]),
                      .error = &c->range_error,
                      .step = index};
    *status = xf_launch(c, c->model->variant->kernels[s->kernel], &frame, c->values[s->tasks], c->values[s->grain]);
    return XF_OK;
}

static xf_status run_step(xf_ctx *c, uint32_t index) {
    const xf_step_info *s = &c->plan->steps[index];
    int32_t status = 0;
    XF_TRY(xf_heap_results(c, s));
    XF_TRY(s->kind == XF_STEP_KERNEL ? run_kernel(c, s, index, &status) : xf_host_step(c, s, &status));
    return status != 0 || c->range_error != 0 ? step_failed(c, index, status) : XF_OK;
}

static xf_status run_span(xf_ctx *c, uint32_t i, uint32_t end);

/* The plan was checked: spans nest, and no deeper than XF_MAX_NESTING. */
static xf_status run_branch(xf_ctx *c, uint32_t at) {
    const xf_step_info *s = &c->plan->steps[at];
    uint32_t first = at + 1, other = first + s->kernel;
    unsigned char yes;
    c->model->device->copy(&yes, xf_step_operand(c, s, 0), 1);
    XF_TRY(yes ? run_span(c, first, other) : run_span(c, other, first + s->span));
    int32_t status = 0;
    return s->n_numbers ? xf_host_step(c, s, &status) : XF_OK;
}

static int64_t rows_of(const xf_ctx *c, const xf_arg *list) {
    int64_t dims[XF_MAX_RANK];
    xf_arg_shape(c->plan, list, c->values, dims);
    return list->n_dims ? dims[0] : 0;
}

static size_t row_bytes(const xf_ctx *c, const xf_arg *list) {
    int64_t rows = rows_of(c, list);
    return rows ? written(c, list) / (size_t)rows : 0;
}

static char *row_at(const xf_ctx *c, const xf_step_info *loop, uint32_t result, int64_t row) {
    char *start = xf_step_operand(c, loop, loop->n_in + result);
    return row ? start + (size_t)row * row_bytes(c, &c->plan->args[loop->first_out_arg + result]) : start;
}

/* From `row` on, which the loop did not reach. */
static void clear_rows(const xf_ctx *c, const xf_step_info *loop, uint32_t result, int64_t row) {
    static const char zeros[4096];
    const xf_arg *list = &c->plan->args[loop->first_out_arg + result];
    char *to = row_at(c, loop, result, row);
    for (size_t left = written(c, list) - (size_t)row * row_bytes(c, list), n; left; left -= n, to += n) {
        n = left < sizeof zeros ? left : sizeof zeros;
        c->model->device->copy(to, zeros, n);
    }
}

/* Values are copied from where the body leaves them to where it reads them: it may read what it carries to its end. Where
 * their sizes change the place that they are copied to grows before. */
static xf_status run_loop(xf_ctx *c, uint32_t at) {
    const xf_step_info *s = &c->plan->steps[at];
    const xf_dev *device = c->model->device;
    const xf_arg *arg = &c->plan->args[s->first_out_arg];
    const uint32_t n = s->n_in - 4 - s->n_out, number = 2 + n, again = 3 + n;
    int64_t trip, step = 0;
    unsigned char more;
    XF_TRY(xf_loop_sizes(c, s, false));
    device->copy(&trip, xf_step_operand(c, s, 0), sizeof trip);
    device->copy(&more, xf_step_operand(c, s, 1), 1);
    if (n < s->n_out && trip > rows_of(c, &arg[n])) trip = rows_of(c, &arg[n]);
    for (uint32_t i = 0; i < n; i++)
        device->copy(xf_step_operand(c, s, s->n_in + i), xf_step_operand(c, s, 2 + i), written(c, &arg[i]));
    for (; more && step < trip; step++) {
        device->copy(xf_step_operand(c, s, number), &step, sizeof step);
        XF_TRY(run_span(c, at + 1, at + 1 + s->span));
        device->copy(&more, xf_step_operand(c, s, again), 1);
        if (s->n_numbers) XF_TRY(xf_loop_sizes(c, s, true));
        for (uint32_t i = 0; i < s->n_out; i++)
            device->copy(row_at(c, s, i, i < n ? 0 : step), xf_step_operand(c, s, again + 1 + i),
                         i < n ? written(c, &arg[i]) : row_bytes(c, &arg[i]));
    }
    for (uint32_t i = n; i < s->n_out; i++) clear_rows(c, s, i, step);
    return s->n_numbers ? xf_check_sizes(c->plan, at + 1, c->values, &c->error) : XF_OK;
}

static xf_status run_span(xf_ctx *c, uint32_t i, uint32_t end) {
    while (i < end) {
        const xf_step_info *s = &c->plan->steps[i];
        if (atomic_load_explicit(&c->cancelled, memory_order_relaxed))
            return xf_fail(&c->error, XF_E_CANCELLED, "the run was cancelled");
        uint64_t start = c->times ? xf_now_ns() : 0;
        XF_TRY((s->kind == XF_STEP_BRANCH ? run_branch : s->kind == XF_STEP_LOOP ? run_loop : run_step)(c, i));
        if (c->times) xf_profile_step(c, i, s->span ? xf_now_ns() : start); /* the time of bodies is theirs */
        if (c->tapped[c->first_step + i]) xf_tap_step(c, i);
        i += 1 + s->span;
    }
    return XF_OK;
}

xf_status xf_run(xf_ctx *c, const xf_entry *entry, const xf_tensor *in, size_t n_in, xf_tensor *out, size_t n_out) {
    atomic_store(&c->cancelled, false);
    c->error.text[0] = '\0';
    uint32_t want = xf_model_plan(c->model)->head->n_outputs; /* all have as many */
    if (n_out != want || (n_out && !out))
        return xf_fail(&c->error, XF_E_ARG, "%zu outputs given, the model has %u", n_out, want);
    XF_TRY(entry ? xf_bind(&entry->plan, in, n_in, true, c->values, &c->error)
                 : xf_bind_run(c->model, in, n_in, true, c->values, &entry, &c->error));
    c->plan = &entry->plan;
    c->first_step = entry->first_step;
    XF_TRY(prepare(c, in, out));
    c->range_error = 0;
    xf_status status = run_span(c, 0, c->plan->head->n_steps);
    if (c->own_pool) xf_pool_end_run(c->own_pool);
    XF_TRY(status);
    c->runs++;
    if (c->flags & XF_CHECK_FINITE) XF_TRY(check_finite(c));
    report_outputs(c, out);
    return XF_OK;
}

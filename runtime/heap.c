/* heap.c - memory for values whose size only data knows.
 *
 * The plan gives each such value a slot, from the step that makes it to its last reader; values take turns in a slot.
 * When a step begins all sizes of what it makes are known: a slot that is too small grows then. Nothing of worth is in
 * it, so nothing is copied, and no other slot moves. It is not shrunk, so runs of the same or of smaller sizes allocate
 * nothing. An output that the context provides has a slot of its own, as it outlives the run; scratch has one, too.
 *
 * In a caller's arena slots lie behind everything else, and are placed anew in each run: each in the first gap that
 * holds it, which is bounded by slots that hold something.
 */
#include "runtime/runtime.h"

void xf_heap_begin(xf_ctx *c, char *free) {
    if (c->own_arena) return;
    c->heap = free;
    c->end = c->arena + c->arena_bytes;
    for (uint32_t i = 0; i < c->model->n_slots; i++) c->slots[i] = (xf_slot){0};
}

void xf_heap_end(xf_ctx *c) {
    for (uint32_t i = 0; i < c->model->n_slots && c->own_arena; i++)
        c->model->device->release(c->slots[i].data, c->slots[i].bytes);
}

static xf_status no_memory(xf_ctx *c, size_t bytes, const xf_step_info *s) {
    char nodes[400] = "";
    xf_text_nodes(&(xf_text){nodes, sizeof nodes, 0}, c->plan, s);
    if (c->own_arena)
        return xf_fail(&c->error, XF_E_NOMEM, "out of memory: node %s makes %zu bytes, a size that comes from data",
                       nodes, bytes);
    return xf_fail(&c->error, XF_E_NOMEM,
                   "node %s makes a size that comes from data, with which the run needs %zu bytes of arena so far; it "
                   "has %zu",
                   nodes, bytes, c->arena_bytes);
}

/* The slot that lies in [at, at + bytes); NULL: there is none. */
static const xf_slot *in_the_way(const xf_ctx *c, const char *at, size_t bytes) {
    for (uint32_t i = 0; i < c->model->n_slots; i++) {
        const xf_slot *s = &c->slots[i];
        if (s->bytes && at < s->data + s->bytes && s->data < at + bytes) return s;
    }
    return NULL;
}

/* bytes: less than the address space from here on. */
static xf_status place(xf_ctx *c, xf_slot *slot, size_t bytes, const xf_step_info *step) {
    *slot = (xf_slot){0};
    char *at = c->heap;
    if (bytes > PTRDIFF_MAX / 2) return no_memory(c, bytes, step);
    while ((size_t)(c->end - at) >= bytes) {
        const xf_slot *other = in_the_way(c, at, bytes);
        if (!other) {
            *slot = (xf_slot){at, bytes};
            return XF_OK;
        }
        at = other->data + other->bytes;
    }
    return no_memory(c, (size_t)(at - c->arena) + bytes, step);
}

xf_status xf_heap_reserve(xf_ctx *c, uint32_t at, int64_t bytes, const xf_step_info *step) {
    xf_slot *slot = &c->slots[at];
    if (bytes <= 0 || (size_t)bytes <= slot->bytes) return XF_OK;
    if (bytes > PTRDIFF_MAX - (int64_t)XF_HUGE_PAGE) return no_memory(c, (size_t)bytes, step);
    size_t size = ((size_t)bytes + XF_ALIGN - 1) / XF_ALIGN * XF_ALIGN;
    if (!c->own_arena) return place(c, slot, size, step);
    c->model->device->release(slot->data, slot->bytes);
    *slot = (xf_slot){0};
    slot->data = xf_device_take(c->model->device, size, &slot->bytes);
    return slot->data ? XF_OK : no_memory(c, size, step);
}

/* An output: into the caller's memory where it lies on the device, else into its slot. */
static xf_status make_output(xf_ctx *c, const xf_operand *o, const xf_step_info *step) {
    const xf_plan *p = c->plan;
    const int64_t bytes = c->values[o->value];
    uint32_t i = o->index;
    if (!c->ours[i] && (uint64_t)bytes > c->room[i])
        return xf_fail(&c->error, XF_E_NOMEM, "output %u '%s' has %lld bytes in this run, its buffer %zu", i,
                       xf_plan_str(p, xf_plan_output(p, i)->name), (long long)bytes, c->room[i]);
    if (!c->ours[i] && c->model->device->is_host) return XF_OK;
    XF_TRY(xf_heap_reserve(c, i, bytes, step));
    c->out_data[i] = c->slots[i].data ? c->slots[i].data : c->work;
    return XF_OK;
}

xf_status xf_heap_results(xf_ctx *c, const xf_step_info *s) {
    const xf_plan *p = c->plan;
    for (uint32_t i = s->n_in; i < s->n_in + s->n_out; i++) {
        const xf_operand *o = &p->operands[s->first_operand + i];
        bool output = o->space == XF_SPACE_OUTPUT && xf_arg_grows(p, xf_plan_output(p, o->index));
        if (!output && o->space != XF_SPACE_HEAP) continue;
        if (c->values[o->value] < 0) return xf_fail(&c->error, XF_E_SHAPE, "a size that comes from data is negative");
        XF_TRY(output ? make_output(c, o, s)
                      : xf_heap_reserve(c, xf_slot_of_scratch(c) + 1 + o->index, c->values[o->value], s));
    }
    return XF_OK;
}

xf_status xf_heap_scratch(xf_ctx *c, const xf_step_info *s, int64_t stride, char **scratch) {
    int64_t bytes;
    *scratch = c->scratch;
    if (!s->grows || stride <= 0) return XF_OK;
    if (__builtin_mul_overflow(stride, c->threads, &bytes)) bytes = INT64_MAX;
    XF_TRY(xf_heap_reserve(c, xf_slot_of_scratch(c), bytes, s));
    *scratch = c->slots[xf_slot_of_scratch(c)].data;
    return XF_OK;
}

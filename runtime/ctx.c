/* ctx.c - contexts: their fixed arrays, the arena, and where things lie in it.
 *
 *   arena  [ workspace of the plan | scratch of worker 0, 1, ... | outputs that the caller left to the context ]
 *
 * Of values whose size only data knows see heap.c.
 *
 * Where callers' memory is not the device's, copies of all inputs stand before the outputs, which are all there.
 *
 * Everything whose size depends on the plan alone is one block allocated with the context. Everything whose size
 * depends on dims is in the arena: the caller's, which never grows, or the context's own, which grows to the largest
 * run so far and is not shrunk. So a run in the steady state allocates nothing.
 */
#include "runtime/runtime.h"
#include <stdlib.h>
#include <string.h>

/* --- layout --- */

/* *at += bytes * n, rounded up to the next place; false: overflow. */
static bool advance(size_t *at, size_t bytes, size_t n) {
    size_t size;
    if (__builtin_mul_overflow(bytes, n, &size) || __builtin_add_overflow(*at, size, at)) return false;
    if (*at > PTRDIFF_MAX - XF_ALIGN) return false;
    *at = (*at + XF_ALIGN - 1) / XF_ALIGN * XF_ALIGN;
    return true;
}

/* Scratch of one worker: the most that any step wants. */
static int64_t most_scratch(const xf_plan *p, const int64_t *values) {
    int64_t most = 0;
    for (uint32_t i = 0; i < p->head->n_steps; i++) {
        if (p->steps[i].grows) continue;
        int64_t bytes = xf_step_scratch(p, &p->steps[i], values);
        if (bytes > most) most = bytes;
    }
    return most < INT64_MAX - XF_ALIGN ? xf_scratch_stride(most) : most;
}

xf_status xf_layout_make(const xf_plan *p, const xf_dev *device, const int64_t *values, int32_t threads,
                         const bool *ours, xf_layout *l, xf_error *error) {
    size_t at = 0, bytes;
    if (values[p->head->work_bytes] < 0) return xf_fail(error, XF_E_INTERNAL, "the planned workspace is negative");
    bool fits = advance(&at, (size_t)values[p->head->work_bytes], 1);
    l->scratch = at;
    fits = fits && advance(&at, (size_t)most_scratch(p, values), (size_t)threads);
    l->inputs = at;
    for (uint32_t i = 0; i < p->head->n_inputs && fits && !device->is_host; i++)
        fits = xf_arg_size(p, xf_plan_input(p, i), values, &bytes) && advance(&at, bytes, 1);
    l->outputs = at;
    for (uint32_t i = 0; i < p->head->n_outputs && fits; i++)
        if (!ours || ours[i] || !device->is_host)
            fits = xf_arg_size(p, xf_plan_output(p, i), values, &bytes) && advance(&at, bytes, 1);
    l->total = at;
    return fits ? XF_OK : xf_fail(error, XF_E_NOMEM, "the workspace for these dims is larger than the address space");
}

/* --- arena --- */

char *xf_device_take(const xf_dev *device, size_t bytes, size_t *got) {
    size_t align = bytes >= XF_HUGE_PAGE ? XF_HUGE_PAGE : XF_ALIGN;
    size_t size = bytes > SIZE_MAX - align ? 0 : (bytes + align - 1) / align * align;
    char *data = size ? device->alloc(size) : NULL;
    *got = data ? size : 0;
    return data;
}

static xf_status grow(xf_ctx *c, size_t bytes) {
    const xf_dev *device = c->model->device;
    device->release(c->arena, c->arena_bytes); /* first: nothing in it outlives a run, and the peak stays low */
    c->arena = xf_device_take(device, bytes, &c->arena_bytes);
    if (!c->arena) return xf_fail(&c->error, XF_E_NOMEM, "out of memory: the run needs %zu bytes", bytes);
    return XF_OK;
}

xf_status xf_arena_reserve(xf_ctx *c, size_t bytes, char **base) {
    if (c->own_arena) {
        if (c->arena_bytes < bytes || !c->arena) XF_TRY(grow(c, bytes ? bytes : XF_ALIGN));
        *base = c->arena;
        return XF_OK;
    }
    size_t skip = (size_t)(-(uintptr_t)c->arena % XF_ALIGN);
    if (c->arena_bytes < skip || c->arena_bytes - skip < bytes)
        return xf_fail(&c->error, XF_E_NOMEM, "the run needs %zu bytes of arena, it has %zu (see workspace_size)",
                       bytes + skip, c->arena_bytes);
    *base = c->arena + skip;
    return XF_OK;
}

/* --- contexts --- */

/* Hands out n * size bytes of the block after the context; with block NULL it only counts. */
static void *take(char *block, size_t *at, size_t n, size_t size) {
    *at = (*at + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
    void *p = block ? block + *at : NULL;
    *at += n * size;
    return p;
}

/* For any plan of the model. */
static size_t carve(xf_ctx *c, char *block, const xf_model *m) {
    const xf_plan_header *h = xf_model_plan(m)->head;
    const xf_entry *packed = xf_model_packed(m);
    size_t inputs = 0;
    xf_ctx none;
    if (!c) c = &none;
    size_t at = sizeof *c;
    for (int i = 0; i < XF_N_PLANS; i++) {
        const xf_plan *p = &m->entry[i].plan;
        if (p->head && p->head->n_inputs > inputs) inputs = p->head->n_inputs;
    }
    c->values = take(block, &at, (size_t)m->max_values + 1, sizeof *c->values);
    c->in_data = take(block, &at, inputs + 1, sizeof *c->in_data);
    c->packed_in = take(block, &at, packed ? packed->plan.head->n_inputs : 0, sizeof *c->packed_in);
    c->out_data = take(block, &at, (size_t)h->n_outputs + 1, sizeof *c->out_data);
    c->given = take(block, &at, (size_t)h->n_outputs + 1, sizeof *c->given);
    c->buffers = take(block, &at, m->max_operands, sizeof *c->buffers);
    c->numbers = take(block, &at, m->max_numbers, sizeof *c->numbers);
    c->out_dims = take(block, &at, (size_t)h->n_outputs + 1, sizeof *c->out_dims);
    c->ours = take(block, &at, (size_t)h->n_outputs + 1, sizeof *c->ours);
    c->room = take(block, &at, (size_t)h->n_outputs + 1, sizeof *c->room);
    c->slots = take(block, &at, m->n_slots, sizeof *c->slots);
    c->tapped = take(block, &at, (size_t)m->n_steps + 1, sizeof *c->tapped);
    return at;
}

static xf_status check_opts(const xf_model *m, const xf_ctx_opts *o, xf_error *error) {
    if (o->flags & ~(XF_DETERMINISTIC | XF_CHECK_FINITE))
        return xf_fail(error, XF_E_ARG, "xf_ctx_opts.flags is %#x, which has unknown flags", (unsigned)o->flags);
    if (o->num_threads < 0 || o->num_threads > XF_MAX_THREADS)
        return xf_fail(error, XF_E_ARG, "num_threads is %d, expected 0 (default) to %d", (int)o->num_threads,
                       XF_MAX_THREADS);
    if (o->stream) return xf_fail(error, XF_E_DEVICE, "a stream was given, but this artefact has CPU code only");
    if (o->arena_size && !o->arena)
        return xf_fail(error, XF_E_ARG, "arena_size is %zu, but arena is NULL", o->arena_size);
    if (o->arena && !m->device->is_host)
        return xf_fail(error, XF_E_DEVICE, "an arena was given, but the model runs in memory of device type %d",
                       (int)m->device->where.device_type);
    return XF_OK;
}

xf_status xf_ctx_create(xf_model *m, const xf_ctx_opts *o, xf_ctx **out, xf_error *error) {
    XF_TRY(check_opts(m, o, error));
    xf_ctx *c = calloc(1, carve(NULL, NULL, m));
    if (!c) return xf_fail(error, XF_E_NOMEM, "out of memory");
    carve(c, (char *)c, m);
    c->model = m;
    c->plan = xf_model_plan(m);
    c->threads = xf_thread_count(o->num_threads);
    c->flags = o->flags;
    c->parallel = o->parallel_for ? o->parallel_for : xf_pool_parallel;
    if (!o->parallel_for && c->threads > 1) {
        c->own_pool = xf_pool_create(c->threads);
        if (!c->own_pool) {
            free(c);
            return xf_fail(error, XF_E_NOMEM, "out of memory");
        }
    }
    c->pool = o->parallel_for ? o->pool : c->own_pool;
    c->arena = o->arena;
    c->arena_bytes = o->arena_size;
    c->own_arena = !o->arena;
    atomic_init(&c->cancelled, false);
    atomic_init(&c->busy, false);
    *out = c;
    return XF_OK;
}

void xf_ctx_destroy(xf_ctx *c) {
    xf_pool_destroy(c->own_pool);
    xf_heap_end(c);
    if (c->own_arena) c->model->device->release(c->arena, c->arena_bytes);
    free(c->times);
    free(c);
}

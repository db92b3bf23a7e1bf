/* api.c - the one exported symbol and the table behind it; models; where error texts go.
 *
 * A model is the checked plan, the chosen code variant, the mapped weights and the declared signature: everything in it
 * is made by open and constant from then on, so threads share it without locks. Every entry of the table that may touch
 * errno restores it.
 */
#include "runtime/runtime.h"
#include "xfc/check.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define XF_EXPORT __attribute__((visibility("default")))
#else
#define XF_EXPORT
#endif

/* Errors of calls that have no context to keep them. */
static _Thread_local xf_error thread_error;

/* The context that last refused a call of this thread because it was running: its own text belongs to that run. */
static _Thread_local const xf_ctx *refused_by;

xf_error *xf_thread_error(void) { return &thread_error; }

xf_status xf_fail(xf_error *error, xf_status status, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(error->text, sizeof error->text, fmt, args);
    va_end(args);
    return status;
}

static const char *api_status_string(xf_status status) {
    switch (status) {
    case XF_OK: return "ok";
    case XF_E_ARG: return "bad argument";
    case XF_E_DTYPE: return "wrong element type";
    case XF_E_SHAPE: return "wrong shape";
    case XF_E_NOMEM: return "not enough memory";
    case XF_E_IO: return "file damaged or missing";
    case XF_E_CPU: return "no code for this CPU";
    case XF_E_DEVICE: return "device not served";
    case XF_E_RANGE: return "value out of range";
    case XF_E_CANCELLED: return "cancelled";
    case XF_E_ABI: return "incompatible version";
    case XF_E_INTERNAL: return "internal error";
    }
    return "unknown status";
}

/* --- models --- */

static void model_free(xf_model *m) {
    xf_signature_free(m);
    xf_weights_close(m);
    free(m);
}

static void measure(xf_model *m, xf_entry *e) {
    const xf_plan *p = &e->plan;
    e->first_step = m->n_steps;
    m->n_steps += p->head->n_steps;
    if (p->n_values > m->max_values) m->max_values = p->n_values;
    uint32_t slots = p->head->n_outputs + 1 + p->head->n_slots; /* an output each, scratch, and the plan's */
    if (slots > m->n_slots) m->n_slots = slots;
    for (uint32_t i = 0; i < p->head->n_steps; i++) {
        const xf_step_info *s = &p->steps[i];
        if (s->n_in + s->n_out > m->max_operands) m->max_operands = s->n_in + s->n_out;
        if (s->n_numbers > m->max_numbers) m->max_numbers = s->n_numbers;
    }
}

static xf_status plan_failed(const xf_plan_header *h, const char *section, const char *why, xf_error *error) {
    bool version = h && h->magic == XF_PLAN_MAGIC && h->abi != XF_CODE_ABI;
    return xf_fail(error, version ? XF_E_ABI : XF_E_IO, "the plan of the model (section %s) cannot be used: %s",
                   section, why);
}

static bool variants_damaged(const xf_variant *v) {
    uint32_t check = xf_variants_check(v);
    while (v->name) v++;
    return v->level != check;
}

/* NULL, or why this plan cannot stand beside that of run. */
static const char *stranger(const xf_model *m, int which) {
    const xf_plan_header *run = xf_model_plan(m)->head, *h = m->entry[which].plan.head;
    if (h->n_outputs != run->n_outputs) return "its outputs are others";
    if (h->weight_bytes != run->weight_bytes) return "its weights are others";
    if (which == XF_PLAN_EQUAL && h->n_inputs != run->n_inputs) return "its inputs are others";
    return which == XF_PLAN_PACKED ? xf_packed_check(&m->entry[which].plan) : NULL;
}

static xf_status open_plans(xf_model *m, xf_error *error) {
    static const char *const section[XF_N_PLANS] = XF_PLAN_SECTIONS;
    m->max_operands = m->max_numbers = 1;
    for (int i = 0; i < XF_N_PLANS; i++) {
        const xf_plan_header *h = (const void *)xf_plans[i];
        if (!h && i != XF_PLAN_RUN) continue;
        const char *why = h ? xf_plan_open(&m->entry[i].plan, h, h->size) : "there is none";
        if (!why) why = stranger(m, i);
        if (why) return plan_failed(h, section[i], why, error);
        measure(m, &m->entry[i]);
    }
    return XF_OK;
}

static xf_status model_init(xf_model *m, const xf_open_opts *o, xf_error *error) {
    XF_TRY(open_plans(m, error));
    if (variants_damaged(xf_variants))
        return xf_fail(error, XF_E_IO, "the file is damaged: its table of code variants is not what xfc wrote");
    m->device = xf_device_find(o->device.device_type);
    if (!m->device)
        return xf_fail(error, XF_E_DEVICE, "device type %d: this artefact has CPU code only",
                       (int)o->device.device_type);
    if (o->flags & ~XF_OPEN_VERIFY)
        return xf_fail(error, XF_E_ARG, "xf_open_opts.flags is %#x, which has unknown flags", (unsigned)o->flags);
    const char *forced = o->isa && *o->isa ? o->isa : getenv("XF_ISA");
    XF_TRY(xf_variant_pick(xf_variants, forced && *forced ? forced : NULL, &m->variant, error));
    XF_TRY(xf_weights_open(m, o, error));
    XF_TRY(xf_weights_place(m, error));
    return xf_signature_make(m, error);
}

xf_status xf_read_opts(void *to, size_t size, const void *from, const char *type, xf_error *error) {
    memset(to, 0, size);
    if (!from) return XF_OK;
    size_t given;
    memcpy(&given, from, sizeof given);
    if (given < sizeof given || given > 4096)
        return xf_fail(error, XF_E_ABI, "%s.struct_size is %zu; set it to sizeof(%s)", type, given, type);
    const unsigned char *bytes = from;
    for (size_t i = size; i < given; i++)
        if (bytes[i]) return xf_fail(error, XF_E_ABI, "%s has fields that this artefact is too old for", type);
    memcpy(to, from, given < size ? given : size);
    return XF_OK;
}

static xf_status api_open(const xf_open_opts *opts, xf_model **out) {
    int saved = errno;
    xf_error *error = xf_thread_error();
    if (!out) return xf_fail(error, XF_E_ARG, "open: the model pointer is NULL");
    *out = NULL;
    xf_open_opts o;
    XF_TRY(xf_read_opts(&o, sizeof o, opts, "xf_open_opts", error));
    xf_model *m = calloc(1, sizeof *m);
    if (!m) return xf_fail(error, XF_E_NOMEM, "out of memory");
    atomic_init(&m->refs, 1);
    xf_status status = model_init(m, &o, error);
    if (status == XF_OK)
        *out = m;
    else
        model_free(m);
    errno = saved;
    return status;
}

static void api_retain(xf_model *m) {
    if (m) atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

static void api_release(xf_model *m) {
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
    int saved = errno;
    model_free(m);
    errno = saved;
}

static size_t api_num_inputs(const xf_model *m) { return m ? xf_model_plan(m)->head->n_inputs : 0; }
static size_t api_num_outputs(const xf_model *m) { return m ? xf_model_plan(m)->head->n_outputs : 0; }

static const xf_io_info *api_input_info(const xf_model *m, size_t i) {
    return i < api_num_inputs(m) ? &m->entry[XF_PLAN_RUN].io[i] : NULL;
}

static const xf_io_info *api_output_info(const xf_model *m, size_t i) {
    return i < api_num_outputs(m) ? &m->entry[XF_PLAN_RUN].io[api_num_inputs(m) + i] : NULL;
}

static const char *api_signature_json(const xf_model *m) { return m ? m->signature : NULL; }

static const char *api_metadata(const xf_model *m, const char *key) {
    if (!m || !key) return NULL;
    return strcmp(key, "isa") == 0 ? m->variant->name : xf_plan_meta(xf_model_plan(m), key);
}

static size_t api_num_packed_inputs(const xf_model *m) {
    const xf_entry *packed = xf_model_packed(m);
    return packed ? packed->plan.head->n_inputs - XF_PACKED_EXTRA : 0;
}

static const xf_io_info *api_packed_input_info(const xf_model *m, size_t i) {
    return i < api_num_packed_inputs(m) ? &xf_model_packed(m)->io[i] : NULL;
}

static const xf_io_info *api_packed_output_info(const xf_model *m, size_t i) {
    const xf_entry *packed = xf_model_packed(m);
    return packed && i < packed->plan.head->n_outputs ? &packed->io[packed->plan.head->n_inputs + i] : NULL;
}

/* --- planning --- */

static xf_status write_shape(const xf_plan *p, size_t i, const int64_t *values, xf_tensor *out, xf_error *error) {
    const xf_arg *a = xf_plan_output(p, i);
    const char *name = xf_plan_str(p, a->name);
    size_t bytes;
    if (!xf_arg_size(p, a, values, &bytes))
        return xf_fail(error, XF_E_SHAPE, "output %zu '%s': its size overflows", i, name);
    if (out->shape && out->ndim < (int32_t)a->n_dims)
        return xf_fail(error, XF_E_SHAPE, "output %zu '%s': shape has room for %d dims, the output has %u", i, name,
                       (int)out->ndim, a->n_dims);
    if (out->shape) xf_arg_most(p, a, values, out->shape);
    out->ndim = (int32_t)a->n_dims;
    out->dtype = xf_arg_dtype(a);
    out->device = (xf_device){1, 0};
    return XF_OK;
}

/* Inputs of either entry: cu_seqlens NULL and n_seq 0 for the padded one. */
typedef struct {
    const xf_model *model;
    bool packed;
    const xf_tensor *in;
    size_t n_in;
    const int32_t *cu_seqlens;
    size_t n_seq;
} request;

/* What is asked for, once all sizes are known. */
typedef xf_status answer_fn(const xf_plan *, const int64_t *values, void *user, xf_error *);

static xf_status bind_packed(const request *r, int64_t *values, const xf_entry **entry, xf_error *error) {
    *entry = xf_model_packed(r->model);
    if (!*entry) return xf_fail(error, XF_E_ARG, "the model was built without --packed-entry");
    const xf_plan *p = &(*entry)->plan;
    xf_packed_dims dims;
    xf_tensor *all = calloc(p->head->n_inputs, sizeof *all);
    if (!all) return xf_fail(error, XF_E_NOMEM, "out of memory");
    xf_status status = xf_packed_inputs(p, r->in, r->n_in, r->cu_seqlens, r->n_seq, all, &dims, error);
    if (status == XF_OK) status = xf_bind(p, all, p->head->n_inputs, false, values, error);
    free(all);
    return status;
}

static xf_status answer(const request *r, answer_fn *fn, void *user) {
    int saved = errno;
    xf_error *error = xf_thread_error();
    const xf_entry *entry = NULL;
    int64_t *values = calloc((size_t)r->model->max_values + 1, sizeof *values);
    if (!values) return xf_fail(error, XF_E_NOMEM, "out of memory");
    xf_status status = r->packed ? bind_packed(r, values, &entry, error)
                                 : xf_bind_run(r->model, r->in, r->n_in, false, values, &entry, error);
    if (status == XF_OK) status = fn(&entry->plan, values, user, error);
    free(values);
    errno = saved;
    return status;
}

typedef struct {
    xf_tensor *out;
    size_t n;
} shapes;

static xf_status answer_shapes(const xf_plan *p, const int64_t *values, void *user, xf_error *error) {
    const shapes *s = user;
    xf_status status = XF_OK;
    for (size_t i = 0; i < s->n && status == XF_OK; i++) status = write_shape(p, i, values, &s->out[i], error);
    return status;
}

static xf_status infer(const request *r, xf_tensor *out, size_t n_out) {
    if (!r->model) return xf_fail(xf_thread_error(), XF_E_ARG, "infer_shapes: the model is NULL");
    if (n_out != api_num_outputs(r->model) || (n_out && !out))
        return xf_fail(xf_thread_error(), XF_E_ARG, "%zu outputs given, the model has %zu", n_out,
                       api_num_outputs(r->model));
    return answer(r, answer_shapes, &(shapes){out, n_out});
}

typedef struct {
    const xf_dev *device;
    int32_t threads;
    size_t *bytes;
} size_of_run;

static xf_status answer_size(const xf_plan *p, const int64_t *values, void *user, xf_error *error) {
    const size_of_run *s = user;
    xf_layout layout;
    XF_TRY(xf_layout_make(p, s->device, values, xf_thread_count(s->threads), NULL, &layout, error));
    *s->bytes = layout.total + XF_ALIGN - 1; /* the arena may start anywhere */
    return XF_OK;
}

static xf_status size_run(const request *r, int32_t threads, size_t *bytes) {
    if (!r->model || !bytes)
        return xf_fail(xf_thread_error(), XF_E_ARG, "workspace_size: the %s is NULL",
                       r->model ? "result pointer" : "model");
    return answer(r, answer_size, &(size_of_run){r->model->device, threads, bytes});
}

static xf_status api_infer_shapes(const xf_model *m, const xf_tensor *in, size_t n_in, xf_tensor *out, size_t n_out) {
    return infer(&(request){.model = m, .in = in, .n_in = n_in}, out, n_out);
}

static xf_status api_workspace_size(const xf_model *m, const xf_tensor *in, size_t n_in, int32_t threads,
                                    size_t *bytes) {
    return size_run(&(request){.model = m, .in = in, .n_in = n_in}, threads, bytes);
}

static xf_status api_packed_infer_shapes(const xf_model *m, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens,
                                         size_t n_seq, xf_tensor *out, size_t n_out) {
    return infer(&(request){m, true, in, n_in, cu_seqlens, n_seq}, out, n_out);
}

static xf_status api_packed_workspace_size(const xf_model *m, const xf_tensor *in, size_t n_in,
                                           const int32_t *cu_seqlens, size_t n_seq, int32_t threads, size_t *bytes) {
    return size_run(&(request){m, true, in, n_in, cu_seqlens, n_seq}, threads, bytes);
}

/* --- contexts: see ctx.c and run.c --- */

static xf_status api_ctx_create(xf_model *m, const xf_ctx_opts *opts, xf_ctx **out) {
    int saved = errno;
    xf_error *error = xf_thread_error();
    if (!m || !out) return xf_fail(error, XF_E_ARG, "ctx_create: a pointer is NULL");
    *out = NULL;
    xf_ctx_opts o;
    XF_TRY(xf_read_opts(&o, sizeof o, opts, "xf_ctx_opts", error));
    xf_status status = xf_ctx_create(m, &o, out, error);
    if (status == XF_OK) api_retain(m);
    if (*out == refused_by) refused_by = NULL; /* another context, where an old one was */
    errno = saved;
    return status;
}

static void api_ctx_destroy(xf_ctx *c) {
    if (!c) return;
    int saved = errno;
    xf_model *m = c->model;
    xf_ctx_destroy(c);
    api_release(m);
    errno = saved;
}

/* A context serves one call at a time, and only that call may write into it. */
static xf_status enter(xf_ctx *c, const char *call) {
    if (!c) return xf_fail(&thread_error, XF_E_ARG, "%s: the context is NULL", call);
    if (!atomic_exchange(&c->busy, true)) return XF_OK;
    refused_by = c;
    return XF_E_ARG;
}

static xf_status leave(xf_ctx *c, int saved_errno, xf_status status) {
    errno = saved_errno;
    if (refused_by == c) refused_by = NULL; /* by a tap of this call */
    atomic_store(&c->busy, false);
    return status;
}

static xf_status api_run(xf_ctx *c, const xf_tensor *in, size_t n_in, xf_tensor *out, size_t n_out) {
    int saved = errno;
    XF_TRY(enter(c, "run"));
    return leave(c, saved, xf_run(c, NULL, in, n_in, out, n_out));
}

static xf_status api_run_packed(xf_ctx *c, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens, size_t n_seq,
                                xf_tensor *out, size_t n_out) {
    int saved = errno;
    XF_TRY(enter(c, "run_packed"));
    return leave(c, saved, xf_run_packed(c, in, n_in, cu_seqlens, n_seq, out, n_out));
}

static xf_status api_set_tap(xf_ctx *c, const char *node_glob, xf_tap tap, void *user) {
    int saved = errno;
    XF_TRY(enter(c, "set_tap"));
    return leave(c, saved, xf_set_tap(c, node_glob, tap, user));
}

static xf_status api_profile_start(xf_ctx *c) {
    int saved = errno;
    XF_TRY(enter(c, "profile_start"));
    return leave(c, saved, xf_profile_start(c));
}

static xf_status api_profile_json(xf_ctx *c, char *buf, size_t cap, size_t *len) {
    int saved = errno;
    XF_TRY(enter(c, "profile_json"));
    return leave(c, saved, xf_profile_json(c, buf, cap, len));
}

static const char *api_last_error(const xf_ctx *c) {
    if (!c) return thread_error.text;
    if (c == refused_by)
        return "the context is already running, in another thread or below a tap; use one for each caller";
    return c->error.text;
}

static void api_cancel(xf_ctx *c) {
    if (c) atomic_store(&c->cancelled, true);
}

static const xf_api table = {
    .abi_version = XF_ABI_VERSION,
    .struct_size = sizeof table,
    .status_string = api_status_string,
    .open = api_open,
    .retain = api_retain,
    .release = api_release,
    .num_inputs = api_num_inputs,
    .num_outputs = api_num_outputs,
    .input_info = api_input_info,
    .output_info = api_output_info,
    .signature_json = api_signature_json,
    .metadata = api_metadata,
    .infer_shapes = api_infer_shapes,
    .workspace_size = api_workspace_size,
    .ctx_create = api_ctx_create,
    .ctx_destroy = api_ctx_destroy,
    .run = api_run,
    .run_packed = api_run_packed,
    .last_error = api_last_error,
    .cancel = api_cancel,
    .set_tap = api_set_tap,
    .profile_start = api_profile_start,
    .profile_json = api_profile_json,
    .num_packed_inputs = api_num_packed_inputs,
    .packed_input_info = api_packed_input_info,
    .packed_output_info = api_packed_output_info,
    .packed_infer_shapes = api_packed_infer_shapes,
    .packed_workspace_size = api_packed_workspace_size,
};

XF_EXPORT const xf_api *xf_get_api(uint32_t abi_version) { return abi_version == XF_ABI_VERSION ? &table : NULL; }

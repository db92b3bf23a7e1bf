/* signature.c - what the model declares of its inputs and outputs, as structs and as JSON. Made once by open. */
#include "runtime/runtime.h"
#include <stdlib.h>
#include <string.h>

/* One block: the infos, then dims, minima and maxima, then names of dims. */
static xf_io_info *new_infos(const xf_plan *p, size_t n) {
    size_t dims = 0;
    for (size_t i = 0; i < n; i++) dims += p->args[i].n_dims;
    xf_io_info *infos = calloc(1, n * sizeof *infos + dims * (3 * sizeof(int64_t) + sizeof(char *)) + 1);
    if (!infos) return NULL;
    int64_t *number = (int64_t *)(infos + n);
    const char **name = (const char **)(number + 3 * dims);
    for (size_t i = 0, at = 0; i < n; at += p->args[i++].n_dims) {
        infos[i].dim = number + at;
        infos[i].dim_min = number + dims + at;
        infos[i].dim_max = number + 2 * dims + at;
        infos[i].dim_name = name + at;
    }
    return infos;
}

static void fill_info(const xf_plan *p, const xf_arg *a, xf_io_info *info) {
    int64_t *size = (int64_t *)(uintptr_t)info->dim, *min = (int64_t *)(uintptr_t)info->dim_min;
    int64_t *max = (int64_t *)(uintptr_t)info->dim_max;
    const char **name = (const char **)(uintptr_t)info->dim_name;
    info->name = xf_plan_str(p, a->name);
    info->dtype = xf_arg_dtype(a);
    info->ndim = (int32_t)a->n_dims;
    for (uint32_t d = 0; d < a->n_dims; d++) {
        const xf_dim *dim = &p->dims[a->first_dim + d];
        if (dim->name) name[d] = xf_plan_str(p, dim->name);
        if (xf_plan_const(p, dim->value, &size[d])) {
            min[d] = max[d] = size[d];
        } else if (dim->value < p->head->n_symbols) {
            const xf_symbol *s = &p->symbols[dim->value];
            size[d] = -1, min[d] = s->lo, max[d] = s->hi < 0 ? -1 : s->hi;
        } else {
            size[d] = -1, min[d] = 0, max[d] = -1;
        }
    }
}

static void write_dim(xf_text *t, const xf_io_info *info, int32_t d) {
    if (info->dim[d] >= 0) {
        xf_text_printf(t, "{\"size\": %lld}", (long long)info->dim[d]);
        return;
    }
    xf_text_printf(t, "{\"name\": ");
    if (info->dim_name[d])
        xf_text_json(t, info->dim_name[d]);
    else
        xf_text_printf(t, "null");
    xf_text_printf(t, ", \"min\": %lld, \"max\": ", (long long)info->dim_min[d]);
    if (info->dim_max[d] >= 0)
        xf_text_printf(t, "%lld}", (long long)info->dim_max[d]);
    else
        xf_text_printf(t, "null}");
}

/* An output that padding removal leaves 0 where an input is 0. */
static void write_padding(xf_text *t, const xf_plan *p, const char *name) {
    const char *mask = xf_plan_padding(p, name);
    if (!mask) return;
    xf_text_printf(t, ", \"zero_where\": ");
    xf_text_json(t, mask);
}

/* An output that may lie where an input does. */
static void write_cache(xf_text *t, const xf_plan *p, const xf_arg *a) {
    if (!a->twin) return;
    xf_text_printf(t, ", \"appends_to\": ");
    xf_text_json(t, xf_plan_str(p, p->args[a->twin - 1].name));
    xf_text_printf(t, ", \"axis\": %u", a->axis);
}

static void write_infos(xf_text *t, const xf_plan *p, const xf_io_info *info, size_t first, size_t n) {
    for (size_t i = first; i < first + n; i++) {
        char dtype[24];
        xf_text_printf(t, "%s\n    {\"name\": ", i == first ? "" : ",");
        xf_text_json(t, info[i].name);
        xf_text_printf(t, ", \"dtype\": \"%s\", \"dims\": [", xf_dtype_name(p->args[i].dtype, dtype));
        for (int32_t d = 0; d < info[i].ndim; d++) {
            xf_text_printf(t, "%s", d ? ", " : "");
            write_dim(t, &info[i], d);
        }
        xf_text_printf(t, "]");
        if (first >= p->head->n_inputs) {
            write_padding(t, p, info[i].name);
            write_cache(t, p, &p->args[i]);
        }
        xf_text_printf(t, "}");
    }
}

/* hidden: last inputs that the caller does not give. */
static void write_entry(xf_text *t, const xf_plan *p, const xf_io_info *io, uint32_t hidden) {
    const xf_plan_header *h = p->head;
    xf_text_printf(t, "\"inputs\": [");
    write_infos(t, p, io, 0, h->n_inputs - hidden);
    xf_text_printf(t, "\n  ],\n  \"outputs\": [");
    write_infos(t, p, io, h->n_inputs, h->n_outputs);
    xf_text_printf(t, "\n  ]");
}

static void write_signature(xf_text *t, const xf_model *m) {
    const xf_entry *run = &m->entry[XF_PLAN_RUN], *packed = xf_model_packed(m);
    xf_text_printf(t, "{\n  ");
    write_entry(t, &run->plan, run->io, 0);
    if (packed) {
        xf_text_printf(t, ",\n  \"packed\": {");
        write_entry(t, &packed->plan, packed->io, XF_PACKED_EXTRA);
        xf_text_printf(t, "}");
    }
    const char *lossy = xf_plan_meta(&run->plan, "lossy"); /* JSON as it stands */
    if (lossy) xf_text_printf(t, ",\n  \"lossy\": %s", lossy);
    xf_text_printf(t, "\n}\n");
}

static bool describe(xf_entry *e) {
    const xf_plan *p = &e->plan;
    if (!p->head) return true;
    size_t n = (size_t)p->head->n_inputs + p->head->n_outputs;
    e->io = new_infos(p, n);
    for (size_t i = 0; e->io && i < n; i++) fill_info(p, &p->args[i], &e->io[i]);
    return e->io != NULL;
}

xf_status xf_signature_make(xf_model *m, xf_error *error) {
    if (!describe(&m->entry[XF_PLAN_RUN]) || !describe(&m->entry[XF_PLAN_PACKED]))
        return xf_fail(error, XF_E_NOMEM, "out of memory");
    xf_text measure = {0};
    write_signature(&measure, m);
    m->signature = malloc(measure.n + 1);
    if (!m->signature) return xf_fail(error, XF_E_NOMEM, "out of memory");
    write_signature(&(xf_text){m->signature, measure.n + 1, 0}, m);
    return XF_OK;
}

void xf_signature_free(xf_model *m) {
    for (int i = 0; i < XF_N_PLANS; i++) free(m->entry[i].io);
    free(m->signature);
}

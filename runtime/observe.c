/* observe.c - taps and the profile: looking at a run without changing it. Both work at the boundaries of kernels. */
#define _GNU_SOURCE
#include "runtime/runtime.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- taps --- */

/* * any text, ? any one byte. Linear: on a mismatch only the last * needs to be tried again. */
static bool glob_match(const char *glob, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*glob == '*') {
            star = ++glob;
            resume = text;
        } else if (*glob == '?' || *glob == *text) {
            glob++, text++;
        } else if (star) {
            glob = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*glob == '*') glob++;
    return *glob == '\0';
}

static bool step_matches(const xf_plan *p, const xf_step_info *s, const char *glob) {
    for (uint32_t i = 0; i < s->n_nodes; i++)
        if (glob_match(glob, xf_plan_str(p, p->nodes[s->first_node + i]))) return true;
    return s->n_nodes == 0 && glob_match(glob, "");
}

xf_status xf_set_tap(xf_ctx *c, const char *node_glob, xf_tap tap, void *user) {
    if (tap && !node_glob) return xf_fail(&c->error, XF_E_ARG, "set_tap: the glob is NULL; \"*\" taps every kernel");
    c->tap = tap;
    c->tap_user = user;
    for (int k = 0; k < XF_N_PLANS; k++) {
        const xf_entry *e = &c->model->entry[k];
        for (uint32_t i = 0; e->plan.head && i < e->plan.head->n_steps; i++)
            c->tapped[e->first_step + i] = tap && step_matches(&e->plan, &e->plan.steps[i], node_glob);
    }
    return XF_OK;
}

void xf_tap_step(xf_ctx *c, uint32_t step) {
    const xf_plan *p = c->plan;
    const xf_step_info *s = &p->steps[step];
    const char *node = s->n_nodes ? xf_plan_str(p, p->nodes[s->first_node + s->n_nodes - 1]) : "";
    for (uint32_t i = 0; i < s->n_out; i++) {
        const xf_arg *a = &p->args[s->first_out_arg + i];
        int64_t dims[XF_MAX_RANK];
        xf_arg_shape(p, a, c->values, dims);
        xf_tensor value = {.data = xf_step_operand(c, s, s->n_in + i),
                           .device = c->model->device->where,
                           .ndim = (int32_t)a->n_dims,
                           .dtype = xf_arg_dtype(a),
                           .shape = dims};
        c->tap(c->tap_user, node, (int32_t)i, &value);
    }
}

/* --- profile --- */

uint64_t xf_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

xf_status xf_profile_start(xf_ctx *c) {
    size_t n = (size_t)c->model->n_steps + 1;
    if (!c->times) c->times = malloc(n * sizeof *c->times);
    if (!c->times) return xf_fail(&c->error, XF_E_NOMEM, "out of memory");
    memset(c->times, 0, n * sizeof *c->times);
    c->runs = 0;
    return XF_OK;
}

void xf_profile_step(xf_ctx *c, uint32_t step, uint64_t start_ns) {
    xf_step_time *t = &c->times[c->first_step + step];
    uint64_t ns = xf_now_ns() - start_ns;
    xf_val flops = c->plan->steps[step].flops;
    t->min_ns = t->count == 0 || ns < t->min_ns ? ns : t->min_ns;
    t->total_ns += ns;
    t->count++;
    if (flops != XF_VAL_NONE && __builtin_add_overflow(t->flops, c->values[flops], &t->flops)) t->flops = INT64_MAX;
}

static void write_step(xf_text *t, const xf_plan *p, uint32_t i, const xf_step_time *time) {
    const xf_step_info *s = &p->steps[i];
    xf_text_printf(t, "{\"step\": %u, \"kernel\": ", i);
    if (s->kind == XF_STEP_KERNEL)
        xf_text_printf(t, "%u", s->kernel);
    else
        xf_text_printf(t, "null");
    xf_text_printf(t, ", \"form\": ");
    xf_text_json(t, xf_plan_str(p, s->form));
    xf_text_printf(t, ", \"count\": %llu, \"total_ns\": %llu, \"min_ns\": %llu, \"flops\": %lld, \"nodes\": [",
                   (unsigned long long)time->count, (unsigned long long)time->total_ns,
                   (unsigned long long)time->min_ns, (long long)time->flops);
    for (uint32_t n = 0; n < s->n_nodes; n++) {
        xf_text_printf(t, "%s", n ? ", " : "");
        xf_text_json(t, xf_plan_str(p, p->nodes[s->first_node + n]));
    }
    xf_text_printf(t, "]}");
}

static void write_steps(xf_text *t, const char *key, const xf_plan *p, const xf_step_time *times) {
    xf_text_printf(t, ",\n  \"%s\": [", key);
    for (uint32_t i = 0; i < p->head->n_steps; i++) {
        xf_text_printf(t, "%s\n    ", i ? "," : "");
        write_step(t, p, i, &times[i]);
    }
    xf_text_printf(t, "\n  ]");
}

static void write_profile(xf_text *t, const xf_ctx *c) {
    static const char *const key[XF_N_PLANS] = {"steps", "equal_steps", "packed_steps"};
    const xf_model *m = c->model;
    uint64_t total = 0;
    for (size_t i = 0; i < m->n_steps; i++) total += c->times[i].total_ns;
    xf_text_printf(t, "{\n  \"isa\": \"%s\", \"threads\": %d, \"runs\": %llu, \"total_ns\": %llu", m->variant->name,
                   (int)c->threads, (unsigned long long)c->runs, (unsigned long long)total);
    for (int i = 0; i < XF_N_PLANS; i++)
        if (m->entry[i].plan.head) write_steps(t, key[i], &m->entry[i].plan, c->times + m->entry[i].first_step);
    xf_text_printf(t, "\n}\n");
}

xf_status xf_profile_json(xf_ctx *c, char *buf, size_t cap, size_t *len) {
    if (!len || (cap && !buf)) return xf_fail(&c->error, XF_E_ARG, "profile_json: a pointer is NULL");
    if (!c->times) return xf_fail(&c->error, XF_E_ARG, "profile_json: call profile_start first");
    xf_text measure = {0};
    write_profile(&measure, c);
    *len = measure.n;
    if (cap == 0) return XF_OK;
    if (cap <= measure.n)
        return xf_fail(&c->error, XF_E_NOMEM, "profile_json: the text needs %zu bytes, the buffer has %zu",
                       measure.n + 1, cap);
    write_profile(&(xf_text){buf, cap, 0}, c);
    return XF_OK;
}

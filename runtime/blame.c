/* blame.c - which index was out of range: for the message of a run that failed.
 *
 * Kernels say that one was, and not which: a flag costs nothing. The plan lists what each step takes indices from, and
 * within which bounds; after the failure everything there is looked at again. Where a mask marks padding, tokens that
 * it hides are suspected last, since packed models never read them. What a kernel computes itself is in no list.
 */
#include "runtime/runtime.h"
#include <string.h>

typedef struct {
    const xf_dev *device; /* of data */
    const xf_arg *arg;
    const char *data;
    int64_t dims[XF_MAX_RANK], n;
} array;

static array array_of(const xf_ctx *c, const xf_arg *a, const void *data) {
    array x = {.device = c->model->device, .arg = a, .data = data, .n = 1};
    xf_arg_shape(c->plan, a, c->values, x.dims);
    for (uint32_t d = 0; d < a->n_dims; d++) x.n *= x.dims[d]; /* fits: the run has such an array */
    return x;
}

static int64_t integer_at(const array *x, int64_t i) {
    uint32_t bytes = xf_arg_bytes(x->arg), unused = 64 - 8 * bytes;
    uint64_t bits = 0;
    x->device->copy(&bits, x->data + (size_t)i * bytes, bytes);
    bool is_signed = (x->arg->dtype & 0xffu) == 0;
    return is_signed ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
}

static bool is_zero(const array *x, int64_t i) {
    uint64_t bits = 0;
    uint32_t bytes = xf_arg_bytes(x->arg);
    x->device->copy(&bits, x->data + (size_t)i * bytes, bytes);
    return bits == 0;
}

/* The input that marks padding, if it has a mark for each element of x. */
static bool find_mask(const xf_ctx *c, const array *x, array *mask) {
    const xf_plan *p = c->plan;
    const char *name = xf_plan_padding(p, NULL);
    for (uint32_t i = 0; i < p->head->n_inputs && name; i++) {
        if (strcmp(xf_plan_str(p, p->args[i].name), name) != 0) continue;
        *mask = array_of(c, &p->args[i], c->in_data[i]);
        return mask->arg->n_dims == x->arg->n_dims && memcmp(mask->dims, x->dims, sizeof mask->dims) == 0;
    }
    return false;
}

static int64_t first_outside(const array *x, const array *mask, const xf_range *r, int64_t lo, int64_t hi) {
    for (int64_t i = 0; i < x->n; i++) {
        int64_t v = integer_at(x, i);
        if (r->wrap && v < 0) v += hi + 1;
        if ((v < lo || v > hi) && !(mask && is_zero(mask, i))) return i;
    }
    return -1;
}

static void write_place(xf_text *t, const array *x, int64_t i) {
    int64_t at[XF_MAX_RANK];
    for (uint32_t d = x->arg->n_dims; d-- > 0; i /= x->dims[d]) at[d] = i % x->dims[d];
    for (uint32_t d = 0; d < x->arg->n_dims; d++) xf_text_printf(t, "%s%lld", d ? ", " : " at [", (long long)at[d]);
    if (x->arg->n_dims) xf_text_printf(t, "]");
}

static void write_bounds(xf_text *t, const xf_plan *p, const xf_range *r, int64_t lo, int64_t hi) {
    const char *node = xf_plan_str(p, r->node), *table = xf_plan_str(p, r->table);
    xf_text_printf(t, ", but node '%s' takes ", node);
    if (hi < lo)
        xf_text_printf(t, "no index at all");
    else
        xf_text_printf(t, "%lld to %lld", (long long)lo, (long long)hi);
    if (hi < lo || lo != 0 || !r->wrap) return;
    xf_text_printf(t, ", or -%lld to -1 from the end: the size of %s%s%s is %lld", (long long)hi + 1,
                   *table ? "'" : "what it indexes", table, *table ? "'" : "", (long long)hi + 1);
}

static bool accuse(xf_ctx *c, const xf_step_info *s, const xf_range *r) {
    const xf_plan *p = c->plan;
    const xf_operand *o = &p->operands[s->first_operand + r->operand];
    int64_t lo = c->values[r->lo], hi = c->values[r->hi];
    array mask, x = array_of(c, &p->args[r->arg], xf_step_operand(c, s, r->operand));
    int64_t i = find_mask(c, &x, &mask) ? first_outside(&x, &mask, r, lo, hi) : -1;
    if (i < 0) i = first_outside(&x, NULL, r, lo, hi);
    if (i < 0) return false;
    char text[sizeof c->error.text] = "";
    xf_text t = {text, sizeof text, 0};
    const char *name = xf_plan_str(p, x.arg->name);
    if (o->space == XF_SPACE_INPUT)
        xf_text_printf(&t, "input %u '%s' is ", o->index, xf_plan_str(p, p->args[o->index].name));
    else
        xf_text_printf(&t, "an index%s%s%s that the model computes is ", *name ? " '" : "", name, *name ? "'" : "");
    xf_text_printf(&t, "%lld", (long long)integer_at(&x, i));
    write_place(&t, &x, i);
    write_bounds(&t, p, r, lo, hi);
    xf_fail(&c->error, XF_E_RANGE, "%s", text);
    return true;
}

xf_status xf_blame(xf_ctx *c, uint32_t step) {
    const xf_plan *p = c->plan;
    const xf_step_info *s = &p->steps[step];
    for (uint32_t i = 0; i < p->head->n_ranges; i++)
        if (p->ranges[i].step == step && accuse(c, s, &p->ranges[i])) return XF_E_RANGE;
    char nodes[400] = "";
    xf_text_nodes(&(xf_text){nodes, sizeof nodes, 0}, p, s);
    return xf_fail(&c->error, XF_E_RANGE, "an index that the model computes is out of range in node %s", nodes);
}

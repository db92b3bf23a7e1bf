/* shape.c - from the caller's tensors to numbers: checks every input, binds symbols to dims, evaluates all sizes.
 *
 * The caller is not trusted: nothing is read through a tensor, and no size is used, before it was checked here. A
 * message names the input, says what came and what was expected. Order: each tensor alone; symbols and their ranges;
 * derived dims; what must hold between sizes, as far as it does not depend on data.
 */
#include "runtime/runtime.h"

static bool is_dense(const xf_tensor *t) {
    if (!t->strides) return true;
    int64_t expected = 1;
    for (int32_t d = 0; d < t->ndim; d++)
        if (t->shape[d] == 0) return true; /* no element, so no stride is ever used */
    for (int32_t d = t->ndim; d-- > 0;) {
        if (t->shape[d] != 1 && t->strides[d] != expected) return false;
        if (__builtin_mul_overflow(expected, t->shape[d], &expected)) return false;
    }
    return true;
}

/* Room shows in the distance of what lies outside of the axis: of the innermost such dim that has more than one index. */
bool xf_tensor_room(const xf_tensor *t, uint32_t axis, int64_t *room) {
    int64_t expected = 1, row = 1;
    bool known = false;
    *room = 0;
    if (is_dense(t)) return true;
    for (int32_t d = t->ndim; d-- > 0;) {
        if (d == (int32_t)axis) row = expected;
        if (d < (int32_t)axis && t->shape[d] != 1 && !known) {
            if (t->strides[d] < expected || (t->strides[d] - expected) % row != 0) return false;
            *room = (t->strides[d] - expected) / row;
            expected = t->strides[d];
            known = true;
        }
        if (t->shape[d] != 1 && t->strides[d] != expected) return false;
        if (__builtin_mul_overflow(expected, t->shape[d], &expected)) return false;
    }
    return true;
}

bool xf_tensor_span(const xf_tensor *t, size_t bits, size_t *bytes) {
    int64_t last = 0, stride = 1, at;
    *bytes = 0;
    for (int32_t d = 0; d < t->ndim; d++)
        if (t->shape[d] == 0) return true;
    for (int32_t d = t->ndim; d-- > 0;) {
        int64_t distance = t->strides && t->shape[d] != 1 ? t->strides[d] : stride;
        if (__builtin_mul_overflow(t->shape[d] - 1, distance, &at) || __builtin_add_overflow(last, at, &last) ||
            __builtin_mul_overflow(stride, t->shape[d], &stride))
            return false;
    }
    if (last < 0 || last == INT64_MAX || __builtin_mul_overflow((size_t)last + 1, bits, bytes) ||
        *bytes > PTRDIFF_MAX - 7)
        return false;
    *bytes = (*bytes + 7) / 8;
    return true;
}

/* Rank and dims >= 0; enough to bind symbols. */
static xf_status check_shape(const xf_plan *p, const char *what, size_t i, const xf_arg *a, const xf_tensor *t,
                             xf_error *error) {
    const char *name = xf_plan_str(p, a->name);
    char got[256] = "", want[256] = "";
    if (t->ndim == (int32_t)a->n_dims && (t->shape || t->ndim == 0)) {
        for (int32_t d = 0; d < t->ndim; d++)
            if (t->shape[d] < 0)
                return xf_fail(error, XF_E_SHAPE, "%s %zu '%s': dim %d is %lld", what, i, name, (int)d,
                               (long long)t->shape[d]);
        return XF_OK;
    }
    xf_text_dims(&(xf_text){got, sizeof got, 0}, t);
    xf_text_arg(&(xf_text){want, sizeof want, 0}, p, a);
    if (t->ndim == (int32_t)a->n_dims)
        return xf_fail(error, XF_E_SHAPE, "%s %zu '%s': shape is NULL, expected %s", what, i, name, want);
    return xf_fail(error, XF_E_SHAPE, "%s %zu '%s' is %s (rank %d), expected %s (rank %u)", what, i, name, got,
                   (int)t->ndim, want, a->n_dims);
}

static xf_status check_data(const xf_plan *p, const char *what, size_t i, const xf_arg *a, const xf_tensor *t,
                            xf_error *error) {
    const char *name = xf_plan_str(p, a->name);
    uint64_t size = xf_arg_bits(a);
    bool empty = false;
    for (int32_t d = 0; d < t->ndim; d++) empty = empty || t->shape[d] == 0;
    if (empty) return XF_OK;
    for (int32_t d = 0; d < t->ndim; d++)
        if (__builtin_mul_overflow(size, (uint64_t)t->shape[d], &size) || size > PTRDIFF_MAX)
            return xf_fail(error, XF_E_SHAPE, "%s %zu '%s': its size overflows", what, i, name);
    if (!t->data) return xf_fail(error, XF_E_ARG, "%s %zu '%s': data is NULL, but it has elements", what, i, name);
    if (((uintptr_t)t->data + t->byte_offset) % xf_arg_bytes(a))
        return xf_fail(error, XF_E_ARG, "%s %zu '%s': data is not aligned to its elements of %u bytes", what, i, name,
                       xf_arg_bytes(a));
    return XF_OK;
}

xf_status xf_check_tensor(const xf_plan *p, const char *what, size_t i, const xf_arg *a, const xf_tensor *t,
                          xf_error *error) {
    const char *name = xf_plan_str(p, a->name);
    uint32_t dtype = t->dtype.code | (uint32_t)t->dtype.bits << 8 | (uint32_t)t->dtype.lanes << 16;
    int64_t room;
    if (dtype != a->dtype) {
        char got[24], want[24];
        return xf_fail(error, XF_E_DTYPE, "%s %zu '%s' is %s, expected %s", what, i, name, xf_dtype_name(dtype, got),
                       xf_dtype_name(a->dtype, want));
    }
    if (t->device.device_type != 0 && t->device.device_type != 1)
        return xf_fail(error, XF_E_DEVICE, "%s %zu '%s' is on device type %d, expected memory of the CPU (1)", what, i,
                       name, (int)t->device.device_type);
    XF_TRY(check_shape(p, what, i, a, t, error));
    if (!is_dense(t) && !(a->twin && xf_tensor_room(t, a->axis, &room)))
        return xf_fail(error, XF_E_SHAPE, "%s %zu '%s': strides are not dense row-major%s; copy it first", what, i,
                       name, a->twin ? ", even with room behind its rows" : "");
    return check_data(p, what, i, a, t, error);
}

/* The first input dim that is plainly symbol s: the one that binds it. The plan was checked to have one. */
static void find_binder(const xf_plan *p, uint32_t s, uint32_t *input, uint32_t *dim) {
    for (uint32_t i = 0; i < p->head->n_inputs; i++)
        for (uint32_t d = 0; d < p->args[i].n_dims; d++)
            if (p->dims[p->args[i].first_dim + d].value == s) {
                *input = i, *dim = d;
                return;
            }
}

static xf_status bind_symbols(const xf_plan *p, const xf_tensor *in, int64_t *values, xf_error *error) {
    for (uint32_t s = 0; s < p->head->n_symbols; s++) {
        const xf_symbol *symbol = &p->symbols[s];
        uint32_t i = 0, d = 0;
        values[s] = 0;
        if (symbol->defined) continue; /* xf_plan_eval gives it a bound */
        find_binder(p, s, &i, &d);
        values[s] = in[i].shape[d];
        if (values[s] >= symbol->lo && (symbol->hi < 0 || values[s] <= symbol->hi)) continue;
        char most[32] = "";
        const char *why = xf_plan_str(p, symbol->why);
        if (symbol->hi >= 0) xf_text_printf(&(xf_text){most, sizeof most, 0}, "%lld", (long long)symbol->hi);
        return xf_fail(error, XF_E_SHAPE, "input %u '%s': dim %u (%s) is %lld, the model takes %lld..%s%s%s", i,
                       xf_plan_str(p, p->args[i].name), d, xf_plan_str(p, symbol->name), (long long)values[s],
                       (long long)symbol->lo, most, *why ? ", as needed by " : "", why);
    }
    return XF_OK;
}

static xf_status wrong_dim(const xf_plan *p, uint32_t i, uint32_t d, int64_t got, int64_t want, xf_error *error) {
    const xf_dim *dim = &p->dims[p->args[i].first_dim + d];
    const char *name = xf_plan_str(p, p->args[i].name), *of = xf_plan_str(p, dim->name);
    char shape[256] = "";
    xf_text_arg(&(xf_text){shape, sizeof shape, 0}, p, &p->args[i]);
    if (dim->value >= p->head->n_symbols)
        return xf_fail(error, XF_E_SHAPE, "input %u '%s': dim %u is %lld, expected %lld (%s)", i, name, d,
                       (long long)got, (long long)want, shape);
    uint32_t bi = 0, bd = 0;
    find_binder(p, dim->value, &bi, &bd);
    return xf_fail(error, XF_E_SHAPE,
                   "input %u '%s': dim %u (%s) is %lld, but dim %u of input %u '%s' is %lld; they must be equal", i,
                   name, d, *of ? of : xf_plan_str(p, p->symbols[dim->value].name), (long long)got, bd, bi,
                   xf_plan_str(p, p->args[bi].name), (long long)want);
}

static xf_status check_dims(const xf_plan *p, const xf_tensor *in, const int64_t *values, xf_error *error) {
    for (uint32_t i = 0; i < p->head->n_inputs; i++)
        for (uint32_t d = 0; d < p->args[i].n_dims; d++) {
            int64_t want = values[p->dims[p->args[i].first_dim + d].value];
            if (in[i].shape[d] != want) return wrong_dim(p, i, d, in[i].shape[d], want, error);
        }
    return xf_check_sizes(p, 0, values, error);
}

xf_status xf_check_sizes(const xf_plan *p, uint32_t step, const int64_t *values, xf_error *error) {
    static const char *const unless[] = {"", ", and the first is not 1", ", and the second is not 1",
                                         ", and neither is 1"};
    for (uint32_t i = 0; i < p->head->n_checks; i++) {
        const xf_check *c = &p->checks[i];
        int64_t a = values[c->a], b = values[c->b];
        if (c->step == step && c->ones == XF_CHECK_UNEQUAL && a == b)
            return xf_fail(error, XF_E_SHAPE,
                           "%s is %lld, and the model was compiled for any size but that; fix it with --dim when "
                           "compiling",
                           xf_plan_str(p, c->what), (long long)a);
        if (c->step != step || c->ones == XF_CHECK_UNEQUAL || a == b || (c->ones & 1 && a == 1) ||
            (c->ones & 2 && b == 1))
            continue;
        bool body = step && p->steps[step - 1].n_numbers == 0; /* which begins there */
        return xf_fail(error, XF_E_SHAPE, "%s do not fit together: %s: %lld against %lld%s",
                       body   ? "sizes in the branch that this run takes"
                       : step ? "sizes that come from data"
                              : "the input dims",
                       xf_plan_str(p, c->what), (long long)a, (long long)b, unless[c->ones]);
    }
    return XF_OK;
}

xf_status xf_bind(const xf_plan *p, const xf_tensor *in, size_t n_in, bool data, int64_t *values, xf_error *error) {
    if (n_in != p->head->n_inputs || (n_in && !in))
        return xf_fail(error, XF_E_ARG, "%zu inputs given, the model has %u", in ? n_in : 0, p->head->n_inputs);
    for (size_t i = 0; i < n_in; i++) {
        if (data)
            XF_TRY(xf_check_tensor(p, "input", i, &p->args[i], &in[i], error));
        else
            XF_TRY(check_shape(p, "input", i, &p->args[i], &in[i], error));
    }
    XF_TRY(bind_symbols(p, in, values, error));
    if (!xf_plan_eval(p, values))
        return xf_fail(error, XF_E_SHAPE, "sizes inside the model overflow for these input dims");
    return check_dims(p, in, values, error);
}

xf_status xf_bind_run(const xf_model *m, const xf_tensor *in, size_t n_in, bool data, int64_t *values,
                      const xf_entry **entry, xf_error *error) {
    const xf_entry *equal = &m->entry[XF_PLAN_EQUAL], *run = &m->entry[XF_PLAN_RUN];
    *entry = equal;
    if (equal->plan.head && xf_bind(&equal->plan, in, n_in, data, values, error) == XF_OK) return XF_OK;
    error->text[0] = '\0'; /* nothing is wrong, if the other one takes them */
    *entry = run;
    return xf_bind(&run->plan, in, n_in, data, values, error);
}

void xf_arg_shape(const xf_plan *p, const xf_arg *a, const int64_t *values, int64_t *dims) {
    for (uint32_t d = 0; d < a->n_dims; d++) dims[d] = values[p->dims[a->first_dim + d].value];
}

void xf_arg_most(const xf_plan *p, const xf_arg *a, const int64_t *values, int64_t *dims) {
    for (uint32_t d = 0; d < a->n_dims; d++) {
        xf_val most = p->dims[a->first_dim + d].most;
        dims[d] = most == XF_VAL_NONE ? -1 : values[most];
    }
}

bool xf_arg_from_data(const xf_plan *p, const xf_arg *a) {
    for (uint32_t d = 0; d < a->n_dims; d++)
        if (p->dims[a->first_dim + d].value != p->dims[a->first_dim + d].most) return true;
    return false;
}

bool xf_arg_grows(const xf_plan *p, const xf_arg *a) {
    for (uint32_t d = 0; d < a->n_dims; d++)
        if (p->dims[a->first_dim + d].most == XF_VAL_NONE) return true;
    return false;
}

bool xf_arg_size(const xf_plan *p, const xf_arg *a, const int64_t *values, size_t *bytes) {
    int64_t size = xf_arg_bits(a), dims[XF_MAX_RANK];
    bool empty = xf_arg_grows(p, a), fits = true; /* it gets its memory later */
    xf_arg_most(p, a, values, dims);
    for (uint32_t d = 0; d < a->n_dims; d++) {
        if (dims[d] < 0 && p->dims[a->first_dim + d].most != XF_VAL_NONE) return false;
        empty = empty || dims[d] == 0;
        fits = fits && !__builtin_mul_overflow(size, dims[d], &size);
    }
    *bytes = empty ? 0 : ((size_t)size + 7) / 8;
    return empty || fits;
}

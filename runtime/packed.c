/* packed.c - the packed entry: sequences one behind another, and cu_seqlens where each begins.
 *
 * The packed plan is a plan like any other whose last two inputs the caller does not give. One is cu_seqlens itself;
 * the other has no elements and only carries sizes: its dims are tokens, sequences, the longest sequence, 0. So all
 * sizes are bound and checked as those of any input. What binding cannot see, the contents of cu_seqlens, is checked
 * here, before anything runs.
 */
#include "runtime/runtime.h"

enum { I32 = 0 | 32 << 8 | 1 << 16, U8 = 1 | 8 << 8 | 1 << 16 };

const char *xf_packed_check(const xf_plan *p) {
    uint32_t n = p->head->n_inputs;
    int64_t none;
    if (n < XF_PACKED_EXTRA) return "it has too few inputs";
    const xf_arg *starts = &p->args[n - 2], *shape = &p->args[n - 1];
    if (starts->dtype != I32 || starts->n_dims != 1) return "its cu_seqlens is damaged";
    if (shape->dtype != U8 || shape->n_dims != 4 || !xf_plan_const(p, p->dims[shape->first_dim + 3].value, &none) ||
        none)
        return "its shape is damaged";
    return NULL;
}

/* Ascending from 0; answers the longest sequence. */
static xf_status check_starts(const xf_plan *p, const int32_t *cu, size_t n, int64_t *longest, xf_error *error) {
    bool nonempty = xf_plan_meta(p, "packed.nonempty") != NULL;
    if (!cu || (uintptr_t)cu % sizeof *cu)
        return xf_fail(error, XF_E_ARG, "cu_seqlens is %s", cu ? "not aligned" : "NULL");
    if (n == 0 || n >= INT32_MAX) return xf_fail(error, XF_E_ARG, "%zu sequences given, expected 1 to 2147483646", n);
    if (cu[0] != 0) return xf_fail(error, XF_E_RANGE, "cu_seqlens begins with %d, expected 0", (int)cu[0]);
    for (size_t i = 0; i < n; i++) {
        int64_t length = (int64_t)cu[i + 1] - cu[i];
        if (length < 0)
            return xf_fail(error, XF_E_RANGE, "cu_seqlens falls from %d to %d at entry %zu", (int)cu[i], (int)cu[i + 1],
                           i + 1);
        if (length == 0 && nonempty)
            return xf_fail(error, XF_E_RANGE, "sequence %zu is empty, but the model reads its first token", i);
        if (length > *longest) *longest = length;
    }
    return XF_OK;
}

xf_status xf_packed_inputs(const xf_plan *p, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens, size_t n_seq,
                           xf_tensor *all, xf_packed_dims *dims, xf_error *error) {
    size_t n = p->head->n_inputs - XF_PACKED_EXTRA;
    int64_t longest = 0;
    if (n_in != n || (n && !in))
        return xf_fail(error, XF_E_ARG, "%zu inputs given, the packed entry has %zu", in ? n_in : 0, n);
    XF_TRY(check_starts(p, cu_seqlens, n_seq, &longest, error));
    int64_t tokens = cu_seqlens[n_seq];
    *dims = (xf_packed_dims){(int64_t)n_seq + 1, {tokens, (int64_t)n_seq, longest, 0}};
    xf_val counted = p->dims[p->args[n + 1].first_dim].value;
    for (size_t i = 0; i < n; i++) {
        const xf_arg *a = &p->args[i];
        all[i] = in[i];
        /* Another rank is for binding to refuse. */
        bool rank = a->n_dims && in[i].ndim == (int32_t)a->n_dims && in[i].shape;
        if (rank && p->dims[a->first_dim].value == counted && in[i].shape[0] != tokens)
            return xf_fail(error, XF_E_RANGE, "cu_seqlens ends with %lld, but input %zu '%s' has %lld tokens",
                           (long long)tokens, i, xf_plan_str(p, a->name), (long long)in[i].shape[0]);
    }
    all[n] = (xf_tensor){.data = (void *)(uintptr_t)cu_seqlens, /* only read */
                         .ndim = 1,
                         .dtype = xf_arg_dtype(&p->args[n]),
                         .shape = &dims->starts};
    all[n + 1] = (xf_tensor){.ndim = 4, .dtype = xf_arg_dtype(&p->args[n + 1]), .shape = dims->shape};
    return XF_OK;
}

xf_status xf_run_packed(xf_ctx *c, const xf_tensor *in, size_t n_in, const int32_t *cu_seqlens, size_t n_seq,
                        xf_tensor *out, size_t n_out) {
    const xf_entry *entry = xf_model_packed(c->model);
    xf_packed_dims dims;
    if (!entry) return xf_fail(&c->error, XF_E_ARG, "run_packed: the model was built without --packed-entry");
    const xf_plan *p = &entry->plan;
    XF_TRY(xf_packed_inputs(p, in, n_in, cu_seqlens, n_seq, c->packed_in, &dims, &c->error));
    return xf_run(c, entry, c->packed_in, p->head->n_inputs, out, n_out);
}

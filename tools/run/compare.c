/* compare.c - outputs against what they should be: one pair of tensors, or the test data sets of ONNX's layout.
 * (test_set.c), alone or several in a folder: FOLDER/test_data_set_0/...
 *
 * A tensor belongs to the input or output of its name; files without a name inside to the one of their number.
 */
#define _GNU_SOURCE
#include "tools/run/run.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What people accept of a whole model: sums in another order, in the precision of the type. Others are exact. */
static xf_tolerance tolerance_of(xfc_dtype t, xf_tolerance tol) {
    double rtol = 0, atol = 0;
    if (t == XFC_F32 || t == XFC_F64) rtol = 1e-3, atol = 1e-5;
    if (t == XFC_F16) rtol = atol = 1e-2;
    if (t == XFC_BF16) rtol = atol = 5e-2;
    if (tol.rtol < 0) tol.rtol = rtol;
    if (tol.atol < 0) tol.atol = atol;
    return tol;
}

static void add_bad(xf_difference *d, int64_t i, double beyond) {
    if (isnan(beyond)) beyond = HUGE_VAL;
    if (d->bad++ && beyond <= d->worst) return;
    d->worst = beyond;
    d->worst_at = i;
}

/* One pair of elements; counts and maxima. */
static void compare_one(xf_difference *d, const xfc_tensor *got, const xfc_tensor *want, int64_t i, xf_tolerance tol) {
    bool floats = xfc_dtype_is_float(want->dtype) || xfc_dtype_is_code(xfc_dtype_unpacked(want->dtype));
    uint64_t ulps = tol.show_ulps || tol.in_ulps ? xf_ulps(got, want, i) : 0;
    if (tol.show_ulps) xf_histogram_add(&d->ulps, ulps, i);
    if (tol.in_ulps && ulps > tol.max_ulps) add_bad(d, i, (double)ulps);
    /* int64 beyond 2^53 must not compare equal by rounding */
    if (!floats && xfc_tensor_get_i(got, i) == xfc_tensor_get_i(want, i)) return;
    double a = xfc_tensor_get_f(got, i), b = xfc_tensor_get_f(want, i), e = fabs(a - b);
    if (floats && (a == b || (isnan(a) && isnan(b)))) return;
    double limit = tol.atol + tol.rtol * fabs(b);
    if (!tol.in_ulps && (!(e <= limit) || isinf(b) || limit == 0)) add_bad(d, i, e - limit);
    if (!(e <= d->max_abs)) d->max_abs = e;
    if (b != 0 && !(e / fabs(b) <= d->max_rel)) d->max_rel = e / fabs(b);
}

xf_difference xf_compare(const xfc_tensor *got, const xfc_tensor *want, xf_tolerance tol, xf_padding padding) {
    xf_difference d = {.same_type = got->dtype == want->dtype && got->rank == want->rank};
    tol = tolerance_of(want->dtype, tol);
    for (uint32_t i = 0; i < want->rank && d.same_type; i++) d.same_type = got->dim[i] == want->dim[i];
    if (!d.same_type) return d;
    d.rows = padding.mask ? padding.mask->count : 1;
    int64_t row = d.rows ? want->count / d.rows : 0;
    for (int64_t r = 0; r < d.rows; r++) {
        if (padding.mask && xfc_tensor_get_f(padding.mask, r) == 0) {
            d.left_out++;
            continue;
        }
        d.count += row;
        for (int64_t i = r * row; i < (r + 1) * row; i++) compare_one(&d, got, want, i, tol);
    }
    return d;
}

/* Is the value a row for each element of the mask? [6, 7, 32] and a mask [2, 3, 7] fit: dims may have been joined. */
static bool has_rows(const xfc_tensor *value, const xfc_tensor *mask) {
    int64_t rows = 1;
    for (uint32_t d = 0; d < value->rank; d++) {
        rows *= value->dim[d];
        if (rows == mask->count && mask->rank > 0 && value->dim[d] == mask->dim[mask->rank - 1]) return true;
    }
    return false;
}

xf_padding xf_padding_of(const xf_runner *r, const char *output, const xfc_tensor *value, const xfc_tensor *const *in,
                         xf_tolerance tol) {
    const char *key = xfc_sprintf(r->ctx->arena, XF_PADDED_OUTPUT "%s", output);
    if (r->given) return (xf_padding){0};
    const char *input = r->packed ? xf_packed_mask_of(r, output) : r->api->metadata(r->model, key);
    int at = input && !tol.strict_padding ? xf_find_input(r, input) : -1;
    if (at < 0 || !has_rows(value, in[at])) return (xf_padding){0};
    return (xf_padding){in[at], input};
}

static void print_type(const xfc_tensor *t) {
    printf("%s[", xf_dtype_text(t->dtype));
    for (uint32_t d = 0; d < t->rank; d++) printf("%s%lld", d ? ", " : "", (long long)t->dim[d]);
    printf("]");
}

static void print_bad(const xf_difference *d, xf_tolerance tol) {
    printf(", %lld of %lld beyond ", (long long)d->bad, (long long)d->count);
    if (tol.in_ulps)
        printf("%llu ulp", (unsigned long long)tol.max_ulps);
    else if (tol.rtol == 0 && tol.atol == 0)
        printf("equality");
    else
        printf("%g + %g |b|", tol.atol, tol.rtol);
}

static void print_element(const xfc_tensor *t, int64_t i) {
    if (xfc_dtype_is_float(t->dtype))
        printf("%.9g", xfc_tensor_get_f(t, i));
    else if (t->dtype == XFC_U64)
        printf("%llu", (unsigned long long)xfc_tensor_get_i(t, i));
    else
        printf("%lld", (long long)xfc_tensor_get_i(t, i));
}

/* Its place, both values, both errors. */
static void print_worst(const xfc_tensor *got, const xfc_tensor *want, int64_t i) {
    int64_t index[XFC_MAX_RANK] = {0}, rest = i;
    double a = xfc_tensor_get_f(got, i), b = xfc_tensor_get_f(want, i);
    for (uint32_t d = want->rank; d-- > 0; rest /= want->dim[d]) index[d] = rest % want->dim[d];
    printf("  worst at [");
    for (uint32_t d = 0; d < want->rank; d++) printf("%s%lld", d ? ", " : "", (long long)index[d]);
    printf("]: ");
    print_element(got, i);
    printf(", expected ");
    print_element(want, i);
    printf(": |a - b| %.3g, relative %.3g\n", fabs(a - b), fabs(a - b) / fabs(b));
}

bool xf_report(const char *what, const char *name, const xfc_tensor *got, const xfc_tensor *want, xf_tolerance tol,
               xf_padding padding) {
    xf_difference d = xf_compare(got, want, tol, padding);
    printf("%s '%s' ", what, name);
    print_type(got);
    if (!d.same_type) {
        printf(": DIFFERS: expected ");
        print_type(want);
        printf("\n");
        return false;
    }
    printf(": %s, max |a - b| %.3g, relative %.3g", d.bad ? "DIFFERS" : "ok", d.max_abs, d.max_rel);
    if (d.bad) print_bad(&d, tolerance_of(want->dtype, tol));
    if (d.left_out)
        printf(", without %lld of %lld rows where %s is 0", (long long)d.left_out, (long long)d.rows, padding.name);
    printf("\n");
    if (d.bad) print_worst(got, want, d.worst_at);
    if (tol.show_ulps) xf_histogram_print(&d.ulps);
    return d.bad == 0;
}

/* --- test data --- */

typedef struct {
    const xfc_tensor **in, **out;
} data_set;

static xfc_status put(xf_runner *r, data_set *s, const xf_set_item *item) {
    const char *name = item->name;
    int at = name && *name ? (item->output ? xf_find_output(r, name) : xf_find_input(r, name)) : item->index;
    if (at < 0 && item->index >= 0) at = item->index; /* exporters rename: then the number decides */
    if (at < 0 || (uint32_t)at >= (item->output ? r->n_out : r->n_in))
        return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = item->file},
                        "the model has no %s '%s'; see xf-run --list", item->output ? "output" : "input",
                        name && *name ? name : "of this number");
    (item->output ? s->out : s->in)[at] = item->tensor;
    return XFC_OK;
}

static xfc_status read_set(xf_runner *r, data_set *s, const char *folder) {
    xf_set set = {0};
    XFC_TRY(xf_set_read(r->ctx, r, folder, &set));
    for (uint32_t i = 0; i < set.n; i++) XFC_TRY(put(r, s, &set.item[i]));
    return XFC_OK;
}

static xfc_status check_set(xf_runner *r, xf_ctx *ctx, const char *folder, xf_tolerance tol) {
    xfc_arena *a = r->ctx->arena;
    data_set s = {xfc_new_array(a, const xfc_tensor *, r->n_in), xfc_new_array(a, const xfc_tensor *, r->n_out)};
    const xfc_tensor **got = xfc_new_array(a, const xfc_tensor *, r->n_out);
    XFC_TRY(read_set(r, &s, folder));
    for (uint32_t i = 0; i < r->n_in; i++)
        if (!s.in[i])
            return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = folder},
                            "holds nothing for input '%s' (input_%u.pb or .npy, or inputs.npz)",
                            r->api->input_info(r->model, i)->name, (unsigned)i);
    XFC_TRY(xf_runner_run(r, ctx, s.in, got));
    bool right = true, any = false;
    for (uint32_t i = 0; i < r->n_out; i++) {
        if (!s.out[i]) continue;
        any = true;
        const char *name = r->api->output_info(r->model, i)->name;
        xf_padding padding = xf_padding_of(r, name, got[i], s.in, tol);
        right = xf_report(xfc_sprintf(a, "%s: output", folder), name, got[i], s.out[i], tol, padding) && right;
    }
    if (!any)
        return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = folder},
                        "holds no outputs to compare with (output_0.pb or .npy, or outputs.npz)");
    return right ? XFC_OK : XFC_ERR_VERIFY;
}

static int is_set(const struct dirent *e) { return !strncmp(e->d_name, "test_data_set", 13); }

/* Each set has a context of its own, so that many large ones do not add up. */
static xfc_status check_alone(xf_runner *r, xf_ctx *ctx, const char *folder, xf_tolerance tol) {
    xf_runner alone = *r;
    alone.ctx = xfc_ctx_new();
    xfc_status status = check_set(&alone, ctx, folder, tol);
    fflush(stdout);
    xfc_diags_print(alone.ctx, stderr, false);
    xfc_ctx_free(alone.ctx);
    return status;
}

xfc_status xf_test_data(xf_runner *r, xf_ctx *ctx, const char *folder, xf_tolerance tol) {
    struct dirent **sets = NULL;
    int n = scandir(folder, &sets, is_set, versionsort);
    if (n < 0)
        return xfc_fail(r->ctx, XFC_ERR_IO, (xfc_loc){.file = folder}, "cannot be read: %s; check the path",
                        strerror(errno));
    xfc_status status = n == 0 ? check_alone(r, ctx, folder, tol) : XFC_OK;
    int failed = status != XFC_OK;
    for (int i = 0; i < n; i++) {
        xfc_status one = check_alone(r, ctx, xfc_sprintf(r->ctx->arena, "%s/%s", folder, sets[i]->d_name), tol);
        failed += one != XFC_OK;
        if (status == XFC_OK || (status == XFC_ERR_VERIFY && one != XFC_OK)) status = one;
        free(sets[i]);
    }
    free(sets);
    printf("%d of %d sets passed\n", (n ? n : 1) - failed, n ? n : 1);
    return status;
}

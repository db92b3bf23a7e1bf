/* packed.c - --packed: the padded inputs of a batch without their padding, through run_packed, and back.
 *
 * The tool's inputs stay those of `run`, whether they come from files or are made up: the mask, which is the input that
 * the packed entry does not have, says which tokens there are. So test data, --compare and --bench work for either
 * entry. Outputs with a token axis get their padding again, as 0. Sequences must begin at position 0 and have no holes,
 * since a packed batch cannot say otherwise. With --cu-seqlens all of it is given and answered packed, and what it says
 * is for the model to check.
 */
#include "tools/run/run.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static xfc_status fail(const xf_runner *r, const char *why, const char *name) {
    return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = r->path}, "--packed: %s%s%s%s", why, name ? " '" : "",
                    name ? name : "", name ? "'" : "");
}

size_t xf_n_packed(const xf_runner *r) {
    bool has = r->api->struct_size > offsetof(xf_api, packed_workspace_size);
    return has ? r->api->num_packed_inputs(r->model) : 0;
}

static int find_packed(const xf_runner *r, const char *name) {
    for (size_t i = 0; i < xf_n_packed(r); i++)
        if (!strcmp(r->api->packed_input_info(r->model, i)->name, name)) return (int)i;
    return -1;
}

/* The first `length` positions of a row, and no others. */
static bool row_length(const xfc_tensor *mask, int64_t row, int64_t *length) {
    int64_t n = mask->dim[1];
    *length = 0;
    while (*length < n && xfc_tensor_get_f(mask, row * n + *length) != 0) ++*length;
    for (int64_t i = *length; i < n; i++)
        if (xfc_tensor_get_f(mask, row * n + i) != 0) return false;
    return true;
}

static int find_mask(const xf_runner *r) {
    for (uint32_t i = 0; i < r->n_in; i++)
        if (find_packed(r, r->api->input_info(r->model, i)->name) < 0) return (int)i;
    return -1;
}

const char *xf_packed_mask_of(const xf_runner *r, const char *output) {
    int at = xf_find_output(r, output), mask = find_mask(r);
    if (!xf_n_packed(r) || at < 0 || mask < 0) return NULL;
    const xf_io_info *padded = r->api->output_info(r->model, (size_t)at);
    bool same = r->api->packed_output_info(r->model, (size_t)at)->ndim == padded->ndim;
    return same ? NULL : r->api->input_info(r->model, (size_t)mask)->name;
}

/* Is the tensor of the type and rank that run takes? What is packed would not show it. */
static xfc_status check_declared(const xf_runner *r, int input, const xfc_tensor *t) {
    const xf_io_info *info = r->api->input_info(r->model, (size_t)input);
    xfc_dtype dtype;
    if (!xf_dtype_known(info->dtype, &dtype) || dtype != t->dtype || info->ndim != (int32_t)t->rank)
        return fail(r, "another element type or number of dims is declared for input", info->name);
    return XFC_OK;
}

static xfc_status read_mask(const xf_runner *r, const xfc_tensor *const *in, xf_packed *p) {
    int at = find_mask(r);
    p->mask = at < 0 ? NULL : in[at];
    if (p->mask) XFC_TRY(check_declared(r, at, p->mask));
    if (!p->mask || p->mask->rank != 2) return fail(r, "the model has no mask [batch, sequence]", NULL);
    p->n_seq = (size_t)p->mask->dim[0];
    p->cu = xfc_new_array(r->ctx->arena, int32_t, p->n_seq + 1);
    for (size_t i = 0; i < p->n_seq; i++) {
        int64_t length;
        if (!row_length(p->mask, (int64_t)i, &length))
            return fail(r, "a sequence of the mask does not begin at position 0, or has holes", NULL);
        if (length > INT32_MAX - p->cu[i]) return fail(r, "the batch has too many tokens", NULL);
        p->cu[i + 1] = p->cu[i] + (int32_t)length;
    }
    return XFC_OK;
}

/* Copies the rows of tokens out of a padded tensor, or into one. Rows: of `bytes`, padded [n_seq, n]. */
static void copy_rows(const xf_packed *p, char *padded, char *packed, size_t bytes, bool out) {
    size_t n = (size_t)p->mask->dim[1];
    for (size_t i = 0; i < p->n_seq && bytes; i++) {
        char *a = padded + i * n * bytes, *b = packed + (size_t)p->cu[i] * bytes;
        size_t size = (size_t)(p->cu[i + 1] - p->cu[i]) * bytes;
        if (size) memcpy(out ? b : a, out ? a : b, size);
    }
}

static size_t row_bytes(xfc_dtype t, uint32_t rank, const int64_t *dim, uint32_t first) {
    size_t n = xfc_dtype_bytes(t);
    for (uint32_t d = first; d < rank; d++) n *= (size_t)dim[d];
    return n;
}

static const xfc_tensor *pack(const xf_runner *r, const xf_packed *p, const xfc_tensor *t) {
    int64_t dim[XFC_MAX_RANK] = {p->cu[p->n_seq]};
    for (uint32_t d = 2; d < t->rank; d++) dim[d - 1] = t->dim[d];
    char *to = xfc_tensor_alloc(r->ctx, t->dtype, t->rank - 1, dim);
    copy_rows(p, (char *)(uintptr_t)t->data, to, row_bytes(t->dtype, t->rank, t->dim, 2), true);
    return xfc_tensor_new(r->ctx, t->dtype, t->rank - 1, dim, to, NULL);
}

/* --- given packed --- */

static xfc_status start(xf_runner *r, xf_packed *p) {
    *p = (xf_packed){.n_in = xf_n_packed(r)};
    if (!p->n_in) return fail(r, "the model was built without --packed-entry", NULL);
    p->in = xfc_new_array(r->ctx->arena, xf_tensor, p->n_in);
    return XFC_OK;
}

static xfc_status take_starts(xf_runner *r, const char *spec, xf_packed *p) {
    const xfc_tensor *t;
    XFC_TRY(xf_read_spec(r->ctx, "--cu-seqlens", spec, XFC_I32, &t));
    if (t->dtype != XFC_I32 || t->rank != 1 || t->count == 0)
        return xfc_fail(r->ctx, XFC_ERR_INPUT, (xfc_loc){.file = r->path},
                        "--cu-seqlens: %lld elements of %s in %u dims given, expected i32[sequences + 1]",
                        (long long)t->count, xfc_dtype_name(t->dtype), (unsigned)t->rank);
    p->n_seq = (size_t)t->count - 1;
    p->cu = xfc_memdup(r->ctx->arena, t->data, t->bytes, _Alignof(int32_t));
    return XFC_OK;
}

/* NAME=SPEC; the longest name counts, since names may hold '='. */
static xfc_status take_input(xf_runner *r, const char *text, bool *given, xf_packed *p) {
    int found = -1;
    const char *spec = NULL;
    for (const char *eq = strchr(text, '='); eq; eq = strchr(eq + 1, '=')) {
        int at = find_packed(r, xfc_intern_n(r->ctx->strings, text, (size_t)(eq - text)));
        if (at >= 0) found = at, spec = eq + 1;
    }
    if (found < 0) return fail(r, "the packed entry has no such input", text);
    const xf_io_info *info = r->api->packed_input_info(r->model, (size_t)found);
    xfc_dtype declared;
    const xfc_tensor *t;
    if (!xf_dtype_known(info->dtype, &declared)) declared = XFC_F32;
    XFC_TRY(xf_read_spec(r->ctx, xfc_sprintf(r->ctx->arena, "--input %s", info->name), spec, declared, &t));
    p->in[found] = xf_tensor_view(t);
    given[found] = true;
    return XFC_OK;
}

xfc_status xf_take_packed(xf_runner *r, const char *cu_seqlens, const xf_cli_list *inputs) {
    xf_packed *p = xfc_new(r->ctx->arena, xf_packed);
    XFC_TRY(start(r, p));
    bool *given = xfc_new_array(r->ctx->arena, bool, p->n_in);
    XFC_TRY(take_starts(r, cu_seqlens, p));
    for (uint32_t i = 0; i < inputs->n; i++) XFC_TRY(take_input(r, inputs->item[i], given, p));
    for (size_t i = 0; i < p->n_in; i++)
        if (!given[i])
            return fail(r, "--cu-seqlens needs every input; missing is", r->api->packed_input_info(r->model, i)->name);
    r->given = p;
    return XFC_OK;
}

/* --- given padded --- */

xfc_status xf_pack(xf_runner *r, const xfc_tensor *const *in, xf_packed *p) {
    if (r->given) {
        *p = *r->given;
        return XFC_OK;
    }
    XFC_TRY(start(r, p));
    XFC_TRY(read_mask(r, in, p));
    for (size_t i = 0; i < p->n_in; i++) {
        const xf_io_info *info = r->api->packed_input_info(r->model, i);
        int at = xf_find_input(r, info->name);
        if (at < 0) return fail(r, "the padded entry has no input", info->name);
        const xfc_tensor *t = in[at];
        XFC_TRY(check_declared(r, at, t));
        bool padded = t->rank >= 2 && info->ndim == (int32_t)t->rank - 1;
        if (padded && (t->dim[0] != p->mask->dim[0] || t->dim[1] != p->mask->dim[1]))
            return fail(r, "the mask has other dims than input", info->name);
        p->in[i] = xf_tensor_view(padded ? pack(r, p, t) : t);
    }
    return XFC_OK;
}

/* A copy, with its padding where the padded entry's output has some. */
static const xfc_tensor *unpack(const xf_runner *r, const xf_packed *p, const xf_tensor *t, uint32_t output) {
    const xf_io_info *padded = r->api->output_info(r->model, output);
    const xfc_tensor *rows = xf_tensor_copy(r->ctx, t, padded->name);
    if (!rows || !p->mask || padded->ndim != t->ndim + 1) return rows;
    int64_t dim[XFC_MAX_RANK] = {p->mask->dim[0], p->mask->dim[1]};
    for (uint32_t d = 1; d < rows->rank; d++) dim[d + 1] = rows->dim[d];
    size_t bytes = row_bytes(rows->dtype, rows->rank, rows->dim, 1);
    char *to = xfc_tensor_alloc(r->ctx, rows->dtype, rows->rank + 1, dim);
    memset(to, 0, (size_t)p->mask->count * bytes);
    copy_rows(p, to, (char *)(uintptr_t)rows->data, bytes, false);
    return xfc_tensor_new(r->ctx, rows->dtype, rows->rank + 1, dim, to, padded->name);
}

xfc_status xf_run_packed_once(xf_runner *r, xf_ctx *ctx, const xfc_tensor *const *in, const xfc_tensor **out) {
    xf_packed p;
    XFC_TRY(xf_pack(r, in, &p));
    xf_tensor *got = xfc_new_array(r->ctx->arena, xf_tensor, r->n_out);
    xf_status status = r->api->run_packed(ctx, p.in, p.n_in, p.cu, p.n_seq, got, r->n_out);
    if (status != XF_OK) return xf_runner_failed(r, ctx, status);
    for (uint32_t i = 0; out && i < r->n_out; i++) {
        out[i] = unpack(r, &p, &got[i], i);
        if (!out[i]) return fail(r, "this element type is unknown: output", r->api->output_info(r->model, i)->name);
    }
    return XFC_OK;
}

/* model.c - opens a model.so with care, runs it, lists its signature.
 *
 * dlopen runs code of the file and crashes on truncated ones, so the file is read first: an ELF file whose segments are
 * all there, with a plan section that checks (runtime/plan.h). What is not ours is refused before any of it is
 * executed.
 */
#define _GNU_SOURCE
#include "ir/base/outfile.h"
#include "tools/run/run.h"
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static xfc_loc at(const char *path) { return (xfc_loc){.file = path}; }

static bool segments_present(const unsigned char *elf, size_t n) {
    Elf64_Ehdr eh;
    Elf64_Phdr ph;
    memcpy(&eh, elf, sizeof eh);
    if (eh.e_type != ET_DYN || eh.e_phentsize != sizeof ph || eh.e_phoff > n) return false;
    for (uint32_t i = 0; i < eh.e_phnum; i++) {
        if ((n - eh.e_phoff) / sizeof ph <= i) return false;
        memcpy(&ph, elf + eh.e_phoff + i * sizeof ph, sizeof ph);
        if (ph.p_type == PT_LOAD && (ph.p_offset > n || ph.p_filesz > n - ph.p_offset)) return false;
    }
    return eh.e_phnum > 0;
}

static xfc_status check_file(xfc_ctx *c, const char *path, const xf_file *f, xf_plan *plan) {
    static const char remedy[] = "compile a model with xfc -o FILE.so";
    size_t offset, bytes;
    if (!xf_elf_is(f->data, f->size))
        return xfc_fail(c, XFC_ERR_INPUT, at(path), "is not a shared object for this kind of machine; %s", remedy);
    if (!segments_present(f->data, f->size))
        return xfc_fail(c, XFC_ERR_INPUT, at(path), "is truncated or no shared object; compile the model again");
    if (!xf_elf_section(f->data, f->size, XF_SECTION_PLAN, &offset, &bytes))
        return xfc_fail(c, XFC_ERR_INPUT, at(path), "is not a model compiled by xfc: it has no section %s; %s",
                        XF_SECTION_PLAN, remedy);
    const char *why = xf_plan_open(plan, xfc_memdup(c->arena, f->data + offset, bytes, 8), bytes);
    if (why)
        return xfc_fail(c, XFC_ERR_INPUT, at(path),
                        "its plan cannot be used: %s; compile the model again with this xfc", why);
    return XFC_OK;
}

/* dlopen looks names without a slash up in the system's folders. */
static const char *with_slash(xfc_ctx *c, const char *path) {
    return strchr(path, '/') ? path : xfc_sprintf(c->arena, "./%s", path);
}

static xfc_status load(xf_runner *r) {
    xf_file file;
    struct stat st;
    if (stat(r->path, &st) == 0) xfc_note_read(r->ctx, &st);
    int number = xf_file_map(r->path, &file);
    if (number)
        return xfc_fail(r->ctx, XFC_ERR_IO, at(r->path), "cannot be read: %s; check the path", strerror(number));
    xfc_status status = check_file(r->ctx, r->path, &file, &r->plan);
    xf_file_unmap(&file);
    if (status != XFC_OK) return status;
    r->so = dlopen(with_slash(r->ctx, r->path), RTLD_NOW | RTLD_LOCAL);
    if (!r->so) return xfc_fail(r->ctx, XFC_ERR_INPUT, at(r->path), "cannot be loaded: %s", dlerror());
    void *symbol = dlsym(r->so, "xf_get_api");
    if (!symbol) return xfc_fail(r->ctx, XFC_ERR_INPUT, at(r->path), "has no xf_get_api; compile the model again");
    xf_get_api_fn get;
    memcpy(&get, &symbol, sizeof get);
    r->api = get(XF_ABI_VERSION);
    if (!r->api)
        return xfc_fail(r->ctx, XFC_ERR_INPUT, at(r->path),
                        "does not serve ABI version %u; use the xf-run that came with its xfc", XF_ABI_VERSION);
    return XFC_OK;
}

xfc_status xf_runner_open(xf_runner *r, xfc_ctx *ctx, const char *path, const xf_open_opts *opts) {
    *r = (xf_runner){.ctx = ctx, .path = path};
    XFC_TRY(load(r));
    double start = xf_seconds();
    xf_status status = r->api->open(opts, &r->model);
    r->open_ms = 1e3 * (xf_seconds() - start);
    if (status != XF_OK) return xf_runner_failed(r, NULL, status);
    r->n_in = (uint32_t)r->api->num_inputs(r->model);
    r->n_out = (uint32_t)r->api->num_outputs(r->model);
    return XFC_OK;
}

void xf_runner_close(xf_runner *r) {
    if (r->model) r->api->release(r->model);
    /* The code stays: who closes it last would have to know of every pointer into it. */
    *r = (xf_runner){0};
}

xfc_status xf_runner_failed(xf_runner *r, const xf_ctx *c, xf_status status) {
    const char *text = r->api->last_error(c);
    return xfc_fail(r->ctx, status == XF_E_IO ? XFC_ERR_IO : XFC_ERR_INPUT, at(r->path), "%s: %s",
                    r->api->status_string(status), text);
}

xfc_status xf_runner_context(xf_runner *r, const xf_ctx_opts *opts, xf_ctx **out) {
    xf_status status = r->api->ctx_create(r->model, opts, out);
    return status == XF_OK ? XFC_OK : xf_runner_failed(r, NULL, status);
}

/* --- tensors --- */

xf_tensor xf_tensor_view(const xfc_tensor *t) {
    uint32_t d = xfc_dtype_dlpack(t->dtype);
    return (xf_tensor){.data = (void *)(uintptr_t)t->data, /* the runtime only reads inputs */
                       .device = {1, 0},
                       .ndim = (int32_t)t->rank,
                       .dtype = {(uint8_t)d, (uint8_t)(d >> 8), (uint16_t)(d >> 16)},
                       .shape = (int64_t *)(uintptr_t)t->dim};
}

bool xf_dtype_known(xf_dtype t, xfc_dtype *out) {
    uint32_t want = t.code | (uint32_t)t.bits << 8 | (uint32_t)t.lanes << 16;
    for (int d = 0; d < XFC_DTYPE_COUNT; d++)
        if (xfc_dtype_dlpack((xfc_dtype)d) == want) return *out = (xfc_dtype)d, true;
    return false;
}

const char *xf_dtype_text(xfc_dtype t) { return xfc_dtype_name(xfc_dtype_unpacked(t)); }

const xfc_tensor *xf_tensor_copy(xfc_ctx *c, const xf_tensor *t, const char *name) {
    xfc_dtype dtype;
    if (!xf_dtype_known(t->dtype, &dtype)) return NULL;
    return xfc_tensor_copy(c, dtype, (uint32_t)t->ndim, t->shape, (const char *)t->data + t->byte_offset, name);
}

xfc_status xf_runner_run(xf_runner *r, xf_ctx *ctx, const xfc_tensor *const *in, const xfc_tensor **out) {
    if (r->packed) return xf_run_packed_once(r, ctx, in, out);
    xf_tensor *tin = xfc_new_array(r->ctx->arena, xf_tensor, r->n_in),
              *tout = xfc_new_array(r->ctx->arena, xf_tensor, r->n_out);
    for (uint32_t i = 0; i < r->n_in; i++) tin[i] = xf_tensor_view(in[i]);
    xf_status status = r->api->run(ctx, tin, r->n_in, tout, r->n_out);
    if (status != XF_OK) return xf_runner_failed(r, ctx, status);
    for (uint32_t i = 0; out && i < r->n_out; i++) {
        out[i] = xf_tensor_copy(r->ctx, &tout[i], r->api->output_info(r->model, i)->name);
        if (!out[i])
            return xfc_fail(r->ctx, XFC_ERR_UNSUPPORTED, at(r->path),
                            "output %u has an element type that xf-run does not know", i);
    }
    return XFC_OK;
}

uint32_t xf_find_part(const xf_runner *r, bool output, uint32_t number, xfc_border *kind) {
    uint32_t first = 0;
    for (uint32_t i = 0;; i++) {
        const xf_io_info *info = output ? r->api->output_info(r->model, first) : r->api->input_info(r->model, first);
        const char *key = info ? xfc_sprintf(r->ctx->arena, XFC_BORDER_META "%s", info->name) : NULL;
        *kind = xfc_border_of(key ? r->api->metadata(r->model, key) : NULL);
        if (i == number || !info) return first + (number - i);
        first += xfc_border_parts(*kind);
    }
}

int xf_find_input(const xf_runner *r, const char *name) {
    for (uint32_t i = 0; i < r->n_in; i++)
        if (!strcmp(r->api->input_info(r->model, i)->name, name)) return (int)i;
    return -1;
}

int xf_find_output(const xf_runner *r, const char *name) {
    for (uint32_t i = 0; i < r->n_out; i++)
        if (!strcmp(r->api->output_info(r->model, i)->name, name)) return (int)i;
    return -1;
}

/* --- signature --- */

static void list_info(const xf_runner *r, const char *what, const xf_io_info *info) {
    xfc_buf b = {.arena = r->ctx->arena};
    const char *kind = r->api->metadata(r->model, xfc_sprintf(r->ctx->arena, XFC_BORDER_META "%s", info->name));
    xfc_dtype dtype;
    xfc_buf_printf(&b, "%-6s  ", what);
    xfc_buf_quoted(&b, info->name);
    xfc_buf_printf(&b, ": %s[", xf_dtype_known(info->dtype, &dtype) ? xf_dtype_text(dtype) : "?");
    for (int32_t d = 0; d < info->ndim; d++) {
        xfc_buf_str(&b, d ? ", " : "");
        if (info->dim[d] >= 0)
            xfc_buf_printf(&b, "%lld", (long long)info->dim[d]);
        else {
            xfc_buf_str(&b, info->dim_name[d] ? info->dim_name[d] : "?");
            xfc_buf_printf(&b, " in %lld..", (long long)info->dim_min[d]);
            if (info->dim_max[d] >= 0) xfc_buf_printf(&b, "%lld", (long long)info->dim_max[d]);
        }
    }
    printf("%s]", b.text);
    if (xfc_border_of(kind) == XFC_BORDER_TEXT)
        printf(", the bytes of strings, with their lengths");
    else if (kind)
        printf(", the elements of a%s %s, with its other parts", *kind == 'o' ? "n" : "", kind);
}

void xf_runner_list(const xf_runner *r) {
    for (uint32_t i = 0; i < r->n_in; i++) {
        list_info(r, "input", r->api->input_info(r->model, i));
        printf("\n");
    }
    for (uint32_t i = 0; i < r->n_out; i++) {
        const xf_io_info *info = r->api->output_info(r->model, i);
        const char *mask = r->api->metadata(r->model, xfc_sprintf(r->ctx->arena, XF_PADDED_OUTPUT "%s", info->name));
        list_info(r, "output", info);
        if (mask) printf(", 0 where '%s' is 0", mask);
        printf("\n");
    }
    for (size_t i = 0; i < xf_n_packed(r); i++) {
        list_info(r, "packed", r->api->packed_input_info(r->model, i));
        printf(" (--packed --cu-seqlens)\n");
    }
    const char *version = r->api->metadata(r->model, "xfc.version");
    printf("isa     %s\n", r->api->metadata(r->model, "isa"));
    if (version) printf("xfc     %s\n", version);
}

/* example.c - the whole C API in one small program: load a compiled text encoder, look at it, run it, print.
 *
 *     cc -std=c99 -I runtime/include docs/example.c -o example -ldl
 *     ./example ./model.so 101 7592 2088 102
 *
 * The numbers are the token ids of one sentence. Every input of the model is [batch, sequence] here: integer inputs
 * whose name holds "mask" are 1, "type" 0, others the ids. docs/c-api.md explains the calls.
 */
#include "xf.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUTS 8
#define MAX_OUTPUTS 8

static const xf_api *xf;

static int fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static void print_info(const char *what, const xf_io_info *info) {
    printf("%s %s: [", what, info->name);
    for (int d = 0; d < info->ndim; d++) {
        if (d) printf(", ");
        if (info->dim[d] >= 0)
            printf("%lld", (long long)info->dim[d]);
        else
            printf("%s", info->dim_name[d] ? info->dim_name[d] : "?");
    }
    printf("]\n");
}

/* One int64 input of shape [1, n]. The data and the shape belong to the caller. */
static int fill_input(const xf_io_info *info, const int64_t *ids, int64_t n, int64_t shape[2], xf_tensor *t) {
    int64_t *data = malloc((size_t)n * sizeof *data);
    if (!data) return fail(info->name, "out of memory");
    for (int64_t i = 0; i < n; i++) data[i] = strstr(info->name, "mask") ? 1 : strstr(info->name, "type") ? 0 : ids[i];
    shape[0] = 1;
    shape[1] = n;
    memset(t, 0, sizeof *t); /* strides NULL: dense; byte_offset 0 */
    t->data = data;
    t->device.device_type = 1; /* CPU */
    t->ndim = 2;
    t->dtype = info->dtype;
    t->shape = shape;
    if (info->ndim != 2 || info->dtype.code != 0 || info->dtype.bits != 64)
        return fail(info->name, "this example needs int64[batch, sequence]");
    return 0;
}

static void print_output(const char *name, const xf_tensor *t) {
    int64_t count = 1;
    printf("%s: [", name);
    for (int d = 0; d < t->ndim; d++) {
        printf("%s%lld", d ? ", " : "", (long long)t->shape[d]);
        count *= t->shape[d];
    }
    printf("] =");
    for (int64_t i = 0; i < count && i < 8; i++) {
        if (t->dtype.code == 2 && t->dtype.bits == 32)
            printf(" %g", (double)((const float *)t->data)[i]);
        else if (t->dtype.code == 0 && t->dtype.bits == 64)
            printf(" %lld", (long long)((const int64_t *)t->data)[i]);
    }
    printf("%s\n", count > 8 ? " ..." : "");
}

static int run_model(xf_model *model, xf_ctx *ctx, const int64_t *ids, int64_t n) {
    size_t n_in = xf->num_inputs(model), n_out = xf->num_outputs(model), i;
    xf_tensor in[MAX_INPUTS], out[MAX_OUTPUTS];
    int64_t shape[MAX_INPUTS][2];
    int bad = 0;
    if (n_in > MAX_INPUTS || n_out > MAX_OUTPUTS) return fail("example", "more inputs or outputs than it is made for");
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out); /* data NULL: the context provides the memory of the outputs */
    for (i = 0; i < n_in && !bad; i++) bad = fill_input(xf->input_info(model, i), ids, n, shape[i], &in[i]);
    if (!bad && xf->run(ctx, in, n_in, out, n_out) != XF_OK) bad = fail("run", xf->last_error(ctx));
    for (i = 0; i < n_out && !bad; i++) print_output(xf->output_info(model, i)->name, &out[i]);
    for (i = 0; i < n_in; i++) free(in[i].data);
    return bad;
}

int main(int argc, char **argv) {
    int64_t ids[512];
    int n = 0, bad = 0;
    size_t i;
    if (argc < 3) return fail("usage", "example MODEL.so TOKEN_ID...");
    for (; n < argc - 2 && n < 512; n++) ids[n] = strtoll(argv[n + 2], NULL, 10);

    char path[4096]; /* dlopen looks for names without a slash in the system's folders */
    snprintf(path, sizeof path, "%s%s", strchr(argv[1], '/') ? "" : "./", argv[1]);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so) return fail(argv[1], dlerror());
    xf_get_api_fn get_api;
    *(void **)&get_api = dlsym(so, "xf_get_api"); /* POSIX's way to make a function of dlsym's answer */
    if (!get_api || !(xf = get_api(XF_ABI_VERSION))) return fail(argv[1], "not a model of this ABI");

    xf_model *model = NULL;
    xf_ctx *ctx = NULL;
    if (xf->open(NULL, &model) != XF_OK) return fail("open", xf->last_error(NULL));
    for (i = 0; i < xf->num_inputs(model); i++) print_info("input", xf->input_info(model, i));
    for (i = 0; i < xf->num_outputs(model); i++) print_info("output", xf->output_info(model, i));
    printf("code: %s\n", xf->metadata(model, "isa"));

    if (xf->ctx_create(model, NULL, &ctx) != XF_OK)
        bad = fail("ctx_create", xf->last_error(NULL));
    else
        bad = run_model(model, ctx, ids, n);

    xf->ctx_destroy(ctx);
    xf->release(model);
    dlclose(so);
    return bad;
}

/* ptx.c - whole models as PTX: every step of the plan has its kernel, and ptxas takes the text.
 *
 * ptx PTXAS FILE...: models (.onnx) or graphs (.xf). PTXAS empty or not found: the text is still checked, then the
 * test says so and is skipped (77).
 */
#define _POSIX_C_SOURCE 200809L
#include "backends/backend.h"
#include "frontend/frontend.h"
#include "ir/text/text.h"
#include "passes/pass.h"
#include "tests/unit/test.h"
#include "tools/cli.h"

static bool has_suffix(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

static xfc_graph *read_graph(xfc_ctx *ctx, const char *file) {
    char *text;
    size_t n;
    if (!has_suffix(file, ".xf")) return xfc_import_file(ctx, file, &(xfc_import_opts){0});
    return xf_read_file(ctx, file, XF_MAX_TEXT, &text, &n) ? xfc_parse_graph(ctx, text, n, file) : NULL;
}

static xfc_status compile(xfc_ctx *ctx, xfc_graph **g, xfc_blob *out) {
    const xfc_backend *cuda = xfc_backend_find("cuda");
    xfc_target target;
    XFC_TRY(xfc_run_passes(g, &xfc_target_cuda_generic, xfc_pipeline_default[2],
                           &(xfc_run_opts){.verify = true, .bisect_limit = -1}));
    XFC_TRY(cuda->configure(ctx, &target, "sm_80"));
    const xfc_kernel_set set = xfc_kernel_set_of((const xfc_graph *[]){*g}, 1, (*g)->arena);
    return cuda->emit(ctx, &target, &set, "ptx", 2, out, NULL);
}

/* Step i runs kernel number[i]: there must be exactly one entry of that name, and no entry that no step runs. */
static void check_entries(const xfc_graph *g, const char *ptx, const char *file) {
    const xfc_kernel_set set = xfc_kernel_set_of(&g, 1, g->arena);
    uint32_t entries = 0;
    test_check(set.n_steps > 0, __FILE__, __LINE__, file);
    for (uint32_t i = 0; i < set.n_steps; i++) {
        char entry[64];
        snprintf(entry, sizeof entry, ".entry xf_kernel_%u(", (unsigned)set.step[i].number);
        const char *at = strstr(ptx, entry);
        if (!test_check(at && !strstr(at + 1, entry), __FILE__, __LINE__, file))
            fprintf(stderr, "    step %u: %s\n", (unsigned)i, entry);
    }
    for (const char *p = ptx; (p = strstr(p, ".entry ")) != NULL; p++) entries++;
    test_int(entries, set.n_kernels, __FILE__, __LINE__, file);
}

static void assemble(xfc_ctx *ctx, const char *ptxas, const xfc_blob *ptx, const char *file) {
    const char *base = getenv("TMPDIR");
    char path[300], command[1024];
    snprintf(path, sizeof path, "%s/xfc-ptx-%ld.ptx", base ? base : "/tmp", (long)getpid());
    if (!CHECK(xf_write_file(ctx, path, ptx->data, ptx->n))) return;
    snprintf(command, sizeof command, "'%s' -arch=sm_80 '%s' -o /dev/null", ptxas, path);
    test_check(system(command) == 0, __FILE__, __LINE__, file);
    unlink(path);
}

static void check_file(const char *ptxas, const char *file) {
    xfc_ctx *ctx = xfc_ctx_new();
    xfc_graph *g = read_graph(ctx, file);
    xfc_blob ptx = {0};
    if (test_check(g && compile(ctx, &g, &ptx) == XFC_OK, __FILE__, __LINE__, file)) {
        char *text = xfc_alloc(ctx->arena, ptx.n + 1, 1);
        memcpy(text, ptx.data, ptx.n);
        check_entries(g, text, file);
        if (ptxas) assemble(ctx, ptxas, &ptx, file);
    } else {
        xfc_diags_print(ctx, stderr, false);
    }
    free(ptx.data);
    xfc_graph_free(g);
    xfc_ctx_free(ctx);
}

int main(int argc, char **argv) {
    const char *ptxas = argc > 1 && argv[1][0] && access(argv[1], X_OK) == 0 ? argv[1] : NULL;
    for (int i = 2; i < argc; i++) check_file(ptxas, argv[i]);
    int failed = test_end();
    if (failed || ptxas) return failed;
    puts("SKIP: ptxas is not installed, so nothing has assembled the PTX; pip install nvidia-cuda-nvcc");
    return 77;
}

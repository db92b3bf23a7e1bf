/* onnx_import.c - fuzz target: any bytes are a graph that every pass takes, or a clean error.
 *
 * Linked with libFuzzer (XF_FUZZ), or with fuzz_main.c, which damages given models the same way on every run; with
 * both, mutate_onnx.c changes models as models. As xfc --check does, an imported graph goes through the default
 * pipeline; it must pass the verifier before and after. What may not happen is found by the sanitizers, or ends the
 * process with exit code 70.
 */
#include "backends/backend.h"
#include "frontend/frontend.h"
#include "ir/verify/verify.h"
#include "passes/pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify(const xfc_graph *g, const char *what) {
    xfc_buf defects = {.arena = g->ctx->arena};
    if (!xfc_verify(g, &defects)) xfc_bug(__FILE__, __LINE__, "the %s graph is not valid: %s", what, defects.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_graph *g = xfc_import_memory(c, "fuzzed.onnx", data, size, NULL);
    if (g) {
        verify(g, "imported");
        xfc_run_opts run = {.bisect_limit = -1};
        xfc_status s = xfc_run_passes(&g, &xfc_target_cpu_generic, xfc_pipeline_default[2], &run);
        xfc_assert(s == XFC_OK || c->n_errors > 0);
        if (s == XFC_OK) verify(g, "planned");
        xfc_graph_free(g);
    } else {
        xfc_assert(c->n_errors > 0);
    }
    xfc_ctx_free(c);
    return 0;
}

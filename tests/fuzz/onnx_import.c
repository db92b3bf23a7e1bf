/* onnx_import.c - fuzz target: any bytes are a graph or a clean error.
 *
 * Linked with libFuzzer (XF_FUZZ), or with fuzz_main.c, which damages given models the same way on every run. An
 * imported graph must also pass the verifier. What may not happen is found by the sanitizers, or ends the process with
 * exit code 70.
 */
#include "frontend/frontend.h"
#include "ir/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    xfc_ctx *c = xfc_ctx_new();
    xfc_graph *g = xfc_import_memory(c, "fuzzed.onnx", data, size, NULL);
    if (g) {
        xfc_buf defects = {.arena = c->arena};
        if (!xfc_verify(g, &defects)) xfc_bug(__FILE__, __LINE__, "the imported graph is not valid: %s", defects.text);
        xfc_graph_free(g);
    } else {
        xfc_assert(c->n_errors > 0);
    }
    xfc_ctx_free(c);
    return 0;
}

/* target.c - x86-64 CPUs by level of the psABI: their numbers and the backend "cpu".
 *
 * A level is what every CPU of it offers, so the tuning is generic. v3 brings FMA, AVX2 and F16C; v4 AVX-512 F, BW,
 * CD, DQ, VL.
 */
#include "backends/llvm/llvm.h"
#include <string.h>

static const struct {
    const char *isa;
    uint32_t vector_bytes;
    bool has_fma;
} levels[] = {
    {"x86-64-v2", 16, false},
    {"x86-64-v3", 32, true},
    {"x86-64-v4", 64, true},
};

static xfc_status configure(xfc_ctx *ctx, xfc_target *t, const char *isa) {
    for (size_t i = 0; i < XFC_COUNT(levels); i++) {
        if (strcmp(levels[i].isa, isa ? isa : "x86-64-v3") != 0) continue;
        *t = xfc_target_cpu_generic;
        t->isa = t->cpu = levels[i].isa;
        t->triple = "x86_64-unknown-linux-gnu";
        t->features = "";
        t->vector_bytes = levels[i].vector_bytes;
        t->has_fma = levels[i].has_fma;
        return XFC_OK;
    }
    return xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){0}, "-march: unknown ISA '%s'; use x86-64-v2, x86-64-v3 or x86-64-v4",
                    isa);
}

static xfc_status emit(xfc_ctx *ctx, const xfc_target *t, const xfc_kernel_set *set, const char *what, int opt_level,
                       xfc_blob *out) {
    return xfc_emit_set(ctx, t, set, what, opt_level, true, out);
}

const xfc_backend xfc_backend_cpu = {"cpu", configure, emit};

/* target.c - x86-64 CPUs: the variants of isas.def as targets, and the backend "cpu". */
#include "backends/llvm/llvm.h"
#include "runtime/include/xfc/abi.h"
#include <string.h>

static const struct {
    const char *isa;
    uint32_t level, cpu_features;
    const char *attributes;
    uint32_t vector_bytes, features;
} rows[] = {
#define XFC_ISA(...) {__VA_ARGS__},
#include "backends/llvm/cpu/isas.def"
#undef XFC_ISA
};

static const char *const isas[] = {
#define XFC_ISA(name, ...) name,
#include "backends/llvm/cpu/isas.def"
#undef XFC_ISA
    NULL,
};

static xfc_status unknown(xfc_ctx *ctx, const char *isa) {
    xfc_buf known = {.arena = ctx->arena};
    for (uint32_t i = 0; isas[i]; i++)
        xfc_buf_printf(&known, "%s%s", i == 0 ? "" : isas[i + 1] ? ", " : " or ", isas[i]);
    return xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){0}, "-march: unknown ISA '%s'; use %s", isa, known.text);
}

static xfc_status configure(xfc_ctx *ctx, xfc_target *t, const char *isa) {
    for (size_t i = 0; i < XFC_COUNT(rows); i++) {
        if (strcmp(rows[i].isa, isa ? isa : "x86-64-v3") != 0) continue;
        *t = xfc_target_cpu_generic;
        t->isa = rows[i].isa;
        t->cpu = xfc_sprintf(ctx->arena, "x86-64-v%u", (unsigned)rows[i].level);
        t->attributes = rows[i].attributes;
        t->vector_bytes = rows[i].vector_bytes;
        t->features = rows[i].features;
        t->level = rows[i].level;
        t->cpu_features = rows[i].cpu_features;
        return XFC_OK;
    }
    return unknown(ctx, isa);
}

static xfc_status emit(xfc_ctx *ctx, const xfc_target *t, const xfc_kernel_set *set, const char *what, int opt_level,
                       xfc_blob *out, xfc_emit_times *times) {
    return xfc_emit_set(ctx, t, set, what, opt_level, !set->name, out, times);
}

const xfc_backend xfc_backend_cpu = {"cpu", isas, &xfc_target_cpu_generic, configure, emit};

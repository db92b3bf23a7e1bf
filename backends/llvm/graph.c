/* graph.c - every distinct kernel of a planned graph (or of two that run on the same weights) in one module, and for the CPU the table of their addresses.
 *
 * Kernels are named by number, never by names of the model. The table is the hidden constant xf_kernels_<isa> that the
 * variant of this ISA points to (runtime/include/xfc/abi.h).
 */
#include "backends/llvm/llvm.h"
#include <stdio.h>
#include <string.h>

enum { NAME = 64 };

static void symbol_of_isa(char *out, const xfc_target *t) {
    snprintf(out, NAME, "xf_kernels_%s", t->isa);
    for (char *c = out; *c; c++)
        if (*c == '-') *c = '_';
}

static void emit_table(xfc_emit *e, LLVMValueRef *fn, uint32_t n) {
    char name[NAME];
    symbol_of_isa(name, e->target);
    LLVMTypeRef type = LLVMArrayType2(e->ptr, n);
    LLVMValueRef table = LLVMAddGlobal(e->module, type, name);
    LLVMSetInitializer(table, LLVMConstArray2(e->ptr, fn, n));
    LLVMSetGlobalConstant(table, true);
    LLVMSetVisibility(table, LLVMHiddenVisibility);
    LLVMSetAlignment(table, 8);
}

/* Kernels of one graph, numbered from *n on. */
static xfc_status emit_kernels(xfc_emit *e, const xfc_graph *g, LLVMValueRef **fn, uint32_t *n, uint32_t *cap) {
    xfc_kernel_set set = xfc_plan_kernels(g, e->arena);
    xfc_int *symbols = NULL;
    uint32_t n_symbols = xfc_graph_symbols(g, e->arena, &symbols);
    xfc_emit_symbols(e, symbols, n_symbols);
    for (uint32_t i = 0; i < set.n_kernels; i++) {
        char name[NAME];
        LLVMValueRef one;
        snprintf(name, sizeof name, "xf_kernel_%u", *n);
        XFC_TRY(xfc_emit_kernel(e, set.kernel[i]->kernel, name, &one));
        xfc_push(e->arena, *fn, *n, *cap) = one;
    }
    return XFC_OK;
}

static xfc_status emit_all(xfc_emit *e, const xfc_graph *const *graphs, uint32_t n_graphs, bool table) {
    LLVMValueRef *fn = NULL;
    uint32_t n = 0, cap = 0;
    for (uint32_t i = 0; i < n_graphs; i++) XFC_TRY(emit_kernels(e, graphs[i], &fn, &n, &cap));
    if (table) emit_table(e, fn, n);
    return XFC_OK;
}

xfc_status xfc_emit_graph(xfc_ctx *ctx, const xfc_target *target, const xfc_graph *const *g, uint32_t n,
                          const char *what, int opt_level, bool table, xfc_blob *out) {
    xfc_emit e;
    *out = (xfc_blob){0};
    xfc_status s = xfc_emit_begin(&e, ctx, target, opt_level, g[0]->name ? g[0]->name : "model");
    if (s == XFC_OK) s = emit_all(&e, g, n, table);
    if (s == XFC_OK) s = xfc_emit_finish(&e, what, out);
    xfc_emit_end(&e);
    return s;
}

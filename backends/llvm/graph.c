/* graph.c - every distinct kernel of a planned graph in one module, and for the CPU the table of their addresses.
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

static xfc_status emit_kernels(xfc_emit *e, const xfc_graph *g, bool table) {
    xfc_kernel_set set = xfc_plan_kernels(g, e->arena);
    LLVMValueRef *fn = xfc_new_array(e->arena, LLVMValueRef, set.n_kernels);
    xfc_int *symbols = NULL;
    e->n_graph_symbols = xfc_graph_symbols(g, e->arena, &symbols);
    e->graph_symbols = symbols;
    for (uint32_t i = 0; i < set.n_kernels; i++) {
        char name[NAME];
        snprintf(name, sizeof name, "xf_kernel_%u", i);
        XFC_TRY(xfc_emit_kernel(e, set.kernel[i]->kernel, name, &fn[i]));
    }
    if (table) emit_table(e, fn, set.n_kernels);
    return XFC_OK;
}

xfc_status xfc_emit_graph(xfc_ctx *ctx, const xfc_target *target, const xfc_graph *g, const char *what, int opt_level,
                          bool table, xfc_blob *out) {
    xfc_emit e;
    *out = (xfc_blob){0};
    xfc_status s = xfc_emit_begin(&e, ctx, target, opt_level, g->name ? g->name : "model");
    if (s == XFC_OK) s = emit_kernels(&e, g, table);
    if (s == XFC_OK) s = xfc_emit_finish(&e, what, out);
    xfc_emit_end(&e);
    return s;
}

/* graph.c - every distinct kernel of planned graphs in one module, and for the CPU the table of their addresses.
 *
 * Kernels are named by number, or as the set names them, never by names of the model. The table is the hidden constant xf_kernels_<isa> that the
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

/* A kernel that other objects of the link see, or that one of them holds. */
static void share(LLVMValueRef fn) {
    LLVMSetLinkage(fn, LLVMExternalLinkage);
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
}

static xfc_status emit_kernel(xfc_emit *e, const xfc_kernel_set *set, uint32_t i, LLVMValueRef *fn) {
    const xfc_kernel_step *step = &set->step[set->kernel[i]];
    const char *name = set->name ? set->name[i] : xfc_sprintf(e->arena, "xf_kernel_%u", (unsigned)i);
    if (set->part == XFC_EMIT_TABLE) {
        *fn = LLVMAddGlobal(e->module, e->i8, name);
    } else {
        xfc_emit_symbols(e, step->symbol, step->n_symbols);
        XFC_TRY(xfc_emit_kernel(e, step->op->kernel, name, fn));
    }
    if (set->name) share(*fn);
    return XFC_OK;
}

static xfc_status emit_all(xfc_emit *e, const xfc_kernel_set *set, bool table) {
    LLVMValueRef *fn = xfc_new_array(e->arena, LLVMValueRef, set->n_kernels);
    for (uint32_t i = 0; i < set->n_kernels; i++) XFC_TRY(emit_kernel(e, set, i, &fn[i]));
    if (table) emit_table(e, fn, set->n_kernels);
    return XFC_OK;
}

xfc_status xfc_emit_set(xfc_ctx *ctx, const xfc_target *target, const xfc_kernel_set *set, const char *what,
                        int opt_level, bool table, xfc_blob *out) {
    xfc_emit e;
    const char *name = set->graph[0]->name;
    *out = (xfc_blob){0};
    xfc_status s = xfc_emit_begin(&e, ctx, target, opt_level, name ? name : "model");
    if (s == XFC_OK) s = emit_all(&e, set, table);
    if (s == XFC_OK) s = xfc_emit_finish(&e, what, out);
    xfc_emit_end(&e);
    return s;
}

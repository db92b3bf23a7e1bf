/* graph.c - every distinct kernel of a set in one module, and for the CPU, unless that is for a link (base.c), the table
 * of their addresses.
 *
 * Kernels are named by number, or as the set names them, never by names of the model. The table is the hidden constant
 * xf_kernels_<isa> that the variant of this ISA points to (runtime/include/xfc/abi.h).
 */
#include "backends/llvm/llvm.h"

LLVMValueRef xfc_emit_table(xfc_emit *e, const char *isa, LLVMValueRef *fn, uint32_t n) {
    char *name = xfc_sprintf(e->arena, "xf_kernels_%s", isa);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    LLVMTypeRef type = LLVMArrayType2(e->ptr, n);
    LLVMValueRef table = LLVMAddGlobal(e->module, type, name);
    LLVMSetInitializer(table, LLVMConstArray2(e->ptr, fn, n));
    LLVMSetGlobalConstant(table, true);
    LLVMSetVisibility(table, LLVMHiddenVisibility);
    LLVMSetAlignment(table, 8);
    return table;
}

static xfc_status emit_kernel(xfc_emit *e, const xfc_kernel_set *set, uint32_t i, LLVMValueRef *fn) {
    const xfc_code *code = &set->code[i];
    const char *name = set->name ? set->name[i] : xfc_sprintf(e->arena, "xf_kernel_%u", (unsigned)i);
    xfc_emit_symbols(e, code->symbol, code->n_symbols);
    XFC_TRY(xfc_emit_kernel(e, code->kernel, name, fn));
    if (set->name) xfc_emit_share(*fn);
    return XFC_OK;
}

static xfc_status emit_all(xfc_emit *e, const xfc_kernel_set *set, bool table) {
    LLVMValueRef *fn = xfc_new_array(e->arena, LLVMValueRef, set->n_kernels);
    for (uint32_t i = 0; i < set->n_kernels; i++) XFC_TRY(emit_kernel(e, set, i, &fn[i]));
    if (table) xfc_emit_table(e, e->target->isa, fn, set->n_kernels);
    return XFC_OK;
}

xfc_status xfc_emit_set(xfc_ctx *ctx, const xfc_target *target, const xfc_kernel_set *set, const char *what,
                        int opt_level, bool table, xfc_blob *out, xfc_emit_times *times) {
    xfc_emit e;
    const char *name = set->graph[0]->name;
    *out = (xfc_blob){0};
    xfc_status s = xfc_emit_begin(&e, ctx, target, opt_level, name ? name : "model");
    e.linked = set->name && opt_level >= 2; /* tiles of other levels are not there */
    if (s == XFC_OK) s = emit_all(&e, set, table);
    if (s == XFC_OK) s = xfc_emit_finish(&e, what, out);
    if (times) *times = e.times;
    xfc_emit_end(&e);
    return s;
}

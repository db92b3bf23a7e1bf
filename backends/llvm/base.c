/* base.c - the object beside the kernels: the plans, the table of variants (runtime/include/xfc/abi.h) and those of their
 * kernels, and that of the routines which the plans call.
 *
 * Data only. Each plan lies in a section of its own, which is loaded with the read-only data and which tools find by
 * name. */
#include "backends/artefact.h"
#include "backends/llvm/llvm.h"
#include "ir/eval/eval.h"
#include "runtime/include/xfc/check.h"
#include <string.h>

static LLVMValueRef constant(xfc_emit *e, const char *name, LLVMValueRef value) {
    LLVMValueRef g = LLVMAddGlobal(e->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(g, value);
    LLVMSetGlobalConstant(g, true);
    LLVMSetAlignment(g, 8);
    return g;
}

static LLVMValueRef text(xfc_emit *e, const char *s) {
    LLVMValueRef g = constant(e, "", LLVMConstStringInContext2(e->llvm, s, strlen(s), false));
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

/* The table of an ISA's kernels, which are defined in that ISA's objects. */
static LLVMValueRef kernels_of(xfc_emit *e, const xfc_link_job *job, uint32_t isa) {
    LLVMValueRef *fn = xfc_new_array(e->arena, LLVMValueRef, job->n_kernels);
    for (uint32_t i = 0; i < job->n_kernels; i++)
        xfc_emit_share(fn[i] = LLVMAddGlobal(e->module, e->i8, job->name[isa][i]));
    return xfc_emit_table(e, job->isas[isa], fn, job->n_kernels);
}

static LLVMValueRef variant(xfc_emit *e, const xf_variant *v, LLVMValueRef name, LLVMValueRef kernels) {
    LLVMValueRef value[4] = {name, LLVMConstInt(e->i32, v->level, false), LLVMConstInt(e->i32, v->features, false),
                             kernels};
    return LLVMConstStructInContext(e->llvm, value, 4, false);
}

static LLVMValueRef variants(xfc_emit *e, const xfc_link_job *job) {
    const uint32_t n = job->n_isas;
    LLVMValueRef *rows = xfc_new_array(e->arena, LLVMValueRef, n + 1), none = LLVMConstNull(e->ptr);
    xf_variant *table = xfc_new_array(e->arena, xf_variant, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        xfc_target t;
        if (xfc_backend_cpu.configure(e->ctx, &t, job->isas[i]) != XFC_OK)
            xfc_bug(__FILE__, __LINE__, "ISA %s", job->isas[i]);
        table[i] = (xf_variant){.name = job->isas[i], .level = t.level, .features = t.cpu_features};
        rows[i] = variant(e, &table[i], text(e, job->isas[i]), kernels_of(e, job, i));
    }
    table[n] = (xf_variant){0};
    table[n].level = xf_variants_check(table);
    rows[n] = variant(e, &table[n], none, none);
    return LLVMConstArray2(LLVMTypeOf(rows[n]), rows, n + 1);
}

static LLVMValueRef plan_blob(xfc_emit *e, const char *section, const xfc_blob *plan) {
    LLVMValueRef blob = constant(e, "", LLVMConstStringInContext2(e->llvm, plan->data, plan->n, true));
    LLVMSetSection(blob, section);
    LLVMSetLinkage(blob, LLVMPrivateLinkage);
    return blob;
}

static LLVMValueRef plans(xfc_emit *e, const xfc_blob *plan) {
    static const char *const section[XF_N_PLANS] = XF_PLAN_SECTIONS;
    LLVMValueRef at[XF_N_PLANS];
    for (uint32_t i = 0; i < XF_N_PLANS; i++)
        at[i] = plan[i].data ? plan_blob(e, section[i], &plan[i]) : LLVMConstNull(e->ptr);
    return LLVMConstArray2(e->ptr, at, XF_N_PLANS);
}

static bool calls(const xfc_blob *plan, uint32_t routine) {
    const xf_plan_header *h = plan->data;
    const xf_step_info *step = h ? (const xf_step_info *)((const char *)plan->data + h->steps) : NULL;
    for (uint32_t i = 0; h && i < h->n_steps; i++)
        if (step[i].kind == XF_STEP_CALL && step[i].kernel == routine) return true;
    return false;
}

/* By number, NULL where neither a plan calls it nor `open`, up to the last one that is: the linker takes those that are
 * named here. */
static LLVMValueRef routines(xfc_emit *e, const xfc_link_job *job, uint32_t *n) {
    const char *name;
    const xfc_stored stored = job->graph ? xfc_stored_weights(job->graph, e->arena) : (xfc_stored){0};
    LLVMValueRef *row = NULL;
    uint32_t made = 0, cap = 0;
    *n = 0;
    for (uint32_t i = 0; (name = xfc_routine_name(i)); i++) {
        bool called = false;
        LLVMValueRef value = LLVMConstNull(e->ptr);
        for (uint32_t p = 0; p < XF_N_PLANS; p++) called = called || calls(&job->plan[p], i);
        for (uint32_t k = 0; k < stored.n_rows; k++) called = called || stored.row[k].routine == i;
        if (called) {
            value = LLVMAddGlobal(e->module, e->ptr, xfc_sprintf(e->arena, "xk_row_%s", name + strlen("xk_")));
            LLVMSetVisibility(value, LLVMHiddenVisibility);
        }
        xfc_push(e->arena, row, made, cap) = value;
        if (called) *n = made;
    }
    return LLVMConstArray2(e->ptr, row, *n);
}

static void emit(xfc_emit *e, const xfc_link_job *job) {
    LLVMSetVisibility(constant(e, "xf_plans", plans(e, job->plan)), LLVMHiddenVisibility);
    uint32_t n;
    LLVMSetVisibility(constant(e, "xk_routines", routines(e, job, &n)), LLVMHiddenVisibility);
    LLVMSetVisibility(constant(e, "xk_n_routines", LLVMConstInt(e->i32, n, false)), LLVMHiddenVisibility);
    LLVMSetVisibility(constant(e, "xf_variants", variants(e, job)), LLVMHiddenVisibility);
}

xfc_status xfc_emit_base(xfc_ctx *ctx, const xfc_link_job *job, xfc_blob *out) {
    xfc_target target;
    xfc_emit e;
    *out = (xfc_blob){0};
    xfc_assert(job->n_isas > 0);
    XFC_TRY(xfc_backend_cpu.configure(ctx, &target, job->isas[0]));
    xfc_status s = xfc_emit_begin(&e, ctx, &target, 0, "base");
    if (s == XFC_OK) {
        emit(&e, job);
        s = xfc_emit_finish(&e, "obj", out);
    }
    xfc_emit_end(&e);
    return s;
}

/* module.c - one LLVM module: context, target machine, the small vocabulary of blocks and loops, optimisation, output.
 *
 * Vectors are explicit in what the emitter writes, so the pipeline holds no vectoriser and no unroller: it cleans up
 * (registers for allocas, common subexpressions, loop invariants) and is cheap. Floating point keeps its meaning: no
 * fast-math flag is ever set, and the target machine's default contracts nothing by itself.
 *
 * LLVM ends the process on what it takes for internal errors; a handler prints the message first and exits with 70.
 * Errors it reports as diagnostics become an XFC_ERR_TOOL.
 */
#include "backends/llvm/llvm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has passed since the last lap, to the part that it was for. */
static void lap(xfc_emit *e, double *part) {
    const clock_t now = clock();
    *part += (double)(now - e->since) / CLOCKS_PER_SEC;
    e->since = now;
}

static void fatal_error(const char *reason) {
    fprintf(stderr, "xfc: internal error in LLVM: %s\n", reason);
    exit(70);
}

static void diagnostic(LLVMDiagnosticInfoRef info, void *user) {
    xfc_emit *e = user;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    e->status =
        xfc_fail(e->ctx, XFC_ERR_TOOL, (xfc_loc){0}, "LLVM: %s; please report this model as a bug of xfc", text);
    LLVMDisposeMessage(text);
}

/* Of all of LLVM in this process: they may be given once. Loops are written as they should run (xfc_emit_address), so that
 * strength reduction finds nothing better: it took a quarter of the time of code generation, and spilled accumulators of
 * tiles that fetch a line a step. */
static void give_cpu_options(void) {
    static const char *const option[] = {"xfc", "-disable-lsr"};
    static bool given;
    if (!given) LLVMParseCommandLineOptions(XFC_COUNT(option), option, NULL);
    given = true;
}

static void initialize_targets(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    LLVMResetFatalErrorHandler(); /* there may be one only, and every emission comes here */
    LLVMInstallFatalErrorHandler(fatal_error);
}

static xfc_status make_machine(xfc_emit *e) {
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(e->target->triple, &target, &message)) {
        xfc_status s = xfc_fail(e->ctx, XFC_ERR_TOOL, (xfc_loc){0},
                                "LLVM has no target %s: %s; install an LLVM built with it", e->target->triple, message);
        LLVMDisposeMessage(message);
        return s;
    }
    LLVMCodeGenOptLevel level = e->opt_level >= 2   ? LLVMCodeGenLevelAggressive
                                : e->opt_level == 1 ? LLVMCodeGenLevelDefault
                                                    : LLVMCodeGenLevelLess;
    e->machine = LLVMCreateTargetMachine(target, e->target->triple, e->target->cpu, e->target->attributes, level,
                                         LLVMRelocPIC, LLVMCodeModelDefault);
    if (!e->machine)
        return xfc_fail(e->ctx, XFC_ERR_TOOL, (xfc_loc){0}, "LLVM refuses CPU %s; install LLVM 22 or newer",
                        e->target->cpu);
    LLVMSetTarget(e->module, e->target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->machine);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMDisposeTargetData(layout);
    return XFC_OK;
}

xfc_status xfc_emit_begin(xfc_emit *e, xfc_ctx *ctx, const xfc_target *target, int opt_level, const char *name) {
    *e = (xfc_emit){.ctx = ctx, .arena = xfc_arena_new(), .target = target, .opt_level = opt_level, .since = clock()};
    initialize_targets();
    e->symbols = e->tiles = e->empty_let = (xfc_map){.arena = e->arena};
    e->lanes = target->vector_bytes ? target->vector_bytes / 4 : 1;
    e->gpu = strcmp(target->backend, "cuda") == 0;
    if (!e->gpu) give_cpu_options();
    e->native_half = e->gpu || (target->features & XFC_HAS_FMA); /* F16C came with FMA in x86-64-v3 */
    e->llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(e->llvm, diagnostic, e);
    e->module = LLVMModuleCreateWithNameInContext(name, e->llvm);
    e->b = LLVMCreateBuilderInContext(e->llvm);
    e->i1 = LLVMInt1TypeInContext(e->llvm);
    e->i8 = LLVMInt8TypeInContext(e->llvm);
    e->i16 = LLVMInt16TypeInContext(e->llvm);
    e->i32 = LLVMInt32TypeInContext(e->llvm);
    e->i64 = LLVMInt64TypeInContext(e->llvm);
    e->f32 = LLVMFloatTypeInContext(e->llvm);
    e->f64 = LLVMDoubleTypeInContext(e->llvm);
    e->ptr = LLVMPointerTypeInContext(e->llvm, 0);
    e->none = LLVMVoidTypeInContext(e->llvm);
    return make_machine(e);
}

void xfc_emit_end(xfc_emit *e) {
    if (e->b) LLVMDisposeBuilder(e->b);
    if (e->wide) LLVMDisposeModule(e->wide);
    if (e->module) LLVMDisposeModule(e->module);
    if (e->machine) LLVMDisposeTargetMachine(e->machine);
    if (e->llvm) LLVMContextDispose(e->llvm);
    xfc_arena_free(e->arena);
    *e = (xfc_emit){0};
}

/* Constants fold while emitting, so what is left is small; LICM needs the promoted allocas and the merged addresses. Loops
 * get their preheaders back at the end: what a loop starts from would be set in the body of the loop before. */
static const char *pipeline(int opt_level) {
    if (opt_level <= 0) return "function(sroa)";
    if (opt_level == 1) return "function(sroa,early-cse,simplifycfg)";
    return "globaldce,function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),early-cse,"
           "instcombine<no-verify-fixpoint>,simplifycfg,loop-simplify)";
}

static xfc_status optimise(xfc_emit *e) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(e->module, pipeline(e->opt_level), e->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error) return e->status;
    char *text = LLVMGetErrorMessage(error);
    xfc_status s = xfc_fail(e->ctx, XFC_ERR_TOOL, (xfc_loc){0}, "LLVM: %s; install LLVM 22 or newer", text);
    LLVMDisposeErrorMessage(text);
    return s;
}

static xfc_status copy_out(xfc_emit *e, const char *data, size_t n, xfc_blob *out) {
    out->data = malloc(n ? n : 1);
    if (!out->data) return xfc_fail(e->ctx, XFC_ERR_IO, (xfc_loc){0}, "out of memory for %zu bytes of code", n);
    memcpy(out->data, data, n);
    out->n = n;
    return XFC_OK;
}

static xfc_status print_module(xfc_emit *e, xfc_blob *out) {
    char *text = LLVMPrintModuleToString(e->module);
    xfc_status s = copy_out(e, text, strlen(text), out);
    LLVMDisposeMessage(text);
    return s;
}

xfc_status xfc_emit_finish(xfc_emit *e, const char *what, xfc_blob *out) {
    XFC_TRY(e->status);
    char *message = NULL;
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message))
        xfc_bug(__FILE__, __LINE__, "emitted code is malformed: %s", message);
    LLVMDisposeMessage(message);
    lap(e, &e->times.write);
    XFC_TRY(optimise(e));
    lap(e, &e->times.optimise);
    if (strcmp(what, "llvm") == 0) return print_module(e, out);
    bool object = strcmp(what, "obj") == 0;
    if (!object && strcmp(what, "asm") != 0 && !(e->gpu && strcmp(what, "ptx") == 0))
        return xfc_fail(e->ctx, XFC_ERR_INPUT, (xfc_loc){0}, "target %s cannot emit '%s'; use %s", e->target->backend,
                        what, e->gpu ? "llvm or ptx" : "obj, asm or llvm");
    LLVMMemoryBufferRef buffer = NULL;
    message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(e->machine, e->module, object ? LLVMObjectFile : LLVMAssemblyFile, &message,
                                            &buffer)) {
        xfc_status s = xfc_fail(e->ctx, XFC_ERR_TOOL, (xfc_loc){0}, "LLVM cannot write code: %s", message);
        LLVMDisposeMessage(message);
        return s;
    }
    lap(e, &e->times.code);
    xfc_status s = e->status;
    if (s == XFC_OK) s = copy_out(e, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer), out);
    LLVMDisposeMemoryBuffer(buffer);
    return s;
}

void xfc_emit_fn_attr(xfc_emit *e, LLVMValueRef fn, const char *key, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(e->llvm, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

void xfc_emit_fn_enum(xfc_emit *e, LLVMValueRef fn, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(e->llvm, kind, 0));
}

void xfc_emit_share(LLVMValueRef value) {
    LLVMSetLinkage(value, LLVMExternalLinkage);
    LLVMSetVisibility(value, LLVMHiddenVisibility);
}

LLVMValueRef xfc_emit_function(xfc_emit *e, const char *name, LLVMTypeRef type) {
    LLVMValueRef fn = LLVMAddFunction(e->module, name, type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    xfc_emit_fn_enum(e, fn, "nounwind");
    if (e->gpu) return fn;
    xfc_emit_fn_attr(e, fn, "target-cpu", e->target->cpu);
    xfc_emit_fn_attr(e, fn, "target-features", e->target->attributes);
    /* Some tunings prefer half-width vectors; ours are as wide as the emitter wrote them. */
    xfc_emit_fn_attr(e, fn, "prefer-vector-width", "512");
    return fn;
}

LLVMValueRef xfc_emit_const(xfc_emit *e, int64_t v) { return LLVMConstInt(e->i64, (uint64_t)v, true); }

LLVMValueRef xfc_emit_intrinsic(xfc_emit *e, const char *name, LLVMTypeRef *overload, unsigned n_overload,
                                LLVMValueRef *args, unsigned n_args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) xfc_bug(__FILE__, __LINE__, "LLVM has no intrinsic %s", name);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->module, id, overload, n_overload);
    return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(fn), fn, args, n_args, "");
}

LLVMBasicBlockRef xfc_emit_block(xfc_emit *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->llvm, e->fn, name);
}

LLVMValueRef xfc_emit_alloca(xfc_emit *e, LLVMTypeRef type, uint32_t align, const char *name) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMValueRef end = LLVMGetBasicBlockTerminator(e->entry);
    if (end)
        LLVMPositionBuilderBefore(e->b, end);
    else
        LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMValueRef a = LLVMBuildAlloca(e->b, type, name);
    if (align) LLVMSetAlignment(a, align);
    LLVMPositionBuilderAtEnd(e->b, here);
    return a;
}

LLVMValueRef xfc_emit_offset(xfc_emit *e, LLVMValueRef base, LLVMTypeRef element, LLVMValueRef index) {
    return LLVMBuildGEP2(e->b, element, base, &index, 1, "");
}

/* --- control flow --- */

LLVMBasicBlockRef xfc_emit_if_begin(xfc_emit *e, LLVMValueRef cond, const char *name) {
    LLVMBasicBlockRef then = xfc_emit_block(e, name), done = xfc_emit_block(e, "endif");
    LLVMBuildCondBr(e->b, cond, then, done);
    LLVMPositionBuilderAtEnd(e->b, then);
    return done;
}

void xfc_emit_if_end(xfc_emit *e, LLVMBasicBlockRef done) {
    LLVMBuildBr(e->b, done);
    LLVMMoveBasicBlockAfter(done, LLVMGetInsertBlock(e->b));
    LLVMPositionBuilderAtEnd(e->b, done);
}

xfc_loop xfc_emit_loop_enter(xfc_emit *e, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step, const char *name) {
    xfc_loop l = {.next_limit = hi, .step = step, .enter = LLVMGetInsertBlock(e->b)};
    l.head = xfc_emit_block(e, name);
    l.done = xfc_emit_block(e, "done");
    LLVMBuildBr(e->b, l.head);
    LLVMPositionBuilderAtEnd(e->b, l.head);
    l.i = LLVMBuildPhi(e->b, e->i64, name);
    LLVMAddIncoming(l.i, &lo, &l.enter, 1);
    return l;
}

xfc_loop xfc_emit_loop_begin(xfc_emit *e, LLVMValueRef lo, LLVMValueRef hi, int64_t step, const char *name) {
    LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSLT, lo, hi, "");
    bool sure = LLVMIsAConstantInt(some) && LLVMConstIntGetZExtValue(some);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), enter = sure ? before : xfc_emit_block(e, "enter");
    LLVMPositionBuilderAtEnd(e->b, enter);
    xfc_loop l = xfc_emit_loop_enter(e, lo, hi, xfc_emit_const(e, step), name);
    if (sure) return l;
    LLVMPositionBuilderAtEnd(e->b, before);
    LLVMBuildCondBr(e->b, some, enter, l.done);
    LLVMPositionBuilderAtEnd(e->b, l.head);
    return l;
}

void xfc_emit_loop_end(xfc_emit *e, xfc_loop *l) {
    LLVMValueRef next = LLVMBuildAdd(e->b, l->i, l->step, "");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMAddIncoming(l->i, &next, &latch, 1);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, l->next_limit, ""), l->head, l->done);
    LLVMMoveBasicBlockAfter(l->done, latch);
    LLVMPositionBuilderAtEnd(e->b, l->done);
}

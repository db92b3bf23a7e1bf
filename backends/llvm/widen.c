/* widen.c - the C functions of runtime/kernels/math.c inside generated code, on scalars and on vectors.
 *
 * They were compiled to bitcode when xfc was built. Each is one basic block without memory access, so it is copied, not
 * called: instruction by instruction, on the shape of the arguments at hand (every operand that is a constant is
 * splatted, every intrinsic declared anew on the wide type). A vector lane thus computes exactly what the scalar does,
 * and what the interpreter does with the same C on a machine with the same instructions. Multiply-adds (llvm.fma,
 * llvm.fmuladd) stay fused only if the target fuses. Where a function has a far one (xk.h), a branch leads around it.
 *
 * No lookup tables, no branches, no calls but intrinsics: anything else is a bug in math.c and ends the compiler.
 */
#include "backends/llvm/llvm.h"
#include <string.h>

/* runtime/kernels: math.c as bitcode, made when xfc is built. */
extern const unsigned char xfc_math_bitcode[];
extern const size_t xfc_math_bitcode_size;

static LLVMModuleRef math_module(xfc_emit *e) {
    if (e->wide) return e->wide;
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRange((const char *)xfc_math_bitcode, xfc_math_bitcode_size, "math", false);
    LLVMModuleRef module;
    if (LLVMParseBitcodeInContext2(e->llvm, buffer, &module))
        xfc_bug(__FILE__, __LINE__, "the math bitcode cannot be read");
    LLVMDisposeMemoryBuffer(buffer);
    e->wide = module;
    return module;
}

typedef struct {
    xfc_emit *e;
    xfc_map values;
    uint32_t lanes;
    const char *name;
} copier; /* lanes 0: scalars */

static LLVMTypeRef widen_type(const copier *c, LLVMTypeRef t) { return c->lanes ? LLVMVectorType(t, c->lanes) : t; }

static LLVMValueRef operand(copier *c, LLVMValueRef in, unsigned i) {
    LLVMValueRef v = LLVMGetOperand(in, i), mine = xfc_map_get_ptr(&c->values, v);
    if (mine) return mine;
    if (!LLVMIsConstant(v)) xfc_bug(__FILE__, __LINE__, "%s uses a value before it is there", c->name);
    return c->lanes ? xfc_emit_splat(c->e, v, c->lanes) : v;
}

static LLVMValueRef copy_call(copier *c, LLVMValueRef in) {
    xfc_emit *e = c->e;
    LLVMValueRef fn = LLVMGetCalledValue(in), args[4];
    unsigned id = LLVMIsAFunction(fn) ? LLVMGetIntrinsicID(fn) : 0, n = LLVMGetNumArgOperands(in);
    size_t length;
    if (!id || n > XFC_COUNT(args)) xfc_bug(__FILE__, __LINE__, "%s calls something that is no intrinsic", c->name);
    const char *name = LLVMIntrinsicGetName(id, &length);
    for (unsigned i = 0; i < n; i++) {
        /* Flag operands (abs' "poison on the least value") stay scalar. */
        bool flag = LLVMGetTypeKind(LLVMTypeOf(LLVMGetOperand(in, i))) == LLVMIntegerTypeKind &&
                    LLVMGetIntTypeWidth(LLVMTypeOf(LLVMGetOperand(in, i))) == 1;
        args[i] = flag ? LLVMGetOperand(in, i) : operand(c, in, i);
    }
    bool fuses = strcmp(name, "llvm.fma") == 0 || strcmp(name, "llvm.fmuladd") == 0;
    if (fuses && !(e->target->features & XFC_HAS_FMA))
        return LLVMBuildFAdd(e->b, LLVMBuildFMul(e->b, args[0], args[1], ""), args[2], "");
    if (fuses) name = "llvm.fma";
    LLVMTypeRef type = widen_type(c, LLVMTypeOf(in)), over[2] = {type, LLVMTypeOf(args[0])};
    bool converts = strncmp(name, "llvm.fpto", 9) == 0;
    return xfc_emit_intrinsic(e, name, over, converts ? 2 : 1, args, n);
}

static LLVMValueRef copy_instruction(copier *c, LLVMValueRef in) {
    LLVMBuilderRef b = c->e->b;
    LLVMOpcode op = LLVMGetInstructionOpcode(in);
    switch ((int)op) {
    case LLVMFNeg: return LLVMBuildFNeg(b, operand(c, in, 0), "");
    case LLVMFAdd:
    case LLVMFSub:
    case LLVMFMul:
    case LLVMFDiv:
    case LLVMAdd:
    case LLVMSub:
    case LLVMMul:
    case LLVMAnd:
    case LLVMOr:
    case LLVMXor:
    case LLVMShl:
    case LLVMLShr:
    case LLVMAShr: return LLVMBuildBinOp(b, op, operand(c, in, 0), operand(c, in, 1), "");
    case LLVMICmp: return LLVMBuildICmp(b, LLVMGetICmpPredicate(in), operand(c, in, 0), operand(c, in, 1), "");
    case LLVMFCmp: return LLVMBuildFCmp(b, LLVMGetFCmpPredicate(in), operand(c, in, 0), operand(c, in, 1), "");
    case LLVMSelect: return LLVMBuildSelect(b, operand(c, in, 0), operand(c, in, 1), operand(c, in, 2), "");
    case LLVMBitCast:
    case LLVMTrunc:
    case LLVMZExt:
    case LLVMSExt:
    case LLVMSIToFP:
    case LLVMUIToFP:
    case LLVMFPToSI:
    case LLVMFPToUI:
    case LLVMFPTrunc:
    case LLVMFPExt: return LLVMBuildCast(b, op, operand(c, in, 0), widen_type(c, LLVMTypeOf(in)), "");
    case LLVMFreeze: return LLVMBuildFreeze(b, operand(c, in, 0), "");
    case LLVMCall: return copy_call(c, in);
    default: xfc_bug(__FILE__, __LINE__, "%s has an instruction (%d) that cannot be widened", c->name, (int)op);
    }
}

static LLVMValueRef copy_function(xfc_emit *e, LLVMValueRef fn, const LLVMValueRef *arg) {
    copier c = {.e = e, .values = {.arena = e->arena}, .name = LLVMGetValueName2(fn, &(size_t){0})};
    if (LLVMCountBasicBlocks(fn) != 1) xfc_bug(__FILE__, __LINE__, "%s has branches", c.name);
    if (xfc_is_vector(arg[0])) c.lanes = LLVMGetVectorSize(LLVMTypeOf(arg[0]));
    for (uint32_t i = 0; i < LLVMCountParams(fn); i++) xfc_map_set_ptr(&c.values, LLVMGetParam(fn, i), arg[i]);
    LLVMValueRef in = LLVMGetFirstInstruction(LLVMGetEntryBasicBlock(fn));
    for (; LLVMGetInstructionOpcode(in) != LLVMRet; in = LLVMGetNextInstruction(in))
        xfc_map_set_ptr(&c.values, in, copy_instruction(&c, in));
    return operand(&c, in, 0);
}

/* near where the argument is not far; the block that computes the others runs only if there are some. */
static LLVMValueRef with_far(xfc_emit *e, LLVMValueRef far_fn, LLVMValueRef near, const LLVMValueRef *arg) {
    LLVMValueRef far = copy_function(e, LLVMGetNamedFunction(math_module(e), "xk_is_far_f32"), arg), some;
    far = some = LLVMBuildICmp(e->b, LLVMIntNE, far, LLVMConstNull(LLVMTypeOf(far)), "");
    LLVMTypeRef flags = LLVMTypeOf(far);
    if (xfc_is_vector(far)) some = xfc_emit_intrinsic(e, "llvm.vector.reduce.or", &flags, 1, &far, 1);
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(e->b)}, done = xfc_emit_if_begin(e, some, "far");
    LLVMValueRef in[2] = {near, LLVMBuildSelect(e->b, far, copy_function(e, far_fn, arg), near, "")};
    from[1] = LLVMGetInsertBlock(e->b);
    xfc_emit_if_end(e, done);
    LLVMValueRef phi = LLVMBuildPhi(e->b, LLVMTypeOf(near), "");
    LLVMAddIncoming(phi, in, from, 2);
    return phi;
}

LLVMValueRef xfc_emit_math_f32(xfc_emit *e, const char *name, const LLVMValueRef *arg, uint32_t n) {
    char symbol[64];
    xfc_assert(strlen(name) + sizeof "xk__f32_far" <= sizeof symbol && n <= 2);
    strcat(strcat(strcpy(symbol, "xk_"), name), "_f32");
    LLVMValueRef fn = LLVMGetNamedFunction(math_module(e), symbol);
    if (!fn || LLVMCountParams(fn) != n)
        xfc_bug(__FILE__, __LINE__, "math.c has no function %s of %u arguments", symbol, n);
    LLVMValueRef v[2];
    for (uint32_t i = 0; i < n; i++) v[i] = arg[i];
    xfc_emit_unify(e, v, n);
    LLVMValueRef near = copy_function(e, fn, v), far = LLVMGetNamedFunction(math_module(e), strcat(symbol, "_far"));
    return far ? with_far(e, far, near, v) : near;
}

static LLVMValueRef call_libm(xfc_emit *e, const char *name, LLVMValueRef *arg, uint32_t n) {
    LLVMTypeRef params[2] = {e->f64, e->f64}, type = LLVMFunctionType(e->f64, params, n, false);
    LLVMValueRef fn = LLVMGetNamedFunction(e->module, name);
    if (!fn) {
        fn = LLVMAddFunction(e->module, name, type);
        xfc_emit_fn_enum(e, fn, "nounwind");
    }
    return LLVMBuildCall2(e->b, type, fn, arg, n, "");
}

LLVMValueRef xfc_emit_libm(xfc_emit *e, const char *name, const LLVMValueRef *arg, uint32_t n) {
    xfc_assert(n <= 2);
    if (e->gpu) {
        xfc_loc loc = e->kernel && e->kernel->n_fused ? e->kernel->fused[0] : (xfc_loc){0};
        if (e->status == XFC_OK)
            e->status =
                xfc_fail(e->ctx, XFC_ERR_UNSUPPORTED, loc, "%s of f64 has no GPU code; cast to f32 around it", name);
        return arg[0];
    }
    LLVMValueRef v[2], one[2];
    for (uint32_t i = 0; i < n; i++) v[i] = arg[i];
    xfc_emit_unify(e, v, n);
    if (!xfc_is_vector(v[0])) return call_libm(e, name, v, n);
    LLVMValueRef r = LLVMGetPoison(LLVMTypeOf(v[0]));
    for (uint32_t lane = 0; lane < LLVMGetVectorSize(LLVMTypeOf(v[0])); lane++) {
        for (uint32_t i = 0; i < n; i++) one[i] = xfc_emit_lane(e, v[i], lane);
        r = LLVMBuildInsertElement(e->b, r, call_libm(e, name, one, n), xfc_emit_const(e, lane), "");
    }
    return r;
}

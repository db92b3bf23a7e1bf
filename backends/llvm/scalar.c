/* scalar.c - one scalar instruction of scalar.def as LLVM instructions, for scalars and vectors alike.
 *
 * Nothing traps and nothing is undefined: integers wrap, division by zero is 0, NaN goes through minimum and maximum.
 * f16 and bf16 compute in f32 and round after every operation that may leave their range or precision. Multiply and
 * add become one instruction only where the FMA operation asks for it.
 */
#include "backends/llvm/llvm.h"

static LLVMValueRef compare(xfc_emit *e, LLVMRealPredicate f, LLVMIntPredicate s, LLVMIntPredicate u, xfc_dtype t,
                            const LLVMValueRef *v) {
    if (xfc_dtype_is_float(t)) return LLVMBuildFCmp(e->b, f, v[0], v[1], "");
    return LLVMBuildICmp(e->b, xfc_dtype_class(t) == XFC_CLASS_SINT ? s : u, v[0], v[1], "");
}

static LLVMValueRef unary_intrinsic(xfc_emit *e, const char *name, LLVMValueRef v) {
    LLVMTypeRef type = LLVMTypeOf(v);
    return xfc_emit_intrinsic(e, name, &type, 1, &v, 1);
}

/* NaN if either is, and -0 below 0: llvm.minimum and llvm.maximum, which LLVM trims when an operand is known well
 * enough. */
static LLVMValueRef extremum(xfc_emit *e, bool max, xfc_dtype t, const LLVMValueRef *v) {
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    LLVMValueRef args[2] = {v[0], v[1]};
    const char *name = max ? "llvm.umax" : "llvm.umin";
    if (xfc_dtype_is_float(t))
        name = max ? "llvm.maximum" : "llvm.minimum";
    else if (xfc_dtype_class(t) == XFC_CLASS_SINT)
        name = max ? "llvm.smax" : "llvm.smin";
    return xfc_emit_intrinsic(e, name, &type, 1, args, 2);
}

/* Quotient (what 0), remainder with the dividend's sign (1) or the divisor's (2). */
static LLVMValueRef divide_int(xfc_emit *e, int what, xfc_dtype t, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(type), one = xfc_emit_number(e, type, 1);
    bool sign = xfc_dtype_class(t) == XFC_CLASS_SINT;
    LLVMValueRef by_zero = LLVMBuildICmp(e->b, LLVMIntEQ, b, zero, ""), unsafe = by_zero;
    if (sign) { /* the least number / -1: itself / 1 is the wrapped result, and the remainder is 0 either way */
        int64_t least = (int64_t)(UINT64_MAX << (xfc_dtype_bytes(t) * 8 - 1));
        LLVMValueRef wraps = LLVMBuildAnd(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, a, xfc_emit_number(e, type, least), ""),
                                          LLVMBuildICmp(e->b, LLVMIntEQ, b, xfc_emit_number(e, type, -1), ""), "");
        unsafe = LLVMBuildOr(e->b, by_zero, wraps, "");
    }
    LLVMValueRef by = LLVMBuildSelect(e->b, unsafe, one, b, ""), r;
    if (what == 0)
        r = sign ? LLVMBuildSDiv(e->b, a, by, "") : LLVMBuildUDiv(e->b, a, by, "");
    else
        r = sign ? LLVMBuildSRem(e->b, a, by, "") : LLVMBuildURem(e->b, a, by, "");
    if (what == 2 && sign) {
        LLVMValueRef opposite = LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, r, by, ""), zero, "");
        LLVMValueRef fix = LLVMBuildAnd(e->b, opposite, LLVMBuildICmp(e->b, LLVMIntNE, r, zero, ""), "");
        r = LLVMBuildSelect(e->b, fix, LLVMBuildAdd(e->b, r, by, ""), r, "");
    }
    return LLVMBuildSelect(e->b, by_zero, zero, r, "");
}

/* fmod is exact, so that of f32 may be computed in f64; PTX has no libm but an expansion of frem. */
static LLVMValueRef remainder_float(xfc_emit *e, bool divisor_sign, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a), f64 = xfc_emit_like(e->f64, a);
    LLVMValueRef v[2] = {LLVMBuildFPCast(e->b, a, f64, ""), LLVMBuildFPCast(e->b, b, f64, "")};
    LLVMValueRef r = e->gpu ? LLVMBuildFRem(e->b, v[0], v[1], "") : xfc_emit_libm(e, "fmod", v, 2);
    r = LLVMBuildFPCast(e->b, r, type, "");
    if (!divisor_sign) return r;
    LLVMValueRef zero = LLVMConstNull(type);
    LLVMValueRef opposite = LLVMBuildXor(e->b, LLVMBuildFCmp(e->b, LLVMRealOLT, r, zero, ""),
                                         LLVMBuildFCmp(e->b, LLVMRealOLT, b, zero, ""), "");
    LLVMValueRef signed_zero[2] = {r, b};
    LLVMValueRef moved = LLVMBuildSelect(e->b, opposite, LLVMBuildFAdd(e->b, r, b, ""), r, "");
    LLVMValueRef is_zero = LLVMBuildFCmp(e->b, LLVMRealOEQ, r, zero, "");
    return LLVMBuildSelect(e->b, is_zero, xfc_emit_intrinsic(e, "llvm.copysign", &type, 1, signed_zero, 2), moved, "");
}

static LLVMValueRef sign_of(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    LLVMTypeRef type = LLVMTypeOf(v);
    LLVMValueRef zero = LLVMConstNull(type), pair[2] = {v, zero};
    LLVMValueRef above = compare(e, LLVMRealOGT, LLVMIntSGT, LLVMIntUGT, t, pair);
    LLVMValueRef below = compare(e, LLVMRealOLT, LLVMIntSLT, LLVMIntULT, t, pair);
    bool f = xfc_dtype_is_float(t);
    LLVMValueRef one = f ? xfc_emit_real(e, type, 1) : xfc_emit_number(e, type, 1);
    LLVMValueRef minus = f ? xfc_emit_real(e, type, -1) : xfc_emit_number(e, type, -1);
    LLVMValueRef r = LLVMBuildSelect(e->b, above, one, LLVMBuildSelect(e->b, below, minus, zero, ""), "");
    return f ? LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, v, v, ""), v, r, "") : r;
}

/* By the number of bits or more: 0, where LLVM says nothing. */
static LLVMValueRef shift(xfc_emit *e, bool left, xfc_dtype t, LLVMValueRef v, LLVMValueRef by) {
    LLVMTypeRef type = LLVMTypeOf(v);
    LLVMValueRef zero = LLVMConstNull(type), bits = xfc_emit_number(e, type, 8 * (int64_t)xfc_dtype_bytes(t));
    LLVMValueRef all = LLVMBuildICmp(e->b, LLVMIntUGE, by, bits, ""), safe = LLVMBuildSelect(e->b, all, zero, by, "");
    LLVMValueRef r = left ? LLVMBuildShl(e->b, v, safe, "") : LLVMBuildLShr(e->b, v, safe, "");
    return LLVMBuildSelect(e->b, all, zero, r, "");
}

static LLVMValueRef arithmetic(xfc_emit *e, LLVMOpcode on_float, LLVMOpcode on_int, xfc_dtype t,
                               const LLVMValueRef *v) {
    return LLVMBuildBinOp(e->b, xfc_dtype_is_float(t) ? on_float : on_int, v[0], v[1], "");
}

static LLVMValueRef fused(xfc_emit *e, const LLVMValueRef *v) {
    if (!(e->target->features & XFC_HAS_FMA)) return LLVMBuildFAdd(e->b, LLVMBuildFMul(e->b, v[0], v[1], ""), v[2], "");
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    LLVMValueRef args[3] = {v[0], v[1], v[2]};
    return xfc_emit_intrinsic(e, "llvm.fma", &type, 1, args, 3);
}

static LLVMValueRef absolute(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    if (xfc_dtype_is_float(t)) return unary_intrinsic(e, "llvm.fabs", v);
    if (xfc_dtype_class(t) != XFC_CLASS_SINT) return v;
    LLVMTypeRef type = LLVMTypeOf(v);
    LLVMValueRef args[2] = {v, LLVMConstInt(e->i1, 0, false)};
    return xfc_emit_intrinsic(e, "llvm.abs", &type, 1, args, 2);
}

/* --- math --- */

/* Repeated squaring, lane by lane in one loop over the bits; a negative exponent gives 1 / base truncated. */
static LLVMValueRef power_int(xfc_emit *e, xfc_dtype t, LLVMValueRef base, LLVMValueRef exponent) {
    LLVMTypeRef type = LLVMTypeOf(base);
    LLVMValueRef zero = LLVMConstNull(type), one = xfc_emit_number(e, type, 1);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), loop = xfc_emit_block(e, "power"),
                      done = xfc_emit_block(e, "powered");
    LLVMBuildBr(e->b, loop);
    LLVMPositionBuilderAtEnd(e->b, loop);
    LLVMValueRef result = LLVMBuildPhi(e->b, type, ""), square = LLVMBuildPhi(e->b, type, ""),
                 left = LLVMBuildPhi(e->b, type, "");
    LLVMValueRef odd = LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildAnd(e->b, left, one, ""), zero, "");
    LLVMValueRef product = LLVMBuildMul(e->b, result, LLVMBuildSelect(e->b, odd, square, one, ""), "");
    LLVMValueRef next_square = LLVMBuildMul(e->b, square, square, ""), next_left = LLVMBuildLShr(e->b, left, one, "");
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntNE, next_left, zero, "");
    LLVMTypeRef flags = LLVMTypeOf(more);
    if (xfc_is_vector(more)) more = xfc_emit_intrinsic(e, "llvm.vector.reduce.or", &flags, 1, &more, 1);
    LLVMBuildCondBr(e->b, more, loop, done);
    LLVMAddIncoming(result, (LLVMValueRef[]){one, product}, (LLVMBasicBlockRef[]){before, loop}, 2);
    LLVMAddIncoming(square, (LLVMValueRef[]){base, next_square}, (LLVMBasicBlockRef[]){before, loop}, 2);
    LLVMAddIncoming(left, (LLVMValueRef[]){exponent, next_left}, (LLVMBasicBlockRef[]){before, loop}, 2);
    LLVMPositionBuilderAtEnd(e->b, done);
    if (xfc_dtype_class(t) != XFC_CLASS_SINT) return product;
    /* 1 / base to the n: 1 for 1, alternating for -1, 0 for all others (also for 0, as division by zero is). */
    LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, exponent, zero, "");
    LLVMValueRef minus = xfc_emit_number(e, type, -1);
    LLVMValueRef is_one = LLVMBuildICmp(e->b, LLVMIntEQ, base, one, ""),
                 is_minus = LLVMBuildICmp(e->b, LLVMIntEQ, base, minus, "");
    LLVMValueRef even = LLVMBuildICmp(e->b, LLVMIntEQ, LLVMBuildAnd(e->b, exponent, one, ""), zero, "");
    LLVMValueRef sign = LLVMBuildSelect(e->b, even, one, minus, "");
    LLVMValueRef inverse = LLVMBuildSelect(e->b, is_one, one, LLVMBuildSelect(e->b, is_minus, sign, zero, ""), "");
    return LLVMBuildSelect(e->b, negative, inverse, product, "");
}

static LLVMValueRef math(xfc_emit *e, xfc_scalar_op op, xfc_dtype t, const LLVMValueRef *v) {
    const char *name = xfc_scalar_name(op);
    if (!xfc_dtype_is_float(t)) return power_int(e, t, v[0], v[1]);
    if (t != XFC_F64) return xfc_emit_round(e, t, xfc_emit_math_f32(e, name, v, xfc_scalar_arity(op)));
    if (op != XFC_S_SIGMOID) return xfc_emit_libm(e, name, v, xfc_scalar_arity(op));
    LLVMTypeRef type = LLVMTypeOf(v[0]); /* 1 / (1 + exp(-x)), from the side where exp stays at or below 1 */
    LLVMValueRef below = LLVMBuildFNeg(e->b, unary_intrinsic(e, "llvm.fabs", v[0]), ""),
                 one = xfc_emit_real(e, type, 1);
    LLVMValueRef power = xfc_emit_libm(e, "exp", &below, 1);
    LLVMValueRef negative = LLVMBuildFCmp(e->b, LLVMRealOLT, v[0], LLVMConstNull(type), "");
    return LLVMBuildFDiv(e->b, LLVMBuildSelect(e->b, negative, power, one, ""), LLVMBuildFAdd(e->b, one, power, ""),
                         "");
}

/* --- the table --- */

LLVMValueRef xfc_emit_scalar(xfc_emit *e, xfc_scalar_op op, xfc_dtype t, const LLVMValueRef *arg) {
    LLVMValueRef v[3];
    uint32_t n = xfc_scalar_arity(op);
    for (uint32_t i = 0; i < n; i++) v[i] = arg[i];
    xfc_emit_unify(e, v, n);
    bool f = xfc_dtype_is_float(t);
    switch (op) {
    case XFC_S_ADD: return xfc_emit_round(e, t, arithmetic(e, LLVMFAdd, LLVMAdd, t, v));
    case XFC_S_SUB: return xfc_emit_round(e, t, arithmetic(e, LLVMFSub, LLVMSub, t, v));
    case XFC_S_MUL: return xfc_emit_round(e, t, arithmetic(e, LLVMFMul, LLVMMul, t, v));
    case XFC_S_DIV:
        return f ? xfc_emit_round(e, t, LLVMBuildFDiv(e->b, v[0], v[1], "")) : divide_int(e, 0, t, v[0], v[1]);
    case XFC_S_FMOD:
        return f ? xfc_emit_round(e, t, remainder_float(e, false, v[0], v[1])) : divide_int(e, 1, t, v[0], v[1]);
    case XFC_S_MOD:
        return f ? xfc_emit_round(e, t, remainder_float(e, true, v[0], v[1])) : divide_int(e, 2, t, v[0], v[1]);
    case XFC_S_MIN: return extremum(e, false, t, v);
    case XFC_S_MAX: return extremum(e, true, t, v);
    case XFC_S_FMA: return xfc_emit_round(e, t, fused(e, v));
    case XFC_S_NEG: return f ? LLVMBuildFNeg(e->b, v[0], "") : LLVMBuildNeg(e->b, v[0], "");
    case XFC_S_ABS: return absolute(e, t, v[0]);
    case XFC_S_SIGN: return sign_of(e, t, v[0]);
    case XFC_S_SQRT: return xfc_emit_round(e, t, unary_intrinsic(e, "llvm.sqrt", v[0]));
    case XFC_S_FLOOR: return unary_intrinsic(e, "llvm.floor", v[0]);
    case XFC_S_CEIL: return unary_intrinsic(e, "llvm.ceil", v[0]);
    case XFC_S_ROUND: return unary_intrinsic(e, "llvm.roundeven", v[0]);
    case XFC_S_EXP:
    case XFC_S_LOG:
    case XFC_S_ERF:
    case XFC_S_TANH:
    case XFC_S_SIGMOID:
    case XFC_S_SIN:
    case XFC_S_COS:
    case XFC_S_ATAN:
    case XFC_S_POW: return math(e, op, t, v);
    case XFC_S_EQ: return compare(e, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ, t, v);
    case XFC_S_NE: return compare(e, LLVMRealUNE, LLVMIntNE, LLVMIntNE, t, v);
    case XFC_S_LT: return compare(e, LLVMRealOLT, LLVMIntSLT, LLVMIntULT, t, v);
    case XFC_S_LE: return compare(e, LLVMRealOLE, LLVMIntSLE, LLVMIntULE, t, v);
    case XFC_S_GT: return compare(e, LLVMRealOGT, LLVMIntSGT, LLVMIntUGT, t, v);
    case XFC_S_GE: return compare(e, LLVMRealOGE, LLVMIntSGE, LLVMIntUGE, t, v);
    case XFC_S_AND: return LLVMBuildAnd(e->b, v[0], v[1], "");
    case XFC_S_OR: return LLVMBuildOr(e->b, v[0], v[1], "");
    case XFC_S_XOR: return LLVMBuildXor(e->b, v[0], v[1], "");
    case XFC_S_NOT: return LLVMBuildNot(e->b, v[0], "");
    case XFC_S_SHL: return shift(e, true, t, v[0], v[1]);
    case XFC_S_SHR: return shift(e, false, t, v[0], v[1]);
    case XFC_S_ISNAN: return LLVMBuildFCmp(e->b, LLVMRealUNO, v[0], v[0], "");
    case XFC_S_ISINF: {
        LLVMValueRef inf = xfc_emit_real(e, LLVMTypeOf(v[0]), (double)__builtin_inf());
        return LLVMBuildFCmp(e->b, LLVMRealOEQ, unary_intrinsic(e, "llvm.fabs", v[0]), inf, "");
    }
    case XFC_S_SELECT: return LLVMBuildSelect(e->b, v[0], v[1], v[2], "");
    case XFC_S_CONST:
    case XFC_S_INDEX:
    case XFC_S_LOAD:
    case XFC_S_LET:
    case XFC_S_CAST:
    case XFC_S_COUNT: break;
    }
    xfc_bug(__FILE__, __LINE__, "%s is no operation on values", xfc_scalar_name(op));
}

LLVMValueRef xfc_emit_constant(xfc_emit *e, const xfc_scalar *s) {
    LLVMTypeRef type = xfc_emit_type(e, s->dtype);
    if (s->dtype == XFC_BOOL) return LLVMConstInt(type, s->u.i != 0, false);
    if (!xfc_dtype_is_float(s->dtype)) return LLVMConstInt(type, (uint64_t)s->u.i, true);
    double f = s->u.f;
    if (s->dtype == XFC_F16)
        f = (double)xfc_half_to_float(xfc_float_to_half((float)f));
    else if (s->dtype == XFC_BF16)
        f = (double)xfc_bfloat_to_float(xfc_float_to_bfloat((float)f));
    else if (s->dtype == XFC_F32)
        f = (double)(float)f;
    return LLVMConstReal(type, f);
}

LLVMValueRef xfc_emit_identity(xfc_emit *e, xfc_scalar_op combine, xfc_dtype t) {
    LLVMTypeRef type = xfc_emit_type(e, t);
    if (xfc_dtype_is_float(t)) return LLVMConstReal(type, xfc_combine_identity_f(combine));
    return LLVMConstInt(type, (uint64_t)xfc_combine_identity_i(combine, t), true);
}

LLVMValueRef xfc_emit_combine(xfc_emit *e, xfc_scalar_op combine, xfc_dtype t, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef v[2] = {a, b};
    return xfc_emit_scalar(e, combine, xfc_dtype_wide(t), v);
}

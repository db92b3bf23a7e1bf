/* minifloat.c - codes of floats of 8 and 4 bits to f32 and back, in integers: the same results as ir/minifloat.c.
 *
 * Exponent and mantissa move to where f32 has them, and an exact product corrects the bias, subnormal numbers included.
 * The way back rounds normal results by an integer sum; for subnormal ones the sum with a number whose last bit is the
 * least subnormal one rounds.
 */
#include "backends/llvm/llvm.h"

static LLVMValueRef number(xfc_emit *e, LLVMValueRef like, int64_t v) {
    return xfc_emit_number(e, LLVMTypeOf(like), v);
}
static LLVMValueRef and_c(xfc_emit *e, LLVMValueRef a, int64_t c) { return LLVMBuildAnd(e->b, a, number(e, a, c), ""); }
static LLVMValueRef shl_c(xfc_emit *e, LLVMValueRef a, int64_t c) { return LLVMBuildShl(e->b, a, number(e, a, c), ""); }
static LLVMValueRef shr_c(xfc_emit *e, LLVMValueRef a, int64_t c) {
    return LLVMBuildLShr(e->b, a, number(e, a, c), "");
}
static LLVMValueRef compare(xfc_emit *e, LLVMIntPredicate p, LLVMValueRef a, int64_t c) {
    return LLVMBuildICmp(e->b, p, a, number(e, a, c), "");
}
static LLVMValueRef choose(xfc_emit *e, LLVMValueRef cond, LLVMValueRef yes, LLVMValueRef no) {
    return LLVMBuildSelect(e->b, cond, yes, no, "");
}
static LLVMValueRef as(xfc_emit *e, LLVMTypeRef scalar, LLVMValueRef v) {
    return LLVMBuildBitCast(e->b, v, xfc_emit_like(scalar, v), "");
}

/* How far the sign of an f32 lies above that of the format. */
static int64_t sign_shift(const xfc_minifloat *f) { return f->sign == 0x80 ? 24 : 28; }

static LLVMValueRef exponent_to_float(xfc_emit *e, LLVMValueRef x) {
    LLVMValueRef least = number(e, x, 0x400000), nan = number(e, x, 0x7fc00000);
    LLVMValueRef bits = choose(e, compare(e, LLVMIntEQ, x, 0), least, shl_c(e, x, 23));
    return as(e, e->f32, choose(e, compare(e, LLVMIntEQ, x, 0xff), nan, bits));
}

LLVMValueRef xfc_emit_from_code(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    const xfc_minifloat *f = xfc_minifloat_of(t);
    LLVMValueRef x = LLVMBuildZExt(e->b, v, xfc_emit_like(e->i32, v), "");
    if (!f->sign) return exponent_to_float(e, x);
    LLVMValueRef magnitude = and_c(e, x, f->sign - 1), sign = shl_c(e, and_c(e, x, f->sign), sign_shift(f));
    LLVMValueRef moved = as(e, e->f32, shl_c(e, magnitude, 23 - f->mantissa));
    LLVMTypeRef f32 = LLVMTypeOf(moved);
    uint32_t scale = (uint32_t)(254 - f->bias) << 23; /* 2^(127 - bias) */
    LLVMValueRef unit = as(e, e->f32, number(e, x, (int64_t)scale));
    LLVMValueRef bits = as(e, e->i32, LLVMBuildFMul(e->b, moved, LLVMBuildBitCast(e->b, unit, f32, ""), ""));
    bits = LLVMBuildOr(e->b, bits, sign, "");
    if (f->finite) return as(e, e->f32, bits);
    LLVMValueRef nan = number(e, x, 0x7fc00000);
    if (f->nan == 0x80) return as(e, e->f32, choose(e, compare(e, LLVMIntEQ, x, 0x80), nan, bits));
    if (f->over != f->nan) { /* infinity is the code before those of NaN */
        LLVMValueRef infinity = LLVMBuildOr(e->b, number(e, x, 0x7f800000), sign, "");
        bits = choose(e, compare(e, LLVMIntEQ, magnitude, f->over), infinity, bits);
    }
    return as(e, e->f32,
              choose(e, compare(e, LLVMIntUGT, magnitude, f->over == f->nan ? f->most : f->over), nan, bits));
}

static LLVMValueRef exponent_code(xfc_emit *e, LLVMValueRef bits) {
    LLVMValueRef exponent = and_c(e, shr_c(e, bits, 23), 0xff), none = number(e, bits, 0), one = number(e, bits, 1);
    LLVMValueRef up = LLVMBuildAnd(e->b, compare(e, LLVMIntNE, and_c(e, bits, 0x7fffff), 0),
                                   compare(e, LLVMIntULT, exponent, 0xfe), "");
    return LLVMBuildAdd(e->b, exponent, choose(e, up, one, none), "");
}

/* Saturates. */
LLVMValueRef xfc_emit_to_code(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    const xfc_minifloat *f = xfc_minifloat_of(t);
    LLVMTypeRef byte = xfc_emit_like(e->i8, v), f32 = LLVMTypeOf(v);
    LLVMValueRef bits = as(e, e->i32, v);
    if (!f->sign) return LLVMBuildTrunc(e->b, exponent_code(e, bits), byte, "");
    const int64_t drop = 23 - f->mantissa, least = (int64_t)(128 - f->bias) << 23;
    LLVMValueRef sign = and_c(e, shr_c(e, bits, sign_shift(f)), f->sign), a = and_c(e, bits, 0x7fffffff);
    LLVMValueRef odd = and_c(e, shr_c(e, a, drop), 1);
    LLVMValueRef rounded = LLVMBuildAdd(e->b, LLVMBuildAdd(e->b, a, odd, ""), number(e, a, (1 << (drop - 1)) - 1), "");
    LLVMValueRef normal = shr_c(e, LLVMBuildSub(e->b, rounded, number(e, a, (int64_t)(127 - f->bias) << 23), ""), drop);
    const int64_t shift = (int64_t)(128 - f->bias + drop) << 23; /* bits of 2^(1 - bias - mantissa + 23) */
    LLVMValueRef moved = LLVMBuildBitCast(e->b, number(e, a, shift), f32, "");
    LLVMValueRef sum = as(e, e->i32, LLVMBuildFAdd(e->b, as(e, e->f32, a), moved, ""));
    LLVMValueRef subnormal = LLVMBuildSub(e->b, sum, number(e, a, shift), "");
    LLVMValueRef code = choose(e, compare(e, LLVMIntUGE, a, least), normal, subnormal), most = number(e, a, f->most);
    code = choose(e, LLVMBuildICmp(e->b, LLVMIntUGT, code, most, ""), most, code);
    LLVMValueRef is_nan = compare(e, LLVMIntUGT, a, 0x7f800000), nan = number(e, a, f->nan);
    LLVMValueRef full = LLVMBuildOr(e->b, code, sign, "");
    if (f->nan == 0x80) full = choose(e, compare(e, LLVMIntEQ, code, 0), code, full); /* one 0 */
    return LLVMBuildTrunc(e->b, choose(e, is_nan, nan, full), byte, "");
}

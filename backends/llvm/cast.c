/* cast.c - conversions between element types, and between their register and memory forms.
 *
 * f16 and bf16 are floats in registers. They are converted by instructions where the ISA has them and by integer code
 * elsewhere, never by a call (libgcc's helpers are not linked). Float to integer truncates and saturates, NaN becomes
 * 0: the same on every ISA, where C has undefined behaviour.
 */
#include "backends/llvm/llvm.h"

static LLVMValueRef number(xfc_emit *e, LLVMValueRef like, int64_t v) {
    return xfc_emit_number(e, LLVMTypeOf(like), v);
}
static LLVMValueRef and_c(xfc_emit *e, LLVMValueRef a, int64_t c) { return LLVMBuildAnd(e->b, a, number(e, a, c), ""); }
static LLVMValueRef or_v(xfc_emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildOr(e->b, a, b, ""); }
static LLVMValueRef add_c(xfc_emit *e, LLVMValueRef a, int64_t c) { return LLVMBuildAdd(e->b, a, number(e, a, c), ""); }
static LLVMValueRef shl_c(xfc_emit *e, LLVMValueRef a, int64_t c) { return LLVMBuildShl(e->b, a, number(e, a, c), ""); }
static LLVMValueRef shr_c(xfc_emit *e, LLVMValueRef a, int64_t c) {
    return LLVMBuildLShr(e->b, a, number(e, a, c), "");
}
static LLVMValueRef uge_c(xfc_emit *e, LLVMValueRef a, int64_t c) {
    return LLVMBuildICmp(e->b, LLVMIntUGE, a, number(e, a, c), "");
}
static LLVMValueRef as(xfc_emit *e, LLVMTypeRef scalar, LLVMValueRef v) {
    return LLVMBuildBitCast(e->b, v, xfc_emit_like(scalar, v), "");
}

/* --- half and bfloat --- */

/* Exponent and mantissa moved into place, the bias corrected by an exact multiplication: subnormals need no case. */
static LLVMValueRef half_to_float(xfc_emit *e, LLVMValueRef h) {
    if (e->native_half)
        return LLVMBuildFPExt(e->b, as(e, LLVMHalfTypeInContext(e->llvm), h), xfc_emit_like(e->f32, h), "");
    LLVMValueRef x = LLVMBuildZExt(e->b, h, xfc_emit_like(e->i32, h), "");
    LLVMValueRef sign = shl_c(e, and_c(e, x, 0x8000), 16), magnitude = and_c(e, x, 0x7fff),
                 moved = shl_c(e, magnitude, 13);
    LLVMTypeRef f32 = xfc_emit_like(e->f32, h);
    LLVMValueRef finite = as(e, e->i32, LLVMBuildFMul(e->b, as(e, e->f32, moved), xfc_emit_real(e, f32, 0x1p112), ""));
    LLVMValueRef special = or_v(e, moved, number(e, moved, 0x7f800000));
    LLVMValueRef bits = LLVMBuildSelect(e->b, uge_c(e, magnitude, 0x7c00), special, finite, "");
    return as(e, e->f32, or_v(e, bits, sign));
}

/* To nearest even. Normal results round by integer arithmetic; for subnormal ones adding 0.5 puts the last kept bit
 * at 2^-24. */
static LLVMValueRef float_to_half(xfc_emit *e, LLVMValueRef f) {
    if (e->native_half) {
        LLVMTypeRef half = xfc_emit_like(LLVMHalfTypeInContext(e->llvm), f);
        return as(e, e->i16, LLVMBuildFPTrunc(e->b, f, half, ""));
    }
    LLVMTypeRef f32 = LLVMTypeOf(f);
    LLVMValueRef x = as(e, e->i32, f), sign = and_c(e, shr_c(e, x, 16), 0x8000), a = and_c(e, x, 0x7fffffff);
    LLVMValueRef odd = and_c(e, shr_c(e, a, 13), 1);
    LLVMValueRef normal = shr_c(e, LLVMBuildAdd(e->b, add_c(e, a, 0xfff - 0x38000000ll), odd, ""), 13);
    LLVMValueRef shifted = LLVMBuildFAdd(e->b, as(e, e->f32, a), xfc_emit_real(e, f32, 0.5), "");
    LLVMValueRef subnormal = add_c(e, as(e, e->i32, shifted), -0x3f000000ll);
    LLVMValueRef nan = LLVMBuildICmp(e->b, LLVMIntUGT, a, number(e, a, 0x7f800000), "");
    LLVMValueRef special = LLVMBuildSelect(e->b, nan, number(e, a, 0x7e00), number(e, a, 0x7c00), "");
    LLVMValueRef r = LLVMBuildSelect(e->b, uge_c(e, a, 0x38800000), normal, subnormal, "");
    r = LLVMBuildSelect(e->b, uge_c(e, a, 0x47800000), special, r, "");
    return LLVMBuildTrunc(e->b, or_v(e, r, sign), xfc_emit_like(e->i16, f), "");
}

static LLVMValueRef bfloat_to_float(xfc_emit *e, LLVMValueRef h) {
    return as(e, e->f32, shl_c(e, LLVMBuildZExt(e->b, h, xfc_emit_like(e->i32, h), ""), 16));
}

/* Bits of the nearest bfloat in the upper half; a NaN stays one. */
static LLVMValueRef bfloat_bits(xfc_emit *e, LLVMValueRef f) {
    LLVMValueRef x = as(e, e->i32, f), odd = and_c(e, shr_c(e, x, 16), 1);
    LLVMValueRef rounded = LLVMBuildAdd(e->b, add_c(e, x, 0x7fff), odd, "");
    LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, f, f, "");
    return LLVMBuildSelect(e->b, nan, or_v(e, x, number(e, x, 0x400000)), rounded, "");
}

LLVMValueRef xfc_emit_round(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    if (t == XFC_F16) return half_to_float(e, float_to_half(e, v));
    if (t == XFC_BF16) return as(e, e->f32, and_c(e, bfloat_bits(e, v), -0x10000));
    return v;
}

LLVMValueRef xfc_emit_from_memory(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    if (t == XFC_F16) return half_to_float(e, v);
    if (t == XFC_BF16) return bfloat_to_float(e, v);
    if (t == XFC_BOOL) return LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    return v;
}

LLVMValueRef xfc_emit_to_memory(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    if (t == XFC_F16) return float_to_half(e, v);
    if (t == XFC_BF16) return LLVMBuildTrunc(e->b, shr_c(e, bfloat_bits(e, v), 16), xfc_emit_like(e->i16, v), "");
    if (t == XFC_BOOL) return LLVMBuildZExt(e->b, v, xfc_emit_like(e->i8, v), "");
    return v;
}

/* --- casts --- */

/* Of a number of a byte, the one of a type of fewer bits that it is congruent to. */
static LLVMValueRef low_bits(xfc_emit *e, xfc_dtype t, LLVMValueRef v) {
    uint32_t bits = xfc_dtype_bits(t);
    if (bits >= 8) return v;
    if (xfc_dtype_class(t) == XFC_CLASS_UINT) return and_c(e, v, (1 << bits) - 1);
    return LLVMBuildAShr(e->b, shl_c(e, v, 8 - bits), number(e, v, 8 - bits), "");
}

static LLVMValueRef float_to_int(xfc_emit *e, xfc_dtype to, LLVMValueRef v) {
    LLVMTypeRef over[2] = {xfc_emit_like(xfc_emit_type(e, to), v), LLVMTypeOf(v)};
    bool sign = xfc_dtype_class(to) == XFC_CLASS_SINT;
    LLVMValueRef r = xfc_emit_intrinsic(e, sign ? "llvm.fptosi.sat" : "llvm.fptoui.sat", over, 2, &v, 1);
    if (xfc_dtype_bits(to) >= 8) return r;
    const int64_t least = xfc_combine_identity_i(XFC_S_MAX, to), most = xfc_combine_identity_i(XFC_S_MIN, to);
    LLVMValueRef low[2] = {r, number(e, r, most)};
    r = xfc_emit_intrinsic(e, sign ? "llvm.smin" : "llvm.umin", over, 1, low, 2);
    LLVMValueRef high[2] = {r, number(e, r, least)};
    return sign ? xfc_emit_intrinsic(e, "llvm.smax", over, 1, high, 2) : r;
}

static LLVMValueRef int_to_int(xfc_emit *e, xfc_dtype to, xfc_dtype from, LLVMValueRef v) {
    LLVMTypeRef type = xfc_emit_like(xfc_emit_type(e, to), v);
    uint32_t a = from == XFC_BOOL ? 0 : xfc_dtype_bytes(from), b = xfc_dtype_bytes(to);
    if (a == b) return low_bits(e, to, v);
    if (a > b) return low_bits(e, to, LLVMBuildTrunc(e->b, v, type, ""));
    return xfc_dtype_class(from) == XFC_CLASS_SINT ? LLVMBuildSExt(e->b, v, type, "")
                                                   : LLVMBuildZExt(e->b, v, type, "");
}

static LLVMValueRef int_to_float(xfc_emit *e, xfc_dtype to, xfc_dtype from, LLVMValueRef v) {
    LLVMTypeRef type = xfc_emit_like(xfc_emit_type(e, to), v);
    bool sign = xfc_dtype_class(from) == XFC_CLASS_SINT;
    v = sign ? LLVMBuildSIToFP(e->b, v, type, "") : LLVMBuildUIToFP(e->b, v, type, "");
    return xfc_emit_round(e, to, v);
}

static LLVMValueRef float_to_float(xfc_emit *e, xfc_dtype to, xfc_dtype from, LLVMValueRef v) {
    if (to == XFC_F64) return LLVMBuildFPExt(e->b, v, xfc_emit_like(e->f64, v), "");
    if (from == XFC_F64) v = LLVMBuildFPTrunc(e->b, v, xfc_emit_like(e->f32, v), "");
    return xfc_emit_round(e, to, v);
}

LLVMValueRef xfc_emit_cast(xfc_emit *e, xfc_dtype to, xfc_dtype from, LLVMValueRef v) {
    if (to == from) return v;
    if (xfc_dtype_is_code(from)) return xfc_emit_cast(e, to, XFC_F32, xfc_emit_from_code(e, from, v));
    if (xfc_dtype_is_code(to)) return xfc_emit_to_code(e, to, xfc_emit_cast(e, XFC_F32, from, v));
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(v));
    bool from_float = xfc_dtype_is_float(from);
    if (to == XFC_BOOL)
        return from_float ? LLVMBuildFCmp(e->b, LLVMRealUNE, v, zero, "") : LLVMBuildICmp(e->b, LLVMIntNE, v, zero, "");
    if (xfc_dtype_is_float(to)) return from_float ? float_to_float(e, to, from, v) : int_to_float(e, to, from, v);
    return from_float ? float_to_int(e, to, v) : int_to_int(e, to, from, v);
}

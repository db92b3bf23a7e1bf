/* value.c - register and memory types, constants, splats. Loads and stores are in place.c. */
#include "backends/llvm/llvm.h"

LLVMTypeRef xfc_emit_type(xfc_emit *e, xfc_dtype t) {
    switch (t) {
    case XFC_F32:
    case XFC_F16:
    case XFC_BF16: return e->f32;
    case XFC_F64: return e->f64;
    case XFC_BOOL: return e->i1;
    case XFC_I8:
    case XFC_U8:
    case XFC_CASES_I4:
    case XFC_CASES_U4:
    case XFC_CASES_CODE: return e->i8;
    case XFC_I16:
    case XFC_U16: return e->i16;
    case XFC_I32:
    case XFC_U32: return e->i32;
    case XFC_I64:
    case XFC_U64: return e->i64;
    case XFC_CASES_PACKED:
    case XFC_DTYPE_COUNT: break;
    }
    xfc_bug(__FILE__, __LINE__, "no dtype %d", (int)t);
}

LLVMTypeRef xfc_emit_mem_type(xfc_emit *e, xfc_dtype t) {
    if (t == XFC_F16 || t == XFC_BF16) return e->i16;
    return t == XFC_BOOL ? e->i8 : xfc_emit_type(e, t);
}

bool xfc_is_vector(LLVMValueRef v) { return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind; }

LLVMTypeRef xfc_emit_like(LLVMTypeRef scalar, LLVMValueRef shape) {
    return xfc_is_vector(shape) ? LLVMVectorType(scalar, LLVMGetVectorSize(LLVMTypeOf(shape))) : scalar;
}

LLVMValueRef xfc_emit_splat(xfc_emit *e, LLVMValueRef scalar, uint32_t lanes) {
    xfc_assert(lanes >= 1 && lanes <= 64);
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef each[64];
        for (uint32_t i = 0; i < lanes; i++) each[i] = scalar;
        return LLVMConstVector(each, lanes);
    }
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), scalar, xfc_emit_const(e, 0), "");
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type), LLVMConstNull(LLVMVectorType(e->i32, lanes)), "");
}

void xfc_emit_unify(xfc_emit *e, LLVMValueRef *v, uint32_t n) {
    uint32_t lanes = 0;
    for (uint32_t i = 0; i < n; i++)
        if (xfc_is_vector(v[i])) lanes = LLVMGetVectorSize(LLVMTypeOf(v[i]));
    for (uint32_t i = 0; lanes && i < n; i++)
        if (!xfc_is_vector(v[i])) v[i] = xfc_emit_splat(e, v[i], lanes);
}

static LLVMValueRef spread(LLVMTypeRef like, LLVMValueRef (*make)(LLVMTypeRef, const void *), const void *value) {
    if (LLVMGetTypeKind(like) != LLVMVectorTypeKind) return make(like, value);
    LLVMValueRef one = make(LLVMGetElementType(like), value), each[64];
    uint32_t n = LLVMGetVectorSize(like);
    xfc_assert(n <= 64);
    for (uint32_t i = 0; i < n; i++) each[i] = one;
    return LLVMConstVector(each, n);
}
static LLVMValueRef make_int(LLVMTypeRef t, const void *v) {
    return LLVMConstInt(t, (uint64_t)*(const int64_t *)v, true);
}
static LLVMValueRef make_real(LLVMTypeRef t, const void *v) { return LLVMConstReal(t, *(const double *)v); }

LLVMValueRef xfc_emit_number(xfc_emit *e, LLVMTypeRef like, int64_t v) {
    (void)e;
    return spread(like, make_int, &v);
}
LLVMValueRef xfc_emit_real(xfc_emit *e, LLVMTypeRef like, double v) {
    (void)e;
    return spread(like, make_real, &v);
}

LLVMValueRef xfc_emit_lane(xfc_emit *e, LLVMValueRef vector, uint32_t lane) {
    return LLVMBuildExtractElement(e->b, vector, xfc_emit_const(e, lane), "");
}

LLVMValueRef xfc_emit_lane_numbers(xfc_emit *e) {
    LLVMValueRef each[64];
    xfc_assert(e->lanes <= 64);
    for (uint32_t i = 0; i < e->lanes; i++) each[i] = xfc_emit_const(e, i);
    return LLVMConstVector(each, e->lanes);
}

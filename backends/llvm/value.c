/* value.c - register and memory types, splats, and every load and store of generated code.
 *
 * A place says how an access moves from lane to lane: the same element (one scalar access), the next element (one
 * contiguous vector, masked where lanes are dead), or any (gather and scatter, which LLVM takes apart on ISAs without
 * them). Alignment is always the element's: rows of a tensor start anywhere.
 */
#include "backends/llvm/llvm.h"
#include <string.h>

LLVMTypeRef xfc_emit_type(xfc_emit *e, xfc_dtype t) {
    switch (t) {
    case XFC_F32:
    case XFC_F16:
    case XFC_BF16: return e->f32;
    case XFC_F64: return e->f64;
    case XFC_BOOL: return e->i1;
    case XFC_I8:
    case XFC_U8: return e->i8;
    case XFC_I16:
    case XFC_U16: return e->i16;
    case XFC_I32:
    case XFC_U32: return e->i32;
    case XFC_I64:
    case XFC_U64: return e->i64;
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

/* --- memory --- */

/* LLVM 22 takes the alignment of masked accesses from an attribute of the pointer operand. */
static void align_operand(xfc_emit *e, LLVMValueRef call, unsigned operand, xfc_dtype t) {
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddCallSiteAttribute(call, operand + 1, LLVMCreateEnumAttribute(e->llvm, kind, xfc_dtype_bytes(t)));
}

static LLVMValueRef load_plain(xfc_emit *e, LLVMTypeRef type, xfc_dtype t, LLVMValueRef address) {
    LLVMValueRef v = LLVMBuildLoad2(e->b, type, address, "");
    LLVMSetAlignment(v, xfc_dtype_bytes(t));
    return v;
}

static LLVMValueRef load_if(xfc_emit *e, LLVMTypeRef type, xfc_dtype t, LLVMValueRef address, LLVMValueRef cond) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef done = xfc_emit_if_begin(e, cond, "load");
    LLVMValueRef v = load_plain(e, type, t, address), zero = LLVMConstNull(type);
    LLVMBasicBlockRef then = LLVMGetInsertBlock(e->b);
    xfc_emit_if_end(e, done);
    LLVMValueRef phi = LLVMBuildPhi(e->b, type, "");
    LLVMAddIncoming(phi, &v, &then, 1);
    LLVMAddIncoming(phi, &zero, &before, 1);
    return phi;
}

static LLVMValueRef mask_of(xfc_emit *e, LLVMValueRef mask) {
    LLVMValueRef all = LLVMConstInt(e->i1, 1, false);
    return xfc_is_vector(mask ? mask : all) ? mask : xfc_emit_splat(e, mask ? mask : all, e->lanes);
}

/* The same vector, but behind an empty instruction, through which LLVM does not look. */
static LLVMValueRef opaque(xfc_emit *e, LLVMValueRef v) {
    LLVMTypeRef type = LLVMTypeOf(v), fn = LLVMFunctionType(type, &type, 1, false);
    LLVMValueRef nothing = LLVMGetInlineAsm(fn, "", 0, "=x,0", 4, false, false, LLVMInlineAsmDialectATT, false);
    return LLVMBuildCall2(e->b, fn, nothing, &v, 1, "");
}

/* LLVM 22 loses the upper half of a mask "one scalar in one constant lane" when it takes a masked load of two AVX
 * registers apart: that half is then read whole. */
static LLVMValueRef load_mask_of(xfc_emit *e, xfc_dtype t, LLVMValueRef mask) {
    bool one_register = xfc_dtype_bytes(t) * e->lanes <= e->target->vector_bytes;
    mask = mask_of(e, mask);
    if (one_register || e->target->vector_bytes != 32 || LLVMIsConstant(mask)) return mask;
    LLVMTypeRef wide = LLVMVectorType(e->i32, e->lanes);
    LLVMValueRef bits = opaque(e, LLVMBuildSExt(e->b, mask, wide, ""));
    return LLVMBuildICmp(e->b, LLVMIntSLT, bits, LLVMConstNull(wide), "");
}

LLVMValueRef xfc_emit_load(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef mask) {
    LLVMTypeRef type = xfc_emit_mem_type(e, t), wide = LLVMVectorType(type, e->lanes);
    LLVMValueRef v;
    if (p.kind == XFC_LANES_SAME && mask &&
        xfc_is_vector(mask)) { /* read once if any lane is alive, then drop the dead ones */
        LLVMTypeRef over = LLVMTypeOf(mask);
        LLVMValueRef any = xfc_emit_intrinsic(e, "llvm.vector.reduce.or", &over, 1, &mask, 1);
        v = xfc_emit_splat(e, load_if(e, type, t, p.address, any), e->lanes);
        v = LLVMBuildSelect(e->b, mask, v, LLVMConstNull(wide), "");
    } else if (p.kind == XFC_LANES_SAME) {
        v = mask ? load_if(e, type, t, p.address, mask) : load_plain(e, type, t, p.address);
    } else if (p.kind == XFC_LANES_NEXT && !mask) {
        v = load_plain(e, wide, t, p.address);
    } else {
        LLVMTypeRef over[2] = {wide, LLVMTypeOf(p.address)};
        LLVMValueRef args[3] = {p.address, load_mask_of(e, t, mask), LLVMConstNull(wide)};
        v = xfc_emit_intrinsic(e, p.kind == XFC_LANES_NEXT ? "llvm.masked.load" : "llvm.masked.gather", over, 2, args,
                               3);
        align_operand(e, v, 0, t);
    }
    return xfc_emit_from_memory(e, t, v);
}

/* LLVM 22 turns an AVX-512 store of truncated integers under a mask of one lane into a scalar store of the wide
 * element, which overwrites what follows; and which masks have one lane may show only after inlining and folding. */
static LLVMValueRef stored_under_mask(xfc_emit *e, xfc_dtype t, LLVMValueRef value) {
    bool integers = LLVMGetTypeKind(LLVMGetElementType(LLVMTypeOf(value))) == LLVMIntegerTypeKind;
    return e->target->vector_bytes == 64 && integers && xfc_dtype_bytes(t) < 8 ? opaque(e, value) : value;
}

void xfc_emit_store(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef value, LLVMValueRef mask) {
    if (p.kind == XFC_LANES_SAME) { /* every live lane holds the value of the one element; lane 0 is always alive */
        if (xfc_is_vector(value)) value = xfc_emit_lane(e, value, 0);
        if (mask && xfc_is_vector(mask)) mask = xfc_emit_lane(e, mask, 0);
        LLVMBasicBlockRef done = mask ? xfc_emit_if_begin(e, mask, "store") : NULL;
        LLVMSetAlignment(LLVMBuildStore(e->b, xfc_emit_to_memory(e, t, value), p.address), xfc_dtype_bytes(t));
        if (done) xfc_emit_if_end(e, done);
        return;
    }
    if (!xfc_is_vector(value)) value = xfc_emit_splat(e, value, e->lanes);
    value = xfc_emit_to_memory(e, t, value);
    if (p.kind == XFC_LANES_NEXT && !mask) {
        LLVMSetAlignment(LLVMBuildStore(e->b, value, p.address), xfc_dtype_bytes(t));
        return;
    }
    LLVMTypeRef over[2] = {LLVMTypeOf(value), LLVMTypeOf(p.address)};
    if (p.kind == XFC_LANES_NEXT) value = stored_under_mask(e, t, value);
    LLVMValueRef args[3] = {value, p.address, mask_of(e, mask)};
    const char *name = p.kind == XFC_LANES_NEXT ? "llvm.masked.store" : "llvm.masked.scatter";
    align_operand(e, xfc_emit_intrinsic(e, name, over, 2, args, 3), 1, t);
}

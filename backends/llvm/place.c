/* place.c - every load and store of generated code, and where their addresses may lie.
 *
 * A place says how an access moves from lane to lane: the same element (one scalar access), the next element (one
 * contiguous vector), or any (gather and scatter, which LLVM takes apart on ISAs without them). Alignment is always the
 * element's: rows of a tensor start anywhere.
 *
 * No instruction gets an address outside its buffer, not even for lanes that are off. Those do not fault, but where
 * nothing is mapped the processor takes a hundred times as long to find that out. So
 *   - a condition that all lanes share is a branch around the access;
 *   - of a last, partial vector the first lanes are alive, so that it begins inside;
 *   - under any other condition a contiguous vector is loaded as one if it begins inside, else lane by lane;
 *   - where lanes go their own way, those that are off point to the start of the buffer. Without AVX-512 LLVM makes
 *     scalar accesses of them, under a branch each: there they may point anywhere.
 * That lanes which are on lie inside follows from the verifier's bounds and from the ranges of lets; a target with
 * `checked` set tests every address that an instruction gets, and traps.
 */
#include "backends/llvm/llvm.h"

/* --- checks --- */

void xfc_emit_trap_if(xfc_emit *e, LLVMValueRef bad) {
    LLVMBasicBlockRef done = xfc_emit_if_begin(e, bad, "outside");
    xfc_emit_intrinsic(e, "llvm.trap", NULL, 0, NULL, 0);
    xfc_emit_if_end(e, done);
}

/* Traps unless the `bytes` at the address (at each lane's) lie inside. A lane at the buffer's start may be off, and the
 * buffer empty. */
static void check(xfc_emit *e, const xfc_place_value *p, LLVMValueRef address, uint32_t bytes) {
    if (!e->target->checked) return;
    LLVMValueRef v[3] = {address, p->base, p->end};
    xfc_emit_unify(e, v, 3);
    LLVMTypeRef integers = xfc_emit_like(e->i64, v[0]);
    for (int i = 0; i < 3; i++) v[i] = LLVMBuildPtrToInt(e->b, v[i], integers, "");
    LLVMValueRef last = LLVMBuildAdd(e->b, v[0], xfc_emit_number(e, integers, bytes - 1), "");
    LLVMValueRef bad = LLVMBuildOr(e->b, LLVMBuildICmp(e->b, LLVMIntULT, v[0], v[1], ""),
                                   LLVMBuildICmp(e->b, LLVMIntUGE, last, v[2], ""), "");
    if (xfc_is_vector(bad)) {
        bad = LLVMBuildAnd(e->b, bad, LLVMBuildICmp(e->b, LLVMIntNE, v[0], v[1], ""), "");
        LLVMTypeRef flags = LLVMTypeOf(bad);
        bad = xfc_emit_intrinsic(e, "llvm.vector.reduce.or", &flags, 1, &bad, 1);
    }
    xfc_emit_trap_if(e, bad);
}

/* --- masks --- */

/* LLVM 22 takes the alignment of masked accesses from an attribute of the pointer operand. */
static void align_operand(xfc_emit *e, LLVMValueRef call, unsigned operand, xfc_dtype t) {
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddCallSiteAttribute(call, operand + 1, LLVMCreateEnumAttribute(e->llvm, kind, xfc_dtype_bytes(t)));
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

/* LLVM 22 turns an AVX-512 store of truncated integers under a mask of one lane into a scalar store of the wide
 * element, which overwrites what follows; and which masks have one lane may show only after inlining and folding. */
static LLVMValueRef stored_under_mask(xfc_emit *e, xfc_dtype t, LLVMValueRef value) {
    bool integers = LLVMGetTypeKind(LLVMGetElementType(LLVMTypeOf(value))) == LLVMIntegerTypeKind;
    return e->target->vector_bytes == 64 && integers && xfc_dtype_bytes(t) < 8 ? opaque(e, value) : value;
}

static LLVMValueRef both(xfc_emit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef v[2] = {a, b};
    if (!a || !b) return a ? a : b;
    xfc_emit_unify(e, v, 2);
    return LLVMBuildAnd(e->b, v[0], v[1], "");
}

static LLVMValueRef any(xfc_emit *e, LLVMValueRef mask) {
    LLVMTypeRef over = LLVMTypeOf(mask);
    return xfc_emit_intrinsic(e, "llvm.vector.reduce.or", &over, 1, &mask, 1);
}

/* The address of each lane; those that are off have the buffer's, where that matters. */
static LLVMValueRef lane_addresses(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef mask) {
    LLVMValueRef each = p.address;
    if (p.kind == XFC_LANES_NEXT) {
        LLVMValueRef lane = xfc_emit_lane_numbers(e);
        each = LLVMBuildGEP2(e->b, xfc_emit_mem_type(e, t), p.address, &lane, 1, "");
    }
    if (mask && (e->target->checked || e->target->vector_bytes == 64))
        each = LLVMBuildSelect(e->b, mask_of(e, mask), each, xfc_emit_splat(e, p.base, e->lanes), "");
    check(e, &p, each, xfc_dtype_bytes(t));
    return each;
}

/* The first lane's address must lie inside, be it on or off; those of the others where mask (NULL: all) is on. */
static void check_next(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef mask) {
    if (!e->target->checked) return;
    check(e, &p, p.address, mask ? xfc_dtype_bytes(t) : e->lanes * xfc_dtype_bytes(t));
    if (mask) lane_addresses(e, t, p, mask);
}

/* --- loads --- */

static LLVMValueRef load_plain(xfc_emit *e, LLVMTypeRef type, xfc_dtype t, LLVMValueRef address) {
    LLVMValueRef v = LLVMBuildLoad2(e->b, type, address, "");
    LLVMSetAlignment(v, xfc_dtype_bytes(t));
    return v;
}

/* mask: the lanes that are on; NULL: all. The address must lie inside. */
static LLVMValueRef load_next(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef mask) {
    LLVMTypeRef wide = LLVMVectorType(xfc_emit_mem_type(e, t), e->lanes), over[2] = {wide, LLVMTypeOf(p.address)};
    check_next(e, t, p, mask);
    if (!mask) return load_plain(e, wide, t, p.address);
    LLVMValueRef args[3] = {p.address, load_mask_of(e, t, mask), LLVMConstNull(wide)};
    LLVMValueRef v = xfc_emit_intrinsic(e, "llvm.masked.load", over, 2, args, 3);
    align_operand(e, v, 0, t);
    return v;
}

static LLVMValueRef load_each(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef mask) {
    LLVMTypeRef wide = LLVMVectorType(xfc_emit_mem_type(e, t), e->lanes);
    LLVMValueRef args[3] = {lane_addresses(e, t, p, mask), load_mask_of(e, t, mask), LLVMConstNull(wide)};
    LLVMTypeRef over[2] = {wide, LLVMTypeOf(args[0])};
    LLVMValueRef v = xfc_emit_intrinsic(e, "llvm.masked.gather", over, 2, args, 3);
    align_operand(e, v, 0, t);
    return v;
}

/* live: the lanes of a last, partial vector; NULL: all. */
static LLVMValueRef load_live(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef live) {
    if (p.kind == XFC_LANES_NEXT) return load_next(e, t, p, live);
    if (p.kind == XFC_LANES_EACH) return load_each(e, t, p, live);
    check(e, &p, p.address, xfc_dtype_bytes(t));
    return load_plain(e, xfc_emit_mem_type(e, t), t, p.address);
}

/* Ends what xfc_emit_if_begin began in the block `before`: v, or what is there without it (NULL: 0). */
static LLVMValueRef end_choice(xfc_emit *e, LLVMBasicBlockRef done, LLVMBasicBlockRef before, LLVMValueRef v,
                               LLVMValueRef without) {
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(e->b), before};
    LLVMValueRef value[2] = {v, without ? without : LLVMConstNull(LLVMTypeOf(v))};
    xfc_emit_if_end(e, done);
    LLVMValueRef phi = LLVMBuildPhi(e->b, LLVMTypeOf(v), "");
    LLVMAddIncoming(phi, value, from, 2);
    return phi;
}

static LLVMValueRef load_if(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef cond, LLVMValueRef live) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), done = xfc_emit_if_begin(e, cond, "load");
    return end_choice(e, done, before, load_live(e, t, p, live), NULL);
}

/* The next elements where any lanes may be on, wherever the first one points. */
static LLVMValueRef load_some(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef mask) {
    LLVMValueRef at = LLVMBuildPtrToInt(e->b, p.address, e->i64, ""),
                 base = LLVMBuildPtrToInt(e->b, p.base, e->i64, "");
    LLVMValueRef size = LLVMBuildSub(e->b, LLVMBuildPtrToInt(e->b, p.end, e->i64, ""), base, "");
    LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntULT, LLVMBuildSub(e->b, at, base, ""), size, "");
    LLVMValueRef v = load_if(e, t, p, inside, mask);
    LLVMValueRef later = LLVMBuildAnd(e->b, LLVMBuildNot(e->b, inside, ""), any(e, mask), "");
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), done = xfc_emit_if_begin(e, later, "later");
    return end_choice(e, done, before, load_each(e, t, p, mask), v);
}

LLVMValueRef xfc_emit_load(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef mask, LLVMValueRef live) {
    LLVMValueRef v;
    if (!mask || !xfc_is_vector(mask)) {
        v = mask ? load_if(e, t, p, mask, live) : load_live(e, t, p, live);
    } else if (p.kind == XFC_LANES_SAME) { /* read once if any lane is on, then drop the others */
        mask = both(e, mask, live);
        v = xfc_emit_splat(e, load_if(e, t, p, any(e, mask), NULL), e->lanes);
        v = LLVMBuildSelect(e->b, mask, v, LLVMConstNull(LLVMTypeOf(v)), "");
    } else {
        mask = both(e, mask, live);
        v = p.kind == XFC_LANES_NEXT ? load_some(e, t, p, mask) : load_each(e, t, p, mask);
    }
    return xfc_emit_from_memory(e, t, v);
}

/* --- stores --- */

static void store_next(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef value, LLVMValueRef live) {
    check_next(e, t, p, live);
    if (!live) {
        LLVMSetAlignment(LLVMBuildStore(e->b, value, p.address), xfc_dtype_bytes(t));
        return;
    }
    LLVMTypeRef over[2] = {LLVMTypeOf(value), LLVMTypeOf(p.address)};
    LLVMValueRef args[3] = {stored_under_mask(e, t, value), p.address, live};
    align_operand(e, xfc_emit_intrinsic(e, "llvm.masked.store", over, 2, args, 3), 1, t);
}

static void store_each(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef value, LLVMValueRef mask) {
    LLVMValueRef args[3] = {value, lane_addresses(e, t, p, mask), mask_of(e, mask)};
    LLVMTypeRef over[2] = {LLVMTypeOf(value), LLVMTypeOf(args[1])};
    align_operand(e, xfc_emit_intrinsic(e, "llvm.masked.scatter", over, 2, args, 3), 1, t);
}

/* Every live lane holds the value of the one element; lane 0 is always alive. */
static void store_same(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef value) {
    if (xfc_is_vector(value)) value = xfc_emit_lane(e, value, 0);
    check(e, &p, p.address, xfc_dtype_bytes(t));
    LLVMSetAlignment(LLVMBuildStore(e->b, xfc_emit_to_memory(e, t, value), p.address), xfc_dtype_bytes(t));
}

void xfc_emit_store(xfc_emit *e, xfc_dtype t, xfc_place_value p, LLVMValueRef value, LLVMValueRef mask,
                    LLVMValueRef live) {
    if (mask && xfc_is_vector(mask) && p.kind == XFC_LANES_SAME) mask = xfc_emit_lane(e, mask, 0);
    bool lanes_differ = mask && xfc_is_vector(mask);
    LLVMBasicBlockRef done = mask && !lanes_differ ? xfc_emit_if_begin(e, mask, "store") : NULL;
    if (p.kind == XFC_LANES_SAME) {
        store_same(e, t, p, value);
    } else {
        if (!xfc_is_vector(value)) value = xfc_emit_splat(e, value, e->lanes);
        value = xfc_emit_to_memory(e, t, value);
        if (p.kind == XFC_LANES_NEXT && !lanes_differ)
            store_next(e, t, p, value, live);
        else
            store_each(e, t, p, value, both(e, lanes_differ ? mask : NULL, live));
    }
    if (done) xfc_emit_if_end(e, done);
}

/* Lanes of a and b in turn. */
static LLVMValueRef in_turn(xfc_emit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef pick[128];
    for (uint32_t i = 0; i < 2 * e->lanes; i++) pick[i] = LLVMConstInt(e->i32, i / 2 + i % 2 * e->lanes, false);
    return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(pick, 2 * e->lanes), "");
}

void xfc_emit_store_pair(xfc_emit *e, xfc_dtype t, xfc_place_value p, const LLVMValueRef value[2], LLVMValueRef live) {
    LLVMValueRef part[2];
    for (int i = 0; i < 2; i++) {
        part[i] = xfc_is_vector(value[i]) ? value[i] : xfc_emit_splat(e, value[i], e->lanes);
        part[i] = xfc_emit_to_memory(e, t, part[i]);
    }
    store_next(e, t, p, in_turn(e, part[0], part[1]), live ? in_turn(e, live, live) : NULL);
}

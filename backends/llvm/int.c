/* int.c - symbolic integers to i64 code, and how an index moves from lane to lane.
 *
 * Nothing is remembered between calls: a value would have to dominate its next use, and LLVM merges equal expressions
 * anyway. Division never traps: a divisor that may be 0 is taken as 1, because code is hoisted out of loops that may
 * not run. Ranges decide its form; most index arithmetic fits 32 bits, where division is several times faster.
 */
#include "backends/llvm/llvm.h"

void xfc_emit_bind(xfc_emit *e, xfc_int symbol, LLVMValueRef v) {
    if (xfc_int_look(e->ctx, symbol)->kind == XFC_INT_SYMBOL)
        xfc_map_set_ptr(&e->symbols, (void *)(uintptr_t)symbol.id, v);
}

void xfc_emit_symbols(xfc_emit *e, const xfc_int *symbol, uint32_t n) {
    e->graph_symbols = (xfc_map){.arena = e->arena};
    for (uint32_t i = 0; i < n; i++) xfc_map_set(&e->graph_symbols, symbol[i].id, i + 1u);
}

/* A graph symbol at its first use: loaded at the end of the entry block, so that it dominates everything. A size that
 * was made during emission is computed there. */
static LLVMValueRef load_graph_symbol(xfc_emit *e, xfc_int symbol) {
    uint64_t position = xfc_map_get(&e->graph_symbols, symbol.id);
    const xfc_int_info info = *xfc_int_look(e->ctx, symbol);
    if (!position && !xfc_int_known(info.formula)) xfc_bug(__FILE__, __LINE__, "symbol %s is not in scope", info.name);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMValueRef end = LLVMGetBasicBlockTerminator(e->entry), v;
    LLVMPositionBuilderBefore(e->b, end);
    if (position) {
        LLVMValueRef at = xfc_emit_offset(e, e->values, e->i64, xfc_emit_const(e, (int64_t)position - 1));
        v = LLVMBuildLoad2(e->b, e->i64, at, info.name);
    } else {
        v = xfc_emit_int(e, info.formula);
    }
    if (here == e->entry) /* for a formula that stands there */
        LLVMPositionBuilderBefore(e->b, end);
    else
        LLVMPositionBuilderAtEnd(e->b, here);
    xfc_emit_bind(e, symbol, v);
    return v;
}

static LLVMValueRef binary(xfc_emit *e, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef v[2] = {a, b};
    xfc_emit_unify(e, v, 2);
    return LLVMBuildBinOp(e->b, op, v[0], v[1], "");
}

static LLVMValueRef emit_sum(xfc_emit *e, const xfc_int_info *info) {
    LLVMValueRef sum = NULL, constant = NULL;
    for (uint32_t t = 0; t < info->n_terms; t++) {
        const xfc_int_term *term = &info->term[t];
        if (term->n == 0) {
            constant = xfc_emit_const(e, term->coeff);
            continue;
        }
        LLVMValueRef p = xfc_emit_int(e, term->atom[0]);
        for (uint32_t i = 1; i < term->n; i++) p = binary(e, LLVMMul, p, xfc_emit_int(e, term->atom[i]));
        if (term->coeff != 1) p = binary(e, LLVMMul, p, xfc_emit_const(e, term->coeff));
        sum = sum ? binary(e, LLVMAdd, sum, p) : p;
    }
    if (!sum) return constant ? constant : xfc_emit_const(e, 0);
    return constant ? binary(e, LLVMAdd, sum, constant) : sum; /* last: it becomes a displacement */
}

/* a / b or a % b of numbers known to be >= 0, b >= 1. */
static LLVMValueRef divide_unsigned(xfc_emit *e, bool mod, LLVMValueRef a, LLVMValueRef b, bool narrow) {
    LLVMTypeRef wide = LLVMTypeOf(a), small = xfc_emit_like(e->i32, a);
    if (narrow) {
        a = LLVMBuildTrunc(e->b, a, small, "");
        b = LLVMBuildTrunc(e->b, b, small, "");
    }
    LLVMValueRef v = mod ? LLVMBuildURem(e->b, a, b, "") : LLVMBuildUDiv(e->b, a, b, "");
    return narrow ? LLVMBuildZExt(e->b, v, wide, "") : v;
}

static LLVMValueRef divide_signed(xfc_emit *e, bool mod, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef zero = LLVMConstNull(type), minus = xfc_emit_number(e, type, -1);
    LLVMValueRef negate = LLVMBuildICmp(e->b, LLVMIntEQ, b, minus, ""); /* INT64_MIN / -1 would trap */
    LLVMValueRef by = LLVMBuildSelect(e->b, negate, xfc_emit_number(e, type, 1), b, "");
    LLVMValueRef r = LLVMBuildSRem(e->b, a, by, "");
    LLVMValueRef opposite = LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, r, by, ""), zero, "");
    LLVMValueRef fix = LLVMBuildAnd(e->b, LLVMBuildICmp(e->b, LLVMIntNE, r, zero, ""), opposite, "");
    if (mod) return LLVMBuildSelect(e->b, fix, LLVMBuildAdd(e->b, r, by, ""), r, "");
    LLVMValueRef q = LLVMBuildSDiv(e->b, a, by, "");
    q = LLVMBuildSelect(e->b, fix, LLVMBuildAdd(e->b, q, minus, ""), q, "");
    return LLVMBuildSelect(e->b, negate, LLVMBuildNeg(e->b, a, ""), q, "");
}

static LLVMValueRef emit_divide(xfc_emit *e, bool mod, const xfc_int_info *info) {
    LLVMValueRef v[2] = {xfc_emit_int(e, info->a), xfc_emit_int(e, info->b)};
    xfc_emit_unify(e, v, 2);
    int64_t alo, ahi, blo, bhi;
    xfc_int_range(e->ctx, info->a, &alo, &ahi);
    xfc_int_range(e->ctx, info->b, &blo, &bhi);
    if (blo <= 0 && bhi >= 0) {
        LLVMValueRef zero = LLVMBuildICmp(e->b, LLVMIntEQ, v[1], LLVMConstNull(LLVMTypeOf(v[1])), "");
        v[1] = LLVMBuildSelect(e->b, zero, xfc_emit_number(e, LLVMTypeOf(v[1]), 1), v[1], "");
    }
    if (alo < 0 || blo < 0) return divide_signed(e, mod, v[0], v[1]);
    return divide_unsigned(e, mod, v[0], v[1], ahi <= (int64_t)UINT32_MAX && bhi <= (int64_t)UINT32_MAX);
}

static LLVMValueRef emit_extremum(xfc_emit *e, const char *name, const xfc_int_info *info) {
    LLVMValueRef v[2] = {xfc_emit_int(e, info->a), xfc_emit_int(e, info->b)};
    xfc_emit_unify(e, v, 2);
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    return xfc_emit_intrinsic(e, name, &type, 1, v, 2);
}

LLVMValueRef xfc_emit_int(xfc_emit *e, xfc_int x) {
    xfc_assert(xfc_int_known(x));
    const xfc_int_info info = *xfc_int_look(e->ctx, x);
    switch (info.kind) {
    case XFC_INT_CONST: return xfc_emit_const(e, info.value);
    case XFC_INT_SYMBOL: {
        LLVMValueRef v = xfc_map_get_ptr(&e->symbols, (void *)(uintptr_t)x.id);
        return v ? v : load_graph_symbol(e, x);
    }
    case XFC_INT_SUM: return emit_sum(e, &info);
    case XFC_INT_FLOORDIV: return emit_divide(e, false, &info);
    case XFC_INT_MOD: return emit_divide(e, true, &info);
    case XFC_INT_MIN: return emit_extremum(e, "llvm.smin", &info);
    case XFC_INT_MAX: return emit_extremum(e, "llvm.smax", &info);
    }
    xfc_bug(__FILE__, __LINE__, "no integer kind %d", (int)info.kind);
}

/* --- lanes --- */

typedef struct {
    xfc_ctx *ctx;
    xfc_int lane;
    uint32_t lanes;
    xfc_varies_fn *varies;
    void *user;
} lane_query;

static bool stride_of(const lane_query *q, xfc_int x, int64_t *stride);

static bool stride_of_sum(const lane_query *q, const xfc_int_info *info, int64_t *stride) {
    *stride = 0;
    for (uint32_t t = 0; t < info->n_terms; t++) {
        const xfc_int_term *term = &info->term[t];
        for (uint32_t i = 0; i < term->n; i++) {
            int64_t s;
            if (!stride_of(q, term->atom[i], &s)) return false;
            if (s == 0) continue;
            if (term->n > 1 || !xfc_mul_ok(s, term->coeff, &s) || !xfc_add_ok(*stride, s, stride)) return false;
        }
    }
    return true;
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* floordiv and mod by a constant c: lane 0 is a multiple of g = gcd(its known divisor, c) above a multiple of c, so as
 * long as all lanes lie within g of it, the quotient is one number and the remainder moves as the dividend does. */
static bool stride_of_divide(const lane_query *q, const xfc_int_info *info, int64_t *stride) {
    int64_t a, b, c;
    if (!stride_of(q, info->a, &a) || !stride_of(q, info->b, &b) || b != 0) return false;
    *stride = 0;
    if (a == 0) return true;
    if (a < 0 || !xfc_int_value(q->ctx, info->b, &c) || c <= 0) return false;
    xfc_int first = xfc_int_mulc(q->ctx, q->lane, q->lanes);
    first = xfc_int_substitute(q->ctx, info->a, &q->lane, &first, 1);
    int64_t g = gcd(c, xfc_int_divisor(q->ctx, first));
    if (a > INT64_MAX / q->lanes || a * (q->lanes - 1) >= g) return false;
    if (info->kind == XFC_INT_MOD) *stride = a;
    return true;
}

static bool stride_of(const lane_query *q, xfc_int x, int64_t *stride) {
    const xfc_int_info info = *xfc_int_look(q->ctx, x); /* a copy: substitution makes nodes */
    int64_t a, b;
    *stride = 0;
    switch (info.kind) {
    case XFC_INT_CONST: return true;
    case XFC_INT_SYMBOL:
        if (xfc_int_same(x, q->lane))
            *stride = 1;
        else if (q->varies(q->user, x))
            return false;
        return true;
    case XFC_INT_SUM: return stride_of_sum(q, &info, stride);
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD: return stride_of_divide(q, &info, stride);
    case XFC_INT_MIN:
    case XFC_INT_MAX: return stride_of(q, info.a, &a) && stride_of(q, info.b, &b) && a == 0 && b == 0;
    }
    return false;
}

bool xfc_int_lane_stride(xfc_ctx *ctx, xfc_int x, xfc_int lane, uint32_t lanes, xfc_varies_fn *varies, void *user,
                         int64_t *stride) {
    const lane_query q = {ctx, lane, lanes, varies, user};
    return stride_of(&q, x, stride);
}

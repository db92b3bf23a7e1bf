/* nest.c - the one loop emitter: a nest of axes, a scalar body and stores become loops over scalars and vectors.
 *
 * Loop order: parallel axes as given, a parallel VECTOR axis innermost of them; then scan axes; then reduce axes, a
 * reduce VECTOR axis innermost. A VECTOR axis is stepped by e->lanes elements; its last, partial vector runs in one
 * masked copy of what is inside, so a result depends on extents alone. A value that does not differ from lane to lane
 * stays a scalar.
 *
 * Where each step of a reduction looks up an index in data, several vectors are summed up beside each other.
 *
 * Every body instruction has a depth: the number of loops it depends on. It is emitted once that many loops are open,
 * in front of the next one, behind the test that the next one runs at all. Loads and lets move no further out than the
 * outermost loop that may be empty, because an empty tensor has no element to read; loads from buffers that the nest
 * stores to do not move.
 *
 * A load that is contiguous along the loop around the VECTOR axis, but not along that axis, is a transposition: lanes x
 * lanes blocks of it are read row by row and turned in registers instead of gathered.
 *
 * Two stores that fill every second element of one stretch are one, of both values' lanes in turn.
 *
 * Reductions live in accumulators (allocas that LLVM turns into registers), one a store. On a reduce VECTOR axis each
 * lane has its own, and cheap bodies four banks of them to hide latency. Vector v belongs to bank v mod 4 wherever the
 * axis ends, and the tree that combines banks and lanes is fixed, so elements at the end that add nothing (padding)
 * change no bit. Dead lanes of the tail keep their accumulator.
 */
#include "backends/llvm/loops.h"

#include <string.h>

typedef xfc_loops loops;

/* --- instructions --- */

/* The index with the VECTOR axis bound to all lanes. */
static LLVMValueRef each_lane(loops *n, LLVMValueRef (*emit)(xfc_emit *, const void *), const void *what) {
    xfc_emit *e = n->e;
    if (!xfc_has_lanes(n)) return emit(e, what);
    xfc_int symbol = xfc_loop_axis(n, n->vector)->symbol;
    LLVMValueRef first = xfc_map_get_ptr(&e->symbols, (void *)(uintptr_t)symbol.id);
    if (!first) return emit(e, what); /* outside that loop: nothing here moves with it */
    xfc_emit_bind(e, symbol, LLVMBuildAdd(e->b, xfc_emit_splat(e, first, e->lanes), xfc_emit_lane_numbers(e), ""));
    LLVMValueRef v = emit(e, what);
    xfc_emit_bind(e, symbol, first);
    return v;
}
static LLVMValueRef emit_index(xfc_emit *e, const void *what) { return xfc_emit_int(e, *(const xfc_int *)what); }
static LLVMValueRef emit_address(xfc_emit *e, const void *what) { return xfc_emit_address(e, what); }

static LLVMValueRef index_value(loops *n, const xfc_scalar *s, bool varies) {
    xfc_emit *e = n->e;
    int64_t stride;
    if (!varies) return xfc_emit_int(e, s->u.index);
    if (!xfc_loops_stride(n, s->u.index, &stride)) return each_lane(n, emit_index, &s->u.index);
    LLVMValueRef first = xfc_emit_splat(e, xfc_emit_int(e, s->u.index), e->lanes), lane = xfc_emit_lane_numbers(e);
    LLVMValueRef step = xfc_emit_number(e, LLVMTypeOf(first), stride);
    return LLVMBuildAdd(e->b, first, LLVMBuildMul(e->b, lane, step, ""), "");
}

static xfc_place_value place_of(loops *n, const xfc_access *a, bool bounded) {
    int64_t stride;
    xfc_int linear = xfc_access_linear(n->e->ctx, n->e->kernel, a);
    bool known = xfc_loops_stride(n, linear, &stride);
    if (!known || (stride != 0 && stride != 1)) {
        LLVMValueRef each = each_lane(n, emit_address, a);
        if (xfc_is_vector(each)) return xfc_emit_place(n->e, XFC_LANES_EACH, a, each, false);
        stride = 0; /* by an index that was read where a dim is empty: it has no stride, and is one for all lanes */
    }
    return xfc_emit_place(n->e, stride ? XFC_LANES_NEXT : XFC_LANES_SAME, a, xfc_emit_address(n->e, a), bounded);
}

static LLVMValueRef both(xfc_emit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef v[2] = {a, b};
    if (!a || !b) return a ? a : b;
    xfc_emit_unify(e, v, 2);
    return LLVMBuildAnd(e->b, v[0], v[1], "");
}

/* The access' lets whose range may be empty: then there is no element to touch. */
static LLVMValueRef where_not_empty(loops *n, const xfc_access *a, LLVMValueRef mask) {
    const xfc_map *m = &n->e->empty_let;
    for (uint32_t i = 0; i < m->n; i++) {
        bool used = false;
        for (uint32_t d = 0; d < a->rank; d++)
            used |= xfc_int_uses(n->e->ctx, a->index[d], (xfc_int){(uint32_t)m->entry[i].key});
        if (used) mask = both(n->e, mask, (LLVMValueRef)(uintptr_t)m->entry[i].value);
    }
    return mask;
}

static LLVMValueRef load_value(loops *n, const xfc_scalar *s, bool varies) {
    LLVMValueRef mask = s->arg[0] == XFC_NO_ARG ? NULL : n->value[s->arg[0]];
    mask = where_not_empty(n, s->u.access, mask);
    xfc_place_value place = place_of(n, s->u.access, mask && xfc_is_vector(mask));
    return xfc_emit_load(n->e, s->dtype, place, mask, varies ? n->mask : NULL);
}

LLVMValueRef xfc_emit_let(xfc_emit *e, xfc_int symbol, LLVMValueRef value, bool wrap, LLVMValueRef mask,
                          LLVMValueRef *some) {
    const xfc_int_info info = *xfc_int_look(e->ctx, symbol);
    LLVMValueRef v[3] = {value, xfc_emit_int(e, info.lo), xfc_emit_int(e, info.hi)};
    xfc_emit_unify(e, v, 3);
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    LLVMValueRef one = xfc_emit_number(e, type, 1), zero = LLVMConstNull(type), at = v[0];
    if (wrap) {
        LLVMValueRef end = LLVMBuildAdd(e->b, v[2], one, ""), negative = LLVMBuildICmp(e->b, LLVMIntSLT, at, zero, "");
        at = LLVMBuildAdd(e->b, at, LLVMBuildSelect(e->b, negative, end, zero, ""), "");
    }
    LLVMValueRef bad = LLVMBuildOr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, at, v[1], ""),
                                   LLVMBuildICmp(e->b, LLVMIntSGT, at, v[2], ""), "");
    if (mask && xfc_is_vector(bad)) bad = LLVMBuildAnd(e->b, bad, mask, "");
    LLVMTypeRef flags = LLVMTypeOf(bad);
    if (xfc_is_vector(bad)) bad = xfc_emit_intrinsic(e, "llvm.vector.reduce.or", &flags, 1, &bad, 1);
    LLVMBuildStore(e->b, LLVMBuildOr(e->b, LLVMBuildLoad2(e->b, e->i1, e->range_flag, ""), bad, ""), e->range_flag);
    LLVMValueRef pair[2] = {at, v[2]};
    pair[0] = xfc_emit_intrinsic(e, "llvm.smin", &type, 1, pair, 2);
    pair[1] = v[1];
    at = xfc_emit_intrinsic(e, "llvm.smax", &type, 1, pair, 2);
    bool known = xfc_int_le(e->ctx, info.lo, info.hi) == 1;
    *some = known ? NULL : LLVMBuildICmp(e->b, LLVMIntSLE, v[1], v[2], "");
    xfc_emit_bind(e, symbol, at);
    return at;
}

static LLVMValueRef let_value(loops *n, const xfc_scalar *s) {
    xfc_emit *e = n->e;
    LLVMValueRef v = xfc_emit_cast(e, XFC_I64, n->nest->body[s->arg[0]].dtype, n->value[s->arg[0]]), some;
    if (s->sure) {
        xfc_emit_bind(e, s->u.index, v);
        return v;
    }
    v = xfc_emit_let(e, s->u.index, v, s->wrap, n->mask, &some);
    if (some) xfc_map_set_ptr(&e->empty_let, (void *)(uintptr_t)s->u.index.id, some);
    return v;
}

static LLVMValueRef instruction(loops *n, uint32_t i) {
    const xfc_scalar *s = &n->nest->body[i];
    LLVMValueRef arg[3] = {0};
    switch ((int)s->op) {
    case XFC_S_CONST: return xfc_emit_constant(n->e, s);
    case XFC_S_INDEX: return index_value(n, s, n->varies[i]);
    case XFC_S_LOAD: return load_value(n, s, n->varies[i]);
    case XFC_S_LET: return let_value(n, s);
    case XFC_S_CAST: return xfc_emit_cast(n->e, s->dtype, n->nest->body[s->arg[0]].dtype, n->value[s->arg[0]]);
    default: break;
    }
    uint32_t arity = xfc_scalar_arity(s->op);
    for (uint32_t k = 0; k < arity; k++) arg[k] = n->value[s->arg[k]];
    return xfc_emit_scalar(n->e, s->op, n->nest->body[s->arg[arity - 1]].dtype, arg);
}

static void emit_instructions(loops *n, uint32_t depth) {
    for (uint32_t i = 0; i < n->nest->n_body; i++)
        if (n->depth[i] == depth) n->value[i] = i == n->turned && n->column ? n->column : instruction(n, i);
}

/* --- reductions --- */

static xfc_dtype store_dtype(const loops *n, const xfc_store *st) { return n->nest->body[st->value].dtype; }
static LLVMValueRef *accumulator(loops *n, uint32_t bank, uint32_t store) {
    return &n->accumulator[bank * n->nest->n_stores + store];
}
static LLVMTypeRef accumulator_type(const loops *n, const xfc_store *st) {
    LLVMTypeRef type = xfc_emit_type(n->e, store_dtype(n, st));
    return n->lanes_reduce || n->varies[st->value] ? LLVMVectorType(type, n->e->lanes) : type;
}
static LLVMValueRef load_bank(loops *n, uint32_t bank, uint32_t store) {
    LLVMTypeRef type = accumulator_type(n, &n->nest->stores[store]);
    return LLVMBuildLoad2(n->e->b, type, *accumulator(n, bank, store), "");
}

static void start_reductions(loops *n) {
    xfc_emit *e = n->e;
    for (uint32_t i = 0; i < n->nest->n_stores; i++) {
        const xfc_store *st = &n->nest->stores[i];
        if (st->combine == XFC_S_COUNT) continue;
        LLVMValueRef start = xfc_emit_identity(e, st->combine, store_dtype(n, st));
        if (LLVMTypeOf(start) != accumulator_type(n, st)) start = xfc_emit_splat(e, start, e->lanes);
        for (uint32_t b = 0; b < n->banks; b++) {
            LLVMValueRef *a = accumulator(n, b, i);
            if (!*a) *a = xfc_emit_alloca(e, LLVMTypeOf(start), 0, "sum");
            LLVMBuildStore(e->b, start, *a);
        }
    }
}

static void accumulate(loops *n, uint32_t i) {
    xfc_emit *e = n->e;
    const xfc_store *st = &n->nest->stores[i];
    LLVMValueRef before = load_bank(n, n->bank, i), v = n->value[st->value];
    LLVMValueRef after = xfc_emit_combine(e, st->combine, store_dtype(n, st), before, v);
    if (n->mask && n->lanes_reduce) after = LLVMBuildSelect(e->b, n->mask, after, before, "");
    LLVMBuildStore(e->b, after, *accumulator(n, n->bank, i));
}

/* Bank b becomes what bank b + by was; with a condition, where it holds. */
static void turn_banks(loops *n, uint32_t by, LLVMValueRef when) {
    LLVMValueRef part[XFC_BANKS];
    for (uint32_t i = 0; i < n->nest->n_stores; i++) {
        if (n->nest->stores[i].combine == XFC_S_COUNT) continue;
        for (uint32_t b = 0; b < n->banks; b++) part[b] = load_bank(n, b, i);
        for (uint32_t b = 0; b < n->banks; b++) {
            LLVMValueRef v = part[(b + by) % n->banks];
            if (when) v = LLVMBuildSelect(n->e->b, when, v, part[b], "");
            LLVMBuildStore(n->e->b, v, *accumulator(n, b, i));
        }
    }
}

/* Halves are combined until one lane is left. */
static LLVMValueRef combine_lanes(loops *n, const xfc_store *st, LLVMValueRef v) {
    xfc_emit *e = n->e;
    for (uint32_t width = e->lanes / 2; width >= 1; width /= 2) {
        LLVMValueRef low[64], high[64];
        for (uint32_t i = 0; i < width; i++) {
            low[i] = LLVMConstInt(e->i32, i, false);
            high[i] = LLVMConstInt(e->i32, i + width, false);
        }
        LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(v));
        LLVMValueRef a = LLVMBuildShuffleVector(e->b, v, none, LLVMConstVector(low, width), "");
        LLVMValueRef b = LLVMBuildShuffleVector(e->b, v, none, LLVMConstVector(high, width), "");
        v = xfc_emit_combine(e, st->combine, store_dtype(n, st), a, b);
    }
    return xfc_emit_lane(e, v, 0);
}

static void write_store(loops *n, const xfc_store *st, LLVMValueRef v) {
    xfc_dtype type = n->e->kernel->buffers[st->to.buffer].type.dtype; /* an f32 sum may be rounded to f16 */
    xfc_emit_store(n->e, type, place_of(n, &st->to, false), v, where_not_empty(n, &st->to, NULL), n->mask);
}

/* Store i and the next one fill every second element each, of the same stretch. */
static bool fills_pairs(loops *n, uint32_t i) {
    const xfc_store *st = &n->nest->stores[i];
    const xfc_kernel *k = n->e->kernel;
    if (i + 1 == n->nest->n_stores || n->e->target->checked || n->e->empty_let.n || !xfc_has_lanes(n)) return false;
    if (st[1].combine != XFC_S_COUNT || st[0].to.buffer != st[1].to.buffer) return false;
    xfc_int even = xfc_access_linear(n->e->ctx, k, &st[0].to), odd = xfc_access_linear(n->e->ctx, k, &st[1].to);
    int64_t stride;
    return xfc_loops_stride(n, even, &stride) && stride == 2 &&
           xfc_int_is(n->e->ctx, xfc_int_sub(n->e->ctx, odd, even), 1);
}

static void write_pair(loops *n, const xfc_store *st) {
    xfc_place_value place = xfc_emit_place(n->e, XFC_LANES_NEXT, &st->to, xfc_emit_address(n->e, &st->to), false);
    LLVMValueRef v[2] = {n->value[st[0].value], n->value[st[1].value]};
    xfc_emit_store_pair(n->e, n->e->kernel->buffers[st->to.buffer].type.dtype, place, v, n->mask);
}

static void finish_reductions(loops *n) {
    xfc_emit *e = n->e;
    for (uint32_t i = 0; i < n->nest->n_stores; i++) {
        const xfc_store *st = &n->nest->stores[i];
        if (st->combine == XFC_S_COUNT) continue;
        LLVMValueRef part[XFC_BANKS];
        for (uint32_t b = 0; b < n->banks; b++) part[b] = load_bank(n, b, i);
        for (uint32_t half = n->banks / 2; half > 0; half /= 2) /* the same wherever the banks were turned to */
            for (uint32_t b = 0; b < half; b++)
                part[b] = xfc_emit_combine(e, st->combine, store_dtype(n, st), part[b], part[b + half]);
        write_store(n, st, n->lanes_reduce ? combine_lanes(n, st, part[0]) : part[0]);
    }
}

/* --- loops --- */

static void emit_level(loops *n, uint32_t depth);

static void emit_point(loops *n) {
    emit_instructions(n, n->n_loops);
    for (uint32_t i = 0; i < n->nest->n_stores; i++) {
        const xfc_store *st = &n->nest->stores[i];
        if (st->combine != XFC_S_COUNT)
            accumulate(n, i);
        else if (fills_pairs(n, i))
            write_pair(n, st), i++;
        else
            write_store(n, st, n->value[st->value]);
    }
}

/* row[l] becomes lane l of every row: blocks of 1, 2, 4, .. lanes off the diagonal are exchanged. */
static void transpose(xfc_emit *e, LLVMValueRef *row) {
    LLVMValueRef pick[2][64];
    for (uint32_t w = 1; w < e->lanes; w *= 2) {
        for (uint32_t l = 0; l < e->lanes; l++) {
            pick[0][l] = LLVMConstInt(e->i32, l & w ? l - w + e->lanes : l, false);
            pick[1][l] = LLVMConstInt(e->i32, l & w ? l + e->lanes : l + w, false);
        }
        for (uint32_t r = 0; r < e->lanes; r++) {
            if (r & w) continue;
            LLVMValueRef a = row[r], b = row[r + w];
            row[r] = LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(pick[0], e->lanes), "");
            row[r + w] = LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(pick[1], e->lanes), "");
        }
    }
}

/* All points of a block: `lanes` indices of the loop around the VECTOR axis by one vector. Partial vectors gather. */
static void emit_block(loops *n) {
    xfc_emit *e = n->e;
    const xfc_scalar *s = &n->nest->body[n->turned];
    xfc_int symbol = xfc_loop_axis(n, n->vector)->symbol, around = xfc_loop_axis(n, n->vector - 1)->symbol;
    LLVMValueRef first = xfc_map_get_ptr(&e->symbols, (void *)(uintptr_t)symbol.id), row[64], start = n->block;
    n->block = NULL;
    if (n->mask) {
        xfc_loop l = xfc_emit_loop_begin(e, start, LLVMBuildAdd(e->b, start, xfc_emit_const(e, e->lanes), ""), 1, "k");
        xfc_emit_bind(e, around, l.i);
        emit_instructions(n, n->vector);
        emit_point(n);
        xfc_emit_loop_end(e, &l);
        n->block = start;
        return;
    }
    xfc_emit_bind(e, around, start);
    for (uint32_t l = 0; l < e->lanes; l++) {
        xfc_emit_bind(e, symbol, LLVMBuildAdd(e->b, first, xfc_emit_const(e, l), ""));
        LLVMValueRef address = xfc_emit_address(e, s->u.access);
        row[l] = xfc_emit_load(e, s->dtype, xfc_emit_place(e, XFC_LANES_NEXT, s->u.access, address, false), NULL, NULL);
    }
    xfc_emit_bind(e, symbol, first);
    transpose(e, row);
    for (uint32_t k = 0; k < e->lanes; k++) {
        xfc_emit_bind(e, around, LLVMBuildAdd(e->b, start, xfc_emit_const(e, k), ""));
        n->column = row[k];
        emit_instructions(n, n->vector);
        emit_point(n);
    }
    n->column = NULL;
    n->block = start;
}

static LLVMValueRef positive(xfc_emit *e, LLVMValueRef v) {
    return LLVMBuildICmp(e->b, LLVMIntSGT, v, xfc_emit_const(e, 0), "");
}

static LLVMValueRef round_down(xfc_emit *e, LLVMValueRef v, uint32_t multiple) {
    return LLVMBuildAnd(e->b, v, xfc_emit_const(e, -(int64_t)multiple), "");
}

/* The loop around the VECTOR axis, in blocks; what is left of it goes one by one. Answers where that starts. */
static LLVMValueRef emit_blocks(loops *n, uint32_t depth, LLVMValueRef extent) {
    xfc_emit *e = n->e;
    const xfc_axis *axis = xfc_loop_axis(n, depth);
    LLVMValueRef whole = round_down(e, extent, e->lanes);
    xfc_loop l = xfc_emit_loop_begin(e, xfc_emit_const(e, 0), whole, e->lanes, axis->name);
    n->block = l.i;
    emit_level(n, depth + 1);
    n->block = NULL;
    xfc_emit_loop_end(e, &l);
    return whole;
}

static void emit_serial(loops *n, uint32_t depth, LLVMValueRef extent) {
    xfc_emit *e = n->e;
    const xfc_axis *axis = xfc_loop_axis(n, depth);
    bool part = n->first && n->order[depth] == 0;
    if (n->turned < n->nest->n_body && depth + 1 == n->vector) {
        LLVMValueRef from = emit_blocks(n, depth, extent);
        if (xfc_int_divisor(e->ctx, axis->extent) % e->lanes == 0) return;
        xfc_loop l = xfc_emit_loop_begin(e, from, extent, 1, axis->name);
        xfc_emit_bind(e, axis->symbol, l.i);
        emit_level(n, depth + 1);
        xfc_emit_loop_end(e, &l);
        return;
    }
    if (!part && xfc_int_is(e->ctx, axis->extent, 1)) {
        xfc_emit_bind(e, axis->symbol, xfc_emit_const(e, 0));
        emit_level(n, depth + 1);
        return;
    }
    LLVMValueRef from = part ? n->first : xfc_emit_const(e, 0), to = part ? n->end : extent;
    xfc_loop l = xfc_emit_loop_enter(e, from, to, xfc_emit_const(e, 1), axis->name);
    xfc_emit_bind(e, axis->symbol, l.i);
    emit_level(n, depth + 1);
    xfc_emit_loop_end(e, &l);
}

/* Whole vectors from lo on, `banks` of them a turn, while hi is not reached; answers where it stopped. */
static void emit_vectors(loops *n, uint32_t depth, LLVMValueRef lo, LLVMValueRef hi, uint32_t banks) {
    xfc_emit *e = n->e;
    const xfc_axis *axis = xfc_loop_axis(n, depth);
    xfc_loop l = xfc_emit_loop_begin(e, lo, hi, (int64_t)e->lanes * banks, axis->name);
    for (n->bank = 0; n->bank < banks; n->bank++) {
        xfc_emit_bind(e, axis->symbol, LLVMBuildAdd(e->b, l.i, xfc_emit_const(e, (int64_t)n->bank * e->lanes), ""));
        emit_level(n, depth + 1);
    }
    n->bank = 0;
    if (banks < n->banks) turn_banks(n, 1, NULL);
    xfc_emit_loop_end(e, &l);
}

/* Behind `vectors` vectors that came one by one: back to where the banks stood before them. */
static void turn_back(loops *n, LLVMValueRef vectors) {
    xfc_emit *e = n->e;
    LLVMValueRef missing = LLVMBuildNeg(e->b, vectors, "");
    for (uint32_t by = 1; by < n->banks; by *= 2) {
        LLVMValueRef bit = LLVMBuildAnd(e->b, missing, xfc_emit_const(e, by), "");
        turn_banks(n, by, LLVMBuildICmp(e->b, LLVMIntNE, bit, xfc_emit_const(e, 0), ""));
    }
}

static void use_lanes(loops *n, uint32_t lanes) {
    n->e->lanes = lanes;
    memset(n->accumulator, 0, (size_t)XFC_BANKS * n->nest->n_stores * sizeof *n->accumulator); /* of other types now */
}

/* Steps of several vectors, as long as there are so many; answers where that stopped. */
static LLVMValueRef emit_wide(loops *n, uint32_t depth, LLVMValueRef extent) {
    uint32_t lanes = n->e->lanes;
    use_lanes(n, lanes * n->wide);
    LLVMValueRef to = round_down(n->e, extent, n->e->lanes);
    emit_vectors(n, depth, xfc_emit_const(n->e, 0), to, 1);
    use_lanes(n, lanes);
    return to;
}

static void emit_lanes(loops *n, uint32_t depth, LLVMValueRef extent) {
    xfc_emit *e = n->e;
    const xfc_axis *axis = xfc_loop_axis(n, depth);
    LLVMValueRef zero = xfc_emit_const(e, 0), turns = round_down(e, extent, e->lanes * n->banks);
    LLVMValueRef whole = round_down(e, extent, e->lanes);
    int64_t known = 0, least, most;
    bool is_static = xfc_int_value(e->ctx, axis->extent, &known);
    xfc_int_range(e->ctx, axis->extent, &least, &most);
    bool tail = xfc_int_divisor(e->ctx, axis->extent) % e->lanes != 0;
    if (n->banks > 1 && most >= (int64_t)e->lanes * n->banks)
        emit_vectors(n, depth, zero, turns, n->banks);
    else
        turns = n->wide > 1 ? emit_wide(n, depth, extent) : zero;
    if (most >= e->lanes && !(is_static && known % ((int64_t)e->lanes * n->banks) < e->lanes && n->banks > 1))
        emit_vectors(n, depth, turns, whole, 1);
    if (tail) {
        LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSLT, whole, extent, "");
        LLVMBasicBlockRef done = is_static ? NULL : xfc_emit_if_begin(e, some, "tail");
        LLVMValueRef left = LLVMBuildSub(e->b, extent, whole, "");
        n->mask = LLVMBuildICmp(e->b, LLVMIntULT, xfc_emit_lane_numbers(e), xfc_emit_splat(e, left, e->lanes), "");
        xfc_emit_bind(e, axis->symbol, whole);
        emit_level(n, depth + 1);
        n->mask = NULL;
        if (done) xfc_emit_if_end(e, done);
    }
    if (n->banks > 1 && n->n_loops - n->n_outer > 1) /* the next iteration of the loop around begins with bank 0, too */
        turn_back(n, LLVMBuildUDiv(e->b, LLVMBuildSub(e->b, whole, turns, ""), xfc_emit_const(e, e->lanes), ""));
    xfc_map_set(&e->symbols, axis->symbol.id, 0);
}

static void emit_level(loops *n, uint32_t depth) {
    xfc_emit *e = n->e;
    if (depth == n->n_outer) start_reductions(n);
    if (depth == n->n_loops && n->block) {
        emit_block(n);
    } else if (depth == n->n_loops) {
        emit_point(n);
    } else {
        const xfc_axis *axis = xfc_loop_axis(n, depth);
        int64_t lo, hi;
        xfc_int_range(e->ctx, axis->extent, &lo, &hi);
        LLVMValueRef extent = xfc_emit_int(e, axis->extent);
        LLVMBasicBlockRef done = lo < 1 ? xfc_emit_if_begin(e, positive(e, extent), "some") : NULL;
        if (!n->block) emit_instructions(n, depth);
        if (depth == n->vector)
            emit_lanes(n, depth, extent);
        else
            emit_serial(n, depth, extent);
        if (done) xfc_emit_if_end(e, done);
    }
    if (depth == n->n_outer) finish_reductions(n);
}

xfc_status xfc_emit_nest_rows(xfc_emit *e, const xfc_nest *nest, LLVMValueRef first, LLVMValueRef end) {
    loops n = {.e = e, .nest = nest, .first = first, .end = end};
    n.is_stored = xfc_new_array(e->arena, bool, e->kernel->n_buffers);
    n.value = xfc_new_array(e->arena, LLVMValueRef, nest->n_body);
    n.accumulator = xfc_new_array(e->arena, LLVMValueRef, (size_t)XFC_BANKS * nest->n_stores);
    for (uint32_t i = 0; i < nest->n_stores; i++) n.is_stored[nest->stores[i].to.buffer] = true;
    e->empty_let = (xfc_map){.arena = e->arena};
    xfc_loops_plan(&n);
    e->inner = n.n_loops ? xfc_loop_axis(&n, n.n_loops - 1)->symbol : XFC_INT_NONE;
    emit_level(&n, 0);
    e->inner = XFC_INT_NONE;
    return e->status;
}

xfc_status xfc_emit_nest(xfc_emit *e, const xfc_nest *nest) { return xfc_emit_nest_rows(e, nest, NULL, NULL); }

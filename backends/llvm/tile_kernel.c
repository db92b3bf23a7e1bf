/* tile_kernel.c - the micro-kernels of the contraction generator: one block of c in registers.
 *
 * Idea: rows x columns accumulators live in registers over the whole depth; one step of k loads the vectors of b,
 * broadcasts one element of a per row, and does one multiply-add an accumulator. Rows of a are addressed as pointer +
 * shared offset, so one kernel serves every row distance (measured: within 1 % of constant displacements).
 * Invariants: an element of c is one chain over ascending k, whatever block surrounds it, so its bits depend on its
 * row of a and its column of b alone. A depth that is no multiple of the unroll ends in a loop of single steps: same
 * chain. The prefetches stand between the loads on purpose: they also keep the scheduler from hoisting the loads of
 * the next step, which would spill accumulators (tests/tile counts stack accesses in the loops).
 *
 * What happens to the block when it is complete (kernel.c) touches other lines, as a rule in no near cache, and the
 * next block begins with rows of a that may be new. To meet either all at once stalls everything behind it (measured at
 * depth 384: 10 %, and 90 % where all rows are new), and so does fetching them all at once. So the loop over k runs in
 * as many parts as the block has rows; each part begins with fetching one row's lines and the start of one row of a.
 * The rest of a row is fetched as the row is walked.
 * Not here: which kernel runs when (tile.c).
 */
#include "backends/llvm/tile.h"

enum { MAX_ACC = 32, MAX_ROWS = 16, MAX_VECTORS = 8, MAX_STRIPS = 2, MAX_MOVING = MAX_ACC + MAX_STRIPS + 5 };
enum { NEAR = 3, SECOND_LEVEL = 2 }; /* locality of llvm.prefetch */

typedef struct {
    xfc_emit *e;
    const xfc_tile_shape *shape;
    const xfc_micro *micro;
    LLVMValueRef fn;
    LLVMTypeRef vector;
    LLVMValueRef row[MAX_ROWS];           /* a, by row */
    LLVMValueRef acc[MAX_ACC];            /* row-major */
    LLVMValueRef b[MAX_STRIPS], fetch, i; /* moving with k; i is the offset into each row of a in bytes */
    LLVMValueRef write, read, next;       /* moving with the parts: what belongs to a row */
    uint32_t n_acc, n_vectors;            /* n_vectors: columns of the block */
    uint32_t a_step, b_step, panel_row;   /* bytes of a step (tile.h) */
} state;

LLVMTypeRef xfc_micro_type(xfc_emit *e) {
    LLVMTypeRef t[XFC_MICRO_ARGS];
    for (unsigned i = 0; i < XFC_MICRO_ARGS; i++) t[i] = e->i64;
    t[XFC_MICRO_A] = t[XFC_MICRO_B] = t[XFC_MICRO_C] = t[XFC_MICRO_FETCH] = e->ptr;
    t[XFC_MICRO_WRITE] = t[XFC_MICRO_READ] = t[XFC_MICRO_NEXT] = e->ptr;
    return LLVMFunctionType(e->none, t, XFC_MICRO_ARGS, false);
}

LLVMValueRef xfc_tile_at(xfc_emit *e, LLVMValueRef p, LLVMValueRef bytes) {
    return LLVMBuildInBoundsGEP2(e->b, e->i8, p, &bytes, 1, "");
}

static LLVMValueRef at_const(xfc_emit *e, LLVMValueRef p, int64_t bytes) {
    return bytes ? xfc_tile_at(e, p, xfc_emit_const(e, bytes)) : p;
}

/* p + index * bytes, index constant. */
static LLVMValueRef at_times(xfc_emit *e, LLVMValueRef p, LLVMValueRef bytes, uint32_t index) {
    return index ? xfc_tile_at(e, p, LLVMBuildMul(e->b, bytes, xfc_emit_const(e, index), "")) : p;
}

static LLVMValueRef argument(const state *s, unsigned i) { return LLVMGetParam(s->fn, i); }

static LLVMValueRef load(xfc_emit *e, LLVMTypeRef t, LLVMValueRef p, unsigned align) {
    LLVMValueRef v = LLVMBuildLoad2(e->b, t, p, "");
    LLVMSetAlignment(v, align);
    return v;
}

/* Multiply-adds of a step. */
static uint32_t halves_of(const state *s) { return xfc_tile_dots(s->shape) ? 1 : s->shape->group; }
static uint32_t lanes_of(const state *s) { return s->shape->vector_bytes / 4; }

/* What a multiply-add takes of a row of a. Pairs that are multiplied as they are are words; of others, `half` says
 * below which one of them is meant. */
static LLVMTypeRef word_type(const state *s) { return xfc_tile_dots(s->shape) ? s->e->i32 : s->e->f32; }

/* The upper half is loaded once more: held since the lower one was taken from it, it would take a register. */
static LLVMValueRef load_half(const state *s, LLVMValueRef p, uint32_t half) {
    xfc_emit *e = s->e;
    LLVMTypeRef words = LLVMVectorType(e->i32, lanes_of(s)), floats = s->vector;
    LLVMValueRef v = load(e, words, p, s->b_step), sixteen = xfc_emit_number(e, words, 16);
    if (half == 0) return LLVMBuildBitCast(e->b, LLVMBuildShl(e->b, v, sixteen, ""), floats, "");
    LLVMSetVolatile(v, true);
    return LLVMBuildBitCast(e->b, LLVMBuildAnd(e->b, v, xfc_emit_number(e, words, -0x10000), ""), floats, "");
}

/* An input has any alignment. */
static LLVMValueRef load_b(const state *s, LLVMValueRef p, uint32_t half) {
    xfc_emit *e = s->e;
    if (xfc_tile_dots(s->shape)) return load(e, LLVMVectorType(e->i32, lanes_of(s)), p, s->b_step);
    if (s->shape->group == 2) return load_half(s, p, half);
    LLVMTypeRef t = LLVMVectorType(xfc_emit_mem_type(e, s->shape->b), lanes_of(s));
    return xfc_emit_from_memory(e, s->shape->b, load(e, t, p, s->b_step));
}

/* Vector v of the block in step u of a body. */
static LLVMValueRef load_vector(const state *s, uint32_t u, uint32_t v, uint32_t half) {
    uint32_t offset = u * s->panel_row + v % s->micro->vectors * lanes_of(s) * s->b_step;
    return load_b(s, at_const(s->e, s->b[v / s->micro->vectors], offset), half);
}

static LLVMValueRef broadcast(const state *s, LLVMValueRef p) {
    xfc_emit *e = s->e;
    LLVMTypeRef mask = LLVMVectorType(e->i32, lanes_of(s));
    LLVMTypeRef word = word_type(s);
    LLVMValueRef poison = LLVMGetPoison(LLVMVectorType(word, lanes_of(s)));
    LLVMValueRef v = LLVMBuildInsertElement(e->b, poison, load(e, word, p, xfc_tile_dots(s->shape) ? 2 : 4),
                                            LLVMConstInt(e->i32, 0, 0), "");
    return LLVMBuildShuffleVector(e->b, v, poison, LLVMConstNull(mask), "");
}

/* The instruction is two multiply-adds, each rounded, that of the second step first; it takes subnormal numbers for 0,
 * whatever MXCSR says. */
static LLVMValueRef dot(const state *s, LLVMValueRef x, LLVMValueRef y, LLVMValueRef sum) {
    xfc_emit *e = s->e;
    LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(e->llvm), 2 * lanes_of(s));
    LLVMValueRef args[3] = {sum, LLVMBuildBitCast(e->b, x, pairs, ""), LLVMBuildBitCast(e->b, y, pairs, "")};
    return xfc_emit_intrinsic(e, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, args, 3);
}

static LLVMValueRef multiply_add(const state *s, LLVMValueRef x, LLVMValueRef y, LLVMValueRef sum) {
    xfc_emit *e = s->e;
    if (xfc_tile_dots(s->shape)) return dot(s, x, y, sum);
    if (!(s->shape->needs & XFC_HAS_FMA)) return LLVMBuildFAdd(e->b, LLVMBuildFMul(e->b, x, y, ""), sum, "");
    LLVMValueRef args[3] = {x, y, sum};
    LLVMTypeRef t = s->vector;
    return xfc_emit_intrinsic(e, "llvm.fma", &t, 1, args, 3);
}

static void prefetch(xfc_emit *e, LLVMValueRef p, bool write, unsigned locality) {
    LLVMValueRef args[4] = {p, LLVMConstInt(e->i32, write, 0), LLVMConstInt(e->i32, locality, 0),
                            LLVMConstInt(e->i32, 1, 0)};
    LLVMTypeRef t = e->ptr;
    xfc_emit_intrinsic(e, "llvm.prefetch", &t, 1, args, 4);
}

/* What a part of step u of an unrolled body fetches: its own stream of b a little ahead, and, if there is more to
 * fetch, its share of the next panel. */
static void prefetches(const state *s, uint32_t u, uint32_t half, bool more) {
    xfc_emit *e = s->e;
    uint32_t unroll = s->shape->unroll, lines = more && half == 0 ? s->micro->fetch : 0;
    for (uint32_t t = 0; t < s->micro->strips; t++) {
        LLVMValueRef distance = s->micro->fetch ? xfc_emit_const(e, XFC_TILE_NEAR) : argument(s, XFC_MICRO_AHEAD);
        LLVMValueRef ahead = xfc_tile_at(e, s->b[t], distance);
        for (uint32_t o = half * XFC_TILE_LINE; o < lanes_of(s) * s->micro->vectors * s->b_step;
             o += XFC_TILE_LINE * halves_of(s))
            prefetch(e, at_const(e, ahead, u * s->panel_row + o), false, NEAR);
    }
    for (uint32_t l = u * lines / unroll; l < (u + 1) * lines / unroll; l++)
        prefetch(e, at_const(e, s->fetch, l * XFC_TILE_LINE), false, SECOND_LEVEL);
}

/* As below, of two strips: there is no register for an element of each vector of b. */
static void wide_step(state *s, uint32_t u, uint32_t half, bool fetching) {
    xfc_emit *e = s->e;
    LLVMValueRef a[MAX_ROWS];
    for (uint32_t r = 0; r < s->micro->rows; r++)
        a[r] = broadcast(s, at_const(e, xfc_tile_at(e, s->row[r], s->i), s->a_step * u + 4 * half));
    if (fetching || halves_of(s) > 1) prefetches(s, u, half, fetching);
    for (uint32_t v = 0; v < s->n_vectors; v++) {
        LLVMValueRef b = load_vector(s, u, v, half);
        for (uint32_t r = 0; r < s->micro->rows; r++) {
            LLVMValueRef *acc = &s->acc[r * s->n_vectors + v];
            *acc = multiply_add(s, a[r], b, *acc);
        }
    }
}

/* One step, the u-th of a body, or the half of it that one multiply-add takes. */
static void step(state *s, uint32_t u, uint32_t half, bool fetching) {
    xfc_emit *e = s->e;
    uint32_t n = s->n_vectors;
    LLVMValueRef b[MAX_VECTORS];
    for (uint32_t v = 0; v < n; v++) b[v] = load_vector(s, u, v, half);
    if (fetching || halves_of(s) > 1) prefetches(s, u, half, fetching);
    for (uint32_t r = 0; r < s->micro->rows; r++) {
        LLVMValueRef at = xfc_tile_at(e, s->row[r], s->i), a = broadcast(s, at_const(e, at, s->a_step * u + 4 * half));
        if (fetching && half == 0 && r * s->shape->unroll / s->micro->rows == u)
            prefetch(e, at_const(e, at, XFC_TILE_ROW), false, NEAR);
        for (uint32_t v = 0; v < n; v++) s->acc[r * n + v] = multiply_add(s, a, b[v], s->acc[r * n + v]);
    }
}

/* Everything that a loop over k, or over its parts, carries. */
static uint32_t moving_values(state *s, bool parts, LLVMValueRef **moving) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < s->n_acc; k++) moving[n++] = &s->acc[k];
    for (uint32_t t = 0; t < s->micro->strips; t++) moving[n++] = &s->b[t];
    if (s->micro->fetch) moving[n++] = &s->fetch;
    moving[n++] = &s->i;
    if (!parts) return n;
    moving[n++] = &s->write;
    moving[n++] = &s->read;
    moving[n++] = &s->next;
    return n;
}

typedef struct {
    LLVMValueRef *moving[MAX_MOVING], before[MAX_MOVING], phi[MAX_MOVING], end;
    uint32_t n;
    LLVMBasicBlockRef pre, body, done;
} k_loop;

/* while (i < end), signed. Moving values enter and leave through s. */
static k_loop loop_begin(state *s, LLVMValueRef end, bool parts, const char *name) {
    xfc_emit *e = s->e;
    k_loop l = {.end = end, .pre = LLVMGetInsertBlock(e->b)};
    l.n = moving_values(s, parts, l.moving);
    l.body = xfc_emit_block(e, name);
    l.done = xfc_emit_block(e, "after");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, s->i, end, ""), l.body, l.done);
    LLVMPositionBuilderAtEnd(e->b, l.body);
    for (uint32_t k = 0; k < l.n; k++) {
        l.before[k] = *l.moving[k];
        *l.moving[k] = l.phi[k] = LLVMBuildPhi(e->b, LLVMTypeOf(l.before[k]), "");
    }
    return l;
}

static void loop_end(state *s, k_loop *l) {
    xfc_emit *e = s->e;
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->b), from[2] = {l->pre, last};
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, s->i, l->end, ""), l->body, l->done);
    LLVMPositionBuilderAtEnd(e->b, l->done);
    for (uint32_t k = 0; k < l->n; k++) {
        LLVMValueRef in[2] = {l->before[k], *l->moving[k]};
        LLVMAddIncoming(l->phi[k], in, from, 2);
        *l->moving[k] = LLVMBuildPhi(e->b, LLVMTypeOf(in[0]), "");
        LLVMAddIncoming(*l->moving[k], in, from, 2);
    }
}

/* for (; i < end; i += a_step * unroll) unroll steps */
static void steps(state *s, LLVMValueRef end, uint32_t unroll, const char *name) {
    xfc_emit *e = s->e;
    k_loop l = loop_begin(s, end, false, name);
    for (uint32_t u = 0; u < unroll; u++)
        for (uint32_t half = 0; half < halves_of(s); half++)
            (s->micro->strips > 1 ? wide_step : step)(s, u, half, unroll > 1);
    for (uint32_t t = 0; t < s->micro->strips; t++) s->b[t] = at_const(e, s->b[t], unroll * s->panel_row);
    if (unroll > 1) s->fetch = at_const(e, s->fetch, s->micro->fetch * XFC_TILE_LINE);
    s->i = LLVMBuildNSWAdd(e->b, s->i, xfc_emit_const(e, s->a_step * unroll), "");
    loop_end(s, &l);
}

/* The unrolled steps, i from -whole to 0, in as many parts as the block has rows. */
static void parts(state *s, LLVMValueRef whole) {
    xfc_emit *e = s->e;
    uint32_t rows = s->micro->rows, bytes = s->a_step * s->shape->unroll; /* of a row of a in one unrolled step */
    LLVMValueRef zero = xfc_emit_const(e, 0),
                 size = LLVMBuildAdd(e->b, whole, xfc_emit_const(e, (rows - 1) * bytes), "");
    size = LLVMBuildUDiv(e->b, size, xfc_emit_const(e, rows * bytes), "");
    size = LLVMBuildMul(e->b, size, xfc_emit_const(e, bytes), "");
    s->write = argument(s, XFC_MICRO_WRITE);
    s->read = argument(s, XFC_MICRO_READ);
    s->next = argument(s, XFC_MICRO_NEXT);
    k_loop l = loop_begin(s, zero, true, "part");
    for (uint32_t o = 0; o < s->micro->vectors * s->shape->vector_bytes; o += XFC_TILE_LINE) {
        prefetch(e, at_const(e, s->write, o), true, NEAR);
        prefetch(e, at_const(e, s->read, o), false, NEAR);
    }
    for (uint32_t o = 0; o < XFC_TILE_ROW; o += XFC_TILE_LINE)
        prefetch(e, at_const(e, s->next, o), false, SECOND_LEVEL);
    LLVMValueRef end[2] = {LLVMBuildNSWAdd(e->b, s->i, size, ""), zero};
    steps(s, xfc_emit_intrinsic(e, "llvm.smin", &e->i64, 1, end, 2), s->shape->unroll, "k");
    s->write = xfc_emit_offset(e, s->write, e->i8, argument(s, XFC_MICRO_WRITE_ROW));
    s->read = xfc_emit_offset(e, s->read, e->i8, argument(s, XFC_MICRO_READ_ROW));
    s->next = xfc_emit_offset(e, s->next, e->i8, argument(s, XFC_MICRO_A_ROW));
    loop_end(s, &l);
}

/* The vector of c that acc[k] belongs to. */
static LLVMValueRef c_of(const state *s, uint32_t k) {
    LLVMValueRef row = at_times(s->e, argument(s, XFC_MICRO_C), argument(s, XFC_MICRO_C_ROW), k / s->n_vectors);
    return at_const(s->e, row, k % s->n_vectors * s->shape->vector_bytes);
}

/* Accumulators start from c or from zero. (Fetching c's lines here costs 1 % when c is compact, as callers keep it.) */
static void begin(state *s) {
    xfc_emit *e = s->e;
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(e->b), xfc_emit_block(e, "add")}, body = xfc_emit_block(e, "body");
    LLVMValueRef add = LLVMBuildICmp(e->b, LLVMIntNE, argument(s, XFC_MICRO_ADD), xfc_emit_const(e, 0), "");
    LLVMBuildCondBr(e->b, add, from[1], body);
    LLVMPositionBuilderAtEnd(e->b, from[1]);
    for (uint32_t k = 0; k < s->n_acc; k++) s->acc[k] = load(e, s->vector, c_of(s, k), 4);
    LLVMBuildBr(e->b, body);
    LLVMPositionBuilderAtEnd(e->b, body);
    for (uint32_t k = 0; k < s->n_acc; k++) {
        LLVMValueRef in[2] = {LLVMConstNull(s->vector), s->acc[k]};
        s->acc[k] = LLVMBuildPhi(e->b, s->vector, "");
        LLVMAddIncoming(s->acc[k], in, from, 2);
    }
}

static void body(state *s) {
    xfc_emit *e = s->e;
    LLVMPositionBuilderAtEnd(e->b, xfc_emit_block(e, "entry"));
    for (uint32_t t = 0; t < s->micro->strips; t++)
        s->b[t] = at_times(e, argument(s, XFC_MICRO_B), argument(s, XFC_MICRO_STRIP), t);
    s->fetch = argument(s, XFC_MICRO_FETCH);
    LLVMValueRef zero = xfc_emit_const(e, 0),
                 bytes = LLVMBuildMul(e->b, argument(s, XFC_MICRO_DEPTH), xfc_emit_const(e, s->a_step), "");
    LLVMValueRef whole = LLVMBuildAnd(e->b, bytes, xfc_emit_const(e, -(int64_t)(s->a_step * s->shape->unroll)), "");
    LLVMValueRef a =
        xfc_tile_at(e, argument(s, XFC_MICRO_A), whole); /* i runs from -whole to 0: no register for the limit */
    for (uint32_t r = 0; r < s->micro->rows; r++) s->row[r] = at_times(e, a, argument(s, XFC_MICRO_A_ROW), r);
    s->i = LLVMBuildSub(e->b, zero, whole, "");
    begin(s);
    parts(s, whole);
    for (uint32_t r = 0; r < s->micro->rows; r++)
        s->row[r] = at_times(e, argument(s, XFC_MICRO_A), argument(s, XFC_MICRO_A_ROW), r);
    s->i = whole;
    steps(s, bytes, 1, "rest");
    for (uint32_t k = 0; k < s->n_acc; k++) LLVMSetAlignment(LLVMBuildStore(e->b, s->acc[k], c_of(s, k)), 4);
    LLVMBuildRetVoid(e->b);
}

LLVMValueRef xfc_emit_micro(xfc_emit *e, const xfc_tile_shape *shape, const xfc_micro *m) {
    uint32_t columns = m->vectors * m->strips;
    xfc_assert(m->rows <= MAX_ROWS && m->rows * columns <= MAX_ACC && columns <= MAX_VECTORS &&
               m->strips <= MAX_STRIPS);
    const char *name = xfc_sprintf(e->arena, "xf_tile_%ux%ux%u_%u%s%s", m->rows, m->vectors, m->strips, m->fetch,
                                   shape->b == XFC_F32 ? "" : "_", shape->b == XFC_F32 ? "" : xfc_dtype_name(shape->b));
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMValueRef outer = e->fn;
    state s = {.e = e, .shape = shape, .micro = m, .n_acc = m->rows * columns, .n_vectors = columns};
    s.a_step = xfc_tile_a_step(shape);
    s.b_step = xfc_tile_b_step(shape);
    s.panel_row = xfc_tile_panel_row(shape);
    s.vector = LLVMVectorType(e->f32, lanes_of(&s));
    s.fn = e->fn = xfc_emit_function(e, name, xfc_micro_type(e));
    xfc_emit_fn_enum(e, s.fn, "noinline");
    body(&s);
    e->fn = outer;
    if (before) LLVMPositionBuilderAtEnd(e->b, before);
    return s.fn;
}

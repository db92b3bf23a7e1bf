/* tile.c - the parameterised contraction generator: c[i, j] = sum_k a[i, k] * b[k, j], b in panels of 48 columns.
 *
 * Idea: every tile step of a module calls one function, whose loops are blocks of k, strips of columns, blocks of rows;
 * the innermost body is a micro-kernel (tile_kernel.c) from a table (tile_table.c). Where something follows complete
 * rows, the loops are three functions that share a state, and the kernel holds but the one over the blocks of rows of
 * the last strip. So code is shared by all shapes, and depends on no model: that of a link is made when xfc is built
 * (make_tiles.c). All sizes are run-time values: rows split evenly
 * (128 = 16 x 8, 9 = 5 + 4), no masks, no tiny remainders; the last strip uses kernels of fewer vectors.
 * Blocks of k keep the rows of a in the second-level cache; c carries the sums between them, so the chain over k
 * stays one.
 * Few rows are sooner done than a panel comes from memory, so what counts is that it comes once, in order: they take two
 * strips at a time, in smaller blocks of rows, and blocks of k are so short that what the first of these has read is in
 * the first-level cache for the others.
 *
 * Prefetch: while a panel is used, the one after it is brought into the second-level cache, a share by every block of
 * rows: the fewer blocks, the more lines a step of k. Blocks whose share would lie beyond the panel use
 * kernels without. A panel that is used once streams through: then b is prefetched far ahead of its loads instead.
 * Every block also fetches what follows it: the lines that the work on its rows will touch, and the start of the next
 * block's rows of a (tile_kernel.c).
 * Invariant: the bits of an element of c depend on its row of a, its column of b and depth alone.
 * Callers keep c compact: stores into rows far apart cost up to 10 %.
 */
#include "backends/llvm/tile.h"
#include <string.h>

enum { K_BLOCK = 1024, FEW_K_BLOCK = 64 };

/* Values of the loops, in the order of a state. First what a driver is told; distances and counts in elements, the depth in
 * steps. */
enum {
    A,
    A_ROW,
    B,
    C,
    C_ROW,
    ROWS,
    DEPTH,
    COLUMNS,
    APART,
    N_ARGS,
    PLACES = N_ARGS, /* a place for each block of rows */
    /* fixed for the call, distances in bytes */
    A_STEP,      /* of rows of a */
    C_STEP,      /* of rows of c */
    PANEL_BYTES, /* of panels */
    PANELS,
    AHEAD,
    FEW, /* rows are */
    BLOCKS,
    BASE, /* the first EXTRA blocks of rows have BASE + 1 rows, the others BASE */
    EXTRA,
    FETCHING, /* table and lines of the level that fits the number of blocks */
    LINES,
    STRIPS, /* the number of them, pairs as one */
    PAIRS,
    /* the block of k: its first step, its steps */
    K0,
    K_STEPS,
    /* the strip, or pair of strips */
    INDEX,
    PAIR,     /* is it one? */
    STRIP_B,  /* where its columns begin in b */
    NEXT,     /* what of b is used after it */
    PLAIN,    /* its table of kernels without fetches */
    LIMIT,    /* bytes of NEXT that are worth fetching */
    SHARE,    /* of those, for each block of rows */
    SECOND,   /* from a strip to the other of the pair */
    IN_PANEL, /* strips of the panel before it */
    N_VALUES
};

/* What follows complete rows, as memory tells it: fields of a place. */
enum { PLACE_ROW /* the block's first */, PLACE_WRITE, PLACE_WRITE_ROW, PLACE_READ, PLACE_READ_ROW, PLACE_FIELDS };

/* Functions that walk a product, and share a state where they are parts of one. */
enum {
    WHOLE, /* (arguments): all of it */
    START, /* (state): splits the rows, says in PLACES where blocks begin; the number of blocks that there will be */
    MOST,  /* (state): all but the last strip of the last block of k */
    BLOCK, /* (state, number): a block of rows of that strip; its rows are then complete */
    N_DRIVERS
};

typedef struct { /* of a module, or of all objects of a link */
    xfc_tile_tables of;
    LLVMValueRef fn[N_DRIVERS]; /* NULL until one is called */
} tables;

typedef struct {
    xfc_emit *e;
    const xfc_tile_shape *s;
    const tables *t;
    LLVMValueRef v[N_VALUES];
    uint32_t strip, per_panel;          /* columns of a strip, strips of a panel */
    uint32_t a_step, b_step, panel_row; /* bytes of a step (tile.h) */
} driver;

static LLVMValueRef num(const driver *d, int64_t v) { return xfc_emit_const(d->e, v); }
static LLVMValueRef add(const driver *d, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildAdd(d->e->b, a, b, ""); }
static LLVMValueRef sub(const driver *d, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildSub(d->e->b, a, b, ""); }
static LLVMValueRef mul(const driver *d, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildMul(d->e->b, a, b, ""); }
static LLVMValueRef times(const driver *d, LLVMValueRef a, int64_t k) { return mul(d, a, num(d, k)); }
static LLVMValueRef over(const driver *d, LLVMValueRef a, int64_t k) {
    return LLVMBuildUDiv(d->e->b, a, num(d, k), "");
}
static LLVMValueRef ceil_over(const driver *d, LLVMValueRef a, int64_t k) {
    return over(d, add(d, a, num(d, k - 1)), k);
}
static LLVMValueRef less(const driver *d, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(d->e->b, LLVMIntULT, a, b, "");
}
static LLVMValueRef equal(const driver *d, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(d->e->b, LLVMIntEQ, a, b, "");
}
static LLVMValueRef pick(const driver *d, LLVMValueRef c, LLVMValueRef yes, LLVMValueRef no) {
    return LLVMBuildSelect(d->e->b, c, yes, no, "");
}
static LLVMValueRef min(const driver *d, LLVMValueRef a, LLVMValueRef b) { return pick(d, less(d, a, b), a, b); }

/* --- the loops --- */

/* Row `row` of a at the block of k. */
static LLVMValueRef a_at(const driver *d, LLVMValueRef row) {
    LLVMValueRef first = xfc_tile_at(d->e, d->v[A], times(d, d->v[K0], d->a_step));
    return xfc_tile_at(d->e, first, mul(d, row, d->v[A_STEP]));
}

static LLVMTypeRef type_of(const driver *d, uint32_t value) {
    switch (value) {
    case A:
    case B:
    case C:
    case PLACES:
    case FETCHING:
    case STRIP_B:
    case NEXT:
    case PLAIN: return d->e->ptr;
    case FEW:
    case PAIR: return d->e->i1;
    default: return d->e->i64;
    }
}

/* Values from `from` up to `end`, in a state. */
static void save(const driver *d, LLVMValueRef state, uint32_t from, uint32_t end) {
    for (uint32_t i = from; i < end; i++)
        LLVMBuildStore(d->e->b, d->v[i], xfc_emit_offset(d->e, state, d->e->i64, num(d, i)));
}
static void load(driver *d, LLVMValueRef state, uint32_t from, uint32_t end) {
    for (uint32_t i = from; i < end; i++)
        d->v[i] = LLVMBuildLoad2(d->e->b, type_of(d, i), xfc_emit_offset(d->e, state, d->e->i64, num(d, i)), "");
}

static LLVMValueRef place_field(xfc_emit *e, LLVMValueRef places, LLVMValueRef block, uint32_t field) {
    LLVMValueRef at = LLVMBuildMul(e->b, block, xfc_emit_const(e, PLACE_FIELDS), "");
    return xfc_emit_offset(e, places, e->i64, LLVMBuildAdd(e->b, at, xfc_emit_const(e, field), ""));
}
static LLVMValueRef load_place(xfc_emit *e, LLVMTypeRef type, LLVMValueRef places, LLVMValueRef block, uint32_t field) {
    return LLVMBuildLoad2(e->b, type, place_field(e, places, block, field), "");
}

/* What is touched behind block `block`, whose row 0 of this strip is c, unless PLACES tells. */
static void touched(const driver *d, LLVMValueRef block, LLVMValueRef offset, LLVMValueRef c, LLVMValueRef *args) {
    LLVMValueRef places = d->v[PLACES];
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t at = i ? XFC_MICRO_READ : XFC_MICRO_WRITE, row = i ? XFC_MICRO_READ_ROW : XFC_MICRO_WRITE_ROW;
        args[at] = c, args[row] = d->v[C_STEP];
        if (!places) continue;
        const uint32_t field = i ? PLACE_READ : PLACE_WRITE;
        args[at] = xfc_tile_at(d->e, load_place(d->e, d->e->ptr, places, block, field), offset);
        args[row] = load_place(d->e, d->e->i64, places, block, field + 1);
    }
}

/* The rows that the block behind row `end` reads: the first ones of the next block of k at the end of this one; at
 * the very end what follows. */
static LLVMValueRef next_rows(const driver *d, LLVMValueRef end) {
    LLVMValueRef k_next = add(d, d->v[K0], d->v[K_STEPS]), more = less(d, k_next, d->v[DEPTH]);
    LLVMValueRef turn = LLVMBuildAnd(d->e->b, more, equal(d, end, d->v[ROWS]), "");
    LLVMValueRef next = xfc_tile_at(d->e, d->v[A], times(d, k_next, d->a_step));
    return pick(d, turn, next, a_at(d, end));
}

static LLVMValueRef first_row(const driver *d, LLVMValueRef block) {
    return add(d, mul(d, block, d->v[BASE]), min(d, block, d->v[EXTRA]));
}

/* A micro-kernel on the rows of a block, in the strip at hand. */
static void emit_block(const driver *d, LLVMValueRef block) {
    xfc_emit *e = d->e;
    LLVMValueRef row = first_row(d, block);
    LLVMValueRef last =
        pick(d, less(d, block, d->v[EXTRA]), d->v[BASE], sub(d, d->v[BASE], num(d, 1))); /* rows of the block - 1 */
    LLVMValueRef from = mul(d, d->v[SHARE], add(d, block, mul(d, d->v[IN_PANEL], d->v[BLOCKS])));
    LLVMValueRef single = pick(d, less(d, from, d->v[LIMIT]), d->v[FETCHING], d->v[PLAIN]);
    LLVMValueRef kernels = pick(d, d->v[PAIR], d->t->of.wide, single);
    LLVMValueRef offset = times(d, d->v[INDEX], d->strip * 4),
                 c = xfc_tile_at(e, xfc_tile_at(e, d->v[C], offset), mul(d, row, d->v[C_STEP]));
    LLVMValueRef args[XFC_MICRO_ARGS] = {[XFC_MICRO_A] = a_at(d, row),
                                         [XFC_MICRO_A_ROW] = d->v[A_STEP],
                                         [XFC_MICRO_B] = d->v[STRIP_B],
                                         [XFC_MICRO_C] = c,
                                         [XFC_MICRO_C_ROW] = d->v[C_STEP],
                                         [XFC_MICRO_DEPTH] = d->v[K_STEPS],
                                         [XFC_MICRO_ADD] = d->v[K0],
                                         [XFC_MICRO_FETCH] = xfc_tile_at(e, d->v[NEXT], from),
                                         [XFC_MICRO_AHEAD] = d->v[AHEAD],
                                         [XFC_MICRO_STRIP] = d->v[SECOND],
                                         [XFC_MICRO_NEXT] = next_rows(d, add(d, row, add(d, last, num(d, 1))))};
    touched(d, block, offset, c, args);
    LLVMValueRef fn = LLVMBuildLoad2(e->b, e->ptr, LLVMBuildInBoundsGEP2(e->b, e->ptr, kernels, &last, 1, ""), "");
    LLVMBuildCall2(e->b, xfc_micro_type(e), fn, args, XFC_MICRO_ARGS, "");
}

static void emit_blocks(const driver *d) {
    xfc_loop t = xfc_emit_loop_begin(d->e, num(d, 0), d->v[BLOCKS], 1, "block");
    emit_block(d, t.i);
    xfc_emit_loop_end(d->e, &t);
}

/* The part of b that is used after a strip of the panel at `offset`: the same steps of k one panel on; after
 * the last panel the next steps in the first one; at the very end what follows this b, which is the next group of
 * panels if there is one. */
static LLVMValueRef next_part(const driver *d, LLVMValueRef panel, LLVMValueRef offset) {
    LLVMValueRef k_next = add(d, d->v[K0], d->v[K_STEPS]), after = add(d, panel, num(d, 1));
    LLVMValueRef turn =
        pick(d, equal(d, k_next, d->v[DEPTH]), mul(d, after, d->v[PANEL_BYTES]), times(d, k_next, d->panel_row));
    LLVMValueRef is_last = equal(d, after, d->v[PANELS]);
    return xfc_tile_at(d->e, d->v[B], pick(d, is_last, turn, add(d, offset, d->v[PANEL_BYTES])));
}

/* The values of strip number `i`: of few rows the first ones are pairs. */
static void set_strip(driver *d, LLVMValueRef i) {
    xfc_emit *e = d->e;
    uint32_t per_panel = d->per_panel, lanes = d->s->vector_bytes / 4, strip_bytes = d->strip * d->b_step;
    LLVMValueRef index = d->v[INDEX] = add(d, i, min(d, i, d->v[PAIRS]));
    d->v[PAIR] = less(d, i, d->v[PAIRS]);
    LLVMValueRef left = sub(d, d->v[COLUMNS], times(d, index, d->strip));
    LLVMValueRef vectors = min(d, num(d, d->s->vectors), ceil_over(d, left, lanes));
    LLVMValueRef panel = over(d, index, per_panel), in_panel = sub(d, index, times(d, panel, per_panel));
    LLVMValueRef offset = add(d, mul(d, panel, d->v[PANEL_BYTES]), times(d, d->v[K0], d->panel_row));
    d->v[IN_PANEL] = in_panel;
    d->v[STRIP_B] = xfc_tile_at(e, d->v[B], add(d, offset, times(d, in_panel, strip_bytes)));
    d->v[NEXT] = next_part(d, panel, offset);
    d->v[PLAIN] = xfc_tile_at(e, d->t->of.partial, times(d, sub(d, vectors, num(d, 1)), 8 * (int64_t)d->s->rows));
    LLVMValueRef whole = equal(d, vectors, num(d, d->s->vectors));
    d->v[LIMIT] = pick(d, whole, times(d, d->v[K_STEPS], d->panel_row), num(d, 0));
    d->v[SHARE] = mul(d, over(d, d->v[K_STEPS], d->s->unroll), times(d, d->v[LINES], XFC_TILE_LINE));
    LLVMValueRef second = num(d, strip_bytes); /* from the last strip of a panel to the first one of the next */
    if (per_panel % 2)
        second = pick(d, equal(d, in_panel, num(d, per_panel - 1)),
                      sub(d, d->v[PANEL_BYTES], num(d, (int64_t)(per_panel - 1) * strip_bytes)), second);
    d->v[SECOND] = second;
}

/* How rows and columns are split: fixed for the call. */
static void prepare(driver *d) {
    LLVMValueRef one = num(d, 1), zero = num(d, 0),
                 few = d->v[FEW] = less(d, d->v[ROWS], num(d, xfc_tile_few_rows(d->s) + 1));
    LLVMValueRef most = pick(d, few, num(d, xfc_tile_wide_rows(d->s)), num(d, d->s->rows));
    d->v[A_STEP] = times(d, d->v[A_ROW], d->a_step / d->s->group);
    d->v[C_STEP] = times(d, d->v[C_ROW], 4);
    d->v[PANEL_BYTES] = times(d, d->v[APART], d->b_step / d->s->group);
    d->v[PANELS] = ceil_over(d, d->v[COLUMNS], XFC_PANEL);
    LLVMValueRef blocks = d->v[BLOCKS] = LLVMBuildUDiv(d->e->b, add(d, d->v[ROWS], sub(d, most, one)), most, "");
    LLVMValueRef divisor = pick(d, equal(d, blocks, zero), one, blocks);
    d->v[BASE] = LLVMBuildUDiv(d->e->b, d->v[ROWS], divisor, "");
    d->v[EXTRA] = LLVMBuildURem(d->e->b, d->v[ROWS], divisor, "");
    LLVMValueRef uses = pick(d, few, one, times(d, blocks, d->per_panel));
    d->v[AHEAD] = pick(d, equal(d, uses, one), num(d, XFC_TILE_FAR), num(d, XFC_TILE_NEAR));
    d->v[FETCHING] = d->t->of.full[0];
    d->v[LINES] = zero;
    for (uint32_t l = XFC_TILE_LEVELS - 1; l > 0; l--) { /* level_for at run time */
        uint32_t covers =
            l == XFC_TILE_LEVELS - 1 ? 1 : (xfc_tile_lines(d->s) + xfc_tile_fetches[l] - 1) / xfc_tile_fetches[l] - 1;
        LLVMValueRef fits = less(d, num(d, covers), uses);
        d->v[FETCHING] = pick(d, fits, d->t->of.full[l], d->v[FETCHING]);
        d->v[LINES] = pick(d, fits, num(d, xfc_tile_fetches[l]), d->v[LINES]);
    }
    d->v[PAIRS] = pick(d, few, over(d, d->v[COLUMNS], 2 * (int64_t)d->strip), zero);
    d->v[STRIPS] = sub(d, ceil_over(d, d->v[COLUMNS], d->strip), d->v[PAIRS]);
}

/* All blocks of all strips, or all but those of the last strip of the last block of k. */
static void emit_loops(driver *d, bool most) {
    xfc_emit *e = d->e;
    LLVMValueRef depth = d->v[DEPTH], one = num(d, 1), block = num(d, K_BLOCK / d->s->group);
    if (xfc_tile_few_rows(d->s) > 1) block = pick(d, d->v[FEW], num(d, FEW_K_BLOCK / d->s->group), block);
    LLVMValueRef blocks = LLVMBuildUDiv(e->b, add(d, depth, sub(d, block, one)), block, ""),
                 n_blocks = pick(d, equal(d, blocks, num(d, 0)), one, blocks);
    LLVMValueRef even = LLVMBuildUDiv(e->b, add(d, depth, sub(d, n_blocks, one)), n_blocks, "");
    LLVMValueRef size = times(d, ceil_over(d, even, d->s->unroll), d->s->unroll);
    xfc_loop k = xfc_emit_loop_begin(e, num(d, 0), n_blocks, 1, "depth"); /* also once for depth 0: c becomes zero */
    d->v[K0] = mul(d, k.i, size);
    d->v[K_STEPS] = min(d, size, sub(d, depth, d->v[K0]));
    LLVMValueRef n = d->v[STRIPS];
    if (most) n = sub(d, n, pick(d, equal(d, k.i, sub(d, n_blocks, one)), one, num(d, 0)));
    xfc_loop l = xfc_emit_loop_begin(e, num(d, 0), n, 1, "strip");
    set_strip(d, l.i);
    emit_blocks(d);
    xfc_emit_loop_end(e, &l);
    xfc_emit_loop_end(e, &k);
    d->v[K0] = mul(d, sub(d, n_blocks, one), size);
    d->v[K_STEPS] = sub(d, depth, d->v[K0]);
}

/* --- drivers --- */

static LLVMTypeRef driver_type(xfc_emit *e, uint32_t which) {
    LLVMTypeRef t[N_ARGS];
    for (unsigned i = 0; i < N_ARGS; i++) t[i] = i == A || i == B || i == C ? e->ptr : e->i64;
    const LLVMTypeRef of_state[2] = {e->ptr, e->i64};
    if (which == WHOLE) return LLVMFunctionType(e->none, t, N_ARGS, false);
    return LLVMFunctionType(which == START ? e->i64 : e->none, (LLVMTypeRef *)of_state, which == BLOCK ? 2 : 1, false);
}

static driver new_driver(xfc_emit *e, const xfc_tile_shape *s, const tables *t) {
    driver d = {.e = e, .s = s, .t = t, .strip = s->vectors * s->vector_bytes / 4};
    d.per_panel = XFC_PANEL / d.strip;
    d.a_step = xfc_tile_a_step(s);
    d.b_step = xfc_tile_b_step(s);
    d.panel_row = xfc_tile_panel_row(s);
    return d;
}

static void emit_whole(driver *d, LLVMValueRef fn) {
    for (unsigned i = 0; i < N_ARGS; i++) d->v[i] = LLVMGetParam(fn, i);
    prepare(d);
    emit_loops(d, false);
    LLVMBuildRetVoid(d->e->b);
}

static void emit_start(driver *d, LLVMValueRef state) {
    xfc_emit *e = d->e;
    load(d, state, 0, A_STEP);
    prepare(d);
    save(d, state, A_STEP, K0);
    /* also where there would be one more, whose first row is the end */
    xfc_loop t = xfc_emit_loop_begin(e, num(d, 0), add(d, d->v[BLOCKS], num(d, 1)), 1, "block");
    LLVMBuildStore(e->b, first_row(d, t.i), place_field(e, d->v[PLACES], t.i, PLACE_ROW));
    xfc_emit_loop_end(e, &t);
    LLVMValueRef none = num(d, 0); /* without columns nothing is ever complete */
    LLVMBuildRet(e->b, pick(d, equal(d, d->v[COLUMNS], none), none, d->v[BLOCKS]));
}

static void emit_most(driver *d, LLVMValueRef state) {
    load(d, state, 0, K0);
    emit_loops(d, true);
    set_strip(d, sub(d, d->v[STRIPS], num(d, 1)));
    save(d, state, K0, N_VALUES);
    LLVMBuildRetVoid(d->e->b);
}

static LLVMValueRef make_driver(xfc_emit *e, const xfc_tile_shape *s, const tables *t, uint32_t which) {
    static const char *const name[N_DRIVERS] = {"xf_contract", "xf_contract_start", "xf_contract_most",
                                                "xf_contract_block"};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMValueRef outer = e->fn, fn = xfc_emit_function(e, name[which], driver_type(e, which));
    xfc_emit_fn_enum(e, fn, "noinline");
    driver d = new_driver(e, s, t);
    e->fn = fn;
    LLVMPositionBuilderAtEnd(e->b, xfc_emit_block(e, "entry"));
    if (which == WHOLE) {
        emit_whole(&d, fn);
    } else if (which == START) {
        emit_start(&d, LLVMGetParam(fn, 0));
    } else if (which == MOST) {
        emit_most(&d, LLVMGetParam(fn, 0));
    } else {
        load(&d, LLVMGetParam(fn, 0), 0, N_VALUES);
        emit_block(&d, LLVMGetParam(fn, 1));
        LLVMBuildRetVoid(e->b);
    }
    e->fn = outer;
    if (before) LLVMPositionBuilderAtEnd(e->b, before);
    return fn;
}

static LLVMValueRef call_driver(xfc_emit *e, const xfc_tile_shape *s, tables *t, uint32_t which, LLVMValueRef *args) {
    const LLVMTypeRef type = driver_type(e, which);
    if (!t->fn[which]) t->fn[which] = make_driver(e, s, t, which);
    return LLVMBuildCall2(e->b, type, t->fn[which], args, LLVMCountParamTypes(type), "");
}

/* a, of f32 now, in its room. The distance of rows is no multiple of 4096 bytes, or they would fall into one set of the
 * first-level cache. */
static void widen(xfc_emit *e, const xfc_tile_shape *s, xfc_tile_values *v) {
    const uint32_t lanes = s->vector_bytes / 4;
    LLVMValueRef zero = xfc_emit_const(e, 0), row = LLVMBuildAdd(e->b, v->depth, xfc_emit_const(e, XFC_TILE_ROOM), "");
    LLVMValueRef whole = LLVMBuildAnd(e->b, v->depth, xfc_emit_const(e, -(int64_t)lanes), "");
    xfc_loop r = xfc_emit_loop_begin(e, zero, v->rows, 1, "widen");
    LLVMValueRef from = LLVMBuildMul(e->b, r.i, v->a_row, ""), to = LLVMBuildMul(e->b, r.i, row, "");
    for (uint32_t step = lanes;; step = 1) {
        LLVMTypeRef memory = xfc_emit_mem_type(e, s->a), type = step > 1 ? LLVMVectorType(memory, step) : memory;
        xfc_loop k = xfc_emit_loop_begin(e, step > 1 ? zero : whole, step > 1 ? whole : v->depth, step, "widen");
        LLVMValueRef at = xfc_emit_offset(e, v->a, memory, LLVMBuildAdd(e->b, from, k.i, ""));
        LLVMValueRef x = LLVMBuildLoad2(e->b, type, at, "");
        LLVMSetAlignment(x, xfc_dtype_bytes(s->a));
        at = xfc_emit_offset(e, v->room, e->f32, LLVMBuildAdd(e->b, to, k.i, ""));
        LLVMSetAlignment(LLVMBuildStore(e->b, xfc_emit_from_memory(e, s->a, x), at), 4);
        xfc_emit_loop_end(e, &k);
        if (step == 1) break;
    }
    xfc_emit_loop_end(e, &r);
    v->a = v->room;
    v->a_row = row;
}

/* --- tiles of a link --- */

static const char *shared_name(xfc_emit *e, const xfc_tile_shape *s, const char *what) {
    char *name =
        xfc_sprintf(e->arena, "xf_%s_%s_%s_%s", what, xfc_dtype_name(s->a), xfc_dtype_name(s->b), e->target->isa);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    return name;
}

/* By these names objects find what one of them defines; what is not there is declared. */
static void share(xfc_emit *e, const xfc_tile_shape *s, tables *t) {
    const struct {
        const char *what;
        LLVMValueRef *value;
        LLVMTypeRef function; /* NULL: a table */
    } all[] = {{"tiles_0", &t->of.full[0], NULL},
               {"tiles_1", &t->of.full[1], NULL},
               {"tiles_2", &t->of.full[2], NULL},
               {"tiles_3", &t->of.full[3], NULL},
               {"tiles_last", &t->of.partial, NULL},
               {"tile_wide", &t->of.wide, xfc_micro_type(e)},
               {"contract", &t->fn[WHOLE], driver_type(e, WHOLE)},
               {"contract_start", &t->fn[START], driver_type(e, START)},
               {"contract_most", &t->fn[MOST], driver_type(e, MOST)},
               {"contract_block", &t->fn[BLOCK], driver_type(e, BLOCK)}};
    for (uint32_t i = 0; i < XFC_COUNT(all); i++) {
        const char *name = shared_name(e, s, all[i].what);
        if (*all[i].value)
            LLVMSetValueName2(*all[i].value, name, strlen(name));
        else if (all[i].function)
            *all[i].value = LLVMAddFunction(e->module, name, all[i].function);
        else
            *all[i].value = LLVMAddGlobal(e->module, e->ptr, name);
        xfc_emit_share(*all[i].value);
    }
}

xfc_status xfc_emit_tiles(xfc_ctx *ctx, const xfc_target *target, const xfc_contract *type, xfc_blob *out) {
    const xfc_tile_shape *s = xfc_tile_for(target, type);
    xfc_emit e;
    *out = (xfc_blob){0};
    xfc_status status = xfc_emit_begin(&e, ctx, target, 2, "tiles");
    if (status == XFC_OK) {
        tables *t = xfc_new(e.arena, tables);
        xfc_tile_make_tables(&e, s, &t->of);
        for (uint32_t i = 0; i < N_DRIVERS; i++) t->fn[i] = make_driver(&e, s, t, i);
        share(&e, s, t);
        status = xfc_emit_finish(&e, "obj", out);
    }
    xfc_emit_end(&e);
    return status;
}

static tables *tables_of(xfc_emit *e, const xfc_tile_shape *s) {
    tables *t = xfc_map_get_ptr(&e->tiles, s);
    if (t) return t;
    t = xfc_new(e->arena, tables);
    if (e->linked)
        share(e, s, t);
    else
        xfc_tile_make_tables(e, s, &t->of);
    xfc_map_set_ptr(&e->tiles, s, t);
    return t;
}

/* Which of its rows the work behind a block touches: a place of PLACES. */
static void fill_place(const driver *d, const xfc_tile_follow *f, LLVMValueRef block) {
    xfc_emit *e = d->e;
    LLVMValueRef places = d->v[PLACES], row = load_place(e, e->i64, places, block, PLACE_ROW), write[2], read[2];
    write[0] = f->place(e, f->user, true, row);
    if (write[0]) {
        write[1] = f->place(e, f->user, true, add(d, row, num(d, 1)));
    } else {
        LLVMValueRef c_step = times(d, d->v[C_ROW], 4);
        write[0] = xfc_tile_at(e, d->v[C], mul(d, row, c_step));
        write[1] = xfc_tile_at(e, write[0], c_step);
    }
    read[0] = f->place(e, f->user, false, row);
    read[1] = read[0] ? f->place(e, f->user, false, add(d, row, num(d, 1))) : write[1];
    if (!read[0]) read[0] = write[0];
    for (uint32_t i = 0; i < 2; i++) {
        LLVMValueRef *at = i ? read : write;
        const uint32_t field = i ? PLACE_READ : PLACE_WRITE;
        LLVMValueRef apart =
            sub(d, LLVMBuildPtrToInt(e->b, at[1], e->i64, ""), LLVMBuildPtrToInt(e->b, at[0], e->i64, ""));
        LLVMBuildStore(e->b, at[0], place_field(e, places, block, field));
        LLVMBuildStore(e->b, apart, place_field(e, places, block, field + 1));
    }
}

/* Blocks that so many rows are split in, at most, and the end. */
static uint32_t most_places(const xfc_tile_shape *s, uint32_t rows) {
    uint32_t few = (xfc_tile_few_rows(s) + xfc_tile_wide_rows(s) - 1) / xfc_tile_wide_rows(s),
             blocks = (rows + s->rows - 1) / s->rows;
    return (few > blocks ? few : blocks) + 1;
}

/* The last strip is done block by block, and behind each of them what follows. */
static xfc_status emit_followed(xfc_emit *e, const xfc_tile_shape *s, tables *t, LLVMValueRef *args,
                                const xfc_tile_follow *f) {
    driver d = new_driver(e, s, t);
    LLVMTypeRef of_places = LLVMArrayType2(e->i64, (uint64_t)PLACE_FIELDS * most_places(s, f->most));
    LLVMValueRef state = xfc_emit_alloca(e, LLVMArrayType2(e->i64, N_VALUES), 8, "state");
    memcpy(d.v, args, N_ARGS * sizeof *args);
    d.v[PLACES] = xfc_emit_alloca(e, of_places, 8, "places");
    save(&d, state, 0, PLACES + 1);
    LLVMValueRef n = call_driver(e, s, t, START, &state);
    xfc_loop p = xfc_emit_loop_begin(e, num(&d, 0), n, 1, "place");
    fill_place(&d, f, p.i);
    xfc_emit_loop_end(e, &p);
    call_driver(e, s, t, MOST, &state);
    xfc_loop b = xfc_emit_loop_begin(e, num(&d, 0), n, 1, "rows");
    call_driver(e, s, t, BLOCK, (LLVMValueRef[]){state, b.i});
    LLVMValueRef first = load_place(e, e->i64, d.v[PLACES], b.i, PLACE_ROW),
                 end = load_place(e, e->i64, d.v[PLACES], add(&d, b.i, num(&d, 1)), PLACE_ROW);
    xfc_status status = f->rows(e, f->user, first, end);
    xfc_emit_loop_end(e, &b);
    return status;
}

xfc_status xfc_emit_tile(xfc_emit *e, const xfc_tile_values *tile, const xfc_tile_follow *follow) {
    const xfc_tile_shape *s = xfc_tile_for(e->target, &tile->type);
    xfc_tile_values values = *tile, *v = &values;
    xfc_assert(s); /* what has no tiles gets plain nests */
    tables *t = tables_of(e, s);
    if (xfc_tile_widens(s)) widen(e, s, v);
    LLVMValueRef steps = LLVMBuildUDiv(e->b, v->depth, xfc_emit_const(e, s->group), "");
    LLVMValueRef args[N_ARGS] = {v->a, v->a_row, v->b, v->c, v->c_row, v->rows, steps, v->columns, v->apart};
    if (!v->apart) args[APART] = LLVMBuildMul(e->b, v->depth, xfc_emit_const(e, XFC_PANEL), "");
    if (follow) return emit_followed(e, s, t, args, follow);
    call_driver(e, s, t, WHOLE, args);
    return XFC_OK;
}

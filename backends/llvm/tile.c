/* tile.c - the parameterised contraction generator: c[i, j] = sum_k a[i, k] * b[k, j], b in panels of 48 columns.
 *
 * Idea: every tile step of a module calls one function (or has the same loops in place, when something follows complete
 * rows), whose loops are blocks of k, strips of columns, blocks of rows; the innermost body is a micro-kernel
 * (tile_kernel.c) from a table. So code is shared by all shapes, and depends on no model: that of a link is made when xfc
 * is built (make_tiles.c). All sizes are run-time values: rows split evenly
 * (128 = 16 x 8, 9 = 5 + 4), no masks, no tiny remainders; the last strip uses kernels of fewer vectors.
 * Blocks of k keep the rows of a in the second-level cache; c carries the sums between them, so the chain over k
 * stays one.
 * Few rows are sooner done than a panel comes from memory, so what counts is that it comes once, in order: they take two
 * strips at a time, in smaller blocks of rows, and blocks of k are so short that what the first of these has read is in
 * the first-level cache for the others.
 *
 * Prefetch: while a panel is used, the one after it is brought into the second-level cache, a share by every block of
 * rows: the fewer blocks, the more lines a step of k (`levels`). Blocks whose share would lie beyond the panel use
 * kernels without. A panel that is used once streams through: then b is prefetched far ahead of its loads instead.
 * Every block also fetches what follows it: the lines that the work on its rows will touch, and the start of the next
 * block's rows of a (tile_kernel.c).
 * Invariant: the bits of an element of c depend on its row of a, its column of b and depth alone.
 * Callers keep c compact: stores into rows far apart cost up to 10 %.
 */
#include "backends/llvm/tile.h"
#include <string.h>

enum { K_BLOCK = 1024, MAX_ROWS = 16 };
enum { FEW_ROWS = 16 /* of f32 */, FEW_K_BLOCK = 64 };
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
    N_ARGS
}; /* of the driver; distances and counts in elements, the depth in steps */

static const uint32_t levels[] = {0, 1, 3, 6}; /* lines of the next panel a kernel fetches per unrolled step */
enum { N_LEVELS = XFC_COUNT(levels) };

typedef struct {                 /* of a module, or of all objects of a link */
    LLVMValueRef full[N_LEVELS]; /* tables by rows of kernels for whole strips */
    LLVMValueRef partial;        /* the same for the last strip: [vectors - 1][rows - 1] */
    LLVMValueRef wide;           /* kernels of two strips, by rows */
    LLVMValueRef fn;             /* the shared driver; NULL until it is called */
} tables;

typedef struct {
    xfc_emit *e;
    const xfc_tile_shape *s;
    const tables *t;
    LLVMValueRef arg[N_ARGS];
    const xfc_tile_follow *follow; /* or NULL */
    xfc_status status;
    LLVMValueRef a_row, c_row, panel_bytes; /* bytes */
    LLVMValueRef panels, ahead, few;        /* few: rows are */
    LLVMValueRef blocks, base, extra;       /* the first `extra` blocks of rows have base + 1 rows, the others base */
    LLVMValueRef fetching, lines;           /* table and lines of the level that fits the number of blocks */
    LLVMValueRef k0, depth;                 /* the block of k: first step, steps */
    uint32_t strip, per_panel;              /* columns of a strip, strips of a panel */
    uint32_t a_step, b_step, panel_row;     /* bytes of a step (tile.h) */
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

/* --- tables of kernels --- */

/* Lines of a panel per unrolled step. */
static uint32_t lines_per_step(const xfc_tile_shape *s) { return s->unroll * xfc_tile_panel_row(s) / XFC_TILE_LINE; }

/* Level of a panel that `uses` blocks compute: the least that covers the panel; 0 for a single use, which streams. */
static uint32_t level_for(const xfc_tile_shape *s, uint32_t uses) {
    uint32_t l = 1;
    if (uses <= 1) return 0;
    while (l + 1 < N_LEVELS && uses * levels[l] < lines_per_step(s)) l++;
    return l;
}

/* Rows of a block that takes two strips of a panel at once: accumulators, an element of a each, and a vector of b fit the
 * registers, beside a product that is a value of its own and what takes halves apart. */
static uint32_t wide_rows(const xfc_tile_shape *s) {
    uint32_t registers = s->vector_bytes == 64 ? 32 : 16, apart = !(s->needs & XFC_HAS_FMA) + (s->group > 1);
    bool one_strip = s->vectors * s->vector_bytes == 4 * XFC_PANEL;
    return one_strip ? 1 : (registers - 2 - apart) / (2 * s->vectors + 1);
}

/* Up to so many, products are sooner done than panels come from memory: those of half the size come in half the time, and
 * taking pairs apart is arithmetic, too. */
static uint32_t few_rows(const xfc_tile_shape *s) {
    return wide_rows(s) > 1 ? FEW_ROWS * xfc_dtype_bytes(s->b) / (4 * s->group) : 1;
}

/* Which row counts can meet which level: sizes of even splits of any number of rows that are not few. */
static void needed(const xfc_tile_shape *s, uint32_t strips_per_panel, bool need[N_LEVELS][MAX_ROWS]) {
    uint32_t enough = 16 * s->rows; /* beyond it only the two largest sizes occur, at the lowest level */
    for (uint32_t rows = few_rows(s) + 1; rows <= enough; rows++) {
        uint32_t blocks = (rows + s->rows - 1) / s->rows, base = rows / blocks;
        uint32_t l = level_for(s, blocks * strips_per_panel);
        need[l][base - 1] = true;
        if (rows % blocks) need[l][base] = true;
    }
}

static LLVMValueRef table(xfc_emit *e, LLVMValueRef *fn, uint32_t n) {
    LLVMValueRef g = LLVMAddGlobal(e->module, LLVMArrayType2(e->ptr, n), "xf_tiles");
    LLVMSetInitializer(g, LLVMConstArray2(e->ptr, fn, n));
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetGlobalConstant(g, true);
    return g;
}

static tables *make_tables(xfc_emit *e, const xfc_tile_shape *s) {
    tables *t = xfc_new(e->arena, tables);
    bool need[N_LEVELS][MAX_ROWS] = {0};
    LLVMValueRef fn[N_LEVELS][MAX_ROWS], *few = xfc_new_array(e->arena, LLVMValueRef, s->rows * s->vectors);
    needed(s, XFC_PANEL * 4 / (s->vectors * s->vector_bytes), need);
    for (uint32_t l = 0; l < N_LEVELS; l++) {
        for (uint32_t r = 0; r < s->rows; r++) {
            xfc_micro m = {.rows = r + 1, .vectors = s->vectors, .strips = 1, .fetch = levels[l]};
            fn[l][r] = need[l][r] || l == 0 ? xfc_emit_micro(e, s, &m) : fn[0][r];
        }
        t->full[l] = table(e, fn[l], s->rows);
    }
    for (uint32_t k = 0; k < s->rows * s->vectors; k++) {
        xfc_micro m = {.rows = k % s->rows + 1, .vectors = k / s->rows + 1, .strips = 1};
        few[k] = m.vectors < s->vectors ? xfc_emit_micro(e, s, &m) : fn[0][k % s->rows];
    }
    t->partial = table(e, few, s->rows * s->vectors);
    for (uint32_t r = 0; r < wide_rows(s); r++) {
        xfc_micro m = {.rows = r + 1, .vectors = s->vectors, .strips = 2};
        few[r] = xfc_emit_micro(e, s, &m);
    }
    t->wide = table(e, few, wide_rows(s));
    return t;
}

/* --- the loops --- */

/* Row `row` of a at the block of k. */
static LLVMValueRef a_at(const driver *d, LLVMValueRef row) {
    return xfc_tile_at(d->e, xfc_tile_at(d->e, d->arg[A], times(d, d->k0, d->a_step)), mul(d, row, d->a_row));
}

/* line: where what follows touches row `row`, from byte `offset` of the row on, and the distance to the next row. */
static bool touched(const driver *d, bool write, LLVMValueRef row, LLVMValueRef offset, LLVMValueRef line[2]) {
    xfc_emit *e = d->e;
    LLVMValueRef at = d->follow ? d->follow->place(e, d->follow->user, write, row) : NULL;
    if (!at) return false;
    LLVMValueRef next = d->follow->place(e, d->follow->user, write, add(d, row, num(d, 1)));
    line[0] = xfc_emit_offset(e, at, e->i8, offset);
    line[1] = sub(d, LLVMBuildPtrToInt(e->b, next, e->i64, ""), LLVMBuildPtrToInt(e->b, at, e->i64, ""));
    return true;
}

/* One micro-kernel on the rows from `row` of strip `index`; b points at the strip. */
static void call(const driver *d, LLVMValueRef fn, LLVMValueRef index, LLVMValueRef row, LLVMValueRef b,
                 LLVMValueRef fetch, LLVMValueRef rows, LLVMValueRef strip) {
    xfc_emit *e = d->e;
    LLVMValueRef offset = times(d, index, d->strip * 4),
                 c = xfc_tile_at(e, xfc_tile_at(e, d->arg[C], offset), mul(d, row, d->c_row));
    LLVMValueRef write[2] = {c, d->c_row}, read[2];
    touched(d, true, row, offset, write);
    if (!touched(d, false, row, offset, read)) memcpy(read, write, sizeof read);
    LLVMValueRef args[XFC_MICRO_ARGS] = {[XFC_MICRO_A] = a_at(d, row),
                                         [XFC_MICRO_A_ROW] = d->a_row,
                                         [XFC_MICRO_B] = b,
                                         [XFC_MICRO_C] = c,
                                         [XFC_MICRO_C_ROW] = d->c_row,
                                         [XFC_MICRO_DEPTH] = d->depth,
                                         [XFC_MICRO_ADD] = d->k0,
                                         [XFC_MICRO_FETCH] = fetch,
                                         [XFC_MICRO_AHEAD] = d->ahead,
                                         [XFC_MICRO_STRIP] = strip,
                                         [XFC_MICRO_NEXT] = rows,
                                         [XFC_MICRO_WRITE] = write[0],
                                         [XFC_MICRO_WRITE_ROW] = write[1],
                                         [XFC_MICRO_READ] = read[0],
                                         [XFC_MICRO_READ_ROW] = read[1]};
    LLVMBuildCall2(e->b, xfc_micro_type(e), fn, args, XFC_MICRO_ARGS, "");
}

/* The part of b that is used after strip `index` of the panel at `offset`: the same steps of k one panel on; after
 * the last panel the next steps in the first one; at the very end what follows this b, which is the next group of
 * panels if there is one. */
static LLVMValueRef next_part(const driver *d, LLVMValueRef panel, LLVMValueRef offset) {
    LLVMValueRef k_next = add(d, d->k0, d->depth), after = add(d, panel, num(d, 1));
    LLVMValueRef turn =
        pick(d, equal(d, k_next, d->arg[DEPTH]), mul(d, after, d->panel_bytes), times(d, k_next, d->panel_row));
    LLVMValueRef is_last = equal(d, after, d->panels);
    return xfc_tile_at(d->e, d->arg[B], pick(d, is_last, turn, add(d, offset, d->panel_bytes)));
}

/* The rows that the block behind row `end` reads: the first ones of the next block of k at the end of this one; at
 * the very end what follows. */
static LLVMValueRef next_rows(const driver *d, LLVMValueRef end) {
    LLVMValueRef k_next = add(d, d->k0, d->depth), more = less(d, k_next, d->arg[DEPTH]);
    LLVMValueRef turn = LLVMBuildAnd(d->e->b, more, equal(d, end, d->arg[ROWS]), "");
    LLVMValueRef next = xfc_tile_at(d->e, d->arg[A], times(d, k_next, d->a_step));
    return pick(d, turn, next, a_at(d, end));
}

/* Behind the last strip of the last block of k, rows are complete. */
static void rows_done(driver *d, LLVMValueRef index, LLVMValueRef first, LLVMValueRef end) {
    if (!d->follow) return;
    LLVMValueRef last_strip = equal(d, add(d, index, num(d, 1)), ceil_over(d, d->arg[COLUMNS], d->strip));
    LLVMValueRef last_k = equal(d, add(d, d->k0, d->depth), d->arg[DEPTH]);
    LLVMBasicBlockRef done = xfc_emit_if_begin(d->e, LLVMBuildAnd(d->e->b, last_strip, last_k, ""), "rows");
    d->status = d->follow->rows(d->e, d->follow->user, first, end);
    xfc_emit_if_end(d->e, done);
}

/* All blocks of rows of strip `index`, or of few rows of two strips at once: pair. */
static void strip(driver *d, LLVMValueRef index, LLVMValueRef pair) {
    xfc_emit *e = d->e;
    uint32_t per_panel = d->per_panel, lanes = d->s->vector_bytes / 4, strip_bytes = d->strip * d->b_step;
    LLVMValueRef left = sub(d, d->arg[COLUMNS], times(d, index, d->strip));
    LLVMValueRef vectors = min(d, num(d, d->s->vectors), ceil_over(d, left, lanes));
    LLVMValueRef panel = over(d, index, per_panel), in_panel = sub(d, index, times(d, panel, per_panel));
    LLVMValueRef offset = add(d, mul(d, panel, d->panel_bytes), times(d, d->k0, d->panel_row));
    LLVMValueRef b = xfc_tile_at(e, d->arg[B], add(d, offset, times(d, in_panel, strip_bytes)));
    LLVMValueRef next = next_part(d, panel, offset);
    LLVMValueRef plain = xfc_tile_at(e, d->t->partial, times(d, sub(d, vectors, num(d, 1)), 8 * (int64_t)d->s->rows));
    LLVMValueRef whole = equal(d, vectors, num(d, d->s->vectors));
    LLVMValueRef limit = pick(d, whole, times(d, d->depth, d->panel_row), num(d, 0));
    LLVMValueRef share = mul(d, over(d, d->depth, d->s->unroll), times(d, d->lines, XFC_TILE_LINE));
    LLVMValueRef second = num(d, strip_bytes); /* from the last strip of a panel to the first one of the next */
    if (per_panel % 2)
        second = pick(d, equal(d, in_panel, num(d, per_panel - 1)),
                      sub(d, d->panel_bytes, num(d, (int64_t)(per_panel - 1) * strip_bytes)), second);
    xfc_loop t = xfc_emit_loop_begin(e, num(d, 0), d->blocks, 1, "block");
    LLVMValueRef row = add(d, mul(d, t.i, d->base), min(d, t.i, d->extra));
    LLVMValueRef last =
        pick(d, less(d, t.i, d->extra), d->base, sub(d, d->base, num(d, 1))); /* rows of the block - 1 */
    LLVMValueRef from = mul(d, share, add(d, t.i, mul(d, in_panel, d->blocks)));
    LLVMValueRef kernels = pick(d, pair, d->t->wide, pick(d, less(d, from, limit), d->fetching, plain));
    LLVMValueRef fetch = xfc_tile_at(e, next, from), end = add(d, row, add(d, last, num(d, 1)));
    LLVMValueRef fn = LLVMBuildLoad2(e->b, e->ptr, LLVMBuildInBoundsGEP2(e->b, e->ptr, kernels, &last, 1, ""), "");
    call(d, fn, index, row, b, fetch, next_rows(d, end), second);
    rows_done(d, pick(d, pair, add(d, index, num(d, 1)), index), row, end);
    xfc_emit_loop_end(e, &t);
}

/* All strips: of few rows the whole ones two at a time, then what is left. */
static void strips(driver *d) {
    xfc_emit *e = d->e;
    LLVMValueRef whole = over(d, d->arg[COLUMNS], 2 * (int64_t)d->strip), all = ceil_over(d, d->arg[COLUMNS], d->strip);
    LLVMValueRef pairs = pick(d, d->few, whole, num(d, 0));
    xfc_loop l = xfc_emit_loop_begin(e, num(d, 0), sub(d, all, pairs), 1, "strip");
    strip(d, add(d, l.i, min(d, l.i, pairs)), less(d, l.i, pairs));
    xfc_emit_loop_end(e, &l);
}

/* Values fixed for the call, in front of the loops. */
static void prepare(driver *d) {
    LLVMValueRef one = num(d, 1);
    d->few = less(d, d->arg[ROWS], num(d, few_rows(d->s) + 1));
    LLVMValueRef most = pick(d, d->few, num(d, wide_rows(d->s)), num(d, d->s->rows));
    d->a_row = times(d, d->arg[A_ROW], d->a_step / d->s->group);
    d->c_row = times(d, d->arg[C_ROW], 4);
    d->panel_bytes = times(d, d->arg[APART], d->b_step / d->s->group);
    d->panels = ceil_over(d, d->arg[COLUMNS], XFC_PANEL);
    d->blocks = LLVMBuildUDiv(d->e->b, add(d, d->arg[ROWS], sub(d, most, one)), most, "");
    LLVMValueRef divisor = pick(d, equal(d, d->blocks, num(d, 0)), one, d->blocks);
    d->base = LLVMBuildUDiv(d->e->b, d->arg[ROWS], divisor, "");
    d->extra = LLVMBuildURem(d->e->b, d->arg[ROWS], divisor, "");
    LLVMValueRef uses = pick(d, d->few, one, times(d, d->blocks, d->per_panel));
    d->ahead = pick(d, equal(d, uses, one), num(d, XFC_TILE_FAR), num(d, XFC_TILE_NEAR));
    d->fetching = d->t->full[0];
    d->lines = num(d, 0);
    for (uint32_t l = N_LEVELS - 1; l > 0; l--) { /* level_for at run time */
        uint32_t covers = l == N_LEVELS - 1 ? 1 : (lines_per_step(d->s) + levels[l] - 1) / levels[l] - 1;
        LLVMValueRef fits = less(d, num(d, covers), uses);
        d->fetching = pick(d, fits, d->t->full[l], d->fetching);
        d->lines = pick(d, fits, num(d, levels[l]), d->lines);
    }
}

static void emit_loops(driver *d) {
    xfc_emit *e = d->e;
    prepare(d);
    LLVMValueRef depth = d->arg[DEPTH], one = num(d, 1);
    LLVMValueRef block = num(d, K_BLOCK / d->s->group);
    if (few_rows(d->s) > 1) block = pick(d, d->few, num(d, FEW_K_BLOCK / d->s->group), block);
    LLVMValueRef blocks = LLVMBuildUDiv(e->b, add(d, depth, sub(d, block, one)), block, ""),
                 n_blocks = pick(d, equal(d, blocks, num(d, 0)), one, blocks);
    LLVMValueRef even = LLVMBuildUDiv(e->b, add(d, depth, sub(d, n_blocks, one)), n_blocks, "");
    LLVMValueRef size = times(d, ceil_over(d, even, d->s->unroll), d->s->unroll);
    xfc_loop k = xfc_emit_loop_begin(e, num(d, 0), n_blocks, 1, "depth"); /* also once for depth 0: c becomes zero */
    d->k0 = mul(d, k.i, size);
    d->depth = min(d, size, sub(d, depth, d->k0));
    strips(d);
    xfc_emit_loop_end(e, &k);
}

static LLVMTypeRef driver_type(xfc_emit *e) {
    LLVMTypeRef t[N_ARGS];
    for (unsigned i = 0; i < N_ARGS; i++) t[i] = i == A || i == B || i == C ? e->ptr : e->i64;
    return LLVMFunctionType(e->none, t, N_ARGS, false);
}

static driver new_driver(xfc_emit *e, const xfc_tile_shape *s, const tables *t, const xfc_tile_follow *follow) {
    driver d = {.e = e, .s = s, .t = t, .follow = follow, .strip = s->vectors * s->vector_bytes / 4};
    d.per_panel = XFC_PANEL / d.strip;
    d.a_step = xfc_tile_a_step(s);
    d.b_step = xfc_tile_b_step(s);
    d.panel_row = xfc_tile_panel_row(s);
    return d;
}

static LLVMValueRef make_driver(xfc_emit *e, const xfc_tile_shape *s, const tables *t) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMValueRef outer = e->fn, fn = xfc_emit_function(e, "xf_contract", driver_type(e));
    xfc_emit_fn_enum(e, fn, "noinline");
    driver d = new_driver(e, s, t, NULL);
    for (unsigned i = 0; i < N_ARGS; i++) d.arg[i] = LLVMGetParam(fn, i);
    e->fn = fn;
    LLVMPositionBuilderAtEnd(e->b, xfc_emit_block(e, "entry"));
    emit_loops(&d);
    LLVMBuildRetVoid(e->b);
    e->fn = outer;
    if (before) LLVMPositionBuilderAtEnd(e->b, before);
    return fn;
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
    } all[] = {{"tiles_0", &t->full[0], NULL},      {"tiles_1", &t->full[1], NULL},
               {"tiles_2", &t->full[2], NULL},      {"tiles_3", &t->full[3], NULL},
               {"tiles_last", &t->partial, NULL},   {"tile_wide", &t->wide, xfc_micro_type(e)},
               {"contract", &t->fn, driver_type(e)}};
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
        tables *t = make_tables(&e, s);
        t->fn = make_driver(&e, s, t);
        share(&e, s, t);
        status = xfc_emit_finish(&e, "obj", out);
    }
    xfc_emit_end(&e);
    return status;
}

static tables *tables_of(xfc_emit *e, const xfc_tile_shape *s) {
    tables *t = xfc_map_get_ptr(&e->tiles, s);
    if (t) return t;
    t = e->linked ? xfc_new(e->arena, tables) : make_tables(e, s);
    if (e->linked) share(e, s, t);
    xfc_map_set_ptr(&e->tiles, s, t);
    return t;
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
    if (follow) {
        driver d = new_driver(e, s, t, follow);
        for (unsigned i = 0; i < N_ARGS; i++) d.arg[i] = args[i];
        emit_loops(&d);
        return d.status;
    }
    if (!t->fn) t->fn = make_driver(e, s, t);
    LLVMBuildCall2(e->b, driver_type(e), t->fn, args, N_ARGS, "");
    return XFC_OK;
}

/* tile_table.c - which micro-kernels a type of tile needs on an ISA, and the tables by which its loops find them.
 *
 * A kernel is chosen by its rows, and by how many lines of the next panel it fetches a step (`xfc_tile_fetches`): as many as
 * bring in the panel while the blocks of rows use the one before. Only what rows, evenly split, can meet is made. Beside
 * those for whole strips there are kernels of fewer vectors, for the last strip, and of two strips, for few rows.
 */
#include "backends/llvm/tile.h"

enum { MAX_ROWS = 16, FEW_ROWS = 16 /* of f32 */ };

const uint32_t xfc_tile_fetches[XFC_TILE_LEVELS] = {0, 1, 3, 6};

/* Lines of a panel per unrolled step. */
uint32_t xfc_tile_lines(const xfc_tile_shape *s) { return s->unroll * xfc_tile_panel_row(s) / XFC_TILE_LINE; }

/* Level of a panel that `uses` blocks compute: the least that covers the panel; 0 for a single use, which streams. */
static uint32_t level_for(const xfc_tile_shape *s, uint32_t uses) {
    uint32_t l = 1;
    if (uses <= 1) return 0;
    while (l + 1 < XFC_TILE_LEVELS && uses * xfc_tile_fetches[l] < xfc_tile_lines(s)) l++;
    return l;
}

/* Rows of a block that takes two strips of a panel at once: accumulators, an element of a each, and a vector of b fit the
 * registers, beside a product that is a value of its own and what takes halves apart. */
uint32_t xfc_tile_wide_rows(const xfc_tile_shape *s) {
    uint32_t registers = s->vector_bytes == 64 ? 32 : 16, apart = !(s->needs & XFC_HAS_FMA) + (s->group > 1);
    bool one_strip = s->vectors * s->vector_bytes == 4 * XFC_PANEL;
    return one_strip ? 1 : (registers - 2 - apart) / (2 * s->vectors + 1);
}

/* Up to so many, products are sooner done than panels come from memory: those of half the size come in half the time, and
 * taking pairs apart is arithmetic, too. */
uint32_t xfc_tile_few_rows(const xfc_tile_shape *s) {
    return xfc_tile_wide_rows(s) > 1 ? FEW_ROWS * xfc_dtype_bytes(s->b) / (4 * s->group) : 1;
}

/* Which row counts can meet which level: sizes of even splits of any number of rows that are not few. */
static void needed(const xfc_tile_shape *s, uint32_t strips_per_panel, bool need[XFC_TILE_LEVELS][MAX_ROWS]) {
    uint32_t enough = 16 * s->rows; /* beyond it only the two largest sizes occur, at the lowest level */
    for (uint32_t rows = xfc_tile_few_rows(s) + 1; rows <= enough; rows++) {
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

void xfc_tile_make_tables(xfc_emit *e, const xfc_tile_shape *s, xfc_tile_tables *t) {
    bool need[XFC_TILE_LEVELS][MAX_ROWS] = {0};
    LLVMValueRef fn[XFC_TILE_LEVELS][MAX_ROWS], *few = xfc_new_array(e->arena, LLVMValueRef, s->rows * s->vectors);
    needed(s, XFC_PANEL * 4 / (s->vectors * s->vector_bytes), need);
    for (uint32_t l = 0; l < XFC_TILE_LEVELS; l++) {
        for (uint32_t r = 0; r < s->rows; r++) {
            xfc_micro m = {.rows = r + 1, .vectors = s->vectors, .strips = 1, .fetch = xfc_tile_fetches[l]};
            fn[l][r] = need[l][r] || l == 0 ? xfc_emit_micro(e, s, &m) : fn[0][r];
        }
        t->full[l] = table(e, fn[l], s->rows);
    }
    for (uint32_t k = 0; k < s->rows * s->vectors; k++) {
        xfc_micro m = {.rows = k % s->rows + 1, .vectors = k / s->rows + 1, .strips = 1};
        few[k] = m.vectors < s->vectors ? xfc_emit_micro(e, s, &m) : fn[0][k % s->rows];
    }
    t->partial = table(e, few, s->rows * s->vectors);
    for (uint32_t r = 0; r < xfc_tile_wide_rows(s); r++) {
        xfc_micro m = {.rows = r + 1, .vectors = s->vectors, .strips = 2};
        few[r] = xfc_emit_micro(e, s, &m);
    }
    t->wide = table(e, few, xfc_tile_wide_rows(s));
}

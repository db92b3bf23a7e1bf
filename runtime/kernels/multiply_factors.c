/* multiply_factors.c - the product of a dense and a sparse factor, where a weight is stored in factors but read whole.
 *
 * Operands: dense [blocks, length, atoms] of f32, f16 or bf16; rows [blocks, groups, entries, 4] of u8 or u16, and values,
 * like it, of the type of dense. Rows may be empty: entry e is then of atom e. Result: f32 [blocks * length, columns], or
 * panels of it [panels, blocks * length, width of one]. Number: columns, a group being 4 of them; others are 0.
 *
 * Row k of block b and column j: the sum over the entries of the column in the block, in order, of the atom's element of
 * row k times the value. Each product and each sum is rounded to f32, so that the bits are the same wherever it runs. The
 * tasks are blocks of rows, whose atoms lie side by side in scratch. A row beyond the atoms stands for the first.
 *
 * No step calls it: sizes come from a table beside weights (xf_made of abi.h), so it has no tasks where they do not go
 * together.
 */
#include "runtime/kernels/routines.h"

enum { ROWS = 48, GROUP = 4 };

typedef struct {
    const xk_array *dense, *row, *value, *out;
    xk_i64 blocks, length, atoms, groups, entries;
    xk_i64 columns, depth, width, panel; /* width: of all panels */
} factors;

static factors read_call(const xk_call *c) {
    const xk_array *d = &c->array[0], *v = &c->array[2], *y = &c->array[3];
    const int panels = y->rank == 3;
    return (factors){.dense = d,
                     .row = &c->array[1],
                     .value = v,
                     .out = y,
                     .blocks = d->dim[0],
                     .length = d->dim[1],
                     .atoms = d->dim[2],
                     .groups = v->dim[1],
                     .entries = v->dim[2],
                     .columns = c->number[0].i,
                     .depth = y->dim[panels],
                     .width = panels ? y->dim[0] * y->dim[2] : y->dim[1],
                     .panel = y->dim[y->rank - 1]};
}

static xk_u32 bits_of(const xk_array *a) { return a->dtype >> 8 & 0xffu; }

static int same_dims(const xk_array *a, const xk_array *b) {
    for (xk_u32 d = 0; d < a->rank; d++)
        if (a->dim[d] != b->dim[d]) return 0;
    return 1;
}

static int go_together(const factors *f) {
    const int full = xk_count(f->row) == 0, narrow = bits_of(f->dense) == 16;
    if (bits_of(f->out) != 32 || f->blocks < 1 || f->length < 1) return 0;
    if (f->dense->dtype != f->value->dtype || (bits_of(f->dense) != 32 && !narrow)) return 0;
    if (f->atoms < 1 || f->entries < 1 || f->value->dim[0] != f->blocks || f->value->dim[3] != GROUP) return 0;
    if (full ? f->entries != f->atoms : !same_dims(f->row, f->value)) return 0;
    if (f->depth % f->length != 0 || f->depth / f->length != f->blocks) return 0;
    if (f->columns < 1 || f->columns > f->width) return 0;
    return f->groups == (f->columns + GROUP - 1) / GROUP && (full || bits_of(f->row) == 8 || bits_of(f->row) == 16);
}

static xk_i64 tiles_of(const factors *f) { return (f->length + ROWS - 1) / ROWS; } /* of a block */

xk_work xk_multiply_factors_work(const xk_call *c) {
    const xk_u32 rank = c->array[3].rank;
    if (rank < 2 || rank > 3) return (xk_work){.grain = 1};
    const factors f = read_call(c);
    if (!go_together(&f)) return (xk_work){.grain = 1};
    return (xk_work){.tasks = f.blocks * tiles_of(&f), .grain = 1, .scratch = f.atoms * ROWS * (xk_i64)sizeof(float)};
}

typedef union {
    xk_u32 bits;
    float value;
} word;

static float of_half(xk_u32 h) {
    const xk_u32 sign = (h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    const xk_u32 raised = exponent == 0x1f ? 0xffu : exponent + 112;
    return ((word){.bits = sign | raised << 23 | fraction << 13}).value;
}

static float get(const xk_array *a, xk_i64 at) {
    if (bits_of(a) == 32) return ((const float *)a->data)[at];
    const xk_u32 h = (xk_u32)((const xk_b16 *)a->data)[at] & 0xffffu;
    return (a->dtype & 0xffu) == 4 ? ((word){.bits = h << 16}).value : of_half(h); /* 4: bf16 */
}

static xk_i64 atom_of(const factors *f, xk_i64 at, xk_i64 entry, int full) {
    if (full) return entry;
    xk_i64 i = bits_of(f->row) == 8 ? (xk_i64)((const unsigned char *)f->row->data)[at]
                                    : (xk_i64)((const xk_b16 *)f->row->data)[at] & 0xffff;
    return i < f->atoms ? i : 0;
}

/* Rows of a tile, for each atom those of one element of it. */
static void gather(const factors *f, xk_i64 row, xk_i64 rows, float *x) {
    for (xk_i64 a = 0; a < f->atoms; a++)
        for (xk_i64 r = 0; r < ROWS; r++) x[a * ROWS + r] = r < rows ? get(f->dense, (row + r) * f->atoms + a) : 0;
}

/* What a group of columns has in the rows of a tile; x: its atoms. */
static void add_up(const factors *f, xk_i64 group, const float *x, float sum[GROUP][ROWS]) {
    const int full = xk_count(f->row) == 0;
    for (int j = 0; j < GROUP; j++) {
        float s[ROWS] = {0};
        for (xk_i64 e = 0; e < f->entries; e++) {
            const xk_i64 at = (group * f->entries + e) * GROUP + j;
            const float v = get(f->value, at), *atom = x + atom_of(f, at, e, full) * ROWS;
            for (int r = 0; r < ROWS; r++) s[r] += v * atom[r];
        }
        for (int r = 0; r < ROWS; r++) sum[j][r] = s[r];
    }
}

static void store(const factors *f, xk_i64 row, xk_i64 rows, xk_i64 column, const float sum[ROWS]) {
    float *y = (float *)f->out->data + (column / f->panel * f->depth + row) * f->panel + column % f->panel;
    for (xk_i64 r = 0; r < rows; r++) y[r * f->panel] = sum ? sum[r] : 0;
}

void xk_multiply_factors(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const factors f = read_call(c);
    const xk_i64 tiles = tiles_of(&f);
    float sum[GROUP][ROWS];
    for (xk_i64 t = begin; t < end; t++) {
        const xk_i64 block = t / tiles, inside = t % tiles * ROWS, row = block * f.length + inside;
        const xk_i64 left = f.length - inside, rows = left < ROWS ? left : ROWS;
        gather(&f, row, rows, scratch);
        for (xk_i64 j = 0; j < f.width; j++) {
            if (j < f.columns && j % GROUP == 0) add_up(&f, block * f.groups + j / GROUP, scratch, sum);
            store(&f, row, rows, j, j < f.columns ? sum[j % GROUP] : 0);
        }
    }
}

/* tile.h - private to tile.c (which walks strips and blocks), tile_kernel.c (which keeps one block in registers) and tile_table.c
 * (which of those there are). */
#ifndef XFC_LLVM_TILE_H
#define XFC_LLVM_TILE_H
#include "backends/llvm/llvm.h"

enum {
    XFC_TILE_LINE = 64,                 /* bytes of a cache line */
    XFC_TILE_NEAR = 18 * XFC_TILE_LINE, /* distance at which b is prefetched ahead of its loads ... */
    XFC_TILE_FAR = 129 * XFC_TILE_LINE, /* ... and when it streams through once */
    XFC_TILE_ROW = 4 * XFC_TILE_LINE,   /* distance at which rows of a are */
};

/* A step is a group of k. Are groups multiplied as they are? Else elements of both operands as f32, to which those of a
 * are widened before. */
static inline bool xfc_tile_dots(const xfc_tile_shape *s) { return (s->needs & XFC_HAS_BF16) != 0; }
static inline bool xfc_tile_widens(const xfc_tile_shape *s) { return s->a != s->sum && !xfc_tile_dots(s); }
/* Bytes of one step: of a column of b, of a whole panel, of a row of a as micro-kernels read it. */
static inline uint32_t xfc_tile_b_step(const xfc_tile_shape *s) { return s->group * xfc_dtype_bytes(s->b); }
static inline uint32_t xfc_tile_panel_row(const xfc_tile_shape *s) { return XFC_PANEL * xfc_tile_b_step(s); }
static inline uint32_t xfc_tile_a_step(const xfc_tile_shape *s) { return s->group * (xfc_tile_dots(s) ? 2 : 4); }

/* One micro-kernel: c[rows x columns] = or += a[rows x depth] * b[depth x columns]; columns are `strips` strips of
 * `vectors` vectors. More than one strip: more independent chains when rows are few. */
typedef struct {
    uint32_t rows, vectors, strips;
    /* Cache lines of the next panel to bring in per unrolled step of k; 0: the kernel ignores its argument. */
    uint32_t fetch;
} xfc_micro;

/* Arguments of a micro-kernel, pointers and i64, distances in bytes. What the loops use comes first: it arrives in
 * registers. */
enum {
    XFC_MICRO_A,
    XFC_MICRO_A_ROW,
    XFC_MICRO_B,
    XFC_MICRO_FETCH, /* where the lines of the next panel start */
    XFC_MICRO_AHEAD, /* XFC_TILE_NEAR or _FAR; kernels with fetch are always near */
    XFC_MICRO_DEPTH, /* in steps */
    XFC_MICRO_C,
    XFC_MICRO_C_ROW,
    XFC_MICRO_ADD,       /* 0: c is overwritten, else added to */
    XFC_MICRO_STRIP,     /* distance in b from one strip to the next */
    XFC_MICRO_NEXT,      /* the rows of a that the next block reads */
    XFC_MICRO_WRITE,     /* where the first row is written once it is complete, */
    XFC_MICRO_WRITE_ROW, /* ... and the distance to the next row */
    XFC_MICRO_READ,      /* where something else is read then; the lines are fetched, no more */
    XFC_MICRO_READ_ROW,
    XFC_MICRO_ARGS
};
LLVMTypeRef xfc_micro_type(xfc_emit *);
/* Emits an internal function; the builder's position is kept. */
LLVMValueRef xfc_emit_micro(xfc_emit *, const xfc_tile_shape *, const xfc_micro *);

enum { XFC_TILE_LEVELS = 4 };
extern const uint32_t
    xfc_tile_fetches[XFC_TILE_LEVELS]; /* lines of the next panel a kernel fetches per unrolled step */
typedef struct {
    LLVMValueRef full[XFC_TILE_LEVELS]; /* tables by rows of kernels for whole strips */
    LLVMValueRef partial;               /* the same for the last strip: [vectors - 1][rows - 1] */
    LLVMValueRef wide;                  /* kernels of two strips, by rows */
} xfc_tile_tables;
void xfc_tile_make_tables(xfc_emit *, const xfc_tile_shape *, xfc_tile_tables *);
uint32_t xfc_tile_lines(const xfc_tile_shape *);     /* of a panel, per unrolled step */
uint32_t xfc_tile_few_rows(const xfc_tile_shape *);  /* up to so many take strips in pairs, if more than 1 */
uint32_t xfc_tile_wide_rows(const xfc_tile_shape *); /* of a block that does */

/* p + bytes */
LLVMValueRef xfc_tile_at(xfc_emit *, LLVMValueRef p, LLVMValueRef bytes);

#endif

/* factorise.h - a matrix as the product of a small dense one and one with few entries a column.
 *
 * w [rows, columns] ~ d s. Rows are cut into `blocks` of equal size (the inputs of the layer): block b has a d of its own
 * [rows / blocks, atoms], and s [blocks * atoms, columns] has `entries` a column and block, at places that each column
 * chooses for itself. entries == atoms: s is full, which is what the singular value decomposition gives.
 */
#ifndef XFC_FACTORISE_H
#define XFC_FACTORISE_H
#include "ir/base/arena.h"

typedef struct {
    int64_t blocks, atoms, entries;
} xfc_factor_shape;

typedef struct {
    xfc_factor_shape shape;
    float *dense;  /* [blocks][rows / blocks, atoms] */
    float *sparse; /* [blocks * atoms, columns], zeros and all */
    double error;  /* |x (w - d s)| / |x w| in the norm that gram gives; without it of the weight itself */
} xfc_factor_pair;

typedef struct {
    int64_t rows, columns;
    const float *w;
    int64_t value_bytes; /* of what is stored: 4 or 2 */
    bool bare;          /* factors are only stored, not multiplied by: neither in panels nor with blocks side by side */
    int64_t blocks;     /* of gram */
    const double *gram; /* x^T x of the inputs x of the layer, block by block [rows / blocks, rows / blocks]; NULL: the
                         * identity. Factors are then cut into as many blocks. */
} xfc_factor_task;

/* Bytes as they are stored: dense ones in whole panels; of the sparse one rows, in u8 or u16, count, too. */
int64_t xfc_factor_whole(const xfc_factor_task *, int64_t value_bytes); /* w itself */
int64_t xfc_factor_bytes(const xfc_factor_task *, xfc_factor_shape);
/* Of shapes with these blocks and atoms = per * entries the largest within the bytes (per 1: full); atoms is 0 where
 * there is none. */
xfc_factor_shape xfc_factor_fit(const xfc_factor_task *, int64_t blocks, int64_t per, int64_t bytes);
/* rounds: of choosing entries and fitting d. */
xfc_factor_pair xfc_factorise(xfc_arena *, const xfc_factor_task *, xfc_factor_shape, int rounds);

#endif

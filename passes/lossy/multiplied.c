/* multiplied.c - a weight that is stored as its factors and read as their product: dsformer with materialise=on.
 *
 *   %y = linear %x, %w, %b     =>  %y = linear %x, %product, %b
 *
 * The product is a constant that says how it is made (ir/made.h). Factors stand as the routine multiply_factors reads
 * them, each column by its entries in order of their rows; a column that has fewer ends in zeros.
 */
#include "ir/build.h"
#include "ir/made.h"
#include "passes/lossy/dsformer.h"
#include "passes/sparse/sparse.h"

enum { GROUP = XFC_SPARSE_GROUP };

static bool is_full(const xfc_factor_shape *s) { return s->entries == s->atoms; }

/* Where entry e of column j of a block stands. */
static int64_t place_of(const xfc_factor_shape *s, int64_t block, int64_t columns, int64_t j, int64_t e) {
    const int64_t groups = (columns + GROUP - 1) / GROUP;
    return ((block * groups + j / GROUP) * s->entries + e) * GROUP + j % GROUP;
}

/* row NULL: all are entries. */
static void write_column(const xfc_factor_pair *f, int64_t block, int64_t columns, int64_t j, xfc_dtype type,
                         void *value, xfc_dtype row_type, void *row) {
    const xfc_factor_shape *s = &f->shape;
    for (int64_t a = 0, e = 0; a < s->atoms; a++) {
        const float v = f->sparse[(block * s->atoms + a) * columns + j];
        if (row && v == 0) continue;
        const int64_t at = place_of(s, block, columns, j, e++);
        xfc_element_set_f(type, value, at, (double)v);
        if (row) xfc_element_set_i(row_type, row, at, a);
    }
}

const xfc_tensor *xfc_factors_multiplied(xfc_ctx *ctx, const xfc_factor_pair *f, int64_t rows, int64_t columns,
                                         xfc_dtype type) {
    static const int64_t none[4] = {0};
    const xfc_factor_shape *s = &f->shape;
    const xfc_dtype row_type = s->atoms <= 256 ? XFC_U8 : XFC_U16;
    const int64_t dim[3] = {s->blocks, rows / s->blocks, s->atoms};
    const int64_t second[4] = {s->blocks, (columns + GROUP - 1) / GROUP, s->entries, GROUP};
    void *dense = xfc_tensor_alloc(ctx, type, 3, dim), *value = xfc_tensor_alloc(ctx, type, 4, second);
    void *row = is_full(s) ? NULL : xfc_tensor_alloc(ctx, row_type, 4, second);
    for (int64_t i = 0; i < rows * s->atoms; i++) xfc_element_set_f(type, dense, i, (double)f->dense[i]);
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t j = 0; j < columns; j++) write_column(f, b, columns, j, type, value, row_type, row);
    const xfc_made made = {.routine = "xk_multiply_factors",
                           .in = {xfc_tensor_new(ctx, type, 3, dim, dense, NULL),
                                  xfc_tensor_new(ctx, row_type, 4, row ? second : none, row, NULL),
                                  xfc_tensor_new(ctx, type, 4, second, value, NULL)},
                           .n_in = 3,
                           .number = columns};
    return xfc_tensor_make(ctx, rows, columns, &made);
}

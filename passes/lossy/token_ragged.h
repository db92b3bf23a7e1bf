/* token_ragged.h - tokens that become fewer where every sequence has its own number of them. */
#ifndef XFC_TOKEN_RAGGED_H
#define XFC_TOKEN_RAGGED_H
#include "passes/lossy/token_stream.h"

typedef struct { /* the rows of all sequences, as they are behind a site */
    xfc_int rows;
    xfc_value *cu, *tasks, *tok; /* as seq_offsets makes them; tok is longer than rows */
    xfc_value *mass, *log_mass;  /* f32[1, rows]; NULL: all are 1 */
    xfc_value *to;               /* i32[rows of the beginning], where each of them is now; NULL: as there */
} xfc_ragged_rows;

typedef struct {
    const xfc_op *attention; /* its keys are of the tokens */
    const xfc_stream *stream;
    int64_t thousandths; /* of a sequence's tokens go at most */
    double threshold;    /* those whose cosine is not below it */
} xfc_ragged_plan;

xfc_ragged_rows xfc_ragged_rows_of(const xfc_stream *); /* as unpad made them */
/* x [1, rows, c] with fewer rows, which *r then tells of. NULL: failed, recorded. */
xfc_value *xfc_ragged_reduce(xfc_builder *, const xfc_ragged_plan *, xfc_value *x, xfc_ragged_rows *r);
/* The attention attends to these rows; `plain`: whatever their masses. */
xfc_status xfc_ragged_attend(xfc_op *attention, const xfc_ragged_rows *, bool plain);
/* The pad_ragged takes, for each token of the beginning, the row that it went to. */
xfc_status xfc_ragged_give_back(xfc_op *pad, const xfc_ragged_rows *);

#endif

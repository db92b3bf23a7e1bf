/* pursuit.h - sparse coding: columns as sums of a few atoms of a dictionary each. */
#ifndef XFC_PURSUIT_H
#define XFC_PURSUIT_H
#include "ir/base/arena.h"

typedef struct { /* of `columns` columns, `entries` each */
    int64_t columns, entries;
    int32_t *atom;
    float *value;
    double *rest; /* squared norm of what is left of each column */
} xfc_code;

xfc_code xfc_code_new(xfc_arena *, int64_t columns, int64_t entries);
/* y [columns, length], atoms [n, length]: rows of norm 1, or 0. */
void xfc_pursue(const float *y, const float *atoms, int64_t n, int64_t length, xfc_code *out);

#endif

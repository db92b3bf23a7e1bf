/* texts.h - tables of texts: bytes, where each text begins, and how long it is. What points outside of the bytes is cut
 * off there. */
#ifndef XK_TEXTS_H
#define XK_TEXTS_H
#include "runtime/kernels/keys.h"

typedef struct {
    const unsigned char *bytes;
    const xk_i64 *start, *length;
    xk_i64 size, n;
} xk_texts;

/* Of three arrays. */
static inline xk_texts xk_texts_of(const xk_array *a) {
    return (xk_texts){a[0].data, a[1].data, a[2].data, a[0].dim[0], a[1].dim[0]};
}

static inline const unsigned char *xk_text(const xk_texts *t, xk_i64 i, xk_i64 *n) {
    xk_i64 start = t->start[i], length = t->length[i];
    if (start < 0 || start > t->size) start = t->size;
    *n = length < 0 ? 0 : length > t->size - start ? t->size - start : length;
    return t->bytes + start;
}

/* Negative, 0 or positive: by their bytes, then by their lengths. */
static inline int xk_text_order(const unsigned char *a, xk_i64 n, const unsigned char *b, xk_i64 m) {
    for (xk_i64 i = 0; i < n && i < m; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return n < m ? -1 : n > m;
}

#endif

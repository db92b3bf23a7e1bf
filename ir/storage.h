/* storage.h - the memory of large constants, which goes as soon as no op names them.
 *
 * A model's weights pass through several forms, and only the last is written: each form is freed when the next one
 * took its place, or a compile needs several times the memory of the model. So every large constant has a storage,
 * which counts the attributes that name a tensor in it. A storage that was held and is no longer may be freed; who
 * looks at a tensor beyond the op that holds it must not let passes run in between. Bytes in a mapped file are never
 * freed, only their pages are given back: they are read again if touched.
 */
#ifndef XFC_STORAGE_H
#define XFC_STORAGE_H
#include "ir/base/diag.h"

enum { XFC_STORAGE_BYTES = 64 << 10 }; /* constants from this size on have one */

typedef struct xfc_storage {
    const void *data;
    size_t bytes;
    uint32_t holds;
    bool mapped, held; /* held: at some time */
    bool gone;         /* freed */
    xfc_arena *arena;  /* of the bytes; NULL: mapped */
    struct xfc_storage *next, **link;
} xfc_storage;

/* Zeroed memory, 64-byte aligned. */
xfc_storage *xfc_storage_new(xfc_ctx *, size_t bytes);
/* Bytes of a file that stays mapped as long as the context lives. */
xfc_storage *xfc_storage_map(xfc_ctx *, const void *data, size_t bytes);
/* The one that owns the bytes at data; NULL: none begins there. */
xfc_storage *xfc_storage_at(const xfc_ctx *, const void *data);

/* NULL is allowed in all of these. */
void xfc_storage_hold(xfc_storage *);
void xfc_storage_let_go(xfc_storage *);
void xfc_storage_rest(const xfc_storage *);         /* nobody will read it soon: pages of files are given back */
void xfc_storage_release(xfc_ctx *, xfc_storage *); /* frees it if it was held and is no longer */
void xfc_storage_sweep(xfc_ctx *);                  /* releases all; between passes */

/* Gives pages of a mapped file that lie wholly inside back to the system. */
void xfc_drop_pages(const void *data, size_t n);

#endif

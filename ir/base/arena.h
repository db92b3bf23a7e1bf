/* arena.h - region allocator. Everything the compiler allocates lives in one of three: context, graph, pass scratch.
 *
 * Memory is zeroed, never NULL (out of memory ends the process with a message), freed only as a whole. Not thread-safe.
 */
#ifndef XFC_ARENA_H
#define XFC_ARENA_H
#include "ir/base/base.h"

typedef struct xfc_arena xfc_arena;

xfc_arena *xfc_arena_new(void);
void xfc_arena_reset(xfc_arena *);         /* frees what was allocated; the arena stays usable */
void xfc_arena_free(xfc_arena *);          /* NULL is allowed */
size_t xfc_arena_bytes(const xfc_arena *); /* bytes reserved from the system */

void *xfc_alloc(xfc_arena *, size_t size, size_t align); /* align: power of two <= 4096; size 0 gives a valid pointer */
void *xfc_memdup(xfc_arena *, const void *data, size_t size, size_t align);

#define xfc_new(arena, type) ((type *)xfc_alloc((arena), sizeof(type), _Alignof(type)))
#define xfc_new_array(arena, type, n) ((type *)xfc_alloc_array((arena), (n), sizeof(type), _Alignof(type)))
#define xfc_dup_array(arena, type, data, n)                                                                            \
    ((type *)xfc_memdup((arena), (data), (size_t)(n) * sizeof(type), _Alignof(type)))
void *xfc_alloc_array(xfc_arena *, size_t n, size_t size, size_t align); /* n * size checked */

/* Growable array in an arena: `T *items; uint32_t n, cap;`, then xfc_push(arena, items, n, cap) = value; */
void *xfc_grow(xfc_arena *, void *items, uint32_t n, uint32_t *cap, size_t size, size_t align);
#define xfc_push(arena, items, n, cap)                                                                                 \
    (*((items) = xfc_grow((arena), (items), (n), &(cap), sizeof(*(items)), _Alignof(max_align_t)), (items) + (n)++))

#endif

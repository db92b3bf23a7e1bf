/* map.h - the one hash map: 64-bit keys (pointers, ids, hashes) to 64-bit values (pointers, ids).
 *
 * Open addressing in an arena; grows; no deletion (set the value to 0). Iteration is by insertion order, so that
 * nothing printed ever depends on addresses.
 */
#ifndef XFC_MAP_H
#define XFC_MAP_H
#include "ir/base/arena.h"

typedef struct {
    uint64_t key, value;
} xfc_map_entry;
typedef struct {
    xfc_arena *arena;
    uint32_t *slot;       /* index + 1 into entries; 0 = free */
    xfc_map_entry *entry; /* insertion order */
    uint32_t n, cap, n_slots;
} xfc_map; /* start from {.arena = a} */

void xfc_map_set(xfc_map *, uint64_t key, uint64_t value);
bool xfc_map_find(const xfc_map *, uint64_t key, uint64_t *value); /* value may be NULL */

static inline uint64_t xfc_map_get(const xfc_map *m, uint64_t key) { /* 0 when absent */
    uint64_t v = 0;
    return xfc_map_find(m, key, &v) ? v : 0;
}
static inline void xfc_map_set_ptr(xfc_map *m, const void *key, const void *value) {
    xfc_map_set(m, (uint64_t)(uintptr_t)key, (uint64_t)(uintptr_t)value);
}
static inline void *xfc_map_get_ptr(const xfc_map *m, const void *key) {
    return (void *)(uintptr_t)xfc_map_get(m, (uint64_t)(uintptr_t)key);
}
uint64_t xfc_hash(const void *data, size_t n, uint64_t seed); /* 64-bit, stable across machines and runs */

#endif

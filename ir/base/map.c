/* map.c - the hash map and the hash.
 *
 * Entries stand in an array in insertion order; a power-of-two table of indices into it is probed linearly and kept at
 * most half full. Keys are spread by a multiplication, so pointers and small ids do equally well. Nothing is deleted.
 */
#include "ir/base/map.h"

#include <string.h>

#define MIX1 UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio; odd */
#define MIX2 UINT64_C(0xd1342543de82ef95)

static uint64_t finish(uint64_t h) {
    h = (h ^ (h >> 32)) * MIX2;
    h = (h ^ (h >> 29)) * MIX1;
    return h ^ (h >> 32);
}

/* The slot of key, or the free slot where it belongs. The table is never full. */
static uint32_t probe(const xfc_map *m, uint64_t key) {
    uint32_t mask = m->n_slots - 1, i = (uint32_t)finish(key) & mask;
    while (m->slot[i] && m->entry[m->slot[i] - 1].key != key) i = (i + 1) & mask;
    return i;
}

static void rehash(xfc_map *m) {
    xfc_assert(m->n_slots < UINT32_C(1) << 31);
    m->n_slots = m->n_slots ? m->n_slots * 2 : 16;
    m->slot = xfc_new_array(m->arena, uint32_t, m->n_slots);
    for (uint32_t i = 0; i < m->n; i++) m->slot[probe(m, m->entry[i].key)] = i + 1;
}

void xfc_map_set(xfc_map *m, uint64_t key, uint64_t value) {
    if (m->n >= m->n_slots / 2) rehash(m);
    uint32_t i = probe(m, key);
    if (m->slot[i]) {
        m->entry[m->slot[i] - 1].value = value;
        return;
    }
    xfc_push(m->arena, m->entry, m->n, m->cap) = (xfc_map_entry){key, value};
    m->slot[i] = m->n;
}

bool xfc_map_find(const xfc_map *m, uint64_t key, uint64_t *value) {
    if (m->n_slots == 0) return false;
    uint32_t i = probe(m, key);
    if (!m->slot[i]) return false;
    if (value) *value = m->entry[m->slot[i] - 1].value;
    return true;
}

/* Written out, since compilers make one load of it. */
static uint64_t load8(const unsigned char *p) {
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static uint64_t load_rest(const unsigned char *p, size_t n) {
    uint64_t w = 0;
    for (size_t i = 0; i < n; i++) w |= (uint64_t)p[i] << (8 * i);
    return w;
}

/* Each step is a bijection of the state for a given word, so no input bit is lost before the end. Weights of hundreds
 * of megabytes pass through here: words are read whole, little-endian on every machine. */
uint64_t xfc_hash(const void *data, size_t n, uint64_t seed) {
    const unsigned char *p = data;
    uint64_t h = finish(seed + MIX1) ^ ((uint64_t)n * MIX2);
    for (; n >= 8; n -= 8, p += 8) {
        h = (h ^ load8(p)) * MIX1;
        h ^= h >> 32;
    }
    if (n) h = (h ^ load_rest(p, n)) * MIX1;
    return finish(h);
}

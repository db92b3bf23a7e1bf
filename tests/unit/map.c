/* Tests of ir/base/map: against a plain array, insertion order, the hash. */
#include "ir/base/map.h"

#include "tests/unit/test.h"

static void against_array(xfc_arena *a) {
    enum { KEYS = 5000 };
    static uint64_t value[KEYS];
    static bool set[KEYS];
    xfc_map m = {.arena = a};
    uint64_t s = 7, found;
    CHECK(!xfc_map_find(&m, 0, NULL));
    CHECK_INT(xfc_map_get(&m, 3), 0);
    for (int i = 0; i < 60000; i++) {
        uint64_t k = test_random(&s) % KEYS, key = k << 40 | (k & 1); /* keys that differ only in high bits */
        CHECK(xfc_map_find(&m, key, &found) == set[k] && (!set[k] || found == value[k]));
        if (test_random(&s) % 4) continue;
        value[k] = test_random(&s);
        set[k] = true;
        xfc_map_set(&m, key, value[k]);
    }
    uint32_t n = 0;
    for (int k = 0; k < KEYS; k++) n += set[k];
    CHECK_INT(m.n, n);
}

static void order_and_zero(xfc_arena *a) {
    xfc_map m = {.arena = a};
    for (uint64_t i = 0; i < 100; i++) xfc_map_set(&m, (i * 37) % 101, i);
    for (uint64_t i = 0; i < 100; i++) xfc_map_set(&m, (i * 37) % 101, i + 1); /* overwriting keeps the place */
    CHECK_INT(m.n, 100);
    for (uint64_t i = 0; i < 100; i++) CHECK(m.entry[i].key == (i * 37) % 101 && m.entry[i].value == i + 1);
    uint64_t v = 1;
    xfc_map_set(&m, 5, 0);
    CHECK(xfc_map_find(&m, 5, &v) && v == 0);
    int x = 0;
    CHECK(xfc_map_get_ptr(&m, &x) == NULL);
    xfc_map_set_ptr(&m, &x, &m);
    CHECK(xfc_map_get_ptr(&m, &x) == &m);
}

static void hashes(xfc_arena *a) {
    CHECK_INT(xfc_hash("", 0, 0), xfc_hash(NULL, 0, 0));
    unsigned char data[64] = {0};
    xfc_map seen = {.arena = a};
    uint32_t n = 0;
    for (size_t size = 0; size <= sizeof(data); size++) { /* every length, seed and bit counts */
        for (size_t bit = 0; bit < size * 8 + 1; bit++) {
            if (bit) data[(bit - 1) / 8] ^= (unsigned char)(1u << (bit - 1) % 8);
            xfc_map_set(&seen, xfc_hash(data, size, 0), 1);
            xfc_map_set(&seen, xfc_hash(data, size, 1), 1);
            n += 2;
            if (bit) data[(bit - 1) / 8] ^= (unsigned char)(1u << (bit - 1) % 8);
        }
    }
    CHECK_INT(seen.n, n);
    unsigned char shifted[65]; /* no dependence on alignment */
    for (unsigned i = 0; i < 64; i++) shifted[i + 1] = data[i] = (unsigned char)(i * 7);
    CHECK(xfc_hash(data, 64, 3) == xfc_hash(shifted + 1, 64, 3));
    /* The same on every machine: symbols of kernels and caches depend on it. */
    CHECK(xfc_hash("transformer", 11, 0) == UINT64_C(0xdcacbdd3d286acd6));
}

int main(void) {
    xfc_arena *a = xfc_arena_new();
    against_array(a);
    order_and_zero(a);
    hashes(a);
    xfc_arena_free(a);
    return test_end();
}

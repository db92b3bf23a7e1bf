/* Tests of ir/base/arena: alignment, zeroes, growth, reset, sizes that do not exist. */
#include "ir/base/arena.h"

#include "tests/unit/test.h"

static bool all_zero(const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

static void many_sizes(xfc_arena *a, uint64_t seed) {
    enum { N = 3000 };
    static unsigned char *block[N];
    static size_t size[N];
    uint64_t s = seed;
    for (unsigned i = 0; i < N; i++) {
        size_t align = (size_t)1 << (test_random(&s) % 13);
        size_t n = test_random(&s) % 100 == 0 ? (size_t)(test_random(&s) % 300000) : (size_t)(test_random(&s) % 200);
        unsigned char *p = xfc_alloc(a, n, align);
        if (!CHECK(p && (uintptr_t)p % align == 0) || !CHECK(all_zero(p, n))) return;
        memset(p, (int)(i % 251) + 1, n);
        block[i] = p;
        size[i] = n;
    }
    for (unsigned i = 0; i < N; i++) /* nobody wrote into a neighbour */
        for (size_t k = 0; k < size[i]; k++)
            if (block[i][k] != (i % 251) + 1) {
                CHECK_INT(block[i][k], (i % 251) + 1);
                return;
            }
}

static void resets(void) {
    xfc_arena *a = xfc_arena_new();
    for (uint64_t round = 1; round <= 4; round++) {
        many_sizes(a, round);
        CHECK(xfc_arena_bytes(a) > 100000);
        xfc_arena_reset(a);
        CHECK(xfc_arena_bytes(a) <= (2u << 20));
    }
    xfc_alloc(a, 10 << 20, 64); /* a chunk of its own, in an arena that keeps another */
    xfc_arena_reset(a);
    CHECK(xfc_arena_bytes(a) <= (2u << 20));
    xfc_arena_free(a);
    a = xfc_arena_new();
    xfc_alloc(a, 10 << 20, 64); /* and in one that has no other */
    xfc_arena_reset(a);
    CHECK(xfc_arena_bytes(a) < 1000);
    memset(xfc_alloc(a, 100, 1), 1, 100);
    xfc_arena_free(a);
    xfc_arena_free(NULL);
}

static void growing_arrays(void) {
    xfc_arena *a = xfc_arena_new();
    uint64_t *x = NULL, *y = NULL;
    uint32_t n_x = 0, cap_x = 0, n_y = 0, cap_y = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        xfc_push(a, x, n_x, cap_x) = i;
        if (i % 3 == 0) xfc_push(a, y, n_y, cap_y) = i * i; /* two arrays in turns, and one alone in between */
    }
    CHECK_INT(n_x, 100000);
    CHECK(cap_x >= n_x && cap_y >= n_y);
    bool same = true;
    for (uint64_t i = 0; i < n_x; i++) same = same && x[i] == i;
    for (uint64_t i = 0; i < n_y; i++) same = same && y[i] == 9 * i * i;
    CHECK(same);
    for (uint32_t i = n_x; i < cap_x; i++) same = same && x[i] == 0; /* room that was never used is zero */
    CHECK(same);
    xfc_arena_free(a);
}

static void copies_and_edges(void) {
    xfc_arena *a = xfc_arena_new();
    int data[5] = {1, 2, 3, 4, 5};
    int *copy = xfc_dup_array(a, int, data, 5);
    CHECK(copy != data && memcmp(copy, data, sizeof(data)) == 0);
    CHECK(xfc_alloc(a, 0, 1) != NULL);
    CHECK(xfc_memdup(a, NULL, 0, 8) != NULL);
    CHECK(xfc_alloc(a, 0, 1) != xfc_alloc(a, 0, 1));
    CHECK_EXIT(1, (void)xfc_new_array(a, int, SIZE_MAX / 2));
    CHECK_EXIT(1, xfc_alloc(a, SIZE_MAX - 8, 64));
    CHECK_EXIT(70, xfc_alloc(a, 8, 3));
    CHECK_EXIT(70, xfc_alloc(a, 8, 8192));
    xfc_arena_free(a);
}

int main(void) {
    resets();
    growing_arrays();
    copies_and_edges();
    return test_end();
}

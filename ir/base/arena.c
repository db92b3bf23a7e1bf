/* arena.c - the region allocator behind everything the compiler allocates.
 *
 * A list of zeroed chunks from calloc; requests are cut from the newest one, and those that would waste most of a chunk
 * get one of their own. Chunks start at 64 KiB and double up to 1 MiB, so that a small context is small and a large
 * model makes few calls. The only file of the compiler that talks to malloc.
 * Under AddressSanitizer what was not handed out is poisoned, with a gap after every object, so overflows are found.
 */
#include "ir/base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
enum { GAP = 16, MIN_ALIGN = 8 };
#define HIDE(p, n) __asan_poison_memory_region((p), (n))
#define SHOW(p, n) __asan_unpoison_memory_region((p), (n))
#else
enum { GAP = 0, MIN_ALIGN = 1 };
#define HIDE(p, n) ((void)0)
#define SHOW(p, n) ((void)0)
#endif

enum { FIRST_CHUNK = 64 << 10, LAST_CHUNK = 1 << 20, MAX_ALIGN = 4096 };

typedef struct chunk {
    struct chunk *next;
    size_t size;
    char *data;
} chunk;

struct xfc_arena {
    chunk *chunks; /* the first one is being cut */
    char *at, *end;
    size_t next_size, bytes;
};

XFC_NORETURN static void out_of_memory(size_t size) {
    fprintf(stderr, "xfc: error: out of memory (%zu more bytes wanted); compile on a machine with more memory\n", size);
    exit(1);
}

static chunk *chunk_new(xfc_arena *a, size_t size) {
    size_t total;
    if (__builtin_add_overflow(size, sizeof(chunk), &total)) out_of_memory(size);
    chunk *c = calloc(1, total);
    if (!c) out_of_memory(size);
    c->size = size;
    c->data = (char *)(c + 1);
    a->bytes += total;
    HIDE(c->data, size);
    return c;
}

static void chunks_free(chunk *c) {
    while (c) {
        chunk *next = c->next;
        SHOW(c->data, c->size);
        free(c);
        c = next;
    }
}

xfc_arena *xfc_arena_new(void) {
    xfc_arena *a = calloc(1, sizeof(*a));
    if (!a) out_of_memory(sizeof(*a));
    a->next_size = FIRST_CHUNK;
    return a;
}

/* The chunk being cut stays, so that emptying a scratch arena after every small job costs what the job used. */
void xfc_arena_reset(xfc_arena *a) {
    chunk *keep = a->chunks;
    if (!keep || !a->at) { /* only objects with chunks of their own */
        chunks_free(keep);
        *a = (xfc_arena){.next_size = FIRST_CHUNK};
        return;
    }
    chunks_free(keep->next);
    keep->next = NULL;
    SHOW(keep->data, (size_t)(a->at - keep->data));
    memset(keep->data, 0, (size_t)(a->at - keep->data));
    HIDE(keep->data, keep->size);
    a->at = keep->data;
    a->bytes = keep->size + sizeof(chunk);
}

void xfc_arena_free(xfc_arena *a) {
    if (!a) return;
    chunks_free(a->chunks);
    free(a);
}

size_t xfc_arena_bytes(const xfc_arena *a) { return a->bytes + sizeof(*a); }

static size_t padding(const char *p, size_t align) { return (size_t)(-(uintptr_t)p & (align - 1)); }

/* An object too large to share a chunk; the one being cut stays first. */
static void *alloc_alone(xfc_arena *a, size_t size, size_t align) {
    size_t room;
    if (__builtin_add_overflow(size, align + GAP, &room)) out_of_memory(size);
    chunk *c = chunk_new(a, room);
    if (a->chunks) {
        c->next = a->chunks->next;
        a->chunks->next = c;
    } else {
        a->chunks = c;
    }
    char *p = c->data + padding(c->data, align);
    SHOW(p, size);
    return p;
}

static void open_chunk(xfc_arena *a) {
    chunk *c = chunk_new(a, a->next_size);
    c->next = a->chunks;
    a->chunks = c;
    a->at = c->data;
    a->end = c->data + c->size;
    if (a->next_size < LAST_CHUNK) a->next_size *= 2;
}

static bool fits(const xfc_arena *a, size_t size, size_t align) {
    if (!a->at) return false;
    size_t room = (size_t)(a->end - a->at);
    return size <= room && padding(a->at, align) + GAP <= room - size;
}

void *xfc_alloc(xfc_arena *a, size_t size, size_t align) {
    xfc_assert(align > 0 && align <= MAX_ALIGN && (align & (align - 1)) == 0);
    if (align < MIN_ALIGN) align = MIN_ALIGN;
    if (size == 0) size = 1;
    if (!fits(a, size, align)) {
        if (size > a->next_size / 4) return alloc_alone(a, size, align);
        open_chunk(a);
    }
    char *p = a->at + padding(a->at, align);
    a->at = p + size + GAP;
    SHOW(p, size);
    return p;
}

void *xfc_alloc_array(xfc_arena *a, size_t n, size_t size, size_t align) {
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) out_of_memory(SIZE_MAX);
    return xfc_alloc(a, total, align);
}

void *xfc_memdup(xfc_arena *a, const void *data, size_t size, size_t align) {
    void *p = xfc_alloc(a, size, align);
    if (size) memcpy(p, data, size);
    return p;
}

void *xfc_grow(xfc_arena *a, void *items, uint32_t n, uint32_t *cap, size_t size, size_t align) {
    if (n < *cap) return items;
    if (n > UINT32_MAX / 2) out_of_memory(SIZE_MAX);
    uint32_t more = n < 4 ? 8 : n * 2;
    size_t old_bytes = *cap * size, new_bytes;
    if (__builtin_mul_overflow((size_t)more, size, &new_bytes)) out_of_memory(SIZE_MAX);
    *cap = more;
    /* The array was the last thing handed out: it grows where it stands. */
    if (!GAP && items && (char *)items + old_bytes == a->at && new_bytes - old_bytes <= (size_t)(a->end - a->at)) {
        a->at += new_bytes - old_bytes;
        return items;
    }
    void *p = xfc_alloc(a, new_bytes, align);
    if (n) memcpy(p, items, n * size);
    return p;
}

/* count_alloc.c - counts the allocations of the whole process by standing in front of glibc's allocator. */
#include "test_runtime.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

#pragma GCC visibility push(default) /* so that shared objects find these first */
static atomic_long n;

void *malloc(size_t size) {
    n++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    n++;
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size) {
    n++;
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size) {
    n++;
    return __libc_memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size);
int posix_memalign(void **p, size_t align, size_t size) {
    n++;
    return (*p = __libc_memalign(align, size)) ? 0 : ENOMEM;
}

#pragma GCC visibility pop

static long count(void) { return n; }

__attribute__((constructor)) static void install(void) { count_allocations = count; }

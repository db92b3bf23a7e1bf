/* storage.c - see storage.h. Each storage is an arena of its own: large chunks are the system's to take back. */
#define _DEFAULT_SOURCE /* madvise */
#include "ir/storage.h"

#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 64 };

struct xfc_storages {
    xfc_storage *first;
    xfc_map at; /* data -> xfc_storage *, of those that are not mapped */
};

static void free_all(void *user) {
    const xfc_storages *all = user;
    for (const xfc_storage *s = all->first; s; s = s->next) xfc_arena_free(s->arena);
}

static xfc_storage *add(xfc_ctx *c, xfc_storage from) {
    if (!c->storages) {
        c->storages = xfc_new(c->arena, xfc_storages);
        c->storages->at.arena = c->arena;
        xfc_ctx_at_exit(c, free_all, c->storages);
    }
    xfc_storages *all = c->storages;
    xfc_storage *s = xfc_dup_array(c->arena, xfc_storage, &from, 1);
    s->next = all->first;
    s->link = &all->first;
    if (s->next) s->next->link = &s->next;
    all->first = s;
    if (!s->mapped) xfc_map_set_ptr(&all->at, s->data, s);
    return s;
}

xfc_storage *xfc_storage_new(xfc_ctx *c, size_t bytes) {
    xfc_arena *arena = xfc_arena_new();
    return add(c, (xfc_storage){.data = xfc_alloc(arena, bytes, ALIGN), .bytes = bytes, .arena = arena});
}

xfc_storage *xfc_storage_map(xfc_ctx *c, const void *data, size_t bytes) {
    return add(c, (xfc_storage){.data = data, .bytes = bytes, .mapped = true});
}

xfc_storage *xfc_storage_at(const xfc_ctx *c, const void *data) {
    return c->storages ? xfc_map_get_ptr(&c->storages->at, data) : NULL;
}

void xfc_storage_hold(xfc_storage *s) {
    if (!s) return;
    s->holds++;
    s->held = true;
}

void xfc_storage_let_go(xfc_storage *s) {
    if (!s) return;
    xfc_assert(s->holds > 0);
    s->holds--;
}

void xfc_drop_pages(const void *data, size_t n) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)data + page - 1) / page * page,
              end = ((uintptr_t)data + n) / page * page;
    if (end > begin) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void xfc_storage_rest(const xfc_storage *s) {
    if (s && s->mapped) xfc_drop_pages(s->data, s->bytes);
}

void xfc_storage_release(xfc_ctx *c, xfc_storage *s) {
    if (!s || s->holds || !s->held) return;
    xfc_storage_rest(s);
    if (s->mapped) return;
    xfc_map_set_ptr(&c->storages->at, s->data, NULL); /* the system may hand out the same address again */
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    s->gone = true;
    xfc_arena_free(s->arena);
}

void xfc_storage_sweep(xfc_ctx *c) {
    for (xfc_storage *s = c->storages ? c->storages->first : NULL, *next; s; s = next) {
        next = s->next;
        xfc_storage_release(c, s);
    }
}

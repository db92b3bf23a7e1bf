/* registry.c - the list of backends; the first is the default. */
#include "backends/backend.h"
#include "ir/base/str.h"
#include <string.h>

const xfc_backend *const xfc_backends[] = {&xfc_backend_cpu, &xfc_backend_cuda, NULL};

const xfc_backend *xfc_backend_find(const char *name) {
    for (size_t i = 0; xfc_backends[i]; i++)
        if (strcmp(xfc_backends[i]->name, name) == 0) return xfc_backends[i];
    return NULL;
}

const char *xfc_backend_isas(const xfc_backend *b, xfc_arena *arena, const char *between) {
    xfc_buf text = {.arena = arena};
    for (uint32_t i = 0; b->isas[i]; i++) xfc_buf_printf(&text, "%s%s", i ? between : "", b->isas[i]);
    return text.text;
}

/* registry.c - the list of backends; the first is the default. */
#include "backends/backend.h"
#include <string.h>

const xfc_backend *const xfc_backends[] = {&xfc_backend_cpu, &xfc_backend_cuda, NULL};

const xfc_backend *xfc_backend_find(const char *name) {
    for (size_t i = 0; xfc_backends[i]; i++)
        if (strcmp(xfc_backends[i]->name, name) == 0) return xfc_backends[i];
    return NULL;
}

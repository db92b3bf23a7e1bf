/* load.c - see load.h. Files go to a fresh directory under TMPDIR and are removed once they are mapped. */
#define _POSIX_C_SOURCE 200809L
#include "tests/codegen/load.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool test_cpu_has(const char *isa) {
    if (strcmp(isa, "x86-64-v2") == 0) return __builtin_cpu_supports("sse4.2") != 0;
    if (strcmp(isa, "x86-64-v3") == 0) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(isa, "x86-64-v4-bf16") == 0 && !__builtin_cpu_supports("avx512bf16")) return false;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static void die(const char *what) {
    fprintf(stderr, "cannot %s\n", what);
    exit(2);
}

void *test_load(const xfc_blob *object) {
    const char *base = getenv("TMPDIR");
    char dir[256], in[300], out[300], command[1024];
    snprintf(dir, sizeof dir, "%s/xfc-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir)) die("make a directory");
    snprintf(in, sizeof in, "%s/k.o", dir);
    snprintf(out, sizeof out, "%s/k.so", dir);
    FILE *f = fopen(in, "wb");
    if (!f || fwrite(object->data, 1, object->n, f) != object->n || fclose(f)) die("write the object");
    snprintf(command, sizeof command, "cc -shared -Wl,-z,defs -o '%s' '%s' -lm", out, in);
    if (system(command) != 0) die("link the object");
    void *library = dlopen(out, RTLD_NOW | RTLD_LOCAL);
    if (!library) die(dlerror());
    unlink(in);
    unlink(out);
    rmdir(dir);
    return library;
}

xf_kernel_fn test_function(void *library, const char *name) {
    void *p = dlsym(library, name);
    xf_kernel_fn fn;
    if (!p) die(name);
    memcpy(&fn, &p, sizeof fn); /* C has no cast from data to code */
    return fn;
}

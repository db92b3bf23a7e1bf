/* memory.c - runs a compiled text encoder in an otherwise empty process and says what memory that took, as JSON.
 *
 *     model_memory MODEL.so BATCH LENGTH THREADS
 *
 * Bytes resident before the .so is loaded and after three runs in memory of the caller (none of it touched before), how
 * much of the latter is the file's own pages (weights and code, shared with other processes), the planned workspace,
 * and how often anything in the process allocated from the first run on. Inputs are int64 [BATCH, LENGTH]: ids, or ones
 * where the name says mask.
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xf.h>

enum { MAX_VALUES = 16 };

/* --- every allocation of the process passes here --- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
static atomic_long allocations;

#pragma GCC visibility push(default) /* so that shared objects find these first */
void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size) {
    allocations++;
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size) {
    allocations++;
    return __libc_memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size);
int posix_memalign(void **p, size_t align, size_t size) {
    allocations++;
    return (*p = __libc_memalign(align, size)) ? 0 : ENOMEM;
}
#pragma GCC visibility pop

/* --- what the kernel says is resident --- */

/* The sum of "Rss:" over the mappings whose file name ends with `name`, or over all of them. */
static long resident(const char *name) {
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[4608];
    long sum = 0, kib;
    int counts = 0;
    if (!f) return -1;
    while (fgets(line, sizeof line, f)) {
        size_t n = strcspn(line, "\n"), k = name ? strlen(name) : 0;
        if (strchr("0123456789abcdef", line[0]))
            counts = !name || (n > k && !memcmp(line + n - k, name, k) && line[n - k - 1] == '/');
        if (counts && sscanf(line, "Rss: %ld kB", &kib) == 1) sum += kib;
    }
    fclose(f);
    return sum * 1024;
}

static int fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static void fill(const xf_io_info *info, int64_t *data, int64_t *shape, xf_tensor *t) {
    int mask = strstr(info->name, "mask") != NULL, type = strstr(info->name, "type") != NULL;
    for (int64_t i = 0; i < shape[0] * shape[1]; i++) data[i] = mask ? 1 : type ? 0 : 1000 + i % 97;
    *t = (xf_tensor){.data = data, .device = {1, 0}, .ndim = 2, .dtype = info->dtype, .shape = shape};
}

int main(int argc, char **argv) {
    if (argc != 5) return fail("usage", "model_memory MODEL.so BATCH LENGTH THREADS");
    int64_t shape[2] = {atoll(argv[2]), atoll(argv[3])};
    int64_t *data = malloc((size_t)(shape[0] * shape[1]) * sizeof *data * MAX_VALUES);
    const char *file = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
    if (!data) return fail("memory", "none");
    long before = resident(NULL);

    void *so = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!so) return fail(argv[1], dlerror());
    xf_get_api_fn get_api;
    *(void **)&get_api = dlsym(so, "xf_get_api");
    const xf_api *xf = get_api ? get_api(XF_ABI_VERSION) : NULL;
    xf_model *model = NULL;
    xf_ctx *ctx = NULL;
    if (!xf || xf->open(NULL, &model) != XF_OK) return fail("open", xf ? xf->last_error(NULL) : "another ABI");
    xf_tensor in[MAX_VALUES], out[MAX_VALUES] = {{0}};
    size_t n_in = xf->num_inputs(model), n_out = xf->num_outputs(model), bytes;
    if (n_in > MAX_VALUES || n_out > MAX_VALUES) return fail("model", "too many inputs or outputs");
    for (size_t i = 0; i < n_in; i++)
        fill(xf->input_info(model, i), data + (int64_t)i * shape[0] * shape[1], shape, &in[i]);
    if (xf->workspace_size(model, in, n_in, atoi(argv[4]), &bytes) != XF_OK)
        return fail("workspace_size", xf->last_error(NULL));
    xf_ctx_opts opts = {
        .struct_size = sizeof opts, .num_threads = atoi(argv[4]), .arena = malloc(bytes), .arena_size = bytes};
    if (!opts.arena || xf->ctx_create(model, &opts, &ctx) != XF_OK) return fail("ctx_create", xf->last_error(NULL));
    long allocated = allocations;
    for (int i = 0; i < 3; i++)
        if (xf->run(ctx, in, n_in, out, n_out) != XF_OK) return fail("run", xf->last_error(ctx));
    allocated = allocations - allocated;
    printf("{\"before\": %ld, \"after\": %ld, \"of_file\": %ld, \"workspace\": %zu, \"allocations\": %ld}\n", before,
           resident(NULL), resident(file), bytes, allocated);
    xf->ctx_destroy(ctx);
    xf->release(model);
    free(opts.arena);
    free(data);
    dlclose(so);
    return 0;
}

/* kernels.c - code of a kernel is made once for all programs of a search.
 *
 * LLVM takes nine tenths of the compile of a small model, and most kernels of a setting are those of the one before. So
 * they have names that say what they are, and lie in objects in a folder: NAME.o is an object with this kernel, the same
 * file for all that are in it. A program is linked from those that it needs. What is not there yet is made by
 * as many processes as there are CPUs, an object each. The code is that of a whole module: no kernel knows another.
 */
#include "runtime/plan.h"
#include "tools/child.h"
#include "tools/lossy/lossy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const xf_emission *e;
    const char *isa, *dir;
    const char *const *name; /* by number */
    const uint32_t *lack;    /* numbers of kernels that are not there yet */
    uint32_t n;
} job;

static const char *path_of(const job *j, uint32_t kernel) {
    return xfc_sprintf(j->e->ctx->arena, "%s/%s.o", j->dir, j->name[kernel]);
}

/* All that this job lacks, in one object. */
static xfc_status make(const job *j) {
    xfc_ctx *ctx = j->e->ctx;
    xfc_kernel_set all = *j->e->set;
    xfc_blob object = {0};
    const char *first = j->n ? path_of(j, j->lack[0]) : NULL;
    if (!first) return XFC_OK;
    all.name = j->name;
    const xfc_kernel_set some = xfc_kernel_set_some(&all, j->lack, j->n, ctx->arena);
    const xf_emission e = {ctx, j->e->backend, &some, j->e->opt_level, false};
    XFC_TRY(xf_emit_isa(&e, j->isa, "obj", &object));
    bool done = xf_write_file(ctx, first, object.data, object.n);
    free(object.data);
    for (uint32_t i = 1; i < j->n && done; i++) done = link(first, path_of(j, j->lack[i])) == 0;
    if (done) return XFC_OK;
    return xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = first},
                    "cannot be written: %s; set TMPDIR to a directory with enough room", strerror(errno));
}

/* Says nothing: what went wrong goes wrong again in the parent. The list of leftovers has one writer, and the folder is in
 * it. */
static void work(const void *arg, int to) {
    const job *j = arg;
    (void)to;
    j->e->ctx->leftovers = NULL;
    make(j);
}

/* The kernels of the set that are not there. */
static job lacking(const job *all) {
    job some = *all;
    uint32_t *lack = xfc_new_array(all->e->ctx->arena, uint32_t, all->e->set->n_kernels);
    for (uint32_t i = 0; i < all->e->set->n_kernels; i++)
        if (access(path_of(all, i), F_OK) != 0) lack[some.n++] = i;
    some.lack = lack;
    return some;
}

/* One of n parts, which are disjoint: a kernel in two objects could not be linked. */
static job part_of(const job *whole, uint32_t at, uint32_t n) {
    job part = *whole;
    uint32_t *lack = xfc_new_array(whole->e->ctx->arena, uint32_t, whole->n);
    part.n = 0;
    for (uint32_t i = at; i < whole->n; i += n) lack[part.n++] = whole->lack[i];
    part.lack = lack;
    return part;
}

static xfc_status make_all(const job *all) {
    const uint32_t n = xf_n_cpus();
    xf_child *child = xfc_new_array(all->e->ctx->arena, xf_child, n);
    const job missing = lacking(all), mine = part_of(&missing, 0, n);
    for (uint32_t i = 1; i < n; i++) {
        const job theirs = part_of(&missing, i, n);
        if (theirs.n) xf_child_start(&child[i], work, &theirs);
    }
    xfc_status s = make(&mine);
    for (uint32_t i = 1; i < n; i++)
        if (child[i].pid) xf_child_end(&child[i]);
    const job rest = lacking(all); /* of those that did not come back */
    return s == XFC_OK ? make(&rest) : s;
}

static xfc_status read_object(const job *j, uint32_t kernel, xfc_blob *out) {
    xf_file file;
    const char *path = path_of(j, kernel);
    int error = xf_file_map(path, &file);
    if (error) return xfc_fail(j->e->ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be read: %s", strerror(error));
    *out = (xfc_blob){(void *)(uintptr_t)file.data, file.size};
    return XFC_OK;
}

/* Each once. */
static xfc_status read_objects(const job *j, xfc_blob *out, uint32_t *n) {
    const uint32_t all = j->e->set->n_kernels;
    ino_t *seen = xfc_new_array(j->e->ctx->arena, ino_t, all);
    for (uint32_t i = 0; i < all; i++) {
        struct stat st = {0};
        uint32_t k = 0;
        if (stat(path_of(j, i), &st) == 0)
            while (k < *n && seen[k] != st.st_ino) k++;
        if (k < *n) continue;
        seen[*n] = st.st_ino;
        XFC_TRY(read_object(j, i, &out[(*n)++]));
    }
    return XFC_OK;
}

xfc_status xf_link_shared(const char *dir, const xf_library *l, xfc_graph *g) {
    xfc_arena *arena = g->ctx->arena;
    const xfc_kernel_set *set = l->emission->set;
    const job all = {l->emission, l->isas[0], dir, xfc_kernel_set_digests(set, arena), NULL, 0};
    xfc_blob *object = xfc_new_array(arena, xfc_blob, set->n_kernels);
    uint32_t n = 0;
    XFC_TRY(make_all(&all));
    XFC_TRY(read_objects(&all, object, &n));
    return xf_link_library(l, g, &all.name, object, n);
}

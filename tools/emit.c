/* emit.c - see emit.h.
 *
 * LLVM takes most of a compile, and neither the ISAs nor the kernels of one have anything to do with each other; but the
 * compiler's context, which they all read and add expressions to, is not made for threads. So a part of the code is
 * emitted by a child process, which begins with the same context whoever else runs and sends its object through a pipe.
 * Where no child can be started, or one does not come back with an object, this process does the work itself, and what
 * went wrong is said from here.
 */
#define _GNU_SOURCE
#include "tools/emit.h"
#include "ir/text/text.h"
#include "runtime/runtime.h"
#include "tools/child.h"
#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef XFC_VERSION
#define XFC_VERSION "0.0.0"
#endif

typedef struct { /* what a child sends before the bytes */
    xfc_emit_times times;
    uint64_t n;
} head;

static void tell_time(const xf_emission *e, const char *isa, const xfc_emit_times *t, size_t n) {
    if (e->time)
        fprintf(stderr, "  emit %-12s %9.1f ms %9zu bytes: IR %.1f, optimised %.1f, code %.1f\n", isa,
                (t->write + t->optimise + t->code) * 1e3, n, t->write * 1e3, t->optimise * 1e3, t->code * 1e3);
}

static xfc_status emit(const xf_emission *e, const char *isa, const char *what, xfc_blob *out, xfc_emit_times *times) {
    xfc_target target;
    XFC_TRY(e->backend->configure(e->ctx, &target, isa));
    return e->backend->emit(e->ctx, &target, e->set, what, e->opt_level, out, times);
}

const char *xf_native_isa(xfc_ctx *ctx, const xfc_backend *backend) {
    const char *best = NULL;
    for (const char *const *isa = backend->isas; *isa; isa++) {
        xfc_target t;
        bool known = backend->configure(ctx, &t, *isa) == XFC_OK;
        if (known && t.level <= xf_cpu_level() && !(t.cpu_features & ~xf_cpu_features())) best = *isa;
    }
    return best;
}

xfc_status xf_emit_isa(const xf_emission *e, const char *isa, const char *what, xfc_blob *out) {
    xfc_emit_times times;
    XFC_TRY(emit(e, isa, what, out, &times));
    tell_time(e, isa, &times, out->n);
    return XFC_OK;
}

/* --- children --- */

/* Kernels of a part: few, so that parts end together; not too few, since a part costs LLVM some milliseconds. Fewer than
 * WHOLE are one part. What is in which part depends on the model alone, and so does what comes out. */
enum { KERNELS_OF_PART = 16, WHOLE = 5 };

typedef struct {
    xf_emission emission; /* of the part's set */
    xfc_kernel_set set;
    const char *isa;
    xfc_emit_times times;
} part;

/* Says nothing: what went wrong goes wrong again in the parent. */
static void work(const void *arg, int to) {
    const part *p = arg;
    xfc_blob object = {0};
    head h = {0};
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0 || dup2(nowhere, STDERR_FILENO) < 0) _exit(1);
    bool done = emit(&p->emission, p->isa, "obj", &object, &h.times) == XFC_OK;
    h.n = object.n;
    _exit(!(done && xf_send(to, &h, sizeof h) && xf_send(to, object.data, object.n)));
}

/* Without data: no object came. */
static void finish(part *p, const xf_child *c, xfc_blob *out) {
    head h;
    bool came = xf_receive(c->from, &h, sizeof h) && (out->data = malloc(h.n + 1)) != NULL &&
                xf_receive(c->from, out->data, h.n);
    if (xf_child_end(c) == 0 && came) {
        out->n = h.n;
        p->times = h.times;
        return;
    }
    free(out->data);
    *out = (xfc_blob){0};
}

uint32_t xf_n_cpus(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

typedef struct {
    uint32_t number, length;
} weighed;

static int longest_first(const void *a, const void *b) {
    const weighed *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static weighed *by_length(const xfc_kernel_set *set, xfc_arena *arena) {
    weighed *all = xfc_new_array(arena, weighed, set->n_kernels);
    for (uint32_t i = 0; i < set->n_kernels; i++) all[i] = (weighed){i, set->length[i]};
    qsort(all, set->n_kernels, sizeof *all, longest_first);
    return all;
}

/* Some of the kernels of each ISA. The longest ones go to a part each, the next ones in the other order, and so on, so that parts
 * take about as long; there is an even number of them, as of CPUs. */
static uint32_t parts_of(const xf_library *l, const char *const *const *name, part **out) {
    const xf_emission *e = l->emission;
    xfc_arena *arena = e->ctx->arena;
    const uint32_t all = e->set->n_kernels, least = (all + KERNELS_OF_PART - 1) / KERNELS_OF_PART,
                   n = all < WHOLE ? least : least + least % 2;
    const weighed *kernel = by_length(e->set, arena);
    uint32_t *number = xfc_new_array(arena, uint32_t, KERNELS_OF_PART), made = 0;
    *out = xfc_new_array(arena, part, (size_t)n * l->n_isas);
    for (uint32_t i = 0; i < l->n_isas; i++) {
        xfc_kernel_set named = *e->set;
        named.name = name[i];
        for (uint32_t at = 0; at < n; at++) {
            uint32_t k = 0;
            for (uint32_t round = 0; round * n < all; round++) {
                const uint32_t j = round * n + (round % 2 ? n - 1 - at : at);
                if (j < all) number[k++] = kernel[j].number;
            }
            part *p = &(*out)[made++];
            *p = (part){.emission = *e, .set = xfc_kernel_set_some(&named, number, k, arena), .isa = l->isas[i]};
            p->emission.set = &p->set;
        }
    }
    return made;
}

static void tell_parts(const xf_emission *e, const part *p, const xfc_blob *object, uint32_t n) {
    xfc_emit_times sum = {0};
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        const xfc_emit_times *t = &p[i].times;
        sum = (xfc_emit_times){sum.write + t->write, sum.optimise + t->optimise, sum.code + t->code};
        bytes += object[i].n;
        if (i + 1 < n && p[i + 1].isa == p[i].isa) continue;
        tell_time(e, p[i].isa, &sum, bytes);
        sum = (xfc_emit_times){0}, bytes = 0;
    }
}

/* A child that has something to say; its part. */
static uint32_t next_ready(struct pollfd *wait, uint32_t n) {
    while (poll(wait, n, -1) < 0 && errno == EINTR) {}
    for (uint32_t i = 0; i < n; i++)
        if (wait[i].fd >= 0 && wait[i].revents) return i;
    xfc_bug(__FILE__, __LINE__, "no part of the code ends");
}

/* What children make, at most `jobs` of them at once. */
static void emit_in_children(const xf_library *l, part *p, uint32_t n, xfc_blob *out) {
    xfc_arena *arena = l->emission->ctx->arena;
    const uint32_t jobs = l->jobs ? l->jobs : xf_n_cpus();
    xf_child *child = xfc_new_array(arena, xf_child, n);
    struct pollfd *wait = xfc_new_array(arena, struct pollfd, n);
    for (uint32_t started = 0, running = 0; started < n || running;) {
        if (started < n && running < jobs) {
            bool runs = xf_child_start(&child[started], work, &p[started]);
            wait[started] = (struct pollfd){.fd = runs ? child[started].from : -1, .events = POLLIN};
            running += runs;
            started++;
            continue;
        }
        const uint32_t i = next_ready(wait, started);
        finish(&p[i], &child[i], &out[i]);
        wait[i].fd = -1;
        running--;
    }
}

static xfc_status emit_parts(const xf_library *l, part *p, uint32_t n, xfc_blob *out) {
    if (n > 1) emit_in_children(l, p, n, out);
    for (uint32_t i = 0; i < n; i++)
        if (!out[i].data) XFC_TRY(emit(&p[i].emission, p[i].isa, "obj", &out[i], &p[i].times));
    tell_parts(l->emission, p, out, n);
    return XFC_OK;
}

/* --- a library --- */

/* "a,b" */
static const char *isa_list(const xf_library *l, xfc_arena *arena) {
    xfc_buf b = {.arena = arena};
    for (uint32_t i = 0; i < l->n_isas; i++) xfc_buf_printf(&b, "%s%s", i ? "," : "", l->isas[i]);
    return b.text;
}

static xfc_status link_library(const xf_library *l, xfc_graph *g, const char *const *const *name,
                               const xfc_blob *objects, uint32_t n, xfc_blob *plan) {
    xfc_ctx *ctx = l->emission->ctx;
    const char *meta[] = {"xfc.version",           XFC_VERSION, "model", g->name ? g->name : "", "isa",
                          isa_list(l, ctx->arena), NULL};
    xfc_buf text = {.arena = ctx->arena};
    XFC_TRY(xfc_plan_blobs(l->emission->set, meta, plan));
    g->source = NULL; /* the file's name says nothing of the model: under another it makes the same bytes */
    if (l->text) xfc_print_graph(&text, g, &(xfc_print_opts){.locations = true});
    const xfc_link_job job = {.objects = objects,
                              .n_objects = n,
                              .plan = plan,
                              .graph = g,
                              .ir_text = text.text,
                              .ir_bytes = text.n,
                              .output = l->output,
                              .linker = l->linker,
                              .sidecar = l->sidecar,
                              .isas = l->isas,
                              .name = name,
                              .n_isas = l->n_isas,
                              .n_kernels = l->emission->set->n_kernels,
                              .other = l->other,
                              .n_others = l->n_others};
    const double start = xf_seconds();
    XFC_TRY(xfc_link(ctx, &job));
    if (l->emission->time) fprintf(stderr, "  link                %9.1f ms\n", (xf_seconds() - start) * 1e3);
    return XFC_OK;
}

xfc_status xf_link_library(const xf_library *l, xfc_graph *g, const char *const *const *name, const xfc_blob *objects,
                           uint32_t n) {
    xfc_blob plan[XF_N_PLANS] = {{0}};
    xfc_status s = link_library(l, g, name, objects, n, plan);
    for (int i = 0; i < XF_N_PLANS; i++) free(plan[i].data);
    return s;
}

xfc_status xf_emit_library(const xf_library *l, xfc_graph *g) {
    xfc_arena *arena = l->emission->ctx->arena;
    const char *const **name = xfc_new_array(arena, const char *const *, l->n_isas);
    for (uint32_t i = 0; i < l->n_isas; i++) name[i] = xfc_kernel_set_names(l->emission->set, l->isas[i], arena);
    part *p;
    const uint32_t n = parts_of(l, name, &p);
    xfc_blob *objects = xfc_new_array(arena, xfc_blob, n);
    xfc_status s = emit_parts(l, p, n, objects);
    if (s == XFC_OK) s = xf_link_library(l, g, name, objects, n);
    for (uint32_t i = 0; i < n; i++) free(objects[i].data);
    return s;
}

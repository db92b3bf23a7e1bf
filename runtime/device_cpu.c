/* device_cpu.c - the CPU as a device: memory is the host's, a launch has ended when it returns. */
#define _GNU_SOURCE
#include "runtime/runtime.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const xf_dev *xf_device_find(int32_t type) {
    for (size_t i = 0; xf_devices[i]; i++)
        if (type == 0 || xf_devices[i]->where.device_type == type) return xf_devices[i];
    return NULL;
}

/* bytes: a multiple of the alignment it gets. */
static void *alloc(size_t bytes) {
    size_t align = bytes >= XF_HUGE_PAGE ? XF_HUGE_PAGE : XF_ALIGN;
    void *p = aligned_alloc(align, bytes);
    if (p && align == XF_HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE); /* fewer TLB misses; no matter if refused */
    return p;
}

static void release(void *p, size_t bytes) {
    (void)bytes;
    free(p);
}

static void copy(void *to, const void *from, size_t bytes) {
    if (bytes) memcpy(to, from, bytes);
}

int32_t xf_run_tasks(const xf_ctx *c, xf_kernel_fn body, void *frame, int64_t tasks, int64_t grain) {
    if (tasks <= 0) return 0;
    if (c->threads == 1 || tasks <= grain) return body(frame, 0, tasks, 0);
    return c->parallel(c->pool, tasks, grain < 1 ? 1 : grain, body, frame);
}

static void nothing(const xf_ctx *c) { (void)c; }

const xf_dev xf_device_cpu = {{1, 0}, true, alloc, release, copy, xf_run_tasks, nothing};

/* guarded.c - a device for tests: the CPU's kernels, and memory that the host cannot touch.
 *
 * Its pages can be read and written while a launch is under way or a copy is made, and not in between: whoever reads or
 * writes them without asking the device ends the process. It takes the place of runtime/devices.c, and
 * is the default.
 */
#define _GNU_SOURCE
#include "runtime/device.h"
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 64 };
static struct {
    char *start;
    size_t bytes;
} block[MOST];
static int n_blocks, n_open; /* launches and copies under way, of all contexts */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t pages(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static void protect_all(int protection) {
    for (int i = 0; i < n_blocks; i++) mprotect(block[i].start, block[i].bytes, protection);
}

static void open_all(void) {
    pthread_mutex_lock(&lock);
    if (n_open++ == 0) protect_all(PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&lock);
}

static void close_all(void) {
    pthread_mutex_lock(&lock);
    if (--n_open == 0) protect_all(PROT_NONE);
    pthread_mutex_unlock(&lock);
}

static void *guarded_alloc(size_t bytes) {
    pthread_mutex_lock(&lock);
    int protection = n_open ? PROT_READ | PROT_WRITE : PROT_NONE;
    void *p = n_blocks < MOST ? mmap(NULL, pages(bytes), protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (p != MAP_FAILED) {
        block[n_blocks].start = p;
        block[n_blocks++].bytes = pages(bytes);
    }
    pthread_mutex_unlock(&lock);
    return p == MAP_FAILED ? NULL : p;
}

static void guarded_release(void *p, size_t bytes) {
    if (!p) return;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_blocks; i++)
        if (block[i].start == p) block[i--] = block[--n_blocks];
    pthread_mutex_unlock(&lock);
    munmap(p, pages(bytes));
}

static void guarded_copy(void *to, const void *from, size_t bytes) {
    open_all();
    if (bytes) memcpy(to, from, bytes);
    close_all();
}

static int32_t guarded_launch(const xf_ctx *c, xf_kernel_fn body, void *frame, int64_t tasks, int64_t grain) {
    open_all();
    return xf_run_tasks(c, body, frame, tasks, grain);
}

static void guarded_wait(const xf_ctx *c) {
    (void)c;
    close_all();
}

static const xf_dev guarded = {{12, 0},      false,          guarded_alloc, guarded_release,
                               guarded_copy, guarded_launch, guarded_wait};
const xf_dev *const xf_devices[] = {&guarded, &xf_device_cpu, NULL};

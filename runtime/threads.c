/* threads.c - how many workers a context gets when nobody says.
 *
 * XF_NUM_THREADS, else OMP_NUM_THREADS (its first number), else the CPUs of the affinity mask, but no more than the CPU
 * quota of this process's cgroup (v2) and of those above it, rounded up: a container with two CPUs' worth of time on a
 * host of 64 gets 2. A value that is not a positive number is passed over.
 */
#define _GNU_SOURCE
#include "runtime/runtime.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int32_t clamp(int64_t n) { return n < 1 ? 1 : n > XF_MAX_THREADS ? XF_MAX_THREADS : (int32_t)n; }

/* The number that text starts with, after blanks; 0 if it is none. Ends at a character of `stop`. (strtoll is another
 * symbol in every other glibc.) */
static int64_t leading_number(const char *text, const char *stop) {
    int64_t n = 0;
    if (!text) return 0;
    text += strspn(text, " ");
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *text - '0', &n)) return 0;
    return *text == '\0' || strchr(stop, *text) ? n : 0;
}

static int64_t affinity_count(void) {
    union {
        unsigned long words[1024];
        cpu_set_t set;
    } mask; /* 65536 CPUs: cpu_set_t alone has 1024 */
    memset(&mask, 0, sizeof mask);
    if (sched_getaffinity(0, sizeof mask, &mask.set) != 0) return sysconf(_SC_NPROCESSORS_ONLN);
    int64_t n = 0;
    for (size_t i = 0; i < sizeof mask.words / sizeof mask.words[0]; i++)
        for (unsigned long w = mask.words[i]; w; w &= w - 1) n++;
    return n;
}

/* The start of a small file, as a string; false if it cannot be read. */
static bool read_text(const char *path, char *buf, size_t cap) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, buf, cap - 1);
    close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* CPUs that one cgroup's cpu.max ("QUOTA PERIOD" or "max PERIOD") allows; 0: no limit. */
static int64_t group_quota(const char *group) {
    char path[1200], text[64];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    if (!read_text(path, text, sizeof text)) return 0;
    int64_t quota = leading_number(text, " "), period = leading_number(strchr(text, ' '), "\n");
    return quota > 0 && period > 0 ? (quota - 1) / period + 1 : 0;
}

static int64_t cgroup_count(void) {
    char text[1100];
    if (!read_text("/proc/self/cgroup", text, sizeof text)) return 0;
    char *group = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
    if (!group) return 0;
    group = strchr(group, '/');
    group[strcspn(group, "\n")] = '\0';
    int64_t least = 0;
    for (;;) { /* the group, its parent, ... */
        int64_t n = group_quota(group);
        if (n > 0 && (least == 0 || n < least)) least = n;
        char *slash = strrchr(group, '/');
        if (!slash) return least;
        *slash = '\0';
    }
}

int32_t xf_default_threads(void) {
    int64_t n = leading_number(getenv("XF_NUM_THREADS"), "");
    if (n == 0) n = leading_number(getenv("OMP_NUM_THREADS"), ", ");
    if (n > 0) return clamp(n);
    int64_t cpus = affinity_count(), quota = cgroup_count();
    return clamp(quota > 0 && quota < cpus ? quota : cpus);
}

int32_t xf_thread_count(int32_t wanted) { return wanted > 0 ? clamp(wanted) : xf_default_threads(); }

/* child.h - a process that does a part of the work, begins with all that this one knows, and sends what came out through
 * a pipe. What it allocates goes with it; it ends with its parent, and a signal that ends the parent it takes in
 * silence. */
#ifndef XF_CHILD_H
#define XF_CHILD_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct {
    pid_t pid; /* 0: there is none */
    int from;
} xf_child;
typedef void xf_child_work(const void *arg, int to); /* 0 is the exit code when it returns */

bool xf_child_start(xf_child *, xf_child_work *, const void *arg); /* false: errno says why */
int xf_child_end(const xf_child *);                                /* stops listening, waits; as waitpid tells */
bool xf_send(int to, const void *data, size_t n);
bool xf_receive(int from, void *data, size_t n); /* false: it has ended before */

#endif

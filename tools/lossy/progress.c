/* progress.c - one line on a terminal that says how far long work is and how long it will take. */
#include "tools/lossy/lossy.h"
#include <stdio.h>
#include <unistd.h>

xf_progress xf_progress_new(bool quiet) {
    return (xf_progress){.on = !quiet && isatty(STDERR_FILENO), .start = xf_seconds()};
}

void xf_progress_show(void *progress, double share, const char *what) {
    enum { WIDTH = 30 };
    xf_progress *p = progress;
    char bar[WIDTH + 1] = {0};
    if (!p->on) return;
    if (share <= 0) p->start = xf_seconds();
    double spent = xf_seconds() - p->start;
    for (int i = 0; i < WIDTH; i++) bar[i] = i < share * (double)WIDTH ? '#' : '.';
    fprintf(stderr, "\r\033[Kxfc: [%s] %s", bar, what);
    if (share > 0) fprintf(stderr, ", %.0f s left", spent / share * (1 - share));
    fflush(stderr);
}

void xf_progress_end(const xf_progress *p) {
    if (p->on) fprintf(stderr, "\r\033[K");
}

/* leftover.h - what a process that ends early would leave behind: temporary files, and programs that it started.
 *
 * The list lies in memory that a parent process shares (tools/guard.c), so that somebody can clean up however this
 * process ends. One process writes to it. NULL stands for a list that nobody keeps: then adding does nothing.
 */
#ifndef XFC_LEFTOVER_H
#define XFC_LEFTOVER_H
#include "ir/base/base.h"

typedef struct xfc_leftovers xfc_leftovers;
xfc_leftovers *xfc_leftovers_new(void); /* NULL: no memory */
/* A file or a folder; relative paths count from where the process stands. */
void xfc_leftover_add(xfc_leftovers *, const char *path);
void xfc_leftover_drop(xfc_leftovers *, const char *path); /* it is gone, or meant to stay */
void xfc_leftover_group(xfc_leftovers *, int group);       /* processes that write into them; 0: none any more */
/* Ends the processes, removes the files. May be called in a signal handler. */
void xfc_leftovers_remove(xfc_leftovers *);

void xfc_remove_tree(const char *path); /* a file, or a folder with all that is in it; also in a signal handler */

#endif

/* guard.h - a tool that leaves nothing behind, however it ends.
 *
 * The work is done by a child process. The parent waits, removes what the child could not (ir/base/leftover.h), and
 * turns its death into a message and an exit code: LLVM ends the process where memory runs out, and so does the kernel.
 */
#ifndef XF_GUARD_H
#define XF_GUARD_H
#include "ir/base/leftover.h"

typedef int xf_guarded_main(int argc, char **argv, xfc_leftovers *); /* the list may be NULL */

/* The exit code. To be called first in main. Where no process can be started, the work is done in this one. */
int xf_guarded(const char *tool, xf_guarded_main *work, int argc, char **argv);

#endif

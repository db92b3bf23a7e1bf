/* outfile.h - a file that appears whole or not at all, whenever and however the process ends.
 *
 * What is written has no name until it is complete (O_TMPFILE); where the file system cannot do that, one of its own
 * beside the target. Then a rename puts it in place of what was there.
 */
#ifndef XFC_OUTFILE_H
#define XFC_OUTFILE_H
#include "ir/base/diag.h"

#include <sys/types.h>

typedef struct xfc_outfile {
    const char *path;
    char *beside; /* the name that it has meanwhile */
    int fd;
    bool named; /* beside is there */
    xfc_leftovers *leftovers;
} xfc_outfile;

/* mode: as of open(2). All answer false with errno set, and then nothing is left. */
bool xfc_outfile_open(xfc_outfile *, xfc_arena *, xfc_leftovers *, const char *path, mode_t mode);
bool xfc_outfile_done(xfc_outfile *);  /* all is written: gives it a name beside the target */
bool xfc_outfile_place(xfc_outfile *); /* after done: takes the place of path */
void xfc_outfile_drop(xfc_outfile *);  /* instead of done or place; keeps errno */
/* After done: each takes its place, or none does, and what was there before is there again. NULL, or the one that
 * failed. */
const xfc_outfile *xfc_outfiles_place(xfc_arena *, xfc_outfile *const *, uint32_t n);

/* What was read must not be replaced by what is made of it, under whatever name. */
struct stat;
void xfc_note_read(xfc_ctx *, const struct stat *);
bool xfc_was_read(const xfc_ctx *, const char *path); /* regular files only */

#endif

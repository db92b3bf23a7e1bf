/* pass_cli.h - what the tools that run passes share: options of passes, the table of passes, and the notes that passes
 * leave on a graph. */
#ifndef XF_PASS_CLI_H
#define XF_PASS_CLI_H
#include "passes/pass.h"
#include "tools/cli.h"

typedef struct { /* as given on the command line; NULL: not given */
    const char *unpad, *pre_rmsnorm, *fold_ln_affine, *pre_crmsnorm;
} xf_pass_words;

/* Rows of an option table whose destinations are in the xf_pass_words w. */
/* clang-format off */
#define XF_PASS_OPTIONS(w) \
    {XF_CLI_TEXT, "unpad", "auto|off|require", \
     "compute no padded token where a mask proves it (default auto);\nrequire: else fail, with the reasons", \
     &(w)->unpad}, \
    {XF_CLI_TEXT, "pre-rmsnorm", "auto|off|force", \
     "LayerNorms of a pre-norm network become RMSNorms\n(default auto: where that costs nothing; force: else fail)", \
     &(w)->pre_rmsnorm}, \
    {XF_CLI_TEXT, "fold-ln-affine", "on|off", \
     "scale and bias of a norm go into the weights behind it (default on)", &(w)->fold_ln_affine}, \
    {XF_CLI_TEXT, "pre-crmsnorm", "off|on", \
     "as pre-rmsnorm, with one channel fewer (default off)", &(w)->pre_crmsnorm}
/* clang-format on */

void xf_pass_words_read(const xf_pass_words *, xfc_pass_opts *out);
/* Names of passes on the command line; NULL: not given. */
typedef struct {
    const char *option; /* how the list of passes to run is called */
    const char *passes, *disable, *print_before, *print_after;
} xf_pass_names;
/* Every one exists, and what is disabled may be. False: a message for the tool is on stderr, and the exit code is 2. */
bool xf_pass_names_check(const char *tool, const xf_pass_names *);
int xf_pass_list(void); /* --list-passes: the exit code */

/* One line a note on stderr: FILE: note: [pass] node 'X': text; or one JSON object. */
void xf_notes_print(const xfc_graph *, bool as_json);
/* "node 'X': text", without the pass. */
void xf_note_text(xfc_buf *, const xfc_note *);
/* Notes as metadata "note.0", "note.1", ... = "[pass] node 'X': text", as many as fit into so many bytes, and a last one that
 * tells how many do not. */
enum { XF_NOTES_IN_ARTEFACT = 16384 };
void xf_notes_store(xfc_graph *, size_t most_bytes);
/* "outputs A, B hold 0 where MASK is 0", from the metadata that unpad leaves; false: no output does. */
bool xf_padding_text(const xfc_graph *, xfc_buf *);

#endif

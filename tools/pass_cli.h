/* pass_cli.h - what the tools that run passes share: options of passes, the table of passes, and the notes that passes
 * leave on a graph. */
#ifndef XF_PASS_CLI_H
#define XF_PASS_CLI_H
#include "passes/lossy/lossy.h"
#include "tools/cli.h"

typedef struct { /* as given on the command line; NULL: not given */
#define XFC_OPTION(field, ...) const char *field;
#include "passes/options.def"
#undef XFC_OPTION
} xf_pass_words;

/* A row of a tool's option table whose destination is in the xf_pass_words w. */
#define XF_PASS_OPTION(w, field, name, words, help) {XF_CLI_TEXT, name, words, help, &(w)->field},

void xf_pass_words_read(const xf_pass_words *, xfc_pass_opts *out);
extern const char xf_lossy_help[]; /* of --lossy: every kind and key */
/* --lossy=KIND[:key=value,...] of each kind, into the order of the pipeline. False: a message is on stderr, exit code 2. */
bool xf_lossy_read(const char *tool, xfc_ctx *, const xf_cli_list *given, xfc_lossy_opts *out);

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
/* Notes as metadata "note.0", "note.1", ... = "[pass] node 'X': text", as many as fit into so many bytes, and a last
 * one that tells how many do not. */
enum { XF_NOTES_IN_ARTEFACT = 16384 };
void xf_notes_store(xfc_graph *, size_t most_bytes);
/* "outputs A, B hold 0 where MASK is 0", from the metadata that unpad leaves; false: no output does. */
bool xf_padding_text(const xfc_graph *, xfc_buf *);

#endif

/* cli.h - options of the command-line tools as a table: `--name`, `--name=VALUE`, `--name VALUE`, `-oVALUE`,
 * @response-file.
 *
 * One dash and two are equal for long names. The same table prints --help, so a tool cannot have an undocumented
 * option.
 */
#ifndef XF_CLI_H
#define XF_CLI_H
#include "ir/base/arena.h"
#include "ir/base/str.h"
#include "ir/ir.h"

typedef enum { XF_CLI_SECTION, XF_CLI_FLAG, XF_CLI_TEXT, XF_CLI_LIST, XF_CLI_OFF } xf_cli_kind; /* OFF: stores false */
typedef struct {
    const char **item;
    uint32_t n, cap;
} xf_cli_list;
typedef struct {
    xf_cli_kind kind;
    const char *name;  /* without dashes; SECTION: the heading */
    const char *value; /* how the value is called in --help; NULL for flags. Begins with '?': may be left out */
    const char *help;  /* one or more lines */
    void *dest;        /* bool *, const char **, xf_cli_list * */
} xf_cli_option;
typedef struct {
    const char *tool, *usage, *about, *examples;
    const xf_cli_option *options;
    uint32_t n_options;
} xf_cli;

/* Fills the destinations; what is no option goes to rest. Answers 0 to go on, else 1 + the exit code (--help: 1, bad
 * usage: 3). */
int xf_cli_parse(const xf_cli *, xfc_arena *, int argc, char **argv, xf_cli_list *rest);
/* Prints what was recorded on stderr. The exit code is that of the worst status: unsupported operators first, since
 * they are what a user can act upon. */
int xf_report_diags(const xfc_ctx *, bool as_json);
bool xf_has_suffix(const char *, const char *suffix);
double xf_seconds(void);                                                  /* of a clock that only goes forward */
bool xf_read_file(xfc_arena *, const char *path, char **text, size_t *n); /* NUL-terminated; false: errno says why */
const char *xf_beside(xfc_arena *, const char *path, const char *name);   /* name in the folder of path */
/* A file of IR text; verified if wanted. NULL: recorded. */
xfc_graph *xf_parse_file(xfc_ctx *, const char *path, bool verify);
/* Writes beside path, then renames: never a partial file. "-" is stdout; a device or a pipe is written to as it is. */
bool xf_write_file(xfc_ctx *, const char *path, const void *data, size_t n);

#endif

/* cli.h - options of the command-line tools as a table: `--name`, `--name=VALUE`, `--name VALUE`, `-oVALUE`,
 * @response-file.
 *
 * One dash and two are equal for long names. The same table makes --help, manual pages and completion, so a tool cannot
 * have an undocumented option.
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

/* Fills the destinations; what is no option goes to rest, and all that stands behind `--`. Answers 0 to go on, else 1 +
 * the exit code (--help, --version: 1, bad usage: 3). A value called `a|b` must be one of these words. */
int xf_cli_parse(const xf_cli *, xfc_ctx *, int argc, char **argv, xf_cli_list *rest);
/* "xfc: note: TEXT" on stderr, or as --diagnostics=json wants it. */
void xf_note(const char *tool, bool json, const char *text);
/* One line on stderr; answers the exit code, 2. */
int xf_cli_wrong(const char *tool, const char *fmt, ...) XFC_PRINTF(2, 3);
/* Numbers of options: false with a message if the text is none in range. NULL leaves out as it is. option: with
 * dashes. */
bool xf_cli_int(const char *tool, const char *option, const char *text, int64_t least, int64_t most, int64_t *out);
bool xf_cli_tolerance(const char *tool, const char *option, const char *text, double *out);
/* cli_help.c: if the argument asks for it, prints --help, --version, or what is made of the same table for others:
 * --help=man (a manual page), --help=bash and --help=zsh (completion). */
bool xf_cli_help(const xf_cli *, const char *arg);
bool xf_cli_next_word(const char *value, const char **word, size_t *n); /* of a value called "a|b"; word starts NULL */

/* Prints what was recorded on stderr. The exit code is that of the worst status: unsupported operators first, since
 * they are what a user can act upon. */
int xf_report_diags(const xfc_ctx *, bool as_json);
bool xf_has_suffix(const char *, const char *suffix);
bool xf_parse_time(const char *text, double *seconds); /* "200ms", "3s", "3" */
double xf_seconds(void);                               /* of a clock that only goes forward */
/* NUL-terminated; at most so many bytes. False: errno says why. */
bool xf_read_file(xfc_ctx *, const char *path, size_t most, char **text, size_t *n);
#define XF_MAX_RESPONSE ((size_t)1 << 20)
#define XF_MAX_TEXT ((size_t)1 << 30)
#define XF_MAX_TENSOR ((size_t)1 << 40)
const char *xf_beside(xfc_arena *, const char *path, const char *name); /* name in the folder of path */
/* A file of IR text; verified if wanted. NULL: recorded. */
xfc_graph *xf_parse_file(xfc_ctx *, const char *path, bool verify);
/* Writes beside path, then renames: never a partial file. "-" is stdout; a device or a pipe is written to as it is. A
 * file that was read is not replaced. False: xf_write_error says why. */
bool xf_write_file(xfc_ctx *, const char *path, const void *data, size_t n);
const char *xf_write_error(void);
bool xf_write_all(int fd, const void *data, size_t n);

#endif

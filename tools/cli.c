/* cli.c - see cli.h. */
#define _POSIX_C_SOURCE 200809L

#include "tools/cli.h"
#include "ir/base/nearest.h"
#include "ir/base/outfile.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- usage errors --- */

enum { STOP_USAGE = 1 + 2 };

/* What was typed may hold any byte; one message is one line. A question stands for itself. */
int xf_cli_wrong(const char *tool, const char *fmt, ...) {
    xfc_arena *scratch = xfc_arena_new();
    xfc_buf raw = {.arena = scratch}, line = {.arena = scratch};
    va_list args;
    va_start(args, fmt);
    xfc_buf_vprintf(&raw, fmt, args);
    va_end(args);
    xfc_buf_plain(&line, raw.text);
    bool question = line.n && line.text[line.n - 1] == '?';
    fprintf(stderr, "%s: error: %s", tool, line.text);
    if (question)
        fputc('\n', stderr);
    else
        fprintf(stderr, "; see %s --help\n", tool);
    xfc_arena_free(scratch);
    return STOP_USAGE - 1;
}

static int bad_usage(const xf_cli *cli, const char *what, const char *arg, const char *hint) {
    xf_cli_wrong(cli->tool, "%s '%s'%s", what, arg, hint);
    return STOP_USAGE;
}

static bool is_number(const char *end, const char *text) { return end != text && !*end && errno == 0; }

bool xf_cli_int(const char *tool, const char *option, const char *text, int64_t least, int64_t most, int64_t *out) {
    if (!text) return true;
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (is_number(end, text) && *out >= least && *out <= most) return true;
    if (most == INT64_MAX)
        xf_cli_wrong(tool, "%s '%s': a whole number from %" PRId64 " on is needed", option, text, least);
    else
        xf_cli_wrong(tool, "%s '%s': a whole number from %" PRId64 " to %" PRId64 " is needed", option, text, least,
                     most);
    return false;
}

bool xf_cli_tolerance(const char *tool, const char *option, const char *text, double *out) {
    if (!text) return true;
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (is_number(end, text) && *out >= 0) return true;
    xf_cli_wrong(tool, "%s '%s': a number that is not negative is needed", option, text);
    return false;
}

/* --- options --- */

static const xf_cli_option *find(const xf_cli *cli, const char *name, size_t n) {
    for (uint32_t i = 0; i < cli->n_options; i++) {
        const xf_cli_option *o = &cli->options[i];
        if (o->kind != XF_CLI_SECTION && strlen(o->name) == n && strncmp(o->name, name, n) == 0) return o;
    }
    return NULL;
}

/* -o FILE and -oFILE, -O2: one-letter options whose value may be glued on. */
static const xf_cli_option *find_short(const xf_cli *cli, const char *arg, const char **value) {
    const xf_cli_option *o = arg[1] == '-' ? NULL : find(cli, arg + 1, 1);
    *value = o && arg[2] ? arg + 2 : NULL;
    return o && o->value ? o : NULL;
}

static int unknown_option(const xf_cli *cli, xfc_arena *arena, const char *arg, const char *name, size_t n) {
    xfc_nearest near = {.wanted = name, .n = n};
    for (uint32_t i = 0; i < cli->n_options; i++)
        if (cli->options[i].kind != XF_CLI_SECTION && cli->options[i].name[1])
            xfc_nearest_offer(&near, cli->options[i].name);
    xfc_nearest_offer(&near, "help");
    xfc_nearest_offer(&near, "version");
    return bad_usage(cli, "unknown option", arg, xfc_did_you_mean(arena, &near, "--"));
}

/* The words of "auto|off|require", one a call; false: no more, or the value is no choice of words. */
bool xf_cli_next_word(const char *value, const char **word, size_t *n) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-|";
    if (!value) return false;
    value += *value == '?';
    if (!strchr(value, '|') || value[strspn(value, letters)]) return false;
    const char *next = *word ? *word + *n + 1 : value;
    if (next > value + strlen(value)) return false;
    *word = next;
    *n = strcspn(next, "|");
    return true;
}

static bool check_word(const xf_cli *cli, xfc_arena *arena, const xf_cli_option *o, const char *value) {
    xfc_nearest near = {.wanted = value, .n = strlen(value)};
    xfc_buf known = {.arena = arena};
    const char *word = NULL;
    for (size_t n = 0; xf_cli_next_word(o->value, &word, &n);) {
        if (strlen(value) == n && strncmp(value, word, n) == 0) return true;
        xfc_buf_printf(&known, "%s%.*s", known.n ? ", " : "", (int)n, word);
        xfc_nearest_offer(&near, xfc_sprintf(arena, "%.*s", (int)n, word));
    }
    if (!known.n) return true; /* any value will do */
    xf_cli_wrong(cli->tool, "unknown --%s=%s; known: %s%s", o->name, value, known.text,
                 xfc_did_you_mean(arena, &near, ""));
    return false;
}

static void store(const xf_cli_option *o, xfc_arena *arena, const char *value) {
    if (o->kind == XF_CLI_FLAG) *(bool *)o->dest = true;
    if (o->kind == XF_CLI_OFF) *(bool *)o->dest = false;
    if (o->kind == XF_CLI_TEXT) *(const char **)o->dest = value;
    if (o->kind == XF_CLI_LIST) {
        xf_cli_list *l = o->dest;
        xfc_push(arena, l->item, l->n, l->cap) = value;
    }
}

static int parse_one(const xf_cli *cli, xfc_arena *arena, xf_cli_list *args, uint32_t *i, bool *words) {
    const char *arg = args->item[*i], *value = NULL;
    const char *name = arg + (arg[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const xf_cli_option *o = find(cli, name, n);
    if (o)
        value = eq ? eq + 1 : NULL;
    else
        o = find_short(cli, arg, &value);
    if (!o) return unknown_option(cli, arena, arg, name, n);
    if (!o->value && value) return bad_usage(cli, "this option takes no value:", arg, "");
    if (o->value && !value && o->value[0] != '?') {
        if (*i + 1 >= args->n) return bad_usage(cli, "a value must follow", arg, "");
        value = args->item[++*i];
    }
    if (value && !check_word(cli, arena, o, value)) *words = false;
    store(o, arena, value ? value : "");
    return 0;
}

/* @FILE: one argument a word, quotes group. */
static bool expand_response(xfc_ctx *ctx, const char *path, xf_cli_list *args) {
    char *text;
    size_t n;
    if (!xf_read_file(ctx, path, XF_MAX_RESPONSE, &text, &n)) return false;
    for (char *p = text; *p;) {
        while (*p && strchr(" \t\r\n", *p)) p++;
        if (!*p) break;
        char quote = *p == '"' || *p == '\'' ? *p++ : 0, *start = p;
        while (*p && (quote ? *p != quote : !strchr(" \t\r\n", *p))) p++;
        if (*p) *p++ = 0;
        xfc_push(ctx->arena, args->item, args->n, args->cap) = start;
    }
    return true;
}

static int gather(const xf_cli *cli, xfc_ctx *ctx, int argc, char **argv, xf_cli_list *args) {
    bool literal = false; /* behind -- nothing is special */
    for (int i = 1; i < argc; i++) {
        literal = literal || !strcmp(argv[i], "--");
        if (argv[i][0] != '@' || literal)
            xfc_push(ctx->arena, args->item, args->n, args->cap) = argv[i];
        else if (!expand_response(ctx, argv[i] + 1, args))
            return bad_usage(cli, "cannot read the response file", argv[i] + 1,
                             xfc_sprintf(ctx->arena, ": %s", strerror(errno)));
    }
    return 0;
}

int xf_cli_parse(const xf_cli *cli, xfc_ctx *ctx, int argc, char **argv, xf_cli_list *rest) {
    xf_cli_list args = {0};
    bool literal = false, words = true;
    int stop = gather(cli, ctx, argc, argv, &args);
    for (uint32_t i = 0; i < args.n && !stop; i++) {
        const char *arg = args.item[i];
        if (literal || arg[0] != '-' || !arg[1])
            xfc_push(ctx->arena, rest->item, rest->n, rest->cap) = arg;
        else if (!strcmp(arg, "--"))
            literal = true;
        else if (xf_cli_help(cli, arg))
            return 1;
        else
            stop = parse_one(cli, ctx->arena, &args, &i, &words);
    }
    return stop || words ? stop : STOP_USAGE;
}

bool xf_has_suffix(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

bool xf_parse_time(const char *text, double *seconds) {
    char *end;
    double v = strtod(text, &end);
    double unit = !strcmp(end, "ms") ? 1e-3 : !strcmp(end, "us") ? 1e-6 : !strcmp(end, "s") || !*end ? 1 : 0;
    *seconds = v * unit;
    return end != text && unit > 0 && v >= 0 && v < 1e6;
}

double xf_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { MAX_STREAM = 256 << 20 }; /* of a pipe or a device, which need not end */

static bool read_stream(int fd, size_t most, xfc_buf *b) {
    char chunk[65536];
    for (ssize_t got; (got = read(fd, chunk, sizeof chunk)) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        xfc_buf_bytes(b, chunk, (size_t)got);
        if (b->n <= most) continue;
        errno = EFBIG;
        return false;
    }
    return true;
}

bool xf_read_file(xfc_ctx *ctx, const char *path, size_t most, char **text, size_t *n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return false;
    bool ok = fstat(fd, &st) == 0;
    if (ok && S_ISREG(st.st_mode) && (uint64_t)st.st_size > most) {
        ok = false;
        errno = EFBIG;
    }
    if (ok && !S_ISREG(st.st_mode) && most > MAX_STREAM) most = MAX_STREAM;
    xfc_buf b = {.arena = ctx->arena};
    ok = ok && read_stream(fd, most, &b);
    int saved = errno;
    close(fd);
    errno = saved;
    if (!ok) return false;
    xfc_note_read(ctx, &st);
    if (!b.text) xfc_buf_str(&b, "");
    *text = b.text;
    *n = b.n;
    return true;
}

static bool is_special(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

const char *xf_beside(xfc_arena *arena, const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    return xfc_sprintf(arena, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name);
}

static bool read_whole(xfc_arena *arena, FILE *f, const void **data, size_t *n) {
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0 || st.st_size < 0) return false;
    *n = (size_t)st.st_size;
    void *at = xfc_alloc(arena, *n, 64);
    *data = at;
    return fread(at, 1, *n, f) == *n;
}

static bool read_beside(xfc_ctx *ctx, const char *file, const char *name, const void **data, size_t *n) {
    const char *path = xf_beside(ctx->arena, file, name);
    if (strchr(name, '/') || is_special(path)) {
        xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){.file = file}, "the data file '%s' does not lie beside the text", name);
        return false;
    }
    FILE *f = fopen(path, "rb");
    bool ok = read_whole(ctx->arena, f, data, n);
    if (!ok)
        xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be read: %s; it is the data of '%s'",
                 strerror(errno), file);
    if (f) fclose(f);
    return ok;
}

xfc_graph *xf_parse_file(xfc_ctx *ctx, const char *path, bool verify) {
    char *text;
    size_t n;
    if (!xf_read_file(ctx, path, XF_MAX_TEXT, &text, &n)) {
        xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be read: %s; check the path", strerror(errno));
        return NULL;
    }
    xfc_graph *g = xfc_parse_graph_beside(ctx, text, n, path, read_beside);
    xfc_buf defects = {.arena = ctx->arena};
    if (!g || !verify || xfc_verify(g, &defects)) return g;
    xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){.file = path}, "the graph is not well-formed: %s", defects.text);
    return NULL;
}

void xf_note(const char *tool, bool json, const char *text) {
    xfc_diag d = {.is_note = true, .text = text};
    if (json)
        xfc_diags_print(&(xfc_ctx){.diags = &d, .n_diags = 1}, stderr, true);
    else
        fprintf(stderr, "%s: note: %s\n", tool, text);
}

int xf_report_diags(const xfc_ctx *ctx, bool as_json) {
    xfc_status worst = XFC_OK;
    xfc_diags_print(ctx, stderr, as_json);
    for (uint32_t i = 0; i < ctx->n_diags; i++) {
        const xfc_diag *d = &ctx->diags[i];
        if (!d->is_note && (worst == XFC_OK || d->status == XFC_ERR_UNSUPPORTED)) worst = d->status;
    }
    return xfc_exit_code(worst);
}

bool xf_write_all(int fd, const void *data, size_t n) {
    for (const char *p = data; n;) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return false;
        p += k, n -= (size_t)k;
    }
    return true;
}

bool xf_write_file(xfc_ctx *ctx, const char *path, const void *data, size_t n) {
    if (xfc_was_read(ctx, path)) {
        errno = EEXIST;
        return false;
    }
    if (!strcmp(path, "-")) return fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0;
    if (is_special(path)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool ok = fd >= 0 && xf_write_all(fd, data, n);
        return (fd < 0 || close(fd) == 0) && ok;
    }
    xfc_outfile f;
    if (!xfc_outfile_open(&f, ctx->arena, ctx->leftovers, path, 0666)) return false;
    if (xf_write_all(f.fd, data, n)) return xfc_outfile_done(&f) && xfc_outfile_place(&f);
    xfc_outfile_drop(&f);
    return false;
}

const char *xf_write_error(void) { return errno == EEXIST ? "it was read, and would be lost" : strerror(errno); }

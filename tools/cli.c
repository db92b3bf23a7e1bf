/* cli.c - see cli.h. */
#define _POSIX_C_SOURCE 200809L

#include "tools/cli.h"
#include "ir/base/outfile.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void print_help(const xf_cli *cli) {
    printf("usage: %s %s\n\n%s\n", cli->tool, cli->usage, cli->about);
    for (uint32_t i = 0; i < cli->n_options; i++) {
        const xf_cli_option *o = &cli->options[i];
        if (o->kind == XF_CLI_SECTION) {
            printf("\n%s\n", o->name);
            continue;
        }
        char left[64];
        const char *dash = strlen(o->name) == 1 ? "-" : "--", *value = o->value ? o->value : "";
        bool optional = value[0] == '?';
        snprintf(left, sizeof left, "%s%s%s%s%s", dash, o->name,
                 !o->value  ? ""
                 : optional ? "[="
                 : dash[1]  ? "="
                            : " ",
                 optional ? value + 1 : value, optional ? "]" : "");
        const char *line = o->help;
        for (bool first = true; line; first = false) {
            const char *end = strchr(line, '\n');
            printf("  %-30s %.*s\n", first ? left : "", end ? (int)(end - line) : (int)strlen(line), line);
            line = end ? end + 1 : NULL;
        }
    }
    if (cli->examples) printf("\nexamples\n%s", cli->examples);
}

static int bad_usage(const xf_cli *cli, const char *what, const char *arg) {
    fprintf(stderr, "%s: error: %s '%s'; see %s --help\n", cli->tool, what, arg, cli->tool);
    return 3;
}

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

static void store(const xf_cli_option *o, xfc_arena *arena, const char *value) {
    if (o->kind == XF_CLI_FLAG) *(bool *)o->dest = true;
    if (o->kind == XF_CLI_OFF) *(bool *)o->dest = false;
    if (o->kind == XF_CLI_TEXT) *(const char **)o->dest = value;
    if (o->kind == XF_CLI_LIST) {
        xf_cli_list *l = o->dest;
        xfc_push(arena, l->item, l->n, l->cap) = value;
    }
}

static int parse_one(const xf_cli *cli, xfc_arena *arena, xf_cli_list *args, uint32_t *i, xf_cli_list *rest) {
    const char *arg = args->item[*i], *value = NULL;
    if (arg[0] != '-' || !arg[1]) {
        xfc_push(arena, rest->item, rest->n, rest->cap) = arg;
        return 0;
    }
    const char *name = arg + (arg[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    const xf_cli_option *o = find(cli, name, eq ? (size_t)(eq - name) : strlen(name));
    if (o)
        value = eq ? eq + 1 : NULL;
    else
        o = find_short(cli, arg, &value);
    if (!o) return bad_usage(cli, "unknown option", arg);
    if (!o->value && value) return bad_usage(cli, "this option takes no value:", arg);
    if (o->value && !value && o->value[0] != '?') {
        if (*i + 1 >= args->n) return bad_usage(cli, "a value must follow", arg);
        value = args->item[++*i];
    }
    store(o, arena, value ? value : "");
    return 0;
}

/* @FILE: one argument a word, quotes group. */
static bool expand_response(xfc_arena *arena, const char *path, xf_cli_list *args) {
    char *text;
    size_t n;
    if (!xf_read_file(arena, path, &text, &n)) return false;
    for (char *p = text; *p;) {
        while (*p && strchr(" \t\r\n", *p)) p++;
        if (!*p) break;
        char quote = *p == '"' || *p == '\'' ? *p++ : 0, *start = p;
        while (*p && (quote ? *p != quote : !strchr(" \t\r\n", *p))) p++;
        if (*p) *p++ = 0;
        xfc_push(arena, args->item, args->n, args->cap) = start;
    }
    return true;
}

int xf_cli_parse(const xf_cli *cli, xfc_arena *arena, int argc, char **argv, xf_cli_list *rest) {
    xf_cli_list args = {0};
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '@' && !expand_response(arena, argv[i] + 1, &args))
            return bad_usage(cli, "cannot read the response file", argv[i] + 1);
        if (argv[i][0] != '@') xfc_push(arena, args.item, args.n, args.cap) = argv[i];
    }
    for (uint32_t i = 0; i < args.n; i++) {
        if (!strcmp(args.item[i], "--help") || !strcmp(args.item[i], "-h")) {
            print_help(cli);
            return 1;
        }
        int stop = parse_one(cli, arena, &args, &i, rest);
        if (stop) return stop;
    }
    return 0;
}

bool xf_has_suffix(const char *s, const char *suffix) {
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

double xf_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool xf_read_file(xfc_arena *arena, const char *path, char **text, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    xfc_buf b = {.arena = arena};
    char chunk[65536];
    size_t got;
    while ((got = fread(chunk, 1, sizeof chunk, f)) > 0) xfc_buf_bytes(&b, chunk, got);
    bool ok = !ferror(f);
    fclose(f);
    if (!b.text) xfc_buf_str(&b, "");
    *text = b.text;
    *n = b.n;
    return ok;
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
    if (!xf_read_file(ctx->arena, path, &text, &n)) {
        xfc_fail(ctx, XFC_ERR_IO, (xfc_loc){.file = path}, "cannot be read: %s; check the path", strerror(errno));
        return NULL;
    }
    xfc_graph *g = xfc_parse_graph_beside(ctx, text, n, path, read_beside);
    xfc_buf defects = {.arena = ctx->arena};
    if (!g || !verify || xfc_verify(g, &defects)) return g;
    xfc_fail(ctx, XFC_ERR_INPUT, (xfc_loc){.file = path}, "the graph is not well-formed: %s", defects.text);
    return NULL;
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

static bool write_all(int fd, const char *data, size_t n) {
    while (n) {
        ssize_t k = write(fd, data, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return false;
        data += k;
        n -= (size_t)k;
    }
    return true;
}

bool xf_write_file(xfc_ctx *ctx, const char *path, const void *data, size_t n) {
    if (!strcmp(path, "-")) return fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0;
    if (is_special(path)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool ok = fd >= 0 && write_all(fd, data, n);
        return (fd < 0 || close(fd) == 0) && ok;
    }
    xfc_outfile f;
    if (!xfc_outfile_open(&f, ctx->arena, ctx->leftovers, path, 0666)) return false;
    if (write_all(f.fd, data, n)) return xfc_outfile_done(&f) && xfc_outfile_place(&f);
    xfc_outfile_drop(&f);
    return false;
}

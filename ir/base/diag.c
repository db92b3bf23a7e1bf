/* diag.c - recording and printing of messages; the end of the process for compiler bugs.
 *
 * Messages hold names from hostile files, so they are escaped when printed: one message stays one line.
 */
#include "ir/base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ERRORS = 200, EXIT_BUG = 70 };

struct xfc_at_exit {
    xfc_at_exit *next;
    void (*fn)(void *user);
    void *user;
};

void xfc_bug(const char *file, int line, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fflush(stdout);
    fprintf(stderr, "xfc: internal error at %s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\nThis is a bug in xfc; please report it with the model and the command line.\n");
    va_end(args);
    exit(EXIT_BUG);
}

void xfc_ctx_at_exit(xfc_ctx *c, void (*fn)(void *user), void *user) {
    xfc_at_exit *e = xfc_new(c->arena, xfc_at_exit);
    *e = (xfc_at_exit){.next = c->at_exit, .fn = fn, .user = user};
    c->at_exit = e;
}

void xfc_ctx_free(xfc_ctx *c) {
    if (!c) return;
    for (xfc_at_exit *e = c->at_exit; e; e = e->next) e->fn(e->user);
    xfc_arena_free(c->arena); /* c itself lies in it */
}

static void record(xfc_ctx *c, xfc_diag d, const char *fmt, va_list args) {
    xfc_buf text = {.arena = c->arena};
    xfc_buf_vprintf(&text, fmt, args);
    d.text = text.text;
    xfc_push(c->arena, c->diags, c->n_diags, c->cap_diags) = d;
}

xfc_status xfc_fail(xfc_ctx *c, xfc_status status, xfc_loc loc, const char *fmt, ...) {
    xfc_assert(status != XFC_OK);
    va_list args;
    va_start(args, fmt);
    if (c->n_errors < MAX_ERRORS) record(c, (xfc_diag){.status = status, .loc = loc}, fmt, args);
    c->n_errors++;
    va_end(args);
    return status;
}

static const char *severity(const xfc_diag *d) { return d->is_note ? "note" : "error"; }

static void format_where(xfc_buf *b, const xfc_loc *loc) {
    if (loc->node) {
        xfc_buf_str(b, "node '");
        xfc_buf_plain(b, loc->node);
        xfc_buf_char(b, '\'');
    }
    if (!loc->op) {
        if (loc->node) xfc_buf_str(b, ": ");
        return;
    }
    xfc_buf_str(b, loc->node ? " (" : "(");
    xfc_buf_plain(b, loc->op);
    if (loc->opset) xfc_buf_printf(b, ", opset %u", (unsigned)loc->opset);
    xfc_buf_str(b, "): ");
}

void xfc_diag_format(xfc_buf *b, const xfc_diag *d) {
    if (d->loc.file) {
        xfc_buf_plain(b, d->loc.file);
        if (d->loc.line) xfc_buf_printf(b, ":%u", (unsigned)d->loc.line);
        xfc_buf_str(b, ": ");
    } else if (d->loc.line) {
        xfc_buf_printf(b, "line %u: ", (unsigned)d->loc.line);
    }
    xfc_buf_printf(b, "%s: ", severity(d));
    format_where(b, &d->loc);
    xfc_buf_plain(b, d->text);
}

static void json_field(xfc_buf *b, const char *key, const char *value) {
    xfc_buf_printf(b, ",\"%s\":", key);
    if (value)
        xfc_buf_json(b, value);
    else
        xfc_buf_str(b, "null");
}

static void format_json(xfc_buf *b, const xfc_diag *d) {
    xfc_buf_str(b, "{\"file\":");
    if (d->loc.file)
        xfc_buf_json(b, d->loc.file);
    else
        xfc_buf_str(b, "null");
    json_field(b, "severity", severity(d));
    json_field(b, "node", d->loc.node);
    json_field(b, "op", d->loc.op);
    xfc_buf_printf(b, ",\"opset\":%u,\"line\":%u", (unsigned)d->loc.opset, (unsigned)d->loc.line);
    json_field(b, "message", d->text);
    xfc_buf_char(b, '}');
}

void xfc_diags_print(const xfc_ctx *c, void *stdio_file, bool json) {
    FILE *f = stdio_file;
    xfc_arena *scratch = xfc_arena_new();
    uint32_t shown = 0;
    for (uint32_t i = 0; i < c->n_diags; i++) {
        xfc_buf b = {.arena = scratch};
        if (json)
            format_json(&b, &c->diags[i]);
        else
            xfc_diag_format(&b, &c->diags[i]);
        fprintf(f, "%s\n", b.text);
        shown += !c->diags[i].is_note;
    }
    if (shown < c->n_errors) {
        xfc_buf more = {.arena = scratch};
        xfc_buf_printf(&more, "%u more errors are not shown; repair these first", (unsigned)(c->n_errors - shown));
        xfc_diag d = {.is_note = true, .text = more.text};
        xfc_buf b = {.arena = scratch};
        if (json)
            format_json(&b, &d);
        else
            xfc_diag_format(&b, &d);
        fprintf(f, "%s\n", b.text);
    }
    xfc_arena_free(scratch);
}

int xfc_exit_code(xfc_status s) {
    switch (s) {
    case XFC_OK: return 0;
    case XFC_ERR_INPUT: return 1;
    case XFC_ERR_UNSUPPORTED: return 3;
    case XFC_ERR_LIMIT: return 1;
    case XFC_ERR_IO: return 4;
    case XFC_ERR_TOOL: return 1;
    case XFC_ERR_VERIFY: return 5;
    }
    return EXIT_BUG;
}

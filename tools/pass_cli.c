/* pass_cli.c - see pass_cli.h. */
#include "tools/pass_cli.h"
#include "ir/base/nearest.h"
#include <stdio.h>
#include <string.h>

/* --- options --- */

/* The word was checked when the command line was read. */
static void read_word(const char *word, xfc_choice *out) {
    if (word) *out = !strcmp(word, "off") ? XFC_OFF : !strcmp(word, "auto") ? XFC_AUTO : XFC_FORCE;
}

void xf_pass_words_read(const xf_pass_words *w, xfc_pass_opts *out) {
#define XFC_OPTION(field, ...) read_word(w->field, &out->field);
#include "passes/options.def"
#undef XFC_OPTION
}

/* The next name of a list as the runner reads it: commas and white space separate. */
static const xfc_pass_info *next_pass(const char **at, const char **name, size_t *n) {
    *name = *at + strspn(*at, ", \t\n");
    *n = strcspn(*name, ", \t\n");
    *at = *name + *n;
    for (uint32_t i = 0; i < XFC_PASS_COUNT; i++)
        if (strlen(xfc_passes[i].name) == *n && memcmp(xfc_passes[i].name, *name, *n) == 0) return &xfc_passes[i];
    return NULL;
}

static bool no_such_pass(const char *tool, const char *option, const char *name, size_t n) {
    xfc_arena *scratch = xfc_arena_new();
    xfc_nearest near = {.wanted = name, .n = n};
    for (uint32_t i = 0; i < XFC_PASS_COUNT; i++) xfc_nearest_offer(&near, xfc_passes[i].name);
    xf_cli_wrong(tool, "%s: no pass is named '%.*s'; --list-passes names all%s", option, (int)(n < 64 ? n : 64), name,
                 xfc_did_you_mean(scratch, &near, ""));
    xfc_arena_free(scratch);
    return false;
}

static bool check_list(const char *tool, const char *option, const char *list, bool disabled) {
    const char *name;
    size_t n;
    while (list) {
        const xfc_pass_info *p = next_pass(&list, &name, &n);
        if (n == 0) break;
        if (!p) return no_such_pass(tool, option, name, n);
        if (disabled && p->kind != XFC_KIND_OPTIONAL && p->kind != XFC_KIND_LOSSY)
            return xf_cli_wrong(tool, "%s: '%s' is required; leave it out of the list", option, p->name), false;
    }
    return true;
}

/* One pass, or a word that stands for several. */
static bool check_print(const char *tool, const char *option, const char *text, const char *several) {
    if (!text || !strcmp(text, "all") || (several && !strcmp(text, several))) return true;
    return check_list(tool, option, text, false);
}

bool xf_pass_names_check(const char *tool, const xf_pass_names *names) {
    return check_list(tool, names->option, names->passes, false) &&
           check_list(tool, "--disable-pass", names->disable, true) &&
           check_print(tool, "--print-ir-before", names->print_before, NULL) &&
           check_print(tool, "--print-ir-after", names->print_after, "change");
}

int xf_pass_list(void) {
    for (int i = 0; i < XFC_PASS_COUNT; i++)
        printf("%-14s %-9s -> %-9s  %s\n", xfc_passes[i].name, xfc_stage_name(xfc_passes[i].from),
               xfc_stage_name(xfc_passes[i].to), xfc_passes[i].help);
    return 0;
}

/* --- lossy kinds --- */

const char xf_lossy_help[] = "a rewrite that trades accuracy for work; never implied. Kinds and keys:"
#define XFC_LOSSY(id, name, function, help) "\n" name ": " help
#define XFC_LOSSY_KEY(id, key, values, help) "\n  " key "=" values ": " help
#include "passes/lossy/lossy.def"
#undef XFC_LOSSY
#undef XFC_LOSSY_KEY
    ;

static bool no_such_kind(const char *tool, xfc_ctx *ctx, const char *name) {
    xfc_buf all = {.arena = ctx->arena};
    xfc_nearest near = {.wanted = name, .n = strlen(name)};
    for (uint32_t i = 0; i < XFC_LOSSY_COUNT; i++) {
        xfc_buf_printf(&all, "%s%s", i ? ", " : "", xfc_lossy_kinds[i].name);
        xfc_nearest_offer(&near, xfc_lossy_kinds[i].name);
    }
    xf_cli_wrong(tool, "--lossy: no kind is named '%.64s'; known: %s%s", name, all.text,
                 xfc_did_you_mean(ctx->arena, &near, ""));
    return false;
}

static const xfc_lossy_key *find_key(const char *tool, xfc_ctx *ctx, xfc_lossy_id kind, const char *name) {
    xfc_buf all = {.arena = ctx->arena};
    xfc_nearest near = {.wanted = name, .n = strlen(name)};
    for (uint32_t i = 0; i < xfc_n_lossy_keys; i++) {
        const xfc_lossy_key *k = &xfc_lossy_keys[i];
        if (k->kind != kind) continue;
        if (!strcmp(k->name, name)) return k;
        xfc_buf_printf(&all, "%s%s", all.n ? ", " : "", k->name);
        xfc_nearest_offer(&near, k->name);
    }
    xf_cli_wrong(tool, "--lossy=%s: no key is named '%.64s'; known: %s%s", xfc_lossy_kinds[kind].name, name,
                 all.n ? all.text : "none", xfc_did_you_mean(ctx->arena, &near, ""));
    return NULL;
}

static bool is_number(const char *s, const char *digits) {
    return *s && s[strspn(s, digits)] == '\0' && *s != '.' && strlen(s) <= 15;
}

static bool is_value(const xfc_lossy_key *k, const char *value) {
    const char *word = NULL;
    size_t n;
    if (!strcmp(k->values, "N")) return is_number(value, "0123456789");
    if (!strcmp(k->values, "X")) return is_number(value, ".0123456789");
    if (!strchr(k->values, '|')) return *value != '\0';
    while (xf_cli_next_word(k->values, &word, &n))
        if (strlen(value) == n && !memcmp(value, word, n)) return true;
    return false;
}

static bool read_key(const char *tool, xfc_ctx *ctx, xfc_lossy_id kind, char *text, xfc_lossy_word *out) {
    char *eq = strchr(text, '=');
    if (eq) *eq = '\0';
    const xfc_lossy_key *k = find_key(tool, ctx, kind, text);
    if (!k) return false;
    *out = (xfc_lossy_word){k->name, eq ? eq + 1 : ""};
    if (is_value(k, out->value)) return true;
    const char *wanted = !strcmp(k->values, "N")   ? "a whole number"
                         : !strcmp(k->values, "X") ? "a number such as 0.5"
                                                   : k->values;
    xf_cli_wrong(tool, "--lossy=%s: %s='%.64s': %s is needed (%s)", xfc_lossy_kinds[kind].name, k->name, out->value,
                 wanted, k->help);
    return false;
}

static bool read_request(const char *tool, xfc_ctx *ctx, const char *given, xfc_lossy_request *of, bool *known) {
    char *text = xfc_sprintf(ctx->arena, "%s", given), *keys = strchr(text, ':');
    xfc_lossy_id kind = 0;
    if (keys) *keys++ = '\0';
    while (kind < XFC_LOSSY_COUNT && strcmp(xfc_lossy_kinds[kind].name, text) != 0) kind++;
    if (kind == XFC_LOSSY_COUNT) return no_such_kind(tool, ctx, text);
    xfc_lossy_request *r = &of[kind];
    if (known[kind]) return xf_cli_wrong(tool, "--lossy=%s is given twice; give its keys in one", text), false;
    known[kind] = true;
    r->kind = kind;
    for (char *end; keys && *keys; keys = end) {
        end = keys + strcspn(keys, ",");
        if (*end) *end++ = '\0';
        xfc_lossy_word word;
        if (!read_key(tool, ctx, kind, keys, &word)) return false;
        xfc_push(ctx->arena, r->word, r->n_words, r->cap_words) = word;
    }
    return true;
}

bool xf_lossy_read(const char *tool, xfc_ctx *ctx, const xf_cli_list *given, xfc_lossy_opts *out) {
    xfc_lossy_request of[XFC_LOSSY_COUNT] = {0};
    bool known[XFC_LOSSY_COUNT] = {0};
    for (uint32_t i = 0; i < given->n; i++)
        if (!read_request(tool, ctx, given->item[i], of, known)) return false;
    out->request = xfc_new_array(ctx->arena, xfc_lossy_request, XFC_LOSSY_COUNT);
    for (uint32_t i = 0; i < XFC_LOSSY_COUNT; i++)
        if (known[i]) out->request[out->n++] = of[i];
    return true;
}

/* --- notes --- */

void xf_note_text(xfc_buf *b, const xfc_note *note) {
    if (note->loc.node) {
        xfc_buf_str(b, "node '");
        xfc_buf_plain(b, note->loc.node);
        xfc_buf_str(b, "': ");
    }
    xfc_buf_plain(b, note->text);
}

/* As a message of the context, so that it reads like all others. */
static void print_json(const xfc_graph *g, const xfc_note *note, xfc_arena *arena) {
    xfc_loc loc = note->loc;
    if (!loc.file) loc.file = g->source;
    xfc_diag d = {.is_note = true, .loc = loc, .text = xfc_sprintf(arena, "[%s] %s", note->pass, note->text)};
    xfc_diags_print(&(xfc_ctx){.diags = &d, .n_diags = 1}, stderr, true);
}

void xf_notes_print(const xfc_graph *g, bool as_json) {
    xfc_arena *scratch = xfc_arena_new();
    for (uint32_t i = 0; i < g->n_notes; i++) {
        const xfc_note *note = &g->note[i];
        const char *file = note->loc.file ? note->loc.file : g->source;
        xfc_buf b = {.arena = scratch};
        if (as_json) {
            print_json(g, note, scratch);
            continue;
        }
        xfc_buf_plain(&b, file ? file : "model");
        xfc_buf_printf(&b, ": note: [%s] ", note->pass);
        xf_note_text(&b, note);
        fprintf(stderr, "%s\n", b.text);
    }
    xfc_arena_free(scratch);
}

void xf_notes_store(xfc_graph *g, size_t most_bytes) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < g->n_notes; i++) {
        xfc_buf b = {.arena = g->arena};
        xfc_buf_printf(&b, "[%s] ", g->note[i].pass);
        xf_note_text(&b, &g->note[i]);
        bytes += b.n + 1;
        bool fits = bytes <= most_bytes;
        const char *rest = xfc_sprintf(g->arena, "[xfc] %u further notes are left out; xfc --explain prints them all",
                                       (unsigned)(g->n_notes - i));
        xfc_graph_meta(g, xfc_sprintf(g->arena, "note.%u", (unsigned)i), fits ? b.text : rest);
        if (!fits) return;
    }
}

/* --- padding --- */

static const char padded[] = "padded-output:"; /* metadata: + the name of an output = the input that masks it */

static const char *padded_output(const xfc_graph *g, uint32_t i) {
    return strncmp(g->meta[i], padded, sizeof padded - 1) == 0 ? g->meta[i] + sizeof padded - 1 : NULL;
}

/* The outputs that mask decides, from pair `first` on, which is the first of them. */
static void outputs_of(const xfc_graph *g, uint32_t first, xfc_buf *b) {
    uint32_t n = 0;
    for (uint32_t i = first; i < g->n_meta; i += 2)
        n += padded_output(g, i) && !strcmp(g->meta[i + 1], g->meta[first + 1]);
    xfc_buf_str(b, n > 1 ? "outputs " : "output ");
    const char *comma = "";
    for (uint32_t i = first; i < g->n_meta; i += 2) {
        if (!padded_output(g, i) || strcmp(g->meta[i + 1], g->meta[first + 1]) != 0) continue;
        xfc_buf_str(b, comma);
        xfc_buf_plain(b, padded_output(g, i));
        comma = ", ";
    }
    xfc_buf_str(b, n > 1 ? " hold 0 where " : " holds 0 where ");
    xfc_buf_plain(b, g->meta[first + 1]);
    xfc_buf_str(b, " is 0");
}

bool xf_padding_text(const xfc_graph *g, xfc_buf *b) {
    bool any = false;
    for (uint32_t i = 0; i < g->n_meta; i += 2) {
        bool seen = !padded_output(g, i);
        for (uint32_t k = 0; k < i && !seen; k += 2)
            seen = padded_output(g, k) && !strcmp(g->meta[k + 1], g->meta[i + 1]);
        if (seen) continue;
        if (any) xfc_buf_str(b, "; ");
        outputs_of(g, i, b);
        any = true;
    }
    return any;
}

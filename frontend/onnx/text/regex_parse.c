/* regex_parse.c - RE2's syntax of regular expressions, by recursive descent.
 *
 * Not supported, and refused by name: classes and case of letters that Unicode's tables decide, lines within a text
 * (flag m), single bytes (\C). All else that RE2 refuses is refused here, too.
 */
#include "frontend/onnx/text/regex.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200, MAX_COUNT = 1000 };

typedef struct {
    bool fold, dot_all, lines; /* flags i, s, m */
} flags;

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_loc loc;
    const char *pattern, *at;
    flags flags;
    uint32_t depth;
    xfc_status status;
} parser;

static const xfc_regex *parse_or(parser *p);

/* --- failures --- */

static void fail(parser *p, const char *why) {
    if (p->status == XFC_OK)
        p->status = xfc_fail(p->ctx, XFC_ERR_INPUT, p->loc,
                             "pattern '%.200s' is no regular expression: %s at byte %zu; correct it", p->pattern, why,
                             (size_t)(p->at - p->pattern));
}

static void refuse(parser *p, const char *what) {
    if (p->status == XFC_OK)
        p->status =
            xfc_fail(p->ctx, XFC_ERR_UNSUPPORTED, p->loc,
                     "pattern '%.200s': %s not supported (byte %zu); write it as letters, or let the host program "
                     "match texts",
                     p->pattern, what, (size_t)(p->at - p->pattern));
}

static bool take(parser *p, const char *text) {
    size_t n = strlen(text);
    if (p->status != XFC_OK || strncmp(p->at, text, n) != 0) return false;
    p->at += n;
    return true;
}

/* --- sets --- */

static void add(parser *p, xfc_code_set *s, uint32_t from, uint32_t to) {
    if (from <= to) xfc_push(p->arena, s->range, s->n, s->cap) = (xfc_code_range){from, to};
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }
static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* With the other case of its letters where flag i asks for it: two signs beyond ASCII are cases of k and s. */
static void add_folded(parser *p, xfc_code_set *s, uint32_t from, uint32_t to) {
    add(p, s, from, to);
    if (!p->flags.fold) return;
    if (to > 0x7f) refuse(p, "the case of what is beyond ASCII is");
    for (uint32_t first = 'A', other = 'a', i = 0; i < 2; i++, first = 'a', other = 'A') {
        uint32_t lo = larger(from, first), hi = smaller(to, first + 25);
        if (lo <= hi) add(p, s, lo - first + other, hi - first + other);
        if (lo <= first + 10 && first + 10 <= hi) add(p, s, 0x212a, 0x212a);
        if (lo <= first + 18 && first + 18 <= hi) add(p, s, 0x17f, 0x17f);
    }
}

static int by_from(const void *x, const void *y) {
    const xfc_code_range *a = x, *b = y;
    return a->from < b->from ? -1 : a->from > b->from;
}

static void settle(xfc_code_set *s) {
    uint32_t n = 0;
    if (s->n) qsort(s->range, s->n, sizeof *s->range, by_from);
    for (uint32_t i = 0; i < s->n; i++) {
        if (n && s->range[i].from <= s->range[n - 1].to + 1)
            s->range[n - 1].to = larger(s->range[n - 1].to, s->range[i].to);
        else
            s->range[n++] = s->range[i];
    }
    s->n = n;
}

static xfc_code_set negated(parser *p, xfc_code_set *s) {
    xfc_code_set out = {0};
    uint32_t from = 0;
    settle(s);
    for (uint32_t i = 0; i < s->n; from = s->range[i++].to + 1)
        if (s->range[i].from > from) add(p, &out, from, s->range[i].from - 1);
    add(p, &out, from, XFC_CODE_POINT_MAX);
    return out;
}

static const struct {
    const char *name, *ranges; /* pairs of first and last */
} classes[] = {
    {"\\d", "09"},         {"\\s", "\t\n\f\r  "}, {"\\w", "09AZaz__"},           {"alnum", "09AZaz"}, {"alpha", "AZaz"},
    {"ascii", "\x01\x7f"}, {"blank", "\t\t  "},   {"cntrl", "\x01\x1f\x7f\x7f"}, {"digit", "09"},     {"graph", "!~"},
    {"lower", "az"},       {"print", " ~"},       {"punct", "!/:@[`{~"},         {"space", "\t\r  "}, {"upper", "AZ"},
    {"word", "09AZaz__"},  {"xdigit", "09AFaf"},
};

static bool add_class(parser *p, xfc_code_set *s, const char *name, size_t length, bool negate) {
    size_t k = 0;
    while (k < XFC_COUNT(classes) && (strlen(classes[k].name) != length || strncmp(classes[k].name, name, length) != 0))
        k++;
    if (k == XFC_COUNT(classes)) return false;
    xfc_code_set own = {0};
    for (const char *r = classes[k].ranges; *r; r += 2) /* NUL ends the table's texts, but is a control like 1 */
        add_folded(p, &own, r[0] == 1 ? 0 : (uint32_t)r[0], (uint32_t)r[1]);
    if (negate) own = negated(p, &own);
    for (uint32_t i = 0; i < own.n; i++) add(p, s, own.range[i].from, own.range[i].to);
    return true;
}

/* --- characters --- */

/* The code point that stands here in UTF-8. */
static uint32_t character(parser *p) {
    const unsigned char *at = (const unsigned char *)p->at;
    uint32_t more = at[0] < 0x80 ? 0 : at[0] < 0xc2 ? 4 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : at[0] < 0xf5 ? 3 : 4;
    uint32_t c = more == 0 ? at[0] : at[0] & (0x3fu >> more);
    if (p->status != XFC_OK || !at[0]) return fail(p, "its end"), 0;
    for (uint32_t i = 1; more < 4 && i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80) more = 4;
        c = c << 6 | (at[i] & 0x3f);
    }
    if (more == 4 || c > XFC_CODE_POINT_MAX) return fail(p, "bytes that are no UTF-8"), 0;
    p->at += more + 1;
    return c;
}

static int digit(char c, int base) {
    int v = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    return v < base ? v : -1;
}

/* Up to `most` digits, 8 or fewer. */
static uint32_t digits(parser *p, int base, int most) {
    uint32_t v = 0;
    for (int i = 0; i < most && digit(*p->at, base) >= 0; i++, p->at++)
        v = v * (uint32_t)base + (uint32_t)digit(*p->at, base);
    return v;
}

static uint32_t hex(parser *p) {
    const bool long_one = take(p, "{");
    const char *first = p->at;
    uint32_t v = digits(p, 16, long_one ? 8 : 2);
    if (long_one ? p->at == first || v > XFC_CODE_POINT_MAX || !take(p, "}") : p->at != first + 2)
        fail(p, "an escape that is not known");
    return v;
}

/* One character behind a backslash. */
static uint32_t escaped(parser *p) {
    static const char name[] = "aftnrv", value[] = "\a\f\t\n\r\v";
    const char c = *p->at, *known = c ? strchr(name, c) : NULL;
    bool letter = digit(c, 10) >= 0 || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (known) return p->at++, (uint32_t)value[known - name];
    if (c == '0' || (c >= '1' && c <= '7' && digit(p->at[1], 8) >= 0)) return digits(p, 8, 3);
    if (take(p, "x")) return hex(p);
    if (c == 'C' || c == 'p' || c == 'P') return refuse(p, c == 'C' ? "single bytes are" : "classes of Unicode are"), 0;
    if (letter || c <= 0) return fail(p, c ? "an escape that is not known" : "a backslash that ends it"), 0;
    return p->at++, (uint32_t)c;
}

/* \d and its like. */
static bool take_class(parser *p, xfc_code_set *s) {
    char name[2] = {'\\', 0};
    if (p->status != XFC_OK || p->at[0] != '\\' || !p->at[1] || !strchr("dswDSW", p->at[1])) return false;
    name[1] = (char)(p->at[1] | 32);
    bool negate = p->at[1] != name[1];
    p->at += 2;
    return add_class(p, s, name, 2, negate);
}

/* [:alpha:] and its like, within brackets. */
static bool take_named(parser *p, xfc_code_set *s) {
    const char *end = p->at[0] == '[' && p->at[1] == ':' ? strstr(p->at + 2, ":]") : NULL;
    if (p->status != XFC_OK || !end) return false;
    const char *name = p->at + 2;
    bool negate = *name == '^';
    name += negate;
    if (name[0] == '\\' || !add_class(p, s, name, (size_t)(end - name), negate)) fail(p, "a class that is not known");
    p->at = end + 2;
    return true;
}

static uint32_t member(parser *p) { return take(p, "\\") ? escaped(p) : character(p); }

static xfc_code_set brackets(parser *p) {
    xfc_code_set s = {0};
    bool negate = take(p, "^");
    for (bool first = true; p->status == XFC_OK && (first || *p->at != ']'); first = false) {
        if (take_class(p, &s) || take_named(p, &s)) continue;
        uint32_t from = member(p), to = from;
        if (p->at[0] == '-' && p->at[1] && p->at[1] != ']') {
            p->at++;
            to = member(p);
        }
        if (from > to) fail(p, "a range whose end comes first");
        add_folded(p, &s, from, to);
    }
    (void)take(p, "]");
    return negate ? negated(p, &s) : s;
}

/* --- the tree --- */

static xfc_regex *node(parser *p, int kind, const xfc_regex *a, const xfc_regex *b) {
    xfc_regex *r = xfc_new(p->arena, xfc_regex);
    r->kind = kind;
    r->a = a, r->b = b;
    return r;
}

static xfc_regex *of_set(parser *p, xfc_code_set s) {
    xfc_regex *r = node(p, XFC_REGEX_SET, NULL, NULL);
    settle(&s);
    r->set = s;
    return r;
}

static xfc_regex *of_character(parser *p, uint32_t c) {
    xfc_code_set s = {0};
    add_folded(p, &s, c, c);
    return of_set(p, s);
}

static xfc_regex *any(parser *p) {
    xfc_code_set s = {0};
    if (!p->flags.dot_all) add(p, &s, '\n', '\n');
    return of_set(p, negated(p, &s));
}

static xfc_regex *border(parser *p, int kind) {
    if (p->flags.lines) refuse(p, "lines within a text (flag m) are");
    return node(p, kind, NULL, NULL);
}

/* Behind "(?": a name, or flags, which hold up to the end of this group, or of the one that follows the colon. */
static bool group_has_body(parser *p) {
    if (take(p, "P<") || take(p, "<")) {
        size_t n = strspn(p->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
        p->at += n;
        if (n == 0 || !take(p, ">")) fail(p, "a name of a group that is none");
        return true;
    }
    bool ungreedy = false;
    for (bool on = true, seen = true; p->status == XFC_OK;) {
        const char c = *p->at;
        bool *flag = c == 'i'   ? &p->flags.fold
                     : c == 's' ? &p->flags.dot_all
                     : c == 'm' ? &p->flags.lines
                     : c == 'U' ? &ungreedy
                                : NULL;
        if ((c == ':' || c == ')') && seen) return p->at++, c == ':';
        if (!flag && !(c == '-' && on)) return fail(p, "a group of a kind that is not known"), false;
        if (flag)
            *flag = on;
        else
            on = false;
        seen = flag;
        p->at++;
    }
    return false;
}

/* NULL: flags alone. */
static const xfc_regex *group(parser *p) {
    const flags outside = p->flags;
    if (take(p, "?") && !group_has_body(p)) return NULL;
    if (++p->depth > MAX_DEPTH) fail(p, "groups that are nested too deep");
    const xfc_regex *r = parse_or(p);
    if (!take(p, ")")) fail(p, "a group without its end");
    p->depth--;
    p->flags = outside;
    return r;
}

static xfc_regex *letter(parser *p) {
    const char c = *p->at;
    if (c == '*' || c == '+' || c == '?') fail(p, "a repetition of nothing");
    return of_character(p, take(p, "\\") ? escaped(p) : character(p));
}

static const xfc_regex *atom(parser *p) {
    xfc_code_set s = {0};
    if (take(p, "(")) return group(p);
    if (take(p, "[")) return of_set(p, brackets(p));
    if (take(p, ".")) return any(p);
    if (take(p, "^")) return border(p, XFC_REGEX_BEGIN);
    if (take(p, "$")) return border(p, XFC_REGEX_END);
    if (take(p, "\\A")) return node(p, XFC_REGEX_BEGIN, NULL, NULL);
    if (take(p, "\\z")) return node(p, XFC_REGEX_END, NULL, NULL);
    if (take(p, "\\b")) return node(p, XFC_REGEX_BORDER, NULL, NULL);
    if (take(p, "\\B")) return node(p, XFC_REGEX_INSIDE, NULL, NULL);
    return take_class(p, &s) ? of_set(p, s) : letter(p);
}

/* A number that does not begin with zeros. */
static bool take_number(parser *p, int32_t *out) {
    if (digit(p->at[0], 10) < 0 || (p->at[0] == '0' && digit(p->at[1], 10) >= 0)) return false;
    *out = (int32_t)digits(p, 10, 8);
    return true;
}

/* {n}, {n,} or {n,m}; what looks otherwise is no repetition. */
static bool take_counts(parser *p, int32_t *least, int32_t *most) {
    const char *start = p->at;
    bool is = take(p, "{") && take_number(p, least);
    *most = *least;
    if (is && take(p, ",") && !take_number(p, most)) *most = -1;
    is = is && take(p, "}");
    if (!is)
        p->at = start;
    else if (*least > MAX_COUNT || *most > MAX_COUNT || (*most >= 0 && *most < *least))
        fail(p, "a repetition of more than 1000 times, or of fewer than least");
    return is;
}

static bool take_repetition(parser *p, int32_t *least, int32_t *most) {
    *least = p->at[0] == '+', *most = p->at[0] == '?' ? 1 : -1;
    bool is = take(p, "*") || take(p, "+") || take(p, "?") || take_counts(p, least, most);
    if (is) (void)take(p, "?");
    return is;
}

static const xfc_regex *repeated(parser *p, const xfc_regex *a) {
    int32_t least = 1, most = 1;
    if (p->status != XFC_OK || !take_repetition(p, &least, &most)) return a;
    if (!a) refuse(p, "a repetition of flags is");
    xfc_regex *r = node(p, XFC_REGEX_REPEAT, a, NULL);
    r->least = least, r->most = most;
    if (take_repetition(p, &least, &most)) fail(p, "a repetition of a repetition");
    return r;
}

static const xfc_regex *then(parser *p, const xfc_regex *a, const xfc_regex *b) {
    return !a ? b : !b ? a : node(p, XFC_REGEX_THEN, a, b);
}

/* Between \Q and \E every character stands for itself. */
static const xfc_regex *quoted(parser *p, const xfc_regex *before) {
    while (p->status == XFC_OK && *p->at) {
        if (take(p, "\\E")) break;
        const xfc_regex *c = of_character(p, character(p));
        bool last = take(p, "\\E");
        before = then(p, before, last ? repeated(p, c) : c);
        if (last) break;
    }
    return before;
}

static const xfc_regex *parse_then(parser *p) {
    const xfc_regex *r = NULL;
    while (p->status == XFC_OK && *p->at && *p->at != '|' && *p->at != ')')
        r = take(p, "\\Q") ? quoted(p, r) : then(p, r, repeated(p, atom(p)));
    return r ? r : node(p, XFC_REGEX_EMPTY, NULL, NULL);
}

static const xfc_regex *parse_or(parser *p) {
    const xfc_regex *r = parse_then(p);
    while (take(p, "|")) r = node(p, XFC_REGEX_OR, r, parse_then(p));
    return r;
}

xfc_status xfc_regex_parse(xfc_ctx *ctx, xfc_arena *arena, xfc_loc loc, const char *pattern, const xfc_regex **out) {
    parser p = {.ctx = ctx, .arena = arena, .loc = loc, .pattern = pattern, .at = pattern};
    *out = parse_or(&p);
    if (*p.at) fail(&p, "a parenthesis that closes nothing");
    return p.status;
}

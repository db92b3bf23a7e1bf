/* parse_lex.c - the words of the .xf language, and the parser's errors.
 *
 * One token of lookahead. The text may hold any byte and ends where its length says; nothing is read beyond it. Only
 * the first error is recorded: what follows it is noise.
 */
#include "ir/text/parse_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

xfc_loc xfc_ps_here(const xfc_parser *p) { return (xfc_loc){.file = p->file, .line = p->tok.line}; }

bool xfc_ps_fail(xfc_parser *p, const char *fmt, ...) {
    if (!p->failed) {
        xfc_buf b = {.arena = p->scratch};
        va_list args;
        va_start(args, fmt);
        xfc_buf_vprintf(&b, fmt, args);
        va_end(args);
        xfc_fail(p->ctx, XFC_ERR_INPUT, xfc_ps_here(p), "%s", b.text);
    }
    p->failed = true;
    p->at = p->end;
    p->tok.kind = XFC_TOK_END;
    return false;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return is_letter(c) || is_digit(c); }

static char peek(const xfc_parser *p, size_t ahead) { return ahead < (size_t)(p->end - p->at) ? p->at[ahead] : 0; }

static void skip_space(xfc_parser *p) {
    for (;;) {
        char c = peek(p, 0);
        if (c == '\n') p->line++;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            p->at++;
        } else if (c == '/' && peek(p, 1) == '/') {
            while (p->at < p->end && *p->at != '\n') p->at++;
        } else {
            return;
        }
    }
}

static const char *intern(xfc_parser *p, const char *s, size_t n) {
    if (n <= XFC_MAX_NAME) return xfc_intern_n(p->ctx->strings, s, n);
    xfc_ps_fail(p, "a name of %zu bytes is longer than the limit of %d; shorten it", n, (int)XFC_MAX_NAME);
    return "";
}

/* A word; dots are part of it between word characters, so that `0..n` stays a range and `a.b` a name. */
static size_t word_length(const xfc_parser *p, size_t i) {
    while (is_word(peek(p, i)) || (peek(p, i) == '.' && i > 0 && is_word(peek(p, i - 1)) && is_word(peek(p, i + 1))))
        i++;
    return i;
}

static size_t digits_length(const xfc_parser *p, size_t i) {
    while (is_digit(peek(p, i))) i++;
    return i;
}

static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static uint32_t hex_value(char c) { return is_digit(c) ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10); }

static void read_magnitude(xfc_token *t, const char *s, size_t n, unsigned base) {
    for (size_t i = 0; i < n; i++) {
        uint64_t next;
        if (__builtin_mul_overflow(t->bits, (uint64_t)base, &next)) t->big = true;
        if (__builtin_add_overflow(next, (uint64_t)hex_value(s[i]), &next)) t->big = true;
        t->bits = next;
    }
}

static void lex_number(xfc_parser *p, xfc_token *t) {
    size_t n = digits_length(p, 0);
    t->kind = XFC_TOK_INT;
    if (n == 1 && *p->at == '0' && peek(p, 1) == 'x' && is_hex(peek(p, 2))) {
        for (n = 2; is_hex(peek(p, n)); n++) {}
        read_magnitude(t, p->at + 2, n - 2, 16);
    } else {
        size_t whole = n;
        if (peek(p, n) == '.' && is_digit(peek(p, n + 1))) n = digits_length(p, n + 1);
        bool sign = peek(p, n + 1) == '-' || peek(p, n + 1) == '+';
        if ((peek(p, n) | 32) == 'e' && is_digit(peek(p, n + 1 + sign))) n = digits_length(p, n + 1 + sign);
        if (n != whole)
            t->kind = XFC_TOK_FLOAT;
        else
            read_magnitude(t, p->at, n, 10);
    }
    if (is_word(peek(p, n))) {
        xfc_ps_fail(p, "a number runs into a letter; separate them");
        return;
    }
    t->n = n;
    t->text = intern(p, p->at, n);
}

static void lex_string(xfc_parser *p, xfc_token *t) {
    xfc_buf b = {.arena = p->scratch};
    size_t i = 1;
    for (; peek(p, i) != '"'; i++) {
        char c = peek(p, i);
        if (c == 0 || c == '\n') {
            xfc_ps_fail(p, "a string does not end on its line; close it with \"");
            return;
        }
        if (c != '\\') {
            xfc_buf_char(&b, c);
            continue;
        }
        c = peek(p, ++i);
        uint32_t byte = c == 'x' && is_hex(peek(p, i + 1)) && is_hex(peek(p, i + 2))
                            ? hex_value(peek(p, i + 1)) * 16 + hex_value(peek(p, i + 2))
                            : 0;
        if (c == 'x')
            i += 2;
        else
            byte = c == 'n' ? '\n' : c == '"' || c == '\\' ? (unsigned char)c : 0;
        if (byte == 0) {
            xfc_ps_fail(p, "unknown escape in a string; use \\\" \\\\ \\n or \\xHH (not zero)");
            return;
        }
        xfc_buf_char(&b, (char)byte);
    }
    t->kind = XFC_TOK_STRING;
    t->n = i + 1;
    t->text = b.n ? intern(p, b.text, b.n) : xfc_str(p->ctx, "");
}

/* %name, $3, #3 */
static void lex_sigil(xfc_parser *p, xfc_token *t, char c) {
    size_t n = c == '%' ? word_length(p, 1) : digits_length(p, 1);
    if (n == 1 || (c != '%' && is_word(peek(p, n)))) {
        xfc_ps_fail(p, c == '%' ? "expected a name or number after '%%'" : "expected a number after '%c'", c);
        return;
    }
    t->kind = c == '%' ? XFC_TOK_VALUE : c == '$' ? XFC_TOK_TEMP : XFC_TOK_POS;
    t->n = n;
    if (c == '%')
        t->text = intern(p, p->at + 1, n - 1);
    else
        read_magnitude(t, p->at + 1, n - 1, 10);
}

static void lex_punct(xfc_parser *p, xfc_token *t, char c) {
    char d = peek(p, 1);
    t->kind = XFC_TOK_PUNCT;
    t->punct = (unsigned char)c;
    t->n = 1;
    if (c == '-' && d == '>') t->punct = XFC_P_ARROW;
    if (c == '=' && d == '=') t->punct = XFC_P_EQUAL;
    if (c == '!' && d == '=') t->punct = XFC_P_UNEQUAL;
    if (c == '.' && d == '.') t->punct = XFC_P_RANGE;
    if (t->punct >= 256)
        t->n = 2;
    else if (!strchr("()[]{},:=+-*@", c))
        xfc_ps_fail(p, "unexpected character '%c'", c);
}

void xfc_ps_next(xfc_parser *p) {
    if (p->failed) return;
    skip_space(p);
    p->tok = (xfc_token){.line = p->line, .start = p->at, .kind = XFC_TOK_END};
    if (p->at == p->end) return;
    xfc_token t = p->tok;
    char c = *p->at;
    if (c == 0)
        xfc_ps_fail(p, "the text holds a zero byte; it is not an .xf file");
    else if (is_digit(c))
        lex_number(p, &t);
    else if (c == '"')
        lex_string(p, &t);
    else if (c == '%' || c == '$' || c == '#')
        lex_sigil(p, &t, c);
    else if (is_letter(c)) {
        t.kind = XFC_TOK_WORD;
        t.n = word_length(p, 0);
        t.text = intern(p, p->at, t.n);
    } else
        lex_punct(p, &t, c);
    if (p->failed) return;
    p->at += t.n;
    p->tok = t;
}

/* --- what may come next --- */

bool xfc_ps_expected(xfc_parser *p, const char *what) {
    enum { SHOWN = 40 };
    int n = p->tok.n > SHOWN ? SHOWN : (int)p->tok.n;
    if (p->tok.kind == XFC_TOK_END) return xfc_ps_fail(p, "expected %s, found the end of the text", what);
    return xfc_ps_fail(p, "expected %s, found '%.*s'", what, n, p->tok.start);
}

bool xfc_ps_is(const xfc_parser *p, int punct) { return p->tok.kind == XFC_TOK_PUNCT && p->tok.punct == punct; }

bool xfc_ps_take(xfc_parser *p, int punct) {
    if (!xfc_ps_is(p, punct)) return false;
    xfc_ps_next(p);
    return true;
}

bool xfc_ps_need(xfc_parser *p, int punct) {
    if (xfc_ps_take(p, punct)) return !p->failed;
    char one[] = {'\'', (char)punct, '\'', 0};
    return xfc_ps_expected(p, punct == XFC_P_ARROW   ? "'->'"
                              : punct == XFC_P_EQUAL ? "'=='"
                              : punct == XFC_P_RANGE ? "'..'"
                                                     : one);
}

bool xfc_ps_is_word(const xfc_parser *p, const char *w) {
    return p->tok.kind == XFC_TOK_WORD && strcmp(p->tok.text, w) == 0;
}

bool xfc_ps_take_word(xfc_parser *p, const char *w) {
    if (!xfc_ps_is_word(p, w)) return false;
    xfc_ps_next(p);
    return true;
}

bool xfc_ps_need_word(xfc_parser *p, const char *w) {
    if (xfc_ps_take_word(p, w)) return !p->failed;
    return xfc_ps_expected(p, xfc_sprintf(p->scratch, "'%s'", w));
}

bool xfc_ps_string(xfc_parser *p, const char **out) {
    if (p->tok.kind != XFC_TOK_STRING) return xfc_ps_expected(p, "a string in quotes");
    *out = p->tok.text;
    xfc_ps_next(p);
    return !p->failed;
}

bool xfc_ps_u32(xfc_parser *p, const char *what, uint32_t *out) {
    bool number = p->tok.kind == XFC_TOK_INT || p->tok.kind == XFC_TOK_TEMP || p->tok.kind == XFC_TOK_POS;
    if (!number || p->tok.big || p->tok.bits > UINT32_MAX) return xfc_ps_expected(p, what);
    *out = (uint32_t)p->tok.bits;
    xfc_ps_next(p);
    return !p->failed;
}

bool xfc_ps_i64(xfc_parser *p, const char *what, int64_t *out) {
    bool negative = xfc_ps_take(p, '-');
    uint64_t limit = (uint64_t)INT64_MAX + negative;
    if (p->tok.kind != XFC_TOK_INT || p->tok.big || p->tok.bits > limit) return xfc_ps_expected(p, what);
    *out = negative ? (int64_t)(0 - p->tok.bits) : (int64_t)p->tok.bits;
    xfc_ps_next(p);
    return !p->failed;
}

bool xfc_ps_f64(xfc_parser *p, double *out) {
    bool negative = xfc_ps_take(p, '-');
    if (xfc_ps_is_word(p, "inf"))
        *out = (double)INFINITY;
    else if (xfc_ps_is_word(p, "nan"))
        *out = (double)NAN;
    else if (p->tok.kind == XFC_TOK_INT || p->tok.kind == XFC_TOK_FLOAT)
        *out = strtod(p->tok.text, NULL);
    else
        return xfc_ps_expected(p, "a number");
    if (negative) *out = -*out;
    xfc_ps_next(p);
    return !p->failed;
}

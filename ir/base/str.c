/* str.c - interned strings, string builder, quoting.
 *
 * Strings with the same hash hang in a chain whose head the map knows. Quoting passes valid UTF-8 through and escapes
 * the rest, control characters included: what is printed is one line and cannot drive a terminal.
 */
#include "ir/base/str.h"

#include "ir/base/map.h"
#include <stdio.h>
#include <string.h>

typedef struct interned {
    struct interned *next;
    size_t n;
    char text[];
} interned;

struct xfc_interner {
    xfc_arena *arena;
    xfc_map by_hash; /* hash -> interned */
};

xfc_interner *xfc_interner_new(xfc_arena *a) {
    xfc_interner *in = xfc_new(a, xfc_interner);
    *in = (xfc_interner){.arena = a, .by_hash = {.arena = a}};
    return in;
}

const char *xfc_intern_n(xfc_interner *in, const char *s, size_t n) {
    const char *nul = n ? memchr(s, 0, n) : NULL; /* equal pointers must mean equal C strings */
    if (nul) n = (size_t)(nul - s);
    uint64_t hash = xfc_hash(s, n, 0);
    interned *head = (interned *)(uintptr_t)xfc_map_get(&in->by_hash, hash);
    for (interned *e = head; e; e = e->next)
        if (e->n == n && (n == 0 || memcmp(e->text, s, n) == 0)) return e->text;
    interned *e = xfc_alloc(in->arena, offsetof(interned, text) + n + 1, _Alignof(interned));
    e->next = head;
    e->n = n;
    if (n) memcpy(e->text, s, n);
    xfc_map_set(&in->by_hash, hash, (uint64_t)(uintptr_t)e);
    return e->text;
}

const char *xfc_intern_z(xfc_interner *in, const char *s) { return s ? xfc_intern_n(in, s, strlen(s)) : NULL; }

/* Room for n more bytes and the NUL. */
static void reserve(xfc_buf *b, size_t n) {
    size_t need;
    if (__builtin_add_overflow(b->n, n, &need) || need > SIZE_MAX / 4) need = SIZE_MAX - 1; /* xfc_alloc reports it */
    if (need < b->cap) return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap <= need && cap <= SIZE_MAX / 4) cap *= 2;
    if (cap <= need) cap = need;
    char *text = xfc_alloc(b->arena, cap, 1);
    if (b->n) memcpy(text, b->text, b->n);
    b->text = text;
    b->cap = cap;
}

void xfc_buf_bytes(xfc_buf *b, const void *data, size_t n) {
    reserve(b, n);
    if (n) memcpy(b->text + b->n, data, n);
    b->n += n;
    b->text[b->n] = 0;
}

void xfc_buf_str(xfc_buf *b, const char *s) { xfc_buf_bytes(b, s, strlen(s)); }
void xfc_buf_char(xfc_buf *b, char c) { xfc_buf_bytes(b, &c, 1); }

void xfc_buf_vprintf(xfc_buf *b, const char *fmt, va_list args) {
    va_list again;
    va_copy(again, args);
    reserve(b, 0);
    int n = vsnprintf(b->text + b->n, b->cap - b->n, fmt, args);
    xfc_assert(n >= 0);
    if ((size_t)n >= b->cap - b->n) {
        reserve(b, (size_t)n);
        vsnprintf(b->text + b->n, b->cap - b->n, fmt, again);
    }
    b->n += (size_t)n;
    va_end(again);
}

void xfc_buf_printf(xfc_buf *b, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    xfc_buf_vprintf(b, fmt, args);
    va_end(args);
}

char *xfc_sprintf(xfc_arena *a, const char *fmt, ...) {
    xfc_buf b = {.arena = a};
    va_list args;
    va_start(args, fmt);
    xfc_buf_vprintf(&b, fmt, args);
    va_end(args);
    return b.text;
}

/* Bytes of the printable UTF-8 character at s; 0 if there is none: a control character, or not UTF-8. */
static size_t printable(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) return p[0] >= 0x20 && p[0] != 0x7f;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    static const uint32_t least[5] = {0, 0, 0xa0, 0x800, 0x10000}; /* U+0080 to U+009F are controls */
    uint32_t c = (uint32_t)(p[0] - lead[n]);
    if (p[0] < 0xc0 || p[0] > 0xf4) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0; /* also ends at the NUL */
        c = c << 6 | (p[i] & 0x3f);
    }
    bool separator = c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) && !separator ? n : 0;
}

/* s with every unprintable byte written by fmt, and the characters of `special` behind a backslash. */
static void escape(xfc_buf *b, const char *s, const char *special, const char *fmt) {
    while (*s) {
        size_t n = printable(s);
        if (n == 0) {
            if (*s == '\n')
                xfc_buf_str(b, "\\n");
            else
                xfc_buf_printf(b, fmt, (unsigned)(unsigned char)*s);
            s++;
            continue;
        }
        if (n == 1 && strchr(special, *s)) xfc_buf_char(b, '\\');
        xfc_buf_bytes(b, s, n);
        s += n;
    }
}

void xfc_buf_quoted(xfc_buf *b, const char *s) {
    xfc_buf_char(b, '"');
    if (s) escape(b, s, "\"\\", "\\x%02X");
    xfc_buf_char(b, '"');
}

void xfc_buf_json(xfc_buf *b, const char *s) {
    xfc_buf_char(b, '"');
    if (s) escape(b, s, "\"\\", "\\u%04X");
    xfc_buf_char(b, '"');
}

void xfc_buf_plain(xfc_buf *b, const char *s) { escape(b, s, "", "\\x%02X"); }

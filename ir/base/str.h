/* str.h - interned strings and a string builder.
 *
 * Interned strings are equal iff their pointers are; they live as long as the context. Names from a model may hold
 * any byte but NUL; xfc_buf_quoted prints them safely.
 */
#ifndef XFC_STR_H
#define XFC_STR_H
#include "ir/base/arena.h"
#include <stdarg.h>

typedef struct xfc_interner xfc_interner;
xfc_interner *xfc_interner_new(xfc_arena *);
const char *xfc_intern_n(xfc_interner *, const char *s, size_t n); /* NUL-terminated copy */
const char *xfc_intern_z(xfc_interner *, const char *s);           /* NULL gives NULL */

/* A growing byte string in an arena; text is always NUL-terminated. Start from {.arena = a}. */
typedef struct {
    xfc_arena *arena;
    char *text;
    size_t n, cap;
} xfc_buf;
void xfc_buf_bytes(xfc_buf *, const void *data, size_t n);
void xfc_buf_str(xfc_buf *, const char *);
void xfc_buf_char(xfc_buf *, char);
void xfc_buf_printf(xfc_buf *, const char *fmt, ...) XFC_PRINTF(2, 3);
void xfc_buf_vprintf(xfc_buf *, const char *fmt, va_list);
void xfc_buf_quoted(xfc_buf *, const char *); /* "..." with \" \\ \n \xHH, as the .xf parser reads it */
void xfc_buf_json(xfc_buf *, const char *);   /* a JSON string; invalid UTF-8 bytes become \u00HH */
void xfc_buf_plain(xfc_buf *, const char *);  /* no quotes; unprintable bytes as \n or \xHH: stays one line */
char *xfc_sprintf(xfc_arena *, const char *fmt, ...) XFC_PRINTF(2, 3);

#endif

/* text.c - text of bounded size: messages and JSON without allocation.
 *
 * An xf_text counts what was asked for and writes what fits, like snprintf, so the same code measures and writes. Names
 * come from the model and may hold any byte but NUL: in JSON, bytes that are not UTF-8 become \u00HH.
 */
#include "runtime/runtime.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put(xf_text *t, const char *s, size_t n) {
    if (t->n < t->cap) {
        size_t room = t->cap - t->n - 1, k = n < room ? n : room;
        memcpy(t->buf + t->n, s, k);
        t->buf[t->n + k] = '\0';
    }
    t->n += n;
}

void xf_text_printf(xf_text *t, const char *fmt, ...) {
    char *to = t->n < t->cap ? t->buf + t->n : NULL;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(to, to ? t->cap - t->n : 0, fmt, args);
    va_end(args);
    if (n > 0) t->n += (size_t)n;
}

/* Bytes of the UTF-8 sequence at s, 0 if it is none (overlong, surrogate, truncated). */
static size_t utf8_length(const unsigned char *s) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf8 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
    if (n <= 1 || s[0] >= 0xf8) return s[0] < 0x80;
    uint32_t code = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

void xf_text_json(xf_text *t, const char *text) {
    put(t, "\"", 1);
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = utf8_length(s);
        if (*s == '"' || *s == '\\')
            xf_text_printf(t, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7f || n == 0)
            xf_text_printf(t, "\\u%04x", *s);
        else
            put(t, (const char *)s, n);
        s += n ? n : 1;
    }
    put(t, "\"", 1);
}

const char *xf_dtype_name(uint32_t dtype, char buf[static 24]) {
    static const char *const kind[] = {"int", "uint", "float", NULL, "bfloat"};
    unsigned code = dtype & 0xffu, bits = dtype >> 8 & 0xffu, lanes = dtype >> 16;
    static const char *const minifloat[] = {"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
                                            "float8_e8m0fnu"};
    if (code == 6 && bits == 8 && lanes == 1) return "bool";
    if (code == 17 && bits == 4 && lanes == 1) return "float4_e2m1fn";
    if (code >= 10 && code < 15 && bits == 8 && lanes == 1) return minifloat[code - 10];
    if (lanes == 1 && code < sizeof kind / sizeof kind[0] && kind[code])
        snprintf(buf, 24, "%s%u", kind[code], bits);
    else
        snprintf(buf, 24, "dtype(%u,%u,%u)", code, bits, lanes);
    return buf;
}

void xf_text_arg(xf_text *t, const xf_plan *p, const xf_arg *a) {
    char name[24];
    xf_text_printf(t, "%s[", xf_dtype_name(a->dtype, name));
    for (uint32_t d = 0; d < a->n_dims; d++) {
        const xf_dim *dim = &p->dims[a->first_dim + d];
        int64_t size;
        const char *sep = d ? ", " : "";
        if (xf_plan_const(p, dim->value, &size))
            xf_text_printf(t, "%s%lld", sep, (long long)size);
        else
            xf_text_printf(t, "%s%s", sep, dim->name ? xf_plan_str(p, dim->name) : "?");
    }
    xf_text_printf(t, "]");
}

void xf_text_dims(xf_text *t, const xf_tensor *x) {
    xf_text_printf(t, "[");
    if (x->ndim < 0 || x->ndim > 64 || (x->ndim > 0 && !x->shape))
        xf_text_printf(t, "...");
    else
        for (int32_t d = 0; d < x->ndim; d++) xf_text_printf(t, "%s%lld", d ? ", " : "", (long long)x->shape[d]);
    xf_text_printf(t, "]");
}

void xf_text_nodes(xf_text *t, const xf_plan *p, const xf_step_info *s) {
    enum { SHOWN = 6 };
    for (uint32_t i = 0; i < s->n_nodes && i < SHOWN; i++)
        xf_text_printf(t, "%s'%s'", i ? ", " : "", xf_plan_str(p, p->nodes[s->first_node + i]));
    if (s->n_nodes > SHOWN) xf_text_printf(t, " and %u more", s->n_nodes - SHOWN);
    if (s->n_nodes == 0) xf_text_printf(t, "(no name)");
}

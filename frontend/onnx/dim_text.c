/* dim_text.c - dims written as text: what the user gives on the command line, and expressions in a model's dim_param.
 *
 * Exporters write dims such as "past_sequence_length + sequence_length", "2*s0" or "Max(1, s0//2)". Grammar: sums of
 * products of numbers, names, parentheses, and Min, Max, floor. A name may hold any character but operators and blanks,
 * so "seq-len" is seq minus len only if both are dims of the model; else the caller takes the whole text for one name.
 * What exporters write for a dim that they know nothing of is no name: no two of those need be equal.
 */
#include "frontend/onnx/import.h"
#include <string.h>
#include <strings.h>

bool xfc_is_dim_name(const char *text) {
    static const char *const unknown[] = {"none", "null", "nan", "unk", "unknown", "undefined", "dynamic"};
    static const char marks[] = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    for (size_t i = 0; i < XFC_COUNT(unknown); i++)
        if (!strcasecmp(text, unknown[i])) return false;
    bool negative = text[0] == '-' && text[1] && strspn(text + 1, "0123456789") == strlen(text + 1);
    return !negative && text[strspn(text, marks)];
}

static bool read_number(const char **at, const char *end, int64_t *out) {
    const char *s = *at;
    int64_t value = 0;
    for (; s < end && *s >= '0' && *s <= '9'; s++)
        if (!xfc_mul_ok(value, 10, &value) || !xfc_add_ok(value, *s - '0', &value)) return false;
    if (s == *at) return false;
    *at = s;
    *out = value;
    return true;
}

bool xfc_parse_dim_spec(const char *text, size_t n, xfc_dim_spec *out) {
    const char *at = text, *end = text + n;
    *out = (xfc_dim_spec){.kind = XFC_DIM_ANY, .lo = 0, .hi = XFC_DIM_MAX};
    if (n == 1 && *text == '?') return true;
    if (n >= 3 && *at == '?') at++; /* "?1..512": the dim stays open within a range */
    bool open = at > text;
    if (!read_number(&at, end, &out->lo)) return false;
    if (at == end && !open) {
        out->kind = XFC_DIM_FIXED;
        out->hi = out->lo;
        return out->lo <= XFC_DIM_MAX;
    }
    if (end - at < 3 || at[0] != '.' || at[1] != '.') return false;
    at += 2;
    out->kind = XFC_DIM_RANGE;
    return read_number(&at, end, &out->hi) && at == end && out->lo <= out->hi && out->hi <= XFC_DIM_MAX;
}

typedef struct {
    xfc_ctx *ctx;
    const char *at;
    xfc_int (*symbol)(void *user, const char *name, size_t n);
    void *user;
    uint32_t depth;
} parser;

enum { MAX_DEPTH = 16 };
static xfc_int parse_sum(parser *);

static void skip_blanks(parser *p) {
    while (*p->at == ' ') p->at++;
}

static bool accept(parser *p, const char *token) {
    skip_blanks(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n) != 0) return false;
    p->at += n;
    return true;
}

static xfc_int parse_call(parser *p, const char *name, size_t n) {
    xfc_int a = parse_sum(p);
    if (n == 5 && !strncmp(name, "floor", n)) return accept(p, ")") ? a : XFC_INT_NONE;
    bool max = n == 3 && (!strncmp(name, "Max", n) || !strncmp(name, "max", n));
    bool min = n == 3 && (!strncmp(name, "Min", n) || !strncmp(name, "min", n));
    if ((!max && !min) || !accept(p, ",")) return XFC_INT_NONE;
    xfc_int b = parse_sum(p);
    if (!accept(p, ")")) return XFC_INT_NONE;
    return max ? xfc_int_max(p->ctx, a, b) : xfc_int_min(p->ctx, a, b);
}

static xfc_int parse_factor(parser *p) {
    skip_blanks(p);
    int64_t value;
    const char *start = p->at;
    if (*start >= '0' && *start <= '9')
        return read_number(&p->at, start + strlen(start), &value) ? xfc_int_const(p->ctx, value) : XFC_INT_NONE;
    if (++p->depth > MAX_DEPTH) return XFC_INT_NONE;
    xfc_int result = XFC_INT_NONE;
    if (accept(p, "(")) {
        result = parse_sum(p);
        if (!accept(p, ")")) result = XFC_INT_NONE;
    } else {
        size_t n = strcspn(start, " +-*/(),");
        p->at += n;
        if (n) result = accept(p, "(") ? parse_call(p, start, n) : p->symbol(p->user, start, n);
    }
    p->depth--;
    return result;
}

static xfc_int parse_product(parser *p) {
    xfc_int value = parse_factor(p);
    while (xfc_int_known(value)) {
        if (accept(p, "*"))
            value = xfc_int_mul(p->ctx, value, parse_factor(p));
        else if (accept(p, "//") || accept(p, "/"))
            value = xfc_int_floordiv(p->ctx, value, parse_factor(p));
        else
            break;
    }
    return value;
}

static xfc_int parse_sum(parser *p) {
    xfc_int value = parse_product(p);
    while (xfc_int_known(value)) {
        if (accept(p, "+"))
            value = xfc_int_add(p->ctx, value, parse_product(p));
        else if (accept(p, "-"))
            value = xfc_int_sub(p->ctx, value, parse_product(p));
        else
            break;
    }
    return value;
}

xfc_int xfc_parse_dim_expr(xfc_ctx *ctx, const char *text, xfc_int (*symbol)(void *user, const char *name, size_t n),
                           void *user) {
    parser p = {.ctx = ctx, .at = text, .symbol = symbol, .user = user};
    xfc_int value = parse_sum(&p);
    skip_blanks(&p);
    return *p.at ? XFC_INT_NONE : value;
}

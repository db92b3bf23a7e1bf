/* parse_expr.c - symbolic integers and types from text, and the scopes of their symbols.
 *
 *   sum     = product { (+ | -) product }
 *   product = factor { (* | floordiv | mod) factor }
 *   factor  = number | symbol | "dim" | - factor | ( sum ) | min(sum, sum) | max(sum, sum)
 *
 * A bare word is the innermost axis or let of that name, else a dim of the graph; a quoted one is always a dim. Sums
 * are kept under XFC_PARSE_TERMS terms, since products of sums grow without bound.
 */
#include "ir/text/parse_impl.h"

#include <string.h>

static uint64_t key(const char *interned) { return (uint64_t)(uintptr_t)interned; }

/* --- scopes --- */

bool xfc_ps_local_name(xfc_parser *p, const char **name, const char **hint) {
    if (p->tok.kind != XFC_TOK_WORD || xfc_is_expr_word(p->tok.text))
        return xfc_ps_expected(p, "a name for the axis or let");
    *name = p->tok.text;
    size_t n = strlen(*name);
    while (n > 1 && (*name)[n - 1] >= '0' && (*name)[n - 1] <= '9') n--;
    *hint = xfc_intern_n(p->ctx->strings, *name, n);
    xfc_ps_next(p);
    return !p->failed;
}

bool xfc_ps_define(xfc_parser *p, const char *name, xfc_int symbol) {
    if (xfc_map_get(&p->locals, key(name)))
        return xfc_ps_fail(p, "'%s' is already an axis or let here; rename one", name);
    if (p->n_scope >= XFC_PARSE_LOCALS)
        return xfc_ps_fail(p, "more than %d axes and lets in scope", (int)XFC_PARSE_LOCALS);
    xfc_push(p->scratch, p->scope, p->n_scope, p->cap_scope) = (xfc_scoped){.name = name};
    xfc_map_set(&p->locals, key(name), symbol.id);
    return true;
}

void xfc_ps_end_scope(xfc_parser *p, uint32_t n_scope) {
    while (p->n_scope > n_scope) xfc_map_set(&p->locals, key(p->scope[--p->n_scope].name), 0);
}

/* NAME = EXPR */
static bool size(xfc_parser *p, const char *name) {
    xfc_int formula;
    bool inside = xfc_int_as_written(p->ctx, true), ok = xfc_ps_int(p, &formula);
    xfc_int_as_written(p->ctx, inside);
    if (!ok) return false;
    xfc_int s = xfc_int_size(p->ctx, formula);
    if (!xfc_int_known(s)) return xfc_ps_fail(p, "'%s' has no formula of dims, or one nested too deep", name);
    xfc_map_set(&p->dims, key(name), s.id);
    return true;
}

/* NAME [in LO..HI] or NAME = EXPR */
static bool symbol(xfc_parser *p) {
    int64_t lo = 0, hi = XFC_DIM_MAX;
    bool word = p->tok.kind == XFC_TOK_WORD && !xfc_is_expr_word(p->tok.text);
    if (!word && p->tok.kind != XFC_TOK_STRING) return xfc_ps_expected(p, "the name of a dim");
    const char *name = p->tok.text;
    xfc_ps_next(p);
    if (xfc_ps_take_word(p, "in")) {
        if (!xfc_ps_i64(p, "the smallest value of the dim", &lo) || !xfc_ps_need(p, XFC_P_RANGE)) return false;
        if (!xfc_ps_i64(p, "the largest value of the dim", &hi)) return false;
    }
    if (lo < 0 || lo > hi) return xfc_ps_fail(p, "dim '%s' has no value in its range; write 0 <= LO <= HI", name);
    if (xfc_map_get(&p->dims, key(name))) return xfc_ps_fail(p, "dim '%s' is declared twice", name);
    if (xfc_ps_take(p, '=')) return size(p, name);
    xfc_int s = xfc_int_symbol(p->ctx, name, lo, hi);
    const xfc_int_info *i = xfc_int_look(p->ctx, s);
    if (!xfc_int_is(p->ctx, i->lo, lo) || !xfc_int_is(p->ctx, i->hi, hi))
        return xfc_ps_fail(p, "dim '%s' was declared before with another range; use one range or another name", name);
    xfc_map_set(&p->dims, key(name), s.id);
    return !p->failed;
}

bool xfc_ps_symbols(xfc_parser *p) {
    if (!xfc_ps_take(p, '[')) return !p->failed;
    if (xfc_ps_take(p, ']')) return !p->failed;
    do {
        if (!symbol(p)) return false;
    } while (xfc_ps_take(p, ','));
    return xfc_ps_need(p, ']');
}

bool xfc_ps_new_symbol(xfc_parser *p, xfc_int *out) {
    xfc_int lo, hi;
    bool word = p->tok.kind == XFC_TOK_WORD && !xfc_is_expr_word(p->tok.text);
    if (!word && p->tok.kind != XFC_TOK_STRING) return xfc_ps_expected(p, "the name of a symbol");
    const char *name = p->tok.text;
    if (xfc_map_get(&p->dims, key(name))) return xfc_ps_fail(p, "'%s' is a dim or defined already; rename one", name);
    xfc_ps_next(p);
    if (!xfc_ps_need_word(p, "in") || !xfc_ps_int(p, &lo) || !xfc_ps_need(p, XFC_P_RANGE) || !xfc_ps_int(p, &hi))
        return false;
    *out = xfc_int_let(p->ctx, name, lo, hi);
    xfc_map_set(&p->dims, key(name), out->id);
    return !p->failed;
}

/* --- expressions --- */

static uint32_t n_terms(const xfc_parser *p, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(p->ctx, e);
    return i->kind == XFC_INT_SUM ? i->n_terms : 1;
}

static uint32_t degree(const xfc_parser *p, xfc_int e) {
    const xfc_int_info *i = xfc_int_look(p->ctx, e);
    uint32_t most = 1;
    for (uint32_t k = 0; i->kind == XFC_INT_SUM && k < i->n_terms; k++)
        if (i->term[k].n > most) most = i->term[k].n;
    return most;
}

static bool small(xfc_parser *p, xfc_int a, xfc_int b, bool product) {
    uint32_t na = n_terms(p, a), nb = n_terms(p, b);
    bool ok = product ? na * nb <= XFC_PARSE_TERMS && degree(p, a) + degree(p, b) <= XFC_PARSE_FACTORS
                      : na + nb <= XFC_PARSE_TERMS;
    return ok || xfc_ps_fail(p, "an expression has more than %d terms or %d factors; simplify it", (int)XFC_PARSE_TERMS,
                             (int)XFC_PARSE_FACTORS);
}

static bool settled(xfc_parser *p, xfc_int e) {
    if (p->failed || xfc_int_known(e)) return !p->failed;
    return xfc_ps_fail(p, "a number in an expression exceeds 64 bits; use a smaller one");
}

static bool extremum(xfc_parser *p, bool is_min, xfc_int *out) {
    xfc_int a, b;
    xfc_ps_next(p);
    if (!xfc_ps_need(p, '(') || !xfc_ps_int(p, &a) || !xfc_ps_need(p, ',') || !xfc_ps_int(p, &b) ||
        !xfc_ps_need(p, ')'))
        return false;
    if (!small(p, a, b, false)) return false;
    *out = is_min ? xfc_int_min(p->ctx, a, b) : xfc_int_max(p->ctx, a, b);
    return settled(p, *out);
}

static bool name(xfc_parser *p, xfc_int *out) {
    const char *n = p->tok.text;
    uint64_t id = p->tok.kind == XFC_TOK_WORD ? xfc_map_get(&p->locals, key(n)) : 0;
    if (!id) id = xfc_map_get(&p->dims, key(n));
    if (!id) return xfc_ps_fail(p, "'%s' is no axis, let or dim here; declare dims as graph @name[%s](...)", n, n);
    *out = (xfc_int){(uint32_t)id};
    xfc_ps_next(p);
    return !p->failed;
}

static bool factor(xfc_parser *p, xfc_int *out) {
    if (p->depth >= XFC_PARSE_DEPTH)
        return xfc_ps_fail(p, "an expression is nested deeper than %d", (int)XFC_PARSE_DEPTH);
    p->depth++;
    bool ok;
    int64_t v;
    if (xfc_ps_is_word(p, "min") || xfc_ps_is_word(p, "max")) {
        ok = extremum(p, xfc_ps_is_word(p, "min"), out);
    } else if (p->tok.kind == XFC_TOK_WORD || p->tok.kind == XFC_TOK_STRING) {
        ok = name(p, out);
    } else if (xfc_ps_take(p, '(')) {
        ok = xfc_ps_int(p, out) && xfc_ps_need(p, ')');
    } else if (xfc_ps_take(p, '-')) {
        if (p->tok.kind == XFC_TOK_INT && !p->tok.big && p->tok.bits == UINT64_C(1) << 63) {
            *out = xfc_int_const(p->ctx, INT64_MIN);
            xfc_ps_next(p);
            ok = !p->failed;
        } else {
            ok = factor(p, out);
            if (ok) *out = xfc_int_mulc(p->ctx, *out, -1);
            ok = ok && settled(p, *out);
        }
    } else {
        ok = xfc_ps_i64(p, "a number, a dim or '('", &v);
        if (ok) *out = xfc_int_const(p->ctx, v);
    }
    p->depth--;
    return ok;
}

static bool product(xfc_parser *p, xfc_int *out) {
    if (!factor(p, out)) return false;
    for (;;) {
        char op = xfc_ps_is(p, '*') ? '*' : xfc_ps_is_word(p, "floordiv") ? '/' : xfc_ps_is_word(p, "mod") ? '%' : 0;
        xfc_int b;
        if (!op) return !p->failed;
        xfc_ps_next(p);
        if (!factor(p, &b) || !small(p, *out, b, op == '*')) return false;
        if (op == '*')
            *out = xfc_int_mul(p->ctx, *out, b);
        else
            *out = op == '/' ? xfc_int_floordiv(p->ctx, *out, b) : xfc_int_mod(p->ctx, *out, b);
        if (!settled(p, *out)) return false;
    }
}

static bool sum(xfc_parser *p, xfc_int *out) {
    if (!product(p, out)) return false;
    while (xfc_ps_is(p, '+') || xfc_ps_is(p, '-')) {
        bool plus = xfc_ps_is(p, '+');
        xfc_int b;
        xfc_ps_next(p);
        if (!product(p, &b) || !small(p, *out, b, false)) return false;
        *out = plus ? xfc_int_add(p->ctx, *out, b) : xfc_int_sub(p->ctx, *out, b);
        if (!settled(p, *out)) return false;
    }
    return !p->failed;
}

/* Names of sizes are the text's: parts of a formula get none while it is read. */
bool xfc_ps_int(xfc_parser *p, xfc_int *out) {
    bool inside = xfc_int_as_written(p->ctx, true), ok = sum(p, out);
    xfc_int_as_written(p->ctx, inside);
    if (!ok) return false;
    *out = xfc_int_settle(p->ctx, *out);
    return xfc_int_known(*out) || xfc_ps_fail(p, "an expression has more than %d parts", (int)XFC_INT_LOCAL);
}

/* --- types --- */

bool xfc_ps_dtype(xfc_parser *p, xfc_dtype *out) {
    if (p->tok.kind != XFC_TOK_WORD || !xfc_dtype_from_name(p->tok.text, out))
        return xfc_ps_expected(p, "an element type such as f32 or i64");
    xfc_ps_next(p);
    return !p->failed;
}

bool xfc_ps_type(xfc_parser *p, xfc_type *out) {
    *out = (xfc_type){0};
    if (!xfc_ps_dtype(p, &out->dtype) || !xfc_ps_need(p, '[')) return false;
    if (xfc_ps_take(p, ']')) return !p->failed;
    do {
        int64_t v;
        if (out->rank == XFC_MAX_RANK) return xfc_ps_fail(p, "a type has more than %d dims", (int)XFC_MAX_RANK);
        xfc_int *dim = &out->dim[out->rank++];
        if (!xfc_ps_int(p, dim)) return false;
        if (xfc_int_value(p->ctx, *dim, &v) && v < 0) return xfc_ps_fail(p, "a dim is negative");
    } while (xfc_ps_take(p, ','));
    return xfc_ps_need(p, ']');
}

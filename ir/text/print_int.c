/* print_int.c - symbolic integers as text.
 *
 * The canonical form of ir/int/int.c is ordered by ids, that is by history. Text must not depend on history: kernels
 * that do the same print the same, and a parsed text prints as it was. So terms are ordered by the first local (axis or
 * let, in order of definition) that they mention, then by their text; the constant comes last.
 *
 * Invariant: what is printed parses back to the same id, given the same symbols.
 */
#include "ir/text/print_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_PRIMARY, LEVEL_PRODUCT, LEVEL_SUM };
enum { RANK_DIM = 0x7ffffffe, RANK_CONST };

typedef struct {
    const char *text;
    uint32_t rank; /* number of the first local inside; RANK_DIM without one */
    int level;
} piece;

typedef struct {
    piece p;
    int64_t coeff;
} part;

static piece render(xfc_printer *p, xfc_int e);

bool xfc_is_expr_word(const char *s) {
    return strcmp(s, "min") == 0 || strcmp(s, "max") == 0 || strcmp(s, "mod") == 0 || strcmp(s, "floordiv") == 0;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool xfc_is_identifier(const char *s) {
    if (!is_letter(*s)) return false;
    for (s++; *s; s++)
        if (!is_letter(*s) && !is_digit(*s) && (*s != '.' || s[1] == '.' || s[1] == 0)) return false;
    return true;
}

static int compare_parts(const void *va, const void *vb) {
    const part *a = va, *b = vb;
    if (a->p.rank != b->p.rank) return a->p.rank < b->p.rank ? -1 : 1;
    return strcmp(a->p.text, b->p.text);
}

static const char *grouped(xfc_printer *p, const piece *x) {
    return x->level == LEVEL_PRIMARY ? x->text : xfc_sprintf(p->scratch, "(%s)", x->text);
}

/* A symbol that the kernel at hand does not make. Without a graph or a list of symbols its own name is all there is. */
static const char *name_of(const xfc_printer *p, xfc_int e, const xfc_int_info *i) {
    if (!p->canonical && (!p->graph || i->sym == XFC_SYM_DIM)) return i->name;
    return (const char *)(uintptr_t)xfc_map_get(&p->defined, e.id);
}

static piece render_symbol(xfc_printer *p, xfc_int e, const xfc_int_info *i) {
    uint64_t number = xfc_map_get(&p->locals, e.id);
    if (number) {
        uint32_t n = (uint32_t)number - 1;
        xfc_buf b = {.arena = p->scratch};
        const char *name = i->name;
        size_t len = strlen(name);
        while (len && is_digit(name[len - 1])) len--;
        bool plain = !p->canonical && len && xfc_is_identifier(name) && name[len - 1] != '.';
        xfc_buf_printf(&b, "%.*s%u", plain ? (int)len : 1, plain ? name : "i", (unsigned)n);
        return (piece){b.text, n, LEVEL_PRIMARY};
    }
    const char *name = name_of(p, e, i);
    if (!name) /* out of scope: the verifier says so; the text must not look as if it were right */
        return (piece){xfc_sprintf(p->scratch, "?%s", i->name), RANK_DIM, LEVEL_PRIMARY};
    bool bare = xfc_is_identifier(name) && !xfc_is_expr_word(name) &&
                !xfc_map_find(&p->local_names, (uint64_t)(uintptr_t)xfc_str(p->ctx, name), NULL);
    if (bare) return (piece){name, RANK_DIM, LEVEL_PRIMARY};
    xfc_buf b = {.arena = p->scratch};
    xfc_buf_quoted(&b, name);
    return (piece){b.text, RANK_DIM, LEVEL_PRIMARY};
}

/* Atoms of one term joined by " * ". */
static piece render_product(xfc_printer *p, const xfc_int_term *t) {
    if (t->n == 0) return (piece){"", RANK_CONST, LEVEL_PRIMARY};
    part *atom = xfc_new_array(p->scratch, part, t->n);
    for (uint32_t i = 0; i < t->n; i++) atom[i].p = render(p, t->atom[i]);
    qsort(atom, t->n, sizeof *atom, compare_parts);
    xfc_buf b = {.arena = p->scratch};
    for (uint32_t i = 0; i < t->n; i++) {
        if (i) xfc_buf_str(&b, " * ");
        xfc_buf_str(&b, grouped(p, &atom[i].p));
    }
    return (piece){b.text, atom[0].p.rank, LEVEL_PRODUCT};
}

static void put_part(xfc_buf *b, const part *t, bool first) {
    bool negative = t->coeff < 0 && t->coeff != INT64_MIN;
    int64_t mag = negative ? -t->coeff : t->coeff;
    xfc_buf_str(b, first ? (negative ? "-" : "") : negative ? " - " : " + ");
    xfc_buf_str(b, t->p.text);
    if (*t->p.text == 0)
        xfc_buf_printf(b, "%" PRId64, mag);
    else if (mag != 1)
        xfc_buf_printf(b, " * %" PRId64, mag);
}

static piece render_sum(xfc_printer *p, const xfc_int_info *info) {
    uint32_t n = info->n_terms;
    part *t = xfc_new_array(p->scratch, part, n);
    for (uint32_t i = 0; i < n; i++) t[i] = (part){render_product(p, &info->term[i]), info->term[i].coeff};
    qsort(t, n, sizeof *t, compare_parts);
    xfc_buf b = {.arena = p->scratch};
    uint32_t rank = t[0].p.rank, lead = 0;
    while (lead < n && t[lead].coeff < 0) lead++; /* m - i * 8 reads better than -i * 8 + m */
    if (lead == n) lead = 0;
    put_part(&b, &t[lead], true);
    for (uint32_t i = 0; i < n; i++)
        if (i != lead) put_part(&b, &t[i], false);
    return (piece){b.text, rank, LEVEL_SUM};
}

static piece render_pair(xfc_printer *p, const xfc_int_info *i) {
    part x[2] = {{.p = render(p, i->a)}, {.p = render(p, i->b)}};
    bool sorted = i->kind == XFC_INT_MIN || i->kind == XFC_INT_MAX;
    if (sorted) {
        const char *name = i->kind == XFC_INT_MIN ? "min" : "max";
        qsort(x, 2, sizeof *x, compare_parts);
        return (piece){xfc_sprintf(p->scratch, "%s(%s, %s)", name, x[0].p.text, x[1].p.text), x[0].p.rank,
                       LEVEL_PRIMARY};
    }
    const char *name = i->kind == XFC_INT_FLOORDIV ? "floordiv" : "mod";
    uint32_t rank = x[0].p.rank < x[1].p.rank ? x[0].p.rank : x[1].p.rank;
    const char *a = grouped(p, &x[0].p), *b = grouped(p, &x[1].p);
    return (piece){xfc_sprintf(p->scratch, "%s %s %s", a, name, b), rank, LEVEL_PRODUCT};
}

static piece render(xfc_printer *p, xfc_int e) {
    if (!xfc_int_known(e)) return (piece){"?", RANK_DIM, LEVEL_PRIMARY};
    const xfc_int_info *i = xfc_int_look(p->ctx, e);
    switch (i->kind) {
    case XFC_INT_CONST:
        return (piece){xfc_sprintf(p->scratch, "%" PRId64, i->value), RANK_CONST,
                       i->value < 0 ? LEVEL_SUM : LEVEL_PRIMARY};
    case XFC_INT_SYMBOL: return render_symbol(p, e, i);
    case XFC_INT_SUM: return render_sum(p, i);
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX: break;
    }
    return render_pair(p, i);
}

void xfc_pr_int(xfc_printer *p, xfc_int e) {
    int64_t v;
    if (xfc_int_value(p->ctx, e, &v))
        xfc_buf_printf(p->out, "%" PRId64, v); /* the common case needs no piece */
    else
        xfc_buf_str(p->out, render(p, e).text);
}

void xfc_pr_define(xfc_printer *p, xfc_int symbol, uint32_t number) {
    if (!xfc_int_known(symbol) || xfc_int_look(p->ctx, symbol)->kind != XFC_INT_SYMBOL) {
        xfc_buf_char(p->out, '?');
        return;
    }
    xfc_map_set(&p->locals, symbol.id, (uint64_t)number + 1);
    const char *text = render_symbol(p, symbol, xfc_int_look(p->ctx, symbol)).text;
    xfc_map_set_ptr(&p->local_names, xfc_str(p->ctx, text), p);
    xfc_buf_str(p->out, text);
}

void xfc_pr_range(xfc_printer *p, xfc_int symbol) {
    if (!xfc_int_known(symbol) || xfc_int_look(p->ctx, symbol)->kind != XFC_INT_SYMBOL) return;
    const xfc_int_info *i = xfc_int_look(p->ctx, symbol);
    xfc_buf_str(p->out, " in ");
    xfc_pr_int(p, i->lo);
    xfc_buf_str(p->out, "..");
    xfc_pr_int(p, i->hi);
}

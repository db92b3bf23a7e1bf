/* parse.c - the text of a rule to patterns, with every check that can be made without a graph.
 *
 * The grammar stands in rewrite.h. A rule is at most a few hundred bytes and comes from rules.def, never from a user;
 * nesting is bounded all the same, and each mistake is told with what was found at which byte. Semantics (does the rule
 * hold?) are tested by evaluating both sides, not here.
 */
#include "passes/rewrite/rewrite.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    xfc_arena *arena;
    const char *text, *at;
    xfc_rule *rule;
    const char *error;
    bool replacement;
    uint32_t depth;
} parser;

static xfc_pattern *parse_pattern(parser *p);

static void *fail(parser *p, const char *what) {
    if (!p->error) p->error = xfc_sprintf(p->arena, "byte %zu of \"%s\": %s", (size_t)(p->at - p->text), p->text, what);
    return NULL;
}

static void skip(parser *p) {
    while (isspace((unsigned char)*p->at)) p->at++;
}

static bool accept(parser *p, char c) {
    skip(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static size_t word(parser *p, const char **start) {
    skip(p);
    const char *s = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_') p->at++;
    *start = s;
    return (size_t)(p->at - s);
}

static bool accept_word(parser *p, const char *w) {
    const char *before = p->at, *start;
    size_t n = word(p, &start);
    if (n == strlen(w) && memcmp(start, w, n) == 0) return true;
    p->at = before;
    return false;
}

/* Number of a variable; a new one is only allowed on the pattern side. */
static bool variable(parser *p, uint32_t *out) {
    const char *start;
    size_t n = word(p, &start);
    xfc_rule *r = p->rule;
    if (n == 0) return fail(p, "a variable's name was expected"), false;
    for (uint32_t i = 0; i < r->n_vars; i++) {
        if (strlen(r->var_name[i]) == n && memcmp(r->var_name[i], start, n) == 0) return *out = i, true;
    }
    if (p->replacement) return fail(p, "the pattern does not bind this variable"), false;
    if (r->n_vars == XFC_RULE_VARS) return fail(p, "too many variables"), false;
    r->var_name[r->n_vars] = xfc_sprintf(p->arena, "%.*s", (int)n, start);
    *out = r->n_vars++;
    return true;
}

static bool parse_attr(parser *p, xfc_pattern *pat) {
    const char *start;
    size_t n = word(p, &start);
    char name[32] = {0};
    if (n == 0 || n >= sizeof(name)) return fail(p, "an attribute key was expected"), false;
    memcpy(name, start, n);
    xfc_pattr a = {0};
    if (!xfc_key_from_name(name, &a.key)) return fail(p, "no such attribute key"), false;
    if (!accept(p, '=')) return fail(p, "'=' was expected"), false;
    if (pat->n_attr == XFC_RULE_ATTRS) return fail(p, "too many attributes"), false;
    if (accept(p, '@')) {
        a.kind = XFC_PATTR_VAR;
        if (!variable(p, &a.var)) return false;
        p->rule->is_attr[a.var] = true;
    } else if (accept(p, '#')) {
        a.kind = XFC_PATTR_SCALAR;
        if (!p->replacement) return fail(p, "#name as an attribute is for replacements"), false;
        if (!variable(p, &a.var)) return false;
    } else if (accept_word(p, "last")) {
        a.kind = XFC_PATTR_LAST;
    } else {
        char *end;
        a.kind = XFC_PATTR_INT;
        a.i = strtoll(p->at, &end, 10);
        if (end == p->at) return fail(p, "an attribute value was expected"), false;
        p->at = end;
    }
    pat->attr[pat->n_attr++] = a;
    return true;
}

static bool key_allowed(const xfc_op_info *info, const char *key) {
    size_t n = strlen(key);
    for (const char *s = info->keys; s && *s;) {
        size_t len = strcspn(s, " !");
        if (len == n && memcmp(s, key, n) == 0) return true;
        s += len + strspn(s + len, " !");
    }
    return false;
}

static bool check_op(parser *p, const xfc_pattern *pat) {
    const xfc_op_info *info = &xfc_ops[pat->code];
    uint32_t most = (uint32_t)info->n_in, least = info->min_in > 0 ? (uint32_t)info->min_in : most;
    if (info->n_in < 0 || info->n_out != 1)
        return fail(p, "only ops of fixed operands and one result can stand in a rule"), false;
    if (pat->n < least || pat->n > most) return fail(p, "wrong number of operands before this"), false;
    for (uint32_t i = 0; i < pat->n_attr; i++) {
        if (!key_allowed(info, xfc_key_name(pat->attr[i].key))) return fail(p, "the op has no such attribute"), false;
    }
    return true;
}

static xfc_pattern *parse_op(parser *p) {
    xfc_pattern *pat = xfc_new(p->arena, xfc_pattern);
    const char *start;
    size_t n = word(p, &start);
    char name[32] = {0};
    pat->kind = XFC_PAT_OP;
    if (n == 0 || n >= sizeof(name)) return fail(p, "an op was expected");
    memcpy(name, start, n);
    if (!xfc_opcode_from_name(name, &pat->code)) return fail(p, "no such op");
    while (!accept(p, ')')) {
        if (accept(p, '{')) {
            do {
                if (!parse_attr(p, pat)) return NULL;
            } while (accept(p, ','));
            if (!accept(p, '}')) return fail(p, "'}' was expected");
            continue;
        }
        if (pat->n == XFC_RULE_ARGS) return fail(p, "too many operands");
        if (!(pat->arg[pat->n++] = parse_pattern(p))) return NULL;
    }
    return check_op(p, pat) ? pat : NULL;
}

static xfc_pattern *parse_either(parser *p) {
    xfc_pattern *pat = xfc_new(p->arena, xfc_pattern);
    pat->kind = XFC_PAT_EITHER;
    if (p->replacement) return fail(p, "a replacement has no alternatives");
    do {
        if (pat->n == XFC_RULE_ARGS) return fail(p, "too many alternatives");
        if (!(pat->arg[pat->n++] = parse_pattern(p))) return NULL;
    } while (accept(p, '|'));
    return accept(p, ']') ? pat : fail(p, "'|' or ']' was expected");
}

static xfc_pattern *parse_literal(parser *p) {
    xfc_pattern *pat = xfc_new(p->arena, xfc_pattern);
    char *end;
    pat->kind = accept(p, '~') ? XFC_PAT_NEAR : XFC_PAT_LITERAL;
    pat->value = strtod(p->at, &end);
    if (end == p->at) return fail(p, "a pattern was expected");
    p->at = end;
    return pat;
}

static xfc_pattern *parse_leaf(parser *p) {
    bool is_const = *p->at++ == '#';
    xfc_pattern *pat = xfc_new(p->arena, xfc_pattern);
    pat->kind = is_const ? XFC_PAT_CONST : XFC_PAT_ANY;
    if (!variable(p, &pat->var)) return NULL;
    if (is_const) p->rule->is_const[pat->var] = true;
    return pat;
}

static xfc_pattern *parse_pattern(parser *p) {
    if (++p->depth > 16) return fail(p, "nested too deeply");
    skip(p);
    xfc_pattern *pat;
    if (*p->at == '?' || *p->at == '#') {
        pat = parse_leaf(p);
    } else if (accept(p, '(')) {
        pat = parse_op(p);
    } else if (accept(p, '[')) {
        pat = parse_either(p);
    } else {
        pat = parse_literal(p);
    }
    p->depth--;
    return pat;
}

static bool parse_where(parser *p) {
    xfc_rule *r = p->rule;
    while (accept_word(p, "where")) {
        if (r->n_where == XFC_RULE_VARS) return fail(p, "too many where clauses"), false;
        if (!accept(p, '?')) return fail(p, "'?' was expected after where"), false;
        uint32_t known = r->n_vars;
        if (!variable(p, &r->where_var[r->n_where])) return false;
        if (r->where_var[r->n_where] >= known) return fail(p, "nothing before this mentions the variable"), false;
        if (!accept(p, '=')) return fail(p, "'=' was expected"), false;
        if (!(r->where[r->n_where++] = parse_pattern(p))) return false;
    }
    return true;
}

static bool parse_guards(parser *p) {
    xfc_rule *r = p->rule;
    skip(p);
    while (*p->at) {
        const char *start;
        uint32_t n_args = 0;
        size_t n = word(p, &start);
        if (r->n_guards == XFC_RULE_GUARDS) return fail(p, "too many guards"), false;
        xfc_guard *g = &r->guard[r->n_guards++];
        g->test = xfc_guard_find(start, n, &n_args);
        if (!g->test) return fail(p, "no such guard"), false;
        if (!accept(p, '(')) return fail(p, "'(' was expected"), false;
        for (uint32_t i = 0; i < n_args; i++) {
            if (i > 0 && !accept(p, ',')) return fail(p, "the guard takes two values"), false;
            if (!accept(p, '?') && !accept(p, '#')) return fail(p, "a variable was expected"), false;
            if (!variable(p, &g->arg[i])) return false;
        }
        if (!accept(p, ')')) return fail(p, "')' was expected"), false;
        if (!accept(p, ',')) break;
        skip(p);
    }
    return true;
}

static bool at_end(parser *p) {
    skip(p);
    return !*p->at || (fail(p, "the end was expected"), false);
}

/* The root must be an op, or alternatives that all are: the engine finds matches by their last op. */
static bool root_is_op(const xfc_pattern *pat) {
    if (pat->kind == XFC_PAT_OP) return true;
    for (uint32_t i = 0; i < pat->n; i++) {
        if (pat->kind != XFC_PAT_EITHER || !root_is_op(pat->arg[i])) return false;
    }
    return pat->kind == XFC_PAT_EITHER;
}

bool xfc_rule_parse(xfc_arena *arena, const xfc_rule_text *text, xfc_rule *out, const char **error) {
    parser p = {.arena = arena, .text = text->pattern, .at = text->pattern, .rule = out};
    *out = (xfc_rule){.text = text};
    out->pattern = parse_pattern(&p);
    bool ok = out->pattern && parse_where(&p) && at_end(&p);
    if (ok && !root_is_op(out->pattern)) ok = (fail(&p, "the pattern must be an op"), false);
    p.replacement = true;
    if (ok) {
        p.text = p.at = text->replacement;
        out->replacement = parse_pattern(&p);
        ok = out->replacement && at_end(&p);
    }
    if (ok) {
        p.text = p.at = text->guards;
        ok = parse_guards(&p) && at_end(&p);
    }
    *error = p.error;
    return ok;
}

/* rewrite.c - finds the rules of rules.def in a graph and replaces what they match.
 *
 * Matching is backtracking over a list of goals (pattern, value): an op's operands become goals, a commuting op tries
 * both orders, alternatives are tried in turn, and bindings are restored after each failure, so a match is found
 * whenever there is one. Patterns are a few nodes deep, which bounds recursion and cost. Ops are visited in order,
 * rules in the order of the table, sweeps repeat until nothing changes. A replacement is built before the root, must
 * have its type, and takes over its uses; what that leaves dead goes at once, so that "single use" counts real uses
 * only.
 */
#include "passes/rewrite/rewrite.h"

#include <math.h>
#include <string.h>

const xfc_rule_text xfc_rules[] = {
#define XFC_RULE(set, rule, from, to, when, how)                                                                       \
    {.group = XFC_RULES_##set,                                                                                         \
     .name = rule,                                                                                                     \
     .pattern = from,                                                                                                  \
     .replacement = to,                                                                                                \
     .guards = when,                                                                                                   \
     .exactness = XFC_##how},
#include "passes/rewrite/rules.def"
#undef XFC_RULE
};
const uint32_t xfc_n_rules = XFC_COUNT(xfc_rules);

typedef struct goal {
    const xfc_pattern *pattern;
    xfc_value *value; /* NULL: of a where clause, whose variable is bound by then */
    uint32_t var;
    const struct goal *next;
} goal;

typedef struct {
    const xfc_rule *rule;
    xfc_match *match;
} matcher;

static bool solve(matcher *m, const goal *g);

static double round_to(xfc_dtype dtype, double x) {
    switch (xfc_dtype_bytes(dtype)) {
    case 4: return (double)(float)x;
    case 2:
        return dtype == XFC_F16 ? (double)xfc_half_to_float(xfc_float_to_half((float)x))
                                : (double)xfc_bfloat_to_float(xfc_float_to_bfloat((float)x));
    default: return x;
    }
}

static bool match_literal(const xfc_pattern *p, const xfc_value *v) {
    double have;
    if (!xfc_splat_value(v, &have)) return false;
    xfc_dtype dtype = v->type.dtype;
    if (!xfc_dtype_is_float(dtype)) return p->kind == XFC_PAT_LITERAL && have == p->value;
    if (p->kind == XFC_PAT_NEAR) return xfc_is_near(dtype, have, p->value);
    return have == round_to(dtype, p->value) && signbit(have) == signbit(p->value);
}

/* An axis as a number, whether it is spelled axis = 2, axes = [2] or axes = [-1]. */
static bool single_axis(const xfc_op *op, const xfc_attr *a, int64_t *out) {
    if (xfc_key_kind(a->key) == XFC_ATTR_INT) {
        *out = a->u.i;
    } else if (xfc_key_kind(a->key) == XFC_ATTR_INTS && a->n == 1) {
        *out = a->u.ints[0];
    } else {
        return false;
    }
    if (*out < 0) *out += op->in[0].value->type.rank;
    return true;
}

static bool same_binding(const xfc_op *op, const xfc_attr *a, const xfc_attr *b) {
    int64_t x, y;
    xfc_attr_kind kind = xfc_key_kind(a->key);
    if (kind == XFC_ATTR_DTYPE) return xfc_key_kind(b->key) == kind && a->u.dtype == b->u.dtype;
    if (kind == XFC_ATTR_FLOAT) return xfc_key_kind(b->key) == kind && a->u.f == b->u.f;
    return single_axis(op, a, &x) && single_axis(op, b, &y) && x == y;
}

static bool match_attr(matcher *m, const xfc_pattr *p, const xfc_op *op) {
    const xfc_attr *a = xfc_op_attr(op, p->key);
    int64_t axis;
    switch (p->kind) {
    case XFC_PATTR_INT: return xfc_op_int(op, p->key, 0) == p->i;
    case XFC_PATTR_LAST: return a && single_axis(op, a, &axis) && axis == (int64_t)op->in[0].value->type.rank - 1;
    case XFC_PATTR_VAR:
        if (!a) return false;
        if (m->match->attr[p->var]) return same_binding(op, a, m->match->attr[p->var]);
        m->match->attr[p->var] = a;
        return same_binding(op, a, a);
    case XFC_PATTR_SCALAR: break;
    }
    return false;
}

static bool match_op(matcher *m, const goal *g, xfc_value *v) {
    const xfc_pattern *p = g->pattern;
    const xfc_op *op = v->def;
    if (!op || op->code != p->code || op->n_in < p->n) return false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        if ((op->in[i].value != NULL) != (i < p->n)) return false;
    }
    if (xfc_op_attr(op, XFC_K_AXES) && op->out[0].type.rank != op->in[0].value->type.rank) return false;
    for (uint32_t i = 0; i < p->n_attr; i++) {
        if (!match_attr(m, &p->attr[i], op)) return false;
    }
    goal arg[XFC_RULE_ARGS + 1] = {0};
    uint32_t orders = p->n >= 2 && xfc_op_has(op, XFC_COMMUTES) ? 2 : 1;
    for (uint32_t swap = 0; swap < orders; swap++) {
        for (uint32_t i = 0; i < p->n; i++) {
            uint32_t operand = i < 2 && swap ? 1 - i : i;
            arg[i] = (goal){
                .pattern = p->arg[i], .value = op->in[operand].value, .next = i + 1 < p->n ? &arg[i + 1] : g->next};
        }
        xfc_match saved = *m->match;
        if (solve(m, p->n > 0 ? &arg[0] : g->next)) return true;
        *m->match = saved;
    }
    return false;
}

static bool match_either(matcher *m, const goal *g, xfc_value *v) {
    for (uint32_t i = 0; i < g->pattern->n; i++) {
        goal one = {.pattern = g->pattern->arg[i], .value = v, .next = g->next};
        xfc_match saved = *m->match;
        if (solve(m, &one)) return true;
        *m->match = saved;
    }
    return false;
}

static bool guards_hold(const matcher *m) {
    for (uint32_t i = 0; i < m->rule->n_guards; i++) {
        const xfc_guard *g = &m->rule->guard[i];
        xfc_value *arg[2] = {m->match->value[g->arg[0]], m->match->value[g->arg[1]]};
        if (!g->test(m->match, arg)) return false;
    }
    return true;
}

static bool solve(matcher *m, const goal *g) {
    if (!g) return guards_hold(m);
    const xfc_pattern *p = g->pattern;
    xfc_value *v = g->value ? g->value : m->match->value[g->var];
    xfc_value **slot = &m->match->value[p->var];
    if (!v) return false;
    switch (p->kind) {
    case XFC_PAT_LITERAL:
    case XFC_PAT_NEAR: return match_literal(p, v) && solve(m, g->next);
    case XFC_PAT_OP: return match_op(m, g, v);
    case XFC_PAT_EITHER: return match_either(m, g, v);
    case XFC_PAT_CONST:
        if (!xfc_value_is_const(v, NULL)) return false;
        break;
    case XFC_PAT_ANY: break;
    }
    if (*slot && *slot != v) return false;
    *slot = v; /* restored by whoever tries the next alternative */
    return solve(m, g->next);
}

static bool root_may_be(const xfc_pattern *p, xfc_opcode code) {
    if (p->kind == XFC_PAT_OP) return p->code == code;
    for (uint32_t i = 0; i < p->n; i++) {
        if (root_may_be(p->arg[i], code)) return true;
    }
    return false;
}

bool xfc_rule_match(const xfc_rule *rule, xfc_op *root, xfc_match *out) {
    if (!root_may_be(rule->pattern, root->code)) return false;
    *out = (xfc_match){.root = root};
    goal goals[XFC_RULE_VARS + 1] = {{.pattern = rule->pattern, .value = &root->out[0]}};
    for (uint32_t i = 0; i < rule->n_where; i++) {
        goals[i + 1] = (goal){.pattern = rule->where[i], .var = rule->where_var[i]};
        goals[i].next = &goals[i + 1];
    }
    matcher m = {.rule = rule, .match = out};
    return solve(&m, goals);
}

static bool build_attr(const xfc_pattern_builder *b, const xfc_pattr *p, xfc_value *const *in, int64_t *axis,
                       xfc_attr *out) {
    xfc_attr_kind kind = xfc_key_kind(p->key);
    const xfc_attr *bound = p->kind == XFC_PATTR_VAR ? b->match->attr[p->var] : NULL;
    if (p->kind == XFC_PATTR_SCALAR) {
        const xfc_tensor *t;
        if (!xfc_value_is_const(b->match->value[p->var], &t) || t->count != 1) return false;
        *out = xfc_attr_float(p->key, xfc_tensor_get_f(t, 0));
        return true;
    }
    if (bound && (kind == XFC_ATTR_DTYPE || kind == XFC_ATTR_FLOAT)) {
        *out = *bound;
        out->key = p->key;
        return true;
    }
    int64_t rank = in[0]->type.rank;
    *axis = p->i;
    if (p->kind == XFC_PATTR_LAST) *axis = rank - 1;
    if (bound) *axis = xfc_key_kind(bound->key) == XFC_ATTR_INT ? bound->u.i : bound->u.ints[0];
    if (bound && *axis < 0) *axis += rank;
    if (p->kind != XFC_PATTR_INT && (*axis < 0 || *axis >= rank)) return false;
    *out = kind == XFC_ATTR_INTS ? xfc_attr_ints(p->key, axis, 1) : xfc_attr_int(p->key, *axis);
    return true;
}

static xfc_value *build_literal(xfc_pattern_builder *b, const xfc_pattern *p, xfc_dtype dtype) {
    if (xfc_dtype_is_float(dtype)) return xfc_b_scalar_f(b->builder, dtype, p->value);
    return xfc_b_scalar_i(b->builder, dtype, (int64_t)p->value);
}

static bool is_literal(const xfc_pattern *p) { return p->kind == XFC_PAT_LITERAL || p->kind == XFC_PAT_NEAR; }

static xfc_value *build_op(xfc_pattern_builder *b, const xfc_pattern *p) {
    xfc_value *in[XFC_RULE_ARGS] = {0};
    xfc_dtype dtype = b->dtype;
    for (uint32_t i = 0; i < p->n; i++) {
        if (is_literal(p->arg[i])) continue;
        if (!(in[i] = xfc_pattern_build(b, p->arg[i]))) return NULL;
        dtype = in[i]->type.dtype;
    }
    for (uint32_t i = 0; i < p->n; i++) {
        if (!in[i] && !(in[i] = build_literal(b, p->arg[i], dtype))) return NULL;
    }
    xfc_attr attr[XFC_RULE_ATTRS + 1];
    int64_t axis[XFC_RULE_ATTRS];
    uint32_t n_attr = 0;
    bool reduces = false;
    for (uint32_t i = 0; i < p->n_attr; i++) {
        if (!build_attr(b, &p->attr[i], in, &axis[i], &attr[n_attr++])) return NULL;
        reduces |= p->attr[i].key == XFC_K_AXES;
    }
    if (reduces) attr[n_attr++] = xfc_attr_int(XFC_K_KEEPDIMS, 1);
    return xfc_build(b->builder, p->code, in, p->n, attr, n_attr);
}

xfc_value *xfc_pattern_build(xfc_pattern_builder *b, const xfc_pattern *p) {
    switch (p->kind) {
    case XFC_PAT_LITERAL:
    case XFC_PAT_NEAR: return build_literal(b, p, b->dtype);
    case XFC_PAT_OP: return build_op(b, p);
    case XFC_PAT_EITHER: return xfc_pattern_build(b, p->arg[b->choose ? b->choose(b->user, p->n) : 0]);
    case XFC_PAT_ANY:
    case XFC_PAT_CONST: break;
    }
    xfc_value **slot = &b->match->value[p->var];
    for (uint32_t i = 0; !*slot && i < b->rule->n_where; i++) {
        if (b->rule->where_var[i] == p->var) *slot = xfc_pattern_build(b, b->rule->where[i]);
    }
    return *slot;
}

static bool is_returned(const xfc_value *v) {
    xfc_foreach_use(use, v) {
        if (use->user->code == XFC_OP_RETURN) return true;
    }
    return false;
}

bool xfc_can_replace(const xfc_value *old, const xfc_value *with) {
    if (old->def->graph->stage == XFC_STAGE_IMPORTED || !is_returned(old)) return true;
    return with->def && with->def->code != XFC_OP_CONST && !is_returned(with);
}

/* Removes the ops between `after` (NULL: the first) and `before` that have no uses: a replacement that was not
 * taken. */
static void discard(xfc_op *after, xfc_op *before) {
    for (xfc_op *op = before->prev, *prev; op != after; op = prev) {
        prev = op->prev;
        if (!op->out[0].uses) xfc_op_remove(op);
    }
}

bool xfc_rule_replace(const xfc_rule *rule, const xfc_match *match, xfc_pass *pass) {
    xfc_op *root = match->root, *before = root->prev;
    xfc_match bindings = *match;
    xfc_builder builder = {.graph = pass->graph, .before = root, .loc = root->loc};
    xfc_pattern_builder b = {.builder = &builder, .rule = rule, .match = &bindings, .dtype = root->out[0].type.dtype};
    xfc_value *with = xfc_pattern_build(&b, rule->replacement);
    if (!with || !xfc_type_same(&with->type, &root->out[0].type) || !xfc_can_replace(&root->out[0], with)) {
        discard(before, root);
        return false;
    }
    xfc_value_replace(&root->out[0], with);
    xfc_sweep(pass->scratch, root);
    return true;
}

static uint32_t parse_group(xfc_rule_group group, xfc_arena *arena, xfc_rule *rules) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < xfc_n_rules; i++) {
        const char *error = NULL;
        if (xfc_rules[i].group != group) continue;
        if (!xfc_rule_parse(arena, &xfc_rules[i], &rules[n++], &error))
            xfc_bug(__FILE__, __LINE__, "rule %s: %s", xfc_rules[i].name, error);
    }
    return n;
}

enum { MAX_SWEEPS = 64 }; /* a bound on time, not on correctness: any number of replacements leaves a right graph */

bool xfc_rules_run(xfc_rule_group group, xfc_pass *pass) {
    xfc_rule *rules = xfc_new_array(pass->scratch, xfc_rule, xfc_n_rules);
    uint32_t n = parse_group(group, pass->scratch, rules);
    bool changed = false, again = true;
    for (uint32_t sweep = 0; again && sweep < MAX_SWEEPS; sweep++) {
        again = false;
        xfc_foreach_op_safe(op, pass->graph) {
            xfc_match match;
            bool done = op->n_out != 1;
            for (uint32_t i = 0; i < n && !done; i++)
                done = xfc_rule_match(&rules[i], op, &match) && xfc_rule_replace(&rules[i], &match, pass);
            again |= done && op->n_out == 1;
        }
        changed |= again;
    }
    return changed;
}

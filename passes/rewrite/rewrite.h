/* rewrite.h - rules as data: patterns over the graph, in a small text, found and replaced by one engine.
 *
 * A row of rules.def is XFC_RULE(GROUP, "name", "pattern", "replacement", "guards", EXACT or ROUNDING).
 *
 *   ?x            any value; the same name again means the same value
 *   #c            a value defined by `const`
 *   1.5  -0  inf  a splat of exactly this value (0 is not -0 for floats), of any shape: const, splat, or expand of one
 *   ~0.7071068    a splat near it: within 2e-5 of it relatively (f16, bf16: two units in the last place)
 *   (op a b {..}) an op; operands of a commuting op match in either order. A reduction must keep its dims.
 *   [a | b]       either
 *   P where ?t = Q where ...   P, and the value of ?t matches Q
 * Attributes: {axes = last} the last axis alone; {to = @t} binds or compares (an axis equals axes of one); {eps = #e}
 * (in a replacement) the constant's value; {approximate = 1} an integer. In a replacement literals take the dtype of
 * their neighbours.
 *
 * Guards are names of predicates over bindings, "single_use(?m), int(?x)"; rewrite/guard.c lists them. A replacement
 * whose type differs from the root's is not made (so `mul ?x 1` stays where the 1 broadcasts). Rules must not grow the
 * graph forever: each makes it smaller or more canonical.
 */
#ifndef XFC_REWRITE_H
#define XFC_REWRITE_H
#include "ir/build.h"
#include "passes/pass.h"

typedef enum { XFC_RULES_SIMPLIFY, XFC_RULES_RAISE, XFC_RULES_COUNT } xfc_rule_group;
typedef enum {
    XFC_EXACT,    /* the same bits for every input, NaN payloads aside */
    XFC_ROUNDING, /* the same function of real numbers; results differ by rounding. The row says why that is right */
} xfc_exactness;
typedef struct {
    xfc_rule_group group;
    const char *name, *pattern, *replacement, *guards;
    xfc_exactness exactness;
} xfc_rule_text;
extern const xfc_rule_text xfc_rules[];
extern const uint32_t xfc_n_rules;

enum { XFC_RULE_VARS = 16, XFC_RULE_ARGS = 4, XFC_RULE_ATTRS = 3, XFC_RULE_GUARDS = 4 };

typedef enum { XFC_PAT_ANY, XFC_PAT_CONST, XFC_PAT_LITERAL, XFC_PAT_NEAR, XFC_PAT_OP, XFC_PAT_EITHER } xfc_pattern_kind;
typedef enum { XFC_PATTR_LAST, XFC_PATTR_INT, XFC_PATTR_VAR, XFC_PATTR_SCALAR } xfc_pattr_kind;
typedef struct {
    xfc_key key;
    xfc_pattr_kind kind;
    int64_t i;
    uint32_t var;
} xfc_pattr;
typedef struct xfc_pattern {
    xfc_pattern_kind kind;
    uint32_t var;    /* ANY, CONST */
    double value;    /* LITERAL, NEAR */
    xfc_opcode code; /* OP */
    uint32_t n;      /* operands or alternatives */
    const struct xfc_pattern *arg[XFC_RULE_ARGS];
    xfc_pattr attr[XFC_RULE_ATTRS];
    uint32_t n_attr;
} xfc_pattern;

typedef struct { /* what a match found */
    xfc_op *root;
    xfc_value *value[XFC_RULE_VARS];
    const xfc_attr *attr[XFC_RULE_VARS];
} xfc_match;
typedef bool xfc_guard_fn(const xfc_match *, xfc_value *const *arg);
typedef struct {
    xfc_guard_fn *test;
    uint32_t arg[2];
} xfc_guard;

typedef struct {
    const xfc_rule_text *text;
    const xfc_pattern *pattern, *replacement;
    uint32_t n_where, where_var[XFC_RULE_VARS];
    const xfc_pattern *where[XFC_RULE_VARS];
    uint32_t n_vars, n_guards;
    bool is_const[XFC_RULE_VARS]; /* written #name somewhere in the pattern */
    bool is_attr[XFC_RULE_VARS];  /* written @name */
    const char *var_name[XFC_RULE_VARS];
    xfc_guard guard[XFC_RULE_GUARDS];
} xfc_rule;

/* Parses one row; on a mistake in it false, and *error says where. Ops, arities, keys, bindings and guards are
 * checked. */
bool xfc_rule_parse(xfc_arena *, const xfc_rule_text *, xfc_rule *out, const char **error);
/* NULL if there is no guard of this name; *n_args: how many values it takes. */
xfc_guard_fn *xfc_guard_find(const char *name, size_t n, uint32_t *n_args);

bool xfc_rule_match(const xfc_rule *, xfc_op *root, xfc_match *out);
/* Replaces the root of a match; false (and no change) if the types differ. Removes what it made dead. */
bool xfc_rule_replace(const xfc_rule *, const xfc_match *, xfc_pass *);
/* Applies every rule of a group until none matches. A row that does not parse is a bug. */
bool xfc_rules_run(xfc_rule_group, xfc_pass *);

/* Builds a pattern from bindings before b->before: replacements, and in tests pattern sides, with choose deciding
 * between alternatives (NULL: the first) and where-variables built once. NULL after a failure. */
typedef struct {
    xfc_builder *builder;
    const xfc_rule *rule;
    xfc_match *match; /* bindings; a variable of a where clause is added when it is built */
    xfc_dtype dtype;  /* of literals with no neighbour */
    uint32_t (*choose)(void *user, uint32_t n);
    void *user;
} xfc_pattern_builder;
xfc_value *xfc_pattern_build(xfc_pattern_builder *, const xfc_pattern *);

/* The one value of a tensor that is a splat: const, splat, or expand or reshape of one. False if it isn't, or is
 * empty. */
bool xfc_splat_value(const xfc_value *, double *out);
bool xfc_is_near(xfc_dtype, double value, double wanted);
/* guard.c: every value of `from` is a value of `to`, so a cast through `to` loses nothing. */
bool xfc_dtype_embeds(xfc_dtype from, xfc_dtype to);
/* From LEGAL on every graph output is a value of its own: computed by an op, and returned once (legalize saw to it).
 * False if replacing `old` by `with` would break that. */
bool xfc_can_replace(const xfc_value *old, const xfc_value *with);
/* Removes op if it is dead, then what that leaves dead: only ops that stand before it. */
void xfc_sweep(xfc_arena *scratch, xfc_op *);

/* raise_attention.c; true iff the graph changed. */
bool xfc_raise_attention(xfc_pass *);
/* Does the op join batch and heads of scores, or part them again? */
bool xfc_regroups_heads(const xfc_op *);

/* legalize.c: replaces an op that has a decomposition by it; answers the first op to look at next, which is the first
 * new one. A failure is in the pass's status. */
xfc_op *xfc_decompose(xfc_pass *, xfc_op *);

#endif

/* rules_test.c - every row of passes/rewrite/rules.def is parsed, fires, and means the same on both sides.
 *
 * For each rule many small graphs of its pattern are made: variables become inputs or constants of random dtype and
 * shape (static and symbolic dims, 1 and 0 among them), alternatives and operand orders are drawn. The rule is applied
 * to a clone, and both graphs are evaluated on random and nasty inputs. EXACT rules must agree to the bit, one NaN
 * being as good as another; ROUNDING rules nearly. A rule that never fires fails the test. Rows with mistakes must be
 * refused with a message that says where.
 */
#include "backends/backend.h"
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "ir/verify/verify.h"
#include "passes/rewrite/rewrite.h"
#include "tests/unit/test.h"

#include <math.h>

enum { FIRINGS = 60, ATTEMPTS = 30000 };

typedef struct {
    uint64_t random;
    xfc_ctx *ctx;
    const xfc_rule *rule;
    xfc_dtype dtype;
    uint32_t rank;
    xfc_int dim[4];
    int64_t size[4]; /* values of dim */
    bool nasty;
} trial;

static int64_t between(trial *t, int64_t lo, int64_t hi) { return test_between(&t->random, lo, hi); }
static uint32_t choose(void *user, uint32_t n) { return (uint32_t)between(user, 0, (int64_t)n - 1); }

/* --- data --- */

static void fill(trial *t, xfc_dtype dtype, void *data, int64_t count) {
    static const double floats[] = {0,         -0.0,        1,    -1,    0.5,   -1.5,  2.5,    3,    HUGE_VAL,
                                    -HUGE_VAL, (double)NAN, 3e38, -3e38, 65504, 1e-40, -1e-45, 1e-6, 16777217};
    static const int64_t ints[] = {0,
                                   1,
                                   -1,
                                   2,
                                   3,
                                   127,
                                   128,
                                   -128,
                                   255,
                                   32767,
                                   65535,
                                   INT32_MAX,
                                   INT32_MIN,
                                   INT64_MAX,
                                   INT64_MIN,
                                   16777217,
                                   ((int64_t)1 << 53) + 1};
    for (int64_t i = 0; i < count; i++) {
        bool odd = t->nasty && between(t, 0, 2) == 0, is_float = xfc_dtype_is_float(dtype);
        if (is_float && odd)
            xfc_element_set_f(dtype, data, i, floats[between(t, 0, (int64_t)XFC_COUNT(floats) - 1)]);
        else if (is_float)
            xfc_element_set_f(dtype, data, i, (double)between(t, -4000000, 4000000) * 1e-6);
        else if (odd)
            xfc_element_set_i(dtype, data, i, ints[between(t, 0, (int64_t)XFC_COUNT(ints) - 1)]);
        else
            xfc_element_set_i(dtype, data, i, between(t, -9, 9));
    }
}

/* A constant: anything, powers of two, or one small positive number, so that every guard is met now and then. */
static xfc_value *constant(trial *t, xfc_builder *b, const xfc_type *type, const int64_t *size) {
    int64_t count;
    size_t bytes;
    if (!xfc_tensor_count(type->dtype, type->rank, size, &count, &bytes)) return NULL;
    void *data = xfc_tensor_alloc(t->ctx, type->dtype, type->rank, size);
    int64_t kind = between(t, 0, 2);
    fill(t, type->dtype, data, count);
    for (int64_t i = 0; i < count && kind == 1 && xfc_dtype_is_float(type->dtype); i++) {
        xfc_element_set_f(type->dtype, data, i,
                          ldexp(between(t, 0, 1) ? 1 : -1, (int)between(t, t->nasty ? -140 : -8, t->nasty ? 140 : 8)));
    }
    for (int64_t i = 0; i < count && kind == 2; i++)
        xfc_element_set_f(type->dtype, data, i, 1e-3 * (double)between(t, 1, 9));
    return xfc_b_const(b, xfc_tensor_new(t->ctx, type->dtype, type->rank, size, data, NULL));
}

/* --- graphs --- */

static void draw_dims(trial *t) {
    char name[16];
    t->rank = (uint32_t)between(t, 1, 4);
    for (uint32_t d = 0; d < t->rank; d++) {
        t->size[d] = between(t, 0, 40) == 0 ? 0 : between(t, 1, 5);
        t->dim[d] = xfc_int_const(t->ctx, t->size[d]);
        if (between(t, 0, 3) != 0) continue;
        snprintf(name, sizeof name, "n%u_%d", (unsigned)d, (int)t->size[d]);
        t->dim[d] = xfc_int_symbol(t->ctx, name, 0, 1000);
    }
}

/* The base shape, a suffix of it, a suffix with ones, a square of its last dim, or a matrix [last, n]. */
static xfc_type draw_type(trial *t, int64_t *size) {
    xfc_type type = {.dtype = between(t, 0, 7) == 0 ? XFC_BOOL : t->dtype};
    uint32_t last = t->rank - 1, skip = between(t, 0, 1) ? 0 : (uint32_t)between(t, 0, t->rank);
    if (between(t, 0, 4) == 0) {
        size[0] = t->size[last];
        size[1] = between(t, 0, 1) ? size[0] : between(t, 1, 5);
        type.rank = 2;
        for (uint32_t d = 0; d < 2; d++) type.dim[d] = xfc_int_const(t->ctx, size[d]);
        return type;
    }
    bool ones = between(t, 0, 5) == 0;
    for (uint32_t d = skip; d < t->rank; d++) {
        bool one = ones && between(t, 0, 1);
        size[type.rank] = one ? 1 : t->size[d];
        type.dim[type.rank++] = one ? xfc_int_const(t->ctx, 1) : t->dim[d];
    }
    return type;
}

static const xfc_pattr *attr_use(const xfc_pattern *p, uint32_t var) {
    for (uint32_t i = 0; i < p->n_attr; i++) {
        if (p->attr[i].kind == XFC_PATTR_VAR && p->attr[i].var == var) return &p->attr[i];
    }
    const xfc_pattr *found = NULL;
    for (uint32_t i = 0; i < p->n && !found; i++) found = attr_use(p->arg[i], var);
    return found;
}

static const xfc_attr *draw_attr(trial *t, xfc_graph *g, uint32_t var) {
    const xfc_pattr *use = attr_use(t->rule->pattern, var);
    for (uint32_t i = 0; i < t->rule->n_where && !use; i++) use = attr_use(t->rule->where[i], var);
    xfc_attr *a = xfc_new(g->arena, xfc_attr);
    if (xfc_key_kind(use->key) == XFC_ATTR_DTYPE)
        *a = xfc_attr_dtype(use->key, between(t, 0, 2) ? t->dtype : (xfc_dtype)between(t, 0, XFC_COMPUTED_COUNT - 1));
    else if (xfc_key_kind(use->key) == XFC_ATTR_FLOAT)
        *a = xfc_attr_float(use->key, 1e-5);
    else
        *a = xfc_attr_int(XFC_K_AXIS, between(t, 0, t->rank - 1));
    return a;
}

static bool is_where(const xfc_rule *r, uint32_t var) {
    for (uint32_t i = 0; i < r->n_where; i++) {
        if (r->where_var[i] == var) return true;
    }
    return false;
}

static void swap_operands(trial *t, xfc_graph *g) {
    xfc_foreach_op(op, g) {
        if (!xfc_op_has(op, XFC_COMMUTES) || between(t, 0, 1)) continue;
        xfc_value *a = op->in[0].value, *b = op->in[1].value;
        xfc_op_set_in(op, 0, b);
        xfc_op_set_in(op, 1, a);
    }
}

/* The pattern as a graph; false where the types drawn do not fit it. */
static bool draw_graph(trial *t, xfc_graph *g) {
    const xfc_rule *r = t->rule;
    xfc_builder b = {.graph = g};
    xfc_match m = {0};
    for (uint32_t v = 0; v < r->n_vars; v++) {
        int64_t size[XFC_MAX_RANK];
        if (is_where(r, v)) continue;
        if (r->is_attr[v]) {
            m.attr[v] = draw_attr(t, g, v);
            continue;
        }
        xfc_type type = draw_type(t, size);
        m.value[v] = r->is_const[v] ? constant(t, &b, &type, size) : xfc_graph_add_input(g, r->var_name[v], type);
        if (!m.value[v]) return false;
    }
    xfc_pattern_builder pb = {.builder = &b, .rule = r, .match = &m, .dtype = t->dtype, .choose = choose, .user = t};
    xfc_value *root = xfc_pattern_build(&pb, r->pattern);
    if (!root || !root->def) return false;
    swap_operands(t, g);
    return xfc_graph_set_outputs(g, &root, (const char *[]){"out"}, 1) != NULL;
}

/* --- comparison --- */

static double tolerance(xfc_dtype t) { return t == XFC_F64 ? 1e-9 : t == XFC_F32 ? 2e-4 : t == XFC_F16 ? 4e-2 : 0.25; }

static bool same_element(const trial *t, const xfc_array *a, const xfc_array *b, int64_t i) {
    size_t bytes = xfc_dtype_bytes(a->dtype);
    if (memcmp((const char *)a->data + (size_t)i * bytes, (const char *)b->data + (size_t)i * bytes, bytes) == 0)
        return true;
    if (!xfc_dtype_is_float(a->dtype)) return false;
    xfc_tensor ta = {.dtype = a->dtype, .count = a->count, .data = a->data},
               tb = {.dtype = b->dtype, .count = b->count, .data = b->data};
    double x = xfc_tensor_get_f(&ta, i), y = xfc_tensor_get_f(&tb, i);
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    if (t->rule->text->exactness == XFC_EXACT) return false;
    return fabs(x - y) <= tolerance(a->dtype) * (1 + fmax(fabs(x), fabs(y)));
}

static bool same_result(trial *t, const xfc_graph *before, const xfc_graph *after) {
    xfc_arena *arena = xfc_arena_new();
    xfc_array *in = xfc_new_array(arena, xfc_array, before->n_in + 1), a = {0}, b = {0};
    for (uint32_t i = 0; i < before->n_in; i++) {
        const xfc_type *type = &before->in[i]->type;
        in[i] = (xfc_array){.dtype = type->dtype, .rank = type->rank, .count = 1};
        for (uint32_t d = 0; d < type->rank; d++) {
            if (!xfc_int_value(t->ctx, type->dim[d], &in[i].dim[d]))
                in[i].dim[d] = strchr(xfc_int_look(t->ctx, type->dim[d])->name, '_')[1] - '0';
            in[i].count *= in[i].dim[d];
        }
        in[i].data = xfc_alloc(arena, (size_t)in[i].count * 8 + 8, 64);
        fill(t, type->dtype, in[i].data, in[i].count);
    }
    xfc_eval_opts opts = {.arena = arena};
    bool ran_before = xfc_eval_graph(before, in, before->n_in, &a, &opts) == XFC_OK;
    bool ok = !ran_before ||
              (xfc_eval_graph(after, in, after->n_in, &b, &opts) == XFC_OK && a.count == b.count && a.dtype == b.dtype);
    for (int64_t i = 0; ran_before && ok && i < a.count; i++) ok = same_element(t, &a, &b, i);
    xfc_arena_free(arena);
    return ok;
}

static void show(const trial *t, const xfc_graph *before, const xfc_graph *after) {
    xfc_buf buf = {.arena = xfc_arena_new()};
    xfc_print_graph(&buf, before, NULL);
    xfc_print_graph(&buf, after, NULL);
    fprintf(stderr, "rule %s:\n%s", t->rule->text->name, buf.text);
    xfc_diags_print(t->ctx, stderr, false);
    xfc_arena_free(buf.arena);
}

/* 1: fired and agreed, 0: did not fire, -1: differs. */
static int attempt(const xfc_rule *rule, uint64_t seed) {
    trial t = {.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .ctx = xfc_ctx_new(), .rule = rule};
    int result = 0;
    t.dtype = (xfc_dtype)between(&t, 0, XFC_COMPUTED_COUNT - 1);
    t.nasty = rule->text->exactness == XFC_EXACT && between(&t, 0, 1);
    draw_dims(&t);
    xfc_graph *g = xfc_graph_new(t.ctx, "pattern");
    if (draw_graph(&t, g) && xfc_verify(g, NULL)) {
        xfc_graph *after = xfc_graph_clone(g);
        xfc_pass pass = {.graph = after, .target = &xfc_target_cpu_generic, .scratch = xfc_arena_new()};
        xfc_match match;
        if (xfc_rule_match(rule, after->last->in[0].value->def, &match) && xfc_rule_replace(rule, &match, &pass)) {
            result = xfc_verify(after, NULL) && same_result(&t, g, after) ? 1 : -1;
            if (result < 0) show(&t, g, after);
        }
        xfc_arena_free(pass.scratch);
        xfc_graph_free(after);
    }
    xfc_graph_free(g);
    xfc_ctx_free(t.ctx);
    return result;
}

static void test_rule(const xfc_rule_text *text) {
    xfc_arena *arena = xfc_arena_new();
    xfc_rule rule;
    const char *error = NULL;
    int fired = 0, failed = 0;
    if (!CHECK(xfc_rule_parse(arena, text, &rule, &error))) {
        fprintf(stderr, "rule %s: %s\n", text->name, error);
        return;
    }
    for (uint64_t seed = 1; seed <= ATTEMPTS && fired < FIRINGS && !failed; seed++) {
        int result = attempt(&rule, seed);
        fired += result != 0;
        failed += result < 0;
    }
    if (!CHECK(fired > 0)) fprintf(stderr, "rule %s never fired\n", text->name);
    if (fired > 0 && fired < FIRINGS) fprintf(stderr, "rule %s: %d firings\n", text->name, fired);
    if (!CHECK(failed == 0)) fprintf(stderr, "rule %s differs\n", text->name);
    xfc_arena_free(arena);
}

static void test_mistakes(void) {
    static const struct {
        xfc_rule_text text;
        const char *part;
    } bad[] = {
        {{.pattern = "(mul ?x", .replacement = "?x", .guards = ""}, "expected"},
        {{.pattern = "(mul ?x ?y ?z)", .replacement = "?x", .guards = ""}, "operands"},
        {{.pattern = "(mull ?x ?y)", .replacement = "?x", .guards = ""}, "no such op"},
        {{.pattern = "(mul ?x 1)", .replacement = "?y", .guards = ""}, "does not bind"},
        {{.pattern = "(mul ?x 1)", .replacement = "?x", .guards = "tidy(?x)"}, "no such guard"},
        {{.pattern = "(mul ?x 1)", .replacement = "?x", .guards = "int(?y)"}, "does not bind"},
        {{.pattern = "(mul ?x 1) junk", .replacement = "?x", .guards = ""}, "end was expected"},
        {{.pattern = "?x", .replacement = "?x", .guards = ""}, "must be an op"},
        {{.pattern = "(mul ?x 1) where ?y = (neg ?x)", .replacement = "?x", .guards = ""}, "mentions"},
        {{.pattern = "(neg ?x {axis = 1})", .replacement = "?x", .guards = ""}, "no such attribute"},
        {{.pattern = "(neg ?x {colour = 1})", .replacement = "?x", .guards = ""}, "attribute key"},
        {{.pattern = "(concat ?x ?y)", .replacement = "?x", .guards = ""}, "fixed operands"},
        {{.pattern = "(neg ?x)", .replacement = "[?x | ?x]", .guards = ""}, "no alternatives"},
    };
    for (size_t i = 0; i < XFC_COUNT(bad); i++) {
        xfc_arena *arena = xfc_arena_new();
        xfc_rule rule;
        const char *error = NULL;
        if (CHECK(!xfc_rule_parse(arena, &bad[i].text, &rule, &error))) CHECK_CONTAINS(error, bad[i].part);
        xfc_arena_free(arena);
    }
}

int main(void) {
    test_mistakes();
    for (uint32_t i = 0; i < xfc_n_rules; i++) test_rule(&xfc_rules[i]);
    return test_end();
}

/* fuzz.c - random graphs of several ops: interpreter against compiled code.
 *
 * fuzz FIRST [COUNT [print]]: seeds FIRST .. FIRST + COUNT - 1, each in a process of its own, so that a crash is a
 * failure of its seed. With a third argument every graph is printed first and everything happens in this process,
 * for a debugger. A seed decides everything: the graph, its shapes and its inputs.
 *
 * Chance favours what models are made of, so each seed also owes its share of the ops: any SHARES seeds in a row reach
 * all. fuzz reach FIRST [COUNT]: prints in how many of these graphs each op stands, and fails where that is none.
 */
#include "ir/program.h"
#include "tests/diff/make.h"
#include "tests/unit/test.h"

/* Ops of models more often than others; f32 and what surrounds it more often than other types. */
static xfc_opcode random_code(maker *m) {
    static const xfc_opcode common[] = {
        XFC_OP_ADD,     XFC_OP_MUL,       XFC_OP_SUB,        XFC_OP_DIV,        XFC_OP_SELECT,      XFC_OP_CAST,
        XFC_OP_RESHAPE, XFC_OP_TRANSPOSE, XFC_OP_EXPAND,     XFC_OP_SLICE,      XFC_OP_CONCAT,      XFC_OP_PAD,
        XFC_OP_WINDOWS, XFC_OP_GATHER,    XFC_OP_REDUCE_SUM, XFC_OP_REDUCE_MAX, XFC_OP_REDUCE_MEAN, XFC_OP_MATMUL,
        XFC_OP_LINEAR,  XFC_OP_SOFTMAX,   XFC_OP_LAYERNORM,  XFC_OP_RMSNORM,    XFC_OP_GELU,        XFC_OP_ATTENTION,
        XFC_OP_EXP,     XFC_OP_CUMSUM};
    if (maker_chance(m, 70)) return common[maker_below(m, XFC_COUNT(common))];
    return (xfc_opcode)maker_below(m, XFC_OP_COUNT);
}

static xfc_dtype random_dtype(maker *m) {
    if (maker_chance(m, 60)) return XFC_F32;
    return (xfc_dtype)maker_below(m, XFC_COMPUTED_COUNT);
}

static void choose_outputs(maker *m, xfc_value *const *made, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (i + 1 == n || !made[i]->uses || maker_chance(m, 15)) maker_output(m, made[i]);
    if (maker_chance(m, 10)) maker_output(m, m->out[0]);
    if (maker_chance(m, 10) && m->graph->n_in) maker_output(m, m->graph->in[0]);
}

enum { MAX_MADE = 24, MAX_RESULTS = 4 };
typedef struct {
    xfc_value *value[MAX_MADE];
    xfc_op *before[MAX_MADE]; /* the op at the end of the graph before this one was made */
    uint32_t n;
} made_ops;

/* Ones of this type, which are what the other body gives. */
static xfc_value *ones(maker *m, const xfc_type *t) {
    uint64_t one = 0;
    if (xfc_dtype_is_float(t->dtype))
        xfc_element_set_f(t->dtype, &one, 0, 1);
    else
        xfc_element_set_i(t->dtype, &one, 0, 1);
    const xfc_tensor *scalar = xfc_tensor_copy(m->ctx, t->dtype, 0, NULL, &one, NULL);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_SHAPE, t->dim, t->rank), xfc_attr_tensor(XFC_K_VALUE, scalar)};
    return xfc_build(&m->b, XFC_OP_SPLAT, NULL, 0, attr, XFC_COUNT(attr));
}

/* The ops from one that was made on become a body of a branch, whose other body gives ones; of other sizes, if those
 * may differ. */
static void branch_from(maker *m, made_ops *made, uint32_t first, bool resize) {
    xfc_captures around = {0};
    while (first > 0 && made->before[first] == made->before[first - 1]) first--; /* results of one op */
    uint32_t n = made->n - first < MAX_RESULTS ? made->n - first : MAX_RESULTS;
    xfc_value *other[MAX_RESULTS], *cond = maker_new_input(m, XFC_BOOL, 0, NULL, DIFF_ANY, maker_constant(m, 0));
    if (!cond) return;
    xfc_graph *yes = xfc_outline(m->graph, made->before[first], NULL, &made->value[made->n - n], n, "yes", &around);
    xfc_op *here = m->graph->tail;
    for (uint32_t i = 0; i < n; i++) {
        xfc_type t = yes->last->in[i].value->type;
        for (uint32_t d = 0; d < t.rank && resize; d++)
            if (maker_chance(m, 40)) t.dim[d] = maker_dim(m, 0, NULL, LIMIT / 100);
        other[i] = ones(m, &t);
    }
    xfc_graph *no = xfc_outline(m->graph, here, NULL, other, n, "no", &around);
    bool swap = maker_chance(m, 50);
    xfc_op *op = xfc_b_branch(&m->b, cond, &around, swap ? no : yes, swap ? yes : no);
    if (!op) abort();
    for (uint32_t i = 0; i < n; i++) made->value[first + i] = &op->out[i];
    for (uint32_t i = 0; i < n; i++) made->before[first + i] = op->prev;
    made->n = first + n;
}

/* --- loops --- */

static bool has_regions(const xfc_op *op) {
    for (; op; op = op->next)
        if (xfc_op_has(op, XFC_REGION)) return true;
    return false;
}

/* What ops from this one on use of what stands before it, of this type: the loop may carry it. NULL: nothing. */
static xfc_value *used_from(xfc_op *first, const xfc_type *t) {
    xfc_value *found = NULL;
    for (xfc_op *op = first; op; op = op->next) op->mark = 1;
    for (xfc_op *op = first; op; op = op->next)
        for (uint32_t i = 0; i < op->n_in; i++) {
            xfc_value *v = op->in[i].value;
            bool before = v && !(v->def && v->def->mark) && !xfc_value_is_const(v, NULL);
            if (!found && before && xfc_type_same(&v->type, t)) found = v;
        }
    for (xfc_op *op = first; op; op = op->next) op->mark = 0;
    return xfc_dtype_is_float(t->dtype) ? found : NULL; /* indices stay within their bounds */
}

static void use_instead(xfc_op *op, const xfc_value *old, xfc_value *with) {
    for (; op; op = op->next)
        for (uint32_t i = 0; i < op->n_in; i++)
            if (op->in[i].value == old) xfc_op_set_in(op, i, with);
}

/* The number of the step, then what is carried: results of an op that outlining takes for the body's inputs. */
static xfc_op *new_formals(maker *m, xfc_op *before, xfc_value *const *result, uint32_t n) {
    xfc_op *f = xfc_op_new(m->graph, before, XFC_OP_KERNEL, NULL, 0, n + 1, NULL, 0, (xfc_loc){0});
    f->out[0].type = xfc_type_make(XFC_I64, 0, NULL);
    for (uint32_t i = 0; i < n; i++) f->out[i + 1].type = result[i]->type;
    return f;
}

/* The ops from one that was made on become the body of a loop. It carries what its results are added to, or, where it is
 * used, what they are made of; and goes on as its number of steps, its condition and a number that its body looks at
 * say, which are inputs. Of its first result it may make a list. */
static void loop_from(maker *m, made_ops *made, uint32_t first) {
    while (first > 0 && made->before[first] == made->before[first - 1]) first--; /* results of one op */
    uint32_t n = made->n - first < MAX_RESULTS ? made->n - first : MAX_RESULTS;
    xfc_op *begin = made->before[first] ? made->before[first]->next : m->graph->first;
    xfc_value *carried[MAX_RESULTS], *result[MAX_RESULTS + 2], **made_last = &made->value[made->n - n];
    xfc_value *trip = maker_new_input(m, XFC_I64, 0, NULL, DIFF_INDEX, maker_constant(m, 8));
    xfc_value *stop = maker_new_input(m, XFC_I64, 0, NULL, DIFF_INDEX, maker_constant(m, 3));
    xfc_value *cond = maker_new_input(m, XFC_BOOL, 0, NULL, DIFF_ANY, maker_constant(m, 0));
    if (!begin || has_regions(begin) || !trip || !stop || !cond) return;
    xfc_op *formals = new_formals(m, begin, made_last, n);
    for (uint32_t i = 0; i < n; i++) {
        xfc_value *formal = &formals->out[i + 1];
        carried[i] = used_from(formals, &formal->type);
        result[i + 1] = made_last[i];
        if (carried[i]) use_instead(begin, carried[i], formal);
        if (carried[i]) continue;
        m->b.before = formals;
        carried[i] = ones(m, &formal->type);
        m->b.before = NULL;
        if (formal->type.dtype != XFC_BOOL) result[i + 1] = xfc_b_binary(&m->b, XFC_OP_ADD, made_last[i], formal);
    }
    result[0] = xfc_b_binary(&m->b, XFC_OP_LT, &formals->out[0], stop);
    const bool lists = made_last[0]->type.rank < XFC_MAX_RANK && maker_chance(m, 50);
    if (lists) result[n + 1] = made_last[0];
    xfc_captures around = {0};
    xfc_graph *body = xfc_outline(m->graph, formals->prev, formals, result, n + 1 + lists, "step", &around);
    xfc_op *op =
        xfc_b_loop(&m->b, trip, cond, carried, n, &around, body, maker_constant(m, maker_below(m, 6)), NULL, 0);
    if (!op) abort();
    for (uint32_t i = 0; i < n; i++) made->value[first + i] = &op->out[lists && i == 0 ? n : i];
    for (uint32_t i = 0; i < n; i++) made->before[first + i] = op->prev;
    made->n = first + n;
}

static bool make_one(maker *m, made_ops *made, xfc_opcode code, xfc_dtype t) {
    if (made->n == MAX_MADE) return false;
    made->before[made->n] = m->graph->tail;
    made->value[made->n] = maker_op(m, code, t);
    return made->value[made->n] && ++made->n;
}

enum { SHARES = 40 };

/* The ops of its share, of types that they take. */
static void make_owed(maker *m, made_ops *made, uint64_t seed) {
    for (unsigned code = (unsigned)(seed % SHARES); code < XFC_OP_COUNT; code += SHARES)
        for (int tries = 0; tries < 100 && !make_one(m, made, (xfc_opcode)code, random_dtype(m)); tries++) {}
}

/* The graph of a seed, with its outputs. */
static bool make_seed(maker *m, uint64_t seed) {
    made_ops made = {.n = 0};
    maker_new(m, seed, seed % 3 != 0);
    m->reuse = 75;
    m->finite = maker_chance(m, 80);
    make_owed(m, &made, seed);
    uint32_t wanted = made.n + 3 + maker_below(m, 10);
    for (uint32_t tries = 0; made.n < wanted && tries < 10 * wanted; tries++) {
        make_one(m, &made, random_code(m), random_dtype(m));
        bool branch = seed % 4 == 1 && made.n > 2 && maker_chance(m, 30);
        if (branch) branch_from(m, &made, maker_below(m, made.n), false);
        if (seed % 4 == 3 && made.n > 1 && maker_chance(m, 30)) loop_from(m, &made, maker_below(m, made.n));
    }
    if (seed % 4 == 3 && made.n) loop_from(m, &made, maker_below(m, made.n));
    bool around = seed % 4 == 1 || (seed % 4 == 3 && maker_chance(m, 50));
    if (around && made.n) branch_from(m, &made, maker_below(m, made.n), true);
    choose_outputs(m, made.value, made.n);
    return maker_end(m);
}

static bool run_seed(uint64_t seed, bool print, diff_counts *counts) {
    maker m;
    char what[48];
    snprintf(what, sizeof what, "fuzz %llu", (unsigned long long)seed);
    const diff_how hows[] = {{.level = 0, .isas = 1u << seed % 3},
                             {.level = 2, .isas = 6, .checked = true},
                             {.level = 2, .reparse = true, .roundtrip = seed % 2, .clone = !(seed % 2), .isas = 7}};
    bool ok = make_seed(&m, seed);
    if (print) diff_print(&m, what, 0, "as built");
    ok = ok && diff_case(&m, hows, XFC_COUNT(hows), what, counts);
    maker_free(&m);
    return ok;
}

/* Passes alone make kernels, and ops whose results have sizes that data decides, definitions. */
static bool is_made_by_passes(unsigned code) { return code == XFC_OP_KERNEL || code == XFC_OP_DEFINE; }

static void check_reach(uint64_t first, uint64_t count) {
    unsigned graphs[XFC_OP_COUNT] = {0};
    for (uint64_t seed = first; seed < first + count; seed++) {
        maker m;
        bool seen[XFC_OP_COUNT] = {false};
        test_check(make_seed(&m, seed), __FILE__, __LINE__, "the graph verifies");
        xfc_foreach_op_deep(op, m.graph) seen[op->code] = true;
        for (unsigned code = 0; code < XFC_OP_COUNT; code++) graphs[code] += seen[code];
        maker_free(&m);
    }
    for (unsigned code = 0; code < XFC_OP_COUNT; code++) {
        if (is_made_by_passes(code)) continue;
        printf("%-24s %u\n", xfc_ops[code].name, graphs[code]);
        test_check(graphs[code] > 0, __FILE__, __LINE__, xfc_ops[code].name);
    }
}

static bool run_apart(void *seed, diff_counts *counts) { return run_seed(*(const uint64_t *)seed, false, counts); }

int main(int argc, char **argv) {
    bool reach = argc > 1 && strcmp(argv[1], "reach") == 0;
    argc -= reach, argv += reach;
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    if (reach) {
        check_reach(first, count);
        return test_end();
    }
    bool print = argc > 3;
    diff_counts counts = {0};
    for (uint64_t seed = first; seed < first + count; seed++) {
        char name[48];
        snprintf(name, sizeof name, "seed %llu", (unsigned long long)seed);
        test_check(print ? run_seed(seed, true, &counts) : diff_apart(run_apart, &seed, name, &counts), __FILE__,
                   __LINE__, name);
    }
    CHECK(diff_enough(&counts));
    return test_end();
}

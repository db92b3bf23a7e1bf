/* fuzz.c - random graphs of several ops: interpreter against compiled code.
 *
 * fuzz FIRST [COUNT [print]]: seeds FIRST .. FIRST + COUNT - 1, each in a process of its own, so that a crash is a
 * failure of its seed. With a third argument every graph is printed first and everything happens in this process,
 * for a debugger. A seed decides everything: the graph, its shapes and its inputs.
 */
#include "tests/diff/diff.h"
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
    return (xfc_dtype)maker_below(m, XFC_DTYPE_COUNT);
}

static void choose_outputs(maker *m, xfc_value *const *made, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (i + 1 == n || !made[i]->uses || maker_chance(m, 15)) maker_output(m, made[i]);
    if (maker_chance(m, 10)) maker_output(m, m->out[0]);
    if (maker_chance(m, 10) && m->graph->n_in) maker_output(m, m->graph->in[0]);
}

static bool run_seed(uint64_t seed, bool print, diff_counts *counts) {
    maker m;
    xfc_value *made[16];
    char what[48];
    maker_new(&m, seed, seed % 3 != 0);
    m.reuse = 75;
    m.finite = maker_chance(&m, 80);
    uint32_t wanted = 3 + maker_below(&m, 10), n = 0;
    for (uint32_t tries = 0; n < wanted && tries < 10 * wanted; tries++) {
        made[n] = maker_op(&m, random_code(&m), random_dtype(&m));
        if (made[n]) n++;
    }
    choose_outputs(&m, made, n);
    snprintf(what, sizeof what, "fuzz %llu", (unsigned long long)seed);
    const diff_how hows[] = {{.level = 0, .isas = 1u << seed % 3},
                             {.level = 2, .isas = 6, .checked = true},
                             {.level = 2, .reparse = true, .roundtrip = seed % 2, .clone = !(seed % 2), .isas = 7}};
    bool ok = maker_end(&m);
    if (print) diff_print(&m, what, 0, "as built");
    ok = ok && diff_case(&m, hows, XFC_COUNT(hows), what, counts);
    maker_free(&m);
    return ok;
}

static bool run_apart(void *seed, diff_counts *counts) { return run_seed(*(const uint64_t *)seed, false, counts); }

int main(int argc, char **argv) {
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
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

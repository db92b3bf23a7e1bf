/* diff.h - interpreter against compiled code: what the tests of this folder share.
 *
 * A case is a graph made by make.c, with the extents of its symbols in some rounds. For each round there is an
 * oracle: the interpreter's outputs with a tolerance an element. The graph is then compiled in several ways, each
 * into a shared object, loaded and run through xf.h for every round; and every output element must lie within its
 * tolerance.
 *
 * Where the tolerance comes from. Compiled code may differ from the interpreter in few places: the order of floating
 * sums, math functions on an ISA without FMA, and rules that pow may be replaced by. So the oracle interprets the
 * graph several times more, with composites decomposed, and after each such op moves every element up or down by a
 * part of what the op may differ (noise_of in oracle.c is the table). The largest deviation of a result, times
 * SLACK, is its tolerance; elements that no such op reaches must be equal to the bit (any NaN equals any other).
 * Integers and bools behind a comparison or a cast of noisy floats must be equal where no noise changed them.
 * Elements that noise makes infinite or NaN are not compared; their number is counted, and a test fails when they
 * are more than a few.
 */
#ifndef XFC_DIFF_H
#define XFC_DIFF_H
#include "ir/build.h"
#include "ir/eval/eval.h"
#include "ir/text/text.h"
#include "xf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIFF_ROUNDS = 3, DIFF_MAX_SYMBOLS = 8, DIFF_MAX_OUT = 128, DIFF_NOISES = 8, DIFF_MAX_INPUTS = 256 };

typedef struct {
    xfc_int symbol;
    int64_t extent[DIFF_ROUNDS];
    int32_t partner; /* >= 0: in each round 1, or the extent of that symbol */
    bool twin;       /* always the extent of the partner */
} diff_symbol;

typedef enum { DIFF_ANY, DIFF_INDEX, DIFF_NEAR_ONE } diff_fill;

typedef struct {
    xfc_ctx *ctx;
    xfc_graph *graph;
    xfc_builder b;
    uint64_t seed;
    bool dynamic, finite;     /* dims are symbols; no NaN nor infinity among the inputs */
    uint32_t n_rounds, reuse; /* percent: how often an operand is a value there already is */
    diff_symbol symbol[DIFF_MAX_SYMBOLS];
    uint32_t n_symbols;
    struct {
        diff_fill fill;
        xfc_int bound;
        bool special;
    } input[DIFF_MAX_INPUTS]; /* INDEX: in -bound .. bound - 1 */
    xfc_value *out[DIFF_MAX_OUT];
    uint32_t n_out;
} maker;

/* --- make.c: random ops --- */

void maker_new(maker *, uint64_t seed, bool dynamic);
void maker_free(maker *);
/* One random op with operands of (mostly) that type; NULL: the row does not take it, or the choice did not fit. */
xfc_value *maker_op(maker *, xfc_opcode, xfc_dtype);
void maker_output(maker *, xfc_value *);
bool maker_end(maker *); /* sets the outputs; false: the graph does not verify */
int64_t maker_extent(const maker *, xfc_int, uint32_t round);
void maker_inputs(maker *, uint32_t round, xfc_arena *, xfc_array *in);

/* xorshift: the same sequence everywhere. *state must not be 0. */
static inline uint64_t diff_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}
static inline int64_t diff_between(uint64_t *state, int64_t lo, int64_t hi) {
    return lo + (int64_t)(diff_random(state) % (uint64_t)(hi - lo + 1));
}
static inline bool maker_chance(maker *m, uint32_t percent) { return diff_between(&m->seed, 0, 99) < (int64_t)percent; }
static inline uint32_t maker_below(maker *m, uint32_t n) { return (uint32_t)diff_between(&m->seed, 0, (int64_t)n - 1); }

/* --- oracle.c --- */

typedef struct {
    xfc_array out[DIFF_MAX_OUT];
    double *tolerance[2][DIFF_MAX_OUT]; /* 0: an ISA with FMA, 1: without; < 0: not to be compared */
    bool range_error;                   /* the interpreter met an index out of range */
} oracle;
typedef struct {
    int64_t exact, tolerant, skipped;
} diff_counts;

/* False: the graph cannot be interpreted, printed. */
bool oracle_run(xfc_graph *, const xfc_array *in, oracle *, xfc_arena *);
/* True if got lies within the tolerances of output i; else prints the first element that does not. */
bool oracle_accepts(const oracle *, uint32_t i, bool fma, const char *name, const xfc_array *got, diff_counts *);

/* --- compiled.c --- */

typedef struct {
    int level;      /* -O */
    bool reparse;   /* compile parse(print(graph)) */
    bool roundtrip; /* and print and parse, or clone, after each pass */
    bool clone;
    bool checked;  /* code that traps where an address lies outside its buffer, be it of a lane that is off */
    bool bf16;     /* --compute=bf16 */
    uint32_t isas; /* bits: v2, v3, v4, v4-bf16 */
} diff_how;
typedef struct {
    char path[320];
    xfc_graph *planned;
    const char *isa[4];
    uint32_t n_isas;
} compiled;

uint32_t diff_cpu_isas(void); /* bits */
const char *diff_how_text(diff_how, char text[64]);
bool compiled_make(compiled *, const xfc_graph *, diff_how); /* false: printed */
void compiled_free(compiled *);
const xf_api *compiled_load(const compiled *, void **so); /* NULL: printed. To be closed with dlclose */
/* Runs every ISA with one and two threads and compares; false: printed. */
bool compiled_check(const compiled *, const xfc_graph *, const xfc_array *in, const oracle *, diff_counts *);

/* --- all of it --- */

void diff_print(const maker *, const char *what, uint32_t round, const char *how); /* the graph and its sizes */
/* Every round of a finished case, compiled in each of these ways. */
bool diff_case(maker *, const diff_how *, uint32_t n_hows, const char *what, diff_counts *);
/* In a process of its own, so that a crash is a failure like others. */
bool diff_apart(bool (*run)(void *arg, diff_counts *), void *arg, const char *what, diff_counts *sum);
/* Prints the counts; false when too many elements were not compared. */
bool diff_enough(const diff_counts *);

#endif

/* probe.h - what a value holds at an index, as far as one can tell without running anything.
 *
 * The one partial evaluator: it walks back from an element through the nests of the ops that make it. Indices compose
 * as formulas, elements are facts: a formula in sizes and axes (a fraction where sizes pass through floats), or an
 * interval, of which one number is a case. So an op is seen by all who ask as soon as its row says what it means, and
 * no asker names ops. What an asker knows besides (a mask's element is 1, a position is below a length) it says by
 * hooks.
 *
 * Facts are about elements that exist: an index is taken to lie inside. Integers wrap, and floats are rounded, as the
 * interpreter does it, unless the probe assumes less. An element that is read twice at one index is computed once.
 */
#ifndef XFC_PROBE_H
#define XFC_PROBE_H
#include "ir/ops/op.h"

typedef enum {
    XFC_FACT_NONE,    /* anything, NaN included */
    XFC_FACT_BETWEEN, /* lo .. hi, not NaN; infinite ones are numbers, too */
    XFC_FACT_FORMULA, /* num / den; of a bool 0 or 1 */
} xfc_fact_kind;
typedef struct {
    xfc_fact_kind kind;
    double lo, hi;
    xfc_int num;
    int64_t den; /* >= 1; 1 unless sizes are assumed */
} xfc_fact;

static inline xfc_fact xfc_fact_of(xfc_int formula) {
    return (xfc_fact){.kind = xfc_int_known(formula) ? XFC_FACT_FORMULA : XFC_FACT_NONE, .num = formula, .den = 1};
}
static inline xfc_fact xfc_fact_between(double lo, double hi) {
    return (xfc_fact){.kind = XFC_FACT_BETWEEN, .lo = lo, .hi = hi};
}
/* The formula of an integer; NONE: there is none. */
static inline xfc_int xfc_fact_formula(xfc_fact f) {
    return f.kind == XFC_FACT_FORMULA && f.den == 1 ? f.num : XFC_INT_NONE;
}

enum {
    XFC_PROBE_NO_WRAP = 1,  /* integers that are formulas stay within their types, and indices within their dims */
    XFC_PROBE_DIVISORS = 2, /* no divisor is 0 */
    XFC_PROBE_SIZES = 4,    /* floats that are formulas are sizes: exact as halves and right when rounded to integers */
};

typedef struct xfc_probe xfc_probe;
typedef struct xfc_frame xfc_frame;
struct xfc_probe {
    xfc_graph *graph;
    xfc_arena *arena;
    unsigned assumes;
    double finite; /* floats of which nothing is known are within +- this; 0: they may be NaN */
    /* Hooks; each may be NULL. What a value holds at an index: answers xfc_probe_through for what it does not know. */
    xfc_fact (*at)(xfc_probe *, const xfc_value *, const xfc_int *index);
    /* Is d <= 0, where the algebra does not say? 1, 0, -1. */
    int (*decide)(xfc_probe *, xfc_int d);
    /* Are these equal, where the algebra does not say? 1, 0, -1. */
    int (*equal)(xfc_probe *, xfc_int a, xfc_int b);
    /* A nest that reduces, bound to one element of its result: a fact, or NONE. Asked before its terms are. */
    xfc_fact (*reduce)(xfc_probe *, xfc_frame *);
    /* private */
    bool by_cases;
    struct {
        xfc_int d;
        bool holds; /* d <= 0 */
    } assumed[4];
    uint32_t n_assumed, visits, depth;
    bool open, cut; /* since they were cleared: a comparison was not decided; the walk ended early */
    xfc_map index, seen, frame, whole;
};

/* An op's nest, its axes bound to an index. There is one for each op: a walk back never meets an op twice. */
struct xfc_frame {
    const xfc_op *op;
    const xfc_nest *nest;
    xfc_fact *fact;     /* by body instruction */
    xfc_int *from, *to; /* n axes, then lets of the body, and what stands for them: NONE where that is not known */
    uint32_t n, n_lets;
};

xfc_probe xfc_probe_new(xfc_graph *, xfc_arena *); /* hooks and assumptions are set afterwards */
/* Is v, in few steps, made of constants, ranges and dims alone? Worth asking first: it makes no symbols. */
bool xfc_probe_is_closed(const xfc_value *);
/* The element of v at an index. */
xfc_fact xfc_probe_at(xfc_probe *, const xfc_value *, const xfc_int *index);
/* The same by what defines v: constant, tracked content, nest. */
xfc_fact xfc_probe_through(xfc_probe *, const xfc_value *, const xfc_int *index);
/* The same, whatever comparisons of formulas that are open turn out to be: each is taken to hold, and not to hold, for
 * all of a walk. */
xfc_fact xfc_probe_in_cases(xfc_probe *, const xfc_value *, const xfc_int *index);
int xfc_probe_decide(xfc_probe *, xfc_int d); /* is d <= 0? By the hook, by case, or -1 */
/* Forgets elements, since what hooks answer has changed. A probe that is kept sees each element once in its life. */
void xfc_probe_forget(xfc_probe *);
/* Of an op with one result and a nest, with nothing bound. NULL: it has none. */
xfc_frame *xfc_probe_open(xfc_probe *, const xfc_op *);
/* Runs the body: the fact of what it stores. */
xfc_fact xfc_probe_body(xfc_probe *, xfc_frame *);
xfc_int xfc_probe_bound(const xfc_probe *, const xfc_frame *, xfc_int); /* with what axes and lets stand for */

/* --- facts --- */
bool xfc_fact_number(const xfc_ctx *, xfc_fact, double *); /* is it one number? */
void xfc_fact_bounds(xfc_ctx *, xfc_fact, double *lo, double *hi);
xfc_fact xfc_fact_unknown(const xfc_probe *, xfc_dtype);
xfc_fact xfc_fact_join(xfc_ctx *, xfc_fact, xfc_fact);
xfc_fact xfc_fact_element(const xfc_probe *, const xfc_tensor *, int64_t at);
/* One scalar instruction; arg[0] (of SELECT arg[1]) has the operand type. */
xfc_fact xfc_fact_scalar(xfc_probe *, xfc_scalar_op, xfc_dtype operand, xfc_dtype result, const xfc_fact *arg);

/* Elements in row-major order that are start + i * step, i < size: of a constant or of content. */
typedef struct {
    xfc_int start, size;
    int64_t step;
} xfc_progression;
bool xfc_progression_of(xfc_ctx *, const xfc_value *, xfc_progression *);

#endif

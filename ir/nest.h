/* nest.h - what an op computes as loops, and the kernels that code is made of.
 *
 * A nest is a set of axes, one straight-line scalar body, and one or more stores. It is the meaning of every primitive
 * op: the interpreter runs it, the emitter compiles it, fusion rewrites it. Indices are symbolic integers over the
 * axes' symbols, graph symbols and lets (integers read from data, checked against their range).
 *
 *   softmax's first step   nest i in b, j in s reduce { t = load x[i, j]; m[i] max= t }
 *   gather                 nest i in n, c in 384      { k = let load ids[i] in 0..30521 wrap; t = load table[k, c];
 *                                                       y[i, c] = t }
 *
 * Order: body instructions refer to earlier ones only. Parallel axes may run in any order or at once. Reduce axes
 * combine: a store whose index uses no reduce axis has a combine and receives the reduction over all reduce axes (the
 * identity where an extent is 0). Scan axes run in order, and the nest may load its own earlier output elements
 * (cumulative sums). Reductions over floats use a fixed number of lanes and one fixed tree, a function of the extents
 * alone.
 *
 * A kernel is: outer axes (one combination of their indices is a task; tasks may run in parallel), lets (integers fixed
 * per task), temporaries (per task, not initialised) and a list of steps, each a nest or a tile (contraction block).
 */
#ifndef XFC_NEST_H
#define XFC_NEST_H
#include "ir/ir.h"

typedef enum { XFC_AXIS_PARALLEL, XFC_AXIS_REDUCE, XFC_AXIS_SCAN } xfc_axis_kind;
/* THREADS: outer axes of a kernel (blocks on a GPU) */
typedef enum { XFC_HOW_SERIAL, XFC_HOW_VECTOR, XFC_HOW_THREADS } xfc_how;
typedef struct {
    const char *name;
    xfc_int symbol, extent; /* extent may use graph symbols, outer axes and lets */
    xfc_axis_kind kind;
    xfc_how how; /* set by schedule; at most one VECTOR axis a nest */
} xfc_axis;

typedef struct {
    uint32_t buffer, rank;
    xfc_int index[XFC_MAX_RANK];
} xfc_access;

typedef enum {
    XFC_S_CONST, /* u.f (floats) or u.i (integers, bool) */
    XFC_S_INDEX, /* the value of u.index as i64 */
    XFC_S_LOAD,  /* u.access; arg[0]: bool predicate or XFC_NO_ARG; where false nothing is read and the value is 0 */
    XFC_S_LET,   /* defines symbol u.index := integer arg[0], range from the symbol's bounds; the value itself is i64 */
    XFC_S_CAST,  /* arg[0] converted to dtype */
#define XFC_SCALAR(id, ...) XFC_S_##id,
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
    XFC_S_COUNT,
} xfc_scalar_op;
#define XFC_NO_ARG UINT32_MAX

typedef struct {
    xfc_scalar_op op;
    xfc_dtype dtype;  /* of the result */
    uint32_t arg[3];  /* earlier instructions */
    bool wrap;        /* LET: a negative value counts from the end (ONNX indices) */
    bool sure;        /* LET: of an element of a constant whose elements all lie inside: compiled code does not look */
    const char *node; /* LET: who asks for it, for the message when it is out of range; NULL: nobody says */
    union {
        double f;
        int64_t i;
        xfc_int index;
        const xfc_access *access;
    } u;
} xfc_scalar;
/* A LET outside its symbol's [lo, hi] after wrapping is clamped, and the run's error word is set (XF_E_RANGE). */

typedef struct {
    uint32_t value; /* body instruction */
    xfc_access to;
    /* XFC_S_COUNT: plain store; else ADD, MUL, MIN, MAX, AND, OR over the reduce axes, accumulated in the value's type.
     * An f32 value may be combined into an f16 or bf16 buffer: the accumulator is rounded once, when it is stored. */
    xfc_scalar_op combine;
} xfc_store;

typedef struct xfc_nest {
    xfc_axis *axes;
    xfc_scalar *body;
    xfc_store *stores;
    uint32_t n_axes, n_body, n_stores, cap_axes, cap_body, cap_stores;
} xfc_nest;

/* c[i, j] = sum over k of a[i, k] * b[k, j], i < rows, j < columns, k < depth; k ascending, one fused multiply-add
 * chain an element. b is packed: panels of `panel` columns,
 * [panel][depth][panel columns], the last zero-padded; `group` steps of k may stand together (ir/contract.h), of which
 * depth is a multiple; columns is rounded up to whole vectors inside the last panel, so
 * c's rows must have room. */
typedef struct {
    xfc_access a; /* element (row 0, k 0); a_row is the distance of rows in elements, k has stride 1 */
    xfc_access b; /* element 0 of the first panel */
    xfc_access c; /* a temporary: element (0, 0); c_row its row distance */
    xfc_int a_row, c_row, rows, depth, columns;
    xfc_int apart; /* distance of panels in elements; NONE: depth * panel, one behind the other */
    uint32_t panel, group;
} xfc_tile;

typedef enum { XFC_STEP_NEST, XFC_STEP_TILE } xfc_step_kind;
typedef struct {
    xfc_step_kind kind;
    union {
        xfc_nest *nest;
        xfc_tile *tile;
    } u;
} xfc_step;

typedef enum { XFC_BUF_IN, XFC_BUF_OUT, XFC_BUF_TEMP } xfc_buffer_kind;
typedef struct {
    xfc_type type;
    xfc_buffer_kind kind;
} xfc_buffer;
/* An integer fixed for the task: an expression (value), or an element of an integer operand (load, value is NONE). A
 * loaded one outside its symbol's [lo, hi] is treated as a body LET, XF_E_RANGE and clamped; if that range is empty, so
 * that no value would do, the task ends there. */
typedef struct {
    const char *name;
    xfc_int symbol, value;
    const xfc_access *load;
} xfc_let;

struct xfc_kernel {
    const char *form;    /* "map", "reduce", "rows", "contract", "attention": for reports only */
    xfc_buffer *buffers; /* op inputs, then op outputs, then temporaries */
    uint32_t n_in, n_out, n_buffers, cap_buffers;
    xfc_axis *axes; /* outer: how THREADS */
    xfc_let *lets;  /* evaluated in order after the axes */
    xfc_step *steps;
    uint32_t n_axes, n_lets, n_steps, cap_axes, cap_lets, cap_steps;
    const xfc_loc *fused; /* every ONNX node whose work is inside, for taps, profiles and messages */
    uint32_t n_fused;
    xfc_int grain; /* tasks that are worth one dispatch; set by schedule */
};

/* Building a nest: buffers are the op's operands: inputs 0.., then outputs. */
typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_nest *nest;
} xfc_nestb;
xfc_nestb xfc_nestb_new(xfc_ctx *, xfc_arena *);
xfc_int xfc_nb_axis(xfc_nestb *, const char *name, xfc_int extent, xfc_axis_kind); /* returns the index symbol */
uint32_t xfc_nb_const_f(xfc_nestb *, xfc_dtype, double);
uint32_t xfc_nb_const_i(xfc_nestb *, xfc_dtype, int64_t);
uint32_t xfc_nb_index(xfc_nestb *, xfc_int);
uint32_t xfc_nb_load(xfc_nestb *, xfc_dtype, uint32_t buffer, const xfc_int *index, uint32_t rank);
uint32_t xfc_nb_load_if(xfc_nestb *, uint32_t pred, xfc_dtype, uint32_t buffer, const xfc_int *index, uint32_t rank);
xfc_int xfc_nb_let(xfc_nestb *, const char *name, uint32_t value, xfc_int lo, xfc_int hi, bool wrap); /* the symbol */
uint32_t xfc_nb_cast(xfc_nestb *, xfc_dtype to, xfc_dtype from, uint32_t value); /* value itself if equal */
uint32_t xfc_nb_op(xfc_nestb *, xfc_scalar_op, xfc_dtype result, uint32_t a, uint32_t b, uint32_t c);
uint32_t xfc_nb_push(xfc_nestb *, xfc_scalar);
void xfc_nb_store(xfc_nestb *, uint32_t value, uint32_t buffer, const xfc_int *index, uint32_t rank,
                  xfc_scalar_op combine);

const char *xfc_scalar_name(xfc_scalar_op);
bool xfc_scalar_from_name(const char *, xfc_scalar_op *out);
uint32_t xfc_scalar_arity(xfc_scalar_op);
/* Value a reduction starts from. */
double xfc_combine_identity_f(xfc_scalar_op);
int64_t xfc_combine_identity_i(xfc_scalar_op, xfc_dtype);
xfc_int xfc_tile_apart(xfc_ctx *, const xfc_tile *);                          /* never NONE */
xfc_int xfc_access_linear(xfc_ctx *, const xfc_kernel *, const xfc_access *); /* element offset in its buffer */
bool xfc_access_uses(const xfc_ctx *, const xfc_access *, xfc_int symbol);
bool xfc_let_uses(const xfc_ctx *, const xfc_let *, xfc_int symbol); /* value or load; not the range */
xfc_nest *xfc_nest_clone(xfc_arena *, const xfc_nest *);
xfc_kernel *xfc_kernel_clone(xfc_arena *, const xfc_kernel *);
/* Replaces symbols in every index, extent and INDEX of the nest. */
void xfc_nest_substitute(xfc_ctx *, xfc_arena *, xfc_nest *, const xfc_int *from, const xfc_int *to, size_t n);

#endif

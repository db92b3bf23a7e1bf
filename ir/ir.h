/* ir.h - the graph: ops, values, uses.
 *
 * One graph IR from import to code. Ops stand in topological order in a list that ends in `return`, whose operands are
 * the graph outputs (so outputs have uses like everything else). Values know their def and uses. Everything lives in
 * the graph's arena; passes free nothing. Stage says what the verifier demands and which ops may occur.
 */
#ifndef XFC_IR_H
#define XFC_IR_H
#include "ir/int/int.h"
#include "ir/tensor.h"

typedef struct {
    xfc_dtype dtype;
    uint32_t rank;
    xfc_int dim[XFC_MAX_RANK];
} xfc_type; /* unused dims are NONE */
typedef struct xfc_op xfc_op;
typedef struct xfc_value xfc_value;
typedef struct xfc_graph xfc_graph;
typedef struct xfc_kernel xfc_kernel;   /* ir/nest.h */
typedef struct xfc_program xfc_program; /* ir/program.h */

typedef enum {
#define XFC_SCALAR(id, ...) XFC_OP_##id,
#define XFC_OP(id, ...) XFC_OP_##id,
#include "ir/ops/ops.def"
#undef XFC_SCALAR
#undef XFC_OP
    XFC_OP_COUNT,
} xfc_opcode;

typedef enum {
#define X(id, ...) XFC_K_##id,
#include "ir/ops/attr.def"
#undef X
    XFC_K_COUNT,
} xfc_key;
typedef enum {
    XFC_ATTR_INT,
    XFC_ATTR_FLOAT,
    XFC_ATTR_STR,
    XFC_ATTR_DTYPE,
    XFC_ATTR_INTS,
    XFC_ATTR_DIMS,
    XFC_ATTR_TENSOR,
    XFC_ATTR_GRAPH
} xfc_attr_kind;
typedef struct {
    xfc_key key;
    uint32_t n; /* INTS, DIMS */
    union {
        int64_t i;
        double f;
        const char *s;
        xfc_dtype dtype;
        const int64_t *ints;
        const xfc_int *dims;
        const xfc_tensor *tensor;
        xfc_graph *graph; /* a body, which goes with the op */
    } u;
} xfc_attr;
const char *xfc_key_name(xfc_key);
xfc_attr_kind xfc_key_kind(xfc_key);
bool xfc_key_from_name(const char *, xfc_key *out);

typedef struct xfc_use { /* one operand slot; also a link in its value's list of uses */
    xfc_value *value;    /* NULL: an optional operand left out */
    xfc_op *user;
    struct xfc_use *next, **prev;
} xfc_use;

struct xfc_value {
    xfc_type type;
    xfc_op *def;  /* NULL for a graph input */
    uint32_t out; /* which output of def; or which graph input */
    uint32_t id;  /* unique in the graph */
    xfc_use *uses;
    const char *name; /* the ONNX name, for messages, taps and printing; may be NULL */
    /* Symbolic contents of small integer and bool tensors (shape arithmetic): one entry per element, row-major; an
     * entry may be NONE (unknown). NULL: nothing known. Set by the builder (see xfc_eval_content). */
    const xfc_int *content;
};
enum { XFC_MAX_CONTENT = 64 }; /* elements */

struct xfc_op {
    xfc_opcode code;
    uint16_t n_in, n_out, n_attr;
    xfc_use *in;
    xfc_value *out;       /* array of n_out */
    const xfc_attr *attr; /* sorted by key */
    xfc_kernel *kernel;   /* XFC_OP_KERNEL only */
    xfc_loc loc;          /* ONNX node, for every message */
    xfc_graph *graph;
    xfc_op *prev, *next; /* topological order, always valid; the last op is `return` */
    uint32_t mark;       /* scratch for the running pass */
};

typedef enum {
    XFC_STAGE_IMPORTED,  /* any op but kernel */
    XFC_STAGE_LEGAL,     /* ops with a nest, routines, and composites the target claims */
    XFC_STAGE_KERNELS,   /* kernels, constants, routines, and what orders them: define, branch, return */
    XFC_STAGE_SCHEDULED, /* every kernel's axes carry their how */
    XFC_STAGE_PLANNED,   /* every value has a place */
    XFC_STAGE_COUNT,
} xfc_stage;
const char *xfc_stage_name(xfc_stage);

/* What must hold at run time: a == b, or one of those that may be 1 is 1; or a != b. Over dims it is checked at entry,
 * over sizes that data defines as soon as they all are known. */
enum { XFC_A_MAY_BE_1 = 1, XFC_B_MAY_BE_1 = 2, XFC_BROADCAST = 3, XFC_UNEQUAL = 4 };
typedef struct {
    xfc_int a, b;
    unsigned ones; /* which may be 1; UNEQUAL stands alone */
    xfc_loc loc;
} xfc_constraint;

/* Where the planned value lives. offset is in bytes from the start of its space. HEAP: what is larger than any dims can
 * say has a slot of memory that grows while the model runs. */
typedef enum {
    XFC_SPACE_NONE,
    XFC_SPACE_INPUT,
    XFC_SPACE_OUTPUT,
    XFC_SPACE_WEIGHT,
    XFC_SPACE_WORK,
    XFC_SPACE_HEAP
} xfc_space;
typedef struct {
    xfc_space space;
    uint32_t index;
    xfc_int offset;
} xfc_place; /* index: which input, output or slot */
typedef struct {
    xfc_place *place;
    uint32_t n_places;  /* by value id */
    xfc_int work_bytes; /* workspace without per-worker scratch */
    xfc_int bodies;     /* where in it that of the bodies in the graph begins; NONE: it has none */
    uint32_t n_slots;   /* of the heap; those of bodies, and of what they return, come behind */
    const xfc_tensor **weight;
    uint64_t *weight_offset;
    uint32_t n_weights; /* each 64-byte aligned */
    uint64_t weight_bytes;
} xfc_plan;

typedef struct { /* one line about a decision of a pass; lost by a round trip through text */
    const char *pass, *text;
    xfc_loc loc;
} xfc_note;

struct xfc_graph {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_program *program;
    xfc_op *user; /* whose body it is; NULL: an entry of the program */
    const char *name;
    xfc_value **in;
    const char **out_name;
    uint32_t n_in, n_out; /* n_out == operands of return */
    xfc_op *first, *last; /* last: return; NULL while under construction */
    xfc_op *tail;         /* the last op in the list, whatever it is */
    xfc_stage stage;
    uint32_t next_value_id;
    xfc_constraint *constraint;
    uint32_t n_constraints, cap_constraints;
    xfc_map constraint_of;                         /* pair of ids -> place in constraint, + 1; one a pair */
    xfc_plan *plan;                                /* PLANNED only */
    const char *source;                            /* model file name, for messages */
    xfc_note *note;                                /* what passes did or refused, in order */
    const char **meta;                             /* key, value, ...: metadata that passes add to the artefact */
    uint32_t n_notes, cap_notes, n_meta, cap_meta; /* n_meta counts strings */
};

#define xfc_foreach_op(op, g) for (xfc_op *op = (g)->first; op; op = op->next)
#define xfc_foreach_op_safe(op, g)                                                                                     \
    for (xfc_op *op = (g)->first, *op##_next; op && (op##_next = op->next, true); op = op##_next)
#define xfc_foreach_use(u, v) for (xfc_use *u = (v)->uses; u; u = u->next)

xfc_graph *xfc_graph_new(xfc_ctx *, const char *name); /* the entry of a program of its own */
void xfc_graph_free(xfc_graph *); /* an entry: its whole program; a body: with the bodies in it. The context stays */
xfc_value *xfc_graph_add_input(xfc_graph *, const char *name, xfc_type);
/* Ends construction: appends `return`. NULL when there are more outputs than an op can have operands (LIMIT,
 * recorded). */
xfc_op *xfc_graph_set_outputs(xfc_graph *, xfc_value *const *values, const char *const *names, uint32_t n);
/* One more output behind the others, after construction. False (nothing changed) if the value is one already or there
 * are too many. */
bool xfc_graph_add_output(xfc_graph *, xfc_value *, const char *name);
xfc_graph *xfc_graph_clone(const xfc_graph *); /* its twin in a copy of its program, of the same context */
/* No-op where it surely holds or is required already; what is required of the pair so far becomes stronger. False where
 * it surely cannot hold: required all the same, but the caller may say so. */
bool xfc_graph_require(xfc_graph *, xfc_int a, xfc_int b, unsigned ones, xfc_loc);
bool xfc_graph_requires(const xfc_graph *, xfc_int a, xfc_int b, unsigned ones); /* it, or a graph around it */
void xfc_graph_require_all(xfc_graph *, const xfc_constraint *, uint32_t n);
static inline void xfc_graph_require_equal(xfc_graph *g, xfc_int a, xfc_int b, xfc_loc loc) {
    xfc_graph_require(g, a, b, 0, loc);
}
static inline bool xfc_graph_requires_equal(const xfc_graph *g, xfc_int a, xfc_int b) {
    return xfc_graph_requires(g, a, b, 0);
}
/* All that a graph requires, taken out for other requirements: what ops of a part of it require then stands apart. */
typedef struct {
    xfc_constraint *constraint;
    uint32_t n, cap;
    xfc_map of;
} xfc_requirements;
xfc_requirements xfc_graph_swap_requirements(xfc_graph *, xfc_requirements with);
bool xfc_constraint_holds(const xfc_constraint *, int64_t a, int64_t b);
bool xfc_graph_requires_size(const xfc_graph *, xfc_int a); /* that a is not negative */

/* Texts are copied. A key that is there gets the new value. Those of a body are its entry's. */
void xfc_graph_note(xfc_graph *, const char *pass, xfc_loc, const char *format, ...) XFC_PRINTF(4, 5);
void xfc_graph_meta(xfc_graph *, const char *key, const char *value);
void xfc_graph_copy_notes(xfc_graph *to, const xfc_graph *from); /* notes and metadata */

/* Raw creation, before `before` (NULL: at the end, before return if there is one); outputs have no type yet. Builders:
 * ir/build.h. */
xfc_op *xfc_op_new(xfc_graph *, xfc_op *before, xfc_opcode, xfc_value *const *in, uint32_t n_in, uint32_t n_out,
                   const xfc_attr *attr, uint32_t n_attr, xfc_loc);
void xfc_op_remove(xfc_op *); /* with its bodies; its outputs must have no uses */
void xfc_op_move_before(xfc_op *, xfc_op *before);
void xfc_op_set_in(xfc_op *, uint32_t i, xfc_value *);
void xfc_op_add_in(xfc_op *, xfc_value *);
void xfc_op_drop_in(xfc_op *, uint32_t i);          /* those behind it move up */
void xfc_graph_drop_input(xfc_graph *, uint32_t i); /* which has no uses; those behind it move up */
/* all uses; name moves over if with has none. with must not use old */
void xfc_value_replace(xfc_value *old, xfc_value *with);
uint32_t xfc_value_n_uses(const xfc_value *);
bool xfc_value_is_const(const xfc_value *, const xfc_tensor **out); /* defined by `const`; out may be NULL */

const xfc_attr *xfc_op_attr(const xfc_op *, xfc_key); /* NULL if absent */
int64_t xfc_op_int(const xfc_op *, xfc_key, int64_t absent);
double xfc_op_float(const xfc_op *, xfc_key, double absent);
static inline xfc_attr xfc_attr_int(xfc_key k, int64_t v) { return (xfc_attr){.key = k, .u.i = v}; }
static inline xfc_attr xfc_attr_float(xfc_key k, double v) { return (xfc_attr){.key = k, .u.f = v}; }
static inline xfc_attr xfc_attr_dtype(xfc_key k, xfc_dtype v) { return (xfc_attr){.key = k, .u.dtype = v}; }
static inline xfc_attr xfc_attr_tensor(xfc_key k, const xfc_tensor *v) { return (xfc_attr){.key = k, .u.tensor = v}; }
static inline xfc_attr xfc_attr_graph(xfc_key k, xfc_graph *v) { return (xfc_attr){.key = k, .u.graph = v}; }
/* copied by xfc_op_new */
static inline xfc_attr xfc_attr_ints(xfc_key k, const int64_t *v, uint32_t n) {
    return (xfc_attr){.key = k, .n = n, .u.ints = v};
}
static inline xfc_attr xfc_attr_dims(xfc_key k, const xfc_int *v, uint32_t n) {
    return (xfc_attr){.key = k, .n = n, .u.dims = v};
}

xfc_int xfc_type_count(xfc_ctx *, const xfc_type *);                                   /* elements */
xfc_int xfc_bytes_of(xfc_ctx *, xfc_dtype, xfc_int n);                                 /* that n elements take */
bool xfc_type_static(const xfc_ctx *, const xfc_type *, int64_t *dim, int64_t *count); /* dim, count may be NULL */
bool xfc_type_same(const xfc_type *, const xfc_type *);                                /* dtype and dim ids */
xfc_type xfc_type_make(xfc_dtype, uint32_t rank, const xfc_int *dim);
/* Row-major linear offset (elements) of an index into a dense tensor of this type, and its inverse. */
xfc_int xfc_type_linear(xfc_ctx *, const xfc_type *, const xfc_int *index);
void xfc_type_delinear(xfc_ctx *, const xfc_type *, xfc_int linear, xfc_int *index);
/* An index whatever it is: a symbol of its own for each dim, but 0 along one of 1. */
void xfc_type_index(xfc_ctx *, const xfc_type *, xfc_int *index);

#endif

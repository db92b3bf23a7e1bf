/* import.h - what the files of the ONNX importer share: the importer's state, one node as its importer sees it, and
 * helpers.
 *
 * An importer is a function over a node: it reads operands and attributes, builds ops of the IR, and leaves one value
 * an output in node->out. Helpers record the first failure in node->status and answer something harmless, so an
 * importer needs no check after every call; what it built is dropped when the status is not XFC_OK. A node that fails
 * poisons its outputs: nodes that depend on it are skipped silently, so one run reports every cause once.
 */
#ifndef XFC_ONNX_IMPORT_H
#define XFC_ONNX_IMPORT_H
#include "frontend/frontend.h"
#include "frontend/onnx/load.h"
#include "ir/probe.h"

/* The newest default-domain opset whose operators were compared with what stands in onnx_ops.def. */
enum { XFC_ONNX_OPSET_MIN = 1, XFC_ONNX_OPSET_MAX = 27, XFC_ONNX_IR_MIN = 3, XFC_ONNX_IR_MAX = 13 };

typedef struct xfc_node xfc_node;
typedef void xfc_node_import(xfc_node *);

typedef struct { /* a row of onnx_ops.def */
    const char *domain, *op;
    uint32_t since, until; /* opset range, inclusive */
    xfc_node_import *import;
    uint32_t min_in, max_in, max_out;
    const char *attrs; /* names it may have, space-separated */
    xfc_opcode code;   /* for importers shared by several operators; else XFC_OP_COUNT */
    enum { XFC_NO_SEQUENCE, XFC_FIRST_SEQUENCE, XFC_ANY_SEQUENCE } takes; /* which operands may be one */
    uint32_t texts;   /* bits of operands that may be strings; bit 31: and of those behind */
    bool moves_texts; /* it only moves their elements, and its results are such, too; else it knows what they are */
} xfc_onnx_row;
const xfc_onnx_row *xfc_onnx_find(const char *domain, const char *op, uint32_t opset,
                                  bool *known);                  /* known: in another opset */
const char *xfc_onnx_advice(const char *domain, const char *op); /* what to do about an operator without a row */

/* What a name stands for in one body. */
typedef enum {
    XFC_BOUND_VALUE,
    XFC_BOUND_SEQUENCE,
    XFC_BOUND_INIT,
    XFC_BOUND_NODE,
    XFC_BOUND_POISON,
    XFC_BOUND_ABSENT
} xfc_bound_kind;
/* A sequence, an optional tensor (a sequence of at most one) or an optional sequence: in the importer only (sequence.h). */
typedef struct {
    xfc_value **item; /* a list whose length is known, n; NULL: flat, which is elements and shapes */
    uint32_t n;
    xfc_dtype dtype;
    xfc_value *elements, *shapes; /* T[size] and i64[length, rank] */
    xfc_int *known;               /* flat: dims that all of its tensors have; NONE where they differ */
    bool optional;                /* of at most one */
    xfc_value *present;           /* of an optional sequence: is there one, bool[]? */
} xfc_sequence;
typedef struct xfc_texts xfc_texts; /* text.h */
typedef struct {                    /* a value or a sequence, or neither after a failure */
    xfc_value *value;
    const xfc_sequence *sequence;
    const xfc_texts *texts; /* the value holds numbers of these, it is a tensor of strings */
} xfc_result;
typedef struct {
    xfc_bound_kind kind;
    xfc_value *value;                      /* VALUE */
    const xfc_sequence *sequence;          /* SEQUENCE */
    const xfc_texts *texts;                /* VALUE: of strings */
    const Onnx__TensorProto *init;         /* INIT: becomes a constant when first used */
    const Onnx__SparseTensorProto *sparse; /* INIT without one: the same */
    uint32_t node;                         /* NODE: index of its producer */
} xfc_bound;

typedef struct {
    const Onnx__AttributeProto *const *attr;
    uint32_t n;
} xfc_attrs;

/* The nodes of one graph, branch or inlined function, with their names and opsets. */
typedef struct xfc_body {
    Onnx__NodeProto *const *node;
    uint32_t n_nodes, depth;
    xfc_map names;                /* interned name -> xfc_bound * */
    const struct xfc_body *outer; /* of a branch: where names are looked up that it does not define */
    Onnx__OperatorSetIdProto *const *opset;
    size_t n_opsets;
    xfc_attrs refs; /* the call's attributes, for ref_attr_name */
    bool in_function;
    const char *prefix; /* of node names: "" or "CALL/" */
} xfc_body;

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_graph *graph;
    const xfc_import_opts *opts;
    xfc_onnx_file file;
    const Onnx__ModelProto *model;
    xfc_builder builder;
    xfc_probe probe;    /* of element.c, kept: a chain of sizes is walked once, however often it is asked for */
    uint32_t n_nodes;   /* imported so far, for the limit */
    uint32_t n_unknown; /* errors of this round about sizes that look like run-time data */
    xfc_map functions;  /* domain, name and overload -> index + 1 */
    xfc_map sizes_read; /* value -> struct xfc_sizes_read *: what was read of it as sizes, the last first (sizes.c) */
    bool same_dims;     /* dims that meet in broadcasting are the same (--dim=same) */
    xfc_map alias;      /* id of a dim symbol -> id of what it must be equal to, where an earlier round found that */
} xfc_importer;

struct xfc_node {
    xfc_importer *im;
    xfc_ctx *ctx;
    xfc_builder *b;
    const xfc_body *body;
    const Onnx__NodeProto *proto;
    const xfc_onnx_row *row;
    xfc_loc loc;
    uint32_t opset;
    xfc_attrs attrs;
    xfc_value **in, **out;                            /* in: NULL where absent; out: to be filled */
    const xfc_sequence **in_sequence, **out_sequence; /* the same for sequences */
    const xfc_texts **in_texts, **out_texts;          /* of values that are strings */
    uint32_t n_in, n_out;
    xfc_status status;
};

/* body.c: imports every needed node of a body; outputs are the names that must be produced. */
xfc_status xfc_too_many_nodes(xfc_importer *); /* reports it */
xfc_status xfc_import_body(xfc_importer *, xfc_body *, char *const *outputs, size_t n_outputs);
xfc_status xfc_body_bind(xfc_importer *, xfc_body *, const char *name, xfc_bound, xfc_loc); /* INPUT when it is taken */
xfc_bound *xfc_body_find(xfc_importer *, const xfc_body *, const char *name);               /* NULL: unknown */
/* Names that a graph takes from around it, appended; each once a use. */
typedef struct {
    char **name;
    uint32_t n, cap;
} xfc_names;
void xfc_graph_captures(xfc_importer *, const Onnx__GraphProto *, xfc_names *);
xfc_result xfc_bound_result(xfc_importer *, xfc_bound *, xfc_loc);
xfc_bound xfc_bound_to(xfc_result); /* poisoned if it is neither */
xfc_loc xfc_node_loc(xfc_importer *, const xfc_body *, uint32_t index);
uint32_t xfc_body_opset(const xfc_body *, const char *domain); /* 0: not imported */
const char *xfc_onnx_domain(const char *);                     /* "" for NULL and "ai.onnx" */

/* import.c */
xfc_status xfc_bind_initializers(xfc_importer *, xfc_body *, const Onnx__GraphProto *);
/* ops/legacy.c: an attribute of old opsets that says nothing about results. */
bool xfc_legacy_hint(const xfc_node *, const char *attr);
/* inner.c: a graph that is an attribute; what its outputs are. input: what its inputs are, or NULL. */
const Onnx__GraphProto *xfc_node_graph(xfc_node *, const char *name);
/* A plain tensor; NULL: it is none, and the node has failed unless that was reported. what: "output 1 of its body". */
xfc_value *xfc_plain(xfc_node *, xfc_result, const char *what, uint32_t number);
xfc_result *xfc_import_inner(xfc_node *, const Onnx__GraphProto *, const char *name, const xfc_result *input);
/* function.c */
xfc_status xfc_functions_check(xfc_importer *);
const Onnx__FunctionProto *xfc_function_find(xfc_importer *, const Onnx__NodeProto *);
void xfc_function_inline(xfc_node *, const Onnx__FunctionProto *); /* an importer */

/* inputs.c: graph inputs with their dims; binds them in the body. */
xfc_status xfc_import_inputs(xfc_importer *, xfc_body *);
/* unify.c: reads the constraints of an imported graph; true if they say that a dim of the inputs is another one, or a
 * number: then a new round makes it that from the start. */
bool xfc_unify_dims(xfc_importer *);
xfc_int xfc_unified(const xfc_importer *, xfc_int); /* the symbol, or what stands for it */
void xfc_note_undecided(xfc_importer *);            /* a note for each pair of dims that broadcasting leaves apart */
/* dim_text.c: "N", "LO..HI", "?" and dimension expressions. */
typedef struct {
    enum { XFC_DIM_ANY, XFC_DIM_FIXED, XFC_DIM_RANGE } kind;
    int64_t lo, hi;
} xfc_dim_spec;
bool xfc_is_dim_name(const char *dim_param); /* not "?", "None", "-1" and the like */
bool xfc_parse_dim_spec(const char *text, size_t n, xfc_dim_spec *out);
/* An expression over names for which symbol(user, name) knows a value; NONE when it is not one. */
xfc_int xfc_parse_dim_expr(xfc_ctx *, const char *text, xfc_int (*symbol)(void *user, const char *name, size_t n),
                           void *user);

/* node.c: attributes. Missing ones answer the default; a wrong kind fails the node. */
#define xfc_node_fail(n, code, ...) ((n)->status = xfc_fail((n)->ctx, (code), (n)->loc, __VA_ARGS__))
const Onnx__AttributeProto *xfc_node_attr(const xfc_node *, const char *name);
int64_t xfc_node_int(xfc_node *, const char *name, int64_t absent);
bool xfc_node_flag(xfc_node *, const char *name, bool absent);
double xfc_node_float(xfc_node *, const char *name, double absent);
const char *xfc_node_str(xfc_node *, const char *name, const char *absent);
bool xfc_node_ints(xfc_node *, const char *name, const int64_t **out, uint32_t *n); /* false: absent */
const xfc_tensor *xfc_node_tensor(xfc_node *, const char *name);                    /* NULL: absent or failed */

/* node.c: operands. */
static inline bool xfc_node_has(const xfc_node *n, uint32_t i) { return i < n->n_in && n->in[i]; }
static inline xfc_value *xfc_node_in(const xfc_node *n, uint32_t i) { return i < n->n_in ? n->in[i] : NULL; }
const char *xfc_node_in_name(const xfc_node *, uint32_t i);
bool xfc_node_wants(const xfc_node *, uint32_t out); /* the output has a name */
/* Entries of a small integer operand (rank 0 or 1), symbolic where need be. NULL after a failure: not known at
 * compile time. */
const xfc_int *xfc_node_dims(xfc_node *, uint32_t in, uint32_t *count);
/* The same of numbers that are no sizes, and may be negative. */
const xfc_int *xfc_node_amounts(xfc_node *, uint32_t in, uint32_t *count);
const int64_t *xfc_node_const_ints(xfc_node *, uint32_t in, uint32_t *count); /* all constant */
xfc_int xfc_node_dim(xfc_node *, uint32_t in);                                /* exactly one entry */

/* node.c: an operator that another expresses. Makes v operand i, as if the file had said so; NULL: the node has failed. */
void xfc_node_set_in(xfc_node *, uint32_t i, xfc_value *v);
void xfc_node_hand_on(xfc_node *, uint32_t opset, xfc_node_import *); /* unless it has failed */

/* sizes.c: operand `in` has times * (the rank that the file declares for output 0) + more entries. Where its length is not
 * known that is required of the model, which is then imported once more, with what that says of its dims. */
void xfc_node_expect(xfc_node *, uint32_t in, int times, int64_t more);
int64_t xfc_node_declared_rank(const xfc_node *); /* that of output 0; -1: the file says nothing */
/* The last dim of indices, operand 1, as the number that ranks say it is, which is then required of the model; where it is a
 * number, or can be none of 1 to most, they are left. */
void xfc_node_tuples(xfc_node *, int64_t length, int64_t most);
/* The number of entries of an operand. False: it is not known, or too large, and the node has failed. */
bool xfc_node_length(xfc_node *, uint32_t in, uint32_t *count);
/* Entries as above, where NONE stands for one that only the run knows. */
const xfc_int *xfc_node_entries(xfc_node *, uint32_t in, uint32_t *count);
bool xfc_all_known(const xfc_int *entry, uint32_t count);
bool xfc_node_at_run_time(xfc_node *, uint32_t in); /* has it such entries, or a length that only the run knows? */
/* The same for an operand of sizes: entries that only the run knows are symbols, whatever its numbers are then. */
const xfc_int *xfc_node_sizes(xfc_node *, uint32_t in, uint32_t *count);
/* Those that were read before as a shape of a tensor of this type, by a node whose results are in sight; NULL: none. */
const xfc_int *xfc_shape_read(const xfc_node *, uint32_t in, const xfc_type *of, bool allow_zero);
/* From now on they are. Where the same operand was read as sizes, they are those: that they are is required. */
void xfc_note_shape(xfc_node *, uint32_t in, const xfc_type *of, bool allow_zero, xfc_int *entry, uint32_t count);
xfc_int xfc_node_size(xfc_node *, uint32_t in);    /* exactly one entry */
xfc_value *xfc_node_list(xfc_node *, uint32_t in); /* the operand as i64[count] */
/* Entries that are NONE become symbols, whose numbers the list i64[count] has when the model runs: 0 to most[i], or to
 * what a dim may be. False: the node has failed. */
bool xfc_n_define(xfc_node *, xfc_value *list, xfc_int *entry, uint32_t count, const xfc_int *most);
xfc_value *xfc_n_sizes_if(xfc_node *, xfc_value *ok, xfc_value *sizes); /* else -1, with which the run ends */
/* Lists are i64[n], flags bool[n]. */
xfc_value *xfc_ni(xfc_node *, int64_t);                                     /* a scalar */
xfc_value *xfc_n_count(xfc_node *, uint32_t n);                             /* 0, 1, .. n - 1 */
xfc_value *xfc_n_pick(xfc_node *, xfc_value *list, uint32_t i);             /* [1] */
xfc_value *xfc_n_from_front(xfc_node *, xfc_value *index, xfc_value *size); /* negative: counted from the end */
xfc_value *xfc_n_select(xfc_node *, xfc_value *cond, xfc_value *yes, xfc_value *no);
/* Which of `rank` axes a list names; ok, a bool[]: each of them once, and no other. */
xfc_value *xfc_n_axis_flags(xfc_node *, xfc_value *axes, uint32_t rank, xfc_value **ok);
/* A list with a number for each named axis as one with a number for each flag; `absent` where it is not set. */
xfc_value *xfc_n_spread(xfc_node *, xfc_value *list, xfc_value *axes, xfc_value *flags, xfc_value *absent);
xfc_value *xfc_n_place(xfc_node *, xfc_value *flags); /* how many flags stand before each */
/* The elements whose flag is set, of which there are `count`. */
xfc_value *xfc_n_keep(xfc_node *, xfc_value *list, xfc_value *flags, uint32_t count);

/* "axis" normalised to 0 .. rank - 1 (or rank when last is allowed); 0 after a failure. */
uint32_t xfc_node_axis(xfc_node *, int64_t axis, uint32_t rank);
/* Normalised, sorted, distinct axes; fails otherwise. Returns their number. */
uint32_t xfc_node_axes(xfc_node *, const int64_t *axes, uint32_t n, uint32_t rank, int64_t out[XFC_MAX_RANK]);
/* Axes of an operator that takes them as attribute until `opset` and as operand `in` from there on. False: absent. */
bool xfc_node_axes_of(xfc_node *, uint32_t first_operand_opset, uint32_t in, const int64_t **out, uint32_t *n);

/* element.c: contents of a value computed from constant floats; call it where floats become integers. */
void xfc_node_track(const xfc_node *, xfc_value *);
/* The elements of a value, also of floats, that constants and known integers alone decide; NULL where others have a
 * say. */
const xfc_tensor *xfc_node_known(const xfc_node *, const xfc_value *);

/* Building shorthands: operands may be NULL after a failure. */
static inline xfc_value *xfc_n1(xfc_node *n, xfc_opcode code, xfc_value *a) { return xfc_b_unary(n->b, code, a); }
static inline xfc_value *xfc_n2(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) {
    return xfc_b_binary(n->b, code, a, b);
}
/* To a float of 8 bits: what rounds beyond the largest is infinity, or NaN where there is none. */
xfc_value *xfc_n_cast_beyond(xfc_node *, xfc_value *, xfc_dtype to);
xfc_value *xfc_n_softplus(xfc_node *, xfc_value *);           /* math.c */
xfc_value *xfc_nf(xfc_node *, xfc_value *like, double value); /* a scalar of like's type; NULL if like is */
/* A product by numpy's rules, also of vectors, out of one of matrices. */
xfc_value *xfc_n_product(xfc_node *, xfc_value *a, xfc_value *b,
                         xfc_value *(*product)(xfc_node *, xfc_value *a, xfc_value *b, void *user), void *user);
/* A view that broadcasts: a vector (or one element) along `axis` of a tensor of this rank. */
xfc_value *xfc_n_along(xfc_node *, xfc_value *, uint32_t axis, uint32_t rank);
/* v, integers from 0 to most; where one is not, the run ends. */
xfc_value *xfc_n_within(xfc_node *, xfc_value *v, xfc_int most);
/* Sizes that the operator needs to be equal, or a at most b: required of the model. False: they surely are not, and the
 * node has failed; what: "bias and weights". */
bool xfc_n_equal(xfc_node *, xfc_int a, xfc_int b, const char *what);
bool xfc_n_at_most(xfc_node *, xfc_int a, xfc_int b, const char *what);
/* v, where the operator says that it broadcasts to `onto` and not the other way round: required of the model, or NULL
 * and the node has failed. what: "the slope". */
xfc_value *xfc_n_fitting(xfc_node *, xfc_value *v, const xfc_value *onto, const char *what);
/* v[size], one number a channel, along axis 1 of a tensor of this rank; NULL: as above. */
xfc_value *xfc_n_per_channel(xfc_node *, xfc_value *v, xfc_int size, uint32_t rank, const char *what);
xfc_value *xfc_n_iota(xfc_node *, xfc_int size, xfc_int start, int64_t step, xfc_dtype);
/* nonzero.c: where the `all` elements of x are not 0, as [T] in row-major order, T a symbol of the graph. */
xfc_value *xfc_n_places(xfc_node *, xfc_value *x, xfc_int all);
/* index.c: the first (or last) index along axis of the extreme element, which REDUCE_MAX or REDUCE_MIN finds. */
xfc_value *xfc_n_arg_extreme(xfc_node *, xfc_value *, xfc_opcode extreme, uint32_t axis, bool last, bool keepdims);
/* The first `size` of v along axis 0. */
xfc_value *xfc_n_first(xfc_node *, xfc_value *v, xfc_int size);
/* node.c: the slices of v along axis that the numbers name; their dims stand in its place. NULL if an operand is. */
xfc_value *xfc_n_gather(xfc_node *, xfc_value *v, xfc_value *numbers, uint32_t axis);
/* contrib_tensor.c: of rows [m, k] and [n, k] the sums of the squares of their differences, [m, n]. */
xfc_value *xfc_n_square_distances(xfc_node *, xfc_value *a, xfc_value *b);
xfc_value *xfc_n_join(xfc_node *, xfc_value *a, xfc_value *b, int64_t axis); /* a, then b along axis */
xfc_value *xfc_n_splat(xfc_node *, const xfc_tensor *scalar, const xfc_int *dim, uint32_t rank);

/* activation.c: the function of that name, with as many of its numbers as are given, in order. What these are called: alpha, beta,
 * gamma; false: there is no such function. */
xfc_value *xfc_n_activation(xfc_node *, const char *name, const double *given, uint32_t count, xfc_value *);
bool xfc_activation_numbers(const char *name, const char *const **number, uint32_t *count);

/* element.c: the integer that a value holds at a position, which may be symbolic; NONE where it depends on data. */
xfc_int xfc_element(xfc_importer *, const xfc_value *, const xfc_int *index);
xfc_probe xfc_element_probe(xfc_importer *); /* of a new graph */
/* behind.c: why a value is not known and what to do, as the rest of a sentence with "is": the dims that decide it, with
 * --dim; or `otherwise`, where data does. */
const char *xfc_remedy(const xfc_node *, const xfc_value *, const char *otherwise);
/* shape_math.c */
xfc_int xfc_dims_product(xfc_ctx *, const xfc_int *, uint32_t n);
/* num / den for den that divides num: cancels equal factors, also symbols that may be 0. */
xfc_int xfc_dims_divide(xfc_ctx *, const xfc_int *num, uint32_t n_num, const xfc_int *den, uint32_t n_den);
/* The size that truncating divisions stand for: none of their results is negative, which becomes a condition of the
 * model. */
xfc_int xfc_dim_settle(xfc_graph *, xfc_int, xfc_loc);
xfc_int xfc_dim_known(const xfc_graph *, xfc_int); /* max(e, 0) as e where that e >= 0 is a condition already */

/* Importers. */
#define X(domain, op, since, until, import, ...) xfc_node_import xfc_import_##import;
#include "frontend/onnx/onnx_ops.def"
#undef X

#endif

/* program.h - a program owns graphs: entries, which are run from outside, and the bodies of branches and loops in them.
 *
 * All graphs of a program share its context, and so its symbols: a body speaks of the dims around it by name. It is
 * closed otherwise: its inputs are operands of the op whose body it is, its outputs are that op's results. So a body is
 * a graph like any other, at the stage of its entry, and every pass runs on it. A body belongs to one op; what op, its
 * `user`, makes a tree of the program. Functions that take an entry (print, clone, free, verify) take what hangs on it.
 */
#ifndef XFC_PROGRAM_H
#define XFC_PROGRAM_H
#include "ir/build.h"

struct xfc_program {
    xfc_ctx *ctx;
    xfc_arena *arena;  /* the first entry's */
    xfc_graph **graph; /* the entry, then bodies in the order they were made */
    uint32_t n, cap;
    xfc_map names; /* interned name of a graph -> the number behind the next of that name */
    bool defines;  /* an op of it may define symbols */
};

enum {
    XFC_MAX_BODIES = 2,    /* of one op */
    XFC_MAX_NESTING = 128, /* bodies in bodies */
};

/* A body without an op so far: it goes with the program, or with the op that gets it as an attribute. Its name is hint,
 * with a number behind it if that is taken. */
xfc_graph *xfc_body_new(xfc_graph *around, const char *hint);
void xfc_op_let_go(const xfc_op *); /* ir.c: of the constants that its attributes name */
uint32_t xfc_op_bodies(const xfc_op *, xfc_graph *out[XFC_MAX_BODIES]); /* how many */
xfc_graph *xfc_graph_entry(const xfc_graph *);                          /* that it hangs on */
/* All graphs that hang on it, the graph itself last: bodies before the graphs around them. */
xfc_graph **xfc_graph_tree(xfc_graph *, xfc_arena *, uint32_t *n);

uint32_t xfc_op_captures(const xfc_op *); /* how many of its last operands are the last inputs of its bodies */
/* Bytes of workspace that the bodies of a planned op take, one at a time. */
xfc_int xfc_region_bytes(const xfc_op *);
uint32_t xfc_loop_carried(const xfc_op *); /* how many of its results are carried; the others are lists */
/* What its symbols are when its first step begins, or behind a step, as sizes[i]. False: one has no size, or several. */
bool xfc_loop_sizes(const xfc_op *, bool next, xfc_int *size);
/* How a loop uses them: place[i] is where result i of its body begins, behind the number of the step at 0; NONE: in the
 * heap. Answers where the body's own workspace does. place: n_out + 1 of them, or NULL. */
xfc_int xfc_loop_layout(const xfc_op *, xfc_int *place);

uint32_t xfc_graph_dims_with(const xfc_graph *, xfc_int symbol); /* how many dims of inputs use it */
/* Caches: outputs that `append` makes of an input that nothing else reads, their past; in all bodies, if a branch answers
 * them. Their size along the axis is at least that of an input u8[room, 0], which stands for it: 0, or as many rows as its
 * memory has room for. Such inputs are the last ones, and no op reads them. Answers how many the others are, those of the
 * model. */
typedef struct {
    uint32_t room, past, axis; /* room and past: numbers of inputs; room n_in: it is no cache */
} xfc_cached;
uint32_t xfc_graph_caches(const xfc_graph *, xfc_cached *); /* by output */

/* Every op of g and of the bodies in it, in the order in which they stand in a plan: an op, then those of its
 * bodies. */
xfc_op *xfc_op_next_deep(const xfc_graph *g, const xfc_op *);
#define xfc_foreach_op_deep(op, g) for (xfc_op *op = (g)->first; op; op = xfc_op_next_deep(g, op))

/* What the bodies of one op take from around it, in order: inputs of all of them. */
typedef struct xfc_captures {
    xfc_value **value;
    uint32_t n, cap;
} xfc_captures;
/* The ops behind `after` (NULL: all of them) of g, a graph under construction, become a body with these results. What
 * they use from before it becomes an input, behind what was captured already; constants stay where they stand and are
 * repeated inside. formals: NULL, or an op behind `after` whose results stand for the first inputs. */
xfc_graph *xfc_outline(xfc_graph *g, xfc_op *after, const xfc_op *formals, xfc_value *const *result, uint32_t n,
                       const char *name, xfc_captures *);
/* Drops all ops behind `after` (NULL: the first, too) and up to `last` but constants; no other op uses them. */
void xfc_cut(const xfc_op *after, xfc_op *last);
/* Inputs for all captures, also of bodies made later; input `first` is the first one. */
void xfc_body_capture(xfc_graph *body, uint32_t first, const xfc_captures *);
/* The body's ops take the op's place; `in`: by input of the body. */
void xfc_inline(xfc_op *, const xfc_graph *body, xfc_value *const *in);
/* Copies of all ops of `from`, on these inputs, stand before the results of `to`, which does not use them yet; answers the
 * copy of the first. Both are of one context; `from` has no bodies and defines no sizes. */
xfc_op *xfc_graph_append(xfc_graph *to, const xfc_graph *from, xfc_value *const *in);

#endif

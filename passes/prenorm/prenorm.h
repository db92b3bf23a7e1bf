/* prenorm.h - private to prenorm*.c: what the norms of residual streams make of a graph, in four steps.
 *
 * R subtracts the mean over the channels. LN(x) = LN(R x) = RMS(R x), so where R can be moved from the readers of a
 * stream to its writers, and into their weights, every layernorm of the stream becomes an rmsnorm.
 *
 *   prenorm/axis.c     which ops R commutes with, and where the channels of their operands are
 *   prenorm/web.c      from each norm's operand along those ops: the streams, their writers, what forbids them
 *   prenorm/weight.c   constants with R, a norm's scale and bias, a layer scale folded in
 *   prenorm/convert.c  builds the other graph of the streams that are worth it
 *   prenorm.c          the passes: order of the steps, decisions, notes
 *
 * CRMS (pre-crmsnorm) goes one step further: of d channels with mean 0 the last is minus the sum of the others, so the
 * stream keeps d - 1 of them.
 */
#ifndef XFC_PRENORM_H
#define XFC_PRENORM_H
#include "ir/build.h"
#include "passes/pass.h"

/* --- prenorm/axis.c --- */

/* A value whose channels are its dim `axis`, of extent d (a number, at least 2). */
typedef struct {
    uint32_t axis;
    int64_t d;
} xfc_channels;

typedef enum {
    XFC_ROLE_STREAM, /* R of the result is the op of R of this operand */
    XFC_ROLE_FLAT,   /* one value for all channels, added: R makes it 0 */
    XFC_ROLE_OTHER,  /* no part of the stream: indices, factors a token, weights over tokens */
} xfc_role;

/* What was asked already. */
typedef struct {
    xfc_map uses;
} xfc_axes;

/* What operand i is to the op if its result has these channels; false: the op does not commute with R. For STREAM, *in
 * are the operand's channels. */
bool xfc_commutes(xfc_axes *, const xfc_op *, xfc_channels result, uint32_t i, xfc_role *, xfc_channels *in);
bool xfc_commutes_all(xfc_axes *, const xfc_op *, xfc_channels result);
/* The channels of the result if operand i has these; false: it does not commute. */
bool xfc_commutes_forward(xfc_axes *, const xfc_op *, uint32_t i, xfc_channels in, xfc_channels *result);
/* Does R move from the result to the operands as well as the other way? Not through products: there the result may be
 * the first value of the stream. */
bool xfc_commutes_backward(const xfc_op *);
/* Same elements at the same channels, of one operand: what a scale per channel moves through. */
bool xfc_keeps_channels(xfc_axes *, const xfc_op *, xfc_channels result);

/* --- prenorm/web.c --- */

typedef enum {
    XFC_SOURCE_NONE,   /* an inner value: its op commutes with R */
    XFC_SOURCE_LINEAR, /* columns of a linear with constant weights that nothing else reads */
    XFC_SOURCE_SCALED, /* the same behind views and a factor a channel (LayerScale) */
    XFC_SOURCE_OPAQUE, /* anything else: R must be computed */
} xfc_source;

typedef struct {
    xfc_value *value;
    xfc_channels at;
    xfc_source source;
    xfc_op *linear;          /* LINEAR, SCALED: whose weights change */
    int64_t column;          /* the first of the d columns in it */
    const xfc_tensor *scale; /* SCALED */
    bool twice;              /* reached with two different places of its channels */
    uint32_t web;            /* inner values, after xfc_webs_find */
} xfc_web_node;

typedef struct {
    xfc_op *op; /* layernorm */
    xfc_channels at;
    uint32_t web;
} xfc_web_reader;

typedef struct {
    uint32_t norms, recentred; /* of the whole group that shares recentred values */
    uint64_t table_bytes;      /* constants of the stream itself, of which R makes new ones: embeddings */
    uint32_t group;            /* the first web of the group */
    const xfc_use *edge;       /* what forbids it; NULL: nothing */
    const char *why;
    bool convert;
} xfc_web;

typedef struct {
    xfc_pass *pass;
    xfc_axes *axes;
    xfc_web_node *node;
    xfc_web_reader *reader;
    xfc_web *web;
    uint32_t n_nodes, cap_nodes, n_readers, cap_readers, n_webs;
    xfc_map node_of, reader_of; /* by value id, + 1; reader_of by the id of the norm's result */
    xfc_map shared;             /* ids of tensors that stay as they are: tables that are also weights */
} xfc_webs;

xfc_web_node *xfc_web_node_of(const xfc_webs *, const xfc_value *); /* NULL: not in a stream */
/* The web that reads or contains the result of this use; false: the use is outside of all webs. */
bool xfc_web_of_use(const xfc_webs *, const xfc_use *, uint32_t *web);
/* Finds all webs, their sources and what forbids them. */
void xfc_webs_find(xfc_webs *);
/* Joins legal webs that share an opaque source to groups and counts norms, recentred values and tables of each. */
void xfc_webs_count(xfc_webs *);

/* --- prenorm/weight.c --- */

typedef struct { /* what happens to d columns of a linear: times scale (if any), then R */
    int64_t column, d;
    const xfc_tensor *scale;
} xfc_columns;

typedef struct { /* everything that changes about one linear; rounded once */
    xfc_op *op;
    bool normed;                    /* its operand loses the norm's scale and bias */
    bool in_stream;                 /* its result is recentred, all of it */
    const xfc_tensor *gamma, *beta; /* of the norm, by row; NULL: 1, 0 */
    xfc_columns *columns;
    uint32_t n_columns, cap_columns;
    bool drop_row, drop_column; /* CRMS: the operand, the result has d - 1 channels */
} xfc_linear_edit;

/* What was made already: weights and tables that several ops share stay shared if the same happens to them. */
typedef struct {
    xfc_arena *arena;
    xfc_map linear, table;
} xfc_weight_cache;

bool xfc_has_constant_weights(const xfc_op *); /* a linear of floats */
/* One value for each channel, or one for all: what a norm's scale and bias must be to be folded. */
bool xfc_is_per_channel(const xfc_tensor *, int64_t d);
/* The linear with its new weights, of x instead of its operand. NULL after a failure. */
xfc_value *xfc_linear_edited(xfc_builder *, xfc_weight_cache *, const xfc_linear_edit *, xfc_value *x);
/* t with R applied along an axis; drop_last: without its last channel. */
const xfc_tensor *xfc_tensor_recentred(xfc_ctx *, xfc_weight_cache *, const xfc_tensor *t, uint32_t axis,
                                       bool drop_last);

/* --- prenorm/convert.c --- */

typedef struct {
    uint32_t norms, recentred, folded; /* folded: norms whose scale and bias went into the readers' weights */
} xfc_converted;

/* Can each norm of the web give its scale and bias to linears? What CRMS asks for; *op: a norm that cannot. */
bool xfc_web_folds(const xfc_webs *, uint32_t web, const xfc_op **op);
/* Rebuilds what webs with .convert need; total[group] is what was done for each group. False after a failure. */
bool xfc_webs_convert(xfc_webs *, bool crms, xfc_converted *total);

#endif

/* unpad.h - the parts of the unpad pass (see unpad.c for the idea).
 *
 * A padded tensor of B sequences and S positions holds its tokens somewhere in its dims: passes/tokens.h. How a value
 * is ragged and what its ragged twin's dims are follows from it.
 */
#ifndef XFC_UNPAD_H
#define XFC_UNPAD_H
#include "ir/build.h"
#include "passes/rewrite/rewrite.h"
#include "passes/tokens.h"

enum {
    XFC_RAGGED,
    XFC_PADDED,
    XFC_TWINS
}; /* the two programs: rows of real tokens; the model's own, for B2 sequences */

typedef struct {
    xfc_token token; /* of the value itself, if is_token */
    bool is_token;   /* both factors stand in its dims */
    bool derived;    /* ... and its op keeps tokens apart, so that a twin can be computed from twins */
    bool tainted;    /* depends on an attention of the region: exists ragged only */
    bool clean;      /* tainted, but known at padding: there it is `fill` */
    double fill;
    bool late;   /* depends on an attention of the region, by whatever way */
    bool wanted; /* a twin is needed */
    bool pair;   /* of a bias: mixes two tokens, one of them tainted (unpad/bias.c) */
    xfc_value *twin[XFC_TWINS];
} xfc_unpad_value;

typedef struct {
    xfc_tokens tokens; /* b and s: extents of the padded mask */
    xfc_pass *pass;
    xfc_graph *g;
    xfc_ctx *ctx;
    const xfc_value *atom;  /* [b, s] in its dims: 0 or 1, tells real tokens from padding */
    bool inverted;          /* 1 means padding */
    bool first;             /* some exit reads position 0: every sequence must have it */
    bool nonempty;          /* some exit needs a token in every sequence */
    const xfc_op *guard[8]; /* exits that copy tokens from positions that data gives: all must be real */
    bool prefix;            /* the mask stands for a length too: the tokens of every sequence must come first */
    bool whole;             /* no token is padding: the atom is 1 everywhere, and whatever reads tokens may */
    xfc_int length;         /* that length, in proofs */
    xfc_unpad_value *value; /* by value id */
    uint32_t n_guards, n_attentions, n_exits, n_refusals;
    const xfc_op *refused[16];
    const char *reason[16];
} xfc_unpad;

static inline xfc_unpad_value *xfc_unpad_of(const xfc_unpad *u, const xfc_value *v) { return &u->value[v->id]; }
/* Was the graph made ragged before? Its padded program must stay what it is. */
bool xfc_unpad_was_here(const xfc_graph *);
void xfc_unpad_refuse(xfc_unpad *, const xfc_op *, const char *why); /* why: a literal */
/* What stands in values is looked up in the xfc_unpad of which it is the first member. */
xfc_tokens xfc_unpad_tokens(xfc_pass *, xfc_int b, xfc_int s);

/* --- unpad/atom.c --- */
/* Values that may tell padding in a bias: up to n, nearest first. b and s are their extents. */
typedef struct {
    const xfc_value *atom;
    xfc_int b, s;
} xfc_unpad_atom;
uint32_t xfc_unpad_atoms(xfc_pass *, const xfc_op *attention, xfc_unpad_atom *out, uint32_t n);
/* The bias with no padding anywhere, built by b with 4 dims; the bias itself where that is not simpler. */
xfc_value *xfc_unpad_residual(xfc_unpad *, xfc_builder *, xfc_value *bias);

/* --- unpad/bias.c --- */
/* A term of a bias: known by sequence and positions, or a token value of the query's row (its last dim counting keys'
 * positions) or of the key's (its last dim but one counting queries'). */
typedef enum { XFC_TERM_PLAIN, XFC_TERM_ROW, XFC_TERM_COLUMN } xfc_term_kind;
typedef struct {
    xfc_value *value;
    xfc_term_kind kind;
    uint32_t rank; /* of the sum it is added to: 4, or 3 where batch and heads are one dim */
} xfc_unpad_term;
typedef struct {
    uint32_t n;
    xfc_unpad_term term[8];
} xfc_unpad_terms;
/* The terms whose sum is the attention's bias: none without one; one, the whole, where nothing is computed from tokens.
 * False if a tainted part is no term. */
bool xfc_unpad_bias_terms(const xfc_unpad *, const xfc_op *attention, xfc_unpad_terms *);
/* Could the op, some of whose operands are tainted, be a part of such a sum? */
bool xfc_unpad_is_pair(const xfc_unpad *, const xfc_op *);

/* --- unpad/mask.c --- */
/* Is the bias of this attention, read with padding at the key, so low that the key has no weight, whatever the query?
 * Decides u->inverted with the first attention. */
bool xfc_unpad_masks_keys(xfc_unpad *, const xfc_op *attention, const xfc_token *q);
/* Is a plain term of its bias 0 where no padding is? */
bool xfc_unpad_is_neutral(xfc_unpad *, const xfc_op *attention, const xfc_token *q, const xfc_unpad_term *);
/* At elements that belong to padding: is the op's result the same whatever its tainted operands hold there, and is it
 * one number? */
typedef enum { XFC_DIRTY, XFC_CLEAN, XFC_CLEAN_FILL } xfc_clean;
xfc_clean xfc_unpad_cleanses(xfc_unpad *, const xfc_op *, const xfc_token *out, double *fill);

/* Does what operand i holds at padding count nothing in the op's result? It is then a factor of 0 in a sum, or so low
 * in a softmax that it becomes known there: -inf. */
bool xfc_unpad_ignores(xfc_unpad *, const xfc_op *, uint32_t i);

/* --- unpad/exit.c --- */
/* An op outside of the region that reads values of it: NULL if it can be kept away from padding by a check at run time,
 * which it then demands; else why not. */
const char *xfc_unpad_exit(xfc_unpad *, const xfc_op *);
/* Moves what the checks need in front of the anchor; returns the anchor, an op behind it if that moved itself. */
xfc_op *xfc_unpad_move_up(xfc_unpad *, xfc_op *anchor);
/* The mask [b, s], or one that is none if a check fails. */
xfc_value *xfc_unpad_guarded(xfc_unpad *, xfc_builder *, xfc_value *mask);

/* --- unpad/why.c --- */
/* Of a graph without attention that masks padding: what is in the way; *loc is set where one node is. */
const char *xfc_unpad_why(xfc_pass *, xfc_loc *loc);

/* --- unpad/region.c --- */
bool xfc_unpad_find_region(xfc_unpad *); /* false: refused, or no attention whose mask is one of padding */

/* --- unpad/twin.c --- */
/* x [B?, S?, others] with the dims that the pieces make. */
xfc_value *xfc_token_from_front(xfc_builder *, xfc_value *x, const xfc_pieces *);
bool xfc_unpad_rewrite(xfc_unpad *);

#endif

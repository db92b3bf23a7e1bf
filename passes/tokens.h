/* tokens.h - where tokens stand in a value, and which ops keep them apart.
 *
 * A tensor of B sequences and S positions holds its tokens at dims that are products with B and S among their factors:
 * xfc_token says where. An op keeps tokens apart if the index maps of its nest say so; no op is named. What is known of
 * values (which have tokens, and must they be followed) is the asker's.
 */
#ifndef XFC_TOKENS_H
#define XFC_TOKENS_H
#include "ir/ops/op.h"

/* Dim b_dim is outer * B * b_inner, the sequence number being its middle digit; s_dim likewise for the position. */
typedef struct {
    bool has_b, has_s;
    uint8_t b_dim, s_dim;
    xfc_int b_inner, s_inner;
} xfc_token;

typedef struct xfc_tokens xfc_tokens;
struct xfc_tokens {
    xfc_graph *graph;
    xfc_arena *scratch;
    xfc_int b, s;
    /* Where tokens stand in a value; NULL: nowhere. *bound: an op that reads them elsewhere doesn't keep them apart. */
    const xfc_token *(*of)(const xfc_tokens *, const xfc_value *, bool *bound);
};

/* The factors of a type's dims, outermost first: at most one B, one S, and what else is there (without ones). */
typedef enum { XFC_PIECE_B, XFC_PIECE_S, XFC_PIECE_OTHER } xfc_piece_kind;
typedef struct {
    xfc_piece_kind kind;
    uint32_t dim; /* which it is a factor of */
    xfc_int size;
} xfc_piece;
typedef struct {
    uint32_t n, rank;
    xfc_piece piece[2 * XFC_MAX_RANK];
} xfc_pieces;
/* False if they cannot be told apart, or are too many for a tensor of their own. */
bool xfc_token_split(const xfc_tokens *, const xfc_type *, const xfc_token *, xfc_pieces *);
/* Sequence number and position of the element at an index. NONE where the token has no such factor. */
xfc_int xfc_token_sequence(const xfc_tokens *, const xfc_token *, const xfc_type *, const xfc_int *index);
xfc_int xfc_token_position(const xfc_tokens *, const xfc_token *, const xfc_type *, const xfc_int *index);
/* A value whose dims name B and S once each, as themselves. */
bool xfc_token_of_type(const xfc_tokens *, const xfc_type *, xfc_token *);
/* Every output element depends, of token operands, on elements of its own token alone: then the output's token, and for
 * each operand where tokens stand in it (has_b and has_s both false: the operand is the same for all). */
bool xfc_token_through(const xfc_tokens *, const xfc_op *, xfc_token *in, xfc_token *out);
bool xfc_token_same(const xfc_token *, const xfc_token *);
/* Which position do all reads of operand i's tokens have? A constant, or NONE. Reads must keep sequences apart. */
xfc_int xfc_token_read_position(const xfc_tokens *, const xfc_op *, uint32_t i);

#endif

/* token_stream.h - the tokens that transformer blocks hand on, and what else reads them.
 *
 * A stream begins with the value [b, n, c] to which an attention over its own tokens is added. From there its tokens
 * are followed op by op (passes/tokens.h); each such addition is a site, behind which there could be fewer of them.
 * What the tokens come to must not care how many there are: ops that keep them apart, other attentions, sums and means
 * over them, reads of those at the front that are protected, outputs. Anything else is why a site cannot be used.
 *
 * In a graph that unpad made ragged the tokens of all sequences are one stream [1, T, c], and pad_ragged is where they
 * come to: it gives each its row back.
 */
#ifndef XFC_TOKEN_STREAM_H
#define XFC_TOKEN_STREAM_H
#include "ir/build.h"
#include "passes/lossy/lossy.h"
#include "passes/tokens.h"

/* Operands of attention_ragged behind q, k and v. */
enum { XFC_RAGGED_CU = 3, XFC_RAGGED_TASKS, XFC_RAGGED_POS, XFC_RAGGED_BIAS, XFC_RAGGED_COLUMN_BIAS = 8 };

typedef struct {
    xfc_int b, tokens; /* sequences, and tokens of each */
    const xfc_op
        *offsets; /* the seq_offsets that tells a ragged stream's sequences apart: b is 1; NULL: n tokens each */
    int64_t n;
    int64_t protect,
        protect_end; /* how many at the front are no part of the input: they stand for themselves; and those
                                     at the end of a text */
    bool is_output;  /* all tokens are, behind some site */
} xfc_stream;

typedef struct { /* where a value has tokens of a stream */
    xfc_token token;
    uint32_t stream;
    int32_t site;  /* the last one on its way; -1: none yet */
    int64_t first; /* those before it were sliced away */
} xfc_stream_value;

typedef struct {
    xfc_op *attention, *join; /* join: adds what becomes of the attention to the stream; NULL: nothing does */
    uint32_t stream;
    int32_t before;   /* the site whose tokens it gets */
    bool reached;     /* the attention reads the tokens of the stream, and join adds to them */
    const char *why;  /* it cannot be used; NULL: it can */
    double each, own; /* multiplications behind it: in proportion to tokens, and to pairs of them */
} xfc_stream_site;

typedef struct {
    xfc_tokens tokens; /* of the op that is looked at */
    xfc_lossy *lossy;
    xfc_arena *arena;
    xfc_stream *stream;
    xfc_stream_site *site; /* one for each attention */
    xfc_stream_value *value;
    uint32_t n_streams, cap_streams, n_sites, cap_sites, n_values, cap_values;
    /* By value id: its tokens; is it made of constants; the site that makes it, + 1. */
    xfc_map value_of, constant, joins;
    xfc_map begins; /* by value: the attention over the stream that begins there */
    /* They were those of a copy, which is gone: of the sequences of that stream, if it is set, one behind another. */
    bool copied;
    const xfc_stream *whole;
} xfc_streams;

xfc_streams *xfc_streams_find(xfc_lossy *, xfc_graph *);
xfc_stream_value *xfc_stream_value_of(const xfc_streams *, const xfc_value *); /* NULL: it has no tokens */
void xfc_stream_value_add(xfc_streams *, const xfc_value *, xfc_stream_value);
/* Tokens are dim 1, dim 0 the batch. */
bool xfc_stream_is_plain(const xfc_streams *, const xfc_value *, const xfc_stream_value *);
/* Does the op sum over tokens, all else left as it is? */
bool xfc_stream_is_sum(const xfc_streams *, const xfc_op *, const xfc_stream_value *);

#endif

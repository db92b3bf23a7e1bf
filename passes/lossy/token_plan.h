/* token_plan.h - the ways to make tokens fewer: each a small graph from tokens, keys and masses to fewer tokens. */
#ifndef XFC_TOKEN_PLAN_H
#define XFC_TOKEN_PLAN_H
#include "ir/build.h"

typedef enum {
    XFC_BY_MERGE,     /* the tokens that are most like another one join it (ToMe) */
    XFC_BY_TRANSFORM, /* the same go, each in parts to all that stay, the more alike the more (Token Transforming) */
    XFC_BY_ATTENTION, /* those that the first token attends to least are dropped */
    XFC_BY_RANDOM,    /* any are dropped, always the same */
} xfc_token_way;
static inline bool xfc_token_drops(xfc_token_way way) { return way >= XFC_BY_ATTENTION; }

typedef struct {
    xfc_token_way way;
    const xfc_op *attention; /* its keys [b, h, n, d] are of the tokens */
    int64_t n, goes, protect;
    double softness; /* TRANSFORM: cosines are divided by it */
    uint32_t seed;   /* RANDOM */
} xfc_token_plan;

/* x f32[b, n, c] and mass f32[b, n] with `goes` fewer tokens; mass NULL: all are 1, which dropping leaves so. to: where
 * each token is now, i32[b, n]; of one that was dropped -1. False: failed, recorded. */
typedef struct {
    xfc_value *x, *mass, *to;
} xfc_fewer_tokens;
/* Of each token the direction of its key, the mean over heads, f32[b, n, d], as match_tokens takes it. */
xfc_value *xfc_token_directions(xfc_builder *, xfc_value *k);
bool xfc_tokens_reduce(xfc_builder *, const xfc_token_plan *, xfc_value *x, xfc_value *mass, xfc_fewer_tokens *out);

#endif

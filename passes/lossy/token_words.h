/* token_words.h - what --lossy=token-merge:... asks for. */
#ifndef XFC_TOKEN_WORDS_H
#define XFC_TOKEN_WORDS_H
#include "passes/lossy/lossy.h"
#include "passes/lossy/token_plan.h"

enum { XFC_THOUSAND = 1000, XFC_HALF = 500 };

typedef struct {
    xfc_token_way way;
    int64_t thousandths; /* of the tokens that there still are, in each block; -1: not said */
    bool has_threshold;
    double threshold; /* the least cosine of those that merge, so that samples keep different numbers of them */
    double softness;
    bool plain; /* attentions do not weigh keys by their masses */
} xfc_token_words;

xfc_status xfc_token_words_read(const xfc_lossy *, xfc_token_words *);
/* Each of n blocks by numbers: r=13, with inflect=X from r * (1 - X) to r * (1 + X) in even steps; r=16/16/8, and none
 * behind those. usual: r where it is not said. */
xfc_status xfc_token_words_numbers(const xfc_lossy *, uint32_t n, int64_t usual, int64_t *r);

#endif

/* regex.h - regular expressions as automata, for operators that match whole texts.
 *
 * A pattern in RE2's syntax is read to a tree over sets of code points (regex_parse.c), and the tree becomes a
 * deterministic automaton over bytes of UTF-8 (regex.c), which a run walks once a text. As a text matches as a whole or
 * not at all, groups capture nothing and lazy repetition is repetition.
 */
#ifndef XFC_ONNX_REGEX_H
#define XFC_ONNX_REGEX_H
#include "ir/base/diag.h"

enum { XFC_CODE_POINT_MAX = 0x10ffff };

typedef struct { /* both included */
    uint32_t from, to;
} xfc_code_range;
typedef struct { /* in order and apart, once it is whole */
    xfc_code_range *range;
    uint32_t n, cap;
} xfc_code_set;

typedef struct xfc_regex xfc_regex;
struct xfc_regex {
    enum {
        XFC_REGEX_EMPTY,
        XFC_REGEX_SET,    /* one code point of it */
        XFC_REGEX_THEN,   /* a, then b: a may be of the same kind, b is not */
        XFC_REGEX_OR,     /* a or b; the same */
        XFC_REGEX_REPEAT, /* a, least to most times; most < 0: any number */
        XFC_REGEX_BEGIN,  /* nothing, where the text begins */
        XFC_REGEX_END,    /* nothing, where it ends */
        XFC_REGEX_BORDER, /* nothing, between a letter, digit or _ of ASCII and what is none of them, or no character */
        XFC_REGEX_INSIDE, /* nothing, elsewhere */
    } kind;
    xfc_code_set set;
    const xfc_regex *a, *b;
    int32_t least, most;
};

xfc_status xfc_regex_parse(xfc_ctx *, xfc_arena *, xfc_loc, const char *pattern, const xfc_regex **out);

/* State 0 is the first one. Row s of `next` has a column for each class of bytes, the state that follows or -1, and one
 * behind them: 1 if a text may end in s. */
typedef struct {
    uint8_t class_of[256];
    uint32_t n_classes, n_states;
    int32_t *next; /* [n_states, n_classes + 1] */
} xfc_automaton;
xfc_status xfc_regex_compile(xfc_ctx *, xfc_arena *, xfc_loc, const xfc_regex *, xfc_automaton *out);

#endif

/* parse_impl.h - shared by parse.c, parse_lex.c, parse_expr.c, parse_data.c and parse_kernel.c only.
 *
 * Every function answers false (or NULL, NONE) after an error, which was recorded; the token is then the end of the
 * text, so loops end by themselves.
 */
#ifndef XFC_PARSE_IMPL_H
#define XFC_PARSE_IMPL_H
#include "ir/program.h"
#include "ir/text/print_impl.h"

typedef enum {
    XFC_TOK_END,
    XFC_TOK_WORD,   /* text */
    XFC_TOK_INT,    /* bits, big if it does not fit 64 bits; text is its spelling */
    XFC_TOK_FLOAT,  /* text */
    XFC_TOK_STRING, /* text, unescaped */
    XFC_TOK_VALUE,  /* %name; text is the name */
    XFC_TOK_TEMP,   /* $3; bits */
    XFC_TOK_POS,    /* #3; bits */
    XFC_TOK_PUNCT,  /* punct */
} xfc_tok_kind;
enum { XFC_P_ARROW = 256, XFC_P_EQUAL, XFC_P_UNEQUAL, XFC_P_RANGE }; /* -> == != .. */

typedef struct {
    xfc_tok_kind kind;
    int punct;
    uint32_t line;
    const char *text; /* interned */
    uint64_t bits;
    bool big;
    const char *start; /* spelling, for messages */
    size_t n;
} xfc_token;

typedef struct {
    const char *name;
    uint64_t before;
} xfc_scoped;

typedef struct { /* a graph that an op above names, still to be read */
    xfc_graph *graph;
    uint32_t line, depth;
} xfc_ps_body;
typedef struct { /* an op with bodies, whose types can be checked when those have been read */
    xfc_op *op;
    uint32_t line;
} xfc_ps_region;

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *scratch;
    xfc_graph *graph;
    const char *file, *source;
    const char *at, *end;
    uint32_t line;
    bool failed;
    xfc_token tok;
    xfc_map dims, locals; /* interned name -> xfc_int id */
    xfc_scoped *scope;    /* locals in order of definition, to undo them */
    uint32_t n_scope, cap_scope;
    xfc_map values;    /* interned name -> xfc_value */
    uint32_t depth;    /* of the expression being read */
    size_t made_bytes; /* by zeros and random */
    xfc_read_beside *read_beside;
    const char *data_file; /* its bytes, if the text names one */
    const void *data;
    size_t data_bytes;
    uint32_t n_ops;
    xfc_graph *entry; /* the first graph */
    uint32_t nesting; /* bodies around this graph */
    xfc_map bodies;   /* interned name -> xfc_ps_body that an op has named; of a graph that was read: NULL */
    xfc_ps_region *regions;
    uint32_t n_regions, cap_regions;
    uint32_t cap_weight, cap_offset; /* of the entry's plan, which has the weights of all */
} xfc_parser;

typedef struct { /* one op as written, up to its body */
    xfc_opcode code;
    uint32_t line;
    const char *string; /* behind the opcode: a constant's name, a kernel's form */
    const char **out_name, **onnx_name, **in_name;
    xfc_value **in; /* NULL: left out */
    xfc_type *type; /* as declared */
    xfc_attr *attr;
    uint32_t n_out, n_in, n_type, n_attr, cap_out, cap_in, cap_in_name, cap_type, cap_onnx, cap_attr;
} xfc_ps_op;

/* Limits on hostile text. */
enum {
    XFC_PARSE_DEPTH = 64,           /* parentheses in an expression */
    XFC_PARSE_FACTORS = 128,        /* of one term */
    XFC_PARSE_TERMS = 128,          /* terms of a sum */
    XFC_PARSE_LIST = 4096,          /* entries of an attribute list */
    XFC_PARSE_LOCALS = 1024,        /* axes and lets in scope at once */
    XFC_PARSE_MADE_BYTES = 1 << 28, /* data made by zeros and random */
};

/* parse_lex.c */
bool xfc_ps_fail(xfc_parser *, const char *fmt, ...) XFC_PRINTF(2, 3); /* at the line of the token; answers false */
xfc_loc xfc_ps_here(const xfc_parser *);
void xfc_ps_next(xfc_parser *);
bool xfc_ps_is(const xfc_parser *, int punct);
bool xfc_ps_take(xfc_parser *, int punct); /* if it is there */
bool xfc_ps_need(xfc_parser *, int punct); /* an error if it is not */
bool xfc_ps_is_word(const xfc_parser *, const char *);
bool xfc_ps_take_word(xfc_parser *, const char *);
bool xfc_ps_need_word(xfc_parser *, const char *);
bool xfc_ps_expected(xfc_parser *, const char *what); /* "expected WHAT, found 'TOKEN'" */
bool xfc_ps_string(xfc_parser *, const char **out);
bool xfc_ps_u32(xfc_parser *, const char *what, uint32_t *out);
bool xfc_ps_i64(xfc_parser *, const char *what, int64_t *out); /* with sign */
bool xfc_ps_f64(xfc_parser *, double *out);                    /* with sign; inf, nan */

/* parse_expr.c */
bool xfc_ps_int(xfc_parser *, xfc_int *out);
bool xfc_ps_type(xfc_parser *, xfc_type *out);
bool xfc_ps_dtype(xfc_parser *, xfc_dtype *out);
bool xfc_ps_symbols(xfc_parser *);                                          /* [b in 1..8, s] */
bool xfc_ps_new_symbol(xfc_parser *, xfc_int *out);                         /* T in LO..HI, defined by an op */
bool xfc_ps_local_name(xfc_parser *, const char **name, const char **hint); /* of a new axis or let */
bool xfc_ps_define(xfc_parser *, const char *name, xfc_int symbol);
void xfc_ps_end_scope(xfc_parser *, uint32_t n_scope);

/* parse_data.c */
bool xfc_ps_data(xfc_parser *, const xfc_type *, const char *name, const xfc_tensor **out);

/* parse_kernel.c */
bool xfc_ps_location(xfc_parser *, xfc_loc *);             /* NODE OP OPSET */
xfc_op *xfc_ps_kernel_op(xfc_parser *, const xfc_ps_op *); /* reads the body */

#endif

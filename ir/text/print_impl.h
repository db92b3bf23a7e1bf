/* print_impl.h - shared by print.c, print_int.c, print_kernel.c and, for the shape of words and numbers, parse*.c. */
#ifndef XFC_PRINT_IMPL_H
#define XFC_PRINT_IMPL_H
#include "ir/text/text.h"

typedef struct {
    xfc_ctx *ctx;
    xfc_buf *out;
    xfc_arena *scratch;
    xfc_print_opts opts;
    const xfc_graph *graph;
    xfc_map values;      /* of this graph: value -> "%name"; filled by xfc_print_graph */
    xfc_map locals;      /* symbol id of an axis or let in scope -> its number + 1 */
    xfc_map local_names; /* interned "i0" of every local of this kernel so far -> 1: a dim of that name is quoted */
    xfc_map
        defined; /* id of a symbol that an op of the program defines, or any of a kernel's -> its name in the text */
    xfc_map dim_names; /* interned names of dims and of those -> 1 */
    xfc_map data_at;   /* tensor id -> its offset in the data file + 1 */
    xfc_map consts;    /* of a planned program: id of a tensor -> the first constant that holds it */
    bool canonical;    /* xfc_print_kernel: nothing but what decides the code */
    const xfc_op *op;  /* the kernel op being printed; NULL when canonical */
    const xfc_kernel *kernel;
} xfc_printer;

/* Expression in a canonical order that depends on names and numbers alone, never on ids. */
void xfc_pr_int(xfc_printer *, xfc_int);
void xfc_pr_type(xfc_printer *, const xfc_type *);
/* Shortest decimal that rounds to v in this dtype. */
void xfc_pr_float(xfc_buf *, double v, xfc_dtype);
void xfc_pr_value(xfc_printer *, const xfc_value *);
void xfc_pr_plan(xfc_printer *);                            /* print_plan.c */
xfc_map xfc_pr_consts(const xfc_graph *, xfc_arena *);      /* the first constant that holds each tensor, by its id */
void xfc_pr_kernel_body(xfc_printer *, const xfc_kernel *); /* from "{" to "}" */
/* Declares an axis or let of the kernel and prints its name. */
void xfc_pr_define(xfc_printer *, xfc_int symbol, uint32_t number);
void xfc_pr_range(xfc_printer *, xfc_int symbol); /* " in LO..HI" */

/* v as a number of this dtype holds it. */
double xfc_round_to(double v, xfc_dtype);
/* Words of an expression, hence not names of dims or locals (a dim of that name is quoted). */
bool xfc_is_expr_word(const char *);
/* [A-Za-z_][A-Za-z0-9_]* with single dots inside: what the lexer reads as one word. */
bool xfc_is_identifier(const char *);

#endif

/* int.h - symbolic integers: shapes, loop indices, offsets and sizes are one algebra.
 *
 * Hash-consed and canonical: a sum of monomials (int64 coefficient times a product of atoms); atoms are symbols or
 * opaque floordiv / mod / min / max nodes. Equal ids mean equal values; unequal ids mean "not known equal".
 * Symbols carry bounds that may themselves be symbolic (a loop axis lies in [0, extent - 1]), which is what lets
 * (i * S + j) floordiv S become i. An expression with a coefficient beyond 64 bits is NONE: unknown.
 */
#ifndef XFC_INT_H
#define XFC_INT_H
#include "ir/base/diag.h"

typedef struct {
    uint32_t id;
} xfc_int; /* id 0 is "none": absent, unknown. */
#define XFC_INT_NONE ((xfc_int){0})
static inline bool xfc_int_same(xfc_int a, xfc_int b) { return a.id == b.id; }
static inline bool xfc_int_known(xfc_int a) { return a.id != 0; }

/* Bound used for dimensions without a declared range. */
#define XFC_DIM_MAX ((int64_t)0x7fffffff)

xfc_int xfc_int_const(xfc_ctx *, int64_t);
/* A named model dimension (dim_param). The same name gives the same symbol; the first range wins. */
xfc_int xfc_int_symbol(xfc_ctx *, const char *name, int64_t lo, int64_t hi);
/* A dimension whose name and upper bound are those of dim, and whose least value is lo. It takes the name over. */
xfc_int xfc_int_symbol_from(xfc_ctx *, xfc_int dim, int64_t lo);
/* A fresh one that no name finds. name is a hint, never NULL. */
xfc_int xfc_int_unnamed(xfc_ctx *, const char *name, int64_t lo, int64_t hi);
/* A fresh symbol in [0, extent - 1] for a loop axis, or in [lo, hi] for a let. */
xfc_int xfc_int_axis(xfc_ctx *, const char *name, xfc_int extent);
xfc_int xfc_int_let(xfc_ctx *, const char *name, xfc_int lo, xfc_int hi);

/* All operators answer NONE when an operand is NONE. floordiv and mod are Python's; a divisor that may be <= 0 stays
 * opaque. */
xfc_int xfc_int_add(xfc_ctx *, xfc_int, xfc_int);
xfc_int xfc_int_sub(xfc_ctx *, xfc_int, xfc_int);
xfc_int xfc_int_mul(xfc_ctx *, xfc_int, xfc_int);
xfc_int xfc_int_floordiv(xfc_ctx *, xfc_int, xfc_int);
xfc_int xfc_int_ceildiv(xfc_ctx *, xfc_int, xfc_int);
xfc_int xfc_int_mod(xfc_ctx *, xfc_int, xfc_int);
/* a / b where every term of a has the factors of b, a single product: then they cancel, even symbols that may be 0. */
bool xfc_int_exact(xfc_ctx *, xfc_int a, xfc_int b, xfc_int *out);
xfc_int xfc_int_min(xfc_ctx *, xfc_int, xfc_int);
xfc_int xfc_int_max(xfc_ctx *, xfc_int, xfc_int);
static inline xfc_int xfc_int_addc(xfc_ctx *c, xfc_int a, int64_t k) { return xfc_int_add(c, a, xfc_int_const(c, k)); }
static inline xfc_int xfc_int_mulc(xfc_ctx *c, xfc_int a, int64_t k) { return xfc_int_mul(c, a, xfc_int_const(c, k)); }

bool xfc_int_value(const xfc_ctx *, xfc_int, int64_t *out);       /* true iff constant */
bool xfc_int_is(const xfc_ctx *, xfc_int, int64_t value);         /* is this constant */
void xfc_int_range(xfc_ctx *, xfc_int, int64_t *lo, int64_t *hi); /* saturates at INT64_MIN / INT64_MAX */
int64_t xfc_int_divisor(const xfc_ctx *, xfc_int); /* largest constant known to divide it; 0 for the constant 0 */
/* Three-valued comparisons: 1 surely, 0 surely not, -1 unknown. */
int xfc_int_eq(xfc_ctx *, xfc_int, xfc_int);
int xfc_int_lt(xfc_ctx *, xfc_int, xfc_int);
int xfc_int_le(xfc_ctx *, xfc_int, xfc_int);

/* Replaces symbols: from[i] (which must be symbols) by to[i], all at once, and canonicalises anew. */
xfc_int xfc_int_substitute(xfc_ctx *, xfc_int, const xfc_int *from, const xfc_int *to, size_t n);
bool xfc_int_uses(const xfc_ctx *, xfc_int, xfc_int symbol);
/* If e = coeff * symbol + rest with neither part using symbol: true. coeff is 0 when symbol is absent. */
bool xfc_int_linear_in(xfc_ctx *, xfc_int e, xfc_int symbol, xfc_int *coeff, xfc_int *rest);
/* Value under an assignment of every symbol; false on overflow, division by zero or an unbound symbol. */
typedef bool xfc_int_lookup(void *user, uint32_t symbol_id, int64_t *out);
bool xfc_int_evaluate(const xfc_ctx *, xfc_int, xfc_int_lookup *, void *user, int64_t *out);

/* Inspection: for printers, the emitter and the plan's bytecode. */
typedef enum {
    XFC_INT_CONST,
    XFC_INT_SYMBOL,
    XFC_INT_SUM,
    XFC_INT_FLOORDIV,
    XFC_INT_MOD,
    XFC_INT_MIN,
    XFC_INT_MAX
} xfc_int_kind;
/* SIZE: names the formula `formula` of dims and older sizes. Made by every operation whose result would exceed
 * XFC_INT_LARGE nodes, so that no formula is larger than what two such make, however sizes build on sizes. */
typedef enum { XFC_SYM_DIM, XFC_SYM_AXIS, XFC_SYM_LET, XFC_SYM_SIZE } xfc_sym_kind;
/* coeff * atom[0] * ... ; n = 0: the constant */
typedef struct {
    int64_t coeff;
    uint32_t n;
    const xfc_int *atom;
} xfc_int_term;
typedef struct {
    xfc_int_kind kind;
    int64_t value; /* CONST */
    const char *name;
    xfc_int lo, hi;
    xfc_sym_kind sym; /* SYMBOL */
    xfc_int formula;  /* of a SIZE */
    const xfc_int_term *term;
    uint32_t n_terms; /* SUM: at least two terms, or one that is not a bare atom */
    xfc_int a, b;     /* FLOORDIV, MOD, MIN, MAX */
} xfc_int_info;
/* NONE looks like a let that is called "?" and may be anything. */
const xfc_int_info *xfc_int_look(const xfc_ctx *, xfc_int);
/* name as printed: dims by name; axes and lets as name + local number given by the printer's own table. */
void xfc_int_print(const xfc_ctx *, xfc_buf *, xfc_int, const char *(*symbol_name)(void *user, xfc_int symbol),
                   void *user);

/* --- large formulas (ir/int/size.c) --- */

/* Message, of what it says %s: why an operation on known numbers answered NONE. */
#define XFC_INT_UNKNOWN                                                                                                \
    "%s exceeds 63 bits, or is a formula of formulas more than 1000 deep: correct the numbers of the model, or lower " \
    "the bounds of its dims with --dim NAME=LO..HI"
enum {
    XFC_INT_LARGE = 64,    /* nodes of a formula, beyond which it gets a name */
    XFC_INT_TERMS = 128,   /* terms of a product, beyond which the longer factor gets one */
    XFC_INT_LOCAL = 1024,  /* nodes of one that has axes or lets, which no name can stand for: beyond it is NONE */
    XFC_INT_LEVELS = 1000, /* sizes in sizes; beyond it is NONE */
};
uint32_t xfc_int_weight(const xfc_ctx *, xfc_int); /* nodes of the formula as a tree, sizes by name */
bool xfc_int_is_size(const xfc_ctx *, xfc_int);    /* a symbol that names a formula */
xfc_int xfc_int_size(xfc_ctx *, xfc_int formula);  /* the symbol that names it, for good */
xfc_int xfc_int_settle(xfc_ctx *, xfc_int);        /* by its name if it is large, as operations answer */
bool xfc_int_as_written(xfc_ctx *, bool on);       /* no names are given from here on; answers what was */
/* Walks that visit each node once: begin, then ask at each node. One walk at a time. */
void xfc_int_walk(const xfc_ctx *);
bool xfc_int_first(const xfc_ctx *, xfc_int);
xfc_ints *xfc_ints_new(xfc_ctx *);

#endif

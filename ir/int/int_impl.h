/* int_impl.h - shared by int.c, int/size.c and int/query.c only. */
#ifndef XFC_INT_IMPL_H
#define XFC_INT_IMPL_H
#include "ir/int/int.h"

typedef struct {
    xfc_int_info info;
    int64_t lo, hi, divisor; /* divisor: of a SIZE */
    uint64_t symbols;        /* a bit for each symbol inside, by its id: what is surely not there */
    uint32_t weight;         /* nodes of the formula as a tree, sizes by name */
    uint32_t level;          /* how deep sizes stand in sizes */
    uint32_t mark;           /* of the last walk that came here: xfc_int_first */
    uint8_t tried;           /* XFC_INT_PROVEN, or 1 + the most fuel with which it was not proved to be >= 0 */
    bool local;              /* an axis or a let is inside */
} xfc_int_node;
enum { XFC_INT_PROVEN = 255 };
typedef struct {
    xfc_int_term *term;
    uint32_t n;
} xfc_poly; /* sorted, no zero coefficients; in the scratch arena */

struct xfc_ints {
    xfc_int_node *node; /* by id */
    uint32_t n, cap, n_symbols, depth, walk;
    bool as_written; /* no names are given: a text is read */
    bool overflow;   /* in the polynomial under construction */
    xfc_map index;   /* hash of a node -> id; colliding hashes take the next free key */
    xfc_map symbols; /* interned name -> id of the dim symbol */
    xfc_map sizes;   /* id of a formula -> id of the symbol that names it */
    xfc_arena *scratch;
};

int64_t xfc_int_floor(int64_t a, int64_t b); /* floor(a / b); 0 when b is 0 */
int64_t xfc_int_gcd(int64_t a, int64_t b);   /* INT64_MIN for that and 0 */
bool xfc_int_prove_ge0(xfc_ctx *, xfc_int);  /* surely >= 0 */

xfc_int xfc_int_new_symbol(xfc_ctx *, const char *name, xfc_int lo, xfc_int hi, xfc_sym_kind, xfc_int formula);
void xfc_int_measure(const xfc_ints *, xfc_int_node *, uint32_t id); /* symbols, weight, level, local */

#endif

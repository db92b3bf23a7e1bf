/* int_impl.h - shared by int.c and int_query.c only. */
#ifndef XFC_INT_IMPL_H
#define XFC_INT_IMPL_H
#include "ir/int.h"

typedef struct {
    xfc_int_info info;
    int64_t lo, hi;
} xfc_int_node;
typedef struct {
    xfc_int_term *term;
    uint32_t n;
} xfc_poly; /* sorted, no zero coefficients; in the scratch arena */

struct xfc_ints {
    xfc_int_node *node; /* by id */
    uint32_t n, cap, n_symbols, depth;
    bool overflow;   /* in the polynomial under construction */
    xfc_map index;   /* hash of a node -> id; colliding hashes take the next free key */
    xfc_map symbols; /* interned name -> id of the dim symbol */
    xfc_arena *scratch;
};

int64_t xfc_int_floor(int64_t a, int64_t b); /* floor(a / b); 0 when b is 0 */
int64_t xfc_int_gcd(int64_t a, int64_t b);   /* INT64_MIN for that and 0 */
bool xfc_int_prove_ge0(xfc_ctx *, xfc_int);  /* surely >= 0 */

#endif

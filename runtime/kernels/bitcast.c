/* bitcast.c - the same bits as elements of another type of the same size.
 *
 * Operand 0: x of any shape. Result: the same shape, another type.
 */
#include "runtime/kernels/routines.h"

enum { CHUNK = 1 << 16 }; /* bytes of a task */

/* 0 where there are no elements: beside a 0 the product of the other dims may be any. */
static xk_i64 bytes_of(const xk_array *a) {
    xk_i64 n = (a->dtype >> 8 & 0xffu) / 8;
    for (xk_u32 d = 0; d < a->rank; d++)
        if (a->dim[d] == 0) return 0;
    for (xk_u32 d = 0; d < a->rank; d++) n *= a->dim[d];
    return n;
}

xk_work xk_bitcast_work(const xk_call *c) {
    return (xk_work){.tasks = (bytes_of(&c->array[0]) + CHUNK - 1) / CHUNK, .grain = 1};
}

void xk_bitcast(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const char *from = c->array[0].data;
    char *to = c->array[1].data;
    xk_i64 all = bytes_of(&c->array[0]), last = end * CHUNK < all ? end * CHUNK : all;
    (void)scratch;
    for (xk_i64 i = begin * CHUNK; i < last; i++) to[i] = from[i];
}

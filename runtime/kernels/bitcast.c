/* bitcast.c - the same bits as elements of another type of the same size.
 *
 * Operand 0: x of any shape. Result: the same shape, another type.
 */
#include "runtime/kernels/routines.h"

enum { CHUNK = 1 << 16 }; /* bytes of a task */

static xk_i64 bytes_of(const xk_array *a) { return (a->dtype >> 8 & 0xffu) / 8 * xk_count(a); }

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

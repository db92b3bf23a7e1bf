/* unpack_bits.c - numbers of 2 or 4 bits, packed in bytes, with a byte each.
 *
 * Operand 0: x of any shape, the first number in the lowest bits of the first byte. Result: the same shape; signed
 * integers (code 0) keep their sign, all others the bits.
 */
#include "runtime/kernels/routines.h"

enum { CHUNK = 1 << 16 }; /* numbers of a task, a multiple of those of a byte */

xk_work xk_unpack_bits_work(const xk_call *c) {
    return (xk_work){.tasks = (xk_count(&c->array[0]) + CHUNK - 1) / CHUNK, .grain = 1};
}

void xk_unpack_bits(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const unsigned char *from = c->array[0].data;
    unsigned char *to = c->array[1].data;
    const xk_u32 bits = c->array[0].dtype >> 8 & 0xffu, each = 8 / bits, mask = (1u << bits) - 1;
    const xk_u32 sign = (c->array[0].dtype & 0xffu) == 0 ? 1u << (bits - 1) : 0;
    const xk_i64 all = xk_count(&c->array[0]), last = end * CHUNK < all ? end * CHUNK : all;
    (void)scratch;
    for (xk_i64 i = begin * CHUNK; i < last; i++) {
        xk_u32 v = from[i / each] >> bits * (xk_u32)(i % each) & mask;
        to[i] = (unsigned char)((v ^ sign) - sign);
    }
}

/* pack_bits.c - numbers of 2 or 4 bits, which have a byte each, packed in bytes.
 *
 * Operand 0: x of any shape. Result: the same shape, the first number in the lowest bits of the first byte; the bits
 * behind the last number are 0.
 */
#include "runtime/kernels/routines.h"

enum { CHUNK = 1 << 14 }; /* bytes of a task */

static xk_u32 bits_of(const xk_call *c) { return c->array[1].dtype >> 8 & 0xffu; }

static xk_i64 bytes_of(const xk_call *c) {
    const xk_i64 each = 8 / bits_of(c), n = xk_count(&c->array[1]);
    return n / each + (n % each != 0);
}

xk_work xk_pack_bits_work(const xk_call *c) {
    return (xk_work){.tasks = (bytes_of(c) + CHUNK - 1) / CHUNK, .grain = 1};
}

void xk_pack_bits(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const unsigned char *from = c->array[0].data;
    unsigned char *to = c->array[1].data;
    const xk_u32 bits = bits_of(c), mask = (1u << bits) - 1;
    const xk_i64 each = 8 / bits, n = xk_count(&c->array[1]), all = bytes_of(c),
                 last = end * CHUNK < all ? end * CHUNK : all;
    (void)scratch;
    for (xk_i64 i = begin * CHUNK; i < last; i++) {
        xk_u32 byte = 0;
        for (xk_i64 k = 0; k < each && i * each + k < n; k++) byte |= (from[i * each + k] & mask) << bits * (xk_u32)k;
        to[i] = (unsigned char)byte;
    }
}

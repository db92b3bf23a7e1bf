/* change_case.c - texts with their letters in lower case, or in upper case.
 *
 * Operand: bytes u8 [s], of texts one behind the other or over each other. Results: bytes u8 [s + s / 2], 0 behind the last, and
 * i64 [s + 1], where each byte went, and last how many there are: so wherever a text begins and ends, both are looked up. A letter
 * becomes the one that Unicode's simple mapping says, whatever stands around it (case.def), which may take a byte more than 2. What is no
 * UTF-8 stays. Number: upper, else lower.
 */
#include "runtime/kernels/routines.h"

typedef struct {
    xk_u32 first, last, step;
    xk_i32 by;
} run;

#define XK_LOWER(first, last, step, by) {first, last, step, by},
#define XK_UPPER(first, last, step, by)
static const run lower[] = {
#include "runtime/kernels/case.def"
};
#undef XK_LOWER
#undef XK_UPPER
#define XK_LOWER(first, last, step, by)
#define XK_UPPER(first, last, step, by) {first, last, step, by},
static const run upper[] = {
#include "runtime/kernels/case.def"
};
#undef XK_LOWER
#undef XK_UPPER

/* The other case of a sign, or the sign. */
static xk_u32 changed(xk_u32 c, int up) {
    const run *all = up ? upper : lower;
    xk_i64 low = 0, high = up ? sizeof upper / sizeof *upper : sizeof lower / sizeof *lower;
    if (c < 0x80) return c - (up ? 'a' : 'A') < 26 ? c ^ 0x20 : c;
    while (low < high) {
        xk_i64 mid = (low + high) / 2;
        if (c < all[mid].first)
            high = mid;
        else if (c > all[mid].last)
            low = mid + 1;
        else
            return (c - all[mid].first) % all[mid].step ? c : (xk_u32)((xk_i32)c + all[mid].by);
    }
    return c;
}

/* The sign at the front of n bytes, and how many it takes; one byte where they are no UTF-8, and *sign is beyond Unicode. */
static xk_i64 read_sign(const unsigned char *b, xk_i64 n, xk_u32 *sign) {
    static const xk_u32 least[] = {0, 0, 0x80, 0x800, 0x10000};
    const xk_i64 size = b[0] < 0x80 ? 1 : b[0] >> 5 == 6 ? 2 : b[0] >> 4 == 14 ? 3 : b[0] >> 3 == 30 ? 4 : 0;
    xk_u32 c = size > 1 ? b[0] & (0x7fU >> size) : b[0];
    *sign = 0xffffffff;
    if (!size || size > n) return 1;
    for (xk_i64 i = 1; i < size; i++) {
        if (b[i] >> 6 != 2) return 1;
        c = c << 6 | (b[i] & 0x3fU);
    }
    if (c < least[size]) return 1;
    *sign = c;
    return size;
}

static xk_i64 write_sign(unsigned char *out, xk_u32 c) {
    const xk_i64 size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (xk_i64 i = size - 1; i > 0; i--, c >>= 6) out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(size == 1 ? c : (0xf00U >> size & 0xff) | c);
    return size;
}

xk_work xk_change_case_work(const xk_call *c) {
    (void)c;
    return (xk_work){.tasks = 1, .grain = 1};
}

void xk_change_case(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const unsigned char *in = c->array[0].data;
    unsigned char *out = c->array[1].data;
    xk_i64 *place = c->array[2].data, n = c->array[0].dim[0], at = 0;
    const int up = c->number[0].i != 0;
    (void)scratch;
    if (begin >= end) return;
    for (xk_i64 i = 0; i < n;) {
        xk_u32 sign, other;
        const xk_i64 size = read_sign(in + i, n - i, &sign);
        xk_i64 made = size;
        other = changed(sign, up);
        if (other != sign)
            made = write_sign(out + at, other);
        else
            for (xk_i64 k = 0; k < size; k++) out[at + k] = in[i + k];
        for (xk_i64 k = 0; k < size; k++) place[i + k] = at + (k < made ? k : made);
        i += size, at += made;
    }
    place[n] = at;
    for (; at < c->array[1].dim[0]; at++) out[at] = 0;
}

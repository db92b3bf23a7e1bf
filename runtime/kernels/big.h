/* big.h - natural numbers of some hundred digits, for numbers as texts: exact, where floats round.
 *
 * Digits of 32 bits, the lowest first, none 0 at the top. Who uses them knows that what he makes fits. */
#ifndef XK_BIG_H
#define XK_BIG_H
#include "runtime/kernels/routines.h"

enum { XK_BIG_WORDS = 176 }; /* 800 decimal digits, shifted by as many bits as an f64 has exponents */

typedef struct {
    xk_i64 n;
    xk_u32 word[XK_BIG_WORDS];
} xk_big;

static inline void xk_big_push(xk_big *b, xk_u32 word) {
    if (word && b->n < XK_BIG_WORDS) b->word[b->n++] = word;
}

static inline void xk_big_trim(xk_big *b) {
    while (0 < b->n && b->n <= XK_BIG_WORDS && b->word[b->n - 1] == 0) b->n--;
}

static inline void xk_big_set(xk_big *b, xk_u64 v) {
    b->n = 0;
    b->word[0] = (xk_u32)v, b->word[1] = (xk_u32)(v >> 32);
    b->n = v >> 32 ? 2 : v != 0;
}

/* b * by + plus */
static inline void xk_big_mul(xk_big *b, xk_u32 by, xk_u32 plus) {
    xk_u64 carry = plus;
    for (xk_i64 i = 0; i < b->n; i++) {
        carry += (xk_u64)b->word[i] * by;
        b->word[i] = (xk_u32)carry;
        carry >>= 32;
    }
    xk_big_push(b, (xk_u32)carry);
    xk_big_trim(b);
}

static inline void xk_big_shift(xk_big *b, xk_i64 by) {
    xk_i64 words = by / 32, bits = by % 32;
    if (!b->n || b->n + words > XK_BIG_WORDS) return;
    for (xk_i64 i = b->n; words && i-- > 0;) b->word[i + words] = b->word[i];
    for (xk_i64 i = 0; i < words; i++) b->word[i] = 0;
    b->n += words;
    if (bits) xk_big_mul(b, (xk_u32)1 << bits, 0);
}

static inline xk_i64 xk_big_bits(const xk_big *b) {
    xk_i64 bits = 32 * b->n;
    for (xk_u32 top = b->n ? b->word[b->n - 1] : 0; top && !(top >> 31); top <<= 1) bits--;
    return bits;
}

static inline int xk_big_order(const xk_big *a, const xk_big *b) {
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (xk_i64 i = a->n; i-- > 0;)
        if (a->word[i] != b->word[i]) return a->word[i] < b->word[i] ? -1 : 1;
    return 0;
}

static inline void xk_big_add(xk_big *a, const xk_big *b) {
    xk_u64 carry = 0;
    for (; a->n < b->n; a->n++) a->word[a->n] = 0;
    for (xk_i64 i = 0; i < a->n; i++) {
        carry += (xk_u64)a->word[i] + (i < b->n ? b->word[i] : 0);
        a->word[i] = (xk_u32)carry;
        carry >>= 32;
    }
    xk_big_push(a, (xk_u32)carry);
}

/* a - b, where that is not negative */
static inline void xk_big_sub(xk_big *a, const xk_big *b) {
    xk_u64 borrow = 0;
    for (xk_i64 i = 0; i < a->n; i++) {
        xk_u64 take = (i < b->n ? b->word[i] : 0) + borrow;
        borrow = a->word[i] < take;
        a->word[i] = (xk_u32)(a->word[i] - take);
    }
    xk_big_trim(a);
}

/* A format of floats: bits of the significand, with the one that is implied, and the exponent of the lowest bit of the
 * smallest number. 0 bits: it is none of them. */
typedef struct {
    xk_i64 bits, lowest;
    xk_u64 infinity; /* as bits */
} xk_float;

static inline xk_float xk_float_of(xk_u32 dtype) {
    switch (dtype & 0xffffu) {
    case 2 | 64 << 8: return (xk_float){53, -1074, (xk_u64)0x7ff << 52};
    case 2 | 32 << 8: return (xk_float){24, -149, (xk_u64)0xff << 23};
    case 2 | 16 << 8: return (xk_float){11, -24, (xk_u64)0x1f << 10};
    case 4 | 16 << 8: return (xk_float){8, -133, (xk_u64)0xff << 7};
    default: return (xk_float){0, 0, 0};
    }
}

#endif

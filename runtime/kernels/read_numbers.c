/* read_numbers.c - texts as numbers.
 *
 * Operands: bytes u8 [s], starts i64 [n], lengths i64 [n] of texts. Results: y [n], f64, f32, f16, bf16, an integer or a bool;
 * bool [n], whether the text is a number of this type; y is 0 where it is not. A text is a decimal number, "1000", "-3.14"
 * or "1e-5", or in any case of letters "inf" or "nan", with a sign or without; for a bool also "true" and "false". A float
 * is the nearest one, of two the even one, whatever the number of digits; an integer has no fraction any more (100.5 is
 * 100), and must fit.
 */
#include "runtime/kernels/big.h"
#include "runtime/kernels/texts.h"

enum { MOST_DIGITS = 800 }; /* more digits can only break a tie: no f64 lies half way with more than 767 */

typedef struct {
    unsigned char digit[MOST_DIGITS + 1]; /* 0 to 9, the first not 0 */
    xk_i64 n, point;                      /* 0.DIGITS * 10^point */
    int negative;
    enum { NOTHING, NUMBER, INFINITE, NO_NUMBER, TRUE, FALSE } kind;
} decimal;

/* --- the text --- */

static int is(const unsigned char *s, xk_i64 n, const char *word) {
    xk_i64 i = 0;
    for (; i < n && word[i]; i++)
        if ((s[i] | 32) != word[i]) return 0;
    return i == n && !word[i];
}

static int is_digit(const unsigned char *s, xk_i64 n, xk_i64 at) { return at < n && s[at] >= '0' && s[at] <= '9'; }

static void add_digit(decimal *d, int digit) {
    if (d->n < MOST_DIGITS)
        d->digit[d->n++] = (unsigned char)digit;
    else if (digit)
        d->digit[MOST_DIGITS] = 1, d->n = MOST_DIGITS + 1;
}

/* Digits and their point, from *at on. False: there are none. */
static int read_digits(decimal *d, const unsigned char *s, xk_i64 n, xk_i64 *at) {
    int any = 0, behind = 0;
    for (;; ++*at) {
        if (is_digit(s, n, *at)) {
            any = 1;
            if (d->n || s[*at] != '0') {
                add_digit(d, s[*at] - '0');
                d->point += !behind;
            } else {
                d->point -= behind;
            }
        } else if (!behind && *at < n && s[*at] == '.') {
            behind = 1;
        } else {
            return any;
        }
    }
}

static int read_exponent(decimal *d, const unsigned char *s, xk_i64 n, xk_i64 *at) {
    xk_i64 e = 0;
    if (*at == n) return 1;
    if ((s[*at] | 32) != 'e') return 0;
    ++*at;
    int negative = *at < n && s[*at] == '-';
    if (*at < n && (s[*at] == '-' || s[*at] == '+')) ++*at;
    if (!is_digit(s, n, *at)) return 0;
    for (; is_digit(s, n, *at); ++*at)
        if (e < XK_MOST(xk_i64) / 20) e = 10 * e + s[*at] - '0';
    d->point += negative ? -e : e;
    return *at == n;
}

static void read_text(decimal *d, const unsigned char *s, xk_i64 n) {
    xk_i64 at = 0;
    d->n = d->point = 0;
    d->negative = n > 0 && s[0] == '-';
    if (n > 0 && (s[0] == '-' || s[0] == '+')) s++, n--;
    d->kind = is(s, n, "inf")     ? INFINITE
              : is(s, n, "nan")   ? NO_NUMBER
              : is(s, n, "true")  ? TRUE
              : is(s, n, "false") ? FALSE
                                  : NOTHING;
    if (d->kind == NOTHING && read_digits(d, s, n, &at) && read_exponent(d, s, n, &at)) d->kind = NUMBER;
}

/* --- its value --- */

/* floor(x / one), below 2^62; x is what is left of it, times a power of two. */
static xk_u64 divide(xk_big *x, xk_big *one) {
    xk_u64 q = 0;
    xk_i64 steps = xk_big_bits(x) - xk_big_bits(one) + 1;
    if (steps <= 0) return 0;
    xk_big_shift(one, steps - 1);
    for (xk_i64 i = 0; i < steps; i++) {
        q <<= 1;
        if (xk_big_order(x, one) >= 0) {
            xk_big_sub(x, one);
            q |= 1;
        }
        xk_big_shift(x, 1);
    }
    return q;
}

static xk_i64 length_of(xk_u64 q) {
    xk_i64 n = 0;
    for (; q; q >>= 1) n++;
    return n;
}

/* The bits of the float nearest to x / one, not 0. */
static xk_u64 nearest(xk_float f, xk_big *x, xk_big *one) {
    xk_i64 shift = f.bits + 1 - (xk_big_bits(x) - xk_big_bits(one)); /* so that there are bits to round by */
    if (shift > 1 - f.lowest) shift = 1 - f.lowest;
    xk_big_shift(shift > 0 ? x : one, shift > 0 ? shift : -shift);
    xk_u64 q = divide(x, one);
    xk_i64 lowest = length_of(q) - f.bits - shift;
    if (lowest < f.lowest) lowest = f.lowest;
    xk_i64 drop = lowest + shift;
    xk_u64 m = q >> drop, rest = q & (((xk_u64)1 << drop) - 1), half = (xk_u64)1 << (drop - 1);
    m += rest > half || (rest == half && (x->n || m & 1));
    xk_u64 bits = ((xk_u64)(lowest - f.lowest) << (f.bits - 1)) + m; /* the hidden bit is one of the exponent */
    return bits < f.infinity ? bits : f.infinity;
}

static xk_u64 float_of(const decimal *d, xk_float f) {
    xk_big x, one;
    if (d->n == 0 || d->point < -400) return 0;
    if (d->point > 400) return f.infinity;
    xk_big_set(&x, 0);
    xk_big_set(&one, 1);
    for (xk_i64 i = 0; i < d->n; i++) xk_big_mul(&x, 10, d->digit[i]);
    for (xk_i64 i = d->n; i < d->point; i++) xk_big_mul(&x, 10, 0);
    for (xk_i64 i = d->point; i < d->n; i++) xk_big_mul(&one, 10, 0);
    return nearest(f, &x, &one);
}

/* What stands in front of the point, if it is at most `most`. */
static int integer_of(const decimal *d, xk_u64 most, xk_u64 *out) {
    *out = 0;
    for (xk_i64 i = 0; d->n && i < d->point; i++) {
        xk_u64 digit = i < d->n ? d->digit[i] : 0;
        if (digit > most || *out > (most - digit) / 10) return 0;
        *out = *out * 10 + digit;
    }
    return 1;
}

/* --- elements --- */

static void store(const xk_array *y, xk_i64 i, xk_u64 bits) {
    switch (y->dtype >> 8 & 0xff) {
    case 64: ((xk_b64 *)y->data)[i] = (xk_b64)bits; break;
    case 32: ((xk_b32 *)y->data)[i] = (xk_b32)bits; break;
    case 16: ((xk_b16 *)y->data)[i] = (xk_b16)bits; break;
    default: ((xk_b8 *)y->data)[i] = (xk_b8)bits; break;
    }
}

/* The element as bits. False: it is none of this type. */
static int value_of(const decimal *d, xk_u32 dtype, xk_u64 *out) {
    const xk_float f = xk_float_of(dtype);
    const xk_u64 width = dtype >> 8 & 0xff, sign = (xk_u64)1 << (width - 1);
    const int is_bool = (dtype & 0xff) == 6, is_signed = (dtype & 0xff) == 0;
    *out = 0;
    if (d->kind == NOTHING || ((d->kind == TRUE || d->kind == FALSE) && !is_bool)) return 0;
    if (is_bool) {
        *out = d->kind != FALSE && (d->kind != NUMBER || d->n);
        return 1;
    }
    if (f.bits) {
        *out = d->kind == INFINITE    ? f.infinity
               : d->kind == NO_NUMBER ? f.infinity | (xk_u64)1 << (f.bits - 2)
                                      : float_of(d, f);
        if (d->negative) *out |= sign;
        return 1;
    }
    xk_u64 most = is_signed ? sign - !d->negative : d->negative ? 0 : sign - 1 + sign;
    if (d->kind != NUMBER || !integer_of(d, most, out)) return 0;
    if (d->negative) *out = 0 - *out;
    return 1;
}

xk_work xk_read_numbers_work(const xk_call *c) { return (xk_work){.tasks = c->array[1].dim[0], .grain = 16}; }

void xk_read_numbers(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    const xk_texts t = xk_texts_of(c->array);
    unsigned char *is_one = c->array[4].data;
    (void)scratch;
    for (xk_i64 i = begin; i < end; i++) {
        decimal d;
        xk_i64 n;
        xk_u64 bits;
        const unsigned char *s = xk_text(&t, i, &n);
        read_text(&d, s, n);
        is_one[i] = (unsigned char)value_of(&d, c->array[3].dtype, &bits);
        store(&c->array[3], i, is_one[i] ? bits : 0);
    }
}

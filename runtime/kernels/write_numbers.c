/* write_numbers.c - numbers as texts.
 *
 * Operand: x [n] of f64, f32, f16, bf16, i64 or u64. Results: bytes u8 [n * 24], 0 behind each text; starts i64 [n],
 * lengths i64 [n]. Floats have the fewest digits that name them alone among the numbers of their type, and of such the
 * nearest ones (the method of Steele and White): "0.1", "-2.5e-07", "1e+16"; plain from 1e-4 on and below 1e16. What is
 * no number is "NaN", "INF" or "-INF".
 */
#include "runtime/kernels/big.h"

enum { ROOM = 24, MOST_DIGITS = 17 };

typedef struct {
    unsigned char *text;
    xk_i64 n;
} writer;

static void put(writer *w, int c) {
    if (w->n < ROOM) w->text[w->n++] = (unsigned char)c;
}

static void put_text(writer *w, const char *s) {
    while (*s) put(w, *s++);
}

static void put_integer(writer *w, xk_u64 v, int at_least) {
    unsigned char digit[20];
    int n = 0;
    for (; v || n < at_least; v /= 10) digit[n++] = (unsigned char)('0' + v % 10);
    while (n) put(w, digit[--n]);
}

/* --- digits of floats --- */

typedef struct {
    unsigned char digit[MOST_DIGITS];
    xk_i64 n, point; /* 0.DIGITS * 10^point */
} decimal;

typedef struct { /* x / one is the number; up and down: half of what lies between it and its neighbours */
    xk_big x, one, up, down;
    int even; /* they belong to it, too */
} range;

static void times_ten(range *r) {
    xk_big_mul(&r->x, 10, 0);
    xk_big_mul(&r->up, 10, 0);
    xk_big_mul(&r->down, 10, 0);
}

/* Is x + up beyond one? */
static int is_above(const range *r, const xk_big *one) {
    xk_big sum = r->x;
    xk_big_add(&sum, &r->up);
    int order = xk_big_order(&sum, one);
    return r->even ? order >= 0 : order > 0;
}

/* m * 2^e, m not 0 */
static void set(range *r, xk_float f, xk_u64 m, xk_i64 e) {
    int uneven = m == (xk_u64)1 << (f.bits - 1) && e > f.lowest; /* the next lower number is nearer */
    r->even = !(m & 1);
    xk_big_set(&r->x, m);
    xk_big_set(&r->one, 1);
    xk_big_set(&r->up, 1);
    xk_big_set(&r->down, 1);
    xk_big_shift(&r->x, 1 + uneven + (e > 0 ? e : 0));
    xk_big_shift(&r->one, 1 + uneven + (e < 0 ? -e : 0));
    xk_big_shift(&r->up, uneven + (e > 0 ? e : 0));
    xk_big_shift(&r->down, e > 0 ? e : 0);
}

static xk_i64 scale(range *r) {
    xk_i64 point = 0;
    for (; is_above(r, &r->one); point++) xk_big_mul(&r->one, 10, 0);
    for (;; point--) {
        range next = *r;
        times_ten(&next);
        if (is_above(&next, &r->one)) return point;
        *r = next;
    }
}

static void find_digits(range *r, decimal *d) {
    d->point = scale(r);
    for (d->n = 0; d->n < MOST_DIGITS;) {
        int digit = 0, order;
        times_ten(r);
        for (; xk_big_order(&r->x, &r->one) >= 0; digit++) xk_big_sub(&r->x, &r->one);
        order = xk_big_order(&r->x, &r->down);
        int low = r->even ? order <= 0 : order < 0, high = is_above(r, &r->one);
        if (low && high) { /* both are near enough */
            xk_big twice = r->x;
            xk_big_add(&twice, &r->x);
            order = xk_big_order(&twice, &r->one);
            high = order > 0 || (order == 0 && digit % 2);
        }
        d->digit[d->n++] = (unsigned char)('0' + digit + high);
        if (low || high) return;
    }
}

static void put_digits(writer *w, const decimal *d, xk_i64 begin, xk_i64 end) {
    for (xk_i64 i = begin; i < end; i++) put(w, 0 <= i && i < d->n ? d->digit[i] : '0');
}

static void put_decimal(writer *w, const decimal *d) {
    if (d->point > -4 && d->point <= 16) {
        put_digits(w, d, d->point < 1 ? d->point - 1 : 0, d->point);
        put(w, '.');
        put_digits(w, d, d->point, d->n > d->point ? d->n : d->point + 1);
        return;
    }
    xk_i64 e = d->point - 1;
    put_digits(w, d, 0, 1);
    if (d->n > 1) put(w, '.');
    put_digits(w, d, 1, d->n);
    put(w, 'e');
    put(w, e < 0 ? '-' : '+');
    put_integer(w, (xk_u64)(e < 0 ? -e : e), 2);
}

static void put_float(writer *w, xk_float f, xk_u64 bits, int negative) {
    const xk_u64 hidden = (xk_u64)1 << (f.bits - 1);
    if (bits > f.infinity) {
        put_text(w, "NaN");
        return;
    }
    if (negative) put(w, '-');
    if (bits == f.infinity || bits == 0) {
        put_text(w, bits ? "INF" : "0.0");
        return;
    }
    range r;
    decimal d;
    xk_u64 exponent = bits / hidden;
    set(&r, f, exponent ? bits % hidden + hidden : bits, f.lowest + (exponent ? (xk_i64)exponent - 1 : 0));
    find_digits(&r, &d);
    put_decimal(w, &d);
}

/* --- elements --- */

static xk_u64 bits_of(const xk_array *x, xk_i64 i) {
    switch (x->dtype >> 8 & 0xff) {
    case 64: return (xk_u64)((const xk_b64 *)x->data)[i];
    case 32: return (xk_u32)((const xk_b32 *)x->data)[i];
    default: return (xk_u64)((const xk_b16 *)x->data)[i] & 0xffff;
    }
}

static void write_element(writer *w, const xk_array *x, xk_i64 i) {
    const xk_float f = xk_float_of(x->dtype);
    xk_u64 bits = bits_of(x, i), sign = (xk_u64)1 << ((x->dtype >> 8 & 0xff) - 1);
    int negative = (x->dtype & 0xff) != 1 && bits & sign;
    if (f.bits) {
        put_float(w, f, bits & (sign - 1), negative);
        return;
    }
    if (negative) put(w, '-');
    put_integer(w, negative ? 0 - bits : bits, 1);
}

xk_work xk_write_numbers_work(const xk_call *c) { return (xk_work){.tasks = c->array[0].dim[0], .grain = 16}; }

void xk_write_numbers(const xk_call *c, xk_i64 begin, xk_i64 end, void *scratch) {
    unsigned char *bytes = c->array[1].data;
    xk_i64 *start = c->array[2].data, *length = c->array[3].data;
    (void)scratch;
    for (xk_i64 i = begin; i < end; i++) {
        writer w = {bytes + i * ROOM, 0};
        write_element(&w, &c->array[0], i);
        start[i] = i * ROOM, length[i] = w.n;
        while (w.n < ROOM) put(&w, 0);
    }
}

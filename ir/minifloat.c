/* minifloat.c - floats of 8 bits and fewer: what their codes stand for.
 *
 * One table of formats says it for interpreter and generated code (backends/llvm/minifloat.c). f8e8m0 is no float of
 * that shape: its code is an exponent, it has no sign and no zero.
 *
 * To a code the nearest number rounds, of two the even one; what lies beyond the largest becomes that, if it saturates,
 * else infinity, or NaN where the format has none. f8e8m0 rounds away from 0, as ONNX casts unless told otherwise.
 */
#include "ir/tensor.h"

#include <math.h>
#include <string.h>

static const xfc_minifloat formats[] = {
    [XFC_E4M3FN - XFC_E4M3FN] = {.mantissa = 3, .bias = 7, .sign = 0x80, .most = 0x7e, .nan = 0x7f, .over = 0x7f},
    [XFC_E4M3FNUZ - XFC_E4M3FN] = {.mantissa = 3, .bias = 8, .sign = 0x80, .most = 0x7f, .nan = 0x80, .over = 0x80},
    [XFC_E5M2 - XFC_E4M3FN] = {.mantissa = 2, .bias = 15, .sign = 0x80, .most = 0x7b, .nan = 0x7e, .over = 0x7c},
    [XFC_E5M2FNUZ - XFC_E4M3FN] = {.mantissa = 2, .bias = 16, .sign = 0x80, .most = 0x7f, .nan = 0x80, .over = 0x80},
    [XFC_E8M0 - XFC_E4M3FN] = {.most = 0xfe, .nan = 0xff, .over = 0xff},
    [XFC_E2M1 - XFC_E4M3FN] = {.mantissa = 1, .bias = 1, .sign = 8, .most = 7, .nan = 8, .over = 7, .finite = true},
};

const xfc_minifloat *xfc_minifloat_of(xfc_dtype t) {
    xfc_assert(xfc_dtype_is_code(t) && (size_t)(t - XFC_E4M3FN) < XFC_COUNT(formats));
    return &formats[t - XFC_E4M3FN];
}

float xfc_code_to_float(xfc_dtype t, uint8_t code) {
    const xfc_minifloat *f = xfc_minifloat_of(t);
    uint32_t magnitude = code & (f->sign - 1u);
    if (code == f->nan && !f->finite) return NAN;
    if (!f->sign) return ldexpf(1, (int)code - 127);
    if (f->over == 0x7c && magnitude >= 0x7c) /* as in the wide types */
        return magnitude > 0x7c ? NAN : code & f->sign ? -INFINITY : INFINITY;
    if (magnitude == f->nan && !f->finite) return NAN;
    int exponent = (int)(magnitude >> f->mantissa), fraction = (int)(magnitude & ((1u << f->mantissa) - 1));
    int units = exponent ? fraction + (1 << f->mantissa) : fraction;
    float v = ldexpf((float)units, (exponent ? exponent : 1) - f->bias - f->mantissa);
    return code & f->sign ? -v : v;
}

static uint8_t exponent_code(float v) {
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    uint32_t exponent = u >> 23 & 0xff;
    return (uint8_t)(exponent + ((u & 0x7fffff) != 0 && exponent < 0xfe));
}

uint8_t xfc_float_to_code(xfc_dtype t, float v, bool saturate) {
    const xfc_minifloat *f = xfc_minifloat_of(t);
    if (!f->sign) return exponent_code(v);
    if (isnan(v)) return f->nan;
    uint8_t sign = signbit(v) ? f->sign : 0;
    int exponent, least = 1 - f->bias; /* of the least normal number, which subnormal ones share */
    uint32_t code = UINT32_MAX;
    if (!isinf(v)) {
        frexpf(v, &exponent);
        exponent = v == 0 || exponent - 1 < least ? least : exponent - 1;
        float units = rintf(ldexpf(fabsf(v), f->mantissa - exponent)); /* a carry raises the exponent */
        code = (uint32_t)units + ((uint32_t)(exponent - least) << f->mantissa);
    }
    if (code > f->most) code = saturate ? f->most : f->over;
    if (code == f->over && f->over == f->nan) return f->nan == 0x80 ? f->nan : (uint8_t)(sign | code);
    return f->nan == 0x80 && code == 0 ? 0 : (uint8_t)(sign | code); /* such a format has one 0 */
}

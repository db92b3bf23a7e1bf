/* math.c - the transcendental functions of f32, scalar and branch-free. See xk.h for the contract; scalar.def for who
 * calls them.
 *
 * Coefficients are minimax fits of our own (weighted for relative error, rounded to float). Constants that are
 * multiplied by an integer have few bits, so arguments reduce as exactly without a fused multiply-add as with one.
 * Measured maxima, in ulp, over every 997th float: exp 1.1, log 0.8, erf 2.8, tanh 2.5, sigmoid 2.2, sin and cos 1.5,
 * atan 1.5, pow 0.51.
 *
 *   exp      results below the least normal float are 0
 *   sin, cos reduce in double, exactly for |x| <= 2^20; the far ones exactly for all x, at four times the cost
 *   pow      works in double: correct for denormals, infinities, signed zeros and odd integers, as C99 says
 */
#include "runtime/kernels/xk.h"

#define XK_INF __builtin_inff()
#define XK_NAN __builtin_nanf("")
#define XK_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, which stands in the low bits of the sum */
#define XK_MAGIC_D 6755399441055744.0

typedef unsigned long long xk_u64;

XK xk_u32 bits_of(float x) {
    xk_u32 u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}

XK float float_of(xk_u32 u) {
    float x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

XK xk_u64 bits_of_d(double x) {
    xk_u64 u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}

XK double double_of(xk_u64 u) {
    double x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

/* x = n ln 2 + r with |r| <= ln 2 / 2: e^x = 2^n e^r. 2^n is added to the exponent of a value in [0.7, 1.5). */
float xk_exp_f32(float x) {
    float t = XK_FMA(x, 1.44269504f, XK_MAGIC), n = t - XK_MAGIC;
    float r = XK_FMA(n, -0.693359375f, x);
    r = XK_FMA(n, 2.12194440e-4f, r);
    float p = XK_FMA(0x1.6a2448p-10f, r, 0x1.1239d6p-7f);
    p = XK_FMA(p, r, 0x1.5558f2p-5f);
    p = XK_FMA(p, r, 0x1.555492p-3f);
    p = XK_FMA(p, r, 0x1.fffffcp-2f);
    p = XK_FMA(p, r, 1.0f);
    p = XK_FMA(p, r, 1.0f);
    float y = float_of(bits_of(p) + (bits_of(t) << 23));
    float low = x >= -87.3365479f ? y : 0.0f;
    float over = x + XK_INF; /* NaN stays NaN */
    return x <= 88.7228317f ? low : over;
}

/* x = 2^e m with m in [sqrt(1/2), sqrt 2): log x = e ln 2 + log(1 + f), f = m - 1. */
float xk_log_f32(float x) {
    float scaled = x * 8388608.0f;
    float v = x < 0x1p-126f ? scaled : x;
    float denormal = x < 0x1p-126f ? -23.0f : 0.0f;
    xk_u32 u = bits_of(v);
    xk_i32 e = (xk_i32)(u - 0x3f3504f3u) >> 23;
    float f = float_of(u - ((xk_u32)e << 23)) - 1.0f, n = (float)e + denormal;
    float p = XK_FMA(-0x1.38b576p-4f, f, 0x1.055b68p-3f);
    p = XK_FMA(p, f, -0x1.0d8542p-3f);
    p = XK_FMA(p, f, 0x1.22da1ep-3f);
    p = XK_FMA(p, f, -0x1.547244p-3f);
    p = XK_FMA(p, f, 0x1.99a008p-3f);
    p = XK_FMA(p, f, -0x1.000226p-2f);
    p = XK_FMA(p, f, 0x1.555554p-2f);
    float square = f * f;
    float tail = XK_FMA(n, -2.12194440e-4f, square * f * p);
    float y = XK_FMA(n, 0.693359375f, f + XK_FMA(square, -0.5f, tail));
    y = x < XK_INF ? y : x; /* infinity, NaN */
    y = x < 0.0f ? XK_NAN : y;
    return x == 0.0f ? -XK_INF : y;
}

/* 1 - 2^h(|x|), h = log2(erfc). h is |x| times a polynomial, and 2^r - 1 is r times one, so the result is as exact near
 * 0 as elsewhere, without a case of its own: m = 2^n (2^r - 1) + (2^n - 1). From 3.95 on the result is 1. */
float xk_erf_f32(float x) {
    float a = float_of(bits_of(x) & 0x7fffffffu);
    float u = a > 3.95f ? 3.95f : a; /* NaN stays */
    float h = XK_FMA(-0x1.f54a28p-15f, u, 0x1.2439b6p-11f);
    h = XK_FMA(h, u, -0x1.df40d8p-10f);
    h = XK_FMA(h, u, -0x1.15f520p-12f);
    h = XK_FMA(h, u, 0x1.c85498p-6f);
    h = XK_FMA(h, u, -0x1.2fc338p-3f);
    h = XK_FMA(h, u, -0x1.d63e62p-1f);
    h = XK_FMA(h, u, -0x1.a0be84p+0f);
    float t = XK_FMA(h, u, XK_MAGIC), n = t - XK_MAGIC, r = XK_FMA(h, u, -n);
    float p = XK_FMA(0x1.429730p-13f, r, 0x1.5ef14cp-10f);
    p = XK_FMA(p, r, 0x1.3b2c3cp-7f);
    p = XK_FMA(p, r, 0x1.c6afa4p-5f);
    p = XK_FMA(p, r, 0x1.ebfbdep-3f);
    p = XK_FMA(p, r, 0x1.62e430p-1f);
    float scale = float_of((bits_of(t) << 23) + 0xbf800000u); /* -2^n */
    float y = XK_FMA(p * r, scale, 1.0f + scale);
    return float_of(bits_of(y) | (bits_of(x) & 0x80000000u));
}

/* With m = e^2x - 1: m / (m + 2). m = 2^n (e^r - 1) + (2^n - 1) is as exact near 0 as elsewhere. */
float xk_tanh_f32(float x) {
    float twice = x + x, t = XK_FMA(x, 2.88539008f, XK_MAGIC), n = t - XK_MAGIC;
    float r = XK_FMA(n, -0.693359375f, twice);
    r = XK_FMA(n, 2.12194440e-4f, r);
    float p = XK_FMA(0x1.6bec08p-10f, r, 0x1.12276ap-7f);
    p = XK_FMA(p, r, 0x1.555674p-5f);
    p = XK_FMA(p, r, 0x1.5554b0p-3f);
    p = XK_FMA(p, r, 0x1.fffffep-2f);
    p = XK_FMA(p, r * r, r);
    float scale = float_of((bits_of(t) << 23) + 0x3f800000u);
    float m = XK_FMA(p, scale, scale - 1.0f);
    float y = m / (m + 2.0f);
    y = x > 9.01091385f ? 1.0f : y;
    y = x < -9.01091385f ? -1.0f : y;
    return x == 0.0f ? x : y;
}

/* For very negative x this is 1 / e^-x: as exact as exp until the result is no normal float. */
float xk_sigmoid_f32(float x) { return 1.0f / (1.0f + xk_exp_f32(-x)); }

/* sin((d + k) pi / 2) for r = d pi / 2, |d| <= 1/2. */
XK float sine(float r, xk_u32 k) {
    float z = r * r;
    float s = XK_FMA(0x1.6cd1b0p-19f, z, -0x1.a00f7ep-13f);
    s = XK_FMA(s, z, 0x1.111108p-7f);
    s = XK_FMA(s, z, -0x1.555556p-3f);
    s = XK_FMA(s, z * r, r);
    float c = XK_FMA(0x1.99eb4ap-16f, z, -0x1.6c0c32p-10f);
    c = XK_FMA(c, z, 0x1.55554ap-5f);
    c = XK_FMA(c, z, -0.5f);
    c = XK_FMA(c, z, 1.0f);
    float y = k & 1 ? c : s;
    return float_of(bits_of(y) ^ (k & 2) << 30);
}

XK float sine_near(float x, xk_u32 quarters) {
    double t = (double)x * 0.63661977236758134308 + XK_MAGIC_D, n = t - XK_MAGIC_D;
    double d = ((double)x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a626331p-34;
    return sine((float)d, (xk_u32)bits_of_d(t) + quarters);
}

/* Adds x c to d + n, without multiples of 4, d in [-1/2, 1/2], n whole. */
XK void add_quarters(double x, double c, double *d, double *n) {
    double p = x * c, sum = *d + (p - 4.0 * __builtin_rint(p * 0.25)), whole = __builtin_rint(sum);
    *d = sum - whole;
    *n += whole;
}

/* x 2 / pi, with 2 / pi in pieces of 28 bits, from the largest: each product is exact, and so is each sum as long as it
 * is not small against what comes next. */
XK float sine_far(float x, xk_u32 quarters) {
    double d = 0.0, n = 0.0, wide = (double)x;
    add_quarters(wide, 0xa2f9836.0p-28, &d, &n);
    add_quarters(wide, 0xe4e4415.0p-56, &d, &n);
    add_quarters(wide, 0x29fc275.0p-84, &d, &n);
    add_quarters(wide, 0x7d1f534.0p-112, &d, &n);
    add_quarters(wide, 0xddc0db6.0p-140, &d, &n);
    add_quarters(wide, 0x295993c.0p-168, &d, &n);
    add_quarters(wide, 0x439041f.0p-196, &d, &n);
    return sine((float)(d * 1.5707963267948966), (xk_u32)bits_of_d(n + XK_MAGIC_D) + quarters);
}

int xk_is_far_f32(float x) { return float_of(bits_of(x) & 0x7fffffffu) > 1048576.0f; }
float xk_sin_f32(float x) {
    float y = sine_near(x, 0);
    return x == 0.0f ? x : y; /* -0 */
}
float xk_cos_f32(float x) { return sine_near(x, 1); }
float xk_sin_f32_far(float x) { return sine_far(x, 0); }
float xk_cos_f32_far(float x) { return sine_far(x, 1); }

/* u + u^3 R(u^2) for u in [0, 1]; beyond 1 it is pi / 2 less that of 1 / x. */
float xk_atan_f32(float x) {
    float a = float_of(bits_of(x) & 0x7fffffffu), inverse = 1.0f / a;
    float u = a > 1.0f ? inverse : a, z = u * u;
    float p = XK_FMA(-0x1.d62ff4p-10f, z, 0x1.65a660p-7f);
    p = XK_FMA(p, z, -0x1.fed164p-6f);
    p = XK_FMA(p, z, 0x1.dac9e6p-5f);
    p = XK_FMA(p, z, -0x1.583492p-4f);
    p = XK_FMA(p, z, 0x1.c099fep-4f);
    p = XK_FMA(p, z, -0x1.2421b6p-3f);
    p = XK_FMA(p, z, 0x1.9991fep-3f);
    p = XK_FMA(p, z, -0x1.55553ep-2f);
    float y = XK_FMA(z * p, u, u), rest = 1.57079637f + (-4.37113883e-08f - y);
    y = a > 1.0f ? rest : y;
    return float_of(bits_of(y) | (bits_of(x) & 0x80000000u));
}

/* log2 of a positive double that a float can hold: m in [sqrt(1/2), sqrt 2), log2 m = s R(s^2), s = (m - 1) / (m + 1).
 */
XK double log2_d(double x) {
    xk_u64 u = bits_of_d(x);
    long long e = (long long)(u - 0x3fe6a09e667f3bcdull) >> 52;
    double m = double_of(u - ((xk_u64)e << 52)), s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 0.28253996614033494 * z + 0.3199347416805446;
    p = p * z + 0.4122084028678315;
    p = p * z + 0.5770779531809502;
    p = p * z + 0.9617966940577954;
    p = p * z + 2.8853900817779268;
    return p * s + (double)(xk_i32)e;
}

/* 2^x for |x| <= 200. */
XK double exp2_d(double x) {
    double t = x + XK_MAGIC_D, r = x - (t - XK_MAGIC_D);
    double p = 1.5196133998647752e-05 * r + 0.00015466781532813868;
    p = p * r + 0.00133339353566172;
    p = p * r + 0.009618038059590973;
    p = p * r + 0.055504103653915005;
    p = p * r + 0.24022651067003348;
    p = p * r + 0.6931471807047634;
    p = p * r + 1.0;
    return double_of(bits_of_d(p) + (bits_of_d(t) << 52));
}

float xk_pow_f32(float x, float y) {
    float a = float_of(bits_of(x) & 0x7fffffffu), b = float_of(bits_of(y) & 0x7fffffffu);
    double l = log2_d((double)a);
    l = a < XK_INF ? l : (double)a; /* infinity, NaN */
    l = a == 0.0f ? -(double)XK_INF : l;
    double p = (double)y * l;
    p = p > 200.0 ? 200.0 : p;
    p = p < -200.0 ? -200.0 : p;
    float magnitude = (float)exp2_d(p);
    magnitude = p != p ? XK_NAN : magnitude;                 /* the bit arithmetic of exp2 may lose it */
    magnitude = ((a == 1.0f) & (y == y)) ? 1.0f : magnitude; /* also 1^infinity */
    double t = (double)y + XK_MAGIC_D;
    xk_u32 whole = (b >= 16777216.0f) | (t - XK_MAGIC_D == (double)y);
    xk_u32 odd = whole & (b < 16777216.0f) & (xk_u32)bits_of_d(t);
    float signed_power = float_of(bits_of(magnitude) ^ ((bits_of(x) >> 31 & odd) << 31));
    signed_power = ((x < 0.0f) & (a < XK_INF) & !whole) ? XK_NAN : signed_power;
    return ((y == 0.0f) | (x == 1.0f)) ? 1.0f : signed_power;
}

/* test_math.c - accuracy of runtime/kernels/math.c against libm in double.
 *
 * Every STRIDE-th bit pattern of a float (all exponents, both signs, NaNs) through both builds of the functions, with
 * and without fused multiply-add; the error is counted in units of the last place of the exact result. Special values
 * one by one. An optional argument overrides the stride: `test_math 1` is exhaustive.
 */
#include "runtime/kernels/xk.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

float xk_exp_f32_plain(float), xk_log_f32_plain(float), xk_erf_f32_plain(float), xk_tanh_f32_plain(float);
float xk_sigmoid_f32_plain(float), xk_sin_f32_plain(float), xk_cos_f32_plain(float), xk_pow_f32_plain(float, float);
float xk_atan_f32_plain(float), xk_sin_f32_far_plain(float), xk_cos_f32_far_plain(float);

static float sin_f32(float x) { return xk_is_far_f32(x) ? xk_sin_f32_far(x) : xk_sin_f32(x); }
static float cos_f32(float x) { return xk_is_far_f32(x) ? xk_cos_f32_far(x) : xk_cos_f32(x); }
static float sin_f32_plain(float x) { return xk_is_far_f32(x) ? xk_sin_f32_far_plain(x) : xk_sin_f32_plain(x); }
static float cos_f32_plain(float x) { return xk_is_far_f32(x) ? xk_cos_f32_far_plain(x) : xk_cos_f32_plain(x); }

static int failures;

static float from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

/* Distance in ulps of the float nearest to want; 0 for equal or both NaN; huge where one is special and the other not.
 */
static double ulps(float got, double want, bool flushes) {
    float nearest = (float)want;
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : 1e9;
    if (isinf(nearest) || isinf(got)) return nearest == got || fabs(want) > 3.4028234e38 ? 0 : 1e9;
    if (flushes && fabs(want) < 0x1p-126 * 1.000001 && got == 0) return 0;
    int e;
    frexp(want, &e);
    return fabs((double)got - want) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

typedef struct {
    const char *name;
    float (*f)(float), (*plain)(float);
    double (*want)(double);
    double most; /* ulps */
    bool flushes;
} unary;

static const unary unaries[] = {
    {"exp", xk_exp_f32, xk_exp_f32_plain, exp, 4, true},
    {"log", xk_log_f32, xk_log_f32_plain, log, 4, false},
    {"erf", xk_erf_f32, xk_erf_f32_plain, erf, 4, false},
    {"tanh", xk_tanh_f32, xk_tanh_f32_plain, tanh, 4, false},
    {"sigmoid", xk_sigmoid_f32, xk_sigmoid_f32_plain, sigmoid, 4, true},
    {"sin", sin_f32, sin_f32_plain, sin, 4, false},
    {"cos", cos_f32, cos_f32_plain, cos, 4, false},
    {"atan", xk_atan_f32, xk_atan_f32_plain, atan, 4, false},
};

typedef struct {
    double error;
    float at;
} worst;

static void measure(worst *w, float x, float got, double want, bool flushes) {
    double e = ulps(got, want, flushes);
    if (e > w->error) *w = (worst){e, x};
}

static void report(const char *name, const char *kind, worst w, double most) {
    printf("%-8s %-6s max %.3f ulp at %a\n", name, kind, w.error, (double)w.at);
    if (!(w.error <= most)) {
        printf("  FAIL: more than %g\n", most);
        failures++;
    }
}

static void test_unary(const unary *t, uint32_t stride) {
    worst fused = {0, 0}, plain = {0, 0};
    for (uint64_t u = 0; u <= UINT32_MAX; u += stride) {
        float x = from_bits((uint32_t)u);
        double want = t->want((double)x);
        measure(&fused, x, t->f(x), want, t->flushes);
        measure(&plain, x, t->plain(x), want, t->flushes);
    }
    report(t->name, "fused", fused, t->most);
    report(t->name, "plain", plain, t->most);
}

static bool same(float got, double want) {
    if (isnan(want)) return isnan(got);
    return (double)got == want && !signbit(got) == !signbit(want);
}

static void test_pow(void) {
    static const float special[] = {0.0f,          -0.0f,      1.0f,       -1.0f,       2.0f,        -2.0f,
                                    0.5f,          -0.5f,      3.0f,       -3.0f,       1e30f,       -1e30f,
                                    1e-40f,        8388607.0f, 8388609.0f, 16777215.0f, 16777216.0f, -16777217.0f,
                                    2147483648.0f, INFINITY,   -INFINITY,  NAN};
    enum { N = sizeof special / sizeof *special };
    for (int i = 0; i < N * N; i++) {
        float x = special[i / N], y = special[i % N];
        double want = pow((double)x, (double)y);
        bool exact = want == 0 || fabs(want) == 1 || isinf(want) || isnan(want);
        if (exact ? same(xk_pow_f32(x, y), want) && same(xk_pow_f32_plain(x, y), want)
                  : ulps(xk_pow_f32(x, y), want, false) <= 4)
            continue;
        printf("pow(%a, %a) = %a, not %a FAIL\n", (double)x, (double)y, (double)xk_pow_f32(x, y), want);
        failures++;
    }
    worst fused = {0, 0}, plain = {0, 0};
    uint64_t seed = 1;
    for (int i = 0; i < 2000000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        float x = from_bits((uint32_t)(seed >> 32) & 0x7fffffffu), y = from_bits((uint32_t)(seed >> 7));
        if (i & 1)
            y = (float)((double)(int32_t)(seed >> 20) * 0x1p-24 /
                        (log2((double)x) == 0 ? 1 : log2((double)x))); /* results in range */
        if (i & 2) x = 1.0f + (float)((double)(int32_t)(seed >> 9) * 0x1p-36);
        double want = pow((double)x, (double)y);
        measure(&fused, x, xk_pow_f32(x, y), want, false);
        measure(&plain, x, xk_pow_f32_plain(x, y), want, false);
    }
    report("pow", "fused", fused, 4);
    report("pow", "plain", plain, 4);
}

static void expect(const char *what, float got, double want) {
    if (same(got, want)) return;
    printf("%s = %a, not %a FAIL\n", what, (double)got, want);
    failures++;
}

static void test_special(void) {
    double inf = (double)INFINITY;
    expect("exp(-inf)", xk_exp_f32(-INFINITY), 0);
    expect("exp(inf)", xk_exp_f32(INFINITY), inf);
    expect("exp(0)", xk_exp_f32(0), 1);
    expect("exp(-1e38)", xk_exp_f32(-1e38f), 0);
    expect("log(0)", xk_log_f32(0), -inf);
    expect("log(-0)", xk_log_f32(-0.0f), -inf);
    expect("log(-1)", xk_log_f32(-1), (double)NAN);
    expect("log(1)", xk_log_f32(1), 0);
    expect("log(inf)", xk_log_f32(INFINITY), inf);
    expect("erf(inf)", xk_erf_f32(INFINITY), 1);
    expect("erf(-6)", xk_erf_f32(-6), -1);
    expect("erf(-0)", xk_erf_f32(-0.0f), -0.0);
    expect("tanh(-inf)", xk_tanh_f32(-INFINITY), -1);
    expect("tanh(-0)", xk_tanh_f32(-0.0f), -0.0);
    expect("sigmoid(-inf)", xk_sigmoid_f32(-INFINITY), 0);
    expect("sigmoid(inf)", xk_sigmoid_f32(INFINITY), 1);
    expect("sin(inf)", sin_f32(INFINITY), (double)NAN);
    expect("cos(-inf)", cos_f32(-INFINITY), (double)NAN);
    expect("sin(-0)", sin_f32(-0.0f), -0.0);
    expect("cos(0)", cos_f32(0), 1);
    expect("atan(-0)", xk_atan_f32(-0.0f), -0.0);
    expect("atan(inf)", xk_atan_f32(INFINITY), (double)(float)atan(inf));
    for (uint32_t u = 0x7f800001u; u < 0x80000000u; u += 104729) {
        for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++) {
            expect(unaries[i].name, unaries[i].f(from_bits(u)), (double)NAN);
            expect(unaries[i].name, unaries[i].f(from_bits(u | 0x80000000u)), (double)NAN);
        }
    }
}

int main(int argc, char **argv) {
    uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 997;
    for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++) test_unary(&unaries[i], stride ? stride : 997);
    test_pow();
    test_special();
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}

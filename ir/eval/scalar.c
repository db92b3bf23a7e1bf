/* scalar.c - the interpreter's scalar instructions, a chunk of lanes at a time.
 *
 * This is the executable definition of scalar.def: integers wrap, division and modulus by zero give 0, min and max
 * return NaN if either is NaN and order -0 below 0, f16 and bf16 compute as f32 and round after every instruction.
 * Transcendental f32 functions are runtime/kernels/math.c itself, f64 ones libm. A float outside of an integer type
 * converts to the nearest end of its range, NaN to 0 (ONNX leaves both open). Reductions accumulate in double and round
 * once, so that the oracle is closer to the truth than what it checks.
 */
#include "ir/eval/eval_impl.h"
#include "runtime/kernels/xk.h"

#include <math.h>
#include <string.h>

xfc_rep xfc_rep_of(xfc_dtype t) {
    if (!xfc_dtype_is_float(t)) return XFC_REP_I;
    return t == XFC_F64 ? XFC_REP_D : XFC_REP_F;
}

static void round_half(xfc_dtype t, uint32_t n, float *x) {
    for (uint32_t k = 0; t == XFC_F16 && k < n; k++) x[k] = xfc_half_to_float(xfc_float_to_half(x[k]));
    for (uint32_t k = 0; t == XFC_BF16 && k < n; k++) x[k] = xfc_bfloat_to_float(xfc_float_to_bfloat(x[k]));
}

static void wrap_lanes(xfc_dtype t, uint32_t n, int64_t *x) {
    if (t == XFC_I64 || t == XFC_U64) return;
    for (uint32_t k = 0; k < n; k++) x[k] = xfc_dtype_wrap(t, x[k]);
}

/* --- integers --- */

static int64_t int_div(int64_t a, int64_t b, bool is_unsigned) {
    if (b == 0) return 0;
    if (is_unsigned) return (int64_t)((uint64_t)a / (uint64_t)b);
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t int_fmod(int64_t a, int64_t b, bool is_unsigned) {
    if (b == 0) return 0;
    if (is_unsigned) return (int64_t)((uint64_t)a % (uint64_t)b);
    return b == -1 ? 0 : a % b;
}

static int64_t int_mod(int64_t a, int64_t b, bool is_unsigned) {
    int64_t r = int_fmod(a, b, is_unsigned);
    return !is_unsigned && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int64_t int_pow(xfc_dtype t, int64_t a, int64_t b, bool is_unsigned) {
    if (!is_unsigned && b < 0) {
        if (a == 1) return 1;
        return a == -1 ? (b & 1 ? -1 : 1) : 0;
    }
    uint64_t result = 1, square = (uint64_t)a;
    for (uint64_t e = (uint64_t)b; e; e >>= 1) {
        if (e & 1) result *= square;
        square *= square;
    }
    return xfc_dtype_wrap(t, (int64_t)result);
}

static int64_t shifted(xfc_dtype t, int64_t a, int64_t by, bool left) {
    uint64_t n = 8 * xfc_dtype_bytes(t), bits = n < 64 ? (uint64_t)a & ((UINT64_C(1) << n) - 1) : (uint64_t)a;
    if ((uint64_t)by >= n) return 0; /* also where it is negative */
    return (int64_t)(left ? bits << by : bits >> by);
}

#define EACH(expr)                                                                                                     \
    for (uint32_t k = 0; k < n; k++) { r[k] = (expr); }                                                                \
    break
#define U(x) ((uint64_t)(x))
#define LESS(x, y) (u ? U(x) < U(y) : (x) < (y))

static void int_op(xfc_scalar_op op, xfc_dtype t, uint32_t n, int64_t *r, const int64_t *a, const int64_t *b) {
    bool u = xfc_dtype_class(t) == XFC_CLASS_UINT;
    switch ((int)op) {
    case XFC_S_ADD: EACH((int64_t)(U(a[k]) + U(b[k])));
    case XFC_S_SUB: EACH((int64_t)(U(a[k]) - U(b[k])));
    case XFC_S_MUL: EACH((int64_t)(U(a[k]) * U(b[k])));
    case XFC_S_DIV: EACH(int_div(a[k], b[k], u));
    case XFC_S_MOD: EACH(int_mod(a[k], b[k], u));
    case XFC_S_FMOD: EACH(int_fmod(a[k], b[k], u));
    case XFC_S_MIN: EACH(LESS(a[k], b[k]) ? a[k] : b[k]);
    case XFC_S_MAX: EACH(LESS(a[k], b[k]) ? b[k] : a[k]);
    case XFC_S_POW: EACH(int_pow(t, a[k], b[k], u));
    case XFC_S_NEG: EACH((int64_t)(0 - U(a[k])));
    case XFC_S_ABS: EACH(!u && a[k] < 0 ? (int64_t)(0 - U(a[k])) : a[k]);
    case XFC_S_SIGN: EACH(u ? a[k] != 0 : (a[k] > 0) - (a[k] < 0));
    case XFC_S_EQ: EACH(a[k] == b[k]);
    case XFC_S_NE: EACH(a[k] != b[k]);
    case XFC_S_LT: EACH(LESS(a[k], b[k]));
    case XFC_S_LE: EACH(!LESS(b[k], a[k]));
    case XFC_S_GT: EACH(LESS(b[k], a[k]));
    case XFC_S_GE: EACH(!LESS(a[k], b[k]));
    case XFC_S_AND: EACH(a[k] & b[k]);
    case XFC_S_OR: EACH(a[k] | b[k]);
    case XFC_S_XOR: EACH(a[k] ^ b[k]);
    case XFC_S_NOT: EACH(t == XFC_BOOL ? !a[k] : ~a[k]);
    case XFC_S_SHL: EACH(shifted(t, a[k], b[k], true));
    case XFC_S_SHR: EACH(shifted(t, a[k], b[k], false));
    default: xfc_bug(__FILE__, __LINE__, "%s of %s", xfc_scalar_name(op), xfc_dtype_name(t));
    }
    bool is_bool = (op >= XFC_S_EQ && op <= XFC_S_GE) || t == XFC_BOOL;
    if (!is_bool) wrap_lanes(t, n, r);
}

/* --- floats: the same text for float and double --- */

#define FLOAT_FUNCTIONS(T, S)                                                                                          \
    static T fmin_##S(T a, T b) {                                                                                      \
        if (isnan(a) || isnan(b)) return a + b;                                                                        \
        if (a == b) return signbit(a) ? a : b;                                                                         \
        return a < b ? a : b;                                                                                          \
    }                                                                                                                  \
    static T fmax_##S(T a, T b) {                                                                                      \
        if (isnan(a) || isnan(b)) return a + b;                                                                        \
        if (a == b) return signbit(a) ? b : a;                                                                         \
        return a < b ? b : a;                                                                                          \
    }                                                                                                                  \
    static T fmod_##S(T a, T b) { return S##_fmod(a, b); }                                                             \
    static T mod_##S(T a, T b) {                                                                                       \
        T r = S##_fmod(a, b);                                                                                          \
        if (r == 0) return S##_copysign(r, b);                                                                         \
        return (r < 0) != (b < 0) ? r + b : r; /* Python's; NaN stays */                                               \
    }

#define f_fmod fmodf
#define d_fmod fmod
#define f_copysign copysignf
#define d_copysign copysign
FLOAT_FUNCTIONS(float, f)
FLOAT_FUNCTIONS(double, d)

static double sigmoid_d(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

#define FLOAT_OP(NAME, T, S, SQRT, FLOOR, CEIL, RINT, FABS, FMA, EXP, LOG, ERF, TANH, SIGMOID, SIN, COS, ATAN, POW)    \
    static void NAME(xfc_scalar_op op, uint32_t n, T *r, const T *a, const T *b, const T *c) {                         \
        switch ((int)op) {                                                                                             \
        case XFC_S_ADD: EACH(a[k] + b[k]);                                                                             \
        case XFC_S_SUB: EACH(a[k] - b[k]);                                                                             \
        case XFC_S_MUL: EACH(a[k] * b[k]);                                                                             \
        case XFC_S_DIV: EACH(a[k] / b[k]);                                                                             \
        case XFC_S_MOD: EACH(mod_##S(a[k], b[k]));                                                                     \
        case XFC_S_FMOD: EACH(fmod_##S(a[k], b[k]));                                                                   \
        case XFC_S_MIN: EACH(fmin_##S(a[k], b[k]));                                                                    \
        case XFC_S_MAX: EACH(fmax_##S(a[k], b[k]));                                                                    \
        case XFC_S_FMA: EACH(FMA(a[k], b[k], c[k]));                                                                   \
        case XFC_S_NEG: EACH(-a[k]);                                                                                   \
        case XFC_S_ABS: EACH(FABS(a[k]));                                                                              \
        case XFC_S_SIGN: EACH(isnan(a[k]) ? a[k] : (T)((a[k] > 0) - (a[k] < 0)));                                      \
        case XFC_S_SQRT: EACH(SQRT(a[k]));                                                                             \
        case XFC_S_FLOOR: EACH(FLOOR(a[k]));                                                                           \
        case XFC_S_CEIL: EACH(CEIL(a[k]));                                                                             \
        case XFC_S_ROUND: EACH(RINT(a[k]));                                                                            \
        case XFC_S_EXP: EACH(EXP(a[k]));                                                                               \
        case XFC_S_LOG: EACH(LOG(a[k]));                                                                               \
        case XFC_S_ERF: EACH(ERF(a[k]));                                                                               \
        case XFC_S_TANH: EACH(TANH(a[k]));                                                                             \
        case XFC_S_SIGMOID: EACH(SIGMOID(a[k]));                                                                       \
        case XFC_S_SIN: EACH(SIN(a[k]));                                                                               \
        case XFC_S_COS: EACH(COS(a[k]));                                                                               \
        case XFC_S_ATAN: EACH(ATAN(a[k]));                                                                             \
        case XFC_S_POW: EACH(POW(a[k], b[k]));                                                                         \
        default: xfc_bug(__FILE__, __LINE__, "%s of floats", xfc_scalar_name(op));                                     \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME##_test(xfc_scalar_op op, uint32_t n, int64_t *r, const T *a, const T *b) {                        \
        switch ((int)op) {                                                                                             \
        case XFC_S_EQ: EACH(a[k] == b[k]);                                                                             \
        case XFC_S_NE: EACH(a[k] != b[k]);                                                                             \
        case XFC_S_LT: EACH(a[k] < b[k]);                                                                              \
        case XFC_S_LE: EACH(a[k] <= b[k]);                                                                             \
        case XFC_S_GT: EACH(a[k] > b[k]);                                                                              \
        case XFC_S_GE: EACH(a[k] >= b[k]);                                                                             \
        case XFC_S_ISNAN: EACH(isnan(a[k]) != 0);                                                                      \
        case XFC_S_ISINF: EACH(isinf(a[k]) != 0);                                                                      \
        default: xfc_bug(__FILE__, __LINE__, "%s of floats", xfc_scalar_name(op));                                     \
        }                                                                                                              \
    }

static float sin_f32(float x) { return xk_is_far_f32(x) ? xk_sin_f32_far(x) : xk_sin_f32(x); }
static float cos_f32(float x) { return xk_is_far_f32(x) ? xk_cos_f32_far(x) : xk_cos_f32(x); }

FLOAT_OP(float_op, float, f, sqrtf, floorf, ceilf, rintf, fabsf, fmaf, xk_exp_f32, xk_log_f32, xk_erf_f32, xk_tanh_f32,
         xk_sigmoid_f32, sin_f32, cos_f32, xk_atan_f32, xk_pow_f32)
FLOAT_OP(double_op, double, d, sqrt, floor, ceil, rint, fabs, fma, exp, log, erf, tanh, sigmoid_d, sin, cos, atan, pow)

static bool is_test(xfc_scalar_op op) {
    return (op >= XFC_S_EQ && op <= XFC_S_GE) || op == XFC_S_ISNAN || op == XFC_S_ISINF;
}

static void select_op(xfc_rep rep, uint32_t n, xfc_lanes out, const xfc_lanes *arg) {
    const int64_t *cond = arg[0].i;
    for (uint32_t k = 0; rep == XFC_REP_F && k < n; k++) out.f[k] = cond[k] ? arg[1].f[k] : arg[2].f[k];
    for (uint32_t k = 0; rep == XFC_REP_D && k < n; k++) out.d[k] = cond[k] ? arg[1].d[k] : arg[2].d[k];
    for (uint32_t k = 0; rep == XFC_REP_I && k < n; k++) out.i[k] = cond[k] ? arg[1].i[k] : arg[2].i[k];
}

void xfc_lanes_op(xfc_scalar_op op, xfc_dtype operand, uint32_t n, xfc_lanes out, const xfc_lanes *arg) {
    xfc_rep rep = xfc_rep_of(operand);
    if (op == XFC_S_SELECT) {
        select_op(rep, n, out, arg);
    } else if (rep == XFC_REP_I) {
        int_op(op, operand, n, out.i, arg[0].i, arg[1].i);
    } else if (rep == XFC_REP_D) {
        if (is_test(op))
            double_op_test(op, n, out.i, arg[0].d, arg[1].d);
        else
            double_op(op, n, out.d, arg[0].d, arg[1].d, arg[2].d);
    } else if (is_test(op)) {
        float_op_test(op, n, out.i, arg[0].f, arg[1].f);
    } else {
        float_op(op, n, out.f, arg[0].f, arg[1].f, arg[2].f);
        round_half(operand, n, out.f);
    }
}

/* --- conversion --- */

static int64_t from_double(xfc_dtype to, double x) {
    if (to == XFC_BOOL) return x < 0 || x > 0 || isnan(x);
    if (isnan(x)) return 0;
    int64_t lo = xfc_combine_identity_i(XFC_S_MAX, to), hi = xfc_combine_identity_i(XFC_S_MIN, to);
    if (to == XFC_U64) {
        if (x <= 0) return 0;
        return x >= 18446744073709551616.0 ? -1 : (int64_t)(uint64_t)x;
    }
    if (to == XFC_I64 && x >= 9223372036854775808.0) return hi;
    if (x <= (double)lo) return lo;
    return to != XFC_I64 && x >= (double)hi ? hi : (int64_t)x;
}

static double to_double(xfc_dtype from, int64_t v) { return from == XFC_U64 ? (double)(uint64_t)v : (double)v; }
static float to_float(xfc_dtype from, int64_t v) { return from == XFC_U64 ? (float)(uint64_t)v : (float)v; }

/* From or to codes: by way of f32. */
static void cast_codes(xfc_dtype to, xfc_dtype from, uint32_t n, xfc_lanes out, xfc_lanes in) {
    float one[XFC_EVAL_LANES];
    xfc_rep r = xfc_rep_of(from);
    for (uint32_t k = 0; k < n; k++)
        one[k] = xfc_dtype_is_code(from) ? xfc_code_to_float(from, (uint8_t)in.i[k])
                 : r == XFC_REP_F        ? in.f[k]
                 : r == XFC_REP_D        ? (float)in.d[k]
                                         : to_float(from, in.i[k]);
    for (uint32_t k = 0; xfc_dtype_is_code(to) && k < n; k++) out.i[k] = xfc_float_to_code(to, one[k], true);
    if (!xfc_dtype_is_code(to)) xfc_lanes_cast(to, XFC_F32, n, out, (xfc_lanes){.f = one});
}

void xfc_lanes_cast(xfc_dtype to, xfc_dtype from, uint32_t n, xfc_lanes out, xfc_lanes in) {
    xfc_rep r = xfc_rep_of(from);
    if (to != from && (xfc_dtype_is_code(to) || xfc_dtype_is_code(from))) {
        cast_codes(to, from, n, out, in);
        return;
    }
    switch (xfc_rep_of(to)) {
    case XFC_REP_F:
        for (uint32_t k = 0; k < n; k++) {
            out.f[k] = r == XFC_REP_F ? in.f[k] : r == XFC_REP_D ? (float)in.d[k] : to_float(from, in.i[k]);
        }
        round_half(to, n, out.f);
        break;
    case XFC_REP_D:
        for (uint32_t k = 0; k < n; k++) {
            out.d[k] = r == XFC_REP_F ? (double)in.f[k] : r == XFC_REP_D ? in.d[k] : to_double(from, in.i[k]);
        }
        break;
    case XFC_REP_I:
        for (uint32_t k = 0; k < n; k++) {
            if (r == XFC_REP_I)
                out.i[k] = xfc_dtype_wrap(to, in.i[k]);
            else
                out.i[k] = from_double(to, r == XFC_REP_F ? (double)in.f[k] : in.d[k]);
        }
        break;
    }
}

void xfc_lanes_spread(xfc_rep rep, uint32_t n, xfc_lanes x) {
    for (uint32_t k = 1; rep == XFC_REP_F && k < n; k++) x.f[k] = x.f[0];
    for (uint32_t k = 1; rep == XFC_REP_D && k < n; k++) x.d[k] = x.d[0];
    for (uint32_t k = 1; rep == XFC_REP_I && k < n; k++) x.i[k] = x.i[0];
}

/* --- memory --- */

/* One loop a type; AT(k) is the offset of lane k. */
#define LOAD_ALL(AT)                                                                                                   \
    switch (t) {                                                                                                       \
    case XFC_F32:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.f[k] = ((const float *)data)[AT(k)];                                      \
        break;                                                                                                         \
    case XFC_F64:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.d[k] = ((const double *)data)[AT(k)];                                     \
        break;                                                                                                         \
    case XFC_F16:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.f[k] = xfc_half_to_float(((const uint16_t *)data)[AT(k)]);                \
        break;                                                                                                         \
    case XFC_BF16:                                                                                                     \
        for (uint32_t k = 0; k < n; k++) out.f[k] = xfc_bfloat_to_float(((const uint16_t *)data)[AT(k)]);              \
        break;                                                                                                         \
    case XFC_I8:                                                                                                       \
    case XFC_CASES_I4:                                                                                                 \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const int8_t *)data)[AT(k)];                                     \
        break;                                                                                                         \
    case XFC_I16:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const int16_t *)data)[AT(k)];                                    \
        break;                                                                                                         \
    case XFC_I32:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const int32_t *)data)[AT(k)];                                    \
        break;                                                                                                         \
    case XFC_I64:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const int64_t *)data)[AT(k)];                                    \
        break;                                                                                                         \
    case XFC_U8:                                                                                                       \
    case XFC_CASES_U4:                                                                                                 \
    case XFC_CASES_CODE:                                                                                               \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const uint8_t *)data)[AT(k)];                                    \
        break;                                                                                                         \
    case XFC_U16:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const uint16_t *)data)[AT(k)];                                   \
        break;                                                                                                         \
    case XFC_U32:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const uint32_t *)data)[AT(k)];                                   \
        break;                                                                                                         \
    case XFC_U64:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) out.i[k] = (int64_t)((const uint64_t *)data)[AT(k)];                          \
        break;                                                                                                         \
    case XFC_BOOL:                                                                                                     \
        for (uint32_t k = 0; k < n; k++) out.i[k] = ((const uint8_t *)data)[AT(k)] != 0;                               \
        break;                                                                                                         \
    case XFC_CASES_PACKED:                                                                                             \
    case XFC_DTYPE_COUNT: break;                                                                                       \
    }
#define STORE_ALL(AT)                                                                                                  \
    switch (t) {                                                                                                       \
    case XFC_F32:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) ((float *)data)[AT(k)] = in.f[k];                                             \
        break;                                                                                                         \
    case XFC_F64:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) ((double *)data)[AT(k)] = in.d[k];                                            \
        break;                                                                                                         \
    case XFC_F16:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) ((uint16_t *)data)[AT(k)] = xfc_float_to_half(in.f[k]);                       \
        break;                                                                                                         \
    case XFC_BF16:                                                                                                     \
        for (uint32_t k = 0; k < n; k++) ((uint16_t *)data)[AT(k)] = xfc_float_to_bfloat(in.f[k]);                     \
        break;                                                                                                         \
    case XFC_I8:                                                                                                       \
    case XFC_U8:                                                                                                       \
    case XFC_CASES_I4:                                                                                                 \
    case XFC_CASES_U4:                                                                                                 \
    case XFC_CASES_CODE:                                                                                               \
    case XFC_BOOL:                                                                                                     \
        for (uint32_t k = 0; k < n; k++) ((uint8_t *)data)[AT(k)] = (uint8_t)in.i[k];                                  \
        break;                                                                                                         \
    case XFC_I16:                                                                                                      \
    case XFC_U16:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) ((uint16_t *)data)[AT(k)] = (uint16_t)in.i[k];                                \
        break;                                                                                                         \
    case XFC_I32:                                                                                                      \
    case XFC_U32:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) ((uint32_t *)data)[AT(k)] = (uint32_t)in.i[k];                                \
        break;                                                                                                         \
    case XFC_I64:                                                                                                      \
    case XFC_U64:                                                                                                      \
        for (uint32_t k = 0; k < n; k++) ((uint64_t *)data)[AT(k)] = (uint64_t)in.i[k];                                \
        break;                                                                                                         \
    case XFC_CASES_PACKED:                                                                                             \
    case XFC_DTYPE_COUNT: break;                                                                                       \
    }
#define AT_ROW(k) (at + (k))
#define AT_LINE(k) (at + stride * (int64_t)(k))
#define AT_LIST(k) (at[k])

void xfc_lanes_load(xfc_dtype t, uint32_t n, xfc_lanes out, const void *data, int64_t at, int64_t stride) {
    if (stride == 1) {
        LOAD_ALL(AT_ROW)
    } else {
        LOAD_ALL(AT_LINE)
    }
}

void xfc_lanes_load_at(xfc_dtype t, uint32_t n, xfc_lanes out, const void *data, const int64_t *at) {
    LOAD_ALL(AT_LIST)
}

void xfc_lanes_store(xfc_dtype t, uint32_t n, xfc_lanes in, void *data, int64_t at, int64_t stride) {
    if (stride == 1) {
        STORE_ALL(AT_ROW)
    } else {
        STORE_ALL(AT_LINE)
    }
}

void xfc_lanes_store_at(xfc_dtype t, uint32_t n, xfc_lanes in, void *data, const int64_t *at) { STORE_ALL(AT_LIST) }

/* --- accumulators --- */

static double acc_double(xfc_scalar_op op, double a, double b) {
    if (op == XFC_S_ADD) return a + b;
    if (op == XFC_S_MUL) return a * b;
    return op == XFC_S_MIN ? fmin_d(a, b) : fmax_d(a, b);
}

void xfc_acc_start(xfc_scalar_op op, xfc_dtype t, uint32_t n, xfc_lanes acc) {
    bool is_float = xfc_dtype_is_float(t);
    double f = is_float ? xfc_combine_identity_f(op) : 0;
    int64_t i = is_float ? 0 : xfc_combine_identity_i(op, t);
    for (uint32_t k = 0; is_float && k < n; k++) acc.d[k] = f;
    for (uint32_t k = 0; !is_float && k < n; k++) acc.i[k] = i;
}

void xfc_acc_add(xfc_scalar_op op, xfc_dtype t, uint32_t n, xfc_lanes acc, xfc_lanes value) {
    xfc_rep rep = xfc_rep_of(t);
    if (rep == XFC_REP_I)
        int_op(op, t, n, acc.i, acc.i, value.i);
    else if (rep == XFC_REP_F && op == XFC_S_ADD)
        for (uint32_t k = 0; k < n; k++) acc.d[k] += (double)value.f[k];
    else if (rep == XFC_REP_F)
        for (uint32_t k = 0; k < n; k++) acc.d[k] = acc_double(op, acc.d[k], (double)value.f[k]);
    else
        for (uint32_t k = 0; k < n; k++) acc.d[k] = acc_double(op, acc.d[k], value.d[k]);
}

void xfc_acc_fold(xfc_scalar_op op, xfc_dtype t, uint32_t n, xfc_lanes acc) {
    bool is_float = xfc_dtype_is_float(t);
    for (uint32_t k = 1; k < n; k++) {
        if (is_float)
            acc.d[0] = acc_double(op, acc.d[0], acc.d[k]);
        else
            int_op(op, t, 1, acc.i, acc.i, acc.i + k);
    }
}

void xfc_acc_finish(xfc_dtype t, uint32_t n, xfc_lanes out, xfc_lanes acc) {
    xfc_dtype wide = xfc_dtype_is_float(t) ? XFC_F64 : t;
    xfc_lanes_cast(t, wide, n, out, acc);
}

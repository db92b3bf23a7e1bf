/* scalars.c - every row of scalar.def on every type it allows, broadcasting, and every pair of types of cast, against
 * C. */
#include "tests/table/table.h"

#include <math.h>

typedef struct {
    const char *name;
    char operands;
} row;
static const row rows[] = {
#define XFC_SCALAR(id, name, arity, operands, ...) {name, #operands[0]},
#include "ir/ops/scalar.def"
#undef XFC_SCALAR
};

static bool allowed(char class, xfc_dtype t) {
    bool is_stored = xfc_dtype_is_stored(t), f = !is_stored && xfc_dtype_is_float(t),
         i = !is_stored && xfc_dtype_is_int(t);
    return class == 'A' || (class == 'F' && f) || (class == 'N' && (f || i)) || (class == 'I' && i) ||
           (class == 'L' && (i || t == XFC_BOOL));
}

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static double python_mod(double a, double b) {
    double r = fmod(a, b); /* NaN for an infinite dividend */
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static double float_reference(const char *n, double a, double b, double c) {
    if (is(n, "add")) return a + b;
    if (is(n, "sub")) return a - b;
    if (is(n, "mul")) return a * b;
    if (is(n, "div")) return a / b;
    if (is(n, "mod")) return python_mod(a, b);
    if (is(n, "fmod")) return fmod(a, b);
    if (is(n, "min")) return isnan(a) || isnan(b) ? (double)NAN : fmin(a, b);
    if (is(n, "max")) return isnan(a) || isnan(b) ? (double)NAN : fmax(a, b);
    if (is(n, "fma")) return fma(a, b, c);
    if (is(n, "neg")) return -a;
    if (is(n, "abs")) return fabs(a);
    if (is(n, "sign")) return isnan(a) ? a : (double)((a > 0) - (a < 0));
    if (is(n, "sqrt")) return sqrt(a);
    if (is(n, "floor")) return floor(a);
    if (is(n, "ceil")) return ceil(a);
    if (is(n, "round")) return nearbyint(a);
    if (is(n, "exp")) return exp(a);
    if (is(n, "log")) return log(a);
    if (is(n, "erf")) return erf(a);
    if (is(n, "tanh")) return tanh(a);
    if (is(n, "sigmoid")) return 1 / (1 + exp(-a));
    if (is(n, "sin")) return sin(a);
    if (is(n, "cos")) return cos(a);
    if (is(n, "atan")) return atan(a);
    if (is(n, "pow")) return pow(a, b);
    if (is(n, "eq")) return a == b;
    if (is(n, "ne")) return a != b;
    if (is(n, "lt")) return a < b;
    if (is(n, "le")) return a <= b;
    if (is(n, "gt")) return a > b;
    if (is(n, "ge")) return a >= b;
    if (is(n, "isnan")) return isnan(a) != 0;
    if (is(n, "isinf")) return isinf(a) != 0;
    test_check(false, __FILE__, __LINE__, n);
    return 0;
}

static int64_t power(int64_t a, int64_t b, bool is_signed) {
    uint64_t r = 1;
    if (is_signed && b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    if (b == 0 || a == 1) return 1;
    if (a == 0) return 0;
    for (uint64_t i = (uint64_t)b % (UINT64_C(1) << 62); i > 0; i >>= 1) {
        uint64_t square = (uint64_t)a * (uint64_t)a;
        r *= i & 1 ? (uint64_t)a : 1;
        a = (int64_t)square;
    }
    return (int64_t)r; /* exponents of 2^62 and more contribute a^(2^62): 1 for odd a, 0 for even a */
}

static int64_t unsigned_reference(const char *n, uint64_t a, uint64_t b) {
    if (is(n, "div")) return b ? (int64_t)(a / b) : 0;
    if (is(n, "mod") || is(n, "fmod")) return b ? (int64_t)(a % b) : 0;
    if (is(n, "min")) return (int64_t)(a < b ? a : b);
    if (is(n, "max")) return (int64_t)(a > b ? a : b);
    if (is(n, "abs")) return (int64_t)a;
    if (is(n, "sign")) return a > 0;
    if (is(n, "lt")) return a < b;
    if (is(n, "le")) return a <= b;
    if (is(n, "gt")) return a > b;
    if (is(n, "ge")) return a >= b;
    test_check(false, __FILE__, __LINE__, n);
    return 0;
}

/* Operations on bits, of which bool has one; false: this is none. */
static bool bit_reference(const char *n, xfc_dtype t, int64_t a, int64_t b, int64_t *out) {
    int64_t bits = t == XFC_BOOL ? 1 : 8 * (int64_t)xfc_dtype_bytes(t);
    uint64_t all = UINT64_MAX >> (64 - bits), x = (uint64_t)a & all;
    bool inside = b >= 0 && b < bits;
    if (is(n, "and")) return *out = a & b, true;
    if (is(n, "or")) return *out = a | b, true;
    if (is(n, "xor")) return *out = a ^ b, true;
    if (is(n, "not")) return *out = (int64_t)(all - x), true;
    if (is(n, "shl")) return *out = inside ? (int64_t)(x << b) : 0, true;
    if (is(n, "shr")) return *out = inside ? (int64_t)(x >> b) : 0, true;
    return false;
}

static int64_t int_reference(const char *n, int64_t a, int64_t b, bool is_signed) {
    bool least = b == -1; /* the quotient may not fit */
    if (is(n, "add")) return (int64_t)((uint64_t)a + (uint64_t)b);
    if (is(n, "sub")) return (int64_t)((uint64_t)a - (uint64_t)b);
    if (is(n, "mul")) return (int64_t)((uint64_t)a * (uint64_t)b);
    if (is(n, "neg")) return (int64_t)(0 - (uint64_t)a);
    if (is(n, "pow")) return power(a, b, is_signed);
    if (is(n, "eq")) return a == b;
    if (is(n, "ne")) return a != b;
    if (!is_signed) return unsigned_reference(n, (uint64_t)a, (uint64_t)b);
    if (is(n, "div")) return b == 0 ? 0 : least ? (int64_t)(0 - (uint64_t)a) : a / b;
    if (is(n, "fmod")) return b == 0 || least ? 0 : a % b;
    if (is(n, "mod")) return b == 0 || least ? 0 : a % b == 0 || (a < 0) == (b < 0) ? a % b : a % b + b;
    if (is(n, "min")) return a < b ? a : b;
    if (is(n, "max")) return a > b ? a : b;
    if (is(n, "abs")) return a < 0 ? (int64_t)(0 - (uint64_t)a) : a;
    if (is(n, "sign")) return a > 0 ? 1 : a < 0 ? -1 : 0;
    if (is(n, "lt")) return a < b;
    if (is(n, "le")) return a <= b;
    if (is(n, "gt")) return a > b;
    if (is(n, "ge")) return a >= b;
    test_check(false, __FILE__, __LINE__, n);
    return 0;
}

static int64_t broadcast_at(const xfc_array *in, const xfc_array *out, const int64_t *index) {
    int64_t at = 0;
    for (uint32_t d = 0; d < in->rank; d++)
        at = at * in->dim[d] + (in->dim[d] == 1 ? 0 : index[d + out->rank - in->rank]);
    return at;
}

static void compare(table *t, const char *name, uint32_t arity) {
    int64_t index[XFC_MAX_RANK];
    bool ok = true, select = is(name, "select");
    xfc_dtype type = t->in[select ? 1 : 0].dtype;
    bool is_float = xfc_dtype_is_float(type);
    if (!table_first(&t->out, index)) return;
    do {
        int64_t at = table_at(&t->out, index), i[3] = {0, 0, 0};
        double f[3] = {0, 0, 0};
        for (uint32_t k = 0; k < arity; k++) {
            int64_t from = broadcast_at(&t->in[k], &t->out, index);
            f[k] = table_f(&t->in[k], from);
            i[k] = is_float ? 0 : table_i(&t->in[k], from);
            if (select && k == 0) i[0] = table_i(&t->in[0], from);
        }
        if (select) {
            uint32_t k = i[0] ? 1 : 2;
            ok = table_same_bits(t, at, &t->in[k], broadcast_at(&t->in[k], &t->out, index));
        } else if (is_float && t->out.dtype != XFC_BOOL) {
            double want = float_reference(name, f[0], f[1], f[2]);
            if (type != XFC_F64 && is(name, "div")) want = (double)((float)f[0] / (float)f[1]); /* f16: rounded twice */
            ok = table_same(t, at, want, type == XFC_F32 || type == XFC_F64 ? 4 : 1, 0);
        } else if (!is_float && bit_reference(name, type, i[0], i[1], &i[2])) {
            ok = table_same_int(t, at, i[2]);
        } else {
            ok = table_same_int(t, at,
                                is_float ? (int64_t)float_reference(name, f[0], f[1], f[2])
                                         : int_reference(name, i[0], i[1], xfc_dtype_class(type) == XFC_CLASS_SINT));
        }
    } while (ok && table_step(&t->out, index));
}

static void one_map(table *t, xfc_opcode code, const row *r, xfc_dtype dtype) {
    uint32_t arity = (uint32_t)xfc_ops[code].n_in, rank = (uint32_t)test_between(&t->seed, 0, 3);
    int64_t full[3];
    table_next(t, r->name);
    for (uint32_t d = 0; d < rank; d++) full[d] = table_extent(t);
    if (rank == 3) full[test_between(&t->seed, 0, 2)] = 2;
    for (uint32_t k = 0; k < arity; k++) {
        int64_t dim[3];
        uint32_t mine = k == 0 ? rank : (uint32_t)test_between(&t->seed, 0, rank);
        for (uint32_t d = 0; d < mine; d++) dim[d] = k && test_between(&t->seed, 0, 2) == 0 ? 1 : full[rank - mine + d];
        if (k == 0 && rank && arity > 1 && test_between(&t->seed, 0, 3) == 0) dim[0] = 1;
        table_operand(t, is(r->name, "select") && k == 0 ? XFC_BOOL : dtype, mine, dim, true);
    }
    if (CHECK(table_run(t, code, NULL, 0))) compare(t, r->name, arity);
}

static void maps(table *t) {
    for (size_t k = 0; k < XFC_COUNT(rows); k++) {
        xfc_opcode code;
        if (!CHECK(xfc_opcode_from_name(rows[k].name, &code))) continue;
        for (unsigned dtype = 0; dtype < XFC_DTYPE_COUNT; dtype++) {
            bool is_code = xfc_dtype_is_code((xfc_dtype)dtype);
            if (xfc_dtype_is_packed((xfc_dtype)dtype) ? false
                : is_code                             ? is(rows[k].name, "select")
                                                      : allowed(rows[k].operands, (xfc_dtype)dtype)) {
                for (int i = 0; i < 6; i++) one_map(t, code, &rows[k], (xfc_dtype)dtype);
            } else { /* must be refused with a message */
                uint32_t errors = t->ctx->n_errors;
                table_next(t, rows[k].name);
                for (int32_t i = 0; i < xfc_ops[code].n_in; i++) table_operand(t, (xfc_dtype)dtype, 0, NULL, false);
                CHECK(!table_run(t, code, NULL, 0) && t->ctx->n_errors == errors + 1);
            }
        }
    }
}

/* By trying all: of two that are as near the even one; what is beyond the largest becomes that. */
static int64_t nearest_code(xfc_dtype t, float v) {
    uint8_t best = 0;
    double least = HUGE_VAL;
    if (isnan(v)) return xfc_minifloat_of(t)->nan;
    if (t == XFC_E8M0 && isinf(v)) return 0xff;
    if (t != XFC_E8M0) v = fmaxf(fminf(v, 1e6f), -1e6f); /* doubles tell all distances apart */
    for (uint32_t c = 0; c >> xfc_dtype_bits(t) == 0; c++) {
        double have = (double)xfc_code_to_float(t, (uint8_t)c), off = fabs(have - (double)v);
        if (t == XFC_E8M0) off = c == 0 ? (v == 0 ? 0 : 1e300) : have >= fabs((double)v) || c == 254 ? have : 1e300;
        bool other_zero = have == 0 && !signbit(have) != !signbit(v) && xfc_minifloat_of(t)->nan != 0x80;
        if (isnan(have) || isinf(have) || other_zero) continue;
        if (off < least || (off == least && !(c & 1) && (best & 1))) best = (uint8_t)c, least = off;
    }
    return best;
}

/* What a cast must give, by way of long double, which holds every value of every type exactly. */
static void check_cast(table *t, int64_t k) {
    const xfc_array *in = &t->in[0];
    xfc_dtype to = t->out.dtype;
    bool is_code = xfc_dtype_is_code(in->dtype);
    long double v = xfc_dtype_is_float(in->dtype) || is_code ? (long double)table_f(in, k)
                    : in->dtype == XFC_U64                   ? (long double)(uint64_t)table_i(in, k)
                                                             : (long double)table_i(in, k);
    if (in->dtype == to && is_code) {
        table_same_int(t, k, table_i(in, k));
    } else if (xfc_dtype_is_code(to)) {
        table_same_int(t, k, nearest_code(to, (float)v));
    } else if (xfc_dtype_is_float(to)) {
        table_same(t, k, (double)v, 1, 0);
    } else if (to == XFC_BOOL) {
        table_same_int(t, k, v != 0);
    } else if (!xfc_dtype_is_float(in->dtype) && !is_code) {
        table_same_int(t, k, table_i(in, k)); /* wraps */
    } else {
        bool is_signed = xfc_dtype_class(to) == XFC_CLASS_SINT;
        int bits = (int)xfc_dtype_bits(to);
        long double hi = ldexpl(1, is_signed ? bits - 1 : bits) - 1, lo = is_signed ? -ldexpl(1, bits - 1) : 0;
        v = isnan(v) ? 0 : v > hi ? hi : v < lo ? lo : truncl(v);
        table_same_int(t, k, v < 0 ? (int64_t)v : (int64_t)(uint64_t)v);
    }
}

static void casts(table *t) {
    static const double extra[] = {
        1e10, -1e10, 1e20, -1e20, 127.5, 128, -128.9, 255.99, 2147483648.0, 4294967296.0, 9223372036854775808.0};
    for (unsigned from = 0; from < XFC_UNPACKED_COUNT; from++) {
        for (unsigned to = 0; to < XFC_UNPACKED_COUNT; to++) {
            xfc_attr attr = xfc_attr_dtype(XFC_K_TO, (xfc_dtype)to);
            table_next(t, "cast");
            xfc_array *in = table_operand(t, (xfc_dtype)from, 2, (int64_t[]){3, 101}, true);
            for (size_t i = 0; i < XFC_COUNT(extra) && xfc_dtype_is_float((xfc_dtype)from); i++)
                table_set(in, (int64_t)i, extra[i], 0);
            if (!CHECK(table_run(t, XFC_OP_CAST, &attr, 1))) continue;
            for (int64_t k = 0; k < in->count; k++) check_cast(t, k);
        }
    }
}

/* Every pair of the values where remainders are decided by cases, random operands or not. */
static void remainders(table *t) {
    static const double edge[] = {0.0, -0.0, 1, -1, 2.5, -2.5, 7, -7, HUGE_VAL, -HUGE_VAL, (double)NAN};
    enum { N = XFC_COUNT(edge) };
    static const xfc_opcode code[] = {XFC_OP_MOD, XFC_OP_FMOD};
    for (unsigned dtype = 0; dtype < XFC_COMPUTED_COUNT; dtype++)
        for (size_t i = 0; i < XFC_COUNT(code) && xfc_dtype_is_float((xfc_dtype)dtype); i++) {
            table_next(t, xfc_ops[code[i]].name);
            xfc_array *a = table_operand(t, (xfc_dtype)dtype, 2, (int64_t[]){N, 1}, false);
            for (int64_t k = 0; k < N; k++) table_set(a, k, edge[k], 0);
            xfc_array *b = table_operand(t, (xfc_dtype)dtype, 1, (int64_t[]){N}, false);
            for (int64_t k = 0; k < N; k++) table_set(b, k, edge[k], 0);
            if (CHECK(table_run(t, code[i], NULL, 0))) compare(t, xfc_ops[code[i]].name, 2);
        }
}

/* Operands that cannot be joined are refused, statically or when the shapes are known. */
static void refusals(table *t) {
    table_next(t, "shapes that do not broadcast");
    table_operand(t, XFC_F32, 1, (int64_t[]){3}, false);
    table_operand(t, XFC_F32, 1, (int64_t[]){5}, false);
    bool dynamic = t->dynamic;
    t->dynamic = false;
    CHECK(!table_run(t, XFC_OP_ADD, NULL, 0));
    t->dynamic = dynamic;
    table_next(t, "types that differ");
    table_operand(t, XFC_F32, 0, NULL, false);
    table_operand(t, XFC_F64, 0, NULL, false);
    CHECK(!table_run(t, XFC_OP_ADD, NULL, 0));
}

int main(void) {
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        table t = table_new(dynamic);
        maps(&t);
        casts(&t);
        remainders(&t);
        refusals(&t);
        table_free(&t);
    }
    return test_end();
}

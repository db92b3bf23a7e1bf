/* guard.c - the predicates that rules.def may name, and what a splat is.
 *
 * A guard looks at bound values and the root; it changes nothing and records nothing.
 */
#include "passes/rewrite/rewrite.h"

#include <float.h>
#include <math.h>
#include <string.h>

static bool guard_int(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return xfc_dtype_is_int(v[0]->type.dtype);
}

static bool guard_float(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return xfc_dtype_is_float(v[0]->type.dtype);
}

static bool guard_signed(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return xfc_dtype_class(v[0]->type.dtype) != XFC_CLASS_UINT;
}

static bool guard_bool(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return v[0]->type.dtype == XFC_BOOL;
}

/* Not a constant: fold has the others. */
static bool guard_runtime(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return !xfc_value_is_const(v[0], NULL);
}

static bool guard_single_use(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return v[0]->uses && !v[0]->uses->next;
}

/* Rank 1, as long as the root's last axis. */
static bool guard_last_axis(const xfc_match *m, xfc_value *const *v) {
    const xfc_type *t = &v[0]->type, *root = &m->root->out[0].type;
    return t->rank == 1 && root->rank > 0 && xfc_int_same(t->dim[0], root->dim[root->rank - 1]);
}

static bool guard_matrix(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return v[0]->type.rank == 2;
}

static bool guard_scalar(const xfc_match *m, xfc_value *const *v) {
    const xfc_tensor *t;
    (void)m;
    return xfc_value_is_const(v[0], &t) && t->count == 1 && xfc_dtype_is_float(t->dtype);
}

/* Not negative and not NaN: what eps of a norm must be. */
static bool guard_eps(const xfc_match *m, xfc_value *const *v) {
    const xfc_tensor *t;
    return guard_scalar(m, v) && xfc_value_is_const(v[0], &t) && xfc_tensor_get_f(t, 0) >= 0;
}

/* Smallest normal number and largest power of two of a float type, as exponents. */
static void exponents(xfc_dtype dtype, int *lo, int *hi) {
    *lo = dtype == XFC_F64 ? -1022 : dtype == XFC_F16 ? -14 : -126;
    *hi = dtype == XFC_F64 ? 1023 : dtype == XFC_F16 ? 15 : 127;
}

/* Floats, each a power of two whose reciprocal is a normal number too: x / c and x * (1 / c) are then the same bits. */
static bool guard_pow2(const xfc_match *m, xfc_value *const *v) {
    const xfc_tensor *t;
    (void)m;
    if (!xfc_value_is_const(v[0], &t) || !xfc_dtype_is_float(t->dtype) || t->count == 0) return false;
    int lo, hi;
    exponents(t->dtype, &lo, &hi);
    for (int64_t i = 0; i < t->count; i++) {
        int e;
        double x = xfc_tensor_get_f(t, i);
        if (!isfinite(x) || fabs(frexp(x, &e)) != 0.5) return false;
        if (e - 1 < lo || 1 - e < lo || 1 - e > hi) return false;
    }
    return true;
}

static int significand(xfc_dtype t) { return t == XFC_F64 ? 53 : t == XFC_F32 ? 24 : t == XFC_F16 ? 11 : 8; }

bool xfc_dtype_embeds(xfc_dtype from, xfc_dtype to) {
    if (from == to) return true;
    if (xfc_dtype_is_code(from) || xfc_dtype_is_code(to)) return false;
    if (from == XFC_BOOL) return true;
    if (to == XFC_BOOL) return false;
    int from_bits = (int)xfc_dtype_bits(from), to_bits = (int)xfc_dtype_bits(to);
    bool from_signed = xfc_dtype_class(from) == XFC_CLASS_SINT;
    if (xfc_dtype_is_float(from)) {
        if (!xfc_dtype_is_float(to)) return false;
        return significand(to) >= significand(from) && !(from == XFC_BF16 && to == XFC_F16);
    }
    if (xfc_dtype_is_float(to)) return from_bits - from_signed <= significand(to);
    bool to_signed = xfc_dtype_class(to) == XFC_CLASS_SINT;
    if (from_signed && !to_signed) return false;
    return from_bits - from_signed <= to_bits - to_signed;
}

/* lossless(?m, ?x): casting ?x to the type of ?m loses nothing. */
static bool guard_lossless(const xfc_match *m, xfc_value *const *v) {
    (void)m;
    return xfc_dtype_embeds(v[1]->type.dtype, v[0]->type.dtype);
}

static const struct {
    const char *name;
    xfc_guard_fn *test;
    uint32_t n_args;
} guards[] = {
    {"int", guard_int, 1},
    {"float", guard_float, 1},
    {"signed", guard_signed, 1},
    {"bool", guard_bool, 1},
    {"runtime", guard_runtime, 1},
    {"single_use", guard_single_use, 1},
    {"last_axis", guard_last_axis, 1},
    {"matrix", guard_matrix, 1},
    {"scalar", guard_scalar, 1},
    {"eps", guard_eps, 1},
    {"pow2", guard_pow2, 1},
    {"lossless", guard_lossless, 2},
};

xfc_guard_fn *xfc_guard_find(const char *name, size_t n, uint32_t *n_args) {
    for (size_t i = 0; i < XFC_COUNT(guards); i++) {
        if (strlen(guards[i].name) != n || memcmp(guards[i].name, name, n) != 0) continue;
        *n_args = guards[i].n_args;
        return guards[i].test;
    }
    return NULL;
}

bool xfc_splat_value(const xfc_value *v, double *out) {
    for (uint32_t hops = 0; v->def && hops < 8; hops++) {
        const xfc_op *op = v->def;
        if (op->code == XFC_OP_CONST || op->code == XFC_OP_SPLAT) {
            return xfc_tensor_is_splat(xfc_op_attr(op, XFC_K_VALUE)->u.tensor, out);
        }
        if (op->code != XFC_OP_EXPAND && op->code != XFC_OP_RESHAPE) return false;
        v = op->in[0].value;
    }
    return false;
}

bool xfc_is_near(xfc_dtype dtype, double value, double wanted) {
    double ulp = dtype == XFC_F16 ? 0x1p-10 : 0x1p-7;
    double tolerance = dtype == XFC_F16 || dtype == XFC_BF16 ? 2 * ulp : 2e-5;
    return fabs(value - wanted) <= tolerance * fabs(wanted);
}

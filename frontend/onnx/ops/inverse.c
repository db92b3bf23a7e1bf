/* inverse.c - inverse trigonometric and hyperbolic functions, from atan and log.
 *
 * Each formula is as exact near 0 as elsewhere, and none overflows before its result does: differences of nearly equal
 * numbers are written as products, and log(1 + u) keeps what 1 + u rounds away. 16-bit floats pass through f32, so they
 * are rounded once.
 */
#include "frontend/onnx/import.h"

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }
static xfc_value *sum(xfc_node *n, xfc_value *a, xfc_value *b) { return op(n, XFC_OP_ADD, a, b); }
static xfc_value *product(xfc_node *n, xfc_value *a, xfc_value *b) { return op(n, XFC_OP_MUL, a, b); }
static xfc_value *root(xfc_node *n, xfc_value *a) { return xfc_n1(n, XFC_OP_SQRT, a); }
static xfc_value *either(xfc_node *n, xfc_value *test, xfc_value *yes, xfc_value *no) {
    return test && yes && no ? xfc_b_select(n->b, test, yes, no) : NULL;
}

static xfc_value *wide(xfc_node *n) {
    xfc_dtype t = n->in[0]->type.dtype;
    return xfc_b_cast(n->b, n->in[0], t == XFC_F16 || t == XFC_BF16 ? XFC_F32 : t);
}
static void finish(xfc_node *n, xfc_value *y) {
    if (y) n->out[0] = xfc_b_cast(n->b, y, n->in[0]->type.dtype);
}

/* 1 - x and 1 + x */
static xfc_value *below_one(xfc_node *n, xfc_value *x) { return op(n, XFC_OP_SUB, xfc_nf(n, x, 1), x); }
static xfc_value *above_one(xfc_node *n, xfc_value *x) { return with(n, XFC_OP_ADD, x, 1); }

void xfc_import_atan(xfc_node *n) { finish(n, xfc_n1(n, XFC_OP_ATAN, wide(n))); }

/* atan(x / sqrt((1 - x) (1 + x))), infinite at the ends. */
void xfc_import_asin(xfc_node *n) {
    xfc_value *x = wide(n), *adjacent = root(n, product(n, below_one(n, x), above_one(n, x)));
    finish(n, xfc_n1(n, XFC_OP_ATAN, op(n, XFC_OP_DIV, x, adjacent)));
}

/* 2 atan(sqrt((1 - x) / (1 + x))) */
void xfc_import_acos(xfc_node *n) {
    xfc_value *x = wide(n), *half = root(n, op(n, XFC_OP_DIV, below_one(n, x), above_one(n, x)));
    finish(n, with(n, XFC_OP_MUL, xfc_n1(n, XFC_OP_ATAN, half), 2));
}

static const double far = 1 << 24; /* from here on 1 + u is u */

/* log(1 + u): the logarithm of the rounded sum, times the part of u that the sum holds. */
static xfc_value *log_above_one(xfc_node *n, xfc_value *u) {
    xfc_value *w = above_one(n, u), *held = with(n, XFC_OP_SUB, w, 1), *log = xfc_n1(n, XFC_OP_LOG, w);
    xfc_value *part = either(n, with(n, XFC_OP_LT, u, far), op(n, XFC_OP_DIV, u, held), xfc_nf(n, u, 1));
    return either(n, with(n, XFC_OP_EQ, held, 0), u, product(n, log, part));
}

/* y with the sign of x, -0 included; x itself where it is 0. */
static xfc_value *signed_as(xfc_node *n, xfc_value *x, xfc_value *y) {
    xfc_value *flipped = either(n, with(n, XFC_OP_LT, x, 0), xfc_n1(n, XFC_OP_NEG, y), y);
    return either(n, with(n, XFC_OP_EQ, x, 0), x, flipped);
}

/* log(2 a) for what is so large that its square may not be one. */
static xfc_value *log_twice(xfc_node *n, xfc_value *a) {
    return with(n, XFC_OP_ADD, xfc_n1(n, XFC_OP_LOG, a), 0.69314718055994531);
}

/* log(1 + a + a^2 / (1 + sqrt(1 + a^2))) for a = |x| */
void xfc_import_asinh(xfc_node *n) {
    xfc_value *x = wide(n), *a = xfc_n1(n, XFC_OP_ABS, x), *square = product(n, a, a);
    xfc_value *more = op(n, XFC_OP_DIV, square, above_one(n, root(n, above_one(n, square))));
    xfc_value *near = log_above_one(n, sum(n, a, more));
    finish(n, signed_as(n, x, either(n, with(n, XFC_OP_LT, a, far), near, log_twice(n, a))));
}

/* log(1 + t + sqrt(2 t + t^2)) for t = x - 1 */
void xfc_import_acosh(xfc_node *n) {
    xfc_value *x = wide(n), *t = with(n, XFC_OP_SUB, x, 1);
    xfc_value *near = log_above_one(n, sum(n, t, root(n, product(n, t, above_one(n, x)))));
    finish(n, either(n, with(n, XFC_OP_LT, x, far), near, log_twice(n, x)));
}

/* log(1 + 2 a / (1 - a)) / 2 for a = |x| */
void xfc_import_atanh(xfc_node *n) {
    xfc_value *x = wide(n), *a = xfc_n1(n, XFC_OP_ABS, x);
    xfc_value *u = op(n, XFC_OP_DIV, with(n, XFC_OP_MUL, a, 2), below_one(n, a));
    finish(n, signed_as(n, x, with(n, XFC_OP_MUL, log_above_one(n, u), 0.5)));
}

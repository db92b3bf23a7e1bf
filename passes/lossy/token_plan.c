/* token_plan.c - one reduction of tokens is x' = T x (token_plan.h).
 *
 * All ways end in merge_tokens: what differs is where tokens go, and with what they come. A token that is dropped goes
 * nowhere. Where dropped ones are spread (after Token Transforming, arXiv 2506.05709), those that stay keep their own
 * mass, and get of each other one the share that a softmax over the cosines of its key with theirs gives them; all
 * shares of a token add up to its mass.
 */
#include "passes/lossy/token_plan.h"

#include <math.h>

typedef struct {
    xfc_builder *b;
    xfc_ctx *ctx;
    const xfc_token_plan *p;
    xfc_value *k, *x, *mass; /* mass: never NULL */
    xfc_int batch, n;
} maker;

static xfc_int constant(const maker *m, int64_t v) { return xfc_int_const(m->ctx, v); }

static xfc_value *binary(const maker *m, xfc_opcode code, xfc_value *a, xfc_value *b) {
    return xfc_b_binary(m->b, code, a, b);
}

static xfc_value *real(const maker *m, double v) { return xfc_b_scalar_f(m->b, XFC_F32, v); }

/* v [b, n] as [b, n, 1] or [b, 1, n]. */
static xfc_value *with_one(const maker *m, xfc_value *v, bool behind) {
    const xfc_int one = constant(m, 1), dim[3] = {m->batch, behind ? m->n : one, behind ? one : m->n};
    return v ? xfc_b_reshape(m->b, v, dim, 3) : NULL;
}

/* A row of n constants, the same for all of the batch. */
static xfc_value *row(const maker *m, xfc_dtype t, bool (*is)(const xfc_token_plan *, int64_t i)) {
    const int64_t dim[2] = {1, m->p->n};
    uint8_t *flag = xfc_tensor_alloc(m->ctx, XFC_BOOL, 2, dim);
    for (int64_t i = 0; i < m->p->n; i++) flag[i] = is(m->p, i);
    return xfc_b_cast(m->b, xfc_b_const(m->b, xfc_tensor_new(m->ctx, XFC_BOOL, 2, dim, flag, NULL)), t);
}

static bool is_protected(const xfc_token_plan *p, int64_t i) { return i < p->protect; }
static bool may_go(const xfc_token_plan *p, int64_t i) { return i >= p->protect && i % 2 == 0; }

static xfc_value *match(const maker *m) {
    const xfc_int goes = constant(m, m->p->goes);
    const xfc_attr how[2] = {xfc_attr_dims(XFC_K_SIZE, &goes, 1), xfc_attr_int(XFC_K_PROTECT, m->p->protect)};
    return m->k ? xfc_build(m->b, XFC_OP_MATCH_TOKENS, &m->k, 1, how, 2) : NULL;
}

static bool finish(const maker *m, xfc_value *x, xfc_value *to, xfc_value *mass, xfc_fewer_tokens *out) {
    const xfc_int stay = constant(m, m->p->n - m->p->goes);
    const xfc_attr size = xfc_attr_dims(XFC_K_SIZE, &stay, 1);
    if (!x || !to || !mass) return false;
    out->x = xfc_build(m->b, XFC_OP_MERGE_TOKENS, (xfc_value *[]){x, to, mass}, 3, &size, 1);
    if (!out->x) return false;
    out->mass = &out->x->def->out[1];
    return true;
}

/* --- spread --- */

xfc_value *xfc_token_directions(xfc_builder *b, xfc_value *k) {
    static const int64_t heads = 1, width = 2;
    const double shortest = 1.17549435082228750797e-38; /* of a length that is not 0 */
    if (!k) return NULL;
    xfc_value *mean = xfc_b_reduce(b, XFC_OP_REDUCE_MEAN, xfc_b_cast(b, k, XFC_F32), &heads, 1, false);
    xfc_value *square = xfc_b_reduce(b, XFC_OP_REDUCE_SUM, xfc_b_binary(b, XFC_OP_MUL, mean, mean), &width, 1, true);
    xfc_value *length = xfc_b_unary(b, XFC_OP_SQRT, square);
    length = xfc_b_binary(b, XFC_OP_MAX, length, xfc_b_scalar_f(b, XFC_F32, shortest));
    return xfc_b_binary(b, XFC_OP_DIV, mean, length);
}

/* Those that match_tokens has go stand at even positions and share a place with one at an odd position; these places
 * come last. */
static xfc_value *those_that_go(const maker *m, xfc_value *to) {
    int64_t odd = m->p->n / 2 - m->p->protect / 2, first = m->p->n - m->p->goes - odd;
    return binary(m, XFC_OP_AND, binary(m, XFC_OP_GE, to, xfc_b_scalar_i(m->b, XFC_I32, first)),
                  row(m, XFC_BOOL, may_go));
}

static bool transform(const maker *m, xfc_fewer_tokens *out) {
    static const int64_t swap[] = {0, 2, 1}, last = 2;
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, last);
    xfc_value *to = out->to = match(m), *goes = to ? those_that_go(m, to) : NULL,
              *unit = xfc_token_directions(m->b, m->k);
    xfc_value *place = xfc_b_select(m->b, goes, xfc_b_scalar_i(m->b, XFC_I32, -1), to);
    xfc_value *never = binary(m, XFC_OP_OR, goes, row(m, XFC_BOOL, is_protected));
    xfc_value *forbidden = xfc_b_select(m->b, never, real(m, -(double)INFINITY), real(m, 0));
    xfc_value *cosine = xfc_b_matmul(m->b, unit, xfc_b_transpose(m->b, unit, swap));
    xfc_value *scores = binary(m, XFC_OP_MUL, cosine, real(m, 1 / m->p->softness));
    scores = binary(m, XFC_OP_ADD, scores, with_one(m, forbidden, false));
    xfc_value *share = scores ? xfc_build(m->b, XFC_OP_SOFTMAX, &scores, 1, &axis, 1) : NULL;
    share = xfc_b_transpose(m->b, share, swap); /* [b, stays, goes] */
    xfc_value *moving = with_one(m, xfc_b_select(m->b, goes, m->mass, real(m, 0)), true);
    xfc_value *mass = binary(m, XFC_OP_ADD, with_one(m, m->mass, true), xfc_b_matmul(m->b, share, moving));
    xfc_value *x = binary(m, XFC_OP_MUL, m->x, with_one(m, m->mass, true));
    x = binary(m, XFC_OP_ADD, x, xfc_b_matmul(m->b, share, binary(m, XFC_OP_MUL, m->x, moving)));
    x = binary(m, XFC_OP_DIV, x, mass);
    const xfc_int dim[2] = {m->batch, m->n};
    return finish(m, x, place, mass ? xfc_b_reshape(m->b, mass, dim, 2) : NULL, out);
}

/* --- drop --- */

/* Attention that tokens get from the first, or from all where none is protected: the mean over heads and queries. */
static xfc_value *attention_to(const maker *m) {
    static const int64_t swap[] = {0, 1, 3, 2}, mean[2] = {1, 2}, last = 3;
    const xfc_op *op = m->p->attention;
    const xfc_type *t = &op->in[0].value->type;
    const xfc_int queries = m->p->protect ? constant(m, 1) : t->dim[2];
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, last);
    xfc_value *q = xfc_b_cast(m->b, xfc_b_slice_axis(m->b, op->in[0].value, 2, constant(m, 0), queries, 1), XFC_F32);
    xfc_value *k = xfc_b_cast(m->b, op->in[1].value, XFC_F32);
    xfc_value *scores = xfc_b_matmul(m->b, q, xfc_b_transpose(m->b, k, swap));
    scores = binary(m, XFC_OP_MUL, scores, real(m, xfc_op_float(op, XFC_K_SCALE, 1)));
    xfc_value *weights = scores ? xfc_build(m->b, XFC_OP_SOFTMAX, &scores, 1, &axis, 1) : NULL;
    xfc_int inner;
    if (!weights || !xfc_int_exact(m->ctx, t->dim[0], m->batch, &inner)) return NULL;
    const xfc_int dim[4] = {m->batch, xfc_int_mul(m->ctx, inner, t->dim[1]), queries, m->n};
    return xfc_b_reduce(m->b, XFC_OP_REDUCE_MEAN, xfc_b_reshape(m->b, weights, dim, 4), mean, 2, false);
}

/* The places of those that stay, in order; gone [b, n]: 1 where a token goes. */
static xfc_value *places(const maker *m, xfc_value *gone) {
    const xfc_attr how[2] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_int(XFC_K_EXCLUSIVE, 1)};
    xfc_value *stays = binary(m, XFC_OP_SUB, xfc_b_scalar_i(m->b, XFC_I32, 1), gone);
    xfc_value *before = stays ? xfc_build(m->b, XFC_OP_CUMSUM, &stays, 1, how, 2) : NULL;
    return xfc_b_select(m->b, xfc_b_cast(m->b, stays, XFC_BOOL), before, xfc_b_scalar_i(m->b, XFC_I32, -1));
}

static bool by_attention(const maker *m, xfc_fewer_tokens *out) {
    const xfc_int goes = constant(m, m->p->goes), dim[2] = {m->batch, m->n}, few[2] = {m->batch, goes};
    const xfc_attr how[3] = {xfc_attr_int(XFC_K_AXIS, 1), xfc_attr_dims(XFC_K_SIZE, &goes, 1),
                             xfc_attr_int(XFC_K_LARGEST, 0)};
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    xfc_value *worth = binary(m, XFC_OP_ADD, attention_to(m), row(m, XFC_F32, is_protected)); /* weights are below 1 */
    xfc_value *least = worth ? xfc_build(m->b, XFC_OP_TOP_K, &worth, 1, how, 3) : NULL;
    xfc_value *none = xfc_b_expand(m->b, xfc_b_scalar_i(m->b, XFC_I32, 0), dim, 2);
    xfc_value *ones = xfc_b_expand(m->b, xfc_b_scalar_i(m->b, XFC_I32, 1), few, 2);
    if (!least || !none || !ones) return false;
    xfc_value *in[3] = {none, &least->def->out[1], ones};
    xfc_value *gone = xfc_build(m->b, XFC_OP_SCATTER_ELEMENTS, in, 3, &axis, 1);
    return finish(m, m->x, out->to = places(m, gone), m->mass, out);
}

static uint32_t lot(const xfc_token_plan *p, int64_t i) {
    uint32_t h = (uint32_t)i * UINT32_C(2654435761) + p->seed * UINT32_C(40503);
    return (h ^ h >> 15) * UINT32_C(2246822519);
}

/* Those with the smallest lots; lots are different, since each step can be undone. */
static bool goes_by_lot(const xfc_token_plan *p, int64_t i) {
    int64_t before = 0;
    for (int64_t k = p->protect; k < p->n; k++) before += lot(p, k) < lot(p, i);
    return i >= p->protect && before < p->goes;
}

static bool by_lot(const maker *m, xfc_fewer_tokens *out) {
    const xfc_int dim[2] = {m->batch, m->n};
    xfc_value *gone = xfc_b_expand(m->b, row(m, XFC_I32, goes_by_lot), dim, 2);
    return finish(m, m->x, out->to = places(m, gone), m->mass, out);
}

bool xfc_tokens_reduce(xfc_builder *b, const xfc_token_plan *p, xfc_value *x, xfc_value *mass, xfc_fewer_tokens *out) {
    xfc_ctx *c = b->graph->ctx;
    xfc_value *k = p->attention->in[1].value;
    xfc_int inner;
    if (!xfc_int_exact(c, k->type.dim[0], x->type.dim[0], &inner)) return false;
    const xfc_int dim[4] = {x->type.dim[0], xfc_int_mul(c, inner, k->type.dim[1]), k->type.dim[2], k->type.dim[3]};
    xfc_value *weight = mass ? mass : xfc_b_expand(b, xfc_b_scalar_f(b, XFC_F32, 1), x->type.dim, 2);
    maker m = {b, c, p, xfc_b_reshape(b, k, dim, 4), x, weight, x->type.dim[0], x->type.dim[1]};
    if (!m.k || !m.mass) return false;
    switch (p->way) {
    case XFC_BY_MERGE: return finish(&m, x, out->to = match(&m), m.mass, out);
    case XFC_BY_TRANSFORM: return transform(&m, out);
    case XFC_BY_ATTENTION: return by_attention(&m, out);
    case XFC_BY_RANDOM: return by_lot(&m, out);
    }
    return false;
}

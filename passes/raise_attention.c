/* raise_attention.c - finds softmax(q @ k^T * scale + bias) @ v.
 *
 * Walks up from the last product: probabilities are a softmax over the last axis (or select(isnan(p), 0, p) of one);
 * scores are peeled, outermost first, of added biases, of selects of a fill, and of scaling by a constant; what remains
 * is q @ kt. Scales of q and of kt by constants join the scale; k is kt with its last two dims swapped back, which the
 * views pass merges into the transpose that made kt.
 *
 * Exactness. Scales are multiplied at compile time and applied once: s1 * (q * k) for (s1 * q) * k, a change of
 * rounding only. Biases are added to each other before they are added to the scores: rounding again.
 * select(mask, fill, s) becomes s + select(mask, fill, 0) only for fill = -inf, where both are -inf for finite s, and
 * for |fill| >= 1e30 in f32, f64 and bf16, where s + fill is fill to the last bit for every |s| < 1e20: scores are
 * products of normalised activations, and a model whose scores are larger has long lost them to rounding. Other fills
 * (-10000, -65504 in f16) would shift masked rows, so those stay unraised.
 *
 * Each peeled value must have no other use: attention weights that are wanted elsewhere must be computed anyhow. Dims
 * must be equal where attention wants them so; batch broadcasting stays a product. Rank 3 (batched products) gets one
 * head.
 */
#include "passes/rewrite.h"

#include <math.h>

enum { MAX_BIASES = 4, MAX_PEELS = 12 };

typedef struct {
    xfc_pass *pass;
    xfc_op *root;
    xfc_value *q, *kt, *v;
    xfc_type scores;
    xfc_value *bias[MAX_BIASES]; /* outermost first; of a select: the whole op, in is_fill */
    bool is_fill[MAX_BIASES];
    uint32_t n_biases;
    double scale;
    bool nan_to_zero;
} finder;

static bool is_op(const xfc_value *v, xfc_opcode code) { return v->def && v->def->code == code; }
static bool used_once(const xfc_value *v) { return v->uses && !v->uses->next; }

/* x * c, c * x or x / c with a finite c that is not 0: x, and the factor. */
static bool peel_scale(xfc_value **v, double *scale) {
    const xfc_op *op = (*v)->def;
    double c;
    if (!op || (op->code != XFC_OP_MUL && op->code != XFC_OP_DIV)) return false;
    for (uint32_t i = 0; i < 2; i++) {
        if (op->code == XFC_OP_DIV && i == 0) continue; /* c / x */
        xfc_value *other = op->in[1 - i].value;
        if (!xfc_splat_value(op->in[i].value, &c) || !isfinite(c) || c == 0) continue;
        if (!xfc_type_same(&other->type, &(*v)->type)) continue;
        *scale *= op->code == XFC_OP_DIV ? 1 / c : c;
        *v = other;
        return true;
    }
    return false;
}

/* Is it the scores, under more layers? Decides which operand of an add is the bias. */
static bool leads_to_product(const xfc_value *v) {
    for (uint32_t i = 0; i < MAX_PEELS && v->def; i++) {
        const xfc_op *op = v->def;
        if (op->code == XFC_OP_MATMUL) return true;
        double c;
        const xfc_value *next = NULL;
        if (op->code == XFC_OP_MUL || op->code == XFC_OP_DIV) {
            next = op->in[xfc_splat_value(op->in[0].value, &c) ? 1 : 0].value;
        } else if (op->code == XFC_OP_ADD) {
            bool first = xfc_type_same(&op->in[0].value->type, &v->type) && leads_to_product(op->in[0].value);
            next = op->in[first ? 0 : 1].value;
        } else if (op->code == XFC_OP_SELECT) {
            next = op->in[xfc_splat_value(op->in[1].value, &c) ? 2 : 1].value;
        }
        if (!next || !xfc_type_same(&next->type, &v->type)) return false;
        v = next;
    }
    return false;
}

static bool fill_absorbs(xfc_dtype dtype, double fill) {
    if (isinf(fill)) return fill < 0;
    return dtype != XFC_F16 && fabs(fill) >= 1e30;
}

/* add(s, bias), select(mask, fill, s), select(mask, s, fill) */
static bool peel_bias(finder *f, xfc_value **v) {
    const xfc_op *op = (*v)->def;
    if (!op || f->n_biases == MAX_BIASES) return false;
    bool add = op->code == XFC_OP_ADD;
    uint32_t first = add ? 0 : 1;
    double fill;
    if (!add && op->code != XFC_OP_SELECT) return false;
    for (uint32_t i = first; i < first + 2; i++) {
        xfc_value *scores = op->in[i].value, *other = op->in[2 * first + 1 - i].value;
        if (!xfc_type_same(&scores->type, &(*v)->type) || !leads_to_product(scores)) continue;
        if (!add && (!xfc_splat_value(other, &fill) || !fill_absorbs(other->type.dtype, fill))) continue;
        f->is_fill[f->n_biases] = !add;
        f->bias[f->n_biases++] = add ? other : *v;
        *v = scores;
        return true;
    }
    return false;
}

static bool find_probabilities(finder *f, xfc_value **v) {
    xfc_value *p = *v;
    double zero;
    if (!used_once(p)) return false;
    if (is_op(p, XFC_OP_SELECT)) {
        const xfc_op *op = p->def;
        xfc_value *soft = op->in[2].value;
        if (!is_op(op->in[0].value, XFC_OP_ISNAN) || op->in[0].value->def->in[0].value != soft) return false;
        if (!xfc_splat_value(op->in[1].value, &zero) || zero != 0) return false;
        if (!xfc_type_same(&soft->type, &p->type) || xfc_value_n_uses(soft) != 2 || !used_once(op->in[0].value))
            return false;
        f->nan_to_zero = true;
        p = soft;
    }
    if (!is_op(p, XFC_OP_SOFTMAX) || xfc_op_int(p->def, XFC_K_AXIS, 0) != (int64_t)p->type.rank - 1) return false;
    *v = p->def->in[0].value;
    return true;
}

static bool find_product(finder *f, xfc_value *scores) {
    f->scores = scores->type;
    f->scale = 1;
    for (uint32_t i = 0; i < MAX_PEELS; i++) {
        if (!used_once(scores)) return false;
        if (is_op(scores, XFC_OP_MATMUL)) break;
        /* A bias below the scaling would have to be scaled; only what is scaled before the biases is taken. */
        if (f->scale == 1 && peel_bias(f, &scores)) continue;
        if (!peel_scale(&scores, &f->scale)) return false;
    }
    if (!is_op(scores, XFC_OP_MATMUL) || !xfc_type_same(&scores->type, &f->scores)) return false;
    f->q = scores->def->in[0].value;
    f->kt = scores->def->in[1].value;
    while (used_once(f->q) && peel_scale(&f->q, &f->scale)) {}
    while (used_once(f->kt) && peel_scale(&f->kt, &f->scale)) {}
    return isfinite(f->scale) && f->scale != 0;
}

/* q [..., s, d], kt [..., d, t], v [..., t, e] with equal leading dims, and a product of that type. */
static bool dims_fit(const finder *f) {
    const xfc_type *q = &f->q->type, *kt = &f->kt->type, *v = &f->v->type;
    uint32_t r = q->rank;
    if ((r != 4 && r != 3) || kt->rank != r || v->rank != r || !xfc_dtype_is_float(q->dtype)) return false;
    for (uint32_t d = 0; d + 2 < r; d++) {
        if (!xfc_int_same(q->dim[d], kt->dim[d]) || !xfc_int_same(q->dim[d], v->dim[d])) return false;
    }
    return xfc_int_same(q->dim[r - 1], kt->dim[r - 2]) && xfc_int_same(kt->dim[r - 1], v->dim[r - 2]);
}

/* --- building --- */

/* One head: [b, s, t] to [b, 1, s, t]. Biases of rank 2 and less broadcast as they are. */
static xfc_value *with_head(xfc_builder *b, xfc_value *v, uint32_t rank) {
    if (!v || rank == 4 || v->type.rank < 3) return v;
    xfc_int dim[4] = {v->type.dim[0], xfc_int_const(b->graph->ctx, 1), v->type.dim[1], v->type.dim[2]};
    return xfc_b_reshape(b, v, dim, 4);
}

static xfc_value *transposed(xfc_builder *b, xfc_value *kt) {
    int64_t perm[XFC_MAX_RANK];
    uint32_t r = kt->type.rank;
    for (uint32_t d = 0; d < r; d++) perm[d] = d;
    perm[r - 2] = r - 1;
    perm[r - 1] = r - 2;
    while (used_once(kt) && is_op(kt, XFC_OP_TRANSPOSE)) {
        const int64_t *below = xfc_op_attr(kt->def, XFC_K_PERM)->u.ints;
        for (uint32_t d = 0; d < r; d++) perm[d] = below[perm[d]];
        kt = kt->def->in[0].value;
    }
    bool identity = true;
    for (uint32_t d = 0; d < r; d++) identity &= perm[d] == d;
    return identity ? kt : xfc_b_transpose(b, kt, perm);
}

/* select(mask, fill, s) as what is added to s. */
static xfc_value *fill_bias(xfc_builder *b, const xfc_value *select) {
    const xfc_op *op = select->def;
    double fill;
    bool filled_first = xfc_splat_value(op->in[1].value, &fill) && fill_absorbs(select->type.dtype, fill);
    if (!filled_first && !xfc_splat_value(op->in[2].value, &fill)) return NULL;
    xfc_value *value = xfc_b_scalar_f(b, select->type.dtype, fill), *zero = xfc_b_scalar_f(b, select->type.dtype, 0);
    return xfc_b_select(b, op->in[0].value, filled_first ? value : zero, filled_first ? zero : value);
}

static xfc_value *strip_expand(xfc_value *v) {
    while (is_op(v, XFC_OP_EXPAND)) v = v->def->in[0].value;
    return v;
}

/* Innermost first, as the scores met them. NULL if there is none. */
static xfc_value *build_bias(const finder *f, xfc_builder *b) {
    xfc_value *sum = NULL;
    for (uint32_t i = f->n_biases; i > 0; i--) {
        xfc_value *v = f->is_fill[i - 1] ? fill_bias(b, f->bias[i - 1]) : strip_expand(f->bias[i - 1]);
        sum = sum ? xfc_b_binary(b, XFC_OP_ADD, sum, v) : v;
    }
    return sum;
}

static bool build(finder *f) {
    xfc_op *root = f->root;
    xfc_builder b = {.graph = f->pass->graph, .before = root, .loc = root->loc};
    uint32_t rank = f->q->type.rank, n = f->n_biases > 0 ? 4 : 3;
    xfc_value *in[4] = {f->q, transposed(&b, f->kt), f->v, build_bias(f, &b)};
    for (uint32_t i = 0; i < n; i++) {
        in[i] = with_head(&b, in[i], rank);
        if (!in[i]) return false;
    }
    xfc_attr attr[2] = {xfc_attr_float(XFC_K_SCALE, f->scale), xfc_attr_int(XFC_K_NAN_TO_ZERO, 1)};
    xfc_value *out = xfc_build(&b, XFC_OP_ATTENTION, in, n, attr, f->nan_to_zero ? 2 : 1);
    const xfc_type *type = &root->out[0].type;
    if (out) out = xfc_b_reshape(&b, out, type->dim, type->rank);
    if (!out) return false;
    xfc_value_replace(&root->out[0], out);
    xfc_sweep(f->pass->scratch, root);
    return true;
}

static bool raise_one(xfc_pass *pass, xfc_op *op) {
    finder f = {.pass = pass, .root = op, .v = op->in[1].value};
    xfc_value *at = op->in[0].value;
    if (!find_probabilities(&f, &at) || !find_product(&f, at) || !dims_fit(&f)) return false;
    uint32_t rank = f.scores.rank;
    xfc_type wanted = f.q->type;
    wanted.dim[rank - 1] = f.v->type.dim[rank - 1];
    return xfc_type_same(&wanted, &op->out[0].type) && build(&f);
}

bool xfc_raise_attention(xfc_pass *pass) {
    bool changed = false;
    xfc_foreach_op_safe(op, pass->graph) {
        if (op->code == XFC_OP_MATMUL) changed |= raise_one(pass, op);
    }
    return changed;
}

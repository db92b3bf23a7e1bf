/* raise_attention.c - finds softmax(q @ k^T * scale + bias) @ v.
 *
 * Walks up from the last product: probabilities are a softmax over the last axis (or select(isnan(p), 0, p) of one);
 * scores are peeled, outermost first, of added and subtracted biases, of selects of a fill, of scaling by a constant,
 * of one soft cap below those, c * tanh(s / c), of the largest of a row taken off it, which changes no weight, and of
 * reshapes that only regroup batch and heads ([b, h, s, t] and [b * h, s, t]); what remains is q @ kt. Scales of
 * q and of kt by constants join the scale; k is kt with its last two dims swapped back, which the views pass merges
 * into the transpose that made kt. A softmax over one column more than there are keys, of which the weights of the keys
 * are cut, has a sink: slice(softmax(x - max(x))) of x = concat(scores, sink), as GPT-OSS is written.
 *
 * One scale of its own for each head or query, as of cosine attention (Swin v2), is multiplied into q, below all biases.
 *
 * Exactness. Scales are multiplied at compile time and applied once: s1 * (q * k) for (s1 * q) * k, a change of
 * rounding only; a bias that was scaled along with the product is scaled by itself. Biases are added to each other
 * before they are added to the scores: rounding again. select(mask, fill, s) becomes s + select(mask, fill, 0) only for
 * fill = -inf, where both are -inf for finite s, and for |fill| >= 1e30 in f32, f64 and bf16, where s + fill is fill to
 * the last bit for every |s| < 1e20: scores are products of normalised activations, and a model whose scores are larger
 * has long lost them to rounding. Other fills (-10000, -65504 in f16) would shift masked rows, so those stay unraised.
 * Casts between f16 or bf16 and f32, which converters put around the softmax, are peeled where they widen on the way
 * down to the softmax and narrow behind it: all is computed in f32 then and rounded once, which leaves out roundings
 * and overflow of the model.
 *
 * Each peeled value must have no other use: attention weights that are wanted elsewhere must be computed anyhow. Dims
 * must be equal where attention wants them so, but one head of k or of v for all heads of q is expanded; batch
 * broadcasting stays a product. Rank 3 (batched products) gets batch
 * and heads from a layer of rank 4, or else one head. Rank 5 has its batch in two dims, as windows
 * of images have (Hiera). A mask for each window that is added between reshapes to rank 5 and back (Swin) is not peeled: its
 * sum with the bias of each head is as large as the scores, and the chain of steps takes no longer.
 */
#include "passes/rewrite/rewrite.h"

#include <math.h>

enum { MAX_BIASES = 4, MAX_PEELS = 12 };

/* What was added to the scores: a value, or (fill) the whole select. */
typedef struct {
    xfc_value *value;
    uint32_t rank; /* of the scores it was added to */
    double scale;  /* of the sum, above it */
    bool fill;
} bias_layer;

typedef struct {
    xfc_pass *pass;
    xfc_op *root;
    xfc_value *q, *kt, *v;
    xfc_value *sink;   /* NULL, or what broadcasts to a column of scores */
    xfc_value *factor; /* NULL, or a scale of its own for each head, of scores of this rank */
    uint32_t factor_rank;
    bool has_lead, has_windows;
    xfc_int lead[2];             /* batch and heads, once a layer of rank 4 or 5 was met */
    xfc_int windows[2];          /* the two dims of the batch, once one of rank 5 was met */
    bias_layer bias[MAX_BIASES]; /* outermost first */
    uint32_t n_biases;
    double scale, cap; /* cap: 0, or what the product's tanh is multiplied by */
    bool nan_to_zero;
    bool casts; /* some were peeled: compute in f32 */
} finder;

static bool is_op(const xfc_value *v, xfc_opcode code) { return v->def && v->def->code == code; }
static bool used_once(const xfc_value *v) { return v->uses && !v->uses->next; }

static bool same_two(const xfc_int *a, const xfc_int *b) {
    return xfc_int_same(a[0], b[0]) && xfc_int_same(a[1], b[1]);
}

/* Every layer of rank 4 or 5 must have the same batch and heads. */
static bool meet_lead(finder *f, const xfc_type *t) {
    xfc_int lead[2] = {t->dim[0], t->dim[1]};
    if (t->rank == 5) {
        if (f->has_windows && !same_two(f->windows, t->dim)) return false;
        f->has_windows = true;
        f->windows[0] = t->dim[0], f->windows[1] = t->dim[1];
        lead[0] = xfc_int_mul(f->pass->graph->ctx, t->dim[0], t->dim[1]), lead[1] = t->dim[2];
    }
    if (f->has_lead) return same_two(f->lead, lead);
    f->has_lead = true;
    f->lead[0] = lead[0], f->lead[1] = lead[1];
    return xfc_int_known(lead[0]);
}

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

/* x * c, c * x with a c for each head, or query. */
static bool peel_factor(finder *f, xfc_value **v) {
    const xfc_op *op = (*v)->def;
    if (!op || op->code != XFC_OP_MUL || f->factor || f->cap != 0) return false;
    for (uint32_t i = 0; i < 2; i++) {
        xfc_value *c = op->in[i].value, *x = op->in[1 - i].value;
        const uint32_t rank = c->type.rank;
        if (rank < 3 || !xfc_int_is(f->pass->graph->ctx, c->type.dim[rank - 1], 1)) continue;
        if (!xfc_type_same(&x->type, &(*v)->type)) continue;
        f->factor = c, f->factor_rank = x->type.rank;
        *v = x;
        return true;
    }
    return false;
}

static bool is_narrow(xfc_dtype t) { return t == XFC_F16 || t == XFC_BF16; }

/* A cast to f32 of less. */
static bool widens(const xfc_value *v) {
    return is_op(v, XFC_OP_CAST) && v->type.dtype == XFC_F32 && is_narrow(v->def->in[0].value->type.dtype);
}

static bool peel_cast(finder *f, xfc_value **v, bool widening) {
    bool narrows =
        is_op(*v, XFC_OP_CAST) && is_narrow((*v)->type.dtype) && (*v)->def->in[0].value->type.dtype == XFC_F32;
    if (widening ? !widens(*v) : !narrows) return false;
    f->casts = true;
    *v = (*v)->def->in[0].value;
    return true;
}

/* c * tanh(s): what is above is c, and s is s / c of a soft cap. Biases are added behind it. */
static bool peel_cap(finder *f, xfc_value **v) {
    if (!is_op(*v, XFC_OP_TANH) || f->cap != 0 || !(f->scale > 0) || !isfinite(f->scale)) return false;
    for (uint32_t i = 0; i < f->n_biases; i++)
        if (f->bias[i].scale != 1) return false;
    f->cap = f->scale;
    f->scale = 1;
    *v = (*v)->def->in[0].value;
    return true;
}

/* Is it the scores, under more layers? Decides which operand of an add is the bias. */
static bool leads_to_product(const xfc_value *v) {
    for (uint32_t i = 0; i < MAX_PEELS && v->def; i++) {
        const xfc_op *op = v->def;
        if (op->code == XFC_OP_MATMUL) return true;
        double c;
        const xfc_value *next = NULL;
        if (op->code == XFC_OP_RESHAPE || op->code == XFC_OP_TANH || widens(v)) {
            v = op->in[0].value;
            continue;
        }
        if (op->code == XFC_OP_MUL || op->code == XFC_OP_DIV) {
            next = op->in[xfc_splat_value(op->in[0].value, &c) ? 1 : 0].value;
        } else if (op->code == XFC_OP_ADD) {
            bool first = xfc_type_same(&op->in[0].value->type, &v->type) && leads_to_product(op->in[0].value);
            next = op->in[first ? 0 : 1].value;
        } else if (op->code == XFC_OP_SUB) {
            next = op->in[0].value;
        } else if (op->code == XFC_OP_SELECT) {
            next = op->in[xfc_splat_value(op->in[1].value, &c) ? 2 : 1].value;
        }
        if (!next || !xfc_type_same(&next->type, &v->type)) return false;
        v = next;
    }
    return false;
}

bool xfc_regroups_heads(const xfc_op *op) {
    if (op->code != XFC_OP_RESHAPE) return false;
    const xfc_type *from = &op->in[0].value->type, *to = &op->out[0].type;
    if (from->rank < 3 || from->rank > 4 || to->rank < 3 || to->rank > 4) return false;
    for (uint32_t d = 1; d <= 2; d++)
        if (!xfc_int_same(from->dim[from->rank - d], to->dim[to->rank - d])) return false;
    return true;
}

/* A reshape that leaves the last two dims alone. */
static bool peel_regroup(finder *f, xfc_value **v) {
    if (!(*v)->def || !xfc_regroups_heads((*v)->def)) return false;
    *v = (*v)->def->in[0].value;
    return (*v)->type.rank == 3 || meet_lead(f, &(*v)->type);
}

static bool fill_absorbs(xfc_dtype dtype, double fill) {
    if (isinf(fill)) return fill < 0;
    return dtype != XFC_F16 && fabs(fill) >= 1e30;
}

/* add(s, bias), sub(s, bias), select(mask, fill, s), select(mask, s, fill) */
static bool peel_bias(finder *f, xfc_value **v) {
    const xfc_op *op = (*v)->def;
    if (!op || f->n_biases == MAX_BIASES || f->cap != 0 || f->factor) return false;
    bool sub = op->code == XFC_OP_SUB, add = sub || op->code == XFC_OP_ADD;
    uint32_t first = add ? 0 : 1, end = sub ? 1 : first + 2;
    double fill;
    if (!add && op->code != XFC_OP_SELECT) return false;
    for (uint32_t i = first; i < end; i++) {
        xfc_value *scores = op->in[i].value, *other = op->in[2 * first + 1 - i].value;
        if (!xfc_type_same(&scores->type, &(*v)->type) || !leads_to_product(scores)) continue;
        if (!add && (!xfc_splat_value(other, &fill) || !fill_absorbs(other->type.dtype, fill))) continue;
        if (!add && f->scale != 1) continue; /* scaled, it might absorb no longer */
        f->bias[f->n_biases++] = (bias_layer){add ? other : *v, scores->type.rank, sub ? -f->scale : f->scale, !add};
        *v = scores;
        return true;
    }
    return false;
}

static xfc_value *strip_expand(xfc_value *v) {
    while (is_op(v, XFC_OP_EXPAND)) v = v->def->in[0].value;
    return v;
}

static bool is_softmax(const xfc_value *v) {
    return is_op(v, XFC_OP_SOFTMAX) && xfc_op_int(v->def, XFC_K_AXIS, 0) == (int64_t)v->type.rank - 1;
}

/* All but the last column. */
static bool leaves_last(const xfc_value *v) {
    if (!is_op(v, XFC_OP_SLICE) || v->type.rank != 4) return false;
    xfc_ctx *c = v->def->graph->ctx;
    const xfc_type *t = &v->def->in[0].value->type;
    for (uint32_t d = 0; d < 4; d++)
        if (!xfc_int_is(c, xfc_op_attr(v->def, XFC_K_START)->u.dims[d], 0) ||
            xfc_op_attr(v->def, XFC_K_STEP)->u.ints[d] != 1 ||
            !xfc_int_same(xfc_int_addc(c, v->type.dim[d], d == 3), t->dim[d]))
            return false;
    return true;
}

/* Is it the largest of each row of x, with a last dim of 1, and for nothing else? */
static bool is_largest_of_rows(const xfc_value *v, const xfc_value *x) {
    const uint32_t last = x->type.rank - 1;
    const xfc_value *max = is_op(v, XFC_OP_RESHAPE) && used_once(v) ? v->def->in[0].value : v;
    if (!used_once(max) || !is_op(max, XFC_OP_REDUCE_MAX) || max->def->in[0].value != x) return false;
    if (v->type.rank != x->type.rank || !xfc_int_is(v->def->graph->ctx, v->type.dim[last], 1)) return false;
    for (uint32_t d = 0; d < last; d++)
        if (!xfc_int_same(v->type.dim[d], x->type.dim[d])) return false;
    const xfc_attr *axes = xfc_op_attr(max->def, XFC_K_AXES);
    return axes && axes->n == 1 && axes->u.ints[0] == (int64_t)last;
}

/* x - max(x) of each row: x; else v itself. NULL: others use it, too. */
static xfc_value *below_shift(xfc_value *v) {
    const xfc_op *op = v->def;
    if (!used_once(v)) return NULL;
    if (!op || op->code != XFC_OP_SUB || !op->in[0].value->type.rank) return v;
    xfc_value *x = op->in[0].value;
    if (!is_largest_of_rows(op->in[1].value, x)) return v;
    return xfc_value_n_uses(x) == 2 ? x : NULL;
}

/* The weights of keys beside a sink: the scores without it. */
static bool peel_sink(finder *f, xfc_value **p) {
    xfc_value *soft = (*p)->def->in[0].value, *all;
    if (!leaves_last(*p) || !used_once(soft) || !is_softmax(soft)) return false;
    all = below_shift(soft->def->in[0].value);
    if (!all || !is_op(all, XFC_OP_CONCAT) || all->def->n_in != 2) return false;
    if (xfc_op_int(all->def, XFC_K_AXIS, 0) != 3) return false;
    xfc_value *sink = all->def->in[1].value;
    if (!xfc_int_is(f->pass->graph->ctx, sink->type.dim[3], 1)) return false;
    f->sink = strip_expand(sink);
    *p = all->def->in[0].value;
    return true;
}

static bool find_probabilities(finder *f, xfc_value **v) {
    xfc_value *p = *v;
    double zero;
    if ((p->type.rank == 4 || p->type.rank == 5) && !meet_lead(f, &p->type)) return false;
    while (used_once(p) && (peel_regroup(f, &p) || peel_cast(f, &p, false))) {}
    if (!used_once(p)) return false;
    if (is_op(p, XFC_OP_SLICE)) {
        *v = p;
        return peel_sink(f, v);
    }
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
    if (!is_softmax(p)) return false;
    *v = p->def->in[0].value;
    return true;
}

static bool find_product(finder *f, xfc_value *scores) {
    bool shifted = false; /* the largest is of it, too */
    f->scale = 1;
    for (uint32_t i = 0; i < MAX_PEELS; i++) {
        if (!shifted && !used_once(scores)) return false;
        if (is_op(scores, XFC_OP_MATMUL)) break;
        xfc_value *x = f->cap == 0 ? below_shift(scores) : NULL;
        shifted = x && x != scores;
        if (shifted)
            scores = x;
        else if (!peel_bias(f, &scores) && !peel_scale(&scores, &f->scale) && !peel_factor(f, &scores) &&
                 !peel_regroup(f, &scores) && !peel_cast(f, &scores, true) && !peel_cap(f, &scores))
            return false;
    }
    if (!is_op(scores, XFC_OP_MATMUL)) return false;
    f->q = scores->def->in[0].value;
    f->kt = scores->def->in[1].value;
    while (used_once(f->q) && peel_scale(&f->q, &f->scale)) {}
    while (used_once(f->kt) && peel_scale(&f->kt, &f->scale)) {}
    return isfinite(f->scale) && f->scale != 0;
}

/* Is its front batch and heads, apart or as one dim? */
static bool leads(const finder *f, const xfc_type *t) {
    xfc_ctx *c = f->pass->graph->ctx;
    if (t->rank == 5) return f->has_windows && same_two(f->windows, t->dim) && xfc_int_same(f->lead[1], t->dim[2]);
    if (t->rank == 4) return same_two(f->lead, t->dim);
    return t->rank == 3 && xfc_int_same(xfc_int_mul(c, f->lead[0], f->lead[1]), t->dim[0]);
}

/* One head for all. */
static bool is_shared(const finder *f, const xfc_type *t) {
    return t->rank == 4 && xfc_int_same(f->lead[0], t->dim[0]) && xfc_int_is(f->pass->graph->ctx, t->dim[1], 1);
}

/* q [..., s, d], kt [..., d, t], v [..., t, e] and the probabilities in front of v, all with the same batch and
 * heads. */
static bool dims_fit(finder *f) {
    const xfc_type *q = &f->q->type, *kt = &f->kt->type, *v = &f->v->type, *p = &f->root->in[0].value->type;
    if (!f->has_lead) {
        f->lead[0] = p->dim[0];
        f->lead[1] = xfc_int_const(f->pass->graph->ctx, 1);
    }
    if (!leads(f, q) || !leads(f, p) || !xfc_dtype_is_float(q->dtype)) return false;
    if ((!leads(f, kt) && !is_shared(f, kt)) || (!leads(f, v) && !is_shared(f, v))) return false;
    return xfc_int_same(q->dim[q->rank - 1], kt->dim[kt->rank - 2]) &&
           xfc_int_same(kt->dim[kt->rank - 1], v->dim[v->rank - 2]) &&
           xfc_int_same(q->dim[q->rank - 2], p->dim[p->rank - 2]);
}

/* --- building --- */

/* [b, w, h, s, t] as [b * w, h, s, t], also of what broadcasts to it: what has windows gets all batches. */
static xfc_value *with_windows(const finder *f, xfc_builder *b, xfc_value *v) {
    xfc_ctx *c = b->graph->ctx;
    const xfc_int one = xfc_int_const(c, 1);
    const uint32_t rank = v->type.rank;
    if (rank < 4) return v;
    xfc_int dim[5] = {rank == 5 ? v->type.dim[0] : one};
    for (uint32_t d = 1; d < 5; d++) dim[d] = v->type.dim[d + rank - 5];
    if (!xfc_int_is(c, dim[0], 1) || !xfc_int_is(c, dim[1], 1)) {
        const bool all = rank == 5 && same_two(f->windows, dim);
        dim[0] = f->windows[0], dim[1] = f->windows[1];
        if (!all) v = xfc_b_expand(b, v, dim, 5);
        dim[1] = f->lead[0];
    }
    return v ? xfc_b_reshape(b, v, dim + 1, 4) : NULL;
}

/* [b * h, s, t] as [b, h, s, t] and [1, s, t] as [1, 1, s, t]; what broadcasts along both stays. */
static xfc_value *with_lead(const finder *f, xfc_builder *b, xfc_value *v) {
    xfc_ctx *c = b->graph->ctx;
    if (v && v->type.rank == 5) return with_windows(f, b, v);
    if (!v || v->type.rank != 3) return v;
    bool all = !xfc_int_is(c, v->type.dim[0], 1);
    xfc_int one = xfc_int_const(c, 1);
    xfc_int dim[4] = {all ? f->lead[0] : one, all ? f->lead[1] : one, v->type.dim[1], v->type.dim[2]};
    return xfc_b_reshape(b, v, dim, 4);
}

/* k or v, with all heads. */
static xfc_value *with_heads(const finder *f, xfc_builder *b, xfc_value *v) {
    v = with_lead(f, b, v);
    if (!v || leads(f, &v->type)) return v;
    xfc_int dim[4] = {f->lead[0], f->lead[1], v->type.dim[2], v->type.dim[3]};
    return xfc_b_expand(b, v, dim, 4);
}

static xfc_value *transposed(xfc_builder *b, xfc_value *kt) {
    int64_t perm[XFC_MAX_RANK];
    uint32_t r = kt->type.rank;
    xfc_swap_last(perm, r);
    while (used_once(kt) && is_op(kt, XFC_OP_TRANSPOSE)) {
        const int64_t *below = xfc_op_attr(kt->def, XFC_K_PERM)->u.ints;
        for (uint32_t d = 0; d < r; d++) perm[d] = below[perm[d]];
        kt = kt->def->in[0].value;
    }
    bool identity = true;
    for (uint32_t d = 0; d < r; d++) identity &= perm[d] == d;
    return identity ? kt : xfc_b_transpose(b, kt, perm);
}

/* What meets scores of this rank as it meets those of rank 4. */
static xfc_value *of_four(const finder *f, xfc_builder *b, xfc_value *v, uint32_t rank) {
    if (!v || rank == 4) return v;
    return rank == 5 ? with_windows(f, b, v) : with_lead(f, b, v);
}

/* select(mask, fill, s) as what is added to s: the fill, else what is added below it, or 0. */
static xfc_value *fill_bias(const finder *f, xfc_builder *b, const bias_layer *l, xfc_value *below) {
    const xfc_op *op = l->value->def;
    xfc_dtype dtype = f->casts ? XFC_F32 : l->value->type.dtype;
    double fill;
    bool filled_first = xfc_splat_value(op->in[1].value, &fill) && fill_absorbs(l->value->type.dtype, fill);
    if (!filled_first && !xfc_splat_value(op->in[2].value, &fill)) return NULL;
    xfc_value *value = xfc_b_scalar_f(b, dtype, fill), *other = below ? below : xfc_b_scalar_f(b, dtype, 0);
    xfc_value *mask = of_four(f, b, op->in[0].value, l->rank);
    return mask ? xfc_b_select(b, mask, filled_first ? value : other, filled_first ? other : value) : NULL;
}

static xfc_value *added_bias(const finder *f, xfc_builder *b, const bias_layer *l) {
    xfc_value *v = strip_expand(l->value);
    if (f->casts) v = xfc_b_cast(b, v, XFC_F32);
    if (v && l->scale != 1) v = xfc_b_binary(b, XFC_OP_MUL, v, xfc_b_scalar_f(b, v->type.dtype, l->scale));
    return of_four(f, b, v, l->rank);
}

/* Innermost first, as the scores met them. NULL if there is none. A fill above others replaces them (-inf below it
 * would not be what it was). What is added below a fill stays a term of its own and must be finite there, as scores
 * are. */
static xfc_value *build_bias(const finder *f, xfc_builder *b) {
    xfc_value *sum = NULL, *filled = NULL;
    for (uint32_t i = f->n_biases; i > 0; i--) {
        const bias_layer *l = &f->bias[i - 1];
        if (l->fill) {
            filled = fill_bias(f, b, l, filled);
            if (!filled) return NULL;
            continue;
        }
        xfc_value *v = added_bias(f, b, l);
        sum = sum ? xfc_b_binary(b, XFC_OP_ADD, sum, v) : v;
        if (!sum) return NULL;
    }
    return sum && filled ? xfc_b_binary(b, XFC_OP_ADD, filled, sum) : filled ? filled : sum;
}

static xfc_value *scaled_q(const finder *f, xfc_builder *b) {
    xfc_value *q = with_lead(f, b, f->q), *factor = f->factor ? of_four(f, b, f->factor, f->factor_rank) : NULL;
    if (q && f->casts) q = xfc_b_cast(b, q, XFC_F32);
    if (factor && f->casts) factor = xfc_b_cast(b, factor, XFC_F32);
    if (!f->factor || !q) return q;
    return factor ? xfc_b_binary(b, XFC_OP_MUL, q, factor) : NULL;
}

static bool build(finder *f) {
    xfc_op *root = f->root;
    xfc_builder b = {.graph = f->pass->graph, .before = root, .loc = root->loc};
    const bool is[6] = {true, true, true, f->n_biases > 0, false, f->sink != NULL};
    xfc_value *in[6] = {scaled_q(f, &b), with_heads(f, &b, transposed(&b, f->kt)), with_heads(f, &b, f->v),
                        build_bias(f, &b)};
    in[5] = f->sink;
    for (uint32_t i = 0; i < XFC_COUNT(in); i++) {
        if (is[i] && f->casts) in[i] = xfc_b_cast(&b, in[i], XFC_F32);
        if (is[i] && !in[i]) return false;
    }
    xfc_attr attr[3] = {xfc_attr_float(XFC_K_SCALE, f->cap > 0 ? f->scale * f->cap : f->scale)};
    uint32_t n_attr = 1;
    if (f->nan_to_zero) attr[n_attr++] = xfc_attr_int(XFC_K_NAN_TO_ZERO, 1);
    if (f->cap > 0) attr[n_attr++] = xfc_attr_float(XFC_K_SOFTCAP, f->cap);
    xfc_value *out = xfc_build_opt(&b, XFC_OP_ATTENTION, in, f->sink ? 6 : f->n_biases ? 4 : 3, attr, n_attr);
    const xfc_type *type = &root->out[0].type;
    if (out) out = xfc_b_cast(&b, xfc_b_reshape(&b, out, type->dim, type->rank), type->dtype);
    if (!out) return false;
    xfc_value_replace(&root->out[0], out);
    xfc_sweep(f->pass->scratch, root);
    return true;
}

static bool raise_one(xfc_pass *pass, xfc_op *op) {
    finder f = {.pass = pass, .root = op, .v = op->in[1].value};
    xfc_value *at = op->in[0].value;
    return find_probabilities(&f, &at) && find_product(&f, at) && dims_fit(&f) && build(&f);
}

bool xfc_raise_attention(xfc_pass *pass) {
    bool changed = false;
    xfc_foreach_op_safe(op, pass->graph) {
        if (op->code == XFC_OP_MATMUL) changed |= raise_one(pass, op);
    }
    return changed;
}

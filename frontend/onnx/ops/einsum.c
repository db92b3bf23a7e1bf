/* einsum.c - Einsum as transposes, products and sums.
 *
 * Operands are joined from the left. A label that only one of two operands has, and that is not needed later, is summed
 * first. What both have and nothing needs afterwards is contracted by one matmul, with the labels that both keep as its
 * batch dims; without such labels the join is an element-wise product. So "bqhd,bkhd->bhqk" is the matmul that
 * attention is recognised by, and "bsc,chd->bshd" with a weight is a linear layer.
 *
 * Labels are small numbers: letters first, then the dims under an ellipsis, counted from its right end. A dim of 1
 * broadcasts.
 */
#include "frontend/onnx/import.h"
#include <string.h>

enum { LETTERS = 52, LABELS = LETTERS + XFC_MAX_RANK, NO_ELLIPSIS = 255 };

typedef struct {
    xfc_value *v;
    uint8_t label[XFC_MAX_RANK];
} term; /* one label a dim of v */

typedef struct {
    uint8_t label[LETTERS + 1], n, ellipsis; /* letters as written; where the ellipsis stands among them */
} spelling;

typedef struct {
    xfc_node *n;
    uint32_t uses[LABELS]; /* operands still to be joined that have it, and the output */
} einsum;

static bool refuse(einsum *e, const char *why) {
    return xfc_node_fail(e->n, XFC_ERR_INPUT, "equation '%.200s' %s; export the model again",
                         xfc_node_str(e->n, "equation", ""), why),
           false;
}

/* --- the equation --- */

static int letter_number(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A'; /* in ASCII order, as an implicit output is sorted */
    return c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

static bool read_spelling(einsum *e, const char *text, size_t n, spelling *out) {
    *out = (spelling){.ellipsis = NO_ELLIPSIS};
    for (size_t i = 0; i < n; i++) {
        int letter = letter_number(text[i]);
        if (text[i] == ' ') continue;
        if (letter >= 0 && out->n < XFC_MAX_RANK) {
            out->label[out->n++] = (uint8_t)letter;
        } else if (n - i >= 3 && !memcmp(text + i, "...", 3) && out->ellipsis == NO_ELLIPSIS) {
            out->ellipsis = out->n;
            i += 2;
        } else {
            return refuse(e,
                          letter >= 0 ? "has more labels than a tensor can have dims" : "has an unexpected character");
        }
    }
    return true;
}

/* Labels of an operand or of the output that has `hidden` dims under its ellipsis. */
static uint32_t spread(const spelling *s, uint32_t hidden, uint8_t *label) {
    uint32_t k = 0;
    for (uint32_t i = 0; i <= s->n; i++) {
        for (uint32_t h = hidden; i == s->ellipsis && h-- > 0;) label[k++] = (uint8_t)(LETTERS + h);
        if (i < s->n) label[k++] = s->label[i];
    }
    return k;
}

static bool read_operand(einsum *e, const char *text, size_t n, uint32_t at, term *out) {
    spelling s;
    if (at >= e->n->n_in) return refuse(e, "has more operands than the node");
    out->v = e->n->in[at];
    uint32_t rank = out->v->type.rank;
    if (!read_spelling(e, text, n, &s)) return false;
    if (s.n > rank || (s.ellipsis == NO_ELLIPSIS && s.n != rank))
        return refuse(e, "has an operand of another rank than the tensor given");
    spread(&s, rank - s.n, out->label);
    return true;
}

/* What the output is without "->": the ellipsis, then letters that occur once. */
static void implicit_output(const einsum *e, spelling *out) {
    *out = (spelling){.ellipsis = 0};
    for (uint32_t l = 0; l < LETTERS; l++)
        if (e->uses[l] == 1) out->label[out->n++] = (uint8_t)l;
}

static bool read_output(einsum *e, const char *text, uint8_t *label, uint32_t *rank) {
    spelling s;
    uint32_t hidden = 0;
    while (LETTERS + hidden < LABELS && e->uses[LETTERS + hidden]) hidden++;
    if (!text)
        implicit_output(e, &s);
    else if (!read_spelling(e, text, strlen(text), &s))
        return false;
    if (hidden && s.ellipsis == NO_ELLIPSIS) return refuse(e, "has no ellipsis in its output");
    if (s.n + hidden > XFC_MAX_RANK) return refuse(e, "gives more dims than a tensor can have");
    *rank = spread(&s, hidden, label);
    for (uint32_t i = 0; i < *rank; i++) {
        if (!e->uses[label[i]]) return refuse(e, "has an output label that no operand has");
        for (uint32_t k = 0; k < i; k++)
            if (label[i] == label[k]) return refuse(e, "has an output label twice");
    }
    return true;
}

/* --- one operand --- */

static uint32_t find(const term *t, uint32_t label) {
    uint32_t i = 0;
    while (i < t->v->type.rank && t->label[i] != label) i++;
    return i;
}
static bool has(const term *t, uint32_t label) { return find(t, label) < t->v->type.rank; }

/* Axes in this order; they must be a permutation. */
static void permute(einsum *e, term *t, const int64_t *perm) {
    uint8_t label[XFC_MAX_RANK];
    bool same = true;
    uint32_t rank = t->v->type.rank;
    for (uint32_t i = 0; i < rank; i++) {
        label[i] = t->label[perm[i]];
        same = same && perm[i] == i;
    }
    memcpy(t->label, label, rank);
    if (!same) t->v = xfc_b_transpose(e->n->b, t->v, perm);
}

/* The axes with these labels, in this order, to the end; the others keep theirs in front. */
static void move_last(einsum *e, term *t, const uint8_t *label, uint32_t n) {
    int64_t perm[XFC_MAX_RANK];
    uint32_t rank = t->v->type.rank, k = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (!n || !memchr(label, t->label[i], n)) perm[k++] = i;
    for (uint32_t i = 0; i < n; i++) perm[k++] = find(t, label[i]);
    xfc_assert(k == rank);
    permute(e, t, perm);
}

/* Axes p and q, of one size n, become their diagonal, as the last axis: n * n elements and n more are n rows of n + 1,
 * whose first column it is. */
static bool take_diagonal(einsum *e, term *t, uint32_t p, uint32_t q) {
    xfc_ctx *c = e->n->ctx;
    xfc_builder *b = e->n->b;
    uint32_t rank = t->v->type.rank, k = 0;
    uint8_t label = t->label[p], rest[XFC_MAX_RANK];
    int64_t perm[XFC_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        if (i != p && i != q) rest[k] = t->label[i], perm[k++] = i;
    perm[k] = p;
    perm[k + 1] = q;
    xfc_int n = t->v->type.dim[p], other = t->v->type.dim[q], zero = xfc_int_const(c, 0), one = xfc_int_const(c, 1);
    if (xfc_int_eq(c, n, other) == 0) return refuse(e, "takes the diagonal of dims that are not equal");
    xfc_graph_require_equal(e->n->im->graph, n, other, e->n->loc);
    permute(e, t, perm);
    xfc_int dim[XFC_MAX_RANK], before[XFC_MAX_RANK], after[XFC_MAX_RANK];
    int64_t step[XFC_MAX_RANK];
    for (uint32_t i = 0; i <= k + 1; i++) {
        dim[i] = i < k ? t->v->type.dim[i] : n;
        before[i] = after[i] = zero;
        step[i] = 1;
    }
    dim[k] = xfc_int_mul(c, n, n);
    after[k] = n;
    xfc_attr pad[] = {xfc_attr_dims(XFC_K_BEFORE, before, k + 1), xfc_attr_dims(XFC_K_AFTER, after, k + 1)};
    xfc_value *v = xfc_b_reshape(b, t->v, dim, k + 1);
    v = xfc_build(b, XFC_OP_PAD, &v, 1, pad, 2);
    dim[k] = n;
    dim[k + 1] = xfc_int_addc(c, n, 1);
    v = xfc_b_reshape(b, v, dim, k + 2);
    dim[k + 1] = one;
    v = xfc_b_slice(b, v, before, dim, step);
    t->v = xfc_b_reshape(b, v, dim, k + 1);
    memcpy(t->label, rest, k);
    t->label[k] = label;
    return t->v != NULL;
}

static bool take_diagonals(einsum *e, term *t) {
    for (uint32_t p = 0; p < t->v->type.rank; p++)
        for (uint32_t q = p + 1; q < t->v->type.rank; q++)
            if (t->label[p] == t->label[q]) return take_diagonal(e, t, p, q) && take_diagonals(e, t);
    return true;
}

/* Sums over the labels that neither `other` nor anything later has. */
static bool sum_alone(einsum *e, term *t, const term *other) {
    int64_t axes[XFC_MAX_RANK];
    uint32_t n = 0, kept = 0;
    for (uint32_t i = 0; i < t->v->type.rank; i++) {
        if (e->uses[t->label[i]] || (other && has(other, t->label[i])))
            t->label[kept++] = t->label[i];
        else
            axes[n++] = i;
    }
    if (n) t->v = xfc_b_reduce(e->n->b, XFC_OP_REDUCE_SUM, t->v, axes, n, false);
    return t->v != NULL;
}

/* --- two operands --- */

typedef struct {
    uint8_t label[XFC_MAX_RANK];
    uint32_t n;
} labels;

static bool add_label(einsum *e, labels *set, uint8_t label) {
    if (set->n == XFC_MAX_RANK) return refuse(e, "has a product of more dims than a tensor can have");
    set->label[set->n++] = label;
    return true;
}

/* One size for a label that is summed over: where one side is 1, it is repeated. */
static bool match_contracted(einsum *e, term *a, term *b, const labels *contract) {
    xfc_ctx *c = e->n->ctx;
    for (uint32_t i = 0; i < contract->n; i++) {
        uint32_t p = find(a, contract->label[i]), q = find(b, contract->label[i]);
        term *t[2] = {a, b};
        xfc_int d[2] = {a->v->type.dim[p], b->v->type.dim[q]};
        uint32_t at[2] = {p, q};
        if (xfc_int_same(d[0], d[1])) continue;
        int narrow = xfc_int_is(c, d[0], 1) ? 0 : xfc_int_is(c, d[1], 1) ? 1 : -1;
        if (narrow < 0 && xfc_int_eq(c, d[0], d[1]) == 0) return refuse(e, "contracts dims that are not equal");
        if (narrow < 0) {
            xfc_graph_require_equal(e->n->im->graph, d[0], d[1], e->n->loc);
            continue;
        }
        xfc_type grown = t[narrow]->v->type;
        grown.dim[at[narrow]] = d[1 - narrow];
        t[narrow]->v = xfc_b_expand(e->n->b, t[narrow]->v, grown.dim, grown.rank);
    }
    return a->v && b->v;
}

/* The last `n` axes as one; none as one of size 1. */
static xfc_value *flatten_last(einsum *e, xfc_value *v, uint32_t n) {
    if (n == 1 || !v) return v;
    uint32_t front = v->type.rank - n;
    xfc_int dim[XFC_MAX_RANK + 1];
    for (uint32_t i = 0; i < front; i++) dim[i] = v->type.dim[i];
    dim[front] = xfc_dims_product(e->n->ctx, v->type.dim + front, n);
    return xfc_b_reshape(e->n->b, v, dim, front + 1);
}

/* The axes in front of the last one and behind the first `batch` as one; the matrix' rows. */
static xfc_value *flatten_rows(einsum *e, xfc_value *v, uint32_t batch, uint32_t n) {
    if (n == 1 || !v) return v;
    xfc_int dim[XFC_MAX_RANK + 1];
    for (uint32_t i = 0; i < batch; i++) dim[i] = v->type.dim[i];
    dim[batch] = xfc_dims_product(e->n->ctx, v->type.dim + batch, n);
    dim[batch + 1] = v->type.dim[v->type.rank - 1];
    return xfc_b_reshape(e->n->b, v, dim, batch + 2);
}

/* [batch, only a, contracted] @ [batch, contracted, only b]. Without batch dims the rows of a stay apart. */
static bool contract(einsum *e, term *a, term *b, const labels *batch, const labels *summed) {
    labels only[2] = {{.n = 0}}, order[2] = {*batch, *batch};
    term *t[2] = {a, b};
    for (int s = 0; s < 2; s++)
        for (uint32_t i = 0; i < t[s]->v->type.rank; i++)
            if (!has(t[1 - s], t[s]->label[i])) only[s].label[only[s].n++] = t[s]->label[i];
    if (batch->n + 2 > XFC_MAX_RANK || batch->n + only[0].n + only[1].n > XFC_MAX_RANK)
        return refuse(e, "has a product of more dims than a tensor can have");
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t i = 0; i < only[0].n; i++) order[0].label[order[0].n++] = only[0].label[i];
    for (uint32_t i = 0; i < summed->n; i++)
        order[0].label[order[0].n++] = order[1].label[order[1].n] = summed->label[i], order[1].n++;
    for (uint32_t i = 0; i < only[1].n; i++) order[1].label[order[1].n++] = only[1].label[i];
    for (int s = 0; s < 2; s++) move_last(e, t[s], order[s].label, order[s].n);
    if (!a->v || !b->v) return false;
    for (int s = 0; s < 2; s++)
        for (uint32_t i = 0; i < only[s].n; i++)
            dim[batch->n + s * only[0].n + i] = t[s]->v->type.dim[batch->n + (s ? summed->n : 0) + i];
    bool apart = batch->n == 0 && only[0].n > 0;
    xfc_value *left = flatten_last(e, a->v, summed->n), *right = flatten_last(e, b->v, only[1].n);
    if (!apart) left = flatten_rows(e, left, batch->n, only[0].n);
    right = flatten_rows(e, right, batch->n, summed->n);
    xfc_value *product = left && right ? xfc_b_matmul(e->n->b, left, right) : NULL;
    if (!product) return false;
    for (uint32_t i = 0; i < batch->n; i++) dim[i] = product->type.dim[i];
    a->v = xfc_b_reshape(e->n->b, product, dim, batch->n + only[0].n + only[1].n);
    memcpy(a->label, batch->label, batch->n);
    memcpy(a->label + batch->n, only[0].label, only[0].n);
    memcpy(a->label + batch->n + only[0].n, only[1].label, only[1].n);
    return a->v != NULL;
}

/* Dims in this order, 1 for labels it does not have. */
static xfc_value *aligned(einsum *e, term *t, const labels *order) {
    labels own = {.n = 0};
    xfc_int dim[XFC_MAX_RANK];
    for (uint32_t i = 0; i < order->n; i++)
        if (has(t, order->label[i])) own.label[own.n++] = order->label[i];
    move_last(e, t, own.label, own.n);
    if (!t->v) return NULL;
    for (uint32_t i = 0, k = 0; i < order->n; i++)
        dim[i] = k < own.n && order->label[i] == own.label[k] ? t->v->type.dim[k++] : xfc_int_const(e->n->ctx, 1);
    return xfc_b_reshape(e->n->b, t->v, dim, order->n);
}

/* a becomes the join of both. `like`: the order wanted in the end. */
static bool join(einsum *e, term *a, term *b, const labels *like) {
    labels batch = {.n = 0}, summed = {.n = 0}, all = {.n = 0};
    if (!sum_alone(e, a, b) || !sum_alone(e, b, a)) return false;
    for (uint32_t i = 0; i < a->v->type.rank; i++)
        if (has(b, a->label[i])) add_label(e, e->uses[a->label[i]] ? &batch : &summed, a->label[i]);
    if (summed.n) return match_contracted(e, a, b, &summed) && contract(e, a, b, &batch, &summed);
    for (uint32_t i = 0; i < like->n; i++)
        if ((has(a, like->label[i]) || has(b, like->label[i])) && !add_label(e, &all, like->label[i])) return false;
    const term *t[2] = {a, b};
    for (int s = 0; s < 2; s++)
        for (uint32_t i = 0; i < t[s]->v->type.rank; i++)
            if (!(all.n && memchr(all.label, t[s]->label[i], all.n)) && !add_label(e, &all, t[s]->label[i]))
                return false;
    a->v = xfc_n2(e->n, XFC_OP_MUL, aligned(e, a, &all), aligned(e, b, &all));
    memcpy(a->label, all.label, all.n);
    return a->v != NULL;
}

static void count(einsum *e, const term *t, int by) {
    for (uint32_t i = 0; i < t->v->type.rank; i++) e->uses[t->label[i]] += (uint32_t)by;
}

void xfc_import_einsum(xfc_node *n) {
    einsum e = {.n = n};
    const char *text = xfc_node_str(n, "equation", NULL), *arrow = text ? strstr(text, "->") : NULL;
    term *t = xfc_new_array(n->im->arena, term, n->n_in);
    uint32_t k = 0;
    if (!text) {
        if (n->status == XFC_OK) xfc_node_fail(n, XFC_ERR_INPUT, "has no equation; export the model again");
        return;
    }
    for (const char *at = text, *end = arrow ? arrow : text + strlen(text);; k++) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        if (!read_operand(&e, at, (size_t)(stop - at), k, &t[k < n->n_in ? k : 0])) return;
        count(&e, &t[k], 1);
        if (!comma) break;
        at = comma + 1;
    }
    labels out = {.n = 0};
    if (k + 1 != n->n_in) {
        refuse(&e, "has fewer operands than the node");
        return;
    }
    if (!read_output(&e, arrow ? arrow + 2 : NULL, out.label, &out.n)) return;
    memset(e.uses, 0, sizeof e.uses); /* from here on: operands to come, and the output */
    for (uint32_t i = 0; i < out.n; i++) e.uses[out.label[i]]++;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!take_diagonals(&e, &t[i])) return;
        if (i) count(&e, &t[i], 1);
    }
    for (uint32_t i = 1; i < n->n_in; i++) {
        count(&e, &t[i], -1);
        if (!join(&e, &t[0], &t[i], &out)) return;
    }
    if (!sum_alone(&e, &t[0], NULL)) return;
    move_last(&e, &t[0], out.label, out.n);
    n->out[0] = t[0].v;
}

/* ragged.c - a padded batch without its padding: which tokens are real (seq_offsets), how many of them there are as
 * a symbol of the program (define), and back to the padded shape (pad_ragged).
 *
 *   %counts, %cu, %tok, %inv, %tasks = seq_offsets %mask {first = 0, size = [64]}
 *   define T in 0..b * s, N in 0..b * ((s + 63) floordiv 64), B2 in 0..b * max(1 - T, 0) = %counts
 *   %ids = slice %tok {start = [0], size = [T], step = [1]}     gather with it: rows of real tokens, [T, ..]
 *   %y = pad_ragged %ragged, %inv : f32[b, s, 384]
 *
 * A mask that is none leaves T = 0 and B2 = b: code over T rows does nothing then, and code over B2 sequences, which
 * does nothing otherwise, computes the batch as it stands. pad_ragged takes from whichever ran.
 */
#include "ir/ops/ops.h"

#include <math.h>

static xfc_status refuse(xfc_infer *inf, const char *what) {
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "%s %s", xfc_ops[inf->op->code].name, what);
}

bool xfc_is_fresh_symbol(const xfc_ctx *ctx, const xfc_attr *symbols, uint32_t i) {
    const xfc_int_info *info = xfc_int_look(ctx, symbols->u.dims[i]);
    for (uint32_t k = 0; k < i; k++)
        if (xfc_int_same(symbols->u.dims[k], symbols->u.dims[i])) return false;
    return info->kind == XFC_INT_SYMBOL && info->sym == XFC_SYM_LET;
}

/* What it defines must not be defined already, and its ranges must be known: the verifier's questions. */
xfc_status infer_define(xfc_infer *inf) {
    const xfc_type *counts = xfc_op_in(inf->op, 0);
    const xfc_attr *symbols = xfc_op_attr(inf->op, XFC_K_VALUES);
    if (counts->dtype != XFC_I64 || counts->rank != 1 || symbols->n == 0 ||
        !xfc_int_is(inf->ctx, counts->dim[0], symbols->n))
        return refuse(inf, "takes an i64[n] and n symbols, at least one: correct its operand");
    for (uint32_t i = 0; i < symbols->n; i++) {
        int64_t lo, hi;
        if (!xfc_is_fresh_symbol(inf->ctx, symbols, i))
            return refuse(inf, "takes each symbol once, and no dims: correct them");
        xfc_int_range(inf->ctx, symbols->u.dims[i], &lo, &hi);
        if (lo < 0) return refuse(inf, "takes symbols that are never negative: let their ranges begin at 0");
    }
    return XFC_OK;
}

xfc_status infer_seq_offsets(xfc_infer *inf) {
    xfc_ctx *ctx = inf->ctx;
    const xfc_type *mask = xfc_op_in(inf->op, 0);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    int64_t first = xfc_op_int(inf->op, XFC_K_FIRST, 0), prefix = xfc_op_int(inf->op, XFC_K_PREFIX, 0), block;
    if (mask->rank != 2) return refuse(inf, "takes a mask of 2 dims, sequences and places: reshape it");
    if (size->n != 1 || !xfc_int_value(ctx, size->u.dims[0], &block) || block < 1 || block > INT32_MAX)
        return refuse(inf, "takes one size, the rows of a task: give a number from 1 to 2^31 - 1");
    if (first != 0 && first != 1) return refuse(inf, "takes 0 or 1 for first: correct it");
    if (prefix != 0 && prefix != 1) return refuse(inf, "takes 0 or 1 for prefix: correct it");
    xfc_int b = mask->dim[0], s = mask->dim[1], places = xfc_int_mul(ctx, b, s);
    xfc_int tasks = xfc_int_mul(ctx, b, xfc_int_ceildiv(ctx, s, size->u.dims[0]));
    xfc_int three = xfc_int_const(ctx, 3), starts = xfc_int_addc(ctx, b, 1);
    const xfc_int pairs[] = {tasks, xfc_int_const(ctx, 2)};
    if (!xfc_int_known(places) || !xfc_int_known(tasks) || !xfc_int_known(starts))
        return xfc_fail(ctx, XFC_ERR_LIMIT, inf->op->loc, XFC_INT_UNKNOWN, "a size of seq_offsets");
    inf->out[0] = xfc_type_make(XFC_I64, 1, &three);
    inf->out[1] = xfc_type_make(XFC_I32, 1, &starts);
    inf->out[2] = xfc_type_make(XFC_I32, 1, &places);
    inf->out[3] = xfc_type_make(XFC_I32, 2, mask->dim);
    inf->out[4] = xfc_type_make(XFC_I32, 2, pairs);
    return XFC_OK;
}

/* --- pad_ragged --- */

enum { RAGGED, INV, OTHER };

/* The fill as the type holds it: casting any other number to it would not be defined. */
static bool fill_fits(xfc_dtype t, double fill) {
    if (xfc_dtype_is_float(t)) return true;
    if (t == XFC_BOOL) return fill == 0 || fill == 1;
    double lo = (double)xfc_combine_identity_i(XFC_S_MAX, t), most = ldexp(1, 53); /* beyond it doubles have gaps */
    double hi = t == XFC_U64 ? most : (double)xfc_combine_identity_i(XFC_S_MIN, t);
    return fill >= lo && fill <= hi && fill >= -most && fill <= most && fill == floor(fill);
}

xfc_status infer_pad_ragged(xfc_infer *inf) {
    const xfc_type *ragged = xfc_op_in(inf->op, RAGGED), *inv = xfc_op_in(inf->op, INV);
    bool has_other = xfc_op_has_in(inf->op, OTHER);
    const xfc_type *other = has_other ? xfc_op_in(inf->op, OTHER) : NULL;
    if (ragged->rank == 0 || ragged->rank == XFC_MAX_RANK || inv->rank != 2 || inv->dtype != XFC_I32)
        return refuse(inf, "takes ragged rows [T, ..] of 1 to 7 dims and an i32[b, s]: correct its operands");
    if (!fill_fits(ragged->dtype, xfc_op_float(inf->op, XFC_K_FILL, 0)))
        return refuse(inf, "has a fill that its type cannot hold: give another number");
    xfc_int dim[XFC_MAX_RANK] = {inv->dim[0], inv->dim[1]};
    for (uint32_t d = 1; d < ragged->rank; d++) dim[d + 1] = ragged->dim[d];
    inf->out[0] = xfc_type_make(ragged->dtype, ragged->rank + 1, dim);
    if (!other) return XFC_OK;
    if (other->dtype != ragged->dtype || other->rank != ragged->rank + 1)
        return refuse(inf, "takes for other a tensor [B2, s, ..] of the type of the ragged rows: correct it");
    for (uint32_t d = 1; d < other->rank; d++)
        XFC_TRY(xfc_infer_equal(inf, other->dim[d], dim[d], "the dims of other and of what pad_ragged makes"));
    return XFC_OK;
}

static uint32_t load_rows(xfc_nestb *nb, uint32_t kept, uint32_t inv, const xfc_type *ragged, const xfc_int *index) {
    xfc_int at[XFC_MAX_RANK], zero = xfc_int_const(nb->ctx, 0);
    uint32_t row = xfc_nb_op(nb, XFC_S_SELECT, XFC_I32, kept, inv, xfc_nb_const_i(nb, XFC_I32, 0));
    xfc_int last = xfc_int_max(nb->ctx, xfc_int_addc(nb->ctx, ragged->dim[0], -1), zero);
    at[0] = xfc_nb_let(nb, "row", row, zero, last, false); /* in range even if there is no row at all */
    for (uint32_t d = 1; d < ragged->rank; d++) at[d] = index[d + 1];
    return xfc_nb_load_if(nb, kept, ragged->dtype, RAGGED, at, ragged->rank);
}

/* Neither side is read where it is not meant: either may have no elements. */
xfc_status nest_pad_ragged(const xfc_op *op, xfc_nestb *nb) {
    const xfc_type *ragged = xfc_op_in(op, RAGGED), *out = &op->out[0].type;
    double fill = xfc_op_float(op, XFC_K_FILL, 0);
    xfc_dtype t = ragged->dtype;
    xfc_int index[XFC_MAX_RANK];
    xfc_nb_axes_of(nb, out, index);
    uint32_t inv = xfc_nb_load(nb, XFC_I32, INV, index, 2);
    uint32_t kept = xfc_nb_op(nb, XFC_S_GE, XFC_BOOL, inv, xfc_nb_const_i(nb, XFC_I32, 0), XFC_NO_ARG);
    if (xfc_int_lt(nb->ctx, xfc_int_const(nb->ctx, 0), ragged->dim[0]) != 1) { /* no row: whatever inv says */
        uint32_t n_rows = xfc_nb_index(nb, ragged->dim[0]), none = xfc_nb_const_i(nb, XFC_I64, 0);
        uint32_t some = xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, none, n_rows, XFC_NO_ARG);
        kept = xfc_nb_op(nb, XFC_S_AND, XFC_BOOL, kept, some, XFC_NO_ARG);
    }
    uint32_t value = load_rows(nb, kept, inv, ragged, index);
    uint32_t rest = xfc_dtype_is_float(t) ? xfc_nb_const_f(nb, t, fill) : xfc_nb_const_i(nb, t, (int64_t)fill);
    if (xfc_op_has_in(op, OTHER)) {
        const xfc_type *other = xfc_op_in(op, OTHER);
        uint32_t i = xfc_nb_index(nb, index[0]), n = xfc_nb_index(nb, other->dim[0]);
        uint32_t within = xfc_nb_op(nb, XFC_S_LT, XFC_BOOL, i, n, XFC_NO_ARG);
        uint32_t dropped = xfc_nb_op(nb, XFC_S_NOT, XFC_BOOL, kept, XFC_NO_ARG, XFC_NO_ARG);
        uint32_t meant = xfc_nb_op(nb, XFC_S_AND, XFC_BOOL, dropped, within, XFC_NO_ARG);
        uint32_t theirs = xfc_nb_load_if(nb, meant, t, OTHER, index, out->rank);
        rest = xfc_nb_op(nb, XFC_S_SELECT, t, meant, theirs, rest);
    }
    value = xfc_nb_op(nb, XFC_S_SELECT, t, kept, value, rest);
    xfc_nb_store(nb, value, op->n_in, index, out->rank, XFC_S_COUNT);
    return XFC_OK;
}

/* --- builders --- */

xfc_op *xfc_b_define(xfc_builder *b, xfc_value *counts, const xfc_int *symbols, uint32_t n) {
    if (!counts) return NULL;
    xfc_attr attr = xfc_attr_dims(XFC_K_VALUES, symbols, n);
    xfc_op *op = xfc_op_new(b->graph, b->before, XFC_OP_DEFINE, &counts, 1, 0, &attr, 1, b->loc);
    if (xfc_infer_op(op) == XFC_OK) return op;
    xfc_op_remove(op);
    return NULL;
}

bool xfc_b_seq_offsets(xfc_builder *b, xfc_value *mask, bool first, bool prefix, int64_t block, xfc_ragged *out) {
    xfc_int size = xfc_int_const(b->graph->ctx, block);
    xfc_attr attr[] = {xfc_attr_int(XFC_K_FIRST, first), xfc_attr_dims(XFC_K_SIZE, &size, 1),
                       xfc_attr_int(XFC_K_PREFIX, 1)};
    xfc_value *v = xfc_build(b, XFC_OP_SEQ_OFFSETS, &mask, 1, attr, prefix ? 3 : 2);
    if (!v) return false;
    xfc_value *o = v->def->out;
    *out = (xfc_ragged){.counts = &o[0], .cu = &o[1], .tok = &o[2], .inv = &o[3], .tasks = &o[4]};
    return true;
}

xfc_value *xfc_b_pad_ragged(xfc_builder *b, xfc_value *ragged, xfc_value *inv, xfc_value *other, double fill) {
    xfc_attr attr = xfc_attr_float(XFC_K_FILL, fill);
    xfc_value *in[] = {ragged, inv, other};
    return xfc_build(b, XFC_OP_PAD_RAGGED, in, other ? 3 : 2, &attr, 1);
}

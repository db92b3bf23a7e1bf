/* build.c - making ops: operand and attribute checks from the row, then inference, then symbolic contents.
 *
 * A failed op leaves no trace but its message. An operand that is NULL after an earlier failure makes the result NULL
 * without another message, so a chain of calls reports its first fault once.
 */
#include "ir/build.h"

#include "ir/eval/eval.h"
#include "ir/ops/ops.h"
#include <string.h>

enum { MAX_BUILD_OUT = 16 };

/* --- checks --- */

/* Is key in the row's list? *required: it ends in '!'. */
static bool row_has_key(const xfc_op_info *row, xfc_key key, bool *required) {
    const char *name = xfc_key_name(key), *at = row->keys ? row->keys : "";
    size_t n = strlen(name);
    while (*at) {
        size_t word = strcspn(at, " !");
        bool same = word == n && memcmp(at, name, n) == 0;
        if (same) {
            *required = at[word] == '!';
            return true;
        }
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return false;
}

static bool attr_is_whole(const xfc_attr *a) {
    switch (xfc_key_kind(a->key)) {
    case XFC_ATTR_INT:
    case XFC_ATTR_FLOAT: return true;
    case XFC_ATTR_STR: return a->u.s != NULL;
    case XFC_ATTR_DTYPE: return (unsigned)a->u.dtype < XFC_DTYPE_COUNT;
    case XFC_ATTR_TENSOR: return a->u.tensor != NULL;
    case XFC_ATTR_GRAPH: return a->u.graph != NULL;
    case XFC_ATTR_INTS: return a->n == 0 || a->u.ints != NULL;
    case XFC_ATTR_DIMS:
        for (uint32_t i = 0; i < a->n; i++)
            if (!a->u.dims || !xfc_int_known(a->u.dims[i])) return false;
        return true;
    }
    return false;
}

static const char *list(xfc_ctx *c, const xfc_attr *a) {
    xfc_buf b = {.arena = c->arena};
    xfc_buf_char(&b, '[');
    for (uint32_t i = 0; i < a->n && a->u.dims; i++)
        xfc_buf_printf(&b, "%s%s", i ? ", " : "", xfc_dim_text(c, a->u.dims[i]));
    xfc_buf_char(&b, ']');
    return b.text;
}

static xfc_status check_attrs(xfc_builder *b, const xfc_op_info *row, const xfc_attr *attr, uint32_t n_attr) {
    xfc_ctx *c = b->graph->ctx;
    bool seen[XFC_K_COUNT] = {false}, required = false;
    for (uint32_t i = 0; i < n_attr; i++) {
        xfc_key key = attr[i].key;
        xfc_assert((unsigned)key < XFC_K_COUNT);
        const char *name = xfc_key_name(key);
        if (!row_has_key(row, key, &required))
            return xfc_fail(c, XFC_ERR_INPUT, b->loc, "%s takes no attribute '%s': remove it", row->name, name);
        if (seen[key])
            return xfc_fail(c, XFC_ERR_INPUT, b->loc, "%s has the attribute '%s' twice: keep one", row->name, name);
        if (!attr_is_whole(&attr[i]) && xfc_key_kind(key) == XFC_ATTR_DIMS)
            return xfc_fail(c, XFC_ERR_LIMIT, b->loc, XFC_INT_UNKNOWN,
                            xfc_sprintf(c->arena, "an entry of %s, '%s' = %s,", row->name, name, list(c, &attr[i])));
        xfc_assert(attr_is_whole(&attr[i]));
        seen[key] = true;
    }
    for (unsigned key = 0; key < XFC_K_COUNT; key++)
        if (!seen[key] && row_has_key(row, (xfc_key)key, &required) && required)
            return xfc_fail(c, XFC_ERR_INPUT, b->loc, "%s needs the attribute '%s': add it", row->name,
                            xfc_key_name((xfc_key)key));
    return XFC_OK;
}

static xfc_status check_count(xfc_builder *b, const xfc_op_info *row, uint32_t n_in) {
    xfc_ctx *c = b->graph->ctx;
    bool variadic = row->n_in < 0;
    uint32_t most = variadic ? UINT16_MAX : (uint32_t)row->n_in;
    uint32_t least = row->min_in ? (uint32_t)row->min_in : variadic ? 0 : most;
    if (n_in >= least && n_in <= most) return XFC_OK;
    if (variadic && n_in > most)
        return xfc_fail(c, XFC_ERR_LIMIT, b->loc, "%s has %u operands; at most %u are allowed: split it", row->name,
                        n_in, most);
    if (least == most)
        return xfc_fail(c, XFC_ERR_INPUT, b->loc, "%s takes %u operands, not %u", row->name, least, n_in);
    return xfc_fail(c, XFC_ERR_INPUT, b->loc, "%s takes %u to %u operands, not %u", row->name, least, most, n_in);
}

/* NULL operands: absent ones are fine from the row's least count on; any other is the trace of an earlier failure. */
static bool operands_present(xfc_builder *b, const xfc_op_info *row, xfc_value *const *in, uint32_t n_in, bool opt) {
    for (uint32_t i = 0; i < n_in; i++) {
        bool may_miss = opt && row->n_in >= 0 && row->min_in > 0 && i >= (uint32_t)row->min_in;
        if (in[i] || may_miss) continue;
        if (b->graph->ctx->n_errors == 0)
            xfc_fail(b->graph->ctx, XFC_ERR_INPUT, b->loc, "operand %u of %s is missing: it is not optional", i,
                     row->name);
        return false;
    }
    return true;
}

/* --- inference --- */

/* Bytes from one end of a tensor to the other, dims of 0 left out: nothing stands in a tensor that has one, but indices
 * are computed from the others all the same. */
static xfc_int span_of(xfc_ctx *c, const xfc_type *t) {
    xfc_int bytes = xfc_int_const(c, xfc_dtype_bytes(t->dtype));
    for (uint32_t d = 0; d < t->rank; d++)
        if (!xfc_int_is(c, t->dim[d], 0)) bytes = xfc_int_mul(c, bytes, t->dim[d]);
    return bytes;
}

static xfc_status refuse_type(const xfc_op *op, xfc_dtype t) {
    return xfc_fail(op->graph->ctx, XFC_ERR_UNSUPPORTED, op->loc, "%s is not defined for %s: cast its operands",
                    xfc_ops[op->code].name, xfc_dtype_name(t));
}

static xfc_status set_type(xfc_op *op, uint32_t i, const xfc_type *t) {
    xfc_ctx *c = op->graph->ctx;
    xfc_assert(t->rank <= XFC_MAX_RANK);
    if (xfc_dtype_is_packed(t->dtype) && !xfc_op_has(op, XFC_PACKS)) return refuse_type(op, t->dtype);
    if (!xfc_int_known(span_of(c, t)))
        return xfc_fail(
            c, XFC_ERR_LIMIT, op->loc, XFC_INT_UNKNOWN,
            xfc_sprintf(c->arena, "the size of the result of %s, %s,", xfc_ops[op->code].name, xfc_type_text(c, t)));
    op->out[i].type = xfc_type_make(t->dtype, t->rank, t->dim);
    op->out[i].content = NULL;
    return XFC_OK;
}

/* Types that are only stored: what computes does not take them. */
static xfc_status check_stored(const xfc_op *op) {
    if (xfc_op_has(op, XFC_PACKS)) return XFC_OK;
    bool takes = xfc_op_has(op, XFC_MAP | XFC_VIEW | XFC_STRUCT | XFC_STORED);
    for (uint32_t i = 0; i < op->n_in; i++) {
        if (!op->in[i].value) continue;
        xfc_dtype t = op->in[i].value->type.dtype;
        if (takes ? xfc_dtype_is_packed(t) : xfc_dtype_is_stored(t)) return refuse_type(op, t);
    }
    return XFC_OK;
}

xfc_status xfc_infer_op(xfc_op *op) {
    const xfc_op_info *row = &xfc_ops[op->code];
    xfc_ctx *c = op->graph->ctx;
    if (!row->infer) return XFC_OK;
    XFC_TRY(check_stored(op));
    xfc_arena *many = op->n_out > MAX_BUILD_OUT ? xfc_arena_new() : NULL;
    xfc_type few[MAX_BUILD_OUT], *out = many ? xfc_new_array(many, xfc_type, op->n_out) : few;
    memset(few, 0, sizeof few);
    xfc_infer inf = {.graph = op->graph, .ctx = c, .op = op, .out = out};
    xfc_status s = row->infer(&inf);
    for (uint32_t i = 0; i < op->n_out && s == XFC_OK; i++) s = set_type(op, i, &out[i]);
    xfc_arena_free(many);
    if (s == XFC_OK) xfc_eval_content(op);
    return s;
}

xfc_value *xfc_build_opt(xfc_builder *b, xfc_opcode code, xfc_value *const *in, uint32_t n_in, const xfc_attr *attr,
                         uint32_t n_attr) {
    const xfc_op_info *row = &xfc_ops[code];
    xfc_assert(row->n_out > 0 && row->n_out <= MAX_BUILD_OUT);
    while (n_in > 0 && !in[n_in - 1] && row->min_in > 0 && n_in > (uint32_t)row->min_in) n_in--; /* absent at the end */
    if (check_count(b, row, n_in) != XFC_OK || !operands_present(b, row, in, n_in, true)) return NULL;
    if (check_attrs(b, row, attr, n_attr) != XFC_OK) return NULL;
    xfc_op *op = xfc_op_new(b->graph, b->before, code, in, n_in, (uint32_t)row->n_out, attr, n_attr, b->loc);
    if (xfc_infer_op(op) == XFC_OK) return &op->out[0];
    xfc_op_remove(op);
    return NULL;
}

xfc_value *xfc_build(xfc_builder *b, xfc_opcode code, xfc_value *const *in, uint32_t n_in, const xfc_attr *attr,
                     uint32_t n_attr) {
    if (!operands_present(b, &xfc_ops[code], in, n_in, false)) return NULL;
    return xfc_build_opt(b, code, in, n_in, attr, n_attr);
}

/* --- constants --- */

xfc_value *xfc_b_const(xfc_builder *b, const xfc_tensor *t) {
    xfc_attr attr = xfc_attr_tensor(XFC_K_VALUE, t);
    return xfc_build(b, XFC_OP_CONST, NULL, 0, &attr, 1);
}

xfc_value *xfc_b_scalar_f(xfc_builder *b, xfc_dtype dtype, double x) {
    uint64_t data = 0;
    xfc_element_set_f(dtype, &data, 0, x);
    return xfc_b_const(b, xfc_tensor_copy(b->graph->ctx, dtype, 0, NULL, &data, NULL));
}

xfc_value *xfc_b_scalar_i(xfc_builder *b, xfc_dtype dtype, int64_t x) {
    uint64_t data = 0;
    xfc_element_set_i(dtype, &data, 0, x);
    return xfc_b_const(b, xfc_tensor_copy(b->graph->ctx, dtype, 0, NULL, &data, NULL));
}

xfc_value *xfc_b_ints(xfc_builder *b, const int64_t *x, uint32_t n) {
    int64_t dim = n;
    return xfc_b_const(b, xfc_tensor_copy(b->graph->ctx, XFC_I64, 1, &dim, x, NULL));
}

xfc_value *xfc_b_dims(xfc_builder *b, const xfc_int *values, int64_t n) {
    xfc_ctx *c = b->graph->ctx;
    bool is_scalar = n < 0, all_const = true;
    uint32_t count = is_scalar ? 1 : (uint32_t)n;
    xfc_assert(n <= UINT32_MAX);
    int64_t *value = xfc_new_array(b->graph->arena, int64_t, count);
    for (uint32_t i = 0; i < count; i++) all_const = xfc_int_value(c, values[i], &value[i]) && all_const;
    if (all_const) return is_scalar ? xfc_b_scalar_i(b, XFC_I64, value[0]) : xfc_b_ints(b, value, count);
    xfc_int shape = xfc_int_const(c, count);
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_VALUES, values, count),
                       xfc_attr_dims(XFC_K_SHAPE, &shape, is_scalar ? 0 : 1), xfc_attr_dtype(XFC_K_TO, XFC_I64)};
    return xfc_build(b, XFC_OP_DIMS, NULL, 0, attr, XFC_COUNT(attr));
}

/* --- operators --- */

xfc_value *xfc_b_unary(xfc_builder *b, xfc_opcode code, xfc_value *x) { return xfc_build(b, code, &x, 1, NULL, 0); }

xfc_value *xfc_b_binary(xfc_builder *b, xfc_opcode code, xfc_value *x, xfc_value *y) {
    return xfc_build(b, code, (xfc_value *[]){x, y}, 2, NULL, 0);
}

xfc_value *xfc_b_select(xfc_builder *b, xfc_value *cond, xfc_value *yes, xfc_value *no) {
    return xfc_build(b, XFC_OP_SELECT, (xfc_value *[]){cond, yes, no}, 3, NULL, 0);
}

xfc_value *xfc_b_cast(xfc_builder *b, xfc_value *x, xfc_dtype to) {
    if (x && x->type.dtype == to) return x;
    xfc_attr attr = xfc_attr_dtype(XFC_K_TO, to);
    return xfc_build(b, XFC_OP_CAST, &x, 1, &attr, 1);
}

xfc_value *xfc_b_reshape(xfc_builder *b, xfc_value *x, const xfc_int *dim, uint32_t rank) {
    bool same = x && x->type.rank == rank;
    for (uint32_t d = 0; same && d < rank; d++) same = xfc_int_same(x->type.dim[d], dim[d]);
    if (same) return x;
    xfc_attr attr = xfc_attr_dims(XFC_K_SHAPE, dim, rank);
    return xfc_build(b, XFC_OP_RESHAPE, &x, 1, &attr, 1);
}

xfc_value *xfc_b_transpose(xfc_builder *b, xfc_value *x, const int64_t *perm) {
    xfc_attr attr = xfc_attr_ints(XFC_K_PERM, perm, x ? x->type.rank : 0);
    return xfc_build(b, XFC_OP_TRANSPOSE, &x, 1, &attr, 1);
}

void xfc_swap_last(int64_t *perm, uint32_t rank) {
    for (uint32_t d = 0; d < rank; d++) perm[d] = d;
    perm[rank - 2] = rank - 1;
    perm[rank - 1] = rank - 2;
}

xfc_value *xfc_b_swap_last(xfc_builder *b, xfc_value *x) {
    if (!x) return NULL;
    int64_t perm[XFC_MAX_RANK];
    xfc_swap_last(perm, x->type.rank);
    return xfc_b_transpose(b, x, perm);
}

xfc_value *xfc_b_expand(xfc_builder *b, xfc_value *x, const xfc_int *dim, uint32_t rank) {
    xfc_attr attr = xfc_attr_dims(XFC_K_SHAPE, dim, rank);
    return xfc_build(b, XFC_OP_EXPAND, &x, 1, &attr, 1);
}

xfc_value *xfc_b_slice(xfc_builder *b, xfc_value *x, const xfc_int *start, const xfc_int *size, const int64_t *step) {
    uint32_t rank = x ? x->type.rank : 0;
    xfc_attr attr[] = {xfc_attr_dims(XFC_K_START, start, rank), xfc_attr_dims(XFC_K_SIZE, size, rank),
                       xfc_attr_ints(XFC_K_STEP, step, rank)};
    return xfc_build(b, XFC_OP_SLICE, &x, 1, attr, XFC_COUNT(attr));
}

xfc_value *xfc_b_slice_axis(xfc_builder *b, xfc_value *x, uint32_t axis, xfc_int start, xfc_int size, int64_t step) {
    if (!x) return NULL;
    xfc_int from[XFC_MAX_RANK], count[XFC_MAX_RANK];
    int64_t by[XFC_MAX_RANK];
    for (uint32_t d = 0; d < x->type.rank; d++) {
        from[d] = d == axis ? start : xfc_int_const(b->graph->ctx, 0);
        count[d] = d == axis ? size : x->type.dim[d];
        by[d] = d == axis ? step : 1;
    }
    return xfc_b_slice(b, x, from, count, by);
}

xfc_value *xfc_b_reduce(xfc_builder *b, xfc_opcode code, xfc_value *x, const int64_t *axes, uint32_t n, bool keepdims) {
    xfc_attr attr[] = {xfc_attr_ints(XFC_K_AXES, axes, n), xfc_attr_int(XFC_K_KEEPDIMS, keepdims)};
    return xfc_build(b, code, &x, 1, attr, XFC_COUNT(attr));
}

xfc_value *xfc_b_matmul(xfc_builder *b, xfc_value *x, xfc_value *y) { return xfc_b_binary(b, XFC_OP_MATMUL, x, y); }

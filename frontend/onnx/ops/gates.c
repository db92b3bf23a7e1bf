/* gates.c - the small operators of com.microsoft between the products of newer decoders: gates, norms that a gate follows,
 * the streams of hyper-connections, and T5's bias by distance. Each is taken apart; what lies inside is computed in f32 and rounded where the
 * operator says that it is.
 */
#include "frontend/onnx/import.h"
#include <math.h>
#include <string.h>

static xfc_value *op(xfc_node *n, xfc_opcode code, xfc_value *a, xfc_value *b) { return xfc_n2(n, code, a, b); }
static xfc_value *with(xfc_node *n, xfc_opcode code, xfc_value *a, double b) { return op(n, code, a, xfc_nf(n, a, b)); }
static xfc_value *as(xfc_node *n, xfc_value *v, xfc_dtype t) { return v ? xfc_b_cast(n->b, v, t) : NULL; }
static xfc_value *wide(xfc_node *n, xfc_value *v) { return as(n, v, XFC_F32); }
static xfc_value *reshape(xfc_node *n, xfc_value *v, const xfc_int *dim, uint32_t rank) {
    return v ? xfc_b_reshape(n->b, v, dim, rank) : NULL;
}
static xfc_value *fit(xfc_node *n, xfc_value *v, const xfc_value *onto, const char *what) {
    return onto ? xfc_n_fitting(n, v, onto, what) : NULL;
}

static xfc_value *sum(xfc_node *n, xfc_value *v, int64_t axis, bool keep) {
    return v ? xfc_b_reduce(n->b, XFC_OP_REDUCE_SUM, v, &axis, 1, keep) : NULL;
}

/* v / sqrt(mean(v^2) + epsilon) over the last dim */
static xfc_value *rms(xfc_node *n, xfc_value *v) {
    if (!v) return NULL;
    xfc_attr attr[] = {xfc_attr_int(XFC_K_AXIS, v->type.rank - 1),
                       xfc_attr_float(XFC_K_EPS, xfc_node_float(n, "epsilon", (double)1e-5f))};
    return xfc_build_opt(n->b, XFC_OP_RMSNORM, &v, 1, attr, XFC_COUNT(attr));
}

/* The last dim of v as [that / inner, inner]. */
static xfc_value *rows_of(xfc_node *n, xfc_value *v, xfc_int inner) {
    xfc_int dim[XFC_MAX_RANK];
    if (!v || !v->type.rank || v->type.rank == XFC_MAX_RANK)
        return xfc_node_fail(n, XFC_ERR_LIMIT, "takes a tensor of rank 1 to %d", XFC_MAX_RANK - 1), NULL;
    const uint32_t last = v->type.rank - 1;
    memcpy(dim, v->type.dim, last * sizeof *dim);
    dim[last] = xfc_dims_divide(n->ctx, &v->type.dim[last], 1, &inner, 1);
    dim[last + 1] = inner;
    if (!xfc_n_equal(n, v->type.dim[last], xfc_int_mul(n->ctx, dim[last], inner),
                     "a row and the parts it divides into"))
        return NULL;
    return reshape(n, v, dim, last + 2);
}

/* --- gates --- */

void xfc_import_gated_add(xfc_node *n) {
    xfc_value *x = n->in[0];
    n->out[0] = op(n, XFC_OP_ADD, x, fit(n, op(n, XFC_OP_MUL, n->in[1], n->in[2]), x, "the gated operand"));
}

void xfc_import_scaled_silu(xfc_node *n) {
    xfc_value *x = n->in[0], *scale = wide(n, xfc_node_in(n, 1)), *z = wide(n, x);
    const xfc_dtype t = x->type.dtype;
    if (scale) scale = reshape(n, scale, NULL, 0);
    z = as(n, scale ? op(n, XFC_OP_MUL, z, scale) : with(n, XFC_OP_MUL, z, xfc_node_float(n, "alpha", 1)), t);
    n->out[0] = op(n, XFC_OP_MUL, z, as(n, xfc_n1(n, XFC_OP_SIGMOID, wide(n, z)), t));
}

void xfc_import_gated_rms_norm(xfc_node *n) {
    xfc_value *x = n->in[0], *scale = n->in[1], *gate = wide(n, n->in[2]);
    const char *name = xfc_node_str(n, "activation", "silu");
    const bool sigmoid = !strcmp(name, "sigmoid");
    if (!sigmoid && strcmp(name, "silu") != 0 && strcmp(name, "swish") != 0) {
        xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "activation '%.80s' is not supported", name);
        return;
    }
    if (scale->type.rank != 1) {
        xfc_node_fail(n, XFC_ERR_INPUT, "the scale must be a list; export the model again");
        return;
    }
    xfc_value *v = op(n, XFC_OP_MUL, rms(n, rows_of(n, wide(n, x), scale->type.dim[0])), wide(n, scale));
    v = reshape(n, v, x->type.dim, x->type.rank);
    xfc_value *open = xfc_n1(n, XFC_OP_SIGMOID, gate);
    if (!sigmoid) open = op(n, XFC_OP_MUL, gate, open);
    n->out[0] = as(n, op(n, XFC_OP_MUL, v, fit(n, open, v, "the gate")), x->type.dtype);
}

/* decay_scale * softplus(a + dt_bias), and sigmoid(b) */
void xfc_import_linear_attention_gate(xfc_node *n) {
    xfc_value *a = n->in[0], *b = xfc_node_in(n, 3);
    const xfc_dtype t = a->type.dtype;
    xfc_value *v = wide(n, a);
    v = op(n, XFC_OP_ADD, v, fit(n, n->in[1], v, "dt_bias"));
    v = op(n, XFC_OP_MUL, fit(n, n->in[2], v, "decay_scale"), xfc_n_softplus(n, v));
    n->out[0] = as(n, v, t);
    if (!xfc_node_wants(n, 1)) return;
    if (!b)
        xfc_node_fail(n, XFC_ERR_INPUT, "has no operand b, of which its second result is made; export the model again");
    n->out[1] = as(n, xfc_n1(n, XFC_OP_SIGMOID, wide(n, b)), t);
}

/* key and query [batch, rows, streams, width], value [batch, rows, width], norms [streams, width]. */
void xfc_import_engram_gate(xfc_node *n) {
    xfc_value *key = n->in[0], *value = wide(n, n->in[2]), *norm[3];
    const xfc_type t = key->type;
    if (t.rank != 4 || n->in[2]->type.rank != 3) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs key and query [batch, rows, streams, width] and value [batch, rows, width]");
        return;
    }
    const xfc_int one = xfc_int_const(n->ctx, 1), beside[4] = {t.dim[0], t.dim[1], one, t.dim[3]};
    for (uint32_t i = 0; i < 3; i++) norm[i] = fit(n, wide(n, xfc_node_in(n, 3 + i)), key, "a scale");
    xfc_value *k = op(n, XFC_OP_MUL, rms(n, wide(n, key)), norm[0]),
              *q = op(n, XFC_OP_MUL, rms(n, fit(n, wide(n, n->in[1]), key, "the query")), norm[1]),
              *dot = sum(n, op(n, XFC_OP_MUL, k, q), 3, true);
    xfc_value *width = as(n, xfc_b_dims(n->b, &t.dim[3], -1), XFC_F32);
    dot = op(n, XFC_OP_DIV, dot, xfc_n1(n, XFC_OP_SQRT, width));
    xfc_value *root = xfc_n1(n, XFC_OP_SQRT, with(n, XFC_OP_MAX, xfc_n1(n, XFC_OP_ABS, dot), (double)1e-6f));
    xfc_value *gate = xfc_n1(n, XFC_OP_SIGMOID, op(n, XFC_OP_MUL, xfc_n1(n, XFC_OP_SIGN, dot), root));
    xfc_value *v = op(n, XFC_OP_MUL, gate, fit(n, reshape(n, value, beside, 4), key, "the value"));
    n->out[0] = as(n, v, t.dtype);
    if (xfc_node_wants(n, 1)) n->out[1] = as(n, op(n, XFC_OP_MUL, rms(n, v), norm[2]), t.dtype);
}

/* --- streams: [.., C, H], or [.., C * H] and num_branches --- */

/* In f32, with the last two dims apart. */
static xfc_value *streams(xfc_node *n) {
    xfc_value *x = n->in[0];
    const int64_t branches = xfc_node_int(n, "num_branches", 0);
    if (n->status != XFC_OK) return NULL;
    if (branches < 0 || branches > XFC_DIM_MAX || x->type.rank < (branches ? 1u : 2u))
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "needs streams [.., branches, width], or num_branches; export the model again"),
               NULL;
    if (!branches) return wide(n, x);
    const xfc_int c = xfc_int_const(n->ctx, branches), last = x->type.dim[x->type.rank - 1];
    xfc_value *v = rows_of(n, wide(n, x), xfc_dims_divide(n->ctx, &last, 1, &c, 1));
    return v && xfc_n_equal(n, v->type.dim[v->type.rank - 2], c, "the parts of a row and num_branches") ? v : NULL;
}

/* Numbers for streams: one for each branch, [.., C] or [.., C, 1], or for each element, [.., C, H] or [.., C * H]. */
static xfc_value *for_streams(xfc_node *n, xfc_value *v, const xfc_value *of, const char *what) {
    if (!v || !of) return NULL;
    const uint32_t last = of->type.rank - 2; /* of v, where it has no dim of its own for H */
    if (v->type.rank == last + 1) {
        const xfc_int each = xfc_int_mul(n->ctx, of->type.dim[last], of->type.dim[last + 1]);
        v = rows_of(n, v, xfc_int_same(v->type.dim[last], each) ? of->type.dim[last + 1] : xfc_int_const(n->ctx, 1));
    }
    return v ? fit(n, wide(n, v), of, what) : NULL;
}

void xfc_import_branchwise_rms_norm(xfc_node *n) {
    xfc_value *x = streams(n), *scale = wide(n, xfc_node_in(n, 1)), *v = rms(n, x);
    if (!v) return;
    const uint32_t rank = x->type.rank;
    if (scale && scale->type.rank == 1 && !xfc_int_same(scale->type.dim[0], x->type.dim[rank - 1]))
        scale = rows_of(n, scale, x->type.dim[rank - 1]);
    if (xfc_node_has(n, 1)) v = op(n, XFC_OP_MUL, v, fit(n, scale, v, "the scale"));
    n->out[0] = as(n, reshape(n, v, n->in[0]->type.dim, n->in[0]->type.rank), n->in[0]->type.dtype);
}

void xfc_import_hyper_connection_pre_mix(xfc_node *n) {
    xfc_value *x = streams(n), *mix = for_streams(n, n->in[1], x, "pre_mix");
    if (!x || !mix) return;
    xfc_value *v = sum(n, op(n, XFC_OP_MUL, x, mix), x->type.rank - 2, false);
    n->out[0] = as(n, with(n, XFC_OP_MUL, v, xfc_node_float(n, "reduction_scale", 1)), n->in[0]->type.dtype);
}

void xfc_import_hyper_connection_post_mix(xfc_node *n) {
    xfc_value *x = streams(n), *post = for_streams(n, n->in[2], x, "post_mix"), *mix = wide(n, xfc_node_in(n, 3));
    const uint32_t lead = x ? x->type.rank - 2 : 0;
    if (!x || !post) return;
    if (n->in[1]->type.rank != lead + 1 || (mix && mix->type.rank != lead + 2)) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs block_output [.., width] and stream_mix [.., branches, branches]");
        return;
    }
    xfc_value *block = rows_of(n, wide(n, n->in[1]), n->in[1]->type.dim[lead]);
    xfc_value *added = op(n, XFC_OP_MUL, post, fit(n, block, x, "block_output"));
    if (mix) x = xfc_b_matmul(n->b, xfc_b_swap_last(n->b, mix), x);
    xfc_value *v = op(n, XFC_OP_ADD, x, added);
    n->out[0] = as(n, reshape(n, v, n->in[0]->type.dim, n->in[0]->type.rank), n->in[0]->type.dtype);
}

/* --- biases by distance --- */

/* T5's buckets, i64, of i64 distances from a row to its keys: one each for the near ones, wider ones for the others, and with
 * `both` as many again for keys behind the row. */
static xfc_value *buckets(xfc_node *n, xfc_value *distance, int64_t count, int64_t farthest, bool both) {
    const int64_t side = both ? count / 2 : count, near = side / 2;
    xfc_value *behind = op(n, XFC_OP_GT, distance, xfc_ni(n, 0)), *zero = xfc_ni(n, 0);
    xfc_value *away = both ? xfc_n1(n, XFC_OP_ABS, distance) : xfc_n1(n, XFC_OP_NEG, op(n, XFC_OP_MIN, distance, zero));
    xfc_value *ratio = with(n, XFC_OP_DIV, wide(n, op(n, XFC_OP_MAX, away, xfc_ni(n, 1))), (double)near);
    xfc_value *far = with(n, XFC_OP_DIV, xfc_n1(n, XFC_OP_LOG, ratio), log((double)farthest / (double)near));
    far = op(n, XFC_OP_ADD, as(n, with(n, XFC_OP_MUL, far, (double)(side - near)), XFC_I64), xfc_ni(n, near));
    far = xfc_n_select(n, op(n, XFC_OP_LT, away, xfc_ni(n, near)), away, op(n, XFC_OP_MIN, far, xfc_ni(n, side - 1)));
    return both ? op(n, XFC_OP_ADD, far, xfc_n_select(n, behind, xfc_ni(n, side), zero)) : far;
}

/* [1, heads, rows, keys] out of a table that says [buckets, heads] but holds one head behind the other. */
void xfc_import_relative_position_bias(xfc_node *n) {
    const xfc_type t = n->in[0]->type;
    const int64_t farthest = xfc_node_int(n, "max_distance", 0);
    const bool both = xfc_node_flag(n, "is_bidirectional", false);
    const xfc_int rows = xfc_node_size(n, 1), keys = xfc_node_size(n, 2), zero = xfc_int_const(n->ctx, 0);
    int64_t count = 0;
    if (n->status != XFC_OK) return;
    if (t.rank != 2 || !xfc_int_value(n->ctx, t.dim[0], &count) || count < (both ? 4 : 2) || count > XFC_DIM_MAX / 2 ||
        farthest <= count || farthest > XFC_DIM_MAX) {
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs a table [buckets, heads] of at least %d rows, and max_distance beyond them", both ? 4 : 2);
        return;
    }
    xfc_value *table = xfc_b_reshape(n->b, n->in[0], (xfc_int[]){t.dim[1], t.dim[0]}, 2);
    xfc_value *row = xfc_n_along(n, xfc_n_iota(n, rows, zero, 1, XFC_I64), 0, 2);
    xfc_value *bucket =
        buckets(n, op(n, XFC_OP_SUB, xfc_n_iota(n, keys, zero, 1, XFC_I64), row), count, farthest, both);
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 1);
    xfc_value *v = table && bucket ? xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){table, bucket}, 2, &axis, 1) : NULL;
    n->out[0] = reshape(n, v, (xfc_int[]){xfc_int_const(n->ctx, 1), t.dim[1], rows, keys}, 4);
}

/* Queries [b, s, heads * d] and their bias give gates (u, r), of which the table of positions [1, heads, s, s] becomes
 * table * (u * (r * eco_a - 1) + 2). */
void xfc_import_gated_position_bias(xfc_node *n) {
    static const int64_t heads_second[] = {0, 2, 1, 3};
    xfc_ctx *c = n->ctx;
    const int64_t heads = xfc_node_int(n, "num_heads", 0);
    const xfc_type t = n->in[0]->type, w = n->in[3]->type;
    const xfc_int count = xfc_int_const(c, heads), two = xfc_int_const(c, 2), one = xfc_int_const(c, 1);
    if (n->status == XFC_OK && (heads < 1 || t.rank != 3 || w.rank != 2 || xfc_node_has(n, 6)))
        xfc_node_fail(
            n, XFC_ERR_UNSUPPORTED,
            "needs queries [batch, rows, width], a matrix of weights, num_heads, and no token_offset; export without");
    if (n->status != XFC_OK) return;
    const xfc_int split[4] = {t.dim[0], t.dim[1], count, xfc_dims_divide(c, t.dim + 2, 1, &count, 1)};
    const xfc_int half = xfc_dims_divide(c, w.dim + 1, 1, &two, 1);
    xfc_value *q = op(n, XFC_OP_ADD, n->in[0], fit(n, n->in[1], n->in[0], "the bias"));
    q = reshape(n, q, split, 4);
    q = q ? xfc_b_transpose(n->b, q, heads_second) : NULL; /* [b, heads, s, d] */
    xfc_value *v = q ? xfc_b_matmul(n->b, q, n->in[3]) : NULL;
    v = op(n, XFC_OP_ADD, v, fit(n, n->in[4], v, "the bias of the gates"));
    v = sum(n, reshape(n, v, (xfc_int[]){t.dim[0], count, t.dim[1], two, half}, 5), 4, false);
    v = v ? xfc_n1(n, XFC_OP_SIGMOID, v) : NULL;
    if (!v) return;
    xfc_value *u = xfc_b_slice_axis(n->b, v, 3, xfc_int_const(c, 0), one, 1),
              *r = xfc_b_slice_axis(n->b, v, 3, one, one, 1);
    r = with(n, XFC_OP_SUB, op(n, XFC_OP_MUL, r, n->in[5]), 1);
    n->out[0] = op(n, XFC_OP_MUL, with(n, XFC_OP_ADD, op(n, XFC_OP_MUL, u, r), 2), n->in[2]);
}

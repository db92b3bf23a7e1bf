/* rotary.c - RotaryEmbedding of ONNX and of com.microsoft, and the turning of heads by angles that attention with
 * rotary positions inside shares (attention.h).
 *
 * The first elements of a head are pairs (a, b), turned to (a cos - b sin, a sin + b cos); pairs are halves apart or
 * neighbours.
 */
#include "frontend/onnx/attention/attention.h"

static xfc_value *slice_last(xfc_node *n, xfc_value *v, xfc_int start, xfc_int size, int64_t by) {
    return v ? xfc_b_slice_axis(n->b, v, v->type.rank - 1, start, size, by) : NULL;
}

xfc_value *xfc_n_angles(xfc_node *n, xfc_value *table, xfc_value *positions) {
    xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    if (positions) table = xfc_build(n->b, XFC_OP_GATHER, (xfc_value *[]){table, positions}, 2, &axis, 1);
    if (!table || table->type.rank == 3) return table;
    return xfc_node_fail(n, XFC_ERR_INPUT,
                         "the tables of angles must have rank 3 for each position; export the model again"),
           NULL;
}

/* Angles [batch, rows, ..] as [batch, rows, 1, half] or [batch, 1, rows, half]. */
static xfc_value *beside_heads(xfc_node *n, xfc_value *angles, xfc_int batch, uint32_t head_axis, xfc_int half) {
    if (!angles || !xfc_n_at_most(n, half, angles->type.dim[2], "the width of a head and the tables of angles"))
        return NULL;
    angles = slice_last(n, angles, xfc_int_const(n->ctx, 0), half, 1);
    xfc_int one = xfc_int_const(n->ctx, 1), rows = angles ? angles->type.dim[1] : one;
    if (angles) batch = angles->type.dim[0];
    xfc_int with_heads[4] = {batch, head_axis == 1 ? one : rows, head_axis == 1 ? rows : one, half};
    return angles ? xfc_b_reshape(n->b, angles, with_heads, 4) : NULL;
}

static xfc_value *turned(xfc_node *n, xfc_value *x, xfc_value *cos, xfc_value *sin, xfc_int width, bool neighbours,
                         uint32_t head_axis) {
    xfc_ctx *c = n->ctx;
    if (!x) return NULL;
    xfc_int two = xfc_int_const(c, 2), half = xfc_dims_divide(c, &width, 1, &two, 1), zero = xfc_int_const(c, 0),
            one = xfc_int_const(c, 1);
    cos = beside_heads(n, cos, x->type.dim[0], head_axis, half);
    sin = beside_heads(n, sin, x->type.dim[0], head_axis, half);
    xfc_value *a = slice_last(n, x, zero, half, neighbours ? 2 : 1),
              *b = slice_last(n, x, neighbours ? one : half, half, neighbours ? 2 : 1);
    xfc_value *real = xfc_n2(n, XFC_OP_SUB, xfc_n2(n, XFC_OP_MUL, cos, a), xfc_n2(n, XFC_OP_MUL, sin, b));
    xfc_value *imag = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, sin, a), xfc_n2(n, XFC_OP_MUL, cos, b));
    if (!real || !imag || !neighbours) return xfc_n_join(n, real, imag, 3);
    const xfc_int *d = real->type.dim;
    xfc_int pair[5] = {d[0], d[1], d[2], half, one}, joined[4] = {d[0], d[1], d[2], width};
    return xfc_b_reshape(n->b, xfc_n_join(n, xfc_b_reshape(n->b, real, pair, 5), xfc_b_reshape(n->b, imag, pair, 5), 4),
                         joined, 4);
}

xfc_value *xfc_n_turn(xfc_node *n, xfc_value *x, xfc_value *cos, xfc_value *sin, xfc_int width, bool neighbours,
                      uint32_t head_axis) {
    if (!x) return NULL;
    xfc_int all = x->type.dim[3];
    if (xfc_int_same(all, width)) return turned(n, x, cos, sin, width, neighbours, head_axis);
    xfc_value *first = slice_last(n, x, xfc_int_const(n->ctx, 0), width, 1);
    return xfc_n_join(n, turned(n, first, cos, sin, width, neighbours, head_axis),
                      slice_last(n, x, width, xfc_int_sub(n->ctx, all, width), 1), 3);
}

void xfc_import_rotary_embedding(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    xfc_value *x = n->in[0];
    xfc_type t = x->type;
    int64_t heads = xfc_node_int(n, "num_heads", 0), partial = xfc_node_int(n, "rotary_embedding_dim", 0);
    if ((t.rank != 4 && (t.rank != 3 || heads <= 0)) || partial < 0) {
        if (n->status == XFC_OK)
            xfc_node_fail(n, XFC_ERR_INPUT,
                          "needs an operand of rank 4, or of rank 3 with num_heads; export the model again");
        return;
    }
    uint32_t head_axis = t.rank == 4 ? 1 : 2;
    if (t.rank == 3) {
        xfc_int h = xfc_int_const(c, heads), dim[4] = {t.dim[0], t.dim[1], h, xfc_dims_divide(c, t.dim + 2, 1, &h, 1)};
        x = xfc_b_reshape(n->b, x, dim, 4);
    }
    if (!x) return;
    xfc_value *cos = xfc_n_angles(n, n->in[1], xfc_node_in(n, 3)), *sin = xfc_n_angles(n, n->in[2], xfc_node_in(n, 3));
    xfc_int width = partial ? xfc_int_const(c, partial) : x->type.dim[3];
    xfc_value *y = xfc_n_turn(n, x, cos, sin, width, xfc_node_flag(n, "interleaved", false), head_axis);
    n->out[0] = y ? xfc_b_reshape(n->b, y, t.dim, t.rank) : NULL;
}

/* x cos(emb) + rotated sin(emb) for q and k: angles [batch, rows, width], q [batch, heads, rows, width]. */
void xfc_import_gemma_rotary(xfc_node *n) {
    const xfc_type t = n->in[0]->type;
    if (t.rank != 3) {
        xfc_node_fail(n, XFC_ERR_INPUT, "needs angles [batch, rows, width]; export the model again");
        return;
    }
    const xfc_int dim[4] = {t.dim[0], xfc_int_const(n->ctx, 1), t.dim[1], t.dim[2]};
    xfc_value *by[2] = {xfc_n1(n, XFC_OP_COS, n->in[0]), xfc_n1(n, XFC_OP_SIN, n->in[0])};
    for (uint32_t i = 0; i < 2; i++) {
        by[i] = by[i] ? xfc_b_reshape(n->b, xfc_b_cast(n->b, by[i], n->in[1]->type.dtype), dim, 4) : NULL;
        if (!by[i]) return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (!xfc_node_wants(n, i)) continue;
        n->out[i] = xfc_n2(n, XFC_OP_ADD, xfc_n2(n, XFC_OP_MUL, n->in[1 + 2 * i], by[0]),
                           xfc_n2(n, XFC_OP_MUL, n->in[2 + 2 * i], by[1]));
    }
}

/* Of the attributes of com.microsoft, scale and is_packed_batching say nothing about results. */
static bool read_ms(xfc_node *n) {
    uint32_t rank = n->in[0]->type.rank;
    int64_t heads = xfc_node_int(n, "num_heads", 0), partial = xfc_node_int(n, "rotary_embedding_dim", 0);
    if ((rank == 3 || rank == 4) && n->in[2]->type.rank == 2 && n->in[3]->type.rank == 2 && heads >= 0 &&
        partial >= 0 && (!partial || heads))
        return n->status == XFC_OK;
    if (n->status == XFC_OK)
        xfc_node_fail(n, XFC_ERR_INPUT,
                      "needs an operand of rank 3 or 4, tables of rank 2, and with rotary_embedding_dim num_heads; "
                      "export the model again");
    return false;
}

/* Operand 0, turned; operand 2 is a table as wide as half of what is turned of a head. */
static void turn_all(xfc_node *n, xfc_value *cos, xfc_value *sin) {
    xfc_ctx *c = n->ctx;
    xfc_value *x = n->in[0];
    uint32_t rank = x->type.rank;
    int64_t heads = xfc_node_int(n, "num_heads", 0), partial = xfc_node_int(n, "rotary_embedding_dim", 0);
    xfc_int width = partial ? xfc_int_const(c, partial) : xfc_int_mulc(c, n->in[2]->type.dim[1], 2);
    xfc_int hidden = x->type.dim[2], count = xfc_int_const(c, heads);
    xfc_int head = heads ? xfc_dims_divide(c, &hidden, 1, &count, 1) : width;
    xfc_int dim[4] = {x->type.dim[0], x->type.dim[1], heads ? count : xfc_dims_divide(c, &hidden, 1, &head, 1), head};
    xfc_value *split = rank == 4 ? x : xfc_b_reshape(n->b, x, dim, 4);
    xfc_value *y = xfc_n_turn(n, split, cos, sin, width, xfc_node_flag(n, "interleaved", false), rank == 4 ? 1 : 2);
    n->out[0] = y ? xfc_b_reshape(n->b, y, x->type.dim, rank) : NULL;
}

/* As ONNX's, with the positions in front: a table of them, or one number that the first row has. */
void xfc_import_ms_rotary_embedding(xfc_node *n) {
    xfc_ctx *c = n->ctx;
    xfc_value *x = n->in[0], *position = n->in[1];
    if (!read_ms(n)) return;
    if (position->type.rank < 2) {
        xfc_int one = xfc_int_const(c, 1), rows = x->type.dim[x->type.rank - 2];
        position = xfc_n2(n, XFC_OP_ADD, xfc_n_along(n, xfc_n_iota(n, rows, xfc_int_const(c, 0), 1, XFC_I64), 1, 2),
                          xfc_b_cast(n->b, xfc_b_reshape(n->b, position, &one, 1), XFC_I64));
    }
    turn_all(n, xfc_n_angles(n, n->in[2], position), xfc_n_angles(n, n->in[3], position));
}

/* --- three positions for each token: of time, height and width --- */

enum { MOST_PAIRS = 1 << 16 }; /* a number for each is written down */
typedef struct {
    int64_t section[3]; /* of the pairs of a head */
    bool interleaved;   /* else one section behind the other */
} sections;

/* Of which stream pair i takes its angle. */
static int64_t stream_of(const sections *s, int64_t i) {
    if (s->interleaved) return i % 3 && i < 3 * s->section[i % 3] ? i % 3 : 0;
    return i < s->section[0] ? 0 : i < s->section[0] + s->section[1] ? 1 : 2;
}

static bool read_sections(xfc_node *n, sections *s) {
    const int64_t *given;
    uint32_t count = 0;
    int64_t layout = xfc_node_int(n, "mrope_layout", 0), all = 0;
    bool fine = xfc_node_ints(n, "mrope_section", &given, &count) && count == 3 && (layout == 0 || layout == 1);
    for (uint32_t i = 0; fine && i < 3; i++) {
        fine = given[i] >= 0 && given[i] <= XFC_DIM_MAX;
        s->section[i] = given[i], all += given[i];
    }
    s->interleaved = layout == 1;
    if (n->status != XFC_OK) return false;
    if (!fine || all > MOST_PAIRS || n->in[1]->type.rank != 3)
        return xfc_node_fail(
                   n, XFC_ERR_INPUT,
                   "needs position_ids [3, batch, rows], three sections and mrope_layout 0 or 1; export again"),
               false;
    return xfc_n_equal(n, xfc_int_const(n->ctx, all), n->in[2]->type.dim[1], "the sections and the tables of angles") &&
           xfc_n_equal(n, n->in[1]->type.dim[0], xfc_int_const(n->ctx, 3), "the streams of position_ids and 3");
}

/* The angles of a token, [batch, rows, half]: of each pair those of its stream. */
static xfc_value *mixed(xfc_node *n, const sections *s, xfc_value *table) {
    xfc_value *y = NULL;
    int64_t half = s->section[0] + s->section[1] + s->section[2];
    for (int64_t stream = 0; stream < 3; stream++) {
        xfc_int one = xfc_int_const(n->ctx, 1), *d = n->in[1]->type.dim;
        xfc_value *at = xfc_b_slice_axis(n->b, n->in[1], 0, xfc_int_const(n->ctx, stream), one, 1);
        xfc_value *angles = at ? xfc_n_angles(n, table, xfc_b_reshape(n->b, at, (xfc_int[]){d[1], d[2]}, 2)) : NULL;
        uint8_t *mine = xfc_tensor_alloc(n->ctx, XFC_BOOL, 1, &half);
        for (int64_t i = 0; i < half; i++) mine[i] = stream_of(s, i) == stream;
        xfc_value *chosen = xfc_b_const(n->b, xfc_tensor_new(n->ctx, XFC_BOOL, 1, &half, mine, NULL));
        if (!angles || !chosen) return NULL;
        y = y ? xfc_n_select(n, chosen, angles, y) : angles;
    }
    return y;
}

void xfc_import_multimodal_rotary(xfc_node *n) {
    sections s;
    if (read_ms(n) && read_sections(n, &s)) turn_all(n, mixed(n, &s, n->in[2]), mixed(n, &s, n->in[3]));
}

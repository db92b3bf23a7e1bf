/* routines.c - the types of ops that are routines of their own: which rows are there (unique), boxes that overlap no
 * better one (nms), texts (find_texts, split_texts, match_texts, change_case, read_numbers, write_numbers), regions of images
 * (roi_align), determinants and inverses, bits as another type, numbers of fewer bits than a byte as files and callers
 * hold them, caches that grow, and which keys a mask leaves (reach).
 *
 * Results whose number data decides have room for the most; a result of their own says how many there are.
 */
#include "ir/ops/ops.h"

static xfc_status refuse(xfc_infer *inf, const char *what) {
    return xfc_fail(inf->ctx, XFC_ERR_INPUT, inf->op->loc, "%s takes %s: correct its operands",
                    xfc_ops[inf->op->code].name, what);
}

static bool is(const xfc_type *t, xfc_dtype dtype, uint32_t rank) { return t->dtype == dtype && t->rank == rank; }

/* How many rows there are at most must be a number that can be counted. */
static xfc_status check_count(xfc_infer *inf, xfc_int n) {
    if (xfc_int_known(n)) return XFC_OK;
    return xfc_fail(inf->ctx, XFC_ERR_LIMIT, inf->op->loc, "%s of more than 2^63 elements",
                    xfc_ops[inf->op->code].name);
}

xfc_status infer_unique(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    const xfc_int one = xfc_int_const(inf->ctx, 1);
    if (x->rank != 2) return refuse(inf, "rows [n, m]");
    for (uint32_t i = 0; i < 3; i++) inf->out[i] = xfc_type_make(XFC_I64, 1, x->dim);
    inf->out[3] = xfc_type_make(XFC_I64, 1, &one);
    return XFC_OK;
}

xfc_status infer_time_warp(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    if (!is(x, XFC_F32, 2)) return refuse(inf, "costs f32 [m, n]");
    const xfc_int one = xfc_int_const(inf->ctx, 1),
                  dim[2] = {xfc_int_const(inf->ctx, 2), xfc_int_add(inf->ctx, x->dim[0], x->dim[1])};
    XFC_TRY(check_count(inf, dim[1]));
    inf->out[0] = xfc_type_make(XFC_I32, 2, dim);
    inf->out[1] = xfc_type_make(XFC_I64, 1, &one);
    return XFC_OK;
}

xfc_status infer_nms(xfc_infer *inf) {
    xfc_ctx *c = inf->ctx;
    const xfc_type *boxes = xfc_op_in(inf->op, 0), *scores = xfc_op_in(inf->op, 1);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    const xfc_int one = xfc_int_const(c, 1), three = xfc_int_const(c, 3);
    bool limits = is(xfc_op_in(inf->op, 2), XFC_I64, 1) && is(xfc_op_in(inf->op, 3), XFC_F32, 1) &&
                  is(xfc_op_in(inf->op, 4), XFC_F32, 1);
    if (!is(boxes, XFC_F32, 3) || !is(scores, XFC_F32, 3) || !limits || size->n != 1)
        return refuse(inf,
                      "boxes f32 [b, n, 4], scores f32 [b, classes, n], limits i64 [1], f32 [1] and f32 [1], and one "
                      "size");
    for (uint32_t i = 2; i < 5; i++) XFC_TRY(xfc_infer_equal(inf, xfc_op_in(inf->op, i)->dim[0], one, "a limit and 1"));
    XFC_TRY(xfc_infer_equal(inf, boxes->dim[2], xfc_int_const(c, 4), "the numbers of a box and 4"));
    XFC_TRY(xfc_infer_equal(inf, boxes->dim[0], scores->dim[0], "the batches of boxes and scores"));
    XFC_TRY(xfc_infer_equal(inf, boxes->dim[1], scores->dim[2], "the numbers of boxes and scores"));
    XFC_TRY(xfc_infer_at_most(inf, xfc_int_const(c, 0), size->u.dims[0], "0 and the boxes of a class"));
    XFC_TRY(xfc_infer_at_most(inf, size->u.dims[0], boxes->dim[1], "the boxes of a class and all boxes"));
    xfc_int rows = xfc_int_mul(c, xfc_int_mul(c, scores->dim[0], scores->dim[1]), size->u.dims[0]);
    XFC_TRY(check_count(inf, rows));
    inf->out[0] = xfc_type_make(XFC_I64, 2, (xfc_int[]){rows, three});
    inf->out[1] = xfc_type_make(XFC_I64, 1, &one);
    return XFC_OK;
}

static bool is_table(xfc_infer *inf, uint32_t first) {
    return is(xfc_op_in(inf->op, first), XFC_U8, 1) && is(xfc_op_in(inf->op, first + 1), XFC_I64, 1) &&
           is(xfc_op_in(inf->op, first + 2), XFC_I64, 1);
}

static const char table_of_texts[] = "tables of bytes u8 [s], starts i64 [n] and lengths i64 [n]";

xfc_status infer_find_texts(xfc_infer *inf) {
    if (!is_table(inf, 0) || !is_table(inf, 3)) return refuse(inf, table_of_texts);
    for (uint32_t i = 1; i < 6; i += 3)
        XFC_TRY(xfc_infer_equal(inf, xfc_op_in(inf->op, i)->dim[0], xfc_op_in(inf->op, i + 1)->dim[0],
                                "the starts and the lengths of texts"));
    inf->out[0] = *xfc_op_in(inf->op, 4);
    return XFC_OK;
}

xfc_status infer_split_texts(xfc_infer *inf) {
    const xfc_int n = xfc_op_in(inf->op, 1)->dim[0];
    if (!is_table(inf, 0) || !is(xfc_op_in(inf->op, 3), XFC_U8, 1)) return refuse(inf, table_of_texts);
    XFC_TRY(xfc_infer_equal(inf, n, xfc_op_in(inf->op, 2)->dim[0], "the starts and the lengths of texts"));
    xfc_int most = xfc_int_addc(inf->ctx, xfc_int_add(inf->ctx, xfc_op_in(inf->op, 0)->dim[0], n), 1);
    XFC_TRY(check_count(inf, most));
    for (uint32_t i = 0; i < 4; i++) inf->out[i] = xfc_type_make(XFC_I64, 1, i < 2 ? &most : &n);
    return XFC_OK;
}

xfc_status infer_match_texts(xfc_infer *inf) {
    const xfc_type *class_of = xfc_op_in(inf->op, 3);
    if (!is_table(inf, 0)) return refuse(inf, table_of_texts);
    if (!is(class_of, XFC_U8, 1) || !is(xfc_op_in(inf->op, 4), XFC_I32, 2))
        return refuse(inf, "classes u8 [256] and states i32 [m, k]");
    XFC_TRY(xfc_infer_equal(inf, class_of->dim[0], xfc_int_const(inf->ctx, 256), "the classes of bytes and 256"));
    XFC_TRY(xfc_infer_equal(inf, xfc_op_in(inf->op, 1)->dim[0], xfc_op_in(inf->op, 2)->dim[0],
                            "the starts and the lengths of texts"));
    inf->out[0] = xfc_type_make(XFC_BOOL, 1, xfc_op_in(inf->op, 1)->dim);
    return XFC_OK;
}

xfc_status infer_change_case(xfc_infer *inf) {
    const xfc_type *bytes = xfc_op_in(inf->op, 0);
    if (!is(bytes, XFC_U8, 1)) return refuse(inf, "bytes u8 [s]");
    const xfc_int s = bytes->dim[0], last = xfc_int_addc(inf->ctx, s, 1),
                  room = xfc_int_add(inf->ctx, s, xfc_int_floordiv(inf->ctx, s, xfc_int_const(inf->ctx, 2)));
    XFC_TRY(check_count(inf, room));
    XFC_TRY(check_count(inf, last));
    inf->out[0] = xfc_type_make(XFC_U8, 1, &room);
    inf->out[1] = xfc_type_make(XFC_I64, 1, &last);
    return XFC_OK;
}

xfc_status infer_read_numbers(xfc_infer *inf) {
    xfc_dtype to = xfc_op_attr(inf->op, XFC_K_TO)->u.dtype;
    const xfc_int n = xfc_op_in(inf->op, 1)->dim[0];
    if (!is_table(inf, 0)) return refuse(inf, table_of_texts);
    if (xfc_dtype_is_stored(to)) return refuse(inf, "a type of floats, integers of whole bytes or bools");
    XFC_TRY(xfc_infer_equal(inf, n, xfc_op_in(inf->op, 2)->dim[0], "the starts and the lengths of texts"));
    inf->out[0] = xfc_type_make(to, 1, &n);
    inf->out[1] = xfc_type_make(XFC_BOOL, 1, &n);
    return XFC_OK;
}

enum { NUMBER_TEXT = 24 }; /* bytes of the longest one */

xfc_status infer_write_numbers(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    if (x->rank != 1 || (!xfc_dtype_is_float(x->dtype) && x->dtype != XFC_I64 && x->dtype != XFC_U64))
        return refuse(inf, "floats, i64 or u64 [n]");
    xfc_int bytes = xfc_int_mul(inf->ctx, x->dim[0], xfc_int_const(inf->ctx, NUMBER_TEXT));
    XFC_TRY(check_count(inf, bytes));
    inf->out[0] = xfc_type_make(XFC_U8, 1, &bytes);
    inf->out[1] = inf->out[2] = xfc_type_make(XFC_I64, 1, x->dim);
    return XFC_OK;
}

xfc_status infer_bitcast(xfc_infer *inf) {
    xfc_dtype to = xfc_op_attr(inf->op, XFC_K_TO)->u.dtype, from = xfc_op_in(inf->op, 0)->dtype;
    if (xfc_dtype_bytes(to) != xfc_dtype_bytes(from) || xfc_dtype_is_stored(to) || (to == XFC_BOOL && from != XFC_BOOL))
        return xfc_fail(inf->ctx, XFC_ERR_UNSUPPORTED, inf->op->loc,
                        "the bits of %s are no %s: give a type of the same size other than bool", xfc_dtype_name(from),
                        xfc_dtype_name(to));
    inf->out[0] = *xfc_op_in(inf->op, 0);
    inf->out[0].dtype = to;
    return XFC_OK;
}

xfc_status infer_unpack_bits(xfc_infer *inf) {
    inf->out[0] = *xfc_op_in(inf->op, 0);
    inf->out[0].dtype = xfc_dtype_unpacked(inf->out[0].dtype);
    return inf->out[0].dtype == xfc_op_in(inf->op, 0)->dtype ? refuse(inf, "numbers that are packed") : XFC_OK;
}

xfc_status infer_pack_bits(xfc_infer *inf) {
    inf->out[0] = *xfc_op_in(inf->op, 0);
    inf->out[0].dtype = xfc_dtype_packed(inf->out[0].dtype);
    return inf->out[0].dtype == xfc_op_in(inf->op, 0)->dtype ? refuse(inf, "numbers of fewer bits than a byte")
                                                             : XFC_OK;
}

static xfc_status check_square(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    if ((x->dtype != XFC_F32 && x->dtype != XFC_F64) || x->rank < 2)
        return refuse(inf, "matrices [.., n, n] of f32 or f64");
    return xfc_infer_equal(inf, x->dim[x->rank - 2], x->dim[x->rank - 1], "rows and columns of a square matrix");
}

xfc_status infer_det(xfc_infer *inf) {
    const xfc_type *x = xfc_op_in(inf->op, 0);
    XFC_TRY(check_square(inf));
    inf->out[0] = xfc_type_make(x->dtype, x->rank - 2, x->dim);
    return XFC_OK;
}

xfc_status infer_inverse(xfc_infer *inf) {
    XFC_TRY(check_square(inf));
    inf->out[0] = *xfc_op_in(inf->op, 0);
    return XFC_OK;
}

xfc_status infer_roi_align(xfc_infer *inf) {
    xfc_ctx *c = inf->ctx;
    const xfc_type *x = xfc_op_in(inf->op, 0), *regions = xfc_op_in(inf->op, 1), *image = xfc_op_in(inf->op, 2);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    int64_t samples = xfc_op_int(inf->op, XFC_K_SAMPLES, 0);
    bool types = (x->dtype == XFC_F32 || x->dtype == XFC_F64) && is(regions, x->dtype, 2) && is(image, XFC_I64, 1);
    if (x->rank != 4 || !types || size->n != 2 || samples < 0 || samples > INT32_MAX)
        return refuse(inf,
                      "x [b, c, h, w] and regions [r, 4] of f32 or f64, images i64 [r], two sizes, and no negative "
                      "number of samples");
    XFC_TRY(xfc_infer_equal(inf, regions->dim[1], xfc_int_const(c, 4), "the numbers of a region and 4"));
    XFC_TRY(xfc_infer_equal(inf, regions->dim[0], image->dim[0], "the regions and their images"));
    for (uint32_t i = 0; i < 2; i++)
        XFC_TRY(xfc_infer_at_most(inf, xfc_int_const(c, 1), size->u.dims[i], "1 and a size of roi_align"));
    inf->out[0] = xfc_type_make(x->dtype, 4, (xfc_int[]){image->dim[0], x->dim[1], size->u.dims[0], size->u.dims[1]});
    return XFC_OK;
}

/* Rows and keys of a block: two numbers that are known. */
static bool is_block(const xfc_ctx *c, const xfc_attr *size) {
    int64_t n;
    bool ok = size->n == 2;
    for (uint32_t i = 0; ok && i < 2; i++) ok = xfc_int_value(c, size->u.dims[i], &n) && n >= 1;
    return ok;
}

/* [1, h, s, t] for [h, s, t]. */
xfc_status infer_reach(xfc_infer *inf) {
    const xfc_type *bias = xfc_op_in(inf->op, 0);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    if (bias->dtype != XFC_F32 || bias->rank < 2 || bias->rank > 4 || !is_block(inf->ctx, size))
        return refuse(inf, "f32 of two to four dims, and two sizes, numbers of at least 1");
    const xfc_int one = xfc_int_const(inf->ctx, 1);
    xfc_int dim[4] = {one, one, xfc_int_ceildiv(inf->ctx, bias->dim[bias->rank - 2], size->u.dims[0]),
                      xfc_int_const(inf->ctx, 2)};
    for (uint32_t d = 0; d + 2 < bias->rank; d++) dim[d + 4 - bias->rank] = bias->dim[d];
    inf->out[0] = xfc_type_make(XFC_I32, 4, dim);
    return XFC_OK;
}

xfc_status infer_reach_ragged(xfc_infer *inf) {
    const xfc_type *bias = xfc_op_in(inf->op, 0), *cu = xfc_op_in(inf->op, 1), *tasks = xfc_op_in(inf->op, 2);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    const xfc_int two = xfc_int_const(inf->ctx, 2), one = xfc_int_const(inf->ctx, 1);
    if (!is(bias, XFC_F32, 4) || !is(cu, XFC_I32, 1) || !is(tasks, XFC_I32, 2) ||
        !is(xfc_op_in(inf->op, 3), XFC_I32, 1) || !xfc_int_is(inf->ctx, bias->dim[1], 1) ||
        xfc_int_is(inf->ctx, cu->dim[0], 0) || !is_block(inf->ctx, size))
        return refuse(
            inf, "f32 [1 or n, 1, 1 or s, s], i32 [n + 1], i32 [m, 2], i32 [t], and two sizes, numbers of at least 1");
    const xfc_int all[2] = {xfc_int_addc(inf->ctx, cu->dim[0], -1), bias->dim[3]};
    for (uint32_t i = 0; i < 2; i++)
        if (!xfc_int_same(bias->dim[2 * i], one))
            XFC_TRY(xfc_infer_equal(inf, bias->dim[2 * i], all[i], "a bias and the sequences or positions"));
    XFC_TRY(xfc_infer_equal(inf, tasks->dim[1], two, "the numbers of a task and 2"));
    inf->out[0] = xfc_type_make(XFC_I32, 2, tasks->dim);
    inf->out[0].dim[1] = two;
    return XFC_OK;
}

xfc_status infer_append(xfc_infer *inf) {
    const xfc_type *past = xfc_op_in(inf->op, 0), *rows = xfc_op_in(inf->op, 1), *first = xfc_op_in(inf->op, 2);
    const xfc_attr *size = xfc_op_attr(inf->op, XFC_K_SIZE);
    uint32_t axis;
    if (past->dtype != rows->dtype || past->rank != rows->rank || xfc_dtype_is_packed(past->dtype) ||
        (!is(first, XFC_I64, 1) && !is(first, XFC_I64, 2)) || size->n != 3)
        return refuse(
            inf, "two tensors of one type, of at least a byte, and of one rank, i64 [n] or [n, s], and three sizes");
    XFC_TRY(xfc_infer_axis(inf, xfc_op_int(inf->op, XFC_K_AXIS, 0), past->rank, &axis));
    if (!xfc_int_is(inf->ctx, first->dim[0], 1)) {
        if (axis == 0) return refuse(inf, "one place where the axis is the first dim");
        XFC_TRY(xfc_infer_equal(inf, first->dim[0], past->dim[0], "the places and the first dim of append"));
    }
    if (first->rank == 2) XFC_TRY(xfc_infer_equal(inf, first->dim[1], rows->dim[axis], "the places and the new rows"));
    inf->out[0] = *past;
    for (uint32_t d = 0; d < past->rank; d++)
        if (d != axis) XFC_TRY(xfc_infer_equal(inf, past->dim[d], rows->dim[d], "dims other than the axis"));
    inf->out[0].dim[axis] = size->u.dims[0];
    XFC_TRY(check_count(inf, xfc_type_count(inf->ctx, &inf->out[0])));
    XFC_TRY(xfc_infer_at_most(inf, past->dim[axis], size->u.dims[0], "the rows of the past and of the result"));
    XFC_TRY(xfc_infer_at_most(inf, rows->dim[axis], size->u.dims[0], "the new rows and those of the result"));
    XFC_TRY(xfc_infer_at_most(inf, size->u.dims[1], size->u.dims[0],
                              "the rows up to which it is 0 and those of the result"));
    return xfc_infer_at_most(inf, size->u.dims[2], size->u.dims[0], "the rows in use and those of the result");
}

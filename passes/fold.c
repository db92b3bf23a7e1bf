/* fold.c - evaluates at compile time what can be known then.
 *
 * Two sources of knowledge. Operands that are constants: the interpreter runs the op. Symbolic contents
 * (xfc_value.content): shape arithmetic whose every element is an expression over the model's dims becomes `dims`, or a
 * constant if all are numbers, even where an operand is unknown (Shape reads no data). One walk in order suffices,
 * since operands come first.
 *
 * What is not folded: results that blow up (over 64 KiB and over 4x the operands: an expand, an iota of a table's
 * size); products of two constants larger than their factors (factors are cheaper to store and to read); anything past
 * a budget of growth and of work for the whole graph, so that a hostile file cannot make the compiler run for hours.
 * pack always folds: its result replaces its operand; so does dequantize, since weights of few bits are multiplied as
 * floats. An integer weight stays as narrow as it is: loads widen it. Views of panels that a packed product reads stay
 * views: share made them. It does not simplify: an op with one unknown operand stays. A branch whose condition is
 * constant becomes the body that it takes.
 *
 *   %0 = dims {values = [batch, 64], shape = [2]}              |
 *   %1 = slice %0 {start = [1], size = [1], step = [1]}        |  %3 = const : f32[1] = [8.0]
 *   %2 = cast %1 {to = f32}                                    |
 *   %3 = sqrt %2                                               |
 */
#include "ir/eval/eval.h"
#include "ir/made.h"
#include "ir/program.h"
#include "passes/rewrite/rewrite.h"

#include <string.h>

enum {
    FREE_BYTES = 64 << 10,   /* results up to this may be any multiple of their operands */
    SOURCE_BYTES = 4 << 10,  /* the same for ops without operands */
    GROWTH_BYTES = 64 << 20, /* budgets for one run of the pass */
    MAX_OPERANDS = 4096,
};
#define WORK_BUDGET ((int64_t)1 << 31) /* scalar operations */

typedef struct {
    xfc_pass *pass;
    xfc_arena *temp; /* emptied after each op */
    int64_t growth, work;
} folder;

static void replace(xfc_op *op, xfc_value *with) {
    if (!with) return;
    xfc_value_replace(&op->out[0], with);
    xfc_op_remove(op);
}

/* All elements are numbers: *data is then dense data of the type. */
static bool content_numbers(folder *f, const xfc_value *v, int64_t count, void **data) {
    *data = xfc_alloc_array(f->temp, (size_t)count + 1, 8, 8);
    for (int64_t i = 0; i < count; i++) {
        int64_t x;
        if (!xfc_int_value(f->pass->graph->ctx, v->content[i], &x)) return false;
        xfc_element_set_i(v->type.dtype, *data, i, x);
    }
    return true;
}

static bool content_known(const xfc_value *v, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (!xfc_int_known(v->content[i])) return false;
    }
    return true;
}

/* dims of rank 0 or 1, reshaped to what the value was. */
static xfc_value *build_dims(xfc_builder *b, const xfc_value *v, int64_t count) {
    xfc_int extent = xfc_int_const(b->graph->ctx, count);
    xfc_attr attr[] = {
        xfc_attr_dims(XFC_K_VALUES, v->content, (uint32_t)count),
        xfc_attr_dims(XFC_K_SHAPE, &extent, v->type.rank == 0 ? 0 : 1),
        xfc_attr_dtype(XFC_K_TO, v->type.dtype),
    };
    xfc_value *dims = xfc_build(b, XFC_OP_DIMS, NULL, 0, attr, XFC_COUNT(attr));
    return xfc_b_reshape(b, dims, v->type.dim, v->type.rank);
}

static bool fold_content(folder *f, xfc_op *op) {
    xfc_ctx *ctx = f->pass->graph->ctx;
    xfc_value *v = &op->out[0];
    int64_t dim[XFC_MAX_RANK], count;
    void *data;
    if (!v->content || xfc_dtype_is_float(v->type.dtype) || !xfc_type_static(ctx, &v->type, dim, &count)) return false;
    if (!content_known(v, count)) return false;
    xfc_builder b = {.graph = f->pass->graph, .before = op, .loc = op->loc};
    if (content_numbers(f, v, count, &data)) {
        replace(op, xfc_b_const(&b, xfc_tensor_copy(ctx, v->type.dtype, v->type.rank, dim, data, NULL)));
        return true;
    }
    bool of_dims = op->code == XFC_OP_RESHAPE && op->in[0].value->def && op->in[0].value->def->code == XFC_OP_DIMS;
    if (op->code == XFC_OP_DIMS || (of_dims && v->type.rank > 1) || !xfc_dtype_is_int(v->type.dtype)) return false;
    replace(op, build_dims(&b, v, count));
    return true;
}

/* Scalar operations of evaluating an op, about; negative: not static. */
static int64_t work_of(const xfc_ctx *ctx, const xfc_op *op, int64_t count_out, int64_t bytes_in) {
    int64_t dim[XFC_MAX_RANK], count, work;
    if (op->code == XFC_OP_MATMUL || op->code == XFC_OP_LINEAR) {
        const xfc_type *x = &op->in[0].value->type;
        if (!xfc_type_static(ctx, x, dim, &count) || !xfc_mul_ok(count_out, dim[x->rank - 1], &work)) return INT64_MAX;
        return work;
    }
    if (op->code == XFC_OP_ATTENTION || op->code == XFC_OP_ATTENTION_PACKED || xfc_op_has(op, XFC_CONTRACT))
        return INT64_MAX;
    return count_out + bytes_in;
}

/* A view of what is stored for a product already. */
static bool views_panels(const xfc_op *op) {
    if (!xfc_op_has(op, XFC_VIEW) || op->code == XFC_OP_PACK) return false;
    xfc_foreach_use(use, op->in[0].value)
        if (use->user->code == XFC_OP_MATMUL_PACKED && use == &use->user->in[1]) return true;
    return false;
}

static bool widens_integers(const xfc_op *op) {
    return op->code == XFC_OP_CAST && xfc_dtype_is_int(op->in[0].value->type.dtype) &&
           xfc_dtype_is_int(op->out[0].type.dtype);
}

/* Is the result worth keeping? Charges the budgets if so. */
static bool worth_it(folder *f, const xfc_op *op, int64_t count_out, int64_t bytes_out, int64_t bytes_in) {
    if (op->code == XFC_OP_PACK || op->code == XFC_OP_DEQUANTIZE) return true;
    if (op->n_in && views_panels(op)) return false;
    if (bytes_out > FREE_BYTES && bytes_out > bytes_in && widens_integers(op)) return false;
    if (op->n_in == 0 && bytes_out > SOURCE_BYTES) return false;
    if (bytes_out > FREE_BYTES && bytes_out / 4 > bytes_in) return false;
    bool product = xfc_op_has(op, XFC_CONTRACT) || op->code == XFC_OP_LINEAR;
    if (product && bytes_out > bytes_in) return false;
    int64_t work = work_of(f->pass->graph->ctx, op, count_out, bytes_in);
    int64_t growth = bytes_out > bytes_in ? bytes_out - bytes_in : 0;
    if (work > f->work || growth > f->growth) return false;
    f->work -= work;
    f->growth -= growth;
    return true;
}

/* Constants that only op used go with it, and their memory at once: of a model's weights there is one copy, and at most
 * one weight in two. */
static void replace_whole(folder *f, xfc_op *op, xfc_value *with) {
    xfc_value **in = xfc_new_array(f->temp, xfc_value *, op->n_in + 1u);
    for (uint32_t i = 0; i < op->n_in; i++) in[i] = op->in[i].value;
    uint32_t n = op->n_in;
    replace(op, with);
    for (uint32_t i = 0; i < n; i++) {
        const xfc_tensor *t;
        if (!in[i] || !xfc_value_is_const(in[i], &t)) continue;
        xfc_storage_rest(t->storage);
        if (in[i]->uses) continue;
        for (uint32_t j = i + 1; j < n; j++)
            if (in[j] == in[i]) in[j] = NULL;
        xfc_op_remove(in[i]->def);
        xfc_storage_release(f->pass->graph->ctx, t->storage);
    }
}

/* Operands as arrays; false unless all are constants. */
static bool constant_operands(const xfc_op *op, xfc_array *in, int64_t *bytes) {
    *bytes = 0;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const xfc_tensor *t;
        if (!op->in[i].value) continue;
        if (!xfc_value_is_const(op->in[i].value, &t)) return false;
        in[i] = (xfc_array){.dtype = t->dtype, .rank = t->rank, .count = t->count, .data = (void *)(uintptr_t)t->data};
        memcpy(in[i].dim, t->dim, sizeof(in[i].dim));
        if (!xfc_add_ok(*bytes, (int64_t)t->bytes, bytes)) return false;
    }
    return true;
}

/* A slice of a constant may start at a symbol though its size is a number. */
static bool constant_attrs(const xfc_ctx *ctx, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_attr; i++) {
        const xfc_attr *a = &op->attr[i];
        if (xfc_key_kind(a->key) != XFC_ATTR_DIMS) continue;
        for (uint32_t j = 0; j < a->n; j++) {
            int64_t ignored;
            if (!xfc_int_value(ctx, a->u.dims[j], &ignored)) return false;
        }
    }
    return true;
}

static const xfc_made *made_of(const xfc_value *v) {
    const xfc_tensor *t;
    return xfc_value_is_const(v, &t) ? xfc_tensor_made(v->def->graph->ctx, t) : NULL;
}

/* The elements of a matrix in panels: what makes it makes these as well. */
static bool only_packs(const xfc_op *op) {
    return op->code == XFC_OP_PACK && op->in[0].value->type.rank == 2 && xfc_op_int(op, XFC_K_GROUP, 1) == 1 &&
           op->out[0].type.dtype == op->in[0].value->type.dtype;
}

static bool fold_constants(folder *f, xfc_op *op) {
    xfc_ctx *ctx = f->pass->graph->ctx;
    const xfc_type *type = &op->out[0].type;
    int64_t dim[XFC_MAX_RANK], count, bytes_in;
    size_t bytes_out;
    if (op->n_in > MAX_OPERANDS || !xfc_type_static(ctx, type, dim, &count) || !constant_attrs(ctx, op)) return false;
    if (!xfc_tensor_count(type->dtype, type->rank, dim, &count, &bytes_out)) return false;
    xfc_array *in = xfc_new_array(f->temp, xfc_array, op->n_in + 1u);
    if (!constant_operands(op, in, &bytes_in) || bytes_out > INT64_MAX) return false;
    if (!worth_it(f, op, count, (int64_t)bytes_out, bytes_in)) return false;
    bool large = bytes_out >= XFC_STORAGE_BYTES; /* evaluated where it stays */
    xfc_array out = {.data = large ? xfc_tensor_alloc(ctx, type->dtype, type->rank, dim) : NULL};
    xfc_status status = xfc_eval_op(op, in, &out, large ? NULL : f->temp, NULL, NULL);
    if (status != XFC_OK) {
        f->pass->status = status;
        return false;
    }
    xfc_builder b = {.graph = f->pass->graph, .before = op, .loc = op->loc};
    const xfc_tensor *made =
        (large ? xfc_tensor_new : xfc_tensor_copy)(ctx, type->dtype, type->rank, dim, out.data, NULL);
    const xfc_tensor *folded = xfc_tensor_unique(ctx, made);
    if (only_packs(op)) xfc_tensor_mark(ctx, folded, made_of(op->in[0].value));
    replace_whole(f, op, xfc_b_const(&b, folded));
    return true;
}

/* Not what is returned from LEGAL on: an output is computed into a place of its own. */
static bool is_candidate(const xfc_op *op) {
    if (xfc_op_has(op, XFC_STRUCT) || !xfc_op_has(op, XFC_PURE) || op->n_out != 1 || !op->out[0].uses) return false;
    if (op->graph->stage == XFC_STAGE_IMPORTED) return true;
    xfc_foreach_use(use, &op->out[0]) {
        if (use->user->code == XFC_OP_RETURN) return false;
    }
    return true;
}

/* A branch whose way is known is the body that it takes. */
static bool fold_branch(xfc_op *op) {
    const xfc_tensor *cond;
    if (op->code != XFC_OP_BRANCH || op->graph->stage != XFC_STAGE_IMPORTED) return false;
    if (!xfc_value_is_const(op->in[0].value, &cond)) return false;
    xfc_arena *scratch = xfc_arena_new();
    const xfc_graph *body = xfc_op_attr(op, xfc_tensor_get_i(cond, 0) ? XFC_K_THEN : XFC_K_ELSE)->u.graph;
    xfc_value **in = xfc_new_array(scratch, xfc_value *, body->n_in);
    for (uint32_t i = 0; i < body->n_in; i++) in[i] = op->in[i + 1].value;
    xfc_inline(op, body, in);
    xfc_arena_free(scratch);
    return true;
}

bool xfc_fold(xfc_pass *pass) {
    folder f = {.pass = pass, .temp = xfc_arena_new(), .growth = GROWTH_BYTES, .work = WORK_BUDGET};
    bool changed = false;
    xfc_foreach_op_safe(op, pass->graph) {
        if (pass->status != XFC_OK) break;
        bool inlined = fold_branch(op);
        changed |= inlined;
        if (inlined || !is_candidate(op)) continue;
        changed |= fold_content(&f, op) || fold_constants(&f, op);
        xfc_arena_reset(f.temp);
    }
    xfc_arena_free(f.temp);
    return changed;
}

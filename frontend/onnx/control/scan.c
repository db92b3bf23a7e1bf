/* scan.c - Scan: a loop over as many steps as its inputs have slices, which is a size (steps.h).
 *
 * The slice of a step is a gather by the step's number, which the kernels that read it compute with; what each step
 * gives becomes a list, whose rows are turned and moved to their axis behind the loop. In opset 8 all has a batch in
 * front, which is a loop around this one; where sequences have lengths of their own, it ends behind the last step of each, a
 * reversed one begins with its last slice, and the rest of a list is 0.
 */
#include "frontend/onnx/control/steps.h"

typedef struct {
    xfc_node *n;
    const Onnx__GraphProto *g;
    xfc_value *const *in; /* states, then what is scanned */
    const char *directions;
    uint32_t n_in, n_states, n_scanned, n_lists;
    xfc_int count;     /* of steps */
    xfc_value *length; /* how many of them are done, i64[]; NULL: all */
    xfc_steps steps;
} scan;

/* Entry i of a list of integers that may be absent; 0 then. */
static int64_t entry(scan *s, const char *name, uint32_t i, uint32_t want) {
    const int64_t *at;
    uint32_t n;
    if (!xfc_node_ints(s->n, name, &at, &n) || s->n->status != XFC_OK) return 0;
    if (n == want) return at[i];
    xfc_node_fail(s->n, XFC_ERR_INPUT, "attribute '%s' has %u entries, not %u; export the model again", name, n, want);
    return 0;
}

static bool flag(scan *s, const char *name, uint32_t i, uint32_t want) {
    int64_t v = entry(s, name, i, want);
    if (v != 0 && v != 1 && s->n->status == XFC_OK)
        xfc_node_fail(s->n, XFC_ERR_INPUT, "attribute '%s' holds %lld, not 0 or 1; export the model again", name,
                      (long long)v);
    return v == 1;
}

static uint32_t axis_of(scan *s, uint32_t i, const xfc_value *v) {
    return xfc_node_axis(s->n, entry(s, "scan_input_axes", i, s->n_scanned), v->type.rank);
}

static bool read_body(scan *s) {
    xfc_node *n = s->n;
    s->g = xfc_node_graph(n, "body");
    int64_t scanned = xfc_node_int(n, "num_scan_inputs", 0);
    if (n->status != XFC_OK) return false;
    if (scanned < 1 || scanned > s->n_in || s->g->n_input != s->n_in || s->g->n_output != n->n_out ||
        n->n_out < s->n_in - (uint32_t)scanned)
        return xfc_node_fail(n, XFC_ERR_INPUT,
                             "with %u operands, %lld of them scanned, and %u outputs has a body of %zu inputs and %zu "
                             "outputs; export the model again",
                             s->n_in, (long long)scanned, n->n_out, s->g->n_input, s->g->n_output),
               false;
    s->n_scanned = (uint32_t)scanned;
    s->n_states = s->n_in - s->n_scanned;
    s->n_lists = n->n_out - s->n_states;
    for (uint32_t i = 0; i < s->n_in; i++)
        if (!s->in[i])
            return xfc_node_fail(n, XFC_ERR_UNSUPPORTED, "operand %u is missing or no tensor; give it a value",
                                 i + n->n_in - s->n_in),
                   false;
    return true;
}

static bool count_steps(scan *s) {
    xfc_node *n = s->n;
    for (uint32_t i = 0; i < s->n_scanned; i++) {
        const xfc_value *v = s->in[s->n_states + i];
        uint32_t axis = axis_of(s, i, v);
        if (n->status != XFC_OK) return false;
        if (i == 0) s->count = v->type.dim[axis];
        if (!xfc_n_equal(n, v->type.dim[axis], s->count, "numbers of steps of what is scanned")) return false;
    }
    return true;
}

/* What the body gets: states, then the slices of this step. */
static xfc_result *inputs(scan *s) {
    xfc_node *n = s->n;
    xfc_result *in = xfc_new_array(n->im->arena, xfc_result, s->n_in + 1);
    for (uint32_t i = 0; i < s->n_states; i++) {
        s->steps.in[i].name = xfc_str(n->ctx, s->g->input[i]->name);
        in[i].value = &s->steps.in[i];
    }
    for (uint32_t i = 0; i < s->n_scanned; i++) {
        xfc_value *v = s->in[s->n_states + i];
        xfc_int last = xfc_int_addc(n->ctx, s->count, -1);
        xfc_value *number = s->steps.number;
        if (flag(s, s->directions, i, s->n_scanned)) {
            xfc_value *end = s->length ? xfc_n2(n, XFC_OP_SUB, s->length, xfc_ni(n, 1)) : xfc_b_dims(n->b, &last, -1);
            number = xfc_n2(n, XFC_OP_SUB, end, number);
        }
        in[s->n_states + i].value = xfc_n_gather(n, v, number, axis_of(s, i, v));
    }
    for (uint32_t i = 0; i < s->n_in; i++)
        if (!in[i].value || n->status != XFC_OK) return NULL;
    return in;
}

/* Whether to go on; what is carried next; rows. */
static xfc_value **results(scan *s, const xfc_result *out) {
    xfc_node *n = s->n;
    xfc_value **all = xfc_new_array(n->im->arena, xfc_value *, n->n_out + 1);
    for (uint32_t i = 0; out && i < n->n_out; i++) {
        xfc_value *made = xfc_plain(n, out[i], "output", i);
        if (!made) return NULL;
        all[i + 1] = i < s->n_states ? xfc_steps_next(&s->steps, i, made) : made;
        if (!all[i + 1]) return NULL;
    }
    xfc_value *next = s->length ? xfc_n2(n, XFC_OP_ADD, s->steps.number, xfc_ni(n, 1)) : NULL;
    all[0] = s->length ? xfc_n2(n, XFC_OP_LT, next, s->length) : xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    return out ? all : NULL;
}

/* A list with 0 in the rows of steps that were not done. */
static xfc_value *cleared(scan *s, xfc_value *list) {
    xfc_node *n = s->n;
    if (!s->length || !list) return list;
    xfc_value *done = xfc_n2(n, XFC_OP_LT, xfc_n_iota(n, s->count, xfc_int_const(n->ctx, 0), 1, XFC_I64), s->length);
    const uint64_t nothing = 0;
    xfc_value *zero = xfc_b_const(n->b, xfc_tensor_copy(n->ctx, list->type.dtype, 0, NULL, &nothing, NULL));
    return xfc_n_select(n, xfc_n_along(n, done, 0, list->type.rank), list, zero);
}

/* List i as the node wants it. */
static xfc_value *placed(scan *s, uint32_t i, xfc_value *list) {
    xfc_node *n = s->n;
    uint32_t rank = list->type.rank, axis = xfc_node_axis(n, entry(s, "scan_output_axes", i, s->n_lists), rank);
    if (flag(s, "scan_output_directions", i, s->n_lists)) list = xfc_n_reverse(n, list, 0);
    if (axis == 0 || n->status != XFC_OK) return list;
    int64_t perm[XFC_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) perm[d] = d < axis ? d + 1 : d == axis ? 0 : d;
    return list ? xfc_b_transpose(n->b, list, perm) : NULL;
}

/* The loop; its outputs in the node's. */
static void run(scan *s) {
    xfc_node *n = s->n;
    if (!count_steps(s)) return;
    if (s->length) s->length = xfc_n_within(n, s->length, s->count);
    xfc_value *trip = xfc_b_dims(n->b, &s->count, -1), *cond = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    if (s->length) cond = xfc_n2(n, XFC_OP_GT, s->length, xfc_ni(n, 0));
    xfc_steps_begin(&s->steps, n, s->in, s->n_states);
    s->steps.stays = true;
    const xfc_result *in = inputs(s);
    xfc_value **out = results(s, in ? xfc_import_inner(n, s->g, "body", in) : NULL);
    xfc_op *op = xfc_steps_end(&s->steps, trip, cond, out, s->n_lists, s->count);
    for (uint32_t i = 0; op && i < n->n_out; i++)
        n->out[i] = i < s->n_states ? &op->out[i] : placed(s, i - s->n_states, cleared(s, &op->out[i]));
}

void xfc_import_scan(xfc_node *n) {
    scan s = {.n = n, .in = n->in, .n_in = n->n_in, .directions = "scan_input_directions"};
    if (read_body(&s)) run(&s);
}

/* Their first dim, which all have and is the same. */
static bool batch_of(const scan *s, xfc_int *out) {
    for (uint32_t i = 0; i < s->n_in; i++) {
        const xfc_type *t = &s->in[i]->type;
        if (t->rank < (i < s->n_states ? 1 : 2))
            return xfc_node_fail(s->n, XFC_ERR_INPUT, "operand '%s' has no batch; export the model again",
                                 xfc_node_in_name(s->n, i + 1)),
                   false;
        if (i == 0) *out = t->dim[0];
        if (!xfc_n_equal(s->n, t->dim[0], *out, "batches of states and of what is scanned")) return false;
    }
    return true;
}

/* Every element of the batch by itself. */
void xfc_import_scan_8(xfc_node *n) {
    xfc_value **row = xfc_new_array(n->im->arena, xfc_value *, n->n_in + 1),
              **out = xfc_new_array(n->im->arena, xfc_value *, n->n_out + 1);
    scan s = {.n = n, .in = n->in + 1, .n_in = n->n_in - 1, .directions = "directions"};
    xfc_int batch = XFC_INT_NONE;
    xfc_steps batches;
    if (n->status != XFC_OK || !read_body(&s) || !batch_of(&s, &batch)) return;
    if (xfc_node_has(n, 0) && n->in[0]->type.rank != 1)
        xfc_node_fail(n, XFC_ERR_INPUT, "the lengths of sequences must be a list; export the model again");
    if (n->status != XFC_OK ||
        (xfc_node_has(n, 0) && !xfc_n_equal(n, n->in[0]->type.dim[0], batch, "the batch and the lengths of sequences")))
        return;
    xfc_value *trip = xfc_b_dims(n->b, &batch, -1), *cond = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    xfc_steps_begin(&batches, n, NULL, 0);
    for (uint32_t i = 0; i < s.n_in; i++)
        if (!(row[i] = xfc_n_gather(n, s.in[i], batches.number, 0)) && n->status == XFC_OK) n->status = XFC_ERR_INPUT;
    s.in = row;
    if (xfc_node_has(n, 0) && n->status == XFC_OK)
        s.length = xfc_n_gather(n, xfc_b_cast(n->b, n->in[0], XFC_I64), batches.number, 0);
    if (n->status == XFC_OK && (s.length || !xfc_node_has(n, 0))) run(&s);
    out[0] = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    for (uint32_t i = 0; i < n->n_out; i++) out[i + 1] = n->out[i];
    xfc_op *op = xfc_steps_end(&batches, trip, cond, out, n->n_out, batch);
    for (uint32_t i = 0; i < n->n_out; i++) n->out[i] = op ? &op->out[i] : NULL;
}

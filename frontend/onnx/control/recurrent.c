/* recurrent.c - RNN, GRU, LSTM and DynamicQuantizeLSTM: a loop over the steps of a sequence for each direction (steps.h).
 *
 * The products of the inputs with their weights need no step before them: they are one product in front of the loop,
 * with the biases that are only added. A step multiplies the state by its weights, adds its row of that product, and
 * does what the cell says. An activation is the operator of ONNX of that name. Where sequences have lengths, a step
 * behind the end of one leaves its state as it is and gives zeros; in the reverse direction those steps come first.
 *
 * X [steps, batch, inputs], W [directions, gates * hidden, inputs], R [directions, gates * hidden, hidden],
 * B [directions, 2 * gates * hidden], P [directions, 3 * hidden]; Y [steps, directions, batch, hidden]. With layout 1
 * the batch comes first: X, Y and the states are transposed on their way in and out. Weights in few bits are
 * [directions, inputs, gates * hidden]; inputs and states are quantized as they come, by the range that they have then.
 */
#include "frontend/onnx/control/steps.h"
#include "frontend/onnx/quant/quant.h"
#include <math.h>
#include <string.h>

enum { X, W, R, B, LENGTHS, H0, C0, P, W_SCALE, W_ZERO, R_SCALE, R_ZERO, MAX_ACTIVATIONS = 3 };
enum { FLOATS = 6, STRINGS = 8 }; /* kinds of attributes */

typedef struct {
    const char *name;
    double number[2]; /* alpha and beta, as many as are given */
    uint32_t count;
} activation;

typedef struct {
    xfc_node *n;
    uint32_t gates, n_directions, n_states, per_cell; /* per_cell: activations */
    bool quantized, first_reverse, linear_before_reset, couple, batch_first;
    double clip;                         /* 0: none */
    xfc_int steps, batch, hidden, width; /* width: gates * hidden */
    activation act[2 * MAX_ACTIVATIONS];
    xfc_value *x, *start[2]; /* x: [steps, batch, inputs]; states: [directions, batch, hidden] */
} recurrent;

typedef struct { /* one direction, inside the loop */
    recurrent *r;
    uint32_t d;
    xfc_value *in, *h, *c; /* in: the row of the product of the inputs */
    xfc_value *weights;    /* [hidden, width]; NULL: in few bits */
    xfc_value *bias;       /* of the state, [width]; NULL: none, or added already */
} cell;

/* --- attributes --- */

static const struct {
    const char *name;
    double usual; /* alpha where beta alone is given */
} known[] = {{"Relu", 0},
             {"Tanh", 0},
             {"Sigmoid", 0},
             {"Affine", 1},
             {"LeakyRelu", 0},
             {"Elu", 0},
             {"ThresholdedRelu", 0},
             {"ScaledTanh", 1},
             {"HardSigmoid", (double)0.2f},
             {"Softsign", 0},
             {"Softplus", 0}};

static const Onnx__AttributeProto *list(const recurrent *r, const char *name, int kind) {
    const Onnx__AttributeProto *a = xfc_node_attr(r->n, name);
    return a && (a->type == kind || !a->has_type) ? a : NULL;
}

/* Activation i by its name; NULL: there is none of that name. The next numbers of the lists are its own if it takes any. */
static bool set_activation(recurrent *r, uint32_t i, const char *name, size_t length, uint32_t *alphas,
                           uint32_t *betas) {
    const Onnx__AttributeProto *alpha = list(r, "activation_alpha", FLOATS), *beta = list(r, "activation_beta", FLOATS);
    for (uint32_t k = 0; k < XFC_COUNT(known); k++) {
        if (strlen(known[k].name) != length || memcmp(known[k].name, name, length) != 0) continue;
        activation *a = &r->act[i];
        const char *const *number;
        uint32_t count = 0;
        *a = (activation){.name = known[k].name};
        xfc_activation_numbers(a->name, &number, &count);
        if (count > 0 && alpha && *alphas < alpha->n_floats) a->number[a->count++] = (double)alpha->floats[(*alphas)++];
        if (count > 1 && beta && *betas < beta->n_floats) {
            if (!a->count) a->number[a->count++] = known[k].usual;
            a->number[a->count++] = (double)beta->floats[(*betas)++];
        }
        return true;
    }
    return xfc_node_fail(r->n, XFC_ERR_UNSUPPORTED, "activation '%.*s' is not one of those that the operator lists",
                         (int)length, name),
           false;
}

static bool read_activations(recurrent *r) {
    const Onnx__AttributeProto *given = list(r, "activations", STRINGS);
    static const char *const usual[] = {"Sigmoid", "Tanh", "Tanh"};
    uint32_t n = r->n_directions * r->per_cell, alphas = 0, betas = 0;
    if (given && given->n_strings != n)
        return xfc_node_fail(r->n, XFC_ERR_INPUT,
                             "attribute 'activations' has %zu entries, not %u; export the model again",
                             given->n_strings, n),
               false;
    for (uint32_t i = 0; i < n; i++) {
        const char *name = r->per_cell == 1 ? "Tanh" : usual[i % r->per_cell];
        if (!set_activation(r, i, given ? (const char *)given->strings[i].data : name,
                            given ? given->strings[i].len : strlen(name), &alphas, &betas))
            return false;
    }
    return true;
}

static bool read_direction(recurrent *r) {
    const char *d = xfc_node_str(r->n, "direction", "forward");
    r->n_directions = strcmp(d, "bidirectional") == 0 ? 2 : 1;
    r->first_reverse = strcmp(d, "reverse") == 0;
    if (r->n_directions == 2 || r->first_reverse || strcmp(d, "forward") == 0) return r->n->status == XFC_OK;
    return xfc_node_fail(r->n, XFC_ERR_INPUT,
                         "attribute 'direction' is '%s', not forward, reverse or bidirectional; export the model again",
                         d),
           false;
}

static bool read_attributes(recurrent *r) {
    xfc_node *n = r->n;
    r->clip = xfc_node_float(n, "clip", 0);
    r->batch_first = xfc_node_flag(n, "layout", false);
    r->linear_before_reset = xfc_node_flag(n, "linear_before_reset", false);
    r->couple = xfc_node_flag(n, "input_forget", false);
    if (r->clip < 0 || isnan(r->clip))
        xfc_node_fail(n, XFC_ERR_INPUT, "attribute 'clip' is %g; it must be positive", r->clip);
    return n->status == XFC_OK && read_direction(r) && read_activations(r);
}

/* --- operands --- */

static xfc_int number(const recurrent *r, int64_t v) { return xfc_int_const(r->n->ctx, v); }

/* [batch, a, b] to [a, batch, b] or back. */
static xfc_value *swapped(recurrent *r, xfc_value *v) {
    return v ? xfc_b_transpose(r->n->b, v, (const int64_t[]){1, 0, 2}) : NULL;
}

static bool has_shape(recurrent *r, const xfc_value *v, const xfc_int *dim, uint32_t rank, const char *what) {
    if (v && v->type.rank != rank)
        return xfc_node_fail(r->n, XFC_ERR_INPUT, "%s has %u dims, not %u; export the model again", what, v->type.rank,
                             rank),
               false;
    for (uint32_t d = 0; v && d < rank; d++)
        if (!xfc_n_equal(r->n, v->type.dim[d], dim[d], what)) return false;
    return v != NULL;
}

/* A run ends where one is negative, or more than the steps. */
static bool has_lengths(recurrent *r) {
    xfc_node *n = r->n;
    if (!has_shape(r, n->in[LENGTHS], &r->batch, 1, "sequence_lens")) return false;
    xfc_value *lengths = xfc_b_cast(n->b, n->in[LENGTHS], XFC_I64);
    n->in[LENGTHS] = lengths ? xfc_n_within(n, lengths, r->steps) : NULL;
    return n->in[LENGTHS] != NULL;
}

/* The state that operand `in` starts with, or zeros. */
static xfc_value *start_of(recurrent *r, uint32_t in) {
    xfc_int dim[3] = {number(r, r->n_directions), r->batch, r->hidden};
    xfc_value *v = xfc_node_in(r->n, in), *zero = v ? NULL : xfc_nf(r->n, r->x, 0);
    if (!v) return zero ? xfc_b_expand(r->n->b, zero, dim, 3) : NULL;
    if (r->batch_first) v = swapped(r, v);
    return has_shape(r, v, dim, 3, "a state to start with") ? v : NULL;
}

static bool has_weights(recurrent *r, uint32_t at, xfc_int directions, xfc_int depth, const char *what) {
    xfc_int dim[3] = {directions, r->quantized ? depth : r->width, r->quantized ? r->width : depth};
    return has_shape(r, r->n->in[at], dim, 3, what);
}

static bool read_operands(recurrent *r) {
    xfc_node *n = r->n;
    xfc_int directions = number(r, r->n_directions);
    r->x = n->in[X];
    if (!r->x || !n->in[W] || !n->in[R] || r->x->type.rank != 3 || n->in[R]->type.rank != 3)
        return xfc_node_fail(n, XFC_ERR_INPUT, "needs X, W and R of 3 dims; export the model again"), false;
    if (r->batch_first) r->x = swapped(r, r->x);
    if (!r->x) return false;
    r->steps = r->x->type.dim[0];
    r->batch = r->x->type.dim[1];
    r->hidden = n->in[R]->type.dim[r->quantized ? 1 : 2];
    r->width = xfc_int_mulc(n->ctx, r->hidden, r->gates);
    int64_t size = xfc_node_int(n, "hidden_size", -1);
    if (size >= 0 && !xfc_n_equal(n, r->hidden, number(r, size), "R and hidden_size")) return false;
    xfc_int two = xfc_int_mulc(n->ctx, r->width, 2), three = xfc_int_mulc(n->ctx, r->hidden, 3);
    return has_weights(r, W, directions, r->x->type.dim[2], "W") && has_weights(r, R, directions, r->hidden, "R") &&
           (!xfc_node_has(n, B) || has_shape(r, n->in[B], (xfc_int[]){directions, two}, 2, "B")) &&
           (!xfc_node_has(n, LENGTHS) || has_lengths(r)) &&
           (!xfc_node_has(n, P) || has_shape(r, n->in[P], (xfc_int[]){directions, three}, 2, "P")) &&
           (r->start[0] = start_of(r, H0)) != NULL && (r->n_states == 1 || (r->start[1] = start_of(r, C0)) != NULL);
}

/* --- parts of tensors --- */

/* From `start` on, `size` along axis. */
static xfc_value *part(recurrent *r, xfc_value *v, uint32_t axis, xfc_int start, xfc_int size) {
    return xfc_b_slice_axis(r->n->b, v, axis, start, size, 1);
}

/* Of direction d, without that dim. */
static xfc_value *of_direction(recurrent *r, xfc_value *v, uint32_t d) {
    v = part(r, v, 0, number(r, d), number(r, 1));
    return v ? xfc_b_reshape(r->n->b, v, v->type.dim + 1, v->type.rank - 1) : NULL;
}

/* Gates first .. first + n - 1 along the last dim. */
static xfc_value *gates(recurrent *r, xfc_value *v, uint32_t first, uint32_t n) {
    xfc_ctx *c = r->n->ctx;
    return v ? part(r, v, v->type.rank - 1, xfc_int_mulc(c, r->hidden, first), xfc_int_mulc(c, r->hidden, n)) : NULL;
}

/* --- a cell --- */

static xfc_value *add(cell *k, xfc_value *a, xfc_value *b) { return xfc_n2(k->r->n, XFC_OP_ADD, a, b); }
static xfc_value *mul(cell *k, xfc_value *a, xfc_value *b) { return xfc_n2(k->r->n, XFC_OP_MUL, a, b); }
static xfc_value *one_less(cell *k, xfc_value *v) { return xfc_n2(k->r->n, XFC_OP_SUB, xfc_nf(k->r->n, v, 1), v); }

/* Activation i of the cell. */
static xfc_value *activate(cell *k, uint32_t i, xfc_value *v) {
    xfc_node *n = k->r->n;
    const activation *a = &k->r->act[k->d * k->r->per_cell + i];
    if (v && k->r->clip > 0)
        v = xfc_n2(n, XFC_OP_MIN, xfc_n2(n, XFC_OP_MAX, v, xfc_nf(n, v, -k->r->clip)), xfc_nf(n, v, k->r->clip));
    return xfc_n_activation(n, a->name, a->number, a->count, v);
}

/* a by the weights of a direction in few bits, a quantized by its own range. */
static xfc_value *quantized_product(recurrent *r, xfc_value *a, uint32_t d, uint32_t weights, uint32_t scale) {
    xfc_node *n = r->n;
    xfc_dynamic q;
    if (!a || !xfc_n_dynamic_quantize(n, a, &q)) return NULL;
    xfc_value *w = of_direction(r, n->in[weights], d), *zero = xfc_node_in(n, scale + 1);
    if (zero) zero = of_direction(r, zero, d);
    return xfc_n_rescale(n, w ? xfc_n_matmul_integer(n, q.y, w, q.zero, zero) : NULL, q.scale,
                         of_direction(r, n->in[scale], d));
}

/* h by the weights of n gates from `first` on, and their biases. */
static xfc_value *state_product(cell *k, xfc_value *h, uint32_t first, uint32_t n) {
    bool all = n == k->r->gates;
    xfc_value *w = all ? k->weights : gates(k->r, k->weights, first, n); /* an LSTM asks for all */
    xfc_value *v = w && h ? xfc_b_matmul(k->r->n->b, h, w) : NULL;
    if (k->r->quantized) v = quantized_product(k->r, h, k->d, R, R_SCALE);
    return k->bias ? add(k, v, all ? k->bias : gates(k->r, k->bias, first, n)) : v;
}

/* Gate i of the sums of all, with what peeps at the state of the cell. */
static xfc_value *gate(cell *k, xfc_value *sum, uint32_t i) { return gates(k->r, sum, i, 1); }
static xfc_value *peep(cell *k, xfc_value *v, uint32_t i, xfc_value *c) {
    if (!xfc_node_has(k->r->n, P)) return v;
    return add(k, v, mul(k, gates(k->r, of_direction(k->r, k->r->n->in[P], k->d), i, 1), c));
}

/* Gates stand as input, output, forget, cell; those of P as input, output, forget. */
static void lstm(cell *k, xfc_value **h, xfc_value **c) {
    xfc_value *sum = add(k, k->in, state_product(k, k->h, 0, 4));
    xfc_value *i = activate(k, 0, peep(k, gate(k, sum, 0), 0, k->c));
    xfc_value *f = k->r->couple ? one_less(k, i) : activate(k, 0, peep(k, gate(k, sum, 2), 2, k->c));
    *c = add(k, mul(k, f, k->c), mul(k, i, activate(k, 1, gate(k, sum, 3))));
    *h = mul(k, activate(k, 0, peep(k, gate(k, sum, 1), 1, *c)), activate(k, 2, *c));
}

/* Gates stand as update, reset, hidden. */
static void gru(cell *k, xfc_value **h, xfc_value **c) {
    (void)c;
    bool before = k->r->linear_before_reset;
    xfc_value *all = before ? state_product(k, k->h, 0, 3) : NULL;
    xfc_value *two = add(k, gates(k->r, k->in, 0, 2), before ? gates(k->r, all, 0, 2) : state_product(k, k->h, 0, 2));
    xfc_value *z = activate(k, 0, gate(k, two, 0)), *reset = activate(k, 0, gate(k, two, 1));
    xfc_value *state = before ? mul(k, reset, gate(k, all, 2)) : state_product(k, mul(k, reset, k->h), 2, 1);
    xfc_value *fresh = activate(k, 1, add(k, gate(k, k->in, 2), state));
    *h = add(k, mul(k, one_less(k, z), fresh), mul(k, z, k->h));
}

static void rnn(cell *k, xfc_value **h, xfc_value **c) {
    (void)c;
    *h = activate(k, 0, add(k, k->in, state_product(k, k->h, 0, 1)));
}

typedef void cell_function(cell *, xfc_value **h, xfc_value **c);

/* --- a direction --- */

/* x by the weights of the inputs, with all biases that are added outside of products of gates: [steps, batch, width]. */
static xfc_value *input_product(recurrent *r, uint32_t d, bool *state_bias) {
    xfc_node *n = r->n;
    xfc_value *w = r->quantized ? NULL : xfc_b_swap_last(n->b, of_direction(r, n->in[W], d));
    xfc_value *v = r->quantized ? quantized_product(r, r->x, d, W, W_SCALE) : w ? xfc_b_matmul(n->b, r->x, w) : NULL;
    *state_bias = xfc_node_has(n, B) && r->linear_before_reset;
    if (!xfc_node_has(n, B)) return v;
    xfc_value *b = of_direction(r, n->in[B], d);
    v = xfc_n2(n, XFC_OP_ADD, v, part(r, b, 0, number(r, 0), r->width));
    return *state_bias ? v : xfc_n2(n, XFC_OP_ADD, v, part(r, b, 0, r->width, r->width));
}

/* [batch, 1]: sequences that have not ended at this step. NULL: all have the same length. */
static xfc_value *alive(recurrent *r, xfc_value *at) {
    xfc_node *n = r->n;
    if (!xfc_node_has(n, LENGTHS)) return NULL;
    xfc_value *lengths = xfc_b_reshape(n->b, n->in[LENGTHS], (xfc_int[]){r->batch, number(r, 1)}, 2);
    return lengths ? xfc_n2(n, XFC_OP_LT, at, lengths) : NULL;
}

static xfc_value *chosen(recurrent *r, xfc_value *which, xfc_value *yes, xfc_value *no) {
    if (!which || !yes || !no) return which ? NULL : yes;
    return xfc_b_select(r->n->b, which, yes, xfc_b_expand(r->n->b, no, yes->type.dim, yes->type.rank));
}

/* The body: whether to go on, the next states, the row of Y. */
static void step(recurrent *r, uint32_t d, cell_function *of, xfc_steps *s, xfc_value *in, bool state_bias,
                 xfc_value **out) {
    xfc_node *n = r->n;
    bool reverse = r->first_reverse || d == 1;
    xfc_int last = xfc_int_addc(n->ctx, r->steps, -1);
    xfc_value *at = reverse ? xfc_n2(n, XFC_OP_SUB, xfc_b_dims(n->b, &last, -1), s->number) : s->number;
    cell k = {
        .r = r, .d = d, .in = xfc_n_gather(n, in, at, 0), .h = &s->in[0], .c = r->n_states > 1 ? &s->in[1] : NULL};
    if (!r->quantized) k.weights = xfc_b_swap_last(n->b, of_direction(r, n->in[R], d));
    if (state_bias) k.bias = part(r, of_direction(r, n->in[B], d), 0, r->width, r->width);
    xfc_value *live = alive(r, at), *h = NULL, *c = NULL;
    of(&k, &h, &c);
    out[0] = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    out[1] = chosen(r, live, h, k.h);
    if (r->n_states > 1) out[2] = chosen(r, live, c, k.c);
    out[1 + r->n_states] = chosen(r, live, h, xfc_nf(n, h, 0));
}

/* Y [steps, batch, hidden], then the last states [batch, hidden]. */
static void direction(recurrent *r, uint32_t d, cell_function *of, xfc_value **result) {
    xfc_node *n = r->n;
    bool state_bias;
    xfc_value *in = input_product(r, d, &state_bias), *start[2] = {NULL}, *out[4] = {NULL};
    xfc_value *trip = xfc_b_dims(n->b, &r->steps, -1), *cond = xfc_b_scalar_i(n->b, XFC_BOOL, 1);
    for (uint32_t i = 0; i < r->n_states; i++) start[i] = of_direction(r, r->start[i], d);
    if (!in || !start[0] || (r->n_states > 1 && !start[1])) return;
    xfc_steps s;
    xfc_steps_begin(&s, n, start, r->n_states);
    s.stays = true;
    step(r, d, of, &s, in, state_bias, out);
    for (uint32_t i = 0; i < r->n_states; i++)
        if (out[1 + i]) out[1 + i] = xfc_steps_next(&s, i, out[1 + i]);
    xfc_op *op = xfc_steps_end(&s, trip, cond, out, 1, r->steps);
    if (!op) return;
    result[0] = &op->out[r->n_states];
    if (r->first_reverse || d == 1) result[0] = xfc_n_reverse(n, result[0], 0);
    for (uint32_t i = 0; i < r->n_states; i++) result[1 + i] = &op->out[i];
}

/* --- results --- */

/* What each direction gives, put together in a dim of its own. */
static xfc_value *joined(recurrent *r, xfc_value *const *of, uint32_t axis) {
    xfc_value *v[2] = {NULL};
    for (uint32_t d = 0; d < r->n_directions; d++) {
        if (!of[d]) return NULL;
        xfc_int dim[XFC_MAX_RANK];
        for (uint32_t k = 0; k <= of[d]->type.rank; k++)
            dim[k] = k == axis ? number(r, 1) : of[d]->type.dim[k < axis ? k : k - 1];
        v[d] = xfc_b_reshape(r->n->b, of[d], dim, of[d]->type.rank + 1);
    }
    xfc_attr attr = xfc_attr_int(XFC_K_AXIS, axis);
    if (r->n_directions == 1 || !v[0] || !v[1]) return r->n_directions == 1 ? v[0] : NULL;
    return xfc_build(r->n->b, XFC_OP_CONCAT, v, 2, &attr, 1);
}

static void import(xfc_node *n, recurrent r, cell_function *of) {
    r.n = n;
    if (!read_attributes(&r) || !read_operands(&r)) return;
    xfc_value *result[3][2] = {{NULL}};
    for (uint32_t d = 0; d < r.n_directions; d++) {
        xfc_value *one[3] = {NULL};
        direction(&r, d, of, one);
        for (uint32_t i = 0; i <= r.n_states; i++) result[i][d] = one[i];
    }
    for (uint32_t i = 0; i < n->n_out && i <= r.n_states; i++) {
        if (!xfc_node_wants(n, i)) continue;
        n->out[i] = joined(&r, result[i], i == 0 ? 1 : 0);
        if (!r.batch_first || !n->out[i]) continue;
        n->out[i] = i ? swapped(&r, n->out[i]) : xfc_b_transpose(n->b, n->out[i], (const int64_t[]){2, 0, 1, 3});
    }
}

void xfc_import_rnn(xfc_node *n) { import(n, (recurrent){.gates = 1, .n_states = 1, .per_cell = 1}, rnn); }
void xfc_import_gru(xfc_node *n) { import(n, (recurrent){.gates = 3, .n_states = 1, .per_cell = 2}, gru); }
void xfc_import_lstm(xfc_node *n) { import(n, (recurrent){.gates = 4, .n_states = 2, .per_cell = 3}, lstm); }

/* Scales and zero points: one a direction, or one a gate's number. */
void xfc_import_dynamic_quantize_lstm(xfc_node *n) {
    for (uint32_t at = W_SCALE; at <= R_ZERO; at++) {
        const xfc_value *v = xfc_node_in(n, at);
        if (v && (v->type.rank == 1 || v->type.rank == 2)) continue;
        xfc_node_fail(n, XFC_ERR_INPUT, "operand %u must be one number for each direction, or for each column", at);
        return;
    }
    import(n, (recurrent){.gates = 4, .n_states = 2, .per_cell = 3, .quantized = true}, lstm);
}

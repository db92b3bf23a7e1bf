/* oracle.c - see diff.h: the interpreter's results, and how far compiled code may be from them. */
#include "ir/program.h"
#include "tests/diff/diff.h"
#include <math.h>

static const double SLACK = 4;

static xfc_tensor view(const xfc_array *a) {
    return (xfc_tensor){.dtype = a->dtype, .count = a->count, .data = a->data};
}
static double at_f(const xfc_array *a, int64_t i) {
    xfc_tensor v = view(a);
    return xfc_tensor_get_f(&v, i);
}

/* The distance from |x| to the next value of the type. */
static double ulp(xfc_dtype t, double x) {
    int e, bits = t == XFC_F32 ? 24 : t == XFC_F64 ? 53 : t == XFC_F16 ? 11 : 8;
    int least = t == XFC_F16 ? -13 : t == XFC_F64 ? -1021 : -125;
    if (!isfinite(x)) return 0;
    frexp(x, &e);
    return ldexp(1, (e < least ? least : e) - bits);
}

/* --- decomposing --- */

/* Its products may be of pairs of bf16: exponents are rounded to those. */
static bool is_of_pairs(const xfc_op *op) {
    bool attends = op->code == XFC_OP_ATTENTION || op->code == XFC_OP_ATTENTION_RAGGED;
    return attends && op->in[0].value->type.dtype == XFC_BF16;
}

/* Composites become their parts, so that noise reaches the inside; pairs: ids of results inside of attention by pairs. */
static bool decompose_all(xfc_graph *g, xfc_map *pairs) {
    for (bool again = true; again;) {
        again = false;
        xfc_foreach_op_safe(op, g) {
            xfc_value *result[4] = {NULL};
            if (!xfc_ops[op->code].decompose) continue;
            xfc_builder b = {.graph = g, .before = op, .loc = op->loc};
            const uint32_t first = g->next_value_id;
            if (xfc_ops[op->code].decompose(&b, op, result) != XFC_OK) return false;
            bool in_pairs = is_of_pairs(op) || xfc_map_get(pairs, op->out[0].id);
            for (xfc_op *part = op->prev; in_pairs && part && part->out[0].id >= first; part = part->prev)
                xfc_map_set(pairs, part->out[0].id, 1);
            for (uint32_t i = 0; i < op->n_out; i++) xfc_value_replace(&op->out[i], result[i]);
            xfc_op_remove(op);
            again = true;
        }
    }
    return true;
}

/* --- noise --- */

typedef struct {
    xfc_arena *arena;
    const xfc_graph *graph;
    xfc_array *value; /* by id: copies */
    bool *reached;    /* by id: does noise reach it? */
    const xfc_map *pairs;
    uint64_t seed;
    uint32_t run; /* 0: every element up; 1: down; others: either */
    bool fma;     /* only what differs on an ISA with FMA */
} noise;

static const xfc_array *operand(const noise *z, const xfc_op *op, uint32_t i) { return &z->value[op->in[i].value->id]; }

/* Half an ulp of a sum's accumulator: f16 and bf16 sum in f32. */
static double unit(xfc_dtype t) { return t == XFC_F64 ? 0x1p-53 : 0x1p-24; }
static bool is_half(xfc_dtype t) { return t == XFC_F16 || t == XFC_BF16; }

/* Sums of n terms: the error of one order against another grows like the square root of n and with the sum of
 * magnitudes; the result of a half type may round the other way. */
static double sum_noise(xfc_dtype t, double n, double magnitudes, double result) {
    if (magnitudes > (t == XFC_F64 ? 1e308 : 1e38)) return -1; /* whether it overflows depends on the order */
    return unit(t) * (2 + sqrt(n)) * magnitudes + (is_half(t) ? ulp(t, result) : 0);
}

static double magnitude(double term) { return isfinite(term) ? fabs(term) : 0; }

static void reduce_magnitudes(const noise *z, const xfc_op *op, const xfc_array *out, double *sum, double *n) {
    const xfc_array *in = operand(z, op, 0);
    const xfc_attr *axes = xfc_op_attr(op, XFC_K_AXES);
    uint32_t reduced = 0;
    for (uint32_t i = 0; i < axes->n; i++) reduced |= 1u << axes->u.ints[i];
    *n = out->count ? (double)in->count / (double)out->count : 0;
    for (int64_t i = 0; i < in->count; i++) {
        int64_t rest = i, at = 0, scale = 1;
        for (uint32_t d = in->rank; d-- > 0; rest /= in->dim[d]) {
            if (reduced >> d & 1) continue;
            at += rest % in->dim[d] * scale;
            scale *= in->dim[d];
        }
        sum[at] += magnitude(at_f(in, i));
    }
}

/* Sum over k of |a| |b|: element `i` of the product. Batch dims of both are aligned at the right and broadcast. */
static double matmul_magnitude(const xfc_array *a, const xfc_array *b, const xfc_array *out, int64_t i,
                               int64_t n_cols) {
    int64_t k = a->dim[a->rank - 1], m = a->dim[a->rank - 2], row = i / n_cols % m, col = i % n_cols;
    int64_t batch = i / n_cols / m, from_a = 0, from_b = 0, scale_a = 1, scale_b = 1;
    for (uint32_t d = out->rank - 2; d-- > 0; batch /= out->dim[d]) {
        uint32_t back = out->rank - d;
        int64_t x = batch % out->dim[d];
        if (back <= a->rank)
            from_a += (a->dim[a->rank - back] == 1 ? 0 : x) * scale_a, scale_a *= a->dim[a->rank - back];
        if (back <= b->rank)
            from_b += (b->dim[b->rank - back] == 1 ? 0 : x) * scale_b, scale_b *= b->dim[b->rank - back];
    }
    double sum = 0;
    for (int64_t j = 0; j < k; j++)
        sum += magnitude(at_f(a, (from_a * m + row) * k + j) * at_f(b, (from_b * k + j) * n_cols + col));
    return sum;
}

/* The same with b in panels: [..., panels, k, width]. */
static double packed_magnitude(const xfc_array *a, const xfc_array *b, const xfc_array *out, int64_t i, int64_t group) {
    int64_t k = a->dim[a->rank - 1], n = out->dim[out->rank - 1], m = out->dim[out->rank - 2],
            width = b->dim[b->rank - 1] / group;
    int64_t row = i / n % m, col = i % n, batch = i / n / m, from_a = 0, from_b = 0, scale_a = 1, scale_b = 1;
    for (uint32_t d = out->rank - 2; d-- > 0; batch /= out->dim[d]) {
        int64_t x = batch % out->dim[d];
        from_a += (a->dim[d] == 1 ? 0 : x) * scale_a, scale_a *= a->dim[d];
        if (b->rank == 3) continue;
        from_b += (b->dim[d] == 1 ? 0 : x) * scale_b, scale_b *= b->dim[d];
    }
    from_b = (from_b * b->dim[b->rank - 3] + col / width) * (k / group);
    double sum = 0;
    for (int64_t j = 0; j < k; j++)
        sum += magnitude(at_f(a, (from_a * m + row) * k + j) *
                         at_f(b, ((from_b + j / group) * width + col % width) * group + j % group));
    return sum;
}

/* The same of matmul_sparse: entries at [panels, s, group]. */
static double sparse_magnitude(const noise *z, const xfc_op *op, const xfc_array *out, int64_t i) {
    const xfc_array *x = operand(z, op, 0), *row = operand(z, op, 1), *val = operand(z, op, 2);
    int64_t n = out->dim[out->rank - 1], k = x->dim[x->rank - 1], s = row->dim[1], group = row->dim[2];
    const xfc_tensor rows = view(row);
    double sum = 0;
    for (int64_t e = 0; e < s; e++) {
        int64_t at = (i % n / group * s + e) * group + i % n % group;
        sum += magnitude(at_f(x, i / n * k + xfc_tensor_get_i(&rows, at)) * at_f(val, at));
    }
    return sum;
}

/* How many ulps a math function may differ from the interpreter: none where the same polynomial runs with the same
 * FMAs. */
static double math_ulps(const noise *z, xfc_opcode code) {
    switch ((int)code) {
    case XFC_OP_EXP:
    case XFC_OP_LOG:
    case XFC_OP_ERF:
    case XFC_OP_TANH:
    case XFC_OP_ATAN:
    case XFC_OP_SIGMOID: return z->fma ? 0 : 3;
    case XFC_OP_SIN:
    case XFC_OP_COS: return z->fma ? 0 : 4;
    case XFC_OP_POW: return z->fma ? 2 : 8; /* rules.def: pow by small integers becomes products */
    case XFC_OP_FMA: return z->fma ? 0 : 1;
    default: return 0;
    }
}

/* By how much element i of the op's float result may differ: the table. -1: by anything. */
static void noise_of(const noise *z, const xfc_op *op, const xfc_array *out, double *amount) {
    double n = 0, ulps = math_ulps(z, op->code);
    if (op->code == XFC_OP_REDUCE_SUM) reduce_magnitudes(z, op, out, amount, &n);
    for (int64_t i = 0; i < out->count; i++) {
        double y = at_f(out, i);
        if (op->code == XFC_OP_REDUCE_SUM) {
            amount[i] = sum_noise(out->dtype, n, amount[i], y);
        } else if (op->code == XFC_OP_REDUCE_PROD) {
            n = out->count ? (double)operand(z, op, 0)->count / (double)out->count : 0;
            amount[i] = unit(out->dtype) * (2 + n) * fabs(y) + (is_half(out->dtype) ? ulp(out->dtype, y) : 0);
        } else if (op->code == XFC_OP_MATMUL || op->code == XFC_OP_MATMUL_PACKED) {
            const xfc_array *a = operand(z, op, 0), *b = operand(z, op, 1);
            int64_t cols = out->dim[out->rank - 1];
            double m = op->code == XFC_OP_MATMUL ? matmul_magnitude(a, b, out, i, cols)
                                                 : packed_magnitude(a, b, out, i, xfc_op_int(op, XFC_K_GROUP, 1));
            amount[i] = sum_noise(out->dtype, (double)a->dim[a->rank - 1], m, y);
        } else if (op->code == XFC_OP_MATMUL_SPARSE) {
            amount[i] = sum_noise(out->dtype, (double)operand(z, op, 1)->dim[1], sparse_magnitude(z, op, out, i), y);
        } else {
            amount[i] = ulps * ulp(is_half(out->dtype) && op->code != XFC_OP_POW ? XFC_F32 : out->dtype, y);
            if (is_half(out->dtype) && ulps > 0) amount[i] += ulp(out->dtype, y);
            if (op->code == XFC_OP_FMA && ulps > 0)
                amount[i] += unit(out->dtype) * fabs(at_f(operand(z, op, 0), i % operand(z, op, 0)->count) *
                                                     at_f(operand(z, op, 1), i % operand(z, op, 1)->count));
        }
    }
}

static bool is_noisy(xfc_opcode code, bool fma) {
    return math_ulps(&(noise){.fma = fma}, code) > 0 || code == XFC_OP_REDUCE_SUM || code == XFC_OP_REDUCE_PROD ||
           code == XFC_OP_MATMUL || code == XFC_OP_MATMUL_PACKED || code == XFC_OP_MATMUL_SPARSE;
}

static bool has_reached(const noise *z, const xfc_op *op) {
    for (uint32_t i = 0; i < op->n_in; i++)
        if (op->in[i].value && z->reached[op->in[i].value->id]) return true;
    return false;
}

/* Of operands that differ a little, a result may round the other way: all the more where it cancels behind that. */
static void round_otherwise(xfc_dtype t, const xfc_array *out, double *amount) {
    for (int64_t i = 0; i < out->count; i++)
        if (amount[i] >= 0) amount[i] += ulp(t, at_f(out, i));
}

static void add_noise(void *user, const xfc_op *op, const xfc_array *out) {
    noise *z = user;
    bool rounds = op->code == XFC_OP_EXP && xfc_map_get(z->pairs, op->out[0].id);
    bool noisy = is_noisy(op->code, z->fma) || rounds, reached = has_reached(z, op),
         turns = reached && xfc_op_has(op, XFC_MAP);
    for (uint32_t i = 0; i < op->n_out; i++) z->reached[op->out[i].id] = noisy || reached;
    if ((noisy || turns) && xfc_dtype_is_float(out->dtype)) {
        double *amount = xfc_new_array(z->arena, double, out->count + 1);
        noise_of(z, op, out, amount);
        if (turns) round_otherwise(out->dtype, out, amount);
        if (rounds) round_otherwise(XFC_BF16, out, amount);
        for (int64_t i = 0; i < out->count; i++) {
            double y = at_f(out, i), by = (double)(diff_random(&z->seed) >> 11) * 0x1p-53; /* 0..1 */
            bool up = z->run == 0 || (z->run > 1 && diff_random(&z->seed) & 1);
            if (amount[i] < 0)
                xfc_element_set_f(out->dtype, out->data, i, up ? 0 : (double)NAN);
            else if (amount[i] > 0 && isfinite(y))
                xfc_element_set_f(out->dtype, out->data, i, y + (up ? by : -by) * amount[i]);
        }
    }
    for (uint32_t i = 0; i < op->n_out; i++) {
        z->value[op->out[i].id] = out[i];
        z->value[op->out[i].id].data =
            xfc_memdup(z->arena, out[i].data, (size_t)out[i].count * xfc_dtype_bytes(out[i].dtype), 64);
    }
}

/* --- the oracle --- */

/* Does noise reach the value? Then it may differ by two ulps even where the samples happen not to. What reaches an op's
 * operands is kept in its mark. */
static bool is_reached(const xfc_value *v, bool fma) {
    const uint32_t no = fma ? 1 : 3, yes = no + 1;
    if (!v || !v->def) return false;
    if (is_noisy(v->def->code, fma) && xfc_dtype_is_float(v->type.dtype)) return true;
    if (v->def->mark == no || v->def->mark == yes) return v->def->mark == yes;
    bool any = false;
    for (uint32_t i = 0; i < v->def->n_in; i++) any = any || is_reached(v->def->in[i].value, fma);
    v->def->mark = any ? yes : no;
    return any;
}

/* Conditions and numbers of steps are inputs here. */
static const void *input_of(const xfc_op *op, uint32_t i, const xfc_array *in) {
    if (op->in[i].value->def) abort();
    return in[op->in[i].value->out].data;
}

static void take_branch(xfc_op *op, const xfc_array *in) {
    const bool yes = *(const uint8_t *)input_of(op, 0, in) != 0;
    const xfc_graph *body = xfc_op_attr(op, yes ? XFC_K_THEN : XFC_K_ELSE)->u.graph;
    xfc_value **operand = xfc_new_array(op->graph->arena, xfc_value *, body->n_in + 1u);
    for (uint32_t i = 0; i < body->n_in; i++) operand[i] = op->in[i + 1].value;
    xfc_inline(op, body, operand);
}

/* Copies of the body's ops stand before the loop; value: inputs of the body by number, then, once more, whether to go on
 * and what is carried. Answers the last result. */
static xfc_value *step_once(xfc_op *loop, const xfc_graph *body, xfc_value **value) {
    xfc_arena *scratch = xfc_arena_new();
    xfc_map copy = {.arena = scratch};
    for (uint32_t i = 0; i < body->n_in; i++) xfc_map_set_ptr(&copy, body->in[i], value[i]);
    xfc_foreach_op(op, body) {
        if (op == body->last) break;
        xfc_value **in = xfc_new_array(scratch, xfc_value *, op->n_in);
        for (uint32_t i = 0; i < op->n_in; i++)
            if (op->in[i].value) in[i] = xfc_map_get_ptr(&copy, op->in[i].value);
        xfc_op *twin = xfc_op_new(loop->graph, loop, op->code, in, op->n_in, op->n_out, op->attr, op->n_attr, op->loc);
        for (uint32_t i = 0; i < op->n_out; i++) {
            twin->out[i].type = op->out[i].type;
            xfc_map_set_ptr(&copy, &op->out[i], &twin->out[i]);
        }
    }
    for (uint32_t i = 0; i <= xfc_loop_carried(loop); i++) value[i] = xfc_map_get_ptr(&copy, body->last->in[i].value);
    xfc_value *last = xfc_map_get_ptr(&copy, body->last->in[body->n_out - 1].value);
    xfc_arena_free(scratch);
    return last;
}

/* The rows one above the other, zeros behind them. */
static xfc_value *list_of(xfc_builder *b, const xfc_type *t, xfc_value *const *row, int64_t n) {
    xfc_ctx *c = b->graph->ctx;
    int64_t all;
    xfc_type one = *t, rest = *t;
    if (!xfc_int_value(c, t->dim[0], &all)) abort();
    one.dim[0] = xfc_int_const(c, 1);
    rest.dim[0] = xfc_int_const(c, all - n);
    xfc_value **part = xfc_new_array(b->graph->arena, xfc_value *, (size_t)n + 1);
    for (int64_t i = 0; i < n; i++) part[i] = xfc_b_reshape(b, row[i], one.dim, one.rank);
    xfc_value *zero = xfc_dtype_is_float(t->dtype) ? xfc_b_scalar_f(b, t->dtype, 0) : xfc_b_scalar_i(b, t->dtype, 0);
    part[n] = xfc_b_expand(b, zero, rest.dim, rest.rank);
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    return xfc_build(b, XFC_OP_CONCAT, part, (uint32_t)n + 1, &axis, 1);
}

/* The body says to go on while the step's number is below an input. */
static void take_loop(xfc_op *op, const xfc_array *in) {
    const xfc_graph *body = xfc_op_attr(op, XFC_K_BODY)->u.graph;
    const xfc_op *less = body->last->in[0].value->def;
    if (!less || less->code != XFC_OP_LT) abort();
    const uint32_t n = xfc_loop_carried(op);
    const int64_t stop = *(const int64_t *)input_of(op, less->in[1].value->out + 1, in);
    int64_t trip = *(const int64_t *)input_of(op, 0, in), step = 0, most = INT64_MAX;
    bool more = *(const uint8_t *)input_of(op, 1, in) != 0;
    if (n < op->n_out && !xfc_int_value(op->graph->ctx, op->out[n].type.dim[0], &most)) abort();
    if (trip > most) trip = most;
    xfc_value *row[8];
    xfc_builder b = {.graph = op->graph, .before = op};
    xfc_value **value = xfc_new_array(op->graph->arena, xfc_value *, body->n_in + 1u);
    for (uint32_t i = 1; i < body->n_in; i++) value[i] = op->in[i + 1].value;
    for (; more && step < trip; step++) {
        value[0] = xfc_b_scalar_i(&b, XFC_I64, step);
        xfc_value *made = step_once(op, body, value);
        if (n < op->n_out) row[step] = made;
        more = step < stop;
    }
    for (uint32_t i = 0; i < n; i++) xfc_value_replace(&op->out[i], value[i + 1]);
    if (n < op->n_out) xfc_value_replace(&op->out[n], list_of(&b, &op->out[n].type, row, step));
    xfc_op_remove(op);
}

/* Branches become the bodies that these inputs take, loops as many copies as they make steps: every op is then one of the
 * graph. */
static void take_regions(xfc_graph *g, const xfc_array *in) {
    xfc_foreach_op_safe(op, g) {
        if (!xfc_op_has(op, XFC_REGION)) continue;
        xfc_op *before = op->prev;
        (op->code == XFC_OP_LOOP ? take_loop : take_branch)(op, in);
        op_next = before ? before->next : g->first; /* there may be more in it */
    }
}

static void least_tolerance(const xfc_array *want, double *tolerance) {
    for (int64_t i = 0; i < want->count && xfc_dtype_is_float(want->dtype); i++)
        tolerance[i] = 2 * ulp(want->dtype, at_f(want, i));
}

static void widen_tolerance(const xfc_array *want, const xfc_array *noisy, double *tolerance) {
    for (int64_t i = 0; i < want->count; i++) {
        double a = at_f(want, i), b = at_f(noisy, i);
        if (tolerance[i] < 0) continue;
        if (!xfc_dtype_is_float(want->dtype)) {
            xfc_tensor x = view(want), y = view(noisy);
            if (xfc_tensor_get_i(&x, i) != xfc_tensor_get_i(&y, i)) tolerance[i] = -1;
        } else if (isnan(a) != isnan(b) || isinf(a) != isinf(b) || (isinf(a) && a != b)) {
            tolerance[i] = -1;
        } else if (isfinite(a) && SLACK * fabs(a - b) > tolerance[i]) {
            tolerance[i] = SLACK * fabs(a - b);
        }
    }
}

static bool run_noisy(const xfc_graph *g, const xfc_map *pairs, const xfc_array *in, oracle *o, bool fma,
                      uint32_t run) {
    xfc_arena *arena = xfc_arena_new();
    noise z = {.arena = arena, .graph = g, .pairs = pairs, .seed = 7 + 1000 * run, .run = run, .fma = fma};
    z.value = xfc_new_array(arena, xfc_array, g->next_value_id);
    z.reached = xfc_new_array(arena, bool, g->next_value_id);
    for (uint32_t i = 0; i < g->n_in; i++) z.value[g->in[i]->id] = in[i];
    xfc_array *out = xfc_new_array(arena, xfc_array, g->n_out);
    bool ok =
        xfc_eval_graph(g, in, g->n_in, out, &(xfc_eval_opts){.arena = arena, .tap = add_noise, .user = &z}) == XFC_OK;
    for (uint32_t i = 0; ok && i < g->n_out; i++) widen_tolerance(&o->out[i], &out[i], o->tolerance[!fma][i]);
    xfc_arena_free(arena);
    return ok;
}

static bool print_errors(xfc_ctx *ctx, const char *what) {
    fprintf(stderr, "%s:\n", what);
    xfc_diags_print(ctx, stderr, false);
    ctx->n_diags = ctx->n_errors = 0;
    return false;
}

bool oracle_run(xfc_graph *g, const xfc_array *in, oracle *o, xfc_arena *arena) {
    *o = (oracle){0};
    uint32_t errors = g->ctx->n_errors, diags = g->ctx->n_diags;
    if (xfc_eval_graph(g, in, g->n_in, o->out, &(xfc_eval_opts){.arena = arena}) != XFC_OK) {
        const char *text = g->ctx->diags[g->ctx->n_diags - 1].text;
        o->range_error = strstr(text, "range") != NULL || strstr(text, "outside") != NULL;
        if (!o->range_error) return print_errors(g->ctx, "the interpreter refuses the graph");
        g->ctx->n_errors = errors, g->ctx->n_diags = diags;
        return true;
    }
    for (uint32_t i = 0; i < g->n_out; i++)
        for (int v = 0; v < 2; v++) o->tolerance[v][i] = xfc_new_array(arena, double, o->out[i].count + 1);
    xfc_graph *parts = xfc_graph_clone(g);
    take_regions(parts, in);
    xfc_map pairs = {.arena = arena};
    bool ok = decompose_all(parts, &pairs);
    for (int fma = 0; ok && fma < 2; fma++) {
        bool any = false;
        for (uint32_t i = 0; i < g->n_out; i++) {
            if (!is_reached(parts->last->in[i].value, fma)) continue;
            least_tolerance(&o->out[i], o->tolerance[!fma][i]);
            any = true;
        }
        for (uint32_t k = 0; ok && any && k < DIFF_NOISES; k++) ok = run_noisy(parts, &pairs, in, o, fma, k);
    }
    xfc_graph_free(parts);
    return ok || print_errors(g->ctx, "the decomposed graph cannot be interpreted");
}

static bool same_bits(const xfc_array *a, const xfc_array *b, int64_t i) {
    uint32_t n = xfc_dtype_bytes(a->dtype);
    return memcmp((const char *)a->data + i * n, (const char *)b->data + i * n, n) == 0;
}

static bool accepts(const xfc_array *want, const xfc_array *got, int64_t i, double tolerance) {
    if (same_bits(want, got, i)) return true;
    if (!xfc_dtype_is_float(want->dtype)) return false;
    double a = at_f(want, i), b = at_f(got, i);
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return tolerance > 0 && (a == b || fabs(a - b) <= tolerance);
}

bool oracle_accepts(const oracle *o, uint32_t at, bool fma, const char *name, const xfc_array *got,
                    diff_counts *counts) {
    const xfc_array *want = &o->out[at];
    for (int64_t i = 0; i < want->count; i++) {
        double tolerance = o->tolerance[!fma][at][i];
        if (tolerance < 0) {
            counts->skipped++;
        } else if (accepts(want, got, i, tolerance)) {
            *(tolerance > 0 ? &counts->tolerant : &counts->exact) += 1;
        } else {
            fprintf(stderr, "  output %s (%s), element %lld of %lld: %.17g, the interpreter has %.17g, tolerance %g\n",
                    name, xfc_dtype_name(want->dtype), (long long)i, (long long)want->count, at_f(got, i),
                    at_f(want, i), tolerance);
            return false;
        }
    }
    return true;
}

/* dsformer.c - weights of linears become the product of a small dense factor and a sparse one (arXiv 2312.13211).
 *
 *   %y = linear %x, %w, %b     =>  %t = linear %x, %d;  %s = matmul_sparse %t, %rows, %values;  %y = add %s, %b
 *
 * A site is a linear with a constant weight; a level says how many times fewer bytes its factors take, rows of the
 * entries and all. Of some shapes of factors, the singular value decomposition among them (a full second factor), that
 * is taken which has the least error: of the layer's outputs on the samples, or without samples of the weight. Shapes
 * whose product would be slower than the dense one are not tried. With samples the bias takes up the mean of the error.
 *
 * A weight that something else reads, too, is left alone: it would have to be stored as it is anyway. The output layer is,
 * unless asked for. What was fitted is kept by the request: a search that comes back to a level has it at once.
 */
#include "passes/lossy/dsformer.h"
#include "ir/build.h"
#include "passes/sparse/sparse.h"

#include <stdlib.h>
#include <string.h>

static const double RATIOS[] = {1, 1.5, 2, 2.8, 3.57};
enum { MIN_ROWS = 16, MAX_BLOCK = 1024, ROUNDS = 6, LARGE_ROUNDS = 4, TRIAL = 1, SLOWER = 2, LARGE = 1 << 20 };

static bool divides(int64_t rows, int64_t blocks) { return rows % blocks == 0; }

/* Blocks of at most MAX_BLOCK rows; 0: the rows cannot be cut. */
static int64_t blocks_of(int64_t rows) {
    for (int64_t g = 1; rows / g >= MIN_ROWS; g++)
        if (divides(rows, g) && rows / g <= MAX_BLOCK) return g;
    return 0;
}

static double work(const xfc_factor_task *t, xfc_factor_shape s) { /* multiplications a token */
    return (double)t->rows * (double)s.atoms + (double)(s.blocks * s.entries) * (double)t->columns;
}

/* There are factors of this shape, and multiplying by them is no slower than by the weight. */
static bool is_fit(const xfc_factor_task *t, xfc_factor_shape s) {
    if (s.atoms < 1) return false;
    bool full = s.entries == s.atoms;
    double slow = (double)(s.blocks * s.entries) * (double)t->columns * (full ? 0 : SLOWER - 1);
    if (work(t, s) + slow >= (double)t->rows * (double)t->columns) return false;
    const xfc_sparse_shape sparse = {s.blocks * s.atoms, t->columns, s.blocks * s.entries * t->columns,
                                     s.blocks * s.entries};
    return full || xfc_sparse_pays(&sparse);
}

/* Shapes worth a trial, so many bytes at most. */
static uint32_t shapes(const xfc_lossy *l, const xfc_factor_task *t, int64_t bytes, xfc_factor_shape *out) {
    const int64_t cut = blocks_of(t->rows);
    const int64_t most = t->rows * t->columns > LARGE ? 2 : 4; /* what is large takes its time */
    uint32_t n = 0;
    const char *word = xfc_lossy_word_of(l, "factors");
    const bool svd = !word || strcmp(word, "sparse") != 0, sparse = !word || strcmp(word, "svd") != 0;
    for (int64_t per = svd ? 1 : 2; per <= (sparse ? most : 1); per++) {
        for (int64_t blocks = 1; blocks <= cut; blocks += cut > 1 ? cut - 1 : 1) {
            if (t->gram && blocks != cut) continue;
            out[n] = xfc_factor_fit(t, blocks, per, bytes);
            n += is_fit(t, out[n]);
        }
    }
    return n;
}

static xfc_factor_task task_of(const xfc_tensor *w) {
    return (xfc_factor_task){.rows = w->dim[0], .columns = w->dim[1], .w = w->data};
}

static int64_t bytes_at(const xfc_factor_task *t, double ratio) {
    return (int64_t)((double)xfc_factor_whole(t) / ratio);
}

/* --- sites --- */

/* Through ops that move or add, to an output of the graph? */
static bool is_head(const xfc_value *v) {
    for (int steps = 0; steps < 8 && v->uses && !v->uses->next; steps++) {
        const xfc_op *user = v->uses->user;
        if (user->code == XFC_OP_RETURN) return true;
        if (!xfc_op_has(user, XFC_VIEW) && user->code != XFC_OP_ADD) return false;
        v = &user->out[0];
    }
    return false;
}

static const char *why_not(const xfc_lossy *l, const xfc_op *op, const xfc_tensor *w) {
    const char *head = xfc_lossy_word_of(l, "head");
    const xfc_factor_task t = task_of(w);
    xfc_factor_shape s[16];
    if (w->dtype != XFC_F32) return "its weight is not f32";
    if (op->in[1].value->uses->next) return "something else reads its weight, too";
    if ((!head || strcmp(head, "on") != 0) && is_head(&op->out[0])) return "it makes an output; head=on takes it";
    if (blocks_of(w->dim[0]) == 0 || !shapes(l, &t, bytes_at(&t, RATIOS[1]), s))
        return "it is too small to gain by factors";
    return NULL;
}

/* The usual ratios, and the one that is asked for. */
static uint32_t ratios(const xfc_lossy *l, double *out, uint32_t *asked) {
    const char *word = xfc_lossy_word_of(l, "ratio");
    double want = word ? strtod(word, NULL) : 2;
    uint32_t n = 0;
    *asked = 0;
    for (uint32_t i = 0; i < XFC_COUNT(RATIOS); i++) {
        if (want > 1 && (n == 0 || out[n - 1] < want) && want <= RATIOS[i]) *asked = n, out[n++] = want;
        if (n == 0 || out[n - 1] < RATIOS[i]) out[n++] = RATIOS[i];
    }
    if (want > out[n - 1]) *asked = n, out[n++] = want;
    return n;
}

/* Levels as far as the weight has factors for them. */
static void add_site(xfc_lossy *l, xfc_op *op, const xfc_tensor *w) {
    xfc_lossy_site *site = xfc_lossy_add(l, op);
    const xfc_factor_task t = task_of(w);
    double ratio[XFC_COUNT(RATIOS) + 1] = {0};
    double tokens = xfc_lossy_products(l, op) / ((double)t.rows * (double)t.columns);
    uint32_t asked, n = ratios(l, ratio, &asked);
    site->what = xfc_sprintf(l->arena, "weight of %lld x %lld", (long long)t.rows, (long long)t.columns);
    site->why = why_not(l, op, w);
    site->data = op;
    if (site->why) return;
    double *saves = xfc_new_array(l->arena, double, n);
    const char **says = xfc_new_array(l->arena, const char *, n);
    says[0] = "as it is";
    for (uint32_t i = 1; i < n; i++) {
        xfc_factor_shape s[16];
        if (!shapes(l, &t, bytes_at(&t, ratio[i]), s)) break;
        double less = (double)t.rows * (double)t.columns - work(&t, s[0]);
        saves[i] = less * tokens > saves[i - 1] ? less * tokens : saves[i - 1];
        says[i] = xfc_sprintf(l->arena, "factors of %.3g times fewer bytes", ratio[i]);
        site->levels = i;
    }
    site->saves = saves;
    site->says = says;
    site->asked = asked < site->levels ? asked : site->levels;
}

xfc_status xfc_dsformer_sites(xfc_lossy *l) {
    const char *word = xfc_lossy_word_of(l, "ratio");
    double ratio = word ? strtod(word, NULL) : 2;
    if (!(ratio >= 1 && ratio <= 100))
        return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){0},
                        "--lossy=dsformer: ratio=%s: how many times fewer bytes weights take is 1 to 100", word);
    xfc_foreach_op(op, l->graph) {
        const xfc_tensor *w;
        if (op->code == XFC_OP_LINEAR && xfc_value_is_const(op->in[1].value, &w)) add_site(l, op, w);
    }
    return XFC_OK;
}

/* --- fitting --- */

typedef struct { /* of one weight at one level: kept by the request */
    const xfc_tensor *w;
    uint32_t level;
    xfc_factor_pair factors;
} fitted;
typedef struct {
    xfc_arena *arena;
    fitted *at;
    uint32_t n, cap;
} memory;

static memory *memory_of(xfc_lossy *l) {
    xfc_arena *arena = l->graph->ctx->arena;
    if (!l->request->memory) {
        memory *m = xfc_new(arena, memory);
        m->arena = arena;
        l->request->memory = m;
    }
    return l->request->memory;
}

/* The best of all shapes: where there are several, each is tried for a round; the best of them is fitted, and must then be
 * better than what the singular value decomposition gives. */
static xfc_factor_pair fit(const xfc_lossy *l, xfc_arena *arena, const xfc_factor_task *t, int64_t bytes) {
    xfc_arena *trial = xfc_arena_new();
    xfc_factor_shape s[16], best = {0};
    xfc_factor_pair full = {.error = 2};
    uint32_t n = shapes(l, t, bytes, s), n_sparse = 0;
    double least = 2;
    for (uint32_t i = 0; i < n; i++) n_sparse += s[i].entries < s[i].atoms;
    for (uint32_t i = 0; i < n; i++) {
        bool is_full = s[i].entries == s[i].atoms;
        xfc_factor_pair f = {.error = 0};
        if (is_full || n_sparse > 1) f = xfc_factorise(is_full ? arena : trial, t, s[i], TRIAL);
        if (is_full && f.error < full.error) full = f;
        if (!is_full && f.error < least) least = f.error, best = s[i];
    }
    xfc_arena_free(trial);
    if (best.atoms == 0) return full;
    const int rounds = t->rows * t->columns > LARGE ? LARGE_ROUNDS : ROUNDS;
    xfc_factor_pair f = xfc_factorise(arena, t, best, rounds);
    return f.error < full.error ? f : full;
}

static const xfc_factor_pair *factors_of(xfc_lossy *l, const xfc_tensor *w, uint32_t level, const xfc_inputs *in) {
    memory *m = memory_of(l);
    double ratio[XFC_COUNT(RATIOS) + 1] = {0};
    uint32_t ignored;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->at[i].w == w && m->at[i].level == level) return &m->at[i].factors;
    (void)ratios(l, ratio, &ignored);
    xfc_factor_task t = task_of(w);
    if (in) t.blocks = in->blocks, t.gram = in->gram;
    xfc_push(m->arena, m->at, m->n, m->cap) = (fitted){w, level, fit(l, m->arena, &t, bytes_at(&t, ratio[level]))};
    return &m->at[m->n - 1].factors;
}

/* --- rewriting --- */

static xfc_value *constant(xfc_builder *b, const float *data, int64_t rows, int64_t columns) {
    const int64_t dim[2] = {rows, columns};
    float *copy = xfc_tensor_alloc(b->graph->ctx, XFC_F32, 2, dim);
    memcpy(copy, data, (size_t)(rows * columns) * sizeof *copy);
    return xfc_b_const(b, xfc_tensor_new(b->graph->ctx, XFC_F32, 2, dim, copy, NULL));
}

/* x by the dense factor: block by block, side by side. */
static xfc_value *by_dense(xfc_builder *b, xfc_value *x, const xfc_factor_pair *f, int64_t rows) {
    xfc_ctx *ctx = b->graph->ctx;
    int64_t blocks = f->shape.blocks, length = rows / blocks, step[XFC_MAX_RANK];
    uint32_t rank = x->type.rank;
    xfc_value **part = xfc_new_array(b->graph->arena, xfc_value *, (size_t)blocks);
    xfc_int start[XFC_MAX_RANK], size[XFC_MAX_RANK];
    for (int64_t i = 0; i < blocks; i++) {
        for (uint32_t d = 0; d < rank; d++)
            start[d] = xfc_int_const(ctx, d + 1 == rank ? i * length : 0), size[d] = x->type.dim[d], step[d] = 1;
        size[rank - 1] = xfc_int_const(ctx, length);
        xfc_value *in[2] = {blocks > 1 ? xfc_b_slice(b, x, start, size, step) : x,
                            constant(b, f->dense + i * length * f->shape.atoms, length, f->shape.atoms)};
        part[i] = xfc_build(b, XFC_OP_LINEAR, in, 2, NULL, 0);
    }
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, rank - 1);
    return blocks > 1 ? xfc_build(b, XFC_OP_CONCAT, part, (uint32_t)blocks, &axis, 1) : part[0];
}

static xfc_value *by_second(xfc_builder *b, xfc_value *t, const xfc_factor_pair *f, int64_t columns) {
    xfc_value *s = constant(b, f->sparse, f->shape.blocks * f->shape.atoms, columns);
    const xfc_tensor *data;
    if (f->shape.entries == f->shape.atoms) return xfc_build(b, XFC_OP_LINEAR, (xfc_value *[]){t, s}, 2, NULL, 0);
    (void)xfc_value_is_const(s, &data);
    return xfc_b_sparse(b, t, data, XFC_F32);
}

static void apply_one(xfc_op *op, const xfc_tensor *w, const xfc_factor_pair *f, const xfc_inputs *in) {
    xfc_builder b = {.graph = op->graph, .before = op, .loc = op->loc};
    xfc_value *y = by_second(&b, by_dense(&b, op->in[0].value, f, w->dim[0]), f, w->dim[1]);
    xfc_value *bias = op->n_in > 2 ? op->in[2].value : NULL;
    if (in) {
        const xfc_tensor *t = xfc_tensor_copy(op->graph->ctx, XFC_F32, 1, &w->dim[1],
                                              xfc_factor_shift(op->graph->arena, w, f, in->mean), NULL);
        bias = bias ? xfc_b_binary(&b, XFC_OP_ADD, bias, xfc_b_const(&b, t)) : xfc_b_const(&b, t);
    }
    if (bias) y = xfc_b_binary(&b, XFC_OP_ADD, y, bias);
    if (!y) return;
    xfc_graph_note(op->graph, "dsformer", op->loc, "%s of rank %lld: error %.3f of %s",
                   f->shape.entries == f->shape.atoms ? "a singular value decomposition" : "a sparse second factor",
                   (long long)f->shape.blocks * f->shape.atoms, f->error,
                   in ? "the outputs on the samples" : "the weight");
    xfc_value_replace(&op->out[0], y);
    xfc_op_remove(op);
}

xfc_status xfc_dsformer_apply(xfc_lossy *l, const uint32_t *level) {
    xfc_op **op = xfc_new_array(l->arena, xfc_op *, l->n_sites);
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n_sites; i++)
        if (level[i]) op[n++] = l->site[i].data;
    xfc_inputs *in = NULL;
    if (l->oracle) XFC_TRY(xfc_inputs_see(l->oracle, l->graph, l->arena, op, n, blocks_of, &in));
    for (uint32_t i = 0, k = 0; i < l->n_sites; i++) {
        const xfc_tensor *w;
        if (!level[i] || !xfc_value_is_const(op[k]->in[1].value, &w)) continue;
        apply_one(op[k], w, factors_of(l, w, level[i], in ? &in[k] : NULL), in ? &in[k] : NULL);
        k++;
    }
    return XFC_OK;
}

/* dsformer.c - weights of linears become the product of a small dense factor and a sparse one (arXiv 2312.13211).
 *
 *   %y = linear %x, %w, %b     =>  %t = linear %x, %d;  %s = matmul_sparse %t, %rows, %values;  %y = add %s, %b
 *
 * A site is a linear with a constant weight; a level says how many times fewer bytes its factors take, rows of the
 * entries and all. Of some shapes of factors, the singular value decomposition among them (a full second factor), that
 * is taken which has the least error: of the layer's outputs on the samples, or without samples of the weight. Shapes
 * whose product would be slower than the dense one are not tried. With samples the bias takes up the mean of the error.
 *
 * With materialise=on factors are what is stored, and their product is what is multiplied (multiplied.c): then only bytes
 * count, and what is left out is a smaller file.
 *
 * Values of two bytes: the factors are rounded to them, and where the weight itself in such values is small enough, that is
 * what is stored.
 *
 * A weight that something else reads, too, is left alone: it would have to be stored as it is anyway. The output layer is,
 * unless asked for. What was fitted is kept by the request: a search that comes back to a level has it at once.
 */
#include "passes/lossy/dsformer.h"
#include "ir/build.h"
#include "passes/sparse/sparse.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double RATIOS[] = {1, 1.5, 2, 2.8, 3.57};
enum { MIN_ROWS = 16, MAX_BLOCK = 1024, ROUNDS = 6, LARGE_ROUNDS = 4, TRIAL = 1, LARGE = 1 << 20, MAX_STEPS = 12 };
/* A kernel more takes about as long as so many multiplications; of few tokens a multiplication takes longer. */
static const double STEP = 16384, FEW_TOKENS = 4;
static const double HALF_MAX = 65504;

static bool divides(int64_t rows, int64_t blocks) { return rows % blocks == 0; }

/* Blocks of at most MAX_BLOCK rows; 0: the rows cannot be cut. */
static int64_t blocks_of(int64_t rows) {
    for (int64_t g = 1; rows / g >= MIN_ROWS; g++)
        if (divides(rows, g) && rows / g <= MAX_BLOCK) return g;
    return 0;
}

static xfc_dtype values_of(const xfc_lossy *l) {
    const char *word = xfc_lossy_word_of(l, "values");
    xfc_dtype type = XFC_F32;
    if (word) (void)xfc_dtype_from_name(word, &type);
    return type;
}

static bool is_materialised(const xfc_lossy *l) {
    const char *word = xfc_lossy_word_of(l, "materialise");
    return word && !strcmp(word, "on");
}

/* A linear with a constant weight. */
typedef struct {
    const xfc_lossy *l;
    const xfc_tensor *w;
    xfc_factor_task t;
    double tokens; /* of a typical run */
} layer;

static layer layer_of(xfc_lossy *l, const xfc_op *op) {
    layer y = {.l = l};
    (void)xfc_value_is_const(op->in[1].value, &y.w);
    y.t = (xfc_factor_task){.rows = y.w->dim[0],
                            .columns = y.w->dim[1],
                            .w = y.w->data,
                            .value_bytes = (int64_t)xfc_dtype_bytes(values_of(l)),
                            .bare = is_materialised(l)};
    y.tokens = xfc_lossy_products(l, op) / ((double)y.t.rows * (double)y.t.columns);
    return y;
}

/* Multiplications a token, or of the dense product as many as take as long. */
static double work(const layer *y, xfc_factor_shape s, bool as_time) {
    const xfc_factor_task *t = &y->t;
    const int64_t entries = s.blocks * s.entries;
    const xfc_sparse_shape second = {s.blocks * s.atoms, t->columns, entries * t->columns, entries};
    double dense = (double)t->rows * (double)s.atoms, sparse = (double)second.nonzeros;
    if (!as_time) return dense + sparse;
    if (s.entries < s.atoms) sparse = xfc_sparse_work(&second, y->tokens);
    return dense + sparse + (double)s.blocks * STEP / fmax(FEW_TOKENS, y->tokens);
}

/* There are factors of this shape, and multiplying by them is no slower than by the weight, if it is done. */
static bool is_fit(const layer *y, xfc_factor_shape s) {
    if (is_materialised(y->l)) return s.atoms > 0;
    return s.atoms > 0 && work(y, s, true) < (double)y->t.rows * (double)y->t.columns;
}

/* Shapes worth a trial, so many bytes at most. */
static uint32_t shapes(const layer *y, int64_t bytes, xfc_factor_shape *out) {
    const xfc_factor_task *t = &y->t;
    const int64_t cut = blocks_of(t->rows);
    const int64_t most = t->rows * t->columns > LARGE ? 2 : 4; /* what is large takes its time */
    uint32_t n = 0;
    const char *word = xfc_lossy_word_of(y->l, "factors");
    const bool svd = !word || strcmp(word, "sparse") != 0, sparse = !word || strcmp(word, "svd") != 0;
    for (int64_t per = svd ? 1 : 2; per <= (sparse ? most : 1); per++) {
        for (int64_t blocks = 1; blocks <= cut; blocks += cut > 1 ? cut - 1 : 1) {
            if (y->l->oracle && blocks != cut) continue; /* what is known of inputs is cut so */
            out[n] = xfc_factor_fit(t, blocks, per, bytes);
            n += is_fit(y, out[n]);
        }
    }
    return n;
}

static int64_t bytes_at(const layer *y, double ratio) {
    return (int64_t)((double)xfc_factor_whole(&y->t, sizeof(float)) / ratio);
}

/* The weight itself, in narrow values, is as small as that: no factors are better. */
static bool whole_fits(const layer *y, int64_t bytes) {
    return y->t.value_bytes < (int64_t)sizeof(float) && xfc_factor_whole(&y->t, y->t.value_bytes) <= bytes;
}

/* Multiplications a token that are saved so; negative: it cannot be done. */
static double saved(const layer *y, double ratio) {
    xfc_factor_shape s[16];
    if (whole_fits(y, bytes_at(y, ratio))) return 0;
    if (blocks_of(y->t.rows) == 0 || !shapes(y, bytes_at(y, ratio), s)) return -1;
    if (is_materialised(y->l)) return 0;
    return (double)y->t.rows * (double)y->t.columns - work(y, s[0], false);
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

static bool is_within(const xfc_tensor *w, double most) {
    for (int64_t i = 0; i < w->count; i++)
        if (!(fabs(xfc_tensor_get_f(w, i)) <= most)) return false;
    return true;
}

static const char *why_not(const layer *y, const xfc_op *op) {
    const xfc_tensor *w = y->w;
    const char *head = xfc_lossy_word_of(y->l, "head");
    if (w->dtype != XFC_F32) return "its weight is not f32";
    if (op->in[1].value->uses->next) return "something else reads its weight, too";
    if ((!head || strcmp(head, "on") != 0) && is_head(&op->out[0])) return "it makes an output; head=on takes it";
    if (values_of(y->l) == XFC_F16 && !is_within(w, HALF_MAX)) return "its values are too large for f16";
    if (saved(y, RATIOS[1]) < 0) return "it is too small to gain by factors";
    return NULL;
}

/* The usual ratios, and the one that is asked for. */
static uint32_t ratios(const xfc_lossy *l, double *out, uint32_t *asked) {
    const char *word = xfc_lossy_word_of(l, "ratio");
    double want = word ? strtod(word, NULL) : 2;
    bool stands = want <= 1;
    uint32_t n = 0;
    *asked = 0;
    for (uint32_t i = 0; i < XFC_COUNT(RATIOS); i++) {
        if (!stands && want <= RATIOS[i]) *asked = n, out[n++] = want, stands = true;
        if (n == 0 || out[n - 1] < RATIOS[i]) out[n++] = RATIOS[i];
    }
    if (!stands) *asked = n, out[n++] = want;
    return n;
}

/* Levels as far as the weight has factors for them. */
static void add_site(xfc_lossy *l, xfc_op *op) {
    xfc_lossy_site *site = xfc_lossy_add(l, op);
    const layer y = layer_of(l, op);
    double ratio[XFC_COUNT(RATIOS) + 1] = {0};
    uint32_t asked, n = ratios(l, ratio, &asked);
    site->what = xfc_sprintf(l->arena, "weight of %lld x %lld", (long long)y.t.rows, (long long)y.t.columns);
    site->why = why_not(&y, op);
    site->data = op;
    if (site->why) return;
    double *saves = xfc_new_array(l->arena, double, n);
    const char **says = xfc_new_array(l->arena, const char *, n);
    says[0] = "as it is";
    for (uint32_t i = 1; i < n; i++) {
        double less = saved(&y, ratio[i]);
        if (less < 0) break;
        saves[i] = fmax(less * y.tokens, saves[i - 1]);
        says[i] = whole_fits(&y, bytes_at(&y, ratio[i]))
                      ? xfc_sprintf(l->arena, "stored as %s", xfc_dtype_name(values_of(l)))
                      : xfc_sprintf(l->arena, "factors of %.3g times fewer bytes%s", ratio[i],
                                    is_materialised(l) ? ", multiplied when the model is opened" : "");
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
        if (op->code == XFC_OP_LINEAR && xfc_value_is_const(op->in[1].value, NULL)) add_site(l, op);
    }
    return XFC_OK;
}

/* --- fitting --- */

typedef struct { /* of one weight at one level: kept by the request */
    const xfc_tensor *w;
    uint32_t level;
    uint64_t front; /* what was done in front of it, if that counts */
    bool by_samples;
    xfc_factor_pair factors; /* of no atoms: the weight itself, in narrow values */
    const float *shift;      /* of the bias; NULL: none */
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
static xfc_factor_pair fit(const layer *y, xfc_arena *arena, int64_t bytes) {
    const xfc_factor_task *t = &y->t;
    xfc_arena *trial = xfc_arena_new();
    xfc_factor_shape s[16], best = {0};
    xfc_factor_pair full = {.error = 2};
    uint32_t n = shapes(y, bytes, s), n_sparse = 0;
    double least = 2;
    for (uint32_t i = 0; i < n; i++) n_sparse += s[i].entries < s[i].atoms;
    for (uint32_t i = 0; i < n; i++) {
        bool svd = s[i].entries == s[i].atoms;
        xfc_factor_pair f = {.error = 0};
        if (svd || n_sparse > 1) f = xfc_factorise(svd ? arena : trial, t, s[i], TRIAL);
        if (svd && f.error < full.error) full = f;
        if (!svd && f.error < least) least = f.error, best = s[i];
    }
    xfc_arena_free(trial);
    if (best.atoms == 0) return full;
    const int rounds = t->rows * t->columns > LARGE ? LARGE_ROUNDS : ROUNDS;
    xfc_factor_pair f = xfc_factorise(arena, t, best, rounds);
    return f.error < full.error ? f : full;
}

static void round_all(xfc_dtype type, float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint16_t stored;
        double most = type == XFC_F16 ? HALF_MAX : (double)FLT_MAX;
        xfc_element_set_f(type, &stored, 0, fmax(-most, fmin(most, (double)x[i])));
        x[i] = type == XFC_F16 ? xfc_half_to_float(stored) : xfc_bfloat_to_float(stored);
    }
}

static double largest(const float *x, int64_t n, int64_t apart) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i * apart]));
    return most;
}

/* Atom k of a block, and the row of the second factor that goes with it: by a power of 2 between them their largest values
 * become about the same, which leaves most room in a narrow type. */
static void balance(const xfc_factor_task *t, xfc_factor_pair *f, int64_t block, int64_t k) {
    int64_t length = t->rows / f->shape.blocks, atoms = f->shape.atoms;
    float *atom = f->dense + block * length * atoms + k, *row = f->sparse + (block * atoms + k) * t->columns;
    double a = largest(atom, length, atoms), b = largest(row, t->columns, 1);
    if (!(a > 0 && b > 0)) return;
    int up = (int)lrint(log2(b / a) / 2);
    for (int64_t i = 0; i < length; i++) atom[i * atoms] = ldexpf(atom[i * atoms], up);
    for (int64_t j = 0; j < t->columns; j++) row[j] = ldexpf(row[j], -up);
}

/* The factors have the values that will be stored. */
static xfc_factor_pair narrowed(const xfc_factor_task *t, xfc_factor_pair f, xfc_dtype type) {
    if (type == XFC_F32) return f;
    for (int64_t b = 0; b < f.shape.blocks; b++)
        for (int64_t k = 0; k < f.shape.atoms; k++) balance(t, &f, b, k);
    round_all(type, f.dense, t->rows * f.shape.atoms);
    round_all(type, f.sparse, f.shape.blocks * f.shape.atoms * t->columns);
    return f;
}

/* All that is fitted for one setting: `front` is what was done in front of what comes next. */
typedef struct {
    xfc_lossy *l;
    xfc_graph *exact; /* the network as it was; NULL: inputs are those that it has now */
    xfc_linear *linear;
    uint32_t *level;
    uint32_t n;
    uint64_t front;
    double done, all;
} fitting;

static const fitted *find(const fitting *f, uint32_t i) {
    const memory *m = memory_of(f->l);
    const xfc_tensor *w;
    (void)xfc_value_is_const(f->linear[i].op->in[1].value, &w);
    for (uint32_t k = 0; k < m->n; k++)
        if (m->at[k].w == w && m->at[k].level == f->level[i] && m->at[k].front == f->front) return &m->at[k];
    return NULL;
}

/* in: NULL: nothing is known of the inputs. */
static void fit_one(const fitting *s, uint32_t i, const xfc_inputs *in) {
    xfc_lossy *l = s->l;
    memory *m = memory_of(l);
    double ratio[XFC_COUNT(RATIOS) + 1] = {0};
    uint32_t ignored;
    (void)ratios(l, ratio, &ignored);
    layer y = layer_of(l, s->linear[i].op);
    xfc_arena *scratch = xfc_arena_new();
    if (in) y.t.blocks = in->blocks, y.t.gram = in->gram;
    int64_t bytes = bytes_at(&y, ratio[s->level[i]]);
    fitted f = {.w = y.w, .level = s->level[i], .front = s->front, .by_samples = in != NULL};
    if (!whole_fits(&y, bytes)) {
        if (in) y.t.w = xfc_factor_aim(scratch, y.w, in);
        f.factors = narrowed(&y.t, fit(&y, m->arena, bytes), values_of(l));
        if (in) f.shift = xfc_factor_shift(m->arena, y.w, &f.factors, in);
    }
    xfc_push(m->arena, m->at, m->n, m->cap) = f;
    xfc_arena_free(scratch);
}

static double size(const xfc_linear *linear) {
    const xfc_tensor *w;
    (void)xfc_value_is_const(linear->op->in[1].value, &w);
    return (double)w->count;
}

/* Linears from .. to, those that were not fitted like this yet. */
static xfc_status fit_some(fitting *f, uint32_t from, uint32_t to) {
    const xfc_progress *progress = f->l->request->progress;
    xfc_linear *linear = xfc_new_array(f->l->arena, xfc_linear, to - from);
    xfc_inputs *in = NULL;
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        if (!find(f, i)) linear[n++] = f->linear[i];
    if (f->l->oracle && n)
        XFC_TRY(xfc_inputs_see(f->l->oracle, f->l->graph, f->exact, f->l->arena, linear, n, blocks_of, &in));
    n = 0;
    for (uint32_t i = from; i < to; i++) {
        const char *what = xfc_sprintf(f->l->arena, "%u of %u weights factorised", (unsigned)i, (unsigned)f->n);
        if (progress) progress->show(progress->user, f->done / f->all, what);
        if (!find(f, i)) fit_one(f, i, in ? &in[n] : NULL), n++;
        f->done += size(&f->linear[i]);
    }
    return XFC_OK;
}

/* --- rewriting --- */

typedef struct {
    xfc_builder b;
    xfc_dtype type; /* of what is stored */
    bool materialised;
} rewriting;

static xfc_value *constant(rewriting *r, const float *data, int64_t rows, int64_t columns) {
    const int64_t dim[2] = {rows, columns};
    void *copy = xfc_tensor_alloc(r->b.graph->ctx, r->type, 2, dim);
    for (int64_t i = 0; i < rows * columns; i++) xfc_element_set_f(r->type, copy, i, (double)data[i]);
    return xfc_b_const(&r->b, xfc_tensor_new(r->b.graph->ctx, r->type, 2, dim, copy, NULL));
}

/* x by the dense factor: block by block, side by side. */
static xfc_value *by_dense(rewriting *r, xfc_value *x, const xfc_factor_pair *f, int64_t rows) {
    xfc_ctx *ctx = r->b.graph->ctx;
    int64_t blocks = f->shape.blocks, length = rows / blocks;
    uint32_t rank = x->type.rank;
    xfc_value **part = xfc_new_array(r->b.graph->arena, xfc_value *, (size_t)blocks);
    for (int64_t i = 0; i < blocks; i++) {
        xfc_int start = xfc_int_const(ctx, i * length), size = xfc_int_const(ctx, length);
        xfc_value *in[2] = {blocks > 1 ? xfc_b_slice_axis(&r->b, x, rank - 1, start, size, 1) : x,
                            constant(r, f->dense + i * length * f->shape.atoms, length, f->shape.atoms)};
        part[i] = xfc_build(&r->b, XFC_OP_LINEAR, in, 2, NULL, 0);
    }
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, rank - 1);
    return blocks > 1 ? xfc_build(&r->b, XFC_OP_CONCAT, part, (uint32_t)blocks, &axis, 1) : part[0];
}

static bool is_full(const xfc_factor_pair *f) { return f->shape.entries == f->shape.atoms; }

static xfc_value *by_second(rewriting *r, xfc_value *t, const xfc_factor_pair *f, int64_t columns) {
    xfc_value *s = constant(r, f->sparse, f->shape.blocks * f->shape.atoms, columns);
    const xfc_tensor *data;
    if (is_full(f)) return xfc_build(&r->b, XFC_OP_LINEAR, (xfc_value *[]){t, s}, 2, NULL, 0);
    (void)xfc_value_is_const(s, &data);
    return xfc_b_sparse(&r->b, t, data, r->type);
}

static xfc_value *bias_of(rewriting *r, const xfc_op *op, const fitted *fit) {
    xfc_value *bias = op->n_in > 2 ? op->in[2].value : NULL;
    if (!fit->shift) return bias;
    const xfc_tensor *t = xfc_tensor_copy(op->graph->ctx, XFC_F32, 1, &fit->w->dim[1], fit->shift, NULL);
    xfc_value *shift = xfc_b_const(&r->b, t);
    return bias ? xfc_b_binary(&r->b, XFC_OP_ADD, bias, shift) : shift;
}

static xfc_value *replacement(rewriting *r, const xfc_op *op, const fitted *fit) {
    const xfc_tensor *w = fit->w;
    const xfc_factor_pair *f = &fit->factors;
    xfc_value *in[3] = {op->in[0].value};
    if (f->shape.atoms > 0 && !r->materialised) {
        xfc_value *y = by_second(r, by_dense(r, in[0], f, w->dim[0]), f, w->dim[1]), *bias = bias_of(r, op, fit);
        return bias ? xfc_b_binary(&r->b, XFC_OP_ADD, y, bias) : y;
    }
    if (f->shape.atoms > 0)
        in[1] = xfc_b_const(&r->b, xfc_factors_multiplied(r->b.graph->ctx, f, w->dim[0], w->dim[1], r->type));
    else
        in[1] = constant(r, w->data, w->dim[0], w->dim[1]);
    in[2] = bias_of(r, op, fit);
    return xfc_build(&r->b, XFC_OP_LINEAR, in, in[2] ? 3 : 2, NULL, 0);
}

static void apply_one(const xfc_lossy *l, xfc_op *op, const fitted *fit) {
    rewriting r = {.b = {.graph = op->graph, .before = op, .loc = op->loc},
                   .type = values_of(l),
                   .materialised = is_materialised(l)};
    const xfc_factor_pair *f = &fit->factors;
    xfc_value *y = replacement(&r, op, fit);
    if (!y) return;
    if (f->shape.atoms > 0)
        xfc_graph_note(op->graph, "dsformer", op->loc, "%s of rank %lld: error %.3f of %s",
                       is_full(f) ? "a singular value decomposition" : "a sparse second factor",
                       (long long)f->shape.blocks * f->shape.atoms, f->error,
                       fit->by_samples ? "the outputs on the samples" : "the weight");
    xfc_value_replace(&op->out[0], y);
    xfc_op_remove(op);
}

/* --- of one setting --- */

static void list(fitting *f, const uint32_t *level) {
    xfc_lossy *l = f->l;
    f->linear = xfc_new_array(l->arena, xfc_linear, l->n_sites);
    f->level = xfc_new_array(l->arena, uint32_t, l->n_sites);
    for (uint32_t i = 0; i < l->n_sites; i++) {
        xfc_op *op = l->site[i].data;
        if (!level[i] || !xfc_value_is_const(op->in[1].value, NULL)) continue;
        f->linear[f->n] = (xfc_linear){.op = op};
        f->level[f->n] = level[i];
        f->all += size(&f->linear[f->n++]);
    }
}

/* Its ops can stand in one graph twice. */
static bool is_plain(const xfc_graph *g) {
    xfc_foreach_op(op, g)
        if (op->code == XFC_OP_DEFINE || xfc_op_has(op, XFC_REGION)) return false;
    return true;
}

/* Rows of all samples are fewer than twice the inputs of a layer: what is fitted to them is more chance than knowledge. */
static bool has_few_rows(const fitting *f) {
    for (uint32_t i = 0; i < f->n; i++) {
        const layer y = layer_of(f->l, f->linear[i].op);
        if (f->l->oracle->fit->n * y.tokens < 2 * (double)y.t.rows) return true;
    }
    return false;
}

static const char *why_exact(const fitting *f, bool told) {
    if (!is_plain(f->l->graph)) return "as it has branches, loops or sizes that data decides";
    if (!told && has_few_rows(f))
        return "as samples have fewer rows than twice a layer's inputs; inputs=factorised does not mind";
    return NULL;
}

/* Answers in how many steps the network is factorised: each sees what those before left, beside the exact network. In a
 * search, where all behind a place that changes would be fitted anew, only if that is asked for. */
static uint32_t follow(fitting *f) {
    const xfc_lossy *l = f->l;
    const char *word = xfc_lossy_word_of(l, "inputs");
    bool wanted = word ? !strcmp(word, "factorised") : !l->request->site;
    if (!wanted || !l->oracle) return 1;
    const char *why = why_exact(f, word != NULL);
    if (why) {
        xfc_graph_note(l->graph, "dsformer", (xfc_loc){0}, "inputs are those of the exact network, %s", why);
        return 1;
    }
    f->exact = xfc_graph_clone(l->graph);
    for (uint32_t i = 0; i < f->n; i++) f->linear[i].exact = xfc_twin_op(l->graph, f->exact->first, f->linear[i].op);
    return f->n < MAX_STEPS ? f->n : MAX_STEPS;
}

/* What was done so far and here, as a number (FNV-1a). */
static uint64_t beyond(uint64_t front, const xfc_op *linear, uint32_t level) {
    const xfc_tensor *w;
    (void)xfc_value_is_const(linear->in[1].value, &w);
    front = (front ^ (uintptr_t)w) * UINT64_C(0x100000001b3);
    return (front ^ level) * UINT64_C(0x100000001b3);
}

static void apply_some(fitting *f, uint32_t from, uint32_t to) {
    uint64_t past = f->front;
    for (uint32_t i = from; i < to; i++) {
        if (f->exact) past = beyond(past, f->linear[i].op, f->level[i]);
        apply_one(f->l, f->linear[i].op, find(f, i));
    }
    f->front = past;
}

xfc_status xfc_dsformer_apply(xfc_lossy *l, const uint32_t *level) {
    fitting f = {.l = l};
    xfc_status status = XFC_OK;
    list(&f, level);
    const uint32_t steps = follow(&f);
    for (uint32_t k = 0, to = 0; k < steps && status == XFC_OK; k++) {
        uint32_t from = to;
        to = (uint32_t)((uint64_t)f.n * (k + 1) / steps);
        if ((status = fit_some(&f, from, to)) == XFC_OK) apply_some(&f, from, to);
    }
    if (f.exact) xfc_graph_free(f.exact);
    return status;
}

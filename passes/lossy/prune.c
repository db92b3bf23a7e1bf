/* prune.c - blocks, heads and neurons that are left out: less of the network, by exact algebra.
 *
 * After AxFormer (arXiv 2010.03688) and SHRP: what goes is decided by evaluation, which is the business of whoever
 * searches. A site is a block; its levels take the units of it, heads or groups of neurons, one after the other, those that
 * add least first, and at last all of it. Removed is of units: the rows of the reader's weight, and with them all that made
 * the columns that they read (narrow.h); of a block: the operand of its add. The result is the network where those
 * weights are 0, without them.
 *
 * A unit adds what its rows are; with samples, what the outputs lose when it is left out alone (prune_try.c). And with
 * samples what goes may leave its mean behind, a constant of each output channel, in the reader's bias or in place of
 * the branch. Means are over all tokens, which is wrong where one of them is read in the end. So both are tried once, on
 * a few parts of all blocks, and that whose outputs are nearer to the exact ones is taken.
 *
 *   %h = gelu %1             : f32[b, s, 3072]     |  %h' = gelu %1'              : f32[b, s, 2688]
 *   %2 = linear %h, %w, %b   : f32[b, s, 768]      |  %2  = linear %h', %w', %b'  : f32[b, s, 768]
 */
#include "passes/lossy/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- what samples say --- */

typedef struct { /* by column of the reader's input, and by channel of the branch; NULL: not known */
    double *mean, *branch;
} block_means;
typedef struct {
    const block_means *block;
    const double *adds; /* by unit of all blocks; NULL: not known */
    uint32_t n;
    bool folds; /* what goes leaves its mean */
} prune_memory;

typedef struct {  /* the outputs of a graph, those of the model first */
    double **sum; /* of the others, over samples */
    uint32_t n_model, n;
} measuring;

static xfc_value *mean_of(xfc_builder *b, xfc_value *v) {
    static const int64_t axes[XFC_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    v = xfc_b_cast(b, v, XFC_F32);
    return v ? xfc_b_reduce(b, XFC_OP_REDUCE_MEAN, v, axes, v->type.rank - 1, false) : NULL;
}

static xfc_status see_means(void *user, uint32_t sample, const xfc_tensor *const *out) {
    const measuring *m = user;
    (void)sample;
    for (uint32_t i = 0; i < m->n; i++)
        for (int64_t j = 0; j < out[m->n_model + i]->count; j++)
            m->sum[i][j] += xfc_tensor_get_f(out[m->n_model + i], j);
    return XFC_OK;
}

/* One more output, whose sums go to *sum. */
static xfc_status add_output(xfc_lossy *l, measuring *m, xfc_graph *g, xfc_value *v, double **sum) {
    int64_t size;
    if (!v) return XFC_ERR_UNSUPPORTED;
    if (!xfc_int_value(g->ctx, v->type.dim[0], &size)) return XFC_OK;
    if (!xfc_graph_add_output(g, v, xfc_sprintf(l->arena, "prune.%u", (unsigned)m->n)))
        return xfc_fail(g->ctx, XFC_ERR_LIMIT, (xfc_loc){.file = g->source},
                        "--lossy=prune: too many blocks to look at with --calib; leave it out");
    m->sum[m->n++] = *sum = xfc_new_array(g->ctx->arena, double, (size_t)size);
    return XFC_OK;
}

static xfc_status add_outputs(xfc_lossy *l, measuring *m, xfc_graph *g, const xfc_prune_block *b, block_means *out) {
    xfc_builder at = {.graph = g, .before = g->last};
    XFC_TRY(add_output(l, m, g, mean_of(&at, b->join->in[b->side].value), &out->branch));
    return b->n_units ? add_output(l, m, g, mean_of(&at, b->reader->in[0].value), &out->mean) : XFC_OK;
}

static bool finite(const double *x, int64_t n) {
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite(x[i])) return false;
    return x != NULL;
}

/* Sums to means; what is not finite is not known. */
static void settle(block_means *m, const xfc_prune_block *b, uint32_t samples) {
    const xfc_type *t = &b->join->out[0].type;
    int64_t width = 0, size = b->n_units ? b->unit[0].period : 0;
    (void)xfc_int_value(b->join->graph->ctx, t->dim[t->rank - 1], &width);
    for (int64_t j = 0; m->branch && j < width; j++) m->branch[j] /= samples;
    for (int64_t j = 0; m->mean && j < size; j++) m->mean[j] /= samples;
    if (!finite(m->branch, width)) m->branch = NULL;
    if (!finite(m->mean, size)) m->mean = NULL;
}

static xfc_lossy twin_of(const xfc_lossy *l) {
    return (xfc_lossy){.graph = xfc_graph_clone(l->graph), .request = l->request, .arena = l->arena, .sizes = l->sizes};
}

static xfc_status measure_means(xfc_lossy *l, measuring *m, prune_memory *memory) {
    xfc_lossy twin = twin_of(l);
    const xfc_samples *fit = l->oracle->fit;
    xfc_prune_block *block;
    xfc_status status = XFC_OK;
    xfc_prune_find(&twin, &block, &memory->n);
    block_means *means = xfc_new_array(l->graph->ctx->arena, block_means, memory->n);
    m->sum = xfc_new_array(l->arena, double *, 2 * (size_t)memory->n);
    for (uint32_t i = 0; i < memory->n && status == XFC_OK; i++)
        status = add_outputs(l, m, twin.graph, &block[i], &means[i]);
    if (status == XFC_OK && memory->n) status = l->oracle->run(l->oracle, twin.graph, fit, see_means, m, NULL);
    for (uint32_t i = 0; i < memory->n && status == XFC_OK; i++) settle(&means[i], &block[i], fit->n);
    memory->block = means;
    xfc_graph_free(twin.graph);
    return status;
}

static xfc_status list_sites(xfc_lossy *);

/* A few parts of every block. */
static xfc_status try_some(xfc_lossy *l, double *error) {
    xfc_lossy twin = twin_of(l);
    xfc_status status = list_sites(&twin);
    uint32_t *level = xfc_new_array(l->arena, uint32_t, twin.n_sites);
    for (uint32_t i = 0; i < twin.n_sites; i++) level[i] = twin.site[i].levels / 4;
    if (status == XFC_OK) status = xfc_prune_apply(&twin, level);
    if (status == XFC_OK) status = l->oracle->differ(l->oracle, twin.graph, error);
    xfc_graph_free(twin.graph);
    return status;
}

/* On the half that is for fitting, once a request. */
static xfc_status measure(xfc_lossy *l) {
    measuring m = {.n_model = l->graph->n_out};
    prune_memory *memory = xfc_new(l->graph->ctx->arena, prune_memory);
    double alone = 0, folded = 0;
    l->request->memory = memory;
    XFC_TRY(measure_means(l, &m, memory));
    XFC_TRY(xfc_prune_try(l, &memory->adds));
    if (!memory->n) return XFC_OK;
    XFC_TRY(try_some(l, &alone));
    memory->folds = true;
    XFC_TRY(try_some(l, &folded));
    memory->folds = folded < alone;
    return XFC_OK;
}

/* NULL: none, or not to be used. */
static const block_means *means_of(const xfc_lossy *l, uint32_t site) {
    const prune_memory *memory = l->request->memory;
    return memory && site < memory->n && memory->folds ? &memory->block[site] : NULL;
}

/* --- sites --- */

typedef struct {
    double adds;
    xfc_part part;
} ranked;

static int by_what_it_adds(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->adds != y->adds) return x->adds < y->adds ? -1 : 1;
    return (x->part.at[0] > y->part.at[0]) - (x->part.at[0] < y->part.at[0]);
}

static double size_of_rows(const xfc_tensor *w, xfc_part unit) {
    double sum = 0;
    for (uint32_t k = 0; k < unit.n; k++)
        for (int64_t j = 0; j < w->dim[1]; j++) {
            double v = xfc_tensor_get_f(w, unit.at[k] * w->dim[1] + j);
            sum += v * v;
        }
    return isfinite(sum) ? sum : HUGE_VAL;
}

/* adds: what each unit adds; NULL: its rows say it. */
static void rank_units(xfc_lossy *l, xfc_prune_block *b, const double *adds) {
    ranked *list = xfc_new_array(l->arena, ranked, b->n_units);
    for (uint32_t i = 0; i < b->n_units; i++)
        list[i] = (ranked){adds ? adds[i] : size_of_rows(xfc_prune_weight(b), b->unit[i]), b->unit[i]};
    qsort(list, b->n_units, sizeof *list, by_what_it_adds);
    for (uint32_t i = 0; i < b->n_units; i++) b->unit[i] = list[i].part;
}

static int by_number(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The first n units as one part. */
static xfc_part first_units(xfc_arena *arena, const xfc_prune_block *b, uint32_t n) {
    int64_t *at = xfc_new_array(arena, int64_t, (size_t)b->unit[0].period);
    xfc_part all = {0, at, b->unit[0].period};
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < b->unit[i].n; k++) at[all.n++] = b->unit[i].at[k];
    qsort(at, all.n, sizeof *at, by_number);
    return all;
}

static void fill_levels(xfc_lossy *l, xfc_lossy_site *s, const xfc_prune_block *b) {
    s->levels = b->n_units ? b->n_units : 1;
    double *saves = xfc_new_array(l->arena, double, s->levels + 1);
    const char **says = xfc_new_array(l->arena, const char *, s->levels + 1);
    const char *unit = b->attention ? "heads" : "neurons";
    int64_t all = b->attention ? b->heads : b->n_units ? b->unit[0].period : 0;
    says[0] = "stays";
    for (uint32_t k = 1; k < s->levels; k++) {
        xfc_part part = first_units(l->arena, b, k);
        int64_t gone = b->attention ? all / s->levels * k : part.n;
        saves[k] = fmax(xfc_prune_saves(l, b, part), saves[k - 1]);
        says[k] = xfc_sprintf(l->arena, "%d of %d %s left out", (int)gone, (int)all, unit);
    }
    saves[s->levels] = fmax(b->saves, saves[s->levels - 1]);
    says[s->levels] = "left out";
    s->saves = saves;
    s->says = says;
}

/* Of one item of gone=BLOCK[.N]/...: N, all without one; 0: it is of another block, or no number. */
static uint32_t level_in(const char *item, size_t length, const xfc_lossy_site *s, const xfc_prune_block *b) {
    size_t n = strlen(b->name);
    char *end;
    if (length < n || memcmp(item, b->name, n) != 0) return 0;
    if (length == n) return s->levels;
    if (item[n] != '.' || length < n + 2 || item[n + 1] < '0' || item[n + 1] > '9') return 0;
    unsigned long level = strtoul(item + n + 1, &end, 10);
    return end == item + length && level <= s->levels ? (uint32_t)level : 0;
}

static xfc_status unknown_item(xfc_lossy *l, const char *item, size_t length) {
    xfc_buf known = {.arena = l->arena};
    for (uint32_t i = 0; i < l->n_sites; i++) {
        const xfc_prune_block *b = l->site[i].data;
        xfc_buf_printf(&known, "%s%s", i ? ", " : "", b->name);
        if (l->site[i].levels > 1) xfc_buf_printf(&known, " (1 to %u)", (unsigned)l->site[i].levels);
    }
    return xfc_fail(l->graph->ctx, XFC_ERR_INPUT, (xfc_loc){.file = l->graph->source},
                    "--lossy=prune: gone: '%.*s' is no block with so many parts; there are: %s", (int)length, item,
                    l->n_sites ? known.text : "none");
}

/* What gone= names. */
static xfc_status read_gone(xfc_lossy *l) {
    const char *at = xfc_lossy_word_of(l, "gone");
    for (size_t n = 0; at; at = at[n] ? at + n + 1 : NULL) {
        bool known = false;
        n = strcspn(at, "/");
        for (uint32_t i = 0; i < l->n_sites; i++) {
            uint32_t level = level_in(at, n, &l->site[i], l->site[i].data);
            if (level) l->site[i].asked = level;
            known |= level > 0;
        }
        if (!known) return unknown_item(l, at, n);
    }
    return XFC_OK;
}

/* Without words the least of each block goes. */
static uint32_t asked(const xfc_lossy *l, const xfc_prune_block *b) {
    int64_t least = l->request->n_words ? 0 : 1, n = xfc_lossy_number(l, b->attention ? "heads" : "neurons", least);
    int64_t most = b->n_units ? b->n_units - 1 : 0;                /* never all of it */
    if (b->attention && b->n_units) n = n * b->n_units / b->heads; /* heads that go together */
    return (uint32_t)(n < 0 ? 0 : n < most ? n : most);
}

static xfc_status list_sites(xfc_lossy *l) {
    const prune_memory *memory = l->request->memory;
    const double *adds = memory ? memory->adds : NULL;
    xfc_prune_block *block;
    uint32_t n;
    xfc_prune_find(l, &block, &n);
    for (uint32_t i = 0; i < n; i++) {
        xfc_lossy_site *s = xfc_lossy_add(l, block[i].join);
        rank_units(l, &block[i], adds);
        if (adds) adds += block[i].n_units;
        s->what = block[i].whole ? xfc_sprintf(l->arena, "%s (as a whole only: %s)", block[i].name, block[i].whole)
                                 : block[i].name;
        s->data = &block[i];
        fill_levels(l, s, &block[i]);
        s->asked = asked(l, &block[i]);
    }
    return read_gone(l);
}

xfc_status xfc_prune_sites(xfc_lossy *l) {
    if (l->oracle && !l->request->memory) XFC_TRY(measure(l));
    return list_sites(l);
}

/* --- taking out --- */

static xfc_value *constant(xfc_builder *b, xfc_dtype dtype, const double *x, int64_t n) {
    void *data = xfc_tensor_alloc(b->graph->ctx, dtype, 1, &n);
    for (int64_t i = 0; i < n; i++) xfc_element_set_f(dtype, data, i, x[i]);
    return xfc_b_const(b, xfc_tensor_new(b->graph->ctx, dtype, 1, &n, data, NULL));
}

static xfc_status remove_block(const xfc_prune_block *b, const block_means *means) {
    xfc_value *branch = b->join->in[b->side].value, *mean = NULL;
    xfc_builder at = {.graph = b->join->graph, .before = b->join, .loc = b->join->loc};
    int64_t width;
    if (!means || !means->branch || !xfc_int_value(at.graph->ctx, branch->type.dim[branch->type.rank - 1], &width)) {
        xfc_value_replace(&b->join->out[0], b->join->in[1 - b->side].value);
        return XFC_OK;
    }
    mean = constant(&at, branch->type.dtype, means->branch, width);
    mean = xfc_b_expand(&at, mean, branch->type.dim, branch->type.rank);
    if (!mean) return XFC_ERR_UNSUPPORTED;
    xfc_op_set_in(b->join, b->side, mean);
    return XFC_OK;
}

/* The reader's bias with what the rows that go add on average. */
static xfc_value *new_bias(xfc_builder *at, const xfc_op *reader, const xfc_tensor *w, xfc_part gone,
                           const double *mean) {
    const xfc_tensor *bias = NULL;
    xfc_value *old = reader->n_in > 2 ? reader->in[2].value : NULL;
    if (!mean) return old;
    if (old) (void)xfc_value_is_const(old, &bias);
    double *sum = xfc_new_array(at->graph->arena, double, (size_t)w->dim[1]);
    for (int64_t j = 0; j < w->dim[1]; j++) {
        sum[j] = bias ? xfc_tensor_get_f(bias, j) : 0;
        for (uint32_t k = 0; k < gone.n; k++)
            sum[j] += mean[gone.at[k]] * xfc_tensor_get_f(w, gone.at[k] * w->dim[1] + j);
    }
    return constant(at, w->dtype, sum, w->dim[1]);
}

static xfc_status remove_units(xfc_lossy *l, const xfc_prune_block *b, uint32_t n, const block_means *means) {
    xfc_op *reader = b->reader;
    xfc_builder at = {.graph = l->graph, .before = reader, .loc = reader->loc};
    xfc_narrow narrow = {.arena = l->arena};
    xfc_part gone = first_units(l->arena, b, n), rest = xfc_part_without(l->arena, gone);
    const xfc_tensor *w = xfc_prune_weight(b);
    xfc_value *x = xfc_narrowed(&narrow, reader->in[0].value, reader->in[0].value->type.rank - 1, rest);
    if (!x)
        return xfc_fail(l->graph->ctx, XFC_ERR_UNSUPPORTED, reader->loc,
                        "--lossy=prune: %s: %u of its parts cannot go together; choose another number", b->name,
                        (unsigned)n);
    xfc_value *in[3] = {x, xfc_b_const(&at, xfc_tensor_part(l->graph->ctx, w, 0, rest)),
                        new_bias(&at, reader, w, gone, means ? means->mean : NULL)};
    xfc_value *less = xfc_build_opt(&at, XFC_OP_LINEAR, in, in[2] ? 3 : 2, NULL, 0);
    if (!less) return XFC_ERR_UNSUPPORTED;
    xfc_value_replace(&reader->out[0], less);
    return XFC_OK;
}

/* Projections that were one product are it again. */
xfc_status xfc_prune_apply(xfc_lossy *l, const uint32_t *level) {
    bool units = false;
    for (uint32_t i = 0; i < l->n_sites; i++) {
        const xfc_prune_block *b = l->site[i].data;
        bool whole = level[i] == l->site[i].levels;
        if (!level[i]) continue;
        XFC_TRY(whole ? remove_block(b, means_of(l, i)) : remove_units(l, b, level[i], means_of(l, i)));
        units |= !whole;
    }
    xfc_pass tidy = {.graph = l->graph, .scratch = l->arena};
    if (units && (xfc_dce(&tidy), tidy.status == XFC_OK)) (void)xfc_merge(&tidy);
    return tidy.status;
}

/* prune_try.c - what heads and neurons add, by leaving out each alone.
 *
 * One program tries all of them: what readers read is multiplied by a mask, which is one more input, and every sample is
 * run with nothing gone and then with each unit gone. What a unit adds is by how much the outputs differ then, each in
 * units of its own length, over so many samples as `work` multiplications are enough for: no clock decides.
 */
#include "passes/lossy/prune.h"

#include <math.h>
#include <string.h>

static const double work = 6e12; /* minutes, on two cores */
enum { LEAST = 2 };              /* one sample says too little */

typedef struct {
    const xfc_lossy *l;
    xfc_arena *arena;         /* of the outputs of one sample */
    const xfc_tensor **exact; /* those with nothing gone */
    uint32_t n_units, n_runs;
    double *adds;
} trying;

/* --- the program --- */

/* x, and 0 in the columns of the units whose element of the mask is 0. */
static xfc_value *masked(xfc_builder *at, const xfc_prune_block *b, xfc_value *mask, uint32_t first) {
    xfc_value *x = b->reader->in[0].value;
    const int64_t width = b->unit[0].period;
    const xfc_attr axis = xfc_attr_int(XFC_K_AXIS, 0);
    int32_t *unit = xfc_tensor_alloc(at->graph->ctx, XFC_I32, 1, &width);
    for (uint32_t i = 0; i < b->n_units; i++)
        for (uint32_t k = 0; k < b->unit[i].n; k++) unit[b->unit[i].at[k]] = (int32_t)(first + i);
    xfc_value *in[2] = {mask, xfc_b_const(at, xfc_tensor_new(at->graph->ctx, XFC_I32, 1, &width, unit, NULL))};
    xfc_value *columns = xfc_b_cast(at, xfc_build(at, XFC_OP_GATHER, in, 2, &axis, 1), x->type.dtype);
    return columns ? xfc_b_binary(at, XFC_OP_MUL, x, columns) : NULL;
}

static xfc_status add_mask(xfc_graph *g, const xfc_prune_block *block, uint32_t n, uint32_t n_units) {
    xfc_int size = xfc_int_const(g->ctx, n_units);
    xfc_value *mask = xfc_graph_add_input(g, "prune.mask", xfc_type_make(XFC_F32, 1, &size));
    uint32_t first = 0;
    for (uint32_t i = 0; i < n && mask; i++) {
        const xfc_prune_block *b = &block[i];
        xfc_builder at = {.graph = g, .before = b->reader};
        if (!b->n_units) continue;
        xfc_value *x = masked(&at, b, mask, first);
        if (!x) return XFC_ERR_UNSUPPORTED;
        xfc_op_set_in(b->reader, 0, x);
        first += b->n_units;
    }
    return mask ? XFC_OK : XFC_ERR_LIMIT;
}

/* --- the samples --- */

/* mask i is without unit i - 1, mask 0 with all of them. */
static const xfc_tensor **make_masks(xfc_ctx *ctx, xfc_arena *arena, uint32_t n_units) {
    const xfc_tensor **mask = xfc_new_array(arena, const xfc_tensor *, n_units + 1);
    const int64_t size = n_units;
    for (uint32_t i = 0; i <= n_units; i++) {
        float *data = xfc_tensor_alloc(ctx, XFC_F32, 1, &size);
        for (uint32_t k = 0; k < n_units; k++) data[k] = k + 1 != i;
        mask[i] = xfc_tensor_new(ctx, XFC_F32, 1, &size, data, NULL);
    }
    return mask;
}

/* The first n samples, each with every mask. */
static xfc_samples with_masks(xfc_ctx *ctx, xfc_arena *arena, const xfc_samples *s, uint32_t n, uint32_t n_units) {
    const xfc_tensor **mask = make_masks(ctx, arena, n_units);
    uint32_t all = n * (n_units + 1);
    const char **input = xfc_new_array(arena, const char *, s->n_in + 1),
               **name = xfc_new_array(arena, const char *, all);
    const xfc_tensor *const **in = xfc_new_array(arena, const xfc_tensor *const *, all);
    for (uint32_t k = 0; k < s->n_in; k++) input[k] = s->input[k];
    input[s->n_in] = "prune.mask";
    for (uint32_t i = 0; i < all; i++) {
        const xfc_tensor **one = xfc_new_array(arena, const xfc_tensor *, s->n_in + 1);
        memcpy(one, s->in[i / (n_units + 1)], s->n_in * sizeof *one);
        one[s->n_in] = mask[i % (n_units + 1)];
        in[i] = one;
        name[i] = s->name[i / (n_units + 1)];
    }
    return (xfc_samples){.n = all, .n_in = s->n_in + 1, .input = input, .name = name, .in = in};
}

/* --- what comes out --- */

static void keep(trying *t, const xfc_tensor *const *out) {
    xfc_arena_free(t->arena);
    t->arena = xfc_arena_new();
    for (uint32_t i = 0; i < t->l->graph->n_out; i++) {
        xfc_tensor *copy = xfc_memdup(t->arena, out[i], sizeof *copy, _Alignof(xfc_tensor));
        copy->data = xfc_memdup(t->arena, out[i]->data, out[i]->bytes, 64);
        t->exact[i] = copy;
    }
}

static double difference(const xfc_tensor *exact, const xfc_tensor *other) {
    double differ = 0, all = 0;
    if (!xfc_dtype_is_float(exact->dtype) || exact->count != other->count) return 0;
    for (int64_t j = 0; j < exact->count; j++) {
        double x = xfc_tensor_get_f(exact, j), d = x - xfc_tensor_get_f(other, j);
        if (isfinite(d)) differ += d * d, all += x * x;
    }
    return all > 0 ? differ / all : 0;
}

static xfc_status see(void *user, uint32_t run, const xfc_tensor *const *out) {
    trying *t = user;
    const xfc_progress *p = t->l->request->progress;
    uint32_t unit = run % (t->n_units + 1);
    if (p) p->show(p->user, (run + 1.0) / t->n_runs, "heads and neurons left out alone");
    if (unit == 0)
        keep(t, out);
    else
        for (uint32_t i = 0; i < t->l->graph->n_out; i++) t->adds[unit - 1] += difference(t->exact[i], out[i]);
    return XFC_OK;
}

/* Samples to look at; 0: too few could be. */
static uint32_t how_many(const xfc_lossy *l, uint32_t n_units) {
    const uint32_t all = l->oracle->fit->n, least = all < LEAST ? all : LEAST;
    double most = work / ((xfc_lossy_total(l->graph, l->oracle) + 1) * (n_units + 1.0));
    return !n_units || most < least ? 0 : most < all ? (uint32_t)most : all;
}

xfc_status xfc_prune_try(xfc_lossy *l, const double **adds) {
    xfc_lossy twin = {
        .graph = xfc_graph_clone(l->graph), .request = l->request, .arena = xfc_arena_new(), .sizes = l->sizes};
    xfc_prune_block *block;
    xfc_status status = XFC_OK;
    trying t = {.l = l, .arena = xfc_arena_new()};
    uint32_t n, samples;
    xfc_prune_find(&twin, &block, &n);
    for (uint32_t i = 0; i < n; i++) t.n_units += block[i].n_units;
    if ((samples = how_many(l, t.n_units)) > 0) {
        xfc_samples s = with_masks(l->graph->ctx, twin.arena, l->oracle->fit, samples, t.n_units);
        t.adds = xfc_new_array(l->graph->ctx->arena, double, t.n_units);
        t.exact = xfc_new_array(twin.arena, const xfc_tensor *, l->graph->n_out);
        t.n_runs = s.n;
        *adds = t.adds;
        status = add_mask(twin.graph, block, n, t.n_units);
        if (status == XFC_OK) status = l->oracle->run(l->oracle, twin.graph, &s, see, &t, NULL);
    }
    xfc_graph_free(twin.graph);
    xfc_arena_free(twin.arena);
    xfc_arena_free(t.arena);
    return status;
}

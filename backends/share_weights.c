/* share_weights.c - planned graphs over one set of weights: the plans of one artefact.
 *
 * Each was planned on its own, with its weights from offset 0. Most weights are the same tensors, folded and
 * packed in the same way; what only another has is added behind those of the first. At the end all plans speak of one
 * list, also those whose weights were added before others'. What is made when the model is opened (ir/made.h) comes last,
 * so that all in front of it lies in the file as the plans have it.
 */
#include "backends/backend.h"
#include "ir/made.h"
#include "ir/program.h"
#include <string.h>

enum { ALIGN = 64 };

static bool same_data(xfc_ctx *c, const xfc_tensor *a, const xfc_tensor *b) {
    if (a == b) return true;
    if (a->bytes != b->bytes || xfc_tensor_hash(c, a) != xfc_tensor_hash(c, b)) return false;
    return a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0;
}

typedef struct {
    xfc_arena *arena;
    xfc_map index; /* hash of the data -> place in the plan's list, + 1; the next free key on a collision */
} weights;

static uint64_t *slot(weights *w, xfc_ctx *c, const xfc_plan *p, const xfc_tensor *t, uint64_t *key) {
    uint64_t at;
    for (*key = xfc_tensor_hash(c, t); (at = xfc_map_get(&w->index, *key)) != 0; ++*key)
        if (same_data(c, p->weight[at - 1], t)) return &p->weight_offset[at - 1];
    return NULL;
}

static uint64_t append(xfc_plan *p, const xfc_tensor *t) {
    uint64_t at = (p->weight_bytes + ALIGN - 1) / ALIGN * ALIGN;
    p->weight[p->n_weights] = t;
    p->weight_offset[p->n_weights++] = at;
    p->weight_bytes = at + t->bytes;
    return at;
}

/* Places of values are offsets of whole weights. */
static void move_places(xfc_ctx *c, xfc_plan *p, const xfc_map *moved) {
    for (uint32_t i = 0; i < p->n_places; i++) {
        int64_t old;
        if (p->place[i].space != XFC_SPACE_WEIGHT) continue;
        bool known = xfc_int_value(c, p->place[i].offset, &old);
        uint64_t at = known ? xfc_map_get(moved, (uint64_t)old) : 0;
        xfc_assert(at != 0);
        p->place[i].offset = xfc_int_const(c, (int64_t)(at - 1));
    }
}

static void move_tree(weights *w, xfc_graph *g, const xfc_map *moved) {
    uint32_t n;
    xfc_graph **tree = xfc_graph_tree(g, w->arena, &n);
    for (uint32_t i = 0; i < n; i++) move_places(g->ctx, tree[i]->plan, moved);
}

/* The weights of g go behind those that p has, unless it has them. */
static void add_weights(weights *w, xfc_plan *p, xfc_graph *g) {
    xfc_map moved = {.arena = w->arena}; /* offset in g's plan -> offset in p, + 1 */
    const xfc_plan *q = g->plan;
    uint64_t key;
    for (uint32_t i = 0; i < q->n_weights; i++) {
        const uint64_t *have = slot(w, g->ctx, p, q->weight[i], &key);
        uint64_t at = have ? *have : append(p, q->weight[i]);
        if (!have) xfc_map_set(&w->index, key, p->n_weights);
        xfc_map_set(&moved, q->weight_offset[i], at + 1);
    }
    move_tree(w, g, &moved);
}

/* What the first has, with room for n weights. */
static xfc_plan begin(weights *w, const xfc_graph *first, uint32_t n) {
    const xfc_plan *p = first->plan;
    xfc_plan all = {.weight = xfc_new_array(first->arena, const xfc_tensor *, n),
                    .weight_offset = xfc_new_array(first->arena, uint64_t, n),
                    .n_weights = p->n_weights,
                    .weight_bytes = p->weight_bytes};
    uint64_t key;
    for (uint32_t i = 0; i < p->n_weights; i++) {
        all.weight[i] = p->weight[i];
        all.weight_offset[i] = p->weight_offset[i];
        if (!slot(w, first->ctx, &all, p->weight[i], &key)) xfc_map_set(&w->index, key, (uint64_t)i + 1);
    }
    return all;
}

static void append_those(xfc_ctx *c, xfc_plan *to, const xfc_plan *from, bool made, xfc_map *moved) {
    for (uint32_t i = 0; i < from->n_weights; i++) {
        if ((xfc_tensor_made(c, from->weight[i]) != NULL) != made) continue;
        xfc_map_set(moved, from->weight_offset[i], append(to, from->weight[i]) + 1);
    }
}

/* The same weights, those last that are made, for all graphs that have them. */
static void put_made_last(weights *w, xfc_plan *all, xfc_graph *const *graph, uint32_t n) {
    xfc_map moved = {.arena = w->arena};
    const xfc_plan before = *all;
    xfc_ctx *c = graph[0]->ctx;
    uint32_t n_made = 0;
    for (uint32_t i = 0; i < before.n_weights; i++) n_made += xfc_tensor_made(c, before.weight[i]) != NULL;
    if (n_made == 0) return;
    *all = (xfc_plan){.weight = xfc_new_array(graph[0]->arena, const xfc_tensor *, before.n_weights),
                      .weight_offset = xfc_new_array(graph[0]->arena, uint64_t, before.n_weights)};
    append_those(c, all, &before, false, &moved);
    append_those(c, all, &before, true, &moved);
    for (uint32_t i = 0; i < n; i++)
        if (graph[i]) move_tree(w, graph[i], &moved);
}

void xfc_share_weights(xfc_graph *const *graph, uint32_t n) {
    xfc_arena *scratch = xfc_arena_new();
    weights w = {.arena = scratch, .index = {.arena = scratch}};
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++) most += graph[i] ? graph[i]->plan->n_weights : 0;
    xfc_plan all = begin(&w, graph[0], most);
    for (uint32_t i = 1; i < n; i++)
        if (graph[i]) add_weights(&w, &all, graph[i]);
    put_made_last(&w, &all, graph, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!graph[i]) continue;
        xfc_plan *p = graph[i]->plan;
        p->weight = all.weight;
        p->weight_offset = all.weight_offset;
        p->n_weights = all.n_weights;
        p->weight_bytes = (all.weight_bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    xfc_arena_free(scratch);
}

/* kernel_set.c - facts about a planned graph that the emitter and the plan must agree on: which kernels are distinct,
 * which symbols stand where in frame->values.
 *
 * Kernels are equal iff their canonical texts are (xfc_print_kernel): same code, other operands. Numbers go by first
 * appearance, so they depend on the graph alone.
 */
#include "backends/backend.h"
#include "ir/defined.h"
#include "ir/text/text.h"
#include <string.h>

/* --- distinct kernels --- */

typedef struct {
    const char *text;
    size_t n;
} canonical;

static uint32_t count_kernels(const xfc_graph *g) {
    uint32_t n = 0;
    xfc_foreach_op(op, g) n += op->code == XFC_OP_KERNEL;
    return n;
}

/* Number of the kernel with this text, or a new one. Texts whose hashes collide take the next free key. */
static uint32_t number_of(xfc_map *index, canonical *texts, uint32_t *n, canonical t) {
    uint64_t key = xfc_hash(t.text, t.n, 0), at;
    while ((at = xfc_map_get(index, key)) != 0) {
        const canonical *have = &texts[at - 1];
        if (have->n == t.n && memcmp(have->text, t.text, t.n) == 0) return (uint32_t)(at - 1);
        key++;
    }
    texts[*n] = t;
    xfc_map_set(index, key, *n + 1);
    return (*n)++;
}

xfc_kernel_set xfc_plan_kernels(const xfc_graph *g, xfc_arena *arena) {
    uint32_t n = count_kernels(g);
    xfc_kernel_set set = {.number = xfc_new_array(arena, uint32_t, n),
                          .kernel = xfc_new_array(arena, const xfc_op *, n)};
    xfc_arena *scratch = xfc_arena_new();
    canonical *texts = xfc_new_array(scratch, canonical, n);
    xfc_map index = {.arena = scratch};
    xfc_foreach_op(op, g) {
        if (op->code != XFC_OP_KERNEL) continue;
        xfc_buf text = {.arena = scratch};
        xfc_print_kernel(g->ctx, &text, op->kernel);
        uint32_t before = set.n_kernels,
                 number = number_of(&index, texts, &set.n_kernels, (canonical){text.text, text.n});
        if (set.n_kernels != before) set.kernel[number] = op;
        set.number[set.n_steps++] = number;
    }
    xfc_arena_free(scratch);
    return set;
}

/* --- symbols --- */

typedef struct {
    xfc_ctx *ctx;
    xfc_arena *arena;
    xfc_map seen;
    xfc_int *found, *size;
    uint32_t n, cap, n_sizes, cap_sizes;
} symbols;

static void visit(void *user, xfc_int e) {
    symbols *s = user;
    if (!xfc_int_known(e) || xfc_map_find(&s->seen, e.id, NULL)) return;
    xfc_map_set(&s->seen, e.id, 1);
    const xfc_int_info *info = xfc_int_look(s->ctx, e);
    switch (info->kind) {
    case XFC_INT_CONST: return;
    case XFC_INT_SYMBOL:
        if (info->sym == XFC_SYM_DIM) xfc_push(s->arena, s->found, s->n, s->cap) = e;
        visit(s, info->sym == XFC_SYM_SIZE ? info->formula : XFC_INT_NONE);
        if (info->sym == XFC_SYM_SIZE) xfc_push(s->arena, s->size, s->n_sizes, s->cap_sizes) = e;
        return;
    case XFC_INT_SUM:
        for (uint32_t i = 0; i < info->n_terms; i++)
            for (uint32_t k = 0; k < info->term[i].n; k++) visit(s, info->term[i].atom[k]);
        return;
    case XFC_INT_FLOORDIV:
    case XFC_INT_MOD:
    case XFC_INT_MIN:
    case XFC_INT_MAX:
        visit(s, info->a);
        visit(s, info->b);
        return;
    }
}

static void visit_type(symbols *s, const xfc_type *t) {
    for (uint32_t d = 0; d < t->rank; d++) visit(s, t->dim[d]);
}

uint32_t xfc_graph_symbols(const xfc_graph *g, xfc_arena *arena, xfc_int **out) {
    symbols s = {.ctx = g->ctx, .arena = arena, .seen = {.arena = arena}};
    for (uint32_t i = 0; i < g->n_in; i++) visit_type(&s, &g->in[i]->type);
    for (uint32_t i = 0; i < g->n_constraints; i++) {
        visit(&s, g->constraint[i].a);
        visit(&s, g->constraint[i].b);
    }
    xfc_foreach_op(op, g) xfc_op_ints(op, visit, &s);
    for (uint32_t i = 0; g->plan && i < g->plan->n_places; i++) visit(&s, g->plan->place[i].offset);
    if (g->plan) visit(&s, g->plan->work_bytes);
    for (uint32_t i = 0; i < s.n_sizes; i++) xfc_push(arena, s.found, s.n, s.cap) = s.size[i];
    const xfc_defined defined = xfc_defined_of(g, arena);
    for (uint32_t i = 0; i < defined.n; i++) xfc_push(arena, s.found, s.n, s.cap) = defined.symbol[i];
    *out = s.found;
    return s.n;
}
